package report

import (
	"cmp"

	"rsyncd_exporter/clients"
)

// clientRoom is how many clients are counted at one time, in about 8 MiB.
const clientRoom = 32 << 10

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
		all, distinct = all.Plus(p.ClientsRest.Volume), max(distinct, uint64(len(p.Clients))+p.ClientsRest.Entries)
		bound := p.ClientsRest.Each()
		bounds.Add(bound)
		for _, c := range p.Clients {
			sum := sums[c.Client]
			if sum == nil {
				sum = &candidate{Client: Client{Client: c.Client}}
				sums[c.Client] = sum
			}
			all.Add(c.Volume)
			sum.Add(c.Volume)
			sum.late.Add(c.Most().Minus(c.Volume))
			sum.bounds.Add(bound)
			sum.Name, sum.Group = cmp.Or(c.Name, sum.Name), cmp.Or(c.Group, sum.Group)
			sum.Place = cmp.Or(c.Place, sum.Place)
		}
	}
	list := make([]Client, 0, len(sums))
	for _, c := range sums {
		if late := c.late.Plus(bounds.Minus(c.bounds)); late != (Volume{}) {
			c.Error = &late
		}
		list = append(list, c.Client)
	}
	return clients.Leaders(list, top, bounds, all, max(distinct, uint64(len(list))))
}
