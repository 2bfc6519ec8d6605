package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultConnections = 1024
	defaultIdle        = 10 * time.Minute

	quietTime = 100 * time.Millisecond // at the end, a connection that sends nothing for so long has been read to its end

	minAcceptPause = 5 * time.Millisecond // after a failed accept, doubled each time, as net/http does it
	maxAcceptPause = time.Second
)

// TCPOptions are the settings of a TCP input. Zero values stand for the defaults.
type TCPOptions struct {
	MaxConnections int           // open at the same time, 1024; more are closed at once and counted, see Refused
	IdleTimeout    time.Duration // a connection that sends nothing for so long is closed, 10 minutes
	AllowFrom      *AllowList    // who may connect; others are closed at once and counted, see Refused
}

// TCP receives syslog over TCP, framed as RFC 6587 says (see framer for how the two ways are told apart). A busy Sink makes the senders
// wait: nothing is lost as long as a connection stays open.
type TCP struct {
	src      Source
	sink     Sink
	opt      TCPOptions
	listener net.Listener

	open         atomic.Int64
	refused      atomic.Uint64
	acceptErrors atomic.Uint64
}

// ListenTCP binds addr as ListenUDP does. The caller calls Run, or Close where it doesn't come to that.
func ListenTCP(addr string, src Source, sink Sink, opt TCPOptions) (*TCP, error) {
	if opt.MaxConnections <= 0 {
		opt.MaxConnections = defaultConnections
	}
	if opt.IdleTimeout <= 0 {
		opt.IdleTimeout = defaultIdle
	}
	// Peers that vanish without a FIN are found after two minutes.
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}}
	l, err := lc.Listen(context.Background(), networkOf("tcp", addr), addr)
	if err != nil {
		return nil, bindError("tcp", addr, err)
	}
	return &TCP{src: src, sink: sink, opt: opt, listener: l}, nil
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

// admit starts reading conn, or closes it when its peer isn't allowed or there are too many.
func (t *TCP) admit(ctx context.Context, conn net.Conn, conns *sync.WaitGroup) {
	if !t.opt.AllowFrom.allowsPeer(conn) || t.open.Load() >= int64(t.opt.MaxConnections) {
		t.refused.Add(1)
		conn.Close()
		return
	}
	t.open.Add(1)
	conns.Go(func() {
		defer t.open.Add(-1)
		defer conn.Close()
		t.read(ctx, conn)
	})
}

// read takes messages from conn until its end, until it is idle for too long, or until ctx has ended and it is quiet.
func (t *TCP) read(ctx context.Context, conn net.Conn) {
	// A read that is waiting when ctx ends gets the short deadline here; the next ones get it from deadline.
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = conn.SetReadDeadline(time.Now().Add(quietTime))
	})
	defer func() {
		if !stop() {
			<-woken
		}
	}()

	var in framer
	var slab Slab
	var end time.Time // of reading after ctx has ended
	for {
		_ = conn.SetReadDeadline(time.Now().Add(t.opt.IdleTimeout))
		if ctx.Err() != nil { // looked at after the deadline was set, so that the one above can't undo that of AfterFunc
			now := time.Now()
			if end.IsZero() {
				end = now.Add(drainLimit)
			}
			_ = conn.SetReadDeadline(earlier(end, now.Add(quietTime)))
		}
		n, err := conn.Read(in.space())
		at := time.Now().UnixNano()
		in.advance(n)
		if in.deliver(&t.src, t.sink, &slab, at) != nil {
			return
		}
		if err != nil {
			in.finish(&slab, errors.Is(err, io.EOF))
			deliverAny(&t.src, t.sink, &slab, at)
			return
		}
	}
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

// Connections returns how many connections are open. It may be called at any time, as may the other counts.
func (t *TCP) Connections() int { return int(t.open.Load()) }

// Refused returns how many connections were closed because their peer was not allowed or there were too many.
func (t *TCP) Refused() uint64 { return t.refused.Load() }

// AcceptErrors returns how often a connection could not be accepted, for lack of file descriptors for example.
func (t *TCP) AcceptErrors() uint64 { return t.acceptErrors.Load() }

// Addr returns the address that is bound.
func (t *TCP) Addr() net.Addr { return t.listener.Addr() }

// String returns the Source's name.
func (t *TCP) String() string { return t.src.Name }
