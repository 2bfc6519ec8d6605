package metrics

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"

	"rsyncd_exporter/rsynclog"
)

// MaxLabel is the length in bytes that no label value exceeds. Prometheus refuses a whole scrape for one value that is
// longer than its label_value_length_limit, or isn't UTF-8.
const MaxLabel = rsynclog.MaxLabel

const (
	hashed   = 12 // bytes: nobody finds two texts with one value, whose series would make every scrape fail
	ellipsis = "…"
)

// LabelValue returns a label value for any text: the text itself where it is valid UTF-8 and has at most MaxLabel bytes. Of
// another one it keeps the end, which names the file of a path, behind a hash of the whole: "1f0e…/backup/rsyncd.log". So
// two texts have different values, however much their ends have in common. A text that looks like such a value is
// hashed, too: whoever names files can call one as another's value.
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

// looksHashed reports whether a text begins as the values do that LabelValue makes.
func looksHashed(s string) bool {
	hash, _, cut := strings.Cut(s, ellipsis)
	if !cut || len(hash) != hex.EncodedLen(hashed) {
		return false
	}
	_, err := hex.DecodeString(hash)
	return err == nil
}

// bound makes label values of texts. It leaves the slice as it is, since a metric that was made of it may be read meanwhile.
func bound(labels []string) []string {
	for i, l := range labels {
		if v := LabelValue(l); v != l {
			labels = slices.Clone(labels)
			labels[i] = v
		}
	}
	return labels
}
