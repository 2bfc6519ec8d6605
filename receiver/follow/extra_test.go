package follow

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"rsyncd_exporter/receiver"
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

func appendTo(t *testing.T, path string, lines ...string) {
	t.Helper()
	w := create(t, path)
	w.write(text(lines))
	must(t, w.f.Close())
}

// waitUntilOlder waits until a file's time of birth shows that it is older than what is made now: clocks are given clockSlack.
func waitUntilOlder(t *testing.T, path string) {
	t.Helper()
	info, err := statPath(path, false)
	must(t, err)
	reach(t, "time passes", func() bool { return time.Now().UnixNano() > info.written+int64(clockSlack)+int64(20*time.Millisecond) })
}

func (s *setSink) reach(t *testing.T, n int) {
	t.Helper()
	reach(t, fmt.Sprintf("%d lines", n), func() bool { return len(s.all()) >= n })
}
