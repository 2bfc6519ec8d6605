package backfill_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
)

// wholeLogs returns the files of the corpus and generated ones.
func wholeLogs(t *testing.T) map[string]log {
	all := map[string]log{}
	for _, path := range corpus.Files(t, "file/*.log") {
		all[filepath.Base(path)] = log{lines: string(corpus.ReadFile(t, path))}
	}
	seed := testenv.Seed(t)
	for i, host := range map[int]string{0: "one", 2: "three"} { // a live exporter would take two's lines for this year's
		from := time.Date(2024, 2, 27, 0, 0, 0, 0, time.UTC)
		all["of "+host] = log{host: host,
			lines: generate(rand.New(rand.NewPCG(seed, uint64(i))), newTruth(), host, from, 2, 200, forms[i])}
	}
	return all
}

// The last values are those of a Pipeline that has the same lines as a file's backlog.
func TestLastValuesAreALivePipelines(t *testing.T) {
	for name, l := range wholeLogs(t) {
		t.Run(name, func(t *testing.T) {
			live := pipelineConfig()
			live.Books = func(*pipeline.Checkpoint) pipeline.Books {
				return pipeline.Books{Clients: clients.NewBook(nil, clients.Config{})}
			}
			p, err := pipeline.New(live)
			if err != nil {
				t.Fatal(err)
			}
			src := source(&l)
			for text := range strings.Lines(l.lines) {
				p.Deliver(src, &receiver.Slab{Messages: [][]byte{bytes.TrimSuffix([]byte(text), []byte("\n"))}, Backlog: true})
			}
			p.Deliver(src, &receiver.Slab{}) // it has caught up
			c := config()
			c.Step = 15 * time.Minute
			want, got := served(t, p), map[string]float64{}
			series := parse(t, fill(t, c, l))
			end := "" // of the log
			for _, points := range series {
				end = max(end, points[len(points)-1].at)
			}
			for name, points := range series {
				if last := points[len(points)-1]; last.at == end { // others have ended before
					got[name] = last.value
				}
			}
			if len(want) < 20 || !maps.Equal(got, want) {
				for name := range want {
					if g, ok := got[name]; !ok || g != want[name] {
						t.Errorf("%s: %v (%t), want %v", name, g, ok, want[name])
					}
				}
				for name := range got {
					if _, ok := want[name]; !ok {
						t.Errorf("%s: %v, want none", name, got[name])
					}
				}
				t.Errorf("%d series, want %d", len(got), len(want))
			}
		})
	}
}

// served returns the series of daemons as /metrics shows them.
func served(t *testing.T, p *pipeline.Pipeline) map[string]float64 {
	t.Helper()
	snap, who, _ := p.Scrape()
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(
		func() *metrics.Snapshot { return snap }, func() metrics.Live { return metrics.Live{} }),
		metrics.NewClients(func() *clients.Record { return who }))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "rsync_") {
			if _, err := expfmt.MetricFamilyToOpenMetrics(&text, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	expfmt.FinalizeOpenMetrics(&text)
	all := map[string]float64{}
	parser := textparse.NewOpenMetricsParser(text.Bytes(), labels.NewSymbolTable())
	for {
		entry, err := parser.Next()
		if err != nil {
			return all
		}
		if entry == textparse.EntrySeries {
			_, _, value := parser.Series()
			all[seriesName(parser)] = value
		}
	}
}
