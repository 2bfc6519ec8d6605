package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// A call in whose beginning a program is killed isn't made; one in whose end it is killed is. What concerns other directories is no event.
func TestTracerKillsBetweenCalls(t *testing.T) {
	rm := func(killAt int) (events []string, killed, there bool) {
		t.Helper()
		dir := Dir(t)
		if err := os.MkdirAll(filepath.Join(dir, "watched"), 0o700); err != nil {
			t.Fatal(err)
		}
		files := []string{filepath.Join(dir, "watched", "file"), filepath.Join(dir, "watched-not")}
		for _, file := range files {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		tracer := &Tracer{Dir: filepath.Join(dir, "watched"), KillAt: killAt}
		p := StartTraced(t, exec.Command(Need(t, "rm"), "-f", files[1], files[0]), tracer)
		if code := p.Wait(t); tracer.Err != nil || (code == 0) == tracer.Killed {
			t.Fatalf("exit code %d, killed %v, %v: %s", code, tracer.Killed, tracer.Err, p.Output())
		}
		_, err := os.Lstat(files[0])
		return tracer.Events, tracer.Killed, err == nil
	}
	events, killed, there := rm(0)
	begins := slices.Index(events, "unlinkat") + 1
	if killed || there || len(events)%2 != 0 || begins == 0 || slices.Index(events[begins+1:], "unlinkat") >= 0 {
		t.Fatalf("killed %v, the file is there %v, events %q, want one unlinkat", killed, there, events)
	}
	for n, want := range map[int]bool{begins: true, begins + 1: false} {
		if events, killed, there := rm(n); !killed || there != want || len(events) != n {
			t.Errorf("event %d: killed %v, the file is there %v, want %v; events %q", n, killed, there, want, events)
		}
	}
}

// What another test has started on the thread of a Tracer, before that was one, is left to that test.
func TestTracerLeavesOthersChildren(t *testing.T) {
	OnThrownThread(func() {
		other := exec.Command("sleep", "0")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		tracer := &Tracer{Dir: Dir(t)}
		traced := exec.Command("sleep", "0.5")
		traced.SysProcAttr = tracedAttr()
		if err := traced.Start(); err != nil {
			t.Fatal(err)
		}
		tracer.follow(traced.Process.Pid)
		if err := traced.Wait(); err != nil || tracer.Err != nil {
			t.Errorf("the traced one: %v, %v", err, tracer.Err)
		}
		if err := other.Wait(); err != nil {
			t.Errorf("the other one: %v", err)
		}
	})
}
