package explain_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/report/explain"
	"rsyncd_exporter/rsynclog"
)

// expected has the fields that a line of a kind has to have. Kinds that aren't here have their text.
var expected = map[string][]string{
	"connect": {"address"}, "allowed": {"address", "module"}, "start": {"address", "direction", "request"},
	"file_list": {"direction"}, "transfer": {"operation"}, "summary": {"received", "sent", "total"},
	"exit_error": {"code"}, "exit_warning": {"code"}, "module_list": {"address"},
	"unknown_module": {"address", "module", "reason"}, "denied": {"address", "module", "reason"},
	"auth_failed": {"module", "reason", "text"}, "daemon_start": {"version"},
}

// Each line of each kind that rsync writes has its fields, and these stand in it.
func TestEachKindHasItsFields(t *testing.T) {
	examples, err := corpus.Examples("../../rsynclog/testdata/lines.tsv")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, x := range examples {
		path := file(t, fmt.Sprintf("2026/11/23 23:51:22 [%d] %s\n", 1000+i, x.Text))
		out, _ := explained(t, explain.Options{JSON: true}, path)
		all := objects(t, out)
		if len(all) != 1 {
			t.Fatalf("%q: %d objects", x.Text, len(all))
		}
		got, want := all[0], x.Kind
		seen[want] = true
		if want == "lost_upstream" { // of a syslog daemon; here it stands in rsyncd's log
			want = "implausible"
		}
		if got.Kind != want || got.PID != 1000+i || (got.Why != "") != (want == "implausible" || want == "unrecognised") {
			t.Errorf("%q: %+v, want %s", x.Text, got, want)
		}
		if text, _ := explained(t, explain.Options{}, path); !regexp.MustCompile(`  # \w.*\n\n`).MatchString(text) {
			t.Errorf("%q: what does it mean? %s", x.Text, text)
		}
		names := expected[want]
		if names == nil {
			names = []string{"text"}
		}
		for _, name := range names {
			if got.Fields[name] == nil && !(name == "address" && len(x.Text) > 2000) { // a line of 2047 bytes is cut before it
				t.Errorf("%q: no field %s in %v", x.Text, name, got.Fields)
			}
		}
		for name, value := range got.Fields {
			if !standsIn(x.Text, name, value) {
				t.Errorf("%q: %s=%v doesn't stand in it", x.Text, name, value)
			}
		}
	}
	for k := rsynclog.Kind(1); k < rsynclog.NumKinds; k++ {
		if !seen[k.String()] {
			t.Errorf("no example is a line of kind %v", k)
		}
	}
}

// standsIn says whether a field's value can be read in a line. Words of ours are left out.
func standsIn(line, name string, value any) bool {
	switch name {
	case "direction", "operation", "may_be", "reason", "errno_name", "looks_like":
		return true
	case "total", "length": // with separators, or as part of another number's text
		return strings.ContainsAny(line, "0123456789")
	}
	s, ok := value.(string)
	if !ok {
		s = fmt.Sprintf("%.0f", value)
	}
	return strings.Contains(strings.ReplaceAll(line, ",", ""), strings.ReplaceAll(s, ",", "")) || len(line) > 2000
}

