package rsynclog

import (
	"bytes"
	"strings"
)

// A plainMatcher is a plainLine's form, cut at its verbs.
type plainMatcher struct {
	kind   Kind
	parts  [][]byte // literals; any text is between them
	digits bool     // the text between is digits
}

// plainIndex holds the matchers by the first byte of their lines, or of what follows "[ROLE] ".
type plainIndex [256][]plainMatcher

var (
	plainMatchers = indexPlain(func(l plainLine) bool { return l.kind != OtherKnown && !hasRole(l) })
	otherMatchers = indexPlain(func(l plainLine) bool { return l.kind == OtherKnown && !hasRole(l) })
	roleMatchers  = indexPlain(hasRole)
)

const roleMark = "[ROLE] "

func hasRole(l plainLine) bool { return strings.HasPrefix(l.form, roleMark) }

func indexPlain(wanted func(plainLine) bool) *plainIndex {
	var index plainIndex
	for _, l := range plainLines {
		if !wanted(l) {
			continue
		}
		m := plainMatcher{kind: l.kind, digits: strings.Contains(l.form, "%d")}
		form := strings.ReplaceAll(strings.TrimPrefix(l.form, roleMark), "%d", "%s")
		for _, part := range strings.Split(form, "%s") {
			m.parts = append(m.parts, []byte(strings.ReplaceAll(part, "%%", "%")))
		}
		if form == "%s" { // whatever follows a role
			for c := range index {
				index[c] = append(index[c], m)
			}
			continue
		}
		index[form[0]] = append(index[form[0]], m)
	}
	return &index
}

func (x *plainIndex) find(s []byte) *plainMatcher {
	if len(s) == 0 {
		return nil
	}
	matchers := x[s[0]]
	for i := range matchers {
		if matchers[i].match(s) {
			return &matchers[i]
		}
	}
	return nil
}

func (m *plainMatcher) match(s []byte) bool {
	first, last := m.parts[0], m.parts[len(m.parts)-1]
	if !bytes.HasPrefix(s, first) {
		return false
	}
	if len(m.parts) == 1 {
		return len(s) == len(first)
	}
	s = s[len(first):]
	if !bytes.HasSuffix(s, last) {
		return false
	}
	s = s[:len(s)-len(last)]
	if m.digits {
		return allDigits(s)
	}
	for _, part := range m.parts[1 : len(m.parts)-1] {
		i := bytes.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

// parsePlain reads plainLines other than those of OtherKnown.
func parsePlain(text []byte, ev *Event) bool {
	if m := plainMatchers.find(text); m != nil {
		if ev.Kind, ev.Reason = m.kind, plainReason(m.kind); m.kind == FileList {
			ev.Direction = listDirection(text)
		}
		return true
	}
	role, rest, ok := cutRole(text)
	if !ok {
		return false
	}
	m := roleMatchers.find(rest)
	if m == nil {
		return false
	}
	if ev.Kind = m.kind; m.kind == FileError || m.kind == Timeout {
		ev.Role = role
	}
	return true
}

// listDirection returns the direction of a transfer whose file list is built here, or received.
func listDirection(text []byte) Direction {
	if text[0] == 'b' {
		return Send
	}
	return Receive
}

// cutRole cuts "[ROLE] " off the front.
func cutRole(text []byte) (role, rest []byte, ok bool) {
	if text[0] != '[' {
		return nil, nil, false
	}
	n := bytes.IndexByte(text, ']')
	if n < 0 || n+1 >= len(text) || text[n+1] != ' ' {
		return nil, nil, false
	}
	switch string(text[1:n]) { // rsync.c: who_am_i
	case "sender", "receiver", "generator", "Receiver", "server", "client":
		return text[1:n], text[n+2:], true
	}
	return nil, nil, false
}

func plainReason(k Kind) Reason {
	switch k {
	case MaxConnections:
		return ReasonMaxConnections
	case ReadOnlyModule:
		return ReasonReadOnly
	case WriteOnlyModule:
		return ReasonWriteOnly
	case RefusedOption:
		return ReasonRefusedOption
	case SetupFailed, ExecFailed:
		return OtherReason
	}
	return NoReason
}

// parseOther reads the plainLines of OtherKnown.
func parseOther(text []byte, ev *Event) bool {
	if otherMatchers.find(text) == nil {
		return false
	}
	ev.Kind = OtherKnown
	return true
}

// verboseTails end the lines that begin with a file's name (generator.c, hlink.c, at a client's -v).
var verboseTails = [...]struct{ versions, words string }{
	{"all", " is uptodate"}, {"all", " is newer"}, {"all", " is over max-size"}, {"all", " is under min-size"}, {"all", " exists"},
	{"3.2+", " exists (type change)"}, {"3.2+", " exists (sum change)"}, {"3.2+", " exists (file change)"},
	{"3.2+", " exists (attr change)"}, {"3.2+", " exists (uptodate)"}, {"-2.6.9", " is a hard link"},
}

// parseVerbose reads lines of which only the end is rsync's own.
func parseVerbose(text []byte, ev *Event) bool {
	for i := range verboseTails {
		if hasSuffix(text, verboseTails[i].words) {
			ev.Kind = OtherKnown
			return true
		}
	}
	return false
}
