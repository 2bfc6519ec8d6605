package pipeline

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/rsynclog"
)

// ErrState is what errors about a State wrap that can't be read or restored.
var ErrState = errors.New("the saved state can't be used")

// A State is all that a Pipeline knows at one moment, and what its caller adds about the files that it follows. It never changes but
// for Followed.
type State struct {
	Saved    int64 // when, nanoseconds of the Unix epoch
	Books    metrics.State
	Sessions rsynclog.State
	Followed follow.SetState // the caller's

	// Files are the positions of everything that is counted in Books, by Source.Name. They aren't encoded: the caller asks for those
	// that matter (Position) and puts them into Followed.
	Files map[string]map[receiver.FileID]receiver.FilePosition

	turn uint64 // Pipeline.turn
}

// Position returns how far a source's file had been counted; false if nothing had been delivered of it by this process.
func (st *State) Position(source string, id receiver.FileID) (receiver.FilePosition, bool) {
	p, ok := st.Files[source][id]
	return p, ok
}

// Save ends the sessions whose time has come and copies the books, as Snapshot does, and everything else that is needed to go on from
// this very moment. The Snapshot and the State are of the same moment: the lock is held once.
func (p *Pipeline) Save() (*metrics.Snapshot, *State) {
	snap, st, positions := p.copy()
	st.Books = snap.State() // without the lock, as what follows
	for source, list := range positions {
		files := make(map[receiver.FileID]receiver.FilePosition, len(list))
		for i := range list {
			files[list[i].ID] = list[i]
		}
		st.Files[source] = files
	}
	return snap, st
}

func (p *Pipeline) copy() (*metrics.Snapshot, *State, map[string][]receiver.FilePosition) {
	p.Tick()
	p.mu.Lock()
	n := p.sessions.Len()
	p.mu.Unlock()
	room := rsynclog.Room(n + n/8 + 64) // some more may have begun by then
	p.mu.Lock()
	defer p.mu.Unlock()
	snap := p.store.Snapshot(p.sessions, p.clock.behind())
	st := &State{Saved: p.clock.wall(), Sessions: p.sessions.State(p.clock.now(), room), Files: map[string]map[receiver.FileID]receiver.FilePosition{}, turn: p.turn}
	positions := make(map[string][]receiver.FilePosition, len(p.delivered))
	for source, files := range p.delivered {
		list := make([]receiver.FilePosition, 0, len(files))
		for _, d := range files {
			list = append(list, d.position)
		}
		positions[source] = list
	}
	return snap, st, positions
}

// restore returns the sessions and the books that a State was taken of. The wall clock may have been set back since; then no time has
// passed for all we know.
func (st *State) restore(c Config, books metrics.Config, now int64) (*rsynclog.Sessions, *metrics.Store, error) {
	down := time.Duration(max(0, now-st.Saved))
	restart := rsynclog.Restart{Now: now, Down: down, Replayed: receiver.IsFileScope}
	sessions, err := rsynclog.RestoreSessions(c.Limits, c.Modules, c.Hosts, &st.Sessions, restart)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	store, err := metrics.Restore(books, &st.Books)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return sessions, store, nil
}

// A delivery is the position that came with a file's last slab.
type delivery struct {
	position receiver.FilePosition
	turn     uint64 // which slab that was
}

// maxDelivered bounds the positions of one source. Beyond it the file that has said nothing for longest is forgotten.
const maxDelivered = 1 << 14

// delivers notes how far a file is counted. The caller holds the lock.
func (p *Pipeline) delivers(source string, at *receiver.FilePosition) {
	files := p.delivered[source]
	d := files[at.ID]
	if d == nil {
		if files == nil {
			files = map[receiver.FileID]*delivery{}
			p.delivered[source] = files
		}
		if len(files) >= maxDelivered {
			oldest := at.ID
			for id, d := range files {
				if o := files[oldest]; o == nil || d.turn < o.turn {
					oldest = id
				}
			}
			delete(files, oldest)
		}
		d = &delivery{}
		files[at.ID] = d
	}
	p.turn++
	d.position, d.turn = *at, p.turn
}

