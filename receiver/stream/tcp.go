// Package stream receives syslog from TCP and TLS connections, and lines from standard input. Its
// readers wait for their Sink, and so make their senders wait.
package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

const (
	goneTime = 2 * time.Minute // after which a peer is taken to have gone without a FIN

	quietTime = 100 * time.Millisecond // at the end, a connection that is quiet for so long has been read to its end

	minAcceptPause = 5 * time.Millisecond // after a failed accept, doubled each time, as net/http does it
	maxAcceptPause = time.Second
)

// TCPOptions are the settings of a TCP or TLS input. Zero values stand for the defaults.
type TCPOptions struct {
	MaxConnections   int                 // open at the same time, 1024; more are closed at once and counted
	MaxPerSource     int                 // likewise, from one IPv4 address or one IPv6 /64, 128
	IdleTimeout      time.Duration       // a connection that is quiet for longer makes room for others, 10 minutes
	MessageTimeout   time.Duration       // for a whole message; IdleTimeout until the first one has come, 30 s
	HandshakeTimeout time.Duration       // from accept to the end of the TLS handshake, 5 s
	MaxHandshakes    int                 // under way at the same time, 64; from one source a quarter; others wait
	AllowFrom        *receiver.AllowList // who may connect; others are closed at once and counted
}

// TCP receives syslog over TCP, framed as RFC 6587 says (see framer), or over TLS (RFC 5425),
// framed in the same ways. A busy Sink makes senders wait: nothing is lost while a connection stays
// open.
type TCP struct {
	src      receiver.Source
	sink     receiver.Sink
	opt      TCPOptions
	listener net.Listener
	creds    *Credentials // nil: plain TCP
	gate     *gate

	refused      refusals
	acceptErrors atomic.Uint64
	tlsErrors    atomic.Uint64
}

// newTCP returns an input that accepts from l, and closes it. creds are nil for plain TCP.
func newTCP(l net.Listener, src receiver.Source, sink receiver.Sink, creds *Credentials, opt TCPOptions) *TCP {
	opt.MaxConnections = cmp.Or(opt.MaxConnections, 1024)
	opt.MaxPerSource = cmp.Or(opt.MaxPerSource, 128)
	opt.MaxHandshakes = cmp.Or(opt.MaxHandshakes, 64)
	opt.IdleTimeout = cmp.Or(opt.IdleTimeout, 10*time.Minute)
	opt.MessageTimeout = cmp.Or(opt.MessageTimeout, 30*time.Second)
	opt.HandshakeTimeout = cmp.Or(opt.HandshakeTimeout, 5*time.Second)
	return &TCP{src: src, sink: sink, opt: opt, listener: l, creds: creds, gate: newGate(opt)}
}

// Run accepts and reads connections until ctx ends. Then it stops listening, reads what the
// connections have already sent (until each is quiet for 100 ms, for 2 s at most), closes them, and
// returns nil. Call it once.
func (t *TCP) Run(ctx context.Context) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conns.Go(func() {
		<-ctx.Done()
		t.listener.Close()
	})
	var pause time.Duration
	for {
		conn, err := t.listener.Accept()
		switch {
		case err == nil:
			pause = 0
			t.admit(ctx, conn, &conns)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("%s: %w", t, err)
		default:
			// EMFILE, ENFILE, ENOMEM …: what is missing comes back when a connection ends.
			t.acceptErrors.Add(1)
			pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
}

// admit starts serving conn, or closes it and counts why.
func (t *TCP) admit(ctx context.Context, conn net.Conn, conns *sync.WaitGroup) {
	if !t.opt.AllowFrom.Allows(remoteIP(conn)) {
		t.refused[PeerNotAllowed].Add(1)
		conn.Close()
		return
	}
	v, madeRoom, reason := t.gate.enter(conn, time.Now())
	if madeRoom {
		t.refused[Idle].Add(1)
	}
	if reason != Admitted {
		t.refused[reason].Add(1)
		conn.Close()
		return
	}
	conns.Go(func() {
		defer t.gate.leave(v)
		defer conn.Close()
		if t.creds == nil {
			t.read(ctx, v, conn)
			return
		}
		w := &wire{Conn: conn, left: -1}
		secured, reason := t.handshake(ctx, w, v.from)
		if reason != Admitted {
			t.refused[reason].Add(1)
		}
		if secured == nil {
			return
		}
		defer secured.Close()
		t.read(ctx, v, secured)
	})
}

// read takes messages from a visitor through conn, which may be TLS over its connection, until its
// end, until it is too slow, or until ctx has ended and it is quiet.
func (t *TCP) read(ctx context.Context, v *visitor, conn net.Conn) {
	// A read that is waiting when ctx ends gets the short deadline here, the next ones below.
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = conn.SetDeadline(time.Now().Add(quietTime))
	})
	defer func() {
		if !stop() {
			<-woken
		}
	}()

	in := framer{peer: receiver.Elsewhere(remoteIP(conn))}
	var slab receiver.Slab
	due := deadlines{message: t.opt.MessageTimeout, rest: min(t.opt.IdleTimeout, goneTime)}
	for greeted := false; ; {
		// For writes too: a TLS peer that asks for answers and doesn't read them would block Read.
		_ = conn.SetDeadline(due.next(&in, time.Now()))
		if ctx.Err() != nil { // asked after the deadline was set, which may have undone that of AfterFunc
			_ = conn.SetDeadline(due.last(time.Now()))
		}
		n, err := conn.Read(in.space())
		now := time.Now()
		in.advance(n)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && due.goOn(ctx, v.conn, now) {
			continue
		}
		v.quiet.Store(t.gate.clock(now))
		if !greeted {
			says, more := greeting(in.uncut())
			if says != Admitted {
				t.refused[says].Add(1)
				return
			}
			if greeted = !more || err != nil; !greeted {
				continue
			}
		}
		if in.deliver(&t.src, t.sink, &slab, now.UnixNano()) != nil {
			return
		}
		if in.cuts > 0 {
			v.spoke.Store(true)
		}
		if err != nil {
			in.finish(&slab)
			in.deliverAny(&t.src, t.sink, &slab, now.UnixNano())
			t.countEnd(ctx, err)
			return
		}
	}
}

