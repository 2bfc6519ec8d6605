package pipeline_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// Whoever may send datagrams can invent hosts. Those of HOSTS have room all the same, and others have it when the
// invented ones have been silent for a day: also after a restart, and whatever the sessions' own limit is (4096
// origins).
func TestInventedHostsKeepNobodyOut(t *testing.T) {
	for _, n := range []int{450, 5000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
				c := pipeline.Config{Hosts: []string{"known", "silent"}, Modules: []string{"data"}}
				p := newPipeline(t, c)
				pid := 505
				say := func(host string) {
					pid++
					p.Deliver(src, slabOf(fmt.Sprintf(
						"<30>Nov 23 18:40:52 %s rsyncd[%d]: connect from localhost (127.0.0.1)", host, pid)))
				}
				want := func(when, name string, want float64) {
					t.Helper()
					series := gathered(t, p)
					checkIdentities(t, series)
					if got, there := series[name]; got != want || !there && want >= 0 {
						t.Errorf("%s: %s = %v (there: %v), want %v", when, name, got, there, want)
					}
				}
				for i := range n {
					say(fmt.Sprint("invented", i))
				}
				say("known")
				want("at once", `rsync_connections_total{host="known"}`, 1)
				want("never heard", `rsync_connections_total{host="silent"}`, 0)
				want("never heard", `rsync_messages_total{host="silent",kind="summary"}`, 0)
				want("never heard", `rsync_executions_total{direction="receive",host="silent",module="data"}`, 0)
				_, st := p.Save(nil)
				p = again(t, st, c)
				say("known")
				want("after a restart", `rsync_connections_total{host="known"}`, 2)
				if n > 4096 {
					return // others have origins when Sessions forgets some
				}
				say("real")
				if _, there := gathered(t, p)[`rsync_connections_total{host="real"}`]; there {
					t.Error("there is room for a real host: the flood was too small")
				}
				time.Sleep(24*time.Hour + time.Minute)
				say("real")
				want("after a day", `rsync_connections_total{host="real"}`, 1)
			})
		})
	}
}

// Messages of other machines under one host name are told of; this machine's have no address.
func TestAddressesOfSenders(t *testing.T) {
	p := newPipeline(t, pipeline.Config{})
	src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
	from := func(addr, header string) {
		s := slabOf("<30>Nov 23 18:40:52 " + header + " rsyncd[505]: connect from localhost (127.0.0.1)")
		if addr != "" {
			s.Peer = netip.MustParseAddr(addr)
		}
		p.Deliver(src, s)
	}
	from("192.0.2.1", "vm")
	from("192.0.2.1", "vm")
	from("", "here")
	if got := p.MixedHosts(10); len(got) != 0 {
		t.Errorf("mixed hosts %v, want none", got)
	}
	from("2001:db8::1", "vm")
	series := gathered(t, p)
	if n, ok := series[`rsyncd_exporter_host_addresses{host="vm"}`]; n != 2 {
		t.Errorf("%v addresses of vm (there: %v), want 2", n, ok)
	}
	if n, ok := series[`rsyncd_exporter_host_addresses{host="here"}`]; ok {
		t.Errorf("%v addresses of a host of this machine, want no series", n)
	}
	if got := p.MixedHosts(10); !slices.Equal(got, []string{"vm"}) {
		t.Errorf("mixed hosts %v, want vm", got)
	}
}
