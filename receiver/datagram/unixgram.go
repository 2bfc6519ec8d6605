package datagram

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// UnixgramOptions are the settings of a Unixgram input. The zero value is usable.
type UnixgramOptions struct {
	// Mode is the permissions of the socket file, whatever the umask; who may write may log. 0
	// means 0666, as /dev/log has, since rsyncd logs as the user of the module.
	Mode fs.FileMode
	// Users are the numbers of the users who may log, empty for all; others' messages are discarded
	// as NotAllowed. rsyncd logs as root and as the users of its modules. Linux only.
	Users []uint32
}

// Unixgram receives syslog on a unix datagram socket, as /dev/log or /run/systemd/journal/syslog.
//
// When somebody removes the socket file, it is made again within about a second, with another
// socket: a bound one can't get another file. The old one is read on, since processes in a chroot
// that are connected to it can log nowhere else.
type Unixgram struct {
	path string
	opt  UnixgramOptions
	src  receiver.Source
	sink receiver.TrySink
	made bool          // by us, not passed: we make its file again, and remove it at the end
	look time.Duration // how often the socket file is looked at

	mu      sync.Mutex // guards what follows; the readers don't take it while they run
	file    socketFile // the newest socket's
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
	maxUnixSockets = 8 // read at the same time; of more, the oldest is closed
	lookInterval   = time.Second
)

// ListenUnixgram makes the socket file at path. A dead process' socket there is replaced; a live
// one's, and anything else, is an error. Others who may write to the directory can take the path
// away, which Status tells, and nothing more. The caller calls Run or Close.
func ListenUnixgram(path string, src receiver.Source, sink receiver.TrySink, opt UnixgramOptions) (*Unixgram, error) {
	if err := checkUnixgram(path, src.Name, opt); err != nil {
		return nil, err
	}
	u := &Unixgram{path: path, opt: opt, src: src, sink: sink, made: true, look: lookInterval}
	if _, err := u.open(); err != nil {
		return nil, err
	}
	return u, nil
}

// checkUnixgram looks at the options, not at the file system.
func checkUnixgram(path, name string, opt UnixgramOptions) error {
	if path == "" || strings.HasPrefix(path, "@") {
		return fmt.Errorf("unixgram %q: not a path (abstract sockets have no owner and no mode: name a file)", path)
	}
	if strings.HasSuffix(path, "/") { // bind(2) takes it for the directory, filepath.Base for a file in it
		return fmt.Errorf("unixgram %q: a directory's name (name a file in it)", path)
	}
	return checkUsers(name, opt)
}

// open makes a socket at the path and puts it at the end of the list.
func (u *Unixgram) open() (*unixSocket, error) {
	fd, file, err := bindUnixgram(u.path, u.opt.Mode)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	s := &unixSocket{in: newDatagrams(fd, &u.src, u.sink, filter{spaces: newPIDNamespaces(), users: u.opt.Users})}
	s.in.hangUp = runtime.GOOS == "linux" // elsewhere reads would give empty messages from then on
	u.opened++
	u.file.release()
	u.file, u.sockets = file, append(u.sockets, s)
	return s, nil
}

// checkUsers refuses a list of users where they can't be known.
func checkUsers(name string, opt UnixgramOptions) error {
	if len(opt.Users) > 0 && !haveCredentials {
		return fmt.Errorf("%s: a list of users who may log needs the senders' credentials, "+
			"which this system doesn't give (leave it empty)", name)
	}
	return nil
}

