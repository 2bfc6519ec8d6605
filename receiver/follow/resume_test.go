package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/enum"
	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

func (s *lineSink) counted() map[receiver.FileID]receiver.FilePosition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.last)
}

// poll does once what Run does all the time.
func poll(t *testing.T, f *File) {
	t.Helper()
	f.look()
	for _, g := range f.generations {
		must(t, g.drain())
	}
}

// stopped follows opt.Path from its first line, reads all that is there, and returns the state.
func stopped(t *testing.T, sink *lineSink, opt Options) *Catalogue {
	t.Helper()
	opt.pollOnly, opt.FromBeginning = true, true
	return stop(t, sink, follow(t, sink, opt))
}

func stop(t *testing.T, sink *lineSink, f *File) *Catalogue {
	t.Helper()
	poll(t, f)
	must(t, f.Close())
	return f.Catalogue(sink.counted())
}

// with returns the files that have a verdict.
func (c *Catalogue) with(v Verdict) (all []*FileRecord) {
	for i := range c.Known {
		if c.Known[i].Verdict == v {
			all = append(all, &c.Known[i])
		}
	}
	return all
}

func (c *Catalogue) drop(r *FileRecord) {
	id := r.Pos.ID
	c.Known = slices.DeleteFunc(c.Known, func(r FileRecord) bool { return r.Pos.ID == id })
}

// renumber gives the device of all files another number.
func (c *Catalogue) renumber(to uint64) {
	for i := range c.Known {
		c.Known[i].Pos.ID.Device, c.Known[i].Of.Device = to, to
	}
	for i := range c.Cuts {
		c.Cuts[i].Pos.ID.Device = to
	}
	for i := range c.Targets {
		r := &c.Targets[i]
		r.Start.Device, r.Dir.Device, r.Named.Device = to, to, to
	}
}

// resume goes on from a state.
func resume(t *testing.T, sink *lineSink, opt Options, s *Catalogue) *File {
	t.Helper()
	opt.pollOnly, opt.Resume = true, s
	return follow(t, sink, opt)
}

// Rotated twice, and once more, while we were down (F5): the file that is known is found under its new name and read on, then those that
// came and went meanwhile, oldest first, then the one that has the name. Old logs are not read: those that were there before, and one
// that was put there meanwhile but is older. All are read by Run here, in their order.
func TestFileResumeAfterRotations(t *testing.T) {
	for rotations := range 4 {
		for _, style := range []string{"%s-%d", "chain"} {
			t.Run(fmt.Sprint(rotations, style), func(t *testing.T) {
				opt := Options{Path: filepath.Join(t.TempDir(), "log")}
				must(t, os.Mkdir(filepath.Dir(opt.Path)+"/old", 0o755))
				create(t, filepath.Dir(opt.Path)+"/old/log").write("brought back\n")
				create(t, opt.Path+".7").write("old, from before the start\n")
				create(t, opt.Path+".8.gz").write("compressed\n")
				waitForTick(t, opt.Path)
				w := create(t, opt.Path)
				w.write(text(lines(0, 10)))
				sink := newLineSink()
				state := stopped(t, sink, opt)
				n := 10
				for r := range rotations {
					w.write(text(lines(n, n+500)))
					n += 500
					if style == "chain" {
						for i := r; i >= 0; i-- {
							must(t, os.Rename(numbered(opt.Path, i), numbered(opt.Path, i+1)))
						}
					} else {
						must(t, os.Rename(opt.Path, fmt.Sprintf(style, opt.Path, 20261120+r)))
					}
					waitForTick(t, opt.Path)
					w = create(t, opt.Path)
				}
				w.write(text(lines(n, n+500)))
				must(t, os.Rename(filepath.Dir(opt.Path)+"/old/log", opt.Path+".99"))
				opt.Poll = time.Minute
				f := resume(t, sink, opt, state)
				end := start(t, f)
				reachCount(t, sink, n+500)
				end()
				sink.check(t, true, lines(0, n+500)...)
				if s := f.Status(); s.Rotations != uint64(rotations) || s.Gaps != [NumGaps]uint64{} || s.Err != nil {
					t.Errorf("status %+v, want %d rotations", s, rotations)
				}
			})
		}
	}
}

// A line whose halves are written before and after a restart is counted once (F12, F13); so is a line that is too long, and nothing of it
// is taken for another. A file that had no line yet is read from where it began.
func TestFileResumeWithinLine(t *testing.T) {
	for name, test := range map[string]struct {
		before, after string
		want          []string
		oversize      uint64
	}{
		"half a line":         {"a\nhal", "f\nb\n", []string{"a", "half", "b"}, 0},
		"nothing but a half":  {"hal", "f\nb\n", []string{"half", "b"}, 0},
		"nothing":             {"", "a\n", []string{"a"}, 0},
		"too long":            {"a\n" + strings.Repeat("x", 3*syslog.BlockBytes), "y\nb\n", []string{"a", "b"}, 1},
		"too long afterwards": {"a\n" + strings.Repeat("x", receiver.MaxMessage-1), "yy\nb\n", []string{"a", "b"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			opt := Options{Path: filepath.Join(t.TempDir(), "log")}
			w := create(t, opt.Path)
			w.write(test.before)
			sink := newLineSink()
			state := stopped(t, sink, opt)
			state = stop(t, sink, resume(t, sink, opt, state))
			w.write(test.after)
			f := resume(t, sink, opt, state)
			poll(t, f)
			sink.check(t, true, test.want...)
			if n := sink.discards(receiver.Oversize); n != test.oversize || f.Status().Gaps != [NumGaps]uint64{} {
				t.Errorf("%d oversize, want %d; status %+v", n, test.oversize, f.Status())
			}
		})
	}
}

// An inode that was given to a new file while we were down (F10): another time of birth, or, where there is none, other bytes.
func TestFileResumeInodeReused(t *testing.T) {
	for _, birth := range []bool{true, false} {
		opt := Options{Path: filepath.Join(t.TempDir(), "log")}
		w := create(t, opt.Path)
		w.write(text(lines(0, 10)))
		sink := newLineSink()
		state := stopped(t, sink, opt)
		must(t, w.f.Truncate(0))
		w.write(text(lines(10, 40)))
		want := [NumGaps]uint64{GapTruncated: 1}
		if birth { // what a file looks like that has been born since
			want = [NumGaps]uint64{GapUnread: 1} // the known one is gone
			state.Known[0].Pos.ID.Birth--
			state.Targets[0].Named.Birth--
			sink.last = map[receiver.FileID]receiver.FilePosition{}
		}
		f := resume(t, sink, opt, state)
		for range maxAbsent + 1 {
			poll(t, f)
		}
		sink.check(t, true, lines(0, 40)...)
		if s := f.Status(); s.Gaps != want {
			t.Errorf("birth known %v: gaps %v, want %v", birth, s.Gaps, want)
		}
	}
}

