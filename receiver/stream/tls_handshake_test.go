package stream_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/datagram"
	"rsyncd_exporter/receiver/stream"
)

// clientHello returns the record that a client's handshake begins with.
func clientHello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		_ = tls.Client(theirs, &tls.Config{ServerName: "localhost"}).Handshake()
		theirs.Close()
	}()
	defer ours.Close()
	header := make([]byte, 5)
	if _, err := io.ReadFull(ours, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(header[3])<<8|int(header[4]))
	if _, err := io.ReadFull(ours, body); err != nil {
		t.Fatal(err)
	}
	return append(header, body...)
}

// FAULTS S4: a handshake that isn't done in time is given up, wherever it stands.
func TestHandshakeDeadline(t *testing.T) {
	t.Parallel()
	d := newTLSDir(t)
	hello := clientHello(t)
	for name, first := range map[string]string{
		"silent": "", "half a record": string(hello[:20]), "its first byte": "\x16", "after ClientHello": string(hello),
	} {
		sink := newHoldSink(false)
		l := startTLS(t, sink, loadCredentials(t, d.options()), stream.TCPOptions{HandshakeTimeout: 200 * time.Millisecond})
		c := dialTCP(t, l)
		send(t, c, first)
		closedByPeer(t, c)
		t.Log(name)
		wantRefused(t, l, stream.HandshakeFailed, 1)
	}
}

// FAULTS S4: one byte at a time makes no difference to the deadline.
func TestSlowHandshakeHasOneDeadline(t *testing.T) {
	t.Parallel()
	d := newTLSDir(t)
	l := startTLS(t, newHoldSink(false), loadCredentials(t, d.options()), stream.TCPOptions{HandshakeTimeout: 300 * time.Millisecond})
	c := dialTCP(t, l)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var err error
	for _, b := range clientHello(t) { // some 1500 bytes, which would take 15 s
		if _, err = c.Write([]byte{b}); err != nil {
			break
		}
		<-tick.C
	}
	if err == nil {
		t.Error("all of it was taken")
	}
	wantRefused(t, l, stream.HandshakeFailed, 1)
}

// FAULTS S4, L6: handshakes that stall hold up neither those of another source, nor UDP, nor the end. A long time-out shows that none of it
// waits for theirs.
func TestStalledHandshakesHoldUpNobody(t *testing.T) {
	n := testenv.Tortured(200, 5000)
	d := newTLSDir(t)
	sink := newHoldSink(false)
	l, err := stream.ListenTLS("127.0.0.1:0", receiver.Source{Input: "tls", Name: "tls"}, sink, loadCredentials(t, d.options()),
		stream.TCPOptions{HandshakeTimeout: time.Hour, MaxConnections: n + 10, MaxPerSource: n, MaxHandshakes: 8})
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, l)
	udp, err := datagram.ListenUDP("127.0.0.1:0", receiver.Source{Input: "udp", Name: "udp"}, sink, datagram.UDPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	start(t, udp)
	hello := clientHello(t)
	for range n {
		send(t, dialTCP(t, l), string(hello))
	}
	reach(t, "two are under way, a quarter of what may be, and all are open", func() bool {
		return len(l.Handshakes()) == 2 && l.Status().Connections == n
	})
	conn, err := net.Dial("udp", udp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send(t, conn, "<30>over UDP")
	reach(t, "a datagram", func() bool { return sink.Received() == 1 })

	if other := otherSource(t, l); other != nil {
		good := tls.Client(other, d.client(d.pair("client")))
		send(t, good, "<30>from another address\n")
		reach(t, "the other source's message", func() bool { return sink.Received() == 2 })
	}
	stop() // fails the test if it takes a minute
	for reason, n := range l.Status().Refused {
		if n != 0 {
			t.Errorf("%d refused as %s at the end", n, reason)
		}
	}
}

// Who gets no turn in time is told apart from who doesn't answer.
func TestNoTurnForAHandshake(t *testing.T) {
	t.Parallel()
	d := newTLSDir(t)
	hello := clientHello(t)
	opt := stream.TCPOptions{HandshakeTimeout: 2 * time.Second, MaxHandshakes: 1}
	l := startTLS(t, newHoldSink(false), loadCredentials(t, d.options()), opt)
	l.Handshakes() <- struct{}{}
	c := dialTCP(t, l)
	send(t, c, string(hello))
	closedByPeer(t, c)
	wantRefused(t, l, stream.HandshakesBusy, 1)
	<-l.Handshakes()
}

// Who waits for a turn gets it.
func TestHandshakesTakeTurns(t *testing.T) {
	d := newTLSDir(t)
	sink := newHoldSink(false)
	l := startTLS(t, sink, loadCredentials(t, d.options()), stream.TCPOptions{MaxHandshakes: 2})
	var clients sync.WaitGroup
	for range 50 {
		clients.Go(func() { sayTLS(t, l, d.client(d.pair("client")), "<30>x\n") })
	}
	clients.Wait()
	reach(t, "50 messages", func() bool { return sink.Received() == 50 })
	if len(l.Handshakes()) != 0 {
		t.Errorf("%d turns weren't given back", len(l.Handshakes()))
	}
}

// FAULTS S7: no session can be resumed, since no ticket is given; so a client of a CA that was removed isn't let in again.
func TestNoResumptionAfterTheCAIsGone(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		d := newTLSDir(t)
		opt := d.options()
		opt.MinVersion = tls.VersionTLS12
		creds := loadCredentials(t, opt)
		sink := newHoldSink(false)
		l := startTLS(t, sink, creds, stream.TCPOptions{})
		cache := &countingCache{ClientSessionCache: tls.NewLRUClientSessionCache(10)}
		c := d.client(d.pair("client"))
		c.MaxVersion, c.ClientSessionCache = version, cache
		sayTLS(t, l, c, "<30>first\n")
		sayTLS(t, l, c, "<30>second\n")
		reach(t, "two messages", func() bool { return sink.Received() == 2 })
		if n := cache.puts.Load(); n != 0 {
			t.Errorf("TLS %#x: %d sessions to resume", version, n)
		}
		d.write("ca.pem", testpki.NewCA(t, "another").PEM())
		if changed, err := creds.Reload(); !changed || err != nil {
			t.Fatalf("Reload: %t, %v", changed, err)
		}
		sayTLS(t, l, c, "<30>third\n")
		wantRefused(t, l, stream.UnknownCA, 1)
		if sink.Received() != 2 {
			t.Errorf("%d messages, want 2", sink.Received())
		}
	}
}

