package rsynclog_test

import (
	"testing"

	"rsyncd_exporter/rsynclog"
)

// A said is a line, and what has to be read out of it: its kind, and as far as it has them the
// reason, errno and role.
type said struct {
	text   string
	kind   rsynclog.Kind
	reason rsynclog.Reason
	errno  int16
	role   string
}

func checkSaid(t *testing.T, lines []said) {
	t.Helper()
	p := mustParser(t, rsynclog.DefaultLogFormat)
	for _, want := range lines {
		var ev rsynclog.Event
		p.Parse([]byte(want.text), &ev)
		got := said{want.text, ev.Kind, ev.Reason, ev.Errno, string(ev.Role)}
		if got != want {
			t.Errorf("%q:\n got %s, reason %q, errno %d, role %q\nwant %s, reason %q, errno %d, role %q",
				want.text, got.kind, got.reason, got.errno, got.role, want.kind, want.reason, want.errno, want.role)
		}
	}
}

// clientserver.c, socket.c, loadparm.c, params.c: the listener's own lines, and what is wrong in
// rsyncd.conf.
func TestLinesOfTheListener(t *testing.T) {
	checkSaid(t, []said{
		{text: "rsyncd version 3.5.0 starting, listening on port 873", kind: rsynclog.DaemonStart},
		{text: "rsync error: received SIGINT, SIGTERM, or SIGHUP (code 20) at rsync.c(716) [Receiver=3.5.0]", kind: rsynclog.ExitError, role: "Receiver"},
		{text: "bind() failed: Address already in use (address-family 10)", kind: rsynclog.ListenerError},
		{text: "socket(10,1,6) failed: Address family not supported by protocol", kind: rsynclog.ListenerError},
		{text: "unable to bind any inbound sockets on port 873", kind: rsynclog.ListenerError},
		{text: "rsync: [Receiver] listen() on socket failed: Address already in use (98)", kind: rsynclog.ListenerError, role: "Receiver"},
		{text: "rsync: could not create child server process: Resource temporarily unavailable (11)", kind: rsynclog.ListenerError},
		{text: "open inbound socket: Address family not supported by protocol", kind: rsynclog.ListenerError},
		{text: "failed to create pid file /run/rsyncd.pid: File exists", kind: rsynclog.ListenerError},
		{text: "failed to remove pid file /run/rsyncd.pid: Permission denied", kind: rsynclog.ListenerError},
		{text: "rsync: failed to create pid file /run/rsyncd.pid: File exists (17)", kind: rsynclog.ListenerError},
		{text: `rsync: [Receiver] failed to open log-file /var/log/x/r.log: No such file or directory (2)`, kind: rsynclog.ListenerError, role: "Receiver"},
		{text: `"proxy protocol = true" but "proxy protocol hosts" is unset: all connections will be rejected as untrusted proxy peers.`,
			kind: rsynclog.ConfigWarning},
		{text: `Unknown Parameter encountered: "max conections"`, kind: rsynclog.ConfigWarning},
		{text: "Global parameter port found in module section!", kind: rsynclog.ConfigWarning},
		{text: `Badly formed boolean in configuration file: "perhaps".`, kind: rsynclog.ConfigWarning},
		{text: "params.c:pm_process() - Failed.  Error returned from params.c:parse().", kind: rsynclog.ConfigWarning},
		{text: `rsync: [Receiver] unable to open config file "/etc/rsyncd.conf": Permission denied (13)`, kind: rsynclog.ConfigWarning, role: "Receiver"},
		{text: "chroot test failed: Operation not permitted. Switching 'use chroot' from unset to false.", kind: rsynclog.ConfigWarning},
	})
}

