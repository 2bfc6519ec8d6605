package follow

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// lineSink keeps every line with the file that it came from, and checks that each slab's position fits what it has seen.
type lineSink struct {
	mu        sync.Mutex
	lines     []string
	from      []receiver.FileID
	discarded [receiver.NumDiscards]uint64
	backlog   []bool // of each line, whether its slab said that it was there before
	told      []int  // how many lines had come when a slab said that the file has caught up
	last      map[receiver.FileID]receiver.FilePosition
	wrong     []string
}

func newLineSink() *lineSink { return &lineSink{last: map[receiver.FileID]receiver.FilePosition{}} }

func (s *lineSink) Deliver(src *receiver.Source, slab *receiver.Slab) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isCaughtUp(slab) {
		s.told = append(s.told, len(s.lines))
		return
	}
	if src.Name != "file test" || slab.At == 0 || slab.Position == nil {
		s.wrong = append(s.wrong, fmt.Sprintf("slab from %q at %d with position %v", src.Name, slab.At, slab.Position))
		return
	}
	p := *slab.Position
	size := int64(0)
	for _, m := range slab.Messages {
		s.lines = append(s.lines, string(m))
		s.from = append(s.from, p.ID)
		s.backlog = append(s.backlog, slab.Backlog)
		size += int64(len(m)) + 1
	}
	for i, n := range slab.Discarded {
		s.discarded[i] += uint64(n)
	}
	if last := []byte("\n"); len(slab.Messages) > 0 && !p.Skipping {
		last = append(slab.Messages[len(slab.Messages)-1], last...)
		last = last[max(0, len(last)-receiver.AnchorSize):]
		a := bytes.TrimRight(anchorOf(&p), "\x00") // of a hole, as far as it reaches
		if slab.Discarded == [receiver.NumDiscards]uint32{} && !bytes.HasSuffix(last, a[max(0, len(a)-len(last)):]) {
			s.wrong = append(s.wrong, fmt.Sprintf("anchor %q after the line %q", a, last))
		}
	}
	before := s.last[p.ID]
	if p.Offset-before.Offset < size && p.Offset < size { // the second: it has been read from 0 again
		s.wrong = append(s.wrong, fmt.Sprintf("%d bytes of lines from offset %d to %d", size, before.Offset, p.Offset))
	}
	s.last[p.ID] = p
}

// isCaughtUp reports whether the slab says nothing but that the file has caught up.
func isCaughtUp(s *receiver.Slab) bool {
	empty := len(s.Messages) == 0 && len(s.Senders) == 0 && s.Discarded == [receiver.NumDiscards]uint32{}
	return empty && s.Position == nil && !s.Backlog && s.At != 0
}

func (s *lineSink) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

func (s *lineSink) toldAt() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}

func (s *lineSink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

func (s *lineSink) discards(d receiver.Discard) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.discarded[d]
}

// check compares what has come with what should have, and all positions with the lines.
func (s *lineSink) check(t *testing.T, inOrder bool, want ...string) {
	t.Helper()
	got := s.all()
	if !inOrder {
		slices.Sort(got)
		want = slices.Sorted(slices.Values(want))
	}
	if !slices.Equal(got, want) {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		t.Errorf("got %d lines, want %d; from line %d on: got %q, want %q", len(got), len(want), i,
			clip(got[i:min(i+3, len(got))]), clip(want[i:min(i+3, len(want))]))
	}
	for _, w := range s.wrong {
		t.Error(w)
	}
}

// follow makes a File for path, which looks once, and ends it with the test.
func follow(t *testing.T, sink receiver.Sink, opt Options) *File {
	t.Helper()
	f := hold(t, sink, opt)
	t.Cleanup(func() { f.Close() })
	return f
}

// hold is follow for a test that makes more of them than it should keep until its end.
func hold(t *testing.T, sink receiver.Sink, opt Options) *File {
	t.Helper()
	f, err := newFile(receiver.Source{Input: "file", Name: "file test", Scope: 1, Dialect: syslog.Lines{}}, opt, sink)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// bothWays runs a test with inotify and a poll interval that would let it time out, and with polling only.
func bothWays(t *testing.T, test func(t *testing.T, opt Options)) {
	t.Run("events", func(t *testing.T) {
		test(t, Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Minute}})
	})
	t.Run("polling", func(t *testing.T) {
		test(t, Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: 2 * time.Millisecond, pollOnly: true}})
	})
}

// A writer appends as rsyncd does: O_APPEND, one write per line, and the descriptor stays open whatever happens to the name.
type writer struct {
	t testing.TB
	f *os.File
}

func create(t testing.TB, path string) writer {
	t.Helper()
	return createMode(t, path, 0o644)
}

func createMode(t testing.TB, path string, mode os.FileMode) writer {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return writer{t, f}
}

func (w writer) write(text ...string) {
	w.t.Helper()
	for _, s := range text {
		if _, err := w.f.WriteString(s); err != nil {
			w.t.Fatal(err)
		}
	}
}

// line makes a line like rsyncd's, another one for each n.
func line(n int) string {
	return fmt.Sprintf("2026/11/23 18:%02d:%02d [%d] send localhost [127.0.0.1] data () dir/file-%d %d", n/60%60, n%60, 500+n%7, n, n*37)
}

// lines returns lines n to m-1.
func lines(n, m int) (all []string) {
	for ; n < m; n++ {
		all = append(all, line(n))
	}
	return all
}

// text joins lines as they are in a file.
func text(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

func reachCount(t *testing.T, s *lineSink, n int) {
	t.Helper()
	reach(t, fmt.Sprintf("%d lines", n), func() bool { return s.count() >= n })
}
