//go:build linux

package receiver

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// addressSink keeps where each message came from, by its text, which is all of it.
type addressSink struct {
	mu      sync.Mutex
	held    bool
	refused int
	from    map[string]netip.Addr
}

// senderOf says who sent a slab's message.
func senderOf(src *Source, slab *Slab, i int) Sender {
	if len(slab.Senders) == 0 {
		return Sender{Addr: slab.Peer, Scope: src.Scope}
	}
	return slab.Senders[i]
}

func (s *addressSink) TryDeliver(src *Source, slab *Slab) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held {
		s.refused++
	} else {
		for i, m := range slab.Messages {
			s.from[strings.TrimSpace(string(m))] = senderOf(src, slab, i).Addr
		}
	}
	return !s.held
}

func (s *addressSink) Deliver(src *Source, slab *Slab) { s.TryDeliver(src, slab) }

func (s *addressSink) hold(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
}

func (s *addressSink) offers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// of waits for a message and returns where it came from.
func (s *addressSink) of(t *testing.T, text string) (from netip.Addr) {
	t.Helper()
	reach(t, "message "+text, func() (ok bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		from, ok = s.from[text]
		return ok
	})
	return from
}

// otherMachines are addresses that no loopback address is.
var otherMachines = []string{"10.9.9.1", "10.9.9.2", "2001:db8::1"}

// inNetworkOfMachines is inNetwork with otherMachines' addresses, so that messages can come from there.
func inNetworkOfMachines(t *testing.T, f func()) {
	t.Helper()
	inNetwork(t, 65536, func() {
		for i, m := range otherMachines {
			addr := netip.MustParseAddr(m)
			if addr.Is4() {
				setInterface(t, fmt.Sprintf("lo:%d", i+1), unix.SIOCSIFADDR, func(ifr *unix.Ifreq) { _ = ifr.SetInet4Addr(addr.AsSlice()) })
				continue
			}
			fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			// struct in6_ifreq, linux/ipv6.h; loopback is interface 1 of each network
			ifr := struct {
				addr      [16]byte
				prefixLen uint32
				index     int32
			}{addr.As16(), 128, 1}
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&ifr)))
			unix.Close(fd)
			if errno != 0 {
				t.Fatal(errno)
			}
			reach(t, "the address is there", func() bool { // duplicate address detection has nothing to do here, but does it later
				c, err := net.ListenUDP("udp", &net.UDPAddr{IP: addr.AsSlice()})
				if err == nil {
					c.Close()
				}
				return err == nil
			})
		}
		f()
	})
}

// bounds are how a message can travel from one address to another, and the address that it is from.
var bounds = []struct{ listen, from, to, want string }{
	{"0.0.0.0:0", "10.9.9.1", "10.9.9.2", "10.9.9.1"},
	{"0.0.0.0:0", "127.0.0.1", "127.0.0.1", ""},
	{"10.9.9.1:0", "10.9.9.2", "10.9.9.1", "10.9.9.2"},
	{"[::]:0", "10.9.9.1", "10.9.9.1", "10.9.9.1"}, // IPv4-mapped in the kernel's eyes
	{"[::]:0", "127.0.0.2", "127.0.0.1", ""},
	{"[::]:0", "2001:db8::1", "2001:db8::1", "2001:db8::1"},
	{"[::]:0", "::1", "::1", ""},
	{"127.0.0.1:0", "127.0.0.1", "127.0.0.1", ""},
}

func (s *addressSink) want(t *testing.T, what, want string) {
	t.Helper()
	addr, _ := netip.ParseAddr(want)
	if got := s.of(t, what); got != addr {
		t.Errorf("%s: from %v, want %v", what, got, addr)
	}
}

// FAULTS I7: each datagram has the address of the machine that it comes from, with a list of senders and without, at once and after it has
// waited for a busy pipeline. Two machines' datagrams in one batch have two.
func TestUDPSendersAddresses(t *testing.T) {
	inNetworkOfMachines(t, func() {
		for _, tt := range []struct {
			list *AllowList
			held bool
		}{{nil, false}, {allowList("10.9.9.0/24", "127.0.0.0/8", "::/0"), true}} {
			for _, b := range bounds {
				sink := &addressSink{from: map[string]netip.Addr{}, held: tt.held}
				u, err := ListenUDP(b.listen, testSource, sink, UDPOptions{AllowFrom: tt.list})
				if err != nil {
					t.Fatal(err)
				}
				what := fmt.Sprintf("held %v, %v", tt.held, b)
				send(t, dialUDPFrom(t, b.from, b.to, u), what)
				if b.listen == "0.0.0.0:0" {
					send(t, dialUDPFrom(t, "10.9.9.2", "10.9.9.2", u), "another "+what)
				}
				stop := start(t, u)
				if tt.held {
					reach(t, "it is offered, and then kept", func() bool { return sink.offers() >= 2 })
					sink.hold(false)
				}
				sink.want(t, what, b.want)
				if b.listen == "0.0.0.0:0" {
					sink.want(t, "another "+what, "10.9.9.2")
				}
				stop()
			}
		}
	})
}

