package stream_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rsyncd_exporter/internal/testpki"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
)

// tlsDir is a directory with the files of a TLS input.
type tlsDir struct {
	t    *testing.T
	path string
	ca   *testpki.CA // of clients and server
}

func newTLSDir(t *testing.T) *tlsDir {
	t.Helper()
	d := &tlsDir{t, t.TempDir(), testpki.NewCA(t, "test CA")}
	testpki.WriteTo(t, d.path, d.ca)
	return d
}

func (d *tlsDir) file(name string) string { return filepath.Join(d.path, name) }

func (d *tlsDir) write(name string, content []byte) {
	d.t.Helper()
	if err := os.WriteFile(d.file(name), content, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// options are those of an input that takes clients of the CA with one of the names.
func (d *tlsDir) options(allowed ...string) stream.TLSOptions {
	d.t.Helper()
	opt := stream.TLSOptions{Certificate: d.file("server.pem"), Key: d.file("server.key"), ClientCA: d.file("ca.pem")}
	for _, name := range allowed {
		san, err := stream.ParseSAN(name)
		if err != nil {
			d.t.Fatal(err)
		}
		opt.AllowedSANs = append(opt.AllowedSANs, san)
	}
	return opt
}

func loadCredentials(t *testing.T, opt stream.TLSOptions) *stream.Credentials {
	t.Helper()
	c, err := stream.LoadCredentials(opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// startTLS runs an input until the end of the test. Handshakes may take a minute if opt doesn't say.
func startTLS(t *testing.T, sink receiver.Sink, creds *stream.Credentials, opt stream.TCPOptions) *stream.TCP {
	t.Helper()
	opt.HandshakeTimeout = cmp.Or(opt.HandshakeTimeout, time.Minute)
	l, err := stream.ListenTLS("127.0.0.1:0", receiver.Source{Input: "tls", Name: "tls 127.0.0.1:0"}, sink, creds, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	start(t, l)
	return l
}

// client is a configuration that shows the certificate whatever the server asks for; with none it shows none.
func (d *tlsDir) client(cert *tls.Certificate) *tls.Config {
	c := &tls.Config{RootCAs: d.ca.Pool(), ServerName: "localhost"}
	if cert != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return c
}

// sayTLS connects, sends one message, and closes the connection. A server that refuses it may break off at any point.
func sayTLS(t *testing.T, l *stream.TCP, c *tls.Config, message string) {
	t.Helper()
	conn := tls.Client(dialTCP(t, l), c)
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Write([]byte(message))
	if err == nil {
		_ = conn.CloseWrite()
		_, _ = conn.Read(make([]byte, 1)) // waits for the server's end of it
	}
	conn.Close()
}

// dialTLS connects and returns after the server has let it in, which the first message shows.
func dialTLS(t *testing.T, l *stream.TCP, sink *holdSink, c *tls.Config) *tls.Conn {
	t.Helper()
	before := sink.Received()
	conn, err := tls.Dial("tcp", l.Addr().String(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	send(t, conn, "<30>hello\n")
	reach(t, "the first message", func() bool { return sink.Received() == before+1 })
	return conn
}

// pair returns one of the certificates that are on disk.
func (d *tlsDir) pair(name string) *tls.Certificate {
	d.t.Helper()
	c, err := tls.LoadX509KeyPair(d.file(name+".pem"), d.file(name+".key"))
	if err != nil {
		d.t.Fatal(err)
	}
	return &c
}

// serverNow connects and returns the certificate that the server shows. Nothing is sent, and the connection is given up.
func (d *tlsDir) serverNow(l *stream.TCP) *x509.Certificate {
	d.t.Helper()
	var seen *x509.Certificate
	c := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		seen = s.PeerCertificates[0]
		return nil
	}}
	conn := tls.Client(dialTCP(d.t, l), c)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = conn.HandshakeContext(ctx)
	conn.Close()
	if seen == nil {
		d.t.Fatal("the server has shown no certificate")
	}
	return seen
}
