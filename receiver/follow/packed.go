package follow

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"rsyncd_exporter/receiver"
)

// compressed are the endings of names whose bytes are no lines.
var compressed = [...]string{".gz", ".bz2", ".xz", ".zst", ".lz4", ".lz", ".lzma", ".lzo", ".Z", ".zip", ".7z"}

func isCompressed(path string) bool {
	return slices.ContainsFunc(compressed[:], func(end string) bool { return strings.HasSuffix(path, end) })
}

// A packedFile is what a generation is that reads a compressed file. Such a file holds lines which
// have never been counted: those behind the position of a file that is gone or was cut, or those of
// a generation that was rotated and compressed before anybody looked. It is read once, to its end.
//
// FilePosition.Offset and all hashes are of the unpacked lines. ID is the compressed file's own, as
// with every other copy that is read in the place of what it was made from: after a restart, it is
// found by that, whatever it is called then.
type packedFile struct {
	path string
}

// unpackStart returns what the start of a compressed file holds, by which it is compared. It
// returns nil where the file isn't to be read, or not yet, and says so in e.
func (l *look) unpackStart(g *generation, e *entry, f *facts) *content {
	t := l.t
	c, err := t.unpacked(g.path, g.fd)
	grew := e.Size >= 0 && e.Size != g.info.size
	e.Verdict, e.Size, e.Pos.Offset = Old, g.info.size, g.info.size
	switch {
	case c != nil && c.size >= receiver.AnchorSize: // whoever reads on meets the error again
	case errors.Is(err, io.ErrUnexpectedEOF) && (grew || e.torn < maxTorn): // somebody is still writing it
		if e.torn++; grew {
			e.torn = 0
		}
		e.Verdict, e.Pos.Offset = Unsure, 0
		l.showUnpackable(g, err)
		return nil
	case err != nil:
		t.noteUnpackable(g.path, 0, err)
		return nil
	case c.size == 0:
		return nil
	}
	f.size, f.stamped, f.others = c.size, t.isStamped(c), l.kinships(c, g, beside)
	if slices.ContainsFunc(f.others, func(k kinship) bool { return k.lost && k.relation == shares }) {
		l.showUnpackable(g, errOther)
	}
	f.rotated = e.eligible && g.info.written >= e.since // once it is made it has the time of its original
	f.older = false
	return c
}

// showUnpackable shows why a compressed file isn't read, where lines of one that is gone are looked
// for.
func (l *look) showUnpackable(g *generation, err error) {
	if l.owing {
		l.t.showTrouble(g.path, 0, err)
	}
}

// unpacked returns what the start of a compressed file holds, together with an error if that is not
// all that should be there. It is nil if the file can't be unpacked at all.
func (t *target) unpacked(path string, fd int) (*content, error) {
	if !canUnpack(path) {
		return nil, errors.ErrUnsupported
	}
	u, err := newUnpacker(path, &fileReader{read: t.reads(fd, nil)})
	if err != nil {
		return nil, err
	}
	defer u.close()
	start, err := io.ReadAll(io.LimitReader(u, headMost+1))
	return newContent(func(p []byte, offset int64) (int, error) {
		return copy(p, start[min(offset, int64(len(start))):]), nil
	}, int64(len(start)), err == nil && int64(len(start)) <= headMost), err
}

// A fileReader reads a file from its start. It leaves the descriptor's own offset alone.
type fileReader struct {
	read preader
	at   int64
}

func (r *fileReader) Read(p []byte) (int, error) {
	n, err := r.read(p, r.at)
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	r.at += int64(n)
	return n, err
}

// runPacked reads a compressed file to its end, in its turn; a torn one again as long as it grows.
func (g *generation) runPacked() {
	t := g.target
	g.awaitTurn()
	if g.stream == nil { // the files of one daemon have to be read at the same time
		select {
		case t.set.unpacking <- struct{}{}:
		case <-t.set.ending:
			return
		}
		defer func() { <-t.set.unpacking }()
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
			t.noteUnpackable(g.packed.path, g.pos.Offset, err)
			break
		}
		g.report(err)
		select {
		case <-time.After(t.set.opt.Poll):
		case <-t.set.ending:
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
func (g *generation) stopped() bool { return closed(g.target.set.ending) }

var errOther = errors.New("it holds other lines than the file that has gone held before")

// unpack delivers what follows g.pos. It returns nil at the end, or when stopped.
func (g *generation) unpack() error {
	info, err := statFD(g.fd)
	if err != nil {
		return err
	}
	u, err := newUnpacker(g.packed.path, &fileReader{read: g.target.reads(g.fd, g.stopped)})
	if err != nil {
		return err
	}
	defer u.close()
	b := g.target.set.blocks.Get().(*block)
	defer g.target.set.blocks.Put(b)
	err = g.unpackTo(u, b)
	have := 0
	for err == nil && !g.stopped() {
		var n int
		n, err = u.Read(b.buf[have:])
		g.size.Store(g.pos.Offset + max(0, info.size-u.in.n))
		have += n
		end := g.takeBlock(b, b.buf[:have], 0, g.pos.Offset)
		have = copy(b.buf, b.buf[end:have])
	}
	if err != io.EOF || g.stopped() { // what has not had its turn is for the next start
		return err
	}
	if have > 0 { // a line that never ended
		g.marks.advance(&g.pos, b.buf[:have])
		g.pos.Skipping = true
		b.slab.Discarded[receiver.Incomplete]++
		g.deliver(&b.slab, time.Now().UnixNano())
	}
	return nil
}

// unpackTo reads up to g.pos, and finds out whether those are the lines that have been counted.
func (g *generation) unpackTo(u *unpacker, b *block) error {
	at := receiver.FilePosition{ID: g.pos.ID}
	g.marks.reset()
	for at.Offset < g.pos.Offset {
		n, err := u.Read(b.buf[:min(int64(len(b.buf)), g.pos.Offset-at.Offset)])
		g.marks.advance(&at, b.buf[:n])
		switch {
		case at.Offset == g.pos.Offset:
		case err == io.EOF, err == io.ErrUnexpectedEOF && !u.torn:
			return errOther
		case err != nil:
			return err
		}
	}
	if !bytes.Equal(anchorOf(&at), anchorOf(&g.pos)) || g.pos.Tails[0] != 0 && at.Tails != g.pos.Tails {
		return errOther
	}
	skipping, parts := g.pos.Skipping, g.pos.Parts
	at.Copy, at.Cut, at.Skipping, at.Parts = g.pos.Copy, g.pos.Cut, skipping, parts
	g.pos = at
	return nil
}

// hasOriginal reports whether a compressed file may be incomplete, as its original is still there.
func (l *listing) hasOriginal(path string) bool {
	plain := path
	for _, end := range unpackable {
		plain = strings.TrimSuffix(plain, end)
	}
	return plain != path && slices.ContainsFunc(l.files, func(x sibling) bool { return x.path == plain })
}
