// Package follow reads log files through all their rotations, each line once, also across restarts.
package follow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

const (
	defaultPoll = time.Second

	minReadPause = 100 * time.Millisecond // after a failed read, doubled each time
	maxReadPause = 5 * time.Second

	// lookPatience is how long a look at one directory is waited for, since its file server may
	// not answer. After that the others are looked at without it.
	lookPatience = 2 * time.Second
	// settling is how long a file that was cut must keep its size to be judged.
	settling = 100 * time.Millisecond
)

// SetOptions are the settings of a Set. Zero values stand for the defaults.
type SetOptions struct {
	// Paths are log files, or patterns of several, see ExpandPath. A path is followed whether it
	// exists or not. What a pattern names is found at each look, if it is a regular file whose name
	// doesn't end as a compressed file's; what is called like another one here with "." or "-" and
	// nothing but numbers behind is followed unless it turns out to be a rotated one. A log that
	// was rotated away before anybody saw it is found by the name that it has then.
	Paths []string
	Poll  time.Duration // how often to look and read when the kernel sends no event, 1 s
	// FromBeginning reads the files that are there at the start from their first lines. Otherwise
	// reading begins with the last line, if that hasn't ended yet. A file that appears later is
	// always read from its first line.
	FromBeginning bool
	// Descriptors is the limit on open files: none gets a descriptor of that number or a higher
	// one. Since a new descriptor is the lowest free one, those above are left for others. 0: no
	// limit but the system's.
	Descriptors int
	// Source describes a target to the Sink. scope is the target's own, and stays so after a
	// restart.
	Source func(path string, scope uint32) receiver.Source
	Daemon Daemon
	// Resume is what Catalogue gave before the restart. Files that it knows are read on from there.
	// One that it doesn't know is read from its first line if its path or pattern was among Paths
	// then; otherwise, and where Resume is nil, FromBeginning decides.
	Resume *Catalogue

	// For tests: no inotify, no settling, something in place of Set.clock, of pread(2), of
	// mergePatience, of lookPatience, of maxSetFiles, of maxGenerations, of forgetLimit, of
	// stuckLimit.
	pollOnly, unsettled bool
	clock               func() int64
	pread               func(fd int, p []byte, off int64) (int, error)
	patience, answer    time.Duration
	most, generations   int
	forget              time.Duration
	stuck               time.Duration
}

// A Set follows all files that a list of paths and patterns names. Each file counts once, however
// many names lead to it: it belongs to the target that held it first.
//
//   - A look (look.go) finds which file has a target's name now, and which had it since the last
//     look. The kernel's events only bring it about; what it knows it knows from looking.
//   - Each generation (a goroutine each) reads its file, also when the name is another's: rsync's
//     children keep writing for hours to the file that they have open.
//
// Identity is FileID, never the name; a held descriptor stays right whatever is renamed. Whether
// two files hold the same lines is told by what they hold (relation.go).
type Set struct {
	opt       SetOptions
	sink      receiver.Sink
	known     *catalogue
	notify    *notifier
	blocks    sync.Pool     // of *block
	wake      chan struct{} // capacity 1: look now
	ending    chan struct{} // closed when Run shall end: generations read to their end and return
	over      chan struct{} // closed when there is no more time for that
	caughtUp  chan struct{}
	before    []string // paths and patterns that a saved catalogue was made with
	merge     *merge   // of the Daemon's files, nil where there is nothing to join
	running   atomic.Bool
	readers   sync.WaitGroup
	short     atomic.Int64  // until when descriptors are scarce, by clock
	unpacking chan struct{} // capacity 1: holds a token while somebody unpacks, since a decoder takes megabytes

	// Of the looker.
	scanned     bool
	daemonScope uint32 // of the Daemon's files, 0 if not given yet
	guards      map[string]*guard

	mu        sync.Mutex // guards what follows, which only the looker changes
	targets   []*target
	nextScope uint32
	patterns  []*pattern
	lastScan  int64 // when it began, in nanoseconds of the Unix epoch
	since     int64 // what was made later is new: when an earlier scan than the last began; 0 at the very first
}

