package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"text/tabwriter"
	"time"
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
	if cfg.StateDir != "" {
		explainState(std.out, cfg.StateDir, time.Now())
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintf(std.out, "warning: %s\n", w)
	}
	fmt.Fprintln(std.out, "ok")
	return exitOK
}