// countingCache counts the sessions that are kept, not those that are found to be none (nil).
type countingCache struct {
	tls.ClientSessionCache
	puts atomic.Int32
}

func (c *countingCache) Put(key string, s *tls.ClientSessionState) {
	if s != nil {
		c.puts.Add(1)
	}
	c.ClientSessionCache.Put(key, s)
}

// FAULTS S8: old versions and old ciphers are refused.
func TestOldTLS(t *testing.T) {
	d := newTLSDir(t)
	for _, c := range []struct {
		name       string
		least, max uint16 // the server's least, the client's most
		ciphers    []uint16
		want       stream.Refusal
	}{
		{"1.0", tls.VersionTLS13, tls.VersionTLS10, nil, stream.TLSVersion},
		{"1.1", tls.VersionTLS13, tls.VersionTLS11, nil, stream.TLSVersion},
		{"1.2 by default", 0, tls.VersionTLS12, nil, stream.TLSVersion},
		{"1.0 where 1.2 is allowed", tls.VersionTLS12, tls.VersionTLS10, nil, stream.TLSVersion},
		{"1.1 where 1.2 is allowed", tls.VersionTLS12, tls.VersionTLS11, nil, stream.TLSVersion},
		{"1.2 where it is allowed", tls.VersionTLS12, tls.VersionTLS12, nil, stream.Admitted},
		{"1.3 by default", 0, tls.VersionTLS13, nil, stream.Admitted},
		{"RC4", tls.VersionTLS12, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_RC4_128_SHA}, stream.HandshakeFailed},
		{"3DES", tls.VersionTLS12, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA}, stream.HandshakeFailed},
		{"no forward secrecy", tls.VersionTLS12, tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}, stream.HandshakeFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			opt := d.options()
			opt.MinVersion = c.least
			sink := newHoldSink(false)
			l := startTLS(t, sink, loadCredentials(t, opt), stream.TCPOptions{})
			config := d.client(d.pair("client"))
			config.MinVersion, config.MaxVersion, config.CipherSuites = tls.VersionTLS10, c.max, c.ciphers
			sayTLS(t, l, config, "<30>x\n")
			if c.want == stream.Admitted {
				reach(t, "its message", func() bool { return sink.Received() == 1 })
				return
			}
			wantRefused(t, l, c.want, 1)
		})
	}
}

