package receiver

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxPast = 1024 // positions of files no longer held that are remembered
	maxSeen = 4096 // siblings that are looked at
)

// compressed are the endings of names whose bytes are no lines.
var compressed = [...]string{".gz", ".bz2", ".xz", ".zst", ".lz4", ".lz", ".lzma", ".lzo", ".Z", ".zip", ".7z"}

// siblings finds generations that had the name and lost it between two looks: three rotations in one poll interval, or while this
// process was stopped. They are the files beside the followed one, called like it with ".something" or "-something" behind, that were
// not there at the look before. A copy, or an old log brought back from elsewhere, looks the same, and nothing may be counted twice.
// So they are taken only by a look that finds another file at the path than the look before, or none (adopt), and by the next one,
// since a directory that changes while it is read may not show all its entries; and never if they are older than the file that was
// there at the start, or hold the bytes of a generation that is known. All others are known from then on and not taken later.
//
// What is there when a directory is looked at for the first time is taken for old. A generation that came and was deleted again
// between two looks leaves no trace, and none is found in a directory that we may not list.
type siblings struct {
	dir   FileID // what seen belongs to
	base  string
	seen  map[FileID]verdict
	spare map[FileID]verdict // the memory for the next scan
}

// A verdict says what is to become of a sibling that is not held.
type verdict uint8

const (
	leave verdict = iota // it is known to hold nothing new
	retry                // it is to be read, but could not be opened yet
	await                // it may be to be read, but holds nothing yet, and may become a copy
)

type sibling struct {
	path string
	info fileInfo
}

// scan returns the generations to be added, opened, oldest first, and an error if there are more that could not be opened. current is
// the generation that has the name, which may be called otherwise by now.
func (s *siblings) scan(f *File, dir, base string, current *generation, adopt bool) (taken []*generation, failed error) {
	info, err := statPath(dir, true)
	if err != nil {
		return nil, nil // the look at the path itself has met the same
	}
	if info.id != s.dir || base != s.base {
		s.dir, s.base, adopt = info.id, base, false
		clear(s.seen)
	}
	found, err := listSiblings(dir, base)
	if err != nil {
		return nil, err
	}
	before := s.next()
	slices.SortStableFunc(found, func(a, b sibling) int { return cmp.Compare(a.info.id.Birth, b.info.id.Birth) })
	for _, x := range found {
		id := x.info.id
		same := func(g *generation) bool { return g.id == id }
		if _, done := s.seen[id]; done || f.held(id) != nil || current != nil && same(current) || slices.ContainsFunc(taken, same) {
			continue
		}
		v, known := before[id]
		delete(before, id)
		if known && v == leave {
			s.seen[id] = leave
			continue
		}
		g, err := s.judge(f, x, adopt || known)
		if g != nil {
			taken = append(taken, g)
		} else if err != nil {
			failed = err
		}
	}
	for id, v := range before {
		if v == retry && f.held(id) == nil {
			f.noteGap(GapUnread) // it has gone before we could read it
		}
	}
	return taken, failed
}

// next makes seen an empty map and returns the one before.
func (s *siblings) next() (before map[FileID]verdict) {
	if s.spare == nil {
		s.seen, s.spare = map[FileID]verdict{}, map[FileID]verdict{}
	}
	s.seen, s.spare = s.spare, s.seen
	clear(s.seen)
	return s.spare
}

// judge opens a sibling that is not held, if it is to be read; otherwise it notes why it isn't and returns nil.
func (s *siblings) judge(f *File, x sibling, adopt bool) (*generation, error) {
	id := x.info.id
	old, past := f.pastPosition(id)
	switch {
	case past && x.info.size <= old.Offset:
		return nil, nil // it may still grow, so it is not noted
	case !past && (!adopt || isCompressed(x.path) || id.Birth != 0 && id.Birth < f.startID.Birth):
		s.seen[id] = leave
		return nil, nil
	case x.info.size == 0:
		s.seen[id] = await
		return nil, nil
	}
	g, fresh, err := f.open(x.path, x.info, false)
	if fresh && g.id == id {
		if past || !f.isCopy(g, x.info.size) {
			return g, nil
		}
		s.seen[id] = leave
	} else {
		s.seen[id] = retry // if the name is another's by now, or no one's, the next scan will tell
	}
	if fresh {
		unix.Close(g.fd)
	}
	if isMissing(err) || errors.Is(err, unix.ELOOP) {
		err = nil
	}
	return nil, err
}

// listSiblings returns the regular files in dir whose names are base with "." or "-" and more behind.
func listSiblings(dir, base string) ([]sibling, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var found []sibling
	for {
		names, err := d.Readdirnames(256)
		for _, name := range names {
			rest, ok := strings.CutPrefix(name, base)
			if !ok || len(rest) < 2 || rest[0] != '.' && rest[0] != '-' {
				continue
			}
			path := filepath.Join(dir, name)
			if info, err := statPath(path, false); err == nil && info.mode&unix.S_IFMT == unix.S_IFREG && len(found) < maxSeen {
				found = append(found, sibling{path, info})
			}
		}
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func isCompressed(path string) bool {
	return slices.ContainsFunc(compressed[:], func(end string) bool { return strings.HasSuffix(path, end) })
}

// isCopy reports whether the new generation g, of size bytes, holds what has been read elsewhere: its first and last bytes are those of
// a generation that is held, or it has the bytes before the offset that another one was read to (before it was cut: copytruncate).
func (f *File) isCopy(g *generation, size int64) bool {
	var head, tail, other [AnchorSize]byte
	first := head[:min(size, AnchorSize)]
	last := tail[:len(first)]
	end := size - int64(len(last))
	if !f.hasBytes(g.fd, first, nil, 0) || !f.hasBytes(g.fd, last, nil, end) {
		return false
	}
	for _, h := range f.generations {
		if f.hasBytes(h.fd, other[:len(first)], first, 0) && f.hasBytes(h.fd, other[:len(last)], last, end) {
			return true
		}
	}
	f.mu.Lock()
	lately := slices.Clone(f.past[max(0, len(f.past)-maxGenerations):])
	f.mu.Unlock()
	for _, p := range lately {
		anchor := p.anchor()
		if len(anchor) > 0 && f.hasBytes(g.fd, other[:len(anchor)], anchor, p.Offset-int64(len(anchor))) {
			return true
		}
	}
	return false
}

// hasBytes fills buf from offset on and reports whether that succeeds and gives want, where want is not nil.
func (f *File) hasBytes(fd int, buf, want []byte, offset int64) bool {
	n, err := f.pread(fd, buf, offset)
	return err == nil && n == len(buf) && (want == nil || bytes.Equal(buf, want))
}

// pastPosition returns how far a file was read that is no longer held.
func (f *File) pastPosition(id FileID) (FilePosition, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.past) - 1; i >= 0; i-- {
		if f.past[i].ID == id {
			return f.past[i], true
		}
	}
	return FilePosition{}, false
}

// remember adds a position to past.
func (f *File) remember(p FilePosition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addPast(p)
}

func (f *File) addPast(p FilePosition) {
	if len(f.past) >= maxPast {
		f.past = slices.Delete(f.past, 0, len(f.past)-maxPast+1)
	}
	f.past = append(f.past, p)
}
