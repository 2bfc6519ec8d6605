package follow

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

const (
	// maxWindow is how far back a zstd stream may refer, and so about what its decoder needs.
	// zstd's levels up to 19 stay within it; RFC 8878 section 3.1.1.1.2 asks decoders for as much.
	maxWindow = 8 << 20

	// A stream beyond bombSize that has grown by more than bombRatio is no log: rsyncd's lines give
	// 5 to 30, and a log that repeats one line for ever about 200.
	bombSize  = 64 << 20
	bombRatio = 500
)

var (
	errBomb    = fmt.Errorf("it grows more than %d-fold, as no log does", bombRatio)
	errStopped = errors.New("stopped") // told to; what is left is read after the next start
)

// unpackable are the endings of names of files that can be unpacked.
var unpackable = [...]string{".gz", ".bz2", ".zst"}

func canUnpack(path string) bool {
	return slices.ContainsFunc(unpackable[:], func(end string) bool { return strings.HasSuffix(path, end) })
}

// An unpacker reads what a compressed file holds, member by member. Its memory is bounded.
type unpacker struct {
	in    countingReader
	out   io.Reader
	close func() // not of the compressed file
	size  int64  // of what has been read
	torn  bool   // it ended where it should not
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// newUnpacker returns a reader of what r holds compressed; path tells how. It is closed before r.
func newUnpacker(path string, r io.Reader) (*unpacker, error) {
	u := &unpacker{in: countingReader{r: r}}
	in := bufio.NewReaderSize(&u.in, 32<<10)
	if strings.HasSuffix(path, ".zst") {
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return nil, err
		}
		u.out, u.close = d, d.Close
		return u, nil
	}
	if strings.HasSuffix(path, ".bz2") {
		u.out, u.close = bzip2.NewReader(in), func() {}
		return u, nil
	}
	d, err := gzip.NewReader(in)
	if err != nil {
		return nil, tornAtStart(err, u.in.n)
	}
	u.out, u.close = d, func() { d.Close() }
	return u, nil
}

// tornAtStart makes the end of an empty file an unexpected one: it is still being written.
func tornAtStart(err error, read int64) error {
	if err == io.EOF && read == 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Read returns io.EOF at the end of a whole file, io.ErrUnexpectedEOF at that of a torn one.
func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.out.Read(p)
	u.size += int64(n)
	if u.size > bombSize && u.size/bombRatio > u.in.n {
		return 0, errBomb
	}
	err = tornAtStart(err, u.in.n)
	u.torn = err == io.ErrUnexpectedEOF
	return n, err
}

// OpenLog opens a log file to be read once, unpacked if its name says that it is compressed. The
// caller closes it. A directory or FIFO is an error.
func OpenLog(path string) (io.ReadCloser, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = errors.New("it is a directory: name the log file in it")
	case !info.Mode().IsRegular():
		err = errors.New("it is no regular file: give its content on standard input, with -")
	case canUnpack(path):
		var u *unpacker
		if u, err = newUnpacker(path, f); err == nil {
			return &unpackedLog{u, f}, nil
		}
	default:
		return f, nil
	}
	f.Close()
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
}

type unpackedLog struct {
	*unpacker
	file *os.File
}

// Close implements io.Closer.
func (u *unpackedLog) Close() error {
	u.unpacker.close()
	return u.file.Close()
}
