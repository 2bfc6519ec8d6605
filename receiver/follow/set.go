package follow

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"rsyncd_exporter/receiver"
)

const (
	maxSetFiles = 256 // that patterns may add to a Set
	// maxNotified is how many Files of a Set have inotify. A user may have 128 instances, and other
	// programs need some.
	maxNotified = 32
	// forgetLimit is after how long a file of a pattern is forgotten that is gone and no longer
	// read.
	forgetLimit = 10 * time.Minute
	maxOrphans  = 1024 // positions of forgotten files that are remembered
)

// SetOptions are the settings of a Set.
type SetOptions struct {
	// Paths are log files, or patterns of several, see ExpandPath. A path is followed whether it
	// exists or not. What a pattern names is found at each look, if it is a regular file whose name
	// doesn't end as a compressed file's, and isn't that of another one here with "." or "-" and
	// nothing but numbers behind, as rotations name them. A log that was rotated away before
	// anybody saw it is found by the name that it has then, unless the pattern matches that, too.
	Paths []string
	File  Options // shared by all; Path and Resume are not used
	// Source describes a file to the Sink. scope is the file's own, and stays so after a restart.
	Source func(path string, scope uint32) receiver.Source
	Daemon Daemon
	// Resume is what Catalogue gave before the restart. A file that it doesn't know is read from its
	// first line if its path or pattern was among Paths then; otherwise, and where Resume is nil,
	// File.FromBeginning decides. What patterns find later is always read from its first line.
	Resume *Catalogue

	// For tests, in place of mergePatience, maxSetFiles and forgetLimit.
	patience time.Duration
	most     int
	forget   time.Duration
}

// A Catalogue is what a restart keeps of a Set, for another one to go on exactly where it was.
type Catalogue struct {
	Paths     []string // SetOptions.Paths
	Scanned   int64    // no file made later was missed by the last scan, in nanoseconds of the Unix epoch
	NextScope uint32
	Files     []SavedFile // in the order in which they were begun
	Sums      []SavedSums // one for each pattern that has found files which are forgotten
	Orphans   []receiver.FilePosition
}

// A SavedFile is one file of a Set.
type SavedFile struct {
	Path  string
	Scope uint32
	FileRecord
}

// SavedSums are the counts of a pattern, and of files that it had found and that are forgotten.
type SavedSums struct {
	Pattern           string
	Rotations, Errors uint64
	Gaps              gapCounts
}

// A Set follows all files that a list of paths and patterns names. Each file counts once, however
// many names lead to it: it belongs to the path that held it first (see registry).
type Set struct {
	opt      SetOptions
	sink     receiver.Sink
	registry *registry
	notify   *notifier
	wake     chan struct{} // capacity 1: look now
	caughtUp chan struct{}
	began    time.Time
	known    []string // paths and patterns that a saved state was made with
	merge    *merge   // of the Daemon's files, nil where there is nothing to join

	// Of the looker.
	scanned bool
	waiting map[receiver.FileID]bool // files that were empty at the last scan, or too short to tell a copy
	waited  map[receiver.FileID]bool // at the scan before
	copies  map[receiver.FileID]bool // files that hold what another held
	copied  map[receiver.FileID]bool // at the scan before
	// daemonScope is the scope of the Daemon's files, 0 if not given yet.
	daemonScope uint32

	mu        sync.Mutex // guards what follows, which only the looker changes
	members   []*member
	nextScope uint32
	patterns  []*patternSums
	orphans   []receiver.FilePosition
	twins     map[string]string
	lastScan  int64 // when it began, in nanoseconds of the Unix epoch
	since     int64 // what was made later is new: when an earlier scan than the last began; 0 at the very first
}

// A member is one File of a Set.
type member struct {
	path    string
	scope   uint32
	pattern *patternSums // that found it; nil where the path is one of Paths
	file    *File
	present bool  // the last scan found it
	idle    int64 // since when it is gone and nothing of it is read; -1 where that isn't so
	stop    context.CancelFunc
	done    chan struct{} // closed when Run has returned
}

// patternSums is what is shown of a pattern.
type patternSums struct {
	sums SavedSums
	err  error // what the last scan met; wraps fs.ErrNotExist where it found nothing
}

