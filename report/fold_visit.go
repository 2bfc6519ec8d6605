package report

import (
	"rsyncd_exporter/rsynclog"
)

// A visit is what a Fold notes of a session.
type visit struct {
	session *rsynclog.Session
	flow    *flow
	seq     uint64 // number of its latest line
	name    string // of its client; empty: not known

	// The labels by which flow and matches were found.
	module, user, addr string
	direction          rsynclog.Direction
	matches            bool       // the filter lets it pass
	from               *fetcherOf // nil: not worked out

	executed bool  // its transfer was let through
	began    int64 // when, if that is known
	gauge    int   // where it counts as running, see load; 0: nowhere
}

// visits are the visits of the sessions of one set that have not ended, and of some that have.
type visits struct {
	open map[*rsynclog.Session]*visit
	// recent finds most visits without the map, by the last digits of the pid. Visits that have
	// ended are only here.
	recent [recentVisits]*visit
}

const (
	recentVisits = 1024
	// maxVisits is twice what rsynclog.DefaultLimits has, so that there is always room for the
	// sessions that run.
	maxVisits = 1 << 16
)

func newVisits() visits { return visits{open: map[*rsynclog.Session]*visit{}} }

func (vs *visits) clear() { *vs = newVisits() }

// find returns the visit of a session, or nil.
func (vs *visits) find(s *rsynclog.Session) *visit {
	slot := &vs.recent[uint32(s.PID)%recentVisits]
	if v := *slot; v != nil && v.session == s {
		return v
	}
	v := vs.open[s]
	if v != nil {
		*slot = v
	}
	return v
}

// add notes a session. One that is over, or that lives for one line, gets no place in the map.
func (vs *visits) add(s *rsynclog.Session) *visit {
	v := &visit{session: s}
	slot := &vs.recent[uint32(s.PID)%recentVisits]
	if old := *slot; old != nil && sameProcess(old.session, s) { // s is a copy; see rsynclog.Resumed
		v.name = old.name
	}
	if s.PID == 0 {
		return v
	}
	*slot = v
	if s.End != 0 {
		return v
	}
	if len(vs.open) >= maxVisits {
		vs.forget()
	}
	if len(vs.open) < maxVisits {
		vs.open[s] = v
	}
	return v
}

func sameProcess(a, b *rsynclog.Session) bool {
	return a.Origin == b.Origin && a.PID == b.PID && a.FirstSeen == b.FirstSeen
}

// forget makes room. What runs stays.
func (vs *visits) forget() {
	for s, v := range vs.open {
		if v.gauge == 0 {
			delete(vs.open, s)
		}
	}
}

// has says whether a visit will be found as long as its session hasn't ended.
func (vs *visits) has(v *visit) bool { return vs.open[v.session] == v }

// visit returns what is noted of a session, as the session is now.
func (f *Fold) visit(s *rsynclog.Session) *visit {
	v := f.visits.find(s)
	if v == nil {
		v = f.visits.add(s)
	} else if v.module == s.Module && v.direction == s.Direction && v.user == s.User && v.addr == s.Addr {
		return v
	}
	v.module, v.direction, v.user, v.addr, v.from = s.Module, s.Direction, s.User, s.Addr, nil
	v.flow = f.tally.flow(s.Module, s.Direction)
	v.matches = f.filter.match(s, v.name)
	return v
}

// rename notes the name of a visit's client, if the line has one.
func (v *visit) rename(f *filter, host []byte) {
	switch string(host) {
	case "", "UNKNOWN", "UNDETERMINED": // clientname.c: none was found, or none was looked for
		return
	case v.name:
		return
	}
	v.name = rsynclog.Label(host)
	v.matches = f.match(v.session, v.name)
}
