package pipeline

import "rsyncd_exporter/rsynclog"

// A streak is what transfer lines have come to that followed one another in one session and are yet to be counted in the books.
// They are one change, and one sum of messages. It ends before any other line, and with the slab.
type streak struct {
	session *rsynclog.Session // nil: there is none
	n       uint64            // lines
	arrived int64             // when.Arrived and wall of all of them, as they are of one slab
	wall    int64
}

// again counts p.message if it is a transfer line that begins as its session's last one did. Else nothing has changed, and it
// returns false.
func (p *Pipeline) again(origin *rsynclog.Origin, r *record, t *tally) bool {
	if r.from.Forged {
		return false
	}
	m := &p.message
	f := p.sessions.Front(origin, m.PID, m.Text)
	if f == nil {
		return false
	}
	if f.Session != p.streak.session {
		p.flush()
		if !p.store.Settled(f.Session) {
			return false
		}
	}
	if !p.sessions.Again(f, r.process(m), r.when, m.Text) {
		return false
	}
	if r.from.Addr.IsValid() && r.named {
		p.store.HostAddress(origin, r.from.Addr, r.wall)
	}
	p.streak.session, p.streak.arrived, p.streak.wall = f.Session, r.when.Arrived, r.wall
	p.streak.n++
	p.counted(t, rsynclog.Transfer, true)
	return true
}

// flush counts the streak in the books.
func (p *Pipeline) flush() {
	if p.streak.session == nil {
		return
	}
	p.store.Apply(p.sessions.Pending(), p.streak.arrived, p.streak.wall)
	p.store.Messages(p.streak.session.Origin, rsynclog.Transfer, true, p.streak.n, p.streak.wall)
	p.streak = streak{}
}
