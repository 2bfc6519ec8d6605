package explain

import (
	"bytes"
	"strings"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
)

// A field is one thing that was found in a line. Its text holds anybody's bytes.
type field struct {
	name   string
	text   []byte
	number uint64
	is     bool // a number
}

type fields []field

func (f *fields) text(name string, value []byte) {
	if value != nil {
		*f = append(*f, field{name: name, text: value})
	}
}

func (f *fields) word(name, value string) {
	if value != "" {
		*f = append(*f, field{name: name, text: []byte(value)})
	}
}

func (f *fields) number(name string, n uint64) {
	*f = append(*f, field{name: name, number: n, is: true})
}

// fieldsOf appends what was found in a line. They are valid as long as the line.
func fieldsOf(f fields, c Class, l *pipeline.Line) fields {
	switch c {
	case Discarded:
		f.word("reason", l.Discard.String())
		f.text("text", l.Raw)
		return f
	case Ignored:
		f.text("tag", l.Message.Tag)
		f.text("text", l.Message.Text)
		return f
	case Implausible:
		f.word("looks_like", l.Event.Kind.String())
	}
	f = words(f, l)
	f = numbers(f, &l.Event)
	if c.trouble() || !saysAll[l.Event.Kind] {
		f.text("text", l.Message.Text)
	}
	return f
}

// anonymised leaves out what may name a client: its name, and lines as they stand. A network stands for
// its address.
func (f fields) anonymised() fields {
	kept := f[:0]
	for _, x := range f {
		switch x.name {
		case "host", "text":
			continue
		case "address":
			network, _ := clients.Show(string(x.text), "", true)
			if network == "" {
				continue
			}
			x.text = []byte(network)
		}
		kept = append(kept, x)
	}
	return kept
}

// words appends an event's texts.
func words(f fields, l *pipeline.Line) fields {
	ev := &l.Event
	f.word("direction", ev.Direction.String())
	f.word("operation", ev.Op.String())
	if ev.Op == rsynclog.OpUnknown {
		var all []string
		for _, op := range []rsynclog.Op{rsynclog.OpSend, rsynclog.OpRecv, rsynclog.OpDel} {
			if ev.Ops.Has(op) {
				all = append(all, op.String())
			}
		}
		f.word("may_be", strings.Join(all, "|"))
	}
	f.word("reason", ev.Reason.String())
	f.text("host", ev.Host)
	f.text("address", ev.Addr)
	module, user, path := ev.Module, ev.User, ev.Path
	if ev.AfterAddr != nil {
		name := ""
		if l.Session != nil {
			name = l.Session.Module
		}
		module, user = inFront(ev.AfterAddr, name)
		path = ev.File(name)
	}
	f.text("module", module)
	f.text("user", user)
	f.text("request", ev.Request)
	f.text("path", path)
	f.text("role", ev.Role)
	f.text("version", ev.Version)
	return f
}

// inFront returns the module and the user in "MODULE (USER) FILE". The module's name tells where it
// ends, if it is known.
func inFront(after []byte, name string) (module, user []byte) {
	end := len(name)
	if name == "" || !bytes.HasPrefix(after, []byte(name+" (")) {
		if end = bytes.Index(after, []byte(" (")); end < 0 {
			return nil, nil
		}
	}
	user, _, ok := bytes.Cut(after[end+len(" ("):], []byte(") "))
	if !ok || len(user) == 0 {
		user = nil
	}
	return after[:end], user
}

// numbers appends an event's numbers.
func numbers(f fields, ev *rsynclog.Event) fields {
	if ev.HasLength {
		f.number("length", ev.Length)
	}
	if ev.HasWire {
		f.number("transferred", ev.Wire)
	}
	switch ev.Kind {
	case rsynclog.Summary:
		f.number("sent", ev.Sent)
		f.number("received", ev.Received)
		f.number("total", ev.Total)
	case rsynclog.ExitError, rsynclog.ExitWarning:
		f.number("code", uint64(max(ev.Code, 0)))
	case rsynclog.LostUpstream:
		f.number("lost", ev.Lost)
	}
	if ev.Errno > 0 {
		f.number("errno", uint64(ev.Errno))
		name, _ := codes.ErrnoName(int(ev.Errno))
		f.word("errno_name", name)
	}
	if ev.Repeat > 1 {
		f.number("repeat", uint64(ev.Repeat))
	}
	return f
}
