package explain

import (
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/rsynclog"
)

// meanings has what a line of each kind says, in a few words. Lines with an exit code or an errno
// say more; see meaning.
var meanings = [rsynclog.NumKinds]string{
	rsynclog.Unrecognised:    "no rule knows this text",
	rsynclog.Connect:         "a client connected",
	rsynclog.Allowed:         "hosts allow and hosts deny let the client into the module",
	rsynclog.Start:           "the client was let in and asks for a transfer",
	rsynclog.FileList:        "the list of files begins",
	rsynclog.Transfer:        "one file",
	rsynclog.Summary:         "the transfer is over; total is the size of the files listed, not traffic",
	rsynclog.ExitError:       "the daemon's process ended with an error",
	rsynclog.ExitWarning:     "the daemon's process ended with a warning",
	rsynclog.ModuleList:      "the client asked for the list of modules, and left",
	rsynclog.UnknownModule:   "turned away: no module has this name",
	rsynclog.Denied:          "turned away by hosts allow or hosts deny",
	rsynclog.AuthFailed:      "turned away: the login failed",
	rsynclog.MaxConnections:  "turned away: max connections is reached",
	rsynclog.ReadOnlyModule:  "turned away: it wanted to write, and the module is read only",
	rsynclog.WriteOnlyModule: "turned away: it wanted to read, and the module is write only",
	rsynclog.RefusedOption:   "turned away: an option is forbidden, wrong, or not supported",
	rsynclog.FileError:       "an operation on a file failed",
	rsynclog.IOError:         "the connection, a pipe or the protocol failed",
	rsynclog.FileVanished:    "a file was gone when its turn came",
	rsynclog.MaxDelete:       "the client's --max-delete stopped deletions",
	rsynclog.Timeout:         "nothing came for too long",
	rsynclog.ExecFailed:      "turned away by early exec or pre-xfer exec",
	rsynclog.SetupFailed:     "turned away: the daemon could not set the session up",
	rsynclog.DaemonStart:     "a daemon started to listen",
	rsynclog.ListenerError:   "the listening daemon has trouble of its own",
	rsynclog.ConfigWarning:   "something is wrong in rsyncd.conf",
	rsynclog.NameLookup:      "the client's name can't be found, or isn't trusted",
	rsynclog.ProxyRejected:   "turned away: the connection came from a proxy that proxy protocol hosts doesn't name",
	rsynclog.Skipped:         "something was left out on purpose",
	rsynclog.SecretsFile:     "trouble with a secrets file",
	rsynclog.VerifyFailed:    "a file changed on its way and is sent once more",
	rsynclog.OtherKnown:      "rsync says it, and nothing is counted by it",
	rsynclog.LostUpstream:    "a forwarder dropped or folded messages: some lines are missing here",
	rsynclog.DeletionSkipped: "nothing is deleted, since the client could not read all of its own files",
}

// saysAll has the kinds whose fields say all that their lines do. Lines of the others are shown
// with their text.
var saysAll = [rsynclog.NumKinds]bool{
	rsynclog.Connect: true, rsynclog.Allowed: true, rsynclog.Start: true, rsynclog.FileList: true,
	rsynclog.Transfer: true, rsynclog.Summary: true, rsynclog.ExitError: true, rsynclog.ExitWarning: true,
	rsynclog.ModuleList: true, rsynclog.UnknownModule: true, rsynclog.Denied: true, rsynclog.DaemonStart: true,
}

// discards has why a line was thrown away.
var discards = [receiver.NumDiscards]string{
	receiver.Empty:       "the line is empty",
	receiver.NoText:      "there is a header and no text behind it",
	receiver.BadPriority: "it begins with '<', but not with a syslog priority of <0> to <191>",
	receiver.NoHeader: "it begins with no time stamp, host or tag that a log of rsyncd has: a line of a script or " +
		"another program, a line that was cut, or LINE_FORMAT doesn't fit",
	receiver.BadDialect: "the parser that SYSLOG_FORMAT names can't read it",
	receiver.Oversize:   "it is longer than a line of rsyncd can be",
	receiver.BadLength:  "its octet count isn't a number of bytes",
	receiver.Incomplete: "the file ends within it: no line feed stands behind it",
	receiver.Overflow:   "the reader was too busy to take it",
	receiver.NotAllowed: "who sent it may not",
}

// An advice says what usually causes something, and what to do.
type advice struct{ meaning, cause, remedy string }

// refusals has why a client was turned away.
var refusals = [rsynclog.NumReasons]advice{
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
