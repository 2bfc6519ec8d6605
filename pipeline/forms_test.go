package pipeline_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

const formsDir = "../testdata/forms"

// A lineForm is a row of testdata/forms/truth.tsv: what one file must come to. Its words are those of formWords; one that
// reads "a|b" may be either.
type lineForm struct {
	file, read, note string
	want             []string
}

// formColumns are the columns of truth.tsv from the third on, less the note.
var formColumns = []string{"connections", "send", "receive", "ok", "partial", "aborted", "rejected", "listing", "sent_bytes",
	"received_bytes", "files_send", "files_recv", "files_del", "lines", "other", "continued", "host"}

func readForms(t *testing.T) (forms []lineForm) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(formsDir, "truth.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 3+len(formColumns) {
			t.Fatalf("truth.tsv:%d: %d columns", i+1, len(f))
		}
		if columns := f[2 : len(f)-1]; i > 0 {
			forms = append(forms, lineForm{f[0], f[1], f[len(f)-1], columns})
		} else if !slices.Equal(columns, formColumns) {
			t.Fatalf("truth.tsv has the columns %q, want %q", columns, formColumns)
		}
	}
	return forms
}

// formWords are what a pipeline has counted, in the order of formColumns.
func formWords(t *testing.T, p *pipeline.Pipeline, input string) []string {
	t.Helper()
	s := gathered(t, p)
	checkIdentities(t, s)
	executions, outcomes := byLabel(s, "rsync_executions_total", "direction"), byLabel(s, "rsync_sessions_total", "outcome")
	files := byLabel(s, "rsync_files_total", "operation")
	numbers := []int{int(total(s, "rsync_connections_total")), executions["send"], executions["receive"],
		outcomes["ok"], outcomes["partial"], outcomes["aborted"], outcomes["rejected"], outcomes["listing"],
		int(total(s, "rsync_sent_bytes_total")), int(total(s, "rsync_received_bytes_total")),
		files["send"], files["recv"], files["del."], int(total(s, "rsyncd_exporter_received_total"))}
	var words []string
	for _, n := range numbers {
		words = append(words, strconv.Itoa(n))
	}
	others := int(total(s, "rsyncd_exporter_ignored_total") + total(s, "rsyncd_exporter_discarded_total"))
	hosts := map[string]bool{}
	for series, v := range s {
		if v > 0 && strings.HasPrefix(series, "rsync_connections_total") {
			_, rest, _ := strings.Cut(series, `host="`)
			host, _, _ := strings.Cut(rest, `"`)
			hosts[host] = true
		}
	}
	host := "-"
	switch {
	case len(hosts) == 2 && hosts[""] && hosts["nas"]:
		host = "nas+-"
	case len(hosts) == 1:
		for h := range hosts {
			if h != "" {
				host = h
			}
		}
	}
	return append(words, strconv.Itoa(others), "", host)
}

// readForm reads a file of testdata/forms into a new pipeline, as the input would that it is for.
func readForm(t *testing.T, f lineForm) *pipeline.Pipeline {
	t.Helper()
	wrapped := strings.Contains(f.file, "imfile") || strings.HasPrefix(f.file, "logger") || strings.HasPrefix(f.file, "docker-") && f.read == "wire"
	tags := []string{"rsyncd*", "rsync.service"}
	if wrapped {
		tags = []string{"*"} // docker's is the container's id
	}
	p, err := pipeline.New(pipeline.Config{LogFormat: defaultFormat, Tags: tags, Limits: rsynclog.DefaultLimits(), MaxSeries: 10000})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(formsDir, f.file)
	src := receiver.Source{Input: f.read, Name: f.read, Wrapped: wrapped, Dialect: syslog.Auto{}}
	if f.read == "wire" {
		for _, d := range corpus.ReadDatagrams(t, name) {
			p.Deliver(&src, &receiver.Slab{Messages: [][]byte{d}})
		}
	} else {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		src.Scope, src.Dialect = receiver.StdinScope, syslog.Lines{}
		if err := stream.NewStdin(bytes.NewReader(b), src, p).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.EndAll(48 * 3600e9)
	return p
}

// Every form that other programs give rsyncd's messages comes to what the messages say. By hand, for those that hold
// the session: 305293 + 5108 + 77 + 393248 = 703726 bytes sent in four sessions (grep "sent " rsync.log).
func TestForms(t *testing.T) {
	forms := readForms(t)
	seen := map[string]bool{"README.md": true, "truth.tsv": true, "capture": true}
	for _, f := range forms {
		seen[f.file] = true
		t.Run(f.file, func(t *testing.T) {
			got := formWords(t, readForm(t, f), f.read)
			for i, want := range f.want {
				switch name := formColumns[i]; {
				case name == "continued", strings.Contains(want, "|") && slices.Contains(strings.Split(want, "|"), got[i]):
				case name == "host" && want == "nas|-" && got[i] == "nas+-":
				case name == "other":
					// A continued line is discarded, or a part that was put together with another.
					others, _ := strconv.Atoi(got[i])
					least, _ := strconv.Atoi(want)
					continued, _ := strconv.Atoi(f.want[i+1])
					if others < least || others > least+continued {
						t.Errorf("%s: %s, want %s (%s)", name, got[i], want, f.note)
					}
				case name == "lines":
					lines, _ := strconv.Atoi(got[i])
					most, _ := strconv.Atoi(want)
					continued, _ := strconv.Atoi(f.want[i+2])
					if lines > most || lines < most-continued {
						t.Errorf("%s: %s, want %s (%s)", name, got[i], want, f.note)
					}
				case got[i] != want:
					t.Errorf("%s: %s, want %s (%s)", name, got[i], want, f.note)
				}
			}
		})
	}
	names, err := os.ReadDir(formsDir)
	if err != nil || len(forms) < 60 {
		t.Fatalf("%d forms, %v", len(forms), err)
	}
	for _, n := range names {
		if !seen[n.Name()] {
			t.Errorf("%s is in no row of truth.tsv", n.Name())
		}
	}
}

// A text that is a line of rsync's own log is no such line unless the setting says so: clients write texts.
func TestFormsWrappedBySettingOnly(t *testing.T) {
	p := replay(t, pipeline.Config{}, &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}, corpus.ReadDatagrams(t, filepath.Join(formsDir, "imfile.raw")))
	if c := count(t, p); c.connections+c.executions+c.sent != 0 {
		t.Errorf("%+v was counted", c)
	}
}

