package receiver

// Lines is the dialect of log file lines that LINE_FORMAT=auto names: rsync's own log file,
//
//	2026/11/23 18:40:52 [505] text
//
// which gives a Message without Host, Tag, facility and severity, and the files of syslog daemons, whose lines are Auto's headers
// with a host, with or without a priority but never without a stamp. Anything else is NoHeader: the rest of a record that a file
// name with a line feed has split (rsync before 3.5.0 does not escape it), or a line that something else wrote.
type Lines struct{}

// Scan implements Dialect. The slices that it sets point into raw, which may end in its LF or not. It is safe for concurrent use.
func (Lines) Scan(raw []byte, m *Message) Discard {
	open := rsyncStampLength(raw)
	if open == 0 {
		return scanSyslog(raw, m, false, true)
	}
	line, d := trimMessage(raw)
	if d != Kept {
		return d
	}
	end := digitsEnd(line, open)
	if end == open || end == len(line) || line[end] != ']' || end+1 < len(line) && line[end+1] != ' ' {
		return NoHeader
	}
	*m = Message{Facility: -1, Severity: -1, PID: parsePID(line[open:end]), Text: cutSpace(line[end+1:])}
	m.Stamp = line[:open-len(" [")]
	return keptIfText(m)
}
