package receiver

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
)

// What a header is, in regular expressions. The hand-written scanner is held against them.
var (
	specEnds     = regexp.MustCompile(`(?s)\A\x00*(.*?)\r?\n?\x00?\z`)
	specEmpty    = regexp.MustCompile(`\A[\r\n\x00]*\z`)
	specPriority = regexp.MustCompile(`\A<(0|[1-9][0-9]?|1[0-8][0-9]|19[01])>`)
	specStamp    = regexp.MustCompile(`\A(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?|` + specISO + `)(?: |\z)`)
	specISO      = `[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2})`
	specHost     = regexp.MustCompile(`\A((?:[^ \[]*[^ \[:])?)(?: |\z)`)
	specRFC5424  = regexp.MustCompile(`(?s)\A1 (?:-|` + specISO + `) ([^ ]+) ([^ ]+) ([^ ]+) [^ ]+ ` +
		`(?:-|(?:\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\])+)(?: (?:\x{feff})? ?(.*))?\z`)
	specPID    = regexp.MustCompile(`(?s)\A(.*?)\[([0-9]+)\]:`)
	specWord   = regexp.MustCompile(`\A[^ ]*`)
	specPlain  = regexp.MustCompile(`\A([^ \[]*):(?: |\z)`)
	specCut    = regexp.MustCompile(`(?s)\A([^ ]*[^ :])(?: |\z)(.*)\z`) // of 32 bytes, which a pattern can't count
	specCutPID = regexp.MustCompile(`(?s)\A(.*)\[([0-9]*)\]?\z`)
	specOwn    = regexp.MustCompile(`(?s)\A[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \[([0-9]+)\](?: (.*)|)\z`)
)

// spec is Scan as the expressions above define it.
type spec struct{ local, needStamp, ownLines bool }

func (s spec) scan(raw []byte) string {
	if len(raw) > MaxMessage {
		return Oversize.String()
	}
	if specEmpty.Match(raw) {
		return Empty.String()
	}
	b := specEnds.FindSubmatch(raw)[1]
	m := Message{Facility: -1, Severity: -1}
	if own := specOwn.FindSubmatch(b); s.ownLines && own != nil {
		m.PID, m.Text = specNumber(own[1]), own[2]
		return specShow(m)
	}
	if b[0] == '<' {
		p := specPriority.FindSubmatch(b)
		if p == nil {
			return BadPriority.String()
		}
		v := specNumber(p[1])
		m.Facility, m.Severity = int8(v/8), int8(v%8)
		b = b[len(p[0]):]
	}
	if len(b) == 0 {
		return NoText.String()
	}
	if len(b) > 1 && string(b[:2]) == "1 " {
		return specScan5424(b, m)
	}
	if stamp := specStamp.Find(b); stamp != nil {
		b = b[len(stamp):]
		if host := specHost.FindSubmatch(b); !s.local && host != nil {
			m.Host, b = specValue(host[1]), b[len(host[0]):]
		}
		return specScanTag(b, m, true)
	}
	if m.Severity < 0 || s.needStamp {
		return NoHeader.String()
	}
	return specScanTag(specSpace(b), m, false)
}

var (
	specOwnStamp = regexp.MustCompile(`\A([0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}) \[`)
	specAnyStamp = regexp.MustCompile(`\A(?:<[0-9]+>)?([A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}` +
		`(?:\.[0-9]+)?|` + specISO + `)(?:[ \n\r\x00]|\z)`)
	spec5424Stamp = regexp.MustCompile(`\A(?:<[0-9]+>)?1 (` + specISO + `) `)
)

// stamp is the Stamp of a message that scan keeps.
func (s spec) stamp(raw []byte) []byte {
	shapes := []*regexp.Regexp{specAnyStamp, spec5424Stamp}
	if s.ownLines {
		shapes = append(shapes, specOwnStamp)
	}
	for _, shape := range shapes {
		if m := shape.FindSubmatch(raw); m != nil {
			return m[1]
		}
	}
	return nil
}

// checkStamp compares the stamp of a message that is kept with the one that the expressions above find.
func (s spec) checkStamp(t *testing.T, d Dialect, raw []byte) {
	t.Helper()
	var m Message
	if d.Scan(raw, &m) != Kept {
		return
	}
	if want := s.stamp(raw); string(m.Stamp) != string(want) || (m.Stamp == nil) != (want == nil) {
		t.Errorf("%q: stamp %q, want %q", raw, m.Stamp, want)
	}
}

func specScanTag(b []byte, m Message, stamped bool) string {
	if len(b) == 0 {
		return NoText.String()
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
		return NoHeader.String()
	}
	m.Text = specSpace(m.Text)
	return specShow(m)
}

func specScan5424(b []byte, m Message) string {
	f := specRFC5424.FindSubmatch(b)
	if f == nil {
		return NoHeader.String()
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

func specShow(m Message) string {
	if len(m.Text) == 0 {
		return NoText.String()
	}
	return show(m, Kept)
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
	for _, raw := range []string{"", "\n", "\x00", "<34>", "-1 x", "<30>Nov 23 23:14:00 m", "<30", "<030>a", "<999>a: b",
		`<30>1 - vm a m3 - [a b="\"]\\"][c] ` + "\ufeff x[7]: hi", "<30>Nov  3 18:40:52.1 2001:db8::1 my tag[2147483648]: hi\r\n\x00",
		"<30>Nov 23 23:14:00 vm TTTTTTTTTTTTTTTTTTTTTTTTTT[4420] hi", "<30>Nov 23 23:14:00 vm TTTTTTTTTTTTTTTTTTTTTTTTTTTTT[44 x[9]: hi",
		"2026/11/23 18:40:52 [0] hi", "2026/11/23 18:40:52 [12]", "2026/11/23 18:40:52 [12]x"} {
		f.Add([]byte(raw))
	}
}

func FuzzHeader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, local := range []bool{false, true} {
			if got, want := scanned(Auto{Local: local}, raw), (spec{local: local}).scan(raw); got != want {
				t.Errorf("local %v: %q\n got %s\nwant %s", local, raw, got, want)
			}
			spec{local: local}.checkStamp(t, Auto{Local: local}, raw)
		}
		parser := Auto{}.GetParser(raw)
		if err, want := parser.Parse(), scanned(Auto{}, raw); (err == nil) != (Auto{}.Scan(raw, new(Message)) == Kept) {
			t.Errorf("Parse: %v, Scan: %s", err, want)
		}
		if content, ok := parser.Dump()["content"].(string); !ok || len(content) > len(raw) {
			t.Errorf("Dump: %s", fmt.Sprint(parser.Dump()))
		}
	})
}

func FuzzLine(f *testing.F) {
	seeds(f)
	pattern, err := ParseLineFormat(`(?P<date>\S+) (?P<timestamp>\S+) \[(?P<pid>\d+)\](?: (?P<description>.*))?`)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got, want := scanned(Lines{}, raw), (spec{needStamp: true, ownLines: true}).scan(raw); got != want {
			t.Errorf("%q\n got %s\nwant %s", raw, got, want)
		}
		spec{needStamp: true, ownLines: true}.checkStamp(t, Lines{}, raw)
		var m Message
		if d := pattern.Scan(raw, &m); d == Kept && len(m.Text) == 0 || d >= NumDiscards {
			t.Errorf("%q: %v, text %q", raw, d, m.Text)
		}
	})
}
