// Package codes says which exit codes rsync has and which errnos Linux, and what they mean. It is
// pure, as rsynclog is; it is a package of its own because its texts are for people, and nothing is
// parsed with them.
package codes

import "slices"

// An ExitCode is what a daemon's "rsync error: … (code N)" says, seen from the daemon.
type ExitCode struct {
	Code    int
	Meaning string // rsync's own words, of the newest version
	Cause   string // what usually causes it on a daemon; a sentence
	Remedy  string // what to do; a sentence
}

// exitCodes are the codes of errcode.h that a daemon may end with; the words are those of log.c:
// rerr_names (3.5.0). The manual's 6 is in neither.
var exitCodes = [...]ExitCode{
	{1, "syntax or usage error",
		"The client wanted to write to a read-only module or to read from a write-only one, or passed arguments " +
			"that make no sense together.",
		"The line before says which; correct the client's command, or read only and write only of the module."},
	{2, "protocol incompatibility",
		"The two rsyncs have no protocol version in common, or the bytes that came were not rsync's.",
		"Update the older side; if it is a scanner or a proxy that speaks something else, leave it."},
	{3, "errors selecting input/output files, dirs",
		"The path that the client asked for is not there, or is not a directory where it must be one.",
		"Check the path in the line before, and that the module's file system is mounted."},
	{4, "requested action not supported",
		"The client used an option that refuse options forbids or this rsync doesn't have, or a pre-xfer exec " +
			"script said no.",
		"The line before names the option or the script; drop the option at the client, or allow it here."},
	{5, "error starting client-server protocol",
		"The session ended before the transfer began: an unknown module, a refused login, max connections.",
		"Look for the refusal in the lines before; a daemon rarely ends with this code itself."},
	{10, "error in socket IO",
		"The client went away while the daemon was writing: it was interrupted, timed out or lost its network.",
		"Single ones are normal on a public mirror; many from one client point to its network, a firewall or its " +
			"own time-out."},
	{11, "error in file IO",
		"A file could not be read or written: the disk is full, a quota is reached, or the disk is failing.",
		"The line before has the file and the reason; make room first, then run the transfer again."},
	{12, "error in rsync protocol data stream",
		"The connection closed in the middle of the transfer: the other side crashed, was killed or lost its " +
			"network. A health check that only connects looks the same.",
		"Look at the client's own message; where it happens after the same time again and again, look for an idle " +
			"time-out in between."},
	{13, "errors with program diagnostics",
		"rsync could not pass its own messages on, mostly as the connection was already gone.",
		"Treat it as a lost connection; look at the lines before."},
	{14, "error in IPC code",
		"rsync's own processes could not talk to each other: a fork or a pipe failed.",
		"Check limits on processes, open files and memory of the daemon's service."},
	{15, "sibling process crashed",
		"Another process of the same transfer died of a fault.",
		"Look for a core dump or a kernel message at that time, and update rsync."},
	{16, "sibling process terminated abnormally",
		"Another process of the same transfer was killed, often for want of memory.",
		"Look for the kernel's out-of-memory killer at that time."},
	{19, "received SIGUSR1",
		"rsync ended itself after another of its processes had failed, or something sent it this signal.",
		"The other process's line has the reason."},
	{20, "received SIGINT, SIGTERM, or SIGHUP",
		"The transfer was stopped: the client was interrupted, the daemon restarted, the machine shut down, or the " +
			"connection was lost and rsync's processes ended each other.",
		"If many sessions have it at one moment, somebody stopped the daemon; the clients have to run again."},
	{21, "some error returned by waitpid()",
		"rsync could not learn how another of its processes ended.",
		"Look at the lines before; run the transfer again."},
	{22, "error allocating core memory buffers",
		"There was not enough memory, mostly for a very long list of files, or a limit forbade it.",
		"Split the transfer, avoid options that need the whole list first (--delete-before, --delay-updates), or " +
			"give the service more memory."},
	{23, "some files/attrs were not transferred (see previous errors)",
		"Most of it went well, but some files could not be read, written or given their owner or attributes.",
		"The file errors before it name each; permissions and names that the file system can't hold are usual. A " +
			"backup with this code is not complete."},
	{24, "some files vanished before they could be transferred",
		"Files were deleted or renamed while the transfer ran.",
		"Harmless where files come and go (mail, temporary files); otherwise transfer a snapshot."},
	{25, "the --max-delete limit stopped deletions",
		"The client would have deleted more than its --max-delete allows.",
		"Check that its source isn't empty or not mounted; if the deletions are wanted, raise --max-delete once."},
	{30, "timeout in data send/receive",
		"Nothing came from the other side for as long as timeout allows: a dead connection, or a side that is busy " +
			"with checksums or a slow disk.",
		"If the client lives, raise timeout in rsyncd.conf or at the client; if not, nothing needs to be done."},
	{35, "timeout waiting for daemon connection",
		"A client waited longer than its --contimeout for the daemon to answer.",
		"A client reports it, hardly ever a daemon; check that the daemon is reachable and not overloaded."},
}

// ExitCodeOf returns what is known about an exit code, or false if rsync's daemon has no such code.
func ExitCodeOf(code int) (ExitCode, bool) {
	i := slices.IndexFunc(exitCodes[:], func(c ExitCode) bool { return c.Code == code })
	if i < 0 {
		return ExitCode{Code: code}, false
	}
	return exitCodes[i], true
}

// ExitMeaning returns what an exit code means in rsync's words, or "" if rsync's daemon has no such
// code.
func ExitMeaning(code int) string {
	c, _ := ExitCodeOf(code)
	return c.Meaning
}
