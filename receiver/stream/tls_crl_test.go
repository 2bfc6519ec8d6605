package stream_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testpki"
	"rsyncd_exporter/receiver/stream"
)

// peer says why the credentials refuse a client with this chain, as a connection would: nil where it gets in.
func peer(t *testing.T, creds *stream.Credentials, chain ...[]byte) error {
	t.Helper()
	var certs []*x509.Certificate
	between := x509.NewCertPool()
	for _, der := range chain {
		cert, err := x509.ParseCertificate(der)
		check(t, err)
		certs = append(certs, cert)
		between.AddCert(cert)
	}
	config := creds.Config()
	chains, err := certs[0].Verify(x509.VerifyOptions{Roots: config.ClientCAs, Intermediates: between,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	check(t, err)
	return config.VerifyConnection(tls.ConnectionState{PeerCertificates: certs, VerifiedChains: chains})
}

func wantRevoked(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, stream.Revoked) {
		t.Errorf("%v, want %v", err, stream.Revoked)
	}
}

func serialOf(t *testing.T, c tls.Certificate) *big.Int {
	t.Helper()
	cert, err := x509.ParseCertificate(c.Certificate[0])
	check(t, err)
	return cert.SerialNumber
}

func crlPEM(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }

// name is a distinguished name with a common name of one string type.
func name(t *testing.T, tag int, text string) []byte {
	t.Helper()
	type attribute struct {
		ID    asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	der, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: func() []byte {
		b, err := asn1.Marshal(attribute{asn1.ObjectIdentifier{2, 5, 4, 3}, asn1.RawValue{Tag: tag, Bytes: []byte(text)}})
		check(t, err)
		return b
	}()}})
	check(t, err)
	return der
}

// as is the CA under another name, with the same key.
func as(ca *testpki.CA, subject []byte) *testpki.CA {
	cert := *ca.Cert
	cert.RawSubject = subject
	return &testpki.CA{Cert: &cert, Key: ca.Key}
}

// A list whose issuer has the CA's name in other words of the same meaning (RFC 5280 section 7.1) revokes what the CA has signed;
// under another name it is refused, though the CA has signed it.
func TestCRLIssuerNames(t *testing.T) {
	d := newTLSDir(t)
	client := d.ca.Issue(t)
	opt := d.options()
	opt.CRL = d.file("crl.pem")
	for _, c := range []struct {
		what string
		name []byte
		same bool
	}{
		{"as the CA has it", d.ca.Cert.RawSubject, true},
		{"UTF8String", name(t, asn1.TagUTF8String, "test CA"), true},
		{"IA5String", name(t, asn1.TagIA5String, "test CA"), true},
		{"T61String", name(t, asn1.TagT61String, "test CA"), true},
		{"BMPString", name(t, asn1.TagBMPString, "\x00t\x00e\x00s\x00t\x00 \x00C\x00A"), true},
		{"other case", name(t, asn1.TagPrintableString, "Test ca"), true},
		{"more spaces", name(t, asn1.TagUTF8String, " test   CA "), true},
		{"another name", name(t, asn1.TagPrintableString, "test CB"), false},
		{"no space", name(t, asn1.TagPrintableString, "testCA"), false},
		{"a NUL behind it", name(t, asn1.TagUTF8String, "test CA\x00"), false},
		{"no name", []byte{0x30, 0}, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			d.write("crl.pem", crlPEM(as(d.ca, c.name).List(t, func(*x509.RevocationList) {}, serialOf(t, client))))
			creds, err := stream.LoadCredentials(opt)
			if !c.same {
				if err == nil || !strings.Contains(err.Error(), `is signed by "CN=test CA", and so says nothing`) {
					t.Errorf("%v, want it refused for its name", err)
				}
				return
			}
			check(t, err)
			wantRevoked(t, peer(t, creds, client.Certificate...))
		})
	}
}

