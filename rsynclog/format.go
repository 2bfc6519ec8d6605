package rsynclog

import (
	"fmt"
	"strings"
)

// A logFormat is a log format compiled to a matcher (rsyncd.conf(5); log.c: log_formatted).
type logFormat struct {
	pattern
	text     string
	hasOp    bool // has %o or %i, so that deletions follow the format, too
	readsOp  bool // has one of them where it can be read
	itemized bool // has %i where it can be read
	ops      opPlace
	escaped  *logFormat // its literals as rsync 3.5.0 writes them into a log file; nil if as they are
	loose    bool       // nothing but spaces around its texts: any line fits
	never    bool       // the empty format: transfers aren't logged
	named    bool       // a file's name follows "%m (%u) ", and no other text does
	warnings []string
}

const (
	maxFormat = 4096 // log.c: "log-format string is WAY too long!" beyond MAXPATHLEN
	maxWidth  = 4096 // a wider field would not fit into a line
	widthLen  = 23   // bytes of '-' and digits that rsync takes for a width: LOG_FMT_SIZE - 8, less the '%'
)

// escapes are the fields that a log format can have, by their letters.
var escapes = map[byte]field{
	'%': {shape: percent, lengths: []int{2, 1}},
	'B': {shape: perms, lengths: []int{9}},
	'C': {shape: config},
	'G': {shape: group, bytes: inGroup},
	'L': {shape: client},
	// A file's time has 64 bits, and so up to 12 digits of year (util.c: timestring).
	'M': {shape: modified, lengths: []int{27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16}},
	'P': {shape: config},
	'U': {shape: digits, bytes: inDigits},
	'a': {shape: address, bytes: inAddress, keeps: func(ev *Event, s []byte) { ev.Addr = s }},
	'b': {shape: count, bytes: inDigits, counts: func(ev *Event, n uint64) { ev.Wire, ev.HasWire = n, true }},
	'c': {shape: count, bytes: inDigits},
	'f': {shape: client},
	'h': {shape: hostName, bytes: inName, keeps: func(ev *Event, s []byte) { ev.Host = s }},
	'i': {shape: itemize, tells: true, lengths: []int{11, 9}}, // 9 before 3.0
	'l': {shape: count, bytes: inDigits, counts: func(ev *Event, n uint64) { ev.Length, ev.HasLength = n, true }},
	'm': {shape: config},
	'n': {shape: client},
	'o': {shape: operation, tells: true, lengths: []int{4}},
	'p': {shape: digits, bytes: inDigits},
	't': {shape: stamp, lengths: []int{19}},
	'u': {shape: config},
}

func (s shape) isText() bool { return s == client || s == config }

// formatError makes the errors of this package: input, position, reason, remedy.
func formatError(format string, column int, reason, remedy string) error {
	return fmt.Errorf("log format %q, column %d: %s; %s", format, column, reason, remedy)
}

func compileFormat(format string) (logFormat, error) {
	f := logFormat{text: format, never: format == ""}
	if f.never {
		return f, nil
	}
	if len(format) > maxFormat {
		return f, formatError(format[:40]+"…", maxFormat, "longer than rsync accepts", "use at most 4096 bytes")
	}
	if i := strings.IndexAny(format, "\x00\n\r"); i >= 0 {
		return f, formatError(format, i+1, "a control character that rsyncd.conf can't hold", "remove it")
	}
	fields, err := splitFormat(format)
	if err != nil {
		return f, err
	}
	if err := f.checkNeighbours(format, fields); err != nil {
		return f, err
	}
	f.divide(fields)
	f.chooseTargets()
	f.escaped = f.withEscapes(fields)
	f.warn(fields)
	return f, nil
}

