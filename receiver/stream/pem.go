package stream

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// A pemBlock is one block of a PEM file (RFC 7468). Its der is exactly one DER value.
type pemBlock struct {
	label string // CERTIFICATE, X509 CRL
	der   []byte
	at    position // of its first line
}

// A position is a place in a file. The zero position is none.
type position struct {
	line   int // from 1
	offset int // bytes before it
}

// errorf returns an error that names the place. It never quotes the file, which may hold a key.
func (p position) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d, byte %d: %w", p.line, p.offset, fmt.Errorf(format, args...))
}

const (
	pemBegin  = "-----BEGIN "
	pemEnd    = "-----END "
	pemDashes = "-----"

	base64Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

	// leastRemains is the length from which on a line of nothing but base64 is the remains of a
	// block. Lines of blocks have 64 or 76 bytes, and comments have spaces or colons.
	leastRemains = 32

	writeAnew = "write the file anew, as a whole"
)

// readPEM returns the blocks of a PEM file, at least one. encoding/pem skips what it doesn't
// understand, so that a file that was cut off says less than it should. Here each byte is
// understood, or the file is refused.
//
// Text may stand before a block, as openssl x509 -text, openssl pkcs12, certtool and CA bundles
// write it. Behind the last block it is refused: it can be the beginning of a block that was cut
// off. So is text that looks like a part of a block. Blocks have no headers.
func readPEM(file []byte) ([]pemBlock, error) {
	blocks, behind, err := readBlocks(file)
	if err == nil && behind.line > 0 {
		return nil, behind.errorf("text behind the last block, as if another block were cut off: " +
			writeAnew + ", or move this text before a block")
	}
	return blocks, err
}

// readBlocks is readPEM for a file that may have text behind the last block. It also returns where
// that begins.
func readBlocks(file []byte) (blocks []pemBlock, behind position, err error) {
	if len(file) > 1 && file[0] == 0x30 && file[1] >= 0x80 { // a SEQUENCE of 128 bytes or more
		return nil, behind, errors.New("it is DER: convert it to PEM, by openssl x509, crl or pkey with -inform DER")
	}
	for _, mark := range []string{"\xef\xbb\xbf" + pemBegin, "\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(file, []byte(mark)) {
			return nil, behind, errors.New("it begins with a byte order mark, as editors on Windows write it: " +
				"write it in ASCII, or in UTF-8 without that mark")
		}
	}
	r := pemReader{rest: file}
	for r.next() {
		switch {
		case bytes.HasPrefix(r.line, []byte(pemBegin)):
			block, err := r.block()
			if err != nil {
				return nil, behind, err
			}
			blocks, behind = append(blocks, block), position{}
		case len(r.line) > 0:
			if err := r.comment(); err != nil {
				return nil, behind, err
			}
			if behind.line == 0 {
				behind = r.at
			}
		}
	}
	if len(blocks) == 0 {
		return nil, behind, errors.New(`no PEM block in it, which begins with "-----BEGIN "`)
	}
	return blocks, behind, nil
}

// A pemReader goes through a file line by line.
type pemReader struct {
	rest []byte
	line []byte   // the current line, without its end and the spaces before that
	at   position // where it begins
	size int      // its length, with all of that
}

