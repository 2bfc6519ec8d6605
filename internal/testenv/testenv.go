//go:build linux

// Package testenv starts the real programs that the exporter works with (rsync daemons, syslog
// daemons, Prometheus) for tests. Each one runs on the configuration that the repository ships, on
// ports and in directories of its own; it is ready when its Start function returns and gone when
// the test ends.
package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a program may take to become ready or to end.
const patience = 2 * time.Minute

// Root returns the repository's root directory.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod in the working directory or above it: run the test from within the repository")
		}
		dir = filepath.Dir(dir)
	}
}

// Need returns the path of a program: the machine's, or the one that `make deps` has unpacked. A
// missing one fails the test, since a skipped test would pass for one that has been run.
func Need(t testing.TB, program string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", filepath.Join(Root(t), "build/tools/bin")} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path
		}
	}
	t.Fatalf("this test runs the real %s, which is missing: run `make deps` first", program)
	return ""
}

// OwnMounts returns the command that runs the given one in a mount namespace of its own
// (scripts/own-mounts). It skips the test for users who can't have one because they are in a
// chroot.
func OwnMounts(t testing.TB, command ...string) []string {
	t.Helper()
	script := filepath.Join(Root(t), "scripts/own-mounts")
	if os.Geteuid() != 0 && inChroot(t) {
		if why, err := exec.Command(script, "true").CombinedOutput(); err != nil {
			t.Skipf("not a fault, but the chroot: only root can have mounts of its own there: %s", why)
		}
	}
	return append([]string{script}, command...)
}

// inChroot reports whether the root directory is no mount point, as in a chroot.
func inChroot(t testing.TB) bool {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == "/" { // the mount point, proc_pid_mountinfo(5)
			return false
		}
	}
	return true
}

// Dir returns a new directory that everybody may enter. Its path is short enough for sockets, which
// t.TempDir's may not be.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Port returns a port that is free for both UDP and TCP. The kernel gives it to nobody who asks for
// any port, and until this process ends no test of the machine gets it again: what listens at it may
// stop and start again.
func Port(t testing.TB) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for range 1000 {
		if ports.next == ports.end {
			from := firstPort + rand.IntN((firstEphemeral()-firstPort)/portBlock)*portBlock
			if !reserve(from) {
				continue
			}
			ports.next, ports.end = from, from+portBlock
		}
		port := ports.next
		ports.next++
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		c, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		l.Close()
		if err == nil {
			c.Close()
			return port
		}
	}
	t.Fatal("no port is free for both UDP and TCP")
	return 0
}

const (
	firstPort = 10_000 // of those that tests get
	portBlock = 100    // ports that a process reserves at a time, each with one descriptor
)

var ports struct { // of the block from which Port takes the next one
	sync.Mutex
	next, end int
}

// reserve keeps a block of ports from all who reserve it later, in whatever process: by an abstract
// unix socket, which the kernel closes when this process ends.
func reserve(from int) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@rsyncd_exporter-test-ports-%d", from)}); err != nil {
		unix.Close(fd)
		return false
	}
	return true
}

// firstEphemeral returns the first port that the kernel gives to sockets which ask for none: ip(7).
func firstEphemeral() int {
	const usual = 32768
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	first, _, _ := strings.Cut(string(b), "\t")
	if n, nerr := strconv.Atoi(first); err == nil && nerr == nil && n > 11_000 {
		return n
	}
	return usual
}

// Process is a program that a test has started.
type Process struct {
	cmd    *exec.Cmd
	output output
	done   chan struct{} // closed when it has ended; then err is set
	err    error
}

// Start starts the command, whose output it collects. The process ends with the test, or with the
// test program if that dies.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	return start(t, cmd, func(int) {})
}

// start is Start, and lets attend run on the thread that has started the process before that waits
// for its end.
func start(t testing.TB, cmd *exec.Cmd, attend func(pid int)) *Process {
	t.Helper()
	p := &Process{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.WaitDelay = 10 * time.Second // less than patience: a child of its that lives on may hold the output open
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		// The signal comes when the starting thread dies (prctl(2)), so that thread is held as long
		// as the process lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			attend(cmd.Process.Pid)
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		if cmd.SysProcAttr.Ptrace && errors.Is(err, syscall.EPERM) {
			err = fmt.Errorf("%w: this test traces it by ptrace(2), which a sandbox or "+
				"kernel.yama.ptrace_scope=3 forbids here", err)
		}
		t.Fatalf("starting %q: %v", cmd.Args, err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), p.Output())
		}
	})
	return p
}

// Stop ends the process, by SIGTERM and, where that isn't obeyed, SIGKILL, and returns how it
// ended, as exec.Cmd.Wait does. It may be called again.
func (p *Process) Stop() error {
	_ = p.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.Signal(syscall.SIGKILL)
		<-p.done
	}
	return p.err
}

// Signal sends the process a signal. When it has ended the error is os.ErrProcessDone.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ended returns a channel that is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Children returns the ids of the processes that the process has started and that have not been
// waited for. An rsync daemon has one for each session; the one of an upload has another for what
// it receives, and so has the client of a download.
func (p *Process) Children(t testing.TB) []int {
	t.Helper()
	// One file for each thread (proc(5)); rsync has one.
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, f := range strings.Fields(string(list)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// Wait waits for the process to end and returns its exit code, -1 where a signal ended it.
func (p *Process) Wait(t testing.TB) (code int) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(2 * patience):
		t.Fatalf("%q has not ended after %s", p.cmd.Args, 2*patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Output returns what the process has written to its standard output and error so far.
func (p *Process) Output() string { return p.output.String() }

// Ready polls until the condition holds, and fails the test when it doesn't in time or the process
// ends first.
func (p *Process) Ready(t testing.TB, what string, condition func() bool) {
	t.Helper()
	Until(t, patience, what, func() bool {
		select {
		case <-p.done:
			t.Fatalf("%q ended (%v) while the test waited for %s", p.cmd.Args, p.err, what)
		default:
		}
		return condition()
	})
}

// output is a buffer that may be read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Listening reports whether something on this machine listens on the TCP port. It looks instead of
// connecting, since rsyncd would log a connection.
func Listening(t testing.TB, port int) bool {
	t.Helper()
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(table)) {
			// sl local_address rem_address st …; 0A is TCP_LISTEN (proc(5),
			// include/net/tcp_states.h).
			f := strings.Fields(line)
			if len(f) > 3 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) && f[3] == "0A" {
				return true
			}
		}
	}
	return false
}

// rewrite copies one of the repository's files into dir, with replacements (old, new, …), and
// returns the copy's path. That an old text is missing fails the test: the file has changed and the
// test with it.
func rewrite(t testing.TB, file, dir string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), file))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !bytes.Contains(text, []byte(replace[i])) {
			t.Fatalf("%s doesn't hold %q, which is to be replaced", file, replace[i])
		}
	}
	path := filepath.Join(dir, filepath.Base(file))
	if err := os.WriteFile(path, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
