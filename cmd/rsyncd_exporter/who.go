package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/status/ask"
	"rsyncd_exporter/status/who"
)

// whom is the flags that who and top share: which exporters are asked, and for which sessions.
type whom struct {
	caFile, module, direction, client string
	exporters                         []*ask.Client
	filter                            who.Filter
}

const whomUsage = `  --url=URL              an exporter's address, and several times those of a fleet; without it the
                         exporter with the same HTTP_LISTEN and WEB_CONFIG is asked
  --module=NAME, --direction=send|receive
  --client=PREFIX        an address, a network such as 192.0.2.0/24, or the beginning of a name
  --ca-file=FILE         trust these certificates, too
`

const whomLogin = `
An exporter that wants a password takes that of RSYNCD_EXPORTER_USER and RSYNCD_EXPORTER_PASSWORD, or
of the file ~/.netrc (or NETRC).
`

// parse reads the arguments. own adds the command's own flags. The error is flag.ErrHelp where they
// ask for help.
func (w *whom) parse(args []string, own func(*flag.FlagSet)) error {
	urls, err := config.ExporterURLs(args, func(fs *flag.FlagSet) {
		fs.StringVar(&w.caFile, "ca-file", "", "")
		fs.StringVar(&w.module, "module", "", "")
		fs.StringVar(&w.direction, "direction", "", "")
		fs.StringVar(&w.client, "client", "", "")
		own(fs)
	})
	if err != nil {
		return err
	}
	var problems []error
	for _, u := range urls {
		c, err := ask.New(u, ask.Options{CAFile: w.caFile})
		w.exporters, problems = append(w.exporters, c), append(problems, err)
	}
	w.filter, err = who.NewFilter(w.module, w.direction, w.client)
	return errors.Join(append(problems, err)...)
}

const whoUsage = `Usage: rsyncd_exporter who [flags]

Asks a running exporter who is connected, and prints each session that has not ended: its client,
module, user, since when, for how long it has logged nothing, and what it has moved at least. What
a session is just moving, the log can't tell.

` + whomUsage + `  --json                 JSON for programs; of a fleet each session has its url
  --oneline              how many, in one line
` + whomLogin + `
On a terminal of fewer columns a session takes two lines; elsewhere it takes one, and nothing is cut.
The exit status is 1 where an exporter didn't answer; what others answered is shown.
`

// runWho prints the sessions that have not ended.
func runWho(ctx context.Context, args []string, std stdio) int {
	var w whom
	var asJSON, oneLine bool
	err := w.parse(args, func(fs *flag.FlagSet) {
		fs.BoolVar(&asJSON, "json", false, "")
		fs.BoolVar(&oneLine, "oneline", false, "")
	})
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(std.out, whoUsage)
		return exitOK
	}
	if err == nil && asJSON && oneLine {
		err = errors.New("--json and --oneline exclude each other")
	}
	if err != nil {
		return usageError(std, err)
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	return w.show(ctx, std, asJSON, oneLine)
}

// show asks and prints once. Where nobody answers, it prints nothing.
func (w *whom) show(ctx context.Context, std stdio, asJSON, oneLine bool) int {
	scene := who.NewScene(who.Ask(ctx, w.exporters), w.filter)
	var err error
	switch {
	case !scene.Answered() && !oneLine:
	case asJSON:
		err = scene.JSON(std.out)
	case oneLine:
		err = scene.Line(std.out)
	default:
		columns, isTerminal := terminalWidth(std.out)
		if !isTerminal {
			columns = 0
		}
		err = scene.Text(std.out, who.Options{Width: columns, Color: isTerminal && wantsColor(), Now: time.Now()})
	}
	if err != nil {
		fmt.Fprintf(std.err, "rsyncd_exporter: writing: %s\n", text.OneLine(err))
		return exitFailure
	}
	if err := scene.Err(); err != nil {
		usageError(std, err)
		return exitFailure
	}
	return exitOK
}

const topUsage = `Usage: rsyncd_exporter top [flags]

Shows on a terminal who is connected, as who does, and refreshes it: sorted, filtered, grouped. Its
keys are at the foot of the screen, and ? says more.

` + whomUsage + `  -d SECONDS             between two refreshes (2)
  -b                     prints plainly, as who does, for a script or a screen reader
  -n N                   with -b: how often (1)
` + whomLogin + `
Without a terminal, or on a dumb one (TERM=dumb), it is as with -b. NO_COLOR leaves out the colours.
Where an exporter doesn't answer, top goes on and says how old is what it shows; with -b the exit
status is 1 then.
`

// runTop shows the sessions that have not ended until somebody has seen enough.
func runTop(ctx context.Context, args []string, std stdio) int {
	var w whom
	var plain bool
	delay, times := "2", "1"
	err := w.parse(args, func(fs *flag.FlagSet) {
		fs.BoolVar(&plain, "b", false, "")
		fs.StringVar(&delay, "d", delay, "")
		fs.StringVar(&times, "n", times, "")
	})
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(std.out, topUsage)
		return exitOK
	}
	const least, most = 0.1, 3600
	seconds, derr := strconv.ParseFloat(delay, 64)
	if derr != nil || !(seconds >= least && seconds <= most) {
		err = errors.Join(err, fmt.Errorf("-d %q: it takes seconds, from %v to %v", delay, least, most))
	}
	n, nerr := strconv.Atoi(times)
	if nerr != nil || n < 1 {
		err = errors.Join(err, fmt.Errorf("-n %q: it takes a number from 1", times))
	}
	if err != nil {
		return usageError(std, err)
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	every := time.Duration(seconds * float64(time.Second))
	in, out := terminal(std.in), terminal(std.out)
	if plain || in == nil || out == nil || os.Getenv("TERM") == "dumb" {
		return w.repeat(ctx, std, n, every)
	}
	ctx, closed := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer closed()
	err = who.Top(ctx, who.TopOptions{
		Exporters: w.exporters, Filter: w.filter, Every: every, In: in, Out: out, Color: wantsColor(),
	})
	if err != nil {
		fmt.Fprintf(std.err, "rsyncd_exporter: top: %s\n", text.OneLine(err))
		return exitFailure
	}
	return exitOK
}

// repeat prints n times and returns the last status, or stops when ctx ends.
func (w *whom) repeat(ctx context.Context, std stdio, n int, every time.Duration) (status int) {
	for i := range n {
		if i > 0 {
			select {
			case <-ctx.Done():
				return status
			case <-time.After(every):
			}
			fmt.Fprintln(std.out)
		}
		status = w.show(ctx, std, false, false)
	}
	return status
}

// terminal returns a file that is one, or nil.
func terminal(v any) *os.File {
	f, ok := v.(*os.File)
	if !ok {
		return nil
	}
	if _, is := terminalWidth(f); !is {
		return nil
	}
	return f
}
