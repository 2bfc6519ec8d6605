package stream

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/receiver"
)

// A handed listener accepts the connections that a test hands it.
type handed struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newHanded() *handed {
	closed := make(chan struct{})
	return &handed{make(chan net.Conn), closed, sync.OnceFunc(func() { close(closed) })}
}

func (l *handed) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *handed) Addr() net.Addr { return &net.TCPAddr{} }
func (l *handed) Close() error   { l.close(); return nil }

// At the end a quiet connection costs its time, and one whose sender never pauses no more than the limit.
func TestShutdownsTime(t *testing.T) {
	for name, c := range map[string]struct{ pause, want time.Duration }{
		"quiet": {0, quietTime},
		// The limit counts from the first message that comes after the end.
		"never quiet": {50 * time.Millisecond, 40*time.Millisecond + receiver.DrainLimit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newHanded()
				in := newTCP(l, receiver.Source{Name: "tcp"}, receivertest.NewSink(false), nil, TCPOptions{})
				ctx, end := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- in.Run(ctx) }()
				ours, theirs := net.Pipe()
				l.conns <- theirs
				var sender sync.WaitGroup
				defer sender.Wait()
				sender.Go(func() {
					for err := error(nil); c.pause > 0 && err == nil; time.Sleep(c.pause) {
						_, err = ours.Write([]byte("<30>on and on\n"))
					}
				})
				time.Sleep(1010 * time.Millisecond)
				began := time.Now()
				end()
				if err := <-done; err != nil || time.Since(began) != c.want {
					t.Errorf("Run ended after %v with %v, want %v", time.Since(began), err, c.want)
				}
			})
		})
	}
}

// A starved connection is that of a process without a processor: the time of its next reads is over before they look.
type starved struct {
	*net.TCPConn
	late atomic.Int32 // that many are
}

func (c *starved) Read(b []byte) (int, error) {
	if c.late.Load() > 0 {
		c.late.Add(-1)
		return 0, os.ErrDeadlineExceeded
	}
	return c.TCPConn.Read(b)
}

// What has arrived before the end is read on a busy machine, too.
func TestShutdownOnABusyMachine(t *testing.T) {
	real, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer real.Close()
	to, err := net.Dial("tcp4", real.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	conn, err := real.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	l, sink, from := newHanded(), receivertest.NewSink(true), &starved{TCPConn: conn}
	in := newTCP(l, receiver.Source{Name: "tcp"}, sink, nil, TCPOptions{})
	stop := receivertest.Start(t, in)
	l.conns <- from
	receivertest.Reach(t, "the connection is there", func() bool { return in.gate.connections() == 1 })
	before, _ := in.QuietSince()
	receivertest.Send(t, to, "<30>first\n")
	receivertest.Reach(t, "the first message has been read", func() bool {
		now, _ := in.QuietSince()
		return now[0] > before[0]
	})
	receivertest.Send(t, to, "<30>second\n")
	receivertest.Reach(t, "the second message has arrived", func() bool { return canBeRead(conn) })
	from.late.Store(5)
	time.AfterFunc(50*time.Millisecond, func() { sink.Hold(false) })
	stop()
	if got, _ := sink.All(); !slices.Equal(got, []string{"<30>first", "<30>second"}) {
		t.Errorf("got %q, want both messages", got)
	}
}

// A turn that is free is taken, though the time for it has passed: it's the handshake then that fails.
func TestAFreeTurnIsTaken(t *testing.T) {
	g := newGate(TCPOptions{MaxHandshakes: 4})
	from := &sender{handshakes: make(chan struct{}, 1)}
	passed := make(chan struct{})
	close(passed)
	for range 100 {
		if !g.startHandshake(from, passed) {
			t.Fatal("it is refused")
		}
		if g.startHandshake(from, passed) {
			t.Fatal("one source has two turns")
		}
		g.endHandshake(from)
	}
}
