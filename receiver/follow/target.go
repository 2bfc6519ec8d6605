package follow

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

const (
	// maxGenerations is how many a target has; beyond it, the one silent for longest is let go. Twice
	// as many are open at a time, with those that are being read to their ends.
	maxGenerations = 512
	silentLimit    = 24 * time.Hour   // a generation without the name that hasn't grown for so long is let go
	deletedLimit   = 10 * time.Minute // and one without any name, if the disk could do with its space
	stuckLimit     = 10 * time.Second // a look that takes longer is shown as trouble
	troubleShown   = 10 * time.Minute // how long Status shows that a compressed file could not be read
	notLooking     = int64(1<<63 - 1)
)

// A Gap is a reason why an unknown number of lines may have been lost.
type Gap uint8

// The reasons.
const (
	GapTruncated Gap = iota // the file was cut or rewritten in place (copytruncate): what was unread may be lost
	GapUnread               // a file was let go before its end was read, or while it was growing
	NumGaps                 // how many there are
)

var gapNames = [NumGaps]string{"truncated", "unread"}

// String returns the label value.
func (g Gap) String() string { return gapNames[g] }

// A target is one followed path, with all files that had its name and may still grow. What it knows
// it knows from looking (look.go); the kernel's events only wake it up.
type target struct {
	set     *Set
	path    string
	scope   uint32
	src     receiver.Source
	pattern *pattern // that found it; nil where the path is one of SetOptions.Paths
	merged  *mergeFile

	errors    atomic.Uint64
	rotations atomic.Uint64
	gaps      [NumGaps]atomic.Uint64
	looking   atomic.Int64 // since when a look is under way, by Set.clock; notLooking if none is
	behind    atomic.Int64 // generations whose backlogs aren't read yet, and 1 until Run begins
	dirty     atomic.Bool  // an event tells that a look is due
	caughtUp  chan struct{}

	// Of the looker.
	looked   bool
	known    bool            // there has been a file with the name
	resumed  bool            // it comes from a saved catalogue, and nothing has been looked for yet
	searched int             // looks in which owed files were searched for elsewhere
	fresh    bool            // its files are new, and read from their first lines
	names    nameList        // beside it
	named    receiver.FileID // what the path led to at the last look, zero if nothing
	moved    bool            // that was not what it had led to before
	lookedAt int64           // when the last look began, in nanoseconds of the Unix epoch
	since    receiver.FileID // no older file beside it is new; see isOlder
	sinceAt  int64
	unseen   int64 // a compressed file must have been written to since then to be new
	present  bool  // the last scan of the pattern found it
	idle     int64 // since when it is gone and nothing of it is read; -1 where that isn't so

	mu          sync.Mutex // guards what follows, which only the looker changes
	record      TargetRecord
	generations []*generation // oldest first
	current     *generation   // the one that has the name, nil if none
	ready       bool          // the first look is over
	begun       bool          // reading has begun
	at          string        // where the path led to at the last look
	twin        string        // the path that the file with this one's name belongs to; "" if that is this one
	everHeld    bool          // a file was held, or is known from a saved catalogue
	waits       error         // why the file with the name isn't read; nil if it is, or there is none
	lookErr     error         // what the last look met
	blind       int64         // since when looks have failed, by Set.clock; -1 if the last one didn't
	offset      int64         // of the newest generation, when none is held
	size        int64
	trouble     error // the last compressed file that could not be read, and when by Set.clock
	troubleAt   int64
}

// String returns the Source's name.
func (t *target) String() string { return t.src.Name }

func (t *target) noteGap(reason Gap) { t.gaps[reason].Add(1) }

// errDescriptors says that the descriptors which are left are others'.
var errDescriptors = fmt.Errorf("%w, what is left is for scrapers and senders: files are read in turn; raise the "+
	"limit, LimitNOFILE= or ulimit -n", unix.EMFILE)

// open opens the regular file at path, which stat has shown as info. It may be another one by now.
func (t *target) open(path string, info fileInfo, open func(string) (int, error)) (fd int, now fileInfo, err error) {
	if err := info.wrongKind(path); err != nil {
		return -1, info, err
	}
	if n := len(t.generations); n >= 2*t.set.opt.generations {
		return -1, info, fmt.Errorf("%q: %d older files are still being read; waiting for one to end", path, n)
	}
	fd, err = open(path)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; let this program's user read it (group adm, or \"create 0640 root adm\" "+
			"in logrotate's settings)", err)
	}
	if err == nil && t.set.opt.Descriptors > 0 && fd >= t.set.opt.Descriptors {
		unix.Close(fd)
		err = &fs.PathError{Op: "open", Path: path, Err: errDescriptors}
	}
	if errors.Is(err, unix.EMFILE) {
		t.set.makeRoom()
	}
	if err != nil {
		return -1, info, err
	}
	if info, err = statFD(fd); err == nil {
		err = info.wrongKind(path)
	}
	if err != nil {
		unix.Close(fd)
		return -1, info, err
	}
	return fd, info, nil
}

