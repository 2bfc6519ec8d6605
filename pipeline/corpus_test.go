package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/rsynclog"
)

const corpus = "../testdata/corpus"

// A scenario is what really happened, as the clients knew it (truth.json; see the corpus' README).
type scenario struct {
	File   *run `json:"file"`
	Syslog *run `json:"syslog"`
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
	b, err := os.ReadFile(filepath.Join(corpus, "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var truth map[string]scenario
	if err := json.Unmarshal(b, &truth); err != nil {
		t.Fatal(err)
	}
	if len(truth) < 50 {
		t.Fatalf("truth.json has %d scenarios, want at least 50", len(truth))
	}
	return truth
}

// datagrams reads a .raw file: one datagram a line as "LEN SP TEXT".
func datagrams(t *testing.T, name string) [][]byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for line := range bytes.Lines(b) {
		size, text, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		d := undump(text)
		if n, err := strconv.Atoi(string(size)); err != nil || n != len(d) {
			t.Fatalf("%s: a datagram of %q bytes has %d", name, size, len(d))
		}
		out = append(out, d)
	}
	return out
}

// undump reverses the dumps' escapes: \\ and \n and \xNN.
func undump(text []byte) []byte {
	var d []byte
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\':
			d = append(d, text[i])
		case text[i+1] == 'x':
			n, _ := strconv.ParseUint(string(text[i+2:i+4]), 16, 8)
			d = append(d, byte(n))
			i += 3
		case text[i+1] == 'n':
			d = append(d, '\n')
			i++
		default:
			d = append(d, text[i+1])
			i++
		}
	}
	return d
}

// replay sends a scenario through a new pipeline and returns it, every session that can settle settled.
func replay(t *testing.T, c Config, src *receiver.Source, messages [][]byte) *Pipeline {
	t.Helper()
	if c.LogFormat == "" {
		c.LogFormat = defaultFormat
	}
	if c.Tags == nil {
		c.Tags = []string{"*"}
	}
	c.Limits = rsynclog.DefaultLimits()
	c.Limits.Settle = 0
	c.MaxSeries = 10000
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	for len(messages) > 0 {
		n := min(len(messages), 64)
		p.Deliver(src, &receiver.Slab{Messages: messages[:n]})
		messages = messages[n:]
	}
	p.Tick()
	return p
}

const defaultFormat = "%o %h [%a] %m (%u) %f %l"

func syslogSource() *receiver.Source {
	return &receiver.Source{Input: "unixgram", Name: "unixgram", Dialect: receiver.Auto{Local: true}}
}

func fileSource() *receiver.Source {
	return &receiver.Source{Input: "file", Name: "file", Scope: 1, Dialect: receiver.Lines{}}
}

// counted is the scenario's sum over all series.
type counted struct {
	connections, executions uint64
	sent, received          uint64
	codes                   map[string]int
}

