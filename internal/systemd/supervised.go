package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// A Heart is part of a loop that must not stop.
type Heart interface {
	Turns() uint64 // how often the loop has turned so far
	String() string
}

// Supervised is the task that tells the supervisor how the program is (Type=notify): that it needs
// more time, is ready, and stops. Meanwhile it feeds the watchdog, but only if all hearts have
// beaten since the last time: a stuck loop ends in a restart.
type Supervised struct {
	Ready    <-chan struct{} // closed when the program is ready
	Watchdog time.Duration   // 0: nobody watches
	Hearts   []Heart
	Log      *slog.Logger
	deaf     bool // the last message could not be sent, and the log says so
}

// readyAgain is how soon READY=1 is sent again when it could not be.
const readyAgain = time.Second

// Run returns nil when ctx has ended. A supervisor that can't be told is no reason to end earlier.
func (s *Supervised) Run(ctx context.Context) error {
	defer s.tell(Stopping)
	if !s.awaitReady(ctx) {
		return nil
	}
	for !s.tell(Ready) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(readyAgain):
		}
	}
	if s.Watchdog == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.Tick(s.Watchdog / 2)
	turns := make([]uint64, len(s.Hearts))
	for i, h := range s.Hearts {
		turns[i] = h.Turns()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			if s.allBeat(turns) {
				s.tell(Watchdog)
			}
		}
	}
}

func (s *Supervised) awaitReady(ctx context.Context) bool {
	tick := time.Tick(extension / 3)
	for {
		select {
		case <-s.Ready: // first: a start that is ended as soon as it is ready was ready
			return true
		default:
		}
		select {
		case <-s.Ready:
		case <-ctx.Done():
			return false
		case <-tick:
			s.tell(extendTimeout)
		}
	}
}

// allBeat notes turns anew and reports whether all hearts have beaten. It logs those that have not.
func (s *Supervised) allBeat(turns []uint64) bool {
	all := true
	for i, h := range s.Hearts {
		now := h.Turns()
		if now == turns[i] {
			all = false
			s.Log.Error("stuck: without WATCHDOG=1, systemd will restart the service",
				"what", h.String(), "since", fmt.Sprint(s.Watchdog/2, " or longer"))
		}
		turns[i] = now
	}
	return all
}

// tell reports whether the supervisor could be told. It logs when that changes.
func (s *Supervised) tell(state string) (told bool) {
	err := notify(state)
	switch {
	case err != nil && !s.deaf:
		s.Log.Warn("the supervisor can't be told", "state", state, "err", err)
	case err == nil && s.deaf:
		s.Log.Info("the supervisor can be told again", "state", state)
	}
	s.deaf = err != nil
	return err == nil
}

func (*Supervised) String() string { return "notifier of the supervisor" }
