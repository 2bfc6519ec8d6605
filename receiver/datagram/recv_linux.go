package datagram

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// A recvBatch is the memory that one recvmmsg(2) fills. It must stay on the heap, where nothing
// moves: the kernel has its addresses. Pages that no datagram ever reached cost nothing.
type recvBatch struct {
	area    []byte // batchMessages pieces of pieceSize bytes
	vectors [batchMessages]unix.Iovec
	headers [batchMessages]mmsghdr
	senders []unix.RawSockaddrInet6 // where the datagrams come from; nil where nobody asks, as an address costs
	control []credentials           // who sent them; nil likewise
	used    int                     // headers that the last call has written lengths into
}

// pieceSize is the room for a datagram. One byte more than MaxMessage tells an oversized one from a
// full one. Were the pieces a multiple of 4 KiB apart, their first bytes would share the few places
// that a processor's cache has for such addresses.
const pieceSize = receiver.MaxMessage + 192

// credentials is a control message of type SCM_CREDENTIALS, unix(7). There is no room for another
// one behind it.
type credentials struct {
	header unix.Cmsghdr
	ucred  unix.Ucred
	_      [4]byte // CMSG_SPACE
}

// mmsghdr is struct mmsghdr of recvmmsg(2); Go pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// newRecvBatch makes a batch that keeps the senders' IP addresses or credentials, or neither.
func newRecvBatch(addresses, creds bool) *recvBatch {
	b := &recvBatch{area: make([]byte, batchMessages*pieceSize), used: batchMessages}
	if addresses {
		b.senders = make([]unix.RawSockaddrInet6, batchMessages) // holds a RawSockaddrInet4, too
	}
	if creds {
		b.control = make([]credentials, batchMessages)
	}
	for i := range b.headers {
		b.vectors[i].Base = &b.area[i*pieceSize]
		b.vectors[i].SetLen(receiver.MaxMessage + 1)
		h := &b.headers[i].hdr
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
		if addresses {
			h.Name = (*byte)(unsafe.Pointer(&b.senders[i])) // #nosec G103 -- recvmmsg fills it; b keeps it alive
		}
		if creds { // descriptors that a peer passes (SCM_RIGHTS) find no room, and the kernel closes them: unix(7)
			h.Control = (*byte)(unsafe.Pointer(&b.control[i])) // #nosec G103 -- as above, recvmmsg fills it
		}
	}
	return b
}

// rearm gives back the lengths of addresses and control data that the last call has overwritten.
func (b *recvBatch) rearm() {
	for i := range b.used {
		h := &b.headers[i].hdr
		if b.senders != nil {
			h.Namelen = unix.SizeofSockaddrInet6
		}
		if b.control != nil {
			h.SetControllen(int(unsafe.Sizeof(credentials{})))
			b.control[i].header.Type = 0
		}
	}
	b.used = 0
}

// recv reads 1 to batchMessages datagrams. With wait it waits for the first as long as SO_RCVTIMEO
// says. EAGAIN means that there was none. The messages are valid until the next call.
func (b *recvBatch) recv(fd int, wait bool) (int, syscall.Errno) {
	flags := unix.MSG_WAITFORONE
	if !wait {
		flags = unix.MSG_DONTWAIT
	}
	if b.senders != nil || b.control != nil {
		b.rearm()
		flags |= unix.MSG_CMSG_CLOEXEC
	}
	// #nosec G103 -- x/sys has no recvmmsg; the array has batchMessages headers
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[0])),
		batchMessages, uintptr(flags), 0, 0)
	if errno != 0 {
		b.used = 1 // the kernel may have begun
		return 0, errno
	}
	b.used = int(n)
	return int(n), 0
}

// address returns where the datagram at index i of the last batch comes from. The batch must keep
// addresses.
func (b *recvBatch) address(i int) netip.Addr {
	switch sa := &b.senders[i]; sa.Family {
	case unix.AF_INET:
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa)) // #nosec G103 -- the family says so, and sa is longer
		return netip.AddrFrom4(four.Addr)
	case unix.AF_INET6:
		return netip.AddrFrom16(sa.Addr)
	}
	return netip.Addr{}
}

// sender returns who sent the datagram at index i of the last batch: the user's number, and the
// process id in our pid namespace, 0 for a process that can't be seen from here. The batch must
// keep credentials. ok is false where the kernel gave none.
func (b *recvBatch) sender(i int) (pid int32, uid uint32, ok bool) {
	c := &b.control[i]
	if c.header.Level != unix.SOL_SOCKET || c.header.Type != unix.SCM_CREDENTIALS {
		return 0, 0, false
	}
	return c.ucred.Pid, c.ucred.Uid, true
}

// message returns the datagram at index i of the last batch, and false if it is longer than
// MaxMessage.
func (b *recvBatch) message(i int) (msg []byte, whole bool) {
	h := &b.headers[i]
	if h.len > receiver.MaxMessage { // a datagram that didn't fit (MSG_TRUNC) has the length of its piece
		return nil, false
	}
	start := i * pieceSize
	end := start + int(h.len)
	return b.area[start:end:end], true
}

// setReceiveBuffer asks for a socket buffer of size bytes, 0 for nothing, and returns what was
// granted. SO_RCVBUFFORCE needs CAP_NET_ADMIN; SO_RCVBUF is cut to net.core.rmem_max without an
// error. The kernel doubles the number for its own overhead, socket(7).
func setReceiveBuffer(fd, size int) (granted int, err error) {
	if size > 0 && unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
			return 0, err
		}
	}
	granted, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	return granted / 2, err
}

// socketDrops returns how many datagrams the kernel has dropped at this socket, modulo 2^32:
// SK_MEMINFO_DROPS of SO_MEMINFO (Linux 4.12). SO_RXQ_OVFL would need a next datagram to show them.
func socketDrops(fd int) (uint32, bool) {
	const drops = 8 // SK_MEMINFO_DROPS, linux/sock_diag.h
	var info [drops + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	// #nosec G103 -- x/sys has no SO_MEMINFO; size is that of info
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	return info[drops], errno == 0 && size == uint32(unsafe.Sizeof(info))
}

// askForCredentials makes the kernel attach SCM_CREDENTIALS to each datagram that is sent from now
// on.
func askForCredentials(fd int) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
}

// haveCredentials says whether senders' credentials can be had on this system.
const haveCredentials = true

// shareAddress lets further sockets of the same user that ask for it too bind the address of this
// one. The socket may be bound already (net/core/sock_reuseport.c:reuseport_add_sock).
func shareAddress(fd int) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

// refuseDescriptors makes the kernel refuse SCM_RIGHTS at the sender (Linux 6.16). Older kernels
// close what was passed on our thread, where the close of a socket with SO_LINGER could hold the
// reader up.
func refuseDescriptors(fd int) {
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0)
}
