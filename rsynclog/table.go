package rsynclog

import "time"

// Limits of a Sessions. What is beyond them is counted, never kept.
type Limits struct {
	Sessions int           // open and lately ended sessions together
	Origins  int           // hosts; those beyond share the host name Other, without sessions
	TTL      time.Duration // a session ends after so long a silence
	Settle   time.Duration // how long a last line must stand uncontradicted before the session is counted
}

// DefaultLimits returns limits for a large mirror: a full table of sessions takes about 20 MiB.
func DefaultLimits() Limits {
	return Limits{Sessions: 32768, Origins: 4096, TTL: 24 * time.Hour, Settle: 2 * time.Second}
}

// Sessions follows the sessions of many daemons. It is not safe for concurrent use.
type Sessions struct {
	limits   Limits
	ttl      [numPhases]int64  // how long a session of a phase may be silent, or is remembered if it is over
	known    map[string]string // label of each module from the settings, for every origin
	hosts    map[string]bool   // hosts from the settings
	origins  map[originKey]*Origin
	inOrder  []*Origin // the same, oldest first
	ids      uint32    // origins so far
	overflow *Origin   // stands for the hosts beyond the limit
	last     *Origin
	table    map[tableKey]*Session // the latest session of each pid
	ages     [numPhases]list       // of all origins
	entries  uint64                // into phases, so far
	talkers  talkers
	changes  []Change
	fronts   [frontSlots]Front
	pending  bool  // changes are Again's
	names    int   // module names of all origins
	at       int64 // when the record that is being applied was made
	stamp    int64 // what its stamp says, corrected; 0: none
	waited   bool  // that is the record's time
	shift    int64 // what it was corrected by, for its session's jumps
	// nobodyBefore is until when no origin can be forgotten.
	nobodyBefore int64

	evicted   uint64
	overflown uint64
}

// A tableKey is an origin's id and a pid in one number, which maps find fastest.
type tableKey uint64

func keyOf(o *Origin, pid int32) tableKey { return tableKey(o.id)<<32 | tableKey(uint32(pid)) }

// NewSessions returns an empty table. The modules and hosts are those of the settings: a client
// can't invent these modules, and there is always room for these hosts.
func NewSessions(limits Limits, modules, hosts []string) *Sessions {
	ttl := limits.TTL
	t := &Sessions{
		limits: limits, known: map[string]string{}, hosts: map[string]bool{},
		origins: map[originKey]*Origin{}, table: map[tableKey]*Session{},
		talkers:  talkers{pages: map[talkerPage]*talkerBits{}},
		overflow: &Origin{Host: Other, OriginRecord: OriginRecord{Raw: Other}},
		ttl: [numPhases]int64{
			fresh: int64(min(freshTTL, ttl)), admitted: int64(min(freshTTL, ttl)),
			running: int64(ttl), failing: int64(min(failingTTL, ttl)),
			settling: int64(min(limits.Settle, ttl)), lapsed: int64(max(endedTTL, ttl)), ended: int64(endedTTL),
		},
	}
	for p := range t.ages {
		t.ages[p].all = true
	}
	for _, m := range modules {
		t.known[m] = Label([]byte(m))
	}
	for _, h := range hosts {
		t.hosts[h] = true
	}
	return t
}

// Module returns the module of a process's session. It is empty if there is none or it isn't known.
func (t *Sessions) Module(o *Origin, pid int32) string {
	if s := t.session(o, pid); s != nil {
		return s.Module
	}
	return ""
}

// Session returns the latest session of a pid, which may have ended; nil if none is remembered.
func (t *Sessions) Session(o *Origin, pid int32) *Session { return t.session(o, pid) }

// At returns when the last record was made that Apply was given. Where no stamp tells, that is its
// arrival.
func (t *Sessions) At() int64 { return t.at }

// session returns the latest session of a pid, or nil.
func (t *Sessions) session(o *Origin, pid int32) *Session { return t.table[keyOf(o, pid)] }

// Len returns how many sessions are in the table, including those that have lately ended.
func (t *Sessions) Len() int { return len(t.table) }

// Evicted returns how many unfinished sessions were dropped for lack of room.
func (t *Sessions) Evicted() uint64 { return t.evicted }

// Overflown returns how many messages came from hosts beyond the limit.
func (t *Sessions) Overflown() uint64 { return t.overflown }

