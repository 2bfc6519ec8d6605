// Package ownlog is the exporter's own log, with limits. Nobody who logs waits for its reader.
package ownlog

import (
	"context"
	"io"
	"log"
	"log/slog"
	"strings"
	"sync"
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
