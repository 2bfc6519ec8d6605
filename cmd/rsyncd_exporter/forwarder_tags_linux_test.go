package main

import (
	"os"
	"path/filepath"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// Modules with a syslog tag and a facility of their own, which rsyncd uses from the access check on, through the shipped filters. A tag that
// begins with rsyncd passes as it is; another one once it is added where the file says so, and to TAGS.
func TestModulesWithTagsThroughForwarders(t *testing.T) {
	t.Parallel()
	for _, f := range shippedForwarders {
		for _, c := range []struct {
			name, tag string
			add       bool
			args      []string
			ok        float64 // sessions
		}{
			{"a tag that begins with rsyncd", "rsyncd.alice", false, nil, 2},
			{"another tag, added", "backup-alice", true, []string{"--tags=rsyncd*,backup-alice"}, 2},
			{"another tag, not added", "backup-alice", false, []string{"--tags=rsyncd*,backup-alice"}, 1},
		} {
			if (f.name == "syslog-ng network()" || f.input == "unixgram") && !c.add {
				continue // the filter is that of the same program's other files
			}
			t.Run(f.name+", "+c.name, func(t *testing.T) {
				t.Parallel()
				port := testenv.Port(t)
				args, pki := f.args(t, port)
				e := startExporter(t, append(args, c.args...)...)
				forwarder := f.start(t, pki, port)
				if c.add {
					forwarder.AddTag(t, c.tag)
				}
				dir := testenv.Dir(t)
				d := testenv.StartRsyncdConf(t, dir, "127.0.0.1", forwarder.Socket, `use chroot = no
transfer logging = yes
[plain]
	path = DIR/modules/plain
	read only = no
[tagged]
	path = DIR/modules/tagged
	read only = no
	syslog tag = `+c.tag+`
	syslog facility = local5
`)
				file := filepath.Join(dir, "photo")
				if err := os.WriteFile(file, make([]byte, 1000), 0o644); err != nil {
					t.Fatal(err)
				}
				for _, module := range []string{"tagged/", "plain/"} {
					if code, out := testenv.Rsync(t, file, d.URL("", module)); code != 0 {
						t.Fatalf("rsync: exit code %d:\n%s", code, out)
					}
				}
				s := e.until(c.ok, "rsync_sessions_total", `outcome="ok"`)
				e.want(s, 2, "rsync_connections_total")
				e.want(s, 1, "rsync_sessions_total", `outcome="ok"`, `module="plain"`)
				e.want(s, c.ok-1, "rsync_sessions_total", `outcome="ok"`, `module="tagged"`)
				e.want(s, c.ok, "rsync_files_total", `operation="recv"`)
				e.want(s, 0, "rsyncd_exporter_ignored_total")
				e.identities(s)
			})
		}
	}
}
