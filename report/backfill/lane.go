package backfill

import (
	"cmp"
	"context"
	"math"
	"slices"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

// A lane counts the lines of one set in a history, whenever it is its turn. It implements
// logs.Book.
type lane struct {
	ctx     context.Context
	history *history
	waits   chan moment // what it is about to count, when it is too early for that; closed at its end
	turns   chan int64  // until when it may count
	until   int64
	unread  []error // valid once waits is closed

	next moment // what it waits for; over: nothing any more
	over bool

	// running has the sessions that run by what has been counted. The table of the reader is a line
	// ahead, so these are copies, of their state then.
	running map[*rsynclog.Session]*rsynclog.Session
	times   []int64
	order   []int
}

// A moment is when something happens that counts, in nanoseconds of the Unix epoch.
type moment struct {
	at   int64
	kind momentKind
}

type momentKind int

const (
	ofLine   momentKind = iota
	between             // a session ends by its silence, before the next line
	afterLog            // likewise, after the last one
)

func newLane(ctx context.Context, h *history) *lane {
	return &lane{
		ctx: ctx, history: h, waits: make(chan moment), turns: make(chan int64), until: math.MinInt64,
		running: map[*rsynclog.Session]*rsynclog.Session{},
	}
}

// arrive waits until the lane waits for its next turn or is over.
func (l *lane) arrive() {
	next, ok := <-l.waits
	l.next, l.over = next, !ok
}

// goOn has the lane count until a time, and waits for what it will count after that.
func (l *lane) goOn(until int64) {
	select {
	case l.turns <- until:
		l.arrive()
	case <-l.ctx.Done():
	}
}

// wait returns true when a moment may be counted, and false when it is too late for everything. At 0
// nothing tells when it was: then it is now.
func (l *lane) wait(m moment) bool {
	for m.at > l.until {
		select {
		case l.waits <- m:
		case <-l.ctx.Done():
			return false
		}
		select {
		case l.until = <-l.turns:
		case <-l.ctx.Done():
			return false
		}
	}
	h := l.history
	if m.kind != afterLog || l.until != math.MaxInt64 {
		h.now = max(h.now, m.at)
	}
	h.changed = true
	return true
}

// Begin implements logs.Book.
func (l *lane) Begin(*logs.Set) {}

// Line implements logs.Book.
func (l *lane) Line(_ logs.Place, line *pipeline.Line) {
	if !line.Ours || !l.count(line.Changes, line.At, ofLine) || !l.wait(moment{line.At, ofLine}) {
		return
	}
	l.history.store.Message(line.Origin, line.Event.Kind, line.Believed, l.history.now)
	l.note(line.Session)
}

// Lost implements logs.Book. What a log has lost has no series of its own.
func (l *lane) Lost(logs.Place, receiver.Discard, uint64) {}

// Ended implements logs.Book.
func (l *lane) Ended(changes []rsynclog.Change) { l.count(changes, math.MaxInt64, afterLog) }

// Running implements logs.Book. Sessions that may still run end some day, for others to count.
func (l *lane) Running(*rsynclog.Session) {}

// count counts changes, each when it happened: those of the line at that time, and before it what
// ended by silence. It returns false when it is too late for everything.
func (l *lane) count(changes []rsynclog.Change, at int64, kind momentKind) bool {
	h := l.history
	for _, i := range l.sort(changes, at) {
		m := moment{l.times[i], kind}
		if kind == ofLine && m.at < at {
			m.kind = between
		}
		if !l.wait(m) {
			return false
		}
		h.store.Apply(changes[i:i+1], h.now, h.now)
		l.note(changes[i].Session)
	}
	return true
}

// sort returns the changes' indexes in the order of their times, which it sets.
func (l *lane) sort(changes []rsynclog.Change, at int64) []int {
	l.times, l.order = l.times[:0], l.order[:0]
	for i := range changes {
		l.times, l.order = append(l.times, at), append(l.order, i)
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
	slices.SortStableFunc(l.order, func(a, b int) int { return cmp.Compare(l.times[a], l.times[b]) })
	return l.order
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
