package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rsyncd_exporter/receiver"
)

// Rename and create under load: the old writer keeps writing to the renamed file while the new one fills.
func TestFileRenameWithOldWriterAlive(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		sink := newLineSink()
		f := follow(t, sink, opt)
		start(t, f)
		const rotations, each = 20, 500
		writers := []writer{create(t, opt.Path)}
		n := 0
		for r := range rotations {
			for range each {
				writers[n%len(writers)].write(line(n) + "\n")
				n++
			}
			must(t, os.Rename(opt.Path, fmt.Sprintf("%s.%d", opt.Path, r)))
			writers = append(writers, create(t, opt.Path))
		}
		for _, w := range writers {
			w.write(line(n) + "\n")
			n++
		}
		reachCount(t, sink, n)
		sink.check(t, false, lines(0, n)...)
		// What came and went between two looks has been found beside the file, so each of the rotations is known.
		if s := f.Status(); s.Rotations != rotations || s.Generations != rotations+1 || s.Gaps != [NumGaps]uint64{} || s.Err != nil {
			t.Errorf("status %+v, want %d rotations", s, rotations)
		}
	})
}

// A new file may come long after the old one was renamed, and the old one may be deleted while it is written to.
func TestFileRenameDelayedCreateAndDelete(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		sink := newLineSink()
		f := follow(t, sink, opt)
		start(t, f)
		old := create(t, opt.Path)
		old.write("a\n")
		must(t, os.Rename(opt.Path, opt.Path+".1"))
		reach(t, "an error that it doesn't exist", func() bool { return errors.Is(f.Status().Err, fs.ErrNotExist) })
		old.write("b\n")
		reachCount(t, sink, 2)
		must(t, os.Remove(opt.Path+".1"))
		old.write("c\n")
		reachCount(t, sink, 3)
		now := create(t, opt.Path)
		now.write("d\n")
		reachCount(t, sink, 4)
		old.write("e\n")
		now.write("f\n")
		reachCount(t, sink, 6)
		sink.check(t, false, "a", "b", "c", "d", "e", "f")
	})
}

// Old files move on, .1 to .2 to .3: no name matters to a file that is held.
func TestFileRenameChain(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		sink := newLineSink()
		f := follow(t, sink, opt)
		start(t, f)
		n := 0
		writers := []writer{create(t, opt.Path)}
		for range 10 {
			for _, w := range writers {
				w.write(line(n) + "\n")
				n++
			}
			for i := len(writers) - 1; i >= 0; i-- {
				must(t, os.Rename(numbered(opt.Path, i), numbered(opt.Path, i+1)))
			}
			writers = append(writers, create(t, opt.Path))
		}
		reachCount(t, sink, n)
		sink.check(t, false, lines(0, n)...)
		reach(t, "11 generations, the empty one too", func() bool { s := f.Status(); return s.Generations == 11 && s.Rotations == 10 })
	})
}

func numbered(path string, i int) string {
	if i == 0 {
		return path
	}
	return fmt.Sprintf("%s.%d", path, i)
}

// ext4 gives a new file the inode of the one just deleted. We hold the deleted one, so it can't be the same here; what this shows is
// that a deleted file is read to its end and the new one from its beginning.
func TestFileDeleteAndRecreate(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		sink := newLineSink()
		f := follow(t, sink, opt)
		start(t, f)
		n := 0
		for r := range 20 {
			w := create(t, opt.Path)
			w.write(line(n)+"\n", line(n+1)+"\n")
			n += 2
			reach(t, "the file is held", func() bool { return f.Status().Generations == r+1 })
			must(t, os.Remove(opt.Path))
			w.write(line(n) + "\n")
			n++
		}
		reachCount(t, sink, n)
		sink.check(t, false, lines(0, n)...)
	})
}

