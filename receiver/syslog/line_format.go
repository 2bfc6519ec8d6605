package syslog

import (
	"bytes"
	"fmt"
	"regexp"

	"rsyncd_exporter/receiver"
)

// A linePattern is the dialect of lines that a regular expression describes. It allocates for every
// line.
type linePattern struct {
	re                   *regexp.Regexp
	description          int // index of that group
	pid, date, timestamp int // indexes of those groups, -1 where they aren't there
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

// stamp returns what the groups date and timestamp matched: both, with the one byte between, or one
// of them.
func (p *linePattern) stamp(line []byte, at []int) []byte {
	date, timestamp := submatch(line, at, p.date), submatch(line, at, p.timestamp)
	switch {
	case date == nil:
		return bytes.Trim(timestamp, " ")
	case timestamp == nil:
		return bytes.Trim(date, " ")
	}
	end, start := at[2*p.date+1], at[2*p.timestamp]
	if start != end+1 || line[end] != ' ' && line[end] != 'T' {
		return nil
	}
	return bytes.Trim(line[at[2*p.date]:at[2*p.timestamp+1]], " ")
}

// submatch returns what a group matched, nil if there is no such group or it took no part.
func submatch(line []byte, at []int, group int) []byte {
	if group < 0 || at[2*group] < 0 {
		return nil
	}
	return line[at[2*group]:at[2*group+1]]
}

// ParseLineFormat makes the dialect that LINE_FORMAT names: "auto" is Lines; anything else is a
// regular expression that matches a line from its start. Its named groups are:
//
//	description          the daemon's text; it must be there
//	pid                  the process id, without which sessions can't be told apart
//	date, timestamp      the stamp, if timestamp follows date behind one space or 'T', or the only one of
//	                     them that takes part
//
// A line whose stamp has a shape that Stamps.Time doesn't read has the time of its arrival. Other
// groups are not looked at. The error of a refused expression says where it is wrong and what to
// write instead.
func ParseLineFormat(s string) (receiver.Dialect, error) {
	if s == "auto" {
		return Lines{}, nil
	}
	if _, err := regexp.Compile(s); err != nil { // by itself, so that the error shows what was given
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
		return nil, fmt.Errorf("line format %q: no group (?P<description>...); "+
			"put one around the part of a line that is the daemon's text, or use \"auto\"", s)
	}
	for i, name := range re.SubexpNames() {
		if (name == "description" || name == "pid") && i != re.SubexpIndex(name) {
			return nil, fmt.Errorf("line format %q: group %q is there twice; "+
				"write one group, with the alternatives inside", s, name)
		}
	}
	return p, nil
}