// Forget lets go of the positions that nobody will ask for any more: known are those that are, by Source.Name, found out after the State was
// saved. What has been delivered since stays.
func (p *Pipeline) Forget(st *State, known map[string][]receiver.FilePosition) {
	keep := map[string]map[receiver.FileID]bool{}
	for source, files := range known {
		keep[source] = make(map[receiver.FileID]bool, len(files))
		for i := range files {
			keep[source][files[i].ID] = true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for source, files := range p.delivered {
		maps.DeleteFunc(files, func(id receiver.FileID, d *delivery) bool { return d.turn <= st.turn && !keep[source][id] })
		if len(files) == 0 {
			delete(p.delivered, source)
		}
	}
}

// format is the version of what Encode writes. A field that is added needs no other, as gob knows fields by their names and 0 is what
// there was before; a field whose meaning changes does.
const format = 1

// encoded is a State as gob writes it. It has no maps: gob makes one of any size that the input names.
type encoded struct {
	Format   int
	Saved    int64
	Books    metrics.State
	Sessions rsynclog.State
	Followed encodedSet
}

// An encodedSet is a follow.SetState.
type encodedSet struct {
	Paths     []string
	Scanned   int64
	NextScope uint32
	Files     []encodedFile
	Sums      []encodedSums
	Orphans   []encodedPosition
}

type encodedSums struct {
	Pattern           string
	Rotations, Errors uint64
	Gaps              []encodedGap
}

// An encodedFile is a follow.SavedFile.
type encodedFile struct {
	Path              string
	Scope             uint32
	Positions, Cut    []encodedPosition
	Followed          int
	Replaced          []encodedPosition
	Beside            follow.Siblings
	Place             string
	Elsewhere         []follow.Place
	Start             receiver.FileID
	StartSize         int64
	Rotations, Errors uint64
	Gaps              []encodedGap
}

// An encodedPosition is a receiver.FilePosition; gob writes a slice of bytes as it is.
type encodedPosition struct {
	ID           receiver.FileID
	Offset       int64
	Skipping     bool
	Copy         bool
	Anchor, Head []byte
	Parts        byte
}

type encodedGap struct {
	Reason string
	N      uint64
}

// Encode writes the State as bytes that DecodeState reads.
func (st *State) Encode() ([]byte, error) {
	e := encoded{Format: format, Saved: st.Saved, Books: st.Books, Sessions: st.Sessions}
	e.Followed = encodeSet(&st.Followed)
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&e); err != nil {
		return nil, fmt.Errorf("encoding the state: %w", err)
	}
	return b.Bytes(), nil
}

// DecodeState reads what Encode wrote. Of anything else it makes an error, which wraps ErrState, or a State; Config.State says whether
// that can be. Its memory is bounded by a multiple of the payload's length.
func DecodeState(payload []byte) (st *State, err error) {
	defer func() { // gob catches its own errors, and is not hardened against other input
		if p := recover(); p != nil {
			st, err = nil, fmt.Errorf("%w: decoding it: %v", ErrState, p)
		}
	}()
	if err := checkSize(payload); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	var e encoded
	r := bytes.NewReader(payload)
	if err := gob.NewDecoder(r).Decode(&e); err != nil {
		return nil, fmt.Errorf("%w: decoding it: %w", ErrState, err)
	}
	if e.Format != format {
		return nil, fmt.Errorf("%w: it has format %d, and this version reads %d", ErrState, e.Format, format)
	}
	if r.Len() > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind its end", ErrState, r.Len())
	}
	st = &State{Saved: e.Saved, Books: e.Books, Sessions: e.Sessions}
	if st.Followed, err = e.Followed.decode(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return st, nil
}

func encodeSet(s *follow.SetState) encodedSet {
	c := encodedSet{Paths: s.Paths, Scanned: s.Scanned, NextScope: s.NextScope, Orphans: encodePositions(s.Orphans)}
	for i := range s.Files {
		c.Files = append(c.Files, encodeFile(&s.Files[i]))
	}
	for _, sums := range s.Sums {
		e := encodedSums{Pattern: sums.Pattern, Rotations: sums.Rotations, Errors: sums.Errors}
		for i, n := range sums.Gaps {
			e.Gaps = append(e.Gaps, encodedGap{follow.Gap(i).String(), n})
		}
		c.Sums = append(c.Sums, e)
	}
	return c
}

func (c *encodedSet) decode() (s follow.SetState, err error) {
	s = follow.SetState{Paths: c.Paths, Scanned: c.Scanned, NextScope: c.NextScope}
	if s.Orphans, err = decodePositions(c.Orphans); err != nil {
		return s, fmt.Errorf("orphans: %w", err)
	}
	for i := range c.Files {
		f, err := c.Files[i].decode()
		if err != nil {
			return s, fmt.Errorf("followed file %q: %w", c.Files[i].Path, err)
		}
		s.Files = append(s.Files, f)
	}
	for _, e := range c.Sums {
		sums := follow.SavedSums{Pattern: e.Pattern, Rotations: e.Rotations, Errors: e.Errors}
		for _, g := range e.Gaps {
			for i := range sums.Gaps { // a reason that this version doesn't have is in no sum
				if follow.Gap(i).String() == g.Reason {
					sums.Gaps[i] += g.N
				}
			}
		}
		s.Sums = append(s.Sums, sums)
	}
	return s, nil
}

func encodeFile(f *follow.SavedFile) encodedFile {
	s := &f.State
	c := encodedFile{
		Path: f.Path, Scope: f.Scope, Positions: encodePositions(s.Positions), Cut: encodePositions(s.Cut), Followed: s.Followed, Replaced: encodePositions(s.Replaced),
		Beside: s.Beside, Place: s.Place, Elsewhere: s.Elsewhere, Start: s.Start, StartSize: s.StartSize, Rotations: s.Rotations, Errors: s.Errors,
	}
	for _, reason := range slices.Sorted(maps.Keys(s.Gaps)) {
		c.Gaps = append(c.Gaps, encodedGap{reason, s.Gaps[reason]})
	}
	return c
}

func encodePositions(list []receiver.FilePosition) []encodedPosition {
	var all []encodedPosition
	for i := range list {
		p := &list[i]
		all = append(all, encodedPosition{p.ID, p.Offset, p.Skipping, p.Copy, p.Anchor[:], p.Head[:], p.Parts})
	}
	return all
}

func (c *encodedFile) decode() (follow.SavedFile, error) {
	positions, err := decodePositions(c.Positions)
	cut, cerr := decodePositions(c.Cut)
	replaced, rerr := decodePositions(c.Replaced)
	if err = errors.Join(err, cerr, rerr); err != nil {
		return follow.SavedFile{}, err
	}
	seen := map[receiver.FileID]bool{}
	for i := range positions {
		id := positions[i].ID
		if seen[id] {
			return follow.SavedFile{}, fmt.Errorf("inode %d of device %d is there twice", id.Inode, id.Device)
		}
		seen[id] = true
	}
	if c.Followed < 0 || c.Followed > len(positions) {
		return follow.SavedFile{}, fmt.Errorf("%d of %d files are followed", c.Followed, len(positions))
	}
	f := follow.SavedFile{Path: c.Path, Scope: c.Scope, State: follow.FileState{
		Positions: positions, Cut: cut, Followed: c.Followed, Replaced: replaced, Beside: c.Beside, Start: c.Start, StartSize: c.StartSize,
		Place: c.Place, Elsewhere: c.Elsewhere,
		Rotations: c.Rotations, Errors: c.Errors, Gaps: map[string]uint64{},
	}}
	for _, g := range c.Gaps {
		f.State.Gaps[g.Reason] += g.N
	}
	return f, nil
}

func decodePositions(list []encodedPosition) ([]receiver.FilePosition, error) {
	var all []receiver.FilePosition
	for i := range list {
		e := &list[i]
		p := receiver.FilePosition{ID: e.ID, Offset: e.Offset, Skipping: e.Skipping, Copy: e.Copy, Parts: e.Parts}
		if e.Offset < 0 || len(e.Anchor) != len(p.Anchor) || len(e.Head) != len(p.Head) {
			return nil, fmt.Errorf("offset %d with an anchor of %d and a head of %d bytes", e.Offset, len(e.Anchor), len(e.Head))
		}
		copy(p.Anchor[:], e.Anchor)
		copy(p.Head[:], e.Head)
		all = append(all, p)
	}
	return all, nil
}
