package pipeline_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

var corpusDir = corpus.Dir()

// A scenario is what really happened, as the clients knew it (truth.json; see the corpus' README).
type scenario struct {
	File   *run   `json:"file"`
	Syslog *run   `json:"syslog"`
	Conf   string `json:"rsyncd_conf"`
}

type run struct {
	DaemonPIDs  []int        `json:"daemon_pids"`
	Connections []connection `json:"connections"`
	Totals      struct {
		Connections    int `json:"connections"`
		ClientSent     int `json:"client_sent"`
		ClientReceived int `json:"client_received"`
	} `json:"totals"`
	Naive map[string]int `json:"naive_line_counts"`
}

type connection struct {
	Module    string `json:"module"`
	Direction string `json:"direction"`
	What      string `json:"what"`
	Exit      *int   `json:"client_exit"`
	Stats     *struct {
		Sent     int `json:"client_sent"`
		Received int `json:"client_received"`
	} `json:"stats"`
}

func readTruth(t *testing.T) map[string]scenario {
	t.Helper()
	truth := readTruthIn(t, corpusDir)
	if len(truth) < 50 {
		t.Fatalf("truth.json has %d scenarios, want at least 50", len(truth))
	}
	return truth
}

func readTruthIn(t *testing.T, dir string) map[string]scenario {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var truth map[string]scenario
	if err := json.Unmarshal(b, &truth); err != nil {
		t.Fatal(err)
	}
	return truth
}

// counted is what a pipeline has counted, summed over all series. Its strings are those of truth.tsv.
type counted struct {
	connections, executions int
	outcomes                [6]int // in the order of outcomeNames
	rejections, fileErrors  string
	files                   string
	sent, received          int
	codes                   string // exit codes
}

var outcomeNames = [6]string{"ok", "partial", "aborted", "rejected", "listing", "unknown"}

func count(t *testing.T, p *pipeline.Pipeline) counted {
	t.Helper()
	s := gathered(t, p)
	checkIdentities(t, s)
	c := counted{
		connections: int(total(s, "rsync_connections_total")),
		executions:  int(total(s, "rsync_executions_total")),
		rejections:  listed(byLabel(s, "rsync_rejected_total", "reason")),
		fileErrors:  listed(byLabel(s, "rsync_file_errors_total", "errno")),
		files:       listed(byLabel(s, "rsync_files_total", "operation")),
		sent:        int(total(s, "rsync_sent_bytes_total")),
		received:    int(total(s, "rsync_received_bytes_total")),
		codes:       listed(byLabel(s, "rsync_errors_total", "status_code")),
	}
	outcomes := byLabel(s, "rsync_sessions_total", "outcome")
	for i, name := range outcomeNames {
		c.outcomes[i] = outcomes[name]
	}
	return c
}

// byLabel sums the series of a metric by the value of one label; sums of 0 are left out.
func byLabel(series map[string]float64, name, label string) map[string]int {
	sums := map[string]int{}
	for s, v := range series {
		if _, rest, ok := strings.Cut(s, label+`="`); ok && v > 0 && strings.HasPrefix(s, name+"{") {
			value, _, _ := strings.Cut(rest, `"`)
			sums[value] += int(v)
		}
	}
	return sums
}

// listed writes sums as truth.tsv does: "auth:2 read_only:1", or "-".
func listed(sums map[string]int) string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(sums)) {
		words = append(words, fmt.Sprintf("%s:%d", k, sums[k]))
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, " ")
}

// A row is a line of truth.tsv: what a scenario's log must come to, worked out from what its clients knew (truth.json), by hand where a
// client was no rsync or was killed, or where the daemon does not log what the client knows; why says so. sent and received are what
// the clients counted; the daemon counts up to tolerance bytes more, 20 for each session (the corpus' README).
type row struct {
	counted
	tolerance int
	why       string
}

// readTable reads truth.tsv: rows by scenario and form, "syslog" or "file".
func readTable(t *testing.T) map[[2]string]row { return readTableIn(t, "testdata/truth.tsv") }

func readTableIn(t *testing.T, name string) map[[2]string]row {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	table := map[[2]string]row{}
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		f := strings.Split(line, "\t")
		if i == 0 {
			continue // the columns' names
		}
		if len(f) != 17 {
			t.Fatalf("%s:%d: %d columns, want 17", name, i+1, len(f))
		}
		number := func(column int) int {
			n, err := strconv.Atoi(strings.TrimPrefix(strings.Replace(f[column], "=", "0", 1), "+"))
			if err != nil {
				t.Fatalf("%s:%d: column %d: %v", name, i+1, column+1, err)
			}
			return n
		}
		r := row{tolerance: number(15), why: f[16]}
		r.connections, r.executions, r.sent, r.received = number(2), number(3), number(13), number(14)
		for o := range r.outcomes {
			r.outcomes[o] = number(4 + o)
		}
		r.rejections, r.fileErrors, r.files = f[10], f[11], f[12]
		table[[2]string{f[0], f[1]}] = r
	}
	return table
}

// agree compares what was counted with a row.
func agree(t *testing.T, got counted, want row) {
	t.Helper()
	extra := [2]int{got.sent - want.sent, got.received - want.received}
	for i, name := range [...]string{"sent", "received"} {
		if extra[i] < 0 || extra[i] > want.tolerance {
			t.Errorf("%s bytes: %+v, want %+v and up to %d more", name, got, want, want.tolerance)
		}
	}
	got.sent, got.received, got.codes = want.sent, want.received, want.codes
	if want.files == "?" { // the clients' statistics don't tell
		got.files = "?"
	}
	if got != want.counted {
		t.Errorf("got  %+v\nwant %+v (%s)", got, want.counted, want.why)
	}
}

