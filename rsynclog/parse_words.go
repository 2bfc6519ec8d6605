package rsynclog

import (
	"bytes"
	"strings"
)

// The pieces that lines are made of. Each obeys the regular expression of the same name in grammar.go.

func hasPrefix(s []byte, p string) bool { return len(s) >= len(p) && string(s[:len(p)]) == p }

func hasSuffix(s []byte, p string) bool { return len(s) >= len(p) && string(s[len(s)-len(p):]) == p }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func allDigits(s []byte) bool {
	for _, c := range s {
		if !isDigit(c) {
			return false
		}
	}
	return len(s) > 0
}

// isRole says whether s can be who_am_i() (rsync.c): sender, receiver, Receiver …
func isRole(s []byte) bool {
	for _, c := range s {
		if !isLetter(c) {
			return false
		}
	}
	return len(s) > 0
}

// What a byte can be part of.
const (
	inHost = 1 << iota
	inAddr
	addrMark // an address has at least one
)

var byteClasses = func() (classes [256]uint8) {
	for c := range classes {
		if strings.IndexByte("@()[]", byte(c)) < 0 {
			classes[c] |= inHost
		}
		if isDigit(byte(c)) || 'a' <= c|0x20 && c|0x20 <= 'f' {
			classes[c] |= inAddr
		}
	}
	classes['.'] |= inAddr | addrMark
	classes[':'] |= inAddr | addrMark
	return classes
}()

// isHost says whether s, which holds no space, can be a host name, UNKNOWN or UNDETERMINED.
func isHost(s []byte) bool {
	for _, c := range s {
		if byteClasses[c]&inHost == 0 {
			return false
		}
	}
	return len(s) > 0
}

// isAddr says whether s looks like a numeric address, an IPv6 one with or without its scope (clientname.c: client_addr).
func isAddr(s []byte) bool {
	seen := uint8(0)
	for i, c := range s {
		class := byteClasses[c]
		if class&inAddr == 0 {
			return c == '%' && seen&addrMark != 0 && isScope(s[i+1:])
		}
		seen |= class
	}
	return seen&addrMark != 0
}

func isScope(s []byte) bool {
	for _, c := range s {
		if !isScopeByte(c) {
			return false
		}
	}
	return len(s) > 0
}

func isScopeByte(c byte) bool { return isDigit(c) || isLetter(c) || c == '_' || c == '.' || c == '-' }

// cutClient cuts " from HOST (ADDR)" off the end. The host may still be USER@HOST.
func cutClient(s []byte) (rest, host, addr []byte, ok bool) {
	s, addr, ok = cutAddr(s)
	if !ok {
		return nil, nil, nil, false
	}
	space := bytes.LastIndexByte(s, ' ')
	if space < 0 || !hasSuffix(s[:space], " from") {
		return nil, nil, nil, false
	}
	return s[:space-len(" from")], s[space+1:], addr, true
}

// cutAddr cuts " (ADDR)" off the end.
func cutAddr(s []byte) (rest, addr []byte, ok bool) {
	n := len(s) - 1
	if n < 0 || s[n] != ')' {
		return nil, nil, false
	}
	open := bytes.LastIndexByte(s, '(')
	if open < 1 || s[open-1] != ' ' || !isAddr(s[open+1:n]) {
		return nil, nil, false
	}
	return s[:open-1], s[open+1 : n], true
}

// decimal reads a whole number as rsync writes it: no sign, no leading zeros, at most maxNumber.
func decimal(s []byte) (uint64, bool) {
	if len(s) == 0 || len(s) > 19 || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	n := uint64(0)
	for _, c := range s {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= maxNumber
}

// cutCount reads a number at the front. It may have thousands separators, ',' or '.' by locale: 3.1.0 logs its summary so
// (fixed in 3.1.1), and %'l asks for them (lib/compat.c: do_big_num).
func cutCount(s []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i+3 >= len(s) || s[i] != ',' && s[i] != '.' || !allDigits(s[i+1:i+4]) {
		n, ok = decimal(s[:i])
		return n, s[i:], ok
	}
	if i == 0 || i > 3 || s[0] == '0' {
		return 0, nil, false
	}
	n, _ = decimal(s[:i])
	for separator := s[i]; i+3 < len(s) && s[i] == separator && allDigits(s[i+1:i+4]); i += 4 {
		if n > maxNumber/1000 {
			return 0, nil, false
		}
		n = n*1000 + uint64(s[i+1]-'0')*100 + uint64(s[i+2]-'0')*10 + uint64(s[i+3]-'0')
	}
	return n, s[i:], n <= maxNumber
}
