package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/internal/testenv"
)

// What check opens for a moment must not depend on what else runs on this machine.
const anyHTTP, anyUDP = "HTTP_LISTEN=127.0.0.1:0", "LISTEN_UDP=127.0.0.1:0"

func TestCheckShowsTheSettingsInForce(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "rsyncd.conf")
	testenv.WriteFile(t, conf, "[mirror]\nlog format = %o %f %b\n[two words]\n[bad]\nlog format = %l%b\n[doubtful]\nlog format = %f %l\n[units]\nlog format = %o %f %''l\n")
	testenv.SetEnv(t, "RSYNCD_CONF="+conf, "MAX_SERIES=500", anyHTTP)
	status, out, errs := runProgram(t, "check", "-p", "/var/log/nothing.log", "--log-level=debug", "--expect=mirror@alice,www<8d")
	if status != exitOK || errs != "" || !strings.HasSuffix(out, "\nok\n") {
		t.Errorf("status %d, stdout %q, stderr %q", status, out, errs)
	}
	var got []string
	for line := range strings.Lines(out) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		"LISTEN_UDP off -p",
		"FILE /var/log/nothing.log -p",
		"MAX_SERIES 500 RSYNCD_EXPORTER_MAX_SERIES",
		"LOG_LEVEL debug --log-level",
		"SESSION_TTL 24h default",
		`module mirror with log format "%o %f %b"`,
		"module two words",
		"module bad",
		`module doubtful with log format "%f %l"`,
		"expected mirror@alice: a push to module mirror by user alice, every 1 day 2 h",
		"expected www: a push to module www, every 8 days",
		"warning: backup www is expected in module www, which RSYNCD_CONF and MODULES don't have",
		`warning: RSYNCD_CONF="` + conf + `" (from RSYNCD_EXPORTER_RSYNCD_CONF), module bad: log format "%l%b", column 3: "%l" and "%b" ` +
			"run into each other, so that a number can't be told from its neighbour; put a space between them; LOG_FORMAT is taken instead",
		`warning: RSYNCD_CONF="` + conf + `" (from RSYNCD_EXPORTER_RSYNCD_CONF), module doubtful: log format "%f %l", column 1: ` +
			"%f begins the line, so that a file's name can look like another line; put %o at the beginning",
		`warning: RSYNCD_CONF="` + conf + `" (from RSYNCD_EXPORTER_RSYNCD_CONF), module units: log format "%o %f %''l", column 7: ` +
			"%''l is rounded to a unit (1.00K), which is no byte count, and isn't used; write %l",
		`warning: FILE="/var/log/nothing.log" (from -p): it doesn't exist yet, and is followed once it does`,
	} {
		if !strings.Contains("\n"+all+"\n", "\n"+want+"\n") {
			t.Errorf("no line %q in\n%s", want, all)
		}
	}
}

// check says when a scheduled run is due next: in the schedule's zone, where the clocks are put forward past 02:30 that night.
func TestCheckSaysWhenABackupIsDue(t *testing.T) {
	var out strings.Builder
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	schedule, err := backups.ParseSchedule("30 2 * * *", berlin)
	if err != nil {
		t.Fatal(err)
	}
	e := backups.Expectation{Name: "data", Identity: backups.Identity{Module: "data"}, Schedule: schedule, Calendar: backups.Calendar{Zone: berlin}}
	paused := e
	paused.Paused = true
	printExpected(&out, []backups.Expectation{e, paused}, time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC))
	const begin = `expected data: a push to module data, due at "30 2 * * *" Europe/Berlin`
	if want := begin + ": next on Sun 2026-03-29 03:00 CEST\n" + begin + ", paused\n"; out.String() != want {
		t.Errorf("%s\nwant %s", out.String(), want)
	}
}

func TestCheckShowsEveryProblem(t *testing.T) {
	testenv.SetEnv(t, "MAX_SERIES=many", "LISTEN_TCP=x")
	status, out, errs := runProgram(t, "check", "--nosuch")
	if status != exitUsage || out != "" || strings.Count(errs, "\n") != 3 {
		t.Errorf("status %d, stdout %q, stderr %q; want %d and three problems", status, out, errs, exitUsage)
	}
}

