package stream_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"os/exec"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/receiver/stream"
)

// openssl runs OpenSSL's test client with a good certificate. What is written to stdin goes to the server, and lines that are R
// or K are commands: to renegotiate (TLS 1.2), and to ask for new keys (TLS 1.3).
func (d *tlsDir) openssl(l *stream.TCP, args ...string) (stdin io.WriteCloser, p *testenv.Process) {
	d.t.Helper()
	cmd := exec.Command(testenv.Need(d.t, "openssl"), append([]string{"s_client", "-connect", l.Addr().String(), "-servername", "localhost",
		"-cert", d.file("client.pem"), "-key", d.file("client.key"), "-CAfile", d.file("ca.pem")}, args...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	return stdin, testenv.Start(d.t, cmd)
}

// FAULTS S1, S7, S8 with OpenSSL, which does what Go's client can't.
func TestOpenSSL(t *testing.T) {
	for _, c := range []struct {
		name  string
		least uint16
		args  []string
		input string
		want  func(l *stream.TCP, sink *holdSink) bool
	}{
		{"TLS 1.3", 0, nil, "<30>a\n", func(_ *stream.TCP, s *holdSink) bool { return s.Received() == 1 }},
		{"TLS 1.2 where it is allowed", tls.VersionTLS12, []string{"-tls1_2"}, "<30>a\n", func(_ *stream.TCP, s *holdSink) bool { return s.Received() == 1 }},
		{"TLS 1.2 by default", 0, []string{"-tls1_2"}, "<30>a\n", func(l *stream.TCP, _ *holdSink) bool { return l.Refused(stream.TLSVersion) == 1 }},
		{"TLS 1.1", tls.VersionTLS12, []string{"-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"}, "<30>a\n",
			func(l *stream.TCP, _ *holdSink) bool { return l.Refused(stream.TLSVersion) == 1 }},
		{"no encryption", tls.VersionTLS12, []string{"-tls1_2", "-cipher", "NULL@SECLEVEL=0"}, "<30>a\n",
			func(l *stream.TCP, _ *holdSink) bool { return l.Refused(stream.HandshakeFailed) == 1 }},
		{"renegotiation", tls.VersionTLS12, []string{"-tls1_2"}, "<30>a\nR\n", func(l *stream.TCP, s *holdSink) bool {
			return s.Received() == 1 && l.TLSErrors() == 1 && l.Status().Connections == 0
		}},
		{"no trust in us, told unencrypted", 0, []string{"-verify_return_error", "-verify_hostname", "other.example.org"}, "<30>a\n",
			func(l *stream.TCP, _ *holdSink) bool { return l.Refused(stream.RefusedByClient) == 1 }},
		{"new keys, ten times", 0, nil, "<30>a\n" + strings.Repeat("K\n", 10) + "<30>b\n", func(_ *stream.TCP, s *holdSink) bool { return s.Received() == 2 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newTLSDir(t)
			opt := d.options("localhost")
			opt.MinVersion = c.least
			sink := newHoldSink(false)
			l := startTLS(t, sink, loadCredentials(t, opt), stream.TCPOptions{})
			stdin, p := d.openssl(l, c.args...)
			defer stdin.Close()
			commands := 0
			for line := range strings.Lines(c.input) {
				before := sink.Received()
				if _, err := io.WriteString(stdin, line); err != nil {
					break // a client that was refused has ended
				}
				if line[0] != '<' { // a command is one only if it comes by itself
					commands++
					reach(t, "the command", func() bool {
						return strings.Count(p.Output(), "KEYUPDATE")+strings.Count(p.Output(), "RENEGOTIATING") == commands
					})
					continue
				}
				reach(t, "the line, or the end", func() bool { return sink.Received() > before || sum(l.Status().Refused) > 0 })
			}
			reach(t, "what is wanted", func() bool { return c.want(l, sink) })
		})
	}
}

// FAULTS S7, S8: OpenSSL gets no session that it could resume or send early data with.
func TestOpenSSLGetsNoSession(t *testing.T) {
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		d := newTLSDir(t)
		opt := d.options()
		opt.MinVersion = tls.VersionTLS12
		sink := newHoldSink(false)
		l := startTLS(t, sink, loadCredentials(t, opt), stream.TCPOptions{})
		stdin, p := d.openssl(l, version)
		send := "<30>a\n"
		if _, err := io.WriteString(stdin, send); err != nil {
			t.Fatal(err)
		}
		reach(t, "the message", func() bool { return sink.Received() == 1 })
		stdin.Close()
		<-p.Ended()
		if out := p.Output(); strings.Contains(out, "TLS session ticket:") || !strings.Contains(out, "Verify return code: 0 (ok)") && version == "-tls1_2" {
			t.Errorf("%s: a session, or no success:\n%s", version, out)
		}
	}
}

// runIn runs a program in a directory and returns its standard output.
func runIn(t *testing.T, dir, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(testenv.Need(t, program), args...)
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, &errs)
	}
	return out
}
