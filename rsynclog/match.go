package rsynclog

import (
	"bytes"
	"strings"
)

// A found is what a log format's fields stand for in one line.
type found struct {
	host, addr    []byte
	op            Op
	item          []byte
	length, wire  uint64
	hasLen, hasWr bool
	module        int // where a marked %m begins; -1: none
}

// match reads a whole line that the log format wrote, as it stands or with its literals escaped.
func (f *logFormat) match(text []byte, ev *Event) bool {
	return f.matchForm(text, ev) || f.escaped != nil && f.escaped.matchForm(text, ev)
}

// matchForm reads one form. A line that rsync has cut at its end is read up to the client's text.
func (f *logFormat) matchForm(text []byte, ev *Event) bool {
	if f.never {
		return false
	}
	got := found{module: -1}
	start, ok := f.matchLeft(text, &got)
	if !ok {
		return false
	}
	if len(text) < maxText {
		end, ok := f.matchRight(text, start, &got)
		if !ok || !f.matchMiddle(text[start:end]) {
			return false
		}
		if f.path {
			ev.Path = text[start:end]
		}
	} else if len(f.middle) == 0 || f.loose || len(f.left) == 0 {
		return false
	}
	if !f.readOp(text, &got, ev) {
		return false
	}
	ev.Kind, ev.Host, ev.Addr = Transfer, got.host, got.addr
	ev.Length, ev.HasLength, ev.Wire, ev.HasWire = got.length, got.hasLen, got.wire, got.hasWr
	if got.module >= 0 {
		ev.AfterAddr = text[got.module:]
	}
	return true
}

// itemOp returns what %i says was done with a file. Directories, links, devices and changes of attributes only are no transfers.
func itemOp(item []byte) Op {
	switch string(item[:2]) {
	case "<f":
		return OpSend
	case ">f":
		return OpRecv
	case "*d":
		return OpDel
	}
	return NoOp
}

// matchLeft reads the fields before the client's text and returns where they end.
func (f *logFormat) matchLeft(text []byte, got *found) (end int, ok bool) {
	fields, pos := f.left, 0
	for len(fields) > 0 {
		if fields[0].shape.isText() {
			if fields[0].module {
				got.module = pos
			}
			run := runOf(fields[1:])
			fields = fields[1+len(run):]
			if len(run) == 0 {
				continue // another text, or the client's
			}
			if _, pos = searchRun(run, text, pos, got); pos < 0 {
				return 0, false
			}
			continue
		}
		run := runOf(fields)
		fields = fields[len(run):]
		if pos = matchRun(run, text, pos, got); pos < 0 {
			return 0, false
		}
	}
	if len(f.middle) == 0 && len(f.right) == 0 && pos != len(text) {
		return 0, false
	}
	if len(f.middle) > 0 && f.middle[0].module {
		got.module = pos
	}
	return pos, true
}

// runOf returns the fields in front that aren't text.
func runOf(fields []field) []field {
	for i := range fields {
		if fields[i].shape.isText() {
			return fields[:i]
		}
	}
	return fields
}

// matchRun reads fields that aren't text at pos and returns where they end, or -1; what it kept then means nothing.
func matchRun(run []field, text []byte, pos int, got *found) int {
	for i := range run {
		n := run[i].prefix(text[pos:])
		if n < 0 {
			return -1
		}
		run[i].keep(text[pos:pos+n], got)
		pos += n
	}
	return pos
}

// searchRun finds the first place from pos on where a run fits; end is -1 where there is none.
func searchRun(run []field, text []byte, pos int, got *found) (start, end int) {
	var tried found
	for pos <= len(text) {
		if run[0].shape == literal {
			n := bytes.Index(text[pos:], []byte(run[0].text))
			if n < 0 {
				return 0, -1
			}
			pos += n
		}
		if end := matchRun(run, text, pos, &tried); end >= 0 {
			return pos, matchRun(run, text, pos, got)
		}
		pos++
	}
	return 0, -1
}

// matchRight reads the fields behind the client's text from the right and returns where they begin, not before start.
func (f *logFormat) matchRight(text []byte, start int, got *found) (end int, ok bool) {
	fields, pos := f.right, len(text)
	for len(fields) > 0 {
		n := len(fields)
		if fields[n-1].shape.isText() {
			fields = fields[:n-1]
			run := lastRunOf(fields)
			fields = fields[:len(fields)-len(run)]
			if len(run) == 0 {
				continue
			}
			var tried found
			for ; pos >= start; pos-- {
				if matchRunBack(run, text, start, pos, &tried) >= 0 {
					pos = matchRunBack(run, text, start, pos, got)
					break
				}
			}
			if pos < start {
				return 0, false
			}
			continue
		}
		run := lastRunOf(fields)
		fields = fields[:n-len(run)]
		if pos = matchRunBack(run, text, start, pos, got); pos < 0 {
			return 0, false
		}
	}
	return pos, true
}

