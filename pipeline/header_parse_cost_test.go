package pipeline

import (
	"regexp"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// hotHeaders are what stands before a text in the forms in which most of them arrive.
var hotHeaders = []struct {
	name    string
	dialect receiver.Dialect
	header  string
	pattern string // of the header; the text is its last group
}{
	{"direct", syslog.Auto{Local: true}, "<30>Nov 23 18:40:52 rsyncd[505]: ",
		`\A<([0-9]{1,3})>[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} (.*?)\[([0-9]+)\]: ((?s:.*?))\n?\z`},
	{"rfc3164", syslog.Auto{}, "<30>Nov 23 18:40:52 mirror rsyncd[505]: ",
		`\A<([0-9]{1,3})>[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} ([^ ]+) (.*?)\[([0-9]+)\]: ((?s:.*?))\n?\z`},
	{"rfc5424", syslog.Auto{}, "<30>1 2026-11-23T18:40:52.123456+00:00 mirror rsyncd 505 - -  ",
		`\A<([0-9]{1,3})>1 ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) [^ ]+ -  ?((?s:.*?))\n?\z`},
	{"ownlog", syslog.Lines{}, "2026/11/23 18:40:52 [505] ", `\A[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \[([0-9]+)\] ((?s:.*?))\n?\z`},
}

const (
	numberPattern = `(?:[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?:\.[0-9]{3})+)|0|[1-9][0-9]*)`
	addrPattern   = `([0-9A-Fa-f:.]*[:.][0-9A-Fa-f:.]*(?:%[0-9A-Za-z_.-]+)?)`
	peerPattern   = `([^ @()\[\]]+) \(` + addrPattern + `\)`
)

// hotTexts are a busy server's, most frequent first, with the expression that specifies each
// (rsynclog/grammar_spec_test.go).
var hotTexts = []struct {
	name    string
	kind    rsynclog.Kind
	text    string
	pattern string
}{
	{"transfer", rsynclog.Transfer,
		"send mirror7.example.net [203.0.113.7] archive () dists/stable/main/binary-amd64/Packages.gz 11234567",
		`(send|recv|del\.) ([^ @()\[\]]+) \[` + addrPattern + `\] (.+? \(.*?\) .+ (0|[1-9][0-9]*))`},
	{"connect", rsynclog.Connect, "connect from mirror7.example.net (203.0.113.7)", `connect from ` + peerPattern},
	{"start", rsynclog.Start, "rsync on archive/dists/ from mirror7.example.net (203.0.113.7)",
		`rsync (on|to) (.*) from (?:([^ ]*)@)?` + peerPattern},
	{"summary", rsynclog.Summary, "sent 1310256 bytes  received 120 bytes  total size 1309578",
		`sent (` + numberPattern + `) bytes  received (` + numberPattern + `) bytes  total size (` + numberPattern + `)`},
	{"fileerror", rsynclog.FileError,
		`rsync: [sender] send_files failed to open "/root-only" (in data): Permission denied (13)`,
		`rsync: (?:\[([A-Za-z]+)\] )?[^"]*"([^"]*)"[^"]*: [^"]+ \(([0-9]{1,4})\)`},
}

// understand reads a raw message's header and its text.
func understand(d receiver.Dialect, p *rsynclog.Parser, raw []byte, m *receiver.Message, ev *rsynclog.Event) bool {
	if d.Scan(raw, m) != receiver.Kept {
		return false
	}
	p.Parse(m.Text, ev)
	return true
}

func newParser(t testing.TB) *rsynclog.Parser {
	t.Helper()
	p, err := rsynclog.NewParser(rsynclog.DefaultLogFormat)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestHeaderAndTextAreReadWithoutAllocation(t *testing.T) {
	p := newParser(t)
	for _, h := range hotHeaders {
		for _, line := range hotTexts {
			var m receiver.Message
			var ev rsynclog.Event
			raw, ok := []byte(h.header+line.text+"\n"), false
			if n := testing.AllocsPerRun(100, func() { ok = understand(h.dialect, p, raw, &m, &ev) }); n != 0 {
				t.Errorf("%s, %s: %v allocations", h.name, line.name, n)
			}
			if !ok || ev.Kind != line.kind || m.PID != 505 || string(m.Text) != line.text {
				t.Errorf("%s, %s: %s of pid %d", h.name, line.name, ev.Kind, m.PID)
			}
		}
	}
}

// BenchmarkHeaderAndParse reads whole raw messages; its "regexp" does so with two expressions, the header's and the one that
// specifies the text, as a parser made of expressions does that guesses right at once.
func BenchmarkHeaderAndParse(b *testing.B) {
	for _, h := range hotHeaders {
		for _, line := range hotTexts {
			raw := []byte(h.header + line.text + "\n")
			b.Run(h.name+"/"+line.name, func(b *testing.B) {
				var m receiver.Message
				var ev rsynclog.Event
				p := newParser(b)
				b.SetBytes(int64(len(raw)))
				b.ReportAllocs()
				for b.Loop() {
					if !understand(h.dialect, p, raw, &m, &ev) {
						b.Fatal("discarded")
					}
				}
			})
			b.Run(h.name+"/"+line.name+"/regexp", func(b *testing.B) {
				header, text := regexp.MustCompile(h.pattern), regexp.MustCompile(`(?s)\A(?:`+line.pattern+`)\z`)
				b.SetBytes(int64(len(raw)))
				b.ReportAllocs()
				for b.Loop() {
					at := header.FindSubmatchIndex(raw)
					if at == nil || text.FindSubmatchIndex(raw[at[len(at)-2]:at[len(at)-1]]) == nil {
						b.Fatal("no match")
					}
				}
			})
		}
	}
}
