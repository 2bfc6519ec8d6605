// Package testpki makes certificate authorities and certificates for tests, good ones and ones with
// any fault.
package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A CA signs certificates. Its own chain up to the root, without the root, is Chain.
type CA struct {
	Cert  *x509.Certificate
	Key   crypto.Signer
	Chain [][]byte // DER, nearest first
}

// A Change makes a template into what a test needs.
type Change func(*x509.Certificate)

// NewCA returns a root that is valid for a day.
func NewCA(t testing.TB, name string, changes ...Change) *CA {
	t.Helper()
	template := caTemplate(t, name, changes)
	key := newKey(t)
	ca := &CA{Key: key}
	ca.Cert = parse(t, create(t, template, template, key.Public(), key))
	return ca
}

// Sub returns an intermediate CA.
func (ca *CA) Sub(t testing.TB, name string, changes ...Change) *CA {
	t.Helper()
	key := newKey(t)
	der := create(t, caTemplate(t, name, changes), ca.Cert, key.Public(), ca.Key)
	return &CA{Cert: parse(t, der), Key: key, Chain: append([][]byte{der}, ca.Chain...)}
}

// Issue returns a client's or server's certificate that is valid for a day, with its key and the
// chain to the root. The template has the extended key usage clientAuth and the names of the
// machine itself: localhost, 127.0.0.1 and ::1.
func (ca *CA) Issue(t testing.TB, changes ...Change) tls.Certificate {
	t.Helper()
	key := newKey(t)
	return tls.Certificate{Certificate: append([][]byte{create(t, leafTemplate(t, changes), ca.Cert, key.Public(),
		ca.Key)}, ca.Chain...), PrivateKey: key}
}

// IssueFor is Issue for a key that exists.
func (ca *CA) IssueFor(t testing.TB, key crypto.Signer, changes ...Change) tls.Certificate {
	t.Helper()
	return tls.Certificate{Certificate: [][]byte{create(t, leafTemplate(t, changes), ca.Cert, key.Public(), ca.Key)},
		PrivateKey: key}
}

// PEM returns the CA's certificate.
func (ca *CA) PEM() []byte { return block("CERTIFICATE", ca.Cert.Raw) }

// CRL returns a list that revokes the certificates with these serial numbers.
func (ca *CA) CRL(t testing.TB, serials ...*big.Int) []byte {
	t.Helper()
	return block("X509 CRL", ca.List(t, func(*x509.RevocationList) {}, serials...))
}

// List is CRL in DER, with a change. The CA's certificate may say another name and key than those
// that it was made with.
func (ca *CA) List(t testing.TB, change func(*x509.RevocationList), serials ...*big.Int) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour),
		NextUpdate: time.Now().Add(24 * time.Hour)}
	for _, n := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: n, RevocationTime: time.Now().Add(-time.Minute)})
	}
	change(template)
	der, err := x509.CreateRevocationList(rand.Reader, template, ca.Cert, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Sign signs a certificate or list of the CA, given without its signature, by ECDSA with SHA-256.
func (ca *CA) Sign(t testing.TB, content []byte) []byte {
	t.Helper()
	hash := sha256.Sum256(content)
	signature, err := ca.Key.Sign(rand.Reader, hash[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// Pool returns a pool with just this CA.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	return pool
}

// Write makes a CA, a server and a client in a new directory, whose path it returns: ca.pem,
// crl.pem, server.pem, server.key, client.pem, client.key.
func Write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	WriteTo(t, dir, NewCA(t, "test CA"))
	return dir
}

// WriteTo is Write for a CA and a directory that exist.
func WriteTo(t testing.TB, dir string, ca *CA) {
	t.Helper()
	write(t, filepath.Join(dir, "ca.pem"), ca.PEM())
	write(t, filepath.Join(dir, "crl.pem"), ca.CRL(t))
	WritePair(t, dir, "server", ca.Issue(t, Usage(x509.ExtKeyUsageServerAuth)))
	WritePair(t, dir, "client", ca.Issue(t))
}

// WritePair writes name.pem, with the chain, and name.key.
func WritePair(t testing.TB, dir, name string, c tls.Certificate) {
	t.Helper()
	certificate, key := PairPEM(t, c)
	write(t, filepath.Join(dir, name+".pem"), certificate)
	write(t, filepath.Join(dir, name+".key"), key)
}

// PairPEM returns a certificate with its chain, and its key.
func PairPEM(t testing.TB, c tls.Certificate) (certificate, key []byte) {
	t.Helper()
	for _, der := range c.Certificate {
		certificate = append(certificate, block("CERTIFICATE", der)...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, block("PRIVATE KEY", der)
}

// Usage gives these extended key usages and no others.
func Usage(usages ...x509.ExtKeyUsage) Change {
	return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
}

// Names gives these DNS names and no other name.
func Names(names ...string) Change {
	return func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = names, nil }
}

// Valid sets from when to when, counted from now.
func Valid(from, to time.Duration) Change {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to) }
}

// CommonName sets it.
func CommonName(name string) Change {
	return func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: name} }
}

func caTemplate(t testing.TB, name string, changes []Change) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber:          serial(t),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, change := range changes {
		change(c)
	}
	return c
}

func leafTemplate(t testing.TB, changes []Change) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: serial(t),
		Subject:      pkix.Name{CommonName: "test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback},
	}
	for _, change := range changes {
		change(c)
	}
	return c
}

func create(t testing.TB, template, parent *x509.Certificate, public any, signer crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	return n.Add(n, big.NewInt(1))
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
