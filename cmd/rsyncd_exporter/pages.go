package main

import (
	"cmp"
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

	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/ownlog"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/internal/web"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status"
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

// webOptions returns what HTTP serves: the status page of what look returns, or the landing page,
// and /metrics once ready returns nil.
func webOptions(
	cfg *config.Config, metrics prometheus.Gatherer, page status.Options, ready func() error, log *slog.Logger,
) web.Options {
	pages := http.NewServeMux()
	if cfg.StatusPage == config.StatusPageOff {
		pages.HandleFunc("/{$}", landingPage())
	} else {
		shown := http.NewServeMux()
		status.Register(shown, page)
		pages.Handle("/", web.TakeTurns(shown))
	}
	scrape := promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		ErrorLog:                            ownlog.ErrorLog(log, "scrape failed"),
		Timeout:                             10 * time.Second,
		EnableOpenMetrics:                   true,
		EnableOpenMetricsTextCreatedSamples: true,
	})
	pages.Handle("/metrics", web.WhenReady(ready, web.TakeTurns(scrape)))
	return web.Options{Config: cfg.WebConfig, Connections: sharesOf(cfg).http, Pages: pages, Ready: ready, Log: log}
}

// statusOptions returns what the status page shows, and how.
func statusOptions(cfg *config.Config, places *clients.Places, look func() *status.Moment) status.Options {
	var listens []string
	for _, in := range inputsOf(cfg) {
		listens = append(listens, in.String())
	}
	b := buildInfo()
	return status.Options{
		Look:   look,
		Groups: cfg.ClientGroups, Places: places, Anonymise: cfg.Anonymise, Expected: cfg.Expected,
		Remedy: func(input, reason string) string {
			why := slices.Index(receiver.DiscardReasons(), reason)
			if why < 0 {
				return stream.RefusalOf(reason).Remedy()
			}
			return discardRemedy(cfg, &pipeline.Understanding{Input: input}, receiver.Discard(why))
		},
		Limits: limitsOf(cfg), Public: cfg.StatusPage == config.StatusPagePublic,
		Version: b.Version, Listens: listens,
	}
}

// limitsOf returns the modules' limits by the label of each module.
func limitsOf(cfg *config.Config) metrics.Limits {
	limits := metrics.Limits{}
	for name, l := range cfg.Limits {
		limits[rsynclog.Label([]byte(name))] = metrics.Limit(l)
	}
	return limits
}

// look returns what the status page asks.
func (pr *program) look(caughtUp <-chan struct{}) func() *status.Moment {
	return func() *status.Moment {
		m := &status.Moment{View: pr.pipeline.Look(), Live: pr.in.live(), Why: map[string]string{}}
		if pr.persist != nil {
			shown, ok := pr.persist.shownLast()
			m.Live.State = pr.durability(shown, ok)
		}
		m.Live.SessionLog = pr.sessionLogNow()
		if pr.in.files != nil {
			for _, f := range pr.in.files.Status() {
				if f.Err != nil {
					m.Why[cmp.Or(f.Path, f.Pattern)] = text.OneLine(f.Err)
				}
			}
		}
		select {
		case <-caughtUp:
		default:
			m.Waiting = pr.waits().Error()
		}
		return m
	}
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

// shown returns what a scrape shows: with STATE_DIR, what is durable by then.
func (pr *program) shown() (v view) {
	if pr.persist != nil {
		v, _ = pr.persist.show()
		return v
	}
	v.books, v.clients, v.backups = pr.pipeline.Scrape()
	return v
}

// A scraped shows views to Prometheus, so that all counters of a scrape are of one moment.
type scraped struct {
	shown func() view
	live  func(view) metrics.Live
}

// Describe implements prometheus.Collector.
func (s scraped) Describe(ch chan<- *prometheus.Desc) {
	metrics.NewCollector(nil, nil).Describe(ch)
	metrics.NewClients(nil).Describe(ch)
}

// Collect implements prometheus.Collector.
func (s scraped) Collect(ch chan<- prometheus.Metric) {
	v := s.shown()
	live := func() metrics.Live { return s.live(v) }
	metrics.NewCollector(func() *metrics.Snapshot { return v.books }, live).Collect(ch)
	metrics.NewClients(func() *clients.Record { return v.clients }).Collect(ch)
}

func (pr *program) registry() *prometheus.Registry {
	now, limits := pr.in.live, limitsOf(pr.cfg)
	if pr.persist != nil {
		now = pr.liveDurable
	}
	live := func(v view) metrics.Live {
		l := now()
		l.Limits, l.Backups = limits, v.backups.List(pr.cfg.Expected, time.Now())
		l.SessionLog = pr.sessionLogState()
		return l
	}
	b := buildInfo()
	label := metrics.LabelValue
	r := prometheus.NewRegistry()
	r.MustRegister(
		scraped{pr.shown, live},
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
	l.State = pr.durability(shown, ok)
	l.Files = durableFiles(l.Files, shown.files)
	return l
}

func (pr *program) durability(shown view, ok bool) *metrics.Durability {
	return &metrics.Durability{OK: ok, Age: time.Since(shown.at), Start: pr.kept.start}
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
