package stream_test

import (
	"bytes"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testpki"
	"rsyncd_exporter/receiver/stream"
)

// endsBlock says whether the first n bytes of a good file end with a block, as a whole, and perhaps empty lines.
func endsBlock(file []byte, n int) bool {
	head := file[:n]
	if bytes.HasSuffix(head, []byte("\r")) { // half of a line's end
		return false
	}
	last := bytes.LastIndex(head, []byte("-----END "))
	return last >= 0 && bytes.HasSuffix(bytes.TrimRight(head, "\r\n"), []byte("-----")) && bytes.Count(head[last:], []byte("-----")) == 2
}

func decodeAll(t testing.TB, file []byte) (blocks []*pem.Block) {
	t.Helper()
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		blocks = append(blocks, block)
	}
	return blocks
}

func wantBlocks(t testing.TB, got []stream.Block, want []*pem.Block) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d blocks, encoding/pem has %d", len(got), len(want))
	}
	for i, b := range got {
		if w := want[i]; b.Label != w.Type || !bytes.Equal(b.DER, w.Bytes) || len(w.Headers) > 0 {
			t.Errorf("block %d: %q with %d bytes, encoding/pem has %q with %d and headers %q", i+1, b.Label, len(b.DER),
				w.Type, len(w.Bytes), w.Headers)
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
	before := creds.Config()
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
				_, err = stream.LoadCredentials(opt)
				if err == nil && !endsBlock(file, n) {
					t.Errorf("the first %d of %d bytes were taken at the start", n, len(file))
				}
			}
		})
	}
	if _, err := creds.Reload(); err != nil || creds.Config() != before {
		t.Errorf("%v, and another configuration: %v; want what was in force before", err, creds.Config() != before)
	}
}

// Who edits a file on Windows is told of the mark that no editor shows. encoding/pem passes over the first block then.
func TestByteOrderMarks(t *testing.T) {
	block := string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: append([]byte{4, 100}, make([]byte, 100)...)}))
	var wide []byte
	for i := range len(block) {
		wide = append(wide, block[i], 0)
	}
	for what, file := range map[string]string{"UTF-8": "\xef\xbb\xbf" + block, "UTF-16": "\xff\xfe" + string(wide)} {
		if _, err := stream.ReadPEM([]byte(file)); err == nil || !strings.Contains(err.Error(), "a byte order mark") {
			t.Errorf("%s: %v, want it named", what, err)
		}
	}
	if blocks, err := stream.ReadPEM([]byte("\xef\xbb\xbf# text\n" + block)); len(blocks) != 1 || err != nil {
		t.Errorf("before text: %d blocks, %v", len(blocks), err)
	}
}

// Base64 has one way to write each byte, and bits that stand for nothing may be the rest of something.
func TestBitsBehindBase64(t *testing.T) {
	if der, err := stream.DecodeBlock([]byte("MAA=")); err != nil || len(der) != 2 {
		t.Errorf("%x, %v; want an empty SEQUENCE", der, err)
	}
	for _, text := range []string{"MAB=", "MAA", "MA==MA==", "MAA=MAA="} {
		if der, err := stream.DecodeBlock([]byte(text)); err == nil {
			t.Errorf("%q: %x, want an error", text, der)
		}
	}
}

// FuzzPEM: what is taken, encoding/pem reads the same way; no line that begins or ends a block is missed; and what encoding/pem
// writes is taken.
func FuzzPEM(f *testing.F) {
	block := string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: append([]byte{4, 100}, make([]byte, 100)...)}))
	for _, seed := range []string{
		block, block + block, "# text\n" + block, block + "text\n", block[:len(block)-20], block[10:], "", " " + block,
		strings.ReplaceAll(block, "\n", "\r\n"), block + "-----BEGIN X509 CRL-----\n", "====\n" + block + "\r",
		"-----BEGIN X-----\nA: b\n\nMAA=\n-----END X-----\n", "-----BEGIN X-----\nMA A=\n-----END X-----",
		"-----BEGIN X-----\n\n-----BEGIN X-----\nMAA=\n-----END X-----\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		blocks, err := stream.ReadPEM(file)
		if err != nil {
			return
		}
		wantBlocks(t, blocks, decodeAll(t, file))
		for i, b := range blocks {
			before, from := file[:b.Offset], file[b.Offset:]
			if !bytes.HasPrefix(from, []byte("-----BEGIN "+b.Label+"-----")) || b.Line != 1+bytes.Count(before, []byte("\n")) {
				t.Errorf("block %d is said to begin at %d, in line %d", i+1, b.Offset, b.Line)
			}
		}
		if n := bytes.Count(file, []byte("\n-----BEGIN ")) + bytes.Count(file, []byte("\n-----END ")); n > 2*len(blocks) {
			t.Errorf("%d blocks, and %d lines that begin or end one", len(blocks), n)
		}
		var again []byte
		for _, b := range blocks {
			again = append(again, "# text\n"...)
			again = append(again, pem.EncodeToMemory(&pem.Block{Type: b.Label, Bytes: b.DER})...)
		}
		same, err := stream.ReadPEM(again)
		if err != nil {
			t.Fatalf("written anew: %v", err)
		}
		wantBlocks(t, same, decodeAll(t, file))
		for n := range len(again) - 1 {
			if part, err := stream.ReadPEM(again[:n]); err == nil && (len(part) >= len(blocks) || !endsBlock(again, n)) {
				t.Errorf("%d of %d bytes, written anew, are taken for %d blocks", n, len(again), len(part))
			}
		}
	})
}
