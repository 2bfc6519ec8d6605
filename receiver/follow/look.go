package follow

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

const (
	// maxAbsent is how many looks may miss a file before it is taken for deleted: a directory that
	// changes while it is read may not show all its entries.
	maxAbsent = 3
	maxTorn   = 3  // looks or reads that find a compressed file torn and no longer than before, until it is given up
	maxOldMet = 32 // files beside a target, at its very first look, whose starts are remembered

	// clockSlack is by how much a file's time may be behind the clock: by a tick, or on a network
	// file system by what its server's clock differs.
	clockSlack = time.Second
)

// A look finds out which files have, or had since the look before, the target's name, takes hold of
// them, and lets go those that nobody writes to any more. Every file that it can't tell from what
// is known already is judged by plan.
type look struct {
	t        *target
	s        *Set
	began    int64
	beside   listing
	info     fileInfo        // of what the path leads to
	err      error           // why it leads to nothing
	isTwin   bool            // the file belongs to another target
	last     receiver.FileID // what had the name at the look before
	rotated  bool            // another file may have had the name since the look before
	fresh    []*generation
	failed   error
	gone     map[receiver.FileID]bool // files that were read, or are to be, and are no longer where they could be found
	there    map[receiver.FileID]bool // files that have the target's name, or are beside it
	missed   bool                     // one that was to be judged is gone
	owing    bool                     // some of these are to be read on
	accepted map[receiver.FileID]bool // files that this look has judged, or need not
}

// look is called by one goroutine at a time.
func (t *target) look() {
	t.looking.Store(t.set.clock())
	defer t.looking.Store(notLooking)
	defer t.merged.noteLook(t.merged.now())
	t.dirty.Store(false)
	t.reap(Read)
	dir, base := t.place()
	t.mu.Lock()
	t.at = filepath.Join(dir, base)
	t.mu.Unlock()
	t.set.notify.watchDirs(t, t.path, t.at)
	l := &look{t: t, s: t.set, began: time.Now().UnixNano(), accepted: map[receiver.FileID]bool{}}
	if t.moved {
		t.names = nameList{} // it matters most now
	}
	var lerr error
	l.beside, lerr = listSiblings(dir, base, &t.names)
	newDir := l.enterDirectory()
	l.beside.files = append(l.beside.files, l.owedElsewhere()...)
	l.lookAtPath()
	l.findRotation(newDir)
	l.findGone()
	t.setWaits(nil)
	if newDir && !t.fresh && !t.resumed {
		l.noteOld()
	}
	l.judgeBeside(true)
	current := l.judgeNamed()
	l.judgeBeside(false)
	l.takeOver(current)
	l.noteAbsent()
	l.publish(current)
	t.noteLook(l.err, errors.Join(lerr, l.failed))
	t.retire()
	t.mu.Lock()
	first := !t.ready
	t.mu.Unlock()
	if first {
		t.noteBacklog()
	}
	t.mu.Lock()
	t.ready = true
	t.mu.Unlock()
	if t.set.running.Load() {
		t.begin()
	}
}

