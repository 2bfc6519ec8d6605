// Package rsynclog understands what an rsync daemon logs: a Parser turns text into an Event,
// Sessions turns events into sessions. It is pure: no I/O, no clock, no metrics. The daemon's words
// and codes are those of rsync 2.6.9 to 3.5.0.
package rsynclog

// A Kind says what a line is. String gives the value of rsync_messages_total's kind label.
type Kind uint8

// Direction is the daemon's view of a transfer.
type Direction uint8

const (
	NoDirection Direction = iota
	Send                  // "rsync on": the client pulls, the daemon sends
	Receive               // "rsync to": the client pushes, the daemon receives
)

// String returns the direction label's value; empty for NoDirection.
func (d Direction) String() string { return [...]string{"", "send", "receive"}[d] }

// An Op is what a transfer line says was done with a file.
type Op uint8

const (
	NoOp      Op = iota
	OpSend       // send: the daemon sent a file
	OpRecv       // recv: the daemon received a file
	OpDel        // del.: a file or directory was deleted
	OpUnknown    // the line can be read as several of the others, or neither it nor its session tells
	numOps
)

// String returns the operation label's value, as rsync's %o writes it; empty for NoOp.
func (o Op) String() string { return [...]string{"", "send", "recv", "del.", "unknown"}[o] }

// An OpSet is a set of Ops.
type OpSet uint8

// Has says whether the set holds an Op.
func (s OpSet) Has(o Op) bool { return s&(1<<o) != 0 }

func setOf(ops ...Op) (s OpSet) {
	for _, o := range ops {
		s |= 1 << o
	}
	return s
}

// only returns the Op of a set of one, OpUnknown for several.
func (s OpSet) only() Op {
	for o := range numOps {
		if s == 1<<o {
			return o
		}
	}
	return OpUnknown
}

// A Reason says why a daemon turned a client away.
type Reason uint8

const (
	NoReason Reason = iota
	ReasonUnknownModule
	ReasonHostsDeny
	ReasonAuth
	ReasonMaxConnections
	ReasonReadOnly
	ReasonWriteOnly
	ReasonRefusedOption
	OtherReason // chroot, uid, gid, lock file, exec hooks, untrusted proxy …
	NumReasons
)

// String returns the reason label's value.
func (r Reason) String() string {
	return [...]string{"", "unknown_module", "hosts_deny", "auth", "max_connections", "read_only", "write_only",
		"refused_option", "other"}[r]
}

// An Event is what one line says. Parse fills the fields that its Kind names and zeroes the rest.
// The slices are views into the parsed text, raw bytes as logged; each says whose words it holds.
type Event struct {
	Kind Kind
	// Severity is set by whoever has the header: 0 to 7, or -1 where it isn't known. Parse leaves
	// it alone.
	Severity int8

	Direction Direction // Start, FileList
	Op        Op        // Transfer
	Ops       OpSet     // Transfer with OpUnknown: what the line may say was done
	Reason    Reason    // every kind that rejects
	Code      int16     // ExitError, ExitWarning: rsync's exit code
	Errno     int16     // FileError: errno; 0 where the line has none
	Repeat    uint32    // how often the line happened: 1, or N of "message repeated N times: [ … ]"
	Lost      uint64    // LostUpstream: messages that a forwarder says it dropped

	Module  []byte // a configured module name: Allowed, Denied, AuthFailed. The client's text: UnknownModule
	Host    []byte // the client's PTR name, UNKNOWN or UNDETERMINED; nil where only its address stands
	Addr    []byte // the client's numeric address
	User    []byte // Start, AuthFailed: the client's text; nil where the line has none
	Request []byte // Start: the client's text
	Path    []byte // Transfer, FileError: a file name, anybody's text; nil where it can't be told apart
	Version []byte // DaemonStart, ExitError, ExitWarning: rsync's version
	Role    []byte // ExitError, ExitWarning, "rsync: [ROLE] …": sender, Receiver …; nil where the line has none
	// AfterAddr is the rest of a transfer line from the configured module name on. In the default
	// format that is what stands behind "[ADDR] ". Only somebody who knows the name can tell where
	// it ends. It is nil in formats without "%m (%u)".
	AfterAddr []byte

	Length, Wire       uint64 // Transfer: %l, the file's length, and %b, bytes on the wire
	HasLength, HasWire bool
	// OpUnnamed is set in a Transfer whose log format has neither %o nor %i: Op is NoOp, and the
	// session's direction says what was done, as deletions are logged otherwise (log.c:
	// log_delete). Without it NoOp means that no file was moved: %i tells of a directory, a link,
	// or changed attributes.
	OpUnnamed             bool
	Sent, Received, Total uint64 // Summary: bytes; Total is the size of the listed files, not traffic
}
