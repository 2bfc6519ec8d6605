package config_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests name zones

	"rsyncd_exporter/backups"
	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/rsynclog"
)

// expectFile returns the flag for an EXPECT_FILE with a text.
func expectFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "expect.yml")
	testenv.WriteFile(t, path, text)
	return "--expect-file=" + path
}

func TestExpectFile(t *testing.T) {
	testenv.SetEnv(t)
	cfg := load(t, expectFile(t, `
backups:
  - name: alice, nightly
    module: data
    user: alice
    client: 192.0.2.0/24
    host: vault
    schedule: "30 2 * * *"
    timezone: Europe/Berlin
    grace: 3h
    bytes: 10GiB
    files: 1
    partial: true
    weekdays: [mon-thu, Saturday]
    windows:
      - {days: sun, from: "22:00", to: "04:00"}
      - {from: 2026-12-24, to: 2026-12-26}
      - {from: "2026-05-01 18:00", to: "2026-05-02 06:00"}
  - module: www
    client: PC.example.org
    direction: send
    every: 7d
    grace: 0s
    paused: true
`))
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Expected) != 2 {
		t.Fatalf("%+v", cfg.Expected)
	}
	nightly := cfg.Expected[0]
	if got := nightly.Schedule.Next(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)); !got.Equal(time.Date(2026, 7, 2, 0, 30, 0, 0, time.UTC)) {
		t.Errorf("the next run is due at %v", got)
	}
	nightly.Schedule = nil
	want := []backups.Expectation{{
		Name: "alice, nightly", Grace: 3 * time.Hour, Bytes: 10 << 30, Files: 1, Partial: true,
		Identity: backups.Identity{Module: "data", User: "alice", Client: "192.0.2.0/24", Host: "vault", Direction: rsynclog.Receive},
		Client:   backups.Client{Network: netip.MustParsePrefix("192.0.2.0/24")},
		Calendar: backups.Calendar{Zone: berlin, Days: 0b1011110, Windows: []backups.Window{
			{Days: 1, From: 22 * 60, To: 4 * 60},
			{Begin: time.Date(2026, 12, 24, 0, 0, 0, 0, berlin), End: time.Date(2026, 12, 27, 0, 0, 0, 0, berlin)},
			{Begin: time.Date(2026, 5, 1, 18, 0, 0, 0, berlin), End: time.Date(2026, 5, 2, 6, 0, 0, 0, berlin)},
		}},
	}, {
		Name: "www", Every: 7 * 24 * time.Hour, Paused: true, Client: backups.Client{Name: "PC.example.org"},
		Identity: backups.Identity{Module: "www", Client: "PC.example.org", Direction: rsynclog.Send},
		Calendar: backups.Calendar{Zone: time.Local},
	}}
	if got := []backups.Expectation{nightly, cfg.Expected[1]}; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// The example of docs/backups.md is one that works.
