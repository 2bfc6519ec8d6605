package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

// A shippedForwarder is a syslog daemon with one of the files of deploy/rsyslog or deploy/syslog-ng, as it is.
type shippedForwarder struct {
	name, input string
	// start takes the directory of the certificates (tls) or the exporter's socket (unixgram) as place.
	start func(t testing.TB, place string, port int) *testenv.Forwarder
}

// kept reports whether messages wait on disk while the exporter is away.
func (s shippedForwarder) kept() bool { return s.input != "udp" && !s.lossy() }

// lossy reports whether all messages are lost that come while the exporter is away. omuxsock says "suspending" and goes on.
func (s shippedForwarder) lossy() bool {
	return s.name == "rsyslog UDP" || s.name == "rsyslog unix socket"
}

// args returns the exporter's arguments, and what start takes.
func (s shippedForwarder) args(t *testing.T, port int) (args []string, place string) {
	t.Helper()
	if s.input == "unixgram" {
		if os.Geteuid() != 0 {
			t.Skip("NOT TESTED, since it takes root: the exporter lets nobody else log for other processes")
		}
		place = filepath.Join(testenv.Dir(t), "log")
		return []string{"--listen-unixgram=" + place, "--listen-udp=off"}, place
	}
	args = []string{fmt.Sprintf("--listen-%s=127.0.0.1:%d", s.input, port)}
	if s.input != "udp" {
		args = append(args, "--listen-udp=off")
	}
	if s.input == "tls" {
		place = testpki.Write(t)
		args = append(args, tlsArgs(place)...)
	}
	return args, place
}

var shippedForwarders = []shippedForwarder{
	{"rsyslog UDP", "udp", func(t testing.TB, _ string, p int) *testenv.Forwarder {
		return testenv.StartRsyslog(t, "rsyncd_exporter-udp.conf", p)
	}},
	{"rsyslog TCP", "tcp", func(t testing.TB, _ string, p int) *testenv.Forwarder {
		return testenv.StartRsyslog(t, "rsyncd_exporter-tcp.conf", p)
	}},
	{"rsyslog TLS", "tls", func(t testing.TB, pki string, p int) *testenv.Forwarder { return testenv.StartRsyslogTLS(t, pki, p) }},
	{"syslog-ng UDP", "udp", func(t testing.TB, _ string, p int) *testenv.Forwarder {
		return testenv.StartSyslogNG(t, "rsyncd_exporter-udp.conf", p)
	}},
	{"syslog-ng TCP", "tcp", func(t testing.TB, _ string, p int) *testenv.Forwarder {
		return testenv.StartSyslogNG(t, "rsyncd_exporter-tcp.conf", p)
	}},
	{"syslog-ng TLS", "tls", func(t testing.TB, pki string, p int) *testenv.Forwarder {
		return testenv.StartSyslogNGTLS(t, "syslog", pki, p)
	}},
	{"syslog-ng network()", "tcp", func(t testing.TB, _ string, p int) *testenv.Forwarder {
		return testenv.StartSyslogNG(t, "rsyncd_exporter-network.conf", p)
	}},
	{"rsyslog unix socket", "unixgram", func(t testing.TB, socket string, _ int) *testenv.Forwarder {
		return testenv.StartRsyslogUnix(t, socket)
	}},
	{"syslog-ng unix socket", "unixgram", func(t testing.TB, socket string, _ int) *testenv.Forwarder {
		return testenv.StartSyslogNGUnix(t, socket)
	}},
}

// A loggingDaemon writes what an rsync daemon with several backups a second would, to the /dev/log of a forwarder.
type loggingDaemon struct {
	t        *testing.T
	conn     net.Conn
	pid      int
	began    []int // the pids of the sessions under way
	messages int
	slowest  time.Duration // of all writes
}

