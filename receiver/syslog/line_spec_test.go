package syslog_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// What a line of a log file is, in regular expressions, and by package json. The hand-written scanner is held against
// them.
var (
	specOwn     = regexp.MustCompile(`(?s)\A([0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}) \[([0-9]+)\](?: (.*)|)\z`)
	specOwnHead = `[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \[`
	specTZoned  = strings.Replace(specZoned, "[T ]", "T", 1)
	specColour  = `(?:\x1b\[[0-9;]*m)?`
	specCompose = regexp.MustCompile(`(?s)\A` + specColour + `([A-Za-z0-9][A-Za-z0-9_.-]*) +\|` + specColour + ` ` + specColour + `(?:(` + specTZoned + `)(?: |\z))?(.*)\z`)
	specDocker  = regexp.MustCompile(`(?s)\A(` + specTZoned + `) (?:std(?:out|err) [FP](?::[^ ]*)?(?: |\z)(.*)|(` + specOwnHead + `.*))\z`)
	specJournal = regexp.MustCompile(`\A(?:([0-9]{10}\.[0-9]{6})|\[ *[0-9]+\.[0-9]+[0-9 .<>*]*\]) `)
)

// specLine is Lines.Scan as they define it, and the stamp of the message.
func specLine(raw []byte) (shown string, stamp []byte) {
	if len(raw) > receiver.MaxMessage {
		return receiver.Oversize.String(), nil
	}
	if specEmpty.Match(raw) {
		return receiver.Empty.String(), nil
	}
	line := specEnds.FindSubmatch(raw)[1]
	if regexp.MustCompile(`\A` + specOwnHead).Match(line) {
		return specScanOwn(line, nil, nil)
	}
	if line[0] == '{' {
		return specScanJSON(line)
	}
	if d := specDocker.FindSubmatch(line); d != nil {
		return specScanOwn(append(d[2], d[3]...), d[1], nil)
	}
	if c := specCompose.FindSubmatch(line); c != nil && !specStamp.Match(line) {
		return specScanOwn(c[3], c[2], c[1])
	}
	b, m, reason := specStart(raw)
	switch {
	case reason != receiver.Kept:
		return reason.String(), nil
	case len(b) > 1 && string(b[:2]) == "1 ":
		return specScan5424(b, m), spec{}.stamp(raw)
	case specStamp.Match(b):
		return spec{}.scanStamped(b, m), spec{}.stamp(raw)
	}
	if j := specJournal.FindSubmatch(b); j != nil {
		return specScanHost(b[len(j[0]):], m, false), j[1]
	}
	return receiver.NoHeader.String(), nil
}

func specScanOwn(line, stamp, container []byte) (string, []byte) {
	own := specOwn.FindSubmatch(line)
	if own == nil {
		return receiver.NoHeader.String(), nil
	}
	if stamp == nil {
		stamp = own[1]
	}
	return specShow(receiver.Message{Facility: -1, Severity: -1, PID: specNumber(own[2]), Text: own[3], Container: container}), stamp
}

// specScanJSON is of an object that is all valid UTF-8 and whose names hold no escapes; of others it knows nothing.
func specScanJSON(line []byte) (string, []byte) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(line, &fields) != nil || !utf8.Valid(line) {
		return "", nil
	}
	for name := range fields {
		if !bytes.Contains(line, []byte(`"`+name+`"`)) {
			return "", nil
		}
	}
	text := func(name string) (b []byte, ok bool) {
		var s string
		if json.Unmarshal(fields[name], &s) == nil && len(fields[name]) > 0 && fields[name][0] == '"' {
			return []byte(s), true
		}
		var numbers []uint8
		var small []int
		if json.Unmarshal(fields[name], &small) != nil || len(fields[name]) == 0 || fields[name][0] != '[' {
			return nil, false
		}
		for _, n := range small {
			if n < 0 || n > 255 {
				return nil, false
			}
			numbers = append(numbers, uint8(n))
		}
		return numbers, true
	}
	for _, part := range []string{"CONTAINER_PARTIAL_ID", "CONTAINER_PARTIAL_MESSAGE"} {
		if _, ok := fields[part]; ok {
			return receiver.NoHeader.String(), nil
		}
	}
	at, isJournal := text("__REALTIME_TIMESTAMP")
	_, hasJournal := fields["__REALTIME_TIMESTAMP"]
	if _, ok := fields["log"]; ok && !hasJournal {
		log, _ := text("log")
		stamp, _ := text("time")
		if specEmpty.Match(log) {
			return receiver.Empty.String(), nil
		}
		shown, own := specScanOwn(specEnds.FindSubmatch(log)[1], nil, nil)
		if v := specValue(stamp); v != nil {
			return shown, v
		}
		return shown, own
	}
	if _, ok := fields["MESSAGE"]; !ok || !hasJournal {
		return receiver.NoHeader.String(), nil
	}
	m := receiver.Message{Facility: -1, Severity: -1, Tag: []byte{}}
	if isJournal {
		m.Stamp = specValue(at)
	}
	if tag, ok := text("SYSLOG_IDENTIFIER"); ok {
		m.Tag = tag
	}
	host, _ := text("_HOSTNAME")
	m.Host = specValue(host)
	pid := "SYSLOG_PID"
	if _, ok := fields["_PID"]; ok {
		pid = "_PID"
	}
	if digits, _ := text(pid); regexp.MustCompile(`\A[0-9]+\z`).Match(digits) {
		m.PID = specNumber(digits)
	}
	if p, _ := text("PRIORITY"); regexp.MustCompile(`\A[0-7]\z`).Match(p) {
		m.Severity, m.Facility = int8(specNumber(p)), 1
		if f, _ := text("SYSLOG_FACILITY"); regexp.MustCompile(`\A([0-9]|[01][0-9]|2[0-3])\z`).Match(f) {
			m.Facility = int8(specNumber(f))
		}
	}
	m.Text, _ = text("MESSAGE")
	if lf := []byte(`\n"`); bytes.HasSuffix(fields["MESSAGE"], lf) && bytes.Count(fields["MESSAGE"], []byte{'\\'}) == 1 {
		m.Text = m.Text[:len(m.Text)-1]
	}
	return specShow(m), m.Stamp
}

