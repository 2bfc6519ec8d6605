package stream

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged has the kernel give up a connection when what was sent is not acknowledged in
// time (TCP_USER_TIMEOUT, tcp(7)). Set at a listening socket, it holds for what is accepted there.
// Keepalive alone is not enough: it rests while something is on its way.
func limitUnacknowledged(c syscall.RawConn, limit time.Duration) error {
	var err error
	cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
	return errors.Join(cerr, err)
}
