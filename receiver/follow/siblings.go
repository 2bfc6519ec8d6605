package follow

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

const (
	maxPast    = 1024 // positions of files no longer held that a File remembers
	minPast    = 32   // where it is one of very many in a Set
	maxPastAll = 8192 // that these remember together, beyond minPast each
	maxCuts    = 32   // positions of files before they were cut
	maxSeen    = 4096 // siblings that are looked at
)

// compressed are the endings of names whose bytes are no lines.
var compressed = [...]string{".gz", ".bz2", ".xz", ".zst", ".lz4", ".lz", ".lzma", ".lzo", ".Z", ".zip", ".7z"}

// siblings finds generations that had the name and lost it between two looks: three rotations in one poll interval, or while this
// process was stopped. They are the files beside the followed one, called like it with ".something" or "-something" behind, that were
// not there at the look before. A copy, or an old log brought back from elsewhere, looks the same, and nothing may be counted twice.
// So they are taken only by a look that finds another file at the path than the look before, or none (adopt), and by the next one;
// and never if they are older than the file that was there at the start (or the one that had the name when the state was saved), or hold
// the bytes of a generation that is known. All others are known from then on and not taken later.
//
// What is there when a directory is looked at for the first time is taken for old. A generation that came and was deleted again
// between two looks leaves no trace, and none is found in a directory that we may not list.
type siblings struct {
	dir   receiver.FileID // what seen belongs to
	base  string
	names nameList // as last read
	seen  map[receiver.FileID]mark
	spare map[receiver.FileID]mark // the memory of the next scan's seen
}

// A mark is what a scan remembers of a sibling that is not held.
type mark struct {
	verdict verdict
	absent  uint8 // scans in a row that haven't found it

	// Of a compressed one that awaits its end.
	original bool  // what it is made from is still there
	torn     uint8 // scans in a row that found it torn and no longer than before
	size     int64
	since    int64 // it is new if it was written to since, in nanoseconds of the Unix epoch
}

// maxAbsent is how many scans may miss a file before it is taken for deleted: a directory that changes while it is read may not show
// all its entries.
const maxAbsent = 3

// A verdict says what is to become of a sibling.
type verdict uint8

const (
	leave verdict = iota // it is known to hold nothing new
	retry                // it is to be read, but could not be opened yet
	await                // it holds too little yet to tell whether it is a copy
	done                 // it has been read, and is to be read again if it grows while its position is remembered
)

type sibling struct {
	path string
	info fileInfo
}

// scan judges the files that listSiblings has found before the look at the path itself: whatever of them has had the name since the
// last look is no longer there then, so that look has seen a change. It returns the generations to be added, opened, oldest first, and
// an error if there are more that could not be opened. current is the generation that has the name, which may have another by now.
func (s *siblings) scan(f *File, found listing, current *generation, adopt bool) (taken []*generation, failed error) {
	if found.dir == (receiver.FileID{}) {
		return nil, nil
	}
	if !found.hidden && (found.dir != s.dir || found.base != s.base) {
		s.dir, s.base, adopt = found.dir, found.base, false
		clear(s.seen)
	}
	before := s.next()
	for _, x := range found.files {
		id := x.info.id
		same := func(g *generation) bool { return g.id == id }
		if _, done := s.seen[id]; done || f.held(id) != nil || current != nil && same(current) || slices.ContainsFunc(taken, same) {
			continue
		}
		m, known := before[id]
		delete(before, id)
		if known && m.verdict == leave {
			s.note(id, leave)
			continue
		}
		m.original = found.hasOriginal(x.path)
		g, err := s.judge(f, x, m, adopt && !known && (isCompressed(x.path) || !f.isOlder(x.info)) || known && m.verdict != done,
			append(taken, current)...)
		switch {
		case g != nil && g.packed != nil && slices.ContainsFunc(taken, g.packedAlike):
			s.note(id, leave)
			f.discard(g)
		case g != nil:
			taken = append(f.withoutCopies(taken, g), g)
		case err != nil:
			failed = err
		}
	}
	for id, m := range before {
		if !found.hidden || m.verdict == retry { // what is known is still known when the directory can be listed again
			m.absent++
		}
		switch {
		case f.held(id) != nil:
		case m.absent < maxAbsent:
			s.seen[id] = m
		case m.verdict == retry:
			g := f.lateContinuation(id, found, current)
			switch {
			case g == nil:
				f.noteGone(id) // before we could read it
			case slices.ContainsFunc(taken, func(t *generation) bool { return t.id == g.id }): // in the place of two that started alike
				closeFD(g.fd)
				f.noLongerOwed(id)
			default:
				taken = append(taken, g)
			}
		}
	}
	slices.SortStableFunc(taken, packedFirst)
	return taken, failed
}

