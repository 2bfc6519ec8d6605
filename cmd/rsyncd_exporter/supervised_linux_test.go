package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/ownlog"
	"rsyncd_exporter/internal/systemd"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/datagram"
	"rsyncd_exporter/rsynclog"
)

func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// listenNotify makes NOTIFY_SOCKET a socket. next returns the next state, or "" when there is none in time, and drop
// takes those that have been told already.
func listenNotify(t *testing.T) (next func(within time.Duration) string, drop func()) {
	t.Helper()
	path := filepath.Join(testenv.Dir(t), "notify")
	s, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	buf := make([]byte, 100)
	next = func(within time.Duration) string {
		s.SetReadDeadline(time.Now().Add(within))
		n, _ := s.Read(buf)
		return string(buf[:n])
	}
	return next, func() {
		raw, err := s.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) {
			for err == nil {
				_, _, err = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			}
		})
		if err != unix.EAGAIN {
			t.Fatal(err)
		}
	}
}

// FAULTS L11, the protocol as the whole program speaks it: READY=1 when /-/ready answers, then WATCHDOG=1 as long as it is well, and
// STOPPING=1 before it ends.
func TestSupervisorIsTold(t *testing.T) {
	testenv.SetEnv(t)
	next, _ := listenNotify(t)
	t.Setenv("WATCHDOG_USEC", "2000000")
	http := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	ctx, cancel := context.WithCancel(t.Context())
	status := make(chan int, 1)
	var log lockedBuffer
	began := time.Now() // what has been told waits in the socket, however late this test reads it
	go func() {
		status <- run(ctx, []string{"--http-listen=" + http, "--listen-udp=127.0.0.1:0"}, strings.NewReader(""), &log, &log)
	}()
	if got := next(time.Minute); got != systemd.Ready {
		t.Fatalf("first %q, want READY=1\n%s", got, log.String())
	}
	(&exporter{t, "http://" + http}).scrape()
	for range 3 {
		if got := next(time.Minute); got != systemd.Watchdog {
			t.Fatalf("%q, want WATCHDOG=1\n%s", got, log.String())
		}
	}
	if d := time.Since(began); d < 2*time.Second {
		t.Errorf("three times alive within %v: the watchdog's half is a second", d)
	}
	cancel()
	if got := next(time.Minute); got != systemd.Stopping {
		t.Errorf("at the end %q, want STOPPING=1", got)
	}
	if got := <-status; got != exitOK {
		t.Errorf("exit status %d\n%s", got, log.String())
	}
}

// A blockedSink never returns: what a reader with a mistake in it would do.
type blockedSink struct {
	entered, release chan struct{}
}

func (s blockedSink) TryDeliver(*receiver.Source, *receiver.Slab) bool {
	close(s.entered)
	<-s.release
	return true
}
func (s blockedSink) Deliver(*receiver.Source, *receiver.Slab) {}

// A blockedDialect holds the pipeline's lock for as long as a header takes to be read.
type blockedDialect struct{ blockedSink }

func (d blockedDialect) Scan([]byte, *receiver.Message) receiver.Discard {
	d.TryDeliver(nil, nil)
	return receiver.NoHeader
}

// FAULTS L11: a real reader that is stuck, and a real pipeline whose lock nobody gets, are not called alive, and the log says what is stuck.
func TestWatchdogIsNotFedByTheDead(t *testing.T) {
	for _, c := range []struct {
		name, stuck string
		block       func(t *testing.T, b blockedSink, p *pipeline.Pipeline) (tasks []task, hearts []systemd.Heart)
	}{
		{"reader", "udp 127.0.0.1:0", func(t *testing.T, b blockedSink, p *pipeline.Pipeline) ([]task, []systemd.Heart) {
			u, err := datagram.ListenUDP("127.0.0.1:0", receiver.Source{Name: "udp 127.0.0.1:0"}, b, datagram.UDPOptions{})
			if err != nil {
				t.Fatal(err)
			}
			conn := dial(t, "udp", u.Addr().String())
			return []task{u, taskFunc(func(context.Context) error { _, err := conn.Write([]byte("<30>x")); return err })}, []systemd.Heart{u}
		}},
		{"pipeline", "session ticker", func(t *testing.T, b blockedSink, p *pipeline.Pipeline) ([]task, []systemd.Heart) {
			src := &receiver.Source{Input: "tcp", Name: "tcp", Dialect: blockedDialect{b}}
			return []task{taskFunc(func(context.Context) error {
				p.Deliver(src, &receiver.Slab{Messages: [][]byte{[]byte("<30>x")}})
				return nil
			})}, nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			next, drop := listenNotify(t)
			var out lockedBuffer
			p, err := pipeline.New(pipeline.Config{LogFormat: "%o %f %l", MaxSeries: 100, Limits: rsynclog.DefaultLimits()})
			if err != nil {
				t.Fatal(err)
			}
			const watchdog = time.Second
			b := blockedSink{make(chan struct{}), make(chan struct{})}
			tick := newTicker(p, &config.Config{Watchdog: watchdog}, slog.New(slog.DiscardHandler))
			tasks, hearts := c.block(t, b, p)
			s := &systemd.Supervised{Ready: closedChannel(), Watchdog: watchdog, Hearts: append(hearts, tick), Log: ownlog.New(&out, slog.LevelInfo)}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- runAll(ctx, append(tasks, tick, s)) }()
			<-b.entered
			if got := next(time.Minute); got != systemd.Ready {
				t.Errorf("first %q, want READY=1", got)
			}
			// One look may still find a beat from before; the second can't.
			testenv.Until(t, time.Minute, "the log to name what is stuck", func() bool {
				return strings.Contains(out.String(), fmt.Sprintf("what=%q", c.stuck)) || strings.Contains(out.String(), "what="+c.stuck)
			})
			drop()
			if got := next(2 * watchdog); got != "" {
				t.Errorf("%q while the %s is stuck", got, c.name)
			}
			close(b.release)
			if got := next(time.Minute); got != systemd.Watchdog {
				t.Errorf("%q after it came free, want WATCHDOG=1", got)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// A supervisor that is gone is no reason to end, nor one that never was. The log says so once.
func TestSupervisorCantBeTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	var out lockedBuffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&systemd.Supervised{Ready: closedChannel(), Log: ownlog.New(&out, slog.LevelInfo)}).Run(ctx); err != nil {
		t.Error(err)
	}
	if got := out.String(); strings.Count(got, "msg=\"the supervisor can't be told\"") != 1 || !strings.Contains(got, "NOTIFY_SOCKET=") {
		t.Errorf("the log says %q", got)
	}
}
