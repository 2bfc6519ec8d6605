package follow

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
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
	if strings.HasSuffix(path, ".xz") {
		x, err := xz.NewReader(in)
		if err != nil {
			return nil, tornAtStart(err, u.in.n)
		}
		u.out, u.close = x, func() {}
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

// OpenLog opens a log file to be read once, unpacked if its first bytes say that it is compressed.
// The caller closes it. A directory or FIFO is an error.
func OpenLog(path string) (*Log, error) {
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
	default:
		var l *Log
		if l, err = NewLog(f); err == nil {
			l.file = f
			return l, nil
		}
	}
	f.Close()
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
}

// A Log is a log that is read once, from its start.
type Log struct {
	in   *countingReader
	out  io.Reader
	done func() // releases the decoder; nil: there is none
	file *os.File
}

// NewLog returns a Log of what r holds, unpacked if its first bytes say that it is compressed: by
// gzip, bzip2, zstd or xz. The caller closes the Log before r.
func NewLog(r io.Reader) (*Log, error) {
	counted := &countingReader{r: r}
	in := bufio.NewReaderSize(counted, 64<<10)
	start, err := in.Peek(xzHeader)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if size := xzDictionary(start); size > maxDictionary {
		return nil, fmt.Errorf("its dictionary takes %d bytes, more than %d: unpack it by xz", size, maxDictionary)
	}
	for end, magic := range magics {
		if !bytes.HasPrefix(start, []byte(magic)) {
			continue
		}
		u, err := newUnpacker(end, in)
		if err != nil {
			return nil, err
		}
		return &Log{in: counted, out: u, done: u.close}, nil
	}
	return &Log{in: counted, out: in}, nil
}

// magics are the first bytes of compressed files, by the ending of their names.
var magics = map[string]string{
	".gz": "\x1f\x8b", ".bz2": "BZh", ".zst": "\x28\xb5\x2f\xfd", ".xz": "\xfd7zXZ\x00",
	"pzstd.zst": "\x50\x2a\x4d\x18", // a frame to be skipped (RFC 8878 section 3.1.2)
}

// maxDictionary is what xz -9 uses, in bytes. A file may ask for 4 GiB.
const maxDictionary = 64 << 20

// xzHeader is the length of a stream header with the longest front of a block header up to its
// dictionary's size (xz-file-format.txt 2.1.1, 3.1).
const xzHeader = 12 + 2 + 9 + 9 + 3

// xzDictionary returns the dictionary's size that the first block of an xz file asks for, or 0 if
// it has another filter than LZMA2 alone, which the decoder refuses.
func xzDictionary(start []byte) int64 {
	if len(start) < xzHeader || !bytes.HasPrefix(start, []byte(magics[".xz"])) {
		return 0
	}
	b := start[12:]
	flags, b := b[1], b[2:]
	for _, size := range [...]byte{0x40, 0x80} { // compressed and uncompressed size, where present
		if flags&size == 0 {
			continue
		}
		n := 0
		for n < 8 && b[n]&0x80 != 0 {
			n++
		}
		b = b[n+1:]
	}
	if flags&3 != 0 || b[0] != 0x21 || b[1] != 1 || b[2] > 40 {
		return 0
	}
	return int64(2|b[2]&1) << (b[2]/2 + 11)
}

// Read implements io.Reader. The end of a torn compressed file is io.ErrUnexpectedEOF.
func (l *Log) Read(p []byte) (int, error) { return l.out.Read(p) }

// Consumed returns how many bytes of the file, as it is on disk, have been read.
func (l *Log) Consumed() int64 { return l.in.n }

// Close implements io.Closer.
func (l *Log) Close() error {
	if l.done != nil {
		l.done()
	}
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
