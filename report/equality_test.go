package report_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/ulikunitz/xz"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/internal/testenv"
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
func countsOf(s *report.Summary) map[string]uint64 {
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

func sameSummary(t *testing.T, what string, got, want *report.Summary) {
	t.Helper()
	g, w := countsOf(got), countsOf(want)
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

// scenarios are those of testdata/corpus by name.
func scenarios(t *testing.T) map[string]reading {
	t.Helper()
	var truth map[string]struct {
		Conf string `json:"rsyncd_conf"`
	}
	if err := json.Unmarshal(corpus.ReadFile(t, filepath.Join(corpus.Dir(), "truth.json")), &truth); err != nil {
		t.Fatal(err)
	}
	all := map[string]reading{}
	for name, s := range truth {
		r := plain()
		r.pipeline.ModuleFormats = map[string]string{}
		for line := range strings.Lines(s.Conf) {
			line = strings.TrimSpace(line)
			if module, ok := strings.CutPrefix(line, "["); ok {
				r.pipeline.Modules = append(r.pipeline.Modules, strings.TrimSuffix(module, "]"))
			} else if format, ok := strings.CutPrefix(line, "log format ="); ok {
				r.pipeline.ModuleFormats[r.pipeline.Modules[len(r.pipeline.Modules)-1]] = strings.TrimSpace(format)
			}
		}
		all[name] = r
	}
	return all
}

// rows returns a table of tab-separated values by the columns' names.
func rows(t *testing.T, path string) (all []map[string]string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(corpus.ReadFile(t, path))), "\n")
	names := strings.Split(lines[0], "\t")
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, v := range strings.Split(line, "\t") {
			row[names[i]] = v
		}
		all = append(all, row)
	}
	return all
}

// listed writes counts as truth.tsv does: "auth:2 read_only:1", or "-".
func listed(by map[string]uint64) string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(by)) {
		if by[k] > 0 {
			words = append(words, fmt.Sprintf("%s:%d", k, by[k]))
		}
	}
	return cmp.Or(strings.Join(words, " "), "-")
}

// agrees compares a report with a row. "?" is what nobody knows, and "a|b" either.
func agrees(t *testing.T, row map[string]string, s *report.Summary) {
	t.Helper()
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	for column, got := range map[string]string{
		"connections": number(s.Connections), "executions": number(s.Executions), "ok": number(s.Sessions["ok"]),
		"partial": number(s.Sessions["partial"]), "aborted": number(s.Sessions["aborted"]), "rejected": number(s.Sessions["rejected"]),
		"listing": number(s.Sessions["listing"]), "unknown": number(s.Sessions["unknown"]), "rejections": listed(s.Rejected),
		"file_errors": listed(s.FileErrors), "files": listed(s.Totals.Files), "sent_bytes": number(s.Sent), "received_bytes": number(s.Received),
		"files_send": number(s.Totals.Files["send"]), "files_recv": number(s.Totals.Files["recv"]), "files_del": number(s.Totals.Files["del."]),
	} {
		if want, ok := row[column]; ok && want != "?" && !slices.Contains(strings.Split(want, "|"), got) {
			t.Errorf("%s: %s, want %s", column, got, want)
		}
	}
	if row["form"] != "" { // the daemon counts a few bytes more than its clients
		for column, got := range map[string]uint64{"sent": s.Sent, "received": s.Received} {
			least, _ := strconv.ParseUint(row[column], 10, 64)
			more, _ := strconv.ParseUint(strings.Trim(row["tolerance"], "+="), 10, 64)
			if got < least || got > least+more {
				t.Errorf("%s: %d, want %d and up to %d more", column, got, least, more)
			}
		}
	}
}

// By hand: download_small's two sessions sent 75305 + 143 bytes.
func TestReportOfTheCorpus(t *testing.T) {
	truth := map[string]map[string]string{}
	for _, row := range rows(t, filepath.Join(corpus.Dir(), "../../pipeline/testdata/truth.tsv")) {
		if row["form"] == "file" {
			truth[row["scenario"]] = row
		}
	}
	all, told := scenarios(t), 0
	names := corpus.Files(t, "file/*.log")
	for _, name := range names {
		base := filepath.Base(name)
		scenario, _, _ := strings.Cut(base, ".")
		t.Run(base, func(t *testing.T) {
			r, ok := all[scenario]
			if !ok {
				t.Fatal("it is in no scenario")
			}
			got := r.reported(t, name)
			sameSummary(t, "as configured", got, r.served(t, name))
			sameSummary(t, "without RSYNCD_CONF", plain().reported(t, name), plain().served(t, name))
			if files := corpus.Files(t, "file/"+scenario+".*log"); len(files) == 1 {
				told++
				agrees(t, truth[scenario], got)
			}
			if scenario == "download_small" && got.Sent != 75448 {
				t.Errorf("%d bytes sent, want 75448", got.Sent)
			}
		})
	}
	if len(names) < 50 || told < 45 {
		t.Errorf("%d logs, %d with a truth", len(names), told)
	}
}

