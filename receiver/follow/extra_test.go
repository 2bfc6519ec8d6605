package follow

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func numbered(path string, n int) string {
	if n == 0 {
		return path
	}
	return fmt.Sprintf("%s.%d", path, n)
}
func isClosed(c <-chan struct{}) bool { return closed(c) }
func waitForTick(t *testing.T, path string) {
	path += "x.tick"
	birth := func() int64 {
		must(t, os.WriteFile(path, nil, 0o644))
		info, err := statPath(path, true)
		must(t, err)
		must(t, os.Remove(path))
		return info.id.Birth
	}
	first := birth()
	if first != 0 {
		reach(t, "the next tick of the file system's clock", func() bool { return birth() > first })
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o644))
}

// poll does once what Run does all the time.
func poll(t *testing.T, f *File) {
	t.Helper()
	f.look()
	for _, g := range f.generations {
		must(t, g.drain())
	}
}

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func zstded(t testing.TB, text string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	must(t, err)
	return w.EncodeAll([]byte(text), nil)
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(path, data, 0o644))
}

// A packedCase is one way to compress a file.
type packedCase struct {
	ending string
	pack   func(t testing.TB, text string) []byte
}

var packedCases = []packedCase{
	{".gz", gzipped},
	{".zst", zstded},
	{".gz", func(t testing.TB, s string) []byte { // cat a.gz b.gz
		half := len(s) / 2
		return append(gzipped(t, s[:half]), gzipped(t, s[half:])...)
	}},
	{".zst", func(t testing.TB, s string) []byte { // frames
		half := len(s) / 2
		return append(zstded(t, s[:half]), zstded(t, s[half:])...)
	}},
}

// A restarted File: what it had counted, and its world while it is down.
type restartable struct {
	t    *testing.T
	opt  Options
	sink *setSink
}

// compress writes name's text under its compressed name, with its time as gzip does, and deletes it.
func (r *restartable) compress(path string, c packedCase) {
	r.t.Helper()
	b, err := os.ReadFile(path)
	must(r.t, err)
	r.putPacked(path, c.ending, c.pack(r.t, string(b)))
}

func (r *restartable) putPacked(path, ending string, data []byte) {
	r.t.Helper()
	info, err := os.Stat(path)
	must(r.t, err)
	writeFile(r.t, path+ending, data)
	must(r.t, os.Chtimes(path+ending, info.ModTime(), info.ModTime()))
	must(r.t, os.Remove(path))
}