// FAULTS S9: however a connection ends, half a line is not a message.
func TestTLSEndOfConnection(t *testing.T) {
	d := newTLSDir(t)
	for _, c := range []struct {
		name       string
		end        func(*tls.Conn, *net.TCPConn)
		messages   []string
		incomplete uint64
		errors     uint64
	}{
		{"close_notify", func(c *tls.Conn, _ *net.TCPConn) { c.Close() }, []string{"<30>a"}, 1, 0},
		{"FIN alone", func(_ *tls.Conn, raw *net.TCPConn) { _ = raw.CloseWrite() }, []string{"<30>a"}, 1, 0},
		{"reset", func(_ *tls.Conn, raw *net.TCPConn) { _ = raw.SetLinger(0); raw.Close() }, []string{"<30>a"}, 1, 0},
		{"half a record", func(_ *tls.Conn, raw *net.TCPConn) {
			_, _ = raw.Write([]byte{23, 3, 3, 0, 100, 1, 2, 3})
			_ = raw.CloseWrite()
		}, []string{"<30>a"}, 1, 1},
		{"corrupt record", func(_ *tls.Conn, raw *net.TCPConn) {
			_, _ = raw.Write(append([]byte{23, 3, 3, 0, 100}, make([]byte, 100)...))
		}, []string{"<30>a"}, 1, 1},
		{"empty records", func(_ *tls.Conn, raw *net.TCPConn) {
			_, _ = raw.Write(bytes.Repeat([]byte{23, 3, 3, 0, 0}, 10000))
		}, []string{"<30>a"}, 1, 1},
		{"no record", func(_ *tls.Conn, raw *net.TCPConn) { _, _ = raw.Write([]byte("<30>in plain text\n")) }, []string{"<30>a"}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			sink := newHoldSink(false)
			l := startTLS(t, sink, loadCredentials(t, d.options()), stream.TCPOptions{})
			raw := dialTCP(t, l)
			conn := tls.Client(raw, d.client(d.pair("client")))
			send(t, conn, "<30>a\n")
			reach(t, "the first message", func() bool { return sink.Received() == 1 })
			before, _ := l.QuietSince()
			send(t, conn, "<30>half")
			reach(t, "half a message", func() bool { now, _ := l.QuietSince(); return now[0] > before[0] })
			c.end(conn, raw)
			reach(t, "the connection's end", func() bool { return l.Status().Connections == 0 })
			if got, discarded := sink.All(); !slices.Equal(got, c.messages) || discarded[receiver.Incomplete] != c.incomplete || l.TLSErrors() != c.errors {
				t.Errorf("got %q, %d incomplete, %d errors; want %q, %d, %d", got, discarded[receiver.Incomplete], l.TLSErrors(), c.messages, c.incomplete, c.errors)
			}
		})
	}
}

// Empty records in the handshake are bounded too.
func TestEmptyHandshakeRecords(t *testing.T) {
	d := newTLSDir(t)
	l := startTLS(t, newHoldSink(false), loadCredentials(t, d.options()), stream.TCPOptions{})
	c := dialTCP(t, l)
	_, _ = c.Write(bytes.Repeat([]byte{22, 3, 1, 0, 0}, 100000))
	closedByPeer(t, c)
	wantRefused(t, l, stream.HandshakeFailed, 1)
}

// FAULTS T14: what is sent to the TLS port without TLS is named.
func TestWrongProtocolAtTheTLSPort(t *testing.T) {
	d := newTLSDir(t)
	for first, want := range map[string]stream.Refusal{
		"<30>Nov 23 18:40:52 vm rsyncd[505]: connect from localhost (127.0.0.1)\n": stream.SpeaksPlain,
		"75 <30>Nov 23 18:40:52 vm rsyncd[505]: connect from":                      stream.SpeaksPlain,
		"GET /metrics HTTP/1.1\r\n":                                                stream.SpeaksOther,
		"SSH-2.0-OpenSSH_9.2\r\n":                                                  stream.SpeaksOther,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n":                                   stream.SpeaksOther,
		"\x80\x2e\x01\x03\x01":                                                     stream.SpeaksOther, // SSL 2's ClientHello
		"PRI * HT":                                                                 stream.SpeaksOther,
		"@RSYNCD: 31.0\n":                                                          stream.SpeaksOther,
		"\n":                                                                       stream.SpeaksOther,
	} {
		sink := newHoldSink(false)
		l := startTLS(t, sink, loadCredentials(t, d.options()), stream.TCPOptions{})
		c := dialTCP(t, l)
		send(t, c, first)
		closedByPeer(t, c)
		wantRefused(t, l, want, 1)
		if sink.Received() != 0 {
			t.Errorf("%q: %d messages", first, sink.Received())
		}
	}
	// A port scan, or a load balancer's look whether the port is open, is nothing.
	l := startTLS(t, newHoldSink(false), loadCredentials(t, d.options()), stream.TCPOptions{})
	dialTCP(t, l).Close()
	c := dialTCP(t, l)
	reach(t, "the second is open, so the first was", func() bool { return l.Status().Connections >= 1 })
	c.Close()
	reach(t, "its end", func() bool { return l.Status().Connections == 0 })
	if n := sum(l.Status().Refused); n != 0 {
		t.Errorf("%d refused, want none", n)
	}
}

