package rsynclog

import "bytes"

const (
	// maxText is the length at which rsync cuts a message, its line end included (log.c: rwrite's
	// char msg[2048]). A text this long may have lost its end, and a number there may be a piece of
	// a file's name. Escapes lengthen a text, so that a longer one need not have been cut; its
	// number isn't believed either.
	maxText = 2047
	// maxRepeat is how often a line is believed to have been repeated. A client can write such a
	// line, too.
	maxRepeat = 10000
	// maxRepeated is where rsyslog cuts a repeated text, its leading space included (ratelimit.c:
	// "[%.800s]").
	maxRepeated = 800
)

// DefaultLogFormat is rsyncd.conf's log format where none is set (loadparm.c, the same in every
// version).
const DefaultLogFormat = "%o %h [%a] %m (%u) %f %l"

// A Parser turns the text of log lines into events. It is safe for concurrent use.
type Parser struct {
	standard bool // the log format is DefaultLogFormat, which has a scanner of its own
	format   logFormat
	after    rank // of the lines that come before the log format
}

// NewParser returns a parser for daemons whose rsyncd.conf has the given log format. An empty
// format stands for transfers that aren't logged. The error says where in the format something
// can't be read back, and what to write instead.
func NewParser(logFormat string) (*Parser, error) {
	f, err := compileFormat(logFormat)
	if err != nil {
		return nil, err
	}
	p := &Parser{standard: logFormat == DefaultLogFormat, format: f, after: ownLine}
	if f.loose {
		p.after = debugLine
	}
	return p, nil
}

// Warnings says what in the log format can't be told apart for certain; each begins with the format
// and the column.
func (p *Parser) Warnings() []string { return append([]string(nil), p.format.warnings...) }

// Parse reads one line's text, without header and line end, into *ev. It never fails: what is no
// line of rsync's is Unrecognised. The event's slices point into text. The time is linear in the
// length, and nothing is allocated.
//
// DefaultLogFormat, which no other line resembles, comes first. Of another log format and the
// daemon's own lines the latter win, where both fit.
func (p *Parser) Parse(text []byte, ev *Event) {
	ev.clear()
	if len(text) > 0 && !p.parse(text, ev) {
		p.parseRepeated(text, ev)
	}
}

// clear leaves nothing but the severity.
func (ev *Event) clear() { *ev = Event{Severity: ev.Severity, Repeat: 1} }

func (p *Parser) parse(text []byte, ev *Event) bool {
	switch text[0] {
	case 'r':
		if p.standard && parseTransfer(text, ev) || parseFailure(text, ev) {
			return true
		}
	case 's', 'd':
		if p.standard && parseTransfer(text, ev) || !p.format.hasOp && parseDeleted(text, ev) {
			return true
		}
	case '[':
		if parseProcess(text, ev) {
			return true
		}
	}
	waiting := !p.standard // for the log format's turn
	for _, l := range ownLines.find(text) {
		if waiting && l.rank > p.after {
			if p.format.match(text, ev) {
				return true
			}
			waiting = false
		}
		if l.match(text, 0, ev) {
			if l.kind == AuthFailed && bytes.Contains(ev.Module, []byte(" from ")) {
				shortestModule(text, ev)
			}
			return true
		}
	}
	return waiting && p.format.match(text, ev)
}

// shortestModule reads a failed authentication again. Where the client's text holds the end of
// such a line, several rows fit it: then the daemon's is the one with the shortest module name.
func shortestModule(text []byte, ev *Event) {
	var other Event
	for _, l := range ownLines.find(text) {
		other = Event{Severity: ev.Severity, Repeat: 1}
		if l.kind == AuthFailed && l.match(text, 0, &other) && len(other.Module) < len(ev.Module) {
			*ev = other
		}
	}
}

// parseTransfer reads a transfer line of DefaultLogFormat. Only its two ends are the daemon's for
// certain.
func parseTransfer(text []byte, ev *Event) bool {
	if len(text) < len("send a [:] ") {
		return false
	}
	var op Op
	switch string(text[:5]) {
	case "send ":
		op = OpSend
	case "recv ":
		op = OpRecv
	case "del. ":
		op = OpDel
	default:
		return false
	}
	rest := text[5:]
	n := bytes.IndexByte(rest, ' ')
	if n < 0 || n+1 >= len(rest) || rest[n+1] != '[' || !isHost(rest[:n]) {
		return false
	}
	host := rest[:n]
	rest = rest[n+2:]
	n = bytes.IndexByte(rest, ']')
	if n < 0 || n+2 >= len(rest) || rest[n+1] != ' ' || !isAddr(rest[:n]) {
		return false
	}
	addr := rest[:n]
	rest = rest[n+2:]
	if len(text) < maxText {
		if op == OpRecv && string(host) == "mapped" && isMapped(rest) {
			return false
		}
		length, ok := transferLength(rest)
		if !ok && len(text) < maxText-len("\r\n") {
			return false // a longer line may have a line end in the name, just where rsync cuts
		}
		ev.Length, ev.HasLength = length, ok
		if ok {
			ev.tail = len(rest) - bytes.LastIndexByte(rest, ' ')
		}
	}
	ev.Kind, ev.Op, ev.Host, ev.Addr, ev.AfterAddr = Transfer, op, host, addr, rest
	return true
}