func TestExpectFileOfTheDocuments(t *testing.T) {
	testenv.SetEnv(t)
	page, err := os.ReadFile("../../docs/backups.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\nbackups:\n")
	example, _, _ := strings.Cut(rest, "```")
	cfg := load(t, expectFile(t, "backups:\n"+example))
	var got []string
	for _, e := range cfg.Expected {
		got = append(got, e.String())
	}
	want := []string{
		`alice's database: a push to module data by user alice from 192.0.2.0/24 on host vault1, due at "30 1 * * *" Europe/Berlin, with a grace of 3 h, ` +
			"of at least 10.0 GiB, on Mon Tue Wed Thu Fri, outside of 2 windows",
		"mirror: a pull from module mirror, every 7 days, with a grace of 1 h, of at least 1 file, partial is enough, paused",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// All that is wrong is told at once, each with its line.
func TestWhatIsWrongWithAnExpectFile(t *testing.T) {
	testenv.SetEnv(t)
	flag := expectFile(t, `backups:
- modul: data
  every: often
- module: data
  every: 1d
  schedule: "0 2 * * *"
- {module: www, every: 1d}
- {module: www, user: a, every: 1d, name: www}
- {module: www, every: 2d, name: again}
- module: a
  schedule: "0 2 30 2 *"
- module: b
  every: 26h
  every: 27h
  timezone: Europe/Bärlin
  client: 192.0.2.7/24
  direction: both
  bytes: lots
  files: -1
  paused: yes
  weekdays: [mon, someday]
  windows:
  - {from: "02:00"}
  - {from: "02:00", to: "02:00"}
  - {from: 2026-12-26, to: 2026-12-24}
  - {from: 2026-12-24, to: 2026-12-26, days: mon}
- just a text
- {module: c, schedule: "0 2 * * sat", weekdays: mon-fri}
- {module: "", every: 1d}
- {module: d, every: [1d]}
- {module: " e", every: 1d}
`)
	path := strings.TrimPrefix(flag, "--expect-file=")
	var got []string
	for _, line := range strings.Split(loadError(t, flag), "\n") {
		rest, ok := strings.CutPrefix(line, fmt.Sprintf("EXPECT_FILE=%q (from --expect-file): ", path))
		if !ok {
			t.Errorf("%q doesn't begin with the setting", line)
		}
		got = append(got, rest)
	}
	for _, want := range []string{
		`line 2: "modul" is no key (did you mean module?): the keys are bytes, client,`,
		`line 3: every: "often" is not an age: write 90m, 26h or 8d`,
		`line 4: it takes one of every and schedule`,
		`line 8: it has the name of that of line 7 of EXPECT_FILE, "www"`,
		`line 9: it is the same backup as that of line 7 of EXPECT_FILE`,
		`line 11: schedule: there is no such day`,
		`line 14: every is there twice`,
		`line 15: timezone: "Europe/Bärlin" is not a time zone`,
		`line 16: client: the address has bits outside of the prefix: write 192.0.2.0/24`,
		`line 17: direction: "both" is neither receive`,
		`line 18: bytes: "lots": not a number of bytes: write 10GiB`,
		`line 19: files: "-1" is no number of files`,
		`line 20: paused: "yes" is neither true nor false`,
		`line 21: "someday" is no day of the week`,
		`line 23: from "02:00" to "": write times of day`,
		`line 24: it begins and ends at 02:00`,
		`line 25: it ends at "2026-12-24", before it begins`,
		`line 26: with days, from and to are times of day`,
		`line 27: no keys and values: write some of bytes,`,
		`line 28: it is never due: weekdays and windows leave no time for it`,
		`line 29: module: it takes one value`,
		`line 30: every: it takes one value`,
		`line 31: no log has the name " e"`,
	} {
		at := -1
		for i, line := range got {
			if strings.HasPrefix(line, want) {
				at = i
			}
		}
		if at < 0 {
			t.Errorf("nobody says: %s", want)
			continue
		}
		got = append(got[:at], got[at+1:]...)
	}
	if len(got) > 0 {
		t.Errorf("more is said:\n%s", strings.Join(got, "\n"))
	}
}

func FuzzExpectFile(f *testing.F) {
	f.Add("backups: [{module: a, every: 1d}, {module: b, schedule: '0 2 * * *', timezone: Europe/Berlin}]")
	f.Add("backups:\n- &a {module: a, every: 1d, windows: [{from: '1:00', to: '2:00', days: [mon-tue]}]}\n- *a\n")
	f.Add("backups: {module: a, every: 1d, weekdays: sun, windows: {from: 2026-12-24, to: 2026-12-26 12:00}, client: ::1, bytes: 1KiB}")
	f.Add("a: &a [*a]\nbackups: *a")
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		list, problems := config.ParseExpectFile([]byte(text), now)
		if len(list) == 0 && len(problems) == 0 {
			t.Errorf("%q: neither a backup nor a problem", text)
		}
		for i := range list {
			e := &list[i]
			if err := e.Check(now); err != nil {
				t.Errorf("%q: %v: %v", text, e, err)
			}
			s := backups.Judge(e, &backups.Entry{Since: now.UnixNano()}, now)
			if s.Due.Before(now) || s.Overdue.Before(s.Due) {
				t.Errorf("%q: %v is due at %v, overdue at %v", text, e, s.Due, s.Overdue)
			}
		}
	})
}

func TestWhatIsNoExpectFile(t *testing.T) {
	testenv.SetEnv(t)
	for text, want := range map[string]string{
		"":                            "it is empty: write a list backups",
		"# later\n":                   "it is empty: write a list backups",
		"backups: []":                 "it expects nothing",
		"- a":                         "line 1: no keys and values: write some of backups",
		"backups:\n  - a: b\n c: d":   "line 2: did not find expected",
		"backups: [{}]\n---\na: b\n":  "it has several documents",
		"backup: []":                  `line 1: "backup" is no key (did you mean backups?)`,
		"backups: &a [*a]":            "line 1: ",
		"backups:\n- module: *absent": "unknown anchor",
	} {
		if got := loadError(t, expectFile(t, text)); !strings.Contains(got, want) {
			t.Errorf("%q: %s\nwant %s", text, got, want)
		}
	}
	if got := loadError(t, "--expect-file=/absent/expect.yml"); !strings.Contains(got, "no such file") {
		t.Error(got)
	}
}