func sums(t *testing.T, p *Pipeline) counted {
	t.Helper()
	s := gathered(t, p)
	c := counted{codes: map[string]int{}}
	c.connections = uint64(total(s, "rsync_connections_total"))
	c.executions = uint64(total(s, "rsync_executions_total"))
	c.sent = uint64(total(s, "rsync_sent_bytes_total"))
	c.received = uint64(total(s, "rsync_received_bytes_total"))
	for code, n := range byLabel(s, "rsync_errors_total", "status_code") {
		c.codes[code] = n
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

// exitLine is an independent reading of the lines that rsync_errors_total counts.
var exitLine = regexp.MustCompile(`^rsync (?:error|warning): .* \(code (\d+)\) at [^ ]+\(\d+\) \[[A-Za-z]+=[^ ]+\]$`)

func exitLines(texts [][]byte) map[string]int {
	codes := map[string]int{}
	for _, text := range texts {
		if m := exitLine.FindSubmatch(text); m != nil {
			codes[string(m[1])]++
		}
	}
	return codes
}

// expected is what truth says of a run, with the room that the corpus' README gives: per session that has statistics the daemon's
// counts are 5 to 20 bytes above the client's.
type expected struct {
	connections, executions int
	sent, received          int // lower bounds
	slack                   int
}

func expectation(r *run) expected {
	e := expected{connections: r.Totals.Connections, executions: r.Naive["on"] + r.Naive["to"]}
	for _, c := range r.Connections {
		if c.Stats == nil {
			continue
		}
		e.sent += c.Stats.Received
		e.received += c.Stats.Sent
		e.slack += 20
	}
	return e
}

// A correction says where a log tells something else than its clients' knowledge, and why. A field of -1 keeps the truth.
type correction struct {
	why                     string
	connections, executions int
	sent, received          int // exact sums, taken from the log by hand
}

func keep(why string) correction { return correction{why, -1, -1, -1, -1} }

func check(t *testing.T, r *run, c correction, got counted, codes map[string]int) {
	t.Helper()
	want := expectation(r)
	if c.connections >= 0 {
		want.connections = c.connections
	}
	if c.executions >= 0 {
		want.executions = c.executions
	}
	if int(got.connections) != want.connections {
		t.Errorf("connections: %d, want %d", got.connections, want.connections)
	}
	if int(got.executions) != want.executions {
		t.Errorf("executions: %d, want %d", got.executions, want.executions)
	}
	if fmt.Sprint(got.codes) != fmt.Sprint(codes) {
		t.Errorf("error codes: %v, want %v", got.codes, codes)
	}
	bytesBetween(t, "sent", got.sent, want.sent, want.slack, c.sent)
	bytesBetween(t, "received", got.received, want.received, want.slack, c.received)
}

func bytesBetween(t *testing.T, name string, got uint64, low, slack, exact int) {
	t.Helper()
	if exact >= 0 {
		low, slack = exact, 0
	}
	if int(got) < low || int(got) > low+slack {
		t.Errorf("%s bytes: %d, want %d to %d", name, got, low, low+slack)
	}
}

// TestCorpusSyslog replays the datagrams of every scenario. One number by hand: download_small is two pulls, whose summaries
// "sent 75305 bytes  received 98 bytes" and "sent 143 bytes  received 26 bytes" make 75448 and 124; the clients counted
// 75285+123 received, 40 less.
func TestCorpusSyslog(t *testing.T) {
	for name, s := range readTruth(t) {
		if s.Syslog == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			messages := datagrams(t, filepath.Join(corpus, "syslog", name+".raw"))
			var texts [][]byte
			for _, m := range messages {
				_, text, _ := bytes.Cut(bytes.TrimSuffix(m, []byte("\n")), []byte("]: "))
				texts = append(texts, text)
			}
			got := sums(t, replay(t, Config{}, syslogSource(), messages))
			check(t, s.Syslog, correctionOf(name, "syslog"), got, exitLines(texts))
		})
	}
}

// TestCorpusFile replays the log files of every scenario.
func TestCorpusFile(t *testing.T) {
	for name, s := range readTruth(t) {
		if s.File == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			names, err := filepath.Glob(filepath.Join(corpus, "file", name+".*log"))
			if err != nil || len(names) == 0 {
				t.Fatalf("no log: %v", err)
			}
			var lines, texts [][]byte
			for _, n := range names {
				b, err := os.ReadFile(n)
				if err != nil {
					t.Fatal(err)
				}
				for line := range bytes.Lines(b) {
					line = bytes.TrimSuffix(line, []byte("\n"))
					lines = append(lines, line)
					_, text, _ := bytes.Cut(line, []byte("] "))
					texts = append(texts, text)
				}
			}
			got := sums(t, replay(t, Config{}, fileSource(), lines))
			check(t, s.File, correctionOf(name, "file"), got, exitLines(texts))
		})
	}
}