// copytruncate while we were down: what the copy holds beyond our position was never counted, and is gone from the original. It is read
// from there, before the original, and only once, however often we start. An older, shorter copy of an administrator's is not read.
func TestFileResumeCopytruncate(t *testing.T) {
	for _, cuts := range []int{0, 1, 2} {
		for _, again := range []bool{false, true} {
			opt := Options{Path: filepath.Join(t.TempDir(), "log")}
			w := create(t, opt.Path)
			w.write(text(lines(0, 20)))
			sink := newLineSink()
			state := stopped(t, sink, opt)
			w.write(text(lines(20, 30)))
			copyFile(t, opt.Path, opt.Path+".bak")
			n := 30
			for i := range cuts {
				w.write(text(lines(n, n+10)))
				n += 10
				waitForTick(t, opt.Path)
				copyFile(t, opt.Path, numbered(opt.Path, i+1))
				must(t, w.f.Truncate(0))
			}
			w.write(text(lines(n, n+10)))
			f := resume(t, sink, opt, state)
			if again { // killed before anything was counted: what is known of the cut is in the state
				s := f.Catalogue(sink.counted())
				f.Close()
				f = resume(t, sink, opt, s)
			}
			poll(t, f)
			sink.check(t, true, lines(0, n+10)...)
			if s := f.Status(); s.Gaps != [NumGaps]uint64{GapTruncated: uint64(min(cuts, 1))} || s.Errors != 0 {
				t.Errorf("%d cuts: status %+v", cuts, s)
			}
			f = resume(t, sink, opt, stop(t, sink, f))
			w.write(text(lines(n+10, n+20)))
			poll(t, f)
			sink.check(t, true, lines(0, n+20)...)
		}
	}
}

// What becomes of a file beside the followed one that is met after a start, where the name is still the same file's: it is new only if
// the state says that it was to be read, or that the name had just changed hands.
func TestFileResumeSiblings(t *testing.T) {
	for name, test := range map[string]struct {
		change func(s *Catalogue, t *TargetRecord, old *FileRecord)
		read   bool
	}{
		"known":                 {func(*Catalogue, *TargetRecord, *FileRecord) {}, false},
		"come since":            {func(s *Catalogue, _ *TargetRecord, old *FileRecord) { s.drop(old) }, false},
		"come with a rotation":  {func(s *Catalogue, t *TargetRecord, old *FileRecord) { s.drop(old); t.Moved = true }, true},
		"known, and a rotation": {func(_ *Catalogue, t *TargetRecord, _ *FileRecord) { t.Moved = true }, false},
		"not opened yet": {func(_ *Catalogue, _ *TargetRecord, old *FileRecord) {
			*old = FileRecord{Pos: receiver.FilePosition{ID: old.Pos.ID}, Target: old.Target, Size: -1}
		}, true},
		"too short yet": {func(_ *Catalogue, _ *TargetRecord, old *FileRecord) {
			*old = FileRecord{Pos: receiver.FilePosition{ID: old.Pos.ID}, Target: old.Target}
		}, true},
		"of another directory": {func(s *Catalogue, t *TargetRecord, old *FileRecord) { s.drop(old); t.Moved, t.Dir.Inode = true, 1 }, false},
		"of another name":      {func(s *Catalogue, t *TargetRecord, old *FileRecord) { s.drop(old); t.Moved, t.Base = true, "other" }, false},
	} {
		opt := Options{Path: filepath.Join(t.TempDir(), "log")}
		create(t, opt.Path).write("a\n")
		waitForTick(t, opt.Path)
		create(t, opt.Path+".1").write("beside\n")
		sink := newLineSink()
		state := stopped(t, sink, opt)
		old := state.with(Old)
		if len(old) != 1 {
			t.Fatalf("state %+v, want one old file", state)
		}
		test.change(state, &state.Targets[0], old[0])
		f := resume(t, sink, opt, state)
		poll(t, f)
		want := []string{"a"}
		if test.read {
			want = append(want, "beside")
		}
		t.Log(name)
		sink.check(t, true, want...)
	}
}

// A copy of a followed file that is gone is no new file, if it holds more than what two logs may have in common at their starts.
func TestFileResumeCopyOfAFileThatIsGone(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	create(t, opt.Path).write(text(lines(0, 120)))
	sink := newLineSink()
	state := stopped(t, sink, opt)
	create(t, opt.Path+".bak").write(text(lines(0, 70)))
	must(t, os.Remove(opt.Path))
	create(t, opt.Path).write(text(lines(120, 130)))
	f := resume(t, sink, opt, state)
	for range maxAbsent + 1 {
		poll(t, f)
	}
	sink.check(t, true, lines(0, 130)...)
	if s := f.Status(); s.Gaps != [NumGaps]uint64{GapUnread: 1} {
		t.Errorf("status %+v, want one gap", s)
	}
}

// A log that was cut while we were down, without a copy: what it holds now is new; what it held is a gap.
func TestFileResumeTruncated(t *testing.T) {
	for name, test := range map[string]struct {
		change func(w writer)
		want   []string
		gaps   uint64
	}{
		"shorter":            {func(w writer) { must(t, w.f.Truncate(0)); w.write("a\n") }, []string{"a"}, 1},
		"longer":             {func(w writer) { must(t, w.f.Truncate(0)); w.write(text(lines(100, 200))) }, lines(100, 200), 1},
		"empty":              {func(w writer) { must(t, w.f.Truncate(0)) }, nil, 1},
		"in part":            {func(w writer) { must(t, w.f.Truncate(int64(len(text(lines(0, 5)))))) }, nil, 1},
		"to the same offset": {func(w writer) { w.write("x"); must(t, w.f.Truncate(int64(len(text(lines(0, 20)))))) }, nil, 0},
	} {
		opt := Options{Path: filepath.Join(t.TempDir(), "log")}
		w := create(t, opt.Path)
		w.write(text(lines(0, 20)))
		sink := newLineSink()
		state := stopped(t, sink, opt)
		test.change(w)
		f := resume(t, sink, opt, state)
		poll(t, f)
		state = stop(t, sink, f)
		f = resume(t, sink, opt, state)
		w.write("after\n")
		poll(t, f)
		sink.check(t, true, append(append(lines(0, 20), test.want...), "after")...)
		if s := f.Status(); s.Gaps != [NumGaps]uint64{GapTruncated: test.gaps} {
			t.Errorf("%s: gaps %v, want %d", name, s.Gaps, test.gaps)
		}
	}
}

