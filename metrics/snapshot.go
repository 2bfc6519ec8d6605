package metrics

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"rsyncd_exporter/rsynclog"
)

// A Snapshot is a copy of the books that never changes. It is taken under the pipeline's lock and read without it.
type Snapshot struct {
	start    int64
	since    int64 // created time of what this process counts from 0
	reasons  []string
	inputs   []Input
	hosts    []hostTally
	modules  []moduleTally
	flows    []flowTally
	users    []userSample
	overflow [numOverflow]uint64 // but for the sessions' own
	sessions int
	evicted  uint64
	unnamed  uint64 // messages of hosts that the sessions had no room for
	retired  uint64 // messages of hosts that have made room

	// For State.
	maxSeries, series int
	configured        []string
}

// A userSample is a userTally with the labels of its flow.
type userSample struct {
	userTally
	host, module string
	direction    rsynclog.Direction
}

// Snapshot copies the books. behind is how far the clock of the sessions is behind the wall clock.
func (s *Store) Snapshot(sessions *rsynclog.Sessions, behind time.Duration) *Snapshot {
	s.markActive(sessions, int64(behind))
	s.mendAhead(s.at - int64(behind))
	snap := &Snapshot{
		start: s.start, since: s.since, reasons: s.reasons, overflow: s.overflow,
		sessions: sessions.Len(), evicted: sessions.Evicted(), unnamed: sessions.Overflown(), retired: s.retired,
		maxSeries: s.maxSeries, series: s.series, configured: s.modules,
	}
	for _, in := range s.inputs {
		c := *in
		c.Discarded = slices.Clone(in.Discarded)
		snap.inputs = append(snap.inputs, c)
	}
	s.eachHost(func(h *hostTally) {
		h.forgetAddresses(s.at)
		c := *h
		c.modules, c.unnamed, c.addresses = nil, nil, slices.Clone(h.addresses)
		snap.hosts = append(snap.hosts, c)
		h.eachModule(func(m *moduleTally) {
			c := *m
			c.flows = [3]*flowTally{}
			c.exits, c.fileErrors = slices.Clone(m.exits), slices.Clone(m.fileErrors)
			snap.modules = append(snap.modules, c)
			for _, f := range m.flows {
				if f != nil {
					snap.addFlow(f)
				}
			}
		})
	})
	return snap
}

func (snap *Snapshot) addFlow(f *flowTally) {
	c := *f
	c.tally, c.users = nil, nil
	c.duration.native = maps.Clone(f.duration.native)
	snap.flows = append(snap.flows, c)
	for _, u := range f.users {
		snap.users = append(snap.users, userSample{userTally: *u, host: f.host, module: f.module, direction: f.direction})
	}
}

// eachHost visits the hosts, and last the one for those without room, if something was counted there.
func (s *Store) eachHost(f func(*hostTally)) {
	for _, h := range s.hosts {
		f(h)
	}
	if s.spilled {
		f(s.other)
	}
}

func (h *hostTally) eachModule(f func(*moduleTally)) {
	f(h.unnamed)
	for _, m := range h.modules {
		f(m)
	}
}

// running returns the counters of a session that runs, without making room for any: those of hosts and modules
// without room if its own have gone.
func (s *Store) running(sess *rsynclog.Session) (*hostTally, *flowTally) {
	h, known := sess.Origin.Cookie.(*hostTally)
	if f, ok := sess.Cookie.(*flowTally); ok && known && !f.stale {
		return h, f
	}
	if h := s.hosts[sess.Origin.Host]; h != nil {
		m := h.unnamed
		if sess.Module != "" {
			m = h.modules[sess.Module]
		}
		if m != nil && m.flows[sess.Direction] != nil {
			return h, m.flows[sess.Direction]
		}
	}
	s.spilled = true
	return s.other, s.provide(s.other, rsynclog.Other, sess.Direction).flows[sess.Direction]
}

// markActive sets the gauges of the sessions that run.
func (s *Store) markActive(sessions *rsynclog.Sessions, behind int64) {
	s.eachHost(func(h *hostTally) {
		h.eachModule(func(m *moduleTally) {
			m.oldest = 0
			for _, f := range m.flows {
				if f != nil {
					f.active = 0
				}
			}
		})
	})
	sessions.Active(func(sess *rsynclog.Session) {
		began := max(sess.FirstSeen+behind, 1) // not before the epoch, to which a machine without a clock of its own starts
		h, f := s.running(sess)
		f.active++
		h.heard, f.tally.heard = s.at, s.at
		if u := f.users[sess.User]; u != nil {
			u.heard = s.at
		}
		if f.tally.oldest == 0 || began < f.tally.oldest {
			f.tally.oldest = began
		}
	})
}

// Received returns how many messages have been received.
func (snap *Snapshot) Received() uint64 {
	n := uint64(0)
	for _, in := range snap.inputs {
		n += in.Received
	}
	return n
}

// sortedCounts returns the counts in the order of their numbers.
func sortedCounts(list []count) []count {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b count) int { return cmp.Compare(a.number, b.number) })
	return list
}
