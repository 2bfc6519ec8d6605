package receiver

// stampLength returns how long the stamp at the start of b is, the one space behind it included, or 0 if there is none. Behind a
// stamp stands a space or the end of b. Fractions of a second are taken in either form: syslog-ng can add them to RFC 3164's.
func stampLength(b []byte) int {
	n := 0
	switch {
	case len(b) == 0:
		return 0
	case isDigit(b[0]):
		if n = shapeLength(b, "0000-00-00T00:00:00"); n == 0 { // RFC 3339 section 5.6, as RFC 5424 section 6.2.3 narrows it
			return 0
		}
		n = zoneEnd(b, fractionEnd(b, n))
	default:
		if !isBSDStamp(b) {
			return 0
		}
		n = fractionEnd(b, bsdStamp)
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

// stampIn returns the stamp that stampLength has found at the start of b, of that length; nil where there is none.
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

// isBSDStamp says whether b starts with the shape "Aaa _0 00:00:00", RFC 3164 section 4.1.2. It is shapeLength unrolled,
// since nearly every message begins so.
func isBSDStamp(b []byte) bool {
	if len(b) < bsdStamp {
		return false
	}
	b = b[:bsdStamp]
	return b[3] == ' ' && b[6] == ' ' && b[9] == ':' && b[12] == ':' &&
		b[0]-'A' < 26 && b[1]-'a' < 26 && b[2]-'a' < 26 && (isDigit(b[4]) || b[4] == ' ') && isDigit(b[5]) &&
		isDigit(b[7]) && isDigit(b[8]) && isDigit(b[10]) && isDigit(b[11]) && isDigit(b[13]) && isDigit(b[14])
}

// rsyncStampLength returns the length of "2026/11/23 18:40:52 [" if b starts so, else 0: rsync log.c:logit, timestring and
// "[%d] ". Unrolled for the same reason.
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

// shapeLength returns len(shape) if b starts with shape, else 0. In shape, 0 stands for a digit, _ for a digit or a space, A and a
// for an ASCII letter of that case, and any other byte for itself.
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

// fractionEnd returns where the fraction of a second at b[n:] ends, n if there is none, and 0 for a '.' without digits.
func fractionEnd(b []byte, n int) int {
	if n == len(b) || b[n] != '.' {
		return n
	}
	end := digitsEnd(b, n+1)
	if end == n+1 {
		return 0
	}
	return end
}

// zoneEnd returns where the time zone at b[n:] ends, or 0 if there is none or n is 0.
func zoneEnd(b []byte, n int) int {
	switch {
	case n == 0 || n == len(b):
		return 0
	case b[n] == 'Z':
		return n + 1
	case shapeLength(b[n:], "+00:00") > 0 || shapeLength(b[n:], "-00:00") > 0:
		return n + len("+00:00")
	}
	return 0
}
