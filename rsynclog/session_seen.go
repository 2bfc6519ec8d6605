package rsynclog

import (
	"bytes"
	"math"
	"strconv"
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
	N     uint32 // 0: unused
}

func (f *Failures) add(errno int16, n uint64) {
	of := &f[len(f)-1]
	for i := range f[:len(f)-1] {
		if f[i].N == 0 || f[i].Errno == errno {
			of = &f[i]
			of.Errno = errno
			break
		}
	}
	of.N = uint32(min(uint64(of.N)+n, math.MaxUint32))
}

// ByErrno returns the counts by errno, as decimal numbers; nil for none.
func (f *Failures) ByErrno() (counts map[string]uint64) {
	for _, x := range f {
		if x.N > 0 {
			counts = with(counts, strconv.Itoa(int(x.Errno)), uint64(x.N))
		}
	}
	return counts
}

// FileCounts counts transfer lines by their Op. Those with NoOp are about directories, links and
// attributes, and count as no file.
type FileCounts [NumOps]uint64

// Files returns how many files there were.
func (c *FileCounts) Files() (n uint64) {
	for _, files := range c[NoOp+1:] {
		n += files
	}
	return n
}

// ByOp returns the counts by the names of operations; nil for none.
func (c *FileCounts) ByOp() (counts map[string]uint64) {
	for op, n := range c {
		if n > 0 && Op(op) != NoOp {
			counts = with(counts, Op(op).String(), n)
		}
	}
	return counts
}

// with adds to a count of a map, which may be nil.
func with(counts map[string]uint64, key string, n uint64) map[string]uint64 {
	if counts == nil {
		counts = map[string]uint64{}
	}
	counts[key] += n
	return counts
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

// Saw notes the file of the session's last transfer line, as logged, until the session is over. Of a
// long path it copies the end.
func (s *Session) Saw(path []byte) {
	if !s.over() {
		s.path, s.sees = append(s.path[:0], path[max(0, len(path)-maxPath):]...), nil
	}
}

// forgetSeen lets go of what only sessions that run are asked for.
func (s *Session) forgetSeen() { s.path, s.sees, s.Request = nil, nil, "" }

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

// isPlain says whether bytes as logged are printable ASCII that stands for itself.
func isPlain(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
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
