package pipeline_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status/sessionlog"
)

// The sessions that wait for the session log are those that /metrics has counted, by outcome and in bytes: also those that say more of one
// that was counted before, and over restarts.
func TestTheSessionLogHasWhatIsCounted(t *testing.T) {
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	s := newScript(t, r)
	amended := 0
	for range testenv.Tortured(20, 1000) {
		synctest.Test(t, func(t *testing.T) {
			c := s.config()
			c.MaxSeries = 100_000 // no host is forgotten with its counts
			c.Books = func(from *pipeline.Checkpoint) pipeline.Books {
				if from == nil {
					from = &pipeline.Checkpoint{}
				}
				return pipeline.Books{Ended: sessionlog.NewQueue(from.Ended, true, 0)}
			}
			p := newPipeline(t, c)
			for range 4 {
				for range 20 {
					p.Deliver(s.slab())
					time.Sleep(s.pause())
				}
				_, state := p.Save(nil)
				p = again(t, state, c)
			}
			p.EndAll(1000 * time.Hour)
			snap, state := p.Save(nil)
			var want, got [rsynclog.NumOutcomes + 3]uint64 // and bytes sent, received and listed
			for _, h := range snap.Hosts {
				for _, m := range h.Modules {
					for _, f := range m.Flows {
						for outcome, n := range f.SessionsByOutcome {
							want[outcome] += n
						}
						want[rsynclog.NumOutcomes] += f.Sent
						want[rsynclog.NumOutcomes+1] += f.Received
						want[rsynclog.NumOutcomes+2] += f.Listed
					}
				}
			}
			for _, part := range state.Ended.Pending {
				for i := range part {
					e := &part[i]
					if e.Amends {
						amended++
					}
					for o := range rsynclog.NumOutcomes {
						if !e.Amends && o.String() == e.Outcome {
							got[o]++
						}
					}
					got[rsynclog.NumOutcomes] += e.Sent
					got[rsynclog.NumOutcomes+1] += e.Received
					got[rsynclog.NumOutcomes+2] += e.Listed
				}
			}
			if got != want {
				t.Fatalf("the session log has %v, and counted are %v", got, want)
			}
		})
	}
	t.Logf("%d lines amended others", amended)
}
