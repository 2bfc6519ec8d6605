package backfill_test

import (
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"rsyncd_exporter/report/backfill"
)

// A day of three hosts, 60 or 2,000 sessions each.
func BenchmarkDay(b *testing.B) {
	from := time.Date(2024, 1, 5, 0, 0, 0, 0, time.UTC)
	for _, bench := range []struct {
		name   string
		perDay int
	}{{"quiet", 60}, {"busy", 2000}} {
		b.Run(bench.name, func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 1))
			var all []log
			for _, host := range []string{"one", "two", "three"} {
				all = append(all, log{host: host, lines: generate(random, newTruth(), host, from, 1, bench.perDay, forms[0])})
			}
			b.ReportAllocs()
			for b.Loop() {
				var list []backfill.Lines
				for i := range all {
					list = append(list, newLines(b, &all[i]))
				}
				if _, err := backfill.Run(context.Background(), config(), list, io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
