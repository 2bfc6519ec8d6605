package follow

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// A splitLine is a line that a daemon has written to one of its files.
type splitLine struct {
	file int // 0 is the daemon's own
	pid  int
	text string // the whole line
}

// splitLog makes what a daemon logs of n sessions, some at a time, to its own file and to those of
// its modules. Its pids come round soon: within the second in which a session ends if it shall,
// though not within the one in which it starts. at says when a line is written, and lets time pass.
func splitLog(random *rand.Rand, n, files int, soon bool, at func() time.Time) (all []splitLine) {
	writeSplit(random, n, files, soon, at, func(l splitLine) { all = append(all, l) })
	return all
}

// writeSplit is splitLog for a test that writes each line at once.
func writeSplit(random *rand.Rand, n, files int, soon bool, at func() time.Time, write func(splitLine)) {
	type session struct {
		pid     int
		rest    []splitLine
		started string // when it last began something
	}
	var open []*session
	busy := map[int]string{} // until when a pid is in use; "" for no end
	stamp := at().Format("2006/01/02 15:04:05")
	for began := 0; began < n || len(open) > 0; {
		if began < n && (len(open) == 0 || len(open) < 4 && random.IntN(3) == 0) {
			began++
			s := &session{pid: 500}
			for until, used := busy[s.pid]; used && (until == "" || until >= stamp); until, used = busy[s.pid] {
				s.pid++
			}
			busy[s.pid] = ""
			file := 1 + random.IntN(files-1)
			for _, line := range []string{"0connect from c (192.0.2.1)", "0rsync allowed access on module m from c (192.0.2.1)",
				"1rsync on m/ from c (192.0.2.1)", "1building file list", "1sent 1 bytes  received 2 bytes  total size 3"} {
				to := 0
				if line[0] == '1' {
					to = file
				}
				s.rest = append(s.rest, splitLine{to, s.pid, fmt.Sprintf("%s #%d", line[1:], began)})
			}
			if random.IntN(5) == 0 { // refused
				s.rest = s.rest[:1]
			}
			open = append(open, s)
		}
		i := random.IntN(len(open))
		s := open[i]
		line := s.rest[0]
		stamp = at().Format("2006/01/02 15:04:05")
		if !soon || !strings.HasPrefix(line.text, "sent") {
			s.started = stamp
		}
		line.text = fmt.Sprintf("%s [%d] %s", stamp, line.pid, line.text)
		write(line)
		if s.rest = s.rest[1:]; len(s.rest) == 0 {
			open = slices.Delete(open, i, i+1)
			busy[s.pid] = s.started
		}
	}
}

// then is a clock for splitLog: a second passes now and then.
func then(random *rand.Rand) func() time.Time {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local)
	return func() time.Time {
		if random.IntN(4) == 0 {
			now = now.Add(time.Duration(random.IntN(3)) * time.Second)
		}
		return now
	}
}

// A mergeSink keeps all lines in the order in which they come, and how far each file is counted. It
// counts no more once it is killed.
type mergeSink struct {
	mu     sync.Mutex
	lines  []string
	from   []string // the sources
	told   []int    // how many lines had come when it was told that the files have been read
	scopes map[uint32]bool
	last   map[string]map[receiver.FileID]receiver.FilePosition
	killAt int // so many slabs are counted; 0: all
	slabs  int
	dead   chan struct{} // closed when it is killed
}

func newMergeSink() *mergeSink {
	return &mergeSink{scopes: map[uint32]bool{}, last: map[string]map[receiver.FileID]receiver.FilePosition{}, dead: make(chan struct{})}
}

func (s *mergeSink) Deliver(src *receiver.Source, slab *receiver.Slab) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isClosed(s.dead) {
		return
	}
	s.scopes[src.Scope] = true
	if slab.CaughtUp() {
		s.told = append(s.told, len(s.lines))
		return
	}
	for _, m := range slab.Messages {
		s.lines, s.from = append(s.lines, string(m)), append(s.from, src.Name)
	}
	if s.last[src.Name] == nil {
		s.last[src.Name] = map[receiver.FileID]receiver.FilePosition{}
	}
	s.last[src.Name][slab.Position.ID] = *slab.Position
	if s.slabs++; s.slabs == s.killAt {
		close(s.dead)
	}
}