// splitFormat cuts a format into fields. What is no escape stays as it is, as in log.c.
func splitFormat(format string) ([]field, error) {
	var fields []field
	start := 0 // of the literal that is being collected
	flush := func(end int) {
		if end > start {
			fields = append(fields, newLiteral(format[start:end], start+1))
		}
	}
	for i := 0; i < len(format); {
		if format[i] != '%' {
			i++
			continue
		}
		e, end := variable(format, i)
		if e.letter == 0 {
			e, end = escape(format, i)
		}
		if e.letter == 0 {
			i = end
			continue
		}
		if e.width > maxWidth {
			return nil, formatError(format, i+1, e.text+" is wider than a line", "use a width of at most 4096")
		}
		flush(i)
		fields = append(fields, e)
		i, start = end, end
	}
	flush(len(format))
	return fields, nil
}

// variable reads %RSYNC_…% at format[i], for which rsyncd.conf has the session's value (loadparm.c:
// expand_vars, 3.1 and later). Before 3.1, and where there is no such variable, it stays as it is.
func variable(format string, i int) (e field, end int) {
	const mark = "%RSYNC_"
	if !strings.HasPrefix(format[i:], mark) {
		return field{}, 0
	}
	n := strings.IndexByte(format[i+1:], '%')
	if n < 0 {
		return field{}, 0
	}
	end = i + 1 + n + 1
	e = field{shape: config, letter: 'R', text: format[i:end], column: i + 1}
	if name := e.text[len(mark):]; strings.HasPrefix(name, "ARG") || strings.HasPrefix(name, "REQUEST") {
		e.shape = client
	}
	return e, end
}

// escape reads the escape at format[i]. Its letter is 0 where there is none; then the search goes
// on at end.
func escape(format string, i int) (e field, end int) {
	at := func(j int) byte {
		if j < len(format) {
			return format[j]
		}
		return 0
	}
	human, width := 0, 0
	j := i + 1
	for ; at(j) == '\''; j++ {
		human++
	}
	from := j
	left := at(j) == '-'
	if left {
		j++
	}
	zero := at(j) == '0' && !left
	for ; isDigit(at(j)) && j-from < widthLen; j++ {
		if width <= maxWidth {
			width = width*10 + int(at(j)-'0')
		}
	}
	for ; at(j) == '\''; j++ {
		human++
	}
	e, ok := escapes[at(j)]
	if !ok {
		return field{}, max(j, i+1)
	}
	e.letter, e.text, e.column = at(j), format[i:j+1], i+1
	e.left, e.zero, e.width, e.limit = left, zero, width, max(maxRun, width)
	if !e.shape.isText() {
		e.least = 1
	}
	if e.shape == count && human > 0 {
		e.human, e.bytes = human, inThousands
		if human > 1 {
			e.bytes = inUnits
		}
	}
	return e, j + 1
}

// checkNeighbours refuses formats in which a number can't be found, and turns names whose end can't
// be seen into text.
func (f *logFormat) checkNeighbours(format string, fields []field) error {
	for i := 1; i < len(fields); i++ {
		a, b := &fields[i-1], &fields[i]
		if a.shape == percent && b.faces('%', +1) || b.shape == percent && a.faces('%', -1) {
			return formatError(format, b.column,
				"two percent signs meet, which rsync 3.5.0 and older versions write differently", "remove one")
		}
		joined := numeric(a.shape) && a.runsInto(b, +1) ||
			(numeric(b.shape) || b.shape == modified) && b.runsInto(a, -1)
		if i+1 < len(fields) && separatorOnly(b) && mayBeDigit(a.shape) && mayBeDigit(fields[i+1].shape) {
			joined = joined || a.human > 0 || fields[i+1].human > 0 // 1,234,567: one number or two
		}
		if joined {
			return formatError(format, b.column,
				fmt.Sprintf("%q and %q run into each other, so that a number can't be told from its neighbour",
					a.text, b.text),
				"put a space between them")
		}
	}
	for i := range fields {
		e := &fields[i]
		if e.shape != address && e.shape != hostName {
			continue
		}
		if i > 0 && e.nameRunsInto(&fields[i-1], -1) || i+1 < len(fields) && e.nameRunsInto(&fields[i+1], +1) {
			e.shape, e.keeps, e.least, e.joined = config, nil, 0, true
			f.warnAt(e.column, "%s can't be told from what stands beside it and isn't used; "+
				"put a space or a bracket between them", e.text)
		}
	}
	return nil
}

