package datagram

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// ErrInUse is wrapped by the error that a unix socket is another program's, which may be an rsyncd_exporter.
var ErrInUse = errors.New("another program receives there")

// CheckUDP binds addr as ListenUDP does, without taking what is sent there as far as the system allows that.
// The error is that of ListenUDP. The address is taken until the caller closes what is returned.
func CheckUDP(addr string, opt UDPOptions) (io.Closer, error) {
	fds, _, err := bindUDP(addr, max(1, opt.Sockets), receiver.Deafen)
	if err != nil {
		return nil, err
	}
	u := &UDP{}
	for _, fd := range fds {
		u.sockets = append(u.sockets, &udpSocket{in: &datagrams{fd: fd}})
	}
	return u, nil
}

// CheckUnixgram returns why ListenUnixgram would refuse the path, in the same words, or nil. It wraps ErrInUse
// where another program receives there. It makes and removes nothing.
func CheckUnixgram(path string, src receiver.Source, opt UnixgramOptions) error {
	if err := checkUnixgram(path, src.Name, opt); err != nil {
		return err
	}
	dir, err := openDirectory(filepath.Dir(path))
	if err != nil {
		return socketDirectoryError(path, err)
	}
	defer unix.Close(dir)
	left, err := findStale(dir, path)
	if err != nil {
		return err
	}
	defer left.release()
	if left.id != (inode{}) {
		if err := mayChange("remove", path); err != nil {
			return staleError(path, err)
		}
		return nil
	}
	if err := mayChange("bind", path); err != nil {
		return unixBindError(path, errors.Unwrap(err))
	}
	return nil
}

// mayChange says why this process can't make or remove the file, as op is called.
func mayChange(op, file string) error {
	dir := filepath.Dir(file)
	err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if err == nil {
		err = heldBySticky(dir, file)
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: file, Err: err}
	}
	return nil
}

// heldBySticky is EPERM where the directory's sticky bit keeps others than root and the owners from removing
// the file (unlink(2)).
func heldBySticky(dir, file string) error {
	var d, f unix.Stat_t
	user := uint32(os.Geteuid())
	if user == 0 || unix.Lstat(file, &f) != nil || unix.Stat(dir, &d) != nil {
		return nil
	}
	if d.Mode&unix.S_ISVTX == 0 || d.Uid == user || f.Uid == user {
		return nil
	}
	return unix.EPERM
}
