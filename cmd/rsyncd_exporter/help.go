package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/manual"
)

func runHelp(_ context.Context, args []string, std stdio) int {
	switch {
	case len(args) == 0 || len(args) == 1 && strings.TrimLeft(args[0], "-") == "help":
		printHelp(std.out)
	case len(args) == 1:
		forms := helpForms()
		form, known := forms[strings.TrimLeft(args[0], "-")]
		if !known {
			names := slices.Sorted(maps.Keys(forms))
			return usageError(std, fmt.Errorf("help: unexpected argument %q: it takes --%s or nothing", args[0],
				strings.Join(names, ", --")))
		}
		fmt.Fprint(std.out, form())
	default:
		return usageError(std, fmt.Errorf("help: unexpected argument %q: it takes one", args[1]))
	}
	return exitOK
}

// helpForms returns the forms in which help prints what it knows, for packages and documents.
func helpForms() map[string]func() string {
	return map[string]func() string{
		"markdown":    settingsMarkdown,
		"man":         func() string { return handbook().Roff() },
		"bash":        func() string { return handbook().Bash() },
		"zsh":         func() string { return handbook().Zsh() },
		"fish":        func() string { return handbook().Fish() },
		"environment": func() string { return handbook().Environment() },
	}
}

// handbook collects what help and the commands' own --help print. SOURCE_DATE_EPOCH gives its date,
// see https://reproducible-builds.org/specs/source-date-epoch/.
func handbook() manual.Manual {
	m := manual.Manual{Version: buildInfo().Version, Settings: config.Defaults(), Legacy: config.LegacyFlags()}
	if seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		m.Date = time.Unix(seconds, 0).UTC().Format(time.DateOnly)
	}
	var general strings.Builder
	printHelp(&general)
	for _, c := range commands() {
		entry := manual.Command{Name: c.name, Summary: c.summary}
		if c.name != "version" && c.name != "help" {
			var out strings.Builder
			c.run(context.Background(), []string{"--help"}, stdio{strings.NewReader(""), &out, io.Discard})
			entry.Settings = true
			if out.String() != general.String() {
				entry.Usage = out.String()
			}
		}
		m.Commands = append(m.Commands, entry)
	}
	return m
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

// These are set at link time, by -ldflags "-X main.version=… -X main.revision=…". See buildInfo.
var version, revision string

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
	if revision != "" {
		b.Revision = revision
	}
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
