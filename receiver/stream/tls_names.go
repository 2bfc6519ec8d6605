package stream

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// String types that encoding/asn1 and cryptobyte have no names for (X.680 section 8.4).
const (
	numericString   = asn1.Tag(18)
	visibleString   = asn1.Tag(26)
	universalString = asn1.Tag(28)
	bmpString       = asn1.Tag(30)
)

// canonicalName returns what distinguished names have in common that are the same by RFC 5280
// section 7.1: the string type, case and repeated spaces don't count. It doesn't compose Unicode
// characters; names that differ in that are other names. A name that isn't understood is only
// itself.
func canonicalName(raw []byte) string {
	in := cryptobyte.String(raw)
	var rdns cryptobyte.String
	if !in.ReadASN1(&rdns, asn1.SEQUENCE) || !in.Empty() {
		return string(raw)
	}
	var name []byte
	for !rdns.Empty() {
		var rdn cryptobyte.String
		if !rdns.ReadASN1(&rdn, asn1.SET) {
			return string(raw)
		}
		var parts []string
		for !rdn.Empty() {
			var part, oid, value cryptobyte.String
			var tag asn1.Tag
			if !rdn.ReadASN1(&part, asn1.SEQUENCE) || !part.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) ||
				!part.ReadAnyASN1(&value, &tag) || !part.Empty() {
				return string(raw)
			}
			text, ok := directoryString(tag, value)
			if ok {
				text = foldName(text)
				tag = asn1.UTF8String
			} else {
				text = string(value)
			}
			parts = append(parts, string(withLength(withLength([]byte{byte(tag)}, string(oid)), text)))
		}
		slices.Sort(parts) // a SET has no order
		name = withLength(name, strings.Join(parts, ""))
	}
	return string(name)
}

// withLength appends the length of s, and s.
func withLength(to []byte, s string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(s))), s...)
}

// directoryString returns the text of an ASN.1 string; ok is false for what is none.
func directoryString(tag asn1.Tag, value []byte) (text string, ok bool) {
	switch tag {
	case asn1.UTF8String, asn1.PrintableString, asn1.IA5String, numericString, visibleString:
		return string(value), utf8.Valid(value)
	case asn1.T61String: // Latin-1 in practice
		runes := make([]rune, len(value))
		for i, b := range value {
			runes[i] = rune(b)
		}
		return string(runes), true
	case bmpString:
		units := make([]uint16, len(value)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(value[2*i:])
		}
		return string(utf16.Decode(units)), len(value)%2 == 0
	case universalString:
		runes := make([]rune, len(value)/4)
		for i := range runes {
			runes[i] = rune(binary.BigEndian.Uint32(value[4*i:]))
		}
		return string(runes), len(value)%4 == 0
	}
	return "", false
}

// foldName takes from a text what doesn't count: case, and spaces beyond one between words.
func foldName(s string) string {
	s = strings.Map(func(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }, s)
	return strings.Join(strings.Fields(s), " ")
}
