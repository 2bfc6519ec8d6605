package datagram

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// openSearch is for a directory that may only be searched.
const openSearch = unix.O_PATH

// bindWithMode binds the socket to the path. Its file has the mode from its first moment: bind(2)
// takes it from the socket, less the umask (net/unix/af_unix.c, unix_bind_bsd). The umask is the
// process', and is away for that one call; all else that the program makes has a mode that gives
// others nothing.
func bindWithMode(fd int, path string, mode fs.FileMode) error {
	if err := unix.Fchmod(fd, uint32(mode)); err != nil {
		return err
	}
	umasks.Lock()
	defer umasks.Unlock()
	defer unix.Umask(unix.Umask(0))
	return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
}

// openFile opens what has the path's name in the directory. Its error may wrap fs.ErrNotExist.
func openFile(dir int, path string) (f socketFile, st unix.Stat_t, err error) {
	fd, err := unix.Openat(dir, filepath.Base(path), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return socketFile{}, st, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return socketFile{}, st, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return socketFile{id: idOf(&st), fd: fd}, st, nil
}

// name is a path to the file that leads nowhere else, whatever becomes of its own.
func (f *socketFile) name(string) string { return "/proc/self/fd/" + strconv.Itoa(f.fd) }

// fileOf returns the file that the socket is bound to, or none where another has taken the path. If
// mode isn't 0 the file gets it, also where the directory's default ACL would have it otherwise.
func fileOf(dir int, path string, socket int, mode fs.FileMode) (socketFile, error) {
	f, st, err := openFile(dir, path)
	if errors.Is(err, fs.ErrNotExist) {
		return socketFile{}, nil
	}
	if err != nil {
		return socketFile{}, err
	}
	has := modeOf(&st)
	is, err := f.leadsTo(path, socket)
	switch {
	case has.Type() != fs.ModeSocket, err == nil && !is, mode != 0 && st.Uid != uint32(os.Geteuid()):
		f.release()
		return socketFile{}, nil
	case mode == 0 || has.Perm() == mode:
		f.unsureIf(dir, err)
		return f, nil
	case err != nil:
		f.release()
		return socketFile{}, fmt.Errorf("it has mode %04o, and whether it is the exporter's can't be asked, "+
			"to change that: %w (allow netlink sockets, RestrictAddressFamilies=AF_NETLINK, "+
			"or take the default ACL off the directory)", has.Perm(), err)
	}
	if err := unix.Chmod(f.name(path), uint32(mode)); err != nil {
		f.release()
		return socketFile{}, fmt.Errorf("giving it mode %04o: %w", mode, err)
	}
	return f, nil
}

// leadsTo asks the kernel whether who connects to the file reaches the socket.
func (f *socketFile) leadsTo(path string, socket int) (bool, error) {
	probe, err := f.connect(path)
	switch {
	case err == nil:
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EPROTOTYPE), // a dead socket, a stream socket
		errors.Is(err, unix.EPERM): // one that is connected, as the exporter's never is
		return false, nil
	default:
		return false, err
	}
	defer unix.Close(probe)
	peer, err := socketPeer(probe)
	if err != nil {
		return false, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(socket, &st); err != nil {
		return false, err
	}
	return uint32(st.Ino) == peer, nil
}

// unix_diag, linux/unix_diag.h
const (
	sockDiagByFamily = 20
	diagShowPeer     = 0x4 // UDIAG_SHOW_PEER
	diagPeer         = 2   // UNIX_DIAG_PEER
	diagLength       = 16  // of a unix_diag_msg
)

// A diagRequest asks about unix sockets: sock_diag(7).
type diagRequest struct {
	Header           unix.NlMsghdr // without sequence and port: the kernel answers this socket
	Family, Protocol uint8
	_                uint16
	States           uint32
	Inode            uint32
	Show             uint32
	Cookie           uint64
}

// socketPeer returns which socket a unix socket is connected to, by the inode that fstat has for
// it.
func socketPeer(fd int) (inode uint32, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	diag, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, fmt.Errorf("netlink: %w", err)
	}
	defer unix.Close(diag)
	question := diagRequest{
		Header: unix.NlMsghdr{Type: sockDiagByFamily, Flags: unix.NLM_F_REQUEST}, Family: unix.AF_UNIX,
		States: ^uint32(0), Inode: uint32(st.Ino), Show: diagShowPeer, Cookie: ^uint64(0),
	}
	question.Header.Len = uint32(binary.Size(question))
	request, err := binary.Append(nil, binary.NativeEndian, question)
	if err != nil {
		return 0, err
	}
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK} // port 0
	if err := unix.Sendto(diag, request, 0, kernel); err != nil {
		return 0, fmt.Errorf("netlink: %w", err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(diag, answer, unix.MSG_DONTWAIT) // the kernel has answered within the call
	if err != nil {
		return 0, fmt.Errorf("netlink: %w", err)
	}
	return peerIn(answer[:n])
}

// peerIn finds the peer in the kernel's answer.
func peerIn(answer []byte) (inode uint32, err error) {
	order := binary.NativeEndian
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil || len(messages) != 1 || len(messages[0].Data) < 4 {
		return 0, fmt.Errorf("netlink: an answer of %d bytes", len(answer))
	}
	data := messages[0].Data
	switch kind := messages[0].Header.Type; {
	case kind == unix.NLMSG_ERROR:
		return 0, fmt.Errorf("netlink: %w", unix.Errno(-int32(order.Uint32(data))))
	case kind != sockDiagByFamily || len(data) < diagLength:
		return 0, fmt.Errorf("netlink: an answer of type %d", kind)
	}
	for rest := data[diagLength:]; len(rest) >= 8; {
		length, kind := int(order.Uint16(rest)), order.Uint16(rest[2:])
		if kind == diagPeer && length >= 8 {
			return order.Uint32(rest[4:]), nil
		}
		rest = rest[min(len(rest), max(4, (length+3)&^3)):]
	}
	return 0, errors.New("netlink: no peer in the answer")
}
