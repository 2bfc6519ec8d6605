package stream_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"rsyncd_exporter/receiver/stream"
)

// opensslConf is what openssl ca needs, and the extensions of lists that the test asks for.
const opensslConf = `
[ca]
default_ca = here
[here]
database = index.txt
crlnumber = crlnumber
default_md = sha256
default_crl_days = 30
[req]
distinguished_name = name
[name]
[place]
issuingDistributionPoint = critical, @point
[point]
fullname = URI:http://example.org/ca.crl
[users]
issuingDistributionPoint = critical, @onlyusers
[onlyusers]
onlyuser = TRUE
[reasons]
issuingDistributionPoint = critical, @onlysome
[onlysome]
onlysomereasons = keyCompromise
[indirect]
issuingDistributionPoint = critical, @ofothers
[ofothers]
indirectCRL = TRUE
[delta]
2.5.29.27 = critical, DER:02:01:01
[unknown]
1.2.3.4 = critical, DER:05:00
`

// opensslCA makes a CA by OpenSSL with one key and two certificates, ca.pem with its name in UTF-8 and printable.pem with a
// PrintableString, and a client of it that it has revoked.
func opensslCA(t *testing.T) *tlsDir {
	t.Helper()
	d := newTLSDir(t)
	d.write("index.txt", nil)
	d.write("crlnumber", []byte("1000\n"))
	d.write("openssl.cnf", []byte(opensslConf))
	req := func(mask, out string, args ...string) {
		t.Helper()
		d.write("req.cnf", []byte("[req]\ndistinguished_name = name\nstring_mask = "+mask+"\n[name]\n"))
		runIn(t, d.path, "openssl", append([]string{"req", "-x509", "-config", "req.cnf", "-days", "30", "-subj", "/O=Example Ltd/CN=test CA", "-out", out,
			"-addext", "keyUsage=critical,keyCertSign,cRLSign", "-addext", "basicConstraints=critical,CA:TRUE"}, args...)...)
	}
	req("utf8only", "ca.pem", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", "ca.key")
	req("pkix", "printable.pem", "-key", "ca.key")
	runIn(t, d.path, "openssl", "req", "-x509", "-config", "req.cnf", "-key", "ca.key", "-days", "30", "-subj", "/CN=other CA", "-out", "other.pem",
		"-addext", "keyUsage=critical,keyCertSign,cRLSign", "-addext", "basicConstraints=critical,CA:TRUE")
	runIn(t, d.path, "openssl", "req", "-config", "req.cnf", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", "client.key",
		"-subj", "/CN=client", "-addext", "subjectAltName=DNS:client", "-out", "client.csr")
	runIn(t, d.path, "openssl", "x509", "-req", "-in", "client.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-copy_extensions", "copy", "-days", "30",
		"-out", "client.pem")
	return d
}

// revoke has the CA revoke its client, by openssl ca, and make a list under the name of one of its certificates.
func (d *tlsDir) revoke(as string, args ...string) {
	d.t.Helper()
	check(d.t, os.WriteFile(d.file("index.txt"), nil, 0o600))
	ca := []string{"ca", "-config", "openssl.cnf", "-keyfile", "ca.key", "-cert", as}
	reason := []string{"-crl_reason", "keyCompromise"}
	if len(args) > 0 && args[0] == "-crl_reason" {
		reason, args = args[:2], args[2:]
	}
	runIn(d.t, d.path, "openssl", append(append(ca, "-revoke", "client.pem"), reason...)...)
	runIn(d.t, d.path, "openssl", append(append(ca, "-gencrl", "-out", "crl.pem"), args...)...)
}

// OpenSSL's lists hold, or are refused with the reason.
func TestOpenSSLCRLs(t *testing.T) {
	d := opensslCA(t)
	client := d.pair("client").Certificate[0]
	var names [2][]byte
	for i, file := range []string{"ca.pem", "printable.pem"} {
		block, _ := pem.Decode(d.read(file))
		cert, err := x509.ParseCertificate(block.Bytes)
		check(t, err)
		names[i] = cert.RawSubject
	}
	if string(names[0]) == string(names[1]) {
		t.Fatal("both certificates of the CA have its name in the same bytes")
	}
	opt := d.options()
	opt.CRL = d.file("crl.pem")
	for _, c := range []struct {
		name string
		as   string
		args []string
		want string // empty: it holds
	}{
		{"plain", "ca.pem", nil, ""},
		{"issuer in another string type", "printable.pem", nil, ""},
		{"issuer of another name", "other.pem", nil, `of "CN=other CA", is signed by "CN=test CA,O=Example Ltd", and so says nothing`},
		{"for a place", "ca.pem", []string{"-crlexts", "place"}, ""},
		{"for users", "ca.pem", []string{"-crlexts", "users"}, ""},
		{"for some reasons", "ca.pem", []string{"-crlexts", "reasons"}, "is for some reasons"},
		{"indirect", "ca.pem", []string{"-crlexts", "indirect"}, "is an indirect one"},
		{"delta", "ca.pem", []string{"-crlexts", "delta"}, "is a delta"},
		{"unknown and critical", "ca.pem", []string{"-crlexts", "unknown"}, "the critical extension 1.2.3.4"},
		{"on hold", "ca.pem", []string{"-crl_reason", "certificateHold"}, ""},
		{"revoked nothing", "ca.pem", []string{"-crl_reason", "removeFromCRL"}, "revokes nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.revoke(c.as, c.args...)
			creds, err := stream.LoadCredentials(opt)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			check(t, err)
			wantRevoked(t, peer(t, creds, client))
		})
	}
	t.Run("version 1", func(t *testing.T) { // that openssl ca makes without a crlnumber and without reasons
		d.write("openssl.cnf", []byte(strings.Replace(opensslConf, "crlnumber = crlnumber\n", "", 1)))
		d.write("index.txt", nil)
		runIn(t, d.path, "openssl", "ca", "-config", "openssl.cnf", "-keyfile", "ca.key", "-cert", "ca.pem", "-gencrl", "-out", "crl.pem")
		if _, err := stream.LoadCredentials(opt); err == nil || !strings.Contains(err.Error(), "have the CA make one of version 2") {
			t.Errorf("%v, want it refused", err)
		}
	})
}
