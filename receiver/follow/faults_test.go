package follow_test

import (
	"cmp"
	"compress/bzip2"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/syslog"
)

// These tests know a Set by what it exports. What they expect is FAULTS B.14: each line of each log counts once, whatever is done to the
// files, and whether it is done before the eyes of the Set, while it is stopped, or before it is killed.

var (
	reach = receivertest.Reach
	must  = receivertest.Must
)

// A setting is what a test chooses of a Set.
type setting struct {
	paths         []string
	fromBeginning bool
	poll          time.Duration    // 5 ms where it is 0
	clock         func() int64     // the machine's where it is nil
	dialect       receiver.Dialect // that of rsync's own log file where it is nil
}

// newSet makes a Set. Nothing else here knows SetOptions.
func newSet(s setting, resume *follow.Catalogue, sink receiver.Sink) (*follow.Set, error) {
	if s.dialect == nil {
		s.dialect = syslog.Lines{}
	}
	return follow.NewSet(follow.SetOptions{
		Paths: s.paths,
		Poll:  cmp.Or(s.poll, 5*time.Millisecond), FromBeginning: s.fromBeginning,
		Source: func(path string, scope uint32) receiver.Source {
			return receiver.Source{Input: "file", Name: path, Scope: scope, Dialect: s.dialect}
		},
		Resume: resume,
	}.WithClock(s.clock), sink)
}

// A label tells a row of Status from every other. It becomes the labels of metrics.
type label struct{ path, pattern string }

// statusOf returns what Status shows, by label, and fails the test if two rows share one. Nothing else here knows Status. A pattern's row is
// to have the pattern in a field of its own, and no path.
func statusOf(t *testing.T, set *follow.Set) map[label]error {
	t.Helper()
	all := map[label]error{}
	for _, st := range set.Status() {
		l := label{path: st.Path, pattern: st.Pattern}
		if _, twice := all[l]; twice {
			t.Errorf("two rows of the status are called %+v", l)
		}
		all[l] = st.Err
	}
	return all
}

// A counted line is one that came from the log of this path.
type counted struct{ path, line string }

// Books count lines as the pipeline does, with the position up to which each file is counted.
type books struct {
	beacon string // the path whose lines aren't counted, see stage.settle

	mu        sync.Mutex
	released  sync.Cond
	held      bool // whoever delivers waits
	waiting   int  // how many do
	dead      bool // what is delivered is lost
	lines     []counted
	seen      string // the beacon's last line
	positions map[receiver.FileID]receiver.FilePosition
}

func newBooks(beacon string, lines []counted, positions map[receiver.FileID]receiver.FilePosition) *books {
	b := &books{beacon: beacon, lines: slices.Clone(lines), positions: maps.Clone(positions)}
	b.released.L = &b.mu
	return b
}

// Deliver implements receiver.Sink.
func (b *books) Deliver(src *receiver.Source, slab *receiver.Slab) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.waiting++; b.held; {
		b.released.Wait()
	}
	if b.waiting--; b.dead {
		return
	}
	for _, m := range slab.Messages {
		if src.Name == b.beacon {
			b.seen = string(m)
		} else {
			b.lines = append(b.lines, counted{src.Name, string(m)})
		}
	}
	if slab.Position != nil {
		b.positions[slab.Position.ID] = *slab.Position
	}
}

func (b *books) hold(held bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = held
	b.released.Broadcast()
}

// awaitReader waits until somebody waits to deliver.
func (b *books) awaitReader(t *testing.T) {
	t.Helper()
	reach(t, "a reader waits to deliver", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.held && b.waiting > 0
	})
}

// die loses what is delivered from now on, and lets go whoever waits.
func (b *books) die() {
	b.mu.Lock()
	b.dead = true
	b.mu.Unlock()
	b.hold(false)
}

// copied returns books as they stand.
func (b *books) copied() *books {
	b.mu.Lock()
	defer b.mu.Unlock()
	return newBooks(b.beacon, b.lines, b.positions)
}

func (b *books) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.lines)
}

func (b *books) sawBeacon(line string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen == line
}

