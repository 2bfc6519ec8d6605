package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

const mebi = 1 << 20

// mostMemory returns the most memory that the process has had so far, VmHWM of proc(5), in bytes.
func mostMemory(t testing.TB, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kibi int
	if _, err := fmt.Sscan(rest, &kibi); err != nil {
		t.Fatalf("VmHWM in %q: %v", status, err)
	}
	return kibi << 10
}

func (p *process) wantMemoryBelow(limit int) {
	p.t.Helper()
	most := mostMemory(p.t, p.Pid())
	p.t.Logf("at most %d MiB", most/mebi)
	if most > limit {
		p.t.Errorf("%d MiB, want at most %d", most/mebi, limit/mebi)
	}
}

// dialFrom connects from one of a thousand loopback addresses, as each may have a few connections only.
func dialFrom(t *testing.T, i int, address string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250%4), byte(1+i%250))}, Timeout: time.Minute}
	conn, err := d.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// FAULTS Q10, T10, T11, H1: thousands of connections for messages and for scrapes that say nothing, or begin to. Datagrams at 20,000 a second
// are all received meanwhile, and every scrape is answered. `make torture` opens 10,000 of each for 500.
func TestIdleConnectionsHoldUpNobody(t *testing.T) {
	address := func() string { return fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)) }
	udp, tcp, web := address(), address(), address()
	// The buffer holds what is sent in eight seconds: the program may be late on a busy machine, but not be held up.
	p := startReleased(t, web, nil, "--listen-udp="+udp, "--receive-buffer=128MiB", "--listen-tcp="+tcp,
		"--http-listen="+web)
	w, to, stop, done := newWeigher("u"), dial(t, "udp", udp), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C { // 100 each: 20,000 a second
			select {
			case <-stop:
				return
			default:
				w.send(t, to, 100)
			}
		}
	}()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	n := testenv.Tortured(500, 10_000)
	const open = 4000 // of each kind at a time, more than the program keeps; an open file is needed for each
	var conns []net.Conn
	for i := range n {
		// Either may have been closed to make room for later ones: no matter.
		conns = append(conns, dialFrom(t, i, tcp), dialFrom(t, i, web))
		_, _ = io.WriteString(conns[2*i], []string{"", "<30>Nov 23 18:40", "90 <30>Nov"}[i%3])
		_, _ = io.WriteString(conns[2*i+1], []string{"", "GET /metr", "GET /metrics HTTP/1.1\r\nHost: x\r\nX-A: b\r\n"}[i%3])
		if i >= open {
			conns[2*(i-open)].Close()
			conns[2*(i-open)+1].Close()
		}
		if i%100 == 99 {
			if resp, body := testenv.Fetch(t, client, "GET", p.url+"/metrics"); resp.StatusCode != http.StatusOK || body == "" {
				t.Fatalf("a scrape beside %d connections: %s", 2*i, resp.Status)
			}
		}
	}
	close(stop)
	<-done
	s := p.until(float64(w.sent.messages), "rsync_files_total")
	if got := tallied(s, "u"); got != w.sent {
		t.Errorf("%+v counted, %+v sent", got, w.sent)
	}
	p.want(s, 0, "rsyncd_exporter_socket_drops_total")
	p.wantMemoryBelow(256 * mebi)
	p.endsWell(p.terminate())
}

// FAULTS R1, P12, H4, Q11: more hosts, pids, modules and users than anybody has. The sums over all series are exact, beyond MAX_SERIES they
// are under _other, and memory stays bounded. `make torture` sends a million of each for 20,000.
func TestMoreNamesThanAnybodyHas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, host string }{{"hosts", "h%d"}, {"pids", "one%.0d"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tcp, web := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)), fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
			p := startReleased(t, web, nil, "--listen-udp=off", "--listen-tcp="+tcp, "--http-listen="+web)
			to := bufio.NewWriterSize(dial(t, "tcp", tcp), 1<<16)
			n, sent, received := testenv.Tortured(20_000, 1_000_000), 0, 0
			for i := range n {
				head := fmt.Sprintf("<30>Nov 23 18:40:52 "+c.host+" rsyncd[%d]: ", i, i+1)
				a, b := i%1000+1, i%77
				fmt.Fprintf(to, "%sconnect from c%d (192.0.2.1)\n", head, i)
				fmt.Fprintf(to, "%srsync allowed access on module m%d from c%[2]d (192.0.2.1)\n", head, i)
				fmt.Fprintf(to, "%srsync to m%d/ from u%[2]d@c%[2]d (192.0.2.1)\n", head, i)
				fmt.Fprintf(to, "%ssent %d bytes  received %d bytes  total size 7\n", head, a, b)
				sent, received = sent+a, received+b
			}
			if err := to.Flush(); err != nil {
				t.Fatal(err)
			}
			var s map[string]float64
			testenv.Until(t, time.Minute, "all sessions to end", func() bool {
				s = p.scrape()
				return total(s, "rsync_sent_bytes_total") >= float64(sent)
			})
			p.identities(s)
			p.want(s, float64(4*n), "rsync_messages_total")
			p.want(s, float64(n), "rsync_connections_total")
			p.want(s, float64(n), "rsync_executions_total")
			p.want(s, float64(n), "rsync_sessions_total", `outcome="ok"`)
			p.want(s, float64(sent), "rsync_sent_bytes_total")
			p.want(s, float64(received), "rsync_received_bytes_total")
			if len(s) > 12_000 {
				t.Errorf("%d series, MAX_SERIES is 10000", len(s))
			}
			p.wantMemoryBelow(96 * mebi)
			p.endsWell(p.terminate())
		})
	}
}

