package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/report"
)

// The days of a pull and of a push that failed: 100 and 7 bytes sent, 20 and 3 received.
const twoDays = `2026/11/22 10:00:00 [1] connect from a.example (192.0.2.1)
2026/11/22 10:00:00 [1] rsync on data/ from a.example (192.0.2.1)
2026/11/22 10:00:05 [1] sent 100 bytes  received 20 bytes  total size 3000
2026/11/23 11:00:00 [2] connect from b.example (2001:db8::2)
2026/11/23 11:00:00 [2] rsync allowed access on module in from b.example (2001:db8::2)
2026/11/23 11:00:00 [2] rsync to in/ from nas@b.example (2001:db8::2)
2026/11/23 11:00:09 [2] sent 7 bytes  received 3 bytes  total size 50
2026/11/23 11:00:09 [2] rsync error: some files could not be transferred (code 23) at main.c(1) [receiver=3.2.7]
2026/11/23 11:30:00 [3] what is this?
`

// runOld runs a command and returns its exit status and output.
func runOld(t *testing.T, stdin string, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(context.Background(), args, strings.NewReader(stdin), &o, &e)
	return status, o.String(), e.String()
}

func summaryOf(t *testing.T, out string) *report.Summary {
	t.Helper()
	s, err := report.ReadSummary(strings.NewReader(out))
	if err != nil {
		t.Fatalf("%v in %.400s", err, out)
	}
	return s
}

func TestReportCounts(t *testing.T) {
	status, out, errs := runOld(t, twoDays, "report", "--json", "--timezone=UTC", "-")
	s := summaryOf(t, out)
	if status != exitOK || errs != "" || s.Lines != 9 || s.Unrecognised != 1 || s.Sent != 107 || s.Received != 23 ||
		s.Sessions["ok"] != 1 || s.Sessions["partial"] != 1 || s.Errors["23"] != 1 || len(s.Days) != 2 {
		t.Errorf("%d, %q: %+v", status, errs, s)
	}
	for _, c := range []struct {
		args []string
		sent uint64
	}{
		{[]string{"--since=2026-11-23"}, 7},
		{[]string{"--until=2026-11-22"}, 100}, // the whole day
		{[]string{"--since=2026-11-22 10:00:06", "--until", "2026-11-23T11:00:09Z"}, 0},
		{[]string{"--direction=send"}, 100},
		{[]string{"--client=2001:db8::/32"}, 7},
		{[]string{"--client=192.0.2.1"}, 100},
		{[]string{"--user=nas"}, 7},
		{[]string{"--module=in"}, 7},
	} {
		_, out, _ := runOld(t, twoDays, append([]string{"report", "--json", "--timezone=UTC", "-"}, c.args...)...)
		if s := summaryOf(t, out); s.Sent != c.sent {
			t.Errorf("%q: sent %d, want %d", c.args, s.Sent, c.sent)
		}
	}
}

// Each form has the bytes sent, 107; what excludes one another, or is wrong, is said at once.
func TestReportForms(t *testing.T) {
	dir := t.TempDir()
	for _, form := range []string{"--json", "--html", "--text", "--top=3", "--csv=" + dir} {
		status, out, errs := runOld(t, twoDays, "report", form, "-")
		if form == "--csv="+dir {
			b, err := os.ReadFile(filepath.Join(dir, "modules.csv"))
			if err != nil {
				t.Fatal(err)
			}
			out = string(b)
		}
		if status != exitOK || errs != "" || !strings.Contains(out, "100") {
			t.Errorf("%s: %d, %q, %.300q", form, status, errs, out)
		}
	}
	status, _, errs := runOld(t, "", "report", "--json", "--html", "--top=0", "--since=tomorrow", "--direction=up", "--zone=x")
	for _, want := range []string{"--zone=x is unknown"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q lacks %q", errs, want)
		}
	}
	if status != exitUsage {
		t.Errorf("status %d", status)
	}
	status, _, errs = runOld(t, "", "report", "--json", "--html", "--top=0", "--since=tomorrow", "--direction=up")
	for _, want := range []string{"exclude each other", `--top="0"`, `--since="tomorrow"`, `--direction="up"`, "no log is named"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q lacks %q", errs, want)
		}
	}
	if status != exitUsage {
		t.Errorf("status %d", status)
	}
}

