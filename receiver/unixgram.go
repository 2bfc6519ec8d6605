package receiver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// UnixgramOptions are the settings of a Unixgram input. The zero value is usable.
type UnixgramOptions struct {
	// Mode is the permissions of the socket file, whatever the umask; who may write may log. 0 means 0666, as /dev/log has, since
	// rsyncd logs as the user of the module.
	Mode fs.FileMode
	// Users are the numbers of the users who may log, empty for all; others' messages are discarded as NotAllowed. rsyncd logs as root and
	// as the users of its modules. Linux only.
	Users []uint32
}

// Unixgram receives syslog on a unix datagram socket, in the role of /dev/log or of /run/systemd/journal/syslog.
//
// When somebody removes the socket file, it is made again within about a second, with another socket, since a bound one can't get another
// file. The old one is read on: processes that are connected to it still log there, and in a chroot they can do nothing else.
type Unixgram struct {
	path string
	opt  UnixgramOptions
	src  Source
	sink Sink
	lock *os.File
	look time.Duration // how often the socket file is looked at

	mu      sync.Mutex // guards what follows; the readers don't take it while they run
	inode   fileID     // of the newest socket's file
	sockets []*unixSocket
	opened  uint64 // sockets so far
	rounds  rounds // of all readers
	errors  uint64 // failed reads of sockets that are closed
}

// A unixSocket is one of the sockets that have had the path, the newest last.
type unixSocket struct {
	in   *datagrams
	stop func() // ends its reader; nil before Run
}

const (
	maxUnixSockets = 8 // read at the same time; of more, the oldest is closed, and its senders connect anew if they can
	lookInterval   = time.Second
)

// fileID tells a file from another one of the same name.
type fileID struct{ dev, ino uint64 }

// ListenUnixgram makes the socket file at path. A file that a dead process has left there is replaced; the socket of a live one, and
// anything that is no socket, is an error. An flock on path.lock, a file that stays, keeps a second instance from taking the
// path over at the same time. The caller calls Run, or Close where it doesn't come to that.
func ListenUnixgram(path string, src Source, sink Sink, opt UnixgramOptions) (*Unixgram, error) {
	if err := checkUnixgram(path, src.Name, opt); err != nil {
		return nil, err
	}
	lock, err := lockPath(path)
	if err != nil {
		return nil, err
	}
	u := &Unixgram{path: path, opt: opt, src: src, sink: sink, lock: lock, look: lookInterval}
	if _, err := u.open(); err != nil {
		lock.Close()
		return nil, err
	}
	return u, nil
}

// checkUnixgram says what of the options can't be, without a look at the file system.
func checkUnixgram(path, name string, opt UnixgramOptions) error {
	if path == "" || strings.HasPrefix(path, "@") {
		return fmt.Errorf("unixgram %q: not a path (abstract sockets have no owner and no mode: name a file)", path)
	}
	return checkUsers(name, opt)
}

// open makes a socket at the path and puts it at the end of the list.
func (u *Unixgram) open() (*unixSocket, error) {
	fd, inode, err := bindUnixgram(u.path, u.opt.Mode)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	s := &unixSocket{in: newDatagrams(fd, &u.src, u.sink, unixgramFilter(u.opt))}
	s.in.hangUp = runtime.GOOS == "linux" // elsewhere reads that find nothing would give empty messages from then on
	u.opened++
	u.inode, u.sockets = inode, append(u.sockets, s)
	return s, nil
}

// checkUsers refuses a list of users where they can't be known.
func checkUsers(name string, opt UnixgramOptions) error {
	if len(opt.Users) > 0 && !haveCredentials {
		return fmt.Errorf("%s: a list of users who may log needs the senders' credentials, which this system doesn't give (leave it empty)", name)
	}
	return nil
}

