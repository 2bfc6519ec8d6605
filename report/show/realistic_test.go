package show_test

import (
	"fmt"
	"math"
	"time"

	"rsyncd_exporter/report"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

// realistic returns a month of a mirror that also takes backups. Its numbers are invented, but go
// together as they would: nights are quiet, two modules are fetched from, three are written to.
func realistic() *report.Summary {
	s := &report.Summary{
		Version: 1, From: "2025-11-01T00:00:04+01:00", To: "2025-11-30T23:59:41+01:00",
		Lines: 48_211_903, Unrecognised: 41, Implausible: 7, Ignored: 1_204, Discarded: 3,
		Files: []report.Source{
			{Path: "/var/log/rsyncd.log.3.zst", Log: "/var/log/rsyncd.log", Lines: 14_201_444},
			{Path: "/var/log/rsyncd.log.2.zst", Log: "/var/log/rsyncd.log", Lines: 15_880_109},
			{Path: "/var/log/rsyncd.log.1", Log: "/var/log/rsyncd.log", Lines: 13_412_350},
			{Path: "/var/log/rsyncd.log", Log: "/var/log/rsyncd.log", Lines: 4_718_000},
			{Path: "/var/log/rsyncd.log.4.gz", Log: "/var/log/rsyncd.log", Lines: 0,
				Error: `reading "/var/log/rsyncd.log.4.gz": gzip: invalid checksum; the lines before it were read`},
		},
		Totals: report.Totals{
			Connections: 512_404, Executions: 488_210, ModuleLists: 9_120, DaemonStarts: 2,
			Sent: 412*tib + 300*gib, Received: 6*tib + 120*gib, Listed: 5_120 * tib, Running: 14,
			Sessions: map[string]uint64{"ok": 471_902, "partial": 1_204, "aborted": 12_890, "rejected": 14_988,
				"listing": 9_120,
				"unknown": 2_210},
			Errors: map[string]uint64{"12": 6_204, "10": 4_988, "30": 1_402, "20": 296, "23": 1_100, "24": 104,
				"_other": 3},
			FileErrors: map[string]uint64{"13": 8_812, "2": 1_044, "0": 320, "28": 12, "122": 3},
			Rejected: map[string]uint64{"max_connections": 12_611, "unknown_module": 1_809, "auth": 402,
				"hosts_deny": 166},
			Files:     map[string]uint64{"send": 39_120_488, "recv": 4_402_117, "del.": 212_040},
			FileBytes: map[string]uint64{"send": 420 * tib, "recv": 7 * tib, "del.": 0},
			Kinds: map[string]uint64{"connect": 512_404, "start": 488_210, "transfer": 43_734_645,
				"unrecognised": 41},
		},
		Families: map[string]report.Volume{
			"ipv4":    {Sessions: 341_022, Sent: 250 * tib, Received: 5 * tib},
			"ipv6":    {Sessions: 170_300, Sent: 162*tib + 300*gib, Received: 1*tib + 120*gib},
			"unknown": {Sessions: 992},
		},
		ClientsRest: report.Rest{Entries: 48_204, Volume: report.Volume{Sessions: 401_300, Sent: 198 * tib,
			Received: 40 * gib}},
		Quietest: &report.QuietHour{Weekday: "Sunday", Hour: 4, Bytes: 61.4 * gib, Sessions: 212.5},
		Waste: report.Waste{Sampled: 16, Bytes: 31 * tib, PerDay: 1.03 * tib, Clients: []report.WasteClient{
			{Client: "203.0.113.77", Module: "debian", Files: 1_204_000, Bytes: 19 * tib, PerDay: 648 * gib,
				Example: "dists/trixie/main/binary-amd64/Packages.xz", Times: 720},
			{Client: "2001:db8:77::/64", Module: "fedora", Files: 88_204, Bytes: 12 * tib, PerDay: 409 * gib,
				Example: "releases/43/Workstation/x86_64/iso/Fedora-Workstation-Live-43-1.6.x86_64.iso", Times: 96},
		}},
		Expect: []report.Expected{
			{Entry: "backup@db1<26h", Evidence: "30 successes in 30 days, every 24h; the longest gap was 25h 10m"},
			{Entry: "backup@web<26h", Evidence: "29 successes in 30 days, every 24h; the longest gap was 48h 02m"},
			{Entry: "photos@anna<8d", Evidence: "4 successes in 30 days, every 7d; the longest gap was 7d 1h"},
		},
		Samples: []report.Sample{
			{File: "/var/log/rsyncd.log", Line: 1_044_201, Why: "no rule knows this text",
				Text: "pre-xfer: quota check took 3.2s"},
			{File: "/var/log/rsyncd.log.1", Line: 88_120, Why: "a client's own words: it has no session",
				Text: "sent 1 bytes  received 1 bytes"},
		},
	}
	realisticModules(s)
	realisticClients(s)
	realisticLoad(s)
	realisticUsers(s)
	return s
}

func realisticModules(s *report.Summary) {
	s.Modules = []report.Module{
		{Module: "debian", Direction: "send", Executions: 310_400, Sent: 260 * tib, Received: 40 * gib,
			Listed: 3_000 * tib,
			Files:  30_400_100, Duration: report.Duration{N: 309_000, P50: 12.5, P90: 410, Max: 86_000},
			Sessions: map[string]uint64{"ok": 301_002, "partial": 104, "aborted": 8_210, "rejected": 9_400,
				"unknown": 1_100}},
		{Module: "fedora", Direction: "send", Executions: 172_300, Sent: 152*tib + 300*gib, Received: 30 * gib,
			Listed: 2_000 * tib,
			Files:  8_720_388, Duration: report.Duration{N: 172_000, P50: 20, P90: 905, Max: 172_800},
			Sessions: map[string]uint64{"ok": 166_100, "partial": 96, "aborted": 4_610, "rejected": 3_211,
				"unknown": 1_110}},
		{Module: "backup", Direction: "receive", Executions: 3_210, Sent: 2 * gib, Received: 5*tib + 50*gib,
			Listed: 100 * tib,
			Files:  4_300_112, Deleted: 212_040, Duration: report.Duration{N: 3_210, P50: 640, P90: 5_200, Max: 40_020},
			Sessions: map[string]uint64{"ok": 2_180, "partial": 1_000, "aborted": 30}},
		{Module: "photos", Direction: "receive", Executions: 2_300, Sent: 100 * mib, Received: 1 * tib,
			Listed: 20 * tib,
			Files:  102_005, Duration: report.Duration{N: 2_300, P50: 31, P90: 250, Max: 9_000},
			Sessions: map[string]uint64{"ok": 2_260, "partial": 4, "aborted": 36}},
	}
	s.Paths = []report.Path{
		{Path: "dists/trixie/InRelease", Module: "debian", Count: 280_410, Bytes: 36 * gib},
		{Path: "dists/trixie/main/binary-amd64/Packages.xz", Module: "debian", Count: 201_144, Bytes: 1_800 * gib,
			Error: 120},
		{Path: "releases/43/Workstation/x86_64/iso/Fedora-Workstation-Live-43-1.6.x86_64.iso", Module: "fedora",
			Count: 9_204,
			Bytes: 19 * tib, Error: 120},
	}
	s.Deleted = []report.Path{{Path: "var/spool/mail/old", Module: "backup", Count: 840}}
	s.Saturation = []report.Saturation{
		{Module: "debian", Refused: 12_611, Peak: 40, PeakAt: "2025-11-11T19:02:11+01:00"},
		{Module: "fedora", Peak: 22, PeakAt: "2025-11-04T20:44:00+01:00"},
	}
	for i := range s.Saturation {
		m := &s.Saturation[i]
		for n := range int(m.Peak) + 1 {
			x := (float64(n) - float64(m.Peak)*0.45) / (float64(m.Peak) * 0.22)
			m.SecondsAt = append(m.SecondsAt, math.Round(math.Exp(-x*x/2)*150_000))
			if n < int(m.Peak) {
				m.Begun = append(m.Begun, uint64(math.Exp(-x*x/2)*14_000))
			}
		}
	}
}

func realisticClients(s *report.Summary) {
	places := []string{"DE", "US", "FR", "JP", "BR", "NL", ""}
	for i := range 14 {
		c := report.Client{Client: fmt.Sprintf("198.51.100.%d", 10+7*i), Place: places[i%len(places)],
			Volume: report.Volume{Sessions: uint64(31_000 / (i + 2)), Sent: uint64(60*tib) / uint64(i+1),
				Received: uint64(9-i/2) * gib}}
		if i%3 == 1 {
			c.Client = fmt.Sprintf("2001:db8:%x::/64", 0x100+i)
		}
		if i%2 == 0 {
			c.Name, c.Group = fmt.Sprintf("mirror%d.example.org", i), "mirrors"
		}
		if i > 10 {
			c.Error = &report.Volume{Sessions: 40, Sent: 12 * gib, Received: 300 * mib}
		}
		s.Clients = append(s.Clients, c)
	}
}

func realisticLoad(s *report.Summary) {
	first := time.Date(2025, 11, 1, 0, 0, 0, 0, time.UTC)
	for d := range 30 {
		date := first.AddDate(0, 0, d)
		x := 1 + 0.3*math.Sin(float64(d)*0.9) + 0.15*math.Cos(float64(d)*2.3)
		if wd := date.Weekday(); wd == time.Saturday || wd == time.Sunday {
			x *= 0.7
		}
		day := report.Day{Date: date.Format(time.DateOnly), Failed: uint64(400 * x), Rejected: uint64(480 * x),
			Peak:   uint64(28 * x),
			Volume: report.Volume{Sessions: uint64(17_000 * x), Sent: uint64(14 * x * tib), Received: 200 * gib}}
		if d == 10 { // a release
			day.Sent, day.Sessions, day.Rejected, day.Peak = 31*tib, 29_400, 6_300, 40
		}
		if d == 17 { // the daemon was down
			day = report.Day{Date: day.Date}
		}
		s.Days = append(s.Days, day)
	}
	for wd := range 7 {
		for h := range 24 {
			x := 0.25 + 0.75*math.Pow(math.Sin(float64(h-3)/24*math.Pi), 2)
			if wd > 4 {
				x *= 0.7
			}
			v := report.Volume{Sessions: uint64(4_800 * x), Sent: uint64(4.3 * x * tib), Received: uint64(20 * gib)}
			if h == 2 {
				v.Received = 700 * gib
			}
			s.Heat[wd][h] = v
			s.Hours[h].Sessions += v.Sessions
			s.Hours[h].Sent += v.Sent
			s.Hours[h].Received += v.Received
		}
	}
}

func realisticUsers(s *report.Summary) {
	s.Users = []report.User{
		{Module: "backup", User: "db1", Direction: "receive", FirstSeen: "2025-11-01T02:10:00+01:00",
			LastSuccess: "2025-11-30T02:12:40+01:00", LastAttempt: "2025-11-30T02:12:40+01:00", LongestGap: 90_600,
			GapFrom: "2025-11-12T02:10:00+01:00", Listed: 1_204 * gib, Sessions: map[string]uint64{"ok": 30},
			Volume: report.Volume{Sessions: 30, Received: 800 * gib}},
		{Module: "backup", User: "web", Direction: "receive", FirstSeen: "2025-11-01T03:00:00+01:00",
			LastSuccess: "2025-11-28T03:04:11+01:00", LastAttempt: "2025-11-30T03:04:59+01:00", LongestGap: 172_920,
			GapFrom: "2025-11-19T03:02:00+01:00", Listed: 88 * gib, Sessions: map[string]uint64{"ok": 27, "partial": 3},
			Volume: report.Volume{Sessions: 30, Received: 200 * gib}},
		{Module: "backup", User: "old-nas", Direction: "receive", FirstSeen: "2025-11-02T01:00:00+01:00",
			LastAttempt: "2025-11-30T01:00:12+01:00", Sessions: map[string]uint64{"aborted": 29},
			Volume: report.Volume{Sessions: 29, Received: 40 * kib}},
		{Module: "debian", Direction: "send", LastSuccess: "2025-11-30T23:58:00+01:00",
			Sessions: map[string]uint64{"ok": 301_002, "aborted": 8_210}, Volume: report.Volume{Sessions: 309_212,
				Sent: 260 * tib}},
		{Module: "photos", User: "anna", Direction: "receive", FirstSeen: "2025-11-02T21:00:00+01:00",
			LastSuccess: "2025-11-23T21:10:00+01:00", LastAttempt: "2025-11-23T21:10:00+01:00", LongestGap: 608_400,
			GapFrom: "2025-11-09T21:01:00+01:00", Listed: 2 * tib, Sessions: map[string]uint64{"ok": 4},
			Volume: report.Volume{Sessions: 4, Received: 30 * gib}},
	}
}

// withComparison adds the month before.
func withComparison(s *report.Summary) *report.Summary {
	s.Compare = &report.Compare{
		From: "2025-10-02T00:00:00+02:00", To: "2025-10-31T23:59:59+01:00",
		Began: "2025-10-02T00:00:01+02:00",
		Before: report.Totals{Sent: 301 * tib, Received: 6 * tib, Sessions: map[string]uint64{"ok": 402_000,
			"aborted": 9_000}},
		Changes: []report.Change{
			{What: "clients refused at max connections of module debian", Before: 12, Now: 12_611, Unit: "sessions"},
			{What: "sent bytes of module fedora", Before: 60 * tib, Now: 152*tib + 300*gib, Unit: "bytes"},
			{What: "half of the sessions of module backup took", Before: 900, Now: 640, Unit: "seconds"},
			{What: "sessions of module isos", Before: 4_100, Now: 0, Unit: "sessions"},
		},
	}
	return s
}
