package rsynclog

// A plainLine is a line of which nothing but its kind is of use. Its form is rsync's own format, simplified: %s stands for any text,
// none included; a %d, which is then the only verb, for digits; [ROLE] for who_am_i().
type plainLine struct {
	kind     Kind
	versions string
	form     string
	example  string // what the first verb stands for in the example
}

// plainLines are tried in this order, those of OtherKnown last, after all lines with a scanner of their own.
var plainLines = [...]plainLine{
	{FileList, "all", "building file list", ""},  // flist.c: send_file_list; here and below see listDirection
	{FileList, "all", "receiving file list", ""}, // flist.c: recv_file_list

	{MaxConnections, "all", "max connections (%d) reached", "1"}, // clientserver.c: rsync_module
	{SetupFailed, "-2.6.2", "failed to open lock file %s : %s", "/var/run/rsyncd.lock"},
	{SetupFailed, "3.0+", "No path specified for module %s", "nopath"},
	{SetupFailed, "all", "Invalid uid %s", "no_such_user"},
	{SetupFailed, "all", "Invalid gid %s", "no_such_group"},
	{SetupFailed, "3.1+", "Invalid daemon uid: %s", "nobdy"},
	{SetupFailed, "3.1+", "Invalid daemon gid: %s", "nogrp"},
	{SetupFailed, "3.1+", `This rsync does not support a gid of "*"`, ""},
	{SetupFailed, "3.1+", `This rsync cannot add groups after "*".`, ""},
	{SetupFailed, "3.1.0-3.1.1", "Too many groups specified via gid parameter.", ""},
	{SetupFailed, "3.0+", "normalize_path(%s) failed", "/srv/x"},
	{SetupFailed, "3.0+", "Symlink munging is %s directory exists.", "unsafe when a /rsyncd-munged/"},
	{SetupFailed, "-3.0.9", "rsync: chdir %s failed", "/srv/x"},       // the source has a line end before the reason
	{ExecFailed, "all", "pre-xfer exec returned failure (%s", "768)"}, // clientserver.c: finish_pre_exec
	{ExecFailed, "3.2+", "early exec returned failure (%s", "256)"},
	{ReadOnlyModule, "all", "ERROR: module is read only", ""}, // main.c: do_server_recv
	{ReadOnlyModule, "all", "ERROR: --remove-%s-files cannot be used with a read-only module", "source"},
	{WriteOnlyModule, "all", "ERROR: module is write only", ""},
	{RefusedOption, "all", "rsync: The server is configured to refuse %s", "--delete"}, // options.c: create_refuse_error
	{RefusedOption, "all", "rsync: on remote machine: %s", "--bogus-option: unknown option"},
	{RefusedOption, "all", "Your options have been rejected by the server.", ""}, // main.c: a backup, temp or basis directory that is excluded
	{RefusedOption, "all", "rsync: Your options have been rejected by the server.", ""},
	{RefusedOption, "all", "rsync: Attempt to hack rsync thwarted!", ""}, // options.c from here: --daemon
	{RefusedOption, "all", "rsync: hard links are not supported on this %s", "server"},
	{RefusedOption, "all", "rsync: symlinks are not supported on this %s", "server"},
	{RefusedOption, "3.2+", "rsync: This rsync lacks %s", "old-style --compress due to its external zlib.  Try -zz."},
	{RefusedOption, "3.2+", "rsync: The server does not support %s", "--x"},
	{RefusedOption, "all", "rsync: the --%s path is WAY too long.", "temp-dir"},
	{RefusedOption, "all", "rsync: the batch-file name must be %s", "24 characters or less."},
	{RefusedOption, "all", "rsync: You may not %s", "combine multiple --delete-WHEN options."},
	{RefusedOption, "3.1+", "rsync: You can only specify %s once.", "--usermap"},
	{RefusedOption, "all", "rsync: Invalid argument passed to --chmod %s", "(x)"},
	{RefusedOption, "all", "rsync: Invalid --%s", "files-from remote filename"},
	{RefusedOption, "3.2+", "rsync: invalid --stop-%s", "after value: x"},
	{RefusedOption, "3.2+", "rsync: max-alloc must be %s", "greater than zero"},
	{RefusedOption, "all", "rsync: The --files-from sent to the server %s", "cannot specify a host."},
	{RefusedOption, "3.1+", "rsync: Remote option must start with a dash: %s", "x"},
	{RefusedOption, "all", "rsync: Error parsing options: %s", "option may be supported on client but not on server?"},
	{RefusedOption, "all", "rsync: ERROR: %s", "the --append option conflicts with the --whole-file option"},
	{ListenerError, "all", "rsync: %s (in daemon mode)", "--x: unknown option"},
	{RefusedOption, "all", "rsync: --%s", "append cannot be used with --whole-file"},
	{RefusedOption, "3.2+", "Your --%s-choice value (%s) was refused by the server.", "checksum"}, // compat.c
	{RefusedOption, "3.1+", "unknown checksum name: %s", "x"},                                     // checksum.c
	{RefusedOption, "3.1-3.1.3", "invalid checksum-choice for %s", "the --checksum option (4)"},
	{RefusedOption, "3.2+", "Invalid checksum-choice for %s", "--checksum: none (0)"},
	{RefusedOption, "3.2+", "unknown compress name: %s", "x"}, // compat.c
	{RefusedOption, "3.1+", "preallocation is not supported on this %s", "Server"},
	{RefusedOption, "all", "--fuzzy requires protocol %s", "29 or higher (negotiated 28)."},
	{RefusedOption, "all", "--prune-empty-dirs requires protocol %s", "29 or higher (negotiated 28)."},
	{RefusedOption, "3.0+", "--acls requires protocol %s", "30 or higher (negotiated 29)."},
	{RefusedOption, "3.0+", "--xattrs requires protocol %s", "30 or higher (negotiated 29)."},
	{RefusedOption, "all", "--%s with --inplace requires protocol %s", "compare-dest"},
	{RefusedOption, "all", "Using more than one %s option requires protocol %s", "--compare-dest"},
	{RefusedOption, "3.1+", "No colon found in --%smap: %s", "user"},
	{RefusedOption, "3.1+", "No name found after colon --%smap: %s", "user"},
	{RefusedOption, "3.1+", "Invalid number in --%smap: %s", "user"},
	{RefusedOption, "3.1+", "Invalid ID number: %s", "x"},
	{RefusedOption, "3.1+", "Unknown --%s item: %s", "info"}, // options.c
	{RefusedOption, "3.2+", "Invalid copy-as %s: %s", "user"},
	{RefusedOption, "3.0.4-3.0.8", `skipping daemon-excluded destination "%s"`, "secret"},
	{RefusedOption, "3.0+", `ERROR: daemon has excluded destination "%s"`, "secret"}, // main.c: get_local_name

	{FileVanished, "all", "file has vanished: %s", `"/f1" (in data)`}, // flist.c: send_file_name
	{FileVanished, "3.0+", "directory has vanished: %s", `"/d" (in data)`},
	{MaxDelete, "all", "Deletions stopped due to --max-delete limit (%d skipped)", "3"}, // generator.c

	{Timeout, "-2.6.9", "io timeout after %d seconds -- exiting", "60"}, // io.c: check_timeout
	{Timeout, "3.2+", "stopping at requested limit", ""},                // code 30, too

	{IOError, "all", "rsync: connection unexpectedly closed (%s", "661 bytes received so far) [receiver]"}, // io.c: whine_about_eof
	{IOError, "all", "unexpected tag %s", "73 [sender]"},
	{IOError, "all", "invalid multi-message %s", "9:8 [sender]"},
	{IOError, "-3.0.9", "invalid message %s", "9:8 [sender]"},
	{IOError, "-3.0.9", "unknown message %s", "9:8 [sender]"},
	{IOError, "all", "multiplexing overflow %s", "12:16777215 [sender]"},
	{IOError, "all", "protocol version mismatch -- is your shell clean?", ""}, // compat.c
	{IOError, "3.2+", "Failed to negotiate a %s", "checksum choice."},
	{IOError, "3.2.0-3.2.1", "Remote rsync is too old for %s negotiation", "checksum"},
	{IOError, "all", "--protocol must be %s", "at least 20 on the Receiver."},
	{IOError, "all", "over-long vstring received %s", "(9999 > 4096)"},
	{IOError, "all", "attempting to send over-long vstring %s", "(40000 > 32767)"},
	{IOError, "3.0+", "Overflow in read_var%s", "int()"},
	{IOError, "all", "overflow: %s", "xflags=0x9 l1=255 l2=70000 lastname=x [receiver]"}, // flist.c
	{IOError, "all", "Integer overflow: attempted 64-bit offset", ""},
	{IOError, "3.0+", "Offset overflow: attempted 64-bit file-length", ""},
	{IOError, "3.0+", "Offset underflow: file-length is negative", ""},
	{IOError, "all", "Invalid file index: %s", "9 (0 - 3) [sender]"}, // rsync.c, io.c
	{IOError, "3.0+", "Invalid dir index: %s", "9 (0 - 3) [sender]"},
	{IOError, "all", "Invalid block %s", "length -1 [sender]"},
	{IOError, "all", "Invalid checksum %s", "count -1 [sender]"},
	{IOError, "all", "Invalid remainder length %s", "-1 [sender]"},
	{IOError, "3.5+", "Invalid zero block length %s", "[sender]"},
	{IOError, "3.5+", "Invalid literal token %s", "with no data [receiver]"},
	{IOError, "-2.6.9", "Invalid itemized flag word: %s", "8000 [sender]"},
	{IOError, "all", "Invalid packet at end of run %s", "[Receiver]"},
	{IOError, "3.0+", "Invalid flist flag: %s", "ffff"},
	{IOError, "3.1+", "Invalid xattr name received %s", "(missing trailing \\0)."},
	{IOError, "3.5+", "wire size %s out of range: %s", "blength"},
	{IOError, "3.5+", "wire value %s out of range: %s", "blength"},
	{IOError, "3.5+", "checksum count*blength overflows OFF_T %s", "[sender]"},
	{IOError, "3.5+", "got a block match with no basis file for %s", "x [receiver]"},
	{IOError, "all", "got transfer request in phase 2 %s", "[sender]"},
	{IOError, "all", "received request to transfer non-regular file: %s", "3 [sender]"},
	{IOError, "3.0+", "File-list index %s not in %s", "9"},
	{IOError, "all", "decompressor lost sync!", ""}, // token.c
	{IOError, "all", "inflate %sreturned %s", ""},
	{IOError, "all", "inflate init failed", ""},
	{IOError, "all", "deflate %sreturned %s", ""},
	{IOError, "3.2+", "uncompress failed: %s", "-3"},
	{IOError, "all", "compression init failed", ""},
	{IOError, "3.2+", "compress returned %s", "-2"},
	{IOError, "3.2+", "ZSTD_%s", "createDStream failed"},
	{IOError, "3.2+", "ZSTD decomp returned %s", "-20 (12 bytes)"},
	{IOError, "3.5+", "invalid token number in compressed stream", ""},
	{IOError, "3.4.1+", "invalid uncompressed token length %s", "9 [receiver]"},
	{IOError, "3.1-3.1.3", "Impossible error in external-zlib code (%d).", "1"},
	{IOError, "3.1+", "error in perform_io: %s", "no fd for input."},
	{IOError, "3.1+", "need to read %s bytes, iobuf.in.buf is only %s bytes.", "9"},
	{IOError, "3.0+", "overflowed %s buffer in %s", "iobuf.msg"},
	{IOError, "3.5+", "too many daemon arguments", ""},
	{IOError, "all", "receive_sums failed", ""},
	{IOError, "all", "server_recv: recv_file_list error", ""},
	{IOError, "3.0+", "hard-link reference out of range: %s", "9 (3)"},
	{IOError, "3.5+", "hard-link gnum %s precedes flist start %s", "9"}, // hlink.c
	{IOError, "3.0+", "Unable to find a hlink node for %s", "9 (x)"},
	{IOError, "3.0+", "Hlink node data for %s", "9 is NULL (x)"},
	{IOError, "3.0+", "recv_acl_%s", "index: access ACL index 9 > 3"}, // acls.c
	{IOError, "3.0+", "recv_xattr_request: internal data error!", ""}, // xattrs.c
	{IOError, "3.0+", "receive_xattr: xa index %s", "9 out of range for x"},
	{IOError, "3.0+", "FATAL I/O ERROR: %s", "dying to avoid a --delete-during issue with a pre-3.0.7 receiver."},
	{IOError, "all", "invalid basis_dir index: %s", "9."}, // receiver.c
	{IOError, "-3.1.3", "attempt to hack rsync failed.", ""},
	{IOError, "3.2+", "attempt to copy device contents without --copy-devices", ""}, // sender.c
	{IOError, "3.0.0", "INTERNAL ERROR: unable to find flist for item %d", "9"},
	{IOError, "3.2+", "Connection to name-converter failed.", ""},
	{IOError, "all", "filter rules are too modern for remote rsync.", ""},
	{IOError, "3.5+", "invalid file mode %s", "0170000 for x [receiver]"},
	{IOError, "3.5+", "xattr %s [%s]", "list exceeds per-file limit"},
	{IOError, "3.1+", "ABORTING due to %s", "unsafe pathname from sender: ../x"}, // flist.c
	{IOError, "3.2+", "ERROR: rejecting %s", "unrequested file-list name: x"},
	{FileError, "3.4+", "rsync: refusing malicious fuzzy operation for %s", "x"},
	{IOError, "3.4+", "rsync: refusing %s", "transfer of cleared file index 3"},

	{FileError, "all", "symlink has no referent: %s", `"/l" (in data)`}, // flist.c, code 23 from here to "could not make way"
	{FileError, "3.0+", "skipping symlink with 0-length value: %s", `"/l" (in data)`},
	{FileError, "3.0+", "cannot send file with empty name in %s", `"/d" (in data)`},
	{FileError, "3.0+", "filename overflows max-path len by %s", "12: d/x"},
	{FileError, "3.5+", "path too long: %s", "d/x"},
	{FileError, "all", "temporary filename too long: %s", "x"},
	{FileError, "3.0+", "Time value of %s truncated on receiver.", "x"},
	{FileError, "3.2+", "Access time value of %s truncated on receiver.", "x"},
	{FileError, "3.2+", "Create time value of %s truncated on receiver.", "x"},
	{FileError, "3.0+", "uid 4294967295 (-1) is impossible to set on %s", `"/x" (in data)`},
	{FileError, "3.0+", "gid 4294967295 (-1) is impossible to set on %s", `"/x" (in data)`},
	{FileError, "3.0+", "could not make way for %s", "new regular file: x"},
	{FileError, "all", "recv_files: %s is a directory", `"/x" (in data)`},
	{FileError, "3.0+", "failed to re-read xattr %s for %s", "user.x"},
	{FileError, "3.2+", "no ftruncate for over-long pre-alloc: %s", "x"},
	{FileError, "3.1+", "ERROR: Skipping sender remove %s", "of destination file: x"},
	{FileError, "3.0.0-3.0.8", "skipping daemon-excluded %s", `file "x"`},
	{FileError, "3.0+", "ERROR: daemon refused to receive %s", `file "x"`}, // generator.c: FERROR_XFER, the transfer goes on
	{FileError, "3.1+", "The backup-dir is not a directory: %s", "/b"},     // main.c
	{FileError, "3.1+", "Failed to stat %s: %s", "/b"},
	{FileError, "3.0+", "Unable to create partial-dir for %s -- discarding %s.", "x"},
	{FileError, "all", "backup filename too long", ""},
	{FileError, "3.0+", "get_xattr_data: lgetxattr(%s) returned %s", `"/x" (in data),"user.x",7`},
	{FileError, "3.0+", "Missing abbreviated xattr value, %s, for %s", "user.x"},
	{FileError, "3.0+", "Corrupt %s xattr attached to %s", "user.rsync.%stat"},
	{FileError, "3.0+", "pack_smb_acl: %s", "warning: system says the ACL I packed is invalid"},
	{FileError, "3.5+", "failed to open %sclude file %s", "ex"}, // exclude.c
	{FileError, "all", "cannot add local filter rules in long-named directory: %s", `"/d" (in data)`},
	{FileError, "all", "rsync: failed to open files-from file %s", "/x: No such file or directory"}, // options.c

	{ListenerError, "all", "unable to bind any inbound sockets on port %d", "873"}, // socket.c
	{ListenerError, "all", "bind() failed: %s", "Address already in use (address-family 2)"},
	{ListenerError, "all", "socket(%s) failed: %s", "10,1,6"},
	{ListenerError, "all", "open inbound socket%s", ": Address family not supported by protocol"},
	{ListenerError, "all", "Try using --ipv4 or --ipv6 to avoid this listen() error.", ""},
	{ListenerError, "all", "rsync: getaddrinfo%s", ": bind address x: Name or service not known"},
	{ListenerError, "all", "Unknown socket option %s", "X"},
	{ListenerError, "all", "syntax error -- %s does not take a value", "X"},
	{ListenerError, "3.2+", "failed to %s pid file %s: %s", "create"}, // clientserver.c: create_pid_file
	{ListenerError, "3.5+", "pid file path is too long: %s", "/run/x"},
	{ListenerError, "all", `Ignoring "log file" setting.`, ""}, // log.c
	{ListenerError, "all", "Daemon option(s) used without --daemon.", ""},
	{ListenerError, "all", `(Type "rsync --daemon --help" for assistance with daemon mode.)`, ""},

	{ConfigWarning, "all", `Unknown Parameter encountered: "%s"`, "bogus param"}, // loadparm.c
	{ConfigWarning, "all", `IGNORING unknown parameter "%s"`, "bogus param"},
	{ConfigWarning, "3.1+", `Unknown parameter "%s"`, "x"},
	{ConfigWarning, "all", "Global parameter %s section!", "port found in module"},
	{ConfigWarning, "all", `Badly formed boolean in configuration file: "%s".`, "perhaps"},
	{ConfigWarning, "3.0+", "Warning: invalid section name in configuration file: %s", "x"},
	{ConfigWarning, "all", "Failed to add a new %s", "module"},
	{ConfigWarning, "3.1+", "Overflowed buf in expand_vars() %s", "trying to expand: %X%"},
	{ConfigWarning, "3.5+", "refusing to run shell hook: %s", "%RSYNC_REQUEST% holds a shell metacharacter"},
	{ConfigWarning, "all", "Invalid value %s", `"x" for parameter`},
	{ConfigWarning, "all", `Invalid "%s`, `incoming chmod" directive: x`}, // clientserver.c
	{ConfigWarning, "all", "params.c:%s", "pm_process() - Failed.  Error returned from params.c:parse()."},
	{ConfigWarning, "3.1+", "Unknown directive: %s.", "&x"},
	{ConfigWarning, "all", `No match for refuse-options string "%s"`, "x"}, // options.c
	{ConfigWarning, "3.2.7+", "chroot test failed: %s. Switching 'use chroot' from unset to false.", "Operation not permitted"},
	{ConfigWarning, "all", "the 'temp dir' value for %s is WAY too long -- ignoring.", "data"},
	{ConfigWarning, "3.5+", `"proxy protocol = true" but "proxy protocol hosts" is unset: %s`, "all connections will be rejected"},
	{ConfigWarning, "all", "log-format string is WAY too long!", ""},                    // log.c
	{ConfigWarning, "all", "error matching address %s", "x: Name or service not known"}, // access.c
	{ConfigWarning, "all", "malformed mask in %s", "10.0.0.0/x"},

	{NameLookup, "all", "name lookup failed for %s", "2001:db8::1: Name or service not known"}, // clientname.c
	{NameLookup, "all", "forward name lookup for %s", "x.example failed: Name or service not known"},
	{NameLookup, "all", `no known address for "%s": spoofed address?`, "x.example"},
	{NameLookup, "all", "malformed address %s", "x: Name or service not known"},
	{NameLookup, "all", "compare_addrinfo_sockaddr: %s", "response family 2 != 10"},
	{NameLookup, "all", "unknown family %d", "9"}, // access.c

	{SecretsFile, "all", "secrets file must %s", "not be other-accessible (see strict modes option)"}, // authenticate.c
	{SecretsFile, "-3.0.9", "continuing without secrets file", ""},
	{SecretsFile, "3.1+", "your computer doesn't support getgrouplist()%s", ", so no @group authorization is possible."},

	{Skipped, "all", "skipping %s", `non-regular file "x"`}, // generator.c, flist.c
	{Skipped, "3.2+", "skipped diminished file: %s", `"/x" (in data)`},
	{Skipped, "3.0+", "cannot delete non-empty directory: %s", "d"},
	{Skipped, "3.0+", "cannot delete mount point: %s", "d"},
	{Skipped, "3.0+", "mount point, %s, pins parent directory", "d"},
	{Skipped, "-2.6.9", "cannot send long-named file %s", "x"},
	{DeletionSkipped, "all", "IO error encountered -- skipping file deletion", ""}, // generator.c: delete_in_dir
	{Skipped, "all", "*** Skipping %s this failed directory ***", "any contents from"},
	{Skipped, "all", "ignoring unsafe symlink %s", `"l" -> "/etc"`},
	{Skipped, "3.0+", "not backing up %s", `unsafe symlink "l" -> "/etc"`},
	{Skipped, "all", "not creating new %s", `file "x"`},
	{Skipped, "3.5+", "do_chmod: no symlink-safe chmod for %s", `"x"; mode not set`},
	{Skipped, "all", "make_bak: skipping non-regular file %s", "x"},

	{OtherKnown, "3.1+", "Unknown --%s name on receiver: %s", "usermap"},    // uidlist.c; the transfer goes on
	{OtherKnown, "3.2+", "The temp-dir %s", "does not exist: /t"},           // main.c: do_recv; code 1 follows
	{OtherKnown, "all", "(see the rsync man%s", "page for an explanation)"}, // compat.c
	{OtherKnown, "-3.1.3", "out of memory%s", " at main.c(12)"},
	{OtherKnown, "all", "buffer overflow expanding %%%s -- exiting", "f"}, // log.c
	{OtherKnown, "3.5+", "out of file descriptors resolving a deep path; %s", "raise the open-file limit"},
	{OtherKnown, "3.5+", "gen_challenge: %s", "/dev/urandom unavailable, falling back to time-based challenge"},
	{OtherKnown, "3.0+", "default_perms_for_dir: %s", "unpack_smb_acl failed, falling back on umask"},
	{OtherKnown, "3.0+", "unpack_smb_acl: warning: %s", "duplicate MASK entry ignored"},
	{OtherKnown, "3.0+", "got ACL-based default perms %s", "755 for directory d"},
	{OtherKnown, "3.1+", "specified-side merge file %s", "contains specified-side filter: x"}, // exclude.c
	{OtherKnown, "all", "Unknown filter rule: %s", "`x'"},
	{OtherKnown, "all", "invalid modifier%s in filter rule: %s", " sequence at 'x'"},
	{OtherKnown, "all", "'!' rule has trailing characters: %s", "!x"},
	{OtherKnown, "all", "unexpected end of filter rule: %s", "-"},
	{OtherKnown, "all", "discarding over-long filter: %s", "x..."},
	{OtherKnown, "all", "merge-file name overflows: %s", "x"},
	{OtherKnown, "all", "internal: %s", "try_dests_non() called with invalid mode (0)"},
	{OtherKnown, "3.0+", "Internal hashtable error: %s", "illegal key supplied!"},
	{OtherKnown, "-2.6.9", "Internal error: wrong write used in receiver.", ""},
	{OtherKnown, "all", "io_printf() was too long for the buffer.", ""},
	{OtherKnown, "all", "invalid len passed to map_ptr: %s", "-1"},
	{OtherKnown, "all", "invalid read_size of %s in map_ptr", "-1"},
	{OtherKnown, "3.0+", "NOTE: Unable to create delete-delay temp file%s", "."},
	{OtherKnown, "3.0+", "--%s arg does not exist: %s", "link-dest"}, // main.c
	{OtherKnown, "3.0+", "--%s arg is not a dir: %s", "link-dest"},
	{OtherKnown, "all", `found ".." dir in relative path: %s`, "a/../b"}, // flist.c
	{OtherKnown, "3.0+", `*** Try using "--old-d" %s`, "if remote rsync is <= 2.6.3 ***"},
	{OtherKnown, "3.0-3.4.4", "select exception on fd %d", "5"}, // io.c: the transfer goes on
	{OtherKnown, "all", "ignoring --%s-batch option sent to server", "write"},
	{OtherKnown, "all", "Client is very old version of rsync, upgrade recommended.", ""},
	{OtherKnown, "3.0+", "iconv_open(%s) failed", `"x", "y"`}, // rsync.c
	{OtherKnown, "3.2+", "namecvt_call() request was too large.", ""},
	{OtherKnown, "3.5+", "invalid name-converter token: %s", "x y"},

	// What a client gets into the log with -v, --info and --debug, as far as max verbosity lets it; the client's own lines, too.
	{OtherKnown, "all", "sending incremental file list", ""},
	{OtherKnown, "all", "deleting %s", "in d"},
	{OtherKnown, "all", "delta-transmission %s", "enabled"},
	{OtherKnown, "all", "total: matches=%s", "0  hash_hits=0  false_alarms=0 data=0"},
	{OtherKnown, "all", "total size is %s", "75006  speedup is 1.00"},
	{OtherKnown, "all", "sent %s bytes/sec", "93 bytes  received 75,285 bytes  150,756.00"},
	{OtherKnown, "all", "received %d names", "5"},
	{OtherKnown, "all", "created directory %s", "d"},
	{OtherKnown, "3.2+", "created %s for %s", "2 directories"},
	{OtherKnown, "all", "backed up %s", "x to x~"},
	{OtherKnown, "all", "backup_dir is %s", "/b"},
	{OtherKnown, "all", "renaming %s to %s", "a"},
	{OtherKnown, "all", "finishing %s", "x"},
	{OtherKnown, "all", "removing duplicate name %s", "x from file list (1)"},
	{OtherKnown, "all", "make_backup: %s", "RENAME x successful."},
	{OtherKnown, "all", "fuzzy %s", "basis selected for x: y"},
	{OtherKnown, "all", "set modtime%s", " of x to (1) now"},
	{OtherKnown, "all", "set uid of %s", "x from 0 to 1"},
	{OtherKnown, "all", "set gid of %s", "x from 0 to 1"},
	{OtherKnown, "-3.0.9", "process has gid %s", "0"},
	{OtherKnown, "all", "uid %s) maps to %s", "0(root"},
	{OtherKnown, "all", "gid %s) maps to %s", "0(root"},
	{OtherKnown, "3.1+", "hlink for %s", "1 (x,0): virtual first"},
	{OtherKnown, "all", "recv mapped %s", "x of size 7"},
	{OtherKnown, "all", "gen mapped %s", "x of size 7"},
	{OtherKnown, "all", "recv_generator(%s", "x,1)"},
	{OtherKnown, "all", "recv_files%s", " finished"},
	{OtherKnown, "all", "recv_file_%s", "list done"},
	{OtherKnown, "all", "send_files%s", " mapped x of size 7"},
	{OtherKnown, "all", "send_file_list done", ""},
	{OtherKnown, "all", "send files finished", ""},
	{OtherKnown, "all", "sender finished %s", "x"},
	{OtherKnown, "all", "sender removed %s", "x"},
	{OtherKnown, "all", "get_local_name count=%s", "1 dst/"},
	{OtherKnown, "all", "server_recv(%s", "2) starting pid=9"},
	{OtherKnown, "all", "server_sender starting pid=%d", "9"},
	{OtherKnown, "all", "generator starting pid=%s", "9"},
	{OtherKnown, "all", "generate_files %s", "phase=1"},
	{OtherKnown, "all", "generating and sending sums for %d", "1"},
	{OtherKnown, "all", "calling match_sums %s", "x"},
	{OtherKnown, "all", "file list sent", ""},
	{OtherKnown, "all", "delete_%s", "in_dir(d)"},
	{OtherKnown, "3.0+", "touch_up_dirs: %s", "d (1)"},
	{OtherKnown, "all", "mknod(%s", "x, 0600, [1,2])"},
	{OtherKnown, "all", "chunk[%s", "0] of size 700 at 0 offset=0"},
	{OtherKnown, "all", "count=%s", "1 n=700 rem=7"},
	{OtherKnown, "all", "match at %s", "0 last_match=0 j=0 len=700 n=0"},
	{OtherKnown, "all", "potential match at %s", "0 i=0 sum=00000000"},
	{OtherKnown, "all", "hash search %s", "b=700 len=7"},
	{OtherKnown, "all", "built hash table", ""},
	{OtherKnown, "all", "done hash search", ""},
	{OtherKnown, "all", "offset=%s", "0 sum=00000000"},
	{OtherKnown, "all", "sum=%s", "00000000 k=7"},
	{OtherKnown, "all", "sending file_sum", ""},
	{OtherKnown, "all", "got file_sum", ""},
	{OtherKnown, "all", "data recv %s", "7 at 0"},
	{OtherKnown, "all", "false_alarms=%s", "0 hash_hits=0 matches=0"},
	{OtherKnown, "3.0+", "FILE_STRUCT_LEN=%s", "24, EXTRA_LEN=4"},
	{OtherKnown, "3.2+", "Client negotiated %s: %s", "checksum"},
	{OtherKnown, "3.2+", "Client %s list (on %s): %s", "checksum"},
	{OtherKnown, "3.2+", "Server %s list (on %s): %s", "compress"},
	{OtherKnown, "3.2+", "Server list:%s", " md5 md4"},
	{OtherKnown, "3.2+", "Client list:%s", " xxh128"},
	{OtherKnown, "3.2+", "Server%s checksum: %s", " negotiated"},
	{OtherKnown, "3.2+", "Server%s compress: %s", " negotiated"},
	{OtherKnown, "3.0-3.0.9", "server charset: %s", "UTF-8"},
	{OtherKnown, "3.1+", "msg checking %s", "charset: UTF-8"},
	{OtherKnown, "-3.0.9", "note: iconv_open(%s", `"x", "y") succeeded.`},
	{OtherKnown, "all", "copying unsafe symlink %s", `"l" -> "/etc"`},
	{OtherKnown, "3.1+", "sender file already removed: %s", "x"},
	{OtherKnown, "3.1+", "Created backup_dir %s", "/b"},
	{OtherKnown, "3.1+", "(new) backup_dir is %s", "/b"},
	{OtherKnown, "-2.6.9", "_exit_cleanup(%s", "code=0, file=main.c, line=1): entered"},
	{OtherKnown, "all", "(Server) Protocol versions: %s", "remote=32, negotiated=32"},
	{OtherKnown, "all", "rsync[%s) heap statistics:", "9] (server daemon sender"}, // main.c: show_malloc_stats
	{OtherKnown, "all", "  arena: %s", "    132   (x)"},
	{OtherKnown, "all", "  ordblks: %s", "    132   (x)"},
	{OtherKnown, "all", "  smblks: %s", "    132   (x)"},
	{OtherKnown, "all", "  hblks: %s", "    132   (x)"},
	{OtherKnown, "all", "  hblkhd: %s", "    132   (x)"},
	{OtherKnown, "all", "  allmem: %s", "    132   (x)"},
	{OtherKnown, "all", "  usmblks: %s", "    132   (x)"},
	{OtherKnown, "all", "  fsmblks: %s", "    132   (x)"},
	{OtherKnown, "all", "  uordblks: %s", "    132   (x)"},
	{OtherKnown, "all", "  fordblks: %s", "    132   (x)"},
	{OtherKnown, "all", "  keepcost: %s", "    132   (x)"},

	// Lines that begin with the process's role.
	{Timeout, "3.0+", "[ROLE] io timeout after %d seconds -- exiting", "3"},
	{Timeout, "3.5+", "[ROLE] daemon handshake timeout -- exiting", ""},
	{FileError, "3.0+", "[ROLE] cannot convert %s", "filename: x (Invalid argument)"},
	{Skipped, "3.0+", "[ROLE] skipping mount-point dir %s", "d"},
	{IOError, "3.5+", "[ROLE] file list has grown too large to expand", ""},
	{IOError, "3.0+", "[ROLE] Invalid dir index: %s", "9 (0 - 3)"},
	{IOError, "3.0+", "[ROLE] could not find xattr %s", "#1 for x"}, // xattrs.c
	{IOError, "3.0+", "[ROLE] internal abbrev error%s", " on x (user.x, len=7)!"},
	{OtherKnown, "all", "[ROLE] %s", "change_dir(/srv)"},

	// Whatever else begins with rsync's own words: options.c alone has dozens of them.
	{OtherKnown, "all", "rsync: %s", "internal error: x is wrong! (1 != 2)"},
	{OtherKnown, "all", "ERROR: %s", "out of memory in glob_expand [Receiver]"},
	{OtherKnown, "all", "WARNING: %s", "parent dir is absent in the file list: d"},
}
