package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/status/api"
	"rsyncd_exporter/status/ask"
)

const backupsUsage = `Usage: rsyncd_exporter backups [--url=URL] [--json] [--nagios=NAME]

Shows which backups are expected (EXPECT, EXPECT_FILE), and which of them came, the worst first.
It asks the exporter with the same HTTP_LISTEN and WEB_CONFIG, or the one at --url.

  --url=URL      the exporter's address, such as http://localhost:8080
  --ca-file=FILE trust these certificates, too
  --json         the answer of /api/v1/backups
  --nagios=NAME  one backup, as a plugin of Nagios and its like: ends with 0 (nothing to do),
                 1 (late, or none has come yet), 2 (overdue, failed, never came) or 3 (not known)
` + whomLogin + `
Without --nagios the exit status is 1 where a backup is overdue, failed or never came, or where the
exporter isn't reached.
`

// A backupsCommand is what the command was asked for.
type backupsCommand struct {
	exporter       *ask.Client
	caFile, nagios string
	plugin         bool // --nagios is given, if only without a name
	json           bool
}

// runBackups asks a running exporter for the expected backups.
func runBackups(ctx context.Context, args []string, std stdio) int {
	var c backupsCommand
	err := c.parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(std.out, backupsUsage)
		return exitOK
	}
	var answer api.Backups
	if err == nil {
		err = c.exporter.Get(ctx, "/api/v1/backups", &answer)
	} else if !c.plugin {
		return usageError(std, err)
	}
	switch {
	case c.plugin:
		return nagios(std.out, c.nagios, &answer, err)
	case err != nil:
		fmt.Fprintf(std.err, "rsyncd_exporter: backups: %s\n", text.OneLine(err))
		return exitFailure
	case c.json:
		enc := json.NewEncoder(std.out)
		enc.SetIndent("", "  ")
		err = enc.Encode(answer)
	default:
		columns, isTerminal := terminalWidth(std.out)
		if !isTerminal {
			columns = 0
		}
		_, err = io.WriteString(std.out, backupsTable(&answer, columns))
	}
	if err != nil || slices.ContainsFunc(answer.Backups, func(b api.Backup) bool { return b.Alarm > 1 }) {
		return exitFailure
	}
	return exitOK
}

func (c *backupsCommand) parse(args []string) error {
	c.plugin = slices.ContainsFunc(args, func(arg string) bool {
		return strings.HasPrefix(strings.TrimLeft(arg, "-"), "nagios") // also behind what can't be read
	})
	urls, err := config.ExporterURLs(args, func(fs *flag.FlagSet) {
		fs.StringVar(&c.caFile, "ca-file", "", "")
		fs.StringVar(&c.nagios, "nagios", "", "")
		fs.BoolVar(&c.json, "json", false, "")
	})
	if err != nil {
		return err
	}
	if len(urls) > 1 {
		return fmt.Errorf("--url is given %d times: one exporter is asked", len(urls))
	}
	c.exporter, err = ask.New(urls[0], ask.Options{CAFile: c.caFile})
	return err
}

// backupsTable shows the backups in lines of so many columns: state, name, size and why. With 0
// columns nothing is cut, and each backup is a line.
func backupsTable(answer *api.Backups, columns int) string {
	var b strings.Builder
	if len(answer.Backups) == 0 {
		return "No backup is expected: EXPECT and EXPECT_FILE say which are.\n"
	}
	var counts []string
	for _, s := range backups.States() {
		if n := answer.States[string(s)]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if answer.Waiting != "" {
		fmt.Fprintf(&b, "The exporter is %s. What came meanwhile may not be known yet.\n\n",
			text.OneLine(answer.Waiting))
	}
	fmt.Fprintf(&b, "%d expected: %s\n\n", len(answer.Backups), strings.Join(counts, ", "))
	rows := [][4]string{{"STATE", "BACKUP", "SIZE", "WHY"}}
	for _, e := range answer.Backups {
		size := ""
		if e.LastSuccess != nil {
			size = text.Bytes(float64(e.Listed))
		}
		rows = append(rows, [4]string{text.OneLine(e.State), text.OneLine(e.Name), size, text.OneLine(e.Why)})
	}
	var widths [3]int
	for _, r := range rows {
		for i := range widths {
			widths[i] = max(widths[i], text.Width(r[i]))
		}
	}
	if columns == 0 {
		columns = math.MaxInt
	}
	widths[1] = min(widths[1], max(10, columns/3))
	const gap, leastWhy = "  ", 20
	indent := widths[0] + widths[1] + widths[2] + 3*len(gap)
	for _, r := range rows {
		lead := text.Pad(r[0], widths[0], true) + gap + text.Pad(text.Cut(r[1], widths[1]), widths[1], true) + gap +
			text.Pad(r[2], widths[2], false)
		why := text.Wrap(r[3], max(leastWhy, columns-indent))
		if len(why) == 0 { // as with STATUS_PAGE=public
			b.WriteString(strings.TrimRight(lead, " ") + "\n")
		}
		for i, line := range why {
			if i > 0 {
				lead = strings.Repeat(" ", indent-len(gap))
			}
			b.WriteString(lead + gap + line + "\n")
		}
	}
	return b.String()
}

const nagiosUnknown = 3

// nagios prints the line of a monitoring plugin and returns its exit status
// (nagios-plugins.org/doc/guidelines.html).
func nagios(w io.Writer, name string, answer *api.Backups, err error) int {
	say := func(word, why, data string) {
		plain := strings.NewReplacer("|", "/").Replace // what follows a bar is performance data
		fmt.Fprintf(w, "BACKUP %s - %s: %s%s\n", word, plain(text.OneLine(name)), plain(text.OneLine(why)), data)
	}
	if err != nil {
		say("UNKNOWN", err.Error(), "")
		return nagiosUnknown
	}
	at := slices.IndexFunc(answer.Backups, func(b api.Backup) bool { return b.Name == name })
	if at < 0 {
		names := make([]string, len(answer.Backups))
		for i := range names {
			names[i] = answer.Backups[i].Name
		}
		say("UNKNOWN", "no such backup is expected"+text.DidYouMean(name, names), "")
		return nagiosUnknown
	}
	if answer.Waiting != "" {
		say("UNKNOWN", "the exporter is "+answer.Waiting, "")
		return nagiosUnknown
	}
	b := &answer.Backups[at]
	words := [...]string{"OK", "WARNING", "CRITICAL"}
	if b.Alarm < 0 || b.Alarm >= len(words) {
		say("UNKNOWN", fmt.Sprintf("the exporter is of another version: alarm %d", b.Alarm), "")
		return nagiosUnknown
	}
	say(words[b.Alarm], strings.TrimSuffix(cmp.Or(b.State, "?")+", "+b.Why, ", "), performance(b))
	return b.Alarm
}

// performance returns performance data: the age of the last success with the ages from which on it
// is late and overdue, and what that success came to.
func performance(b *api.Backup) string {
	age, due, overdue := "U", "", "" // U: not known
	if b.Age != nil && b.LastSuccess != nil {
		age = fmt.Sprintf("%.0fs", *b.Age)
		if b.Due != nil {
			due = fmt.Sprintf("%.0f", b.Due.Sub(*b.LastSuccess).Seconds())
		}
		if b.MaxAge > 0 {
			overdue = fmt.Sprintf("%.0f", b.MaxAge)
		}
	}
	return fmt.Sprintf(" | age=%s;%s;%s;0 bytes=%dB files=%d duration=%.0fs", age, due, overdue, b.Listed, b.Files,
		b.Duration)
}
