package clients

import (
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
	all := windows()
	list := make([]api.ClientWindow, 0, len(all))
	for i := range all {
		list = append(list, r.window(&all[i], now, n, &groups, places))
	}
	return list
}

func (r *Record) window(w *window, now int64, n int, groups *Groups, places *Places) api.ClientWindow {
	since := w.since(now)
	out := api.ClientWindow{
		Window: w.name, Since: time.Unix(0, max(since, r.Since)).UTC(), Families: map[string]api.Volume{},
	}
	for _, f := range Families() {
		out.Families[f] = api.Volume{}
	}
	var tables []*Table
	for _, b := range r.Buckets {
		if b.Start < since {
			continue
		}
		tables = append(tables, &b.Table)
		for i, v := range b.Sums {
			r.Sums[i].addTo(&out, v)
		}
	}
	table := merged(tables...)
	clients, rest := table.list(n, uint64(len(table.Entries)))
	Name(clients, groups, places)
	out.Clients = make([]api.ClientVolume, 0, len(clients))
	for _, c := range clients {
		out.Clients = append(out.Clients, api.ClientVolume{Client: c.Client, Name: c.Name, Group: c.Group,
			Place: c.Place, Volume: api.Volume(c.Volume), Error: (*api.Volume)(c.Error)})
	}
	out.Rest = api.ClientRest{Volume: api.Volume(rest.Volume), AtMost: (*api.Volume)(rest.AtMost)}
	out.Total = api.Volume(table.All)
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