// enterDirectory notes a directory that is another than at the last look, and returns true if what
// is there is not known from then.
func (l *look) enterDirectory() (isNew bool) {
	t, now := l.t, l.beside
	if now.dir == (receiver.FileID{}) {
		return false
	}
	was := t.record.Dir
	if t.resumed && was.Device != now.dir.Device && was.Inode == now.dir.Inode && was.Birth == now.dir.Birth {
		l.s.known.renumber(t.path, was.Device, now.dir.Device)
		t.mu.Lock()
		for _, id := range []*receiver.FileID{&t.named, &t.since, &t.record.Named, &t.record.Last, &t.record.Start} {
			if id.Device == was.Device {
				id.Device = now.dir.Device
			}
		}
		t.mu.Unlock()
		was = now.dir
	}
	if now.hidden || was == now.dir && t.record.Base == now.base {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.record.Dir, t.record.Base = now.dir, now.base
	return true
}

// lookAtPath finds what the path leads to. What is beside it was listed before: whichever of those
// has lost the name since then, this look sees a change.
func (l *look) lookAtPath() {
	t := l.t
	l.info, l.err = statPath(t.path, true)
	twin := ""
	if l.err == nil {
		twin = l.s.twinOf(l.info, t)
	}
	l.isTwin = twin != ""
	t.mu.Lock()
	defer t.mu.Unlock()
	t.twin = twin
	if !t.looked && !t.resumed && l.err == nil && !l.isTwin {
		t.record.Start, t.known = l.info.id, true
		if !t.fresh && !l.s.opt.FromBeginning {
			t.record.StartSize = l.info.size
		}
		if !t.fresh {
			t.since = l.info.id
		}
	}
}

// findRotation finds out whether files beside the target may have had its name since the last look.
func (l *look) findRotation(newDir bool) {
	t := l.t
	now := receiver.FileID{}
	if l.err == nil && !l.isTwin {
		now = l.info.id
	}
	changed := now != t.named || now == receiver.FileID{}
	if l.last = t.named; t.resumed {
		l.last = cmp.Or(t.record.Last, t.record.Named)
		changed = t.record.Moved || now != t.record.Named
	}
	if !changed {
		changed = l.isCut()
	}
	if l.isTwin { // what is beside it then is the other's
		changed = false
	}
	first := !t.looked && !t.resumed
	if first {
		changed = t.fresh
	}
	l.rotated = !newDir && (changed || t.moved) || first && t.fresh
	t.unseen = max(t.lookedAt-int64(clockSlack), t.sinceAt)
	t.moved, t.named = changed && !first, now
}

// isCut reports whether the file with the name holds other lines than it did, whether or not its
// reader has noticed.
func (l *look) isCut() bool {
	e, known := l.s.known.find(l.info.id)
	if !known {
		return false
	}
	if e.Verdict != Reading && e.Verdict != Read { // nothing of it is counted
		return l.info.size < e.Size
	}
	p := e.position()
	if g := e.gen; p.Offset == 0 && g != nil && g.packed == nil && !l.t.resumed {
		return l.isUnreadCut(g)
	}
	if e.gen != nil && l.info.size < e.gen.size.Load() || l.info.size < p.Offset {
		return true
	}
	if p.Offset == 0 {
		return l.t.resumed || l.info.size > 0
	}
	fd := -1
	if e.gen != nil && l.beside.reread { // a copy may have come
		fd = e.gen.fd
	} else if e.gen == nil || l.t.resumed {
		var err error
		if fd, err = openFollowing(l.t.path); err == nil {
			defer unix.Close(fd)
		}
	}
	return fd >= 0 && !newContent(l.t.reads(fd, nil), l.info.size, true).endsAt(&p, p.Offset)
}

// isUnreadCut is isCut for a file of which no line has been read. One that was empty and holds
// lines now may have held others in between.
func (l *look) isUnreadCut(g *generation) bool {
	was := g.start
	g.start = newContent(l.t.reads(g.fd, nil), l.info.size, true).at(0, min(l.info.size, receiver.AnchorSize))
	if len(was) == 0 {
		return len(g.start) > 0
	}
	return l.info.size < g.size.Load() || !bytes.HasPrefix(g.start, was)
}

// findGone finds the files that are no longer where they could be found.
func (l *look) findGone() {
	l.gone = map[receiver.FileID]bool{}
	there := map[receiver.FileID]bool{l.info.id: l.err == nil}
	l.there = there
	for _, x := range l.beside.files {
		there[x.info.id] = true
	}
	if l.beside.dir == (receiver.FileID{}) { // its directory isn't there, and may come back
		return
	}
	l.s.known.each(l.t.path, func(e *entry) {
		read := e.Verdict == Reading || e.Verdict == Read
		if read && e.gen == nil && !there[e.id()] && (!l.beside.hidden || e.absent > 0) {
			l.gone[e.id()] = true
			l.owing = l.owing || e.owed()
		}
		empty := e.Verdict == Unsure || read && e.Pos.Offset == 0 && (e.owed() || e.gen == nil && e.absent == 0)
		l.missed = l.missed || empty && !there[e.id()]
	})
}

// judgeBeside judges the files beside the target, those that are or were read, or the others: these
// are compared to those, and to what has the name. The longest comes first, since copies may have
// been made at several times; compressed ones come last, as their lengths aren't known.
func (l *look) judgeBeside(read bool) {
	t := l.t
	files := slices.Clone(l.beside.files)
	slices.SortStableFunc(files, func(a, b sibling) int {
		return cmp.Or(compareBools(isCompressed(a.path), isCompressed(b.path)), cmp.Compare(b.info.size, a.info.size))
	})
	for _, x := range files {
		e, known := l.s.known.find(x.info.id)
		if l.accepted[x.info.id] || read != (known && (e.Verdict == Reading || e.Verdict == Read)) {
			continue
		}
		l.accepted[x.info.id] = true
		switch {
		case known && e.Target == t.path && e.gen == nil && e.Size >= 0 && !l.due(x, &e, known):
			continue
		case known && e.gen != nil || l.err == nil && x.info.id == l.info.id && !l.isTwin:
			continue
		case e.Target != t.path && (e.Target != "" || l.s.targetAt(x.path) != nil):
			continue // another target's
		case l.s.hasCloser(x.path, t.at):
			continue
		}
		if !known {
			e = entry{FileRecord: FileRecord{Pos: receiver.FilePosition{ID: x.info.id}, Target: t.path, Size: -1}}
		}
		l.judgeOne(x, e, known)
	}
}

// noteOld takes what is in a directory that is looked at for the first time for old. How the latest
// ones start is remembered: what holds the same, compressed later, is no new file.
func (l *look) noteOld() {
	for i, x := range l.beside.files {
		if _, known := l.s.known.find(x.info.id); known || l.s.targetAt(x.path) != nil {
			continue
		}
		e := entry{FileRecord: FileRecord{Target: l.t.path, Verdict: Old, Size: x.info.size}}
		e.Pos = receiver.FilePosition{ID: x.info.id, Offset: x.info.size}
		if i >= len(l.beside.files)-maxOldMet && !isCompressed(x.path) {
			if fd, err := openLog(x.path); err == nil {
				_, _ = newMarks().load(l.t.reads(fd, nil), &e.Pos, x.info.size)
				unix.Close(fd)
			}
		}
		l.s.known.put(e)
	}
}

// due reports whether a file beside the target is to be judged, or opened.
func (l *look) due(x sibling, e *entry, known bool) bool {
	packed := isCompressed(x.path)
	switch e.Verdict {
	case Reading:
		return true
	case Read: // nobody writes to compressed files
		cut := e.saved && !e.Pos.Copy && (x.info.size < e.Pos.Offset || x.info.id.Birth == 0)
		return !packed && (x.info.size > e.Pos.Offset || cut)
	case Copied:
		return e.Ahead || x.info.size != e.Size || l.s.known.lacks(e, l.gone[e.Of])
	case Old:
		return !packed && e.Size >= 0 && x.info.size > e.Size || l.owing && x.info.size > e.Size
	case Strange: // one that held too little may be a copy that was being made
		return 0 <= e.Size && e.Size < receiver.AnchorSize && x.info.size > e.Size
	}
	// One that waited for its next look under the target's name may have lost that.
	return !known || packed || x.info.size != e.Size || l.rotated && e.Size > 0
}

// judgeOne judges a file beside the target, and takes hold of it if it is to be read.
func (l *look) judgeOne(x sibling, e entry, known bool) {
	t := l.t
	if !l.due(x, &e, known) {
		if e.Verdict == Old && e.Size < 0 {
			e.Size, e.Pos.Offset = x.info.size, x.info.size
			l.s.known.put(e)
		}
		return
	}
	e.Target = t.path
	packed := isCompressed(x.path)
	if !known || e.saved && e.Verdict == Unsure {
		e.since, e.eligible, e.saved = t.unseen, l.rotated || l.missed || known, false
	}
	if packed && !canUnpack(x.path) || !known && packed && !l.mayBeNew() {
		e.Verdict, e.Size = Old, x.info.size
		l.s.known.put(e)
		return
	}
	if packed && e.Verdict != Reading && l.beside.hasOriginal(x.path) { // it isn't complete yet
		e.Verdict, e.Size = Unsure, x.info.size
		l.s.known.put(e)
		return
	}
	fd, info, err := t.open(x.path, x.info, openLog)
	if err == nil && info.id != x.info.id { // if it has the name by now, or none, the next look tells
		unix.Close(fd)
		err = unix.ELOOP
	}
	if err != nil {
		if e.Size = -1; !known && (!l.rotated || t.isOlder(x.info)) && !l.owing {
			e.Verdict = Strange
		}
		l.s.known.put(e)
		if !isMissing(err) && !errors.Is(err, unix.ELOOP) {
			l.failed = err
		}
		return
	}
	g := newGeneration(t, fd, info, x.path)
	if packed {
		g.packed = &packedFile{path: x.path}
	}
	if e.Verdict == Reading || e.Verdict == Read {
		l.readOn(g, e)
		return
	}
	l.judge(g, e, known, beside)
}

// mayBeNew reports whether a compressed file that is met for the first time is worth a look.
func (l *look) mayBeNew() bool {
	return l.rotated || l.missed || len(l.gone) > 0 || l.s.known.hasOpen(l.t.path)
}

// judgeNamed judges what the path leads to, and returns the generation that reads it, or nil.
func (l *look) judgeNamed() *generation {
	t := l.t
	if l.err != nil || l.isTwin {
		return nil
	}
	if g := t.held(l.info.id); g != nil {
		g.size.Store(l.info.size)
		return g
	}
	e, known := l.s.known.find(l.info.id)
	if known && e.Verdict == Read && e.Pos.Offset == l.info.size && l.s.isShort() {
		return nil // its descriptor is needed for others, until it grows
	}
	if known && e.Verdict == Copied && e.Size == l.info.size && !l.s.known.lacks(&e, l.gone[e.Of]) {
		l.waitFor(e)
		return nil
	}
	fd, info, err := t.open(t.path, l.info, openFollowing)
	if err != nil {
		if l.err = err; !known && l.info.isRegular() && !errors.Is(err, errStranger) {
			pos := receiver.FilePosition{ID: l.info.id}
			l.s.known.put(entry{FileRecord: FileRecord{Pos: pos, Target: t.path, Size: -1}})
		}
		return nil
	}
	if info.id != l.info.id && t.held(info.id) != nil {
		unix.Close(fd)
		return t.held(info.id)
	}
	if info.id != l.info.id {
		if e, known = l.s.known.find(info.id); known && (e.gen != nil || e.Target != t.path && e.Target != "") {
			unix.Close(fd) // the next look tells
			return nil
		}
		t.named = info.id
	}
	l.accepted[info.id] = true
	g := newGeneration(t, fd, info, t.at)
	if !known {
		e = entry{FileRecord: FileRecord{Pos: receiver.FilePosition{ID: info.id}, Size: -1}}
	}
	e.Target = t.path
	switch {
	case known && (e.Verdict == Reading || e.Verdict == Read):
		return l.readOn(g, e)
	case known && e.Verdict == Old && e.Size >= 0 && info.size >= e.Pos.Offset:
		return l.begin(g, e, action{verdict: Reading, at: e.Pos.Offset})
	}
	return l.judge(g, e, known, named)
}

// waitFor says why what the path leads to isn't read.
func (l *look) waitFor(e entry) {
	if e.Verdict == Unsure {
		return // the next look tells
	}
	other, _ := l.s.known.find(e.Of)
	l.t.setWaits(fmt.Errorf("%s: it is a copy, with the same lines as %q: %w; waiting for more", l.t,
		cmp.Or(other.Place, other.Target), ErrCopy))
}

func (t *target) setWaits(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits = err
}

// judge has plan judge a file that has just been opened, and does what it says.
func (l *look) judge(g *generation, e entry, known bool, r role) *generation {
	t := l.t
	f := facts{
		role: r, size: g.end, packed: g.packed != nil, rotated: l.rotated, older: t.isOlder(g.info),
		first: !t.looked && !t.fresh && !t.resumed, left: e.Pos.Offset,
		grown: (e.Verdict == Old || e.Verdict == Copied) && e.Size >= 0 && g.end > e.Size,
	}
	f.young = !f.first && !(known && e.Verdict == Unsure && e.Size == g.end)
	if known && (e.Verdict == Unsure || e.Ahead) { // it might have been read when it was met
		f.rotated, f.older = true, false
	}
	f.skip = r == named && g.id == t.record.Start && t.record.StartSize > 0
	if f.skip {
		f.size = min(f.size, t.record.StartSize)
	}
	var c *content
	if g.packed != nil {
		if c = l.unpackStart(g, &e, &f); c == nil {
			unix.Close(g.fd)
			l.s.known.put(e)
			return nil
		}
	} else if c = newContent(t.reads(g.fd, nil), g.end, true); !f.skip {
		f.stamped, f.blank = t.isStamped(c), isBlank(c.at(0, min(c.size, receiver.AnchorSize)))
		f.others = l.kinships(c, g, r)
		if f.grown && e.Pos.Tails[0] != 0 && !c.endsAt(&e.Pos, e.Pos.Offset) { // it holds other lines than it did
			f.grown = false
		}
	}
	return l.begin(g, e, plan(&f))
}

// begin does what plan says of a file that is open. It returns the generation if it is to be read.
func (l *look) begin(g *generation, e entry, a action) *generation {
	wasCopy := e.Verdict == Copied
	e.Verdict, e.Of, e.Ahead, e.Size, e.order = a.verdict, a.of, a.ahead, g.end, 0
	err := l.place(g, a)
	if a.verdict == Reading && err == nil {
		if a.gap {
			l.t.noteGap(GapTruncated)
		}
		e.Pos, e.begin, e.gen, e.from = g.pos, g.pos, g, receiver.FilePosition{}
		if a.at == 0 && g.id != l.info.id && l.missed {
			l.s.known.foundEmpty(l.gone)
		}
		if a.goesOn != nil {
			g.again, g.met, e.from = true, a.goesOn.order, a.goesOn.of
		}
		g.again = g.again || e.met || a.at > 0 && (wasCopy || a.of != (receiver.FileID{}))
		g.blank, e.met = a.blank, true
		if g.packed == nil && g.pos.Offset == 0 {
			g.start = newContent(l.t.reads(g.fd, nil), g.end, true).at(0, min(g.end, receiver.AnchorSize))
		}
		g.show()
		l.s.known.put(e, a.instead...)
		l.fresh = append(l.fresh, g)
		return g
	}
	pos := receiver.FilePosition{ID: g.id, Cut: a.cut}
	if a.verdict != Copied || g.packed != nil || !l.marked(g, &pos, a.at) {
		pos.Offset = a.at
	}
	e.Pos = pos
	unix.Close(g.fd)
	if a.verdict == Reading { // it has changed meanwhile, or can't be read: the next look tells
		e.Verdict, e.Size = Unsure, -1
	}
	if err != nil && err != io.ErrUnexpectedEOF {
		l.failed = err
	}
	if e.Verdict == Unsure {
		e.Pos.Offset = 0
	}
	l.s.known.put(e)
	if l.err == nil && g.id == l.info.id && e.Size >= 0 {
		l.waitFor(e)
	}
	return nil
}

// marked sets a position with all marks. It returns false where the file is shorter, or can't be read.
func (l *look) marked(g *generation, pos *receiver.FilePosition, offset int64) bool {
	ok, err := newMarks().load(l.t.reads(g.fd, nil), pos, offset)
	return ok && err == nil
}

// place sets where a generation begins, if it is to be read.
func (l *look) place(g *generation, a action) error {
	if a.verdict != Reading {
		return nil
	}
	if g.packed != nil {
		if g.pos = (receiver.FilePosition{ID: g.id, Copy: true}); a.goesOn != nil {
			g.pos = a.goesOn.of
			g.pos.ID, g.pos.Cut, g.pos.Copy = g.id, 0, true
		}
		g.offset.Store(g.pos.Offset)
		return nil
	}
	if a.at > 0 && a.goesOn == nil && a.of == (receiver.FileID{}) { // at the very start, or what has grown
		return g.startAt(a.at)
	}
	if a.at > 0 {
		if err := g.jump(a.at); err != nil {
			return err
		}
	}
	if k := a.goesOn; k != nil && k.of.Offset == a.at {
		g.pos.Skipping, g.pos.Parts = k.of.Skipping, k.of.Parts
	}
	g.pos.Copy = a.copy
	return nil
}

// readOn goes on in a file that is known.
func (l *look) readOn(g *generation, e entry) *generation {
	g.pos, g.again, g.met = e.Pos, true, e.order
	if e.Pos.Copy && isCompressed(g.path) {
		g.packed = &packedFile{path: g.path}
	}
	g.offset.Store(g.pos.Offset)
	if g.packed == nil { // its writer may be gone for long: what counts is when it last wrote
		g.grew.Add(-max(0, time.Now().UnixNano()-g.info.written))
	}
	if e.begin.ID != e.Pos.ID || e.Verdict == Read && e.begin.Offset == 0 && e.Pos.Offset == 0 {
		e.begin = e.Pos
	}
	g.show()
	e.gen, e.Verdict, e.saved, e.Size = g, Reading, false, g.end
	l.s.known.put(e)
	if g.packed == nil {
		l.verify(g)
	}
	l.fresh = append(l.fresh, g)
	return g
}

// verify finds out whether a known file still holds what it held. If it was cut, this look judges
// by that what is beside it, and has a copy of it read first. A file that somebody has just written
// to is left to its reader, which waits until it has settled.
func (l *look) verify(g *generation) {
	at := g.pos
	ok, err := g.marks.load(l.t.reads(g.fd, nil), &at, at.Offset)
	if ok && err == nil && sameMarks(&at, &g.pos) {
		g.pos.Sums, g.pos.Tails, g.pos.Line, g.pos.LineSum = at.Sums, at.Tails, at.Line, at.LineSum // there may be none
		g.show()
		return
	}
	g.marks.reset()
	settled := l.began-g.info.written >= int64(l.s.settle()) // since, this process may have been held up
	if err == nil && settled && !g.pos.Copy {
		_, _ = g.goOnCut(g.info.size) // what fails now its reader meets again
		g.show()
	}
}

// takeOver adopts what the look has taken hold of: known files in the order in which they were met,
// then compressed ones, then others by age, and what has the name last.
func (l *look) takeOver(current *generation) {
	rank := func(g *generation) int {
		e, _ := l.s.known.find(g.id)
		switch {
		case g == current:
			return 3
		case g.packed != nil && e.from.Offset == 0:
			return 1
		case g.again:
			return 0
		}
		return 2
	}
	slices.SortStableFunc(l.fresh, func(a, b *generation) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.met, b.met),
			cmp.Compare(a.id.Birth, b.id.Birth), cmp.Compare(a.info.written, b.info.written))
	})
	for _, g := range l.fresh {
		l.s.known.append(g)
	}
	l.t.adopt(l.fresh)
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	l.t.current = current
}

