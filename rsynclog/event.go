// Package rsynclog understands what an rsync daemon logs: a Parser turns text into an Event,
// Sessions turns events into sessions. It is pure: no I/O, no clock, no metrics. The daemon's words
// and codes are those of rsync 2.6.9 to 3.5.0.
package rsynclog

import "bytes"

// A Kind says what a line is. String gives the value of rsync_messages_total's kind label.
type Kind uint8

// The kinds. kindNames has their label values, in the same order; lines.go has what their lines
// look like.
const (
	Unrecognised    Kind = iota // free text: a script's output, a bare file name, a client's own words
	Connect                     // a client connected: "connect from"
	Allowed                     // the access rules let a client into a module: "rsync allowed access on module"
	Start                       // a transfer was asked for: "rsync on", "rsync to"
	FileList                    // "building file list", "receiving file list"
	Transfer                    // a file was sent, received or deleted, as log format writes it
	Summary                     // "sent … bytes  received … bytes  total size …"
	ExitError                   // "rsync error: … (code N)"
	ExitWarning                 // "rsync warning: … (code N)"
	ModuleList                  // a client asked for the list of modules
	UnknownModule               // a client asked for a module that doesn't exist
	Denied                      // hosts allow or hosts deny kept a client out
	AuthFailed                  // authentication failed
	MaxConnections              // max connections is reached
	ReadOnlyModule              // a client wanted to write to a read-only module
	WriteOnlyModule             // a client wanted to read from a write-only module
	RefusedOption               // an option that is unknown, wrong, not supported or forbidden
	FileError                   // an operation on one file failed
	IOError                     // the connection, a pipe or the protocol failed
	FileVanished                // a file was gone when its turn came
	MaxDelete                   // --max-delete stopped deletions (exit code 25)
	Timeout                     // the transfer or the handshake timed out
	ExecFailed                  // early exec or pre-xfer exec failed
	SetupFailed                 // a session ended before its transfer: chroot, uid, lock file, fork …
	DaemonStart                 // a listener starts: "rsyncd version … starting"
	ListenerError               // a listener's trouble: bind, listen, accept, pid file, log file
	ConfigWarning               // something is wrong in rsyncd.conf
	NameLookup                  // the client's host name could not be found or is not trusted
	ProxyRejected               // a connection from a proxy that proxy protocol hosts doesn't name
	Skipped                     // something was left out on purpose: excluded files, non-empty directories …
	SecretsFile                 // trouble with a secrets file
	VerifyFailed                // a file's checksum did not match after the transfer; it is sent once more
	OtherKnown                  // a line of rsync that nothing needs: hints, memory, debug and verbose output
	LostUpstream                // a forwarder says that it dropped messages
	DeletionSkipped             // nothing is deleted, as the client could not read all of its own files
	NumKinds                    // how many there are
)

var kindNames = [NumKinds]string{
	"unrecognised", "connect", "allowed", "start", "file_list", "transfer", "summary", "exit_error",
	"exit_warning", "module_list", "unknown_module", "denied", "auth_failed", "max_connections",
	"read_only_module", "write_only_module", "refused_option", "file_error", "io_error", "file_vanished",
	"max_delete", "timeout", "exec_failed", "setup_failed", "daemon_start", "listener_error",
	"config_warning", "name_lookup", "proxy_rejected", "skipped", "secrets_file", "verify_failed",
	"other_known", "lost_upstream", "deletion_skipped",
}

// reasons has why a daemon turns a client away with a line of a kind.
var reasons = [NumKinds]Reason{
	UnknownModule: ReasonUnknownModule, Denied: ReasonHostsDeny, AuthFailed: ReasonAuth,
	MaxConnections: ReasonMaxConnections, ReadOnlyModule: ReasonReadOnly, WriteOnlyModule: ReasonWriteOnly,
	RefusedOption: ReasonRefusedOption, SetupFailed: OtherReason, ExecFailed: OtherReason, ProxyRejected: OtherReason,
}

// String returns the kind label's value.
func (k Kind) String() string { return kindNames[k] }

// Direction is the daemon's view of a transfer. The books are saved under its numbers.
type Direction uint8

const (
	NoDirection Direction = iota
	Send                  // "rsync on": the client pulls, the daemon sends
	Receive               // "rsync to": the client pushes, the daemon receives
)

// String returns the direction label's value; empty for NoDirection.
func (d Direction) String() string { return [...]string{"", "send", "receive"}[d] }

// An Op is what a transfer line says was done with a file. Sessions are saved with its numbers.
type Op uint8

const (
	NoOp      Op = iota
	OpSend       // send: the daemon sent a file
	OpRecv       // recv: the daemon received a file
	OpDel        // del.: a file or directory was deleted
	OpUnknown    // the line can be read as several of the others, or neither it nor its session tells
	NumOps       // how many there are
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
	for o := range NumOps {
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
func (r Reason) String() string { return reasonNames[r] }

var reasonNames = [NumReasons]string{"", "unknown_module", "hosts_deny", "auth", "max_connections", "read_only",
	"write_only", "refused_option", "other"}

// ReasonOf returns the Reason with a label value, OtherReason if there is none.
func ReasonOf(name string) Reason {
	for r := range NumReasons {
		if reasonNames[r] == name {
			return r
		}
	}
	return OtherReason
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

	tail int // bytes of AfterAddr behind the file's name; noName: who knows where that is

	Length, Wire       uint64 // Transfer: %l, the file's length, and %b, bytes on the wire
	HasLength, HasWire bool
	// OpUnnamed is set in a Transfer whose log format has neither %o nor %i: Op is NoOp, and the
	// session's direction says what was done, as deletions are logged otherwise (log.c:
	// log_delete). Without it NoOp means that no file was moved: %i tells of a directory, a link,
	// or changed attributes.
	OpUnnamed             bool
	Sent, Received, Total uint64 // Summary: bytes; Total is the size of the listed files, not traffic
}

const noName = -1

// File returns the file's name in a Transfer, as logged, or nil where it can't be told apart. module
// is the session's; in AfterAddr " (USER) " stands behind it, and the name behind that.
func (ev *Event) File(module string) []byte {
	if ev.AfterAddr == nil || ev.tail == noName {
		return ev.Path
	}
	rest, ok := bytes.CutPrefix(ev.AfterAddr, []byte(module))
	if !ok || module == "" || !hasPrefix(rest, " (") {
		rest = ev.AfterAddr[max(0, bytes.Index(ev.AfterAddr, []byte(" ("))):]
	}
	_, path, ok := bytes.Cut(rest, []byte(") "))
	if !ok {
		return nil
	}
	return path[:max(0, len(path)-ev.tail)]
}
