//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// An exporter is the whole program, run in this process.
type exporter struct {
	t   *testing.T
	url string
}

// startExporter runs the program with the arguments until the test ends, and then expects exit status 0.
func startExporter(t *testing.T, args ...string) *exporter {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	var stderr lockedBuffer
	ctx, cancel := context.WithCancel(context.Background())
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, append([]string{"--http-listen=" + address}, args...), strings.NewReader(""), &stderr, &stderr)
	}()
	t.Cleanup(func() {
		cancel()
		if got := <-status; got != 0 {
			t.Errorf("exit status %d", got)
		}
		if t.Failed() {
			t.Logf("the exporter said:\n%s", stderr.String())
		}
	})
	e := &exporter{t, "http://" + address}
	testenv.Until(t, time.Minute, "the exporter to be ready", func() bool {
		r, err := http.Get(e.url + "/-/ready")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return e
}

// scrape reads /metrics: every series as it is written, with its value.
func (e *exporter) scrape() map[string]float64 {
	e.t.Helper()
	var r *http.Response
	testenv.Until(e.t, time.Minute, "a scrape that isn't refused", func() (answered bool) { // 503: too many are under way
		var err error
		if r, err = http.Get(e.url + "/metrics"); err != nil {
			e.t.Fatal(err)
		}
		if answered = r.StatusCode != http.StatusServiceUnavailable; !answered {
			r.Body.Close()
		}
		return answered
	})
	defer r.Body.Close()
	return parseSeries(e.t, r.Body)
}

// parseSeries reads the text format: every series as it is written, with its value.
func parseSeries(t *testing.T, body io.Reader) map[string]float64 {
	t.Helper()
	series := map[string]float64{}
	for lines := bufio.NewScanner(body); lines.Scan(); {
		line := lines.Text()
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			t.Fatalf("/metrics: %q: %v", line, err)
		}
		series[line[:i]] = v
	}
	return series
}

// total sums the series of a name, those that have all the labels, each written as name="value".
func total(series map[string]float64, name string, labels ...string) float64 {
	sum := 0.0
next:
	for s, v := range series {
		if s != name && !strings.HasPrefix(s, name+"{") {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(s, l) {
				continue next
			}
		}
		sum += v
	}
	return sum
}

// until scrapes until the sum of a metric is the value, and returns the scrape.
func (e *exporter) until(value float64, name string, labels ...string) map[string]float64 {
	e.t.Helper()
	var series map[string]float64
	defer func() {
		if e.t.Failed() {
			e.t.Logf("%s%q: %v, want %v", name, labels, total(series, name, labels...), value)
		}
	}()
	testenv.Until(e.t, 3*time.Minute, fmt.Sprintf("%s%q = %v", name, labels, value), func() bool {
		series = e.scrape()
		return total(series, name, labels...) == value
	})
	e.identities(series)
	return series
}

// identities asserts what DESIGN promises for every scrape.
func (e *exporter) identities(series map[string]float64) {
	e.t.Helper()
	received := total(series, "rsyncd_exporter_received_total")
	if sum := total(series, "rsyncd_exporter_discarded_total") + total(series, "rsyncd_exporter_ignored_total") +
		total(series, "rsync_messages_total"); received != sum {
		e.t.Errorf("received %v, but discarded + ignored + messages %v", received, sum)
	}
	if sum := total(series, "rsync_sent_bytes_total") + total(series, "rsync_received_bytes_total"); total(series, "rsync_exchanged_bytes_total") != sum {
		e.t.Errorf("exchanged %v, but sent + received %v", total(series, "rsync_exchanged_bytes_total"), sum)
	}
	if total(series, "rsyncd_exporter_retired_messages_total") > 0 {
		return // those hosts' clients stay
	}
	for _, name := range []string{"sessions_total", "sent_bytes_total", "received_bytes_total"} {
		if all, clients := total(series, "rsync_"+name), total(series, "rsync_client_"+name); all != clients {
			e.t.Errorf("%s %v, but %v of all clients", name, all, clients)
		}
	}
}

func (e *exporter) want(series map[string]float64, want float64, name string, labels ...string) {
	e.t.Helper()
	if got := total(series, name, labels...); got != want {
		e.t.Errorf("%s%q: %v, want %v", name, labels, got, want)
	}
}

