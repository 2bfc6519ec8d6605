// Package pipeline turns slabs of raw messages into counts: it reads their headers, parses their
// texts into events, applies these to sessions, and counts the changes in the books. It takes one
// lock once per slab. Under the lock nothing waits, logs or does I/O.
package pipeline

import (
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// Config is what a Pipeline is made of.
type Config struct {
	LogFormat     string            // rsyncd.conf's log format
	ModuleFormats map[string]string // log formats of modules that have their own, by name
	Tags          []string          // globs (path.Match) of rsyncd's syslog tags
	Modules       []string          // configured modules
	Hosts         []string          // configured hosts, named as in the syslog header
	MaxSeries     int
	Limits        rsynclog.Limits
	Checkpoint    *Checkpoint // where to go on; New takes over its memory; nil: from zero
	Resumable     bool        // note how far files are counted, for Save
	InFull        bool        // read each message in full, even if it resembles one before

	// Books returns the books to keep besides the counters, from where a Checkpoint left them; it is
	// nil where they begin. Without the function there are none.
	Books func(*Checkpoint) Books
}

// A Pipeline holds the parser, the sessions and the books. It is safe for concurrent use and
// implements receiver.Sink and receiver.TrySink.
type Pipeline struct {
	mu       lock
	reader   reader
	parsers  map[string]*rsynclog.Parser // by module; only of modules with another log format
	sessions *rsynclog.Sessions
	store    *metrics.Store
	tallies  tallies
	clock    clock
	stamps   syslog.Stamps
	headers  headers
	streak   streak
	seen     []*rsynclog.Session // by streaks of the slab, whose last paths are still views into it
	books    Books
	others   []Book           // the books that there are
	message  receiver.Message // scratch
	event    rsynclog.Event   // scratch

	delivered map[receiver.FileID]*delivery // how far files are counted; nil unless Config.Resumable
	turn      uint64                        // slabs with a position so far
	saved     uint64                        // turn at the last Save

	bulk   sync.Mutex  // held in Deliver: at most one caller that can wait competes with datagram readers
	missed atomic.Bool // a datagram reader found mu held and has not been served since
}

// A lock guards a Pipeline.
type lock struct {
	sync.Mutex
	freed func() // called after each Unlock; only tests set it
}

// Unlock implements sync.Locker.
func (l *lock) Unlock() {
	l.Mutex.Unlock()
	if l.freed != nil {
		l.freed()
	}
}

// New returns a pipeline that starts from Config.Checkpoint. The error is about a log format, or
// wraps ErrCheckpoint.
func New(c Config) (*Pipeline, error) {
	reader, parsers, err := newReader(c)
	if err != nil {
		return nil, err
	}
	clock := clock{time.Now()}
	p := &Pipeline{
		reader:  reader,
		parsers: parsers,
		tallies: tallies{byName: map[string]*tally{}},
		clock:   clock,
		headers: headers{off: c.InFull, seed: maphash.MakeSeed()},
	}
	if c.Resumable {
		p.delivered = map[receiver.FileID]*delivery{}
	}
	books := metrics.Config{
		MaxSeries: c.MaxSeries, Reasons: receiver.DiscardReasons(), Modules: c.Modules, Hosts: c.Hosts,
		Start: clock.start,
	}
	if c.Checkpoint != nil {
		if p.sessions, p.store, err = c.Checkpoint.restore(c, books, clock.start.UnixNano()); err != nil {
			return nil, err
		}
	} else {
		p.sessions, p.store = rsynclog.NewSessions(c.Limits, c.Modules, c.Hosts), metrics.NewStore(books)
	}
	if c.Books != nil {
		p.keep(c.Books(c.Checkpoint))
	}
	return p, nil
}

// AddLocalHost adds the series of inputs without a host name.
func (p *Pipeline) AddLocalHost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.store.AddLocalHost()
}

// MixedHosts returns at most n names of hosts whose messages lately came from several addresses,
// each once.
func (p *Pipeline) MixedHosts(n int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.store.MixedHosts(n)
}

// Input adds the series of one kind of input.
func (p *Pipeline) Input(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.store.Input(name)
}

// Received returns how many messages have been received.
func (p *Pipeline) Received() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.store.Received()
}

