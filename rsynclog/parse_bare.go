package rsynclog

import "bytes"

// An anonymised log, and the sample log of the program that this one replaces, have "from ADDR"
// where rsync writes "from HOST (ADDR)". A real line ends in a parenthesis, or was cut. So these
// lines are read last of all, when nothing else fits: they never change the reading of a line that
// rsync writes.

// bareLines are the lines that end so, but for starts: what stands before " from ADDR", with a module's name between
// head and tail where one is named.
var bareLines = [...]struct {
	kind       Kind
	reason     Reason
	head, tail string
	named      bool
}{
	{kind: Connect, head: "connect"},
	{kind: ModuleList, head: "module-list request"},
	{kind: Allowed, head: "rsync allowed access on module ", named: true},
	{kind: Denied, reason: ReasonHostsDeny, head: "rsync denied on module ", named: true},
	{kind: UnknownModule, reason: ReasonUnknownModule, head: "unknown module '", tail: "' tried", named: true},
}

// parseBare reads the lines that end in " from ADDR". What may have been cut at 2047 bytes (log.c: rwrite), a line end
// included, ends in the client's text: an address there would be its invention. A relay that cuts shorter, as classic
// syslogd does at 1024 bytes, leaves such an address. It names a session of the client's own only; see waiting.
func parseBare(text []byte, ev *Event) bool {
	if c := text[0]; c != 'c' && c != 'm' && c != 'r' && c != 'u' || len(text) >= maxText-len("\r\n") {
		return false
	}
	space := bytes.LastIndexByte(text, ' ')
	if space < 0 {
		return false
	}
	rest, ok := bytes.CutSuffix(text[:space], []byte(" from"))
	if !ok {
		return false
	}
	addr := text[space+1:]
	if hasPrefix(text, "rsync on ") || hasPrefix(text, "rsync to ") {
		return parseBareStart(rest, addr, ev)
	}
	if !isExactAddr(addr) {
		return false
	}
	for i := range bareLines {
		l := &bareLines[i]
		name := len(rest) - len(l.head) - len(l.tail)
		if name < 0 || !hasPrefix(rest, l.head) || !hasSuffix(rest, l.tail) || !l.named && name > 0 ||
			name == 0 && l.named && l.kind != UnknownModule { // whose name is the client's, and may be empty
			continue
		}
		ev.Kind, ev.Reason, ev.Addr = l.kind, l.reason, addr
		if l.named {
			ev.Module = rest[len(l.head) : len(l.head)+name]
		}
		return true
	}
	return false
}

// parseBareStart reads "rsync on REQUEST" and "[USER@]ADDR", of which the line was made, from the right as parseStart
// does.
func parseBareStart(rest, addr []byte, ev *Event) bool {
	const head = len("rsync on ")
	if len(rest) < head {
		return false
	}
	direction := Send
	if rest[head-2] == 'o' {
		direction = Receive
	}
	var user []byte
	if at := bytes.LastIndexByte(addr, '@'); at >= 0 {
		user, addr = addr[:at], addr[at+1:]
	}
	if !isExactAddr(addr) {
		return false
	}
	ev.Kind, ev.Direction, ev.Request, ev.User, ev.Addr = Start, direction, rest[head:], user, addr
	return true
}

// isExactAddr says whether s is an IPv4 or IPv6 address, an IPv6 one with or without its scope:
// what netip.ParseAddr accepts. Unlike that, it doesn't allocate.
func isExactAddr(s []byte) bool {
	if scope := bytes.IndexByte(s, '%'); scope >= 0 {
		return isScope(s[scope+1:]) && isIPv6(s[:scope])
	}
	return isIPv4(s) || isIPv6(s)
}

// isIPv4 says whether s is four numbers up to 255, without leading zeros.
func isIPv4(s []byte) bool {
	for part := range 4 {
		n, value := 0, 0
		for n < len(s) && n < 4 && isDigit(s[n]) {
			value = value*10 + int(s[n]-'0')
			n++
		}
		if n == 0 || value > 255 || n > 1 && s[0] == '0' {
			return false
		}
		if s = s[n:]; part < 3 {
			if len(s) == 0 || s[0] != '.' {
				return false
			}
			s = s[1:]
		}
	}
	return len(s) == 0
}

// isIPv6 says whether s is eight groups (RFC 4291 section 2.2), the last two as an IPv4 address if
// it likes; "::" stands for at least one.
func isIPv6(s []byte) bool {
	groups, gap := 0, false
	if hasPrefix(s, "::") {
		gap, s = true, s[2:]
	}
	for len(s) > 0 || !gap {
		n := 0
		for n < len(s) && byteClasses[s[n]]&(inAddr|addrMark) == inAddr {
			n++
		}
		if n < len(s) && s[n] == '.' {
			if groups += 2; !isIPv4(s) {
				return false
			}
			break
		}
		if n == 0 || n > 4 {
			return false
		}
		groups++
		if s = s[n:]; len(s) == 0 {
			break
		}
		if s[0] != ':' || len(s) == 1 {
			return false
		}
		if s = s[1:]; s[0] == ':' {
			if gap {
				return false
			}
			gap, s = true, s[1:]
		}
	}
	return groups == 8 && !gap || groups < 8 && gap
}
