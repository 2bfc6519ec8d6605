package rsynclog

import "strings"

// A Session is one client's visit, from "connect from" to its last line. Sessions owns it. A
// consumer reads it while it handles a Change, and may keep a note of its own in Cookie.
type Session struct {
	Origin *Origin
	SessionRecord

	// Cookie is the consumer's. Sessions clears it when Module, Direction or User change. After a
	// restart it may be Restored.
	Cookie any
	// Seat is another consumer's, as long as the session runs. Sessions doesn't touch it.
	Seat any

	front *Front // of its next transfer line; nil: not known

	path []byte // see Saw
	sees []byte // see Sees

	links       // in its origin's list
	age   links // in the list of all origins
}

type exit struct {
	Role byte // first letter of the role; 0: unused
	Code int16
}

type phase uint8

const (
	fresh    phase = iota // connected, not yet let into a module
	admitted              // let into a module, not yet started
	running               // started
	failing               // started; a file failed, after which no last line may come
	settling              // a last line was seen; counted if nothing contradicts it
	lapsed                // counted for its silence; it may go on
	ended                 // counted; kept for late lines
	numPhases
)

// Started says whether the transfer was let through.
func (s *Session) Started() bool {
	return s.goingOn() || s.Phase == settling && s.Direction != NoDirection
}

// goingOn says whether the session has started and no line has looked like its last.
func (s *Session) goingOn() bool { return s.Phase == running || s.Phase == failing }

// over says whether the session has been counted.
func (s *Session) over() bool { return s.Phase == lapsed || s.Phase == ended }

// relabel sets the labels of a session's series.
func (s *Session) relabel(module string, d Direction) {
	if s.Module != module || s.Direction != d {
		s.Module, s.Direction, s.Cookie = module, d, nil
	}
}

const (
	// MaxLabel is the longest name, in bytes, that is kept of what a daemon logs.
	MaxLabel = 128
	// maxRaw is the longest name, in bytes as logged, that is read. With every byte escaped it
	// makes a whole label.
	maxRaw = 5 * MaxLabel
	// Other stands for every name beyond a limit.
	Other = "_other"
)

// Label makes a metric label of a name as logged: unescaped, valid UTF-8, without control
// characters, at most MaxLabel bytes. It shares no memory with the name.
func Label(name []byte) string {
	if len(name) <= MaxLabel && isPlain(name) {
		return string(name)
	}
	name = name[:min(len(name), maxRaw)]
	b := AppendUnescaped(make([]byte, 0, len(name)), name)
	s := printable(b)
	if len(s) > MaxLabel {
		s = strings.Clone(strings.ToValidUTF8(s[:MaxLabel], ""))
	}
	return s
}
