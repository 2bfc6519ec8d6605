// Package systemd speaks sd_listen_fds(3) and sd_notify(3) with a supervisor, if there is one.
package systemd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Kind is what a passed socket is, whatever its name says.
type Kind string

// The kinds of sockets that can be used.
const (
	UDP      Kind = "UDP"           // ListenDatagram= with a port
	Unixgram Kind = "unix datagram" // ListenDatagram= with a path
	TCP      Kind = "TCP"           // ListenStream= with a port, listening
)

// A Socket is one that this process has been started with.
type Socket struct {
	FD      int    // not inherited by children (FD_CLOEXEC); whoever uses it closes it
	Name    string // FileDescriptorName=, by default the socket unit's name; empty where none was given
	Kind    Kind
	Address string // "127.0.0.1:5514", "[::]:8080", "/run/rsyncd_exporter/log", or "@name" of an abstract one
	both    bool   // an IPv6 wildcard that takes IPv4, too
}

// firstFD is SD_LISTEN_FDS_START: the descriptors are numbered from it on.
const firstFD = 3

// maxFDs is far more than anybody has sockets; a larger LISTEN_FDS is a mistake.
const maxFDs = 1000

// Sockets returns the sockets passed to this process, and removes the variables that describe them.
// Call it once, first. On an error no socket is usable. The warning, if any, is about sockets meant
// for another process.
func Sockets() (sockets []Socket, warning string, err error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	_, named := os.LookupEnv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	if pid == "" || count == "" {
		return nil, "", nil
	}
	if n, err := strconv.Atoi(pid); err != nil || n <= 0 {
		return nil, "", fmt.Errorf("LISTEN_PID=%q is no process id: start the service by a systemd socket unit, or "+
			"unset LISTEN_PID", pid)
	} else if n != os.Getpid() {
		return nil, fmt.Sprintf("LISTEN_FDS=%s is for process %d and this is %d, so no passed socket is used: a "+
			"script between systemd and this program must start it with exec", count, n, os.Getpid()), nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxFDs {
		return nil, "", fmt.Errorf("LISTEN_FDS=%q is no number of descriptors from 0 to %d: start the service by a "+
			"systemd socket unit, or unset LISTEN_FDS", count, maxFDs)
	}
	nameOf := make([]string, n)
	if named {
		if nameOf = strings.Split(names, ":"); len(nameOf) != n {
			return nil, "", fmt.Errorf("LISTEN_FDNAMES=%q has %d names for %d descriptors: give each one name, "+
				"separated by colons, or unset it", names, len(nameOf), n)
		}
	}
	var problems []error
	for i, name := range nameOf {
		s := Socket{FD: firstFD + i, Name: name}
		if err := s.identify(); err != nil {
			problems = append(problems, fmt.Errorf("passed descriptor %d (name %q): %w", s.FD, name, err))
			continue
		}
		sockets = append(sockets, s)
	}
	if len(problems) > 0 {
		return nil, "", errors.Join(problems...)
	}
	return sockets, "", nil
}

func (s *Socket) identify() error {
	var stat unix.Stat_t
	if err := unix.Fstat(s.FD, &stat); err != nil {
		return fmt.Errorf("%w: fewer are open than LISTEN_FDS says, correct it", err)
	}
	unix.CloseOnExec(s.FD)
	kind, err := unix.GetsockoptInt(s.FD, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return fmt.Errorf("%w: only sockets can be used, so no ListenFIFO=, ListenSpecial= or ListenMessageQueue= in "+
			"the socket unit, and LISTEN_FDS must be their number", err)
	}
	local, err := unix.Getsockname(s.FD)
	if err != nil {
		return fmt.Errorf("%w: want a UDP, TCP or unix datagram socket (ListenDatagram=, ListenStream=)", err)
	}
	port := 0
	switch local := local.(type) {
	case *unix.SockaddrUnix:
		if kind != unix.SOCK_DGRAM {
			return fmt.Errorf("it is a unix socket of the wrong type at %q: syslog needs datagrams, so write "+
				"ListenDatagram= for ListenStream=", local.Name)
		}
		if local.Name == "" || local.Name == "@" {
			return errors.New("it is a unix socket without a path, which nobody can send to: write ListenDatagram= " +
				"with a path")
		}
		s.Kind, s.Address = Unixgram, local.Name
		return nil
	case *unix.SockaddrInet4:
		port = local.Port
		s.Address = netip.AddrPortFrom(netip.AddrFrom4(local.Addr), uint16(port)).String()
	case *unix.SockaddrInet6:
		port = local.Port
		ip := netip.AddrFrom16(local.Addr)
		if local.ZoneId != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(local.ZoneId), 10))
		}
		only, err := unix.GetsockoptInt(s.FD, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		s.both = err == nil && only == 0 && ip.IsUnspecified()
		s.Address = netip.AddrPortFrom(ip, uint16(port)).String()
	default:
		return errors.New("its address family isn't one of IPv4, IPv6 and unix: write ListenDatagram= or " +
			"ListenStream= with a port or a path")
	}
	if port == 0 {
		return errors.New("it isn't bound to a port: write ListenDatagram= or ListenStream= with a port")
	}
	return s.identifyTransport(kind)
}

// identifyTransport accepts UDP, and TCP that listens.
func (s *Socket) identifyTransport(kind int) error {
	switch kind {
	case unix.SOCK_DGRAM:
		s.Kind = UDP
		return nil
	case unix.SOCK_STREAM:
		if on, err := unix.GetsockoptInt(s.FD, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 0 {
			return fmt.Errorf("%s is a single connection: write Accept=no in the socket unit, so that the listening "+
				"socket is passed", s.Address)
		}
		s.Kind = TCP
		return nil
	}
	return fmt.Errorf("%s is neither UDP nor TCP: write ListenDatagram= or ListenStream= in the socket unit", s.Address)
}

// Covers reports whether this socket receives what one bound to address, a "host:port" or a path,
// would. It looks up no names, so only wildcards cover them.
func (s Socket) Covers(address string) bool {
	if s.Kind == Unixgram {
		return s.coversPath(address)
	}
	own, err := netip.ParseAddrPort(s.Address)
	i := strings.LastIndexByte(address, ':')
	if err != nil || i < 0 || address[i+1:] != strconv.Itoa(int(own.Port())) {
		return false
	}
	host := strings.Trim(address[:i], "[]")
	ip, err := netip.ParseAddr(host)
	if err != nil { // a name, or empty for all addresses
		return own.Addr().IsUnspecified()
	}
	ip = ip.Unmap()
	return ip == own.Addr() || s.both || own.Addr().IsUnspecified() && ip.Is4() == own.Addr().Is4()
}

func (s Socket) coversPath(path string) bool {
	if path == s.Address {
		return true
	}
	a, err := os.Stat(path)
	if err != nil {
		return false
	}
	b, err := os.Stat(s.Address)
	return err == nil && os.SameFile(a, b)
}

// String returns what an error calls the socket.
func (s Socket) String() string {
	return fmt.Sprintf("passed descriptor %d (%s %s, name %q)", s.FD, s.Kind, s.Address, s.Name)
}
