// Package metrics keeps the exporter's counters and serves them: changes and messages fold into a Store, a Snapshot is a copy of
// it, and a Collector shows Snapshots to Prometheus. The numbers are plain; whoever holds the pipeline's lock owns the Store.
package metrics

import (
	"math"
	"slices"
	"time"

	"rsyncd_exporter/rsynclog"
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

// A Store is the exporter's books: a pure fold over changes and messages. Not safe for concurrent use.
type Store struct {
	maxSeries int // in series as served
	reasons   []string
	start     int64 // created time of what exists from the start, nanoseconds of the Unix epoch
	since     int64 // when this process' Store was made; later than start in a restored one
	inputs    []*Input
	hosts     map[string]*hostTally
	series    int // weight of the label sets in use
	other     *hostTally
	overflow  [numOverflow]uint64
	modules   []string
}

// The labels whose values may overflow into rsynclog.Other.
const (
	overflowHost = iota
	overflowModule
	overflowUser
	numOverflow
)

var overflowNames = [numOverflow]string{"host", "module", "user"}

// Config is what a Store is made of.
type Config struct {
	MaxSeries int       // series, by the weights of their label sets; what is beyond is counted under rsynclog.Other
	Reasons   []string  // discarded_total's reasons, in the order of Input.Discarded; the first is not served
	Modules   []string  // modules whose series exist from the start
	Start     time.Time // created time of the series that exist from the start
}

// NewStore returns books at zero.
func NewStore(c Config) *Store {
	s := &Store{maxSeries: c.MaxSeries, reasons: c.Reasons, start: c.Start.UnixNano(), since: c.Start.UnixNano(), hosts: map[string]*hostTally{}}
	for _, m := range c.Modules {
		if m = rsynclog.Label([]byte(m)); m != "" && !slices.Contains(s.modules, m) {
			s.modules = append(s.modules, m)
		}
	}
	s.other = s.newHost(rsynclog.Other, s.start)
	return s
}

// Input returns the counters of one kind of input, which exist from now on.
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

// Local makes the series of local inputs, which have no host name, exist from the start.
func (s *Store) Local() { s.configure(s.hostNamed("", s.since, false), s.since) }

func (s *Store) newHost(name string, at int64) *hostTally {
	h := &hostTally{host: name, created: at, modules: map[string]*moduleTally{}}
	h.unnamed = &moduleTally{host: name, created: at}
	s.flow(h.unnamed, rsynclog.NoDirection, at)
	return h
}

// hostNamed returns the counters of a host. again says that its overflow, if it is one, has been counted.
func (s *Store) hostNamed(name string, at int64, again bool) *hostTally {
	if h := s.hosts[name]; h != nil {
		return h
	}
	if name == rsynclog.Other || name != "" && !s.room(hostSeries) {
		if !again {
			s.overflow[overflowHost]++
		}
		return s.other
	}
	h := s.newHost(name, at)
	s.hosts[name] = h
	return h
}

// configure makes the configured modules' series of a host exist at 0. A host that is heard of only through a sender's word gets them
// with its first session in a module.
func (s *Store) configure(h *hostTally, at int64) {
	if h.configured || h == s.other {
		return
	}
	h.configured = true
	for _, name := range s.modules {
		m := h.modules[name]
		if m == nil {
			if h.host != "" && !s.room(moduleSeries+2*flowSeries) {
				return
			}
			m = s.newModule(h, name, at)
		}
		for _, d := range [...]rsynclog.Direction{rsynclog.NoDirection, rsynclog.Send, rsynclog.Receive} {
			s.flow(m, d, at)
		}
	}
}

// What a label set weighs: about how many series it is served as. A kind of message weighs one more, when it is first seen. A
// module's second direction weighs nothing, as most modules have one.
const (
	hostSeries   = 5 + 12 + 5
	moduleSeries = 29 + 4
	flowSeries   = 11 + 3 + len(bounds)
	userSeries   = 4
)

// room takes n series from what MAX_SERIES leaves, if it leaves so many.
func (s *Store) room(n int) bool {
	if s.series+n > s.maxSeries {
		return false
	}
	s.series += n
	return true
}

func (s *Store) hostOf(o *rsynclog.Origin, at int64) *hostTally {
	if h, ok := o.Cookie.(*hostTally); ok {
		return h
	}
	h := s.hostNamed(o.Host, at, o.Cookie != nil)
	o.Cookie = h
	return h
}

// moduleNamed returns the counters of a host's module. again says that its overflow, if it is one, has been counted.
func (s *Store) moduleNamed(h *hostTally, name string, at int64, again bool) *moduleTally {
	if name == "" {
		return h.unnamed
	}
	s.configure(h, at)
	if m := h.modules[name]; m != nil {
		return m
	}
	if h == s.other || !s.room(moduleSeries+flowSeries) {
		if !again {
			s.overflow[overflowModule]++
		}
		h, name = s.other, rsynclog.Other // not one for each host
		if m := h.modules[name]; m != nil {
			return m
		}
	}
	return s.newModule(h, name, at)
}

func (s *Store) newModule(h *hostTally, name string, at int64) *moduleTally {
	m := &moduleTally{host: h.host, module: name, created: at, known: true}
	h.modules[name] = m
	return m
}

func (s *Store) flow(m *moduleTally, d rsynclog.Direction, at int64) *flowTally {
	if m.flows[d] == nil {
		m.flows[d] = &flowTally{host: m.host, module: m.module, tally: m, direction: d, created: at}
	}
	return m.flows[d]
}

// flowOf returns the counters of a session's series, by its cookie after the first time.
func (s *Store) flowOf(o *rsynclog.Origin, sess *rsynclog.Session, at int64) *flowTally {
	if sess == nil {
		return s.flow(s.hostOf(o, at).unnamed, rsynclog.NoDirection, at)
	}
	if f, ok := sess.Cookie.(*flowTally); ok {
		return f
	}
	// A restored cookie is a rsynclog.Restored.
	f := s.flow(s.moduleNamed(s.hostOf(o, at), sess.Module, at, sess.Cookie != nil), sess.Direction, at)
	sess.Cookie = f
	return f
}

// Message counts one message of a host by its kind. believed is what Sessions.Apply returned.
func (s *Store) Message(o *rsynclog.Origin, kind rsynclog.Kind, believed bool, at int64) {
	k := int(kind)
	if !believed {
		k = implausible
	}
	h := s.hostOf(o, at)
	if h.messages[k] == 0 && h.host != "" && h != s.other && !s.room(1) {
		k = otherKind
	}
	h.messages[k]++
}

// Apply adds changes to the books. The time at is in nanoseconds of the Unix epoch, and now the same moment by the sessions' clock.
func (s *Store) Apply(changes []rsynclog.Change, now, at int64) {
	for i := range changes {
		s.apply(&changes[i], now, at)
	}
}

// grow adds to a counter of bytes, which clients can drive up, and stops at the end of its range: a counter never falls.
func grow(counter *uint64, n uint64) {
	if *counter += n; *counter < n {
		*counter = math.MaxUint64
	}
}

func (s *Store) apply(c *rsynclog.Change, now, at int64) {
	switch c.Kind {
	case rsynclog.FileMoved:
		m := s.flowOf(c.Origin, c.Session, at).tally
		m.files[c.Op] += c.N
		grow(&m.fileBytes[c.Op], c.Length)
		grow(&m.wireBytes[c.Op], c.Wire)
		m.hasWire = m.hasWire || c.Wire > 0
	case rsynclog.Connected:
		s.hostOf(c.Origin, at).connections += c.N
	case rsynclog.Executed:
		s.flowOf(c.Origin, c.Session, at).executions += c.N
	case rsynclog.Ended:
		s.ended(c, now, at)
	case rsynclog.Amended:
		s.flowOf(c.Origin, c.Session, at).addBytes(c)
	case rsynclog.Exited:
		m := s.flowOf(c.Origin, c.Session, at).tally
		m.exits = add(m.exits, exitCode(c.Code), c.N)
	case rsynclog.FileFailed:
		m := s.flowOf(c.Origin, c.Session, at).tally
		m.fileErrors = add(m.fileErrors, errno(c.Errno), c.N)
	case rsynclog.TurnedAway:
		s.flowOf(c.Origin, c.Session, at).tally.rejected[c.Reason] += c.N
	case rsynclog.Listed:
		s.hostOf(c.Origin, at).lists += c.N
	case rsynclog.LostByRelay:
		s.hostOf(c.Origin, at).lost += c.N
	case rsynclog.DaemonStarted:
		h := s.hostOf(c.Origin, at)
		h.starts += c.N
		h.version = c.Version
	}
}

func (f *flowTally) addBytes(c *rsynclog.Change) {
	grow(&f.sent, c.Sent)
	grow(&f.received, c.Received)
	grow(&f.listed, c.Total)
}

func (s *Store) ended(c *rsynclog.Change, now, at int64) {
	sess := c.Session
	f := s.flowOf(c.Origin, sess, at)
	f.outcomes[sess.Outcome] += c.N
	f.addBytes(c)
	if sess.Direction == rsynclog.NoDirection {
		return
	}
	took := time.Duration(-1)
	if sess.ConnectSeen {
		took = time.Duration(sess.LastSeen - sess.FirstSeen)
		f.duration.observe(took.Seconds())
	}
	if sess.Module == "" || sess.Outcome == rsynclog.Rejected || sess.Doubtful() {
		return
	}
	u := s.userNamed(f, sess.User)
	last := at - (now - sess.LastSeen) // it may have been silent for long before it was taken for ended
	if last < u.lastAttempt {
		return
	}
	u.lastAttempt, u.lastDuration, u.lastListed = last, took, -1
	if sess.HasSummary {
		u.lastListed = int64(c.Total)
	}
	if sess.Outcome == rsynclog.OK {
		u.lastSuccess = last
	}
}

func (s *Store) userNamed(f *flowTally, name string) *userTally {
	if u := f.users[name]; u != nil {
		return u
	}
	if !s.room(userSeries) {
		s.overflow[overflowUser]++
		name = rsynclog.Other
		if u := f.users[name]; u != nil {
			return u
		}
	}
	if f.users == nil {
		f.users = map[string]*userTally{}
	}
	u := &userTally{user: name, lastDuration: -1, lastListed: -1}
	f.users[name] = u
	return u
}

