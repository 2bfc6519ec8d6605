package rsynclog

import (
	"bytes"
	"strings"
)

// A shape says what bytes a field can have.
type shape uint8

const (
	literal      shape = iota
	percent            // %%: '%' from 3.5.0 on, "%%" before
	client             // %f %n %L, %RSYNC_REQUEST% and %RSYNC_ARG1%: text that the client chooses
	config             // %m %u %P %C, other %RSYNC_…%: text that the daemon's configuration chooses
	count              // %l %b %c: a number, with ' in other notations
	digits             // %p %U
	group              // %G: digits or DEFAULT
	address            // %a
	hostName           // %h
	operation          // %o
	itemize            // %i
	stamp              // %t: YYYY/MM/DD HH:MM:SS
	modified           // %M: YYYY/MM/DD-HH:MM:SS, the year as long as the client likes
	perms              // %B: rwxr-xr-x
	peer               // HOST (ADDR)
	exactAddress       // an address by itself
	word               // bytes of a class
	total              // a number that may have thousands separators, as 3.1.0 alone writes it
)

// A field is one escape of a log format, one verb of a row, or the literal text between two.
type field struct {
	shape  shape
	keeps  func(*Event, []byte) // what it is kept as, if it is a text that is kept
	counts func(*Event, uint64) // the same for a number
	tells  bool                 // the same for an operation
	text   string               // a literal's bytes, or the escape as written
	sought []byte               // a literal's bytes
	bytes  uint32               // the class of its bytes, in a shape without a fixed form
	limit  int                  // how many bytes are looked at
	least  int                  // how many bytes it has at least
	most   int                  // how many bytes a word has at most
	must   func([]byte) bool    // what else a text has to be
	user   bool                 // a peer may have "USER@" before it

	// Of log formats.
	lengths []int // how long a shape with a fixed form can be, the longest first
	letter  byte  // the escape's letter; 0 for a literal, 'R' for a variable
	width   int   // 0: none
	left    bool  // '-': padded on the right
	zero    bool  // '0': before 3.1, which prints numbers with "%.0f", padded with zeros
	human   int   // how many ' it has
	column  int   // where it begins, from 1
	module  bool  // a %m that begins an AfterAddr
	after   int   // digits at the end of the literal before it, that aren't its own
	doubt   bool  // beside or between texts that may look like it: it is matched but not believed
	unsure  bool  // goes on as the text beside it may: only one byte is surely its own
	joined  bool  // an address or a host name whose end can't be seen: text, as what follows could be its own
}

func newLiteral(text string, column int) field {
	return field{shape: literal, text: text, sought: []byte(text), column: column}
}

// A pattern is a sequence of fields. Text that a client chooses may look like anything. So what
// stands before the first such field is read from the left, what stands behind the last is read
// from the right, and nothing between them is believed. Texts of the daemon's configuration end,
// read from their side, where what follows them first fits.
type pattern struct{ left, middle, right []field }

// divide finds the client's text; without any, the configuration's is the middle.
func divide(fields []field) pattern {
	free := config
	for i := range fields {
		if fields[i].shape == client {
			free = client
		}
	}
	first, last := len(fields), len(fields)
	for i := range fields {
		if fields[i].shape == free {
			first, last = min(first, i), i+1
		}
	}
	return pattern{fields[:first], fields[first:last], fields[last:]}
}

// A found is where a match keeps what it reads. Of a match that fails it means nothing.
type found struct {
	ev   *Event
	any  bool // something is kept
	tail int  // bytes behind the middle
	op   Op
	item []byte
}

// match reads a text from pos to its end.
func (p *pattern) match(text []byte, pos int, got *found) bool {
	if pos = p.matchLeft(text, pos, got); pos < 0 {
		return false
	}
	end := len(text)
	if len(p.right) > 0 {
		end = p.matchRight(text, pos, got)
	}
	got.tail = len(text) - end
	return end >= 0 && p.matchMiddle(text[pos:end], got)
}

