package metrics

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"rsyncd_exporter/internal/enum"
	"rsyncd_exporter/rsynclog"
)

// A State is all that a Store knows, in plain values for encoding/gob. It has no maps, whose size gob believes before it has seen
// them. Gauges of running sessions aren't in it, as the sessions tell them.
//
// Slices of counts go by numbers, which mean what Names says: another version's numbers may differ.
type State struct {
	Start     int64 // created time of what existed from the start
	Names     StateNames
	MaxSeries int
	Series    int      // weight of the label sets in use; Restore weighs them again
	Modules   []string // configured ones
	Overflow  []uint64 // by Names.Overflow
	Retired   uint64   // messages of hosts that have made room
	Inputs    []InputState
	Hosts     []HostState // rsynclog.Other last, if anything is counted there
}

// StateNames are the names of a State's numbers, and what its histograms are made of.
type StateNames struct {
	Overflow, Discards, Messages, Reasons, Ops, Directions, Outcomes []string
	Bounds                                                           []float64
	NativeSchema                                                     int
	NativeZero                                                       float64
}

// An InputState is an Input.
type InputState struct {
	Name              string
	Created           int64
	Received, Ignored uint64
	Discarded         []uint64 // by Names.Discards
	LastMessage       int64
}

// A HostState holds a host's counters. The first of its modules is that without a name.
type HostState struct {
	Host                             string
	Created                          int64
	Heard                            int64 // when it was heard last; 0, here and below: not noted, by versions that didn't
	Connections, Lists, Starts, Lost uint64
	Version                          string
	Messages                         []uint64       // by Names.Messages
	Configured                       bool           // it has the configured modules
	Addresses                        []AddressState // the one heard last first
	Modules                          []ModuleState
}

// An AddressState is from where a host's messages came.
type AddressState struct {
	Addr  string // as netip.Addr.String has it
	Heard int64
}

// A ModuleState holds the counters of a host's module.
type ModuleState struct {
	Module                      string
	Created, Heard              int64
	Exits, FileErrors           []NumberState
	Rejected                    []uint64 // by Names.Reasons
	Files, FileBytes, WireBytes []uint64 // by Names.Ops
	HasWire                     bool
	Flows                       []FlowState
}

// A NumberState is how often an exit code or errno was seen; -1 stands for all that don't exist.
type NumberState struct {
	Number int16
	N      uint64
}

// A FlowState holds the counters of a module's direction.
type FlowState struct {
	Direction              uint8
	Created                int64
	Executions             uint64
	Sent, Received, Listed uint64
	Outcomes               []uint64 // by Names.Outcomes
	Duration               HistogramState
	Users                  []UserState
}

// A HistogramState is a histogram of seconds. Buckets are those of Names.Bounds, not cumulative; Native those of Names.NativeSchema.
type HistogramState struct {
	Count   uint64
	Sum     float64
	Buckets []uint64
	Zero    uint64
	Native  []NativeState
}

// A NativeState is one bucket.
type NativeState struct {
	Index int
	N     uint64
}

// A UserState is a userTally; fields of the same name mean the same.
type UserState struct {
	User                                               string
	Heard                                              int64
	LastSuccess, LastAttempt, LastDuration, LastListed int64
}

func stateNames(discards []string) StateNames {
	messages := append(enum.Names(rsynclog.NumKinds, rsynclog.Kind.String), "implausible", rsynclog.Other)
	return StateNames{
		Overflow: overflowNames[:], Discards: discards, Messages: messages,
		Reasons: enum.Names(rsynclog.NumReasons, rsynclog.Reason.String), Ops: enum.Names(rsynclog.Op(numOps), rsynclog.Op.String),
		Directions: enum.Names(rsynclog.Receive+1, rsynclog.Direction.String),
		Outcomes:   enum.Names(rsynclog.NumOutcomes, rsynclog.Outcome.String),
		Bounds:     bounds[:], NativeSchema: nativeSchema, NativeZero: nativeZero,
	}
}

// State returns what the books were when the Snapshot was taken. It shares the Snapshot's memory; neither ever changes.
func (snap *Snapshot) State() State {
	st := State{
		Start: snap.start, Names: stateNames(snap.reasons), MaxSeries: snap.maxSeries, Series: snap.series, Modules: snap.configured,
		Overflow: snap.overflow[:], Retired: snap.retired,
	}
	for i := range snap.inputs {
		in := &snap.inputs[i]
		st.Inputs = append(st.Inputs, InputState{in.Name, in.Created, in.Received, in.Ignored, in.Discarded, in.LastMessage})
	}
	// Modules stand in the order of their hosts, flows in that of their modules, and users in that of their flows.
	modules, flows, users := snap.modules, snap.flows, snap.users
	for i := range snap.hosts {
		h := &snap.hosts[i]
		c := h.state()
		for ; len(modules) > 0 && modules[0].host == h.host; modules = modules[1:] {
			m := modules[0].state()
			for ; len(flows) > 0 && flows[0].host == h.host && flows[0].module == m.Module; flows = flows[1:] {
				f := flows[0].state()
				for ; len(users) > 0 && users[0].host == h.host && users[0].module == m.Module && users[0].direction == flows[0].direction; users = users[1:] {
					u := &users[0]
					f.Users = append(f.Users, UserState{u.user, u.heard, u.lastSuccess, u.lastAttempt, int64(u.lastDuration), u.lastListed})
				}
				m.Flows = append(m.Flows, f)
			}
			c.Modules = append(c.Modules, m)
		}
		st.Hosts = append(st.Hosts, c)
	}
	return st
}

