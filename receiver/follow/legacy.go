package follow

import "rsyncd_exporter/receiver"

// What the version before kept of each followed path, in place of TargetRecord and FileRecord.

// A SavedFile is one followed path.
type SavedFile struct {
	Path  string
	Scope uint32

	FileRecord PathRecord // the name that it has in saved states, where it was embedded
}

// A PathRecord is what was kept of a path.
type PathRecord struct {
	Positions         []receiver.FilePosition // how far each file had been read; those that are followed at the end
	Followed          int                     // how many of Positions are of files with lines to come
	Replaced          []receiver.FilePosition
	Cut               []receiver.FilePosition // of files before they were cut
	Beside            Siblings
	Place             string  // where the files were that are followed
	Elsewhere         []Place // those that were in other places
	Start             receiver.FileID
	StartSize         int64
	Rotations, Errors uint64
	Gaps              gapCounts
}

// A Place says where a followed file was.
type Place struct {
	ID    receiver.FileID
	Place string
}

// Siblings is what was known of the files beside a followed one that are called like it.
type Siblings struct {
	Dir                 receiver.FileID
	Base                string
	Named               receiver.FileID
	Moved               bool
	Looked              int64
	Old, Unread, Unsure []receiver.FileID
}

// Upgraded returns the catalogue, or what one of the version before comes to.
func (c *Catalogue) Upgraded() *Catalogue {
	if len(c.Files) == 0 && len(c.Orphans) == 0 {
		return c
	}
	n := &Catalogue{Paths: c.Paths, Scanned: c.Scanned, NextScope: c.NextScope, Sums: c.Sums}
	for i := range c.Files {
		n.upgrade(&c.Files[i])
	}
	for _, p := range c.Orphans {
		n.Known = append(n.Known, FileRecord{Pos: p, Verdict: Read, Size: -1})
	}
	return n
}

func (c *Catalogue) upgrade(f *SavedFile) {
	old := &f.FileRecord
	b := &old.Beside
	c.Targets = append(c.Targets, TargetRecord{
		Path: f.Path, Scope: f.Scope, Start: old.Start, StartSize: old.StartSize, Dir: b.Dir, Base: b.Base,
		Named: b.Named, Moved: b.Moved, Looked: b.Looked,
		Rotations: old.Rotations, Errors: old.Errors, Gaps: old.Gaps,
	})
	places := map[receiver.FileID]string{}
	for _, e := range old.Elsewhere {
		places[e.ID] = e.Place
	}
	known := map[receiver.FileID]bool{}
	add := func(r FileRecord) {
		if r.Target = f.Path; !known[r.Pos.ID] {
			known[r.Pos.ID] = true
			c.Known = append(c.Known, r)
		}
	}
	for i, p := range old.Positions {
		r := FileRecord{Pos: p, Verdict: Read, Size: -1}
		if i >= len(old.Positions)-old.Followed {
			r.Verdict, r.Place = Reading, old.Place
			if place := places[p.ID]; place != "" {
				r.Place = place
			}
		}
		add(r)
	}
	for _, list := range []struct {
		ids     []receiver.FileID
		verdict Verdict
	}{{b.Old, Old}, {b.Unread, Unsure}, {b.Unsure, Unsure}} {
		for _, id := range list.ids {
			add(FileRecord{Pos: receiver.FilePosition{ID: id}, Verdict: list.verdict, Size: -1})
		}
	}
	for _, p := range old.Cut {
		c.Cuts = append(c.Cuts, CutRecord{Target: f.Path, Pos: p})
	}
}
