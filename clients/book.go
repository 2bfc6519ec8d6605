package clients

import (
	"net/netip"
	"slices"

	"rsyncd_exporter/rsynclog"
)

// A Sum is what all clients of a family, a group and a place have come to since Created. All Sums
// together are the whole.
type Sum struct {
	Family string // one of Families
	Group  string // of CLIENT_GROUPS, or Other; empty without groups
	Kind   string // of Place; empty without a database
	Place  string // by GEOIP_DB, unplaced, or rsynclog.Other beyond maxPlaced

	Created int64 // nanoseconds of the Unix epoch
	Volume
}

const (
	// maxPlaced bounds the Sums of known places. Those that come when there is no room count as
	// rsynclog.Other: clients choose where they come from.
	maxPlaced = 300
	// maxFound bounds of how many addresses it is known where they count.
	maxFound = 2048
	// unplaced is the place of addresses of which the database knows nothing.
	unplaced = "unknown"
	// maxName is the longest name that is kept of a client with an address, in bytes.
	maxName = 64
)

// Config is what a Book is made of.
type Config struct {
	Groups    Groups
	Places    *Places // nil: there is no database. The Book asks it under the pipeline's lock: see LoadPlaces
	Anonymise bool    // count networks, and keep no names
	Now       int64   // by the wall clock, nanoseconds of the Unix epoch
}

// A Book counts what clients come to: exactly for each Sum, and in Buckets of time for each client.
// Whoever holds the pipeline's lock owns it.
type Book struct {
	c      Config
	keys   keys
	since  int64
	sums   []Sum
	index  map[Sum]int32        // by the labels alone
	found  map[netip.Addr]int32 // the Sums of the last addresses
	placed int                  // Sums of known places of this kind
	times
}

// NewBook returns the book of a Record, whose memory it takes over; nil is an empty one.
//
// A Sum never falls and never goes: those of groups and places that are no longer in use keep what
// they have. If ANONYMISE is another one now, no client of before is kept: all are in the rest.
func NewBook(from *Record, c Config) *Book {
	b := &Book{c: c, keys: keys{anonymise: c.Anonymise}, since: c.Now, index: map[Sum]int32{},
		found: map[netip.Addr]int32{}}
	if from != nil {
		b.since, b.sums = from.Since, from.Sums
		b.times.restore(from, c.Anonymise)
	}
	for i := range b.sums {
		b.index[labelsOf(&b.sums[i])] = int32(i)
		if named(b.sums[i].Place) && c.Places != nil && c.Places.Kind() == b.sums[i].Kind {
			b.placed++ // those of another database take no room
		}
	}
	b.addZeros()
	return b
}

// addZeros adds the Sums that need no place, so that their series begin at 0.
func (b *Book) addZeros() {
	groups := b.c.Groups.names()
	for _, f := range Families() {
		for _, g := range groups {
			s := Sum{Family: f, Group: g}
			if b.c.Places != nil {
				s.Kind, s.Place = b.c.Places.Kind(), unplaced
			}
			b.find(s, b.c.Now)
		}
	}
}

func labelsOf(s *Sum) Sum { return Sum{Family: s.Family, Group: s.Group, Kind: s.Kind, Place: s.Place} }

// named says whether a place is one that a database has named.
func named(place string) bool { return place != "" && place != unplaced && place != rsynclog.Other }

// Apply counts changes. now and wall are the present by the sessions' clock and by the wall clock.
func (b *Book) Apply(changes []rsynclog.Change, now, wall int64) {
	for i := range changes {
		if c := &changes[i]; c.Kind == rsynclog.Ended || c.Kind == rsynclog.Amended {
			b.count(c, now, wall)
		}
	}
	b.tidy(wall)
}

// count counts the bytes of a session, and the session itself when it has ended. It belongs to when
// its last line was written. A time after the present came from a clock that was ahead.
func (b *Book) count(c *rsynclog.Change, now, wall int64) {
	v := Volume{Sent: c.Sent, Received: c.Received}
	if c.Kind == rsynclog.Ended {
		v.Sessions = c.N
	}
	s := c.Session
	at := min(wall-(now-s.LastSeen), wall)
	a, name := parse(s.Addr), s.Name
	if b.c.Anonymise || len(name) > maxName && a.IsValid() {
		name = ""
	}
	b.since = min(b.since, at)
	bucket := b.at(at, wall)
	if bucket == nil {
		b.sums[b.sumOf(a, wall)].Add(v)
		return
	}
	bucket.top.entry(b.keys.of(a, name), name, v)
	sum := b.sumOf(a, wall)
	b.sums[sum].Add(v)
	bucket.add(sum, v)
}

// sumOf returns the index of an address' Sum. Neighbours whom the lists count together can be of
// several groups and places.
func (b *Book) sumOf(a netip.Addr, wall int64) int32 {
	i, ok := b.found[a]
	if !ok {
		i = b.lookUp(a, wall)
		if len(b.found) == maxFound {
			clear(b.found)
		}
		b.found[a] = i
	}
	return i
}

func (b *Book) lookUp(a netip.Addr, wall int64) int32 {
	s := Sum{Family: family(a), Group: b.c.Groups.Of(a)}
	if b.c.Places != nil {
		s.Kind, s.Place = b.c.Places.Kind(), unplaced
		if a.IsValid() {
			if p := b.c.Places.Of(a); p != "" {
				s.Place = p
			}
		}
	}
	return b.find(s, wall)
}

// find returns the index of a Sum, which it adds if there is room for its place.
func (b *Book) find(s Sum, wall int64) int32 {
	if i, ok := b.index[s]; ok {
		return i
	}
	if named(s.Place) {
		if b.placed >= maxPlaced {
			s.Place = rsynclog.Other
			return b.find(s, wall)
		}
		b.placed++
	}
	i := int32(len(b.sums))
	b.index[s] = i
	s.Created = wall
	b.sums = append(b.sums, s)
	return i
}

// Record copies everything.
func (b *Book) Record() *Record {
	return &Record{Since: b.since, Sums: slices.Clone(b.sums), Anonymised: b.c.Anonymise, Buckets: b.buckets()}
}
