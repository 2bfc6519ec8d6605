package pipeline

import "rsyncd_exporter/rsynclog"

// A streak is a run of one session's transfer lines that the books don't have yet. They become one
// change and one count of messages. A streak ends before any other line, and with the slab.
type streak struct {
	session *rsynclog.Session // nil: there is none
	path    []byte            // of the last line's file
	n       uint64            // lines
	tally   *tally
	arrived int64 // record.when.Arrived of all of them, as they are of one slab
	wall    int64 // record.wall
}

// again counts p.message if it is a transfer line that begins like its session's last one.
// Otherwise it changes nothing and returns false.
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
	if !p.sessions.Again(f, r.process(m), r.when, false) {
		return false
	}
	if p.streak.n == 0 {
		p.streak = streak{session: f.Session, arrived: r.when.Arrived, wall: r.wall, tally: t}
	}
	if r.from.Addr.IsValid() && r.named {
		p.store.HostAddress(origin, r.from.Addr, r.wall)
	}
	p.streak.n++
	p.streak.path = f.Path(m.Text)
	return true
}

// flush counts the streak in the books.
func (p *Pipeline) flush() {
	s := &p.streak
	if s.session == nil {
		return
	}
	p.store.Apply(p.sessions.Pending(), s.arrived, s.wall)
	p.store.Messages(s.session.Origin, rsynclog.Transfer, true, s.n, s.wall)
	s.tally.understood(rsynclog.Transfer, s.n)
	if s.session.Sees(s.path) {
		p.seen = append(p.seen, s.session)
	}
	*s = streak{}
}

// copyPaths has sessions keep what they have seen in the slab.
func (p *Pipeline) copyPaths() {
	for i, s := range p.seen {
		s.Keep()
		p.seen[i] = nil
	}
	p.seen = p.seen[:0]
}
