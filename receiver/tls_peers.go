package receiver

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// A SAN is one subject alternative name (RFC 5280 section 4.2.1.6): of its kind and with exactly its value. It can be compared with ==.
type SAN struct {
	kind  sanKind
	value string // DNS names in lower case, addresses as netip writes them
}

type sanKind uint8

const (
	dnsSAN sanKind = iota
	ipSAN
	uriSAN
	emailSAN
)

// ParseSAN reads a name as it is written in settings: an IP address, something with a colon is a URI, something with an @ an e-mail
// address, and the rest a DNS name. There are no wildcards, and a name that isn't ASCII is to be written as certificates have it ("xn--…").
func ParseSAN(s string) (SAN, error) {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return SAN{}, fmt.Errorf("it has the byte %q: write names as certificates have them, in ASCII, with xn-- for other letters", s[i])
		}
	}
	ip, err := netip.ParseAddr(s)
	switch {
	case s == "":
		return SAN{}, errors.New("it is empty")
	case err == nil && ip.Zone() != "":
		return SAN{}, errors.New("an address in a certificate has no zone")
	case err == nil:
		return SAN{ipSAN, ip.String()}, nil
	case strings.Contains(s, ":"):
		u, err := url.Parse(s)
		if err != nil {
			return SAN{}, err
		}
		if u.Scheme == "" {
			return SAN{}, errors.New("a URI has a scheme, as spiffe://example.org/rsync has")
		}
		return SAN{uriSAN, u.String()}, nil
	case strings.Contains(s, "@"):
		return SAN{emailSAN, s}, nil
	case strings.Contains(s, "*"):
		return SAN{}, errors.New("wildcards are not known: write each name, or leave TLS_ALLOWED_SANS out")
	}
	return SAN{dnsSAN, strings.ToLower(s)}, nil
}

// sansOf returns the names of a certificate. The common name is none (RFC 9525 section 2). A wildcard is a name like others, which no
// setting can have.
func sansOf(cert *x509.Certificate) []SAN {
	var sans []SAN
	for _, name := range cert.DNSNames {
		sans = append(sans, SAN{dnsSAN, strings.ToLower(name)})
	}
	for _, ip := range cert.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok { // v4-mapped stays what it is: not the IPv4 address
			sans = append(sans, SAN{ipSAN, addr.String()})
		}
	}
	for _, u := range cert.URIs {
		sans = append(sans, SAN{uriSAN, u.String()})
	}
	for _, e := range cert.EmailAddresses {
		sans = append(sans, SAN{emailSAN, e})
	}
	return sans
}

// peerRules are what a client's certificate must obey beyond being signed by the right CA, in time and for this use, which crypto/tls
// checks.
type peerRules struct {
	allowed []SAN                      // one of them; empty: any
	revoked map[string]map[string]bool // serial numbers by issuer, both as in the DER
}

// check is the tls.Config's VerifyConnection, which crypto/tls calls for every connection, resumed ones too.
func (p *peerRules) check(state tls.ConnectionState) error {
	if len(state.VerifiedChains) == 0 { // ClientAuth has seen to that
		return &refusedPeer{NoCertificate, "no certificate that was verified"}
	}
	if p.revoked != nil && !p.anyInForce(state.VerifiedChains) {
		return &refusedPeer{Revoked, "revoked by TLS_CRL"}
	}
	if len(p.allowed) == 0 {
		return nil
	}
	allowed := map[SAN]bool{}
	for _, san := range p.allowed {
		allowed[san] = true
	}
	for _, san := range sansOf(state.VerifiedChains[0][0]) {
		if allowed[san] {
			return nil
		}
	}
	return &refusedPeer{WrongSAN, "no subject alternative name that TLS_ALLOWED_SANS has"}
}

// anyInForce says whether one of the chains has no certificate that was revoked.
func (p *peerRules) anyInForce(chains [][]*x509.Certificate) bool {
next:
	for _, chain := range chains {
		for _, cert := range chain {
			if p.revoked[string(cert.RawIssuer)][cert.SerialNumber.String()] {
				continue next
			}
		}
		return true
	}
	return false
}

// readCRLs takes the revocation lists of a PEM file, which CAs among those given must have signed, and returns when the first of
// them is due to be replaced. One that is overdue holds all the same.
func (p *peerRules) readCRLs(file []byte, cas []*x509.Certificate) (next time.Time, err error) {
	p.revoked = map[string]map[string]bool{}
	n := 0
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" { // RFC 7468 section 6
			continue
		}
		n++
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return next, fmt.Errorf("revocation list %d: %w", n, err)
		}
		if !signedByAny(list, cas) {
			return next, fmt.Errorf("revocation list %d, of %q, is signed by none of TLS_CLIENT_CA", n, list.Issuer)
		}
		serials := p.revoked[string(list.RawIssuer)]
		if serials == nil {
			serials = map[string]bool{}
			p.revoked[string(list.RawIssuer)] = serials
		}
		for _, entry := range list.RevokedCertificateEntries {
			serials[entry.SerialNumber.String()] = true
		}
		if !list.NextUpdate.IsZero() && (next.IsZero() || list.NextUpdate.Before(next)) {
			next = list.NextUpdate
		}
	}
	if n == 0 {
		return next, errors.New(`no revocation list in it: want PEM, "-----BEGIN X509 CRL-----"`)
	}
	return next, nil
}

func signedByAny(list *x509.RevocationList, cas []*x509.Certificate) bool {
	for _, ca := range cas {
		if list.CheckSignatureFrom(ca) == nil {
			return true
		}
	}
	return false
}

// refusedPeer is check's error.
type refusedPeer struct {
	reason Refusal
	text   string
}

func (e *refusedPeer) Error() string { return e.text }
