//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// splitConf is of a daemon whose sessions begin in one log file and go on in another, that of their
// module. Two modules share one.
const splitConf = `
[one]
log file = DIR/one.log
[two]
log file = DIR/two.log
[plain]
[slow]
log file = DIR/slow.log
[unreadable]
log file = DIR/one.log
[read-only]
read only = yes
log file = DIR/two.log
[secret]
auth users = alice
secrets file = DIR/secrets
log file = DIR/secret.log
[denied]
hosts deny = *
log file = DIR/secret.log
`

// splitSite makes a site whose daemon logs to several files, or its own part to a unix socket in
// its directory. The configuration is there before the daemon, for an exporter that reads it.
func splitSite(t *testing.T, by logging) *site {
	t.Helper()
	s := &site{dir: testenv.Dir(t), own: testenv.Dir(t)}
	global, socket := "log file = DIR/log\n", ""
	if by == unixSocket {
		global, socket = "", s.socket()
	}
	conf := liveConf
	if os.Geteuid() != 0 {
		conf += "use chroot = no\n"
	}
	conf += global + splitConf
	put(t, s.conf(), []byte(strings.ReplaceAll(conf, "DIR", s.dir)))
	s.daemon = func() {
		s.d = testenv.StartRsyncdConf(t, s.dir, "127.0.0.1", socket, conf)
		s.starts++
	}
	return s
}

// conf is the path of the daemon's rsyncd.conf.
func (s *site) conf() string { return filepath.Join(s.dir, "rsyncd.conf") }

// socket is the path of the unix socket that the daemon may log to.
func (s *site) socket() string { return filepath.Join(s.dir, "socket") }

// following are the arguments of an exporter that follows all files of the daemon.
func (s *site) following(args ...string) []string {
	return append([]string{"--rsyncd-conf=" + s.conf(), "--file=auto", "--listen-udp=off"}, args...)
}

// fillSplit puts what clients pull into the modules of splitConf.
func (s *site) fillSplit(t *testing.T) {
	t.Helper()
	s.secrets(t, "alice:"+testenv.Password)
	fill(t, s.d.Module("one"), 0, 1, 70000)
	fill(t, s.d.Module("plain"), 3000)
	fill(t, s.d.Module("slow"), 2000000)
	fill(t, s.d.Module("unreadable"), 1000, 2000, 4000)
	if err := os.Chmod(filepath.Join(s.d.Module("unreadable"), "f1"), 0); err != nil {
		t.Fatal(err)
	}
}

// visitSplit has clients come to the modules of splitConf, most of them at the same time.
func (s *site) visitSplit(t *testing.T, rounds int) {
	t.Helper()
	for range rounds {
		type running struct {
			module, direction string
			client            *testenv.Process
		}
		var all []running
		for range 3 {
			for _, module := range []string{"one", "plain"} {
				all = append(all, running{module, "send", s.start(t, "--exclude=*-*", s.url(module+"/"), s.scratch(t))})
			}
			for _, module := range []string{"one", "two", "plain"} {
				to := fmt.Sprintf("%s/%d-%d/", module, len(s.visits), len(all))
				all = append(all, running{module, "receive", s.start(t, s.scratch(t, 0, 5, 80000), s.url(to))})
			}
		}
		for _, r := range all {
			s.book(counted(r.module, r.direction, "ok", s.counts(t, r.client, 0)))
		}
		s.book(counted("secret", "receive", "ok", s.stats(t, 0, s.scratch(t, 9000), s.d.URL("alice@", "secret/"))))
		v := counted("unreadable", "send", "partial", s.stats(t, 23, s.url("unreadable/"), s.scratch(t)))
		v.errnos = []int{int(syscall.EACCES)}
		s.book(v)
		s.rsync(t, failure, s.scratch(t, 10), s.url("read-only/"))
		s.book(visit{module: "read-only", direction: "receive", outcome: "rejected", reason: "read_only", codes: []int{1}})
		s.rsync(t, 5, s.d.URL("mallory@", "secret/"), s.scratch(t))
		s.book(visit{module: "secret", outcome: "rejected", reason: "auth"})
		s.rsync(t, 5, s.url("denied/"), s.scratch(t))
		s.book(visit{module: "denied", outcome: "rejected", reason: "hosts_deny"})
		s.rsync(t, 5, s.url("no-such-module/"), s.scratch(t))
		s.book(visit{outcome: "rejected", reason: "unknown_module"})
		s.rsync(t, 0, s.url(""))
		s.book(visit{outcome: "listing"})
	}
}

