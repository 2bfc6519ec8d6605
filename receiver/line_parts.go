package receiver

import "bytes"

// What containers log is kept in pieces: one line of theirs may be several of the file, a part each. rsync's own lines
// are short enough for one, but records that it has cut are glued to the next, and a client that sends texts without
// a line feed glues as many as it likes. What a part holds begins anywhere within a line, and is not read as one.

const (
	// dockerPart is how long the parts are into which docker cuts a line (daemon/logger/copier.go: defaultBufSize). Its
	// json-file doesn't say of a part that it is one; a shorter one without a line feed is what a container said last.
	dockerPart = 16 << 10

	// partsLimit is how many bytes the parts of one line may take, less than any reader's buffer.
	partsLimit = fileBlock / 2
)

// A part is one line of a container's log.
type part struct {
	stamp, stream []byte
	body          []byte // what the container wrote, without its LF
	more          bool   // the line goes on in the next part
}

// mayBePart says whether a line may be a part that needs takeParts: a CRI line or one of docker's json-file.
func mayBePart(line []byte) bool {
	return len(line) > isoStamp && (line[0] == '{' || line[10] == 'T' && isDigit(line[0]))
}

// isPart says whether a line has to be put together with others, or taken apart.
func isPart(line []byte) bool {
	if line[0] == '{' && len(line) <= rsyncText { // neither docker's cut nor rsync's
		return false
	}
	p, ok := readPart(line)
	return ok && (p.more || line[0] == '{')
}

// readPart reads a line of a container's log. It is not ok for any other line. The body of docker's lines is a copy.
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
		p = part{stamp: stampIn(line[:n]), stream: line[n : n+stream], body: line[n+length:]}
		p.more = line[n+stream+1] == 'P'
		return p, true
	}
	f := jsonFields{rest: line[1:]}
	var m Message
	var log, at []byte
	for name, value := f.next(); value != nil; name, value = f.next() {
		switch string(name) {
		case "log":
			log = value
		case "stream":
			p.stream = value
		case "time":
			at = value
		}
	}
	if !f.ok || log == nil || at == nil {
		return part{}, false
	}
	p.stamp = m.unescape(at)
	body, lf := bytes.CutSuffix(m.unescapeAll(log), []byte{'\n'})
	p.body, p.more = body, len(body) >= dockerPart && !lf
	return p, true
}

// takeParts puts the line together whose first part begins at the start of data, and appends its records to s, and any
// lines of another stream that stand between its parts. It returns how many bytes they take. Those are 0 if the last
// part isn't there yet. If there are too many, what is there of the line is taken and its last record, which isn't
// whole, counted as Oversize; skipping says that the parts that follow are to be thrown away.
func takeParts(s *Slab, data []byte) (used int, skipping bool) {
	var joined []byte
	var others [][]byte
	var first part
	for used < len(data) {
		end := bytes.IndexByte(data[used:], '\n')
		if end < 0 {
			break
		}
		line := data[used : used+end : used+end]
		p, ok := part{}, false
		if mayBePart(line) {
			p, ok = readPart(line)
		}
		used += end + 1
		switch {
		case joined == nil:
			first = p
			joined = append(append(joined, p.stamp...), " stdout F "...) // CRI's form, also for docker's
		case !ok || !bytes.Equal(p.stream, first.stream):
			others = append(others, line)
			continue
		}
		joined = append(joined, p.body...)
		if !p.more {
			appendRecords(s, joined)
			s.Messages = append(s.Messages, others...)
			return used, false
		}
		if used > partsLimit {
			appendWhole(s, joined)
			s.Messages = append(s.Messages, others...)
			s.Discarded[Oversize]++
			return used, true
		}
	}
	return 0, false
}
