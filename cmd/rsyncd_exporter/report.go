package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/report"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/report/show"
	"rsyncd_exporter/rsynclog"
)

// A reportCommand is the flags of report. Strings are as given.
type reportCommand struct {
	oldLogs
	since, until, module, direction, client, user, top string
	compare, suggest, merge                            bool
	json, html, mail                                   bool
	csv                                                string // directory
}

func (r *reportCommand) flags(fs *flag.FlagSet) {
	fs.StringVar(&r.since, "since", "", "")
	fs.StringVar(&r.until, "until", "", "")
	fs.StringVar(&r.module, "module", "", "")
	fs.StringVar(&r.direction, "direction", "", "")
	fs.StringVar(&r.client, "client", "", "")
	fs.StringVar(&r.user, "user", "", "")
	fs.StringVar(&r.top, "top", "20", "")
	fs.StringVar(&r.csv, "csv", "", "")
	fs.BoolVar(&r.compare, "compare", false, "")
	fs.BoolVar(&r.suggest, "suggest-expect", false, "")
	fs.BoolVar(&r.merge, "merge", false, "")
	fs.BoolVar(&r.json, "json", false, "")
	fs.BoolVar(&r.html, "html", false, "")
	fs.BoolVar(&r.mail, "text", false, "")
}

const reportUsage = `Usage: rsyncd_exporter report [flags] FILE...

Sums up old logs of rsync daemons: plain files, compressed ones (gzip, bzip2, zstd, xz), directories,
rotated files in any order, and - for standard input. Settings such as LOG_FORMAT, LINE_FORMAT, TAGS,
MODULES and RSYNCD_CONF say how to read them, as for serve.

  --since=TIME, --until=TIME   2026-11-23, "2026-11-23 18:40", RFC 3339, or 12h, 7d, 4w ago;
                               a date after --until= is that whole day. A session belongs to when it ended
  --module=NAME, --user=NAME, --direction=send|receive
  --client=PREFIX              an address, a network such as 192.0.2.0/24, or the beginning of a name
  --top=N                      entries of each list (20)
  --compare                    beside the period before --since, of the same length
  --suggest-expect             a list for EXPECT, of the backups that come regularly
  --timezone=NAME              of stamps that name none, and of hours and days (this machine's)
  --json, --html, --text       instead of a page for the terminal; --text is for mail
  --csv=DIR                    a file for each table
  --client-groups=, --geoip-db=FILE  (settings) add up clients by networks and by places
  --anonymise=on               (setting) networks instead of clients, and no line quoted
  --merge FILE.json...         adds up reports that were made with --json

The exit status is 2 where something could not be read, and 1 after an interrupt.
`

// runReport sums up old logs.
func runReport(ctx context.Context, args []string, std stdio) int {
	var r reportCommand
	err := r.parse(args, std, r.flags)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(std.out, reportUsage)
		return exitOK
	}
	var o report.Options
	if err == nil {
		o, err = r.options(r.config.Now)
	}
	if err != nil {
		return usageError(std, err)
	}
	if path := r.cfg.GeoIPDB; path != "" && !r.merge {
		if o.Places, err = clients.OpenPlaces(path); err != nil {
			return usageError(std, fmt.Errorf("GEOIP_DB: %w", err))
		}
		defer o.Places.Close()
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	status := exitOK
	var s *report.Summary
	if r.merge {
		if s, err = mergeReports(r.paths, std.in, o.Top); err != nil {
			return usageError(std, err)
		}
		if o.Anonymise {
			s.Anonymise()
		}
	} else {
		s, status = r.read(ctx, o, std)
	}
	if err := r.write(std.out, s, o); err != nil {
		fmt.Fprintf(std.err, "rsyncd_exporter: report: %s\n", text.OneLine(err))
		return exitFailure
	}
	return status
}

