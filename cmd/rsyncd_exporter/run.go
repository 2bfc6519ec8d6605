package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/ownlog"
	"rsyncd_exporter/internal/systemd"
	"rsyncd_exporter/internal/text"
)

const (
	exitOK      = 0
	exitFailure = 1 // it went wrong while running
	exitUsage   = 2 // a command, flag or setting that can't be; nothing was opened
)

// stdio is what a command reads and writes besides its inputs.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, std stdio) int
}

// commands returns all commands; the first is the one that runs when none is named.
func commands() []command {
	return []command{
		{"serve", "receives and serves (the default)", runServe},
		{"check", "checks the settings and shows them; with FILE... says what is understood of each one's first " +
			"1,000 lines", runCheck},
		{"who", "asks a running exporter who is connected (who --help)", runWho},
		{"top", "shows that on a terminal and refreshes it (top --help)", runTop},
		{"report", "FILE...: sums up old logs (report --help says more)", runReport},
		{"explain", "FILE...: says of each line what it is, or tells a session's story (explain --help)", runExplain},
		{"backups", "asks a running exporter which backups are expected, and which came (backups --help)", runBackups},
		{"backfill", "FILE...: prints the metrics' history, for promtool (backfill --help)", runBackfill},
		{"healthcheck", "asks the running exporter whether it is healthy, for containers; --url=URL asks elsewhere",
			runHealthcheck},
		{"version", "prints the version", runVersion},
		{"help", "prints this; --markdown prints the table of settings as Markdown, --man the man page, --bash, " +
			"--zsh and --fish completions, --environment an example of /etc/default/rsyncd_exporter", runHelp},
	}
}

// run runs a command and returns the exit status. args lack the program's name.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	std := stdio{stdin, stdout, stderr}
	all := commands()
	name, rest := all[0].name, args
	if len(args) > 0 {
		switch {
		case args[0] == "--version" || args[0] == "-version":
			name, rest = "version", args[1:]
		case !strings.HasPrefix(args[0], "-"):
			name, rest = args[0], args[1:]
		}
	}
	names := make([]string, len(all))
	for i, c := range all {
		if c.name == name {
			return c.run(ctx, rest, std)
		}
		names[i] = c.name
	}
	return usageError(std, fmt.Errorf("%q is not a command%s: the commands are %s",
		name, text.DidYouMean(name, names), strings.Join(names, ", ")))
}

// usageError prints the problem, or all problems of a joined error, one a line.
func usageError(std stdio, err error) int {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, p := range joined.Unwrap() {
			usageError(std, p)
		}
		return exitUsage
	}
	fmt.Fprintf(std.err, "rsyncd_exporter: %s\n", text.OneLine(err))
	return exitUsage
}

func runServe(ctx context.Context, args []string, std stdio) int {
	sockets, warning, serr := systemd.Sockets()
	watchdog, werr := systemd.WatchdogInterval()
	cfg, err := config.Load(args, sockets...)
	if errors.Is(err, flag.ErrHelp) {
		return runHelp(ctx, nil, std)
	}
	if err := errors.Join(serr, werr, err); err != nil {
		return usageError(std, err)
	}
	cfg.Stdin, cfg.Stdout, cfg.Watchdog = std.in, std.out, watchdog
	if warning != "" {
		cfg.Warnings = append(cfg.Warnings, warning)
	}

	ctx, stop := untilSignal(ctx)
	defer stop()
	// Neither a log that nobody reads nor a terminal that is gone ends the program.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)

	to, written := ownlog.Writer(std.err)
	defer written()
	log := ownlog.New(to, cfg.LogLevel)
	for _, w := range cfg.Warnings {
		log.Warn("doubtful setting", "warning", w)
	}
	limitMemory(log)
	if err := serve(ctx, cfg, log); err != nil {
		log.Error("stopped", "err", err)
		return exitFailure
	}
	return exitOK
}

// untilSignal returns a context that SIGINT and SIGTERM end too. A second signal ends the process.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals) // before cancel: who sees the context end may rely on it
		cancel()
	}()
	return ctx, cancel
}
