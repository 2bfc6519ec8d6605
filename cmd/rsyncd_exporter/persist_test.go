package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/ownlog"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
)

// A ledger is a persister of one number, which each take raises by one, with what its directory holds.
type ledger struct {
	*persister
	number  uint64
	log     lockedBuffer
	mu      sync.Mutex
	durable string
	fail    error
	slow    time.Duration
	saves   int
	stop    func() // ends run, and waits for it
}

func newLedger(t *testing.T) *ledger {
	l := &ledger{}
	l.persister = newPersister(
		func() (view, func() ([]byte, error)) {
			n := l.number
			l.number++
			return view{files: []metrics.File{{Rotations: n}}, at: time.Now()}, func() ([]byte, error) { return []byte(strconv.FormatUint(n, 10)), nil }
		},
		func() uint64 { return 0 },
		func(state []byte) error {
			l.mu.Lock()
			slow := l.slow
			l.mu.Unlock()
			time.Sleep(slow)
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.fail == nil {
				l.durable = string(state)
			}
			l.saves++
			return l.fail
		}, ownlog.New(&l.log, slog.LevelInfo))
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.run(ctx) })
	l.stop = func() { stop(); running.Wait() }
	t.Cleanup(l.stop)
	return l
}

// disk changes how saves go from now on.
func (l *ledger) disk(slow time.Duration, fail error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow, l.fail = slow, fail
}

// look is a scrape: the number that it shows, after which its directory must hold no less.
func (l *ledger) look(t *testing.T) (uint64, bool) {
	t.Helper()
	shown, ok := l.show()
	l.mu.Lock()
	defer l.mu.Unlock()
	n := shown.files[0].Rotations
	if durable, _ := strconv.ParseUint(l.durable, 10, 64); n > durable {
		t.Errorf("%d is shown, and %q is durable", n, l.durable)
	}
	return n, ok
}

func TestAScrapeShowsWhatIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		for want := uint64(1); want < 4; want++ { // 0 was taken for what is shown before the first save
			if n, ok := l.look(t); n != want || !ok {
				t.Errorf("%d (%v) is shown, want %d", n, ok, want)
			}
		}
	})
}

// A file that a pattern has found since the save isn't shown: after a crash it might not be found again, and its series would have gone.
func TestFilesThatAreShownAreDurable(t *testing.T) {
	live := []metrics.File{{Path: "a", Lag: 1, Rotations: 2}, {Path: "new", Lag: 3}, {Path: "b", Lag: 4, Errors: 5}}
	durable := []metrics.File{{Path: "gone", Rotations: 6}, {Path: "b"}, {Path: "a", Lag: 7, Rotations: 1}}
	want := []metrics.File{{Path: "a", Lag: 1, Rotations: 1}, {Path: "b", Lag: 4}}
	if got := durableFiles(live, durable); !reflect.DeepEqual(got, want) {
		t.Errorf("shown: %+v, want %+v", got, want)
	}
}

// What is shown was taken after the scrape began, however many scrape at once.
func TestScrapesAtOnceShareASave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		l.disk(time.Second, nil)
		var scrapes sync.WaitGroup
		for range 100 {
			began := time.Now()
			scrapes.Go(func() {
				if shown, ok := l.show(); !ok || shown.at.Before(began) {
					t.Errorf("shown is of %v, the scrape of %v", shown.at, began)
				}
			})
		}
		scrapes.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.saves > 2 {
			t.Errorf("%d saves for 100 scrapes at once", l.saves)
		}
	})
}

// FAULTS D8: a disk that takes 5 s. Scrapes get what is durable before they lose patience.
func TestASlowDiskDelaysScrapesALittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		l.look(t)
		l.disk(5*time.Second, nil)
		for range 3 {
			began := time.Now()
			n, ok := l.look(t)
			if took := time.Since(began); took != persistPatience || n != 1 || !ok {
				t.Errorf("%d (%v) is shown after %v, want 1 after %v", n, ok, took, persistPatience)
			}
		}
		if n, _ := l.look(t); n != 2 { // the first save was under way for 4.5 s
			t.Errorf("%d is shown after the save, want 2", n)
		}
	})
}

// FAULTS D1 to D3: as long as nothing can be saved, what is shown stays; then it goes on. It is logged once.
func TestWhatCantBeSavedIsNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		l.look(t)
		l.disk(0, errors.New("no space left on device"))
		for range 3 {
			if n, ok := l.look(t); n != 1 || ok {
				t.Errorf("%d (%v) is shown, want 1", n, ok)
			}
		}
		l.disk(0, nil)
		if n, ok := l.look(t); n != 5 || !ok { // 2, 3 and 4 were taken in vain
			t.Errorf("%d (%v) is shown, want 5", n, ok)
		}
		if n := strings.Count(l.log.String(), "no space left"); n != 1 {
			t.Errorf("the log has %d lines about it:\n%s", n, l.log.String())
		}
	})
}

func TestTheStateIsSavedWithoutScrapesAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var saved []string
		var received, taken atomic.Uint64
		received.Store(7)
		p := newPersister(func() (view, func() ([]byte, error)) {
			n := received.Load()
			taken.Add(1)
			return view{received: n}, func() ([]byte, error) { return fmt.Append(nil, n), nil }
		}, received.Load, func(state []byte) error { saved = append(saved, string(state)); return nil }, slog.New(slog.DiscardHandler))
		var running sync.WaitGroup
		running.Go(func() { p.run(ctx) })
		for range 3 { // 8, 9 and 10
			received.Add(1)
			time.Sleep(persistInterval)
			synctest.Wait()
		}
		time.Sleep(100 * persistInterval) // nothing comes: the disk is left alone
		stop()
		running.Wait()
		if got := fmt.Sprint(saved); got != "[8 9 10 10]" { // one at each interval, one at the end
			t.Errorf("saved %s", got)
		}
		if n := taken.Load(); n != 1+4 { // at first, and for each save: to see whether something has come needs no copy
			t.Errorf("everything was copied %d times", n)
		}
	})
}

// A scrape that comes while the exporter stops is answered at once, with what the last save made durable.
func TestAScrapeAfterTheLastSaveDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		l.stop()
		began := time.Now()
		if _, ok := l.show(); !ok || l.durable != "1" {
			t.Errorf("%q is durable (%v), want 1", l.durable, ok)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("it waited for %v", waited)
		}
	})
}

// A save that has failed is tried again at the next interval, though nothing has come.
func TestAFailedSaveIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		l.disk(0, errors.New("no space left on device"))
		l.look(t)
		l.disk(0, nil)
		time.Sleep(persistInterval)
		synctest.Wait()
		if _, ok := l.shownLast(); !ok {
			t.Error("the disk has space again, and nothing was saved")
		}
	})
}

// The catalogue of one save tells the next which positions nobody needs any more.
func TestPositionsThatNoCatalogueListsAreForgotten(t *testing.T) {
	cfg := pipelineConfig(&config.Config{})
	cfg.Resumable = true
	p, err := pipeline.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	id := receiver.FileID{Inode: 7}
	p.Deliver(&receiver.Source{Input: kindFile, Name: "file"}, &receiver.Slab{Position: &receiver.FilePosition{ID: id, Offset: 1}})
	in := &inputs{catalogue: &follow.Catalogue{}}
	for save, want := range []int{1, 0} { // what has been delivered since the save before is in no catalogue yet
		if _, c := in.save(p); len(c.Counted()) != want {
			t.Errorf("save %d: %d positions, want %d", save, len(c.Counted()), want)
		}
	}
}