// A file that was followed and is gone is a gap, counted once; one that was let go before is none, and neither is one that is found.
func TestFileResumeGone(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	create(t, opt.Path).write(text(lines(0, 10)))
	sink := newLineSink()
	f := follow(t, sink, Options{Path: opt.Path, SetOptions: SetOptions{pollOnly: true, FromBeginning: true}})
	poll(t, f)
	must(t, os.Rename(opt.Path, opt.Path+".2"))
	create(t, opt.Path).write(text(lines(10, 20)))
	poll(t, f)
	g := f.generations[0]
	g.started = true
	g.grew.Store(f.clock() - int64(silentLimit))
	f.look()
	g.finish()
	close(g.done)
	must(t, os.Rename(opt.Path, opt.Path+".1"))
	create(t, opt.Path).write(text(lines(20, 30)))
	state := stop(t, sink, f)
	if read := state.with(Read); len(state.Known) != 3 || len(state.with(Reading)) != 2 || len(read) != 1 || read[0].Pos.ID != g.id {
		t.Fatalf("state %+v, want 3 files, the first one let go", state)
	}
	gaps := uint64(0)
	for i, remove := range []string{"", ".2", ".1", "", ""} {
		if remove != "" {
			must(t, os.Remove(opt.Path+remove))
		}
		if remove == ".1" {
			gaps = 1
		}
		f := resume(t, sink, opt, state)
		poll(t, f)
		if i == 2 { // killed, and started again: it is still to be found, or missed
			s := f.Catalogue(sink.counted())
			f.Close()
			f = resume(t, sink, opt, s)
		}
		for range maxAbsent + 1 {
			poll(t, f)
		}
		if s := f.Status(); s.Gaps != [NumGaps]uint64{GapUnread: gaps} || s.Rotations != 2 {
			t.Errorf("start %d: status %+v, want %d gaps", i, s, gaps)
		}
		state = stop(t, sink, f)
	}
	sink.check(t, true, lines(0, 30)...)
}

// While its directory can't be found, a file isn't gone: its file system may be mounted later.
func TestFileResumeBeforeItsDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	opt := Options{Path: filepath.Join(dir, "log")}
	must(t, os.Mkdir(dir, 0o755))
	w := create(t, opt.Path)
	w.write("a\n")
	create(t, opt.Path+".1").write("old\n")
	sink := newLineSink()
	state := stopped(t, sink, opt)
	w.write("b\n")
	must(t, os.Rename(opt.Path, opt.Path+".2"))
	waitForTick(t, opt.Path)
	create(t, opt.Path).write("c\n")
	must(t, os.Rename(opt.Path, opt.Path+".3"))
	waitForTick(t, opt.Path)
	create(t, opt.Path).write("d\n")
	must(t, os.Rename(dir, dir+".away"))
	f := resume(t, sink, opt, state)
	for range 2 * maxAbsent {
		poll(t, f)
	}
	s := f.Catalogue(sink.counted())
	f.Close()
	f = resume(t, sink, opt, s)
	poll(t, f)
	must(t, os.Rename(dir+".away", dir))
	poll(t, f)
	sink.check(t, true, "a", "b", "c", "d")
	if s := f.Status(); s.Gaps != [NumGaps]uint64{} || s.Rotations != 2 {
		t.Errorf("status %+v, want two rotations and no gap", s)
	}
}

// The state of a path at which there was nothing: whatever is there later is new.
func TestFileResumeNothing(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	sink := newLineSink()
	state := stopped(t, sink, opt)
	create(t, opt.Path).write("a\n")
	must(t, os.Rename(opt.Path, opt.Path+".1"))
	waitForTick(t, opt.Path)
	create(t, opt.Path).write("b\n")
	poll(t, resume(t, sink, opt, state))
	sink.check(t, true, "a", "b")
}

// The device of a file system may have another number after a reboot. The directory's inode shows that it is the same.
func TestFileResumeOtherDevice(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	create(t, opt.Path+".9").write("old\n")
	w := create(t, opt.Path)
	w.write(text(lines(0, 10)))
	sink := newLineSink()
	state := stopped(t, sink, opt)
	state.renumber(77)
	sink.last = map[receiver.FileID]receiver.FilePosition{}
	w.write(text(lines(10, 20)))
	for i := 2; i < 4; i++ { // the one in between is known to be new only because the directory is known
		must(t, os.Rename(opt.Path, fmt.Sprintf("%s-%d", opt.Path, i)))
		waitForTick(t, opt.Path)
		create(t, opt.Path).write(text(lines(10*i, 10*i+10)))
	}
	f := resume(t, sink, opt, state)
	for range maxAbsent + 1 {
		poll(t, f)
	}
	sink.check(t, true, lines(0, 40)...)
	if s := f.Status(); s.Gaps != [NumGaps]uint64{} {
		t.Errorf("status %+v, want no gap", s)
	}
}

