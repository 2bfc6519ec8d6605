package stream_test

import (
	"net"
	"runtime"
	"testing"

	"rsyncd_exporter/receiver/stream"
)

// otherSource connects from 127.0.0.2, or returns nil on systems that have no such address.
func otherSource(t *testing.T, l *stream.TCP) *net.TCPConn {
	t.Helper()
	if runtime.GOOS != "linux" {
		return nil
	}
	return dialFrom(t, l, net.IPv4(127, 0, 0, 2))
}

func dialFrom(t *testing.T, l *stream.TCP, from net.IP) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", &net.TCPAddr{IP: from}, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
