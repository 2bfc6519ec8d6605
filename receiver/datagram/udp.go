package datagram

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// UDPOptions are the settings of a UDP input. The zero value is usable.
type UDPOptions struct {
	Buffer    int                 // bytes of socket buffer to ask for; 0 keeps the system's default
	Sockets   int                 // sockets that share the address, each with a reader of its own; 0 means 1, and more take Linux
	AllowFrom *receiver.AllowList // who may send; others' datagrams are discarded as NotAllowed. Not looked at where only this machine can send
}

// UDP receives syslog over UDP (RFC 5426): one datagram is one message.
type UDP struct {
	src     receiver.Source
	addr    net.Addr
	sockets []*udpSocket
	rounds  rounds // of all readers
}

// A udpSocket is one of the sockets that share an address.
type udpSocket struct {
	in     *datagrams
	buffer int

	mu        sync.Mutex // guards what follows against countedDrops during Close; the reader doesn't take it
	closed    bool
	drops     uint64
	lastDrops uint32 // the kernel's counter when last read
}

// ListenUDP binds addr, "host:port": an IPv4 or IPv6 address or a name, "0.0.0.0:5514" for all of IPv4, "[::]:5514" or ":5514" for
// both. Port 0 takes a free one, see Addr. A second instance gets an error. The caller calls Run, or Close where it doesn't come to that.
//
// Of several sockets (SO_REUSEPORT) the kernel chooses one by each datagram's addresses and ports, so that what one sender sends from
// one port arrives at one of them, and in order.
func ListenUDP(addr string, src receiver.Source, sink receiver.TrySink, opt UDPOptions) (*UDP, error) {
	fds, local, err := bindUDP(addr, max(1, opt.Sockets), nil)
	if err != nil {
		return nil, err
	}
	u := &UDP{src: src, addr: local}
	f := udpFilter(local, opt)
	for _, fd := range fds {
		u.sockets = append(u.sockets, &udpSocket{in: newDatagrams(fd, &u.src, sink, f)})
	}
	for _, s := range u.sockets {
		if s.buffer, err = setReceiveBuffer(s.in.fd, opt.Buffer); err != nil {
			u.Close()
			return nil, fmt.Errorf("udp %s: receive buffer of %d bytes: %w", addr, opt.Buffer, err)
		}
	}
	return u, nil
}

// udpFilter checks and keeps sender addresses, unless the socket is bound to loopback.
func udpFilter(local *net.UDPAddr, opt UDPOptions) filter {
	if local.IP.IsLoopback() {
		return filter{}
	}
	return filter{addresses: true, from: opt.AllowFrom}
}

// bindUDP returns n sockets that are bound to addr. The first is bound without SO_REUSEPORT and shares the address only afterwards: with
// the option from the start, a second instance of the same user would get half of the datagrams instead of an error. So of two that
// start at the same moment, too, one gets in. prepare is called before a socket is bound, if it isn't nil.
func bindUDP(addr string, n int, prepare func(fd int) error) (fds []int, local *net.UDPAddr, err error) {
	defer func() {
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}()
	fd, local, err := bindUDPSocket(addr, prepare)
	if err != nil {
		return nil, nil, err
	}
	fds = append(fds, fd)
	if n == 1 {
		return fds, local, nil
	}
	share := func(fd int) error {
		if err := shareAddress(fd); err != nil {
			return fmt.Errorf("udp %q: %d sockets for one address: SO_REUSEPORT: %w (set UDP_SOCKETS to 1)", addr, n, err)
		}
		return nil
	}
	if err := share(fd); err != nil {
		return fds, nil, err
	}
	both := func(fd int) error {
		if prepare != nil {
			return errors.Join(prepare(fd), share(fd))
		}
		return share(fd)
	}
	for len(fds) < n {
		fd, _, err := bindUDPSocket(local.String(), both)
		if err != nil {
			return fds, nil, err
		}
		fds = append(fds, fd)
	}
	return fds, local, nil
}

// bindUDPSocket binds one socket. prepare is called before, if it isn't nil.
func bindUDPSocket(addr string, prepare func(fd int) error) (fd int, local *net.UDPAddr, err error) {
	var lc net.ListenConfig
	if prepare != nil {
		lc.Control = func(_, _ string, c syscall.RawConn) (err error) {
			if cerr := c.Control(func(fd uintptr) { err = prepare(int(fd)) }); cerr != nil {
				return cerr
			}
			return err
		}
	}
	conn, err := lc.ListenPacket(context.Background(), receiver.NetworkOf("udp", addr), addr)
	if err != nil {
		return -1, nil, receiver.BindError("udp", addr, err)
	}
	udp := conn.(*net.UDPConn)
	local = udp.LocalAddr().(*net.UDPAddr)
	if fd, err = takeDescriptor(udp); err != nil {
		return -1, nil, fmt.Errorf("udp %s: socket: %w", addr, err)
	}
	return fd, local, nil
}

// Run receives until ctx ends, reads what is queued in the sockets (for 2 s at most), closes them, and offers what the Sink hasn't taken
// yet for 2 s at most. It returns nil, or an error when a socket can't be read at all. Call it once.
func (u *UDP) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range u.sockets {
		g.Go(func() error { return s.in.run(ctx, s.close) })
	}
	return g.Wait()
}

// Close releases the sockets. Run closes them; others may only when Run isn't running.
func (u *UDP) Close() error {
	var err error
	for _, s := range u.sockets {
		err = errors.Join(err, s.close())
	}
	return err
}

func (s *udpSocket) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.countDrops()
	s.closed = true
	return unix.Close(s.in.fd)
}

// Status may be called at any time.
func (u *UDP) Status() receiver.Status {
	st := receiver.Status{Buffer: u.sockets[0].buffer}
	for _, s := range u.sockets {
		st.Drops += s.countedDrops()
		st.Errors += s.in.trouble.total.Load()
		st.Buffer = min(st.Buffer, s.buffer)
	}
	return st
}

func (s *udpSocket) countedDrops() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countDrops()
	return s.drops
}

// countDrops extends the kernel's 32 bits to 64.
func (s *udpSocket) countDrops() {
	if s.closed {
		return
	}
	if now, ok := socketDrops(s.in.fd); ok {
		s.drops += uint64(now - s.lastDrops)
		s.lastDrops = now
	}
}

// Addr returns the address that is bound.
func (u *UDP) Addr() net.Addr { return u.addr }

// String returns the Source's name.
func (u *UDP) String() string { return u.src.Name }
