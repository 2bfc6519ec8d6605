package stream_test

import (
	"context"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
)

// A connection from an address that isn't on the list is closed at once, counted and not read.
func TestTCPRefusesPeersThatAreNotAllowed(t *testing.T) {
	sink := newHoldSink(false)
	l, err := stream.ListenTCP("127.0.0.1:0", receiver.Source{Input: "tcp", Name: "tcp"}, sink, stream.TCPOptions{AllowFrom: allowList("127.0.0.2/32")})
	if err != nil {
		t.Fatal(err)
	}
	start(t, l)
	dial := func(from string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.DialContext(context.Background(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	refused := dial("127.0.0.1")
	_ = refused.SetReadDeadline(time.Now().Add(time.Minute))
	_, _ = refused.Write([]byte("<30>refused\n"))
	if n, err := refused.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("read %d bytes, %v: the connection is not closed", n, err)
	}
	send(t, dial("127.0.0.2"), "<30>allowed\n")
	reach(t, "the allowed one is read", func() bool { return sink.Received() == 1 })
	if got, _ := sink.All(); !slices.Equal(got, []string{"<30>allowed"}) && !slices.Equal(got, []string{"<30>allowed\n"}) || l.Status().Refused["not_allowed"] != 1 {
		t.Errorf("got %q, refused %v; want the allowed one, and 1 not_allowed", got, l.Status().Refused)
	}
}
