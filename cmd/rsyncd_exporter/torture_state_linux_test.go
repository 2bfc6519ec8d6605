package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// A program that is killed before anybody has scraped it has shown nothing, and still all lines are counted that came since it was ready: it
// has begun at the end of the file once, or where there was none, and doesn't begin again.
func TestKilledBeforeTheFirstScrape(t *testing.T) {
	t.Parallel()
	for name, old := range map[string]uint64{"no file": 0, "a file": 300} {
		t.Run(name, func(t *testing.T) {
			dir := testenv.Dir(t)
			w := newWorld(filepath.Join(dir, "log"), testenv.Seed(t))
			write := func(lines uint64) {
				t.Helper()
				if err := w.run(func() bool { return w.lines >= lines }); err != nil {
					t.Fatal(err)
				}
			}
			write(old)
			if err := w.end(); err != nil {
				t.Fatal(err)
			}
			before := w.truth()
			v := newVictim(t, newStateDir(t, dir), worldArgs(w)...)
			for range 3 {
				write(w.lines + 200)
				v.kill()
				write(w.lines + 200)
				v.start()
				v.ready()
			}
			if err := errors.Join(w.end(), caughtUp(v.url, w.lines-uint64(before[`rsyncd_exporter_received_total{input="file"}`]))); err != nil {
				t.Fatal(err)
			}
			var ended uint64 // which takes a moment
			for i := range w.flows {
				ended += w.flows[i][0].sessions + w.flows[i][1].sessions
			}
			series := v.until(float64(ended)-total(before, "rsync_sessions_total"), "rsync_sessions_total")
			for name, want := range w.truth() {
				if got := series[name]; got != want-before[name] {
					t.Errorf("%s: %v, want %v", name, got, want-before[name])
				}
			}
			v.terminate()
		})
	}
}

// FAULTS L4: the program is killed when half an answer has been sent. No value is ever below one that was in it.
func TestKillWithinAnAnswer(t *testing.T) {
	t.Parallel()
	seed := testenv.Seed(t)
	s := newSiege(t, seed)
	for range testenv.Tortured(2, 30) {
		s.write(200)
		s.counted()
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		// A window so small that the program can't send all before it is read.
		if err := conn.(*net.TCPConn).SetReadBuffer(2048); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n")
		part := make([]byte, 12_000)
		if _, err := io.ReadFull(conn, part); err != nil {
			t.Fatal(err)
		}
		s.write(100)
		s.kill()
		rest, _ := io.ReadAll(conn)
		conn.Close()
		text := append(part, rest...)
		text = text[:strings.LastIndexByte(string(text), '\n')+1]
		shown, err := counters(strings.NewReader(string(text)))
		if err != nil || len(shown) == 0 {
			t.Fatalf("%d counters in %d bytes: %v", len(shown), len(text), err)
		}
		s.start()
		s.ready()
		after := s.scrape()
		for name, v := range shown {
			if after[name] < v {
				t.Errorf("%s was sent as %v and is %v after the restart", name, v, after[name])
			}
		}
	}
	s.finish()
}

// runRefused starts a second program with the arguments, which must end by itself with status 1, and returns what it says.
func runRefused(t *testing.T, args ...string) string {
	t.Helper()
	second := startHelper(t, "run")
	second.Env = append(second.Env, helperArgs+"="+strings.Join(args, "\n"))
	out, _ := second.CombinedOutput()
	if code := second.ProcessState.ExitCode(); code != exitFailure {
		t.Errorf("status %d, want %d:\n%s", code, exitFailure, out)
	}
	return string(out)
}

// FAULTS L7: a second program on the same state directory is refused, and the first goes on.
func TestSecondProcessOnTheSameStateIsRefused(t *testing.T) {
	t.Parallel()
	s := newSiege(t, testenv.Seed(t))
	s.write(100)
	out := runRefused(t, append([]string{"--http-listen=127.0.0.1:0", "--state-dir=" + s.state}, worldArgs(s.w)...)...)
	if !strings.Contains(out, s.state) || !strings.Contains(out, "another") {
		t.Errorf("it says %q, want the directory, and that it is another's", out)
	}
	s.write(100)
	s.finish()
}

// hashes returns the content of every file in a directory, hashed, by name.
func hashes(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][32]byte{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = sha256.Sum256(b)
	}
	return all
}

