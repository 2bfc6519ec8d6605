package rsynclog

// A row is one sort of line.
//
// Its template has the line's own words, with verbs in braces between them (see verbs). Some keep
// what they stand for in the Event: {module}, {path}. Others only have to be there: {any} is any
// text, {some} any but an empty one, {digits} a number. {a|b} is the word a or the word b. "{host}
// ({addr})" is one unit, and so is "[{user}@]{host} ({addr})", whose user may be missing. {error}
// is ": STRERROR (ERRNO)". "rsync: [{role}] " also fits lines without the role, as rsync wrote them
// before 3.2.0. {cut} at the end asks for a line so long that rsync may have cut it.
//
// A client's text ({request}, {path}, {user} …) may hold the rest of such a line. So what stands
// before it is read from the left, and what stands behind it from the right.
type row struct {
	kind     Kind
	template string
}

func keepCode(ev *Event, n uint64)    { ev.Code = int16(n) }
func keepErrno(ev *Event, n uint64)   { ev.Errno = int16(n) }
func keepVersion(ev *Event, s []byte) { ev.Version = s }

// verbs are what the rows of the table may have between their words. Which side a text is read from
// depends on whether it is the client's; see pattern.
var verbs = map[string]field{
	// Texts, of the daemon's configuration or its own, and of the client.
	"any":     {shape: config},
	"some":    {shape: config, least: 1},
	"module":  {shape: config, least: 1, keeps: func(ev *Event, s []byte) { ev.Module = s }},
	"client":  {shape: client},
	"reason":  {shape: client, least: 1},
	"asked":   {shape: client, keeps: func(ev *Event, s []byte) { ev.Module = s }}, // a module that isn't there
	"request": {shape: client, keeps: func(ev *Event, s []byte) { ev.Request = s }},
	"user":    {shape: client, keeps: func(ev *Event, s []byte) { ev.User = s }},
	"path":    {shape: client, keeps: func(ev *Event, s []byte) { ev.Path = s }},
	"failure": {shape: client, must: isFailure, keeps: func(ev *Event, s []byte) { ev.Path = quoted(s) }},

	// Words and addresses.
	"peer":        {shape: peer},
	"user peer":   {shape: peer, user: true},
	"addr":        {shape: address, bytes: inAddress, least: 1},
	"bare":        {shape: exactAddress, bytes: inAddress, least: 1, keeps: func(ev *Event, s []byte) { ev.Addr = s }},
	"login":       {shape: word, bytes: inWord, keeps: func(ev *Event, s []byte) { ev.User = s }},
	"unbracketed": {shape: word, bytes: inBracket},
	"word":        {shape: word, bytes: inWord, least: 1},
	"file":        {shape: word, bytes: inFile, least: 1},
	"role":        {shape: word, bytes: inLetters, least: 1, keeps: func(ev *Event, s []byte) { ev.Role = s }},
	"version":     {shape: word, bytes: inVersion, least: 1, keeps: keepVersion},
	"release":     {shape: word, bytes: inWord, least: 1, keeps: keepVersion},

	// Numbers.
	"digits":   {shape: word, bytes: inDigits, least: 1},
	"code":     {shape: word, bytes: inDigits, least: 1, most: 3, counts: keepCode},
	"errno":    {shape: word, bytes: inDigits, least: 1, most: 4, counts: keepErrno},
	"lost":     {shape: count, bytes: inDigits, least: 1, counts: func(ev *Event, n uint64) { ev.Lost = n }},
	"sent":     {shape: total, counts: func(ev *Event, n uint64) { ev.Sent = n }},
	"received": {shape: total, counts: func(ev *Event, n uint64) { ev.Received = n }},
	"total":    {shape: total, counts: func(ev *Event, n uint64) { ev.Total = n }},
}

// A rank says when a row is tried. A log format other than the default comes between them: with a
// format such as "%f %l" almost any line could be a transfer.
type rank uint8

