package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"rsyncd_exporter/internal/systemd"
)

// A heart beats as long as what it is part of goes around its loop.
type heart interface {
	Turns() uint64 // of the loop so far
	String() string
}

// supervised is the task that tells the supervisor how the program is (Type=notify in a systemd unit): ready when it starts, since everything
// is open then; stopping at the end; and in between, twice in each watchdog interval, alive. That it says only when all hearts have beaten
// since the last look. So a reader that is stuck, or a pipeline whose lock nobody gets, ends in a restart.
type supervised struct {
	watchdog time.Duration // 0: nobody watches
	hearts   []heart
	notify   func(state string) error
	log      *slog.Logger
}

// Run implements task. That the supervisor can't be told is no reason to end.
func (s *supervised) Run(ctx context.Context) error {
	s.tell(systemd.Ready)
	defer s.tell(systemd.Stopping)
	if s.watchdog == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(s.watchdog / 2)
	defer tick.Stop()
	turns := make([]uint64, len(s.hearts))
	for i, h := range s.hearts {
		turns[i] = h.Turns()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if s.allBeat(turns) {
				s.tell(systemd.Watchdog)
			}
		}
	}
}

// allBeat says whether all hearts have beaten since their turns were noted, and notes them anew. Those that have not are logged.
func (s *supervised) allBeat(turns []uint64) bool {
	all := true
	for i, h := range s.hearts {
		now := h.Turns()
		if now == turns[i] {
			all = false
			s.log.Error("stuck: without WATCHDOG=1, systemd will restart the service", "what", h.String(), "since", fmt.Sprint(s.watchdog/2, " or longer"))
		}
		turns[i] = now
	}
	return all
}

func (s *supervised) tell(state string) {
	if err := s.notify(state); err != nil {
		s.log.Warn("the supervisor can't be told", "state", state, "err", err)
	}
}

func (*supervised) String() string { return "notifier of the supervisor" }