func TestPassedUDPSendersAddresses(t *testing.T) {
	inNetworkOfMachines(t, func() {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{})
		sink := &addressSink{from: map[string]netip.Addr{}}
		u, err := PassedUDP(pass(t, duplicate(t, conn, err)), testSource, sink, UDPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start(t, u)
		send(t, dialUDPFrom(t, "10.9.9.1", "10.9.9.2", u), "<30>passed")
		sink.want(t, "<30>passed", "10.9.9.1")
	})
}

// A stream has one peer, with every slab.
func TestTCPPeersAddress(t *testing.T) {
	inNetworkOfMachines(t, func() {
		for _, b := range bounds {
			sink := &addressSink{from: map[string]netip.Addr{}}
			l, err := ListenTCP(b.listen, Source{Input: "tcp", Name: "tcp"}, sink, TCPOptions{})
			if err != nil {
				t.Fatal(err)
			}
			stop := start(t, l)
			c := dialTCPFrom(t, b.from, b.to, l)
			for i := range 3 {
				what := fmt.Sprintf("<30>%d %v", i, b)
				send(t, c, what+"\n")
				sink.want(t, what, b.want)
			}
			stop()
		}
	})
}

func dialTCPFrom(t *testing.T, from, to string, l *TCP) net.Conn {
	t.Helper()
	c, err := net.DialTCP("tcp", &net.TCPAddr{IP: net.ParseIP(from)}, &net.TCPAddr{IP: net.ParseIP(to), Port: l.Addr().(*net.TCPAddr).Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The same through TLS, and through a listener that was passed.
func TestTLSAndPassedTCPPeersAddress(t *testing.T) {
	d := newTLSDir(t)
	inNetworkOfMachines(t, func() {
		passed, err := net.Listen("tcp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		sink := &addressSink{from: map[string]netip.Addr{}}
		plain, err := PassedTCP(pass(t, duplicate(t, passed.(*net.TCPListener), nil)), Source{Name: "tcp passed"}, sink, TCPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		secured, err := ListenTLS(":0", Source{Name: "tls"}, sink, loadCredentials(t, d.options()), TCPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start(t, plain)
		start(t, secured)
		send(t, dialTCPFrom(t, "10.9.9.1", "10.9.9.2", plain), "<30>passed\n")
		sink.want(t, "<30>passed", "10.9.9.1")
		c := tls.Client(dialTCPFrom(t, "10.9.9.2", "10.9.9.1", secured), d.client(d.pair("client")))
		send(t, c, "<30>secured\n")
		sink.want(t, "<30>secured", "10.9.9.2")
	})
}

func TestElsewhere(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::1", "2001:db8::1": "2001:db8::1",
		"127.0.0.53": "", "::1": "", "::ffff:127.0.0.1": ""} {
		wanted, _ := netip.ParseAddr(want)
		if got := elsewhere(netip.MustParseAddr(addr)); got != wanted {
			t.Errorf("elsewhere(%s) = %v, want %v", addr, got, wanted)
		}
	}
	if got := elsewhere(netip.Addr{}); got.IsValid() {
		t.Errorf("elsewhere of no address = %v", got)
	}
}

// A datagram's address costs no allocation.
func TestUDPAddressesAllocateNothing(t *testing.T) {
	inNetworkOfMachines(t, func() {
		sink := &switchSink{}
		u, err := ListenUDP("[::]:0", testSource, sink, UDPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		in := u.sockets[0].in
		for _, from := range []string{"10.9.9.1", "2001:db8::1"} {
			raw, err := dialUDPFrom(t, from, from, u).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			message := costMessageOf(os.Getpid())
			if cerr := raw.Control(func(fd uintptr) {
				if n := testing.AllocsPerRun(50, func() {
					for range 8 {
						_ = unix.Send(int(fd), message, unix.MSG_DONTWAIT)
					}
					for got := 0; got < 8; {
						n, errno := in.batch.recv(in.fd, true)
						if errno != 0 {
							t.Error(errno)
							return
						}
						in.take(n, 1)
						got += n
					}
				}); n != 0 {
					t.Errorf("from %s: %v allocations for 8 datagrams, want 0", from, n)
				}
			}); cerr != nil {
				t.Fatal(cerr)
			}
			if senderOf(in.src, &in.slab, 0).Addr != netip.MustParseAddr(from) {
				t.Errorf("from %v, want %s", senderOf(in.src, &in.slab, 0).Addr, from)
			}
		}
	})
}
