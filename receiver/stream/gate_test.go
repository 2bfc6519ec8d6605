package stream

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/receiver"
)

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

func (f *fakeConn) Close() error { f.closed = true; return nil }

func TestSourceOf(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.7":          "192.0.2.7",
		"::ffff:192.0.2.7":   "192.0.2.7",
		"2001:db8:1:2:3::4":  "2001:db8:1:2::",
		"2001:db8:1:2::ffff": "2001:db8:1:2::",
		"2001:db8:1:3::1":    "2001:db8:1:3::",
		"fe80::1%lo":         "fe80::",
		"::1":                "::",
	} {
		if got := limitKey(netip.MustParseAddr(peer)).String(); got != want {
			t.Errorf("%s: %s, want %s", peer, got, want)
		}
	}
}

// Sources are forgotten when their last connection has ended, or memory would grow with each address that ever came.
func TestGateForgetsSources(t *testing.T) {
	g := newGate(TCPOptions{MaxConnections: 1000, MaxPerSource: 2, MaxHandshakes: 8})
	var in []*visitor
	for i := range 100 {
		for range 2 {
			v, _, reason := g.enter(&fakeConn{from: net.IPv4(10, 0, 0, byte(i))}, time.Unix(1, 0))
			if reason != Admitted {
				t.Fatal(reason)
			}
			in = append(in, v)
		}
	}
	for _, v := range in {
		g.leave(v)
	}
	if len(g.senders) != 0 || g.connections() != 0 {
		t.Errorf("%d sources and %d connections left", len(g.senders), g.connections())
	}
}

// One that is always in the middle of a message has time for each of them.
func TestDeadlines(t *testing.T) {
	var in framer
	var slab receiver.Slab
	sink := receivertest.NewCounter()
	due := deadlines{message: 30 * time.Second, rest: time.Minute}
	t0 := time.Unix(1_000_000, 0)
	for i, c := range []struct {
		at    time.Duration
		bytes string
		want  time.Duration // since t0
	}{
		{0, "", time.Minute},
		{time.Second, "<30>be", 31 * time.Second},
		{20 * time.Second, "gin", 31 * time.Second},
		{30 * time.Second, "ning\n<30>nex", 60 * time.Second},
		{59 * time.Second, "t\n<30>third", 89 * time.Second},
		{80 * time.Second, "\n", 140 * time.Second},
		{139 * time.Second, strings.Repeat("x", receiver.MaxMessage+1), 169 * time.Second},
		{150 * time.Second, strings.Repeat("x", 19999), 169 * time.Second},
		{160 * time.Second, "x\n<3", 190 * time.Second}, // the skipped line's last byte, and the next one's first
		{180 * time.Second, "0>message.\n", 240 * time.Second},
	} {
		for rest := c.bytes; rest != ""; {
			n := copy(in.space(), rest)
			rest = rest[n:]
			in.advance(n)
			if err := in.deliver(nil, sink, &slab, 1); err != nil {
				t.Fatal(err)
			}
		}
		if got := due.next(&in, t0.Add(c.at)).Sub(t0); got != c.want {
			t.Errorf("row %d: until %v, want %v", i, got, c.want)
		}
	}
}
