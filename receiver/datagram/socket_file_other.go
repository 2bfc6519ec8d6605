//go:build unix && !linux

package datagram

import (
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openSearch is for a directory that may only be searched, which takes the right to read it here.
const openSearch = unix.O_RDONLY

// bindWithMode binds the socket to the path. The file gets its mode afterwards, and through no symbolic link.
func bindWithMode(fd int, path string, mode fs.FileMode) error {
	umasks.Lock()
	defer umasks.Unlock()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return err
	}
	return unix.Fchmodat(unix.AT_FDCWD, path, uint32(mode), unix.AT_SYMLINK_NOFOLLOW)
}

// openSocketFile looks at what has the path's name in the directory. The error wraps fs.ErrNotExist if nothing has.
func openSocketFile(dir int, path string) (f socketFile, mode fs.FileMode, err error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, filepath.Base(path), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return socketFile{}, 0, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return socketFile{id: idOf(&st)}, modeOf(&st), nil
}

// name is the path: there is no other one here.
func (f *socketFile) name(path string) string { return path }

// fileOf returns the file at the path, or none where there is no socket. Whose it is can't be asked here.
func fileOf(dir int, path string, _ int, _ fs.FileMode) (socketFile, error) {
	f, mode, err := openSocketFile(dir, path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && mode.Type() != fs.ModeSocket {
		return socketFile{}, nil
	}
	f.unsureIf(dir, errors.ErrUnsupported)
	return f, err
}
