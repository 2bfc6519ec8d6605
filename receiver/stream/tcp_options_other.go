//go:build unix && !linux

package stream

import (
	"syscall"
	"time"
)

// limitUnacknowledged is for Linux only. Elsewhere the deadlines of reads and handshakes end such a
// connection.
func limitUnacknowledged(syscall.RawConn, time.Duration) error { return nil }