// A stage is a directory of logs, and the Set that follows it through its lives.
type stage struct {
	t       *testing.T
	dir     string
	setting setting
	books   *books
	set     *follow.Set // nil between two lives
	end     func()      // of set's Run
	beacon  string      // a log that settle rotates; patterns don't match its name
	rounds  int

	// What a kill goes back to: nothing at first.
	saved     *books
	catalogue *follow.Catalogue
}

// newStage makes a directory for the paths of the setting, which are relative to it. run is the test's to call.
func newStage(t *testing.T, s setting) *stage {
	t.Helper()
	st := &stage{t: t, dir: t.TempDir(), setting: s}
	st.beacon = st.path(".beacon")
	st.setting.paths = []string{st.beacon}
	for _, path := range s.paths {
		st.setting.paths = append(st.setting.paths, st.path(path))
	}
	st.books = newBooks(st.beacon, nil, map[receiver.FileID]receiver.FilePosition{})
	st.saved = st.books.copied()
	return st
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// append writes lines to a log as rsyncd does, in one write.
func (s *stage) append(name string, lines ...string) {
	s.t.Helper()
	f, err := os.OpenFile(s.path(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	must(s.t, err)
	defer f.Close()
	_, err = f.WriteString(text(lines))
	must(s.t, err)
}

// sh runs a script in the directory.
func (s *stage) sh(script string) {
	s.t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// run begins a life with what was saved last, and waits until it has read what is there.
func (s *stage) run() {
	s.t.Helper()
	set, err := newSet(s.setting, s.catalogue, s.books)
	must(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- set.Run(ctx) }()
	books := s.books
	s.set, s.end = set, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	end := s.end
	s.t.Cleanup(func() {
		books.hold(false)
		end()
	})
	await(s.t, "all that was there is read", set.CaughtUp())
}

// await waits until a channel is closed, or has something.
func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	reach(t, what, func() bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	})
}

// save keeps what the next life begins with, as the exporter does every few seconds.
func (s *stage) save() {
	s.saved = s.books.copied()
	s.catalogue = s.set.Catalogue(maps.Clone(s.saved.positions))
}

func (s *stage) stop() {
	s.end()
	s.save()
	s.set = nil
}

// kill ends a life, and with it all that was counted since the last save.
func (s *stage) kill() {
	s.books.die()
	s.end()
	s.books, s.set = s.saved.copied(), nil
}

// A life says what becomes of the Set while files change.
type life string

const (
	live         life = "live"
	stopped      life = "stopped"
	killedBefore life = "killed before" // and begun again afterwards, with what was saved last
	killedAfter  life = "killed after"  // and begun again, with what was saved before
)

// lives are all of them.
var lives = []life{live, stopped, killedBefore, killedAfter}

// through changes files.
func (s *stage) through(l life, change func()) {
	s.t.Helper()
	switch l {
	case stopped:
		s.stop()
	case killedBefore:
		s.kill()
	}
	change()
	if l == killedAfter {
		s.settle()
		s.kill()
	}
	if l != live {
		s.run()
	}
}

// looks is how often the Set has looked, at least, when settle returns.
const looks = 4

// settle waits until the Set has had several looks. It replaces a log beside the others, which only a look notices, and waits for the line
// in the new one. Between two lives it does nothing.
func (s *stage) settle() {
	s.t.Helper()
	if s.set == nil {
		return
	}
	for range looks {
		s.rounds++
		line := fmt.Sprintf("2026/11/28 14:47:40 [%d] connect from beacon (192.0.2.1)", s.rounds)
		next := s.path(".next")
		must(s.t, os.WriteFile(next, []byte(line+"\n"), 0o600))
		must(s.t, os.Rename(next, s.beacon))
		reach(s.t, "the beacon is read", func() bool { return s.books.sawBeacon(line) })
	}
}

// patience is how long lines are waited for, before it is said which are lost. Where they come, they come within some polls, but the machine
// may be slow.
const patience = 45 * time.Second

// want waits until so many lines have come, and then that no more come. They must be the lines wanted, in any order.
func (s *stage) want(lines ...string) {
	s.t.Helper()
	end := time.Now().Add(patience)
	reach(s.t, "lines", func() bool { return s.books.count() >= len(lines) || time.Now().After(end) })
	s.settle()
	s.compare(s.books.copied().lines, lines)
}

// wantOf is want for the lines that have come from one log.
func (s *stage) wantOf(name string, lines ...string) {
	s.t.Helper()
	s.compare(slices.DeleteFunc(s.books.copied().lines, func(c counted) bool { return c.path != s.path(name) }), lines)
}

func (s *stage) compare(got []counted, want []string) {
	s.t.Helper()
	n := map[string]int{}
	for _, c := range got {
		n[c.line]++
	}
	for _, l := range want {
		n[l]--
	}
	var lost, more []string
	for l, n := range n {
		lost = append(lost, slices.Repeat([]string{l}, max(0, -n))...)
		more = append(more, slices.Repeat([]string{l}, max(0, n))...)
	}
	if len(lost)+len(more) > 0 {
		slices.Sort(lost)
		slices.Sort(more)
		s.t.Fatalf("%d lines counted, want %d: %d lost, %q; %d too many, %q", len(got), len(want),
			len(lost), lost[:min(2, len(lost))], len(more), more[:min(2, len(more))])
	}
}

// startLine is what rsyncd writes first. Two daemons in containers, each process 3 there, write it in one second.
const startLine = "2026/11/28 14:47:40 [3] rsyncd version 3.5.0 starting, listening on port 873"

// line makes line n of a daemon.
func line(daemon string, n int) string {
	return fmt.Sprintf("2026/11/28 14:%02d:%02d [%d] send %s.example [192.0.2.1] data () dir/file-%06d %d",
		47+n/60%10, n%60, 4+n%7, daemon, n, n*37)
}

// lines makes lines n to m-1 of a daemon.
func lines(daemon string, n, m int) (all []string) {
	for ; n < m; n++ {
		all = append(all, line(daemon, n))
	}
	return all
}

func text(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// F26: the logs of two daemons begin with equal lines and differ later. All lines of both count, the equal ones too, in whatever order they
// are written.
func TestFaultsEqualStarts(t *testing.T) {
	orders := map[string][][2]int{ // how many lines the two logs hold after each step; the first step comes before the first life
		"both there":       {{30, 30}, {35, 35}},
		"the second later": {{30, 0}, {30, 30}, {35, 35}},
		"later, shorter":   {{60, 0}, {60, 30}, {65, 65}},
		"the first short":  {{1, 0}, {1, 30}, {1, 60}, {30, 60}},
		"the second short": {{30, 0}, {30, 1}, {60, 1}, {60, 30}},
		"in turn":          {{1, 0}, {1, 1}, {2, 1}, {2, 2}, {20, 19}, {20, 20}, {21, 20}, {21, 21}, {22, 21}, {22, 22}},
	}
	for name, order := range orders {
		for _, shared := range []int{1, 20} { // equal lines: 20 are less than 4 KiB
			for _, l := range []life{live, stopped, killedAfter} {
				t.Run(fmt.Sprintf("%s/%d equal/%s", name, shared, l), func(t *testing.T) {
					t.Parallel()
					s := newStage(t, setting{paths: []string{"*.log"}, fromBeginning: true})
					all := [2][]string{}
					for i, daemon := range []string{"a", "b"} {
						all[i] = slices.Concat([]string{startLine}, lines("both", 1, shared), lines(daemon, shared, 100))
					}
					had := [2]int{}
					grow := func(to [2]int) {
						for i, name := range []string{"a.log", "b.log"} {
							if to[i] > had[i] {
								s.append(name, all[i][had[i]:to[i]]...)
							}
						}
						had = to
					}
					grow(order[0])
					s.run()
					for _, step := range order[1:] {
						s.settle()
						s.save()
						s.through(l, func() { grow(step) })
					}
					s.want(slices.Concat(all[0][:had[0]], all[1][:had[1]])...)
					s.wantOf("a.log", all[0][:had[0]]...)
					s.wantOf("b.log", all[1][:had[1]]...)
				})
			}
		}
	}
}

// F26: lines without stamps, so that each generation of a log begins with an equal line. All lines count, whatever way it is rotated.
func TestFaultsEqualGenerations(t *testing.T) {
	dialect, err := syslog.ParseLineFormat(`(?P<description>.*)`)
	must(t, err)
	const (
		first = "the daemon has been started anew and listens on port 873, on all addresses of this machine" // more than 64 bytes
		shift = `for i in 9 8 7 6 5 4 3 2 1; do for z in "" .gz; do [ ! -e L.$i$z ] || mv L.$i$z L.$((i+1))$z; done; done; `
	)
	generation := func(g, size int) []string {
		all := []string{first}
		for i := range size - 1 {
			all = append(all, fmt.Sprintf("generation %d, line %d: data/file-%d was sent to a client of the daemon", g, i, 10*g+i))
		}
		return all
	}
	for name, rotation := range map[string]struct {
		script            string
		generations, size int
	}{
		"compressed":   {shift + "mv L L.1; gzip L.1", 10, 3},
		"renamed":      {shift + "mv L L.1", 10, 3},
		"copytruncate": {shift + "cp L L.1; truncate -s 0 L", 7, 4},
	} {
		for _, l := range lives {
			for _, eachCounted := range []bool{true, false} { // before it is rotated
				if eachCounted && l == killedBefore { // as stopped
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/each counted %v", name, l, eachCounted), func(t *testing.T) {
					t.Parallel()
					s := newStage(t, setting{paths: []string{"L"}, fromBeginning: true, dialect: dialect})
					want := generation(0, rotation.size)
					s.append("L", want...)
					s.run()
					s.want(want...)
					s.save()
					next := func(g int) {
						s.sh(rotation.script)
						s.append("L", generation(g, rotation.size)...)
						want = append(want, generation(g, rotation.size)...)
					}
					if eachCounted {
						for g := 1; g < rotation.generations; g++ {
							s.through(l, func() { next(g) })
							s.want(want...)
							s.save()
						}
						return
					}
					s.through(l, func() {
						for g := 1; g < rotation.generations; g++ {
							next(g)
						}
					})
					s.want(want...)
				})
			}
		}
	}
}

// F27: known lines that stand elsewhere now are still known: programs that shorten a log count nothing twice, and what is written to it
// afterwards counts.
func TestFaultsTrimmed(t *testing.T) {
	script := func(script string) func(*stage, *heldClock) {
		return func(s *stage, _ *heldClock) { s.sh(script) }
	}
	for _, c := range []struct {
		name string
		edit func(*stage, *heldClock)
		path string
		last int // how many of 1,000 lines are counted when the state is saved for the last time
	}{
		{"tail and mv", script("tail -n 500 L >t; mv t L"), "L", 900},
		{"tail and mv under a pattern", script("tail -n 500 L >t; mv t L"), "[KL]", 900},
		{"tail and mv twice", script("tail -n 700 L >t; mv t L; tail -n 500 L >t; mv t L"), "L", 900},
		{"tail and cat", script("tail -n 500 L >t; cat t >L"), "L", 900},
		{"tail and cat slowly", rewriteSlowly, "L", 900},
		{"sed, a line", script("sed -i 10d L"), "L", 900},
		{"sed, the first lines", script("sed -i 1,300d L"), "L", 900},
		{"sed, the last line", script(`sed -i '$d' L`), "L", 1000}, // which is in no file any more
		{"sed, a line, and tail", script("sed -i 10d L; tail -n 700 L >t; mv t L"), "L", 900},
	} {
		for _, l := range lives {
			t.Run(c.name+"/"+string(l), func(t *testing.T) {
				t.Parallel()
				var clock heldClock // a cut file settles by it: no edit takes too long
				s := newStage(t, setting{paths: []string{c.path}, fromBeginning: true, clock: clock.now})
				var want []string
				grow := func(to int) {
					s.append("L", lines("a", len(want), to)...)
					want = lines("a", 0, to)
				}
				grow(c.last)
				s.run()
				s.want(want...)
				s.save()
				grow(1000)
				s.want(want...)
				s.through(l, func() {
					c.edit(s, &clock)
					grow(1025)
					clock.release()
				})
				s.settle()
				grow(1050)
				s.want(want...)
			})
		}
	}
}

// A heldClock is what a Set tells the time by. Until it is released it stands still, but for what the test says has passed.
type heldClock struct {
	mu   sync.Mutex
	at   time.Duration
	went time.Time // when it was released
}

func (c *heldClock) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.went.IsZero() {
		return int64(c.at)
	}
	return int64(c.at + time.Since(c.went))
}

func (c *heldClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at += d
}

func (c *heldClock) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.went = time.Now()
}

