// Package follow reads log files through all their rotations, each line once, also across restarts.
package follow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

const (
	defaultPoll = time.Second

	maxGenerations = 512                // followed at a time; beyond it, the one silent for longest is let go
	maxOpen        = 2 * maxGenerations // open at a time, with those that are being read to their ends
	silentLimit    = 24 * time.Hour     // a generation without the name that hasn't grown for so long is let go
	deletedLimit   = 10 * time.Minute   // and one without any name, if the disk could do with its space
	stuckLimit     = 10 * time.Second   // a look that takes longer is shown as trouble

	minReadPause = 100 * time.Millisecond // after a failed read, doubled each time
	maxReadPause = 5 * time.Second

	// clockSlack is by how much a file's time may be behind the clock: by a tick, or on a network
	// file system by what its server's clock differs.
	clockSlack = time.Second

	notLooking = math.MaxInt64
)

// Options are the settings of a followed file. Zero values stand for the defaults.
type Options struct {
	Path string        // of the log file; it need not exist yet, nor its directory
	Poll time.Duration // how often to look and read when the kernel sends no event, 1 s
	// FromBeginning reads the file that is there at the start from its first line. Otherwise
	// reading begins with its last line, if that hasn't ended yet. A file that appears later is
	// always read from its first line.
	FromBeginning bool
	// Resume is what Record gave before the restart. Files that it knows are read on from there,
	// others from their first line, whatever FromBeginning says. Nil where nothing is known.
	Resume *FileRecord
	// Descriptors is the limit on open files: none gets a descriptor of that number or a higher
	// one. Since a new descriptor is the lowest free one, those above are left for others. 0: no
	// limit but the system's.
	Descriptors int

	newSince int64     // siblings made since then are new at the first look, too; 0 where none is
	shared   *registry // of a Set; nil for a File that is alone
	merge    *merge    // of the files of one daemon; nil for a file that has one to itself
	rank     int       // in merge, see mergeFile

	// For tests: no inotify, and something in place of pread(2).
	pollOnly bool
	pread    func(fd int, p []byte, off int64) (int, error)
}

// A Gap is a reason why an unknown number of lines may have been lost.
type Gap uint8

// The reasons.
const (
	GapTruncated Gap = iota // the file was cut or rewritten in place (copytruncate): what was unread is lost
	GapUnread               // a file was let go before its end was read, or while it was growing
	NumGaps                 // how many there are
)

var gapNames = [NumGaps]string{"truncated", "unread"}

// String returns the label value.
func (g Gap) String() string { return gapNames[g] }

// Status is how a followed file does.
type Status struct {
	Path        string
	Generations int   // files read now: the one with the name, and those that had it and may still grow
	Offset      int64 // of the newest generation: all complete lines before it have been delivered
	Size        int64 // of the newest generation, in bytes, as last seen
	Lag         int64 // undelivered bytes of all generations, as last seen; part of a line included
	// LagTime is how long ago all that the files held had been delivered: 0 when it is now, but for
	// lines that haven't ended. It grows while a file can't be read or opened. It is exact to one
	// look or read, which are Options.Poll apart.
	LagTime   time.Duration
	Rotations uint64
	Gaps      [NumGaps]uint64
	Errors    uint64 // failed reads, and failed looks, but for those at a path that doesn't exist
	Err       error  // what is wrong now; wraps fs.ErrNotExist while the file is waited for; nil if all is well
}

