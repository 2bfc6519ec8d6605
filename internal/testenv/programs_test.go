//go:build linux

package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A pull over rsyncd.conf.example, as syslog(3) writes it, arrives at the socket; the machine's /dev/log stays what it was.
func TestRsyncdLogsIntoTheGivenSocket(t *testing.T) {
	before := describe("/dev/log")
	log := filepath.Join(Dir(t), "log")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: log, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := os.Chmod(log, 0o666); err != nil {
		t.Fatal(err)
	}
	r := StartRsyncd(t, log)
	if code, out := Rsync(t, "-a", r.URL("", "mirror/"), t.TempDir()); code != 0 {
		t.Fatalf("the pull ended with %d: %s", code, out)
	}
	for _, want := range []string{
		"starting, listening on port", "]: connect from ", "rsync allowed access on module mirror", "rsync on mirror/ from ",
		"mirror () README 5000\n", "mirror () release.iso 300000\n", "total size 305000\n",
	} {
		for text := ""; !strings.Contains(text, want); {
			text = receive(t, socket)
			if !strings.HasPrefix(text, "<30>") || !strings.Contains(text, " rsyncd[") {
				t.Errorf("the message %q isn't one of rsyncd's, daemon.info", text)
			}
		}
	}
	if after := describe("/dev/log"); after != before {
		t.Errorf("the machine's /dev/log was %s and is %s", before, after)
	}
}

// alice may write with the password that Rsync offers; bob, whom the secrets file doesn't have, may not.
func TestOnlyAliceMayBackUp(t *testing.T) {
	r := StartRsyncd(t, "", "--log-file="+filepath.Join(Dir(t), "rsyncd.log"))
	file := filepath.Join(t.TempDir(), "disk.img")
	writeFile(t, file, []byte("content"), 0o644)
	if code, out := Rsync(t, file, r.URL("alice@", "backup/")); code != 0 {
		t.Errorf("alice's push ended with %d: %s", code, out)
	}
	if content, err := os.ReadFile(filepath.Join(r.Module("backup"), "disk.img")); string(content) != "content" {
		t.Errorf("the module holds %q, %v", content, err)
	}
	if code, _ := Rsync(t, file, r.URL("bob@", "backup/")); code != 5 { // RERR_STARTCLIENT, errcode.h
		t.Errorf("bob's push ended with %d, want 5", code)
	}
	if err := r.Stop(); err != nil || Listening(t, r.Port) {
		t.Errorf("after Stop: %v, listening: %t", err, Listening(t, r.Port))
	}
}

// What rsyncd logs leaves each forwarder as RFC 5424, over UDP one message a datagram, over TCP in octet-counted frames.
func TestForwardersDeliver(t *testing.T) {
	for _, forwarder := range []struct {
		name  string
		start func(t testing.TB, file string, port int) *Forwarder
	}{{"rsyslog", StartRsyslog}, {"syslog-ng", StartSyslogNG}} {
		t.Run(forwarder.name+" over UDP", func(t *testing.T) {
			c, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			f := forwarder.start(t, "rsyncd_exporter-udp.conf", c.LocalAddr().(*net.UDPAddr).Port)
			pull(t, f)
			expectSession(t, func() string { return receive(t, c.(*net.UDPConn)) })
		})
		t.Run(forwarder.name+" over TCP", func(t *testing.T) {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			f := forwarder.start(t, "rsyncd_exporter-tcp.conf", l.Addr().(*net.TCPAddr).Port)
			pull(t, f)
			if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			frames := bufio.NewReader(c)
			expectSession(t, func() string { return frame(t, c, frames) })
		})
	}
}

// pull makes a session whose messages go to the forwarder, and one of another program, which must not be forwarded.
func pull(t *testing.T, f *Forwarder) {
	t.Helper()
	c, err := net.Dial("unixgram", f.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("<30>Nov 23 18:40:52 cron[1]: not rsyncd's")); err != nil {
		t.Fatal(err)
	}
	r := StartRsyncd(t, f.Socket)
	if code, out := Rsync(t, "-a", r.URL("", "mirror/"), t.TempDir()); code != 0 {
		t.Fatalf("the pull ended with %d: %s", code, out)
	}
}

