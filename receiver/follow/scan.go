package follow

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"rsyncd_exporter/receiver"
)

const (
	maxSetFiles = 256 // that patterns may add to a Set
	// forgetLimit is after how long a target of a pattern is forgotten whose file is gone and no
	// longer read.
	forgetLimit = 10 * time.Minute
)

// A pattern names files that are followed as soon as they are there.
type pattern struct {
	sums  SavedSums
	err   error // what the last scan met; wraps fs.ErrNotExist where it found nothing
	dirty atomic.Bool
	twins map[string]string
	found expansion // of the last expansion that has come to its end
	next  atomic.Pointer[expansion]
}

// An expansion is what a pattern names at one moment, and what the names of rotated files are.
type expansion struct {
	paths, rotated []string
	infos          map[string]fileInfo
	err            error
}

// expand is called where a file server may hang.
func (p *pattern) expand() {
	x := &expansion{infos: map[string]fileInfo{}}
	x.paths, x.err = ExpandPath(p.sums.Pattern)
	x.rotated, _ = ExpandPath(p.sums.Pattern + `[.\-]*`)
	for _, path := range x.paths {
		if info, err := statPath(path, true); err == nil {
			x.infos[path] = info
		}
	}
	for _, path := range x.rotated {
		if info, err := statPath(path, false); err == nil && x.infos[path] == (fileInfo{}) {
			x.infos[path] = info
		}
	}
	p.next.Store(x)
}

// scan finds the paths that the settings name now.
func (s *Set) scan() {
	began := time.Now().UnixNano()
	for _, t := range s.targets {
		t.present = t.pattern == nil
	}
	for _, path := range s.opt.Paths {
		if path = filepath.Clean(path); !IsPattern(path) && s.targetAt(unquote(path)) == nil {
			s.add(unquote(path), 0, nil, s.wasNamed(path))
		}
	}
	all := map[string]fileInfo{} // what all patterns name, and all targets
	for _, t := range s.targets {
		all[t.path] = fileInfo{}
	}
	for _, p := range s.patterns {
		s.guard(p.sums.Pattern).run(func() {
			s.notify.watchDirs(p, literalStart(p.sums.Pattern))
			p.dirty.Store(false)
			p.expand()
		})
		if x := p.next.Swap(nil); x != nil {
			p.found = *x
		}
		for _, path := range p.found.paths {
			all[path] = p.found.infos[path]
		}
	}
	for _, p := range s.patterns {
		s.scanPattern(p, all)
	}
	s.scanned = true
	s.mu.Lock()
	defer s.mu.Unlock()
	// Later than all that is forgotten was made.
	s.since, s.lastScan = max(s.lastScan, began-int64(s.opt.forget)), began
}

// scanPattern follows what a pattern has found and is new; where that is too much, what was written
// to last.
func (s *Set) scanPattern(p *pattern, all map[string]fileInfo) {
	files := 0
	var odd error
	var wanted []string
	twins := map[string]string{}
	for _, path := range p.found.paths {
		info := p.found.infos[path]
		if t := s.targetAt(path); t != nil {
			t.present = true
			files++
			continue
		}
		if !info.isRegular() || isCompressed(path) || s.isRotated(path, info, all) {
			continue
		}
		if !utf8.ValidString(path) {
			odd = fmt.Errorf("%q is not UTF-8, and so can't be a label; rename it, or follow a symbolic link "+
				"to it", path)
			continue
		}
		files++
		if other := s.ownerOf(info, path); other != "" {
			if leadsTo(other, info.id) { // otherwise it is a rotated one
				twins[path] = other
			}
			continue
		}
		wanted = append(wanted, path)
	}
	slices.SortStableFunc(wanted, func(a, b string) int {
		return cmp.Compare(p.found.infos[b].written, p.found.infos[a].written)
	})
	tooMany := 0
	var taken []string
	for _, path := range wanted {
		if s.isFull() && !s.replaceSilent(p.found.infos[path].written) {
			s.leaveAlone(p.found.infos[path])
			tooMany++
			continue
		}
		taken = append(taken, path)
		s.add(path, 0, p, s.scanned || s.wasNamed(path))
	}
	s.sortLast(len(taken))
	if tooMany += s.scanRotated(p, all); tooMany > 0 {
		odd = fmt.Errorf("%d of the files that it matches are not followed: %d is the limit, and they were not "+
			"written to lately; write narrower patterns, or several instances", tooMany, s.opt.most)
	}
	s.noteScan(p, files, twins, odd)
}

