package receiver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// NetworkOf returns base ("udp", "tcp") or, for a literal IPv4 address, base with a "4": package
// net takes 0.0.0.0 for all of IPv6 too.
func NetworkOf(base, addr string) string {
	if ap, err := netip.ParseAddrPort(addr); err == nil && ap.Addr().Is4() {
		return base + "4"
	}
	return base
}

// BindError says what to do about an address that can't be bound.
func BindError(network, addr string, err error) error {
	remedy := `want host:port, such as "127.0.0.1:5514" or "[::]:5514"`
	switch {
	case errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM):
		remedy = "ports below 1024 need CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE); " +
			"or choose a port from 1024 on"
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "another program, maybe another rsyncd_exporter, holds it: stop that or choose another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "no interface of this machine has the address: correct it, or start when the interface is up"
	case errors.Is(err, syscall.EAFNOSUPPORT):
		remedy = "this machine has no such address family: is IPv6 off?"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		remedy = "raise the limit of open files (systemd: LimitNOFILE=)"
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err // "listen udp 127.0.0.1:514:" would say everything twice
	}
	return fmt.Errorf("%s %q: %w (%s)", network, addr, err, remedy)
}
