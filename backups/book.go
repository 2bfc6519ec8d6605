package backups

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"rsyncd_exporter/rsynclog"
)

// usualOf is of how many successes the usual size and duration are.
const usualOf = 10

// aheadFor is how long a time must lie in the future before it is corrected: a machine without a
// clock starts in the past and learns the time within minutes.
const aheadFor = time.Hour

// A Run is what is known of a session that has ended.
type Run struct {
	At       int64         // its last line, nanoseconds of the Unix epoch; 0: there was none
	Took     time.Duration // -1: not known
	Outcome  string        // as rsync_sessions_total has it
	Code     int16         // its exit code, if Exited
	Exited   bool          // a line named one
	Enough   bool          // it was a success, of the least size at least
	Sent     uint64        // bytes, as the next two are
	Received uint64
	Listed   uint64 // the size of the files listed
	Files    uint64 // transferred
}

// An Entry is what is known of an expected backup. Times are nanoseconds of the Unix epoch.
type Entry struct {
	Identity
	Since   int64 // when it was first expected
	Success Run   // the last one
	Attempt Run   // the last one, successful or not
	Earlier []Run // successes before Success, the oldest first; what stands there doesn't change

	Running      int   // sessions that run
	RunningSince int64 // when the first of them began
}

// A Record is the whole state of a Book, for encoding/gob. It shares no changing memory.
type Record struct {
	Entries []Entry // in the order of the Expectations
}

// who finds the expected backups of a session among those of its module.
type who struct {
	user, host string
	direction  rsynclog.Direction
	client     Client // folded
}

// A Book notes what is known of expected backups. Whoever holds the pipeline's lock owns it.
type Book struct {
	expected   []Expectation
	entries    []Entry
	by         map[string]map[who][]int // by module; indexes of entries
	bits       [2][]int                 // lengths of expected networks, of IPv4 and of IPv6
	clients    []Client                 // scratch
	aheadSince int64                    // since when a time has been in the future, by the sessions' clock; 0: none is
}

// NewBook returns a book of what is expected. What from knows of the same identities stays; from
// may be nil. wall is the present. The book keeps both and changes from.
func NewBook(expected []Expectation, from *Record, wall int64) *Book {
	known := map[Identity]*Entry{}
	if from != nil {
		for i := range from.Entries {
			known[from.Entries[i].Identity] = &from.Entries[i]
		}
	}
	b := &Book{expected: expected, entries: make([]Entry, len(expected)), by: map[string]map[who][]int{}}
	for i := range expected {
		id := expected[i].Identity
		b.entries[i] = Entry{Identity: id, Since: wall}
		if e := known[id]; e != nil {
			b.entries[i] = *e
		}
		w := who{id.User, id.Host, id.Direction, expected[i].Client.folded()}
		if b.by[id.Module] == nil {
			b.by[id.Module] = map[who][]int{}
		}
		b.by[id.Module][w] = append(b.by[id.Module][w], i)
		if n := w.client.Network; n.IsValid() {
			if of := &b.bits[family(n.Addr())]; !slices.Contains(*of, n.Bits()) {
				*of = append(*of, n.Bits())
			}
		}
	}
	return b
}

// folded returns the form in which equal clients are equal.
func (c Client) folded() Client {
	if c.Network.IsValid() {
		return Client{Network: c.Network.Masked()}
	}
	return Client{Name: strings.ToLower(c.Name)}
}

// family returns the index in Book.bits.
func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// clientsOf returns all that may be expected of a session's client, for who. It is valid until the
// next call.
func (b *Book) clientsOf(s *rsynclog.Session) []Client {
	b.clients = append(b.clients[:0], Client{})
	if s.Name != "" {
		b.clients = append(b.clients, Client{Name: s.Name}.folded())
	}
	if len(b.bits[0])+len(b.bits[1]) == 0 {
		return b.clients
	}
	if a, err := netip.ParseAddr(s.Addr); err == nil {
		a = a.Unmap().WithZone("")
		for _, bits := range b.bits[family(a)] {
			network, _ := a.Prefix(bits) // fails for lengths that an address can't have
			b.clients = append(b.clients, Client{Network: network})
		}
	}
	return b.clients
}

