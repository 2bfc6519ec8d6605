package receiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// UDPOptions are the settings of a UDP input. The zero value is usable.
type UDPOptions struct {
	Buffer int // bytes of socket buffer to ask for; 0 keeps the system's default
}

// UDP receives syslog over UDP (RFC 5426): one datagram is one message.
type UDP struct {
	in     *datagrams
	addr   net.Addr
	buffer int

	mu        sync.Mutex // guards what follows against Drops during Close; the reader doesn't take it
	closed    bool
	drops     uint64
	lastDrops uint32 // the kernel's counter when last read
}

// ListenUDP binds addr, "host:port": an IPv4 or IPv6 address or a name, "0.0.0.0:5514" for all of IPv4, "[::]:5514" or ":5514" for
// both. Port 0 takes a free one, see Addr. The address is not shared, so that a second instance gets an error. The caller calls Run, or
// Close where it doesn't come to that.
func ListenUDP(addr string, src Source, sink Sink, opt UDPOptions) (*UDP, error) {
	conn, err := net.ListenPacket(networkOf("udp", addr), addr)
	if err != nil {
		return nil, bindError("udp", addr, err)
	}
	local := conn.LocalAddr()
	fd, err := takeDescriptor(conn.(*net.UDPConn))
	if err != nil {
		return nil, fmt.Errorf("udp %s: socket: %w", addr, err)
	}
	granted, err := setReceiveBuffer(fd, opt.Buffer)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("udp %s: receive buffer of %d bytes: %w", addr, opt.Buffer, err)
	}
	return &UDP{in: newDatagrams(fd, src, sink), addr: local, buffer: granted}, nil
}

// Run receives until ctx ends, reads what is queued in the socket (for 2 s at most), closes it, and offers what the Sink hasn't taken
// yet for 2 s at most. It returns nil, or an error when the socket can't be read at all. Call it once.
func (u *UDP) Run(ctx context.Context) error { return u.in.run(ctx, u.Close) }

// Close releases the socket. Run calls it; others may only when Run isn't running.
func (u *UDP) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil
	}
	u.countDrops()
	u.closed = true
	return unix.Close(u.in.fd)
}

// Drops returns how many datagrams the kernel has dropped because the socket's buffer was full. Sent = received + Drops, exactly, as far
// as datagrams reach this machine. It may be called at any time; after Close it stays what it was. Always 0 elsewhere than on Linux.
func (u *UDP) Drops() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.countDrops()
	return u.drops
}

// countDrops extends the kernel's 32 bits to 64.
func (u *UDP) countDrops() {
	if u.closed {
		return
	}
	if now, ok := socketDrops(u.in.fd); ok {
		u.drops += uint64(now - u.lastDrops)
		u.lastDrops = now
	}
}

// BufferBytes returns the size of the socket buffer that the system granted.
func (u *UDP) BufferBytes() int { return u.buffer }

// ReadErrors returns how many reads failed, other than by time-out. It may be called at any time.
func (u *UDP) ReadErrors() uint64 { return u.in.trouble.total.Load() }

// Addr returns the address that is bound.
func (u *UDP) Addr() net.Addr { return u.addr }

// String returns the Source's name.
func (u *UDP) String() string { return u.in.src.Name }

// networkOf returns base ("udp", "tcp") or, for a literal IPv4 address, base with a "4": package net takes 0.0.0.0 for all of IPv6 too.
func networkOf(base, addr string) string {
	if ap, err := netip.ParseAddrPort(addr); err == nil && ap.Addr().Is4() {
		return base + "4"
	}
	return base
}

// bindError says what to do about an address that can't be bound.
func bindError(network, addr string, err error) error {
	remedy := `want host:port, such as "127.0.0.1:5514" or "[::]:5514"`
	switch {
	case errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM):
		remedy = "ports below 1024 need CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE); or choose a port from 1024 on"
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
