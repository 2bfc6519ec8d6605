package report

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"unicode"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/rsynclog"
)

const (
	// pathRoom is how many paths are counted at one time, in 2 to 4 MiB.
	pathRoom = 16 << 10
	// pathKept is how much of a path is kept, and tells it from others: its last bytes, as logged.
	pathKept = rsynclog.MaxLabel
)

// A pathTop counts how often files were transferred. Up to pathRoom paths are exact. Beyond, an
// error is at most 2/pathRoom of all transfers. See top.go.
//
// The table knows a path by a hash with a random seed. What it lets go of doesn't depend on that, so
// that the same log gives the same list.
type pathTop struct {
	room int // pathRoom
	seed maphash.Seed
	// index has 2*room slots: where an entry is, plus 1, and above it the key's highest 16 bits.
	// The slot of a key is the first free one from its own place on; 0 is free. It fits the
	// processor's cache, which a map does not.
	index   []uint32
	entries []pathEntry // the oldest first
	text    []byte      // of the entries, in their order
	floor   uint64      // no path that isn't here was transferred more often
	scratch []uint64
}

type pathEntry struct {
	key, count, bytes uint64
	late              uint64 // may have been counted before it came
	at                uint32 // in text: the module, then the path
	module, path      uint8  // their lengths
	cut               bool   // there was more of the path
}

func newPathTop() *pathTop { return pathTopOf(pathRoom) }

// pathTopOf returns a list with another room, a power of two.
func pathTopOf(room int) *pathTop {
	return &pathTop{room: room, seed: maphash.MakeSeed(), index: make([]uint32, 2*room)}
}

// find returns the slot of a key, or the free one where it belongs.
func (p *pathTop) find(key uint64) *uint32 {
	for i := key; ; i++ {
		s := &p.index[i&uint64(len(p.index)-1)]
		if *s == 0 || *s>>16 == uint32(key>>48) && p.entries[*s&0xffff-1].key == key {
			return s
		}
	}
}

// slot returns what the slot of the last of so many entries holds.
func slot(key uint64, entries int) uint32 { return uint32(key>>48)<<16 | uint32(entries) }

// add counts n transfers of a file, of this size together. It keeps neither module nor path.
func (p *pathTop) add(module string, path []byte, n, size uint64) {
	module = module[:min(len(module), rsynclog.MaxLabel)]
	end := path[max(0, len(path)-pathKept):]
	key := maphash.Bytes(p.seed, end)*31 + maphash.String(p.seed, module)
	at := p.find(key)
	if *at == 0 {
		if len(p.entries) == p.room {
			p.purge()
			at = p.find(key)
		}
		p.entries = append(p.entries, pathEntry{
			key: key, late: p.floor, at: uint32(len(p.text)),
			module: uint8(len(module)), path: uint8(len(end)), cut: len(end) < len(path),
		})
		p.text = append(append(p.text, module...), end...)
		*at = slot(key, len(p.entries))
	}
	e := &p.entries[*at&0xffff-1]
	e.count += n
	grow(&e.bytes, size)
}

// counts returns a figure of all entries, until its next call.
func (p *pathTop) counts(of func(*pathEntry) uint64) []uint64 {
	p.scratch = p.scratch[:0]
	for i := range p.entries {
		p.scratch = append(p.scratch, of(&p.entries[i]))
	}
	return p.scratch
}

// purge makes room for half the table or more. Of those at the threshold the oldest stay, so that a
// table of equals isn't empty afterwards.
func (p *pathTop) purge() {
	least := clients.Ranked(p.counts(func(e *pathEntry) uint64 { return e.count + e.late }), len(p.entries)/2)
	kept, text, floor := p.entries[:0], p.text[:0], p.floor
	clear(p.index)
	for i := range p.entries {
		e := p.entries[i]
		most := e.count + e.late
		if most > least || most == least && len(kept) < p.room/4 {
			from := e.at
			e.at = uint32(len(text))
			text = append(text, p.text[from:from+uint32(e.module)+uint32(e.path)]...)
			kept = append(kept, e)
			*p.find(e.key) = slot(e.key, len(kept))
		} else {
			floor = max(floor, most)
		}
	}
	p.entries, p.text, p.floor = kept, text, floor
}

