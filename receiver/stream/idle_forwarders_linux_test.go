package stream_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/receiver/stream"
)

// FAULTS T10 with real forwarders: one that was quiet for longer than IdleTimeout still has its connection, and what it sends then
// arrives. (If it is closed, rsyslog 8.2302 over TLS loses what it writes next, and syslog-ng 3.38 waits for its time-reopen(), a minute.)
func TestForwardersAfterIdleness(t *testing.T) {
	for _, c := range []struct {
		name  string
		tls   bool
		start func(pki string, port int) *testenv.Forwarder
	}{
		{"rsyslog TCP", false, func(_ string, p int) *testenv.Forwarder {
			return testenv.StartRsyslog(t, "rsyncd_exporter-tcp.conf", p)
		}},
		{"rsyslog TLS", true, func(pki string, p int) *testenv.Forwarder { return testenv.StartRsyslogTLS(t, pki, p) }},
		{"syslog-ng TCP", false, func(_ string, p int) *testenv.Forwarder {
			return testenv.StartSyslogNG(t, "rsyncd_exporter-tcp.conf", p)
		}},
		{"syslog-ng TLS", true, func(pki string, p int) *testenv.Forwarder { return testenv.StartSyslogNGTLS(t, "syslog", pki, p) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newTLSDir(t)
			sink := newHoldSink(false)
			opt := stream.TCPOptions{IdleTimeout: 50 * time.Millisecond}
			var l *stream.TCP
			if c.tls {
				l = startTLS(t, sink, loadCredentials(t, d.options()), opt)
			} else {
				l = listenTCP(t, sink, opt)
				start(t, l)
			}
			f := c.start(d.path, l.Addr().(*net.TCPAddr).Port)
			log, err := net.Dial("unixgram", f.Socket)
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			sent := uint64(0)
			for round := range 2 {
				for i := range 5 {
					send(t, log, fmt.Sprintf("<30>Nov 23 18:40:52 rsyncd[505]: message %d of round %d", i, round))
					sent++
				}
				reach(t, "all of them", func() bool { return sink.Received() == sent })
				reach(t, "idleness", func() bool { return idleFor(l) > 2*opt.IdleTimeout })
			}
			if n := sum(l.Status().Refused); n != 0 || l.Status().Connections != 1 {
				t.Errorf("%d refused, %d open; want none, 1", n, l.Status().Connections)
			}
		})
	}
}
