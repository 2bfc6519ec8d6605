package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
)

// runCheck prints the settings and why serve would refuse them, or what it understands of files.
func runCheck(ctx context.Context, args []string, std stdio) int {
	cfg, given, err := config.Check(args)
	if errors.Is(err, flag.ErrHelp) {
		return runHelp(ctx, nil, std)
	}
	if err != nil {
		return usageError(std, err)
	}
	if len(given.Files) > 0 {
		return checkFiles(ctx, cfg, given.Files, std)
	}
	tab := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, set := range given.Settings {
		fmt.Fprintf(tab, "%s\t%s\t%s\n", set.Name, text.Printable(set.Value), text.Printable(set.Origin))
	}
	tab.Flush()
	for _, m := range cfg.Modules {
		format := ""
		if f, ok := cfg.ModuleFormats[m]; ok {
			format = fmt.Sprintf(" with log format %q", f)
		}
		fmt.Fprintf(std.out, "module %s%s\n", text.Printable(m), format)
	}
	printDaemon(std.out, cfg.Daemon)
	printExpected(std.out, cfg.Expected, time.Now())
	printLacks(std.out, cfg)
	if cfg.StateDir != "" {
		explainState(std.out, cfg.StateDir, time.Now())
	}
	for _, path := range cfg.Files {
		if follow.IsPattern(path) {
			printPattern(std.out, path, cfg.Files)
		}
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintf(std.out, "warning: %s\n", text.OneLine(w))
	}
	warnOfUnreadable(std.out, cfg.Files)
	warnOfCopies(std.out, cfg)
	warnOfSessionLog(std.out, cfg.SessionLog)
	status := checkServe(ctx, cfg, given.HealthURL, std)
	if status == exitOK {
		fmt.Fprintln(std.out, "ok")
	}
	return status
}

// warnOfUnreadable warns of logs that exist and can't be read; serve starts all the same.
func warnOfUnreadable(w io.Writer, files []string) {
	const most = 20
	told := 0
	for _, path := range files {
		if path == "-" {
			continue
		}
		found, _ := follow.ExpandPath(path) // its errors are among the other warnings
		if follow.IsPattern(path) {
			found, _, _ = follow.Preview(path, files)
		}
		for _, name := range found {
			// #nosec G703 -- whoever runs check names the files, and reads them as himself
			if _, err := os.Stat(name); err != nil {
				continue // there is a warning already
			}
			log, err := follow.OpenLog(name)
			if err == nil {
				log.Close()
				continue
			}
			if told++; told > most {
				fmt.Fprintln(w, "warning: FILE: further files can't be read")
				return
			}
			remedy := ""
			if errors.Is(err, fs.ErrPermission) {
				remedy = "; let the exporter's user read it (group adm, or " +
					`"create 0640 root adm" in logrotate's settings)`
			}
			fmt.Fprintf(w, "warning: FILE=%q can't be read: %s%s\n", name, text.OneLine(err), remedy)
		}
	}
}

func printPattern(w io.Writer, pattern string, all []string) {
	followed, _, _ := follow.Preview(pattern, all) // its errors are among the warnings
	fmt.Fprintf(w, "file %s: %d now\n", text.Printable(pattern), len(followed))
	for i, path := range followed {
		if i == 20 {
			fmt.Fprintf(w, "  and %d more\n", len(followed)-i)
			break
		}
		fmt.Fprintf(w, "  %s\n", text.Printable(path))
	}
}

func printExpected(w io.Writer, expected []backups.Expectation, now time.Time) {
	for i := range expected {
		e, next := &expected[i], ""
		if e.Schedule != nil && !e.Paused {
			next = e.Due(now).Format(": next on Mon 2006-01-02 15:04 MST")
		}
		fmt.Fprintf(w, "expected %s%s\n", text.OneLine(e), next)
	}
}

