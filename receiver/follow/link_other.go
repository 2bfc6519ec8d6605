//go:build unix && !linux

package follow

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func openRoot() (fd int, info fileInfo, err error) {
	info, err = statPath("/", false)
	return -1, info, err
}

// lookIn looks at a name in a directory. Of a symbolic link it returns what it holds, too.
func lookIn(_ int, at, name string) (fd int, info fileInfo, to string, err error) {
	path := filepath.Join(at, name)
	info, err = lookAtPath(path, false)
	if err == nil && info.mode&unix.S_IFMT == unix.S_IFLNK {
		to, err = os.Readlink(path)
	}
	return -1, info, to, err
}

// openIn opens a file in a directory, and no symbolic link.
func openIn(_ int, at, name string) (fd int, err error) {
	for {
		if fd, err = unix.Open(filepath.Join(at, name), logFlags|unix.O_NOFOLLOW, 0); err != unix.EINTR {
			return fd, err
		}
	}
}
