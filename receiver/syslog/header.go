// Package syslog reads the headers of syslog messages and the lines of log files. Its dialects
// implement receiver.Dialect; TakeLines cuts what was read of a file into messages.
package syslog

import (
	"bytes"
	"math"

	"rsyncd_exporter/receiver"
)

// Bounds on how far a header is searched for "[pid]:".
const (
	tagWindow    = 80 // bytes of tag and pid together: "syslog tag" may hold spaces, so no space ends the search
	tagCutLength = 32 // rsyslog's forward templates cut the tag there, "[pid]:" included: %syslogtag:1:32%
)

// Auto is the dialect that SYSLOG_FORMAT=auto names. It knows these headers, with or without
// "<priority>":
//
//	Nov 23 18:40:52 rsyncd[505]: text                        as syslog(3) writes it, no host
//	Nov 23 18:40:52 host rsyncd[505]: text                   RFC 3164
//	2026-11-23T18:40:52.123456+00:00 host rsyncd[505]: text  rsyslog's ForwardFormat: RFC 3339's stamp
//	1 2026-11-23T18:40:52Z host rsyncd 505 - - text          RFC 5424
//
// and, behind a priority only, a bare "rsyncd[505]: text" or "rsyncd: text". Stamps are known by
// their shape; Stamps reads them as times. One LF, CRLF, NUL, or LF and NUL ends the message; any
// other LF is text.
//
// The tag runs up to the first "[digits]:" in the first word or the first 80 bytes, since rsyncd's
// "syslog tag" may hold spaces and brackets. A pid must not come out of the text, which clients
// write: so a first word that ends in a plain ':' is the tag, without a pid, and behind a tag that
// rsyslog has cut at 32 bytes nothing is searched.
//
// Two things can't be told apart. Without Local, a tag of several words in a datagram that has no
// host loses its first word to Host. In RFC 5424 such a tag is spread over APP-NAME, PROCID and
// MSG, and Tag holds the APP-NAME alone. The pid is right in both.
type Auto struct {
	// Local says that messages come from syslog(3) on this machine: the tag follows the stamp, and
	// never a host name.
	Local bool
}

// Scan implements Dialect. The slices that it sets point into raw. It is safe for concurrent use.
func (a Auto) Scan(raw []byte, m *receiver.Message) receiver.Discard {
	rest, d := trimMessage(raw)
	if d != receiver.Kept {
		return d
	}
	reset(m)
	if rest, d = scanPriority(rest, m); d != receiver.Kept {
		return d
	}
	switch {
	case len(rest) == 0:
		return receiver.NoText
	case isRFC5424(rest):
		return scanRFC5424(rest[2:], m)
	}
	if n := stampLength(rest); n > 0 {
		return scanStamped(rest, n, m, a.Local)
	}
	if m.Severity < 0 {
		return receiver.NoHeader
	}
	return scanTag(cutSpace(rest), m, false)
}

// isRFC5424 looks for the VERSION of RFC 5424 section 6.2.2.
func isRFC5424(b []byte) bool { return len(b) > 1 && b[0] == '1' && b[1] == ' ' }

// scanStamped reads a header that begins with a stamp of n bytes, the space behind it included.
func scanStamped(b []byte, n int, m *receiver.Message, local bool) receiver.Discard {
	m.Stamp = stampIn(b[:n])
	if b = b[n:]; local || len(b) == 0 {
		return scanTag(b, m, true)
	}
	if c := b[0]; c == '<' || c == '[' {
		b = cutUptime(scanLevel(b, m))
	}
	return scanTag(scanHost(b, m), m, true)
}

