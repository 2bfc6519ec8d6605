package follow

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// A generation is one file that has, or had, the name that is followed. Its goroutine (run) reads
// it as long as someone may still write to it, which may be long after the name is another file's.
//
// Each read begins with the anchor's bytes, so that one system call both fetches what is new and
// shows that what came before it is still the same. The file may shrink and grow again between any
// two calls; what a call returns is judged by itself.
type generation struct {
	target  *target
	fd      int
	id      receiver.FileID
	info    fileInfo              // when it was opened
	path    string                // by which it was opened
	met     uint64                // the order in which it is to be read among those of one look
	start   []byte                // how it began at the last look, while unread; of the looker
	pos     receiver.FilePosition // of the run goroutine; the Sink sees it while it handles a slab
	marks   *marks                // of the bytes before pos; of the run goroutine
	end     int64                 // where the file ended at the last read; before that, when it was opened
	goal    int64                 // lines before it are backlog: where the file ended at first; -1 if none are left
	awaited bool                  // CaughtUp waits for the goal
	late    bool                  // it doesn't, as the generation came later
	packed  *packedFile           // how to read it, if it is compressed; nil otherwise
	watch   int32                 // of the notifier
	stream  *stream               // its place among the files of its daemon; nil if there are no others
	after   *generation           // the one to be read to its end first
	again   bool                  // it was held before, or goes on where another did
	started bool                  // run is under way; of the looker, as the next one
	leaving bool                  // guarded by target.mu
	blank   bool                  // it was blank when it was judged, and nothing has been read since
	unsure  bool                  // it has to be judged again; of the run goroutine until done is closed

	cutSize         int64 // of a file that was found cut: its size then,
	cutFirst, cutAt int64 // and when that was found first, and last, by Set.clock; 0 if it isn't cut

	wake  chan struct{} // capacity 1: there may be something to read
	letGo chan struct{} // closed by the looker: read to the end and return
	done  chan struct{} // closed when run has returned

	posMu   sync.Mutex
	posSeen receiver.FilePosition // of show

	waiting atomic.Pointer[turn]  // of the generation that follows
	offset  atomic.Int64          // pos.Offset, for everyone
	ended   atomic.Int64          // where the last read ended
	size    atomic.Int64          // as last seen
	grew    atomic.Int64          // when it last did, by Set.clock
	reading atomic.Int64          // since when a read is under way, by Set.clock; 0 if none is
	level   atomic.Int64          // when all that it held had been delivered
	behind  atomic.Bool           // there may be more to deliver
	trouble atomic.Pointer[error] // why the last read failed, nil if it didn't
}

// A turn is what a generation waits for before it begins.
type turn struct {
	come chan struct{} // closed when size has been reached
	size int64         // of the generation before, when it learned of this; -1 until then; of its run goroutine
}

// A block is what one read needs. Blocks are shared by all generations of a Set.
type block struct {
	buf  []byte
	slab receiver.Slab
}

func newBlock() any {
	return &block{
		buf:  make([]byte, receiver.AnchorSize+syslog.BlockBytes),
		slab: receiver.Slab{Messages: make([][]byte, 0, syslog.SlabLines)},
	}
}

func newGeneration(t *target, fd int, info fileInfo, path string) *generation {
	g := &generation{
		target: t, fd: fd, id: info.id, info: info, path: path, met: math.MaxUint64, end: info.size, goal: -1,
		pos: receiver.FilePosition{ID: info.id}, marks: newMarks(),
		wake: make(chan struct{}, 1), letGo: make(chan struct{}), done: make(chan struct{}),
	}
	g.size.Store(info.size)
	g.grew.Store(t.set.clock())
	g.level.Store(t.set.clock())
	return g
}

// placeNow returns the path that the file has now or, where that can't be known, had when it was
// opened.
func (g *generation) placeNow() string { return cmp.Or(pathOf(g.fd), g.path) }

// dismiss has the reader end. The look at another target may do so, too, see makeRoom.
func (g *generation) dismiss() {
	g.target.mu.Lock()
	defer g.target.mu.Unlock()
	if !g.leaving {
		g.leaving = true
		close(g.letGo)
	}
}

func (g *generation) isLeaving() bool {
	g.target.mu.Lock()
	defer g.target.mu.Unlock()
	return g.leaving
}