// Positions of the version before have no hashes. They get them when the file goes on, as if they had always had them.
func TestFileResumeWithoutHashes(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	w := create(t, opt.Path)
	w.write(text(lines(0, 100)))
	sink := newLineSink()
	state := stopped(t, sink, opt)
	w.write(text(lines(100, 101)))
	want := stop(t, sink, resume(t, sink, opt, state)).Known[0].Pos
	state.Known[0].Pos.Sums, state.Known[0].Pos.Tails = [len(receiver.SumSizes)]uint64{}, [len(receiver.TailSizes)]uint64{}
	got := stop(t, sink, resume(t, sink, opt, state)).Known[0].Pos
	if got != want || got.Sums[0] == 0 {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A file that was moved away and back by copying has another identity, and goes on where it was all the same.
func TestFileResumeMovedByCopying(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	create(t, opt.Path).write(text(lines(0, 10)))
	sink := newLineSink()
	state := stopped(t, sink, opt)
	copyFile(t, opt.Path, opt.Path+".tmp")
	must(t, os.Rename(opt.Path+".tmp", opt.Path))
	createMode(t, opt.Path, 0o644).write(text(lines(10, 20)))
	f := resume(t, sink, opt, state)
	for range maxAbsent + 1 {
		poll(t, f)
	}
	sink.check(t, true, lines(0, 20)...)
	if s := f.Status(); s.Gaps != [NumGaps]uint64{} || s.Rotations != 0 {
		t.Errorf("status %+v, want neither gaps nor rotations", s)
	}
}

// Which file beside the followed one is older: by birth, or, where that isn't known, by when it was last written to.
func TestFileOlder(t *testing.T) {
	f := &target{since: receiver.FileID{Birth: 100}, sinceAt: 50}
	for _, test := range []struct {
		birth, written int64
		want           bool
	}{{99, 1000, true}, {100, 0, false}, {101, 0, false}, {0, 49, true}, {0, 50, false}} {
		if got := f.isOlder(fileInfo{id: receiver.FileID{Birth: test.birth}, written: test.written}); got != test.want {
			t.Errorf("%+v: older %v", test, got)
		}
	}
}

// A cut that is noticed while we run reaches the Sink before the next line, so that a state knows of it that is saved in between: it says
// where reading goes on, and a start from it counts no second gap and loses no line.
func TestFileStateAfterCut(t *testing.T) {
	size := int64(len(text(lines(0, 10))))
	for _, left := range []int64{0, size} {
		opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{pollOnly: true, FromBeginning: true}}
		w := create(t, opt.Path)
		w.write(text(lines(0, 20)))
		sink := newLineSink()
		f := follow(t, sink, opt)
		poll(t, f)
		must(t, w.f.Truncate(left))
		poll(t, f)
		counted := sink.counted()
		s := f.Catalogue(counted)
		f.Close()
		if p := counted[s.Known[0].Pos.ID]; p.Offset != left || p.Cut != 1 {
			t.Errorf("cut to %d: the Sink knows %+v, want that offset and 1 cut", left, p)
		}
		if len(s.Known) != 1 || s.Known[0].Pos.Offset != left || s.Targets[0].Gaps[GapTruncated] != 1 {
			t.Errorf("cut to %d: state %+v, want that offset", left, s)
		}
		w.write(text(lines(20, 40)))
		f = resume(t, sink, opt, s)
		poll(t, f)
		sink.check(t, true, lines(0, 40)...)
		if s := f.Status(); s.Gaps != [NumGaps]uint64{GapTruncated: 1} {
			t.Errorf("status %+v, want one gap", s)
		}
	}
}

// A log that was cut while we were down and has got lines that end like the old ones is another: its first bytes tell.
func TestFileResumeSameAnchor(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	end := strings.Repeat("7", receiver.AnchorSize)
	w := create(t, opt.Path)
	w.write("1"+end+"\n", "2"+end+"\n")
	sink := newLineSink()
	state := stopped(t, sink, opt)
	must(t, w.f.Truncate(0))
	w.write("3"+end+"\n", "4"+end+"\n")
	poll(t, resume(t, sink, opt, state))
	sink.check(t, true, "1"+end, "2"+end, "3"+end, "4"+end)
}

// At the end of Run all that is there is read, also what no event or poll has told of; the state knows it.
func TestFileStateAfterRun(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Hour, pollOnly: true, FromBeginning: true}}
	w := create(t, opt.Path)
	w.write("a\n")
	sink := newLineSink()
	f := follow(t, sink, opt)
	end := start(t, f)
	reachCount(t, sink, 1)
	w.write("b\nhalf")
	must(t, os.Rename(opt.Path, opt.Path+".1"))
	create(t, opt.Path).write("c\n")
	end()
	sink.check(t, true, "a", "b", "c")
	s := f.Catalogue(sink.counted())
	if read := s.with(Reading); len(s.Known) != 2 || len(read) != 2 || read[0].Pos.Offset != 4 || read[1].Pos.Offset != 2 {
		t.Fatalf("state %+v, want offsets 4 and 2", s)
	}
	w.write(" of it\n")
	poll(t, resume(t, sink, opt, s))
	sink.check(t, true, "a", "b", "c", "half of it")
}

// A file whose only line never ended is let go, and its beginning is known after a start: nothing of it is read again.
func TestFileResumeBehindUnfinishedLine(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{pollOnly: true, FromBeginning: true}}
	w := create(t, opt.Path)
	w.write(strings.Repeat("unfinished ", 10))
	sink := newLineSink()
	f := follow(t, sink, opt)
	poll(t, f)
	f.generations[0].finish()
	state := stop(t, sink, f)
	w.write("end\nb\n")
	f = resume(t, sink, opt, state)
	poll(t, f)
	sink.check(t, true, "b")
	if n := sink.discards(receiver.Incomplete); n != 1 || f.Status().Gaps != [NumGaps]uint64{} {
		t.Errorf("%d incomplete, status %+v; want 1 and no gap", n, f.Status())
	}
}

// A file that was found cut at a start and has got no line since: the Sink still has its old position, and no state falls for it, however
// often we start.
func TestFileStateOfCutFileWithoutLines(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	w := create(t, opt.Path)
	w.write(text(lines(0, 20)))
	sink := newLineSink()
	state := stopped(t, sink, opt)
	must(t, w.f.Truncate(int64(len(text(lines(0, 10))))))
	for i := range 3 {
		state = stop(t, sink, resume(t, sink, opt, state))
		if want := int64(len(text(lines(0, 10)))); i < 2 && state.Known[0].Pos.Offset != want {
			t.Errorf("start %d: offset %d, want %d", i, state.Known[0].Pos.Offset, want)
		}
		if i == 1 {
			must(t, w.f.Truncate(0))
		}
	}
	w.write(text(lines(20, 30)))
	f := resume(t, sink, opt, state)
	poll(t, f)
	sink.check(t, true, lines(0, 30)...)
	if s := f.Status(); s.Gaps != [NumGaps]uint64{GapTruncated: 2} {
		t.Errorf("status %+v, want two gaps", s)
	}
}

// A file that had been let go and was cut since, before the state was saved or after: what it holds now is read.
func TestFileResumeCutAfterItWasLetGo(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	w := create(t, opt.Path)
	w.write(text(lines(0, 20)))
	sink := newLineSink()
	state := stopped(t, sink, opt)
	state.Known[0].Verdict = Read
	must(t, os.Rename(opt.Path, opt.Path+".1"))
	create(t, opt.Path)
	must(t, w.f.Truncate(0))
	w.write(text(lines(20, 25)))
	f := resume(t, sink, opt, state)
	poll(t, f)
	w.write(text(lines(25, 30)))
	poll(t, f)
	sink.check(t, true, lines(0, 30)...)
}