// trimMessage takes off the line end, and NULs before the message, or says why there is no message.
// It is the one place that knows line ends. RFC 6587 section 3.4.2 lists them; old C libraries send
// the string's NUL; where the LF is gone already, the CR of CRLF is left. NULs come before a line
// of a file that was truncated under its writer.
func trimMessage(raw []byte) ([]byte, receiver.Discard) {
	if len(raw) > receiver.MaxMessage {
		return nil, receiver.Oversize
	}
	if len(raw) == 0 || raw[0] <= '\r' && len(bytes.Trim(raw, "\r\n\x00")) == 0 {
		return nil, receiver.Empty
	}
	b := raw
	if b[0] == 0 {
		b = b[NULsEnd(b):]
	}
	n := len(b)
	if b[n-1] == 0 {
		n--
	}
	if b[n-1] == '\n' {
		n--
	}
	if b[n-1] == '\r' {
		n--
	}
	return b[:n], receiver.Kept
}

// scanPriority reads "<0>" to "<191>" without leading zeros (RFC 5424 section 6.2.1) into Facility
// and Severity and returns what follows.
func scanPriority(b []byte, m *receiver.Message) ([]byte, receiver.Discard) {
	if b[0] != '<' {
		return b, receiver.Kept
	}
	v, i := 0, 1
	for ; i < len(b) && i < 4 && isDigit(b[i]); i++ {
		v = v*10 + int(b[i]-'0')
	}
	if i == 1 || i == len(b) || b[i] != '>' || v > 191 || i > 2 && b[1] == '0' {
		return nil, receiver.BadPriority
	}
	m.Facility, m.Severity = int8(v>>3), int8(v&7)
	return b[i+1:], receiver.Kept
}

// cutLevel returns what follows "daemon.info " at the start of b, whose first word ends at end.
// busybox, OpenWrt and AIX write it before the tag. It is nil for any other word.
func cutLevel(b []byte, end int, m *receiver.Message) []byte {
	if end+1 >= len(b) || !readLevel(b[:end], m) {
		return nil
	}
	return b[end+1:]
}

// scanLevel cuts off "<3.6> " or "<daemon.info> ", which FreeBSD's syslogd -v and -vv write behind
// the stamp.
func scanLevel(b []byte, m *receiver.Message) []byte {
	end := wordEnd(b)
	if b[0] != '<' || end == len(b) || b[end-1] != '>' {
		return b
	}
	if word := b[1 : end-1]; !readLevelNumbers(word, m) && !readLevel(word, m) {
		return b
	}
	return b[end+1:]
}

// cutUptime cuts off "[1795459252.520] ", which OpenWrt's logread and logd -t write behind the
// stamp.
func cutUptime(b []byte) []byte {
	if len(b) == 0 || b[0] != '[' {
		return b
	}
	seconds := digitsEnd(b, 1)
	end := fractionEnd(b, seconds)
	if seconds == 1 || end <= seconds || b[seconds] != '.' || end+1 >= len(b) || b[end] != ']' || b[end+1] != ' ' {
		return b
	}
	return b[end+2:]
}

// scanHost reads the HOSTNAME of RFC 3164 section 4.1.2 and returns what follows. A word that holds
// '[' or ends in ':' is the tag: the sender is rsyncd itself, not a relay. An IPv6 address is a
// host.
//
// A relay of AIX writes "Message forwarded from HOST: " in its place, and one of FreeBSD "Forwarded
// from HOST: ". OpenWrt's logread, whose stamp is ctime(3)'s, writes no host.
func scanHost(b []byte, m *receiver.Message) []byte {
	if len(b) > 0 && (b[0] == 'M' || b[0] == 'F') {
		if rest := scanForwarded(b, m); rest != nil {
			return rest
		}
	}
	end := wordEnd(b)
	word := b[:end]
	isTag := end > 0 && (word[end-1] == ':' || bytes.IndexByte(word, '[') >= 0)
	if isTag || isCtime(m.Stamp) && readLevel(word, &receiver.Message{}) {
		return b
	}
	m.Host = valueOrNil(word)
	return cutSpace(b[end:])
}

// isCtime says whether a stamp begins with a weekday and a month.
func isCtime(stamp []byte) bool { return len(stamp) > 4 && stamp[4]-'A' < 26 }

