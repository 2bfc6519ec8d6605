//go:build unix && !linux

package follow

import (
	"context"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func statAt(dir int, path string, flags int) (fileInfo, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, path, &st, flags)
	return plainInfo(&st), err
}

func statFD(fd int) (fileInfo, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return plainInfo(&st), err
}

// pathOf would return an open file's path, which these systems don't tell.
func pathOf(int) string { return "" }

// nextData would skip a hole in a sparse file. Without it the hole is read as zeros.
func nextData(_ int, offset int64) int64 { return offset }

func lookIn(_ int, at, name string) (fd int, info fileInfo, to string, err error) {
	path := filepath.Join(at, name)
	info, err = statAt(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && info.kind() == unix.S_IFLNK {
		to, err = os.Readlink(path)
	}
	return -1, info, to, err
}

// A notifier is for Linux only. Elsewhere files are polled.
type notifier struct{}

func newNotifier(chan struct{}, int) *notifier                { return nil }
func (*notifier) watchDirs(watcher, ...string)                {}
func (*notifier) watchFile(watcher, int, chan struct{}) int32 { return -1 }
func (*notifier) unwatchFile(int32)                           {}
func (*notifier) run(context.Context)                         {}
func (*notifier) close()                                      {}
