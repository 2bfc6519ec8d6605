package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Stdin reads lines from a stream that ends by itself, for the file name "-". A line ends at LF, the last one also at the end of the
// stream; longer ones than MaxMessage are skipped and counted.
type Stdin struct {
	src  Source
	sink Sink
	r    io.Reader
}

// NewStdin returns an input that reads r, which stays the caller's to close. It can't fail.
func NewStdin(r io.Reader, src Source, sink Sink) *Stdin { return &Stdin{src: src, sink: sink, r: r} }

// Run reads to the end of the stream and returns nil, or an error if a read fails. It also returns nil when ctx ends, at once if r is an
// *os.File, otherwise after the read that is under way; a line that has not ended then is Incomplete. Call it once.
func (s *Stdin) Run(ctx context.Context) error {
	in := framer{lines: true}
	var slab Slab
	for {
		err := s.ready(ctx)
		n := 0
		if err == nil {
			n, err = s.r.Read(in.space())
			in.advance(n)
		}
		at := time.Now().UnixNano()
		_ = in.deliver(&s.src, s.sink, &slab, at) // lines have no octet count that could be wrong
		if err == nil {
			continue
		}
		in.finish(&slab, errors.Is(err, io.EOF))
		in.deliverAny(&s.src, s.sink, &slab, at)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("%s: %w", s, err)
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
			n, perr = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(idleTimeout/time.Millisecond))
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