func (g *generation) run() {
	defer close(g.done)
	defer g.leaveMerge()
	if g.packed != nil {
		g.runPacked()
		return
	}
	g.awaitTurn()
	var pause time.Duration // after a failed read
	for {
		err := g.drain()
		if g.unsure || err == errOtherCopy || errors.Is(err, unix.ESTALE) {
			return // a stale descriptor is of no use; the looker opens the file anew if the path leads there
		}
		wait, wake := g.target.set.opt.Poll, g.wake
		if g.cutFirst != 0 {
			wait = min(wait, g.target.set.settle())
		}
		if err == nil {
			pause = 0
		} else {
			pause = min(max(2*pause, minReadPause), maxReadPause)
			wait, wake = pause, nil
		}
		select {
		case <-wake:
		case <-time.After(wait):
		case <-g.target.set.ending:
			_ = g.drain()
			return
		case <-g.letGo:
			g.finish()
			return
		}
	}
}

// awaitTurn waits until the generation before this one has been read to its end, as it is now, so
// that a pid which ended there isn't seen in the wrong order. From then on both are read at the
// same time.
func (g *generation) awaitTurn() {
	before := g.after
	g.after = nil
	defer g.stream.set(streamReading, 0)
	if before == nil || before.trouble.Load() != nil {
		return
	}
	t := &turn{come: make(chan struct{}), size: -1}
	before.waiting.Store(t)
	poke(before.wake)
	select {
	case <-t.come:
	case <-before.done:
	case <-g.target.set.over:
	}
}

// drain reads and delivers what the file holds. It returns nil at its end, or if there is no time.
func (g *generation) drain() (err error) {
	b := g.target.set.blocks.Get().(*block)
	defer g.target.set.blocks.Put(b)
	var began int64
	for more := true; more && err == nil; {
		if closed(g.target.set.over) {
			return nil
		}
		began = g.target.set.clock()
		merged := g.target.merged.now()
		next := g.nextTurn()
		more, err = g.read(b)
		if more || err != nil {
			g.behind.Store(true)
		}
		atEnd := !more || err != nil
		if atEnd || g.goal >= 0 && g.pos.Offset >= g.goal {
			g.arrive()
		}
		if atEnd && err == nil {
			g.caughtUp() // part of a line may be left, whose rest is new
			g.stream.set(streamEnded, merged)
		}
		if next != nil && (atEnd || g.pos.Offset >= next.size) {
			g.waiting.Store(nil)
			close(next.come)
		}
	}
	switch err {
	case nil:
		g.level.Store(began)
		g.behind.Store(false)
	case errUnjudged:
		return err
	case errOtherCopy:
		if g.size.Load() > g.pos.Offset {
			g.target.noteGap(GapTruncated)
		}
		return err
	default:
		g.stream.set(streamFailed, 0)
	}
	g.report(err)
	return err
}

func (g *generation) leaveMerge() {
	if tell := g.stream.leave(); tell && !g.stopped() {
		g.target.set.sink.Deliver(&g.target.src, &receiver.Slab{At: time.Now().UnixNano()})
	}
}

// caughtUp ends the backlog. It tells the Sink if the generation came later; else arrive does.
func (g *generation) caughtUp() {
	if g.goal >= 0 && g.late && g.stream.waive() {
		g.target.set.sink.Deliver(&g.target.src, &receiver.Slab{At: time.Now().UnixNano()})
	}
	g.goal = -1
}

// nextTurn returns the turn that another generation waits for, or nil. What is added later needn't
// be read first: a file that grows as fast as it is read would let nobody have a turn.
func (g *generation) nextTurn() *turn {
	t := g.waiting.Load()
	if t != nil && t.size < 0 {
		t.size = math.MaxInt64
		if info, err := statFD(g.fd); err == nil {
			t.size = info.size
		}
	}
	return t
}

func (g *generation) arrive() {
	if g.awaited {
		g.awaited = false
		g.target.arrived()
	}
}

func (g *generation) report(err error) {
	if err == nil {
		g.trouble.Store(nil)
		return
	}
	g.trouble.Store(new(fmt.Errorf("%s: reading at offset %d: %w; retrying", g.target, g.pos.Offset, err)))
	g.target.errors.Add(1)
}

// read reads one block and delivers its complete lines. It returns false when there were none.
func (g *generation) read(b *block) (more bool, err error) {
	anchor := anchorOf(&g.pos)
	base := g.pos.Offset - int64(len(anchor))
	g.reading.Store(max(g.target.set.clock(), 1))
	n, err := g.target.set.pread(g.fd, b.buf, base)
	g.reading.Store(0)
	if err != nil {
		return false, err
	}
	data := b.buf[:n]
	if !bytes.HasPrefix(data, anchor) {
		if g.pos.Copy {
			return false, errOtherCopy
		}
		return g.restart(b)
	}
	g.cutFirst, g.cutAt = 0, 0
	g.noteEnd(base+int64(n), n == len(b.buf))
	start := len(anchor)
	if len(g.marks.tail) < start { // it was found cut, and isn't
		at := g.pos
		if ok, err := g.marks.load(g.target.reads(g.fd, nil), &at, at.Offset); err != nil || !ok {
			return false, err
		}
	}
	if g.blank && !isBlank(data) {
		if g.unsure = g.target.resembles(g, data[:min(n, receiver.AnchorSize)]); g.unsure {
			return false, errUnjudged
		}
		g.blank = false
	}
	more = g.takeBlock(b, data, start, base) > start
	if n == len(b.buf) && (g.pos.Skipping || b.buf[n-1] == 0) {
		moved, err := g.skipHole(b)
		return more || moved, err
	}
	return more || closed(g.target.set.over), nil
}

