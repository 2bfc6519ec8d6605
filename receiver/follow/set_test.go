package follow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// setSink keeps every line with its Source, and the positions as a pipeline would.
type setSink struct {
	mu        sync.Mutex
	lines     map[string][]string // by Source.Name
	scopes    map[string]uint32
	positions map[receiver.FileID]receiver.FilePosition
	discarded [receiver.NumDiscards]uint64
	told      map[string][]int // as lineSink's, by Source.Name
}

func newSetSink() *setSink {
	return &setSink{
		lines: map[string][]string{}, scopes: map[string]uint32{}, told: map[string][]int{},
		positions: map[receiver.FileID]receiver.FilePosition{},
	}
}

func (s *setSink) Deliver(src *receiver.Source, slab *receiver.Slab) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isCaughtUp(slab) {
		s.told[src.Name] = append(s.told[src.Name], len(s.lines[src.Name]))
		return
	}
	for _, m := range slab.Messages {
		s.lines[src.Name] = append(s.lines[src.Name], string(m))
	}
	for i, n := range slab.Discarded {
		s.discarded[i] += uint64(n)
	}
	s.scopes[src.Name] = src.Scope
	s.positions[slab.Position.ID] = *slab.Position
}

// counted returns the last position of each file.
func (s *setSink) counted() map[receiver.FileID]receiver.FilePosition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.positions)
}

// all returns all lines, sorted, whoever had them.
func (s *setSink) all() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		all = append(all, l...)
	}
	slices.Sort(all)
	return all
}

func (s *setSink) of(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines[name])
}

// check compares all lines with those wanted, in any order.
func (s *setSink) check(t *testing.T, want ...string) {
	t.Helper()
	got := s.all()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %d lines, want %d; got %q, want %q", len(got), len(want), clip(got[:min(9, len(got))]), clip(want[:min(9, len(want))]))
	}
}

func (s *setSink) reach(t *testing.T, n int) {
	t.Helper()
	reach(t, fmt.Sprintf("%d lines", n), func() bool { return len(s.all()) >= n })
}

func setOptions(paths ...string) SetOptions {
	return SetOptions{
		answer: nothingHangs,
		Paths:  paths, Poll: 2 * time.Millisecond, pollOnly: true, unsettled: true,
		Source: func(path string, scope uint32) receiver.Source {
			return receiver.Source{Input: "file", Name: filepath.Base(path), Scope: scope, Dialect: syslog.Lines{}}
		},
	}
}

func followSet(t *testing.T, sink receiver.Sink, opt SetOptions) *Set {
	t.Helper()
	s, err := NewSet(opt, sink)
	must(t, err)
	return s
}

// runSet runs a Set until the function returned is called, or the test ends.
func runSet(t *testing.T, s *Set) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func appendTo(t *testing.T, path string, lines ...string) {
	t.Helper()
	w := create(t, path)
	w.write(text(lines))
	must(t, w.f.Close())
}

// scans waits until the set has looked n times more.
func scans(t *testing.T, s *Set, n int) {
	t.Helper()
	for range n {
		s.mu.Lock()
		last := s.lastScan
		s.mu.Unlock()
		reach(t, "a scan", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.lastScan != last
		})
	}
}

// A pattern follows what is there from its end, what comes later from its first line, each under its own scope, and rotations of each.
func TestFileSetPattern(t *testing.T) {
	for name, poll := range map[string]bool{"polling": true, "events": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := func(name string) string { return filepath.Join(dir, name) }
			appendTo(t, p("a.log"), "old")
			appendTo(t, p("a.txt"), "not matched")
			opt := setOptions(p("*.log"))
			if !poll {
				opt.pollOnly, opt.Poll = false, time.Minute
			}
			sink := newSetSink()
			s := followSet(t, sink, opt)
			runSet(t, s)
			<-s.CaughtUp()
			appendTo(t, p("a.log"), "a1")
			appendTo(t, p("b.log"), "b1")
			appendTo(t, p("b.log"), "b2")
			sink.reach(t, 3)
			must(t, os.Rename(p("b.log"), p("b.log.1")))
			appendTo(t, p("b.log"), "b3")
			appendTo(t, p("b.log.1"), "b4")
			sink.reach(t, 5)
			sink.check(t, "a1", "b1", "b2", "b3", "b4")
			if got := sink.of("b.log"); len(got) != 4 || sink.scopes["a.log"] != 2 || sink.scopes["b.log"] != 3 {
				t.Errorf("b.log has %q, scopes %v", got, sink.scopes)
			}
			var paths []string
			for _, st := range s.Status() {
				paths = append(paths, filepath.Base(cmp.Or(st.Path, st.Pattern)))
				if st.Err != nil || st.Gaps != [NumGaps]uint64{} {
					t.Errorf("status %+v", st)
				}
			}
			if !slices.Equal(paths, []string{"a.log", "b.log", "*.log"}) {
				t.Errorf("status of %q", paths)
			}
		})
	}
}

