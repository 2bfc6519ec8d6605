package follow

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// restore takes over a saved state. The looks find out what has become of the files.
func (f *File) restore(s *FileRecord) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resume, f.looked, f.known = s, true, len(s.Positions) > 0
	f.past, f.pastOrder, f.owed = map[receiver.FileID]pastFile{}, nil, map[receiver.FileID]string{}
	for i, p := range s.Positions {
		if _, twice := f.past[p.ID]; twice || p.Offset < 0 {
			continue
		}
		f.past[p.ID] = pastFile{pos: p, begin: p, saved: true}
		f.pastOrder = append(f.pastOrder, p.ID)
		f.offset, f.size = p.Offset, p.Offset
		if i >= len(s.Positions)-s.Followed {
			f.owed[p.ID] = s.Place
		}
	}
	for _, e := range s.Elsewhere {
		if _, owed := f.owed[e.ID]; owed {
			f.owed[e.ID] = e.Place
		}
	}
	for _, p := range s.Replaced {
		if x, known := f.past[p.ID]; known {
			x.before = p
			f.past[p.ID] = x
		}
	}
	f.cuts = slices.Clone(s.Cut)
	f.startID, f.startSize = s.Start, s.StartSize
	f.beside = s.Beside
	for _, list := range []*[]receiver.FileID{&f.beside.Old, &f.beside.Unread, &f.beside.Unsure} {
		*list = slices.Clone(*list)
	}
	f.since = s.Beside.Named
	f.sinceLook = s.Beside.Looked - int64(clockSlack)
}

func (f *File) restoreCounts(s *FileRecord) {
	f.rotations.Store(s.Rotations)
	f.errors.Store(s.Errors)
	for i := range f.gaps {
		f.gaps[i].Store(s.Gaps[i])
	}
}

// beginResume returns the saved state, at the first look that finds the directory, and nil at all
// others. The siblings that the state knows are known from then on.
func (f *File) beginResume(beside listing) *FileRecord {
	s := f.resume
	if s == nil || beside.dir == (receiver.FileID{}) {
		return nil
	}
	old := s.Beside.Dir
	if old.Device != beside.dir.Device && old.Inode == beside.dir.Inode && old.Birth == beside.dir.Birth {
		s = s.renumbered(old.Device, beside.dir.Device)
		f.restore(s)
	}
	f.resume = nil
	f.siblings.dir, f.siblings.base = beside.dir, beside.base
	for _, p := range s.Positions {
		if f.isOwed(p.ID) {
			f.siblings.note(p.ID, retry)
		}
	}
	if s.Beside.Dir != beside.dir || s.Beside.Base != beside.base {
		return s
	}
	verdicts := map[verdict][]receiver.FileID{leave: s.Beside.Old, retry: s.Beside.Unread, await: s.Beside.Unsure}
	for v, ids := range verdicts {
		for _, id := range ids {
			if _, known := f.past[id]; !known {
				f.siblings.note(id, v)
			}
		}
	}
	return s
}

// renumbered returns a copy of the state for a file system that has another device number now:
// these depend on the order in which devices are found.
func (s *FileRecord) renumbered(from, to uint64) *FileRecord {
	device := func(id *receiver.FileID) {
		if id.Device == from {
			id.Device = to
		}
	}
	n := *s
	n.Positions, n.Replaced, n.Cut = slices.Clone(s.Positions), slices.Clone(s.Replaced), slices.Clone(s.Cut)
	for _, list := range [][]receiver.FilePosition{n.Positions, n.Replaced, n.Cut} {
		for i := range list {
			device(&list[i].ID)
		}
	}
	for _, list := range []*[]receiver.FileID{&n.Beside.Old, &n.Beside.Unread, &n.Beside.Unsure} {
		*list = slices.Clone(*list)
		for i := range *list {
			device(&(*list)[i])
		}
	}
	n.Elsewhere = slices.Clone(s.Elsewhere)
	for i := range n.Elsewhere {
		device(&n.Elsewhere[i].ID)
	}
	device(&n.Beside.Dir)
	device(&n.Beside.Named)
	device(&n.Start)
	return &n
}

