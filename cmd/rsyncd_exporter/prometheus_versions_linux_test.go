package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// switched is a Prometheus with its switches, and what comes of them: a row of the table in docs/prometheus.md.
type switched struct {
	version  string // "2", which Debian has, or "3", which `make prometheus3` builds
	features string // of --enable-feature
	through  string // empty, or how its samples get into another Prometheus: "remote write" by an agent, "federation"
	global   string // lines of the configuration's global section
	first    bool   // increase() has the first event of a series
	native   bool   // the durations of sessions are a native histogram
	classic  bool   // and they have classic buckets
}

const (
	zeros            = "created-timestamp-zero-ingestion"
	native           = "scrape_native_histograms: true"
	nativeAndClassic = native + "\nalways_scrape_classic_histograms: true"
)

var switches = []switched{
	{version: "2", classic: true},
	{version: "2", features: "native-histograms", native: true},
	{version: "3", classic: true},
	{version: "3", global: native, native: true},
	{version: "3", global: nativeAndClassic, native: true, classic: true},
	{version: "3", features: zeros, first: true, classic: true},
	{version: "3", features: zeros, global: native, first: true, native: true},
	{version: "3", features: zeros, global: nativeAndClassic, first: true, native: true, classic: true},
	{version: "3", features: zeros, global: nativeAndClassic + "\n" + "scrape_protocols: [OpenMetricsText1.0.0]", first: true, classic: true},
	{version: "3", features: zeros, global: nativeAndClassic + "\n" + "scrape_protocols: [PrometheusText1.0.0]", classic: true},
	{version: "3", features: "st-storage,use-start-timestamps", global: nativeAndClassic, first: true, native: true, classic: true},
	{version: "3", features: zeros, global: nativeAndClassic, through: "remote write", first: true, native: true, classic: true},
	{version: "3", features: zeros, global: nativeAndClassic, through: "federation", native: true, classic: true},
}

func (s switched) String() string {
	return strings.Join(strings.Fields(s.version+" "+s.features+" "+s.global+" "+s.through), " ")
}

// start runs it on deploy/prometheus/prometheus.yml with these switches. It scrapes the target every second. What it returns is where
// the samples end up.
func (s switched) start(t *testing.T, target string) *testenv.Prometheus {
	t.Helper()
	program := testenv.Need(t, "prometheus")
	if s.version == "3" {
		program = testenv.Prometheus3(t, "prometheus")
	}
	global := "global:\n"
	for line := range strings.Lines(s.global) {
		global += "  " + strings.TrimSpace(line) + "\n"
	}
	start := func(conf, kind string, args ...string) *testenv.Prometheus {
		args = append(args, "--storage."+kind+".path="+filepath.Join(testenv.Dir(t), "data"))
		if s.features != "" {
			args = append(args, "--enable-feature="+s.features)
		}
		return testenv.StartPrometheusConf(t, program, conf, args...)
	}
	if s.through == "remote write" { // without a switch at the other end
		empty := filepath.Join(testenv.Dir(t), "prometheus.yml")
		put(t, empty, []byte("global: {}\n"))
		p := testenv.StartPrometheusConf(t, program, empty, "--web.enable-remote-write-receiver",
			"--storage.tsdb.path="+filepath.Join(testenv.Dir(t), "data"))
		start(recipe(t, "remote write", "exporter-0.example.org:8080", target, "          - exporter-1.example.org:8080\n", "",
			"          - exporter-2.example.org:8080\n", "", "http://prometheus.example.org:9090", p.URL, "global:\n", global),
			"agent", "--agent")
		return p
	}
	p := start(shippedConfig(t, "scrape_interval: 10s", "scrape_interval: 1s", "app:8080", target, "global:\n", global), "tsdb")
	if s.through == "federation" {
		p = start(recipe(t, "federation", "prometheus-0.example.org:9090", strings.TrimPrefix(p.URL, "http://"),
			"scrape_configs:", global+"  scrape_interval: 1s\nscrape_configs:"), "tsdb")
	}
	return p
}

// row is its row in the table of docs/prometheus.md.
func (s switched) row() string {
	code := func(text string) string {
		var all []string
		for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' }) {
			all = append(all, "`"+line+"`")
		}
		return strings.Join(all, ", ")
	}
	yes := map[bool]string{true: "yes", false: "no"}
	where := map[string]string{"2": "Debian's 2.42", "3": "3.16"}[s.version]
	if s.through != "" {
		where += ", through " + s.through
	}
	cells := []string{"", where, code(s.features), code(s.global), yes[s.first], yes[s.native], yes[s.classic], ""}
	return strings.ReplaceAll(strings.TrimSpace(strings.Join(cells, " | ")), "|  |", "| |")
}

// docs/prometheus.md says what these tests see.
func TestDocumentedSwitches(t *testing.T) {
	want := ""
	for _, s := range switches {
		want += s.row() + "\n"
	}
	doc, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs/prometheus.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), "|\n"+want+"\n") {
		t.Errorf("the table of docs/prometheus.md should be\n%s", want)
	}
}