// options checks the flags. The error joins everything that is wrong with them.
func (r *reportCommand) options(now time.Time) (o report.Options, err error) {
	zone := r.config.Zone
	if zone == nil {
		zone = time.Local
	}
	var problems []error
	fail := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	o = report.Options{
		Zone: zone, Now: now, Module: r.module, Direction: r.direction, Client: r.client, User: r.user,
		SuggestExpect: r.suggest, Groups: r.cfg.ClientGroups, Anonymise: r.cfg.Anonymise,
	}
	if o.Since, err = parseWhen(r.since, now, zone, false); err != nil {
		fail("--since=%q: %w", r.since, err)
	}
	if o.Until, err = parseWhen(r.until, now, zone, true); err != nil {
		fail("--until=%q: %w", r.until, err)
	}
	if !o.Since.IsZero() && !o.Until.IsZero() && !o.Since.Before(o.Until) {
		fail("--since=%q is not before --until=%q", r.since, r.until)
	}
	const most = 10_000
	if o.Top, err = strconv.Atoi(r.top); err != nil || o.Top < 1 || o.Top > most {
		fail("--top=%q: it takes a number from 1 to %d", r.top, most)
	}
	if o.Direction != "" && o.Direction != "send" && o.Direction != "receive" {
		fail("--direction=%q: it is send (the daemon sends, a pull) or receive (a push)", o.Direction)
	}
	if r.compare && o.Since.IsZero() {
		fail("--compare takes --since=, where the period begins that is compared with the one before")
	}
	if outputs := countTrue(r.json, r.html, r.mail, r.csv != ""); outputs > 1 {
		fail("--json, --html, --text and --csv exclude each other")
	}
	if r.merge && (r.compare || r.suggest || r.since+r.until+r.module+r.direction+r.client+r.user != "") {
		fail("--merge adds up reports as they are: give filters, --compare and --suggest-expect where these are made")
	}
	if len(r.paths) == 0 {
		fail("no log is named: rsyncd_exporter report /var/log/rsyncd.log*")
	}
	return o, errors.Join(problems...)
}