// Rotated and compressed names that the pattern matches are no files of their own, in all the ways of logrotate: nothing counts twice.
func TestFileSetPatternThatMatchesRotatedNames(t *testing.T) {
	for _, c := range []struct{ pattern, log, rotated string }{
		{"rsyncd.log*", "rsyncd.log", "rsyncd.log.1"},
		{"rsyncd.log*", "rsyncd.log", "rsyncd.log-20261123"},
		{"rsyncd.log*", "rsyncd.log", "rsyncd.log.old"},
		{"*.log", "rsyncd.log", "rsyncd.1.log"}, // logrotate's extension
	} {
		for _, truncate := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s truncate %v", c.rotated, truncate), func(t *testing.T) {
				dir := t.TempDir()
				path, rotated := filepath.Join(dir, c.log), filepath.Join(dir, c.rotated)
				opt := setOptions(filepath.Join(dir, c.pattern))
				opt.FromBeginning = true
				appendTo(t, path, lines(0, 20)...)
				sink := newSetSink()
				s := followSet(t, sink, opt)
				runSet(t, s)
				sink.reach(t, 20)
				if truncate {
					b, err := os.ReadFile(path)
					must(t, err)
					writeFile(t, rotated, b)
					must(t, os.Truncate(path, 0))
				} else {
					must(t, os.Rename(path, rotated))
				}
				appendTo(t, path, lines(20, 30)...)
				sink.reach(t, 30)
				writeFile(t, rotated+".gz", gzipped(t, text(lines(0, 20))))
				scans(t, s, 4)
				must(t, os.Remove(rotated))
				scans(t, s, 4)
				appendTo(t, path, "last")
				sink.reach(t, 31)
				sink.check(t, append(lines(0, 30), "last")...)
				if twins := s.Twins(); len(twins) != 0 {
					t.Errorf("twins %v: a rotated name is none", twins)
				}
			})
		}
	}
}

// The same file by two names counts once, is shown once, and both names are told: for each way to give a file a second name, and through
// a rotation, after which the second one may be another file.
func TestFileSetNamesOneFileTwice(t *testing.T) {
	for name, link := range map[string]func(t *testing.T, old, new string) error{
		"symbolic": func(_ *testing.T, old, new string) error { return os.Symlink(old, new) },
		"hard":     func(_ *testing.T, old, new string) error { return os.Link(old, new) },
		"by its directory": func(_ *testing.T, old, new string) error {
			return os.Symlink(filepath.Dir(old), filepath.Dir(new))
		},
		"bind mount": func(t *testing.T, old, new string) error {
			must(t, os.Mkdir(filepath.Dir(new), 0o755))
			if err := bindMount(filepath.Dir(old), filepath.Dir(new)); err != nil {
				t.Logf("no bind mount here (%v): a symbolic link in its place", err)
				must(t, os.Remove(filepath.Dir(new)))
				return os.Symlink(filepath.Dir(old), filepath.Dir(new))
			}
			t.Cleanup(func() { must(t, unmount(filepath.Dir(new))) })
			return nil
		},
	} {
		for _, globbed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s globbed %v", name, globbed), func(t *testing.T) {
				dir := t.TempDir()
				must(t, os.Mkdir(filepath.Join(dir, "a"), 0o755))
				first, second := filepath.Join(dir, "a", "log"), filepath.Join(dir, "b", "log")
				if name == "symbolic" || name == "hard" {
					second = filepath.Join(dir, "a", "second")
				}
				appendTo(t, first, lines(0, 10)...)
				must(t, link(t, first, second))
				opt := setOptions(first, second)
				if globbed {
					opt.Paths = []string{filepath.Join(dir, "[ab]", "*")}
				}
				opt.FromBeginning = true
				sink := newSetSink()
				s := followSet(t, sink, opt)
				runSet(t, s)
				appendTo(t, first, "one")
				sink.reach(t, 11)
				if twins := s.Twins(); !maps.Equal(twins, map[string]string{second: first}) {
					t.Errorf("twins %v, want %q of %q", twins, second, first)
				}
				if st := s.Status(); st[0].Path != first || st[0].Err != nil || st[1].Path != second || st[1].Err == nil {
					t.Errorf("status %+v", st)
				}
				must(t, os.Rename(first, first+".1"))
				appendTo(t, first, lines(20, 30)...)
				sink.reach(t, 21)
				scans(t, s, 3)
				want := append(append(lines(0, 10), "one"), lines(20, 30)...)
				sink.check(t, want...)
				if got := sink.of("log"); name != "hard" && len(got) != 21 {
					t.Errorf("the first path has %d lines of 21", len(got))
				}
				if name != "hard" || globbed { // a pattern takes the second name, if it is another file by then, for new
					return
				}
				must(t, os.Remove(second))
				appendTo(t, second, "its own")
				sink.reach(t, 22)
				sink.check(t, append(want, "its own")...)
				reach(t, "two files", func() bool { return len(s.Status()) == 2 && len(s.Twins()) == 0 })
			})
		}
	}
}

