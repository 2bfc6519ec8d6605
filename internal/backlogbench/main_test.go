//go:build linux

package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// A small backlog: the benchmark runs, and no message and no line is missing.
func TestSmallBacklog(t *testing.T) {
	root := testenv.Root(t)
	b := bench{exporter: filepath.Join(testenv.Dir(t), "rsyncd_exporter"), corpus: filepath.Join(root, "testdata", "corpus"), mebibytes: 4, rate: 2000}
	build := exec.Command("go", "build", "-o", b.exporter, "./cmd/rsyncd_exporter")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := b.run(); err != nil {
		t.Fatal(err)
	}
}
