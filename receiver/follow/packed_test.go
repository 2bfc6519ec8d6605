package follow

import (
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

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

func newRestartable(t *testing.T) *restartable {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: 2 * time.Millisecond, pollOnly: true, FromBeginning: true}}
	return &restartable{t, opt, newSetSink()}
}

// run follows the file until until says so and takes its state. kill is a process that ends without reading on.
func (r *restartable) run(until func(f *File) bool, kill bool) *File {
	r.t.Helper()
	f := follow(r.t, r.sink, r.opt)
	stop := start(r.t, f)
	reach(r.t, "what the test waits for", func() bool { return until(f) })
	if !kill {
		stop()
	}
	state := f.Catalogue(r.sink.counted())
	stop()
	r.opt.Resume = state
	return f
}

func caughtUp(f *File) bool {
	select {
	case <-f.CaughtUp():
		return true
	default:
		return false
	}
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

// A generation that was followed, and one that nobody has seen, were rotated and compressed while we were down: each line counts once,
// in order, also after more restarts.
func TestFileCompressedWhileDown(t *testing.T) {
	for i, c := range packedCases {
		t.Run(fmt.Sprintf("%d%s", i, c.ending), func(t *testing.T) {
			r := newRestartable(t)
			path := r.opt.Path
			appendTo(t, path+".9", lines(9000, 9020)...) // from before the very first start
			waitUntilOlder(t, path+".9")
			appendTo(t, path, lines(0, 3000)...)
			r.run(func(*File) bool { return len(r.sink.all()) == 3000 }, false)
			appendTo(t, path, lines(3000, 6000)...)
			must(t, os.Rename(path, path+".2"))
			waitForTick(t, path)
			appendTo(t, path, lines(6000, 9000)...)
			must(t, os.Rename(path, path+".1"))
			waitForTick(t, path)
			appendTo(t, path, "not compressed") // made before the compressed ones are, which hold what is older
			must(t, os.Rename(path, path+".0"))
			r.compress(path+".2", c)
			waitForTick(t, path)
			r.compress(path+".1", c)
			r.compress(path+".9", c)
			appendTo(t, path, "now")
			f := r.run(caughtUp, false)
			if got, want := r.sink.of("file test"), append(lines(0, 9000), "not compressed", "now"); !slices.Equal(got, want) {
				t.Errorf("%d lines, want %d; the order is right: %v", len(got), len(want), slices.Equal(sorted(got), sorted(want)))
			}
			if s := f.Status(); s.Gaps != [NumGaps]uint64{} || s.Err != nil || s.Lag != 0 || s.Rotations != 3 {
				t.Errorf("status %+v, want 3 rotations", s)
			}
			for range 2 {
				must(t, os.Rename(path+".1"+c.ending, path+".3"+c.ending))
				must(t, os.Rename(path+".3"+c.ending, path+".1"+c.ending))
				f = r.run(caughtUp, false)
				r.sink.check(t, append(lines(0, 9000), "not compressed", "now")...)
				if s := f.Status(); s.Gaps != [NumGaps]uint64{} || s.Err != nil {
					t.Errorf("status %+v", s)
				}
			}
		})
	}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

// A process is killed again and again while it reads a compressed file: each line counts once.
func TestFileKilledWhileUnpacking(t *testing.T) {
	for i, c := range packedCases {
		t.Run(fmt.Sprintf("%d%s", i, c.ending), func(t *testing.T) {
			r := newRestartable(t)
			path := r.opt.Path
			appendTo(t, path, lines(0, 100)...)
			r.run(func(*File) bool { return len(r.sink.all()) == 100 }, false)
			const n = 40_000
			appendTo(t, path, lines(100, n)...)
			must(t, os.Rename(path, path+".2"))
			waitForTick(t, path)
			appendTo(t, path, lines(n, 2*n)...)
			must(t, os.Rename(path, path+".1"))
			r.compress(path+".2", c)
			r.compress(path+".1", c)
			kills := 0
			for ; len(r.sink.all()) < 2*n && kills < 100; kills++ {
				// The sink takes a few slabs and no more, as if the process were stopped within the next.
				gated := &gatedSink{setSink: r.sink, left: 3}
				f := follow(t, gated, r.opt)
				stop := start(t, f)
				reach(t, "the process is to be killed, or has read all", func() bool { return gated.full() || caughtUp(f) && len(r.sink.all()) == 2*n })
				state := f.Catalogue(r.sink.counted())
				gated.drop()
				stop()
				r.opt.Resume = state
				if kills == 3 { // and renamed in between
					must(t, os.Rename(path+".2"+c.ending, path+".5"+c.ending))
				}
			}
			if got := r.sink.of("file test"); !slices.Equal(got, lines(0, 2*n)) {
				t.Errorf("%d lines, want %d, each once and in order", len(got), 2*n)
			}
			if kills < 5 {
				t.Errorf("killed %d times: the test is too slow for the reader", kills)
			}
			if gaps := r.opt.Resume.Targets[0].Gaps[GapUnread]; gaps != 0 {
				t.Errorf("%d gaps", gaps)
			}
		})
	}
}

// A gatedSink counts a few slabs; the next ones wait until the process is dead, and then are not counted.
type gatedSink struct {
	*setSink
	mu    sync.Mutex
	left  int
	shut  bool
	death chan struct{}
}

func (s *gatedSink) Deliver(src *receiver.Source, slab *receiver.Slab) {
	s.mu.Lock()
	s.left--
	s.shut = s.shut || s.left < 0
	if s.death == nil {
		s.death = make(chan struct{})
	}
	shut, death := s.shut, s.death
	s.mu.Unlock()
	if shut {
		<-death
		return
	}
	s.setSink.Deliver(src, slab)
}

func (s *gatedSink) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shut
}

func (s *gatedSink) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
	if s.death == nil {
		s.death = make(chan struct{})
	}
	close(s.death)
}