// access.c, clientname.c, authenticate.c, clientserver.c: from the connection to the start.
func TestLinesBeforeTheStart(t *testing.T) {
	checkSaid(t, []said{
		{text: "name lookup failed for 2001:db8::7: Name or service not known", kind: rsynclog.NameLookup},
		{text: "forward name lookup for x.example failed: Name or service not known", kind: rsynclog.NameLookup},
		{text: `no known address for "x.example": spoofed address?`, kind: rsynclog.NameLookup},
		{text: `203.0.113.7 is not a known address for "x.example": spoofed address?`, kind: rsynclog.NameLookup},
		{text: "compare_addrinfo_sockaddr: response family 2 != 10", kind: rsynclog.NameLookup},
		{text: "proxy protocol rejected from untrusted peer UNDETERMINED (203.0.113.7)", kind: rsynclog.ProxyRejected, reason: rsynclog.OtherReason},
		{text: "connect from localhost (127.0.0.1)", kind: rsynclog.Connect},
		{text: "module-list request from localhost (127.0.0.1)", kind: rsynclog.ModuleList},
		{text: "unknown module 'nosuch' tried from localhost (127.0.0.1)", kind: rsynclog.UnknownModule, reason: rsynclog.ReasonUnknownModule},
		{text: "rsync denied on module data from localhost (127.0.0.1)", kind: rsynclog.Denied, reason: rsynclog.ReasonHostsDeny},
		{text: "rsync allowed access on module data from localhost (127.0.0.1)", kind: rsynclog.Allowed},
		{text: "rsync: [Receiver] failed to open lock file /run/l: Permission denied (13)", kind: rsynclog.SetupFailed, reason: rsynclog.OtherReason, role: "Receiver"},
		{text: "max connections (4) reached", kind: rsynclog.MaxConnections, reason: rsynclog.ReasonMaxConnections},
		{text: "auth failed on module priv from localhost (127.0.0.1): invalid challenge response", kind: rsynclog.AuthFailed, reason: rsynclog.ReasonAuth},
		{text: "auth failed on module priv from localhost (127.0.0.1) for bob: password mismatch", kind: rsynclog.AuthFailed, reason: rsynclog.ReasonAuth},
		{text: "auth failed on module priv from localhost (127.0.0.1): negotiated auth digest md4 is weaker than the required 'auth digest = sha512'",
			kind: rsynclog.AuthFailed, reason: rsynclog.ReasonAuth},
		{text: "auth failed on module my priv (v2) from localhost (127.0.0.1)", kind: rsynclog.AuthFailed, reason: rsynclog.ReasonAuth}, // 2.6.4
		{text: "failed to open lock file /var/run/l : Permission denied", kind: rsynclog.SetupFailed, reason: rsynclog.OtherReason},     // 2.6.2
		{text: "secrets file must not be other-accessible (see strict modes option)", kind: rsynclog.SecretsFile},
		{text: "rsync: [Receiver] fstat(/etc/rsyncd.secrets): Permission denied (13)", kind: rsynclog.SecretsFile, role: "Receiver"},
		{text: "Invalid uid nobdy", kind: rsynclog.SetupFailed, reason: rsynclog.OtherReason},
		{text: "Invalid gid nogrp", kind: rsynclog.SetupFailed, reason: rsynclog.OtherReason},
		{text: "Too many groups specified via gid parameter.", kind: rsynclog.SetupFailed, reason: rsynclog.OtherReason}, // 3.1.0
		{text: "rsync: getgrouplist failed: Invalid argument (22)", kind: rsynclog.SetupFailed, reason: rsynclog.OtherReason},
		{text: "No path specified for module data", kind: rsynclog.SetupFailed, reason: rsynclog.OtherReason},
		{text: `rsync: [Receiver] chroot("/srv/gone") failed: No such file or directory (2)`, kind: rsynclog.SetupFailed, reason: rsynclog.OtherReason, role: "Receiver"},
		{text: "rsync: chroot /srv/gone failed: No such file or directory (2)", kind: rsynclog.SetupFailed, reason: rsynclog.OtherReason},
		{text: "rsync: chdir /srv/gone failed\n: No such file or directory (2)", kind: rsynclog.SetupFailed, reason: rsynclog.OtherReason}, // 2.6.9
		{text: "rsync: [Receiver] setgid 65534 failed: Operation not permitted (1)", kind: rsynclog.SetupFailed, reason: rsynclog.OtherReason, role: "Receiver"},
		{text: "rsync: [Receiver] setuid 65534 failed: Operation not permitted (1)", kind: rsynclog.SetupFailed, reason: rsynclog.OtherReason, role: "Receiver"},
		{text: "rsync: [Receiver] early exec failed: No child processes (10)", kind: rsynclog.ExecFailed, reason: rsynclog.OtherReason, role: "Receiver"},
		{text: "early exec returned failure (256)", kind: rsynclog.ExecFailed, reason: rsynclog.OtherReason},
		{text: "pre-xfer exec returned failure (768):\nmodule is under maintenance", kind: rsynclog.ExecFailed, reason: rsynclog.OtherReason},
		{text: "pre-xfer exec returned failure (-1): No child processes", kind: rsynclog.ExecFailed, reason: rsynclog.OtherReason},
		{text: "rsync: [Receiver] pre-xfer exec preparation failed: Cannot allocate memory (12)", kind: rsynclog.ExecFailed, reason: rsynclog.OtherReason, role: "Receiver"},
	})
}

