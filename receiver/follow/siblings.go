package follow

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rsyncd_exporter/receiver"
)

const (
	maxPast    = 1024 // positions of files no longer held that a File remembers
	minPast    = 32   // where it is one of very many in a Set
	maxPastAll = 8192 // that these remember together, beyond minPast each
	maxCuts    = 32   // positions of files before they were cut
	maxSeen    = 4096 // siblings that are looked at

	// maxAbsent is how many scans may miss a file before it is taken for deleted: a directory that
	// changes while it is read may not show all its entries.
	maxAbsent = 3

	// relist is how long a nameList is used, since not every file system tells of all changes.
	relist = 10 * time.Second
)

// siblings finds generations that had the name and lost it between two looks: three rotations in
// one poll interval, or while this process was stopped. They are the files beside the followed one,
// called like it with ".something" or "-something" behind, that were not there at the look before.
//
// A copy, or an old log brought back from elsewhere, looks the same, and nothing may be counted
// twice. So they are taken only by a look that finds another file at the path than the look before,
// or none (adopt), and by the next one; and never if they are older than the file that was there at
// the start (or that had the name when the state was saved), or hold the bytes of a generation that
// is known. All others are known from then on and not taken later.
//
// What is there when a directory is looked at for the first time is taken for old. A generation
// that came and was deleted again between two looks leaves no trace, and none is found in a
// directory that we may not list.
type siblings struct {
	dir   receiver.FileID // what seen belongs to
	base  string
	names nameList // as last read
	seen  map[receiver.FileID]mark
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

// A verdict says what is to become of a sibling.
type verdict uint8

const (
	leave verdict = iota // it is known to hold nothing new
	retry                // it is to be read, but could not be opened yet
	await                // it holds too little yet to tell whether it is a copy
	done                 // it has been read, and is read again if it grows while its position is remembered
)

type sibling struct {
	path string
	info fileInfo
}

// scan judges the files found before the look at the path itself: whichever of them has had the
// name since the last look no longer has it then, so that look has seen a change. It returns the
// generations to be added, oldest first, and an error if others could not be opened. current has
// the name, or had it when the path was looked at.
func (s *siblings) scan(f *File, found listing, current *generation, adopt bool) (taken []*generation, failed error) {
	if found.dir == (receiver.FileID{}) {
		return nil, nil
	}
	if !found.hidden && (found.dir != s.dir || found.base != s.base) {
		s.dir, s.base, adopt = found.dir, found.base, false
		clear(s.seen)
	}
	before := s.seen
	s.seen = make(map[receiver.FileID]mark, len(before))
	for _, x := range found.files {
		id, is := x.info.id, hasID(x.info.id)
		if _, done := s.seen[id]; done || f.held(id) != nil || is(current) || slices.ContainsFunc(taken, is) {
			continue
		}
		m, known := before[id]
		delete(before, id)
		if known && m.verdict == leave {
			s.note(id, leave)
			continue
		}
		m.original = found.hasOriginal(x.path)
		adopt := known && m.verdict != done || adopt && !known && (isCompressed(x.path) || !f.isOlder(x.info))
		g, err := s.judge(f, x, m, adopt, append(taken, current)...)
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
		if !found.hidden || m.verdict == retry { // others are still known when the directory can be listed again
			m.absent++
		}
		switch {
		case f.held(id) != nil:
		case m.absent < maxAbsent:
			s.seen[id] = m
		case m.verdict == retry:
			g := f.lateContinuation(id, found, current)
			switch {
			case g == nil: // it is gone before we could read it
				f.noLongerOwed(id)
				f.noteGap(GapUnread)
			case slices.ContainsFunc(taken, hasID(g.id)): // in the place of two that started alike
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

// beginSince has the scan that follows take the siblings that were made since.
func (s *siblings) beginSince(found listing, since int64) {
	s.dir, s.base = found.dir, found.base
	for _, x := range found.files {
		if made := x.info.id.Birth; made < since && (made != 0 || x.info.written < since) {
			s.note(x.info.id, leave)
		}
	}
}

func (s *siblings) note(id receiver.FileID, v verdict) { s.seen[id] = mark{verdict: v} }

func (s *siblings) noteCopy(id receiver.FileID, size int64) {
	v := leave
	if size < receiver.AnchorSize { // too few bytes to be sure
		v = await
	}
	s.note(id, v)
}

// judge opens a sibling if it is to be read; otherwise it notes why not and returns nil. others are
// generations that are not held yet, or nil. before is what the last scan has noted.
func (s *siblings) judge(f *File, x sibling, before mark, adopt bool, others ...*generation) (*generation, error) {
	id, packed := x.info.id, isCompressed(x.path)
	old, past := f.pastPosition(id)
	pass := func(v verdict) (*generation, error) {
		s.note(id, v)
		return nil, nil
	}
	switch {
	case f.isOwed(id): // it may still be written to, and be deleted then
	case f.isOthers(x):
		return pass(leave)
	case past && (packed || old.pos.Copy): // nobody writes to these
		return pass(done)
	case past && old.saved && (x.info.size < old.pos.Offset || id.Birth == 0): // cut, or its inode is another's now
	case past && x.info.size <= old.pos.Offset:
		return pass(done)
	case !past && !adopt:
		return pass(leave)
	case !past && packed:
		return s.judgePacked(f, x, before)
	case x.info.size == 0:
		return pass(await)
	}
	g, err := f.openSibling(x)
	switch {
	case g == nil:
		s.note(id, retry) // if the name is another's by now, or no one's, the next scan will tell
	case !past && f.isCopy(g, x.info.size, others):
		s.noteCopy(id, x.info.size)
		f.discard(g)
		g = nil
	}
	return g, err
}

// A listing is what listSiblings finds.
type listing struct {
	dir    receiver.FileID // zero if there is no such directory
	base   string
	files  []sibling // oldest first
	hidden bool      // the directory may not be listed, so files is empty
}

// A nameList is what has been read of a directory, for the looks that follow: reading a directory
// of thousands of files for each of hundreds that are followed there, every second, would take half
// a processor.
type nameList struct {
	dir     receiver.FileID
	base    string
	changed int64     // when names in it had changed last, in nanoseconds of the Unix epoch
	read    time.Time // when it was read
	names   []string
}

// holds reports whether these are still the names. The directory may have changed in the same tick.
func (l *nameList) holds(dir fileInfo, base string) bool {
	return l.dir == dir.id && l.base == base && l.changed == dir.written &&
		dir.written < l.read.UnixNano()-int64(clockSlack) && time.Since(l.read) < relist
}

func (l *nameList) fill(path string, dir fileInfo, base string) error {
	now := nameList{dir: dir.id, base: base, changed: dir.written, read: time.Now()}
	*l = nameList{}
	for name, err := range dirNames(path) {
		if err != nil {
			return err
		}
		if isSiblingName(name, base) && len(now.names) < maxSeen {
			now.names = append(now.names, name)
		}
	}
	*l = now
	return nil
}

// isSiblingName reports whether path is base with "." or "-" and more behind.
func isSiblingName(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && len(rest) > 1 && (rest[0] == '.' || rest[0] == '-')
}

// listSiblings finds the siblings of base in dir. last is what was read of the directory before.
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

func (f *File) pastPosition(id receiver.FileID) (pastFile, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.past[id]
	return p, ok
}

// isKnown reports whether a file is held or has been.
func (f *File) isKnown(id receiver.FileID) bool {
	_, past := f.pastPosition(id)
	return past || f.held(id) != nil
}

// A pastFile is a file that is no longer held, or not yet again.
type pastFile struct {
	pos    receiver.FilePosition // how far it has been read
	begin  receiver.FilePosition // as generation.begin and before
	before receiver.FilePosition
	saved  bool // it comes from a saved state, and nobody knows what has become of it since
}

// remember keeps a position; if there are too many, the oldest one not owed goes. mu is held.
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

// isOlder reports whether a sibling was there before all that is followed, by the clock.
func (f *File) isOlder(i fileInfo) bool {
	if i.id.Birth == 0 {
		return i.written < f.sinceLook
	}
	return i.id.Birth < f.since.Birth
}

// isOwed reports whether a file of the saved state is still looked for.
func (f *File) isOwed(id receiver.FileID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, owed := f.owed[id]
	return owed
}

// noLongerOwed ends the search for a file. Its position is kept, as it may be brought back.
func (f *File) noLongerOwed(id receiver.FileID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.owed, id)
}
