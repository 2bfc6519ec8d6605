package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/prototext"

	"rsyncd_exporter/internal/testenv"
)

// exposition fetches /metrics in the format that is asked for, packed or not.
func exposition(t *testing.T, url, accept string, packed bool) (kind string, body []byte) {
	t.Helper()
	r, err := http.NewRequest("GET", url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("Accept-Encoding", map[bool]string{false: "identity", true: "gzip"}[packed])
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || (answer.Header.Get("Content-Encoding") == "gzip") != packed {
		t.Fatalf("%s: %s, %q", accept, answer.Status, answer.Header.Get("Content-Encoding"))
	}
	content := io.Reader(answer.Body)
	if packed {
		if content, err = gzip.NewReader(content); err != nil {
			t.Fatal(err)
		}
	}
	if body, err = io.ReadAll(content); err != nil {
		t.Fatal(err)
	}
	return answer.Header.Get("Content-Type"), body
}

// Every format that /metrics has is one that Prometheus' own parser reads, that a strict one has nothing to say of, and
// holds the same series as the others.
func TestEveryFormatIsValid(t *testing.T) {
	testenv.SetEnv(t)
	dir := t.TempDir()
	testenv.WriteFile(t, dir+"/log", fileLine+"connect from a (192.0.2.1)\n"+
		fileLine+"rsync on odd \"\\module/x from a (192.0.2.1)\n"+fileLine+"building file list\n"+
		fileLine+"send a [192.0.2.1] odd \"\\module () x 5\n"+
		fileLine+"rsync error: some files could not be transferred (code 23) at main.c(1039) [sender=3.2.7]\n"+
		fileLine+"sent 10 bytes  received 20 bytes  total size 30\n")
	e := startExporter(t, "--listen-udp=off", "-p", dir+"/log", "--file-start=beginning", `--modules=odd "\module,b`,
		"--state-dir="+dir+"/state")
	e.until(1, "rsync_executions_total")
	const open, proto = "application/openmetrics-text;version=", "application/vnd.google.protobuf;" +
		"proto=io.prometheus.client.MetricFamily;encoding="
	var all map[string][]string // the first format's
	for _, accept := range []string{
		"*/*", "text/plain;version=0.0.4", "text/plain;version=1.0.0", "text/plain;version=1.0.0;escaping=allow-utf-8",
		"text/plain;version=1.0.0;escaping=underscores", "text/plain;version=1.0.0;escaping=dots",
		"text/plain;version=1.0.0;escaping=values", open + "0.0.1", open + "1.0.0", open + "1.0.0;escaping=allow-utf-8",
		open + "1.0.0;escaping=dots", open + "1.0.0;escaping=values", proto + "delimited",
		proto + "delimited;escaping=allow-utf-8", proto + "text", proto + "compact-text",
		// what Prometheus 3 sends
		open + "1.0.0;escaping=allow-utf-8;q=0.6," + open + "0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4," +
			"text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
	} {
		for _, packed := range []bool{false, true} {
			kind, body := exposition(t, e.url, accept, packed)
			series := readExposition(t, kind, body)
			if all == nil {
				all = series
			}
			if len(series) < 70 || !maps.EqualFunc(series, all, slices.Equal) {
				t.Errorf("%s (%s): %d names, the first format has %d", accept, kind, len(series), len(all))
				for name := range all {
					if !slices.Equal(series[name], all[name]) {
						t.Errorf("%s: %q, want %q", name, series[name], all[name])
					}
				}
			}
		}
	}
	for _, name := range []string{"go_memstats_heap_alloc_bytes", "go_memstats_alloc_bytes_total", "go_goroutines",
		"process_resident_memory_bytes", "rsync_session_duration_seconds_bucket"} { // that dashboards use
		if len(all[name]) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
}

// readExposition returns the label sets of each name, sorted. Protobuf as text, which no parser takes, has only to be
// protobuf as text; its result is that of the protobuf that it stands for.
func readExposition(t *testing.T, kind string, body []byte) map[string][]string {
	t.Helper()
	isOpen := strings.HasPrefix(kind, "application/openmetrics-text")
	if isOpen || strings.HasPrefix(kind, "text/plain") {
		for _, problem := range strictly(string(body), isOpen) {
			t.Errorf("%s: %s", kind, problem)
		}
	}
	if strings.Contains(kind, "encoding=text") || strings.Contains(kind, "encoding=compact-text") {
		return readProtobufText(t, string(body))
	}
	p, err := textparse.New(body, kind, nil, textparse.ParserOptions{
		OpenMetricsSkipSTSeries: true, KeepClassicOnClassicAndNativeHistograms: true,
	})
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	series := map[string][]string{}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		switch entry {
		case textparse.EntryHistogram: // a native one; its buckets come next, as other formats have them
			if _, _, h, f := p.Histogram(); h == nil && f == nil || h != nil && h.Validate() != nil {
				t.Errorf("%s: a histogram that is none", kind)
			}
			continue
		case textparse.EntrySeries:
		default:
			continue
		}
		var l labels.Labels
		p.Labels(&l)
		series[l.Get("__name__")] = append(series[l.Get("__name__")], l.String())
	}
	for _, sets := range series {
		slices.Sort(sets)
	}
	return series
}

// readProtobufText reads families, each of which begins with its name, by way of protobuf.
func readProtobufText(t *testing.T, text string) map[string][]string {
	t.Helper()
	var delimited bytes.Buffer
	for family := range strings.SplitSeq("\n"+text, "\nname:") {
		if family == "" {
			continue
		}
		var f dto.MetricFamily
		if err := prototext.Unmarshal([]byte("name:"+family), &f); err != nil {
			t.Fatalf("%v in %.200s", err, family)
		}
		if _, err := protodelim.MarshalTo(&delimited, &f); err != nil {
			t.Fatal(err)
		}
	}
	return readExposition(t, "application/vnd.google.protobuf", delimited.Bytes())
}

// suffixes are what names of series have behind their family's, by its type (OpenMetrics 1.0.0).
var suffixes = map[string][]string{
	"counter": {"_total", "_created"}, "gauge": {""}, "unknown": {""}, "info": {"_info"}, "stateset": {""},
	"histogram": {"_bucket", "_count", "_sum", "_created"}, "summary": {"", "_count", "_sum", "_created"},
}

// strictly returns what is wrong with a text, by the rules of OpenMetrics or of the older format: names that are used
// twice or clash, types behind samples, families and metrics in pieces, samples that are there twice, bad escapes and
// numbers, and no end.
func strictly(text string, open bool) (problems []string) {
	c := &strictChecker{open: open, families: map[string]string{}, names: map[string]string{}, series: map[string]bool{}}
	if !strings.HasSuffix(text, "\n") || strings.Contains(text, "\r") || !utf8.ValidString(text) {
		c.problem("lines or UTF-8 are broken")
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		c.at = line
		switch last := i == len(lines)-1; {
		case line == "# EOF":
			if !open || !last {
				c.problem("an end that is none")
			}
		case open && last:
			c.problem("no # EOF at the end")
		case strings.HasPrefix(line, "# "):
			c.metadata(line)
		default:
			c.sample(line)
		}
	}
	return c.problems
}

type strictChecker struct {
	open     bool
	problems []string
	at       string

	families map[string]string // the type of each
	names    map[string]string // of series that a family may have, and the family
	family   string            // the current one
	sampled  bool              // it has had samples
	seen     []string          // its metadata
	series   map[string]bool
}

func (c *strictChecker) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf("%s: %.120s", fmt.Sprintf(format, args...), c.at))
}