// state leaves out the modules.
func (h *hostTally) state() HostState {
	c := HostState{
		Host: h.host, Created: h.created, Heard: h.heard, Connections: h.connections, Lists: h.lists, Starts: h.starts, Lost: h.lost,
		Version: h.version, Messages: h.messages[:], Configured: h.configured,
	}
	for _, a := range h.addresses {
		c.Addresses = append(c.Addresses, AddressState{a.addr.String(), a.heard})
	}
	return c
}

func (m *moduleTally) state() ModuleState {
	return ModuleState{
		Module: m.module, Created: m.created, Heard: m.heard, Exits: numberStates(m.exits), FileErrors: numberStates(m.fileErrors),
		Rejected: m.rejected[:], Files: m.files[:], FileBytes: m.fileBytes[:], WireBytes: m.wireBytes[:], HasWire: m.hasWire,
	}
}

func numberStates(list []count) []NumberState {
	var states []NumberState
	for _, c := range list {
		states = append(states, NumberState{c.number, c.n})
	}
	return states
}

func (f *flowTally) state() FlowState {
	h := &f.duration
	c := HistogramState{Count: h.count, Sum: h.sum, Zero: h.zero}
	if h.count > 0 {
		c.Buckets = h.bucket[:]
	}
	for _, i := range slices.Sorted(maps.Keys(h.native)) {
		c.Native = append(c.Native, NativeState{i, h.native[i]})
	}
	return FlowState{
		Direction: uint8(f.direction), Created: f.created, Executions: f.executions, Sent: f.sent, Received: f.received,
		Listed: f.listed, Outcomes: f.outcomes[:], Duration: c,
	}
}

// Restore returns the books that a State was taken of, or an error that says what can't be in it. Config takes
// precedence over the saved settings; its Start is the created time of what begins to exist now: modules that are
// newly configured have it, in all hosts that had the others, and so have hosts that are. Everything else keeps its
// counts and its created time, also inputs, modules and hosts that aren't configured any more.
//
// A count whose name this version doesn't have is an error, since leaving it out would make a sum fall; but for kinds of messages, which
// are counted as rsynclog.Other. So is a histogram with other buckets.
func Restore(c Config, st *State) (*Store, error) {
	s := newStore(c)
	if err := s.restore(st); err != nil {
		return nil, fmt.Errorf("restoring counters: %w", err)
	}
	for _, h := range s.hosts {
		s.series += h.weight()
	}
	s.series += s.other.weight()
	s.addFixed()
	if !slices.Equal(st.Modules, s.modules) || st.MaxSeries != s.maxSeries {
		for _, name := range slices.Sorted(maps.Keys(s.hosts)) {
			if h := s.hosts[name]; h.configured {
				h.configured = false
				s.configure(h)
			}
		}
	}
	return s, nil
}

func (s *Store) restore(st *State) error {
	r := newRestorer(st, s.reasons)
	if !slices.Equal(st.Names.Bounds, bounds[:]) || st.Names.NativeSchema != nativeSchema || st.Names.NativeZero != nativeZero {
		return fmt.Errorf("histograms with other buckets: %v, schema %d, zero up to %v", st.Names.Bounds, st.Names.NativeSchema, st.Names.NativeZero)
	}
	if st.Series < 0 || st.Series > math.MaxInt32 {
		return fmt.Errorf("a weight of %d series", st.Series)
	}
	r.within(st.Retired)
	s.start, s.retired = r.created(st.Start), st.Retired
	s.other = s.newHost(rsynclog.Other, s.start)
	r.counts(s.overflow[:], st.Overflow, r.overflow, "label overflow")
	for i := range st.Inputs {
		r.input(s, &st.Inputs[i])
	}
	for i := range st.Hosts {
		r.host(s, &st.Hosts[i])
		if r.err != nil {
			return fmt.Errorf("host %q: %w", st.Hosts[i].Host, r.err)
		}
	}
	return r.err
}

