package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Check returns why Open or Load would refuse the directory now, or nil. The error wraps ErrLocked
// if another process has it open. Check changes nothing. For a moment it holds the lock, shared
// with other checks.
func Check(dir string) error {
	d := &Dir{path: clean(dir), dir: -1, lock: -1}
	if err := d.check(); err != nil {
		return d.wrap(err)
	}
	return nil
}

func (d *Dir) check() error {
	fd, err := openNoFollow(d.path)
	if errors.Is(err, unix.ENOENT) {
		err := retry(func() error {
			return unix.Faccessat(unix.AT_FDCWD, filepath.Dir(d.path), unix.W_OK|unix.X_OK, unix.AT_EACCESS)
		})
		if err != nil {
			return fmt.Errorf("making it: %w%s", err, remedy(err))
		}
		return nil
	}
	if err != nil {
		return describe(d.path, err)
	}
	defer unix.Close(fd)
	if err := checkDirectory(fd); err != nil {
		return err
	}
	copies := readCopies(fd)
	for i := range copies {
		if one, other := copies[i].Err, copies[1-i].Err; passing(one) && other != nil { // see Load
			return fmt.Errorf("%w%s", one, remedy(one))
		}
	}
	return checkLock(fd)
}

// checkLock returns nil if takeLock could take the lock.
func checkLock(dir int) error {
	fd, err := openat(dir, lockName, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w%s", lockName, err, remedy(err))
	}
	defer unix.Close(fd) // lets go of the lock
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = cmp.Or[error](err, unix.EISDIR) // as when it is opened to be made
		return fmt.Errorf("%s: %w%s", lockName, err, remedy(err))
	}
	if err := retry(func() error { return unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB) }); errors.Is(err,
		unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return nil // of other errors Open knows more
}
