package backups

import (
	"slices"
	"time"

	"rsyncd_exporter/internal/text"
)

// Weekdays is a set of days of the week. The empty set stands for all of them.
type Weekdays uint8

// With returns the set with one more day.
func (w Weekdays) With(d time.Weekday) Weekdays { return w | 1<<d }

// Has says whether the set holds a day.
func (w Weekdays) Has(d time.Weekday) bool { return w == 0 || w&(1<<d) != 0 }

// A Window is a time of maintenance, in which nothing is expected: from one time of day to another,
// or once from Begin to End.
type Window struct {
	Days     Weekdays // on which it begins
	From, To int      // minutes since midnight; a To that is not later is on the next day

	Begin, End time.Time // in place of these, if End is set
}

// A Calendar says when a backup isn't expected. It is in local time: a day with a change of the
// clocks has 23 or 25 hours.
type Calendar struct {
	Zone    *time.Location // nil: UTC
	Days    Weekdays       // on which something is expected
	Windows []Window
}

func (c *Calendar) zone() *time.Location {
	if c.Zone == nil {
		return time.UTC
	}
	return c.Zone
}

// String describes what the calendar leaves out, for people.
func (c *Calendar) String() string {
	words := ""
	if c.Days != 0 {
		words = ", on"
		for day := time.Monday; day <= time.Saturday+1; day++ { // Sunday last
			if d := day % 7; c.Days.Has(d) {
				words += " " + d.String()[:3]
			}
		}
	}
	if n := len(c.Windows); n > 0 {
		words += ", outside of " + text.Plural(uint64(n), "window", "windows")
	}
	return words
}

// off says whether nothing is expected at a time, and until when that holds at least.
func (c *Calendar) off(t time.Time) (off bool, until time.Time) {
	local := t.In(c.zone())
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
	until = instant(midnight.AddDate(0, 0, 1), c.zone())
	limit := func(change time.Time) {
		if change.After(t) && change.Before(until) {
			until = change
		}
	}
	for i := range c.Windows {
		w := &c.Windows[i]
		if w.once() {
			limit(w.Begin)
			limit(w.End)
			continue
		}
		limit(instant(midnight.Add(time.Duration(w.From)*time.Minute), c.zone()))
		limit(instant(midnight.Add(time.Duration(w.To)*time.Minute), c.zone()))
	}
	return !c.Days.Has(local.Weekday()) || c.inWindow(t), until
}

// inWindow says whether a time lies in a window.
func (c *Calendar) inWindow(t time.Time) bool {
	local := t.In(c.zone())
	day, minute := local.Weekday(), local.Hour()*60+local.Minute()
	return slices.ContainsFunc(c.Windows, func(w Window) bool {
		if w.once() {
			return !t.Before(w.Begin) && t.Before(w.End)
		}
		return w.covers(day, minute)
	})
}

func (w *Window) once() bool { return !w.End.IsZero() }

func (w *Window) covers(day time.Weekday, minute int) bool {
	if w.From < w.To {
		return w.Days.Has(day) && w.From <= minute && minute < w.To
	}
	return w.Days.Has(day) && w.From <= minute || w.Days.Has((day+6)%7) && minute < w.To
}

// maxSteps bounds how far after and a Schedule look ahead: years of days with a few windows each.
const maxSteps = 10_000

// after returns when so much time has passed in which something is expected. It is zero if that is
// never.
func (c *Calendar) after(t time.Time, d time.Duration) time.Time {
	if c.Days == 0 && len(c.Windows) == 0 {
		return t.Add(d)
	}
	for range maxSteps {
		off, until := c.off(t)
		if !off {
			if left := until.Sub(t); d > left {
				d -= left
			} else {
				return t.Add(d)
			}
		}
		t = until
	}
	return time.Time{}
}

// instant returns when clocks in a zone first show a time, which is given in UTC. If they never do,
// because they are put forward then, it is when they are.
func instant(shown time.Time, zone *time.Location) time.Time {
	at := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), shown.Second(), 0, zone)
	begin, end := at.ZoneBounds()
	switch wall := wallClock(at); {
	case wall.Before(shown): // time.Date has taken the offset from after the change
		return end
	case wall.After(shown):
		return begin
	}
	if begin.IsZero() {
		return at
	}
	_, before := begin.Add(-1).Zone()
	if first := shown.Add(-time.Duration(before) * time.Second); first.Before(begin) {
		return first.In(zone) // the clocks are put back, and show it twice
	}
	return at
}

// wallClock returns what clocks show, as if it were UTC.
func wallClock(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// windowsEnd returns when the windows that hold at a time are over. It is zero if that is never.
func (c *Calendar) windowsEnd(t time.Time) time.Time {
	for range maxSteps {
		if !c.inWindow(t) {
			return t.In(c.zone())
		}
		_, t = c.off(t)
	}
	return time.Time{}
}