// waitUntilOlder waits until a file's time of birth shows that it is older than what is made now: clocks are given clockSlack.
func waitUntilOlder(t *testing.T, path string) {
	t.Helper()
	info, err := statPath(path, false)
	must(t, err)
	reach(t, "time passes", func() bool { return time.Now().UnixNano() > info.written+int64(clockSlack)+int64(20*time.Millisecond) })
}

// After a restart scopes are what they were, each file goes on where it was, what came under an old pattern in the meantime is read from
// its first line with all its generations, and a new pattern begins at the end.
func TestFileSetRestart(t *testing.T) {
	dir := t.TempDir()
	p := func(name string) string { return filepath.Join(dir, name) }
	appendTo(t, p("b.log"), "old")
	appendTo(t, p("x.txt"), "older than its pattern")
	appendTo(t, p("c.log.1"), "older than c.log")
	waitUntilOlder(t, p("c.log.1"))
	opt := setOptions(p("*.log"))
	sink := newSetSink()
	s := followSet(t, sink, opt)
	stop := runSet(t, s)
	appendTo(t, p("b.log"), "b1")
	appendTo(t, p("z.log"), "z1")
	sink.reach(t, 2)
	scans(t, s, 3)
	stop()
	state := s.Catalogue(sink.counted())

	appendTo(t, p("b.log"), "b2")
	must(t, os.Rename(p("b.log"), p("b.log.1")))
	appendTo(t, p("b.log"), "b3")
	must(t, os.Link(p("z.log"), p("a.log"))) // sorts first, and is z.log's
	appendTo(t, p("c.log"), "c1")
	must(t, os.Rename(p("c.log"), p("c.log.2")))
	waitForTick(t, p("b.log"))
	appendTo(t, p("c.log"), "c2")
	opt = setOptions(p("*.txt"), p("*.log"))
	opt.Resume = state
	s = followSet(t, sink, opt)
	runSet(t, s)
	<-s.CaughtUp()
	sink.reach(t, 6)
	appendTo(t, p("x.txt"), "x2")
	sink.reach(t, 7)
	scans(t, s, 2)
	sink.check(t, "b1", "b2", "b3", "c1", "c2", "x2", "z1")
	if want := map[string]uint32{"b.log": 2, "z.log": 3, "x.txt": 4, "c.log": 5}; !maps.Equal(sink.scopes, want) {
		t.Errorf("scopes %v, want %v", sink.scopes, want)
	}
	if twins := s.Twins(); !maps.Equal(twins, map[string]string{p("a.log"): p("z.log")}) {
		t.Errorf("twins %v", twins)
	}
}