func (t *TCP) countEnd(ctx context.Context, err error) {
	var op *net.OpError
	switch {
	case ctx.Err() != nil || errors.Is(err, io.EOF):
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.refused[TooSlow].Add(1)
	case t.creds == nil:
	case errors.As(err, &op) && op.Op == "read": // the network's, as with plain TCP
	default:
		t.tlsErrors.Add(1)
	}
}

// deadlines says how long a connection's next read may take.
type deadlines struct {
	message time.Duration // for a message
	rest    time.Duration // for a read between messages, after which there is another one
	began   time.Time     // of the message that has not come whole yet
	cuts    uint64        // framer.cuts at that time
	resting bool          // next was for a read between messages
	end     time.Time     // of reading after the input's context has ended
}

// next is for a connection that has been read from, after what its framer could cut is handed over.
func (d *deadlines) next(in *framer, now time.Time) time.Time {
	if d.resting = !in.within(); d.resting {
		d.began = time.Time{}
		return now.Add(d.rest)
	}
	if d.cuts != in.cuts || d.began.IsZero() {
		d.cuts, d.began = in.cuts, now
	}
	return d.began.Add(d.message)
}

// last is for a connection that shall end when it is quiet.
func (d *deadlines) last(now time.Time) time.Time {
	if d.end.IsZero() {
		d.end = now.Add(receiver.DrainLimit)
	}
	if quiet := now.Add(quietTime); quiet.Before(d.end) {
		return quiet
	}
	return d.end
}

// goOn says whether there is another read after one in whose time nothing came. A connection that
// shall end isn't quiet as long as something waits in its socket: the time can pass while this
// process has no processor.
func (d *deadlines) goOn(ctx context.Context, conn net.Conn, now time.Time) bool {
	if ctx.Err() == nil {
		return d.resting
	}
	return now.Before(d.last(now)) && canBeRead(conn)
}

// canBeRead says whether a read of a socket would return at once.
func canBeRead(conn net.Conn) (yes bool) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		yes = err == nil && n > 0
	})
	return yes && err == nil
}

// Close stops listening, for an input that never ran.
func (t *TCP) Close() error {
	if err := t.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Status may be called at any time.
func (t *TCP) Status() receiver.Status {
	return receiver.Status{Connections: t.gate.connections(), Refused: t.refused.byReason(t.creds != nil),
		Errors: t.acceptErrors.Load() + t.tlsErrors.Load()}
}

// Addr returns the address that is bound.
func (t *TCP) Addr() net.Addr { return t.listener.Addr() }

// String returns the Source's name.
func (t *TCP) String() string { return t.src.Name }

// remoteIP returns the address of the other end, not valid where that isn't TCP's.
func remoteIP(conn net.Conn) netip.Addr {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr()
}
