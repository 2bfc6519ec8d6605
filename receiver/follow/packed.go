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

// compressed are the endings of names whose bytes are no lines.
var compressed = [...]string{".gz", ".bz2", ".xz", ".zst", ".lz4", ".lz", ".lzma", ".lzo", ".Z", ".zip", ".7z"}

func isCompressed(path string) bool {
	return slices.ContainsFunc(compressed[:], func(end string) bool { return strings.HasSuffix(path, end) })
}

// A packed generation is a compressed file (gzip, zstd) that holds lines which have never been
// counted: those behind the position of a file that is gone, or those of a generation that was
// rotated and compressed before anybody looked. It is read once, to its end.
//
// FilePosition.Offset, Head and Anchor are of the unpacked lines. ID is the compressed file's own,
// as with every other copy that is read in the place of what it was made from: after a restart, it
// is found by that, whatever it is called then.
type packed struct {
	path string
	head []byte // what it starts with, AnchorSize bytes or all that there are
}

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
	stop func() bool // nil: never
}

func (r *preader) Read(p []byte) (int, error) {
	if r.stop != nil && r.stop() {
		return 0, errStopped
	}
	n, err := r.f.pread(r.fd, p, r.at)
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	r.at += int64(n)
	return n, err
}

// packedContinuation opens the compressed file that starts as p's, or returns nil. Whoever reads on
// finds out whether it goes on the same up to p's offset.
func (f *File) packedContinuation(p receiver.FilePosition, beside listing) *generation {
	found := slices.DeleteFunc(slices.Clone(beside.files), func(x sibling) bool {
		return !canUnpack(x.path) || f.isKnown(x.info.id)
	})
	slices.SortStableFunc(found, func(a, b sibling) int { return cmp.Compare(b.info.written, a.info.written) })
	var bad string
	var badErr error
	for _, x := range found {
		g, _ := f.openSibling(x)
		if g == nil {
			continue
		}
		head, err := f.readHead(x.path, g.fd)
		if err == nil && startsAs(p, head) {
			g.packed = &packed{x.path, head}
			g.goOn(p)
			return g
		}
		f.discard(g)
		if err != nil {
			bad, badErr = x.path, err
		}
	}
	if badErr != nil { // perhaps it was this one
		f.showUnpackable(bad, 0, badErr)
	}
	return nil
}

// judgePacked opens a new compressed sibling if it was last written to since the look before and
// starts like no generation that is known. Otherwise it returns nil.
func (s *siblings) judgePacked(f *File, x sibling, before mark) (g *generation, err error) {
	since := cmp.Or(before.since, f.unseenSince)
	now := mark{verdict: leave, since: since}
	defer func() {
		if g == nil {
			s.seen[x.info.id] = now
		}
	}()
	if !canUnpack(x.path) {
		return nil, nil
	}
	if before.original { // it has not been made yet, and has no time of its own
		now.verdict = await
		return nil, nil
	}
	if g, err = f.openSibling(x); g == nil {
		now.verdict = retry
		return nil, err
	}
	info, err := statFD(g.fd) // once it is made it has the time of its original
	if err != nil || info.written < since {
		f.discard(g)
		return nil, err
	}
	head, err := f.readHead(x.path, g.fd)
	switch {
	case err == nil && len(head) > 0 && !f.knowsHead(head):
		g.packed = &packed{x.path, head}
		return g, nil
	case errors.Is(err, io.ErrUnexpectedEOF) && before.torn < maxTorn: // somebody is still writing it
		now.verdict, now.size = await, x.info.size
		if before.size == x.info.size {
			now.torn = before.torn + 1
		}
	case err != nil:
		f.noteUnpackable(x.path, 0, err)
	}
	f.discard(g)
	return nil, nil
}

func (f *File) noteUnpackable(path string, offset int64, err error) {
	f.noteGap(GapUnread)
	f.errors.Add(1)
	f.showUnpackable(path, offset, err)
}