// A log that nobody has seen before it was rotated away is found by what it has been rotated to, if that is new. Otherwise its first lines
// would be old once it is there again.
func TestFileSetRotatedBeforeItWasSeen(t *testing.T) {
	log := func(n int) string { return line(n) + strings.Repeat("x", receiver.AnchorSize) }
	nothing := func(*testing.T, string, string) {}
	for name, c := range map[string]struct {
		down    bool
		happens func(t *testing.T, dir, rotated string)
		found   bool
	}{
		"gone":                           {false, nothing, true},
		"gone, while we were down":       {true, nothing, true},
		"made empty, while we were down": {true, func(t *testing.T, dir, _ string) { create(t, filepath.Join(dir, "c.log")) }, true},
		"a copy": {false, func(t *testing.T, _, rotated string) {
			must(t, os.WriteFile(rotated, []byte(log(1)+"\n"), 0o600))
		}, false},
		"compressed": {false, func(t *testing.T, _, rotated string) { must(t, os.Rename(rotated, rotated+".gz")) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := func(name string) string { return filepath.Join(dir, name) }
			appendTo(t, p("b.log"), log(1))
			appendTo(t, p("c.log.2"), log(0))
			waitUntilOlder(t, p("c.log.2"))
			sink := newSetSink()
			opt := setOptions(p("*.log"))
			opt.FromBeginning = true
			s := followSet(t, sink, opt)
			if c.down { // as soon as it was up
				state := s.Catalogue(sink.counted())
				must(t, s.Close())
				opt.Resume = state
			} else {
				s.look(true)
			}
			appendTo(t, p("new"), log(2)) // so that nobody sees c.log
			must(t, os.Rename(p("new"), p("c.log.1")))
			c.happens(t, dir, p("c.log.1"))
			if c.down {
				s = followSet(t, sink, opt)
			}
			s.look(true)
			if c.found {
				waitUntilOlder(t, p("c.log.1"))
			}
			for range 3 {
				s.look(true)
			}
			runSet(t, s)
			want := []string{log(1)}
			if c.found {
				appendTo(t, p("c.log"), log(3))
				want = append(want, log(2), log(3))
			}
			sink.reach(t, len(want))
			scans(t, s, 3)
			sink.check(t, want...)
			if scope, ok := sink.scopes["c.log"]; ok != c.found || ok && scope != 3 {
				t.Errorf("c.log has scope %d", scope)
			}
		})
	}
}

// While a file is too short to be told from a copy, what it is rotated to stays new.
func TestFileSetRotatedWhileItWaits(t *testing.T) {
	dir := t.TempDir()
	p := func(name string) string { return filepath.Join(dir, name) }
	appendTo(t, p("b.log"), lines(0, 10)...)
	sink := newSetSink()
	s := followSet(t, sink, setOptions(p("*.log")))
	s.look(true)
	w := create(t, p("c.log"))
	w.write(line(0)[:20])
	for range 5 {
		s.look(true)
	}
	must(t, os.Rename(p("c.log"), p("c.log.1")))
	for range 5 {
		s.look(true)
	}
	w.write("!\n")
	runSet(t, s)
	sink.reach(t, 1)
	sink.check(t, line(0)[:20]+"!")
}

// A file is held as soon as it is there, also while it holds no more than the start of a line that others have begun with, too.
func TestFileSetHoldsAFileWithoutALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	opt := setOptions(path)
	opt.FromBeginning = true
	appendTo(t, path, lines(0, 9)...)
	sink := newSetSink()
	s := followSet(t, sink, opt)
	runSet(t, s)
	sink.reach(t, 9)
	w := createMode(t, path+".new", 0o644)
	w.write(line(9)[:18])
	must(t, os.Rename(path+".new", path))
	reach(t, "both files are held", func() bool { return s.Status()[0].Generations == 2 })
	must(t, os.Remove(path))
	scans(t, s, 2)
	w.write(line(9)[18:] + "\n")
	sink.reach(t, 10)
	sink.check(t, lines(0, 10)...)
}

