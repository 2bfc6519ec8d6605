package clients

import (
	"cmp"
	"slices"
)

// A Client is an address (IPv6: its /64; with ANONYMISE a network), or a name where only that is
// known. What it counts may be too small by at most Error, where many clients had to share the
// room: Error is nil for those whose figures are exact.
type Client struct {
	Client string `json:"client"`
	Name   string `json:"name,omitempty"`  // as the daemon logged it last
	Group  string `json:"group,omitempty"` // CLIENT_GROUPS
	Place  string `json:"place,omitempty"` // GEOIP_DB
	Volume
	Error *Volume `json:"error,omitempty"`
}

// Most returns what a client has had at most.
func (c *Client) Most() Volume {
	if c.Error == nil {
		return c.Volume
	}
	return c.Volume.Plus(*c.Error)
}

// counted returns what was counted of a client, and its error.
func (c *Client) counted() (v, late Volume) { return c.Volume, c.Most().Minus(c.Volume) }

// Rest is everything that a top list leaves out.
type Rest struct {
	Entries uint64 `json:"entries"` // at least so many
	Volume
	// AtMost is the most that one of them can have, by each figure; nil: no more than all together.
	AtMost *Volume `json:"each_at_most,omitempty"`
}

// Each returns the most that one of the rest can have.
func (r *Rest) Each() Volume {
	if r.AtMost == nil {
		return r.Volume
	}
	return r.AtMost.Min(r.Volume)
}

// List returns the first n clients by bytes and the first n by sessions, and what they leave out.
func (t *Top) List(n int) ([]Client, Rest) { return t.list(n, uint64(t.most)) }

// list is List for a table of at least so many distinct clients.
func (t *Table) list(n int, distinct uint64) ([]Client, Rest) {
	counted := func(e *Entry) (v, late Volume) { return e.Volume, e.Late }
	first, floor := leading(slices.Clone(t.Entries), n, t.Floor, counted)
	all := make([]Client, len(first))
	for i := range first {
		e := &first[i]
		all[i] = Client{Client: e.Client, Name: e.Name, Volume: e.Volume}
		if e.Late != (Volume{}) {
			all[i].Error = &e.Late
		}
	}
	return Leaders(all, n, floor, t.All, distinct)
}

// Leaders splits clients into the first n by bytes and by sessions, and the rest. It reorders them.
// floor is the most that a client can have who isn't among them, all is the sum over everybody, and
// distinct how many these are at least.
func Leaders(from []Client, n int, floor, all Volume, distinct uint64) ([]Client, Rest) {
	from, floor = leading(from, n, floor, (*Client).counted)
	n = max(0, min(n, len(from)))
	slices.SortFunc(from, func(a, b Client) int {
		return cmp.Or(cmp.Compare(b.Sessions, a.Sessions), byBytes(a, b))
	})
	often := map[string]bool{}
	for _, c := range from[:n] {
		often[c.Client] = true
	}
	slices.SortFunc(from, byBytes)
	listed, rest := []Client{}, Rest{Volume: all}
	for i, c := range from {
		if i < n || often[c.Client] {
			listed, rest.Volume = append(listed, c), rest.Volume.Minus(c.Volume)
		} else {
			floor = floor.Max(c.Most())
		}
	}
	for i := range listed { // what a client may have had besides is among the rest
		if c := &listed[i]; c.Error != nil {
			e := c.Error.Min(rest.Volume)
			if c.Error = &e; e == (Volume{}) {
				c.Error = nil
			}
		}
	}
	rest.Entries = distinct - uint64(len(listed))
	if floor = floor.Min(rest.Volume); floor != (Volume{}) {
		rest.AtMost = &floor
	}
	return listed, rest
}

// leading returns the clients that may be among the first n by bytes or by sessions, and floor raised
// to what one of the others has had at most. It reorders them. of returns what was counted of one,
// and its error.
func leading[C any](all []C, n int, floor Volume, of func(*C) (v, late Volume)) ([]C, Volume) {
	var bytes, sessions uint64
	if n = min(n, len(all)); n > 0 {
		values := make([]uint64, len(all))
		for i := range all {
			v, _ := of(&all[i])
			values[i] = v.Bytes()
		}
		bytes = Ranked(values, n)
		for i := range all {
			v, _ := of(&all[i])
			values[i] = v.Sessions
		}
		sessions = Ranked(values, n)
	}
	first := all[:0]
	for i := range all {
		v, late := of(&all[i])
		if n > 0 && (v.Bytes() >= bytes || v.Sessions >= sessions) {
			first = append(first, all[i])
		} else {
			floor = floor.Max(v.Plus(late))
		}
	}
	return first, floor
}

func byBytes(a, b Client) int {
	return cmp.Or(
		cmp.Compare(b.Bytes(), a.Bytes()), cmp.Compare(b.Sessions, a.Sessions),
		cmp.Compare(a.Client, b.Client),
	)
}