// shippedConfig returns the path of a copy of deploy/prometheus/prometheus.yml in which texts are replaced.
func shippedConfig(t *testing.T, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), "deploy/prometheus/prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if n := strings.Count(string(text), replace[i]); n != 1 && replace[i] != "app:8080" || n == 0 {
			t.Fatalf("prometheus.yml has %d times %q", n, replace[i])
		}
	}
	path := filepath.Join(testenv.Dir(t), "prometheus.yml")
	put(t, path, []byte(strings.NewReplacer(replace...).Replace(string(text))))
	return path
}

// oneSession sends the messages of a pull, and of one file of it that could not be read.
func oneSession(t *testing.T, to net.Conn, host, module string, pid int) {
	t.Helper()
	for _, text := range []string{
		"connect from client (192.0.2.1)", "rsync allowed access on module " + module + " from client (192.0.2.1)",
		"rsync on " + module + "/ from client (192.0.2.1)", "building file list",
		`rsync: [sender] send_files failed to open "/f" (in ` + module + `): Permission denied (13)`,
		"send client [192.0.2.1] " + module + " () f 5000", "sent 5100 bytes  received 40 bytes  total size 5000",
	} {
		if _, err := fmt.Fprintf(to, "<30>%s %s rsyncd[%d]: %s\n", time.Now().Format(time.RFC3339), host, pid, text); err != nil {
			t.Fatal(err)
		}
	}
}

// firstEvents are series that a host's first session makes, at 1 or more.
var firstEvents = []string{
	`rsync_connections_total{host="m1"}`, `rsync_executions_total{host="m1",module="pub",direction="send"}`,
	`rsync_file_errors_total{host="m1",module="pub",errno="13"}`, `rsync_files_total{host="m1",module="pub",operation="send"}`,
	`rsync_messages_total{host="m1",kind="connect"}`,
}

// rowsOf returns the rows of one version of Prometheus. It skips the test where that isn't there.
func rowsOf(t *testing.T, version string) (rows []switched) {
	t.Helper()
	for _, s := range switches {
		if s.version == version {
			rows = append(rows, s)
		}
	}
	if version == "3" {
		testenv.Prometheus3(t, "prometheus")
	}
	return rows
}

func TestSwitchesOfDebiansPrometheus(t *testing.T) { t.Parallel(); compareSwitches(t, rowsOf(t, "2")) }
func TestSwitchesOfPrometheus3(t *testing.T)       { t.Parallel(); compareSwitches(t, rowsOf(t, "3")) }

// compareSwitches has each Prometheus scrape one exporter, and looks what it makes of that: whether increase() has the first
// event of a series, how a histogram arrives, and names that are anybody's.
func compareSwitches(t *testing.T, rows []switched) {
	t.Helper()
	tcp, log := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)), filepath.Join(testenv.Dir(t), "log")
	for i, seconds := range []int{2, 10, 100} { // sessions, by the stamps of a log
		began := time.Date(2026, 11, 23, 18, 0, 0, 0, time.Local)
		line := func(after int, text string) {
			stamp := began.Add(time.Duration(after) * time.Second).Format("2006/01/02 15:04:05")
			appendFile(t, log, fmt.Sprintf("%s [%d] %s\n", stamp, 500+i, text))
		}
		line(0, "connect from client (192.0.2.1)")
		line(0, "rsync allowed access on module old from client (192.0.2.1)")
		line(0, "rsync on old/ from client (192.0.2.1)")
		line(seconds, "sent 10 bytes  received 20 bytes  total size 30")
	}
	e := startExporter(t, "--listen-udp=off", "--listen-tcp="+tcp, "--file="+log, "--file-start=beginning")
	e.until(3, "rsync_sessions_total", `module="old"`, `outcome="ok"`)

	target := strings.TrimPrefix(e.url, "http://")
	var all []*testenv.Prometheus
	for _, s := range rows {
		all = append(all, s.start(t, target))
	}
	for i, s := range rows {
		testenv.Until(t, time.Minute, s.String()+" to scrape", func() bool {
			n, _ := all[i].Query(t, "count_over_time(up[1m])")
			return n >= 2
		})
	}
	to := dial(t, "tcp", tcp)
	oneSession(t, to, "m1", "pub", 7)
	e.until(float64(sendNames(t, to)), "rsync_executions_total", `host="names"`)
	kind, body := exposition(t, e.url, "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8", false)
	names := readExposition(t, kind, body)["rsync_executions_total"]
	names = slices.DeleteFunc(names, func(labels string) bool { return !strings.Contains(labels, `host="names"`) })
	slices.Sort(names)
	for i, s := range rows {
		t.Run(s.String(), func(t *testing.T) {
			s.check(t, all[i])
			checkNames(t, all[i], names)
		})
	}
}