// lineForms has a line of every form, with what it says.
var lineForms = []struct{ name, line, want, stamp string }{
	{"rsync's own", "2026/11/23 18:40:52 [505] hi", `no host no tag pid 505 pri -1.-1 text "hi"`, "2026/11/23 18:40:52"},
	{"docker logs -t", "2026-11-23T17:40:52.123456789Z 2026/11/23 18:40:52 [505] hi",
		`no host no tag pid 505 pri -1.-1 text "hi"`, "2026-11-23T17:40:52.123456789Z"},
	{"CRI", "2026-11-23T18:40:52.123456789+01:00 stdout F 2026/11/23 18:40:52 [505] hi",
		`no host no tag pid 505 pri -1.-1 text "hi"`, "2026-11-23T18:40:52.123456789+01:00"},
	{"docker compose logs", "rsyncd-1  | 2026/11/23 18:40:52 [505] hi",
		`no host no tag pid 505 pri -1.-1 text "hi" container "rsyncd-1"`, "2026/11/23 18:40:52"},
	{"docker compose logs -t, in colour", "\x1b[36mrsyncd-1    | \x1b[0m2026-11-23T17:40:52.1Z 2026/11/23 18:40:52 [505] hi",
		`no host no tag pid 505 pri -1.-1 text "hi" container "rsyncd-1"`, "2026-11-23T17:40:52.1Z"},
	{"docker-compose logs, in colour", "\x1b[33mrsyncd_1    |\x1b[0m 2026/11/23 18:40:52 [505] hi",
		`no host no tag pid 505 pri -1.-1 text "hi" container "rsyncd_1"`, "2026/11/23 18:40:52"},
	{"docker's json-file", `{"log":"2026/11/23 18:40:52 [505] say \"hi\" \u0026 \\#012\n","stream":"stdout","time":"2026-11-23T17:40:52.1Z"}`,
		`no host no tag pid 505 pri -1.-1 text "say \"hi\" & \\#012"`, "2026-11-23T17:40:52.1Z"},
	{"docker's json-file, with attributes", `{"log":"2026/11/23 18:40:52 [505] hi\n","stream":"stdout","attrs":{"a":["}",{}]},"time":"2026-11-23T17:40:52.1Z"}`,
		`no host no tag pid 505 pri -1.-1 text "hi"`, "2026-11-23T17:40:52.1Z"},
	{"journalctl -o json", `{"MESSAGE":"hi","SYSLOG_RAW":"<30>Nov 23 18:40:52 rsyncd[7]: connect from","_PID":"505","SYSLOG_PID":"7","_HOSTNAME":"nas",` +
		`"SYSLOG_IDENTIFIER":"rsyncd","PRIORITY":"4","SYSLOG_FACILITY":"3","__REALTIME_TIMESTAMP":"1795459252123456"}`,
		`host "nas" tag "rsyncd" pid 505 pri 3.4 text "hi"`, "1795459252123456"},
	{"journalctl -o json, bytes", `{ "MESSAGE" : [104, 105, 255], "SYSLOG_PID" : "505", "SYSLOG_IDENTIFIER" : "rsyncd", "__REALTIME_TIMESTAMP" : "1795459252123456" }`,
		`no host tag "rsyncd" pid 505 pri -1.-1 text "hi\xff"`, "1795459252123456"},
	{"journalctl -o short-iso", "2026-11-23T18:40:52+0100 nas rsyncd[505]: hi", `host "nas" tag "rsyncd" pid 505 pri -1.-1 text "hi"`, "2026-11-23T18:40:52+0100"},
	{"journalctl -o short-full", "Mon 2026-11-23 18:40:52 CET nas rsyncd[505]: hi", `host "nas" tag "rsyncd" pid 505 pri -1.-1 text "hi"`, "Mon 2026-11-23 18:40:52 CET"},
	{"journalctl -o short-unix", "1795459252.123456 nas rsyncd[505]: hi", `host "nas" tag "rsyncd" pid 505 pri -1.-1 text "hi"`, "1795459252.123456"},
	{"journalctl -o short-monotonic", "[ 4322.398721] nas rsyncd[505]: hi", `host "nas" tag "rsyncd" pid 505 pri -1.-1 text "hi"`, ""},
	{"journalctl -o short-delta", "[ 4322.398721 <    1.398721 >] nas rsyncd[505]: hi", `host "nas" tag "rsyncd" pid 505 pri -1.-1 text "hi"`, ""},
	{"a year last", "Nov 23 18:40:52 2026 nas rsyncd[505]: hi", `host "nas" tag "rsyncd" pid 505 pri -1.-1 text "hi"`, "Nov 23 18:40:52 2026"},
	{"FreeBSD's syslogd -vv", "Nov 23 18:40:52 <daemon.info> nas rsyncd[505]: hi", `host "nas" tag "rsyncd" pid 505 pri 3.6 text "hi"`, "Nov 23 18:40:52"},
	{"busybox", "Nov 23 18:40:52 nas daemon.warn rsyncd[505]: hi", `host "nas" tag "rsyncd" pid 505 pri 3.4 text "hi"`, "Nov 23 18:40:52"},
	{"OpenWrt's logread -t", "Mon Nov 23 18:40:52 2026 [1795459252.520] daemon.info rsyncd[505]: hi", `no host tag "rsyncd" pid 505 pri 3.6 text "hi"`, "Mon Nov 23 18:40:52 2026"},
	{"AIX", "Nov 23 18:40:52 relay daemon:info Message forwarded from nas: rsyncd[505]: hi", `host "relay" tag "Message forwarded from nas: rsyncd" pid 505 pri 3.6 text "hi"`, "Nov 23 18:40:52"},
	{"Solaris", "Nov 23 18:40:52 nas rsyncd[505]: [ID 702911 daemon.info] hi", `host "nas" tag "rsyncd" pid 505 pri 3.6 text "hi"`, "Nov 23 18:40:52"},
}

