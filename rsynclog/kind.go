package rsynclog

// The kinds. kindNames has their label values, lines.go what their lines look like.
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
