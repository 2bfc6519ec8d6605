package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"syscall"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/report/explain"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

const explainUsage = `Usage: rsyncd_exporter explain [flags] FILE...

Says of each line of old logs what it is, which fields were found in it, to which session it
belongs, and why where nothing came of it. FILE is as for report; settings such as LOG_FORMAT,
LINE_FORMAT and TAGS say how to read it.

  --only=KIND,...        only lines of these kinds: those of rsync_messages_total, such as transfer or
                         unrecognised, and implausible, ignored and discarded
  --session=PID          tells a session's story: its lines, how it ended, what its exit code means, and
                         what to do. Also HOST/PID, and PID#2 for the second session of that pid
  --json                 one object a line
  --timezone=NAME        of stamps that name none (this machine's)
  --anonymise=on         (setting) networks instead of clients, and no line quoted

The exit status is 1 where a line was unrecognised, or no line is of that session, and 2 where
something could not be read, or was not, after an interrupt.
`

// runExplain says what is made of each line of old logs. It fails with exitFailure if a line was
// not recognised, and with exitUsage if not all could be read.
func runExplain(ctx context.Context, args []string, std stdio) int {
	var o oldLogs
	var only, session string
	var opts explain.Options
	err := o.parse(args, std, func(fs *flag.FlagSet) {
		fs.StringVar(&only, "only", "", "")
		fs.StringVar(&session, "session", "", "")
		fs.BoolVar(&opts.JSON, "json", false, "")
	})
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(std.out, explainUsage)
		return exitOK
	}
	if err == nil && len(o.paths) == 0 {
		err = errors.New("explain: name a log file, a directory of them, or - for standard input")
	}
	if err = errors.Join(err, readExplainFlags(&opts, only, session)); err != nil {
		return usageError(std, err)
	}
	o.config.Pipeline.InFull = true // so that all fields are found
	opts.Tags, opts.Zone, opts.Anonymise = o.config.Pipeline.Tags, o.config.Zone, o.cfg.Anonymise
	sets, readable := o.find(std)
	ctx, stop := untilSignal(ctx)
	defer stop()
	return explainLogs(ctx, &o, sets, readable, opts, std)
}

// readExplainFlags reads what --only and --session say.
func readExplainFlags(opts *explain.Options, only, session string) (err error) {
	if only != "" {
		opts.Only, err = explain.ParseOnly(only)
	}
	if session != "" {
		var serr error
		opts.Session, serr = explain.ParseTarget(session)
		err = errors.Join(err, serr)
		if only != "" && !opts.JSON {
			err = errors.Join(err, errors.New("--only and --session: a story has all lines of a session; "+
				"leave one out, or add --json"))
		}
	}
	return err
}

// explainLogs explains the lines of sets and returns the exit status. readable is false if some
// file was left out.
func explainLogs(
	ctx context.Context, o *oldLogs, sets []logs.Set, readable bool, opts explain.Options, std stdio,
) int {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	book := explain.New(stopsReading{std.out, stop}, opts)
	errs := logs.Read(ctx, o.config, sets, book)
	werr := book.Close()
	if werr != nil {
		// whoever read has seen enough; of a terminal or a real pipe SIGPIPE says so before
		if errors.Is(werr, syscall.EPIPE) || errors.Is(werr, io.ErrClosedPipe) {
			return exitOK
		}
		fmt.Fprintf(std.err, "rsyncd_exporter: writing: %s\n", text.OneLine(werr))
		return exitUsage
	}
	for i, err := range errs {
		if errors.Is(err, context.Canceled) {
			errs[i] = errors.New("interrupted: the rest was not read")
		}
	}
	o.complain(std, errs)
	counts := book.Counts()
	switch {
	case !readable || len(errs) > 0:
		return exitUsage
	case opts.Session.PID != 0 && counts == [explain.NumClasses]uint64{}:
		fmt.Fprintf(std.err, "rsyncd_exporter: no line is of session %s\n", opts.Session)
		return exitFailure
	case counts[rsynclog.Unrecognised] > 0:
		return exitFailure
	}
	return exitOK
}

// stopsReading is a writer that ends a context when it fails: nobody reads what is still to come.
type stopsReading struct {
	io.Writer
	stop context.CancelCauseFunc
}

func (w stopsReading) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if err != nil {
		w.stop(err)
	}
	return n, err
}