// TryDeliver implements receiver.TrySink.
func (p *Pipeline) TryDeliver(src *receiver.Source, slab *receiver.Slab) bool {
	if !p.mu.TryLock() {
		p.missed.Store(true)
		return false
	}
	p.handle(src, slab)
	p.mu.Unlock()
	p.missed.Store(false)
	return true
}

// Deliver implements receiver.Sink. It gives way twice: to goroutines that wait for a processor,
// since the scheduler interrupts a backlog only after 10 ms, and to a datagram reader that has
// lately found the lock held. It also lets the session log catch up, for a second at most.
func (p *Pipeline) Deliver(src *receiver.Source, slab *receiver.Slab) {
	runtime.Gosched()
	p.bulk.Lock()
	defer p.bulk.Unlock()
	if p.books.Ended != nil {
		p.books.Ended.Wait()
	}
	const patience = 5 * time.Millisecond // a reader with pending slabs tries again sooner
	for end := time.Now().Add(patience); p.missed.Load() && time.Now().Before(end); {
		time.Sleep(100 * time.Microsecond)
	}
	p.missed.Store(false) // a reader that has not come back has ended
	p.mu.Lock()
	p.handle(src, slab)
	p.mu.Unlock()
}

// Snapshot ends the sessions that are due and copies the books.
func (p *Pipeline) Snapshot() *metrics.Snapshot {
	p.Tick()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.store.Snapshot(p.sessions, p.clock.behind())
}

// portion is how many sessions end before the lock is released for datagram readers.
const portion = 256

// Tick ends the sessions that are due, in portions. Call it about once a second.
func (p *Pipeline) Tick() {
	for now := p.clock.now(); p.tick(now); {
		runtime.Gosched()
	}
}

// tick ends a portion of the sessions that are due and says whether there are more.
func (p *Pipeline) tick(now int64) (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changes, more := p.sessions.Tick(now, portion)
	at := p.clock.now()
	p.apply(changes, at, at+int64(p.clock.behind()))
	return more
}

// handle counts a slab. The caller holds the lock.
func (p *Pipeline) handle(src *receiver.Source, slab *receiver.Slab) {
	now, wall, behind := p.clock.received(slab.At)
	in, tally := p.store.Input(src.Input), p.tallies.of(src)
	received := uint64(len(slab.Messages))
	for reason, n := range slab.Discarded {
		in.Discarded[reason] += uint64(n)
		tally.Troubles[reason] += uint64(n)
		received += uint64(n)
	}
	in.Received += received
	tally.Received += received
	if len(slab.Messages) > 0 {
		in.LastMessage = wall
	} else if slab.CaughtUp() {
		p.caughtUp(src)
	}
	if slab.Position != nil && p.delivered != nil {
		p.delivers(slab.Position)
	}
	r := record{
		when: rsynclog.When{Arrived: now, Backlog: slab.Backlog}, wall: wall, behind: behind,
		live: src.Live || src.Joins && !slab.Backlog, // what it joins has no stamps to compare with
		from: receiver.Sender{Addr: slab.Peer, Scope: src.Scope},
	}
	for i, raw := range slab.Messages {
		if len(slab.Senders) > 0 {
			r.from = slab.Senders[i]
		}
		if h := p.headers.find(src, &r.from, raw, &p.message); h != nil {
			r.relay = false
			p.repeated(h, &r, tally)
			continue
		}
		v := p.reader.read(src, raw, &p.message, &p.event)
		r.relay = v.relay
		if v.unwrapped {
			r.from.Started = 0 // of the process that has passed the line on
		}
		switch {
		case v.discard != receiver.Kept:
			in.Discarded[v.discard]++
			tally.note(Trouble(v.discard), raw)
		case !v.ours:
			in.Ignored++
			p.ignored(tally, raw)
		default:
			p.first(src, raw, &r, tally)
		}
	}
	p.flush()
	p.copyPaths()
}

// first counts a message whose header had to be read.
func (p *Pipeline) first(src *receiver.Source, raw []byte, r *record, t *tally) {
	m := &p.message
	origin := p.sessions.Origin(rsynclog.Where{
		Scope: r.from.Scope, Host: m.Host, Container: m.Container, Addr: r.from.Addr,
	}, r.when.Arrived)
	r.named = len(m.Host) > 0
	if !r.relay {
		p.headers.learn(src, &r.from, raw, m, origin)
	}
	p.stamp(r)
	p.count(origin, r, t)
}

