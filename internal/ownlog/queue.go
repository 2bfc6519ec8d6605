package ownlog

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

const (
	logQueueLines = 1000 // that wait for who reads the log

	logPatience = 500 * time.Millisecond // how long the end of the program waits for one of them to be read
	logEnd      = 5 * time.Second        // and for all of them
)

// A logQueue writes log lines in a goroutine of its own, so that a pipe that nobody reads delays
// nothing. A full queue drops the oldest line and says so; the last, which says why the program
// ends, is kept.
type logQueue struct {
	to      io.Writer
	lines   chan []byte
	dropped atomic.Int64  // before the first of them
	ending  chan struct{} // closed by end
	written chan struct{} // closed when all lines have been written after that
	read    atomic.Uint64 // lines that have been written
}

// newLogQueue returns a queue in front of a writer that may block. Its owner calls end once.
func newLogQueue(to io.Writer) *logQueue {
	q := &logQueue{
		to: to, lines: make(chan []byte, logQueueLines), ending: make(chan struct{}), written: make(chan struct{}),
	}
	go q.run()
	return q
}

// Write implements io.Writer. It never waits and never fails: a log can't log that it is broken.
func (q *logQueue) Write(line []byte) (int, error) {
	for own := bytes.Clone(line); ; {
		select {
		case q.lines <- own:
			return len(line), nil
		default:
		}
		select {
		case <-q.lines:
			q.dropped.Add(1)
		default:
		}
	}
}

func (q *logQueue) run() {
	defer close(q.written)
	for ended := false; !ended; {
		select {
		case line := <-q.lines:
			q.pass(line)
		case <-q.ending:
			for ended = true; len(q.lines) > 0; {
				q.pass(<-q.lines)
			}
		}
	}
}

func (q *logQueue) pass(line []byte) {
	if n := q.dropped.Swap(0); n > 0 {
		log := slog.New(slog.NewTextHandler(q.to, nil))
		log.Warn("log lines were dropped: nobody has read them", "lines", n)
	}
	_, _ = q.to.Write(line)
	q.read.Add(1)
}

// end waits until everything is written, as long as somebody reads. What is logged later is lost.
func (q *logQueue) end() {
	close(q.ending)
	all := time.After(logEnd)
	for {
		read := q.read.Load()
		select {
		case <-q.written:
			return
		case <-all:
			return
		case <-time.After(logPatience):
		}
		if q.read.Load() == read {
			return
		}
	}
}

// Writer returns a writer for the program's log, and what to call at the end. Only files can block.
func Writer(w io.Writer) (log io.Writer, end func()) {
	if f, ok := w.(*os.File); ok {
		q := newLogQueue(f)
		return q, q.end
	}
	return w, func() {}
}
