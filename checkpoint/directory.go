package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// clean removes slashes at the path's end, which would make the system follow a symbolic link.
func clean(path string) string {
	if path == "" {
		return "" // not the working directory
	}
	return filepath.Clean(path)
}

// openNoFollow opens a directory for reading, and no symbolic link.
func openNoFollow(path string) (fd int, err error) {
	return openat(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

// describe explains an error of openNoFollow. Systems differ in the error for the same thing.
func describe(path string, err error) error {
	info, lerr := os.Lstat(path)
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w (its parent directory must exist)", err)
	case lerr != nil || info.IsDir():
		return fmt.Errorf("%w%s", err, remedy(err))
	case info.Mode().Type() == fs.ModeSymlink:
		to, _ := filepath.EvalSymlinks(path) // "" if it leads nowhere
		return fmt.Errorf("is a symbolic link, which isn't followed (name what it leads to instead, %q)", to)
	}
	return fmt.Errorf("is no directory, mode %s (nothing is overwritten: move it away or choose another path)",
		info.Mode())
}

// openDirectory opens the directory, makes it if only it is missing, and checks that it is ours to
// write to. It syncs nothing, since a slow disk mustn't keep the caller waiting.
func openDirectory(path string) (fd int, made bool, err error) {
	fd, err = openNoFollow(path)
	if errors.Is(err, unix.ENOENT) {
		if err := retry(func() error { return unix.Mkdir(path, 0o700) }); err != nil && !errors.Is(err, unix.EEXIST) {
			return -1, false, fmt.Errorf("making it: %w%s", err, remedy(err))
		}
		made = true
		fd, err = openNoFollow(path)
	}
	if err != nil {
		return -1, made, describe(path, err)
	}
	if err := checkDirectory(fd); err != nil {
		unix.Close(fd)
		return -1, made, err
	}
	return fd, made, nil
}

// checkDirectory refuses a directory in which others may put a state of their own, as sshd refuses
// such key files, and one that can't be written to. Unlike sshd it accepts a group that may write:
// that is how Kubernetes gives a volume to its pod (fsGroup).
func checkDirectory(fd int) error {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return err
	}
	if st.Mode&0o002 != 0 {
		return fmt.Errorf("everybody may write to it, mode %#o, and so forge the counters (chmod 0700)",
			uint32(st.Mode)&0o7777)
	}
	if user := os.Geteuid(); st.Uid != 0 && int(st.Uid) != user {
		return fmt.Errorf("belongs to user %d, and this process is user %d (run as that user, or chown it to this one)",
			st.Uid, user)
	}
	err := retry(func() error { return unix.Faccessat(fd, ".", unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS) })
	if err != nil {
		return fmt.Errorf("can't be written to: %w%s", err, remedy(err))
	}
	return nil
}

// syncParent makes the directory's own name durable. An earlier process may have been killed
// between making the directory and this.
func syncParent(path string, made bool) error {
	parent, err := openat(unix.AT_FDCWD, filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.EACCES) && !made {
		return nil // whoever made it there could
	}
	if err != nil {
		return fmt.Errorf("opening its parent directory, to sync it: %w%s", err, remedy(err))
	}
	f := os.NewFile(uintptr(parent), filepath.Dir(path))
	defer f.Close()
	if err := f.Sync(); err != nil && (made || !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.EINVAL)) {
		return fmt.Errorf("syncing its parent directory: %w%s", err, remedy(err))
	}
	return nil
}

// takeLock takes the lock of an open directory. The kernel releases it when the process ends,
// however it ends. If the descriptor held, or -1, has that very file locked, takeLock returns it.
//
// It opens the lock for reading if that is enough, since a file that is open for writing keeps a
// file system from being remounted read-only. On NFS a lock needs a file open for writing; the
// error is EBADF.
func takeLock(dir, held int) (fd int, err error) {
	for _, access := range []int{unix.O_RDONLY, unix.O_RDWR} {
		fd, err = openat(dir, lockName, access|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return -1, fmt.Errorf("%s: %w%s", lockName, err, remedy(err))
		}
		if held >= 0 && same(dir, lockName, held) == nil {
			unix.Close(fd)
			return held, nil
		}
		err = retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
		if err == nil {
			return fd, nil
		}
		unix.Close(fd)
		if !errors.Is(err, unix.EBADF) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return -1, fmt.Errorf("%w (stop that one, or give this one a directory of its own)", ErrLocked)
	}
	return -1, fmt.Errorf("%s: flock: %w (choose a directory on a local disk)", lockName, err)
}

// same returns nil if the name, in the directory at unless it is absolute, still leads to the open
// file.
func same(at int, name string, fd int) error {
	var held, there unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &held) }); err != nil {
		return err
	}
	if err := retry(func() error { return unix.Fstatat(at, name, &there, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return err
	}
	if held.Dev != there.Dev || held.Ino != there.Ino {
		return errors.New("is another one now")
	}
	return nil
}

// syncDirectory makes the names in the directory durable. It opens a new descriptor each time:
// after a failed sync, the next one on the same descriptor may report success for nothing.
func syncDirectory(dir int) error {
	fd, err := openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), ".")
	return errors.Join(f.Sync(), f.Close())
}

// remedy returns what an operator can do about an error, as " (text)", or an empty string.
func remedy(err error) string {
	for _, r := range []struct {
		err  error
		text string
	}{
		{unix.ENOSPC, "the disk is full, or out of inodes: free some space"},
		{unix.EDQUOT, fmt.Sprintf("the disk quota of user %d is used up: raise it or free some space", os.Geteuid())},
		{unix.EROFS, "the file system is read-only: mount it read-write; after a disk error the kernel makes it " +
			"read-only itself, and its log says so"},
		{unix.EACCES, fmt.Sprintf("user %d may not: chown the directory and what is in it to that user, or have "+
			"systemd make it by StateDirectory=", os.Geteuid())},
		{unix.EPERM, "the system forbids it: see lsattr, and the sandbox that the process is in"},
		{unix.EIO, "the disk failed: see the kernel's log"},
		{unix.EINVAL, "this file system can't do that: choose a directory on a local disk"},
		{unix.EFBIG, "a limit on file sizes: see ulimit -f"},
		{unix.EMFILE, "raise the limit on open files, LimitNOFILE="},
		{unix.EISDIR, "a directory is in the place of the file: remove it"},
		{unix.ENOENT, "has somebody removed it, or is its parent missing?"},
	} {
		if errors.Is(err, r.err) {
			return " (" + r.text + ")"
		}
	}
	return ""
}

// isSymlink reports whether O_NOFOLLOW made opening fail, with EMLINK on FreeBSD.
func isSymlink(err error) bool { return errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK) }

func openat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

// retry repeats a call that a signal has interrupted, which happens on network file systems.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
