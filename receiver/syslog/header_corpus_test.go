package syslog_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

var longTag = strings.Repeat("T", 60)

// Every datagram that a real rsyncd sent has no host, the tag that its rsyncd.conf sets, and the pid of the process that logged.
func TestDirectDatagrams(t *testing.T) {
	// Only one scenario sets "syslog tag". Counted by hand in syslog_tag_facility.raw: 60 records, of which 6 for each of the
	// modules m2 to m7 (start, file list, 3 files, summary); all others are the daemon's own, before the module's tag applies.
	tagCounts := map[string]int{"mytag": 24, "mirror-m2": 6, "rsyncd[m3]: x": 6, "my tag": 6, "rsync/daemon": 6, longTag: 6, "rsyncd.alice": 6}
	record := regexp.MustCompile(`(?s)^<[0-9]+>[A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} (.*)$`)
	for _, path := range corpusFiles(t, "syslog/*.raw") {
		scenario := strings.TrimSuffix(filepath.Base(path), ".raw")
		for i, raw := range readDatagrams(t, path) {
			var m receiver.Message
			body := string(record.FindSubmatch(raw)[1])
			if d := (syslog.Auto{Local: true}).Scan(raw, &m); d != receiver.Kept {
				t.Fatalf("%s:%d: %v: %q", path, i+1, d, raw)
			}
			want := fmt.Sprintf("%s[%d]: %s\n", m.Tag, m.PID, m.Text) // what syslog(3) writes
			if body != want || m.Host != nil || m.PID <= 0 {
				t.Errorf("%s:%d: host %q, and tag, pid and text make %q; want no host and %q", path, i+1, m.Host, want, body)
			}
			if scenario == "syslog_tag_facility" {
				tagCounts[string(m.Tag)]--
			} else if string(m.Tag) != "rsyncd" {
				t.Errorf("%s:%d: tag %q, want rsyncd", path, i+1, m.Tag)
			}
			if m.Severity != 6 && m.Severity != 4 { // RSYNCD.md: rsync logs at info and warning only
				t.Errorf("%s:%d: severity %d", path, i+1, m.Severity)
			}
		}
	}
	for tag, left := range tagCounts {
		if left != 0 {
			t.Errorf("tag %q: %d records more expected", tag, left)
		}
	}
}

// A datagram that comes straight from rsyncd over UDP reads the same, unless its tag has several words.
func TestDirectDatagramsOverUDP(t *testing.T) {
	for _, path := range corpusFiles(t, "syslog/*.raw") {
		for i, raw := range readDatagrams(t, path) {
			var local, remote receiver.Message
			syslog.Auto{Local: true}.Scan(raw, &local)
			syslog.Auto{}.Scan(raw, &remote)
			if string(local.Tag) == "my tag" {
				local.Host, local.Tag = []byte("my"), []byte("tag") // the one thing that can't be told apart
			}
			if got, want := show(remote, receiver.Kept), show(local, receiver.Kept); got != want {
				t.Errorf("%s:%d: %s\nwant %s", path, i+1, got, want)
			}
		}
	}
}

// What a relay sends on has the text, pid, facility and severity of the record that rsyncd sent it, but for the damage named here.
func TestForwardedMessages(t *testing.T) {
	direct := forwardedScenarios(t)
	streams := []struct {
		file     string
		messages [][]byte
		damage   func(m *receiver.Message)
	}{
		{"rsyslog-traditional-udp", readDatagrams(t, corpusDir+"/forwarded/rsyslog-traditional-udp.raw"), rsyslogTemplates},
		{"rsyslog-forward-tcp-lf", readLines(t, corpusDir+"/forwarded/rsyslog-forward-tcp-lf.raw"), rsyslogTemplates},
		{"rsyslog-rfc5424-udp", readDatagrams(t, corpusDir+"/forwarded/rsyslog-rfc5424-udp.raw"), rsyslogRFC5424},
		{"rsyslog-rfc5424-tcp-octet", readOctetCounted(t, corpusDir+"/forwarded/rsyslog-rfc5424-tcp-octet.raw"), rsyslogRFC5424},
		{"syslogng-network-udp", readDatagrams(t, corpusDir+"/forwarded/syslogng-network-udp.raw"), func(*receiver.Message) {}},
		{"syslogng-syslog-tcp-octet", readOctetCounted(t, corpusDir+"/forwarded/syslogng-syslog-tcp-octet.raw"), appNameOnly},
	}
	if files := corpusFiles(t, "forwarded/*.raw"); len(files) != len(streams) {
		t.Errorf("the corpus has %d streams, this test %d", len(files), len(streams))
	}
	for _, s := range streams {
		t.Run(s.file, func(t *testing.T) {
			if len(s.messages) != 1087 { // the sum over order.json, added up outside this program
				t.Fatalf("%d messages, want 1087", len(s.messages))
			}
			for i, raw := range s.messages {
				var want receiver.Message
				if d := (syslog.Auto{Local: true}).Scan(direct[i], &want); d != receiver.Kept {
					t.Fatalf("direct record %d: %v", i, d)
				}
				want.Host = []byte("vm")
				s.damage(&want)
				if g, w := scanned(syslog.Auto{}, raw), show(want, receiver.Kept); g != w {
					t.Errorf("message %d %q:\n got %s\nwant %s", i, raw, g, w)
				}
			}
		})
	}
}

// rsyslogTemplates does what rsyslog's two RFC 3164 templates do: "[pid]:" goes with what is behind the tag's 32nd byte.
func rsyslogTemplates(m *receiver.Message) {
	rsyslogEscapes(m)
	if string(m.Tag) == longTag {
		m.Tag, m.PID = m.Tag[:32], 0
	}
}

// rsyslogRFC5424 does what RSYSLOG_SyslogProtocol23Format does; its %APP-NAME% ends at a slash too.
func rsyslogRFC5424(m *receiver.Message) {
	rsyslogEscapes(m)
	appNameOnly(m)
	m.Tag, _, _ = bytes.Cut(m.Tag, []byte("/"))
}

// rsyslogEscapes does what rsyslog does to control characters, DEL excepted, in all templates.
func rsyslogEscapes(m *receiver.Message) {
	m.Text = regexp.MustCompile(`[\x00-\x1f]`).ReplaceAllFunc(m.Text, func(c []byte) []byte { return fmt.Appendf(nil, "#%03o", c[0]) })
}

// appNameOnly does what RFC 5424 does to a tag with a space or a bracket: the rest of it is not in APP-NAME.
func appNameOnly(m *receiver.Message) {
	if i := bytes.IndexAny(m.Tag, " ["); i >= 0 {
		m.Tag = m.Tag[:i]
	}
}

// scanned returns what a dialect makes of a message, as show writes it.
func scanned(d receiver.Dialect, raw []byte) string {
	var m receiver.Message
	discard := d.Scan(raw, &m)
	return show(m, discard)
}

// show writes a result out, so that two of them can be compared and read.
func show(m receiver.Message, d receiver.Discard) string {
	if d != receiver.Kept {
		return d.String()
	}
	host := "no host"
	if m.Host != nil {
		host = fmt.Sprintf("host %q", m.Host)
	}
	tag := "no tag"
	if m.Tag != nil {
		tag = fmt.Sprintf("tag %q", m.Tag)
	}
	shown := fmt.Sprintf("%s %s pid %d pri %d.%d text %q", host, tag, m.PID, m.Facility, m.Severity, m.Text)
	if m.Container != nil {
		shown += fmt.Sprintf(" container %q", m.Container)
	}
	return shown
}