// Who passes a log line on is another process each time, as with logger: when that began tells nothing of the line's
// own, and a connect that a client has forged is no other process'.
func TestFormsPassedOnByManyProcesses(t *testing.T) {
	p, err := pipeline.New(pipeline.Config{LogFormat: defaultFormat, Tags: []string{"rsyncd*"}, Limits: rsynclog.DefaultLimits(), MaxSeries: 10000})
	if err != nil {
		t.Fatal(err)
	}
	src := receiver.Source{Input: "unixgram", Name: "unixgram", Wrapped: true, Dialect: syslog.Auto{Local: true}}
	for i, text := range []string{"connect from localhost (127.0.0.1)", "rsync allowed access on module data from localhost (127.0.0.1)",
		"rsync on data/ from localhost (127.0.0.1)", "connect from evil (10.6.6.6)", "sent 100 bytes  received 10 bytes  total size 1"} {
		raw := fmt.Appendf(nil, "<13>Nov 23 18:40:52 rsyncd[%d]: 2026/11/23 18:40:52 [9] %s", 1000+i, text)
		p.Deliver(&src, &receiver.Slab{Messages: [][]byte{raw}, Senders: []receiver.Sender{{Started: uint64(i + 1)}}})
	}
	p.EndAll(48 * 3600e9)
	if c := count(t, p); c.connections != 1 || c.executions != 1 || c.sent != 100 {
		t.Errorf("%+v, want 1 connection, 1 execution and 100 bytes sent", c)
	}
}

// Two containers of one host, each with a process 9.
func TestFormsContainersHavePIDs(t *testing.T) {
	for name, line := range map[string]string{
		"compose": "%s-1  | 2026/11/23 18:40:52 [9] %s\n", "syslog": "Nov 23 18:40:52 nas %s[1234]: 2026/11/23 18:40:52 [9] %s\n",
	} {
		var b bytes.Buffer
		for _, text := range []string{"connect from localhost (127.0.0.1)", "rsync allowed access on module data from localhost (127.0.0.1)",
			"rsync on data/ from localhost (127.0.0.1)", "sent 100 bytes  received 10 bytes  total size 1"} {
			for _, container := range []string{"rsyncd-a", "rsyncd-b"} {
				fmt.Fprintf(&b, line, container, text)
			}
		}
		p, err := pipeline.New(pipeline.Config{LogFormat: defaultFormat, Tags: []string{"rsyncd*"}, Limits: rsynclog.DefaultLimits(), MaxSeries: 10000})
		if err != nil {
			t.Fatal(err)
		}
		src := receiver.Source{Input: "stdin", Name: "stdin", Scope: receiver.StdinScope, Wrapped: true, Dialect: syslog.Lines{}}
		if err := stream.NewStdin(&b, src, p).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.EndAll(48 * 3600e9)
		if c := count(t, p); c.connections != 2 || c.executions != 2 || c.outcomes[0] != 2 || c.sent != 200 {
			t.Errorf("%s: %+v, want 2 connections, executions and sessions, and 200 bytes sent", name, c)
		}
	}
}
