package rsynclog

import "testing"

// A said is a line, and what has to be read out of it: its kind, and as far as it has them the
// reason, errno and role.
type said struct {
	text   string
	kind   Kind
	reason Reason
	errno  int16
	role   string
}

func checkSaid(t *testing.T, lines []said) {
	t.Helper()
	p := mustParser(t, DefaultLogFormat)
	for _, want := range lines {
		var ev Event
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
		{text: "rsyncd version 3.5.0 starting, listening on port 873", kind: DaemonStart},
		{text: "rsync error: received SIGINT, SIGTERM, or SIGHUP (code 20) at rsync.c(716) [Receiver=3.5.0]", kind: ExitError, role: "Receiver"},
		{text: "bind() failed: Address already in use (address-family 10)", kind: ListenerError},
		{text: "socket(10,1,6) failed: Address family not supported by protocol", kind: ListenerError},
		{text: "unable to bind any inbound sockets on port 873", kind: ListenerError},
		{text: "rsync: [Receiver] listen() on socket failed: Address already in use (98)", kind: ListenerError, role: "Receiver"},
		{text: "rsync: could not create child server process: Resource temporarily unavailable (11)", kind: ListenerError},
		{text: "open inbound socket: Address family not supported by protocol", kind: ListenerError},
		{text: "failed to create pid file /run/rsyncd.pid: File exists", kind: ListenerError},
		{text: "failed to remove pid file /run/rsyncd.pid: Permission denied", kind: ListenerError},
		{text: "rsync: failed to create pid file /run/rsyncd.pid: File exists (17)", kind: ListenerError},
		{text: `rsync: [Receiver] failed to open log-file /var/log/x/r.log: No such file or directory (2)`, kind: ListenerError, role: "Receiver"},
		{text: `"proxy protocol = true" but "proxy protocol hosts" is unset: all connections will be rejected as untrusted proxy peers.`,
			kind: ConfigWarning},
		{text: `Unknown Parameter encountered: "max conections"`, kind: ConfigWarning},
		{text: "Global parameter port found in module section!", kind: ConfigWarning},
		{text: `Badly formed boolean in configuration file: "perhaps".`, kind: ConfigWarning},
		{text: "params.c:pm_process() - Failed.  Error returned from params.c:parse().", kind: ConfigWarning},
		{text: `rsync: [Receiver] unable to open config file "/etc/rsyncd.conf": Permission denied (13)`, kind: ConfigWarning, role: "Receiver"},
		{text: "chroot test failed: Operation not permitted. Switching 'use chroot' from unset to false.", kind: ConfigWarning},
	})
}

// access.c, clientname.c, authenticate.c, clientserver.c: from the connection to the start.
func TestLinesBeforeTheStart(t *testing.T) {
	checkSaid(t, []said{
		{text: "name lookup failed for 2001:db8::7: Name or service not known", kind: NameLookup},
		{text: "forward name lookup for x.example failed: Name or service not known", kind: NameLookup},
		{text: `no known address for "x.example": spoofed address?`, kind: NameLookup},
		{text: `203.0.113.7 is not a known address for "x.example": spoofed address?`, kind: NameLookup},
		{text: "compare_addrinfo_sockaddr: response family 2 != 10", kind: NameLookup},
		{text: "proxy protocol rejected from untrusted peer UNDETERMINED (203.0.113.7)", kind: ProxyRejected, reason: OtherReason},
		{text: "connect from localhost (127.0.0.1)", kind: Connect},
		{text: "module-list request from localhost (127.0.0.1)", kind: ModuleList},
		{text: "unknown module 'nosuch' tried from localhost (127.0.0.1)", kind: UnknownModule, reason: ReasonUnknownModule},
		{text: "rsync denied on module data from localhost (127.0.0.1)", kind: Denied, reason: ReasonHostsDeny},
		{text: "rsync allowed access on module data from localhost (127.0.0.1)", kind: Allowed},
		{text: "rsync: [Receiver] failed to open lock file /run/l: Permission denied (13)", kind: SetupFailed, reason: OtherReason, role: "Receiver"},
		{text: "max connections (4) reached", kind: MaxConnections, reason: ReasonMaxConnections},
		{text: "auth failed on module priv from localhost (127.0.0.1): invalid challenge response", kind: AuthFailed, reason: ReasonAuth},
		{text: "auth failed on module priv from localhost (127.0.0.1) for bob: password mismatch", kind: AuthFailed, reason: ReasonAuth},
		{text: "auth failed on module priv from localhost (127.0.0.1): negotiated auth digest md4 is weaker than the required 'auth digest = sha512'",
			kind: AuthFailed, reason: ReasonAuth},
		{text: "auth failed on module my priv (v2) from localhost (127.0.0.1)", kind: AuthFailed, reason: ReasonAuth}, // 2.6.4
		{text: "failed to open lock file /var/run/l : Permission denied", kind: SetupFailed, reason: OtherReason},     // 2.6.2
		{text: "secrets file must not be other-accessible (see strict modes option)", kind: SecretsFile},
		{text: "rsync: [Receiver] fstat(/etc/rsyncd.secrets): Permission denied (13)", kind: SecretsFile, role: "Receiver"},
		{text: "Invalid uid nobdy", kind: SetupFailed, reason: OtherReason},
		{text: "Invalid gid nogrp", kind: SetupFailed, reason: OtherReason},
		{text: "Too many groups specified via gid parameter.", kind: SetupFailed, reason: OtherReason}, // 3.1.0
		{text: "rsync: getgrouplist failed: Invalid argument (22)", kind: SetupFailed, reason: OtherReason},
		{text: "No path specified for module data", kind: SetupFailed, reason: OtherReason},
		{text: `rsync: [Receiver] chroot("/srv/gone") failed: No such file or directory (2)`, kind: SetupFailed, reason: OtherReason, role: "Receiver"},
		{text: "rsync: chroot /srv/gone failed: No such file or directory (2)", kind: SetupFailed, reason: OtherReason},
		{text: "rsync: chdir /srv/gone failed\n: No such file or directory (2)", kind: SetupFailed, reason: OtherReason}, // 2.6.9
		{text: "rsync: [Receiver] setgid 65534 failed: Operation not permitted (1)", kind: SetupFailed, reason: OtherReason, role: "Receiver"},
		{text: "rsync: [Receiver] setuid 65534 failed: Operation not permitted (1)", kind: SetupFailed, reason: OtherReason, role: "Receiver"},
		{text: "rsync: [Receiver] early exec failed: No child processes (10)", kind: ExecFailed, reason: OtherReason, role: "Receiver"},
		{text: "early exec returned failure (256)", kind: ExecFailed, reason: OtherReason},
		{text: "pre-xfer exec returned failure (768):\nmodule is under maintenance", kind: ExecFailed, reason: OtherReason},
		{text: "pre-xfer exec returned failure (-1): No child processes", kind: ExecFailed, reason: OtherReason},
		{text: "rsync: [Receiver] pre-xfer exec preparation failed: Cannot allocate memory (12)", kind: ExecFailed, reason: OtherReason, role: "Receiver"},
	})
}