// An inode that is used again, after the file that had it was let go, is another file: it was born at another time. Where that isn't
// known its bytes tell.
func TestFileInodeReused(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Minute, pollOnly: true}}
	for birth, want := range map[bool][NumGaps]uint64{true: {}, false: {GapTruncated: 1}} {
		os.Remove(opt.Path)
		sink := newLineSink()
		f := follow(t, sink, opt)
		w := create(t, opt.Path)
		w.write("a\nb\n")
		f.look()
		must(t, f.generations[0].drain())
		f.Close()
		// The same inode with other bytes is what a file looks like that has got the inode of the last one.
		must(t, w.f.Truncate(0))
		w.write("other, longer than before\nlines\n")
		if birth {
			old := f.Set.known.of(f.path)[0]
			f.Set.known.forget(old.id())
			old.Pos.ID.Birth--
			old.begin.ID.Birth--
			f.Set.known.put(old)
		}
		f.look()
		must(t, f.generations[0].drain())
		sink.check(t, true, "a", "b", "other, longer than before", "lines")
		if s := f.Status(); s.Gaps != want {
			t.Errorf("birth known %v: gaps %v, want %v", birth, s.Gaps, want)
		}
		f.Close()
	}
}

// Three rotations between two looks: the two generations in between are found by what they are, read from 0, in order, each after the
// one before, so that a pid that is used again is seen in the right order.
func TestFileThreeRotationsBetweenLooks(t *testing.T) {
	for _, style := range []string{"%s.%d", "%s-2026112%d", "chain"} {
		t.Run(style, func(t *testing.T) {
			opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Minute, FromBeginning: true}}
			name := func(i int) string { return fmt.Sprintf(style, opt.Path, i) }
			create(t, opt.Path).write(text(lines(0, 10)))
			create(t, opt.Path+".7").write("old, from before the start\n")
			sink := newLineSink()
			f := follow(t, sink, opt)
			for r := 1; r < 4; r++ {
				if style == "chain" {
					for i := r - 1; i >= 0; i-- {
						must(t, os.Rename(numbered(opt.Path, i), numbered(opt.Path, i+1)))
					}
				} else {
					must(t, os.Rename(opt.Path, name(r)))
				}
				waitForTick(t, opt.Path)
				create(t, opt.Path).write(text(lines(r*1000, (r+1)*1000)))
			}
			writeFile(t, opt.Path+".5.gz", gzipped(t, text(lines(0, 10)))) // a copy of what is held
			create(t, opt.Path+"x").write("of another name\n")
			must(t, os.Symlink(opt.Path+"x", opt.Path+".link"))
			start(t, f)
			f.lookSoon()
			reachCount(t, sink, 3010)
			sink.check(t, true, append(lines(0, 10), lines(1000, 4000)...)...)
			if s := f.Status(); s.Rotations != 3 || s.Gaps != [NumGaps]uint64{} || s.Err != nil {
				t.Errorf("status %+v, want 3 rotations", s)
			}
		})
	}
}

// waitForTick waits until a new file would be born later than any other before.
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

// Copies hold what has been counted: one made by an administrator, and one made by copytruncate just before.
func TestFileCopiesAreNotRead(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Minute, FromBeginning: true}}
	sink := newLineSink()
	w := create(t, opt.Path)
	w.write(text(lines(0, 50)))
	copyFile(t, opt.Path, opt.Path+".before")
	f := follow(t, sink, opt)
	must(t, f.generations[0].drain())
	copyFile(t, opt.Path, opt.Path+".early") // is seen by a look at which nothing else has happened
	f.look()
	w.write(text(lines(50, 100)))
	must(t, f.generations[0].drain())
	copyFile(t, opt.Path, opt.Path+".1")
	must(t, w.f.Truncate(0))
	w.write(text(lines(100, 120)))
	must(t, f.generations[0].drain())
	must(t, f.generations[0].drain())
	copyFile(t, opt.Path, opt.Path+"-copy")
	must(t, os.Rename(opt.Path, opt.Path+".2"))
	create(t, opt.Path).write(text(lines(120, 130)))
	stop := start(t, f)
	f.lookSoon()
	reachCount(t, sink, 130)
	stop()
	sink.check(t, true, lines(0, 130)...)
	if s := f.Status(); s.Gaps != [NumGaps]uint64{GapTruncated: 1} || s.Rotations != 1 {
		t.Errorf("status %+v, want one cut and one rotation", s)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o644))
}

