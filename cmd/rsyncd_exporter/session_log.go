package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/status/sessionlog"
)

// A sessionLog is SESSION_LOG at work.
type sessionLog struct {
	queue  *sessionlog.Queue
	writer *sessionlog.Writer
	reopen chan os.Signal
}

// openSessionLog returns what writes the pipeline's queue, or nil without SESSION_LOG.
func (pr *program) openSessionLog(q *sessionlog.Queue) *sessionLog {
	if q == nil {
		return nil
	}
	l := &sessionLog{queue: q, reopen: make(chan os.Signal, 1)}
	l.writer = sessionlog.NewWriter(q, sessionlog.Options{
		Path: pr.cfg.SessionLog, Stdout: pr.cfg.Stdout, Mode: pr.cfg.SessionLogMode, Anonymise: pr.cfg.Anonymise,
		Reopen: l.reopen,
		Report: func(err error) {
			if err != nil {
				pr.log.Error("session log", "path", pr.cfg.SessionLog, "err", err)
			} else {
				pr.log.Info("the session log is written again", "path", pr.cfg.SessionLog)
			}
		},
	})
	return l
}

// start returns a function that writes what may still be written, within patience. With STATE_DIR
// it then saves that it is written.
func (l *sessionLog) start(ctx context.Context, pr *program) (stop func(patience func() time.Duration)) {
	if l == nil {
		return func(func() time.Duration) {}
	}
	signal.Notify(l.reopen, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = l.writer.Run(ctx) // it says itself what goes wrong
	}()
	return func(patience func() time.Duration) {
		signal.Ignore(syscall.SIGHUP) // as before; after signal.Stop it would end the program
		cancel()
		select {
		case <-ended:
			if shown := pr.lastSave(); shown != nil && shown.First != l.queue.Counts().Written {
				pr.saveAgain(patience())
			}
		case <-time.After(patience()):
			pr.log.Error("the session log could not be written in time", "path", pr.cfg.SessionLog,
				"sessions", l.queue.Counts().Waiting)
		}
	}
}

// lastSave returns what is saved of the session log; nil if it can't be saved any more.
func (pr *program) lastSave() *sessionlog.Record {
	if pr.persist == nil || pr.kept.dir == nil {
		return nil
	}
	shown, ok := pr.persist.shownLast()
	if !ok {
		return nil
	}
	return shown.ended
}

// saveAgain saves after the persister has ended. Without it, the next start would read the session
// log to find out what is written.
func (pr *program) saveAgain(patience time.Duration) {
	saved := make(chan struct{})
	go func() {
		defer close(saved)
		pr.persist.persist()
	}()
	select {
	case <-saved:
	case <-time.After(patience):
		pr.kept.dir = nil // the save still uses it; the end of the process lets go of it
	}
}

// sessionLogNow returns how SESSION_LOG is; nil without it. What waits for a save that fails can't be
// written, though nothing else may be wrong with the log.
func (pr *program) sessionLogNow() *metrics.SessionLog {
	if pr.sessions == nil {
		return nil
	}
	counts, saved := pr.sessions.queue.Counts(), true
	if pr.persist != nil {
		_, saved = pr.persist.shownLast()
	}
	return &metrics.SessionLog{
		Since: counts.Since, Written: counts.Written, Dropped: counts.Dropped, Waiting: counts.Waiting,
		OK: pr.sessions.writer.OK() && (saved || counts.Waiting == 0),
	}
}

// sessionLogState returns what a scrape shows: with STATE_DIR, counters that are durable.
func (pr *program) sessionLogState() *metrics.SessionLog {
	l := pr.sessionLogNow()
	if l != nil && pr.persist != nil {
		shown, _ := pr.persist.shownLast()
		counts := shown.ended.Counts()
		l.Written, l.Dropped = counts.Written, counts.Dropped
	}
	return l
}

// warnOfSessionLog warns of a log that can't be written; serve starts all the same.
func warnOfSessionLog(w io.Writer, path string) {
	if path == "" {
		return
	}
	if err := sessionlog.Check(path); err != nil {
		fmt.Fprintf(w, "warning: SESSION_LOG=%q can't be written: %s\n", path, text.OneLine(err))
	}
}
