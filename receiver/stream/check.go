package stream

import (
	"errors"
	"io"
	"net"
	"syscall"

	"rsyncd_exporter/receiver"
)

// CheckTCP binds addr as ListenTCP and ListenTLS do, and takes no connection as far as the system allows that. The address
// is taken until the caller closes what is returned. name is "tcp" or "tls".
func CheckTCP(name, addr string) (io.Closer, error) {
	l, err := bindStream(name, addr, Unheard())
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Unheard returns how a stream is bound only to see whether it can be: no packet reaches the socket, where the
// system can filter (Linux). So no client believes to have sent something.
func Unheard() net.ListenConfig {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) { err = receiver.Deafen(int(fd)) })
		return errors.Join(cerr, err)
	}}
	lc.SetMultipathTCP(false) // its sockets ignore a filter
	return lc
}
