//go:build linux

package datagram

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// listenUnixgram makes a socket in a directory of the test.
func listenUnixgram(t *testing.T, sink receiver.TrySink) *Unixgram {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	u, err := ListenUnixgram(path, receiver.Source{Input: "unixgram", Name: "unixgram " + path, Dialect: syslog.Auto{Local: true}}, sink, UnixgramOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return u
}

func dialUnixgram(t *testing.T, u *Unixgram) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unixgram", nil, u.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// queued returns how many bytes wait in a socket, unix(7) SIOCINQ.
func queued(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// FAULTS X1, X3 and the first promise of all: while the pipeline is busy, for as long as it likes, the socket is read and no sender waits.
// The queue holds net.unix.max_dgram_qlen messages, so after each few of them, sent without waiting, the reader must have taken them all.
// Afterwards every message is there in order, or counted as overflow.
func TestUnixgramSendersNeverWait(t *testing.T) {
	sink := newHoldSink(true)
	u := listenUnixgram(t, sink)
	start(t, u)
	raw, err := dialUnixgram(t, u).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const sent = 10000 // the ring keeps 8192, 9 at a time: none is cut short by the limit of bytes
	err = raw.Control(func(fd uintptr) {
		for i := range sent {
			if err := unix.Send(int(fd), fmt.Appendf(nil, "<30>%06d", i), unix.MSG_DONTWAIT); err != nil {
				t.Errorf("message %d of %d, with the sink held: %v", i, sent, err)
				return
			}
			if i%10 == 9 {
				reach(t, "the reader empties the queue", func() bool { return queued(t, u.sockets[0].in.fd) == 0 })
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if sink.Received() != 0 {
		t.Fatal("a held sink has received something")
	}
	offers := sink.Offers()
	reach(t, "the last message is offered, and then kept", func() bool { return sink.Offers() >= offers+2 })
	sink.Hold(false)
	reach(t, "all are accounted for without another message", func() bool { return sink.Received() == sent })
	got, discarded := sink.All()
	if len(got) != pendingSlabs*pendingMessages || discarded[receiver.Overflow] != sent-pendingSlabs*pendingMessages {
		t.Errorf("%d messages and %d overflow, want %d and %d", len(got), discarded[receiver.Overflow], pendingSlabs*pendingMessages, sent-pendingSlabs*pendingMessages)
	}
	for i, m := range got {
		if m != fmt.Sprintf("<30>%06d", i) {
			t.Fatalf("message %d is %q", i, m)
		}
	}
	sink.CheckOrder(t)
}

// FAULTS X2: senders that may wait, as syslog(3) does, lose nothing against a queue of eleven; here with a sink that is busy now and then.
func TestUnixgramBlockingSendersLoseNothing(t *testing.T) {
	sink := newHoldSink(false)
	u := listenUnixgram(t, sink)
	stop := start(t, u)
	const senders, each = 4, 2000
	var wg sync.WaitGroup
	for s := range senders {
		c := dialUnixgram(t, u)
		if err := c.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := range each {
				if _, err := fmt.Fprintf(c, "<30>%d %06d", s, i); err != nil {
					t.Error(err)
					return
				}
				if i%100 == s {
					sink.Hold(i%200 == s)
				}
			}
		})
	}
	wg.Wait()
	sink.Hold(false)
	reach(t, "all received", func() bool { return sink.Received() == senders*each })
	stop()
	got, discarded := sink.All()
	if n := uint64(len(got)) + discarded[receiver.Overflow]; n != senders*each {
		t.Errorf("%d messages, %v, want %d in all", len(got), discarded, senders*each)
	}
	for s := range senders { // each sender's are in order
		mine := slices.DeleteFunc(slices.Clone(got), func(m string) bool { return !strings.HasPrefix(m, fmt.Sprintf("<30>%d ", s)) })
		if !slices.IsSorted(mine) {
			t.Errorf("messages of sender %d are out of order", s)
		}
	}
}

// FAULTS X7, X8: one datagram is one message.
func TestUnixgramOneDatagramIsOneMessage(t *testing.T) {
	sink := newHoldSink(false)
	u := listenUnixgram(t, sink)
	start(t, u)
	c := dialUnixgram(t, u)
	full := strings.Repeat("f", receiver.MaxMessage)
	sent := []string{"<30>Nov 23 18:40:52 rsyncd[505]: recv a\n<30>Nov 23 18:40:52 rsyncd[505]: forged\n", "", "\x00\x1b\n", full, full + "\n", strings.Repeat("g", 200_000), "<30>last"}
	for _, m := range sent {
		send(t, c, m)
	}
	reach(t, "all received", func() bool { return sink.Received() == uint64(len(sent)) })
	got, discarded := sink.All()
	if want := []string{sent[0], "", sent[2], full, "<30>last"}; !slices.Equal(got, want) || discarded[receiver.Oversize] != 2 {
		t.Errorf("got %q, %v; want %q, 2 oversize", clip(got), discarded, clip(want))
	}
}

// FAULTS X10: descriptors that a sender attaches are not kept. Where the kernel can, it refuses them (Linux 6.16); where it can't, it
// closes them as the message is read without room for them.
func TestUnixgramKeepsNoDescriptors(t *testing.T) {
	sink := newHoldSink(false)
	u := listenUnixgram(t, sink)
	start(t, u)
	c := dialUnixgram(t, u)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	pass := func() (err error) {
		if cerr := raw.Write(func(fd uintptr) bool {
			err = unix.Sendmsg(int(fd), []byte("<30>fd"), unix.UnixRights(int(null.Fd())), nil, 0)
			return err != unix.EAGAIN
		}); cerr != nil {
			t.Fatal(cerr)
		}
		return err
	}
	if v, err := unix.GetsockoptInt(u.sockets[0].in.fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS); err == nil && v != 0 {
		t.Error("the kernel knows SO_PASSRIGHTS, and it is on")
	}
	sent := uint64(0)
	if err := pass(); err == nil {
		sent++
	} else if err != unix.EPERM {
		t.Fatal(err)
	} else if err := unix.SetsockoptInt(u.sockets[0].in.fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 1); err != nil { // as on an older kernel
		t.Fatal(err)
	}
	before := openDescriptors(t)
	for range 1000 {
		if err := pass(); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	reach(t, "all received", func() bool { return sink.Received() == sent })
	reach(t, "no more descriptors than before", func() bool { return openDescriptors(t) <= before })
}

// openDescriptors counts those of this process, the input's own included, which opens some for a moment now and then.
func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// What is queued when the end comes is read, and the next sender gets an error instead of a queue that nobody reads.
func TestUnixgramQueuedAtShutdown(t *testing.T) {
	sink := newHoldSink(false)
	u := listenUnixgram(t, sink)
	c := dialUnixgram(t, u)
	for i := range 8 {
		send(t, c, fmt.Sprint(i))
	}
	start(t, u)()
	if got, _ := sink.All(); !slices.Equal(got, []string{"0", "1", "2", "3", "4", "5", "6", "7"}) {
		t.Errorf("got %q, want 0 to 7", got)
	}
	if _, err := c.Write([]byte("late")); err == nil {
		t.Error("a message after the end was accepted by a socket that nobody reads")
	}
}

// A sink that stays busy to the end must not keep the senders waiting through the two seconds in which Run still offers what is pending.
func TestUnixgramSendersDontWaitForShutdown(t *testing.T) {
	t.Parallel()
	sink := &tellingSink{t: t}
	u := listenUnixgram(t, sink)
	sink.to = dialUnixgram(t, u)
	for range 8 {
		send(t, sink.to, "<30>hello")
	}
	start(t, u)()
	if sink.offers < 2 || sink.last == nil || sink.last == unix.EAGAIN {
		t.Errorf("at the last of %d offers a sender got the answer %v, want an error that isn't EAGAIN",
			sink.offers, sink.last)
	}
}

// A tellingSink takes no slab. At each offer it notes what a sender that doesn't wait is told.
type tellingSink struct {
	countsOnly
	t      *testing.T
	to     *net.UnixConn
	offers int
	last   error
}

func (s *tellingSink) TryDeliver(src *receiver.Source, slab *receiver.Slab) bool {
	raw, err := s.to.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			s.last = unix.Sendmsg(int(fd), []byte("<30>more"), nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		})
	}
	if err != nil {
		s.t.Error(err)
	}
	s.offers++
	return s.countsOnly.TryDeliver(src, slab)
}
