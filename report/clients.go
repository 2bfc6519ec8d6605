package report

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
)

// clientRoom is how many clients are counted at one time, in about 8 MiB.
const clientRoom = 32 << 10

// A clientTop counts sessions and bytes of clients. Up to clientRoom clients are exact. Beyond, an
// error is at most 6/clientRoom of the sum over all clients, for each figure: those stay that are
// among the first sixth by one of the three. See top.go.
type clientTop struct {
	room    int // clientRoom
	index   map[string]int
	entries []clientEntry // the oldest first
	floor   Volume        // nobody who isn't here has had more
	all     Volume
	most    int // entries there have been at one time
}

type clientEntry struct {
	client, name string
	Volume
	late Volume // may have been counted before it came
}

func newClientTop() *clientTop { return &clientTop{room: clientRoom, index: map[string]int{}} }

// add counts what a client's sessions came to. The address may be empty, and so may the name, which
// is one of rsynclog.Label's.
func (c *clientTop) add(addr, name string, v Volume) {
	key := clientOf(addr, name)
	i, ok := c.index[key]
	if !ok {
		if len(c.entries) == c.room {
			c.purge()
		}
		i = len(c.entries)
		c.entries = append(c.entries, clientEntry{client: key, late: c.floor})
		c.index[key] = i
		c.most = max(c.most, len(c.entries))
	}
	e := &c.entries[i]
	e.Volume = plus(e.Volume, v)
	c.all = plus(c.all, v)
	if name != "" && name != key {
		e.name = name
	}
}

// purge makes room. Of those at a threshold the oldest stay, so that a table of equals isn't empty
// afterwards.
func (c *clientTop) purge() {
	var least [3]uint64
	values := make([]uint64, len(c.entries))
	for x := range least {
		for i := range c.entries {
			values[i] = c.entries[i].most()[x]
		}
		least[x] = ranked(values, len(values)/6)
	}
	kept, floor := c.entries[:0], c.floor
	clear(c.index)
	for i := range c.entries {
		e := c.entries[i]
		above, equal := false, false
		for x, n := range e.most() {
			above = above || n > least[x]
			equal = equal || n == least[x]
		}
		if above || equal && len(kept) < c.room/4 {
			c.index[e.client] = len(kept)
			kept = append(kept, e)
		} else {
			floor = larger(floor, plus(e.Volume, e.late))
		}
	}
	clear(c.entries[len(kept):]) // their strings
	c.entries, c.floor = kept, floor
}

// most returns what a client has had at most.
func (e *clientEntry) most() [3]uint64 {
	v := plus(e.Volume, e.late)
	return [...]uint64{v.Sessions, v.Sent, v.Received}
}

// list returns the first n clients by bytes and the first n by sessions, and what they leave out.
func (c *clientTop) list(n int) ([]Client, Rest) {
	all := make([]Client, len(c.entries))
	for i := range c.entries {
		e := &c.entries[i]
		all[i] = Client{Client: e.client, Name: e.name, Volume: e.Volume}
		if e.late != (Volume{}) {
			late := e.late
			all[i].Error = &late
		}
	}
	return topClients(all, n, c.floor, c.all, uint64(c.most))
}

// topClients splits clients into the first n by bytes and by sessions, and the rest. floor is the
// most that a client can have who isn't among them, sum is that of all, and distinct how many these
// are at least.
func topClients(all []Client, n int, floor, sum Volume, distinct uint64) ([]Client, Rest) {
	n = max(0, min(n, len(all)))
	all, floor = leading(all, n, floor)
	slices.SortFunc(all, func(a, b Client) int {
		return cmp.Or(cmp.Compare(b.Sessions, a.Sessions), byBytes(a, b))
	})
	often := map[string]bool{}
	for _, c := range all[:n] {
		often[c.Client] = true
	}
	slices.SortFunc(all, byBytes)
	listed, rest := []Client{}, Rest{Volume: sum}
	for i, c := range all {
		if i < n || often[c.Client] {
			listed, rest.Volume = append(listed, c), minus(rest.Volume, c.Volume)
		} else {
			floor = larger(floor, c.most())
		}
	}
	for i := range listed { // what a client may have had besides is among the rest
		if c := &listed[i]; c.Error != nil {
			e := smaller(*c.Error, rest.Volume)
			if c.Error = &e; e == (Volume{}) {
				c.Error = nil
			}
		}
	}
	rest.Entries = distinct - uint64(len(listed))
	if floor = smaller(floor, rest.Volume); floor != (Volume{}) {
		rest.AtMost = &floor
	}
	return listed, rest
}

