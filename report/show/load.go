package show

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"rsyncd_exporter/report"
)

// A period is one day, or several of them where a report has too many to show each.
type period struct {
	label string
	report.Day
	days int
}

// maxPeriods is how many rows of days people are shown: two months by day, a year by week, five
// years by month.
const maxPeriods = 62

// periods adds days up so that there are at most maxPeriods: by week, by month or by year. Peaks
// are the highest one of the period.
func periods(days []report.Day) (unit string, sums []period) {
	for _, by := range []struct{ unit, layout string }{
		{"day", time.DateOnly}, {"week", time.DateOnly}, {"month", "2006-01"}, {"year", "2006"},
	} {
		unit, sums = by.unit, nil
		for _, d := range days {
			label := d.Date
			if date, err := time.Parse(time.DateOnly, d.Date); err == nil {
				if by.unit == "week" { // goes by its Monday
					date = date.AddDate(0, 0, -(int(date.Weekday())+6)%7)
				}
				label = date.Format(by.layout)
			}
			if n := len(sums); n == 0 || sums[n-1].label != label {
				sums = append(sums, period{label: label})
			}
			sums[len(sums)-1].add(d)
		}
		if len(sums) <= maxPeriods {
			break
		}
	}
	return unit, sums[max(0, len(sums)-maxPeriods):]
}

func (p *period) add(d report.Day) {
	p.days++
	p.Sessions, p.Sent, p.Received = plus(p.Sessions, d.Sessions), plus(p.Sent, d.Sent), plus(p.Received, d.Received)
	p.Failed, p.Rejected, p.Peak = plus(p.Failed, d.Failed), plus(p.Rejected, d.Rejected), max(p.Peak, d.Peak)
}

func byDay(s *report.Summary) section {
	raw := &table{file: "days", columns: []column{
		{"", "date", true}, {"", "sessions", false}, {"", "sent_bytes", false}, {"", "received_bytes", false},
		{"", "failed", false}, {"", "rejected", false}, {"", "peak_sessions", false},
	}}
	for _, d := range s.Days {
		raw.rows = append(raw.rows, []cell{word(d.Date), number(d.Sessions), size(d.Sent), size(d.Received),
			number(d.Failed), number(d.Rejected), number(d.Peak)})
	}
	if len(s.Days) == 0 {
		return section{tables: []*table{raw}}
	}
	unit, sums := periods(s.Days)
	sec := section{id: "days", title: "Days", tables: []*table{raw}, days: sums}
	if unit != "day" {
		sec.title = map[string]string{"week": "Weeks", "month": "Months", "year": "Years"}[unit]
		sec.lead = []string{fmt.Sprintf("There are %d days: they are added up by %s.", len(s.Days), unit)}
	}
	dated := uint64(0)
	for _, p := range sums {
		dated = plus(dated, p.Sessions)
	}
	if ended := all(s.Sessions); dated < ended {
		sec.lead = append(sec.lead, plural(ended-dated, "session has", "sessions have")+" no day that is known.")
	}
	sec.lead = append(sec.lead, "Failed sessions were cut off, did not transfer everything, or ended without a word. "+
		"At once is the most transfers that ran at the same time.")
	return sec
}

// dayTable has the days as people read them, without bars.
func dayTable(days []period) *table {
	t := &table{columns: []column{
		{"Date", "", true}, {"Sent", "", false}, {"Received", "", false}, {"Sessions", "", false},
		{"Failed", "", false}, {"Rejected", "", false}, {"At once", "", false},
	}}
	for _, d := range days {
		t.rows = append(t.rows, []cell{word(d.label), size(d.Sent), size(d.Received), number(d.Sessions),
			portion(d.Failed, d.Sessions), number(d.Rejected), number(d.Peak)})
	}
	return t
}

var weekdays = [7]string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

func byHour(s *report.Summary) section {
	hours := &table{file: "hours", columns: []column{
		{"", "hour", false}, {"", "sessions", false}, {"", "sent_bytes", false}, {"", "received_bytes", false},
	}}
	for h, v := range s.Hours {
		hours.rows = append(hours.rows, []cell{number(uint64(h)), number(v.Sessions), size(v.Sent), size(v.Received)})
	}
	heat := &table{file: "heat", columns: append([]column{{"", "weekday", true}}, hours.columns...)}
	for d, day := range s.Heat {
		for h, v := range day {
			heat.rows = append(heat.rows, []cell{word(weekdays[d]), number(uint64(h)), number(v.Sessions), size(v.Sent),
				size(v.Received)})
		}
	}
	sec := section{tables: []*table{hours, heat}}
	if mostBytes(s) == 0 {
		return sec
	}
	sec.id, sec.title, sec.heat = "hours", "Hours of the week", s
	if q := s.Quietest; q != nil {
		day := word(q.Weekday).people()
		if day != "" {
			day += ", "
		}
		sec.lead = []string{fmt.Sprintf("Quietest: %s%02d:00 to %02d:00, with %s and %.1f sessions on average.",
			day, q.Hour, (q.Hour+1)%24, iec(q.Bytes), q.Sessions)}
	}
	return sec
}

