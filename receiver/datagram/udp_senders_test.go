//go:build linux

package datagram

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/receiver"
)

// dialUDPFrom returns a socket that sends from an address of this machine to a port of another of its addresses.
func dialUDPFrom(t *testing.T, from, to string, u *UDP) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP(to), Port: u.Addr().(*net.UDPAddr).Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// FAULTS U8: what a sender that isn't on the list sends is counted and not looked at; the next one's is received. IPv4 senders are IPv4 on a
// socket for both families. A socket that only this machine reaches takes everything.
func TestUDPSendersThatAreNotAllowed(t *testing.T) {
	t.Parallel()
	const each = 300
	for _, tt := range []struct {
		listen         string
		list           []string
		within, beyond [2]string // from, to
	}{
		{"0.0.0.0:0", []string{"127.0.0.2/32", "::/0"}, [2]string{"127.0.0.2", "127.0.0.1"}, [2]string{"127.0.0.3", "127.0.0.1"}},
		{"[::]:0", []string{"127.0.0.2/32"}, [2]string{"127.0.0.2", "127.0.0.1"}, [2]string{"::1", "::1"}},
		{":0", []string{"::1/128"}, [2]string{"::1", "::1"}, [2]string{"127.0.0.1", "127.0.0.1"}},
		{"127.0.0.1:0", []string{"192.0.2.0/24"}, [2]string{"127.0.0.2", "127.0.0.1"}, [2]string{}},
		{"[::1]:0", []string{"192.0.2.0/24"}, [2]string{"::1", "::1"}, [2]string{}},
		{"0.0.0.0:0", nil, [2]string{"127.0.0.2", "127.0.0.1"}, [2]string{}},
	} {
		sink := newHoldSink(false)
		u, err := ListenUDP(tt.listen, testSource, sink, UDPOptions{Buffer: 8 << 20, AllowFrom: allowList(tt.list...)})
		if err != nil {
			t.Fatal(err)
		}
		stop := start(t, u)
		good := dialUDPFrom(t, tt.within[0], tt.within[1], u)
		var want []string
		refused := uint64(0)
		for i := range each {
			if tt.beyond[0] != "" {
				bad := dialUDPFrom(t, tt.beyond[0], tt.beyond[1], u) // from another port each time
				send(t, bad, "<30>refused")
				send(t, bad, strings.Repeat("x", receiver.MaxMessage+1)) // refused first, whatever its length
				bad.Close()
				refused += 2
			}
			want = append(want, fmt.Sprintf("<30>%d", i))
			send(t, good, want[i])
		}
		reach(t, "all received", func() bool { return sink.Received() == each+refused })
		stop()
		if got, discarded := sink.All(); !slices.Equal(got, want) || discarded[receiver.NotAllowed] != refused || discarded[receiver.Oversize] != 0 {
			t.Errorf("%s, %q: got %d messages, discarded %v; want %d, %d not allowed", tt.listen, tt.list, len(got), discarded, each, refused)
		}
	}
}

// FAULTS U9, U10: UDP knows nothing of duplicates and order. What arrives twice counts twice.
func TestUDPDuplicatesAndReorderedCount(t *testing.T) {
	sink := newHoldSink(false)
	u, conn := listenUDP(t, "127.0.0.1:0", sink, UDPOptions{Buffer: 1 << 20})
	start(t, u)
	const n = 200
	var want []string
	for i := range n {
		m := fmt.Sprintf("<30>%03d", i*37%n)
		send(t, conn, m)
		send(t, conn, m)
		want = append(want, m, m)
	}
	reach(t, "all received", func() bool { return sink.Received() == 2*n })
	if got, _ := sink.All(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// perSocket gives each of several sockets a sink of its own.
func perSocket(u *UDP) (sinks []*holdSink) {
	for _, s := range u.sockets {
		sink := newHoldSink(false)
		s.in.sink = sink
		sinks = append(sinks, sink)
	}
	return sinks
}

// socketCounts returns what each socket has delivered and what the kernel dropped at each.
func socketCounts(u *UDP, sinks []*holdSink) (received, drops []uint64) {
	for i, s := range u.sockets {
		received = append(received, sinks[i].Received())
		drops = append(drops, s.countedDrops())
	}
	return received, drops
}

func added(list []uint64) uint64 {
	total := uint64(0)
	for _, n := range list {
		total += n
	}
	return total
}

// FAULTS U5: what one sender sends from one port arrives at one of four sockets ([400,0,0,0]); many ports are spread over all. Sent =
// received + drops over all sockets, and while nobody reads the drops are exact, too.
func TestUDPSeveralSockets(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		u, conn := listenUDP(t, addr, nil, UDPOptions{Buffer: 64 << 10, Sockets: 4, AllowFrom: allowList(privateNets...)})
		sinks := perSocket(u)
		if len(u.sockets) != 4 {
			t.Fatalf("%d sockets, want 4", len(u.sockets))
		}
		for _, s := range u.sockets {
			if local, err := unix.Getsockname(s.in.fd); err != nil {
				t.Error(err)
			} else if port := portOf(local); port != u.Addr().(*net.UDPAddr).Port {
				t.Errorf("a socket is bound to port %d, want %v", port, u.Addr())
			}
		}
		const sent = 5000
		for range sent {
			send(t, conn, "<30>before anybody reads")
		}
		reach(t, "the one socket overflows", func() bool { return u.Status().Drops > 0 })
		stop := start(t, u)
		reach(t, "sent = received + drops", func() bool { r, d := socketCounts(u, sinks); return added(r)+added(d) == sent })
		r, d := socketCounts(u, sinks)
		slices.Sort(r)
		slices.Sort(d)
		if r[2] != 0 || d[2] != 0 || u.Status().Drops != d[3] {
			t.Errorf("%s: one port's datagrams: received %d, dropped %d; want one socket to have all", addr, r, d)
		}

		before := added(r)
		const ports, each = 400, 10
		for range ports {
			c := dialUDP(t, u.Addr())
			for range each {
				send(t, c, "<30>spread")
			}
			c.Close()
		}
		reach(t, "all received", func() bool { r, d := socketCounts(u, sinks); return added(r)+added(d) == sent+ports*each })
		r, _ = socketCounts(u, sinks)
		if slices.Min(r) == 0 {
			t.Errorf("%s: %d ports' datagrams: received %d, want some at each socket", addr, ports, r)
		}
		drops := u.Status().Drops
		stop()
		if r, _ := socketCounts(u, sinks); u.Status().Drops != drops || added(r) <= before {
			t.Errorf("%s: drops %d after the end, %d before", addr, u.Status().Drops, drops)
		}
	}
}

func portOf(sa unix.Sockaddr) int {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return sa.Port
	case *unix.SockaddrInet6:
		return sa.Port
	}
	return 0
}