// facing returns the byte of a literal that its neighbour meets: the first for a neighbour on the
// left, from which the literal is on side +1, the last for one on the right.
func facing(text string, side int) byte {
	if side > 0 {
		return text[0]
	}
	return text[len(text)-1]
}

// faces says whether a field on one side of another begins or ends with c where they meet.
func (e *field) faces(c byte, side int) bool {
	return e.shape == percent && c == '%' || e.shape == literal && facing(e.text, side) == c
}

func numeric(s shape) bool { return s == count || s == digits || s == group }

// runsInto says whether the neighbour of a number may have a byte that could be the number's where
// they meet.
func (e *field) runsInto(neighbour *field, side int) bool {
	if neighbour.shape != literal {
		return mayBeDigit(neighbour.shape) || side < 0 && neighbour.shape == perms && e.shape == group // T
	}
	c := facing(neighbour.text, side)
	if rest := strings.Trim(neighbour.text, ".,"); e.human > 0 && rest != "" {
		c = facing(rest, side)
	}
	return isDigit(c) || c != '.' && c != ',' && byteClasses[c]&e.bytes != 0
}

// nameRunsInto says the same of an address or a host name.
func (e *field) nameRunsInto(neighbour *field, side int) bool {
	if neighbour.shape != literal {
		return neighbour.shape != percent || e.shape == address
	}
	return byteClasses[facing(neighbour.text, side)]&e.bytes != 0
}

// mayBeDigit leaves out texts: a number beside one is in doubt.
func mayBeDigit(s shape) bool {
	return numeric(s) || s == stamp || s == modified || s == address || s == hostName
}

// separatorOnly says whether a literal looks like a thousands separator.
func separatorOnly(e *field) bool { return e.shape == literal && strings.Trim(e.text, ".,") == "" }

// divide finds the client's text and marks what can't be believed.
func (f *logFormat) divide(fields []field) {
	f.pattern = divide(fields)
	first, last, texts := len(f.left), len(fields)-len(f.right), 0
	for i := range fields {
		e := &fields[i]
		if e.shape.isText() {
			texts++
		}
		if numeric(e.shape) || e.shape == percent || e.shape == modified {
			e.doubt = besideText(fields, i, -1) || besideText(fields, i, +1)
		}
	}
	doubtWeak(fields[:first], fields[last:])
	path := len(f.middle) == 1 && texts == 1 && f.middle[0].isName() && f.middle[0].width == 0
	for i := range fields {
		between := i >= first && i < last
		// It has nine bytes or eleven.
		short := fields[i].shape == itemize && (besideText(fields, i, -1) || besideText(fields, i, +1))
		path = path && (between || !fields[i].doubt && !short)
		fields[i].doubt = fields[i].doubt || between
		if s := fields[i].shape; s == operation || s == itemize {
			f.hasOp, f.readsOp = true, f.readsOp || !fields[i].doubt
		}
	}
	if len(f.middle) == 1 && f.middle[0].isName() {
		f.middle[0].least = 1
	}
	if path {
		f.middle[0].keeps = verbs["path"].keeps
	}
	f.loose = texts > 0
	for i := range fields {
		outside := i < first || i >= last
		if outside && !fields[i].shape.isText() && strings.TrimSpace(fields[i].text) != "" {
			f.loose = false
		}
	}
	f.markModule(fields)
	if f.hasOp && !f.readsOp {
		f.ops = placeOfOp(fields)
	}
}