// Counters go on; what they are called in the state is part of its format.
func TestFileResumeCounts(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{pollOnly: true}}
	opt.Resume = &Catalogue{Targets: []TargetRecord{{Path: opt.Path, Scope: 1, Rotations: 3, Errors: 4}}}
	err := opt.Resume.Targets[0].Gaps.GobDecode(enum.Encode([]uint64{7, 6, 5}, []string{"of a later version", "unread", "truncated"}))
	must(t, err)
	f := follow(t, newLineSink(), opt)
	if s := f.Status(); s.Rotations != 3 || s.Errors != 4 || s.Gaps != [NumGaps]uint64{5, 6} {
		t.Errorf("status %+v, want 3, 4, 5, 6", s)
	}
	if s := f.Catalogue(newLineSink().counted()).Targets[0]; s.Rotations != 3 || s.Errors != 4 || s.Gaps[GapTruncated] != 5 || s.Gaps[GapUnread] != 6 {
		t.Errorf("state %+v, want 3, 4, 5, 6", s)
	}
}

// A file that was there at the very first start and can be opened only after another start is read from where it ended at the first.
func TestFileResumeNeverOpened(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{pollOnly: true}}
	w := create(t, opt.Path)
	w.write(text(lines(0, 10)))
	sink := newLineSink()
	broken := opt
	broken.pread = func(int, []byte, int64) (int, error) { return -1, unix.EIO }
	f := follow(t, sink, broken)
	f.Close()
	state := f.Catalogue(sink.counted())
	w.write(text(lines(10, 20)))
	f = resume(t, sink, opt, state)
	poll(t, f)
	sink.check(t, true, lines(10, 20)...)
}

// The state is bounded. The files that go first are those that are left alone, then those that have been read, both in the order in which
// they were met; one of which lines may come never does. Many targets together keep no more than a few do.
func TestFileStateIsBounded(t *testing.T) {
	f := follow(t, newLineSink(), Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{pollOnly: true}})
	known := f.Set.known
	remember := func(inode int, verdict Verdict, target string) {
		r := FileRecord{Pos: receiver.FilePosition{ID: receiver.FileID{Inode: uint64(inode)}}, Verdict: verdict, Target: target}
		begin := r.Pos
		r.Pos.Offset = 1
		known.put(entry{FileRecord: r, begin: begin})
	}
	const owed, old = 50_000, 60_000 // inodes
	remember(owed, Reading, f.path)
	remember(0, Read, f.path)
	for i := range 100 {
		remember(old+i, Old, f.path)
	}
	for i := 1; i < maxFiles+100; i++ {
		remember(i, Read, fmt.Sprint("of target ", i%300))
	}
	for range maxCuts + 10 {
		known.noteCut(&generation{target: f.target}, receiver.FilePosition{}, receiver.FilePosition{})
	}
	counted := map[receiver.FileID]receiver.FilePosition{}
	for id, e := range known.files {
		if id.Inode%2 == 0 {
			counted[id] = e.Pos
		}
	}
	s := f.Catalogue(counted)
	if len(s.Known) != maxFiles || len(s.Cuts) != maxCuts || s.Known[0].Pos.ID.Inode != owed || s.Known[1].Pos.ID.Inode != 101 {
		t.Errorf("%d files, the first ones %+v and %+v, %d cuts", len(s.Known), s.Known[0], s.Known[1], len(s.Cuts))
	}
	for _, r := range s.Known {
		odd := r.Pos.ID.Inode % 2
		if want := int64(1 - odd); r.Pos.Offset != want || r.Verdict != Reading && odd == 1 { // those of which nothing is counted are to be read
			t.Errorf("%+v, want offset %d: what was counted, or else where reading began", r, want)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// CaughtUp waits for Run and for what was there at the start and can be read, no longer, and not for the poll
// interval. The Sink is told before it, once, behind all lines that were there.
func TestFileCaughtUp(t *testing.T) {
	eio := func(int, []byte, int64) (int, error) { return -1, unix.EIO }
	nothing := func(string) error { return nil }
	noDirectory := func(path string) error { return os.Remove(filepath.Dir(path)) }
	fifo := func(path string) error { return unix.Mkfifo(path, 0o644) }
	directory := func(path string) error { return os.Mkdir(path, 0o755) }
	holding := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o644) }
	}
	for name, test := range map[string]struct {
		make func(path string) error
		opt  Options
		want []string
	}{
		"no file":        {nothing, Options{SetOptions: SetOptions{FromBeginning: true}}, nil},
		"no directory":   {noDirectory, Options{SetOptions: SetOptions{FromBeginning: true}}, nil},
		"from the end":   {holding(text(lines(0, 9))), Options{}, nil},
		"a FIFO":         {fifo, Options{SetOptions: SetOptions{FromBeginning: true}}, nil},
		"a directory":    {directory, Options{SetOptions: SetOptions{FromBeginning: true}}, nil},
		"empty":          {holding(""), Options{SetOptions: SetOptions{FromBeginning: true}}, nil},
		"lines":          {holding(text(lines(0, 9))), Options{SetOptions: SetOptions{FromBeginning: true}}, lines(0, 9)},
		"from a state":   {holding(text(lines(0, 9))), Options{SetOptions: SetOptions{Resume: &Catalogue{}}}, lines(0, 9)},
		"half a line":    {holding("half"), Options{SetOptions: SetOptions{FromBeginning: true}}, nil},
		"a failing disk": {holding("a\n"), Options{SetOptions: SetOptions{FromBeginning: true, pread: eio}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			test.opt.Path, test.opt.Poll, test.opt.pollOnly = filepath.Join(t.TempDir(), "d", "log"), time.Hour, true
			must(t, os.Mkdir(filepath.Dir(test.opt.Path), 0o755))
			must(t, test.make(test.opt.Path))
			if test.opt.Resume != nil { // it wasn't there then
				test.opt.Resume.Paths = []string{test.opt.Path}
			}
			sink := newLineSink()
			f := follow(t, sink, test.opt)
			if isClosed(f.CaughtUp()) {
				t.Error("caught up before Run")
			}
			end := start(t, f)
			reach(t, "it has caught up", func() bool { return isClosed(f.CaughtUp()) })
			if want := []int{len(test.want)}; !slices.Equal(sink.toldAt(), want) {
				t.Errorf("told after %v lines, want %v", sink.toldAt(), want)
			}
			end()
			sink.check(t, true, test.want...)
			if n := len(sink.toldAt()); n != 1 {
				t.Errorf("told %d times, want once", n)
			}
		})
	}
}