func (s *mergeSink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

// counted is what Set.Catalogue asks for.
func (s *mergeSink) counted() map[receiver.FileID]receiver.FilePosition {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[receiver.FileID]receiver.FilePosition{}
	for _, last := range s.last {
		maps.Copy(all, last)
	}
	return all
}

// check compares what has come with what was written: each line once, and those of a process in their order.
func (s *mergeSink) check(t *testing.T, written []splitLine) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	order := func(lines []string) map[string][]string {
		byPID := map[string][]string{}
		for _, l := range lines {
			pid := strings.Fields(l)[2]
			byPID[pid] = append(byPID[pid], l)
		}
		return byPID
	}
	var want []string
	for _, l := range written {
		want = append(want, l.text)
	}
	got, all := order(s.lines), order(want)
	for pid, lines := range all {
		for i := range max(len(lines), len(got[pid])) {
			if i >= len(lines) || i >= len(got[pid]) || lines[i] != got[pid][i] {
				from := func(all []string) []string { return clip(all[min(i, len(all)):min(i+4, len(all))]) }
				t.Errorf("process %s: %d lines, want %d; from line %d on %q, want %q",
					pid, len(got[pid]), len(lines), i, from(got[pid]), from(lines))
				break
			}
		}
	}
	if len(s.lines) != len(want) {
		t.Errorf("%d lines, want %d", len(s.lines), len(want))
	}
	if len(s.scopes) != 1 {
		t.Errorf("scopes %v, want one", s.scopes)
	}
}

// A splitFiles is the files of a daemon in a directory, and the settings of a Set that follows them.
type splitFiles struct {
	t     *testing.T
	paths []string
	opt   SetOptions
}

func newSplitFiles(t *testing.T, n int) *splitFiles {
	t.Helper()
	s := &splitFiles{t: t}
	dir := t.TempDir()
	for i := range n {
		s.paths = append(s.paths, filepath.Join(dir, fmt.Sprintf("%c.log", 'a'+i)))
	}
	s.opt = setOptions(s.paths...)
	slices.Reverse(s.opt.Paths) // which is first followed says nothing
	s.opt.FromBeginning = true
	s.opt.Daemon = Daemon{Paths: s.paths}
	s.opt.patience = time.Hour // nothing here may wait for it
	return s
}

// write appends lines to their files.
func (s *splitFiles) write(lines []splitLine) {
	s.t.Helper()
	for i, path := range s.paths {
		var text strings.Builder
		for _, l := range lines {
			if l.file == i {
				text.WriteString(l.text + "\n")
			}
		}
		w := create(s.t, path)
		w.write(text.String())
		must(s.t, w.f.Close())
	}
}

// rotate renames a file as logrotate does, and compresses it if it is told to.
func (s *splitFiles) rotate(i int, compress bool) {
	s.t.Helper()
	for n := 8; n >= 1; n-- {
		for _, ending := range []string{"", ".gz"} {
			_ = os.Rename(fmt.Sprintf("%s.%d%s", s.paths[i], n, ending), fmt.Sprintf("%s.%d%s", s.paths[i], n+1, ending))
		}
	}
	rotated := s.paths[i] + ".1"
	must(s.t, os.Rename(s.paths[i], rotated))
	waitForTick(s.t, s.paths[i])
	if compress {
		r := &restartable{t: s.t}
		r.compress(rotated, packedCases[0])
	}
}

// short makes reads return no more than a random number of bytes.
func short(random *rand.Rand) func(int, []byte, int64) (int, error) {
	var mu sync.Mutex
	return func(fd int, p []byte, off int64) (int, error) {
		mu.Lock()
		n := 400 + random.IntN(4000)
		mu.Unlock()
		return unix.Pread(fd, p[:min(n, len(p))], off)
	}
}

