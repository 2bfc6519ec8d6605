package manual

import (
	"fmt"
	"strings"
)

// Roff returns the man page rsyncd_exporter(1), for the man macros of groff and mandoc.
func (m Manual) Roff() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".\\\" Made by \"rsyncd_exporter help --man\".\n.TH RSYNCD_EXPORTER 1 %q %q\n", m.Date,
		"rsyncd_exporter "+m.Version)
	b.WriteString(roffBegin)
	b.WriteString(".SH COMMANDS\n")
	for _, c := range m.Commands {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(c.Name), roff(c.Summary))
	}
	b.WriteString(".SH SETTINGS\nEach setting is a flag and a variable. A flag beats a variable, a variable beats " +
		"the default.\nAn empty variable counts as unset. Lists are separated by commas.\n")
	for _, s := range m.Settings {
		fmt.Fprintf(&b, ".TP\n.BI %s= value\n.B %s\n.br\n", roff(s.Flag), roff(s.Variable))
		if s.Default != "" {
			// A line may be broken behind a comma of a long list.
			fmt.Fprintf(&b, "Default:\n.I %s\n.br\n", strings.ReplaceAll(roff(s.Default), ",", `,\:`))
		}
		b.WriteString(roff(s.Meaning) + "\n")
	}
	b.WriteString(".SS Flags of the Python script that this program replaces\n")
	for _, l := range m.Legacy {
		fmt.Fprintf(&b, ".TP\n.BI \\-%s \" %s\"\n%s\n", roff(l.Name), roff(l.Arg), roff(l.Meaning))
	}
	b.WriteString(".SH COMMANDS IN FULL\n")
	for _, c := range m.Commands {
		if c.Usage == "" {
			continue
		}
		fmt.Fprintf(&b, ".SS %s\n.EX\n", roff(c.Name))
		for line := range strings.Lines(strings.TrimSpace(c.Usage)) {
			b.WriteString(roff(strings.TrimRight(line, "\n")) + "\n")
		}
		b.WriteString(".EE\n")
	}
	b.WriteString(roffEnd)
	return b.String()
}

const roffBegin = `.SH NAME
rsyncd_exporter \- Prometheus exporter for rsync daemons
.SH SYNOPSIS
.B rsyncd_exporter
.RI [ command ]
.RB [ \-\-\fIsetting\fB=\fIvalue\fR " ...]"
.SH DESCRIPTION
.B rsyncd_exporter
receives what rsync daemons log and serves it as Prometheus counters.
It listens at a unix socket, UDP, TCP or TLS, or follows log files.
It also says who is connected and which backups came, and it reads old logs.
`

const roffEnd = `.SH EXIT STATUS
.TP
.B 0
Success.
.TP
.B 1
It went wrong while running, or what was asked for is not well. See each command.
.TP
.B 2
A command, flag or setting that can't be, or a file that could not be read.
.SH SIGNALS
SIGTERM and SIGINT end it within five seconds, with status 0.
A second one ends it at once.
SIGHUP opens the file of SESSION_LOG anew.
.SH FILES
.TP
.I /etc/default/rsyncd_exporter
The settings of the systemd service, one variable a line.
.TP
.I /var/lib/rsyncd_exporter
The state directory of the systemd service.
.TP
.I /run/rsyncd_exporter/log
The unix socket that rsyncd_exporter.socket opens.
.TP
.I /usr/share/doc/rsyncd\-exporter
Recipes, rules and dashboards.
.SH SEE ALSO
.BR rsync (1),
.BR rsyncd.conf (5),
.BR systemd.socket (5)
`

// roff returns a text in which nothing is a request or an escape, on one line. Hyphens, quotes,
// carets and tildes stay what people type.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`,
		"…", "...", "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") {
		return `\&` + s
	}
	return s
}
