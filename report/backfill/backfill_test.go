package backfill_test

import (
	"testing"
)

const pull = `2026/03/01 10:00:30 [100] connect from a (192.0.2.1)
2026/03/01 10:00:30 [100] rsync allowed access on module data from a (192.0.2.1)
2026/03/01 10:00:31 [100] rsync on data/x from a (192.0.2.1)
2026/03/01 10:00:31 [100] building file list
2026/03/01 10:03:00 [100] send a [192.0.2.1] data () x/1 500
2026/03/01 10:03:10 [100] sent 600 bytes  received 40 bytes  total size 500
`

// A pull from 10:00:30 to 10:03:10: it takes 160 s, and is over two seconds after its last line, before the log ends.
func TestCountersBeginAtZero(t *testing.T) {
	s := parse(t, fill(t, config(), log{lines: pull + "2026/03/01 10:04:00 [1] connect from b (192.0.2.2)\n"}))
	check(t, s, `rsync_connections_total{}`, "2026-03-01 10:00:00", 0, "2026-03-01 10:01:00", 1, "2026-03-01 10:02:00", 1,
		"2026-03-01 10:03:00", 1, "2026-03-01 10:04:00", 2)
	for name := range s {
		t.Log(name, s[name])
	}
}