// metadata takes a line of HELP, TYPE or UNIT.
func (c *strictChecker) metadata(line string) {
	words := strings.SplitN(line, " ", 4)
	if len(words) < 3 {
		c.problem("a comment")
		return
	}
	what, name, value := words[1], words[2], strings.Join(words[3:], "")
	if name != c.family {
		c.begin(name)
	} else if c.sampled || slices.Contains(c.seen, what) {
		c.problem("a second family of that name, or %s twice", what)
	}
	c.seen = append(c.seen, what)
	switch what {
	case "TYPE":
		if !c.open && value == "untyped" {
			value = "unknown"
		}
		c.declare(name, value)
	case "UNIT":
		if !c.open || !strings.HasSuffix(name, "_"+value) {
			c.problem("a unit that is not the name's end")
		}
	case "HELP":
		checkEscapes(c, value, c.open)
	default:
		c.problem("a comment")
	}
}

// begin takes the name of the next family.
func (c *strictChecker) begin(name string) {
	if _, ok := c.families[name]; ok {
		c.problem("family %s comes twice", name)
	}
	c.families[name] = "unknown"
	c.family, c.sampled, c.seen = name, false, nil
}

// declare notes the names that a family's type gives it.
func (c *strictChecker) declare(name, kind string) {
	ends, ok := suffixes[kind]
	if !ok {
		c.problem("no type %q", kind)
	}
	if kind == "counter" && !c.open {
		ends = []string{""}
	}
	c.families[name] = kind
	if c.open {
		ends = append(slices.Clone(ends), "") // nobody else may have the family's own name
	}
	for _, end := range slices.Compact(ends) {
		if other, ok := c.names[name+end]; ok && other != name {
			c.problem("the name %s is family %s's, too", name+end, other)
		}
		c.names[name+end] = name
	}
}

