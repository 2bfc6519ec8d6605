package main

import (
	"cmp"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

var labelValue = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)

// What a program shows of closed labels is in the reference, and of the types that it says.
func TestDocumentsHaveWhatAProgramShows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := startExporter(t, "--state-dir="+t.TempDir(), "--session-log="+filepath.Join(dir, "sessions"), "--expect=mirror", "--modules=mirror",
		"--listen-unixgram="+filepath.Join(dir, "log"), "--file="+filepath.Join(testenv.Root(t), "testdata/forms/rsync.log"), "--file-start=beginning",
		"--listen-udp=127.0.0.1:"+strconv.Itoa(testenv.Port(t)), "--listen-tcp=127.0.0.1:"+strconv.Itoa(testenv.Port(t)))
	e.until(3, "rsync_sessions_total", `outcome="ok"`)
	all, seen := closedLabels(), map[string]bool{}
	for series := range e.scrape() {
		metric, _, _ := strings.Cut(series, "{")
		for _, m := range labelValue.FindAllStringSubmatch(series, -1) {
			c := sectionOf(all, metric, m[1])
			if c == nil || !strings.HasPrefix(metric, "rsync") {
				continue
			}
			seen[c.title] = true
			if !slices.ContainsFunc(c.values, func(v value) bool { return v.is == cmp.Or(m[2], absent) }) {
				t.Errorf("%s: docs/metrics.md lacks %s=%q", metric, m[1], m[2])
			}
		}
	}
	r, err := http.Get(e.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	types := 0
	for _, m := range describedMetrics(t) {
		if _, is, ok := strings.Cut(string(text), "\n# TYPE "+m.name+" "); ok {
			types++
			if is, _, _ = strings.Cut(is, "\n"); is != m.kind {
				t.Errorf("%s is a %s, docs/metrics.md says %s", m.name, is, m.kind)
			}
		}
	}
	if types < 50 {
		t.Errorf("the program showed %d types only", types)
	}
	if len(seen) < 13 {
		t.Errorf("the program showed values of %d closed labels only: %v", len(seen), slices.Sorted(maps.Keys(seen)))
	}
}