// scanForwarded reads "Message forwarded from HOST: ". It returns what follows, nil for anything
// else.
func scanForwarded(b []byte, m *receiver.Message) []byte {
	host, ok := bytes.CutPrefix(b, []byte("Message forwarded from "))
	if !ok {
		host, ok = bytes.CutPrefix(b, []byte("Forwarded from "))
	}
	end := wordEnd(host)
	if !ok || end < 2 || end == len(host) || host[end-1] != ':' {
		return nil
	}
	m.Host = valueOrNil(host[:end-1])
	return host[end+1:]
}

// scanTag reads "TAG[PID]: text" up to the end of the message. Where nothing marks the tag's end,
// the first word behind a stamp is the tag; without a stamp it is NoHeader.
func scanTag(b []byte, m *receiver.Message, stamped bool) receiver.Discard {
	if len(b) == 0 {
		return receiver.NoText
	}
	end := wordEnd(b)
	open, after := findPID(b[:end])
	if open < 0 && stamped {
		if rest := cutLevel(b, end, m); rest != nil {
			b, end = rest, wordEnd(rest)
			open, after = findPID(b[:end])
		}
	}
	plain := end > 0 && b[end-1] == ':' && bytes.IndexByte(b[:end], '[') < 0 // "TAG:", RFC 3164 section 5.3
	if open < 0 && !plain {
		if stamped && end == tagCutLength && b[end-1] != ':' {
			return scanCutTag(b[:end], cutSpace(b[end:]), m)
		}
		open, after = findPID(b[:min(len(b), max(end, tagWindow))])
	}
	switch {
	case open >= 0:
		m.Tag, m.PID, m.Text = b[:open], parsePID(b[open+1:after-2]), b[after:]
	case end > 0 && b[end-1] == ':':
		m.Tag, m.Text = b[:end-1], b[end:]
	case !stamped:
		return receiver.NoHeader
	default:
		m.Tag, m.Text = b[:end], b[end:]
	}
	if m.Text = cutSpace(m.Text); len(m.Text) > 0 && m.Text[0] == '[' {
		m.Text = cutMessageID(m.Text, m)
	}
	return keptIfText(m)
}

// cutMessageID cuts off "[ID 702911 daemon.info] ", which Solaris' syslog(3) puts before the text
// (msgid(1M)).
func cutMessageID(text []byte, m *receiver.Message) []byte {
	const start = "[ID "
	if len(text) < len(start) || string(text[:len(start)]) != start {
		return text
	}
	end := digitsEnd(text, len(start))
	if end == len(start) || end == len(text) || text[end] != ' ' {
		return text
	}
	level := text[end+1:]
	end = wordEnd(level)
	if end == 0 || end == len(level) || level[end-1] != ']' {
		return text
	}
	if !readLevel(level[:end-1], m) {
		return text
	}
	return level[end+1:]
}

// scanCutTag splits a tag that rsyslog has cut at 32 bytes. If the cut went through the colon the
// pid is still whole. What is left of a cut pid is neither pid nor tag.
func scanCutTag(tag, text []byte, m *receiver.Message) receiver.Discard {
	m.Tag, m.Text = tag, text
	if open := bytes.LastIndexByte(tag, '['); open >= 0 {
		switch end := digitsEnd(tag, open+1); {
		case end == len(tag):
			m.Tag = tag[:open]
		case end == len(tag)-1 && end > open+1 && tag[end] == ']':
			m.Tag, m.PID = tag[:open], parsePID(tag[open+1:end])
		}
	}
	return keptIfText(m)
}

