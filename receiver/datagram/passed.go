package datagram

import (
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// preparePassed makes a datagram socket that systemd or another parent has bound one that blocks,
// and returns its address. The parent keeps the socket while this process is replaced, so what is
// sent in between waits in it:
//
//   - It isn't drained at the end. What is queued waits for the next process. Senders to a unix
//     socket wait once net.unix.max_dgram_qlen messages are queued; UDP drops beyond the receive
//     buffer, which the kernel counts.
//   - It isn't unlinked, locked or shut down: Run and Close end the descriptor, not the socket.
//
// Blocking is a property of the socket, not of the descriptor (O_NONBLOCK in open(2)).
func preparePassed(fd int, name string) (net.Addr, error) {
	local, err := unix.Getsockname(fd)
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: passed descriptor %d: %w", name, fd, err)
	}
	switch local := local.(type) {
	case *unix.SockaddrInet4:
		return &net.UDPAddr{IP: local.Addr[:], Port: local.Port}, nil
	case *unix.SockaddrInet6:
		return &net.UDPAddr{IP: local.Addr[:], Port: local.Port}, nil
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: local.Name, Net: "unixgram"}, nil
	}
	return nil, fmt.Errorf("%s: passed descriptor %d: its address %T is neither an IP address nor a path",
		name, fd, local)
}

// growReceiveBuffer is setReceiveBuffer for a passed socket. systemd may have set a larger buffer
// than this process may (ReceiveBuffer=): asking would cut it to net.core.rmem_max. So what would
// be granted is tried on another socket first.
func growReceiveBuffer(fd, size int) (granted int, err error) {
	granted, err = setReceiveBuffer(fd, 0)
	if err != nil || size <= granted {
		return granted, err
	}
	trial, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return granted, err
	}
	defer unix.Close(trial)
	if possible, err := setReceiveBuffer(trial, size); err != nil || possible <= granted {
		return granted, nil
	}
	return setReceiveBuffer(fd, size)
}

// rounds counts what several readers do together.
type rounds struct {
	mu   sync.Mutex
	n    uint64
	last map[*datagrams]uint64
}

// count adds a round if each reader has gone around its loop since the round before, or is new.
func (r *rounds) count(readers []*datagrams) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	turns := map[*datagrams]uint64{}
	for _, d := range readers {
		turns[d] = d.turns.Load()
		if last, ok := r.last[d]; ok && last == turns[d] {
			return r.n
		}
	}
	r.n++
	r.last = turns
	return r.n
}