// Two logs that have changed names while we were down are still what they were.
func TestFileSetRestartAfterNamesWereExchanged(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
	appendTo(t, a, lines(0, 10)...)
	appendTo(t, b, lines(10, 20)...)
	opt := setOptions(a, filepath.Join(dir, "*.log"))
	opt.FromBeginning = true
	sink := newSetSink()
	s := followSet(t, sink, opt)
	stop := runSet(t, s)
	sink.reach(t, 20)
	stop()
	state := s.Catalogue(sink.counted())
	must(t, os.Rename(a, a+"~"))
	must(t, os.Rename(b, a))
	must(t, os.Rename(a+"~", b))
	appendTo(t, a, "more")
	opt.Resume = state
	s = followSet(t, sink, opt)
	runSet(t, s)
	<-s.CaughtUp()
	sink.reach(t, 21)
	appendTo(t, b, "and more")
	sink.reach(t, 22)
	scans(t, s, 3)
	sink.check(t, append(lines(0, 20), "more", "and more")...)
	if twins := s.Twins(); len(twins) != 0 {
		t.Errorf("twins %v", twins)
	}
}

// A log of a pattern that got another name of the pattern while we were down is read on under that, and nothing of it is missing.
func TestFileSetRestartAfterARename(t *testing.T) {
	dir := t.TempDir()
	before, after := filepath.Join(dir, "a.log"), filepath.Join(dir, "c.log")
	appendTo(t, before, lines(0, 10)...)
	opt := setOptions(filepath.Join(dir, "*.log"))
	opt.FromBeginning = true
	sink := newSetSink()
	s := followSet(t, sink, opt)
	stop := runSet(t, s)
	sink.reach(t, 10)
	stop()
	opt.Resume = s.Catalogue(sink.counted())
	must(t, os.Rename(before, after))
	appendTo(t, after, lines(10, 20)...)
	s = followSet(t, sink, opt)
	runSet(t, s)
	sink.reach(t, 20)
	scans(t, s, 3)
	sink.check(t, lines(0, 20)...)
	for _, st := range s.Status() {
		if st.Gaps != [NumGaps]uint64{} {
			t.Errorf("%q has gaps %v", st.Path, st.Gaps)
		}
	}
}

// listsAt reports whether a catalogue has a file, and everywhere at this position.
func listsAt(c *Catalogue, at receiver.FilePosition) bool {
	listed := false
	for i := range c.Known {
		p := c.Known[i].Pos
		if p.ID == at.ID && p != at {
			return false
		}
		listed = listed || p.ID == at.ID
	}
	return listed
}

// A file that was let go, for it had not grown for a day, and then got another name that is followed, is read on under that.
func TestFileSetRenamedAfterADay(t *testing.T) {
	for _, literal := range []bool{true, false} {
		dir := t.TempDir()
		a, b := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
		opt := setOptions(a, filepath.Join(dir, "*.log"))
		if literal {
			opt.Paths = []string{a, b}
		}
		opt.FromBeginning = true
		appendTo(t, a, lines(0, 10)...)
		sink := newSetSink()
		s := followSet(t, sink, opt)
		stop := runSet(t, s)
		sink.reach(t, 10)
		counted := sink.counted()
		appendTo(t, a, lines(10, 15)...)
		sink.reach(t, 15)
		must(t, os.Rename(a, b))
		scans(t, s, 3)
		m := s.targetAt(a)
		m.mu.Lock()
		for _, g := range m.generations {
			g.grew.Store(-int64(48 * time.Hour))
		}
		m.mu.Unlock()
		reach(t, "it is let go", func() bool { return m.status().Generations == 0 })
		info, err := statPath(b, true)
		must(t, err)
		id := info.id
		appendTo(t, b, "more")
		reach(t, "the line under the new name", func() bool {
			if c := s.Catalogue(counted); !listsAt(c, counted[id]) {
				t.Errorf("a catalogue doesn't list %q as it is counted: %+v", b, c)
			}
			return len(sink.all()) >= 16
		})
		scans(t, s, 3)
		sink.check(t, append(lines(0, 15), "more")...)
		if got := sink.of("b.log"); len(got) != 1 {
			t.Errorf("b.log has %q", got)
		}
		stop()
	}
}

