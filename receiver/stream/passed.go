package stream

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// Inputs on sockets that somebody else has opened, as in package datagram. Connections that wait to be accepted stay so for
// the next process. Those that were accepted can't be handed on: each is read until it is quiet and closed, as ever, and
// its sender connects again.

// PassedTCP returns an input on a TCP socket that listens already. fd belongs to the input from now on. The caller calls Run or Close.
func PassedTCP(fd int, src receiver.Source, sink receiver.Sink, opt TCPOptions) (*TCP, error) {
	return PassedTLS(fd, src, sink, nil, opt)
}

// PassedTLS is PassedTCP for syslog over TLS; creds are as for ListenTLS.
func PassedTLS(fd int, src receiver.Source, sink receiver.Sink, creds *Credentials, opt TCPOptions) (*TCP, error) {
	l, err := PassedListener(fd)
	if err != nil {
		return nil, fmt.Errorf("%s: passed descriptor %d: %w", src.Name, fd, err)
	}
	if raw, err := l.SyscallConn(); err == nil {
		_ = limitUnacknowledged(raw, goneTime) // MPTCP sockets have no such limit: then keepalive alone has to do
	}
	return newTCP(l, src, sink, creds, opt), nil
}

// PassedListener returns a listener on a TCP socket that listens already, and closes fd, of which the listener has a duplicate. Its Close
// leaves the socket listening for those who have it besides.
func PassedListener(fd int) (*net.TCPListener, error) {
	f := os.NewFile(uintptr(fd), "")
	if f == nil {
		return nil, unix.EBADF
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	t, ok := l.(*net.TCPListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("it listens at %s, which isn't TCP", l.Addr().Network())
	}
	return t, nil
}
