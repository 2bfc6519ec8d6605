package pipeline

import (
	"bytes"
	"hash/maphash"
	"net/netip"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// headers remembers the headers of rsyncd's messages. Nearly every message has a header like one
// before, apart from the stamp's digits and the pid. Then its origin is known without reading it.
// What a header means is learned only from the dialect.
//
// The table has a slot for each hash of a host and a tag. A slot keeps its header while that is in
// use. Relearning it at each message of hosts that share it would cost more than it saves.
type headers struct {
	off  bool // nothing is remembered
	seed maphash.Seed
	slot [headerSlots]header
	last *header // of the message before
}

const (
	headerSlots = 1024
	maxFront    = 160 // bytes of a header up to the pid
	maxTail     = 40  // bytes of a header behind the pid
	maxMemoPID  = 9   // digits, which always fit into an int32
	// relearnAfter is how many messages in a row must miss a header before one takes its slot.
	relearnAfter = 16
)

// A header is one that has been read in full.
type header struct {
	// These tell origins apart, besides a message's bytes.
	source *receiver.Source
	scope  uint32
	addr   netip.Addr // where the header has no host

	front  []byte // up to the pid, with the last stamp
	stamp  span   // in front
	tail   []byte // between the pid and the text
	origin *rsynclog.Origin
	host   bool // the header names it

	facility, severity int8
	misses             uint8 // since the last message that had this header
}

// A span is the place of something in a message.
type span struct{ from, to int }

// A layout is where things stand in a message whose header has one of these forms:
//
//	<30>Nov 23 18:40:52 host rsyncd[505]: text
//	<30>2026-11-23T18:40:52.123456+00:00 host rsyncd[505]: text
//	<30>1 2026-11-23T18:40:52.123456+00:00 host rsyncd 505 - - text
//	2026/11/23 18:40:52 [505] text
//
// each also without a priority, a fraction, a zone or a host, where the dialect allows that. With
// other digits in the stamp, the dialect reads the rest in the same way.
type layout struct {
	stamp span
	pid   int // where it begins
	hash  int // where the part begins that is hashed; it ends at the pid
}

// layoutOf guesses the layout of a message from as few bytes as possible; ok is false if it has
// another form. learn checks the guess, and find compares all bytes.
func layoutOf(raw []byte) (l layout, ok bool) {
	const least = len("2026/11/23 18:40:52 [5] ")
	i, words := 0, 0
	if len(raw) > 4 && raw[0] == '<' {
		if i = 1 + bytes.IndexByte(raw[:5], '>'); i == 0 {
			return l, false
		}
	}
	if i+2 < len(raw) && raw[i] == '1' && raw[i+1] == ' ' {
		i, words = i+2, 2 // host and tag
	}
	if len(raw) < i+least {
		return l, false
	}
	end := i
	switch b := raw[i:]; {
	case b[3] == ' ' && b[15] == ' ':
		end += 15
	case b[10] == 'T':
		const date, fraction = 19, 16 // nanoseconds and a zone
		end += date + max(0, bytes.IndexByte(b[date:min(len(b), date+fraction+1)], ' '))
	case b[4] == '/':
		end += 19
	}
	if end == i || raw[end] != ' ' {
		return l, false
	}
	l.stamp, l.hash = span{i, end}, end
	header := raw[end+1 : min(len(raw), maxFront)]
	l.pid = end + 1
	for ; words > 0; words-- {
		n := bytes.IndexByte(header, ' ')
		if n < 0 {
			return l, false
		}
		header, l.pid = header[n+1:], l.pid+n+1
		if words == 1 {
			return l, true
		}
	}
	n := bytes.IndexByte(header, '[')
	l.pid += n + 1
	return l, n >= 0
}

// find returns the known header of a message, or nil if it must be read. It fills m as the source's
// dialect would, except for host, tag and container.
func (hs *headers) find(src *receiver.Source, from *receiver.Sender, raw []byte, m *receiver.Message) *header {
	if hs.off || len(raw) > receiver.MaxMessage {
		return nil
	}
	h := hs.last
	if h == nil || !bytes.HasPrefix(raw, h.front) || h.source != src {
		l, ok := layoutOf(raw)
		if !ok {
			return nil
		}
		if h = hs.at(raw, l); h.source != src || !h.matches(raw[:l.pid]) {
			return nil
		}
	}
	if h.scope != from.Scope || !h.host && h.addr != from.Addr || h.origin.Gone() {
		return nil
	}
	pid, end := pidAt(raw, len(h.front))
	if pid == 0 || !bytes.HasPrefix(raw[end:], h.tail) {
		return nil
	}
	text := textOf(raw[end+len(h.tail):])
	if text == nil {
		return nil
	}
	hs.last, h.misses = h, 0
	m.Text, m.Stamp = text, raw[h.stamp.from:h.stamp.to]
	m.PID, m.Facility, m.Severity = pid, h.facility, h.severity
	return h
}

func (hs *headers) at(raw []byte, l layout) *header {
	hash := maphash.Bytes(hs.seed, raw[l.hash:l.pid])
	if l.stamp.from > 1 {
		hash += uint64(raw[l.stamp.from-2]) // the last digit of the priority, which differs between lines
	}
	return &hs.slot[hash%headerSlots]
}

// matches says whether a message has the front of a header, apart from the stamp's digits. It keeps
// the new stamp, since the next message nearly always has the same.
func (h *header) matches(front []byte) bool {
	if string(front) == string(h.front) {
		return true
	}
	s := h.stamp
	if len(front) != len(h.front) || string(front[s.to:]) != string(h.front[s.to:]) ||
		string(front[:s.from]) != string(h.front[:s.from]) {
		return false
	}
	for i := s.from; i < s.to; i++ {
		if c, was := front[i], h.front[i]; c != was && (c-'0' > 9 || was-'0' > 9) {
			return false
		}
	}
	copy(h.front[s.from:s.to], front[s.from:s.to])
	return true
}

// pidAt reads the pid at raw[i:] and returns where it ends. The pid is 0 if there are no digits or
// too many.
func pidAt(raw []byte, i int) (pid int32, end int) {
	end = i
	for ; end < len(raw) && raw[end]-'0' <= 9; end++ {
		if end-i == maxMemoPID {
			return 0, end
		}
		pid = pid*10 + int32(raw[end]-'0')
	}
	return pid, end
}

// textOf returns the text at the end of a message, without its LF. It is nil for other line ends,
// and if a dialect might see something else in it than text.
func textOf(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if len(b) == 0 || b[0]|' '-'a' >= 26 || b[len(b)-1] < ' ' {
		return nil
	}
	return b
}

// learn remembers the header of a message of an origin, which the source's dialect has read into m.
func (hs *headers) learn(
	src *receiver.Source, from *receiver.Sender, raw []byte, m *receiver.Message, o *rsynclog.Origin,
) {
	if hs.off || src.Wrapped || !o.Tracked() {
		return
	}
	switch src.Dialect.(type) {
	case syslog.Auto, syslog.Lines:
	default:
		return // go-syslog's dialects and the user's expression may depend on any byte
	}
	l, ok := layoutOf(raw)
	if !ok {
		return
	}
	pid, end := pidAt(raw, l.pid)
	if pid == 0 || pid != m.PID || placeOf(raw, m.Stamp) != l.stamp {
		return
	}
	text := placeOf(raw, m.Text)
	if text.from <= end || text.from-end > maxTail || string(textOf(raw[text.from:])) != string(m.Text) {
		return
	}
	tail := raw[end:text.from]
	if !isForm(raw, m, l, tail) {
		return
	}
	h := hs.at(raw, l)
	if h.origin != nil && !h.origin.Gone() && h.misses < relearnAfter {
		h.misses++
		return
	}
	host := len(m.Host) > 0
	*h = header{
		source: src, scope: from.Scope, origin: o, host: host, stamp: l.stamp,
		facility: m.Facility, severity: m.Severity,
		front: append(h.front[:0], raw[:l.pid]...), tail: append(h.tail[:0], tail...),
	}
	if !host {
		h.addr = from.Addr
	}
}

// isForm says whether a message that has been read has the form of its layout.
func isForm(raw []byte, m *receiver.Message, l layout, tail []byte) bool {
	if raw[l.stamp.from+4] == '/' {
		return m.Tag == nil && m.Container == nil && string(tail) == "] "
	}
	tag := placeOf(raw, m.Tag)
	if m.Container != nil || tag.to != l.pid-1 || bytes.ContainsAny(m.Tag, " []") {
		return false
	}
	if raw[tag.to] == ' ' {
		return tail[0] == ' ' // else the pid stands in the text
	}
	return string(tail) == "]: "
}

// placeOf returns the place of a view of a message. It is {-1, -1} if the view is empty or not of
// this message.
func placeOf(raw, view []byte) span {
	from := cap(raw) - cap(view)
	if len(view) == 0 || from < 0 || from+len(view) > len(raw) || &raw[from] != &view[0] {
		return span{-1, -1}
	}
	return span{from, from + len(view)}
}
