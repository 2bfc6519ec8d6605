package clients

import (
	"slices"
	"time"
)

// What clients came to is kept in buckets of five minutes for an hour, in hours for a day, and in
// days for a month. Everything is in one bucket, the smallest one whose window it was in when it
// was counted. When a bucket's own window has passed, it is merged into the next larger one. So a
// window is the sum of the buckets that begin in it, whenever somebody looks.
//
// A bucket that is open counts. One that is closed has lost its smaller clients and never changes,
// so that a copy of the Book shares it.

// A window is a span of time until now that people look at.
type window struct {
	name    string
	bucket  int64 // width of its buckets, in nanoseconds
	buckets int64 // how many, besides the one that has begun
}

func windows() [3]window {
	return [...]window{
		{"1h", int64(5 * time.Minute), 12}, {"24h", int64(time.Hour), 24}, {"30d", int64(24 * time.Hour), 30},
	}
}

// since returns where the window begins that ends now.
func (w *window) since(now int64) int64 { return floor(now, w.bucket) - w.buckets*w.bucket }

// floor returns the begin of the bucket of this width that a time is in.
func floor(at, width int64) int64 {
	start := at - at%width
	if start > at {
		start -= width
	}
	return start
}

const (
	// maxOpen is how many buckets are open: sessions of a backlog, and those that end for their
	// silence, are of other times than those that end now.
	maxOpen = 8
	// openRoom is how many clients an open bucket has at most, and closedRoom a closed one. The
	// floor of a bucket, and of a sum of buckets, is at most errorShare of its sum.
	openRoom   = 1024
	closedRoom = 384
	errorShare = 128
	// maxClosed is how many buckets there are at most before they are merged without delay. Within
	// their windows there can be 13+25+31, and 12 by a clock that has been set back.
	maxClosed = 96
	// closeAfter is how long an open bucket may be idle.
	closeAfter = int64(5 * time.Minute)
	// maxAhead is how far a bucket may lie in the future, by a clock that has been set back.
	maxAhead = int64(time.Hour)
	// tidyEvery is how often it is looked for what time has brought.
	tidyEvery = int64(30 * time.Second)
)

// A Bucket is what clients came to in a span of time.
type Bucket struct {
	Start, Width int64 // nanoseconds of the Unix epoch, and of time
	Table
	Sums []Volume // what was counted for Record.Sums, by index; it may be shorter
}

// An openBucket is one that counts.
type openBucket struct {
	start, width int64
	top          *Top
	sums         []Volume
	used         int64 // by the wall clock
}

func (o *openBucket) add(sum int32, v Volume) {
	for len(o.sums) <= int(sum) {
		o.sums = append(o.sums, Volume{})
	}
	o.sums[sum].Add(v)
}

// times are the buckets of a Book.
type times struct {
	open   []*openBucket // the one that was used last first
	closed []*Bucket     // at most one of each Start and Width
	next   int64         // when to look again for what time has brought, by the wall clock
}

// slot returns the bucket, at least so wide, that a time belongs to. It has no width if the time
// lies before all windows.
func slot(at, now, least int64) (start, width int64) {
	for _, w := range windows() {
		if w.bucket >= least && at >= w.since(now) {
			return floor(at, w.bucket), w.bucket
		}
	}
	return 0, 0
}

// at returns the open bucket of a time, or nil if that lies before all windows.
func (t *times) at(at, wall int64) *openBucket {
	start, width := slot(at, wall, 0)
	if width == 0 {
		return nil
	}
	i := slices.IndexFunc(t.open, func(o *openBucket) bool { return o.start == start && o.width == width })
	if i < 0 {
		if len(t.open) == maxOpen {
			t.close(maxOpen - 1)
		}
		i = len(t.open)
		t.open = append(t.open, &openBucket{start: start, width: width, top: NewTop(openRoom, false)})
	}
	o := t.open[i]
	copy(t.open[1:i+1], t.open[:i])
	t.open[0], o.used = o, wall
	return o
}

// close closes an open bucket.
func (t *times) close(i int) {
	o := t.open[i]
	t.open = slices.Delete(t.open, i, i+1)
	t.put(Bucket{Start: o.start, Width: o.width, Table: o.top.Table, Sums: o.sums})
}

// put adds to the closed buckets. It changes nothing that b shares with others.
func (t *times) put(b Bucket) {
	i := slices.IndexFunc(t.closed, func(c *Bucket) bool { return c.Start == b.Start && c.Width == b.Width })
	if i >= 0 {
		c := t.closed[i]
		b.Table, b.Sums = merged(&c.Table, &b.Table), addSums(c.Sums, b.Sums)
		t.closed = slices.Delete(t.closed, i, i+1)
	}
	b.Entries = slices.Clone(b.Entries)
	if len(b.Entries) > closedRoom {
		b.cut(closedRoom/3, closedRoom)
		b.Entries = slices.Clone(b.Entries)
	}
	t.closed = append(t.closed, &b)
}

// tidy does one step of what time has brought, if there is any: the lock isn't held for more.
func (t *times) tidy(wall int64) {
	if t.next-tidyEvery <= wall && wall < t.next && len(t.closed) <= maxClosed {
		return
	}
	t.next = wall
	if !t.step(wall) {
		t.next += tidyEvery
	}
}

// step closes an idle bucket, or moves a closed one to where it belongs now. It returns false if
// there is none.
func (t *times) step(wall int64) bool {
	for i, o := range t.open {
		if o.used+closeAfter <= wall || wall+closeAfter < o.used { // the clock may have been set back
			t.close(i)
			return true
		}
	}
	for i, c := range t.closed {
		at := c.Start
		if at > wall+maxAhead {
			at = wall
		}
		start, width := slot(at, wall, c.Width)
		if start == c.Start && width == c.Width {
			continue
		}
		t.closed = slices.Delete(t.closed, i, i+1)
		if width != 0 {
			b := *c
			b.Start, b.Width = start, width
			t.put(b)
		}
		return true
	}
	return false
}

// restore takes over the buckets of a Record, but for those that this version doesn't know.
func (t *times) restore(from *Record, anonymise bool) {
	known := windows()
	for _, b := range from.Buckets {
		if !slices.ContainsFunc(known[:], func(w window) bool { return w.bucket == b.Width }) ||
			floor(b.Start, b.Width) != b.Start || len(b.Sums) > len(from.Sums) {
			continue
		}
		if from.Anonymised != anonymise {
			b.Entries, b.Floor = nil, b.All
		}
		t.put(*b)
	}
}

// buckets copies those that are open.
func (t *times) buckets() []*Bucket {
	all := make([]*Bucket, 0, len(t.closed)+len(t.open))
	all = append(all, t.closed...)
	for _, o := range t.open {
		b := &Bucket{Start: o.start, Width: o.width, Table: o.top.Table, Sums: slices.Clone(o.sums)}
		b.Entries = slices.Clone(b.Entries)
		all = append(all, b)
	}
	return all
}

func addSums(a, b []Volume) []Volume {
	all := make([]Volume, max(len(a), len(b)))
	copy(all, a)
	for i, v := range b {
		all[i].Add(v)
	}
	return all
}
