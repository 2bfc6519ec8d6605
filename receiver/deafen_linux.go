package receiver

import "golang.org/x/sys/unix"

// Deafen has the kernel drop every packet to the socket (socket(7), SO_ATTACH_FILTER): a filter of
// one instruction that returns 0 bytes. Where a sandbox forbids that, the socket hears what is sent
// to it for the moment that it is open.
func Deafen(fd int) error {
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	_ = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
	return nil
}
