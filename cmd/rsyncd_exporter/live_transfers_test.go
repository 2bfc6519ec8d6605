//go:build linux

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// Transfers to their end, complete or not.
func TestLiveTransfers(t *testing.T) {
	t.Parallel()
	for _, by := range []logging{unixSocket, logFile} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			s := live(t, by, "127.0.0.1", `
[pull]
[push]
[unchanged]
[delta]
[delete]
[missing-source]
[dry-run]
[list-only]
[unreadable]
[vanishing]
[compressed]
[two-paths]
[stalled]
timeout = 8
[restarted]
[killed-pull]
[killed-push]
[authenticated]
auth users = alice
secrets file = DIR/secrets
`+jail())
			began := time.Now()
			t.Run("pull of a whole module", s.pullAll)
			t.Run("push", s.push)
			t.Run("pull of what the client has already", s.pullNothing)
			t.Run("pull of a file that changed a little", s.pullDelta)
			t.Run("push with deletions", s.pushAndDelete)
			t.Run("push of a source that isn't there", s.pushMissing)
			t.Run("dry run", s.dryRun)
			t.Run("list only", s.listOnly)
			t.Run("pull with an unreadable file", s.pullUnreadable)
			t.Run("pull of a file that vanishes", s.pullVanishing)
			t.Run("authenticated push", s.pushAuthenticated)
			t.Run("pull and push in a chroot with uid and gid", s.chroot)
			t.Run("compressed push and pull", s.compressed)
			t.Run("pull of two paths", s.pullTwoPaths)
			t.Run("pull by a client that stalls", s.stallPull)
			t.Run("pull during which the daemon is restarted", s.pullAcrossRestart)
			t.Run("pull by a client that is killed", s.killPull)
			t.Run("push by a client that is killed", s.killPush)
			got := s.audit(t)
			at := total(got, "rsync_last_success_timestamp_seconds", `module="authenticated"`, `user="alice"`)
			if at < float64(began.Unix()-1) || at > float64(time.Now().Unix()+1) {
				t.Errorf("alice's last backup was at %v, want a time since %v", at, began)
			}
		})
	}
}

func (s *site) pullAll(t *testing.T) {
	fill(t, s.d.Module("pull"), 0, 1, 70000)
	s.book(counted("pull", "send", "ok", s.stats(t, 0, s.url("pull/"), s.scratch(t))))
}

func (s *site) push(t *testing.T) {
	s.book(counted("push", "receive", "ok", s.stats(t, 0, s.scratch(t, 0, 5, 80000), s.url("push/"))))
}

func (s *site) pullNothing(t *testing.T) {
	fill(t, s.d.Module("unchanged"), 300000)
	mine := s.scratch(t)
	s.book(counted("unchanged", "send", "ok", s.stats(t, 0, s.url("unchanged/"), mine)))
	again := s.stats(t, 0, s.url("unchanged/"), mine)
	if again.Files != 0 || again.ListedBytes != 300000 {
		t.Fatalf("the second pull moved something: %+v", again)
	}
	s.book(counted("unchanged", "send", "ok", again))
}

func (s *site) pullDelta(t *testing.T) {
	file, mine := filepath.Join(s.d.Module("delta"), "image"), s.scratch(t)
	content := noise(400000)
	put(t, file, content)
	s.book(counted("delta", "send", "ok", s.stats(t, 0, s.url("delta/"), mine)))
	content[200000] ^= 1
	put(t, file, content)
	again := s.stats(t, 0, "--ignore-times", s.url("delta/"), mine)
	if again.Matched == 0 || again.Received > 100000 || again.FileBytes != 400000 {
		t.Fatalf("the second pull moved more than what differs: %+v", again)
	}
	s.book(counted("delta", "send", "ok", again))
}

