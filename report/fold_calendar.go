package report

import (
	"time"

	"rsyncd_exporter/rsynclog"
)

const (
	// maxDays bounds the days of a report. What is older counts in totals only.
	maxDays = 20 * 366
	dayLong = 24 * time.Hour
	quarter = int64(15 * time.Minute) // zones differ by such
)

// A calendar counts what ended by hour and weekday, and by date.
type calendar struct {
	zone   *time.Location
	now    int64 // nanoseconds of the Unix epoch
	oldest int64 // what is before has no day; nor has what is a day after now
	heat   [7][24]Volume
	days   map[int]*Day

	from, ends int64 // the day that was asked for last has these times, at least
	is         int
}

func newCalendar(zone *time.Location, now time.Time) *calendar {
	return &calendar{
		zone: zone, now: now.UnixNano(), oldest: now.Add(-maxDays * dayLong).UnixNano(), days: map[int]*Day{},
	}
}

// day returns the day of a time, as a number of days since the Unix epoch, and when it ends. It is
// false for times that have none.
func (c *calendar) day(at int64) (day int, ends int64, ok bool) {
	if at < c.oldest || at > c.now+int64(dayLong) {
		return 0, 0, false
	}
	if at < c.from || at >= c.ends {
		t := time.Unix(0, at).In(c.zone)
		y, m, d := t.Date()
		c.from, c.ends = at, time.Date(y, m, d+1, 0, 0, 0, 0, c.zone).UnixNano()
		for c.ends > at && time.Unix(0, c.ends-1).In(c.zone).Day() != d { // a midnight that comes twice
			c.ends -= quarter
		}
		c.ends = max(c.ends, at-at%quarter+quarter) // one that the clocks skip may be given as a time before it
		c.is = int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / int64(dayLong/time.Second))
	}
	return c.is, c.ends, true
}

// add counts sessions and bytes that ended. A time of 0 isn't known.
func (c *calendar) add(at int64, v Volume, o rsynclog.Outcome) {
	n, _, ok := c.day(at)
	if at == 0 || !ok {
		return
	}
	day := c.days[n]
	if day == nil {
		day = &Day{}
		c.days[n] = day
	}
	day.Volume.Add(v)
	switch o {
	case rsynclog.OK, rsynclog.Listing:
	case rsynclog.Rejected:
		day.Rejected += v.Sessions
	default:
		day.Failed += v.Sessions
	}
	t := time.Unix(0, at).In(c.zone)
	c.heat[weekday(t)][t.Hour()].Add(v)
}

// weekday counts from Monday.
func weekday(t time.Time) int { return (int(t.Weekday()) + 6) % 7 }

// hours returns what ended by hour of the day.
func (c *calendar) hours() (sum [24]Hour) {
	for _, day := range c.heat {
		for h, v := range day {
			sum[h].Add(v)
		}
	}
	return sum
}

// list returns each day between the first and the last that has something, with these peaks.
func (c *calendar) list(peaks map[int]uint64) []Day {
	days := map[int]Day{}
	first, last := 0, -1
	see := func(n int) {
		if last < first {
			first, last = n, n
		}
		first, last = min(first, n), max(last, n)
	}
	for n, day := range c.days {
		days[n] = *day
		see(n)
	}
	for n, peak := range peaks {
		day := days[n]
		day.Peak = peak
		days[n] = day
		see(n)
	}
	list := []Day{}
	for n := first; n <= last; n++ {
		day := days[n]
		day.Date = time.Unix(int64(n)*int64(dayLong/time.Second), 0).UTC().Format(time.DateOnly)
		list = append(list, day)
	}
	return list
}

// quietest returns the quietest hour of the week if the log, which goes from first to last, is long
// enough, else of the day; nil if it is shorter still. Only hours that the log has from end to end
// count.
func (c *calendar) quietest(first, last int64) *QuietHour {
	first = max(first, c.oldest)
	var covered [7][24]float64 // hours
	for at := first; at < last; {
		next := min(last, at-at%quarter+quarter)
		t := time.Unix(0, at).In(c.zone)
		covered[weekday(t)][t.Hour()] += time.Duration(next - at).Hours()
		at = next
	}
	heat, weekdays := c.heat[:], []string{
		"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
	seen := covered[:]
	if last-first < int64(7*dayLong) {
		hours := [7][24]float64{}
		for _, day := range covered {
			for h, n := range day {
				hours[0][h] += n
			}
		}
		heat, seen, weekdays = [][24]Volume{c.hours()}, hours[:1], []string{""}
	}
	var quietest *QuietHour
	for d := range heat {
		for h, v := range heat[d] {
			n := seen[d][h]
			if n < 1-1e-6 { // sums of quarters
				continue
			}
			q := &QuietHour{
				Weekday: weekdays[d], Hour: h, Bytes: float64(v.Bytes()) / n, Sessions: float64(v.Sessions) / n,
			}
			if quietest == nil || q.Bytes < quietest.Bytes ||
				q.Bytes == quietest.Bytes && q.Sessions < quietest.Sessions {
				quietest = q
			}
		}
	}
	return quietest
}
