package report

import (
	"net/netip"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/rsynclog"
)

// maxPlaces bounds the places of a report. There are 250 countries, and a hundred times as many
// autonomous systems; those that come when there is no room count as rsynclog.Other.
const maxPlaces = 1000

// unplaced is the place of clients of whose address the database knows nothing.
const unplaced = "unknown"

// groups adds up clients by the operator's groups and by places. Their sums are the whole.
type groups struct {
	groups clients.Groups
	places *clients.Places // nil: there is no database
	group  map[string]Volume
	place  map[string]Volume
}

func newGroups(o *Options) groups {
	return groups{groups: o.Groups, places: o.Places, group: map[string]Volume{}, place: map[string]Volume{}}
}

// add counts what an address has come to.
func (g *groups) add(addr string, v Volume) {
	if !g.groups.Any() && g.places == nil {
		return
	}
	a, _ := netip.ParseAddr(addr) // of none, none is known
	group, place := g.of(a)
	if group != "" {
		g.group[group] = g.group[group].Plus(v)
	}
	if g.places == nil {
		return
	}
	if place == "" {
		place = unplaced
	}
	if _, ok := g.place[place]; !ok && len(g.place) >= maxPlaces {
		place = rsynclog.Other
	}
	g.place[place] = g.place[place].Plus(v)
}

// of returns an address's group and its place; empty for what isn't known.
func (g *groups) of(a netip.Addr) (group, place string) {
	group = g.groups.Of(a)
	if g.places != nil && a.IsValid() {
		place = g.places.Of(a)
	}
	return group, place
}
