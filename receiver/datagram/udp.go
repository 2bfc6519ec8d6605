package datagram

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// UDPOptions are the settings of a UDP input. The zero value is usable.
type UDPOptions struct {
	Buffer  int // bytes of socket buffer to ask for; 0 keeps the system's default
	Sockets int // sockets that share the address, each with a reader of its own; 0 means 1; more take Linux
	// AllowFrom says who may send; others' datagrams are discarded as NotAllowed. It is not looked
	// at where only this machine can send.
	AllowFrom *receiver.AllowList
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

	mu        sync.Mutex // guards what follows; the reader doesn't take it
	closed    bool
	drops     uint64
	lastDrops uint32 // the kernel's counter when last read
}

// ListenUDP binds addr, "host:port": an IPv4 or IPv6 address or a name, "0.0.0.0:5514" for all of
// IPv4, "[::]:5514" or ":5514" for both. Port 0 takes a free one, see Addr. A second instance gets
// an error. The caller calls Run or Close.
//
// Of several sockets (SO_REUSEPORT) the kernel chooses one by each datagram's addresses and ports.
// So what comes from one port of one sender arrives at one of them, in order.
func ListenUDP(addr string, src receiver.Source, sink receiver.TrySink, opt UDPOptions) (*UDP, error) {
	fds, local, err := bindUDP(addr, max(1, opt.Sockets), nil)
	if err != nil {
		return nil, err
	}
	u := &UDP{src: src, addr: local}
	for _, fd := range fds {
		u.sockets = append(u.sockets, &udpSocket{in: newDatagrams(fd, &u.src, sink, udpFilter(local, opt))})
	}
	for _, s := range u.sockets {
		if s.buffer, err = setReceiveBuffer(s.in.fd, opt.Buffer); err != nil {
			u.Close()
			return nil, fmt.Errorf("udp %s: receive buffer of %d bytes: %w", addr, opt.Buffer, err)
		}
	}
	return u, nil
}

// PassedUDP returns an input on a UDP socket that is bound already, see preparePassed. fd belongs
// to the input from now on. Options that bear on binding have no effect. Status.Drops begins at 0.
// The caller calls Run or Close.
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

// CheckUDP binds addr as ListenUDP does, without taking what is sent there as far as the system
// allows that. The error is that of ListenUDP. The address is taken until the caller closes what is
// returned.
func CheckUDP(addr string, opt UDPOptions) (io.Closer, error) {
	fds, _, err := bindUDP(addr, max(1, opt.Sockets), receiver.Deafen)
	if err != nil {
		return nil, err
	}
	u := &UDP{}
	for _, fd := range fds {
		u.sockets = append(u.sockets, &udpSocket{in: &datagrams{fd: fd}})
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

// bindUDP returns n sockets that are bound to addr. prepare is called before each is bound, if it
// isn't nil. The first is bound without SO_REUSEPORT and shares the address only afterwards: with
// the option from the start, a second instance of the same user would get half of the datagrams,
// not an error.
func bindUDP(addr string, n int, prepare func(fd int) error) (fds []int, local *net.UDPAddr, err error) {
	defer func() {
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}()
	share := func(fd int) error {
		if err := shareAddress(fd); err != nil {
			return fmt.Errorf("udp %q: %d sockets for one address: SO_REUSEPORT: %w (set UDP_SOCKETS to 1)",
				addr, n, err)
		}
		return nil
	}
	next, to := prepare, addr
	for len(fds) < n {
		var fd int
		if fd, local, err = bindUDPSocket(to, next); err != nil {
			return fds, nil, err
		}
		if fds = append(fds, fd); n == 1 || len(fds) > 1 {
			continue
		}
		if err := share(fd); err != nil {
			return fds, nil, err
		}
		to = local.String()
		next = func(fd int) error {
			if prepare != nil {
				return errors.Join(prepare(fd), share(fd))
			}
			return share(fd)
		}
	}
	return fds, local, nil
}

// bindUDPSocket binds one socket. prepare is called before, if it isn't nil.
func bindUDPSocket(addr string, prepare func(fd int) error) (fd int, local *net.UDPAddr, err error) {
	var lc net.ListenConfig
	if prepare != nil {
		lc.Control = func(_, _ string, c syscall.RawConn) (err error) {
			cerr := c.Control(func(fd uintptr) { err = prepare(int(fd)) })
			return errors.Join(cerr, err)
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

// Run receives until ctx ends, reads what is queued in the sockets (for 2 s at most), closes them,
// and offers what the Sink hasn't taken yet for 2 s at most. It returns nil, or an error when a
// socket can't be read at all. Call it once.
func (u *UDP) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range u.sockets {
		g.Go(func() error { return s.in.run(ctx, s.close) })
	}
	return g.Wait()
}

// Close releases the sockets of an input that never ran. Run closes them itself.
func (u *UDP) Close() error {
	var err error
	for _, s := range u.sockets {
		err = errors.Join(err, s.close())
	}
	return err
}

func (s *udpSocket) close() error {
	s.countedDrops()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return unix.Close(s.in.fd)
}

// countedDrops extends the kernel's 32 bits to 64.
func (s *udpSocket) countedDrops() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.drops
	}
	if now, ok := socketDrops(s.in.fd); ok {
		s.drops += uint64(now - s.lastDrops)
		s.lastDrops = now
	}
	return s.drops
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

// Turns grows by one when all readers have gone around their loops since it was called before: each
// does at least four times a second, busy or idle. So it grows between calls unless a reader hangs.
// It may be called at any time.
func (u *UDP) Turns() uint64 {
	var readers []*datagrams
	for _, s := range u.sockets {
		readers = append(readers, s.in)
	}
	return u.rounds.count(readers)
}

// Addr returns the address that is bound.
func (u *UDP) Addr() net.Addr { return u.addr }

// String returns the Source's name.
func (u *UDP) String() string { return u.src.Name }
