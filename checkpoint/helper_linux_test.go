package checkpoint_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/internal/testenv"
)

const patience = 2 * time.Minute

// The test binary is the helper process too: STATE_HELPER names what it is to do, in the directory STATE_DIR.
func TestMain(m *testing.M) {
	does, user, _ := strings.Cut(os.Getenv("STATE_HELPER"), " ")
	switch does {
	case "":
		os.Exit(m.Run())
	case "save":
		helperSaves(os.Getenv("STATE_DIR"))
	case "check":
		fmt.Printf("check: %v\n", checkpoint.Check(os.Getenv("STATE_DIR")))
		os.Exit(0)
	case "aside":
		helperSetsAside(os.Getenv("STATE_DIR"))
	case "hold":
		helperHolds(os.Getenv("STATE_DIR"))
	case "race":
		helperRaces(os.Getenv("STATE_DIR"), user)
	default:
		fmt.Println("what is", os.Getenv("STATE_HELPER"))
		os.Exit(2)
	}
}

func init() {
	if os.Getenv("STATE_HELPER") != "" {
		runtime.LockOSThread() // strace counts, and records, by thread
	}
}

// helperSaves loads and then saves the payloads of the next three numbers. It says "saved 7" when that Save has returned, and so stands for
// an exporter that shows 7. When a save fails it says so, and what the copies are then.
func helperSaves(dir string) {
	fmt.Println("begin")
	d, err := checkpoint.Open(dir)
	if err != nil {
		fmt.Println("not opened:", err)
		os.Exit(1)
	}
	n := 0
	switch s, err := d.Load(); {
	case err == nil:
		if n, err = numberOf(s.Payload); err != nil {
			fmt.Println("wrong:", err)
			os.Exit(1)
		}
	case !errors.Is(err, checkpoint.ErrNone):
		fmt.Println("not loaded:", err)
		os.Exit(1)
	}
	for range 3 {
		n++
		if err := d.Save(payloadOf(n)); err != nil {
			fmt.Printf("failed %d: %v\n", n, err)
			for _, c := range checkpoint.Look(dir) {
				number, err := numberOf(c.Payload)
				fmt.Println("has", c.Name, number, errors.Join(c.Err, err))
			}
			continue
		}
		fmt.Println("saved", n)
	}
	if err := d.Close(); err != nil {
		fmt.Println("not closed:", err)
		os.Exit(1)
	}
}

// helperSetsAside saves a state and sets it aside.
func helperSetsAside(dir string) {
	fmt.Println("begin")
	d, err := checkpoint.Open(dir)
	if err == nil {
		_, err = d.Load()
	}
	if errors.Is(err, checkpoint.ErrNone) {
		err = errors.Join(d.Save(payloadOf(1)), d.SetAside(), d.Settle())
	}
	if err != nil {
		fmt.Println("not done:", err)
		os.Exit(1)
	}
	fmt.Println("set aside")
}

// helperHolds opens the directory, says so and waits to be killed, or for its input to end.
func helperHolds(dir string) {
	if _, err := checkpoint.Open(dir); err != nil {
		fmt.Println("not opened:", err)
		os.Exit(1)
	}
	fmt.Println("opened")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
}

// helper returns the command that runs the helper, through the wrapper if there is one.
func helper(t testing.TB, does, dir string, wrapper ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrapper, self)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	// Built with -race, a program waits a second at its end for races that others report.
	cmd.Env = append(os.Environ(), "STATE_HELPER="+does, "STATE_DIR="+dir, "GORACE=atexit_sleep_ms=0")
	cmd.WaitDelay = patience
	return cmd
}

// saves runs a helper, the one that saves or another one, under strace with the options, and returns what it said, and whether it was killed.
func saves(t testing.TB, does, dir string, options ...string) (said string, killed bool) {
	t.Helper()
	cmd := helper(t, does, dir, append([]string{testenv.Need(t, "strace"), "-f", "-qq"}, options...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	said = string(out)
	if stderr.Len() > 0 { // strace's, as when it may not attach
		t.Fatalf("strace %q: %v, and it said %q (may this process trace others?)", options, err, stderr.String())
	}
	if err == nil {
		return said, false
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return said, true
	}
	t.Fatalf("strace %q: %v\n%s", options, err, said)
	return "", false
}

// A call is one of the helper's system calls, from strace's record.
type call struct {
	name, args, result string
	nth                int // of the calls of that name; from 1
	line               string
}

// record runs a helper and returns its system calls from "begin" on, and what it said. The options are for strace.
func record(t testing.TB, does, dir string, options ...string) (calls []call, said string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace")
	// A file for each thread, so that no line is torn by another's.
	said, killed := saves(t, does, dir, append([]string{"-ff", "-xx", "-s", "10000", "-o", file}, options...)...)
	if killed {
		t.Fatalf("killed: %q", said)
	}
	files, err := filepath.Glob(file + ".*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if trace := string(read(t, f)); strings.Contains(trace, begin) {
			return parseTrace(t, trace), said
		}
	}
	t.Fatalf("strace has recorded nothing of the helper in %q", files)
	return nil, ""
}

var (
	begin  = "write(1, " + hexed("begin\n")
	traced = regexp.MustCompile(`^(\w+)\((.*)\) += (-?\d+.*)$`)
)

func parseTrace(t testing.TB, trace string) (calls []call) {
	t.Helper()
	begun := false
	counts := map[string]int{}
	for line := range strings.Lines(trace) {
		m := traced.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue // a signal, or the end
		}
		counts[m[1]]++
		if begun {
			calls = append(calls, call{name: m[1], args: m[2], result: m[3], nth: counts[m[1]], line: line})
		}
		begun = begun || strings.HasPrefix(line, begin)
	}
	return calls
}

// hexed quotes as strace -xx does.
func hexed(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		fmt.Fprintf(&b, `\x%02x`, s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// lastSaved returns the last number that the helper said was saved, or last.
func lastSaved(t testing.TB, said string, last int) int {
	t.Helper()
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "wrong") || strings.HasPrefix(line, "not ") {
			t.Fatalf("the helper said %q", said)
		}
		if number, ok := strings.CutPrefix(line, "saved "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(number))
			if err != nil {
				t.Fatal(err)
			}
			last = n
		}
	}
	return last
}

// keepInput gives the command an input that doesn't end before the test.
func keepInput(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	cmd.Stdin = r
	return cmd
}
