package rsynclog

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
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
	Sessions  []SessionState // of each host and phase, the one longest silent first
	Noted     bool           // the origin of the hosts beyond the limit has a cookie
	Evicted   uint64
	Overflown uint64
	NoRoom    int64 // until when no host can be let go of
}

// StateNames are the names of a State's numbers.
type StateNames struct {
	Phases, Directions, Outcomes, Reasons []string
}

// An OriginState is an Origin.
type OriginState struct {
	Host string // as it stands in the header: any bytes
	// Container is one of the host's, likewise; none in states of versions before.
	Container string
	Addr      string // as netip.Addr.String gives it; empty for none
	Scope     uint32
	Taught    []TaughtState
	Names     bool
	Serves    bool
	Noted     bool // it has a cookie
	Arrived   int64

	Life, Era      uint32
	Top, Floor     int32
	Connects, Laps uint64
	Talkers        []TalkerState
	Forgotten      int64
	NoName         int64

	Offset, SteadyArrived, SteadyStamp int64
	Latest, QuietFrom                  int64
	Behind                             bool
}

// A TaughtState is the name of a module that the origin's daemons have logged: any bytes.
type TaughtState struct {
	Name  string
	Heard int64
}

// A TalkerState has one bit for each of the pids from First on whose clients can have lines logged: who did in a week, and behind those who did in
// the week before.
type TalkerState struct {
	First int32
	Week  int64
	Bits  []uint64
}

// A SessionState is a Session; fields of the same name mean the same.
type SessionState struct {
	Origin                                    int // index in State.Origins
	Phase                                     uint8
	PID                                       int32
	Module, User, Addr                        string
	Direction                                 uint8
	FirstSeen, LastSeen, End                  int64
	Unheard                                   int64
	ConnectSeen                               bool
	Outcome                                   uint8
	HasSummary                                bool
	Sent, Received, Total                     uint64
	Noted                                     bool // it has a cookie
	Known, Moved, Lost, FileErrors, MaxDelete bool
	FileList, Evicted, Listed                 bool
	Overruled, Executed                       bool
	Reason, LateExits                         uint8
	ExitRoles                                 [2]uint8 // 0: unused
	ExitCodes                                 [2]int16
	Length, Wire                              uint64
	Requested                                 string
	Born, Heard                               uint32
	Started                                   uint64
	Talks, Doubted                            bool
	Orphaned, Stamp, Shift                    int64
	FirstWaited, LastWaited                   bool
	Entered                                   uint64
}

// Restored is the Cookie of an origin or a session that RestoreSessions has brought back and whose consumer had made a note there.
type Restored struct{}

var phaseNames = []string{"fresh", "admitted", "running", "failing", "settling", "lapsed", "ended"}

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
		Now: now, Names: stateNames(), Noted: t.overflow.Cookie != nil,
		Evicted: t.evicted, Overflown: t.overflown, NoRoom: t.nobodyBefore,
		Origins: make([]OriginState, 0, len(t.origins)),
	}
	if n := t.Len(); len(room) >= n {
		st.Sessions = room[:n]
	} else {
		st.Sessions = make([]SessionState, n)
	}
	for _, o := range t.inOrder {
		o.index = len(st.Origins)
		st.Origins = append(st.Origins, o.state())
	}
	t.talkers.state(st.Origins, t.inOrder)
	i := 0
	for _, o := range t.inOrder {
		for p := range o.lists {
			for s := o.lists[p].first; s != nil; s = s.next {
				st.Sessions[i].fill(s)
				i++
			}
		}
	}
	return st
}

func (o *Origin) state() OriginState {
	c := OriginState{
		Host: o.raw, Container: o.container, Scope: o.Scope, Names: o.names, Serves: o.serves, Noted: o.Cookie != nil, Arrived: o.arrived,
		Life: o.life.number, Era: o.life.era, Top: o.life.top, Floor: o.life.floor,
		Connects: o.life.connects, Laps: o.life.laps,
		Forgotten: o.forgotten, NoName: o.noName,
		Offset: o.clock.offset, SteadyArrived: o.clock.steadyArrived, SteadyStamp: o.clock.steadyStamp,
		Latest: o.clock.latest, QuietFrom: o.clock.quietFrom, Behind: o.clock.behind,
	}
	if o.Addr.IsValid() {
		c.Addr = o.Addr.String()
	}
	for name, m := range o.modules {
		c.Taught = append(c.Taught, TaughtState{name, m.heard})
	}
	return c
}

