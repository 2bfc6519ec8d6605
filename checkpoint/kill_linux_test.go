package checkpoint_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/internal/testenv"
)

// contents reads both copies; nil is one that isn't there.
func contents(t testing.TB, path string) (files [2][]byte) {
	t.Helper()
	for i, name := range checkpoint.CopyNames {
		b, err := os.ReadFile(filepath.Join(path, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		files[i] = b
	}
	return files
}

// holds says what is wrong with copies after a crash when the number shown was the last one shown: with both of them, or with either of them
// damaged or lost, the payload must be a whole one and no older.
func (b *bench) holds(files [2][]byte, shown int) error {
	b.t.Helper()
	variants := [][2][]byte{files}
	for i, content := range files {
		lost := files
		lost[i] = nil
		variants = append(variants, lost)
		if len(content) > 0 {
			cut, flipped := files, files
			cut[i] = content[:len(content)/2]
			flipped[i] = flip(content, 8*len(content)/3)
			variants = append(variants, cut, flipped)
		}
	}
	for i, v := range variants {
		s, err := b.load(v[0], v[1])
		if err != nil {
			if shown == 0 && (errors.Is(err, checkpoint.ErrNone) || i > 0 && errors.Is(err, checkpoint.ErrUntrusted)) {
				continue // of a first save that was cut short there may be one copy, which may be damaged
			}
			return fmt.Errorf("%d was shown, and variant %d: %w", shown, i, err)
		}
		n, err := numberOf(s.Payload)
		if err != nil || n < shown {
			return fmt.Errorf("%d was shown, and variant %d: number %d: %w", shown, i, n, err)
		}
	}
	return nil
}

// The system calls that the runtime makes at any time, not the code at hand.
var runtimes = []string{"futex", "madvise", "mmap", "munmap", "mprotect", "nanosleep", "sched_yield", "getpid", "tgkill", "rt_sigaction", "rt_sigprocmask",
	"rt_sigreturn", "sigaltstack", "clone", "clone3", "epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "exit_group", "prctl", "timer_create",
	"timer_settime", "timer_delete", "gettid", "restart_syscall"}

// FAULTS L3: a process that is killed at any system call of Open, Load and Save leaves what it has shown, or newer, also if one copy is lost.
func TestKillAtEverySystemCall(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "strace")
	calls, said := record(t, "save", filepath.Join(t.TempDir(), "state"))
	if lastSaved(t, said, 0) != 3 {
		t.Fatalf("%q", said)
	}
	first, last := map[string]int{}, map[string]int{}
	for _, c := range calls {
		if slices.Contains(runtimes, c.name) {
			continue
		}
		if first[c.name] == 0 {
			first[c.name] = c.nth
		}
		last[c.name] = c.nth
	}
	first["unlinkat"], last["unlinkat"] = 1, 1
	b := newBench(t)
	kills := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(first)) {
		path := filepath.Join(t.TempDir(), "state")
		shown := 0
		for nth := first[name]; ; nth++ {
			if nth > last[name]+100 {
				t.Fatalf("%s: still killed at call %d, and there were %d", name, nth, last[name])
			}
			if nth%3 == 0 { // others begin on what the one before left
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				shown = 0
			}
			if nth%3 == 1 && name != "mkdirat" || name == "unlinkat" { // and on a state.tmp, which only then is removed
				if err := os.MkdirAll(path, 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, []byte("old"), path, checkpoint.TmpName)
			}
			said, killed := saves(t, "save", path, "-o", os.DevNull, "-e", "trace="+name, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", name, nth))
			shown = lastSaved(t, said, shown)
			if err := b.holds(contents(t, path), shown); err != nil {
				t.Fatalf("killed at %s %d: %v\nit said %q", name, nth, err, said)
			}
			if !killed {
				if !strings.Contains(said, fmt.Sprintf("saved %d\n", shown)) {
					t.Fatalf("not killed, and it said %q", said)
				}
				break
			}
			kills[name]++
		}
	}
	t.Logf("killed at %v", kills)
	// Three saves: a file to make for each copy and the directory to sync.
	for name, least := range map[string]int{"openat": 3 * 3, "write": 3 * 4, "fsync": 3 * 3, "close": 3 * 3, "renameat": 3 * 2, "unlinkat": 1} {
		if kills[name] < least {
			t.Errorf("%d kills at %s, want at least %d", kills[name], name, least)
		}
	}
}

// A killed process's lock can be taken; a live one's can't, by another process either.
func TestLockOfAnotherProcess(t *testing.T) {
	path := holding(t, payloadOf(1))
	p := testenv.Start(t, keepInput(t, helper(t, "hold", path)))
	p.Ready(t, "the helper to open it", func() bool { return strings.Contains(p.Output(), "opened") })
	if _, err := checkpoint.Open(path); !errors.Is(err, checkpoint.ErrLocked) {
		t.Fatalf("%v, want ErrLocked", err)
	}
	if copies := checkpoint.Look(path); copies[0].Err != nil || !bytes.Equal(copies[1].Payload, payloadOf(1)) {
		t.Errorf("looking at a locked directory: %+v", copies)
	}
	if err := p.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	<-p.Ended()
	d := open(t, path)
	if _, err := d.Load(); err != nil {
		t.Error(err)
	}
	other := testenv.Start(t, helper(t, "hold", path))
	if code := other.Wait(t); code != 1 || !strings.Contains(other.Output(), "another rsyncd_exporter uses it") {
		t.Errorf("exit code %d, %q", code, other.Output())
	}
}
