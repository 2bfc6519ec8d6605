package pipeline_test

import (
	"path/filepath"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/pipeline"
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
	"daemon_config_errors":   {1, "with a broken configuration the child logs its error before any connect line: no session"},
}

// classes returns how many sessions came to each class.
func (c counted) classes() map[string]int {
	return map[string]int{"ok": c.outcomes[0], "partial": c.outcomes[1], "failed": c.outcomes[2] + c.outcomes[3], "listing": c.outcomes[4]}
}

// TestOutcomesAgreeWithTheClients replays the datagrams of every scenario. By hand: auth_ok has four transfers that worked, a write by
// a user who may only read, and a wrong user: ok 4, rejected 2.
func TestOutcomesAgreeWithTheClients(t *testing.T) {
	scenarios := 0
	for name, s := range readTruth(t) {
		if s.Syslog == nil {
			continue
		}
		scenarios++
		got := count(t, replay(t, pipeline.Config{}, syslogSource(), corpus.ReadDatagrams(t, filepath.Join(corpusDir, "syslog", name+".raw"))))
		left, differ := got.classes(), 0
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
	if agree := scenarios - len(silent); scenarios != 50 || agree < 48 {
		t.Errorf("%d of %d scenarios agree whole, want 48 of 50", agree, scenarios)
	}
	got := count(t, replay(t, pipeline.Config{}, syslogSource(), corpus.ReadDatagrams(t, filepath.Join(corpusDir, "syslog", "auth_ok.raw"))))
	if want := [6]int{4, 0, 0, 2, 0, 0}; got.outcomes != want {
		t.Errorf("auth_ok: %v, want ok 4 and rejected 2", got.outcomes)
	}
}

// TestTableIsTheClients holds the table against truth.json, so that it can't drift to what the program says.
func TestTableIsTheClients(t *testing.T) {
	if plain := isTheClients(t, readTable(t), readTruth(t)); plain < 60 {
		t.Errorf("only %d rows give no reason", plain)
	}
}

// isTheClients checks that a row that gives no reason has the clients' number of sessions, their outcomes and their bytes. It returns the
// number of such rows.
func isTheClients(t *testing.T, table map[[2]string]row, truth map[string]scenario) (plain int) {
	t.Helper()
	for name, s := range truth {
		for form, r := range map[string]*run{"syslog": s.Syslog, "file": s.File} {
			if r == nil {
				continue
			}
			got, ok := table[[2]string{name, form}]
			if !ok {
				t.Errorf("%s, %s: not in the table", name, form)
			}
			if got.why != "-" {
				continue
			}
			plain++
			want, sent, received := map[string]int{}, 0, 0
			for _, c := range r.Connections {
				want[class(c)]++
				if c.Stats != nil {
					sent, received = sent+c.Stats.Received, received+c.Stats.Sent
				}
			}
			classes := got.classes()
			for _, name := range [...]string{"ok", "partial", "failed", "listing"} {
				if classes[name] != want[name] {
					t.Errorf("%s, %s: %d %s in the table, the clients say %d", name, form, classes[name], name, want[name])
				}
			}
			if got.connections != len(r.Connections) || got.sent != sent || got.received != received || want["raw"] > 0 {
				t.Errorf("%s, %s: the table has %+v, the clients made %d connections, received %d bytes and sent %d; %d of them were no rsync",
					name, form, got.counted, len(r.Connections), sent, received, want["raw"])
			}
		}
	}
	return plain
}
