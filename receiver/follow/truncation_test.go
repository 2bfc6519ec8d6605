package follow

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// copytruncate: nothing of the copy is counted again, the file is read from 0, and the cut is counted as a gap.
func TestFileCopytruncate(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		sink := newLineSink()
		w := create(t, opt.Path)
		f := follow(t, sink, opt)
		start(t, f)
		n := 0
		for r := range 10 {
			for range 100 {
				w.write(line(n) + "\n")
				n++
			}
			reachCount(t, sink, n) // so that nothing is lost
			copyFile(t, opt.Path, numbered(opt.Path, r+1))
			must(t, os.Truncate(opt.Path, 0))
		}
		w.write(line(n) + "\n")
		reachCount(t, sink, n+1)
		sink.check(t, true, lines(0, n+1)...)
		if s := f.Status(); s.Gaps != [NumGaps]uint64{GapTruncated: 10} || s.Rotations != 0 || s.Err != nil {
			t.Errorf("status %+v, want 10 cuts", s)
		}
	})
}

// Each case is one change between two looks. What is left of lines that have been counted is not counted again.
func TestFileCut(t *testing.T) {
	before := lines(0, 100)
	size := int64(len(text(before)))
	mid := size - 200 // within a line, 3 lines from the end
	for name, test := range map[string]struct {
		change func(w writer)
		want   []string
		gaps   uint64
	}{
		"to nothing, and less than before": {func(w writer) {
			must(t, w.f.Truncate(0))
			w.write(text(lines(200, 210)))
		}, lines(200, 210), 1},
		"to nothing, and grown beyond the offset": {func(w writer) {
			must(t, w.f.Truncate(0))
			w.write(text(lines(200, 500)))
		}, lines(200, 500), 1},
		"to nothing, and grown to exactly the offset": {func(w writer) {
			must(t, w.f.Truncate(0))
			w.write(strings.Repeat("x", int(size%1000)-1), "\n", strings.Repeat(strings.Repeat("y", 99)+"\n", 10*int(size/1000)))
		}, append([]string{strings.Repeat("x", int(size%1000)-1)}, strings.Fields(strings.Repeat(strings.Repeat("y", 99)+"\n", 10*int(size/1000)))...), 1},
		"to nothing, and one line shorter than an anchor": {func(w writer) {
			must(t, w.f.Truncate(0))
			w.write("a\n")
		}, []string{"a"}, 1},
		"to exactly the offset": {func(w writer) {
			w.write("unfinished")
			must(t, w.f.Truncate(size))
			w.write("whole\n")
		}, []string{"whole"}, 0},
		"to the end of a line": {func(w writer) {
			must(t, w.f.Truncate(int64(len(text(before[:50])))))
		}, nil, 1},
		"to within a line": {func(w writer) {
			must(t, w.f.Truncate(mid))
		}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			opt := Options{Path: t.TempDir() + "/log", SetOptions: SetOptions{FromBeginning: true, pollOnly: true}}
			w := create(t, opt.Path)
			w.write(text(before))
			sink := newLineSink()
			f := follow(t, sink, opt)
			g := f.generations[0]
			must(t, g.drain())
			test.change(w)
			must(t, g.drain())
			// What is written after the next look is read in any case, but for the rest of a line that was cut.
			if name == "to within a line" {
				w.write("rest\n")
			}
			w.write("after\n")
			must(t, g.drain())
			sink.check(t, true, append(append(before, test.want...), "after")...)
			if s := f.Status(); s.Gaps != [NumGaps]uint64{GapTruncated: test.gaps} {
				t.Errorf("gaps %v, want %d", s.Gaps, test.gaps)
			}
		})
	}
}

// followSettling follows a file that holds these lines and has been read, by a clock of the test's, with settling.
func followSettling(t *testing.T, sink *lineSink, opt Options, held []string) (w writer, g *generation) {
	t.Helper()
	w = create(t, opt.Path)
	w.write(text(held))
	f := follow(t, sink, opt)
	f.opt.unsettled = false
	g = f.generations[0]
	must(t, g.drain())
	return w, g
}

// A file is written anew in place, twice, and found empty both times. Neither time is it judged before it has settled, however long ago
// the other was.
func TestFileWrittenAnewTwice(t *testing.T) {
	opt := Options{Path: t.TempDir() + "/log", SetOptions: SetOptions{FromBeginning: true, pollOnly: true}}
	var now time.Duration
	opt.clock = func() int64 { return int64(now) }
	sink := newLineSink()
	held := lines(0, 100)
	w, g := followSettling(t, sink, opt, held)
	for range 2 {
		now += time.Hour
		must(t, w.f.Truncate(0))
		must(t, g.drain())
		w.write(text(held))
		must(t, g.drain())
	}
	sink.check(t, true, held...)
}