func (s *site) pushAndDelete(t *testing.T) {
	mine := s.scratch(t, 10, 20)
	for _, dir := range []string{"old/older", "new"} {
		if err := os.MkdirAll(filepath.Join(mine, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, filepath.Join(mine, "old"), 100, 200, 300)
	s.book(counted("delete", "receive", "ok", s.stats(t, 0, mine, s.url("delete/"))))
	if err := os.RemoveAll(filepath.Join(mine, "old")); err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(mine, "new"), 7)
	again := s.stats(t, 0, "--delete", mine, s.url("delete/"))
	if again.Deleted != 5 || again.Files != 1 {
		t.Fatalf("want 5 deletions, old, old/older and three files, and one new file: %+v", again)
	}
	s.book(counted("delete", "receive", "ok", again))
}

// The client knows that a source which it was to push isn't there, and ends with code 23. The daemon logs what it logs of a push that is
// complete.
func (s *site) pushMissing(t *testing.T) {
	mine := s.scratch(t, 400)
	c := s.stats(t, 23, mine, filepath.Join(mine, "absent"), s.url("missing-source/"))
	s.book(counted("missing-source", "receive", "ok", c))
}

// rsyncd logs no file of a dry run, though the client counts them.
func (s *site) dryRun(t *testing.T) {
	fill(t, s.d.Module("dry-run"), 5000, 6000)
	v := counted("dry-run", "send", "ok", s.stats(t, 0, "--dry-run", s.url("dry-run/"), s.scratch(t)))
	v.files, v.fileBytes = 0, 0
	s.book(v)
}

func (s *site) listOnly(t *testing.T) {
	fill(t, s.d.Module("list-only"), 5000, 6000)
	s.book(counted("list-only", "send", "ok", s.stats(t, 0, "--list-only", s.url("list-only/"))))
}

func (s *site) pullUnreadable(t *testing.T) {
	fill(t, s.d.Module("unreadable"), 1000, 2000, 4000)
	if err := os.Chmod(filepath.Join(s.d.Module("unreadable"), "f1"), 0); err != nil {
		t.Fatal(err)
	}
	c := s.stats(t, 23, s.url("unreadable/"), s.scratch(t))
	if c.Files != 2 || c.FileBytes != 5000 {
		t.Fatalf("want f0 and f2: %+v", c)
	}
	v := counted("unreadable", "send", "partial", c)
	v.errnos = []int{int(syscall.EACCES)}
	s.book(v)
}

func (s *site) pullVanishing(t *testing.T) {
	module, mine := s.d.Module("vanishing"), s.scratch(t)
	fill(t, module, 4000000, 2000) // f1 is listed now, and opened after f0
	client := s.start(t, "--bwlimit=500", s.url("vanishing/"), mine)
	arriving(t, client, mine, "f0")
	if err := os.Remove(filepath.Join(module, "f1")); err != nil {
		t.Fatal(err)
	}
	c := s.counts(t, client, 24)
	if c.Files != 1 || c.FileBytes != 4000000 {
		t.Fatalf("want f0: %+v", c)
	}
	v := counted("vanishing", "send", "partial", c)
	v.errnos = []int{0}
	s.book(v)
}

func (s *site) pushAuthenticated(t *testing.T) {
	s.secrets(t, "alice:"+testenv.Password)
	s.book(counted("authenticated", "receive", "ok", s.stats(t, 0, s.scratch(t, 9000), s.d.URL("alice@", "authenticated/"))))
}

// jail is a module in a chroot, of a user who is neither root nor who a session is by default. Only root can have it: others get a module
// without, which leaves nothing different in the log.
func jail() string {
	if os.Geteuid() != 0 {
		return "[jail]\n"
	}
	return "[jail]\nuse chroot = yes\nuid = 12345\ngid = 12346\n"
}

func (s *site) chroot(t *testing.T) {
	module, mine := s.d.Module("jail"), s.scratch(t, 12000)
	s.book(counted("jail", "receive", "ok", s.stats(t, 0, mine, s.url("jail/"))))
	if os.Geteuid() == 0 {
		info, err := os.Stat(filepath.Join(module, "f0"))
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 12345 || owner.Gid != 12346 {
			t.Errorf("f0 is %d:%d's, not the module's user's", owner.Uid, owner.Gid)
		}
		if err := os.Symlink("/f0", filepath.Join(module, "to-f0")); err != nil { // within the chroot alone it leads there
			t.Fatal(err)
		}
	} else {
		t.Log("not root: in no chroot, and without uid and gid")
		fill(t, module, 12000, 12000)
	}
	c := s.stats(t, 0, "--copy-links", s.url("jail/"), s.scratch(t))
	if c.Files != 2 || c.FileBytes != 24000 {
		t.Fatalf("want two files of 12,000 bytes: %+v", c)
	}
	s.book(counted("jail", "send", "ok", c))
}

// The bytes sent and received are those on the wire.
func (s *site) compressed(t *testing.T) {
	mine := s.scratch(t)
	put(t, filepath.Join(mine, "zeros"), make([]byte, 500000))
	push := s.stats(t, 0, "-z", mine, s.url("compressed/"))
	pull := s.stats(t, 0, "-z", s.url("compressed/"), s.scratch(t))
	if push.Sent > 10000 || pull.Received > 10000 {
		t.Fatalf("nothing was compressed: %+v, %+v", push, pull)
	}
	s.book(counted("compressed", "receive", "ok", push))
	s.book(counted("compressed", "send", "ok", pull))
}

func (s *site) pullTwoPaths(t *testing.T) {
	fill(t, s.d.Module("two-paths"), 1000, 2000, 4000)
	c := s.stats(t, 0, s.url("two-paths/f0"), s.url("two-paths/f2"), s.scratch(t))
	if c.Files != 2 || c.FileBytes != 5000 {
		t.Fatalf("want f0 and f2: %+v", c)
	}
	s.book(counted("two-paths", "send", "ok", c))
}

// The daemon keeps the sessions that run when it is stopped.
func (s *site) pullAcrossRestart(t *testing.T) {
	fill(t, s.d.Module("restarted"), 1000000)
	mine := s.scratch(t)
	client := s.start(t, "--bwlimit=250", s.url("restarted/"), mine)
	arriving(t, client, mine, "f0")
	if err := s.d.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	testenv.Until(t, time.Minute, "nobody to listen", func() bool { return !testenv.Listening(t, s.d.Port) })
	s.daemon()
	s.book(counted("restarted", "send", "ok", s.counts(t, client, 0)))
}
