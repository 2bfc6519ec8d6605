package receiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	maxSetFiles = 256              // that patterns may add to a FileSet
	maxNotified = 32               // Files of a FileSet with inotify; a user may have 128 instances, and other programs need some
	forgetLimit = 10 * time.Minute // what a pattern has found and is gone, with nothing of it read any more, is forgotten after that
	maxOrphans  = 1024             // positions of forgotten files that are remembered
)

// StdinScope is the Source.Scope of standard input. Those of a FileSet begin behind it.
const StdinScope uint32 = 1

// FileSetOptions are the settings of a FileSet.
type FileSetOptions struct {
	// Paths are log files, or patterns of several, see ExpandPath. A path is followed whether it exists or not. What a pattern names is
	// found at each look, if it is a regular file whose name doesn't end as a compressed file's and isn't that of another one here with
	// "." or "-" and nothing but numbers behind, as rotations name them. A log that was rotated away before anybody saw it is found
	// by the name that it has then, unless the pattern matches that, too.
	Paths []string
	File  FileOptions // shared by all; Path and Resume are not used
	// Source describes a file to the Sink. scope is the file's own, and stays so after a restart.
	Source func(path string, scope uint32) Source
	// Resume is what State gave before the restart. A file that it doesn't know is read from its first line if its path or pattern was
	// among Paths then; otherwise, and where Resume is nil, File.FromBeginning decides. What patterns find later is always read from
	// its first line.
	Resume *FileSetState

	most   int           // for tests, in place of maxSetFiles
	forget time.Duration // for tests, in place of forgetLimit
}

// A FileSetState is what has to be kept of a FileSet for another one to go on exactly where it was.
type FileSetState struct {
	Paths     []string // FileSetOptions.Paths
	Scanned   int64    // no file made later was missed by the last scan, in nanoseconds of the Unix epoch
	NextScope uint32
	Files     []SavedFile // in the order in which they were begun
	Sums      []SavedSums // one for each pattern that has found files which are forgotten
	Orphans   []FilePosition
}

// A SavedFile is the state of one file of a FileSet.
type SavedFile struct {
	Path  string
	Scope uint32
	State FileState
}

// SavedSums are the counts of a pattern itself, and of all files that it had found and that are forgotten.
type SavedSums struct {
	Pattern           string
	Rotations, Errors uint64
	Gaps              [NumFileGaps]uint64
}

// A FileSet follows all files that a list of paths and patterns names. Each file counts once, however many names lead to it: it belongs
// to the path that held it first (see registry).
type FileSet struct {
	opt      FileSetOptions
	sink     Sink
	registry *registry
	notify   *notifier
	wake     chan struct{} // capacity 1: look now
	caughtUp chan struct{}
	began    time.Time
	known    []string // paths and patterns that a saved state was made with

	// Of the looker.
	scanned   bool
	waiting   map[FileID]bool   // files that were empty at the last scan, or too short to tell a copy
	copies    map[FileID]bool   // files that hold what another held; those of the last scan
	twinNames map[string]string // twins that patterns have found
	ctx       context.Context   // of Run, nil before

	mu        sync.Mutex // guards what follows, which only the looker changes
	members   []*member
	nextScope uint32
	patterns  []*patternSums
	orphans   []FilePosition
	twins     map[string]string
	lastScan  int64 // when it began, in nanoseconds of the Unix epoch
	since     int64 // what was made later is new: when the scan before the last one began, or an earlier one; 0 at the very first
}

// A member is one File of a FileSet.
type member struct {
	path    string
	scope   uint32
	pattern *patternSums // that found it; nil where the path is one of Paths
	file    *File
	present bool  // the last scan found it
	idle    int64 // since when it is gone and nothing of it is read; -1 where that isn't so
	stop    context.CancelFunc
	done    chan struct{} // closed when Run has returned
	failed  error         // what it returned
}

