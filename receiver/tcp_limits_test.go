//go:build linux

package receiver

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// FAULTS T11: too many connections are closed and counted; those that are open don't notice, and a place that becomes free is taken.
func TestTCPConnectionLimit(t *testing.T) {
	sink := newHoldSink(false)
	l := listenTCP(t, sink, TCPOptions{MaxConnections: 10})
	start(t, l)
	var conns []net.Conn
	for range 10 {
		conns = append(conns, dialTCP(t, l))
	}
	reach(t, "ten are open", func() bool { return l.Connections() == 10 })
	for range 30 {
		closedByPeer(t, dialTCP(t, l))
	}
	wantRefused(t, l, TooMany, 30)
	if l.Connections() != 10 {
		t.Errorf("%d open, want 10", l.Connections())
	}
	for _, c := range conns {
		send(t, c, "<30>still here\n")
	}
	reach(t, "the open ones are read", func() bool { return sink.received() == 10 })
	conns[0].Close()
	reach(t, "one has ended", func() bool { return l.Connections() == 9 })
	send(t, dialTCP(t, l), "<30>new\n")
	reach(t, "the new one is read", func() bool { return sink.received() == 11 })
}

// FAULTS T10: a connection that says nothing is closed, one that says something now and then isn't.
func TestTCPIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	sink := newHoldSink(false)
	l := listenTCP(t, sink, TCPOptions{IdleTimeout: 300 * time.Millisecond})
	start(t, l)
	idle, busy := dialTCP(t, l), dialTCP(t, l)
	send(t, idle, "<30>half a line")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 12 { // twice the idle time
		send(t, busy, "x")
		<-tick.C
	}
	closedByPeer(t, idle)
	send(t, busy, "\n")
	reach(t, "the busy one's line, and the idle one's counted as incomplete", func() bool { return sink.received() == 2 })
	if got, discarded := sink.all(); len(got) != 1 || got[0] != strings.Repeat("x", 12) || discarded[Incomplete] != 1 {
		t.Errorf("got %q, %v", got, discarded)
	}
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
	l := listenTCP(t, sink, TCPOptions{})
	start(t, l)
	before := dialTCP(t, l)
	send(t, before, "<30>before\n")
	reach(t, "the first message", func() bool { return sink.received() == 1 })

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
	during := dialTCP(t, l)
	send(t, during, "<30>during\n")
	reach(t, "accept has failed", func() bool { return l.AcceptErrors() > 0 })
	began := time.Now()
	reach(t, "accept has failed six times", func() bool { return l.AcceptErrors() >= 6 })
	took := time.Since(began)
	// Pauses of 5+10+20+40+80 ms lie between the first failure and the sixth.
	if took < 140*time.Millisecond {
		t.Errorf("six failures in %v: accept isn't held back", took)
	}
	if n := l.AcceptErrors(); n > 8 {
		t.Errorf("%d failures, want about 6", n)
	}
	send(t, before, "<30>meanwhile\n")
	reach(t, "open connections are read meanwhile", func() bool { return sink.received() == 2 })
	limit.Cur += 100
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	reach(t, "the connection that had to wait is read", func() bool { return sink.received() == 3 })
}

// A second instance is refused.
func TestTCPAddressInUse(t *testing.T) {
	l := listenTCP(t, newHoldSink(false), TCPOptions{})
	second, err := ListenTCP(l.Addr().String(), testSource, newHoldSink(false), TCPOptions{})
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
