package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
)

// slowDisk returns a program whose saves take a second, and the number of those that have ended.
func slowDisk(t *testing.T, k *kept, in *inputs) (pr *program, saved *int) {
	ctx, stop := context.WithCancel(t.Context())
	saved = new(int)
	take := func() (view, func() ([]byte, error)) { return view{}, func() ([]byte, error) { return nil, nil } }
	save := func([]byte) error {
		time.Sleep(time.Second)
		*saved++
		return nil
	}
	pr = &program{kept: k, in: in, persist: newPersister(take, func() uint64 { return 0 }, save, slog.New(slog.DiscardHandler))}
	done := make(chan struct{})
	go func() {
		defer close(done)
		pr.persist.run(ctx)
	}()
	t.Cleanup(func() { stop(); <-done })
	return pr, saved
}

// Where files are at the first start must be known to the second: nothing is shown before that is saved.
func TestNothingIsShownBeforeTheFirstSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, saved := slowDisk(t, &kept{}, &inputs{})
		<-pr.caughtUp(t.Context())
		if *saved != 1 {
			t.Errorf("%d saves have ended before anything may be shown, want 1", *saved)
		}
	})
}

// Restored counters are shown once the files have been read on and what was restored is durable, not before.
func TestNothingIsShownWhileFilesAreReadOn(t *testing.T) {
	for _, c := range []struct{ read, durable bool }{{false, true}, {true, false}, {true, true}} {
		synctest.Test(t, func(t *testing.T) {
			in := &inputs{}
			if !c.read {
				files, err := follow.NewSet(follow.SetOptions{
					Paths:  []string{filepath.Join(t.TempDir(), "log")},
					Source: func(path string, scope uint32) receiver.Source { return receiver.Source{Name: path, Scope: scope} },
				}, nil) // which nobody runs
				if err != nil {
					t.Fatal(err)
				}
				defer files.Close()
				in.files = files
			}
			pr, _ := slowDisk(t, &kept{saved: &pipeline.Checkpoint{}}, in)
			pr.settled = make(chan struct{})
			if c.durable {
				close(pr.settled)
			}
			shown := pr.caughtUp(t.Context())
			time.Sleep(time.Hour)
			select {
			case <-shown:
				if !c.read || !c.durable {
					t.Errorf("files read on: %v, durable: %v, and counters are shown", c.read, c.durable)
				}
			default:
				if c.read && c.durable {
					t.Error("counters are never shown")
				}
			}
		})
	}
}
