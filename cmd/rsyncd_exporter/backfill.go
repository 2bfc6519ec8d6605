package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"syscall"
	"time"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/report/backfill"
	"rsyncd_exporter/report/logs"
)

// A backfillCommand is the flags of backfill. Strings are as given.
type backfillCommand struct {
	oldLogs
	step, gap, until string
	labels           []string
}

func (b *backfillCommand) flags(fs *flag.FlagSet) {
	fs.StringVar(&b.step, "step", "1m", "")
	fs.StringVar(&b.gap, "gap", backfill.DefaultGap.String(), "")
	fs.StringVar(&b.until, "until", "", "")
	fs.Func("label", "", func(s string) error {
		b.labels = append(b.labels, s)
		return nil
	})
}

const backfillUsage = `Usage: rsyncd_exporter backfill [flags] FILE... >history.om

Prints the history of the metrics from old logs, as OpenMetrics with time stamps: the series that
the exporter would have served, from 0 when they first count, without its own health. FILE is a plain
or compressed log (gzip, bzip2, zstd, xz), a directory, or - for standard input; rotated files may
come in any order. Settings such as LOG_FORMAT, LINE_FORMAT, TAGS, MODULES, FILE_HOST, CLIENT_GROUPS,
GEOIP_DB and MAX_SERIES should be those of the live exporter.

  --step=1m                    time between samples. Prometheus shows holes above 5m
  --gap=26h                    after a longer silence the log is taken for incomplete: there are no
                               samples from its last line to the next
  --until=TIME                 2026-11-23, "2026-11-23 18:40", RFC 3339, or 7d ago: stops there, a date at
                               its end. Give the time at which the exporter was started
  --label=NAME=VALUE           of every series, repeated: the labels that Prometheus adds to live ones,
                               such as --label=job=rsyncd --label=instance=mirror:9150
  --timezone=NAME              of stamps that name none (this machine's)

Blocks of it come into Prometheus with

  promtool tsdb create-blocks-from openmetrics history.om DATA_DIRECTORY

The hidden flag --max-block-duration=486h makes this much faster. Prometheus deletes blocks that are
older than --storage.tsdb.retention.time (15d).

The exit status is 2 where something could not be read, and 1 after an interrupt.
`

// runBackfill prints the history of the metrics from old logs.
func runBackfill(ctx context.Context, args []string, std stdio) int {
	var b backfillCommand
	err := b.parse(args, std, b.flags)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(std.out, backfillUsage)
		return exitOK
	}
	var c backfill.Config
	if err == nil {
		c, err = b.options()
	}
	if err != nil {
		return usageError(std, err)
	}
	if c.Step > backfill.Lookback {
		fmt.Fprintf(std.err, "rsyncd_exporter: --step=%s is longer than the %v that Prometheus looks back for a "+
			"sample: graphs will have holes\n", b.step, backfill.Lookback)
	}
	if path := b.cfg.GeoIPDB; path != "" {
		if c.Clients.Places, err = clients.OpenPlaces(path); err != nil {
			return usageError(std, fmt.Errorf("GEOIP_DB: %w", err))
		}
		defer c.Clients.Places.Close()
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	sets, ok := b.find(std)
	p := progressLine{w: std.err}
	if _, seen := terminalWidth(std.out); !seen {
		b.config.Progress = p.show
	}
	samples, unread, err := b.write(ctx, c, sets, std.out)
	p.end()
	switch {
	case errors.Is(err, syscall.EPIPE):
		return exitOK // whoever reads has enough
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(std.err, "rsyncd_exporter: interrupted: the output is incomplete, and promtool will refuse it")
		return exitFailure
	case err != nil:
		fmt.Fprintf(std.err, "rsyncd_exporter: backfill: %s\n", text.OneLine(err))
		return exitFailure
	}
	b.complain(std, unread)
	complete := ok && len(unread) == 0
	if samples == 0 && complete {
		fmt.Fprintln(std.err, "rsyncd_exporter: no line of an rsync daemon that says when it was written: there is no "+
			"history. rsyncd_exporter explain says what the lines are")
	}
	if !complete {
		return exitUsage
	}
	return exitOK
}

// options checks the flags. The error joins everything that is wrong with them.
func (b *backfillCommand) options() (c backfill.Config, err error) {
	zone := b.config.Zone
	if zone == nil {
		zone = time.Local
	}
	var problems []error
	fail := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	c.Books = metrics.Config{
		MaxSeries: b.cfg.MaxSeries, Modules: b.cfg.Modules, Hosts: b.cfg.Hosts, Start: b.config.Now,
	}
	duration := func(name, text string, usual time.Duration) time.Duration {
		d, err := time.ParseDuration(text)
		if err != nil {
			fail("--%s=%q: it takes a duration, such as %v", name, text, usual)
			return usual // the one problem is enough
		}
		return d
	}
	c.Clients = clients.Config{Groups: b.cfg.ClientGroups, Now: b.config.Now.UnixNano()}
	c.Now = b.config.Now
	c.Step = duration("step", b.step, time.Minute)
	c.Gap = duration("gap", b.gap, backfill.DefaultGap)
	if c.Until, err = parseWhen(b.until, b.config.Now, zone, true); err != nil {
		fail("--until=%q: %w", b.until, err)
	}
	for _, s := range b.labels {
		l, err := backfill.ParseLabel(s)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		c.Labels = append(c.Labels, l)
	}
	if err := c.Validate(); err != nil {
		problems = append(problems, err)
	}
	if len(b.paths) == 0 {
		fail("no log is named: rsyncd_exporter backfill /var/log/rsyncd.log*")
	}
	return c, errors.Join(problems...)
}

// write writes the samples, and returns how many there are and what could not be read.
func (b *backfillCommand) write(ctx context.Context, c backfill.Config, sets []logs.Set, out io.Writer) (
	samples uint64, unread []error, err error) {
	b.config.Together, b.config.Abreast = true, len(sets)
	var all []*logs.Cursor
	defer func() {
		for _, cur := range all {
			cur.Close()
		}
	}()
	var lines []backfill.Lines
	meter := logs.NewMeter(&b.config, sets)
	for i := range sets {
		cur, err := logs.Open(ctx, b.config, &sets[i])
		if err != nil {
			return 0, nil, err
		}
		meter.Reads(cur)
		all, lines = append(all, cur), append(lines, cur)
	}
	samples, err = backfill.Run(ctx, c, lines, out)
	for _, cur := range all {
		unread = append(unread, cur.Errs()...)
	}
	return samples, unread, err
}
