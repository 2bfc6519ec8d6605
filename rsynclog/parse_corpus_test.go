package rsynclog_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/rsynclog"
)

// The counts were worked out by reading the scenarios' files line by line. For protocol_garbage:
// the pids 3886 to 3903 connect, 18 in all; 8 of them are let in; 3 safe_write, 1 safe_read, 1
// connection closed and 1 unexpected tag make 6 I/O errors; together 51 lines.
func TestKindsOfWholeScenarios(t *testing.T) {
	for scenario, want := range map[string]map[rsynclog.Kind]int{
		"upload_delete": {rsynclog.DaemonStart: 1, rsynclog.Connect: 1, rsynclog.Allowed: 1, rsynclog.Start: 1, rsynclog.FileList: 1, rsynclog.Transfer: 7, rsynclog.Summary: 2},
		"auth_fail": {rsynclog.DaemonStart: 1, rsynclog.Connect: 8, rsynclog.Allowed: 8, rsynclog.AuthFailed: 7, rsynclog.SecretsFile: 1, rsynclog.Start: 1, rsynclog.FileList: 1, rsynclog.Transfer: 3,
			rsynclog.Summary: 2},
		"max_connections": {rsynclog.DaemonStart: 1, rsynclog.Connect: 4, rsynclog.Allowed: 4, rsynclog.MaxConnections: 2, rsynclog.Start: 2, rsynclog.FileList: 2, rsynclog.Transfer: 2, rsynclog.Summary: 3},
		"protocol_garbage": {rsynclog.DaemonStart: 1, rsynclog.Connect: 18, rsynclog.Allowed: 8, rsynclog.IOError: 6, rsynclog.ExitError: 9, rsynclog.Start: 3, rsynclog.Summary: 3, rsynclog.RefusedOption: 2,
			rsynclog.ReadOnlyModule: 1},
	} {
		for _, form := range []string{"file", "syslog"} {
			p, got := mustParser(t, rsynclog.DefaultLogFormat), map[rsynclog.Kind]int{}
			for _, l := range readCorpus(t, form) {
				if l.scenario == scenario {
					var ev rsynclog.Event
					p.Parse([]byte(l.text), &ev)
					got[ev.Kind]++
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s, %s: %v, want %v", scenario, form, got, want)
			}
		}
	}
}

var number = regexp.MustCompile(`[0-9a-f]{32}|\d+`)

// parsersOf returns a parser for each log format in a scenario's rsyncd.conf, the default's first.
func parsersOf(t *testing.T) func(scenario string) []*rsynclog.Parser {
	t.Helper()
	b := corpus.ReadFile(t, filepath.Join(corpus.Dir(), "truth.json"))
	var truth map[string]struct {
		Conf string `json:"rsyncd_conf"`
	}
	if err := json.Unmarshal(b, &truth); err != nil {
		t.Fatal(err)
	}
	known := map[string][]*rsynclog.Parser{}
	for scenario, s := range truth {
		known[scenario] = []*rsynclog.Parser{mustParser(t, rsynclog.DefaultLogFormat)}
		for line := range strings.Lines(s.Conf) {
			if format, ok := strings.CutPrefix(strings.TrimSpace(line), "log format ="); ok {
				known[scenario] = append(known[scenario], mustParser(t, strings.TrimSpace(format)))
			}
		}
	}
	return func(scenario string) []*rsynclog.Parser { return known[scenario] }
}

// TestWhatIsNotRecognised holds every line of the corpus that is unrecognised in all log formats of
// its daemon against a list that says why it is free text. The list has count, scenario, text and
// reason; numbers and digests stand as 0.
func TestWhatIsNotRecognised(t *testing.T) {
	parsers, got := parsersOf(t), map[string]int{}
	for _, form := range []string{"file", "syslog"} {
		for _, l := range readCorpus(t, form) {
			recognised := false
			for _, p := range parsers(l.scenario) {
				var ev rsynclog.Event
				p.Parse([]byte(l.text), &ev)
				recognised = recognised || ev.Kind != rsynclog.Unrecognised
			}
			if !recognised {
				got[fmt.Sprintf("%s\t%q", l.scenario, number.ReplaceAllString(l.text, "0"))]++
			}
		}
	}
	b, err := os.ReadFile("testdata/unrecognised.golden")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		var n int
		if _, err := fmt.Sscan(f[0], &n); err != nil || len(f) != 4 || f[3] == "" {
			t.Fatalf("%q is no count, scenario, text and reason", line)
		}
		want[f[1]+"\t"+f[2]] = n
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if got[key] != want[key] {
			t.Errorf("%d\t%s: %d in the list", got[key], key, want[key])
		}
	}
	for key := range want {
		if got[key] == 0 {
			t.Errorf("%s is recognised now", key)
		}
	}
	// By hand, from xfer_exec_hooks.log: the module's hook prints two lines, in both forms of the
	// scenario.
	if n := want["xfer_exec_hooks\t\"second line\""]; n != 2 {
		t.Errorf("the hook's second line is listed %d times", n)
	}
}