// Without a client CA everybody may send, and HTTPS is told from syslog.
func TestTLSWithoutClientCA(t *testing.T) {
	d := newTLSDir(t)
	opt := d.options()
	opt.ClientCA = ""
	sink := newHoldSink(false)
	l := startTLS(t, sink, loadCredentials(t, opt), stream.TCPOptions{})
	sayTLS(t, l, d.client(nil), "<30>x\n")
	reach(t, "its message", func() bool { return sink.Received() == 1 })
	client := http.Client{Transport: &http.Transport{TLSClientConfig: d.client(nil)}}
	if r, err := client.Get("https://" + l.Addr().String() + "/"); err == nil {
		r.Body.Close()
		t.Error("an answer")
	}
	reach(t, fmt.Sprint("named: ", l.Status().Refused), func() bool { return l.Refused(stream.SpeaksOther) >= 1 })
	if sink.Received() != 1 {
		t.Errorf("%d messages, want 1", sink.Received())
	}
}

// A client that doesn't trust the server says so in an alert. OpenSSL's is covered by the tests with real forwarders.
func TestClientThatDoesNotTrustUs(t *testing.T) {
	d, other := newTLSDir(t), newTLSDir(t)
	l := startTLS(t, newHoldSink(false), loadCredentials(t, d.options()), stream.TCPOptions{})
	sayTLS(t, l, other.client(other.pair("client")), "<30>x\n")
	wantRefused(t, l, stream.RefusedByClient, 1)
}

// FAULTS T6, T16 over TLS: a real stream, octet-counted, in records of any size, and a sink that is busy at first.
func TestTLSStream(t *testing.T) {
	d := newTLSDir(t)
	sink := newHoldSink(true)
	l := startTLS(t, sink, loadCredentials(t, d.options()), stream.TCPOptions{})
	const n = 20000
	conn, err := tls.Dial("tcp", l.Addr().String(), d.client(d.pair("client")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var stream bytes.Buffer
	for i := range n {
		message := fmt.Sprintf("<30>%06d\nwith a line feed", i)
		fmt.Fprintf(&stream, "%d %s", len(message), message)
	}
	sent := make(chan error, 1)
	go func() {
		for size := 1; stream.Len() > 0; size = size%20000 + 7 {
			if _, err := conn.Write(stream.Next(size)); err != nil {
				sent <- err
				return
			}
		}
		sent <- conn.CloseWrite()
	}()
	reach(t, "its connection", func() bool { return l.Status().Connections == 1 })
	sink.Hold(false)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	reach(t, "all messages", func() bool { return sink.Received() == n })
	if got, discarded := sink.All(); !slices.IsSorted(got) || discarded != [receiver.NumDiscards]uint64{} {
		t.Errorf("in order: %t, discarded %v", slices.IsSorted(got), discarded)
	}
}

// What crypto/tls says without a type, told by this Go. The other rows of the table are among TestClientCertificates' cases.
func TestUntypedHandshakeErrorsAreKnown(t *testing.T) {
	for err, want := range map[error]stream.Refusal{
		errors.New("tls: client didn't provide a certificate"):               stream.NoCertificate,
		fmt.Errorf("wrapped: %w", stream.WrongSAN):                           stream.WrongSAN,
		&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}: stream.UnknownCA,
		&tls.CertificateVerificationError{Err: errors.New("something new")}:  stream.BadCertificate,
		io.ErrUnexpectedEOF: stream.HandshakeFailed,
	} {
		if got := stream.HandshakeRefusal(err, time.Now()); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}