// unsettled is less than a cut file must keep its size to be judged.
const unsettled = 80 * time.Millisecond

// rewriteSlowly is `tail -n 500 L >t; cat t >L` where cat gets 4 KiB at a time, and the Set has its looks in between.
func rewriteSlowly(s *stage, clock *heldClock) {
	s.sh("tail -n 500 L >t")
	t, err := os.ReadFile(s.path("t"))
	must(s.t, err)
	must(s.t, os.Truncate(s.path("L"), 0))
	for chunk := range slices.Chunk(t, 4<<10) {
		f, err := os.OpenFile(s.path("L"), os.O_WRONLY|os.O_APPEND, 0)
		must(s.t, err)
		_, err = f.Write(chunk)
		must(s.t, err)
		must(s.t, f.Close())
		s.settle()
		clock.pass(unsettled)
	}
}

// F30: copytruncate takes lines that nobody has read yet. They are in the copy, and count from there, without a restart.
func TestFaultsCopytruncateBehind(t *testing.T) {
	const cut = "[ ! -e L.1 ] || mv L.1 L.2; cp L L.1; truncate -s 0 L; "
	for name, scripts := range map[string][]string{
		"once":                 {cut},
		"and compressed":       {cut + "gzip L.1"},
		"twice":                {cut, cut},
		"twice and compressed": {cut, cut + "gzip L.2"},
	} {
		for _, state := range []string{"busy", "busy, then killed", "stopped", "killed"} {
			t.Run(name+"/"+state, func(t *testing.T) {
				t.Parallel()
				s := newStage(t, setting{paths: []string{"L"}, fromBeginning: true})
				want := lines("a", 0, 1000)
				s.append("L", want...)
				s.run()
				s.want(want...)
				s.save()
				grow := func(n int) {
					more := lines("a", len(want), len(want)+n)
					s.append("L", more...)
					want = append(want, more...)
				}
				change := func() {
					for _, script := range scripts {
						s.sh(script)
						grow(300)
					}
				}
				busy := strings.HasPrefix(state, "busy")
				if busy {
					s.books.hold(true)
				}
				if state == "stopped" {
					s.stop()
				}
				grow(6000) // more than one read takes
				switch state {
				case "busy", "busy, then killed":
					s.books.awaitReader(t)
					change()
					if s.books.hold(false); state == "busy, then killed" {
						s.settle()
						s.kill()
						s.run()
					}
				case "stopped":
					change()
					s.run()
				case "killed":
					s.want(want...)
					s.kill()
					change()
					s.run()
				}
				s.want(want...)
			})
		}
	}
}

