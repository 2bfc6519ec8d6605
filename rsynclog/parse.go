package rsynclog

import "bytes"

const (
	// maxText is the length at which rsync cuts a message, its line end included (log.c: rwrite's char msg[2048]). A text this long may
	// have lost its end, and a number there may be a piece of a file's name. Escapes lengthen a text, so that a longer one need not
	// have been cut; its number isn't believed either.
	maxText = 2047
	// maxNumber is the largest byte count that is taken for one: 1 EiB. A line with a larger one isn't what it looks like.
	maxNumber = 1 << 60
)

// DefaultLogFormat is rsyncd.conf's log format where none is set (loadparm.c, the same in every version).
const DefaultLogFormat = "%o %h [%a] %m (%u) %f %l"

// A Parser turns the text of log lines into events. It is safe for concurrent use.
type Parser struct {
	standard bool // the log format is DefaultLogFormat, which has a scanner of its own
	format   logFormat
}

// NewParser returns a parser for daemons whose rsyncd.conf has the given log format. An empty format stands for transfers that
// aren't logged. The error says where in the format something can't be read back, and what to write instead.
func NewParser(logFormat string) (*Parser, error) {
	f, err := compileFormat(logFormat)
	if err != nil {
		return nil, err
	}
	return &Parser{standard: logFormat == DefaultLogFormat, format: f}, nil
}

// Warnings says what in the log format can't be told apart for certain; each begins with the format and the column.
func (p *Parser) Warnings() []string { return append([]string(nil), p.format.warnings...) }

// Parse reads one line's text, without header and line end, into *ev. It never fails: what is no line of rsync's is
// Unrecognised. The event's slices point into text. The time is linear in the length, and nothing is allocated.
//
// A line of the daemon's own wins over the log format, where both fit: with a format such as "%f
// %l" almost any line could be a transfer. Only DefaultLogFormat, which no other line resembles,
// comes first. Debug lines (OtherKnown), which are rare and may begin with any word, come after a
// format that asks for more than free text. Lines with an address alone come last.
func (p *Parser) Parse(text []byte, ev *Event) {
	*ev = Event{Severity: ev.Severity, Repeat: 1}
	if !p.parse(text, ev) {
		p.parseRepeated(text, ev)
	}
}

func (p *Parser) parse(text []byte, ev *Event) bool {
	if len(text) == 0 {
		return false
	}
	return p.parseOwn(text, ev) || parseBare(text, ev) || text[0] == 'm' && parseFolded(text, ev)
}

// parseOwn reads the lines that rsync writes.
func (p *Parser) parseOwn(text []byte, ev *Event) bool {
	switch {
	case p.standard:
		return parseTransfer(text, ev) || p.parseDaemon(text, ev) || parseOther(text, ev) || parseVerbose(text, ev)
	case p.format.loose:
		return p.parseDaemon(text, ev) || parseOther(text, ev) || p.format.match(text, ev) || parseVerbose(text, ev)
	default:
		return p.parseDaemon(text, ev) || p.format.match(text, ev) || parseOther(text, ev) || parseVerbose(text, ev)
	}
}

// parseDaemon reads the lines that don't depend on the log format and that begin with the daemon's own words.
func (p *Parser) parseDaemon(text []byte, ev *Event) bool {
	switch text[0] {
	case 'r':
		if hasPrefix(text, "rsync ") && parseRsync(text, ev) || hasPrefix(text, "rsyncd version ") && parseDaemonStart(text, ev) {
			return true
		}
		if hasPrefix(text, "rsync: ") && parseErrno(text, ev) {
			return true
		}
	case 's', 'w':
		if parseSummary(text, ev) {
			return true
		}
	case 'c', 'm', 'p', 'u':
		if parseClient(text, ev) {
			return true
		}
	case 'a':
		if parseAuthFailed(text, ev) {
			return true
		}
	case 'd':
		if !p.format.hasOp && hasPrefix(text, "deleting ") && len(text) > len("deleting ") {
			ev.Kind, ev.Op, ev.Path = Transfer, OpDel, text[len("deleting "):] // log.c: log_delete
			return true
		}
	case 'W', 'E':
		if parseVerifyFailed(text, ev) {
			return true
		}
	case 'i', 'l', 'L', 'S':
		if parseLost(text, ev) {
			return true
		}
	}
	if hasSuffix(text, "\": spoofed address?") && parseSpoofed(text, ev) {
		return true
	}
	return parsePlain(text, ev)
}