// beginSince makes the siblings known that are older than since, so that the scan that follows takes the others.
func (s *siblings) beginSince(found listing, since int64) (adopt bool) {
	s.dir, s.base = found.dir, found.base
	for _, x := range found.files {
		if made := x.info.id.Birth; made < since && (made != 0 || x.info.written < since) {
			s.note(x.info.id, leave)
		}
	}
	return true
}

func (s *siblings) note(id receiver.FileID, v verdict) { s.seen[id] = mark{verdict: v} }

func (s *siblings) noteCopy(id receiver.FileID, size int64) {
	v := leave
	if size < receiver.AnchorSize { // too few bytes to be sure
		v = await
	}
	s.note(id, v)
}

// next makes seen an empty map and returns the one before.
func (s *siblings) next() (before map[receiver.FileID]mark) {
	s.seen, s.spare = s.spare, s.seen
	clear(s.seen)
	return s.spare
}

// judge opens a sibling that is not held, if it is to be read; otherwise it notes why it isn't and returns nil.
// others are generations that are not held yet, or nil. before is what the last scan has noted.
func (s *siblings) judge(f *File, x sibling, before mark, adopt bool, others ...*generation) (*generation, error) {
	id := x.info.id
	old, past := f.pastPosition(id)
	switch {
	case f.isOwed(id): // it may still be written to, and be deleted then
	case f.isOthers(x):
		s.note(id, leave)
		return nil, nil
	case past && isCompressed(x.path): // nobody writes to these
		s.note(id, done)
		return nil, nil
	case past && old.pos.Copy: // nor to these
		s.note(id, done)
		return nil, nil
	case past && old.saved && (x.info.size < old.pos.Offset || id.Birth == 0): // it was cut, or has given its inode to another
	case past && x.info.size <= old.pos.Offset:
		s.note(id, done)
		return nil, nil
	case !past && adopt && isCompressed(x.path):
		return s.judgePacked(f, x, before)
	case !past && (!adopt || isCompressed(x.path)):
		s.note(id, leave)
		return nil, nil
	case x.info.size == 0:
		s.note(id, await)
		return nil, nil
	}
	g, fresh, err := f.open(x.path, x.info, false)
	if fresh && g.id == id {
		if past || !f.isCopy(g, x.info.size, others) {
			return g, nil
		}
		s.noteCopy(id, x.info.size)
	} else {
		s.note(id, retry) // if the name is another's by now, or no one's, the next scan will tell
	}
	if fresh {
		f.discard(g)
	}
	if isMissing(err) || errors.Is(err, unix.ELOOP) || errors.Is(err, errTaken) {
		err = nil
	}
	return nil, err
}

// A listing is what listSiblings finds.
type listing struct {
	dir   receiver.FileID // zero if there is no such directory
	base  string
	files []sibling // oldest first
	// hidden says that the directory may not be listed, so that files is empty.
	hidden bool
}

