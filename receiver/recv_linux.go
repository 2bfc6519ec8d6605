package receiver

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A recvBatch is the memory that one recvmmsg(2) fills. It must stay on the heap, where nothing moves: the kernel has its addresses.
// Pages that no datagram ever reached cost nothing.
type recvBatch struct {
	area    []byte // batchMessages pieces of MaxMessage+1 bytes; the one too many tells an oversized datagram from a full one
	vectors [batchMessages]unix.Iovec
	headers [batchMessages]mmsghdr
}

// mmsghdr is struct mmsghdr of recvmmsg(2); Go pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

func newRecvBatch() *recvBatch {
	b := &recvBatch{area: make([]byte, batchMessages*(MaxMessage+1))}
	for i := range b.headers {
		b.vectors[i].Base = &b.area[i*(MaxMessage+1)]
		b.vectors[i].SetLen(MaxMessage + 1)
		// No room for an address, since nobody asks for it, and none for control data: descriptors that a peer passes by SCM_RIGHTS
		// are then closed by the kernel, see unix(7).
		b.headers[i].hdr.Iov = &b.vectors[i]
		b.headers[i].hdr.SetIovlen(1)
	}
	return b
}

// recv reads 1 to batchMessages datagrams. With wait it waits for the first as long as SO_RCVTIMEO says; the rest is what is there.
// EAGAIN means that there was none. The messages are valid until the next call.
func (b *recvBatch) recv(fd int, wait bool) (int, syscall.Errno) {
	flags := unix.MSG_WAITFORONE
	if !wait {
		flags = unix.MSG_DONTWAIT
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[0])), batchMessages, uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// message returns the datagram at index i of the last batch, and false if it is longer than MaxMessage.
func (b *recvBatch) message(i int) (msg []byte, whole bool) {
	h := &b.headers[i]
	if h.len > MaxMessage { // of a datagram that didn't fit (MSG_TRUNC) the length is that of its piece, so this finds those too
		return nil, false
	}
	start := i * (MaxMessage + 1)
	end := start + int(h.len)
	return b.area[start:end:end], true
}

// setReceiveBuffer asks for a socket buffer of size bytes and returns what was granted. SO_RCVBUFFORCE needs CAP_NET_ADMIN; SO_RCVBUF
// is cut to net.core.rmem_max without a word. The kernel doubles the number for its own overhead, socket(7). 0 asks for nothing.
func setReceiveBuffer(fd, size int) (granted int, err error) {
	if size > 0 && unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
			return 0, err
		}
	}
	granted, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	return granted / 2, err
}

// socketDrops returns how many datagrams the kernel has dropped at this socket since it exists, modulo 2^32: SK_MEMINFO_DROPS of
// SO_MEMINFO (Linux 4.12). Unlike SO_RXQ_OVFL it needs no next datagram to become visible.
func socketDrops(fd int) (uint32, bool) {
	const drops = 8 // SK_MEMINFO_DROPS, linux/sock_diag.h
	var info [drops + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	return info[drops], errno == 0 && size == uint32(unsafe.Sizeof(info))
}

// refuseDescriptors makes the kernel refuse SCM_RIGHTS at the sender (Linux 6.16). Older kernels close what was passed when the message
// is read, on our thread, where the close of a socket with SO_LINGER could hold the reader up.
func refuseDescriptors(fd int) {
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0)
}
