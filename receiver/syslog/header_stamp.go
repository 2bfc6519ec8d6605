package syslog

import "bytes"

// stampLength returns how long the stamp at the start of b is, one space behind it included, or 0.
// A space or the end of b follows a stamp. These are known, each with or without a fraction of a
// second behind '.' or ',':
//
//	Nov 23 18:40:52              RFC 3164 section 4.1.2; day 3 is " 3", "03" or "3"
//	2026 Nov 23 18:40:52         with a year first, third or last
//	2026-11-23T18:40:52+01:00    RFC 3339 section 5.6; also "+0100", without a zone, and with a space for the T
//	Mon Nov 23 18:40:52 2026     ctime(3): OpenWrt's logread
//	Mon 2026-11-23 18:40:52 CET  journalctl -o short-full
func stampLength(b []byte) int {
	n := 0
	switch {
	case len(b) == 0:
		return 0
	case isBSDStamp(b):
		if n = bsdStamp + 1; n < len(b) && b[bsdStamp] == ' ' && b[n] != '1' && b[n] != '2' { // nearly always
			return n
		}
		if n = fractionEnd(b, bsdStamp); n+1 < len(b) && (b[n+1] == '1' || b[n+1] == '2') {
			n += yearBehind(b[n:])
		}
	case isISOStamp(b):
		n = zoneEnd(b, fractionEnd(b, isoStamp))
	default:
		n = rareStamp(b)
	}
	switch {
	case n == 0:
		return 0
	case n == len(b):
		return n
	case b[n] == ' ':
		return n + 1
	}
	return 0
}

// rareStamp is stampLength for other shapes, less the space.
func rareStamp(b []byte) int {
	for i := range rareShapes {
		s := &rareShapes[i]
		n := shapeLength(b, s.shape)
		if n == 0 {
			continue
		}
		if n = fractionEnd(b, n); s.year < 0 && n > 0 {
			n += yearBehind(b[n:])
		}
		return n
	}
	if shapeLength(b, "Aaa ") == 0 {
		return 0
	}
	const weekday = len("Mon ")
	switch rest := b[weekday:]; {
	case isBSDStamp(rest):
		n := fractionEnd(b, weekday+bsdStamp)
		if year := yearBehind(b[n:]); year > 0 && n > 0 {
			return n + year
		}
	case isISOStamp(rest):
		n := fractionEnd(b, weekday+isoStamp)
		if zone := zoneName(b[n:]); zone > 0 && n > 0 {
			return n + zone
		}
	}
	return 0
}

// yearBehind returns the length of " 2026" at the start of b, or 0. Only these two centuries: what
// stands there may be a host's name.
func yearBehind(b []byte) int {
	const n = len(" 2026")
	if len(b) < n || b[0] != ' ' || !isDigit(b[1]) || !isDigit(b[2]) || !isDigit(b[3]) || !isDigit(b[4]) ||
		len(b) > n && b[n] != ' ' || string(b[1:3]) != "20" && string(b[1:3]) != "19" {
		return 0
	}
	return n
}

// zoneName returns the length of " CET" or " +01", as strftime's %Z writes a zone, at the start of
// b, or 0.
func zoneName(b []byte) int {
	if len(b) < 2 || b[0] != ' ' {
		return 0
	}
	end := 1
	for end < len(b) && (b[end]-'A' < 26 || isDigit(b[end]) || b[end] == '+' || b[end] == '-') {
		end++
	}
	if end < len(" UTC") || end > len(" +NNNNN") {
		return 0
	}
	return end
}

// journalStamp returns the length of what stands before the host in lines of journalctl -o
// short-unix and short-monotonic (short-delta), with one space behind it, or 0. stamp is the time
// alone, if it is a clock's.
//
//	1795459252.123456 host rsyncd[505]: text
//	[ 4322.398721] host rsyncd[505]: text
//	[ 4322.398721 <    1.398721 >] host rsyncd[505]: text
func journalStamp(b []byte) (n int, stamp []byte) {
	if n = shapeLength(b, "0000000000.000000 "); n > 0 {
		return n, b[:n-1]
	}
	end := bytes.Index(b, []byte("] "))
	if end < 0 || b[0] != '[' {
		return 0, nil
	}
	inside := bytes.TrimLeft(b[1:end], " ")
	seconds := digitsEnd(inside, 0)
	fraction := fractionEnd(inside, seconds)
	if seconds == 0 || fraction <= seconds || len(bytes.Trim(inside[fraction:], "0123456789 .<>*")) > 0 {
		return 0, nil
	}
	return end + len("] "), nil
}

