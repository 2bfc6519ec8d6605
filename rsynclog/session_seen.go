package rsynclog

import (
	"bytes"
	"strings"
	"unicode"
)

// What people want to know of a session, and nothing is decided by.

// Failures counts files that failed by errno, the first ones each by itself and the others together
// with errno 0. An errno of 0 is also a vanished file, or an error without a number.
type Failures [4]Failure

// A Failure is how many files failed with an errno.
type Failure struct {
	Errno int16
	N     uint64 // 0: unused
}

func (f *Failures) add(errno int16, n uint64) {
	for i := range f[:len(f)-1] {
		if f[i].N == 0 || f[i].Errno == errno {
			f[i].Errno, f[i].N = errno, f[i].N+n
			return
		}
	}
	f[len(f)-1].N += n
}

// named notes the client's host name, if a line has one and none is known.
func (s *Session) named(host []byte) {
	switch string(host) {
	case "", "UNKNOWN", "UNDETERMINED": // clientname.c: none was found, or none was looked for
		return
	}
	if s.Name == "" {
		s.Name = Label(host)
	}
}

// maxPath is how much of a path is kept, in bytes as logged.
const maxPath = 256

// Saw notes the file of the session's last transfer line, as logged. Of a long path it copies the
// end.
func (s *Session) Saw(path []byte) {
	s.path, s.sees = append(s.path[:0], path[max(0, len(path)-maxPath):]...), nil
}

// Sees is Saw without a copy, which Keep makes while the path's memory is still valid. It says
// whether Keep must be called.
func (s *Session) Sees(path []byte) (first bool) {
	first = s.sees == nil
	s.sees = path
	return first
}

// Keep is Saw for what Sees was told last.
func (s *Session) Keep() {
	if s.sees != nil {
		s.Saw(s.sees)
	}
}

// AppendPath appends what Saw noted, for PathText. It is empty if nothing is known, as after a
// restart.
func (s *Session) AppendPath(to []byte) []byte { return append(to, s.path...) }

// PathText makes text of a path as AppendPath has it: unescaped, valid UTF-8, without control
// characters. One that was cut begins with an ellipsis.
func PathText(path []byte) string {
	if len(path) < maxPath {
		return text(path)
	}
	if cut := bytes.IndexByte(path, '/'); cut >= 0 && cut < maxPath/2 {
		path = path[cut:]
	}
	return "…" + text(path)
}

// text is printable for bytes as logged.
func text(logged []byte) string {
	return printable(AppendUnescaped(make([]byte, 0, len(logged)), logged))
}

// printable makes valid UTF-8 without control characters of any bytes.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(string(b), string(unicode.ReplacementChar)))
}

// State says how far a session is, for people: connected, running, failing or settling; empty if it
// is over. A session that settles has written what looks like its last line.
func (s *SessionRecord) State() string {
	switch s.Phase {
	case fresh, admitted:
		return "connected"
	case running, failing, settling:
		return phaseNames[s.Phase]
	}
	return ""
}

// Codes returns the exit codes that the session's lines named, at most two.
func (s *SessionRecord) Codes() (codes []int16) {
	for _, e := range s.Exits {
		if e.Role != 0 {
			codes = append(codes, e.Code)
		}
	}
	return codes
}

// Present calls f for each session that has not ended.
func (t *Sessions) Present(f func(*Session)) {
	for _, p := range [...]phase{fresh, admitted, running, failing, settling} {
		for s := t.ages[p].first; s != nil; s = s.age.next {
			f(s)
		}
	}
}
