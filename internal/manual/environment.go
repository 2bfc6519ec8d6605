package manual

import (
	"fmt"
	"strings"

	"rsyncd_exporter/internal/text"
)

// Environment returns a file of all settings at their defaults, all of them comments. systemd
// (EnvironmentFile=) and a shell read it alike.
func (m Manual) Environment() string {
	var b strings.Builder
	b.WriteString(environmentBegin)
	for _, s := range m.Settings {
		b.WriteByte('\n')
		for _, line := range text.Wrap(s.Meaning, 96) {
			fmt.Fprintf(&b, "# %s\n", strings.TrimSpace(line))
		}
		value := s.Default
		if strings.Trim(value, plain) != "" {
			value = "'" + value + "'"
		}
		fmt.Fprintf(&b, "#%s=%s\n", s.Variable, value)
	}
	return b.String()
}

// plain is what needs no quotation marks in a shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,-"

const environmentBegin = "" +
	`# Settings of rsyncd_exporter.service, one a line, as systemd.exec(5) says under EnvironmentFile=.
# Take away the # before those that you change, then "systemctl restart rsyncd_exporter". This
# checks them before:
#   (set -a; . /etc/default/rsyncd_exporter; rsyncd_exporter check)
#
# The socket units hold the addresses that the service receives at, and that of /metrics: see
# "systemctl edit rsyncd_exporter.socket" and "systemctl edit rsyncd_exporter-http.socket". The
# service keeps its state in /var/lib/rsyncd_exporter.
`
