package syslog_test

import (
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// A line of which the end isn't there yet is not taken, wherever it is cut.
func TestALineWaitsForItsEnd(t *testing.T) {
	const first, second = headerA + "sent 1", headerB + "sent 2"
	whole := first + "\n" + second
	for cut := len(first) + 1; cut <= len(whole); cut++ {
		var s receiver.Slab
		var skip syslog.Skipped
		s.Reset()
		if used := syslog.TakeLines(&s, []byte(whole[:cut]), 0, &skip); used != len(first)+1 || len(s.Messages) != 1 || string(s.Messages[0]) != first {
			t.Fatalf("%q: %d bytes used, %q", whole[:cut], used, s.Messages)
		}
	}
}