// File follows a log file through all its rotations. The kernel's events only wake it up; what it
// knows it knows from looking:
//
//   - look (one goroutine) finds which file has the name now, and which had it since the last look
//     (siblings). It opens those that it doesn't hold, and lets go those that nobody writes to any
//     more.
//   - Each generation (a goroutine each) reads its file, also when the name is another's: rsync's
//     children keep writing for hours to the file that they have open.
//
// Identity is FileID, never the name; a held descriptor stays right whatever is renamed.
type File struct {
	src    receiver.Source
	sink   receiver.Sink
	opt    Options
	notify *notifier
	blocks sync.Pool // of *block
	began  time.Time

	wake   chan struct{} // capacity 1: look now
	ending chan struct{} // closed when Run shall end: generations read to their end and return
	over   chan struct{} // closed when there is no more time for that

	behind   atomic.Int64  // generations that CaughtUp waits for, and 1 until Run begins
	caughtUp chan struct{} // closed when this is 0 and the Sink has been told

	errors    atomic.Uint64
	rotations atomic.Uint64
	gaps      [NumGaps]atomic.Uint64
	looking   atomic.Int64 // since when a look is under way, by clock; notLooking if none is

	// Of the looker.
	looked     bool
	current    *generation     // the one that has the name, nil if none
	changed    bool            // current is not what it was at the look before
	known      bool            // there has been a file with the name
	searched   int             // looks in which owed files were searched for
	refused    receiver.FileID // the file that has the name and could not be opened, zero if none
	lookedLast int64           // when the last look began, in nanoseconds of the Unix epoch
	// No older sibling is new than since: the file that had the name at the start, or the newest of
	// the saved state. sinceLook stands for it where times of birth aren't known.
	since     receiver.FileID
	sinceLook int64
	resume    *FileRecord // where to go on; nil once the files have been looked for
	siblings  siblings
	// unseenSince is since when a compressed sibling must have been written to in order to be new,
	// in nanoseconds of the Unix epoch.
	unseenSince int64
	oldHeads    [][]byte // see noteOld

	shared *registry
	merged *mergeFile // nil where opt.merge is

	mu          sync.Mutex                   // guards what follows, which only the looker changes, but for cuts
	generations []*generation                // oldest first
	past        map[receiver.FileID]pastFile // no longer held
	pastOrder   []receiver.FileID            // its keys, oldest first
	owed        map[receiver.FileID]string   // those of past that had lines to come at the end, and their places
	at          string                       // the place where the last look took place
	cuts        []receiver.FilePosition      // of files before they were cut, the latest ones: so copies are known
	startID     receiver.FileID              // the file that had the name at the very first start, until it is opened
	startSize   int64                        // its size then
	beside      Siblings                     // what Record tells of siblings
	lookErr     error                        // what the last look met
	blind       int64                        // since when looks have failed, by clock; -1 if the last one didn't
	offset      int64                        // of the newest generation, when none is held
	size        int64
	twin        string // the path that owns the file with this one's name; "" if this one does
	everHeld    bool   // a file was held, or is known from a saved state
	unpackErr   error  // the last compressed file that could not be read, and when by clock
	unpackErrAt int64
}

// NewFile takes hold of the file, if it is there: what is written to it from now on will be read.
// Anything wrong with the file is shown by Status and tried again until it is right. The caller
// calls Run, or Close where it doesn't come to that.
func NewFile(src receiver.Source, opt Options, sink receiver.Sink) (*File, error) {
	if opt.Path == "" {
		return nil, errors.New("following a file: its path is empty")
	}
	if opt.Poll < 0 {
		return nil, fmt.Errorf("following %q: the poll interval %v is negative", opt.Path, opt.Poll)
	}
	return newFile(src, opt, sink), nil
}

// newFile is NewFile for settings that are right.
func newFile(src receiver.Source, opt Options, sink receiver.Sink) *File {
	opt.Poll = cmp.Or(opt.Poll, defaultPoll)
	opt.Path = filepath.Clean(opt.Path)
	if opt.pread == nil {
		opt.pread = unix.Pread
	}
	if opt.shared == nil {
		opt.shared = newRegistry()
	}
	f := &File{
		src: src, sink: sink, opt: opt, shared: opt.shared, began: time.Now(), blind: -1,
		wake: make(chan struct{}, 1), ending: make(chan struct{}), over: make(chan struct{}),
		caughtUp: make(chan struct{}), past: map[receiver.FileID]pastFile{}, owed: map[receiver.FileID]string{},
		siblings: siblings{seen: map[receiver.FileID]mark{}},
	}
	f.blocks.New = newBlock
	f.looking.Store(notLooking)
	if !opt.pollOnly {
		f.notify = newNotifier(f.wake, f.opt.Descriptors)
	}
	if opt.Resume != nil {
		f.restore(opt.Resume)
		f.restoreCounts(opt.Resume)
		f.everHeld = len(opt.Resume.Positions) > 0
		for _, p := range opt.Resume.Positions {
			f.shared.claim(p.ID, opt.Path)
		}
	}
	f.merged = opt.merge.join(opt.rank)
	f.look()
	f.noteBacklog()
	return f
}

