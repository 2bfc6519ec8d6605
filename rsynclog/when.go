package rsynclog

import "time"

// When says when a record arrived and what its stamp says, in nanoseconds of one clock that doesn't
// jump.
type When struct {
	Arrived int64
	Stamp   int64 // 0: it has none that could be read
	Zoned   bool  // the stamp names its time zone
	Backlog bool  // it was there before its reader: its stamp, not its arrival, says when it was made
}

const (
	// waitedFrom is how far a stamp lies before its arrival if the record has waited somewhere, for
	// example in a relay's queue.
	waitedFrom = time.Minute
	// stampStep is how far two stamps of live records may differ from the time between them. They
	// have whole seconds.
	stampStep = 2 * time.Second
	// steadyFor is how long stamps must keep pace with arrivals to prove that they came live.
	steadyFor = time.Minute
	// quarterHour is the unit in which time zones differ.
	quarterHour = 15 * time.Minute
	// farthestZone is the largest difference of two of them: UTC-12 and UTC+14.
	farthestZone = 26 * time.Hour
	// farthestStamp is how far from its arrival a stamp is believed. Sums of such times stay within
	// an int64.
	farthestStamp = 30 * 365 * 24 * time.Hour
	// liveDelay is how late a live record may be, beyond whole quarter hours.
	liveDelay = 3 * time.Second
	// jumpBack and jumpAhead are how long a process may take between two lines for a jump of its
	// stamps to be recognised.
	jumpBack, jumpAhead = 2 * time.Minute, 30 * time.Second
	// queueQuiet is how long nothing comes of a relay's queue once it is empty.
	queueQuiet = 10 * time.Second
)

// An originClock turns the stamps of one origin into times.
type originClock struct {
	Offset int64 // what is added to its stamps, by its live records: time zone and clock skew in one
	// SteadyArrived and SteadyStamp are of the connect since which stamps keep pace with arrivals;
	// 0, 0: none.
	SteadyArrived, SteadyStamp int64
	Latest                     int64 // the latest time of a record
	Behind                     bool  // a backlog is being read
	QuietFrom                  int64 // a queue is being read until then, if no more of it comes
}

// time returns the time of the origin. While a backlog or a queue is being read, that is the time
// of its latest record.
func (c *originClock) time(now int64) int64 {
	if c.Behind || now < c.QuietFrom {
		return min(c.Latest, now)
	}
	return now
}

// stamped returns the time of a record by its corrected stamp. Records that have waited and have
// the same second get ascending times.
func (c *originClock) stamped(w When, stamp int64) int64 {
	at := w.Arrived
	if stamp <= c.Latest && c.Latest < stamp+int64(time.Second) {
		stamp = c.Latest + 1
	}
	switch waited := w.Arrived - stamp; {
	case waited <= 0:
	case w.Backlog:
		at = stamp
	case waited >= int64(waitedFrom):
		at = stamp
		if stamp >= c.Latest-int64(waitedFrom) { // records of a queue follow what came before
			c.QuietFrom = w.Arrived + int64(queueQuiet)
		}
	}
	return at
}

// learn looks at the stamp of a connect. A daemon writes that before it enters a chroot, where it
// loses its time zone. If the offset was wrong, learn returns what must be added to times that were
// made of stamps.
func (c *originClock) learn(w When) (by int64) {
	if w.Backlog {
		return 0
	}
	lag := w.Arrived - w.Stamp - c.Offset
	passed, stamped := w.Arrived-c.SteadyArrived, w.Stamp-c.SteadyStamp
	// Connects of a queue arrive at once, and now and then one of them is whole quarter hours late.
	alone := c.SteadyArrived == 0 || passed >= int64(steadyFor)
	k, rest := wholeQuarters(lag)
	switch {
	case alone && !w.Zoned && k != 0 && rest < int64(liveDelay) && abs(lag) <= int64(farthestZone):
		by = k * int64(quarterHour) // no zone is known by its name, but by such a difference
	case c.SteadyArrived != 0 && abs(passed-stamped) <= int64(stampStep):
		if !alone || abs(lag) <= int64(stampStep) {
			return 0
		}
		by = lag
	}
	c.SteadyArrived, c.SteadyStamp = w.Arrived, w.Stamp
	c.Offset += by
	if lag < int64(waitedFrom) {
		return 0 // only stamps that lag far behind become times
	}
	return by
}