// noteAbsent forgets files that several looks have not found. Of those that were to be read, lines
// may be lost.
func (l *look) noteAbsent() {
	if l.beside.dir == (receiver.FileID{}) {
		return
	}
	var dropped []receiver.FileID
	copied := map[receiver.FileID]int64{} // how much of a file a copy of it holds
	l.s.known.each(l.t.path, func(e *entry) {
		if e.Verdict == Copied && !e.Ahead {
			copied[e.Of] = max(copied[e.Of], e.Pos.Offset)
		}
	})
	l.s.known.each(l.t.path, func(e *entry) {
		gone := !l.accepted[e.id()] && e.gen == nil && e.id() != l.info.id
		if !gone || l.beside.hidden && !e.owed() {
			e.absent = 0
			return
		}
		if e.absent++; e.absent < maxAbsent {
			return
		}
		hidden := e.Verdict == Unsure && e.Size < 0 && e.Of == receiver.FileID{} // nobody could ever open it
		if e.owed() && copied[e.id()] < max(e.Pos.Offset, 1) || hidden {
			l.t.noteGap(GapUnread)
		}
		if e.owed() { // its position is kept, as it may be brought back
			e.Verdict = Read
		}
		if e.absent = maxAbsent; e.Verdict != Read {
			dropped = append(dropped, e.id())
		}
	})
	for _, id := range dropped {
		l.s.known.forget(id)
	}
	l.s.known.age(l.t.path)
}