const (
	ownLine     rank = iota // begins with the daemon's own words: before any log format
	debugLine               // OtherKnown: after a log format that asks for more than free text
	namedLine               // begins with a file's name: after any log format
	foreignLine             // not as rsync writes it: after all others
	numRanks
)

// rows are the lines of rsync daemons from 2.6.9 to 3.5.0, each with its place in rsync's source.
// They are tried in this order, and the first that fits decides. Each has an example in
// testdata/lines.tsv.
var rows = [numRanks][]row{
	ownLine: {
		{Summary, "sent {sent} bytes  received {received} bytes  total size {total}"}, // log.c: log_exit
		{Summary, "wrote {sent} bytes  read {received} bytes  total size {total}"},    // before 2.6.4
		{Connect, "connect from {host} ({addr})"},                                     // clientserver.c from here
		{Allowed, "rsync allowed access on module {module} from {host} ({addr})"},
		{Denied, "rsync denied on module {module} from {host} ({addr})"},
		{Start, "rsync {on|to} {request}{cut}"},
		{Start, "rsync {on|to} {request} from [{user}@]{host} ({addr})"},
		{ModuleList, "module-list request from {host} ({addr})"},
		{UnknownModule, "unknown module '{asked}' tried from {host} ({addr})"},
		{ProxyRejected, "proxy protocol rejected from untrusted peer {host} ({addr})"},
		{DaemonStart, "rsyncd version {release} starting, listening on port {digits}"},
		{ExitError, "rsync error: {some} (code {code}) at {file}({digits}) [{role}={version}]"}, // log.c: log_exit
		{ExitError, "rsync error: {some} (code {code}) at {file}({digits})"},                    // before 2.6.4
		{ExitWarning, "rsync warning: {some} (code {code}) at {file}({digits}) [{role}={version}]"},
		{ExitWarning, "rsync warning: {some} (code {code}) at {file}({digits})"},

		// authenticate.c: auth_server. The user is the client's text; see shortestModule.
		{AuthFailed, "auth failed on module {module} from {host} ({addr}) for {client}{cut}"},
		{AuthFailed, "auth failed on module {module} from {host} ({addr}) for {user}: {some}"},
		{AuthFailed, `auth failed on module {module} from {host} ({addr}): missing secret for user "{user}"`},
		{AuthFailed, "auth failed on module {module} from {host} ({addr}): {reason}"},
		{AuthFailed, "auth failed on module {module} from {host} ({addr})"}, // before 2.6.5

		{VerifyFailed, "WARNING: {path} failed verification -- update {any}."}, // receiver.c: recv_files
		{FileError, "ERROR: {path} failed verification -- update {any}."},

		// What forwarders say of messages that they dropped, or folded until nobody can read them.
		{LostUpstream, "imuxsock lost {lost} messages from pid {any}"}, // rsyslog before 7
		// rsyslog's ratelimit.c: tellLostCnt
		{LostUpstream, "im{any}: {lost} messages lost due to rate-limiting ({unbracketed})"},
		{LostUpstream, "im{any}: {lost} messages lost due to rate-limiting"},
		{LostUpstream, "Suppressed {lost} messages from {some}"}, // journald-manager.c
		{LostUpstream, "last message repeated {lost} times"},     // BSD's syslogd
		{LostUpstream, "last message repeated 1 time"},
		{LostUpstream, "Last message '{any}' repeated {lost} times, suppressed by syslog-ng on {word}"},

		// log.c: rsyserr
		{FileError, "rsync: [{role}] {client}{cut}"}, // nothing but a file's name makes a line so long
		// generator.c: recv_generator can't read an old file; the new one is then sent whole. Only
		// 2.6.9 exits with 23 for it.
		{OtherKnown, "rsync: [{role}] failed to open {any}, continuing{error}"},
		{IOError, "rsync: [{role}] {write|read} error{error}"}, // io.c
		{IOError, "rsync: [{role}] {safe_read|safe_write|writefd_unbuffered} {any}{error}"},
		{IOError, "rsync: [{role}] perform_io{error}"},
		{OtherKnown, "rsync: [{role}] select exception on fd {any}{error}"},
		{IOError, "rsync: [{role}] unexpected error from iconv(){any}{error}"},         // rsync.c
		{IOError, "rsync: [{role}] getpeername on fd{any}{error}"},                     // clientname.c
		{IOError, "rsync: [{role}] {waitpid|pipe|fork failed in do_recv}{any}{error}"}, // main.c, pipe.c
		{IOError, "rsync: [{role}] fork{error}"},
		{IOError, "rsync: [{role}] Failed to {dup/close|exec |close}{any}{error}"},

		{OtherKnown, "rsync: [{role}] do_fallocate {any}{error}"}, // receiver.c: a warning, the file is written
		{OtherKnown, "rsync: [{role}] copy_file {any}{error}"},    // generator.c: the file is then transferred

		{SetupFailed, `rsync: [{role}] {chroot|chdir}{ |("}{any}{error}`}, // clientserver.c: rsync_module
		{SetupFailed, "rsync: [{role}] daemon {chroot|chdir}{any}{error}"},
		{SetupFailed, "rsync: [{role}] {setgid|setuid} {any}{error}"},
		{SetupFailed, "rsync: [{role}] {setgroups|initgroups|getgrouplist|getpwuid} failed{any}{error}"},
		{SetupFailed, "rsync: [{role}] fork failed{error}"},
		{SetupFailed, "rsync: [{role}] failed to open {exclude|include|lock} file {any}{error}"}, // exclude.c, too
		{SetupFailed, "rsync: [{role}] Unable to set {any}{error}"},
		{ExecFailed, "rsync: [{role}] {early|pre-xfer|name-converter} exec {any}{error}"},

		{ListenerError, "rsync: [{role}] failed to {create pid file|open pid-file directory} {any}{error}"},
		{ListenerError, "rsync: [{role}] failed to open log-file {any}{error}"},              // log.c
		{ListenerError, "rsync: [{role}] could not create child server process{any}{error}"}, // socket.c from here
		{ListenerError, "rsync: [{role}] {listen() on socket failed|open inbound socket}{any}{error}"},
		{ListenerError, "rsync: [{role}] failed to set socket option {any}{error}"},
		{ConfigWarning, "rsync: [{role}] unable to {open|stat} config{any}{error}"}, // params.c
		{SecretsFile, "rsync: [{role}] {fstat|stat}({any}{error}"},                  // authenticate.c
		{FileError, "rsync: [{role}] {failure} ({errno})"},

		{FileList, "{building|receiving} file list"}, // flist.c: send_file_list, recv_file_list

		{MaxConnections, "max connections ({digits}) reached"},  // clientserver.c: rsync_module
		{SetupFailed, "failed to open lock file {any} : {any}"}, // before 2.6.3
		{SetupFailed, "No path specified for module {any}"},     // 3.0+
		{SetupFailed, "Invalid {uid|gid|daemon uid:|daemon gid:} {any}"},
		{SetupFailed, `This rsync does not support a gid of "*"`},
		{SetupFailed, `This rsync cannot add groups after "*".`},
		{SetupFailed, "Too many groups specified via gid parameter."},
		{SetupFailed, "normalize_path({any}) failed"},
		{SetupFailed, "Symlink munging is {any} directory exists."},
		{SetupFailed, "rsync: chdir {any} failed"},                    // the source has a line end before the reason
		{ExecFailed, "{pre-xfer|early} exec returned failure ({any}"}, // clientserver.c: finish_pre_exec
		{ReadOnlyModule, "ERROR: module is read only"},                // main.c: do_server_recv
		{ReadOnlyModule, "ERROR: --remove-{any}-files cannot be used with a read-only module"},
		{WriteOnlyModule, "ERROR: module is write only"},
		{RefusedOption, "rsync: The server is configured to refuse {any}"}, // options.c: create_refuse_error
		{RefusedOption, "rsync: on remote machine: {any}"},
		{RefusedOption, "{|rsync: }Your options have been rejected by the server."}, // main.c: an excluded directory
		{RefusedOption, "rsync: Attempt to hack rsync thwarted!"},                   // options.c from here: --daemon
		{RefusedOption, "rsync: {hard links|symlinks} are not supported on this {any}"},
		{RefusedOption, "rsync: This rsync lacks {any}"},
		{RefusedOption, "rsync: The server does not support {any}"},
		{RefusedOption, "rsync: the --{any} path is WAY too long."},
		{RefusedOption, "rsync: the batch-file name must be {any}"},
		{RefusedOption, "rsync: You may not {any}"},
		{RefusedOption, "rsync: You can only specify {any} once."},
		{RefusedOption, "rsync: Invalid argument passed to --chmod {any}"},
		{RefusedOption, "rsync: {Invalid --|invalid --stop-}{any}"},
		{RefusedOption, "rsync: max-alloc must be {any}"},
		{RefusedOption, "rsync: The --files-from sent to the server {any}"},
		{RefusedOption, "rsync: Remote option must start with a dash: {any}"},
		{RefusedOption, "rsync: Error parsing options: {any}"},
		{RefusedOption, "rsync: ERROR: {any}"},
		{ListenerError, "rsync: {any} (in daemon mode)"},
		{RefusedOption, "rsync: --{any}"},
		{RefusedOption, "Your --{any}-choice value ({any}) was refused by the server."}, // compat.c
		{RefusedOption, "unknown {checksum|compress} name: {any}"},                      // checksum.c, compat.c
		{RefusedOption, "{Invalid|invalid} checksum-choice for {any}"},
		{RefusedOption, "preallocation is not supported on this {any}"},
		{RefusedOption, "{--fuzzy|--prune-empty-dirs|--acls|--xattrs} requires protocol {any}"},
		{RefusedOption, "--{any} with --inplace requires protocol {any}"},
		{RefusedOption, "Using more than one {any} option requires protocol {any}"},
		{RefusedOption, "{No colon found in|No name found after colon|Invalid number in} --{any}map: {any}"},
		{RefusedOption, "Invalid ID number: {any}"},
		{RefusedOption, "Unknown --{any} item: {any}"}, // options.c
		{RefusedOption, "Invalid copy-as {any}: {any}"},
		{RefusedOption, `{skipping daemon-excluded|ERROR: daemon has excluded} destination "{any}"`}, // main.c

		{FileVanished, "{file|directory} has vanished: {any}"},                        // flist.c: send_file_name
		{MaxDelete, "Deletions stopped due to --max-delete limit ({digits} skipped)"}, // generator.c
		{Timeout, "io timeout after {digits} seconds -- exiting"},                     // io.c: check_timeout
		{Timeout, "stopping at requested limit"},                                      // code 30, too

		{IOError, "rsync: connection unexpectedly closed ({any}"}, // io.c: whine_about_eof
		{IOError, "unexpected tag {any}"},
		{IOError, "invalid multi-message {any}"},
		{IOError, "{invalid|unknown} message {any}"},
		{IOError, "multiplexing overflow {any}"},
		{IOError, "protocol version mismatch -- is your shell clean?"}, // compat.c
		{IOError, "Failed to negotiate a {any}"},
		{IOError, "Remote rsync is too old for {any} negotiation"},
		{IOError, "--protocol must be {any}"},
		{IOError, "{over-long vstring received|attempting to send over-long vstring} {any}"},
		{IOError, "Overflow in read_var{any}"},
		{IOError, "overflow: {any}"}, // flist.c
		{IOError, "Integer overflow: attempted 64-bit offset"},
		{IOError, "Offset {overflow: attempted 64-bit file-length|underflow: file-length is negative}"},
		{IOError, "Invalid {file index|dir index|itemized flag word|flist flag}: {any}"}, // rsync.c, io.c
		{IOError, "Invalid {block|checksum|remainder length|zero block length} {any}"},
		{IOError, "Invalid {literal token|packet at end of run} {any}"},
		{IOError, "Invalid xattr name received {any}"},
		{IOError, "wire {size|value} {any} out of range: {any}"},
		{IOError, "checksum count*blength overflows OFF_T {any}"},
		{IOError, "got a block match with no basis file for {any}"},
		{IOError, "got transfer request in phase 2 {any}"},
		{IOError, "received request to transfer non-regular file: {any}"},
		{IOError, "File-list index {any} not in {any}"},
		{IOError, "decompressor lost sync!"}, // token.c
		{IOError, "{inflate|deflate} {any}returned {any}"},
		{IOError, "{inflate|compression} init failed"},
		{IOError, "uncompress failed: {any}"},
		{IOError, "compress returned {any}"},
		{IOError, "ZSTD_{any}"},
		{IOError, "ZSTD decomp returned {any}"},
		{IOError, "invalid token number in compressed stream"},
		{IOError, "invalid uncompressed token length {any}"},
		{IOError, "Impossible error in external-zlib code ({digits})."},
		{IOError, "error in perform_io: {any}"},
		{IOError, "need to read {any} bytes, iobuf.in.buf is only {any} bytes."},
		{IOError, "overflowed {any} buffer in {any}"},
		{IOError, "too many daemon arguments"},
		{IOError, "receive_sums failed"},
		{IOError, "server_recv: recv_file_list error"},
		{IOError, "hard-link reference out of range: {any}"},
		{IOError, "hard-link gnum {any} precedes flist start {any}"}, // hlink.c
		{IOError, "Unable to find a hlink node for {any}"},
		{IOError, "Hlink node data for {any}"},
		{IOError, "recv_acl_{any}"},                           // acls.c
		{IOError, "recv_xattr_request: internal data error!"}, // xattrs.c
		{IOError, "receive_xattr: xa index {any}"},
		{IOError, "FATAL I/O ERROR: {any}"},
		{IOError, "invalid basis_dir index: {any}"}, // receiver.c
		{IOError, "attempt to hack rsync failed."},
		{IOError, "attempt to copy device contents without --copy-devices"}, // sender.c
		{IOError, "INTERNAL ERROR: unable to find flist for item {digits}"},
		{IOError, "Connection to name-converter failed."},
		{IOError, "filter rules are too modern for remote rsync."},
		{IOError, "invalid file mode {any}"},
		{IOError, "xattr {any} [{any}]"},
		{IOError, "ABORTING due to {any}"}, // flist.c
		{IOError, "ERROR: rejecting {any}"},
		{FileError, "rsync: refusing malicious fuzzy operation for {any}"},
		{IOError, "rsync: refusing {any}"},

		{FileError, "symlink has no referent: {any}"}, // flist.c, code 23 from here to "could not make way"
		{FileError, "skipping symlink with 0-length value: {any}"},
		{FileError, "cannot send file with empty name in {any}"},
		{FileError, "filename overflows max-path len by {any}"},
		{FileError, "path too long: {any}"},
		{FileError, "temporary filename too long: {any}"},
		{FileError, "{Time|Access time|Create time} value of {any} truncated on receiver."},
		{FileError, "{uid|gid} 4294967295 (-1) is impossible to set on {any}"},
		{FileError, "could not make way for {any}"},
		{FileError, "recv_files: {any} is a directory"},
		{FileError, "failed to re-read xattr {any} for {any}"},
		{FileError, "no ftruncate for over-long pre-alloc: {any}"},
		{FileError, "ERROR: Skipping sender remove {any}"},
		{FileError, "skipping daemon-excluded {any}"},
		{FileError, "ERROR: daemon refused to receive {any}"},   // generator.c: FERROR_XFER, the transfer goes on
		{FileError, "The backup-dir is not a directory: {any}"}, // main.c
		{FileError, "Failed to stat {any}: {any}"},
		{FileError, "Unable to create partial-dir for {any} -- discarding {any}."},
		{FileError, "backup filename too long"},
		{FileError, "get_xattr_data: lgetxattr({any}) returned {any}"},
		{FileError, "Missing abbreviated xattr value, {any}, for {any}"},
		{FileError, "Corrupt {any} xattr attached to {any}"},
		{FileError, "pack_smb_acl: {any}"},
		{FileError, "failed to open {any}clude file {any}"}, // exclude.c
		{FileError, "cannot add local filter rules in long-named directory: {any}"},
		{FileError, "rsync: failed to open files-from file {any}"}, // options.c

		{ListenerError, "unable to bind any inbound sockets on port {digits}"}, // socket.c
		{ListenerError, "bind() failed: {any}"},
		{ListenerError, "socket({any}) failed: {any}"},
		{ListenerError, "open inbound socket{any}"},
		{ListenerError, "Try using --ipv4 or --ipv6 to avoid this listen() error."},
		{ListenerError, "rsync: getaddrinfo{any}"},
		{ListenerError, "Unknown socket option {any}"},
		{ListenerError, "syntax error -- {any} does not take a value"},
		{ListenerError, "failed to {any} pid file {any}: {any}"}, // clientserver.c: create_pid_file
		{ListenerError, "pid file path is too long: {any}"},
		{ListenerError, `Ignoring "log file" setting.`}, // log.c
		{ListenerError, "Daemon option(s) used without --daemon."},
		{ListenerError, `(Type "rsync --daemon --help" for assistance with daemon mode.)`},

		{ConfigWarning, `Unknown {Parameter encountered:|parameter} "{any}"`}, // loadparm.c
		{ConfigWarning, `IGNORING unknown parameter "{any}"`},
		{ConfigWarning, "Global parameter {any} section!"},
		{ConfigWarning, `Badly formed boolean in configuration file: "{any}".`},
		{ConfigWarning, "Warning: invalid section name in configuration file: {any}"},
		{ConfigWarning, "Failed to add a new {any}"},
		{ConfigWarning, "Overflowed buf in expand_vars() {any}"},
		{ConfigWarning, "refusing to run shell hook: {any}"},
		{ConfigWarning, "Invalid value {any}"},
		{ConfigWarning, `Invalid "{any}`}, // clientserver.c
		{ConfigWarning, "params.c:{any}"},
		{ConfigWarning, "Unknown directive: {any}."},
		{ConfigWarning, `No match for refuse-options string "{any}"`}, // options.c
		{ConfigWarning, "chroot test failed: {any}. Switching 'use chroot' from unset to false."},
		{ConfigWarning, "the 'temp dir' value for {any} is WAY too long -- ignoring."},
		{ConfigWarning, `"proxy protocol = true" but "proxy protocol hosts" is unset: {any}`},
		{ConfigWarning, "log-format string is WAY too long!"},               // log.c
		{ConfigWarning, "{error matching address|malformed mask in} {any}"}, // access.c

		{NameLookup, "{name lookup failed|forward name lookup} for {any}"}, // clientname.c
		{NameLookup, `no known address for "{any}": spoofed address?`},
		{NameLookup, `{addr} is not a known address for "{any}": spoofed address?`},
		{NameLookup, "malformed address {any}"},
		{NameLookup, "compare_addrinfo_sockaddr: {any}"},
		{NameLookup, "unknown family {digits}"}, // access.c

		{SecretsFile, "secrets file must {any}"}, // authenticate.c
		{SecretsFile, "continuing without secrets file"},
		{SecretsFile, "your computer doesn't support getgrouplist(){any}"},

		{Skipped, "{skipping |skipped diminished file: }{any}"}, // generator.c, flist.c
		{Skipped, "cannot delete {non-empty directory|mount point}: {any}"},
		{Skipped, "mount point, {any}, pins parent directory"},
		{Skipped, "cannot send long-named file {any}"},
		{DeletionSkipped, "IO error encountered -- skipping file deletion"}, // generator.c: delete_in_dir
		{Skipped, "*** Skipping {any} this failed directory ***"},
		{Skipped, "{ignoring unsafe symlink|not backing up|not creating new} {any}"},
		{Skipped, "do_chmod: no symlink-safe chmod for {any}"},
		{Skipped, "make_bak: skipping non-regular file {any}"},

		// Lines that begin with the process's role.
		{Timeout, "[{role}] io timeout after {digits} seconds -- exiting"},
		{Timeout, "[{role}] daemon handshake timeout -- exiting"},
		{FileError, "[{role}] cannot convert {any}"},
		{Skipped, "[{role}] skipping mount-point dir {any}"},
		{IOError, "[{role}] file list has grown too large to expand"},
		{IOError, "[{role}] Invalid dir index: {any}"},
		{IOError, "[{role}] could not find xattr {any}"}, // xattrs.c
		{IOError, "[{role}] internal abbrev error{any}"},
		{OtherKnown, "[{role}] {some}"},
	},
	debugLine: {
		{OtherKnown, "Unknown --{any} name on receiver: {any}"}, // uidlist.c; the transfer goes on
		{OtherKnown, "The temp-dir {any}"},                      // main.c: do_recv; code 1 follows
		{OtherKnown, "(see the rsync man{any}"},                 // compat.c
		{OtherKnown, "out of memory{any}"},
		{OtherKnown, "buffer overflow expanding %{any} -- exiting"}, // log.c
		{OtherKnown, "out of file descriptors resolving a deep path; {any}"},
		{OtherKnown, "gen_challenge: {any}"},
		{OtherKnown, "default_perms_for_dir: {any}"},
		{OtherKnown, "unpack_smb_acl: warning: {any}"},
		{OtherKnown, "got ACL-based default perms {any}"},
		{OtherKnown, "specified-side merge file {any}"}, // exclude.c
		{OtherKnown, "Unknown filter rule: {any}"},
		{OtherKnown, "invalid modifier{any} in filter rule: {any}"},
		{OtherKnown, "'!' rule has trailing characters: {any}"},
		{OtherKnown, "unexpected end of filter rule: {any}"},
		{OtherKnown, "discarding over-long filter: {any}"},
		{OtherKnown, "merge-file name overflows: {any}"},
		{OtherKnown, "{internal|Internal hashtable error}: {any}"},
		{OtherKnown, "Internal error: wrong write used in receiver."},
		{OtherKnown, "io_printf() was too long for the buffer."},
		{OtherKnown, "invalid len passed to map_ptr: {any}"},
		{OtherKnown, "invalid read_size of {any} in map_ptr"},
		{OtherKnown, "NOTE: Unable to create delete-delay temp file{any}"},
		{OtherKnown, "--{any} arg {does not exist|is not a dir}: {any}"}, // main.c
		{OtherKnown, `found ".." dir in relative path: {any}`},           // flist.c
		{OtherKnown, `*** Try using "--old-d" {any}`},
		{OtherKnown, "select exception on fd {digits}"}, // io.c: the transfer goes on
		{OtherKnown, "ignoring --{any}-batch option sent to server"},
		{OtherKnown, "Client is very old version of rsync, upgrade recommended."},
		{OtherKnown, "iconv_open({any}) failed"}, // rsync.c
		{OtherKnown, "namecvt_call() request was too large."},
		{OtherKnown, "invalid name-converter token: {any}"},

		// What a client gets into the log with -v, --info and --debug, as far as max verbosity lets
		// it. The client's own lines, too.
		{OtherKnown, "sending incremental file list"},
		{OtherKnown, "{deleting|backed up|finishing|removing duplicate name|fuzzy|hlink for} {any}"},
		{OtherKnown, "{delta-transmission|generate_files|calling match_sums} {any}"},
		{OtherKnown, "{match at|potential match at|hash search} {any}"},
		{OtherKnown, "{total size is|process has gid|recv mapped|gen mapped|data recv|set uid of|set gid of} {any}"},
		{OtherKnown, "sent {any} bytes/sec"},
		{OtherKnown, "received {digits} names"},
		{OtherKnown, "created directory {any}"},
		{OtherKnown, "created {any} for {any}"},
		{OtherKnown, "{Created backup_dir|backup_dir is|(new) backup_dir is} {any}"},
		{OtherKnown, "renaming {any} to {any}"},
		{OtherKnown, "make_backup: {any}"},
		{OtherKnown, "set modtime{any}"},
		{OtherKnown, "{uid|gid} {any}) maps to {any}"},
		{OtherKnown, "{recv_generator(|recv_files|recv_file_|send_files|server_recv(}{any}"},
		{OtherKnown, "{delete_|mknod(|chunk[|_exit_cleanup(}{any}"},
		{OtherKnown, "{send_file_list done|send files finished|file list sent}"},
		{OtherKnown, "sender {finished|removed|file already removed:} {any}"},
		{OtherKnown, "{total: matches|get_local_name count|generator starting pid}={any}"},
		{OtherKnown, "{count|offset|sum|false_alarms}={any}"},
		{OtherKnown, "server_sender starting pid={digits}"},
		{OtherKnown, "generating and sending sums for {digits}"},
		{OtherKnown, "touch_up_dirs: {any}"},
		{OtherKnown, "{built hash table|done hash search|sending file_sum|got file_sum}"},
		{OtherKnown, "FILE_STRUCT_LEN={any}"},
		{OtherKnown, "Client negotiated {any}: {any}"},
		{OtherKnown, "{Client|Server} {any} list (on {any}): {any}"},
		{OtherKnown, "{Client|Server} list:{any}"},
		{OtherKnown, "Server{any} {checksum|compress}: {any}"},
		{OtherKnown, "server charset: {any}"},
		{OtherKnown, "msg checking {any}"},
		{OtherKnown, "note: iconv_open({any}"},
		{OtherKnown, "copying unsafe symlink {any}"},
		{OtherKnown, "(Server) Protocol versions: {any}"},
		{OtherKnown, "rsync[{any}) heap statistics:"}, // main.c: show_malloc_stats from here
		{OtherKnown, "  {arena|ordblks|smblks|hblks|hblkhd|allmem|usmblks|fsmblks|uordblks|fordblks|keepcost}: {any}"},

		// Whatever else begins with rsync's own words: options.c alone has dozens of them.
		{OtherKnown, "{rsync|ERROR|WARNING}: {any}"},
	},
	namedLine: { // generator.c, hlink.c, at a client's -v
		{OtherKnown, "{any} is {uptodate|newer|over max-size|under min-size|a hard link}"},
		{OtherKnown, "{any} exists{| (type change)| (sum change)| (file change)| (attr change)| (uptodate)}"},
	},
	// An anonymised log, and the sample log of the program that this one replaces, have "from ADDR"
	// where rsync writes "from HOST (ADDR)". A real line ends in a parenthesis, or was cut. The end
	// of a cut line is the client's text, and an address there its invention: {bare} is never read
	// there. A relay that cuts shorter, as classic syslogd does at 1024 bytes, leaves such an
	// address. It names a session of the client's own only; see waiting.
	foreignLine: {
		{Connect, "connect from {bare}"},
		{ModuleList, "module-list request from {bare}"},
		{Allowed, "rsync allowed access on module {module} from {bare}"},
		{Denied, "rsync denied on module {module} from {bare}"},
		{UnknownModule, "unknown module '{asked}' tried from {bare}"},
		{Start, "rsync {on|to} {request} from {bare}"},
		{Start, "rsync {on|to} {request} from {login}@{bare}"},
		// BSD's and Solaris' syslogd write "HOST last message repeated N times" without a tag, and
		// "last" is taken for one. FreeBSD, NetBSD and OpenBSD write "1 time".
		{LostUpstream, "message repeated {lost} times"},
		{LostUpstream, "message repeated 1 time"},
	},
}
