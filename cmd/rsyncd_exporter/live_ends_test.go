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

// killedSize takes a client with --bwlimit=200 ten seconds, time enough for a busy machine to see that something has arrived.
const killedSize = 2000000

func (s *site) killPull(t *testing.T) {
	fill(t, s.d.Module("killed-pull"), killedSize)
	mine := s.scratch(t)
	client := s.start(t, "--bwlimit=200", s.url("killed-pull/"), mine)
	got := arriving(t, client, mine, "f0")
	receiver := client.Children(t)
	if len(receiver) != 1 {
		t.Fatalf("the client has the children %d, want one", receiver)
	}
	kill(t, client.Pid(), syscall.SIGKILL)
	kill(t, receiver[0], syscall.SIGKILL) // it would go on without its parent
	client.Wait(t)
	s.book(visit{
		module: "killed-pull", direction: "send", outcome: "aborted", codes: []int{10}, listedBytes: killedSize,
		sent: span{got, killedSize - 1}, received: span{1, 1000},
	})
}

// stallPull stops a client; the daemon gives up after the module's timeout, which is for the handshake too: a busy machine takes a second.
func (s *site) stallPull(t *testing.T) {
	const size = 200e6 // more than fits between the two
	file, mine := filepath.Join(s.d.Module("stalled"), "f0"), s.scratch(t)
	put(t, file, nil)
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	client := s.start(t, "--bwlimit=20000", s.url("stalled/"), mine)
	got := arriving(t, client, mine, "f0")
	both := append(client.Children(t), client.Pid())
	for _, pid := range both {
		kill(t, pid, syscall.SIGSTOP)
	}
	testenv.Until(t, time.Minute, "the daemon to give up", func() bool { return len(s.d.Children(t)) == 0 })
	for _, pid := range both {
		kill(t, pid, syscall.SIGKILL)
	}
	client.Wait(t)
	s.book(visit{
		module: "stalled", direction: "send", outcome: "aborted", codes: []int{30}, listedBytes: size,
		sent: span{got, size - 1}, received: span{1, 1000},
	})
}

func (s *site) killPush(t *testing.T) {
	client := s.start(t, "--bwlimit=200", s.scratch(t, killedSize), s.url("killed-push/"))
	arriving(t, client, s.d.Module("killed-push"), "f0")
	kill(t, client.Pid(), syscall.SIGKILL)
	client.Wait(t)
	s.book(visit{module: "killed-push", direction: "receive", outcome: "aborted", codes: []int{12}})
}

// Sessions of which the daemon logs no last line. They end when they have been silent for SESSION_TTL.
func TestLiveSilentEnds(t *testing.T) {
	t.Parallel()
	s := live(t, unixSocket, "127.0.0.1", "[pull]\n[push]\n[denied]\n[max-delete]\n", "--session-ttl=20s")
	t.Run("daemon's child killed during a pull", func(t *testing.T) {
		fill(t, s.d.Module("pull"), killedSize)
		mine := s.scratch(t)
		client := s.start(t, "--bwlimit=200", s.url("pull/"), mine)
		arriving(t, client, mine, "f0")
		s.killChild(t)
		if code := client.Wait(t); code == 0 {
			t.Fatal("the client didn't notice")
		}
		s.book(visit{module: "pull", direction: "send", outcome: "unknown"})
	})
	// The generator is the process that has been logging; its receiver notices, and logs an error under a pid of its own.
	t.Run("daemon's child killed during a push", func(t *testing.T) {
		// Five seconds: its receiver notices when all has come, which must be before the session expires.
		client := s.start(t, "--bwlimit=400", s.scratch(t, killedSize), s.url("push/"))
		arriving(t, client, s.d.Module("push"), "f0")
		s.killChild(t)
		if code := client.Wait(t); code == 0 {
			t.Fatal("the client didn't notice")
		}
		s.book(visit{module: "push", direction: "receive", outcome: "aborted", codes: []int{10}})
	})
	t.Run("push of files that can't be written", func(t *testing.T) {
		errno := int(syscall.EACCES)
		if os.Geteuid() == 0 {
			if err := os.Chmod(s.d.Module("denied"), 0o555); err != nil {
				t.Fatal(err)
			}
		} else {
			t.Log("not root: the daemon would make a directory of its own writable, so directories stand where the files are to go")
			errno = 0
			for _, name := range []string{"f0", "f1"} {
				if err := os.MkdirAll(filepath.Join(s.d.Module("denied"), name, "full"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.rsync(t, 23, s.scratch(t, 100, 200), s.url("denied/"))
		s.book(visit{module: "denied", direction: "receive", outcome: "partial", errnos: []int{errno, errno}})
	})
	t.Run("push that deletes more than it may", func(t *testing.T) {
		mine := s.scratch(t, 100, 200, 300)
		s.book(counted("max-delete", "receive", "ok", s.stats(t, 0, mine, s.url("max-delete/"))))
		for _, name := range []string{"f0", "f1"} {
			if err := os.Remove(filepath.Join(mine, name)); err != nil {
				t.Fatal(err)
			}
		}
		// The daemon alone knows that this is exit code 25, and says no more than that deletions were stopped.
		c := s.stats(t, 0, "--delete", "--max-delete=1", mine, s.url("max-delete/"))
		if c.Deleted != 1 {
			t.Fatalf("want one deletion: %+v", c)
		}
		s.book(visit{module: "max-delete", direction: "receive", outcome: "ok", deleted: 1})
	})
	s.audit(t)
}

// killChild ends the daemon's only child, without a word.
func (s *site) killChild(t *testing.T) {
	t.Helper()
	kill(t, s.onlyChild(t), syscall.SIGKILL)
}

// onlyChild returns the process of the one session that runs, when those of others have ended: their clients end first.
func (s *site) onlyChild(t *testing.T) int {
	t.Helper()
	var children []int
	testenv.Until(t, time.Minute, "the daemon to have one child", func() bool {
		children = s.d.Children(t)
		return len(children) == 1
	})
	return children[0]
}

func kill(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}