// main.c, options.c, checksum.c, compat.c: a request that is turned down after "rsync on" or "rsync
// to".
func TestLinesOfRefusedRequests(t *testing.T) {
	refused := func(text string) said { return said{text: text, kind: RefusedOption, reason: ReasonRefusedOption} }
	checkSaid(t, []said{
		{text: "ERROR: module is read only", kind: ReadOnlyModule, reason: ReasonReadOnly},
		{text: "ERROR: --remove-source-files cannot be used with a read-only module", kind: ReadOnlyModule, reason: ReasonReadOnly},
		{text: "ERROR: module is write only", kind: WriteOnlyModule, reason: ReasonWriteOnly},
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
		{text: "rsync: --bogus: unknown option (in daemon mode)", kind: ListenerError},
		{text: "rsync: failed to open files-from file /x: No such file or directory", kind: FileError},
	})
}

// Section 7 of the formats: what goes wrong while files are transferred.
func TestLinesWithinATransfer(t *testing.T) {
	failed := func(role, text string, errno int16) []said {
		return []said{{text: "rsync: [" + role + "] " + text, kind: FileError, errno: errno, role: role},
			{text: "rsync: " + text, kind: FileError, errno: errno}} // before 3.2
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
			{text: `rsync: [receiver] do_fallocate "/x" (in inbox): Operation not supported (95)`, kind: OtherKnown, role: "receiver"}, // FWARNING
			{text: "rsync: select exception on fd 5: Bad file descriptor (9)", kind: OtherKnown},                                       // FINFO
			{text: `do_chmod: no symlink-safe chmod for "x"; mode not set`, kind: Skipped},                                             // FWARNING
			{text: `file has vanished: "/x" (in data)`, kind: FileVanished},
			{text: `directory has vanished: "/d" (in data)`, kind: FileVanished},
			{text: "Deletions stopped due to --max-delete limit (3 skipped)", kind: MaxDelete},
			{text: "WARNING: x failed verification -- update discarded (will try again).", kind: VerifyFailed},
			{text: "ERROR: x failed verification -- update discarded.", kind: FileError},
			{text: `ERROR: daemon refused to receive file "x"`, kind: FileError},
			{text: `skipping daemon-excluded file "x"`, kind: FileError}, // 3.0.0 to 3.0.8: FERROR_XFER
			{text: `skipping server-excluded file "x"`, kind: Skipped},   // 2.6.9: FINFO
			{text: `skipping non-regular file "fifo"`, kind: Skipped},
			{text: "cannot delete non-empty directory: d", kind: Skipped},
			{text: "IO error encountered -- skipping file deletion", kind: DeletionSkipped},
			{text: "*** Skipping any contents from this failed directory ***", kind: Skipped},
			{text: "symlink has no referent: \"/l\" (in data)", kind: FileError},
			{text: "[sender] cannot convert filename: x (Invalid or incomplete multibyte or wide character)", kind: FileError, role: "sender"},
			{text: "The temp-dir does not exist: /t", kind: OtherKnown},
			{text: "The temp-dir is not a directory: /t", kind: OtherKnown},
			{text: "Failed to stat /b: Permission denied", kind: FileError},
		},
	} {
		checkSaid(t, lines)
	}
}

