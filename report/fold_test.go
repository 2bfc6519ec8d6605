package report_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/report"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

var now = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

func logsConfig() logs.Config {
	return logs.Config{
		Pipeline: pipeline.Config{
			LogFormat: rsynclog.DefaultLogFormat, Tags: []string{"rsyncd*"}, Limits: rsynclog.DefaultLimits(),
		},
		Lines: syslog.Lines{}, Zone: time.UTC, Now: now,
	}
}

// fold folds logs, each of one set, cut into files where it has a line "---".
func fold(t testing.TB, o report.Options, texts ...string) *report.Summary {
	t.Helper()
	dir := t.TempDir()
	var sets []logs.Set
	for i, text := range texts {
		set := logs.Set{Name: fmt.Sprint("log", i)}
		for j, part := range strings.Split(text, "---\n") {
			f := logs.File{Path: filepath.Join(dir, fmt.Sprintf("log%d.%d", i, j)), Written: now}
			if err := os.WriteFile(f.Path, []byte(part), 0o644); err != nil {
				t.Fatal(err)
			}
			set.Files = append(set.Files, f)
		}
		sets = append(sets, set)
	}
	o.Now = now
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	f := report.NewFold(o)
	if errs := logs.Read(context.Background(), logsConfig(), sets, f); len(errs) > 0 {
		t.Fatal(errs)
	}
	s := f.Summary()
	for i := range s.Files {
		s.Files[i].Path = filepath.Base(s.Files[i].Path)
	}
	for i := range s.Samples {
		s.Samples[i].File = filepath.Base(s.Samples[i].File)
	}
	return s
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	g, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(g) != string(w) {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// small has two sessions at one time, one of a client that is turned away, a module list, and the next night's backup.
const small = `2026/11/23 01:00:00 [10] rsyncd version 3.2.7 starting, listening on port 873
2026/11/23 01:10:00 [21] connect from backup1.example.net (192.0.2.10)
2026/11/23 01:10:00 [21] rsync allowed access on module data from backup1.example.net (192.0.2.10)
2026/11/23 01:10:01 [21] rsync to data/ from anna@backup1.example.net (192.0.2.10)
2026/11/23 01:10:01 [21] receiving file list
2026/11/23 01:10:02 [21] recv backup1.example.net [192.0.2.10] data (anna) a 100
2026/11/23 01:10:04 [22] connect from UNKNOWN (2001:db8::7)
2026/11/23 01:10:04 [22] rsync allowed access on module pub from UNKNOWN (2001:db8::7)
2026/11/23 01:10:05 [22] rsync on pub/ from UNKNOWN (2001:db8::7)
2026/11/23 01:10:05 [22] building file list
2026/11/23 01:10:06 [21] recv backup1.example.net [192.0.2.10] data (anna) b 250
2026/11/23 01:10:07 [22] send UNKNOWN [2001:db8::7] pub () big 5000
2026/11/23 01:10:07 [22] del. UNKNOWN [2001:db8::7] pub () forged 0
2026/11/23 01:10:08 [21] del. backup1.example.net [192.0.2.10] data (anna) old 0
2026/11/23 01:10:10 [21] sent 90 bytes  received 400 bytes  total size 350
2026/11/23 01:10:12 [22] rsync: [sender] send_files failed to open "/secret" (in pub): Permission denied (13)
2026/11/23 01:10:14 [22] rsync error: error in socket IO (code 10) at io.c(829) [sender=3.2.7]
2026/11/23 02:00:00 [30] connect from web.example.org (198.51.100.3)
2026/11/23 02:00:00 [30] rsync allowed access on module pub from web.example.org (198.51.100.3)
2026/11/23 02:00:00 [30] max connections (1) reached
2026/11/23 02:00:01 [31] connect from web.example.org (198.51.100.3)
2026/11/23 02:00:01 [31] module-list request from web.example.org (198.51.100.3)
2026/11/23 02:00:02 [40] what is this, 1
2026/11/23 02:00:02 [40] what is this, 2

Nov 23 02:00:03 host cron[5]: job
2026/11/24 02:30:00 [50] connect from backup1.example.net (192.0.2.10)
2026/11/24 02:30:00 [50] rsync allowed access on module data from backup1.example.net (192.0.2.10)
2026/11/24 02:30:00 [50] rsync to data/ from anna@backup1.example.net (192.0.2.10)
2026/11/24 02:30:01 [50] receiving file list
2026/11/24 02:30:40 [50] sent 60 bytes  received 200 bytes  total size 350
`

type byName = map[string]uint64

// The numbers are worked out by hand from the lines above.
func TestASmallLog(t *testing.T) {
	s := fold(t, report.Options{SuggestExpect: true}, small)
	same(t, "from, to", []string{s.From, s.To}, []string{"2026-11-23T01:00:00Z", "2026-11-24T02:30:40Z"})
	same(t, "files", s.Files, []report.Source{{Path: "log0.0", Log: "log0", Lines: 31}})
	// 31 lines: one is empty, one is cron's, two nobody knows, one a client has forged.
	same(t, "lines", []uint64{s.Lines, s.Unrecognised, s.Implausible, s.Ignored, s.Discarded}, []uint64{31, 2, 1, 1, 1})
	same(t, "totals", s.Totals, report.Totals{
		Connections: 5, Executions: 3, ModuleLists: 1, DaemonStarts: 1,
		Sent: 90 + 60, Received: 400 + 200, Listed: 350 + 350,
		Sessions: byName{"ok": 2, "aborted": 1, "rejected": 1, "listing": 1},
		Errors:   byName{"10": 1}, FileErrors: byName{"13": 1}, Rejected: byName{"max_connections": 1},
		Files: byName{"recv": 2, "send": 1, "del.": 1}, FileBytes: byName{"recv": 350, "send": 5000},
		Kinds: byName{"daemon_start": 1, "connect": 5, "allowed": 4, "start": 3, "file_list": 3, "transfer": 4,
			"implausible": 1, "summary": 2, "file_error": 1, "exit_error": 1, "max_connections": 1, "module_list": 1,
			"unrecognised": 2},
	})
	for i := range s.Modules {
		s.Modules[i].Duration.Buckets = nil
	}
	same(t, "modules", s.Modules, []report.Module{
		// 10 s from 01:10:00 to 01:10:10, and 40 s.
		{Module: "data", Direction: "receive", Executions: 2, Sessions: byName{"ok": 2}, Sent: 150, Received: 600, Listed: 700,
			Files: 2, Deleted: 1, Duration: report.Duration{N: 2, Sum: 50, P50: 10, P90: 40, Max: 40}},
		{Sessions: byName{"listing": 1}},
		{Module: "pub", Sessions: byName{"rejected": 1}},
		// 01:10:04 to 01:10:14.
		{Module: "pub", Direction: "send", Executions: 1, Sessions: byName{"aborted": 1}, Files: 1,
			Duration: report.Duration{N: 1, Sum: 10, P50: 10, P90: 10, Max: 10}},
	})
	same(t, "families", s.Families, map[string]report.Volume{
		"ipv4": {Sessions: 4, Sent: 150, Received: 600}, "ipv6": {Sessions: 1}, "unknown": {}})
	same(t, "users", s.Users, []report.User{
		// 02:30:40 is 25 h 20 min 30 s after 01:10:10: 91,230 s.
		{Module: "data", User: "anna", Direction: "receive", FirstSeen: "2026-11-23T01:10:10Z", FirstOK: "2026-11-23T01:10:10Z",
			LastSuccess: "2026-11-24T02:30:40Z", LastAttempt: "2026-11-24T02:30:40Z", LongestGap: 91230,
			GapFrom: "2026-11-23T01:10:10Z", Listed: 350, Sessions: byName{"ok": 2},
			Volume: report.Volume{Sessions: 2, Sent: 150, Received: 600}},
		{Module: "pub", Direction: "send", FirstSeen: "2026-11-23T01:10:14Z", LastAttempt: "2026-11-23T01:10:14Z",
			Sessions: byName{"aborted": 1}, Volume: report.Volume{Sessions: 1}},
	})
	if len(s.Expect) > 0 {
		t.Errorf("two successes suggest %v", s.Expect)
	}
	checkSmallTimes(t, s)
}

func checkSmallTimes(t *testing.T, s *report.Summary) {
	var heat [7][24]report.Hour
	heat[0][1] = report.Hour{Sessions: 2, Sent: 90, Received: 400}
	heat[0][2] = report.Hour{Sessions: 2}
	heat[1][2] = report.Hour{Sessions: 1, Sent: 60, Received: 200}
	same(t, "heat", s.Heat, heat)
	var hours [24]report.Hour
	hours[1], hours[2] = heat[0][1], report.Hour{Sessions: 3, Sent: 60, Received: 200}
	same(t, "hours", s.Hours, hours)
	same(t, "days", s.Days, []report.Day{
		{Date: "2026-11-23", Volume: report.Volume{Sessions: 4, Sent: 90, Received: 400}, Failed: 1, Rejected: 1, Peak: 2},
		{Date: "2026-11-24", Volume: report.Volume{Sessions: 1, Sent: 60, Received: 200}, Peak: 1}})
	// Between 1:00 on one day and 2:30 on the next nothing ends at 0, 3, 4 ... o'clock; 0 is the first of these.
	same(t, "quietest", s.Quietest, report.QuietHour{})
	// The log has 91,840 s. One transfer ran from 01:10:01 to 01:10:10, one from 01:10:05 to 01:10:14, one for 40 s.
	same(t, "saturation", s.Saturation, []report.Saturation{
		{Module: "data", Peak: 1, PeakAt: "2026-11-23T01:10:01Z", Begun: []uint64{2}, SecondsAt: []float64{91840 - 49, 49}},
		{Module: "pub", Refused: 1, Peak: 1, PeakAt: "2026-11-23T01:10:05Z", Begun: []uint64{1},
			SecondsAt: []float64{91840 - 9, 9}}})
	same(t, "samples", s.Samples, []report.Sample{
		{File: "log0.0", Line: 13, Why: "implausible: transfer", Text: "del. UNKNOWN [2001:db8::7] pub () forged 0"},
		{File: "log0.0", Line: 23, Why: "unrecognised", Text: "what is this, 1"},
		{File: "log0.0", Line: 25, Why: "discarded: empty"}})
}
