//go:build linux

package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// Transfer lines of other shapes than the default's, in both directions, with directories, a link and deletions, none of which is a file
// transferred. File names look like fields.
func TestLiveLogFormats(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, format string
		by           logging
		wire         bool // whether it has %b
	}{
		{"JSON", `{"op":"%o","module":"%m","user":"%u","pid":%p,"length":%l,"moved":%b,"file":"%f"}`, unixSocket, true},
		{"itemized", `%i %o [%a] %b %l %n%L`, logFile, true},
		{"without operation", `%f %l`, unixSocket, false},
		{"escaped literals", `%o → “%f” %b→%l`, logFile, true},
		{"the same literals in syslog", `%o → “%f” %b→%l`, unixSocket, true},
		{"with times and a checksum", `%t %o %B %M %15l %C %f`, logFile, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := live(t, c.by, "127.0.0.1", "log format = "+c.format+"\n[pull]\n[push]\n", "--log-format="+c.format)
			t.Run("pull", func(t *testing.T) {
				oddTree(t, s.d.Module("pull"))
				s.book(counted("pull", "send", "ok", s.stats(t, 0, s.url("pull/"), s.scratch(t))))
			})
			t.Run("push with deletions", func(t *testing.T) {
				mine := s.scratch(t)
				oddTree(t, mine)
				oddTree(t, filepath.Join(mine, "sub"))
				s.book(counted("push", "receive", "ok", s.stats(t, 0, mine, s.url("push/"))))
				if err := os.RemoveAll(filepath.Join(mine, "sub")); err != nil {
					t.Fatal(err)
				}
				again := s.stats(t, 0, "--delete", mine, s.url("push/"))
				if again.Deleted != 7 { // two directories with two files each, and a link
					t.Fatalf("want 7 deletions: %+v", again)
				}
				s.book(counted("push", "receive", "ok", again))
			})
			got := s.audit(t)
			const moved = "rsync_file_transferred_bytes_total"
			if !c.wire {
				s.want(got, 0, moved)
				return
			}
			// All of what is in the files is sent, with a checksum and an index for each; the rest of the traffic isn't the files'.
			for module, traffic := range map[string]string{"pull": "rsync_sent_bytes_total", "push": "rsync_received_bytes_total"} {
				label := `module="` + module + `"`
				n := total(got, moved, label)
				if least, most := total(got, "rsync_file_bytes_total", label), total(got, traffic, label); n < least || n > most {
					t.Errorf("%s{%s}: %v, want %v to %v", moved, label, n, least, most)
				}
			}
		})
	}
}

// With the operation between two names a line may be read in two ways: then it counts as unknown,
// as no direction can tell a file that was received from one that was deleted. By hand: six files
// are pushed. That of "x del. y" is unknown. Then all six go, of which one that is named "a recv b"
// and one "send a recv b" may have been received.
func TestLiveOperationBetweenNames(t *testing.T) {
	t.Parallel()
	const format = `%f %o %n (%l)`
	s := live(t, unixSocket, "127.0.0.1", "log format = "+format+"\n[pull]\n[push]\n", "--log-format="+format)
	sizes := map[string]int{"plain": 1000, "send": 2000, "del.": 3000, "a recv b": 4000, "send a recv b": 5000, "x del. y": 6000}
	tree := func(dir string) {
		for name, size := range sizes {
			put(t, filepath.Join(dir, name), noise(size))
		}
	}
	mine := s.scratch(t)
	tree(mine)
	push := counted("push", "receive", "ok", s.stats(t, 0, mine, s.url("push/")))
	push.files, push.fileBytes, push.unknown, push.unknownBytes = push.files-1, push.fileBytes-6000, 1, 6000
	s.book(push)
	again := counted("push", "receive", "ok", s.stats(t, 0, "--delete", s.scratch(t), s.url("push/")))
	again.deleted, again.unknown = again.deleted-2, 2
	s.book(again)
	tree(s.d.Module("pull"))
	s.book(counted("pull", "send", "ok", s.stats(t, 0, s.url("pull/"), s.scratch(t))))
	s.audit(t)
}

// oddTree makes two files whose names look like fields, one of them empty, a directory and a link, as far as they are not there.
func oddTree(t *testing.T, dir string) {
	t.Helper()
	sub := filepath.Join(dir, "sub")
	if err := os.MkdirAll(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(sub, `f 99999 7`), noise(50000))
	put(t, filepath.Join(sub, `"length":5,`), nil)
	if err := os.Symlink("sub", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
}

// A daemon on ::1, and names that are hard to tell from what is around them. Modules with a syslog tag of their own have it change: their messages carry them from the transfer's start on, and the daemon's
// before.
func TestLiveNamesAndIPv6(t *testing.T) {
	t.Parallel()
	address := "::1"
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Logf("over IPv4, as this machine has no ::1: %v", err)
		address = "127.0.0.1"
	} else {
		l.Close()
	}
	s := live(t, unixSocket, address, `
[plain]
[two words (and more)]
reverse lookup = no
[quiet]
transfer logging = no
[users]
auth users = *
secrets file = DIR/secrets
[named]
syslog tag = rsyncd.%RSYNC_MODULE_NAME%
[words]
syslog tag = rsyncd (the public one) [1]
[mirror]
syslog tag = mirror
syslog facility = local3
[denied]
hosts deny = *
[auth]
auth users = alice
secrets file = DIR/nowhere
`, "--tags=rsyncd*,mirror")
	for _, module := range []string{"plain", "two words (and more)", "named", "words", "mirror"} {
		t.Run(module, func(t *testing.T) {
			s.book(counted(module, "receive", "ok", s.stats(t, 0, s.scratch(t, 5000, 6000), s.url(module+"/"))))
			s.book(counted(module, "send", "ok", s.stats(t, 0, s.url(module+"/"), s.scratch(t))))
		})
	}
	t.Run("without transfer logging", func(t *testing.T) {
		v := counted("quiet", "receive", "ok", s.stats(t, 0, s.scratch(t, 5000, 6000), s.url("quiet/")))
		v.files, v.fileBytes = 0, 0
		s.book(v)
	})
	users := []string{"al@ice", "mallory(10.6.6.6)"}
	t.Run("users with odd names", func(t *testing.T) {
		s.secrets(t, users[0]+":"+testenv.Password, users[1]+":"+testenv.Password)
		for _, user := range users {
			s.book(counted("users", "receive", "ok", s.stats(t, 0, s.scratch(t, 100), s.d.URL(user+"@", "users/"))))
		}
	})
	t.Run("refusals", func(t *testing.T) {
		s.rsync(t, 5, s.url("denied/"), s.scratch(t))
		s.book(visit{module: "denied", outcome: "rejected", reason: "hosts_deny"})
		s.rsync(t, 5, s.d.URL("alice@", "auth/"), s.scratch(t))
		s.book(visit{module: "auth", outcome: "rejected", reason: "auth"})
		s.rsync(t, 5, s.url("no-such-module/"), s.scratch(t))
		s.book(visit{outcome: "rejected", reason: "unknown_module"})
		s.rsync(t, 0, s.url(""))
		s.book(visit{outcome: "listing"})
	})
	got := s.audit(t)
	s.want(got, 0, "rsyncd_exporter_ignored_total")
	for _, user := range users {
		if got[seriesName("rsync_last_success_timestamp_seconds", "module", "users", "direction", "receive", "user", user)] == 0 {
			t.Errorf("%s had no success", user)
		}
	}
}