// FAULTS U14 for several sockets: what is queued in each is read before it closes.
func TestUDPSeveralSocketsQueuedAtShutdown(t *testing.T) {
	u, _ := listenUDP(t, "127.0.0.1:0", nil, UDPOptions{Buffer: 4 << 20, Sockets: 3})
	sinks := perSocket(u)
	const sent = 1000
	arrive(t, descriptors(u), sent, func(int) {
		c := dialUDP(t, u.Addr())
		send(t, c, "<30>queued")
		c.Close()
	})
	start(t, u)() // stopped before it has begun
	if r, _ := socketCounts(u, sinks); added(r)+u.Status().Drops != sent || slices.Min(r) == 0 {
		t.Errorf("received %d, dropped %d; want %d in all, some at each", r, u.Status().Drops, sent)
	}
}

// FAULTS U15: a second instance is refused, with one socket or several, also of two that start at the same moment, and also when
// the first is a program that shares its address with everybody of its user.
func TestUDPSecondInstanceIsRefused(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)) // nobody else gets it when it is free
	for _, mine := range []int{1, 4} {
		u, _ := listenUDP(t, address, newHoldSink(false), UDPOptions{Sockets: mine})
		for _, theirs := range []int{1, 4} {
			if second, err := ListenUDP(u.Addr().String(), testSource, newHoldSink(false), UDPOptions{Sockets: theirs}); err == nil {
				second.Close()
				t.Errorf("a second instance with %d sockets got in beside one with %d", theirs, mine)
			} else if !strings.Contains(err.Error(), "another rsyncd_exporter") {
				t.Error(err)
			}
		}
		if out, err := listenElsewhere(t, u.Addr().String()); err == nil || !strings.Contains(out, "another rsyncd_exporter") {
			t.Errorf("a second process with 4 sockets beside one with %d: %v, %s", mine, err, out)
		}
		u.Close()
		if out, err := listenElsewhere(t, u.Addr().String()); err != nil {
			t.Errorf("a process that comes after the first has gone: %v, %s", err, out)
		}
	}

	fd, _, err := bindUDPSocket("127.0.0.1:0", shareAddress)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	local, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := ListenUDP(fmt.Sprintf("127.0.0.1:%d", portOf(local)), testSource, newHoldSink(false), UDPOptions{Sockets: 2}); err == nil {
		u.Close()
		t.Error("it shares the address of a foreign program")
	}
}

func TestUDPOfTwoThatStartAtOnceOneGetsIn(t *testing.T) {
	addr := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	for range 100 {
		var in atomic.Int32
		var all sync.WaitGroup
		begin := make(chan struct{})
		var opened [4]*UDP
		for i := range opened {
			all.Go(func() {
				<-begin
				if u, err := ListenUDP(addr, testSource, newHoldSink(false), UDPOptions{Sockets: 1 + i}); err == nil {
					opened[i] = u
					in.Add(1)
				}
			})
		}
		close(begin)
		all.Wait()
		for _, u := range opened {
			if u != nil {
				u.Close()
			}
		}
		if in.Load() != 1 {
			t.Fatalf("%d of 4 got in, want 1", in.Load())
		}
	}
}

// listenElsewhere has another process listen at addr with 4 sockets, and end.
func listenElsewhere(t *testing.T, addr string) (output string, err error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestUDPHelperListens$", "-test.v")
	cmd.Env = append(os.Environ(), "UDP_HELPER_ADDR="+addr, quickExit)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The other process of listenElsewhere; otherwise it tests nothing.
func TestUDPHelperListens(t *testing.T) {
	addr := os.Getenv("UDP_HELPER_ADDR")
	if addr == "" {
		return
	}
	u, err := ListenUDP(addr, testSource, newHoldSink(false), UDPOptions{Sockets: 4})
	if err != nil {
		t.Fatal(err)
	}
	u.Close()
}
