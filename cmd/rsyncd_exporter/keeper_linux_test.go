package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
)

// A process is the whole program as a process of its own.
type process struct {
	*exporter
	*testenv.Process
	goOn io.Closer // until this is closed, the process waits where its inputs are done and HTTP still answers; see heldLog
}

// startProcess starts the program and waits until it says READY=1. What files it gets are its descriptors from 3 on, by the names given.
func startProcess(t *testing.T, http string, files []*os.File, names []string, env []string, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return startProcessOf(t, []string{exe, "-test.run=^TestHelperProcess$"}, http, files, names, env, args...)
}

// startReleased is startProcess for the program as it is released; see testenv.Released.
func startReleased(t *testing.T, http string, env []string, args ...string) *process {
	t.Helper()
	return startProcessOf(t, append([]string{testenv.Released(t)}, args...), http, nil, nil, env, args...)
}

func startProcessOf(t *testing.T, command []string, http string, files []*os.File, names, env []string, args ...string) *process {
	t.Helper()
	path := filepath.Join(testenv.Dir(t), "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { notify.Close() })
	// LISTEN_PID must be the program's, which only a process that becomes the program knows beforehand.
	cmd := exec.Command("/bin/sh", append([]string{
		"-c", `[ -z "$LISTEN_FDS" ] || export LISTEN_PID=$$; [ -z "$NOFILE" ] || ulimit -n "$NOFILE"; exec "$@"`, "sh",
	}, command...)...)
	cmd.Env = append(os.Environ(), helperVariable+"=run", quickExit, helperArgs+"="+strings.Join(args, "\n"), "NOTIFY_SOCKET="+path)
	cmd.ExtraFiles = files
	if len(files) > 0 {
		cmd.Env = append(cmd.Env, "LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	cmd.Env = append(cmd.Env, env...)
	held, goOn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = held
	p := &process{&exporter{t, "http://" + http}, testenv.Start(t, cmd), goOn}
	held.Close()
	t.Cleanup(func() { goOn.Close() })
	p.Ready(t, "READY=1", func() bool {
		notify.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		buf := make([]byte, 100)
		n, _ := notify.Read(buf)
		return string(buf[:n]) == "READY=1"
	})
	return p
}

// lastScrape waits until the program says that its inputs are done, and returns what it has counted in the end. Then it lets it end: with status
// 0, within the five seconds that it promises, counted from the signal.
func (p *process) lastScrape(signalled *testenv.Watch) map[string]float64 {
	p.t.Helper()
	testenv.Until(p.t, time.Minute, "the inputs to be done", func() bool { return strings.Contains(p.Output(), "msg=stopping ") })
	series := p.scrape()
	p.identities(series)
	p.endsWell(signalled)
	return series
}

// endsWell waits for the process' end, which must come within five seconds of the signal.
func (p *process) endsWell(signalled *testenv.Watch) {
	p.t.Helper()
	p.goOn.Close()
	if !signalled.Within(shutdownLimit+time.Second, p.Ended()) { // the second is the machine's: it is shared
		p.t.Fatalf("it is still there %v after SIGTERM:\n%s", signalled.Elapsed(), p.Output())
	}
	if err := p.Stop(); err != nil {
		p.t.Fatalf("after SIGTERM: %v, want status 0:\n%s", err, p.Output())
	}
	if out := p.Output(); strings.Contains(out, "panic") || strings.Contains(out, "DATA RACE") {
		p.t.Errorf("it says:\n%s", out)
	}
}

// terminate sends SIGTERM and starts a watch.
func (p *process) terminate() *testenv.Watch {
	p.t.Helper()
	if err := p.Signal(unix.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	return testenv.StartWatch(p.t)
}

func (p *process) freeze() {
	p.t.Helper()
	freeze(p.t, p.Process)
}

// freeze stops a process by SIGSTOP, and returns when each of its threads stands still.
func freeze(t *testing.T, p *testenv.Process) {
	t.Helper()
	if err := p.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	testenv.Until(t, time.Minute, "all threads to stop", func() bool {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Pid()))
		if err != nil || len(stats) == 0 {
			t.Fatalf("no threads: %v", err)
		}
		for _, path := range stats {
			stat, err := os.ReadFile(path) // "pid (name) T …", proc(5)
			if err != nil || !strings.Contains(string(stat), ") T ") {
				return false
			}
		}
		return true
	})
}

// A keeper holds sockets of all kinds open while programs come and go, as systemd does for a socket unit.
type keeper struct {
	t                    *testing.T
	files                []*os.File
	names                []string
	unix, udp, tcp, http string // addresses
}

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	k := &keeper{t: t, unix: filepath.Join(testenv.Dir(t), "log")}
	u, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: k.unix, Net: "unixgram"})
	k.keep("unixgram", u, err)
	if err := os.Chmod(k.unix, 0o666); err != nil {
		t.Fatal(err)
	}
	d, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	k.udp = d.LocalAddr().String()
	k.keep("udp", d, err)
	for name, address := range map[string]*string{"tcp": &k.tcp, "http": &k.http} {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		*address = l.Addr().String()
		k.keep(name, l, err)
		if name == "tcp" {
			// A connection is accepted with its first data: see sendBatch.
			if err := unix.SetsockoptInt(int(k.files[len(k.files)-1].Fd()), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 60); err != nil {
				t.Fatal(err)
			}
		}
	}
	return k
}