// A directory that is renamed takes the old writers along; the one in its place holds the new file.
func TestFileDirectoryReplaced(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		dir := filepath.Join(filepath.Dir(opt.Path), "d")
		opt.Path = filepath.Join(dir, "log")
		opt.Poll = min(opt.Poll, 20*time.Millisecond) // nothing watches the directory's parent
		must(t, os.Mkdir(dir, 0o755))
		old := create(t, opt.Path)
		sink := newLineSink()
		f := follow(t, sink, opt)
		start(t, f)
		old.write("a\n")
		must(t, os.Rename(dir, dir+".old"))
		old.write("b\n")
		must(t, os.Mkdir(dir+".new", 0o755))
		create(t, filepath.Join(dir+".new", "log.3")).write("old, brought back with the directory\n")
		must(t, os.Rename(dir+".new", dir))
		now := create(t, opt.Path)
		now.write("c\n")
		reachCount(t, sink, 3)
		must(t, os.Rename(opt.Path, opt.Path+".1")) // the new directory is looked at, and watched
		create(t, opt.Path).write("d\n")
		old.write("e\n")
		reachCount(t, sink, 5)
		sink.check(t, false, "a", "b", "c", "d", "e")
	})
}

// A symbolic link that is switched names another file; the old one is read on. A link that is switched back goes on where it was.
func TestFileSymlinkSwitched(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		dir := filepath.Dir(opt.Path)
		sink := newLineSink()
		writers := map[string]writer{}
		for _, name := range []string{"day1", "day2"} {
			must(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
			writers[name] = create(t, filepath.Join(dir, name, "log"))
		}
		point := func(name string) {
			must(t, os.Symlink(filepath.Join(dir, name, "log"), opt.Path+".tmp"))
			must(t, os.Rename(opt.Path+".tmp", opt.Path))
		}
		point("day1")
		f := follow(t, sink, opt)
		start(t, f)
		writers["day1"].write("a\n")
		reachCount(t, sink, 1)
		writers["day2"].write("b\n")
		point("day2")
		reachCount(t, sink, 2)
		writers["day1"].write("c\n")
		writers["day2"].write("d\n")
		reachCount(t, sink, 4)
		point("day1")
		writers["day1"].write("e\n")
		reachCount(t, sink, 5)
		// Where the link leads, files are rotated too.
		must(t, os.Rename(filepath.Join(dir, "day1", "log"), filepath.Join(dir, "day1", "log.1")))
		if !opt.pollOnly {
			reach(t, "the link dangles", func() bool { return errors.Is(f.Status().Err, fs.ErrNotExist) })
		}
		create(t, filepath.Join(dir, "day1", "log")).write("f\n")
		if !opt.pollOnly {
			f.lookSoon() // the directory of a dangling link is not watched
		}
		reachCount(t, sink, 6)
		sink.check(t, false, "a", "b", "c", "d", "e", "f")
	})
}