// A file that begins as a copy isn't read, and shows why, as long as it holds nothing but what is counted already. What it holds beyond that
// counts. An empty file is followed at once.
func TestFileSetCopyThatBegins(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "a.log"), filepath.Join(dir, "a.old")
	appendTo(t, path, lines(0, 100)...)
	sink := newSetSink()
	s := followSet(t, sink, setOptions(filepath.Join(dir, "*")))
	w := create(t, copied)
	runSet(t, s)
	for _, text := range []string{"", text(lines(0, 80)), text(lines(80, 100))} {
		w.write(text)
		scans(t, s, 3)
		if text == "" {
			continue // there is nothing to count
		}
		reach(t, "why it isn't read", func() bool {
			st := s.targetAt(copied).status()
			return st.Generations == 0 && errors.Is(st.Err, ErrCopy)
		})
	}
	create(t, filepath.Join(dir, "b.log"))
	reach(t, "an empty file is followed", func() bool {
		other := s.targetAt(filepath.Join(dir, "b.log"))
		return other != nil && other.status().Generations == 1
	})
	w.write("its own\n")
	sink.reach(t, 1)
	sink.check(t, "its own")
}

// What is put beside a file that isn't read, as it is a copy, is no generation of it: it was not rotated.
func TestFileSetBesideACopy(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
	appendTo(t, path, lines(0, 100)...)
	appendTo(t, copied, lines(0, 100)...)
	opt := setOptions(path, copied)
	opt.FromBeginning = true
	sink := newSetSink()
	s := followSet(t, sink, opt)
	runSet(t, s)
	sink.reach(t, 100)
	scans(t, s, 3)
	appendTo(t, copied+".excerpt", lines(500, 510)...)
	scans(t, s, 3)
	sink.check(t, lines(0, 100)...)
	if st := s.targetAt(copied).status(); st.Generations != 0 || st.Err == nil {
		t.Errorf("status %+v, want why it isn't read", st)
	}
}

// What a pattern has found and is gone is forgotten; its counts stay in the pattern's, its scope isn't given to another, and where it is
// brought back it isn't read again.
func TestFileSetForgets(t *testing.T) {
	dir := t.TempDir()
	p := func(name string) string { return filepath.Join(dir, name) }
	opt := setOptions(p("*.log"))
	opt.forget = time.Millisecond
	sink := newSetSink()
	s := followSet(t, sink, opt)
	runSet(t, s)
	appendTo(t, p("a.log"), lines(0, 10)...)
	sink.reach(t, 10)
	m := s.targetAt(p("a.log"))
	m.rotations.Store(5)
	m.gaps[GapUnread].Store(2)
	must(t, os.Rename(p("a.log"), p("away")))
	scans(t, s, 5)
	if st := s.Status(); len(st) != 2 || st[0].Path != p("a.log") || st[0].Generations != 1 {
		t.Errorf("forgotten while it may be written to: %+v", st)
	}
	m.mu.Lock()
	for _, g := range m.generations {
		g.grew.Store(-int64(48 * time.Hour))
	}
	m.mu.Unlock()
	reach(t, "a.log is forgotten", func() bool { return len(s.Status()) == 1 })
	if st := s.Status()[0]; st.Path != "" || st.Pattern != p("*.log") || st.Rotations != 5 || st.Gaps[GapUnread] != 2 || !errors.Is(st.Err, fs.ErrNotExist) {
		t.Errorf("status %+v, want the counts of a.log", st)
	}
	appendTo(t, p("away"), "more")
	must(t, os.Rename(p("away"), p("b.log")))
	sink.reach(t, 11)
	scans(t, s, 2)
	sink.check(t, append(lines(0, 10), "more")...)
	if sink.scopes["b.log"] != 3 {
		t.Errorf("scope %d, want 3", sink.scopes["b.log"])
	}
	state := s.Catalogue(sink.counted())
	if len(state.Targets) != 1 || state.Sums[0].Rotations != 5 || len(state.Known) != 1 {
		t.Errorf("state %+v", state)
	}
}