// patternSums is what is shown of a pattern.
type patternSums struct {
	sums  SavedSums
	err   error // what the last scan met; wraps fs.ErrNotExist where it found nothing
	found int
}

// FollowFiles takes hold of all files that are there. Its errors are those of the settings: anything wrong with a file is shown by
// Status and tried again until it is right. The caller calls Run, or Close where it doesn't come to that.
func FollowFiles(opt FileSetOptions, sink Sink) (*FileSet, error) {
	s := &FileSet{
		opt: opt, sink: sink, registry: newRegistry(), wake: make(chan struct{}, 1), caughtUp: make(chan struct{}), began: time.Now(),
		waiting: map[FileID]bool{}, copies: map[FileID]bool{}, nextScope: StdinScope + 1, twins: map[string]string{},
	}
	if s.opt.File.Poll == 0 {
		s.opt.File.Poll = defaultPoll
	}
	if s.opt.most == 0 {
		s.opt.most = maxSetFiles
	}
	if s.opt.forget == 0 {
		s.opt.forget = forgetLimit
	}
	for _, path := range opt.Paths {
		if _, err := filepath.Match(path, ""); path == "" || IsPattern(path) && err != nil {
			return nil, fmt.Errorf("following files: %q is no path and no pattern: write \\ before *, ?, [ and \\ that stand for themselves", path)
		}
		if IsPattern(path) {
			s.patterns = append(s.patterns, &patternSums{sums: SavedSums{Pattern: path}})
		}
	}
	if !s.opt.File.pollOnly && len(s.patterns) > 0 {
		s.notify = newNotifier(s.wake)
	}
	if err := s.begin(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// begin follows what the saved state knows and is still named, then what else there is.
func (s *FileSet) begin() error {
	s.lastScan = s.began.UnixNano()
	if saved := s.opt.Resume; saved != nil {
		if s.known = saved.Paths; saved.Scanned != 0 {
			s.since, s.lastScan = saved.Scanned, saved.Scanned
		}
		s.nextScope = max(s.nextScope, saved.NextScope)
		s.orphans = slices.Clone(saved.Orphans)
		for _, sums := range saved.Sums {
			for _, p := range s.patterns {
				if p.sums.Pattern == sums.Pattern {
					p.sums = sums
				}
			}
		}
		if err := s.beginSaved(saved.Files); err != nil {
			return err
		}
	}
	return s.scan()
}

// beginSaved follows again what was followed and is still named. All files belong to their paths before the first one is looked at.
func (s *FileSet) beginSaved(files []SavedFile) error {
	var still []SavedFile
	for _, f := range files {
		if !s.names(f.Path) {
			s.addOrphans(f.State.Positions)
			continue
		}
		still = append(still, f)
		s.registry.follow(f.Path)
		for _, p := range f.State.Positions {
			s.registry.claim(p.ID, f.Path)
		}
	}
	for i := range still {
		if err := s.add(still[i].Path, still[i].Scope, s.patternOf(still[i].Path), &still[i].State, false); err != nil {
			return err
		}
	}
	return nil
}

// names reports whether the settings name the path.
func (s *FileSet) names(path string) bool {
	return slices.ContainsFunc(s.opt.Paths, func(p string) bool { return matchesPath(p, path) })
}

// patternOf returns the first pattern that names the path, or nil where the path is one of the settings itself.
func (s *FileSet) patternOf(path string) *patternSums {
	for _, p := range s.opt.Paths {
		if !IsPattern(p) && matchesPath(p, path) {
			return nil
		}
	}
	for _, p := range s.patterns {
		if matchesPath(p.sums.Pattern, path) {
			return p
		}
	}
	return nil
}

// wasNamed reports whether the settings that the state was saved with named the path, so that it was not there then.
func (s *FileSet) wasNamed(path string) bool {
	return slices.ContainsFunc(s.known, func(p string) bool { return matchesPath(p, path) })
}

// add begins to follow a path.
func (s *FileSet) add(path string, scope uint32, pattern *patternSums, saved *FileState, fresh bool) error {
	opt := s.opt.File
	opt.Path, opt.Resume, opt.shared = path, saved, s.registry
	if fresh {
		opt.FromBeginning, opt.newSince = true, s.since
	}
	opt.pollOnly = opt.pollOnly || len(s.members) >= maxNotified
	if scope == 0 {
		scope = s.nextScope
	}
	s.registry.follow(path)
	f, err := FollowFile(s.opt.Source(path, scope), opt, s.sink)
	if err != nil {
		s.registry.leave(path)
		return err
	}
	m := &member{path: path, scope: scope, pattern: pattern, file: f, present: true, idle: -1}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextScope = max(s.nextScope, scope+1)
	s.members = append(s.members, m)
	return nil
}

// scan finds what the paths name now, follows what is new and forgets what is long gone.
func (s *FileSet) scan() error {
	var watched []string
	began := time.Now().UnixNano()
	s.mu.Lock()
	members := slices.Clone(s.members)
	s.mu.Unlock()
	for _, m := range members {
		m.present = m.pattern == nil
	}
	for _, path := range s.opt.Paths {
		if !IsPattern(path) {
			path, _ := ExpandPath(path) // no error without a pattern
			if err := s.scanPath(path[0]); err != nil {
				return err
			}
		}
	}
	found := make([][]string, len(s.patterns))
	errs := make([]error, len(s.patterns))
	all := map[string]bool{}
	for i, p := range s.patterns {
		watched = append(watched, literalStart(p.sums.Pattern))
		found[i], errs[i] = ExpandPath(p.sums.Pattern)
		for _, path := range found[i] {
			all[path] = true
		}
	}
	for _, m := range members {
		all[m.path] = true
	}
	waiting, copies := s.waiting, s.copies
	s.waiting, s.copies, s.twinNames = map[FileID]bool{}, map[FileID]bool{}, map[string]string{}
	for i, p := range s.patterns {
		if err := s.scanPattern(p, found[i], errs[i], all, waiting, copies); err != nil {
			return err
		}
	}
	s.notify.watchDirs(watched...)
	s.scanned = true
	s.noteScan(began)
	s.forgetGone()
	return nil
}

// literalStart returns what all paths begin with that the pattern matches, for watchDirs.
func literalStart(pattern string) string {
	start := pattern[:strings.IndexAny(pattern, globMeta+`\`)]
	if dir, _ := filepath.Split(start); dir == "" {
		return "./" + start
	}
	return start
}

// member returns the member of that path, or nil.
func (s *FileSet) member(path string) *member {
	for _, m := range s.members {
		if m.path == path {
			return m
		}
	}
	return nil
}

// scanPath follows a path of the settings, whatever it leads to.
func (s *FileSet) scanPath(path string) error {
	if s.member(path) != nil {
		return nil
	}
	fresh := s.wasNamed(path)
	return s.add(path, 0, nil, s.orphansOf(path), fresh)
}

// scanPattern follows what a pattern has found and is new.
func (s *FileSet) scanPattern(p *patternSums, found []string, err error, all map[string]bool, waiting, copies map[FileID]bool) error {
	files, tooMany := 0, 0
	var odd error
	for _, path := range found {
		if m := s.member(path); m != nil {
			m.present = true
			files++
			continue
		}
		info, serr := statPath(path, true)
		switch {
		case serr != nil || info.wrongKind(path) != nil || isCompressed(path) || rotatedName(path, all):
			continue
		case !utf8.ValidString(path):
			odd = fmt.Errorf("%q is not UTF-8, and so can't be a label; rename it, or follow a symbolic link to it", path)
			continue
		}
		files++
		if s.globbed() >= s.opt.most && s.registry.owner(info.id) == "" { // before what costs a look at every other path
			tooMany++
			continue
		}
		if other := s.registry.twinOf(info.id, path); other != "" {
			if _, ok := s.yielded(path, other, info); ok {
				// path's from now on, by orphansOf
			} else if now, err := statPath(other, true); err == nil && now.id == info.id { // otherwise it is a rotated one
				s.twinNames[path] = other
				continue
			} else {
				continue
			}
		}
		fresh := s.scanned || s.wasNamed(path)
		if fresh && s.isCopy(path, info, waiting, copies) {
			continue
		}
		if aerr := s.add(path, 0, p, s.orphansOf(path), fresh); aerr != nil {
			return aerr
		}
	}
	more, aerr := s.scanRotated(p, all, waiting, copies)
	if aerr != nil {
		return aerr
	}
	if tooMany += more; tooMany > 0 {
		odd = fmt.Errorf("%d of the files that it matches are not followed: %d is the limit; write narrower patterns, or several instances", tooMany, s.opt.most)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.found = files
	switch err = errors.Join(err, odd); {
	case err != nil:
		p.sums.Errors++
		p.err = fmt.Errorf("pattern %q: %w; retrying", p.sums.Pattern, err)
	case files == 0:
		p.err = fmt.Errorf("pattern %q: no file matches it: waiting for one: %w", p.sums.Pattern, fs.ErrNotExist)
	default:
		p.err = nil
	}
	return nil
}

// scanRotated follows logs that a pattern names and that nobody has seen yet, since they were rotated away before: one that came while we
// were down, say. They are known by what they have been rotated to; that it is compressed may be all that is new about a file. It returns
// how many are not followed since there are too many.
func (s *FileSet) scanRotated(p *patternSums, all map[string]bool, waiting, copies map[FileID]bool) (tooMany int, err error) {
	rotated, _ := ExpandPath(p.sums.Pattern + `[.\-]*`) // scanPattern shows the error
	for _, path := range rotated {
		base := rotatedFrom(path, func(base string) bool { return matchesPath(p.sums.Pattern, base) })
		if base == "" || all[base] || matchesPath(p.sums.Pattern, path) || !utf8.ValidString(base) {
			continue
		}
		info, err := statPath(path, false)
		if err != nil || info.wrongKind(path) != nil || s.registry.owner(info.id) != "" || s.isOrphan(info.id) {
			continue
		}
		fresh := s.scanned || s.wasNamed(base)
		if made := cmp.Or(info.id.Birth, info.written); !fresh || made < s.since-int64(clockSlack) || s.isCopy(path, info, waiting, copies) {
			continue
		}
		if s.globbed() >= s.opt.most {
			tooMany++
			continue
		}
		if err := s.add(base, 0, p, nil, true); err != nil {
			return tooMany, err
		}
		all[base] = true
	}
	return tooMany, nil
}

// yielded returns how far the file was read that path leads to and other has let go, if it has grown since and no look at other can meet
// it any more: then it is path's. Until path has taken it over it is an orphan, so that each State lists it.
func (s *FileSet) yielded(path, other string, info fileInfo) (FilePosition, bool) {
	m := s.member(other)
	if m == nil || isSiblingName(path, other) {
		return FilePosition{}, false
	}
	if now, err := statPath(other, true); err == nil && now.id == info.id {
		return FilePosition{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	given, ok := m.file.yield(info.id, info.size)
	if ok {
		s.addOrphans([]FilePosition{given})
	}
	return given, ok
}

// globbed returns how many members patterns have found.
func (s *FileSet) globbed() (n int) {
	for _, m := range s.members {
		if m.pattern != nil {
			n++
		}
	}
	return n
}

// rotatedName reports whether path is what another of these files is rotated to.
func rotatedName(path string, all map[string]bool) bool {
	return rotatedFrom(path, func(base string) bool { return all[base] }) != ""
}

// rotatedFrom returns the name, one that is right, that path has with "." or "-" and a number or date behind: .1, -20261123,
// -20261123-1795460000. It returns "" if there is none.
func rotatedFrom(path string, right func(base string) bool) string {
	i := len(path)
	for i > 0 && strings.IndexByte("0123456789.-_:T", path[i-1]) >= 0 {
		i--
		if (path[i] == '.' || path[i] == '-') && i+1 < len(path) && '0' <= path[i+1] && path[i+1] <= '9' && right(path[:i]) {
			return path[:i]
		}
	}
	return ""
}

// isCopy reports whether a file that has come since the last scan holds what another holds, or has held (copytruncate makes such), or
// may do so: an empty one is let be for one scan, and one that has yet to show that it is another as long as it takes.
func (s *FileSet) isCopy(path string, info fileInfo, waiting, copies map[FileID]bool) bool {
	switch {
	case copies[info.id]:
		s.copies[info.id] = true
		return true
	case info.size == 0:
		s.waiting[info.id] = true
		return !waiting[info.id]
	}
	fd, err := openLog(path, true)
	if err != nil {
		return false // whoever follows it meets the same
	}
	defer closeFD(fd)
	for _, m := range s.members {
		if m.file.resembles(fd, info.size) {
			if info.size >= AnchorSize {
				s.copies[info.id] = true
			} else {
				s.waiting[info.id] = true
			}
			return true
		}
	}
	return false
}

// noteScan keeps when the scan began, and which paths lead to a file that is another's.
func (s *FileSet) noteScan(began int64) {
	twins := s.twinNames
	for _, m := range s.members {
		other := m.file.twinOf()
		if other == "" {
			continue
		}
		if info, err := statPath(m.path, true); err == nil {
			if given, ok := s.yielded(m.path, other, info); ok {
				m.file.inherit(given)
				continue
			}
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

// forgetGone ends the members that a pattern had found, that are gone or another's, and of which nothing has been read for long. What
// they have counted is the pattern's from then on, so that no sum over all paths ever falls.
func (s *FileSet) forgetGone() {
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

// addOrphans remembers how far files have been read that nobody follows any more. A file that was one before has been read on since.
func (s *FileSet) addOrphans(positions []FilePosition) {
	newer := map[FileID]bool{}
	for i := range positions {
		newer[positions[i].ID] = true
	}
	s.orphans = slices.DeleteFunc(s.orphans, func(p FilePosition) bool { return newer[p.ID] })
	s.orphans = append(s.orphans, positions...)
	s.orphans = slices.Delete(s.orphans, 0, max(0, len(s.orphans)-maxOrphans))
}

// orphansOf returns a state for a path that is new, or nil; with the position of the file that it leads to, if that was followed by
// another path that is forgotten.
func (s *FileSet) orphansOf(path string) *FileState {
	info, err := statPath(path, true)
	if err != nil {
		return nil
	}
	for _, p := range s.orphans {
		if p.ID == info.id {
			return &FileState{Positions: []FilePosition{p}, Followed: 1, Start: p.ID}
		}
	}
	return nil
}

// isOrphan reports whether the file was followed by a path that is forgotten.
func (s *FileSet) isOrphan(id FileID) bool {
	return slices.ContainsFunc(s.orphans, func(p FilePosition) bool { return p.ID == id })
}

// Run follows all files until ctx ends. Then it has each read to its end (see File.Run) and returns nil, or what a File returned. Call
// it once.
func (s *FileSet) Run(ctx context.Context) error {
	defer s.notify.close()
	var events sync.WaitGroup
	eventsCtx, stopEvents := context.WithCancel(ctx)
	defer events.Wait()
	defer stopEvents()
	events.Go(func() { s.notify.run(eventsCtx) })
	first := slices.Clone(s.members)
	events.Go(func() {
		for _, m := range first {
			select {
			case <-m.file.CaughtUp():
			case <-eventsCtx.Done():
				return
			}
		}
		close(s.caughtUp)
	})
	s.ctx = ctx
	timer := time.NewTimer(s.opt.File.Poll)
	defer timer.Stop()
	var failed error
	for ctx.Err() == nil && failed == nil {
		s.start()
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		failed = s.scan()
		next := s.opt.File.Poll
		if len(s.waiting) > 0 { // no event tells when these are written to
			next = min(next, minReadPause)
		}
		timer.Reset(next)
	}
	s.start()
	for _, m := range s.members {
		if failed != nil {
			m.stop()
		}
		<-m.done
		failed = errors.Join(failed, m.failed)
	}
	return failed
}

// start runs new members.
func (s *FileSet) start() {
	for _, m := range s.members {
		if m.done != nil {
			continue
		}
		var ctx context.Context
		ctx, m.stop = context.WithCancel(s.ctx)
		m.done = make(chan struct{})
		go func() {
			defer close(m.done)
			m.failed = m.file.Run(ctx)
		}()
	}
}

// Close lets go of all files, for an input that never ran.
func (s *FileSet) Close() error {
	var all error
	for _, m := range s.members {
		all = errors.Join(all, m.file.Close())
	}
	s.notify.close()
	return all
}

// CaughtUp is closed once all files that were there at the start have been read to the ends that they had then, or can't be read. It
// needs Run.
func (s *FileSet) CaughtUp() <-chan struct{} { return s.caughtUp }

// Status returns how each file does, and each pattern, under its own name: its counts are those of files that it had found and that are
// forgotten, its error is that it finds nothing, or can't. A path whose file has always been another's is left out. It may be called at
// any time.
func (s *FileSet) Status() []FileStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []FileStatus
	for _, m := range s.members {
		if !m.file.alwaysTwin() {
			all = append(all, m.file.Status())
		}
	}
	for _, p := range s.patterns {
		all = append(all, FileStatus{Path: p.sums.Pattern, Rotations: p.sums.Rotations, Gaps: p.sums.Gaps, Errors: p.sums.Errors, Err: p.err})
	}
	return all
}

// Twins returns the paths that lead to a file which is another path's now, by the path whose it is. They count nothing.
func (s *FileSet) Twins() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	twins := make(map[string]string, len(s.twins))
	for path, other := range s.twins {
		twins[path] = other
	}
	return twins
}

// State returns what to keep, as File.State does. copied is called once and copies the Sink's own state; what it returns answers from that
// copy, by the name of the Source and the file's identity. No file changes hands meanwhile: one that was read by a path before is counted
// to its position in the copy, whichever path lists it now.
func (s *FileSet) State(copied func() (counted func(source string, id FileID) (FilePosition, bool))) FileSetState {
	s.mu.Lock()
	defer s.mu.Unlock()
	counted := copied()
	state := FileSetState{Paths: slices.Clone(s.opt.Paths), Scanned: s.since, NextScope: s.nextScope, Orphans: slices.Clone(s.orphans)}
	for _, m := range s.members {
		name := m.file.String()
		state.Files = append(state.Files, SavedFile{m.path, m.scope,
			m.file.State(func(id FileID) (FilePosition, bool) { return counted(name, id) })})
	}
	for _, p := range s.patterns {
		state.Sums = append(state.Sums, p.sums)
	}
	return state
}

// String returns "files" and the paths of the settings.
func (s *FileSet) String() string { return "files " + strings.Join(s.opt.Paths, ",") }

// Preview tells what FollowFiles would follow now by a pattern, one of paths, and which of the names that it matches it would leave
// alone: those of compressed and of rotated files. What is no regular file is in neither. Paths that lead to one file are all there.
func Preview(pattern string, paths []string) (followed, left []string, err error) {
	all := map[string]bool{}
	for _, path := range paths {
		found, _ := ExpandPath(path)
		for _, name := range found {
			all[name] = true
		}
	}
	found, err := ExpandPath(pattern)
	for _, path := range found {
		switch info, serr := statPath(path, true); {
		case serr != nil || info.wrongKind(path) != nil:
		case isCompressed(path) || rotatedName(path, all):
			left = append(left, path)
		default:
			followed = append(followed, path)
		}
	}
	return followed, left, err
}
