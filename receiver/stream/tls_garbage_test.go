package stream_test

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testpki"
	"rsyncd_exporter/receiver/stream"
)

// A list that is damaged is refused, at the start and at a reload, with the place. Each damage here has encoding/pem pass over
// the list of the second CA.
func TestDamagedFiles(t *testing.T) {
	d := newTLSDir(t)
	second := testpki.NewCA(t, "second CA")
	d.write("ca.pem", append(d.ca.PEM(), second.PEM()...))
	one, two := string(d.ca.CRL(t)), string(second.CRL(t, big.NewInt(7)))
	lines := strings.SplitAfter(strings.TrimSuffix(two, "\n"), "\n")
	body := strings.Join(lines[1:len(lines)-1], "")
	block, _ := pem.Decode([]byte(two))
	encode := func(label string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	}
	at := func(lines, bytes int) string { // from where the second list begins
		return fmt.Sprintf("line %d, byte %d", strings.Count(one, "\n")+1+lines, len(one)+bytes)
	}
	begun := fmt.Sprintf("X509 CRL, begun in line %d,", strings.Count(one, "\n")+1)
	opt := d.options()
	opt.CRL = d.file("crl.pem")
	d.write("crl.pem", []byte(one+two))
	creds := loadCredentials(t, opt)
	before := creds.Config()
	for _, c := range []struct{ name, file, want string }{
		{"no begin", one + strings.Join(lines[1:], ""), at(0, 0) + ": base64 outside of a block"},
		{"begin indented", one + " " + two, at(0, 1) + `: "-----BEGIN" where no block can begin`},
		{"begin behind a comment", one + "# second" + two, "base64 outside of a block"},
		{"begin with four dashes", one + two[1:], "base64 outside of a block"},
		{"begin in small letters", one + strings.Replace(two, "BEGIN", "begin", 1), "base64 outside of a block"},
		{"begin without its last dash", one + strings.Replace(two, "-----\n", "----\n", 1), at(0, 0) + ": the line that begins a block isn't whole"},
		{"begin behind a byte order mark", one + "\ufeff" + two, at(0, 3) + `: "-----BEGIN" where no block can begin`},
		{"no end", one + strings.Join(lines[:len(lines)-1], ""), begun + ` has no end: the file is cut off`},
		{"end of another label", one + strings.Replace(two, "END X509 CRL", "END CERTIFICATE", 1), `has another line here than its end, "-----END X509 CRL-----"`},
		{"end with more behind", one + strings.TrimSuffix(two, "\n") + " x", `has another line here than its end, "-----END X509 CRL-----"`},
		{"end alone", one + "-----END X509 CRL-----\n", `"-----END" where no block can begin or end`},
		{"begin twice", one + lines[0] + two, `has another line here than its end, "-----END X509 CRL-----"`},
		{"cut off, and whole", one + two[:len(two)/2] + "\n" + two, `has another line here than its end, "-----END X509 CRL-----"`},
		{"a line of it gone", one + strings.Replace(two, lines[2], "", 1), "X509 CRL: what it holds isn't whole DER"},
		{"a byte of it gone", one + strings.Replace(two, lines[2], lines[2][1:], 1), "X509 CRL: its base64 isn't whole"},
		{"a byte of it changed", one + strings.Replace(two, lines[2], "!"+lines[2][1:], 1), at(2, len(lines[0])+len(lines[1])) + `: ` + begun + ` has the byte '!'`},
		{"a NUL in it", one + strings.Replace(two, lines[2], "\x00"+lines[2][1:], 1), `has the byte '\x00'`},
		{"a header", one + lines[0] + "Proc-Type: 4,ENCRYPTED\n\n" + body + lines[len(lines)-1], "has headers, as encrypted keys have"},
		{"empty", one + lines[0] + lines[len(lines)-1], "X509 CRL: what it holds isn't whole DER"},
		{"of an unknown kind", one + encode("CRL", block.Bytes), `the block "CRL" doesn't belong here, only "X509 CRL" does`},
		{"a certificate", one + two + string(second.PEM()), `the block "CERTIFICATE" doesn't belong here`},
		{"bytes behind its DER", one + encode("X509 CRL", append(bytes.Clone(block.Bytes), 5, 0)), "X509 CRL: it holds 2 bytes behind its DER"},
		{"in DER", string(block.Bytes), "it is DER: convert it to PEM"},
		{"DER behind it", one + two + string(block.Bytes), "control character"},
		{"NULs behind it", one + two + "\x00\x00\x00", "control character"},
		{"NULs before it", one + strings.Repeat("\x00", 512) + two, "control character 0x00 outside of a block"},
		{"text behind it", one + two + "second CA\n", "text behind the last block, as if another block were cut off"},
		{"lines that end in CR", strings.ReplaceAll(one+two, "\n", "\r"), "the line that begins a block isn't whole"},
		{"UTF-16", utf16Of(one + two), "a byte order mark"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.write("crl.pem", []byte(c.file))
			if _, err := creds.Reload(); err == nil || creds.Err() == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.HasPrefix(err.Error(), `crl "`+opt.CRL) {
				t.Errorf("at a reload: %v; want %q", err, c.want)
			}
			if _, err := stream.LoadCredentials(opt); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("at the start: %v; want %q", err, c.want)
			}
			if creds.Config() != before {
				t.Error("the old files aren't in force any more")
			}
		})
	}
}

func utf16Of(s string) string {
	return "\xff\xfe" + strings.Join(strings.Split(s, ""), "\x00") + "\x00"
}

// A key is never quoted, whatever is wrong with its file.
func TestKeysAreNotQuoted(t *testing.T) {
	d := newTLSDir(t)
	_, key := testpki.PairPEM(t, d.ca.Issue(t))
	lines := strings.SplitAfter(string(key), "\n")
	opt := d.options()
	for n := range lines {
		for _, file := range []string{
			strings.Join(append(append([]string{}, lines[:n]...), lines[n+1:]...), ""),
			strings.Join(lines[:n], "") + "\n\x00" + strings.Join(lines[n:], ""),
			strings.ReplaceAll(strings.Join(lines[:n], ""), "\n", "") + strings.Join(lines[n:], ""),
			"x" + strings.Join(lines[n:], ""),
		} {
			d.write("server.key", []byte(file))
			_, err := stream.LoadCredentials(opt)
			if err == nil && file != string(key) {
				t.Errorf("taken: %q", file)
			}
			for _, line := range lines[1 : len(lines)-2] {
				if err != nil && strings.Contains(err.Error(), line[:16]) {
					t.Errorf("it quotes the key: %v", err)
				}
			}
		}
	}
}