// A backlog in several files comes in the order in which it was written, however it is read, and
// whenever the program is killed in the middle of it. The end of it is told once, after all of it.
func TestMergeOfABacklog(t *testing.T) {
	random := rand.New(rand.NewPCG(testenv.Seed(t), 1))
	for round := range testenv.Tortured(12, 500) {
		files := newSplitFiles(t, 2+random.IntN(3))
		if round%2 == 0 {
			files.opt.pread = short(random)
		}
		soon := files.opt.pread == nil // where a read ends within the second, what follows isn't known
		log := splitLog(random, 1+random.IntN(400), len(files.paths), soon, then(random))
		files.write(log)
		sink := newMergeSink()
		for lives := random.IntN(4); lives > 0; lives-- {
			sink.killAt = sink.slabs + 1 + random.IntN(60)
			s := followSet(t, sink, files.opt)
			stop := runSet(t, s)
			reach(t, "it is killed, or has read all", func() bool { return isClosed(sink.dead) || isClosed(s.CaughtUp()) })
			stop()
			state := s.Catalogue(sink.counted())
			files.opt.Resume = state
			if isClosed(sink.dead) {
				sink.dead = make(chan struct{})
			}
			sink.told = nil
		}
		sink.killAt = 0
		s := followSet(t, sink, files.opt)
		stop := runSet(t, s)
		reach(t, "it has caught up", func() bool { return isClosed(s.CaughtUp()) })
		stop()
		sink.check(t, log)
		if !slices.Equal(sink.told, []int{len(log)}) {
			t.Errorf("told after %v lines, want once, after %d", sink.told, len(log))
		}
		if t.Failed() {
			return
		}
	}
}

// What is written while the files are followed comes in its order, though each file has a reader of
// its own, and is rotated at times of its own.
func TestMergeLive(t *testing.T) {
	for _, pollOnly := range []bool{false, true} {
		t.Run(fmt.Sprintf("polling %v", pollOnly), func(t *testing.T) {
			random := rand.New(rand.NewPCG(testenv.Seed(t), 2))
			files := newSplitFiles(t, 3)
			files.opt.pollOnly = pollOnly
			if !pollOnly {
				files.opt.Poll = time.Minute
			}
			sink := newMergeSink()
			s := followSet(t, sink, files.opt)
			stop := runSet(t, s)
			reach(t, "it has caught up", func() bool { return isClosed(s.CaughtUp()) })
			var log []splitLine
			rotations, since := 0, map[int]int{} // lines since the last one: nobody rotates what has just been made
			writeSplit(random, testenv.Tortured(500, 20_000), len(files.paths), false, time.Now, func(l splitLine) {
				files.write([]splitLine{l})
				log = append(log, l)
				if since[l.file]++; random.IntN(200) == 0 && rotations < 8 && since[l.file] > 50 {
					files.rotate(l.file, false)
					rotations, since[l.file] = rotations+1, 0
				}
			})
			reach(t, "all lines", func() bool { return sink.count() >= len(log) })
			stop()
			sink.check(t, log)
		})
	}
}

// After a restart, what was written meanwhile is in files that were rotated and compressed. Several
// have to be unpacked at the same time.
func TestMergeOfCompressedFiles(t *testing.T) {
	random := rand.New(rand.NewPCG(testenv.Seed(t), 3))
	files := newSplitFiles(t, 3)
	clock := then(random)
	log := splitLog(random, 100, 3, false, clock)
	files.write(log)
	sink := newMergeSink()
	for range 4 {
		s := followSet(t, sink, files.opt)
		stop := runSet(t, s)
		reach(t, "it has caught up", func() bool { return isClosed(s.CaughtUp()) })
		stop()
		state := s.Catalogue(sink.counted())
		files.opt.Resume = state
		for range 2 {
			for range 40 {
				clock() // no pid is in use any more
			}
			more := splitLog(random, 200, 3, false, clock)
			files.write(more)
			log = append(log, more...)
			for i := range files.paths {
				if random.IntN(3) > 0 {
					files.rotate(i, true)
				}
			}
		}
		for _, path := range files.paths { // a path without a file is no reason to wait
			if random.IntN(2) == 0 {
				create(t, path)
			}
		}
	}
	s := followSet(t, sink, files.opt)
	stop := runSet(t, s)
	reach(t, "it has caught up", func() bool { return isClosed(s.CaughtUp()) })
	stop()
	sink.check(t, log)
}