// list returns the first n paths by transfers, and how often another one was transferred at most.
func (p *pathTop) list(n int) (list []Path, atMost *uint64) {
	n = max(0, min(n, len(p.entries)))
	list, most := make([]Path, 0, n), p.floor
	var least uint64
	if n > 0 {
		least = clients.Ranked(p.counts(func(e *pathEntry) uint64 { return e.count }), n)
	}
	var first []pathEntry // these and some more of as many transfers
	for i := range p.entries {
		if e := &p.entries[i]; n > 0 && e.count >= least {
			first = append(first, *e)
		} else {
			most = max(most, e.count+e.late)
		}
	}
	p.sort(first)
	for i := range first {
		e := &first[i]
		if i >= n {
			most = max(most, e.count+e.late)
			continue
		}
		module, path := p.names(e)
		list = append(list, Path{
			Module: string(module), Path: pathLabel(path, e.cut), Count: e.count, Bytes: e.bytes, Error: e.late,
		})
	}
	return list, &most
}

func (p *pathTop) sort(entries []pathEntry) {
	slices.SortFunc(entries, func(a, b pathEntry) int {
		if c := cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(b.bytes, a.bytes)); c != 0 {
			return c
		}
		moduleA, pathA := p.names(&a)
		moduleB, pathB := p.names(&b)
		return cmp.Or(bytes.Compare(pathA, pathB), bytes.Compare(moduleA, moduleB))
	})
}

func (p *pathTop) names(e *pathEntry) (module, path []byte) {
	end := e.at + uint32(e.module)
	return p.text[e.at:end], p.text[end : end+uint32(e.path)]
}

// A pathList is what a report has of paths.
type pathList struct {
	paths  []Path
	atMost *uint64
	all    uint64 // transfers
}

// each returns how often a path was transferred at most that isn't in the list.
func (l *pathList) each() uint64 {
	if l.atMost != nil {
		return *l.atMost
	}
	rest := l.all
	for _, p := range l.paths {
		rest -= min(rest, p.Count)
	}
	return rest
}

// mergePaths adds up the paths of reports, and returns the first ones and how often another was
// transferred at most.
func mergePaths(parts []*Summary, top int, of func(*Summary) pathList) ([]Path, *uint64) {
	type key struct{ module, path string }
	type candidate struct {
		Path
		bounds uint64 // of the lists that it is in
	}
	sums := map[key]candidate{}
	var bounds uint64
	for _, part := range parts {
		list := of(part)
		bound := list.each()
		grow(&bounds, bound)
		for _, p := range list.paths {
			k := key{p.Module, p.Path}
			sum := sums[k]
			sum.Module, sum.Path.Path = p.Module, p.Path
			grow(&sum.Count, p.Count)
			grow(&sum.Bytes, p.Bytes)
			grow(&sum.Error, p.Error)
			grow(&sum.bounds, bound)
			sums[k] = sum
		}
	}
	list, atMost := make([]Path, 0, len(sums)), bounds
	for _, p := range sums {
		grow(&p.Error, bounds-min(bounds, p.bounds))
		list = append(list, p.Path)
	}
	slices.SortFunc(list, func(a, b Path) int {
		return cmp.Or(
			cmp.Compare(b.Count, a.Count), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Path, b.Path),
			cmp.Compare(a.Module, b.Module),
		)
	})
	n := max(0, min(top, len(list)))
	for _, p := range list[n:] {
		atMost = max(atMost, p.Count+p.Error)
	}
	return list[:n], &atMost
}

// pathLabel cleans a path as rsynclog.Label cleans names: unescaped, valid UTF-8, no control
// characters, at most rsynclog.MaxLabel bytes. Of a long one the end is kept, which tells more than
// the beginning; "…" stands for what is missing.
func pathLabel(raw []byte, cut bool) string {
	const missing, unreadable = "…", "\uFFFD"
	s := strings.ToValidUTF8(string(rsynclog.AppendUnescaped(nil, raw)), unreadable)
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
	if !cut && len(s) <= rsynclog.MaxLabel {
		return s
	}
	s = strings.ToValidUTF8(s[max(0, len(s)-rsynclog.MaxLabel+len(missing)):], "")
	return missing + strings.TrimLeft(s, unreadable)
}
