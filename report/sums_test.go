package report_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/report"
	"rsyncd_exporter/report/logs"
)

// A report tells the same in several ways: by module, client, family, user, hour and day. Whatever the log says, these
// come to the same sums.

// plus adds counts that stop at the end of their range.
func plus(all ...uint64) (sum uint64) {
	for _, n := range all {
		if sum += n; sum < n {
			return math.MaxUint64
		}
	}
	return sum
}

func addVolume(to *report.Volume, v report.Volume) {
	to.Sessions, to.Sent, to.Received = plus(to.Sessions, v.Sessions), plus(to.Sent, v.Sent), plus(to.Received, v.Received)
}

func total(m map[string]uint64) uint64 { return plus(slices.Collect(maps.Values(m))...) }

// A ledger collects the sums that differ.
type ledger struct{ wrong []string }

func (l *ledger) equal(what string, got, want any) {
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		l.wrong = append(l.wrong, fmt.Sprintf("%s: %s, want %s", what, g, w))
	}
}

func (l *ledger) atMost(what string, n, most uint64) {
	if n > most {
		l.wrong = append(l.wrong, fmt.Sprintf("%s: %d is more than %d", what, n, most))
	}
}

// wrongSums returns which sums of a report differ.
func wrongSums(s *report.Summary) []string {
	var l ledger
	whole := report.Volume{Sessions: total(s.Sessions), Sent: s.Sent, Received: s.Received}
	l.modules(s, whole)
	l.clients(s, whole)
	l.times(s, whole)
	l.lines(s)
	l.lists(s)
	return l.wrong
}

func (l *ledger) modules(s *report.Summary, whole report.Volume) {
	var sum, named, users report.Volume
	var listed, executions, files, deleted, began, refused uint64
	outcomes, known := map[string]uint64{}, map[string]bool{}
	for _, m := range s.Modules {
		v := report.Volume{Sessions: total(m.Sessions), Sent: m.Sent, Received: m.Received}
		addVolume(&sum, v)
		if m.Module != "" && m.Direction != "" {
			addVolume(&named, v)
		}
		for o, n := range m.Sessions {
			outcomes[o] += n
		}
		listed, executions = plus(listed, m.Listed), executions+m.Executions
		files, deleted = files+m.Files, deleted+m.Deleted
		known[m.Module] = true
		l.equal("buckets of "+m.Module, plus(m.Duration.Buckets...), m.Duration.N)
		l.atMost("durations of "+m.Module, m.Duration.N, v.Sessions)
	}
	l.equal("modules", sum, whole)
	l.equal("outcomes of modules", outcomes, s.Sessions)
	l.equal("listed bytes, executions of modules", []uint64{listed, executions}, []uint64{s.Listed, s.Executions})
	l.equal("files, deletions of modules", []uint64{files, deleted},
		[]uint64{s.Totals.Files["send"] + s.Totals.Files["recv"] + s.Totals.Files["unknown"], s.Totals.Files["del."]})
	for _, u := range s.Users {
		addVolume(&users, u.Volume)
		l.equal("sessions of user "+u.User, total(u.Sessions), u.Volume.Sessions)
	}
	l.equal("users", users, named)
	for _, m := range s.Saturation {
		began, refused = plus(began, plus(m.Begun...)), refused+m.Refused
		if !known[m.Module] && m.Peak > 0 && s.Filter == nil && s.Running == 0 {
			l.wrong = append(l.wrong, fmt.Sprintf("module %q ran without a session", m.Module))
		}
	}
	l.atMost("transfers that began", began, s.Executions+s.Running)
	l.equal("refused", refused, s.Rejected["max_connections"])
}

func (l *ledger) clients(s *report.Summary, whole report.Volume) {
	var clients, families report.Volume
	for _, c := range s.Clients {
		addVolume(&clients, c.Volume)
	}
	addVolume(&clients, s.ClientsRest.Volume)
	for _, v := range s.Families {
		addVolume(&families, v)
	}
	l.equal("clients and the rest", clients, whole)
	l.equal("families", families, whole)
	for name, by := range map[string]map[string]report.Volume{"groups": s.Groups, "places": s.Places} {
		var sum report.Volume
		for _, v := range by {
			addVolume(&sum, v)
		}
		if len(by) > 0 {
			l.equal(name, sum, whole)
		}
	}
}

