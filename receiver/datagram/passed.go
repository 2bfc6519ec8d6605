package datagram

import (
	"fmt"
	"net"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// Inputs on sockets that somebody else has opened and bound: systemd, or any parent that keeps its descriptor while this
// process is replaced. So the socket is there before and after, and what is sent in between waits in it:
//
//   - A socket isn't drained at the end. Each message that was read is handed over; the others stay queued for the next
//     process. Senders to a unix socket wait once net.unix.max_dgram_qlen messages are queued, as for any reader that is
//     late; UDP drops beyond the receive buffer, where the kernel counts it.
//   - Nothing is unlinked, locked or shut down, as it isn't ours: Run and Close end the descriptor, not the socket.

// PassedUDP returns an input on a UDP socket that is bound already. fd belongs to the input from now on. Options that bear on binding have no
// effect. Status.Drops begins at 0, whatever was dropped before. The caller calls Run or Close.
func PassedUDP(fd int, src receiver.Source, sink receiver.TrySink, opt UDPOptions) (*UDP, error) {
	addr, err := preparePassed(fd, src.Name)
	if err != nil {
		return nil, err
	}
	granted, err := growReceiveBuffer(fd, opt.Buffer)
	if err != nil {
		return nil, fmt.Errorf("%s: receive buffer of %d bytes: %w", src.Name, opt.Buffer, err)
	}
	local, ok := addr.(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("%s: passed descriptor %d: %s is no IP address", src.Name, fd, addr)
	}
	u := &UDP{src: src, addr: local}
	s := &udpSocket{in: newDatagrams(fd, &u.src, sink, udpFilter(local, opt)), buffer: granted}
	s.in.passed = true
	s.lastDrops, _ = socketDrops(fd)
	u.sockets = []*udpSocket{s}
	return u, nil
}

// PassedUnixgram returns an input on a unix datagram socket that is bound already. fd belongs to the input from now on; the socket's file
// stays where it is, and isn't made again. The caller calls Run or Close.
func PassedUnixgram(fd int, src receiver.Source, sink receiver.TrySink, opt UnixgramOptions) (*Unixgram, error) {
	if err := checkUsers(src.Name, opt); err != nil {
		return nil, err
	}
	addr, err := preparePassed(fd, src.Name)
	if err != nil {
		return nil, err
	}
	if err := prepareUnixgram(fd); err != nil {
		return nil, fmt.Errorf("%s: passed descriptor %d: credentials: %w", src.Name, fd, err)
	}
	u := &Unixgram{src: src, path: addr.String(), look: lookInterval, opened: 1}
	s := &unixSocket{in: newDatagrams(fd, &u.src, sink, unixgramFilter(opt))}
	s.in.passed = true
	u.sockets = []*unixSocket{s}
	u.findFile(fd)
	return u, nil
}

// findFile looks for the file of a passed socket. One whose file is gone, or can't be looked at, has none: Status shows it.
func (u *Unixgram) findFile(fd int) {
	dir, err := openDirectory(filepath.Dir(u.path))
	if err != nil {
		return
	}
	defer unix.Close(dir)
	u.file, _ = fileOf(dir, u.path, fd, 0)
}

// growReceiveBuffer is setReceiveBuffer for a socket whose buffer may have been set by somebody who may do more, as systemd does for
// ReceiveBuffer=: asking would cut it to net.core.rmem_max. So what would be granted is tried on another socket first.
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

// preparePassed makes a passed datagram socket one that blocks, as the reader needs it, and returns its address. Blocking is a property of
// the socket, not of the descriptor (O_NONBLOCK in open(2)); systemd sets it too, unless NonBlocking= says otherwise.
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
	return nil, fmt.Errorf("%s: passed descriptor %d: its address %T is neither an IP address nor a path", name, fd, local)
}

// Turns counts how often all readers have gone around their loops since it was called before: each does at least four times a second as long as
// it is alive, busy or idle. So whoever calls it now and then sees it grow, unless one of them hangs. It may be called at any time.
func (u *UDP) Turns() uint64 {
	var readers []*datagrams
	for _, s := range u.sockets {
		readers = append(readers, s.in)
	}
	return u.rounds.count(readers)
}

// Turns is as UDP's.
func (u *Unixgram) Turns() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	var readers []*datagrams
	for _, s := range u.sockets {
		readers = append(readers, s.in)
	}
	return u.rounds.count(readers)
}

// rounds are what several readers do together.
type rounds struct {
	mu   sync.Mutex
	n    uint64
	last map[*datagrams]uint64
}

// count adds a round if each of the readers has gone around its loop since the round before. One that is new has.
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