// placeOf returns where a file was when the state was saved, or where it is found now.
func (f *File) placeOf(id receiver.FileID) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return cmp.Or(f.owed[id], f.at)
}

// placeHeld notes where the held files are that have no name beside the followed one: rotated into
// a directory of their own (logrotate's olddir), by names that no rotation is known by (its
// extension), or where a symbolic link led before.
func (f *File) placeHeld(beside listing, current *generation) {
	here := map[receiver.FileID]string{} // paths
	for _, x := range beside.files {
		here[x.info.id] = x.path
	}
	for _, g := range f.generations {
		if g == current {
			continue
		}
		place := g.place
		if path, listed := here[g.id]; !listed {
			path = pathOf(g.fd)
			switch {
			case path == "" || isSiblingName(path, g.place):
			case isSiblingName(filepath.Base(path), beside.base):
				place = filepath.Join(filepath.Dir(path), beside.base)
			default:
				place = path
			}
		} else if isSiblingName(path, f.at) {
			place = f.at
		}
		f.mu.Lock()
		g.place = place
		f.mu.Unlock()
	}
}

// owedElsewhere finds owed files that are not beside the followed one: in their places and, at the
// first looks, by any name in the directories of these.
func (f *File) owedElsewhere(beside listing) (all []sibling) {
	if f.resume != nil {
		return nil
	}
	f.mu.Lock()
	owed := maps.Clone(f.owed)
	f.mu.Unlock()
	for _, x := range beside.files {
		delete(owed, x.info.id)
	}
	dirs := map[string][]string{} // of places
	for id, place := range owed {
		info, err := statPath(place, false)
		switch there := err == nil && info.id == id; {
		case there && place != f.at: // otherwise it is openCurrent's
			all = append(all, sibling{place, info})
			fallthrough
		case there || place == "":
			delete(owed, id)
		default:
			dirs[filepath.Dir(place)] = append(dirs[filepath.Dir(place)], place)
		}
	}
	if f.searched++; f.searched > maxAbsent {
		return all
	}
	for dir, places := range dirs {
		for _, x := range regularFiles(dir) {
			if place, is := owed[x.info.id]; is && slices.Contains(places, place) && !f.shared.follows(x.path) {
				all = append(all, x)
				if f.searched == 1 && !isSiblingName(x.path, place) {
					f.noteGap(GapUnread) // what came and went meanwhile may have such a name, too
				}
			}
		}
	}
	return all
}

func regularFiles(dir string) (all []sibling) {
	seen := 0
	for name := range dirNames(dir) {
		if seen++; seen > maxSeen {
			break
		}
		path := filepath.Join(dir, name)
		if info, err := statPath(path, false); err == nil && info.isRegular() {
			all = append(all, sibling{path, info})
		}
	}
	return all
}

// takeBack takes hold of the files of the saved state, oldest first, wherever they are now; found,
// which has the name, is left to the look. It reports whether other files beside them may have had
// the name in the meantime.
//
// Where a file is gone, or was cut, another one may hold what it held: a copy that copytruncate has
// made, or one that was moved here by copying. Its bytes beyond the saved position have never been
// counted, so it is read on from there.
func (f *File) takeBack(saved *FileRecord, beside listing, found *generation) (changed bool) {
	files := map[receiver.FileID]sibling{}
	for _, x := range beside.files {
		files[x.info.id] = x
	}
	var back []*generation
	for _, p := range saved.Positions {
		var g *generation
		x, listed := files[p.ID]
		switch {
		case found != nil && found.id == p.ID:
			g = found
		case listed:
			g, _ = f.siblings.judge(f, x, mark{}, true) // where that fails, the scan that follows tries again
		}
		gone := g == nil && !listed && f.refused != p.ID && f.isOwed(p.ID)
		if gone || g != nil && g.cut {
			c := f.continuation(p, beside, found)
			switch {
			case c == nil:
			case slices.ContainsFunc(back, hasID(c.id)): // two that start alike
				unix.Close(c.fd)
			default:
				if c != found {
					back = append(back, c)
				}
				if gone {
					f.replaced(p.ID, c)
				}
			}
		}
		if g != nil && g != found {
			back = append(back, g)
		}
	}
	f.adopt(back)
	switch {
	case saved.Beside.Dir != beside.dir || saved.Beside.Base != beside.base:
		return false // all that is there may have been there before
	case saved.Beside.Moved || found == nil || found.id != saved.Beside.Named || found.cut:
		return true
	}
	return found.begin.Offset == 0 // had it been cut meanwhile, nothing would show it
}

