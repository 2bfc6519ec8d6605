package follow

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// fileInfo is what one look at a file tells.
type fileInfo struct {
	id      receiver.FileID
	size    int64
	links   uint64
	mode    uint32 // st_mode
	owner   uint32 // st_uid
	written int64  // when it was last written to, in nanoseconds of the Unix epoch
}

func (i fileInfo) kind() uint32 { return i.mode & unix.S_IFMT }

func (i fileInfo) isRegular() bool { return i.kind() == unix.S_IFREG }

func (i fileInfo) wrongKind(path string) error {
	if i.isRegular() {
		return nil
	}
	kind := map[uint32]string{
		unix.S_IFDIR: "a directory", unix.S_IFIFO: "a FIFO", unix.S_IFSOCK: "a socket", unix.S_IFCHR: "a device",
		unix.S_IFBLK: "a device", unix.S_IFLNK: "a symbolic link",
	}[i.kind()]
	return fmt.Errorf("%q is %s, not a regular file: %w", path, cmp.Or(kind, "a special file"), fs.ErrInvalid)
}

// plainInfo takes what stat(2) tells: no time of birth, everywhere.
func plainInfo(st *unix.Stat_t) fileInfo {
	return fileInfo{
		id:      receiver.FileID{Device: uint64(st.Dev), Inode: uint64(st.Ino)},
		size:    st.Size,
		links:   uint64(st.Nlink),
		mode:    uint32(st.Mode),
		owner:   uint32(st.Uid),
		written: st.Mtim.Nano(),
	}
}

func statPath(path string, follow bool) (fileInfo, error) {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if follow {
		flags = 0
	}
	info, err := statAt(unix.AT_FDCWD, path, flags)
	if err != nil {
		return fileInfo{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return info, nil
}

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// openAt opens a log. O_NONBLOCK keeps a FIFO that has taken its place from stopping us.
func openAt(dir int, path string, flags int) (fd int, err error) {
	flags |= unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	for {
		if fd, err = unix.Openat(dir, path, flags, 0); err != unix.EINTR {
			return fd, err
		}
	}
}

func openLog(path string) (int, error) {
	fd, err := openAt(unix.AT_FDCWD, path, unix.O_NOFOLLOW)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// closeFD closes a descriptor, unless it is negative.
func closeFD(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
}