// The log formats of log_format_all_escapes' modules f1 to f9, and those of other scenarios, with
// what a line begins with.
var corpusFormats = []struct{ scenario, format, begins string }{
	{"log_format_all_escapes", "op=%o h=%h a=%a m=%m u=%u f=%f l=%l", `op=`},
	{"log_format_all_escapes", "b=%b c=%c C=%C i=%i M=%M t=%t p=%p P=%P n=%n L=%L B=%B G=%G U=%U %%", `b=`},
	{"log_format_all_escapes", "l='%'l' ''%''l '''%'''l b=%'b pad=%10l|%-10o|%-30f|%08p", `l='`},
	{"log_format_all_escapes", "%i %n%L", `(\*deleting|[.<>ch][fdL][.+])`},
	{"log_format_all_escapes", "[%p] %o %a %h %u %m %b/%l %f", `\[\d`},
	{"log_format_all_escapes", `{"op":"%o","host":"%h","ip":"%a","mod":"%m","user":"%u","file":"%f","len":%l,"bytes":%b}`, `{`},
	{"log_format_all_escapes", "no escapes at all", `no `},
	{"log_format_all_escapes", "%x %y %q %%o %5% trailing%", `%x`},
	{"upload_format_without_op", "%f %l", `(a\.txt|b\.bin|sub/c\.dat) \d`},
	{"download_links_dirs_perms", "%i %o %h [%a] %m (%u) %f%L %l", `[.<>ch*][fdLDS]`},
	{"version_2_6_9", "%o %h [%a] %m (%u) %b/%l %i %f", `send localhost \[127\.0\.0\.1\] fmt `},
	{"version_3_1_3", "%o %h [%a] %m (%u) %b/%l %i %f", `send localhost \[127\.0\.0\.1\] fmt `},
}

func TestEveryTransferOfTheCorpusInItsOwnFormat(t *testing.T) {
	type sum struct {
		lines, send, recv, del, neither int
		length, wire                    uint64
	}
	// By hand: modules f1 and so on send and receive files of 6, 5,000, 1,234,567 and 70,000 bytes,
	// 1,309,573 in all, and delete one; with %i there are 3 or 4 more lines for a link and
	// directories. Everything twice, once in each form of the scenario.
	want := []sum{
		{lines: 18, send: 8, recv: 8, del: 2, length: 4 * 1309573},
		{lines: 26, send: 8, recv: 8, del: 2, neither: 8, wire: 2 * (49 + 5043 + 1234758 + 70051 + 46 + 5040 + 1234755 + 70048)},
		{lines: 18, send: 8, recv: 8, del: 2, length: 4 * 1309573, wire: 2 * (49 + 5043 + 1234758 + 70051 + 46 + 5040 + 1234755 + 70048)},
		{lines: 28, send: 8, recv: 8, del: 2, neither: 10},
		{lines: 18, send: 8, recv: 8, del: 2, length: 4 * 1309573, wire: 2 * (49 + 5043 + 1234758 + 70051 + 46 + 5040 + 1234755 + 70048)},
		{lines: 18, send: 8, recv: 8, del: 2, length: 4 * 1309573, wire: 2 * (49 + 5043 + 1234758 + 70051 + 46 + 5040 + 1234755 + 70048)},
		{lines: 16, neither: 16},
		{lines: 16, neither: 16},
		{lines: 6, neither: 6, length: 2 * 75006},
		{lines: 22, send: 8, neither: 14, length: 2 * (6 + 6 + 5000 + 70000 + 5000 + 5 + 0 + 4096 + 4096 + 5000 + 5000)},
	}
	for i, c := range corpusFormats {
		p, begins, got := mustParser(t, c.format), regexp.MustCompile(`\A`+c.begins), sum{}
		for _, form := range []string{"file", "syslog"} {
			for _, l := range readCorpus(t, form) {
				if l.scenario != c.scenario || !begins.MatchString(l.text) {
					continue
				}
				var ev rsynclog.Event
				p.Parse([]byte(l.text), &ev)
				if ev.Kind != rsynclog.Transfer {
					t.Errorf("%s: %q is %s", c.format, l.text, ev.Kind)
				}
				got.lines++
				got.length += ev.Length
				got.wire += ev.Wire
				*map[rsynclog.Op]*int{rsynclog.OpSend: &got.send, rsynclog.OpRecv: &got.recv, rsynclog.OpDel: &got.del, rsynclog.NoOp: &got.neither}[ev.Op]++
			}
		}
		if i < len(want) && got != want[i] {
			t.Errorf("%s:\n got %+v\nwant %+v", c.format, got, want[i])
		}
		if got.lines == 0 {
			t.Errorf("%s: no lines", c.format)
		}
	}
}

func TestDeletionsInAFormatWithoutOp(t *testing.T) {
	p := mustParser(t, "%f %l")
	var deleted []string
	for _, l := range readCorpus(t, "file") {
		if l.scenario != "upload_format_without_op" {
			continue
		}
		var ev rsynclog.Event
		p.Parse([]byte(l.text), &ev)
		if ev.Kind == rsynclog.Unrecognised {
			t.Errorf("%q is not recognised", l.text)
		}
		if ev.Op == rsynclog.OpDel {
			deleted = append(deleted, string(ev.Path))
		}
	}
	if want := []string{"gonedir/f", "gonedir/", "gone.txt"}; !slices.Equal(deleted, want) {
		t.Errorf("deleted %q, want %q", deleted, want)
	}
}
