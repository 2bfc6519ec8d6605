package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
)

func listenTCP(t *testing.T, sink receiver.Sink, opt stream.TCPOptions) *stream.TCP {
	t.Helper()
	l, err := stream.ListenTCP("127.0.0.1:0", receiver.Source{Input: "tcp", Name: "tcp 127.0.0.1:0"}, sink, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dialTCP(t *testing.T, l *stream.TCP) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// wantRefused waits until so many connections were refused for the reason, and expects that none was for another one.
func wantRefused(t *testing.T, l *stream.TCP, reason stream.Refusal, n uint64) {
	t.Helper()
	reach(t, fmt.Sprintf("%d refused as %v; so far %v", n, reason, l.Status().Refused), func() bool { return l.Refused(reason) == n })
	for r := range stream.NumRefusals {
		if got := l.Refused(r); r != reason && got != 0 {
			t.Errorf("%d connections refused as %v, want none", got, r)
		}
	}
}

// closedByPeer waits until the other side has closed the connection.
func closedByPeer(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection is still open after a minute")
	}
}

// FAULTS T6: one byte per segment, and as much as fits, from real forwarders' streams, all at once over several connections.
func TestTCPRealStreams(t *testing.T) {
	var streams [][]byte
	for _, name := range []string{"rsyslog-forward-tcp-lf.raw", "rsyslog-rfc5424-tcp-octet.raw", "syslogng-syslog-tcp-octet.raw"} {
		b := corpus.ReadFile(t, filepath.Join(corpus.Dir(), "forwarded", name))
		streams = append(streams, b)
	}
	sink := newHoldSink(false)
	l := listenTCP(t, sink, stream.TCPOptions{})
	start(t, l)
	var senders sync.WaitGroup
	for i, s := range streams {
		c := dialTCP(t, l)
		senders.Go(func() { // 1087 messages at once
			if _, err := c.Write(s); err != nil {
				t.Error(err)
			}
			c.Close()
		})
		c2 := dialTCP(t, l)
		senders.Go(func() { // and those of the first 5000 bytes, one by one; package net sets TCP_NODELAY
			for j := range 5000 {
				if _, err := c2.Write(s[j : j+1]); err != nil {
					t.Errorf("stream %d: %v", i, err)
				}
			}
			c2.Close()
		})
	}
	want := uint64(0)
	for _, s := range streams {
		first := cutAll(t, string(s[:5000]), atOnce)
		want += 1087 + uint64(len(first.messages)) + uint64(first.discarded[receiver.Incomplete])
	}
	senders.Wait()
	reach(t, "all received", func() bool { return sink.Received() == want && l.Status().Connections == 0 })
}

// FAULTS T9: a last message without its end is none, whether the connection was closed or broke.
func TestTCPEndOfConnection(t *testing.T) {
	for _, tt := range []struct {
		name, stream string
		reset        bool
		messages     []string
		incomplete   uint64
	}{
		{"line, closed", "<30>a\n<30>b", false, []string{"<30>a"}, 1},
		{"line, reset", "<30>a\n<30>b", true, []string{"<30>a"}, 1},
		{"frame, closed", "5 <30>a9 <30>b", false, []string{"<30>a"}, 1},
		{"frame, reset", "5 <30>a9 <30>b", true, []string{"<30>a"}, 1},
	} {
		sink := newHoldSink(false)
		l := listenTCP(t, sink, stream.TCPOptions{})
		stop := start(t, l)
		c := dialTCP(t, l)
		send(t, c, tt.stream)
		reach(t, "the first message", func() bool { return sink.Received() > 0 }) // a reset throws away what has not been read
		if tt.reset {
			if err := c.SetLinger(0); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		reach(t, "the connection's end", func() bool { return l.Status().Connections == 0 })
		stop()
		if got, discarded := sink.All(); !slices.Equal(got, tt.messages) || discarded[receiver.Incomplete] != tt.incomplete {
			t.Errorf("%s: got %q, %d incomplete; want %q, %d", tt.name, got, discarded[receiver.Incomplete], tt.messages, tt.incomplete)
		}
	}
}

// FAULTS T1 to T3: a wrong count ends its own connection, and only that; what has no end takes no memory.
func TestTCPBadLengthEndsTheConnection(t *testing.T) {
	sink := newHoldSink(false)
	l := listenTCP(t, sink, stream.TCPOptions{})
	start(t, l)
	good := dialTCP(t, l)
	bad := []string{"0000000", "2147483648 ", "5\t<30>a", "2026 lines"[:4] + "x", "<30>a\n"}
	for _, stream := range bad {
		c := dialTCP(t, l)
		send(t, c, "10 <30>before"+stream)
		closedByPeer(t, c)
	}
	send(t, good, "<30>after\n")
	reach(t, "all counted", func() bool { return sink.Received() == uint64(2*len(bad)+1) })
	if _, discarded := sink.All(); discarded[receiver.BadLength] != uint64(len(bad)) {
		t.Errorf("%d bad lengths, want %d", discarded[receiver.BadLength], len(bad))
	}
}

func TestTCPLineWithoutEndTakesNoMemory(t *testing.T) {
	sink := newHoldSink(false)
	l := listenTCP(t, sink, stream.TCPOptions{})
	start(t, l)
	c := dialTCP(t, l)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	block := bytes.Repeat([]byte("x"), 1<<20)
	for range 16 {
		if _, err := c.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	send(t, c, "\n<30>after\n")
	reach(t, "the next message", func() bool { return sink.Received() == 2 })
	runtime.ReadMemStats(&after)
	if d := after.TotalAlloc - before.TotalAlloc - uint64(len(block)); d > 1<<20 {
		t.Errorf("a line of 16 MiB had %d bytes allocated", d)
	}
	if got, discarded := sink.All(); !slices.Equal(got, []string{"<30>after"}) || discarded[receiver.Oversize] != 1 {
		t.Errorf("got %q, %v", got, discarded)
	}
}

// FAULTS T16: a busy pipeline makes the sender wait, and nothing is lost.
func TestTCPBusySinkMakesTheSenderWait(t *testing.T) {
	sink := newHoldSink(true)
	l := listenTCP(t, sink, stream.TCPOptions{})
	start(t, l)
	c := dialTCP(t, l)
	if err := c.SetWriteBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	sent := make(chan int)
	waited := make(chan struct{})
	go func() {
		defer close(sent)
		line := 0
		for more := -1; more != 0 && line < 10_000; more-- { // 80 MB, or a hundred lines after it had to wait
			message := fmt.Sprintf("<30>%06d %s\n", line, strings.Repeat("x", 8000))
			_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := io.WriteString(c, message)
			if errors.Is(err, os.ErrDeadlineExceeded) && more < 0 {
				close(waited)
				more = 100
				_ = c.SetWriteDeadline(time.Time{})
				_, err = io.WriteString(c, message[n:])
			}
			if err != nil {
				t.Error(err)
				break
			}
			line++
		}
		c.Close()
		sent <- line
	}()
	select {
	case <-waited:
	case <-time.After(time.Minute):
		t.Fatal("80 MB were sent to a sink that takes nothing")
	}
	sink.Hold(false)
	n := <-sent
	reach(t, "all received", func() bool { return sink.Received() == uint64(n) })
	got, _ := sink.All()
	if len(got) != n || !slices.IsSorted(got) {
		t.Errorf("%d messages, in order: %v; want %d, true", len(got), slices.IsSorted(got), n)
	}
}

// What was sent before the end is read, on every connection, and then Run waits for nobody.
func TestTCPShutdown(t *testing.T) {
	sink := newHoldSink(false)
	l := listenTCP(t, sink, stream.TCPOptions{})
	stop := start(t, l)
	var conns []*net.TCPConn
	for range 20 {
		c := dialTCP(t, l)
		send(t, c, "<30>first\n")
		conns = append(conns, c)
	}
	reach(t, "all connections are open", func() bool { return sink.Received() == 20 })
	sink.Hold(true) // the readers wait with what comes now
	for i, c := range conns {
		for range i {
			send(t, c, "<30>queued\n")
		}
		send(t, c, "<30>half")
	}
	time.AfterFunc(50*time.Millisecond, func() { sink.Hold(false) })
	stop()
	got, discarded := sink.All()
	if want := 20 + 19*20/2; len(got) != want || discarded[receiver.Incomplete] != 20 {
		t.Errorf("%d messages, %d incomplete; want %d, 20", len(got), discarded[receiver.Incomplete], want)
	}
	if l.Status().Connections != 0 {
		t.Errorf("%d connections open after the end", l.Status().Connections)
	}
	if _, err := l.Listener().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it still listens: %v", err)
	}
}

// A sender that never pauses can't keep Run from ending. TestShutdownsTime has how long it takes.
func TestTCPShutdownUnderLoad(t *testing.T) {
	t.Parallel()
	sink := newHoldSink(false)
	l := listenTCP(t, sink, stream.TCPOptions{})
	stop := start(t, l)
	c := dialTCP(t, l)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := c.Write([]byte("<30>on and on\n")); err != nil {
				return
			}
		}
	}()
	reach(t, "the load is there", func() bool { return sink.Received() > 100 })
	stop()
	<-done
}

// Close of an input that never ran, and of one that has ended, is no error.
func TestTCPClose(t *testing.T) {
	l := listenTCP(t, newHoldSink(false), stream.TCPOptions{})
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if err := l.Run(context.Background()); err == nil {
		t.Error("Run of a closed input returned nil")
	}
}
