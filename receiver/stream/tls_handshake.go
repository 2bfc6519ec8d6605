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

// maxHandshakeBytes is what a client may send up to the end of its handshake. A chain of four
// certificates with RSA keys of 4096 bits takes 8 KiB; crypto/tls would parse 256 KiB.
const maxHandshakeBytes = 64 << 10

var errHandshakeTooLarge = errors.New("the client's handshake is longer than 64 KiB")

// A wire is the connection below TLS.
type wire struct {
	net.Conn
	first []byte // what peek has read, not yet given on
	left  int    // bytes that may be read before the end of the handshake; -1 after it
	last  []byte // the last bytes that were read until then, as many as an alert has
}

// plainAlert begins the record of an alert that isn't encrypted: type, version and length
// (RFC 8446 section 5.1). The alert's two bytes follow.
const plainAlert = "\x15\x03\x03\x00\x02"

// alerted says whether the peer's last word in the handshake was an unencrypted alert. OpenSSL
// sends one when it doesn't trust our certificate; crypto/tls, whose keys have changed by then,
// finds a bad MAC.
func (w *wire) alerted() bool {
	return len(w.last) == len(plainAlert)+2 && string(w.last[:len(plainAlert)]) == plainAlert
}

// peek waits for the first bytes and says what they are, Admitted if TLS. Read gives them again.
func (w *wire) peek() (Refusal, error) {
	first := make([]byte, len(tlsGreeting))
	for i := range first {
		_, err := io.ReadFull(w.Conn, first[i:i+1])
		switch {
		case err != nil && (i == 0 || !errors.Is(err, io.EOF)):
			return Admitted, err
		case first[0] == '<' || isDigit(first[0]):
			return SpeaksPlain, nil
		case err != nil || first[i] != tlsGreeting[i]:
			return SpeaksOther, nil
		}
	}
	w.first = first
	return Admitted, nil
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

// handshake makes a TLS connection of one from a sender, within HandshakeTimeout. Where that fails
// the connection is nil, with the reason, or with Admitted where the peer left before it said a
// word, or ctx has ended.
func (t *TCP) handshake(ctx context.Context, w *wire, from *sender) (*tls.Conn, Refusal) {
	limited, cancel := context.WithTimeout(ctx, t.opt.HandshakeTimeout)
	defer cancel()
	deadline, _ := limited.Deadline()
	_ = w.SetDeadline(deadline) // of writes too: crypto/tls answers, and a peer that doesn't read would hold it up
	stop := context.AfterFunc(ctx, func() { w.Close() })
	defer stop()

	switch says, err := w.peek(); {
	case err != nil && ctx.Err() == nil && errors.Is(err, os.ErrDeadlineExceeded):
		return nil, HandshakeFailed
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

// handshakeRefusal says why a handshake failed. Some errors of crypto/tls are nothing but a text.
// It chooses the reason that is counted, never whether a peer is let in.
func handshakeRefusal(err error, now time.Time) Refusal {
	if ours, ok := errors.AsType[Refusal](err); ok {
		return ours
	}
	if chain, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return chainRefusal(chain.Err, now)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" { // an alert
		return RefusedByClient
	}
	switch text := err.Error(); {
	case strings.HasPrefix(text, "tls: client offered only unsupported versions"):
		return TLSVersion
	case strings.HasPrefix(text, "tls: client didn't provide a certificate"):
		return NoCertificate
	case strings.Contains(text, "certificate"): // malformed, used without its key, or its key is too large
		return BadCertificate
	}
	return HandshakeFailed
}

// chainRefusal says why a client's certificates were not verified.
func chainRefusal(err error, now time.Time) Refusal {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return UnknownCA
	}
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case !ok:
		return BadCertificate
	case invalid.Reason == x509.Expired && now.Before(invalid.Cert.NotBefore):
		return NotYetValid
	case invalid.Reason == x509.Expired:
		return Expired
	case invalid.Reason == x509.IncompatibleUsage:
		return WrongUsage
	}
	return BadCertificate
}
