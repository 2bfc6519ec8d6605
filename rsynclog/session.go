package rsynclog

import (
	"bytes"
	"strings"
	"time"
	"unicode"
)

// Limits of a Sessions. What does not fit is counted, never kept.
type Limits struct {
	Sessions int           // open and lately ended sessions together; the one longest silent makes room
	Origins  int           // hosts; those beyond share the host name Other and their sessions aren't followed
	TTL      time.Duration // a session silent for so long has ended
	Settle   time.Duration // how long a last line must stand uncontradicted before the session is counted
}

// DefaultLimits returns limits that suit a large mirror: about 20 MiB when the table of sessions is full.
func DefaultLimits() Limits {
	return Limits{Sessions: 32768, Origins: 4096, TTL: 24 * time.Hour, Settle: 2 * time.Second}
}

// Other stands for every name beyond a limit.
const Other = "_other"

const (
	// A connection that asks for nothing (a port scan, a stalled handshake) isn't a transfer; pre-xfer exec may take long, though.
	freshTTL = time.Hour
	// failingTTL is how long a session in which files failed may be silent. If it ran on all the same, its outcome is right, and what
	// its summary says is added: it is remembered for as long as another session may be silent.
	failingTTL = 15 * time.Minute
	// Late lines of an ended session still find it for this long, and its process can't pass for a new one.
	endedTTL = time.Hour
	// MaxLabel is the longest name, in bytes, that is kept of what a daemon logs.
	MaxLabel = 128
	// maxModules bounds the names that one host's daemons can teach, and maxTaught those of all hosts: a sender can make hosts up.
	maxModules = 1000
	maxTaught  = 1 << 15
	// maxReopened bounds how often lines under the pid of a session that was let through may begin another one: a client can write
	// such lines. Where pidDistance other sessions have begun meanwhile, the pid is believed to have come round.
	maxReopened = 16
	pidDistance = 64
	// pidsNear is how far a child's pid can be from its parent's.
	pidsNear = 64
	// maxRaw is the longest name, in bytes as logged, that is looked at: with every byte escaped it makes a whole label.
	maxRaw = 5 * MaxLabel
	// maxEnded bounds how many sessions one Tick ends, so that it doesn't take long.
	maxEnded = 512
)

// An Origin is where sessions with distinct pids come from: a host, or a followed file.
type Origin struct {
	Host  string // name in the syslog header; empty for local inputs
	Scope uint32 // tells followed files, and pid namespaces, apart; 0 for syslog of our own pid namespace

	// Cookie is the consumer's; see also Restored.
	Cookie any

	raw      string // the host as it stands in the header
	tracked  bool
	opened   uint64 // sessions begun here
	index    int    // in the State that is being made
	sessions map[int32]*Session
	modules  map[string]string // configured modules' names, raw as logged, to label
	names    bool              // "allowed access" lines are logged here (rsync 3.2 and later): nothing else teaches a module
}

type originKey struct {
	scope uint32
	host  string
}

// Sessions follows the sessions of many daemons. Not safe for concurrent use.
type Sessions struct {
	limits   Limits
	known    map[string]string // modules from the settings, for every origin
	origins  map[originKey]*Origin
	reserved map[string]bool // hosts from the settings
	overflow *Origin
	last     *Origin
	lists    [numPhases]sessionList
	changes  []Change
	taught   int // names in the origins' modules

	evicted   uint64
	overflown uint64
}

// NewSessions returns an empty table. The modules are the names that exist by configuration; a client can't invent them.
func NewSessions(limits Limits, modules []string) *Sessions {
	t := &Sessions{limits: limits, known: map[string]string{}, origins: map[originKey]*Origin{}}
	for _, m := range modules {
		t.known[m] = Label([]byte(m))
	}
	t.overflow = &Origin{Host: Other, raw: Other}
	return t
}

// Reserve lets hosts, named as in the header, have origins beyond the limit. Names that senders invent don't keep
// them out.
func (t *Sessions) Reserve(hosts []string) {
	t.reserved = make(map[string]bool, len(hosts))
	for _, h := range hosts {
		t.reserved[h] = true
	}
}

