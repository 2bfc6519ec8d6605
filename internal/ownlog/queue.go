package ownlog

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"sync"
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
	wake    chan struct{} // has one when there may be lines
	ending  chan struct{} // closed by end
	written chan struct{} // closed when all lines have been written after that
	read    atomic.Uint64 // lines that have been written

	mu      sync.Mutex // guards what follows; nobody who has it waits
	lines   [][]byte
	dropped int // before the first line
}

// newLogQueue returns a queue in front of a writer that may block. Its owner calls end once.
func newLogQueue(to io.Writer) *logQueue {
	q := &logQueue{to: to, wake: make(chan struct{}, 1), ending: make(chan struct{}), written: make(chan struct{})}
	go q.run()
	return q
}

// Write implements io.Writer. It never waits and never fails: a log can't log that it is broken.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	if len(q.lines) == logQueueLines {
		q.lines = q.lines[1:]
		q.dropped++
	}
	q.lines = append(q.lines, bytes.Clone(line))
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

func (q *logQueue) run() {
	defer close(q.written)
	for ended := false; !ended; {
		select {
		case <-q.wake:
		case <-q.ending:
			ended = true
		}
		for line, dropped := q.first(); line != nil; line, dropped = q.first() {
			if dropped > 0 {
				log := slog.New(slog.NewTextHandler(q.to, nil))
				log.Warn("log lines were dropped: nobody has read them", "lines", dropped)
			}
			_, _ = q.to.Write(line)
			q.read.Add(1)
		}
	}
}

// first takes the first line from the queue, nil if there is none, and returns how many were
// dropped before it.
func (q *logQueue) first() (line []byte, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) == 0 {
		return nil, 0
	}
	line, dropped = q.lines[0], q.dropped
	q.lines, q.dropped = q.lines[1:], 0
	return line, dropped
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

// Writer returns a writer for the program's log and a function to call at the end. Only files can
// block.
func Writer(w io.Writer) (log io.Writer, end func()) {
	if f, ok := w.(*os.File); ok {
		q := newLogQueue(f)
		return q, q.end
	}
	return w, func() {}
}
