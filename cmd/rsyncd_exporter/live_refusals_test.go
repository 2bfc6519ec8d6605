//go:build linux

package main

import (
	"syscall"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// Sessions that don't get as far as a transfer, or that want none.
func TestLiveRefusals(t *testing.T) {
	t.Parallel()
	for _, by := range []logging{unixSocket, logFile} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			s := live(t, by, "127.0.0.1", `
[auth]
auth users = alice, bob
secrets file = DIR/secrets
[limited]
max connections = 1
[read-only]
read only = yes
[write-only]
write only = yes
[no-delete]
refuse options = delete
[denied]
hosts deny = 127.0.0.0/8
[no-directory]
path = DIR/nowhere
[early]
early exec = exit 3
[pre-xfer]
pre-xfer exec = exit 3
`)
			little := span{0, 64} // the reason, and its frame: clients that were refused print no statistics
			t.Run("wrong password and unknown user", s.refuseUsers)
			t.Run("max connections", s.refuseSecond)
			for _, c := range []struct {
				name string
				code int
				args []string
				want visit
			}{
				{"push to a read-only module", failure, []string{s.scratch(t, 10), s.url("read-only/")},
					visit{module: "read-only", direction: "receive", outcome: "rejected", reason: "read_only", codes: []int{1}}},
				{"pull from a write-only module", failure, []string{s.url("write-only/"), s.scratch(t)},
					visit{module: "write-only", direction: "send", outcome: "rejected", reason: "write_only", codes: []int{1}, sent: little, received: little}},
				{"push with a refused option", failure, []string{"--delete", s.scratch(t, 10), s.url("no-delete/")},
					visit{module: "no-delete", direction: "receive", outcome: "rejected", reason: "refused_option", codes: []int{4}}},
				{"unknown module", 5, []string{s.url("no-such-module/"), s.scratch(t)},
					visit{outcome: "rejected", reason: "unknown_module"}},
				{"denied host", 5, []string{s.url("denied/"), s.scratch(t)},
					visit{module: "denied", outcome: "rejected", reason: "hosts_deny"}},
				{"module whose directory is missing", 5, []string{s.url("no-directory/"), s.scratch(t)},
					visit{module: "no-directory", outcome: "rejected", reason: "other"}},
				{"failing early exec", 5, []string{s.url("early/"), s.scratch(t)},
					visit{module: "early", outcome: "rejected", reason: "other"}},
				{"failing pre-xfer exec before a pull", failure, []string{s.url("pre-xfer/"), s.scratch(t)},
					visit{module: "pre-xfer", direction: "send", outcome: "rejected", reason: "other", codes: []int{4}, sent: little, received: little}},
				{"failing pre-xfer exec before a push", failure, []string{s.scratch(t, 10), s.url("pre-xfer/")},
					visit{module: "pre-xfer", direction: "receive", outcome: "rejected", reason: "other", codes: []int{4}}},
				{"list of modules", 0, []string{s.url("")},
					visit{outcome: "listing"}},
			} {
				t.Run(c.name, func(t *testing.T) {
					s.rsync(t, c.code, c.args...)
					s.book(c.want)
				})
			}
			s.audit(t)
		})
	}
}

// Clients offer Password, which is alice's and not bob's.
func (s *site) refuseUsers(t *testing.T) {
	s.secrets(t, "alice:"+testenv.Password, "bob:not-"+testenv.Password)
	mine := s.scratch(t, 7000)
	for _, user := range []string{"bob@", "mallory@", ""} {
		s.rsync(t, 5, mine, s.d.URL(user, "auth/"))
		s.book(visit{module: "auth", outcome: "rejected", reason: "auth"})
	}
	s.book(counted("auth", "receive", "ok", s.stats(t, 0, mine, s.d.URL("alice@", "auth/"))))
}

// The first client is stopped while it holds the only connection, and goes on after the second was refused.
func (s *site) refuseSecond(t *testing.T) {
	fill(t, s.d.Module("limited"), 2000000)
	mine := s.scratch(t)
	first := s.start(t, "--bwlimit=250", s.url("limited/"), mine)
	arriving(t, first, mine, "f0")
	kill(t, first.Pid(), syscall.SIGSTOP)
	s.rsync(t, 5, s.url("limited/"), s.scratch(t))
	s.book(visit{module: "limited", outcome: "rejected", reason: "max_connections"})
	kill(t, first.Pid(), syscall.SIGCONT)
	s.book(counted("limited", "send", "ok", s.counts(t, first, 0)))
}
