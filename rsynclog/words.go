package rsynclog

import (
	"bytes"
	"strings"
)

// maxNumber is the largest byte count that is taken for one: 1 EiB. A line with a larger one isn't
// what it looks like.
const maxNumber = 1 << 60

func hasPrefix(s []byte, p string) bool { return len(s) >= len(p) && string(s[:len(p)]) == p }

func hasSuffix(s []byte, p string) bool { return len(s) >= len(p) && string(s[len(s)-len(p):]) == p }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func allDigits(s []byte) bool { return len(s) > 0 && allOf(s, inDigits) }

// allOf says whether all bytes can be part of one of the classes.
func allOf(s []byte, class uint32) bool {
	for _, c := range s {
		if byteClasses[c]&class == 0 {
			return false
		}
	}
	return true
}

// What a byte can be part of.
const (
	inHost      = 1 << iota // a host name as rsync logs it
	inHex                   // an address, but for its scope
	inHexDigits             // a group of an IPv6 address
	addrMark                // an address has at least one
	inScope                 // an IPv6 address' scope
	inName                  // a host name as a resolver returns it
	inAddress               // an address, its scope included
	inDigits                // a number
	inThousands             // a number with separators
	inUnits                 // a number with separators or a unit
	inGroup                 // %G
	inLetters               // a role
	inWord                  // what has no space
	inBracket               // text between parentheses
	inFile                  // a source file
	inVersion               // rsync's version behind a role
	inPerms                 // %B (lib/permstring.c)
)

const (
	units   = "KMGTP"   // lib/compat.c: do_big_num
	noGroup = "DEFAULT" // %G without --group
)

var byteClasses = func() (classes [256]uint32) {
	for i := range classes {
		c := byte(i)
		in := func(class uint32, yes bool) {
			if yes {
				classes[i] |= class
			}
		}
		one := func(of string) bool { return strings.IndexByte(of, c) >= 0 }
		scope := isDigit(c) || isLetter(c) || one("_.-")
		in(inHost, !one(" @()[]"))
		hex := isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f'
		in(inHex, hex || one(".:"))
		in(inHexDigits, hex)
		in(addrMark, one(".:"))
		in(inScope, scope)
		in(inName, scope || c >= 0x80)
		in(inAddress, scope || c >= 0x80 || one(":%"))
		in(inDigits, isDigit(c))
		in(inThousands, isDigit(c) || one(",."))
		in(inUnits, isDigit(c) || one(",."+units))
		in(inGroup, isDigit(c) || one(noGroup))
		in(inLetters, isLetter(c))
		in(inWord, c != ' ')
		in(inBracket, !one("()"))
		in(inFile, !one(" ()"))
		in(inVersion, !one(" =[]"))
		in(inPerms, one("rwxsStT-"))
	}
	return classes
}()

// isHost says whether s can be a host name, UNKNOWN or UNDETERMINED.
func isHost(s []byte) bool { return len(s) > 0 && allOf(s, inHost) }

// isAddr says whether s looks like a numeric address, an IPv6 one with or without its scope
// (clientname.c: client_addr).
func isAddr(s []byte) bool {
	seen := uint32(0)
	for i, c := range s {
		class := byteClasses[c]
		if class&inHex == 0 {
			return c == '%' && seen&addrMark != 0 && isScope(s[i+1:])
		}
		seen |= class
	}
	return seen&addrMark != 0
}

func isScope(s []byte) bool { return len(s) > 0 && allOf(s, inScope) }

// cutDigits cuts the digits off the end.
func cutDigits(s []byte) (rest, last []byte) {
	i := len(s)
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	return s[:i], s[i:]
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

// cutCount reads a number at the front. It may have thousands separators, ',' or '.' by locale:
// 3.1.0 logs its summary so (fixed in 3.1.1), and %'l asks for them (lib/compat.c: do_big_num).
func cutCount(s []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		n = n*10 + uint64(s[i]-'0')
		i++
	}
	if i == 0 || i > 19 || i > 1 && s[0] == '0' {
		return 0, nil, false
	}
	if i+3 >= len(s) || s[i] != ',' && s[i] != '.' || !allDigits(s[i+1:i+4]) {
		return n, s[i:], n <= maxNumber
	}
	if i > 3 || n == 0 {
		return 0, nil, false
	}
	for separator := s[i]; i+3 < len(s) && s[i] == separator && allDigits(s[i+1:i+4]); i += 4 {
		if n > maxNumber/1000 {
			return 0, nil, false
		}
		n = n*1000 + uint64(s[i+1]-'0')*100 + uint64(s[i+2]-'0')*10 + uint64(s[i+3]-'0')
	}
	return n, s[i:], n <= maxNumber
}

