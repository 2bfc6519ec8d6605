// Package pipeline is where everything meets: a slab of raw messages goes in, their headers are
// read, their texts become events, events move sessions, and changes are counted in the books. It
// takes one lock once per slab. Under the lock nothing waits, logs or does I/O, so a datagram
// reader that finds it held loses a moment at most.
package pipeline

import (
	"bytes"
	"hash/maphash"
	"path"
	"runtime"
	"strings"
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
	ModuleFormats map[string]string // those of modules that have another one, by the module's name
	Tags          []string          // globs (path.Match) of the syslog tags that are rsyncd's
	Modules       []string          // configured modules
	Hosts         []string          // configured hosts, named as in the syslog header
	MaxSeries     int
	Limits        rsynclog.Limits
	Checkpoint    *Checkpoint // to go on from, whose memory New takes over; nil: from zero
	Resumable     bool        // note how far files are counted, for Save
	InFull        bool        // read each message in full, though it is like one before; for comparison
}

// A Pipeline holds the parser, the sessions and the books. It is safe for concurrent use and
// implements receiver.Sink and receiver.TrySink.
type Pipeline struct {
	mu       lock
	parser   *rsynclog.Parser
	parsers  map[string]*rsynclog.Parser // by module; those of modules with the log format of parser are left out
	sessions *rsynclog.Sessions
	store    *metrics.Store
	tags     tagFilter
	tallies  tallies
	clock    clock
	stamps   syslog.Stamps
	headers  headers
	streak   streak
	message  receiver.Message // scratch
	host     []byte           // scratch: Source.Host
	event    rsynclog.Event   // scratch

	delivered map[receiver.FileID]*delivery // how far files are counted; nil unless Config.Resumable
	turn      uint64                        // slabs with a position so far
	saved     uint64                        // how many these were at the last Save

	bulk   sync.Mutex  // Deliver's turn: at most one of those who can wait competes with the datagram readers
	missed atomic.Bool // a datagram reader found mu held and has not been served since
}

// New returns a pipeline at zero, or at Config.Checkpoint. The error is about a log format, or
// wraps ErrCheckpoint if the Checkpoint can't be restored.
func New(c Config) (*Pipeline, error) {
	parser, err := rsynclog.NewParser(c.LogFormat)
	if err != nil {
		return nil, err
	}
	parsers := map[string]*rsynclog.Parser{}
	for module, format := range c.ModuleFormats {
		if format == c.LogFormat {
			continue
		}
		if parsers[rsynclog.Label([]byte(module))], err = rsynclog.NewParser(format); err != nil {
			return nil, err
		}
	}
	clock := newClock()
	p := &Pipeline{
		parser:  parser,
		parsers: parsers,
		tags:    tagFilter{globs: c.Tags, seen: map[string]answer{}},
		tallies: newTallies(),
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
	return p, nil
}

// AddLocalHost adds the series of inputs without a host name.
func (p *Pipeline) AddLocalHost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.store.AddLocalHost()
}

// MixedHosts returns at most n names of hosts whose messages lately came from several addresses. It
// returns each host once.
func (p *Pipeline) MixedHosts(n int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.store.MixedHosts(n)
}

// Input makes the series of one kind of input exist from the start.
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

// Deliver implements receiver.Sink. It gives way twice. First to goroutines that wait for a
// processor, such as a datagram reader whose read has ended: a backlog never waits, so the
// scheduler would interrupt it after 10 ms only. Then to a datagram reader that has lately found
// the lock held.
func (p *Pipeline) Deliver(src *receiver.Source, slab *receiver.Slab) {
	runtime.Gosched()
	p.bulk.Lock()
	defer p.bulk.Unlock()
	const patience = 5 * time.Millisecond // a reader with something pending tries again sooner
	for end := time.Now().Add(patience); p.missed.Load() && time.Now().Before(end); {
		time.Sleep(100 * time.Microsecond)
	}
	p.missed.Store(false) // one that has not come back has ended
	p.mu.Lock()
	p.handle(src, slab)
	p.mu.Unlock()
}

// Snapshot ends the sessions whose time has come and copies the books.
func (p *Pipeline) Snapshot() *metrics.Snapshot {
	p.Tick()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.store.Snapshot(p.sessions, p.clock.behind())
}

// portion is how many sessions end before the lock is released, so that a datagram reader finds it
// free soon.
const portion = 256

