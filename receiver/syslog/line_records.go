package syslog

import (
	"bytes"

	"rsyncd_exporter/receiver"
)

const (
	BlockBytes = 256 << 10 // bytes read at once
	SlabLines  = 2048      // messages in one slab: a block of nothing but LF would take 6 MiB of slice headers

	// RsyncText is where rsync cuts a message, newline included: log.c formats into buffers of 2048
	// bytes.
	RsyncText = 2047
)

// A Skipped says what of the next bytes is not to be read, since it has been counted.
type Skipped struct {
	Rest  bool // the rest of a line, to its LF
	Parts byte // the parts of a line in these streams of a container, to its last one; onStdout, onStderr or both
}

// TakeLines appends the complete lines of data[from:] to s, up to SlabLines, and returns how many
// bytes they take. That is up to the start of a line, unless skip.Rest is set before or after: then
// a line that exceeds MaxMessage (a container's, partsLimit) is thrown away to its end and counted
// once, so that an endless line needs no memory. A long line that begins with a record that rsync
// has cut gives that record, and the rest is the next line: deleting a tree whose paths are all too
// long makes one line of all its records. Of more than partsLimit bytes and a line, some are always
// taken.
//
// NULs before a line are no part of it: a log file that was truncated under a writer without
// O_APPEND has a hole there.
func TakeLines(s *receiver.Slab, data []byte, from int, skip *Skipped) (used int) {
	at := from
	for at < len(data) && len(s.Messages) < SlabLines {
		if data[at] == 0 && !skip.Rest {
			at += NULsEnd(data[at:])
			continue
		}
		line, ended := data[at:], false
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			line, ended = line[:end:end], true
		}
		container := mayBePart(line)
		tooLong := len(line) > receiver.MaxMessage && (!container || len(line) > partsLimit)
		switch {
		case skip.Rest && !ended:
			return len(data) - from
		case skip.Rest:
			skip.Rest = false
		case tooLong:
			if cut := recordEnd(line); cut > 0 {
				s.Messages = append(s.Messages, line[:cut:cut])
				at += cut
				continue
			}
			s.Discarded[receiver.Oversize]++
			if !ended {
				skip.Rest = true
				return len(data) - from
			}
		case !ended:
			return at - from
		case container && skip.Parts != 0 && skip.skips(line):
		case container && isPart(line):
			n, stream := takeParts(s, data[at:])
			if n == 0 {
				return at - from
			}
			skip.Parts |= stream
			at += n
			continue
		default:
			appendRecords(s, line)
		}
		at += len(line) + 1
	}
	return at - from
}

// skips says whether a line is one of the parts that are skipped.
func (k *Skipped) skips(line []byte) bool {
	p, ok := readPart(line)
	if !ok || p.stream&k.Parts == 0 {
		return false
	}
	if !p.more {
		k.Parts &^= p.stream
	}
	return true
}

// NULsEnd returns how many NULs b begins with.
func NULsEnd(b []byte) int { return len(b) - len(bytes.TrimLeft(b, "\x00")) }

// appendRecords appends the messages of one line: several where rsync has left out the newlines
// between them. What a container's log has before the first one is put before each.
func appendRecords(s *receiver.Slab, line []byte) {
	s.Messages = append(s.Messages, appendWhole(s, line))
}

// appendWhole appends all but the last record, which it returns.
func appendWhole(s *receiver.Slab, line []byte) (last []byte) {
	if len(line) <= RsyncText {
		return line
	}
	prefix := line[:ownStart(line)]
	for {
		cut := recordEnd(line[len(prefix):])
		if cut == 0 {
			return line
		}
		cut += len(prefix)
		s.Messages = append(s.Messages, line[:cut:cut])
		if line = line[cut:]; len(prefix) > 0 {
			line = append(prefix[:len(prefix):len(prefix)], line...)
		}
	}
}

// ownStart returns where a line of rsync's own log begins behind what a container's log puts before
// it, or 0.
func ownStart(line []byte) int {
	if len(line) == 0 || rsyncStampLength(line) > 0 {
		return 0
	}
	var m receiver.Message
	body := cutCompose(line, &m)
	if n := stampLength(line); body == nil && n > 0 {
		body = cutContainerStamp(line, n, &m)
	}
	if body == nil {
		return 0
	}
	return len(line) - len(body)
}

// recordEnd returns where the next record is glued to the first one of the line, or 0. rsync cuts
// the text of a message at RsyncText bytes, counted before it escapes control characters as \#ooo
// (log.c:filtered_fwrite, since 3.5.0), so that the newline is lost. Only a header at exactly that
// place begins a record: a file name can hold anything that looks like a header. (Before 3.5.0
// nothing is escaped, and a name that holds \#ooo may hide a cut.)
//
// With a header before that place nothing is split. It may be a record's own: a client can have the
// daemon log a text without its line feed, so that all behind that header is the client's. The
// price is that the record behind a cut file name that holds a header is lost in its line.
func recordEnd(line []byte) int {
	head := RsyncHeader(line)
	i := head
	if i == 0 {
		return 0
	}
	for n := 0; n < RsyncText; n++ {
		if i >= len(line) {
			return 0
		}
		if line[i] == '\\' && isEscape(line[i:]) {
			i += len(`\#ooo`)
		} else {
			i++
		}
	}
	if i > len(line) || RsyncHeader(line[i:]) == 0 {
		return 0
	}
	for at := head; at < i; at++ {
		if RsyncHeader(line[at:]) > 0 {
			return 0
		}
	}
	return i
}

// RsyncHeader returns the length of "2026/11/23 18:40:52 [505] " at the start of b (log.c:logit),
// or 0.
func RsyncHeader(b []byte) int {
	open := rsyncStampLength(b)
	if open == 0 {
		return 0
	}
	end := digitsEnd(b, open)
	if end == open || end+1 >= len(b) || b[end] != ']' || b[end+1] != ' ' {
		return 0
	}
	return end + 2
}

// isEscape reports whether b starts with \#ooo.
func isEscape(b []byte) bool {
	return len(b) >= 5 && b[0] == '\\' && b[1] == '#' && isOctal(b[2]) && isOctal(b[3]) && isOctal(b[4])
}

func isOctal(c byte) bool { return c-'0' <= 7 }
