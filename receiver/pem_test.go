package receiver

import (
	"bytes"
	"encoding/pem"
	"math/big"
	"os/exec"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

// runIn runs a program in a directory and returns its standard output.
func runIn(t *testing.T, dir, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(testenv.Need(t, program), args...)
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, &errs)
	}
	return out
}

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
			got, err := readPEM(file)
			if err != nil {
				t.Fatal(err)
			}
			wantBlocks(t, got, want)
			ends, accepted := 0, 0
			for n := range len(file) {
				got, err := readPEM(file[:n])
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

// endsBlock says whether the first n bytes of a good file end with a block, as a whole, and perhaps empty lines.
func endsBlock(file []byte, n int) bool {
	head := file[:n]
	if n < len(file) && file[n] == '\n' && bytes.HasSuffix(head, []byte("-----")) || bytes.HasSuffix(head, []byte("-----\n")) ||
		bytes.HasSuffix(head, []byte("-----\r\n")) || bytes.HasSuffix(head, []byte("-----\n\n")) || n < len(file) && file[n] == '\r' {
		last := bytes.LastIndex(head, []byte("-----END "))
		return last >= 0 && !bytes.Contains(head[last:], []byte("-----BEGIN")) && bytes.Count(head[last:], []byte("-----")) == 2
	}
	return false
}

func decodeAll(t testing.TB, file []byte) (blocks []*pem.Block) {
	t.Helper()
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		blocks = append(blocks, block)
	}
	return blocks
}

func wantBlocks(t testing.TB, got []pemBlock, want []*pem.Block) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d blocks, encoding/pem has %d", len(got), len(want))
	}
	for i, b := range got {
		if b.label != want[i].Type || !bytes.Equal(b.der, want[i].Bytes) || len(want[i].Headers) > 0 {
			t.Errorf("block %d: %q with %d bytes, encoding/pem has %q with %d and headers %q", i+1, b.label, len(b.der),
				want[i].Type, len(want[i].Bytes), want[i].Headers)
		}
	}
}

// A file that was cut off is refused at the start and at each reload, by all four settings; the old ones stay in force.
func TestCutOffFilesAreRefused(t *testing.T) {
	d := newTLSDir(t)
	second := testpki.NewCA(t, "second CA")
	d.write("ca.pem", append(d.ca.PEM(), second.PEM()...))
	d.write("crl.pem", append(d.ca.CRL(t, big.NewInt(7)), second.CRL(t)...))
	opt := d.options()
	opt.CRL = d.file("crl.pem")
	creds := loadCredentials(t, opt)
	before := creds.config()
	for _, name := range []string{"crl.pem", "ca.pem", "server.pem", "server.key"} {
		t.Run(name, func(t *testing.T) {
			file := d.read(name)
			defer d.write(name, file)
			for n := range len(file) - 1 { // the last byte is the last line's end
				d.write(name, file[:n])
				changed, err := creds.Reload()
				if err == nil && !(name == "ca.pem" && endsBlock(file, n)) {
					t.Errorf("the first %d of %d bytes were taken: %v", n, len(file), changed)
				}
				_, err = LoadCredentials(opt)
				if err == nil && !endsBlock(file, n) {
					t.Errorf("the first %d of %d bytes were taken at the start", n, len(file))
				}
			}
		})
	}
	if _, err := creds.Reload(); err != nil || creds.config() != before {
		t.Errorf("%v, and another configuration: %v; want what was in force before", err, creds.config() != before)
	}
}

// Base64 has one way to write each byte, and bits that stand for nothing may be the rest of something.
func TestBitsBehindBase64(t *testing.T) {
	if der, err := decodeBlock([]byte("MAA=")); err != nil || len(der) != 2 {
		t.Errorf("%x, %v; want an empty SEQUENCE", der, err)
	}
	for _, text := range []string{"MAB=", "MAA", "MA==MA==", "MAA=MAA="} {
		if der, err := decodeBlock([]byte(text)); err == nil {
			t.Errorf("%q: %x, want an error", text, der)
		}
	}
}

// FuzzPEM: what is taken, encoding/pem reads the same way, to the last byte; a block that it finds beyond that isn't missed; and
// what it writes is taken.
func FuzzPEM(f *testing.F) {
	block := string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: append([]byte{4, 100}, make([]byte, 100)...)}))
	for _, seed := range []string{block, block + block, "# text\n" + block, block + "text\n", block[:len(block)-20], block[10:], "", " " + block,
		strings.ReplaceAll(block, "\n", "\r\n"), "-----BEGIN X-----\nA: b\n\nMAA=\n-----END X-----\n", "-----BEGIN X-----\nMA A=\n-----END X-----",
		block + "-----BEGIN X509 CRL-----\n", "-----BEGIN X-----\n\n-----BEGIN X-----\nMAA=\n-----END X-----\n", "====\n" + block + "\r"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		blocks, err := readPEM(file)
		if err != nil {
			return
		}
		wantBlocks(t, blocks, decodeAll(t, file))
		for i, b := range blocks {
			if !bytes.HasPrefix(file[b.at.offset:], []byte("-----BEGIN "+b.label+"-----")) || b.at.line != 1+bytes.Count(file[:b.at.offset], []byte("\n")) {
				t.Errorf("block %d is said to begin at %+v", i+1, b.at)
			}
		}
		if n := bytes.Count(file, []byte("\n-----BEGIN ")) + bytes.Count(file, []byte("\n-----END ")); n > 2*len(blocks) {
			t.Errorf("%d blocks, and %d lines that begin or end one", len(blocks), n)
		}
		var again []byte
		for _, b := range blocks {
			again = append(again, "# text\n"...)
			again = append(again, pem.EncodeToMemory(&pem.Block{Type: b.label, Bytes: b.der})...)
		}
		same, err := readPEM(again)
		if err != nil {
			t.Fatalf("written anew: %v", err)
		}
		wantBlocks(t, same, decodeAll(t, file))
		for n := range len(again) - 1 {
			if part, err := readPEM(again[:n]); err == nil && (len(part) >= len(blocks) || !endsBlock(again, n)) {
				t.Errorf("%d of %d bytes, written anew, are taken for %d blocks", n, len(again), len(part))
			}
		}
	})
}