// showUnpackable has Status show for a while that a compressed file can't be read.
func (f *File) showUnpackable(path string, offset int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unpackErr = fmt.Errorf("%s: %q, at offset %d of what is compressed in it: %w; what follows there is not counted",
		f, path, offset, err)
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
		if err == nil {
			break
		}
		if serr != nil || !errors.Is(err, io.ErrUnexpectedEOF) || torn >= maxTorn {
			f.noteUnpackable(g.packed.path, g.pos.Offset, err)
			break
		}
		g.trouble.Store(new(fmt.Errorf("%s: reading %q: %w; waiting for the rest of it", f, g.packed.path, err)))
		select {
		case <-time.After(f.opt.Poll):
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
}

// stopped reports whether the input ends: what is compressed and unread is left for the next start.
func (g *generation) stopped() bool { return closed(g.file.ending) }

var errOther = errors.New("it holds other lines than the file that has gone held before")

// unpack delivers what follows g.pos. It returns nil at the end, or when stopped.
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
	for err == nil && !g.stopped() {
		var n int
		n, err = u.Read(b.buf[have:])
		g.size.Store(g.pos.Offset + max(0, info.size-u.in.n))
		have = g.takeUnpacked(b, have+n)
	}
	if err != io.EOF {
		return err
	}
	if anchor := len(anchorOf(&g.pos)); have > anchor { // a line that never ended
		movePosition(&g.pos, b.buf[:have], g.pos.Offset-int64(anchor))
		g.pos.Skipping = true
		b.slab.Discarded[receiver.Incomplete]++
		g.deliver(&b.slab, time.Now().UnixNano())
	}
	return nil
}

// unpackTo reads up to g.pos and puts its anchor at the start of the block.
func (g *generation) unpackTo(u *unpacker, b *block) (have int, err error) {
	anchor := anchorOf(&g.pos)
	n := 0
	if _, err = io.CopyN(io.Discard, u, g.pos.Offset-int64(len(anchor))); err == nil {
		n, err = io.ReadFull(u, b.buf[:len(anchor)])
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF && !u.torn || err == nil && !bytes.Equal(b.buf[:n], anchor) {
		return 0, errOther
	}
	return n, err
}

// takeUnpacked delivers the complete lines of a block that starts with the anchor. It moves what is
// left to the start, behind the new anchor, and returns how many bytes the block holds then.
func (g *generation) takeUnpacked(b *block, have int) (left int) {
	start := len(anchorOf(&g.pos))
	end, at := g.takeBlock(b, b.buf[:have], start, g.pos.Offset-int64(start)), 0
	if end > start {
		at = end - len(anchorOf(&g.pos))
	}
	return copy(b.buf, b.buf[at:have])
}

func (g *generation) packedAlike(other *generation) bool {
	return other.packed != nil && bytes.Equal(other.packed.head, g.packed.head)
}

// packedFirst orders compressed generations before others: they were rotated earlier.
func packedFirst(a, b *generation) int {
	switch {
	case (a.packed != nil) == (b.packed != nil):
		return 0
	case a.packed != nil:
		return -1
	}
	return 1
}

// hasOriginal reports whether a compressed file may be incomplete, as its original is still there.
func (l *listing) hasOriginal(path string) bool {
	plain := strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst")
	return plain != path && slices.ContainsFunc(l.files, func(x sibling) bool { return x.path == plain })
}

// noteOld remembers how the siblings start that are there at the very first look and not read: what
// holds the same, compressed later, is no new file, though somebody may still have written to it.
func (f *File) noteOld(beside listing) {
	for _, x := range beside.files[max(0, len(beside.files)-maxOldHeads):] {
		if isCompressed(x.path) || x.info.size < receiver.AnchorSize {
			continue
		}
		fd, err := openLog(x.path)
		if err != nil {
			continue
		}
		if head := f.bytesAt(fd, 0, receiver.AnchorSize); head != nil {
			f.oldHeads = append(f.oldHeads, head)
		}
		unix.Close(fd)
	}
}
