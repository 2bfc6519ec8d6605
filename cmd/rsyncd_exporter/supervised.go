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

// supervised is the task that tells the supervisor how the program is (Type=notify in a systemd
// unit): ready when everything is open and what was logged while it was down has been read, and
// until then that it takes longer; stopping at the end; and in between, twice in each watchdog
// interval, alive. That it says only when all hearts have beaten since the last look. So a reader
// that is stuck, or a pipeline whose lock nobody gets, ends in a restart.
type supervised struct {
	ready    <-chan struct{} // closed when it is
	watchdog time.Duration   // 0: nobody watches
	hearts   []heart
	log      *slog.Logger
	deaf     bool // the supervisor could not be told lately, and the log says so
}

// readyAgain is how soon READY=1 is told again to a supervisor that didn't hear it: without it the
// start would be taken for one that hangs.
const readyAgain = time.Second

// Run implements task. That the supervisor can't be told is no reason to end.
func (s *supervised) Run(ctx context.Context) error {
	defer s.tell(systemd.Stopping)
	if !s.awaitReady(ctx) {
		return nil
	}
	for !s.tell(systemd.Ready) {
		again := time.NewTimer(readyAgain)
		select {
		case <-ctx.Done():
			again.Stop()
			return nil
		case <-again.C:
		}
	}
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

// awaitReady returns false if ctx ended before.
func (s *supervised) awaitReady(ctx context.Context) bool {
	tick := time.NewTicker(systemd.Extension / 3)
	defer tick.Stop()
	for {
		select {
		case <-s.ready: // first: a start that is ended as soon as it is ready was ready
			return true
		default:
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return false
		case <-tick.C:
			s.tell(systemd.ExtendTimeout)
		}
	}
}

// allBeat reports whether all hearts have beaten since their turns were noted, and notes them anew.
// Those that have not are logged.
func (s *supervised) allBeat(turns []uint64) bool {
	all := true
	for i, h := range s.hearts {
		now := h.Turns()
		if now == turns[i] {
			all = false
			s.log.Error("stuck: without WATCHDOG=1, systemd will restart the service",
				"what", h.String(), "since", fmt.Sprint(s.watchdog/2, " or longer"))
		}
		turns[i] = now
	}
	return all
}

// tell returns whether the supervisor could be told. That it can't is logged once, until it can
// again.
func (s *supervised) tell(state string) (told bool) {
	err := systemd.Notify(state)
	switch {
	case err != nil && !s.deaf:
		s.log.Warn("the supervisor can't be told", "state", state, "err", err)
	case err == nil && s.deaf:
		s.log.Info("the supervisor can be told again", "state", state)
	}
	s.deaf = err != nil
	return err == nil
}

func (*supervised) String() string { return "notifier of the supervisor" }
