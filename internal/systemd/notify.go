package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

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
