package report_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/report"
)

// A writer writes the log of one daemon.
type writer struct {
	strings.Builder
	pid int
}

// session writes one that ends so many seconds after it began, with 1,000 bytes received. It is a backup for a user,
// a pull for nobody.
func (w *writer) session(ends time.Time, took time.Duration, module, user string) {
	w.pid++
	line := func(at time.Time, format string, args ...any) {
		fmt.Fprintf(w, "%s [%d] %s\n", at.UTC().Format("2006/01/02 15:04:05"), 1000+w.pid, fmt.Sprintf(format, args...))
	}
	begins := ends.Add(-took)
	line(begins, "connect from h (192.0.2.1)")
	line(begins, "rsync allowed access on module %s from h (192.0.2.1)", module)
	if user != "" {
		line(begins, "rsync to %s/ from %s@h (192.0.2.1)", module, user)
	} else {
		line(begins, "rsync on %s/ from h (192.0.2.1)", module)
	}
	line(ends, "sent 0 bytes  received 1000 bytes  total size 5")
}

// Percentiles are never too small, and at most a quarter too large.
func TestPercentilesAreBounded(t *testing.T) {
	bounds := report.DurationBounds()
	if bounds[0] != 0 || bounds[1] != 0.001 || bounds[len(bounds)-1] != 9e6 {
		t.Errorf("bounds from %v, %v to %v", bounds[0], bounds[1], bounds[len(bounds)-1])
	}
	for i := 2; i < len(bounds); i++ {
		if ratio := bounds[i] / bounds[i-1]; ratio <= 1 || ratio > 1.2500001 {
			t.Errorf("%v follows %v", bounds[i], bounds[i-1])
		}
	}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		var w writer
		var took []float64
		for i := range 1 + r.IntN(200) {
			s := math.Floor(math.Exp(r.Float64()*11)) - 1 // 0 s to 16 h
			took = append(took, s)
			w.session(monday.AddDate(-1, 0, i), time.Duration(s)*time.Second, "m", "")
		}
		slices.Sort(took)
		d := fold(t, report.Options{}, w.String()).Modules[0].Duration
		for _, c := range []struct{ part, got float64 }{{0.5, d.P50}, {0.9, d.P90}, {1, d.Max}} {
			exact := took[int(math.Ceil(c.part*float64(len(took))))-1]
			if c.got < exact || c.got > 1.25*exact || c.part == 1 && c.got != exact {
				t.Errorf("seed %d: %v of %d durations is %v, and %v is said", seed, c.part, len(took), exact, c.got)
			}
		}
		var n uint64
		for i, b := range d.Buckets {
			exact := uint64(0)
			for _, s := range took {
				if (i == len(bounds) || s <= bounds[i]) && (i == 0 || s > bounds[i-1]) {
					exact++
				}
			}
			if n += b; b != exact {
				t.Errorf("bucket %d has %d, want %d", i, b, exact)
			}
		}
		if n != d.N || n != uint64(len(took)) {
			t.Errorf("%d in buckets, N is %d, want %d", n, d.N, len(took))
		}
	}
}

func TestSuggestedExpectations(t *testing.T) {
	day := 24 * time.Hour
	every := func(n int, gap time.Duration) (at []time.Duration) {
		for i := range n {
			at = append(at, time.Duration(i)*gap)
		}
		return at
	}
	late := every(31, day)
	late[7] += 70 * time.Minute
	missed := slices.Delete(every(31, day), 12, 13)
	long := every(600, day)
	for i := range long[3:] {
		long[3+i] += 9 * day
	}
	r := rand.New(rand.NewPCG(3, 3))
	irregular := []time.Duration{}
	for range 40 {
		irregular = append(irregular, time.Duration(r.Int64N(int64(30*day))))
	}
	slices.Sort(irregular)
	for _, c := range []struct {
		name, user string
		at         []time.Duration
		want       []report.Expected
	}{
		{"two", "anna", every(2, day), nil},
		{"three", "anna", every(3, day), []report.Expected{
			{Entry: "data@anna<26h", Evidence: "3 successes in 3 days, every 24 h, longest gap 24 h"}}},
		{"pulls", "", every(31, day), nil},
		{"late once", "anna", late, []report.Expected{
			{Entry: "data@anna<26h", Evidence: "31 successes in 31 days, every 24 h, longest gap 25 h 10 min"}}},
		// 29 of 30 gaps are of a day.
		{"missed once", "anna", missed, []report.Expected{
			{Entry: "data@anna<26h", Evidence: "30 successes in 31 days, every 24 h, longest gap 48 h"}}},
		{"weekly", "anna", every(5, 7*day), []report.Expected{
			{Entry: "data@anna<8d", Evidence: "5 successes in 29 days, every 7 days, longest gap 7 days"}}},
		// A twelfth more than an hour is 65 minutes.
		{"hourly", "anna", every(30, time.Hour), []report.Expected{
			{Entry: "data@anna<75m", Evidence: "30 successes in 2 days, every 1 h, longest gap 1 h"}}},
		{"each minute", "anna", every(30, time.Minute), nil},
		{"irregular", "anna", irregular, nil},
		// The gap of ten days is long settled.
		{"for long", "anna", long, []report.Expected{
			{Entry: "data@anna<26h", Evidence: "600 successes in 609 days, every 24 h, longest gap 10 days"}}},
		{"a name that EXPECT can't have", "an@na", every(31, day), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w writer
			for _, at := range c.at {
				w.session(monday.AddDate(-2, 0, 0).Add(at), 10*time.Second, "data", c.user)
			}
			got := fold(t, report.Options{SuggestExpect: true}, w.String()).Expect
			same(t, "suggestions", append([]report.Expected{}, got...), append([]report.Expected{}, c.want...))
		})
	}
	var w writer
	for _, at := range every(5, day) {
		w.session(monday.Add(at), time.Second, "data", "anna")
	}
	w.session(monday.Add(7*day+2*time.Hour), time.Second, "data", "")
	same(t, "one that has stopped", fold(t, report.Options{SuggestExpect: true}, w.String()).Expect, []report.Expected{
		{Entry: "data@anna<26h", Evidence: "5 successes in 5 days, every 24 h, longest gap 24 h, none in the last 3 days 2 h"}})
}

