package syslog

import (
	"bytes"

	"rsyncd_exporter/receiver"
)

// Lines is the dialect of log file lines that LINE_FORMAT=auto names. It knows these forms, in one
// file mixed as well:
//
//	2026/11/23 18:40:52 [505] text            rsync's own log file; also behind what containers put before it
//	Nov 23 18:40:52 host rsyncd[505]: text    what syslog daemons write: Auto's headers, with a stamp
//	1795459252.123456 host rsyncd[505]: text  journalctl's short-unix, short-monotonic, short-delta
//	{"MESSAGE":"text", …}                     journalctl -o json
//	{"log":"2026/11/23 …","time":"…", …}      docker's json-file, which holds lines of rsync's own log
//
// Anything else is NoHeader, such as the rest of a record that a file name with a line feed has
// split (rsync before 3.5.0 doesn't escape it). Forms are looked for at the start of a line only: a
// client can write there only if nobody escapes line feeds.
type Lines struct{}

// Scan implements Dialect. The slices that it sets point into raw or into m. It is safe for
// concurrent use.
func (Lines) Scan(raw []byte, m *receiver.Message) receiver.Discard {
	line, d := trimMessage(raw)
	if d != receiver.Kept {
		return d
	}
	reset(m)
	if rsyncStampLength(line) > 0 {
		return scanOwn(line, m)
	}
	if line[0] == '{' {
		return scanJSON(line, m)
	}
	if n := stampLength(line); n > 0 {
		if body := cutContainerStamp(line, n, m); body != nil {
			return scanOwn(body, m)
		}
		return scanStamped(line, n, m, false)
	}
	if body := cutCompose(line, m); body != nil {
		return scanOwn(body, m)
	}
	rest, d := scanPriority(line, m)
	switch {
	case d != receiver.Kept:
		return d
	case len(rest) == 0:
		return receiver.NoText
	case isRFC5424(rest):
		return scanRFC5424(rest[2:], m)
	}
	if n := stampLength(rest); n > 0 {
		return scanStamped(rest, n, m, false)
	}
	if n, stamp := journalStamp(rest); n > 0 {
		m.Stamp = stamp
		return scanTag(scanHost(rest[n:], m), m, true)
	}
	return receiver.NoHeader
}

// scanOwn reads a line of rsync's own log file: log.c:logit. The stamp of a carrier goes before its
// own, which has no zone and moves with chroot (before rsync 3.4.2).
func scanOwn(line []byte, m *receiver.Message) receiver.Discard {
	open := rsyncStampLength(line)
	if open == 0 {
		return receiver.NoHeader
	}
	end := digitsEnd(line, open)
	if end == open || end == len(line) || line[end] != ']' || end+1 < len(line) && line[end+1] != ' ' {
		return receiver.NoHeader
	}
	if m.Stamp == nil {
		m.Stamp = line[:open-len(" [")]
	}
	m.PID, m.Text = parsePID(line[open:end]), cutSpace(line[end+1:])
	return keptIfText(m)
}

// cutContainerStamp returns what stands behind a stamp of n bytes, and behind the name of the
// stream, in containers' logs; nil if it is no such log.
//
//	2026-11-23T18:40:52.123456789Z              docker logs -t
//	2026-11-23T18:40:52.123456789Z stdout F     CRI, /var/log/pods
func cutContainerStamp(line []byte, n int, m *receiver.Message) []byte {
	if n <= isoStamp || line[10] != 'T' {
		return nil
	}
	body := line[n:]
	stream := criLength(body)
	if stream == 0 && rsyncStampLength(body) == 0 {
		return nil
	}
	m.Stamp = stampIn(line[:n])
	return body[stream:]
}

// cutCompose returns what stands behind docker compose's "name-1  | ", and behind the stamp that
// logs -t adds; nil for anything else.
func cutCompose(line []byte, m *receiver.Message) []byte {
	n := composeLength(line)
	if n == 0 {
		return nil
	}
	m.Container, _, _ = bytes.Cut(cutColour(line), []byte(" "))
	body := line[n:]
	if n := stampLength(body); n > isoStamp && body[10] == 'T' {
		m.Stamp, body = stampIn(body[:n]), body[n:]
	}
	return body
}

// criLength returns the length of "stdout F " at the start of b, or 0. F is a whole line or the
// last part of one, P another part. More tags may follow, each behind a colon.
func criLength(b []byte) int {
	const stream = len("stdout ")
	if len(b) < stream || string(b[:stream]) != "stdout " && string(b[:stream]) != "stderr " {
		return 0
	}
	end := stream + wordEnd(b[stream:])
	if tag := b[stream:end]; len(tag) == 0 || tag[0] != 'F' && tag[0] != 'P' || len(tag) > 1 && tag[1] != ':' {
		return 0
	}
	return min(end+1, len(b))
}

// composeLength returns the length of docker compose's "name-1  | " at the start of b, with or
// without colours, or 0.
func composeLength(b []byte) int {
	rest := cutColour(b)
	n := 0
	for n < len(rest) && isContainerName(rest[n], n == 0) {
		n++
	}
	spaces := n
	for spaces < len(rest) && rest[spaces] == ' ' {
		spaces++
	}
	if n == 0 || spaces == n || spaces == len(rest) || rest[spaces] != '|' {
		return 0
	}
	bar := cutColour(rest[spaces+1:]) // where version 1 ends its colour, and version 2 behind the space
	if len(bar) == 0 || bar[0] != ' ' {
		return 0
	}
	return len(b) - len(cutColour(bar[1:]))
}

// isContainerName says whether c may stand in the name of a container: [a-zA-Z0-9][a-zA-Z0-9_.-]*.
func isContainerName(c byte, first bool) bool {
	return c-'a' < 26 || c-'A' < 26 || isDigit(c) || !first && (c == '_' || c == '.' || c == '-')
}

// cutColour takes one colour sequence such as ESC[36m off the start of b.
func cutColour(b []byte) []byte {
	if len(b) < 2 || b[0] != 0x1b || b[1] != '[' {
		return b
	}
	n := 2
	for n < len(b) && (isDigit(b[n]) || b[n] == ';') {
		n++
	}
	if n == len(b) || b[n] != 'm' {
		return b
	}
	return b[n+1:]
}

// Unwrap reads the text of a message as a line of rsync's own log file, as docker's syslog driver,
// rsyslog's imfile and logger send it: pid and stamp are the line's then, the tag names the
// container, and facility and severity, which are the sender's, are dropped. It returns false and
// changes nothing if the text is no such line.
func Unwrap(m *receiver.Message) bool {
	inner := receiver.Message{Scratch: m.Scratch}
	if scanOwn(m.Text, &inner) != receiver.Kept {
		return false
	}
	m.Container, m.PID, m.Stamp, m.Text = m.Tag, inner.PID, inner.Stamp, inner.Text
	m.Facility, m.Severity = -1, -1
	return true
}
