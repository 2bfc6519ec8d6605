package web

import (
	"errors"
	"net"
	"syscall"
)

// listenRemedy says what to do about an error of listening at HTTP_LISTEN.
func listenRemedy(err error) string {
	var lookup *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another process, perhaps another rsyncd_exporter, listens there (ss -ltnp shows which): stop it or " +
			"choose another port"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "this user may not use the port: choose one from 1024 on, or give the program the right (systemd: " +
			"AmbientCapabilities=CAP_NET_BIND_SERVICE)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this machine has that address (ip addr shows those that there are): choose one, or " +
			":PORT for all"
	case errors.As(err, &lookup):
		return "the name has no address: write the address itself"
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return "this machine has no such addresses, perhaps no IPv6: write 0.0.0.0:PORT or 127.0.0.1:PORT"
	case errors.Is(err, syscall.EINVAL):
		return "a link-local address needs its interface: write [fe80::1%eth0]:PORT"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many files are open: raise the limit, LimitNOFILE= or ulimit -n"
	}
	return "choose another address"
}
