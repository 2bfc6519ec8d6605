package follow

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// weightSink counts lines and sums up the random weights that they carry: a line lost and another one counted twice don't cancel out.
type weightSink struct {
	mu        sync.Mutex
	seen      map[int]int // by line number
	sum       uint64
	discarded uint64
	bad       []string
}

func (s *weightSink) source(path string, scope uint32) receiver.Source {
	return receiver.Source{Input: "file", Name: path, Scope: scope, Dialect: syslog.Lines{}}
}

func (s *weightSink) Deliver(_ *receiver.Source, slab *receiver.Slab) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range slab.Messages {
		rest, ok := strings.CutPrefix(string(m), "2026/11/23 18:40:52 [")
		number, rest, ok2 := strings.Cut(rest, "] sent ")
		digits, rest, ok3 := strings.Cut(rest, " bytes  received ")
		n, err := strconv.Atoi(number)
		weight, err2 := strconv.ParseUint(digits, 10, 32)
		if !ok || !ok2 || !ok3 || err != nil || err2 != nil || !strings.HasSuffix(rest, "  total size 5") {
			s.bad = append(s.bad, string(m))
		}
		s.seen[n]++
		s.sum += weight
	}
	for _, n := range slab.Discarded {
		s.discarded += uint64(n)
	}
}

