package rsynclog

import "bytes"

// errnoWords tells what "rsync: [ROLE] WORDS…: STRERROR (ERRNO)" is about by its first words; the rest is about files.
// The lines come from log.c: rsyserr. ROLE is written since 3.2.0.
var errnoWords = [...]struct {
	kind     Kind
	versions string
	words    string
	example  string // what follows the words
}{
	{IOError, "3.1+", "write error: ", "Broken pipe (32)"}, // io.c
	{IOError, "all", "read error: ", "Connection reset by peer (104)"},
	{IOError, "3.1+", "safe_read ", "failed to read 1 bytes: Connection reset by peer (104)"},
	{IOError, "3.1+", "safe_write ", "failed to write 32 bytes to socket: Broken pipe (32)"},
	{IOError, "-3.0.9", "writefd_unbuffered ", "failed to write 4 bytes [sender]: Broken pipe (32)"},
	{IOError, "3.5+", "perform_io: ", "poll reported an invalid fd: Bad file descriptor (9)"},
	{OtherKnown, "-2.6.9", "select exception on fd ", "5: Bad file descriptor (9)"},
	{IOError, "3.1+", "unexpected error from iconv()", ": Invalid argument (22)"},                // rsync.c
	{IOError, "all", "getpeername on fd", "0 failed: Transport endpoint is not connected (107)"}, // clientname.c
	{IOError, "all", "waitpid", ": No child processes (10)"},                                     // main.c
	{IOError, "all", "pipe", " failed in do_recv: Too many open files (24)"},                     // main.c, pipe.c
	{IOError, "all", "fork failed in do_recv", ": Resource temporarily unavailable (11)"},
	{IOError, "all", "fork: ", "Resource temporarily unavailable (11)"},
	{IOError, "all", "Failed to dup/close", ": Bad file descriptor (9)"},
	{IOError, "all", "Failed to exec ", "/bin/x: No such file or directory (2)"},
	{IOError, "all", "Failed to close", ": Bad file descriptor (9)"},

	{OtherKnown, "3.1+", "do_fallocate ", `"/x" (in inbox): Operation not supported (95)`}, // receiver.c: a warning, the file is written
	{OtherKnown, "all", "copy_file ", `"/a" (in m) => b: Permission denied (13)`},          // generator.c: the file is then transferred

	{SetupFailed, "-3.1.3", "chroot ", "/srv/gone failed: No such file or directory (2)"}, // clientserver.c: rsync_module
	{SetupFailed, "3.2+", `chroot("`, `/srv/gone") failed: No such file or directory (2)`},
	{SetupFailed, "all", "chdir ", "/srv/gone failed: No such file or directory (2)"},
	{SetupFailed, "3.2+", `chdir("`, `/") failed: Permission denied (13)`},
	{SetupFailed, "3.1+", "daemon chroot", ` "/srv" failed: Operation not permitted (1)`},
	{SetupFailed, "3.2+", "daemon chdir", `("/") failed: Permission denied (13)`},
	{SetupFailed, "all", "setgid ", "65534 failed: Operation not permitted (1)"},
	{SetupFailed, "all", "setuid ", "65534 failed: Operation not permitted (1)"},
	{SetupFailed, "all", "setgroups failed", ": Operation not permitted (1)"},
	{SetupFailed, "3.1+", "initgroups failed", ": Operation not permitted (1)"},
	{SetupFailed, "3.1+", "getgrouplist failed", ": Invalid argument (22)"}, // uidlist.c: getallgroups
	{SetupFailed, "3.1+", "getpwuid failed", ": No such file or directory (2)"},
	{SetupFailed, "all", "fork failed: ", "Resource temporarily unavailable (11)"},
	{SetupFailed, "all", "failed to open exclude file ", "/etc/rsyncd.exclude: No such file or directory (2)"}, // exclude.c
	{SetupFailed, "all", "failed to open include file ", "/etc/rsyncd.include: No such file or directory (2)"},
	{SetupFailed, "all", "failed to open lock file ", "/run/rsyncd.lock: Permission denied (13)"},
	{SetupFailed, "3.1+", "Unable to set ", "user to daemon uid 65534: Operation not permitted (1)"},

	{ExecFailed, "3.2+", "early exec ", "failed: No child processes (10)"}, // clientserver.c
	{ExecFailed, "all", "pre-xfer exec ", "preparation failed: Cannot allocate memory (12)"},
	{ExecFailed, "3.2+", "name-converter exec ", "preparation failed: Cannot allocate memory (12)"},

	{ListenerError, "-3.1.3", "failed to create pid file ", "/run/rsyncd.pid: File exists (17)"}, // clientserver.c
	{ListenerError, "3.5+", "failed to open pid-file directory ", `"/run/x": No such file or directory (2)`},
	{ListenerError, "all", "failed to open log-file ", "/var/log/x/rsyncd.log: No such file or directory (2)"}, // log.c
	{ListenerError, "all", "could not create child server process", ": Resource temporarily unavailable (11)"}, // socket.c
	{ListenerError, "all", "listen() on socket failed", ": Address already in use (98)"},
	{ListenerError, "all", "open inbound socket", ": Address family not supported by protocol (97)"},
	{ListenerError, "all", "failed to set socket option ", "SO_SNDBUF: Invalid argument (22)"},

	{ConfigWarning, "all", "unable to open config", ` file "/etc/rsyncd.conf": Permission denied (13)`}, // params.c
	{ConfigWarning, "3.1+", "unable to stat config", ` file "/etc/rsyncd.d": No such file or directory (2)`},

	{SecretsFile, "3.1+", "fstat(", "/etc/rsyncd.secrets): Permission denied (13)"}, // authenticate.c
	{SecretsFile, "-3.4.4", "stat(", "/etc/rsyncd.secrets): No such file or directory (2)"},
}