// adopt adds generations, oldest first, each to be read after the one before it.
func (t *target) adopt(fresh []*generation) {
	for _, g := range fresh {
		g.watch = t.set.notify.watchFile(t, g.fd, g.wake)
		if size := g.size.Load(); g.packed != nil || g.offset.Load() < size {
			g.goal, g.late = size, true
		}
		g.stream = t.merged.add(g, g.late)
		g.stream.learnZone(g, g.size.Load())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range fresh {
		if n := len(t.generations); n > 0 {
			g.after = t.generations[n-1]
		}
		switch {
		case g.id == t.record.Start:
			t.record.Start, t.record.StartSize = receiver.FileID{}, 0
		case !g.again && t.known:
			t.rotations.Add(1)
		}
		t.known, t.everHeld = true, true
		t.generations = append(t.generations, g)
	}
}

func (t *target) held(id receiver.FileID) *generation {
	if i := slices.IndexFunc(t.generations, func(g *generation) bool { return g.id == id }); i >= 0 {
		return t.generations[i]
	}
	return nil
}

// retire lets go those that lack the name and have been silent for long, or longest if too many.
func (t *target) retire() {
	now := t.set.clock()
	var staying []*generation
	excess := -t.set.opt.generations
	for _, g := range t.generations {
		if g.isLeaving() {
			continue
		}
		excess++
		if g == t.current || !g.started {
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

// reap lets go of the generations that have been read to their ends.
func (t *target) reap(verdict Verdict) {
	var gone []*generation
	t.mu.Lock()
	t.generations = slices.DeleteFunc(t.generations, func(g *generation) bool {
		if closed(g.done) {
			gone = append(gone, g)
		}
		return closed(g.done)
	})
	t.mu.Unlock()
	for _, g := range gone {
		t.release(g, verdict)
	}
}

// release closes a generation and remembers how far it was read.
func (t *target) release(g *generation, verdict Verdict) {
	t.set.notify.unwatchFile(g.watch)
	g.stream.leave()
	place, size := g.placeNow(), g.size.Load()
	if g.unsure {
		verdict, size = Unsure, -1
	}
	t.set.known.change(g.id, func(e *entry) {
		if e.gen == g {
			e.Pos, e.Verdict, e.gen, e.Size, e.Place = g.pos, verdict, nil, size, place
		}
	})
	unix.Close(g.fd) // the catalogue gives out duplicates no more
	t.mu.Lock()
	defer t.mu.Unlock()
	t.offset, t.size = g.offset.Load(), g.size.Load()
	if t.current == g {
		t.current = nil
	}
}

// close lets go of all files that aren't being read.
func (t *target) close() {
	var all []*generation
	t.mu.Lock()
	t.generations = slices.DeleteFunc(t.generations, func(g *generation) bool {
		idle := !t.set.running.Load() || !g.started || closed(g.done)
		if idle {
			all = append(all, g)
		}
		return idle
	})
	t.mu.Unlock()
	for _, g := range all {
		t.release(g, Reading)
	}
	t.merged.leave()
}

// begin begins to read, once the first look is over.
func (t *target) begin() {
	t.mu.Lock()
	begins := t.ready && !t.begun && !closed(t.set.ending)
	t.begun = t.begun || begins
	t.mu.Unlock()
	if begins {
		t.arrived()
	}
	t.start()
}

// start begins to read what the looks have found, unless Run has ended: a look may take longer.
func (t *target) start() {
	t.set.mu.Lock()
	defer t.set.mu.Unlock()
	if closed(t.set.ending) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.generations {
		if !g.started {
			g.started = true
			t.set.readers.Go(func() {
				if g.run(); g.unsure {
					t.wake()
					poke(t.set.wake)
				}
			})
		}
	}
}

// noteBacklog sets what the target's part of Set.CaughtUp waits for: the start of reading, and what
// the first look has found.
func (t *target) noteBacklog() {
	t.behind.Store(1)
	for _, g := range t.generations {
		g.stream.waive()
		if t.set.opt.Resume == nil && !t.fresh && !t.set.opt.FromBeginning && g.packed == nil {
			g.goal = -1 // where reading begins at the end, part of a line may be there
		}
		if g.goal >= 0 {
			g.awaited, g.late = true, false
			t.behind.Add(1)
		}
	}
}

// arrived takes one off what is waited for. After the last one the Sink is told first, so that
// whoever waits for CaughtUp finds it informed. Of the files of one daemon the last one tells.
func (t *target) arrived() {
	if t.behind.Add(-1) != 0 {
		return
	}
	if t.merged.settled() {
		t.set.sink.Deliver(&t.src, &receiver.Slab{At: time.Now().UnixNano()})
	}
	close(t.caughtUp)
}

func (t *target) noteLook(path, beside error) {
	var all []error
	if path != nil && isMissing(path) {
		all = append(all, fmt.Errorf("%s: waiting for it: %w", t, path))
		path = nil
	}
	for _, err := range []error{path, beside} {
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w; retrying", t, err))
			t.errors.Add(1)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lookErr = errors.Join(all...)
	switch {
	case path == nil && beside == nil:
		t.blind = -1
	case t.blind < 0:
		t.blind = t.set.clock()
	}
}

// showTrouble has Status show for a while that a compressed file can't be read.
func (t *target) showTrouble(path string, offset int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trouble = fmt.Errorf("%s: %q, at offset %d of what is compressed in it: %w; what follows there is not counted",
		t, path, offset, err)
	t.troubleAt = t.set.clock()
}

func (t *target) noteUnpackable(path string, offset int64, err error) {
	t.noteGap(GapUnread)
	t.errors.Add(1)
	t.showTrouble(path, offset, err)
}

// Status is how a followed path does, or a pattern: of that Path is empty, its counts are those of
// files that it had found and that are forgotten, its error is that it finds nothing, or can't.
type Status struct {
	Path        string
	Pattern     string
	Generations int   // files read now: the one with the name, and those that had it and may still grow
	Offset      int64 // of the newest generation: all complete lines before it have been delivered
	Size        int64 // of the newest generation, in bytes, as last seen
	Lag         int64 // undelivered bytes of all generations, as last seen; part of a line included
	// LagTime is how long ago all that the files held had been delivered: 0 when it is now, but for
	// lines that haven't ended. It grows while a file can't be read or opened. It is exact to one
	// look or read, which are SetOptions.Poll apart.
	LagTime   time.Duration
	Rotations uint64
	Gaps      [NumGaps]uint64
	Errors    uint64 // failed reads, and failed looks, but for those at a path that doesn't exist
	Err       error  // what is wrong now; wraps fs.ErrNotExist while the file is waited for; nil if all is well
}

// status may be called at any time, and waits for nothing that a file server does.
func (t *target) status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Status{
		Path: t.path, Generations: len(t.generations), Offset: t.offset, Size: t.size,
		Rotations: t.rotations.Load(), Errors: t.errors.Load(), Err: cmp.Or(t.lookErr, t.waits),
	}
	for i := range t.gaps {
		s.Gaps[i] = t.gaps[i].Load()
	}
	now := t.set.clock()
	if t.blind >= 0 {
		s.LagTime = time.Duration(now - t.blind)
	}
	if long := time.Duration(now - t.looking.Load()); long > t.set.stuck() {
		s.LagTime = max(s.LagTime, long)
		s.Err = fmt.Errorf("%s: looking at it has not come to an end for %v; does its file system (NFS?) answer?",
			t, long.Round(time.Second))
	}
	if t.trouble != nil && now-t.troubleAt < int64(troubleShown) && s.Err == nil {
		s.Err = t.trouble
	}
	if t.twin != "" && s.Err == nil {
		s.Err = twinError(t.path, t.twin)
	}
	for _, g := range t.generations {
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

// toRecord returns what a restart keeps of the target.
func (t *target) toRecord() TargetRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.record
	r.Path, r.Scope = t.path, t.scope
	r.Rotations, r.Errors = t.rotations.Load(), t.errors.Load()
	for i := range t.gaps {
		r.Gaps[i] = t.gaps[i].Load()
	}
	return r
}

// place returns the directory and name of what the path leads to: rotations happen there.
func (t *target) place() (dir, base string) {
	path := t.path
	if real, err := Resolve(path); err == nil {
		path = real
	}
	return filepath.Dir(path), filepath.Base(path)
}