// A list that doesn't apply as a whole to the certificates of its CA is refused with the reason.
func TestCRLsThatDoNotApply(t *testing.T) {
	d := newTLSDir(t)
	client := d.ca.Issue(t)
	noSign := testpki.NewCA(t, "no lists", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
	d.write("ca.pem", append(d.ca.PEM(), noSign.PEM()...))
	signs := *noSign.Cert
	signs.KeyUsage |= x509.KeyUsageCRLSign
	opt := d.options()
	opt.CRL = d.file("crl.pem")
	ext := func(n int, critical bool, value ...byte) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, n}, Critical: critical, Value: value})
		}
	}
	entry := func(n int, critical bool, value ...byte) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, n}, Critical: critical, Value: value}}
		}
	}
	idp := func(fields ...byte) func(*x509.RevocationList) {
		return ext(28, true, append([]byte{0x30, byte(len(fields))}, fields...)...)
	}
	place := []byte{0xa0, 0x0a, 0xa0, 0x08, 0x86, 0x06, 'h', 't', 't', 'p', ':', '/'}
	for _, c := range []struct {
		name   string
		change func(*x509.RevocationList)
		want   string // empty: it holds
	}{
		{"plain", func(*x509.RevocationList) {}, ""},
		{"for a place", idp(place...), ""},
		{"for users", idp(0x81, 1, 0xff), ""},
		{"for a place and CAs", idp(append(place[:len(place):len(place)], 0x82, 1, 0xff)...), ""},
		{"not indirect", idp(0x84, 1, 0), ""},
		{"where the newest changes are", ext(46, false, 0x30, 0), ""},
		{"for later", func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Hour) }, ""},
		{"overdue", func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(-time.Minute) }, ""},
		{"on hold", func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].ReasonCode = 6 }, ""},
		{"for later, by its entry", func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].RevocationTime = time.Now().Add(time.Hour)
		}, ""},
		{"indirect", idp(0x84, 1, 0xff), "is an indirect one"},
		{"some reasons", idp(0x83, 2, 1, 0x40), "is for some reasons of revocation only"},
		{"attribute certificates", idp(0x85, 1, 0xff), "is for attribute certificates"},
		{"a field that isn't known", idp(0x86, 1, 0xff), "issuing distribution point that is not understood"},
		{"a field twice", idp(0x81, 1, 0xff, 0x81, 1, 0xff), "malformed issuing distribution point"},
		{"a point that is cut off", ext(28, true, 0x30, 5, 0x81, 1), "malformed issuing distribution point"},
		{"two points", func(l *x509.RevocationList) { idp(0x81, 1, 0xff)(l); idp(0x82, 1, 0xff)(l) }, "has the extension 2.5.29.28 twice"},
		{"delta", ext(27, true, 2, 1, 1), "is a delta, with changes only"},
		{"delta, not critical", ext(27, false, 2, 1, 1), "is a delta, with changes only"},
		{"unknown and critical", ext(99, true, 5, 0), "the critical extension 2.5.29.99"},
		{"unknown and not critical", ext(99, false, 5, 0), ""},
		{"entry: of another CA", entry(29, true, 0x30, 0), "revokes certificates of other CAs"},
		{"entry: of another CA, not critical", entry(29, false, 0x30, 0), "revokes certificates of other CAs"},
		{"entry: unknown and critical", entry(99, true, 5, 0), "the critical extension 2.5.29.99"},
		{"entry: unknown and not critical", entry(99, false, 5, 0), ""},
		{"entry: invalid since", entry(24, false, 0x18, 0), ""},
		{"entry: revokes nothing", func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].ReasonCode = 8 }, "revokes nothing (removeFromCRL)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.write("crl.pem", crlPEM(d.ca.List(t, c.change, serialOf(t, client))))
			creds, err := stream.LoadCredentials(opt)
			if c.want != "" {
				const place = `line 1, byte 0: revocation list 1, of "CN=test CA"`
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), place) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			check(t, err)
			wantRevoked(t, peer(t, creds, client.Certificate...))
		})
	}
	t.Run("a CA that may sign none", func(t *testing.T) {
		d.write("crl.pem", crlPEM((&testpki.CA{Cert: &signs, Key: noSign.Key}).List(t, func(*x509.RevocationList) {})))
		if _, err := stream.LoadCredentials(opt); err == nil || !strings.Contains(err.Error(), "its key usage has no cRLSign") {
			t.Errorf("%v, want it refused", err)
		}
	})
}

