package show_test

import (
	"math"
	"strings"

	"rsyncd_exporter/report"
)

// hostileNames are what clients, and whoever made a report that was merged, might choose.
var hostileNames = []string{
	"<img src=x onerror=alert(1)>", "javascript:alert(1)", "a\u202egpj.exe", "\x1b[31mred\x1b]0;title\a",
	"</title></svg><script>",
	"=HYPERLINK(\"http://x\")", "備份資料備份資料備份資料備份資料備份資料備份資料備份資料備份資料備份資料", "e\u0301\u0302\u0303e\u0301n\u0303/" +
		strings.Repeat("o\u0308", 60),
	"👩‍👩‍👧‍👦👩‍👩‍👧‍👦" + strings.Repeat("🏳️‍🌈", 20), strings.Repeat("x", 128), strings.Repeat("long/", 25), "\xff\xfe\x80", "a\r\nb\tc", "\u200b\u2066x\u2069", "$(reboot)`id`\"\\",
	"--", "", strings.Repeat("`\\\"", 42), "مرحبا بالعالم",
}

// hostile returns a report whose every text is hostile, and whose numbers are the largest.
func hostile() *report.Summary {
	const most = math.MaxUint64
	s := &report.Summary{From: "2025-11-01T00:00:00Z", To: "2025-11-02T00:00:00Z", Lines: most, Unrecognised: most,
		Implausible: most,
		Families:    map[string]report.Volume{}, Totals: report.Totals{Sessions: map[string]uint64{},
			Errors:     map[string]uint64{},
			FileErrors: map[string]uint64{}, Rejected: map[string]uint64{}, Files: map[string]uint64{}, Sent: most,
			Connections: most},
		Quietest:    &report.QuietHour{Weekday: hostileNames[3], Hour: 23, Bytes: 1e300, Sessions: 1},
		ClientsRest: report.Rest{Entries: most, Volume: report.Volume{Sessions: most, Sent: most}},
		Filter:      &report.Filter{Module: hostileNames[3], Client: hostileNames[0]},
		Compare:     &report.Compare{From: hostileNames[3], To: hostileNames[2]},
		Waste:       report.Waste{Sampled: most, Bytes: most, PerDay: 1e300},
	}
	v := report.Volume{Sessions: most, Sent: most, Received: most}
	for _, n := range hostileNames {
		s.Files = append(s.Files, report.Source{Path: n, Log: n, Lines: most, Error: n + "!"})
		for _, m := range []map[string]uint64{s.Sessions, s.Errors, s.FileErrors, s.Rejected, s.Totals.Files} {
			m[n] = most
		}
		s.Families[n] = v
		s.Modules = append(s.Modules, report.Module{Module: n, Direction: n, Executions: most, Sent: most, Files: most,
			Sessions: map[string]uint64{"ok": most, "aborted": most}, Duration: report.Duration{N: most, P50: 1e300,
				P90: -1, Max: 1e10}})
		s.Clients = append(s.Clients, report.Client{Client: n, Name: n, Group: n, Place: n, Volume: v, Error: &v})
		s.Users = append(s.Users, report.User{Module: n, User: n + "u", Direction: n, LastSuccess: n, LastAttempt: n,
			GapFrom:    n,
			LongestGap: 1e300, Sessions: map[string]uint64{"ok": most, n: most}})
		s.Days = append(s.Days, report.Day{Date: n, Volume: v, Failed: most, Rejected: most, Peak: most})
		s.Paths = append(s.Paths, report.Path{Path: n, Module: n, Count: most, Bytes: most, Error: most})
		s.Waste.Clients = append(s.Waste.Clients, report.WasteClient{Client: n, Module: n, Files: most, Bytes: most,
			Example: n, Times: most})
		s.Saturation = append(s.Saturation, report.Saturation{Module: n, Refused: most, Peak: most, PeakAt: n,
			Begun:     []uint64{most, most},
			SecondsAt: make([]float64, 500)})
		s.Expect = append(s.Expect, report.Expected{Entry: n + "@u<26h", Evidence: n + " " + n})
		s.Samples = append(s.Samples, report.Sample{File: n, Line: most, Why: n, Text: n + n})
		s.Compare.Changes = append(s.Compare.Changes, report.Change{What: n, Before: -1, Now: 1e300, Unit: n})
	}
	s.Heat[0][0], s.Hours[0] = v, v
	return s
}
