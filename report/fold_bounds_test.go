package report_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/report"
	"rsyncd_exporter/report/logs"
)

// Users beyond 10,000 are counted together, module by module.
func TestUsersAreBounded(t *testing.T) {
	var w writer
	for i := range 10_005 {
		w.session(monday.Add(time.Duration(i)*time.Minute), time.Second, "m", fmt.Sprint("user", i))
	}
	s := fold(t, report.Options{}, w.String())
	if len(s.Users) != 10_001 {
		t.Errorf("%d users, want 10,000 and the others", len(s.Users))
	}
	for _, u := range s.Users {
		want := report.Volume{Sessions: 1, Received: 1000}
		if u.User == "_other" {
			want = report.Volume{Sessions: 5, Received: 5000}
		}
		if u.Volume != want {
			t.Errorf("%s has %+v, want %+v", u.User, u.Volume, want)
		}
	}
}

// Of what was not understood 20 lines are shown: of each reason first one, and none that differs in digits only.
func TestSamples(t *testing.T) {
	var b strings.Builder
	for i := range 30 {
		fmt.Fprintf(&b, "2026/11/23 01:00:%02d [%d] text of kind %s number %d\n", i, i, strings.Repeat("x", i), i)
		fmt.Fprintf(&b, "2026/11/23 01:00:%02d [%d] text of kind %s number %d\n", i, i, strings.Repeat("x", i), 1000+i)
	}
	b.WriteString("no header at all\n2026/11/23 01:01:00 [7] \x1b[31mred \xff " + strings.Repeat("long ", 100) + "\n\n")
	got := fold(t, report.Options{}, b.String()).Samples
	if len(got) != 20 {
		t.Fatalf("%d samples, want 20", len(got))
	}
	// All lines of the first reason are there before the red one comes.
	same(t, "the first", got[:4], []report.Sample{
		{File: "log0.0", Line: 1, Why: "unrecognised", Text: "text of kind  number 0"},
		{File: "log0.0", Line: 61, Why: "discarded: no_header", Text: "no header at all"},
		{File: "log0.0", Line: 63, Why: "discarded: empty"},
		{File: "log0.0", Line: 3, Why: "unrecognised", Text: "text of kind x number 1"}})
	got = fold(t, report.Options{}, b.String()[strings.Index(b.String(), "no header"):]).Samples
	if text := got[1].Text; len(text) > 128 || !strings.HasPrefix(text, "\uFFFD[31mred \uFFFD long long") {
		t.Errorf("text %q", text)
	}
}

// A replayed is lines that are counted one by one.
type replayed struct {
	t      testing.TB
	replay *pipeline.Replay
	reader *pipeline.LineReader
	source receiver.Source
	fold   *report.Fold
	line   pipeline.Line
}

func newReplayed(t testing.TB, o report.Options, modules ...string) *replayed {
	c := logsConfig()
	c.Pipeline.Modules = modules
	replay, err := pipeline.NewReplay(c.Pipeline, time.UTC, now)
	if err != nil {
		t.Fatal(err)
	}
	o.Now, o.Zone = now, time.UTC
	return &replayed{t: t, replay: replay, reader: replay.Reader(), fold: report.NewFold(o),
		source: receiver.Source{Input: "file", Name: "log", Scope: receiver.StdinScope + 1, Dialect: syslog.Lines{}}}
}

// read counts a line, and makes a change of it what the Replay says.
func (r *replayed) read(raw []byte) {
	r.line.Raw = raw
	r.reader.Read(&r.source, now.UnixNano(), &r.line)
	r.replay.Count(&r.source, &r.line)
	r.fold.Line(logs.Place{File: "log", Number: 1}, &r.line)
}

const transferLine = "2026/11/23 01:10:07 [22] send UNKNOWN [2001:db8::7] pub () dists/stable/main/binary-amd64/Packages.gz 5000"

func (r *replayed) finish() *report.Summary {
	r.replay.Finish(&r.source, r.fold.Ended)
	r.replay.Running(r.fold.Running)
	return r.fold.Summary()
}

// Before rsync 3.2 only a transfer line says that a request's module is a real one. The transfer began with the
// request all the same.
func TestATransferThatWaitsForItsModule(t *testing.T) {
	lines := []string{
		"2026/11/23 01:00:00 [21] connect from h (192.0.2.1)",
		"2026/11/23 01:00:10 [21] rsync on pub/ from h (192.0.2.1)",
		"2026/11/23 01:00:10 [21] building file list",
		"2026/11/23 01:00:15 [22] connect from h (192.0.2.2)",
		"2026/11/23 01:00:20 [22] rsync on pub/ from h (192.0.2.2)",
		"2026/11/23 01:00:30 [21] send h [192.0.2.1] pub () f 10",
		"2026/11/23 01:00:40 [21] sent 30 bytes  received 20 bytes  total size 10",
		"2026/11/23 01:01:00 [22] sent 30 bytes  received 20 bytes  total size 10",
	}
	for _, o := range []report.Options{{}, {Module: "pub"}} {
		r := newReplayed(t, o, "pub")
		for _, line := range lines {
			r.read([]byte(line))
		}
		s := r.finish()
		same(t, "executions", s.Executions, 2)
		// One from 01:00:10, two from 01:00:20 to 01:00:40, one to 01:01:00; none in the first ten seconds.
		same(t, "saturation", s.Saturation, []report.Saturation{{Module: "pub", Peak: 2, PeakAt: "2026-11-23T01:00:20Z",
			Begun: []uint64{1, 1}, SecondsAt: []float64{10, 30, 20}}})
	}
}

