package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// besiege starts a site whose exporter is a process with a state directory and follows the daemon's log file.
func besiege(t *testing.T, sections string) (*site, *victim) {
	t.Helper()
	s := &site{dir: testenv.Dir(t), own: testenv.Dir(t)}
	conf := liveConf + "log file = DIR/log\n"
	if os.Geteuid() != 0 {
		t.Log("not root: without chroot, and with modules that belong to the user who runs the daemon")
		conf += "use chroot = no\n"
	}
	v := newVictim(t, newStateDir(t, testenv.Dir(t)), "-p="+filepath.Join(s.dir, "log"))
	s.exporter = v.exporter
	s.daemon = func() {
		s.d = testenv.StartRsyncdConf(t, s.dir, "127.0.0.1", "", conf+sections)
		s.starts++
	}
	s.daemon()
	return s, v
}

// again kills the program, lets something happen while it is down, and starts it again.
func (v *victim) again(meanwhile func()) {
	v.t.Helper()
	v.kill()
	meanwhile()
	v.start()
	v.ready()
}

// slow starts a client that takes about three seconds for a dozen files, and waits until the daemon has logged the first of them.
func (s *site) slow(t *testing.T, module string, push bool) (client *testenv.Process) {
	t.Helper()
	var sizes []int
	for i := range 12 {
		sizes = append(sizes, 200_000+1000*i)
	}
	here, there := s.scratch(t), s.url(module+"/")
	if push {
		fill(t, here, sizes...)
		client = s.start(t, "--bwlimit=800", here, there)
	} else {
		fill(t, s.d.Module(module), sizes...)
		client = s.start(t, "--bwlimit=800", there, here)
	}
	client.Ready(t, "its first transfer line", func() bool {
		logs, err := filepath.Glob(filepath.Join(s.dir, "log*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, log := range logs {
			text, err := os.ReadFile(log)
			if err == nil && strings.Contains(string(text), " "+module+" () f") {
				return true
			}
		}
		return false
	})
	return client
}

// A real daemon's log is renamed while transfers run, again and again, and the exporter is killed in between. Running sessions go on in the
// file that they have, new ones make a new one. What is counted is what the clients counted.
func TestRsyncdLogRenamedInMidTransfer(t *testing.T) {
	t.Parallel()
	s, v := besiege(t, "[pull]\n[push]\n[short]\n")
	log := filepath.Join(s.dir, "log")
	fill(t, s.d.Module("short"), 1000, 2000)
	short := func() { s.book(counted("short", "send", "ok", s.stats(t, 0, s.url("short/"), s.scratch(t)))) }
	short()
	pull, push := s.slow(t, "pull", false), s.slow(t, "push", true)
	rotated := 0
	rotate := func() {
		rotated++
		if err := os.Rename(log, fmt.Sprintf("%s.%d", log, rotated)); err != nil {
			t.Fatal(err)
		}
	}
	rotate()
	short() // makes the new file
	v.again(func() {
		rotate()
		short()
	})
	rotate()
	short()
	v.again(func() {})
	s.book(counted("pull", "send", "ok", s.counts(t, pull, 0)))
	s.book(counted("push", "receive", "ok", s.counts(t, push, 0)))
	got := s.audit(t)
	s.want(got, 0, "rsyncd_exporter_file_gaps_total")
	v.terminate()
}

// A real daemon's log is copied and truncated between transfers, once it has been counted, also over a restart: no line is lost, and none of
// the copy counted again. That something may have been lost is said all the same.
func TestRsyncdLogCopiedAndTruncated(t *testing.T) {
	t.Parallel()
	for name, kept := range map[string]int{"as logrotate does": 8, "onto the same copy": 0} { // cp log log.1; : > log
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testCopyTruncate(t, kept)
		})
	}
}

func testCopyTruncate(t *testing.T, kept int) {
	s, v := besiege(t, "[short]\n")
	log := filepath.Join(s.dir, "log")
	fill(t, s.d.Module("short"), 1000, 2000)
	short := func() { s.book(counted("short", "send", "ok", s.stats(t, 0, s.url("short/"), s.scratch(t)))) }
	for round := range 3 {
		for range 1 + round { // so that the file grows beyond where it was cut
			short()
		}
		s.until(float64(len(s.visits)), "rsync_messages_total", `kind="summary"`)
		if round == 1 {
			v.again(func() { copyTruncate(t, log, kept) })
		} else {
			copyTruncate(t, log, kept)
		}
	}
	short()
	got := s.audit(t)
	if gaps := total(got, "rsyncd_exporter_file_gaps_total", `reason="truncated"`); gaps == 0 || gaps != total(got, "rsyncd_exporter_file_gaps_total") {
		t.Errorf("%v gaps by truncation, %v in all", gaps, total(got, "rsyncd_exporter_file_gaps_total"))
	}
	v.terminate()
}

// copyTruncate does what logrotate's copytruncate does: kept old copies move on, and the new one is a new file. With none kept it is written
// over the old one.
func copyTruncate(t *testing.T, log string, kept int) {
	t.Helper()
	for i := kept; i > 0; i-- {
		if err := os.Rename(fmt.Sprintf("%s.%d", log, i), fmt.Sprintf("%s.%d", log, i+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	in, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(log + ".1")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(log, 0); err != nil {
		t.Fatal(err)
	}
}

// The real logrotate rotates a real daemon's log, with compression, while transfers run and while the exporter is down: what was logged then
// is read out of the compressed file.
func TestRsyncdLogByLogrotate(t *testing.T) {
	t.Parallel()
	logrotate := testenv.Need(t, "logrotate")
	s, v := besiege(t, "[pull]\n[short]\n")
	log := filepath.Join(s.dir, "log")
	conf := filepath.Join(s.own, "logrotate.conf")
	put(t, conf, fmt.Appendf(nil, "%q {\nrotate 20\ncompress\nmissingok\nnocreate\nnodateext\n}\n", log))
	rotate := func() {
		t.Helper()
		if out, err := exec.Command(logrotate, "--force", "--state="+filepath.Join(s.own, "logrotate.state"), conf).CombinedOutput(); err != nil {
			t.Fatalf("logrotate: %v: %s", err, out)
		}
	}
	fill(t, s.d.Module("short"), 1000, 2000)
	short := func() { s.book(counted("short", "send", "ok", s.stats(t, 0, s.url("short/"), s.scratch(t)))) }
	short()
	pull := s.slow(t, "pull", false)
	rotate() // the pull goes on in a file that gzip has deleted
	short()
	rotate()
	s.book(counted("pull", "send", "ok", s.counts(t, pull, 0)))
	short()
	s.until(float64(len(s.visits)), "rsync_messages_total", `kind="summary"`)
	v.again(func() {
		short()
		rotate()
		short()
		rotate()
	})
	short()
	if compressed, err := filepath.Glob(log + ".*.gz"); err != nil || len(compressed) != 4 {
		t.Fatalf("compressed: %q, %v; want 4", compressed, err)
	}
	got := s.audit(t)
	// The pull's file has ended behind what gzip has of it, and was gone before the restart: nobody knows what else was written to it.
	if gaps := total(got, "rsyncd_exporter_file_gaps_total"); gaps > 1 || gaps != total(got, "rsyncd_exporter_file_gaps_total", `reason="unread"`) {
		t.Errorf("%v gaps, want one at most, unread", gaps)
	}
	v.terminate()
}
