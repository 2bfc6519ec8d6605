package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// stdinPoll is how long a wait for input takes before it looks whether Run shall end.
const stdinPoll = 250 * time.Millisecond

// Stdin reads lines from a stream that ends by itself, for the file name "-". They are cut into messages as those of a
// followed file are (syslog.TakeLines); the last line may end at the end of the stream.
type Stdin struct {
	src  receiver.Source
	sink receiver.Sink
	r    io.Reader
}

// NewStdin returns an input that reads r, which stays the caller's to close. It can't fail.
func NewStdin(r io.Reader, src receiver.Source, sink receiver.Sink) *Stdin {
	return &Stdin{src: src, sink: sink, r: r}
}

// Run reads to the end of the stream and returns nil, or an error if a read fails. It also returns nil when ctx ends, at once if r is an
// *os.File, otherwise after the read that is under way; a line that has not ended then is Incomplete. Call it once.
func (s *Stdin) Run(ctx context.Context) error {
	in := lineReader{buf: make([]byte, syslog.BlockBytes)}
	for {
		err := s.ready(ctx)
		if err == nil {
			err = in.read(s.r)
		}
		at := time.Now().UnixNano()
		for in.take() {
			s.deliver(&in.slab, at)
		}
		if err == nil {
			continue
		}
		in.finish(errors.Is(err, io.EOF))
		s.deliver(&in.slab, at)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("%s: %w", s, err)
	}
}

// deliver hands over what is in slab, if anything is, and empties it.
func (s *Stdin) deliver(slab *receiver.Slab, at int64) {
	if len(slab.Messages) > 0 || slab.Discarded != [receiver.NumDiscards]uint32{} {
		slab.At = at
		s.sink.Deliver(&s.src, slab)
	}
	slab.Reset()
}

// A lineReader cuts a stream that can be read once into messages.
type lineReader struct {
	buf  []byte // longer than any line that is kept
	r, w int    // buf[r:w] has not been cut yet
	skip syslog.Skipped
	slab receiver.Slab
}

// read adds to buf what one read of r gives.
func (l *lineReader) read(r io.Reader) error {
	l.r, l.w = 0, copy(l.buf, l.buf[l.r:l.w])
	n, err := r.Read(l.buf[l.w:])
	l.w += n
	return err
}

// take fills the slab with complete lines, and says whether there were any. There always are if buf is full.
func (l *lineReader) take() bool {
	n := syslog.TakeLines(&l.slab, l.buf[:l.w], l.r, &l.skip)
	l.r += n
	return n > 0
}

// finish takes the last line, which has no LF: a message where the stream ended behind it, else Incomplete.
func (l *lineReader) finish(ended bool) {
	switch {
	case l.r == l.w || l.skip.Rest: // the rest of one that has been counted
	case ended && l.w < len(l.buf):
		l.buf[l.w] = '\n'
		l.w++
		if l.take(); l.r < l.w { // a part whose rest hasn't come
			l.slab.Discarded[receiver.Incomplete]++
		}
	default:
		l.slab.Discarded[receiver.Incomplete]++
	}
}

// ready waits until a read of a file or pipe would return at once, or for the end of ctx, whose error it returns. A blocking descriptor
// such as 0 has no deadlines and its read can't be interrupted.
func (s *Stdin) ready(ctx context.Context) error {
	file, ok := s.r.(*os.File)
	if !ok {
		return ctx.Err()
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		var n int
		var perr error
		err := raw.Control(func(fd uintptr) {
			n, perr = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(stdinPoll/time.Millisecond))
		})
		switch {
		case err != nil:
			return err
		case perr != nil && perr != unix.EINTR:
			return perr
		case n > 0: // data, the end, or an error, which the read will tell
			return nil
		}
	}
	return ctx.Err()
}

// String returns the Source's name.
func (s *Stdin) String() string { return s.src.Name }

// Close does nothing: the stream is the caller's.
func (s *Stdin) Close() error { return nil }

// Status is empty: a stream of standard input has nothing to show.
func (s *Stdin) Status() receiver.Status { return receiver.Status{} }