// wholeQuarters returns how many whole quarter hours are in d, and the rest, which is at least
// -stampStep.
func wholeQuarters(d int64) (k, rest int64) {
	const q, slack = int64(quarterHour), int64(stampStep)
	rest = (d+slack)%q - slack
	if rest < -slack {
		rest += q
	}
	return (d - rest) / q, rest
}

func abs(d int64) int64 { return max(d, -d) }

// recordTime returns when a record of an origin, and of its session s if there is one, was made.
// teaches says that it is a "connect from" which no client can have written.
func (t *Sessions) recordTime(o *Origin, s *Session, w When, teaches bool) int64 {
	c := &o.Clock
	c.Behind = c.Behind || w.Backlog
	at := w.Arrived
	if c.Latest != 0 {
		at = c.time(w.Arrived) // a record without a stamp has the time of the one before it
	}
	t.stamp, t.shift, t.waited = 0, 0, false
	if w.Stamp != 0 && abs(w.Arrived/2-w.Stamp/2) <= int64(farthestStamp/2) {
		if teaches {
			if by := c.learn(w); by != 0 {
				t.moveTimes(o, by, w.Arrived)
			}
		}
		stamp := w.Stamp + c.Offset
		if s != nil {
			if !w.Zoned {
				stamp = s.straighten(w, stamp)
			}
			s.Stamp = stamp
			t.shift = s.Shift
		}
		at = c.stamped(w, stamp)
		t.stamp, t.waited = stamp, at != w.Arrived
	}
	c.Latest = max(c.Latest, at)
	return at
}

// straighten undoes a jump of a session's stamps by whole quarter hours. Before rsync 3.4.2 a
// daemon in a chroot knows no time zone and logs in UTC. Nothing else makes a process's stamps jump
// back. They jump ahead only where it enters the chroot, before the transfer starts. A live record
// whose stamp is that of its arrival shows no jump, however long the session was silent.
func (s *Session) straighten(w When, stamp int64) int64 {
	stamp += s.Shift
	if d := stamp - s.Stamp; s.Stamp == 0 || d > -int64(stampStep) && d < int64(quarterHour-stampStep) {
		return stamp
	}
	if !w.Backlog && abs(w.Arrived-stamp) < int64(waitedFrom) {
		return stamp
	}
	k, rest := wholeQuarters(stamp - s.Stamp)
	back := k < 0 && rest < int64(jumpBack)
	ahead := k > 0 && rest < int64(jumpAhead) && (s.Phase == fresh || s.Phase == admitted)
	if by := -k * int64(quarterHour); (back || ahead) && abs(s.Shift+by) <= int64(farthestZone) {
		s.Shift += by
		stamp += by
	}
	return stamp
}

// moveTimes corrects times of an origin's sessions that were made of stamps with a wrong offset.
func (t *Sessions) moveTimes(o *Origin, by, now int64) {
	for p := range o.lists {
		for s := o.lists[p].first; s != nil; s = s.next {
			if s.Stamp != 0 && (s.LastWaited || s.Stamp <= s.LastSeen-int64(waitedFrom)) {
				s.Stamp += by
			}
			if s.LastWaited {
				s.LastSeen = min(s.LastSeen+by, now)
				s.End = min(s.End+by, now)
			}
			if s.FirstWaited {
				s.FirstSeen = min(s.FirstSeen+by, s.LastSeen)
			}
		}
	}
	o.Clock.Latest = min(o.Clock.Latest+by, now)
	o.due = 0 // expire finds it out
}

// CaughtUp says that everything waiting in the origins of a scope has been read. Their sessions go
// by the clock again.
func (t *Sessions) CaughtUp(scope uint32) {
	for _, o := range t.inOrder {
		if o.Scope == scope {
			o.Clock.Behind, o.Clock.QuietFrom = false, 0
		}
	}
}

// HostCaughtUp is CaughtUp for one host of a scope whose hosts have queues of their own.
func (t *Sessions) HostCaughtUp(scope uint32, host string) {
	if o := t.origins[originKey{scope: scope, host: host}]; o != nil {
		o.Clock.Behind, o.Clock.QuietFrom = false, 0
	}
}
