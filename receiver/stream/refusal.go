package stream

import "sync/atomic"

// A Refusal says why a connection was closed for what its peer is or did. Each is a value of refused_connections_total's reason label.
type Refusal uint8

// The reasons. Admitted means that there was none.
const (
	Admitted          Refusal = iota
	TooMany                   // as many connections are open as may be
	TooManyFromSource         // likewise, from the peer's address (IPv4) or /64 (IPv6)
	PeerNotAllowed            // its address is not on the AllowList
	Idle                      // quiet for long, and closed to make room for another one
	TooSlow                   // a message was not complete so long after its first byte

	// What the first bytes say where they are no syslog.
	SpeaksHTTP
	SpeaksSSH
	SpeaksProxy // the PROXY protocol of load balancers, version 1 or 2
	SpeaksTLS   // at the plain port
	SpeaksPlain // unencrypted syslog at the TLS port
	SpeaksOther // anything else at the TLS port

	// How TLS handshakes fail.
	HandshakeTimeout  // not done in time
	HandshakesBusy    // did not get its turn in time, since so many others were under way
	HandshakeTooLarge // the peer sent more than maxHandshakeBytes
	HandshakeFailed   // broken off, corrupt, no common cipher …
	TLSVersion        // an older version than allowed
	RefusedByClient   // the peer does not trust our certificate, or breaks off with another alert (RFC 8446 section 6.2)
	NoCertificate     // the peer has none
	BadCertificate    // one that can't be read, is used without its key, or breaks a rule of RFC 5280 other than those below
	UnknownCA         // signed by nobody that TLS_CLIENT_CA has or leads to
	Expired           // it, or a CA's that it needs
	NotYetValid
	WrongUsage // has extended key usages and not clientAuth among them (RFC 5280 section 4.2.1.12)
	Revoked    // by TLS_CRL
	WrongSAN   // no subject alternative name of it is allowed

	NumRefusals // how many there are
)

var refusalNames = [NumRefusals]string{"admitted", "too_many", "too_many_from_source", "not_allowed", "idle", "too_slow", "speaks_http", "speaks_ssh",
	"speaks_proxy", "speaks_tls", "speaks_plain", "speaks_other", "handshake_timeout", "handshakes_busy", "handshake_too_large",
	"handshake_failed", "tls_version", "refused_by_client", "no_certificate", "bad_certificate", "unknown_ca", "expired", "not_yet_valid",
	"wrong_usage", "revoked", "wrong_san"}

// String returns the label value.
func (r Refusal) String() string { return refusalNames[r] }

// happensAt says whether a TLS or a plain input can have it.
func (r Refusal) happensAt(tls bool) bool {
	switch {
	case r == Admitted:
		return false
	case r == SpeaksTLS:
		return !tls
	default:
		return tls || r < SpeaksPlain
	}
}

// refusals counts refused connections.
type refusals [NumRefusals]atomic.Uint64

// byReason returns the counts by label value, of those reasons that can happen.
func (c *refusals) byReason(tls bool) map[string]uint64 {
	m := map[string]uint64{}
	for r := range NumRefusals {
		if r.happensAt(tls) {
			m[r.String()] = c[r].Load()
		}
	}
	return m
}