// isMapped tells the rest of receiver.c's debug line "recv mapped NAME of size N".
func isMapped(s []byte) bool {
	rest, n := cutDigits(s)
	_, ok := decimal(n)
	return ok && hasSuffix(rest, " of size ")
}

// transferLength reads LENGTH of "MODULE (USER) PATH LENGTH".
func transferLength(s []byte) (uint64, bool) {
	s, last := cutDigits(s)
	n, ok := decimal(last)
	if !ok || !hasSuffix(s, " ") {
		return 0, false
	}
	s = s[:len(s)-1]
	open := bytes.Index(s[min(1, len(s)):], []byte(" (")) // behind at least one byte of module
	if open < 0 {
		return 0, false
	}
	s = s[1+open+2:]
	end := bytes.Index(s, []byte(") "))
	return n, end >= 0 && end+2 < len(s)
}

// parseDeleted reads how deletions are logged where the log format has no operation (log.c:
// log_delete).
func parseDeleted(text []byte, ev *Event) bool {
	path, ok := bytes.CutPrefix(text, []byte("deleting "))
	if !ok || len(path) == 0 {
		return false
	}
	ev.Kind, ev.Op, ev.Path = Transfer, OpDel, path
	return true
}

// parseFailure reads the lines that begin with "rsync: " and, since 3.2.0, a role, and that have an
// errno. What looks like a role may be the text's own.
func parseFailure(text []byte, ev *Event) bool {
	const front = len("rsync: ")
	if !hasPrefix(text, "rsync: ") {
		return false
	}
	if role := roleAt(text[front:]); role != nil && parseFailureAt(text, front+len("[] ")+len(role), ev) {
		ev.Role = role
		return true
	}
	return parseFailureAt(text, front, ev)
}

func parseFailureAt(text []byte, pos int, ev *Event) bool {
	for _, l := range failureLines.find(text[pos:]) {
		if l.match(text, pos, ev) {
			return true
		}
	}
	return false
}

// parseProcess reads the lines that begin with a role in brackets.
func parseProcess(text []byte, ev *Event) bool {
	role := roleAt(text)
	switch string(role) { // rsync.c: who_am_i
	case "sender", "receiver", "generator", "Receiver", "server", "client":
	default:
		return false
	}
	pos := len("[] ") + len(role)
	for _, l := range processLines.find(text[pos:]) {
		if l.match(text, pos, ev) {
			if l.kind == FileError || l.kind == Timeout {
				ev.Role = role
			}
			return true
		}
	}
	return false
}

// roleAt returns the ROLE of the "[ROLE] " that a text begins with, or nil.
func roleAt(text []byte) []byte {
	if len(text) == 0 || text[0] != '[' {
		return nil
	}
	n := 1
	for n < len(text) && isLetter(text[n]) {
		n++
	}
	if n == 1 || !hasPrefix(text[n:], "] ") {
		return nil
	}
	return text[1:n]
}

// parseRepeated reads "message repeated N times: [ TEXT]", with which rsyslog stands in for N equal
// lines. *ev is the event of the text, or Unrecognised when the text was cut, when the numbers of
// all N lines together are beyond belief, or when it is itself such a line.
func (p *Parser) parseRepeated(text []byte, ev *Event) {
	n, s, ok := countBetween(text, "message repeated ", " times: [")
	if !ok || n < 1 || n > maxRepeat || !hasSuffix(s, "]") || len(s) > maxRepeated {
		return
	}
	s = bytes.TrimPrefix(s[:len(s)-1], []byte(" ")) // rsyslog's MSG begins with the space behind "tag:"
	if len(s) == 0 || !p.parse(s, ev) {
		return
	}
	if limit := maxNumber / n; max(ev.Length, ev.Wire, ev.Lost, ev.Sent, ev.Received, ev.Total) > limit {
		ev.clear()
		return
	}
	ev.Repeat = uint32(n)
}

// countBetween reads a number that stands between two words at the front.
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
