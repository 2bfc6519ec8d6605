// Package datagram receives syslog over UDP and over unix datagram sockets.
//
// Its readers never wait for their Sink: what it can't take at once is copied to a short pending
// ring. What the ring can't take is counted as receiver.Overflow.
package datagram

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

const (
	batchMessages = 64 // datagrams read by one recvmmsg

	pendingSlabs    = 8         // batches that wait for a busy Sink
	pendingMessages = 1024      // messages in each, at most
	pendingBytes    = 256 << 10 // bytes of text in each, at most; allocated when first needed

	idleTimeout    = 250 * time.Millisecond // of a read, before it looks whether Run shall end
	pendingTimeout = 3 * time.Millisecond   // of a read while a batch is pending, which is then offered again

	settleLimit = 2 * time.Second // how long pending batches are offered after the last read

	maxPause = 100 * time.Millisecond // between two reads that fail
)

// datagrams is what UDP and Unixgram have in common: a goroutine on a thread of its own in a
// blocking read, which costs a quarter less than the net poller.
//
// The reader waits for nothing but its socket: a unix datagram socket that is not read stops every
// rsyncd that logs to it. A batch that the Sink refuses is copied into the pending ring, which is
// offered before the next batch, so that order is kept. When the ring is full, messages are dropped
// and counted as Overflow; the count travels with the next slab.
type datagrams struct {
	src     *receiver.Source // embedded beside this; a Sink may know it by its address
	sink    receiver.TrySink
	filter  filter
	fd      int // blocking, with SO_RCVTIMEO; used by the reader only, closed by whoever embeds this
	batch   *recvBatch
	slab    receiver.Slab
	header  receiver.Message // of the message that was looked at last
	pending pendingRing
	timeout time.Duration // SO_RCVTIMEO now
	lastEnd time.Time     // when the last read returned
	trouble trouble
	turns   atomic.Uint64 // of the loop
	passed  bool          // the socket outlives this process: what is queued in it is for the next one
	hangUp  bool          // shutdown(2) makes senders see the end of a socket before it is drained
}

// A filter says which datagrams are taken, and what is asked about their senders.
type filter struct {
	addresses bool                // UDP: ask for the senders' addresses
	from      *receiver.AllowList // UDP: who may send, which takes addresses; nil for all
	spaces    *pidNamespaces      // unix: ask for the senders' credentials, which this understands; or nil
	users     []uint32            // unix: who may send, which takes credentials; empty for all
}

func newDatagrams(fd int, src *receiver.Source, sink receiver.TrySink, f filter) *datagrams {
	return &datagrams{
		src: src, sink: sink, filter: f, fd: fd, batch: newRecvBatch(f.addresses, f.spaces != nil),
		slab: receiver.Slab{Messages: make([][]byte, 0, batchMessages)},
	}
}

// run reads until ctx ends or the socket is unusable. Then it drains the socket, calls closeSocket,
// and offers what is pending for settleLimit at most. A passed socket isn't drained: what is queued
// in it waits for the next process.
func (d *datagrams) run(ctx context.Context, closeSocket func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := d.receive(ctx)
	if err == nil && !d.passed {
		if d.hangUp {
			_ = unix.Shutdown(d.fd, unix.SHUT_RD) // if not, what arrives between the last read and the close is lost
		}
		d.drain()
	}
	if cerr := closeSocket(); err == nil && cerr != nil {
		err = fmt.Errorf("%s: closing: %w", d.src.Name, cerr)
	}
	d.settle()
	return err
}

