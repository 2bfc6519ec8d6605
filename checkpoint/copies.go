package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The names in the directory.
const (
	tmpName  = "state.tmp"
	lockName = "lock"
	aside    = ".aside" // behind a copy's name
)

// In the order in which they are written.
var copyNames = [2]string{"state.a", "state.b"}

// A Copy is one of the two files, as it was found.
type Copy struct {
	Name    string // in its directory
	Size    int64  // bytes, header and payload
	Payload []byte // nil where Err isn't; the caller's
	Err     error  // why the copy can't be used; wraps fs.ErrNotExist if it isn't there

	// From the header; they may be wrong, or zero, where Err isn't nil.
	Version  int
	Sequence uint64
	At       time.Time // when it was saved, by the wall clock
}

// Look returns both copies in the directory, for people to read. It changes nothing and works while
// a process has the directory open. If the directory can't be read, each Copy says why.
func Look(dir string) []Copy {
	fd, err := openNoFollow(clean(dir))
	if err != nil {
		err = fmt.Errorf("state directory %q: %w", dir, describe(dir, err))
		return []Copy{{Name: copyNames[0], Err: err}, {Name: copyNames[1], Err: err}}
	}
	defer unix.Close(fd)
	copies := readCopies(fd)
	return copies[:]
}

// Aside reports whether the directory holds copies that SetAside has renamed. If it holds no other
// copies, nothing has been saved since.
func Aside(dir string) bool {
	for _, name := range copyNames {
		if _, err := os.Lstat(filepath.Join(dir, name+aside)); err == nil {
			return true
		}
	}
	return false
}

func readCopies(dir int) (copies [2]Copy) {
	for i, name := range copyNames {
		copies[i].Name = name
		if err := copies[i].read(dir); err != nil {
			copies[i].Err = fmt.Errorf("%s: %w", name, err)
		}
	}
	return copies
}

// read reads the copy c.Name.
func (c *Copy) read(dir int) error {
	// Should it be a fifo, opening mustn't wait for a writer.
	fd, err := openat(dir, c.Name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if isSymlink(err) {
		return errors.New("is a symbolic link, which isn't followed")
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), c.Name)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("is no file, mode %s", info.Mode())
	}
	if c.Size = info.Size(); c.Size > int64(headerSize)+MaxPayload {
		return fmt.Errorf("has %d bytes, more than any state file", c.Size)
	}
	content := make([]byte, c.Size)
	if _, err := io.ReadFull(f, content); err != nil {
		return fmt.Errorf("reading its %d bytes: %w", c.Size, err)
	}
	return c.decode(content)
}

// passing reports whether an error says nothing about a file's content: another attempt, or one
// with other permissions, may read it.
func passing(err error) bool {
	for _, e := range []error{unix.EACCES, unix.EPERM, unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