// What can't be read is an error and a gap, what comes before it is counted, what comes in other files is read: never a hang, never
// anything twice.
func TestFileCompressedBadly(t *testing.T) {
	const n = 2000
	damaged := func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)-5] ^= 1 // gzip's checksum
		return b
	}
	bomb := func() []byte { // 4 GiB of zeros behind the lines
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b)
		must(t, err)
		_, err = w.Write([]byte(text(lines(0, n))))
		must(t, err)
		zeros := make([]byte, 16<<20)
		for range 256 {
			_, err = w.Write(zeros)
			must(t, err)
		}
		must(t, w.Close())
		return b.Bytes()
	}()
	wide := func() []byte {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithWindowSize(64<<20))
		must(t, err)
		_, err = w.Write([]byte(text(lines(0, n))))
		must(t, err)
		_, err = w.Write(make([]byte, 65<<20))
		must(t, err)
		must(t, w.Close())
		return b.Bytes()
	}()
	whole := text(lines(0, n))
	for name, c := range map[string]struct {
		ending  string
		data    []byte
		all     bool // all lines can be read
		nothing bool // none
		err     string
	}{
		"torn gzip":         {ending: ".gz", data: gzipped(t, whole)[:8000], err: "unexpected EOF"},
		"torn zstd":         {ending: ".zst", data: zstded(t, whole)[:8000], nothing: true, err: "unexpected EOF"},
		"bad checksum":      {ending: ".gz", data: damaged(gzipped(t, whole)), all: true, err: "invalid checksum"},
		"garbage behind":    {ending: ".gz", data: append(gzipped(t, whole), "garbage garbage garbage"...), all: true, err: "invalid header"},
		"no gzip":           {ending: ".gz", data: []byte(whole), nothing: true, err: "invalid header"},
		"no zstd":           {ending: ".zst", data: []byte(whole), nothing: true, err: "magic"},
		"empty":             {ending: ".gz", nothing: true, err: "unexpected EOF"},
		"of another format": {ending: ".xz", data: []byte(whole), nothing: true},
		"too wide a window": {ending: ".zst", data: wide, nothing: true, err: "window size"},
		"a bomb":            {ending: ".zst", data: bomb, all: true, err: "grows more than 500-fold"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRestartable(t)
			path := r.opt.Path
			appendTo(t, path, lines(0, 10)...)
			r.run(func(*File) bool { return len(r.sink.all()) == 10 }, false)
			appendTo(t, path, lines(10, n)...)
			must(t, os.Rename(path, path+".1"))
			r.putPacked(path+".1", c.ending, c.data)
			appendTo(t, path, "now")
			var status Status
			f := r.run(func(f *File) bool {
				status = f.Status()
				return caughtUp(f) && status.Gaps[GapUnread] > 0 && !owesAny(f)
			}, false)
			if c.err != "" && (status.Err == nil || !strings.Contains(status.Err.Error(), c.err)) {
				t.Errorf("error %v, want %q", status.Err, c.err)
			}
			got := r.sink.all()
			switch {
			case c.all:
				r.sink.check(t, append(lines(0, n), "now")...)
			case c.nothing:
				r.sink.check(t, append(lines(0, 10), "now")...)
			default:
				want := sorted(append(lines(0, n), "now"))
				left := slices.DeleteFunc(slices.Clone(want), func(l string) bool { return slices.Contains(got, l) })
				if len(got)+len(left) != len(want) || len(left) == 0 || len(got) < 12 || !slices.Contains(got, "now") {
					t.Errorf("%d of %d lines, %d are missing", len(got), len(want), len(left))
				}
			}
			gaps := f.Status().Gaps
			f = r.run(caughtUp, false) // no restart counts anything again
			scansOf(t, f)
			if again := r.sink.all(); !slices.Equal(again, got) || f.Status().Gaps != gaps {
				t.Errorf("after another restart %d lines and gaps %v, want %d and %v", len(again), f.Status().Gaps, len(got), gaps)
			}
		})
	}
}

