package rsynclog

// An Outcome says how a session went.
type Outcome uint8

const (
	Unknown  Outcome = iota // expired, replaced by pid reuse, or ended without another line
	OK                      // a summary, no error line, no file error
	Partial                 // exit code 23, 24 or 25, or file errors without another exit code
	Aborted                 // any other exit code, or the connection was lost
	Rejected                // was not let in
	Listing                 // asked for the module list only
	NumOutcomes
)

// String returns the outcome label's value.
func (o Outcome) String() string {
	return [...]string{"unknown", "ok", "partial", "aborted", "rejected", "listing"}[o]
}

// A ChangeKind says what a Change counts.
type ChangeKind uint8

const (
	Connected     ChangeKind = iota // a client connected
	Executed                        // a transfer was let through: "rsync on" or "rsync to"
	FileMoved                       // a transfer line: Op, Length and Wire where the log format has them
	FileFailed                      // a file error: Errno, 0 for a vanished file or an error without a number
	Exited                          // an "rsync error" or "rsync warning" line: Code
	TurnedAway                      // the daemon rejected the client: Reason
	Listed                          // the module list was asked for
	DaemonStarted                   // a listener started: Version
	LostByRelay                     // a forwarder reported N dropped messages
	Ended                           // the session is over; Sent, Received and Total are its summary's
	Amended                         // an ended session has another summary: Sent, Received and Total are what it adds
	Resumed                         // a session that had Ended for its silence went on, and has ended as Session says
)

// A Change is one thing to count. It is valid until the next call to the Sessions that returned it.
type Change struct {
	Kind    ChangeKind
	Origin  *Origin
	Session *Session // nil for a line of no known session
	N       uint64   // how many times: the event's Repeat, or the messages lost

	Op           Op
	Length, Wire uint64 // bytes, for all N together
	Reason       Reason
	Code, Errno  int16
	Version      string

	Sent, Received, Total uint64 // bytes
}