// scanRFC5424 reads what follows "VERSION SP" of RFC 5424 section 6:
// TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP STRUCTURED-DATA [SP MSG].
func scanRFC5424(b []byte, m *receiver.Message) receiver.Discard {
	n := 0
	switch {
	case len(b) > 1 && b[0] == '-' && b[1] == ' ': // NILVALUE
		n = 2
	case len(b) > isoStamp && b[10] == 'T': // section 6.2.3
		n = stampLength(b)
	}
	if n == 0 {
		return receiver.NoHeader
	}
	m.Stamp = valueOrNil(stampIn(b[:n]))
	b = b[n:]
	var fields [4][]byte
	for i := range fields {
		end := wordEnd(b)
		if end == 0 || end == len(b) {
			return receiver.NoHeader
		}
		fields[i], b = b[:end], b[end+1:]
	}
	end := structuredDataEnd(b)
	if end < 0 {
		return receiver.NoHeader
	}
	m.Host, m.Tag = valueOrNil(fields[0]), valueOrNil(fields[1])
	m.Text = trimMSG(cutSpace(b[end:]))
	procID := fields[2]
	if digitsEnd(procID, 0) == len(procID) {
		m.PID = parsePID(procID)
	} else if open, after := findPID(m.Text[:min(len(m.Text), tagWindow)]); open >= 0 {
		// A tag with a space or a bracket, taken apart by the relay: APP-NAME "my", PROCID "-", MSG
		// "tag[4414]: text".
		m.PID, m.Text = parsePID(m.Text[open+1:after-2]), cutSpace(m.Text[after:])
	}
	return keptIfText(m)
}

// trimMSG takes off the byte order mark of RFC 5424's MSG (section 6.4), and one space: rsyslog's
// MSG begins with the space that stood behind "tag:".
func trimMSG(msg []byte) []byte {
	return cutSpace(bytes.TrimPrefix(msg, []byte("\xef\xbb\xbf")))
}

// structuredDataEnd returns where the STRUCTURED-DATA (RFC 5424 section 6.3) at the start of b
// ends, or -1 if it is malformed. Inside a quoted value a backslash keeps the next byte from ending
// it.
func structuredDataEnd(b []byte) int {
	i := 0
	if len(b) > 0 && b[0] == '-' {
		i = 1
	}
	for i < len(b) && b[i] == '[' && b[0] != '-' {
		quoted := false
		for i++; i < len(b) && (quoted || b[i] != ']'); i++ {
			switch {
			case b[i] == '"':
				quoted = !quoted
			case b[i] == '\\' && quoted:
				i++
			}
		}
		i++
	}
	if i == 0 || i > len(b) || i < len(b) && b[i] != ' ' {
		return -1
	}
	return i
}

// findPID returns where the '[' of the first "[digits]:" is, or -1, and where that ends.
func findPID(b []byte) (open, after int) {
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], '[')
		if j < 0 {
			return -1, 0
		}
		open = i + j
		i = digitsEnd(b, open+1)
		if i > open+1 && i+1 < len(b) && b[i] == ']' && b[i+1] == ':' {
			return open, i + 2
		}
	}
}

// parsePID returns the value of decimal digits, or 0 if that isn't from 1 to 2^31-1.
func parsePID(digits []byte) int32 {
	var v int64
	for _, c := range digits {
		if v = v*10 + int64(c-'0'); v > math.MaxInt32 {
			return 0
		}
	}
	return int32(v)
}

// keptIfText is the last step of every scan.
func keptIfText(m *receiver.Message) receiver.Discard {
	if len(m.Text) == 0 {
		return receiver.NoText
	}
	return receiver.Kept
}

// valueOrNil returns a header field, nil for an empty one or RFC 5424's NILVALUE "-".
func valueOrNil(field []byte) []byte {
	if len(field) == 0 || len(field) == 1 && field[0] == '-' {
		return nil
	}
	return field
}

// wordEnd returns where the first space of b is, or len(b).
func wordEnd(b []byte) int {
	if i := bytes.IndexByte(b, ' '); i >= 0 {
		return i
	}
	return len(b)
}

// digitsEnd returns where the run of digits that starts at b[i] ends: i if there is none.
func digitsEnd(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

// cutSpace takes one leading space off.
func cutSpace(b []byte) []byte {
	if len(b) > 0 && b[0] == ' ' {
		return b[1:]
	}
	return b
}

// reset empties a Message for the next Scan, but for Scratch.
func reset(m *receiver.Message) {
	m.Host, m.Tag, m.Container, m.Text, m.Stamp = nil, nil, nil, nil, nil
	m.PID, m.Facility, m.Severity = 0, -1, -1
}

func isDigit(c byte) bool { return c-'0' <= 9 }