func lastRunOf(fields []field) []field {
	for i := len(fields) - 1; i >= 0; i-- {
		if fields[i].shape.isText() {
			return fields[i+1:]
		}
	}
	return fields
}

// matchRunBack reads fields that aren't text and end at pos and returns where they begin, or -1; what it kept then means nothing.
func matchRunBack(run []field, text []byte, start, pos int, got *found) int {
	for i := len(run) - 1; i >= 0; i-- {
		n := run[i].suffix(text[start:pos])
		if n < 0 {
			return -1
		}
		run[i].keep(text[pos-n:pos], got)
		pos -= n
	}
	return pos
}

// matchMiddle says whether what stands between the texts of the middle occurs there in its order.
func (f *logFormat) matchMiddle(s []byte) bool {
	var unused found
	name := false
	for fields := f.middle; len(fields) > 0; {
		if !fields[0].shape.isText() {
			run := runOf(fields)
			fields = fields[len(run):]
			_, end := searchRun(run, s, 0, &unused)
			if end < 0 {
				return false
			}
			s = s[end:]
			continue
		}
		name = name || fields[0].letter == 'f' || fields[0].letter == 'n'
		fields = fields[1:]
	}
	return !name || len(f.middle) > 1 || len(s) > 0 // a file has a name
}

// keep notes what a field stands for.
func (e *field) keep(s []byte, got *found) {
	switch e.letter {
	case 'o', 'i', 'h', 'a', 'l', 'b':
	default:
		return
	}
	if e.doubt || e.isRounded() {
		return
	}
	if e.width > 0 {
		s = bytes.Trim(s, " ")
	}
	switch e.letter {
	case 'o':
		got.op = [...]Op{'s': OpSend, 'r': OpRecv, 'd': OpDel}[s[0]]
	case 'i':
		got.item = s
	case 'h':
		got.host = s
	case 'a':
		got.addr = s
	case 'l':
		if n, ok := e.value(s); ok {
			got.length, got.hasLen = n, true
		}
	case 'b':
		if n, ok := e.value(s); ok {
			got.wire, got.hasWr = n, true
		}
	}
}

// isRounded says whether a field is a number with units, 1.23M (lib/compat.c: do_big_num), which is
// no byte count. The smallest are exact, but a sum of those alone would mislead.
func (e *field) isRounded() bool { return e.human > 1 }

// value returns a count's number.
func (e *field) value(s []byte) (uint64, bool) {
	if e.human == 0 {
		return decimal(e.unpad(s))
	}
	n, _, ok := cutCount(s)
	return n, ok
}

// unpad takes off the zeros with which a number was padded to its width.
func (e *field) unpad(s []byte) []byte {
	if !e.zero || len(s) != e.width {
		return s
	}
	for len(s) > 1 && s[0] == '0' {
		s = s[1:]
	}
	return s
}

// prefix returns how many bytes at the front of s the field has, padding included, or -1.
func (e *field) prefix(s []byte) int {
	if e.shape == literal {
		if hasPrefix(s, e.text) {
			return len(e.text)
		}
		return -1
	}
	if e.shape == percent && hasPrefix(s, e.text) { // before 3.5
		return len(e.text)
	}
	if e.width > 0 && !e.left && len(s) >= e.width && s[0] == ' ' {
		padded := bytes.TrimLeft(s[:e.width], " ")
		if n := e.core(padded); n == len(padded) && n > 0 {
			return e.width
		}
		return -1
	}
	n := e.core(s)
	if n < 0 || n >= e.width {
		return n
	}
	if !e.left || len(s) < e.width || len(bytes.TrimLeft(s[n:e.width], " ")) > 0 {
		return -1
	}
	return e.width
}

// suffix returns how many bytes at the end of s the field has, padding included, or -1.
func (e *field) suffix(s []byte) int {
	if e.shape == literal {
		if hasSuffix(s, e.text) {
			return len(e.text)
		}
		return -1
	}
	if e.shape == percent && hasSuffix(s, e.text) {
		return len(e.text)
	}
	if n := e.coreBack(s); n >= e.width {
		return n
	}
	if e.width > 0 && len(s) >= e.width && e.prefix(s[len(s)-e.width:]) == e.width {
		return e.width
	}
	return -1
}

const maxRun = 256 // no host name, address or number is longer, but for padding with zeros

// core returns how many bytes at the front of s the field's value has, or -1.
func (e *field) core(s []byte) int {
	switch e.shape {
	case percent, operation, itemize, stamp, modified, perms:
		for _, n := range e.lengths() {
			if n <= len(s) && e.fits(s[:n]) {
				return n
			}
		}
		return -1
	}
	n, limit := 0, max(maxRun, e.width)
	for n < len(s) && n < limit && e.runs(s[n]) {
		n++
	}
	for e.human > 0 && n > 0 && (s[n-1] == '.' || s[n-1] == ',') {
		n--
	}
	if n == 0 || !e.fits(s[:n]) {
		return -1
	}
	return n
}