// errOtherCopy ends the reading of a file whose position is a Copy's.
var errOtherCopy = errors.New("it is another copy now")

// isBlank reports whether a file that begins so has nothing to count yet, and too little to be told
// from others.
func isBlank(start []byte) bool {
	return len(start) < receiver.AnchorSize && bytes.IndexByte(start, '\n') < 0
}

// errUnjudged ends the reading of a file that begins like another one, and was blank when it was
// judged.
var errUnjudged = errors.New("it may be a copy")

// takeBlock delivers the complete lines of data, which begin at start, and returns where they end.
// base is where data begins in the file.
func (g *generation) takeBlock(b *block, data []byte, start int, base int64) (end int) {
	at, merged := time.Now().UnixNano(), g.target.merged.now()
	for {
		if closed(g.target.set.over) { // Run may have returned: the file server has taken that long
			return start
		}
		may, ok := g.turn(data[start:], base+int64(len(data)), at, merged)
		if !ok {
			return start
		}
		skip := syslog.Skipped{Rest: g.pos.Skipping, Parts: g.pos.Parts}
		end = start + syslog.TakeLines(&b.slab, data[:start+may], start, &skip)
		if end == start && start+may < len(data) { // the first line has more parts than may go
			end = start + syslog.TakeLines(&b.slab, data, start, &skip)
		}
		g.pos.Skipping, g.pos.Parts = skip.Rest, skip.Parts
		if end == start {
			return end
		}
		g.marks.advance(&g.pos, data[start:end])
		g.deliver(&b.slab, at)
		start = end
	}
}

func (g *generation) deliver(s *receiver.Slab, at int64) {
	s.Backlog = g.packed != nil || g.offset.Load() < g.goal // where s begins
	g.offset.Store(g.pos.Offset)
	g.show()
	s.Position = &g.pos
	s.At = at
	g.target.set.sink.Deliver(&g.target.src, s)
	s.Reset()
}

func (g *generation) show() {
	g.posMu.Lock()
	g.posSeen = g.pos
	g.posMu.Unlock()
}

func (g *generation) shown() receiver.FilePosition {
	g.posMu.Lock()
	defer g.posMu.Unlock()
	return g.posSeen
}

// noteEnd notes where a read has ended; more says that the file may go on there.
func (g *generation) noteEnd(end int64, more bool) {
	g.ended.Store(end)
	if more {
		end = max(end, g.size.Load())
	}
	if end != g.end {
		g.end = end
		g.size.Store(end)
		g.grew.Store(g.target.set.clock())
	}
}

// maxSettling is how long, in Set.settle, a file that has been cut is watched until it stops
// growing.
const maxSettling = 10

// restart goes on in a file that has been cut, once it has settled: one that is written anew (cat
// t >L) is to be judged by all that it holds then. It delivers the position at once: if this
// process were killed before the next line, the old one would miss what is written from now on.
func (g *generation) restart(b *block) (more bool, err error) {
	now := g.target.set.clock()
	info, err := statFD(g.fd)
	if err != nil || !g.hasSettled(now, info.size) {
		return false, err
	}
	g.cutFirst, g.cutAt = 0, 0
	again, err := g.goOnCut(info.size)
	if err != nil || again {
		return again, err
	}
	g.goal = -1 // what it holds from now on is new
	g.deliver(&b.slab, time.Now().UnixNano())
	poke(g.target.set.wake)
	g.target.dirty.Store(true)
	return true, nil
}

// hasSettled reports whether a file that has been cut may be judged. size was read after the time
// now: however long this process is held up in between, that doesn't pass for time without growth.
func (g *generation) hasSettled(now, size int64) bool {
	settle := int64(g.target.set.settle())
	if g.cutFirst == 0 {
		g.cutFirst = max(now, 1)
	}
	if settle == 0 || now-g.cutFirst >= maxSettling*settle {
		return true
	}
	if g.cutAt == 0 || g.cutSize != size {
		g.cutAt, g.cutSize = max(g.target.set.clock(), 1), size
	}
	return now-g.cutAt >= settle
}