// Origin returns the origin of a scope and a host name as it stands in the header. The host is copied when it is new.
func (t *Sessions) Origin(scope uint32, host []byte) *Origin {
	if o := t.last; o != nil && o.Scope == scope && o.raw == string(host) {
		return o
	}
	if len(host) > maxRaw {
		t.overflown++
		return t.overflow
	}
	o := t.origins[originKey{scope, string(host)}]
	if o == nil {
		if len(t.origins) >= t.limits.Origins && !t.reserved[string(host)] {
			t.overflown++
			return t.overflow
		}
		raw := string(host)
		o = &Origin{Host: Label(host), Scope: scope, raw: raw, tracked: true, sessions: map[int32]*Session{}, modules: map[string]string{}}
		t.origins[originKey{scope, raw}] = o
	}
	t.last = o
	return o
}

// Module returns the module of a process's session; empty where there is none, or none is known.
func (t *Sessions) Module(o *Origin, pid int32) string {
	if s := o.sessions[pid]; s != nil {
		return s.Module
	}
	return ""
}

// Len returns how many sessions are in the table, those lately ended among them.
func (t *Sessions) Len() int {
	n := 0
	for i := range t.lists {
		n += t.lists[i].len
	}
	return n
}

// Evicted returns how many unfinished sessions had to make room for newer ones.
func (t *Sessions) Evicted() uint64 { return t.evicted }

// Overflown returns how many messages came from hosts beyond the limit.
func (t *Sessions) Overflown() uint64 { return t.overflown }

// Active calls f for each session that was let through and has not ended.
func (t *Sessions) Active(f func(*Session)) {
	for _, p := range [...]phase{running, failing, settling} {
		for s := t.lists[p].first; s != nil; s = s.next {
			if s.Started() {
				f(s)
			}
		}
	}
}

// Tick ends the sessions whose time has come, some hundred at a time. The changes are valid until the next call.
func (t *Sessions) Tick(now int64) []Change {
	t.reset()
	ttl := [numPhases]time.Duration{
		fresh: min(freshTTL, t.limits.TTL), running: t.limits.TTL, failing: min(failingTTL, t.limits.TTL),
		settling: min(t.limits.Settle, t.limits.TTL), lapsed: max(endedTTL, t.limits.TTL), ended: endedTTL,
	}
	for p := fresh; p < numPhases; p++ {
		n := 0
		for s := t.lists[p].first; s != nil && n < maxEnded && s.silence(now) >= int64(ttl[p]); s = t.lists[p].first {
			n++
			if s.over() {
				t.drop(s)
				continue
			}
			t.expire(s)
			if s.silence(now) >= int64(ttl[s.phase]) { // behind younger ones in that list it would be kept as long as they are
				t.drop(s)
			}
		}
	}
	return t.changes
}

// expire ends a session that has said nothing for too long, and counts the connection that it may have hidden.
func (t *Sessions) expire(s *Session) {
	offer := s.offer
	t.end(s)
	if offer.at != 0 {
		t.emit(Change{Kind: Connected, Origin: s.Origin, N: 1})
	}
}

func (t *Sessions) emit(c Change) { t.changes = append(t.changes, c) }

// reset empties the changes and lets go of the sessions in them.
func (t *Sessions) reset() {
	clear(t.changes)
	t.changes = t.changes[:0]
}

// open begins a session and makes room for it. reopened says how often lines have begun one under a pid that a client may write for;
// such sessions are no sign that other pids are in use.
func (t *Sessions) open(o *Origin, pid int32, at int64, p phase, reopened uint8) *Session {
	for t.Len() >= t.limits.Sessions {
		t.evict()
	}
	if reopened == 0 {
		o.opened++
	}
	s := &Session{Origin: o, PID: pid, FirstSeen: at, LastSeen: at, phase: p, serial: o.opened, reopened: reopened}
	o.sessions[pid] = s
	t.lists[p].push(s)
	return s
}