// FAULTS L8: a program that can't start, again and again, leaves the state as it is.
func TestCrashLoopLeavesTheStateAlone(t *testing.T) {
	t.Parallel()
	s := newSiege(t, testenv.Seed(t))
	s.write(300)
	s.counted()
	s.kill()
	before := hashes(t, s.state)
	taken, err := net.Listen("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	s.write(100)
	for _, broken := range [][]string{
		{s.args[0]}, // its address is taken
		{"--http-listen=127.0.0.1:0", "--listen-unixgram=" + s.state + "/no/such/directory"}, // an input can't be opened
	} {
		for range 3 {
			runRefused(t, append(append([]string{"--state-dir=" + s.state}, broken...), worldArgs(s.w)...)...)
		}
	}
	after := hashes(t, s.state)
	for name, sum := range before {
		if after[name] != sum {
			t.Errorf("%s has changed", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files in place of %d", len(after), len(before))
	}
	taken.Close()
	s.start()
	s.ready()
	s.finish()
}

// FAULTS D7: a state that was brought back from a backup is old, but true. What has been logged since is read again, as far as it is there:
// here all of it, so that nothing shows. But of several rotations since, some may be found as one.
func TestStateFromABackup(t *testing.T) { // not parallel: what settles within two seconds would be seen to fall
	s := newSiege(t, testenv.Seed(t))
	for _, scraper := range s.scrapers {
		scraper.mu.Lock()
		scraper.mayFall = "rsyncd_exporter_file_rotations_total"
		scraper.mu.Unlock()
	}
	s.write(500)
	s.counted()
	backup := filepath.Join(testenv.Dir(t), "backup")
	testenv.Until(t, time.Minute, "a copy between two saves", func() bool {
		return os.RemoveAll(backup) == nil && os.CopyFS(backup, os.DirFS(s.state)) == nil
	})
	for range 3 {
		s.write(500)
		s.counted()
		s.kill()
		if err := os.RemoveAll(s.state); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(s.state, os.DirFS(backup)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(s.state, 0o700); err != nil {
			t.Fatal(err)
		}
		s.start()
		s.ready()
	}
	s.finish()
}

// FAULTS D8, X1: fsync hangs. Datagrams are received all the same, a scrape is answered with what was durable before, and once fsync goes
// on everything is there.
func TestFsyncThatHangs(t *testing.T) {
	t.Parallel()
	strace := testenv.Need(t, "strace")
	dir := testenv.Dir(t)
	socket, udp := filepath.Join(dir, "dev-log"), fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	s := newSiege(t, testenv.Seed(t), "--listen-unixgram="+socket, "--listen-udp="+udp, "--receive-buffer=32MiB")
	s.write(300)
	s.counted()
	durable := float64(s.w.written())

	const forever = "3600000000" // us
	hold := testenv.Start(t, exec.Command(strace, "-f", "-qq", "-o", filepath.Join(dir, "trace"), "-p", fmt.Sprint(s.Pid()), "-e", "trace=fsync,fdatasync",
		"-e", "inject=fsync,fdatasync:delay_enter="+forever))
	hold.Ready(t, "strace to hold every thread", func() bool { return traced(t, s.Pid()) })
	s.write(300)
	// Each of these returns when the program, or its socket's queue of a few, has taken it: a reader that waits would block it for good.
	toUnix, toUDP := dialDatagram(t, "unixgram", socket), dialDatagram(t, "udp", udp)
	const datagrams = 5000
	for range datagrams {
		if _, err := toUnix.Write([]byte(strings.Replace(transferLine, " vm ", " ", 1))); err != nil {
			t.Fatal(err)
		}
		if _, err := toUDP.Write([]byte(transferLine)); err != nil {
			t.Fatal(err)
		}
	}
	held := s.scrape()
	s.want(held, durable, "rsyncd_exporter_received_total", `input="file"`)
	s.want(held, 0, "rsyncd_exporter_received_total", `input="unixgram"`)
	if err := hold.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-hold.Ended()
	s.until(datagrams, "rsyncd_exporter_received_total", `input="unixgram"`)
	series := s.until(datagrams, "rsyncd_exporter_received_total", `input="udp"`)
	s.want(series, 0, "rsyncd_exporter_socket_drops_total")
	s.counted()
	s.want(s.scrape(), 1, "rsyncd_exporter_state_ok")
	s.kill()
	s.start()
	s.ready()
	series = s.scrape()
	s.want(series, datagrams, "rsyncd_exporter_received_total", `input="unixgram"`)
	s.want(series, datagrams, "rsyncd_exporter_received_total", `input="udp"`)
	s.terminate()
}

// A disk on which fsync hangs from the start on, as one that a neighbour keeps busy: the sockets are open all the same, and what comes meanwhile
// is counted. Nothing is shown before what was restored is durable.
func TestStartOnADiskThatHangs(t *testing.T) {
	t.Parallel()
	strace := testenv.Need(t, "strace")
	dir := testenv.Dir(t)
	socket, udp := filepath.Join(dir, "dev-log"), fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	v := newVictim(t, newStateDir(t, dir), "--listen-unixgram="+socket, "--listen-udp="+udp, "--receive-buffer=32MiB")
	send := func(network, address string, n int) {
		t.Helper()
		conn := dialDatagram(t, network, address)
		defer conn.Close()
		for range n {
			if _, err := conn.Write([]byte(strings.Replace(transferLine, " vm ", " ", 1))); err != nil {
				t.Fatal(err)
			}
		}
	}
	send("unixgram", socket, 100)
	v.until(100, "rsyncd_exporter_received_total", `input="unixgram"`)
	v.terminate()

	const forever = "3600000000" // us
	v.wrapper = []string{strace, "-D", "-f", "-qq", "-o", filepath.Join(dir, "trace"), "-e", "trace=fsync,fdatasync",
		"-e", "inject=fsync,fdatasync:delay_enter=" + forever}
	v.start()
	letGo := func() { // strace passes the time of a delay without looking at signals, and would keep a test that fails
		if pid := tracer(v.Pid()); pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	t.Cleanup(letGo)
	v.Ready(t, "the sockets to be open", func() bool { return strings.Contains(v.Output(), "msg=serving ") })
	const datagrams = 5000
	send("unixgram", socket, datagrams)
	send("udp", udp, datagrams)
	if code, text := get(t, v.url+"/-/ready"); code != http.StatusServiceUnavailable || !strings.Contains(text, "STATE_DIR") {
		t.Errorf("ready: %d %q, want 503 and why", code, text)
	}
	letGo()
	v.ready()
	v.until(100+datagrams, "rsyncd_exporter_received_total", `input="unixgram"`)
	series := v.until(datagrams, "rsyncd_exporter_received_total", `input="udp"`)
	v.want(series, 0, "rsyncd_exporter_socket_drops_total")
	v.terminate()
}

// tracer returns the process that traces another one, 0 for none.
func tracer(pid int) (tracer int) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(status), "TracerPid:")
	_, _ = fmt.Sscan(rest, &tracer)
	return tracer
}

func get(t *testing.T, url string) (code int, text string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// traced says whether another process traces all threads of a process.
func traced(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, file := range threads {
		status, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(status), "\nTracerPid:\t0\n") {
			return false
		}
	}
	return true
}

// FAULTS D1: the disk is full and the state can't be written. Scrapes are answered, with what is durable, state_ok is 0, and a kill costs
// nothing; once there is room again all is exact.
func TestStateOnADiskThatIsFull(t *testing.T) {
	t.Parallel()
	disk := testenv.NewSmallDisk(t, "512k")
	s := newSiegeWithin(t, testenv.Seed(t), disk.Path, disk.Within())
	s.write(300)
	s.counted()
	durable := float64(s.w.written())
	full := func() {
		t.Helper()
		testenv.Until(t, patient, "saves to fail", func() bool {
			disk.Fill()
			return total(s.scrape(), "rsyncd_exporter_state_ok") == 0
		})
	}
	full()
	s.write(300)
	s.want(s.scrape(), durable, "rsyncd_exporter_received_total", `input="file"`)
	s.kill() // it has shown nothing of what it didn't save
	s.write(100)
	disk.Free()
	s.start()
	s.ready()
	s.counted()
	full()
	s.write(100)
	disk.Free()
	s.counted() // without a restart
	s.kill()
	s.start()
	s.ready()
	s.finish()
}

// FAULTS D3: the disk becomes read-only. It is as if it were full, and the log says once what to do. No start is possible meanwhile, as it
// could count nothing for good; that changes nothing.
func TestStateOnADiskThatIsReadOnly(t *testing.T) {
	t.Parallel()
	disk := testenv.NewSmallDisk(t, "512k")
	s := newSiegeWithin(t, testenv.Seed(t), disk.Path, disk.Within())
	remedy := "read-only file system (the file system is read-only: mount it read-write"
	readOnly := func() {
		t.Helper()
		s.write(300)
		s.counted()
		durable := float64(s.w.written())
		disk.Remount("ro")
		s.write(300)
		s.until(0, "rsyncd_exporter_state_ok")
		for range 3 {
			s.want(s.scrape(), durable, "rsyncd_exporter_received_total", `input="file"`)
		}
		said := func() bool { return strings.Contains(s.Output(), "the state can't be saved") }
		testenv.Until(t, patient, "the log to say so", said)
		if out := s.Output(); strings.Count(out, "the state can't be saved") != 1 || strings.Count(out, remedy) != 1 || !strings.Contains(out, disk.Path) {
			t.Errorf("it doesn't say once that %q can't be saved to, and what to do:\n%s", disk.Path, out)
		}
	}
	readOnly()
	disk.Remount("rw")
	s.counted() // without a restart
	s.want(s.scrape(), 1, "rsyncd_exporter_state_ok")
	s.kill()
	s.start()
	s.ready()
	readOnly()
	s.kill()
	s.write(100)
	for range 2 {
		s.start()
		code := s.Wait(t)
		s.wait()
		if out := s.Output(); code != exitFailure || !strings.Contains(out, "STATE_DIR: ") || !strings.Contains(out, disk.Path) || !strings.Contains(out, remedy) {
			t.Errorf("status %d, want %d, the directory %q and the remedy:\n%s", code, exitFailure, disk.Path, out)
		}
	}
	disk.Remount("rw")
	s.start()
	s.ready()
	s.finish()
}