// A bookRestorer fills tallies from a State and keeps the first thing that can't be. Whoever may write to the state directory may have made
// the State up.
type bookRestorer struct {
	err                                                              error
	others                                                           int // hosts named rsynclog.Other
	overflow, discards, messages, reasons, ops, directions, outcomes []int
}

func newRestorer(st *State, discards []string) *bookRestorer {
	from, to := &st.Names, stateNames(discards)
	return &bookRestorer{
		overflow: enum.Translate(from.Overflow, to.Overflow), discards: enum.Translate(from.Discards, to.Discards),
		messages: enum.Translate(from.Messages, to.Messages), reasons: enum.Translate(from.Reasons, to.Reasons),
		ops: enum.Translate(from.Ops, to.Ops), directions: enum.Translate(from.Directions, to.Directions),
		outcomes: enum.Translate(from.Outcomes, to.Outcomes),
	}
}

func (r *bookRestorer) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// maxCount is more than any counter but those of bytes comes to: a million a second for 285 years. Up to it a float64 is exact.
const maxCount = 1 << 53

// within refuses counts that no counting comes to, which would soon begin again at 0.
func (r *bookRestorer) within(counts ...uint64) {
	for _, n := range counts {
		if n > maxCount {
			r.fail("a count of %d", n)
		}
	}
}

// times refuses what is no time in nanoseconds of the Unix epoch: before it, or after 2116.
func (r *bookRestorer) times(list ...int64) {
	for _, at := range list {
		if at < 0 || at >= 1<<62 {
			r.fail("the time %d is out of range", at)
		}
	}
}

// created returns the created time of what is restored; one before the epoch is shown as the epoch.
func (r *bookRestorer) created(at int64) int64 {
	r.times(max(at, 0))
	return max(at, 0)
}

// counts fills to, whose indexes table gives for those of from.
func (r *bookRestorer) counts(to, from []uint64, table []int, what string) {
	r.within(from...)
	r.bytes(to, from, table, what)
}

// bytes is counts for counters that stop at the end of their range.
func (r *bookRestorer) bytes(to, from []uint64, table []int, what string) {
	for i, n := range from {
		switch {
		case n == 0:
		case i >= len(table) || table[i] < 0:
			r.fail("%d under a %s, number %d, that is not known", n, what, i)
		default:
			grow(&to[table[i]], n)
		}
	}
}

// label refuses what would make every scrape fail.
func (r *bookRestorer) label(s string) {
	if !utf8.ValidString(s) || len(s) > maxLabel {
		r.fail("%.200q can't be a label", s)
	}
}

// maxLabel is how long a label may be, in bytes.
const maxLabel = rsynclog.MaxLabel

func (r *bookRestorer) input(s *Store, c *InputState) {
	r.label(c.Name)
	before := len(s.inputs)
	in := s.Input(c.Name)
	if len(s.inputs) == before {
		r.fail("input %q is there twice", c.Name)
	}
	r.within(c.Received, c.Ignored)
	r.times(c.LastMessage)
	in.Created, in.Received, in.Ignored, in.LastMessage = r.created(c.Created), c.Received, c.Ignored, c.LastMessage
	r.counts(in.Discarded, c.Discarded, r.discards, "reason for discarding")
}

func (r *bookRestorer) host(s *Store, c *HostState) {
	r.label(c.Host)
	r.label(c.Version)
	h := s.newHost(c.Host, r.created(c.Created))
	switch {
	case c.Host == rsynclog.Other:
		r.others++
		if r.others > 1 {
			r.fail("it is there twice")
		}
		s.other, s.spilled = h, true
	case s.hosts[c.Host] != nil:
		r.fail("it is there twice")
	default:
		s.hosts[c.Host] = h
	}
	r.within(c.Connections, c.Lists, c.Starts, c.Lost)
	h.connections, h.lists, h.starts, h.lost = c.Connections, c.Lists, c.Starts, c.Lost
	h.version, h.configured, h.heard = c.Version, c.Configured, heard(c.Heard, s.at)
	r.addresses(h, c.Addresses)
	s.noteMixed(h)
	r.within(c.Messages...)
	for i, n := range c.Messages {
		to := otherKind
		if i < len(r.messages) && r.messages[i] >= 0 {
			to = r.messages[i]
		}
		h.messages[to] += n
	}
	if len(c.Modules) == 0 || c.Modules[0].Module != "" {
		r.fail("its first module has a name")
		return
	}
	for i := range c.Modules {
		r.module(s, h, &c.Modules[i], i == 0)
	}
}

// heard is when something was heard of last: now, if that wasn't noted.
func heard(at, now int64) int64 {
	if at == 0 {
		return now
	}
	return at
}

