package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"rsyncd_exporter/receiver"
)

// runCheck prints the settings in force, or every problem with them.
func runCheck(ctx context.Context, args []string, std stdio) int {
	cfg, s, err := loadConfig(args)
	if errors.Is(err, flag.ErrHelp) {
		return runHelp(ctx, nil, std)
	}
	if err != nil {
		return usageError(std, err)
	}
	tab := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, set := range s.all() {
		fmt.Fprintf(tab, "%s\t%s\t%s\n", set.name, printable(set.value), printable(set.origin))
	}
	tab.Flush()
	for _, m := range cfg.Modules {
		format := ""
		if f, ok := cfg.ModuleFormats[m]; ok {
			format = fmt.Sprintf(" with log format %q", f)
		}
		fmt.Fprintf(std.out, "module %s%s\n", printable(m), format)
	}
	printDaemon(std.out, cfg.Daemon)
	if cfg.StateDir != "" {
		explainState(std.out, cfg.StateDir, time.Now())
	}
	for _, path := range cfg.Files {
		if receiver.IsPattern(path) {
			printPattern(std.out, path, cfg.Files)
		}
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintf(std.out, "warning: %s\n", w)
	}
	fmt.Fprintln(std.out, "ok")
	return exitOK
}

// printPattern prints what a pattern of files matches now.
func printPattern(w io.Writer, pattern string, all []string) {
	followed, _, _ := receiver.Preview(pattern, all) // its errors are among the warnings
	fmt.Fprintf(w, "file %s: %d now\n", printable(pattern), len(followed))
	for i, path := range followed {
		if i == 20 {
			fmt.Fprintf(w, "  and %d more\n", len(followed)-i)
			break
		}
		fmt.Fprintf(w, "  %s\n", printable(path))
	}
}