// unixgramFilter asks for credentials wherever there are any: they say who may log and under which process ids, and they keep equal ids
// of different pid namespaces apart.
func unixgramFilter(opt UnixgramOptions) filter {
	if !haveCredentials {
		return filter{}
	}
	return filter{creds: true, users: opt.Users, spaces: newPIDNamespaces()}
}

// prepareUnixgram makes a socket, before it is bound, attach credentials and no descriptors.
func prepareUnixgram(fd int) error {
	refuseDescriptors(fd)
	if !haveCredentials {
		return nil
	}
	return askForCredentials(fd)
}

// lockPath takes the lock that guards path. The kernel gives it back when the process ends, however it ends.
func lockPath(path string) (*os.File, error) {
	lock, err := openLock(path, os.O_CREATE)
	if err != nil {
		return nil, lockFileError(path, err)
	}
	if err := takePathLock(path, lock, unix.LOCK_EX); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// openLock opens the file that lockPath locks.
func openLock(path string, create int) (*os.File, error) {
	return os.OpenFile(path+".lock", os.O_RDWR|create|syscall.O_NOFOLLOW, 0o600)
}

// takePathLock takes the lock of an open lock file; how is LOCK_EX, or LOCK_SH to see whether somebody has it.
func takePathLock(path string, lock *os.File, how int) error {
	err := unix.Flock(int(lock.Fd()), how|unix.LOCK_NB)
	if err != nil {
		return fmt.Errorf("unixgram %q: %s.lock: %w (%w: stop it or choose another path)", path, path, err, ErrInUse)
	}
	return nil
}

// bindUnixgram makes a socket and its file, with the lock held.
func bindUnixgram(path string, mode fs.FileMode) (fd int, inode fileID, err error) {
	if err := removeStale(path); err != nil {
		return -1, fileID{}, err
	}
	if mode = mode.Perm(); mode == 0 {
		mode = 0o666
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(s uintptr) {
			// On Linux the file gets the socket's mode, less the umask, so it is never wider than asked for. Elsewhere this fails: no matter.
			_ = unix.Fchmod(int(s), uint32(mode))
			err = prepareUnixgram(int(s))
		})
		return errors.Join(cerr, err)
	}}
	conn, err := lc.ListenPacket(context.Background(), "unixgram", path)
	if err != nil {
		return -1, fileID{}, unixBindError(path, err)
	}
	if err := os.Chmod(path, mode); err != nil { // gives back what the umask took
		conn.Close()
		return -1, fileID{}, fmt.Errorf("unixgram %q: %w", path, err)
	}
	if fd, err = takeDescriptor(conn.(*net.UnixConn)); err != nil {
		return -1, fileID{}, fmt.Errorf("unixgram %q: socket: %w", path, err)
	}
	if inode, err = idOf(path); err != nil {
		unix.Close(fd)
		return -1, fileID{}, fmt.Errorf("unixgram %q: %w", path, err)
	}
	return fd, inode, nil
}

// removeStale removes the socket file of a process that is gone, which is one that nobody answers at.
func removeStale(path string) error {
	stale, err := isStale(path)
	if err != nil || !stale {
		return err
	}
	if err := os.Remove(path); err != nil {
		return staleError(path, err)
	}
	return nil
}

