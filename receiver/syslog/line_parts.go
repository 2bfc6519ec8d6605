package syslog

import (
	"bytes"

	"rsyncd_exporter/receiver"
)

// One line that a container logs may be several lines of the file, a part each. rsync's own lines
// are short enough for one, but cut records are glued to the next, and a client that sends texts
// without a line feed glues as many as it likes. A part begins anywhere within a line, and is not
// read as one.

const (
	// dockerPart is the length of the parts into which docker cuts a line (daemon/logger/copier.go:
	// defaultBufSize). Its json-file doesn't mark them. A shorter one without a line feed is what a
	// container said last.
	dockerPart = 16 << 10

	// partsLimit is how many bytes the parts of one line may take, less than any reader's buffer.
	partsLimit = BlockBytes / 2
)

// A part is one line of a container's log.
type part struct {
	stamp  []byte
	stream byte   // onStdout or onStderr
	body   []byte // what the container wrote, without its LF
	more   bool   // the line goes on in the next part
}

// The streams that a container writes to, each a bit.
const (
	onStdout byte = 1 << iota
	onStderr
)

// mayBePart says whether a line may be one of a CRI log or of docker's json-file.
func mayBePart(line []byte) bool {
	return len(line) > isoStamp && (line[0] == '{' || line[10] == 'T' && isDigit(line[0]))
}

// isPart says whether a line has to be put together with others, or taken apart.
func isPart(line []byte) bool {
	if line[0] == '{' && len(line) <= RsyncText { // neither docker's cut nor rsync's
		return false
	}
	p, ok := readPart(line)
	return ok && (p.more || line[0] == '{')
}

// readPart reads a line of a container's log; it is not ok for any other. The body of docker's is a
// copy.
func readPart(line []byte) (p part, ok bool) {
	if line[0] != '{' {
		n := stampLength(line)
		if n <= isoStamp {
			return part{}, false
		}
		length := criLength(line[n:])
		if length == 0 {
			return part{}, false
		}
		const stream = len("stdout")
		p = part{stamp: stampIn(line[:n]), stream: onStdout, body: line[n+length:]}
		if line[n+len("std")] == 'e' {
			p.stream = onStderr
		}
		p.more = line[n+stream+1] == 'P'
		return p, true
	}
	f := jsonFields{rest: line[1:]}
	var m receiver.Message
	var log, at []byte
	for name, value := f.next(); value != nil; name, value = f.next() {
		switch string(name) {
		case "log":
			log = value
		case "stream":
			if p.stream = onStdout; string(value) == `"stderr"` {
				p.stream = onStderr
			}
		case "time":
			at = value
		}
	}
	if !f.ok || log == nil || at == nil {
		return part{}, false
	}
	p.stamp = unescape(&m, at)
	body, lf := bytes.CutSuffix(unescapeAll(&m, log), []byte{'\n'})
	p.body, p.more = body, len(body) >= dockerPart && !lf
	return p, true
}

// takeParts joins the parts of a line that begin at the start of data and follow each other
// directly, and appends its records to s. It returns how many bytes they take, 0 if the line's end
// has yet to come. If another line follows a part, the line is Incomplete. If it has more than
// partsLimit bytes, its whole records are appended and the rest is Oversize. Parts that are still
// to come are no lines then: their stream is returned.
func takeParts(s *receiver.Slab, data []byte) (used int, parts byte) {
	var joined []byte
	for {
		end := bytes.IndexByte(data[used:], '\n')
		if end < 0 && len(data) <= partsLimit {
			return 0, 0
		}
		var p part
		if line := data[used : used+max(end, 0)]; mayBePart(line) {
			p, _ = readPart(line)
		}
		switch {
		case joined == nil:
			parts = p.stream
			joined = append(append(joined, p.stamp...), " stdout F "...) // CRI's form, also for docker's
		case end < 0 || used > partsLimit:
			appendWhole(s, joined)
			s.Discarded[receiver.Oversize]++
			return used, parts
		case p.stream != parts: // or no container's line: what looks like a part was a client's text
			s.Discarded[receiver.Incomplete]++
			return used, parts
		}
		joined = append(joined, p.body...)
		used += end + 1
		if !p.more {
			appendRecords(s, joined)
			return used, 0
		}
	}
}
