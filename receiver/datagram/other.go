//go:build unix && !linux

package datagram

import (
	"errors"
	"io/fs"
	"net/netip"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// What only Linux has: senders' credentials and pid namespaces, SO_REUSEPORT that spreads
// datagrams, counted drops. read(2) has no room for control data, so the kernel closes the
// descriptors that a peer passes.

const haveCredentials = false

type pidNamespaces struct{}

func newPIDNamespaces() *pidNamespaces { return nil }

func (*pidNamespaces) sender(int32, uint32, int32, int64) receiver.Sender { return receiver.Sender{} }

func (b *recvBatch) sender(int) (pid int32, uid uint32, ok bool) { return 0, 0, false }

func askForCredentials(int) error { return unix.ENOTSUP }

func refuseDescriptors(int) {}

func shareAddress(int) error { return unix.ENOTSUP }

func socketDrops(int) (uint32, bool) { return 0, false }

// A recvBatch is the memory that one read(2) fills: a batch is one datagram where there is no
// recvmmsg.
type recvBatch struct {
	area      [receiver.MaxMessage + 1]byte // the byte too many tells an oversized datagram
	len       int
	addresses bool       // ask for them
	from      netip.Addr // where the datagram comes from
}

func newRecvBatch(addresses, _ bool) *recvBatch { return &recvBatch{addresses: addresses} }

// recv reads one datagram. With wait it waits for it as long as SO_RCVTIMEO says. EAGAIN means that
// there was none. The message is valid until the next call.
func (b *recvBatch) recv(fd int, wait bool) (int, syscall.Errno) {
	if !wait { // only ever at the end of an input's life, so there is no way back
		_ = unix.SetNonblock(fd, true)
	}
	n, err := b.read(fd)
	if err != nil {
		errno := syscall.EIO
		errors.As(err, &errno)
		return 0, errno
	}
	b.len = n
	return 1, 0
}

// read is read(2), or recvfrom(2) where the address is asked for.
func (b *recvBatch) read(fd int) (int, error) {
	if !b.addresses {
		return unix.Read(fd, b.area[:])
	}
	n, from, err := unix.Recvfrom(fd, b.area[:], 0)
	b.from = netip.Addr{}
	switch sa := from.(type) {
	case *unix.SockaddrInet4:
		b.from = netip.AddrFrom4(sa.Addr)
	case *unix.SockaddrInet6:
		b.from = netip.AddrFrom16(sa.Addr)
	}
	return n, err
}

// address returns where the datagram comes from. The batch must keep addresses.
func (b *recvBatch) address(int) netip.Addr { return b.from }

// message returns the datagram, and false if it is longer than MaxMessage.
func (b *recvBatch) message(int) (msg []byte, whole bool) {
	if b.len > receiver.MaxMessage {
		return nil, false
	}
	return b.area[:b.len:b.len], true
}

// setReceiveBuffer asks for a socket buffer of size bytes, 0 for nothing, and returns what was
// granted. A size above the system's limit (kern.ipc.maxsockbuf) is refused, so it is halved until
// it is not.
func setReceiveBuffer(fd, size int) (granted int, err error) {
	for size > 0 && unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size) != nil {
		size /= 2
	}
	return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
}

// openSearch is for a directory that may only be searched, which takes the right to read it here.
const openSearch = unix.O_RDONLY

// bindWithMode binds the socket to the path. The file gets its mode afterwards, and through no
// symbolic link.
func bindWithMode(fd int, path string, mode fs.FileMode) error {
	umasks.Lock()
	defer umasks.Unlock()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return err
	}
	return unix.Fchmodat(unix.AT_FDCWD, path, uint32(mode), unix.AT_SYMLINK_NOFOLLOW)
}

// openFile looks at what has the path's name in the directory. The error wraps fs.ErrNotExist if
// nothing has.
func openFile(dir int, path string) (f socketFile, st unix.Stat_t, err error) {
	if err := unix.Fstatat(dir, filepath.Base(path), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return socketFile{}, st, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return socketFile{id: idOf(&st)}, st, nil
}

// name is the path: there is no other one here.
func (f *socketFile) name(path string) string { return path }

// fileOf returns the file at the path, or none where there is no socket. Whose it is can't be asked
// here.
func fileOf(dir int, path string, _ int, _ fs.FileMode) (socketFile, error) {
	f, st, err := openFile(dir, path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && modeOf(&st).Type() != fs.ModeSocket {
		return socketFile{}, nil
	}
	f.unsureIf(dir, errors.ErrUnsupported)
	return f, err
}