// No more files than the bound are followed, those that were written to last, and it shows; the settings' own paths don't count.
func TestFileSetBound(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		path, written := filepath.Join(dir, fmt.Sprintf("%02d.log", i)), time.Now().Add(-time.Duration(i)*time.Minute)
		appendTo(t, path, lines(i, i+1)...)
		must(t, os.Chtimes(path, written, written))
	}
	opt := setOptions(filepath.Join(dir, "*.log"), filepath.Join(dir, "19.log"))
	opt.most = 10
	opt.FromBeginning = true
	sink := newSetSink()
	s := followSet(t, sink, opt)
	runSet(t, s)
	sink.reach(t, 11)
	scans(t, s, 2)
	sink.check(t, append(lines(0, 10), lines(19, 20)...)...)
	all := s.Status()
	if st := all[len(all)-1]; len(all) != 12 || st.Errors == 0 || st.Err == nil || !strings.Contains(st.Err.Error(), "9 of the files that it matches are not followed: 10 is the limit") {
		t.Errorf("%d in status, the last is %+v", len(all), st)
	}
}

// A pattern may stand in any element, backslashes take its characters' meaning, and directories that can't be read are errors.
func TestExpandPath(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/x.log", "a/.x.log", "b/x.log", "b/[1].log", "b/y.txt", `b/back\slash`} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		writeFile(t, filepath.Join(dir, name), nil)
	}
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600)) // matched as a directory, it must not hold anybody
	for _, c := range []struct {
		pattern string
		want    []string
	}{
		{"*/x.log", []string{"a/x.log", "b/x.log"}},
		{"a/*", []string{"a/x.log"}},
		{"a/.*", []string{"a/.x.log"}},
		{"?/*.log", []string{"a/x.log", "b/[1].log", "b/x.log"}},
		{"b/[[]1].log", []string{"b/[1].log"}},
		{`b/\[1].log`, []string{"b/[1].log"}},
		{`b/\[*`, []string{"b/[1].log"}},
		{"fif?/*", nil},
		{"nothing/*", nil},
		{"b/nothing*", nil},
		{"b/missing", []string{"b/missing"}},
		{`b/back\slash`, []string{`b/back\slash`}},
	} {
		got, err := ExpandPath(filepath.Join(dir, "/") + "/" + c.pattern)
		must(t, err)
		for i := range got {
			got[i], _ = filepath.Rel(dir, got[i])
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.pattern, got, c.want)
		}
	}
	for _, path := range []string{"/a*b", `/a\b`, "/[x]?", `/\*`} {
		if got, err := ExpandPath(QuotePattern(path)); err != nil || !slices.Equal(got, []string{path}) || IsPattern(QuotePattern(path)) {
			t.Errorf("%q quoted is %q, which names %q (%v)", path, QuotePattern(path), got, err)
		}
	}
	if _, err := ExpandPath("/tmp/["); !errors.Is(err, filepath.ErrBadPattern) {
		t.Errorf("a bad pattern: %v", err)
	}
	for _, bad := range []string{"", "/tmp/["} {
		if _, err := NewSet(setOptions(bad), newSetSink()); err == nil {
			t.Errorf("%q is followed", bad)
		}
	}
}

// A file that is named, is not, and is named again, twice: it is read on from where it was read to the last time, not the first.
func TestFileSetNamesAFileAgainAndAgain(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	sink := newSetSink()
	var state *Catalogue
	var want []string
	for i, path := range []string{a, b, a, b, a, b} {
		line := fmt.Sprintf("line %d", i)
		appendTo(t, path, line)
		want = append(want, line)
		opt := setOptions(path)
		opt.Resume, opt.FromBeginning = state, true
		s := followSet(t, sink, opt)
		stop := runSet(t, s)
		sink.reach(t, len(want))
		stop()
		now := s.Catalogue(sink.counted())
		state = now
	}
	sink.check(t, want...)
	if len(state.Known) != 2 {
		t.Errorf("%d positions of files, want the last one of each", len(state.Known))
	}
}

