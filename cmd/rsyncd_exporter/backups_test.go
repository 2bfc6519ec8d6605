package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/status/api"
)

// backupsServer answers /api/v1/backups, and nothing else.
func backupsServer(t *testing.T, answer api.Backups) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/backups", func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// askBackups runs the command and returns its exit status and what it wrote.
func askBackups(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	return runProgram(t, append([]string{"backups"}, args...)...)
}

func someBackups() api.Backups {
	came := time.Date(2026, 2, 2, 3, 0, 0, 0, time.UTC)
	due, overdue, age := came.Add(24*time.Hour), came.Add(26*time.Hour), 3600.0
	return api.Backups{
		Backups: []api.Backup{
			{Name: "old", State: "overdue", Alarm: 2, Why: "the last success was 1 day 2 h ago", LastSuccess: &came, Age: &age, Listed: 3 << 30},
			{Name: "new", State: "never", Alarm: 1, Why: "none has come yet; overdue in 14 h"},
			{Name: "slow", State: "late", Alarm: 1, Why: "due | for 0 s"},
			{Name: "data@alice", State: "ok", Why: "came 1 h ago", LastSuccess: &came, Due: &due, Overdue: &overdue, MaxAge: 26 * 3600,
				Age: &age, Listed: 1536, Files: 7, Duration: 60.4},
			{Name: "\x1b[31m\u202e|evil\n日本語", State: "paused", Why: "\x07"},
		},
		States: map[string]int{"overdue": 1, "never": 1, "late": 1, "ok": 1, "paused": 1},
	}
}

func TestBackupsForPeople(t *testing.T) {
	url := backupsServer(t, someBackups())
	status, out, stderr := askBackups(t, "--url="+url)
	want := `5 expected: 1 ok, 1 late, 1 overdue, 1 never, 1 paused

STATE    BACKUP                          SIZE  WHY
overdue  old                         3.00 GiB  the last success was 1 day 2 h
                                               ago
never    new                                   none has come yet; overdue in 14
                                               h
late     slow                                  due | for 0 s
ok       data@alice                  1.50 KiB  came 1 h ago
paused   \x1b[31m\u202e|evil\n日本…            \a
`
	some := someBackups()
	if got := backupsTable(&some, 80); got != want {
		t.Errorf("in 80 columns:\n%s\nwant:\n%s", got, want)
	}
	// in a pipe nothing is cut, and each backup is a line
	if lines := strings.Split(out, "\n"); status != exitFailure || stderr != "" || len(lines) != 9 ||
		!strings.HasSuffix(lines[3], "  the last success was 1 day 2 h ago") || !strings.HasPrefix(lines[7], `paused   \x1b[31m\u202e|evil\n日本語  `) {
		t.Errorf("exit status %d, stderr %q, stdout:\n%s", status, stderr, out)
	}
	long := api.Backups{Backups: []api.Backup{{Name: strings.Repeat("n", 50), State: "ok", Why: strings.Repeat("because of this ", 9)}}}
	for _, line := range strings.Split(backupsTable(&long, 60), "\n") {
		if len([]rune(line)) > 60 {
			t.Errorf("%q has more than 60 columns", line)
		}
	}
	status, out, _ = askBackups(t, "--url="+backupsServer(t, api.Backups{}))
	if status != exitOK || !strings.HasPrefix(out, "No backup is expected") {
		t.Errorf("exit status %d: %s", status, out)
	}
	status, out, _ = askBackups(t, "--json", "--url="+url+"/")
	var got api.Backups
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != exitFailure || len(got.Backups) != 5 || got.Backups[3].Files != 7 {
		t.Errorf("exit status %d, %v: %s", status, err, out)
	}
}

// STATUS_PAGE=public says of no backup why it is in its state. It is listed all the same.
func TestBackupsThatNobodySaysWhyOf(t *testing.T) {
	public := api.Backups{
		Backups: []api.Backup{{Name: "data", State: "overdue", Alarm: 2}, {Name: "www", State: "ok"}}, States: map[string]int{"overdue": 1, "ok": 1},
	}
	const want = "2 expected: 1 ok, 1 overdue\n\nSTATE    BACKUP  SIZE  WHY\noverdue  data\nok       www\n"
	if got := backupsTable(&public, 80); got != want {
		t.Errorf("%s\nwant:\n%s", got, want)
	}
	_, out, _ := askBackups(t, "--nagios=data", "--url="+backupsServer(t, public))
	if want := "BACKUP CRITICAL - data: overdue | age=U;;;0 bytes=0B files=0 duration=0s\n"; out != want {
		t.Errorf("%s\nwant:\n%s", out, want)
	}
}