// parseTransfer reads a transfer line of DefaultLogFormat. Only its two ends are the daemon's for certain.
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
			return false // if longer, what looked like the line's end may be a piece of a name, at which rsync has cut
		}
		ev.Length, ev.HasLength = length, ok
	}
	ev.Kind, ev.Op, ev.Host, ev.Addr, ev.AfterAddr = Transfer, op, host, addr, rest
	return true
}

// isMapped tells the rest of receiver.c's debug line "recv mapped NAME of size N".
func isMapped(s []byte) bool {
	i := len(s)
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	_, ok := decimal(s[i:])
	return ok && hasSuffix(s[:i], " of size ")
}

// transferLength reads LENGTH of "MODULE (USER) PATH LENGTH".
func transferLength(s []byte) (uint64, bool) {
	i := len(s)
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	n, ok := decimal(s[i:])
	if !ok || i < 1 || s[i-1] != ' ' {
		return 0, false
	}
	s = s[:i-1]
	open := bytes.Index(s[min(1, len(s)):], []byte(" (")) // behind at least one byte of module
	if open < 0 {
		return 0, false
	}
	s = s[1+open+2:]
	end := bytes.Index(s, []byte(") "))
	return n, end >= 0 && end+2 < len(s)
}

// parseSummary reads "sent … bytes  received … bytes  total size …" (log.c: log_exit); before 2.6.4 "wrote … read …".
// A client's own log file says "sent … bytes  received … bytes  … bytes/sec" instead.
func parseSummary(text []byte, ev *Event) bool {
	first, second := "sent ", " bytes  received "
	if text[0] == 'w' {
		first, second = "wrote ", " bytes  read "
	}
	if !hasPrefix(text, first) {
		return false
	}
	sent, rest, ok := cutCount(text[len(first):])
	if !ok || !hasPrefix(rest, second) {
		return false
	}
	received, rest, ok := cutCount(rest[len(second):])
	if !ok || !hasPrefix(rest, " bytes  total size ") {
		return false
	}
	total, rest, ok := cutCount(rest[len(" bytes  total size "):])
	if !ok || len(rest) > 0 {
		return false
	}
	ev.Kind, ev.Sent, ev.Received, ev.Total = Summary, sent, received, total
	return true
}

// parseRsync reads the lines that begin with "rsync ".
func parseRsync(text []byte, ev *Event) bool {
	const head = len("rsync ")
	if len(text) <= head {
		return false
	}
	switch text[head] {
	case 'o', 't':
		return parseStart(text, ev)
	case 'a':
		if hasPrefix(text, "rsync allowed access on module ") {
			return parseModule(text, len("rsync allowed access on module "), Allowed, NoReason, ev)
		}
	case 'd':
		if hasPrefix(text, "rsync denied on module ") {
			return parseModule(text, len("rsync denied on module "), Denied, ReasonHostsDeny, ev)
		}
	case 'e':
		if hasPrefix(text, "rsync error: ") {
			return parseExit(text, len("rsync error: "), ExitError, ev)
		}
	case 'w':
		if hasPrefix(text, "rsync warning: ") {
			return parseExit(text, len("rsync warning: "), ExitWarning, ev)
		}
	}
	return false
}

// parseModule reads "… module NAME from HOST (ADDR)" (clientserver.c: rsync_module); the name begins at head.
func parseModule(text []byte, head int, kind Kind, reason Reason, ev *Event) bool {
	rest, host, addr, ok := cutClient(text)
	if !ok || len(rest) <= head || !isHost(host) {
		return false
	}
	ev.Kind, ev.Reason, ev.Module, ev.Host, ev.Addr = kind, reason, rest[head:], host, addr
	return true
}