// A copytruncate between the two copies of a save: the books were copied, then lines were counted and cut away, then the catalogue was
// made. After a kill those lines are in neither; they are found in the copy.
func TestFaultsCopytruncateWithinASave(t *testing.T) {
	for _, compress := range []bool{false, true} {
		t.Run(fmt.Sprintf("compressed %v", compress), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, setting{paths: []string{"L"}, fromBeginning: true})
			want := lines("a", 0, 1000)
			s.append("L", want...)
			s.run()
			s.want(want...)
			s.saved = s.books.copied()
			s.append("L", lines("a", 1000, 1500)...)
			want = append(want, lines("a", 1000, 1500)...)
			s.want(want...)
			s.sh("cp L L.1; truncate -s 0 L")
			s.settle()
			s.append("L", lines("a", 1500, 1510)...)
			want = append(want, lines("a", 1500, 1510)...)
			s.want(want...)
			s.catalogue = s.set.Catalogue(maps.Clone(s.saved.positions))
			s.kill()
			if compress {
				s.sh("gzip L.1")
			}
			s.run()
			s.want(want...)
		})
	}
}

// F28: a file that is called as the pattern is one of its files, and has a row of its own.
func TestFaultsFileCalledAsThePattern(t *testing.T) {
	for _, l := range lives {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, setting{paths: []string{"*.log"}, fromBeginning: true})
			s.append("a.log", lines("a", 0, 10)...)
			s.append("*.log", lines("star", 0, 10)...)
			s.run()
			s.settle()
			s.save()
			s.through(l, func() {
				s.append("*.log", lines("star", 10, 20)...)
				s.append("b.log", lines("b", 0, 20)...)
			})
			s.want(slices.Concat(lines("a", 0, 10), lines("star", 0, 20), lines("b", 0, 20))...)
			s.wantOf("*.log", lines("star", 0, 20)...)
			all := statusOf(t, s.set)
			for _, l := range []label{{path: s.path("a.log")}, {path: s.path("*.log")}, {path: s.path("b.log")}, {pattern: s.path("*.log")}} {
				if err, there := all[l]; !there || err != nil {
					t.Errorf("the row of %+v: there %v, error %v", l, there, err)
				}
			}
		})
	}
}

