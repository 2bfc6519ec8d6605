package follow

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// Lines are delivered as they are written, an empty one too; one without LF waits for it.
func TestFileWriteAndRead(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		sink := newLineSink()
		w := create(t, opt.Path)
		f := follow(t, sink, opt)
		stop := start(t, f)
		w.write("one\n", "two\n\nthr")
		reachCount(t, sink, 3)
		sink.check(t, true, "one", "two", "")
		w.write("e")
		w.write("e\nlast")
		reachCount(t, sink, 4)
		// "one\ntwo\n\nthree\n" is 4+4+1+6 = 15 bytes, "last" is 4 more.
		reach(t, "offset 15 of 19", func() bool { s := f.Status(); return s.Offset == 15 && s.Size == 19 && s.Lag == 4 })
		stop()
		sink.check(t, true, "one", "two", "", "three")
		s := f.Status()
		if s.Err != nil || s.Errors != 0 || s.Rotations != 0 || s.Gaps != [NumGaps]uint64{} || s.Offset != 15 || s.Generations != 0 {
			t.Errorf("at the end: %+v", s)
		}
		if sink.discarded != [receiver.NumDiscards]uint64{} {
			t.Errorf("discarded %v, want none: the last line is still in the file", sink.discarded)
		}
	})
}

// At the start a file is read from its end or its beginning; the line that has not ended yet is the first one after the start.
func TestFileStart(t *testing.T) {
	long := strings.Repeat("x", receiver.MaxMessage)
	for name, test := range map[string]struct {
		before    string
		beginning bool
		want      []string
	}{
		"end":                      {before: "a\nb\n", want: []string{"c"}},
		"end within a line":        {before: "a\nb", want: []string{"bc"}},
		"end within the only line": {before: "b", want: []string{"bc"}},
		"end of nothing":           {before: "", want: []string{"c"}},
		"end, longest line":        {before: "a\n" + long[1:], want: []string{long[1:] + "c"}},
		"end, line too long":       {before: "a\n" + long + "y", want: nil},
		"end, only line too long":  {before: long + "y", want: nil},
		"end, far":                 {before: text(lines(0, 1000)), want: []string{"c"}},
		"beginning":                {before: "a\nb", beginning: true, want: []string{"a", "bc"}},
	} {
		t.Run(name, func(t *testing.T) {
			opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Minute, FromBeginning: test.beginning}}
			w := create(t, opt.Path)
			w.write(test.before)
			sink := newLineSink()
			f := follow(t, sink, opt)
			w.write("c\nd\n") // before Run, and still read: NewFile has taken hold of the file
			stop := start(t, f)
			reachCount(t, sink, len(test.want)+1)
			stop()
			sink.check(t, true, append(test.want, "d")...)
			if s := f.Status(); s.Gaps != [NumGaps]uint64{} {
				t.Errorf("gaps %v, want none", s.Gaps)
			}
		})
	}
}

// A file, and even its directory, may come later. It is then read from its beginning.
func TestFileAppearsLate(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		opt.Path = filepath.Join(filepath.Dir(opt.Path), "a", "b", "log")
		opt.Poll = min(opt.Poll, 20*time.Millisecond) // nothing watches the directory's parent
		sink := newLineSink()
		f := follow(t, sink, opt)
		start(t, f)
		if s := f.Status(); !errors.Is(s.Err, fs.ErrNotExist) || s.Errors != 0 {
			t.Errorf("status %+v, want an error that it doesn't exist, not counted", s)
		}
		must(t, os.MkdirAll(filepath.Dir(opt.Path), 0o755))
		create(t, opt.Path).write("a\nb\n")
		reachCount(t, sink, 2)
		reach(t, "no error", func() bool { return f.Status().Err == nil })
		sink.check(t, true, "a", "b")
		if s := f.Status(); s.Rotations != 0 {
			t.Errorf("%d rotations, want none", s.Rotations)
		}
	})
}

// Blocks end anywhere; lines of all lengths come out as they went in.
func TestFileLongerThanBlocks(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{FromBeginning: true}}
	r := rand.New(rand.NewPCG(1, 2))
	var want []string
	for n := 0; n < 5*syslog.BlockBytes; {
		size := r.IntN(200)
		if r.IntN(50) == 0 {
			size = r.IntN(receiver.MaxMessage + 1)
		}
		s := strings.Repeat(string(rune('a'+r.IntN(26))), size)
		want = append(want, s)
		n += size + 1
	}
	want = append(want, make([]string, 3*syslog.SlabLines)...) // empty lines fill slabs first
	create(t, opt.Path).write(text(want))
	sink := newLineSink()
	stop := start(t, follow(t, sink, opt))
	reachCount(t, sink, len(want))
	stop()
	sink.check(t, true, want...)
}

