package rsynclog

import (
	"bytes"
	"strings"
)

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
	{FileList, "all", "building file list", ""},  // flist.c: send_file_list
	{FileList, "all", "receiving file list", ""}, // flist.c: recv_file_list

	{MaxConnections, "all", "max connections (%d) reached", "1"}, // clientserver.c: rsync_module
	{SetupFailed, "all", "No path specified for module %s", "nopath"},
	{SetupFailed, "all", "Invalid uid %s", "no_such_user"},
	{SetupFailed, "all", "Invalid gid %s", "no_such_group"},
	{SetupFailed, "3.0+", "Invalid daemon uid: %s", "nobdy"},
	{SetupFailed, "3.0+", "Invalid daemon gid: %s", "nogrp"},
	{SetupFailed, "all", `This rsync does not support a gid of "*"`, ""},
	{SetupFailed, "all", `This rsync cannot add groups after "*".`, ""},
	{SetupFailed, "3.0+", "normalize_path(%s) failed", "/srv/x"},
	{SetupFailed, "all", "Symlink munging is %s directory exists.", "unsafe when a /rsyncd-munged/"},
	{SetupFailed, "-3.0.9", "rsync: chdir %s failed", "/srv/x"},       // the source has a line end before the reason
	{ExecFailed, "all", "pre-xfer exec returned failure (%s", "768)"}, // clientserver.c: finish_pre_exec
	{ExecFailed, "3.2+", "early exec returned failure (%s", "256)"},
	{ReadOnlyModule, "all", "ERROR: module is read only", ""}, // main.c: do_server_recv
	{ReadOnlyModule, "3.0+", "ERROR: --remove-%s-files cannot be used with a read-only module", "source"},
	{WriteOnlyModule, "all", "ERROR: module is write only", ""},
	{RefusedOption, "all", "rsync: The server is configured to refuse %s", "--delete"}, // options.c: create_refuse_error
	{RefusedOption, "all", "rsync: on remote machine: %s", "--bogus-option: unknown option"},
	{RefusedOption, "all", "rsync: Attempt to hack rsync thwarted!", ""},                // options.c: parse_arguments, --daemon sent to a daemon
	{RefusedOption, "all", "rsync: Your options have been rejected by the server.", ""}, // main.c: an excluded temporary or backup directory
	{RefusedOption, "3.0+", `ERROR: daemon has excluded destination "%s"`, "secret"},    // main.c: get_local_name

	{FileVanished, "all", "file has vanished: %s", `"/f1" (in data)`}, // flist.c: send_file_name
	{FileVanished, "3.0+", "directory has vanished: %s", `"/d" (in data)`},
	{MaxDelete, "all", "Deletions stopped due to --max-delete limit (%d skipped)", "3"}, // generator.c

	{Timeout, "-3.0.9", "io timeout after %d seconds -- exiting", "60"}, // io.c: check_timeout
	{Timeout, "3.2+", "stopping at requested limit", ""},                // code 30, too

	{IOError, "all", "rsync: connection unexpectedly closed (%s", "661 bytes received so far) [receiver]"}, // io.c: whine_about_eof
	{IOError, "all", "unexpected tag %s", "73 [sender]"},
	{IOError, "all", "invalid multi-message %s", "9:8 [sender]"},
	{IOError, "all", "invalid message %s", "9:8 [sender]"},
	{IOError, "-3.0.9", "unknown message %s", "9:8 [sender]"},
	{IOError, "all", "multiplexing overflow %s", "12:16777215 [sender]"},
	{IOError, "all", "protocol version mismatch -- is your shell clean?", ""}, // compat.c
	{IOError, "all", "--protocol must be %s", "at least 20 on the Receiver."},
	{IOError, "all", "over-long vstring received %s", "(9999 > 4096)"},
	{IOError, "all", "attempting to send over-long vstring %s", "(40000 > 32767)"},
	{IOError, "3.0+", "Overflow in read_var%s", "int()"},
	{IOError, "all", "overflow: %s", "xflags=0x9 l1=255 l2=70000 lastname=x [receiver]"}, // flist.c
	{IOError, "all", "Integer overflow: attempted 64-bit offset", ""},
	{IOError, "all", "Offset overflow: attempted 64-bit file-length", ""},
	{IOError, "3.2+", "Offset underflow: file-length is negative", ""},
	{IOError, "all", "Invalid file index: %s", "9 (0 - 3) [sender]"}, // rsync.c, io.c
	{IOError, "3.0+", "Invalid dir index: %s", "9 (0 - 3) [sender]"},
	{IOError, "all", "Invalid block %s", "length -1 [sender]"},
	{IOError, "all", "Invalid checksum %s", "count -1 [sender]"},
	{IOError, "all", "Invalid remainder length %s", "-1 [sender]"},
	{IOError, "3.5+", "Invalid zero block length %s", "[sender]"},
	{IOError, "all", "Invalid literal token %s", "with no data [receiver]"},
	{IOError, "all", "Invalid itemized flag word: %s", "8000 [sender]"},
	{IOError, "all", "Invalid packet at end of run %s", "[Receiver]"},
	{IOError, "all", "Invalid flist flag: %s", "ffff"},
	{IOError, "all", "Invalid xattr name received %s", "(missing trailing \\0)."},
	{IOError, "3.5+", "wire size %s out of range: %s", "blength"},
	{IOError, "3.5+", "wire value %s out of range: %s", "blength"},
	{IOError, "3.5+", "checksum count*blength overflows OFF_T %s", "[sender]"},
	{IOError, "all", "got a block match with no basis file for %s", "x [receiver]"},
	{IOError, "all", "got transfer request in phase 2 %s", "[sender]"},
	{IOError, "all", "received request to transfer non-regular file: %s", "3 [sender]"},
	{IOError, "3.0+", "File-list index %s not in %s", "9"},
	{IOError, "all", "decompressor lost sync!", ""}, // token.c
	{IOError, "all", "inflate %sreturned %s", ""},
	{IOError, "all", "inflate init failed", ""},
	{IOError, "all", "deflate %sreturned %s", ""},
	{IOError, "all", "uncompress failed: %s", "-3"},
	{IOError, "all", "compression init failed", ""},
	{IOError, "all", "compress returned %s", "-2"},
	{IOError, "3.2+", "ZSTD_%s", "createDStream failed"},
	{IOError, "3.2+", "ZSTD decomp returned %s", "-20 (12 bytes)"},
	{IOError, "all", "invalid token number in compressed stream", ""},
	{IOError, "all", "Impossible error in external-zlib code (%d).", "1"},
	{IOError, "3.1+", "error in perform_io: %s", "no fd for input."},
	{IOError, "3.1+", "need to read %s bytes, iobuf.in.buf is only %s bytes.", "9"},
	{IOError, "3.1+", "overflowed %s buffer in %s", "iobuf.msg"},
	{IOError, "all", "too many daemon arguments", ""},
	{IOError, "all", "receive_sums failed", ""},
	{IOError, "3.0+", "server_recv: recv_file_list error", ""},
	{IOError, "all", "hard-link reference out of range: %s", "9 (3)"},
	{IOError, "all", "invalid file mode %s", "0170000 for x [receiver]"},
	{IOError, "3.5+", "xattr %s [%s]", "list exceeds per-file limit"},
	{IOError, "all", "ABORTING due to %s", "unsafe pathname from sender: ../x"}, // flist.c
	{IOError, "3.2+", "ERROR: rejecting %s", "unrequested file-list name: x"},
	{FileError, "3.2+", "rsync: refusing malicious fuzzy operation for %s", "x"},
	{IOError, "3.2+", "rsync: refusing %s", "transfer of cleared file index 3"},

	{FileError, "all", "symlink has no referent: %s", `"/l" (in data)`}, // flist.c, code 23 from here to "could not make way"
	{FileError, "all", "skipping symlink with 0-length value: %s", `"/l" (in data)`},
	{FileError, "3.0+", "cannot send file with empty name in %s", `"/d" (in data)`},
	{FileError, "3.0+", "filename overflows max-path len by %s", "12: d/x"},
	{FileError, "all", "path too long: %s", "d/x"},
	{FileError, "all", "temporary filename too long: %s", "x"},
	{FileError, "all", "Time value of %s truncated on receiver.", "x"},
	{FileError, "3.2+", "Access time value of %s truncated on receiver.", "x"},
	{FileError, "3.2+", "Create time value of %s truncated on receiver.", "x"},
	{FileError, "3.0+", "uid 4294967295 (-1) is impossible to set on %s", `"/x" (in data)`},
	{FileError, "3.0+", "gid 4294967295 (-1) is impossible to set on %s", `"/x" (in data)`},
	{FileError, "all", "could not make way for %s", "new regular file: x"},
	{FileError, "all", "recv_files: %s is a directory", `"/x" (in data)`},
	{FileError, "3.0+", "failed to re-read xattr %s for %s", "user.x"},
	{FileError, "3.1+", "no ftruncate for over-long pre-alloc: %s", "x"},
	{FileError, "3.0+", "ERROR: Skipping sender remove %s", "of destination file: x"},
	{FileError, "3.0+", "ERROR: daemon refused to receive %s", `file "x"`}, // generator.c: FERROR_XFER, the transfer goes on

	{ListenerError, "all", "unable to bind any inbound sockets on port %d", "873"}, // socket.c
	{ListenerError, "3.0+", "bind() failed: %s", "Address already in use (address-family 2)"},
	{ListenerError, "3.0+", "socket(%s) failed: %s", "10,1,6"},
	{ListenerError, "all", "open inbound socket%s", ": Address family not supported by protocol"},
	{ListenerError, "all", "Try using --ipv4 or --ipv6 to avoid this listen() error.", ""},
	{ListenerError, "all", "rsync: getaddrinfo%s", ": bind address x: Name or service not known"},
	{ListenerError, "all", "Unknown socket option %s", "X"},
	{ListenerError, "all", "syntax error -- %s does not take a value", "X"},
	{ListenerError, "3.2+", "failed to %s pid file %s: %s", "create"}, // clientserver.c: create_pid_file
	{ListenerError, "3.5+", "pid file path is too long: %s", "/run/x"},
	{ListenerError, "3.0+", `Ignoring "log file" setting.`, ""}, // log.c
	{ListenerError, "all", "rsync: %s (in daemon mode)", "--x: unknown option"},
	{ListenerError, "all", "Daemon option(s) used without --daemon.", ""},

	{ConfigWarning, "all", `Unknown Parameter encountered: "%s"`, "bogus param"}, // loadparm.c
	{ConfigWarning, "all", `IGNORING unknown parameter "%s"`, "bogus param"},
	{ConfigWarning, "all", `Unknown parameter "%s"`, "x"},
	{ConfigWarning, "all", "Global parameter %s section!", "port found in module"},
	{ConfigWarning, "all", `Badly formed boolean in configuration file: "%s".`, "perhaps"},
	{ConfigWarning, "all", "Warning: invalid section name in configuration file: %s", "x"},
	{ConfigWarning, "all", "Failed to add a new %s", "module"},
	{ConfigWarning, "3.2+", "Overflowed buf in expand_vars() %s", "trying to expand: %X%"},
	{ConfigWarning, "3.5+", "refusing to run shell hook: %s", "%RSYNC_REQUEST% holds a shell metacharacter"},
	{ConfigWarning, "all", "Invalid value %s", `"x" for parameter`},
	{ConfigWarning, "3.0+", `Invalid "%s`, `incoming chmod" directive: x`}, // clientserver.c
	{ConfigWarning, "all", "params.c:%s", "pm_process() - Failed.  Error returned from params.c:parse()."},
	{ConfigWarning, "3.0+", "Unknown directive: %s.", "&x"},
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
	{NameLookup, "all", "unknown family %d", "9"}, // access.c

	{SecretsFile, "all", "secrets file must %s", "not be other-accessible (see strict modes option)"}, // authenticate.c
	{SecretsFile, "-3.0.9", "continuing without secrets file", ""},
	{SecretsFile, "3.1+", "your computer doesn't support getgrouplist()%s", ", so no @group authorization is possible."},

	{Skipped, "all", "skipping %s", `non-regular file "x"`}, // generator.c, flist.c
	{Skipped, "3.2+", "skipped diminished file: %s", `"/x" (in data)`},
	{Skipped, "all", "cannot delete non-empty directory: %s", "d"},
	{Skipped, "3.0+", "cannot delete mount point: %s", "d"},
	{Skipped, "3.0+", "mount point, %s, pins parent directory", "d"},
	{Skipped, "all", "cannot send long-named file %s", "x"},
	{Skipped, "all", "IO error encountered -- skipping file deletion", ""},
	{Skipped, "all", "*** Skipping %s this failed directory ***", "any contents from"},
	{Skipped, "all", "ignoring unsafe symlink %s", `"l" -> "/etc"`},
	{Skipped, "3.0+", "not backing up %s", `unsafe symlink "l" -> "/etc"`},
	{Skipped, "3.0+", "not creating new %s", `file "x"`},
	{Skipped, "all", "make_bak: skipping non-regular file %s", "x"},

	{OtherKnown, "all", "(see the rsync man%s", "page for an explanation)"}, // compat.c
	{OtherKnown, "all", "out of memory%s", " at main.c(12)"},
	{OtherKnown, "all", "buffer overflow expanding %%%s -- exiting", "f"}, // log.c
	{OtherKnown, "3.2+", "out of file descriptors resolving a deep path; %s", "raise the open-file limit"},
	{OtherKnown, "all", "attempt to hack rsync failed.", ""},
	{OtherKnown, "3.2+", "gen_challenge: %s", "/dev/urandom unavailable, falling back to time-based challenge"},
	{OtherKnown, "all", "Your options have been rejected by the server.", ""},
	{OtherKnown, "3.0+", "default_perms_for_dir: %s", "unpack_smb_acl failed, falling back on umask"},

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
	{OtherKnown, "all", "process has gid %s", "0"},
	{OtherKnown, "all", "uid %s) maps to %s", "0(root"},
	{OtherKnown, "all", "gid %s) maps to %s", "0(root"},
	{OtherKnown, "all", "hlink for %s", "1 (x,0): virtual first"},
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
	{OtherKnown, "all", "server_recv(%s", "2) starting pid=9"},
	{OtherKnown, "all", "server_sender starting pid=%d", "9"},
	{OtherKnown, "all", "generator starting pid=%s", "9"},
	{OtherKnown, "all", "generate_files %s", "phase=1"},
	{OtherKnown, "all", "generating and sending sums for %d", "1"},
	{OtherKnown, "all", "calling match_sums %s", "x"},
	{OtherKnown, "all", "file list sent", ""},
	{OtherKnown, "all", "delete_%s", "in_dir(d)"},
	{OtherKnown, "all", "touch_up_dirs: %s", "d (1)"},
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
	{OtherKnown, "all", "_exit_cleanup(%s", "code=0, file=main.c, line=1): entered"},
	{OtherKnown, "all", "(Receiver) Protocol versions: %s", "remote=32, negotiated=32"},
	{OtherKnown, "all", "(server) Protocol versions: %s", "remote=32, negotiated=32"},

	// Lines that begin with the process's role.
	{Timeout, "3.1+", "[ROLE] io timeout after %d seconds -- exiting", "3"},
	{Timeout, "3.5+", "[ROLE] daemon handshake timeout -- exiting", ""},
	{FileError, "3.0+", "[ROLE] cannot convert %s", "filename: x (Invalid argument)"},
	{Skipped, "3.0+", "[ROLE] skipping mount-point dir %s", "d"},
	{IOError, "3.0+", "[ROLE] file list has grown too large to expand", ""},
	{IOError, "3.0+", "[ROLE] Invalid dir index: %s", "9 (0 - 3)"},
	{OtherKnown, "3.0+", "[ROLE] %s", "change_dir(/srv)"},

	// Whatever else begins with rsync's own words: options.c alone has dozens of them.
	{OtherKnown, "all", "rsync: %s", "-o: unknown"},
	{OtherKnown, "all", "ERROR: %s", "out of memory in glob_expand [Receiver]"},
	{OtherKnown, "all", "WARNING: %s", "parent dir is absent in the file list: d"},
}

