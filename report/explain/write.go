package explain

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"rsyncd_exporter/internal/text"
)

const (
	// maxValue is how many bytes of a text are shown: rsyncd cuts its lines at 2047.
	maxValue = 2048
	// maxShort is the same where a text is only named.
	maxShort = 128
)

// A told is what is said of one line.
type told struct {
	file    string
	line    uint64
	class   Class
	pid     int32
	session string
	fields  fields
	meaning string // of a line that was counted
	why     string // nothing came of it
}

// clip cuts a text that is longer than most bytes.
func clip(b []byte, most int) []byte { return b[:min(len(b), most)] }

// appendText appends what is told for people: one line, without its LF.
func appendText(b []byte, t *told) []byte {
	return appendFields(fmt.Appendf(b, "%7d  %-16s  %-12s", t.line, t.class, orDash(t.session)), t)
}

// appendFields appends the fields and what they mean.
func appendFields(b []byte, t *told) []byte {
	for _, f := range t.fields {
		b = append(append(append(b, ' '), f.name...), '=')
		if f.is {
			b = strconv.AppendUint(b, f.number, 10)
		} else {
			b = appendValue(b, f.text)
		}
	}
	return append(append(b, "  # "...), text.OneLine(t.meaning+t.why)...)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// appendValue appends a text so that nobody takes it for more than one value, and no terminal
// obeys it: as it is if it is plain, and quoted as Go quotes strings otherwise. A cut one ends
// with "…".
func appendValue(b, value []byte) []byte {
	cut := clip(value, maxValue)
	if len(cut) > 0 && bytes.IndexFunc(cut, func(r rune) bool {
		return r <= ' ' || r == '"' || r == '\\' || r == '=' || r == '#' || r >= 0x7f
	}) < 0 {
		b = append(b, cut...)
	} else {
		b = strconv.AppendQuote(b, string(cut))
	}
	if len(cut) < len(value) {
		b = append(b, "…"...)
	}
	return b
}

// appendJSON appends what is told as a JSON object, without an LF.
func appendJSON(b []byte, t *told) []byte {
	b = append(strconv.AppendUint(append(b, `{"line":`...), t.line, 10), `,"file":`...)
	b = appendString(b, t.file)
	b = appendString(append(b, `,"kind":`...), t.class.String())
	if t.pid != 0 {
		b = strconv.AppendInt(append(b, `,"pid":`...), int64(t.pid), 10)
	}
	if t.session != "" {
		b = appendString(append(b, `,"session":`...), t.session)
	}
	b = append(b, `,"fields":{`...)
	for i, f := range t.fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, f.name), ':')
		if f.is {
			b = strconv.AppendUint(b, f.number, 10)
		} else {
			b = appendString(b, string(clip(f.text, maxValue)))
		}
	}
	b = append(b, '}')
	if t.why != "" {
		b = appendString(append(b, `,"why":`...), t.why)
	}
	return append(b, '}')
}

// appendString appends a JSON string. Bytes that aren't UTF-8 become U+FFFD. Characters that can't
// be printed are escaped, even where JSON doesn't ask for it: a terminal may show the output.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case unicode.IsPrint(r):
			b = utf8.AppendRune(b, r)
		case r < 0x10000:
			b = fmt.Appendf(b, `\u%04x`, r)
		default: // as two, in UTF-16
			r -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}
	return append(b, '"')
}

// appendSummary appends how many lines there were of each class.
func appendSummary(b []byte, counts *[NumClasses]uint64) []byte {
	all := uint64(0)
	for _, n := range counts {
		all += n
	}
	b = fmt.Appendf(b, "%7d  lines\n", all)
	for c := range NumClasses {
		if n := counts[c]; n > 0 {
			b = fmt.Appendf(b, "%7d  %s\n", n, c)
		}
	}
	return b
}

// heading is what stands before the lines of a file.
func heading(file string) string { return "==> " + strings.TrimSpace(text.Printable(file)) + " <==\n" }