func TestLinesOfABrokenConnection(t *testing.T) {
	checkSaid(t, []said{
		{text: "[sender] io timeout after 60 seconds -- exiting", kind: Timeout, role: "sender"},
		{text: "io timeout after 60 seconds -- exiting", kind: Timeout},
		{text: "[Receiver] daemon handshake timeout -- exiting", kind: Timeout, role: "Receiver"},
		{text: "stopping at requested limit", kind: Timeout},
		{text: "rsync: connection unexpectedly closed (661 bytes received so far) [receiver]", kind: IOError},
		{text: "rsync: [sender] write error: Broken pipe (32)", kind: IOError, role: "sender"},
		{text: "rsync: read error: Connection reset by peer (104)", kind: IOError},
		{text: "rsync: writefd_unbuffered failed to write 4 bytes [sender]: Broken pipe (32)", kind: IOError},
		{text: "rsync: [receiver] safe_read failed to read 1 bytes: Connection reset by peer (104)", kind: IOError, role: "receiver"},
		{text: "protocol version mismatch -- is your shell clean?", kind: IOError},
		{text: "unexpected tag 73 [sender]", kind: IOError},
		{text: "invalid multi-message 9:8 [sender]", kind: IOError},
		{text: "too many daemon arguments", kind: IOError},
		{text: "Failed to negotiate a checksum choice.", kind: IOError},
		{text: "invalid uncompressed token length 70000 [receiver]", kind: IOError}, // 3.4.1's and 3.2.7's security fixes
		{text: "Remote rsync is too old for checksum negotiation", kind: IOError},   // 3.2.0
		{text: "FATAL I/O ERROR: dying to avoid a --delete-during issue with a pre-3.0.7 receiver.", kind: IOError},
		{text: "[receiver] could not find xattr #1 for x", kind: IOError},
		{text: "ERROR: rejecting unrequested file-list name: x", kind: IOError},
		{text: "rsync error: timeout in data send/receive (code 30) at io.c(205) [sender=3.5.0]", kind: ExitError, role: "sender"},
		{text: "rsync warning: some files vanished before they could be transferred (code 24) at main.c(1682) [sender=v3.2.8-48-g1b5c]",
			kind: ExitWarning, role: "sender"},
	})
}

// The lists of formats hold six versions and no text that isn't a literal of a call. These are the
// rest: of the versions between (3.0.0 to 3.0.8, 3.1.0, 3.2.0 to 3.2.3, 3.4.1's security fixes) and
// of texts that are put together elsewhere. Nothing is newer than 3.5.0.
func TestLinesThatTheListsOfFormatsDoNotHold(t *testing.T) {
	checkSaid(t, []said{
		{text: `rsync: push_dir /x failed in d: No such file or directory (2)`, kind: FileError, errno: 2},
		{text: "rsync: [sender] safe_write failed to write 32 bytes to socket: Broken pipe (32)", kind: IOError, role: "sender"},
		{text: "Created backup_dir /b", kind: OtherKnown},
		{text: "Invalid file index: 9 (0 - 3) with iflags 8000 [sender]", kind: IOError},
		{text: "INTERNAL ERROR: unable to find flist for item 9", kind: IOError},
		{text: "[Receiver] pop_dir(/)", kind: OtherKnown},
		{text: "[sender] out of memory (file=flist.c, line=12)", kind: OtherKnown},
		{text: "[receiver] internal abbrev error!", kind: IOError},
		{text: `rsync: get_xattr_names: llistxattr("x",1024) failed: Permission denied (13)`, kind: FileError, errno: 13},
		{text: "Unknown filter rule: `x'", kind: OtherKnown},                                               // exclude.c: filter_rule_err
		{text: "'!' rule has trailing characters: !x", kind: OtherKnown},                                   // filter_rule_err
		{text: "unexpected end of filter rule: -", kind: OtherKnown},                                       // filter_rule_err
		{text: "specified-side merge file contains specified-side filter: x", kind: OtherKnown},            // filter_rule_err
		{text: "rsync[9] (server daemon sender) heap statistics:", kind: OtherKnown},                       // main.c: show_malloc_stats
		{text: "  arena:         135168   (bytes from sbrk)", kind: OtherKnown},                            // show_malloc_stats
		{text: "  keepcost:       25088   (bytes in releasable chunk)", kind: OtherKnown},                  // show_malloc_stats
		{text: "x exists (type change)", kind: OtherKnown},                                                 // generator.c
		{text: "Client list: xxh128 xxh3 xxh64 md5 md4 none", kind: OtherKnown},                            // compat.c
		{text: "deleting x", kind: OtherKnown},                                                             // log.c, at -v in the default format
		{text: "wrote 75305 bytes  read 98 bytes  total size 75006", kind: Summary},                        // before 2.6.4
		{text: "rsync error: error in rsync protocol data stream (code 12) at io.c(342)", kind: ExitError}, // before 2.6.4
	})
}
