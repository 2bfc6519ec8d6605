package syslog

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"rsyncd_exporter/receiver"
)

// A linePattern is the dialect of a log file whose lines a regular expression describes. It allocates for every line.
type linePattern struct {
	re          *regexp.Regexp
	description int // index of that group
	pid         int // index of that group, or -1
	date        int // as pid
	timestamp   int // as pid
}

// Scan implements Dialect: a line that the expression does not match is NoHeader.
func (p *linePattern) Scan(raw []byte, m *receiver.Message) receiver.Discard {
	line, d := trimMessage(raw)
	if d != receiver.Kept {
		return d
	}
	at := p.re.FindSubmatchIndex(line)
	if at == nil {
		return receiver.NoHeader
	}
	*m = receiver.Message{Facility: -1, Severity: -1, Stamp: p.stamp(line, at), Text: submatch(line, at, p.description)}
	if pid := submatch(line, at, p.pid); digitsEnd(pid, 0) == len(pid) {
		m.PID = parsePID(pid)
	}
	return keptIfText(m)
}

// stamp returns what the groups date and timestamp matched: both with the one byte in between, where timestamp
// follows date behind a space or a 'T', or the one that took part.
func (p *linePattern) stamp(line []byte, at []int) []byte {
	date, timestamp := submatch(line, at, p.date), submatch(line, at, p.timestamp)
	switch {
	case date == nil:
		return trimStamp(timestamp)
	case timestamp == nil:
		return trimStamp(date)
	}
	end, start := at[2*p.date+1], at[2*p.timestamp]
	if start != end+1 || line[end] != ' ' && line[end] != 'T' {
		return nil
	}
	return trimStamp(line[at[2*p.date]:at[2*p.timestamp+1]])
}

// trimStamp takes the spaces around a stamp off, and returns nil if nothing is left.
func trimStamp(b []byte) []byte {
	if b = bytes.Trim(b, " "); len(b) == 0 {
		return nil
	}
	return b
}

// submatch returns what a group matched, or nil if it has no index or took no part in the match.
func submatch(line []byte, at []int, group int) []byte {
	if group < 0 || at[2*group] < 0 {
		return nil
	}
	return line[at[2*group]:at[2*group+1]]
}

// ParseLineFormat makes the dialect that LINE_FORMAT names: "auto" is Lines; anything else is a regular expression that matches a
// line from its start, as Python's re.match does. Its group "description" is the daemon's text and must be there; its group "pid" is
// the process id, without which sessions can't be told apart. "date" and "timestamp" are when the line was written:
// the stamp is both, if timestamp follows date behind one space or 'T', or the only one of them that takes part. One
// in another shape than those that Stamps.Time reads is not read as a time; the line then has the time of its
// arrival. All other groups are allowed and not looked at. The error of a refused expression says where it is wrong
// and what to write instead.
func ParseLineFormat(s string) (receiver.Dialect, error) {
	if s == "auto" {
		return Lines{}, nil
	}
	if at, construct, remedy := findPythonOnly(s); construct != "" {
		return nil, fmt.Errorf("line format %q: %q at byte %d is Python's: %s", s, construct, at, remedy)
	}
	if _, err := regexp.Compile(s); err != nil { // by itself, so that the error shows what was given, not what is made of it
		return nil, fmt.Errorf("line format %q: %w; the syntax is that of https://golang.org/s/re2syntax", s, err)
	}
	re, err := regexp.Compile(`\A(?:` + s + `)`)
	if err != nil {
		return nil, fmt.Errorf("line format %q: %w", s, err)
	}
	p := &linePattern{
		re: re, description: re.SubexpIndex("description"), pid: re.SubexpIndex("pid"),
		date: re.SubexpIndex("date"), timestamp: re.SubexpIndex("timestamp"),
	}
	if p.description < 0 {
		return nil, fmt.Errorf("line format %q: no group (?P<description>...); put one around the part of a line that is the daemon's "+
			"text, or use \"auto\"", s)
	}
	for i, name := range re.SubexpNames() {
		if (name == "description" || name == "pid") && i != re.SubexpIndex(name) {
			return nil, fmt.Errorf("line format %q: group %q is there twice; write one group, with the alternatives inside", s, name)
		}
	}
	return p, nil
}

// findPythonOnly looks for syntax that Python's re knows and Go's regexp refuses, or takes for something else as it does "{,3}".
// It returns the construct, its position in bytes and what to do about it, or an empty construct.
func findPythonOnly(s string) (at int, construct, remedy string) {
	quantified := false // the byte before i is a quantifier
	for i := 0; i < len(s); i++ {
		wasQuantified := quantified
		quantified = false
		at = i
		switch s[i] {
		case '\\':
			construct, remedy = pythonEscape(s[i:])
			i++
		case '[':
			i = classEnd(s, i)
		case '(':
			construct, remedy = pythonGroup(s[i:])
		case '{':
			if n := upperBoundOnly(s[i:]); n > 0 {
				construct, remedy = s[i:i+n], "write the lower bound too, as in {0,3}"
			}
		case '*', '?', '+':
			quantified = true
			if wasQuantified && s[i] == '+' {
				at, construct = i-1, s[i-1:i+1]
				remedy = "possessive quantifiers do not exist here and are not needed, matching takes linear time; drop the second +"
			}
		}
		if construct != "" {
			return at, construct, remedy
		}
	}
	return 0, "", ""
}

// pythonEscape judges the escape sequence that s starts with.
func pythonEscape(s string) (construct, remedy string) {
	switch {
	case len(s) < 2:
		return "", ""
	case '1' <= s[1] && s[1] <= '9':
		return s[:2], "backreferences do not exist here; repeat the sub-expression"
	case s[1] == 'Z':
		return s[:2], `write \z or $`
	}
	return "", ""
}

// pythonGroup judges the group that s starts with.
func pythonGroup(s string) (construct, remedy string) {
	const lookaround = "lookahead and lookbehind do not exist here; match the text itself, outside the named groups"
	for _, g := range [...]struct{ construct, remedy string }{
		{"(?=", lookaround}, {"(?!", lookaround}, {"(?<=", lookaround}, {"(?<!", lookaround},
		{"(?P=", "backreferences do not exist here; repeat the sub-expression"},
		{"(?(", "conditional groups do not exist here; write the alternatives out with |"},
		{"(?>", "atomic groups do not exist here and are not needed, matching takes linear time; write (?:"},
		{"(?#", "comments do not exist here; take it out"},
	} {
		if strings.HasPrefix(s, g.construct) {
			return g.construct, g.remedy
		}
	}
	return "", ""
}

// upperBoundOnly returns the length of the quantifier "{,digits}" that s starts with, or 0.
func upperBoundOnly(s string) int {
	digits, ok := strings.CutPrefix(s, "{,")
	rest := strings.TrimLeft(digits, "0123456789")
	if !ok || len(rest) == len(digits) || rest == "" || rest[0] != '}' {
		return 0
	}
	return len(s) - len(rest) + 1
}

// classEnd returns where the ']' is that ends the character class at s[i], or len(s). A ']' that comes first is a member.
func classEnd(s string, i int) int {
	i++
	if i < len(s) && s[i] == '^' {
		i++
	}
	for first := i; i < len(s) && (s[i] != ']' || i == first); i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return i
}
