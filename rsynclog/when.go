package rsynclog

import "time"

// When says when a record came and what its stamp says, both in nanoseconds of the same clock, one
// that doesn't jump.
type When struct {
	Arrived int64
	Stamp   int64 // 0: it has none that could be read
	Zoned   bool  // the stamp names its time zone
	Backlog bool  // it was there before whoever read it: its stamp, not its arrival, says when it was made
}

const (
	// waitedFrom is how far a stamp lies before its arrival if the record has waited somewhere, in
	// a relay's queue say.
	waitedFrom = time.Minute
	// stampStep is how far two stamps of live records may differ from what passed between them:
	// they have whole seconds.
	stampStep = 2 * time.Second
	// steadyFor is for how long stamps must keep pace with arrivals to prove that they came live.
	steadyFor = time.Minute
	// quarterHour is what time zones differ by, in whole multiples.
	quarterHour = 15 * time.Minute
	// farthestZone is the most that two of them differ by: UTC-12 and UTC+14.
	farthestZone = 26 * time.Hour
	// farthestStamp is how far from its arrival a stamp can be that is believed: sums of such times
	// stay within an int64.
	farthestStamp = 30 * 365 * 24 * time.Hour
	// liveDelay is how late a live record may be, in what is left after whole quarter hours.
	liveDelay = 3 * time.Second
	// jumpBack and jumpAhead are how long a process may take between two lines if a jump of its
	// stamps between them is to be seen as one.
	jumpBack, jumpAhead = 2 * time.Minute, 30 * time.Second
	// queueQuiet is for how long nothing comes of a relay's queue if it has been emptied.
	queueQuiet = 10 * time.Second
)

// An originClock turns the stamps of one origin into times.
type originClock struct {
	Offset int64 // what must be added to its stamps, by its live records: time zone and the clocks' difference in one
	// A stretch of connects whose stamps keep pace with their arrival began with these two; 0, 0:
	// none has.
	SteadyArrived, SteadyStamp int64
	Latest                     int64 // the latest time of a record
	Behind                     bool  // a backlog is being read
	QuietFrom                  int64 // a queue is being read until then, if no more of it comes
}

// time returns when the origin is. While it hands on what has waited, that is when this was
// written.
func (c *originClock) time(now int64) int64 {
	if c.Behind || now < c.QuietFrom {
		return min(c.Latest, now)
	}
	return now
}

// stamped returns the time of a record whose stamp, corrected, is given. Of those that have waited
// and have the same second, each is later than the one before.
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
		if stamp >= c.Latest-int64(waitedFrom) { // else it is no queue's, whose records follow what came before
			c.QuietFrom = w.Arrived + int64(queueQuiet)
		}
	}
	return at
}

// learn looks at the stamp of a connect, which is written before a daemon goes into a chroot and
// loses its time zone there. It returns by how much times that were made of stamps must be moved,
// as the offset was wrong.
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
		return 0 // times are made of stamps only where these lag far behind
	}
	return by
}

// wholeQuarters returns how many whole quarter hours are in d, and what is left, which is from
// -stampStep on.
func wholeQuarters(d int64) (k, rest int64) {
	const q, slack = int64(quarterHour), int64(stampStep)
	rest = (d + slack) % q
	if rest < 0 {
		rest += q
	}
	rest -= slack
	return (d - rest) / q, rest
}

func abs(d int64) int64 { return max(d, -d) }

// recordTime returns when a record of an origin was made, and of a session if it is one's. teaches
// says that it is a "connect from" which no client can have written, whose process may have lost
// its time zone.
func (t *Sessions) recordTime(o *Origin, s *Session, w When, teaches bool) int64 {
	c := &o.Clock
	c.Behind = c.Behind || w.Backlog
	at := w.Arrived
	if c.Latest != 0 {
		at = c.time(w.Arrived) // what says no time was written with what stands before it
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
// daemon in a chroot knows no time zone and logs in UTC. Back, no process' stamps go otherwise;
// ahead they jump where it goes into the chroot: before the transfer starts. A live one has not
// jumped if its stamp is that of its arrival, however long the session was silent.
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

// moveTimes corrects the times of an origin's sessions that were made of stamps with a wrong
// offset.
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
	o.due = 0 // to be found out
}

// CaughtUp says that all that was in the origins of a scope has been read: their sessions go by the
// clock again.
func (t *Sessions) CaughtUp(scope uint32) {
	for _, o := range t.inOrder {
		if o.Scope == scope {
			o.Clock.Behind, o.Clock.QuietFrom = false, 0
		}
	}
}

// HostCaughtUp is CaughtUp for one host of a scope: others have queues of their own.
func (t *Sessions) HostCaughtUp(scope uint32, host string) {
	if o := t.origins[originKey{scope: scope, host: host}]; o != nil {
		o.Clock.Behind, o.Clock.QuietFrom = false, 0
	}
}
