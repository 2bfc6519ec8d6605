package syslog

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"rsyncd_exporter/receiver"
)

// jsonFields reads a JSON object field by field (RFC 8259 section 4). It validates only what it
// must to find where each value ends.
type jsonFields struct {
	rest []byte // behind the '{' or a ','
	ok   bool   // the object has ended where it should
}

// next returns the next field, its name without quotation marks and its value; nil behind the last.
func (f *jsonFields) next() (name, value []byte) {
	f.rest = jsonSpace(f.rest)
	end := jsonStringEnd(f.rest)
	if end == 0 {
		f.ok = len(f.rest) > 0 && f.rest[0] == '}' && len(jsonSpace(f.rest[1:])) == 0
		return nil, nil
	}
	name, f.rest = f.rest[1:end-1], jsonSpace(f.rest[end:])
	if len(f.rest) == 0 || f.rest[0] != ':' {
		return nil, nil
	}
	f.rest = jsonSpace(f.rest[1:])
	end = jsonValueEnd(f.rest)
	if value, f.rest = f.rest[:end], jsonSpace(f.rest[end:]); end == 0 || len(f.rest) == 0 {
		return nil, nil
	}
	switch f.rest[0] {
	case ',':
		f.rest = f.rest[1:]
	case '}':
	default:
		return nil, nil
	}
	return name, value
}

func jsonSpace(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// jsonStringEnd returns where the string at the start of b ends, quotation mark included; 0 if
// there is none.
func jsonStringEnd(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// jsonValueEnd returns where the value at the start of b ends; 0 if there is none.
func jsonValueEnd(b []byte) int {
	if len(b) > 0 && b[0] == '"' {
		return jsonStringEnd(b)
	}
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n := jsonStringEnd(b[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		case '[', '{':
			depth++
		case ']', '}', ',':
			if depth == 0 { // the end of what the value stands in
				return i
			}
			if b[i] != ',' {
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	return 0
}

// scanJSON reads a line of journalctl -o json, or of docker's json-file.
func scanJSON(line []byte, m *receiver.Message) receiver.Discard {
	m.Scratch = m.Scratch[:0]
	f := jsonFields{rest: line[1:]}
	var log, at, journal, host, tag, pid, ownPID, text, priority, facility []byte
	part := false
	for name, value := f.next(); value != nil; name, value = f.next() {
		switch string(name) {
		case "log":
			log = value
		case "time":
			at = value
		case "__REALTIME_TIMESTAMP":
			journal = value
		case "_HOSTNAME":
			host = value
		case "SYSLOG_IDENTIFIER":
			tag = value
		case "_PID": // the kernel's word, which the text forms of journalctl print, too
			pid = value
		case "SYSLOG_PID":
			ownPID = value
		case "MESSAGE":
			text = value
		case "PRIORITY":
			priority = value
		case "SYSLOG_FACILITY":
			facility = value
		case "CONTAINER_PARTIAL_MESSAGE", "CONTAINER_PARTIAL_ID": // docker's journald driver; begins anywhere
			part = true
		}
	}
	switch {
	case !f.ok, part:
		return receiver.NoHeader
	case log != nil && journal == nil:
		m.Stamp = valueOrNil(unescape(m, at))
		line, d := trimMessage(unescape(m, log))
		if d != receiver.Kept {
			return d
		}
		return scanOwn(line, m)
	case journal == nil || text == nil:
		return receiver.NoHeader
	}
	m.Stamp, m.Host = valueOrNil(unescape(m, journal)), valueOrNil(unescape(m, host))
	if m.Tag = unescape(m, tag); m.Tag == nil {
		m.Tag = []byte{}
	}
	if pid == nil {
		pid = ownPID
	}
	if digits := unescape(m, pid); digitsEnd(digits, 0) == len(digits) {
		m.PID = parsePID(digits)
	}
	if p := unescape(m, priority); len(p) == 1 && p[0]-'0' < 8 {
		m.Severity, m.Facility = int8(p[0]-'0'), 1 // user: journald's own where the sender names none
		if v := unescape(m, facility); len(v) > 0 && len(v) < 3 && digitsEnd(v, 0) == len(v) && parsePID(v) < 24 {
			m.Facility = int8(parsePID(v))
		}
	}
	m.Text = unescape(m, text)
	return keptIfText(m)
}

// unescape returns the bytes that a JSON string, or an array of numbers, stands for; nil for
// anything else. Where an LF at the end is the only escape it is left out. Without escapes the
// bytes are a view of the string; otherwise they are in m.Scratch.
func unescape(m *receiver.Message, value []byte) []byte {
	switch {
	case len(value) > 0 && value[0] == '[':
		return unescapeArray(m, value)
	case len(value) < 2 || value[0] != '"':
		return nil
	}
	s := value[1 : len(value)-1]
	switch escape := bytes.IndexByte(s, '\\'); {
	case escape < 0:
		return s
	case escape == len(s)-2 && s[escape+1] == 'n':
		return s[:escape]
	}
	return unescapeAll(m, value)
}

// unescapeAll returns all the bytes that a JSON string stands for, in m.Scratch.
func unescapeAll(m *receiver.Message, value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	s := value[1 : len(value)-1]
	start := len(m.Scratch)
	for escape := bytes.IndexByte(s, '\\'); escape >= 0; escape = bytes.IndexByte(s, '\\') {
		m.Scratch = append(m.Scratch, s[:escape]...)
		s = unescapeOne(m, s[escape:])
	}
	m.Scratch = append(m.Scratch, s...)
	return m.Scratch[start:]
}

// unescapeOne appends what the escape at the start of s stands for (RFC 8259 section 7) and returns
// the rest.
func unescapeOne(m *receiver.Message, s []byte) []byte {
	const short, long = "\"\\/bfnrt", "\"\\/\b\f\n\r\t"
	if i := strings.IndexByte(short, s[1]); i >= 0 {
		m.Scratch = append(m.Scratch, long[i])
		return s[2:]
	}
	r, n := utf8.RuneError, 2
	if v, ok := hexEscape(s); ok {
		r, n = v, 6
		if low, ok := hexEscape(s[6:]); ok && utf16.DecodeRune(v, low) != utf8.RuneError {
			r, n = utf16.DecodeRune(v, low), 12
		}
	}
	m.Scratch = utf8.AppendRune(m.Scratch, r)
	return s[n:]
}

// hexEscape reads "\u0041".
func hexEscape(s []byte) (v rune, ok bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	u, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return rune(u), err == nil
}

// unescapeArray returns the bytes whose values stand in "[99,111]", as journalctl writes what is no
// printable text; nil for any other array. A field that was given twice is an array of strings.
func unescapeArray(m *receiver.Message, value []byte) []byte {
	start := len(m.Scratch)
	v, digits := 0, 0
	for _, c := range value[1:] {
		switch {
		case isDigit(c) && digits < 3:
			v, digits = v*10+number(c), digits+1
		case (c == ',' || c == ']') && digits > 0 && v < 256:
			m.Scratch = append(m.Scratch, byte(v))
			v, digits = 0, 0
		case c == ' ':
		default:
			return nil
		}
	}
	return m.Scratch[start:]
}
