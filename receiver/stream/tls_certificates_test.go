package stream_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"rsyncd_exporter/internal/testpki"
	"rsyncd_exporter/receiver/stream"
)

// A certificateCase is a client and what becomes of it.
type certificateCase struct {
	name string
	want stream.Refusal // Admitted where its message counts
	cert *tls.Certificate
	old  bool // with TLS 1.2
}

// FAULTS S1, S2, S3, S5: a client gets in only with a certificate of the right CA, in time, for clients, with exactly an allowed name. Each
// other one is counted by its reason, and nothing that it sends.
func TestClientCertificates(t *testing.T) {
	d := newTLSDir(t)
	revoked := d.ca.Issue(t, testpki.Names("rsync1.example.org"))
	leaf, err := x509.ParseCertificate(revoked.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	d.write("crl.pem", d.ca.CRL(t, leaf.SerialNumber))
	opt := d.options("rsync1.example.org", "192.0.2.7", "2001:db8::7", "spiffe://example.org/rsync1", "ops@example.org", "xn--bcher-kva.example")
	opt.MinVersion = tls.VersionTLS12
	opt.CRL = d.file("crl.pem")
	sink := newHoldSink(false)
	l := startTLS(t, sink, loadCredentials(t, opt), stream.TCPOptions{})

	cases := append(trustCases(t, d), nameCases(t, d)...)
	cases = append(cases, oddCases(t, d)...)
	cases = append(cases, certificateCase{name: "revoked", want: stream.Revoked, cert: &revoked},
		certificateCase{name: "revoked, TLS 1.2", want: stream.Revoked, cert: &revoked, old: true})
	if len(cases) < 40 {
		t.Errorf("%d cases, want at least 40", len(cases))
	}
	admitted := uint64(0)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := l.Status().Refused
			config := d.client(c.cert)
			if c.old {
				config.MaxVersion = tls.VersionTLS12
			}
			done := sum(want) + admitted + 1
			sayTLS(t, l, config, "<30>let me in\n")
			reach(t, "a message or a refusal", func() bool { return sum(l.Status().Refused)+sink.Received() == done && l.Status().Connections == 0 })
			if c.want == stream.Admitted {
				admitted++
			} else {
				want[c.want.String()]++
			}
			for reason, n := range l.Status().Refused {
				if n != want[reason] {
					t.Errorf("%s: %d, want %d", reason, n, want[reason])
				}
			}
			if sink.Received() != admitted {
				t.Fatalf("%d messages, want %d", sink.Received(), admitted)
			}
		})
	}
}

