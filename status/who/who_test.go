package who_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/status/api"
	"rsyncd_exporter/status/ask"
	"rsyncd_exporter/status/who"
)

var now = time.Date(2026, 11, 23, 18, 40, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// some is what an exporter might answer.
func some() api.Sessions {
	session := func(pid int32, state string, c api.Client, module, user, direction string, age, silent time.Duration, files, size uint64, path string) api.Session {
		return api.Session{PID: pid, State: state, Client: c, Module: module, User: user, Direction: direction,
			Started: ago(age), Age: age.Seconds(), Silent: silent.Seconds(), Files: files, FileBytes: size, LastPath: path}
	}
	return api.Sessions{
		Sessions: []api.Session{
			session(17, "running", api.Client{Name: "mirror.example.org", Address: "2001:db8:1234:5678:9abc:def0:1234:5678"}, "debian", "", "send",
				65*time.Minute, 2*time.Second, 812, 1320702443, "dists/stable/main/binary-amd64/Packages.xz"),
			session(23, "running", api.Client{Name: "nas.example.net", Address: "198.51.100.7"}, "backup", "alice", "receive",
				10*time.Minute, 400*time.Second, 3, 5000, "home/alice/photo.jpg"),
			session(42, "failing", api.Client{Address: "192.0.2.200"}, "debian", "", "send", 42*time.Second, time.Second, 0, 0, ""),
			session(43, "connected", api.Client{Address: "2001:db8:1234:5678::1"}, "", "", "", 3*time.Second, 3*time.Second, 0, 0, ""),
		},
		Total:  4,
		States: map[string]int{"running": 2, "failing": 1, "connected": 1},
		Ended: []api.Ended{{Time: ago(time.Minute), Started: ago(3 * time.Minute), PID: 9, Client: api.Client{Address: "192.0.2.1"},
			Module: "debian", Direction: "send", Outcome: "partial", ExitCodes: []int{23}, Duration: 120, Sent: 1 << 30, Received: 999}},
	}
}

// many is what an exporter might answer, with n clients connected.
func many(n int) (s api.Sessions) {
	for i := range n {
		s.Sessions = append(s.Sessions, api.Session{PID: int32(i + 1), State: "connected", Started: now})
	}
	return s
}

func answer(s api.Sessions) who.Answer {
	return who.Answer{Where: "127.0.0.1:8080", URL: "http://127.0.0.1:8080", Sessions: s, At: now}
}

func written(t *testing.T, scene *who.Scene, o who.Options) string {
	t.Helper()
	o.Now = now
	var b bytes.Buffer
	if err := scene.Text(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// By hand: 812 + 3 files; 1320702443 + 5000 bytes are 1.23000 GiB, and 5000 bytes alone 4.88 KiB.
func TestText(t *testing.T) {
	scene := who.NewScene([]who.Answer{answer(some())}, who.Filter{})
	for _, width := range []int{40, 80, 120, 200, 0} {
		got := written(t, scene, who.Options{Width: width})
		golden(t, fmt.Sprintf("who_%d.txt", width), got)
		checkWidth(t, got, width)
		for _, want := range []string{"1.23 GiB in 815 files", "≥4.88 KiB", "2001:db8:1234:5678:9abc:def0:1234:5678", "198.51.100.7"} {
			if !strings.Contains(got, want) {
				t.Errorf("at %d columns %q is missing", width, want)
			}
		}
	}
}

// checkWidth fails the test if a line is wider than a terminal; 0 is no terminal.
func checkWidth(t *testing.T, s string, width int) {
	t.Helper()
	for _, line := range strings.Split(s, "\n") {
		if n := text.Width(line); width > 0 && n > width {
			t.Errorf("%d columns, want at most %d: %.200q", n, width, line)
		}
	}
}

// An upload that has been silent for long may be over: nothing in the log tells. So its state is not the whole truth.
func TestSilentUploads(t *testing.T) {
	for _, c := range []struct {
		direction, state string
		silent           time.Duration
		may              bool
	}{
		{"receive", "running", 15 * time.Minute, true}, {"receive", "running", 15*time.Minute - time.Second, false},
		{"send", "running", 20 * time.Hour, false}, {"receive", "failing", 20 * time.Minute, false},
	} {
		scene := who.NewScene([]who.Answer{answer(api.Sessions{Sessions: []api.Session{{PID: 1, State: c.state, Direction: c.direction,
			Started: ago(30 * time.Hour), Silent: c.silent.Seconds()}}})}, who.Filter{})
		for _, width := range []int{0, 80} {
			got := written(t, scene, who.Options{Width: width})
			checkWidth(t, got, width)
			if strings.Contains(strings.Join(strings.Fields(got), " "), "An upload that has logged nothing for 15 minutes may be over") != c.may {
				t.Errorf("%+v at %d columns:\n%s", c, width, got)
			}
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not %s (UPDATE=1 writes it):\n%s", path, got)
	}
}

func TestColor(t *testing.T) {
	scene := who.NewScene([]who.Answer{answer(some())}, who.Filter{})
	plain, colored := written(t, scene, who.Options{Width: 80}), written(t, scene, who.Options{Width: 80, Color: true})
	if strings.Contains(plain, "\x1b") {
		t.Error("escape sequences without colour")
	}
	if !strings.Contains(colored, "\x1b[32mrunning\x1b[0m  ") || !strings.Contains(colored, "\x1b[31mfailing\x1b[0m  ") {
		t.Errorf("no colours: %q", colored)
	}
	for _, sgr := range []string{"0", "1", "2", "31", "32", "33"} {
		colored = strings.ReplaceAll(colored, "\x1b["+sgr+"m", "")
	}
	if colored != plain {
		t.Errorf("not the same without colour:\n%s", colored)
	}
}

func TestLine(t *testing.T) {
	down := who.Answer{Where: "b", Err: errors.New("b: not reached")}
	for _, c := range []struct {
		answers []who.Answer
		want    string
	}{
		{[]who.Answer{answer(some())}, "4 sessions: 2 running, 1 failing, 1 connected; at least 1.23 GiB in 815 files\n"},
		{[]who.Answer{answer(api.Sessions{})}, "no sessions\n"},
		{[]who.Answer{down}, "the exporter gives no answer\n"}, // whether there are sessions nobody knows
		{[]who.Answer{down, down}, "2 of 2 exporters give no answer\n"},
		{[]who.Answer{answer(api.Sessions{}), down}, "no sessions; 1 of 2 exporters give no answer\n"},
		{[]who.Answer{answer(many(1234))}, "1,234 sessions: 1,234 connected; at least 0 B in 0 files\n"},
		{[]who.Answer{answer(some()), down}, "4 sessions: 2 running, 1 failing, 1 connected; at least 1.23 GiB in 815 files; 1 of 2 exporters give no answer\n"},
	} {
		var b bytes.Buffer
		if err := who.NewScene(c.answers, who.Filter{}).Line(&b); err != nil || b.String() != c.want {
			t.Errorf("%v, %q, want %q", err, b.String(), c.want)
		}
	}
}

func TestFilters(t *testing.T) {
	s := some()
	s.Sessions = append(s.Sessions, api.Session{PID: 50, State: "running", Client: api.Client{Address: "203.0.113.0/24"}}, // ANONYMISE
		api.Session{PID: 51, State: "running", Client: api.Client{Address: "fe80::1%eth0"}})
	for _, c := range []struct {
		module, direction, client string
		pids                      string
	}{
		{"", "", "", "17 23 42 43 50 51"},
		{"debian", "", "", "17 42"},
		{"debian", "receive", "", ""},
		{"", "receive", "", "23"},
		{"", "", "192.0.2.200", "42"},
		{"", "", "192.0.2.20", ""},
		{"", "", "192.0.2.0/24", "42"},
		{"", "", "192.0.2.", "42"},
		{"", "", "2001:db8:1234:5678::/64", "17 43"},
		{"", "", "2001:DB8:1234:5678:0::1", "43"},
		{"", "", "MIRROR.", "17"},
		{"", "", "203.0.113.0/24", "50"},
		{"", "", "203.0.0.0/16", "50"},
		{"", "", "203.0.113.7", ""},
		{"", "", "203.0.113.0", ""},
		{"", "", "fe80::/10", "51"},
	} {
		f, err := who.NewFilter(c.module, c.direction, c.client)
		if err != nil {
			t.Fatal(err)
		}
		scene := who.NewScene([]who.Answer{answer(s)}, f)
		var pids []string
		for _, v := range scene.Sessions {
			pids = append(pids, fmt.Sprint(v.PID))
		}
		slices.Sort(pids)
		if got := strings.Join(pids, " "); got != c.pids || scene.Total != len(pids) {
			t.Errorf("%q: %s of %d, want %s", c, got, scene.Total, c.pids)
		}
	}
	if _, err := who.NewFilter("", "pull", ""); err == nil || !strings.Contains(err.Error(), "--direction=\"pull\"") {
		t.Error(err)
	}
}

// The JSON of one exporter is its own; that of a fleet says whose each session is.
func TestJSON(t *testing.T) {
	object := func(answers ...who.Answer) (m map[string]any) {
		var b bytes.Buffer
		if err := who.NewScene(answers, who.Filter{}).JSON(&b); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	s := some()
	s.States["settling"] = 0
	own, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(object(answer(s)))
	if err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal(own, &want); err != nil {
		t.Fatal(err)
	}
	if sorted, _ := json.Marshal(want); string(got) != string(sorted) {
		t.Errorf("%s\nwant %s", got, sorted)
	}
	other := answer(api.Sessions{})
	fleet := object(answer(api.Sessions{Sessions: []api.Session{{PID: 99, Started: now}}}), answer(s))
	if first := fleet["sessions"].([]any)[0].(map[string]any); first["url"] != "http://127.0.0.1:8080" || first["pid"] != 17.0 {
		t.Errorf("%v", first)
	}
	if first := fleet["ended"].([]any)[0].(map[string]any); first["url"] != "http://127.0.0.1:8080" {
		t.Errorf("%v", first)
	}
	if m := object(other); fmt.Sprint(m["sessions"], m["ended"]) != "[] []" {
		t.Errorf("of nobody: %v", m)
	}
}

// hostileNames are what clients, and whoever answers in an exporter's place, might choose.
var hostileNames = []string{
	"\x1b[31mred\x1b]0;title\a", "a\u202egpj.exe", "\u200b\u2066x\u2069\u200f", "\r\nb\tc", "\x7f\u0080\u009b31m", "備份資料備份資料備份資料備份資料備份資料",
	"e\u0301\u0302" + strings.Repeat("o\u0308", 60), "👩‍👩‍👧‍👦", strings.Repeat("x", 300), strings.Repeat("long/", 80), "", "مرحبا", "\U000e0041\U0001d173", "$(reboot)`id`", "\xff\xfe",
}

func hostile() api.Sessions {
	s := api.Sessions{States: map[string]int{}}
	for i, n := range hostileNames {
		c := api.Client{Name: n, Address: n, Group: n, Place: n}
		s.Sessions = append(s.Sessions, api.Session{Host: n, PID: int32(i), Client: c, Module: n, User: n, Direction: n, State: n, Age: -1,
			Silent: 1e300, Files: 1<<64 - 1, FileBytes: 1<<64 - 1, Request: n, LastPath: n})
		s.Ended = append(s.Ended, api.Ended{Host: n, PID: int32(i), Client: c, Module: n, User: n, Direction: n, Outcome: n, Reason: n,
			Duration: 1e300, Sent: 1<<64 - 1, Files: map[string]uint64{n: 1}, FileErrors: map[string]uint64{n: 1}})
	}
	return s
}

// checkSafe fails the test if a text has what a terminal obeys or shows as something else.
func checkSafe(t *testing.T, what, s string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Errorf("%s: invalid UTF-8", what)
	}
	for _, r := range s {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%s: %q in %q", what, r, s)
		}
	}
}

func TestHostileNames(t *testing.T) {
	a := answer(hostile())
	a.Where = "\x1b[31m"
	for _, answers := range [][]who.Answer{{a}, {a, a}} {
		scene := who.NewScene(answers, who.Filter{})
		for _, width := range []int{0, 40, 80, 200} {
			got := written(t, scene, who.Options{Width: width})
			checkSafe(t, fmt.Sprint(width, " columns"), got)
			checkWidth(t, got, width)
		}
		var b bytes.Buffer
		if err := scene.Line(&b); err != nil {
			t.Fatal(err)
		}
		checkSafe(t, "one line", b.String())
		if !strings.Contains(b.String(), "at least 16.0 EiB in 18,446,744,073,709,551,615 files") {
			t.Errorf("the sum began anew: %s", b.String())
		}
		b.Reset()
		if err := scene.JSON(&b); err != nil {
			t.Fatal(err)
		}
		checkSafe(t, "JSON", b.String())
		var back struct{ Sessions []api.Session }
		if err := json.Unmarshal(b.Bytes(), &back); err != nil {
			t.Fatal(err)
		}
		for _, s := range back.Sessions {
			if want := hostileNames[s.PID]; s.Module != want && utf8.ValidString(want) {
				t.Errorf("module %q, want %q", s.Module, want)
			}
		}
	}
}

// A fleet: one exporter answers, one is down, one is something else.
func TestAskAFleet(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	serve := func(v any) *ask.Client {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/v1/sessions" {
				http.NotFound(w, r)
				return
			}
			json.NewEncoder(w).Encode(v)
		}))
		t.Cleanup(server.Close)
		return client(t, server.URL)
	}
	gone := client(t, "http://"+testenv.Unheard(t))
	exporters := []*ask.Client{serve(some()), gone, serve(map[string]string{"status": "success"})}
	scene := who.NewScene(who.Ask(t.Context(), exporters), who.Filter{})
	if scene.Total != 4 || !scene.Answered() {
		t.Errorf("%d sessions, want 4", scene.Total)
	}
	errs := fmt.Sprint(scene.Err())
	for _, want := range []string{exporters[1].Where() + ": not reached: ", exporters[2].Where() + ": the answer says nothing about sessions"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q lacks %q", errs, want)
		}
	}
	got := written(t, scene, who.Options{Width: 200})
	if !strings.HasPrefix(got, "4 sessions at 3 exporters: ") || !strings.Contains(got, "; 2 of 3 exporters give no answer") ||
		strings.Count(got, exporters[0].Where()) != 4 {
		t.Error(got)
	}
}

func client(t *testing.T, base string) *ask.Client {
	t.Helper()
	c, err := ask.New(base, ask.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