// sortLast puts the last targets in the order of their paths, so that of two that are new a copy,
// whose name has more behind, is compared to what it was made of.
func (s *Set) sortLast(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.targets = slices.Clone(s.targets)
	slices.SortFunc(s.targets[len(s.targets)-n:], func(a, b *target) int { return cmp.Compare(a.path, b.path) })
}

// extends reports whether a path is a target's with "." or "-" and more behind.
func (s *Set) extends(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.targets, func(t *target) bool { return isSiblingName(path, t.path) })
}

// hasCloser reports whether a file is called like another target with a longer name than base.
func (s *Set) hasCloser(path, base string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.targets, func(t *target) bool {
		return len(t.path) > len(base) && isSiblingName(path, t.path)
	})
}

func (s *Set) noteScan(p *pattern, files int, twins map[string]string, odd error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.err, p.twins = nil, twins
	err := errors.Join(p.found.err, odd)
	if s.guard(p.sums.Pattern).busy.Load() {
		err = errors.Join(err, fmt.Errorf("expanding it has not come to an end; does its file system (NFS?) answer?"))
	}
	if err != nil {
		p.sums.Errors++
		p.err = fmt.Errorf("pattern %q: %w; retrying", p.sums.Pattern, err)
	} else if files == 0 {
		p.err = fmt.Errorf("pattern %q: no file matches it: waiting for one: %w", p.sums.Pattern, fs.ErrNotExist)
	}
}

// isRotated reports whether a path that is called like a rotated file of another one is none of its
// own: the other target knows its lines, or it was last written to before the other file was made.
func (s *Set) isRotated(path string, info fileInfo, all map[string]fileInfo) bool {
	base := rotatedFrom(path, func(base string) bool { _, named := all[base]; return named })
	if base == "" {
		return false
	}
	if e, known := s.known.find(info.id); known {
		own := e.Verdict == Strange || e.Verdict == Old && e.Size >= 0 && info.size > e.Size || e.Target == ""
		return !own
	}
	if s.scanned || s.wasNamed(path) { // the look at base judges it first
		return s.targetAt(base) != nil
	}
	return all[base].id.Birth == 0 || info.written < all[base].id.Birth
}

// ownerOf returns the target that a file belongs to which no target is followed for, or "".
func (s *Set) ownerOf(info fileInfo, path string) string {
	e, known := s.known.find(info.id)
	switch other := s.targetAt(e.Target); {
	case !known || other == nil:
		return ""
	case e.gen != nil || s.guard(filepath.Dir(other.path)).busy.Load() || leadsTo(other.path, info.id):
		return other.path
	case e.Verdict == Strange || e.Verdict == Old && info.size > e.Size:
		return ""
	case isSiblingName(path, other.path) || info.size <= e.Pos.Offset:
		return other.path
	}
	return ""
}

// leaveAlone notes how long a file is that is not followed, to follow it from there.
func (s *Set) leaveAlone(info fileInfo) {
	if _, known := s.known.find(info.id); !known && !s.scanned && !s.opt.FromBeginning {
		pos := receiver.FilePosition{ID: info.id, Offset: info.size}
		s.known.put(entry{FileRecord: FileRecord{Pos: pos, Verdict: Old, Size: info.size}})
	}
}

// replaceSilent makes room for a file that was written to at the time given, if a file of a pattern
// has been silent since long before.
func (s *Set) replaceSilent(written int64) bool {
	const margin = int64(10 * time.Second)
	var silent *target
	var least int64 = math.MaxInt64
	for _, t := range s.targets {
		if t.pattern == nil || t.status().Lag > 0 {
			continue
		}
		if at := t.pattern.found.infos[t.path].written; at < least {
			silent, least = t, at
		}
	}
	if silent == nil || least+margin >= written || s.guard(filepath.Dir(silent.path)).busy.Load() {
		return false
	}
	if !silent.letGo() {
		return false
	}
	s.forget(silent)
	return true
}

func (s *Set) isFull() bool {
	n := 0
	for _, t := range s.targets {
		if t.pattern != nil {
			n++
		}
	}
	return n >= s.opt.most
}

