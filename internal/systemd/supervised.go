package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
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

// The states that notify sends, see sd_notify(3).
const (
	Ready    = "READY=1"    // everything is open
	Stopping = "STOPPING=1" // the end has begun
	Watchdog = "WATCHDOG=1" // still alive; see WatchdogInterval

	extendTimeout = "EXTEND_TIMEOUT_USEC=30000000" // a start under way may take another extension
)

const (
	extension      = 30 * time.Second // that extendTimeout asks for
	notifyPatience = time.Second      // how long notify waits for room in the supervisor's queue
)

// notify sends the supervisor a state of one or more lines; without NOTIFY_SOCKET it does nothing.
// If nobody reads within notifyPatience, the error wraps os.ErrDeadlineExceeded.
func notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	// "@" at the start of the name stands for an abstract socket; package net knows that.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET=%q: %w: it must be the socket of a running supervisor, or unset", path, err)
	}
	defer conn.Close()
	err = conn.SetWriteDeadline(time.Now().Add(notifyPatience))
	if err == nil {
		_, err = conn.Write([]byte(state))
	}
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET=%q: %w", path, err)
	}
	return nil
}

// WatchdogInterval returns how often Watchdog is wanted, 0 for never: sd_watchdog_enabled(3).
func WatchdogInterval() (time.Duration, error) {
	usec, pid := os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	const most = 1 << 53 // far beyond a lifetime, and no overflow
	n, err := strconv.ParseUint(usec, 10, 64)
	if err != nil || n == 0 || n > most/1000 {
		return 0, fmt.Errorf("WATCHDOG_USEC=%q is no number of microseconds: set WatchdogSec= in the unit, or unset "+
			"it", usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}
