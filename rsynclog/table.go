package rsynclog

import (
	"strings"
	"time"
	"unicode"
)

// Limits of a Sessions. What does not fit is counted, never kept.
type Limits struct {
	Sessions int           // open and lately ended sessions together; see makeRoom for whom they make room
	Origins  int           // hosts; those beyond share the host name Other and their sessions aren't followed
	TTL      time.Duration // a session silent for so long has ended
	Settle   time.Duration // how long a last line must stand uncontradicted before the session is counted
}

// DefaultLimits returns limits that suit a large mirror: about 20 MiB when the table of sessions is
// full.
func DefaultLimits() Limits {
	return Limits{Sessions: 32768, Origins: 4096, TTL: 24 * time.Hour, Settle: 2 * time.Second}
}

// Other stands for every name beyond a limit.
const Other = "_other"

const (
	// A connection that asks for nothing (a port scan, a stalled handshake) isn't a transfer;
	// pre-xfer exec may take long, though.
	freshTTL = time.Hour
	// failingTTL is how long a session in which files failed may be silent. If it ran on all the
	// same, its outcome is right, and what its summary says is added: it is remembered for as long
	// as another session may be silent.
	failingTTL = 15 * time.Minute
	// endedTTL is for how long late lines of an ended session still find it, and after which its
	// process may have ended, too.
	endedTTL = time.Hour
	// MaxLabel is the longest name, in bytes, that is kept of what a daemon logs.
	MaxLabel = 128
	// maxModules bounds the names that one host's daemons can teach, and maxNames those of all
	// hosts: a sender can make hosts up.
	maxModules = 1000
	maxNames   = 1 << 15
	// pidsNear is how far a child's pid can be from its parent's.
	pidsNear = 64
	// maxRaw is the longest name, in bytes as logged, that is looked at: with every byte escaped it
	// makes a whole label.
	maxRaw = 5 * MaxLabel
	// maxInline bounds how many sessions of its origin one record ends. Tick ends the rest.
	maxInline = 64
)

// Sessions follows the sessions of many daemons. Not safe for concurrent use.
type Sessions struct {
	limits   Limits
	ttl      [numPhases]int64  // how long a session of a phase may be silent, or is remembered if it is over
	known    map[string]string // modules from the settings, for every origin
	hosts    map[string]bool   // hosts from the settings
	origins  map[originKey]*Origin
	inOrder  []*Origin // the same, as they came
	ids      uint32    // origins so far
	overflow *Origin
	last     *Origin
	table    map[tableKey]*Session // the latest session of each pid
	ages     [numPhases]ageList
	entries  uint64 // into phases, so far
	talkers  talkers
	changes  []Change
	fronts   [frontSlots]Front
	pending  bool  // changes are Again's
	names    int   // in the origins' modules
	stamp    int64 // of the record that is being applied, corrected; 0: none
	waited   bool  // whether that is its time
	shift    int64 // what it was corrected by, for its session's jumps
	// nobodyBefore is until when no origin can be let go of.
	nobodyBefore int64

	evicted   uint64
	overflown uint64
}

// A tableKey is an origin's id and a pid: one number, as maps find these fastest.
type tableKey uint64

func keyOf(o *Origin, pid int32) tableKey { return tableKey(o.id)<<32 | tableKey(uint32(pid)) }

// NewSessions returns an empty table. The modules and hosts are the names that exist by
// configuration: a client can't invent these modules, and these hosts always have room.
func NewSessions(limits Limits, modules, hosts []string) *Sessions {
	t := &Sessions{
		limits: limits, known: map[string]string{}, hosts: map[string]bool{},
		origins: map[originKey]*Origin{}, table: map[tableKey]*Session{},
		talkers: talkers{pages: map[talkerPage]*talkerBits{}},
	}
	ttl := limits.TTL
	t.ttl = [numPhases]int64{
		fresh: int64(min(freshTTL, ttl)), admitted: int64(min(freshTTL, ttl)),
		running: int64(ttl), failing: int64(min(failingTTL, ttl)),
		settling: int64(min(limits.Settle, ttl)), lapsed: int64(max(endedTTL, ttl)), ended: int64(endedTTL),
	}
	for _, m := range modules {
		t.known[m] = Label([]byte(m))
	}
	for _, h := range hosts {
		t.hosts[h] = true
	}
	t.overflow = &Origin{Host: Other, OriginRecord: OriginRecord{Raw: Other}}
	return t
}

