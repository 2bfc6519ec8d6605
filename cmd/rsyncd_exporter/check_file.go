package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// checkedLines and checkedBytes are how much of each file is read at most.
const (
	checkedLines = 1000
	checkedBytes = 16 << 20
)

// checkFiles prints how much of each file is understood. It fails unless that is enough of each.
func checkFiles(ctx context.Context, cfg *config.Config, paths []string, std stdio) (status int) {
	for _, w := range cfg.Warnings {
		fmt.Fprintf(std.out, "warning: %s\n", text.OneLine(w))
	}
	for _, path := range paths {
		u, err := understandFile(ctx, cfg, path, std.in)
		if err != nil {
			fmt.Fprintf(std.err, "rsyncd_exporter: %s\n", text.OneLine(err))
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
func understandFile(
	ctx context.Context, cfg *config.Config, path string, stdin io.Reader,
) (none pipeline.Understanding, err error) {
	lines, err := syslog.ParseLineFormat(cfg.LineFormat)
	if err != nil {
		return none, err
	}
	p, err := pipeline.New(pipelineConfig(cfg))
	if err != nil {
		return none, err
	}
	var log *follow.Log
	if path != "-" {
		log, err = follow.OpenLog(path)
	} else if log, err = follow.NewLog(stdin); err != nil {
		err = fmt.Errorf("-: %w", err)
	}
	if err != nil {
		return none, err
	}
	defer log.Close()
	src := receiver.Source{
		Input: kindFile, Name: path, Scope: receiver.StdinScope + 1, Wrapped: cfg.SyslogLogLines, Dialect: lines,
	}
	first, err := firstLines(log)
	if err == nil {
		err = stream.NewStdin(first, src, oldLines{p}).Run(ctx)
	}
	if err != nil {
		return none, fmt.Errorf("%s: %w", text.Printable(path), err)
	}
	return p.Understanding(path), nil
}

func firstLines(r io.Reader) (*bytes.Buffer, error) {
	lines, first := bufio.NewReader(io.LimitReader(r, checkedBytes)), &bytes.Buffer{}
	for range checkedLines {
		line, err := lines.ReadBytes('\n')
		if err == io.ErrUnexpectedEOF && first.Len() > 0 { // one that is cut off has a beginning
			break
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		first.Write(line)
		if err != nil {
			break
		}
	}
	return first, nil
}

// oldLines hands slabs on to a pipeline as a backlog.
type oldLines struct{ *pipeline.Pipeline }

func (o oldLines) Deliver(src *receiver.Source, slab *receiver.Slab) {
	slab.Backlog = true
	o.Pipeline.Deliver(src, slab)
}

// printUnderstanding prints what was understood of a file, and why the rest was not. It is enough
// if some line is an rsync daemon's, half of the lines that aren't other programs' are understood,
// and the log format fits some transfer line.
func printUnderstanding(w io.Writer, cfg *config.Config, path string, u *pipeline.Understanding) (enough bool) {
	fmt.Fprintf(w, "%s: %d lines read, %d understood\n", text.Printable(path), u.Received, u.Understood)
	for _, k := range mostFirst[rsynclog.Kind](u.Kinds[:]) {
		fmt.Fprintf(w, "  %6d %v\n", u.Kinds[k], k)
	}
	for _, t := range mostFirst[pipeline.Trouble](u.Troubles[:]) {
		fmt.Fprintf(w, "  %6d not understood: %s", u.Troubles[t], troubleText(t))
		if s := u.Samples[t]; s != "" && !cfg.Anonymise { // it may name a client
			fmt.Fprintf(w, ", such as %q", shorten(s))
		}
		fmt.Fprintln(w)
	}
	why, bad := u.Judge(1)
	problem := "less than half is understood"
	switch {
	case u.Received == 0:
		fmt.Fprintln(w, "  it is empty: check it again when rsyncd has logged something")
		return false
	case u.OnlyOthers(1):
		problem, why = "no line is an rsync daemon's", pipeline.OtherProgram
	case bad && why == pipeline.OtherFormat && u.Kinds[rsynclog.Transfer] == 0:
		problem = fmt.Sprintf("LOG_FORMAT=%q fits none of the lines that look like transfers", cfg.LogFormat)
	case !bad:
		return true
	}
	fmt.Fprintf(w, "  %s: %s\n", problem, remedyFor(cfg, u, why))
	return false
}

// mostFirst returns the indices of the counts that are not 0, the largest count first.
func mostFirst[K ~uint8](counts []uint64) (list []K) {
	for i, n := range counts {
		if n > 0 {
			list = append(list, K(i))
		}
	}
	slices.SortStableFunc(list, func(a, b K) int { return cmp.Compare(counts[b], counts[a]) })
	return list
}

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
