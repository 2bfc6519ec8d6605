package rsynclog_test

import (
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/rsynclog"
)

// hot are the shapes of a busy server, most frequent first.
var hot = []struct{ name, format, text string }{
	{"transfer", rsynclog.DefaultLogFormat, "send mirror7.example.net [203.0.113.7] archive () dists/stable/main/binary-amd64/Packages.gz 11234567"},
	{"connect", rsynclog.DefaultLogFormat, "connect from mirror7.example.net (203.0.113.7)"},
	{"allowed", rsynclog.DefaultLogFormat, "rsync allowed access on module archive from mirror7.example.net (203.0.113.7)"},
	{"start", rsynclog.DefaultLogFormat, "rsync on archive/dists/ from mirror7.example.net (203.0.113.7)"},
	{"filelist", rsynclog.DefaultLogFormat, "building file list"},
	{"summary", rsynclog.DefaultLogFormat, "sent 1310256 bytes  received 120 bytes  total size 1309578"},
	{"error", rsynclog.DefaultLogFormat, "rsync error: error in socket IO (code 10) at io.c(949) [sender=3.5.0]"},
	{"fileerror", rsynclog.DefaultLogFormat, `rsync: [sender] send_files failed to open "/root-only" (in data): Permission denied (13)`},
	{"unknownmodule", rsynclog.DefaultLogFormat, "unknown module 'nosuch' tried from mirror7.example.net (203.0.113.7)"},
	{"repeated", rsynclog.DefaultLogFormat, "message repeated 2 times: [ building file list]"},
	{"freetext", rsynclog.DefaultLogFormat, "module is under maintenance (see http://status.example.test)"},
	{"otherformat", "%o %h [%a] %m (%u) %b/%l %i %f", "send localhost [127.0.0.1] fmt () 5043/5000 <f+++++++++ b.bin"},
}

func TestParseDoesNotAllocate(t *testing.T) {
	texts := []string{}
	for _, e := range readExamples() {
		texts = append(texts, e.Text)
	}
	for _, l := range readCorpus(t, "file") {
		if l.scenario == "log_format_all_escapes" || l.scenario == "hostile_names_download" {
			texts = append(texts, l.text)
		}
	}
	formats := []string{rsynclog.DefaultLogFormat, "%f %o %n", "%m %i%f"}
	for _, c := range corpusFormats {
		formats = append(formats, c.format)
	}
	for _, format := range formats {
		p := mustParser(t, format)
		var ev rsynclog.Event
		for _, text := range texts {
			b := []byte(text)
			if n := testing.AllocsPerRun(2, func() { p.Parse(b, &ev) }); n > 0 {
				t.Errorf("%s, %.100q: %v allocations", format, text, n)
			}
		}
	}
}

// A text that repeats what a scanner looks for must not make it look again from every place. Eight
// times the text may take eight times as long, and three times that on a busy machine, whose caches
// others fill; were the scanner quadratic it would take 64 times as long.
func TestHostileTextsTakeLinearTime(t *testing.T) {
	pieces := []string{" from a (1.1.1.1) for ", " (", ") ", "1", "1,", " 1/2 ", "[", "\"", ": ", " failed verification -- update ", "' repeated ",
		"<f+++++++++ ", " send ", "recv", "%", " ", "a.", "rsync: [a] ", "f:", "deleting "}
	fronts := []string{"", "auth failed on module x", "rsync: [sender] ", "rsync error: ", "send localhost [::1] ", "unknown module '",
		"Last message '", "imuxsock: ", "sent ", "message repeated 2 times: [ ", "ERROR: ", "inflate "}
	formats := []string{rsynclog.DefaultLogFormat, "%o %h [%a] %m (%u) %b/%l %i %f", "%m%i%n%L %b%f %300l", "%f %o %n", "%m%o%f %'l%n"}
	took := func(p *rsynclog.Parser, text string) time.Duration {
		b := []byte(text)
		var ev rsynclog.Event
		return testenv.CPUTime(func() { p.Parse(b, &ev) })
	}
	for _, format := range formats {
		p := mustParser(t, format)
		for _, piece := range pieces {
			for _, front := range fronts {
				long := (front + strings.Repeat(piece, 32<<10))[:32<<10]
				var short, whole time.Duration
				for range 10 { // one undisturbed measurement is enough
					short, whole = took(p, long[:4<<10]), took(p, long)
					if whole < 2*time.Millisecond || whole < 24*short {
						break
					}
				}
				if whole >= 2*time.Millisecond && whole >= 24*short {
					t.Errorf("%s, %q and %q: 4 KiB take %v, 32 KiB %v", format, front, piece, short, whole)
				}
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, h := range hot {
		b.Run(h.name, func(b *testing.B) {
			p, text := mustParser(b, h.format), []byte(h.text)
			var ev rsynclog.Event
			b.ReportAllocs()
			for b.Loop() {
				p.Parse(text, &ev)
			}
		})
	}
}

// BenchmarkOwnPattern matches the same texts with the one regular expression that specifies each:
// what a parser made of regular expressions takes if it guesses right at once.
func BenchmarkOwnPattern(b *testing.B) {
	o := newOracle(b)
	for _, h := range hot {
		_, rule := o.parse(h.text, false)
		if rule < 0 {
			continue
		}
		b.Run(h.name, func(b *testing.B) {
			pattern, text := o.patterns[rule], []byte(h.text)
			b.ReportAllocs()
			for b.Loop() {
				if pattern.FindSubmatchIndex(text) == nil {
					b.Fatal("no match")
				}
			}
		})
	}
}
