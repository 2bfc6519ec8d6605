package testenv

import (
	"sync/atomic"
	"testing"
	"time"
)

// tick is what a Watch counts.
const tick = 10 * time.Millisecond

// A Watch measures time without a busy machine's part of it. It counts sleeps of 10 ms, each of which
// takes longer where others have the processors: then what is measured has to wait for them as well.
type Watch struct{ ticks atomic.Int64 }

// StartWatch starts one, which goes on until the end of the test.
func StartWatch(t testing.TB) *Watch {
	t.Helper()
	w := &Watch{}
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(tick):
				w.ticks.Add(1)
			}
		}
	}()
	return w
}

// Elapsed returns what has passed since the start.
func (w *Watch) Elapsed() time.Duration { return time.Duration(w.ticks.Load()) * tick }

// Within waits until done is closed, or the watch shows more than limit. Then it returns false.
func (w *Watch) Within(limit time.Duration, done <-chan struct{}) bool {
	for {
		select {
		case <-done:
			return true
		case <-time.After(tick):
			if w.Elapsed() > limit {
				return false
			}
		}
	}
}
