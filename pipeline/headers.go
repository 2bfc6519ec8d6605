package pipeline

import (
	"bytes"
	"hash/maphash"
	"net/netip"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// headers remembers the headers of rsyncd's messages. The next message nearly always has the header
// of one before, but for the stamp's digits and the pid: then its origin is known, and it is
// rsyncd's, without reading it again. What a header means is learned from the dialect only.
//
// Its table has a slot for each hash of a host and a tag. A slot keeps its header while that is in
// use: hosts that share one would relearn it at each message, which costs more than it saves.
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
	// relearnAfter is how many messages in a row a header must miss before another one takes its
	// slot.
	relearnAfter = 16
)

// A header is one that has been read in full.
type header struct {
	// Of these every message's origin depends on, besides its bytes.
	source *receiver.Source
	scope  uint32
	addr   netip.Addr // where the header has no host

	front  []byte // up to the pid, as it was last
	stamp  span   // in front
	tail   []byte // from behind the pid to the text
	origin *rsynclog.Origin
	host   bool // the header names it
	// Facility and severity.
	facility, severity int8
	misses             uint8
}

// A span is the place of something in a message.
type span struct{ from, to int }

// A layout is where things stand in a message, if its header has one of the forms that are
// remembered:
//
//	<30>Nov 23 18:40:52 host rsyncd[505]: text
//	<30>2026-11-23T18:40:52.123456+00:00 host rsyncd[505]: text
//	<30>1 2026-11-23T18:40:52.123456+00:00 host rsyncd 505 - - text
//	2026/11/23 18:40:52 [505] text
//
// each also without a priority, a fraction, a zone or a host, where the dialect allows that. Digits
// of these stamps may be any others, and the dialect reads the rest in the same way.
type layout struct {
	stamp span
	pid   int // where it begins
	hash  int // where the part begins that tells headers apart; it ends at the pid
}

// layoutOf returns the places, false if the message has another form. It looks at as few bytes as
// it can: whether a header really has this form is found out by reading it when it is learned, and
// by comparing it afterwards.
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

// find returns the header of a message and fills m as the source's dialect would, less host, tag
// and container; nil if it has to be read.
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
		hash += uint64(raw[l.stamp.from-2]) // the last digit of the priority, which some lines have another one of
	}
	return &hs.slot[hash%headerSlots]
}

// matches says whether a message has the front of a header, but for the stamp's digits. The new
// stamp is kept: the next one is nearly always the same.
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

// pidAt reads the digits at raw[i:] and returns where they end; 0 for none, for 0, and for too
// many.
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

// textOf returns the text that stands at the end of a message, without its LF. It is nil if a
// dialect might see something else in it than text, and for other line ends.
func textOf(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if len(b) == 0 || b[0]|' '-'a' >= 26 || b[len(b)-1] < ' ' {
		return nil
	}
	return b
}

// learn remembers the header of a message of an origin. m is what the source's dialect has read of
// it.
func (hs *headers) learn(
	src *receiver.Source, from *receiver.Sender, raw []byte, m *receiver.Message, o *rsynclog.Origin,
) {
	if hs.off || src.Wrapped || !o.Tracked() {
		return
	}
	switch src.Dialect.(type) {
	case syslog.Auto, syslog.Lines:
	default:
		return // a foreign one, or the user's expression, may read anything anywhere
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

// isForm says whether a message that has been read has the form that its layout was found by.
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

// placeOf returns where a view stands in a message; nowhere if it is empty, or no view of it.
func placeOf(raw, view []byte) span {
	from := cap(raw) - cap(view)
	if len(view) == 0 || from < 0 || from+len(view) > len(raw) || &raw[from] != &view[0] {
		return span{-1, -1}
	}
	return span{from, from + len(view)}
}
