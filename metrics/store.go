// Package metrics keeps the exporter's counters: changes and messages fold into a Store, a Snapshot
// is a copy of it, and a Collector shows it to Prometheus. Whoever holds the pipeline's lock owns
// the Store.
package metrics

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
)

// Input counts what arrived by one kind of input.
type Input struct {
	Name        string   // the input label
	Created     int64    // created time, nanoseconds of the Unix epoch
	Received    uint64   // messages
	Ignored     uint64   // messages of other programs
	Discarded   []uint64 // by the index of the reasons that the Store was made with
	LastMessage int64    // nanoseconds of the Unix epoch; 0: none yet
}

// A Store counts changes and messages. It is not safe for concurrent use.
type Store struct {
	maxSeries  int // in series as served
	reasons    []string
	start      int64 // created time of what exists from the start, nanoseconds of the Unix epoch
	since      int64 // when this process' Store was made; later than start in a restored one
	at         int64 // the wall clock, as Apply, Message or HostAddress were last told
	aheadSince int64 // since when a time lies in the future, by the sessions' clock; 0: none does
	inputs     []*Input
	hosts      map[string]*hostTally
	series     int // weight of the label sets in use
	other      *hostTally
	spilled    bool // something was counted in other
	overflow   overflowCounts
	retired    uint64 // messages of hosts that have made room
	copied     [3]int // modules, flows and users in the last Snapshot
	pools      [numPools]victimPool
	mixed      []string // for MixedHosts
	modules    []string
	fixed      []string // hosts of the settings
}

// The labels whose values may overflow into rsynclog.Other.
const (
	overflowHost = iota
	overflowModule
	overflowUser
	overflowErrno
	overflowCode
	numOverflow
)

var overflowNames = [numOverflow]string{"host", "module", "user", "errno", "status_code"}

// Config is what a Store is made of.
type Config struct {
	// MaxSeries bounds the series that don't always exist; others count under rsynclog.Other.
	MaxSeries int
	Reasons   []string // discarded_total's reasons, in the order of Input.Discarded; the first is not served
	// Modules have series from the start in Hosts and the local host, elsewhere once used.
	Modules []string
	Hosts   []string  // hosts whose series exist from the start, named as in the syslog header
	Start   time.Time // created time of the series that exist from the start
}

// NewStore returns books at zero.
func NewStore(c Config) *Store {
	s := newStore(c)
	s.addFixed()
	return s
}

// newStore leaves out the hosts of the settings.
func newStore(c Config) *Store {
	at := c.Start.UnixNano()
	s := &Store{
		maxSeries: c.MaxSeries, reasons: c.Reasons, start: at, since: at, at: at, hosts: map[string]*hostTally{},
		modules: labels(c.Modules), fixed: labels(c.Hosts),
	}
	s.other = s.newHost(rsynclog.Other, s.start)
	return s
}