// NewSet takes hold of all files that are there. Its errors are those of the settings: anything
// wrong with a file is shown by Status and tried again until it is right. The caller calls Run, or
// Close where it doesn't come to that.
func NewSet(opt SetOptions, sink receiver.Sink) (*Set, error) {
	if opt.File.Poll < 0 {
		return nil, fmt.Errorf("following files: the poll interval %v is negative", opt.File.Poll)
	}
	opt.File.Poll = cmp.Or(opt.File.Poll, defaultPoll)
	opt.most = cmp.Or(opt.most, maxSetFiles)
	opt.forget = cmp.Or(opt.forget, forgetLimit)
	s := &Set{
		opt: opt, sink: sink, registry: newRegistry(), wake: make(chan struct{}, 1), caughtUp: make(chan struct{}),
		began: time.Now(), nextScope: receiver.StdinScope + 1,
	}
	for _, path := range opt.Paths {
		if _, err := filepath.Match(path, ""); path == "" || IsPattern(path) && err != nil {
			return nil, fmt.Errorf("following files: %q is no path and no pattern: write \\ before *, ?, [ and \\ "+
				"that stand for themselves", path)
		}
		if IsPattern(path) {
			s.patterns = append(s.patterns, &patternSums{sums: SavedSums{Pattern: path}})
		}
	}
	s.merge = mergeOf(&s.opt)
	if !s.opt.File.pollOnly && len(s.patterns) > 0 {
		s.notify = newNotifier(s.wake, s.opt.File.Descriptors)
	}
	s.begin()
	return s, nil
}

func (s *Set) begin() {
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
		s.beginSaved(saved.Files)
	}
	s.scan()
}

// beginSaved follows again what is still named. All files belong to their paths before the first
// one is looked at.
func (s *Set) beginSaved(files []SavedFile) {
	var still []SavedFile
	for _, f := range files {
		if !matchesAny(s.opt.Paths, f.Path) {
			s.addOrphans(f.Positions)
			continue
		}
		still = append(still, f)
		s.registry.follow(f.Path)
		for _, p := range f.Positions {
			s.registry.claim(p.ID, f.Path)
		}
	}
	s.resumeScope(still)
	for i := range still {
		s.add(still[i].Path, still[i].Scope, s.patternOf(still[i].Path), &still[i].FileRecord, false)
	}
}

// patternOf returns the first pattern that names the path, or nil where the path is one of Paths.
func (s *Set) patternOf(path string) *patternSums {
	if slices.ContainsFunc(s.opt.Paths, func(p string) bool { return !IsPattern(p) && matchesPath(p, path) }) {
		return nil
	}
	i := slices.IndexFunc(s.patterns, func(p *patternSums) bool { return matchesPath(p.sums.Pattern, path) })
	return s.patterns[i]
}

// wasNamed reports whether the saved settings named the path: then it wasn't there.
func (s *Set) wasNamed(path string) bool { return matchesAny(s.known, path) }

// add begins to follow a path. fresh says that its file is new, and read from its first line.
func (s *Set) add(path string, scope uint32, pattern *patternSums, saved *FileRecord, fresh bool) {
	opt := s.opt.File
	opt.Path, opt.Resume, opt.shared = path, saved, s.registry
	if fresh {
		opt.FromBeginning, opt.newSince = true, s.since
	}
	opt.pollOnly = opt.pollOnly || len(s.members) >= maxNotified
	scope = s.scopeFor(path, scope)
	if rank, ok := s.rank(path); ok {
		opt.merge, opt.rank = s.merge, rank
	}
	s.registry.follow(path)
	f := newFile(s.opt.Source(path, scope), opt, s.sink)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextScope = max(s.nextScope, scope+1)
	s.members = append(s.members, &member{path: path, scope: scope, pattern: pattern, file: f, present: true, idle: -1})
}

// addOrphans remembers how far files have been read that nobody follows any more.
func (s *Set) addOrphans(positions []receiver.FilePosition) {
	newer := map[receiver.FileID]bool{}
	for i := range positions {
		newer[positions[i].ID] = true
	}
	s.orphans = slices.DeleteFunc(s.orphans, func(p receiver.FilePosition) bool { return newer[p.ID] })
	s.orphans = append(s.orphans, positions...)
	s.orphans = slices.Delete(s.orphans, 0, max(0, len(s.orphans)-maxOrphans))
}

