package follow

import "golang.org/x/sys/unix"

func openRoot() (fd int, info fileInfo, err error) {
	if fd, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return -1, info, err
	}
	info, err = statFD(fd)
	return fd, info, err
}

// lookIn opens a name in a directory, as what it is and not as what it leads to, and looks at it. Of a symbolic link it
// returns what it holds, too.
func lookIn(dir int, _, name string) (fd int, info fileInfo, to string, err error) {
	fd, err = unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, info, "", err
	}
	info, err = statFD(fd)
	if err == nil && info.mode&unix.S_IFMT == unix.S_IFLNK {
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

// openIn opens a file in a directory, and no symbolic link.
func openIn(dir int, _, name string) (fd int, err error) {
	if name == "" {
		name = "." // the directory itself
	}
	for {
		if fd, err = unix.Openat(dir, name, logFlags|unix.O_NOFOLLOW, 0); err != unix.EINTR {
			return fd, err
		}
	}
}
