package stream

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"
)

// revocations are what the lists of a TLS_CRL say. One that can't be applied as a whole is refused.
type revocations struct {
	serials map[string]map[string]bool // revoked serial numbers by the canonical name of their CA
	lists   map[crlScope]crlVersion
	next    time.Time // when the first list is due to be replaced; zero where none says
	doubts  []string  // what is allowed and still doubtful
}

// A crlScope tells apart the lists of which the newest is the one that counts.
type crlScope struct {
	issuer string // canonical name
	key    string // the public key that it was verified with
	point  string // value of the issuing distribution point, empty without
}

// A crlVersion is how new a list is.
type crlVersion struct {
	issuer string   // as a text
	number *big.Int // may be nil
	from   time.Time
}

// olderThan compares by number (RFC 5280 section 5.2.3), then by time.
func (v crlVersion) olderThan(o crlVersion) bool {
	if v.number != nil && o.number != nil {
		if c := v.number.Cmp(o.number); c != 0 {
			return c < 0
		}
	}
	return v.from.Before(o.from)
}

func (v crlVersion) String() string {
	if v.number == nil {
		return "of " + v.from.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("number %v of %s", v.number, v.from.UTC().Format(time.RFC3339))
}

// readCRLs takes the revocation lists of a PEM file, each signed by one of the CAs. A list that is
// overdue, or that is for later, holds all the same.
func readCRLs(file []byte, cas []*x509.Certificate, now time.Time) (*revocations, error) {
	blocks, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	r := &revocations{serials: map[string]map[string]bool{}, lists: map[crlScope]crlVersion{}}
	for i, block := range blocks {
		if block.label != "X509 CRL" { // RFC 7468 section 6
			return nil, unexpected(block, `"X509 CRL"`)
		}
		if err := r.add(block.der, cas, now); err != nil {
			return nil, block.at.errorf("revocation list %d, %w", i+1, err)
		}
	}
	r.doubtAbsent(cas)
	return r, nil
}

// doubtAbsent notes which CAs have no list.
func (r *revocations) doubtAbsent(cas []*x509.Certificate) {
	var absent []string
	for _, ca := range cas {
		if r.serials[canonicalName(ca.RawSubject)] == nil {
			absent = append(absent, fmt.Sprintf("%q", ca.Subject))
		}
	}
	if len(absent) > 3 {
		absent = append(absent[:2], fmt.Sprintf("%d others", len(absent)-2))
	}
	if len(absent) > 0 {
		r.doubts = append(r.doubts, "it has no list of "+strings.Join(absent, ", ")+
			", so that what these have signed never counts as revoked")
	}
}

// add takes one list.
func (r *revocations) add(raw []byte, cas []*x509.Certificate, now time.Time) error {
	list, err := x509.ParseRevocationList(raw)
	if err == nil {
		err = wholeCRL(raw)
	}
	if err != nil {
		return fmt.Errorf("which can't be read: %w: "+
			"get the list again, or have the CA make one of version 2 (RFC 5280)", err)
	}
	ca, err := issuerOf(list, cas)
	if err != nil {
		return fmt.Errorf("of %q, %w", list.Issuer, err)
	}
	point, err := applicable(list)
	if err != nil {
		return fmt.Errorf("of %q, %w", list.Issuer, err)
	}
	scope := crlScope{canonicalName(ca.RawSubject), string(ca.RawSubjectPublicKeyInfo), point}
	version := crlVersion{list.Issuer.String(), list.Number, list.ThisUpdate}
	if seen, ok := r.lists[scope]; !ok || seen.olderThan(version) {
		r.lists[scope] = version
	}
	serials := r.serials[scope.issuer]
	if serials == nil {
		serials = map[string]bool{}
		r.serials[scope.issuer] = serials
	}
	for _, entry := range list.RevokedCertificateEntries {
		serials[entry.SerialNumber.String()] = true
	}
	if !list.NextUpdate.IsZero() && (r.next.IsZero() || list.NextUpdate.Before(r.next)) {
		r.next = list.NextUpdate
	}
	if list.ThisUpdate.After(now) {
		r.doubts = append(r.doubts, fmt.Sprintf("the list of %q is for later, from %s on; it holds already",
			list.Issuer, list.ThisUpdate.UTC().Format(time.RFC3339)))
	}
	return nil
}

// issuerOf returns the CA that has signed a list under its own name, in whatever encoding.
func issuerOf(list *x509.RevocationList, cas []*x509.Certificate) (*x509.Certificate, error) {
	name := canonicalName(list.RawIssuer)
	var why error
	for _, ca := range cas {
		if canonicalName(ca.RawSubject) != name {
			continue
		}
		err := list.CheckSignatureFrom(ca)
		switch {
		case err == nil:
			return ca, nil
		case ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCRLSign == 0:
			why = errors.New("comes from a CA that may sign none, for its key usage has no cRLSign: " +
				"put a certificate of it that has into TLS_CLIENT_CA")
		case why == nil:
			why = fmt.Errorf("is signed by none of TLS_CLIENT_CA (with the key of that name: %w): "+
				"get the list, or the CA's certificate, again", err)
		}
	}
	for _, ca := range cas {
		if canonicalName(ca.RawSubject) != name && list.CheckSignatureFrom(ca) == nil {
			return nil, fmt.Errorf("is signed by %q, and so says nothing about certificates of that name: "+
				"have the CA make a list under its own", ca.Subject)
		}
	}
	if why == nil {
		why = errors.New("is signed by none of TLS_CLIENT_CA: leave it out, or put its CA's certificate there")
	}
	return nil, why
}

// Extensions of lists and their entries (RFC 5280 sections 5.2 and 5.3).
const (
	extCRLNumber         = "2.5.29.20"
	extReasonCode        = "2.5.29.21"
	extHoldInstruction   = "2.5.29.23"
	extInvalidityDate    = "2.5.29.24"
	extDeltaCRL          = "2.5.29.27"
	extDistributionPoint = "2.5.29.28"
	extCertificateIssuer = "2.5.29.29"
	extAuthorityKey      = "2.5.29.35"
)

// reasonRemoveFromCRL stands in delta lists only (RFC 5280 section 5.3.1).
const reasonRemoveFromCRL = 8

// applicable says why a list can't be applied as a whole to the certificates of its issuer, and
// returns its issuing distribution point.
func applicable(list *x509.RevocationList) (point string, err error) {
	seen := map[string]bool{}
	for _, ext := range list.Extensions {
		id := ext.Id.String()
		if seen[id] {
			return "", fmt.Errorf("has the extension %v twice: have the CA make it again", id)
		}
		seen[id] = true
		switch id {
		case extDeltaCRL:
			return "", errors.New("is a delta, with changes only: use the complete list of the CA")
		case extDistributionPoint:
			if err := checkPoint(ext.Value); err != nil {
				return "", err
			}
			point = string(ext.Value)
		case extCRLNumber, extAuthorityKey:
		default:
			if ext.Critical {
				return "", notUnderstood(id)
			}
		}
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, ext := range entry.Extensions {
			switch id := ext.Id.String(); id {
			case extCertificateIssuer:
				return "", errors.New("revokes certificates of other CAs, which are not looked up: " +
					"use each CA's own list")
			case extReasonCode, extHoldInstruction, extInvalidityDate:
			default:
				if ext.Critical {
					return "", notUnderstood(id)
				}
			}
		}
		if entry.ReasonCode == reasonRemoveFromCRL {
			return "", errors.New("has an entry that revokes nothing (removeFromCRL), as only deltas have: " +
				"use the complete list of the CA")
		}
	}
	return point, nil
}

func notUnderstood(id string) error {
	return fmt.Errorf("has the critical extension %s, which is not understood: have the CA make a list without it", id)
}

// checkPoint says why a list with this issuing distribution point (RFC 5280 section 5.2.5) can't be
// applied. A list for users' or CAs' certificates only, or for one place, can: what it has is
// revoked.
func checkPoint(value []byte) error {
	var fields []asn1.RawValue
	malformed := errors.New("has a malformed issuing distribution point: have the CA make it again")
	if rest, err := asn1.Unmarshal(value, &fields); err != nil || len(rest) > 0 {
		return malformed
	}
	for i, f := range fields {
		isFalse := bytes.Equal(f.Bytes, []byte{0})
		switch {
		case i > 0 && f.Tag <= fields[i-1].Tag:
			return malformed
		case f.Class != asn1.ClassContextSpecific || f.IsCompound != (f.Tag == 0) || f.Tag > 5:
			return errors.New("has an issuing distribution point that is not understood: " +
				"have the CA make a list without it")
		case f.Tag == 3:
			return errors.New("is for some reasons of revocation only: use the complete list of the CA")
		case f.Tag == 4 && !isFalse:
			return errors.New("is an indirect one, for certificates of other CAs, too: use each CA's own list")
		case f.Tag == 5 && !isFalse:
			return errors.New("is for attribute certificates, which no client shows: leave it out")
		}
	}
	return nil
}

// elements returns the elements of a SEQUENCE and a letter for the type of each; "?" if it is none.
func elements(der []byte) (parts []asn1.RawValue, shape string) {
	if rest, err := asn1.Unmarshal(der, &parts); err != nil || len(rest) > 0 {
		return nil, "?"
	}
	letters := make([]byte, len(parts))
	for i, p := range parts {
		letters[i] = '?'
		switch {
		case p.Class == asn1.ClassContextSpecific && p.Tag == 0 && p.IsCompound:
			letters[i] = '0'
		case p.Class != asn1.ClassUniversal || p.Tag >= len(elementLetters):
		case p.IsCompound == (p.Tag == asn1.TagSequence):
			letters[i] = elementLetters[p.Tag]
		}
	}
	return parts, string(letters)
}

var elementLetters = [32]byte{
	asn1.TagBoolean: 'b', asn1.TagInteger: 'i', asn1.TagBitString: 'y', asn1.TagOctetString: 'x', asn1.TagOID: 'o',
	asn1.TagSequence: 's', asn1.TagUTCTime: 't', asn1.TagGeneralizedTime: 't',
}

// sequences returns the elements of a SEQUENCE of SEQUENCEs.
func sequences(der []byte) (parts []asn1.RawValue, ok bool) {
	parts, shape := elements(der)
	return parts, strings.Trim(shape, "s") == ""
}

// tbsShape is that of a list (RFC 5280 section 5.1): version, algorithm, issuer, times, entries,
// extensions.
var tbsShape = regexp.MustCompile(`^isstt?s?0?$`)

// wholeCRL says where a list has something that x509.ParseRevocationList passes over: it stops at
// the first element that it doesn't expect.
func wholeCRL(raw []byte) error {
	list, shape := elements(raw)
	if shape != "ssy" {
		return errors.New("something stands behind its signature")
	}
	tbs, shape := elements(list[0].FullBytes)
	whole := tbsShape.MatchString(shape)
	for i := 3; whole && i < len(tbs); i++ {
		switch shape[i] {
		case '0':
			whole = wholeExtensions(tbs[i].Bytes)
		case 's':
			var entries []asn1.RawValue
			entries, whole = sequences(tbs[i].FullBytes)
			for n, entry := range entries {
				fields, shape := elements(entry.FullBytes) // number, time, extensions
				if shape != "it" && (shape != "its" || !wholeExtensions(fields[2].FullBytes)) {
					return fmt.Errorf("something stands in entry %d where an entry has nothing", n+1)
				}
			}
		}
	}
	if !whole {
		return errors.New("something stands where a list has nothing")
	}
	return nil
}

// wholeExtensions says whether each extension is a name, perhaps a flag, and a value.
func wholeExtensions(der []byte) bool {
	all, ok := sequences(der)
	return ok && !slices.ContainsFunc(all, func(ext asn1.RawValue) bool {
		_, shape := elements(ext.FullBytes)
		return shape != "ox" && shape != "obx"
	})
}

// supersedes says why what has been read, with these CAs, can't take the place of what is in force:
// an older list, or none, would let in again whom the newer one has revoked.
func (r *revocations) supersedes(old *revocations, cas []*x509.Certificate) error {
	const remedy = "get the newest list, or restart the exporter if it is right so"
	for scope, was := range old.lists {
		is, ok := r.lists[scope]
		if ok && is.olderThan(was) {
			return fmt.Errorf("the list of %q is %v, older than the one in force, %v: "+remedy, was.issuer, is, was)
		}
		if !ok && !r.replaces(scope, was, old, cas) {
			return fmt.Errorf("the list of %q is gone, as if the file were cut off; in force is %v: "+remedy,
				was.issuer, was)
		}
	}
	return nil
}

// replaces says whether it is right that a list is gone: no CA of its name is left, or the same CA
// has signed another list in its place with another key, a new one if the old key is still there.
func (r *revocations) replaces(gone crlScope, was crlVersion, old *revocations, cas []*x509.Certificate) bool {
	var name, key bool
	for _, ca := range cas {
		if canonicalName(ca.RawSubject) == gone.issuer {
			name, key = true, key || string(ca.RawSubjectPublicKeyInfo) == gone.key
		}
	}
	for scope, is := range r.lists {
		_, known := old.lists[scope]
		same := scope.issuer == gone.issuer && scope.point == gone.point
		if same && !is.from.Before(was.from) && !(key && known) {
			return true
		}
	}
	return !name
}

// inForce says whether no certificate of a chain is revoked. Each is looked up by the certificate
// that has signed it; the last one, which TLS_CLIENT_CA has, by its own issuer.
//
// A list holds for all certificates of its CA's name, whatever key has signed them: a CA that has
// got a new key revokes with it what the old one had signed.
func (r *revocations) inForce(chain []*x509.Certificate) bool {
	for i, cert := range chain {
		issuer := cert.RawIssuer
		if i+1 < len(chain) {
			issuer = chain[i+1].RawSubject
		}
		if r.serials[canonicalName(issuer)][cert.SerialNumber.String()] {
			return false
		}
	}
	return true
}