// Run follows the file until ctx ends. Then it looks a last time, reads each generation to its end
// (for 2 s at most, not counting the Sink's time), and returns nil. A line that has not ended then
// stays where it is, uncounted. Call it once.
func (f *File) Run(ctx context.Context) error {
	defer f.Close()
	var readers, events sync.WaitGroup
	eventsCtx, stopEvents := context.WithCancel(context.WithoutCancel(ctx))
	events.Go(func() { f.notify.run(eventsCtx) })
	defer events.Wait()
	defer stopEvents()

	f.arrived()
	timer := time.NewTimer(f.opt.Poll)
	defer timer.Stop()
	for ctx.Err() == nil {
		f.start(&readers)
		select {
		case <-ctx.Done():
		case <-f.wake:
		case <-timer.C:
		case <-f.merged.checks():
			if began := f.merged.now(); f.asBefore() {
				f.merged.noteLook(began)
				continue
			}
		}
		f.look()
		timer.Reset(f.opt.Poll)
	}
	f.merged.noteLook(math.MaxInt64) // nobody looks any more
	f.start(&readers)
	close(f.ending)
	last := time.AfterFunc(receiver.DrainLimit, func() { close(f.over) })
	defer last.Stop()
	readers.Wait()
	return nil
}

func (f *File) start(readers *sync.WaitGroup) {
	for _, g := range f.generations {
		if !g.started {
			g.started = true
			readers.Go(g.run)
		}
	}
}

// look finds out which files have, or had since the last look, the name, and takes hold of them.
func (f *File) look() {
	f.looking.Store(f.clock())
	defer f.looking.Store(notLooking)
	defer f.merged.noteLook(f.merged.now())
	f.reap()
	dir, base := f.place()
	f.mu.Lock()
	f.at = filepath.Join(dir, base)
	f.mu.Unlock()
	f.notify.watchDirs(f.opt.Path, f.at)
	began := time.Now().UnixNano()
	f.unseenSince = max(f.lookedLast-int64(clockSlack), f.sinceLook)
	if f.changed {
		f.siblings.names = nameList{} // it matters most now
	}
	beside, lerr := listSiblings(dir, base, &f.siblings.names)
	saved := f.beginResume(beside)
	beside.files = append(beside.files, f.owedElsewhere(beside)...)
	first := !f.looked
	if first {
		f.noteOld(beside)
	}
	found, fresh, err := f.openCurrent()
	changed := found == nil || found != f.current
	if saved != nil {
		changed = f.takeBack(saved, beside, found)
	}
	changed = changed && f.twin == "" // what is beside it then is the other's
	if first && f.opt.newSince != 0 {
		since := f.opt.newSince - int64(clockSlack)
		f.since, f.sinceLook = receiver.FileID{Birth: since}, since
		f.siblings.beginSince(beside, since)
		changed = true
	}
	if fresh {
		f.recognise(found)
	}
	missed, serr := f.siblings.scan(f, beside, found, changed || f.changed)
	f.placeHeld(beside, found)
	if f.refused != (receiver.FileID{}) {
		f.siblings.note(f.refused, retry) // so that it will be known beside the path, or missed
	}
	if fresh {
		missed = append(missed, found) // the newest of them
	}
	f.adopt(missed)
	f.current, f.changed = found, changed && f.looked
	f.looked = true
	f.publish(began)
	f.noteLook(err, errors.Join(lerr, serr))
	f.retire()
}

func (f *File) asBefore() bool {
	info, err := statPath(f.opt.Path, true)
	switch {
	case err != nil:
		return f.current == nil
	case f.current != nil:
		return info.id == f.current.id
	}
	return info.id == f.refused || f.twin != "" || !info.isRegular()
}

// place returns the directory and name of what the path leads to: rotations happen there.
func (f *File) place() (dir, base string) {
	path := f.opt.Path
	if real, err := Resolve(path); err == nil {
		path = real
	}
	return filepath.Dir(path), filepath.Base(path)
}

func (f *File) openCurrent() (g *generation, fresh bool, err error) {
	f.refused = receiver.FileID{}
	info, err := statPath(f.opt.Path, true)
	held, twin := f.held(info.id), ""
	if err == nil && held == nil {
		twin = f.shared.twinOf(info.id, f.opt.Path)
	}
	f.mu.Lock()
	f.twin = twin
	f.mu.Unlock()
	if err != nil || twin != "" {
		return nil, false, err
	}
	if !f.looked {
		f.startID, f.startSize, f.since, f.known = info.id, info.size, info.id, true
	}
	if held != nil {
		held.size.Store(info.size)
		return held, false, nil
	}
	g, fresh, err = f.open(f.opt.Path, info, openFollowing)
	if errors.Is(err, errTaken) { // just now; the next look sees who owns it
		return nil, false, nil
	}
	if err != nil && info.isRegular() {
		f.refused = info.id
	}
	if fresh {
		g.place = filepath.Join(f.place())
	}
	return g, fresh, err
}

// errDescriptors says that the descriptors which are left are others'.
var errDescriptors = fmt.Errorf("%w, what is left is for scrapers and senders: raise the limit, LimitNOFILE= or "+
	"ulimit -n", unix.EMFILE)

