package metrics

import (
	"slices"
	"time"

	"rsyncd_exporter/rsynclog"
)

// A Snapshot is a copy of the books that never changes, to be read without the pipeline's lock.
type Snapshot struct {
	Books
	since    int64 // created time of what this process counts from 0
	sessions int
	evicted  uint64
	unnamed  uint64 // messages of hosts that the sessions had no room for
}

// A Table is what a Snapshot shows of sessions; *rsynclog.Sessions is one.
type Table interface {
	Active(func(*rsynclog.Session)) // those that were let through and have not ended
	Len() int
	Evicted() uint64
	Overflown() uint64
}

// Snapshot copies the books. behind is how far the clock of the sessions is behind the wall clock.
func (s *Store) Snapshot(sessions Table, behind time.Duration) *Snapshot {
	s.markActive(sessions, int64(behind))
	s.mendAhead(s.at - int64(behind))
	snap := &Snapshot{
		Books: Books{
			Start: s.start, MaxSeries: s.maxSeries, Modules: s.modules, Buckets: buckets(), Reasons: s.reasons,
			OverflowByLabel: s.overflow, Retired: s.retired, Hosts: make([]HostRecord, 0, len(s.hosts)+1),
		},
		since: s.since, sessions: sessions.Len(), evicted: sessions.Evicted(), unnamed: sessions.Overflown(),
	}
	for _, in := range s.inputs {
		c := *in
		c.Discarded = slices.Clone(in.Discarded)
		snap.Inputs = append(snap.Inputs, c)
	}
	c := copier{
		modules: make([]ModuleRecord, 0, s.copied[0]), flows: make([]FlowRecord, 0, s.copied[1]),
		users: make([]UserRecord, 0, s.copied[2]),
	}
	s.eachHost(func(h *hostTally) {
		h.forgetAddresses(s.at)
		snap.Hosts = append(snap.Hosts, c.host(h))
	})
	s.copied = [3]int{len(c.modules), len(c.flows), len(c.users)}
	return snap
}

// A copier copies hosts into three shared lists, since many small allocations take long.
type copier struct {
	modules []ModuleRecord
	flows   []FlowRecord
	users   []UserRecord
}

func (c *copier) host(h *hostTally) HostRecord {
	rec, from := h.HostRecord, len(c.modules)
	rec.Senders, rec.showZeros = slices.Clone(h.Senders), h.fixed && h.Host != rsynclog.Other
	h.eachModule(func(m *moduleTally) { c.modules = append(c.modules, c.module(m)) })
	rec.Modules = slices.Clip(c.modules[from:])
	return rec
}

func (c *copier) module(m *moduleTally) ModuleRecord {
	rec, from := m.ModuleRecord, len(c.flows)
	rec.Exits, rec.FileErrors = slices.Clone(m.Exits), slices.Clone(m.FileErrors)
	m.eachFlow(func(f *flowTally) { c.flows = append(c.flows, c.flow(f)) })
	rec.Flows = slices.Clip(c.flows[from:])
	return rec
}

func (c *copier) flow(f *flowTally) FlowRecord {
	rec, from := f.FlowRecord, len(c.users)
	rec.Duration.Native = slices.Clone(f.Duration.Native)
	for _, u := range f.users {
		c.users = append(c.users, *u)
	}
	rec.Users = slices.Clip(c.users[from:])
	return rec
}

// eachHost visits the hosts, and last the host _other if something was counted there.
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

func (m *moduleTally) eachFlow(f func(*flowTally)) {
	for _, flow := range m.flows {
		if flow != nil {
			f(flow)
		}
	}
}

// running returns the counters of a session that runs, or those of _other. It takes no room.
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

func (s *Store) markActive(sessions Table, behind int64) {
	s.eachHost(func(h *hostTally) {
		h.eachModule(func(m *moduleTally) {
			m.oldest = 0
			m.eachFlow(func(f *flowTally) { f.active = 0 })
		})
	})
	sessions.Active(func(sess *rsynclog.Session) {
		// A machine without a clock of its own starts before the epoch, or at it.
		began := max(sess.FirstSeen+behind, 1)
		h, f := s.running(sess)
		f.active++
		h.Heard, f.tally.Heard = s.at, s.at
		if u := f.users[sess.User]; u != nil {
			u.Heard = s.at
		}
		if f.tally.oldest == 0 || began < f.tally.oldest {
			f.tally.oldest = began
		}
	})
}

// Received returns how many messages have been received.
func (snap *Snapshot) Received() uint64 {
	n := uint64(0)
	for i := range snap.Inputs {
		n += snap.Inputs[i].Received
	}
	return n
}
