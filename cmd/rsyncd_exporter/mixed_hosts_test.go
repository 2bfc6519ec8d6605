package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// Senders choose host names: a flood of those that come from several addresses is 16 lines a day, and those that had
// no place are told of when they come from yet another address later.
func TestMixedHostsAreWarnedOf(t *testing.T) {
	p, err := pipeline.New(pipeline.Config{LogFormat: "%o %f %l", Tags: []string{"rsyncd"}, MaxSeries: 10000, Limits: rsynclog.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
	from := func(host string, last ...byte) {
		for _, n := range last {
			message := fmt.Appendf(nil, "<30>Nov 23 18:40:52 %s rsyncd[505]: connect from localhost (127.0.0.1)", host)
			p.Deliver(src, &receiver.Slab{Messages: [][]byte{message}, Peer: netip.AddrFrom4([4]byte{192, 0, 2, n})})
		}
	}
	var out lockedBuffer
	m := mixedHosts{log: slog.New(slog.NewTextHandler(&out, nil)), hosts: p.MixedHosts}
	now := time.Unix(1_000_000, 0)
	wantLines := func(when string, want int) {
		t.Helper()
		if n := strings.Count(out.String(), "\n"); n != want {
			t.Errorf("%s: %d lines, want %d", when, n, want)
		}
	}
	from("alone", 1, 1)
	from("vm", 1, 2, 3)
	m.warn(now)
	m.warn(now)
	wantLines("one host", 1)
	if got := out.String(); !strings.Contains(got, "one host name comes from several addresses") || !strings.Contains(got, "host=vm\n") {
		t.Errorf("logged %q, want a warning of vm", got)
	}
	for i := range 40 {
		from(fmt.Sprint("h", i), 1, 2)
	}
	for i := range 86_400 {
		m.warn(now.Add(time.Duration(i) * time.Second))
	}
	wantLines("a flood", 16)
	m.warn(now.Add(24 * time.Hour))
	wantLines("the second day, with what was due", 17)
	for i := range 40 {
		from(fmt.Sprint("h", i), 3)
	}
	m.warn(now.Add(25 * time.Hour))
	wantLines("the second day, with more", 32)
}