func sum(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

const allowedName = "rsync1.example.org"

// trustCases are about who has signed, for when and for what.
func trustCases(t *testing.T, d *tlsDir) []certificateCase {
	named := testpki.Names(allowedName)
	issue := func(ca *testpki.CA, changes ...testpki.Change) *tls.Certificate {
		c := ca.Issue(t, append([]testpki.Change{named}, changes...)...)
		return &c
	}
	without := func(c *tls.Certificate) *tls.Certificate { // its intermediates
		c.Certificate = c.Certificate[:1]
		return c
	}
	sub := d.ca.Sub(t, "intermediate")
	other := testpki.NewCA(t, "other CA")
	day := 24 * time.Hour
	notCA := func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }
	return []certificateCase{
		{name: "good", cert: issue(d.ca)},
		{name: "good, TLS 1.2", cert: issue(d.ca), old: true},
		{name: "through an intermediate", cert: issue(sub)},
		{name: "through two", cert: issue(sub.Sub(t, "second"))},
		{name: "no certificate", want: stream.NoCertificate, cert: &tls.Certificate{}},
		{name: "no certificate, TLS 1.2", want: stream.NoCertificate, cert: &tls.Certificate{}, old: true},
		{name: "wrong CA", want: stream.UnknownCA, cert: issue(other)},
		{name: "wrong CA, TLS 1.2", want: stream.UnknownCA, cert: issue(other), old: true},
		{name: "another CA of the same name", want: stream.UnknownCA, cert: issue(testpki.NewCA(t, "test CA"))},
		{name: "another CA of the same name, sent along", want: stream.UnknownCA, cert: issue(testpki.NewCA(t, "x").Sub(t, "test CA"))},
		{name: "intermediate not sent", want: stream.UnknownCA, cert: without(issue(sub))},
		{name: "intermediate of another CA", want: stream.UnknownCA, cert: issue(other.Sub(t, "intermediate"))},
		{name: "intermediate that is no CA", want: stream.UnknownCA, cert: issue(d.ca.Sub(t, "no CA", notCA))},
		{name: "intermediate that has expired", want: stream.Expired, cert: issue(d.ca.Sub(t, "old", testpki.Valid(-2*day, -day)))},
		{name: "one intermediate more than allowed", want: stream.BadCertificate, cert: issue(d.ca.Sub(t, "last", func(c *x509.Certificate) {
			c.MaxPathLenZero = true
		}).Sub(t, "one more"))},
		{name: "expired", want: stream.Expired, cert: issue(d.ca, testpki.Valid(-2*day, -day))},
		{name: "expired, TLS 1.2", want: stream.Expired, cert: issue(d.ca, testpki.Valid(-2*day, -day)), old: true},
		{name: "expired two seconds ago", want: stream.Expired, cert: issue(d.ca, testpki.Valid(-day, -2*time.Second))},
		{name: "expired, of another CA", want: stream.Expired, cert: issue(other, testpki.Valid(-2*day, -day))},
		{name: "not yet valid", want: stream.NotYetValid, cert: issue(d.ca, testpki.Valid(day, 2*day))},
		{name: "not yet valid for a minute", want: stream.NotYetValid, cert: issue(d.ca, testpki.Valid(time.Minute, day))},
		{name: "for servers only", want: stream.WrongUsage, cert: issue(d.ca, testpki.Usage(x509.ExtKeyUsageServerAuth))},
		{name: "for servers only, TLS 1.2", want: stream.WrongUsage, cert: issue(d.ca, testpki.Usage(x509.ExtKeyUsageServerAuth)), old: true},
		{name: "for code", want: stream.WrongUsage, cert: issue(d.ca, testpki.Usage(x509.ExtKeyUsageCodeSigning))},
		{name: "by an intermediate for servers only", want: stream.WrongUsage, cert: issue(d.ca.Sub(t, "servers", testpki.Usage(x509.ExtKeyUsageServerAuth)))},
		{name: "the server's own", want: stream.WrongUsage, cert: d.pair("server")},
		{name: "for both", cert: issue(d.ca, testpki.Usage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth))},
		{name: "for anything", cert: issue(d.ca, testpki.Usage(x509.ExtKeyUsageAny))},
		{name: "without extended usages, which RFC 5280 takes for any", cert: issue(d.ca, testpki.Usage())},
	}
}

