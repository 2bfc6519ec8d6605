//go:build linux

package datagram

import (
	"net"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/receiver"
)

const costMessage = "<30>Nov 23 18:40:52 rsyncd[505]: send localhost [127.0.0.1] data () sub/c.dat 70000\n"

// BenchmarkUDPDatagram is the reader's part of one datagram, from the kernel's queue to the sink. Compare no list with a list: that is what
// ALLOW_FROM costs.
func BenchmarkUDPDatagram(b *testing.B) {
	for _, bm := range []struct {
		name string
		list *receiver.AllowList
	}{{"no list", nil}, {"default list", allowList(privateNets...)}, {"refused", allowList("192.0.2.0/24")}} {
		b.Run(bm.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			u, err := ListenUDP("0.0.0.0:0", testSource, receivertest.NewCounter(), UDPOptions{Buffer: 4 << 20, AllowFrom: bm.list})
			if err != nil {
				b.Fatal(err)
			}
			defer u.Close()
			c, err := net.Dial("udp", (&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: u.addr.(*net.UDPAddr).Port}).String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			in := u.sockets[0].in
			b.ReportAllocs()
			b.ResetTimer()
			cpu := time.Duration(0)
			for left := b.N; left > 0; {
				b.StopTimer()
				queued := min(left, 2000)
				for range queued {
					if _, err := c.Write([]byte(costMessage)); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				left -= queued
				began := threadTime(b)
				for queued > 0 {
					n, errno := in.batch.recv(in.fd, false)
					if errno != 0 {
						b.Fatal(errno)
					}
					in.take(n, 1)
					queued -= n
				}
				cpu += threadTime(b) - began
			}
			b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkUnixgramDatagram is one datagram, sent and received. Compare without credentials with the others: that is what telling users
// and pid namespaces apart costs.
func BenchmarkUnixgramDatagram(b *testing.B) {
	for _, bm := range []struct {
		name  string
		creds bool
		pid   int
		users []uint32
	}{
		{"no credentials", false, unix.Getpid(), nil},
		{"own pid", true, unix.Getpid(), nil},
		{"own pid, users", true, unix.Getpid(), []uint32{65534, uint32(unix.Getuid())}},
		{"relayed pid", true, 505, nil},
	} {
		b.Run(bm.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			path := filepath.Join(b.TempDir(), "log")
			u, err := ListenUnixgram(path, testSource, receivertest.NewCounter(), UnixgramOptions{Users: bm.users})
			if err != nil {
				b.Fatal(err)
			}
			defer u.Close()
			in := u.sockets[0].in
			if !bm.creds {
				if err := unix.SetsockoptInt(in.fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 0); err != nil {
					b.Fatal(err)
				}
				in = newDatagrams(in.fd, &testSource, receivertest.NewCounter(), filter{})
			}
			sender, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer unix.Close(sender)
			if err := unix.Connect(sender, &unix.SockaddrUnix{Name: path}); err != nil {
				b.Fatal(err)
			}
			message := costMessageOf(bm.pid)
			b.ReportAllocs()
			b.ResetTimer()
			began := threadTime(b)
			for left := b.N; left > 0; {
				queued := min(left, 8)
				for range queued {
					if _, err := unix.Write(sender, message); err != nil {
						b.Fatal(err)
					}
				}
				left -= queued
				for queued > 0 {
					n, errno := in.batch.recv(in.fd, false)
					if errno != 0 {
						b.Fatal(errno)
					}
					in.take(n, 1)
					queued -= n
				}
			}
			b.ReportMetric(float64(threadTime(b)-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

// threadTime is how long this thread has had a processor: on a machine that others use, too, it varies less than the time that passes.
func threadTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

func costMessageOf(pid int) []byte {
	return []byte(strings.Replace(costMessage, "505", strconv.Itoa(pid), 1))
}

// BenchmarkUnixgramSender is what a message's sender costs beyond its datagram: one that was looked at within the last second, one that is looked at
// for its own id, and one that is also looked for in its pid namespace.
func BenchmarkUnixgramSender(b *testing.B) {
	me := int32(unix.Getpid())
	for _, bm := range []struct {
		name  string
		names int32
		step  int64
		fresh bool
	}{{"known", me, 0, false}, {"look", me, int64(believed) + 1, false}, {"look and place", 505, 0, true}} {
		b.Run(bm.name, func(b *testing.B) {
			in := newDatagrams(-1, &testSource, nil, filter{spaces: newPIDNamespaces()})
			c := &in.batch.control[0]
			c.header.Level, c.header.Type = unix.SOL_SOCKET, unix.SCM_CREDENTIALS
			c.ucred = unix.Ucred{Pid: me}
			message := costMessageOf(int(bm.names))
			b.ReportAllocs()
			for at := int64(1); b.Loop(); at += bm.step {
				if bm.fresh {
					clear(in.filter.spaces.known)
				}
				if got, _ := in.sender(0, message, at); got.Started == 0 && bm.names == me {
					b.Fatal("nothing known of ourselves")
				}
			}
		})
	}
}
