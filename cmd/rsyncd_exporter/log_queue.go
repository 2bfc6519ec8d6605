package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

const (
	logQueueLines = 1000                   // that wait for who reads the log
	logPatience   = 500 * time.Millisecond // how long the end of the program waits until they are written
)

// A logQueue writes log lines in a goroutine of its own. So nobody who logs waits for whoever reads the log: a
// pipe that nobody reads holds up neither the start nor the end, nor a scrape. What doesn't fit in the queue
// is dropped, and counted in the next line that is written.
type logQueue struct {
	to      io.Writer
	lines   chan []byte
	dropped atomic.Uint64
	ending  chan struct{} // closed by end
	written chan struct{} // closed when all lines have been written after that
}

// newLogQueue returns a queue for the descriptor. Its owner calls end, once, as the last thing that the
// program does.
func newLogQueue(to *os.File) *logQueue {
	q := &logQueue{to: to, lines: make(chan []byte, logQueueLines), ending: make(chan struct{}), written: make(chan struct{})}
	go q.run()
	return q
}

// Write implements io.Writer. It never waits and never fails: a log can't log that it is broken.
func (q *logQueue) Write(line []byte) (int, error) {
	select {
	case q.lines <- bytes.Clone(line):
	default:
		q.dropped.Add(1)
	}
	return len(line), nil
}

func (q *logQueue) run() {
	defer close(q.written)
	for {
		select {
		case line := <-q.lines:
			q.write(line)
			continue
		default:
		}
		q.confess()
		select { // lines first: what was logged before the end is written
		case line := <-q.lines:
			q.write(line)
		case <-q.ending:
			if len(q.lines) == 0 {
				return
			}
		}
	}
}

func (q *logQueue) write(line []byte) {
	q.confess()
	_, _ = q.to.Write(line)
}

// confess writes how many lines were dropped, if any were.
func (q *logQueue) confess() {
	if n := q.dropped.Swap(0); n > 0 {
		slog.New(slog.NewTextHandler(q.to, nil)).Warn("log lines were dropped: nobody has read them", "lines", n)
	}
}

// end waits until everything is written, but not for long where nobody reads. Whoever still logs after that is
// not heard.
func (q *logQueue) end() {
	close(q.ending)
	select {
	case <-q.written:
	case <-time.After(logPatience):
	}
}

// logWriterTo returns where the log of the program goes, and what is called at the end. Only a descriptor can
// hold up who writes to it.
func logWriterTo(w io.Writer) (log io.Writer, end func()) {
	if f, ok := w.(*os.File); ok {
		q := newLogQueue(f)
		return q, q.end
	}
	return w, func() {}
}
