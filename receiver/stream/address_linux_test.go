package stream_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
)

// A stream has one peer, with every slab.
func TestTCPPeersAddress(t *testing.T) {
	inNetworkOfMachines(t, func() {
		for _, b := range bounds {
			sink := newHoldSink(false)
			l, err := stream.ListenTCP(b.Listen, receiver.Source{Input: "tcp", Name: "tcp"}, sink, stream.TCPOptions{})
			if err != nil {
				t.Fatal(err)
			}
			stop := start(t, l)
			c := dialTCPFrom(t, b.From, b.To, l)
			for i := range 3 {
				what := fmt.Sprintf("<30>%d %v", i, b)
				send(t, c, what+"\n")
				sink.WantFrom(t, what, b.Want)
			}
			stop()
		}
	})
}

func dialTCPFrom(t *testing.T, from, to string, l *stream.TCP) net.Conn {
	t.Helper()
	c, err := net.DialTCP("tcp", &net.TCPAddr{IP: net.ParseIP(from)}, &net.TCPAddr{IP: net.ParseIP(to), Port: l.Addr().(*net.TCPAddr).Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The same through TLS, and through a listener that was passed.
func TestTLSAndPassedTCPPeersAddress(t *testing.T) {
	d := newTLSDir(t)
	inNetworkOfMachines(t, func() {
		passed, err := net.Listen("tcp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		sink := newHoldSink(false)
		plain, err := stream.PassedTCP(pass(t, duplicate(t, passed.(*net.TCPListener), nil)), receiver.Source{Name: "tcp passed"}, sink, stream.TCPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		secured, err := stream.ListenTLS(":0", receiver.Source{Name: "tls"}, sink, loadCredentials(t, d.options()), stream.TCPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start(t, plain)
		start(t, secured)
		send(t, dialTCPFrom(t, "10.9.9.1", "10.9.9.2", plain), "<30>passed\n")
		sink.WantFrom(t, "<30>passed", "10.9.9.1")
		c := tls.Client(dialTCPFrom(t, "10.9.9.2", "10.9.9.1", secured), d.client(d.pair("client")))
		send(t, c, "<30>secured\n")
		sink.WantFrom(t, "<30>secured", "10.9.9.2")
	})
}