// parseStart reads "rsync on REQUEST from [USER@]HOST (ADDR)" (clientserver.c: rsync_module). The request is the client's text
// and may hold the rest of such a line, so it is read from the right; the user, too, may hold an '@'.
func parseStart(text []byte, ev *Event) bool {
	direction := Send
	if hasPrefix(text, "rsync to ") {
		direction = Receive
	} else if !hasPrefix(text, "rsync on ") {
		return false
	}
	const head = len("rsync on ")
	if len(text) >= maxText {
		ev.Kind, ev.Direction, ev.Request = Start, direction, text[head:]
		return true
	}
	rest, host, addr, ok := cutClient(text)
	if !ok || len(rest) < head {
		return false
	}
	var user []byte
	if at := bytes.LastIndexByte(host, '@'); at >= 0 {
		user, host = host[:at], host[at+1:]
	}
	if !isHost(host) {
		return false
	}
	ev.Kind, ev.Direction, ev.Request, ev.User, ev.Host, ev.Addr = Start, direction, rest[head:], user, host, addr
	return true
}

// parseClient reads the lines that end in " from HOST (ADDR)" and don't begin with "rsync".
func parseClient(text []byte, ev *Event) bool {
	var kind Kind
	var reason Reason
	var words string
	switch text[0] {
	case 'c':
		kind, words = Connect, "connect"
	case 'm':
		kind, words = ModuleList, "module-list request"
	case 'p':
		// clientserver.c: start_daemon; the words end in "peer HOST", without "from" (3.5.0)
		return parseProxyRejected(text, ev)
	case 'u':
		return parseUnknownModule(text, ev)
	}
	if !hasPrefix(text, words) {
		return false
	}
	rest, host, addr, ok := cutClient(text)
	if !ok || len(rest) != len(words) || !isHost(host) {
		return false
	}
	ev.Kind, ev.Reason, ev.Host, ev.Addr = kind, reason, host, addr
	return true
}

// parseUnknownModule reads "unknown module 'NAME' tried from HOST (ADDR)". The name is the client's text.
func parseUnknownModule(text []byte, ev *Event) bool {
	const head, tail = "unknown module '", "' tried"
	if !hasPrefix(text, head) {
		return false
	}
	rest, host, addr, ok := cutClient(text)
	if !ok || len(rest) < len(head)+len(tail) || !hasSuffix(rest, tail) || !isHost(host) {
		return false
	}
	ev.Kind, ev.Reason, ev.Host, ev.Addr = UnknownModule, ReasonUnknownModule, host, addr
	ev.Module = rest[len(head) : len(rest)-len(tail)]
	return true
}

func parseProxyRejected(text []byte, ev *Event) bool {
	const head = "proxy protocol rejected from untrusted peer "
	if !hasPrefix(text, head) {
		return false
	}
	host, addr, ok := cutAddr(text[len(head):])
	if !ok || !isHost(host) || bytes.IndexByte(host, ' ') >= 0 {
		return false
	}
	ev.Kind, ev.Reason, ev.Host, ev.Addr = ProxyRejected, OtherReason, host, addr
	return true
}

// parseAuthFailed reads "auth failed on module NAME from HOST (ADDR): REASON" and, from 3.1.0 on,
// "… (ADDR) for USER: REASON" (authenticate.c: auth_server). The user is the client's text, the
// name is not: so the first client that fits is the daemon's, and the reason is behind the last
// colon. A user so long that the line was cut leaves no reason. Up to 2.6.4 no line has one
// (clientserver.c: rsync_module).
func parseAuthFailed(text []byte, ev *Event) bool {
	const head, from = len("auth failed on module "), " from "
	if !hasPrefix(text, "auth failed on module ") {
		return false
	}
	colon := bytes.LastIndex(text[:len(text)-1], []byte(": "))
	for at := head + 1; at <= len(text); {
		n := bytes.Index(text[at:], []byte(from))
		if n < 0 {
			return false
		}
		module := text[head : at+n]
		at += n + 1
		host, addr, tail, ok := clientAt(text, at+len(from)-1)
		if !ok {
			continue
		}
		var user []byte
		switch {
		case tail == len(text):
		case hasPrefix(text[tail:], ": ") && len(text) > tail+2:
			const missing = ": missing secret for user \""
			if reason := text[tail:]; hasPrefix(reason, missing) && len(reason) > len(missing) && hasSuffix(reason, "\"") {
				user = reason[len(missing) : len(reason)-1]
			}
		case hasPrefix(text[tail:], " for ") && len(text) >= maxText:
		case hasPrefix(text[tail:], " for ") && colon >= tail+len(" for "):
			user = text[tail+len(" for ") : colon]
		default:
			continue
		}
		ev.Kind, ev.Reason = AuthFailed, ReasonAuth
		ev.Module, ev.Host, ev.Addr, ev.User = module, host, addr, user
		return true
	}
	return false
}

