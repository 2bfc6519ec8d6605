//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// A process is the exporter that runs.
type process struct {
	cmd       *exec.Cmd
	url       string
	unix, udp int // sockets that are connected to it and block
}

// start starts the exporter and returns when its sockets are open, which is long before it is
// ready. The program ends with the bench.
func (b *bench) start(stateDir, log string) (*process, error) {
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return nil, err
	}
	p := &process{unix: -1, udp: -1}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	address, socket := fmt.Sprintf("127.0.0.1:%d", port), filepath.Join(filepath.Dir(log), "log")
	p.url = "http://" + address
	p.cmd = exec.Command(b.exporter, "--file="+log, "--file-start=beginning", "--state-dir="+stateDir,
		"--listen-unixgram="+socket,
		"--listen-udp="+address, "--http-listen="+address, "--log-level=warn")
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	// HTTP is served once the sockets are open
	for end := time.Now().Add(time.Minute); !p.healthy(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			p.stop()
			return nil, fmt.Errorf("%s doesn't answer at %s after a minute", b.exporter, p.url)
		}
	}
	if p.unix, err = connect(unix.AF_UNIX, &unix.SockaddrUnix{Name: socket}); err == nil {
		p.udp, err = connect(unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("connecting to the exporter: %w", err)
	}
	return p, nil
}

// freePort returns a port on 127.0.0.1 that is free for TCP, and as good as certainly for UDP.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// connect returns a datagram socket whose sends block. Go's own would wait in the poller, and that
// would be measured too.
func connect(family int, to unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, to); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (p *process) healthy() bool {
	r, err := http.Get(p.url + "/-/healthy")
	if err != nil {
		return false
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// stop ends the exporter, which saves its state.
func (p *process) stop() {
	unix.Close(p.unix)
	unix.Close(p.udp)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	_ = p.cmd.Wait()
}

// A phase is what was measured in some time: what each send and each scrape took, and how often
// which code was the answer.
type phase struct {
	unix, udp, scrapes durations
	codes              map[int]int
}

// load sends messages at the rate and scrapes ten times a second, until done is true of an answer.
func (p *process) load(messages [][]byte, rate int, done func(answer) bool) (phase, error) {
	ph := phase{codes: map[int]int{}}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		ph.unix, err = send(ctx, p.unix, messages, rate)
		return err
	})
	g.Go(func() (err error) {
		ph.udp, err = send(ctx, p.udp, messages, rate)
		return err
	})
	g.Go(func() error {
		defer stop()
		for ctx.Err() == nil {
			began := time.Now()
			a, err := p.scrape()
			if err != nil {
				return err
			}
			took := time.Since(began)
			ph.scrapes = append(ph.scrapes, took)
			ph.codes[a.code]++
			if done(a) {
				break
			}
			time.Sleep(100*time.Millisecond - took)
		}
		return nil
	})
	err := g.Wait()
	return ph, err
}

// send sends messages at the rate until ctx ends. After a send that blocked it makes up for the
// time.
func send(ctx context.Context, fd int, messages [][]byte, rate int) (waits durations, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for start := time.Now(); ctx.Err() == nil; {
		n := len(waits)
		time.Sleep(time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(rate))))
		began := time.Now()
		if _, err := unix.Write(fd, messages[n%len(messages)]); err != nil {
			return nil, fmt.Errorf("sending message %d: %w", n, err)
		}
		waits = append(waits, time.Since(began))
	}
	return waits, nil
}

// An answer is one to a scrape.
type answer struct {
	code   int
	series map[string]float64 // as they are written
}

func (p *process) scrape() (answer, error) {
	r, err := http.Get(p.url + "/metrics")
	if err != nil {
		return answer{}, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return answer{}, fmt.Errorf("%s/metrics: %w", p.url, err)
	}
	a := answer{r.StatusCode, map[string]float64{}}
	for line := range strings.Lines(string(body)) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && !strings.HasPrefix(line, "#") {
			if v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err == nil {
				a.series[line[:at]] = v
			}
		}
	}
	return a, nil
}

type durations []time.Duration

// part returns the duration that this part of all, up to 1, does not exceed.
func (d durations) part(part float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[int(part*float64(len(sorted)-1))].Round(100 * time.Nanosecond)
}
