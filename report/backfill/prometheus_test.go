package backfill_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/report/backfill"
	"rsyncd_exporter/report/logs"
)

// Three hosts log for some days, each in a form of its own. The real promtool makes blocks of their history, and a real
// Prometheus answers from these what the generator knows.
func TestPrometheusKnowsTheHistory(t *testing.T) {
	days := testenv.Tortured(3, 31)
	dir, all := testenv.Dir(t), newTruth()
	seed := testenv.Seed(t)
	random := rand.New(rand.NewPCG(seed, 1))
	from := time.Date(2024, 1, 5, 0, 0, 0, 0, time.UTC)
	end := from.AddDate(0, 0, days)
	var paths []string
	for i, host := range []string{"one", "two", "three"} {
		path := filepath.Join(dir, host+".log")
		testenv.WriteFile(t, path, generate(random, all, host, from, days, 60, forms[i]))
		if err := os.Chtimes(path, end, end.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	history := filepath.Join(dir, "history.om")
	writeHistory(t, paths, history)
	data := filepath.Join(dir, "data")
	out, err := exec.Command(testenv.Need(t, "promtool"), "tsdb", "create-blocks-from", "openmetrics",
		"--max-block-duration=486h", history, data).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p := testenv.StartPrometheusOn(t, data)
	for day := from; day.Before(end); day = day.AddDate(0, 0, 1) {
		name := day.Format(time.DateOnly)
		midnight := day.AddDate(0, 0, 1)
		compare(t, p, "increase(rsync_connections_total[1d])", midnight, ofDay(all.connections, name), "host")
		compare(t, p, "increase(rsync_sessions_total[1d])", midnight, ofDay(all.sessions, name),
			"host", "module", "direction", "outcome")
		compare(t, p, "increase(rsync_sent_bytes_total[1d])", midnight, ofDay(all.sent, name), "host", "module", "direction")
		compare(t, p, "increase(rsync_received_bytes_total[1d])", midnight, ofDay(all.received, name),
			"host", "module", "direction")
	}
	compare(t, p, `rsync_session_duration_seconds_bucket{le=~"1.0|60.0|3600.0|.Inf"}`, end, all.longest,
		"host", "module", "direction", "le")
	compare(t, p, "rsync_last_success_timestamp_seconds", end, all.success, "host", "module", "direction", "user")
	compare(t, p, "sum by (host) (rsync_sessions_active)", end, nil, "host")
	compare(t, p, `count by (job, instance) (rsync_daemon_info)`, end.Add(2*time.Minute), map[string]float64{"rsyncd x:1": 3},
		"job", "instance")
}

// writeHistory reads the logs at paths, as the program does.
func writeHistory(t *testing.T, paths []string, to string) {
	t.Helper()
	c := logs.Config{Pipeline: pipelineConfig(), Lines: syslog.Lines{}, FileHost: regexp.MustCompile(`(?P<host>[a-z]+)\.log$`),
		Zone: time.UTC, Together: true, Now: time.Now()}
	sets, errs := logs.Find(c, paths)
	if len(errs) > 0 || len(sets) != len(paths) {
		t.Fatal(sets, errs)
	}
	var lines []backfill.Lines
	for i := range sets {
		cur, err := logs.Open(context.Background(), c, &sets[i])
		if err != nil {
			t.Fatal(err)
		}
		defer cur.Close()
		lines = append(lines, cur)
	}
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	b := config()
	b.Labels = []backfill.Label{{Name: "job", Value: "rsyncd"}, {Name: "instance", Value: "x:1"}}
	if _, err := backfill.Run(context.Background(), b, lines, out); err != nil {
		t.Fatal(err)
	}
}

// ofDay returns the entries of a day, without it.
func ofDay(all map[string]float64, day string) map[string]float64 {
	some := map[string]float64{}
	for k, v := range all {
		if k, ok := strings.CutSuffix(k, " "+day); ok {
			some[k] = v
		}
	}
	return some
}

// compare compares an instant vector with what it should be. What isn't there is 0.
func compare(t *testing.T, p *testenv.Prometheus, expr string, at time.Time, want map[string]float64, labels ...string) {
	t.Helper()
	got := map[string]float64{}
	for _, s := range p.QueryAt(t, expr, at) {
		values := make([]string, len(labels))
		for i, l := range labels {
			values[i] = s.Labels[l]
		}
		if k := strings.Join(values, " "); s.Value != 0 {
			got[k] += s.Value
		}
	}
	for k, v := range want {
		if math.Abs(got[k]-v) > 1e-9*v {
			t.Errorf("%s at %s: %q is %v, want %v", expr, at.Format(time.DateTime), k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s at %s: %d series %v, want %d", expr, at.Format(time.DateTime), len(got), got, len(want))
	}
}