func (c *SessionState) fill(s *Session) {
	c.Origin, c.Phase, c.PID = s.Origin.index, uint8(s.phase), s.PID
	c.Module, c.User, c.Addr, c.Direction = s.Module, s.User, s.Addr, uint8(s.Direction)
	c.FirstSeen, c.LastSeen, c.End = s.FirstSeen, s.LastSeen, s.ended
	c.Unheard, c.ConnectSeen = s.unheard, s.ConnectSeen
	c.Outcome, c.HasSummary = uint8(s.Outcome), s.HasSummary
	c.Sent, c.Received, c.Total = s.Sent, s.Received, s.Total
	c.Noted = s.Cookie != nil
	c.Known, c.Moved, c.Lost, c.FileErrors, c.MaxDelete = s.known, s.moved, s.lost, s.fileErrors, s.maxDelete
	c.FileList, c.Evicted, c.Listed = s.fileList, s.evicted, s.listed
	c.Overruled, c.Executed = s.overruled, s.executed
	c.Reason, c.LateExits = uint8(s.reason), s.lateExits
	for i, e := range s.exits {
		c.ExitRoles[i], c.ExitCodes[i] = e.role, e.code
	}
	c.Length, c.Wire, c.Requested = s.length, s.wire, s.request
	c.Born, c.Heard, c.Started, c.Talks, c.Doubted = s.born, s.heard, s.started, s.talks, s.doubtful
	c.Orphaned, c.Stamp, c.Shift, c.Entered = s.orphaned, s.stamp, s.shift, s.entered
	c.FirstWaited, c.LastWaited = s.firstWaited, s.lastWaited
}

// A Restart is what RestoreSessions has to know besides the State.
type Restart struct {
	Now int64 // the time by the new clock
	// how long nothing was heard: since State.Now, by the wall clock; 0 where that has been set back meanwhile
	Down time.Duration
	// Replayed says of a scope that what was logged meanwhile is still to be read, from a file.
	Replayed func(scope uint32) bool
}

// replayPatience is for how long after a restart the reading of a file may take to begin. Its sessions aren't judged
// by the clock before.
const replayPatience = time.Minute

// RestoreSessions returns the table that a State was taken of, or an error that says what can't be in it. The limits,
// modules and hosts are the new ones: where more sessions are open than may be, those that are surplus make room, as
// ever, when the next one begins, and origins beyond the limit stay, while no others come.
//
// Times stay what they were, by the wall clock. Where that has been set back meanwhile, State.Now is taken for
// Restart.Now, so that nothing lies in the future.
//
// Silence is another matter: nobody spoke to us while we were down. So that time doesn't count towards the end of any
// session but those whose lines are still to be read.
func RestoreSessions(limits Limits, modules, hosts []string, st *State, r Restart) (*Sessions, error) {
	t := NewSessions(limits, modules, hosts)
	down := int64(r.Down)
	if down < 0 || !possible(r.Now) || !possible(st.Now) || !possible(st.NoRoom) || !possible(down) {
		return nil, fmt.Errorf("restoring sessions: times out of range: %d, then %v, now %d", st.Now, r.Down, r.Now)
	}
	t.evicted, t.overflown = st.Evicted, st.Overflown
	if st.Noted {
		t.overflow.Cookie = Restored{}
	}
	m := restorer{
		now: st.Now, shift: r.Now - down - st.Now, down: down, tables: st.Names.tables(), replayed: r.Replayed,
		old: !slices.Contains(st.Names.Phases, phaseNames[admitted]), table: t.table,
	}
	t.nobodyBefore = m.toCome(st.NoRoom)
	for i := range st.Origins {
		o, err := t.restoreOrigin(&m, &st.Origins[i])
		if err != nil {
			return nil, fmt.Errorf("restoring sessions: host %q in scope %d: %w", st.Origins[i].Host, st.Origins[i].Scope, err)
		}
		if r.Replayed(o.Scope) {
			o.clock.quietFrom = r.Now + int64(replayPatience)
		} else {
			o.clock.behind = st.Origins[i].Behind // nobody else says when it has been read
		}
		m.origins = append(m.origins, o)
	}
	if err := t.restoreSessions(&m, st.Sessions); err != nil {
		return nil, fmt.Errorf("restoring sessions: %w", err)
	}
	return t, nil
}