// x509.ParseRevocationList passes over what it doesn't expect. Here the list of revoked certificates has the wrong type, and the
// CA has signed that.
func TestCRLWithMoreInIt(t *testing.T) {
	d := newTLSDir(t)
	good := d.ca.List(t, func(*x509.RevocationList) {}, big.NewInt(7))
	var list struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	_, err := asn1.Unmarshal(good, &list)
	check(t, err)
	var parts []asn1.RawValue
	_, err = asn1.Unmarshal(list.TBS.FullBytes, &parts)
	check(t, err)
	const entries = 5 // version, algorithm, issuer, two times before them
	sign := func(tbs []asn1.RawValue) []byte {
		t.Helper()
		signed := list
		signed.TBS.FullBytes, err = asn1.Marshal(tbs)
		check(t, err)
		signed.Signature.Bytes = d.ca.Sign(t, signed.TBS.FullBytes)
		signed.Signature.BitLength = 8 * len(signed.Signature.Bytes)
		der, err := asn1.Marshal(signed)
		check(t, err)
		return der
	}
	raw := func(tag int, b []byte) asn1.RawValue { return asn1.RawValue{Tag: tag, IsCompound: true, Bytes: b} }
	change := func(at int, v ...asn1.RawValue) []byte {
		return sign(slices.Concat(parts[:at], v, parts[at+1:]))
	}
	entry, null := parts[entries].Bytes, []byte{5, 0}
	if _, err := stream.ReadCRLs(crlPEM(sign(parts)), []*x509.Certificate{d.ca.Cert}, time.Now()); err != nil {
		t.Fatalf("signed again: %v", err)
	}
	for name, der := range map[string][]byte{
		"entries that are a SET":          change(entries, raw(asn1.TagSet, entry)),
		"entries twice":                   change(entries, parts[entries], parts[entries]),
		"more behind the extensions":      sign(append(slices.Clone(parts), asn1.NullRawValue)),
		"more in an entry":                change(entries, raw(asn1.TagSequence, slices.Concat([]byte{0x30, entry[1] + 2}, entry[2:], null))),
		"extensions of another number":    change(entries+1, asn1.RawValue{Class: 2, Tag: 1, IsCompound: true, Bytes: parts[entries+1].Bytes}),
		"more within the extensions' [0]": change(entries+1, asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: slices.Concat(parts[entries+1].Bytes, null)}),
	} {
		_, err := stream.ReadCRLs(crlPEM(der), []*x509.Certificate{d.ca.Cert}, time.Now())
		if err == nil || !strings.Contains(err.Error(), "which can't be read") {
			t.Errorf("%s: %v, want an error", name, err)
		}
	}
}

// An intermediate that its root has revoked lets nobody in, whether clients send it or TLS_CLIENT_CA has it; and a list is one for
// its CA's certificates only.
func TestRevokedIntermediates(t *testing.T) {
	d := newTLSDir(t)
	sub, other := d.ca.Sub(t, "intermediate"), testpki.NewCA(t, "other CA")
	client, own := sub.Issue(t), d.ca.Issue(t)
	for _, c := range []struct {
		name     string
		cas, crl [][]byte
		want     [2]bool // revoked: the intermediate's client, the root's own
	}{
		{"nobody", [][]byte{d.ca.PEM()}, [][]byte{d.ca.CRL(t)}, [2]bool{false, false}},
		{"the intermediate, that the client sends", [][]byte{d.ca.PEM()}, [][]byte{d.ca.CRL(t, sub.Cert.SerialNumber)}, [2]bool{true, false}},
		{"the intermediate, that TLS_CLIENT_CA has", [][]byte{d.ca.PEM(), sub.PEM()}, [][]byte{d.ca.CRL(t, sub.Cert.SerialNumber)}, [2]bool{true, false}},
		{"the client, by the intermediate", [][]byte{d.ca.PEM(), sub.PEM()}, [][]byte{sub.CRL(t, serialOf(t, client))}, [2]bool{true, false}},
		{"the root's, by its number only", [][]byte{d.ca.PEM(), sub.PEM()}, [][]byte{sub.CRL(t, serialOf(t, own))}, [2]bool{false, false}},
		{"the root's, by another CA", [][]byte{d.ca.PEM(), other.PEM()}, [][]byte{other.CRL(t, serialOf(t, own))}, [2]bool{false, false}},
		{"the root, by itself", [][]byte{d.ca.PEM()}, [][]byte{d.ca.CRL(t, d.ca.Cert.SerialNumber)}, [2]bool{true, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.write("ca.pem", join(c.cas...))
			d.write("crl.pem", join(c.crl...))
			opt := d.options()
			opt.CRL = d.file("crl.pem")
			creds := loadCredentials(t, opt)
			for i, cert := range []tls.Certificate{client, own} {
				err := peer(t, creds, cert.Certificate...)
				if c.want[i] {
					wantRevoked(t, err)
				} else if err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			}
		})
	}
}