// Active calls f for each session that was let through and has not ended.
func (t *Sessions) Active(f func(*Session)) {
	for _, p := range [...]phase{running, failing, settling} {
		for s := t.ages[p].first; s != nil; s = s.age.next {
			if s.Started() {
				f(s)
			}
		}
	}
}

func (t *Sessions) emit(c Change) { t.changes = append(t.changes, c) }

// reset empties the changes and releases the sessions in them.
func (t *Sessions) reset() {
	clear(t.changes)
	t.changes = t.changes[:0]
	t.pending = false
}

// open begins a session and makes room for it. It returns nil if there is no room for a client that
// has only connected.
func (t *Sessions) open(o *Origin, p Process, at int64, first phase, v verdict) *Session {
	if !t.makeRoom(first != fresh) {
		return nil
	}
	s := &Session{Origin: o, SessionRecord: SessionRecord{
		PID: p.PID, FirstSeen: at, LastSeen: at, Phase: first,
		Born: o.Life.Number, Heard: o.Life.Number, ProcessStarted: p.Started, Doubted: v == doubtful,
		Stamp: t.stamp, Shift: t.shift, FirstWaited: t.waited, LastWaited: t.waited,
	}}
	t.table[keyOf(o, p.PID)] = s
	t.push(s)
	t.talkers.remove(o, p.PID)
	if first == running || v == doubtful {
		t.letTalk(s)
	}
	return s
}

func (t *Sessions) push(s *Session) {
	s.Origin.lists[s.Phase].push(s)
	t.enter(s)
	s.Origin.wake(t.due(s))
}

// enter puts a session at the young end of its phase's list of all origins.
func (t *Sessions) enter(s *Session) {
	t.entries++
	s.Entered = t.entries
	t.ages[s.Phase].push(s)
}

func (t *Sessions) unlink(s *Session) {
	t.unlist(s)
	t.ages[s.Phase].remove(s)
}

// unlist takes a session off its origin's list. Its origin's due time only covered the first one of
// a list, so the next one may be due earlier.
func (t *Sessions) unlist(s *Session) {
	l := &s.Origin.lists[s.Phase]
	first := l.first == s
	l.remove(s)
	if first && l.first != nil {
		s.Origin.wake(t.due(l.first))
	}
}

// drop forgets a session.
func (t *Sessions) drop(s *Session) {
	s.dropFront()
	t.unlink(s)
	key := keyOf(s.Origin, s.PID)
	if t.table[key] == s {
		delete(t.table, key)
	}
}

// move notes that a session was heard and puts it at the young end of a phase's list. LastSeen of a
// session that is over stays the time by which it was counted.
func (t *Sessions) move(s *Session, p phase, at int64) {
	switch {
	case s.over() && at >= s.End:
		s.End, s.Unheard = at, 0
	case s.over():
	case at >= s.LastSeen:
		s.LastWaited = t.waited && (s.LastWaited || at > s.LastSeen)
		s.LastSeen, s.Unheard = at, 0
	}
	o := s.Origin
	if s.Phase == p && o.lists[p].last == s { // as in a burst of its lines
		o.wake(t.due(s))
		return
	}
	t.unlist(s)
	if s.Phase != p {
		t.ages[s.Phase].remove(s)
		s.Phase = p
		t.enter(s)
	}
	o.lists[p].push(s)
	o.wake(t.due(s))
}

// A list holds sessions of one phase: an origin's, the longest silent first, or those of all
// origins, in the order in which they entered the phase.
type list struct {
	first, last *Session
	all         bool // of all origins
}

// links are a session's neighbours in a list.
type links struct{ prev, next *Session }

func (l *list) of(s *Session) *links {
	if l.all {
		return &s.age
	}
	return &s.links
}

func (l *list) push(s *Session) {
	*l.of(s) = links{prev: l.last}
	if l.last != nil {
		l.of(l.last).next = s
	} else {
		l.first = s
	}
	l.last = s
}

func (l *list) remove(s *Session) {
	k := l.of(s)
	if k.prev != nil {
		l.of(k.prev).next = k.next
	} else {
		l.first = k.next
	}
	if k.next != nil {
		l.of(k.next).prev = k.prev
	} else {
		l.last = k.prev
	}
	*k = links{}
}
