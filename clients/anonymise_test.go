package clients_test

import (
	"net/netip"
	"testing"

	"rsyncd_exporter/clients"
)

func TestAnonymousClientsAreNetworks(t *testing.T) {
	for _, c := range []struct{ address, name, want string }{
		{"192.0.2.77", "host.example.org", "192.0.2.0/24"},
		{"::ffff:192.0.2.77", "", "192.0.2.0/24"},
		{"2001:db8:1:2:3:4:5:6", "", "2001:db8:1::/48"},
		{"fe80::1%eth0", "", "fe80::/48"},
		{"2001:db8:1:2::/64", "", "2001:db8:1::/48"}, // a client of a top list
		{"2001:db8::/32", "", "2001:db8::/32"},
		{"192.0.2.77/32", "", "192.0.2.0/24"},
		{"", "host.example.org", ""},
		{"host-192-0-2-77", "host.example.org", ""},
	} {
		if address, name := clients.Show(c.address, c.name, true); address != c.want || name != "" {
			t.Errorf("%q, %q is shown as %q, %q, want %q", c.address, c.name, address, name, c.want)
		}
		if address, name := clients.Show(c.address, c.name, false); address != c.address || name != c.name {
			t.Errorf("without ANONYMISE, %q, %q is shown as %q, %q", c.address, c.name, address, name)
		}
	}
	if p := clients.Anonymise(netip.Addr{}); p.IsValid() {
		t.Errorf("no address is shown as %v", p)
	}
}

// Whatever stands where an address should, nothing but a wide network is shown of it.
func FuzzShow(f *testing.F) {
	for _, address := range []string{"192.0.2.77", "::ffff:192.0.2.77", "fe80::1%eth0", "2001:db8::/64", "::ffff:1.2.3.4/120", "1.2.3.4/0", "x"} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		shown, name := clients.Show(address, address, true)
		p, err := netip.ParsePrefix(shown)
		if name != "" || shown != "" && (err != nil || p != p.Masked() || p.Bits() > 48 || p.Addr().Is4() && p.Bits() > 24) {
			t.Errorf("%q is shown as %q, %q", address, shown, name)
		}
	})
}