// Module returns the module of a process's session; empty where there is none, or none is known.
func (t *Sessions) Module(o *Origin, pid int32) string {
	if s := t.session(o, pid); s != nil {
		return s.Module
	}
	return ""
}

// session returns the latest session of a pid, or nil.
func (t *Sessions) session(o *Origin, pid int32) *Session { return t.table[keyOf(o, pid)] }

// Len returns how many sessions are in the table, those lately ended among them.
func (t *Sessions) Len() int { return len(t.table) }

// Evicted returns how many unfinished sessions had to make room for others, or found none.
func (t *Sessions) Evicted() uint64 { return t.evicted }

// Overflown returns how many messages came from hosts beyond the limit.
func (t *Sessions) Overflown() uint64 { return t.overflown }

// Active calls f for each session that was let through and has not ended.
func (t *Sessions) Active(f func(*Session)) {
	for _, p := range [...]phase{running, failing, settling} {
		for s := t.ages[p].first; s != nil; s = s.newer {
			if s.Started() {
				f(s)
			}
		}
	}
}

func (t *Sessions) emit(c Change) { t.changes = append(t.changes, c) }

// reset empties the changes and lets go of the sessions in them.
func (t *Sessions) reset() {
	clear(t.changes)
	t.changes = t.changes[:0]
	t.pending = false
}

// open begins a session of a process and makes room for it. It returns nil if there is no room for
// a client that only connected.
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

// enter puts a session at the young end of all those of its phase.
func (t *Sessions) enter(s *Session) {
	t.entries++
	s.Entered = t.entries
	t.ages[s.Phase].push(s)
}

func (t *Sessions) unlink(s *Session) {
	t.unlist(s)
	t.ages[s.Phase].remove(s)
}

// unlist takes a session off its origin's list. The next one, which nobody has looked at while it
// stood behind, may be due before.
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

// move puts a session at the young end of a phase's list. One that is over keeps its last line, by
// which it was counted or, if the line that shows that it is over is its own, will be in a moment.
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
	if s.Phase == p && o.lists[p].last == s { // as in a burst of its lines: it stands there already
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

// end closes a session's books. The time at is the record's, or the clock's, that shows that it is
// over.
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
		last = lapsed // it may go on
	}
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

// outcome judges a session by what was logged; rsync's daemon writes no one line that does
// (clientserver.c, cleanup.c).
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
	case s.FileErrors: // with or without a summary: uploads of 3.2 and later end without one when files failed
		return Partial
	case s.Lost:
		return Aborted
	case s.MaxDelete: // everything came, and what should have gone is still there: the client's exit code is 0
		return OK
	case s.Direction == Receive && s.FileList && !s.Evicted:
		// An upload that came whole has a summary. Without one, its client ended with 23 or 24 for
		// files of its own.
		return Partial
	}
	return Unknown
}

// relabel sets what a session's series are named by.
func (s *Session) relabel(module string, d Direction) {
	if s.Module != module || s.Direction != d {
		s.Module, s.Direction, s.Cookie = module, d, nil
	}
}

// Label makes a metric label of a name as logged: unescaped, valid UTF-8, no control characters, at
// most MaxLabel bytes. The label holds no memory but its own.
func Label(name []byte) string {
	name = name[:min(len(name), maxRaw)]
	b := AppendUnescaped(make([]byte, 0, len(name)), name)
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, s)
	if len(s) > MaxLabel {
		s = strings.Clone(strings.ToValidUTF8(s[:MaxLabel], ""))
	}
	return s
}
