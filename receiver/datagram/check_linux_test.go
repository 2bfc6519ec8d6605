package datagram

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// What is bound only to see whether it can be takes nothing from who sends: a datagram isn't queued, a
// connection not made.
func TestACheckTakesNothing(t *testing.T) {
	filters(t)
	for _, sockets := range []int{1, 3} {
		c, err := CheckUDP("127.0.0.1:0", UDPOptions{Sockets: sockets})
		must(t, err)
		for _, s := range c.(*UDP).sockets {
			address, err := unix.Getsockname(s.in.fd)
			must(t, err)
			to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: address.(*unix.SockaddrInet4).Port}
			conn, err := net.DialUDP("udp", nil, to)
			must(t, err)
			for range 20 { // from one port they all go to one of the sockets
				if _, err := conn.Write([]byte("lost?")); err != nil {
					t.Error(err)
				}
			}
			conn.Close()
		}
		for _, s := range c.(*UDP).sockets {
			if n, _, err := unix.Recvfrom(s.in.fd, make([]byte, 10), unix.MSG_DONTWAIT); !errors.Is(err, unix.EAGAIN) {
				t.Errorf("%d sockets: %d bytes are queued, %v", sockets, n, err)
			}
		}
		must(t, c.Close())
	}
}
