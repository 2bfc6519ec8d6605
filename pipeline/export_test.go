package pipeline

import (
	"reflect"
	"testing"
	"time"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/rsynclog"
)

// Bounds that promises name.
const (
	MaxDelivered = maxDelivered
	MaxTagLen    = maxTagLen
	MaxTallied   = maxTallied
	Portion      = portion
	RelearnAfter = relearnAfter
)

// What format 1 has of followed files and of origins.
type (
	File1     = file1
	Position1 = position1
	Gap1      = gap1
	Origin1   = origin1
)

// Stall holds the lock until the function that it returns is called.
func (p *Pipeline) Stall() (goOn func()) {
	p.mu.Lock()
	return p.mu.Unlock
}

// OnUnlock has f called each time that the lock comes free.
func (p *Pipeline) OnUnlock(f func()) { p.mu.freed = f }

// Sessions are those that run.
func (p *Pipeline) Sessions() *rsynclog.Sessions { return p.sessions }

// TickOnce ends one portion of sessions, and says whether there may be more.
func (p *Pipeline) TickOnce() bool { return p.tick(p.clock.now()) }

// End ends some of the sessions whose time has come, and says how many changes that made.
func (p *Pipeline) End(most int) int {
	changes, _ := p.sessions.Tick(p.clock.now(), most)
	return len(changes)
}

// EndAll ends the sessions that are over after a time in which nothing is heard.
func (p *Pipeline) EndAll(after time.Duration) {
	later := p.clock.now() + int64(after)
	for more := true; more; {
		var changes []rsynclog.Change
		changes, more = p.sessions.Tick(later, portion)
		p.apply(changes, later, p.clock.wall()+int64(after))
	}
}

// CopyLocked does what a save does under the lock.
func (p *Pipeline) CopyLocked(room []rsynclog.SessionRecord) {
	p.tick(p.clock.now())
	p.store.Snapshot(p.sessions, p.clock.behind())
	p.sessions.Record(p.clock.now(), room)
}

// Tallies are what is known of the sources that aren't understood.
func (p *Pipeline) Tallies() map[string]*tally { return p.tallies.byName }

// Known reads a message by a header that is known, and returns whether there is one, what was read,
// and whether the session of a line with this begin is known too.
func (p *Pipeline) Known(src *receiver.Source, message, line []byte) (known bool, m receiver.Message, front bool) {
	from := receiver.Sender{Scope: src.Scope}
	h := p.headers.find(src, &from, message, &p.message)
	if h == nil {
		return false, m, false
	}
	return true, p.message, p.sessions.Front(h.origin, p.message.PID, line) != nil
}

// ForgetHeaders forgets all headers.
func (p *Pipeline) ForgetHeaders() {
	p.headers.slot, p.headers.last = [headerSlots]header{}, nil
}

// SameHeader compares what is known of a message's header with what reading it gives, and learns that. It returns false
// if nothing was known.
func (p *Pipeline) SameHeader(t *testing.T, src *receiver.Source, from receiver.Sender, raw []byte) bool {
	var got receiver.Message
	h := p.headers.find(src, &from, raw, &got)
	v := p.reader.read(src, raw, &p.message, &p.event)
	if v.discard != receiver.Kept || !v.ours || v.relay {
		if h != nil {
			t.Errorf("%q is known: %+v", raw, v)
		}
		return false
	}
	m := p.message
	origin := p.sessions.Origin(rsynclog.Where{Scope: from.Scope, Host: m.Host, Container: m.Container, Addr: from.Addr}, 1)
	if h != nil {
		named := len(m.Host) > 0
		m.Host, m.Tag, m.Container, m.Scratch = nil, nil, nil, nil
		if !reflect.DeepEqual(got, m) || h.origin != origin || h.host != named {
			t.Errorf("%q is known as %+v, named %v; want %+v, %v", raw, got, h.host, m, named)
		}
		return true
	}
	p.headers.learn(src, &from, raw, &p.message, origin)
	return false
}
