// Package recent keeps what has happened lately, for people to look at. A restart forgets it.
package recent

import (
	"time"

	"rsyncd_exporter/rsynclog"
)

// Bounds of a Book, which a Record has too.
const (
	MaxEnded   = 100
	MaxErrors  = 100
	MaxModules = 10_000 // further ones are shown without a peak
	Minutes    = 60
)

// A Book keeps the sessions that ended last, the last errors, the last hour by minutes, and how
// many sessions ran at one time. Whoever holds the pipeline's lock owns it. All its times are by
// the sessions' clock.
type Book struct {
	ended   [MaxEnded]Ended
	ends    int // how many have ended; the next one's place is ends % MaxEnded
	errors  []noted
	running int // sessions that run; the Seat of each is its *module
	modules map[place]*module
	nowhere module // of those that find no room in modules
	swept   int64  // when modules last made room

	minute int64 // the latest of hour, since the epoch; 0 before the first
	hour   [Minutes]Minute
	before Minute // what lies further back, which nobody sees
}

// place says where a session runs.
type place struct{ host, module string }

type module struct {
	place
	of           *Book
	active, peak int
	peakAt       int64 // when active was last equal to peak
}

// A Record is a copy of a Book. It shares no changing memory.
type Record struct {
	Ended   []Ended // in the order in which they were known to have ended
	Errors  []Error // in no order
	Modules []Module
	Active  int // sessions that run
	Minute  int64
	Hour    [Minutes]Minute // up to Minute, since the epoch; the one of minute m is at m % Minutes
}

// An Ended is a session that has ended.
type Ended struct {
	Host string
	rsynclog.SessionRecord
}

// A Minute is what happened in a minute of the sessions' clock.
type Minute struct {
	Connections, Rejected, Sessions uint64
	Failed                          uint64 // of Sessions: partial or aborted
	Sent, Received                  uint64 // bytes, of sessions that ended
	Active                          int    // the most at one time
}

// A Module says how many sessions ran at one time.
type Module struct {
	Host, Module string // Module is empty for sessions whose module isn't known
	Peak         int
	At           int64 // when it was last
}

// NewBook returns an empty book.
func NewBook() *Book {
	b := &Book{modules: map[place]*module{}}
	b.nowhere.of = b
	return b
}

// Begin notes a session that runs. Changes say so of most; not of one that was restored, or whose
// start isn't in the log.
func (b *Book) Begin(s *rsynclog.Session) { b.runs(s, s.LastSeen) }

// Apply notes changes. now and wall are the present by the sessions' clock and by the wall clock.
func (b *Book) Apply(changes []rsynclog.Change, now, _ int64) {
	for i := range changes {
		c := &changes[i]
		at := now
		if c.Session != nil {
			at = min(now, c.Session.LastSeen)
		}
		m := b.at(at)
		switch c.Kind {
		case rsynclog.Connected:
			m.Connections += c.N
		case rsynclog.TurnedAway:
			m.Rejected += c.N
			b.error(c, Rejected, int16(c.Reason), at)
		case rsynclog.Exited:
			b.error(c, Exit, c.Code, at)
		case rsynclog.FileFailed:
			b.error(c, File, c.Errno, at)
		case rsynclog.Ended:
			b.end(c, m)
			continue
		case rsynclog.Amended, rsynclog.Resumed:
			m.Sent, m.Received = m.Sent+c.Sent, m.Received+c.Received
			b.amend(c.Session)
		}
		if c.Session != nil && c.Session.Started() {
			b.runs(c.Session, at)
		}
	}
}

// at returns the minute of a time, or before if it lies more than an hour back.
func (b *Book) at(at int64) *Minute {
	n := at / int64(time.Minute)
	for b.minute = max(b.minute, n-Minutes); b.minute < n; {
		b.minute++
		b.hour[b.minute%Minutes] = Minute{Active: b.running}
	}
	if n <= b.minute-Minutes || n < 0 {
		return &b.before
	}
	return &b.hour[n%Minutes]
}

// runs notes that a session runs in its module, which it may only now have told.
func (b *Book) runs(s *rsynclog.Session, at int64) {
	in, before := place{s.Origin.Host, s.Module}, b.seatOf(s)
	if before != nil && before != &b.nowhere && before.place == in {
		return
	}
	m := b.module(in, at)
	if before == m {
		return
	}
	if before != nil {
		before.active--
	} else {
		b.running++
	}
	s.Seat = m
	now := b.at(at)
	now.Active = max(now.Active, b.running)
	if m.active++; m.active >= m.peak {
		m.peak, m.peakAt = m.active, at
	}
}

// seatOf returns where a session runs, or nil if that was not noted.
func (b *Book) seatOf(s *rsynclog.Session) *module {
	m, _ := s.Seat.(*module)
	if m == nil || m.of != b {
		return nil
	}
	return m
}

// module returns what is known of a module, or nowhere if there is no room for another one.
func (b *Book) module(p place, at int64) *module {
	m := b.modules[p]
	if m == nil && len(b.modules) >= MaxModules {
		b.sweep(at)
	}
	if m == nil && len(b.modules) < MaxModules {
		m = &module{place: p, of: b}
		b.modules[p] = m
	}
	if m == nil {
		return &b.nowhere
	}
	return m
}

// sweep forgets modules in which nothing has run for a day, once a minute.
func (b *Book) sweep(at int64) {
	if at < b.swept+int64(time.Minute) {
		return
	}
	b.swept = at
	for p, m := range b.modules {
		if m.active == 0 && m.peakAt < at-int64(24*time.Hour) {
			delete(b.modules, p)
		}
	}
}

func (b *Book) end(c *rsynclog.Change, m *Minute) {
	s := c.Session
	if seat := b.seatOf(s); seat != nil {
		seat.active--
		b.running--
		s.Seat = nil
	}
	m.Sessions += c.N
	if s.Outcome == rsynclog.Partial || s.Outcome == rsynclog.Aborted {
		m.Failed += c.N
	}
	m.Sent, m.Received = m.Sent+c.Sent, m.Received+c.Received
	e := &b.ended[b.ends%MaxEnded]
	e.Host, e.SessionRecord = s.Origin.Host, s.SessionRecord
	b.ends++
}

// amend corrects an ended session if it is still remembered.
func (b *Book) amend(s *rsynclog.Session) {
	for i := range b.ended {
		e := &b.ended[i]
		if e.PID == s.PID && e.FirstSeen == s.FirstSeen && e.Host == s.Origin.Host {
			e.SessionRecord = s.SessionRecord
		}
	}
}

// Record copies everything.
func (b *Book) Record() *Record {
	r := &Record{
		Ended:  make([]Ended, 0, MaxEnded),
		Errors: make([]Error, len(b.errors)), Modules: make([]Module, 0, len(b.modules)),
		Active: b.running, Minute: b.minute, Hour: b.hour,
	}
	for i := max(0, b.ends-MaxEnded); i < b.ends; i++ {
		r.Ended = append(r.Ended, b.ended[i%MaxEnded])
	}
	for i := range b.errors {
		r.Errors[i] = b.errors[i].Error
	}
	for p, m := range b.modules {
		r.Modules = append(r.Modules, Module{p.host, p.module, m.peak, m.peakAt})
	}
	return r
}
