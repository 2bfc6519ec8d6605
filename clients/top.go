package clients

import "math/bits"

// The top lists count in a table of bounded room. A full table lets go of its smaller entries and
// raises its floor to the largest figure that any of these can have had. A later entry may have
// been there before, so it begins with the floor as its error: its true figure is at least what was
// counted since, and at most that and the error. Entries that came before the table was first full
// are exact.
//
// The floor is at most (sum of all figures)/k, where k is the rank that decides who stays. Take
// what each entry's upper bound has above the floor. Counting x raises the sum of these by x; an
// entry begins with 0. Raising the floor by d takes d from at least k entries, as k of them reach
// the new floor. This is Misra and Gries' proof; their counters are these differences.
//
// Tables add up: who is missing in one has had up to its floor there, so the floor of the sum is
// the sum of the floors. What an entry's bound has above the floor is then at most what it has in
// all tables. So the floor of the sum is at most (sum of all figures)/k, too, also after it has let
// go of the smaller entries by the same k.

// A Table counts sessions and bytes of clients, in a form for encoding/gob.
type Table struct {
	Entries []Entry // each client once
	Floor   Volume  // nobody who isn't here has had more
	All     Volume  // of all clients, also of those who aren't here
}

// An Entry is one client.
type Entry struct {
	Client string // see Key
	Name   string // as the daemon logged it last; empty if it is not known, or the Client
	Volume
	Late Volume // may have been counted before the entry came
}

// most returns what a client has had at most.
func (e *Entry) most() [3]uint64 {
	v := e.Volume.Plus(e.Late)
	return [...]uint64{v.Sessions, v.Sent, v.Received}
}

// cut lets go of the entries that are not among the first k by any figure. Of those at a threshold
// the oldest stay while there is room for them, so that a table of equals isn't empty afterwards.
// There must be k entries.
func (t *Table) cut(k, room int) {
	var least [3]uint64
	values := make([]uint64, len(t.Entries))
	for x := range least {
		for i := range t.Entries {
			values[i] = t.Entries[i].most()[x]
		}
		least[x] = Ranked(values, k)
	}
	kept, floor := t.Entries[:0], t.Floor
	for i := range t.Entries {
		e := t.Entries[i]
		above, equal := false, false
		for x, n := range e.most() {
			above = above || n > least[x]
			equal = equal || n == least[x]
		}
		if above || equal && len(kept) < room {
			kept = append(kept, e)
		} else {
			floor = floor.Max(e.Volume.Plus(e.Late))
		}
	}
	clear(t.Entries[len(kept):]) // their strings
	t.Entries, t.Floor = kept, floor
}

// merged adds up tables. It shares no memory with them but strings.
func merged(tables ...*Table) Table {
	var all Table
	room := 0
	for _, t := range tables {
		all.Floor.Add(t.Floor)
		all.All.Add(t.All)
		room += len(t.Entries)
	}
	all.Entries = make([]Entry, 0, room)
	index := make(map[string]int, room)
	for _, t := range tables {
		for i := range t.Entries {
			e := &t.Entries[i]
			at, ok := index[e.Client]
			if !ok {
				at = len(all.Entries)
				index[e.Client] = at
				all.Entries = append(all.Entries, Entry{Client: e.Client, Late: all.Floor})
			}
			sum := &all.Entries[at]
			sum.Volume.Add(e.Volume)
			sum.Late = sum.Late.Minus(t.Floor).Plus(e.Late) // here it is listed
			if e.Name != "" {
				sum.Name = e.Name
			}
		}
	}
	return all
}

// A Top is a Table that counts. Up to its room clients are exact. Beyond, an error is at most
// 6/room of the sum over all clients, for each figure: those stay that are among the first sixth by
// one of the three.
type Top struct {
	Table
	keys  keys
	room  int
	index map[string]int // by client, into Entries; these are in the order in which they came
	most  int            // entries there have been at one time
}

// NewTop returns an empty Top for so many clients. With anonymise they are networks.
func NewTop(room int, anonymise bool) *Top {
	return &Top{keys: keys{anonymise: anonymise}, room: room, index: map[string]int{}}
}

// Add counts what a client's sessions came to. The address may be empty, and so may the name, which
// is one of rsynclog.Label's.
func (t *Top) Add(addr, name string, v Volume) {
	if t.keys.anonymise {
		name = ""
	}
	t.entry(t.keys.of(parse(addr), name), name, v)
}

// entry counts for a client's key, which it copies if it must, and returns its entry: until the
// next call.
func (t *Top) entry(key []byte, name string, v Volume) *Entry {
	i, ok := t.index[string(key)]
	if !ok {
		if len(t.Entries) == t.room {
			t.purge()
		}
		i = len(t.Entries)
		client := string(key)
		t.Entries = append(t.Entries, Entry{Client: client, Late: t.Floor})
		t.index[client] = i
		t.most = max(t.most, len(t.Entries))
	}
	e := &t.Entries[i]
	e.Volume.Add(v)
	t.All.Add(v)
	if name != "" && name != e.Client {
		e.Name = name
	}
	return e
}

// purge makes room.
func (t *Top) purge() {
	t.cut(len(t.Entries)/6, t.room/4)
	clear(t.index)
	for i := range t.Entries {
		t.index[t.Entries[i].Client] = i
	}
}

// Ranked returns the k-th largest value, 1 <= k <= len(values). It takes the same time whatever the
// values are: clients choose them.
func Ranked(values []uint64, k int) uint64 {
	var all, found, mask uint64
	for _, v := range values {
		all |= v
	}
	for shift := (bits.Len64(all|1) - 1) / 8 * 8; shift >= 0; shift -= 8 {
		var n [256]int // by this byte, those with the same higher bytes as the one sought
		for _, v := range values {
			if v&mask == found {
				n[byte(v>>shift)]++
			}
		}
		b := 255
		for ; k > n[b]; b-- {
			k -= n[b]
		}
		found |= uint64(b) << shift
		mask |= 0xff << shift
	}
	return found
}
