//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// Many sessions at once, whose lines are mixed in the log.
func TestLiveConcurrentTransfers(t *testing.T) {
	t.Parallel()
	for _, by := range []logging{unixSocket, logFile} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			const each = 10
			s := live(t, by, "127.0.0.1", "[pull]\n[push]\n")
			fill(t, s.d.Module("pull"), 0, 1, 30000, 100000)
			var pulls, pushes []*testenv.Process
			for i := range each {
				pulls = append(pulls, s.start(t, s.url("pull/"), s.scratch(t)))
				pushes = append(pushes, s.start(t, s.scratch(t, 1000*i, 1+i), s.url("push/"+strconv.Itoa(i)+"/")))
			}
			for i := range each {
				s.book(counted("pull", "send", "ok", s.counts(t, pulls[i], 0)))
				s.book(counted("push", "receive", "ok", s.counts(t, pushes[i], 0)))
			}
			s.audit(t)
		})
	}
}

// With post-xfer exec a session goes on under another pid than it began with. Two modules of which one's name begins with the other's have
// sessions at the same time, so that what goes on must be told apart.
func TestLiveExecHooks(t *testing.T) {
	t.Parallel()
	s := live(t, unixSocket, "127.0.0.1", `
pre-xfer exec = echo "$RSYNC_REQUEST" >>DIR/pre
post-xfer exec = echo "$RSYNC_EXIT_STATUS" >>DIR/post
[hook]
[hook-2]
[failing]
pre-xfer exec = exit 3
[auth]
auth users = alice
secrets file = DIR/nowhere
[early]
early exec = exit 3
[no-directory]
path = DIR/nowhere
`)
	t.Run("pulls and pushes", func(t *testing.T) {
		var clients []*testenv.Process
		var visits []visit
		for module, size := range map[string]int{"hook": 40000, "hook-2": 3000} {
			public := filepath.Join(s.d.Module(module), "public") // beside what is pushed, or pulls would see pushes' temporary files
			if err := os.Mkdir(public, 0o755); err != nil {
				t.Fatal(err)
			}
			fill(t, public, size, size)
			for i := range 3 {
				clients = append(clients, s.start(t, s.url(module+"/public/"), s.scratch(t)))
				visits = append(visits, visit{module: module, direction: "send"})
				clients = append(clients, s.start(t, s.scratch(t, 2*size), s.url(module+"/"+strconv.Itoa(i)+"/")))
				visits = append(visits, visit{module: module, direction: "receive"})
			}
		}
		for i, v := range visits {
			s.book(counted(v.module, v.direction, "ok", s.counts(t, clients[i], 0)))
		}
		s.hooks(t, "pre", 12)
		s.hooks(t, "post", 12)
	})
	t.Run("failing pre-xfer exec", func(t *testing.T) {
		s.rsync(t, failure, s.scratch(t, 10), s.url("failing/"))
		s.book(visit{module: "failing", direction: "receive", outcome: "rejected", reason: "other", codes: []int{4}})
		s.hooks(t, "post", 13)
	})
	t.Run("refused user", func(t *testing.T) {
		s.rsync(t, 5, s.d.URL("alice@", "auth/"), s.scratch(t))
		s.book(visit{module: "auth", outcome: "rejected", reason: "auth"})
	})
	t.Run("ends under a new pid before anything is asked for", func(t *testing.T) {
		for _, module := range []string{"early", "no-directory"} {
			s.rsync(t, 5, s.url(module+"/"), s.scratch(t))
			s.book(visit{module: module, outcome: "rejected", reason: "other"})
		}
	})
	s.audit(t)
}

// hooks waits until a hook has run so many times.
func (s *site) hooks(t *testing.T, hook string, times int) {
	t.Helper()
	testenv.Until(t, time.Minute, strconv.Itoa(times)+" runs of the "+hook+"-xfer exec", func() bool {
		runs, err := os.ReadFile(filepath.Join(s.dir, hook))
		return err == nil && strings.Count(string(runs), "\n") == times
	})
}