// counted returns what serve counts of a file, as a backlog: messages by kind, ignored, discarded.
func counted(t *testing.T, path string) (c [explain.NumClasses]uint64) {
	t.Helper()
	pc := config().Pipeline
	pc.MaxSeries = 10000
	p, err := pipeline.New(pc)
	if err != nil {
		t.Fatal(err)
	}
	src := receiver.Source{Input: "file", Name: path, Scope: receiver.StdinScope + 1, Dialect: syslog.Lines{}}
	if err := stream.NewStdin(bytes.NewReader(corpus.ReadFile(t, path)), src, backlog{p}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	snap := p.Snapshot()
	for _, h := range snap.Hosts {
		for k := range c[:explain.Ignored] {
			c[k] += h.MessagesByKind[k]
		}
	}
	for _, in := range snap.Inputs {
		c[explain.Ignored] += in.Ignored
		for _, n := range in.Discarded {
			c[explain.Discarded] += n
		}
	}
	return c
}

type backlog struct{ *pipeline.Pipeline }

func (b backlog) Deliver(src *receiver.Source, slab *receiver.Slab) {
	slab.Backlog = true
	b.Pipeline.Deliver(src, slab)
}

// Every line of a log comes once, and the kinds add up to what serve counts. By hand: grep -c . auth_fail.log is 32, of which grep -c
// "auth failed" are 7.
func TestKindsAddUpToWhatServeCounts(t *testing.T) {
	paths := corpus.Files(t, "file/*.log")
	for _, pattern := range []string{"../captures/file/*.log", "../forms/*.log"} {
		paths = append(paths, corpus.Files(t, pattern)...)
	}
	paths = append(paths, file(t, mixed))
	troubles := [explain.NumClasses]uint64{}
	for _, path := range paths {
		want := counted(t, path)
		out, counts := explained(t, explain.Options{JSON: true}, path)
		if counts != want {
			t.Errorf("%s: %v, and serve counts %v", path, counts, want)
		}
		var byKind [explain.NumClasses]uint64
		numbers := map[uint64]bool{}
		for _, o := range objects(t, out) {
			for c := range explain.NumClasses {
				if c.String() == o.Kind {
					byKind[c]++
				}
			}
			if numbers[o.Line] && !strings.Contains(path, "forms") { // there a line can hold several records
				t.Errorf("%s: line %d comes twice", path, o.Line)
			}
			numbers[o.Line] = true
		}
		if byKind != want {
			t.Errorf("%s: its objects are %v, and serve counts %v", path, byKind, want)
		}
		for c, n := range want {
			troubles[c] += n
		}
		if filepath.Base(path) == "auth_fail.log" && (len(numbers) != 32 || counts[rsynclog.AuthFailed] != 7) {
			t.Errorf("%s: %d lines, %d failed logins; want 32 and 7", path, len(numbers), counts[rsynclog.AuthFailed])
		}
	}
	for _, c := range []explain.Class{explain.Class(rsynclog.Unrecognised), explain.Implausible, explain.Ignored, explain.Discarded} {
		if troubles[c] == 0 {
			t.Errorf("no line of these files is %s", c)
		}
	}
}

const mixed = `2026/11/23 23:51:22 [5] connect from a.example (192.0.2.1)
2026/11/23 23:51:22 [5] rsync allowed access on module data from a.example (192.0.2.1)
2026/11/23 23:51:22 [5] rsync on data/ from a.example (192.0.2.1)
2026/11/23 23:51:23 [5] connect from b.example (192.0.2.2)
2026/11/23 23:51:23 [5] recv a.example [192.0.2.1] data () x 5
2026/11/23 23:51:23 [5] good morning
2026/11/23 23:51:23 [5] rsync: [receiver] mkstemp "/x" (in data) failed: Permission denied (13)
2026/11/23 23:51:23 [5] 192.0.2.1 data/x 17
Nov 23 23:51:22 host sshd[7]: session opened
Nov 23 23:51:22 host mysync[7]: rsync on data/ from a.example (192.0.2.1)
no header at all

2026/11/23 23:51:24 [5] sent 100 bytes  received 20 bytes  total size 1125899906842625
2026/11/23 23:51:24 [5] sent 100 bytes  received 20 bytes  total size 3000
`

// What came to nothing says why.
func TestWhy(t *testing.T) {
	out, _ := explained(t, explain.Options{JSON: true}, file(t, mixed))
	want := map[uint64][2]string{
		4:  {"implausible", "serves a client, or has lately"},
		5:  {"implausible", "the daemon sends in this session"},
		6:  {"unrecognised", "no rule knows"},
		7:  {"implausible", "it names the client's role, not the daemon's, which sends"},
		8:  {"unrecognised", "another log format"},
		9:  {"ignored", `the tag "sshd" isn't in TAGS (rsyncd*)`},
		10: {"ignored", "name the tag in TAGS"},
		11: {"discarded", "no time stamp, host or tag"},
		12: {"discarded", "empty"},
		13: {"implausible", "more than 1 PiB"}, // 2^50 is 1125899906842624
	}
	for _, o := range objects(t, out) {
		w, bad := want[o.Line]
		if bad && (o.Kind != w[0] || !strings.Contains(o.Why, w[1])) || !bad && o.Why != "" {
			t.Errorf("%+v, want %q", o, w)
		}
	}
}

// The lines for people: one each, with a number, a kind, a session, fields and a meaning. By hand, the summary: 14 lines.
func TestText(t *testing.T) {
	path := file(t, mixed)
	out, _ := explained(t, explain.Options{}, path)
	golden(t, "mixed", strings.ReplaceAll(out, path, "LOG"))
}

func TestOnly(t *testing.T) {
	only, err := explain.ParseOnly("unrecognised, discarded")
	if err != nil {
		t.Fatal(err)
	}
	out, counts := explained(t, explain.Options{JSON: true, Only: only}, file(t, mixed))
	var lines []uint64
	for _, o := range objects(t, out) {
		lines = append(lines, o.Line)
	}
	if want := []uint64{6, 8, 11, 12}; !slices.Equal(lines, want) {
		t.Errorf("lines %d, want %d", lines, want)
	}
	if counts[rsynclog.Connect] != 1 {
		t.Errorf("%d connects are counted, want 1: --only says what is shown, not what is counted", counts[rsynclog.Connect])
	}
	for list, hint := range map[string]string{"unrecognized": "did you mean unrecognised?", "": "the kinds are", "connect,ignord": "did you mean ignored?"} {
		if _, err := explain.ParseOnly(list); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("--only=%q: %v, want %q", list, err, hint)
		}
	}
}