func (t *Sessions) restoreSessions(r *restorer, states []SessionState) error {
	all := make([]*Session, 0, len(states))
	for i := range states {
		s, err := r.session(&states[i])
		if err != nil {
			return fmt.Errorf("session %d of %d, pid %d: %w", i+1, len(states), states[i].PID, err)
		}
		t.table[keyOf(s.Origin, s.PID)] = s
		s.Origin.lists[s.phase].push(s)
		s.Origin.wake(t.due(s))
		if s.talks && s.heard == s.Origin.life.number {
			t.talkers.add(s.Origin, s.PID)
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b *Session) int { return cmp.Compare(a.entered, b.entered) })
	for _, s := range all {
		t.enter(s)
	}
	return nil
}

// possible keeps times, and sums of a few of them, within an int64.
func possible(at int64) bool { return at > -1<<60 && at < 1<<62 }

func (t *Sessions) restoreOrigin(r *restorer, c *OriginState) (*Origin, error) {
	key := originKey{scope: c.Scope, host: c.Host, container: c.Container}
	if c.Addr != "" {
		addr, err := netip.ParseAddr(c.Addr)
		if err != nil {
			return nil, fmt.Errorf("its address: %w", err)
		}
		key.addr = addr
	}
	t.names += len(c.Taught)
	switch {
	case t.origins[key] != nil:
		return nil, fmt.Errorf("it is there twice")
	case max(len(c.Host), len(c.Container)) > maxRaw:
		return nil, fmt.Errorf("names of %d and %d bytes; the longest has %d", len(c.Host), len(c.Container), maxRaw)
	case len(c.Taught) > maxModules || t.names > maxNames:
		return nil, fmt.Errorf("%d modules, with other hosts' %d; the most are %d and %d",
			len(c.Taught), t.names, maxModules, maxNames)
	case c.Top < 0 || c.Floor < 0:
		return nil, fmt.Errorf("pids of which %d is the highest and %d the least", c.Top, c.Floor)
	}
	for _, at := range [...]int64{
		c.Arrived, c.Forgotten, c.NoName, c.Offset, c.SteadyArrived, c.SteadyStamp, c.Latest, c.QuietFrom,
	} {
		if !possible(at) {
			return nil, fmt.Errorf("the time %d is out of range", at)
		}
	}
	o := t.newOrigin(key)
	o.names, o.serves, o.arrived, o.forgotten, o.noName = c.Names, c.Serves, r.time(c.Arrived), r.toCome(c.Forgotten), r.toCome(c.NoName)
	o.life = life{number: c.Life, era: c.Era, top: c.Top, floor: c.Floor, connects: c.Connects, laps: c.Laps}
	o.clock = originClock{offset: c.Offset, latest: r.time(c.Latest), quietFrom: r.toCome(c.QuietFrom)}
	if c.SteadyArrived != 0 {
		o.clock.steadyArrived, o.clock.steadyStamp = r.time(c.SteadyArrived), c.SteadyStamp+r.shift
	}
	if c.Arrived == 0 { // a version that didn't note it
		o.arrived, o.clock.latest = r.now+r.shift+r.down, r.now+r.shift
	}
	if len(c.Taught) > 0 {
		o.modules = make(map[string]taught, len(c.Taught))
	}
	for _, m := range c.Taught {
		if _, twice := o.modules[m.Name]; twice || m.Name == "" || len(m.Name) > maxRaw {
			return nil, fmt.Errorf("module %q: empty, too long, or there twice", m.Name)
		}
		o.modules[m.Name] = taught{Label([]byte(m.Name)), r.time(m.Heard)}
	}
	if c.Noted {
		o.Cookie = Restored{}
	}
	return o, t.talkers.restore(o, c.Talkers)
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
	replayed         func(scope uint32) bool
	old              bool // the State is of a version that didn't note whose client can have lines logged
	table            map[tableKey]*Session
}