func (s *weightSink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// A model is the world that a Set is put into: writers that keep their descriptors, and someone who rotates. It does one random thing
// after another, as fast as it can, and knows what should come out.
type model struct {
	t       *testing.T
	r       *rand.Rand
	dir     string
	paths   []string // of the logs
	set     *Set
	sink    *weightSink
	writers []*modelWriter // those still alive
	n       int            // lines begun
	sum     uint64
	half    int // lines that have not ended
	rotated int
}

type modelWriter struct {
	writer
	rest string // of a line that has not ended
}

const modelWriters = 20 // alive at the same time, so that no file that is written to is let go for the number of files

func (m *model) newLine() string {
	m.n++
	weight := uint64(m.r.Uint32() >> 1)
	m.sum += weight
	return fmt.Sprintf("2026/11/23 18:40:52 [%d] sent %d bytes  received %s  total size 5\n", m.n, weight, strings.Repeat("7", m.r.IntN(60)))
}

// write writes some whole lines, or part of one, or the rest of one.
func (m *model) write(w *modelWriter) {
	switch {
	case w.rest != "":
		w.write(w.rest)
		w.rest = ""
		m.half--
	case m.r.IntN(8) == 0:
		s := m.newLine()
		cut := 1 + m.r.IntN(len(s)-1)
		w.write(s[:cut])
		w.rest = s[cut:]
		m.half++
	default:
		for range 1 + m.r.IntN(5) {
			w.write(m.newLine())
		}
	}
}

func (m *model) open(path string) {
	m.writers = append(m.writers, &modelWriter{writer: create(m.t, path)})
	if len(m.writers) > modelWriters {
		m.end(m.r.IntN(modelWriters - 1))
	}
}

// end ends a writer, with its last line whole.
func (m *model) end(i int) {
	w := m.writers[i]
	if w.rest != "" {
		m.write(w)
	}
	must(m.t, w.f.Close())
	m.writers = append(m.writers[:i], m.writers[i+1:]...)
}

// rotate moves a file away in one of the ways that programs have.
func (m *model) rotate() {
	path := m.paths[m.r.IntN(len(m.paths))]
	m.rotated++
	switch m.r.IntN(16) {
	case 0, 1, 2, 3: // .1 to .2 to .3 to a name of its own
		for i := 2; i >= 0; i-- {
			to := numbered(path, i+1)
			if i == 2 {
				to = fmt.Sprintf("%s.%d-%d", path, 3, m.rotated)
			}
			if err := os.Rename(numbered(path, i), to); err != nil && !os.IsNotExist(err) {
				m.t.Fatal(err)
			}
		}
	case 4: // to another directory
		m.caughtUp()
		m.purge(path)
		must(m.t, os.Rename(path, filepath.Join(m.dir, "old", strconv.Itoa(m.rotated))))
	case 5: // deleted, while its writer lives on
		m.caughtUp()
		must(m.t, os.Remove(path))
	default:
		must(m.t, os.Rename(path, fmt.Sprintf("%s-%d", path, m.rotated)))
	}
	if m.r.IntN(4) == 0 { // the new file comes later
		for range m.r.IntN(20) {
			m.write(m.writers[m.r.IntN(len(m.writers))])
		}
	}
	m.open(path)
}

// caughtUp waits until all is read, so that the newest files are held: what nobody can find afterwards would be lost.
func (m *model) caughtUp() {
	m.t.Helper()
	const long = 15 * time.Minute // nothing is said about how soon: the writers are as fast as they can be
	testenv.Until(m.t, long, "all whole lines to be read, the newest files to be held", func() bool {
		return m.sink.count() >= m.n-m.half && !slices.ContainsFunc(m.paths, func(path string) bool {
			info, err := statPath(path, true)
			return err == nil && !holds(m.set, info.id)
		})
	})
}

// purge deletes what has been rotated and is held.
func (m *model) purge(path string) {
	names, err := filepath.Glob(path + "?*")
	must(m.t, err)
	for _, name := range names {
		info, err := statPath(name, false)
		must(m.t, err)
		if holds(m.set, info.id) {
			must(m.t, os.Remove(name))
		}
	}
}

// The model test: thousands of rotations of all kinds at speed, with old writers alive; nothing is lost and nothing counted twice.
func TestSetModel(t *testing.T) {
	events, polling := SetOptions{Poll: 100 * time.Millisecond}, SetOptions{Poll: 3 * time.Millisecond, pollOnly: true}
	for name, test := range map[string]struct {
		opt       SetOptions
		pattern   string
		logs      []string
		rotations int
	}{
		"events":            {events, "a.log", []string{"a.log"}, 1500},
		"events, pattern":   {events, "*.log", []string{"a.log", "b.log", "c.log"}, 500},
		"polling":           {polling, "a.log", []string{"a.log"}, 300},
		"polling, patterns": {polling, "*.log", []string{"a.log", "b.log"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			seed := testenv.Seed(t)
			dir := t.TempDir()
			must(t, os.Mkdir(filepath.Join(dir, "old"), 0o755))
			m := &model{t: t, r: rand.New(rand.NewPCG(seed, 0)), dir: dir, sink: &weightSink{seen: map[int]int{}}}
			m.set = newRunningSet(t, m.sink, []string{filepath.Join(dir, test.pattern)}, test.opt)
			stop := start(t, m.set)
			for _, name := range test.logs {
				path := filepath.Join(dir, name)
				m.paths = append(m.paths, path)
				m.open(path)
			}
			for m.rotated < test.rotations {
				for range m.r.IntN(25) {
					m.write(m.writers[m.r.IntN(len(m.writers))])
				}
				m.rotate()
			}
			for len(m.writers) > 0 {
				m.end(0)
			}
			m.caughtUp()
			stop()
			m.check()
		})
	}
}

func (m *model) check() {
	m.t.Helper()
	lost, twice := 0, 0
	for n := 1; n <= m.n; n++ {
		switch m.sink.seen[n] {
		case 0:
			lost++
		case 1:
		default:
			twice++
		}
	}
	var s Status
	for _, one := range m.set.Status() {
		s.Rotations += one.Rotations
		s.Errors += one.Errors
		for i, n := range one.Gaps {
			s.Gaps[i] += n
		}
	}
	if lost > 0 || twice > 0 || m.sink.sum != m.sum || m.sink.discarded != 0 || len(m.sink.bad) > 0 || s.Gaps != [NumGaps]uint64{} || s.Errors != 0 {
		m.t.Errorf("of %d lines in %d rotations %d lost, %d twice, sum %d for %d, %d discarded, bad %q, status %+v",
			m.n, m.rotated, lost, twice, m.sink.sum, m.sum, m.sink.discarded, clip(m.sink.bad), s)
	}
	m.t.Logf("%d lines, %d rotations of which %d were seen", m.n, m.rotated, s.Rotations)
}
