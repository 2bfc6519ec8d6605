package checkpoint

import (
	"bytes"
	"fmt"
	"hash/crc32"

	"golang.org/x/sys/unix"
)

// The names and the format of the files.
const (
	TmpName    = tmpName
	LockName   = lockName
	HeaderSize = headerSize
)

// CopyNames are the two copies.
var CopyNames = copyNames

// Header returns what precedes a payload in a file.
var Header = header

// Decode reads a file's content.
func (c *Copy) Decode(file []byte) error { return c.decode(file) }

// Mend gives a content that is long enough the checksum that belongs to it, which no fuzzer finds.
func Mend(content []byte) []byte {
	if len(content) < headerSize {
		return content
	}
	c := bytes.Clone(content)
	at := headerSize - len(fmt.Sprintf(checksum, 0))
	sum := crc32.Update(crc32.Checksum(c[:at], castagnoli), castagnoli, c[headerSize:])
	copy(c[at:], fmt.Sprintf(checksum, sum))
	return c
}

// OpenUnlocked opens a directory to load from, without its lock.
func OpenUnlocked(path string) (d *Dir, err error) {
	fd, err := openNoFollow(path)
	return &Dir{path: path, dir: fd, lock: -1}, err
}

// CloseUnlocked closes what OpenUnlocked has opened.
func (d *Dir) CloseUnlocked() error { return unix.Close(d.dir) }
