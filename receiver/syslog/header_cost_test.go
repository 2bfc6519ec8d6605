package syslog_test

import (
	"regexp"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

const (
	benchText = "sent 75310 bytes  received 98 bytes  total size 75006\n"
	benchTail = ` (.*?)\[([0-9]+)\]: ((?s:.*?))\n?$`
	benchISO  = `[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2})`
	benchRFC  = `[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}`
)

// shapes has a message of every shape that Scan must read without allocating, and the expression that would read it too.
var shapes = []struct {
	name    string
	dialect receiver.Dialect
	raw     string
	pattern string
}{
	{"direct", syslog.Auto{Local: true}, "<30>Nov 23 18:40:52 rsyncd[505]: " + benchText, `^<([0-9]{1,3})>` + benchRFC + benchTail},
	{"rfc3164", syslog.Auto{}, "<30>Nov 23 18:40:52 mirror rsyncd[505]: " + benchText, `^<([0-9]{1,3})>` + benchRFC + ` ([^ ]+)` + benchTail},
	{"rfc3339", syslog.Auto{}, "<30>2026-11-23T18:40:52.123456+00:00 mirror rsyncd[505]: " + benchText,
		`^<([0-9]{1,3})>` + benchISO + ` ([^ ]+)` + benchTail},
	{"rfc5424", syslog.Auto{}, "<30>1 2026-11-23T18:40:52.123456+00:00 mirror rsyncd 505 - -  " + benchText,
		`^<([0-9]{1,3})>1 (?:-|` + benchISO + `) ([^ ]+) ([^ ]+) ([^ ]+) [^ ]+ -  ?((?s:.*?))\n?$`},
	{"rfc5424sd", syslog.Auto{}, `<30>1 2026-11-23T18:40:52+00:00 mirror rsyncd 505 - [meta sequenceId="2"] ` + benchText,
		`^<([0-9]{1,3})>1 (?:-|` + benchISO + `) ([^ ]+) ([^ ]+) ([^ ]+) [^ ]+ (?:\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\])+ ?((?s:.*?))\n?$`},
	{"ownlog", syslog.Lines{}, "2026/11/23 18:40:52 [505] " + benchText,
		`^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \[([0-9]+)\] ((?s:.*?))\n?$`},
	{"syslogfile", syslog.Lines{}, "Nov 23 18:40:52 mirror rsyncd[505]: " + benchText, `^` + benchRFC + ` ([^ ]+)` + benchTail},
}

func TestScanDoesNotAllocate(t *testing.T) {
	odd := []string{"<30>Nov 23 18:40:52 vm my tag[4414]: hi\n", "<30>1 - vm rsyncd m3 - [a b=\"\\]\"] \ufeffx[4411]: hi", "<999>x", "-1 x", "<34>", "\n"}
	for _, s := range shapes {
		for _, raw := range append(odd, s.raw) {
			b, m := []byte(raw), new(receiver.Message)
			var d receiver.Discard
			if n := testing.AllocsPerRun(100, func() { d = s.dialect.Scan(b, m) }); n != 0 {
				t.Errorf("%s: %v allocations for %q (%v)", s.name, n, raw, d)
			}
		}
		if got, m := s.dialect.Scan([]byte(s.raw), new(receiver.Message)), s.raw; got != receiver.Kept {
			t.Errorf("%s: %v: %q", s.name, got, m)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	for _, s := range shapes {
		raw := []byte(s.raw)
		b.Run(s.name, func(b *testing.B) {
			var m receiver.Message
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if s.dialect.Scan(raw, &m) != receiver.Kept {
					b.Fatal("discarded")
				}
			}
		})
		b.Run(s.name+"/regexp", func(b *testing.B) {
			re := regexp.MustCompile(s.pattern)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if re.FindSubmatchIndex(raw) == nil {
					b.Fatal("no match")
				}
			}
		})
	}
}