// A generation that nobody writes to any more is let go. Its last line, if it never ended, is counted as incomplete, once.
func TestFileLetGo(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		sink := newLineSink()
		f := follow(t, sink, opt)
		start(t, f)
		silence := func(g *generation, d time.Duration) { g.grew.Store(f.clock() - int64(d)) }
		held := func() []*generation {
			f.target.mu.Lock()
			defer f.target.mu.Unlock()
			return slices.Clone(f.generations)
		}
		old := create(t, opt.Path)
		old.write("a\nhalf")
		reachCount(t, sink, 1)
		silence(held()[0], 2*silentLimit) // it has the name: it stays
		must(t, os.Rename(opt.Path, opt.Path+".1"))
		deleted := create(t, opt.Path)
		deleted.write("b\n")
		reachCount(t, sink, 2)
		reach(t, "the silent one is let go", func() bool { f.lookSoon(); return len(held()) == 1 })
		if n := sink.discards(receiver.Incomplete); n != 1 {
			t.Errorf("%d incomplete, want 1", n)
		}
		silence(held()[0], silentLimit)
		must(t, os.Remove(opt.Path))
		reach(t, "the deleted one is let go", func() bool { f.lookSoon(); return len(held()) == 0 })

		// The first one grows after all. When it is met again, reading goes on where it was left.
		old.write(" and rest\nc\n")
		create(t, opt.Path).write("d\n")
		reachCount(t, sink, 4)
		sink.check(t, false, "a", "b", "c", "d")
		if s := f.Status(); s.Gaps != [NumGaps]uint64{} || s.Rotations != 2 {
			t.Errorf("status %+v, want no gap and 2 rotations", s)
		}
		if n := sink.discards(receiver.Incomplete); n != 1 {
			t.Errorf("%d incomplete, want 1", n)
		}
	})
}

// Who is let go: not the file that has the name; a silent one after a day; a deleted one after ten minutes, if it is big for its disk.
func TestFileLetGoRules(t *testing.T) {
	for _, test := range []struct {
		silent          time.Duration
		rename, deleted bool
		big             bool // of 8 TiB, sparse
		want            bool
	}{
		{silent: 2 * silentLimit, want: false},
		{silent: silentLimit - time.Minute, rename: true, want: false},
		{silent: silentLimit, rename: true, want: true},
		{silent: deletedLimit - time.Minute, deleted: true, big: true, want: false},
		{silent: deletedLimit, deleted: true, big: true, want: true},
		{silent: deletedLimit, rename: true, big: true, want: false},
		{silent: silentLimit - time.Minute, deleted: true, want: false},
		{silent: silentLimit, deleted: true, want: true},
	} {
		opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{pollOnly: true}}
		create(t, opt.Path).write("a\n")
		f := follow(t, newLineSink(), opt)
		g := f.generations[0]
		g.started = true
		if test.big {
			must(t, os.Truncate(opt.Path, 8<<40))
		}
		if test.rename {
			must(t, os.Rename(opt.Path, opt.Path+".1"))
		}
		if test.deleted {
			must(t, os.Remove(opt.Path))
		}
		g.grew.Store(f.clock() - int64(test.silent))
		f.look()
		if g.leaving != test.want {
			t.Errorf("%+v: let go %v", test, g.leaving)
		}
	}
}

// A directory that changes while it is listed may not show a file; it is not given up before it is missed three times.
func TestFileSiblingNotListed(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{pollOnly: true}}
	f := follow(t, newLineSink(), opt)
	id := receiver.FileID{Device: 1, Inode: 2, Birth: 3}
	f.Set.known.put(entry{FileRecord: FileRecord{Pos: receiver.FilePosition{ID: id}, Target: f.path, Verdict: Reading}})
	for i, want := range []uint64{0, 0, 1} {
		f.look()
		if n := f.Status().Gaps[GapUnread]; n != want {
			t.Errorf("missed %d times: %d gaps, want %d", i+1, n, want)
		}
	}
}

