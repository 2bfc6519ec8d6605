//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
)

// An exporterProcess is the program as a process of its own, for what can't be done to a part of the test's: signals, and limits.
type exporterProcess struct {
	*exporter
	*testenv.Process
}

// startExporterProcess starts it through another program (strace …) if wrapper names one, with arguments of that.
func startExporterProcess(t *testing.T, wrapper []string, args ...string) *exporterProcess {
	t.Helper()
	return startExporterProcessWith(t, nil, wrapper, args...)
}

func startExporterProcessWith(t *testing.T, attr *syscall.SysProcAttr, wrapper []string, args ...string) *exporterProcess {
	t.Helper()
	p := launchExporterProcess(t, attr, wrapper, args...)
	p.Ready(t, "the exporter to be ready", func() bool {
		r, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return p
}

// launchExporterProcess doesn't wait until it is ready.
func launchExporterProcess(t *testing.T, attr *syscall.SysProcAttr, wrapper []string, args ...string) *exporterProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	command := append(wrapper, self, "-test.run=^TestHelperProcess$")
	cmd := exec.Command(command[0], command[1:]...)
	cmd.SysProcAttr = attr
	cmd.Env = append(os.Environ(), helperVariable+"=run", quickExit,
		helperArgs+"="+strings.Join(append([]string{"--http-listen=" + address}, args...), "\n"))
	return &exporterProcess{&exporter{t, "http://" + address}, testenv.Start(t, cmd)}
}

// signal sends one, and for SIGSTOP waits until the process stands still.
func (p *exporterProcess) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	if s == syscall.SIGSTOP {
		testenv.Until(p.t, patient, "the process to stand still", func() bool { return processState(p.t, p.Pid()) == "T" })
	}
}

// started waits until the start has been logged: the log comes by a way of its own.
func (p *exporterProcess) started() {
	p.t.Helper()
	lastLine := func() bool { return strings.Contains(p.Output(), "TLS is disabled.") }
	testenv.Until(p.t, patient, "the start to be logged", lastLine)
}

const patient = 2 * time.Minute

