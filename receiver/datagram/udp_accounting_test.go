//go:build linux

package datagram

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/receiver"
)

// listenUDP binds addr for a test and returns the input and a socket that is connected to it.
func listenUDP(t *testing.T, addr string, sink receiver.TrySink, opt UDPOptions) (*UDP, *net.UDPConn) {
	t.Helper()
	u, err := ListenUDP(addr, receiver.Source{Input: "udp", Name: "udp " + addr}, sink, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return u, dialUDP(t, u.Addr())
}

func dialUDP(t *testing.T, to net.Addr) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, to.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// FAULTS U1, U2, U3: a burst before anybody reads overflows a tiny buffer, then a burst meets a busy pipeline, then all is silent. What was
// sent is what was received and what the kernel dropped, exactly, without another datagram having to come.
func TestUDPSentIsReceivedAndDrops(t *testing.T) {
	sink := newHoldSink(true)
	u, conn := listenUDP(t, "127.0.0.1:0", sink, UDPOptions{Buffer: 8 << 10})
	const early, each, senders = 1000, 5000, 3
	for i := range early {
		send(t, conn, fmt.Sprintf("<30>early %d", i))
	}
	reach(t, "a tiny buffer overflows and Drops shows it while nobody reads", func() bool { return u.Status().Drops > early/2 })
	stop := start(t, u)
	var wg sync.WaitGroup
	for s := range senders {
		c := dialUDP(t, u.Addr())
		wg.Go(func() {
			for i := range each {
				_, _ = fmt.Fprintf(c, "<30>%d %06d", s, i)
			}
		})
	}
	wg.Wait()
	sink.Hold(false)
	const sent = early + senders*each
	reach(t, "received + drops = sent", func() bool { return sink.Received()+u.Status().Drops == sent })
	if kernel := procDrops(t, u.Addr().(*net.UDPAddr).Port); kernel != u.Status().Drops {
		t.Errorf("Drops() = %d, /proc/net/udp says %d", u.Status().Drops, kernel)
	}
	before := u.Status().Drops
	stop()
	if after := u.Status().Drops; after != before || sink.Received()+after != sent {
		t.Errorf("after the end: received %d + drops %d (before: %d), want %d", sink.Received(), after, before, sent)
	}
	sink.CheckOrder(t)
}

// procDrops reads a socket's drop counter where the kernel shows it to everybody.
func procDrops(t *testing.T, port int) uint64 {
	t.Helper()
	f, err := os.Open("/proc/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			n, err := strconv.ParseUint(fields[12], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("port %d isn't in /proc/net/udp", port)
	return 0
}

// memoryOf returns what SO_MEMINFO says of a socket: how many bytes are queued, and how many datagrams were dropped.
func memoryOf(t *testing.T, fd int) (queued, drops uint64) {
	t.Helper()
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
		t.Fatal(errno)
	}
	return uint64(info[0]), uint64(info[8]) // SK_MEMINFO_RMEM_ALLOC and SK_MEMINFO_DROPS, linux/sock_diag.h
}

// arrive sends datagrams of the same length to sockets from which nobody reads, and waits until each is queued or
// dropped. Before Linux 6.5 a thread of the kernel may deliver them, and on a busy machine it is late.
func arrive(t *testing.T, fds []int, count int, send func(i int)) {
	t.Helper()
	sums := func() (queued, drops uint64) {
		for _, fd := range fds {
			q, d := memoryOf(t, fd)
			queued, drops = queued+q, drops+d
		}
		return queued, drops
	}
	before, dropped := sums()
	if before != 0 {
		t.Fatalf("%d bytes are queued already", before)
	}
	each := uint64(0)
	for i := range count {
		if send(i); i == 0 {
			reach(t, "the first datagram", func() bool { each, _ = sums(); return each > 0 })
		}
	}
	reach(t, "all datagrams", func() bool {
		queued, drops := sums()
		return queued/each+drops-dropped == uint64(count)
	})
}

// descriptors are those of an input's sockets.
func descriptors(u *UDP) (fds []int) {
	for _, s := range u.sockets {
		fds = append(fds, s.in.fd)
	}
	return fds
}

// FAULTS U14: what is queued when the end comes is read before the socket closes.
func TestUDPQueuedAtShutdown(t *testing.T) {
	sink := newHoldSink(false)
	u, conn := listenUDP(t, "127.0.0.1:0", sink, UDPOptions{Buffer: 32 << 20})
	const sent = 2000 // which a busy machine reads within receiver.DrainLimit, too
	arrive(t, descriptors(u), sent, func(i int) { send(t, conn, fmt.Sprintf("<30>%06d", i)) })
	start(t, u)() // stopped before it has begun
	messages, _ := sink.All()
	if n := uint64(len(messages)) + u.Status().Drops; n != sent {
		t.Errorf("received %d + drops %d = %d, want %d", len(messages), u.Status().Drops, n, sent)
	}
	if len(messages) < 100 || !slices.IsSorted(messages) {
		t.Errorf("%d messages, sorted: %v; want some, in order", len(messages), slices.IsSorted(messages))
	}
}

// A sink that is busy to the very end: Run still ends, and says what was lost. Drops is asked only after the socket is closed.
func TestUDPSinkBusyAtShutdown(t *testing.T) {
	t.Parallel()
	sink := &countsOnly{}
	u, conn := listenUDP(t, "127.0.0.1:0", sink, UDPOptions{Buffer: 64 << 10})
	const sent = 500
	arrive(t, descriptors(u), sent, func(int) { send(t, conn, "<30>hello") })
	start(t, u)()
	if n := sink.discarded[receiver.Overflow] + u.Status().Drops; n != sent || u.Status().Drops == 0 || n == u.Status().Drops {
		t.Errorf("overflow %d + drops %d = %d, want some of both and %d", sink.discarded[receiver.Overflow], u.Status().Drops, n, sent)
	}
}

// The kernel counts drops in 32 bits; Drops doesn't start again at 0.
func TestUDPDropsWrap(t *testing.T) {
	u, conn := listenUDP(t, "127.0.0.1:0", newHoldSink(true), UDPOptions{Buffer: 4 << 10})
	arrive(t, descriptors(u), 200, func(int) { send(t, conn, strings.Repeat("x", 1000)) })
	dropped := u.Status().Drops
	if dropped == 0 {
		t.Fatal("nothing was dropped")
	}
	u.sockets[0].mu.Lock()
	u.sockets[0].drops, u.sockets[0].lastDrops = 1<<32-1, 0xffffffff // as if the counter had been at its last value before those
	u.sockets[0].mu.Unlock()
	if got, want := u.Status().Drops, 1<<32+dropped; got != want {
		t.Errorf("Drops() = %d, want %d", got, want)
	}
}

// An error of the network in between (here: a socket that was connected by hand, to a port that answers with ICMP port unreachable).
func TestUDPGoesOnAfterConnectionRefused(t *testing.T) {
	sink := newHoldSink(false)
	u, conn := listenUDP(t, "127.0.0.1:0", sink, UDPOptions{})
	deaf := dialUDP(t, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}) // it keeps a port, and takes nothing of ours
	nobody := &unix.SockaddrInet4{Port: deaf.LocalAddr().(*net.UDPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	start(t, u)
	fd := u.sockets[0].in.fd
	if err := unix.Connect(fd, nobody); err != nil {
		t.Fatal(err)
	}
	for want := uint64(1); want <= 3; want++ {
		_, _ = unix.Write(fd, []byte("is anybody there"))
		reach(t, "the refusal is counted", func() bool { return u.Status().Errors >= want })
	}
	local := conn.LocalAddr().(*net.UDPAddr)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: local.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	send(t, conn, "<30>still here")
	reach(t, "a message after the errors", func() bool { return sink.Received() == 1 })
}

// A descriptor that is no socket any more ends Run with an error instead of a loop.
func TestUDPUnusableDescriptorEndsRun(t *testing.T) {
	sink := newHoldSink(false)
	u, conn := listenUDP(t, "127.0.0.1:0", sink, UDPOptions{})
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	done := make(chan error, 1)
	go func() { done <- u.Run(t.Context()) }()
	send(t, conn, "<30>hello")
	reach(t, "it reads", func() bool { return sink.Received() == 1 })
	if err := unix.Dup3(int(null.Fd()), u.sockets[0].in.fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	select {
	case err = <-done:
	case <-time.After(time.Minute):
		t.Fatal("Run goes on with a descriptor that is no socket")
	}
	if !errors.Is(err, unix.ENOTSOCK) || !strings.Contains(err.Error(), "udp 127.0.0.1:0: reading") {
		t.Errorf("Run returned %v, want ENOTSOCK and the input's name", err)
	}
}

// One datagram costs no allocation: neither taken at once nor by way of the pending ring.
func TestUDPAllocatesNothing(t *testing.T) {
	for _, list := range []*receiver.AllowList{nil, allowList(privateNets...)} {
		udpAllocatesNothing(t, list)
	}
}

func udpAllocatesNothing(t *testing.T, list *receiver.AllowList) {
	sink := receivertest.NewCounter()
	u, conn := listenUDP(t, "0.0.0.0:0", sink, UDPOptions{Buffer: 1 << 20, AllowFrom: list})
	if err := u.sockets[0].in.adjustTimeout(); err != nil {
		t.Fatal(err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		message := []byte("<30>Nov 23 18:40:52 rsyncd[505]: connect from localhost (127.0.0.1)\n")
		round := func() {
			for range 100 {
				_, _ = unix.Write(int(fd), message)
			}
			for got, tries := 0, 0; got < 100 && tries < 1000; tries++ {
				if n, errno := u.sockets[0].in.batch.recv(u.sockets[0].in.fd, true); errno == 0 {
					u.sockets[0].in.take(n, 1)
					got += n
				}
			}
		}
		for _, busy := range []bool{false, true} {
			before := sink.Received()
			if n := testing.AllocsPerRun(50, func() {
				sink.Hold(busy)
				round()
				sink.Hold(false)
				round()
			}); n != 0 {
				t.Errorf("busy=%v: %v allocations for 200 datagrams, want 0", busy, n)
			}
			if n := sink.Received() - before; n != 51*200 {
				t.Errorf("busy=%v: %d messages, want %d", busy, n, 51*200)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A pending batch is offered again every few milliseconds, traffic or not; without one the reader sleeps long.
func TestUDPReadTimeoutFollowsThePendingRing(t *testing.T) {
	sink := newHoldSink(true)
	u, conn := listenUDP(t, "127.0.0.1:0", sink, UDPOptions{})
	current := func() time.Duration {
		var tv unix.Timeval
		size := uint32(unsafe.Sizeof(tv))
		if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(u.sockets[0].in.fd), unix.SOL_SOCKET, unix.SO_RCVTIMEO,
			uintptr(unsafe.Pointer(&tv)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
			t.Fatal(errno)
		}
		return time.Duration(tv.Nano())
	}
	timeout := func() time.Duration {
		if err := u.sockets[0].in.adjustTimeout(); err != nil {
			t.Fatal(err)
		}
		return current()
	}
	if d := timeout(); d < 100*time.Millisecond || d > time.Second {
		t.Errorf("time-out %v with nothing pending, want about %v", d, idleTimeout)
	}
	u.sockets[0].in.pending.add(slabOf(1, "<30>a"))
	if d := timeout(); d > 10*time.Millisecond {
		t.Errorf("time-out %v with a batch pending, want about %v", d, pendingTimeout)
	}
	sink.Hold(false)
	u.sockets[0].in.pending.offer(u.sockets[0].in.src, sink)
	if d := timeout(); d < 100*time.Millisecond {
		t.Errorf("time-out %v with nothing pending any more, want about %v", d, idleTimeout)
	}

	sink.Hold(true)
	start(t, u)
	send(t, conn, "<30>b")
	reach(t, "the message is pending", func() bool { return sink.Offers() >= 2 })
	reach(t, "the reader sleeps shortly", func() bool { return current() <= 10*time.Millisecond })
	offers := sink.Offers()
	reach(t, "20 more offers", func() bool { return sink.Offers() >= offers+20 })
}