// A directory is read again only when its names have changed, or may have; what comes then is found as ever.
func TestFileDirectoryIsReadOnce(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{pollOnly: true, FromBeginning: true}}
	dir := filepath.Dir(opt.Path)
	w := create(t, opt.Path)
	w.write("a\n")
	create(t, opt.Path+".excerpt").write("beside\n")
	sink := newLineSink()
	f := follow(t, sink, opt)
	again := func() bool {
		before := f.names.read
		poll(t, f)
		return before != f.names.read
	}
	future := time.Now().Add(time.Hour) // as good as now, however long this takes
	must(t, os.Chtimes(dir, future, future))
	poll(t, f)
	if !again() {
		t.Error("a directory that has just changed is not read again")
	}
	past := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(dir, past, past))
	poll(t, f)
	for range 2 {
		if again() {
			t.Error("a directory that has not changed is read again")
		}
	}
	for i := range 3 { // rotated twice between two looks, then the old one's writer goes on
		must(t, os.Rename(opt.Path, numbered(opt.Path, 3-i)))
		waitForTick(t, numbered(opt.Path, 3-i))
		create(t, opt.Path).write(fmt.Sprintf("%d\n", i))
	}
	must(t, os.Chtimes(dir, past, past.Add(time.Second)))
	if !again() {
		t.Error("a directory whose names have changed is not read again")
	}
	w.write("b\n")
	poll(t, f)
	must(t, os.Chtimes(dir, past, past))
	poll(t, f)
	f.names.read = f.names.read.Add(-relist)
	if !again() {
		t.Error("a directory is not read again after a while")
	}
	sink.check(t, false, "a", "b", "0", "1", "2")
}

// There is an end to how many generations are held: those that have not grown for long are read to their ends and let go.
func TestFileTooManyGenerations(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: 50 * time.Millisecond}}
	opt.generations = 64 // each new file is compared with all that are held
	sink := newLineSink()
	f := follow(t, sink, opt)
	start(t, f)
	files := 3 * opt.generations
	for n := range files {
		create(t, opt.Path).write(line(n) + "\n")
		must(t, os.Rename(opt.Path, fmt.Sprintf("%s.%d", opt.Path, n)))
	}
	reachCount(t, sink, files)
	reach(t, "as many generations as allowed", func() bool { return f.Status().Generations == opt.generations })
	sink.check(t, false, lines(0, files)...)
}

// A copy of the followed file that takes its place, alone or with its directory (moved to another disk, brought back from a backup), goes
// on behind what it holds of it. What is logged to either from then on counts.
func TestFileReplacedByItsCopy(t *testing.T) {
	for name, test := range map[string]struct {
		original, copied []string // written before the copy is put there
		dir, gone        bool     // with its directory; long after the file is gone
	}{
		"both stay as they are": {},
		"the original grows":    {original: lines(20, 30)},
		"the copy grows":        {copied: lines(20, 30)},
		"with its directory":    {dir: true},
		"long after":            {copied: lines(20, 30), gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			opt := Options{Path: filepath.Join(dir, "d", "log"), SetOptions: SetOptions{pollOnly: true, FromBeginning: true}}
			must(t, os.Mkdir(dir+"/d", 0o755))
			must(t, os.Mkdir(dir+"/e", 0o755))
			w := create(t, opt.Path)
			w.write(text(lines(0, 20)))
			sink := newLineSink()
			f := follow(t, sink, opt)
			poll(t, f)
			copyFile(t, opt.Path, dir+"/e/log")
			w.write(text(test.original))
			copied := create(t, dir+"/e/log")
			copied.write(text(test.copied))
			if test.gone {
				must(t, os.Remove(opt.Path))
				g := f.generations[0]
				g.started = true
				g.grew.Store(f.clock() - int64(silentLimit))
				f.look()
				g.finish()
				close(g.done)
				f.look()
			}
			if test.dir {
				must(t, os.Rename(dir+"/d", dir+"/old"))
				must(t, os.Rename(dir+"/e", dir+"/d"))
			} else {
				must(t, os.Rename(dir+"/e/log", opt.Path))
			}
			poll(t, f)
			copied.write("new\n")
			want := append(append(append(lines(0, 20), test.original...), test.copied...), "new")
			if !test.gone {
				w.write("old\n")
				want = append(want, "old")
			}
			poll(t, f)
			sink.check(t, false, want...)
			if s := f.Status(); s.Rotations != 0 || s.Gaps != [NumGaps]uint64{} {
				t.Errorf("status %+v, want neither gaps nor rotations", s)
			}
			poll(t, resume(t, sink, opt, stop(t, sink, f)))
			sink.check(t, false, want...)
		})
	}
}