// receive returns nil when ctx has ended.
func (d *datagrams) receive(ctx context.Context) error {
	d.lastEnd = time.Now()
	for ctx.Err() == nil {
		d.turns.Add(1)
		if err := d.adjustTimeout(); err != nil {
			return fmt.Errorf("%s: SO_RCVTIMEO: %w", d.src.Name, err)
		}
		n, errno := d.batch.recv(d.fd, true)
		now := time.Now()
		waited := now.Sub(d.lastEnd)
		d.lastEnd = now
		switch {
		case errno == 0:
			d.trouble.repeats = 0
			d.take(n, now.UnixNano())
		case errno == unix.EAGAIN && waited >= d.timeout/2:
			d.trouble.repeats = 0
			d.pending.offer(d.src, d.sink)
		case errno == unix.EINTR: // a read with SO_RCVTIMEO isn't restarted: signal(7)
			d.pending.offer(d.src, d.sink)
		case isFatal(errno):
			return fmt.Errorf("%s: reading: %w", d.src.Name, errno)
		default:
			time.Sleep(d.trouble.pause())
			d.pending.offer(d.src, d.sink)
		}
	}
	return nil
}

func (d *datagrams) adjustTimeout() error {
	want := idleTimeout
	if d.pending.n > 0 {
		want = pendingTimeout
	}
	if d.timeout == want {
		return nil
	}
	d.timeout = want
	tv := unix.NsecToTimeval(int64(want))
	return unix.SetsockoptTimeval(d.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
}

func (d *datagrams) take(n int, at int64) {
	d.slab.Reset()
	d.slab.At = at
	for i := range n {
		msg, whole := d.batch.message(i)
		from, allowed := d.sender(i, msg, at)
		switch {
		case !allowed:
			d.slab.Discarded[receiver.NotAllowed]++
		case !whole:
			d.slab.Discarded[receiver.Oversize]++
		default:
			d.slab.Add(msg, from)
		}
	}
	d.handOver()
}

// sender returns who sent msg, the datagram at index i of the batch, and whether it may send.
// Behind a unix socket the process id in the header counts as the Sink will read it, so the input's
// own dialect is asked. A message without a header will be discarded: its sender doesn't matter.
func (d *datagrams) sender(i int, msg []byte, at int64) (from receiver.Sender, allowed bool) {
	switch {
	case d.filter.addresses:
		addr := d.batch.address(i)
		return receiver.Sender{Addr: receiver.Elsewhere(addr)}, d.filter.from.Allows(addr)
	case d.filter.spaces == nil:
		return receiver.Sender{}, true
	}
	pid, uid, known := d.batch.sender(i)
	if len(d.filter.users) > 0 && !(known && slices.Contains(d.filter.users, uid)) {
		return receiver.Sender{}, false
	}
	if !known || d.src.Dialect.Scan(msg, &d.header) != receiver.Kept {
		return receiver.Sender{}, true
	}
	return d.filter.spaces.sender(pid, uid, d.header.PID, at), true
}

// handOver offers the slab, behind what is pending, or keeps a copy of it.
func (d *datagrams) handOver() {
	if d.pending.offer(d.src, d.sink) && d.sink.TryDeliver(d.src, &d.slab) {
		return
	}
	d.pending.add(&d.slab)
}

// drain reads what is queued in the socket without waiting. What is queued when it closes is lost.
func (d *datagrams) drain() {
	for end := time.Now().Add(receiver.DrainLimit); ; {
		n, errno := d.batch.recv(d.fd, false)
		now := time.Now()
		if errno == 0 {
			d.take(n, now.UnixNano())
		} else if errno != unix.EINTR {
			return
		}
		if now.After(end) {
			return
		}
	}
}

// settle offers what is pending a last time, then gives it up and offers the count of it.
func (d *datagrams) settle() {
	for end := time.Now().Add(settleLimit); !d.pending.offer(d.src, d.sink); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			d.pending.giveUp()
			d.pending.offer(d.src, d.sink)
			return
		}
	}
}

// trouble counts failed reads and slows them down, so that a lasting error burns no CPU.
type trouble struct {
	total   atomic.Uint64
	repeats int // failures in a row
}

