package pipeline

import (
	"path/filepath"
	"testing"
	"time"
)

// class says what a session must come to, by its client's exit code (errcode.h). Refusals and breakdowns are one class, since old
// clients report a refusal as any of 1, 4, 5, 10 and 12.
func class(c connection) string {
	switch {
	case c.Exit == nil:
		return "raw" // a client that is no rsync
	case *c.Exit == 0 && c.Direction == "module-list":
		return "listing"
	case *c.Exit == 0:
		return "ok"
	case *c.Exit == 23, *c.Exit == 24, *c.Exit == 25:
		return "partial"
	}
	return "failed"
}

// silent lists the scenarios in which the daemon's log does not tell what its clients know. The numbers are how many sessions have
// another class than their client.
var silent = map[string]struct {
	sessions int
	why      string
}{
	"child_sigkill_download": {1, "nothing is logged when the daemon's child is killed: unknown"},
	"partial_upload_3_5_0":   {1, "--max-delete stopped deletions, so the copy isn't complete: partial, though the client's exit code was 0"},
	"partial_upload_3_1_3":   {1, "likewise"},
	"daemon_config_errors":   {1, "with a broken configuration the child logs its error before any connect line: no session"},
}

// TestOutcomesAgreeWithTheClients replays the datagrams of every scenario and lets each session expire that said nothing at its end.
// By hand: auth_ok has four transfers that worked, a write by a user who may only read, and a wrong user: ok 4, rejected 2.
func TestOutcomesAgreeWithTheClients(t *testing.T) {
	scenarios := 0
	for name, s := range readTruth(t) {
		if s.Syslog == nil {
			continue
		}
		scenarios++
		p := replay(t, Config{}, syslogSource(), datagrams(t, filepath.Join(corpus, "syslog", name+".raw")))
		later := p.clock.now() + int64(48*time.Hour)
		p.store.Apply(p.sessions.Tick(later), later, p.clock.wall())

		left := map[string]int{}
		for outcome, n := range byLabel(gathered(t, p), "rsync_sessions_total", "outcome") {
			if outcome == "rejected" || outcome == "aborted" {
				outcome = "failed"
			}
			left[outcome] += int(n)
		}
		differ := 0
		for _, c := range s.Syslog.Connections {
			if want := class(c); want != "raw" && left[want] > 0 {
				left[want]--
			} else if want != "raw" {
				differ++
			}
		}
		if differ != silent[name].sessions {
			t.Errorf("%s: %d sessions have another outcome than their clients, want %d (%q); left over: %v",
				name, differ, silent[name].sessions, silent[name].why, left)
		}
	}
	if agree := scenarios - len(silent); agree < 44 {
		t.Errorf("%d of %d scenarios agree whole", agree, scenarios)
	}
	p := replay(t, Config{}, syslogSource(), datagrams(t, filepath.Join(corpus, "syslog", "auth_ok.raw")))
	if got := byLabel(gathered(t, p), "rsync_sessions_total", "outcome"); got["ok"] != 4 || got["rejected"] != 2 || len(got) != 2 {
		t.Errorf("auth_ok: %v, want ok 4 and rejected 2", got)
	}
}
