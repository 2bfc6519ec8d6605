package main

import (
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/ownlog"
	"rsyncd_exporter/internal/web"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/receiver/stream"
)

// listenHTTP binds HTTP_LISTEN, or takes the socket that was passed for it.
func listenHTTP(cfg *config.Config) (*net.TCPListener, error) {
	s, ok := cfg.WithRole(config.RoleHTTP)
	if !ok {
		return web.Listen(cfg.HTTPListen, net.ListenConfig{})
	}
	l, err := stream.PassedListener(s.FD)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", s, err)
	}
	return l, nil
}

// webOptions returns what HTTP serves: the landing page, and /metrics once ready returns nil.
func webOptions(cfg *config.Config, metrics prometheus.Gatherer, ready func() error, log *slog.Logger) web.Options {
	pages := http.NewServeMux()
	pages.HandleFunc("/{$}", landingPage())
	scrape := promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		ErrorLog:                            ownlog.ErrorLog(log, "scrape failed"),
		Timeout:                             10 * time.Second,
		EnableOpenMetrics:                   true,
		EnableOpenMetricsTextCreatedSamples: true,
	})
	pages.Handle("/metrics", web.WhenReady(ready, web.TakeTurns(scrape)))
	return web.Options{Config: cfg.WebConfig, Connections: sharesOf(cfg).http, Pages: pages, Ready: ready, Log: log}
}

func landingPage() http.HandlerFunc {
	b := buildInfo()
	page := fmt.Sprintf(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>rsyncd_exporter</title></head>
<body>
<h1>rsyncd_exporter</h1>
<p>Counts what rsync daemons log, for Prometheus. Version %s, revision %s.</p>
<ul>
<li><a href="metrics">/metrics</a>: the counters</li>
<li><a href="-/healthy">/-/healthy</a>: whether the process answers</li>
<li><a href="-/ready">/-/ready</a>: whether everything is set up</li>
</ul>
</body>
</html>
`, html.EscapeString(b.Version), html.EscapeString(b.Revision))
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, page)
	}
}

func (pr *program) registry() *prometheus.Registry {
	snapshot, inputs := pr.pipeline.Snapshot, pr.in.live
	if pr.persist != nil {
		snapshot = func() *metrics.Snapshot {
			shown, _ := pr.persist.show()
			return shown.books
		}
		inputs = pr.liveDurable
	}
	live := func() metrics.Live {
		l := inputs()
		l.SessionLog = pr.sessionLogState()
		return l
	}
	b := buildInfo()
	label := metrics.LabelValue
	r := prometheus.NewRegistry()
	r.MustRegister(
		metrics.NewCollector(snapshot, live),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "rsyncd_exporter_build_info",
			Help: "1; the labels say what was built.",
			ConstLabels: prometheus.Labels{
				"version": label(b.Version), "revision": label(b.Revision), "goversion": label(b.Go),
			},
		}, func() float64 { return 1 }),
	)
	return r
}

// liveDurable is inputs.live with the files that a restart would know, and their durable counters.
func (pr *program) liveDurable() metrics.Live {
	l := pr.in.live()
	shown, ok := pr.persist.shownLast()
	l.State = &metrics.Durability{OK: ok, Age: time.Since(shown.at), Start: pr.kept.start}
	l.Files = durableFiles(l.Files, shown.files)
	return l
}

func durableFiles(live, durable []metrics.File) (files []metrics.File) {
	for _, f := range live {
		if at := slices.IndexFunc(durable, func(d metrics.File) bool { return d.Path == f.Path }); at >= 0 {
			f.Rotations, f.Errors, f.Gaps = durable[at].Rotations, durable[at].Errors, durable[at].Gaps
			files = append(files, f)
		}
	}
	return files
}

// withoutClashes leaves out the gauge go_memstats_alloc_bytes: in OpenMetrics its family has the
// name of a counter's, which strict parsers refuse. go_memstats_heap_alloc_bytes has its value.
func withoutClashes(from prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := from.Gather()
		families = slices.DeleteFunc(families, func(f *dto.MetricFamily) bool {
			return f.GetName() == "go_memstats_alloc_bytes"
		})
		return families, err
	})
}
