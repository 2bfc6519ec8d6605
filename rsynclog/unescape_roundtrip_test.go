package rsynclog_test

import (
	"bytes"
	"fmt"
	"regexp"
	"testing"

	"rsyncd_exporter/rsynclog"
)

var octalEscape = regexp.MustCompile(`\A\\#[0-9]{3}`)

// escapeText writes a text as log.c: filtered_fwrite of 3.5.0 writes it into the log file.
func escapeText(s []byte) []byte {
	var out []byte
	for i, c := range s {
		octal := octalEscape.Match(s[i:])
		if c < 0x20 && c != '\t' || 0x80 <= c && c <= 0x9f || octal {
			out = fmt.Appendf(out, "\\#%03o", c)
		} else {
			out = append(out, c)
		}
	}
	return out
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		`new\#012line`:       "new\nline",
		`c1\#205J`:           "c1\x85J",
		"\xe2\\#230\\#203":   "\u2603", // by hand: 0230 is 0x98, 0203 is 0x83, and U+2603 is e2 98 83
		`lit\#134#012x`:      `lit\#012x`,
		`\#400 \#08 \#09 \#`: `\#400 \#08 \#09 \#`,
		`#012`:               `#012`, // rsyslog's escape is ambiguous
	} {
		if got := rsynclog.AppendUnescaped([]byte("> "), []byte(in)); string(got) != "> "+want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzUnescape(f *testing.F) {
	for _, s := range []string{"", `\`, `\#012`, `\\#012`, "\xe2\x98\x83", `\#134#012`, "a\nb\x1b[31m", `\#\#012`, `\#777`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		escaped := escapeText(s)
		if got := rsynclog.AppendUnescaped(nil, escaped); !bytes.Equal(got, s) {
			t.Errorf("%q escaped is %q, and back %q", s, escaped, got)
		}
		if n := len(rsynclog.AppendUnescaped(nil, s)); n > len(s) {
			t.Errorf("%q grew to %d bytes", s, n)
		}
	})
}
