package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
)

// A loaded is a program with inputs of every kind, all of them under full load.
type loaded struct {
	*process
	unix, udp, tcp, http, file string
	traffic                    *weighedTraffic
	lines                      *weigher // what was written to the file
	stopLines                  func()
}

func startLoaded(t *testing.T) *loaded {
	t.Helper()
	dir := testenv.Dir(t)
	address := func() string { return fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)) }
	l := &loaded{unix: filepath.Join(dir, "log"), udp: address(), tcp: address(), http: address(), file: filepath.Join(dir, "rsyncd.log")}
	if err := os.WriteFile(l.file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l.process = startProcess(t, l.http, nil, nil, nil, "--listen-unixgram="+l.unix, "--listen-udp="+l.udp, "--listen-tcp="+l.tcp, "--http-listen="+l.http,
		"--file="+l.file, "--file-poll=10ms", "--session-log="+filepath.Join(dir, "sessions"))
	l.traffic = startTraffic(t, l.unix, l.udp, l.tcp)
	l.writeLines(t)
	return l
}

// writeLines writes to the followed file all the time.
func (l *loaded) writeLines(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(l.file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var writer sync.WaitGroup
	l.lines = newWeigher("")
	writer.Go(func() {
		defer f.Close()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			var block []byte
			for range 50 {
				weight := uint64(l.lines.rand.Int32())
				block = fmt.Appendf(block, "2026/11/26 02:40:00 [505] send localhost [127.0.0.1] data () sub/c.dat %d\n", weight)
			}
			if _, err := f.Write(block); err != nil {
				return
			}
		}
	})
	l.stopLines = sync.OnceFunc(func() { close(stop); writer.Wait() })
	t.Cleanup(l.stopLines)
}

// busy waits until all inputs have received something.
func (l *loaded) busy() {
	l.t.Helper()
	testenv.Until(l.t, time.Minute, "messages on all inputs", func() bool {
		s := l.scrape()
		for _, input := range []string{"unixgram", "udp", "tcp", "file"} {
			if total(s, "rsyncd_exporter_received_total", fmt.Sprintf("input=%q", input)) < 100 {
				return false
			}
		}
		return true
	})
}

// FAULTS L1, Q17: SIGTERM under full load on every input. It ends within five seconds with status 0, and has counted what senders on the unix
// socket and over TCP have got rid of. `make torture` does it 100 times.
func TestSigtermUnderFullLoad(t *testing.T) {
	for range testenv.Tortured(3, 100) {
		l := startLoaded(t)
		l.busy()
		series := l.lastScrape(l.terminate())
		l.traffic.stop()
		l.stopLines()
		// The unix socket's messages have no host, and so haven't the file's: only together are they known.
		if got, want := total(series, "rsyncd_exporter_received_total", `input="unixgram"`), float64(l.traffic.unix.sent.messages); got != want {
			t.Errorf("unix socket: %v received, %v were sent without an error", got, want)
		}
		if got := tallied(series, "t"); got != l.traffic.tcp.sent && got.plus(l.traffic.tcp.last) != l.traffic.tcp.sent { // for the doubt, see sendBatch
			t.Errorf("TCP: %+v counted, %+v delivered", got, l.traffic.tcp.sent)
		}
		if _, err := os.Lstat(l.unix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket's file is left: %v", err)
		}
	}
}

// FAULTS L5: a second signal ends it at once, also in the middle of stopping; the first is what makes it stop.
func TestSecondSignalUnderFullLoad(t *testing.T) {
	l := startLoaded(t)
	l.busy()
	l.terminate()
	testenv.Until(t, time.Minute, "the inputs to be done", func() bool { return strings.Contains(l.Output(), "msg=stopping ") })
	second := l.terminate() // it is held where it stops: see heldLog
	if !second.Within(5*time.Second, l.Ended()) {
		t.Fatal("it goes on after a second SIGTERM")
	}
	l.goOn.Close()
	if err := l.Stop(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("it ended with %v, want the second signal's end", err)
	}
}