// FACTS §2.12: a session that is split over two files counts once, and as its client counted it. Live.
func TestLiveSplitOverFiles(t *testing.T) {
	t.Parallel()
	s := splitSite(t, logFile)
	s.exporter = startExporter(t, s.following("--file-poll=1s")...)
	s.daemon()
	s.fillSplit(t)
	s.visitSplit(t, 3)
	s.audit(t)
}

// The same, while all files but one are rotated again and again.
func TestLiveSplitOverFilesThatAreRotated(t *testing.T) {
	t.Parallel()
	s := splitSite(t, logFile)
	s.exporter = startExporter(t, s.following("--file-poll=50ms")...)
	s.daemon()
	s.fillSplit(t)
	for i := range 4 {
		s.visitSplit(t, 1)
		for _, name := range []string{"log", "one.log", "two.log", "secret.log"} {
			log := filepath.Join(s.dir, name)
			if err := os.Rename(log, fmt.Sprintf("%s.%d", log, 9-i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.visitSplit(t, 1)
	s.audit(t)
}

// The same, read by an exporter that was stopped and started again: what was logged meanwhile is in
// all files, and a session goes on over it all.
func TestLiveSplitOverFilesAndARestart(t *testing.T) {
	t.Parallel()
	s := splitSite(t, logFile)
	args := s.following("--state-dir="+filepath.Join(s.dir, "state"), "--file-poll=1s")
	p := startExporterProcess(t, nil, args...)
	s.daemon()
	s.fillSplit(t)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		s.visitSplit(t, 1)
		client := s.start(t, "--bwlimit=250", s.url("slow/"), s.scratch(t))
		p.until(1, "rsync_sessions_active", `module="slow"`)
		p.signal(signal)
		<-p.Ended()
		s.visitSplit(t, 2)
		s.book(counted("slow", "send", "ok", s.counts(t, client, 0)))
		p = startExporterProcess(t, nil, args...)
	}
	s.visitSplit(t, 1)
	s.exporter = p.exporter
	s.audit(t)
}

// The same as a backlog: everything is in the files before the exporter starts.
func TestBacklogSplitOverFiles(t *testing.T) {
	t.Parallel()
	s := splitSite(t, logFile)
	s.daemon()
	s.fillSplit(t)
	client := s.start(t, "--bwlimit=250", s.url("slow/"), s.scratch(t))
	s.visitSplit(t, 4)
	s.book(counted("slow", "send", "ok", s.counts(t, client, 0)))
	s.exporter = startExporter(t, s.following("--file-start=beginning")...)
	s.audit(t)
}

// The daemon's own part goes to syslog, as that of one module does, and those of the others to files.
func TestLiveSplitOverSyslogAndFiles(t *testing.T) {
	t.Parallel()
	s := splitSite(t, unixSocket)
	s.exporter = startExporter(t, s.following("--listen-unixgram="+s.socket(), "--file-poll=1s")...)
	s.daemon()
	s.fillSplit(t)
	s.visitSplit(t, 3)
	s.audit(t)
}

// FILE_HOST: the directory of a file names the host of its lines; what it doesn't match has none.
func TestFileHost(t *testing.T) {
	dir := testenv.Dir(t)
	for name, pid := range map[string]int{"nas/rsyncd.log": 7, "mirror/rsyncd.log": 7, "rsyncd.log": 8} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-time.Minute)
		appendFile(t, path, begun(at, pid)+stamped(at, pid, summedUp))
	}
	e := startExporter(t, "--file="+dir+"/*/rsyncd.log,"+dir+"/rsyncd.log", "--file-host="+dir+"/(?P<host>[^/]+)/", "--listen-udp=off",
		"--file-start=beginning")
	s := e.until(3, "rsync_sessions_total", `outcome="ok"`)
	for _, host := range []string{"nas", "mirror", ""} {
		e.want(s, 1, "rsync_sessions_total", `outcome="ok"`, `host="`+host+`"`)
		e.want(s, 1, "rsync_connections_total", `host="`+host+`"`)
	}
	e.identities(s)
}
