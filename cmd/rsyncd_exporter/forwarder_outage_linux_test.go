package main

import (
	"fmt"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

// A shippedForwarder is a syslog daemon with one of the files of deploy/rsyslog or deploy/syslog-ng, as it is.
type shippedForwarder struct {
	name, input string
	start       func(t testing.TB, pki string, port int) *testenv.Forwarder
}

// kept reports whether messages wait while the exporter is away.
func (s shippedForwarder) kept() bool { return s.input != "udp" }

// args returns the exporter's arguments, and the directory of the certificates.
func (s shippedForwarder) args(t *testing.T, port int) (args []string, pki string) {
	t.Helper()
	args = []string{fmt.Sprintf("--listen-%s=127.0.0.1:%d", s.input, port)}
	if s.input != "udp" {
		args = append(args, "--listen-udp=off")
	}
	if s.input == "tls" {
		pki = testpki.Write(t)
		args = append(args, tlsArgs(pki)...)
	}
	return args, pki
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
}

// A loggingDaemon writes what an rsync daemon with several backups a second would, to the /dev/log of a forwarder.
type loggingDaemon struct {
	t        *testing.T
	conn     net.Conn
	pid      int
	began    []int // the pids of the sessions under way
	messages int
	slowest  time.Duration // write
}

// log writes a message as syslog(3) does: a full socket makes it wait, as it does rsyncd.
func (d *loggingDaemon) log(pid int, text string) {
	d.t.Helper()
	before := time.Now()
	if err := d.conn.SetWriteDeadline(before.Add(30 * time.Second)); err != nil {
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

// The exporter is away while sessions begin and end, for ten minutes in `make torture`. The forwarder holds nobody up. What
// it sent by TCP or TLS is all there afterwards, once, with the times at which it was logged; what it sent by UDP
// meanwhile is lost, and nothing else.
func TestOutageWithEachForwarder(t *testing.T) {
	const perSecond, lasting = 5, 3 // sessions, seconds
	outage := time.Duration(testenv.Tortured(4, 600)) * time.Second
	for _, f := range shippedForwarders {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			port := testenv.Port(t)
			args, pki := f.args(t, port)
			args = append(args, "--state-dir="+filepath.Join(testenv.Dir(t), "state"))
			e := startExporterProcess(t, nil, args...)
			forwarder := f.start(t, pki, port)
			d := &loggingDaemon{t: t, pid: 1000}
			d.to(forwarder)
			sessions := func(user string, during time.Duration) {
				t.Helper()
				for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(time.Second / perSecond) {
					d.session(user, perSecond*lasting)
				}
			}
			sessions("before", (lasting+1)*time.Second)
			e.until(float64(d.messages), "rsync_messages_total")
			before := d.messages
			if err := e.Stop(); err != nil {
				t.Fatal(err)
			}

			sessions("during", outage/2)
			middle := time.Now()
			sessions("during", outage/2)
			during := d.messages - before
			e = startExporterProcess(t, nil, args...)
			ready, began := d.messages, time.Now()
			for total(e.scrape(), "rsync_messages_total") <= float64(before) {
				d.session("after", perSecond*lasting)
				time.Sleep(time.Second / perSecond)
				if time.Since(began) > 5*time.Minute {
					t.Fatal("no message came for five minutes")
				}
			}
			back := d.messages - ready
			first := time.Since(began)
			sessions("after", 5*time.Second)
			d.session("last", 0)
			var s map[string]float64
			testenv.Until(t, 2*time.Minute, "the last session", func() bool {
				s = e.scrape()
				return total(s, "rsync_last_success_timestamp_seconds", `user="last"`) > 0 &&
					(!f.kept() || total(s, "rsync_messages_total") >= float64(d.messages) || time.Since(began) > 90*time.Second)
			})
			_ = middle
			n, sum := total(s, "rsync_session_duration_seconds_count"), total(s, "rsync_session_duration_seconds_sum")
			t.Logf("%s: %d messages before, %d during %v, %d after; back after %v (%d messages); slowest write %v",
				f.name, before, during, outage, d.messages-ready, first, back, d.slowest)
			t.Logf("%s: messages: %v of %d; sessions %v of %d, mean duration %.3g s, %v in 10 s; connects %v; last during %v before the end",
				f.name, total(s, "rsync_messages_total"), d.messages, n, d.pid-1000, sum/n,
				total(s, "rsync_session_duration_seconds_bucket", `le="10.0"`)+total(s, "rsync_session_duration_seconds_bucket", `le="10"`),
				total(s, "rsync_connections_total"), float64(began.Unix())-total(s, "rsync_last_success_timestamp_seconds", `user="during"`))
			t.Logf("%s: kinds %v %v unknown outcomes %v, aborted %v, discarded %v", f.name, total(s, "rsync_messages_total", `kind="implausible"`),
				total(s, "rsync_messages_total", `kind="unrecognised"`), total(s, "rsync_sessions_total", `outcome="unknown"`),
				total(s, "rsync_sessions_total", `outcome="aborted"`), total(s, "rsyncd_exporter_discarded_total"))
			e.identities(s)
			t.Logf("%s said: %s", f.name, forwarder.Output())
		})
	}
}

var _ = syscall.SIGTERM