// coreBack returns how many bytes at the end of s the field's value has, or -1.
func (e *field) coreBack(s []byte) int {
	switch e.shape {
	case percent, operation, itemize, stamp, modified, perms:
		for _, n := range e.lengths() {
			if n <= len(s) && e.fits(s[len(s)-n:]) {
				return n - e.after
			}
		}
		return -1
	}
	n, limit := 0, max(maxRun, e.width)
	for n < len(s) && n < limit && e.runs(s[len(s)-1-n]) {
		n++
	}
	n -= e.after
	for e.human > 0 && n > 0 && !isDigit(s[len(s)-n]) {
		n--
	}
	if n <= 0 || !e.fits(s[len(s)-n:]) {
		return -1
	}
	return n
}

// lengths returns the lengths that a field with a fixed form can have, longest first.
func (e *field) lengths() []int {
	switch e.shape {
	case percent:
		return percentLengths[:]
	case operation:
		return opLengths[:]
	case itemize:
		return itemLengths[:]
	case perms:
		return permLengths[:]
	case modified:
		return modifiedLengths[:]
	}
	return stampLengths[:]
}

var (
	percentLengths = [...]int{2, 1}
	opLengths      = [...]int{4}
	itemLengths    = [...]int{11, 9} // 9 before 3.0
	permLengths    = [...]int{9}
	stampLengths   = [...]int{19}
	// A file's time has 64 bits, and so up to 12 digits of year (util.c: timestring).
	modifiedLengths = [...]int{27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16}
)

// runs says whether a byte can stand in a field without a fixed form.
func (e *field) runs(c byte) bool {
	switch e.shape {
	case count:
		return isDigit(c) || e.human > 0 && (c == ',' || c == '.') || e.human > 1 && strings.IndexByte(units, c) >= 0
	case digits:
		return isDigit(c)
	case group:
		return isDigit(c) || strings.IndexByte(noGroup, c) >= 0
	case hostName:
		return isNameByte(c)
	}
	return isNameByte(c) || c == ':' || c == '%'
}

// isNameByte says whether a byte can stand in a host name as a resolver returns it.
func isNameByte(c byte) bool { return isScopeByte(c) || c >= 0x80 }

// fits says whether s is a value of the field.
func (e *field) fits(s []byte) bool {
	switch e.shape {
	case percent:
		return string(s) == "%%" || string(s) == "%"
	case count:
		return e.isCount(s)
	case digits:
		return allDigits(s)
	case group:
		return string(s) == noGroup || allDigits(s)
	case address:
		return isAddr(s)
	case hostName:
		return true
	case operation:
		return string(s) == "send" || string(s) == "recv" || string(s) == "del."
	case itemize:
		return isItem(s)
	case stamp:
		return isForm(s, "0000/00/00 00:00:00")
	case modified:
		n := len(s) - len("/00/00-00:00:00")
		return allDigits(s[:n]) && isForm(s[n:], "/00/00-00:00:00")
	}
	for _, c := range s { // lib/permstring.c
		if strings.IndexByte("rwxsStT-", c) < 0 {
			return false
		}
	}
	return true
}

// isCount says whether s is a number in a notation of lib/compat.c: do_big_num.
func (e *field) isCount(s []byte) bool {
	if e.human == 0 {
		_, ok := decimal(e.unpad(s))
		return ok
	}
	n := len(s) - 1
	if e.human > 1 && isLetter(s[n]) { // "%.2f%c"
		return n > 3 && (s[n-3] == '.' || s[n-3] == ',') && allDigits(s[n-2:n]) && allDigits(s[:n-3])
	}
	_, rest, ok := cutCount(s)
	return ok && len(rest) == 0
}

// isForm says whether s has a digit wherever the form has a 0, and the form's bytes elsewhere.
func isForm(s []byte, form string) bool {
	for i, c := range s {
		if form[i] == '0' && !isDigit(c) || form[i] != '0' && c != form[i] {
			return false
		}
	}
	return true
}

// changeLetters are what may stand instead of '.' behind the first two bytes of %i; 2.6.9 has 'a' where 3.0 has 'u'.
var changeLetters = [...]string{"c", "s", "tT", "p", "o", "g", "uabn", "a", "x"}

// isItem says whether s is %i: eleven bytes, nine before 3.0.
func isItem(s []byte) bool {
	if string(s) == "*deleting  " || string(s) == "*deleting" {
		return true
	}
	if strings.IndexByte("<>ch.", s[0]) < 0 || strings.IndexByte("fdLDS", s[1]) < 0 {
		return false
	}
	changes := s[2:]
	all := changes[0] == '+' || changes[0] == '?' || changes[0] == ' '
	for i, c := range changes {
		if all && c != changes[0] || !all && c != '.' && strings.IndexByte(changeLetters[i], c) < 0 {
			return false
		}
	}
	return true
}
