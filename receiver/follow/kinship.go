package follow

import (
	"bytes"
	"math"
	"slices"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// A relative is a file, or what one held before it was cut, that begins like a file to be judged.
type relative struct {
	pos    receiver.FilePosition
	target string
	fd     int // a duplicate, -1 if it isn't open or is compressed
	cut    bool
	open   bool   // of a cut: its lines beyond pos are looked for
	owed   bool   // it is to be read, and not open
	place  string // its path when it was last seen
	old    bool   // it was there before anybody read it
	absent bool   // its target's last look has not found it
	ended  bool   // a copy: nobody writes to it
	order  uint64 // files are numbered as they are met
}

// relatives returns those that begin with the same bytes as head, as far as both are known; for a
// compressed file, Old ones as well. The caller closes their descriptors.
func (c *catalogue) relatives(head []byte, not receiver.FileID, target string, packed bool) (all []relative) {
	c.mu.Lock()
	defer c.mu.Unlock()
	alike := func(p *receiver.FilePosition) bool {
		known := headOf(p)
		n := min(len(known), len(head))
		return n > 0 && bytes.Equal(known[:n], head[:n])
	}
	for _, e := range c.files {
		old := packed && e.Verdict == Old && e.Pos.Tails[0] != 0
		if e.id() == not || e.Verdict != Reading && e.Verdict != Read && !old {
			continue
		}
		r := relative{
			pos: e.position(), target: e.Target, fd: -1, place: e.Place, old: e.Verdict == Old, owed: e.owed(),
			absent: e.absent > 0, ended: e.Pos.Copy, order: e.order,
		}
		plain := e.gen != nil && e.gen.packed == nil
		// What is open may hold more than has been read of it, and other lines than had been read.
		own := e.Target == target || isSiblingName(target, e.Target)
		if !alike(&r.pos) && !(plain && (r.pos.Offset < receiver.AnchorSize || own)) {
			continue
		}
		if e.gen != nil && e.gen.packed != nil {
			r.place = e.gen.placeNow()
		}
		if plain {
			if fd, err := unix.FcntlInt(uintptr(e.gen.fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
				r.fd = fd
			}
		}
		all = append(all, r)
	}
	for _, cut := range c.cuts {
		if alike(&cut.Pos) && cut.Pos.ID != not {
			all = append(all, relative{
				pos: cut.Pos, target: cut.Target, fd: -1, cut: true, open: cut.Open, order: math.MaxUint64,
			})
		}
	}
	return all
}

// kinships finds out how a file's lines relate to those of all files that begin like it, and where
// it has the target's name, to those of the file that had it before.
func (l *look) kinships(c *content, g *generation, r role) (all []kinship) {
	head := c.at(0, min(c.size, receiver.AnchorSize))
	if len(head) == 0 {
		return nil
	}
	for _, other := range l.s.known.relatives(head, g.id, l.t.path, g.packed != nil) {
		k := l.kinship(c, g.id, &other, r)
		if other.fd >= 0 {
			unix.Close(other.fd)
		}
		if k.relation != unrelated {
			all = append(all, k)
		}
	}
	if (r == named || len(l.gone) > 0) && g.packed == nil {
		all = append(all, l.trimmed(c, all)...)
	}
	return all
}

// resembles reports whether a file that was judged before this one, or was cut, begins with these
// bytes, which are the start of this one.
func (t *target) resembles(g *generation, head []byte) (like bool) {
	n := int64(len(head))
	self, _ := t.set.known.find(g.id)
	for _, other := range t.set.known.relatives(head, g.id, t.path, false) {
		earlier := other.cut || other.order < self.order
		like = like || earlier && bytes.HasPrefix(headOf(&other.pos), head)
		if other.fd >= 0 {
			like = like || earlier && bytes.Equal(newContent(t.reads(other.fd, nil), n, true).at(0, n), head)
			unix.Close(other.fd)
		}
	}
	return like
}

func (l *look) kinship(c *content, id receiver.FileID, other *relative, r role) kinship {
	p := &other.pos
	k := kinship{id: p.ID, of: *p, order: other.order}
	k.gone = l.gone[p.ID] || other.owed && other.absent && other.target != l.t.path
	k.old = other.old
	k.lost = other.open || k.gone || other.ended
	k.extends = isSiblingName(l.t.path, other.target) || other.target == "" && l.s.extends(l.t.path)
	k.apart = other.target != l.t.path && other.target != "" && !k.lost && !other.cut && !k.extends
	var verified int64
	if k.relation, verified = c.relate(p); k.relation == within {
		k.at = c.size
	} else {
		k.at = verified
	}
	k.elder = id.Birth != 0 && id.Birth < p.ID.Birth && !p.Copy // a copy's lines are older than it is
	k.exact = k.relation != shares && !(k.relation == within && verified < c.size && c.size < p.Offset)
	if end := p.Offset - p.Line; k.relation == shares && p.Line > 0 && end >= verified && c.lineStart(end) == end {
		k.at, k.exact = end, true // the last line was removed
	}
	k.done = k.relation == within && c.whole && c.size == p.Offset
	if k.done && k.lost {
		k.relation, k.at = continues, p.Offset
	}
	if other.fd < 0 && !k.exact && other.place != "" { // it may still be where it was
		other.fd, _ = openLog(other.place)
	}
	if other.fd >= 0 {
		l.compare(&k, c, other, r)
	}
	return k
}

// compare corrects what a position tells by what its file holds now.
func (l *look) compare(k *kinship, c *content, other *relative, r role) {
	p := &other.pos
	info, err := statFD(other.fd)
	if err == nil && info.id != p.ID {
		return
	}
	if err != nil || info.size == 0 {
		k.stale = p.Offset > 0
		return
	}
	k.gone = info.links == 0 || other.target == l.t.path && !l.there[p.ID]
	k.apart = k.apart && info.links > 0
	theirs := newContent(l.t.reads(other.fd, nil), info.size, true)
	if isCompressed(other.place) {
		if theirs, _ = l.t.unpacked(other.place, other.fd); theirs == nil || !theirs.whole || theirs.size == 0 {
			return
		}
		info.size = theirs.size
	}
	k.ahead = !theirs.endsAt(p, p.Offset)
	n := commonLength(c, theirs, min(c.size, info.size))
	switch {
	case !theirs.endsAt(p, p.Offset) && k.relation != unrelated: // it was cut, and its reader will notice
		k.stale = true
		if k.relation == shares && n == c.size { // it is a copy of what has been written since
			k.relation, k.at, k.exact = within, c.size, true
		}
	case n < receiver.AnchorSize && n < c.size && n < info.size: // too little to tell
		k.relation = unrelated
	case n < c.size && n < info.size:
		k.relation, k.at, k.exact = shares, c.lineStart(n), true
	case n == c.size && (c.size >= receiver.AnchorSize || c.size == info.size || k.relation == within):
		k.relation, k.at, k.exact, k.done = within, c.lineStart(n), true, c.whole && c.size == info.size
	case n == c.size:
		k.relation = tooShort
	default:
		if n = c.lineStart(n); k.relation == continues {
			n = max(n, p.Offset)
		}
		if n == 0 {
			k.relation = unrelated
			return
		}
		k.relation, k.at, k.exact, k.lost = continues, n, true, k.lost || k.gone
		if r == beside && !k.gone { // no copy is longer than what it was made of
			k.relation = shares
		}
	}
}

// trimmed looks for the end of what was counted of the file that had the target's name before: its
// lines may stand elsewhere in the one that has it now.
func (l *look) trimmed(c *content, known []kinship) (all []kinship) {
	whole := func(p *receiver.FilePosition) bool { // it holds all of it where it was
		return slices.ContainsFunc(known, func(k kinship) bool {
			return k.id == p.ID && k.of.Cut == p.Cut && (k.relation == continues || k.relation == within && k.done)
		})
	}
	for _, p := range l.s.known.before(l.t.path, l.last, l.info.id, l.gone) {
		gone := p.open || p.owed
		if p.fd >= 0 {
			info, err := statFD(p.fd)
			gone = gone || err == nil && info.links == 0
			unix.Close(p.fd)
		}
		if at := c.search(&p.pos); at >= 0 && at != p.pos.Offset && !whole(&p.pos) {
			all = append(all, kinship{relation: moved, at: at, exact: true, id: p.pos.ID, of: p.pos,
				lost: p.open || p.owed, gone: gone, order: p.order})
		}
	}
	return all
}

// before returns the file that had a target's name last, also if it is another target's, those that
// are gone, and what was cut. The caller closes their descriptors.
func (c *catalogue) before(target string, last, not receiver.FileID, gone map[receiver.FileID]bool) (all []relative) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.files {
		place := e.Place
		if e.gen != nil {
			place = e.gen.path
		}
		own := e.Target == target && (gone[e.id()] || e.id() == last)
		others := e.Target != target && place == target
		if e.id() == not || e.Verdict != Reading && e.Verdict != Read || e.Pos.Copy || !own && !others {
			continue
		}
		r := relative{pos: e.position(), owed: gone[e.id()], order: e.order, fd: -1}
		if e.gen != nil {
			r.fd, _ = unix.FcntlInt(uintptr(e.gen.fd), unix.F_DUPFD_CLOEXEC, 0)
		}
		all = append(all, r)
	}
	for _, cut := range c.cuts {
		if cut.Target == target && cut.Open {
			all = append(all, relative{pos: cut.Pos, open: true, fd: -1})
		}
	}
	return all
}

// hasCopy reports whether a file beside the target holds what is counted of one of the target's.
func (t *target) hasCopy(p *receiver.FilePosition) bool {
	dir, base := t.place()
	list, _ := listSiblings(dir, base, &nameList{})
	return slices.ContainsFunc(list.files, func(x sibling) bool {
		fd, err := openLog(x.path)
		if err != nil {
			return false
		}
		defer unix.Close(fd)
		c := newContent(t.reads(fd, nil), x.info.size, true)
		if isCompressed(x.path) {
			if c, _ = t.unpacked(x.path, fd); c == nil {
				return false
			}
		}
		r, at := c.relate(p)
		return x.info.id != p.ID && (r == continues || r == within && at == p.Offset)
	})
}

// isStamped reports whether a content's first line has a time stamp. Part of a line is taken to
// have one.
func (t *target) isStamped(c *content) bool {
	first := c.at(0, min(c.size, 1<<10))
	end := bytes.IndexByte(first, '\n')
	if end < 0 {
		return true
	}
	var m receiver.Message
	return t.src.Dialect.Scan(first[:end], &m) == receiver.Kept && m.Stamp != nil
}

// reads returns what reads an open file; while stop returns true it fails with errStopped.
func (t *target) reads(fd int, stop func() bool) preader {
	return func(p []byte, offset int64) (int, error) {
		if stop != nil && stop() {
			return 0, errStopped
		}
		return t.set.pread(fd, p, offset)
	}
}

// lacks reports whether lines are looked for that a copy holds: what it was made of was cut before
// they were counted, or is gone.
func (c *catalogue) lacks(e *entry, gone bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cut := range c.cuts {
		if cut.Open && cut.Pos.ID == e.Of && cut.Pos.Cut >= e.Pos.Cut && cut.Pos.Offset < e.Pos.Offset {
			return true
		}
	}
	of := c.files[e.Of]
	return gone && of != nil && of.Pos.Cut == e.Pos.Cut && of.Pos.Offset < e.Pos.Offset
}

// hasOpen reports whether lines of one of a target's files are looked for that was cut.
func (c *catalogue) hasOpen(target string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cut := range c.cuts {
		if cut.Open && cut.Target == target {
			return true
		}
	}
	return false
}

// age ends the search for copies of what was cut, after some looks.
func (c *catalogue) age(target string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cut := range c.cuts {
		if cut.Open && cut.Target == target {
			cut.looks++
			cut.Open = cut.looks < maxAbsent
		}
	}
}

// foundEmpty says that what one of the files that are gone held, of which nothing had been counted,
// is found elsewhere.
func (c *catalogue) foundEmpty(gone map[receiver.FileID]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range gone {
		if e := c.files[id]; e != nil && e.owed() && e.Pos.Offset == 0 {
			e.Verdict = Read
			return
		}
	}
}

func (c *catalogue) forget(id receiver.FileID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unset(c.files[id])
}
