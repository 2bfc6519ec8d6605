package report_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/report"
)

// Sessions of small, by whom a filter lets pass: its lines, sessions, files, and the modules.
func TestFilters(t *testing.T) {
	at := func(h, m, s int) time.Time { return monday.Add(time.Duration(h*3600+m*60+s) * time.Second) }
	for _, c := range []struct {
		name     string
		o        report.Options
		lines    uint64 // all
		kinds    uint64 // of rsyncd, that count
		sessions byName
		files    byName
		refused  uint64
	}{
		{"none", report.Options{}, 31, 29, byName{"aborted": 1, "listing": 1, "ok": 2, "rejected": 1},
			byName{"del.": 1, "recv": 2, "send": 1}, 1},
		// A connect names no module yet: each session of data has lost one line and the direction comes with the start.
		{"module", report.Options{Module: "data"}, 31, 7 + 4, byName{"ok": 2}, byName{"del.": 1, "recv": 2}, 0},
		{"other module", report.Options{Module: "pub"}, 31, 7 + 2, byName{"aborted": 1, "rejected": 1}, byName{"send": 1}, 1},
		{"no such module", report.Options{Module: "dat"}, 31, 0, byName{}, byName{}, 0},
		{"direction", report.Options{Direction: "send"}, 31, 6, byName{"aborted": 1}, byName{"send": 1}, 0},
		{"user", report.Options{User: "anna"}, 31, 6 + 3, byName{"ok": 2}, byName{"del.": 1, "recv": 2}, 0},
		{"address", report.Options{Client: "192.0.2.10"}, 31, 8 + 5, byName{"ok": 2}, byName{"del.": 1, "recv": 2}, 0},
		{"another address", report.Options{Client: "192.0.2.1"}, 31, 0, byName{}, byName{}, 0},
		{"network", report.Options{Client: "192.0.2.0/24"}, 31, 8 + 5, byName{"ok": 2}, byName{"del.": 1, "recv": 2}, 0},
		{"IPv6", report.Options{Client: "2001:db8::/32"}, 31, 8, byName{"aborted": 1}, byName{"send": 1}, 0},
		{"all of IPv4", report.Options{Client: "0.0.0.0/0"}, 31, 8 + 5 + 3 + 2,
			byName{"listing": 1, "ok": 2, "rejected": 1}, byName{"del.": 1, "recv": 2}, 1},
		{"name", report.Options{Client: "Web."}, 31, 3 + 2, byName{"listing": 1, "rejected": 1}, byName{}, 1},
		{"beginning of an address", report.Options{Client: "198.51.100."}, 31, 3 + 2,
			byName{"listing": 1, "rejected": 1}, byName{}, 1},
		{"two", report.Options{Client: "192.0.2.10", Direction: "send"}, 31, 0, byName{}, byName{}, 0},
		// Of the second day all six lines; cron's has the time of the line before it.
		{"since", report.Options{Since: at(24, 0, 0)}, 5, 5, byName{"ok": 1}, byName{}, 0},
		{"until", report.Options{Until: at(1, 10, 0)}, 1, 1, byName{}, byName{}, 0},
		// From the second file of 21 on, without its end; 22 ends later still.
		{"period", report.Options{Since: at(1, 10, 6), Until: at(1, 10, 10)}, 4, 4, byName{}, byName{"recv": 1, "send": 1, "del.": 1}, 0},
		{"end of a session", report.Options{Since: at(1, 10, 10), Until: at(1, 10, 11)}, 1, 1, byName{"ok": 1}, byName{}, 0},
		// Nanoseconds since 1970 end in 2262.
		{"everything", report.Options{Since: time.Date(1066, 1, 1, 0, 0, 0, 0, time.UTC),
			Until: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}, 31, 29, byName{"aborted": 1, "listing": 1, "ok": 2, "rejected": 1},
			byName{"del.": 1, "recv": 2, "send": 1}, 1},
		{"period and module", report.Options{Module: "pub", Since: at(1, 10, 7), Until: at(2, 0, 0)}, 6, 4,
			byName{"aborted": 1}, byName{"send": 1}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fold(t, c.o, small)
			var kinds uint64
			for _, n := range s.Kinds {
				kinds += n
			}
			same(t, "lines", []uint64{s.Lines, kinds}, []uint64{c.lines, c.kinds})
			same(t, "sessions", s.Sessions, c.sessions)
			same(t, "files", s.Totals.Files, c.files)
			var modules, users, hours, days, families uint64
			for _, m := range s.Modules {
				for _, n := range m.Sessions {
					modules += n
				}
			}
			for _, u := range s.Users {
				users += u.Volume.Sessions
			}
			for _, h := range s.Hours {
				hours += h.Sessions
			}
			for _, d := range s.Days {
				days += d.Volume.Sessions
			}
			for _, v := range s.Families {
				families += v.Sessions
			}
			var sessions uint64
			for _, n := range c.sessions {
				sessions += n
			}
			same(t, "sessions of modules, users, hours, days and families", []uint64{modules, users, hours, days, families},
				[]uint64{sessions, c.sessions["ok"] + c.sessions["aborted"], sessions, sessions, sessions})
			var refused uint64
			for _, m := range s.Saturation {
				refused += m.Refused
			}
			same(t, "refused", refused, c.refused)
			if !reflect.DeepEqual(c.o, report.Options{}) && s.Filter == nil {
				t.Error("the summary has no filter")
			}
		})
	}
}

