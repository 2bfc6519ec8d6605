package alertslive

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// everyForm has thresholds that take longer than an hour to be reached, or have no default.
var everyForm = map[string]string{
	"traffic_day_bytes":         "5e8",
	"session_seconds":           "1200",
	"backup_slow_least_seconds": "3",
}

// shortForm has those of what the short form has no time for: numbers of messages, sessions or
// errors, and seconds.
var shortForm = map[string]string{
	"traffic_day_bytes": "5e7", "session_seconds": "20", "file_lag_seconds": "5",
	"silent_connections": "2", "unrecognised_messages": "2", "discarded_messages": "2", "file_cuts": "2",
	"refused_clients": "2", "aborted_least_sessions": "3", "protocol_errors": "2", "file_errors": "2", "auth_failures": "3",
	"unknown_modules": "5", "deletions_least": "100", "daemon_starts": "1",
	// A percentile of a day of 16 samples is nearly their maximum, which a flood is itself once it
	// is in the window: so only the number of connections is looked at.
	"connections_ratio": "0.5", "connections_per_second": "30",
}

// Each alert fires for the exporter whose condition is provoked, and for no other one; and each query
// has data. With ALERTS_LIVE=1 the rules are those that are shipped, but for some thresholds, and the
// week before is made up; else every duration is shortened, and all of it is real. PROMETHEUS is the
// path of another Prometheus than the machine's.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	long := os.Getenv("ALERTS_LIVE") != ""
	shipped, err := os.ReadFile(filepath.Join(testenv.Root(t), "deploy/prometheus/rsyncd_exporter.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	rules := parseRules(t, shipped)
	rules.override(t, everyForm)
	// An alert that looks back a week has all of that to see.
	history, patience := 38*time.Second, time.Minute
	if long {
		history, patience = 2*time.Minute, 90*time.Minute
	} else {
		rules.shorten(t)
		rules.override(t, shortForm)
	}
	w := newWorld(t, long)
	rules.each(func(r *rule) {
		if r.Alert != "" && !slices.ContainsFunc(w.scenes, func(s *scene) bool { return slices.Contains(s.alerts, r.Alert) }) {
			t.Errorf("nothing provokes %s", r.Alert)
		}
	})
	w.start(rules.text(t))
	testenv.Until(t, history+time.Minute, "a history", func() bool {
		w.step()
		return time.Since(w.began) > history
	})
	w.provoke()
	deadline := time.Now().Add(patience)
	for len(w.missing()) > 0 && time.Now().Before(deadline) {
		w.step()
	}
	all := queries(t, rules)
	empty := w.empty(all)
	for deadline := time.Now().Add(15 * time.Second); len(empty) > 0 && time.Now().Before(deadline); empty = w.empty(empty) {
		w.step()
	}
	for _, what := range w.missing() {
		t.Errorf("%s has not fired", what)
	}
	for _, what := range w.surplus() {
		t.Errorf("%s has fired", what)
	}
	for _, q := range empty {
		t.Errorf("%s has no data:\n%s", q.where, q.expr)
	}
	w.checkWarnings(all)
	w.checkRules()
	w.checkPrometheus3()
	w.end()
}