func TestReportOfEachLineForm(t *testing.T) {
	dir, n := filepath.Join(corpus.Dir(), "../forms"), 0
	for _, row := range rows(t, filepath.Join(dir, "truth.tsv")) {
		if row["read"] != "file" {
			continue
		}
		n++
		t.Run(row["file"], func(t *testing.T) {
			r := plain()
			r.pipeline.Tags = append(r.pipeline.Tags, "rsync.service")
			if r.wrapped = strings.Contains(row["file"], "imfile"); r.wrapped {
				r.pipeline.Tags = []string{"*"}
			}
			name := filepath.Join(dir, row["file"])
			got := r.reported(t, name)
			if strings.HasPrefix(row["note"], "no time") { // there a session's last line is of just now, and served doesn't wait until it has settled
				r.pipeline.Limits.Settle = time.Nanosecond
			}
			sameSummary(t, "report", got, r.served(t, name))
			agrees(t, row, got)
		})
	}
	if n < 35 {
		t.Errorf("%d files", n)
	}
}

// randomShape is a log of a few hundred lines.
func randomShape(r *rand.Rand) corpus.Shape {
	return corpus.Shape{Seed: r.Uint64(), Lines: 50 + r.Int64N(500), Clients: 1 + r.IntN(200), Paths: 1 + r.IntN(500), Files: 1 + r.IntN(20),
		AtOnce: 1 + r.IntN(12), Distinct: r.IntN(4) == 0, Start: time.Now().Add(-time.Duration(40+r.IntN(300)) * 24 * time.Hour).Truncate(time.Second),
		Step: time.Duration(r.IntN(3000)) * time.Millisecond}
}

func write(t *testing.T, name string, text []byte) string {
	t.Helper()
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestReportOfRandomLogs(t *testing.T) {
	r := rand.New(rand.NewPCG(testenv.Seed(t), 1))
	for range testenv.Tortured(200, 5000) {
		shape := randomShape(r)
		var text bytes.Buffer
		truth, err := corpus.Generate(&text, shape)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		name := write(t, filepath.Join(dir, "rsyncd.log"), text.Bytes())
		what := fmt.Sprintf("%+v", shape)
		whole := plain().reported(t, name)
		isTrue(t, what, whole, truth)
		sameSummary(t, what, whole, plain().served(t, name))
		if r.IntN(4) == 0 {
			sameSummary(t, what+", rotated", plain().reported(t, rotated(t, r, text.Bytes())), whole)
			merged(t, what, r, text.Bytes(), truth)
		}
		if t.Failed() {
			t.Logf("%s", text.Bytes()[:min(text.Len(), 20_000)])
			break
		}
	}
}

// rotated writes a log as a rotated set of up to six files, cut at random ends of lines, and returns their directory.
func rotated(t *testing.T, r *rand.Rand, text []byte) string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "rsyncd.log")
	names := []string{log + ".5.xz", log + ".4.zst", log + ".3.bz2", log + ".2.gz", log + ".1", log}
	for i, name := range names {
		n := len(text)
		if i < len(names)-1 {
			n = bytes.LastIndexByte(text[:r.IntN(1+len(text)/(len(names)-i)*2)], '\n') + 1
		}
		if n == 0 && i < len(names)-1 {
			continue // an empty file says nothing
		}
		write(t, name, packed(t, filepath.Ext(name), text[:n]))
		text = text[n:]
	}
	return filepath.Dir(log)
}

// packed compresses as a file name's ending says.
func packed(t *testing.T, ending string, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ending {
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".bz2": // Go reads it only
		cmd := exec.Command(testenv.Need(t, "bzip2"))
		cmd.Stdin, cmd.Stdout = bytes.NewReader(text), &b
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	default:
		return text
	}
	if err == nil {
		_, err = w.Write(text)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// throughJSON returns what report --merge reads of what report --json printed.
func throughJSON(t *testing.T, s *report.Summary) *report.Summary {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	read := &report.Summary{}
	if err := json.Unmarshal(b, read); err != nil {
		t.Fatal(err)
	}
	return read
}

// merged compares the merged reports of a log's pieces with the truth.
func merged(t *testing.T, what string, r *rand.Rand, text []byte, truth *corpus.Truth) {
	t.Helper()
	var parts []*report.Summary
	from := int64(0)
	for i, at := range truth.Cuts {
		last := i == len(truth.Cuts)-1
		if at == from || !last && r.IntN(3) > 0 {
			continue
		}
		piece := plain().reported(t, write(t, filepath.Join(t.TempDir(), "piece.log"), text[from:at]))
		parts = append(parts, throughJSON(t, piece))
		from = at
	}
	all, err := report.Merge(parts, 10)
	if err != nil {
		t.Fatal(err)
	}
	isTrue(t, fmt.Sprintf("%s, merged of %d", what, len(parts)), all, truth)
}
