package pipeline_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// briefly counts a log whose last line has a Brief, or is read in full. ok is false if it has none.
func briefly(t *testing.T, src *receiver.Source, c pipeline.Config, last []byte, brief bool) (l pipeline.Line, ok bool) {
	replay, err := pipeline.NewReplay(c, time.UTC, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	reader := replay.Reader()
	for _, raw := range []string{
		"2026/11/23 18:40:50 [505] connect from UNKNOWN (2001:db8::7)", "2026/11/23 18:40:51 [505] rsync on pub/ from UNKNOWN (2001:db8::7)",
		"2026/11/23 18:40:52 [505] send UNKNOWN [2001:db8::7] pub () a 6", "2026/11/23 18:40:52 [505] send UNKNOWN [2001:db8::7] pub () a 6",
	} {
		l = pipeline.Line{Raw: []byte(raw)}
		reader.Read(src, 0, &l)
		replay.Count(src, &l)
	}
	l = pipeline.Line{}
	if brief {
		b := reader.Brief(src, last)
		if !b.IsSet() {
			return l, false
		}
		replay.CountBrief(src, &b, last, &l)
		return l, true
	}
	l.Raw = last
	reader.Read(src, 0, &l)
	replay.Count(src, &l)
	return l, true
}

// A line that has a Brief says what Read would have found, whatever bytes its header has.
func TestBriefsSayWhatReadFinds(t *testing.T) {
	c := pipeline.Config{LogFormat: rsynclog.DefaultLogFormat, Tags: []string{"rsyncd*"}, Limits: rsynclog.DefaultLimits()}
	src := &receiver.Source{Scope: receiver.StdinScope + 1, Input: "file", Dialect: syslog.Lines{}}
	lines := [][]byte{}
	for _, base := range []string{
		"2026/11/23 18:40:52 [505] send UNKNOWN [2001:db8::7] pub () b/c 7", "2026/11/23 18:40:07 [17] del. UNKNOWN [2001:db8::7] pub () d 0",
		"2026/11/23 18:40:59 [999999999] recv h [192.0.2.7] m (u) e 5\r",
	} {
		for at := range len(base) {
			for _, b := range []byte("\x00\n\r 059:;]\xff") {
				lines = append(lines, append(append([]byte(base[:at]), b), base[at+1:]...), append(append([]byte(base[:at]), b), base[at:]...))
			}
			lines = append(lines, []byte(base[:at]), append([]byte(base[:at]), base[min(len(base), at+1):]...))
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range lines {
		a, b := lines[i], lines[rnd.IntN(len(lines))]
		lines = append(lines, append(bytes.Clone(a[:len(a)/2]), b[len(b)/2:]...))
	}
	briefs := 0
	for _, raw := range lines {
		got, ok := briefly(t, src, c, raw, true)
		if !ok {
			continue
		}
		briefs++
		want, _ := briefly(t, src, c, raw, false)
		for _, l := range []*pipeline.Line{&got, &want} {
			l.Message.Stamp, l.Message.Scratch = nil, nil
		}
		if !got.Ours || !reflect.DeepEqual(publicOf(&got), publicOf(&want)) {
			t.Errorf("%q: %+v, want %+v", raw, publicOf(&got), publicOf(&want))
		}
	}
	if briefs < len(lines)/4 {
		t.Errorf("%d of %d lines have a Brief", briefs, len(lines))
	}
}

// publicOf returns what users of a Line see.
func publicOf(l *pipeline.Line) map[string]any {
	all := map[string]any{}
	v := reflect.ValueOf(l).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && f.Name != "Session" && f.Name != "Origin" && f.Name != "Changes" {
			all[f.Name] = v.Field(i).Interface()
		}
	}
	for _, c := range l.Changes {
		c.Origin, c.Session = nil, nil
		all["change"] = c
	}
	if l.Session != nil {
		all["session"] = l.Session.SessionRecord
	}
	return all
}

// Where something else than the line decides how it is read, none has a Brief.
func TestNoBriefs(t *testing.T) {
	standard := pipeline.Config{LogFormat: rsynclog.DefaultLogFormat, Tags: []string{"rsyncd*"}, Limits: rsynclog.DefaultLimits()}
	full, other := standard, standard
	full.InFull, other.LogFormat = true, "%o %f %l"
	own := receiver.Source{Scope: receiver.StdinScope + 1, Input: "file", Dialect: syslog.Lines{}}
	wrapped, named, expression := own, own, own
	wrapped.Wrapped, named.Host = true, "h"
	expression.Dialect = mustLineFormat(`(?P<date>\S+) (?P<timestamp>\S+) \[(?P<pid>\d+)\] (?P<description>.*)`)
	last := []byte("2026/11/23 18:40:52 [505] send UNKNOWN [2001:db8::7] pub () b 7")
	for name, x := range map[string]struct {
		src receiver.Source
		c   pipeline.Config
		ok  bool
	}{
		"standard": {own, standard, true}, "each read in full": {own, full, false}, "another log format": {own, other, false},
		"lines in a syslog": {wrapped, standard, false}, "a host of the file": {named, standard, false}, "an expression": {expression, standard, false},
	} {
		if _, ok := briefly(t, &x.src, x.c, last, true); ok != x.ok {
			t.Errorf("%s: %v", name, ok)
		}
	}
}