// log writes a message as syslog(3) does: a full socket makes it wait, as it does rsyncd.
func (d *loggingDaemon) log(pid int, text string) {
	d.t.Helper()
	before := time.Now()
	if err := d.conn.SetWriteDeadline(before.Add(time.Minute)); err != nil {
		d.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(d.conn, "<30>%s rsyncd[%d]: %s\n", before.Format(time.Stamp), pid, text); err != nil {
		d.t.Fatalf("message %d: %v after %v: the daemon would be held up", d.messages+1, err, time.Since(before))
	}
	d.slowest = max(d.slowest, time.Since(before))
	d.messages++
}

// session begins a session, and ends the one that was begun so many sessions before.
func (d *loggingDaemon) session(user string, behind int) {
	d.t.Helper()
	d.pid++
	d.log(d.pid, "connect from client (192.0.2.1)")
	d.log(d.pid, "rsync allowed access on module backup from client (192.0.2.1)")
	d.log(d.pid, fmt.Sprintf("rsync to backup/ from %s@client (192.0.2.1)", user))
	d.log(d.pid, "receiving file list")
	d.began = append(d.began, d.pid)
	for len(d.began) > behind {
		d.log(d.began[0], "recv client [192.0.2.1] backup (alice) photo.jpg 1000")
		d.log(d.began[0], summedUp)
		d.began = d.began[1:]
	}
}

func (d *loggingDaemon) to(f *testenv.Forwarder) {
	d.t.Helper()
	d.conn = dial(d.t, "unixgram", f.Socket)
}

// sessionsDuring begins and ends sessions of three seconds, five a second.
func (d *loggingDaemon) sessionsDuring(user string, during time.Duration) {
	d.t.Helper()
	const perSecond, lasting = 5, 3
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(time.Second / perSecond) {
		d.session(user, perSecond*lasting)
	}
}

// The exporter is away while sessions begin and end, for ten minutes in `make torture`. The forwarder holds nobody up, and sends again by
// itself. What goes by TCP or TLS is all counted afterwards, but for what was written into a connection that the exporter had just closed; by
// UDP rsyslog loses just what it sent meanwhile, and syslog-ng keeps 10,000 messages. So does rsyslog by a unix socket that is gone.
func TestOutageWithEachForwarder(t *testing.T) {
	t.Parallel()
	outage := time.Duration(testenv.Tortured(3, 600)) * time.Second
	for _, f := range shippedForwarders {
		if f.name == "syslog-ng network()" && outage < time.Minute {
			continue // the buffer is that of syslog-ng TCP
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			port := testenv.Port(t)
			args, pki := f.args(t, port)
			args = append(args, "--state-dir="+filepath.Join(testenv.Dir(t), "state"))
			e := startExporterProcess(t, nil, args...)
			forwarder := f.start(t, pki, port)
			d := &loggingDaemon{t: t, pid: 1000}
			d.to(forwarder)
			d.sessionsDuring("before", 2*time.Second)
			before := e.until(float64(d.messages), "rsync_messages_total")
			if err := e.Stop(); err != nil {
				t.Fatal(err)
			}
			down := d.messages
			d.session("during", 15) // of which each message may be written into the connection that is closed
			noticed(t, port)
			d.sessionsDuring("during", outage)
			up := d.messages
			if f.lossy() {
				idle(t, forwarder)
			}
			e = startExporterProcess(t, nil, args...)
			began := time.Now()
			for total(e.scrape(), "rsync_messages_total") == total(before, "rsync_messages_total") {
				d.session("after", 15)
				time.Sleep(time.Second / 5)
			}
			t.Logf("the first message came after %v; the slowest write took %v", time.Since(began), d.slowest)
			d.session("last", 0) // it comes last: the queues keep the order
			var s map[string]float64
			testenv.Until(t, 3*time.Minute, "the last session", func() bool {
				s = e.scrape()
				return total(s, "rsync_last_success_timestamp_seconds", `user="last"`) > 0
			})
			e.identities(s)
			e.want(s, 0, "rsync_messages_total", `kind="implausible"`) // such as a second connect, or one behind its session's lines
			f.checkOutage(t, s, d, up-down)
		})
	}
}

// noticed waits until nobody keeps a connection to a port of this machine whose other end is closed.
func noticed(t *testing.T, port int) {
	t.Helper()
	closeWait := regexp.MustCompile(fmt.Sprintf(`(?m)^ *\d+: \S+ \S+:%04X 08 `, port)) // TCP_CLOSE_WAIT, proc(5)
	testenv.Until(t, patient, "the forwarder to notice", func() bool {
		b, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			t.Fatal(err)
		}
		return !closeWait.Match(b)
	})
}

// idle waits until no thread of a forwarder has anything to do: each passes on what it has before it waits again.
func idle(t *testing.T, f *testenv.Forwarder) {
	t.Helper()
	testenv.Until(t, patient, "the forwarder to have nothing to do", func() bool {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", f.Pid()))
		if err != nil || len(stats) == 0 {
			t.Fatalf("no threads: %v", err)
		}
		for _, path := range stats {
			stat, err := os.ReadFile(path) // "pid (name) S …", proc(5)
			if err == nil && !strings.Contains(string(stat), ") S ") {
				return false
			}
		}
		return true
	})
}

// checkOutage asserts what is counted in the end. So many messages were logged while the exporter was away.
func (f shippedForwarder) checkOutage(t *testing.T, s map[string]float64, d *loggingDaemon, away int) {
	t.Helper()
	got := int(total(s, "rsync_messages_total") + total(s, "rsyncd_exporter_socket_drops_total"))
	n := total(s, "rsync_session_duration_seconds_count")
	t.Logf("%d of %d messages are counted, %d were logged meanwhile; %v sessions of %.3g s, %v of at most 10 s", got, d.messages, away, n,
		total(s, "rsync_session_duration_seconds_sum")/n, total(s, "rsync_session_duration_seconds_bucket", `le="10"`))
	const burst = 6 // messages that are logged together
	least := d.messages - burst
	switch {
	case f.lossy() && got != d.messages-away:
		t.Errorf("%d messages are counted, want %d: those that weren't sent into the void", got, d.messages-away)
	case f.lossy():
		return
	case f.input == "udp":
		least -= max(0, away-10000)
	}
	if got < least || got > d.messages {
		t.Errorf("%d messages are counted, want %d to %d", got, least, d.messages)
	}
}
