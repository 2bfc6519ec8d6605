package syslog

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rsyncd_exporter/receiver"
)

// What a header is, in regular expressions. The hand-written scanner is held against them.
var (
	specEnds     = regexp.MustCompile(`(?s)\A\x00*(.*?)\r?\n?\x00?\z`)
	specEmpty    = regexp.MustCompile(`\A[\r\n\x00]*\z`)
	specPriority = regexp.MustCompile(`\A<(0|[1-9][0-9]?|1[0-8][0-9]|19[01])>`)
	specClock    = `[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?`
	specDay      = `[A-Z][a-z]{2} (?:[ 0-9][0-9]|[0-9])`
	specYear     = ` (?:19|20)[0-9]{2}`
	specISO      = `[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]` + specClock
	specZoned    = specISO + `(?:Z|[-+][0-9]{2}:?[0-9]{2})?`
	specShapes   = specDay + ` ` + specClock + `(?:` + specYear + `)?|` + specDay + ` [0-9]{4} ` + specClock + `|[0-9]{4} ` + specDay + ` ` + specClock +
		`|[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] ` + specClock + specYear + `|` + specZoned + `|[A-Z][a-z]{2} ` + specISO + ` [-+A-Z0-9]{3,6}`
	specStamp     = regexp.MustCompile(`\A(` + specShapes + `)(?: |\z)`)
	specFacility  = `(kern|user|mail|daemon|auth|security|syslog|lpr|news|uucp|cron|authpriv|ftp|ntp|audit|console|alert|solaris-cron|clock|local[0-7])`
	specSeverity  = `(emerg|panic|alert|crit|err|error|warning|warn|notice|info|debug)`
	specLevel     = regexp.MustCompile(`\A` + specFacility + `[.:]` + specSeverity + `(?: |\z)`)
	specBracketed = regexp.MustCompile(`\A<(?:` + specFacility + `[.:]` + specSeverity + `|([0-9]|[01][0-9]|2[0-3])\.([0-7]))> `)
	specMessageID = regexp.MustCompile(`\A\[ID [0-9]+ ` + specFacility + `[.:]` + specSeverity + `\] `)
	specUptime    = regexp.MustCompile(`\A\[[0-9]+\.[0-9]+\] `)
	specForwarded = regexp.MustCompile(`\A(?:Message f|F)orwarded from ([^ ]+): `)
	specCtime     = regexp.MustCompile(`\A[A-Z][a-z]{2} [A-Z]`)
	specHost      = regexp.MustCompile(`\A((?:[^ \[]*[^ \[:])?)(?: |\z)`)
	specRFC5424   = regexp.MustCompile(`(?s)\A1 (?:-|` + spec5424ISO + `) ([^ ]+) ([^ ]+) ([^ ]+) [^ ]+ ` +
		`(?:-|(?:\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\])+)(?: (?:\x{feff})? ?(.*))?\z`)
	spec5424ISO = strings.Replace(specZoned, "[T ]", "T", 1)
	specPID     = regexp.MustCompile(`(?s)\A(.*?)\[([0-9]+)\]:`)
	specWord    = regexp.MustCompile(`\A[^ ]*`)
	specPlain   = regexp.MustCompile(`\A([^ \[]*):(?: |\z)`)
	specCut     = regexp.MustCompile(`(?s)\A([^ ]*[^ :])(?: |\z)(.*)\z`) // of 32 bytes, which a pattern can't count
	specCutPID  = regexp.MustCompile(`(?s)\A(.*)\[([0-9]*)\]?\z`)
)

// spec is Auto.Scan as the expressions above define it.
type spec struct{ local bool }

func (s spec) scan(raw []byte) string {
	b, m, reason := specStart(raw)
	switch {
	case reason != receiver.Kept:
		return reason.String()
	case len(b) > 1 && string(b[:2]) == "1 ":
		return specScan5424(b, m)
	case specStamp.Match(b):
		return s.scanStamped(b, m)
	case m.Severity < 0:
		return receiver.NoHeader.String()
	}
	return specScanTag(specSpace(b), m, false)
}