// A file that may not be opened doesn't keep it waiting, and what can be read is read.
func TestFileCaughtUpWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		runUnprivileged(t)
		return
	}
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Hour}}
	create(t, opt.Path).write("a\n")
	sink := newLineSink()
	state := stopped(t, sink, opt)
	create(t, opt.Path).write("b\n")
	must(t, os.Rename(opt.Path, opt.Path+".1"))
	w := createMode(t, opt.Path, 0)
	w.write("c\n")
	f := resume(t, sink, opt, state)
	end := start(t, f)
	reach(t, "it has caught up", func() bool { return isClosed(f.CaughtUp()) })
	sink.check(t, true, "a", "b")
	if s := f.Status(); !errors.Is(s.Err, fs.ErrPermission) {
		t.Errorf("status %+v, want permission denied", s)
	}
	reach(t, "it is behind", func() bool { return f.Status().LagTime > 0 })
	end()
	state = stop(t, sink, f)
	must(t, w.f.Chmod(0o600))
	f = resume(t, sink, opt, state)
	poll(t, f)
	sink.check(t, true, "a", "b", "c")
	if s := f.Status(); s.LagTime != 0 || s.Gaps != [NumGaps]uint64{} {
		t.Errorf("status %+v, want no lag and no gap", s)
	}
}

// A known file that may not be opened at the start is not gone: a copy of it isn't read in its place.
func TestFileResumeWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		runUnprivileged(t)
		return
	}
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	w := create(t, opt.Path)
	w.write(text(lines(0, 10)))
	sink := newLineSink()
	state := stopped(t, sink, opt)
	w.write(text(lines(10, 20)))
	copyFile(t, opt.Path, opt.Path+".bak")
	must(t, w.f.Chmod(0))
	f := resume(t, sink, opt, state)
	poll(t, f)
	sink.check(t, true, lines(0, 10)...)
	must(t, w.f.Chmod(0o600))
	for range maxAbsent + 1 {
		poll(t, f)
	}
	sink.check(t, true, lines(0, 20)...)
	if s := f.Status(); s.Gaps != [NumGaps]uint64{} || s.Generations != 1 {
		t.Errorf("status %+v, want one generation and no gap", s)
	}
}

// An older generation that grows faster than it can be read keeps neither CaughtUp waiting nor the generation that follows.
func TestFileCaughtUpWithEndlessGrowth(t *testing.T) {
	t.Parallel()
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Hour, pollOnly: true}}
	create(t, opt.Path).write("x\n")
	must(t, os.Rename(opt.Path, opt.Path+".1"))
	waitForTick(t, opt.Path)
	create(t, opt.Path).write("new\n")
	var old atomic.Int64
	opt.pread = func(fd int, p []byte, off int64) (int, error) {
		if int64(fd) != old.Load() {
			return unix.Pread(fd, p, off)
		}
		for i := range p { // a file of "x\n" without end
			p[i] = "x\n"[(off+int64(i))%2]
		}
		return len(p), nil
	}
	dir, err := statPath(filepath.Dir(opt.Path), true)
	must(t, err)
	opt.Resume = &Catalogue{Targets: []TargetRecord{{Path: opt.Path, Dir: dir.id, Base: "log"}}}
	var counted atomic.Int64
	f := follow(t, &receivertest.Sink{On: func(_ *receiver.Source, s *receiver.Slab) {
		if string(slices.Concat(s.Messages...)) == "new" {
			counted.Add(1)
		}
	}}, opt)
	if len(f.generations) != 2 {
		t.Fatalf("%d generations, want 2", len(f.generations))
	}
	old.Store(int64(f.generations[0].fd))
	start(t, f)
	reach(t, "it has caught up", func() bool { return isClosed(f.CaughtUp()) })
	reach(t, "the new file's line", func() bool { return counted.Load() == 1 })
	if s := f.Status(); s.LagTime == 0 {
		t.Errorf("status %+v, want a lag", s)
	}
}

// How long a file has been behind, by a clock that stands: all is read, then an hour later there is more, then that is read, then it can't.
func TestFileLagTime(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{pollOnly: true, FromBeginning: true}}
	var now time.Duration
	opt.clock = func() int64 { return int64(now) }
	var broken atomic.Bool
	opt.pread = func(fd int, p []byte, off int64) (int, error) {
		if broken.Load() {
			return -1, unix.EIO
		}
		return unix.Pread(fd, p, off)
	}
	w := create(t, opt.Path)
	w.write("a\nhalf")
	f := follow(t, newLineSink(), opt)
	want := func(what string, behind time.Duration) {
		t.Helper()
		if got := f.Status().LagTime; got != behind {
			t.Errorf("%s: behind for %v, want %v", what, got, behind)
		}
	}
	now += time.Hour
	want("not read yet", time.Hour)
	poll(t, f)
	want("read to the half line", 0)
	now += time.Hour
	want("nothing new", 0)
	w.write(" and more\n")
	f.look()
	want("seen to have grown", time.Hour)
	poll(t, f)
	want("read", 0)
	broken.Store(true)
	if err := f.generations[0].drain(); !errors.Is(err, unix.EIO) {
		t.Fatalf("drain returned %v, want EIO", err)
	}
	now += 2 * time.Hour
	want("not to be read", 2*time.Hour)
	broken.Store(false)
	poll(t, f)
	want("read again", 0)
}

// A file that is gone and starts as the one that is being read has doesn't move the place where that is read.
func TestResumeLeavesWhatIsReadWhereItIs(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	appendTo(t, opt.Path, lines(0, 100)...)
	sink := newLineSink()
	state := stopped(t, sink, opt)
	state.Known = append(state.Known, FileRecord{Pos: gone(1, lines(0, 50)), Target: opt.Path, Verdict: Reading, Size: -1})
	f := resume(t, sink, opt, state)
	for range maxAbsent + 1 {
		poll(t, f)
	}
	appendTo(t, opt.Path, lines(100, 110)...)
	poll(t, f)
	sink.check(t, true, lines(0, 110)...)
	if g := f.current; len(f.generations) != 1 || g == nil || g.pos.Offset != int64(len(text(lines(0, 110)))) {
		t.Errorf("%d generations, the one with the name is %+v", len(f.generations), g)
	}
}