func correctionOf(name, mode string) correction {
	if c, ok := corrections[name+" "+mode]; ok {
		return c
	}
	if c, ok := corrections[name]; ok {
		return c
	}
	return keep("")
}

// corrections lists every scenario in which the log and the clients' knowledge differ. The sums were added up by hand from the
// summaries in the log, without the listener's own.
var corrections = map[string]correction{
	"client_sigkill_download": {noStatistics, -1, -1, 1016220, 72},
	"child_sigterm_download":  {noStatistics, -1, -1, 983444, 72},
	"timeout_io syslog":       {noStatistics, -1, -1, 9046263 + 132, 42 + 30007453},
	"timeout_io file":         {noStatistics, -1, -1, 9308471 + 132, 42 + 30007457},
	"protocol_garbage":        {"clients that are no rsync; the daemon received 400 bytes from one of them", -1, -1, 0, 400},
	"xfer_exec_hooks syslog": {"three sessions whose pre-xfer exec failed got only its message: 123, 41 and 41 bytes", -1, -1,
		75310 + 123 + 41 + 3*75313 + 41 + 90 + 96, 98 + 3*101 + 75320 + 8},
	"xfer_exec_hooks file": {"likewise", -1, -1,
		75305 + 123 + 41 + 3*75308 + 41 + 90 + 96, 98 + 3*101 + 75307 + 8},
	"upload_permission_denied":    {noSummary, -1, -1, 0, 0},
	"partial_upload_3_5_0":        {noSummary, -1, -1, 42, 196},
	"partial_upload_3_1_3 syslog": {noSummary, -1, -1, 209 + 510 + 35, 170 + 5295 + 193},
	"partial_upload_3_1_3 file":   {noSummary, -1, -1, 209 + 510 + 35, 167 + 5295 + 185},
	"version_2_6_9 syslog": {"2.6.9 logs no summary for a partial download and counts only the parent's share of an upload", -1, -1,
		76701 + 524 + 76742 + 76707 + 76707, 582 + 661 + 611 + 586 + 588},
	"version_2_6_9 file": {forgedConnect, 23, -1, 76701 + 524 + 76742 + 76701 + 76707, 582 + 661 + 611 + 580 + 588},
	"version_3_1_3 syslog": {"3.1.3 logs no summary for a partial download with code 23", -1, -1,
		76756 + 2937 + 2*76763 + 84 + 76763, 448 + 76762 + 3*455 + 8},
	"version_3_1_3 file":     {forgedConnect, 23, -1, 76760 + 2937 + 2*76763 + 84 + 76759, 452 + 76770 + 2*455 + 8 + 451},
	"proxy_protocol":         {"three clients sent no acceptable PROXY header: no connect line is logged for them", 6, -1, -1, -1},
	"daemon_config_errors":   {"with a broken configuration the second client's child ends before its connect line", 1, -1, -1, -1},
	"log_rotation_by_rename": {"two of the three sessions are in the rotated file, which truth's line counts leave out", -1, 3, -1, -1},
	"log_file_cmdline_and_per_module": {"the fourth session logs to syslog, because its module's log file can't be opened; two log to the module's own file",
		-1, 3, 75301 + 75305 + 93, 94 + 98 + 8},
}

const (
	noStatistics  = "a killed or timed out client printed no statistics, but the daemon logged a summary"
	noSummary     = "a failed upload has no summary, though its client has statistics"
	forgedConnect = "before 3.5.0 the file holds raw line feeds of file names: one of them makes a whole line \"[1] connect from evil\", which nothing tells from a real one"
)

// TestCorrectionsHaveReasons keeps the list honest.
func TestCorrectionsHaveReasons(t *testing.T) {
	truth := readTruth(t)
	for name, c := range corrections {
		if _, ok := truth[strings.Fields(name)[0]]; !ok || c.why == "" {
			t.Errorf("%s: no such scenario, or no reason", name)
		}
	}
}
