package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/rsynclog"
)

// printLacks says what the log formats in force don't tell, and which line of rsyncd.conf would.
// These are notes and no warnings: rsync's default format lacks something, too.
func printLacks(w io.Writer, cfg *config.Config) {
	if len(cfg.Unlogged) > 0 {
		fmt.Fprintf(w, "note: without transfer logging no file is counted (%s)\n", someModules(cfg.Unlogged))
		fmt.Fprintln(w, "  in rsyncd.conf: transfer logging = yes")
	}
	var formats []string // each once
	users, rest := map[string][]string{}, len(cfg.Modules) == 0
	for _, m := range cfg.Modules {
		format, own := cfg.ModuleFormats[m]
		switch {
		case slices.Contains(cfg.Unlogged, m):
		case !own:
			rest = true
		default:
			if users[format] == nil {
				formats = append(formats, format)
			}
			users[format] = append(users[format], m)
		}
	}
	if rest {
		printLack(w, cfg.LogFormat, "LOG_FORMAT", ", and the same for LOG_FORMAT")
	}
	for _, format := range formats {
		printLack(w, format, someModules(users[format]), "")
	}
}

// printLack says it of one format; whose it is stands behind it.
func printLack(w io.Writer, format, whose, also string) {
	p, err := rsynclog.NewParser(format)
	if err != nil {
		return // a problem or a warning says so already
	}
	lacks := p.Lacks()
	if len(lacks) == 0 {
		return
	}
	fmt.Fprintf(w, "note: log format %q (%s) doesn't tell\n", format, whose)
	for _, l := range lacks {
		fmt.Fprintf(w, "  %s\n", l)
	}
	fmt.Fprintf(w, "  in rsyncd.conf: log format = %s%s\n", text.Printable(p.Full()), also)
}

// someModules names a few modules and says how many there are besides.
func someModules(modules []string) string {
	const most = 5
	var names []string
	for _, m := range modules[:min(len(modules), most)] {
		names = append(names, text.Printable(m))
	}
	if more := len(modules) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	what := "module "
	if len(modules) > 1 {
		what = "modules "
	}
	return what + strings.Join(names, ", ")
}