func printDaemon(w io.Writer, d follow.Daemon) {
	if len(d.Paths) == 0 || len(d.Paths) == 1 && !d.Syslog {
		return
	}
	var names []string
	for _, path := range d.Paths {
		names = append(names, text.Printable(path))
	}
	if d.Syslog {
		names = append(names, "syslog")
	}
	fmt.Fprintf(w, "one daemon: %s\n", strings.Join(names, ", "))
}

// explainState says what STATE_DIR holds and what the next start does with it. It changes nothing.
func explainState(w io.Writer, dir string, now time.Time) {
	dir = realDir(dir)
	copies := checkpoint.Look(dir)
	var best *checkpoint.Copy
	for i := range copies {
		c := &copies[i]
		switch {
		case errors.Is(c.Err, fs.ErrNotExist):
			fmt.Fprintf(w, "state %s: not there\n", c.Name)
		case c.Err != nil:
			fmt.Fprintf(w, "state %s: %d bytes, can't be used: %v\n", c.Name, c.Size, c.Err)
		default:
			fmt.Fprintf(w, "state %s: %d bytes, format %d, save %d, of %s (%v ago)\n",
				c.Name, c.Size, c.Version, c.Sequence, c.At.Format(time.RFC3339), now.Sub(c.At).Round(time.Second))
			if best == nil || c.Sequence > best.Sequence {
				best = c
			}
		}
	}
	if best == nil {
		explainNone(w, dir, copies)
		return
	}
	st, err := pipeline.Decode(best.Payload)
	if err != nil {
		fmt.Fprintf(w, "state: %v: counters begin at 0, files are read from their ends\n", err)
		return
	}
	explainContent(w, st)
}

// explainNone says what the next start makes of a directory without a copy that can be used.
func explainNone(w io.Writer, dir string, copies []checkpoint.Copy) {
	missing := errors.Is(copies[0].Err, fs.ErrNotExist) && errors.Is(copies[1].Err, fs.ErrNotExist)
	switch {
	case errors.Is(errors.Join(copies[0].Err, copies[1].Err), fs.ErrPermission):
		fmt.Fprintln(w, "state: this user may not read it; check as the user that the exporter runs as")
	case missing && checkpoint.Aside(dir):
		fmt.Fprintln(w, "state: set aside, and nothing saved since: "+
			"counters begin at 0, files are read from their ends")
	case missing:
		fmt.Fprintln(w, "state: nothing saved yet: counters begin at 0, and FILE_START says where files begin")
	default:
		fmt.Fprintln(w, "state: no copy can be trusted: counters begin at 0, files are read from their ends")
	}
}

func explainContent(w io.Writer, st *pipeline.Checkpoint) {
	received := uint64(0)
	for _, in := range st.Books.Inputs {
		received += in.Received
	}
	fmt.Fprintf(w, "state: %d messages received since %s, %d hosts, %d sessions running or lately ended\n", received,
		time.Unix(0, st.Books.Start).Format(time.RFC3339), len(st.Books.Hosts), len(st.Sessions.Sessions))
	followed := st.Followed.Upgraded()
	for _, t := range followed.Targets {
		read, files := 0, ""
		for _, f := range followed.Known {
			switch {
			case f.Target != t.Path:
			case f.Verdict == follow.Reading:
				files += fmt.Sprintf("state:   %s: read to byte %d\n", identity(f.Pos.ID), f.Pos.Offset)
				fallthrough
			case f.Verdict == follow.Read:
				read++
			}
		}
		fmt.Fprintf(w, "state: file %q, %d rotations, %d files remembered, %d of them followed:\n%s",
			t.Path, t.Rotations, read, strings.Count(files, "\n"), files)
	}
}

// identity names a file as ls -i and stat do.
func identity(id receiver.FileID) string {
	s := fmt.Sprintf("inode %d of device %d", id.Inode, id.Device)
	if id.Birth != 0 {
		s += ", made " + time.Unix(0, id.Birth).Format(time.RFC3339Nano)
	}
	return s
}
