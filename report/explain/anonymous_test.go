package explain_test

import (
	"strings"
	"testing"

	"rsyncd_exporter/report/explain"
)

// With ANONYMISE networks stand for clients, and no line is quoted: anything may stand in one.
func TestAnonymousExplanations(t *testing.T) {
	path := file(t, `2026/11/23 01:00:00 [7] connect from a.example (192.0.2.1)
2026/11/23 01:00:00 [7] rsync allowed access on module data from a.example (192.0.2.1)
2026/11/23 01:00:00 [7] rsync on data/ from alice@a.example (192.0.2.1)
2026/11/23 01:00:01 [7] send b.example [192.0.2.1] data (alice) some/file 900
2026/11/23 01:00:01 [7] send c.example [198.51.100.2] data (alice) some/file 900
2026/11/23 01:00:02 [7] nobody knows a.example either
2026/11/23 01:00:02 [7] sent 100 bytes  received 20 bytes  total size 3000
2026/11/23 01:00:03 [8] name lookup failed for 192.0.2.1: Name or service not known
nothing of 192.0.2.1, a.example
Nov 23 01:00:04 h sshd[7]: 192.0.2.1, a.example
`)
	for name, o := range map[string]explain.Options{"lines": {}, "json": {JSON: true}, "story": {Session: explain.Target{PID: 7}}} {
		for _, anonymise := range []bool{false, true} {
			o.Anonymise = anonymise
			out, counts := explained(t, o, path)
			for text, shows := range map[string]bool{
				"192.0.2.1": !anonymise, "198.51.100.2": !anonymise, "a.example": !anonymise, "b.example": !anonymise, "c.example": !anonymise,
				"192.0.2.0/24": anonymise, "198.51.100.0/24": anonymise, "some/file": true, "alice": true, "data/": true,
			} {
				if strings.Contains(out, text) != shows {
					t.Errorf("%s, ANONYMISE %v: %q shows: %v\n%s", name, anonymise, text, !shows, out)
				}
			}
			if counts[explain.Implausible] != 1 {
				t.Errorf("%s: %d lines can't be the session's, want 1", name, counts[explain.Implausible])
			}
		}
	}
}
