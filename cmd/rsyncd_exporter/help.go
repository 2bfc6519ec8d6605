package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"rsyncd_exporter/internal/config"
)

func runHelp(_ context.Context, args []string, std stdio) int {
	switch {
	case len(args) == 1 && strings.TrimLeft(args[0], "-") == "markdown":
		fmt.Fprint(std.out, settingsMarkdown())
	case len(args) > 0:
		return usageError(std, fmt.Errorf("help: unexpected argument %q: it takes --markdown or nothing", args[0]))
	default:
		printHelp(std.out)
	}
	return exitOK
}

func printHelp(w io.Writer) {
	fmt.Fprint(w, "rsyncd_exporter receives what rsync daemons log and serves it as Prometheus counters.\n\n"+
		"Usage: rsyncd_exporter [command] [--setting=value ...]\n\n")
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "Commands:")
	for _, c := range commands() {
		fmt.Fprintf(tab, "  %s\t%s\n", c.name, c.summary)
	}
	tab.Flush()

	fmt.Fprint(w, "\nSettings: each is a flag and a variable. A flag beats a variable beats the default. "+
		"An empty variable counts as unset.\n"+
		"Lists are separated by commas.\n\n")
	for _, s := range config.Defaults() {
		fmt.Fprintf(w, "  %s, %s", s.Flag, s.Variable)
		if s.Default != "" {
			fmt.Fprintf(w, " (default %s)", s.Default)
		}
		fmt.Fprintf(w, "\n        %s\n", s.Meaning)
	}

	fmt.Fprintln(tab, "\nFlags of the Python script that this program replaces:")
	for _, l := range config.LegacyFlags() {
		fmt.Fprintf(tab, "  -%s %s\t%s\n", l.Name, l.Arg, l.Meaning)
	}
	tab.Flush()
}

func settingsMarkdown() string {
	var b strings.Builder
	escape := strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "<", "&lt;")
	b.WriteString("| variable | flag | default | meaning |\n|---|---|---|---|\n")
	for _, s := range config.Defaults() {
		def := ""
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.Variable, s.Flag, def, escape.Replace(s.Meaning))
	}
	return b.String()
}

// version is set at link time, by -ldflags "-X main.version=…". See buildInfo.
var version string

type build struct {
	Version  string // "devel" where nobody said
	Revision string // commit, "-modified" behind it where the tree was; "unknown" where the build did not record it
	Go       string // Go's version
}

func buildInfo() build {
	b := build{Version: version, Revision: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if v := info.Main.Version; b.Version == "" && v != "(devel)" {
		b.Version = v
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	modified := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	b.Revision += modified
	return b
}

func runVersion(_ context.Context, args []string, std stdio) int {
	if len(args) > 0 {
		return usageError(std, fmt.Errorf("version: unexpected argument %q: it takes none", args[0]))
	}
	b := buildInfo()
	fmt.Fprintf(std.out, "rsyncd_exporter %s (revision %s, %s, %s/%s)\n",
		b.Version, b.Revision, b.Go, runtime.GOOS, runtime.GOARCH)
	return exitOK
}
