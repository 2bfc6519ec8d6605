package rsynclog

import "bytes"

// match reads a whole line that the log format wrote, as it stands or with its literals escaped.
func (f *logFormat) match(text []byte, ev *Event) bool {
	return f.matchForm(text, ev) || f.escaped != nil && f.escaped.matchForm(text, ev)
}

// matchForm reads one form.
func (f *logFormat) matchForm(text []byte, ev *Event) bool {
	if f.never {
		return false
	}
	got := found{ev: ev}
	if !f.matchWhole(text, &got) || !f.readOp(text, &got, ev) {
		ev.clear()
		return false
	}
	ev.Kind = Transfer
	return true
}

// matchWhole reads a line. One that rsync has cut at its end is read up to the client's text.
func (f *logFormat) matchWhole(text []byte, got *found) bool {
	if len(text) < maxText {
		return f.pattern.match(text, 0, got)
	}
	return len(f.middle) > 0 && !f.loose && len(f.left) > 0 && f.matchLeft(text, 0, got) >= 0
}

// An opPlace is where a log format has an operation between texts. The line is then looked through
// for all places in which the operation, with what stands around it, can be: before them the fields
// in front must fit, behind them the fields that follow.
type opPlace struct {
	before, run, after []field // run holds the operation; it has no text, and before ends and after begins with one
	at                 int     // the operation's place in the run
}

// placeOfOp returns where %i is, which says more, or else %o.
func placeOfOp(fields []field) opPlace {
	at := -1
	for i := range fields {
		if s := fields[i].shape; s == itemize && (at < 0 || fields[at].shape == operation) || s == operation && at < 0 {
			at = i
		}
	}
	start, end := at-len(lastRunOf(fields[:at])), at+len(runOf(fields[at:]))
	return opPlace{fields[:start], fields[start:end], fields[end:], at - start}
}

// readOp sets *ev's operation. It returns false for a line that the format can't have written.
func (f *logFormat) readOp(text []byte, got *found, ev *Event) bool {
	switch {
	case got.item != nil:
		ev.Op = itemOp(got.item) // of a directory, %o says send or recv, too
		return true
	case got.op != NoOp:
		ev.Op = got.op
		return true
	case !f.hasOp:
		ev.OpUnnamed = true
		return true
	}
	ops := setOf(OpSend, OpRecv, OpDel) // what a line that was cut may have said
	if f.ops.run != nil && f.ops.run[f.ops.at].shape == itemize || f.ops.run == nil && f.itemized() {
		ops |= setOf(NoOp)
	}
	if len(text) < maxText {
		ops = f.ops.possible(text)
	}
	if ops == 0 {
		return false
	}
	if ev.Op = ops.only(); ev.Op == OpUnknown {
		ev.Ops = ops
	}
	return true
}

// itemized says whether %i can be read in a line that isn't cut.
func (f *logFormat) itemized() bool {
	for _, fields := range [...][]field{f.left, f.middle, f.right} {
		for i := range fields {
			if fields[i].shape == itemize && !fields[i].doubt {
				return true
			}
		}
	}
	return false
}

// possible returns the operations of all ways in which a line can be read.
func (p *opPlace) possible(text []byte) (ops OpSet) {
	from, to := earliest(p.before, text), latest(p.after, text)
	if from < 0 || to < 0 {
		return 0
	}
	last := &p.run[len(p.run)-1]
	if len(p.after) > 0 && !last.endsSurely() {
		to = len(text)
	}
	for ; from <= to; from++ {
		if p.run[0].shape == literal {
			n := bytes.Index(text[from:], p.run[0].sought)
			if n < 0 {
				break
			}
			from += n
		}
		end, op := p.readAt(text, from)
		if end >= 0 && end <= to && (len(p.after) > 0 || end == len(text)) {
			ops |= setOf(op)
		}
		if len(p.before) == 0 {
			break
		}
	}
	return ops
}

