package follow

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

const (
	maxOldHeads = 32               // see noteOld
	maxTorn     = 3                // reads of a torn file that doesn't grow, one poll apart, before it is given up
	unpackErr   = 10 * time.Minute // how long Status shows that a compressed file could not be read
)

// A packed generation is a compressed file (gzip, zstd) that holds lines which have never been counted: those behind the position of a
// file that is gone, or those of a generation that was rotated and compressed before anybody looked. It is read once, to its end.
//
// FilePosition.Offset, Head and Anchor are of the lines as they were before. ID is the compressed file's own, as with every other copy
// that is read in the place of what it was made from: after a restart, it is found by that, whatever it is called then.
type packed struct {
	path string
	head []byte // what it starts with, AnchorSize bytes or all that there are
}

// readHead returns what the compressed file starts with.
func (f *File) readHead(path string, fd int) ([]byte, error) {
	u, err := newUnpacker(path, &preader{f: f, fd: fd})
	if err != nil {
		return nil, err
	}
	defer u.close()
	head := make([]byte, receiver.AnchorSize)
	n, err := io.ReadFull(u, head)
	if err == io.EOF || err == io.ErrUnexpectedEOF && !u.torn { // it is short
		err = nil
	}
	return head[:n], err
}

// A preader reads a file from its start. It leaves the descriptor's own offset alone.
type preader struct {
	f    *File
	fd   int
	at   int64
	stop func() bool
}

func (r *preader) Read(p []byte) (int, error) {
	for {
		if r.stop != nil && r.stop() {
			return 0, errStopped
		}
		n, err := r.f.pread(r.fd, p, r.at)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		r.at += int64(n)
		return n, nil
	}
}

// packedContinuation returns a generation, opened, that reads the compressed file which holds what p was read from, or nil. Only the
// start is compared here; whoever reads on finds out whether the bytes before p's offset are there, too.
func (f *File) packedContinuation(p receiver.FilePosition, beside listing) *generation {
	var found []sibling
	for _, x := range beside.files {
		if _, known := f.pastPosition(x.info.id); !known && canUnpack(x.path) && f.held(x.info.id) == nil {
			found = append(found, x)
		}
	}
	slices.SortStableFunc(found, func(a, b sibling) int { return cmp.Compare(b.info.written, a.info.written) })
	var bad sibling
	var badErr error
	for _, x := range found {
		g, fresh, err := f.open(x.path, x.info, false)
		if err != nil || !fresh {
			continue
		}
		head, err := f.readHead(x.path, g.fd)
		if g.id == x.info.id && err == nil && startsAs(p, head) {
			g.packed = &packed{x.path, head}
			g.goOn(p)
			return g
		}
		f.discard(g)
		if err != nil {
			bad, badErr = x, err
		}
	}
	if badErr != nil { // perhaps it was this one
		f.showUnpackable(bad.path, 0, badErr)
	}
	return nil
}

// startsAs reports whether a file that starts with head may be the one that p is of.
func startsAs(p receiver.FilePosition, head []byte) bool {
	if p.Offset >= receiver.AnchorSize {
		return bytes.Equal(p.Head[:], head)
	}
	return p.Offset > 0 && bytes.HasPrefix(head, anchorOf(&p))
}

