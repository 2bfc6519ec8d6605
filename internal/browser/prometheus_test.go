//go:build linux

package browser

import (
	"bytes"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// The page whose address `make demo` prints shows the graph: everything it consists of loads, a
// line is drawn for each series, and the legend names them. Debian's Prometheus keeps templates,
// scripts and fonts apart from the program, and they must have been unpacked with it.
func TestPrometheusDrawsTheGraph(t *testing.T) {
	var scrapes atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		n := scrapes.Add(1)
		fmt.Fprintf(w, "rsync_executions_total{module=\"mirror\"} %d\nrsync_executions_total{module=\"backup\"} %d\n", n, 3*n)
	}))
	defer target.Close()
	p := testenv.StartPrometheus(t, target.Listener.Addr().String())
	// Two scrapes give a rate. A line needs two points, which are more than a second apart in a
	// graph of five minutes: so there are more scrapes.
	testenv.Until(t, patience, "five scrapes and a rate", func() bool {
		rate, _ := p.Query(t, `sum(rate(rsync_executions_total[1m]))`)
		return rate > 0 && scrapes.Load() >= 5
	})

	b := Start(t, 1100, 900)
	b.Open(t, graphURL(t, p.URL))
	// Rickshaw draws one path for each series; an L in it is a second point.
	const lines = `[...document.querySelectorAll(".graph_area svg path")]
		.map(p => p.getAttribute("d") || "").filter(d => d.includes("L"))`
	b.Wait(t, "two lines", lines+".length == 2")
	legend := strings.Join(b.Strings(t, `[...document.querySelectorAll(".legend .line")].map(l => l.innerText)`), "\n")
	for _, want := range []string{"mirror", "backup"} {
		if !strings.Contains(legend, want) {
			t.Errorf("the legend %q doesn't name %s", legend, want)
		}
	}
	faults := slices.DeleteFunc(b.Faults(), func(fault string) bool {
		// Debian's popper.js is a module, and the page loads it as a script. The graph needs none of it.
		return strings.Contains(fault, "popper.min.js") && strings.Contains(fault, "Unexpected token 'export'")
	})
	if len(faults) > 0 {
		t.Errorf("of the page didn't load, or failed:\n%s", strings.Join(faults, "\n"))
	}
	picture := bytes.NewReader(b.Screenshot(t, "prometheus-graph"))
	if size, err := png.DecodeConfig(picture); err != nil || size.Width != 1100 {
		t.Errorf("the screenshot is %d pixels wide, %v", size.Width, err)
	}
}

// graphURL is what the demo's script prints.
func graphURL(t *testing.T, prometheus string) string {
	t.Helper()
	port := prometheus[strings.LastIndexByte(prometheus, ':')+1:]
	const expression = "sum%20by%20(module)%20(rate(rsync_executions_total%5B1m%5D))"
	out, err := exec.Command("/bin/bash", "-euo", "pipefail", "-c", `. "$1"; graph_url "$2" "$3"`, "bash",
		filepath.Join(testenv.Root(t), "scripts/lib.sh"), port, expression).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}