// A symbolic link that was switched while we were down: what it led to is read on to its end, also if it was rotated there and over another
// restart, and what it leads to now from its first line.
func TestResumeSymlinkSwitched(t *testing.T) {
	for name, between := range map[string]func(dir string){
		"at once": func(string) {},
		"rotated": func(dir string) { must(t, os.Rename(filepath.Join(dir, "day1"), filepath.Join(dir, "day1.1"))) },
		"elsewhere": func(dir string) {
			must(t, os.Mkdir(filepath.Join(dir, "new"), 0o755))
			must(t, os.Rename(filepath.Join(dir, "day2"), filepath.Join(dir, "new", "day2")))
			must(t, os.Remove(filepath.Join(dir, "log")))
			must(t, os.Symlink(filepath.Join(dir, "new", "day2"), filepath.Join(dir, "log")))
		},
		"dangling": func(dir string) {
			must(t, os.Remove(filepath.Join(dir, "log")))
			must(t, os.Symlink(filepath.Join(dir, "day2"), filepath.Join(dir, "log")))
			must(t, os.Rename(filepath.Join(dir, "day2"), filepath.Join(dir, "day3")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			opt := Options{Path: filepath.Join(dir, "log")}
			first := create(t, filepath.Join(dir, "day1"))
			must(t, os.Symlink(filepath.Join(dir, "day1"), opt.Path))
			sink := newLineSink()
			first.write("a\n")
			state := stopped(t, sink, opt)
			first.write("b\n")
			second := create(t, filepath.Join(dir, "day2"))
			second.write("c\n")
			must(t, os.Remove(opt.Path))
			must(t, os.Symlink(filepath.Join(dir, "day2"), opt.Path))
			between(dir)
			for i := range 3 { // the second and third time neither is where the link leads to, or both were known
				f := resume(t, sink, opt, state)
				if name == "dangling" && i == 0 {
					poll(t, f)
					must(t, os.Rename(filepath.Join(dir, "day3"), filepath.Join(dir, "day2")))
				}
				first.write("old\n")
				state = stop(t, sink, f)
				first.write("old\n")
				second.write("new\n")
				if s := f.Status(); s.Gaps != [NumGaps]uint64{} {
					t.Errorf("restart %d: gaps %v", i+1, s.Gaps)
				}
			}
			stop(t, sink, resume(t, sink, opt, state))
			sink.check(t, false, "a", "b", "c", "old", "old", "old", "old", "old", "old", "new", "new", "new")
		})
	}
}

// Files that were rotated away from beside the followed one (logrotate's olddir) or by a name that no rotation is known by (its extension)
// are read on after a restart. That they were is a gap only where it happened while we were down: then others may have been, unseen.
func TestResumeRotatedElsewhere(t *testing.T) {
	for _, c := range []struct {
		to, later string // names in the directory
		down      bool   // rotated while we were down
		found     bool
		gap       uint64
	}{
		{to: "old/log.1", found: true},
		{to: "old/log.1", later: "old/log.2", found: true},
		{to: "old/log-20261123", found: true},
		{to: "log-20261123.txt", found: true},
		{to: "20261123.log", found: true},
		{to: "20261123.log", later: "20261123.old", found: true, gap: 1},
		{to: "20261123.log", down: true, found: true, gap: 1},
		{to: "log.1", down: true, found: true},
		{to: "old/log.1", down: true, gap: 1}, // nobody knows where to look
	} {
		t.Run(fmt.Sprint(c.to, c.later, c.down), func(t *testing.T) {
			if runtime.GOOS != "linux" && !c.down {
				t.Skip("the system doesn't tell where an open file is")
			}
			dir := t.TempDir()
			must(t, os.Mkdir(filepath.Join(dir, "old"), 0o755))
			opt := Options{Path: filepath.Join(dir, "log")}
			w := create(t, opt.Path)
			w.write("a\n")
			sink := newLineSink()
			rotate := func() {
				must(t, os.Rename(opt.Path, filepath.Join(dir, c.to)))
				create(t, opt.Path).write("b\n")
			}
			first := opt
			first.pollOnly, first.FromBeginning = true, true
			f := follow(t, sink, first)
			poll(t, f)
			if !c.down {
				rotate()
			}
			state := stop(t, sink, f)
			if c.down {
				rotate()
			}
			w.write("c\n")
			if c.later != "" {
				must(t, os.Rename(filepath.Join(dir, c.to), filepath.Join(dir, c.later)))
			}
			want := []string{"a", "b"}
			if c.found {
				want = append(want, "c", "d")
			}
			f = resume(t, sink, opt, state)
			for range maxAbsent {
				poll(t, f)
			}
			w.write("d\n")
			stop(t, sink, f)
			sink.check(t, false, want...)
			if s := f.Status(); s.Gaps[GapUnread] != c.gap {
				t.Errorf("%d gaps, want %d", s.Gaps[GapUnread], c.gap)
			}
		})
	}
}

// gone is the position behind the lines of a file that isn't there.
func gone(inode int, lines []string) receiver.FilePosition {
	p := receiver.FilePosition{ID: receiver.FileID{Device: 1, Inode: uint64(inode)}}
	newMarks().advance(&p, []byte(text(lines)))
	return p
}

// withoutFile is the state of a path at which there is nothing any more, with the files that were followed there.
func withoutFile(t *testing.T, opt Options, positions ...receiver.FilePosition) *Catalogue {
	t.Helper()
	dir, err := statPath(filepath.Dir(opt.Path), true)
	must(t, err)
	s := &Catalogue{Targets: []TargetRecord{{Path: opt.Path, Dir: dir.id, Base: filepath.Base(opt.Path)}}}
	for _, p := range positions {
		s.Known = append(s.Known, FileRecord{Pos: p, Target: opt.Path, Verdict: Reading, Size: -1})
	}
	return s
}

// Two files that are gone and started alike, one a copy of the other, are read on in one copy, once, from the furthest position.
func TestResumeTwoInOneCopy(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	appendTo(t, opt.Path+".1", lines(0, 100)...)
	sink := newLineSink()
	f := resume(t, sink, opt, withoutFile(t, opt, gone(1, lines(0, 50)), gone(2, lines(0, 80))))
	for range maxAbsent + 1 {
		poll(t, f)
	}
	sink.check(t, true, lines(80, 100)...)
	if s := f.Catalogue(sink.counted()).with(Reading); len(s) != 1 || len(f.generations) != 1 || f.Status().Gaps != [NumGaps]uint64{} {
		t.Errorf("%+v are read or looked for, gaps %v", s, f.Status().Gaps)
	}
}

// A copy that was read in the place of a file, and let go after the Sink's state was copied and before the file's is, is read again after a
// crash: nothing of it is counted. So is a compressed one. Nobody would look at such a file otherwise, since nobody logs to it.
func TestResumeLetGoMeanwhile(t *testing.T) {
	for _, packed := range []bool{false, true} {
		dir := t.TempDir()
		opt := Options{Path: filepath.Join(dir, "log")}
		appendTo(t, opt.Path, lines(0, 10)...)
		sink := newLineSink()
		state := stopped(t, sink, opt)
		appendTo(t, opt.Path, lines(10, 20)...)
		if packed {
			must(t, os.WriteFile(opt.Path+".1.gz", gzipped(t, text(lines(0, 20))), 0o644))
			must(t, os.Remove(opt.Path))
		} else {
			copyFile(t, opt.Path, opt.Path+".1")
			must(t, os.Truncate(opt.Path, 0))
		}
		f := resume(t, newLineSink(), opt, state)
		if packed {
			start(t, f)
			reach(t, "the compressed file to be let go", func() bool { return isClosed(f.CaughtUp()) && f.Status().Generations == 0 })
		} else {
			poll(t, f)
			g := f.held(statOf(t, opt.Path+".1").id)
			g.started = true
			g.grew.Store(f.clock() - int64(silentLimit))
			f.look()
			g.finish()
			close(g.done)
			f.look()
		}
		again := f.Catalogue(nil)
		f = resume(t, sink, opt, again)
		end := start(t, f)
		reach(t, "all that was there to be read", func() bool { return isClosed(f.CaughtUp()) })
		end()
		sink.check(t, true, lines(0, 20)...)
	}
}

func statOf(t *testing.T, path string) fileInfo {
	t.Helper()
	info, err := statPath(path, true)
	must(t, err)
	return info
}

// A copy of a copy that has taken the place of a file that is gone is no continuation of that file: its lines count in the first copy,
// which is held and still to be read.
func TestResumeCopyOfACopy(t *testing.T) {
	dir := t.TempDir()
	opt := Options{Path: filepath.Join(dir, "log")}
	replace := func() writer {
		copyFile(t, opt.Path, opt.Path+"~")
		must(t, os.Rename(opt.Path+"~", opt.Path))
		return create(t, opt.Path)
	}
	appendTo(t, opt.Path, lines(0, 20)...)
	sink := newLineSink()
	first := opt
	first.pollOnly, first.FromBeginning = true, true
	f := follow(t, sink, first)
	poll(t, f)
	w := replace()
	state := stop(t, sink, f)
	w.write(text(lines(20, 30)))
	f = resume(t, sink, opt, state)
	for range maxAbsent - 2 {
		f.look()
	}
	w = replace()
	w.write(text(lines(30, 40)))
	f.look() // at this one the first file is missed for good
	stop(t, sink, f)
	sink.check(t, false, lines(0, 40)...)
}

// The Catalogue says that a file is looked for which is gone, until it has the one that is read in its place: never both or neither.
func TestResumeStateHasOneOrTheOther(t *testing.T) {
	const n = 80
	opt := Options{Path: filepath.Join(t.TempDir(), "log")}
	sink := newLineSink()
	var all []receiver.FilePosition
	for i := range n {
		all = append(all, gone(i, lines(100*i, 100*i+50)))
	}
	f := resume(t, sink, opt, withoutFile(t, opt, all...))
	copies := map[receiver.FileID]bool{}
	for i := range n {
		path := numbered(opt.Path, i+1)
		appendTo(t, path, lines(100*i, 100*i+60)...)
		copies[statOf(t, path).id] = true
	}
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for !isClosed(over) {
			if owed := f.Catalogue(nil).with(Reading); len(owed) != n {
				t.Errorf("%d files are looked for or read, want %d", len(owed), n)
				return
			}
		}
	}()
	f.look()
	close(over)
	<-done
	owed := f.Catalogue(nil).with(Reading)
	for _, r := range owed {
		if !copies[r.Pos.ID] {
			t.Errorf("%+v isn't the position of a copy", r)
		}
	}
	poll(t, f)
	if len(owed) != n || sink.count() != 10*n {
		t.Errorf("%d copies are read, %d lines are counted; want %d and %d", len(owed), sink.count(), n, 10*n)
	}
}