// runs calls f with every row of the table in one form.
func runs(t *testing.T, form string, f func(t *testing.T, scenario string, want row)) {
	t.Helper()
	n := 0
	for key, want := range readTable(t) {
		if key[1] == form {
			n++
			t.Run(key[0], func(t *testing.T) { f(t, key[0], want) })
		}
	}
	if n < 50 {
		t.Errorf("truth.tsv has %d scenarios in the form %s, want at least 50", n, form)
	}
}

// replay sends messages through a new pipeline and lets every session end that can; those that said nothing at their end expire.
func replay(t *testing.T, c pipeline.Config, src *receiver.Source, messages [][]byte) *pipeline.Pipeline {
	t.Helper()
	c.LogFormat, c.Tags, c.Limits, c.MaxSeries = defaultFormat, []string{"*"}, rsynclog.DefaultLimits(), 10000
	p, err := pipeline.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for len(messages) > 0 {
		n := min(len(messages), 64)
		p.Deliver(src, &receiver.Slab{Messages: messages[:n]})
		messages = messages[n:]
	}
	p.Sessions().CaughtUp(src.Scope)
	p.EndAll(48 * time.Hour)
	return p
}

const defaultFormat = "%o %h [%a] %m (%u) %f %l"

// config returns what RSYNCD_CONF would tell of a scenario's modules.
func (s scenario) config() pipeline.Config {
	c := pipeline.Config{ModuleFormats: map[string]string{}}
	for line := range strings.Lines(s.Conf) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			c.Modules = append(c.Modules, strings.TrimSuffix(name, "]"))
		}
		if format, ok := strings.CutPrefix(line, "log format ="); ok {
			c.ModuleFormats[c.Modules[len(c.Modules)-1]] = strings.TrimSpace(format)
		}
	}
	return c
}

// agreeInEveryConfig replays a scenario with and without knowledge of its rsyncd.conf; without, files in other log formats than the
// default aren't seen.
func agreeInEveryConfig(t *testing.T, conf pipeline.Config, src *receiver.Source, messages [][]byte, want row) (got counted) {
	t.Helper()
	p := replay(t, conf, src, messages)
	got = count(t, p)
	agree(t, got, want)
	if len(conf.ModuleFormats) > 0 {
		want.files = "?"
	}
	agree(t, count(t, replay(t, pipeline.Config{}, src, messages)), want)
	return got
}

func syslogSource() *receiver.Source {
	return &receiver.Source{Input: "unixgram", Name: "unixgram", Dialect: syslog.Auto{Local: true}}
}

func fileSource() *receiver.Source {
	return &receiver.Source{Input: "file", Name: "file", Scope: 1, Dialect: syslog.Lines{}}
}

// exitLine is an independent reading of the lines that rsync_errors_total counts.
var exitLine = regexp.MustCompile(`^rsync (?:error|warning): .* \(code (\d+)\) at [^ ]+\(\d+\) \[[A-Za-z]+=[^ ]+\]$`)

func exitCodes(texts [][]byte) string {
	codes := map[string]int{}
	for _, text := range texts {
		if m := exitLine.FindSubmatch(text); m != nil {
			codes[string(m[1])]++
		}
	}
	return listed(codes)
}

// TestCorpusSyslog replays the datagrams of every scenario. One number by hand: download_small is two pulls, whose summaries
// "sent 75305 bytes  received 98 bytes" and "sent 143 bytes  received 26 bytes" make 75448 and 124; the clients counted
// 75285+123 received, 40 less.
func TestCorpusSyslog(t *testing.T) {
	truth := readTruth(t)
	runs(t, "syslog", func(t *testing.T, scenario string, want row) {
		messages := corpus.ReadDatagrams(t, filepath.Join(corpusDir, "syslog", scenario+".raw"))
		var texts [][]byte
		for _, m := range messages {
			_, text, _ := bytes.Cut(bytes.TrimSuffix(m, []byte("\n")), []byte("]: "))
			texts = append(texts, text)
		}
		got := agreeInEveryConfig(t, truth[scenario].config(), syslogSource(), messages, want)
		if codes := exitCodes(texts); got.codes != codes {
			t.Errorf("exit codes: %s, want %s", got.codes, codes)
		}
	})
	got := count(t, replay(t, pipeline.Config{}, syslogSource(), corpus.ReadDatagrams(t, filepath.Join(corpusDir, "syslog", "download_small.raw"))))
	if got.sent != 75448 || got.received != 124 {
		t.Errorf("download_small: %d and %d bytes, want 75448 and 124", got.sent, got.received)
	}
}

// TestCorpusFile replays the log files of every scenario.
func TestCorpusFile(t *testing.T) {
	truth := readTruth(t)
	runs(t, "file", func(t *testing.T, scenario string, want row) {
		names, err := filepath.Glob(filepath.Join(corpusDir, "file", scenario+".*log"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no log: %v", err)
		}
		var lines, texts [][]byte
		for _, n := range names {
			for _, line := range corpus.ReadLines(t, n) {
				lines = append(lines, line)
				_, text, _ := bytes.Cut(line, []byte("] "))
				texts = append(texts, text)
			}
		}
		got := agreeInEveryConfig(t, truth[scenario].config(), fileSource(), lines, want)
		if codes := exitCodes(texts); got.codes != codes {
			t.Errorf("exit codes: %s, want %s", got.codes, codes)
		}
	})
}
