package main

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// after feeds the lines to a progress, one a second, with a tick after each, and returns what it
// shows and whether all is well.
func after(t *testing.T, lines ...string) (shown string, ok bool) {
	t.Helper()
	var out strings.Builder
	now := time.Unix(1000, 0)
	p := newProgress(&out, now)
	for _, line := range lines {
		p.line([]byte(line+"\n"), now)
		now = now.Add(time.Second)
		p.tick(now)
	}
	ok = p.end(now)
	return out.String(), ok
}

// A package that passes is one line, with the number of its tests; subtests aren't tests of their own.
func TestPassed(t *testing.T) {
	shown, ok := after(t,
		`{"Action":"start","Package":"m/a"}`,
		`{"Action":"run","Package":"m/a","Test":"TestOne"}`,
		`{"Action":"output","Package":"m/a","Test":"TestOne","Output":"=== RUN   TestOne\n"}`,
		`{"Action":"run","Package":"m/a","Test":"TestOne/sub"}`,
		`{"Action":"output","Package":"m/a","Test":"TestOne/sub","Output":"    a_test.go:7: talk\n"}`,
		`{"Action":"pass","Package":"m/a","Test":"TestOne/sub"}`,
		`{"Action":"pass","Package":"m/a","Test":"TestOne"}`,
		`{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t1.200s\n"}`,
		`{"Action":"pass","Package":"m/a","Elapsed":1.2}`)
	want := "ok    m/a                                             1 tests        1 s\n" +
		"1 tests in 1 packages, 9s; 0 skipped, 0 failed\n"
	if shown != want || !ok {
		t.Errorf("%t, and shows\n%swant\n%s", ok, shown, want)
	}
}

// What a failed test said is shown, and what others said is not; the failure is named again at the end.
func TestFailed(t *testing.T) {
	shown, ok := after(t,
		`{"Action":"run","Package":"m/a","Test":"TestGood"}`,
		`{"Action":"output","Package":"m/a","Test":"TestGood","Output":"    a_test.go:7: talk\n"}`,
		`{"Action":"pass","Package":"m/a","Test":"TestGood"}`,
		`{"Action":"run","Package":"m/a","Test":"TestBad"}`,
		`{"Action":"output","Package":"m/a","Test":"TestBad","Output":"    a_test.go:9: got 1, want 2\n"}`,
		`{"Action":"fail","Package":"m/a","Test":"TestBad"}`,
		`{"Action":"run","Package":"m/a","Test":"TestHangs"}`,
		`{"Action":"output","Package":"m/a","Test":"TestHangs","Output":"panic: test timed out\n"}`,
		`{"Action":"fail","Package":"m/a","Elapsed":3}`)
	if ok || strings.Contains(shown, "talk") {
		t.Errorf("ok is %t, and it shows\n%s", ok, shown)
	}
	for _, want := range []string{
		"got 1, want 2\n", "panic: test timed out\nFAIL  m/a, 3 s\n", "\nFAIL  m/a TestBad\n", "2 failed\n",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is missing in\n%s", want, shown)
		}
	}
}

// A skipped test is listed with its reason, and all is well.
func TestSkipped(t *testing.T) {
	shown, ok := after(t,
		`{"Action":"run","Package":"m/a","Test":"TestMounts"}`,
		`{"Action":"output","Package":"m/a","Test":"TestMounts","Output":"=== RUN   TestMounts\n"}`,
		`{"Action":"output","Package":"m/a","Test":"TestMounts","Output":"    a_test.go:9: not a fault, but the chroot\n"}`,
		`{"Action":"output","Package":"m/a","Test":"TestMounts","Output":"--- SKIP: TestMounts (0.00s)\n"}`,
		`{"Action":"skip","Package":"m/a","Test":"TestMounts"}`,
		`{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t(cached)\n"}`,
		`{"Action":"pass","Package":"m/a","Elapsed":1}`,
		`{"Action":"skip","Package":"m/empty"}`)
	if !ok || !strings.Contains(shown, "skip  m/a TestMounts: a_test.go:9: not a fault, but the chroot\n") ||
		!strings.Contains(shown, "as before\n") || !strings.Contains(shown, "1 tests in 1 packages, 8s; 1 skipped, 0 failed\n") {
		t.Errorf("ok is %t, and it shows\n%s", ok, shown)
	}
}