// A CA that has a new key goes on to revoke what the old key has signed; so a list holds for all certificates of its name.
func TestCRLOfACAWithANewKey(t *testing.T) {
	d := newTLSDir(t)
	renewed := testpki.NewCA(t, "test CA")
	old, fresh := d.ca.Issue(t), renewed.Issue(t)
	d.write("ca.pem", join(d.ca.PEM(), renewed.PEM()))
	d.write("crl.pem", renewed.CRL(t, serialOf(t, old)))
	opt := d.options()
	opt.CRL = d.file("crl.pem")
	creds := loadCredentials(t, opt)
	wantRevoked(t, peer(t, creds, old.Certificate...))
	check(t, peer(t, creds, fresh.Certificate...))
}

func join(files ...[]byte) (all []byte) {
	for _, f := range files {
		all = append(all, f...)
	}
	return all
}

// What a reload must not do: take an older list, or none, for one that is in force.
func TestListsDoNotGoBack(t *testing.T) {
	d := newTLSDir(t)
	now := time.Now() // once: lists have whole seconds
	second, renewed := testpki.NewCA(t, "second CA"), testpki.NewCA(t, "test CA")
	client := d.ca.Issue(t)
	cas := join(d.ca.PEM(), second.PEM())
	list := func(ca *testpki.CA, number int64, age time.Duration, serials ...*big.Int) []byte {
		return crlPEM(ca.List(t, func(l *x509.RevocationList) {
			l.Number, l.ThisUpdate = big.NewInt(number), now.Add(-age)
		}, serials...))
	}
	revoked := serialOf(t, client)
	theirs := list(second, 9, time.Hour)
	both := list(renewed, 7, time.Hour, revoked)
	for _, c := range []struct {
		name     string
		cas, crl []byte
		want     string
	}{
		{"newer", cas, join(list(d.ca, 6, 0, revoked), theirs), ""},
		{"in another order", cas, join(theirs, list(d.ca, 5, time.Hour, revoked)), ""},
		{"older by number", cas, join(list(d.ca, 4, 0), theirs), `the list of "CN=test CA" is number 4 of`},
		{"older by time", cas, join(list(d.ca, 5, 2*time.Hour), theirs), `the list of "CN=test CA" is number 5 of`},
		{"the first one gone", cas, theirs, `the list of "CN=test CA" is gone`},
		{"the last one gone", cas, list(d.ca, 6, 0, revoked), `the list of "CN=second CA" is gone`},
		{"gone with its CA", d.ca.PEM(), list(d.ca, 6, 0, revoked), ""},
		{"by a new key", join(cas, renewed.PEM()), join(list(renewed, 1, 0, revoked), theirs), ""},
		{"by a new key, older", join(cas, renewed.PEM()), join(list(renewed, 1, 2*time.Hour), theirs), `the list of "CN=test CA" is gone`},
		{"the old key and its list gone", join(renewed.PEM(), second.PEM()), join(both, theirs), ""},
		{"the old key's list gone", join(cas, renewed.PEM()), join(both, theirs), `the list of "CN=test CA" is gone`},
		{"the old one with the newer", cas, join(list(d.ca, 4, 2*time.Hour), list(d.ca, 6, 0, revoked), theirs), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.write("ca.pem", cas)
			d.write("crl.pem", join(list(d.ca, 5, time.Hour, revoked), theirs))
			if strings.Contains(c.name, "the old key") {
				d.write("ca.pem", join(cas, renewed.PEM()))
				d.write("crl.pem", join(list(d.ca, 5, time.Hour, revoked), both, theirs))
			}
			opt := d.options()
			opt.CRL = d.file("crl.pem")
			creds := loadCredentials(t, opt)
			d.write("ca.pem", c.cas)
			d.write("crl.pem", c.crl)
			_, err := creds.Reload()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if bytes.Contains(c.cas, d.ca.PEM()) {
				wantRevoked(t, peer(t, creds, client.Certificate...))
			}
			if c.want != "" {
				if _, err := stream.LoadCredentials(opt); err != nil {
					t.Errorf("after a restart: %v", err)
				}
			}
		})
	}
}

