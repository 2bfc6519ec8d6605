package follow

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// OpenLog opens a log file to be read once from its start, unpacked if its name says that it is
// compressed. The caller closes it. What is no regular file is an error: a directory has no lines,
// and a FIFO would make the caller wait.
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

// An unpackedLog is a compressed log file, opened.
type unpackedLog struct {
	*unpacker
	file *os.File
}

// Close implements io.Closer.
func (u *unpackedLog) Close() error {
	u.unpacker.close()
	return u.file.Close()
}
