package receiver_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/receiver"
)

func TestAllowList(t *testing.T) {
	for _, tt := range []struct {
		list           []string
		within, beyond string
	}{
		{receivertest.PrivateNets, "127.0.0.1 10.255.255.255 172.31.0.1 192.168.1.1 ::1 fd00::1 fe80::1 fe80::1%eth0 ::ffff:10.0.0.1", "9.255.255.255 11.0.0.0 172.32.0.0 172.15.255.255 8.8.8.8 ::2 2001:db8::1 fec0::1 ::ffff:8.8.8.8 ::10.0.0.1"},
		{[]string{"192.0.2.7/32"}, "192.0.2.7 ::ffff:192.0.2.7", "192.0.2.6 192.0.2.8 ::192.0.2.7 ::1"},
		{[]string{"::ffff:192.0.2.0/120"}, "192.0.2.255 ::ffff:192.0.2.0", "192.0.3.0 ::1"},
		{[]string{"0.0.0.0/0"}, "8.8.8.8 ::ffff:8.8.8.8", "::1 2001:db8::1"},
		{[]string{"::/0"}, "::1 2001:db8::1 ::8.8.8.8", "8.8.8.8 ::ffff:8.8.8.8"}, // netip has it so, too: IPv4 is written 0.0.0.0/0
		{[]string{"2001:db8:0:0:8000::/65", "2001:db8::1/128"}, "2001:db8::8000:0:0:0 2001:db8::ffff:0:0:1 2001:db8::1", "2001:db8::7fff:0:0:0 2001:db8::2 2001:db9::1"},
	} {
		list := receivertest.AllowList(tt.list...)
		for _, a := range strings.Fields(tt.within) {
			if !list.Allows(netip.MustParseAddr(a)) {
				t.Errorf("%q refuses %s", tt.list, a)
			}
		}
		for _, a := range strings.Fields(tt.beyond) {
			if list.Allows(netip.MustParseAddr(a)) {
				t.Errorf("%q allows %s", tt.list, a)
			}
		}
		if list.Allows(netip.Addr{}) {
			t.Errorf("%q allows no address", tt.list)
		}
	}
	for _, all := range []*receiver.AllowList{nil, receivertest.AllowList(), receivertest.AllowList("0.0.0.0/0", "::/0"), receivertest.AllowList("10.0.0.0/8", "::/0", "0.0.0.0/0")} {
		if all != nil {
			t.Errorf("a list of everybody is %v, want none", all)
		}
	}
	if (*receiver.AllowList)(nil).Allows(netip.MustParseAddr("8.8.8.8")) == false {
		t.Error("no list refuses somebody")
	}
}

// Against netip's own idea of what a prefix contains, with prefixes and addresses that often agree in their first bits.
func TestAllowListAgreesWithNetip(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	base := r.Uint64()
	address := func() netip.Addr {
		var b [16]byte
		for i := range b {
			b[i] = byte(base >> (i % 8 * 8))
			if r.IntN(6) == 0 {
				b[i] ^= 1 << r.IntN(8)
			}
		}
		switch r.IntN(3) {
		case 0:
			return netip.AddrFrom4([4]byte(b[:4]))
		case 1:
			return netip.AddrFrom16(netip.AddrFrom4([4]byte(b[:4])).As16())
		}
		return netip.AddrFrom16(b)
	}
	within := 0
	for range 3000 {
		var prefixes []netip.Prefix
		for range 1 + r.IntN(4) {
			a := address().Unmap()
			prefixes = append(prefixes, netip.PrefixFrom(a, r.IntN(a.BitLen()+1)).Masked())
		}
		list := receiver.NewAllowList(prefixes)
		for range 10 {
			a := address()
			want := slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
			if got := list.Allows(a); got != want {
				t.Fatalf("%v: Allows(%v) = %v, want %v", prefixes, a, got, want)
			}
			if want {
				within++
			}
		}
	}
	if within < 3000 || within > 27000 {
		t.Errorf("%d of 30000 addresses are within: too few or too many to show anything", within)
	}
}

// The last prefix of the default, and an address that is on none.
func BenchmarkAllowList(b *testing.B) {
	list := receivertest.AllowList(receivertest.PrivateNets...)
	for name, addr := range map[string]string{"first": "127.0.0.1", "none4": "8.8.8.8", "none6": "2001:db8::1"} {
		a := netip.MustParseAddr(addr)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				list.Allows(a)
			}
		})
	}
}

func TestElsewhere(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::1", "2001:db8::1": "2001:db8::1",
		"127.0.0.53": "", "::1": "", "::ffff:127.0.0.1": ""} {
		wanted, _ := netip.ParseAddr(want)
		if got := receiver.Elsewhere(netip.MustParseAddr(addr)); got != wanted {
			t.Errorf("elsewhere(%s) = %v, want %v", addr, got, wanted)
		}
	}
	if got := receiver.Elsewhere(netip.Addr{}); got.IsValid() {
		t.Errorf("elsewhere of no address = %v", got)
	}
}