// Before it is a problem of serve: a web configuration file that the toolkit refuses.
func TestCheckLooksIntoTheWebConfig(t *testing.T) {
	testenv.SetEnv(t, anyHTTP, anyUDP)
	path, _ := testenv.WebConfig(t, false, false, "basic_auth_users:\n  prometheus: not a hash\n")
	if status, _, errs := runProgram(t, "check", "--web-config", path); status != exitUsage || !strings.Contains(errs, `WEB_CONFIG="`+path+`" (from --web-config): crypto/bcrypt`) {
		t.Errorf("a password that is no hash: status %d, %q", status, errs)
	}
	path, _ = testenv.WebConfig(t, true, true, "")
	if status, _, errs := runProgram(t, "check", "--web-config", path); status != exitOK {
		t.Errorf("a good file: status %d, %q", status, errs)
	}
}

// What a pattern matches now is shown, and what it had better not match; a file named twice is a warning; what -p names is no pattern.
func TestCheckShowsWhatPatternsMatch(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.log", "b.log", "b.log.1", "b.log.2.gz", "odd[1]"} {
		testenv.WriteFile(t, filepath.Join(dir, name), "")
	}
	if err := os.Link(filepath.Join(dir, "a.log"), filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour) // before b.log was made
	if err := os.Chtimes(filepath.Join(dir, "b.log.1"), long, long); err != nil {
		t.Fatal(err)
	}
	testenv.SetEnv(t, anyHTTP, "FILE="+dir+"/?.log*,"+dir+"/nothing*,"+dir+"/a.log,"+dir+"/c")
	status, out, errs := runProgram(t, "check", "-p", dir+"/odd[1]")
	if status != exitOK || errs != "" {
		t.Fatalf("status %d, stderr %q", status, errs)
	}
	for _, want := range []string{
		"file " + dir + "/?.log*: 2 now\n  " + dir + "/a.log\n  " + dir + "/b.log\n",
		"file " + dir + "/nothing*: 0 now\n",
		`nothing*" (from RSYNCD_EXPORTER_FILE and -p): no file matches it yet; those that come are followed`,
		`it matches names of rotated or compressed files, "` + dir + `/b.log.1" and so on`,
		`it is the same file as "` + dir + `/a.log", which counts once; name one of them`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "odd") && strings.Contains(out, "odd[1]\" (from -p)") {
		t.Errorf("the file of -p is there, but taken for a pattern:\n%s", out)
	}
}

// Every form of a file that is read by itself is understood by check, too, and log lines inside messages with their setting.
func TestCheckFileOfEveryForm(t *testing.T) {
	testenv.SetEnv(t)
	names, err := filepath.Glob(filepath.Join(sourceDir(t), "../../testdata/forms/*.[lj][os]*"))
	if err != nil || len(names) < 40 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		var args []string
		switch base := filepath.Base(name); {
		case base == "imfile.log":
			args = []string{"--syslog-log-lines=yes"}
		case base == "journal-with-unit.log":
			args = []string{"--tags=rsync.service"}
		}
		if status, out, errs := runProgram(t, append(append([]string{"check"}, args...), name)...); status != exitOK {
			t.Errorf("%s: status %d\n%s%s", name, status, out, errs)
		}
	}
}

// Names that others have chosen don't reach a terminal as they are.
func TestCheckEscapesNames(t *testing.T) {
	testenv.SetEnv(t)
	name := filepath.Join(t.TempDir(), "x\x1b[31m\nX")
	status, out, errs := runProgram(t, "check", name)
	if status != exitFailure || strings.Count(errs, "\n") != 1 || strings.Contains(out+errs, "\x1b") || !strings.Contains(errs, `x\x1b[31m\nX`) {
		t.Errorf("status %d, stdout %q, stderr %q", status, out, errs)
	}
}

// A pattern that the shell has expanded is told of.
func TestUnquotedPattern(t *testing.T) {
	testenv.SetEnv(t)
	dir := t.TempDir()
	for _, name := range []string{"a.log", "b.log"} {
		testenv.WriteFile(t, filepath.Join(dir, name), "")
	}
	status, _, errs := runProgram(t, "serve", "-p", filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log"))
	if status != exitUsage || !strings.Contains(errs, "a pattern of files takes quotation marks") {
		t.Errorf("status %d, stderr %q", status, errs)
	}
}
