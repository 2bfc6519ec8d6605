package sessionlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"
)

const (
	// interval is how often a Writer looks for sessions, and whether its file has been renamed.
	interval = time.Second
	// portion is how much is written at once, in bytes.
	portion = 256 << 10
)

// Options say how a session log is written.
type Options struct {
	Path      string      // "-": Stdout
	Stdout    io.Writer   // may block
	Mode      fs.FileMode // of a file that is made
	Anonymise bool
	Reopen    <-chan os.Signal // asks for the file to be closed and opened again

	// Report is called when writing begins to fail, and with nil when it goes on.
	Report func(error)
}

// A Writer writes the sessions of a Queue. What it can't write waits there, and is tried again.
type Writer struct {
	q    *Queue
	o    Options
	log  *logFile // nil while there is none
	part *block   // holds the next session
	next uint64

	lines bytes.Buffer // scratch
	ends  []int        // scratch

	failed bool
	ok     atomic.Bool
}

// NewWriter returns the only Writer of a Queue.
func NewWriter(q *Queue, o Options) *Writer {
	w := &Writer{q: q, o: o, part: q.front, next: q.written.Load().next}
	q.front = nil // so that it doesn't keep what follows
	w.ok.Store(true)
	return w
}

// OK says whether the last attempt to write succeeded.
func (w *Writer) OK() bool { return w.ok.Load() }

func (w *Writer) String() string { return fmt.Sprintf("session log %q", w.o.Path) }

// Run writes until ctx ends, and then what may still be written. It can be held up by a disk or by a
// pipe's reader for any time.
func (w *Writer) Run(ctx context.Context) error {
	var press <-chan struct{}
	if w.q.durable {
		w.recover()
	} else {
		press = w.q.press
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		w.turn()
		select {
		case <-ctx.Done():
			w.turn()
			w.close()
			return nil
		case <-w.o.Reopen:
			w.close()
		case <-press:
		case <-w.q.wake:
		case <-tick.C:
		}
	}
}

// turn writes what may be written now.
func (w *Writer) turn() {
	err := w.open()
	for err == nil && w.may() && w.collect() {
		err = w.write()
	}
	if err != nil {
		w.close()
		err = fmt.Errorf("sessions wait until it can be written: %w", err)
	}
	if w.ok.Store(err == nil); w.failed != (err != nil) {
		w.failed = err != nil
		w.o.Report(err)
	}
}

func (w *Writer) close() {
	if w.log != nil && w.o.Path != "-" {
		w.log.Close()
	}
	w.log = nil
}

// open opens the log, anew if its path leads elsewhere, and says where it stands.
func (w *Writer) open() (err error) {
	if w.o.Path == "-" {
		return nil
	}
	if w.log != nil && !w.log.look() {
		w.close()
	}
	if w.log == nil {
		if w.log, err = openLog(w.o.Path, w.o.Mode); err != nil {
			return err
		}
	}
	w.q.written.Store(&progress{w.next, w.log.place})
	return nil
}

// may says whether what is released may be written to the present file: the durable Record names it.
func (w *Writer) may() bool {
	if !w.q.durable || w.log == nil || !w.log.regular {
		return true
	}
	known, now := w.q.released.Load().log, w.log.place
	may := known.Path == now.Path && known.Inode == now.Inode && known.Size <= now.Size
	w.q.waits.Store(!may)
	return may
}

// collect makes lines of the next sessions that may be written, as far as there are any.
func (w *Writer) collect() bool {
	w.lines.Reset()
	w.ends = w.ends[:0]
	end := w.q.added.Load()
	if w.q.durable {
		end = w.q.released.Load().next
	}
	for at, part := w.next, w.part; at < end && w.lines.Len() < portion; at++ {
		if at == part.first+blockSize {
			part = part.next.Load()
		}
		part.entries[at-part.first].line(&w.lines, w.o.Anonymise)
		w.ends = append(w.ends, w.lines.Len())
	}
	return len(w.ends) > 0
}

// write writes the collected lines.
func (w *Writer) write() (err error) {
	whole, place := 0, Place{}
	if w.log == nil {
		var n int
		n, err = w.o.Stdout.Write(w.lines.Bytes())
		for whole < len(w.ends) && w.ends[whole] <= n {
			whole++
		}
	} else {
		whole, err = w.log.write(w.lines.Bytes(), w.ends, w.q.durable)
		place = w.log.place
	}
	w.advance(whole)
	w.q.written.Store(&progress{w.next, place})
	return err
}

// advance goes on to the session behind so many.
func (w *Writer) advance(n int) {
	for w.next += uint64(n); w.next >= w.part.first+blockSize && w.part.next.Load() != nil; {
		w.part = w.part.next.Load()
	}
}

// recover finds out which of the sessions that were pending when the last Record was saved have been
// written since, and takes half a line away. If the file is gone, as when it was compressed, they
// are written once more.
func (w *Writer) recover() {
	last := w.q.released.Load()
	if last.log.Inode == 0 || last.next == w.next {
		return
	}
	f, err := last.log.find()
	if err == nil {
		err = errors.Join(w.match(f, last), f.Close())
	}
	if err != nil {
		w.o.Report(fmt.Errorf("lines that may be there twice, after the program was killed: %d: %w",
			last.next-w.next, err))
	}
}

// match advances over the pending sessions that a file has behind a place.
func (w *Writer) match(f *os.File, last *progress) error {
	if _, err := f.Seek(last.log.Size, io.SeekStart); err != nil {
		return err
	}
	end, lines := last.log.Size, bufio.NewReaderSize(f, maxLine)
	for w.next < last.next {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return w.trim(f, end, line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) { // a line of this length isn't ours
			return err
		}
		end += int64(len(line))
		if k, ok := keyOf(line); ok && k == w.entry().key() {
			w.advance(1)
		}
	}
	return nil
}

// entry returns the next session.
func (w *Writer) entry() *Entry { return &w.part.entries[w.next-w.part.first] }

// trim takes the begin of the next session's line away from the end of a file.
func (w *Writer) trim(f *os.File, end int64, begin []byte) error {
	var whole bytes.Buffer
	w.entry().line(&whole, w.o.Anonymise)
	if len(begin) == 0 || !bytes.HasPrefix(whole.Bytes(), begin) {
		return nil
	}
	return f.Truncate(end)
}
