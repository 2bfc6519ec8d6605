package rsynclog

import (
	"fmt"
	"time"
	"unicode/utf8"

	"rsyncd_exporter/internal/enum"
)

// A State is all that a Sessions knows, in plain values for encoding/gob. It shares no memory that changes. It has no maps, whose size
// gob believes before it has seen them.
//
// Phases and the other enumerations are numbers, which mean what Names says: another version's numbers may differ.
type State struct {
	Now       int64 // the time by Apply's clock
	Names     StateNames
	Origins   []OriginState
	Sessions  []SessionState // of each phase, the one longest silent first
	Noted     bool           // the origin of the hosts beyond the limit has a cookie
	Evicted   uint64
	Overflown uint64
}

// StateNames are the names of a State's numbers.
type StateNames struct {
	Phases, Directions, Outcomes, Reasons []string
}

// An OriginState is an Origin.
type OriginState struct {
	Host    string // as it stands in the header: any bytes
	Scope   uint32
	Opened  uint64
	Modules []string // the modules that its daemons taught, as logged: any bytes
	Names   bool
	Noted   bool // it has a cookie
}

// A SessionState is a Session; fields of the same name mean the same.
type SessionState struct {
	Origin                                    int // index in State.Origins
	Phase                                     uint8
	PID                                       int32
	Module, User, Addr                        string
	Direction                                 uint8
	FirstSeen, LastSeen                       int64
	Unheard                                   int64
	ConnectSeen                               bool
	Outcome                                   uint8
	HasSummary                                bool
	Sent, Received, Total                     uint64
	Noted                                     bool // it has a cookie
	Known, Moved, Lost, FileErrors, MaxDelete bool
	FileList, Evicted, Listed                 bool
	Reason, LateExits, Reopened               uint8
	ExitRoles                                 [2]uint8 // 0: unused
	ExitCodes                                 [2]int16
	Length, Wire, Serial                      uint64
	Request                                   string
	OfferAt                                   int64
	OfferAddr                                 string
}

// Restored is the Cookie of an origin or a session that RestoreSessions has brought back and whose consumer had made a note there.
type Restored struct{}

var phaseNames = []string{"fresh", "running", "failing", "settling", "lapsed", "ended"}

func stateNames() StateNames {
	return StateNames{
		Phases:     phaseNames,
		Directions: enum.Names(Receive+1, Direction.String),
		Outcomes:   enum.Names(NumOutcomes, Outcome.String),
		Reasons:    enum.Names(NumReasons, Reason.String),
	}
}

// Room returns memory for the sessions of a State, which is then had without making it while others wait.
func Room(sessions int) []SessionState {
	room := make([]SessionState, sessions)
	for i := range room {
		room[i].Phase = uint8(numPhases) // a first touch makes the kernel give the page
	}
	return room
}

// State copies everything. The time now is Apply's clock's. room may be nil, or what Room returned, which becomes the State's.
func (t *Sessions) State(now int64, room []SessionState) State {
	st := State{
		Now: now, Names: stateNames(), Noted: t.overflow.Cookie != nil, Evicted: t.evicted, Overflown: t.overflown,
		Origins: make([]OriginState, 0, len(t.origins)),
	}
	if n := t.Len(); len(room) >= n {
		st.Sessions = room[:n]
	} else {
		st.Sessions = make([]SessionState, n)
	}
	for _, o := range t.origins {
		o.index = len(st.Origins)
		c := OriginState{Host: o.raw, Scope: o.Scope, Opened: o.opened, Names: o.names, Noted: o.Cookie != nil}
		for name := range o.modules {
			c.Modules = append(c.Modules, name)
		}
		st.Origins = append(st.Origins, c)
	}
	i := 0
	for p := range t.lists {
		for s := t.lists[p].first; s != nil; s = s.next {
			st.Sessions[i].fill(s)
			i++
		}
	}
	return st
}

