package syslog_test

import (
	"strings"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

func TestLineFormats(t *testing.T) {
	const (
		python = `(?P<date>\d{4}/\d\d/\d\d) (?P<timestamp>\d\d:\d\d:\d\d) \[(?P<pid>\d+)\] (?P<description>.*)$`
		line   = "2026/11/23 18:40:52 [505] connect from localhost (127.0.0.1)"
		own    = `no host no tag pid 505 pri -1.-1 text "connect from localhost (127.0.0.1)"`
	)
	for _, tt := range []struct{ name, format, line, want string }{
		{"auto", "auto", line, own},
		{"Python's names", python, line, own},
		{"Go's names", strings.ReplaceAll(python, "?P<", "?<"), line, own},
		{"line end", python, line + "\r\n", own},
		{"start only", `(?P<description>connect|sent)`, "connect from", `no host no tag pid 0 pri -1.-1 text "connect"`},
		{"anchored at the start, as re.match", `connect (?P<description>.*)`, line, "no_header"},
		{"each alternative is anchored", `x|connect (?P<description>.*)`, line, "no_header"},
		{"no pid", `\S+ \S+ (?P<description>.*)`, "a b hi", `no host no tag pid 0 pri -1.-1 text "hi"`},
		{"pid that took no part", `(?:\[(?P<pid>\d+)\] )?(?P<description>.*)`, "hi", `no host no tag pid 0 pri -1.-1 text "hi"`},
		{"pid that is no number", `(?P<pid>\S+) (?P<description>.*)`, "5x hi", `no host no tag pid 0 pri -1.-1 text "hi"`},
		{"pid too large", `(?P<pid>\S+) (?P<description>.*)`, "2147483648 hi", `no host no tag pid 0 pri -1.-1 text "hi"`},
		{"other groups", `(?P<host>\S+) (x|y) (?P<description>.*)`, "h x hi", `no host no tag pid 0 pri -1.-1 text "hi"`},
		{"flags", `(?i)PID (?P<pid>\d+): (?P<description>.*)`, "pid 7: hi", `no host no tag pid 7 pri -1.-1 text "hi"`},
		{"syntax within a class and escaped", `[(?=]\(\?=\++[^]\]*+]{2} (?P<description>.*)`, "((?=+++ab hi", `no host no tag pid 0 pri -1.-1 text "hi"`},
		{"what looks like Python's", `[(?=]\(?=?\+a{1,2}(?P<description>.*)`, "=(=+aahi", `no host no tag pid 0 pri -1.-1 text "hi"`},
		{"no UTF-8", `(?P<pid>\d+) (?P<description>.*)`, "7 \xff\x00\x85", `no host no tag pid 7 pri -1.-1 text "\xff\x00\x85"`},
		{"no match", python, "hi", "no_header"},
		{"no description", python, "2026/11/23 18:40:52 [505] ", "no_text"},
		{"empty line", python, "\n", "empty"},
		{"long line", python, strings.Repeat("x", receiver.MaxMessage+1), "oversize"},
	} {
		d, err := syslog.ParseLineFormat(tt.format)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := scanned(d, []byte(tt.line)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// An expression that is refused is refused for its reason, with the place and the remedy.
func TestLineFormatsRefused(t *testing.T) {
	const d = `(?P<description>.*)`
	for _, tt := range []struct {
		format string
		parts  []string // of the error
	}{
		{`.*`, []string{`".*"`, "no group (?P<description>", `"auto"`}},
		{``, []string{"no group (?P<description>"}},
		{`AUTO`, []string{"no group (?P<description>", `"auto"`}},
		{`a(?=b)` + d, []string{"`(?=`", "re2syntax"}},
		{`a\(?(?<=b)` + d, []string{"`(?<=b)", "re2syntax"}},
		{`(?P<q>.)(?P=q)` + d, []string{"unsupported Perl syntax", "re2syntax"}},
		{`(.)\1` + d, []string{"`\\1`", "re2syntax"}},
		{d + `\Z`, []string{"`\\Z`", "re2syntax"}},
		{`a*+` + d, []string{"`*+`", "re2syntax"}},
		{`(?>a)` + d, []string{"`(?>`", "re2syntax"}},
		{`a{2}+` + d, []string{"invalid nested repetition operator", "re2syntax"}},
		{`(` + d, []string{"missing closing )", "re2syntax"}},
		{`a)|(b` + d, []string{"unexpected )", "re2syntax"}},
		{`(?x) a` + d, []string{"invalid or unsupported Perl syntax", "re2syntax"}},
		{d + d, []string{`"description" is there twice`}},
		{`[`, []string{"missing closing ]"}},
		{`\`, []string{"trailing backslash"}},
	} {
		dialect, err := syslog.ParseLineFormat(tt.format)
		if err == nil {
			t.Errorf("%q is accepted: %v", tt.format, dialect)
			continue
		}
		for _, part := range tt.parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: the error lacks %q: %v", tt.format, part, err)
			}
		}
	}
}

func FuzzLineFormat(f *testing.F) {
	for _, s := range []string{"auto", `(?P<pid>\d+) (?P<description>.*)`, `a*+`, `\`, `[`, `[^`, `[]`, `{,`, `{,3`, `(?`, `(?P=`, `(?<description>`} {
		f.Add(s, "2026/11/23 18:40:52 [505] hi")
	}
	f.Fuzz(func(t *testing.T, format, line string) {
		d, err := syslog.ParseLineFormat(format)
		if (d == nil) == (err == nil) {
			t.Fatalf("%q: %v and %v", format, d, err)
		}
		if err != nil {
			return
		}
		var m receiver.Message
		if discard := d.Scan([]byte(line), &m); discard == receiver.Kept && (len(m.Text) == 0 || !strings.Contains(line, string(m.Text))) {
			t.Errorf("%q on %q: text %q", format, line, m.Text)
		}
	})
}
