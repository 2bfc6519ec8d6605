package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// checkedLines is how many lines of each file are read, and checkedBytes how much where lines are longer than any
// log's.
const (
	checkedLines = 1000
	checkedBytes = 16 << 20
)

// checkFiles says of each file how much of its first lines would be understood with these settings. The status is
// exitOK if that is enough of each, see printUnderstanding.
func checkFiles(ctx context.Context, cfg *Config, paths []string, std stdio) (status int) {
	for _, w := range cfg.Warnings {
		fmt.Fprintf(std.out, "warning: %s\n", oneLine(w))
	}
	for _, path := range paths {
		u, err := understandFile(ctx, cfg, path, std.in)
		if err != nil {
			fmt.Fprintf(std.err, "rsyncd_exporter: %s\n", oneLine(err))
			status = exitFailure
			continue
		}
		if !printUnderstanding(std.out, cfg, path, &u) {
			status = exitFailure
		}
	}
	return status
}

// understandFile reads the first lines of a file, or of stdin for "-", as serve would.
func understandFile(ctx context.Context, cfg *Config, path string, stdin io.Reader) (pipeline.Understanding, error) {
	none := pipeline.Understanding{}
	lines, err := syslog.ParseLineFormat(cfg.LineFormat)
	if err != nil {
		return none, err
	}
	p, err := pipeline.New(pipeline.Config{
		LogFormat: cfg.LogFormat, ModuleFormats: cfg.ModuleFormats, Tags: cfg.Tags, Modules: cfg.Modules,
		Hosts: cfg.Hosts, MaxSeries: cfg.MaxSeries, Limits: rsynclog.DefaultLimits(),
	})
	if err != nil {
		return none, err
	}
	if path != "-" {
		file, err := follow.OpenLog(path)
		if err != nil {
			return none, err
		}
		defer file.Close()
		stdin = file
	}
	src := receiver.Source{Input: "file", Name: path, Scope: receiver.StdinScope + 1, Wrapped: cfg.SyslogLogLines, Dialect: lines}
	first := &firstLines{r: io.LimitReader(stdin, checkedBytes), left: checkedLines}
	if err := stream.NewStdin(first, src, oldLines{p}).Run(ctx); err != nil {
		return none, fmt.Errorf("%s: %w", printable(path), err)
	}
	return p.Understanding(path), nil
}

// firstLines reads no more than so many lines.
type firstLines struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (f *firstLines) Read(b []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n, err := f.r.Read(b)
	for at := 0; at < n; {
		end := bytes.IndexByte(b[at:n], '\n')
		if end < 0 {
			break
		}
		at += end + 1
		if f.left--; f.left == 0 {
			return at, io.EOF
		}
	}
	return n, err
}

// oldLines hands slabs on to a pipeline as lines that were there before anybody read them.
type oldLines struct{ *pipeline.Pipeline }

// Deliver implements receiver.Sink.
func (o oldLines) Deliver(src *receiver.Source, slab *receiver.Slab) {
	slab.Backlog = true
	o.Pipeline.Deliver(src, slab)
}

// printUnderstanding prints what was understood of a file and why not the rest. It returns whether that is enough: a
// line of an rsync daemon, at least half of the lines that aren't other programs', and a log format that fits one of
// the transfer lines.
func printUnderstanding(w io.Writer, cfg *Config, path string, u *pipeline.Understanding) (enough bool) {
	fmt.Fprintf(w, "%s: %d lines read, %d understood\n", printable(path), u.Received, u.Understood)
	var kinds []rsynclog.Kind
	for k := range u.Kinds {
		if u.Kinds[k] > 0 {
			kinds = append(kinds, rsynclog.Kind(k))
		}
	}
	slices.SortStableFunc(kinds, func(a, b rsynclog.Kind) int { return cmp.Compare(u.Kinds[b], u.Kinds[a]) })
	for _, k := range kinds {
		fmt.Fprintf(w, "  %6d %v\n", u.Kinds[k], k)
	}
	var troubles []pipeline.Trouble
	for t := range u.Troubles {
		if u.Troubles[t] > 0 {
			troubles = append(troubles, pipeline.Trouble(t))
		}
	}
	byCount := func(a, b pipeline.Trouble) int { return cmp.Compare(u.Troubles[b], u.Troubles[a]) }
	slices.SortStableFunc(troubles, byCount)
	for _, t := range troubles {
		fmt.Fprintf(w, "  %6d not understood: %s", u.Troubles[t], troubleText(t))
		if s := u.Samples[t]; s != "" {
			fmt.Fprintf(w, ", such as %q", shorten(s))
		}
		fmt.Fprintln(w)
	}
	why, bad := u.Judge(1)
	switch {
	case u.Received == 0:
		fmt.Fprintln(w, "  it is empty: check it again when rsyncd has logged something")
		return false
	case u.OnlyOthers(1):
		fmt.Fprintf(w, "  no line is an rsync daemon's: %s\n", remedyFor(cfg, u, pipeline.OtherProgram))
		return false
	case bad && why == pipeline.OtherFormat && u.Kinds[rsynclog.Transfer] == 0:
		fmt.Fprintf(w, "  LOG_FORMAT=%q fits none of the lines that look like transfers: %s\n", cfg.LogFormat,
			remedyFor(cfg, u, why))
		return false
	case bad:
		fmt.Fprintf(w, "  less than half is understood: %s\n", remedyFor(cfg, u, why))
		return false
	}
	return true
}

// troubleText is a Trouble for people.
func troubleText(t pipeline.Trouble) string {
	switch t {
	case pipeline.OtherProgram:
		return "other programs' lines (ignored)"
	case pipeline.OtherTag:
		return "a tag that isn't in TAGS, and a text of rsyncd's (ignored)"
	case pipeline.Unrecognised:
		return "a text that no rule knows (unrecognised)"
	case pipeline.OtherFormat:
		return "looks like a transfer line of another LOG_FORMAT (unrecognised)"
	case pipeline.Implausible:
		return "can't be the daemon's own (implausible)"
	}
	return strings.ReplaceAll(t.String(), "_", " ") + " (discarded)"
}
