//go:build linux

package follow

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// statAt is statx(2), which knows the time of birth where the file system does.
func statAt(dir int, path string, flags int) (fileInfo, error) {
	var st unix.Statx_t
	err := unix.Statx(dir, path, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
	if err == unix.ENOSYS || err == unix.EPERM { // older than Linux 4.11, or forbidden by a seccomp filter
		var plain unix.Stat_t
		err = unix.Fstatat(dir, path, &plain, flags)
		return plainInfo(&plain), err
	}
	if err != nil {
		return fileInfo{}, err
	}
	info := fileInfo{
		id:      receiver.FileID{Device: unix.Mkdev(st.Dev_major, st.Dev_minor), Inode: st.Ino},
		size:    int64(st.Size),
		links:   uint64(st.Nlink),
		mode:    uint32(st.Mode),
		owner:   st.Uid,
		written: st.Mtime.Sec*1e9 + int64(st.Mtime.Nsec),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		info.id.Birth = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return info, nil
}

func statFD(fd int) (fileInfo, error) { return statAt(fd, "", unix.AT_EMPTY_PATH) }

// pathOf returns the path that an open file has now, "" if it has none that this process can see.
func pathOf(fd int) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil || !filepath.IsAbs(path) || strings.HasSuffix(path, " (deleted)") {
		return ""
	}
	return path
}

// nextData returns where data begins again behind a hole at offset, or offset itself. It moves the
// descriptor's own offset, which nobody uses.
func nextData(fd int, offset int64) int64 {
	next, err := unix.Seek(fd, offset, unix.SEEK_DATA)
	if err == unix.ENXIO { // nothing but a hole up to the end of the file
		next, err = unix.Seek(fd, 0, unix.SEEK_END)
	}
	if err != nil || next < offset {
		return offset
	}
	return next
}

// lookIn opens a name without following it, and looks at it. Of a link it returns the target, too.
func lookIn(dir int, _, name string) (fd int, info fileInfo, to string, err error) {
	fd, err = unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, info, "", err
	}
	info, err = statFD(fd)
	if err == nil && info.kind() == unix.S_IFLNK {
		var text [unix.PathMax]byte
		var n int
		n, err = unix.Readlinkat(fd, "", text[:])
		to = string(text[:max(n, 0)])
	}
	if err != nil {
		unix.Close(fd)
		return -1, info, "", err
	}
	return fd, info, to, nil
}