// processState is the state in /proc/PID/stat, behind the name in parentheses (proc_pid_stat(5)).
func processState(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

func dialDatagram(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

const transferLine = "<30>Nov 23 18:40:52 vm rsyncd[505]: send localhost [127.0.0.1] data () sub/c.dat 70000\n"

// accounted waits until sent = received + drops, and returns that scrape.
func accounted(e *exporter, sent float64) map[string]float64 {
	e.t.Helper()
	var s map[string]float64
	testenv.Until(e.t, patient, "every datagram to be received or dropped", func() bool {
		s = e.scrape()
		return total(s, "rsyncd_exporter_received_total")+total(s, "rsyncd_exporter_socket_drops_total") >= sent
	})
	if got := total(s, "rsyncd_exporter_received_total") + total(s, "rsyncd_exporter_socket_drops_total"); got != sent {
		e.t.Errorf("%v received and dropped, want %v", got, sent)
	}
	e.identities(s)
	return s
}

// FAULTS U2: an exporter that stands still under load drops, and what it dropped is known when it goes on; with several sockets, too.
func TestUDPStoppedProcess(t *testing.T) {
	t.Parallel()
	for _, sockets := range []string{"1", "3"} {
		udp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
		p := startExporterProcess(t, nil, "--listen-udp="+udp, "--udp-sockets="+sockets, "--receive-buffer=64KiB")
		const each, ports = 3000, 6
		sent := 0
		flood := func() {
			for range ports {
				c := dialDatagram(t, "udp", udp)
				for range each {
					if _, err := c.Write([]byte(transferLine)); err != nil {
						t.Fatal(err)
					}
					sent++
				}
			}
		}
		p.signal(syscall.SIGSTOP)
		flood()
		p.signal(syscall.SIGCONT)
		flood()
		s := accounted(p.exporter, float64(sent))
		if total(s, "rsyncd_exporter_socket_drops_total") < each {
			t.Errorf("only %v dropped: the process can't have stood still", total(s, "rsyncd_exporter_socket_drops_total"))
		}
		if err := p.Stop(); err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
	}
}

// FAULTS U14: 10,000 datagrams are queued when SIGTERM comes; all are read before the end.
func TestUDPQueuedAtSIGTERM(t *testing.T) {
	udp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	web := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	// More than 10,000 need: none is dropped. With the race detector they might take longer than an end may.
	p := startReleased(t, web, nil, "--http-listen="+web, "--listen-udp="+udp, "--receive-buffer=32MiB")
	p.freeze()
	c := dialDatagram(t, "udp", udp)
	const sent = 10_000
	for range sent {
		if _, err := c.Write([]byte(transferLine)); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGCONT} {
		if err := p.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	<-p.Ended()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if got := regexp.MustCompile(`msg=stopping received=(\d+)`).FindStringSubmatch(p.Output()); got == nil || got[1] != strconv.Itoa(sent) {
		t.Errorf("%q, want %d received", got, sent)
	}
}

// FAULTS U12: reads that fail now and then, with errors that pass, lose nothing and are counted; but for those that a signal has ended.
func TestUDPReadsThatFail(t *testing.T) {
	t.Parallel()
	strace := testenv.Need(t, "strace")
	for _, errno := range []string{"EINTR", "ENOMEM", "ENOBUFS", "ECONNREFUSED", "EAGAIN"} {
		t.Run(errno, func(t *testing.T) {
			udp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
			p := startExporterProcess(t, []string{strace, "-D", "-f", "--seccomp-bpf", "-qq", "-o", os.DevNull, "-e", "trace=recvmmsg",
				"-e", "inject=recvmmsg:error=" + errno + ":when=3+4"}, "--listen-udp="+udp)
			c := dialDatagram(t, "udp", udp)
			const sent = 300
			for range sent {
				if _, err := c.Write([]byte(transferLine)); err != nil {
					t.Fatal(err)
				}
			}
			s := accounted(p.exporter, sent)
			if errno == "EINTR" {
				p.want(s, 0, "rsyncd_exporter_receive_errors_total")
				return
			}
			testenv.Until(t, patient, "failed reads to be counted", func() bool {
				s = p.scrape()
				return total(s, "rsyncd_exporter_receive_errors_total") > 0
			})
			if got := total(s, "rsyncd_exporter_receive_errors_total"); got > sent {
				t.Errorf("%v failed reads, want every fourth of at most some hundred", got)
			}
		})
	}
}

// FAULTS U4: without CAP_NET_ADMIN the buffer is what net.core.rmem_max allows; the metric shows it, and one line says what to do.
func TestUDPBufferThatIsCut(t *testing.T) {
	b, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		t.Fatal(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	udp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	p := startExporterProcess(t, []string{testenv.Need(t, "setpriv"), "--bounding-set=-net_admin", "--inh-caps=-net_admin"},
		"--listen-udp="+udp, "--udp-sockets=3", "--receive-buffer="+strconv.Itoa(most+1<<20))
	p.want(p.scrape(), float64(most), "rsyncd_exporter_socket_receive_buffer_bytes")
	p.started()
	if out := p.Output(); strings.Count(out, "smaller receive buffer") != 1 || !strings.Contains(out, "sysctl -w net.core.rmem_max="+strconv.Itoa(most+1<<20)) {
		t.Errorf("the log has %d lines about the buffer, want 1 with its remedy", strings.Count(out, "smaller receive buffer"))
	}
}

// FAULTS U8: refused senders are counted and leave no lines of their own in the log.
func TestRefusedSendersAreOnlyCounted(t *testing.T) {
	port := testenv.Port(t)
	p := startExporterProcess(t, nil, fmt.Sprintf("--listen-udp=0.0.0.0:%d", port), fmt.Sprintf("--listen-tcp=127.0.0.1:%d", port), "--allow-from=127.0.0.2/31")
	p.started()
	before := p.Output()
	c := dialDatagram(t, "udp", fmt.Sprintf("127.0.0.1:%d", port))
	const sent = 2000
	for range sent {
		if _, err := c.Write([]byte(transferLine)); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		dialDatagram(t, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	}
	p.until(20, "rsyncd_exporter_refused_connections_total", `reason="not_allowed"`)
	s := accounted(p.exporter, sent)
	if refused := total(s, "rsyncd_exporter_discarded_total", `input="udp"`, `reason="not_allowed"`); refused+total(s, "rsyncd_exporter_socket_drops_total") != sent {
		t.Errorf("%v refused, want all of %d that arrived", refused, sent)
	}
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 3)}}
	allowed, err := d.DialContext(context.Background(), "udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer allowed.Close()
	if _, err := allowed.Write([]byte(transferLine)); err != nil {
		t.Fatal(err)
	}
	p.until(1, "rsync_messages_total")
	for line := range strings.Lines(strings.TrimPrefix(p.Output(), before)) {
		// Once in a run the input is warned of; a slow machine gets as far as that.
		if !strings.Contains(line, "none of an input's messages is understood") {
			t.Errorf("the log says %q", line)
		}
	}
}

// FAULTS U15: a second instance ends with status 1 and a remedy, whatever its sockets; the first goes on.
func TestSecondProcessOnTheSameAddressIsRefused(t *testing.T) {
	udp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	p := startExporterProcess(t, nil, "--listen-udp="+udp, "--udp-sockets=4")
	for _, sockets := range []string{"1", "4"} {
		second := startHelper(t, "run")
		second.Env = append(second.Env, helperArgs+"=--http-listen=127.0.0.1:0\n--listen-udp="+udp+"\n--udp-sockets="+sockets)
		out, _ := second.CombinedOutput()
		if code := second.ProcessState.ExitCode(); code != exitFailure || !strings.Contains(string(out), "another rsyncd_exporter") {
			t.Errorf("a second one with %s sockets: status %d, want %d; %s", sockets, code, exitFailure, out)
		}
	}
	c := dialDatagram(t, "udp", udp)
	if _, err := c.Write([]byte(transferLine)); err != nil {
		t.Fatal(err)
	}
	p.until(1, "rsync_messages_total")
}

// FAULTS X1, X6: rsyncd waits while the exporter stands still, which is what a unix socket costs, and nothing is lost. After SIGKILL a new
// exporter takes over the dead one's socket file, and daemons that can (these don't chroot) reach it.
func TestUnixSocketOfAStoppedAndAKilledProcess(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(testenv.Dir(t), "log")
	p := startExporterProcess(t, nil, "--listen-unixgram="+socket, "--listen-udp=off")
	d := testenv.StartRsyncd(t, socket, "--dparam=use chroot=no")
	const files = 1000 // the queue holds 11 messages, or 513 where net.unix.max_dgram_qlen is 512
	for i := range files {
		if err := os.WriteFile(filepath.Join(d.Module("mirror"), fmt.Sprintf("small%03d", i)), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.until(1, "rsync_daemon_starts_total")
	p.signal(syscall.SIGSTOP)
	pulled := make(chan int, 1)
	mine := testenv.Dir(t)
	go func() {
		cmd := exec.Command(testenv.Need(t, "rsync"), "-a", d.URL("", "mirror/"), mine)
		_ = cmd.Run()
		pulled <- cmd.ProcessState.ExitCode()
	}()
	testenv.Until(t, patient, "rsyncd to wait for the exporter", func() bool { return aChildSends(d.Pid()) })
	p.signal(syscall.SIGCONT)
	if code := <-pulled; code != 0 {
		t.Errorf("the pull ended with %d", code)
	}
	s := p.until(1, "rsync_sessions_total", `outcome="ok"`)
	p.want(s, files+2, "rsync_files_total", `operation="send"`)
	p.want(s, 1, "rsyncd_exporter_socket_in_place", `input="unixgram"`)

	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Ended()
	if _, err := os.Lstat(socket); err != nil {
		t.Fatalf("a killed process has removed its socket file: %v", err)
	}
	p = startExporterProcess(t, nil, "--listen-unixgram="+socket, "--listen-udp=off")
	if code, out := testenv.Rsync(t, "-a", d.URL("", "mirror/"), testenv.Dir(t)); code != 0 {
		t.Errorf("the pull ended with %d: %s", code, out)
	}
	s = p.until(1, "rsync_sessions_total", `outcome="ok"`)
	p.want(s, files+2, "rsync_files_total", `operation="send"`)
}

// aChildSends says whether a child of the process is in sendto(2), 44 or 206 (the first word of /proc/PID/syscall).
func aChildSends(pid int) bool {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, child := range strings.Fields(string(children)) {
		call, _ := os.ReadFile("/proc/" + child + "/syscall")
		number, _, _ := strings.Cut(string(call), " ")
		if number == strconv.Itoa(unix.SYS_SENDTO) {
			return true
		}
	}
	return false
}

// FAULTS X5: the metric and one line tell of a socket file that somebody has taken, and of one that was made again.
func TestUnixSocketFileThatIsTaken(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(testenv.Dir(t), "log")
	p := startExporterProcess(t, nil, "--listen-unixgram="+socket, "--listen-udp=off")
	p.until(1, "rsyncd_exporter_socket_in_place", `input="unixgram"`)
	other, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket + "2", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := os.Rename(socket+"2", socket); err != nil {
		t.Fatal(err)
	}
	p.until(0, "rsyncd_exporter_socket_in_place", `input="unixgram"`)
	testenv.Until(t, patient, "a warning", func() bool { return strings.Contains(p.Output(), "somebody else's") })
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	s := p.until(1, "rsyncd_exporter_socket_in_place", `input="unixgram"`)
	p.want(s, 1, "rsyncd_exporter_socket_rebinds_total")
	testenv.Until(t, patient, "a line about it", func() bool { return strings.Contains(p.Output(), "it has been made again") })
	c := dialDatagram(t, "unixgram", socket)
	if _, err := c.Write([]byte("<30>Nov 23 18:40:52 rsyncd[505]: connect from localhost (127.0.0.1)\n")); err != nil {
		t.Fatal(err)
	}
	p.until(1, "rsync_connections_total")
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(p.Output(), "level=WARN"); n != 2 {
		t.Errorf("%d warnings, want 2", n)
	}
}

// Two real daemons, each the first process of a pid namespace as in a container, log into one socket. Their sessions have the same process ids
// and run at the same time, and none has a line of another. Ids of the daemons' own namespace arrive in scope 0, beside them.
func TestRsyncdInTwoPIDNamespaces(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(testenv.Dir(t), "log")
	e := startExporter(t, "--listen-unixgram="+socket, "--listen-udp=off", "--log-level=debug")
	const pulls = 5
	type daemon struct{ url, module string }
	var daemons []daemon
	for i, module := range []string{"first", "second"} {
		dir := testenv.Dir(t)
		files := filepath.Join(dir, "files")
		if err := os.Mkdir(files, 0o755); err != nil {
			t.Fatal(err)
		}
		for n := range 30 {
			if err := os.WriteFile(filepath.Join(files, fmt.Sprintf("f%02d", n)), make([]byte, 1000*(i+1)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		conf := fmt.Sprintf("use chroot = no\ntransfer logging = yes\nlog format = %%o %%h [%%a] %%m (%%u) %%f %%l\n[%s]\npath = %s\n", module, files)
		if err := os.WriteFile(filepath.Join(dir, "rsyncd.conf"), []byte(conf), 0o644); err != nil {
			t.Fatal(err)
		}
		port := testenv.Port(t)
		cmd := exec.Command(filepath.Join(testenv.Root(t), "scripts/with-dev-log"), socket, testenv.Need(t, "rsync"), "--daemon", "--no-detach",
			"--config="+filepath.Join(dir, "rsyncd.conf"), "--address=127.0.0.1", "--port="+strconv.Itoa(port), "--dparam=log format=%o %h [%a] %m (%u) %f %l")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
		p := testenv.Start(t, cmd)
		p.Ready(t, "rsyncd to listen", func() bool { return testenv.Listening(t, port) })
		daemons = append(daemons, daemon{fmt.Sprintf("rsync://127.0.0.1:%d/%s/", port, module), module})
	}
	// The clients are slowed down, so that the sessions run at the same time and their lines are mixed.
	for range pulls {
		var clients []*testenv.Process
		for _, d := range daemons {
			clients = append(clients, testenv.Start(t, exec.Command(testenv.Need(t, "rsync"), "-a", "--bwlimit=100", d.url, testenv.Dir(t))))
		}
		for _, c := range clients {
			<-c.Ended()
		}
	}
	s := e.until(2*pulls, "rsync_sessions_total")
	for i, d := range daemons {
		module := fmt.Sprintf("module=%q", d.module)
		e.want(s, pulls, "rsync_sessions_total", module, `outcome="ok"`)
		e.want(s, pulls, "rsync_executions_total", module)
		e.want(s, 30*pulls, "rsync_files_total", module, `operation="send"`)
		e.want(s, float64(30*pulls*1000*(i+1)), "rsync_file_bytes_total", module, `operation="send"`)
		e.want(s, float64(30*pulls*1000*(i+1)), "rsync_listed_bytes_total", module) // and its directory has no size
	}
	e.want(s, 2*pulls, "rsync_connections_total")
	e.want(s, 0, "rsync_messages_total", `kind="implausible"`)
	e.want(s, 0, "rsync_messages_total", `kind="unrecognised"`)
}

// An exporter in a container beside the daemon's, as in deploy/docker-compose.yml, sees no process ids of the daemon's. It counts all the same.
func TestRsyncdOutsideOfTheExportersPIDNamespace(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(testenv.Dir(t), "log")
	p := startExporterProcessWith(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}, nil, "--listen-unixgram="+socket, "--listen-udp=off")
	checkTraffic(t, p.exporter, testenv.StartRsyncd(t, socket))
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