// keep takes a duplicate of a socket's descriptor, and closes the original without removing its file.
func (k *keeper) keep(name string, s interface {
	File() (*os.File, error)
	Close() error
}, err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
	f, err := s.File()
	if err != nil {
		k.t.Fatal(err)
	}
	s.Close()
	k.t.Cleanup(func() { f.Close() })
	k.files, k.names = append(k.files, f), append(k.names, name)
}

// start starts the program on the sockets.
func (k *keeper) start(args ...string) *process {
	k.t.Helper()
	return startProcess(k.t, k.http, k.files, k.names, nil, args...)
}

// udpDrops returns how many datagrams the kernel has dropped since the socket exists.
func (k *keeper) udpDrops() uint64 {
	k.t.Helper()
	var info [9]uint32 // SK_MEMINFO_DROPS is the last, linux/sock_diag.h
	size := uint32(unsafe.Sizeof(info))
	for i, f := range k.files {
		if k.names[i] == "udp" {
			if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, f.Fd(), unix.SOL_SOCKET, unix.SO_MEMINFO,
				uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
				k.t.Fatal(errno)
			}
		}
	}
	return uint64(info[8])
}

// A tally is what was sent, or counted: messages, and the sum of their weights. A sum of random numbers tells a lost message from one that was
// counted twice instead.
type tally struct{ messages, weight uint64 }

func (a tally) plus(b tally) tally { return tally{a.messages + b.messages, a.weight + b.weight} }

// tallied returns what a scrape says of the messages of one input, whose host is given; empty for the unix socket.
func tallied(series map[string]float64, host string) tally {
	label := fmt.Sprintf("host=%q", host)
	return tally{uint64(total(series, "rsync_files_total", label)), uint64(total(series, "rsync_file_bytes_total", label))}
}

// A weigher makes messages with random weights and tallies them. It is for one goroutine at a time.
type weigher struct {
	host string // in the header; empty for the unix socket
	rand *rand.Rand
	sent tally
	last tally // of it, the last batch
}

func newWeigher(host string) *weigher { return &weigher{host: host, rand: rand.New(rand.NewPCG(1, 2))} }

// message returns a transfer line, which counts at once and whatever the session, and its weight.
func (w *weigher) message() (line []byte, weight uint64) {
	weight = uint64(w.rand.Int32())
	header := "<30>Nov 23 18:40:52 "
	if w.host != "" {
		header += w.host + " "
	}
	return fmt.Appendf(nil, "%srsyncd[505]: send localhost [127.0.0.1] data () sub/c.dat %d\n", header, weight), weight
}

func (w *weigher) add(weight uint64) { w.sent = w.sent.plus(tally{1, weight}) }

// send sends n messages as datagrams and waits where the socket makes it wait.
func (w *weigher) send(t *testing.T, to net.Conn, n int) {
	t.Helper()
	for range n {
		line, weight := w.message()
		if _, err := to.Write(line); err != nil {
			t.Fatal(err)
		}
		w.add(weight)
	}
}

// dial connects to one of the keeper's addresses.
func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// sendBatch sends n messages in one connection, again until the program has taken them: it closes a connection that it has read to its
// end, and resets one that it closes before. It returns false when the batch was given up. One doubt is left: a connection that was accepted
// when the end began, and whose sender then needs more than 100 ms for its first data, is closed as quiet, and that looks the same here.
func (w *weigher) sendBatch(address string, n int, giveUp func() bool) bool {
	var batch []byte
	var sum tally
	for range n {
		line, weight := w.message()
		batch, sum = append(batch, line...), sum.plus(tally{1, weight})
	}
	for !giveUp() {
		if deliver(address, batch) {
			w.sent, w.last = w.sent.plus(sum), sum
			return true
		}
	}
	return false
}

// deliver returns whether the batch was read.
func deliver(address string, batch []byte) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute)) // for a test that failed
	if _, err := conn.Write(batch); err != nil {
		return false
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return false
	}
	n, err := conn.Read(make([]byte, 1))
	return n == 0 && errors.Is(err, io.EOF)
}

// traffic of weighed messages on all inputs, until it is stopped.
type weighedTraffic struct {
	unix, udp, tcp *weigher
	stopped        chan struct{}
	senders        sync.WaitGroup
}

// startTraffic sends about 10,000 messages a second by each kind of datagram, and TCP batches one after the other.
func startTraffic(t *testing.T, unixAddress, udp, tcp string) *weighedTraffic {
	t.Helper()
	w := &weighedTraffic{unix: newWeigher(""), udp: newWeigher("u"), tcp: newWeigher("t"), stopped: make(chan struct{})}
	stopped := func() bool {
		select {
		case <-w.stopped:
			return true
		default:
			return false
		}
	}
	datagrams := func(from *weigher, to net.Conn) {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for !stopped() {
			for range 50 {
				line, weight := from.message()
				if _, err := to.Write(line); err != nil {
					return // the program's own socket is gone
				}
				from.add(weight)
			}
			<-tick.C
		}
	}
	toUnix, toUDP := dial(t, "unixgram", unixAddress), dial(t, "udp", udp)
	w.senders.Go(func() { datagrams(w.unix, toUnix) })
	w.senders.Go(func() { datagrams(w.udp, toUDP) })
	w.senders.Go(func() {
		for w.tcp.sendBatch(tcp, 20, stopped) {
		}
	})
	t.Cleanup(func() {
		toUnix.SetWriteDeadline(time.Now()) // where the test failed, nobody reads any more
		w.stop()
	})
	return w
}

// stop ends the traffic; the tallies may be looked at then.
func (w *weighedTraffic) stop() {
	select {
	case <-w.stopped:
	default:
		close(w.stopped)
	}
	w.senders.Wait()
}
