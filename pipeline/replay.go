package pipeline

import (
	"bytes"
	"maps"
	"runtime"
	"time"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// A Replay counts old logs, whose stamps say when a line was written. It gives what a Pipeline
// gives for the same files as a backlog, line by line and without books of its own: Readers read
// lines, at the same time if there are several, and Count counts them one by one, in the order of
// the log. Not safe for concurrent use.
type Replay struct {
	// Together says that silent hosts' sessions end by the time of the other lines of their log, as
	// they did when it was written, and not only at their host's next line.
	Together bool

	config   Config
	zone     *time.Location
	parser   *rsynclog.Parser
	parsers  map[string]*rsynclog.Parser // by module; only of modules with another log format
	fronts   bool                        // most transfer lines need no parser; see rsynclog.Front
	sessions *rsynclog.Sessions
	own      *rsynclog.Origin // of lines that name no host
	now      int64            // when everything arrives, nanoseconds of the Unix epoch
	latest   int64            // time of a line
	passed   int64            // latest when sessions of silent hosts were last looked for
	heard    map[*rsynclog.Origin]heard
}

// heard is an origin's last line: its time, and Replay.latest then. They differ where clocks do.
type heard struct{ own, latest int64 }

// NewReplay returns a replay at zero. Of the Config it uses formats, tags, names and limits. Stamps
// without a time zone are of the given one; nil is this machine's. now is the present: no line is
// believed to be later. The error is about a log format.
func NewReplay(c Config, zone *time.Location, now time.Time) (*Replay, error) {
	rd, parsers, err := newReader(c)
	if err != nil {
		return nil, err
	}
	return &Replay{
		config: c, zone: zone, now: now.UnixNano(),
		parser: rd.parser, parsers: parsers, fronts: !c.InFull && rd.parser.Fronts(),
		sessions: rsynclog.NewSessions(c.Limits, c.Modules, c.Hosts), heard: map[*rsynclog.Origin]heard{},
	}, nil
}

// A Line is one line of an old log, and what counting it came to. Its slices are views into Raw or
// into memory of the Line, valid as long as these are.
type Line struct {
	// Raw is the line without its LF. Whoever cuts the log into lines sets it.
	Raw []byte

	// Read sets these. Of a line that is discarded or not ours only Discard and, where that is
	// Kept, Message are set.
	Discard receiver.Discard
	Ours    bool // it is rsyncd's, or a loss report
	Message receiver.Message
	// Event is what the text says. Without Config.InFull most transfers have, once they are counted,
	// no more of it than Kind, Op, Length, Repeat and Path.
	Event rsynclog.Event
	relay bool
	later bool  // Count reads the text
	stamp int64 // what Message.Stamp says; 0: nothing
	zoned bool

	// Count sets these for lines that are ours.
	Origin   *rsynclog.Origin
	Session  *rsynclog.Session // the latest of the line's pid, which may have ended; nil: none
	Believed bool              // false: a client has written it, and only the line itself counts
	// At is when the line was written, in nanoseconds of the Unix epoch, corrected for jumps of the
	// daemon's clock. A line without a stamp has the time of the one before it; 0: nothing tells.
	At int64
	// Again says that the line adds a file to its session, and nothing else about the session has
	// changed since its line before.
	Again bool
	// Changes are what it counts as. They are valid until the next call of the Replay.
	Changes []rsynclog.Change
}

// A LineReader reads lines, one at a time.
type LineReader struct {
	reader reader
	stamps syslog.Stamps
	fronts bool

	// Of the last line of rsync's own log that Read has read; nil: there was none.
	source *receiver.Source
	minute [ownMinute]byte
	at     int64 // when that minute began
}

// ownMinute is how much of a line of rsync's own log most lines share with the one before.
const ownMinute = len("2026/11/23 18:40:")

// Reader returns a reader for one goroutine.
func (r *Replay) Reader() *LineReader {
	rd, _, _ := newReader(r.config) // NewReplay has seen that it is right
	return &LineReader{reader: rd, stamps: syslog.Stamps{Local: r.zone}, fronts: r.fronts}
}

// Read reads the header and the text of Line.Raw. written is about when the line was written, in
// nanoseconds of the Unix epoch: a stamp without a year is of the year that is closest to it.
func (lr *LineReader) Read(src *receiver.Source, written int64, l *Line) {
	m := &l.Message
	v := lr.reader.read(src, l.Raw, m, &l.Event)
	l.Discard, l.Ours, l.relay, l.later = v.discard, v.ours, v.relay, false
	l.Origin, l.Session, l.Believed, l.Again, l.At, l.Changes = nil, nil, false, false, 0, nil
	if !v.ours {
		return
	}
	var ok bool
	if l.stamp, l.zoned, ok = lr.stamps.Time(m.Stamp, written); !ok {
		l.stamp, l.zoned = 0, false
	}
	if lr.fronts && ok {
		lr.learn(src, l)
	}
	if l.later = lr.fronts && looksLikeTransfer(m.Text); !l.later {
		lr.reader.parser.Parse(m.Text, &l.Event)
	}
	l.Event.Severity = m.Severity
}

// learn remembers the header of a line of rsync's own log.
func (lr *LineReader) learn(src *receiver.Source, l *Line) {
	m := &l.Message
	if _, ok := src.Dialect.(syslog.Lines); !ok || src.Wrapped || m.Tag != nil || m.Host != nil || m.Container != nil {
		return // anything may decide how a line is read
	}
	own := len(m.Stamp) == ownMinute+2 && m.Stamp[4] == '/' && &m.Stamp[0] == &l.Raw[0]
	if !own || m.Stamp[0] != '2' || m.Stamp[ownMinute] > '5' { // as for Stamps, no zone has changed within a minute
		return
	}
	second := int64(m.Stamp[ownMinute]-'0')*10 + int64(m.Stamp[ownMinute+1]-'0')
	lr.source, lr.at = src, l.stamp-second*int64(time.Second)
	copy(lr.minute[:], m.Stamp)
}

// A Brief is a line of rsync's own log file that looks like a transfer in the default log format. It
// is what is left of a Line for Count, and much smaller: lines are handed from one processor to
// another.
type Brief struct {
	stamp int64
	pid   int32
	text  uint8 // where the text begins in the line; 0: there is no line
}

// IsSet says whether there is a line.
func (b *Brief) IsSet() bool { return b.text != 0 }

// Brief returns the Brief of a line that needs no Read: it is one of rsync's own log, of the same
// minute as the last one that was read.
func (lr *LineReader) Brief(src *receiver.Source, raw []byte) (b Brief) {
	const pid = ownMinute + len("52 [")
	if len(raw) <= pid || len(raw) > receiver.MaxMessage || string(raw[:ownMinute]) != string(lr.minute[:]) ||
		src != lr.source {
		return b
	}
	tens, ones := raw[ownMinute]-'0', raw[ownMinute+1]-'0'
	if tens > 5 || ones > 9 || raw[pid-2] != ' ' || raw[pid-1] != '[' || raw[len(raw)-1] < ' ' {
		return b
	}
	n, end := pidAt(raw, pid)
	if n == 0 || !bytes.HasPrefix(raw[end:], []byte("] ")) || !looksLikeTransfer(raw[end+2:]) {
		return b
	}
	second := int64(tens)*10 + int64(ones)
	return Brief{stamp: lr.at + second*int64(time.Second), pid: n, text: uint8(end + 2)}
}

// CountBrief is Count for the Brief of a line with these bytes. l is set as Read would have set it,
// but for the header's Stamp. It must be of no other use than for CountBrief.
func (r *Replay) CountBrief(src *receiver.Source, b *Brief, raw []byte, l *Line) {
	l.Raw, l.Ours, l.later = raw, true, true
	l.Message.Text, l.Message.PID, l.Message.Facility, l.Message.Severity = raw[b.text:], b.pid, -1, -1
	l.Event.Severity, l.stamp = -1, b.stamp
	r.Count(src, l)
}

// looksLikeTransfer says whether a text begins as a transfer line of the default log format does.
func looksLikeTransfer(text []byte) bool {
	const op = len("send ")
	if len(text) < op {
		return false
	}
	switch string(text[:op]) {
	case "send ", "recv ", "del. ":
		return true
	}
	return false
}

// Count applies a line that has been read to its session. It does nothing for lines that are not
// ours. The sessions that a line ends before its own turn are in its Changes, too.
func (r *Replay) Count(src *receiver.Source, l *Line) {
	if !l.Ours {
		return
	}
	m, ev := &l.Message, &l.Event
	l.Origin = r.originOf(src, m)
	w := rsynclog.When{Arrived: r.now, Stamp: l.stamp, Zoned: l.zoned, Backlog: true}
	if l.later && r.again(l, w) {
		return
	}
	parser := r.parser
	if len(r.parsers) > 0 {
		if own := r.parsers[r.sessions.Module(l.Origin, m.PID)]; own != nil {
			parser = own
		}
	}
	if l.later || parser != r.parser {
		parser.Parse(m.Text, ev)
	}
	l.Session, l.Again = nil, false
	if l.Believed = ev.Kind != rsynclog.LostUpstream || l.relay; !l.Believed {
		return
	}
	l.Changes, l.Believed = r.sessions.Apply(l.Origin, rsynclog.Process{PID: m.PID}, w, ev)
	l.At = r.sessions.At()
	if l.At == r.now {
		l.At = 0
	}
	if n := len(l.Changes); n > 0 && l.Changes[n-1].Kind == rsynclog.FileMoved {
		l.Session = l.Changes[n-1].Session
		if l.Session != nil && r.fronts && parser.Fronts() {
			r.sessions.Learn(l.Session, m.PID, m.Text, ev)
		}
	}
	if l.Session == nil {
		l.Session = r.sessions.Session(l.Origin, m.PID)
	}
	if r.Together && l.At != 0 {
		r.pass(l)
	}
}

// originOf returns the origin of a line. Most lines say nothing of it, as the one before.
func (r *Replay) originOf(src *receiver.Source, m *receiver.Message) *rsynclog.Origin {
	if m.Host == nil && m.Container == nil {
		if r.own == nil || r.own.Gone() || r.own.Scope != src.Scope {
			r.own = r.sessions.Origin(rsynclog.Where{Scope: src.Scope}, r.now)
		}
		return r.own
	}
	return r.sessions.Origin(rsynclog.Where{Scope: src.Scope, Host: m.Host, Container: m.Container}, r.now)
}

// again counts a line that begins like its session's last transfer line, as most lines do. It
// returns false, and has changed nothing, for any other.
func (r *Replay) again(l *Line, w rsynclog.When) bool {
	f := r.sessions.Front(l.Origin, l.Message.PID, l.Message.Text)
	if f == nil || !r.sessions.Again(f, rsynclog.Process{PID: l.Message.PID}, w, true) {
		return false
	}
	f.Event(l.Message.Text, &l.Event)
	l.Session, l.Believed, l.Again, l.Changes = f.Session, true, true, r.sessions.Pending()
	if l.At = r.sessions.At(); l.At == r.now {
		l.At = 0
	}
	if r.Together && l.At != 0 {
		r.pass(l)
	}
	return true
}

// lateness is how late the lines of a log may come behind those of its other hosts.
const lateness = time.Minute

// pass ends the sessions of hosts that are silent. Their clocks go on from their last lines.
func (r *Replay) pass(l *Line) {
	r.latest = max(r.latest, l.At)
	r.heard[l.Origin] = heard{own: l.At, latest: r.latest}
	if r.latest-r.passed < int64(lateness) {
		return
	}
	r.passed = r.latest
	maps.DeleteFunc(r.heard, func(o *rsynclog.Origin, _ heard) bool { return o.Gone() })
	l.Changes = r.sessions.Pass(func(o *rsynclog.Origin) int64 {
		h := r.heard[o]
		return h.own + r.latest - h.latest - int64(lateness)
	}, portion)
}

// Finish says that a source has no more lines. Its sessions that have been silent for too long end,
// by the present time, and those that have logged their last line, however short ago that was: the
// lines of a log without stamps are all of the present. The changes are handed to f, which keeps
// none. Sessions that still run are left to Running.
func (r *Replay) Finish(src *receiver.Source, f func([]rsynclog.Change)) {
	r.sessions.CaughtUp(src.Scope)
	now := r.now + int64(r.config.Limits.Settle)
	for more := true; more; runtime.Gosched() {
		var changes []rsynclog.Change
		changes, more = r.sessions.Tick(now, portion)
		f(changes)
	}
}

// Running calls f for each session that was let through and has not ended.
func (r *Replay) Running(f func(*rsynclog.Session)) { r.sessions.Active(f) }
