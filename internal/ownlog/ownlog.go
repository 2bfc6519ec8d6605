// Package ownlog is the exporter's own log, with limits. Nobody who logs waits for its reader.
package ownlog

import (
	"bytes"
	"context"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	logBurst    = 10          // records of one message in logInterval
	logInterval = time.Second //
	logMessages = 1000        // messages that are told apart; those beyond share one limit
)

// New returns a log that writes at most 10 records a second of each message; the next one says how
// many were "suppressed". No value can forge a line, since slog's text handler quotes it.
func New(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(&limitHandler{
		Handler: slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}),
		limits:  &logLimits{windows: map[string]*logWindow{}},
	})
}

// ErrorLog returns a log for net/http and promhttp, whose texts become the attribute err.
func ErrorLog(l *slog.Logger, message string) *log.Logger {
	return log.New(logWriter(func(line string) { l.Warn(message, "err", line) }), "", 0)
}

type logWriter func(line string)

func (w logWriter) Write(line []byte) (int, error) {
	w(strings.TrimRight(string(line), "\n"))
	return len(line), nil
}

// limitHandler is a slog.Handler that limits how often a message is passed on.
type limitHandler struct {
	slog.Handler
	limits *logLimits // shared by all handlers derived from one
}

type logLimits struct {
	mu      sync.Mutex
	windows map[string]*logWindow
}

type logWindow struct {
	start              time.Time
	passed, suppressed int
}

func (h *limitHandler) Handle(ctx context.Context, r slog.Record) error {
	pass, suppressed := h.limits.admit(r.Message, time.Now())
	if !pass {
		return nil
	}
	if suppressed > 0 {
		r.AddAttrs(slog.Int("suppressed", suppressed))
	}
	return h.Handler.Handle(ctx, r)
}

func (h *limitHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limitHandler{h.Handler.WithAttrs(attrs), h.limits}
}

func (h *limitHandler) WithGroup(name string) slog.Handler {
	return &limitHandler{h.Handler.WithGroup(name), h.limits}
}

// admit reports whether a record may pass, and how many before it did not.
func (l *logLimits) admit(message string, now time.Time) (pass bool, suppressed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, ok := l.windows[message]
	if !ok && len(l.windows) >= logMessages {
		message = ""
		w, ok = l.windows[message]
	}
	if !ok {
		w = &logWindow{start: now}
		l.windows[message] = w
	}
	if now.Sub(w.start) >= logInterval {
		suppressed = w.suppressed
		*w = logWindow{start: now}
	}
	if w.passed == logBurst {
		w.suppressed++
		return false, 0
	}
	w.passed++
	return true, suppressed
}

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
	mu      sync.Mutex // held while a line is queued, which never waits
	queued  uint64     // lines so far
	lines   chan logLine
	passed  uint64        // run's: the number behind that of the last line that was written
	ending  chan struct{} // closed by end
	written chan struct{} // closed when all lines have been written after that
	read    atomic.Uint64 // lines that have been written
}

// A logLine is a line with its number: what is missing between two was dropped.
type logLine struct {
	number uint64
	text   []byte
}

// newLogQueue returns a queue in front of a writer that may block. Its owner calls end once.
func newLogQueue(to io.Writer) *logQueue {
	q := &logQueue{
		to: to, lines: make(chan logLine, logQueueLines), ending: make(chan struct{}), written: make(chan struct{}),
	}
	go q.run()
	return q
}

// Write implements io.Writer. It never waits and never fails: a log can't log that it is broken.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	own := logLine{q.queued, bytes.Clone(line)}
	q.queued++
	for {
		select {
		case q.lines <- own:
			return len(line), nil
		default:
		}
		select {
		case <-q.lines:
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

func (q *logQueue) pass(line logLine) {
	if n := line.number - q.passed; n > 0 {
		log := slog.New(slog.NewTextHandler(q.to, nil))
		log.Warn("log lines were dropped: nobody has read them", "lines", n)
	}
	q.passed = line.number + 1
	_, _ = q.to.Write(line.text)
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
