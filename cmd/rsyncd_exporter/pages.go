package main

import (
	"bytes"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/ownlog"
	"rsyncd_exporter/internal/web"
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

// webOptions returns what HTTP serves: /metrics, which is what metrics gathers, once ready returns
// nil, and at / links to it and the health pages. log gets the errors of connections and scrapes.
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

// landingPage returns the page at /.
func landingPage() http.HandlerFunc {
	page := template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>rsyncd_exporter</title></head>
<body>
<h1>rsyncd_exporter</h1>
<p>Counts what rsync daemons log, for Prometheus. Version {{.Version}}, revision {{.Revision}}.</p>
<ul>
<li><a href="metrics">/metrics</a>: the counters</li>
<li><a href="-/healthy">/-/healthy</a>: whether the process answers</li>
<li><a href="-/ready">/-/ready</a>: whether everything is set up</li>
</ul>
</body>
</html>
`))
	var html bytes.Buffer
	if err := page.Execute(&html, buildInfo()); err != nil {
		panic(err) // the template doesn't fit a build
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(html.Bytes())
	}
}