// open opens the regular file at path, which stat has shown as info. fresh is false if it is held.
func (f *File) open(path string, info fileInfo, open func(string) (int, error)) (g *generation, fresh bool, err error) {
	if err := info.wrongKind(path); err != nil {
		return nil, false, err
	}
	if n := len(f.generations); n >= maxOpen {
		return nil, false, fmt.Errorf("%q: %d older files are still being read; waiting for one to end", path, n)
	}
	fd, err := open(path)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; let this program's user read it (group adm, or \"create 0640 root adm\" "+
			"in logrotate's settings)", err)
	}
	if err != nil {
		return nil, false, err
	}
	defer func() {
		if !fresh {
			unix.Close(fd)
		}
	}()
	if f.opt.Descriptors > 0 && fd >= f.opt.Descriptors {
		return nil, false, &fs.PathError{Op: "open", Path: path, Err: errDescriptors}
	}
	if info, err = statFD(fd); err == nil {
		err = info.wrongKind(path)
	}
	if err != nil {
		return nil, false, err
	}
	if g := f.held(info.id); g != nil {
		return g, false, nil
	}
	if !f.shared.claim(info.id, f.opt.Path) {
		return nil, false, errTaken
	}
	g = newGeneration(f, fd, info)
	if path != f.opt.Path && canUnpack(path) {
		g.packed = &packed{path: path}
	}
	if err := f.setStart(g, info.id); err != nil {
		if !g.again {
			f.shared.release(g.id, f.opt.Path)
		}
		return nil, false, fmt.Errorf("%q: %w", path, err)
	}
	if g.again {
		// Its writer may be gone for long: what counts is when it last wrote. Where the clock is
		// wrong, it is let go early and met again when it grows.
		g.grew.Add(-max(0, time.Now().UnixNano()-info.written))
	}
	return g, true, nil
}

// openSibling opens a file as a new generation, or returns nil. It may be another file by now.
func (f *File) openSibling(x sibling) (*generation, error) {
	g, fresh, err := f.open(x.path, x.info, openLog)
	switch {
	case err == nil && fresh && g.id == x.info.id:
		return g, nil
	case fresh:
		f.discard(g)
	case isMissing(err) || errors.Is(err, unix.ELOOP) || errors.Is(err, errTaken):
		err = nil
	}
	return nil, err
}

// discard closes a fresh generation that is not to be read.
func (f *File) discard(g *generation) {
	unix.Close(g.fd)
	if _, known := f.pastPosition(g.id); !known {
		f.shared.release(g.id, f.opt.Path)
	}
}

// setStart sets where reading begins: where it ended, at the end at the very start, or at 0.
func (f *File) setStart(g *generation, id receiver.FileID) error {
	old, ok := f.pastPosition(id)
	switch {
	case ok:
		g.pos, g.begin, g.before, g.again = old.pos, old.begin, old.before, true
		g.offset.Store(g.pos.Offset)
		if old.saved && g.packed == nil {
			g.checkSaved()
		}
		return nil
	case id == f.startID && !f.opt.FromBeginning:
		if err := g.startAt(f.startSize); err != nil {
			return err
		}
	}
	g.begin = g.pos
	return nil
}