// judgePacked opens a compressed sibling that has come since the look before, if it holds a generation that nobody has seen: it was
// last written to since, and starts like none that is known. Otherwise it notes what it is and returns nil.
func (s *siblings) judgePacked(f *File, x sibling, before mark) (*generation, error) {
	id := x.info.id
	since := f.unseenSince
	if before.since != 0 {
		since = before.since
	}
	if !canUnpack(x.path) {
		s.note(id, leave)
		return nil, nil
	}
	if before.original { // it has not been made yet, and has no time of its own
		s.seen[id] = mark{verdict: await, since: since}
		return nil, nil
	}
	g, fresh, err := f.open(x.path, x.info, false)
	if err != nil || !fresh || g.id != id {
		if fresh {
			f.discard(g)
		}
		s.seen[id] = mark{verdict: retry, since: since}
		if isMissing(err) || errors.Is(err, unix.ELOOP) || errors.Is(err, errTaken) {
			err = nil
		}
		return nil, err
	}
	info, err := statFD(g.fd) // once it is made it has the time of its original
	if err != nil || info.written < since {
		s.note(id, leave)
		f.discard(g)
		return nil, err
	}
	head, err := f.readHead(x.path, g.fd)
	switch {
	case err == nil && len(head) > 0 && !f.knowsHead(head):
		g.packed = &packed{x.path, head}
		return g, nil
	case errors.Is(err, io.ErrUnexpectedEOF) && before.torn < maxTorn: // somebody is still writing it
		torn := before.torn + 1
		if before.size != x.info.size {
			torn = 0
		}
		s.seen[id] = mark{verdict: await, torn: torn, size: x.info.size, since: since}
	case err != nil:
		f.noteUnpackable(x.path, 0, err)
		s.note(id, leave)
	default:
		s.note(id, leave)
	}
	f.discard(g)
	return nil, nil
}