// stampIn returns what stampLength has found without the space; nil where that is nothing.
func stampIn(b []byte) []byte {
	switch n := len(b); {
	case n == 0:
		return nil
	case b[n-1] == ' ':
		return b[:n-1]
	}
	return b
}

// bsdStamp is the length of "Nov 23 18:40:52".
const bsdStamp = 15

// isBSDStamp says whether b starts with the shape "Aaa _0 00:00:00" (RFC 3164 section 4.1.2). It is
// shapeLength unrolled, since nearly every message begins so.
func isBSDStamp(b []byte) bool {
	if len(b) < bsdStamp {
		return false
	}
	b = b[:bsdStamp]
	return b[3] == ' ' && b[6] == ' ' && b[9] == ':' && b[12] == ':' &&
		b[0]-'A' < 26 && b[1]-'a' < 26 && b[2]-'a' < 26 && (isDigit(b[4]) || b[4] == ' ') && isDigit(b[5]) &&
		isDigit(b[7]) && isDigit(b[8]) && isDigit(b[10]) && isDigit(b[11]) && isDigit(b[13]) && isDigit(b[14])
}

// isoStamp is the length of "2026-11-23T18:40:52".
const isoStamp = 19

// isISOStamp is for "0000-00-00T00:00:00", or the same with a space for the T. Unrolled, too.
func isISOStamp(b []byte) bool {
	if len(b) < isoStamp {
		return false
	}
	b = b[:isoStamp]
	return b[4] == '-' && b[7] == '-' && (b[10] == 'T' || b[10] == ' ') && b[13] == ':' && b[16] == ':' &&
		isDigit(b[0]) && isDigit(b[1]) && isDigit(b[2]) && isDigit(b[3]) && isDigit(b[5]) && isDigit(b[6]) &&
		isDigit(b[8]) && isDigit(b[9]) && isDigit(b[11]) && isDigit(b[12]) && isDigit(b[14]) && isDigit(b[15]) &&
		isDigit(b[17]) && isDigit(b[18])
}

// rsyncStampLength returns the length of "2026/11/23 18:40:52 [" (rsync log.c:logit, timestring) if
// b starts so, else 0. Unrolled, too.
func rsyncStampLength(b []byte) int {
	const n = len("0000/00/00 00:00:00 [")
	if len(b) < n {
		return 0
	}
	b = b[:n]
	if b[4] == '/' && b[7] == '/' && b[10] == ' ' && b[13] == ':' && b[16] == ':' && b[19] == ' ' && b[20] == '[' &&
		isDigit(b[0]) && isDigit(b[1]) && isDigit(b[2]) && isDigit(b[3]) && isDigit(b[5]) && isDigit(b[6]) &&
		isDigit(b[8]) && isDigit(b[9]) && isDigit(b[11]) && isDigit(b[12]) && isDigit(b[14]) && isDigit(b[15]) &&
		isDigit(b[17]) && isDigit(b[18]) {
		return n
	}
	return 0
}

// shapeLength returns len(shape) if b starts with shape, else 0. In shape, 0 stands for a digit, _
// for a digit or a space, A and a for an ASCII letter of that case, and any other byte for itself.
func shapeLength(b []byte, shape string) int {
	if len(b) < len(shape) {
		return 0
	}
	for i := range len(shape) {
		c := b[i]
		switch shape[i] {
		case '0':
			if !isDigit(c) {
				return 0
			}
		case '_':
			if !isDigit(c) && c != ' ' {
				return 0
			}
		case 'A':
			if c < 'A' || c > 'Z' {
				return 0
			}
		case 'a':
			if c < 'a' || c > 'z' {
				return 0
			}
		default:
			if c != shape[i] {
				return 0
			}
		}
	}
	return len(shape)
}

// fractionEnd returns where a fraction of a second at b[n:] ends: n if there is none, 0 for a '.'
// or ',' without digits.
func fractionEnd(b []byte, n int) int {
	if n == len(b) || b[n] != '.' && b[n] != ',' {
		return n
	}
	end := digitsEnd(b, n+1)
	if end == n+1 {
		return 0
	}
	return end
}

// zoneEnd returns where the time zone at b[n:] ends: n if there is none, or if n is 0.
func zoneEnd(b []byte, n int) int {
	switch {
	case n == 0 || n == len(b):
		return n
	case b[n] == 'Z':
		return n + 1
	case b[n] != '+' && b[n] != '-':
		return n
	}
	for _, shape := range [...]string{"00:00", "0000"} {
		if length := shapeLength(b[n+1:], shape); length > 0 {
			return n + 1 + length
		}
	}
	return n
}