// sample takes a line with a value.
func (c *strictChecker) sample(line string) {
	end := len(line)
	if i := strings.LastIndexByte(line, '}'); i >= 0 {
		end = i + 1
	} else if i := strings.IndexByte(line, ' '); i >= 0 {
		end = i
	}
	id, rest := line[:end], strings.Fields(line[end:])
	name, set, _ := strings.Cut(id, "{")
	if c.names[name] != c.family {
		c.problem("a sample of another family than %s", c.family)
	}
	c.sampled = true
	if c.series[id] {
		c.problem("the series comes twice")
	}
	c.series[id] = true
	if len(rest) != 1 {
		c.problem("%d fields behind the name", len(rest))
		return
	}
	value, err := strconv.ParseFloat(rest[0], 64)
	if kind := c.families[c.family]; err != nil || (kind == "counter" || kind == "histogram") && !(value >= 0) {
		c.problem("value %s of a %s", rest[0], kind)
	}
	c.labels(strings.TrimSuffix(set, "}"))
}

// labels takes a="b",c="d".
func (c *strictChecker) labels(set string) {
	seen := map[string]bool{}
	for set != "" {
		name, rest, ok := strings.Cut(set, `="`)
		end := 0
		for end < len(rest) && rest[end] != '"' {
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		if !ok || end >= len(rest) || seen[name] || name == "" {
			c.problem("label %q", name)
			return
		}
		seen[name] = true
		checkEscapes(c, rest[:end], true)
		set = strings.TrimPrefix(rest[end+1:], ",")
	}
}

// checkEscapes looks for a backslash that begins no escape.
func checkEscapes(c *strictChecker, text string, quotes bool) {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if i++; i == len(text) || !strings.ContainsRune(`\n`, rune(text[i])) && !(quotes && text[i] == '"') {
			c.problem("a backslash that is no escape")
		}
	}
}

// The strict parser is strict.
func TestStrictlyFindsWhatIsWrong(t *testing.T) {
	const begin, end = "# HELP a_total A.\n# TYPE a_total counter\n", "# EOF\n"
	for _, c := range []struct {
		name, text string
		open       bool
		want       string // in the first problem; empty for none
	}{
		{"a counter", "# TYPE a counter\na_total{b=\"\\\\\\\"\\n\"} 1.0\na_created{b=\"\\\\\\\"\\n\"} 1.0\n" + end, true, ""},
		{"a counter of old", begin + "a_total 1\n", false, ""},
		{"no end", "# TYPE a counter\na_total 1.0\n", true, "no # EOF"},
		{"an end of old", begin + "a_total 1\n" + end, false, "an end that is none"},
		{"a family twice", "# TYPE a gauge\na 1\n# TYPE a counter\na_total 1\n" + end, true, "a second family"},
		{"in pieces", "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\na{c=\"d\"} 1\n" + end, true, "comes twice"},
		{"a clash", "# TYPE a_created gauge\na_created 1\n# TYPE a counter\na_total 1\n" + end, true, "the name a_created"},
		{"a clash the other way", "# TYPE a histogram\n# TYPE a_sum gauge\n" + end, true, "the name a_sum"},
		{"a series twice", begin + "a_total 1\na_total 1\n", false, "the series comes twice"},
		{"a label twice", begin + "a_total{b=\"\",b=\"\"} 1\n", false, "label"},
		{"an escape", begin + "a_total{b=\"\\x\"} 1\n", false, "a backslash"},
		{"a sample of nobody", begin + "b 1\n", false, "another family"},
		{"a counter below 0", begin + "a_total -1\n", false, "value -1"},
		{"no number", begin + "a_total one\n", false, "value one"},
		{"a unit", "# TYPE a_s gauge\n# UNIT a_s seconds\na_s 1\n" + end, true, "a unit"},
	} {
		problems := strictly(c.text, c.open)
		if c.want == "" && len(problems) > 0 || c.want != "" && (len(problems) == 0 || !strings.Contains(problems[0], c.want)) {
			t.Errorf("%s: %q, want %q", c.name, problems, c.want)
		}
	}
}