// each calls f for each expected backup that a session may be.
func (b *Book) each(s *rsynclog.Session, f func(*Expectation, *Entry)) {
	if len(b.entries) == 0 || s.Module == "" || s.Direction == rsynclog.NoDirection || s.Doubted {
		return
	}
	of := b.by[s.Module]
	if of == nil {
		return
	}
	users, hosts := [...]string{"", s.User}, [...]string{"", s.Origin.Host}
	for _, client := range b.clientsOf(s) {
		for _, user := range users[:min(len(s.User), 1)+1] {
			for _, host := range hosts[:min(len(s.Origin.Host), 1)+1] {
				for _, i := range of[who{user, host, s.Direction, client}] {
					f(&b.expected[i], &b.entries[i])
				}
			}
		}
	}
}

// Apply notes sessions that have ended. now and wall are the present by the sessions' clock and by
// the wall clock.
func (b *Book) Apply(changes []rsynclog.Change, now, wall int64) {
	for i := range changes {
		c := &changes[i]
		if c.Kind != rsynclog.Ended && c.Kind != rsynclog.Resumed || c.Session == nil {
			continue
		}
		switch s := c.Session; s.Outcome {
		case rsynclog.Rejected, rsynclog.Listing:
		default:
			b.each(s, func(e *Expectation, of *Entry) { of.ended(e.run(s, now, wall), wall) })
		}
	}
}

// run judges a session that has ended.
func (e *Expectation) run(s *rsynclog.Session, now, wall int64) Run {
	// Its last line may have come long before it was taken for ended. One in the future came from a
	// clock that was ahead.
	r := Run{At: max(min(wall-(now-s.LastSeen), wall), 1), Took: -1, Outcome: s.Outcome.String(),
		Sent: s.Sent, Received: s.Received, Listed: s.Total,
		Files: s.Files[rsynclog.OpSend] + s.Files[rsynclog.OpRecv] + s.Files[rsynclog.OpUnknown]}
	if s.ConnectSeen {
		r.Took = time.Duration(max(0, s.LastSeen-s.FirstSeen)).Round(time.Millisecond)
	}
	if first := s.Exits[0]; first.Role != 0 {
		r.Code, r.Exited = first.Code, true
	}
	cut := (s.Evicted || s.Orphaned != 0) && !s.HasSummary && !r.Exited // nobody knows what came
	whole := s.Outcome == rsynclog.OK || s.Outcome == rsynclog.Partial && e.Partial && !cut
	r.Enough = whole && r.Listed >= e.Bytes && r.Files >= e.Files
	return r
}

// ended notes a session, unless one that ended later is noted: sessions of several files come in
// any order.
func (of *Entry) ended(r Run, wall int64) {
	if r.Enough && (r.At >= of.Success.At || of.Success.At > wall) {
		if of.Success.At != 0 {
			of.Earlier = append(of.Earlier[max(0, len(of.Earlier)+2-usualOf):], of.Success)
		}
		of.Success = r
	}
	if r.At >= of.Attempt.At || of.Attempt.At > wall {
		of.Attempt = r
	}
}

// Record copies everything. active calls its argument for each session that runs. now and wall are
// as in Apply.
func (b *Book) Record(active func(func(*rsynclog.Session)), now, wall int64) *Record {
	if len(b.entries) == 0 {
		return &Record{}
	}
	for i := range b.entries {
		b.entries[i].Running, b.entries[i].RunningSince = 0, 0
	}
	active(func(s *rsynclog.Session) {
		begun := max(min(wall-(now-s.FirstSeen), wall), 1)
		b.each(s, func(_ *Expectation, of *Entry) {
			if of.Running++; of.Running == 1 || begun < of.RunningSince {
				of.RunningSince = begun
			}
		})
	})
	b.mendAhead(now, wall)
	return &Record{Entries: slices.Clone(b.entries)}
}

// mendAhead sets times in the future, by a clock that was ahead, to the present: until then nobody
// would notice that a backup doesn't come.
func (b *Book) mendAhead(now, wall int64) {
	ahead, mend := false, b.aheadSince != 0 && now-b.aheadSince >= int64(aheadFor)
	for i := range b.entries {
		of := &b.entries[i]
		for _, at := range [...]*int64{&of.Since, &of.Success.At, &of.Attempt.At} {
			if *at > wall+int64(time.Second) {
				if ahead = true; mend {
					*at = wall
				}
			}
		}
	}
	switch {
	case !ahead || mend:
		b.aheadSince = 0
	case b.aheadSince == 0:
		b.aheadSince = now
	}
}