// specStart reads what all messages begin with.
func specStart(raw []byte) (b []byte, m receiver.Message, reason receiver.Discard) {
	m = receiver.Message{Facility: -1, Severity: -1}
	if len(raw) > receiver.MaxMessage {
		return nil, m, receiver.Oversize
	}
	if specEmpty.Match(raw) {
		return nil, m, receiver.Empty
	}
	b = specEnds.FindSubmatch(raw)[1]
	if b[0] == '<' {
		p := specPriority.FindSubmatch(b)
		if p == nil {
			return nil, m, receiver.BadPriority
		}
		v := specNumber(p[1])
		m.Facility, m.Severity = int8(v/8), int8(v%8)
		b = b[len(p[0]):]
	}
	if len(b) == 0 {
		return nil, m, receiver.NoText
	}
	return b, m, receiver.Kept
}

func (s spec) scanStamped(b []byte, m receiver.Message) string {
	ctime := specCtime.Match(b)
	b = b[len(specStamp.Find(b)):]
	if s.local {
		return specScanTag(b, m, true)
	}
	return specScanHost(b, m, ctime)
}

func specScanHost(b []byte, m receiver.Message, ctime bool) string {
	if level := specBracketed.FindSubmatch(b); level != nil {
		specSetLevel(&m, level[1:])
		b = b[len(level[0]):]
	}
	b = b[len(specUptime.Find(b)):]
	if forwarded := specForwarded.FindSubmatch(b); forwarded != nil {
		m.Host, b = specValue(forwarded[1]), b[len(forwarded[0]):]
	} else if host := specHost.FindSubmatch(b); host != nil && !(ctime && specLevel.Match(b)) {
		m.Host, b = specValue(host[1]), b[len(host[0]):]
	}
	return specScanTag(b, m, true)
}

// specSetLevel takes a facility and a severity, by name or, in the third and fourth place, by number.
func specSetLevel(m *receiver.Message, level [][]byte) {
	if m.Severity >= 0 {
		return
	}
	if len(level) == 4 && len(level[0]) == 0 {
		m.Facility, m.Severity = int8(specNumber(level[2])), int8(specNumber(level[3]))
		return
	}
	facilities := map[string]int8{"kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "security": 4, "syslog": 5, "lpr": 6, "news": 7,
		"uucp": 8, "cron": 9, "authpriv": 10, "ftp": 11, "ntp": 12, "audit": 13, "console": 14, "alert": 14, "solaris-cron": 15, "clock": 15}
	severities := map[string]int8{"emerg": 0, "panic": 0, "alert": 1, "crit": 2, "err": 3, "error": 3, "warning": 4, "warn": 4, "notice": 5,
		"info": 6, "debug": 7}
	facility := string(level[0])
	if local, ok := strings.CutPrefix(facility, "local"); ok {
		m.Facility = 16 + int8(specNumber([]byte(local)))
	} else {
		m.Facility = facilities[facility]
	}
	m.Severity = severities[string(level[1])]
}

var (
	specAnyStamp  = regexp.MustCompile(`\A(?:<[0-9]+>)?(` + specShapes + `)(?: |\r?\n?\x00?\z)`)
	spec5424Stamp = regexp.MustCompile(`\A(?:<[0-9]+>)?1 (` + spec5424ISO + `) `)
)

// stamp is the Stamp of a message that scan keeps.
func (spec) stamp(raw []byte) []byte {
	raw = bytes.TrimLeft(raw, "\x00")
	for _, shape := range []*regexp.Regexp{specAnyStamp, spec5424Stamp} {
		if m := shape.FindSubmatch(raw); m != nil {
			return m[1]
		}
	}
	return nil
}

// checkStamp compares the stamp of a message that is kept with the one that the expressions find.
func checkStamp(t *testing.T, d receiver.Dialect, raw, want []byte) {
	t.Helper()
	var m receiver.Message
	if d.Scan(raw, &m) != receiver.Kept {
		return
	}
	if string(m.Stamp) != string(want) || (m.Stamp == nil) != (want == nil) {
		t.Errorf("%q: stamp %q, want %q", raw, m.Stamp, want)
	}
}