// F29: names of which one is the start of another are those of different logs, if they hold different lines.
func TestFaultsNamesThatLookRotated(t *testing.T) {
	names := []string{"web", "web-1", "web-2", "db", "db.1"}
	for order, first := range map[string][]string{
		"all there": names, "one there": {"web"}, "those with numbers there": {"web-1", "db.1"}, "none there": nil,
	} {
		for _, l := range lives {
			t.Run(order+"/"+string(l), func(t *testing.T) {
				t.Parallel()
				s := newStage(t, setting{paths: []string{"*"}, fromBeginning: true})
				var want []string
				grow := func(n, m int, names []string) {
					for _, name := range names {
						s.append(name, lines(name, n, m)...)
						want = append(want, lines(name, n, m)...)
					}
				}
				grow(0, 10, first)
				s.run()
				s.settle()
				s.save()
				s.through(l, func() { grow(10, 20, names) })
				s.settle()
				grow(20, 30, names)
				s.want(want...)
			})
		}
	}
}

// F29, the other way: what is a rotation is none of the pattern's own files, in all ways of logrotate. The log beside it is called like one.
func TestFaultsRotationsUnderAPattern(t *testing.T) {
	for _, script := range []string{
		"mv web web.1", "mv web web-20261128", "mv web web.1; gzip web.1",
		"cp web web.1; truncate -s 0 web", "cp web web-20261128; truncate -s 0 web; gzip web-20261128",
	} {
		for _, l := range lives {
			for _, other := range []string{"db", "web-1"} {
				t.Run(script+"/"+string(l)+"/"+other, func(t *testing.T) {
					t.Parallel()
					s := newStage(t, setting{paths: []string{"*"}, fromBeginning: true})
					var want []string
					grow := func(n, m int) {
						for _, name := range []string{"web", other} {
							s.append(name, lines(name, n, m)...)
							want = append(want, lines(name, n, m)...)
						}
					}
					grow(0, 100)
					s.run()
					s.want(want...)
					s.save()
					s.through(l, func() {
						s.sh(script)
						grow(100, 110)
					})
					s.want(want...)
				})
			}
		}
	}
}