func (c *SessionState) fill(s *Session) {
	c.Origin, c.Phase, c.PID = s.Origin.index, uint8(s.phase), s.PID
	c.Module, c.User, c.Addr, c.Direction = s.Module, s.User, s.Addr, uint8(s.Direction)
	c.FirstSeen, c.LastSeen, c.Unheard, c.ConnectSeen = s.FirstSeen, s.LastSeen, s.unheard, s.ConnectSeen
	c.Outcome, c.HasSummary = uint8(s.Outcome), s.HasSummary
	c.Sent, c.Received, c.Total = s.Sent, s.Received, s.Total
	c.Noted = s.Cookie != nil
	c.Known, c.Moved, c.Lost, c.FileErrors, c.MaxDelete = s.known, s.moved, s.lost, s.fileErrors, s.maxDelete
	c.FileList, c.Evicted, c.Listed = s.fileList, s.evicted, s.listed
	c.Reason, c.LateExits, c.Reopened = uint8(s.reason), s.lateExits, s.reopened
	for i, e := range s.exits {
		c.ExitRoles[i], c.ExitCodes[i] = e.role, e.code
	}
	c.Length, c.Wire, c.Serial = s.length, s.wire, s.serial
	c.Request, c.OfferAt, c.OfferAddr = s.request, s.offer.at, s.offer.addr
}

// RestoreSessions returns the table that a State was taken of, or an error that says what can't be in it. The limits and the modules are
// the new ones: where more sessions are open than may be, those that are surplus make room, as ever, when the next one begins, and
// origins beyond the limit stay, while no others come.
//
// The time now is that of the new clock, and down how long nothing was heard: the time since State.Now by the wall clock, 0 where that
// has been set back meanwhile. Then State.Now is taken for now, so that nothing lies in the future. Times keep their distance from now
// otherwise: what a session took includes the time while we were down if it went on, and a last success is as old as it is.
//
// Silence is another matter: nobody spoke to us while we were down, and what was written into a file then is still to be read. So
// that time doesn't count towards any session's end, nor towards the time for which ended ones are remembered. It doesn't set back what
// had passed before either, so that a session ends although we are restarted again and again.
func RestoreSessions(limits Limits, modules []string, st *State, now int64, down time.Duration) (*Sessions, error) {
	t := NewSessions(limits, modules)
	if down < 0 || !possible(now) || !possible(st.Now) || !possible(int64(down)) {
		return nil, fmt.Errorf("restoring sessions: times out of range: %d, then %v, now %d", st.Now, down, now)
	}
	t.evicted, t.overflown = st.Evicted, st.Overflown
	if st.Noted {
		t.overflow.Cookie = Restored{}
	}
	origins := make([]*Origin, len(st.Origins))
	for i := range st.Origins {
		o, err := t.restoreOrigin(&st.Origins[i])
		if err != nil {
			return nil, fmt.Errorf("restoring sessions: host %q in scope %d: %w", st.Origins[i].Host, st.Origins[i].Scope, err)
		}
		origins[i] = o
	}
	r := restorer{origins: origins, now: st.Now, shift: now - int64(down) - st.Now, down: int64(down), tables: st.Names.tables()}
	for i := range st.Sessions {
		s, err := r.session(&st.Sessions[i])
		if err != nil {
			return nil, fmt.Errorf("restoring sessions: session %d of %d, pid %d: %w", i+1, len(st.Sessions), st.Sessions[i].PID, err)
		}
		s.Origin.sessions[s.PID] = s
		t.lists[s.phase].push(s)
	}
	return t, nil
}

// possible keeps times, and sums of a few of them, within an int64.
func possible(at int64) bool { return at > -1<<60 && at < 1<<62 }

func (t *Sessions) restoreOrigin(c *OriginState) (*Origin, error) {
	key := originKey{c.Scope, c.Host}
	t.taught += len(c.Modules)
	switch {
	case t.origins[key] != nil:
		return nil, fmt.Errorf("it is there twice")
	case len(c.Host) > maxRaw:
		return nil, fmt.Errorf("a name of %d bytes; the longest has %d", len(c.Host), maxRaw)
	case len(c.Modules) > maxModules || t.taught > maxTaught:
		return nil, fmt.Errorf("%d modules, with other hosts' %d; the most are %d and %d", len(c.Modules), t.taught, maxModules, maxTaught)
	}
	o := &Origin{
		Host: Label([]byte(c.Host)), Scope: c.Scope, raw: c.Host, tracked: true, opened: c.Opened, names: c.Names,
		sessions: map[int32]*Session{}, modules: make(map[string]string, len(c.Modules)),
	}
	for _, name := range c.Modules {
		if name == "" || len(name) > maxRaw || o.modules[name] != "" {
			return nil, fmt.Errorf("module %q: empty, too long, or there twice", name)
		}
		o.modules[name] = Label([]byte(name))
	}
	if c.Noted {
		o.Cookie = Restored{}
	}
	t.origins[key] = o
	return o, nil
}

