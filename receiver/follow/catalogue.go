package follow

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"rsyncd_exporter/internal/enum"
	"rsyncd_exporter/receiver"
)

const (
	maxFiles = 8192 // files that a catalogue knows, unless more are read
	maxCuts  = 256  // of the latest contents that were cut
)

// A Catalogue is what a restart keeps of a Set, for another one to go on exactly where it was.
type Catalogue struct {
	Paths     []string // SetOptions.Paths
	Scanned   int64    // no file made later was missed by the last scan, in nanoseconds of the Unix epoch
	NextScope uint32
	Targets   []TargetRecord // in the order in which they were begun
	Sums      []SavedSums    // one for each pattern that has found targets which are forgotten
	Known     []FileRecord   // in the order in which they were met
	Cuts      []CutRecord    // latest last

	// What the version before kept instead of Targets, Known and Cuts. See Upgraded.
	Files   []SavedFile
	Orphans []receiver.FilePosition
}

// A FileRecord is what is known of one file. There is one for each that is or was read, and for
// those beside that a look has judged.
type FileRecord struct {
	// Pos is how far it is counted. Of a file that is left alone it is how far it need not be, and
	// may hold no more than ID and Offset. For Copied, Cut is that of what holds its lines as well.
	Pos     receiver.FilePosition
	Target  string // the path that it belongs to; empty if that is no longer followed
	Verdict Verdict
	Size    int64           // its size when it was judged, -1 if nobody has looked
	Of      receiver.FileID // for Copied: what holds its lines as well
	Ahead   bool            // for Copied: the reader of that had not come to them, as it was cut
	Place   string          // where it was last seen, for Reading
}

// A Verdict says what is to become of a file. None is for ever: a file that changes is judged
// again.
type Verdict uint8

// The verdicts. Saved catalogues hold their numbers.
const (
	Unsure  Verdict = iota // it holds too little to tell
	Reading                // it is read, or to be read: lines may come
	Read                   // it has been read, and is read on if it grows
	Copied                 // it holds what is counted elsewhere
	Old                    // it was there before anybody read it: what it holds up to Pos.Offset isn't counted
	Strange                // it is new and no rotation shows: it is whoever's path names it
)

// A CutRecord is how far a file had been counted before it was cut (truncated, or rewritten in
// place). What else holds these lines is a copy, and what that holds beyond them has yet to be
// counted as long as Open is set.
type CutRecord struct {
	Target string
	Pos    receiver.FilePosition
	Open   bool
}

// A cut is a CutRecord that is looked for.
type cut struct {
	CutRecord
	looks uint8  // that have not found a copy
	was   *entry // what was known of the file before, for countedTo; nil if it comes from a saved catalogue
}

// A TargetRecord is what a restart keeps of one followed path.
type TargetRecord struct {
	Path  string
	Scope uint32
	// Start is the file that had the name at the very first start, until it is opened. StartSize is
	// where reading it begins: its size then, or 0.
	Start     receiver.FileID
	StartSize int64
	Dir       receiver.FileID // the directory that the path leads to
	Base      string          // the name there
	Named     receiver.FileID // the file that had the name at two looks in a row, the last time that one had
	Last      receiver.FileID // the one that had it at the last look; zero if none
	Moved     bool            // the last look found another, or none
	Looked    int64           // the look before the last one missed no file made after this, in nanoseconds since 1970

	Rotations, Errors uint64
	Gaps              gapCounts
}

