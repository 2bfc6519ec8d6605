package report_test

import (
	"maps"
	"slices"
	"testing"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/report"
)

// Groups are sums over all clients, and those of a list have theirs. In small two sessions of anna come from 192.0.2.10, which is in the
// smaller network.
func TestGroupsOfClients(t *testing.T) {
	all, err := clients.ParseGroups("office=192.0.2.0/24;anna=192.0.2.10")
	if err != nil {
		t.Fatal(err)
	}
	s := fold(t, report.Options{Groups: all, Top: 20}, small)
	var sum report.Volume
	for _, v := range s.Groups {
		sum.Sessions, sum.Sent, sum.Received = sum.Sessions+v.Sessions, sum.Sent+v.Sent, sum.Received+v.Received
	}
	if sum.Sent != s.Sent || sum.Received != s.Received || s.Groups["anna"].Sessions != 2 || s.Places != nil {
		t.Errorf("%v, places %v; sent %d, received %d", s.Groups, s.Places, s.Sent, s.Received)
	}
	i := slices.IndexFunc(s.Clients, func(c report.Client) bool { return c.Client == "192.0.2.10" })
	if i < 0 || s.Clients[i].Group != "anna" {
		t.Errorf("%+v", s.Clients)
	}
	twice, err := report.Merge([]*report.Summary{s, s}, 20)
	if err != nil || twice.Groups["anna"].Sessions != 4 || !slices.Equal(slices.Sorted(maps.Keys(twice.Groups)), slices.Sorted(maps.Keys(s.Groups))) {
		t.Errorf("%v, %v", twice, err)
	}
}