// leading returns the clients that may be among the first n by bytes or by sessions, and floor raised
// to what one of the others has had at most.
func leading(all []Client, n int, floor Volume) ([]Client, Volume) {
	var least Volume
	values := make([]uint64, len(all))
	if n > 0 {
		for i := range all {
			values[i] = all[i].bytes()
		}
		least.Sent = ranked(values, n)
		for i := range all {
			values[i] = all[i].Sessions
		}
		least.Sessions = ranked(values, n)
	}
	first := all[:0]
	for _, c := range all {
		if n > 0 && (c.bytes() >= least.Sent || c.Sessions >= least.Sessions) {
			first = append(first, c)
		} else {
			floor = larger(floor, c.most())
		}
	}
	return first, floor
}

// mergeClients adds up the clients of reports. Who isn't in a list may have had up to its AtMost.
func mergeClients(parts []*Summary, top int) ([]Client, Rest) {
	type candidate struct {
		Client
		late, bounds Volume // errors, and the bounds of the lists that it is in
	}
	sums := map[string]*candidate{}
	var all, bounds Volume
	var distinct uint64
	for _, p := range parts {
		all, distinct = plus(all, p.ClientsRest.Volume), max(distinct, uint64(len(p.Clients))+p.ClientsRest.Entries)
		bound := p.ClientsRest.each()
		bounds = plus(bounds, bound)
		for _, c := range p.Clients {
			sum := sums[c.Client]
			if sum == nil {
				sum = &candidate{Client: Client{Client: c.Client}}
				sums[c.Client] = sum
			}
			all = plus(all, c.Volume)
			sum.add(c.Volume)
			sum.late, sum.bounds = plus(sum.late, minus(c.most(), c.Volume)), plus(sum.bounds, bound)
			sum.Name, sum.Group = cmp.Or(c.Name, sum.Name), cmp.Or(c.Group, sum.Group)
			sum.Place = cmp.Or(c.Place, sum.Place)
		}
	}
	list := make([]Client, 0, len(sums))
	for _, c := range sums {
		if late := plus(c.late, minus(bounds, c.bounds)); late != (Volume{}) {
			c.Error = &late
		}
		list = append(list, c.Client)
	}
	return topClients(list, top, bounds, all, max(distinct, uint64(len(list))))
}

// each returns the most that one of the rest can have.
func (r *Rest) each() Volume {
	if r.AtMost == nil {
		return r.Volume
	}
	return smaller(*r.AtMost, r.Volume)
}

func byBytes(a, b Client) int {
	return cmp.Or(
		cmp.Compare(b.bytes(), a.bytes()), cmp.Compare(b.Sessions, a.Sessions),
		cmp.Compare(a.Client, b.Client),
	)
}

// most returns what a client has had at most.
func (c *Client) most() Volume {
	if c.Error == nil {
		return c.Volume
	}
	return plus(c.Volume, *c.Error)
}

// clientOf returns what a client is counted as: its IPv4 address, the /64 of its IPv6 address, or
// the name where there is no address.
func clientOf(addr, name string) string {
	a, err := netip.ParseAddr(addr)
	if a = a.Unmap().WithZone(""); err != nil {
		return cmp.Or(name, "unknown")
	}
	if a.Is4() {
		return a.String()
	}
	p, _ := a.Prefix(64) // fails for lengths that an address can't have
	return p.String()
}

func plus(a, b Volume) Volume {
	a.add(b)
	return a
}

// minus returns a-b. A sum that has reached the end of its range stays there.
func minus(a, b Volume) Volume {
	less := func(a, b uint64) uint64 {
		if a == math.MaxUint64 {
			return a
		}
		return a - min(a, b)
	}
	return Volume{
		Sessions: less(a.Sessions, b.Sessions), Sent: less(a.Sent, b.Sent), Received: less(a.Received, b.Received),
	}
}

func larger(a, b Volume) Volume {
	return Volume{
		Sessions: max(a.Sessions, b.Sessions), Sent: max(a.Sent, b.Sent), Received: max(a.Received, b.Received),
	}
}

func smaller(a, b Volume) Volume {
	return Volume{
		Sessions: min(a.Sessions, b.Sessions), Sent: min(a.Sent, b.Sent), Received: min(a.Received, b.Received),
	}
}