// While the exporter still reads what was logged while it was down, one that came then may seem to be overdue.
func TestBackupsOfABacklog(t *testing.T) {
	some := someBackups()
	some.Waiting = "reading what was logged: 5 bytes to go"
	const note = "The exporter is reading what was logged: 5 bytes to go. What came meanwhile may not be known yet.\n\n5 expected: "
	if got := backupsTable(&some, 0); !strings.HasPrefix(got, note) {
		t.Errorf("%s\nwant %s", got, note)
	}
	url := backupsServer(t, some)
	for _, name := range []string{"old", "data@alice"} {
		status, out, _ := askBackups(t, "--nagios="+name, "--url="+url)
		if want := "BACKUP UNKNOWN - " + name + ": the exporter is reading what was logged: 5 bytes to go\n"; status != nagiosUnknown || out != want {
			t.Errorf("exit status %d: %s\nwant %s", status, out, want)
		}
	}
}

func TestBackupsForNagios(t *testing.T) {
	url := backupsServer(t, someBackups())
	for _, c := range []struct {
		name   string
		status int
		want   string
	}{
		{"data@alice", 0, "BACKUP OK - data@alice: ok, came 1 h ago | age=3600s;86400;93600;0 bytes=1536B files=7 duration=60s\n"},
		{"new", 1, "BACKUP WARNING - new: never, none has come yet; overdue in 14 h | age=U;;;0 bytes=0B files=0 duration=0s\n"},
		{"slow", 1, "BACKUP WARNING - slow: late, due / for 0 s | age=U;;;0 bytes=0B files=0 duration=0s\n"},
		{"old", 2, "BACKUP CRITICAL - old: overdue, the last success was 1 day 2 h ago | age=3600s;;;0 bytes=3221225472B files=0 duration=0s\n"},
		{"data@alicf", 3, "BACKUP UNKNOWN - data@alicf: no such backup is expected (did you mean data@alice?)\n"},
		{"\x1b|\n", 3, `BACKUP UNKNOWN - \x1b/\n: no such backup is expected` + "\n"},
	} {
		status, out, stderr := askBackups(t, "--url="+url, "--nagios="+c.name)
		if status != c.status || out != c.want || stderr != "" {
			t.Errorf("%q: exit status %d, stderr %q, stdout:\n%swant %d:\n%s", c.name, status, stderr, out, c.status, c.want)
		}
	}
	for _, args := range [][]string{{"--url=http://127.0.0.1:1"}, {"--url=" + url + "/absent"}, {"--url=:"}, {"--absent"}} {
		if status, out, _ := askBackups(t, append(args, "--nagios=x")...); status != nagiosUnknown || !strings.HasPrefix(out, "BACKUP UNKNOWN - ") {
			t.Errorf("%q: exit status %d: %s", args, status, out)
		}
	}
	if status, out, _ := askBackups(t, "--nagios=", "--url="+url); status != nagiosUnknown || !strings.Contains(out, "no such backup") {
		t.Errorf("no name: exit status %d: %s", status, out)
	}
	newer := api.Backups{Backups: []api.Backup{{Name: "x", Alarm: 9}}}
	if status, out, _ := askBackups(t, "--nagios=x", "--url="+backupsServer(t, newer)); status != nagiosUnknown {
		t.Errorf("an alarm of another version: exit status %d: %s", status, out)
	}
}

func TestBackupsThatCanNotBeAsked(t *testing.T) {
	garbage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }))
	defer garbage.Close()
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--url=http://127.0.0.1:1"}, exitFailure, "connection refused"},
		{[]string{"--url=" + garbage.URL}, exitFailure, "the answer is no JSON"},
		{[]string{"--url=" + backupsServer(t, api.Backups{}) + "/absent"}, exitFailure, "it has no status page"},
		{[]string{"extra"}, exitUsage, `unexpected argument "extra"`},
		{[]string{"--absent"}, exitUsage, "absent"},
	} {
		if status, out, stderr := askBackups(t, c.args...); status != c.status || !strings.Contains(stderr, c.want) || out != "" {
			t.Errorf("%q: exit status %d, %q, %q; want %d, %q", c.args, status, out, stderr, c.status, c.want)
		}
	}
	if status, out, _ := askBackups(t, "--help"); status != exitOK || out != backupsUsage {
		t.Errorf("help: exit status %d: %s", status, out)
	}
}