// nameCases are about subject alternative names.
func nameCases(t *testing.T, d *tlsDir) []certificateCase {
	cert := func(changes ...testpki.Change) *tls.Certificate {
		c := d.ca.Issue(t, append([]testpki.Change{testpki.Names()}, changes...)...)
		return &c
	}
	dns := func(names ...string) *tls.Certificate { return cert(testpki.Names(names...)) }
	ip := func(ip net.IP) *tls.Certificate {
		return cert(func(c *x509.Certificate) { c.IPAddresses = []net.IP{ip} })
	}
	uri := func(s string) *tls.Certificate {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return cert(func(c *x509.Certificate) { c.URIs = []*url.URL{u} })
	}
	exactly := func(tag int, s string) *tls.Certificate { // byte for byte, which url.URL doesn't keep
		return cert(rawSAN(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(s)}))
	}
	email := func(s string) *tls.Certificate {
		return cert(func(c *x509.Certificate) { c.EmailAddresses = []string{s} })
	}
	mapped := rawSAN(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 7, Bytes: net.IPv4(192, 0, 2, 7).To16()})
	return []certificateCase{
		{name: "DNS name in other case", cert: dns("RSYNC1.Example.ORG")},
		{name: "second of three names", cert: dns("a.example.org", allowedName, "b.example.org")},
		{name: "IPv4 address", cert: ip(net.IPv4(192, 0, 2, 7).To4())},
		{name: "IPv6 address", cert: ip(net.ParseIP("2001:db8::7"))},
		{name: "URI", cert: uri("spiffe://example.org/rsync1")},
		{name: "e-mail address", cert: email("ops@example.org")},
		{name: "IDN as certificates have it", cert: dns("xn--bcher-kva.example")},
		{name: "another name", want: stream.WrongSAN, cert: dns("rsync2.example.org")},
		{name: "another name, TLS 1.2", want: stream.WrongSAN, cert: dns("rsync2.example.org"), old: true},
		{name: "wildcard", want: stream.WrongSAN, cert: dns("*.example.org")},
		{name: "lone wildcard", want: stream.WrongSAN, cert: dns("*")},
		{name: "wildcard within", want: stream.WrongSAN, cert: dns("rsync*.example.org")},
		{name: "domain above", want: stream.WrongSAN, cert: dns("example.org")},
		{name: "domain below", want: stream.WrongSAN, cert: dns("a.rsync1.example.org")},
		{name: "as a prefix", want: stream.WrongSAN, cert: dns("rsync1.example.org.evil.example")},
		{name: "root's dot", want: stream.WrongSAN, cert: dns("rsync1.example.org.")},
		{name: "NUL behind it", want: stream.WrongSAN, cert: dns("rsync1.example.org\x00.evil.example")},
		{name: "NUL at its end", want: stream.WrongSAN, cert: dns("rsync1.example.org\x00")},
		{name: "NUL before it", want: stream.WrongSAN, cert: dns("evil.example\x00rsync1.example.org")},
		{name: "line feed behind it", want: stream.WrongSAN, cert: dns("rsync1.example.org\n")},
		{name: "common name only", want: stream.WrongSAN, cert: cert(testpki.CommonName(allowedName))},
		{name: "common name and another name", want: stream.WrongSAN, cert: cert(testpki.CommonName(allowedName), testpki.Names("a.example"))},
		{name: "no name at all", want: stream.WrongSAN, cert: cert(func(c *x509.Certificate) { c.Subject = pkix.Name{} })},
		{name: "empty list of names", want: stream.WrongSAN, cert: cert(rawSAN(t))},
		{name: "other IPv4 address", want: stream.WrongSAN, cert: ip(net.IPv4(192, 0, 2, 8).To4())},
		{name: "address as DNS name", want: stream.WrongSAN, cert: dns("192.0.2.7")},
		{name: "v4-mapped address", want: stream.WrongSAN, cert: cert(mapped)},
		{name: "DNS name as e-mail address", want: stream.WrongSAN, cert: email("x@rsync1.example.org")},
		{name: "DNS name where an e-mail address belongs", want: stream.WrongSAN, cert: email(allowedName)},
		{name: "DNS name where a URI belongs", want: stream.WrongSAN, cert: uri(allowedName)},
		{name: "e-mail address in other case", want: stream.WrongSAN, cert: email("OPS@example.org")},
		{name: "e-mail address as DNS name", want: stream.WrongSAN, cert: dns("ops@example.org")},
		{name: "longer URI", want: stream.WrongSAN, cert: uri("spiffe://example.org/rsync1/a")},
		{name: "URI with a fragment", want: stream.WrongSAN, cert: uri("spiffe://example.org/rsync1#a")},
		{name: "URI with an empty fragment", want: stream.WrongSAN, cert: exactly(6, "spiffe://example.org/rsync1#")},
		{name: "URI with an empty query", want: stream.WrongSAN, cert: exactly(6, "spiffe://example.org/rsync1?")},
		{name: "URI with an upper-case scheme", want: stream.WrongSAN, cert: exactly(6, "SPIFFE://example.org/rsync1")},
		{name: "URI with an upper-case host", want: stream.WrongSAN, cert: exactly(6, "spiffe://EXAMPLE.org/rsync1")},
		{name: "URI with an escaped letter", want: stream.WrongSAN, cert: exactly(6, "spiffe://example.org/rsync%31")},
		{name: "URI with an escaped host", want: stream.BadCertificate, cert: exactly(6, "spiffe://exampl%65.org/rsync1")},
		{name: "URI with an empty port", want: stream.WrongSAN, cert: exactly(6, "spiffe://example.org:/rsync1")},
		{name: "URI with an empty user", want: stream.WrongSAN, cert: exactly(6, "spiffe://@example.org/rsync1")},
		{name: "URI, byte for byte", cert: exactly(6, "spiffe://example.org/rsync1")},
		{name: "URI as other name's kind", want: stream.WrongSAN, cert: exactly(8, "spiffe://example.org/rsync1")},
		{name: "e-mail address with another's host", want: stream.WrongSAN, cert: exactly(1, "ops@EXAMPLE.org")},
		{name: "e-mail address with NUL", want: stream.WrongSAN, cert: exactly(1, "ops@example.org\x00")},
		{name: "URI of another host", want: stream.WrongSAN, cert: uri("spiffe://example.com/rsync1")},
		{name: "other IDN", want: stream.WrongSAN, cert: dns("xn--bcher-kvb.example")},
		{name: "IDN in UTF-8", want: stream.BadCertificate, cert: cert(rawSAN(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte("bücher.example")}))},
	}
}