// FAULTS R2 to R5: little memory, one processor at low priority, few open files. Whatever is sent on the unix socket arrives, of UDP all but what
// the kernel counts as dropped, a scrape is answered, and the threads stay few.
func TestScarceResources(t *testing.T) {
	for name, env := range map[string][]string{
		"memory":     {"GOMEMLIMIT=32MiB"},
		"processors": {"GOMAXPROCS=1"},
		"open files": {"NOFILE=40"},
	} {
		t.Run(name, func(t *testing.T) {
			address := func() string { return fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)) }
			udp, tcp, web, unix := address(), address(), address(), filepath.Join(testenv.Dir(t), "log")
			p := startReleased(t, web, env, "--listen-udp="+udp, "--listen-tcp="+tcp, "--listen-unixgram="+unix, "--http-listen="+web)
			// Lower than others', but on a busy machine not as low as that nothing is left.
			if err := syscall.Setpriority(syscall.PRIO_PROCESS, p.Pid(), 5); err != nil {
				t.Fatal(err)
			}
			for i := range 100 { // idle, and more than there are open files for
				dialFrom(t, i, tcp)
			}
			inUDP, inUnix := newWeigher("u"), newWeigher("")
			toUDP, toUnix := dial(t, "udp", udp), dial(t, "unixgram", unix)
			for range 50 {
				inUDP.send(t, toUDP, 400)
				inUnix.send(t, toUnix, 400)
			}
			client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
			if resp, _ := testenv.Fetch(t, client, "GET", p.url+"/metrics"); resp.StatusCode != http.StatusOK {
				t.Errorf("a scrape: %s", resp.Status)
			}
			var s map[string]float64
			testenv.Until(t, patient, "all messages to be accounted for", func() bool {
				s = p.scrape()
				return total(s, "rsyncd_exporter_received_total", `input="udp"`)+total(s, "rsyncd_exporter_socket_drops_total") == float64(inUDP.sent.messages) &&
					total(s, "rsyncd_exporter_received_total", `input="unixgram"`) == float64(inUnix.sent.messages)
			})
			p.identities(s)
			if got := tallied(s, ""); total(s, "rsyncd_exporter_discarded_total") == 0 && got != inUnix.sent {
				t.Errorf("%+v counted, %+v sent on the unix socket", got, inUnix.sent)
			}
			if threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.Pid())); err != nil || len(threads) > 64 {
				t.Errorf("%d threads, %v", len(threads), err)
			}
			p.wantMemoryBelow(96 * mebi)
			if err := p.Stop(); err != nil { // in five seconds it may not be able to
				t.Error(err)
			}
		})
	}
}

func TestShareOfFiles(t *testing.T) {
	for _, c := range []struct {
		files, sockets, listeners int
		follows                   bool
		want                      share
	}{
		{1 << 20, 1, 1, false, share{256, 1024, 0}},
		{2000, 1, 2, false, share{256, 860, 0}}, // (2000 - 24 - 256) / 2
		{40, 1, 1, false, share{4, 12, 0}},
		{10, 1, 3, false, share{2, 2, 0}},
		{65536, 1, 0, false, share{256, 1024, 0}},
		{1000, 64, 1, false, share{214, 642, 0}},     // (1000 - 24 - 2*60) / 4
		{65536, 1, 1, true, share{256, 1024, 64248}}, // 65536 - 256 - 1024 - 8
		{64, 1, 2, true, share{10, 7, 32}},           // 40 / 4; 30 / 2 / 2; 64 - 10 - 14 - 8
		{24, 1, 3, true, share{2, 2, 8}},
		{10, 1, 3, true, share{2, 2, 1}},
	} {
		if got := shareOf(c.files, c.sockets, c.listeners, c.follows); got != c.want {
			t.Errorf("%d files, %d sockets, %d listeners, %v: %+v, want %+v", c.files, c.sockets, c.listeners,
				c.follows, got, c.want)
		}
	}
}
