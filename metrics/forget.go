package metrics

import (
	"cmp"
	"slices"
	"time"

	"rsyncd_exporter/rsynclog"
)

// What has been silent for longAgo makes room for what is new: the one that has been silent longest first. A host
// speaks with each message, a module with each session that begins or ends and each line counted there, a user with
// each session that ends; and a session that runs when a Snapshot is taken speaks for all three.
const longAgo = 24 * time.Hour

// grain is how precisely silence is measured. What has become old enough is looked for once in so long at most: a
// flood of invented names doesn't cost a look at all series for each.
const grain = time.Minute

// A pool is a kind of thing that can make room.
type pool int

const (
	bareHosts pool = iota // without a module: nothing of theirs was ever let in, or all of it has gone
	hosts                 // all others, with their modules
	modules               // with their users
	users                 //
	numPools
)

// What can make room: nothing that senders can invent more easily than what goes.
var (
	forHost   = []pool{bareHosts, hosts}
	forModule = []pool{bareHosts, modules, hosts}
	forUser   = []pool{bareHosts, users, modules, hosts}
)

// A victim is what can make room: the user of the direction of the module of the host, or less where these are nil.
type victim struct {
	heard  int64 // when it was found
	host   *hostTally
	module *moduleTally
	flow   *flowTally
	user   *UserRecord
}

// A victimPool remembers the result of a look at everything.
type victimPool struct {
	victims []victim // silent for longAgo, the longest silent first
	next    int64    // nothing else is, before then
}

// letGo lets go of the member of a pool that has been silent longest. It returns false if none has been for long
// enough.
func (s *Store) letGo(p pool) bool {
	q := &s.pools[p]
	for {
		for len(q.victims) > 0 {
			v := q.victims[0]
			q.victims = q.victims[1:]
			if s.in(v, p) && *v.lastHeard() == v.heard { // otherwise others may be silent for longer by now
				s.retire(v)
				return true
			}
		}
		q.victims = nil
		// A time that is further away than anything can be was found before the clock was set back.
		if s.at < q.next && q.next-s.at <= int64(longAgo+grain) {
			return false
		}
		s.look(p)
		if len(q.victims) == 0 {
			return false
		}
	}
}

// deadline is when what is silent for longAgo was heard last, at the latest.
func (s *Store) deadline() int64 { return s.at - s.at%int64(grain) - int64(longAgo) }

// ripe returns when something will have been silent for longAgo.
func ripe(heard int64) int64 {
	const g = int64(grain)
	return (heard + int64(longAgo) + g - 1) / g * g
}

// look finds the members of a pool that have been silent for longAgo.
func (s *Store) look(p pool) {
	q := &s.pools[p]
	deadline, first := s.deadline(), s.at
	s.eachHost(func(h *hostTally) {
		s.members(h, p, func(v victim) {
			heard := v.lastHeard()
			*heard = min(*heard, s.at) // the clock was set back, or the state is another machine's
			if v.heard = *heard; v.heard <= deadline {
				q.victims = append(q.victims, v)
			} else {
				first = min(first, v.heard)
			}
		})
	})
	q.next = ripe(first)
	slices.SortFunc(q.victims, victim.compare)
}

// members calls f for what a host has in a pool.
func (s *Store) members(h *hostTally, p pool, f func(victim)) {
	member := func(v victim) {
		if s.in(v, p) {
			f(v)
		}
	}
	if p == bareHosts || p == hosts {
		member(victim{host: h})
		return
	}
	for _, m := range h.modules {
		if p == modules {
			member(victim{host: h, module: m})
			continue
		}
		for _, f := range m.flows {
			if f == nil {
				continue
			}
			for _, u := range f.users {
				member(victim{host: h, module: m, flow: f, user: u})
			}
		}
	}
}

// in says whether the victim is in a pool: it may have gone, or changed.
func (s *Store) in(v victim, p pool) bool {
	there := s.hosts[v.host.Host] == v.host
	switch p {
	case bareHosts:
		return there && !v.host.fixed && len(v.host.modules) == 0
	case hosts:
		return there && !v.host.fixed && len(v.host.modules) > 0
	case modules:
		return there && !v.module.configured && v.host.modules[v.module.Module] == v.module
	}
	// The user _other is part of its direction.
	return (there || v.host == s.other) && v.host.modules[v.module.Module] == v.module &&
		v.user.User != rsynclog.Other && v.flow.users[v.user.User] == v.user
}

func (v victim) lastHeard() *int64 {
	switch {
	case v.user != nil:
		return &v.user.Heard
	case v.module != nil:
		return &v.module.Heard
	}
	return &v.host.Heard
}

// compare puts the one that has been silent longest first. Names decide between equals, so that a restart changes
// nothing.
func (v victim) compare(w victim) int {
	c := cmp.Or(cmp.Compare(v.heard, w.heard), cmp.Compare(v.host.Host, w.host.Host))
	if c == 0 && v.module != nil {
		c = cmp.Compare(v.module.Module, w.module.Module)
	}
	if c == 0 && v.user != nil {
		c = cmp.Or(cmp.Compare(v.flow.Direction, w.flow.Direction), cmp.Compare(v.user.User, w.user.User))
	}
	return c
}

// retire lets go of what has been silent: it leaves /metrics, and if it comes back, it begins at 0. Cookies that lead
// there notice it by stale.
func (s *Store) retire(v victim) {
	switch {
	case v.user != nil:
		s.series -= userSeries
		delete(v.flow.users, v.user.User)
	case v.module != nil:
		s.series -= v.module.weight()
		v.module.markStale()
		delete(v.host.modules, v.module.Module)
		s.bared(v.host)
	default:
		s.series -= v.host.weight()
		v.host.stale = true
		v.host.unnamed.markStale()
		for _, m := range v.host.modules {
			m.markStale()
		}
		for _, n := range v.host.MessagesByKind {
			s.retired += n
		}
		delete(s.hosts, v.host.Host)
	}
}

// bared looks at a host that has lost a module. Without any it belongs to another pool, and goes as well if it is
// silent.
func (s *Store) bared(h *hostTally) {
	switch {
	case h.fixed || len(h.modules) > 0:
	case h.Heard <= s.deadline():
		s.retire(victim{host: h})
	default:
		q := &s.pools[bareHosts]
		q.next = min(q.next, ripe(h.Heard))
	}
}

func (m *moduleTally) markStale() {
	for _, f := range m.flows {
		if f != nil {
			f.stale = true
		}
	}
}