// The two ends of what generator.c: recv_generator says of an old file that it can't read; the new one is then sent whole. Only 2.6.9
// exits with 23 for it.
const (
	oldFile   = "failed to open "
	continued = ", continuing: "
)

// parseErrno reads "rsync: [ROLE] TEXT: STRERROR (ERRNO)".
func parseErrno(text []byte, ev *Event) bool {
	s := text[len("rsync: "):]
	var role []byte
	if len(s) > 0 && s[0] == '[' {
		if n := bytes.IndexByte(s, ']'); n > 0 && n+1 < len(s) && s[n+1] == ' ' && isRole(s[1:n]) {
			role, s = s[1:n], s[n+2:]
		}
	}
	if len(text) >= maxText {
		ev.Kind, ev.Role = FileError, role // nothing but a file's name makes a line so long
		return true
	}
	said, errno, ok := cutErrno(s)
	if !ok && role != nil { // nothing but a role before the colon: then it is the text
		role, s = nil, text[len("rsync: "):]
		said, errno, ok = cutErrno(s)
	}
	if !ok {
		return false
	}
	ev.Kind, ev.Role, ev.Errno = FileError, role, errno
	if hasPrefix(s, oldFile) && bytes.Contains(said[len(oldFile):len(said)-1], []byte(continued)) {
		ev.Kind, ev.Errno = OtherKnown, 0
		return true
	}
	for i := range errnoWords {
		if w := &errnoWords[i]; w.words[0] == s[0] && hasPrefix(s, w.words) {
			ev.Kind, ev.Errno = w.kind, 0
			if w.kind == SetupFailed || w.kind == ExecFailed {
				ev.Reason = OtherReason
			}
			return true
		}
	}
	ev.Path = quoted(said)
	return true
}

// cutErrno cuts " (ERRNO)" off the end, where a TEXT and a STRERROR stand before it.
func cutErrno(s []byte) (said []byte, errno int16, ok bool) {
	n := len(s) - 1
	if n < 0 || s[n] != ')' {
		return nil, 0, false
	}
	i := n
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	if i == n || n-i > 4 || i < 2 || s[i-1] != '(' || s[i-2] != ' ' {
		return nil, 0, false
	}
	for _, d := range s[i:n] {
		errno = errno*10 + int16(d-'0')
	}
	said = s[:i-2]
	return said, errno, len(said) > 3 && bytes.Contains(said[1:len(said)-1], []byte(": "))
}

// quoted returns the name between the only two quotes of "TEXT: STRERROR". More of them are part of a name, and then none can be told.
func quoted(s []byte) []byte {
	open := bytes.IndexByte(s, '"')
	if open < 0 {
		return nil
	}
	name := s[open+1:]
	end := bytes.IndexByte(name, '"')
	if end < 0 {
		return nil
	}
	tail := name[end+1:]
	if len(tail) == 0 || bytes.IndexByte(tail, '"') >= 0 || !bytes.Contains(tail[:len(tail)-1], []byte(": ")) {
		return nil
	}
	return name[:end]
}
