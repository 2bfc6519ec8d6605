package stream

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged has the kernel give a connection up when what was sent is not acknowledged for so long (TCP_USER_TIMEOUT, tcp(7)).
// Set at a listening socket, it holds for what is accepted there. Keepalive alone would not do: it rests while something is on its way.
func limitUnacknowledged(c syscall.RawConn, limit time.Duration) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}
