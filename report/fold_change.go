package report

import (
	"cmp"
	"time"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
)

// change counts one change, as metrics.Store does. l is the line that brought it, or nil at the end
// of a set.
func (f *Fold) change(c *rsynclog.Change, l *pipeline.Line) {
	var v *visit
	flow, at := f.stray, int64(0)
	if c.Session != nil {
		v = f.visit(c.Session)
		flow = v.flow
	}
	if l != nil {
		at = l.At
	}
	switch c.Kind {
	case rsynclog.Ended, rsynclog.Amended, rsynclog.Resumed:
		at = f.known(c.Session.LastSeen)
	case rsynclog.Exited:
		if c.Session != nil {
			at = f.known(c.Session.LastSeen)
		}
	case rsynclog.Executed:
		at = f.execute(v, at)
	}
	passes := f.filter.passes(v)
	counts := passes && f.filter.within(at)
	if c.Kind == rsynclog.Ended {
		f.load.end(v, at)
		delete(f.visits.open, c.Session)
		if f.load.full() {
			f.load.settle(f.visits.open)
		}
	}
	if !counts {
		return
	}
	switch c.Kind {
	case rsynclog.FileMoved:
		f.moved(v, flow, c, l)
	case rsynclog.Executed:
		flow.executions += c.N
	case rsynclog.Ended:
		flow.sessions[c.Session.Outcome] += c.N
		f.volume(v, c, at)
		f.freshness(v, c, at)
	case rsynclog.Amended:
		f.volume(v, c, at)
	case rsynclog.Resumed:
		f.freshness(v, c, at)
	case rsynclog.TurnedAway:
		f.tally.rejected[c.Reason] += c.N
		if c.Reason == rsynclog.ReasonMaxConnections {
			f.load.gauges[f.load.gauge(flow.module)].refused += c.N
		}
	default:
		f.tally.count(c)
	}
}

// count counts what belongs to no module here.
func (t *tally) count(c *rsynclog.Change) {
	switch c.Kind {
	case rsynclog.Connected:
		t.connections += c.N
	case rsynclog.Exited:
		t.exits[codes.Exit(c.Code)] += c.N
	case rsynclog.FileFailed:
		t.fileErrors[codes.Errno(c.Errno)] += c.N
	case rsynclog.Listed:
		t.lists += c.N
	case rsynclog.LostByRelay:
		t.lost += c.N
	case rsynclog.DaemonStarted:
		t.starts += c.N
	}
}

// moved counts a transfer line of a visit, which may be nil.
func (f *Fold) moved(v *visit, to *flow, c *rsynclog.Change, l *pipeline.Line) {
	to.files[c.Op] += c.N
	grow(&to.lengths[c.Op], c.Length)
	grow(&to.wire[c.Op], c.Wire)
	if c.Op == rsynclog.NoOp || l == nil {
		return
	}
	if path := l.Event.File(to.module); path != nil {
		f.files.add(v, to.module, path, c, &l.Event)
	}
}

// execute notes that a transfer was let through, and returns when. A transfer whose module only a
// later line tells comes twice, first with an N of 0; only then may the filter let it pass.
func (f *Fold) execute(v *visit, at int64) int64 {
	if !v.executed {
		v.executed, v.began = true, at
	}
	if v.gauge == 0 && v.began != 0 && f.filter.passes(v) && f.visits.has(v) {
		f.load.start(v, cmp.Or(v.flow.module, v.session.Requested), f.seq)
	}
	return v.began
}

// volume adds the bytes of a summary. Amended adds no session.
func (f *Fold) volume(v *visit, c *rsynclog.Change, at int64) {
	s := c.Session
	grow(&v.flow.sent, c.Sent)
	grow(&v.flow.received, c.Received)
	grow(&v.flow.listed, c.Total)
	vol := Volume{Sent: c.Sent, Received: c.Received}
	if c.Kind == rsynclog.Ended {
		vol.Sessions = c.N
	}
	key := clients.Family(s.Addr)
	sum := f.tally.families[key]
	sum.Add(vol)
	f.tally.families[key] = sum
	f.clients.Add(s.Addr, v.name, vol)
	f.groups.add(s.Addr, vol)
	f.calendar.add(at, vol, s.Outcome)
	if s.Module != "" && s.Direction != rsynclog.NoDirection {
		u := f.users.of(v.flow.module, s.User, s.Direction)
		u.volume.Add(vol)
		u.outcomes[s.Outcome] += vol.Sessions
	}
}

// freshness notes a session that has ended as its user's, unless a client may have begun it, and
// how long it took.
func (f *Fold) freshness(v *visit, c *rsynclog.Change, at int64) {
	s := c.Session
	if s.Direction == rsynclog.NoDirection {
		return
	}
	if c.Kind == rsynclog.Ended && s.ConnectSeen {
		v.flow.took.observe(time.Duration(max(0, s.LastSeen-s.FirstSeen)))
	}
	if s.Module == "" || s.Outcome == rsynclog.Rejected || s.Doubted || at == 0 {
		return
	}
	f.users.of(v.flow.module, s.User, s.Direction).ended(s, at)
}
