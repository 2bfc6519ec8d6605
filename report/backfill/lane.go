package backfill

import (
	"cmp"
	"math"
	"slices"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/rsynclog"
)

// A lane has one log's lines, and counts them in a history when it is their time.
type lane struct {
	history *history
	lines   Lines
	line    *pipeline.Line // nil after the last one
	latest  int64          // time of a line
	over    bool           // nothing is left to count

	// What comes next: the changes in the order of their times, and behind them the line itself.
	next    moment
	changes []rsynclog.Change
	times   []int64 // of each
	order   []int   // of those that are left, their indexes
	sorted  []int   // memory of order
	after   []rsynclog.Change

	// running has the sessions that run by what has been counted. The reader's table is a line
	// ahead, so these are copies, as they were then.
	running map[*rsynclog.Session]*rsynclog.Session
}

// A moment is when something happens that counts, in nanoseconds of the Unix epoch; 0 if nothing
// tells.
type moment struct {
	at     int64
	silent bool // no line says so: a session ends by its silence
}

// fetch goes on to the next line that counts, or to what comes after all lines.
func (l *lane) fetch() {
	for more := true; more; {
		if l.line, _, more = l.lines.Next(); l.line != nil && l.line.Ours {
			l.latest = max(l.latest, l.line.At)
			l.sort(l.line.Changes, l.at())
			l.aim()
			return
		}
	}
	l.lines.Finish(func(changes []rsynclog.Change) { l.after = append(l.after, changes...) })
	l.sort(l.after, math.MaxInt64)
	l.aim()
}

// at returns the time of the line. One that has none comes with the line before it.
func (l *lane) at() int64 {
	if l.line.At == 0 {
		return l.latest
	}
	return l.line.At
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
		h.store.Apply(l.changes[i:i+1], h.now, h.now)
		l.note(l.changes[i].Session)
		l.aim()
		return
	}
	h.store.Message(l.line.Origin, l.line.Event.Kind, l.line.Believed, h.now)
	l.note(l.line.Session)
	l.fetch()
}

// sort orders changes by their times. at is the time of the line that they came with.
func (l *lane) sort(changes []rsynclog.Change, at int64) {
	l.changes, l.times, l.sorted = changes, l.times[:0], l.sorted[:0]
	for i := range changes {
		l.times, l.sorted = append(l.times, at), append(l.sorted, i)
	}
	for i := len(changes) - 1; i >= 0; i-- {
		c := &changes[i]
		switch {
		case c.Kind == rsynclog.Ended && c.Session.End != 0: // 0: without a pid, it lived for the line
			l.times[i] = min(at, c.Session.End)
		case i+1 < len(changes) && changes[i+1].Session == c.Session:
			l.times[i] = l.times[i+1] // it became known with the session's end
		}
	}
	slices.SortStableFunc(l.sorted, func(a, b int) int { return cmp.Compare(l.times[a], l.times[b]) })
	l.order = l.sorted
}

// note keeps what is known of a session while it runs.
func (l *lane) note(s *rsynclog.Session) {
	switch {
	case s == nil:
	case !s.Started():
		delete(l.running, s)
	case l.running[s] != nil:
		*l.running[s] = *s
	default:
		noted := *s
		l.running[s] = &noted
	}
}
