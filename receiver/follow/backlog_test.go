package follow

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// checkBacklog compares, in the order in which lines have come, which were backlog, and after how many lines the sink
// was told that the file has caught up: once, and once more for each generation that came later.
func (s *lineSink) checkBacklog(t *testing.T, told int, want ...string) {
	t.Helper()
	s.checkTold(t, []int{told}, want...)
}

func (s *lineSink) checkTold(t *testing.T, told []int, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var backlog []string
	for i, is := range s.backlog {
		if is {
			backlog = append(backlog, s.lines[i])
		}
	}
	if !slices.Equal(backlog, want) {
		first := clip(backlog[:min(3, len(backlog))])
		t.Errorf("%d of %d lines are backlog, want %d; they begin with %q", len(backlog), len(s.lines), len(want), first)
	}
	if !slices.Equal(s.told, told) {
		t.Errorf("told that the file has caught up after %v lines, want after %v", s.told, told)
	}
}

func reachCaughtUp(t *testing.T, f *File) {
	t.Helper()
	reach(t, "it has caught up", func() bool { return isClosed(f.CaughtUp()) })
}

// What stood in the file is backlog, several slabs of it; what is written then isn't.
func TestBacklogFromTheBeginning(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		const n = 3*syslog.SlabLines + 5
		w := create(t, opt.Path)
		w.write(text(lines(0, n)))
		opt.FromBeginning = true
		sink := newLineSink()
		f := follow(t, sink, opt)
		stop := start(t, f)
		reachCaughtUp(t, f)
		sink.checkBacklog(t, n, lines(0, n)...)
		w.write(line(n)+"\n", line(n+1)+"\n")
		reachCount(t, sink, n+2)
		stop()
		sink.check(t, true, lines(0, n+2)...)
		sink.checkBacklog(t, n, lines(0, n)...)
	})
}

// A slab that ends where the file ended when it was opened is the last one of the backlog, though the same read
// fetched more.
func TestBacklogEndsWithinARead(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Minute, FromBeginning: true}}
	w := create(t, opt.Path)
	w.write(strings.Repeat("a\n", 2*syslog.SlabLines))
	sink := newLineSink()
	f := follow(t, sink, opt)
	w.write(strings.Repeat("b\n", 2*syslog.SlabLines))
	stop := start(t, f)
	reachCount(t, sink, 4*syslog.SlabLines)
	stop()
	sink.checkBacklog(t, 4*syslog.SlabLines, slices.Repeat([]string{"a"}, 2*syslog.SlabLines)...) // told once the read was delivered
}

// A line whose end is written while the reader runs is no backlog, whether reading began at the start or at the end
// of the file.
func TestBacklogHalfALine(t *testing.T) {
	for name, test := range map[string]struct {
		beginning, early bool
		before           []string
	}{
		"from the beginning":           {true, false, []string{"a"}},
		"from the end":                 {false, false, nil},
		"from the end, before it runs": {false, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Minute, FromBeginning: test.beginning}}
			w := create(t, opt.Path)
			w.write("a\nhal")
			sink := newLineSink()
			f := follow(t, sink, opt)
			if test.early {
				w.write("f\n")
			}
			start(t, f)
			reachCaughtUp(t, f)
			if !test.early {
				w.write("f\n")
			}
			w.write("b\n")
			reachCount(t, sink, len(test.before)+2)
			sink.check(t, true, append(test.before, "half", "b")...)
			sink.checkBacklog(t, len(test.before), test.before...)
		})
	}
}

// Without a file the sink is told at once. One that comes later brings what is in it when it is opened, and then
// lives.
func TestBacklogOfALateFile(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		sink := newLineSink()
		f := follow(t, sink, opt)
		start(t, f)
		reachCaughtUp(t, f)
		sink.checkBacklog(t, 0)
		w := create(t, opt.Path+"~") // no name that a rotation gives
		w.write(text(lines(0, 10)))
		must(t, os.Rename(opt.Path+"~", opt.Path))
		reachCount(t, sink, 10)
		reach(t, "its end", func() bool { return f.Status().LagTime == 0 && len(sink.toldAt()) == 2 })
		w.write(line(10) + "\n")
		reachCount(t, sink, 11)
		sink.check(t, true, lines(0, 11)...)
		sink.checkTold(t, []int{0, 10}, lines(0, 10)...)
	})
}

// After a restart all that was written meanwhile is backlog, in each generation, and the sink is told behind the last
// one; what is written to any of them then isn't. After a rotation it is told again, of what the new file began with.
func TestBacklogAfterARestart(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: 2 * time.Millisecond}}
	old := create(t, opt.Path)
	old.write(text(lines(0, 10)))
	sink := newLineSink()
	state := stopped(t, sink, opt)
	sink.backlog, sink.lines, sink.from, sink.told = nil, nil, nil, nil
	old.write(text(lines(10, 20)))
	must(t, os.Rename(opt.Path, opt.Path+".2"))
	waitForTick(t, opt.Path)
	create(t, opt.Path).write(text(lines(20, 30)))
	must(t, os.Rename(opt.Path, opt.Path+".1"))
	waitForTick(t, opt.Path)
	w := create(t, opt.Path)
	w.write(text(lines(30, 40)))
	f := resume(t, sink, opt, state)
	stop := start(t, f)
	reachCaughtUp(t, f)
	sink.check(t, true, lines(10, 40)...)
	sink.checkBacklog(t, 30, lines(10, 40)...)
	reach(t, "its end", func() bool { return f.Status().LagTime == 0 })
	old.write(line(40) + "\n")
	reachCount(t, sink, 31)
	w.write(line(41) + "\n")
	reachCount(t, sink, 32)
	sink.checkBacklog(t, 30, lines(10, 40)...)
	must(t, os.Rename(opt.Path, opt.Path+".0"))
	create(t, opt.Path+"~").write("x\n") // a file that is opened while it is empty has no backlog
	must(t, os.Rename(opt.Path+"~", opt.Path))
	reachCount(t, sink, 33)
	stop()
	if told := sink.toldAt(); !slices.Equal(told, []int{30, 33}) {
		t.Errorf("told after %v lines, want after 30 and 33", told)
	}
}

