//go:build linux

package testenv

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The block of ports from which a test was given one stays its process's own while nothing listens at it, as several
// processes run at once. When the process has ended, others may have it.
func TestPortsAreReserved(t *testing.T) {
	if asked := os.Getenv("TEST_RESERVE"); asked != "" { // the other process
		port, _ := strconv.Atoi(asked)
		t.Logf("reserved: %t", reserve(port))
		return
	}
	elsewhere := func(port int) (reserved bool) {
		t.Helper()
		other := exec.Command(os.Args[0], "-test.run=^TestPortsAreReserved$", "-test.v")
		other.Env = append(os.Environ(), "TEST_RESERVE="+strconv.Itoa(port), "GORACE=atexit_sleep_ms=0")
		out, err := other.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "reserved: ") {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.Contains(string(out), "reserved: true")
	}
	seen := map[int]bool{}
	for range portBlock + 1 {
		port := Port(t)
		if block := port - (port-firstPort)%portBlock; seen[port] || reserve(block) {
			t.Fatalf("port %d, or the block from %d, was given twice", port, block)
		}
		seen[port] = true
	}
	if from := ports.end - portBlock; elsewhere(from) {
		t.Errorf("the block from %d was given to two processes", from)
	}
	nobodys := 1<<16 + os.Getpid() // no port, so that nobody else asks for it
	for range 2 {                  // the first process has ended when the second one asks
		if !elsewhere(nobodys) {
			t.Error("a block that nobody has can't be reserved")
		}
	}
}

// What comes true after the time counts as long as nobody has looked: a process that had no processor sees it late.
func TestUntilLooksOnceMore(t *testing.T) {
	began, looks := time.Now(), 0
	Until(t, 50*time.Millisecond, "the time to pass", func() bool {
		if looks++; looks == 1 {
			time.Sleep(time.Until(began.Add(100 * time.Millisecond)))
			return false
		}
		return true
	})
}

// Time in which a goroutine waits is no processor time; a loop's is.
func TestCPUTime(t *testing.T) {
	if took := CPUTime(func() { time.Sleep(200 * time.Millisecond) }); took > 100*time.Millisecond {
		t.Errorf("a wait of 200 ms took %v", took)
	}
	took := time.Duration(0)
	for rounds := 1; took < 10*time.Millisecond; rounds *= 2 { // more work takes longer
		took = CPUTime(func() {
			for range rounds {
				_ = strings.Repeat("x", 1000)
			}
		})
	}
}

// A watch shows no more than the clock, and what isn't done in time.
func TestWatch(t *testing.T) {
	began, w, done := time.Now(), StartWatch(t), make(chan struct{})
	if w.Within(100*time.Millisecond, done) {
		t.Error("what isn't done is within the time")
	}
	if shown := w.Elapsed(); shown <= 100*time.Millisecond || shown > time.Since(began) {
		t.Errorf("the watch shows %v after %v", shown, time.Since(began))
	}
	close(done)
	if !w.Within(time.Hour, done) {
		t.Error("what is done isn't within the time")
	}
}