// time returns a time by the new clock. One after the last of the old clock can't be.
func (r *restorer) time(at int64) int64 { return min(at, r.now) + r.shift }

// toCome returns a time by the new clock until when something holds: an hour after the last one of the old clock at
// most.
func (r *restorer) toCome(at int64) int64 { return min(at, r.now+int64(endedTTL)) + r.shift }

func (r *restorer) session(c *SessionState) (*Session, error) {
	if err := r.check(c); err != nil {
		return nil, err
	}
	s := &Session{
		Origin: r.origins[c.Origin], PID: c.PID, Module: c.Module, User: c.User, Addr: c.Addr, ConnectSeen: c.ConnectSeen,
		HasSummary: c.HasSummary, Sent: c.Sent, Received: c.Received, Total: c.Total,
		known: c.Known, moved: c.Moved, lost: c.Lost, fileErrors: c.FileErrors, maxDelete: c.MaxDelete, fileList: c.FileList,
		evicted: c.Evicted, listed: c.Listed, lateExits: c.LateExits, overruled: c.Overruled, executed: c.Executed,
		exits:  [2]exit{{c.ExitRoles[0], c.ExitCodes[0]}, {c.ExitRoles[1], c.ExitCodes[1]}},
		length: c.Length, wire: c.Wire, request: c.Requested,
		born: c.Born, heard: c.Heard, started: c.Started, talks: c.Talks, doubtful: c.Doubted,
		shift: c.Shift, entered: c.Entered,
		firstWaited: c.FirstWaited, lastWaited: c.LastWaited,
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
	last := min(c.LastSeen, r.now)
	s.LastSeen, s.FirstSeen = r.time(last), r.time(min(c.FirstSeen, last))
	s.unheard = min(max(c.Unheard, 0), r.now-last)
	if !r.replayed(s.Origin.Scope) {
		s.unheard += r.down
	}
	if s.over() {
		s.ended = r.time(max(c.End, last))
	}
	if c.Orphaned != 0 {
		s.orphaned = r.time(c.Orphaned)
	}
	if c.Stamp != 0 {
		s.stamp = c.Stamp + r.shift
	}
	s.talks = s.talks || r.old && s.Direction != NoDirection
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
	case r.table[keyOf(o, c.PID)] != nil:
		return fmt.Errorf("host %q has two sessions of this pid", o.raw)
	case c.PID < 0 || c.Born > o.life.number || c.Heard > o.life.number || c.Born > c.Heard:
		return fmt.Errorf("it began in life %d of its pid and was heard in life %d; host %q is in life %d",
			c.Born, c.Heard, o.raw, o.life.number)
	case !possible(c.FirstSeen) || !possible(c.LastSeen) || !possible(c.End),
		!possible(c.Orphaned) || !possible(c.Stamp) || !possible(c.Shift):
		return fmt.Errorf("its times are out of range: %d, %d, %d, %d, %d, %d",
			c.FirstSeen, c.LastSeen, c.End, c.Orphaned, c.Stamp, c.Shift)
	case max(c.Sent, c.Received, c.Total, c.Length, c.Wire) > maxBytes:
		return fmt.Errorf("more bytes than any session is believed")
	case c.LateExits > 2:
		return fmt.Errorf("%d late exits", c.LateExits)
	}
	for _, label := range [...]string{c.Module, c.User, c.Addr, c.Requested} {
		if len(label) > MaxLabel || !utf8.ValidString(label) {
			return fmt.Errorf("%q can't be a label", label)
		}
	}
	return nil
}
