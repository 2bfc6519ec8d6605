package backups

import (
	"cmp"
	"slices"
	"time"
)

// A State says how an expected backup is.
type State string

const (
	OK      State = "ok"      // it came in time
	Running State = "running" // a session of it runs, and it isn't overdue
	Late    State = "late"    // it is due, and the grace isn't over
	Overdue State = "overdue" // the grace is over
	Failed  State = "failed"  // the last attempt failed, and it isn't overdue
	Never   State = "never"   // no success has ever been seen
	Paused  State = "paused"  // nothing is expected now: paused, or in a window
)

// States returns all states.
func States() []State { return []State{OK, Running, Late, Overdue, Failed, Never, Paused} }

// Meaning says when an expected backup is in the state, and what to do about it; an empty remedy is
// for nothing to do.
func (s State) Meaning() (meaning, remedy string) {
	t := stateTexts[s]
	return t[0], t[1]
}

var stateTexts = map[State][2]string{
	OK:      {"it came, and none is due yet", ""},
	Running: {"a session of it runs, and it isn't overdue", ""},
	Late: {"it is due, and the grace isn't over",
		"Wait; if it is late every day, its schedule or grace is too tight."},
	Overdue: {"the grace is over", "Run it by hand and look at the client; the status page shows its last attempt."},
	Failed: {"the last attempt failed, and it isn't overdue",
		"explain --session tells why it failed; there is time until the grace is over."},
	Never: {"none has ever come",
		"Check module, user, client and host of the expectation; the client may never have run."},
	Paused: {"`paused`, or in a window", ""},
}

// A Status is a judgement of an expected backup at one moment.
type Status struct {
	Expected *Expectation
	Entry    *Entry
	Now      time.Time
	State    State
	Since    time.Time // when the state began; zero: not known
	Due      time.Time // when the next success should come, or should have come; zero: never
	Overdue  time.Time // when the grace for that is over; zero: never
	IsLate   bool      // Overdue has passed, and nothing pauses
}

// Alarm says how urgent a status is: 0 for nothing to do, 1 for something to know, 2 for something
// to act on.
func (s *Status) Alarm() int {
	switch s.State {
	case Overdue, Failed:
		return 2
	case Never:
		if s.IsLate {
			return 2
		}
		return 1
	case Late:
		return 1
	}
	return 0
}

// Judge says how an expected backup is, by what is known of it.
//
// What is paused is never an alarm. What is overdue, or has never come in time, outranks what runs
// and what failed: people must not take an attempt for a backup. An attempt that runs outranks the
// failure before it. A failure outranks lateness, and is one from the first attempt on.
func Judge(e *Expectation, of *Entry, now time.Time) Status {
	s := Status{Expected: e, Entry: of, Now: now}
	last := cmp.Or(of.Success.At, of.Since)
	s.Due = e.Due(time.Unix(0, last))
	if !s.Due.IsZero() {
		s.Overdue = e.Calendar.after(s.Due, e.Grace)
	}
	off := e.Paused
	if !off && len(e.Calendar.Windows) > 0 {
		off = e.Calendar.inWindow(now)
	}
	s.IsLate = !off && !s.Overdue.IsZero() && !now.Before(s.Overdue)
	never := of.Success.At == 0
	set := func(state State, since int64) { s.State, s.Since = state, time.Unix(0, since) }
	switch {
	case off:
		s.State = Paused
	case s.IsLate && never:
		set(Never, of.Since)
	case s.IsLate:
		set(Overdue, s.Overdue.UnixNano())
	case of.Running > 0:
		set(Running, of.RunningSince)
	case of.failed():
		set(Failed, of.Attempt.At)
	case never:
		set(Never, of.Since)
	case !s.Due.IsZero() && !now.Before(s.Due):
		set(Late, s.Due.UnixNano())
	default:
		set(OK, of.Success.At)
	}
	return s
}

// failed says whether the last attempt was no success.
func (of *Entry) failed() bool {
	return of.Attempt.At != 0 && !of.Attempt.Enough // a success since would be the last attempt
}

// early is how much before its time a run may come: clocks of clients differ.
const early = 2 * time.Minute

// Due returns when a success is due after one at a time. It is zero if never.
func (e *Expectation) Due(last time.Time) time.Time {
	if e.Schedule == nil {
		return e.Calendar.after(last, e.Every)
	}
	at := last.Add(early)
	for range maxSteps {
		if at = e.Schedule.Next(at); at.IsZero() {
			return at
		}
		off, until := e.Calendar.off(at)
		if !off {
			return at
		}
		at = until.Add(-time.Second)
	}
	return time.Time{}
}

// MaxAge returns the age of the last success, or of the expectation before the first, from which on
// it is overdue; 0: it never is.
func (s *Status) MaxAge() time.Duration {
	if s.Overdue.IsZero() {
		return 0
	}
	return s.Overdue.Sub(time.Unix(0, cmp.Or(s.Entry.Success.At, s.Entry.Since)))
}

// Age returns the age of the last success, if there was one.
func (s *Status) Age() (age time.Duration, ok bool) {
	if s.Entry.Success.At == 0 {
		return 0, false
	}
	return max(0, s.Now.Sub(time.Unix(0, s.Entry.Success.At))), true
}

// Usual returns the middle of the last successes' sizes, and of their durations; 0: not known.
func (of *Entry) Usual() (listed uint64, took time.Duration) {
	const least = 3
	sizes, times := make([]uint64, 0, usualOf), make([]time.Duration, 0, usualOf)
	for _, r := range append(slices.Clip(of.Earlier), of.Success) {
		if r.At == 0 {
			continue
		}
		sizes = append(sizes, r.Listed)
		if r.Took >= 0 {
			times = append(times, r.Took)
		}
	}
	slices.Sort(sizes)
	slices.Sort(times)
	if len(sizes) >= least {
		listed = sizes[len(sizes)/2]
	}
	if len(times) >= least {
		took = times[len(times)/2]
	}
	return listed, took
}

// urgency orders states, the worst first.
func (s *Status) urgency() int {
	order := [...]State{Overdue, Never, Failed, Late, Running, OK, Paused}
	if s.State == Never && !s.IsLate {
		return slices.Index(order[:], Late)
	}
	return slices.Index(order[:], s.State)
}

// List judges all expected backups, the worst first. expected is what the record's Book was made
// of.
func (r *Record) List(expected []Expectation, now time.Time) []Status {
	list := make([]Status, 0, len(r.Entries))
	for i := range r.Entries {
		list = append(list, Judge(&expected[i], &r.Entries[i], now))
	}
	slices.SortStableFunc(list, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.urgency(), b.urgency()), a.Overdue.Compare(b.Overdue),
			cmp.Compare(a.Expected.Name, b.Expected.Name))
	})
	return list
}