// NewSet takes hold of all files that are there: what is written to them from now on will be read.
// Its errors are those of the settings: anything wrong with a file is shown by Status and tried
// again until it is right. The caller calls Run, or Close where it doesn't come to that.
func NewSet(opt SetOptions, sink receiver.Sink) (*Set, error) {
	if opt.Poll < 0 {
		return nil, fmt.Errorf("following files: the poll interval %v is negative", opt.Poll)
	}
	opt.Poll = cmp.Or(opt.Poll, defaultPoll)
	opt.most = cmp.Or(opt.most, maxSetFiles)
	opt.answer = cmp.Or(opt.answer, lookPatience)
	opt.generations = cmp.Or(opt.generations, maxGenerations)
	opt.forget = cmp.Or(opt.forget, forgetLimit)
	if opt.pread == nil {
		opt.pread = unix.Pread
	}
	began := time.Now()
	if opt.clock == nil {
		opt.clock = func() int64 { return int64(time.Since(began)) }
	}
	s := &Set{
		opt: opt, sink: sink, known: newCatalogue(), wake: make(chan struct{}, 1), ending: make(chan struct{}),
		over: make(chan struct{}), caughtUp: make(chan struct{}), unpacking: make(chan struct{}, 1),
		nextScope: receiver.StdinScope + 1, guards: map[string]*guard{},
	}
	s.blocks.New = newBlock
	for _, path := range opt.Paths {
		if _, err := filepath.Match(path, ""); path == "" || IsPattern(path) && err != nil {
			return nil, fmt.Errorf("following files: %q is no path and no pattern: write \\ before *, ?, [ and \\ "+
				"that stand for themselves", path)
		}
		if IsPattern(path) {
			s.patterns = append(s.patterns, &pattern{sums: SavedSums{Pattern: path}})
		}
	}
	s.merge = mergeOf(&s.opt)
	if !opt.pollOnly {
		s.notify = newNotifier(s.wake, opt.Descriptors)
	}
	s.lastScan = began.UnixNano()
	if opt.Resume != nil {
		s.restore(opt.Resume.Upgraded())
	}
	s.look(true)
	return s, nil
}

// restore takes over a saved catalogue. The looks find out what has become of the files.
func (s *Set) restore(saved *Catalogue) {
	if s.before = saved.Paths; saved.Scanned != 0 {
		s.since, s.lastScan = saved.Scanned, saved.Scanned
	}
	s.nextScope = max(s.nextScope, saved.NextScope)
	for _, sums := range saved.Sums {
		for _, p := range s.patterns {
			if p.sums.Pattern == sums.Pattern {
				p.sums = sums
			}
		}
	}
	for _, r := range saved.Known {
		if r.Pos.Offset >= 0 {
			s.known.put(entry{FileRecord: r, begin: r.Pos, saved: true})
		}
	}
	for _, r := range saved.Cuts {
		s.known.cuts = append(s.known.cuts, &cut{CutRecord: r})
	}
	var still []TargetRecord
	for _, r := range saved.Targets {
		if matchesAny(s.opt.Paths, r.Path) {
			still = append(still, r)
		} else {
			s.known.disown(r.Path)
		}
	}
	s.resumeScope(still)
	for _, r := range still {
		s.add(r.Path, r.Scope, s.patternOf(r.Path), false).resume(r)
	}
}