// continuation opens a file that goes on where p was read to, or returns nil: the file that has the
// name, or the longest of those beside it, since copies may have been made at several times, or a
// compressed one.
func (f *File) continuation(p receiver.FilePosition, beside listing, found *generation) (best *generation) {
	if p.Offset == 0 {
		return nil // then it is new, like any other
	}
	if found != nil && !found.again && !found.started && f.continues(found.fd, p) {
		found.goOn(f.furthest(found, p))
		return found
	}
	for _, x := range beside.files {
		id, size := x.info.id, x.info.size
		if f.isKnown(id) || hasID(id)(found) || isCompressed(x.path) {
			continue
		}
		if size < p.Offset || best != nil && size <= best.size.Load() {
			continue
		}
		g, _ := f.openSibling(x)
		if g != nil && !f.continues(g.fd, p) {
			f.discard(g)
		} else if g != nil {
			if best != nil {
				f.discard(best)
			}
			best = g
		}
	}
	if best == nil {
		return f.packedContinuation(p, beside)
	}
	p = f.furthest(best, p)
	p.Copy = true
	best.goOn(p)
	return best
}

// lateContinuation is continuation for a file that went before it could be opened.
func (f *File) lateContinuation(id receiver.FileID, beside listing, found *generation) *generation {
	p, known := f.pastPosition(id)
	if !known || !f.isOwed(id) {
		return nil
	}
	g := f.continuation(p.pos, beside, found)
	if g == nil || g == found {
		return nil
	}
	f.replaced(id, g)
	return g
}

func (g *generation) goOn(p receiver.FilePosition) {
	p.ID = g.id
	g.pos, g.begin, g.again = p, p, true
	g.offset.Store(p.Offset)
}

// recognise makes a new generation that has the name go on behind what it holds of another one: it
// was moved here from another disk, or brought back from a backup, say.
func (f *File) recognise(g *generation) {
	if g.again || g.pos.Offset > 0 {
		return
	}
	if best := f.furthest(g, receiver.FilePosition{}); best.Offset > 0 {
		best.Copy = false // it is logged to from now on
		g.goOn(best)
	}
}

// replaced has adopt forget a file whose bytes g reads: a FileRecord has one of them at any time.
func (f *File) replaced(id receiver.FileID, g *generation) {
	g.instead = id
	f.siblings.note(id, leave)
}

// checkSaved finds where to go on in a file that was cut since the state was saved. The Sink's
// position for it is then out of date.
func (g *generation) checkSaved() {
	b := g.file.blocks.Get().(*block)
	defer g.file.blocks.Put(b)
	old := g.pos
	intact, err := g.file.intact(g.fd, old)
	if err != nil || intact || old.Copy {
		return // whoever reads on meets the same
	}
	if g.relocate(b) != nil {
		g.pos = old
		return
	}
	if g.before == (receiver.FilePosition{}) { // otherwise nothing has been counted of it since it was cut before
		g.before = old
	}
	g.begin, g.cut = g.pos, true
	g.file.noteCut(old)
}
