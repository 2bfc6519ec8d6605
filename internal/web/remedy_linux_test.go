package web_test

import (
	"net"
	"strings"
	"testing"

	"rsyncd_exporter/internal/web"
)

// What can't be listened at has the remedy that fits the error, not always the same.
func TestRemediesOfHTTPListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct{ name, address, want string }{
		{"taken", taken.Addr().String(), "address already in use: another process"},
		{"another machine's address", "198.51.100.1:8080",
			"cannot assign requested address: no interface of this machine has that address"},
		{"no such name", "nosuch.invalid:8080", "the name has no address"},
		{"a link-local address", "[fe80::1]:8080", "needs its interface"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := web.Listen(c.address, net.ListenConfig{})
			if err == nil {
				l.Close()
				t.Fatal("no error")
			}
			if got := err.Error(); !strings.Contains(got, c.want) || strings.Count(got, c.address) == 0 {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}