// publish keeps what a restart needs to know of the look.
func (l *look) publish(current *generation) {
	t := l.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.beside.dir != (receiver.FileID{}) {
		t.resumed = false
	}
	if t.resumed {
		return
	}
	r := &t.record
	r.Looked, t.lookedAt, r.Last = t.lookedAt, l.began, t.named
	if r.Moved = t.moved || current == nil; !r.Moved {
		r.Named = current.id
	}
	t.looked = true
}

// isOlder reports whether a file was there before all that is followed, by the clock.
func (t *target) isOlder(i fileInfo) bool {
	if i.id.Birth == 0 {
		return i.written < t.sinceAt
	}
	return i.id.Birth < t.since.Birth
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// owedElsewhere finds files of the saved catalogue that are not beside the target: in their places
// and, at the first looks, by any name in the directories of these. If one has a name there that no
// rotation gives, others may have come and gone by such names unseen.
func (l *look) owedElsewhere() (all []sibling) {
	t := l.t
	here := map[receiver.FileID]bool{}
	for _, x := range l.beside.files {
		here[x.info.id] = true
	}
	dirs := map[string]map[receiver.FileID]string{}
	var owed []entry
	l.s.known.each(t.path, func(e *entry) {
		if e.owed() && !here[e.id()] && e.Place != "" {
			owed = append(owed, *e)
		}
	})
	for _, e := range owed {
		if info, err := statPath(e.Place, false); err == nil && info.id == e.id() {
			if e.Place != t.path && e.Place != t.at {
				all = append(all, sibling{e.Place, info})
			}
			continue
		}
		dir := filepath.Dir(e.Place)
		if dirs[dir] == nil {
			dirs[dir] = map[receiver.FileID]string{}
		}
		dirs[dir][e.id()] = e.Place
	}
	if t.searched++; t.searched > maxAbsent {
		return all
	}
	for dir, owed := range dirs {
		for _, x := range regularFiles(dir) {
			place := owed[x.info.id]
			if place == "" {
				continue
			}
			if other := l.s.targetAt(x.path); other != nil { // its next look reads on
				l.s.known.give(x.info.id, other.path)
				continue
			}
			all = append(all, x)
			if t.searched == 1 && !t.isRotation(place, x.path) {
				t.noteGap(GapUnread)
			}
		}
	}
	return all
}

// isRotation reports whether a rotation may have given a file that was at from the name to.
func (t *target) isRotation(from, to string) bool {
	likewise := func(base string) bool { return isSiblingName(to, base) }
	return likewise(from) || isSiblingName(filepath.Base(to), filepath.Base(t.at)) || rotatedFrom(from, likewise) != ""
}