// A plainMatcher is a plainLine's form, cut at its verbs.
type plainMatcher struct {
	kind   Kind
	parts  [][]byte // literals; any text is between them
	digits bool     // the text between is digits
}

// plainIndex holds the matchers by the first byte of their lines, or of what follows "[ROLE] ".
type plainIndex [256][]plainMatcher

var (
	plainMatchers = indexPlain(func(l plainLine) bool { return l.kind != OtherKnown && !hasRole(l) })
	otherMatchers = indexPlain(func(l plainLine) bool { return l.kind == OtherKnown && !hasRole(l) })
	roleMatchers  = indexPlain(hasRole)
)

const roleMark = "[ROLE] "

func hasRole(l plainLine) bool { return strings.HasPrefix(l.form, roleMark) }

func indexPlain(wanted func(plainLine) bool) *plainIndex {
	var index plainIndex
	for _, l := range plainLines {
		if !wanted(l) {
			continue
		}
		m := plainMatcher{kind: l.kind, digits: strings.Contains(l.form, "%d")}
		form := strings.ReplaceAll(strings.TrimPrefix(l.form, roleMark), "%d", "%s")
		for _, part := range strings.Split(form, "%s") {
			m.parts = append(m.parts, []byte(strings.ReplaceAll(part, "%%", "%")))
		}
		if form == "%s" { // whatever follows a role
			for c := range index {
				index[c] = append(index[c], m)
			}
			continue
		}
		index[form[0]] = append(index[form[0]], m)
	}
	return &index
}

