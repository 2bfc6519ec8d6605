package rsynclog

import (
	"math"
	"time"
)

const (
	// freshTTL is how long a session may last that asks for nothing: a port scan, a stalled
	// handshake, or a long pre-xfer exec.
	freshTTL = time.Hour
	// failingTTL is how long a session in which files failed may be silent. If it goes on later,
	// its outcome is still right, and what its summary says is added.
	failingTTL = 15 * time.Minute
	// endedTTL is how long an ended session is kept for late lines, and its process may live.
	endedTTL = time.Hour
	// orphanTTL is how long a session that is older than its daemon's last start may be silent.
	orphanTTL = int64(15 * time.Minute)
	// maxInline bounds how many sessions of its origin one record ends. Tick ends the rest.
	maxInline = 64
)

// summary handles "sent … received …". The last one of a session counts.
func (t *Sessions) summary(s *Session, at int64, ev *Event) bool {
	if !plausible(ev) {
		return false
	}
	if s.HasSummary && isEmpty(ev) {
		// A listener that has the pid now has stopped. A session that was heard has received
		// something.
		return true
	}
	if s.over() {
		resumed := s.Phase == lapsed && !s.HasSummary // it was only silent
		t.amend(s, ev)
		if resumed {
			s.HasSummary = true
			t.resume(s, at)
		}
		return true
	}
	s.HasSummary, s.Sent, s.Received, s.Total = true, ev.Sent, ev.Received, ev.Total
	s.Exits = [2]exit{} // cleanup.c logs the error after the summary; one before it was the client's
	t.move(s, settling, at)
	return true
}

// severityInfo is LOG_INFO, which log.c: logit gives to FINFO and FLOG.
const severityInfo = 6

// plausible says whether a summary can be the daemon's: log.c: log_exit uses FINFO, while a
// client's MSG_ERROR arrives as a warning.
func plausible(ev *Event) bool {
	return ev.Sent <= maxBytes && ev.Received <= maxBytes && ev.Total <= maxBytes &&
		(ev.Severity < 0 || ev.Severity == severityInfo)
}

// isEmpty says whether a summary is all zero.
func isEmpty(ev *Event) bool { return ev.Sent == 0 && ev.Received == 0 && ev.Total == 0 }

// amend adds what a summary says beyond the one that was counted. That one was the client's, and
// the session went on.
func (t *Sessions) amend(s *Session, ev *Event) {
	c := Change{Kind: Amended, Origin: s.Origin, Session: s, N: 1,
		Sent:     ev.Sent - min(ev.Sent, s.Sent),
		Received: ev.Received - min(ev.Received, s.Received),
		Total:    ev.Total - min(ev.Total, s.Total)}
	s.Sent, s.Received, s.Total = s.Sent+c.Sent, s.Received+c.Received, s.Total+c.Total
	s.Amendments = min(s.Amendments, math.MaxUint8-1) + 1
	t.emit(c)
}

// resume reports the end of a session that had ended for its silence. The change has a copy of the
// session: an earlier change of this line may need what was known before.
func (t *Sessions) resume(s *Session, at int64) {
	r := *s
	r.LastSeen = max(s.LastSeen, at)
	if !r.FileErrors && !r.Lost {
		r.Outcome = OK
	}
	t.emit(Change{Kind: Resumed, Origin: s.Origin, Session: &r, N: 1})
}

// exit handles "rsync error" and "rsync warning".
func (t *Sessions) exit(s *Session, at int64, ev *Event) bool {
	if s.Phase == settling && s.HasSummary && s.FileList && string(ev.Role) == "Receiver" {
		// A process has this role before it is asked for anything (3.1 and later). So the line is
		// another process's, or a client's text.
		return false
	}
	if s.over() {
		if s.LateExits == 2 {
			return false
		}
		s.LateExits++
		t.emit(Change{Kind: Exited, Origin: s.Origin, Session: s, N: 1, Code: ev.Code})
		return true
	}
	e := exit{Role: '?', Code: ev.Code}
	if len(ev.Role) > 0 {
		e.Role = ev.Role[0]
	}
	if s.Exits[0].Role == 0 || s.Exits[0].Role == e.Role {
		s.Exits[0] = e
	} else {
		s.Exits[1] = e // a failed upload has one of the receiver and one of the generator
	}
	t.move(s, settling, at)
	return true
}