// main.c, options.c, checksum.c, compat.c: a request that is turned down after "rsync on" or "rsync
// to".
func TestLinesOfRefusedRequests(t *testing.T) {
	refused := func(text string) said {
		return said{text: text, kind: rsynclog.RefusedOption, reason: rsynclog.ReasonRefusedOption}
	}
	checkSaid(t, []said{
		{text: "ERROR: module is read only", kind: rsynclog.ReadOnlyModule, reason: rsynclog.ReasonReadOnly},
		{text: "ERROR: --remove-source-files cannot be used with a read-only module", kind: rsynclog.ReadOnlyModule, reason: rsynclog.ReasonReadOnly},
		{text: "ERROR: module is write only", kind: rsynclog.WriteOnlyModule, reason: rsynclog.ReasonWriteOnly},
		refused("rsync: The server is configured to refuse --delete"),
		refused("rsync: The server is configured to refuse --compress (-z)"),
		refused("rsync: on remote machine: --bogus: unknown option"),
		refused("rsync: Your options have been rejected by the server."),
		refused("Your options have been rejected by the server."),
		refused(`ERROR: daemon has excluded destination "secret"`),
		refused(`skipping daemon-excluded destination "secret"`), // 3.0.4 to 3.0.8
		refused("rsync: Attempt to hack rsync thwarted!"),
		refused("rsync: --append cannot be used with --whole-file"),
		refused("rsync: --acls is not supported on this server"),
		refused("rsync: --suffix cannot be empty when --backup-dir is the same as the dest dir"),
		refused("rsync: hard links are not supported on this server"),
		refused("rsync: symlinks are not supported on this server"),
		refused("rsync: This rsync lacks old-style --compress due to its external zlib.  Try -zz."),
		refused("rsync: the --temp-dir path is WAY too long."),
		refused("rsync: You may not combine multiple --delete-WHEN options."),
		refused("rsync: You may not mix --compare-dest, --copy-dest, and --link-dest."),
		refused("rsync: You can only specify a user-affecting --chown once."),
		refused("rsync: Invalid argument passed to --chmod (x)"),
		refused("rsync: Invalid --outbuf setting -- specify N, L, or B."),
		refused("rsync: invalid --stop-at format: x"),
		refused("rsync: max-alloc must be greater than zero"),
		refused("rsync: The --files-from sent to the server cannot specify a host."),
		refused("rsync: Remote option must start with a dash: x"),
		refused("rsync: Error parsing options: option may be supported on client but not on server?"),
		refused("rsync: ERROR: at most 20 --link-dest args may be specified"),
		refused("Unknown --info item: \"x\""),
		refused("unknown checksum name: md6"),
		refused("--acls requires protocol 30 or higher (negotiated 29)."),
		{text: "rsync: --bogus: unknown option (in daemon mode)", kind: rsynclog.ListenerError},
		{text: "rsync: failed to open files-from file /x: No such file or directory", kind: rsynclog.FileError},
	})
}