func (l *ledger) times(s *report.Summary, whole report.Volume) {
	var heat, hours, days report.Volume
	var failed, rejected uint64
	for h := range s.Hours {
		var hour report.Volume
		for d := range s.Heat {
			addVolume(&hour, s.Heat[d][h])
		}
		l.equal(fmt.Sprintf("hour %d of the week", h), hour, s.Hours[h])
		addVolume(&heat, hour)
		addVolume(&hours, s.Hours[h])
	}
	for i, d := range s.Days {
		addVolume(&days, d.Volume)
		failed, rejected = failed+d.Failed, rejected+d.Rejected
		date, err := time.Parse(time.DateOnly, d.Date)
		if i > 0 && s.Days[i-1].Date != date.AddDate(0, 0, -1).Format(time.DateOnly) || err != nil {
			l.wrong = append(l.wrong, "a day before "+d.Date+" is missing")
		}
	}
	l.equal("days", days, hours)
	l.equal("heat", heat, hours)
	l.atMost("sessions of all days", days.Sessions, whole.Sessions)
	l.atMost("bytes of all days", plus(days.Sent, days.Received), plus(whole.Sent, whole.Received))
	l.atMost("failed on all days", failed, s.Sessions["partial"]+s.Sessions["aborted"]+s.Sessions["unknown"])
	l.atMost("rejected on all days", rejected, s.Sessions["rejected"])
	if s.From > s.To && s.From[len(s.From)-1:] == "Z" && s.To[len(s.To)-1:] == "Z" {
		l.wrong = append(l.wrong, "from "+s.From+" to "+s.To)
	}
}

func (l *ledger) lines(s *report.Summary) {
	l.equal("kinds", []uint64{s.Kinds["unrecognised"], s.Kinds["implausible"]}, []uint64{s.Unrecognised, s.Implausible})
	if f := s.Filter; f == nil || f.Module+f.Direction+f.Client+f.User == "" {
		l.equal("lines", total(s.Kinds)+s.Ignored+s.Discarded, s.Lines)
	}
	if s.Filter == nil {
		lines := uint64(0)
		for _, f := range s.Files {
			lines += f.Lines
		}
		l.equal("lines of files", lines, s.Lines)
	}
}

func (l *ledger) lists(s *report.Summary) {
	var paths, deleted, waste uint64
	for _, p := range s.Paths {
		paths += p.Count
	}
	for _, p := range s.Deleted {
		deleted += p.Count
	}
	l.atMost("paths", paths, total(s.Totals.Files)-s.Totals.Files["del."])
	l.atMost("deleted paths", deleted, s.Totals.Files["del."])
	for _, c := range s.Waste.Clients {
		waste = plus(waste, c.Bytes)
	}
	l.atMost("waste of clients", waste, s.Waste.Bytes)
	if s.Waste.Sampled == 1 {
		l.atMost("waste", s.Waste.Bytes, total(s.FileBytes))
	}
	l.atMost("waste a day", uint64(s.Waste.PerDay), s.Waste.Bytes)
}

// filters are what a report can be of.
func filters(from, to time.Time) []report.Options {
	third := to.Sub(from) / 3
	return []report.Options{
		{}, {Since: from.Add(third)}, {Until: to.Add(-third)}, {Since: from.Add(third), Until: to.Add(-third)},
		{Direction: "send"}, {Client: "10.0.0.0/8"}, {User: "alice"}, {Module: "debian", Since: from.Add(third)},
	}
}

// summed reads a log with each filter, and says which sums differ.
func summed(t *testing.T, what string, text []byte, from, to time.Time) {
	t.Helper()
	for _, o := range filters(from, to) {
		o.Zone, o.Now, o.Top, o.SuggestExpect = time.UTC, now, 5, true
		c := logsConfig()
		c.Stdin = bytes.NewReader(text)
		f := report.NewFold(o)
		set := logs.Set{Name: "-", Files: []logs.File{{Path: "-", Written: now}}}
		if errs := logs.Read(context.Background(), c, []logs.Set{set}, f); len(errs) > 0 {
			t.Logf("%s: %v", what, errs)
		}
		s := f.Summary()
		other := *s
		other.Interrupted = true
		merged, err := report.Merge([]*report.Summary{s, &other}, 5)
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]*report.Summary{"": s, ", merged": merged} {
			for _, wrong := range wrongSums(s) {
				t.Errorf("%s%s with %+v: %s", what, name, s.Filter, wrong)
			}
		}
	}
}

func TestSumsAgree(t *testing.T) {
	for _, dir := range []string{"corpus", "forms", "captures"} {
		err := filepath.WalkDir(filepath.Join(corpus.Dir(), "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			summed(t, path, text, monday.AddDate(0, 0, -30), monday)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	r := rand.New(rand.NewPCG(testenv.Seed(t), 2))
	for range testenv.Tortured(30, 1000) {
		shape := randomShape(r)
		shape.Start = monday
		var text bytes.Buffer
		truth, err := corpus.Generate(&text, shape)
		if err != nil {
			t.Fatal(err)
		}
		summed(t, fmt.Sprintf("%+v", shape), text.Bytes(), monday, monday.Add(time.Duration(truth.Lines)*shape.Step))
	}
}
