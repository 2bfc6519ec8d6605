package report

import (
	"cmp"
	"slices"

	"rsyncd_exporter/clients"
)

// Anonymise makes of a Summary that was read what one made with Options.Anonymise shows: networks
// instead of clients, and no line. What a network has besides its listed clients isn't known, so
// that the whole rest is its error.
func (s *Summary) Anonymise() {
	if s.Filter != nil && s.Filter.Client != "" {
		f := *s.Filter
		f.Client = anonymous(f.Client)
		s.Filter = &f
	}
	for i := range s.Samples {
		s.Samples[i].Text = ""
	}
	for i := range s.Waste.Clients {
		s.Waste.Clients[i].Client = network(s.Waste.Clients[i].Client)
	}
	days := 0.0
	if s.Waste.PerDay > 0 {
		days = float64(s.Waste.Bytes) / s.Waste.PerDay
	}
	s.Waste.Clients = mergeWaste([]*Summary{s}, len(s.Waste.Clients), days).Clients
	if slices.ContainsFunc(s.Clients, func(c Client) bool { return c.Client != network(c.Client) || c.Name != "" }) {
		s.anonymiseClients()
	}
}

func (s *Summary) anonymiseClients() {
	rest, all := s.ClientsRest.Volume, s.ClientsRest.Volume
	sums := map[string]*Client{}
	for _, c := range s.Clients {
		all.Add(c.Volume)
		key := network(c.Client)
		sum := sums[key]
		if sum == nil {
			sum = &Client{Client: key, Group: c.Group, Place: c.Place, Error: &rest}
			sums[key] = sum
		}
		sum.Volume.Add(c.Volume)
		if sum.Group != c.Group {
			sum.Group = ""
		}
		if sum.Place != c.Place {
			sum.Place = ""
		}
	}
	list := make([]Client, 0, len(sums))
	for _, sum := range sums {
		list = append(list, *sum)
	}
	s.Clients, s.ClientsRest = clients.Leaders(list, len(list), rest, all, uint64(len(list)))
}

// anonymous returns what is shown of a prefix that clients were chosen by.
func anonymous(prefix string) string {
	shown, _ := clients.Show(prefix, "", true)
	return cmp.Or(shown, "…")
}

// network returns what stands for a client under ANONYMISE.
func network(client string) string {
	shown, _ := clients.Show(client, "", true)
	return cmp.Or(shown, clients.Nobody)
}