// Section 7 of the formats: what goes wrong while files are transferred.
func TestLinesWithinATransfer(t *testing.T) {
	failed := func(role, text string, errno int16) []said {
		return []said{{text: "rsync: [" + role + "] " + text, kind: rsynclog.FileError, errno: errno, role: role},
			{text: "rsync: " + text, kind: rsynclog.FileError, errno: errno}} // before 3.2
	}
	for _, lines := range [][]said{
		failed("sender", `send_files failed to open "/x" (in data): Permission denied (13)`, 13),
		failed("sender", `opendir "/x" (in data) failed: Permission denied (13)`, 13),
		failed("sender", `link_stat "/x" (in data) failed: No such file or directory (2)`, 2),
		failed("sender", `change_dir#3 "/x" (in data) failed: No such file or directory (2)`, 2),
		failed("sender", `readlink_stat("/x" (in data)) failed: Permission denied (13)`, 13),
		failed("sender", `read errors mapping "/x" (in data): Input/output error (5)`, 5),
		failed("sender", `readdir("/x" (in data)): Input/output error (5)`, 5),
		failed("receiver", `mkstemp "/.x.Ab12" (in inbox) failed: Permission denied (13)`, 13),
		failed("generator", `recv_generator: mkdir "/d" (in inbox) failed: No space left on device (28)`, 28),
		failed("generator", `recv_generator: failed to stat "/x" (in inbox): Too many levels of symbolic links (40)`, 40),
		failed("receiver", `write failed on "/x" (in inbox): No space left on device (28)`, 28),
		failed("receiver", `rename "/.x.Ab12" (in inbox) -> "x": Is a directory (21)`, 21),
		failed("generator", `failed to set times on "/x" (in inbox): Operation not permitted (1)`, 1),
		failed("generator", `failed to set permissions on "/x" (in inbox): Operation not permitted (1)`, 1),
		failed("generator", `chown "/x" (in inbox) failed: Operation not permitted (1)`, 1),
		failed("generator", `delete_file: unlink(x) failed: Permission denied (13)`, 13),
		failed("generator", `delete_file: rmdir(d) failed: Directory not empty (39)`, 39),
		failed("generator", `symlink "/l" (in inbox) -> "x" failed: File exists (17)`, 17),
		failed("receiver", `open "/x" (in inbox) failed: Permission denied (13)`, 13),
		failed("generator", `set_acl: sys_acl_set_file(x, ACL_TYPE_ACCESS): Operation not supported (95)`, 95),
		failed("generator", `rsync_xal_set: lsetxattr("/x" (in inbox),"user.x") failed: Operation not supported (95)`, 95),
		{
			{text: `rsync: [receiver] do_fallocate "/x" (in inbox): Operation not supported (95)`, kind: rsynclog.OtherKnown, role: "receiver"}, // FWARNING
			{text: "rsync: select exception on fd 5: Bad file descriptor (9)", kind: rsynclog.OtherKnown},                                       // FINFO
			{text: `do_chmod: no symlink-safe chmod for "x"; mode not set`, kind: rsynclog.Skipped},                                             // FWARNING
			{text: `file has vanished: "/x" (in data)`, kind: rsynclog.FileVanished},
			{text: `directory has vanished: "/d" (in data)`, kind: rsynclog.FileVanished},
			{text: "Deletions stopped due to --max-delete limit (3 skipped)", kind: rsynclog.MaxDelete},
			{text: "WARNING: x failed verification -- update discarded (will try again).", kind: rsynclog.VerifyFailed},
			{text: "ERROR: x failed verification -- update discarded.", kind: rsynclog.FileError},
			{text: `ERROR: daemon refused to receive file "x"`, kind: rsynclog.FileError},
			{text: `skipping daemon-excluded file "x"`, kind: rsynclog.FileError}, // 3.0.0 to 3.0.8: FERROR_XFER
			{text: `skipping server-excluded file "x"`, kind: rsynclog.Skipped},   // 2.6.9: FINFO
			{text: `skipping non-regular file "fifo"`, kind: rsynclog.Skipped},
			{text: "cannot delete non-empty directory: d", kind: rsynclog.Skipped},
			{text: "IO error encountered -- skipping file deletion", kind: rsynclog.DeletionSkipped},
			{text: "*** Skipping any contents from this failed directory ***", kind: rsynclog.Skipped},
			{text: "symlink has no referent: \"/l\" (in data)", kind: rsynclog.FileError},
			{text: "[sender] cannot convert filename: x (Invalid or incomplete multibyte or wide character)", kind: rsynclog.FileError, role: "sender"},
			{text: "The temp-dir does not exist: /t", kind: rsynclog.OtherKnown},
			{text: "The temp-dir is not a directory: /t", kind: rsynclog.OtherKnown},
			{text: "Failed to stat /b: Permission denied", kind: rsynclog.FileError},
		},
	} {
		checkSaid(t, lines)
	}
}

