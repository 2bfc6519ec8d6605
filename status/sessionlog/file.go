package sessionlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// A logFile is an open session log. Lines are appended wherever its end is then, so that others may
// truncate it (copytruncate).
type logFile struct {
	*os.File
	place   Place // of its end when it was last looked at; without an inode if it can't be read back
	regular bool
	cut     bool // it ends within a line
}

// openLog opens a log to append to, and makes it if it isn't there. It doesn't wait for the reader
// of a FIFO.
func openLog(path string, mode fs.FileMode) (*logFile, error) {
	const flags = os.O_WRONLY | os.O_APPEND | syscall.O_NONBLOCK
	f, err := os.OpenFile(path, flags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, mode); err == nil {
			err = errors.Join(f.Chmod(mode), syncDir(path)) // whatever the umask
		}
	}
	if errors.Is(err, syscall.ENXIO) {
		err = fmt.Errorf("open %q: nobody reads this FIFO", path)
	}
	if err != nil {
		return nil, errors.Join(err, closed(f))
	}
	l := &logFile{File: f, place: Place{Path: path}}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if l.regular = info.Mode().IsRegular(); l.regular {
		l.place.Inode, l.place.Size = inode(info), info.Size()
		l.cut = endsWithinLine(path, info.Size())
	}
	return l, nil
}

// syncDir makes a file's name durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func closed(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}

func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

// endsWithinLine says whether the last byte of a file is no line feed. One that can't be read gets
// a line feed too many.
func endsWithinLine(path string, size int64) bool {
	if size == 0 {
		return false
	}
	last := make([]byte, 1)
	f, err := os.Open(path)
	if err == nil {
		_, err = f.ReadAt(last, size-1)
		f.Close()
	}
	return err != nil || last[0] != '\n'
}

// look says whether the log's path still leads to it, and notes its size. Where it has become
// shorter its place has too.
func (l *logFile) look() (same bool) {
	at, err := os.Stat(l.place.Path)
	if err != nil || l.sized() != nil {
		return false
	}
	now, err := l.Stat()
	return err == nil && os.SameFile(at, now)
}

// sized notes the log's size.
func (l *logFile) sized() error {
	if !l.regular {
		return nil
	}
	info, err := l.Stat()
	if err == nil {
		l.place.Size = info.Size()
	}
	return err
}

// write appends lines. ends has where each ends. It returns how many the log has. What it has of
// another one, as when the disk is full, is taken away again.
func (l *logFile) write(lines []byte, ends []int, sync bool) (whole int, err error) {
	if l.cut {
		if _, err := l.Write([]byte("\n")); err != nil {
			return 0, err
		}
		l.cut = false
	}
	err = l.sized()
	if err != nil {
		return 0, err
	}
	before := l.place.Size
	n, err := l.Write(lines)
	for whole < len(ends) && ends[whole] <= n {
		whole++
	}
	part := n
	if whole > 0 {
		part -= ends[whole-1]
	}
	if l.regular && sync && whole > 0 {
		err = errors.Join(err, l.Sync())
	}
	err = errors.Join(err, l.sized())
	if part > 0 && l.regular {
		l.cut = l.place.Size != before+int64(n) || l.Truncate(l.place.Size-int64(part)) != nil
		err = errors.Join(err, l.sized())
	}
	return whole, err
}

// find opens the file of a Place, by whatever name it has in its directory now. It returns an error
// that wraps fs.ErrNotExist if it is gone.
func (p Place) find() (*os.File, error) {
	is := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Mode().IsRegular() && inode(info) == p.Inode
	}
	if is(p.Path) {
		return os.OpenFile(p.Path, os.O_RDWR, 0)
	}
	dir, err := os.Open(filepath.Dir(p.Path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1000)
		for _, name := range names {
			if path := filepath.Join(filepath.Dir(p.Path), name); is(path) {
				return os.OpenFile(path, os.O_RDWR, 0)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%q with inode %d: %w", p.Path, p.Inode, fs.ErrNotExist)
		}
		if err != nil {
			return nil, err
		}
	}
}

// Check returns why a session log could not be written now. It makes no file.
func Check(path string) error {
	if path == "-" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|syscall.O_NONBLOCK, 0)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, syscall.ENXIO): // a FIFO may get its reader later
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	dir := filepath.Dir(path)
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("it isn't there, and can't be made: directory %q: %w", dir, err)
	}
	return nil
}