func (x *plainIndex) find(s []byte) *plainMatcher {
	if len(s) == 0 {
		return nil
	}
	matchers := x[s[0]]
	for i := range matchers {
		if matchers[i].match(s) {
			return &matchers[i]
		}
	}
	return nil
}

func (m *plainMatcher) match(s []byte) bool {
	first, last := m.parts[0], m.parts[len(m.parts)-1]
	if !bytes.HasPrefix(s, first) {
		return false
	}
	if len(m.parts) == 1 {
		return len(s) == len(first)
	}
	s = s[len(first):]
	if !bytes.HasSuffix(s, last) {
		return false
	}
	s = s[:len(s)-len(last)]
	if m.digits {
		return allDigits(s)
	}
	for _, part := range m.parts[1 : len(m.parts)-1] {
		i := bytes.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

// parsePlain reads plainLines other than those of OtherKnown.
func parsePlain(text []byte, ev *Event) bool {
	if m := plainMatchers.find(text); m != nil {
		ev.Kind, ev.Reason = m.kind, plainReason(m.kind)
		return true
	}
	role, rest, ok := cutRole(text)
	if !ok {
		return false
	}
	m := roleMatchers.find(rest)
	if m == nil {
		return false
	}
	if ev.Kind = m.kind; m.kind == FileError {
		ev.Role = role
	}
	return true
}

// cutRole cuts "[ROLE] " off the front.
func cutRole(text []byte) (role, rest []byte, ok bool) {
	if text[0] != '[' {
		return nil, nil, false
	}
	n := bytes.IndexByte(text, ']')
	if n < 0 || n+1 >= len(text) || text[n+1] != ' ' {
		return nil, nil, false
	}
	switch string(text[1:n]) { // rsync.c: who_am_i
	case "sender", "receiver", "generator", "Receiver", "server", "client":
		return text[1:n], text[n+2:], true
	}
	return nil, nil, false
}

func plainReason(k Kind) Reason {
	switch k {
	case MaxConnections:
		return ReasonMaxConnections
	case ReadOnlyModule:
		return ReasonReadOnly
	case WriteOnlyModule:
		return ReasonWriteOnly
	case RefusedOption:
		return ReasonRefusedOption
	case SetupFailed, ExecFailed:
		return OtherReason
	}
	return NoReason
}

// parseOther reads the plainLines of OtherKnown.
func parseOther(text []byte, ev *Event) bool {
	if otherMatchers.find(text) == nil {
		return false
	}
	ev.Kind = OtherKnown
	return true
}

// verboseTails end the lines that begin with a file's name (generator.c, at a client's -v).
var verboseTails = [...]string{" is uptodate", " is newer", " is over max-size", " is under min-size"}

// parseVerbose reads lines of which only the end is rsync's own.
func parseVerbose(text []byte, ev *Event) bool {
	for _, tail := range verboseTails {
		if hasSuffix(text, tail) {
			ev.Kind = OtherKnown
			return true
		}
	}
	return false
}
