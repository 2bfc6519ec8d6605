package report_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/report"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

// folded returns the report of files.
func folded(t *testing.T, top int, paths ...string) *report.Summary {
	t.Helper()
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	c := logs.Config{
		Pipeline: pipeline.Config{LogFormat: rsynclog.DefaultLogFormat, Limits: rsynclog.DefaultLimits()},
		Lines:    syslog.Lines{}, Zone: time.UTC, Now: now,
	}
	sets, errs := logs.Find(c, paths)
	fold := report.NewFold(report.Options{Top: top, Zone: time.UTC, Now: now})
	errs = append(errs, logs.Read(context.Background(), c, sets, fold)...)
	for _, err := range errs {
		t.Fatal(err)
	}
	return fold.Summary()
}

// nights writes the log of so many nights, a session after the other, into one file and into three.
func nights(t *testing.T, n int) (whole string, pieces []string) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	at := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	var all, piece strings.Builder
	cut := func() {
		path := filepath.Join(dir, fmt.Sprintf("piece-%c.log", 'a'+len(pieces)))
		if err := os.WriteFile(path, []byte(piece.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		all.WriteString(piece.String())
		piece.Reset()
		pieces = append(pieces, path)
	}
	pid := 1000
	for night := range n {
		for range 30 {
			pid++
			line := func(format string, args ...any) {
				at = at.Add(time.Duration(1+rnd.IntN(60)) * time.Second)
				fmt.Fprintf(&piece, "%s [%d] %s\n", at.Format("2006/01/02 15:04:05"), pid, fmt.Sprintf(format, args...))
			}
			client := fmt.Sprintf("192.0.2.%d", rnd.IntN(1+rnd.IntN(40)))
			module := []string{"data", "pub"}[rnd.IntN(2)]
			line("connect from UNKNOWN (%s)", client)
			line("rsync allowed access on module %s from UNKNOWN (%s)", module, client)
			user := []string{"", "alice@", "bob@"}[rnd.IntN(3)]
			line("rsync on %s/ from %sUNKNOWN (%s)", module, user, client)
			line("building file list")
			for range rnd.IntN(4) {
				length := 10 + rnd.IntN(1000)
				line("send UNKNOWN [%s] %s (%s) f%d %d", client, module, strings.TrimSuffix(user, "@"),
					rnd.IntN(1+rnd.IntN(30)), length)
			}
			if rnd.IntN(5) == 0 {
				line("rsync error: timeout in data send/receive (code 30) at io.c(197) [sender=3.2.7]")
				continue
			}
			line("sent %d bytes  received %d bytes  total size %d", rnd.IntN(1e6), rnd.IntN(1000), rnd.IntN(1e7))
		}
		at = at.Truncate(24 * time.Hour).Add(25 * time.Hour)
		if night == n/3 || night == n/2 || night == n-1 {
			cut()
		}
	}
	whole = filepath.Join(dir, "whole.log")
	if err := os.WriteFile(whole, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return whole, pieces
}

func text(t *testing.T, s *report.Summary) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.JSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// reread returns a Summary as another machine reads it.
func reread(t *testing.T, s *report.Summary) *report.Summary {
	t.Helper()
	s, err := report.ReadSummary(strings.NewReader(text(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func merge(t *testing.T, top int, parts ...*report.Summary) *report.Summary {
	t.Helper()
	s, err := report.Merge(parts, top)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Where the lists leave nothing out, the pieces make the whole. What they can't know: what was
// fetched again across a cut, and how long nothing ran between two pieces.
func TestMergedPiecesAreTheWhole(t *testing.T) {
	for _, n := range []int{4, 10} {
		path, pieces := nights(t, n)
		whole := folded(t, 1000, path)
		var parts []*report.Summary
		for _, p := range pieces {
			parts = append(parts, reread(t, folded(t, 1000, p)))
		}
		got := merge(t, 1000, parts...)
		if got.Merged != 3 || len(got.Files) != 3 || whole.Executions != uint64(30*n) {
			t.Errorf("%d reports, %d files, %d transfers", got.Merged, len(got.Files), whole.Executions)
		}
		if !got.Waste.AtLeast || got.Waste.Bytes > whole.Waste.Bytes {
			t.Errorf("waste is %+v, of the whole %+v", got.Waste, whole.Waste)
		}
		for i, s := range whole.Saturation {
			if between := s.SecondsAt[0] - got.Saturation[i].SecondsAt[0]; between < 0 {
				t.Errorf("%s: nothing ran for %.0f s longer", s.Module, -between)
			}
			got.Saturation[i].SecondsAt[0] = s.SecondsAt[0]
		}
		got.Merged, got.Files, got.Waste = 0, whole.Files, whole.Waste
		if a, b := text(t, got), text(t, whole); a != b {
			t.Errorf("%d nights: merged and whole differ:\n%s", n, firstDifference(a, b))
		}
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return strings.Join(x[max(0, i-8):min(len(x), i+4)], "\n") + "\n--\n" +
				strings.Join(y[max(0, i-8):min(len(y), i+4)], "\n")
		}
	}
	return "one is longer"
}

// Short lists state bounds that hold, and the order of the reports doesn't matter.
func TestMergedShortListsStayWithinTheirBounds(t *testing.T) {
	path, pieces := nights(t, 12)
	whole := folded(t, 1000, path)
	clients, paths := map[string]report.Volume{}, map[string]uint64{}
	var all uint64
	for _, c := range whole.Clients {
		clients[c.Client] = c.Volume
		all += c.Sent
	}
	for _, p := range whole.Paths {
		paths[p.Module+"/"+p.Path] = p.Count
	}
	for _, top := range []int{1, 3, 8} {
		var parts []*report.Summary
		for _, p := range pieces {
			parts = append(parts, folded(t, top, p))
		}
		got := merge(t, top, parts...)
		for _, order := range [][3]int{{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
			other := merge(t, top, parts[order[0]], parts[order[1]], parts[order[2]])
			if a, b := text(t, got), text(t, other); a != b {
				t.Errorf("order %v makes another report:\n%s", order, firstDifference(a, b))
			}
		}
		sum, listed := got.ClientsRest.Sent, map[string]bool{}
		errors := 0
		for _, c := range got.Clients {
			is, most := clients[c.Client], c.Volume
			if c.Error != nil {
				most = report.Volume{Sessions: most.Sessions + c.Error.Sessions, Sent: most.Sent + c.Error.Sent}
				errors++
			}
			if c.Sent > is.Sent || is.Sent > most.Sent || c.Sessions > is.Sessions || is.Sessions > most.Sessions {
				t.Errorf("top %d: %+v (%+v) is %+v", top, c, c.Error, is)
			}
			sum, listed[c.Client] = sum+c.Sent, true
		}
		if sum != all || top == 1 && errors == 0 {
			t.Errorf("top %d: list and rest make %d of %d bytes; %d may be too small", top, sum, all, errors)
		}
		most := got.ClientsRest.AtMost
		for c, v := range clients {
			if !listed[c] && (v.Sent > most.Sent || v.Sessions > most.Sessions) {
				t.Errorf("top %d: %s isn't listed with %+v, more than %+v", top, c, v, most)
			}
		}
		listed = map[string]bool{}
		for _, p := range got.Paths {
			name := p.Module + "/" + p.Path
			if is := paths[name]; p.Count > is || is > p.Count+p.Error {
				t.Errorf("top %d: %+v is %d", top, p, is)
			}
			listed[name] = true
		}
		for p, n := range paths {
			if !listed[p] && n > *got.PathsAtMost {
				t.Errorf("top %d: %s isn't listed with %d, more than %d", top, p, n, *got.PathsAtMost)
			}
		}
	}
}

func client(name string, sessions, sent uint64) report.Client {
	return report.Client{Client: name, Volume: report.Volume{Sessions: sessions, Sent: sent}}
}

// a is in both lists, b and c in one each. The first list leaves out 4 sessions and 40 bytes, of
// which a client can have at most 3 and 30; the second doesn't say, so c may have had all of 5 and
// 50 there, and b likewise.
func TestMergedErrorsAreWhatAListLeavesOut(t *testing.T) {
	one := &report.Summary{Version: 1, From: "2026-03-01T00:00:00Z", Clients: []report.Client{
		client("a", 10, 1000), client("b", 9, 900),
	}}
	one.ClientsRest = report.Rest{Entries: 2, Volume: report.Volume{Sessions: 4, Sent: 40}}
	one.ClientsRest.AtMost = &report.Volume{Sessions: 3, Sent: 30}
	two := &report.Summary{Version: 1, From: "2026-03-02T00:00:00Z", Clients: []report.Client{
		client("a", 1, 10), client("c", 8, 800),
	}}
	two.ClientsRest = report.Rest{Entries: 1, Volume: report.Volume{Sessions: 5, Sent: 50}}
	got := merge(t, 2, one, two)
	if len(got.Clients) != 2 || got.Clients[0].Sent != 1010 || got.Clients[0].Error != nil {
		t.Fatalf("got %+v", got.Clients)
	}
	if b := got.Clients[1]; b.Client != "b" || b.Sent != 900 || *b.Error != (report.Volume{Sessions: 5, Sent: 50}) {
		t.Errorf("got %+v, %+v", b, b.Error)
	}
	// c: 8 and 800, and 3 and 30 of the first part at most. All: 4+5+8 sessions, 40+50+800 bytes.
	rest := got.ClientsRest
	if rest.Volume != (report.Volume{Sessions: 17, Sent: 890}) || *rest.AtMost != (report.Volume{Sessions: 11, Sent: 830}) {
		t.Errorf("rest is %+v, each at most %+v", rest, rest.AtMost)
	}
}

// Successes at 1:00 and 3:00, then in the other report at 10:00 and 11:00: the longest gap is seven
// hours, between the reports.
func TestMergedGapsReachFromOneReportToTheNext(t *testing.T) {
	user := func(first, last, attempt string, gap float64, listed uint64) *report.Summary {
		return &report.Summary{Version: 1, From: first, Users: []report.User{{
			Module: "m", User: "u", FirstSeen: first, FirstOK: first, LastSuccess: last, LastAttempt: attempt,
			LongestGap: gap, GapFrom: first, Listed: listed,
		}}}
	}
	day := "2026-03-01T"
	got := merge(t, 5,
		user(day+"10:00:00Z", day+"11:00:00Z", day+"12:00:00Z", 3600, 7),
		user(day+"01:00:00Z", day+"03:00:00Z", day+"04:00:00Z", 7200, 5))
	want := report.User{
		Module: "m", User: "u", FirstSeen: day + "01:00:00Z", FirstOK: day + "01:00:00Z", LastSuccess: day + "11:00:00Z",
		LastAttempt: day + "12:00:00Z", LongestGap: 7 * 3600, GapFrom: day + "03:00:00Z", Listed: 7,
	}
	if len(got.Users) != 1 || fmt.Sprint(got.Users[0]) != fmt.Sprint(want) {
		t.Errorf("got %+v", got.Users)
	}
}

func TestMergeRefusesReportsOfSomethingElse(t *testing.T) {
	a := &report.Summary{Version: 1, Zone: "UTC", Name: "a.json"}
	zone := &report.Summary{Version: 1, Zone: "Europe/Berlin", Name: "b.json"}
	filter := &report.Summary{Version: 1, Zone: "UTC", Name: "c\n.json", Filter: &report.Filter{Module: "m"}}
	_, err := report.Merge([]*report.Summary{a, zone, filter, a}, 5)
	if err == nil {
		t.Fatal("no error")
	}
	times := &report.Summary{Version: 1, Zone: "UTC", Filter: &report.Filter{Since: "2026-11-23T01:00:00Z"}}
	if _, err := report.Merge([]*report.Summary{a, times}, 5); err == nil || !strings.HasSuffix(err.Error(),
		`"a.json" has none: make both with the same, by dates: 7d is another time for each`) {
		t.Errorf("got %v", err)
	}
	want := `"b.json" has the time zone "Europe/Berlin", "a.json" has "UTC": make both with the same --timezone` + "\n" +
		`"c\n.json" has the filter --module="m", "a.json" has none: make both with the same`
	if err.Error() != want {
		t.Errorf("got %s", err)
	}
	read := fold(t, report.Options{}, small)
	again := *read
	read.Name, again.Name = "all.json", "b.json"
	if _, err := report.Merge([]*report.Summary{read, &again}, 5); err == nil ||
		err.Error() != `"all.json" and "b.json" are the same report: its lines would count twice` {
		t.Errorf("got %v", err)
	}
	if _, err := report.Merge(nil, 5); err == nil {
		t.Error("no reports make one")
	}
	if s := merge(t, 5, a); s.Waste.AtLeast {
		t.Error("one report alone knows less than it did")
	}
}