// Two logs of the same time: what comes later lies between what came before.
func TestGapsOfSeveralLogs(t *testing.T) {
	var even, odd writer
	for i := range 300 {
		even.session(monday.AddDate(-1, 0, 0).Add(time.Duration(2*i)*time.Hour), time.Second, "data", "anna")
	}
	for i := range 100 { // in the second half, of which all is kept
		odd.session(monday.AddDate(-1, 0, 0).Add(time.Duration(2*i+401)*time.Hour), time.Second, "data", "anna")
	}
	u := fold(t, report.Options{}, even.String(), odd.String()).Users[0]
	same(t, "longest gap", []any{u.LongestGap, u.GapFrom, u.Sessions}, []any{7200, "2025-11-23T00:00:00Z", byName{"ok": 400}})
	u = fold(t, report.Options{Since: monday.AddDate(-1, 0, 0).Add(400 * time.Hour)}, even.String(), odd.String()).Users[0]
	// From 400 h on there is one each hour, up to 598 and 599 h.
	same(t, "longest gap since", []any{u.LongestGap, u.Sessions}, []any{3600, byName{"ok": 200}})
}

func TestDaysAndHoursAreOfTheZone(t *testing.T) {
	zone, err := time.LoadLocation("America/Sao_Paulo") // on 2018-11-04 the clocks skipped midnight
	if err != nil {
		t.Skip(err)
	}
	var w writer
	w.session(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), time.Second, "m", "")
	w.session(time.Date(2018, 11, 4, 1, 0, 0, 0, time.UTC), 23*time.Hour, "m", "") // Friday, 23:00, to Saturday, 22:00
	w.session(time.Date(2018, 11, 4, 2, 59, 59, 0, time.UTC), 0, "m", "")          // Saturday, 23:59:59
	w.session(time.Date(2018, 11, 4, 3, 0, 0, 0, time.UTC), 0, "m", "")            // Sunday, 1:00:00
	s := fold(t, report.Options{Zone: zone}, w.String())
	same(t, "sessions", s.Sessions, byName{"ok": 4})
	same(t, "days", s.Days, []report.Day{ // none of 2001, which is more than twenty years ago
		{Date: "2018-11-02", Peak: 1},
		{Date: "2018-11-03", Volume: report.Volume{Sessions: 2, Received: 2000}, Peak: 1},
		{Date: "2018-11-04", Volume: report.Volume{Sessions: 1, Received: 1000}, Peak: 1},
	})
	same(t, "heat", []report.Hour{s.Heat[5][23], s.Heat[6][1]},
		[]report.Hour{{Sessions: 1, Received: 1000}, {Sessions: 1, Received: 1000}})
}

// On 2021-10-29 the clocks of Amman went back from 1:00 to 0:00: the day has two midnights, and begins with the first.
func TestADayWithTwoMidnights(t *testing.T) {
	zone, err := time.LoadLocation("Asia/Amman")
	if err != nil {
		t.Skip(err)
	}
	var w writer
	w.session(time.Date(2021, 10, 28, 20, 30, 0, 0, time.UTC), 0, "m", "") // 23:30
	w.session(time.Date(2021, 10, 28, 21, 30, 0, 0, time.UTC), 0, "m", "") // 0:30
	w.session(time.Date(2021, 10, 28, 22, 30, 0, 0, time.UTC), 0, "m", "") // 0:30 again
	one, two := report.Volume{Sessions: 1, Received: 1000}, report.Volume{Sessions: 2, Received: 2000}
	s := fold(t, report.Options{Zone: zone}, w.String())
	same(t, "days", s.Days, []report.Day{{Date: "2021-10-28", Volume: one, Peak: 1}, {Date: "2021-10-29", Volume: two, Peak: 1}})
	same(t, "midnight", s.Heat[4][0], two)
}

// Three weeks with a session each half hour; on Wednesdays at 4 there is one less, and at 5 on one Wednesday.
func TestQuietestHour(t *testing.T) {
	var w writer
	for i := range 3 * 7 * 48 {
		ends := monday.AddDate(0, 0, -28).Add(time.Duration(i) * 30 * time.Minute)
		if ends.Weekday() == time.Wednesday && ends.Minute() == 30 && (ends.Hour() == 4 || ends.Hour() == 5 && i < 7*48) {
			continue
		}
		w.session(ends, time.Second, "m", "")
	}
	same(t, "of the week", fold(t, report.Options{}, w.String()).Quietest,
		report.QuietHour{Weekday: "Wednesday", Hour: 4, Bytes: 1000, Sessions: 1})
	// Of three days the 4 and 5 o'clock of Wednesday have one session less, one of three hours' six: 5/3.
	until := monday.AddDate(0, 0, -25)
	same(t, "of the day", fold(t, report.Options{Until: until}, w.String()).Quietest,
		report.QuietHour{Hour: 4, Bytes: 5000.0 / 3, Sessions: 5.0 / 3})
	if q := fold(t, report.Options{Until: monday.AddDate(0, 0, -28).Add(40 * time.Minute)}, w.String()).Quietest; q != nil {
		t.Errorf("of 40 minutes: %+v", q)
	}
}
