package follow

import (
	"slices"
	"testing"
	"time"

	"rsyncd_exporter/receiver"
)

// What the model tests know of the insides of a Set.

// A modelSink tells how its files are to be described.
type modelSink interface {
	receiver.Sink
	source(path string, scope uint32) receiver.Source
}

// newModelSet makes a Set that is stepped by lookAll and readOn. It polls only, and lets nothing settle.
func newModelSet(t testing.TB, sink modelSink, paths []string, fromBeginning bool, resume *Catalogue) *Set {
	t.Helper()
	opt := SetOptions{Paths: paths, Source: sink.source, Resume: resume, FromBeginning: fromBeginning}
	opt.pollOnly, opt.unsettled, opt.answer = true, true, nothingHangs
	s, err := NewSet(opt, sink)
	must(t, err)
	return s
}

// nothingHangs is how long a look may take where no file server hangs, however slow the machine is.
const nothingHangs = time.Hour

// newRunningSet makes a Set for Run.
func newRunningSet(t testing.TB, sink modelSink, paths []string, opt SetOptions) *Set {
	t.Helper()
	opt.Paths, opt.Source, opt.answer = paths, sink.source, nothingHangs
	s, err := NewSet(opt, sink)
	must(t, err)
	return s
}

// lookAll looks at everything once: at patterns and files.
func lookAll(s *Set) { s.look(true) }

// generationsOf returns all that are open.
func generationsOf(s *Set) (all []*generation) {
	for _, t := range s.targets {
		all = append(all, t.generations...)
	}
	return all
}

// holds reports whether a Set that runs has a file open.
func holds(s *Set, id receiver.FileID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.targets, func(t *target) bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.held(id) != nil
	})
}

// readOn reads to the end what is there to be read, as the generation's own goroutine would.
func readOn(t testing.TB, g *generation) {
	t.Helper()
	g.started = true
	switch {
	case isClosed(g.done):
	case g.packed != nil:
		must(t, g.unpack())
		close(g.done)
	default:
		if err := g.drain(); err == errOtherCopy || err == errUnjudged {
			close(g.done)
			return
		} else {
			must(t, err)
		}
		if g.leaving {
			g.finish()
			close(g.done)
		}
	}
}

// pastSilence makes a generation look silent for longer than silentLimit, until undone.
func pastSilence(g *generation) (undo func()) {
	g.grew.Store(g.target.set.clock() - int64(2*silentLimit))
	return func() { g.grew.Store(g.target.set.clock()) }
}
