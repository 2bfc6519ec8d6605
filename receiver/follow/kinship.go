package follow

import (
	"bytes"
	"math"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// A relative is a file, or what one held before it was cut, that begins like a file to be judged.
type relative struct {
	pos    receiver.FilePosition
	target string
	fd     int // a duplicate, -1 if it isn't open or is compressed
	cut    bool
	open   bool // of a cut: its lines beyond pos are looked for
	owed   bool
	ended  bool // a copy: nobody writes to it
	order  uint64
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
		r := relative{pos: e.position(), target: e.Target, fd: -1, owed: e.owed(), ended: e.Pos.Copy, order: e.order}
		plain := e.gen != nil && e.gen.packed == nil
		// What is open may hold more than has been read of it, and other lines than had been read.
		if !alike(&r.pos) && !(plain && (r.pos.Offset < receiver.AnchorSize || e.Target == target)) {
			continue
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
			all = append(all, relative{pos: cut.Pos, target: cut.Target, fd: -1, cut: true, open: cut.Open, order: math.MaxUint64})
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
		k := l.kinship(c, &other, r)
		if other.fd >= 0 {
			unix.Close(other.fd)
		}
		if k.relation != unrelated {
			all = append(all, k)
		}
	}
	if r == named && g.packed == nil {
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

func (l *look) kinship(c *content, other *relative, r role) kinship {
	p := &other.pos
	k := kinship{id: p.ID, of: *p, order: other.order}
	k.lost = other.open || other.owed && (l.lost[p.ID] || other.target != l.t.path) || other.ended
	k.apart = other.target != l.t.path && other.target != "" && !k.lost && !other.cut
	k.relation, k.at = c.relate(p)
	k.exact = k.relation != shares
	k.done = k.relation == within && c.whole && c.size == p.Offset
	if k.done && k.lost {
		k.relation, k.at = continues, p.Offset
	}
	if other.fd < 0 {
		return k
	}
	info, err := statFD(other.fd)
	if err != nil {
		return k
	}
	theirs := newContent(l.t.reads(other.fd, nil), info.size, true)
	n := commonLength(c, theirs, min(c.size, info.size))
	switch {
	case n < min(p.Offset, c.size) && k.relation != shares: // it was cut, and its reader will notice
	case n < receiver.AnchorSize && n < c.size: // too little to tell
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
		if k.relation, k.at, k.exact = continues, n, true; r == beside { // no copy is longer than what it was made of
			k.relation = shares
		}
	}
	return k
}

// trimmed looks for the end of what was counted of the file that had the target's name before: its
// lines may stand elsewhere in the one that has it now.
func (l *look) trimmed(c *content, known []kinship) (all []kinship) {
	for i := range known {
		if k := &known[i]; k.relation == continues || k.relation == within && k.done {
			return nil
		}
	}
	for _, p := range l.s.known.before(l.t.path, l.t.record.Named, l.info.id) {
		if at := c.search(&p.pos); at >= 0 {
			lost := p.open || p.owed
			all = append(all, kinship{relation: moved, at: at, exact: true, id: p.pos.ID, of: p.pos, lost: lost, order: p.order})
		}
	}
	return all
}

// before returns the file that had a target's name last, and what was cut of the target's files.
func (c *catalogue) before(target string, last, not receiver.FileID) (all []relative) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var latest *entry
	for _, e := range c.files {
		if e.Target != target || e.id() == not || e.Verdict != Reading && e.Verdict != Read || e.Pos.Copy {
			continue
		}
		if e.id() == last || latest == nil || latest.id() != last && e.order > latest.order {
			latest = e
		}
	}
	if latest != nil {
		all = append(all, relative{pos: latest.position(), owed: latest.owed(), order: latest.order})
	}
	for _, cut := range c.cuts {
		if cut.Target == target && cut.Open {
			all = append(all, relative{pos: cut.Pos, open: true})
		}
	}
	return all
}

// isStamped reports whether a content's first line has a time stamp. Part of a line is taken to have one.
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

// isOpen reports whether lines of a file are looked for that were not counted before it was cut.
func (c *catalogue) isOpen(id receiver.FileID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cut := range c.cuts {
		if cut.Open && cut.Pos.ID == id {
			return true
		}
	}
	return false
}

// hasOpen is isOpen for any file of a target.
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

func (c *catalogue) forget(id receiver.FileID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.files, id)
}
