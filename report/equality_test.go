package report_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/report"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

// A report counts what `serve --file-start=beginning` counts for the same files, and that is what testdata's tables and the generator say.

// A reading says how logs are read.
type reading struct {
	pipeline pipeline.Config
	wrapped  bool
}

func plain() reading {
	return reading{pipeline: pipeline.Config{LogFormat: rsynclog.DefaultLogFormat, Tags: []string{"rsyncd*"}, Limits: rsynclog.DefaultLimits(), MaxSeries: 100_000}}
}

// reported returns what a report says of files or directories.
func (r reading) reported(t *testing.T, paths ...string) *report.Summary {
	t.Helper()
	now := time.Now()
	c := logs.Config{Pipeline: r.pipeline, Lines: syslog.Lines{}, Wrapped: r.wrapped, Now: now}
	sets, errs := logs.Find(c, paths)
	fold := report.NewFold(report.Options{Top: 10, Now: now})
	errs = append(errs, logs.Read(t.Context(), c, sets, fold)...)
	if len(errs) > 0 {
		t.Fatalf("%v", errs)
	}
	return fold.Summary()
}

// served returns what /metrics says after serve has read the files from their beginning.
func (r reading) served(t *testing.T, paths ...string) *report.Summary {
	t.Helper()
	p, err := pipeline.New(r.pipeline)
	if err != nil {
		t.Fatal(err)
	}
	files, err := follow.NewSet(follow.SetOptions{Paths: paths, FromBeginning: true,
		Source: func(path string, scope uint32) receiver.Source {
			return receiver.Source{Input: "file", Name: path, Scope: scope, Wrapped: r.wrapped, Dialect: syslog.Lines{}}
		}}, p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- files.Run(ctx) }()
	<-files.CaughtUp()
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.Tick()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.NewCollector(p.Snapshot, func() metrics.Live { return metrics.Live{} }))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return summaryOf(families)
}

// summaryOf puts metrics where a Summary has them.
func summaryOf(families []*dto.MetricFamily) *report.Summary {
	sums := map[string]map[string]uint64{} // by metric and by the label that a Summary has
	for _, f := range families {
		by := map[string]uint64{}
		for _, m := range f.GetMetric() {
			key := ""
			for _, l := range m.GetLabel() {
				if slices.Contains([]string{"outcome", "status_code", "errno", "reason", "operation", "kind"}, l.GetName()) {
					key = l.GetValue()
				}
			}
			by[key] += uint64(m.GetCounter().GetValue() + m.GetGauge().GetValue())
		}
		sums[f.GetName()] = by
	}
	one := func(name string) (n uint64) {
		for _, v := range sums[name] {
			n += v
		}
		return n
	}
	return &report.Summary{
		Lines: one("rsyncd_exporter_received_total"), Ignored: one("rsyncd_exporter_ignored_total"), Discarded: one("rsyncd_exporter_discarded_total"),
		Unrecognised: sums["rsync_messages_total"]["unrecognised"], Implausible: sums["rsync_messages_total"]["implausible"],
		Totals: report.Totals{
			Connections: one("rsync_connections_total"), Executions: one("rsync_executions_total"),
			ModuleLists: one("rsync_module_list_requests_total"), DaemonStarts: one("rsync_daemon_starts_total"),
			Lost: one("rsync_upstream_lost_messages_total"), Sent: one("rsync_sent_bytes_total"), Received: one("rsync_received_bytes_total"),
			Listed: one("rsync_listed_bytes_total"), Running: one("rsync_sessions_active"), Sessions: sums["rsync_sessions_total"],
			Errors: sums["rsync_errors_total"], FileErrors: sums["rsync_file_errors_total"], Rejected: sums["rsync_rejected_total"],
			Files: sums["rsync_files_total"], FileBytes: sums["rsync_file_bytes_total"], WireBytes: sums["rsync_file_transferred_bytes_total"],
			Kinds: sums["rsync_messages_total"],
		},
	}
}

// counts returns what both have in common, by name; what is 0 is left out.
func counts(s *report.Summary) map[string]uint64 {
	all := map[string]uint64{"lines": s.Lines, "unrecognised": s.Unrecognised, "implausible": s.Implausible, "ignored": s.Ignored,
		"discarded": s.Discarded, "connections": s.Connections, "executions": s.Executions, "module lists": s.ModuleLists,
		"daemon starts": s.DaemonStarts, "lost": s.Lost, "sent": s.Sent, "received": s.Received, "listed": s.Listed, "running": s.Running}
	for name, by := range map[string]map[string]uint64{"sessions ": s.Sessions, "errors ": s.Errors, "file errors ": s.FileErrors, "rejected ": s.Rejected,
		"files ": s.Totals.Files, "file bytes ": s.FileBytes, "wire bytes ": s.WireBytes, "messages ": s.Kinds} {
		for key, n := range by {
			all[name+key] = n
		}
	}
	maps.DeleteFunc(all, func(_ string, n uint64) bool { return n == 0 })
	return all
}

func same(t *testing.T, what string, got, want *report.Summary) {
	t.Helper()
	g, w := counts(got), counts(want)
	var all []string
	for name := range w {
		if g[name] != w[name] {
			all = append(all, fmt.Sprintf("%s: %d, want %d", name, g[name], w[name]))
		}
	}
	for name := range g {
		if _, ok := w[name]; !ok {
			all = append(all, fmt.Sprintf("%s: %d, want 0", name, g[name]))
		}
	}
	if slices.Sort(all); len(all) > 0 {
		t.Errorf("%s:\n\t%s", what, strings.Join(all, "\n\t"))
	}
}

func isTrue(t *testing.T, what string, s *report.Summary, truth *corpus.Truth) {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if wrong, err := truth.Differences(b); err != nil || len(wrong) > 0 {
		t.Errorf("%s: %v\n\t%s", what, err, strings.Join(wrong, "\n\t"))
	}
}

func TestServeCountsTheTruth(t *testing.T) {
	var text bytes.Buffer
	truth, err := corpus.Generate(&text, corpus.Shape{Seed: 1, Lines: 2000, Clients: 50, Paths: 300, Files: 8, AtOnce: 4,
		Start: time.Date(2026, 3, 1, 0, 0, 0, 0, time.Local), Step: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "rsyncd.log")
	if err := os.WriteFile(name, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	truth.Modules = nil
	isTrue(t, "served", plain().served(t, name), truth)
}