// Where there are more files than the bound, one that is written to again takes the place of the one that has been silent for longest, and
// each goes on where it was.
func TestFileSetBoundFollowsWhatIsWrittenTo(t *testing.T) {
	dir := t.TempDir()
	path := func(i int) string { return filepath.Join(dir, fmt.Sprintf("%d.log", i)) }
	for i := range 4 {
		written := time.Now().Add(-time.Duration(i+1) * time.Minute)
		appendTo(t, path(i), fmt.Sprintf("old %d", i))
		must(t, os.Chtimes(path(i), written, written))
	}
	opt := setOptions(filepath.Join(dir, "*.log"))
	opt.most = 2
	sink := newSetSink()
	s := followSet(t, sink, opt)
	runSet(t, s)
	<-s.CaughtUp()
	var want []string
	for n, i := range []int{0, 3, 2, 3, 0, 1} {
		for j := range 4 { // all but those that shall stay were written to long ago
			if written := time.Now().Add(-time.Duration(j+1) * time.Minute); j != i {
				must(t, os.Chtimes(path(j), written, written))
			}
		}
		scans(t, s, 3)
		line := fmt.Sprintf("new %d of %d", n, i)
		appendTo(t, path(i), line)
		want = append(want, line)
		sink.reach(t, len(want))
	}
	scans(t, s, 3)
	sink.check(t, want...)
	all := s.Status()
	if st := all[len(all)-1]; len(all) != 3 || st.Err == nil || st.Gaps != [NumGaps]uint64{} {
		t.Errorf("status %+v, want two files and a pattern that says how many are left", all)
	}
}

// A directory whose file server doesn't answer keeps no other one from being followed, and Run not from ending.
func TestFileSetDirectoryThatHangs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	a, b := filepath.Join(dir, "a", "log"), filepath.Join(dir, "b", "log")
	appendTo(t, a, lines(0, 20)...)
	appendTo(t, b, lines(20, 40)...)
	hung, answer := make(chan struct{}), make(chan struct{})
	opt := setOptions(filepath.Join(dir, "*", "log"), a)
	opt.FromBeginning, opt.answer = true, lookPatience
	var bad atomic.Pointer[receiver.FileID]
	hang := sync.OnceFunc(func() { close(hung) })
	opt.pread = func(fd int, p []byte, off int64) (int, error) {
		if id := bad.Load(); id != nil {
			if info, err := statFD(fd); err == nil && info.id == *id {
				hang()
				<-answer
			}
		}
		return unix.Pread(fd, p, off)
	}
	sink := newSetSink()
	s := followSet(t, sink, opt)
	stop := runSet(t, s)
	sink.reach(t, 40)
	create(t, a+".new").write(text(lines(40, 60)))
	info, err := statPath(a+".new", true)
	must(t, err)
	bad.Store(&info.id)
	must(t, os.Rename(a+".new", a))
	<-hung
	appendTo(t, b, lines(60, 70)...)
	must(t, os.Rename(b, b+".1"))
	appendTo(t, b, lines(70, 80)...)
	must(t, os.Mkdir(filepath.Join(dir, "c"), 0o755))
	appendTo(t, filepath.Join(dir, "c", "log"), lines(80, 90)...)
	sink.reach(t, 70)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		stop()
	}()
	reach(t, "Run ends, while nobody answers", func() bool { return isClosed(ended) })
	state := s.Catalogue(sink.counted())
	close(answer)
	reach(t, "the look ends", func() bool { return !s.guard(filepath.Dir(a)).busy.Load() })
	opt.Resume = state
	runSet(t, followSet(t, sink, opt))
	sink.reach(t, 90)
	sink.check(t, lines(0, 90)...)
}

// With fewer descriptors than files all are read, in turn, and Status says what is missing.
func TestFileSetFewDescriptors(t *testing.T) {
	dir := t.TempDir()
	path := func(i int) string { return filepath.Join(dir, fmt.Sprintf("%d.log", i)) }
	const files = 12
	for i := range files {
		appendTo(t, path(i), lines(i, i+1)...)
	}
	free, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Close(free))
	opt := setOptions(filepath.Join(dir, "*.log"))
	opt.Descriptors, opt.FromBeginning = free+8, true
	sink := newSetSink()
	s := followSet(t, sink, opt)
	short := func() bool {
		return slices.ContainsFunc(s.Status(), func(st Status) bool { return errors.Is(st.Err, errDescriptors) })
	}
	if !short() {
		t.Error("nothing tells that descriptors are short")
	}
	runSet(t, s)
	sink.reach(t, files)
	want := lines(0, files)
	for n := range 3 {
		for i := range files {
			line := fmt.Sprintf("more %d of %d", n, i)
			appendTo(t, path(i), line)
			want = append(want, line)
		}
		sink.reach(t, len(want))
	}
	sink.check(t, want...)
	for _, st := range s.Status() {
		if st.Gaps != [NumGaps]uint64{} {
			t.Errorf("status %+v", st)
		}
	}
}
