package report

import (
	"slices"
	"strings"
	"unicode"

	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

const (
	// maxSamples bounds the lines that a Summary shows, and those that are kept for each reason.
	maxSamples = 20
	// maxShape is how much of a text is compared with others, in bytes.
	maxShape = rsynclog.MaxLabel
)

// samples keeps lines that were not understood: for each reason the first ones that differ in more
// than their digits.
type samples struct {
	bare    bool // without the lines' texts, which have clients' addresses
	reasons []reason
	shape   []byte // scratch
}

type reason struct {
	why, what string
	samples   []Sample
	shapes    []string
}

// add keeps a line, or not. why and what are the reason; their number is small.
func (ss *samples) add(p logs.Place, why, what string, text []byte) {
	i := slices.IndexFunc(ss.reasons, func(r reason) bool { return r.why == why && r.what == what })
	if i < 0 {
		i = len(ss.reasons)
		ss.reasons = append(ss.reasons, reason{why: why, what: what})
	}
	r := &ss.reasons[i]
	if len(r.samples) >= maxSamples {
		return
	}
	ss.shape = appendShape(ss.shape[:0], text)
	if slices.ContainsFunc(r.shapes, func(s string) bool { return s == string(ss.shape) }) {
		return
	}
	quote := ""
	if !ss.bare {
		quote = rsynclog.Label(text)
	}
	full := why
	if what != "" {
		full += ": " + what
	}
	r.shapes = append(r.shapes, string(ss.shape))
	r.samples = append(r.samples, Sample{File: clean(p.File), Line: p.Number, Why: full, Text: quote})
}

// appendShape appends the beginning of a text with 0 for each run of digits.
func appendShape(b, text []byte) []byte {
	for _, c := range text[:min(len(text), maxShape)] {
		if '0' <= c && c <= '9' {
			if len(b) > 0 && b[len(b)-1] == '0' {
				continue
			}
			c = '0'
		}
		b = append(b, c)
	}
	return b
}

// list returns the first sample of each reason, then the second, and so on.
func (ss *samples) list() []Sample {
	list := []Sample{}
	for n := 0; n < maxSamples; n++ {
		for _, r := range ss.reasons {
			if n < len(r.samples) && len(list) < maxSamples {
				list = append(list, r.samples[n])
			}
		}
	}
	return list
}

// clean makes a text of the command line fit to be shown.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
