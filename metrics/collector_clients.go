package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"rsyncd_exporter/clients"
)

var perSum = []string{"group", "country", "asn", "family"}

var (
	descClientSessions = rsync("client_sessions_total",
		"Sessions that ended, by who came: group by CLIENT_GROUPS, country or asn by GEOIP_DB; family ipv4, ipv6 or "+
			"unknown.", perSum...)
	descClientSent     = rsync("client_sent_bytes_total", "Bytes that the daemon sent to them.", perSum...)
	descClientReceived = rsync("client_received_bytes_total", "Bytes that the daemon received of them.", perSum...)
)

func clientDescs() []*prometheus.Desc {
	return []*prometheus.Desc{descClientSessions, descClientSent, descClientReceived}
}

// A Clients shows the sums of a clients.Book to Prometheus. It implements prometheus.Collector.
type Clients struct{ record func() *clients.Record }

// NewClients returns a Clients that calls record at each scrape, from its goroutine. record may
// return nil: there is no book.
func NewClients(record func() *clients.Record) *Clients { return &Clients{record} }

// Describe implements prometheus.Collector.
func (c *Clients) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range clientDescs() {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Clients) Collect(ch chan<- prometheus.Metric) {
	r := c.record()
	if r == nil {
		return
	}
	e := emitter(ch)
	for i := range r.Sums {
		s := &r.Sums[i]
		country, asn := s.Place, ""
		if s.Kind == "asn" {
			country, asn = "", s.Place
		}
		l := []string{s.Group, country, asn, s.Family}
		e.counter(descClientSessions, s.Sessions, s.Created, l...)
		e.counter(descClientSent, s.Sent, s.Created, l...)
		e.counter(descClientReceived, s.Received, s.Created, l...)
	}
}
