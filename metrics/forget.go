package metrics

import (
	"cmp"
	"slices"
	"time"

	"rsyncd_exporter/rsynclog"
)

// What has been silent for longAgo makes room for what is new, the longest silent first. A host
// lives by messages, a module by sessions and lines counted there, a user by sessions that end, and
// all three by sessions that run.
const longAgo = 24 * time.Hour

// grain is how precisely silence is measured. Series are searched once a grain at most.
const grain = time.Minute

// A pool is a kind of thing that can make room.
type pool int

const (
	bareHosts pool = iota // without a module: no client was ever let in, or all modules have gone
	hosts                 // all others, with their modules
	modules               // with their users
	users                 //
	numPools
)

// What makes room for something new: nothing that is harder to invent.
var (
	forHost   = []pool{bareHosts, hosts}
	forModule = []pool{bareHosts, modules, hosts}
	forUser   = []pool{bareHosts, users, modules, hosts}
)

// A victim can make room: a user, a module if user is nil, or a host if module is nil too.
type victim struct {
	heard  int64 // when it was found
	host   *hostTally
	module *moduleTally
	flow   *flowTally
	user   *UserRecord
}

type victimPool struct {
	victims []victim // silent for longAgo, the longest silent first
	next    int64    // when to search again
}

// letGo removes the member of a pool silent longest, or returns false if none is for longAgo.
func (s *Store) letGo(p pool) bool {
	q := &s.pools[p]
	for {
		for len(q.victims) > 0 {
			v := q.victims[0]
			q.victims = q.victims[1:]
			if s.in(v, p) && *v.lastHeard() == v.heard { // otherwise others may be silent for longer
				s.retire(v)
				return true
			}
		}
		q.victims = nil
		// A time too far ahead was found before the clock was set back.
		if s.at < q.next && q.next-s.at <= int64(longAgo+grain) {
			return false
		}
		s.look(p)
		if len(q.victims) == 0 {
			return false
		}
	}
}

// deadline returns the latest last sign of life of what has been silent for longAgo.
func (s *Store) deadline() int64 { return s.at - s.at%int64(grain) - int64(longAgo) }

// ripe returns when something heard at a time will have been silent for longAgo.
func ripe(heard int64) int64 {
	const g = int64(grain)
	return (heard + int64(longAgo) + g - 1) / g * g
}

// look searches a pool for members that have been silent for longAgo.
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
		m.eachFlow(func(f *flowTally) {
			for _, u := range f.users {
				member(victim{host: h, module: m, flow: f, user: u})
			}
		})
	}
}

// in reports whether the victim is in a pool still.
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
	// The user _other belongs to its direction and stays with it.
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

// compare orders by silence, longest first, then by name, so that a restart changes nothing.
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

// retire removes the victim; if it comes back, it begins at 0. Cookies find stale set.
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

// bared retires a silent host whose last module has gone. Any other becomes a bare host.
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
	m.eachFlow(func(f *flowTally) { f.stale = true })
}