// Most transfer lines are known by how they begin. Where the module's name has a parenthesis, that is not the user's.
func TestPathsBehindAParenthesis(t *testing.T) {
	r := newReplayed(t, report.Options{Top: 5})
	for line := range strings.Lines(strings.ReplaceAll(small, "pub", "old (frozen)")) {
		r.read([]byte(strings.TrimSuffix(line, "\n")))
		if strings.Contains(line, ") big ") {
			for range 3 {
				r.read([]byte(strings.ReplaceAll(transferLine, "pub", "old (frozen)")))
			}
		}
	}
	same(t, "paths", r.finish().Paths[:2], []report.Path{
		{Path: "dists/stable/main/binary-amd64/Packages.gz", Module: "old (frozen)", Count: 3, Bytes: 15000},
		{Path: "big", Module: "old (frozen)", Count: 1, Bytes: 5000}})
}

// A transfer line costs no memory, with or without a filter. Most lines are such.
func TestATransferLineAllocatesNothing(t *testing.T) {
	for _, o := range []report.Options{{}, {Client: "2001:db8::/32", Module: "pub", Since: monday}} {
		r := newReplayed(t, o)
		for line := range strings.Lines(small) {
			r.read([]byte(strings.TrimSuffix(line, "\n")))
			if strings.Contains(line, "/Packages") || strings.Contains(line, "pub () big") {
				break
			}
		}
		raw := []byte(transferLine)
		if n := testing.AllocsPerRun(1000, func() { r.read(raw) }); n > 0 {
			t.Errorf("%v allocations with %+v", n, o)
		}
		same(t, "files", r.fold.Summary().Totals.Files, map[bool]byName{false: {"recv": 2, "send": 1002}, true: {"send": 1002}}[o.Module != ""])
	}
}

// A Summary changes nothing, and what it shows doesn't change.
func TestAFoldGoesOnBehindASummary(t *testing.T) {
	once, often := newReplayed(t, report.Options{SuggestExpect: true}), newReplayed(t, report.Options{SuggestExpect: true})
	var between *report.Summary
	var shown strings.Builder
	for line := range strings.Lines(small + small2()) {
		raw := []byte(strings.TrimSuffix(line, "\n"))
		once.read(raw)
		often.read(raw)
		s := often.fold.Summary()
		if strings.Contains(line, "code 10") {
			between = s
			if err := s.JSON(&shown); err != nil {
				t.Fatal(err)
			}
		}
	}
	same(t, "summary", often.finish(), once.finish())
	var later strings.Builder
	if err := between.JSON(&later); err != nil {
		t.Fatal(err)
	}
	if later.String() != shown.String() {
		t.Error("an earlier Summary has changed")
	}
}

// small2 is ten nights more.
func small2() string {
	var w writer
	for i := range 10 {
		w.session(monday.AddDate(0, 0, 2+i), time.Hour, "data", "anna")
	}
	return w.String()
}

// Lines that were lost before they could be read are lines.
func TestLostLines(t *testing.T) {
	r := newReplayed(t, report.Options{})
	r.fold.Begin(&logs.Set{Name: "log", Files: []logs.File{{Path: "log"}, {Path: "log.1"}}})
	r.read([]byte(transferLine))
	r.fold.Lost(logs.Place{File: "log.1", Number: 7}, receiver.Oversize, 3)
	s := r.fold.Summary()
	same(t, "lines", []uint64{s.Lines, s.Discarded}, []uint64{4, 3})
	same(t, "files", s.Files, []report.Source{{Path: "log", Log: "log", Lines: 1}, {Path: "log.1", Log: "log", Lines: 3}})
	same(t, "samples", s.Samples, []report.Sample{{File: "log.1", Line: 7, Why: "discarded: oversize"}})
}

func BenchmarkTransferLine(b *testing.B) {
	r := newReplayed(b, report.Options{})
	r.read([]byte(transferLine))
	r.read([]byte(transferLine))
	for b.Loop() {
		r.fold.Line(logs.Place{File: "log", Number: 1}, &r.line)
	}
}

func BenchmarkSessions(b *testing.B) {
	var w writer
	for i := range 2000 {
		w.session(monday.Add(time.Duration(i)*time.Minute), time.Second, "m", "anna")
	}
	set := logs.Set{Name: "-", Files: []logs.File{{Path: "-", Written: now}}}
	for b.Loop() {
		c := logsConfig()
		c.Stdin = strings.NewReader(w.String())
		f := report.NewFold(report.Options{Zone: time.UTC, Now: now})
		if errs := logs.Read(context.Background(), c, []logs.Set{set}, f); len(errs) > 0 {
			b.Fatal(errs)
		}
		if n := f.Summary().Sessions["ok"]; n != 2000 {
			b.Fatal(n)
		}
	}
}
