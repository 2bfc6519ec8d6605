package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// maxHandshakeBytes is what a client may send up to the end of its handshake. A chain of four certificates with RSA keys of 4096 bits
// takes 8 KiB; crypto/tls would read and parse 256 KiB.
const maxHandshakeBytes = 64 << 10

var errHandshakeTooLarge = errors.New("the client's handshake is longer than 64 KiB")

// A wire is the connection below TLS.
type wire struct {
	net.Conn
	first []byte // what peek has read, not yet given on
	left  int    // bytes that may be read before the end of the handshake; -1 after it
	last  []byte // the last bytes that were read until then, as many as an alert has
}

// plainAlert is how an alert's record begins that isn't encrypted, less its two bytes: type, version and length (RFC 8446 section 5.1).
const plainAlert = "\x15\x03\x03\x00\x02"

// alerted says whether the peer's last word in the handshake was an unencrypted alert. OpenSSL, and so rsyslog and syslog-ng, sends one
// when it doesn't trust our certificate; crypto/tls, whose keys have changed by then, finds that its MAC is bad.
func (w *wire) alerted() bool {
	return len(w.last) == len(plainAlert)+2 && string(w.last[:len(plainAlert)]) == plainAlert
}

// peek waits for the first bytes and says what they are, Admitted if TLS. They are read again by Read.
func (w *wire) peek() (Refusal, error) {
	buf := make([]byte, 0, maxGreeting)
	for {
		n, err := w.Conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		w.first = buf
		says, more := greeting(buf)
		switch {
		case says == SpeaksTLS:
			return Admitted, nil
		case says != Admitted:
			return says, nil
		case len(buf) > 0 && !more && (buf[0] == '<' || isDigit(buf[0])):
			return SpeaksPlain, nil
		case len(buf) > 0 && (!more || errors.Is(err, io.EOF)):
			return SpeaksOther, nil
		case err != nil:
			return Admitted, err
		}
	}
}

// Read implements net.Conn.
func (w *wire) Read(b []byte) (int, error) {
	if w.left == 0 {
		return 0, errHandshakeTooLarge
	}
	if w.left > 0 && len(b) > w.left {
		b = b[:w.left]
	}
	n, err := copy(b, w.first), error(nil)
	if w.first = w.first[n:]; n == 0 {
		n, err = w.Conn.Read(b)
	}
	if w.left > 0 {
		w.left -= n
		w.last = append(w.last, b[:n]...)
		w.last = w.last[max(0, len(w.last)-len(plainAlert)-2):]
	}
	return n, err
}

// handshake makes a TLS connection of one from a sender, within HandshakeTimeout. The connection is nil where that failed: with the
// reason, or with Admitted where the peer left before it said a word, or ctx has ended.
func (t *TCP) handshake(ctx context.Context, w *wire, from *sender) (*tls.Conn, Refusal) {
	limited, cancel := context.WithTimeout(ctx, t.opt.HandshakeTimeout)
	defer cancel()
	deadline, _ := limited.Deadline()
	_ = w.SetDeadline(deadline) // of the writes too: crypto/tls answers, and a peer that doesn't read would hold it up
	stop := context.AfterFunc(ctx, func() { w.Close() })
	defer stop()

	switch says, err := w.peek(); {
	case err != nil && ctx.Err() == nil && errors.Is(err, os.ErrDeadlineExceeded):
		return nil, HandshakeTimeout
	case err != nil || says != Admitted:
		return nil, says
	}
	if !t.gate.startHandshake(from, limited.Done()) {
		if ctx.Err() != nil {
			return nil, Admitted
		}
		return nil, HandshakesBusy
	}
	defer t.gate.endHandshake(from)
	w.left = maxHandshakeBytes
	conn := tls.Server(w, t.creds.config())
	err := conn.Handshake()
	w.left = -1
	switch {
	case ctx.Err() != nil:
		return nil, Admitted
	case err != nil && w.alerted():
		return nil, RefusedByClient
	case err != nil:
		return nil, handshakeRefusal(err, time.Now())
	}
	w.last = nil
	return conn, Admitted
}

// untypedHandshakeErrors are those of crypto/tls that have nothing but a text. Only the counter's reason hangs on them, not whether a peer
// is let in, and tests hold each against the Go that is built with.
var untypedHandshakeErrors = [...]struct {
	prefix string
	reason Refusal
}{
	{"tls: client offered only unsupported versions", TLSVersion},
	{"tls: client didn't provide a certificate", NoCertificate},
	{"tls: failed to parse client certificate", BadCertificate},
	{"tls: client sent certificate containing RSA key larger", BadCertificate},
	{"tls: client certificate contains an unsupported public key", BadCertificate},
	{"tls: client certificate used with invalid signature", BadCertificate},
	{"tls: invalid signature by the client certificate", BadCertificate},
}

// handshakeRefusal says why a handshake failed.
func handshakeRefusal(err error, now time.Time) Refusal {
	var ours *refusedPeer
	var chain *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.As(err, &ours):
		return ours.reason
	case errors.As(err, &chain):
		return chainRefusal(chain.Err, now)
	case errors.Is(err, errHandshakeTooLarge):
		return HandshakeTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return HandshakeTimeout
	case errors.As(err, &op) && op.Op == "remote error": // an alert; its own type is crypto/tls' secret
		return RefusedByClient
	}
	for _, e := range untypedHandshakeErrors {
		if strings.HasPrefix(err.Error(), e.prefix) {
			return e.reason
		}
	}
	return HandshakeFailed
}

// chainRefusal says why a client's certificates were not verified.
func chainRefusal(err error, now time.Time) Refusal {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(invalid.Cert.NotBefore):
		return NotYetValid
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Expired
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return WrongUsage
	case errors.As(err, &unknown):
		return UnknownCA
	}
	return BadCertificate
}
