package receiver

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// filters skips the test where a socket can't be given a filter, as root can't in some sandboxes.
func filters(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	accept := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &accept}); err != nil {
		t.Skipf("no filter here: %v", err)
	}
}

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
	l, err := CheckTCP("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	if conn, err := net.DialTimeout("tcp", l.(net.Listener).Addr().String(), 200*time.Millisecond); err == nil {
		conn.Close()
		t.Error("a client could connect")
	}
}
