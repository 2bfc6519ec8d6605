package stream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
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
		if err := checkURI(s); err != nil {
			return SAN{}, err
		}
		return SAN{uriSAN, s}, nil
	case strings.Contains(s, "@"):
		return SAN{emailSAN, s}, nil
	case strings.Contains(s, "*"):
		return SAN{}, errors.New("wildcards are not known: write each name, or leave TLS_ALLOWED_SANS out")
	case !isDNSName(s):
		return SAN{}, errors.New("it is neither a DNS name nor an address")
	}
	return SAN{dnsSAN, strings.ToLower(s)}, nil
}

// checkURI says why what has a colon is no URI that a certificate can have.
func checkURI(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return err
	}
	scheme, rest, _ := strings.Cut(s, ":")
	if _, err := strconv.ParseUint(rest, 10, 16); err == nil {
		return errors.New("a name in a certificate has no port: leave it out")
	}
	switch scheme {
	case "DNS", "IP", "URI", "email": // OpenSSL's notation
		return fmt.Errorf("no kind is written before a name: leave out %q", scheme+":")
	}
	if u.Scheme == "" {
		return errors.New("a URI has a scheme, as spiffe://example.org/rsync has")
	}
	return nil
}

// isDNSName says whether s can be a DNS name, perhaps with a dot at its end. One whose last label is a number is a
// mistyped address.
func isDNSName(s string) bool {
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, label := range labels {
		for i := range len(label) {
			if b := label[i] | 0x20; !isDigit(label[i]) && (b < 'a' || b > 'z') && label[i] != '-' && label[i] != '_' {
				return false
			}
		}
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// The kinds of names in a certificate, by their tags (RFC 5280 section 4.2.1.6).
var sanKinds = map[asn1.Tag]sanKind{
	asn1.Tag(1).ContextSpecific(): emailSAN,
	asn1.Tag(2).ContextSpecific(): dnsSAN,
	asn1.Tag(6).ContextSpecific(): uriSAN,
	asn1.Tag(7).ContextSpecific(): ipSAN,
}

// sansOf returns the names of a certificate as they stand there. x509's own are parsed: URIs of other spellings have become the
// same. The common name is none (RFC 9525 section 2). A wildcard is a name like others, which no setting can have.
func sansOf(cert *x509.Certificate) []SAN {
	var sans []SAN
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal([]int{2, 5, 29, 17}) {
			continue
		}
		in := cryptobyte.String(ext.Value)
		var names cryptobyte.String
		if !in.ReadASN1(&names, asn1.SEQUENCE) || !in.Empty() {
			return nil
		}
		for !names.Empty() {
			var value cryptobyte.String
			var tag asn1.Tag
			if !names.ReadAnyASN1(&value, &tag) {
				return nil
			}
			if kind, ok := sanKinds[tag]; ok {
				sans = append(sans, sanOf(kind, value))
			}
		}
	}
	return sans
}

// sanOf returns a name as ParseSAN would. An IPv4-mapped address stays what it is: not the IPv4 address.
func sanOf(kind sanKind, value []byte) SAN {
	switch kind {
	case dnsSAN:
		return SAN{kind, strings.ToLower(string(value))}
	case ipSAN:
		addr, _ := netip.AddrFromSlice(value) // x509 takes 4 and 16 bytes only
		return SAN{kind, addr.String()}
	}
	return SAN{kind, string(value)}
}

// peerRules are what a client's certificate must obey beyond being signed by the right CA, in time and for this use, which crypto/tls
// checks.
type peerRules struct {
	allowed []SAN        // one of them; empty: any
	revoked *revocations // nil without TLS_CRL
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
	return slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool { return !p.revoked.revoked(chain) })
}

// refusedPeer is check's error.
type refusedPeer struct {
	reason Refusal
	text   string
}

func (e *refusedPeer) Error() string { return e.text }