// F33: where a pattern names more files than are followed at a time, these are the ones that were written to last. What is written to
// another is counted, too.
func TestFaultsMoreFilesThanTheBound(t *testing.T) {
	const files, busy = 300, 40 // more than 256
	s := newStage(t, setting{paths: []string{"*.log"}, poll: 50 * time.Millisecond})
	name := func(i int) string { return fmt.Sprintf("%03d.log", i) }
	before := time.Now().Add(-24 * time.Hour)
	for i := range files {
		s.append(name(i), line(name(i), 0))
		at := before.Add(time.Duration(i) * time.Minute)
		must(t, os.Chtimes(s.path(name(i)), at, at))
	}
	s.run()
	s.settle()
	var want []string
	for _, from := range []int{files - busy, 0, files/2 - busy/2} { // written to last, first, and in between
		for i := from; i < from+busy; i++ {
			s.append(name(i), line(name(i), 1))
			want = append(want, line(name(i), 1))
		}
		s.want(want...)
	}
}

// Lines that nobody has read are in a file that bzip2 has made: the rest of a known log, and a log that came and went while nobody looked.
func TestFaultsBzip2(t *testing.T) {
	packed, err := os.Open("testdata/rotated.bz2") // 2,000 lines as line makes them of the daemon "a", by bzip2 1.0.8
	must(t, err)
	defer packed.Close()
	b, err := io.ReadAll(bzip2.NewReader(packed))
	must(t, err)
	all := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if want := lines("a", 0, 2000); !slices.Equal(all, want) {
		t.Fatalf("the fixture has %d other lines", len(all))
	}
	fixture, err := filepath.Abs(packed.Name())
	must(t, err)
	for name, c := range map[string]struct {
		before, want []string
		script       string
	}{
		"the rest of a known log": {all[:1000], all, "rm L"},
		"a log that came since":   {lines("old", 0, 100), slices.Concat(lines("old", 0, 100), all), "mv L L.2"},
	} {
		for _, l := range []life{stopped, killedBefore} {
			t.Run(name+"/"+string(l), func(t *testing.T) {
				t.Parallel()
				s := newStage(t, setting{paths: []string{"L"}, fromBeginning: true})
				s.append("L", c.before...)
				s.run()
				s.want(c.before...)
				s.save()
				s.through(l, func() {
					s.sh(c.script + "; cp '" + fixture + "' L.1.bz2")
					s.append("L", lines("new", 0, 10)...)
				})
				s.want(slices.Concat(c.want, lines("new", 0, 10))...)
			})
		}
	}
}

