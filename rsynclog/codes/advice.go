package codes

import "rsyncd_exporter/rsynclog"

// An Advice says what something in the log means, what usually causes it, and what to do. What is
// empty needs no words: there is nothing to do, or the meaning is the cause.
type Advice struct{ Meaning, Cause, Remedy string }

// KindAdvice returns what a line of a kind says, in a few words, and what to do about it. Lines with
// an exit code or an errno say more.
func KindAdvice(k rsynclog.Kind) Advice { return kinds[k] }

// ReasonAdvice returns why a client was turned away, and what to do about it.
func ReasonAdvice(r rsynclog.Reason) Advice { return reasons[r] }

// OutcomeAdvice returns how a session went that ended so, and what to do about it.
func OutcomeAdvice(o rsynclog.Outcome) Advice { return outcomes[o] }

var kinds = [rsynclog.NumKinds]Advice{
	rsynclog.Unrecognised: {
		Meaning: "no rule knows this text",
		Remedy: "explain --only=unrecognised shows the lines. A few are scripts' output; if most are, LOG_FORMAT " +
			"or TAGS may be wrong.",
	},
	rsynclog.Connect:  {Meaning: "a client connected"},
	rsynclog.Allowed:  {Meaning: "hosts allow and hosts deny let the client into the module"},
	rsynclog.Start:    {Meaning: "the client was let in and asks for a transfer"},
	rsynclog.FileList: {Meaning: "the list of files begins"},
	rsynclog.Transfer: {Meaning: "one file"},
	rsynclog.Summary:  {Meaning: "the transfer is over; total is the size of the files listed, not traffic"},
	rsynclog.ExitError: {
		Meaning: "the daemon's process ended with an error",
		Remedy:  "rsync_errors_total has the exit code.",
	},
	rsynclog.ExitWarning: {
		Meaning: "the daemon's process ended with a warning",
		Remedy:  "rsync_errors_total has the exit code.",
	},
	rsynclog.ModuleList: {
		Meaning: "the client asked for the list of modules, and left",
		Remedy:  "Many from one client are a scanner.",
	},
	rsynclog.UnknownModule: {
		Meaning: "turned away: no module has this name",
		Remedy:  "rsync_rejected_total counts it as unknown_module.",
	},
	rsynclog.Denied: {
		Meaning: "turned away by hosts allow or hosts deny",
		Remedy:  "rsync_rejected_total counts it as hosts_deny.",
	},
	rsynclog.AuthFailed: {
		Meaning: "turned away: the login failed",
		Remedy:  "rsync_rejected_total counts it as auth.",
	},
	rsynclog.MaxConnections: {
		Meaning: "turned away: max connections is reached",
		Remedy:  "rsync_rejected_total counts it as max_connections.",
	},
	rsynclog.ReadOnlyModule: {
		Meaning: "turned away: it wanted to write, and the module is read only",
		Remedy:  "rsync_rejected_total counts it as read_only.",
	},
	rsynclog.WriteOnlyModule: {
		Meaning: "turned away: it wanted to read, and the module is write only",
		Remedy:  "rsync_rejected_total counts it as write_only.",
	},
	rsynclog.RefusedOption: {
		Meaning: "turned away: an option is forbidden, wrong, or not supported",
		Remedy:  "rsync_rejected_total counts it as refused_option.",
	},
	rsynclog.FileError: {Meaning: "an operation on a file failed", Remedy: "rsync_file_errors_total has the errno."},
	rsynclog.IOError: {
		Meaning: "the connection, a pipe or the protocol failed",
		Remedy:  "Single ones are clients that went away; many at once point to the network or to a restart.",
	},
	rsynclog.FileVanished: {
		Meaning: "a file was gone when its turn came",
		Remedy:  "Harmless where files come and go; otherwise transfer a snapshot.",
	},
	rsynclog.MaxDelete: {
		Meaning: "the client's --max-delete stopped deletions",
		Remedy:  "Check that the client's source isn't empty or not mounted.",
	},
	rsynclog.Timeout: {
		Meaning: "nothing came for too long",
		Remedy:  "If the client lives, raise timeout in rsyncd.conf or at the client.",
	},
	rsynclog.ExecFailed: {
		Meaning: "turned away by early exec or pre-xfer exec",
		Remedy:  "Look at what the script itself logs.",
	},
	rsynclog.SetupFailed: {
		Meaning: "turned away: the daemon could not set the session up",
		Remedy:  "The line says what failed: chroot, uid, gid, lock file or fork. Correct the module's settings.",
	},
	rsynclog.DaemonStart: {
		Meaning: "a daemon started to listen",
		Remedy:  "Many within an hour are a daemon that keeps failing: look at its service.",
	},
	rsynclog.ListenerError: {
		Meaning: "the listening daemon has trouble of its own",
		Remedy:  "The line says what failed: a port in use, a pid file, a log file.",
	},
	rsynclog.ConfigWarning: {
		Meaning: "something is wrong in rsyncd.conf",
		Remedy:  "The line names the parameter; correct rsyncd.conf.",
	},
	rsynclog.NameLookup: {
		Meaning: "the client's name can't be found, or isn't trusted",
		Remedy:  "Rules by name don't match such clients: mend their DNS. Without such rules, set reverse lookup = no.",
	},
	rsynclog.ProxyRejected: {
		Meaning: "turned away: the connection came from a proxy that proxy protocol hosts doesn't name",
		Remedy:  "If the proxy is yours, add it to proxy protocol hosts.",
	},
	rsynclog.Skipped: {Meaning: "something was left out on purpose"},
	rsynclog.SecretsFile: {
		Meaning: "trouble with a secrets file",
		Remedy:  "Correct the file's owner and mode: with strict modes, others must not be able to read it.",
	},
	rsynclog.VerifyFailed: {
		Meaning: "a file changed on its way and is sent once more",
		Remedy: "Now and then a file changes while it is sent. If it repeats, check memory and disks of both " +
			"sides.",
	},
	rsynclog.OtherKnown: {Meaning: "rsync says it, and nothing is counted by it"},
	rsynclog.LostUpstream: {
		Meaning: "a forwarder dropped or folded messages: some lines are missing here",
		Remedy:  "Raise the rate limit of the syslog daemon or of journald for rsyncd.",
	},
	rsynclog.DeletionSkipped: {
		Meaning: "nothing is deleted, since the client could not read all of its own files",
		Remedy:  "Mend what the client can't read; until then its deletions don't reach the copy.",
	},
}