func TestLineForms(t *testing.T) {
	for _, f := range lineForms {
		var m receiver.Message
		d := syslog.Lines{}.Scan([]byte(f.line), &m)
		if got := show(m, d); got != f.want || string(m.Stamp) != f.stamp {
			t.Errorf("%s: %q\n got %s, stamp %q\nwant %s, stamp %q", f.name, f.line, got, m.Stamp, f.want, f.stamp)
		}
	}
}

// A form within a line is text, whatever it looks like: a client chooses names of files.
func TestLineFormsWithinALine(t *testing.T) {
	const own, wrapped = "2026/11/23 18:40:52 [505] ", "Nov 23 18:40:52 nas rsyncd[505]: "
	for _, f := range lineForms {
		for _, start := range []string{own, wrapped, "x", " ", "> "} {
			var m receiver.Message
			text := "send localhost [127.0.0.1] data () " + f.line
			switch d := (syslog.Lines{}).Scan([]byte(start+text), &m); {
			case start == own || start == wrapped:
				if d != receiver.Kept || m.PID != 505 || string(m.Text) != text {
					t.Errorf("%s behind %q: %s", f.name, start, show(m, d))
				}
			case d == receiver.Kept:
				t.Errorf("%s behind %q: %s", f.name, start, show(m, d))
			}
		}
	}
}

func FuzzLine(f *testing.F) {
	seeds(f)
	for _, form := range lineForms {
		f.Add([]byte(form.line))
		f.Add([]byte("2026/11/23 18:40:52 [505] send localhost [127.0.0.1] data () " + form.line))
	}
	for _, s := range []string{`{"log":"2026/11/23 18:40:52 [5] \ud83d\ude00\ud83d x\n"}`, `{"log":1}`, "{}", `{"a":{"log":"x"}}`, `{"MESSAGE":[1,2]`, `{"MESSAGE":"x","__REALTIME_TIMESTAMP":"1","CONTAINER_PARTIAL_ID":"2"}`,
		"a | 2026/11/23 18:40:52 [505] x", "-a | x", "a  | 2026-11-23T17:40:52Z x", "2026-11-23T17:40:52Z stdout P:a x", "[ 1.2 *>] a b", "\x1b[3x"} {
		f.Add([]byte(s))
	}
	pattern, err := syslog.ParseLineFormat(`(?P<date>\S+) (?P<timestamp>\S+) \[(?P<pid>\d+)\](?: (?P<description>.*))?`)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m receiver.Message
		if want, stamp := specLine(raw); want != "" {
			if got := scanned(syslog.Lines{}, raw); got != want {
				t.Errorf("%q\n got %s\nwant %s", raw, got, want)
			}
			checkStamp(t, syslog.Lines{}, raw, stamp)
		} else if d := (syslog.Lines{}).Scan(raw, &m); d >= receiver.NumDiscards || len(m.Text) > len(raw) {
			t.Errorf("%q: %v, text %q", raw, d, m.Text)
		}
		if d := pattern.Scan(raw, &m); d == receiver.Kept && len(m.Text) == 0 || d >= receiver.NumDiscards {
			t.Errorf("%q: %v, text %q", raw, d, m.Text)
		}
	})
}
