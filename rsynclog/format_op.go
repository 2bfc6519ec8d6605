package rsynclog

import "slices"

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
	if ev.AfterAddr != nil {
		ev.tail = got.tail
		if !f.named {
			ev.tail = noName
		}
	}
	return true
}

// matchWhole reads a line. One that rsync has cut at its end is read up to the client's text.
func (f *logFormat) matchWhole(text []byte, got *found) bool {
	if len(text) < maxText {
		return f.pattern.match(text, 0, got)
	}
	return len(f.middle) > 0 && !f.loose && len(f.left) > 0 && f.matchLeft(text, 0, got) >= 0
}

// An opPlace is where a log format has an operation between texts. The line is then searched for
// all places in which the operation, with what stands around it, can be: before them the fields in
// front must fit, behind them the fields that follow.
type opPlace struct {
	before, after pattern
	run           []field // holds the operation, and no text; a text is on either side of it
	itemized      bool    // the operation is %i, which says more than %o
}

// placeOfOp returns where %i is, or else %o.
func placeOfOp(fields []field) opPlace {
	fields = slices.Clone(fields)
	at := -1
	for i := range fields {
		e := &fields[i]
		if e.shape == itemize && (at < 0 || fields[at].shape == operation) || e.shape == operation && at < 0 {
			at = i
		}
		e.keeps, e.counts, e.tells, e.module = nil, nil, false, false
		if e.isName() {
			e.least = 1 // a file's name is never empty
		}
	}
	start, end := at-len(lastRunOf(fields[:at])), at+len(runOf(fields[at:]))
	p := opPlace{
		before: pattern{left: fields[:start]}, after: pattern{right: fields[end:]},
		run: fields[start:end], itemized: fields[at].shape == itemize,
	}
	fields[at].tells = true
	for i := 1; i < start; i++ {
		fields[i-1].unsure = fields[i].shape.isText() && !fields[i-1].endsSurely()
	}
	for i := end + 1; i < len(fields); i++ {
		fields[i].unsure = fields[i-1].shape.isText() && !fields[i].beginsSurely()
	}
	return p
}

// readOp sets *ev's operation. It returns false for a line that the format can't have written.
func (f *logFormat) readOp(text []byte, got *found, ev *Event) bool {
	switch {
	case got.item != nil || got.op != NoOp:
		ev.Op = got.operation() // of a directory, %o says send or recv, too
		return true
	case !f.hasOp:
		ev.OpUnnamed = true
		return true
	}
	ops := setOf(OpSend, OpRecv, OpDel) // what a line that was cut may have said
	if f.itemized || f.ops.itemized {
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

// possible returns the operations of all ways in which a line can be read.
func (p *opPlace) possible(text []byte) (ops OpSet) {
	var got found
	from, to := p.before.matchLeft(text, 0, &got), p.after.matchRight(text, 0, &got)
	if from < 0 || to < 0 {
		return 0
	}
	behind := len(p.after.right) > 0
	if behind && !p.run[len(p.run)-1].endsSurely() {
		to = len(text)
	}
	for from <= to {
		start, end := searchRun(p.run, text, from, &got)
		if end < 0 || len(p.before.left) == 0 && start > from {
			break
		}
		if end <= to && (behind || end == len(text)) {
			ops |= setOf(got.operation())
		}
		if len(p.before.left) == 0 {
			break
		}
		from = start + 1
	}
	return ops
}

// operation returns what %i, or else %o, stands for.
func (got *found) operation() Op {
	if got.item == nil {
		return got.op
	}
	switch string(got.item[:2]) { // directories, links, devices and changes of attributes only are no transfers
	case "<f":
		return OpSend
	case ">f":
		return OpRecv
	case "*d":
		return OpDel
	}
	return NoOp
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

// isName says whether a text is a file's name.
func (e *field) isName() bool { return e.letter == 'f' || e.letter == 'n' }

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