// moved returns the bytes of both directions.
func moved(v report.Volume) uint64 { return plus(v.Sent, v.Received) }

// mostBytes returns the bytes of the busiest hour of the week.
func mostBytes(s *report.Summary) (most uint64) {
	for _, day := range s.Heat {
		for _, v := range day {
			most = max(most, moved(v))
		}
	}
	return most
}

// level returns a step from 0, for nothing, to steps, for most.
func level(n, most uint64, steps int) int {
	if n == 0 || most == 0 {
		return 0
	}
	return 1 + int(float64(n)/float64(most)*(float64(steps)-0.001))
}

func saturation(s *report.Summary) section {
	t := &table{file: "saturation", columns: []column{
		{"Module", "module", true}, {"Refused", "refused", false}, {"Most at a time", "peak", false},
		{"When", "peak_at", true}, {"Begun", "", false},
	}}
	limits := &table{keys: 1, title: "What a limit would have done", columns: []column{
		{"Module", "", true}, {"Limit", "", false}, {"Refused at most", "", false}, {"Of the begun", "", false},
	}}
	running := &table{file: "concurrency", columns: []column{
		{"", "module", true}, {"", "running", false}, {"", "begun_beside", false}, {"", "seconds", false},
	}}
	refused := uint64(0)
	fullest := slices.SortedStableFunc(slices.Values(s.Saturation), func(a, b report.Saturation) int {
		return cmp.Or(cmp.Compare(b.Refused, a.Refused), cmp.Compare(b.Peak, a.Peak))
	})
	for _, m := range fullest {
		refused = plus(refused, m.Refused)
		begun := plus(m.Begun...)
		t.rows = append(t.rows, []cell{module(m.Module), number(m.Refused).worthALook(), number(m.Peak),
			instant(m.PeakAt),
			number(begun)})
		for _, l := range telling(m.Begun, m.Peak) {
			if l.refused == 0 && m.Refused > 0 {
				continue // the limit there was, or one near it
			}
			limits.rows = append(limits.rows, []cell{module(m.Module), number(uint64(l.limit)), number(l.refused),
				percent(of(l.refused, begun))})
		}
		for n := range max(len(m.Begun), len(m.SecondsAt)) {
			r := []cell{module(m.Module), number(uint64(n)), number(0), duration(0)}
			if n < len(m.Begun) {
				r[2] = number(m.Begun[n])
			}
			if n < len(m.SecondsAt) {
				r[3] = duration(m.SecondsAt[n])
			}
			running.rows = append(running.rows, r)
		}
	}
	sec := section{tables: []*table{t, limits, running}}
	if len(t.rows) == 0 {
		return sec
	}
	sec.id, sec.title, sec.busy = "saturation", "Saturation", fullest
	sec.lead = []string{"Nobody was refused at max connections."}
	if refused > 0 {
		sec.lead[0] = plural(refused, "client was", "clients were") + " refused at max connections."
	}
	limits.notes = []string{"Counted from transfers that began while so many others ran, on top of the clients " +
		"that were refused in truth. Who is refused doesn't stay: so fewer would have been."}
	return sec
}

// A limit is a value of max connections, and how many transfers it would have refused at most.
type limit struct {
	limit   int
	refused uint64
}

// telling returns the limits that tell something, the highest first: the lowest ones that would
// have refused nobody, at most one in a thousand, one in a hundred, and one in ten.
func telling(begun []uint64, peak uint64) (limits []limit) {
	all := plus(begun...)
	refused, k := uint64(0), len(begun) // a limit of k refuses the sum of begun[k:]
	for _, share := range []float64{0, 0.001, 0.01, 0.1} {
		for k > 1 && float64(plus(refused, begun[k-1])) <= share*float64(all) {
			k--
			refused = plus(refused, begun[k])
		}
		// The last of begun may have transfers that began beside more.
		known := k < len(begun) || peak <= uint64(k)
		if known && (len(limits) == 0 || limits[len(limits)-1].limit != k) {
			limits = append(limits, limit{k, refused})
		}
	}
	return limits
}

func samples(s *report.Summary) section {
	t := &table{file: "not_understood", list: true, columns: []column{
		{"File", "file", true}, {"Line", "line", false}, {"Why", "why", true}, {"Text", "text", true},
	}}
	for _, l := range s.Samples {
		t.rows = append(t.rows, []cell{word(l.File), number(l.Line), word(l.Why), word(l.Text)})
	}
	if len(t.rows) == 0 {
		return section{tables: []*table{t}}
	}
	return section{id: "samples", title: "Lines not understood", tables: []*table{t}, lead: []string{
		fmt.Sprintf("%s of %s.", plural(uint64(len(t.rows)), "example", "examples"),
			thousands(plus(s.Unrecognised, s.Implausible, s.Discarded))),
	}}
}

// byAge orders backups for people: who never came well first, then the longest ago.
func byAge(users []report.User) []report.User {
	when := func(u report.User) time.Time {
		t, _ := time.Parse(time.RFC3339, u.LastSuccess) // zero, so before all others, where there is none
		return t
	}
	return slices.SortedStableFunc(slices.Values(users), func(a, b report.User) int { return when(a).Compare(when(b)) })
}