// A file that can't be read isn't waited for, and one whose disk hangs not for long. Once they can
// be read, their lines come.
func TestMergeGoesOnWithout(t *testing.T) {
	for name, test := range map[string]struct {
		patience time.Duration
		read     func(release chan struct{}) error
	}{
		"a file that fails": {time.Hour, func(release chan struct{}) error {
			if isClosed(release) {
				return nil
			}
			return unix.EIO
		}},
		"a file that hangs": {50 * time.Millisecond, func(release chan struct{}) error {
			<-release
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			files := newSplitFiles(t, 3)
			random := rand.New(rand.NewPCG(4, 4))
			log := splitLog(random, 50, 3, false, then(random))
			files.write(log)
			info, err := statPath(files.paths[1], true)
			must(t, err)
			release := make(chan struct{})
			free := sync.OnceFunc(func() { close(release) })
			t.Cleanup(free)
			files.opt.patience = test.patience
			files.opt.pread = func(fd int, p []byte, off int64) (int, error) {
				const block = 1 << 17 // a look reads less
				if it, err := statFD(fd); err == nil && it.id == info.id && off == 0 && len(p) > block {
					if err := test.read(release); err != nil {
						return -1, err
					}
				}
				return unix.Pread(fd, p, off)
			}
			sink := newMergeSink()
			s := followSet(t, sink, files.opt)
			stop := runSet(t, s)
			others := 0
			for _, l := range log {
				if l.file != 1 {
					others++
				}
			}
			reach(t, "the others' lines", func() bool { return sink.count() == others })
			more := splitLog(random, 5, 2, true, time.Now)
			for i := range more {
				more[i].file *= 2 // to the last one
			}
			files.write(more)
			reach(t, "what the others are written to", func() bool { return sink.count() == others+len(more) })
			free()
			reach(t, "all lines", func() bool { return sink.count() == len(log)+len(more) })
			stop()
		})
	}
}

// A module whose daemon knows no time zone in its chroot (rsync before 3.4.2) logs hours ahead of
// its connects, or behind. When the file was last written to says so.
func TestMergeOfAnotherZone(t *testing.T) {
	random := rand.New(rand.NewPCG(testenv.Seed(t), 5))
	for _, ahead := range []time.Duration{5 * time.Hour, -9*time.Hour - 30*time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			files := newSplitFiles(t, 2)
			clock := then(random)
			log := splitLog(random, 2000, 2, false, clock)
			for i, l := range log {
				if l.file == 1 {
					at, err := time.ParseInLocation("2006/01/02 15:04:05", l.text[:19], time.Local)
					must(t, err)
					log[i].text = at.Add(ahead).Format("2006/01/02 15:04:05") + l.text[19:]
				}
			}
			files.write(log)
			for _, path := range files.paths {
				must(t, os.Chtimes(path, time.Time{}, clock()))
			}
			sink := newMergeSink()
			s := followSet(t, sink, files.opt)
			stop := runSet(t, s)
			reach(t, "it has caught up", func() bool { return isClosed(s.CaughtUp()) })
			stop()
			sink.check(t, log)
		})
	}
}

// Files that are joined have one scope, from the next start on where they were not before, and have
// each their own again when they are parted.
func TestScopesOfJoinedFiles(t *testing.T) {
	files := newSplitFiles(t, 3)
	scopes := func(joined bool, resume *Catalogue) (*Catalogue, []uint32) {
		opt := files.opt
		opt.Resume, opt.Daemon.Paths = resume, nil
		if joined {
			opt.Daemon.Paths = files.paths[:2]
		}
		s := followSet(t, newMergeSink(), opt)
		state := s.Catalogue(newMergeSink().counted())
		must(t, s.Close())
		byPath := map[string]uint32{}
		for _, f := range state.Targets {
			byPath[f.Path] = f.Scope
		}
		return state, []uint32{byPath[files.paths[0]], byPath[files.paths[1]], byPath[files.paths[2]]}
	}
	apart, first := scopes(false, nil)
	joined, second := scopes(true, apart)
	again, third := scopes(true, joined)
	_, fourth := scopes(false, again)
	switch {
	case first[0] == first[1] || first[1] == first[2] || first[0] == first[2]:
		t.Errorf("apart: scopes %v", first)
	case second[0] != first[0] || second[1] != first[0] || second[2] != first[2]:
		t.Errorf("joined: scopes %v, after %v", second, first)
	case !slices.Equal(third, second):
		t.Errorf("joined still: scopes %v, after %v", third, second)
	case fourth[0] == fourth[1] || fourth[2] != first[2] || fourth[0] == fourth[2] || fourth[1] == fourth[2]:
		t.Errorf("parted: scopes %v, after %v", fourth, third)
	}
}