// The machine holds the program up for longer than a file takes to settle, just when the file has been found cut, before the program
// knows the time or before it knows the size. The file is written to meanwhile, and has to settle from then on.
func TestFileWrittenAnewWhileHeldUp(t *testing.T) {
	for _, timeKnown := range []bool{false, true} {
		t.Run(fmt.Sprintf("time known %v", timeKnown), func(t *testing.T) {
			opt := Options{Path: t.TempDir() + "/log", SetOptions: SetOptions{FromBeginning: true, pollOnly: true}}
			var now time.Duration
			var pause func() // once the file has been read
			read := false
			opt.pread = func(fd int, p []byte, off int64) (int, error) {
				read = true
				return unix.Pread(fd, p, off)
			}
			opt.clock = func() int64 {
				before := now
				if read && pause != nil {
					pause()
					pause = nil
				}
				if timeKnown {
					return int64(before)
				}
				return int64(now)
			}
			sink := newLineSink()
			held := lines(0, 100)
			w, g := followSettling(t, sink, opt, held)
			now += time.Hour
			must(t, w.f.Truncate(0)) // as tail -n 50 L >t; cat t >L does
			if !timeKnown {
				must(t, g.drain())
			}
			read, pause = false, func() {
				now += 2 * settling
				w.write(text(held[50:75]))
			}
			must(t, g.drain())
			must(t, g.drain())
			w.write(text(held[75:]))
			must(t, g.drain())
			now += 2 * settling
			must(t, g.drain())
			w.write("after\n")
			must(t, g.drain())
			sink.check(t, true, append(held, "after")...)
		})
	}
}

// The same at the start: the first look is held up when it knows how long ago the file was written, and before it knows what it holds.
func TestFileWrittenAnewWhileTheFirstLookIsHeldUp(t *testing.T) {
	r := newRestartable(t)
	path, held := r.opt.Path, lines(0, 100)
	appendTo(t, path, held...)
	r.run(caughtUp, false)
	must(t, os.Truncate(path, 0))
	appendTo(t, path, held[50:75]...)
	opt := setOptions(path)
	opt.FromBeginning, opt.unsettled, opt.Resume = true, false, r.opt.Resume
	var pause sync.Once
	opt.pread = func(fd int, p []byte, off int64) (int, error) {
		pause.Do(func() {
			reach(t, "it was written long ago", func() bool {
				info, err := os.Stat(path)
				return err == nil && time.Since(info.ModTime()) > 2*settling
			})
			appendTo(t, path, held[75:]...)
		})
		return unix.Pread(fd, p, off)
	}
	s := followSet(t, r.sink, opt)
	runSet(t, s)
	appendTo(t, path, "after")
	r.sink.reach(t, 101)
	if got := r.sink.all(); !slices.Equal(got, append(held, "after")) {
		t.Errorf("%d lines: %q", len(got), got)
	}
}

// A file that is cut while it is read in blocks, with a line that has not ended, and within a line that is skipped.
func TestFileCutWhileSkipping(t *testing.T) {
	opt := Options{Path: t.TempDir() + "/log", SetOptions: SetOptions{FromBeginning: true, pollOnly: true}}
	w := create(t, opt.Path)
	w.write("a\n", strings.Repeat("x", 2*syslog.BlockBytes))
	sink := newLineSink()
	f := follow(t, sink, opt)
	g := f.generations[0]
	must(t, g.drain())
	if !g.pos.Skipping || sink.discards(receiver.Oversize) != 1 {
		t.Fatalf("position %+v, %d oversize; want skipping, 1", g.pos, sink.discards(receiver.Oversize))
	}
	must(t, w.f.Truncate(0))
	w.write("b\nc")
	must(t, g.drain())
	must(t, w.f.Truncate(0))
	w.write("d\n")
	must(t, g.drain())
	sink.check(t, true, "a", "b", "d")
}

// A file that was cut and has been read since is as it was: what is then put beside it is not its.
func TestFileBesideAfterCut(t *testing.T) {
	opt := Options{Path: t.TempDir() + "/log", SetOptions: SetOptions{FromBeginning: true, pollOnly: true}}
	w := create(t, opt.Path)
	w.write(text(lines(0, 100)))
	sink := newLineSink()
	f := follow(t, sink, opt)
	poll(t, f)
	must(t, w.f.Truncate(0))
	w.write(text(lines(100, 105)))
	for range 3 {
		poll(t, f)
	}
	create(t, opt.Path+".1").write("another's\n")
	poll(t, f)
	sink.check(t, true, lines(0, 105)...)
}

// copytruncate of a file of which nothing has been read yet: its lines are in the copy alone, whatever the file holds when that is met.
func TestFileCutUnread(t *testing.T) {
	for name, after := range map[string][]string{"empty": nil, "shorter": lines(20, 25), "longer": lines(20, 60)} {
		t.Run(name, func(t *testing.T) {
			opt := Options{Path: t.TempDir() + "/log", SetOptions: SetOptions{FromBeginning: true, pollOnly: true}}
			w := create(t, opt.Path)
			w.write(text(lines(0, 20)))
			sink := newLineSink()
			f := follow(t, sink, opt)
			f.look()
			waitForTick(t, opt.Path)
			copyFile(t, opt.Path, opt.Path+".1")
			must(t, w.f.Truncate(0))
			w.write(text(after))
			for range 3 {
				f.look()
			}
			create(t, opt.Path+".2").write("another's\n")
			poll(t, f)
			sink.check(t, false, append(lines(0, 20), after...)...)
		})
	}
}