func labels(names []string) (list []string) {
	for _, n := range names {
		if n = rsynclog.Label([]byte(n)); n != "" && n != rsynclog.Other && !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

func (s *Store) addFixed() {
	for _, name := range s.fixed {
		h := s.hosts[name]
		if h == nil {
			h = s.newHost(name, s.at)
			s.hosts[name] = h
		}
		h.Configured = false // the modules of the settings may have changed
		s.configure(h)
	}
}

// Input returns the counters of one kind of input and adds them if they are new.
func (s *Store) Input(name string) *Input {
	for _, in := range s.inputs {
		if in.Name == name {
			return in
		}
	}
	in := &Input{Name: name, Created: s.since, Discarded: make([]uint64, len(s.reasons))}
	s.inputs = append(s.inputs, in)
	return in
}

// Received returns how many messages have been received.
func (s *Store) Received() (n uint64) {
	for _, in := range s.inputs {
		n += in.Received
	}
	return n
}

// AddLocalHost adds the series of local inputs, which have no host name.
func (s *Store) AddLocalHost() { s.configure(s.hostNamed("", false)) }

func (s *Store) newHost(name string, created int64) *hostTally {
	other := name == rsynclog.Other
	h := &hostTally{
		HostRecord: HostRecord{Host: name, Created: created, Heard: s.at},
		stale:      other, modules: map[string]*moduleTally{},
		fixed: other || name == "" || slices.Contains(s.fixed, name),
	}
	h.unnamed = &moduleTally{ModuleRecord: ModuleRecord{Created: created, Heard: s.at}, host: name, fixed: other}
	s.flow(h.unnamed, rsynclog.NoDirection, created)
	return h
}

// hostNamed returns a host's counters, or those without room. again: its overflow has been counted.
func (s *Store) hostNamed(name string, again bool) *hostTally {
	if h := s.hosts[name]; h != nil {
		return h
	}
	if name == rsynclog.Other || name != "" && !s.room(hostSeries, forHost) {
		if !again {
			s.overflow[overflowHost]++
		}
		s.spilled = true
		return s.other
	}
	h := s.newHost(name, s.at)
	s.hosts[name] = h
	return h
}

// configure adds a host's configured modules, at 0.
func (s *Store) configure(h *hostTally) {
	if h.Configured || h == s.other {
		return
	}
	h.Configured = true
	for _, name := range s.modules {
		if s.provide(h, name, rsynclog.NoDirection, rsynclog.Send, rsynclog.Receive) == nil {
			return
		}
	}
}

// hostOf returns the counters of an origin's host and notes that the host was heard.
func (s *Store) hostOf(o *rsynclog.Origin) *hostTally {
	h, ok := o.Cookie.(*hostTally)
	if !ok || h.stale { // a restored cookie is a rsynclog.Restored
		h = s.hostNamed(o.Host, o.Cookie != nil)
		o.Cookie = h
	}
	h.Heard = s.at
	return h
}

func (s *Store) newModule(h *hostTally, name string, created int64) *moduleTally {
	m := &moduleTally{
		ModuleRecord: ModuleRecord{Module: name, Created: created, Heard: s.at}, host: h.Host,
		configured: slices.Contains(s.modules, name), fixed: s.fixedModule(h, name),
	}
	h.modules[name] = m
	return m
}

// flow returns the counters of a module's direction. The caller has taken room for them.
func (s *Store) flow(m *moduleTally, d rsynclog.Direction, created int64) *flowTally {
	if m.flows[d] == nil {
		m.flows[d] = &flowTally{
			FlowRecord: FlowRecord{Direction: d, Created: created}, tally: m, stale: m.host == rsynclog.Other,
		}
	}
	return m.flows[d]
}

// flowNamed returns the counters of a host's module and direction, or those without room. again
// says that this module's overflow has been counted.
func (s *Store) flowNamed(h *hostTally, module string, d rsynclog.Direction, again bool) *flowTally {
	if module != "" {
		s.configure(h)
	}
	if h != s.other || module == "" {
		if m := s.provide(h, module, d); m != nil {
			return m.flows[d]
		}
	}
	if !again {
		s.overflow[overflowModule]++
	}
	s.spilled = true
	return s.provide(s.other, rsynclog.Other, d).flows[d] // not one for each host
}

// flowOf returns the counters of a session's series and notes a sign of life.
func (s *Store) flowOf(o *rsynclog.Origin, sess *rsynclog.Session) *flowTally {
	if sess == nil {
		return s.hostOf(o).unnamed.flows[rsynclog.NoDirection]
	}
	f, ok := sess.Cookie.(*flowTally)
	if !ok || f.stale {
		f = s.flowNamed(s.hostOf(o), sess.Module, sess.Direction, sess.Cookie != nil)
		sess.Cookie = f
	}
	f.tally.Heard = s.at
	return f
}

// Message counts a message by its kind. believed is from Sessions.Apply, at the wall clock.
func (s *Store) Message(o *rsynclog.Origin, kind rsynclog.Kind, believed bool, at int64) {
	s.Messages(o, kind, believed, 1, at)
}

// Messages is Message for n of them, of which nothing but the first can need room.
func (s *Store) Messages(o *rsynclog.Origin, kind rsynclog.Kind, believed bool, n uint64, at int64) {
	s.at = at
	k := int(kind)
	if !believed {
		k = implausible
	}
	h := s.hostOf(o)
	if h.MessagesByKind[k] == 0 && !h.fixed && !s.room(1, forHost) {
		k = otherKind
	}
	h.MessagesByKind[k] += n
}

// Settled says whether the session's transfer lines count where the last did, and need no room.
func (s *Store) Settled(sess *rsynclog.Session) bool {
	h, known := sess.Origin.Cookie.(*hostTally)
	f, labelled := sess.Cookie.(*flowTally)
	return known && labelled && !h.stale && !f.stale && h.MessagesByKind[rsynclog.Transfer] > 0
}

// Apply counts changes. at and now are the present by the wall clock and by the sessions'.
func (s *Store) Apply(changes []rsynclog.Change, now, at int64) {
	s.at = at
	for i := range changes {
		s.apply(&changes[i], now)
	}
}

// grow adds to a counter of bytes, which stops at the end of its range: a counter never falls.
func grow(counter *uint64, n uint64) {
	if *counter += n; *counter < n {
		*counter = math.MaxUint64
	}
}

func (s *Store) apply(c *rsynclog.Change, now int64) {
	if c.Kind == rsynclog.FileMoved { // by far the most frequent
		m := s.flowOf(c.Origin, c.Session).tally
		m.FilesByOp[c.Op] += c.N
		grow(&m.FileBytesByOp[c.Op], c.Length)
		grow(&m.WireBytesByOp[c.Op], c.Wire)
		m.HasWire = m.HasWire || c.Wire > 0
		return
	}
	h := s.hostOf(c.Origin) // heard before anything needs room, so that it doesn't make room for itself
	switch c.Kind {
	case rsynclog.Connected:
		h.Connections += c.N
	case rsynclog.Executed:
		s.flowOf(c.Origin, c.Session).Executions += c.N
	case rsynclog.Ended:
		s.ended(s.flowOf(c.Origin, c.Session), c, now)
	case rsynclog.Amended:
		s.flowOf(c.Origin, c.Session).addBytes(c)
	case rsynclog.Resumed:
		if c.Session.Direction != rsynclog.NoDirection {
			s.last(s.flowOf(c.Origin, c.Session), c.Session, tookBy(c.Session), now)
		}
	case rsynclog.Exited:
		m, code := s.flowOf(c.Origin, c.Session).tally, codes.Exit(c.Code)
		m.Exits = s.number(m.Exits, code, c.N, m.paidCode(code), overflowCode)
	case rsynclog.FileFailed:
		m, e := s.flowOf(c.Origin, c.Session).tally, codes.Errno(c.Errno)
		m.FileErrors = s.number(m.FileErrors, e, c.N, paidErrno(e), overflowErrno)
	case rsynclog.TurnedAway:
		s.flowOf(c.Origin, c.Session).tally.RejectedByReason[c.Reason] += c.N
	case rsynclog.Listed:
		h.Lists += c.N
	case rsynclog.LostByRelay:
		h.Lost += c.N
	case rsynclog.DaemonStarted:
		h.Starts += c.N
		h.Version = c.Version
	}
}

func (f *flowTally) addBytes(c *rsynclog.Change) {
	grow(&f.Sent, c.Sent)
	grow(&f.Received, c.Received)
	grow(&f.Listed, c.Total)
}

func (s *Store) ended(f *flowTally, c *rsynclog.Change, now int64) {
	sess := c.Session
	f.SessionsByOutcome[sess.Outcome] += c.N
	f.addBytes(c)
	if sess.Direction == rsynclog.NoDirection {
		return
	}
	took := tookBy(sess)
	if took >= 0 {
		f.Duration.observe(took.Seconds())
	}
	s.last(f, sess, took, now)
}

// tookBy returns how long a session took, or -1 if its beginning wasn't seen. Rounding undoes the
// nanoseconds between lines that have waited.
func tookBy(sess *rsynclog.Session) time.Duration {
	if !sess.ConnectSeen {
		return -1
	}
	return time.Duration(max(0, sess.LastSeen-sess.FirstSeen)).Round(time.Millisecond)
}

// last notes a session that has ended as its user's last one, unless a client may have begun it.
func (s *Store) last(f *flowTally, sess *rsynclog.Session, took time.Duration, now int64) {
	if sess.Module == "" || sess.Outcome == rsynclog.Rejected || sess.Doubted {
		return
	}
	listed := int64(-1)
	if sess.HasSummary {
		listed = int64(sess.Total)
	}
	last := s.at - (now - sess.LastSeen) // its last line may have come long before it was taken for ended
	s.userNamed(f, sess.User).ended(s.at, last, took, listed, sess.Outcome == rsynclog.OK)
}

// ended notes a session as the last one, unless one that ended later is noted: sessions of several
// files come in any order. A time after at, the present, came from a clock that was ahead.
func (u *UserRecord) ended(at, last int64, took time.Duration, listed int64, ok bool) {
	u.Heard = at
	u.LastSuccess = min(u.LastSuccess, at)
	last = max(min(last, at), 1) // a machine without a clock of its own starts at the epoch
	if ok {
		u.LastSuccess = max(u.LastSuccess, last)
	}
	if last < u.LastAttempt && u.LastAttempt <= at {
		return
	}
	u.LastAttempt, u.LastDuration, u.LastListed = last, took, listed
}

// userNamed returns what is known of a user of a flow, or of those without room.
func (s *Store) userNamed(f *flowTally, name string) *UserRecord {
	if u := f.users[name]; u != nil {
		return u
	}
	if name != rsynclog.Other && !s.room(userSeries, forUser) {
		s.overflow[overflowUser]++
		name = rsynclog.Other
		if u := f.users[name]; u != nil {
			return u
		}
	}
	u := &UserRecord{User: name, Heard: s.at, LastDuration: -1, LastListed: -1}
	f.addUser(u)
	return u
}

func (f *flowTally) addUser(u *UserRecord) {
	if f.users == nil {
		f.users = map[string]*UserRecord{}
	}
	f.users[u.User] = u
}

// maxAddresses bounds the addresses of a host. Those heard last stay.
const maxAddresses = 16

// HostAddress notes that a message of this origin came from another machine's address, at a time in
// nanoseconds of the Unix epoch. It ignores hosts without a name or without room.
func (s *Store) HostAddress(o *rsynclog.Origin, addr netip.Addr, at int64) {
	s.at = at
	h := s.hostOf(o)
	if len(h.Senders) > 0 && h.Senders[0].Addr == addr {
		h.Senders[0].Heard = at
		return
	}
	if h.Host == "" || h == s.other {
		return
	}
	h.addAddress(addr, at)
	s.noteMixed(h)
}

// addAddress moves or adds an address to the front of the list, the one heard last.
func (h *hostTally) addAddress(addr netip.Addr, at int64) {
	i := slices.IndexFunc(h.Senders, func(a SenderRecord) bool { return a.Addr == addr })
	if i < 0 {
		h.forgetAddresses(at)
		if len(h.Senders) < maxAddresses {
			h.Senders = append(h.Senders, SenderRecord{})
		}
		i = len(h.Senders) - 1
	}
	copy(h.Senders[1:i+1], h.Senders[:i])
	h.Senders[0] = SenderRecord{addr, at}
}

// forgetAddresses removes addresses silent for longAgo, or heard by a clock that was ahead.
func (h *hostTally) forgetAddresses(at int64) {
	h.Senders = slices.DeleteFunc(h.Senders, func(a SenderRecord) bool {
		return a.Heard <= at-int64(longAgo) || a.Heard > at+int64(grain)
	})
}

const maxMixed = 16

func (s *Store) noteMixed(h *hostTally) {
	if len(h.Senders) > 1 && !h.told && len(s.mixed) < maxMixed {
		h.told = true
		s.mixed = append(s.mixed, h.Host)
	}
}

// MixedHosts returns, once each, at most n hosts whose messages lately came from several addresses.
func (s *Store) MixedHosts(n int) []string {
	n = max(0, min(n, len(s.mixed)))
	told := append([]string(nil), s.mixed[:n]...)
	s.mixed = s.mixed[n:]
	return told
}