func specScanTag(b []byte, m receiver.Message, stamped bool) string {
	if len(b) == 0 {
		return receiver.NoText.String()
	}
	if level := specLevel.FindSubmatch(b); stamped && level != nil && len(b) > len(level[0]) {
		specSetLevel(&m, level[1:])
		b = b[len(level[0]):]
	}
	word := specWord.Find(b)
	window := b[:min(len(b), max(80, len(word)))]
	if own := specPID.FindSubmatch(word); own != nil {
		m.Tag, m.PID, m.Text = own[1], specNumber(own[2]), b[len(own[0]):]
	} else if plain := specPlain.FindSubmatch(b); plain != nil {
		m.Tag, m.Text = plain[1], b[len(word):]
	} else if cut := specCut.FindSubmatch(b); stamped && cut != nil && len(word) == 32 {
		m.Tag, m.Text = cut[1], cut[2]
		if p := specCutPID.FindSubmatch(cut[1]); p != nil && (len(p[2]) > 0 || cut[1][31] != ']') {
			m.Tag = p[1]
			if cut[1][31] == ']' {
				m.PID = specNumber(p[2])
			}
		}
		return specShow(m)
	} else if found := specPID.FindSubmatch(window); found != nil {
		m.Tag, m.PID, m.Text = found[1], specNumber(found[2]), b[len(found[0]):]
	} else if n := len(word); n > 0 && word[n-1] == ':' {
		m.Tag, m.Text = word[:n-1], b[n:]
	} else if m.Tag, m.Text = word, b[n:]; !stamped {
		return receiver.NoHeader.String()
	}
	m.Text = specSpace(m.Text)
	if id := specMessageID.FindSubmatch(m.Text); id != nil {
		specSetLevel(&m, id[1:])
		m.Text = m.Text[len(id[0]):]
	}
	return specShow(m)
}

func specScan5424(b []byte, m receiver.Message) string {
	f := specRFC5424.FindSubmatch(b)
	if f == nil {
		return receiver.NoHeader.String()
	}
	m.Host, m.Tag, m.Text = specValue(f[1]), specValue(f[2]), f[4]
	if regexp.MustCompile(`\A[0-9]+\z`).Match(f[3]) {
		m.PID = specNumber(f[3])
	} else if p := specPID.FindSubmatch(m.Text[:min(len(m.Text), 80)]); p != nil {
		m.PID, m.Text = specNumber(p[2]), specSpace(m.Text[len(p[0]):])
	}
	return specShow(m)
}

func specNumber(b []byte) int32 {
	v, err := strconv.ParseInt(string(b), 10, 32)
	if err != nil {
		return 0
	}
	return int32(v)
}

func specValue(b []byte) []byte {
	if s := string(b); s == "" || s == "-" {
		return nil
	}
	return b
}

func specSpace(b []byte) []byte { return regexp.MustCompile(`\A ?`).ReplaceAll(b, nil) }

func specShow(m receiver.Message) string {
	if len(m.Text) == 0 {
		return receiver.NoText.String()
	}
	return show(m, receiver.Kept)
}

