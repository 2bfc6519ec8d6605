package codes

// ErrnoName returns the name of an errno of Linux, ENOSPC, and what the C library says for it, "No
// space left on device". Both are empty for an errno that operations on files and connections don't
// have. 0, an error without an errno, has no name either.
func ErrnoName(n int) (name, text string) {
	if n < 0 || n >= len(errnos) {
		return "", ""
	}
	return errnos[n].name, errnos[n].text
}

// errnos has the numbers that files and connections can have, with glibc's texts.
var errnos = [...]struct{ name, text string }{
	1:   {"EPERM", "Operation not permitted"},
	2:   {"ENOENT", "No such file or directory"},
	4:   {"EINTR", "Interrupted system call"},
	5:   {"EIO", "Input/output error"},
	6:   {"ENXIO", "No such device or address"},
	7:   {"E2BIG", "Argument list too long"},
	9:   {"EBADF", "Bad file descriptor"},
	11:  {"EAGAIN", "Resource temporarily unavailable"},
	12:  {"ENOMEM", "Cannot allocate memory"},
	13:  {"EACCES", "Permission denied"},
	14:  {"EFAULT", "Bad address"},
	16:  {"EBUSY", "Device or resource busy"},
	17:  {"EEXIST", "File exists"},
	18:  {"EXDEV", "Invalid cross-device link"},
	19:  {"ENODEV", "No such device"},
	20:  {"ENOTDIR", "Not a directory"},
	21:  {"EISDIR", "Is a directory"},
	22:  {"EINVAL", "Invalid argument"},
	23:  {"ENFILE", "Too many open files in system"},
	24:  {"EMFILE", "Too many open files"},
	25:  {"ENOTTY", "Inappropriate ioctl for device"},
	26:  {"ETXTBSY", "Text file busy"},
	27:  {"EFBIG", "File too large"},
	28:  {"ENOSPC", "No space left on device"},
	29:  {"ESPIPE", "Illegal seek"},
	30:  {"EROFS", "Read-only file system"},
	31:  {"EMLINK", "Too many links"},
	32:  {"EPIPE", "Broken pipe"},
	34:  {"ERANGE", "Numerical result out of range"},
	36:  {"ENAMETOOLONG", "File name too long"},
	37:  {"ENOLCK", "No locks available"},
	38:  {"ENOSYS", "Function not implemented"},
	39:  {"ENOTEMPTY", "Directory not empty"},
	40:  {"ELOOP", "Too many levels of symbolic links"},
	61:  {"ENODATA", "No data available"},
	75:  {"EOVERFLOW", "Value too large for defined data type"},
	84:  {"EILSEQ", "Invalid or incomplete multibyte or wide character"},
	95:  {"EOPNOTSUPP", "Operation not supported"},
	98:  {"EADDRINUSE", "Address already in use"},
	99:  {"EADDRNOTAVAIL", "Cannot assign requested address"},
	100: {"ENETDOWN", "Network is down"},
	101: {"ENETUNREACH", "Network is unreachable"},
	103: {"ECONNABORTED", "Software caused connection abort"},
	104: {"ECONNRESET", "Connection reset by peer"},
	107: {"ENOTCONN", "Transport endpoint is not connected"},
	110: {"ETIMEDOUT", "Connection timed out"},
	111: {"ECONNREFUSED", "Connection refused"},
	112: {"EHOSTDOWN", "Host is down"},
	113: {"EHOSTUNREACH", "No route to host"},
	116: {"ESTALE", "Stale file handle"},
	117: {"EUCLEAN", "Structure needs cleaning"},
	121: {"EREMOTEIO", "Remote I/O error"},
	122: {"EDQUOT", "Disk quota exceeded"},
}

// ErrnoRemedy returns what to do about an errno that ErrnoName has a name for.
func ErrnoRemedy(n int) string {
	if name, _ := ErrnoName(n); name == "" {
		return ""
	}
	if r := errnoRemedies[n]; r != "" {
		return r
	}
	return "explain shows the line, which has the file and the operation."
}

const (
	rights    = "Check owner and mode of the file and its directory, the module's uid and gid, and SELinux or AppArmor."
	room      = "Make room, or raise the quota; then run the transfer again."
	disk      = "Look at the kernel's log: the disk or its file system is failing. Check it before the next backup."
	lost      = "The connection is gone; single ones are normal."
	attribute = "The file system can't hold what the client sent: leave out -X, -A or devices, or use fake super = yes."
	name      = "Rename the file at the source: the file system here can't hold its name."
	inTheWay  = "Something else is in its place here. Remove that, or use --force or --delete at the client."
	network   = "Look at the network and at the file server behind the module."
)

var errnoRemedies = map[int]string{
	1: rights + " chown needs root: fake super = yes helps.", 13: rights,
	2: "The file was deleted meanwhile, or the path in the request or in rsyncd.conf is wrong.",
	5: disk, 117: disk, 121: disk,
	28: room, 122: room,
	30: "The module's file system is mounted read-only: look in the kernel's log why.",
	12: "Give the service more memory, or split the transfer.",
	23: "Raise the system's limit of open files (fs.file-max).",
	24: "Raise the service's limit of open files (LimitNOFILE=).",
	27: "Raise the service's file size limit (LimitFSIZE=), or use a file system for larger files.",
	16: "Somebody uses the file or a mount point; run the transfer again, or exclude it.",
	26: "The program is running; have the client rename files into place (no --inplace), or exclude it.",
	17: inTheWay, 20: inTheWay, 21: inTheWay, 39: inTheWay,
	22: attribute, 38: attribute, 61: attribute, 95: attribute,
	36: name, 84: name,
	40: "Symbolic links lead in a circle: look at the path in the line.",
	31: "The file system holds no more hard links to the file: leave out -H, or use another file system.",
	32: lost, 103: lost, 104: lost, 107: lost,
	100: network, 101: network, 110: network, 111: network, 112: network, 113: network,
	116: "The NFS server has another file now: mount it again, and run the transfer again.",
}
