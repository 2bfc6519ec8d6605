//go:build linux

package main

import (
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sender sends messages in batches: datagrams by sendmmsg(2), a stream by write(2).
type sender struct {
	fd      int
	stream  bool
	headers []mmsghdr
	vectors []unix.Iovec
	buffer  []byte // of a stream's batch
}

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

const batch = 64

// dial connects to a receiver.
func dial(transport, address string) (*sender, error) {
	network := transport
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	s := &sender{fd: -1, stream: transport == "tcp"}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	cerr := raw.Control(func(fd uintptr) { s.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if cerr != nil || err != nil {
		return nil, fmt.Errorf("dup: %w", err)
	}
	if err := unix.SetNonblock(s.fd, false); err != nil {
		return nil, err
	}
	s.headers, s.vectors = make([]mmsghdr, batch), make([]unix.Iovec, batch)
	for i := range s.headers {
		s.headers[i].hdr.Iov = &s.vectors[i]
		s.headers[i].hdr.SetIovlen(1)
	}
	return s, nil
}

func (s *sender) close() { unix.Close(s.fd) }

// sendAll sends n messages of the mix, pass after pass, at the rate (0: without a pause), and
// returns how long it took.
func (s *sender) sendAll(m *mix, n, rate int) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := time.Now()
	sent := 0
	for pass := 0; sent < n; pass++ {
		m.number(pass)
		for from := 0; from < len(m.messages) && sent < n; from += batch {
			size := min(batch, len(m.messages)-from, n-sent)
			if rate > 0 {
				time.Sleep(time.Until(start.Add(time.Duration(sent) * time.Second / time.Duration(rate))))
			}
			if err := s.send(m.messages[from : from+size]); err != nil {
				return 0, err
			}
			sent += size
		}
	}
	return time.Since(start), nil
}

func (s *sender) send(messages [][]byte) error {
	if s.stream {
		s.buffer = s.buffer[:0]
		for _, m := range messages {
			s.buffer = append(s.buffer, m...)
		}
		for rest := s.buffer; len(rest) > 0; {
			n, err := unix.Write(s.fd, rest)
			if err != nil && err != unix.EINTR {
				return fmt.Errorf("write: %w", err)
			}
			rest = rest[max(n, 0):]
		}
		return nil
	}
	for i, m := range messages {
		s.vectors[i].Base = &m[0]
		s.vectors[i].SetLen(len(m))
	}
	for done := 0; done < len(messages); {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.headers[done])),
			uintptr(len(messages)-done), 0, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return fmt.Errorf("sendmmsg: %w", errno)
		}
		if errno == 0 {
			done += int(n)
		}
	}
	return nil
}