// goOnCut moves to where a file that has been cut is to be read on, and keeps how far it had been
// counted. It returns true if nothing has changed.
func (g *generation) goOnCut(size int64) (same bool, err error) {
	old := g.pos
	if same, err = g.relocate(size); same || err != nil {
		return same, err
	}
	g.target.noteGap(GapTruncated)
	g.target.set.known.noteCut(g, old, g.pos)
	return false, nil
}

// relocate finds where to go on in a file whose bytes before the offset have changed. Where they
// stand elsewhere, it was trimmed. Where only its start is left, it was cut to a part, and what it
// holds are old lines, unless a copy shows that it was cut to nothing. Otherwise everything in it
// is new. It returns true if nothing has changed.
func (g *generation) relocate(size int64) (same bool, err error) {
	c := newContent(g.target.reads(g.fd, nil), size, true)
	relation, _ := c.relate(&g.pos)
	if relation == continues {
		return true, nil
	}
	at, sure := c.search(&g.pos), g.pos.Offset > equalStart || g.target.isStamped(c)
	switch {
	case at >= 0 && sure:
	case g.target.hasCopy(&g.pos):
		at = 0
	case at < 0 && (relation == within || relation == shares):
		at = size
	}
	at = max(at, 0)
	next := receiver.FilePosition{ID: g.id, Cut: g.pos.Cut + 1}
	ok, err := g.marks.load(g.target.reads(g.fd, nil), &next, at)
	if err != nil || !ok {
		return !ok && err == nil, err // cut again
	}
	next.Skipping = at > 0 && next.Anchor[min(at, receiver.AnchorSize)-1] != '\n'
	g.pos = next
	g.offset.Store(at)
	return false, nil
}

// jump sets the position to an offset. If that is within a line, the rest of it is skipped.
func (g *generation) jump(offset int64) error {
	next := g.pos
	ok, err := g.marks.load(g.target.reads(g.fd, nil), &next, offset)
	if err == nil && !ok {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	next.Skipping = offset > 0 && next.Anchor[min(offset, receiver.AnchorSize)-1] != '\n'
	g.pos = next
	g.offset.Store(offset)
	return nil
}

// skipHole moves on to the next data of a sparse file.
func (g *generation) skipHole(b *block) (moved bool, err error) {
	next := nextData(g.fd, g.pos.Offset)
	if next == g.pos.Offset {
		return false, nil
	}
	skipping, parts := g.pos.Skipping, g.pos.Parts
	if err := g.jump(next); err != nil {
		return false, err
	}
	g.pos.Skipping, g.pos.Parts = skipping, parts
	g.deliver(&b.slab, time.Now().UnixNano())
	return true, nil
}

// startAt begins with the last line before size, or behind it, if it is too long for a message.
func (g *generation) startAt(size int64) error {
	const most = receiver.MaxMessage + 1
	c := newContent(g.target.reads(g.fd, nil), size, true)
	base := max(0, size-most)
	data := c.at(base, size-base)
	if data == nil {
		return c.err // nil if it is shorter: it has been cut, so everything is new
	}
	line := bytes.LastIndexByte(data, '\n') + 1
	line += syslog.NULsEnd(data[line:])
	tooLong := len(data)-line > receiver.MaxMessage
	if tooLong {
		line = len(data)
	}
	if err := g.jump(base + int64(line)); err != nil {
		return err
	}
	g.pos.Skipping = tooLong
	return nil
}

// finish reads the file a last time before it is let go.
func (g *generation) finish() {
	err := g.drain()
	g.offset.Store(g.pos.Offset)
	info, serr := statFD(g.fd)
	switch {
	case err == errOtherCopy, g.unsure, g.cutFirst != 0:
	case closed(g.target.set.over): // what is left is for the next start
	case err != nil, serr == nil && info.size > g.end && info.links == 0: // one that has a name is found when it grows
		g.target.noteGap(GapUnread)
	case g.end > g.pos.Offset:
		g.leaveLine()
	}
}

// leaveLine counts the last line, which never ended, as Incomplete, and moves behind it.
func (g *generation) leaveLine() {
	b := g.target.set.blocks.Get().(*block)
	defer g.target.set.blocks.Put(b)
	if g.jump(g.end) != nil {
		g.target.noteGap(GapUnread)
		return
	}
	b.slab.Discarded[receiver.Incomplete]++
	g.deliver(&b.slab, time.Now().UnixNano())
}

// poke puts something into a channel of capacity 1 that is only ever read to wake up.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// closed reports whether a channel that nothing is sent to is closed.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