// scanRotated follows logs that were rotated away before anybody saw them. That a file is
// compressed may be all that is new about it. It returns how many are too many.
func (s *Set) scanRotated(p *pattern, all map[string]fileInfo) (tooMany int) {
	for _, path := range p.found.rotated {
		base := rotatedFrom(path, func(base string) bool { return matchesPath(p.sums.Pattern, base) })
		_, named := all[base]
		if base == "" || named || matchesPath(p.sums.Pattern, path) || !utf8.ValidString(base) {
			continue
		}
		info := p.found.infos[path]
		if _, known := s.known.find(info.id); known || !info.isRegular() {
			continue
		}
		old := cmp.Or(info.id.Birth, info.written) < s.since-int64(clockSlack)
		if !s.scanned && !s.wasNamed(base) || old {
			continue
		}
		if s.isFull() {
			tooMany++
			continue
		}
		s.add(base, 0, p, true)
		all[base] = fileInfo{}
	}
	return tooMany
}

// rotatedFrom returns path without "." or "-" and a number or date (.1, -20261123,
// -20261123-1795460000) at its end, if the rest is right; else "".
func rotatedFrom(path string, right func(base string) bool) string {
	i := len(path)
	for i > 0 && strings.IndexByte("0123456789.-_:T", path[i-1]) >= 0 {
		i--
		base, end := path[:i], path[i:]
		if (end[0] == '.' || end[0] == '-') && len(end) > 1 && '0' <= end[1] && end[1] <= '9' && right(base) {
			return base
		}
	}
	return ""
}

