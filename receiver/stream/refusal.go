package stream

import (
	"slices"
	"sync/atomic"
)

// A Refusal says why a connection was closed. It is a value of the reason label of
// refused_connections_total. What calls for the same action of the operator is one reason.
type Refusal uint8

// The reasons. Admitted means that there was none.
const (
	Admitted          Refusal = iota
	TooMany                   // as many connections are open as may be
	TooManyFromSource         // likewise, from the peer's address (IPv4) or /64 (IPv6)
	PeerNotAllowed            // its address is not on the AllowList
	Idle                      // quiet for long, and closed to make room for another one
	TooSlow                   // a message was not complete in time
	SpeaksTLS                 // TLS at the plain port
	SpeaksOther               // another protocol than syslog

	// Only TLS inputs have the other reasons.

	SpeaksPlain     // unencrypted syslog
	HandshakesBusy  // the handshake did not get its turn in time
	HandshakeFailed // broken off, corrupt, too slow, too long, no common cipher …
	TLSVersion      // an older version than allowed
	RefusedByClient // by an alert (RFC 8446 section 6.2); mostly, the peer doesn't trust our certificate
	NoCertificate   // the peer has none
	BadCertificate  // malformed, used without its key, or against another rule of RFC 5280
	UnknownCA       // signed by nobody that TLS_CLIENT_CA has or leads to
	Expired         // it, or a CA's that it needs
	NotYetValid
	WrongUsage // has extended key usages and not clientAuth among them (RFC 5280 section 4.2.1.12)
	Revoked    // by TLS_CRL
	WrongSAN   // no subject alternative name of it is allowed

	NumRefusals // how many there are
)

var refusalNames = [NumRefusals]string{
	"admitted", "too_many", "too_many_from_source", "not_allowed", "idle", "too_slow", "speaks_tls", "speaks_other",
	"speaks_plain", "handshakes_busy", "handshake_failed", "tls_version", "refused_by_client", "no_certificate",
	"bad_certificate", "unknown_ca", "expired", "not_yet_valid", "wrong_usage", "revoked", "wrong_san",
}

// String returns the label value.
func (r Refusal) String() string { return refusalNames[r] }

// Meaning says in a few words what the peer is or did.
func (r Refusal) Meaning() string { return refusalTexts[r].meaning }

// Remedy says what to do if the peer should be let in.
func (r Refusal) Remedy() string { return refusalTexts[r].remedy }

// RefusalOf returns the Refusal with a label value, Admitted if there is none.
func RefusalOf(name string) Refusal { return Refusal(max(0, slices.Index(refusalNames[:], name))) }

var refusalTexts = [NumRefusals]struct{ meaning, remedy string }{
	TooMany: {"1024 connections are open", "have clients keep their connections, and look who holds so many"},
	TooManyFromSource: {"128 connections are open from the same IPv4 address or IPv6 /64",
		"have the client keep its connections; send through one relay for each network"},
	PeerNotAllowed: {"its address is not in ALLOW_FROM", "add its network to ALLOW_FROM, if it should be let in"},
	Idle: {"closed to make room at one of these limits, after ten quiet minutes, or 30 s if it never sent a message",
		"nothing, unless too_many grows as well"},
	TooSlow:   {"a message took longer than 30 s", "look at the network, and at what the client sends"},
	SpeaksTLS: {"it speaks TLS, and the port is plain", "have it send to LISTEN_TLS, or turn its TLS off"},
	SpeaksOther: {"HTTP, SSH or something else that isn't syslog; the PROXY protocol is not taken",
		"find out who connects there; turn the PROXY protocol off in a load balancer"},
	SpeaksPlain: {"it sends plain syslog, and the port is for TLS", "turn its TLS on, or have it send to LISTEN_TCP"},
	HandshakesBusy: {"64 handshakes at a time, 16 of one source, kept it waiting for 5 s",
		"have clients keep their connections"},
	HandshakeFailed: {"it doesn't finish its handshake in 5 s and 64 KiB, breaks off, or has no cipher in common",
		"look at the client's log"},
	TLSVersion: {"its newest version of TLS is older than TLS_MIN_VERSION",
		"set TLS_MIN_VERSION=1.2, or install a newer client"},
	RefusedByClient: {"the client doesn't trust the exporter's certificate",
		"correct its CA file, or the name that it expects; rsyslog tells of the name in its own log only"},
	NoCertificate: {"it has no certificate", "give the client a certificate and its key"},
	BadCertificate: {"its certificate is malformed, or used without its key",
		"look at it: openssl x509 -in client.pem -noout -text; does its key belong to it?"},
	UnknownCA: {"its certificate is signed by no CA of TLS_CLIENT_CA",
		"put the client's CA into TLS_CLIENT_CA, or have the client send its intermediate CAs"},
	Expired: {"its certificate, or a CA's that it needs, has expired",
		"issue a new certificate; a CA may be what has expired"},
	NotYetValid: {"its certificate isn't valid yet", "compare the clocks of the client, the exporter and the CA"},
	WrongUsage: {"its certificate isn't one for clients",
		"issue a certificate for clients (extended key usage clientAuth)"},
	Revoked:  {"its certificate is on TLS_CRL", "issue a new certificate, if it should be let in"},
	WrongSAN: {"none of its names is in TLS_ALLOWED_SANS", "put one of the certificate's names into TLS_ALLOWED_SANS"},
}

// Error makes it the error with which a handshake ends.
func (r Refusal) Error() string { return r.String() }

// refusals counts refused connections.
type refusals [NumRefusals]atomic.Uint64

// byReason returns the counts by label value, of those reasons that a TLS or a plain input can
// have.
func (c *refusals) byReason(tls bool) map[string]uint64 {
	m := map[string]uint64{}
	for r := TooMany; r < NumRefusals; r++ {
		if tls && r != SpeaksTLS || !tls && r < SpeaksPlain {
			m[r.String()] = c[r].Load()
		}
	}
	return m
}

// greetings are the first bytes of protocols that are sent to a syslog port by mistake. No syslog
// message starts like them: it starts with '<', or with a digit where it is octet-counted.
var greetings = [...]string{
	tlsGreeting,
	"SSH-",                                                                        // RFC 4253 section 4.2
	"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", // RFC 9110 section 9.3
	"PATCH ",                           // RFC 5789
	"PRI * HTTP/2.0",                   // RFC 9113 section 3.4
	"PROXY ", "\r\n\r\n\x00\r\nQUIT\n", // haproxy's proxy-protocol.txt, section 2
}

const (
	tlsGreeting = "\x16\x03" // a handshake record's type and major version, RFC 8446 section 5.1
	maxGreeting = 14         // bytes of the longest
)

// greeting returns what a stream that begins with b speaks, Admitted where it is none of the known
// protocols. With more set b is the beginning of one of them: call it again with more bytes.
func greeting(b []byte) (says Refusal, more bool) {
	for _, g := range greetings {
		n := min(len(b), len(g))
		switch {
		case string(b[:n]) != g[:n]:
		case n < len(g):
			more = true
		case g == tlsGreeting:
			return SpeaksTLS, false
		default:
			return SpeaksOther, false
		}
	}
	return Admitted, more
}
