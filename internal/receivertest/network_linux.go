package receivertest

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
)

// InNetwork runs f on a thread in a network namespace of its own, where only loopback is, up, with
// this MTU, and throws the thread away. What f makes stays in that network, also when other threads
// use it.
func InNetwork(t *testing.T, mtu uint32, f func()) {
	t.Helper()
	testenv.OnThrownThread(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("a network namespace (this test needs root, or CAP_SYS_ADMIN): %v", err)
			return
		}
		SetInterface(t, "lo", unix.SIOCSIFMTU, func(ifr *unix.Ifreq) { ifr.SetUint32(mtu) })
		SetInterface(t, "lo", unix.SIOCSIFFLAGS, func(ifr *unix.Ifreq) { ifr.SetUint16(unix.IFF_UP) })
		f()
	})
}

// SetInterface changes something about a network interface, netdevice(7).
func SetInterface(t *testing.T, name string, request uint, set func(*unix.Ifreq)) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	set(ifr)
	if err := unix.IoctlIfreq(fd, request, ifr); err != nil {
		t.Fatalf("%s, request %#x: %v", name, request, err)
	}
}

// otherMachines are addresses that no loopback address is.
var otherMachines = []string{"10.9.9.1", "10.9.9.2", "2001:db8::1"}

// InNetworkOfMachines is inNetwork with otherMachines' addresses, so that messages can come from
// there.
func InNetworkOfMachines(t *testing.T, f func()) {
	t.Helper()
	InNetwork(t, 65536, func() {
		for i, m := range otherMachines {
			addr := netip.MustParseAddr(m)
			if addr.Is4() {
				SetInterface(t, fmt.Sprintf("lo:%d", i+1), unix.SIOCSIFADDR,
					func(ifr *unix.Ifreq) { _ = ifr.SetInet4Addr(addr.AsSlice()) })
				continue
			}
			fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			// struct in6_ifreq, linux/ipv6.h; loopback is interface 1 of each network
			ifr := struct {
				addr      [16]byte
				prefixLen uint32
				index     int32
			}{addr.As16(), 128, 1}
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&ifr)))
			unix.Close(fd)
			if errno != 0 {
				t.Fatal(errno)
			}
			// Duplicate address detection has nothing to do here, but does it later
			Reach(t, "the address is there", func() bool {
				c, err := net.ListenUDP("udp", &net.UDPAddr{IP: addr.AsSlice()})
				if err == nil {
					c.Close()
				}
				return err == nil
			})
		}
		f()
	})
}

// A Bound is one way of a message.
type Bound struct{ Listen, From, To, Want string }

// Bounds are how a message can travel from one address to another, and the address that it is from.
var Bounds = []Bound{
	{"0.0.0.0:0", "10.9.9.1", "10.9.9.2", "10.9.9.1"},
	{"0.0.0.0:0", "127.0.0.1", "127.0.0.1", ""},
	{"10.9.9.1:0", "10.9.9.2", "10.9.9.1", "10.9.9.2"},
	{"[::]:0", "10.9.9.1", "10.9.9.1", "10.9.9.1"}, // IPv4-mapped in the kernel's eyes
	{"[::]:0", "127.0.0.2", "127.0.0.1", ""},
	{"[::]:0", "2001:db8::1", "2001:db8::1", "2001:db8::1"},
	{"[::]:0", "::1", "::1", ""},
	{"127.0.0.1:0", "127.0.0.1", "127.0.0.1", ""},
}

// Duplicate returns another descriptor of a socket, and closes the socket's own.
func Duplicate(t *testing.T, s interface {
	File() (*os.File, error)
	Close() error
}, err error) *os.File {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	t.Cleanup(func() { f.Close() })
	return f
}

// Pass returns one more descriptor of f, as a child process would have it.
func Pass(t *testing.T, f *os.File) int {
	t.Helper()
	raw, err := f.SyscallConn() // Fd would make the socket block, which is for the input to do
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	cerr := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	if cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return fd
}

// NeedFilters skips the test where a socket can't be given a filter, as root can't in some
// sandboxes.
func NeedFilters(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	Must(t, err)
	defer unix.Close(fd)
	accept := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: 1, Filter: &accept}); err != nil {
		t.Skipf("no filter here: %v", err)
	}
}
