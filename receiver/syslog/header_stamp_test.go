package syslog_test

import (
	"testing"
	"time"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// stampOf returns the stamp that a dialect finds, "none" if it is nil.
func stampOf(t *testing.T, d receiver.Dialect, raw string) string {
	t.Helper()
	m := receiver.Message{Stamp: []byte("of the message before")}
	if reason := d.Scan([]byte(raw), &m); reason != receiver.Kept {
		t.Fatalf("%q: %v", raw, reason)
	}
	if m.Stamp == nil {
		return "none"
	}
	return string(m.Stamp)
}

// Each dialect gives the stamp as it stands in the header.
func TestStampsInHeaders(t *testing.T) {
	old := []string{"rfc3164", "automatic"}
	for _, tt := range []struct {
		raw, want string
		also      []string // other dialects that read the message, by name
	}{
		{"<30>Nov 23 18:40:52 vm rsyncd[505]: hi", "Nov 23 18:40:52", old},
		{"<30>Nov  3 18:40:52 vm rsyncd[505]: hi\n", "Nov  3 18:40:52", old},
		{"Nov 23 18:40:52.123 vm rsyncd[505]: hi", "Nov 23 18:40:52.123", nil},
		{"<30>2026-11-23T18:40:52+01:00 vm rsyncd[505]: hi", "2026-11-23T18:40:52+01:00", old},
		{"<30>2026-11-23T18:40:52.123456+01:00 vm rsyncd[505]: hi", "2026-11-23T18:40:52.123456+01:00", nil},
		{"<30>1 2026-11-23T18:40:52.12Z vm rsyncd 505 - - hi", "2026-11-23T18:40:52.12Z", []string{"rfc5424", "rfc6587", "automatic"}},
		{"<30>1 - vm rsyncd 505 - - hi", "none", []string{"rfc5424", "rfc6587", "automatic"}},
		{"<30>1 - vm rsyncd 505 - - Nov 23 18:40:52 hi", "none", []string{"rfc5424"}},
		{"<30>rsyncd[505]: hi", "none", nil},
		{"<30>rsyncd[505]: Nov 23 18:40:52 hi", "none", nil},
	} {
		for _, local := range []bool{false, true} {
			for _, name := range append(tt.also, "auto") {
				if got := stampOf(t, dialectByName(t, name, local), tt.raw); got != tt.want {
					t.Errorf("%s, local %v: %q: %q, want %q", name, local, tt.raw, got, tt.want)
				}
			}
		}
	}
}

// A file's lines have theirs, too: rsync's own, those of syslog daemons, and what a LINE_FORMAT names.
func TestStampsInLines(t *testing.T) {
	const (
		python = `(?P<date>\d{4}/\d\d/\d\d) (?P<timestamp>\d\d:\d\d:\d\d) \[(?P<pid>\d+)\] (?P<description>.*)$`
		either = `(?:d=(?P<date>\S*))?(?P<between>[ T-]*)(?:t=(?P<timestamp>[^|]*))? *\| *(?P<description>.*)`
	)
	for _, tt := range []struct{ format, line, want string }{
		{"auto", "2026/11/23 18:40:52 [505] hi", "2026/11/23 18:40:52"},
		{"auto", "Nov 23 18:40:52 vm rsyncd[505]: hi", "Nov 23 18:40:52"},
		{"auto", "2026-11-23T18:40:52.5+01:00 vm rsyncd[505]: hi", "2026-11-23T18:40:52.5+01:00"},
		{"auto", "1 - vm rsyncd 505 - - hi", "none"},
		{python, "2026/11/23 18:40:52 [505] hi", "2026/11/23 18:40:52"},
		{`(?P<date>\S+)T(?P<timestamp>\S+) (?P<description>.*)`, "2026-11-23T18:40:52Z hi", "2026-11-23T18:40:52Z"},
		{`(?P<date>\w+ \d+) (?P<timestamp>\S+) (?P<description>.*)`, "Nov 23 18:40:52 hi", "Nov 23 18:40:52"},
		{`(?P<date>\S+)  (?P<timestamp>\S+) (?P<description>.*)`, "2026/11/23  18:40:52 hi", "none"},
		{`(?P<date>\S+)-(?P<timestamp>\S+) (?P<description>.*)`, "2026/11/23-18:40:52 hi", "none"},
		{`(?P<timestamp>\S+) (?P<date>\S+) (?P<description>.*)`, "18:40:52 2026/11/23 hi", "none"},
		{`(?P<timestamp>\S+ \S+) (?P<description>.*)`, "2026/11/23 18:40:52 hi", "2026/11/23 18:40:52"},
		{`\[(?P<date>[^]]*)\](?P<description>.*)`, "[ 2026/11/23 18:40:52 ]hi", "2026/11/23 18:40:52"},
		{`\[(?P<date>[^]]*)\](?P<description>.*)`, "[  ]hi", "none"},
		{either, "t=2026/11/23 18:40:52 | hi", "2026/11/23 18:40:52"},
		{either, "d=2026/11/23 | hi", "2026/11/23"},
		{either, "| hi", "none"},
		{`(?P<description>.*)`, "2026/11/23 18:40:52 hi", "none"},
	} {
		d, err := syslog.ParseLineFormat(tt.format)
		must(t, err)
		if got := stampOf(t, d, tt.line); got != tt.want {
			t.Errorf("%s: %q: %q, want %q", tt.format, tt.line, got, tt.want)
		}
	}
}

// All that real daemons and relays have sent, and that rsync has logged, has a stamp that is a time of the days on
// which it was recorded.
func TestStampsOfTheCorpus(t *testing.T) {
	check := func(path string, d receiver.Dialect, messages [][]byte) {
		s := syslog.Stamps{Local: time.UTC}
		stamps := 0
		for i, raw := range messages {
			var m receiver.Message
			if d.Scan(raw, &m) != receiver.Kept {
				continue
			}
			at, zoned, ok := s.Time(m.Stamp, utc(t, "2026-11-23T20:00:00Z"))
			if when := time.Unix(0, at).UTC(); !ok || when.Year() != 2026 {
				t.Errorf("%s:%d: stamp %q: %v %v", path, i+1, m.Stamp, when, ok)
			}
			if _, own := d.(syslog.Lines); own && zoned {
				t.Errorf("%s:%d: stamp %q has a zone", path, i+1, m.Stamp)
			}
			stamps++
		}
		if stamps == 0 {
			t.Errorf("%s: no stamp", path)
		}
	}
	for _, path := range corpusFiles(t, "syslog/*.raw") {
		check(path, syslog.Auto{Local: true}, readDatagrams(t, path))
	}
	for _, path := range corpusFiles(t, "forwarded/*udp.raw") {
		check(path, syslog.Auto{}, readDatagrams(t, path))
	}
	for _, path := range corpusFiles(t, "file/*.log") {
		check(path, syslog.Lines{}, readLines(t, path))
	}
}
