package follow

import (
	"slices"
	"time"

	"rsyncd_exporter/internal/enum"
	"rsyncd_exporter/receiver"
)

// A FileRecord is what a restart keeps of a File, for another one to go on exactly where it was. It
// holds at most maxOpen+maxPast positions (fewer where many paths share a Set) and, of files beside
// the followed one, the identities of those that a look takes note of (maxSeen).
type FileRecord struct {
	// Positions says how far each file has been read: those that were let go, and behind them those
	// that are followed, oldest first.
	Positions []receiver.FilePosition
	// Followed is how many of Positions, at the end, are of files with lines to come. Not to find
	// one of these again is a gap.
	Followed int
	// Replaced has positions that the Sink has last counted and that are not in Positions: the
	// files were found cut at a start, and nothing has been counted of them since.
	Replaced []receiver.FilePosition
	// Cut has positions of files before they were cut (truncated). What else holds these bytes is a
	// copy.
	Cut    []receiver.FilePosition
	Beside Siblings
	// Place is where the files were that are followed: the path, or what it led to as a symbolic
	// link. Elsewhere has those that were in other places: where the link led to before, or where
	// they were rotated to (see File.placeHeld).
	Place     string
	Elsewhere []Place
	// Start is the file that had the name at the very first start, and StartSize its size then:
	// where reading begins if it could not be opened yet.
	Start     receiver.FileID
	StartSize int64

	Rotations, Errors uint64
	Gaps              gapCounts
}

// gapCounts are kept under the names of their reasons. One that this version doesn't have is in no
// sum.
type gapCounts [NumGaps]uint64

// GobEncode implements gob.GobEncoder.
func (c gapCounts) GobEncode() ([]byte, error) { return enum.Encode(c[:], gapNames[:]), nil }

// GobDecode implements gob.GobDecoder.
func (c *gapCounts) GobDecode(b []byte) error {
	var all [NumGaps + 1]uint64
	err := enum.Decode(b, all[:], gapNames[:], int(NumGaps))
	copy(c[:], all[:])
	return err
}

// A Place says where a followed file was.
type Place struct {
	ID    receiver.FileID
	Place string // see FileRecord
}

// Siblings is what is known of the files beside a followed one that are called like it. What is not
// in it, nor in Positions, has come since.
type Siblings struct {
	Dir    receiver.FileID // the directory that they are in
	Base   string          // what their names begin with
	Named  receiver.FileID // the file that had the name itself at two looks in a row, the last time that one had
	Moved  bool            // the last look found another, or none
	Looked int64           // the look before the last one missed no file made after this, in nanoseconds since 1970
	Old    []receiver.FileID
	Unread []receiver.FileID // to be read from the first line, but they couldn't be opened yet
	Unsure []receiver.FileID // too short to tell a copy
}

// Record returns what to keep. counted are the positions that came with the last slab of each file
// that the Sink has counted, copied together with the Sink's own state before Record is called.
// What this File has delivered since is then in neither. A file of which the Sink has counted
// nothing is kept with the place where reading it began. The Sink must not forget a position as
// long as Record lists its file.
//
// It may be called at any time, and after Run has returned.
func (f *File) Record(counted map[receiver.FileID]receiver.FilePosition) FileRecord {
	s, all := f.uncounted()
	letGo := len(all) - s.Followed
	var read, unread, followed []receiver.FilePosition
	for i := range all {
		p, ok := counted[all[i].begin.ID]
		if ok && p == all[i].before {
			s.Replaced = append(s.Replaced, p)
			ok = false
		}
		if !ok {
			p = all[i].begin
		}
		switch {
		case i >= letGo:
			followed = append(followed, p)
		case p == all[i].pos:
			read = append(read, p)
		default: // let go since the Sink's state was copied, so it has to be read on, whatever its name tells
			unread = append(unread, p)
		}
	}
	s.Positions = slices.Concat(read, unread, followed)
	s.Followed += len(unread)
	return s
}

// uncounted returns a record without Positions and, in their order, the files that belong there.
func (f *File) uncounted() (s FileRecord, all []pastFile) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.pastOrder {
		if _, owed := f.owed[id]; !owed {
			all = append(all, f.past[id])
		}
	}
	s.Followed = len(f.owed) + len(f.generations)
	s.Place = f.at
	followed := func(id receiver.FileID, place string) {
		if place != "" && place != s.Place {
			s.Elsewhere = append(s.Elsewhere, Place{id, place})
		}
	}
	for _, id := range f.pastOrder {
		if place, owed := f.owed[id]; owed {
			all = append(all, f.past[id])
			followed(id, place)
		}
	}
	for _, g := range f.generations {
		all = append(all, pastFile{begin: g.begin, before: g.before})
		followed(g.id, g.place)
	}
	s.Cut = slices.Clone(f.cuts)
	s.Beside = f.beside
	s.Beside.Old, s.Beside.Unread = slices.Clone(f.beside.Old), slices.Clone(f.beside.Unread)
	s.Beside.Unsure = slices.Clone(f.beside.Unsure)
	s.Start, s.StartSize = f.startID, f.startSize
	s.Rotations, s.Errors = f.rotations.Load(), f.errors.Load()
	for i := range f.gaps {
		s.Gaps[i] = f.gaps[i].Load()
	}
	return s, all
}

// publish keeps what the look that began at the time given has found out about siblings, for
// Record.
func (f *File) publish(began int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.resume != nil { // nothing has been found out yet
		return
	}
	b := &f.beside
	b.Dir, b.Base = f.siblings.dir, f.siblings.base
	b.Looked, f.lookedLast = f.lookedLast, began
	if b.Moved = f.changed || f.current == nil; !b.Moved {
		b.Named = f.current.id
	}
	b.Old, b.Unread, b.Unsure = b.Old[:0], b.Unread[:0], b.Unsure[:0]
	for id, m := range f.siblings.seen {
		_, past := f.past[id]
		switch {
		case past || f.held(id) != nil:
		case m.verdict == retry:
			b.Unread = append(b.Unread, id)
		case m.verdict == await:
			b.Unsure = append(b.Unsure, id)
		default:
			b.Old = append(b.Old, id)
		}
	}
}

// CaughtUp is closed once all files that were there at the start have been read to the ends that
// they had then, or can't be read, which Status shows, and the Sink knows it by the empty slab that
// follows them. It needs Run, which closes it at once if there is no file, or reading begins at the
// end. It stays open if Run is ended before.
func (f *File) CaughtUp() <-chan struct{} { return f.caughtUp }

// noteBacklog sets what CaughtUp waits for: Run, and what the first look has found.
func (f *File) noteBacklog() {
	f.behind.Store(1)
	for _, g := range f.generations {
		g.stream.waive()
		if f.opt.Resume == nil && !f.opt.FromBeginning && g.packed == nil {
			g.goal = -1 // where reading begins at the end, part of a line may be there
		}
		if g.goal >= 0 {
			g.awaited, g.late = true, false
			f.behind.Add(1)
		}
	}
}

// arrived takes one off what CaughtUp waits for. After the last one the Sink is told first, so that
// whoever waits for CaughtUp finds it informed.
func (f *File) arrived() {
	if f.behind.Add(-1) == 0 {
		f.tellCaughtUp()
		close(f.caughtUp)
	}
}

// tellCaughtUp lets the Sink know that what it gets from now on was written while the file was
// read. Of the files of one daemon the last one to get there tells.
func (f *File) tellCaughtUp() {
	if f.merged.settled() {
		f.sink.Deliver(&f.src, &receiver.Slab{At: time.Now().UnixNano()})
	}
}
