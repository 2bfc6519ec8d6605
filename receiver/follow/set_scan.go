package follow

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"rsyncd_exporter/receiver"
)

func (s *Set) scan() {
	began := time.Now().UnixNano()
	all := map[string]bool{}
	for _, m := range s.members {
		m.present = m.pattern == nil
		all[m.path] = true
	}
	for _, path := range s.opt.Paths {
		if IsPattern(path) {
			continue
		}
		path = unquote(filepath.Clean(path))
		if s.member(path) == nil {
			s.add(path, 0, nil, s.orphanState(path), s.wasNamed(path))
		}
	}
	var watched []string
	found := make([][]string, len(s.patterns))
	errs := make([]error, len(s.patterns))
	for i, p := range s.patterns {
		watched = append(watched, literalStart(p.sums.Pattern))
		found[i], errs[i] = ExpandPath(p.sums.Pattern)
		for _, path := range found[i] {
			all[path] = true
		}
	}
	s.waited, s.waiting = s.waiting, map[receiver.FileID]bool{}
	s.copied, s.copies = s.copies, map[receiver.FileID]bool{}
	twins := map[string]string{}
	for i, p := range s.patterns {
		s.scanPattern(p, found[i], errs[i], all, twins)
	}
	s.notify.watchDirs(watched...)
	s.scanned = true
	s.noteScan(began, twins)
	s.forgetGone()
}

