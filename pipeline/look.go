package pipeline

import (
	"rsyncd_exporter/backups"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status/recent"
	"rsyncd_exporter/status/sessionlog"
)

// A Book is told what sessions come to. It must not wait, and what it has been told is valid only
// during the call.
type Book interface {
	// Apply notes changes, all but those that only move files. now and wall are the present by the
	// sessions' clock and by the wall clock.
	Apply(changes []rsynclog.Change, now, wall int64)
}

// Books are kept besides the counters. One that is nil isn't kept.
type Books struct {
	Clients *clients.Book
	Backups *backups.Book
	Recent  *recent.Book
	Ended   *sessionlog.Queue
}

// keep begins to keep books.
func (p *Pipeline) keep(b Books) {
	p.books = b
	if b.Clients != nil {
		p.others = append(p.others, b.Clients)
	}
	if b.Backups != nil {
		p.others = append(p.others, b.Backups)
	}
	if b.Recent != nil {
		p.sessions.Active(b.Recent.Begin)
		p.others = append(p.others, b.Recent)
	}
	if b.Ended != nil {
		p.others = append(p.others, b.Ended)
	}
}

// apply tells the books what sessions came to. The caller holds the lock.
func (p *Pipeline) apply(changes []rsynclog.Change, now, wall int64) {
	p.store.Apply(changes, now, wall)
	if len(changes) == 0 || len(changes) == 1 && changes[0].Kind == rsynclog.FileMoved {
		return
	}
	for _, b := range p.others {
		b.Apply(changes, now, wall)
	}
}

// A View is a copy of everything that people look at, of one moment.
type View struct {
	At       int64 // by the wall clock
	Behind   int64 // wall clock minus the clock of the sessions' times
	Books    *metrics.Snapshot
	Sessions []Visit // that have not ended
	Recent   *recent.Record
	Clients  *clients.Record // nil: not kept
	Backups  *backups.Record // nil: not kept
}

// A Visit is what people see of a session that has not ended. There may be tens of thousands, so it
// is no whole record.
type Visit struct {
	Host                              string // of the syslog header
	PID                               int32
	Direction                         rsynclog.Direction
	Runs                              bool   // Session.Started
	State                             string // as SessionRecord has it
	Module, User, Addr, Name, Request string
	FirstSeen, LastSeen               int64
	Files                             rsynclog.FileCounts
	Length                            uint64
	Path                              []byte // of its last transfer line, for rsynclog.PathText
}

func (v *Visit) of(s *rsynclog.Session) {
	v.Host, v.PID, v.Direction, v.Runs, v.State = s.Origin.Host, s.PID, s.Direction, s.Started(), s.State()
	v.Module, v.User, v.Addr, v.Name, v.Request = s.Module, s.User, s.Addr, s.Name, s.Request
	v.FirstSeen, v.LastSeen, v.Files, v.Length = s.FirstSeen, s.LastSeen, s.Files, s.Length
}

// Look copies what people look at. It holds the lock as long as a Save does.
func (p *Pipeline) Look() *View {
	p.Tick()
	p.mu.Lock()
	n := p.sessions.Len()
	p.mu.Unlock()
	const usual = 64                // bytes of a path
	room := make([]Visit, n+n/8+64) // some more may have begun by then
	for i := range room {
		room[i].PID = -1 // a first touch makes the kernel give the page
	}
	paths := make([]byte, 0, usual*len(room))
	v := &View{Sessions: room[:0]}
	p.mu.Lock()
	defer p.mu.Unlock()
	behind := p.clock.behind()
	v.At, v.Behind = p.clock.wall(), int64(behind)
	v.Books = p.store.Snapshot(p.sessions, behind)
	v.Clients, v.Backups = p.records()
	if p.books.Recent != nil {
		p.sessions.Active(p.books.Recent.Begin)
		v.Recent = p.books.Recent.Record()
	}
	p.sessions.Present(func(s *rsynclog.Session) {
		from := len(paths)
		paths = s.AppendPath(paths)
		v.Sessions = append(v.Sessions, Visit{Path: paths[from:len(paths):len(paths)]})
		v.Sessions[len(v.Sessions)-1].of(s)
	})
	return v
}

// Scrape is Snapshot and Records, of one moment.
func (p *Pipeline) Scrape() (*metrics.Snapshot, *clients.Record, *backups.Record) {
	p.Tick()
	p.mu.Lock()
	defer p.mu.Unlock()
	c, b := p.records()
	return p.store.Snapshot(p.sessions, p.clock.behind()), c, b
}

// Records copies the books of clients and backups; one is nil if it isn't kept.
func (p *Pipeline) Records() (*clients.Record, *backups.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.records()
}

// records copies the books that are shown and saved.
func (p *Pipeline) records() (c *clients.Record, b *backups.Record) {
	if p.books.Clients != nil {
		c = p.books.Clients.Record()
	}
	if p.books.Backups != nil {
		now, wall := p.clock.both()
		b = p.books.Backups.Record(p.sessions.Active, now, wall)
	}
	return c, b
}
