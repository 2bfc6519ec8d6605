package stream

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A SAN is one subject alternative name (RFC 5280 section 4.2.1.6) of a kind. It can be compared
// with ==.
type SAN struct {
	kind  int    // its tag
	value string // DNS names in lower case, addresses as netip writes them
}

const (
	emailSAN = 1
	dnsSAN   = 2
	uriSAN   = 6
	ipSAN    = 7
)

// ParseSAN reads a name as it is written in settings: an IP address, something with a colon is a
// URI, something with an @ an e-mail address, and the rest a DNS name. There are no wildcards.
// Names are ASCII, as certificates have them ("xn--…").
func ParseSAN(s string) (SAN, error) {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return SAN{}, fmt.Errorf("it has the byte %q: "+
				"write names as certificates have them, in ASCII, with xn-- for other letters", s[i])
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

// isDNSName says whether s can be a DNS name, perhaps with a dot at its end. One whose last label
// is a number is a mistyped address.
func isDNSName(s string) bool {
	const digits = "0123456789"
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_" + digits
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, letters) != "" {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], digits) != ""
}

// sansOf returns the names of a certificate as they stand there: x509 parses URIs, which makes
// different ones the same. The common name is none (RFC 9525 section 2). A wildcard is a name that
// no setting has.
func sansOf(cert *x509.Certificate) (sans []SAN) {
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal([]int{2, 5, 29, 17}) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(ext.Value, &names); err != nil || len(rest) > 0 {
			return nil
		}
		for _, name := range names {
			if name.Class == asn1.ClassContextSpecific && !name.IsCompound {
				sans = append(sans, sanOf(name.Tag, name.Bytes))
			}
		}
	}
	return sans
}

// sanOf returns a name as ParseSAN would. An IPv4-mapped address stays what it is: not the IPv4
// address.
func sanOf(kind int, value []byte) SAN {
	switch kind {
	case dnsSAN:
		return SAN{kind, strings.ToLower(string(value))}
	case ipSAN:
		addr, _ := netip.AddrFromSlice(value) // x509 takes 4 and 16 bytes only
		return SAN{kind, addr.String()}
	}
	return SAN{kind, string(value)}
}

// check is the tls.Config's VerifyConnection, which crypto/tls calls for every connection. Its
// error is a Refusal.
func (s *tlsState) check(state tls.ConnectionState) error {
	if len(state.VerifiedChains) == 0 { // ClientAuth has seen to that
		return NoCertificate
	}
	if s.revoked != nil && !slices.ContainsFunc(state.VerifiedChains, s.revoked.inForce) {
		return Revoked
	}
	isAllowed := func(name SAN) bool { return slices.Contains(s.allowed, name) }
	if len(s.allowed) > 0 && !slices.ContainsFunc(sansOf(state.VerifiedChains[0][0]), isAllowed) {
		return WrongSAN
	}
	return nil
}
