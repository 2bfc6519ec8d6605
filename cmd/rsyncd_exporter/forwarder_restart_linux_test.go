package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// What waits in a forwarder for an exporter that is away outlives the forwarder. After a restart it is all counted, once, but for the one
// message that rsyslog is trying to send when it stops; after a SIGKILL, but for the ten messages that
// queue.checkpointInterval allows. syslog-ng loses none either way.
func TestForwarderIsRestartedWhileTheExporterIsAway(t *testing.T) {
	t.Parallel()
	const messages = 1000
	for _, f := range shippedForwarders {
		if !f.kept() {
			continue
		}
		for _, c := range []struct {
			name    string
			signals []syscall.Signal
		}{
			{"restarted twice", []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}}, // the second time its queue is full at once
			{"killed", []syscall.Signal{syscall.SIGKILL}},
			{"restarted and killed", []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}},
		} {
			if f.name == "syslog-ng network()" || f.input == "unixgram" && c.name != "restarted and killed" {
				continue // the buffer is that of syslog-ng TCP
			}
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

// While the exporter is away for longer than the queue has room, new messages are dropped, and no writer is held up: more are logged than
// would fit into a forwarder that waits. Once the exporter is back the oldest arrive, and then what is logged next. A unix socket is there
// meanwhile, and nobody reads it.
func TestFullQueueHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	const messages = 200_000 // rsyslog's main queue, which may fill first, holds 100,000
	for _, f := range shippedForwarders {
		if !f.kept() && f.input != "unixgram" || f.name == "syslog-ng network()" || f.name == "syslog-ng unix socket" {
			continue // the buffer of the last two is that of syslog-ng TCP
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			port := testenv.Port(t)
			args, pki := f.args(t, port)
			e, comes := f.absent(t, args)
			forwarder := f.start(t, pki, port)
			if strings.HasPrefix(f.name, "rsyslog") {
				forwarder.Change(t, `queue.maxDiskSpace="1g"`, `queue.maxDiskSpace="1m" queue.maxFileSize="100k"`)
			} else {
				forwarder.Change(t, "disk-buf-size(1073741824)", "disk-buf-size(1048576)") // the least that there is
			}
			d := &loggingDaemon{t: t, pid: 1000}
			d.to(forwarder)
			for i, began := 0, time.Now(); i < messages; i++ {
				d.log(1001, fmt.Sprintf("send localhost [127.0.0.1] data () sub/c.dat %d", i))
				if time.Since(began) > 5*time.Minute { // it takes a second or two
					t.Fatalf("%d of %d messages were written within five minutes: who logs is held up", i+1, messages)
				}
			}
			comes()
			testenv.Until(t, time.Minute, "the first messages", func() bool { return total(e.scrape(), "rsync_messages_total") > 0 })
			var s map[string]float64
			testenv.Until(t, time.Minute, "a message that is logged once there is room", func() bool {
				d.log(506, "connect from localhost (127.0.0.1)")
				s = e.scrape()
				return total(s, "rsync_connections_total") > 0
			})
			if got := total(s, "rsync_messages_total", `kind="transfer"`); got < 500 || got >= messages {
				t.Errorf("%v of %d messages came from a queue that holds 700 at least", got, messages)
			}
			t.Logf("%v of %d messages came; the slowest write took %v", total(s, "rsync_messages_total"), messages, d.slowest)
			e.identities(s)
		})
	}
}

// absent returns an exporter that takes nothing before comes is called: it isn't there, or stands still behind its unix socket.
func (s shippedForwarder) absent(t *testing.T, args []string) (e *exporter, comes func()) {
	t.Helper()
	if s.input == "unixgram" {
		p := startExporterProcess(t, nil, args...)
		p.signal(syscall.SIGSTOP)
		return p.exporter, func() { p.signal(syscall.SIGCONT) }
	}
	e = &exporter{}
	return e, func() { *e = *startExporter(t, args...) }
}

// The socket of an exporter on the same machine stays while the exporter stands still, as it does behind a socket unit. What a forwarder
// can't write into it waits, and nothing is lost.
func TestForwardersWaitForAnExporterThatStandsStill(t *testing.T) {
	t.Parallel()
	const messages = 5000 // of which the kernel's queue holds 11
	for _, f := range shippedForwarders {
		if f.input != "unixgram" {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			args, socket := f.args(t, 0)
			e, comes := f.absent(t, args)
			want := logTransfers(t, f.start(t, socket, 0).Socket, messages)
			comes()
			s := e.until(messages, "rsync_messages_total", `kind="transfer"`)
			e.want(s, want, "rsync_file_bytes_total")
			e.want(s, 0, "rsyncd_exporter_discarded_total")
		})
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