// Each path of the settings has a row from the start, with the reason where it isn't read, and what is in it counts once.
func TestFaultsEveryPathHasARow(t *testing.T) {
	for _, c := range []struct {
		name, script string   // which makes "odd" beside "log"
		lines        []string // of odd, that count
		wrong        int      // paths with a reason
	}{
		{"a log", "head -n 40 log | sed 's/send a/send b/' >odd", lines("b", 0, 40), 0},
		{"missing", "", nil, 1},
		{"a directory", "mkdir odd", nil, 1},
		{"a FIFO", "mkfifo odd", nil, 1},
		{"a copy", "cp log odd", nil, 1},
		{"a hard link", "ln log odd", nil, 1},
		{"a link", "ln -s log odd", nil, 1},
		{"a broken link", "ln -s nothing odd", nil, 1},
	} {
		for _, paths := range [][]string{{"log", "odd"}, {"odd", "log"}} {
			t.Run(c.name+"/"+paths[0]+" first", func(t *testing.T) {
				t.Parallel()
				s := newStage(t, setting{paths: paths, fromBeginning: true})
				s.append("log", lines("a", 0, 100)...)
				s.sh(c.script)
				wrong := func(set *follow.Set) (n int) {
					t.Helper()
					all := statusOf(t, set)
					for _, path := range paths {
						err, there := all[label{path: s.path(path)}]
						if !there {
							t.Fatalf("%q has no row: %v", path, all)
						}
						if err != nil {
							n++
						}
					}
					return n
				}
				set, err := newSet(s.setting, nil, s.books)
				must(t, err)
				wrong(set)
				must(t, set.Close())
				s.run()
				s.want(slices.Concat(lines("a", 0, 100), c.lines)...)
				if n := wrong(s.set); n != c.wrong {
					t.Errorf("%d paths are said not to be read, want %d: %v", n, c.wrong, statusOf(t, s.set))
				}
			})
		}
	}
}