// isExactAddr says whether s is an IPv4 or IPv6 address, an IPv6 one with or without its scope. It
// accepts what netip.ParseAddr does, which allocates.
func isExactAddr(s []byte) bool {
	if addr, scope, ok := bytes.Cut(s, []byte("%")); ok {
		return isScope(scope) && isIPv6(addr)
	}
	return isIPv4(s) || isIPv6(s)
}

// isIPv4 says whether s is four numbers up to 255, without leading zeros.
func isIPv4(s []byte) bool {
	for i := range 4 {
		part, rest, more := bytes.Cut(s, []byte("."))
		if n, ok := decimal(part); !ok || n > 255 || more != (i < 3) {
			return false
		}
		s = rest
	}
	return true
}

// isIPv6 says whether s has eight groups (RFC 4291 section 2.2), or fewer and a "::".
func isIPv6(s []byte) bool {
	head, tail, gap := bytes.Cut(s, []byte("::"))
	n, headOK := countGroups(head, !gap)
	m, tailOK := countGroups(tail, true)
	return headOK && tailOK && (n+m == 8) != gap && n+m <= 8
}

// countGroups counts the groups of an IPv6 address. The last two may be an IPv4 address at its end.
func countGroups(s []byte, atEnd bool) (n int, ok bool) {
	for more := len(s) > 0; more; {
		var group []byte
		group, s, more = bytes.Cut(s, []byte(":"))
		switch {
		case atEnd && !more && isIPv4(group):
			n += 2
		case len(group) < 1 || len(group) > 4 || !allOf(group, inHexDigits):
			return 0, false
		default:
			n++
		}
	}
	return n, true
}

// AppendUnescaped appends src to dst with each \#ooo (three octal digits, at most \#377) turned
// into the byte that it stands for. rsync 3.5.0 escapes control characters and 0x80 to 0x9f so in
// its log file (log.c: filtered_fwrite), which breaks UTF-8 in half: unescape first, then decode.
// Anything else stays as it is.
func AppendUnescaped(dst, src []byte) []byte {
	for i := 0; i < len(src); i++ {
		c := src[i]
		if c == '\\' && i+4 < len(src) && src[i+1] == '#' &&
			'0' <= src[i+2] && src[i+2] <= '3' && isOctal(src[i+3]) && isOctal(src[i+4]) {
			c = (src[i+2]-'0')<<6 | (src[i+3]-'0')<<3 | (src[i+4] - '0')
			i += 4
		}
		dst = append(dst, c)
	}
	return dst
}

func isOctal(c byte) bool { return '0' <= c && c <= '7' }

// LooksLikeTransfer guesses whether an unrecognised text is a transfer line of another log format.
// It serves hints to people; nothing is counted by it. Such a line begins with the operation (%o),
// holds the item (%i), holds the operation and one of an address, a number at an end and a path, or
// holds these three.
func LooksLikeTransfer(text []byte) bool {
	const longest = 512 // the rest is the name of a file
	whole := len(text) <= longest
	var operation, addressed, counted, pathed bool
	n := 0
	for rest := text[:min(len(text), longest)]; len(rest) > 0; n++ {
		var word []byte
		word, rest, _ = bytes.Cut(rest, []byte(" "))
		last := len(rest) == 0 && whole
		switch {
		case (len(word) == 9 || len(word) == 11) && isItem(word):
			return true
		case isOperation(word):
			if n == 0 && len(rest) > 0 {
				return true
			}
			operation = true
		case isAddr(trimBrackets(word)) && bytes.Count(word, []byte(".")) != 1: // 1.5 is a number, v2.7 none of them
			addressed = true
		case (n == 0 || last) && allDigits(word):
			counted = true
		case bytes.IndexByte(word, '/') >= 0:
			pathed = true
		}
	}
	return operation && (addressed || counted || pathed) || addressed && counted && pathed
}

// isOperation says whether a word is %o.
func isOperation(word []byte) bool {
	return string(word) == "send" || string(word) == "recv" || string(word) == "del."
}

// trimBrackets takes one pair of brackets off an address.
func trimBrackets(word []byte) []byte {
	if n := len(word); n > 2 && (word[0] == '[' && word[n-1] == ']' || word[0] == '(' && word[n-1] == ')') {
		return word[1 : n-1]
	}
	return word
}
