//go:build linux

package datagram

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/receiver"
)

// FAULTS I7: each datagram has the address of the machine that it comes from, with a list of senders and without, at once and after it has
// waited for a busy pipeline. Two machines' datagrams in one batch have two.
func TestUDPSendersAddresses(t *testing.T) {
	inNetworkOfMachines(t, func() {
		for _, tt := range []struct {
			list *receiver.AllowList
			held bool
		}{{nil, false}, {allowList("10.9.9.0/24", "127.0.0.0/8", "::/0"), true}} {
			for _, b := range bounds {
				sink := newHoldSink(tt.held)
				u, err := ListenUDP(b.Listen, testSource, sink, UDPOptions{AllowFrom: tt.list})
				if err != nil {
					t.Fatal(err)
				}
				what := fmt.Sprintf("held %v, %v", tt.held, b)
				send(t, dialUDPFrom(t, b.From, b.To, u), what)
				if b.Listen == "0.0.0.0:0" {
					send(t, dialUDPFrom(t, "10.9.9.2", "10.9.9.2", u), "another "+what)
				}
				stop := start(t, u)
				if tt.held {
					reach(t, "it is offered, and then kept", func() bool { return sink.Offers() >= 2 })
					sink.Hold(false)
				}
				sink.WantFrom(t, what, b.Want)
				if b.Listen == "0.0.0.0:0" {
					sink.WantFrom(t, "another "+what, "10.9.9.2")
				}
				stop()
			}
		}
	})
}

func TestPassedUDPSendersAddresses(t *testing.T) {
	inNetworkOfMachines(t, func() {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{})
		sink := newHoldSink(false)
		u, err := PassedUDP(pass(t, duplicate(t, conn, err)), testSource, sink, UDPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start(t, u)
		send(t, dialUDPFrom(t, "10.9.9.1", "10.9.9.2", u), "<30>passed")
		sink.WantFrom(t, "<30>passed", "10.9.9.1")
	})
}

// A datagram's address costs no allocation.
func TestUDPAddressesAllocateNothing(t *testing.T) {
	inNetworkOfMachines(t, func() {
		sink := receivertest.NewCounter()
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
