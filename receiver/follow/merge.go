package follow

import (
	"bytes"
	"math"
	"slices"
	"sync"
	"time"

	"rsyncd_exporter/receiver/syslog"
)

// mergePatience is how long the files of a daemon wait for one whose reader doesn't answer, because
// its disk hangs, say. After that they go on without it until it answers.
const mergePatience = 5 * time.Second

// A merge puts the lines of all files of one daemon into the order in which they were written: a
// session begins in one file and goes on in another. Each file keeps its own readers. Before a
// reader hands lines over, it waits here until no older line can come from elsewhere:
//
//   - What the files hold already is ordered by stamp: the reader whose next line is the oldest
//     goes first.
//   - A reader that has reached the end of its file holds nobody up if it got there after the
//     waiting line was read: what it may find later was written later. If it got there before, it
//     is asked to look again. So live lines wait for one more read of the other files.
//   - A file that can't be read, is gone, or doesn't answer for mergePatience isn't waited for.
//
// Nothing is copied or split: a reader takes no more lines out of what it has read than may go now,
// so that positions stay exact.
type merge struct {
	began time.Time
	// delay is how long lines wait, from when they were first seen, for what their daemon sends as
	// syslog; 0 if it sends none.
	delay    time.Duration
	patience time.Duration // mergePatience, but for tests

	check chan struct{} // capacity 1: a looker is asked whether paths lead to other files by now

	mu    sync.Mutex // guards what follows, and all streams and mergeFiles
	files []*mergeFile
	owed  int // backlogs of whose end the Sink has yet to be told
}

func newMerge(delay time.Duration) *merge {
	return &merge{
		began: time.Now(), delay: delay, patience: mergePatience, check: make(chan struct{}, 1),
	}
}

// now is monotonic.
func (m *merge) now() int64 { return int64(time.Since(m.began)) }

// A mergeFile is one target of a merge. A nil one belongs to a target that is in none.
type mergeFile struct {
	merge *merge
	rank  int // in the same second, lines of the file with the least rank come first

	looked  int64 // when the last look began that found no file but those of streams
	asked   int64 // since when a look is waited for; 0 if none is
	late    bool  // it hasn't answered in time, or has ended
	zone    lineZone
	streams []*stream // of the generations that may still be read, oldest first
}

// A streamState is what the other readers have to know of a stream.
type streamState uint8

const (
	streamReading streamState = iota // it reads, or hands lines over: nobody knows what comes next
	streamWaiting                    // it has lines, and waits for its turn
	streamEnded                      // it has reached the end of its file, at the time in read
	streamFailed                     // its file can't be read
)

// A stream is one generation in a merge. A nil one belongs to a generation that is in none.
type stream struct {
	file  *mergeFile
	after *stream       // the generation that is read to its end first; nil once this one has begun
	wake  chan struct{} // the generation's, which makes it look again
	turn  chan struct{} // capacity 1: its turn may have come
	owes  bool          // it came later, and its backlog has yet to be told the end of

	state streamState
	since int64 // when the state began, or the stream was asked to look again
	asked bool
	late  bool   // it hasn't answered in time
	read  int64  // when what it holds was read, or when the read began that found the end
	data  []byte // of a waiting one: what it holds, from its next line on
	key   int64  // of a waiting one: when that line was written
	stamp []byte // of a waiting one: that line's stamp, as it stands there

	clock  lineClock // of the reader alone
	seen   int64     // so many bytes of the file were there at the time seenAt; of the reader alone
	seenAt int64
	end    int64 // where the data ended that came last
}

// join adds a target, whose first backlog is one of those owed.
func (m *merge) join(rank int) *mergeFile {
	if m == nil {
		return nil
	}
	f := &mergeFile{merge: m, rank: rank}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owed++
	m.files = append(m.files, f)
	return f
}

func (f *mergeFile) leave() {
	if f == nil {
		return
	}
	m := f.merge
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files = slices.DeleteFunc(m.files, func(other *mergeFile) bool { return other == f })
	m.changed()
}

func (f *mergeFile) now() int64 {
	if f == nil {
		return 0
	}
	return f.merge.now()
}

func (m *merge) checks() <-chan struct{} {
	if m == nil {
		return nil
	}
	return m.check
}

// noteLook says that a look begun then has found no file but those of streams.
func (f *mergeFile) noteLook(began int64) {
	if f == nil {
		return
	}
	f.merge.mu.Lock()
	defer f.merge.mu.Unlock()
	f.looked, f.asked = max(f.looked, began), 0
	f.late = f.looked == math.MaxInt64
	f.merge.changed()
}

