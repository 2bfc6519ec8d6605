package backfill

import (
	"cmp"
	"math"
	"slices"
	"time"

	"rsyncd_exporter/rsynclog"
)

const (
	// calm is how far a log's time may go on from one line to the next without a second look.
	calm = 5 * time.Minute
	// lookahead is how many lines are looked at then. A clock that is ahead for a moment, such as
	// until the network tells a machine the time, is so for a few of them.
	lookahead = 64
	// early is how long before its first stamp a log may begin: as far as two zones differ.
	early = 26 * time.Hour
)

// A lane has one log's lines, and counts them in a history when it is their time.
//
// After a silence the lines that follow are looked at before a stamp is believed. Otherwise a wrong
// one would take the history along into the future, and all that follows would count there.
type lane struct {
	history *history
	lines   Lines
	begun   bool    // it has been read from
	ahead   []*line // read, but not yet counted
	spare   []*line // memory for those that will be read
	line    *line   // the first of these; nil after the last one
	latest  int64   // time of a line
	ended   bool    // no line is left to read
	over    bool    // nothing is left to count

	// What comes next: the changes in the order of their times, and behind them the line itself.
	next    moment
	changes []change
	times   []int64 // of each
	order   []int   // of those that are left, their indexes
	sorted  []int   // memory of order

	// running has the sessions that run by what has been counted. The reader's table is lines
	// ahead, so these are copies, as they were then.
	running map[*rsynclog.Session]*rsynclog.Session
}

// A line is one line of a log, and what it came to. What it points to is valid until the next one
// is read, unless it is kept.
type line struct {
	at       int64 // 0: nothing tells
	origin   *rsynclog.Origin
	kind     rsynclog.Kind
	believed bool
	session  noted
	changes  []change
}

// A noted is a session of the reader's table, and what it was when the line was read.
type noted struct{ session, then *rsynclog.Session }

// A change is one of rsynclog, and whose it is.
type change struct {
	rsynclog.Change
	of *rsynclog.Session // of the reader's table
}

// A moment is when something happens that counts, in nanoseconds of the Unix epoch; 0 if nothing
// tells.
type moment struct {
	at     int64
	silent bool // no line says so: a session ends by its silence
}

func newLane(h *history, lines Lines) *lane {
	l := &lane{history: h, lines: lines, running: map[*rsynclog.Session]*rsynclog.Session{}}
	if first := lines.First(); !first.IsZero() {
		l.next.at = first.Add(-early).UnixNano() - h.gap // until then it need not be open
	}
	return l
}

// fetch goes on to the next line that counts, or to what comes after all lines.
func (l *lane) fetch() {
	l.begun = true
	if l.line != nil {
		l.spare = append(l.spare, l.line)
		l.ahead = l.ahead[:copy(l.ahead, l.ahead[1:])]
	}
	if l.line = nil; len(l.ahead) > 0 || l.read() {
		l.line = l.ahead[0]
		if l.line.at-l.latest > int64(calm) {
			l.look()
		}
		l.latest = max(l.latest, l.line.at)
		l.sort(l.line.changes, l.at())
	} else {
		var after []change
		l.lines.Finish(func(changes []rsynclog.Change) {
			for _, c := range changes {
				after = append(after, change{c, c.Session})
			}
		})
		l.lines.Close()
		l.sort(after, math.MaxInt64)
	}
	l.aim()
}

// look looks at the lines behind one that comes after a silence. If two in succession, or the last
// one of the log, lie before it, its stamp is wrong, and it belongs to these. One alone has a wrong
// stamp itself, and so have lines from before the silence.
func (l *lane) look() {
	for len(l.ahead) <= lookahead && l.read() {
	}
	before := int64(0) // time of the line before, if it lies before l.line
	for i, later := range l.ahead {
		switch {
		case later.at == 0:
		case later.at < l.latest || later.at > l.line.at-int64(calm):
			before = 0
		case before != 0:
			l.line.at = min(before, later.at)
			return
		case l.ended && i == len(l.ahead)-1:
			l.line.at = later.at
		default:
			before = later.at
		}
	}
}