// Over-long lines are skipped and counted once each, however many reads they take, before and after they end.
func TestFileOverlongLines(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		sink := newLineSink()
		f := follow(t, sink, opt)
		start(t, f)
		w := create(t, opt.Path)
		w.write("a\n", strings.Repeat("x", receiver.MaxMessage), "\n", strings.Repeat("y", receiver.MaxMessage+1), "\nb\n")
		reachCount(t, sink, 3)
		w.write(strings.Repeat("z", 3*syslog.BlockBytes)) // an endless line
		reach(t, "the endless line is counted", func() bool { return sink.discards(receiver.Oversize) == 2 })
		for range 5 {
			w.write(strings.Repeat("\x00", syslog.BlockBytes))
		}
		w.write("\nc\n")
		reachCount(t, sink, 4)
		sink.check(t, true, "a", strings.Repeat("x", receiver.MaxMessage), "b", "c")
		if n := sink.discards(receiver.Oversize); n != 2 {
			t.Errorf("%d oversize, want 2", n)
		}
	})
}

// A hole of 1 TiB, as copytruncate leaves before a writer without O_APPEND, takes no time to read,
// and the line behind it counts.
func TestFileHole(t *testing.T) {
	if nextDataIsMissing(t) {
		return
	}
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{FromBeginning: true, Poll: time.Minute}}
	w := create(t, opt.Path)
	w.write("a\n")
	must(t, w.f.Truncate(1<<40))
	sink := newLineSink()
	f := follow(t, sink, opt)
	start(t, f)
	reach(t, "the end of the hole", func() bool { return f.Status().Offset == 1<<40 })
	w.write("rest\nb\n")
	reachCount(t, sink, 3)
	sink.check(t, true, "a", "rest", "b")
	if n := sink.discards(receiver.Oversize); n != 0 {
		t.Errorf("%d oversize, want 0", n)
	}
}

// The end of a file, where reading begins, may be such a hole, or a line that has not ended behind one.
func TestFileStartsBehindAHole(t *testing.T) {
	for name, half := range map[string]string{"a hole": "", "half a line": "ha"} {
		for _, size := range []int64{1000, 1 << 20} {
			opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Minute}}
			w := create(t, opt.Path)
			w.write("a\n")
			must(t, w.f.Truncate(size))
			w.write(half)
			sink := newLineSink()
			start(t, follow(t, sink, opt))
			w.write("lf\nb\n")
			reachCount(t, sink, 2)
			if got := sink.discards(receiver.Oversize); got != 0 {
				t.Errorf("%s, %d bytes: %d oversize, want 0", name, size, got)
			}
			sink.check(t, true, half+"lf", "b")
		}
	}
}

// nextDataIsMissing finds out whether the file system under the test knows holes.
func nextDataIsMissing(t *testing.T) bool {
	w := create(t, filepath.Join(t.TempDir(), "hole"))
	must(t, w.f.Truncate(1<<30))
	return nextData(int(w.f.Fd()), 0) == 0
}

// Offsets beyond 4 GiB.
func TestFileBeyond4GiB(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Minute}}
	w := create(t, opt.Path)
	must(t, w.f.Truncate(5<<30))
	w.write("\n")
	sink := newLineSink()
	f := follow(t, sink, opt)
	start(t, f)
	w.write("a\nb\n")
	reachCount(t, sink, 2)
	sink.check(t, true, "a", "b")
	if s := f.Status(); s.Offset != 5<<30+1+4 {
		t.Errorf("offset %d, want 5 GiB and 5", s.Offset)
	}
}

// When Run is told to end, what has been written is read, also from a file that nobody has looked at yet.
func TestFileEndReadsOn(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Hour, pollOnly: true}}
	w := create(t, opt.Path)
	sink := newLineSink()
	f := follow(t, sink, opt)
	w.write(text(lines(0, 1000)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	reachCount(t, sink, 1000)
	w.write(text(lines(1000, 2000)))
	must(t, os.Rename(opt.Path, opt.Path+".1"))
	create(t, opt.Path).write(text(lines(2000, 3000)))
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	sink.check(t, true, lines(0, 3000)...)
}

// Settings that can't be are refused.
func TestFileOptions(t *testing.T) {
	for _, opt := range []Options{{}, {Path: "log", SetOptions: SetOptions{Poll: -1}}} {
		if f, err := newFile(receiver.Source{}, opt, newLineSink()); err == nil {
			f.Close()
			t.Errorf("%+v was taken", opt)
		}
	}
}
