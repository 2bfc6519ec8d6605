package backfill

import (
	"io"
	"testing"
	"time"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/rsynclog"
)

// The names of series that are gone are forgotten, however many there were.
func TestNamesAreForgotten(t *testing.T) {
	s := newSamples(io.Discard, nil)
	for _, host := range []string{"one", "two", "three"} {
		store := metrics.NewStore(metrics.Config{MaxSeries: 1000, Hosts: []string{host}, Start: time.Unix(1, 0)})
		s.write(int64(time.Hour), int64(time.Minute), store.Snapshot(noSessions{}, 0))
		if len(s.series) != len(s.list) || len(s.list) == 0 {
			t.Errorf("%d series, %d are remembered", len(s.list), len(s.series))
		}
	}
}

type noSessions struct{}

func (noSessions) Active(func(*rsynclog.Session)) {}
func (noSessions) Len() int                       { return 0 }
func (noSessions) Evicted() uint64                { return 0 }
func (noSessions) Overflown() uint64              { return 0 }