// oddHeaders are of shapes that few messages have.
var oddHeaders = []string{
	"", "\n", "\x00", "<34>", "-1 x", "<30>Nov 23 23:14:00 m", "<30", "<030>a", "<999>a: b",
	`<30>1 - vm a m3 - [a b="\"]\\"][c] ` + "\ufeff x[7]: hi", "<30>Nov  3 18:40:52.1 2001:db8::1 my tag[2147483648]: hi\r\n\x00",
	"<30>Nov 23 23:14:00 vm TTTTTTTTTTTTTTTTTTTTTTTTTT[4420] hi", "<30>Nov 23 23:14:00 vm TTTTTTTTTTTTTTTTTTTTTTTTTTTTT[44 x[9]: hi",
	"Nov 23 18:40:52 2026 vm rsyncd[1]: hi", "2026 Nov  3 18:40:52,5 vm rsyncd[1]: hi", "<30>Nov 3 2026 18:40:52 vm rsyncd[1]: hi",
	"Mon 2026-11-23 18:40:52 CET vm rsyncd[1]: hi", "Mon Nov 23 18:40:52 2026 [12.5] daemon.info rsyncd[1]: hi",
	"Nov 23 18:40:52 <3.6> vm rsyncd[1]: hi", "<30>Nov 23 18:40:52 <daemon.err> vm rsyncd[1]: hi", "Nov 23 18:40:52 vm local7.warn rsyncd[1]: hi",
	"<30>Nov 23 18:40:52 Message forwarded from vm: rsyncd[1]: hi", "Nov 23 18:40:52 relay Forwarded from vm: rsyncd[1]: hi",
	"<30>Nov 23 18:40:52 vm rsyncd[1]: [ID 702911 daemon.info] hi", "2026-11-23T18:40:52+0100 vm rsyncd[1]: hi",
	"2026/11/23 18:40:52 [0] hi", "2026/11/23 18:40:52 [12]", "2026/11/23 18:40:52 [12]x",
}

// seeds gives a fuzz target messages of every shape and of every kind of trouble.
func seeds(f *testing.F) {
	for _, s := range shapes {
		f.Add([]byte(s.raw))
	}
	for _, path := range append(corpusFiles(f, "syslog/syslog_tag_facility.raw"), corpusFiles(f, "forwarded/*udp.raw")...) {
		for i, raw := range readDatagrams(f, path) {
			if i%20 == 0 || i > 910 && i < 945 && i%3 == 0 { // 911 to 945: odd tags
				f.Add(raw)
			}
		}
	}
	for _, line := range readLines(f, corpusDir+"file/hostile_names_download.log") {
		f.Add(line)
	}
	for _, raw := range oddHeaders {
		f.Add([]byte(raw))
	}
}

// A header that is cut at any byte, or that lacks one, is read by the same rules, and never beyond its end.
func TestOddHeadersCutAnywhere(t *testing.T) {
	headers := append([]string{"<30>1 2026-11-23T18:40:52Z vm rsyncd 505 ID1 [a b=\"\\\"]\"] \ufeffhi",
		`{"log":"2026/11/23 18:40:52 [5] \ud83d\ude00\ud83d x\n","time":"2026-11-23T18:40:52Z"}`}, oddHeaders...)
	for _, form := range lineForms {
		headers = append(headers, form.line)
	}
	for _, header := range headers {
		for n := range len(header) {
			for _, cut := range []string{header[:n], header[:n] + header[n+1:]} {
				raw := slices.Clip([]byte(cut)) // what is read beyond it would panic
				for _, local := range []bool{false, true} {
					got, want := scanned(Auto{Local: local}, raw), spec{local: local}.scan(raw)
					if got != want {
						t.Errorf("local %v: %q\n got %s\nwant %s", local, raw, got, want)
					}
				}
				got := scanned(Lines{}, raw)
				if want, _ := specLine(raw); want != "" && got != want {
					t.Errorf("a line: %q\n got %s\nwant %s", raw, got, want)
				}
			}
		}
	}
}

func FuzzHeader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, local := range []bool{false, true} {
			if got, want := scanned(Auto{Local: local}, raw), (spec{local: local}).scan(raw); got != want {
				t.Errorf("local %v: %q\n got %s\nwant %s", local, raw, got, want)
			}
			checkStamp(t, Auto{Local: local}, raw, spec{}.stamp(raw))
		}
		parser := Auto{}.GetParser(raw)
		if err, want := parser.Parse(), scanned(Auto{}, raw); (err == nil) != (Auto{}.Scan(raw, new(receiver.Message)) == receiver.Kept) {
			t.Errorf("Parse: %v, Scan: %s", err, want)
		}
		if content, ok := parser.Dump()["content"].(string); !ok || len(content) > len(raw) {
			t.Errorf("Dump: %s", fmt.Sprint(parser.Dump()))
		}
	})
}
