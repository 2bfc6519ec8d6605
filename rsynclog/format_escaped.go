package rsynclog

import (
	"fmt"
	"slices"
)

// rsync 3.5.0 escapes whole lines in its log file, the literals of log format included (log.c:
// filtered_fwrite): a UTF-8 arrow arrives as \xe2\#206\#222. Older versions don't, and no version
// does to syslog. So such a format has two forms, and the one that stands in the settings is tried
// first.

// withEscapes returns the format with its literals escaped, or nil if they stay as they are. Its
// fields are as certain as the format's own.
func (f *logFormat) withEscapes(fields []field) *logFormat {
	escaped, differs := slices.Clone(fields), false
	for i := range escaped {
		if escaped[i].shape != literal {
			continue
		}
		text := escapeLiteral(escaped[i].text)
		differs = differs || text != escaped[i].text
		if i+1 < len(escaped) && text != escaped[i].text {
			escaped[i+1].after = digitsAtEnd(text, &escaped[i+1])
		}
		escaped[i].text, escaped[i].sought = text, []byte(text)
	}
	if !differs {
		return nil
	}
	e := *f
	left, right := len(f.left), len(fields)-len(f.right)
	e.left, e.middle, e.right = escaped[:left], escaped[left:right], escaped[right:]
	if f.ops.run != nil {
		e.ops = placeOfOp(escaped)
	}
	return &e
}

// escapeLiteral escapes control characters but the tab, 0x80 to 0x9f, and the backslash of what
// looks like an escape.
func escapeLiteral(s string) string {
	var out []byte
	for i := range len(s) {
		c := s[i]
		quoted := c == '\\' && i+4 < len(s) && s[i+1] == '#' && isDigit(s[i+2]) && isDigit(s[i+3]) && isDigit(s[i+4])
		if quoted || c < ' ' && c != '\t' || c >= 0x80 && c <= 0x9f {
			out = fmt.Appendf(out, `\#%03o`, c)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

// digitsAtEnd returns how many digits of an escape at a literal's end look as if they belonged to
// the field behind it, read from the right.
func digitsAtEnd(text string, e *field) (n int) {
	if e.shape == modified || e.shape >= count && e.shape <= hostName {
		for n < len(text) && isDigit(text[len(text)-1-n]) {
			n++
		}
	}
	return n
}