// add begins to follow a path. fresh says that its file is new, and read from its first line.
func (s *Set) add(path string, scope uint32, p *pattern, fresh bool) *target {
	scope = s.scopeFor(path, scope)
	t := &target{
		set: s, path: path, scope: scope, src: s.opt.Source(path, scope), pattern: p, fresh: fresh,
		caughtUp: make(chan struct{}), present: true, idle: -1, blind: -1,
	}
	t.looking.Store(notLooking)
	t.behind.Store(1)
	if fresh {
		t.sinceAt = s.since - int64(clockSlack)
		t.since = receiver.FileID{Birth: t.sinceAt}
	}
	if rank, ok := s.rank(path); ok {
		t.merged = s.merge.join(rank)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextScope = max(s.nextScope, scope+1)
	s.targets = append(s.targets, t)
	return t
}

// resume takes over what is saved of a target.
func (t *target) resume(r TargetRecord) {
	t.record, t.resumed, t.named = r, true, r.Named
	t.rotations.Store(r.Rotations)
	t.errors.Store(r.Errors)
	for i := range t.gaps {
		t.gaps[i].Store(r.Gaps[i])
	}
	for _, e := range t.set.known.of(t.path) {
		if e.Verdict == Reading || e.Verdict == Read {
			t.known, t.everHeld = true, true
			t.offset, t.size = e.Pos.Offset, e.Pos.Offset
		}
	}
	t.since, t.sinceAt = r.Named, r.Looked-int64(clockSlack)
}

// look looks at everything, or at what events tell of. A file server that doesn't answer holds it
// up for lookPatience, once.
func (s *Set) look(all bool) {
	if all {
		s.scan()
	}
	for dir, targets := range s.byDirectory() {
		s.guard(dir).run(func() {
			for _, t := range targets {
				if all || t.dirty.Load() {
					t.look()
				}
			}
		})
	}
	if all {
		s.forgetGone()
	}
}

// byDirectory yields the targets by the directories of their paths, in the order of the targets.
func (s *Set) byDirectory() func(yield func(string, []*target) bool) {
	var dirs []string
	in := map[string][]*target{}
	for _, t := range s.targets {
		dir := filepath.Dir(t.path)
		if in[dir] == nil {
			dirs = append(dirs, dir)
		}
		in[dir] = append(in[dir], t)
	}
	return func(yield func(string, []*target) bool) {
		for _, dir := range dirs {
			if !yield(dir, in[dir]) {
				return
			}
		}
	}
}

// A guard keeps whoever looks from waiting for a file server for long.
type guard struct {
	busy     atomic.Bool
	patience time.Duration // lookPatience, but for tests
}

func (s *Set) guard(key string) *guard {
	if s.guards[key] == nil {
		s.guards[key] = &guard{patience: s.opt.answer}
	}
	return s.guards[key]
}

// run runs f, and waits for it for the guard's patience. It returns false if f, or an earlier one, goes on.
func (g *guard) run(f func()) bool {
	if g.busy.Swap(true) {
		return false
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer g.busy.Store(false)
		f()
	}()
	timer := time.NewTimer(g.patience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// Run follows all files until ctx ends. Then it looks a last time, has each generation read to its
// end (for receiver.DrainLimit at most, not counting the Sink's time), and returns nil. A line that
// has not ended then stays where it is, uncounted. Call it once.
func (s *Set) Run(ctx context.Context) error {
	defer s.notify.close()
	var events sync.WaitGroup
	eventsCtx, stopEvents := context.WithCancel(context.WithoutCancel(ctx))
	defer events.Wait()
	defer stopEvents()
	events.Go(func() { s.notify.run(eventsCtx) })
	s.begin(eventsCtx, &events)
	timer := time.NewTimer(s.opt.Poll)
	defer timer.Stop()
	for ctx.Err() == nil {
		all := false
		select {
		case <-ctx.Done():
			continue
		case <-s.wake:
			all = s.scanDue()
		case <-timer.C:
			all = true
		case <-s.merge.checks():
			s.checkMerged()
			continue
		}
		s.look(all)
		if all {
			timer.Reset(s.opt.Poll)
		}
	}
	s.end()
	s.letGo()
	return nil
}

// begin begins to read.
func (s *Set) begin(ctx context.Context, events *sync.WaitGroup) {
	first := slices.Clone(s.targets)
	s.running.Store(true)
	for dir, targets := range s.byDirectory() {
		if s.guard(dir).busy.Load() {
			first = slices.DeleteFunc(first, func(t *target) bool { return slices.Contains(targets, t) })
			continue // its look starts what it finds
		}
		for _, t := range targets {
			t.begin()
		}
	}
	events.Go(func() {
		for _, t := range first {
			select {
			case <-t.caughtUp:
			case <-ctx.Done():
				return
			}
		}
		close(s.caughtUp)
	})
}

// end looks a last time, and has the generations read to their ends.
func (s *Set) end() {
	s.look(true)
	for _, t := range s.targets {
		t.merged.noteLook(math.MaxInt64) // nobody looks any more
	}
	s.mu.Lock()
	close(s.ending) // no reader is started any more
	s.mu.Unlock()
	last := time.AfterFunc(receiver.DrainLimit, func() { close(s.over) })
	defer last.Stop()
	done := make(chan struct{})
	go func() {
		s.readers.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-s.over:
	}
	for tick := time.Tick(50 * time.Millisecond); !s.allHang(); {
		select {
		case <-done:
			return
		case <-tick:
		}
	}
}

// letGo lets go of all files but those that wait for file servers which don't answer.
func (s *Set) letGo() {
	for _, t := range s.targets {
		if !s.guard(filepath.Dir(t.path)).busy.Load() {
			t.close()
		}
	}
	for _, t := range s.targets {
		if s.guard(filepath.Dir(t.path)).busy.Load() {
			continue
		}
		t.reap(Reading)
		t.merged.leave()
	}
}

// Close lets go of all files, for an input that never ran.
func (s *Set) Close() error {
	s.letGo()
	s.notify.close()
	return nil
}

// CaughtUp is closed once all files that were there at the start have been read to the ends that
// they had then, or can't be read, which Status shows, and the Sink knows it by the empty slab that
// follows them. It needs Run, which closes it at once if there is no file, or reading begins at the
// end. It stays open if Run is ended before.
func (s *Set) CaughtUp() <-chan struct{} { return s.caughtUp }

// Status returns how each target does, and each pattern. It may be called at any time.
func (s *Set) Status() (all []Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.targets {
		all = append(all, t.status())
	}
	for _, p := range s.patterns {
		n := &p.sums
		for _, path := range slices.Sorted(maps.Keys(p.twins)) {
			all = append(all, Status{Path: path, Err: twinError(path, p.twins[path])})
		}
		all = append(all, Status{
			Pattern: n.Pattern, Rotations: n.Rotations, Gaps: n.Gaps, Errors: n.Errors, Err: p.err,
		})
	}
	return all
}

// Errors of Status that say why a file isn't read whose lines are counted all the same.
var (
	ErrTwin = errors.New("it is counted there") // another path leads to it
	ErrCopy = errors.New("they are counted there")
)

func twinError(path, other string) error {
	return fmt.Errorf("%q is the same file as %q: %w", path, other, ErrTwin)
}

// Catalogue returns what to keep. counted are the positions that came with the last slab of each
// file that the Sink has counted, copied together with the Sink's own state before Catalogue is
// called. What has been delivered since is then in neither. A file of which the Sink has counted
// nothing is kept with the place where reading it began. The Sink must not forget a position as
// long as a Catalogue lists its file.
//
// It may be called at any time, and after Run has returned.
func (s *Set) Catalogue(counted map[receiver.FileID]receiver.FilePosition) *Catalogue {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Catalogue{Paths: slices.Clone(s.opt.Paths), Scanned: s.since, NextScope: s.nextScope}
	for _, t := range s.targets {
		c.Targets = append(c.Targets, t.toRecord())
	}
	for _, p := range s.patterns {
		c.Sums = append(c.Sums, p.sums)
	}
	s.known.record(c, counted)
	return c
}

// String returns "files" and the paths of the settings.
func (s *Set) String() string { return "files " + strings.Join(s.opt.Paths, ",") }

// clock is monotonic.
func (s *Set) clock() int64 { return s.opt.clock() }

// pread is pread(2), done again when a signal has interrupted it.
func (s *Set) pread(fd int, p []byte, offset int64) (n int, err error) {
	for {
		if n, err = s.opt.pread(fd, p, offset); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

func (s *Set) settle() time.Duration {
	if s.opt.unsettled {
		return 0
	}
	return settling
}

func (s *Set) stuck() time.Duration { return cmp.Or(s.opt.stuck, stuckLimit) }

// A watcher is woken up by events in directories: a target, or a pattern.
type watcher interface{ wake() }

func (t *target) wake()  { t.dirty.Store(true) }
func (p *pattern) wake() { p.dirty.Store(true) }
