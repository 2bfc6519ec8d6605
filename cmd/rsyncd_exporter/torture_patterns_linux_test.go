package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// A patternHistory is a directory of logs that one program follows by a pattern, and what has been written to them.
type patternHistory struct {
	*victim
	r       *rand.Rand
	dir     string
	aside   string // for files that the pattern shall not see
	logs    []string
	up      bool
	lines   uint64
	bytes   uint64
	history []string
	over    bool // all was as it should be
}

// sh runs a line of a shell in the logs' directory.
func (h *patternHistory) sh(format string, args ...any) {
	h.t.Helper()
	line := fmt.Sprintf(format, args...)
	h.history = append(h.history, line)
	cmd := exec.Command("/bin/sh", "-ec", line)
	cmd.Dir = h.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("%s: %v: %s", line, err, out)
	}
}

func quoted(name string) string { return "'" + name + "'" }

func (h *patternHistory) log() string { return h.logs[h.r.IntN(len(h.logs))] }

func (h *patternHistory) write() { h.writeTo(h.log()) }

// writeTo appends lines whose weights are added up: one lost and another one counted twice don't cancel out.
func (h *patternHistory) writeTo(log string) {
	text := ""
	for range 1 + h.r.IntN(60) {
		h.lines++
		size := h.r.Uint64N(1 << 30)
		h.bytes += size
		text += fmt.Sprintf("2026/11/29 10:%02d:%02d [%d] send client.example [192.0.2.7] data () dir/file-%06d %d\n",
			h.lines/60%60, h.lines%60, 100+h.lines%50, h.lines, size)
	}
	h.history = append(h.history, fmt.Sprintf("%d bytes to %s", len(text), log))
	appendFile(h.t, filepath.Join(h.dir, log), text)
}

// counted waits until all is counted and saved, so that lines may be destroyed.
func (h *patternHistory) counted() {
	h.t.Helper()
	h.begin()
	if err := caughtUp(h.url, h.lines); err != nil {
		h.t.Fatal(err)
	}
}

func (h *patternHistory) begin() {
	h.t.Helper()
	if !h.up {
		h.history = append(h.history, "start")
		h.victim.start()
		h.ready()
		h.up = true
	}
}

func (h *patternHistory) end() {
	h.t.Helper()
	if !h.up {
		return
	}
	if h.up = false; h.r.IntN(2) == 0 {
		h.history = append(h.history, "SIGKILL")
		h.kill()
		return
	}
	h.history = append(h.history, "SIGTERM")
	h.terminate()
}

// rotate moves a log and its older ones on, as logrotate does: by renaming, or by a copy. It may compress it at once.
func (h *patternHistory) rotate() {
	log := h.log()
	if _, err := os.Stat(filepath.Join(h.dir, log)); err != nil {
		return
	}
	h.sh(`for i in 9 8 7 6 5 4 3 2 1; do for z in "" .gz; do [ ! -e %[1]s.$i$z ] || mv %[1]s.$i$z %[1]s.$((i+1))$z; done; done`, quoted(log))
	if h.r.IntN(2) == 0 {
		h.sh("mv %[1]s %[1]s.1", quoted(log))
	} else {
		h.counted() // nothing tells that a file was cut of which nothing has been read
		h.sh("cp %[1]s %[1]s.1; truncate -s 0 %[1]s", quoted(log))
	}
	if h.r.IntN(3) == 0 { // of a compressed file that nobody has seen before nothing tells that it is new
		h.counted()
		h.sh("gzip %s.1", quoted(log))
	}
}

// trim leaves the last lines of a log, all of whose lines are counted.
func (h *patternHistory) trim() {
	log := h.log()
	if _, err := os.Stat(filepath.Join(h.dir, log)); err != nil {
		return
	}
	h.counted()
	h.sh("tail -n %d %s >%s/t", 1+h.r.IntN(50), quoted(log), h.aside)
	if h.r.IntN(2) == 0 {
		h.sh("mv %s/t %s", h.aside, quoted(log))
	} else {
		freeze(h.t, h.Process) // cat may take longer than a cut file takes to settle
		h.sh("cat %s/t >%s", h.aside, quoted(log))
		if err := h.Signal(syscall.SIGCONT); err != nil {
			h.t.Fatal(err)
		}
	}
	h.writeTo(log) // nobody trims a log that is being rotated
	h.counted()
}

// Histories of what happens to logs under a pattern, on the real program: writing, rotations of all kinds, trimming, stops and kills.
// Whatever happens, each line counts once. `make torture` plays 500.
func TestHistoriesOfPatterns(t *testing.T) {
	t.Parallel()
	seed := testenv.Seed(t)
	for i := range testenv.Tortured(4, 500) {
		pattern, logs := "*", []string{"web", "web-1", "db"}
		if i%2 == 1 {
			pattern, logs = "*.log", []string{"a.log", "b.log", "*.log"}
		}
		dir := testenv.Dir(t)
		h := &patternHistory{r: rand.New(rand.NewPCG(seed+uint64(i), 7)), dir: dir, aside: testenv.Dir(t), logs: logs}
		h.victim = unbornVictim(t, testenv.Dir(t), "--file="+dir+"/"+pattern, "--listen-udp=off", "--file-start=beginning", "--file-poll=50ms")
		t.Cleanup(func() {
			if t.Failed() && !h.over {
				t.Logf("history %d, SEED=%d: %q", i, seed+uint64(i), h.history)
			}
		})
		for _, log := range logs { // of two that come at once one may be taken for the other's rotated file
			h.writeTo(log)
		}
		h.begin()
		for range 25 {
			switch h.r.IntN(10) {
			case 0:
				h.end()
			case 1, 2:
				h.begin()
			case 3:
				h.rotate()
			case 4:
				h.trim()
			default:
				h.write()
			}
		}
		h.counted()
		if got := total(h.scrape(), "rsync_file_bytes_total"); got != float64(h.bytes) {
			t.Errorf("%v bytes in transfer lines, want %d", got, h.bytes)
		}
		h.end()
		if t.Failed() {
			t.FailNow()
		}
		h.over = true
	}
}