// tables translates a State's numbers into this version's.
type tables struct{ phases, directions, outcomes, reasons []int }

func (n *StateNames) tables() tables {
	to := stateNames()
	return tables{
		phases: enum.Translate(n.Phases, to.Phases), directions: enum.Translate(n.Directions, to.Directions),
		outcomes: enum.Translate(n.Outcomes, to.Outcomes), reasons: enum.Translate(n.Reasons, to.Reasons),
	}
}

// A restorer makes sessions of SessionStates.
type restorer struct {
	origins          []*Origin
	now, shift, down int64
	tables           tables
}

func (r *restorer) session(c *SessionState) (*Session, error) {
	if err := r.check(c); err != nil {
		return nil, err
	}
	s := &Session{
		Origin: r.origins[c.Origin], PID: c.PID, Module: c.Module, User: c.User, Addr: c.Addr, ConnectSeen: c.ConnectSeen,
		HasSummary: c.HasSummary, Sent: c.Sent, Received: c.Received, Total: c.Total,
		known: c.Known, moved: c.Moved, lost: c.Lost, fileErrors: c.FileErrors, maxDelete: c.MaxDelete, fileList: c.FileList,
		evicted: c.Evicted, listed: c.Listed, lateExits: c.LateExits, reopened: c.Reopened,
		exits:  [2]exit{{c.ExitRoles[0], c.ExitCodes[0]}, {c.ExitRoles[1], c.ExitCodes[1]}},
		length: c.Length, wire: c.Wire, serial: c.Serial, request: c.Request,
	}
	for _, e := range [...]struct {
		number uint8
		table  []int
		name   string
		set    func(int)
	}{
		{c.Phase, r.tables.phases, "phase", func(n int) { s.phase = phase(n) }},
		{c.Direction, r.tables.directions, "direction", func(n int) { s.Direction = Direction(n) }},
		{c.Outcome, r.tables.outcomes, "outcome", func(n int) { s.Outcome = Outcome(n) }},
		{c.Reason, r.tables.reasons, "reason", func(n int) { s.reason = Reason(n) }},
	} {
		if int(e.number) >= len(e.table) || e.table[e.number] < 0 {
			return nil, fmt.Errorf("its %s, number %d, is none that is known", e.name, e.number)
		}
		e.set(e.table[e.number])
	}
	// A time after the last one of the old clock can't be.
	last := min(c.LastSeen, r.now)
	s.LastSeen = last + r.shift
	s.FirstSeen = min(c.FirstSeen, last) + r.shift
	s.unheard = min(max(c.Unheard, 0), r.now-last) + r.down
	if c.OfferAt != 0 {
		s.offer = offer{at: min(c.OfferAt, r.now) + r.shift, addr: c.OfferAddr}
	}
	if c.Noted {
		s.Cookie = Restored{}
	}
	return s, nil
}

// check returns what a session can't be.
func (r *restorer) check(c *SessionState) error {
	if c.Origin < 0 || c.Origin >= len(r.origins) {
		return fmt.Errorf("its host is number %d of %d", c.Origin, len(r.origins))
	}
	o := r.origins[c.Origin]
	switch {
	case c.PID == 0:
		return fmt.Errorf("a session without a pid")
	case o.sessions[c.PID] != nil:
		return fmt.Errorf("host %q has two sessions of this pid", o.raw)
	case c.Serial > o.opened:
		return fmt.Errorf("it is number %d of host %q, which has had %d", c.Serial, o.raw, o.opened)
	case !possible(c.FirstSeen) || !possible(c.LastSeen) || !possible(c.OfferAt):
		return fmt.Errorf("its times are out of range: %d, %d, %d", c.FirstSeen, c.LastSeen, c.OfferAt)
	case max(c.Sent, c.Received, c.Total, c.Length, c.Wire) > maxBytes:
		return fmt.Errorf("more bytes than any session is believed")
	case c.Reopened > maxReopened+1 || c.LateExits > 2:
		return fmt.Errorf("%d sessions under its pid, %d late exits", c.Reopened, c.LateExits)
	}
	for _, label := range [...]string{c.Module, c.User, c.Addr, c.OfferAddr} {
		if len(label) > MaxLabel || !utf8.ValidString(label) {
			return fmt.Errorf("%q can't be a label", label)
		}
	}
	if len(c.Request) > MaxLabel {
		return fmt.Errorf("a request of %d bytes; the longest has %d", len(c.Request), MaxLabel)
	}
	return nil
}