// settled ends a target's backlog, and reports whether it was the last one of all.
func (f *mergeFile) settled() bool {
	if f == nil {
		return true
	}
	f.merge.mu.Lock()
	defer f.merge.mu.Unlock()
	f.merge.owed--
	return f.merge.owed == 0
}

// add adds a generation, which is read after the one before it. late says that it owes a backlog.
func (f *mergeFile) add(g *generation, late bool) *stream {
	if f == nil {
		return nil
	}
	s := &stream{
		file: f, wake: g.wake, turn: make(chan struct{}, 1), owes: late, since: f.merge.now(),
		clock: lineClock{dialect: g.target.src.Dialect},
	}
	f.merge.mu.Lock()
	defer f.merge.mu.Unlock()
	if n := len(f.streams); n > 0 {
		s.after = f.streams[n-1]
	}
	if late {
		f.merge.owed++
	}
	f.streams = append(f.streams, s)
	return s
}

// leave takes a generation out. It reports whether the Sink is to be told the end of a backlog.
func (s *stream) leave() (tell bool) {
	if s == nil {
		return false
	}
	m := s.file.merge
	m.mu.Lock()
	defer m.mu.Unlock()
	s.file.streams = slices.DeleteFunc(s.file.streams, func(other *stream) bool { return other == s })
	s.state, s.data, s.after = streamFailed, nil, nil // for one that comes after it
	tell = s.settle()
	m.changed()
	return tell
}

// waive ends a generation's own backlog, and reports whether it was the last one of all.
func (s *stream) waive() (last bool) {
	if s == nil {
		return true
	}
	s.file.merge.mu.Lock()
	defer s.file.merge.mu.Unlock()
	return s.settle()
}

// settle is waive for a caller that holds the lock.
func (s *stream) settle() (last bool) {
	if !s.owes {
		return false
	}
	s.owes = false
	s.file.merge.owed--
	return s.file.merge.owed == 0
}

// set sets the state. read is when the read began that has found the end of the file, if one has.
func (s *stream) set(state streamState, read int64) {
	if s == nil {
		return
	}
	m := s.file.merge
	m.mu.Lock()
	defer m.mu.Unlock()
	s.become(state, read)
	m.changed()
}

// become is set for a caller that holds the lock.
func (s *stream) become(state streamState, read int64) {
	s.state, s.read, s.since = state, read, s.file.merge.now()
	s.after, s.asked, s.late, s.data, s.stamp = nil, false, false, nil, nil
}

// A share says which lines a stream may hand over besides its next one: those older than before,
// and if equal is set, those as old as it that follow directly, up to a connect.
type share struct {
	before int64
	equal  bool
}

// await waits until the stream may hand over its next line, the first of data, written at key and
// read at read. It returns false if over is closed first.
func (s *stream) await(data, stamp []byte, key, read, notBefore int64, over <-chan struct{}) (share, bool) {
	m := s.file.merge
	m.mu.Lock()
	s.become(streamWaiting, read)
	s.data, s.key, s.stamp = data, key, stamp
	m.changed()
	for {
		again := int64(math.MaxInt64)
		if m.first() == s {
			var mine share
			if again = m.permits(s, notBefore); again == 0 {
				mine = m.share(s)
				s.become(streamReading, 0)
				m.mu.Unlock()
				return mine, true
			}
		}
		m.mu.Unlock()
		if !s.wait(again, over) {
			s.set(streamReading, 0)
			return share{}, false
		}
		m.mu.Lock()
	}
}

// wait waits for a change, or for the time given. It returns false if over is closed first.
func (s *stream) wait(until int64, over <-chan struct{}) bool {
	var timer <-chan time.Time
	if until != math.MaxInt64 {
		timer = time.After(time.Duration(until - s.file.merge.now()))
	}
	select {
	case <-s.turn:
	case <-timer:
	case <-over:
		return false
	}
	return true
}

// changed wakes the stream up whose turn may have come.
func (m *merge) changed() {
	if s := m.first(); s != nil {
		poke(s.turn)
	}
}

func (m *merge) waiting(yield func(*stream) bool) {
	for _, f := range m.files {
		for _, s := range f.streams {
			if s.state == streamWaiting && !yield(s) {
				return
			}
		}
	}
}

// first returns the waiting stream that is next, or nil: the one with the oldest line, and of
// several that of the least rank. But a session that ends comes before the connect of another
// process with its pid, though that is logged elsewhere.
func (m *merge) first() (next *stream) {
	for s := range m.waiting {
		if next == nil || s.key < next.key || s.key == next.key && s.file.rank < next.file.rank {
			next = s
		}
	}
	if next == nil {
		return nil
	}
	if pid := next.clock.connects(next.data); pid != 0 {
		for s := range m.waiting {
			if s.key == next.key && s.file != next.file && s.clock.ends(s.data, s.stamp, pid) {
				return s
			}
		}
	}
	return next
}

