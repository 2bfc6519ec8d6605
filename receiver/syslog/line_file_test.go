package syslog_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// Every line of rsync's own log files has the pid and text that stand there; the rest is what file names with a line feed left, which
// only rsync before 3.5.0 does not escape.
func TestOwnLogFiles(t *testing.T) {
	// Counted outside this program: grep -c -v -E '^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9:]{8} \[[0-9]+\] ' FILE
	stray := map[string]int{"version_2_6_9.log": 20, "version_3_1_3.log": 29}
	for _, path := range corpusFiles(t, "file/*.log") {
		name, strayLines := filepath.Base(path), 0
		for i, line := range readLines(t, path) {
			var m receiver.Message
			switch d := (syslog.Lines{}).Scan(line, &m); d {
			case receiver.Kept:
				if m.Host != nil || m.Tag != nil || m.Facility != -1 || m.Severity != -1 || m.PID <= 0 {
					t.Errorf("%s:%d: %s", name, i+1, show(m, d))
				}
				_, text, _ := bytes.Cut(line, []byte("] ")) // nothing before the pid holds a bracket
				if !bytes.Equal(text, m.Text) {
					t.Errorf("%s:%d: text %q, want %q", name, i+1, m.Text, text)
				}
			case receiver.NoHeader, receiver.Empty:
				strayLines++
			default:
				t.Errorf("%s:%d: %v: %q", name, i+1, d, line)
			}
		}
		if strayLines != stray[name] {
			t.Errorf("%s: %d lines without a header, want %d", name, strayLines, stray[name])
		}
	}
}

// A file that a syslog daemon wrote reads as what a relay sends, with or without the priority.
func TestSyslogFiles(t *testing.T) {
	for _, stream := range [][][]byte{
		readDatagrams(t, corpusDir+"/forwarded/rsyslog-traditional-udp.raw"), readLines(t, corpusDir+"/forwarded/rsyslog-forward-tcp-lf.raw"),
	} {
		for i, raw := range stream {
			var want receiver.Message
			if d := (syslog.Auto{}).Scan(raw, &want); d != receiver.Kept {
				t.Fatalf("message %d: %v", i, d)
			}
			if got := scanned(syslog.Lines{}, append(raw[:len(raw):len(raw)], '\n')); got != show(want, receiver.Kept) {
				t.Errorf("%q: %s, want %s", raw, got, show(want, receiver.Kept))
			}
			want.Facility, want.Severity = -1, -1
			_, bare, _ := bytes.Cut(raw, []byte(">"))
			if got := scanned(syslog.Lines{}, bare); got != show(want, receiver.Kept) {
				t.Errorf("%q: %s, want %s", bare, got, show(want, receiver.Kept))
			}
		}
	}
}

func TestLines(t *testing.T) {
	const own = `no host no tag pid 505 pri -1.-1 text "hi"`
	for raw, want := range map[string]string{
		"2026/11/23 18:40:52 [505] hi":                              own,
		"2026/11/23 18:40:52 [505] hi\r\n":                          own,
		"2026/11/23 18:40:52 [505]  hi":                             `no host no tag pid 505 pri -1.-1 text " hi"`,
		"2026/11/23 18:40:52 [505] <f+++ x[9]: hi":                  `no host no tag pid 505 pri -1.-1 text "<f+++ x[9]: hi"`,
		"2026/11/23 18:40:52 [0] hi":                                `no host no tag pid 0 pri -1.-1 text "hi"`,
		"2026/11/23 18:40:52 [99999999999] hi":                      `no host no tag pid 0 pri -1.-1 text "hi"`,
		"2026/11/23 18:40:52 [505] ":                                "no_text",
		"2026/11/23 18:40:52 [505]\n":                               "no_text",
		"2026/11/23 18:40:52 [505]hi":                               "no_header",
		"2026/11/23 18:40:52 [] hi":                                 "no_header",
		"2026/11/23 18:40:52 [50":                                   "no_header",
		"2026/11/23 18:40:52 hi":                                    "no_header",
		"2026/11/23":                                                "no_header",
		"rsync error: fake (code 23) at main.c(1) [sender=3.5.0] 5": "no_header",
		"rsyncd[1]: hi":                                             "no_header",
		"<30>rsyncd[1]: hi":                                         "no_header",
		"<f+++++++++ send localhost":                                "bad_priority",
		"":                                                          "empty",
		strings.Repeat("\x00", 4096):                                "empty",
		"2026/11/23 18:40:52 [505] " + strings.Repeat("x", receiver.MaxMessage): "oversize",
		"Nov 23 12:00:00 host rsyncd[1]: hi":                                    `host "host" tag "rsyncd" pid 1 pri -1.-1 text "hi"`,
		"<28>2026-11-23T12:00:00.5+01:00 host rsyncd[1]: hi":                    `host "host" tag "rsyncd" pid 1 pri 3.4 text "hi"`,
		"2026-11-23T12:00:00.5+01:00 host kernel: [    0.1] rsyncd[1]: hi":      `host "host" tag "kernel" pid 0 pri -1.-1 text "[    0.1] rsyncd[1]: hi"`,
	} {
		if got := scanned(syslog.Lines{}, []byte(raw)); got != want {
			t.Errorf("%.99q: %s, want %s", raw, got, want)
		}
	}
}