// adopt adds fresh generations, oldest first, each to be read after the one before it.
func (f *File) adopt(fresh []*generation) {
	for _, g := range fresh {
		g.show()
		g.watch = f.notify.watchFile(g.fd, g.wake)
		if size := g.size.Load(); g.packed != nil || g.offset.Load() < size {
			g.goal, g.late = size, true
		}
		g.stream = f.merged.add(g, g.late)
		g.stream.learnZone(g, g.size.Load())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range fresh {
		if n := len(f.generations); n > 0 {
			g.after = f.generations[n-1]
		}
		switch {
		case g.id == f.startID:
			f.startID, f.startSize = receiver.FileID{}, 0
		case !g.again && f.known:
			f.rotations.Add(1)
		}
		f.known, f.everHeld = true, true
		f.generations = append(f.generations, g)
		f.forget(g.id)
		f.forget(g.instead)
	}
}

func (f *File) held(id receiver.FileID) *generation {
	if i := slices.IndexFunc(f.generations, hasID(id)); i >= 0 {
		return f.generations[i]
	}
	return nil
}

func hasID(id receiver.FileID) func(*generation) bool {
	return func(g *generation) bool { return g != nil && g.id == id }
}

// retire lets go those that lack the name and have been silent for long, or longest if too many.
func (f *File) retire() {
	now := f.clock()
	var staying []*generation
	excess := -maxGenerations
	for _, g := range f.generations {
		if g.leaving {
			continue
		}
		excess++
		if g == f.current || !g.started {
			continue
		}
		silent := time.Duration(now - g.grew.Load())
		if silent >= silentLimit || silent >= deletedLimit && isBurden(g.fd) {
			g.dismiss()
			excess--
			continue
		}
		staying = append(staying, g)
	}
	slices.SortStableFunc(staying, func(a, b *generation) int { return cmp.Compare(a.grew.Load(), b.grew.Load()) })
	for _, g := range staying[:min(max(excess, 0), len(staying))] {
		g.dismiss()
	}
}

// isBurden reports whether a deleted file takes space that the disk needs. Other deleted files are
// kept: a session that transfers one big file logs nothing for hours, and its last line goes to a
// file that logrotate has deleted long ago.
func isBurden(fd int) bool {
	info, err := statFD(fd)
	if err != nil || info.links > 0 {
		return false
	}
	const share = 20 // of what is free, it takes one part at least
	var disk unix.Statfs_t
	return unix.Fstatfs(fd, &disk) != nil || uint64(info.size) >= uint64(disk.Bavail)*uint64(disk.Bsize)/share
}

func (f *File) reap() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.generations = slices.DeleteFunc(f.generations, func(g *generation) bool {
		if !closed(g.done) {
			return false
		}
		f.release(g)
		return true
	})
}

// release closes a generation and remembers how far it was read. The caller holds mu.
func (f *File) release(g *generation) {
	f.notify.unwatchFile(g.watch)
	g.stream.leave()
	unix.Close(g.fd)
	f.offset, f.size = g.offset.Load(), g.size.Load()
	f.remember(pastFile{pos: g.pos, begin: g.begin, before: g.before})
	if f.current == g {
		f.current = nil
	}
}

// Close lets go of the file, for an input that never ran.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.generations {
		f.release(g)
		f.owed[g.id] = g.place
	}
	f.generations = nil
	f.merged.leave()
	f.notify.close()
	return nil
}

func (f *File) noteLook(path, beside error) {
	var all []error
	if path != nil && isMissing(path) {
		all = append(all, fmt.Errorf("%s: waiting for it: %w", f, path))
		path = nil
	}
	for _, err := range []error{path, beside} {
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w; retrying", f, err))
			f.errors.Add(1)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookErr = errors.Join(all...)
	switch {
	case path == nil && beside == nil:
		f.blind = -1
	case f.blind < 0:
		f.blind = f.clock()
	}
}

func (f *File) noteGap(reason Gap) { f.gaps[reason].Add(1) }

// noteCut keeps the position of a file that has been cut since.
func (f *File) noteCut(old receiver.FilePosition) {
	f.noteGap(GapTruncated)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cuts = append(f.cuts, old)
	f.cuts = slices.Delete(f.cuts, 0, max(0, len(f.cuts)-maxCuts))
}

// clock is monotonic.
func (f *File) clock() int64 { return int64(time.Since(f.began)) }

// Status may be called at any time.
func (f *File) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{
		Path: f.opt.Path, Generations: len(f.generations), Offset: f.offset, Size: f.size,
		Rotations: f.rotations.Load(), Errors: f.errors.Load(), Err: f.lookErr,
	}
	for i := range f.gaps {
		s.Gaps[i] = f.gaps[i].Load()
	}
	now := f.clock()
	if f.blind >= 0 {
		s.LagTime = time.Duration(now - f.blind)
	}
	if long := time.Duration(now - f.looking.Load()); long > stuckLimit {
		s.LagTime = max(s.LagTime, long)
		s.Err = fmt.Errorf("%s: looking at it has not come to an end for %v; does its file system (NFS?) answer?",
			f, long.Round(time.Second))
	}
	if f.unpackErr != nil && now-f.unpackErrAt < int64(unpackErr) && s.Err == nil {
		s.Err = f.unpackErr
	}
	for _, g := range f.generations {
		s.Offset, s.Size = g.offset.Load(), g.size.Load()
		s.Lag += max(0, s.Size-s.Offset)
		if g.behind.Load() || s.Size > g.ended.Load() {
			s.LagTime = max(s.LagTime, time.Duration(now-g.level.Load()))
		}
		if err := g.trouble.Load(); err != nil && s.Err == nil {
			s.Err = *err
		}
	}
	return s
}

// String returns the Source's name.
func (f *File) String() string { return f.src.Name }