// What can't be read is named, and the rest is counted.
func TestReportOfBrokenFiles(t *testing.T) {
	dir := t.TempDir()
	good, torn := filepath.Join(dir, "good"), filepath.Join(dir, "torn.gz")
	for path, text := range map[string]string{good: twoDays, torn: "\x1f\x8b\x08\x00"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status, out, errs := runOld(t, "", "report", "--json", good, torn, filepath.Join(dir, "missing"))
	s := summaryOf(t, out)
	if status != exitUsage || strings.Count(errs, "\n") != 2 || !strings.Contains(errs, "missing") || s.Lines != 9 {
		t.Errorf("%d, %q", status, errs)
	}
	why := map[string]string{}
	for _, f := range s.Files {
		why[f.Path] = f.Error
	}
	if len(why) != 3 || why[good] != "" || why[torn] == "" || why[filepath.Join(dir, "missing")] == "" {
		t.Errorf("the report doesn't say which files are missing in it: %+v", s.Files)
	}
	_, out, _ = runOld(t, "", "report", "--text", good, torn, filepath.Join(dir, "missing"))
	for _, want := range []string{"2 files could not be read", "no such file or directory"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
}

// Whoever interrupts it when the last line has been read gets the report.
func TestAReportIsInterruptedAtItsEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs bytes.Buffer
	if status := run(ctx, []string{"report", "--json", "/nonexistent"}, strings.NewReader(""), &out, &errs); status != exitUsage ||
		summaryOf(t, out.String()).Interrupted {
		t.Errorf("%d, %q", status, errs.String())
	}
}

func TestReportMerge(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i, part := range []string{twoDays[:strings.Index(twoDays, "2026/11/23")], twoDays[strings.Index(twoDays, "2026/11/23"):]} {
		_, out, _ := runOld(t, part, "report", "--json", "--timezone=UTC", "-")
		paths = append(paths, filepath.Join(dir, string(rune('A'+i))))
		if err := os.WriteFile(paths[i], []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status, out, errs := runOld(t, "", append([]string{"report", "--merge", "--json"}, paths...)...)
	if s := summaryOf(t, out); status != exitOK || errs != "" || s.Sent != 107 || s.Lines != 9 || len(s.Days) != 2 {
		t.Errorf("%d, %q, %+v", status, errs, s)
	}
	if status, out, _ := runOld(t, "", "report", "--merge", paths[0], filepath.Join(dir, "missing")); status != exitUsage || out != "" {
		t.Errorf("a sum without a part: %d, %.100q", status, out)
	}
}

func TestReportCompares(t *testing.T) {
	_, out, errs := runOld(t, twoDays, "report", "--json", "--timezone=UTC", "--since=2026-11-23", "--until=2026-11-23", "--compare", "-")
	s := summaryOf(t, out)
	if errs != "" || s.Compare == nil || s.Compare.Before.Sent != 100 || s.Sent != 7 || s.Compare.From != "2026-11-22T00:00:00Z" {
		t.Errorf("%q: %+v", errs, s.Compare)
	}
}

// The pull came from 192.0.2.1, the push from an address that neither the group nor the database has: 100 and 7 bytes sent.
func TestReportOfGroupsAndPlaces(t *testing.T) {
	db := testenv.WriteMMDB(t, "GeoLite2-Country", testenv.Country("DE"))
	args := []string{"report", "--json", "--client-groups=office=192.0.2.0/24", "--geoip-db=" + db, "-"}
	_, out, errs := runOld(t, twoDays, args...)
	s := summaryOf(t, out)
	if errs != "" || s.Groups["office"].Sent != 100 || s.Groups["other"].Sent != 7 || s.Places["DE"].Sent != 100 ||
		s.Places["unknown"].Sent != 7 || s.Clients[0].Group != "office" || s.Clients[0].Place != "DE" {
		t.Errorf("%q: %v, %v, %+v", errs, s.Groups, s.Places, s.Clients)
	}
	_, later, _ := runOld(t, strings.ReplaceAll(twoDays, "2026/11/", "2026/10/"), args...)
	var paths []string
	for _, part := range []string{out, later} {
		paths = append(paths, filepath.Join(t.TempDir(), "part"))
		if err := os.WriteFile(paths[len(paths)-1], []byte(part), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, out, errs = runOld(t, "", append([]string{"report", "--json", "--merge"}, paths...)...)
	if s := summaryOf(t, out); errs != "" || s.Groups["office"].Sent != 200 || s.Places["unknown"].Sent != 14 {
		t.Errorf("%q: %v, %v", errs, s.Groups, s.Places)
	}
	if status, _, errs := runOld(t, twoDays, "report", "--geoip-db=/nowhere.mmdb", "-"); status != exitUsage ||
		!strings.Contains(errs, "GEOIP_DB") || !strings.Contains(errs, "/nowhere.mmdb") {
		t.Errorf("%d, %q", status, errs)
	}
}

// FILE_HOST gives the lines of a log their host.
func TestBackfillNamesTheHostOfAFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nas")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "rsyncd.log")
	if err := os.WriteFile(path, []byte(twoDays), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, errs := runOld(t, "", "backfill", "--file-host=/(?P<host>[^/]+)/rsyncd.log", "--step=5m", path)
	if status != exitOK || errs != "" || !strings.Contains(out, `rsync_connections_total{host="nas"} 2`) {
		t.Errorf("%d, %q, %.300q", status, errs, out)
	}
}

func TestParseWhen(t *testing.T) {
	zone := time.FixedZone("", 3600)
	now := time.Date(2026, 11, 23, 18, 0, 0, 0, zone)
	for s, want := range map[string]string{
		"":                     "0001-01-01T00:00:00Z",
		"7d":                   "2026-11-16T18:00:00+01:00",
		"12h":                  "2026-11-23T06:00:00+01:00",
		"2w":                   "2026-11-09T18:00:00+01:00",
		"90m":                  "2026-11-23T16:30:00+01:00",
		"2026-11-20":           "2026-11-21T00:00:00+01:00",
		"2026-11-20 10:00":     "2026-11-20T10:00:00+01:00",
		"2026-11-20T10:00:00Z": "2026-11-20T10:00:00Z",
		"-3d":                  "",
		"d":                    "",
		"9000000000h":          "",
		"yesterday":            "",
	} {
		got, err := parseWhen(s, now, zone, true)
		if (want == "") != (err != nil) || err == nil && got.Format(time.RFC3339) != want {
			t.Errorf("%q: %v, %v; want %s", s, got, err, want)
		}
	}
}

// Whatever rsyncd has logged in the corpus: the report is whole, and the same twice.
func TestReportOfCorpus(t *testing.T) {
	for _, path := range corpus.Files(t, "file/*.log")[:8] {
		_, first, errs := runOld(t, "", "report", "--json", path)
		_, second, _ := runOld(t, "", "report", "--json", path)
		var all map[string]any
		if err := json.Unmarshal([]byte(first), &all); err != nil || errs != "" || first != second {
			t.Errorf("%s: %v, %q, the same twice: %v", path, err, errs, first == second)
		}
		keys := []string{"from", "to", "lines", "unrecognised", "ignored", "discarded", "connections", "executions", "module_lists",
			"daemon_starts", "sent_bytes", "received_bytes", "listed_bytes", "sessions", "errors", "file_errors", "rejected", "files",
			"file_bytes", "modules", "clients", "clients_rest", "families", "users", "hours", "days"}
		if i := slices.IndexFunc(keys, func(k string) bool { return all[k] == nil }); i >= 0 {
			t.Errorf("%s: no %q", path, keys[i])
		}
	}
}

// With ANONYMISE no form of a report names a client, whether it comes from a log or from a report that names them.
func TestAnonymousReports(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "rsyncd.log")
	text := twoDays + "2026/11/23 11:31:00 [4] connect from a.example (192.0.2.1)\n" +
		"2026/11/23 11:31:00 [4] rsync on data/ from a.example (192.0.2.1)\n" +
		strings.Repeat("2026/11/23 11:31:01 [4] send a.example [192.0.2.1] data () same 900\n", 3) +
		"2026/11/23 11:31:02 [5] nobody knows 192.0.2.1 of a.example\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, named, _ := runOld(t, "", "report", "--json", log)
	saved := filepath.Join(dir, "named.json")
	if err := os.WriteFile(saved, []byte(named), 0o600); err != nil {
		t.Fatal(err)
	}
	csv := filepath.Join(dir, "csv")
	forms := map[string]string{"named": named}
	for name, args := range map[string][]string{
		"terminal": {log}, "text": {"--text", log}, "json": {"--json", log}, "html": {"--html", log},
		"csv": {"--csv=" + csv, log}, "merged": {"--merge", "--json", saved}, "chosen": {"--client=192.0.2.1", "--json", log},
		"compared": {"--since=2026-11-23", "--until=2026-11-23", "--compare", log},
	} {
		status, out, errs := runOld(t, "", append([]string{"report", "--anonymise=on", "--timezone=UTC"}, args...)...)
		if status != exitOK || errs != "" {
			t.Fatalf("%s: status %d, %s", name, status, errs)
		}
		forms[name] = out
	}
	tables, err := filepath.Glob(filepath.Join(csv, "*"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("%v, %v", tables, err)
	}
	for _, table := range tables {
		b, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		forms["csv"] += string(b)
	}
	for name, out := range forms {
		shown := strings.Contains(out, "192.0.2.1") || strings.Contains(out, "a.example") || strings.Contains(out, "2001:db8::2")
		if shown != (name == "named") || name != "named" && !strings.Contains(out, "192.0.2.0/24") {
			t.Errorf("%s: names clients: %v\n%s", name, shown, out)
		}
	}
	// 192.0.2.0/24 had one session of 100 and 20 bytes, and one that was given up.
	for _, name := range []string{"json", "merged"} {
		s := summaryOf(t, forms[name])
		i := slices.IndexFunc(s.Clients, func(c report.Client) bool { return c.Client == "192.0.2.0/24" })
		if i < 0 || s.Clients[i].Sent != 100 || s.Clients[i].Received != 20 || s.Clients[i].Error != nil || len(s.Clients) != 2 ||
			len(s.Waste.Clients) != 1 || s.Waste.Clients[0].Client != "192.0.2.0/24" || s.Waste.Clients[0].Bytes != 1800 {
			t.Errorf("%s: clients %+v, waste %+v", name, s.Clients, s.Waste.Clients)
		}
	}
}
