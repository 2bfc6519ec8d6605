package stream_test

import (
	"bytes"
	"strings"
	"testing"

	"rsyncd_exporter/receiver/stream"
)

// certtoolText is a part of what GnuTLS' certtool -i wrote before a block (3.7.9).
const certtoolText = "X.509 Certificate Information:\n\tVersion: 3\n\tSerial Number (hex): 05\n\tIssuer: CN=test CA\n" +
	"\t\tSubject Key Identifier (not critical):\n\t\t\t13b0eed2fef106030e3ad555ff1be972a58a7546\n" +
	"\tSignature:\n\t\t30:45:02:21:00:e4:48:b3:ec:9c:7e:e1:ab:6e:ad:14\n" +
	"Other Information:\n\tPublic Key PIN:\n\t\tpin-sha256:L8kVZq0ONg+UkqNdtnqn4F/wRji1tOFQgGW3FIsrVw0=\n\n"

// asWritten are PEM files as the programs write them that are in use.
func asWritten(t *testing.T, d *tlsDir) map[string][]byte {
	openssl := func(args ...string) []byte { return runIn(t, d.path, "openssl", args...) }
	ca, crl := d.read("ca.pem"), d.read("crl.pem")
	openssl("pkcs12", "-export", "-inkey", "server.key", "-in", "server.pem", "-certfile", "ca.pem", "-name", "my server",
		"-passout", "pass:x", "-out", "server.p12")
	bundle := join([]byte("##\n## Bundle of CA Root Certificates\n##\n\nGlobalSign Root CA\n==================\n"), ca,
		[]byte("\n# Issuer: CN=test CA O=Société\n# SHA256 Fingerprint: eb:d4:10:40:e4:bb:3e:c7\n"), ca)
	return map[string][]byte{
		"crl":                         crl,
		"crl, openssl -text":          openssl("crl", "-in", "crl.pem", "-text"),
		"crl, CR LF":                  bytes.ReplaceAll(crl, []byte("\n"), []byte("\r\n")),
		"crl, two":                    join(crl, crl),
		"certificate, openssl -text":  openssl("x509", "-in", "server.pem", "-text"),
		"certificate, more of it":     openssl("x509", "-in", "server.pem", "-subject", "-issuer", "-serial", "-fingerprint", "-dates"),
		"certificate, key, pkcs12":    openssl("pkcs12", "-in", "server.p12", "-passin", "pass:x", "-noenc"),
		"CAs, in a bundle":            bundle,
		"CAs, each with -text":        join(openssl("x509", "-in", "ca.pem", "-text"), openssl("x509", "-in", "ca.pem", "-text")),
		"key":                         d.read("server.key"),
		"CA, certtool -i":             join([]byte(certtoolText), ca),
		"key, EC with its parameters": openssl("ecparam", "-name", "prime256v1", "-genkey"),
		"key, RSA of old":             openssl("genrsa", "-traditional", "1024"),
	}
}

// What the programs write is read as encoding/pem reads it. Cut off anywhere, it is refused, unless all of a block or more is
// gone, and nothing else, or nothing but the last line's end.
func TestCutOff(t *testing.T) {
	d := newTLSDir(t)
	for name, file := range asWritten(t, d) {
		t.Run(name, func(t *testing.T) {
			want := decodeAll(t, file)
			got, err := stream.ReadPEM(file)
			if err != nil {
				t.Fatal(err)
			}
			wantBlocks(t, got, want)
			ends, accepted := 0, 0
			for n := range len(file) {
				got, err := stream.ReadPEM(file[:n])
				atEnd := endsBlock(file, n)
				if atEnd {
					ends++
				}
				if err == nil {
					accepted++
					wantBlocks(t, got, want[:len(got)])
				}
				if (err == nil) != atEnd {
					t.Errorf("the first %d of %d bytes: %v; want an error: %v", n, len(file), err, !atEnd)
				}
				if err != nil && n > 0 && strings.Contains(err.Error(), "line 0") {
					t.Errorf("the first %d bytes: %v, which is no place", n, err)
				}
			}
			if accepted != ends || ends < len(want) {
				t.Errorf("%d beginnings were taken, want %d", accepted, ends)
			}
		})
	}
}

// OpenSSL writes a key's text behind the key, unlike that of all else. Nothing can be missed there: a file has one key.
func TestTextBehindAKey(t *testing.T) {
	d := newTLSDir(t)
	d.write("server.key", runIn(t, d.path, "openssl", "pkey", "-in", "server.key", "-text"))
	file := d.read("server.key")
	if bytes.HasSuffix(file, []byte("-----\n")) {
		t.Fatal("no text is behind the key")
	}
	loadCredentials(t, d.options())
	end := bytes.Index(file, []byte("-----END")) + len("-----END PRIVATE KEY-----")
	for n := range len(file) {
		if err := stream.CheckKey(file[:n]); (err == nil) != (n >= end) {
			t.Errorf("the first %d of %d bytes: %v", n, len(file), err)
		}
	}
	for what, behind := range map[string][]byte{"a second key": file, "half of one": file[:60], "half of its text": file[30:]} {
		if err := stream.CheckKey(append(file[:len(file):len(file)], behind...)); err == nil {
			t.Errorf("%s is taken for text", what)
		}
	}
}