// oddCases are certificates that are broken, huge, or not the client's.
func oddCases(t *testing.T, d *tlsDir) []certificateCase {
	named := testpki.Names(allowedName)
	good := func() *tls.Certificate { c := d.ca.Issue(t, named); return &c }
	keyed := func(key any) *tls.Certificate {
		c := d.ca.Issue(t, named)
		c.PrivateKey = key
		return &c
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	withEd, withRSA := d.ca.IssueFor(t, ed, named), d.ca.IssueFor(t, rsaKey, named)
	cut, garbage, behind, hundred := good(), good(), good(), good()
	cut.Certificate[0] = cut.Certificate[0][:200]
	garbage.Certificate[0] = []byte("<30>this is no certificate")
	behind.Certificate[0] = append(behind.Certificate[0], 0)
	flipped := good()
	flipped.Certificate[0][len(flipped.Certificate[0])-5] ^= 1 // within the CA's signature
	for i := range 99 {
		hundred.Certificate = append(hundred.Certificate, testpki.NewCA(t, fmt.Sprint("ballast ", i)).Cert.Raw)
	}
	deep := d.ca
	for i := range 100 {
		deep = deep.Sub(t, fmt.Sprint("level ", i))
	}
	many := func(n int) *tls.Certificate {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("host%d.example.org", i)
		}
		names[n-1] = allowedName
		c := d.ca.Issue(t, testpki.Names(names...))
		return &c
	}
	issue := func(ca *testpki.CA, change testpki.Change) *tls.Certificate {
		c := ca.Issue(t, named, change)
		return &c
	}
	critical := func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	}
	noOp := func(*x509.Certificate) {}
	limited := d.ca.Sub(t, "for others", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.com"}
	})
	hugeKey := d.ca.IssueFor(t, fakeSigner{rsaKey, &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 16384, 1), E: 65537}}, named)
	hugeKey.PrivateKey = rsaKey
	return []certificateCase{
		{name: "Ed25519", cert: &withEd},
		{name: "RSA", cert: &withRSA},
		{name: "cut off", want: stream.BadCertificate, cert: cut},
		{name: "garbage", want: stream.BadCertificate, cert: garbage},
		{name: "a byte behind it", want: stream.BadCertificate, cert: behind},
		{name: "the CA's signature changed", want: stream.UnknownCA, cert: flipped},
		{name: "somebody else's, without the key", want: stream.BadCertificate, cert: keyed(d.pair("client").PrivateKey)},
		{name: "somebody else's, without the key, TLS 1.2", want: stream.BadCertificate, cert: keyed(d.pair("client").PrivateKey), old: true},
		{name: "an RSA key of 16384 bits", want: stream.BadCertificate, cert: &hugeKey},
		{name: "an unknown critical extension", want: stream.BadCertificate, cert: issue(d.ca, critical)},
		{name: "a CA that is for other names", want: stream.BadCertificate, cert: issue(limited, noOp)},
		{name: "hundred certificates", cert: hundred},
		{name: "hundred intermediates", want: stream.BadCertificate, cert: issue(deep, noOp)},
		{name: "1000 names", cert: many(1000)},
		{name: "10000 names", want: stream.HandshakeFailed, cert: many(10000)},
	}
}

// rawSAN is an extension that x509 wouldn't make.
func rawSAN(t *testing.T, names ...asn1.RawValue) testpki.Change {
	t.Helper()
	der, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}}
	}
}

// fakeSigner has a public key that isn't its own.
type fakeSigner struct {
	*rsa.PrivateKey
	public *rsa.PublicKey
}

func (f fakeSigner) Public() crypto.PublicKey { return f.public }
