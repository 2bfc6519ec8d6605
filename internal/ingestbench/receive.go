//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	syslog "gopkg.in/mcuadros/go-syslog.v2"
	"gopkg.in/mcuadros/go-syslog.v2/format"
)

func load(n *uint64) uint64 { return atomic.LoadUint64(n) }

// receive is a receiver's process: receive NAME TRANSPORT ADDRESS COUNTS. It runs until a signal
// ends it.
func receive(args []string) {
	if err := runReceiver(args[0], args[1], args[2], args[3]); err != nil {
		fmt.Fprintf(os.Stderr, "ingestbench: receiver %q: %v\n", args, err)
		os.Exit(1)
	}
}

func runReceiver(name, transport, address, file string) error {
	shared, err := mapCounts(file)
	if err != nil {
		return err
	}
	switch name {
	case "go-syslog":
		return goSyslog(transport, address, shared)
	case "pipeline", "pipeline-in-full":
		return receivePipeline(name == "pipeline-in-full", transport, address, shared)
	}
	if transport == "tcp" {
		return discardStream(name == "null-recvmmsg", address, shared)
	}
	conn, err := net.ListenPacket(map[string]string{"udp": "udp4", "unixgram": "unixgram"}[transport], address)
	if err != nil {
		return err
	}
	if name == "null-recvmmsg" {
		return discardBatches(conn.(syscall.Conn), shared)
	}
	enlarge(conn.(syscall.Conn))
	atomic.StoreUint64(&shared.ready, 1)
	for buf := make([]byte, 1<<16); ; {
		if _, err := conn.(interface{ Read([]byte) (int, error) }).Read(buf); err != nil {
			return err
		}
		atomic.AddUint64(&shared.messages, 1)
	}
}

const receiveBuffer = 16 << 20 // bytes, as the exporter asks for

// enlarge asks for the receive buffer that the exporter asks for.
func enlarge(conn syscall.Conn) {
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
			}
		})
	}
}

// discardBatches is the null receiver: a blocking recvmmsg(2) on a thread of its own, and nothing
// else.
func discardBatches(conn syscall.Conn, shared *counts) error {
	enlarge(conn)
	fd, err := blocking(conn)
	if err != nil {
		return err
	}
	const size = 16<<10 + 1 // as large as the exporter's
	area, vectors, headers := make([]byte, batch*size), make([]unix.Iovec, batch), make([]mmsghdr, batch)
	for i := range headers {
		vectors[i].Base = &area[i*size]
		vectors[i].SetLen(size)
		headers[i].hdr.Iov = &vectors[i]
		headers[i].hdr.SetIovlen(1)
	}
	runtime.LockOSThread()
	atomic.StoreUint64(&shared.ready, 1)
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&headers[0])),
			batch, unix.MSG_WAITFORONE, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return errno
		}
		if errno == 0 {
			atomic.AddUint64(&shared.messages, uint64(n))
		}
	}
}

// blocking returns a blocking descriptor of the connection's socket.
func blocking(conn syscall.Conn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	if cerr := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return -1, cerr
	}
	if err != nil {
		return -1, err
	}
	return fd, unix.SetNonblock(fd, false)
}

// discardStream reads one connection after another and counts bytes.
func discardStream(block bool, address string, shared *counts) error {
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	atomic.StoreUint64(&shared.ready, 1)
	for buf := make([]byte, 1<<16); ; {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		read := conn.Read
		if block {
			fd, err := blocking(conn.(syscall.Conn))
			if err != nil {
				return err
			}
			runtime.LockOSThread()
			read = func(b []byte) (int, error) { return unix.Read(fd, b) }
		}
		for {
			n, err := read(buf)
			if err != nil || n == 0 {
				break
			}
			atomic.AddUint64(&shared.bytes, uint64(n))
		}
		conn.Close()
	}
}

// summary is the regular expression of the simplest exporter: one line, one counter.
var summary = regexp.MustCompile(`sent (\d+) bytes  received (\d+) bytes  total size (\d+)`)

// goSyslog is what a first version of such an exporter is: go-syslog's own Server, a regular
// expression and a counter.
func goSyslog(transport, address string, shared *counts) error {
	server := syslog.NewServer()
	server.SetFormat(syslog.RFC3164)
	var summaries atomic.Uint64
	server.SetHandler(handlerFunc(func(parts format.LogParts) {
		if text, _ := parts["content"].(string); summary.MatchString(text) {
			summaries.Add(1)
		}
		atomic.AddUint64(&shared.messages, 1)
	}))
	listen := map[string]func(string) error{
		"udp": server.ListenUDP, "tcp": server.ListenTCP, "unixgram": server.ListenUnixgram,
	}
	if err := listen[transport](address); err != nil {
		return err
	}
	if err := server.Boot(); err != nil {
		return err
	}
	atomic.StoreUint64(&shared.ready, 1)
	server.Wait()
	return nil
}

type handlerFunc func(format.LogParts)

func (f handlerFunc) Handle(parts format.LogParts, _ int64, _ error) { f(parts) }
