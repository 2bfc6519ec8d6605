package backfill_test

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/report/backfill"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

// books have room for all series of these tests.
var books = metrics.Config{MaxSeries: 50000, Start: time.Unix(1, 0)}

func config() backfill.Config {
	return backfill.Config{Step: time.Minute, Gap: backfill.DefaultGap, Books: books}
}

// written is when the logs of these tests were written, about: some have no year.
var written = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)

// A log is the lines of one file, all of them of one host if it isn't empty.
type log struct {
	host  string
	lines string
	zone  *time.Location // nil: UTC

	modules []string // configured ones
}

func pipelineConfig() pipeline.Config {
	return pipeline.Config{LogFormat: "%o %h [%a] %m (%u) %f %l", Tags: []string{"rsyncd"}, MaxSeries: books.MaxSeries,
		Limits: rsynclog.DefaultLimits(), InFull: true}
}

func source(l *log) *receiver.Source {
	return &receiver.Source{Input: "file", Name: "log", Host: l.host, Scope: receiver.StdinScope + 1, Dialect: syslog.Lines{}}
}

// lines gives the lines of a log, as logs.Cursor does.
type lines struct {
	replay *pipeline.Replay
	src    *receiver.Source
	reader *pipeline.LineReader
	rest   []string
	line   pipeline.Line
}

func newLines(t testing.TB, l *log) *lines {
	t.Helper()
	zone := l.zone
	if zone == nil {
		zone = time.UTC
	}
	c := pipelineConfig()
	c.Modules = l.modules
	replay, err := pipeline.NewReplay(c, zone, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	replay.Together = true
	return &lines{replay: replay, src: source(l), reader: replay.Reader(), rest: strings.SplitAfter(l.lines, "\n")}
}

func (l *lines) Next() (*pipeline.Line, logs.Place, bool) {
	if len(l.rest) <= 1 {
		return nil, logs.Place{}, false
	}
	l.line.Raw = []byte(strings.TrimSuffix(l.rest[0], "\n"))
	l.rest = l.rest[1:]
	l.reader.Read(l.src, written.UnixNano(), &l.line)
	l.replay.Count(l.src, &l.line)
	return &l.line, logs.Place{}, true
}

func (l *lines) Close() {}

func (l *lines) First() time.Time { return time.Time{} }

func (l *lines) Finish(f func([]rsynclog.Change)) { l.replay.Finish(l.src, f) }

// fill returns the samples of logs.
func fill(t *testing.T, c backfill.Config, all ...log) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := backfill.Run(context.Background(), c, open(t, all...), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func open(t *testing.T, all ...log) (list []backfill.Lines) {
	t.Helper()
	for i := range all {
		list = append(list, newLines(t, &all[i]))
	}
	return list
}

// A point is a sample.
type point struct {
	at    string // "2006-01-02 15:04:05"
	value float64
}

// parse reads OpenMetrics with Prometheus' own parser, and returns each series' samples in their order.
func parse(t *testing.T, text string) map[string][]point {
	t.Helper()
	p := textparse.NewOpenMetricsParser([]byte(text), labels.NewSymbolTable())
	series, last := map[string][]point{}, map[string]int64{}
	for {
		entry, err := p.Next()
		if err == io.EOF {
			return series
		}
		if err != nil {
			t.Fatal(err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, at, value := p.Series()
		name := seriesName(p)
		if at == nil || last[name] >= *at {
			t.Fatalf("%s: a sample at %v, after one at %d", name, at, last[name])
		}
		last[name] = *at
		series[name] = append(series[name], point{time.UnixMilli(*at).UTC().Format(time.DateTime), value})
	}
}

// seriesName returns a series' name and labels in the order of their names.
func seriesName(p textparse.Parser) string {
	var l labels.Labels
	p.Labels(&l)
	return l.Get("__name__") + labels.NewBuilder(l).Del("__name__").Labels().String()
}

func points(list ...any) (p []point) {
	for i := 0; i < len(list); i += 2 {
		p = append(p, point{list[i].(string), float64(list[i+1].(int))})
	}
	return p
}

// check compares the samples of a series.
func check(t *testing.T, series map[string][]point, name string, want ...any) {
	t.Helper()
	if got, want := series[name], points(want...); !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", name, got, want)
	}
}
