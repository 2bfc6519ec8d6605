package stream

import (
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"unicode"
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
			var text string
			if _, err := asn1.Unmarshal(part.Value.FullBytes, &text); err == nil {
				parts = append(parts, fmt.Sprintf("%v=%q", part.Type, foldName(text)))
			} else { // no string
				parts = append(parts, fmt.Sprintf("%v:%x", part.Type, part.Value.FullBytes))
			}
		}
		slices.Sort(parts) // a SET has no order
		fmt.Fprintf(&name, "%q", parts)
	}
	return name.String()
}

// foldName takes from a text what doesn't count: case, and spaces beyond one between words.
func foldName(s string) string {
	s = strings.Map(func(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }, s)
	return strings.Join(strings.Fields(s), " ")
}