// Tick ends the sessions whose time has come, in portions. Call it about once a second.
func (p *Pipeline) Tick() {
	for now := p.clock.now(); p.tick(now); {
		runtime.Gosched()
	}
}

// tick ends a portion of the sessions whose time has come and says whether there are more.
func (p *Pipeline) tick(now int64) (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changes, more := p.sessions.Tick(now, portion)
	at := p.clock.now()
	p.store.Apply(changes, at, at+int64(p.clock.behind()))
	return more
}

// handle runs a slab to completion. The caller holds the lock.
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
		r.relay = false
		if h := p.headers.find(src, &r.from, raw, &p.message); h != nil {
			p.repeated(h, &r, tally)
			continue
		}
		d, ours := p.read(src, raw, &r)
		switch {
		case d != receiver.Kept:
			in.Discarded[d]++
			tally.note(Trouble(d), raw)
		case !ours:
			in.Ignored++
			p.ignored(tally, raw)
		default:
			p.first(src, raw, &r, tally)
		}
	}
	p.flush()
	p.tallies.look(tally)
}

// read reads a message's header into p.message, and says why it is thrown away, or whether it is
// rsyncd's, or a report of a loss.
func (p *Pipeline) read(src *receiver.Source, raw []byte, r *record) (d receiver.Discard, ours bool) {
	m := &p.message
	if d = src.Dialect.Scan(raw, m); d != receiver.Kept {
		return d, false
	}
	if !p.isRsyncd(src) {
		r.relay = p.isLossReport()
		if !r.relay {
			return receiver.Kept, false
		}
	}
	if src.Wrapped && !r.relay && m.Tag != nil {
		if !syslog.Unwrap(m) {
			return receiver.NoHeader, false
		}
		r.from.Started = 0 // of the process that has passed the line on
	}
	if src.Host != "" {
		p.host = append(p.host[:0], src.Host...)
		m.Host = p.host
	}
	return receiver.Kept, true
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

// repeated counts a message that has the header of one before.
func (p *Pipeline) repeated(h *header, r *record, t *tally) {
	h.origin.Heard(r.when.Arrived)
	r.named = h.host
	p.stamp(r)
	if !p.again(h.origin, r, t) {
		p.count(h.origin, r, t)
	}
}

// stamp reads the time stamp in p.message. A live input's tells nothing unless it names its zone.
func (p *Pipeline) stamp(r *record) {
	r.when.Stamp, r.when.Zoned = 0, false
	if r.live && len(p.message.Stamp) == len("Nov 23 18:40:52") {
		return // no zone fits in
	}
	if stamp, zoned, ok := p.stamps.Time(p.message.Stamp, r.wall); ok && (zoned || !r.live) {
		r.when.Stamp, r.when.Zoned = stamp-r.behind, zoned
	}
}

// caughtUp lets the sessions of a source go by the clock again.
func (p *Pipeline) caughtUp(src *receiver.Source) {
	if src.Joins {
		p.sessions.HostCaughtUp(src.Scope, src.Host)
		return
	}
	p.sessions.CaughtUp(src.Scope)
}

// A record is what is known of p.message besides its header and its text.
type record struct {
	from   receiver.Sender
	when   rsynclog.When
	wall   int64 // when it arrived, by the wall clock
	behind int64 // what the sessions' clock lacks to that
	live   bool  // it was written when it arrived
	relay  bool  // it is a syslog daemon's own
	named  bool  // its origin has a host name
}

// ownTag is our own log's, which rsyncd* would match.
const ownTag = "rsyncd_exporter"

// isRsyncd says whether the message in p.message is rsyncd's. A line of rsync's own log file has no
// tag and is; syslog without a program name isn't.
func (p *Pipeline) isRsyncd(src *receiver.Source) bool {
	switch string(p.message.Tag) {
	case "":
		return p.message.Tag == nil && src.IsFile()
	case ownTag:
		return false
	}
	return p.tags.match(p.message.Tag)
}

// parserFor returns the parser for the message in p.message: that of its session's module.
func (p *Pipeline) parserFor(origin *rsynclog.Origin) *rsynclog.Parser {
	if len(p.parsers) > 0 {
		if parser := p.parsers[p.sessions.Module(origin, p.message.PID)]; parser != nil {
			return parser
		}
	}
	return p.parser
}

// isLossReport says whether p.message is a syslog daemon's own report that it dropped or folded
// messages. Under rsyncd's tag such a line is a client's text.
func (p *Pipeline) isLossReport() bool {
	m := &p.message
	switch string(m.Tag) {
	case "rsyslogd", "systemd-journald", "syslog-ng":
	case "last":
		// BSD's and Solaris' syslogd write "last message repeated N times" without a tag. The first
		// word takes its place.
		if m.PID != 0 || !bytes.HasPrefix(m.Text, []byte("message repeated ")) {
			return false
		}
	default:
		return false
	}
	p.parser.Parse(m.Text, &p.event)
	return p.event.Kind == rsynclog.LostUpstream
}

// count reads the text of p.message and adds what it says to sessions and books. What can't be is
// only counted.
func (p *Pipeline) count(origin *rsynclog.Origin, r *record, t *tally) {
	p.flush()
	m, ev := &p.message, &p.event
	if r.from.Addr.IsValid() && r.named {
		p.store.HostAddress(origin, r.from.Addr, r.wall)
	}
	parser := p.parserFor(origin)
	parser.Parse(m.Text, ev)
	believed := !r.from.Forged && (ev.Kind != rsynclog.LostUpstream || r.relay)
	var changes []rsynclog.Change
	if believed {
		ev.Severity = m.Severity
		changes, believed = p.sessions.Apply(origin, r.process(m), r.when, ev)
		p.store.Apply(changes, r.when.Arrived, r.wall)
	}
	p.store.Message(origin, ev.Kind, believed, r.wall)
	p.counted(t, ev.Kind, believed)
	if n := len(changes); n > 0 && changes[n-1].Kind == rsynclog.FileMoved && !p.headers.off && parser.Fronts() {
		if s := changes[n-1].Session; s != nil && p.store.Settled(s) {
			p.sessions.Learn(s, m.PID, m.Text, ev)
		}
	}
}

func (r *record) process(m *receiver.Message) rsynclog.Process {
	return rsynclog.Process{PID: m.PID, Started: r.from.Started}
}

// A tagFilter tells rsyncd's messages from other programs'. It remembers its answers: a glob costs
// more than a map.
type tagFilter struct {
	globs []string
	seen  map[string]answer
	last  answer // to the message before
}

// An answer says whether a tag is rsyncd's.
type answer struct {
	tag string
	is  bool
}

// Bounds of the answers remembered; senders choose tags.
const (
	maxTags   = 1024
	maxTagLen = 80 // bytes
)

func (f *tagFilter) match(tag []byte) bool {
	if len(tag) > 0 && f.last.tag == string(tag) {
		return f.last.is
	}
	if a, seen := f.seen[string(tag)]; seen {
		f.last = a
		return a.is
	}
	ok := false
	for _, g := range f.globs {
		// path.Match's * stops at a slash, which tags may hold (rsync/daemon).
		if m, err := path.Match(slashless(g), slashless(string(tag))); err == nil && m {
			ok = true
			break
		}
	}
	if len(f.seen) < maxTags && len(tag) <= maxTagLen {
		a := answer{string(tag), ok}
		f.seen[a.tag] = a
	}
	return ok
}

func slashless(s string) string { return strings.ReplaceAll(s, "/", "\x00") }

// A clock gives the time of the sessions: nanoseconds since the epoch when it was made, then by the
// monotonic clock, so that it doesn't jump when the machine's time is set.
type clock struct{ start time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() int64  { return c.start.UnixNano() + int64(time.Since(c.start)) }
func (c clock) wall() int64 { return time.Now().UnixNano() }

// both returns now and wall, of one look at the clock.
func (c clock) both() (now, wall int64) {
	t := time.Now()
	return c.start.UnixNano() + int64(t.Sub(c.start)), t.UnixNano()
}

// received returns both times of something that arrived at a wall clock time a moment ago, and
// behind; at 0 is now. A slab that waited in a reader's pending ring isn't younger for that.
func (c clock) received(at int64) (now, wall, behind int64) {
	now, wall = c.both()
	behind = between(now, wall)
	const longest = int64(time.Minute) // no ring holds a slab for so long: the clock was set meanwhile
	if waited := wall - at; at != 0 && waited > 0 && waited < longest {
		return now - waited, at, behind
	}
	return now, wall, behind
}

// behind returns what must be added to a time of this clock to have the wall clock's.
func (c clock) behind() time.Duration { return time.Duration(between(c.both())) }

// between is behind of two times of one moment. Their last digits must not show in times that stay
// the same.
func between(now, wall int64) int64 { return int64(time.Duration(wall - now).Round(time.Millisecond)) }