// expectSession reads messages up to the session's summary.
func expectSession(t *testing.T, next func() string) {
	t.Helper()
	var all []string
	for len(all) == 0 || !strings.Contains(all[len(all)-1], "total size 305000") {
		text := next()
		// RFC 5424 §6: PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID.
		f := strings.Fields(text)
		if len(f) < 6 || f[0] != "<30>1" || f[3] != "rsyncd" {
			t.Errorf("the message %q isn't one of rsyncd's in RFC 5424", text)
		}
		all = append(all, text)
	}
	for _, want := range []string{"connect from ", "rsync on mirror/ from ", "mirror () release.iso 300000"} {
		if !strings.Contains(strings.Join(all, "\n"), want) {
			t.Errorf("%q is missing among %q", want, all)
		}
	}
}

// frame reads one octet-counted message (RFC 6587 §3.4.1).
func frame(t *testing.T, c net.Conn, r *bufio.Reader) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	count, err := r.ReadString(' ')
	if err != nil {
		t.Fatalf("no further frame: %v", err)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(count, " "))
	if err != nil || n < 1 || n > 8192 {
		t.Fatalf("the frame's length is %q", count)
	}
	message := make([]byte, n)
	if _, err := io.ReadFull(r, message); err != nil {
		t.Fatal(err)
	}
	return string(message)
}

// receive reads one datagram.
func receive(t *testing.T, c interface {
	io.Reader
	SetReadDeadline(time.Time) error
}) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65536)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatalf("no further message: %v", err)
	}
	return string(buf[:n])
}

// Prometheus scrapes the target with the deployed configuration, and a query gives what was served.
func TestPrometheusScrapes(t *testing.T) {
	var scrapes atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			t.Errorf("Prometheus asks for %s", r.URL)
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "rsync_executions_total{module=\"a\"} %d\nrsync_executions_total{module=\"b\"} 40\n", scrapes.Add(1))
	}))
	defer server.Close()
	p := StartPrometheus(t, server.Listener.Addr().String())
	Until(t, patience, "a rate", func() bool {
		rate, _ := p.Query(t, `rate(rsync_executions_total{module="a"}[1m])`)
		return rate > 0
	})
	// Two scrapes at least, or there were no rate: 2 + 40.
	if sum, ok := p.Query(t, `last_over_time(rsync_executions_total[5m])`); !ok || sum < 42 {
		t.Errorf("the sum is %v, %t", sum, ok)
	}
	if sum, ok := p.Query(t, `no_such_metric`); ok {
		t.Errorf("a metric that isn't there has the sum %v", sum)
	}
}

// A missing program fails the test and says how to get it.
func TestMissingProgramFailsTheTest(t *testing.T) {
	r := &recorder{TB: t}
	func() {
		defer func() { _ = recover() }() // recorder's, in the place of runtime.Goexit
		Need(r, "no-such-program")
	}()
	if !strings.Contains(r.failure, "no-such-program") || !strings.Contains(r.failure, "make deps") {
		t.Errorf("the failure is %q", r.failure)
	}
	if path := Need(t, "sh"); !filepath.IsAbs(path) {
		t.Errorf("sh is at %q", path)
	}
}

// recorder keeps a failure instead of failing.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	panic(r.failure)
}

// A process that ends before it is ready fails the test at once, instead of after the time-out.
func TestEarlyEndFailsTheTest(t *testing.T) {
	p := Start(t, exec.Command(Need(t, "sh"), "-c", "echo no config >&2; exit 3"))
	<-p.Ended()
	r := &recorder{TB: t}
	func() {
		defer func() { _ = recover() }() // recorder's, in the place of runtime.Goexit
		p.Ready(r, "a miracle", func() bool { return false })
	}()
	if !strings.Contains(r.failure, "exit status 3") || !strings.Contains(r.failure, "a miracle") {
		t.Errorf("the failure is %q", r.failure)
	}
	if p.Output() != "no config\n" {
		t.Errorf("the output is %q", p.Output())
	}
}

// Stop sends SIGTERM and waits for the end; a second one does nothing.
func TestStopWaitsForTheEnd(t *testing.T) {
	p := Start(t, exec.Command(Need(t, "sleep"), "1000"))
	for range 2 {
		err := p.Stop()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
			t.Errorf("sleep ended with %v, want SIGTERM", err)
		}
	}
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a signal after the end gives %v", err)
	}
}

// describe says what is at a path.
func describe(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %v", info.Mode(), info.Sys().(*syscall.Stat_t).Ino)
}
