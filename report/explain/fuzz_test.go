package explain_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/report/explain"
	"rsyncd_exporter/report/logs"
)

// tell has an Explainer told of a log, and returns what it writes.
func tell(t *testing.T, log []byte, o explain.Options) (string, [explain.NumClasses]uint64) {
	t.Helper()
	replay, err := pipeline.NewReplay(config().Pipeline, time.UTC, config().Now)
	if err != nil {
		t.Fatal(err)
	}
	src := receiver.Source{Input: "file", Name: "log", Scope: receiver.StdinScope + 1, Dialect: syslog.Lines{}}
	reader := replay.Reader()
	var out bytes.Buffer
	o.Zone = time.UTC
	e := explain.New(&out, o)
	e.Begin(&logs.Set{Name: "log"})
	var l pipeline.Line
	for i, raw := range bytes.Split(log, []byte("\n")) {
		l.Raw = raw
		reader.Read(&src, config().Now.UnixNano(), &l)
		replay.Count(&src, &l)
		e.Line(logs.Place{File: "log", Number: uint64(i + 1)}, &l)
	}
	replay.Finish(&src, e.Ended)
	replay.Running(e.Running)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String(), e.Counts()
}

// Whatever stands in a log, each line comes once, as valid JSON or as one line for people, of bounded length; and a story is one of
// printable lines.
func FuzzExplain(f *testing.F) {
	for _, path := range corpus.Files(f, "file/*s.log") {
		if b := corpus.ReadFile(f, path); len(b) < 2<<10 {
			f.Add(b)
		}
	}
	f.Add([]byte(mixed))
	f.Add([]byte("2026/11/23 23:51:22 [5] \x1b\u202e\xff\n\x00\n<1\n"))
	f.Fuzz(func(t *testing.T, log []byte) {
		if len(log) > 32<<10 {
			return
		}
		raw := bytes.Split(log, []byte("\n"))
		out, counts := tell(t, log, explain.Options{JSON: true})
		said := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if len(said) != len(raw) {
			t.Fatalf("%d objects for %d lines", len(said), len(raw))
		}
		pid, sum := int32(0), uint64(0)
		for i, line := range said {
			var o object
			if err := json.Unmarshal([]byte(line), &o); err != nil || o.Line != uint64(i+1) || !utf8.ValidString(line) {
				t.Fatalf("line %d: %q: %v", i+1, line, err)
			}
			if most := 1024 + 48*len(raw[i]); len(line) > most || len(line) > 200_000 {
				t.Fatalf("line %d of %d bytes is told in %d, want at most %d", i+1, len(raw[i]), len(line), most)
			}
			if o.PID > 0 && o.PID <= math.MaxInt32 {
				pid = int32(o.PID)
			}
		}
		for _, n := range counts {
			sum += n
		}
		if sum != uint64(len(raw)) {
			t.Fatalf("%d lines are counted of %d", sum, len(raw))
		}
		out, same := tell(t, log, explain.Options{})
		if told := strings.Count(out, "\n"); told < len(raw)+4 || same != counts { // heading, blank, sum, a kind
			t.Fatalf("%d lines for people for %d lines, %v and %v", told, len(raw), same, counts)
		}
		printable(t, out)
		out, _ = tell(t, log, explain.Options{Session: explain.Target{PID: max(pid, 1)}})
		printable(t, out)
	})
}

func printable(t *testing.T, out string) {
	t.Helper()
	if !utf8.ValidString(out) {
		t.Fatalf("bytes that aren't UTF-8: %q", out)
	}
	for i, r := range out {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r >= '\u202a' && r <= '\u202e' {
			t.Fatalf("%q in %q", r, out[max(0, i-60):i+1])
		}
	}
}