// SavedSums are the counts of a pattern, and of targets that it had found and that are forgotten.
type SavedSums struct {
	Pattern           string
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

// IDs returns the files whose positions are listed.
func (c *Catalogue) IDs() map[receiver.FileID]bool {
	ids := map[receiver.FileID]bool{}
	for i := range c.Known {
		ids[c.Known[i].Pos.ID] = true
	}
	for i := range c.Cuts {
		ids[c.Cuts[i].Pos.ID] = true
	}
	return ids
}

// An entry is a file of a catalogue.
type entry struct {
	FileRecord
	gen      *generation           // that reads it, nil if none does
	begin    receiver.FilePosition // where this process began to read it, for Reading and Read
	from     receiver.FilePosition // if begin stands where a cut file, or one that is gone, was read to: that place
	absent   uint8                 // looks in a row that have not found it
	torn     uint8                 // looks in a row that have found it compressed, torn, and no longer than before
	since    int64                 // if compressed: it is new if it was written to since
	eligible bool                  // if compressed: it may have had the target's name before it was met
	saved    bool                  // it comes from a saved catalogue and has not been opened yet
	met      bool                  // it is no new generation: a reader had it before
	order    uint64
}

func (e *entry) id() receiver.FileID { return e.Pos.ID }

// owed reports whether lines may come of a file that isn't open.
func (e *entry) owed() bool { return e.Verdict == Reading && e.gen == nil }

// position returns how far the file has been delivered.
func (e *entry) position() receiver.FilePosition {
	if e.gen != nil {
		return e.gen.shown()
	}
	return e.Pos
}

// A catalogue is every file that the targets of a Set know. Only lookers add to it and judge; the
// readers move their own positions and tell of cuts. No lock is held while a file is read.
type catalogue struct {
	mu    sync.Mutex // guards all below, and every entry
	files map[receiver.FileID]*entry
	owned map[string]map[*entry]bool // by target
	cuts  []*cut
	order uint64
}

func newCatalogue() *catalogue {
	return &catalogue{files: map[receiver.FileID]*entry{}, owned: map[string]map[*entry]bool{}}
}

// set adds an entry in the place of another one of the same file. mu is held, as for unset.
func (c *catalogue) set(e *entry) {
	c.unset(c.files[e.id()])
	c.files[e.id()] = e
	if c.owned[e.Target] == nil {
		c.owned[e.Target] = map[*entry]bool{}
	}
	c.owned[e.Target][e] = true
}

func (c *catalogue) unset(e *entry) {
	if e == nil {
		return
	}
	delete(c.files, e.id())
	if delete(c.owned[e.Target], e); len(c.owned[e.Target]) == 0 {
		delete(c.owned, e.Target)
	}
}

// find returns a copy of what is known of a file.
func (c *catalogue) find(id receiver.FileID) (e entry, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.files[id]; p != nil {
		return *p, true
	}
	return entry{}, false
}

// change has f change what is known of a file, or nothing if it isn't known.
func (c *catalogue) change(id receiver.FileID, f func(*entry)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.files[id]; e != nil {
		f(e)
	}
}

// put adds a file, or replaces what is known of it. It is read in the place of those in instead,
// which are gone or were cut: in the same moment these cease to be looked for.
func (c *catalogue) put(e entry, instead ...receiver.FilePosition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range instead {
		c.close(&instead[i])
	}
	if e.order == 0 {
		c.order++
		e.order = c.order
	}
	c.set(&e)
	if len(c.files) > maxFiles+maxFiles/8 {
		c.trim()
	}
}

// append says that a generation is read after all others.
func (c *catalogue) append(g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.files[g.id]; e != nil {
		c.order++
		e.order = c.order
	}
}

// trim forgets the files that matter least until maxFiles are left: those that are left alone,
// those met first before others, and then those that have been read. mu is held.
func (c *catalogue) trim() {
	if len(c.files) <= maxFiles {
		return
	}
	var all []*entry
	for _, e := range c.files {
		if e.Verdict != Reading {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *entry) int {
		return cmp.Or(compareBools(a.Verdict == Read, b.Verdict == Read), cmp.Compare(a.order, b.order))
	})
	for _, e := range all[:max(0, min(len(all), len(c.files)-maxFiles))] {
		c.unset(e)
	}
}

// each has f see all that is known of a target's files. f does nothing that takes long.
func (c *catalogue) each(target string, f func(*entry)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := range c.owned[target] {
		f(e)
	}
}

// of returns copies of what is known of a target's files, in the order in which they were met.
func (c *catalogue) of(target string) (all []entry) {
	c.each(target, func(e *entry) { all = append(all, *e) })
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.order, b.order) })
	return all
}

// disown has a target's files belong to nobody. Whoever's path leads to one goes on where it was
// read to.
func (c *catalogue) disown(target string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := range maps.Clone(c.owned[target]) {
		c.unset(e)
		if e.Target = ""; e.Verdict == Reading {
			e.Verdict = Read
		}
		c.set(e)
	}
}

// give has a file belong to another target.
func (c *catalogue) give(id receiver.FileID, target string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.files[id]; e != nil {
		c.unset(e)
		e.Target = target
		c.set(e)
	}
}

// noteCut keeps how far a file had been counted that was cut. Its reader goes on at next.
func (c *catalogue) noteCut(g *generation, old, next receiver.FilePosition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cut := &cut{CutRecord: CutRecord{Target: g.target.path, Pos: old, Open: true}}
	for _, e := range c.files { // a look may have found the copy before the reader saw the cut
		goesOn := e.from.ID == g.id && e.from.Cut == old.Cut && e.from.Offset == old.Offset
		cut.Open = cut.Open && !goesOn
	}
	c.cuts = append(c.cuts, cut)
	c.cuts = slices.Delete(c.cuts, 0, max(0, len(c.cuts)-maxCuts))
	if e := c.files[g.id]; e != nil {
		cut.was = &entry{FileRecord: FileRecord{Pos: old}, begin: e.begin, from: e.from}
		e.begin, e.from = next, receiver.FilePosition{}
	}
}