// end counts a session as over. The time at is that of the record, or of the clock, that shows it.
func (t *Sessions) end(s *Session, at int64) {
	if s.over() {
		return
	}
	s.dropFront()
	t.settleModule(s)
	if s.mayTalk() {
		s.Talks = true
		t.talkers.add(s.Origin, s.PID) // for a week at least
	}
	last := ended
	if s.Phase == failing || s.Orphaned != 0 && s.goingOn() {
		last = lapsed
	}
	s.forgetSeen()
	s.Outcome = s.outcome()
	for _, e := range s.Exits {
		if e.Role != 0 {
			t.emit(Change{Kind: Exited, Origin: s.Origin, Session: s, N: 1, Code: e.Code})
		}
	}
	t.emit(Change{Kind: Ended, Origin: s.Origin, Session: s, N: 1, Sent: s.Sent, Received: s.Received, Total: s.Total})
	t.unlink(s)
	s.Phase, s.End, s.Unheard = last, max(at, s.LastSeen), 0
	t.push(s)
}

// outcome judges a session by all that was logged. No single line of an rsync daemon says how a
// session went (clientserver.c, cleanup.c).
func (s *Session) outcome() Outcome {
	switch {
	case s.Reason != NoReason:
		return Rejected
	case s.Listed:
		return Listing
	}
	worst := Unknown
	for _, e := range s.Exits {
		switch {
		case e.Role == 0:
		case e.Code == 23 || e.Code == 24 || e.Code == 25: // errcode.h: RERR_PARTIAL, RERR_VANISHED, RERR_DEL_LIMIT
			worst = max(worst, Partial)
		default:
			worst = Aborted
		}
	}
	switch {
	case worst != Unknown:
		return worst
	case s.HasSummary && !s.FileErrors:
		return OK
	case s.FileErrors: // since 3.2 an upload in which files failed has no summary
		return Partial
	case s.Lost:
		return Aborted
	case s.MaxDelete: // everything came, only deletions are missing: the client's exit code is 0
		return OK
	case s.Direction == Receive && s.FileList && !s.Evicted:
		// A complete upload has a summary. Without one the client has ended with 23 or 24, for
		// files of its own.
		return Partial
	}
	return Unknown
}

// due returns when a silent session is over, or when one that is over is forgotten.
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

// Tick ends the sessions that are due, at most so many, and says whether there are more. now is the
// time by Apply's clock. An origin whose backlog or queue is being read has a time of its own. The
// changes are valid until the next call.
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

// Pass ends the sessions that are due, at most so many, by a clock of the caller's for each origin,
// such as one that goes on while only others log. It adds to the changes of the last Apply and
// returns them all.
func (t *Sessions) Pass(clock func(*Origin) int64, most int) []Change {
	for _, o := range t.inOrder {
		if at := clock(o); at >= o.due && most > 0 {
			most -= t.expire(o, at, most)
		}
	}
	return t.changes
}

// expire ends or forgets the sessions of an origin that are due, at most so many, and returns how
// many there were. It does so in the order of their times. So a late call ends them in the same
// order as a clock would.
func (t *Sessions) expire(o *Origin, now int64, most int) (n int) {
	for ; ; n++ {
		s, due := t.nextDue(o)
		if o.due = due; now < due || n >= most {
			return n
		}
		if s.over() {
			t.drop(s)
		} else {
			t.end(s, due)
		}
	}
}

// nextDue returns the session of an origin that is due first, and when.
func (t *Sessions) nextDue(o *Origin) (next *Session, due int64) {
	due = math.MaxInt64
	for p := range o.lists {
		if s := o.lists[p].first; s != nil {
			if at := t.due(s); at < due {
				next, due = s, at
			}
		}
	}
	return next, due
}

// makeRoom makes room for one more session. It returns false if there is none. Sessions that are
// over go first, then those whose last line was seen, then clients that only connected. A session
// that was let in goes only for another one that was.
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
		var silent *Session // for longest
		for _, o := range t.inOrder {
			if s := o.lists[p].first; s != nil && (silent == nil || s.LastSeen < silent.LastSeen) {
				silent = s
			}
		}
		if silent != nil {
			return silent
		}
	}
	return nil
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
