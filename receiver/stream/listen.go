package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// ListenTCP binds addr, "host:port", as datagram.ListenUDP does. The caller calls Run or Close.
func ListenTCP(addr string, src receiver.Source, sink receiver.Sink, opt TCPOptions) (*TCP, error) {
	return listenStream("tcp", addr, src, sink, nil, opt)
}

// ListenTLS is ListenTCP for syslog over TLS. The caller runs the Credentials, which may be shared.
func ListenTLS(addr string, src receiver.Source, sink receiver.Sink, creds *Credentials, opt TCPOptions) (*TCP, error) {
	return listenStream("tls", addr, src, sink, creds, opt)
}

func listenStream(name, addr string, src receiver.Source, sink receiver.Sink, creds *Credentials,
	opt TCPOptions) (*TCP, error) {
	// A peer that vanishes without a FIN is found after goneTime: by the last of four probes, or
	// because it doesn't acknowledge.
	l, err := bindStream(name, addr, net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: goneTime / 2, Interval: goneTime / 8, Count: 4},
		Control:         func(_, _ string, c syscall.RawConn) error { return limitUnacknowledged(c, goneTime) },
	})
	if err != nil {
		return nil, err
	}
	return newTCP(l, src, sink, creds, opt), nil
}

func bindStream(name, addr string, lc net.ListenConfig) (net.Listener, error) {
	l, err := lc.Listen(context.Background(), receiver.NetworkOf("tcp", addr), addr)
	if err != nil {
		return nil, receiver.BindError(name, addr, err)
	}
	return l, nil
}

// CheckTCP binds addr as ListenTCP or ListenTLS does, name being "tcp" or "tls". It takes no
// connection as far as the system allows that. The address is taken until the caller closes what is
// returned.
func CheckTCP(name, addr string) (io.Closer, error) {
	return bindStream(name, addr, Unheard())
}

// Unheard binds a stream only to see whether that is possible. Where the system can filter (Linux),
// no packet reaches the socket, so that no client believes that it has sent something.
func Unheard() net.ListenConfig {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) { err = receiver.Deafen(int(fd)) })
		return errors.Join(cerr, err)
	}}
	lc.SetMultipathTCP(false) // its sockets ignore a filter
	return lc
}

// PassedTCP returns an input on a TCP socket that listens already, which systemd or another parent
// keeps over a restart. Connections that wait to be accepted wait for the next process. fd belongs
// to the input from now on. The caller calls Run or Close.
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
		_ = limitUnacknowledged(raw, goneTime) // MPTCP sockets have no such limit; keepalive has to do then
	}
	return newTCP(l, src, sink, creds, opt), nil
}

// PassedListener returns a listener on a TCP socket that listens already, and closes fd, of which
// it has a duplicate. Its Close leaves the socket listening for others that have it.
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
