package main

import (
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/internal/testenv"
)

// states returns the state of each expected backup, by the series.
func (e *exporter) states(series map[string]float64, names ...string) string {
	var got []string
	for _, name := range names {
		for _, s := range backups.States() {
			if total(series, "rsync_backup_state", `name="`+name+`"`, `state="`+string(s)+`"`) == 1 {
				got = append(got, string(s))
			}
		}
	}
	return strings.Join(got, " ")
}

// Real pushes to a real daemon: one that comes, one that comes and then comes empty, and one that never does. A dry run can't be told from a run.
// After a restart everything is known, and the command shows it.
func TestBackupsOfARealDaemon(t *testing.T) {
	t.Parallel()
	dir, state := testenv.Dir(t), testenv.Dir(t)
	socket, file := filepath.Join(dir, "log"), filepath.Join(dir, "expect.yml")
	testenv.WriteFile(t, file, "backups: [{name: in, module: incoming, client: 127.0.0.0/8, every: 1d, bytes: 4KiB}]")
	args := []string{"--state-dir=" + state, "--expect=backup@alice<26h,backup@bob<8d", "--expect-file=" + file}
	names := []string{"backup@alice", "backup@bob", "in"}
	t.Run("serve", func(t *testing.T) {
		e := startExporter(t, append(args, "--listen-udp=off", "--listen-unixgram="+socket)...)
		d := testenv.StartRsyncd(t, socket)
		fill(t, dir, 5000)
		push := func(arg ...string) {
			t.Helper()
			if code, out := testenv.Rsync(t, append([]string{"-rltO"}, arg...)...); code != 0 {
				t.Fatalf("%q: exit code %d: %s", arg, code, out)
			}
		}
		if got := e.states(e.scrape(), names...); got != "never never never" {
			t.Errorf("before: %s", got)
		}
		big := filepath.Join(dir, "f0")
		push(big, d.URL("alice@", "backup/"))
		push(big, d.URL("", "incoming/"))
		series := e.until(2, "rsync_backup_seen")
		if got := e.states(series, names...); got != "ok never ok" {
			t.Errorf("they came: %s", got)
		}
		e.want(series, 2, "rsync_backup_state", `state="ok"`)
		e.want(series, 1, "rsync_backup_state", `name="in"`, `module="incoming"`)
		e.want(series, 0, "rsync_backup_overdue")
		e.want(series, 26*3600, "rsync_backup_expected_max_age_seconds", `name="backup@alice",user="alice"`)
		push("-n", big, file, d.URL("alice@", "backup/"))
		push(file, d.URL("", "incoming/")) // less than 4 KiB
		series = e.until(1, "rsync_backup_state", `name="in"`, `state="failed"`)
		if got := e.states(series, names...); got != "ok never failed" {
			t.Errorf("a dry run, and an empty one: %s", got)
		}
	})
	e := startExporter(t, args...)
	status, out, _ := askBackups(t, "--url="+e.url)
	for _, want := range []string{
		"3 expected: 1 ok, 1 failed, 1 never\n",
		"failed  in            4.88 KiB  the last attempt ", " s ago listed 84 B, and 4.00",
		"never   backup@bob              none has come yet; overdue in 7 days 23 h\n",
		"ok      backup@alice  4.96 KiB  came ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("exit status %d, without %q:\n%s", status, want, out)
		}
	}
	if status, out, _ := askBackups(t, "--nagios=backup@alice", "--url="+e.url); status != 0 || !strings.Contains(out, "bytes=5084B") {
		t.Errorf("exit status %d: %s", status, out)
	}
}
