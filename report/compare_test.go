package report_test

import (
	"fmt"
	"strings"
	"testing"

	"rsyncd_exporter/report"
)

// period returns a report of a period with these bytes of two modules.
func period(data, pub uint64) *report.Summary {
	return &report.Summary{
		From: "2026-03-01T00:00:00Z",
		Totals: report.Totals{
			Connections: 1000, Executions: 1000, Sent: data + pub,
			Sessions: map[string]uint64{"ok": 990, "aborted": 10}, Errors: map[string]uint64{"12": 10},
		},
		Modules: []report.Module{
			{Module: "data", Direction: "send", Executions: 500, Sent: data, Sessions: map[string]uint64{"ok": 495}},
			{Module: "pub", Direction: "send", Executions: 500, Sent: pub, Sessions: map[string]uint64{"ok": 495}},
		},
	}
}

func shown(c *report.Compare) (lines []string) {
	for _, x := range c.Changes {
		lines = append(lines, fmt.Sprintf("%s: %.0f -> %.0f %s", x.What, x.Before, x.Now, x.Unit))
	}
	return lines
}

// The logs don't reach back to the period before: that nobody came then is not known.
func TestComparedWithNothing(t *testing.T) {
	before := &report.Summary{}
	if c := report.Compared(period(1<<40, 0), before, "", ""); len(c.Changes) > 0 || c.Began != "" {
		t.Errorf("%+v", c)
	}
}

func TestComparedListsWhatChangedMostFirst(t *testing.T) {
	const gib = 1 << 30
	before, now := period(90*gib, 10*gib), period(90*gib, 1*gib)
	now.Errors["12"], now.Errors["30"] = 12, 400
	now.Totals.Sessions = map[string]uint64{"ok": 588, "aborted": 412}
	now.Rejected = map[string]uint64{"auth": 9, "max_connections": 10}
	now.Clients = []report.Client{
		{Client: "192.0.2.1", Volume: report.Volume{Sessions: 5, Sent: 20 * gib}},
		{Client: "192.0.2.2", Volume: report.Volume{Sessions: 400, Sent: gib}},
	}
	before.Clients = []report.Client{{Client: "192.0.2.3"}}
	before.ClientsRest.Volume = report.Volume{Sessions: 30, Sent: 5 * gib}
	got := report.Compared(now, before, "2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z")
	// With part of the larger figure * sqrt(share):
	want := []string{
		"errors with exit code 30: 0 -> 400 errors",                                              // 1 * sqrt(400/412) = 0.985
		"rejected: max_connections: 0 -> 10 sessions",                                            // 1 * sqrt(10/19) = 0.725; 9 may be chance
		"sessions that ended: aborted: 10 -> 412 sessions",                                       // 402/412 * sqrt(412/1000) = 0.626
		"sessions of client 192.0.2.2, new in the list: 30 -> 400 sessions",                      // 370/400 * sqrt(0.4) = 0.585
		"sessions that ended: ok: 990 -> 588 sessions",                                           // 402/990 * sqrt(0.99) = 0.404
		fmt.Sprintf("bytes of client 192.0.2.1, new in the list: %d -> %d bytes", 5*gib, 20*gib), // 0.75 * sqrt(0.2) = 0.335
		fmt.Sprintf("sent bytes of module pub, send: %d -> %d bytes", 10*gib, gib),               // 0.9 * sqrt(0.1) = 0.285
		fmt.Sprintf("sent bytes: %d -> %d bytes", 100*gib, 91*gib),                               // 0.09
	}
	if a, b := strings.Join(shown(got), "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
	if got.From != "2026-03-01T00:00:00Z" || got.To != "2026-03-08T00:00:00Z" || got.Before.Sent != 100*gib {
		t.Errorf("got %+v", got)
	}
}

func TestComparedLeavesOutWhatMayBeChance(t *testing.T) {
	before, now := period(1<<40, 1<<20), period(1<<40+1<<34, 1<<10) // 1.6 % more; a module of a millionth
	before.Rejected, now.Rejected = map[string]uint64{"auth": 3}, map[string]uint64{"other": 4}
	now.Connections, now.Executions = 1040, 1040
	now.Totals.Sessions = map[string]uint64{"ok": 1022, "aborted": 18} // 8 more; 3 * sqrt(28) is 15.9
	before.Modules[0].Duration = report.Duration{N: 100, P90: 100}
	now.Modules[0].Duration = report.Duration{N: 100, P90: 150} // may be a bucket on each side
	before.Modules[1].Duration = report.Duration{N: 5, P90: 1}
	now.Modules[1].Duration = report.Duration{N: 5, P90: 1000} // of five sessions
	before.Days = []report.Day{{Date: "2026-03-01", Volume: report.Volume{Sessions: 1}}}
	if got := report.Compared(now, before, "", ""); len(got.Changes) != 0 {
		t.Errorf("got %q", shown(got))
	}
	if got := report.Compared(now, now, "", ""); got.Changes == nil || len(got.Changes) != 0 {
		t.Errorf("a period differs from itself: %q", shown(got))
	}
	now.Modules[0].Duration.P90 = 400
	got := report.Compared(now, before, "", "")
	if len(got.Changes) != 1 || shown(got)[0] != "90th percentile of duration of module data, send: 100 -> 400 seconds" {
		t.Errorf("got %q", shown(got))
	}
}

func TestComparedIsBounded(t *testing.T) {
	before, now := &report.Summary{From: "2026-03-01T00:00:00Z"}, &report.Summary{}
	now.Errors = map[string]uint64{}
	for i := range 100 {
		now.Errors[fmt.Sprint(i)] = 1000 + uint64(i)
	}
	got := report.Compared(now, before, "", "")
	if len(got.Changes) != 20 || got.Changes[0].What != "errors with exit code 99" {
		t.Errorf("%d changes: %q", len(got.Changes), shown(got))
	}
}