// knowsHead reports whether a file that is held, or has been, starts with these bytes.
func (f *File) knowsHead(head []byte) bool {
	buf := make([]byte, len(head))
	for _, g := range f.generations {
		if g.packed != nil {
			if bytes.Equal(g.packed.head, head) {
				return true
			}
		} else if f.hasBytes(g.fd, buf, head, 0) {
			return true
		}
	}
	if slices.ContainsFunc(f.oldHeads, func(old []byte) bool { return bytes.Equal(old, head) }) {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.cuts {
		if startsAs(p, head) {
			return true
		}
	}
	for _, p := range f.past {
		if startsAs(p.pos, head) {
			return true
		}
	}
	return false
}

// noteUnpackable keeps account of a compressed file that can't be read, or not to its end.
func (f *File) noteUnpackable(path string, offset int64, err error) {
	f.noteGap(GapUnread)
	f.errors.Add(1)
	f.showUnpackable(path, offset, err)
}

// showUnpackable has Status show for a while that a compressed file can't be read.
func (f *File) showUnpackable(path string, offset int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unpackErr = fmt.Errorf("%s: %q, at offset %d of what is compressed in it: %w; what follows there is not counted", f, path, offset, err)
	f.unpackErrAt = f.clock()
}

// runPacked reads a compressed file to its end, in its turn; a torn one again as long as it grows.
func (g *generation) runPacked() {
	f := g.file
	g.awaitTurn()
	if g.stream == nil { // the files of one daemon have to be read at the same time
		select {
		case f.shared.unpacking <- struct{}{}:
		case <-f.ending:
			return
		}
		defer func() { <-f.shared.unpacking }()
	}
	g.behind.Store(true)
	for torn, size := 0, int64(-1); ; torn++ {
		err := g.unpack()
		if g.stopped() {
			return // whatever it says
		}
		info, serr := statFD(g.fd)
		if serr == nil && info.size != size {
			torn, size = 0, info.size
		}
		if err != nil && (serr != nil || !errors.Is(err, io.ErrUnexpectedEOF) || torn >= maxTorn) {
			f.noteUnpackable(g.packed.path, g.pos.Offset, err)
		} else if err != nil {
			g.trouble.Store(new(fmt.Errorf("%s: reading %q: %w; waiting for the rest of it", f, g.packed.path, err)))
			select {
			case <-time.After(f.opt.Poll):
				continue
			case <-f.ending:
				return
			}
		}
		g.trouble.Store(nil)
		g.behind.Store(false)
		g.size.Store(g.pos.Offset)
		g.ended.Store(g.pos.Offset)
		g.arrive()
		g.caughtUp()
		return
	}
}

// stopped reports whether the input is to end: then nothing is read any more, and what is left is read after the next start.
func (g *generation) stopped() bool {
	select {
	case <-g.file.ending:
		return true
	default:
		return false
	}
}

var errOther = errors.New("it holds other lines than the file that has gone held before")

// unpack delivers what follows g.pos in the compressed file. It returns nil at its end, and errStopped when it is told to stop; the
// position is then what has been delivered.
func (g *generation) unpack() error {
	info, err := statFD(g.fd)
	if err != nil {
		return err
	}
	u, err := newUnpacker(g.packed.path, &preader{f: g.file, fd: g.fd, stop: g.stopped})
	if err != nil {
		return err
	}
	defer u.close()
	b := g.file.blocks.Get().(*block)
	defer g.file.blocks.Put(b)
	have, err := g.unpackTo(u, b)
	for err == nil {
		var n int
		n, err = u.Read(b.buf[have:])
		g.size.Store(g.pos.Offset + max(0, info.size-u.in.n))
		have = g.takeUnpacked(b, have+n)
		if err == nil && g.stopped() {
			err = errStopped
		}
	}
	if err != io.EOF {
		return err
	}
	if left := have - len(anchorOf(&g.pos)); left > 0 { // a line that never ended
		base := g.pos.Offset - int64(len(anchorOf(&g.pos)))
		movePosition(&g.pos, b.buf[:have], base)
		g.pos.Skipping = true
		b.slab.Discarded[receiver.Incomplete]++
		g.deliver(&b.slab, time.Now().UnixNano())
	}
	return nil
}

// unpackTo reads up to g.pos and puts its anchor at the start of the block. It returns how long that is.
func (g *generation) unpackTo(u *unpacker, b *block) (have int, err error) {
	anchor := anchorOf(&g.pos)
	for skip := g.pos.Offset - int64(len(anchor)); skip > 0; {
		n, err := u.Read(b.buf[:min(skip, int64(len(b.buf)))])
		skip -= int64(n)
		switch {
		case g.stopped():
			return 0, errStopped
		case err == io.EOF:
			return 0, errOther
		case err != nil:
			return 0, err
		}
	}
	n, err := io.ReadFull(u, b.buf[:len(anchor)])
	if err == io.EOF || err == io.ErrUnexpectedEOF && !u.torn || err == nil && !bytes.Equal(b.buf[:n], anchor) {
		return 0, errOther
	}
	return n, err
}

// takeUnpacked delivers the complete lines in the first bytes of the block, which start with the anchor, and moves what is left of them
// to its start, behind the new anchor. It returns how many bytes that are.
func (g *generation) takeUnpacked(b *block, have int) (left int) {
	start := len(anchorOf(&g.pos))
	end, at := g.takeBlock(b, b.buf[:have], start, g.pos.Offset-int64(start)), 0
	if end > start {
		at = end - len(anchorOf(&g.pos))
	}
	return copy(b.buf, b.buf[at:have])
}

// packedAlike reports whether other is a compressed file that holds the same.
func (g *generation) packedAlike(other *generation) bool {
	return other.packed != nil && bytes.Equal(other.packed.head, g.packed.head)
}

// packedFirst orders compressed generations before others: they were rotated earlier, though made later.
func packedFirst(a, b *generation) int {
	rank := func(g *generation) int {
		if g.packed != nil {
			return 0
		}
		return 1
	}
	return cmp.Compare(rank(a), rank(b))
}

// hasOriginal reports whether what the compressed file at path is made from is still there, so that it may be incomplete.
func (l *listing) hasOriginal(path string) bool {
	plain := strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst")
	return plain != path && slices.ContainsFunc(l.files, func(x sibling) bool { return x.path == plain })
}

// noteOld remembers how the siblings start that are there at the very first look and not read: what holds the same, compressed later, is
// no new file, though somebody may still have written to it.
func (f *File) noteOld(beside listing) {
	for _, x := range beside.files[max(0, len(beside.files)-maxOldHeads):] {
		if isCompressed(x.path) || x.info.size < receiver.AnchorSize {
			continue
		}
		fd, err := openLog(x.path)
		if err != nil {
			continue
		}
		if head := make([]byte, receiver.AnchorSize); f.hasBytes(fd, head, nil, 0) {
			f.oldHeads = append(f.oldHeads, head)
		}
		unix.Close(fd)
	}
}
