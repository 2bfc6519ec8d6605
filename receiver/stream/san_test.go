package stream

import (
	"testing"
)

func TestParseSAN(t *testing.T) {
	for _, c := range []struct {
		text string
		want SAN
	}{
		{"Rsync1.Example.org", SAN{dnsSAN, "rsync1.example.org"}},
		{"xn--bcher-kva.example", SAN{dnsSAN, "xn--bcher-kva.example"}},
		{"_syslog.1and1.example", SAN{dnsSAN, "_syslog.1and1.example"}},
		{"rsync1.example.org.", SAN{dnsSAN, "rsync1.example.org."}},
		{"192.0.2.7", SAN{ipSAN, "192.0.2.7"}},
		{"2001:DB8:0::7", SAN{ipSAN, "2001:db8::7"}},
		{"spiffe://Example.org/a", SAN{uriSAN, "spiffe://Example.org/a"}},
		{"urn:uuid:1", SAN{uriSAN, "urn:uuid:1"}},
		{"https://a@b.example", SAN{uriSAN, "https://a@b.example"}},
		{"SPIFFE://example.org/%61#", SAN{uriSAN, "SPIFFE://example.org/%61#"}},
		{"Ops@example.org", SAN{emailSAN, "Ops@example.org"}},
	} {
		if got, err := ParseSAN(c.text); got != c.want || err != nil {
			t.Errorf("%q: %v, %v; want %v", c.text, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "*.example.org", "bücher.example", "a b", "a\x00b", "fe80::1%eth0", "a\n", ":", "://x",
		"DNS:rsync1.example.org", "IP:192.0.2.7", "IP Address:192.0.2.7", "URI:spiffe://example.org/a", "email:ops@example.org",
		"rsync1.example.org:6514", "localhost:6514", "192.0.2.7:6514", "192.0.2.0/24", "192.0.2.256", "a/b", "a..b", ".a", "[::1]"} {
		if got, err := ParseSAN(bad); err == nil {
			t.Errorf("%q: %v, want an error", bad, got)
		}
	}
}