// A file that was cut holds nothing that was seen before: its lines wait for syslog's as they did at first.
func TestLinesOfACutFileWaitForSyslog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	writeFile(t, path, make([]byte, 5000))
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	must(t, err)
	defer unix.Close(fd)
	m := newMerge(time.Hour)
	s := &stream{file: &mergeFile{merge: m}}
	g := &generation{fd: fd, stream: s}
	first := s.notBefore(g, 5000)
	if until := s.notBefore(g, 5000); until != first {
		t.Errorf("until %d, and %d when asked again", first, until)
	}
	must(t, os.Truncate(path, 100))
	if until := s.notBefore(g, 100); until <= first {
		t.Errorf("lines of the cut file wait until %d, those before until %d", until, first)
	}
}

// A line whose stamp is a day ahead doesn't shift those that come after it for good.
func TestOneWrongStampShiftsNoOther(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	s := &stream{file: &mergeFile{merge: newMerge(0)}}
	s.clock = lineClock{dialect: syslog.Lines{}, zone: lineZone{known: true}}
	line := func(ahead time.Duration) []byte {
		return []byte(now.Add(ahead).Format("2006/01/02 15:04:05") + " [5] x")
	}
	s.clock.last = s.clock.read(line(25*time.Hour), lineTime{key: now.UnixNano()}, now.UnixNano())
	later := now.Add(time.Minute)
	s.clock.last = s.clock.read(line(time.Second), s.clock.last, later.UnixNano())
	if s.clock.last.shift == 0 {
		t.Fatal("the wrong stamp shifts nothing")
	}
	s.learn(nil, line(time.Minute), later.UnixNano(), true)
	if got := s.clock.read(line(time.Minute), s.clock.last, later.UnixNano()).key; got != later.UnixNano() {
		t.Errorf("a live line is dated %v ahead", time.Duration(got-later.UnixNano()))
	}
}

// What is compressed and waits for another file when Run ends is left for the next start.
func TestMergeEndsWhileACompressedFileWaits(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 6))
	clock := then(random)
	files := newSplitFiles(t, 2)
	log := splitLog(random, 20, 2, false, clock)
	files.write(log)
	sink := newMergeSink()
	live := func(s *Set, what string, until func() bool) {
		stop := runSet(t, s)
		reach(t, what, until)
		stop()
		files.opt.Resume = s.Catalogue(sink.counted())
	}
	s := followSet(t, sink, files.opt)
	live(s, "it has caught up", func() bool { return isClosed(s.CaughtUp()) })
	clock()
	more := splitLog(random, 20, 2, false, clock)
	files.write(more)
	files.rotate(0, true)
	info, err := statPath(files.paths[1], true)
	must(t, err)
	release := make(chan struct{})
	files.opt.pread = func(fd int, p []byte, off int64) (int, error) {
		if it, err := statFD(fd); err == nil && it.id == info.id && len(p) > 1<<16 { // a look reads less
			<-release
		}
		return unix.Pread(fd, p, off)
	}
	s = followSet(t, sink, files.opt)
	live(s, "the compressed file waits", func() bool {
		s.merge.mu.Lock()
		defer s.merge.mu.Unlock()
		for range s.merge.waiting {
			return true
		}
		return false
	})
	close(release)
	files.opt.pread = nil
	s = followSet(t, sink, files.opt)
	live(s, "it has caught up", func() bool { return isClosed(s.CaughtUp()) })
	sink.check(t, append(log, more...))
}