// A filter of sessions doesn't shorten the time that the report is about: how long ago a backup was goes by its end.
func TestTheTimeOfAFilteredReport(t *testing.T) {
	log := small + small2() + "2026/12/24 18:00:00 [7] connect from h (192.0.2.99)\n"
	want := []string{"2026-11-23T01:00:00Z", "2026-12-24T18:00:00Z"}
	for _, o := range []report.Options{{}, {User: "anna"}, {Client: "198.51.100.3"}, {Module: "data"}, {Module: "none"}} {
		s := fold(t, o, log)
		same(t, "from, to", []string{s.From, s.To}, want)
	}
	s := fold(t, report.Options{User: "anna", SuggestExpect: true}, log)
	if len(s.Expect) != 1 || !strings.Contains(s.Expect[0].Evidence, "none in the last 20 days") {
		t.Errorf("%+v", s.Expect)
	}
}

// A day after its last line a session has ended, when that line came. That another one's line shows it says nothing
// of when.
func TestASilentSessionEndedWithItsLastLine(t *testing.T) {
	var w writer
	w.session(monday.Add(time.Hour), time.Second, "m", "anna")
	w.WriteString(`2026/11/23 02:00:00 [7] connect from h (192.0.2.9)
2026/11/23 02:00:00 [7] rsync allowed access on module m from h (192.0.2.9)
2026/11/23 02:00:01 [7] rsync to m/ from anna@h (192.0.2.9)
`)
	w.session(monday.AddDate(0, 0, 4), time.Second, "m", "anna")
	for _, c := range []struct {
		o    report.Options
		want byName
	}{
		{report.Options{}, byName{"ok": 2, "unknown": 1}}, {report.Options{Until: monday.AddDate(0, 0, 1)}, byName{"ok": 1, "unknown": 1}},
		{report.Options{Since: monday.AddDate(0, 0, 1)}, byName{"ok": 1}},
	} {
		s := fold(t, c.o, w.String())
		same(t, "sessions", s.Sessions, c.want)
		for _, d := range s.Days {
			same(t, "failed on "+d.Date, d.Failed, c.want["unknown"]*map[string]uint64{"2026-11-23": 1}[d.Date])
		}
	}
}

// What is cut into files, and what is in several logs.
func TestPieces(t *testing.T) {
	whole := fold(t, report.Options{}, small)
	lines := strings.SplitAfter(small, "\n")
	for cut := 1; cut < len(lines)-1; cut += 3 {
		pieces := fold(t, report.Options{}, strings.Join(lines[:cut], "")+"---\n"+strings.Join(lines[cut:], ""))
		same(t, "files", pieces.Files, []report.Source{
			{Path: "log0.0", Log: "log0", Lines: uint64(cut)}, {Path: "log0.1", Log: "log0", Lines: uint64(31 - cut)}})
		pieces.Files, pieces.Samples = whole.Files, whole.Samples
		same(t, "a log in two files", pieces, whole)
	}
	// Another host's log of the same hours: everything counts twice, but nothing runs beside the first one's.
	two := fold(t, report.Options{}, small, small)
	same(t, "totals", []uint64{two.Lines, two.Connections, two.Sent, two.Sessions["ok"]}, []uint64{62, 10, 300, 4})
	same(t, "peaks", []uint64{two.Days[0].Peak, two.Saturation[0].Peak, two.Saturation[0].Begun[0]}, []uint64{2, 1, 4})
	// In both logs the successes are at the same two moments.
	same(t, "gap", two.Users[0].LongestGap, 91230)
}

// A log without stamps has no times: everything counts, nothing has an hour, and no period has it.
func TestWithoutStamps(t *testing.T) {
	log := strings.NewReplacer("2026/11/23", "2026/99/99", "2026/11/24", "2026/99/99").Replace(small)
	s := fold(t, report.Options{}, log)
	sessions := s.Running
	for _, n := range s.Sessions {
		sessions += n
	}
	same(t, "counts", []uint64{s.Lines, s.Connections, s.Executions, s.Totals.Files["recv"], sessions}, []uint64{31, 5, 3, 2, 5})
	var none [24]report.Hour
	same(t, "hours", s.Hours, none)
	same(t, "days", s.Days, []report.Day{})
	same(t, "times", []string{s.From, s.To}, []string{"", ""})
	for _, m := range s.Saturation {
		same(t, "saturation", began(m), 0)
	}
	if s.Quietest != nil {
		t.Error("a log without times has a quietest hour")
	}
	s = fold(t, report.Options{Since: monday}, log)
	same(t, "since", []uint64{s.Lines, s.Connections, uint64(len(s.Sessions))}, []uint64{0, 0, 0})
}
