package checkpoint_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rsyncd_exporter/checkpoint"
)

// BenchmarkSave saves 2 MiB, which is what the state of an exporter at its cap of series takes at most, and in turn writes and syncs one plain
// file of that size; ×plain is what a save costs in such files.
func BenchmarkSave(b *testing.B) {
	dir := b.TempDir()
	d := open(b, filepath.Join(dir, "state"))
	if _, err := d.Load(); !errors.Is(err, checkpoint.ErrNone) {
		b.Fatal(err)
	}
	payload := make([]byte, 2<<20)
	plain := func() {
		f, err := os.Create(filepath.Join(dir, "plain"))
		if err != nil {
			b.Fatal(err)
		}
		_, err = f.Write(payload)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	var saves, plains time.Duration
	timed := func(total *time.Duration, what func()) {
		start := time.Now()
		what()
		*total += time.Since(start)
	}
	for b.Loop() {
		timed(&saves, func() {
			if err := d.Save(payload); err != nil {
				b.Fatal(err)
			}
		})
		b.StopTimer()
		timed(&plains, plain)
		b.StartTimer()
	}
	b.ReportMetric(float64(saves)/float64(plains), "×plain")
}