// pause counts one more failure. The first in a row costs no time: ICMP's ECONNREFUSED is over at
// once.
func (t *trouble) pause() time.Duration {
	t.total.Add(1)
	t.repeats++
	if t.repeats == 1 {
		return 0
	}
	return min(maxPause, time.Millisecond<<min(t.repeats-2, 10))
}

// isFatal reports whether reading can't succeed later: the descriptor is wrong, or the system call
// is forbidden or unknown. Everything else (ENOBUFS, ENOMEM, ECONNREFUSED, …) is worth another try.
func isFatal(errno syscall.Errno) bool {
	fatal := []syscall.Errno{unix.EBADF, unix.ENOTSOCK, unix.EINVAL, unix.EFAULT, unix.ENOSYS, unix.EPERM}
	return slices.Contains(fatal, errno)
}

// A pendingRing keeps copies of the batches that a busy Sink refused, in order.
type pendingRing struct {
	slabs   [pendingSlabs]pendingSlab
	head, n int // the n slabs from head on, wrapping, are in use
}

type pendingSlab struct {
	receiver.Slab
	text []byte // what Messages point into; its capacity never changes
}

// add copies the messages and counts of s to the end of the ring. Messages that don't fit are
// Overflow. Where several batches share a slab, At is that of the first.
func (p *pendingRing) add(s *receiver.Slab) {
	if p.n == 0 {
		p.grow(s.At)
	}
	tail := p.tail()
	for i, n := range s.Discarded {
		tail.Discarded[i] += n
	}
	for i, msg := range s.Messages {
		if len(tail.Messages) == pendingMessages || len(tail.text)+len(msg) > pendingBytes {
			if p.n == pendingSlabs {
				p.slabs[p.head].Discarded[receiver.Overflow]++
				continue
			}
			tail = p.grow(s.At)
		}
		start := len(tail.text)
		tail.text = append(tail.text, msg...)
		var from receiver.Sender
		if len(s.Senders) > 0 {
			from = s.Senders[i]
		}
		tail.Slab.Add(tail.text[start:len(tail.text):len(tail.text)], from)
	}
}

func (p *pendingRing) tail() *pendingSlab { return &p.slabs[(p.head+p.n-1)%pendingSlabs] }

// grow puts one more slab into use; there must be one.
func (p *pendingRing) grow(at int64) *pendingSlab {
	p.n++
	s := p.tail()
	if s.text == nil {
		s.text = make([]byte, 0, pendingBytes)
		s.Messages = make([][]byte, 0, pendingMessages)
	}
	s.At = at
	return s
}

// shrink empties the oldest slab and takes it out of use.
func (p *pendingRing) shrink() {
	s := &p.slabs[p.head]
	s.Reset()
	s.text = s.text[:0]
	p.head = (p.head + 1) % pendingSlabs
	p.n--
}

// offer hands slabs to sink, oldest first, until it refuses one. It returns true if none is left.
func (p *pendingRing) offer(src *receiver.Source, sink receiver.TrySink) bool {
	for ; p.n > 0; p.shrink() {
		if !sink.TryDeliver(src, &p.slabs[p.head].Slab) {
			return false
		}
	}
	return true
}

// giveUp turns the messages in the ring, which isn't empty, into a count of Overflow.
func (p *pendingRing) giveUp() {
	var lost [receiver.NumDiscards]uint32
	at := p.slabs[p.head].At
	for ; p.n > 0; p.shrink() {
		s := &p.slabs[p.head]
		for i, n := range s.Discarded {
			lost[i] += n
		}
		lost[receiver.Overflow] += uint32(len(s.Messages))
	}
	p.grow(at).Discarded = lost
}

// takeDescriptor returns a blocking descriptor of conn's socket and closes conn. The Go runtime
// knows nothing of it: no poller wakes it and no finalizer closes it.
func takeDescriptor(conn *net.UDPConn) (int, error) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	cerr := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(cerr, err); err != nil {
		return -1, err
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
