//go:build linux

package stream

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
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
	reach(t, "ten are open", func() bool { return l.Status().Connections == 10 })
	for range 30 {
		closedByPeer(t, dialTCP(t, l))
	}
	wantRefused(t, l, TooMany, 30)
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
		opt   TCPOptions
		quiet string // what the connection that goes has sent
	}{
		{"after its last message", TCPOptions{MaxConnections: 3, IdleTimeout: time.Millisecond}, "<30>x\n"},
		{"without any", TCPOptions{MaxConnections: 3, MessageTimeout: time.Nanosecond}, ""},
		{"of one source", TCPOptions{MaxPerSource: 3, IdleTimeout: time.Millisecond}, "<30>x\n"},
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
			wantRefused(t, l, Idle, 1)
			if l.Status().Connections != 3 {
				t.Errorf("%d open, want 3", l.Status().Connections)
			}
		})
	}
}

// idleFor returns for how long the quietest connection has been quiet.
func idleFor(l *TCP) (longest time.Duration) {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	for v := range l.gate.visitors {
		longest = max(longest, time.Duration(l.gate.clock(time.Now())-v.quiet.Load()))
	}
	return longest
}

// setWall returns the same moment by the monotonic clock with another wall clock's time, which time.Now gives when the machine's clock was
// set: the seconds are in the upper bits of its first word (time.Time).
func setWall(now time.Time, by time.Duration) time.Time {
	words := (*[3]uint64)(unsafe.Pointer(&now))
	words[0] += uint64(by/time.Second) << 30
	return now
}

// Who makes room doesn't depend on the machine's clock being set, by an hour, a year, or to 1970, and nobody is safe for ever.
func TestASetClockClosesNoConnection(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 365 * 24 * time.Hour, -56 * 365 * 24 * time.Hour} {
		g := newGate(TCPOptions{MaxConnections: 1, MaxPerSource: 1, IdleTimeout: 10 * time.Minute, MessageTimeout: time.Minute, MaxHandshakes: 8})
		t0 := time.Now()
		enter := func(now time.Time) (Refusal, bool) {
			_, madeRoom, reason := g.enter(&fakeConn{from: net.IPv4(10, 0, 0, byte(1+len(g.visitors)))}, now)
			return reason, madeRoom
		}
		if reason, _ := enter(t0); reason != Admitted {
			t.Fatal(reason)
		}
		soon, later := setWall(t0.Add(time.Second), by), setWall(t0.Add(time.Hour), by)
		if d := soon.Sub(t0); d != time.Second || soon.Unix()-t0.Unix() < int64(by/time.Second) {
			t.Fatalf("the clock could not be set: %v by %v", d, by)
		}
		if reason, madeRoom := enter(soon); reason == Admitted || madeRoom {
			t.Errorf("set by %v: a connection that spoke a second ago made room", by)
		}
		if reason, madeRoom := enter(later); reason != Admitted || !madeRoom {
			t.Errorf("set by %v: one that was quiet for an hour made no room: %v", by, reason)
		}
	}
}

// Those that have not been quiet for long don't make room, and those of other sources don't for one with too many.
func TestWhoMakesRoom(t *testing.T) {
	t0 := time.Now()
	a, b := net.IPv4(10, 0, 0, 1), net.IPv4(10, 0, 0, 2)
	opt := TCPOptions{MaxConnections: 4, MaxPerSource: 3, IdleTimeout: time.Hour, MessageTimeout: time.Minute, MaxHandshakes: 8}
	g := newGate(opt)
	enter := func(from net.IP, at time.Time) (*visitor, Refusal) {
		v, madeRoom, reason := g.enter(&fakeConn{from: from}, at)
		if madeRoom != (reason == Admitted && at.After(t0)) {
			t.Errorf("made room: %t, %v", madeRoom, reason)
		}
		return v, reason
	}
	var in []*visitor
	for _, from := range []net.IP{a, a, a, b} {
		v, reason := enter(from, t0)
		if reason != Admitted {
			t.Fatal(reason)
		}
		in = append(in, v)
	}
	spoke := func(i int, quiet time.Time) {
		in[i].spoke.Store(true)
		in[i].quiet.Store(g.clock(quiet))
	}
	spoke(0, t0)
	spoke(1, t0.Add(time.Second))
	spoke(2, t0.Add(time.Second))
	spoke(3, t0.Add(-time.Hour))
	if _, reason := enter(a, t0.Add(time.Hour-1)); reason != TooManyFromSource {
		t.Errorf("%v, want too many from the source: b's are not its own", reason)
	}
	if _, reason := enter(a, t0.Add(time.Hour)); reason != Admitted || !in[0].conn.(*fakeConn).closed || in[3].conn.(*fakeConn).closed {
		t.Errorf("%v; want the first of a to have gone", reason)
	}
	if _, reason := enter(b, t0.Add(time.Hour)); reason != Admitted || !in[3].conn.(*fakeConn).closed {
		t.Errorf("%v; want b's own to have gone, the quietest of all", reason)
	}
	if n := g.connections(); n != 4 {
		t.Errorf("%d open, want 4", n)
	}
	g.leave(in[0]) // who had to go is counted out once
	if n := g.connections(); n != 4 {
		t.Errorf("%d open after one left that was gone, want 4", n)
	}
}

// fakeConn is a connection that comes from somewhere.
type fakeConn struct {
	net.Conn
	from   net.IP
	closed bool
}

func (f *fakeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: f.from} }
func (f *fakeConn) Close() error         { f.closed = true; return nil }

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
	during := dialTCP(t, l)
	send(t, during, "<30>during\n")
	reach(t, "accept has failed", func() bool { return l.acceptErrors.Load() > 0 })
	began := time.Now()
	reach(t, "accept has failed six times", func() bool { return l.acceptErrors.Load() >= 6 })
	took := time.Since(began)
	// Pauses of 5+10+20+40+80 ms lie between the first failure and the sixth.
	if took < 140*time.Millisecond {
		t.Errorf("six failures in %v: accept isn't held back", took)
	}
	if n := l.acceptErrors.Load(); n > 8 {
		t.Errorf("%d failures, want about 6", n)
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
	l := listenTCP(t, newHoldSink(false), TCPOptions{})
	second, err := ListenTCP(l.Addr().String(), receiver.Source{Name: "test"}, newHoldSink(false), TCPOptions{})
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
