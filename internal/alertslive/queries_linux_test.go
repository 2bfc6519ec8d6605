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
	{"Gaps of followed files", "rsyncd_exporter_pattern_gaps_total"}: "a file is forgotten ten minutes after its end",
}

// query is an expression and where it stands.
type query struct{ where, expr string }

// queries returns each query of the rules and of the dashboard.
func queries(t *testing.T, rules *ruleFile, long bool) (all []query) {
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
		if long || !empty {
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

// empty returns those of the queries that never had data since Prometheus looks. Grafana asks for
// ranges as well; each is cut into 11,000 points at most.
func (w *world) empty(all []query) []query {
	w.t.Helper()
	now := time.Now()
	step := max(time.Second, now.Sub(w.began)/10_000)
	return slices.DeleteFunc(slices.Clone(all), func(q query) bool { return w.hadData(q, w.began, now, step) })
}

// hadData reports whether a query has data at any time. One that Prometheus refuses fails the test.
func (w *world) hadData(q query, from, to time.Time, step time.Duration) bool {
	w.t.Helper()
	resp, err := http.Get(fmt.Sprintf("%s/api/v1/query_range?query=%s&start=%d&end=%d&step=%f", w.prom.URL,
		url.QueryEscape(q.expr), from.Unix(), to.Unix(), step.Seconds()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Warnings      []string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
		w.t.Errorf("%s: %s: %q, %v\n%s", q.where, resp.Status, answer.Error, err, q.expr)
		return true // this has been told
	}
	if len(answer.Warnings) > 0 {
		w.t.Errorf("%s: warnings %q\n%s", q.where, answer.Warnings, q.expr)
	}
	return len(answer.Data.Result) > 0
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

// firstEvents looks at a host whose series began when its only session was counted. increase() sees
// that where Prometheus takes the time at which a counter began, and else doesn't.
func (w *world) firstEvents() {
	w.t.Helper()
	const events = `max_over_time(increase(rsync_connections_total{host="` + late + `"}[10s])[%ds:1s])`
	n, _ := w.prom.Query(w.t, fmt.Sprintf(events, int(time.Since(w.began).Seconds())))
	if seen := n > 0.9; seen != onPrometheus3() {
		w.t.Errorf("the first event of a series is %v events in increase(); this Prometheus sees it: %t", n, onPrometheus3())
	}
}
