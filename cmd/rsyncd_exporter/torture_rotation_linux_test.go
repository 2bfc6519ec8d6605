package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// caughtUp waits until the program that answers at url shows so many lines of files received. What it shows it has counted, and with a
// state directory for good.
func caughtUp(url string, lines uint64) error {
	var last error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		r, err := http.Get(url + "/metrics")
		if err != nil {
			last = err
			continue
		}
		series, err := counters(r.Body)
		r.Body.Close()
		got := series[`rsyncd_exporter_received_total{input="file"}`]
		if err == nil && got == float64(lines) {
			return nil
		}
		last = fmt.Errorf("%s, %v lines received of %d: %v", r.Status, got, lines, err)
		if got > float64(lines) {
			return last
		}
	}
	return last
}

// hasOpen waits until a process has the file open.
func hasOpen(pid int, path string) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
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
	for name, c := range map[string]struct {
		symlink     bool
		short, long int
	}{
		"renamed": {false, 120, 9000},
		"symlink": {true, 50, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			seed := seeded(t)
			dir, err := filepath.EvalSymlinks(testenv.Dir(t))
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(filepath.Join(dir, "log"), seed)
			w.symlink, w.unlinks = c.symlink, true
			w.every, w.rate = tortured(150, 2500), tortured(0, 50_000)
			p := startExporterProcess(t, nil, worldArgs(w)...)
			w.caughtUp = func() error { return caughtUp(p.url, w.lines) }
			w.held = func(path string) error { return hasOpen(p.Pid(), path) }
			a, b := startScraper(t, p.url, seed), startScraper(t, p.url, seed+1)
			if err := w.run(tortured(c.short, c.long)); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d lines in %v, %d rotations", w.lines, time.Since(w.began).Round(time.Millisecond), w.rotated)
			a.finish(t, w.truth())
			b.finish(t, w.truth())
			if err := p.Stop(); err != nil {
				t.Errorf("after SIGTERM: %v", err)
			}
		})
	}
}

// worldArgs are the settings of a program that follows a world.
func worldArgs(w *world) []string {
	return []string{"--file=" + w.path, "--modules=mirror,backup,pub"}
}
