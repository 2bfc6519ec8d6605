package alertslive

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/monitoring"
	"rsyncd_exporter/internal/testenv"
)

// mayBeEmpty has the queries of the dashboard without data, by their panel and what they hold, and
// why.
var mayBeEmpty = map[[2]string]string{
	{"Gaps of followed files", "rsyncd_exporter_pattern_gaps_total"}: "a file that was deleted is read for a day more, and then forgotten",
}

// query is an expression and where it stands.
type query struct{ where, expr string }

// queries returns each query of the rules and of the dashboard.
func queries(t *testing.T, rules *ruleFile) (all []query) {
	t.Helper()
	rules.each(func(r *rule) { all = append(all, query{"rule " + r.Record + r.Alert, r.Expr}) })
	values := map[string]string{"__rate_interval": "5s", "__range": "1m"}
	for _, name := range []string{"cluster", "job", "instance", "host", "module"} {
		values[name] = ".*"
	}
	board, err := monitoring.DashboardQueries(filepath.Join(testenv.Root(t),
		"deploy/grafana/dashboards/rsyncd_exporter.json"), values)
	if err != nil {
		t.Fatal(err)
	}
	found := map[[2]string]bool{}
	for _, q := range board {
		empty := false
		for may := range mayBeEmpty {
			if q.Panel == may[0] && strings.Contains(q.Expr, may[1]) {
				empty, found[may] = true, true
			}
		}
		if !empty {
			all = append(all, query{fmt.Sprintf("panel %q, query %s", q.Panel, q.Ref), q.Expr})
		}
	}
	for may := range maps.Keys(mayBeEmpty) {
		if !found[may] {
			t.Errorf("the dashboard has no query %q any more", may)
		}
	}
	return all
}

// empty returns those of the queries that never had data since Prometheus looks.
func (w *world) empty(all []query) []query {
	w.t.Helper()
	return slices.DeleteFunc(slices.Clone(all), w.hadData)
}

// hadData reports whether a query has data at any time since Prometheus looks, at 10,000 points at
// most. Grafana asks for such ranges, too.
func (w *world) hadData(q query) bool {
	w.t.Helper()
	now := time.Now()
	return w.answer(q, fmt.Sprintf("query_range?start=%d&end=%d&step=%f", w.began.Unix(), now.Unix(),
		max(1, now.Sub(w.began).Seconds()/10_000))).Data.Result != nil
}

// checkWarnings fails the test where Prometheus has something to say about a query.
func (w *world) checkWarnings(all []query) {
	w.t.Helper()
	for _, q := range all {
		if a := w.answer(q, "query?"); len(a.Warnings) > 0 || len(a.Infos) > 0 {
			w.t.Errorf("%s: warnings %q, infos %q\n%s", q.where, a.Warnings, a.Infos, q.expr)
		}
	}
}

// An answer is what Prometheus says to a query.
type answer struct {
	Status, Error   string
	Warnings, Infos []string
	Data            struct{ Result []json.RawMessage }
}

// answer asks Prometheus. A query that it refuses fails the test.
func (w *world) answer(q query, how string) (a answer) {
	w.t.Helper()
	resp, err := http.Get(w.prom.URL + "/api/v1/" + how + "&query=" + url.QueryEscape(q.expr))
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Status != "success" {
		w.t.Fatalf("%s: %s: %q, %v\n%s", q.where, resp.Status, a.Error, err, q.expr)
	}
	if len(a.Data.Result) == 0 {
		a.Data.Result = nil
	}
	return a
}

// checkRules fails the test where Prometheus could not evaluate a rule.
func (w *world) checkRules() {
	w.t.Helper()
	_, body := testenv.Fetch(w.t, http.DefaultClient, http.MethodGet, w.prom.URL+"/api/v1/rules")
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			if n++; r.Health != "ok" {
				w.t.Errorf("rule %s: %s, %q", r.Name, r.Health, r.LastError)
			}
		}
	}
	if n == 0 {
		w.t.Error("Prometheus has no rules")
	}
}

// checkPrometheus3 looks at what Prometheus 3 is switched on for: native histograms, and the first
// event of a series, which increase() sees if Prometheus takes the time at which a counter began.
func (w *world) checkPrometheus3() {
	w.t.Helper()
	const events = `max_over_time(increase(rsync_connections_total{host="` + late + `"}[10s])[%ds:1s])`
	n, _ := w.prom.Query(w.t, fmt.Sprintf(events, int(time.Since(w.began).Seconds())))
	if seen := n > 0.9; seen != onPrometheus3() {
		w.t.Errorf("the first event of a series is %v events in increase(); this Prometheus sees it: %t", n, onPrometheus3())
	}
	if _, native := w.prom.Query(w.t, "histogram_count(rsync_session_duration_seconds) > 0"); native != onPrometheus3() {
		w.t.Errorf("it has native histograms: %t, want %t", native, onPrometheus3())
	}
}