// matchLeft reads the fields before the middle and returns where they end, or -1.
func (p *pattern) matchLeft(text []byte, pos int, got *found) int {
	for i := 0; i < len(p.left); {
		e := &p.left[i]
		i++
		if e.shape == literal {
			if !hasPrefix(text[pos:], e.text) {
				return -1
			}
			pos += len(e.text)
			continue
		}
		if !e.shape.isText() {
			n := e.read(text[pos:], got)
			if n < 0 {
				return -1
			}
			pos += n
			continue
		}
		if e.module {
			got.ev.AfterAddr = text[pos:]
		}
		run := runOf(p.left[i:])
		if i += len(run); len(run) == 0 { // another text, or the client's
			if pos += e.least; pos > len(text) {
				return -1
			}
			continue
		}
		start, end := searchRun(run, text, pos+e.least, got)
		if end < 0 {
			return -1
		}
		e.keep(text[pos:start], got)
		pos = end
	}
	if len(p.middle) > 0 && p.middle[0].module {
		got.ev.AfterAddr = text[pos:]
	}
	return pos
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

// matchRun reads fields that aren't text at pos and returns where they end, or -1.
func matchRun(run []field, text []byte, pos int, got *found) int {
	for i := range run {
		n := run[i].read(text[pos:], got)
		if n < 0 {
			return -1
		}
		pos += n
	}
	return pos
}

// read reads a field that isn't text at the front of s and returns its length, or -1.
func (e *field) read(s []byte, got *found) int {
	switch e.shape {
	case literal:
		if hasPrefix(s, e.text) {
			return len(e.text)
		}
		return -1
	case peer:
		return peerPrefix(s, got)
	case total:
		n, rest, ok := cutCount(s)
		if !ok {
			return -1
		}
		got.any = true
		e.counts(got.ev, n)
		return len(s) - len(rest)
	}
	n := e.prefix(s)
	if n >= 0 {
		e.keep(s[:n], got)
	}
	if n > 0 && e.unsure {
		return 1
	}
	return n
}

// readBack reads a field that isn't text at the end of s and returns its length, or -1.
func (e *field) readBack(s []byte, got *found) int {
	switch e.shape {
	case literal:
		if hasSuffix(s, e.text) {
			return len(e.text)
		}
		return -1
	case peer:
		return e.peerSuffix(s, got)
	}
	n := 0
	if e.shape == word {
		n = e.wordSuffix(s)
	} else {
		n = e.suffix(s)
	}
	if n >= 0 {
		e.keep(s[len(s)-n:], got)
	}
	if n > 0 && e.unsure {
		return 1
	}
	return n
}

// searchRun finds the first place from pos on where a run fits; end is -1 where there is none.
func searchRun(run []field, text []byte, pos int, got *found) (start, end int) {
	for ; pos <= len(text); pos++ {
		if run[0].shape == literal {
			n := bytes.Index(text[pos:], run[0].sought)
			if n < 0 {
				break
			}
			pos += n
		}
		if end := matchRun(run, text, pos, got); end >= 0 {
			return pos, end
		}
	}
	return 0, -1
}

// matchRight reads the fields behind the middle from the right and returns where they begin, not
// before start, or -1.
func (p *pattern) matchRight(text []byte, start int, got *found) int {
	pos := len(text)
	for i := len(p.right) - 1; i >= 0; {
		e := &p.right[i]
		i--
		if e.shape == literal {
			if !hasSuffix(text[start:pos], e.text) {
				return -1
			}
			pos -= len(e.text)
			continue
		}
		if !e.shape.isText() {
			n := e.readBack(text[start:pos], got)
			if n < 0 {
				return -1
			}
			pos -= n
			continue
		}
		run := lastRunOf(p.right[:i+1])
		if i -= len(run); len(run) == 0 {
			if pos -= e.least; pos < start {
				return -1
			}
			continue
		}
		begin := -1
		for end := pos - e.least; begin < 0; end-- {
			if end < start {
				return -1
			}
			if last := &run[len(run)-1]; last.shape == literal {
				n := bytes.LastIndex(text[start:end], last.sought)
				if n < 0 {
					return -1
				}
				end = start + n + len(last.sought)
			}
			begin = matchRunBack(run, text, start, end, got)
		}
		pos = begin
	}
	return pos
}

func lastRunOf(fields []field) []field {
	for i := len(fields) - 1; i >= 0; i-- {
		if fields[i].shape.isText() {
			return fields[i+1:]
		}
	}
	return fields
}

// matchRunBack reads fields that aren't text and end at pos and returns where they begin, or -1.
func matchRunBack(run []field, text []byte, start, pos int, got *found) int {
	for i := len(run) - 1; i >= 0; i-- {
		n := run[i].readBack(text[start:pos], got)
		if n < 0 {
			return -1
		}
		pos -= n
	}
	return pos
}

// matchMiddle says whether what stands between the texts of the middle occurs in s in its order.
func (p *pattern) matchMiddle(s []byte, got *found) bool {
	switch len(p.middle) {
	case 0:
		return len(s) == 0
	case 1:
		e := &p.middle[0]
		if len(s) < e.least || e.must != nil && !e.must(s) {
			return false
		}
		e.keep(s, got)
		return true
	}
	least := 0
	for fields := p.middle; len(fields) > 0; {
		if fields[0].shape.isText() {
			least = fields[0].least
			fields = fields[1:]
			continue
		}
		run := runOf(fields)
		fields = fields[len(run):]
		_, end := searchRun(run, s, least, got)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return len(s) >= least
}

// isFailure says whether s is "TEXT: STRERROR".
func isFailure(s []byte) bool {
	return len(s) > len(": ")+1 && bytes.Contains(s[1:len(s)-1], []byte(": "))
}

// quoted returns the name between the only two quotes of "TEXT: STRERROR". More of them are part of
// a name, and then none can be told.
func quoted(s []byte) []byte {
	_, rest, _ := bytes.Cut(s, []byte(`"`))
	name, tail, ok := bytes.Cut(rest, []byte(`"`))
	if !ok || bytes.IndexByte(tail, '"') >= 0 || len(tail) == 0 || !bytes.Contains(tail[:len(tail)-1], []byte(": ")) {
		return nil
	}
	return name
}

// keep notes what a field stands for.
func (e *field) keep(s []byte, got *found) {
	if e.width > 0 {
		s = bytes.Trim(s, " ")
	}
	switch {
	case e.keeps != nil:
		e.keeps(got.ev, s)
	case e.counts != nil:
		e.counts(got.ev, value(s))
	case e.tells && e.shape == itemize:
		got.item = s
	case e.tells:
		got.op = opOf(s)
	default:
		return
	}
	got.any = true
}

// isRounded says whether a field is a number with units, 1.23M (lib/compat.c: do_big_num), which is
// no byte count. The smallest are exact, but a sum of those alone would mislead.
func (e *field) isRounded() bool { return e.human > 1 }

// value returns the number that the digits of s are.
func value(s []byte) (n uint64) {
	for _, c := range s {
		if isDigit(c) { // the rest are separators
			n = n*10 + uint64(c-'0')
		}
	}
	return n
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
	switch {
	case e.shape == percent && hasPrefix(s, e.text): // before 3.5
		return len(e.text)
	case e.width == 0:
		return e.core(s)
	case !e.left && len(s) >= e.width && s[0] == ' ':
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

const maxRun = 256 // of log formats: no host name, address or number is longer, but for padding with zeros

// core returns how many bytes at the front of s the field's value has, or -1.
func (e *field) core(s []byte) int {
	if e.bytes == 0 {
		for _, n := range e.lengths {
			if n <= len(s) && e.fits(s[:n]) {
				return n
			}
		}
		return -1
	}
	n, limit := 0, min(e.limit, len(s))
	for n < limit && byteClasses[s[n]]&e.bytes != 0 {
		n++
	}
	for e.human > 0 && n > 0 && (s[n-1] == '.' || s[n-1] == ',') {
		n--
	}
	if n < e.least || !e.fits(s[:n]) {
		return -1
	}
	return n
}

// coreBack returns how many bytes at the end of s the field's value has, or -1.
func (e *field) coreBack(s []byte) int {
	if e.bytes == 0 {
		for _, n := range e.lengths {
			if n <= len(s) && e.fits(s[len(s)-n:]) {
				return n - e.after
			}
		}
		return -1
	}
	n, limit := 0, min(e.limit, len(s))
	for n < limit && byteClasses[s[len(s)-1-n]]&e.bytes != 0 {
		n++
	}
	n -= e.after
	for e.human > 0 && n > 0 && !isDigit(s[len(s)-n]) {
		n--
	}
	if n < e.least || !e.fits(s[len(s)-n:]) {
		return -1
	}
	return n
}

// wordSuffix returns how many bytes a word at the end of s has, or -1.
func (e *field) wordSuffix(s []byte) int {
	n := len(s)
	for n > 0 && byteClasses[s[n-1]]&e.bytes != 0 {
		n--
	}
	if n = len(s) - n; n < e.least || n > e.most {
		return -1
	}
	return n
}

// peerPrefix reads "HOST (ADDR)" at the front of s and returns its length, or -1.
func peerPrefix(s []byte, got *found) int {
	n := 0
	for n < len(s) && byteClasses[s[n]]&inHost != 0 {
		n++
	}
	if n == 0 || !hasPrefix(s[n:], " (") {
		return -1
	}
	from := n + len(" (")
	end := from
	for end < len(s) && byteClasses[s[end]]&inAddress != 0 {
		end++
	}
	if end == len(s) || s[end] != ')' || !isAddr(s[from:end]) {
		return -1
	}
	got.any, got.ev.Host, got.ev.Addr = true, s[:n], s[from:end]
	return end + 1
}

// peerSuffix reads "HOST (ADDR)" at the end of s and returns its length, or -1. A field that may
// have "USER@" before it reads that, too.
func (e *field) peerSuffix(s []byte, got *found) int {
	end := len(s) - 1
	if end < 0 || s[end] != ')' {
		return -1
	}
	from, seen, all := end, uint32(0), ^uint32(0)
	for from > 0 && byteClasses[s[from-1]]&inAddress != 0 {
		from--
		seen |= byteClasses[s[from]]
		all &= byteClasses[s[from]]
	}
	plain := all&inHex != 0 && seen&addrMark != 0 // without a scope
	n := from - len(" (")
	if n <= 0 || s[n] != ' ' || s[n+1] != '(' || !plain && !isAddr(s[from:end]) {
		return -1
	}
	host := n
	for host > 0 && byteClasses[s[host-1]]&inHost != 0 {
		host--
	}
	if host == n {
		return -1
	}
	got.any, got.ev.Host, got.ev.Addr = true, s[host:n], s[from:end]
	if e.user && host > 0 && s[host-1] == '@' {
		end, host = host-1, host-1
		for host > 0 && s[host-1] != ' ' {
			host--
		}
		got.ev.User = s[host:end]
	}
	return len(s) - host
}

// fits says whether s is a value of the field.
func (e *field) fits(s []byte) bool {
	switch e.shape {
	case percent:
		return string(s) == "%%" || string(s) == "%"
	case count:
		return e.isCount(s)
	case group:
		return string(s) == noGroup || allDigits(s)
	case address:
		return isAddr(s)
	case exactAddress:
		return isExactAddr(s)
	case word:
		return len(s) <= e.most
	case digits, hostName:
		return true
	case operation:
		return isOperation(s)
	case itemize:
		return isItem(s)
	case stamp:
		return isForm(s, "0000/00/00 00:00:00")
	case modified:
		n := len(s) - len("/00/00-00:00:00")
		return allDigits(s[:n]) && isForm(s[n:], "/00/00-00:00:00")
	}
	return allOf(s, inPerms)
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

// changeLetters are what may stand instead of '.' behind the first two bytes of %i. 2.6.9 has 'a'
// where 3.0 has 'u'.
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
