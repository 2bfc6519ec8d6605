package stream_test

import (
	"net"
	"testing"
	"time"

	"rsyncd_exporter/receiver/stream"
)

// A listener that is bound only to see whether it can be makes no connection.
func TestATCPCheckTakesNothing(t *testing.T) {
	filters(t)
	l, err := stream.CheckTCP("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	if conn, err := net.DialTimeout("tcp", l.(net.Listener).Addr().String(), 200*time.Millisecond); err == nil {
		conn.Close()
		t.Error("a client could connect")
	}
}