var reasons = [rsynclog.NumReasons]Advice{
	rsynclog.ReasonUnknownModule: {"the client asked for a module that the daemon doesn't have",
		"A misspelt name, a module that was renamed or removed, or somebody who tries names.",
		"Compare the name in its line with rsyncd.conf; if it is a scanner, leave it."},
	rsynclog.ReasonHostsDeny: {"hosts allow or hosts deny kept the client out",
		"The client's address or name isn't in hosts allow, or is in hosts deny; a client whose name can't be looked " +
			"up matches no name there.",
		"If it should come in, add its address to the module's hosts allow."},
	rsynclog.ReasonAuth: {"the login failed",
		"A wrong password, a user that auth users doesn't name, or a secrets file that is missing or that others " +
			"can read.",
		"The end of its line says which: a mismatch is the client's password; for the rest look at auth users, " +
			"secrets file and that file's mode."},
	rsynclog.ReasonMaxConnections: {"max connections was reached",
		"As many clients as the limit allows were busy. Modules with the same lock file share it.",
		"Raise max connections, or spread the clients over the day; report shows which hours are full."},
	rsynclog.ReasonReadOnly: {"the module is read only",
		"The client wanted to write; read only is the default.",
		"If clients may write there, set read only = no; otherwise correct the client's command."},
	rsynclog.ReasonWriteOnly: {"the module is write only",
		"The client wanted to read.",
		"If clients may read there, set write only = no; otherwise correct the client's command."},
	rsynclog.ReasonRefusedOption: {"the daemon refused an option or an argument",
		"refuse options forbids it, this rsync doesn't have it, or it makes no sense with the others.",
		"Its line names it; drop it at the client, or allow it here."},
	rsynclog.OtherReason: {"the daemon could not or would not set the session up",
		"chroot, uid, gid, the lock file, an exec script, or a proxy that isn't trusted.",
		"Its line says which; correct the module's settings or the script."},
}

var outcomes = [rsynclog.NumOutcomes]Advice{
	rsynclog.Unknown: {
		Meaning: "no line says how it ended: it went silent, its pid came back, or only its connect was seen",
		Cause: "A health check that only connects, a killed process, lines that were lost, or a session that was " +
			"silent for SESSION_TTL.",
		Remedy: "Few are normal. Many: compare received and dropped messages, and who connects.",
	},
	rsynclog.OK: {Meaning: "it has a summary, no error, and no file failed"},
	rsynclog.Partial: {
		Meaning: "it went to its end, but some files failed or deletions were left out",
		Cause:   "Exit code 23, 24 or 25, file errors, or an upload that ended without a summary.",
		Remedy: "A backup with this outcome is not complete: rsync_file_errors_total and the " +
			"client's own messages say why.",
	},
	rsynclog.Aborted: {
		Meaning: "it ended with another exit code, or the connection was lost",
		Cause:   "The client was interrupted, timed out or lost its network; the daemon was stopped; a disk was full.",
		Remedy:  "rsync_errors_total has the code. Single ones are normal on a public mirror.",
	},
	rsynclog.Rejected: {
		Meaning: "it was not let in",
		Remedy:  "rsync_rejected_total has the reason.",
	},
	rsynclog.Listing: {Meaning: "it asked for the list of modules, and for nothing else"},
}
