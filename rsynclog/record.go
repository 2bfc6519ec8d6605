package rsynclog

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"rsyncd_exporter/internal/enum"
)

// A TableRecord is the whole state of a Sessions, for encoding/gob. It shares no changing memory.
type TableRecord struct {
	Now       int64 // by Apply's clock
	Names     NumberNames
	Origins   []OriginRecord
	Sessions  []SessionRecord // by origin, then by phase, then the longest silent first
	Talkers   []TalkerRecord
	Noted     bool // the origin for hosts beyond the limit has a cookie
	Evicted   uint64
	Overflown uint64
	NoRoom    int64 // until when no host can be forgotten
}

// NumberNames are the names of the numbers in SessionRecords, which may differ between versions.
type NumberNames struct {
	Phases, Directions, Outcomes, Reasons []string
}

// An OriginRecord is what a restart keeps of an Origin.
type OriginRecord struct {
	Scope uint32     // of a followed file or a pid namespace; 0 for syslog of our own pid namespace
	Addr  netip.Addr // of a machine whose messages have no host name; not valid otherwise

	Raw       string // the host as it stands in the header: any bytes
	Container string // its name, for a container of the host

	Life    life
	Clock   originClock
	Arrived int64 // when the last of its messages came
	// Forgotten is until when a session that is not remembered may have been evicted, and have
	// ended less than an hour ago.
	Forgotten int64
	Modules   map[string]Taught // names that its daemons have logged, raw
	NoName    int64             // until when there is no room for another one
	Serves    bool              // a client was let in
	Names     bool              // "allowed access" is logged (rsync 3.2 and later), so only that teaches a module

	Sessions int  // only in a TableRecord: how many of its sessions this origin has
	Noted    bool // only in a TableRecord: it has a cookie
}

// A Taught is a module name that an origin's daemons have logged.
type Taught struct {
	Label string
	Heard int64 // when last
}

// A SessionRecord is what a restart keeps of a Session.
type SessionRecord struct {
	PID       int32
	Module    string // a configured module's name; empty until a line that clients can't write has named it
	Direction Direction
	User      string // the authenticated user; empty without authentication
	Addr      string // the client's numeric address; empty where no line named it
	Name      string // the client's host name as the daemon found it; empty if it found none
	Request   string // what the client asked for: a module, and paths in it; the client's text; empty when it is over

	// FirstSeen and LastSeen are when its first and its last line were written; see When.
	FirstSeen, LastSeen int64
	ConnectSeen         bool // whether FirstSeen is the session's real beginning

	// Set when the session has ended.
	Outcome               Outcome
	HasSummary            bool
	Sent, Received, Total uint64 // bytes; Total is the size of the listed files

	Phase      phase
	Known      bool // Module came from "allowed access"
	Moved      bool // a transfer line was seen
	Lost       bool // the connection was lost or timed out
	FileErrors bool
	MaxDelete  bool // --max-delete stopped deletions
	FileList   bool // its file list was begun
	Evicted    bool // it made room before its time
	Reason     Reason
	Listed     bool // asked for the module list
	Exits      [2]exit
	LateExits  uint8      // exit lines after the end
	Amendments uint8      // summaries after the end, as far as they are told apart
	Files      FileCounts // its transfer lines, by what was done
	Failures   Failures   // its files that failed
	Length     uint64     // bytes of its transfer lines, %l
	Wire       uint64     // the same, %b
	Requested  string     // the module in the request, until a line confirms it; see confirm
	Overruled  bool       // a transfer line named another module
	Executed   bool       // its transfer has waited for the module's name and was counted
	Unheard    int64      // nanoseconds of downtime since LastSeen; see RestoreSessions

	// Evidence of its process; see admits.
	Born, Heard    uint32 // life.Number when it began, and when it was heard last
	ProcessStarted uint64 // when its process began, by the kernel; 0: not known
	Talks          bool   // its client can have lines logged
	Doubted        bool   // a client may have begun it: it counts, but proves nobody's backup
	Orphaned       int64  // when its daemon started anew, if it was silent since; else 0
	End            int64  // when it was over

	// Whether FirstSeen and LastSeen were made of stamps; see moveTimes.
	FirstWaited, LastWaited bool

	Stamp, Shift int64 // its last corrected stamp, and the sum of its jumps; see straighten

	Entered uint64 // Sessions.entries when it entered its phase

	Noted bool // only in a TableRecord: it has a cookie
}

