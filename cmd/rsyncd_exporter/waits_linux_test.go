package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/systemd"
	"rsyncd_exporter/internal/testenv"
)

// startReal starts the program as main runs it and waits until it is ready. Its standard error is the file
// given, if any.
func startReal(t *testing.T, stderr *os.File, env []string, args ...string) *exporterProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	command := `exec "$@"`
	if stderr != nil {
		command = `exec "$@" 2>&3 3>&-`
	}
	cmd := exec.Command("/bin/sh", "-c", command, "sh", self, "-test.run=^TestHelperProcess$")
	cmd.Env = append(append(os.Environ(), helperVariable+"=real", quickExit,
		helperArgs+"="+strings.Join(append([]string{"--http-listen=" + address}, args...), "\n")), env...)
	if stderr != nil {
		cmd.ExtraFiles = []*os.File{stderr}
	}
	p := &exporterProcess{&exporter{t, "http://" + address}, testenv.Start(t, cmd)}
	client := &http.Client{Timeout: 10 * time.Second} // one that accepts and never answers isn't ready
	defer client.CloseIdleConnections()
	p.Ready(t, "the exporter to be ready", func() bool {
		r, err := client.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK || r.StatusCode == http.StatusBadRequest // the latter: it wants to be asked encrypted
	})
	return p
}

// fullPipe returns both ends of a pipe in which no byte fits any more.
func fullPipe(t *testing.T) (read, write *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{4096, 1} {
		for {
			if _, err := unix.Write(fds[1], make([]byte, size)); errors.Is(err, unix.EAGAIN) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	read, write = os.NewFile(uintptr(fds[0]), "read"), os.NewFile(uintptr(fds[1]), "write")
	t.Cleanup(func() { read.Close(); write.Close() })
	return read, write
}

// Nobody reads the log, from the first line on. The program starts, receives, is scraped and ends as ever.
func TestNobodyReadsStandardError(t *testing.T) {
	testenv.SetEnv(t)
	_, full := fullPipe(t)
	dir := testenv.Dir(t)
	socket := filepath.Join(dir, "log")
	p := startReal(t, full, nil, "--listen-unixgram="+socket, "--listen-udp=off", "--state-dir="+newStateDir(t, dir))
	c := dialDatagram(t, "unixgram", socket)
	const sent = 2000
	for range sent { // blocks where nobody receives
		if _, err := c.Write([]byte(transferLine)); err != nil {
			t.Fatal(err)
		}
	}
	accounted(p.exporter, sent)
	p.signal(syscall.SIGTERM)
	if code := p.Wait(t); code != exitOK {
		t.Errorf("exit status %d", code)
	}
}

// deafSupervisor makes a socket for NOTIFY_SOCKET in whose queue no datagram fits any more.
func deafSupervisor(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	name := &net.UnixAddr{Name: address, Net: "unixgram"}
	s, err := net.ListenUnixgram("unixgram", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for {
		if err := unix.Sendto(fd, []byte("junk"), 0, &unix.SockaddrUnix{Name: address}); errors.Is(err, unix.EAGAIN) {
			return s
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A supervisor that doesn't read holds up neither the start nor the end; the log says so once; and one that
// reads again is told READY=1.
func TestSupervisorThatDoesNotRead(t *testing.T) {
	testenv.SetEnv(t)
	for _, kind := range []string{"/", "@"} { // a file, and a name that is none
		for _, readsAgain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%q %v", kind, readsAgain), func(t *testing.T) {
				t.Parallel()
				address := filepath.Join(testenv.Dir(t), "notify")
				if kind == "@" {
					address = kind + address
				}
				s := deafSupervisor(t, address)
				p := startReal(t, nil, []string{"NOTIFY_SOCKET=" + address, "WATCHDOG_USEC=4000000"}, "--listen-udp=127.0.0.1:0")
				const deaf = `msg="the supervisor can't be told"`
				p.Ready(t, "the log to say that nobody reads", func() bool { return strings.Contains(p.Output(), deaf) })
				s.SetReadDeadline(time.Now().Add(patient)) // WATCHDOG=1 comes all the time
				for buf := make([]byte, 100); readsAgain; {
					n, err := s.Read(buf)
					if err != nil {
						t.Fatalf("no READY=1: %v", err)
					}
					if got := string(buf[:n]); got != "junk" && got != systemd.Ready {
						t.Fatalf("%q before READY=1", got)
					}
					readsAgain = string(buf[:n]) != systemd.Ready
				}
				p.signal(syscall.SIGTERM)
				if code := p.Wait(t); code != exitOK || strings.Count(p.Output(), deaf) != 1 {
					t.Errorf("exit status %d, want 0, and the log to say once that nobody reads:\n%s", code, p.Output())
				}
			})
		}
	}
}

// A FIFO in the place of a log, a state or a key is not waited for: its writer may never come.
func TestNothingWaitsForTheWriterOfAFIFO(t *testing.T) {
	testenv.SetEnv(t, anyHTTP, anyUDP)
	dir := testenv.Dir(t)
	fifo := func(name string) string {
		name = filepath.Join(dir, name)
		if err := unix.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	plain, state := fifo("fifo"), newStateDir(t, dir)
	fifo("state/state.a")
	fifo("state/state.b")
	fifo("log.lock")
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"check --listen-tls=127.0.0.1:0 --tls-cert=" + plain + " --tls-key=" + plain, exitUsage, "not a regular file"},
		{"check --file=" + plain, exitOK, "no regular file"},
		{"check " + plain, exitFailure, "no regular file"},
		{"check --state-dir=" + plain, exitUsage, "it is no directory"},
		{"check --state-dir=" + state, exitOK, "can't be used"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		defer cancel()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(ctx, self, "-test.run=^TestHelperProcess$")
		cmd.Env = append(os.Environ(), helperVariable+"=real", quickExit, helperArgs+"="+strings.ReplaceAll(c.args, " ", "\n"))
		out, _ := cmd.CombinedOutput()
		if ctx.Err() != nil {
			t.Fatalf("%s: it waits", c.args)
		}
		if code := cmd.ProcessState.ExitCode(); code != c.status || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: exit status %d, want %d and %q:\n%s", c.args, code, c.status, c.says, out)
		}
	}
}

// SIGTERM ends a start that waits for a name server which never answers, with status 0.
func TestSigtermWhileANameIsLookedUp(t *testing.T) {
	testenv.SetEnv(t)
	silent, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 77), Port: 53})
	if err != nil {
		t.Skipf("no name server can be played here: %v", err)
	}
	defer silent.Close()
	dir := testenv.Dir(t)
	testenv.WriteFile(t, filepath.Join(dir, "resolv.conf"), "nameserver 127.0.0.77\noptions timeout:5 attempts:2\n")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := testenv.OwnMounts(t, "/bin/sh", "-c", `mount --bind "$1/resolv.conf" /etc/resolv.conf && shift && exec "$@"`, "sh",
		dir, self, "-test.run=^TestHelperProcess$")
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), helperVariable+"=real", quickExit, "GODEBUG=netdns=go",
		helperArgs+"=--http-listen=127.0.0.1:0\n--listen-udp=rsyncd.example.org:5514")
	p := testenv.Start(t, cmd)
	if err := silent.SetReadDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	if _, err := silent.Read(make([]byte, 512)); err != nil {
		t.Fatalf("no question for the name: %v\n%s", err, p.Output())
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	const said = "stopped before everything was open"
	if code := p.Wait(t); code != exitOK || !strings.Contains(p.Output(), said) {
		t.Errorf("exit status %d, want %d and %q:\n%s", code, exitOK, said, p.Output())
	}
}