func literalStart(pattern string) string {
	start := pattern[:strings.IndexAny(pattern, globMeta+`\`)]
	if dir, _ := filepath.Split(start); dir == "" {
		return "./" + start
	}
	return start
}

func (s *Set) member(path string) *member {
	if i := slices.IndexFunc(s.members, func(m *member) bool { return m.path == path }); i >= 0 {
		return s.members[i]
	}
	return nil
}

// scanPattern follows what a pattern has found and is new. all are all patterns' and members'
// names.
func (s *Set) scanPattern(p *patternSums, found []string, err error, all map[string]bool, twins map[string]string) {
	files, tooMany := 0, 0
	var odd error
	for _, path := range found {
		if m := s.member(path); m != nil {
			m.present = true
			files++
			continue
		}
		info, serr := statPath(path, true)
		if serr != nil || !info.isRegular() || isCompressed(path) || rotatedName(path, all) {
			continue
		}
		if !utf8.ValidString(path) {
			odd = fmt.Errorf("%q is not UTF-8, and so can't be a label; rename it, or follow a symbolic link to it",
				path)
			continue
		}
		files++
		if s.isFull() && s.registry.owner(info.id) == "" { // before what costs a look at every other path
			tooMany++
			continue
		}
		if other := s.registry.twinOf(info.id, path); other != "" {
			if !s.yielded(path, other, info, nil) {
				if leadsTo(other, info.id) { // otherwise it is a rotated one
					twins[path] = other
				}
				continue
			}
		}
		fresh := s.scanned || s.wasNamed(path)
		if fresh && s.isCopy(path, info) {
			continue
		}
		s.add(path, 0, p, s.orphanState(path), fresh)
	}
	if tooMany += s.scanRotated(p, all); tooMany > 0 {
		odd = fmt.Errorf("%d of the files that it matches are not followed: %d is the limit; write narrower patterns, "+
			"or several instances", tooMany, s.opt.most)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.err = nil
	if err = errors.Join(err, odd); err != nil {
		p.sums.Errors++
		p.err = fmt.Errorf("pattern %q: %w; retrying", p.sums.Pattern, err)
	} else if files == 0 {
		p.err = fmt.Errorf("pattern %q: no file matches it: waiting for one: %w", p.sums.Pattern, fs.ErrNotExist)
	}
}

// scanRotated follows logs that were rotated away before anybody saw them. That a file is
// compressed may be all that is new about it. It returns how many are too many.
func (s *Set) scanRotated(p *patternSums, all map[string]bool) (tooMany int) {
	rotated, _ := ExpandPath(p.sums.Pattern + `[.\-]*`) // scanPattern shows the error
	for _, path := range rotated {
		base := rotatedFrom(path, func(base string) bool { return matchesPath(p.sums.Pattern, base) })
		if base == "" || all[base] || matchesPath(p.sums.Pattern, path) || !utf8.ValidString(base) {
			continue
		}
		info, err := statPath(path, false)
		if err != nil || !info.isRegular() || s.registry.owner(info.id) != "" || s.orphan(info.id) != nil {
			continue
		}
		fresh := s.scanned || s.wasNamed(base)
		old := cmp.Or(info.id.Birth, info.written) < s.since-int64(clockSlack)
		if !fresh || old || s.isCopy(path, info) {
			continue
		}
		if s.isFull() {
			tooMany++
			continue
		}
		s.add(base, 0, p, nil, true)
		all[base] = true
	}
	return tooMany
}

// yielded reports whether the file that path leads to is path's from now on: other has let it go,
// it has grown since, and no look at other can meet it any more. How far it was read is an orphan's
// until path is followed; heir, which follows it already, takes it over at once. So each Catalogue
// lists it where a restart looks for it.
func (s *Set) yielded(path, other string, info fileInfo, heir *File) bool {
	m := s.member(other)
	if m == nil || isSiblingName(path, other) || leadsTo(other, info.id) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	given, ok := m.file.yield(info.id, info.size)
	if ok {
		s.addOrphans([]receiver.FilePosition{given})
		if heir != nil {
			heir.inherit(given)
		}
	}
	return ok
}

func (s *Set) isFull() bool {
	n := 0
	for _, m := range s.members {
		if m.pattern != nil {
			n++
		}
	}
	return n >= s.opt.most
}

func rotatedName(path string, all map[string]bool) bool {
	return rotatedFrom(path, func(base string) bool { return all[base] }) != ""
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

// isCopy reports whether a file that has come since the last scan holds what another holds or has
// held (copytruncate makes such), or may do so. Empty files wait one scan; files too short to
// compare wait until they can be.
func (s *Set) isCopy(path string, info fileInfo) bool {
	switch {
	case s.copied[info.id]:
		s.copies[info.id] = true
		return true
	case info.size == 0:
		s.waiting[info.id] = true
		return !s.waited[info.id]
	}
	fd, err := openFollowing(path)
	if err != nil {
		return false // whoever follows it meets the same
	}
	defer closeFD(fd)
	if !slices.ContainsFunc(s.members, func(m *member) bool { return m.file.resembles(fd, info.size) }) {
		return false
	}
	if info.size >= receiver.AnchorSize {
		s.copies[info.id] = true
	} else {
		s.waiting[info.id] = true
	}
	return true
}

func (s *Set) noteScan(began int64, twins map[string]string) {
	for _, m := range s.members {
		other := m.file.twinOf()
		if other == "" {
			continue
		}
		if info, err := statPath(m.path, true); err == nil && s.yielded(m.path, other, info, m.file) {
			continue
		}
		twins[m.path] = other
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.twins = twins
	if len(s.waiting) == 0 {
		s.since = s.lastScan // an empty file is followed one scan after it was found
	}
	s.since, s.lastScan = max(s.since, began-int64(s.opt.forget)), began // later than all that is forgotten was made
}

// forgetGone ends members whose file is gone or another's and of which nothing has been read for
// long. What they have counted is the pattern's from then on, so that no sum over all paths ever
// falls.
func (s *Set) forgetGone() {
	now := int64(time.Since(s.began))
	for _, m := range slices.Clone(s.members) {
		switch {
		case m.pattern == nil || m.present && m.file.twinOf() == "" || m.file.Status().Generations > 0:
			m.idle = -1
			continue
		case m.idle < 0:
			m.idle = now
			continue
		case time.Duration(now-m.idle) < s.opt.forget:
			continue
		}
		if m.done != nil {
			m.stop()
			<-m.done
		} else {
			m.file.Close()
		}
		status := m.file.Status()
		s.mu.Lock()
		m.pattern.sums.Rotations += status.Rotations
		m.pattern.sums.Errors += status.Errors
		for i, n := range status.Gaps {
			m.pattern.sums.Gaps[i] += n
		}
		s.addOrphans(m.file.pastPositions())
		s.members = slices.DeleteFunc(s.members, func(other *member) bool { return other == m })
		s.mu.Unlock()
		s.registry.leave(m.path)
	}
}