func countTrue(all ...bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

// parseWhen reads a time as people write it; zero for none. A date alone is its start, or its end.
func parseWhen(s string, now time.Time, zone *time.Location, end bool) (t time.Time, err error) {
	if s == "" {
		return t, nil
	}
	const most = 1_000_000 // a time.Duration has so many hours
	if n, err := strconv.Atoi(s[:len(s)-1]); err == nil && n >= 0 && n <= most {
		switch s[len(s)-1] {
		case 'm':
			return now.Add(-time.Duration(n) * time.Minute), nil
		case 'h':
			return now.Add(-time.Duration(n) * time.Hour), nil
		case 'd':
			return now.In(zone).AddDate(0, 0, -n), nil
		case 'w':
			return now.In(zone).AddDate(0, 0, -7*n), nil
		}
	}
	if t, err = time.ParseInLocation(time.DateOnly, s, zone); err == nil {
		if end {
			t = t.AddDate(0, 0, 1)
		}
		return t, nil
	}
	for _, layout := range []string{
		time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04", time.RFC3339,
	} {
		if t, err = time.ParseInLocation(layout, s, zone); err == nil {
			return t, nil
		}
	}
	return t, errors.New(`it is no time: write 2026-11-23, "2026-11-23 18:40", or 7d for seven days ago`)
}

// read sums up the logs, and says what could not be read.
func (r *reportCommand) read(ctx context.Context, o report.Options, std stdio) (*report.Summary, int) {
	sets, ok := r.find(std)
	p := progressLine{w: std.err}
	r.config.Progress = p.show
	fold := report.NewFold(o)
	var before *report.Fold
	book := logs.Book(fold)
	until := o.Until
	if until.IsZero() {
		until = o.Now
	}
	earlier := o
	if r.compare {
		earlier.Since, earlier.Until = o.Since.Add(-until.Sub(o.Since)), o.Since
		before = report.NewFold(earlier)
		book = both{fold, before}
	}
	errs := logs.Read(ctx, r.config, sets, book)
	p.end()
	last := len(errs) - 1
	interrupted := last >= 0 && ctx.Err() != nil && errs[last] == ctx.Err() // else it came behind the last line
	if interrupted {
		errs = errs[:last]
		fmt.Fprintln(std.err, "rsyncd_exporter: interrupted: the report is of what was read until then")
	}
	r.complain(std, errs)
	for _, err := range r.unread {
		fold.Unread(err)
	}
	s := fold.Summary()
	s.Interrupted = interrupted
	if before != nil {
		s.Compare = report.Compared(s, before.Summary(), earlier.Since.Format(time.RFC3339),
			earlier.Until.Format(time.RFC3339))
	}
	switch {
	case !ok || len(errs) > 0:
		return s, exitUsage
	case interrupted:
		return s, exitFailure
	}
	return s, exitOK
}

// mergeReports adds up reports in files, or on standard input.
func mergeReports(paths []string, stdin io.Reader, top int) (*report.Summary, error) {
	var all []*report.Summary
	var problems []error
	for _, path := range paths {
		s, err := readReport(path, stdin)
		if err != nil {
			problems = append(problems, fmt.Errorf("%q: %w", path, err))
			continue
		}
		s.Name = path
		all = append(all, s)
	}
	if len(problems) > 0 { // a sum without one of them would be wrong
		return nil, errors.Join(problems...)
	}
	return report.Merge(all, top)
}

func readReport(path string, stdin io.Reader) (*report.Summary, error) {
	if path == "-" {
		return report.ReadSummary(stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return report.ReadSummary(bufio.NewReader(f))
}

// write shows the report in the form that was asked for.
func (r *reportCommand) write(w io.Writer, s *report.Summary, o report.Options) error {
	if r.csv != "" {
		return show.CSV(r.csv, s)
	}
	out := bufio.NewWriter(w)
	var err error
	switch {
	case r.json:
		err = s.JSON(out)
	case r.html:
		err = show.HTML(out, s)
	default:
		err = show.Text(out, s, r.textOptions(w, o))
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

const mailWidth = 72

func (r *reportCommand) textOptions(w io.Writer, o report.Options) show.TextOptions {
	if r.mail {
		return show.TextOptions{Width: mailWidth, Top: o.Top}
	}
	width, isTerminal := terminalWidth(w)
	return show.TextOptions{Width: width, Color: isTerminal && wantsColor(), Top: o.Top}
}

func wantsColor() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" }

// terminalWidth returns the columns of a terminal, or 80 for anything else.
func terminalWidth(w io.Writer) (columns int, isTerminal bool) {
	const usual, least, most = 80, 40, 200
	f, ok := w.(*os.File)
	if !ok {
		return usual, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return usual, false
	}
	if size.Col == 0 {
		return usual, true
	}
	return max(least, min(int(size.Col), most)), true
}

// A progressLine shows progress in one line of a terminal. Elsewhere it says nothing.
type progressLine struct {
	w     io.Writer
	shown bool
}

func (p *progressLine) show(now logs.Progress) {
	width, isTerminal := terminalWidth(p.w)
	if !isTerminal {
		return
	}
	p.shown = true
	seconds := now.Took.Seconds()
	lines := float64(now.Lines) / 1e6
	line := fmt.Sprintf("%.1f million lines, %.1f million a second", lines, lines/seconds)
	if now.All > 0 && now.Read > 0 {
		now.Read = min(now.Read, now.All) // a file may have grown
		left := time.Duration(seconds * float64(now.All-now.Read) / float64(now.Read) * float64(time.Second))
		line = fmt.Sprintf("%d %%, %v left, %s", 100*now.Read/now.All, max(0, left).Round(time.Second), line)
	}
	line += ", " + text.Printable(now.File)
	if r := []rune(line); len(r) >= width {
		line = string(r[:width-1])
	}
	fmt.Fprintf(p.w, "\r%s\x1b[K", line)
}

// end clears the line.
func (p *progressLine) end() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// both are two books of the same logs.
type both [2]logs.Book

// Begin implements logs.Book.
func (b both) Begin(s *logs.Set) {
	b[0].Begin(s)
	b[1].Begin(s)
}

// Line implements logs.Book.
func (b both) Line(at logs.Place, l *pipeline.Line) {
	b[0].Line(at, l)
	b[1].Line(at, l)
}

// Lost implements logs.Book.
func (b both) Lost(at logs.Place, reason receiver.Discard, n uint64) {
	b[0].Lost(at, reason, n)
	b[1].Lost(at, reason, n)
}

// Ended implements logs.Book.
func (b both) Ended(changes []rsynclog.Change) {
	b[0].Ended(changes)
	b[1].Ended(changes)
}

// Running implements logs.Book.
func (b both) Running(s *rsynclog.Session) {
	b[0].Running(s)
	b[1].Running(s)
}
