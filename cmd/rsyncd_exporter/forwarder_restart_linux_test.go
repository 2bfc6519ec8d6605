package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// What waits in a forwarder for an exporter that is away outlives the forwarder. After a restart it is all counted, once and
// in order, but for the one message that rsyslog is trying to send when it stops; after a SIGKILL, but for the ten
// messages that queue.checkpointInterval allows. syslog-ng loses none either way.
func TestForwarderIsRestartedWhileTheExporterIsAway(t *testing.T) {
	const messages = 1000
	for _, f := range shippedForwarders {
		if !f.kept() {
			continue
		}
		for _, c := range []struct {
			name    string
			signals []syscall.Signal
		}{
			{"restarted", []syscall.Signal{syscall.SIGTERM}},
			{"killed", []syscall.Signal{syscall.SIGKILL}},
			{"restarted and killed", []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}},
		} {
			t.Run(f.name+", "+c.name, func(t *testing.T) {
				t.Parallel()
				port := testenv.Port(t)
				args, pki := f.args(t, port)
				forwarder := f.start(t, pki, port)
				logTransfers(t, forwarder.Socket, messages)
				lost, doubled := 0.0, 0.0
				for _, signal := range c.signals {
					settled(t, forwarder)
					endBy(t, forwarder, signal)
					forwarder.Start(t)
					if strings.HasPrefix(f.name, "rsyslog") && signal == syscall.SIGTERM {
						lost++
					} else if strings.HasPrefix(f.name, "rsyslog") {
						lost, doubled = lost+10, doubled+10
					}
				}

				e := startExporter(t, args...)
				s := afterAll(t, e, forwarder)
				got := total(s, "rsync_messages_total", `kind="transfer"`)
				if got < messages-lost || got > messages+doubled {
					t.Errorf("%v messages are counted, want %d, at most %v less or %v more", got, messages, lost, doubled)
				}
				t.Logf("%v of %d messages are counted", got, messages)
				e.identities(s)
			})
		}
	}
}

// settled waits until a forwarder has taken all that was logged, and keeps it on disk.
func settled(t *testing.T, f *testenv.Forwarder) {
	t.Helper()
	f.Ready(t, "its queue to hold all that was logged", func() bool { return f.Queued(t, "sub/c.dat 998001") })
}

// endBy ends a forwarder by a signal.
func endBy(t *testing.T, f *testenv.Forwarder, s syscall.Signal) {
	t.Helper()
	if err := f.Signal(s); err != nil {
		t.Fatal(err)
	}
	select {
	case <-f.Ended():
	case <-time.After(time.Minute):
		t.Fatalf("it hasn't ended by %v", s)
	}
}

// afterAll logs one message more, and returns the first scrape that has it: queues keep the order.
func afterAll(t *testing.T, e *exporter, f *testenv.Forwarder) map[string]float64 {
	t.Helper()
	conn := dial(t, "unixgram", f.Socket)
	if _, err := fmt.Fprint(conn, "<30>Nov 23 18:40:52 rsyncd[506]: connect from localhost (127.0.0.1)"); err != nil {
		t.Fatal(err)
	}
	return e.until(1, "rsync_connections_total")
}