// clientAt reads "HOST (ADDR)" that begins at i and returns where it ends.
func clientAt(text []byte, i int) (host, addr []byte, end int, ok bool) {
	n := bytes.IndexByte(text[i:], ' ')
	if n < 0 || i+n+1 >= len(text) || text[i+n+1] != '(' || !isHost(text[i:i+n]) {
		return nil, nil, 0, false
	}
	host = text[i : i+n]
	i += n + 2
	n = bytes.IndexByte(text[i:], ')')
	if n < 0 || !isAddr(text[i:i+n]) {
		return nil, nil, 0, false
	}
	return host, text[i : i+n], i + n + 1, true
}

// parseDaemonStart reads "rsyncd version VERSION starting, listening on port N" (clientserver.c: daemon_main).
func parseDaemonStart(text []byte, ev *Event) bool {
	const head, tail = len("rsyncd version "), " starting, listening on port "
	n := bytes.IndexByte(text[head:], ' ')
	if n < 1 || !hasPrefix(text[head+n:], tail) || !allDigits(text[head+n+len(tail):]) {
		return false
	}
	ev.Kind, ev.Version = DaemonStart, text[head:head+n]
	return true
}

// parseExit reads "rsync error: TEXT (code N) at FILE(LINE) [ROLE=VERSION]" (log.c: log_exit). The bracket is younger than 2.6.3.
func parseExit(text []byte, head int, kind Kind, ev *Event) bool {
	s := text[head:]
	var role, version []byte
	if n := len(s); n > 0 && s[n-1] == ']' {
		open := bytes.LastIndexByte(s, '[')
		if open < 1 || s[open-1] != ' ' {
			return false
		}
		var ok bool
		role, version, ok = bytes.Cut(s[open+1:n-1], []byte("="))
		if !ok || !isRole(role) || len(version) == 0 || bytes.ContainsAny(version, " =]") {
			return false
		}
		s = s[:open-1]
	}
	n := len(s)
	open := bytes.LastIndexByte(s, '(')
	if open < 0 || s[n-1] != ')' || !allDigits(s[open+1:n-1]) {
		return false
	}
	space := bytes.LastIndexByte(s[:open], ' ')
	if file := s[space+1 : open]; space < 0 || len(file) == 0 || bytes.ContainsAny(file, "()") {
		return false
	}
	s = s[:space]
	if !hasSuffix(s, ") at") {
		return false
	}
	s = s[:len(s)-len(") at")]
	open = bytes.LastIndexByte(s, '(')
	if open < 2 || s[open-1] != ' ' || !hasPrefix(s[open:], "(code ") {
		return false
	}
	digits := s[open+len("(code "):]
	if len(digits) > 3 || !allDigits(digits) {
		return false
	}
	ev.Kind, ev.Role, ev.Version = kind, role, version
	for _, d := range digits {
		ev.Code = ev.Code*10 + int16(d-'0')
	}
	return true
}

// parseVerifyFailed reads "WARNING: NAME failed verification -- update …." (receiver.c: recv_files), and the same with ERROR when the
// file is given up.
func parseVerifyFailed(text []byte, ev *Event) bool {
	const middle = " failed verification -- update "
	kind := VerifyFailed
	rest, ok := bytes.CutPrefix(text, []byte("WARNING: "))
	if !ok {
		kind = FileError
		rest, ok = bytes.CutPrefix(text, []byte("ERROR: "))
	}
	if !ok || !hasSuffix(text, ".") {
		return false
	}
	i := bytes.LastIndex(rest[:len(rest)-1], []byte(middle))
	if i < 0 {
		return false
	}
	ev.Kind, ev.Path = kind, rest[:i]
	return true
}

// parseSpoofed reads `ADDR is not a known address for "NAME": spoofed address?` (clientname.c: check_name).
func parseSpoofed(text []byte, ev *Event) bool {
	const words = " is not a known address for \""
	i := bytes.IndexByte(text, ' ')
	if i < 0 || !isAddr(text[:i]) || !hasPrefix(text[i:], words) || len(text) < i+len(words)+len("\": spoofed address?") {
		return false
	}
	ev.Kind = NameLookup
	return true
}