// Restored is the Cookie of an origin or a session that RestoreSessions has brought back, if it had
// a Cookie before.
type Restored struct{}

var phaseNames = []string{"fresh", "admitted", "running", "failing", "settling", "lapsed", "ended"}

func numberNames() NumberNames {
	return NumberNames{
		Phases:     phaseNames,
		Directions: enum.Names(Receive+1, Direction.String),
		Outcomes:   enum.Names(NumOutcomes, Outcome.String),
		Reasons:    enum.Names(NumReasons, Reason.String),
	}
}

// Room allocates memory for the sessions of a TableRecord, before a lock is taken for Record.
func Room(sessions int) []SessionRecord {
	room := make([]SessionRecord, sessions)
	for i := range room {
		room[i].Phase = numPhases // a first touch makes the kernel give the page
	}
	return room
}

// Record copies everything. now is the time by Apply's clock. The record takes over room, which may
// be nil or what Room returned.
func (t *Sessions) Record(now int64, room []SessionRecord) TableRecord {
	if len(room) < t.Len() {
		room = make([]SessionRecord, t.Len())
	}
	r := TableRecord{
		Now: now, Names: numberNames(),
		Origins: make([]OriginRecord, len(t.inOrder)), Talkers: t.talkers.records(t.inOrder),
		Noted: t.overflow.Cookie != nil, Evicted: t.evicted, Overflown: t.overflown, NoRoom: t.nobodyBefore,
	}
	n := 0
	for i, o := range t.inOrder {
		c := &r.Origins[i]
		*c = o.OriginRecord
		c.Modules, c.Noted, c.Sessions = maps.Clone(o.Modules), o.Cookie != nil, -n
		for p := range o.lists {
			for s := o.lists[p].first; s != nil; s = s.next {
				room[n], room[n].Noted = s.SessionRecord, s.Cookie != nil
				n++
			}
		}
		c.Sessions += n
	}
	r.Sessions = room[:n]
	return r
}

// A Restart is what RestoreSessions needs besides the TableRecord.
type Restart struct {
	Now int64 // the time by the new clock
	// Down is the time since TableRecord.Now by the wall clock; 0 if that was set back.
	Down time.Duration
	// Replayed says whether lines that a scope has logged since are still to be read from a file.
	Replayed func(scope uint32) bool
}

// replayPatience is how long after a restart the reading of a file may take to begin. Until then
// its sessions don't go by the clock.
const replayPatience = time.Minute

// RestoreSessions returns the table of a TableRecord, whose memory it takes over. It fails if this
// version doesn't have the name of a number. Surplus sessions make room when the next one begins.
// Origins beyond the limit stay, and no new ones come.
//
// Times stay what they were by the wall clock. If that was set back, TableRecord.Now becomes
// Restart.Now, so that nothing lies in the future.
//
// Nobody could be heard while we were down. So downtime is no silence of a session, unless lines
// are still to be read.
func RestoreSessions(limits Limits, modules, hosts []string, rec *TableRecord, r Restart) (*Sessions, error) {
	t := NewSessions(limits, modules, hosts)
	t.evicted, t.overflown = rec.Evicted, rec.Overflown
	t.overflow.Cookie = noted(rec.Noted)
	m := mover{Restart: r, then: rec.Now, shift: r.Now - int64(r.Down) - rec.Now, from: rec.Names, to: numberNames()}
	t.nobodyBefore = m.toCome(rec.NoRoom)
	all := make([]*Session, 0, len(rec.Sessions))
	for i := range rec.Origins {
		o := t.restoreOrigin(&m, &rec.Origins[i])
		for ; o.Sessions > 0; o.Sessions-- {
			s := &Session{Origin: o, SessionRecord: rec.Sessions[len(all)]}
			if err := m.session(s); err != nil {
				return nil, fmt.Errorf("restoring sessions: host %q, pid %d: %w", o.Raw, s.PID, err)
			}
			t.table[keyOf(o, s.PID)] = s
			o.lists[s.Phase].push(s)
			o.wake(t.due(s))
			all = append(all, s)
		}
	}
	for i := range rec.Talkers {
		t.talkers.restore(t.inOrder[rec.Talkers[i].Origin], &rec.Talkers[i])
	}
	for _, s := range all {
		if s.Talks && s.Heard == s.Origin.Life.Number {
			t.talkers.add(s.Origin, s.PID)
		}
	}
	slices.SortStableFunc(all, func(a, b *Session) int { return cmp.Compare(a.Entered, b.Entered) })
	for _, s := range all {
		t.enter(s)
	}
	return t, nil
}

