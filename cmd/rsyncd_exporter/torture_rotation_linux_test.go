package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// caughtUp waits until the program that answers at url shows so many lines of files received. What it shows it has counted, and with a
// state directory for good.
func caughtUp(url string, lines uint64) error {
	var last error
	for end := time.Now().Add(patient); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		got, err := received(url)
		if err == nil && got == float64(lines) {
			return nil
		}
		if last = fmt.Errorf("%v lines are shown as received, %d were written: %v", got, lines, err); got > float64(lines) {
			return last
		}
	}
	return last
}

// hasOpen waits until a process has the file open.
func hasOpen(pid int, path string) error {
	for end := time.Now().Add(patient); time.Now().Before(end); time.Sleep(time.Millisecond) {
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			return err
		}
		for _, fd := range fds {
			if target, err := os.Readlink(fd); err == nil && target == path {
				return nil
			}
		}
	}
	return fmt.Errorf("process %d hasn't opened %s", pid, path)
}

// Gate Q1, FAULTS F1 to F3: thousands of random rotations while old writers go on, and two scrapers that must have counted each line once.
// `make torture` does 10,000 at 50,000 lines a second.
func TestRotationTorture(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		symlink     bool
		short, long int
	}{
		"renamed": {false, 120, 9000},
		"symlink": {true, 50, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			seed := testenv.Seed(t)
			dir, err := filepath.EvalSymlinks(testenv.Dir(t))
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(filepath.Join(dir, "log"), seed)
			w.symlink, w.unlinks = c.symlink, true
			w.every, w.rate = testenv.Tortured(150, 2500), testenv.Tortured(0, 50_000)
			p := startExporterProcess(t, nil, worldArgs(w)...)
			w.caughtUp = func() error { return caughtUp(p.url, w.lines) }
			w.held = func(path string) error { return hasOpen(p.Pid(), path) }
			a, b := startScraper(t, p.url, seed), startScraper(t, p.url, seed+1)
			began := time.Now()
			if err := errors.Join(w.run(w.rotations(testenv.Tortured(c.short, c.long))), w.end()); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d lines in %v, %d rotations", w.lines, time.Since(began).Round(time.Millisecond), w.rotated)
			a.finish(t, w.truth())
			b.finish(t, w.truth())
			if err := p.Stop(); err != nil {
				t.Errorf("after SIGTERM: %v", err)
			}
		})
	}
}

// worldArgs are the settings of a program that follows a world, and listens only where more tells it to.
func worldArgs(w *world, more ...string) []string {
	var files []string
	for _, w := range w.all() {
		if file := cmp.Or(w.pattern, w.path); !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	args := append([]string{"--file=" + strings.Join(files, ","), "--modules=mirror,backup,pub"}, more...)
	if !slices.ContainsFunc(more, func(arg string) bool { return strings.HasPrefix(arg, "--listen-udp=") }) {
		args = append(args, "--listen-udp=off")
	}
	return args
}