func (t *Sessions) evict() {
	for _, p := range [...]phase{ended, lapsed, settling, failing, fresh, running} {
		if s := t.lists[p].first; s != nil {
			if !s.over() {
				t.evicted++
				s.evicted = true
				t.expire(s)
			}
			t.drop(s)
			return
		}
	}
}

// drop forgets a session.
func (t *Sessions) drop(s *Session) {
	t.lists[s.phase].remove(s)
	if s.Origin.sessions[s.PID] == s {
		delete(s.Origin.sessions, s.PID)
	}
}

// move puts a session at the young end of a phase's list.
func (t *Sessions) move(s *Session, p phase, at int64) {
	t.lists[s.phase].remove(s)
	s.phase = p
	if at >= s.LastSeen {
		s.LastSeen, s.unheard = at, 0
	}
	t.lists[p].push(s)
}

// end closes a session's books.
func (t *Sessions) end(s *Session) {
	if s.over() {
		return
	}
	last := ended
	if s.phase == failing {
		last = lapsed
	}
	s.Outcome = s.outcome()
	for _, e := range s.exits {
		if e.role != 0 {
			t.emit(Change{Kind: Exited, Origin: s.Origin, Session: s, N: 1, Code: e.code})
		}
	}
	t.emit(Change{Kind: Ended, Origin: s.Origin, Session: s, N: 1, Sent: s.Sent, Received: s.Received, Total: s.Total})
	s.offer = offer{}
	t.lists[s.phase].remove(s)
	s.phase = last
	t.lists[last].push(s)
}

// outcome judges a session by what was logged; RSYNC's daemon writes no one line that does (clientserver.c, cleanup.c).
func (s *Session) outcome() Outcome {
	switch {
	case s.reason != NoReason:
		return Rejected
	case s.listed:
		return Listing
	}
	worst := Unknown
	for _, e := range s.exits {
		switch {
		case e.role == 0:
		case e.code == 23 || e.code == 24 || e.code == 25: // errcode.h: RERR_PARTIAL, RERR_VANISHED, RERR_DEL_LIMIT
			worst = max(worst, Partial)
		default:
			worst = Aborted
		}
	}
	switch {
	case worst != Unknown:
		return worst
	case s.HasSummary && !s.fileErrors:
		return OK
	case s.fileErrors: // with or without a summary: uploads of 3.2 and later end without one when files failed
		return Partial
	case s.lost:
		return Aborted
	case s.maxDelete: // everything came, and what should have gone is still there: the client's exit code is 0
		return OK
	case s.Direction == Receive && s.fileList && !s.evicted:
		return Partial // an upload that came whole has a summary; without one its client ended with 23 or 24 for files of its own
	}
	return Unknown
}

// relabel sets what a session's series are named by.
func (s *Session) relabel(module string, d Direction) {
	if s.Module != module || s.Direction != d {
		s.Module, s.Direction, s.Cookie = module, d, nil
	}
}

// module returns the label for a module name as logged. A name that isn't known yet is learned if teach says that the daemon,
// not a client, wrote it; otherwise ok is false.
func (t *Sessions) module(o *Origin, name []byte, teach bool) (clean string, ok bool) {
	if m, ok := t.known[string(name)]; ok {
		return m, true
	}
	if len(t.known) > 0 && bytes.Contains(name, []byte(`\#`)) { // as a log file has it
		if m, ok := t.known[string(AppendUnescaped(nil, name[:min(len(name), maxRaw)]))]; ok {
			return m, true
		}
	}
	if m, ok := o.modules[string(name)]; ok {
		return m, true
	}
	if !teach || len(name) == 0 {
		return "", false
	}
	if len(o.modules) >= maxModules || t.taught >= maxTaught || len(name) > maxRaw {
		return Other, true
	}
	m := Label(name)
	o.modules[string(name)] = m
	t.taught++
	return m, true
}

// Label makes a metric label of a name as logged: unescaped, valid UTF-8, no control characters, at most MaxLabel bytes. The label
// holds no memory but its own.
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
