package clients_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/testenv"
)

func TestGroups(t *testing.T) {
	g, err := clients.ParseGroups("mirrors=192.0.2.0/24+2001:db8::/32; bots=192.0.2.7 ; bots=198.51.100.0/30")
	if err != nil || !g.Any() {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"192.0.2.1": "mirrors", "192.0.2.7": "bots", "::ffff:192.0.2.7": "bots", "2001:db8:1::5": "mirrors",
		"198.51.100.3": "bots", "198.51.100.4": "other", "fe80::1%eth0": "other",
	} {
		if got := g.Of(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is in %q, want %q", addr, got, want)
		}
	}
	var none clients.Groups
	if none.Any() || none.Of(netip.MustParseAddr("192.0.2.1")) != "" {
		t.Error("no groups name an address")
	}
}

func TestGroupsThatAreWrong(t *testing.T) {
	_, err := clients.ParseGroups("a;=192.0.2.1;other=192.0.2.1;b=192.0.2.1/24;c=nowhere;d=10.0.0.0/8;e=10.0.0.0/8")
	for _, want := range []string{`"a" is no group`, `"=192.0.2.1" is no group`, `"other=192.0.2.1" is no group`, "write 192.0.2.0/24",
		`"nowhere" is no network`, `group "e": 10.0.0.0/8 is in group "d", too`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if _, err := clients.ParseGroups(" ; "); err == nil {
		t.Error("a list without a group is taken")
	}
}

func TestPlaces(t *testing.T) {
	country := testenv.Country("DE")
	system := mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64496),
		"autonomous_system_organization": mmdbtype.String("Exam\x1bple " + strings.Repeat("é", 40))}
	for _, c := range []struct {
		kind   string
		record mmdbtype.Map
		want   string
	}{
		{"GeoLite2-Country", country, "DE"},
		{"GeoLite2-ASN", system, "AS64496 Exam\uFFFDple " + strings.Repeat("é", 22)}, // 64 bytes
		{"GeoLite2-City", mmdbtype.Map{"registered_country": mmdbtype.Map{"iso_code": mmdbtype.String("FR")}}, "FR"},
	} {
		p, err := clients.OpenPlaces(testenv.WriteMMDB(t, c.kind, c.record))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Of(netip.MustParseAddr("::ffff:192.0.2.1")); got != c.want {
			t.Errorf("%s: %q (%d bytes), want %q", c.kind, got, len(got), c.want)
		}
		for _, other := range []string{"198.51.100.1", "2001:db8::1"} {
			if got := p.Of(netip.MustParseAddr(other)); got != "" {
				t.Errorf("%s: %s is in %q", c.kind, other, got)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPlacesThatCanNotBe(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.mmdb")
	if err := os.WriteFile(text, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "missing"), text, testenv.WriteMMDB(t, "Anonymous-IP", mmdbtype.Map{})} {
		if _, err := clients.OpenPlaces(path); err == nil || !strings.Contains(err.Error(), filepath.Base(path)) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