// permits returns 0 if s may hand over its next line, or until when to wait for others.
func (m *merge) permits(s *stream, notBefore int64) (again int64) {
	now := m.now()
	wait := func(until int64) { // the earliest
		if again == 0 || until < again {
			again = until
		}
	}
	if now < notBefore {
		wait(notBefore)
	}
	for _, f := range m.files {
		if f != s.file && !f.late && f.looked < s.read {
			if f.asked == 0 {
				f.asked = now
				poke(m.check)
			}
			if until := max(f.asked, s.since) + int64(m.patience); now < until {
				wait(until)
			} else {
				f.late = true
			}
		}
		for _, o := range f.streams {
			if until, waits := o.holdsUp(s, now); waits {
				wait(until)
			}
		}
	}
	return again
}

// holdsUp says whether something older than s's next line may come from o, and until when to wait.
func (o *stream) holdsUp(s *stream, now int64) (until int64, waits bool) {
	switch {
	case o == s || o.late || o.state == streamFailed || o.state == streamWaiting:
		return 0, false
	case o.after != nil && o.after.state != streamEnded && o.after.state != streamFailed:
		return 0, false // it comes after another one, which is waited for
	case o.state == streamEnded && o.read >= s.read:
		return 0, false
	case o.state == streamEnded && !o.asked:
		o.asked, o.since = true, now
		poke(o.wake)
	}
	until = max(o.since, s.since) + int64(o.file.merge.patience)
	o.late = now >= until
	return until, !o.late
}

// share returns what s, which is first, may hand over.
func (m *merge) share(s *stream) share {
	mine := share{before: math.MaxInt64}
	for o := range m.waiting {
		switch equal := s.file.rank <= o.file.rank; {
		case o == s:
		case o.key < mine.before:
			mine = share{o.key, equal}
		case o.key == mine.before:
			mine.equal = mine.equal && equal
		}
	}
	return mine
}

// allowed returns how many bytes of data may go: whole lines, at most as many as fit into a slab.
// next is where the clock stands behind them.
func (s *stream) allowed(data []byte, mine share, first lineTime, at int64) (n int, next lineTime) {
	next = first
	for lines := 0; lines < syslog.SlabLines; lines++ {
		end := bytes.IndexByte(data[n:], '\n')
		if end < 0 {
			return n, next
		}
		line := data[n : n+end]
		if lines > 0 {
			t := s.clock.read(line, next, at)
			if t.key > mine.before || t.key == mine.before && (!mine.equal || s.clock.connects(line) != 0) {
				return n, next
			}
			next = t
		}
		n += end + 1
		if end > syslog.RsyncText { // it may be several records
			return n, next
		}
	}
	return n, next
}

// turn waits until lines of data may be handed over, and returns how many bytes of them: all,
// without a merge or a whole line. end is where data ends in the file; it was read at at by the
// wall clock, at read by the merge's. turn returns false if the Set is over first.
func (g *generation) turn(data []byte, end, at, read int64) (n int, ok bool) {
	s := g.stream
	lf := bytes.IndexByte(data, '\n')
	if s == nil || lf < 0 {
		return len(data), true
	}
	over := g.target.set.over
	if g.packed != nil {
		over = g.target.set.ending
	}
	head := s.clock.last
	if !g.pos.Skipping {
		live := g.packed == nil && g.offset.Load() >= g.goal
		s.learn(g, data[:lf], at, live)
		head = s.clock.read(data[:lf], s.clock.last, at)
	}
	mine, ok := s.await(data, s.clock.stamp(data[:lf]), head.key, read, s.notBefore(g, end), over)
	if !ok {
		return 0, false
	}
	n, s.clock.last = s.allowed(data, mine, head, at)
	return n, true
}

// notBefore returns when what the daemon sent as syslog before data, which ends at end, has come.
func (s *stream) notBefore(g *generation, end int64) int64 {
	delay := int64(s.file.merge.delay)
	if delay == 0 {
		return 0
	}
	cut := end < s.end // the file holds other lines now
	if s.end = end; cut || end > s.seen || s.seenAt == 0 {
		s.seenAt, s.seen = s.file.merge.now(), end
		if g.packed != nil {
			s.seen = math.MaxInt64
		} else if info, err := statFD(g.fd); err == nil {
			s.seen = max(end, info.size)
		}
	}
	return s.seenAt + delay
}
