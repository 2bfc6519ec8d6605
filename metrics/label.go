package metrics

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"

	"rsyncd_exporter/rsynclog"
)

// MaxLabel bounds a label value, in bytes, for Prometheus' label_value_length_limit.
const MaxLabel = rsynclog.MaxLabel

const (
	hashed   = 12 // bytes: too many to find two texts with one value, which would make every scrape fail
	ellipsis = "…"
)

// LabelValue returns a label value for any text: the text if it is valid UTF-8 of at most MaxLabel
// bytes, or a hash and the text's end: "1f0e…/backup/rsyncd.log". Different texts have different
// values, so a text that looks like a hashed value is hashed too.
func LabelValue(s string) string {
	if len(s) <= MaxLabel && utf8.ValidString(s) && !looksHashed(s) {
		return s
	}
	hash := sha256.Sum256([]byte(s))
	end := s[max(0, len(s)-MaxLabel):]
	for len(s) > len(end) && len(end) > 0 && !utf8.RuneStart(end[0]) {
		end = end[1:]
	}
	end = strings.ToValidUTF8(end, "\uFFFD")
	room := MaxLabel - hex.EncodedLen(hashed) - len(ellipsis)
	for len(end) > room {
		_, size := utf8.DecodeRuneInString(end)
		end = end[size:]
	}
	return hex.EncodeToString(hash[:hashed]) + ellipsis + end
}

// looksHashed reports whether a text begins like a value with a hash.
func looksHashed(s string) bool {
	hash, _, cut := strings.Cut(s, ellipsis)
	if !cut || len(hash) != hex.EncodedLen(hashed) {
		return false
	}
	_, err := hex.DecodeString(hash)
	return err == nil
}

// bound returns the label values of texts. It doesn't change the slice, which a metric may share.
func bound(labels []string) []string {
	for i, l := range labels {
		if v := LabelValue(l); v != l {
			labels = slices.Clone(labels)
			labels[i] = v
		}
	}
	return labels
}
