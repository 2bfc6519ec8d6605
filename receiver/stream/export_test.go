package stream

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"rsyncd_exporter/receiver"
)

// Bounds that promises name.
const (
	FramerBatch    = framerBatch
	FramerMax      = framerMax
	MaxCredentials = maxCredentials
)

// What reads files and names errors.
var (
	DecodeBlock      = decodeBlock
	HandshakeRefusal = handshakeRefusal
	ReadCRLs         = readCRLs
)

// A Block is one of a PEM file.
type Block struct {
	Label        string
	DER          []byte
	Offset, Line int // of its begin
}

// ReadPEM returns a file's blocks.
func ReadPEM(file []byte) (blocks []Block, err error) {
	all, err := readPEM(file)
	for _, b := range all {
		blocks = append(blocks, Block{b.label, b.der, b.at.offset, b.at.line})
	}
	return blocks, err
}

// CheckKey says what is wrong with a file of a private key.
func CheckKey(file []byte) error {
	_, err := privateKey(file)
	return err
}

// Refused is how many connections were refused for the reason.
func (t *TCP) Refused(r Refusal) uint64 { return t.refused[r].Load() }

// TLSErrors is how many connections ended otherwise than TLS says.
func (t *TCP) TLSErrors() uint64 { return t.tlsErrors.Load() }

// AcceptErrors is how many times accept has failed.
func (t *TCP) AcceptErrors() uint64 { return t.acceptErrors.Load() }

// Handshakes holds a token for each TLS handshake that is under way.
func (t *TCP) Handshakes() chan struct{} { return t.gate.handshakes }

// Listener accepts the connections.
func (t *TCP) Listener() net.Listener { return t.listener }

// QuietSince returns since when each open connection has been quiet, and the time now.
func (t *TCP) QuietSince() (since []time.Duration, now time.Duration) {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	for v := range t.gate.visitors {
		since = append(since, time.Duration(v.quiet.Load()))
	}
	return since, time.Duration(t.gate.clock(time.Now()))
}

// Cut feeds a stream to a framer as a reader would, in reads of at most next() bytes (0: as much as
// there is space for). It returns whether a length was bad.
func Cut(stream string, next func() int, sink receiver.Sink) (badLength bool, err error) {
	var f framer
	var slab receiver.Slab
	for len(stream) > 0 && !badLength {
		space := f.space()
		if len(space) == 0 {
			return false, errors.New("space returned no room")
		}
		if n := next(); n > 0 {
			space = space[:min(n, len(space))]
		}
		n := copy(space, stream)
		stream = stream[n:]
		f.advance(n)
		err := f.deliver(nil, sink, &slab, 1)
		if badLength = errors.Is(err, errBadLength); err != nil && !badLength {
			return false, err
		}
	}
	if len(f.buf) > framerMax {
		return badLength, errors.New("the buffer grew beyond its limit")
	}
	f.finish(&slab)
	f.deliverAny(nil, sink, &slab, 1)
	return badLength, nil
}

// Config is the configuration in force.
func (c *Credentials) Config() *tls.Config { return c.config() }
