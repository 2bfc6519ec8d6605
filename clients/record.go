package clients

import (
	"math"
	"time"

	"rsyncd_exporter/status/api"
)

// A Record is the whole state of a Book, for encoding/gob. It shares no changing memory.
type Record struct {
	Since      int64 // when the Book began or its oldest session ended; nanoseconds of the Unix epoch
	Sums       []Sum
	Anonymised bool      // the clients are networks
	Buckets    []*Bucket // two may have the same Start and Width
}

// Windows returns the last hour, day and month until now, in nanoseconds of the Unix epoch. Each has
// the first n clients by bytes and the first n by sessions. groups and places are those in use;
// places may be nil.
//
// A client that has 1/128 of a window's sessions or bytes is listed if n allows it, and no figure
// is wrong by more; usually by much less, as its Error says.
func (r *Record) Windows(now int64, n int, groups Groups, places *Places) []api.ClientWindow {
	var list []api.ClientWindow
	var all Table // of the window, which has all of the smaller ones
	sums := make([]Volume, len(r.Sums))
	until := int64(math.MaxInt64)
	for _, w := range windows() {
		since := w.since(now)
		tables := []*Table{&all}
		for _, b := range r.Buckets {
			if b.Start >= since && b.Start < until {
				tables = append(tables, &b.Table)
				for i, v := range b.Sums {
					sums[i].Add(v)
				}
			}
		}
		all, until = merged(tables...), since
		out := all.window(n, groups, places)
		out.Window, out.Since = w.name, time.Unix(0, max(since, r.Since)).UTC()
		for i, v := range sums {
			r.Sums[i].addTo(&out, v)
		}
		list = append(list, out)
	}
	return list
}

// window returns what people look at of a table, but for the sums of its parts.
func (t *Table) window(n int, groups Groups, places *Places) api.ClientWindow {
	clients, rest := t.list(n, uint64(len(t.Entries)))
	Name(clients, &groups, places)
	out := api.ClientWindow{
		Clients: make([]api.ClientVolume, 0, len(clients)), Families: map[string]api.Volume{},
		Rest:  api.ClientRest{Volume: api.Volume(rest.Volume), AtMost: (*api.Volume)(rest.AtMost)},
		Total: api.Volume(t.All),
	}
	for _, f := range Families() {
		out.Families[f] = api.Volume{}
	}
	for _, c := range clients {
		out.Clients = append(out.Clients, api.ClientVolume{Client: c.Client, Name: c.Name, Group: c.Group,
			Place: c.Place, Volume: api.Volume(c.Volume), Error: (*api.Volume)(c.Error)})
	}
	return out
}

// addTo adds what was counted for a Sum to the parts of a window.
func (s *Sum) addTo(w *api.ClientWindow, v Volume) {
	add := func(to *map[string]api.Volume, key string) {
		if key == "" || v == (Volume{}) {
			return
		}
		if *to == nil {
			*to = map[string]api.Volume{}
		}
		(*to)[key] = api.Volume(Volume((*to)[key]).Plus(v))
	}
	add(&w.Families, s.Family)
	add(&w.Groups, s.Group)
	add(&w.Places, s.Place)
}
