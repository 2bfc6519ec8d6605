//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// measure starts a receiver, sends it the messages, waits until it has nothing more to do, and
// stops it.
func (b *bench) measure(transport, name string, m *mix) (result, error) {
	dir, err := os.MkdirTemp("", "ingest")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	p, err := b.start(transport, name, dir)
	if err != nil {
		return result{}, err
	}
	defer p.stop()
	s, err := dial(transport, p.address)
	if err != nil {
		return result{}, err
	}
	defer s.close()

	before := p.cpu()
	took, err := s.sendAll(m, b.messages, b.rate)
	if err != nil {
		return result{}, err
	}
	after, err := p.idle(b.timeout)
	if err != nil {
		return result{}, err
	}
	received, err := p.received(m)
	if err != nil {
		return result{}, err
	}
	r := result{sent: b.messages, received: received, rate: float64(b.messages) / took.Seconds()}
	if received > 0 {
		r.cpu = (after - before).Seconds() / float64(received)
	}
	return r, nil
}

// A process is a receiver that runs.
type process struct {
	cmd       *exec.Cmd
	transport string
	address   string
	url       string  // the exporter's; empty for others
	shared    *counts // what others count
}

// counts are shared with a receiver, through a file that both have mapped.
type counts struct{ ready, messages, bytes uint64 }

// start starts a receiver and returns when it is ready.
func (b *bench) start(transport, name, dir string) (*process, error) {
	p := &process{transport: transport, address: filepath.Join(dir, "log")}
	if transport != "unixgram" {
		p.address = freeAddress(transport)
	}
	file := filepath.Join(dir, "counts")
	if err := os.WriteFile(file, make([]byte, unsafe.Sizeof(counts{})), 0o600); err != nil {
		return nil, err
	}
	var err error
	if p.shared, err = mapCounts(file); err != nil {
		return nil, err
	}
	if name == "exporter" {
		web := freeAddress("tcp")
		p.url = "http://" + web
		p.cmd = exec.Command(b.exporter, "--listen-udp=off", "--listen-"+transport+"="+p.address,
			"--http-listen="+web, "--log-level=error")
	} else {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		p.cmd = exec.Command(self, "receive", name, transport, p.address, file)
	}
	if transport == "udp" && name == "exporter" {
		p.cmd.Args = append(p.cmd.Args[:1], p.cmd.Args[2:]...) // without --listen-udp=off
	}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(10 * time.Second); !p.ready(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.stop()
			return nil, errors.New("not ready after 10 s")
		}
	}
	return p, nil
}

func freeAddress(transport string) string {
	if transport == "udp" {
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err == nil {
			defer c.Close()
			return c.LocalAddr().String()
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer l.Close()
	return l.Addr().String()
}

// mapCounts maps the file that a receiver shares with the bench.
func mapCounts(file string) (*counts, error) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, int(unsafe.Sizeof(counts{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mmap %q: %w", file, err)
	}
	return (*counts)(unsafe.Pointer(&b[0])), nil
}

func (p *process) ready() bool {
	if p.url == "" {
		return load(&p.shared.ready) > 0
	}
	r, err := http.Get(p.url + "/-/ready")
	if err != nil {
		return false
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// cpu returns the CPU time of the process, user and system, all threads: clock_getcpuclockid(3).
func (p *process) cpu() time.Duration {
	const perProcess = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid)<<3|perProcess, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// idle waits until the process uses next to no CPU any more, and returns its CPU time then.
func (p *process) idle(timeout time.Duration) (time.Duration, error) {
	const look, nothing = 100 * time.Millisecond, 2 * time.Millisecond
	last := p.cpu()
	for end := time.Now().Add(timeout); time.Now().Before(end); {
		time.Sleep(look)
		now := p.cpu()
		if now-last < nothing {
			return last, nil
		}
		last = now
	}
	return 0, fmt.Errorf("still busy after %v", timeout)
}

// received returns how many messages the process has received. A null receiver of a stream counts
// bytes.
func (p *process) received(m *mix) (int, error) {
	if p.url == "" {
		if bytes := load(&p.shared.bytes); bytes > 0 {
			return m.messagesIn(int(bytes)), nil
		}
		return int(load(&p.shared.messages)), nil
	}
	r, err := http.Get(p.url + "/metrics")
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	series := "rsyncd_exporter_received_total{input=\"" + p.transport + "\"} "
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), series); ok {
			n, err := strconv.ParseFloat(rest, 64)
			return int(n), err
		}
	}
	return 0, errors.New("the exporter has no rsyncd_exporter_received_total for this input")
}

// messagesIn returns how many whole messages the first bytes of the passes hold.
func (m *mix) messagesIn(bytes int) int {
	n := bytes / m.bytes * len(m.messages)
	for bytes %= m.bytes; n >= 0; n++ {
		if bytes -= len(m.messages[n%len(m.messages)]); bytes < 0 {
			break
		}
	}
	return n
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		p.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-done
	}
}
