package datagram

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// Two lives on one UDP socket: the first leaves what it hasn't read, the second reads it, and drops are counted from where each began.
func TestPassedUDPTwoLives(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	held := duplicate(t, conn, err)
	src := receiver.Source{Input: "udp", Name: "udp passed"}
	open := func(sink receiver.TrySink, buffer int) *UDP {
		t.Helper()
		u, err := PassedUDP(pass(t, held), src, sink, UDPOptions{Buffer: buffer})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	first := newHoldSink(false)
	u := open(first, 0)
	stop := start(t, u)
	to := dialUDP(t, u.Addr())
	send(t, to, "<30>1")
	reach(t, "the first message", func() bool { return first.Received() == 1 })
	stop()

	limit := u.Status().Buffer
	sent := 4 * limit / 1000 // each takes more than 1000 bytes: most are dropped while nobody reads
	between := pass(t, held)
	defer unix.Close(between)
	arrive(t, []int{between}, sent, func(i int) { send(t, to, fmt.Sprintf("<30>%0996d", i)) })
	second := newHoldSink(true)
	u = open(second, 0)
	if n := u.Status().Drops; n != 0 {
		t.Errorf("%d drops at the start, want those before not to count", n)
	}
	if u.Status().Buffer != limit {
		t.Errorf("buffer of %d bytes, want %d as before", u.Status().Buffer, limit)
	}
	for range 10 {
		send(t, to, fmt.Sprintf("<30>%0996d", 0)) // as long as the others: a short one may find room
	}
	reach(t, "10 drops", func() bool { return u.Status().Drops >= 10 })
	if n := u.Status().Drops; n != 10 {
		t.Errorf("%d drops, want 10", n)
	}
	stop = start(t, u)
	second.Hold(false)
	reach(t, "what was queued", func() bool { return second.Received() > 0 && queued(t, u.sockets[0].in.fd) == 0 })
	stop()
	got, _ := second.All()
	if len(got) == 0 || len(got) >= sent || got[0] != fmt.Sprintf("<30>%0996d", 0) {
		t.Errorf("%d messages of %d, the first %.20q; want those that found room", len(got), sent, got)
	}
}

// A buffer that systemd has set, for which this process lacks the privilege, isn't made smaller by asking for more.
func TestPassedUDPKeepsALargeBuffer(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	held := duplicate(t, conn, err)
	fd := pass(t, held)
	large, err := setReceiveBuffer(fd, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	// Without CAP_NET_ADMIN asking again for as much leaves as much, which is the case that can be tested with and without it.
	u, err := PassedUDP(fd, receiver.Source{Name: "udp passed"}, newHoldSink(false), UDPOptions{Buffer: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if now, err := setReceiveBuffer(fd, 0); err != nil || now != large || u.Status().Buffer != large {
		t.Errorf("buffer of %d bytes (%d shown) after %d, %v", now, u.Status().Buffer, large, err)
	}
}

// The end of the input is not that of the socket: its file stays, senders notice nothing, and what they send waits.
func TestPassedUnixgramStaysOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	held := duplicate(t, conn, err)
	var to *net.UnixConn
	for life := range 3 {
		sink := newHoldSink(false)
		u, err := PassedUnixgram(pass(t, held), receiver.Source{Input: "unixgram", Name: "unixgram passed", Dialect: syslog.Auto{Local: true}}, sink, UnixgramOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if u.Addr().String() != path || !u.Status().InPlace {
			t.Errorf("address %v, in place: %v", u.Addr(), u.Status().InPlace)
		}
		if to == nil {
			to = dialUnixgram(t, u)
		}
		stop := start(t, u)
		reach(t, "what was sent between two lives", func() bool { return life == 0 || sink.Received() == 1 })
		send(t, to, "<30>now")
		reach(t, "a message", func() bool { got, _ := sink.All(); return len(got) > 0 && got[len(got)-1] == "<30>now" })
		turns := u.Turns()
		reach(t, "an idle reader goes around", func() bool { return u.Turns() >= turns+2 })
		stop()
		send(t, to, "<30>in between")
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path + ".lock"); err == nil {
		t.Error("a passed socket was locked")
	}
}

// Our own unix socket ends for senders before it is read a last time: what they could send was read.
func TestUnixgramShutdownUnderLoadLosesNothing(t *testing.T) {
	for range 20 {
		sink := newHoldSink(false)
		u := listenUnixgram(t, sink)
		stop := start(t, u)
		to := dialUnixgram(t, u)
		sent := make(chan uint64)
		go func() {
			n := uint64(0)
			for ; ; n++ {
				if _, err := fmt.Fprintf(to, "<30>%d", n); err != nil {
					sent <- n
					return
				}
			}
		}()
		reach(t, "traffic", func() bool { return sink.Received() > 100 })
		stop()
		if n := <-sent; sink.Received() != n {
			t.Fatalf("%d received of %d that were sent without an error", sink.Received(), n)
		}
	}
}

func TestPassedDescriptorsThatAreWrong(t *testing.T) {
	open := func() int {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	src, sink := receiver.Source{Name: "passed"}, newHoldSink(false)
	_, udp := PassedUDP(open(), src, sink, UDPOptions{})
	_, gram := PassedUnixgram(open(), src, sink, UnixgramOptions{})
	for what, err := range map[string]error{"UDP": udp, "unixgram": gram} {
		if err == nil || !strings.HasPrefix(err.Error(), "passed: passed descriptor ") {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

// At the end nothing more is read: what is queued is for the next process, who gets it at once instead of after a drain of two seconds.
func TestPassedSocketIsNotDrained(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	held := duplicate(t, conn, err)
	for life, want := range []uint64{0, 5} {
		sink := newHoldSink(false)
		u, err := PassedUDP(pass(t, held), receiver.Source{Name: "udp passed"}, sink, UDPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if life == 0 {
			for range 5 {
				send(t, dialUDP(t, u.Addr()), "<30>x")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := u.Run(ctx); err != nil {
				t.Fatal(err)
			}
		} else {
			start(t, u)
			reach(t, "what the first life has left", func() bool { return sink.Received() == want })
		}
		if got := sink.Received(); got != want {
			t.Errorf("life %d received %d messages, want %d", life, got, want)
		}
	}
}

// Of several readers that share an input, one that hangs stops the count, however busy the others are.
func TestTurnsOfSeveralReaders(t *testing.T) {
	var r rounds
	one, two := &datagrams{}, &datagrams{}
	readers := []*datagrams{one, two}
	before := r.count(readers)
	for range 3 {
		one.turns.Add(1000)
		if n := r.count(readers); n != before {
			t.Errorf("%d rounds with one reader that hangs, want %d", n, before)
		}
	}
	two.turns.Add(1)
	if n := r.count(readers); n != before+1 {
		t.Errorf("%d rounds, want %d", n, before+1)
	}
	one.turns.Add(1)
	two.turns.Add(1)
	if n := r.count(append(readers, &datagrams{})); n != before+2 {
		t.Errorf("%d rounds with a new reader, want %d", n, before+2)
	}
}

// Who may send is looked at on passed sockets, too.
func TestPassedSocketsHaveTheirLists(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{})
	sink := newHoldSink(false)
	u, err := PassedUDP(pass(t, duplicate(t, conn, err)), testSource, sink, UDPOptions{AllowFrom: allowList("127.0.0.2/32")})
	if err != nil {
		t.Fatal(err)
	}
	start(t, u)
	send(t, dialUDPFrom(t, "127.0.0.1", "127.0.0.1", u), "<30>refused")
	send(t, dialUDPFrom(t, "127.0.0.2", "127.0.0.1", u), "<30>allowed")
	reach(t, "both UDP messages", func() bool { return sink.Received() == 2 })
	if got, discarded := sink.All(); len(got) != 1 || got[0] != "<30>allowed" || discarded[receiver.NotAllowed] != 1 {
		t.Errorf("UDP: got %q, discarded %v", got, discarded)
	}

	path := filepath.Join(t.TempDir(), "log")
	gram, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	sink = newHoldSink(false)
	x, err := PassedUnixgram(pass(t, duplicate(t, gram, err)), testSource, sink, UnixgramOptions{Users: []uint32{65534}})
	if err != nil {
		t.Fatal(err)
	}
	start(t, x)
	c := dialUnixgram(t, x)
	send(t, c, "<30>refused")
	asUser(t, 65534, func() { _, _ = c.Write([]byte("<30>allowed")) })
	reach(t, "both unix messages", func() bool { return sink.Received() == 2 })
	if got, discarded := sink.All(); len(got) != 1 || got[0] != "<30>allowed" || discarded[receiver.NotAllowed] != 1 {
		t.Errorf("unixgram: got %q, discarded %v", got, discarded)
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if x.rebind() != nil || x.Status().Rebinds != 0 {
		t.Error("a passed socket's file was made again")
	}
}
