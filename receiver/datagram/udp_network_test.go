//go:build linux

package datagram

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/receiver"
)

// FAULTS U11: datagrams that travel in fragments arrive whole; of those whose last fragment is missing nothing is ever seen.
func TestUDPFragments(t *testing.T) {
	inNetwork(t, 1500, func() {
		sink := newHoldSink(false)
		u, conn := listenUDP(t, "127.0.0.1:0", sink, UDPOptions{Buffer: 4 << 20})
		start(t, u)
		raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(raw)
		var want []string
		for i := range 50 {
			if err := unix.Sendto(raw, firstFragment(uint16(0x4000+i), u.Addr().(*net.UDPAddr).Port), 0,
				&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
				t.Fatal(err)
			}
			m := fmt.Sprintf("<30>%d", i) + strings.Repeat("f", 4000) // three fragments
			send(t, conn, m)
			want = append(want, m)
		}
		reach(t, "the whole ones are received", func() bool { return sink.Received() == uint64(len(want)) })
		send(t, conn, "<30>last")
		reach(t, "and one more", func() bool { return sink.Received() == uint64(len(want))+1 })
		if got, discarded := sink.All(); !slices.Equal(got, append(want, "<30>last")) || u.Status().Drops != 0 {
			t.Errorf("got %d messages, discarded %v, dropped %d; want the %d whole ones and the last", len(got), discarded, u.Status().Drops, len(want))
		}
	})
}

// firstFragment is the first 32 bytes of a UDP datagram of 4000 to a port of 127.0.0.1, as an IP packet (RFC 791, RFC 768).
func firstFragment(id uint16, port int) []byte {
	payload := "<30>half of a message ..."[:24]
	b := make([]byte, 20+8, 20+8+len(payload))
	b[0] = 4<<4 | 5
	binary.BigEndian.PutUint16(b[2:], uint16(cap(b)))
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], 0x2000) // more fragments
	b[8], b[9] = 64, unix.IPPROTO_UDP
	copy(b[12:], []byte{127, 0, 0, 1, 127, 0, 0, 1})
	binary.BigEndian.PutUint16(b[20:], 9)
	binary.BigEndian.PutUint16(b[22:], uint16(port))
	binary.BigEndian.PutUint16(b[24:], 8+4000)
	return append(b, payload...)
}

// FAULTS U13: an address that isn't there yet is an error that says so. One that goes away while it is bound is no trouble, and when
// it comes back so do the messages.
func TestUDPAddressThatComesAndGoes(t *testing.T) {
	inNetwork(t, 65536, func() {
		const addr = "10.9.9.9:5514"
		sink := newHoldSink(false)
		if u, err := ListenUDP(addr, testSource, sink, UDPOptions{}); err == nil {
			u.Close()
			t.Fatal("an address that doesn't exist was bound")
		} else if !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "no interface of this machine has the address") {
			t.Error(err)
		}
		appear := func() {
			setInterface(t, "lo:1", unix.SIOCSIFADDR, func(ifr *unix.Ifreq) { _ = ifr.SetInet4Addr([]byte{10, 9, 9, 9}) })
		}
		appear()
		u, conn := listenUDP(t, addr, sink, UDPOptions{AllowFrom: allowList("10.9.9.9/32")})
		start(t, u)
		send(t, conn, "<30>before")
		reach(t, "the first message", func() bool { return sink.Received() == 1 })
		setInterface(t, "lo:1", unix.SIOCSIFFLAGS, func(ifr *unix.Ifreq) { ifr.SetUint16(0) }) // an alias that is down is gone
		if c, err := net.DialUDP("udp", nil, u.Addr().(*net.UDPAddr)); err == nil {
			if _, err := c.Write([]byte("<30>meanwhile")); err == nil && sink.Received() > 1 {
				t.Error("a message reached an address that doesn't exist")
			}
			c.Close()
		}
		appear()
		send(t, dialUDP(t, u.Addr()), "<30>after")
		reach(t, "a message after the address is back", func() bool { return sink.Received() == 2 })
	})
}

// FAULTS U16, Q8: as many datagrams as the machine can send, DATAGRAMS of them or 100,000, good ones between bytes without sense, at a
// buffer that is far too small. Sent = received + drops, exactly, in all and for each of four sockets together.
func TestUDPTorture(t *testing.T) {
	total := 100_000
	if s := os.Getenv("DATAGRAMS"); s != "" {
		var err error
		if total, err = strconv.Atoi(s); err != nil {
			t.Fatalf("DATAGRAMS=%q is no number", s)
		}
	}
	for _, sockets := range []int{1, 4} {
		sink := receivertest.NewCounter()
		u, err := ListenUDP("0.0.0.0:0", testSource, sink, UDPOptions{Buffer: 64 << 10, Sockets: sockets, AllowFrom: allowList("127.0.0.1/32")})
		if err != nil {
			t.Fatal(err)
		}
		stop := start(t, u)
		const senders = 8
		to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: u.Addr().(*net.UDPAddr).Port}
		var all sync.WaitGroup
		var sent [senders]uint64
		var refusedSender *net.UDPConn
		for s := range senders {
			from := net.IPv4(127, 0, 0, byte(1+s/(senders-1))) // the last one is refused
			c, err := net.DialUDP("udp", &net.UDPAddr{IP: from}, to)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			refusedSender = c
			all.Go(func() {
				garbage := rand.NewChaCha8([32]byte{byte(s)})
				r := rand.New(garbage)
				buf := make([]byte, 1200)
				for range total / 2 / senders {
					message := buf[:r.IntN(len(buf))]
					_, _ = garbage.Read(message)
					if r.IntN(3) == 0 {
						message = append(buf[:0], costMessage...)
					}
					if _, err := c.Write(message); err == nil {
						sent[s]++
					}
				}
			})
		}
		all.Wait()
		want := added(sent[:])
		arrived := func() bool { return sink.Received()+u.Status().Drops == want }
		reach(t, "sent = received + drops", arrived)
		// On a busy machine nothing of the refused sender may have found room. The buffer is empty now.
		if _, err := refusedSender.Write([]byte(costMessage)); err != nil {
			t.Fatal(err)
		}
		want++
		reach(t, "the last message is received", arrived)
		drops := u.Status().Drops
		stop()
		_, discarded := sink.All()
		refused := discarded[receiver.NotAllowed]
		if got := sink.Received() + u.Status().Drops; got != want || u.Status().Drops != drops || refused == 0 {
			t.Errorf("%d sockets: %d sent, %d received (%d not allowed) and %d dropped", sockets, want, sink.Received(), refused, u.Status().Drops)
		}
		t.Logf("%d sockets: %d sent = %d received (%d not allowed) + %d dropped", sockets, want, sink.Received(), refused, drops)
	}
}
