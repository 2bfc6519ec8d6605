//go:build linux

package stream_test

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
)

// FAULTS T11: too many connections are closed and counted; those that are open don't notice, and a place that becomes free is taken.
func TestTCPConnectionLimit(t *testing.T) {
	sink := newHoldSink(false)
	l := listenTCP(t, sink, stream.TCPOptions{MaxConnections: 10})
	start(t, l)
	var conns []net.Conn
	for range 10 {
		conns = append(conns, dialTCP(t, l))
	}
	reach(t, "ten are open", func() bool { return l.Status().Connections == 10 })
	for range 30 {
		closedByPeer(t, dialTCP(t, l))
	}
	wantRefused(t, l, stream.TooMany, 30)
	if l.Status().Connections != 10 {
		t.Errorf("%d open, want 10", l.Status().Connections)
	}
	for _, c := range conns {
		send(t, c, "<30>still here\n")
	}
	reach(t, "the open ones are read", func() bool { return sink.Received() == 10 })
	conns[0].Close()
	reach(t, "one has ended", func() bool { return l.Status().Connections == 9 })
	send(t, dialTCP(t, l), "<30>new\n")
	reach(t, "the new one is read", func() bool { return sink.Received() == 11 })
}

// FAULTS T10: a connection that is quiet stays as long as there is room, since a forwarder whose connection is closed loses what it writes
// next (rsyslog over TLS), or waits for a minute (syslog-ng). Where there is none, the quietest one goes that has been quiet for too long.
func TestTCPIdleConnectionMakesRoom(t *testing.T) {
	for _, c := range []struct {
		name  string
		opt   stream.TCPOptions
		quiet string // what the connection that goes has sent
	}{
		{"after its last message", stream.TCPOptions{MaxConnections: 3, IdleTimeout: time.Millisecond}, "<30>x\n"},
		{"without any", stream.TCPOptions{MaxConnections: 3, MessageTimeout: time.Nanosecond}, ""},
		{"of one source", stream.TCPOptions{MaxPerSource: 3, IdleTimeout: time.Millisecond}, "<30>x\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sink := newHoldSink(false)
			l := listenTCP(t, sink, c.opt)
			start(t, l)
			busy := dialTCP(t, l)
			send(t, busy, "<30>x\n")
			reach(t, "the first message", func() bool { return sink.Received() == 1 })
			quiet := dialTCP(t, l)
			send(t, quiet, c.quiet)
			n := uint64(1 + len(c.quiet)/len("<30>x\n"))
			reach(t, "two are there", func() bool { return l.Status().Connections == 2 && sink.Received() == n })
			dialTCP(t, l)
			reach(t, "all places are taken", func() bool { return l.Status().Connections == 3 && idleFor(l) > 2*time.Millisecond })
			send(t, busy, "<30>y\n")
			reach(t, "the busy one's message", func() bool { return sink.Received() == n+1 })
			send(t, dialTCP(t, l), "<30>new\n")
			closedByPeer(t, quiet)
			reach(t, "the new one's message", func() bool { return sink.Received() == n+2 })
			send(t, busy, "<30>z\n")
			reach(t, "the busy one's third", func() bool { return sink.Received() == n+3 })
			wantRefused(t, l, stream.Idle, 1)
			if l.Status().Connections != 3 {
				t.Errorf("%d open, want 3", l.Status().Connections)
			}
		})
	}
}

// idleFor returns for how long the quietest connection has been quiet.
func idleFor(l *stream.TCP) (longest time.Duration) {
	since, now := l.QuietSince()
	for _, quiet := range since {
		longest = max(longest, now-quiet)
	}
	return longest
}

// FAULTS T12: without a free descriptor accept fails at once, again and again. That must burn no CPU, and be over when there is one.
// The limit is the whole process's, so the test runs in one of its own.
func TestTCPOutOfDescriptors(t *testing.T) {
	const child = "RECEIVER_TEST_OUT_OF_DESCRIPTORS"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTCPOutOfDescriptors$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	sink := newHoldSink(false)
	l := listenTCP(t, sink, stream.TCPOptions{})
	start(t, l)
	before := dialTCP(t, l)
	send(t, before, "<30>before\n")
	reach(t, "the first message", func() bool { return sink.Received() == 1 })

	// The client's end must exist, so descriptors are used up until one is left, and the limit is where they end.
	dup, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(dup) // the lowest that is free: the client's end gets it
	limit := unix.Rlimit{Cur: uint64(dup) + 1, Max: uint64(dup) + 1000}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	during := dialTCP(t, l)
	send(t, during, "<30>during\n")
	reach(t, "accept has failed six times", func() bool { return l.AcceptErrors() >= 6 })
	// Pauses of 5+10+20+40+80 ms lie between the first failure and the sixth, the next one is of 160 ms, and so on.
	n := l.AcceptErrors()
	took, least := time.Since(began), time.Duration(5*(1<<min(n-1, 8)-1))*time.Millisecond
	if took < least {
		t.Errorf("%d failures in %v, want at least %v: accept isn't held back", n, took, least)
	}
	send(t, before, "<30>meanwhile\n")
	reach(t, "open connections are read meanwhile", func() bool { return sink.Received() == 2 })
	limit.Cur += 100
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	reach(t, "the connection that had to wait is read", func() bool { return sink.Received() == 3 })
}

// A second instance is refused.
func TestTCPAddressInUse(t *testing.T) {
	l := listenTCP(t, newHoldSink(false), stream.TCPOptions{})
	second, err := stream.ListenTCP(l.Addr().String(), receiver.Source{Name: "test"}, newHoldSink(false), stream.TCPOptions{})
	if err == nil {
		second.Close()
		t.Fatal("the address was bound twice")
	}
	for _, want := range []string{"tcp", l.Addr().String(), "address already in use", "another rsyncd_exporter"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q doesn't say %q", err, want)
		}
	}
}
