package stream

import (
	"cmp"
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

// Stdin reads lines from a stream that ends by itself, for the file name "-". They are cut into
// messages as those of a followed file are (syslog.TakeLines); the last line may end at the end of
// the stream.
type Stdin struct {
	src  receiver.Source
	sink receiver.Sink
	in   io.Reader

	buf  []byte // longer than any line that is kept
	r, w int    // buf[r:w] has not been cut yet
	skip syslog.Skipped
	slab receiver.Slab
}

// NewStdin returns an input that reads r, which stays the caller's to close. It can't fail.
func NewStdin(r io.Reader, src receiver.Source, sink receiver.Sink) *Stdin {
	return &Stdin{src: src, sink: sink, in: r, buf: make([]byte, syslog.BlockBytes)}
}

// Run reads to the end of the stream and returns nil, or an error if a read fails. It also returns
// nil when ctx ends, at once if the stream is an *os.File, otherwise after the read that is under
// way; a line that has not ended then is Incomplete. Call it once.
func (s *Stdin) Run(ctx context.Context) error {
	for {
		err := s.read(ctx)
		at := time.Now().UnixNano()
		for s.take() {
			s.deliver(at)
		}
		if err == nil {
			continue
		}
		s.finish(errors.Is(err, io.EOF))
		s.deliver(at)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("%s: %w", s, err)
	}
}

// read adds to buf what one read gives.
func (s *Stdin) read(ctx context.Context) error {
	if err := Wait(ctx, s.in); err != nil {
		return err
	}
	s.r, s.w = 0, copy(s.buf, s.buf[s.r:s.w])
	n, err := s.in.Read(s.buf[s.w:])
	s.w += n
	return err
}

// Wait returns when a read of a file or pipe would return at once, or ctx's error. A blocking
// descriptor such as 0 has no deadlines, and its read can't be interrupted. It doesn't wait for
// what is no *os.File.
func Wait(ctx context.Context, r io.Reader) error {
	file, ok := r.(*os.File)
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
		cerr := raw.Control(func(fd uintptr) {
			n, perr = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(stdinPoll.Milliseconds()))
		})
		if err := cmp.Or(cerr, perr); err != nil && err != unix.EINTR {
			return err
		}
		if n > 0 { // data, the end, or an error, which the read will tell
			return nil
		}
	}
	return ctx.Err()
}

// take fills the slab with complete lines, and says whether there were any. There always are if buf
// is full.
func (s *Stdin) take() bool {
	n := syslog.TakeLines(&s.slab, s.buf[:s.w], s.r, &s.skip)
	s.r += n
	return n > 0
}

// deliver hands over what is in the slab, if anything is, and empties it.
func (s *Stdin) deliver(at int64) {
	if len(s.slab.Messages) > 0 || s.slab.Discarded != [receiver.NumDiscards]uint32{} {
		s.slab.At = at
		s.sink.Deliver(&s.src, &s.slab)
	}
	s.slab.Reset()
}

// finish takes the last line, which has no LF: a message where the stream ended behind it, else
// Incomplete.
func (s *Stdin) finish(ended bool) {
	if s.r == s.w || s.skip.Rest { // the rest of a line that has been counted
		return
	}
	if ended && s.w < len(s.buf) {
		s.buf[s.w] = '\n'
		s.w++
		s.take()
	}
	if s.r < s.w { // or a part whose rest hasn't come
		s.slab.Discarded[receiver.Incomplete]++
	}
}

// String returns the Source's name.
func (s *Stdin) String() string { return s.src.Name }

// Close does nothing: the stream is the caller's.
func (s *Stdin) Close() error { return nil }

// Status is empty: a stream of standard input has nothing to show.
func (s *Stdin) Status() receiver.Status { return receiver.Status{} }