// A compressed file is backlog to its end, and waited for. A program that is told to end while it reads one hasn't
// caught up, and tells nobody so; the next one does.
func TestBacklogCompressed(t *testing.T) {
	const n = 40_000
	r := newRestartable(t)
	sink := newLineSink()
	appendTo(t, r.opt.Path, lines(0, 100)...)
	r.opt.Resume = stopped(t, sink, r.opt)
	sink.backlog, sink.lines, sink.from, sink.told = nil, nil, nil, nil
	appendTo(t, r.opt.Path, lines(100, n)...)
	must(t, os.Rename(r.opt.Path, r.opt.Path+".1"))
	r.compress(r.opt.Path+".1", packedCases[0])
	appendTo(t, r.opt.Path, lines(n, n+10)...)

	ctx, cancel := context.WithCancel(t.Context())
	var f *File
	f = follow(t, &receivertest.Sink{On: func(src *receiver.Source, s *receiver.Slab) {
		sink.Deliver(src, s)
		cancel()
		<-f.ending
	}}, r.opt)
	must(t, f.Run(ctx))
	if got := sink.count(); isClosed(f.CaughtUp()) || len(sink.toldAt()) > 0 || got == 0 || got >= n {
		t.Errorf("told %v, caught up %v after %d lines", sink.toldAt(), isClosed(f.CaughtUp()), got)
	}

	state := f.Catalogue(sink.counted())
	f = resume(t, sink, r.opt, state)
	stop := start(t, f)
	reachCaughtUp(t, f)
	sink.checkBacklog(t, n-100+10, sink.all()...)
	appendTo(t, r.opt.Path, line(n+10))
	reachCount(t, sink, n-100+11)
	stop()
	sink.check(t, false, lines(100, n+11)...)
	sink.checkBacklog(t, n-100+10, sink.all()[:n-100+10]...)
}

// What can't be read at the start isn't waited for, and is backlog when it can.
func TestBacklogOfAFailingDisk(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Minute, FromBeginning: true}}
	var works atomic.Bool
	opt.pread = func(fd int, p []byte, off int64) (int, error) {
		if !works.Load() {
			return -1, unix.EIO
		}
		return unix.Pread(fd, p, off)
	}
	w := create(t, opt.Path)
	w.write(text(lines(0, 10)))
	sink := newLineSink()
	f := follow(t, sink, opt)
	start(t, f)
	reachCaughtUp(t, f)
	sink.checkBacklog(t, 0)
	works.Store(true)
	reachCount(t, sink, 10)
	reach(t, "its end", func() bool { return f.Status().LagTime == 0 })
	w.write(line(10) + "\n")
	reachCount(t, sink, 11)
	sink.checkBacklog(t, 0, lines(0, 10)...)
}

// What a file holds that was cut while it was being read is new, and the sink is told behind it.
func TestBacklogCutMeanwhile(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Minute, FromBeginning: true}}
	w := create(t, opt.Path)
	w.write(text(lines(0, 20*syslog.SlabLines)))
	sink := newLineSink()
	cut := 0
	f := follow(t, &receivertest.Sink{On: func(src *receiver.Source, s *receiver.Slab) {
		sink.Deliver(src, s)
		if cut == 0 {
			cut = sink.count()
			must(t, w.f.Truncate(0))
			w.write(text(lines(100_000, 100_010)))
		}
	}}, opt)
	stop := start(t, f)
	reachCaughtUp(t, f)
	stop()
	read := sink.count() - 10 // what the read had fetched before the cut
	if read < cut || read >= 20*syslog.SlabLines {
		t.Fatalf("%d lines from before the cut, %d in the slab before", read, cut)
	}
	sink.check(t, true, append(lines(0, read), lines(100_000, 100_010)...)...)
	sink.checkBacklog(t, read+10, lines(0, read)...)
}

// A set tells the sink of each of its files, also of one that a pattern finds later.
func TestBacklogOfAFileSet(t *testing.T) {
	dir := t.TempDir()
	p := func(name string) string { return filepath.Join(dir, name) }
	told := func(s *setSink, name string) []int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Clone(s.told[name])
	}
	appendTo(t, p("a.log"), "a1", "a2")
	opt := setOptions(p("*.log"), p("none"))
	opt.FromBeginning = true
	sink := newSetSink()
	s := followSet(t, sink, opt)
	stop := runSet(t, s)
	<-s.CaughtUp()
	if a, none := told(sink, "a.log"), told(sink, "none"); !slices.Equal(a, []int{2}) || !slices.Equal(none, []int{0}) {
		t.Errorf("told of a.log after %v lines, of none after %v; want once, after 2 and 0", a, none)
	}
	appendTo(t, p("b"), "b1", "b2", "b3")
	must(t, os.Rename(p("b"), p("b.log")))
	reach(t, "it is told of b.log", func() bool { return len(told(sink, "b.log")) > 0 })
	appendTo(t, p("a.log"), "a3")
	sink.reach(t, 6)
	stop()
	for name, want := range map[string][]int{"a.log": {2}, "b.log": {3}, "none": {0}} {
		if got := told(sink, name); !slices.Equal(got, want) {
			t.Errorf("told of %s after %v lines, want %v", name, got, want)
		}
	}
}