// Names that clients chose don't get at a terminal, nor beyond their line; nor into another field.
func TestHostileNames(t *testing.T) {
	names := "\x1b]0;owned\x07 \u202egnp.exe \u009b31m \xff\xfe \u2028 path=/etc/passwd # fine"
	path := file(t, "2026/11/23 23:51:22 [5] connect from a.example (192.0.2.1)\n"+
		"2026/11/23 23:51:22 [5] rsync on data/"+names+" from a.example (192.0.2.1)\n"+
		"2026/11/23 23:51:22 [5] send a.example [192.0.2.1] data () "+names+" 5\n"+
		"2026/11/23 23:51:22 [5] "+names+"\n"+names+"\n"+
		"Nov 23 23:51:22 h\x1b\u202e "+names+"[7]: x\n")
	for _, o := range []explain.Options{{}, {JSON: true}, {Session: explain.Target{PID: 5}}} {
		out, _ := explained(t, o, path)
		for i, r := range out {
			if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' || r == '\u2028') || r == '\ufffd' && !o.JSON {
				t.Errorf("%+v: a %q in %q", o, r, out[max(0, i-40):i])
			}
		}
	}
	out, _ := explained(t, explain.Options{}, path)
	if want := ` path="\x1b]0;owned\a \u202egnp.exe \u009b31m \xff\xfe \u2028 path=/etc/passwd # fine" length=5  # `; !strings.Contains(out, want) {
		t.Errorf("%s\nhas no %s", out, want)
	}
	out, _ = explained(t, explain.Options{JSON: true}, path)
	if got := objects(t, out)[2].Fields["path"]; got != strings.ReplaceAll(names, "\xff\xfe", "\ufffd\ufffd") {
		t.Errorf("the path is %q", got)
	}
}

// An id is one session's, also when more pids have come than are remembered: 40,000 of them, 20,000 of which come back.
func TestIDsAreUnique(t *testing.T) {
	var text strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&text, "2026/11/23 %02d:%02d:%02d [%d] connect from a.example (192.0.2.1)\n", i/3600, i/60%60, i%60, 1000+i%40_000)
	}
	out, _ := explained(t, explain.Options{JSON: true}, file(t, text.String()))
	seen := map[string]bool{}
	for _, o := range objects(t, out) {
		if o.Session == "" || seen[o.Session] {
			t.Fatalf("line %d is of session %q, as another one", o.Line, o.Session)
		}
		seen[o.Session] = true
	}
	if len(seen) != 60_000 {
		t.Errorf("%d sessions", len(seen))
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(corpus.ReadFile(t, path)); got != want {
		t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
	}
}