// isStale says whether there is such a file. What is neither that nor nothing is an error.
func isStale(path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("unixgram %q: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return false, fmt.Errorf("unixgram %q: there is something that is no socket, mode %s (nothing is overwritten: move it away or choose another path)",
			path, info.Mode())
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err == nil {
		conn.Close()
		return false, fmt.Errorf("unixgram %q: another program receives there (systemd-journald, syslogd? stop it or choose another path)", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return false, fmt.Errorf("unixgram %q: a socket is there, and whether it is in use can't be told: %w (remove it if it is not)", path, err)
	}
	return true, nil
}

// unixBindError says what to do about a path that can't be bound.
func unixBindError(path string, err error) error {
	remedy := "the directory must exist and be writable"
	switch {
	case errors.Is(err, syscall.EINVAL):
		remedy = "a socket's path has at most 107 bytes on Linux, 103 elsewhere"
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "another program has just bound it"
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	return fmt.Errorf("unixgram %q: %w (%s)", path, err, remedy)
}

// idOf returns the identity of the file at path, of a symbolic link itself.
func idOf(path string) (fileID, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fileID{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return fileID{uint64(st.Dev), uint64(st.Ino)}, nil
}

// Run receives until ctx ends, reads what is queued in the socket (for 2 s at most), closes it and removes its file, and offers what the
// Sink hasn't taken yet for 2 s at most. It returns nil, or an error when the socket can't be read at all. Call it once.
func (u *Unixgram) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	read := func(s *unixSocket) {
		ctx, stop := context.WithCancel(ctx)
		s.stop = stop
		g.Go(func() error {
			defer stop()
			return s.in.run(ctx, func() error { return u.closeSocket(s) })
		})
	}
	for _, s := range u.sockets {
		read(s)
	}
	g.Go(func() error {
		look := time.NewTicker(u.look)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-look.C:
				if s := u.rebind(); s != nil {
					read(s)
				}
			}
		}
	})
	return g.Wait()
}

// rebind makes the socket file again if it is gone, and returns the new socket. What has taken its place stays, as it does at the start, unless
// it is a dead process's.
func (u *Unixgram) rebind() *unixSocket {
	if u.lock == nil || u.InPlace() { // without a lock it is a passed socket's file, and for somebody else to make
		return nil
	}
	s, err := u.open()
	if err != nil {
		return nil // InPlace tells; another try follows
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, old := range u.sockets[:max(0, len(u.sockets)-maxUnixSockets)] {
		old.stop()
	}
	return s
}

// closeSocket releases a socket and, with the last one, the lock, after removing the file if it still is the socket's.
func (u *Unixgram) closeSocket(s *unixSocket) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.errors += s.in.trouble.total.Load()
	u.sockets = slices.DeleteFunc(u.sockets, func(open *unixSocket) bool { return open == s })
	if s.in.passed {
		return unix.Close(s.in.fd) // file and lock are for whoever made the socket
	}
	last := len(u.sockets) == 0
	var err error
	if last && u.inPlace() {
		err = os.Remove(u.path)
	}
	err = errors.Join(err, unix.Close(s.in.fd))
	if last {
		err = errors.Join(err, u.lock.Close())
	}
	return err
}

// Close removes the socket file, if it still is this socket's, and releases the socket and the lock. It is for an input that never ran; Run
// does the same at its end.
func (u *Unixgram) Close() error {
	var err error
	for len(u.sockets) > 0 {
		err = errors.Join(err, u.closeSocket(u.sockets[0]))
	}
	return err
}

// InPlace reports whether the path still leads to this socket. When it doesn't, somebody removed or replaced the file, and programs that
// connect from now on don't reach us; those that are connected still do. It may be called at any time; it asks the file system.
func (u *Unixgram) InPlace() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.inPlace()
}

func (u *Unixgram) inPlace() bool {
	if strings.HasPrefix(u.path, "@") { // a passed abstract socket has no file
		return true
	}
	id, err := idOf(u.path)
	return err == nil && id == u.inode
}

// Rebinds returns how often the socket file was made again. It may be called at any time.
func (u *Unixgram) Rebinds() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.opened - 1
}

// ReadErrors returns how many reads failed, other than by time-out. It may be called at any time.
func (u *Unixgram) ReadErrors() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	total := u.errors
	for _, s := range u.sockets {
		total += s.in.trouble.total.Load()
	}
	return total
}

// Addr returns the path as an address.
func (u *Unixgram) Addr() net.Addr { return &net.UnixAddr{Name: u.path, Net: "unixgram"} }

// String returns the Source's name.
func (u *Unixgram) String() string { return u.src.Name }