// read reads the next line that counts. It returns false at the end.
func (l *lane) read() bool {
	if n := len(l.ahead); n > 0 && !l.ended {
		l.ahead[n-1].keep()
	}
	for !l.ended {
		got, _, more := l.lines.Next()
		if l.ended = !more; got == nil || !got.Ours {
			continue
		}
		n := &line{}
		if last := len(l.spare) - 1; last >= 0 {
			n, l.spare = l.spare[last], l.spare[:last]
		}
		*n = line{
			at: inMillis(got.At), origin: got.Origin, kind: got.Event.Kind, believed: got.Believed,
			session: noted{got.Session, got.Session}, changes: n.changes[:0],
		}
		for _, c := range got.Changes {
			n.changes = append(n.changes, change{c, c.Session})
		}
		l.ahead = append(l.ahead, n)
		return true
	}
	return false
}

// inMillis returns a time as Prometheus has it. Lines of one second have times that are nanoseconds
// apart; those of a step's second belong to that step.
func inMillis(at int64) int64 { return at - at%int64(time.Millisecond) }

// keep makes a line valid when others have been read.
func (n *line) keep() {
	n.session.then = copyOf(n.session.session)
	for i := range n.changes {
		c := &n.changes[i]
		c.Session = copyOf(c.of)
	}
}

func copyOf(s *rsynclog.Session) *rsynclog.Session {
	if s == nil {
		return nil
	}
	then := *s
	return &then
}

// at returns the time of the line, or a time before it if none has been read. One that has none
// comes with the line before it.
func (l *lane) at() int64 {
	switch {
	case !l.begun:
		return l.next.at + l.history.gap
	case l.line.at == 0:
		return l.latest
	}
	return l.line.at
}

// aim sets what comes next.
func (l *lane) aim() {
	switch {
	case len(l.order) > 0:
		at := l.times[l.order[0]]
		l.next = moment{at, l.line == nil || at < l.at()}
	case l.line != nil:
		l.next = moment{at: l.at()}
	default:
		l.over = true
	}
}

// count counts what comes next.
func (l *lane) count() {
	h := l.history
	if len(l.order) > 0 {
		i := l.order[0]
		l.order = l.order[1:]
		c := &l.changes[i]
		h.one[0] = c.Change
		h.store.Apply(h.one[:], h.now, h.now)
		h.clients.Apply(h.one[:], h.now, h.now)
		l.note(noted{c.of, c.Session})
		l.aim()
		return
	}
	h.store.Message(l.line.origin, l.line.kind, l.line.believed, h.now)
	l.note(l.line.session)
	l.fetch()
}

// skip goes on without counting what comes next.
func (l *lane) skip() {
	if len(l.order) > 0 {
		l.order = l.order[1:]
		l.aim()
		return
	}
	l.fetch()
}

// sort orders changes by their times. at is the time of the line that they came with.
func (l *lane) sort(changes []change, at int64) {
	l.changes, l.times, l.sorted = changes, l.times[:0], l.sorted[:0]
	for i := range changes {
		l.times, l.sorted = append(l.times, at), append(l.sorted, i)
	}
	for i := len(changes) - 1; i >= 0; i-- {
		c := &changes[i]
		switch {
		case c.Kind == rsynclog.Ended && c.Session.End != 0: // 0: without a pid, it lived for the line
			l.times[i] = min(at, inMillis(c.Session.End))
		case i+1 < len(changes) && changes[i+1].of == c.of:
			l.times[i] = l.times[i+1] // it became known with the session's end
		}
	}
	slices.SortStableFunc(l.sorted, func(a, b int) int { return cmp.Compare(l.times[a], l.times[b]) })
	l.order = l.sorted
}

// note keeps what is known of a session while it runs.
func (l *lane) note(s noted) {
	switch {
	case s.session == nil:
	case !s.then.Started():
		delete(l.running, s.session)
	case l.running[s.session] != nil:
		*l.running[s.session] = *s.then
	default:
		l.running[s.session] = copyOf(s.then)
	}
}
