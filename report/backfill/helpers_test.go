package backfill_test

import (
	"bytes"
	"context"
	"fmt"
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

// now is the present of all tests.
var now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// books are as large as the exporter's.
var books = metrics.Config{MaxSeries: 50000, Start: now}

func config() backfill.Config {
	return backfill.Config{Step: time.Minute, Gap: backfill.DefaultGap, Books: books}
}

// A log is the lines of one file, all of them of one host if it isn't empty.
type log struct {
	host  string
	lines string
	zone  *time.Location // nil: UTC
	err   error          // of reading it
}

func pipelineConfig() pipeline.Config {
	return pipeline.Config{LogFormat: "%o %h [%a] %m (%u) %f %l", Tags: []string{"rsyncd"}, MaxSeries: books.MaxSeries,
		Limits: rsynclog.DefaultLimits(), InFull: true}
}

func source(l *log) *receiver.Source {
	return &receiver.Source{Input: "file", Name: "log", Host: l.host, Scope: receiver.StdinScope + 1, Dialect: syslog.Lines{}}
}

// read gives the lines of a log to a Book, as logs.Read does.
func read(ctx context.Context, l *log, book logs.Book) []error {
	zone := l.zone
	if zone == nil {
		zone = time.UTC
	}
	replay, err := pipeline.NewReplay(pipelineConfig(), zone, now)
	if err != nil {
		return []error{err}
	}
	replay.Together = true
	src, reader, line := source(l), replay.Reader(), pipeline.Line{}
	book.Begin(&logs.Set{})
	for text := range strings.Lines(l.lines) {
		if ctx.Err() != nil {
			return []error{ctx.Err()}
		}
		line.Raw = bytes.TrimSuffix([]byte(text), []byte("\n"))
		reader.Read(src, now.UnixNano(), &line)
		replay.Count(src, &line)
		book.Line(logs.Place{}, &line)
	}
	replay.Finish(src, book.Ended)
	replay.Running(book.Running)
	if l.err != nil {
		return []error{l.err}
	}
	return nil
}

// fill returns the samples of logs.
func fill(t *testing.T, c backfill.Config, all ...log) string {
	t.Helper()
	var out bytes.Buffer
	if unread, err := fillTo(context.Background(), &out, c, all...); err != nil || len(unread) > 0 {
		t.Fatal(unread, err)
	}
	return out.String()
}

func fillTo(ctx context.Context, out io.Writer, c backfill.Config, all ...log) ([]error, error) {
	sets := make([]logs.Set, len(all))
	for i := range sets {
		sets[i].Name = fmt.Sprint(i)
	}
	return backfill.Run(ctx, c, sets, out, func(ctx context.Context, set *logs.Set, book logs.Book) []error {
		i := slices.IndexFunc(sets, func(s logs.Set) bool { return s.Name == set.Name })
		return read(ctx, &all[i], book)
	})
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
		var l labels.Labels
		p.Labels(&l)
		name := l.Get("__name__") + labels.NewBuilder(l).Del("__name__").Labels().String()
		if at == nil || last[name] >= *at {
			t.Fatalf("%s: a sample at %v, after one at %d", name, at, last[name])
		}
		last[name] = *at
		series[name] = append(series[name], point{time.UnixMilli(*at).UTC().Format(time.DateTime), value})
	}
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