func TestLinesOfABrokenConnection(t *testing.T) {
	checkSaid(t, []said{
		{text: "[sender] io timeout after 60 seconds -- exiting", kind: rsynclog.Timeout, role: "sender"},
		{text: "io timeout after 60 seconds -- exiting", kind: rsynclog.Timeout},
		{text: "[Receiver] daemon handshake timeout -- exiting", kind: rsynclog.Timeout, role: "Receiver"},
		{text: "stopping at requested limit", kind: rsynclog.Timeout},
		{text: "rsync: connection unexpectedly closed (661 bytes received so far) [receiver]", kind: rsynclog.IOError},
		{text: "rsync: [sender] write error: Broken pipe (32)", kind: rsynclog.IOError, role: "sender"},
		{text: "rsync: read error: Connection reset by peer (104)", kind: rsynclog.IOError},
		{text: "rsync: writefd_unbuffered failed to write 4 bytes [sender]: Broken pipe (32)", kind: rsynclog.IOError},
		{text: "rsync: [receiver] safe_read failed to read 1 bytes: Connection reset by peer (104)", kind: rsynclog.IOError, role: "receiver"},
		{text: "protocol version mismatch -- is your shell clean?", kind: rsynclog.IOError},
		{text: "unexpected tag 73 [sender]", kind: rsynclog.IOError},
		{text: "invalid multi-message 9:8 [sender]", kind: rsynclog.IOError},
		{text: "too many daemon arguments", kind: rsynclog.IOError},
		{text: "Failed to negotiate a checksum choice.", kind: rsynclog.IOError},
		{text: "invalid uncompressed token length 70000 [receiver]", kind: rsynclog.IOError}, // 3.4.1's and 3.2.7's security fixes
		{text: "Remote rsync is too old for checksum negotiation", kind: rsynclog.IOError},   // 3.2.0
		{text: "FATAL I/O ERROR: dying to avoid a --delete-during issue with a pre-3.0.7 receiver.", kind: rsynclog.IOError},
		{text: "[receiver] could not find xattr #1 for x", kind: rsynclog.IOError},
		{text: "ERROR: rejecting unrequested file-list name: x", kind: rsynclog.IOError},
		{text: "rsync error: timeout in data send/receive (code 30) at io.c(205) [sender=3.5.0]", kind: rsynclog.ExitError, role: "sender"},
		{text: "rsync warning: some files vanished before they could be transferred (code 24) at main.c(1682) [sender=v3.2.8-48-g1b5c]",
			kind: rsynclog.ExitWarning, role: "sender"},
	})
}

// The lists of formats hold six versions and no text that isn't a literal of a call. These are the
// rest: of the versions between (3.0.0 to 3.0.8, 3.1.0, 3.2.0 to 3.2.3, 3.4.1's security fixes) and
// of texts that are put together elsewhere. Nothing is newer than 3.5.0.
func TestLinesThatTheListsOfFormatsDoNotHold(t *testing.T) {
	checkSaid(t, []said{
		{text: `rsync: push_dir /x failed in d: No such file or directory (2)`, kind: rsynclog.FileError, errno: 2},
		{text: "rsync: [sender] safe_write failed to write 32 bytes to socket: Broken pipe (32)", kind: rsynclog.IOError, role: "sender"},
		{text: "Created backup_dir /b", kind: rsynclog.OtherKnown},
		{text: "Invalid file index: 9 (0 - 3) with iflags 8000 [sender]", kind: rsynclog.IOError},
		{text: "INTERNAL ERROR: unable to find flist for item 9", kind: rsynclog.IOError},
		{text: "[Receiver] pop_dir(/)", kind: rsynclog.OtherKnown},
		{text: "[sender] out of memory (file=flist.c, line=12)", kind: rsynclog.OtherKnown},
		{text: "[receiver] internal abbrev error!", kind: rsynclog.IOError},
		{text: `rsync: get_xattr_names: llistxattr("x",1024) failed: Permission denied (13)`, kind: rsynclog.FileError, errno: 13},
		{text: "Unknown filter rule: `x'", kind: rsynclog.OtherKnown},                                               // exclude.c: filter_rule_err
		{text: "'!' rule has trailing characters: !x", kind: rsynclog.OtherKnown},                                   // filter_rule_err
		{text: "unexpected end of filter rule: -", kind: rsynclog.OtherKnown},                                       // filter_rule_err
		{text: "specified-side merge file contains specified-side filter: x", kind: rsynclog.OtherKnown},            // filter_rule_err
		{text: "rsync[9] (server daemon sender) heap statistics:", kind: rsynclog.OtherKnown},                       // main.c: show_malloc_stats
		{text: "  arena:         135168   (bytes from sbrk)", kind: rsynclog.OtherKnown},                            // show_malloc_stats
		{text: "  keepcost:       25088   (bytes in releasable chunk)", kind: rsynclog.OtherKnown},                  // show_malloc_stats
		{text: "x exists (type change)", kind: rsynclog.OtherKnown},                                                 // generator.c
		{text: "Client list: xxh128 xxh3 xxh64 md5 md4 none", kind: rsynclog.OtherKnown},                            // compat.c
		{text: "deleting x", kind: rsynclog.OtherKnown},                                                             // log.c, at -v in the default format
		{text: "wrote 75305 bytes  read 98 bytes  total size 75006", kind: rsynclog.Summary},                        // before 2.6.4
		{text: "rsync error: error in rsync protocol data stream (code 12) at io.c(342)", kind: rsynclog.ExitError}, // before 2.6.4
	})
}