func noted(is bool) any {
	if is {
		return Restored{}
	}
	return nil
}

func (t *Sessions) restoreOrigin(m *mover, rec *OriginRecord) *Origin {
	o := t.newOrigin(originKey{scope: rec.Scope, host: rec.Raw, container: rec.Container, addr: rec.Addr})
	o.OriginRecord, o.Cookie = *rec, noted(rec.Noted)
	o.Arrived, o.Forgotten, o.NoName = m.time(o.Arrived), m.toCome(o.Forgotten), m.toCome(o.NoName)
	c := &o.Clock
	c.Latest, c.QuietFrom = m.time(c.Latest), m.toCome(c.QuietFrom)
	if c.SteadyArrived != 0 {
		c.SteadyArrived, c.SteadyStamp = m.time(c.SteadyArrived), c.SteadyStamp+m.shift
	}
	if m.Replayed(o.Scope) { // otherwise nobody else says when the backlog has been read
		c.Behind, c.QuietFrom = false, m.Now+int64(replayPatience)
	}
	for name, module := range o.Modules {
		o.Modules[name] = Taught{module.Label, m.time(module.Heard)}
	}
	t.names += len(o.Modules)
	return o
}

// A mover converts the times and numbers of a record to this clock and version.
type mover struct {
	Restart
	then, shift int64
	from, to    NumberNames
}

// time converts a time, which can't be after the last one of the old clock.
func (m *mover) time(at int64) int64 { return min(at, m.then) + m.shift }

// toCome converts a time until when something holds, at most an hour after the last one of the old
// clock.
func (m *mover) toCome(at int64) int64 { return min(at, m.then+int64(endedTTL)) + m.shift }

// session converts a session's record.
func (m *mover) session(s *Session) error {
	if err := cmp.Or(
		renumber(&s.Phase, m.from.Phases, m.to.Phases), renumber(&s.Direction, m.from.Directions, m.to.Directions),
		renumber(&s.Outcome, m.from.Outcomes, m.to.Outcomes), renumber(&s.Reason, m.from.Reasons, m.to.Reasons),
	); err != nil {
		return err
	}
	last := min(s.LastSeen, m.then)
	s.LastSeen, s.FirstSeen = m.time(last), m.time(min(s.FirstSeen, last))
	s.Unheard = min(s.Unheard, m.then-last)
	if !m.Replayed(s.Origin.Scope) {
		s.Unheard += int64(m.Down)
	}
	if s.over() {
		s.End = m.time(max(s.End, last))
	}
	if s.Orphaned != 0 {
		s.Orphaned = m.time(s.Orphaned)
	}
	if s.Stamp != 0 {
		s.Stamp += m.shift
	}
	s.Cookie = noted(s.Noted)
	return nil
}

// renumber translates a number of another version by its name.
func renumber[T ~uint8](n *T, from, to []string) error {
	i := slices.Index(to, from[*n])
	if i < 0 {
		return fmt.Errorf("this version doesn't know %q, number %d", from[*n], *n)
	}
	*n = T(i)
	return nil
}
