package rsynclog

import "math"

// due returns when a session is over if nothing more is heard of it, or, if it is over, when it is
// forgotten.
func (t *Sessions) due(s *Session) int64 {
	if s.over() {
		return s.End + s.Unheard + t.ttl[s.Phase]
	}
	due := s.LastSeen + s.Unheard + t.ttl[s.Phase]
	if s.Orphaned != 0 {
		due = min(due, s.Orphaned+s.Unheard+orphanTTL)
	}
	return due
}

// Tick ends the sessions whose time has come, at most as many as it is told, and says whether there
// are more. now is the time by the clock that Apply is given; an origin whose backlog or queue is
// being read is not there yet. The changes are valid until the next call.
func (t *Sessions) Tick(now int64, most int) (changes []Change, more bool) {
	t.reset()
	for _, o := range t.inOrder {
		at := o.Clock.time(now)
		if at < o.due {
			continue
		}
		if most -= t.expire(o, at, most); most <= 0 {
			return t.changes, true
		}
	}
	return t.changes, false
}

// expire ends an origin's sessions that are due, at most so many, and returns how many there were.
// They end in the order in which a clock would have ended them, so that the same session is the
// last one however late that is.
func (t *Sessions) expire(o *Origin, now int64, most int) (n int) {
	for ; ; n++ {
		s, due := t.nextDue(o)
		if o.due = due; now < due || n >= most {
			return n
		}
		t.finish(s, due)
	}
}

// nextDue returns the session of an origin that is due before all others, and when.
func (t *Sessions) nextDue(o *Origin) (next *Session, due int64) {
	due = math.MaxInt64
	for p := fresh; p < numPhases; p++ {
		if s := o.lists[p].first; s != nil {
			if at := t.due(s); at < due {
				next, due = s, at
			}
		}
	}
	return next, due
}

// finish ends a session at its time, or forgets it if it is over.
func (t *Sessions) finish(s *Session, due int64) {
	if s.over() {
		t.drop(s)
		return
	}
	t.end(s, due)
}

// makeRoom lets one more session be kept. Those that are over go first, then those whose last line
// has been seen, then clients that only connected. Who was let in makes room only for others who
// were; it returns false if there is nobody else.
func (t *Sessions) makeRoom(letIn bool) bool {
	for len(t.table) >= t.limits.Sessions {
		s := t.dispensable(letIn)
		if s == nil {
			t.evicted++
			return false
		}
		t.evict(s)
	}
	return true
}

// dispensable returns the session that makes room for another one, or nil.
func (t *Sessions) dispensable(letIn bool) *Session {
	for _, p := range [...]phase{ended, lapsed, settling, fresh} {
		if s := t.ages[p].first; s != nil {
			return s
		}
	}
	if !letIn {
		return nil
	}
	for _, p := range [...]phase{admitted, failing, running} {
		if s := t.longestSilent(p); s != nil {
			return s
		}
	}
	return nil
}

// longestSilent returns the session of a phase that has said nothing for longest.
func (t *Sessions) longestSilent(p phase) (oldest *Session) {
	for _, o := range t.inOrder {
		if s := o.lists[p].first; s != nil && (oldest == nil || s.LastSeen < oldest.LastSeen) {
			oldest = s
		}
	}
	return oldest
}

// evict ends and forgets a session before its time.
func (t *Sessions) evict(s *Session) {
	if !s.over() {
		if s.Phase != settling {
			t.evicted++
			s.Evicted = true
		}
		t.end(s, s.LastSeen)
	}
	if s.Talks {
		s.Origin.Forgotten = max(s.Origin.Forgotten, s.End+int64(endedTTL))
	}
	t.drop(s)
}