// What is doubtful about lists is told.
func TestDoubtsAboutCRLs(t *testing.T) {
	d := newTLSDir(t)
	d.write("ca.pem", join(d.ca.PEM(), testpki.NewCA(t, "second CA").PEM()))
	d.write("crl.pem", crlPEM(d.ca.List(t, func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Hour) })))
	opt := d.options()
	opt.CRL = d.file("crl.pem")
	doubts := strings.Join(loadCredentials(t, opt).Doubts(), "\n")
	for _, want := range []string{`the list of "CN=test CA" is for later, from `, `it has no list of "CN=second CA", so that`} {
		if !strings.Contains(doubts, want) {
			t.Errorf("%q, want %q among it", doubts, want)
		}
	}
	d.write("ca.pem", d.ca.PEM())
	d.write("crl.pem", d.ca.CRL(t))
	if doubts := loadCredentials(t, opt).Doubts(); len(doubts) != 0 {
		t.Errorf("%q, want none", doubts)
	}
}

// A client's names are those of the bytes of its certificate, of their kinds: x509 makes different URIs the same.
func TestNamesAreThoseOfTheBytes(t *testing.T) {
	d := newTLSDir(t)
	for _, c := range []struct {
		tag     int
		inside  string
		allowed string
		want    bool
	}{
		{6, "spiffe://example.org/a", "spiffe://example.org/a", true},
		{6, "spiffe://example.org/a#", "spiffe://example.org/a", false},
		{6, "spiffe://example.org/a", "spiffe://example.org/a#", false},
		{6, "SPIFFE://example.org/a", "spiffe://example.org/a", false},
		{6, "spiffe://example.org/a", "SPIFFE://example.org/a", false},
		{6, "spiffe://example.org/a%20b", "spiffe://example.org/a%20b", true},
		{6, "spiffe://a%40b@example.org/", "spiffe://a@b@example.org/", false},
		{2, "RSYNC1.example.org", "rsync1.example.org", true},
		{2, "rsync1.example.org.", "rsync1.example.org", false},
		{2, "rsync1.example.org\x00", "rsync1.example.org", false},
		{1, "Ops@example.org", "ops@example.org", false},
		{7, "\xc0\x00\x02\x07", "192.0.2.7", true},
		{7, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x07", "192.0.2.7", false},
		{2, "192.0.2.7", "192.0.2.7", false},
		{8, "rsync1.example.org", "rsync1.example.org", false},
	} {
		cert := d.ca.Issue(t, rawSAN(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: c.tag, Bytes: []byte(c.inside)}))
		err := peer(t, loadCredentials(t, d.options(c.allowed)), cert.Certificate...)
		if (err == nil) != c.want {
			t.Errorf("%q of kind %d where %q is allowed: %v", c.inside, c.tag, c.allowed, err)
		}
	}
}

// readFile returns a file of the directory.
func (d *tlsDir) read(name string) []byte {
	d.t.Helper()
	b, err := os.ReadFile(d.file(name))
	check(d.t, err)
	return b
}