// readAt reads the run at pos and returns its end, or -1, and the operation.
func (p *opPlace) readAt(text []byte, pos int) (end int, op Op) {
	for i := range p.run {
		n := p.run[i].prefix(text[pos:])
		if n < 0 {
			return -1, NoOp
		}
		if i == p.at {
			op = p.run[i].op(text[pos : pos+n])
		}
		pos += n
	}
	return pos, op
}

// op returns the operation that %o or %i, with its padding, stands for.
func (e *field) op(s []byte) Op {
	if e.width > 0 {
		s = bytes.Trim(s, " ")
	}
	if e.shape == itemize {
		return itemOp(s)
	}
	return opOf(s)
}

// opOf returns the operation that %o stands for.
func opOf(s []byte) Op {
	switch s[0] {
	case 's':
		return OpSend
	case 'r':
		return OpRecv
	}
	return OpDel
}

// itemOp says what %i says was done with a file. Directories, links, devices and changes of attributes only
// are no transfers.
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

// isName says whether a text is a file's name, which is never empty.
func (e *field) isName() bool { return e.letter == 'f' || e.letter == 'n' }

// earliest returns the first place at which fields that end in a text can end, or -1 if they don't
// fit. Every text takes as little as it can.
func earliest(fields []field, text []byte) int {
	pos := 0
	for len(fields) > 0 {
		if !fields[0].shape.isText() {
			run := runOf(fields)
			fields = fields[len(run):]
			if pos = runEnd(run, text, pos); pos < 0 {
				return -1
			}
			continue
		}
		if fields[0].isName() {
			pos++
		}
		run := runOf(fields[1:])
		fields = fields[1+len(run):]
		if len(run) == 0 {
			continue
		}
		end := -1
		for ; end < 0; pos++ {
			if pos > len(text) {
				return -1
			}
			if run[0].shape == literal {
				n := bytes.Index(text[pos:], run[0].sought)
				if n < 0 {
					return -1
				}
				pos += n
			}
			end = runEnd(run, text, pos)
		}
		pos = end
	}
	return pos
}

// runEnd returns where a run that begins at pos and that a text follows ends, or -1. Where it ends
// in a number, only the first of its bytes is surely its own.
func runEnd(run []field, text []byte, pos int) int {
	for i := range run {
		n := run[i].prefix(text[pos:])
		if n < 0 {
			return -1
		}
		if i == len(run)-1 && !run[i].endsSurely() {
			return pos + 1
		}
		pos += n
	}
	return pos
}

// latest returns the last place at which fields that begin with a text can begin, or -1 if they
// don't fit.
func latest(fields []field, text []byte) int {
	pos := len(text)
	for len(fields) > 0 {
		n := len(fields) - 1
		if !fields[n].shape.isText() {
			run := lastRunOf(fields)
			fields = fields[:len(fields)-len(run)]
			if pos = runBegin(run, text, pos); pos < 0 {
				return -1
			}
			continue
		}
		if fields[n].isName() {
			pos--
		}
		run := lastRunOf(fields[:n])
		fields = fields[:n-len(run)]
		if len(run) == 0 {
			continue
		}
		begin := -1
		for ; begin < 0; pos-- {
			if pos < 0 {
				return -1
			}
			begin = runBegin(run, text, pos)
		}
		pos = begin
	}
	return pos
}

// runBegin returns where a run that ends at pos and that follows a text begins, or -1. Where it
// begins with a number, only the last of its bytes is surely its own.
func runBegin(run []field, text []byte, pos int) int {
	for i := len(run) - 1; i >= 0; i-- {
		n := run[i].suffix(text[:pos])
		if n < 0 {
			return -1
		}
		if i == 0 && !run[i].beginsSurely() {
			return pos - 1
		}
		pos -= n
	}
	return pos
}

// endsSurely says of a field before a text whether its end shows: it isn't taken for longer than it
// is when the text goes on like it.
func (e *field) endsSurely() bool {
	switch e.shape {
	case literal, operation, stamp, modified, perms:
		return true
	}
	return false
}

// beginsSurely says the same of its beginning behind a text.
func (e *field) beginsSurely() bool { return e.endsSurely() && e.shape != modified }
