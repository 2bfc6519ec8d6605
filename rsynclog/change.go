package rsynclog

// An Outcome says how a session went. String gives the value of rsync_sessions_total's outcome
// label.
type Outcome uint8

const (
	Unknown  Outcome = iota // expired, replaced by pid reuse, or ended without a word
	OK                      // a summary, no error line, no file error
	Partial                 // exit code 23, 24 or 25, or file errors without another exit code
	Aborted                 // any other exit code, or the connection was lost
	Rejected                // never got past the gate
	Listing                 // asked for the module list only
	NumOutcomes
)

// String returns the label value.
func (o Outcome) String() string {
	return [...]string{"unknown", "ok", "partial", "aborted", "rejected", "listing"}[o]
}

// A ChangeKind says what a Change counts.
type ChangeKind uint8

const (
	Connected     ChangeKind = iota // a client connected
	Executed                        // a transfer was asked for and let through: "rsync on" or "rsync to"
	FileMoved                       // a transfer line: Op, Length and Wire where the log format has them
	FileFailed                      // a file error: Errno, 0 for a vanished file or an error without a number
	Exited                          // an "rsync error" or "rsync warning" line: Code
	TurnedAway                      // the daemon rejected the client: Reason
	Listed                          // the module list was asked for
	DaemonStarted                   // a listener started: Version
	LostByRelay                     // a forwarder said that it dropped messages: N of them
	Ended                           // the session is over; Sent, Received and Total are its summary's
	Amended                         // an ended session has another summary: Sent, Received and Total are what it adds
	Resumed                         // a session that had Ended for its silence went on, and has ended as Session says
)

// A Change is one thing that an event added to the books. It is valid until the next call to the
// Sessions that returned it.
type Change struct {
	Kind    ChangeKind
	Origin  *Origin
	Session *Session // nil where the line belongs to no session that is known
	N       uint64   // how many times: the event's Repeat, or the messages lost

	Op           Op
	Length, Wire uint64 // bytes, for all N together
	Reason       Reason
	Code, Errno  int16
	Version      string

	Sent, Received, Total uint64 // bytes
}

// A Session is one client's visit, from "connect from" to its last line. Sessions owns it; a
// consumer reads it while it handles a Change and may keep its own note in Cookie.
type Session struct {
	Origin *Origin
	SessionRecord

	// Cookie is the consumer's. Sessions clears it when Module, Direction or User change; see also
	// Restored.
	Cookie any

	front *Front // of its next transfer line; nil: not known

	prev, next   *Session // of its phase in its origin, in the order of its last lines
	older, newer *Session // of its phase in all origins, in the order in which they came into it
}

type exit struct {
	Role byte // first letter of the role; 0: unused
	Code int16
}

// Started says whether the transfer was let through.
func (s *Session) Started() bool {
	return s.goingOn() || s.Phase == settling && s.Direction != NoDirection
}

// goingOn says whether the session has started and no line has looked like its last.
func (s *Session) goingOn() bool { return s.Phase == running || s.Phase == failing }

type phase uint8

const (
	fresh    phase = iota // connected, not yet let into a module
	admitted              // let into a module, not yet started
	running               // started
	failing               // started; a file failed, after which no last line may come
	settling              // a last line was seen; counted if nothing contradicts it
	lapsed                // counted, for its silence; it may go on
	ended                 // counted; kept for late lines
	numPhases
)

// Doubtful says whether a client may have written the lines that began the session. It is a session
// all the same, but proves nobody's backup.
func (s *Session) Doubtful() bool { return s.Doubted }

// over says whether the session has been counted.
func (s *Session) over() bool { return s.Phase == lapsed || s.Phase == ended }
