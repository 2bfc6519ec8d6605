package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/metrics"
)

// Each sum is a series, whose place is of the kind of the database that it came from.
func TestClients(t *testing.T) {
	at := time.Unix(1700000000, 0).UnixNano()
	r := &clients.Record{Sums: []clients.Sum{
		{Family: "ipv4", Group: "mirrors", Created: at, Volume: clients.Volume{Sessions: 2, Sent: 300, Received: 40}},
		{Family: "ipv6", Group: "other", Kind: "country", Place: "DE", Created: at, Volume: clients.Volume{Sent: 1 << 40}},
		{Family: "ipv4", Group: "other", Kind: "asn", Place: "AS64496 Example", Created: at, Volume: clients.Volume{Sessions: 1}},
	}}
	c := metrics.NewClients(func() *clients.Record { return r })
	want := `# HELP rsync_client_sent_bytes_total Bytes that the daemon sent to them.
# TYPE rsync_client_sent_bytes_total counter
rsync_client_sent_bytes_total{asn="",country="",family="ipv4",group="mirrors"} 300
rsync_client_sent_bytes_total{asn="",country="DE",family="ipv6",group="other"} 1.099511627776e+12
rsync_client_sent_bytes_total{asn="AS64496 Example",country="",family="ipv4",group="other"} 0
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "rsync_client_sent_bytes_total"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(c); n != 9 {
		t.Errorf("%d series of 3 sums, want 9", n)
	}
	if n := testutil.CollectAndCount(metrics.NewClients(func() *clients.Record { return nil })); n != 0 {
		t.Errorf("%d series of nothing", n)
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
