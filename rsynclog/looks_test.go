package rsynclog_test

import (
	"testing"

	"rsyncd_exporter/rsynclog"
)

// A line that another log format wrote is told from what isn't a transfer line at all. No format
// here is that of the parser.
func TestLooksLikeTransfer(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
	}{
		// the default and %b: %l is a part of the name then
		{"send host [192.0.2.7] mirror (alice) pool/a.iso 4096 112", true},
		{"recv backup/home/a 17", true},                         // %o %m/%f %l
		{"192.0.2.7 send pool/a.iso", true},                     // %a %o %f
		{"2026/11/23 18:40:52 send [2001:db8::1] a 4096", true}, // %t %o [%a] %f %l
		{"192.0.2.7 mirror/pool/a.iso 4096", true},              // %a %m/%f %l
		{">f+++++++++ pool/a.iso", true},                        // %i %n
		{"[192.0.2.7] <f.st...... a", true},                     // [%a] %i %n
		{"*deleting   old", true},                               // %i%n
		{"del. old", true},                                      // %o %f
		{"please send me more", false},
		{"refused connection from 192.0.2.1 port 33", false},
		{"version 1.5 of /usr/bin/tool 1.6", false},
		{"hello", false},
		{"", false},
	} {
		if got := rsynclog.LooksLikeTransfer([]byte(c.text)); got != c.want {
			t.Errorf("%q: %v, want %v", c.text, got, c.want)
		}
	}
}
