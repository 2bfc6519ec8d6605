package rsynclog

import (
	"bytes"
	"math"
)

const (
	// maxRepeat is how often a line is believed to have been repeated. A client can write such a line, too.
	maxRepeat = 10000
	// maxRepeated is where rsyslog cuts the text, its leading space included (ratelimit.c: "[%.800s]").
	maxRepeated = 800
)

// parseRepeated reads "message repeated N times: [ TEXT]", with which rsyslog stands in for N equal lines. *ev is the event of the
// text, or Unrecognised when the text was cut, when the numbers of all N lines together are beyond belief, or when it is itself
// such a line.
func (p *Parser) parseRepeated(text []byte, ev *Event) {
	const head, middle = len("message repeated "), " times: ["
	if !hasPrefix(text, "message repeated ") {
		return
	}
	s := text[head:]
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	n, ok := decimal(s[:i])
	if !ok || n < 1 || n > maxRepeat || !hasPrefix(s[i:], middle) || !hasSuffix(s, "]") {
		return
	}
	s = s[i+len(middle) : len(s)-1]
	if len(s) >= maxRepeated {
		return
	}
	s = bytes.TrimPrefix(s, []byte(" ")) // rsyslog's MSG begins with the space behind "tag:"
	p.parse(s, ev)
	if limit := maxNumber / n; ev.Length > limit || ev.Wire > limit || ev.Lost > limit ||
		ev.Sent > limit || ev.Received > limit || ev.Total > limit {
		*ev = Event{Severity: ev.Severity, Repeat: 1}
		return
	}
	if ev.Kind != Unrecognised {
		ev.Repeat = uint32(n)
	}
}

// parseLost reads what forwarders say of messages that they dropped or folded so that they can't be read any more.
func parseLost(text []byte, ev *Event) bool {
	var n uint64
	var rest []byte
	var ok bool
	switch text[0] {
	case 'i':
		n, ok = lostByRsyslog(text)
	case 'S': // journald-manager.c: manager_dispatch_message
		n, rest, ok = countBetween(text, "Suppressed ", " messages from ")
		ok = ok && len(rest) > 0
	case 'l': // BSD's syslogd and rsyslog before 5
		return hasPrefix(text, "last ") && parseFolded(text[len("last "):], ev)
	case 'L': // syslog-ng: log_writer_emit_suppress_summary shows only 20 bytes of the message
		const head, middle = "Last message '", "' repeated "
		if i := bytes.LastIndex(text, []byte(middle)); i >= len(head) && hasPrefix(text, head) {
			n, rest, ok = countBetween(text[i:], middle, " times, suppressed by syslog-ng on ")
			ok = ok && len(rest) > 0 && bytes.IndexByte(rest, ' ') < 0
		}
	}
	if !ok || n > math.MaxUint32 { // their counters have 32 bits
		return false
	}
	ev.Kind, ev.Lost = LostUpstream, n
	return true
}

// parseFolded reads "message repeated N times" without the message: BSD's and Solaris' syslogd
// write "HOST last message repeated N times" without a tag, where "last" is taken for one. FreeBSD,
// NetBSD and OpenBSD write "1 time".
func parseFolded(text []byte, ev *Event) bool {
	n, rest, ok := countBetween(text, "message repeated ", " time")
	if !ok || n > math.MaxUint32 || string(rest) != "s" && (len(rest) > 0 || n != 1) {
		return false
	}
	ev.Kind, ev.Lost = LostUpstream, n
	return true
}

// lostByRsyslog reads "imuxsock lost N messages from pid …", which rsyslog wrote before version 7, and "imuxsock…: N messages
// lost due to rate-limiting (…)" (ratelimit.c: tellLostCnt).
func lostByRsyslog(text []byte) (uint64, bool) {
	if n, _, ok := countBetween(text, "imuxsock lost ", " messages from pid "); ok {
		return n, true
	}
	s := text
	if hasSuffix(s, ")") {
		if open := bytes.LastIndex(s, []byte(" (")); open >= 0 && bytes.IndexByte(s[open+2:], '(') < 0 &&
			bytes.IndexByte(s[open:], ')') == len(s)-open-1 {
			s = s[:open]
		}
	}
	s, ok := bytes.CutSuffix(s, []byte(" messages lost due to rate-limiting"))
	if !ok || !hasPrefix(s, "im") {
		return 0, false
	}
	i := len(s)
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	if i < len("im: ") || !hasSuffix(s[:i], ": ") {
		return 0, false
	}
	return decimal(s[i:])
}

// countBetween reads a number that stands between two literals at the front.
func countBetween(s []byte, before, after string) (n uint64, rest []byte, ok bool) {
	if !hasPrefix(s, before) {
		return 0, nil, false
	}
	s = s[len(before):]
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if !hasPrefix(s[i:], after) {
		return 0, nil, false
	}
	n, ok = decimal(s[:i])
	return n, s[i+len(after):], ok
}