// PassedUnixgram returns an input on a unix datagram socket that is bound already, see
// preparePassed. fd belongs to the input from now on; the socket's file is neither removed nor made
// again. The caller calls Run or Close.
func PassedUnixgram(fd int, src receiver.Source, sink receiver.TrySink, opt UnixgramOptions) (*Unixgram, error) {
	if err := checkUsers(src.Name, opt); err != nil {
		return nil, err
	}
	addr, err := preparePassed(fd, src.Name)
	if err != nil {
		return nil, err
	}
	if err := prepareUnixgram(fd); err != nil {
		return nil, fmt.Errorf("%s: passed descriptor %d: credentials: %w", src.Name, fd, err)
	}
	u := &Unixgram{src: src, path: addr.String(), look: lookInterval, opened: 1}
	s := &unixSocket{in: newDatagrams(fd, &u.src, sink, filter{spaces: newPIDNamespaces(), users: opt.Users})}
	s.in.passed = true
	u.sockets = []*unixSocket{s}
	if dir, err := openDirectory(filepath.Dir(u.path)); err == nil {
		u.file, _ = fileOf(dir, u.path, fd, 0) // without a file Status shows that it isn't in place
		unix.Close(dir)
	}
	return u, nil
}

// CheckUnixgram returns why ListenUnixgram would refuse the path, in the same words, or nil. It
// wraps ErrInUse where another program receives there. It makes and removes nothing.
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
	switch err := mayChange(path); {
	case err == nil:
		return nil
	case left.id != (inode{}):
		return staleError(path, &fs.PathError{Op: "remove", Path: path, Err: err})
	default:
		return unixBindError(path, err)
	}
}

// prepareUnixgram makes a socket attach credentials and no descriptors.
func prepareUnixgram(fd int) error {
	refuseDescriptors(fd)
	if !haveCredentials {
		return nil
	}
	return askForCredentials(fd)
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

// Run receives until ctx ends, reads what is queued in the socket (for 2 s at most), closes it and
// removes its file, and offers what the Sink hasn't taken yet for 2 s at most. It returns nil, or
// an error when the socket can't be read at all. Call it once.
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

// rebind makes the socket file again if it is gone, and returns the new socket. What has taken its
// place stays, unless it is a dead process's socket.
func (u *Unixgram) rebind() *unixSocket {
	if !u.made || u.Status().InPlace {
		return nil
	}
	s, err := u.open()
	if err != nil {
		return nil // Status tells; another try follows
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, old := range u.sockets[:max(0, len(u.sockets)-maxUnixSockets)] {
		old.stop()
	}
	return s
}

// closeSocket releases a socket; with the last one it removes the file, if still the socket's.
func (u *Unixgram) closeSocket(s *unixSocket) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.errors += s.in.trouble.total.Load()
	u.sockets = slices.DeleteFunc(u.sockets, func(open *unixSocket) bool { return open == s })
	var err error
	if len(u.sockets) == 0 {
		if u.made {
			err = u.file.remove(u.path)
		}
		u.file.release()
	}
	return errors.Join(err, unix.Close(s.in.fd))
}

// Close removes the socket file, if it still is this socket's, and releases the socket of an input
// that never ran. Run does the same at its end.
func (u *Unixgram) Close() error {
	var err error
	for len(u.sockets) > 0 {
		err = errors.Join(err, u.closeSocket(u.sockets[0]))
	}
	return err
}

// Status may be called at any time. It asks the file system.
func (u *Unixgram) Status() receiver.Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	inPlace := strings.HasPrefix(u.path, "@") || u.file.at(u.path) // a passed abstract socket has no file
	st := receiver.Status{InPlace: inPlace, Rebinds: u.opened - 1, Unsure: u.file.unsure, Errors: u.errors}
	for _, s := range u.sockets {
		st.Errors += s.in.trouble.total.Load()
	}
	return st
}

// Turns is as UDP's.
func (u *Unixgram) Turns() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	var readers []*datagrams
	for _, s := range u.sockets {
		readers = append(readers, s.in)
	}
	return u.rounds.count(readers)
}

// Addr returns the path as an address.
func (u *Unixgram) Addr() net.Addr { return &net.UnixAddr{Name: u.path, Net: "unixgram"} }

// String returns the Source's name.
func (u *Unixgram) String() string { return u.src.Name }