// chooseTargets keeps nothing of what isn't believed.
func (f *logFormat) chooseTargets() {
	for _, fields := range [...][]field{f.left, f.middle, f.right} {
		for i := range fields {
			if fields[i].doubt && !fields[i].shape.isText() || fields[i].isRounded() {
				fields[i].keeps, fields[i].counts, fields[i].tells = nil, nil, false
			}
			f.itemized = f.itemized || fields[i].shape == itemize && !fields[i].doubt
		}
	}
}

// doubtWeak marks the fields that the matcher searches for beside a text of the configuration, and
// that it could find within that text: in "%m %l %f" the module may be named "backup 2".
func doubtWeak(left, right []field) {
	joined := false // in one of the texts that follow each other
	for i := range left {
		if joined = left[i].shape.isText() && (joined || left[i].joined); left[i].shape.isText() {
			doubtRun(runOf(left[i+1:]), joined)
		}
	}
	joined = false
	for i := len(right) - 1; i >= 0; i-- {
		if joined = right[i].shape.isText() && (joined || right[i].joined); right[i].shape.isText() {
			doubtRun(lastRunOf(right[:i]), joined)
		}
	}
}

// doubtRun doubts a run that could be part of a name. A host name can be any word, so it is in
// doubt without an address beside it.
func doubtRun(run []field, joined bool) {
	weak, addressed := joined || isWeak(run), false
	for i := range run {
		addressed = addressed || run[i].shape == address
	}
	for i := range run {
		run[i].doubt = weak || run[i].doubt || run[i].shape == hostName && !addressed
	}
}

// isWeak says whether a run could be part of a name: its fields have nothing but spaces around
// them, or its only field has next to nothing. Brackets and the like end a name.
func isWeak(run []field) bool {
	most, shaped := 0, 0
	for i := range run {
		switch run[i].shape {
		case literal:
			s := strings.TrimSpace(run[i].text)
			if strings.ContainsAny(s, "()[]{}<>\"'|;:=@#!?&*+~^$`\\%") {
				return false
			}
			most = max(most, len(s))
		case itemize, stamp, modified, perms:
			return false
		default:
			shaped++
		}
	}
	return most == 0 || most < 3 && shaped < 2
}

// besideText says whether nothing stands between fields[i] and a text on one side, or nothing but a
// thousands separator.
func besideText(fields []field, i, side int) bool {
	j := i + side
	if j+side >= 0 && j+side < len(fields) && fields[i].human > 0 && separatorOnly(&fields[j]) {
		j += side
	}
	return j >= 0 && j < len(fields) && fields[j].shape.isText()
}

// markModule marks a %m in front of " (%u)" that the client's text can't have moved: only fields
// with a shape stand before it.
func (f *logFormat) markModule(fields []field) {
	first := len(runOf(fields))
	if rest := fields[first:]; len(rest) > 2 && rest[0].letter == 'm' && rest[0].width == 0 &&
		rest[1].text == " (" && rest[2].letter == 'u' {
		rest[0].module = true
		f.named = len(rest) > 4 && rest[3].text == ") " && rest[4].isName() && rest[4].width == 0 &&
			len(f.middle) == 1 && len(f.right) == len(rest[5:])
	}
}

// warnAt adds a warning about a column.
func (f *logFormat) warnAt(column int, text string, args ...any) {
	text = fmt.Sprintf(text, args...)
	f.warnings = append(f.warnings, fmt.Sprintf("log format %q, column %d: %s", f.text, column, text))
}