// near allows what the daemon counts beyond its client: 5 to 20 bytes of handshake (measured, protocol 31 and 32).
func (e *exporter) near(series map[string]float64, want int, name string, labels ...string) {
	e.t.Helper()
	if got := total(series, name, labels...); got < float64(want) || got > float64(want)+32 {
		e.t.Errorf("%s%q: %v, want %d to %d", name, labels, got, want, want+32)
	}
}

// stats reads the client's "Total bytes sent" and "received" of --stats.
func stats(t *testing.T, output string) (sent, received int) {
	t.Helper()
	m := regexp.MustCompile(`Total bytes sent: (\d+)\nTotal bytes received: (\d+)`).FindStringSubmatch(output)
	if m == nil {
		t.Fatalf("no statistics in %q", output)
	}
	sent, _ = strconv.Atoi(m[1])
	received, _ = strconv.Atoi(m[2])
	return sent, received
}

// traffic makes six sessions and returns what the clients of the pull and of the push counted.
func traffic(t *testing.T, d *testenv.Rsyncd) (pullSent, pullReceived, pushSent, pushReceived int) {
	t.Helper()
	mine := testenv.Dir(t)
	file := filepath.Join(mine, "photo")
	if err := os.WriteFile(file, make([]byte, 20000), 0o644); err != nil {
		t.Fatal(err)
	}
	rsync := func(want int, args ...string) string {
		t.Helper()
		code, out := testenv.Rsync(t, append([]string{"-a", "--stats", "--no-h", "--timeout=60"}, args...)...)
		if code != want {
			t.Fatalf("rsync %q: exit code %d, want %d:\n%s", args, code, want, out)
		}
		return out
	}
	pullSent, pullReceived = stats(t, rsync(0, d.URL("", "mirror/"), mine+"/pulled"))
	pushSent, pushReceived = stats(t, rsync(0, file, d.URL("", "incoming/")))
	rsync(0, file, d.URL("alice@", "backup/"))
	rsync(5, file, d.URL("mallory@", "backup/")) // no such user
	rsync(23, d.URL("", "mirror/nothing"), mine) // no such file
	rsync(5, d.URL("", "no-such-module/"), mine) // no such module
	return pullSent, pullReceived, pushSent, pushReceived
}

// checkTraffic waits until the sessions of traffic have ended, and compares with what the clients know.
func checkTraffic(t *testing.T, e *exporter, d *testenv.Rsyncd) {
	t.Helper()
	pullSent, pullReceived, pushSent, pushReceived := traffic(t, d)
	s := e.until(6, "rsync_sessions_total")
	e.want(s, 6, "rsync_connections_total")
	e.want(s, 4, "rsync_executions_total")
	e.want(s, 2, "rsync_executions_total", `module="mirror"`, `direction="send"`)
	e.want(s, 1, "rsync_executions_total", `module="incoming"`, `direction="receive"`)
	e.want(s, 1, "rsync_sessions_total", `module="mirror"`, `outcome="ok"`)
	e.want(s, 1, "rsync_sessions_total", `module="mirror"`, `outcome="partial"`)
	e.want(s, 2, "rsync_sessions_total", `outcome="rejected"`)
	e.want(s, 1, "rsync_rejected_total", `reason="unknown_module"`)
	e.want(s, 1, "rsync_rejected_total", `module="backup"`, `reason="auth"`)
	e.want(s, 2, "rsync_files_total", `module="mirror"`, `operation="send"`)
	e.want(s, 305000, "rsync_file_bytes_total", `module="mirror"`, `operation="send"`)
	e.want(s, 1, "rsync_file_errors_total", `module="mirror"`, `errno="2"`)
	e.near(s, pushReceived, "rsync_sent_bytes_total", `module="incoming"`)
	e.near(s, pushSent, "rsync_received_bytes_total", `module="incoming"`)
	if got := total(s, "rsync_sent_bytes_total", `module="mirror"`) - float64(pullReceived); got < 0 || got > 400 {
		t.Errorf("the pulls sent %v bytes more than the successful client received: want its handshake and the failed one's list", got)
	}
	if got := total(s, "rsync_received_bytes_total", `module="mirror"`) - float64(pullSent); got < 0 || got > 100 {
		t.Errorf("the pulls received %v bytes more than the successful client sent", got)
	}
	if age := float64(time.Now().Unix()) - total(s, "rsync_last_success_timestamp_seconds", `module="backup"`, `user="alice"`); age < -1 || age > 60 {
		t.Errorf("alice's last backup was %v s ago", age)
	}
	e.want(s, 0, "rsync_messages_total", `kind="unrecognised"`)
	e.want(s, 0, "rsync_messages_total", `kind="implausible"`)
}

func TestRsyncdOverUnixSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(testenv.Dir(t), "log")
	e := startExporter(t, "--listen-unixgram="+socket, "--listen-udp=off")
	checkTraffic(t, e, testenv.StartRsyncd(t, socket))
}

func TestRsyncdThroughForwarders(t *testing.T) {
	t.Parallel()
	for _, f := range shippedForwarders {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			port := testenv.Port(t)
			args, place := f.args(t, port)
			e := startExporter(t, args...)
			checkTraffic(t, e, testenv.StartRsyncd(t, f.start(t, place, port).Socket))
		})
	}
}

// The log file is renamed between two rounds, as logrotate does; each connection opens it anew.
func TestRsyncdWithALogFileThatIsRotated(t *testing.T) {
	t.Parallel()
	file := filepath.Join(testenv.Dir(t), "rsyncd.log")
	e := startExporter(t, "-p", file, "-s", "1")
	d := testenv.StartRsyncd(t, "", "--dparam=log file="+file)
	checkTraffic(t, e, d)
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	traffic(t, d)
	s := e.until(12, "rsync_sessions_total")
	e.want(s, 12, "rsync_connections_total")
	e.want(s, 8, "rsync_executions_total")
	e.until(1, "rsyncd_exporter_file_rotations_total")
}

// What anybody can send to the port is counted by its reason, and the next good message is counted too.
func TestHostileDatagramsAndStreams(t *testing.T) {
	udp, tcp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)), fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	e := startExporter(t, "--listen-udp="+udp, "--listen-tcp="+tcp)
	send := func(network, address, message string) {
		t.Helper()
		c, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	good := "<30>Nov 23 18:40:52 vm rsyncd[505]: connect from localhost (127.0.0.1)\n"
	for i, c := range []struct{ network, address, message, reason string }{
		{"udp", udp, "-1 x", "no_header"},
		{"udp", udp, "<34>", "no_text"},
		{"udp", udp, strings.Repeat("\x95", 65507), "oversize"}, // 64 KiB is more than UDP carries
		{"udp", udp, "", "empty"},
		{"udp", udp, "<30>Nov 23 23:14:00 m", "no_text"},
		{"tcp", tcp, "1234567890 <30>x", "bad_length"},
		{"tcp", tcp, "-1 x\n", "no_header"},
	} {
		before := total(e.scrape(), "rsyncd_exporter_discarded_total", fmt.Sprintf("input=%q", c.network), fmt.Sprintf("reason=%q", c.reason))
		send(c.network, c.address, c.message)
		send(c.network, c.address, good)
		s := e.until(before+1, "rsyncd_exporter_discarded_total", fmt.Sprintf("input=%q", c.network), fmt.Sprintf("reason=%q", c.reason))
		if got := total(s, "rsync_connections_total"); got != float64(i+1) {
			e.until(float64(i+1), "rsync_connections_total")
		}
	}
}

// Sent = received + dropped by the kernel, from /metrics alone, with a buffer that is far too small.
func TestUDPAccounting(t *testing.T) {
	udp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	e := startExporter(t, "--listen-udp="+udp, "--receive-buffer=4KiB")
	c, err := net.Dial("udp", udp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := 0
	message := []byte("<30>Nov 23 18:40:52 vm rsyncd[505]: send localhost [127.0.0.1] data () sub/c.dat 70000\n")
	testenv.Until(t, time.Minute, "the small buffer to overflow", func() bool { // whose turn it is decides when
		for range 50_000 {
			if _, err := c.Write(message); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		return total(e.scrape(), "rsyncd_exporter_socket_drops_total") > 0
	})
	var s map[string]float64
	testenv.Until(t, time.Minute, "every datagram to be received or dropped", func() bool {
		s = e.scrape()
		received := total(s, "rsyncd_exporter_received_total", `input="udp"`)
		return received+total(s, "rsyncd_exporter_socket_drops_total") >= float64(sent)
	})
	received, drops := total(s, "rsyncd_exporter_received_total"), total(s, "rsyncd_exporter_socket_drops_total")
	if received+drops != float64(sent) {
		t.Errorf("%d sent, %v received, %v dropped: want the sum to be exact", sent, received, drops)
	}
	e.identities(s)
}