// last asks for the last values of series, also where the last scrape came too late: a busy machine may take a second.
func last(selector string) string { return "last_over_time(" + selector + "[10m])" }

func (s switched) check(t *testing.T, p *testenv.Prometheus) {
	t.Helper()
	for _, series := range firstEvents {
		testenv.Until(t, patient, series+" ten times", func() bool {
			n, _ := p.Query(t, "count_over_time("+series+"[10m])")
			return n >= 10
		})
		// increase() extrapolates to the end of its window, by as much as two samples lie apart.
		if got, _ := p.Query(t, "increase("+series+"[10m])"); (got >= 0.99) != s.first || got > 1.3 {
			t.Errorf("increase() of %s is %v; first event: %t", series, got, s.first)
		}
		if s.first && s.features == zeros { // without extrapolation
			if got, _ := p.Query(t, "increase("+series+"[10m] anchored)"); got != 1 {
				t.Errorf("the anchored increase() of %s is %v, want 1", series, got)
			}
		}
	}
	const durations = `rsync_session_duration_seconds`
	_, classic := p.Query(t, last(durations+`_bucket{module="old"}`))
	const native = durations + `{module="old"}` // of Prometheus 2, last_over_time() gives no native histograms
	isNative := func() bool {
		n, _ := p.Query(t, "histogram_count("+native+")")
		return n == 3
	}
	if s.native {
		testenv.Until(t, patient, "a native histogram of three sessions", isNative)
	} else if isNative() {
		t.Error("there is a native histogram")
	}
	if classic != s.classic {
		t.Errorf("classic buckets: %t, want %t", classic, s.classic)
	}
	if s.native {
		var sum, median float64
		testenv.Until(t, patient, "a scrape in time", func() (there bool) {
			if sum, there = p.Query(t, "histogram_sum("+native+")"); !there {
				return false
			}
			median, there = p.Query(t, "histogram_quantile(0.5, "+native+")")
			return there
		})
		if sum != 112 || median < 9.51 || median > 11.32 { // the bucket of 10 s
			t.Errorf("native: %v s, median %v", sum, median)
		}
	}
	if classic {
		count, _ := p.Query(t, last(durations+`_count{module="old"}`))
		sum, _ := p.Query(t, last(durations+`_sum{module="old"}`))
		median, _ := p.Query(t, "histogram_quantile(0.5, "+last(durations+`_bucket{module="old"}`)+")")
		if count != 3 || sum != 112 || median < 3 || median > 10 {
			t.Errorf("classic: %v sessions, %v s, median %v", count, sum, median)
		}
	}
}

// namesOfAnybody are names that anybody may give, as labels have them.
var namesOfAnybody = []string{`odd "\module`, "mödül 日本", `a{b="c"}`, "x#012y", "\u202eright to left", "smile 😀", `\n`, " "}

// sendNames sends a session with each odd name, and with some that labels can't have as they are.
func sendNames(t *testing.T, to net.Conn) (sessions int) {
	t.Helper()
	all := append(slices.Clip(namesOfAnybody), "not\xffUTF-8", "tab\there")
	for i, module := range all {
		oneSession(t, to, "names", module, 100+i)
	}
	return len(all)
}

// checkNames compares what Prometheus has of the names with what the exporter serves.
func checkNames(t *testing.T, p *testenv.Prometheus, want []string) {
	t.Helper()
	var got []string
	for _, sample := range p.QueryAt(t, last(`rsync_executions_total{host="names"}`), time.Now()) {
		delete(sample.Labels, "instance")
		delete(sample.Labels, "job")
		delete(sample.Labels, "site")
		got = append(got, written(sample.Labels))
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("Prometheus has %q, the exporter %q", got, want)
	}
	for _, module := range namesOfAnybody {
		if v, _ := p.Query(t, last(fmt.Sprintf("rsync_executions_total{module=%q}", module))); v != 1 {
			t.Errorf("module %q: %v", module, v)
		}
	}
}

// written returns labels as Prometheus writes them.
func written(labels map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, fmt.Sprintf("%s=%q", name, labels[name]))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

// Prometheus 3 takes each file in deploy/prometheus: the configuration, rules, and tests of rules.
func TestPrometheus3TakesWhatIsShipped(t *testing.T) {
	t.Parallel()
	promtool := testenv.Prometheus3(t, "promtool")
	files, err := filepath.Glob(filepath.Join(testenv.Root(t), "deploy/prometheus/*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in deploy/prometheus: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		what := []string{"check", "config"}
		switch has := func(key string) bool { return strings.Contains("\n"+string(text), "\n"+key+":") }; {
		case has("tests"):
			what = []string{"test", "rules"}
		case has("groups"):
			what = []string{"check", "rules"}
		}
		cmd := exec.Command(promtool, append(what, file)...)
		cmd.Dir = filepath.Dir(file)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v %s: %v\n%s", what, filepath.Base(file), err, out)
		}
	}
}