// warn collects what an operator should know about a format.
func (f *logFormat) warn(fields []field) {
	if !f.hasOp {
		f.warnAt(1, "neither %%o nor %%i: what was done with a file is taken from the session's direction; "+
			"put %%o at the beginning")
	}
	if f.loose {
		f.warnAt(1, "nothing but text: any line that isn't the daemon's own looks like a transfer; "+
			"put %%o at the beginning")
	} else if fields[0].shape == client {
		f.warnAt(1, "%s begins the line, so that a file's name can look like another line; put %%o at the beginning",
			fields[0].text)
	}
	for i := range fields {
		e := &fields[i]
		f.warnDoubt(e)
		if i == 0 {
			continue
		}
		before := &fields[i-1]
		if before.shape.isText() && e.shape.isText() {
			f.warnAt(e.column, "%s follows %s without anything between them, so that neither can be told apart",
				e.text, before.text)
		}
		if before.shape == percent && e.shape == literal {
			if old, _ := escape("%"+e.text, 0); old.letter != 0 {
				f.warnAt(before.column, "%s before %q is read as rsync 3.5.0 writes it; older versions expand %s",
					before.text, old.text[1:], old.text)
			}
		}
	}
}

// warnDoubt says why a field isn't believed.
func (f *logFormat) warnDoubt(e *field) {
	const (
		beside  = "%s stands beside or between texts that may "
		between = "%s stands between texts that may look like it"
	)
	switch {
	case e.doubt && numeric(e.shape):
		f.warnAt(e.column, beside+"hold numbers, and isn't used; put it at the end, after a space", e.text)
	case e.isRounded() && (e.letter == 'l' || e.letter == 'b'):
		f.warnAt(e.column, "%s is rounded to a unit (1.00K), which is no byte count, and isn't used; write %%%c",
			e.text, e.letter)
	case e.doubt && e.shape == percent:
		f.warnAt(e.column, beside+"hold percent signs; remove it", e.text)
	case e.doubt && e.shape == modified:
		f.warnAt(e.column, beside+"end in digits, as its year may have any number of; put a space before it", e.text)
	case e.doubt && (e.shape == operation || e.shape == itemize) && !f.readsOp:
		f.warnAt(e.column, between+": files whose line can be read in two ways count as operation %q; "+
			"put it at the beginning", e.text, OpUnknown)
	case e.doubt && e.shape > group:
		f.warnAt(e.column, between+", and isn't used; put it at the beginning", e.text)
	}
}

// FullLogFormat tells everything that counts. It is DefaultLogFormat and the bytes that were moved.
const FullLogFormat = DefaultLogFormat + " %b"

// Lacks says what the log format's transfer lines don't tell, or not so that it can be believed:
// "how long a file is (%l)". Each entry goes on after "it doesn't tell".
func (p *Parser) Lacks() (all []string) {
	f := &p.format
	if f.never {
		return []string{"which files are transferred: it is empty, and so none is logged"}
	}
	used := map[byte]bool{}
	for _, fields := range [...][]field{f.left, f.middle, f.right} {
		for i := range fields {
			e := &fields[i]
			if e.keeps != nil || e.counts != nil || e.module {
				used[e.letter] = true
			}
		}
	}
	for _, l := range [...]struct {
		told bool
		what string
	}{
		{f.hasOp, "what was done with a file, so that the session's direction decides (%o)"},
		{!f.hasOp || f.readsOp, "for certain what was done with a file (%o at the beginning)"},
		{used['a'], "whose file it was, by which lines that a client has written are found out (%a)"},
		{used['m'], "in which module, which before rsync 3.2 only the client's request names (%m (%u) behind %o)"},
		{f.named || used['f'] || used['n'], "what the file is called (%f)"},
		{used['l'], "how long a file is (%l)"},
		{used['b'], "how many bytes were moved for a file (%b)"},
	} {
		if !l.told {
			all = append(all, l.what)
		}
	}
	return all
}

// Full returns a log format that lacks nothing: this one with one field more if that is enough,
// otherwise FullLogFormat.
func (p *Parser) Full() string {
	for _, format := range [...]string{p.format.text, p.format.text + " %b"} {
		q, err := NewParser(format)
		if err == nil && len(q.Lacks()) == 0 && len(q.Warnings()) == 0 {
			return format
		}
	}
	return FullLogFormat
}