// FAULTS L5: SIGHUP and SIGPIPE, as often as they can be sent, do nothing but open the session log anew; SIGTERM among them does what it does.
func TestSignalStorm(t *testing.T) {
	l := startLoaded(t)
	l.busy()
	for range 2000 {
		for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGPIPE} {
			if err := l.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.scrape()
	signalled := l.terminate()
	l.goOn.Close()
	for l.Signal(syscall.SIGHUP) == nil {
		select {
		case <-l.Ended():
		default:
		}
	}
	l.endsWell(signalled)
}

// FAULTS L6: connections that wait to be accepted, some of them for HTTP, peers that stopped in the middle of a message, of a request or of
// reading an answer. None of them keeps the program from ending.
func TestSigtermWithStuckPeers(t *testing.T) {
	l := startLoaded(t)
	l.busy()
	l.traffic.stop()
	l.stopLines()
	for i := range 100 { // a source may have 128
		if _, err := io.WriteString(dial(t, "tcp", l.tcp), "<30>half a mess"); err != nil {
			t.Fatal(err)
		}
		request := "GET / HTTP/1.1\r\nHost: x\r\n"
		if i%2 == 0 {
			request += "\r\n" // and the answer isn't read
		}
		if _, err := io.WriteString(dial(t, "tcp", l.http), request); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Until(t, time.Minute, "the peers to be connected", func() bool {
		return total(l.scrape(), "rsyncd_exporter_connections", `input="tcp"`) >= 100
	})
	l.freeze()
	for range 128 {
		if _, err := io.WriteString(dial(t, "tcp", l.tcp), "<30>Nov 23 18:40:52 vm rsyncd[1]: x\n<30>half"); err != nil {
			t.Fatal(err)
		}
		dial(t, "tcp", l.http)
	}
	signalled := l.terminate()
	if err := l.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	l.endsWell(signalled)
}

// FAULTS L10: a panic in one input ends the whole process, and not with status 0. The state of the others may be anything then.
func TestPanicInAnInputEndsTheProcess(t *testing.T) {
	cmd := startHelper(t, "panic")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() == 0 || cmd.ProcessState.Exited() == false {
		t.Errorf("it ended with %v", err)
	}
	if !strings.Contains(string(out), "panic: a mistake in an input") || strings.Contains(string(out), "not reached") {
		t.Errorf("it said %s", out)
	}
}

// The goroutines and descriptors of a program that has stopped are gone: here it is one of many in the same process.
func TestStoppedProgramLeavesNothing(t *testing.T) {
	testenv.SetEnv(t)
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	once := func() {
		t.Run("once", func(t *testing.T) {
			dir := testenv.Dir(t)
			file := filepath.Join(dir, "rsyncd.log")
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			tcp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
			e := startExporter(t, "--listen-unixgram="+dir+"/log", "--listen-udp=127.0.0.1:0", "--listen-tcp="+tcp, "--file="+file)
			if _, err := io.WriteString(dial(t, "tcp", tcp), "<30>half"); err != nil {
				t.Fatal(err)
			}
			e.until(1, "rsyncd_exporter_connections")
		})
	}
	once() // what is made once stays
	before, goroutines := descriptors(), runtime.NumGoroutine()
	for range 5 {
		once()
	}
	testenv.Until(t, time.Minute, "goroutines and descriptors to be as many as before", func() bool {
		return descriptors() <= before+2 && runtime.NumGoroutine() <= goroutines+2
	})
}

func TestGraceIsWhatIsLeftOfFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e ending
		if got := e.left(); got != 500*time.Millisecond {
			t.Errorf("an end that never began: %v", got)
		}
		e.begin()
		for _, c := range []struct{ after, want time.Duration }{ // 5 s less a second for the machine
			{0, 4 * time.Second}, {time.Second, 3 * time.Second}, {3250 * time.Millisecond, 500 * time.Millisecond},
		} {
			time.Sleep(c.after)
			if got := e.left(); got != c.want {
				t.Errorf("%v later: %v, want %v", c.after, got, c.want)
			}
		}
	})
}
