package rsynclog

import "bytes"

// Which module is it? From rsync 3.2 on, "rsync allowed access" says, and no client can write that.
// Before, the request and the transfer lines name one. The request is the client's text, and so may
// a transfer line be; only a name that is known by other lines, or by the settings, is taken from
// them.

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

// confirm holds the module that a request named against the one in a transfer line, where the
// daemon writes its own (%m). Where they differ one of them is the client's invention. The line's
// is taken if it is known, but the session proves nobody's backup; and if lines differ among
// themselves, none is.
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
// string. Behind it stands " (USER) ".
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
