package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/web"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status"
)

// startPages serves what serve does at 127.0.0.1, with these metrics, until stop is called or the test ends.
func startPages(t *testing.T, webConfig string, metrics prometheus.Gatherer) (address string, stop func()) {
	t.Helper()
	return startPagesOf(t, &config.Config{WebConfig: webConfig}, metrics)
}

// startPagesOf is startPages with other settings. The status page has nothing to show.
func startPagesOf(t *testing.T, cfg *config.Config, metrics prometheus.Gatherer) (address string, stop func()) {
	t.Helper()
	cfg.HTTPListen = "127.0.0.1:0"
	p, err := pipeline.New(pipelineConfig(&config.Config{LogFormat: rsynclog.DefaultLogFormat, MaxSeries: 100}))
	if err != nil {
		t.Fatal(err)
	}
	look := func() *status.Moment { return &status.Moment{View: p.Look()} }
	l, err := listenHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := func() error { return nil }
	o := webOptions(cfg, metrics, statusOptions(cfg, nil, look), ready, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- web.Serve(ctx, l, o, func() time.Duration { return time.Minute }) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// testCounter is a registry with the counter test_total at 7.
func testCounter() *prometheus.Registry {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "test_total", Help: "A counter."})
	c.Add(7)
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	return r
}

func TestPages(t *testing.T) {
	address, _ := startPages(t, "", testCounter())
	for _, c := range []struct {
		method, path string
		status       int
		kind, body   string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "rsyncd_exporter " + buildInfo().Version},
		{"GET", "/", 200, "text/html; charset=utf-8", `<a href="metrics">`},
		{"GET", "/metrics", 200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", "\ntest_total 7\n"},
		{"GET", "/-/healthy", 200, "text/plain; charset=utf-8", "healthy\n"},
		{"GET", "/-/ready", 200, "text/plain; charset=utf-8", "ready\n"},
		{"GET", "/nothing", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/-/", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/metrics/", 404, "text/plain; charset=utf-8", "not found"},
		{"HEAD", "/metrics", 200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", ""},
		{"HEAD", "/-/healthy", 200, "text/plain; charset=utf-8", ""},
		{"POST", "/", 405, "text/plain; charset=utf-8", "only GET and HEAD"},
		{"POST", "/metrics", 405, "text/plain; charset=utf-8", "only GET and HEAD"},
		{"DELETE", "/-/healthy", 405, "text/plain; charset=utf-8", "only GET and HEAD"},
		{"OPTIONS", "/-/ready", 405, "text/plain; charset=utf-8", "only GET and HEAD"},
	} {
		resp, body := testenv.Fetch(t, http.DefaultClient, c.method, "http://"+address+c.path)
		h := resp.Header
		if resp.StatusCode != c.status || h.Get("Content-Type") != c.kind || !strings.Contains(body, c.body) || c.method == "HEAD" && body != "" {
			t.Errorf("%s %s: %s, %s\n%s", c.method, c.path, resp.Status, h.Get("Content-Type"), body)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "deny" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none';") {
			t.Errorf("%s %s: a security header is missing: %v", c.method, c.path, h)
		}
		if got := h.Get("Allow"); (got == "GET, HEAD") != (c.status == 405) {
			t.Errorf("%s %s: Allow: %q", c.method, c.path, got)
		}
	}
}

// STATUS_PAGE=false leaves a page of links, and no API.
func TestNoStatusPage(t *testing.T) {
	address, _ := startPagesOf(t, &config.Config{StatusPage: config.StatusPageOff}, testCounter())
	for path, want := range map[string]string{"/": "Version " + buildInfo().Version, "/metrics": "test_total 7", "/api/v1/sessions": "not found",
		"/status.css": "not found"} {
		resp, body := testenv.Fetch(t, http.DefaultClient, "GET", "http://"+address+path)
		if (want == "not found") != (resp.StatusCode == http.StatusNotFound) || !strings.Contains(body, want) {
			t.Errorf("%s: %s, want %q\n%s", path, resp.Status, want, body)
		}
	}
}

// The page and the API are behind the password of WEB_CONFIG, as /metrics is.
func TestStatusPageWantsThePassword(t *testing.T) {
	path, client := testenv.WebConfig(t, false, true, "")
	address, _ := startPages(t, path, testCounter())
	for _, page := range []string{"/", "/status.js", "/api/v1/sessions", "/api/v1/inputs", "/metrics"} {
		resp, _ := testenv.Fetch(t, client, "GET", "http://"+address+page)
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s, want 401", page, resp.Status)
		}
	}
}

func TestOpenMetricsHasCreatedTimestamps(t *testing.T) {
	address, _ := startPages(t, "", testCounter())
	resp, body := testenv.Fetch(t, http.DefaultClient, "GET", "http://"+address+"/metrics", "Accept", "application/openmetrics-text;version=1.0.0")
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/openmetrics-text") ||
		!strings.Contains(body, "\ntest_total 7.0\n") || !strings.Contains(body, "\ntest_created ") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("%s\n%s", resp.Header.Get("Content-Type"), body)
	}
}