// After twenty quiet seconds it says which test has been running the longest.
func TestSilenceIsBroken(t *testing.T) {
	lines := []string{
		`{"Action":"run","Package":"m/a","Test":"TestLong"}`,
		`{"Action":"run","Package":"m/b","Test":"TestOther"}`,
	}
	for range 40 {
		lines = append(lines, `{"Action":"output","Package":"m/a","Test":"TestLong","Output":"talk\n"}`)
	}
	shown, _ := after(t, lines...)
	for _, want := range []string{
		"...   20s: 0 packages done, 0 tests; m/a TestLong runs for 20s\n",
		"...   40s: 0 packages done, 0 tests; m/a TestLong runs for 40s\n",
	} {
		if strings.Count(shown, want) != 1 {
			t.Errorf("%q is missing in\n%s", want, shown)
		}
	}
}

// A parallel test that waits for its turn isn't running, but what it said is shown when its package fails.
func TestPausedTestsDoNotRun(t *testing.T) {
	lines := []string{
		`{"Action":"run","Package":"m/a","Test":"TestParallel"}`,
		`{"Action":"output","Package":"m/a","Test":"TestParallel","Output":"talk\n"}`,
		`{"Action":"pause","Package":"m/a","Test":"TestParallel"}`,
		`{"Action":"run","Package":"m/a","Test":"TestOther"}`,
	}
	for range 16 {
		lines = append(lines, `{"Action":"output","Package":"m/a","Test":"TestOther","Output":"more\n"}`)
	}
	shown, _ := after(t, append(lines, `{"Action":"fail","Package":"m/a","Elapsed":20}`)...)
	if !strings.Contains(shown, "m/a TestOther runs for 17s\n") || !strings.Contains(shown, "talk\nFAIL  m/a, 20 s\n") {
		t.Errorf("it shows\n%s", shown)
	}
}

// What doesn't build is a failure, as is a run without any test; a line that is no event is shown.
func TestNothingIsNotWell(t *testing.T) {
	shown, ok := after(t,
		`{"ImportPath":"m/a [m/a.test]","Action":"build-output","Output":"a_test.go:3: undefined: x\n"}`,
		`{"ImportPath":"m/a [m/a.test]","Action":"build-fail"}`,
		`{"Action":"output","Package":"m/a","Output":"FAIL\tm/a [build failed]\n"}`,
		`{"Action":"fail","Package":"m/a","FailedBuild":"m/a [m/a.test]"}`)
	if ok || !strings.Contains(shown, "undefined: x\n") || !strings.Contains(shown, "FAIL  m/a [m/a.test] (doesn't build)\n") {
		t.Errorf("ok is %t, and it shows\n%s", ok, shown)
	}
	if shown, ok := after(t, "go: no such thing"); ok || !strings.HasPrefix(shown, "go: no such thing\n") {
		t.Errorf("ok is %t, and it shows\n%s", ok, shown)
	}
}

// Lines arrive whole, however they are cut and however long they are, and a read error isn't taken for the end.
func TestRead(t *testing.T) {
	long := strings.Repeat("x", 1<<20) + "\n"
	var got []string
	lines := make(chan []byte)
	result := make(chan error, 1)
	go func() {
		defer close(lines)
		result <- read(iotest.HalfReader(iotest.TimeoutReader(strings.NewReader("a\n"+long+"last"))), lines)
	}()
	for line := range lines {
		got = append(got, string(line))
	}
	if err := <-result; !errors.Is(err, iotest.ErrTimeout) || len(got) == 0 || got[0] != "a\n" {
		t.Errorf("%v after %d lines", err, len(got))
	}
	lines, got = make(chan []byte, 3), nil
	if err := read(iotest.HalfReader(strings.NewReader("a\n"+long+"last")), lines); err != nil {
		t.Fatal(err)
	}
	close(lines)
	for line := range lines {
		got = append(got, string(line))
	}
	if len(got) != 3 || got[1] != long || got[2] != "last" {
		t.Errorf("%d lines", len(got))
	}
}