func TestExpectedUsersOfRsyncdConf(t *testing.T) {
	testenv.SetEnv(t)
	conf := filepath.Join(t.TempDir(), "rsyncd.conf")
	testenv.WriteFile(t, conf, `
[data]
read only = no
auth users = alice, bob:rw carol:ro,dave:deny  @staff *,alice
[spaces]
read only = false
auth users = , Old Fritz ,@Some Group:rw
[public]
auth users = erin, frank:rw
[open]
read only = no
`)
	cfg := load(t, "--rsyncd-conf="+conf, "--expect=auto,data@bob<8d", expectFile(t, "backups: [{name: fritz, module: spaces, user: Old Fritz, every: 1d}]"))
	var got []string
	for _, e := range cfg.Expected {
		got = append(got, e.String())
	}
	want := []string{
		"fritz: a push to module spaces by user Old Fritz, every 1 day, with a grace of 1 h",
		"data@bob: a push to module data by user bob, every 8 days",
		"data@alice: a push to module data by user alice, every 1 day 2 h",
		"public@frank: a push to module public by user frank, every 1 day 2 h",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("expected:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	warnings := strings.Join(cfg.Warnings, "\n")
	for _, want := range []string{
		"module data these are not expected, as they are no names, or may not write: carol:ro, dave:deny, @staff, *\n",
		"module spaces these are not expected, as they are no names, or may not write: @Some Group:rw\n",
		"module public these are not expected, as they are no names, or may not write: erin",
	} {
		if !strings.Contains(warnings+"\n", want) {
			t.Errorf("no warning of %q in:\n%s", want, warnings)
		}
	}
	if got := loadError(t, "--expect=auto"); !strings.Contains(got, "set RSYNCD_CONF") {
		t.Error(got)
	}
	cfg = load(t, "--rsyncd-conf="+conf, "--expect=date@alice")
	if warnings := strings.Join(cfg.Warnings, "\n"); !strings.Contains(warnings, "in module date, which RSYNCD_CONF and MODULES don't have (did you mean data?)") {
		t.Error(warnings)
	}
}

// Without STATE_DIR a restart makes of a backup that is overdue one that has yet to come: for a week, if it is weekly.
func TestExpectedWithoutStateDir(t *testing.T) {
	testenv.SetEnv(t)
	file := expectFile(t, "backups: [{name: a, module: data, every: 7d}]")
	const forgets = "without STATE_DIR each start forgets which backups came"
	for _, c := range []struct {
		args []string
		want string // the beginning of the warning; empty: there is none
	}{
		{[]string{"--expect=data<8d"}, "EXPECT (from --expect): " + forgets},
		{[]string{file}, "EXPECT_FILE (from --expect-file): " + forgets},
		{[]string{file, "--state-dir=" + t.TempDir()}, ""},
		{[]string{"--expect=data<8d", "--state-dir=" + t.TempDir()}, ""},
		{nil, ""},
	} {
		got := strings.Join(load(t, c.args...).Warnings, "\n")
		if !strings.Contains(got, c.want) || c.want == "" && strings.Contains(got, forgets) {
			t.Errorf("%q: warnings %q, want one that begins with %q", c.args, got, c.want)
		}
	}
}

func TestExpectationsThatCollide(t *testing.T) {
	testenv.SetEnv(t)
	file := expectFile(t, "backups: [{name: a, module: data, user: alice, every: 1d}, {module: data, client: 192.0.2.1, every: 1d}]")
	got := loadError(t, file, "--expect=data@alice,data<1h,www<1h,www<2h")
	for _, want := range []string{
		`EXPECT="data@alice" (from --expect): it is the same backup as that of line 1 of EXPECT_FILE`,
		`EXPECT="data<1h" (from --expect): it has the name of that of line 1 of EXPECT_FILE, "data": give one of them another name`,
		`EXPECT="www<2h" (from --expect): it is the same backup as "www<1h" of EXPECT`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("nobody says %s:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 3 {
		t.Errorf("%d problems, want 3:\n%s", n, got)
	}
	var many strings.Builder
	for i := range backups.MaxExpected + 1 {
		fmt.Fprintf(&many, "m%d,", i)
	}
	if got := loadError(t, "--expect="+many.String()); !strings.Contains(got, "10001 backups are expected, and 10000 can be") {
		t.Error(got[:min(200, len(got))])
	}
	if cfg, err := config.Load([]string{"--expect="}); err != nil || len(cfg.Expected) != 0 {
		t.Errorf("%+v, %v", cfg, err)
	}
}
