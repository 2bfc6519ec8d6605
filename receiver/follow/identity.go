package follow

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// fileInfo is what one look at a file tells.
type fileInfo struct {
	id    receiver.FileID
	size  int64
	links uint64
	mode  uint32 // st_mode
	owner uint32 // st_uid
	// written is when it was last written to, in nanoseconds of the Unix epoch.
	written int64
}

// wrongKind returns an error unless the file is a regular one.
func (i fileInfo) wrongKind(path string) error {
	kind := "a special file"
	switch i.mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFDIR:
		kind = "a directory"
	case unix.S_IFIFO:
		kind = "a FIFO"
	case unix.S_IFSOCK:
		kind = "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		kind = "a device"
	case unix.S_IFLNK:
		kind = "a symbolic link"
	}
	return fmt.Errorf("%q is %s, not a regular file: %w", path, kind, fs.ErrInvalid)
}

// logFlags open a log. O_NONBLOCK keeps a FIFO that has taken its place from stopping us.
const logFlags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY

// openLog opens a file that stat has shown to be a regular one.
func openLog(path string, follow bool) (int, error) {
	flags := logFlags
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	for {
		fd, err := unix.Open(path, flags, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	}
}

// plainStat looks at a file with stat(2), lstat(2) or fstat(2), which know no time of birth everywhere.
func plainStat(call func(*unix.Stat_t) error) (fileInfo, error) {
	var st unix.Stat_t
	if err := call(&st); err != nil {
		return fileInfo{}, err
	}
	return fileInfo{
		id:    receiver.FileID{Device: uint64(st.Dev), Inode: uint64(st.Ino)},
		size:  st.Size,
		links: uint64(st.Nlink),
		mode:  uint32(st.Mode),
		owner: uint32(st.Uid),

		written: st.Mtim.Nano(),
	}, nil
}

func plainStatPath(path string, follow bool) (fileInfo, error) {
	return plainStat(func(st *unix.Stat_t) error {
		if follow {
			return unix.Stat(path, st)
		}
		return unix.Lstat(path, st)
	})
}

func plainStatFD(fd int) (fileInfo, error) {
	return plainStat(func(st *unix.Stat_t) error { return unix.Fstat(fd, st) })
}

// statPath looks at the file that path names. Its error names the path.
func statPath(path string, follow bool) (fileInfo, error) {
	info, err := lookAtPath(path, follow)
	if err != nil {
		return fileInfo{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return info, nil
}
