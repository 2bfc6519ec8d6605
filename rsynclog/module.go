package rsynclog

import (
	"bytes"
	"math"
	"time"
)

// Which module is it? From rsync 3.2 on, "rsync allowed access" says so, and no client can write
// that. Before, only the request and the transfer lines name a module, and a client can write
// both. So a name in them must be known from other lines, or from the settings.

const (
	// maxModules bounds the module names of one origin, and maxNames those of all: a sender can
	// invent hosts.
	maxModules = 1000
	maxNames   = 1 << 15
)

// requested returns the known module that a request names, or an empty string.
func (t *Sessions) requested(o *Origin, request []byte) string {
	for i := 0; i <= len(request); i++ {
		if i < len(request) && request[i] != '/' && request[i] != ' ' {
			continue
		}
		if m, ok := t.module(o, request[:i], false); ok {
			return m
		}
		if i == len(request) || request[i] == '/' || i > maxRaw {
			return ""
		}
	}
	return ""
}

// confirm compares the module that a request named with the daemon's own one in a transfer line
// (%m). If they differ, a client has invented one of them. The line's is taken if it is known, but
// the session is doubtful then. If transfer lines differ from one another, no module is taken.
func (t *Sessions) confirm(s *Session, ev *Event) {
	if s.Requested == "" && !s.Overruled || ev.AfterAddr == nil {
		return
	}
	m := t.loggedModule(s.Origin, ev.AfterAddr)
	switch {
	case s.Overruled:
		if m != s.Module {
			s.relabel("", s.Direction)
		}
		return
	case m != s.Requested:
		s.Requested, s.Overruled, s.Doubted = m, true, true
	}
	t.settleModule(s)
}

// loggedModule returns the known module that the rest of a transfer line begins with, or an empty
// string. " (USER) " follows it.
func (t *Sessions) loggedModule(o *Origin, rest []byte) string {
	const names = 4 // a module's name may hold " (", too
	end := 0
	for range names {
		i := bytes.Index(rest[end:], []byte(" ("))
		if i < 0 {
			break
		}
		if m, ok := t.module(o, rest[:end+i], false); ok {
			return m
		}
		end += i + 1
	}
	return ""
}

// settleModule takes the module that a request named, and counts the transfer that waited for it.
func (t *Sessions) settleModule(s *Session) {
	if s.Requested == "" && !s.Overruled || s.Executed {
		return
	}
	s.Executed = true
	s.relabel(s.Requested, s.Direction)
	s.Requested = ""
	t.emit(Change{Kind: Executed, Origin: s.Origin, Session: s, N: 1})
}

// module returns the label of a module's name as logged; ok is false if the name isn't known. A new
// name is learned if teach says that the daemon, not a client, wrote it.
func (t *Sessions) module(o *Origin, name []byte, teach bool) (clean string, ok bool) {
	if m, ok := t.known[string(name)]; ok {
		return m, true
	}
	if len(t.known) > 0 && bytes.Contains(name, []byte(`\#`)) { // escaped, as in a log file
		if m, ok := t.known[string(AppendUnescaped(nil, name[:min(len(name), maxRaw)]))]; ok {
			return m, true
		}
	}
	m, ok := o.Modules[string(name)]
	switch {
	case ok && !teach:
		return m.Label, true
	case !teach || len(name) == 0:
		return "", false
	case !ok:
		if len(name) > maxRaw || !t.roomForName(o) {
			return Other, true
		}
		if o.Modules == nil {
			o.Modules = map[string]Taught{}
		}
		m.Label = Label(name)
		t.names++
	}
	o.Modules[string(name)] = Taught{m.Label, o.Arrived}
	return m.Label, true
}

// roomForName says whether an origin may learn another module's name. If need be, it forgets one
// that was not heard for a day.
func (t *Sessions) roomForName(o *Origin) bool {
	if t.names >= maxNames {
		t.forgetOrigin(o.Arrived)
	}
	if len(o.Modules) < maxModules && t.names < maxNames {
		return true
	}
	if o.Arrived < o.NoName {
		return false
	}
	oldest, heard := "", int64(math.MaxInt64)
	for name, m := range o.Modules {
		if m.Heard < heard || m.Heard == heard && name < oldest {
			oldest, heard = name, m.Heard
		}
	}
	if len(o.Modules) == 0 || o.Arrived-heard < int64(forgetAfter) {
		o.NoName = o.Arrived + int64(time.Minute)
		return false
	}
	delete(o.Modules, oldest)
	t.names--
	return true
}
