package datagram

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The directory of a unix socket belongs to others as well: compose's rsyncd, which is root in its
// container, or a jail's user. Whoever may write there can replace the file between any two of our
// calls. So a path is never used twice for one thing. The file is opened once, as what it is and
// not as what it leads to; all else goes through that descriptor; and the kernel says which socket
// a file belongs to.

// ErrInUse is wrapped by the error that a unix socket is another program's.
var ErrInUse = errors.New("another program receives there")

// inode tells a file from another one of the same name.
type inode struct{ dev, ino uint64 }

// A socketFile is the file that a socket was bound to. The zero value is none.
type socketFile struct {
	id     inode
	fd     int   // keeps the file's number from being given to another file; 0 where it isn't kept
	unsure error // why the kernel couldn't be asked whether the file is the socket's
}

// at reports whether the path leads to this very file, through no symbolic link of that name.
func (f *socketFile) at(path string) bool {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	return err == nil && f.id != inode{} && f.id == idOf(&st)
}

func (f *socketFile) release() {
	if f.fd > 0 {
		unix.Close(f.fd)
	}
	*f = socketFile{}
}

// remove removes the path if it leads to this file. The directory is looked up once, so that
// nothing but an entry of the directory that holds the socket is ever removed.
func (f *socketFile) remove(path string) error {
	dir, err := openDirectory(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	name := filepath.Base(path)
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || idOf(&st) != f.id {
		return nil // somebody has removed or replaced it
	}
	if err := unix.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}

func idOf(st *unix.Stat_t) inode { return inode{uint64(st.Dev), uint64(st.Ino)} }

func modeOf(st *unix.Stat_t) fs.FileMode {
	return fs.FileMode(st.Mode&0o777) | fileTypes[uint32(st.Mode)&unix.S_IFMT]
}

var fileTypes = map[uint32]fs.FileMode{
	unix.S_IFSOCK: fs.ModeSocket, unix.S_IFLNK: fs.ModeSymlink, unix.S_IFDIR: fs.ModeDir,
	unix.S_IFIFO: fs.ModeNamedPipe, unix.S_IFCHR: fs.ModeDevice, unix.S_IFBLK: fs.ModeDevice,
}

// lockPatience is how long an exporter that starts at the same moment is waited for.
var lockPatience = time.Second

// lockDirectory lets one exporter after the other look whether a socket is in use, and bind its
// own. Nobody's lock keeps us out: anyone who may read the directory can take it.
func lockDirectory(dir int) {
	for end := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		if err := unix.Flock(dir, unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK || time.Now().After(end) {
			return
		}
	}
}

// bindUnixgram makes a socket and its file. The file is none if somebody has replaced it already.
func bindUnixgram(path string, mode fs.FileMode) (fd int, file socketFile, err error) {
	dir, err := openDirectory(filepath.Dir(path))
	if err != nil {
		return -1, socketFile{}, socketDirectoryError(path, err)
	}
	defer unix.Close(dir) // gives the lock back
	lockDirectory(dir)
	stale, err := findStale(dir, path)
	if err != nil {
		return -1, socketFile{}, err
	}
	defer stale.release()
	if stale.id != (inode{}) {
		if err := stale.remove(path); err != nil {
			return -1, socketFile{}, staleError(path, err)
		}
	}
	if fd, err = newUnixgram(); err != nil {
		return -1, socketFile{}, fmt.Errorf("unixgram %q: %w", path, err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err := prepareUnixgram(fd); err != nil {
		return fd, socketFile{}, fmt.Errorf("unixgram %q: credentials: %w", path, err)
	}
	if mode = mode.Perm(); mode == 0 {
		mode = 0o666
	}
	if err := bindWithMode(fd, path, mode); err != nil {
		return fd, socketFile{}, unixBindError(path, err)
	}
	if file, err = fileOf(dir, path, fd, mode); err != nil {
		return fd, socketFile{}, fmt.Errorf("unixgram %q: %w", path, err)
	}
	return fd, file, nil
}

func newUnixgram() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	return fd, err
}

// unsureIf keeps why the kernel couldn't be asked, unless nobody can have replaced the file.
func (f *socketFile) unsureIf(dir int, err error) {
	if othersMayWrite(dir) {
		f.unsure = err
	}
}

// othersMayWrite asks about others than root and this process' user.
func othersMayWrite(dir int) bool {
	var st unix.Stat_t
	err := unix.Fstat(dir, &st)
	return err != nil || st.Mode&0o022 != 0 || st.Uid != 0 && int(st.Uid) != os.Geteuid()
}

func socketDirectoryError(path string, err error) error {
	return fmt.Errorf("unixgram %q: its directory: %w (it must exist, and user %d may read it)",
		path, err, os.Geteuid())
}

// openDirectory opens a directory to look up names, and to lock it unless it may only be searched.
func openDirectory(path string) (int, error) {
	flags := unix.O_DIRECTORY | unix.O_CLOEXEC
	fd, err := unix.Open(path, unix.O_RDONLY|flags, 0)
	if errors.Is(err, unix.EACCES) {
		fd, err = unix.Open(path, openSearch|flags, 0)
	}
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// umasks is held while the umask is another one: it belongs to the whole process.
var umasks sync.Mutex

// findStale returns a socket file at which nobody answers, whose process is gone. It returns none
// where nothing is there. Anything else is an error.
func findStale(dir int, path string) (stale socketFile, err error) {
	found, st, err := openFile(dir, path)
	if errors.Is(err, fs.ErrNotExist) {
		return socketFile{}, nil
	}
	if err != nil {
		return socketFile{}, fmt.Errorf("unixgram %q: %w", path, err)
	}
	defer func() {
		if err != nil {
			found.release()
		}
	}()
	if mode := modeOf(&st); mode.Type() != fs.ModeSocket {
		return socketFile{}, fmt.Errorf("unixgram %q: there is something that is no socket, mode %s "+
			"(nothing is overwritten: move it away or choose another path)", path, mode)
	}
	probe, err := found.connect(path)
	if err == nil {
		unix.Close(probe)
	}
	if err == nil || errors.Is(err, unix.EPERM) { // EPERM: it is connected, and takes nothing but from its peer
		return socketFile{}, fmt.Errorf("unixgram %q: %w (another rsyncd_exporter, systemd-journald, syslogd? "+
			"stop it or choose another path)", path, ErrInUse)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return socketFile{}, fmt.Errorf("unixgram %q: a socket is there, and whether it is in use can't be told: %w "+
			"(remove it if it is not)", path, err)
	}
	return found, nil
}

func staleError(path string, err error) error {
	return fmt.Errorf("unixgram %q: left over from a process that is gone: %w", path, err)
}

// connect connects a new socket to whoever is bound to the file.
func (f *socketFile) connect(path string) (probe int, err error) {
	if probe, err = newUnixgram(); err != nil {
		return -1, err
	}
	err = unix.Connect(probe, &unix.SockaddrUnix{Name: f.name(path)})
	if err != nil {
		unix.Close(probe)
		return -1, err
	}
	return probe, nil
}

// mayChange says why this process can't make or remove the file.
func mayChange(file string) error {
	dir := filepath.Dir(file)
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return err
	}
	// The sticky bit keeps others than root and the owners from removing the file: unlink(2).
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
