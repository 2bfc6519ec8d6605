// Package stream receives syslog from TCP and TLS connections, and lines from standard input. Its readers wait for their
// Sink, and so make their senders wait.
package stream

import (
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

	"rsyncd_exporter/receiver"
)

const (
	defaultConnections = 1024
	defaultPerSource   = 128
	defaultHandshakes  = 64
	defaultIdle        = 10 * time.Minute
	defaultMessage     = 30 * time.Second
	defaultHandshake   = 5 * time.Second

	goneTime = 2 * time.Minute // after which a peer is taken to have gone without a FIN

	quietTime = 100 * time.Millisecond // at the end, a connection that sends nothing for so long has been read to its end

	minAcceptPause = 5 * time.Millisecond // after a failed accept, doubled each time, as net/http does it
	maxAcceptPause = time.Second
)

// TCPOptions are the settings of a TCP or TLS input. Zero values stand for the defaults.
type TCPOptions struct {
	MaxConnections   int                 // open at the same time, 1024; more are closed at once and counted, see Status
	MaxPerSource     int                 // likewise, from one IPv4 address or one IPv6 network of 64 bits, 128
	IdleTimeout      time.Duration       // a connection that has sent nothing for so long makes room when there are too many, 10 minutes
	MessageTimeout   time.Duration       // one that takes so long for a message, from its first byte to its last, is closed; one without any makes room; 30 s
	HandshakeTimeout time.Duration       // from accept to the end of the TLS handshake, 5 s
	MaxHandshakes    int                 // under way at the same time, 64, and a quarter of it from one source; others wait for their turn
	AllowFrom        *receiver.AllowList // who may connect; others are closed at once and counted, see Status
}

// TCP receives syslog over TCP, framed as RFC 6587 says (see framer for how the two ways are told apart), or over TLS (RFC 5425), where
// the framing is told apart in the same way. A busy Sink makes the senders wait: nothing is lost as long as a connection stays open.
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

// ListenTCP binds addr, "host:port", as datagram.ListenUDP does. The caller calls Run, or Close where it doesn't come to that.
func ListenTCP(addr string, src receiver.Source, sink receiver.Sink, opt TCPOptions) (*TCP, error) {
	return listenStream("tcp", addr, src, sink, nil, opt)
}

// ListenTLS is ListenTCP for syslog over TLS. The caller runs the Credentials too, which several inputs may share.
func ListenTLS(addr string, src receiver.Source, sink receiver.Sink, creds *Credentials, opt TCPOptions) (*TCP, error) {
	return listenStream("tls", addr, src, sink, creds, opt)
}

func listenStream(name, addr string, src receiver.Source, sink receiver.Sink, creds *Credentials, opt TCPOptions) (*TCP, error) {
	// Peers that vanish without a FIN are found after goneTime: by the last of four probes, or because they don't acknowledge.
	l, err := bindStream(name, addr, net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: goneTime / 2, Interval: goneTime / 8, Count: 4},
		Control:         func(_, _ string, c syscall.RawConn) error { return limitUnacknowledged(c, goneTime) },
	})
	if err != nil {
		return nil, err
	}
	return newTCP(l, src, sink, creds, opt), nil
}

// bindStream listens at addr.
func bindStream(name, addr string, lc net.ListenConfig) (net.Listener, error) {
	l, err := lc.Listen(context.Background(), receiver.NetworkOf("tcp", addr), addr)
	if err != nil {
		return nil, receiver.BindError(name, addr, err)
	}
	return l, nil
}

// newTCP returns an input that accepts from l, which is its own from now on. creds are nil for plain TCP.
func newTCP(l net.Listener, src receiver.Source, sink receiver.Sink, creds *Credentials, opt TCPOptions) *TCP {
	orDefault(&opt.MaxConnections, defaultConnections)
	orDefault(&opt.MaxPerSource, defaultPerSource)
	orDefault(&opt.MaxHandshakes, defaultHandshakes)
	orDefault(&opt.IdleTimeout, defaultIdle)
	orDefault(&opt.MessageTimeout, defaultMessage)
	orDefault(&opt.HandshakeTimeout, defaultHandshake)
	return &TCP{src: src, sink: sink, opt: opt, listener: l, creds: creds, gate: newGate(opt)}
}

func orDefault[N int | time.Duration](n *N, def N) {
	if *n <= 0 {
		*n = def
	}
}

// Run accepts and reads connections until ctx ends. Then it stops listening, reads what the connections have already sent (until each
// is quiet for 100 ms, for 2 s at most), closes them, and returns nil when all of them are done. Call it once.
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
			// EMFILE, ENFILE, ENOMEM …: what is missing comes back when a connection ends, here or elsewhere.
			t.acceptErrors.Add(1)
			pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
}

// admit starts serving conn, or closes it and counts why. It is the one place where a connection is turned away for where it comes from.
func (t *TCP) admit(ctx context.Context, conn net.Conn, conns *sync.WaitGroup) {
	if !allowsPeer(t.opt.AllowFrom, conn) {
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

// read takes messages from a visitor, whose connection conn is or lies below conn, until its end, until it is too slow,
// or until ctx has ended and it is quiet.
func (t *TCP) read(ctx context.Context, v *visitor, conn net.Conn) {
	// A read that is waiting when ctx ends gets the short deadline here; the next ones get it below.
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

	in := framer{peer: peerOf(conn)}
	var slab receiver.Slab
	due := deadlines{message: t.opt.MessageTimeout, rest: min(t.opt.IdleTimeout, goneTime)}
	for greeted := false; ; {
		// Writes have it too: a TLS peer that asks for answers and doesn't read them would hold Read up.
		_ = conn.SetDeadline(due.next(&in, time.Now()))
		if ctx.Err() != nil { // looked at after the deadline was set, so that the one above can't undo that of AfterFunc
			_ = conn.SetDeadline(due.last(time.Now()))
		}
		n, err := conn.Read(in.space())
		now := time.Now()
		in.advance(n)
		if n == 0 && due.resting && ctx.Err() == nil && errors.Is(err, os.ErrDeadlineExceeded) {
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

// peerOf returns Slab.Peer for what comes through a connection.
func peerOf(conn net.Conn) netip.Addr {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return receiver.Elsewhere(tcp.AddrPort().Addr())
}

// countEnd counts the end of a connection that needs counting.
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

// deadlines says until when a connection's next read may take.
type deadlines struct {
	message time.Duration // that a message may take
	rest    time.Duration // that a read may take between messages, after which there is another one
	began   time.Time     // when the message that has not come whole yet did begin
	cuts    uint64        // framer.cuts at that time
	resting bool          // next was for a read between messages
	end     time.Time     // of reading after the input's context has ended
}

// next is for a connection with in as its framer that has been read from, and what came has been handed over.
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

// last is for one that shall end when it is quiet.
func (d *deadlines) last(now time.Time) time.Time {
	if d.end.IsZero() {
		d.end = now.Add(receiver.DrainLimit)
	}
	return earlier(d.end, now.Add(quietTime))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
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

// allowsPeer says whether the other end of a connection is on the list.
func allowsPeer(a *receiver.AllowList, conn net.Conn) bool {
	if a == nil {
		return true
	}
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && a.Allows(tcp.AddrPort().Addr())
}