// close ends the search for what is not counted of a file that is gone, or was cut. mu is held.
func (c *catalogue) close(p *receiver.FilePosition) {
	for _, cut := range c.cuts {
		if cut.Pos.ID == p.ID && cut.Pos.Cut == p.Cut {
			cut.Open = false
		}
	}
	if e := c.files[p.ID]; e != nil && e.owed() && e.Pos.Cut == p.Cut {
		e.Verdict = Read
	}
}

// renumber gives files another device number: these depend on the order in which devices are found.
func (c *catalogue) renumber(target string, from, to uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	device := func(id *receiver.FileID) {
		if id.Device == from {
			id.Device = to
		}
	}
	for e := range maps.Clone(c.owned[target]) {
		if e.gen == nil {
			c.unset(e)
			device(&e.Pos.ID)
			device(&e.begin.ID)
			device(&e.Of)
			c.set(e)
		}
	}
	for _, cut := range c.cuts {
		if cut.Target == target {
			device(&cut.Pos.ID)
		}
	}
}

// record fills the files and cuts of a Catalogue. counted are the positions that came with the last
// slab of each file that the Sink has counted, copied together with the Sink's own state before.
// What has been delivered since is then in neither.
func (c *catalogue) record(to *Catalogue, counted map[receiver.FileID]receiver.FilePosition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trim()
	counted = c.begun(counted)
	all := slices.SortedFunc(maps.Values(c.files), func(a, b *entry) int { return cmp.Compare(a.order, b.order) })
	for _, e := range all {
		r := e.FileRecord
		if e.Verdict == Copied && (e.Ahead || c.files[e.Of] != nil && !c.hasCounted(e, counted)) {
			r.Verdict, r.Size = Unsure, -1 // it may be all that is left of these lines then
		}
		if e.Verdict == Reading || e.Verdict == Read {
			r.Pos = e.countedTo(counted)
			if r.Pos.Offset != e.position().Offset {
				r.Verdict = Reading // let go since the Sink's state was copied
			}
			if e.gen != nil {
				r.Place = e.gen.placeNow()
			}
		}
		to.Known = append(to.Known, r)
	}
	for _, cut := range c.cuts {
		r := cut.CutRecord
		if p := cut.countedTo(counted); p.Offset < cut.Pos.Offset {
			r.Pos, r.Open = p, true
		}
		to.Cuts = append(to.Cuts, r)
	}
}

// begun returns what the Sink has counted, and where this process began to read the files of which
// it has counted nothing. mu is held.
func (c *catalogue) begun(counted map[receiver.FileID]receiver.FilePosition) map[receiver.FileID]receiver.FilePosition {
	all := map[receiver.FileID]receiver.FilePosition{}
	for id, e := range c.files {
		if e.begin.ID == id && e.from.Offset == 0 {
			all[id] = e.begin
		}
	}
	for _, cut := range slices.Backward(c.cuts) {
		if cut.was != nil && cut.was.from.Offset == 0 {
			all[cut.Pos.ID] = cut.was.begin
		}
	}
	maps.Copy(all, counted)
	return all
}

// countedTo returns how far a file is counted by the Sink.
func (e *entry) countedTo(counted map[receiver.FileID]receiver.FilePosition) receiver.FilePosition {
	if p, ok := counted[e.id()]; ok && p.Cut >= e.begin.Cut {
		return p
	}
	begin := e.begin
	if p, ok := counted[e.from.ID]; ok && e.from.Offset > 0 && p.Cut == e.from.Cut && p.Offset < e.from.Offset {
		p.ID, p.Cut, p.Copy = begin.ID, begin.Cut, begin.Copy
		return p // the lines between are in this file alone by now
	}
	return begin
}

// countedTo returns how far the Sink had counted the file when it was cut.
func (r *cut) countedTo(counted map[receiver.FileID]receiver.FilePosition) receiver.FilePosition {
	p, ok := counted[r.Pos.ID]
	if r.was != nil {
		p, ok = r.was.countedTo(counted), true
	}
	if ok && p.Cut == r.Pos.Cut {
		return p
	}
	return r.Pos
}

// hasCounted reports whether the Sink has counted, in what a copy was made of, all that it holds.
// mu is held.
func (c *catalogue) hasCounted(e *entry, counted map[receiver.FileID]receiver.FilePosition) bool {
	p := c.files[e.Of].countedTo(counted)
	for _, cut := range c.cuts {
		if cut.Pos.ID == e.Of && cut.Pos.Cut == e.Pos.Cut {
			p = cut.countedTo(counted)
		}
	}
	return p.Cut > e.Pos.Cut || p.Cut == e.Pos.Cut && p.Offset >= e.Size
}
