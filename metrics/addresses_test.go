package metrics_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/rsynclog"
)

// from notes messages of a host that came from addresses of 192.0.2.0/24 at a second.
func (b *books) from(host string, second int64, last ...byte) {
	o := b.sessions.Origin(rsynclog.Where{Host: []byte(host)}, 0)
	for _, n := range last {
		b.store.HostAddress(o, netip.AddrFrom4([4]byte{192, 0, 2, n}), second*int64(time.Second))
	}
	b.store.Message(o, rsynclog.Connect, true, second*int64(time.Second))
}

func (b *books) wantAddresses(when, host string, want float64) {
	b.t.Helper()
	got := 0.0
	for _, m := range family(b.t, b.registry(), "rsyncd_exporter_host_addresses").GetMetric() {
		if m.GetLabel()[0].GetValue() == host {
			got += m.GetGauge().GetValue()
		}
	}
	if got != want {
		b.t.Errorf("%s: %v addresses of %q, want %v", when, got, host, want)
	}
}

func TestAddressesOfAHost(t *testing.T) {
	b := newBooks(t, metrics.Config{MaxSeries: 400})
	b.from("vm", 2000, 1, 1, 1)
	b.wantAddresses("one sender", "vm", 1)
	b.from("vm", 3000, 2, 1, 2)
	b.from("", 3000, 1, 2)
	b.wantAddresses("two senders", "vm", 2)
	b.wantAddresses("without a host name", "", 0)
	b.from("vm", 4000, 1)
	b.from("vm", 3000+day, 1)
	b.wantAddresses("one silent for a day", "vm", 1)
	for n := range byte(100) {
		b.from("many", 3000+day, n)
	}
	b.wantAddresses("a hundred senders", "many", 16)
	for i := range byte(50) { // more hosts than have room
		b.from(string([]byte{'h', '0' + i}), 3000+day, 1, 2)
	}
	b.wantAddresses("hosts without room", rsynclog.Other, 0)
}

// Each host is told once, by every process anew; and only as many at a time as are asked for, and remembered.
func TestMixedHosts(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	b.from("alone", 2000, 1, 1)
	b.from("moved", 2000-2*day, 1)
	b.from("moved", 2000, 2)
	for i := range byte(30) {
		b.from(string([]byte{'h', 'A' + i}), 2000, 1, 2, 3)
	}
	if got := b.store.MixedHosts(0); got != nil {
		t.Errorf("asked for none: %v", got)
	}
	if got, want := b.store.MixedHosts(2), []string{"hA", "hB"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := b.store.MixedHosts(100); len(got) != metrics.MaxMixed-2 {
		t.Errorf("%d more, want %d", len(got), metrics.MaxMixed-2)
	}
	b.from("hA", 2001, 4)
	b.from("hZ", 2001, 4) // had no place in the queue before
	if got := b.store.MixedHosts(100); !slices.Equal(got, []string{"hZ"}) {
		t.Errorf("%v, want hZ, which was not told yet", got)
	}
	if err := b.restart(metrics.Config{}, nil); err != nil {
		t.Fatal(err)
	}
	b.wantAddresses("after a restart", "hA", 4)
	if got := b.store.MixedHosts(100); len(got) != metrics.MaxMixed || slices.Contains(got, "alone") || slices.Contains(got, "moved") {
		t.Errorf("after a restart %v, want %d of those that are mixed up", got, metrics.MaxMixed)
	}
}

func TestTheUsualAddressAllocatesNothing(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	b.from("vm", 2000, 1, 2)
	o := b.sessions.Origin(rsynclog.Where{Host: []byte("vm")}, 0)
	usual, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if n := testing.AllocsPerRun(100, func() { b.store.HostAddress(o, usual, 1); b.store.HostAddress(o, other, 1) }); n != 0 {
		t.Errorf("%v allocations for two addresses in turns", n)
	}
}