// next goes to the next line. Lines end with LF or CR LF, as for encoding/pem.
func (r *pemReader) next() bool {
	r.at = position{r.at.line + 1, r.at.offset + r.size}
	if r.size = len(r.rest); r.size == 0 {
		return false
	}
	line, rest, found := bytes.Cut(r.rest, []byte("\n"))
	if found {
		r.size = len(line) + 1
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	r.line, r.rest = bytes.TrimRight(line, " \t"), rest
	return true
}

// within returns the place of byte i of the line.
func (r *pemReader) within(i int) position { return position{r.at.line, r.at.offset + i} }

// comment says why the line can't be a comment. A line that begins with # is one, unless it has
// control characters.
func (r *pemReader) comment() error {
	isControl := func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }
	if i := bytes.IndexFunc(r.line, isControl); i >= 0 {
		return r.within(i).errorf("the control character %#02x outside of a block, which no text has: "+
			writeAnew+", in PEM", r.line[i])
	}
	line := bytes.TrimLeft(r.line, " \t")
	if line[0] == '#' {
		return nil
	}
	for _, mark := range []string{"-----BEGIN", "-----END"} {
		if i := bytes.Index(r.line, []byte(mark)); i >= 0 {
			return r.within(i).errorf("%q where no block can begin or end: "+
				"it stands alone in its line, and a block has both: "+writeAnew, mark)
		}
	}
	if isRemains(line) {
		return r.at.errorf("base64 outside of a block: " + writeAnew + ", or begin the line with # if it is a comment")
	}
	return nil
}

// isRemains says whether a line looks like one of a block. A line of nothing but = underlines a
// title, and certtool writes the identifiers of keys in small hexadecimal digits.
func isRemains(line []byte) bool {
	letters := bytes.TrimRight(line, "=")
	isBase64 := len(bytes.TrimLeft(letters, base64Letters)) == 0
	isHex := len(bytes.TrimLeft(letters, "0123456789abcdef")) == 0
	return len(line) >= leastRemains && isBase64 && !isHex
}

// block reads the block that begins in this line, to its end.
func (r *pemReader) block() (b pemBlock, err error) {
	b.at = r.at
	label, ok := strings.CutSuffix(string(r.line[len(pemBegin):]), pemDashes)
	if !ok || !isLabel(label) {
		return b, b.at.errorf("the line that begins a block isn't whole: " + writeAnew)
	}
	b.label = label
	end := pemEnd + label + pemDashes
	var text []byte
	for r.next() {
		if string(r.line) == end {
			if b.der, err = decodeBlock(text); err != nil {
				return b, b.at.errorf("%s: %w: "+writeAnew, label, err)
			}
			return b, nil
		}
		line := bytes.TrimLeft(r.line, " \t")
		if other := bytes.TrimLeft(line, base64Letters+"="); len(other) > 0 {
			return b, r.notBase64(b, line, other)
		}
		text = append(text, line...)
	}
	return b, r.at.errorf("%s, begun in line %d, has no end: the file is cut off: "+writeAnew, label, b.at.line)
}

// notBase64 says what is wrong with a line of a block, of which other is no base64.
func (r *pemReader) notBase64(b pemBlock, line, other []byte) error {
	begun := fmt.Sprintf("%s, begun in line %d, has ", b.label, b.at.line)
	switch {
	case line[0] == '-':
		return r.at.errorf("%sanother line here than its end, %q: "+writeAnew, begun, pemEnd+b.label+pemDashes)
	case bytes.IndexByte(line, ':') > 0:
		return r.at.errorf("%sheaders, as encrypted keys have: write it without, as openssl pkey does", begun)
	}
	return r.within(len(r.line)-len(other)).errorf("%sthe byte %q, which is no base64: "+writeAnew, begun, other[0])
}

// decodeBlock returns the DER value that a block's base64 stands for.
func decodeBlock(text []byte) ([]byte, error) {
	der := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(der, text)
	if err != nil {
		return nil, errors.New("its base64 isn't whole")
	}
	var value asn1.RawValue
	behind, err := asn1.Unmarshal(der[:n], &value)
	switch {
	case err != nil:
		return nil, fmt.Errorf("what it holds isn't whole DER: %w", err)
	case len(behind) > 0:
		return nil, fmt.Errorf("it holds %d bytes behind its DER", len(behind))
	}
	return der[:n], nil
}

// isLabel says whether s can be a block's label: printable ASCII in words (RFC 7468 section 3).
func isLabel(s string) bool {
	notPrintable := func(r rune) bool { return r < ' ' || r > '~' }
	return s != "" && strings.TrimSpace(s) == s && !strings.Contains(s, pemDashes) &&
		!strings.ContainsFunc(s, notPrintable)
}
