package follow

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

func lookAtPath(path string, follow bool) (fileInfo, error) {
	flags := 0
	if !follow {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	info, err := statx(unix.AT_FDCWD, path, flags)
	if err == unix.ENOSYS || err == unix.EPERM { // older than Linux 4.11, or forbidden by a seccomp filter
		return plainStatPath(path, follow)
	}
	return info, err
}

func statFD(fd int) (fileInfo, error) {
	info, err := statx(fd, "", unix.AT_EMPTY_PATH)
	if err == unix.ENOSYS || err == unix.EPERM {
		return plainStatFD(fd)
	}
	return info, err
}

// statx is statx(2), which knows the time of birth where the file system does.
func statx(dir int, path string, flags int) (fileInfo, error) {
	var st unix.Statx_t
	if err := unix.Statx(dir, path, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return fileInfo{}, err
	}
	info := fileInfo{
		id:    receiver.FileID{Device: unix.Mkdev(st.Dev_major, st.Dev_minor), Inode: st.Ino},
		size:  int64(st.Size),
		links: uint64(st.Nlink),
		mode:  uint32(st.Mode),
		owner: st.Uid,

		written: st.Mtime.Sec*1e9 + int64(st.Mtime.Nsec),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		info.id.Birth = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return info, nil
}

// pathOf returns the path that an open file has now, "" if it has none or none that this process can see.
func pathOf(fd int) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil || !filepath.IsAbs(path) || strings.HasSuffix(path, " (deleted)") {
		return ""
	}
	return path
}

// nextData returns where the data begins that follows offset, beyond a hole of a sparse file, or offset itself.
// It moves the descriptor's own offset, which nobody uses.
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