func literalStart(pattern string) string {
	start := pattern[:strings.IndexAny(pattern, globMeta+`\`)]
	if dir, _ := filepath.Split(start); dir == "" {
		return "./" + start
	}
	return start
}

// patternOf returns the first pattern that names the path, or nil where the path is one of Paths.
func (s *Set) patternOf(path string) *pattern {
	if slices.ContainsFunc(s.opt.Paths, func(p string) bool { return !IsPattern(p) && matchesPath(p, path) }) {
		return nil
	}
	i := slices.IndexFunc(s.patterns, func(p *pattern) bool { return matchesPath(p.sums.Pattern, path) })
	return s.patterns[i]
}

// wasNamed reports whether the saved settings named the path: then it wasn't there.
func (s *Set) wasNamed(path string) bool { return matchesAny(s.before, path) }

func (s *Set) targetAt(path string) *target {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.targets, func(t *target) bool { return t.path == path }); i >= 0 {
		return s.targets[i]
	}
	return nil
}

// twinOf returns the other target that the file belongs to which t's path leads to, "" if there is
// none. A file of which nothing is known belongs to the target that leads to it and is followed for
// longest. So a symbolic link and its target, or two mounts of one directory, don't take turns
// after each rotation.
func (s *Set) twinOf(info fileInfo, t *target) string {
	e, known := s.known.find(info.id)
	if known && e.Target == t.path {
		return ""
	}
	if other := s.targetAt(e.Target); known && other != nil {
		held := e.gen != nil || e.owed()
		if held || leadsTo(other.path, info.id) || !e.yields(info.size, t.path) {
			return other.path
		}
		return ""
	}
	s.mu.Lock()
	earlier := slices.Clone(s.targets)
	s.mu.Unlock()
	for _, other := range earlier {
		if other == t {
			break
		}
		if other.looking.Load() == notLooking && leadsTo(other.path, info.id) {
			return other.path
		}
	}
	return ""
}

// yields reports whether a file that its target no longer reads may become that of a path.
func (e *entry) yields(size int64, path string) bool {
	switch e.Verdict {
	case Strange, Unsure, Copied:
		return true
	case Old:
		return e.Size < 0 || size > e.Size
	}
	return size > e.Pos.Offset && !isSiblingName(path, e.Target)
}

// leadsTo reports whether a path leads to a file, and not by a stranger's link.
func leadsTo(path string, id receiver.FileID) bool {
	if info, err := statPath(path, true); err != nil || info.id != id {
		return false
	}
	w, err := walkTo(path)
	if err == nil {
		w.close()
	}
	return !errors.Is(err, errStranger)
}

// forgetGone ends targets whose file is gone or another's and of which nothing has been read for
// long. What they have counted is the pattern's from then on, so that no sum over all paths ever
// falls.
func (s *Set) forgetGone() {
	now := s.clock()
	for _, t := range slices.Clone(s.targets) {
		switch {
		case s.guard(filepath.Dir(t.path)).busy.Load():
		case t.pattern == nil || t.present && t.twinOf() == "" || t.status().Generations > 0:
			t.idle = -1
		case t.idle < 0:
			t.idle = now
		case time.Duration(now-t.idle) >= s.opt.forget:
			s.forget(t)
		}
	}
}

func (s *Set) forget(t *target) {
	t.merged.leave()
	status := t.status()
	s.mu.Lock()
	t.pattern.sums.Rotations += status.Rotations
	t.pattern.sums.Errors += status.Errors
	for i, n := range status.Gaps {
		t.pattern.sums.Gaps[i] += n
	}
	kept := slices.Clone(s.targets)
	s.targets = slices.DeleteFunc(kept, func(other *target) bool { return other == t })
	s.mu.Unlock()
	s.notify.watchDirs(t)
	s.known.disown(t.path)
}

// letGo ends the reading of a target's files, which have been read to their ends. It returns false
// where that takes longer than lookPatience: the next look lets go of those that have ended.
func (t *target) letGo() bool {
	patience := time.NewTimer(lookPatience)
	defer patience.Stop()
	for _, g := range t.generations {
		if !g.started {
			return false
		}
		g.dismiss()
		select {
		case <-g.done:
		case <-patience.C:
			return false
		}
	}
	t.reap(Read)
	return true
}

// shortFor is how long descriptors are taken to be scarce after one could not be had.
const shortFor = time.Minute

func (s *Set) isShort() bool { return s.clock() < s.short.Load() }

// makeRoom lets go of the file that has been silent for longest and has been read to its end, since
// a descriptor is needed: it has its target's name, and is opened again when it grows.
func (s *Set) makeRoom() {
	s.short.Store(s.clock() + int64(shortFor))
	var silent *generation
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.targets {
		t.mu.Lock()
		if g := t.current; g != nil && g.started && !g.leaving && g.packed == nil &&
			g.offset.Load() >= g.ended.Load() && (silent == nil || g.grew.Load() < silent.grew.Load()) {
			silent = g
		}
		t.mu.Unlock()
	}
	if silent != nil && silent.level.Load() > silent.grew.Load() {
		silent.dismiss()
	}
}

// scanDue reports whether a wake-up concerns a pattern.
func (s *Set) scanDue() bool {
	return slices.ContainsFunc(s.patterns, func(p *pattern) bool { return p.dirty.Load() })
}

// checkMerged has the files of a daemon looked at whose readers are asked whether their paths lead
// to others by now.
func (s *Set) checkMerged() {
	for dir, targets := range s.byDirectory() {
		s.guard(dir).run(func() {
			for _, t := range targets {
				if t.merged == nil {
					continue
				}
				if began := t.merged.now(); t.asBefore() {
					t.merged.noteLook(began)
				} else {
					t.look()
				}
			}
		})
	}
}

// asBefore reports whether the path leads to what it led to at the last look.
func (t *target) asBefore() bool {
	info, err := statPath(t.path, true)
	return err != nil && t.named == receiver.FileID{} || err == nil && info.id == t.named
}

// allHang reports whether all who still read wait for file servers that don't answer.
func (s *Set) allHang() bool {
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.targets {
		t.mu.Lock()
		for _, g := range t.generations {
			since := g.reading.Load()
			if g.started && !closed(g.done) && (since == 0 || now-since < int64(time.Second)) {
				t.mu.Unlock()
				return false
			}
		}
		t.mu.Unlock()
	}
	return true
}

func (t *target) twinOf() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.twin
}

// Preview tells which files NewSet would follow now by a pattern, one of paths, and which it would
// leave alone, as compressed or rotated ones. Paths that lead to one file are all there.
func Preview(pattern string, paths []string) (followed, left []string, err error) {
	s := &Set{known: newCatalogue()}
	all := map[string]fileInfo{}
	for _, path := range paths {
		found, _ := ExpandPath(path)
		for _, name := range found {
			all[name], _ = statPath(name, true)
		}
	}
	found, err := ExpandPath(pattern)
	for _, path := range found {
		switch info, serr := statPath(path, true); {
		case serr != nil || !info.isRegular():
		case isCompressed(path) || s.isRotated(path, info, all):
			left = append(left, path)
		default:
			followed = append(followed, path)
		}
	}
	return followed, left, err
}
