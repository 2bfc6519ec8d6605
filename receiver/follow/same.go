package follow

import (
	"bytes"
	"slices"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// Whether two files hold the same lines is told by at most receiver.AnchorSize bytes at their
// starts and before the offset where they are compared.

func anchorOf(p *receiver.FilePosition) []byte { return p.Anchor[:min(p.Offset, receiver.AnchorSize)] }

// movePosition sets Offset to the end of data, which begins at base. Above 0, Head must be known.
func movePosition(p *receiver.FilePosition, data []byte, base int64) {
	if base == 0 {
		copy(p.Head[:], data)
	}
	p.Offset = base + int64(len(data))
	copy(p.Anchor[:], data[max(0, len(data)-receiver.AnchorSize):])
}

// startsLike reports whether head is how p's file starts, as far as both are known.
func startsLike(p receiver.FilePosition, head []byte) bool {
	start := p.Head[:]
	if p.Offset < receiver.AnchorSize {
		start = anchorOf(&p)
	}
	n := min(len(start), len(head))
	return n > 0 && bytes.Equal(start[:n], head[:n])
}

// startsAs is startsLike for a file that is shorter than AnchorSize only if head is.
func startsAs(p receiver.FilePosition, head []byte) bool {
	return int64(len(head)) >= min(p.Offset, receiver.AnchorSize) && startsLike(p, head)
}

// pread is pread(2), done again when a signal has interrupted it.
func (f *File) pread(fd int, p []byte, offset int64) (n int, err error) {
	for {
		if n, err = f.opt.pread(fd, p, offset); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// bytesAt returns n bytes of a file from offset on, nil if it hasn't so many or can't be read.
func (f *File) bytesAt(fd int, offset, n int64) []byte {
	buf := make([]byte, n)
	if got, err := f.pread(fd, buf, offset); err != nil || got < len(buf) {
		return nil
	}
	return buf
}

// compare reports whether a file has the bytes of want from offset on.
func (f *File) compare(fd int, want []byte, offset int64) (bool, error) {
	buf := make([]byte, len(want))
	n, err := f.pread(fd, buf, offset)
	return err == nil && bytes.Equal(buf[:n], want), err
}

func (f *File) hasBytes(fd int, want []byte, offset int64) bool {
	same, _ := f.compare(fd, want, offset)
	return same
}

// intact reports whether a file holds what p knows of it. Anchors alone may match: lines end alike.
func (f *File) intact(fd int, p receiver.FilePosition) (bool, error) {
	anchor := anchorOf(&p)
	same, err := f.compare(fd, anchor, p.Offset-int64(len(anchor)))
	if same && p.Offset >= receiver.AnchorSize {
		return f.compare(fd, p.Head[:], 0)
	}
	return same, err
}

func (f *File) continues(fd int, p receiver.FilePosition) bool {
	same, _ := f.intact(fd, p)
	return same
}

// sameEnds reports whether two files start with the same bytes and have the same ones before size.
func (f *File) sameEnds(a, b int, size int64) bool {
	n := min(size, receiver.AnchorSize)
	same := func(offset int64) bool {
		want := f.bytesAt(a, offset, n)
		return want != nil && f.hasBytes(b, want, offset)
	}
	return same(0) && same(size-n)
}

// isCopy reports whether the new generation g holds what is read elsewhere: it starts and ends like
// one that is held or about to be (others), or starts like one that has been read and has its
// anchor. Where that one has been cut since (copytruncate) or is gone, its first bytes are enough:
// a copy made before it was read so far, or between two cuts, lacks the anchor.
func (f *File) isCopy(g *generation, size int64, others []*generation) bool {
	head := f.bytesAt(g.fd, 0, min(size, receiver.AnchorSize))
	if head == nil {
		return false
	}
	short := size < receiver.AnchorSize
	starts := func(p receiver.FilePosition) bool { return p.Offset >= receiver.AnchorSize && startsLike(p, head) }
	anchored := func(fd int, p receiver.FilePosition) bool {
		return f.hasBytes(fd, p.Anchor[:], p.Offset-receiver.AnchorSize)
	}
	holds := func(h *generation) bool { return h != nil && f.sameEnds(g.fd, h.fd, size) }
	if slices.ContainsFunc(others, holds) {
		return true
	}
	for _, h := range f.generations {
		p := h.shown()
		if holds(h) || starts(p) && (short || anchored(g.fd, p) || !anchored(h.fd, p)) {
			return true
		}
	}
	return slices.ContainsFunc(f.positions(starts), func(p knownPosition) bool {
		return p.cut || short || anchored(g.fd, p.pos)
	})
}

// withoutCopies closes those of taken that are earlier copies of the same file as g.
func (f *File) withoutCopies(taken []*generation, g *generation) []*generation {
	return slices.DeleteFunc(taken, func(t *generation) bool {
		size := t.size.Load()
		if t.again || size > g.size.Load() || !f.sameEnds(t.fd, g.fd, size) {
			return false
		}
		f.siblings.noteCopy(t.id, size)
		f.discard(t)
		return true
	})
}

// knowsHead reports whether a file that is held, or has been, starts with these bytes.
func (f *File) knowsHead(head []byte) bool {
	starts := func(p receiver.FilePosition) bool { return startsAs(p, head) }
	same := func(old []byte) bool { return bytes.Equal(old, head) }
	return len(f.positions(starts)) > 0 || slices.ContainsFunc(f.oldHeads, same) ||
		slices.ContainsFunc(f.generations, func(g *generation) bool {
			if g.packed != nil {
				return same(g.packed.head)
			}
			return f.hasBytes(g.fd, head, 0)
		})
}

// resembles reports whether the open file may hold what has been read here: it starts like a file
// that is held, or has been, and has the bytes before the place up to which that was read, or is
// shorter. Another goroutine than the looker may call it.
func (f *File) resembles(fd int, size int64) bool {
	head := f.bytesAt(fd, 0, min(size, receiver.AnchorSize))
	if head == nil {
		return false
	}
	like := func(p receiver.FilePosition) bool { return startsLike(p, head) }
	has := func(p receiver.FilePosition) bool {
		anchor := anchorOf(&p)
		return p.Offset > size || f.hasBytes(fd, anchor, p.Offset-int64(len(anchor)))
	}
	held, fds := f.heldFiles()
	defer func() {
		for _, held := range fds {
			closeFD(held)
		}
	}()
	return slices.ContainsFunc(held, func(p receiver.FilePosition) bool { return like(p) && has(p) }) ||
		slices.ContainsFunc(fds, func(held int) bool { return f.sameEnds(fd, held, size) }) ||
		slices.ContainsFunc(f.positions(like), func(p knownPosition) bool { return has(p.pos) })
}

// heldFiles returns how far the held files have been read, and descriptors of those that aren't
// compressed, for the caller to close. So nobody waits for mu while a read waits for a file server.
func (f *File) heldFiles() (held []receiver.FilePosition, fds []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.generations {
		held = append(held, g.shown())
		if g.packed != nil {
			continue
		}
		if fd, err := unix.FcntlInt(uintptr(g.fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			fds = append(fds, fd)
		}
	}
	return held, fds
}

// A knownPosition is how far a file was read that is no longer held, or before it was cut.
type knownPosition struct {
	pos receiver.FilePosition
	cut bool // or is gone
}

// positions returns copies of those of which like holds, so that no read keeps mu.
func (f *File) positions(like func(receiver.FilePosition) bool) (all []knownPosition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.cuts {
		if like(p) {
			all = append(all, knownPosition{p, true})
		}
	}
	for id, p := range f.past {
		if _, gone := f.owed[id]; like(p.pos) {
			all = append(all, knownPosition{p.pos, gone})
		}
	}
	return all
}

// furthest returns p, or a place further on in g up to which its bytes are counted elsewhere: one
// of two files may have been a copy of the other once. What is still to be read of the other, if
// that is held, counts there.
func (f *File) furthest(g *generation, p receiver.FilePosition) receiver.FilePosition {
	further := func(q receiver.FilePosition) bool { return q.Offset > p.Offset && q.Offset >= receiver.AnchorSize }
	for _, known := range f.positions(further) {
		if further(known.pos) && f.continues(g.fd, known.pos) {
			p = known.pos
		}
	}
	b := f.blocks.Get().(*block)
	defer f.blocks.Put(b)
	before, offset := g.pos, g.offset.Load()
	for _, h := range f.generations {
		if h.id == g.id || h.packed != nil {
			continue
		}
		if q := h.shown(); further(q) && f.continues(g.fd, q) { // also where it was cut since
			p = q
		}
		info, err := statFD(h.fd)
		size := min(info.size, g.size.Load())
		if err == nil && size > p.Offset && size >= receiver.AnchorSize && f.sameEnds(h.fd, g.fd, size) &&
			g.resume(size, b) == nil {
			p = g.pos
		}
	}
	g.pos = before
	g.offset.Store(offset)
	return p
}
