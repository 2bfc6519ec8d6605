//go:build linux

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/internal/testenv"
)

func small(exporter string) bench {
	return bench{exporter: exporter, rounds: 1, alone: true, shape: corpus.Shape{Seed: testSeed, Lines: 20_000, Clients: 500, Paths: 5000, Files: 20,
		AtOnce: 24, Start: time.Date(2025, 1, 6, 0, 0, 0, 0, time.Local), Step: time.Second}}
}

const testSeed = 5

// The report says what the generator knows, within the memory that is allowed.
func TestSmallReport(t *testing.T) {
	exporter := filepath.Join(testenv.Dir(t), "rsyncd_exporter")
	build := exec.Command("go", "build", "-o", exporter, "./cmd/rsyncd_exporter")
	build.Dir = testenv.Root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b := small(exporter)
	if err := b.run(); err != nil {
		t.Fatal(err)
	}
}

// A report that is wrong fails the benchmark, however fast it was. By hand: this one says that there is one line.
func TestWrongReport(t *testing.T) {
	stub := filepath.Join(t.TempDir(), "stub")
	testenv.WriteFile(t, stub, "#!/bin/sh\necho '{\"lines\":1}'\n")
	if err := exec.Command("chmod", "755", stub).Run(); err != nil {
		t.Fatal(err)
	}
	b := small(stub)
	if err := b.run(); err == nil || !strings.Contains(err.Error(), "lines: 1, want 20") {
		t.Errorf("%v", err)
	}
}

func TestTooMuchMemory(t *testing.T) {
	b := small("")
	for memory, bad := range map[int64]bool{64 << 20: false, 64<<20 + 1: true} {
		if err := b.show(nil, map[string]run{"report": {wall: 1, memory: memory}}, 1); (err != nil) != bad {
			t.Errorf("%d bytes: %v", memory, err)
		}
	}
}

// Other programs' outputs are compared as well.
func TestChecks(t *testing.T) {
	truth := &corpus.Truth{Lines: 3, IPv4Transfers: 2, Connections: 1, Files: map[string]uint64{"send": 2},
		Modules: map[string]corpus.ModuleTruth{"a b": {Executions: 1, Sent: 30000000, Received: 7}}}
	const stats = "TOTALS FOR SUMMARY PERIOD 2025/01/06 TO 2025/01/06\n\nFiles Transmitted During Summary Period             2\n"
	const mtail = "connections{prog=\"rsyncd.mtail\"} 1\ntransfers{operation=\"send\",prog=\"rsyncd.mtail\"} 2\nexecutions{module=\"a b\",prog=\"rsyncd.mtail\"} 1\n" +
		"sent{module=\"a b\",prog=\"rsyncd.mtail\"} 3e+07\nreceived{module=\"a b\",prog=\"rsyncd.mtail\"} 7\n"
	for _, c := range []struct {
		check func(*corpus.Truth, []byte) error
		out   string
		ok    bool
	}{
		{checkLines, "3 /a/log\n", true}, {checkLines, "2 /a/log\n", false}, {checkLines, "", false},
		{checkStats, stats, true}, {checkStats, strings.Replace(stats, "  2\n", "  3\n", 1), false}, {checkStats, "", false},
		{checkMtail, mtail, true}, {checkMtail, strings.Replace(mtail, "3e+07", "3.1e+07", 1), false}, {checkMtail, "", false},
	} {
		if err := c.check(truth, []byte(c.out)); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.out, err)
		}
	}
}
