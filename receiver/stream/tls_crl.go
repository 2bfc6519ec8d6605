package stream

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// A revocation list that can't be applied as a whole is refused: what it says would be taken for
// less than it is.

// revocations are what the lists of a TLS_CRL say.
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

// readCRLs takes the revocation lists of a PEM file. CAs among those given must have signed them.
// A list that is overdue, or that is for later, holds all the same.
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

// Add takes one list.
func (r *revocations) add(raw []byte, cas []*x509.Certificate, now time.Time) error {
	list, err := x509.ParseRevocationList(raw)
	if err == nil {
		err = wholeCRL(raw)
	}
	if err != nil {
		return fmt.Errorf("which can't be read: %w: get the list again, or have the CA make one of version 2 (RFC 5280)", err)
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

// issuerOf returns the CA that has signed a list and has its issuer's name, in whatever encoding.
// Another name would make the list one about another CA's certificates.
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

// Extensions of lists and their entries (RFC 5280 sections 5.2 and 5.3). Each under the arc 2.5.29.
const (
	extCRLNumber         = 20
	extReasonCode        = 21
	extHoldInstruction   = 23
	extInvalidityDate    = 24
	extDeltaCRL          = 27
	extDistributionPoint = 28
	extCertificateIssuer = 29
	extAuthorityKey      = 35
)

// reasonRemoveFromCRL stands in delta lists only (RFC 5280 section 5.3.1).
const reasonRemoveFromCRL = 8

// applicable says why a list can't be applied as a whole to the certificates of its issuer, and
// returns its issuing distribution point.
func applicable(list *x509.RevocationList) (point string, err error) {
	seen := map[string]bool{}
	for _, ext := range list.Extensions {
		if seen[ext.Id.String()] {
			return "", fmt.Errorf("has the extension %v twice: have the CA make it again", ext.Id)
		}
		seen[ext.Id.String()] = true
		switch n := extension(ext); {
		case n == extDeltaCRL:
			return "", errors.New("is a delta, with changes only: use the complete list of the CA")
		case n == extDistributionPoint:
			if err := checkPoint(ext.Value); err != nil {
				return "", err
			}
			point = string(ext.Value)
		case ext.Critical && n != extCRLNumber && n != extAuthorityKey:
			return "", notUnderstood(ext)
		}
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, ext := range entry.Extensions {
			switch n := extension(ext); {
			case n == extCertificateIssuer:
				return "", errors.New("revokes certificates of other CAs, which are not looked up: use each CA's own list")
			case ext.Critical && n != extReasonCode && n != extHoldInstruction && n != extInvalidityDate:
				return "", notUnderstood(ext)
			}
		}
		if entry.ReasonCode == reasonRemoveFromCRL {
			return "", errors.New("has an entry that revokes nothing (removeFromCRL), as only deltas have: " +
				"use the complete list of the CA")
		}
	}
	return point, nil
}

func notUnderstood(ext pkix.Extension) error {
	return fmt.Errorf("has the critical extension %v, which is not understood: have the CA make a list without it", ext.Id)
}

// extension returns the last number of an extension's name within 2.5.29, or -1.
func extension(ext pkix.Extension) int {
	if len(ext.Id) == 4 && ext.Id[:3].Equal(asn1.ObjectIdentifier{2, 5, 29}) {
		return ext.Id[3]
	}
	return -1
}

// checkPoint says why a list with this issuing distribution point (RFC 5280 section 5.2.5) can't be
// applied. One that is for users' or for CAs' certificates, or for those that name one place, can:
// what it has is revoked.
func checkPoint(value []byte) error {
	in := cryptobyte.String(value)
	var fields cryptobyte.String
	if !in.ReadASN1(&fields, der.SEQUENCE) || !in.Empty() {
		return errors.New("has a malformed issuing distribution point: have the CA make it again")
	}
	for last := -1; !fields.Empty(); {
		var content cryptobyte.String
		var tag der.Tag
		if !fields.ReadAnyASN1(&content, &tag) || int(tag&0x1f) <= last {
			return errors.New("has a malformed issuing distribution point: have the CA make it again")
		}
		last = int(tag & 0x1f)
		isFalse := bytes.Equal(content, []byte{0})
		switch tag {
		case der.Tag(0).ContextSpecific().Constructed(), // distributionPoint
			der.Tag(1).ContextSpecific(), // onlyContainsUserCerts
			der.Tag(2).ContextSpecific(): // onlyContainsCACerts
		case der.Tag(3).ContextSpecific():
			return errors.New("is for some reasons of revocation only: use the complete list of the CA")
		case der.Tag(4).ContextSpecific():
			if !isFalse {
				return errors.New("is an indirect one, for certificates of other CAs, too: use each CA's own list")
			}
		case der.Tag(5).ContextSpecific():
			if !isFalse {
				return errors.New("is for attribute certificates, which no client shows: leave it out")
			}
		default:
			return errors.New("has an issuing distribution point that is not understood: have the CA make a list without it")
		}
	}
	return nil
}

// wholeCRL says where a list has something that x509.ParseRevocationList passes over: it stops at
// the first element that it doesn't expect.
func wholeCRL(raw []byte) error {
	in := cryptobyte.String(raw)
	var outer, tbs, entries cryptobyte.String
	if !in.ReadASN1(&outer, der.SEQUENCE) || !in.Empty() || !outer.ReadASN1(&tbs, der.SEQUENCE) ||
		!outer.SkipASN1(der.SEQUENCE) || !outer.SkipASN1(der.BIT_STRING) || !outer.Empty() {
		return errors.New("something stands behind its signature")
	}
	ok := tbs.SkipASN1(der.INTEGER) && tbs.SkipASN1(der.SEQUENCE) && tbs.SkipASN1(der.SEQUENCE) && skipTime(&tbs)
	if tbs.PeekASN1Tag(der.UTCTime) || tbs.PeekASN1Tag(der.GeneralizedTime) {
		ok = ok && skipTime(&tbs)
	}
	if tbs.PeekASN1Tag(der.SEQUENCE) {
		ok = ok && tbs.ReadASN1(&entries, der.SEQUENCE)
	}
	var present bool
	var wrapped, extensions cryptobyte.String
	ok = ok && tbs.ReadOptionalASN1(&wrapped, &present, der.Tag(0).ContextSpecific().Constructed())
	if present {
		ok = ok && wrapped.ReadASN1(&extensions, der.SEQUENCE) && wrapped.Empty() && wholeExtensions(extensions)
	}
	if !ok || !tbs.Empty() {
		return errors.New("something stands where a list has nothing")
	}
	for n := 1; !entries.Empty(); n++ {
		var entry, extensions cryptobyte.String
		ok := entries.ReadASN1(&entry, der.SEQUENCE) && entry.SkipASN1(der.INTEGER) && skipTime(&entry) &&
			entry.ReadOptionalASN1(&extensions, nil, der.SEQUENCE) && entry.Empty() && wholeExtensions(extensions)
		if !ok {
			return fmt.Errorf("something stands in entry %d where an entry has nothing", n)
		}
	}
	return nil
}

func skipTime(s *cryptobyte.String) bool {
	return s.PeekASN1Tag(der.UTCTime) && s.SkipASN1(der.UTCTime) || s.SkipASN1(der.GeneralizedTime)
}

// wholeExtensions says whether each extension is a name, perhaps a flag, and a value.
func wholeExtensions(all cryptobyte.String) bool {
	for !all.Empty() {
		var ext cryptobyte.String
		if !all.ReadASN1(&ext, der.SEQUENCE) || !ext.SkipASN1(der.OBJECT_IDENTIFIER) ||
			!ext.SkipOptionalASN1(der.BOOLEAN) || !ext.SkipASN1(der.OCTET_STRING) || !ext.Empty() {
			return false
		}
	}
	return true
}

// supersedes says why what has been read can't take the place of what is in force: an old list
// would let in again whom the newer one has revoked, and so would none. cas are those that have
// been read with it.
func (r *revocations) supersedes(old *revocations, cas []*x509.Certificate) error {
	const remedy = "get the newest list, or restart the exporter if it is right so"
	for scope, was := range old.lists {
		is, ok := r.lists[scope]
		if ok && is.olderThan(was) {
			return fmt.Errorf("the list of %q is %v, older than the one in force, %v: "+remedy, was.issuer, is, was)
		}
		if !ok && !r.replaces(scope, was, old, cas) {
			return fmt.Errorf("the list of %q is gone, as if the file were cut off; in force is %v: "+remedy, was.issuer, was)
		}
	}
	return nil
}

// replaces says whether it is right that a list is gone: no CA of its name is left, or another list
// has its place, which the same CA has signed with another key. That one must be new if the key is
// still among the CAs'.
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

// revoked says whether one of a chain's certificates is. Each is looked up by the certificate that
// has signed it, the last one, which TLS_CLIENT_CA has, by its own issuer.
//
// A list holds for all certificates of a CA of its name, whatever key has signed them: a CA that
// has got a new key revokes with it what the old one had signed.
func (r *revocations) revoked(chain []*x509.Certificate) bool {
	for i, cert := range chain {
		issuer := cert.RawIssuer
		if i+1 < len(chain) {
			issuer = chain[i+1].RawSubject
		}
		if r.serials[canonicalName(issuer)][cert.SerialNumber.String()] {
			return true
		}
	}
	return false
}