// Between the two copies of a save, what is counted and then what the File knows, anything may happen to the log. What
// has come since the first copy counts once after a kill: it is also in the copy that was made of a log before it was
// cut.
func TestASaveWhileTheLogMoves(t *testing.T) {
	cut := func(t *testing.T, path string) {
		waitForTick(t, path)
		copyFile(t, path, path+".1")
		must(t, os.Truncate(path, 0))
	}
	rotate := func(t *testing.T, path string) {
		waitForTick(t, path)
		must(t, os.Rename(path, path+".1"))
		create(t, path)
	}
	for name, move := range map[string]func(*testing.T, string){"cut": cut, "rotated": rotate} {
		for unread := range 2 {
			t.Run(fmt.Sprint(name, unread), func(t *testing.T) {
				opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{pollOnly: true, FromBeginning: true}}
				write := func(n, m int) {
					create(t, opt.Path).write(text(lines(n, m)))
				}
				write(0, 10)
				sink := newLineSink()
				f := follow(t, sink, opt)
				poll(t, f)
				counted := sink.counted()
				write(10, 15)
				if unread == 0 {
					poll(t, f)
				}
				move(t, opt.Path)
				write(20, 25)
				poll(t, f)
				poll(t, f)
				state := f.Catalogue(counted)
				must(t, f.Close())
				must(t, os.Rename(opt.Path, opt.Path+".2"))
				write(30, 32)
				again := newLineSink()
				f = resume(t, again, opt, state)
				for range 3 {
					poll(t, f)
				}
				again.check(t, false, slices.Concat(lines(10, 15), lines(20, 25), lines(30, 32))...)
			})
		}
	}
}

// A copy that waits and then holds other lines was cut and written anew: it isn't read on from where it ended before.
func TestFileCopyThatIsCutAndGrows(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
	appendTo(t, a, lines(0, 100)...)
	appendTo(t, b, lines(0, 100)...)
	opt := setOptions(a, b)
	opt.FromBeginning = true
	sink := newSetSink()
	s := followSet(t, sink, opt)
	if st := s.targetAt(b).status(); !errors.Is(st.Err, ErrCopy) {
		t.Fatalf("the copy: %+v", st)
	}
	must(t, os.Truncate(b, 0))
	appendTo(t, b, lines(1000, 1200)...)
	runSet(t, s)
	sink.reach(t, 300)
	sink.check(t, append(lines(0, 100), lines(1000, 1200)...)...)
}