// repeated counts a message whose header is known.
func (p *Pipeline) repeated(h *header, r *record, t *tally) {
	h.origin.Heard(r.when.Arrived)
	r.named = h.host
	p.stamp(r)
	if !p.again(h.origin, r, t) {
		p.count(h.origin, r, t)
	}
}

// stamp reads the time stamp in p.message. A live input's is ignored unless it names its zone.
func (p *Pipeline) stamp(r *record) {
	r.when.Stamp, r.when.Zoned = 0, false
	if r.live && len(p.message.Stamp) == len("Nov 23 18:40:52") {
		return // it has no zone
	}
	if stamp, zoned, ok := p.stamps.Time(p.message.Stamp, r.wall); ok && (zoned || !r.live) {
		r.when.Stamp, r.when.Zoned = stamp-r.behind, zoned
	}
}

// caughtUp notes that a source has no backlog left.
func (p *Pipeline) caughtUp(src *receiver.Source) {
	if src.Joins {
		p.sessions.HostCaughtUp(src.Scope, src.Host)
		return
	}
	p.sessions.CaughtUp(src.Scope)
}

// A record is what is known about p.message besides its header and its text.
type record struct {
	from   receiver.Sender
	when   rsynclog.When
	wall   int64 // when it arrived, by the wall clock
	behind int64 // wall clock minus the sessions' clock
	live   bool  // it was written when it arrived
	relay  bool  // it is a syslog daemon's loss report
	named  bool  // its origin has a host name
}

// count parses the text of p.message and applies the event to the sessions and the books. A message
// that isn't believed is only counted as such.
func (p *Pipeline) count(origin *rsynclog.Origin, r *record, t *tally) {
	p.flush()
	m, ev := &p.message, &p.event
	if r.from.Addr.IsValid() && r.named {
		p.store.HostAddress(origin, r.from.Addr, r.wall)
	}
	parser := p.reader.parser
	if len(p.parsers) > 0 {
		if own := p.parsers[p.sessions.Module(origin, m.PID)]; own != nil {
			parser = own
		}
	}
	parser.Parse(m.Text, ev)
	believed := !r.from.Forged && (ev.Kind != rsynclog.LostUpstream || r.relay)
	var changes []rsynclog.Change
	if believed {
		ev.Severity = m.Severity
		changes, believed = p.sessions.Apply(origin, r.process(m), r.when, ev)
		p.apply(changes, r.when.Arrived, r.wall)
	}
	p.store.Message(origin, ev.Kind, believed, r.wall)
	p.counted(t, ev.Kind, believed)
	if n := len(changes); n > 0 && changes[n-1].Kind == rsynclog.FileMoved && changes[n-1].Session != nil {
		s := changes[n-1].Session
		if path := ev.File(s.Module); len(path) > 0 {
			s.Saw(path)
		}
		if !p.headers.off && parser.Fronts() && p.store.Settled(s) {
			p.sessions.Learn(s, m.PID, m.Text, ev)
		}
	}
}

func (r *record) process(m *receiver.Message) rsynclog.Process {
	return rsynclog.Process{PID: m.PID, Started: r.from.Started}
}

// A clock gives the time of the sessions: the wall clock's at the start, and from there on the
// monotonic clock's, so that it doesn't jump when the machine's time is set.
type clock struct{ start time.Time }

func (c clock) now() int64  { return c.start.UnixNano() + int64(time.Since(c.start)) }
func (c clock) wall() int64 { return time.Now().UnixNano() }

// both returns now and wall of one moment.
func (c clock) both() (now, wall int64) {
	t := time.Now()
	return c.start.UnixNano() + int64(t.Sub(c.start)), t.UnixNano()
}

// received returns both times of a slab that arrived at a wall clock time, and behind. It may have
// waited since then in a reader's pending ring. 0 means now.
func (c clock) received(at int64) (now, wall, behind int64) {
	now, wall = c.both()
	behind = between(now, wall)
	const longest = int64(time.Minute) // a ring never holds a slab so long: the clock was set
	if waited := wall - at; at != 0 && waited > 0 && waited < longest {
		return now - waited, at, behind
	}
	return now, wall, behind
}

// behind returns the wall clock minus this clock.
func (c clock) behind() time.Duration { return time.Duration(between(c.both())) }

// between is behind for two times of one moment. It is rounded so that equal times stay equal.
func between(now, wall int64) int64 { return int64(time.Duration(wall - now).Round(time.Millisecond)) }
