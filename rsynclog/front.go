package rsynclog

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// A Front is the beginning of a running session's transfer lines in DefaultLogFormat:
// "send HOST [ADDR] MODULE (USER) ". Most lines of a busy daemon begin as the last transfer line of
// their session did, but for "recv" and "del." in turns. These need no parser.
//
// A session has a Front only while a transfer line just adds to its files. Any other line, and the
// session's end, remove it.
type Front struct {
	Session *Session // nil: the slot is free

	key    tableKey
	head   []byte // behind "send"
	op     Op     // of the line that was compared last
	length uint64 // of its file
	at     int    // where that stands in its text
	misses uint8  // sessions that wanted the slot since its last use
}

const (
	frontSlots = 256
	// relearnAfter is how many sessions must miss a slot in a row before one takes it.
	relearnAfter = 16
	opText       = len("send")
	// frontText is the length from which a text may have been cut; see parseTransfer.
	frontText = maxText - len("\r\n")
)

func (t *Sessions) frontSlot(o *Origin, pid int32) *Front {
	return &t.fronts[(uint32(pid)+o.id*37)%frontSlots]
}

// Front returns the front that a process's text begins with, if a file's name and length follow. It
// changes nothing; see Again.
func (t *Sessions) Front(o *Origin, pid int32, text []byte) *Front {
	f := t.frontSlot(o, pid)
	n := opText + len(f.head)
	if f.Session == nil || f.key != keyOf(o, pid) ||
		len(text) >= frontText || len(text) < n || string(text[opText:n]) != string(f.head) {
		return nil
	}
	op := loggedOp(text)
	if op == NoOp || (op == OpSend) != (f.Session.Direction == Send) {
		return nil
	}
	length, at, ok := lastNumber(text)
	if !ok || at < n+len("x ") || text[at-1] != ' ' || length > maxBytes-f.Session.Length {
		return nil
	}
	f.op, f.length, f.at = op, length, at
	return f
}

// loggedOp returns what a text of DefaultLogFormat begins with.
func loggedOp(text []byte) Op {
	switch string(text[:opText]) {
	case "send":
		return OpSend
	case "recv":
		return OpRecv
	case "del.":
		return OpDel
	}
	return NoOp
}

// Event says in *ev what the text says that Front was given: Kind, Op, Length, Path and how often.
// The rest is zero.
func (f *Front) Event(text []byte, ev *Event) {
	ev.clear()
	ev.Kind, ev.Op, ev.Length, ev.HasLength = Transfer, f.op, f.length, true
	ev.Path = f.Path(text)
}

// Path returns the file's name in the text that Front was given, a part of it.
func (f *Front) Path(text []byte) []byte { return text[opText+len(f.head) : f.at-1] }

// Again is Apply for the text that Front was given. If the line needs Apply, it returns false and
// changes nothing. So does a line before which other sessions end, unless ends is true. Pending
// returns the changes.
func (t *Sessions) Again(f *Front, p Process, w When, ends bool) bool {
	s := f.Session
	if s.isOther(p) {
		return false
	}
	o := s.Origin
	clock, stamp, shift := o.Clock, s.Stamp, s.Shift
	at := t.recordTime(o, s, w, false)
	due := at >= o.due
	if due && (!ends || at >= t.due(s)) {
		o.Clock, s.Stamp, s.Shift = clock, stamp, shift
		return false
	}
	if !t.pending && (due || !t.reuse(s, f.op)) {
		t.reset()
	}
	t.pending, t.at = true, at
	if due {
		t.expire(o, at, maxInline)
	}
	t.fileMoved(s, at, f.op, 1, f.length, 0)
	t.hear(s, p, at)
	f.misses = 0
	return true
}

// reuse takes the last change for another file of the same session, as a burst of lines has them. It
// returns false if that is not all there is.
func (t *Sessions) reuse(s *Session, op Op) bool {
	if len(t.changes) != 1 {
		return false
	}
	c := &t.changes[0]
	if c.Kind != FileMoved || c.Session != s || c.Op != op {
		return false
	}
	c.N, c.Length, c.Wire = 0, 0, 0
	return true
}

// Pending returns the changes of Again since Pending, Apply or Tick. They are valid until the next
// call of any of these.
func (t *Sessions) Pending() []Change {
	t.pending = false
	return t.changes
}

// Learn remembers the front of a transfer line that Apply has just counted in a session. ev is the
// line's event, from a parser whose Fronts is true.
func (t *Sessions) Learn(s *Session, pid int32, text []byte, ev *Event) {
	if s.PID != pid || s.Phase != running || s.Direction == NoDirection || s.Requested != "" || s.Overruled ||
		ev.Kind != Transfer || ev.Repeat != 1 || !ev.HasLength || len(text) >= frontText ||
		string(ev.Host) == "mapped" {
		return
	}
	path := ev.File(s.Module)
	from, end := len(text)-len(ev.AfterAddr), cap(text)-cap(path)
	if len(path) == 0 || end <= from || end >= len(text) || &text[end] != &path[0] {
		return
	}
	module := text[from+1 : end] // has what transferLength looks for, whatever the name is
	if open := bytes.Index(module, []byte(" (")); open < 0 || !bytes.Contains(module[open+2:], []byte(") ")) {
		return
	}
	f := t.frontSlot(s.Origin, pid)
	if f.Session != nil && f.Session != s && f.misses < relearnAfter {
		f.misses++
		return
	}
	if f.Session != nil {
		f.Session.front = nil
	}
	s.dropFront()
	head := append(f.head[:0], text[opText:end]...)
	*f = Front{Session: s, key: keyOf(s.Origin, pid), head: head}
	s.front = f
}

// Fronts says whether Sessions.Learn takes the parser's events.
func (p *Parser) Fronts() bool { return p.standard }

// dropFront has the session's next line read in full.
func (s *Session) dropFront() {
	if s.front != nil {
		s.front.Session = nil
		s.front = nil
	}
}

// lastNumber reads the decimal number at the end of a text, eight bytes at a time. It also returns
// where that begins.
func lastNumber(text []byte) (n uint64, at int, ok bool) {
	const (
		eight = 8
		low   = 0x7f7f7f7f7f7f7f7f
		high  = 0x8080808080808080
	)
	at = len(text) - eight
	if at < 0 {
		return 0, 0, false
	}
	v := binary.LittleEndian.Uint64(text[at:]) ^ 0x3030303030303030 // leaves the value of a digit
	others := (v&low + 0x7676767676767676 | v) & high               // the bytes that are above 9
	if others == 0 {
		for at > 0 && isDigit(text[at-1]) {
			at--
		}
		n, ok = decimal(text[at:])
		return n, at, ok
	}
	digits := bits.LeadingZeros64(others) / eight
	at = len(text) - digits
	if digits == 0 || digits > 1 && text[at] == '0' {
		return 0, at, false
	}
	v &^= 1<<(eight*(eight-digits)) - 1
	v = v * (10<<8 + 1) >> 8 // pairs of digits, then pairs of pairs, then all
	v = v & 0x00ff00ff00ff00ff * (100<<16 + 1) >> 16
	v = v & 0x0000ffff0000ffff * (10000<<32 + 1) >> 32
	return v, at, true
}