func (r *bookRestorer) addresses(h *hostTally, list []AddressState) {
	for _, c := range list {
		addr, err := netip.ParseAddr(c.Addr)
		if err != nil {
			r.fail("address: %w", err)
		}
		h.addresses = append(h.addresses, address{addr, c.Heard})
	}
	if len(list) > maxAddresses {
		r.fail("%d addresses; the most are %d", len(list), maxAddresses)
	}
}

func (r *bookRestorer) module(s *Store, h *hostTally, c *ModuleState, first bool) {
	r.label(c.Module)
	m := h.unnamed
	if !first {
		if c.Module == "" || h.modules[c.Module] != nil {
			r.fail("module %q is there twice", c.Module)
		}
		m = s.newModule(h, c.Module, c.Created)
	}
	m.created, m.hasWire, m.heard = r.created(c.Created), c.HasWire, heard(c.Heard, s.at)
	m.exits, m.fileErrors = r.numbers(c.Exits, exitCode), r.numbers(c.FileErrors, errno)
	r.counts(m.rejected[:], c.Rejected, r.reasons, "reason for rejecting")
	r.counts(m.files[:], c.Files, r.ops, "operation")
	r.bytes(m.fileBytes[:], c.FileBytes, r.ops, "operation")
	r.bytes(m.wireBytes[:], c.WireBytes, r.ops, "operation")
	var seen [len(m.flows)]bool
	for i := range c.Flows {
		d := int(c.Flows[i].Direction)
		if d >= len(r.directions) || r.directions[d] < 0 || seen[r.directions[d]] {
			r.fail("module %q: direction number %d is not known, or there twice", c.Module, d)
			return
		}
		seen[r.directions[d]] = true
		r.flow(s.flow(m, rsynclog.Direction(r.directions[d]), c.Created), &c.Flows[i], s.at)
	}
}

// numbers takes counts by a number that exists, as allowed has it.
func (r *bookRestorer) numbers(states []NumberState, allowed func(int16) int16) []count {
	var list []count
	for _, c := range states {
		if allowed(c.Number) != c.Number || slices.ContainsFunc(list, func(x count) bool { return x.number == c.Number }) {
			r.fail("code or errno %d doesn't exist, or is there twice", c.Number)
		}
		r.within(c.N)
		list = append(list, count{c.Number, c.N})
	}
	return list
}

func (r *bookRestorer) flow(f *flowTally, c *FlowState, now int64) {
	f.created, f.executions, f.sent, f.received, f.listed = r.created(c.Created), c.Executions, c.Sent, c.Received, c.Listed
	r.within(c.Executions)
	r.counts(f.outcomes[:], c.Outcomes, r.outcomes, "outcome")
	if err := f.duration.restore(&c.Duration); err != nil {
		r.fail("module %q: durations: %w", f.module, err)
	}
	for i := range c.Users {
		u := &c.Users[i]
		r.label(u.User)
		r.times(u.LastSuccess, u.LastAttempt)
		if u.LastDuration < -1 || u.LastListed < -1 {
			r.fail("module %q: user %q: a session of %d ns with %d bytes listed", f.module, u.User, u.LastDuration, u.LastListed)
		}
		if f.users[u.User] != nil {
			r.fail("module %q: user %q is there twice", f.module, u.User)
		}
		if f.users == nil {
			f.users = map[string]*userTally{}
		}
		f.users[u.User] = &userTally{
			u.User, heard(u.Heard, now), u.LastSuccess, u.LastAttempt, time.Duration(u.LastDuration), u.LastListed,
		}
	}
}

func (h *histogram) restore(c *HistogramState) error {
	switch {
	case len(c.Buckets) != 0 && len(c.Buckets) != len(h.bucket):
		return fmt.Errorf("%d buckets, want %d", len(c.Buckets), len(h.bucket))
	case !(c.Sum >= 0) || c.Sum > maxCount:
		return fmt.Errorf("a sum of %v s", c.Sum)
	case c.Count > maxCount:
		return fmt.Errorf("a count of %d", c.Count)
	}
	h.count, h.sum, h.zero = c.Count, c.Sum, c.Zero
	copy(h.bucket[:], c.Buckets)
	left, ok := c.Count, true
	take := func(n uint64) {
		ok = ok && n <= left
		left -= min(n, left)
	}
	for _, n := range c.Buckets {
		take(n)
	}
	left = c.Count // the same, once more
	take(c.Zero)
	for i, b := range c.Native {
		const farthest = 1 << 16 // 2 to the power of 16384: more than any float
		if b.Index <= -farthest || b.Index >= farthest || i > 0 && b.Index <= c.Native[i-1].Index {
			return fmt.Errorf("native bucket %d is out of range or out of order", b.Index)
		}
		take(b.N)
		if h.native == nil {
			h.native = make(map[int]uint64, len(c.Native))
		}
		h.native[b.Index] = b.N
	}
	if !ok || left != 0 {
		return errors.New("the buckets don't come to the count")
	}
	return nil
}