// owesAny reports whether the File still looks for a file that it has followed. A look or two after that is gone, it is a gap of its own.
func owesAny(f *File) bool {
	return slices.ContainsFunc(f.Set.known.of(f.path), func(e entry) bool { return e.owed() })
}

// scansOf checks nothing can come any more: the File has ended.
func scansOf(t *testing.T, f *File) {
	t.Helper()
	if s := f.Status(); s.Generations != 0 {
		t.Errorf("%d generations after Run", s.Generations)
	}
}

// gzip is still writing when we start: the file that it writes is read when it is whole, the one that it reads is read at once, and
// neither twice.
func TestFileStillBeingCompressed(t *testing.T) {
	for _, original := range []bool{true, false} {
		t.Run(fmt.Sprintf("original there %v", original), func(t *testing.T) {
			r := newRestartable(t)
			r.opt.Poll = 50 * time.Millisecond
			path := r.opt.Path
			appendTo(t, path, lines(0, 10)...)
			r.run(func(*File) bool { return len(r.sink.all()) == 10 }, false)
			appendTo(t, path, lines(10, 5000)...)
			must(t, os.Rename(path, path+".1"))
			whole := gzipped(t, text(lines(0, 5000)))
			half := whole[:len(whole)/2]
			writeFile(t, path+".1.gz", half)
			if !original {
				must(t, os.Remove(path+".1"))
			}
			appendTo(t, path, "now")
			f := follow(t, r.sink, r.opt)
			torn, release := holdAtEnd(f, int64(len(half)))
			start(t, f)
			t.Cleanup(release)
			reach(t, "half of it is read", func() bool { return len(r.sink.all()) > 1000 && (original || isClosed(torn)) })
			writeFile(t, path+".1.gz", whole)
			if original {
				must(t, os.Remove(path+".1"))
			}
			release()
			r.sink.reach(t, 5001)
			reach(t, "the file is caught up with", func() bool { return caughtUp(f) })
			r.sink.check(t, append(lines(0, 5000), "now")...)
			if s := f.Status(); s.Gaps != [NumGaps]uint64{} || s.Err != nil {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// holdAtEnd holds whoever finds that a file ends at size, until it is released: then it has found so once, however slow the writer is.
func holdAtEnd(f *File, size int64) (found chan struct{}, release func()) {
	found = make(chan struct{})
	released := make(chan struct{})
	find := sync.OnceFunc(func() {
		close(found)
		<-released
	})
	f.Set.opt.pread = func(fd int, p []byte, off int64) (int, error) {
		n, err := unix.Pread(fd, p, off)
		if n == 0 && err == nil && off == size {
			find()
		}
		return n, err
	}
	return found, sync.OnceFunc(func() { close(released) })
}

// An old file that was never read is being compressed when we start: until that is done, the result has no time of its own, and then it
// is an old one.
func TestFileOldOneBeingCompressed(t *testing.T) {
	r := newRestartable(t)
	path := r.opt.Path
	appendTo(t, path+".3", lines(9000, 9020)...)
	waitUntilOlder(t, path+".3")
	appendTo(t, path, lines(0, 10)...)
	r.run(func(*File) bool { return len(r.sink.all()) == 10 }, false)
	must(t, os.Rename(path, path+".1"))
	appendTo(t, path, "now")
	old, err := os.Stat(path + ".3")
	must(t, err)
	writeFile(t, path+".3.gz", gzipped(t, text(lines(9000, 9020))))
	f := follow(t, r.sink, r.opt)
	start(t, f)
	r.sink.reach(t, 11)
	must(t, os.Chtimes(path+".3.gz", old.ModTime(), old.ModTime()))
	must(t, os.Remove(path+".3"))
	must(t, os.Rename(path, path+".2"))
	appendTo(t, path, "later")
	r.sink.reach(t, 12)
	reach(t, "all is read", func() bool { return f.Status().Lag == 0 })
	r.sink.check(t, append(lines(0, 10), "now", "later")...)
}

// While running, a compressed copy of what is held is left alone, an old file compressed is, and a generation that came, went and was
// compressed is read, whether nobody looked meanwhile or each step had somebody look.
func TestFileCompressedWhileRunning(t *testing.T) {
	for _, events := range []bool{false, true} {
		t.Run(fmt.Sprintf("events %v", events), func(t *testing.T) {
			r := newRestartable(t)
			path := r.opt.Path
			r.opt.Poll, r.opt.pollOnly = time.Hour, !events
			appendTo(t, path+".1", lines(9000, 9020)...)
			appendTo(t, path, lines(0, 100)...)
			f := follow(t, r.sink, r.opt)
			start(t, f)
			r.sink.reach(t, 100)
			must(t, os.Rename(path+".1", path+".3"))
			appendTo(t, path+".3", "an old writer's")
			must(t, os.Rename(path, path+".2"))
			waitForTick(t, path)
			appendTo(t, path, lines(100, 200)...)
			must(t, os.Rename(path, path+".1"))
			for _, name := range []string{path + ".3", path + ".2", path + ".1"} {
				r.compress(name, packedCases[0])
			}
			appendTo(t, path, "now")
			if !events {
				f.lookSoon()
			}
			young := func() []string { // the old writer's line is read if somebody looked before the file was compressed
				return slices.DeleteFunc(r.sink.all(), func(l string) bool { return events && l == "an old writer's" })
			}
			reach(t, "201 lines", func() bool { return len(young()) >= 201 && f.Status().Lag == 0 })
			if got := young(); !slices.Equal(got, sorted(append(lines(0, 200), "now"))) {
				t.Errorf("got %q", got)
			}
			if s := f.Status(); s.Gaps != [NumGaps]uint64{} || s.Err != nil {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// Whatever a compressed file holds, reading it ends, takes little memory, and gives the lines that another decoder finds.
func FuzzUnpack(f *testing.F) {
	some := text(lines(0, 40))
	f.Add(gzipped(f, some), false)
	f.Add(zstded(f, some), true)
	f.Add(append(gzipped(f, some), gzipped(f, some)...), false)
	f.Add(gzipped(f, some)[:50], false)
	f.Add([]byte(some), true)
	f.Fuzz(func(t *testing.T, data []byte, zst bool) {
		path := filepath.Join(t.TempDir(), "log.gz")
		if zst {
			path = strings.TrimSuffix(path, ".gz") + ".zst"
		}
		u, err := newUnpacker(path, bytes.NewReader(data))
		if err != nil {
			return
		}
		defer u.close()
		buf := make([]byte, 4096)
		var got int64
		for err == nil {
			var n int
			n, err = u.Read(buf)
			got += int64(n)
			if got > bombSize+int64(len(data))*bombRatio+maxWindow {
				t.Fatalf("%d bytes out of %d", got, len(data))
			}
		}
		if got != u.size && err != errBomb {
			t.Errorf("%d bytes read, %d counted", got, u.size)
		}
		if err == io.EOF && !zst {
			r, err := stdgzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatalf("compress/gzip doesn't read it: %v", err)
			}
			if n, err := io.Copy(io.Discard, r); err != nil || n != got {
				t.Errorf("compress/gzip reads %d bytes, not %d: %v", n, got, err)
			}
		}
	})
}
