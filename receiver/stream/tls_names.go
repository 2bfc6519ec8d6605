package stream

import (
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// String types that encoding/asn1 has no names for (X.680 section 8.4).
const (
	tagVisibleString   = 26
	tagUniversalString = 28
)

// An rdnSET is a pkix.RelativeDistinguishedNameSET with its values as they stand.
type rdnSET []struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// canonicalName returns the same for distinguished names that are the same by RFC 5280 section 7.1:
// the string type, case and repeated spaces don't count. Unicode characters are not composed; names
// that differ in that are other names. A name that isn't understood is only itself.
func canonicalName(raw []byte) string {
	var rdns []rdnSET
	if rest, err := asn1.Unmarshal(raw, &rdns); err != nil || len(rest) > 0 {
		return string(raw)
	}
	var name strings.Builder
	for _, rdn := range rdns {
		var parts []string
		for _, part := range rdn {
			if text, ok := directoryString(part.Value); ok {
				parts = append(parts, fmt.Sprintf("%v=%q", part.Type, foldName(text)))
			} else {
				parts = append(parts, fmt.Sprintf("%v:%x", part.Type, part.Value.FullBytes))
			}
		}
		slices.Sort(parts) // a SET has no order
		fmt.Fprintf(&name, "%q", parts)
	}
	return name.String()
}

// directoryString returns the text of an ASN.1 string; ok is false for what is none.
func directoryString(v asn1.RawValue) (text string, ok bool) {
	if v.Class != asn1.ClassUniversal || v.IsCompound {
		return "", false
	}
	var runes []rune
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString, tagVisibleString:
		return string(v.Bytes), utf8.Valid(v.Bytes)
	case asn1.TagT61String: // Latin-1 in practice
		for _, b := range v.Bytes {
			runes = append(runes, rune(b))
		}
		return string(runes), true
	case asn1.TagBMPString:
		units := make([]uint16, len(v.Bytes)/2)
		_, _ = binary.Decode(v.Bytes, binary.BigEndian, units)
		return string(utf16.Decode(units)), len(v.Bytes)%2 == 0
	case tagUniversalString:
		runes = make([]rune, len(v.Bytes)/4)
		_, _ = binary.Decode(v.Bytes, binary.BigEndian, runes)
		return string(runes), len(v.Bytes)%4 == 0
	}
	return "", false
}

// foldName takes from a text what doesn't count: case, and spaces beyond one between words.
func foldName(s string) string {
	s = strings.Map(func(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }, s)
	return strings.Join(strings.Fields(s), " ")
}
