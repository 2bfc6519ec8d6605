// Package readfile reads small files that settings name, in bounded time and memory.
package readfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// readPatience is how long reading a file may take. A file server that is gone would take for ever.
const readPatience = 5 * time.Second

// A Reader reads one file at a time. It holds a token while a read is under way, even after its
// caller gave up, so that a file server that is gone costs one thread.
type Reader chan struct{}

// NewReader returns a Reader that is not busy.
func NewReader() Reader { return make(Reader, 1) }

// Read reads one file, see Reader.Read.
func Read(path string, most int) ([]byte, error) { return NewReader().Read(path, most) }

// Read returns the content of a regular file of at most most bytes. It takes readPatience at most,
// and never waits for the writer of a FIFO or for a terminal.
func (r Reader) Read(path string, most int) ([]byte, error) {
	late := time.After(readPatience)
	tooLate := &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it can't be read within %v", readPatience)}
	select {
	case r <- struct{}{}:
	case <-late:
		return nil, tooLate
	}
	var content []byte // whoever receives from done may read it
	done := make(chan error, 1)
	go func() {
		var err error
		content, err = readRegular(path, most)
		<-r
		done <- err
	}()
	select {
	case err := <-done:
		return content, err
	case <-late:
		return nil, tooLate
	}
}

func readRegular(path string, most int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is no regular file")}
	}
	content, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err != nil {
		return nil, err
	}
	if len(content) > most {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it is larger than %dMiB", most>>20)}
	}
	return content, nil
}