func (s *Set) orphan(id receiver.FileID) *receiver.FilePosition {
	if i := slices.IndexFunc(s.orphans, func(p receiver.FilePosition) bool { return p.ID == id }); i >= 0 {
		return &s.orphans[i]
	}
	return nil
}

// orphanState returns the state for a new path that leads to an orphan, or nil.
func (s *Set) orphanState(path string) *FileRecord {
	info, err := statPath(path, true)
	if err != nil {
		return nil
	}
	if p := s.orphan(info.id); p != nil {
		return &FileRecord{Positions: []receiver.FilePosition{*p}, Followed: 1, Start: p.ID}
	}
	return nil
}

// Run follows all files until ctx ends, has each read to its end (see File.Run) and returns nil.
func (s *Set) Run(ctx context.Context) error {
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
	for ctx.Err() == nil {
		s.start(ctx)
		next := s.opt.File.Poll
		if len(s.waiting) > 0 { // no event tells when these are written to
			next = min(next, minReadPause)
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-time.After(next):
		}
		s.scan()
	}
	s.start(ctx)
	for _, m := range s.members {
		<-m.done
	}
	return nil
}

func (s *Set) start(ctx context.Context) {
	for _, m := range s.members {
		if m.done == nil {
			ctx, stop := context.WithCancel(ctx)
			m.stop, m.done = stop, make(chan struct{})
			go func() {
				defer close(m.done)
				_ = m.file.Run(ctx) // always nil
			}()
		}
	}
}

// Close lets go of all files, for an input that never ran.
func (s *Set) Close() error {
	for _, m := range s.members {
		m.file.Close()
	}
	s.notify.close()
	return nil
}

// CaughtUp is closed once all files that were there at the start have been read to the ends that
// they had then, or can't be read. It needs Run.
func (s *Set) CaughtUp() <-chan struct{} { return s.caughtUp }

// Status returns how each file does, and each pattern, under its own name: its counts are those of
// files that it had found and that are forgotten, its error is that it finds nothing, or can't. A
// path whose file has always been another's is left out. It may be called at any time.
func (s *Set) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Status
	for _, m := range s.members {
		if !m.file.alwaysTwin() {
			all = append(all, m.file.Status())
		}
	}
	for _, p := range s.patterns {
		n := &p.sums
		all = append(all, Status{Path: n.Pattern, Rotations: n.Rotations, Gaps: n.Gaps, Errors: n.Errors, Err: p.err})
	}
	return all
}

// Twins maps each path that leads to a file of another path to that path. Twins count nothing.
func (s *Set) Twins() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.twins)
}

// Catalogue returns what to keep, as File.Record does.
//
// A file may change hands after counted was copied: it is counted to its position there, whichever
// path lists it now, or none.
func (s *Set) Catalogue(counted map[receiver.FileID]receiver.FilePosition) *Catalogue {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Catalogue{
		Paths: slices.Clone(s.opt.Paths), Scanned: s.since, NextScope: s.nextScope, Orphans: slices.Clone(s.orphans),
	}
	for i, p := range c.Orphans {
		if at, ok := counted[p.ID]; ok {
			c.Orphans[i] = at
		}
	}
	for _, m := range s.members {
		c.Files = append(c.Files, SavedFile{m.path, m.scope, m.file.Record(counted)})
	}
	for _, p := range s.patterns {
		c.Sums = append(c.Sums, p.sums)
	}
	return c
}

// IDs returns the files whose positions are listed.
func (c *Catalogue) IDs() map[receiver.FileID]bool {
	ids := map[receiver.FileID]bool{}
	for i := range c.Files {
		for _, p := range c.Files[i].Positions {
			ids[p.ID] = true
		}
	}
	return ids
}

// String returns "files" and the paths of the settings.
func (s *Set) String() string { return "files " + strings.Join(s.opt.Paths, ",") }

// Preview tells which files NewSet would follow now by a pattern, one of paths, and which it would
// leave alone, as compressed or rotated ones. Paths that lead to one file are all there.
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
		case serr != nil || !info.isRegular():
		case isCompressed(path) || rotatedName(path, all):
			left = append(left, path)
		default:
			followed = append(followed, path)
		}
	}
	return followed, left, err
}
