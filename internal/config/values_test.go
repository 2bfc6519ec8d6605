package config

import (
	"net"
	"net/netip"
	"strconv"
	"testing"
)

func TestByteSizes(t *testing.T) {
	for text, want := range map[string]ByteSize{
		"16MiB": 16777216, "16M": 16777216, "16m": 16777216, "64KiB": 65536, "64kib": 65536, "1048576": 1048576, "1G": 1073741824, "0": 0,
		"8589934591GiB": 9223372035781033984, // the largest number of whole GiB below 2⁶³
	} {
		if got, err := parseByteSize(text); got != want || err != nil {
			t.Errorf("parseByteSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "M", "-1", "+1", "1.5M", "16MB", "1KiBi", "B", "1B", "1iB", "8589934592GiB", "9223372036854775808", "99999999999999999999", "1 M", "0x10"} {
		if got, err := parseByteSize(text); err == nil {
			t.Errorf("parseByteSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestByteSizesArePrintedInTheLargestWholeUnit(t *testing.T) {
	for size, want := range map[ByteSize]string{0: "0", 1: "1", 1023: "1023", 1024: "1KiB", 1536: "1536", 16777216: "16MiB", 1 << 40: "1024GiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d is %q, want %q", int64(size), got, want)
		}
	}
}

func FuzzByteSize(f *testing.F) {
	for _, seed := range []string{"16MiB", "16M", "64KiB", "1048576", "0", "9223372036854775807", "8589934591GiB", "16MB", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseByteSize(text)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("parseByteSize(%q) = %d", text, n)
		}
		if back, err := parseByteSize(n.String()); back != n || err != nil {
			t.Fatalf("parseByteSize(%q) = %d, printed as %q, read back as %d, %v", text, n, n, back, err)
		}
	})
}

func TestAddresses(t *testing.T) {
	for _, good := range []string{":5514", "0.0.0.0:514", "127.0.0.1:0", "[::]:5514", "[::1]:65535", "[fe80::1%eth0]:514", "localhost:5514",
		"log-host.example.org:5514", "log_host:1", "a.b.:1", "1host:1", "[localhost]:1"} {
		if reason, remedy := checkAddress(good, "5514"); reason != "" {
			t.Errorf("checkAddress(%q) = %q, %q; want none", good, reason, remedy)
		}
	}
	for bad, want := range map[string]string{
		"":                 "missing port in address",
		"5514":             "it has no colon",
		"localhost":        "it has no port",
		"127.0.0.1":        "it has no port",
		"::1":              "it has no port",
		"::1:5514":         "it has no port", // which is a whole address too
		"1:2:3":            "too many colons in address",
		"127.0.0.1:":       `"" is no port from 0 to 65535`,
		"127.0.0.1:syslog": `"syslog" is no port from 0 to 65535`,
		":65536":           `"65536" is no port from 0 to 65535`,
		":-1":              `"-1" is no port from 0 to 65535`,
		":+1":              `"+1" is no port from 0 to 65535`,
		":080":             `"080" is no port from 0 to 65535`,
		"127.0.0.256:1":    `"127.0.0.256" is neither an IP address nor a host name`,
		"10.1:1":           `"10.1" is neither an IP address nor a host name`,
		"*:1":              `"*" is neither an IP address nor a host name`,
		"a b:1":            `"a b" is neither an IP address nor a host name`,
		"udp://a:1":        "it is a URL",
		"a\n:1":            `"a\n" is neither an IP address nor a host name`,
	} {
		if reason, remedy := checkAddress(bad, "5514"); reason != want || remedy == "" {
			t.Errorf("checkAddress(%q) = %q, %q; want %q and a remedy", bad, reason, remedy, want)
		}
	}
}

// FuzzAddress: what is accepted with a numeric host is what net can listen at, and the other way round.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{":5514", "127.0.0.1:5514", "[::1]:0", "[fe80::1%eth0]:514", "localhost:1", "::1", "1:2:3", "[]:1", ":080", "127.1:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		reason, remedy := checkAddress(text, "5514")
		if reason != "" && remedy == "" {
			t.Fatalf("checkAddress(%q) = %q without a remedy", text, reason)
		}
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			if reason == "" {
				t.Fatalf("checkAddress(%q) accepts it, net: %v", text, err)
			}
			return
		}
		if _, err := netip.ParseAddr(host); err != nil && host != "" {
			return // a name, which only a look-up could judge
		}
		n, err := strconv.Atoi(port)
		valid := err == nil && strconv.Itoa(n) == port && n >= 0 && n <= 65535
		if valid != (reason == "") {
			t.Fatalf("checkAddress(%q) = %q", text, reason)
		}
		if _, err := net.ResolveUDPAddr("udp", text); valid && err != nil {
			t.Fatalf("checkAddress accepts %q, net: %v", text, err)
		}
	})
}

func TestOverlappingAddresses(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{":1", ":1", true}, {"127.0.0.1:1", ":1", true}, {"0.0.0.0:1", "10.0.0.1:1", true}, {"[::]:1", "[::1]:1", true}, {"[::1]:1", "[::1]:1", true},
		{":1", ":2", false}, {"127.0.0.1:1", "127.0.0.2:1", false}, {":0", ":0", false}, {"bad", "bad", false},
	} {
		if got := overlap(c.a, c.b); got != c.want || overlap(c.b, c.a) != got {
			t.Errorf("overlap(%q, %q) = %v, want %v both ways", c.a, c.b, got, c.want)
		}
	}
}

func TestUserNamespaces(t *testing.T) {
	for uidMap, want := range map[string]bool{
		"         0          0 4294967295\n": true,
		"         0       1000          1\n": false, "         0     100000      65536\n": false,
		"      1000       1000          1\n     65534      65534          1\n": false, "": false,
	} {
		if got := seesAllUsers(uidMap); got != want {
			t.Errorf("seesAllUsers(%q) = %v", uidMap, got)
		}
	}
}

func TestPrefixes(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.0/24": "192.0.2.0/24", "192.0.2.1": "192.0.2.1/32", "0.0.0.0/0": "0.0.0.0/0", "2001:db8::/32": "2001:db8::/32", "::1": "::1/128",
		"::ffff:192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.0/120": "192.0.2.0/24", "::/0": "::/0",
	} {
		if got, err := parsePrefix(text); err != nil || got.String() != want {
			t.Errorf("parsePrefix(%q) = %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8", "fe80::%eth0/10", "fe80::1%eth0", "host", "Any"} {
		if got, err := parsePrefix(text); err == nil {
			t.Errorf("parsePrefix(%q) = %v, want an error", text, got)
		}
	}
}
