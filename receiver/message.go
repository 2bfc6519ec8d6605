package receiver

// A Discard says why a received message was thrown away. Each is a value of discarded_total's
// reason label.
type Discard uint8

// The reasons. Kept means that there was none.
const (
	Kept        Discard = iota
	Empty               // no byte, or nothing but a line end
	NoText              // a header and nothing behind it, such as a bare "<34>"
	BadPriority         // starts with '<' but not with <0> to <191>: RFC 3164 section 4.1.1, RFC 5424 section 6.2.1
	NoHeader            // no shape of header that the input's dialect knows
	BadDialect          // the parser that SYSLOG_FORMAT names failed or panicked on it
	Oversize            // longer than MaxMessage
	BadLength           // an octet count (RFC 6587 section 3.4.1) isn't 1 to 999999; the connection was closed
	Incomplete          // the stream ended within the message
	Overflow            // thrown away by the reader because the pipeline was busy and the pending ring full
	NotAllowed          // from an address that is not on the AllowList, or from a user that is not on the list of users
	NumDiscards         // how many there are
)

var discardNames = [NumDiscards]string{"kept", "empty", "no_text", "bad_priority", "no_header", "bad_dialect",
	"oversize", "bad_length", "incomplete", "overflow", "not_allowed"}

// String returns the label value.
func (d Discard) String() string { return discardNames[d] }

// Meaning says in a few words what a discarded message looked like; "it" is the message, or the line
// of a file.
func (d Discard) Meaning() string { return discardMeanings[d] }

var discardMeanings = [NumDiscards]string{
	Empty:       "it is empty",
	NoText:      "there is a header and no text behind it",
	BadPriority: "it begins with '<', but not with a syslog priority of <0> to <191>",
	NoHeader: "it begins with no time stamp, host or tag that a log of rsyncd has: a line of a script or another " +
		"program, a line that was cut, or LINE_FORMAT doesn't fit",
	BadDialect: "the parser that SYSLOG_FORMAT names can't read it",
	Oversize:   "it is longer than a line of rsyncd can be",
	BadLength:  "its octet count isn't a number of bytes",
	Incomplete: "the file or the connection ends within it: no line feed stands behind it",
	Overflow:   "the reader was too busy to take it",
	NotAllowed: "who sent it may not",
}

// A Message is one syslog message or log file line, its header read. The slices are views into the
// raw message, or into memory of the Message that its next Scan uses again.
type Message struct {
	Host      []byte // HOSTNAME of the header; nil where there is none, or where it is the nil value "-"
	Tag       []byte // RFC 3164's TAG without [pid], RFC 5424's APP-NAME; nil for a line of rsync's own log file
	Container []byte // name of the container, or other unit, that has process ids of its own; nil where nothing says so
	Text      []byte // what the daemon said, without its line end
	Stamp     []byte // the time stamp as it stands, without spaces around it; nil where there is none. See Stamps
	PID       int32  // process id, 0 where the header has none
	Facility  int8   // 0 to 23, or -1 where nothing tells
	Severity  int8   // 0 to 7, or -1 where nothing tells

	Scratch []byte // memory for texts that don't stand in the raw message as they are
}

// A Dialect reads the headers of one input's messages. It is total: any bytes give a Message or a
// reason, never a panic.
type Dialect interface {
	// Scan fills *m from one raw message and returns Kept, or returns why it can't (then *m means
	// nothing). It does not allocate where the header is well formed. It is safe for concurrent
	// use, each call with a Message of its own.
	Scan(raw []byte, m *Message) Discard
}

// DiscardReasons returns the label values of all Discards in their order.
func DiscardReasons() []string { return append([]string(nil), discardNames[:]...) }
