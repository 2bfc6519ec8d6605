//go:build unix && !linux

package datagram

import (
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// A recvBatch is the memory that one read(2) fills: a batch is one datagram where there is no recvmmsg.
type recvBatch struct {
	area      [receiver.MaxMessage + 1]byte // the byte too many tells an oversized datagram from a full one
	len       int
	addresses bool       // ask for them
	from      netip.Addr // where the datagram comes from
}

// newRecvBatch makes a batch that keeps the IP address of who sent the datagram, or doesn't. There are no credentials here.
func newRecvBatch(addresses, _ bool) *recvBatch { return &recvBatch{addresses: addresses} }

// recv reads one datagram. With wait it waits for it as long as SO_RCVTIMEO says. EAGAIN means that there was none.
// The message is valid until the next call.
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

// allowed says whether the datagram comes from an address on the list. The batch must keep addresses.
func (b *recvBatch) allowed(_ int, list *receiver.AllowList) bool { return list.Allows(b.from) }

// address returns where the datagram comes from, as a Sender has it. The batch must keep addresses.
func (b *recvBatch) address(int) netip.Addr { return receiver.Elsewhere(b.from) }

// sender is for Linux only.
func (b *recvBatch) sender(int) (pid int32, uid uint32, ok bool) { return 0, 0, false }

// haveCredentials says whether senders' credentials can be had on this system.
const haveCredentials = false

// askForCredentials is for Linux only.
func askForCredentials(int) error { return unix.ENOTSUP }

// shareAddress is for Linux only: elsewhere SO_REUSEPORT doesn't spread datagrams.
func shareAddress(int) error { return unix.ENOTSUP }

// message returns the datagram, and false if it is longer than MaxMessage.
func (b *recvBatch) message(int) (msg []byte, whole bool) {
	if b.len > receiver.MaxMessage {
		return nil, false
	}
	return b.area[:b.len:b.len], true
}

// setReceiveBuffer asks for a socket buffer of size bytes and returns what was granted. A size above the system's limit
// (kern.ipc.maxsockbuf) is refused, so it is halved until it is not. 0 asks for nothing.
func setReceiveBuffer(fd, size int) (granted int, err error) {
	for ; size > 0; size /= 2 {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size) == nil {
			break
		}
	}
	return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
}

// socketDrops is for Linux only.
func socketDrops(int) (uint32, bool) { return 0, false }

// refuseDescriptors is for Linux only. Elsewhere read(2) has no room for control data, so the kernel closes what a peer passes.
func refuseDescriptors(int) {}