// A nameList is what a look has read of a directory, for the looks that follow: reading a directory of thousands of files for each of
// hundreds that are followed there, every second, would take half a processor.
type nameList struct {
	dir     receiver.FileID
	base    string
	changed int64     // when names in it had changed last, in nanoseconds of the Unix epoch
	read    time.Time // when it was read
	names   []string
}

// relist is how long a nameList is used, since not every file system tells of all changes.
const relist = 10 * time.Second

// holds reports whether the directory still has the names that were read. It may have changed in the very tick in which it was read.
func (l *nameList) holds(dir fileInfo, base string) bool {
	return l.dir == dir.id && l.base == base && l.changed == dir.written &&
		dir.written < l.read.UnixNano()-int64(clockSlack) && time.Since(l.read) < relist
}

// fill reads the names of files that are called like base.
func (l *nameList) fill(path string, dir fileInfo, base string) error {
	now := nameList{dir: dir.id, base: base, changed: dir.written, read: time.Now()}
	*l = nameList{}
	d, err := openNames(path)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(256)
		for _, name := range names {
			if isSiblingName(name, base) && len(now.names) < maxSeen {
				now.names = append(now.names, name)
			}
		}
		if err == io.EOF {
			*l = now
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// listSiblings finds the regular files in dir whose names are base with "." or "-" and more behind. There are none in a directory that
// may not be listed. last is what was read of it before.
func listSiblings(dir, base string, last *nameList) (listing, error) {
	info, err := statPath(dir, true)
	if err != nil {
		return listing{}, nil // the look at the path itself meets the same
	}
	found := listing{dir: info.id, base: base}
	if !last.holds(info, base) {
		err = last.fill(dir, info, base)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		found.hidden = true
		return found, nil
	}
	if err != nil {
		return listing{}, err
	}
	for _, name := range last.names {
		path := filepath.Join(dir, name)
		info, err := statPath(path, false)
		if err != nil && !isMissing(err) {
			return listing{}, err
		}
		if err == nil && info.isRegular() {
			found.files = append(found.files, sibling{path, info})
		}
	}
	slices.SortStableFunc(found.files, func(a, b sibling) int {
		return cmp.Or(cmp.Compare(a.info.id.Birth, b.info.id.Birth), cmp.Compare(a.info.written, b.info.written))
	})
	return found, nil
}

func isCompressed(path string) bool {
	return slices.ContainsFunc(compressed[:], func(end string) bool { return strings.HasSuffix(path, end) })
}

// isCopy reports whether the new generation g, of size bytes, holds what is read elsewhere: it starts and ends with the same bytes as one
// that is held or about to be (others), or it starts like one that has been read and has its anchor. Where that one has been cut since
// (copytruncate) or can't be found any more, its first bytes are enough: a copy made before it was read so far, or between two cuts,
// lacks the anchor.
func (f *File) isCopy(g *generation, size int64, others []*generation) bool {
	var head, tail, other [receiver.AnchorSize]byte
	first := head[:min(size, receiver.AnchorSize)]
	last := tail[:len(first)]
	end := size - int64(len(last))
	if !f.hasBytes(g.fd, first, nil, 0) || !f.hasBytes(g.fd, last, nil, end) {
		return false
	}
	starts := func(p receiver.FilePosition) bool {
		return p.Offset >= receiver.AnchorSize && bytes.Equal(p.Head[:len(first)], first)
	}
	anchored := func(p receiver.FilePosition) bool {
		return f.hasBytes(g.fd, other[:], p.Anchor[:], p.Offset-receiver.AnchorSize)
	}
	holds := func(h *generation) bool {
		return h != nil && f.hasBytes(h.fd, other[:len(first)], first, 0) && f.hasBytes(h.fd, other[:len(last)], last, end)
	}
	if slices.ContainsFunc(others, holds) {
		return true
	}
	for _, h := range f.generations {
		p := h.shown()
		if holds(h) || starts(p) && (size < receiver.AnchorSize || anchored(p) || !f.hasBytes(h.fd, other[:], p.Anchor[:], p.Offset-receiver.AnchorSize)) {
			return true
		}
	}
	for _, p := range f.positions(starts) { // copied, so that nobody waits for mu while a read does for a file server
		if p.cut || size < receiver.AnchorSize || anchored(p.pos) {
			return true
		}
	}
	return false
}

// A knownPosition is how far a file was read that is no longer held, or before it was cut.
type knownPosition struct {
	pos receiver.FilePosition
	cut bool // or is gone
}

// positions returns those of which like holds.
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

// withoutCopies closes those of the new generations that hold the beginning of g, copied from the same file earlier, and returns the rest.
func (f *File) withoutCopies(taken []*generation, g *generation) []*generation {
	var buf, other [receiver.AnchorSize]byte
	return slices.DeleteFunc(taken, func(t *generation) bool {
		size := t.size.Load()
		n := min(size, receiver.AnchorSize)
		same := func(offset int64) bool {
			return f.hasBytes(t.fd, buf[:n], nil, offset) && f.hasBytes(g.fd, other[:n], buf[:n], offset)
		}
		if t.again || size > g.size.Load() || !same(0) || !same(size-n) {
			return false
		}
		f.siblings.noteCopy(t.id, size)
		f.discard(t)
		return true
	})
}

// hasBytes fills buf from offset on and reports whether that succeeds and gives want, where want is not nil.
func (f *File) hasBytes(fd int, buf, want []byte, offset int64) bool {
	n, err := f.pread(fd, buf, offset)
	return err == nil && n == len(buf) && (want == nil || bytes.Equal(buf, want))
}

// pastPosition returns how far a file was read that is no longer held.
func (f *File) pastPosition(id receiver.FileID) (pastFile, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.past[id]
	return p, ok
}

// A pastFile is a file that is no longer held, or not yet again.
type pastFile struct {
	pos    receiver.FilePosition // how far it has been read
	begin  receiver.FilePosition // as generation.begin and before
	before receiver.FilePosition
	saved  bool // it comes from a saved state, and nobody knows what has become of it since
}

// remember keeps a position for pastPosition and isCopy, and forgets those that have been kept for the longest time if there are too
// many, but for what is still looked for. The caller holds mu.
func (f *File) remember(p pastFile) {
	f.forget(p.pos.ID)
	f.past[p.pos.ID] = p
	f.pastOrder = append(f.pastOrder, p.pos.ID)
	for most := f.shared.pastLimit(); len(f.pastOrder)-len(f.owed) > most; {
		oldest := f.pastOrder[slices.IndexFunc(f.pastOrder, func(id receiver.FileID) bool {
			_, owed := f.owed[id]
			return !owed
		})]
		f.shared.release(oldest, f.opt.Path)
		f.forget(oldest)
	}
}

// forget is the opposite of remember. The caller holds mu.
func (f *File) forget(id receiver.FileID) {
	delete(f.owed, id)
	if _, known := f.past[id]; known {
		delete(f.past, id)
		i := slices.Index(f.pastOrder, id)
		f.pastOrder = slices.Delete(f.pastOrder, i, i+1)
	}
}

// isOlder reports whether a file beside the followed one was there before all that is followed, as far as the clock can be trusted.
func (f *File) isOlder(i fileInfo) bool {
	if i.id.Birth == 0 {
		return i.written < f.sinceLook
	}
	return i.id.Birth < f.since.Birth
}

// isOwed reports whether the file was followed when the state was saved, and has not been found since.
func (f *File) isOwed(id receiver.FileID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, owed := f.owed[id]
	return owed
}

// noteGone keeps account of a file that was to be read and is gone.
func (f *File) noteGone(id receiver.FileID) {
	f.noLongerOwed(id)
	f.noteGap(GapUnread)
}

// noLongerOwed ends the search for a file, so that no later start counts it as gone. Where it was is remembered, as it may be brought back.
func (f *File) noLongerOwed(id receiver.FileID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.owed, id)
}
