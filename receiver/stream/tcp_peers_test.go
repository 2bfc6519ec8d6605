//go:build linux

package stream_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/datagram"
	"rsyncd_exporter/receiver/stream"
)

// FAULTS T14, T17: what isn't syslog is named by its first bytes and closed, in whatever pieces they come, and nothing of it is a message.
func TestWrongProtocolAtThePlainPort(t *testing.T) {
	for _, c := range []struct {
		name  string
		want  stream.Refusal
		speak func(*net.TCPConn)
		parts string // sent before, a byte at a time, each read by itself
	}{
		{"HTTP", stream.SpeaksOther, func(c *net.TCPConn) { send(t, c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") }, ""},
		{"HTTP, byte by byte", stream.SpeaksOther, func(c *net.TCPConn) { send(t, c, " / HTTP/1.1\r\n") }, "DELETE"},
		{"HTTP/2", stream.SpeaksOther, func(c *net.TCPConn) { send(t, c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") }, ""},
		{"TLS", stream.SpeaksTLS, func(c *net.TCPConn) { _ = tls.Client(c, &tls.Config{ServerName: "localhost"}).Handshake() }, ""},
		{"TLS, first byte first", stream.SpeaksTLS, func(c *net.TCPConn) { send(t, c, "\x03\x01\x02\x00\n\x00\n") }, "\x16"},
		{"PROXY protocol, version 2, byte by byte", stream.SpeaksOther, func(c *net.TCPConn) { send(t, c, "\n") }, "\r\n\r\n\x00\r\nQUIT"},
		{"SSH", stream.SpeaksOther, func(c *net.TCPConn) { send(t, c, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n") }, ""},
		{"PROXY protocol, version 1", stream.SpeaksOther, func(c *net.TCPConn) { send(t, c, "PROXY TCP4 192.0.2.1 192.0.2.2 1 514\r\n<30>x\n") }, ""},
		{"PROXY protocol, version 2", stream.SpeaksOther, func(c *net.TCPConn) { send(t, c, "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c<30>x\n") }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sink := newHoldSink(false)
			l := listenTCP(t, sink, stream.TCPOptions{})
			start(t, l)
			conn := dialTCP(t, l)
			for i := range len(c.parts) {
				_, before := l.QuietSince()
				send(t, conn, c.parts[i:i+1])
				reach(t, "a byte is read", func() bool { return lastRead(l) > before })
			}
			c.speak(conn)
			closedByPeer(t, conn)
			wantRefused(t, l, c.want, 1)
			reach(t, "the connection's end", func() bool { return l.Status().Connections == 0 })
			if sink.Received() != 0 {
				t.Errorf("%d messages received, want none", sink.Received())
			}
		})
	}
}

// lastRead returns when something was read last on connections that are open.
func lastRead(l *stream.TCP) (last time.Duration) {
	since, _ := l.QuietSince()
	for _, quiet := range since {
		last = max(last, quiet)
	}
	return last
}

// Each kind of input has just the reasons that it can have, from the start.
func TestRefusalsFromTheStart(t *testing.T) {
	plain := []string{"idle", "not_allowed", "speaks_other", "speaks_tls", "too_many", "too_many_from_source", "too_slow"}
	l := listenTCP(t, newHoldSink(false), stream.TCPOptions{})
	if got := slices.Sorted(maps.Keys(l.Status().Refused)); !slices.Equal(got, plain) {
		t.Errorf("plain: %q, want %q", got, plain)
	}
	d := newTLSDir(t)
	l = startTLS(t, newHoldSink(false), loadCredentials(t, d.options()), stream.TCPOptions{})
	if got := l.Status().Refused; len(got) != int(stream.NumRefusals)-2 { // admitted, and what speaks TLS
		t.Errorf("TLS: %d reasons, want %d: %v", len(got), stream.NumRefusals-2, got)
	}
}

// A real HTTP client asks again on its own; one at least is counted.
func TestHTTPClientAtThePlainPort(t *testing.T) {
	l := listenTCP(t, newHoldSink(false), stream.TCPOptions{})
	start(t, l)
	if r, err := http.Get("http://" + l.Addr().String() + "/metrics"); err == nil {
		r.Body.Close()
		t.Error("an answer")
	}
	reach(t, "it is named", func() bool { return l.Refused(stream.SpeaksOther) > 0 })
}

// What only begins like another protocol is syslog, at the end of the connection too.
func TestBeginningOfAGreetingIsAMessage(t *testing.T) {
	sink := newHoldSink(false)
	l := listenTCP(t, sink, stream.TCPOptions{})
	start(t, l)
	for _, stream := range []string{"GE", "\r\n\r\n", "SSH\n<30>x\n"} {
		c := dialTCP(t, l)
		send(t, c, stream)
		c.Close()
	}
	reach(t, "1 + 2 + 2 messages", func() bool { return sink.Received() == 5 })
	if n := sum(l.Status().Refused); n != 0 {
		t.Errorf("%d refused", n)
	}
}

// One source has its own limit, and the others don't notice. IPv6 sources are networks of 64 bits.
func TestConnectionsPerSource(t *testing.T) {
	sink := newHoldSink(false)
	l := listenTCP(t, sink, stream.TCPOptions{MaxConnections: 10, MaxPerSource: 3})
	start(t, l)
	greedy := net.IPv4(127, 0, 0, 2)
	var held []*net.TCPConn
	for range 3 {
		held = append(held, dialFrom(t, l, greedy))
	}
	reach(t, "three are open", func() bool { return l.Status().Connections == 3 })
	for range 5 {
		closedByPeer(t, dialFrom(t, l, greedy))
	}
	wantRefused(t, l, stream.TooManyFromSource, 5)
	send(t, dialTCP(t, l), "<30>from another address\n")
	reach(t, "the other's message", func() bool { return sink.Received() == 1 })
	held[0].Close()
	reach(t, "one has ended", func() bool { return l.Status().Connections == 3 })
	send(t, dialFrom(t, l, greedy), "<30>one more\n")
	reach(t, "its place is free again", func() bool { return sink.Received() == 2 })
}

// FAULTS T10: a message that takes too long ends its connection, however often a byte of it comes; one that is quiet between messages stays.
func TestSlowMessage(t *testing.T) {
	t.Parallel()
	for _, slow := range []string{"<", "1", "9999 ", strings.Repeat("x", 17000), "20000 x"} { // line, count, frame, skipped line, skipped frame
		t.Run(slow[:min(5, len(slow))], func(t *testing.T) {
			t.Parallel()
			sink := newHoldSink(false)
			l := listenTCP(t, sink, stream.TCPOptions{MessageTimeout: 200 * time.Millisecond})
			start(t, l)
			quiet, dribbling := dialTCP(t, l), dialTCP(t, l)
			send(t, quiet, "<30>first\n")
			send(t, dribbling, slow)
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			var err error
			for n := 0; err == nil && l.Refused(stream.TooSlow) == 0; n++ {
				if n == 1000 {
					t.Fatal("the slow one is still open after 10 s")
				}
				<-tick.C
				if slow != "1" { // which would become a number that is too long
					_, err = dribbling.Write([]byte("x"))
				}
			}
			wantRefused(t, l, stream.TooSlow, 1)
			send(t, quiet, "<30>second\n")
			// The slow one's is discarded, as incomplete or, where it was being skipped, as oversized.
			reach(t, "the other's messages", func() bool { return sink.Received() == 2+1 && l.Status().Connections == 1 })
		})
	}
}

// FAULTS T15: peers that vanish are found by keepalive, or because they acknowledge nothing; both in two minutes. That the kernel does
// what it was asked to isn't tested: it would take these two minutes, and a network that can be cut.
func TestVanishedPeersAreLookedFor(t *testing.T) {
	l := listenTCP(t, newHoldSink(false), stream.TCPOptions{})
	dialTCP(t, l)
	conn, err := l.Listener().Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][3]int{ // level, option, value
		"SO_KEEPALIVE":     {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"TCP_KEEPIDLE":     {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},
		"TCP_KEEPINTVL":    {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		"TCP_KEEPCNT":      {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4},
		"TCP_USER_TIMEOUT": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 120_000},
	}
	if err := raw.Control(func(fd uintptr) {
		for name, o := range want {
			if got, err := unix.GetsockoptInt(int(fd), o[0], o[1]); err != nil || got != o[2] {
				t.Errorf("%s: %d, %v; want %d", name, got, err, o[2])
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// FAULTS T13: while one sender sends as much as it can, without end, fifty others get all their messages through. What makes it so is that
// one read takes 64 KiB at most, after which it is anybody's turn.
func TestFloodStarvesNobody(t *testing.T) {
	var flooded, others, largest atomic.Int64 // slabs of the flood, messages of the others, bytes of a slab
	sink := newHoldSink(false)
	sink.On = func(_ *receiver.Source, s *receiver.Slab) {
		size := int64(0)
		for _, m := range s.Messages {
			size += int64(len(m))
			if bytes.HasPrefix(m, []byte("<30>other")) {
				others.Add(1)
			}
		}
		if len(s.Messages) > 0 && bytes.HasPrefix(s.Messages[0], []byte("<30>flood")) {
			flooded.Add(1)
		}
		largest.Store(max(largest.Load(), size))
	}
	l := listenTCP(t, sink, stream.TCPOptions{})
	start(t, l)
	flood := dialFrom(t, l, net.IPv4(127, 0, 0, 2))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		block := bytes.Repeat([]byte("<30>flood of messages that doesn't end\n"), 30000) // 1.2 MB
		for {
			if _, err := flood.Write(block); err != nil {
				return
			}
		}
	}()
	reach(t, "the flood has begun", func() bool { return flooded.Load() > 10 })
	var conns []*net.TCPConn
	for range 50 {
		conns = append(conns, dialTCP(t, l))
	}
	for round := range 10 {
		before := flooded.Load()
		for _, c := range conns {
			send(t, c, fmt.Sprintf("<30>other %d\n", round))
		}
		reach(t, "the others' messages", func() bool { return others.Load() == int64(50*(round+1)) })
		t.Logf("round %d: %d slabs of the flood meanwhile", round, flooded.Load()-before)
	}
	before := flooded.Load()
	reach(t, "the flood goes on", func() bool { return flooded.Load() > before })
	if n := largest.Load(); n > stream.FramerMax {
		t.Errorf("a slab of %d bytes, want at most %d", n, stream.FramerMax)
	}
	flood.Close()
	<-ended
}

// FAULTS T10, T11: many connections that are idle, slow, or too many; messages over UDP and over a connection that was there before
// pass all the while. What a connection costs is bounded: 4 KiB of buffer and what Go and the kernel need.
func TestManyConnections(t *testing.T) {
	n := testenv.Tortured(500, 10000)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if need := uint64(n + n/5 + 1000); limit.Cur < need {
		t.Fatalf("TORTURE needs %d open files, the limit is %d: raise it with ulimit -n", need, limit.Cur)
	}
	sink := newHoldSink(false)
	most := n / 5
	l := listenTCP(t, sink, stream.TCPOptions{MaxConnections: most, MaxPerSource: most + 1})
	start(t, l)
	udp, err := datagram.ListenUDP("127.0.0.1:0", receiver.Source{Input: "udp", Name: "udp"}, sink, datagram.UDPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	start(t, udp)
	datagrams, err := net.Dial("udp", udp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	before := dialTCP(t, l)
	send(t, before, "<30>before\n")
	send(t, datagrams, "<30>before, over UDP")
	reach(t, "both inputs run", func() bool { return sink.Received() == 2 }) // with all goroutines that they have
	goroutines := runtime.NumGoroutine()

	var conns []*net.TCPConn
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	at := memory.HeapAlloc
	for i := range n {
		c := dialTCP(t, l)
		if i%2 == 1 && i < most-1 {
			send(t, c, "<30>half")
		}
		conns = append(conns, c)
	}
	reach(t, "as many are open as may be, the rest refused", func() bool {
		return l.Status().Connections == most && l.Refused(stream.TooMany) == uint64(n-most+1)
	})
	runtime.ReadMemStats(&memory)
	t.Logf("%d connections, %d of them open: %d bytes of heap for each", n, most, int64(memory.HeapAlloc-at)/int64(n))
	send(t, before, "<30>meanwhile\n")
	send(t, datagrams, "<30>meanwhile, over UDP")
	reach(t, "both", func() bool { return sink.Received() == 4 })
	for _, c := range conns {
		_ = c.SetLinger(0)
		c.Close()
	}
	reach(t, "all have ended", func() bool { return l.Status().Connections == 1 && runtime.NumGoroutine() <= goroutines })
}
