package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"

	"rsyncd_exporter/receiver/stream"
)

// listenHTTP binds HTTP_LISTEN, or takes the socket that was passed for it, for so many connections as shareOfFiles says. The caller hands
// it to serveHTTP, or closes it.
func listenHTTP(cfg *Config) (net.Listener, error) {
	if s, ok := cfg.withRole(roleHTTP); ok {
		l, err := stream.PassedListener(s.FD)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", s, err)
		}
		return guardedListener(l, cfg), nil
	}
	l, err := bindHTTP(cfg.HTTPListen, net.ListenConfig{})
	if err != nil {
		return nil, err
	}
	return guardedListener(l.(*net.TCPListener), cfg), nil
}

// bindHTTP listens at HTTP_LISTEN.
func bindHTTP(address string, lc net.ListenConfig) (net.Listener, error) {
	network := "tcp"
	host, _, _ := net.SplitHostPort(address)
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		network = "tcp4" // plain "tcp" takes 0.0.0.0 for IPv6 too
	}
	l, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("HTTP_LISTEN=%q: %w: %s", address, err, listenRemedy(err))
	}
	return l, nil
}

// guardedListener limits connections. Those that will be encrypted are closed while exporter-toolkit, which reads its
// files for each of them, could not read them.
func guardedListener(l *net.TCPListener, cfg *Config) *limitListener {
	limited := limitConnections(l, cfg.share().http)
	if cfg.WebConfig == "" {
		return limited
	}
	web := newWebFile(cfg.WebConfig)
	if s, err := web.read(); err != nil || s.encrypted { // serveHTTP tells of the error
		limited.before = web.check
	}
	return limited
}

// newHTTPServer returns a server for serveHTTP, with all its pages:
//
//	/metrics    what metrics gathers, or 503 like /-/ready
//	/-/healthy  200 as long as the process answers
//	/-/ready    200, or 503 and the error of ready; ready may be called by many goroutines
//	/           links to these
//
// /metrics and / are behind the authentication of WEB_CONFIG, the health pages never are. log gets the errors of connections and scrapes.
func newHTTPServer(cfg *Config, metrics prometheus.Gatherer, ready func() error, log *slog.Logger) *http.Server {
	pages := http.NewServeMux()
	pages.HandleFunc("/{$}", landingPage())
	scrape := promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		ErrorLog:                            newErrorLog(log, "scrape failed"),
		Timeout:                             10 * time.Second,
		EnableOpenMetrics:                   true,
		EnableOpenMetricsTextCreatedSamples: true,
	})
	pages.Handle("/metrics", whenReady(ready, inTurn(scrapesAtOnce, scrapesWaiting, scrapePatience, scrape)))

	server := &http.Server{
		Handler:           behindPassword(pages),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          newErrorLog(log, "HTTP connection failed"),
		ConnState:         connState,
	}
	// exporter-toolkit v0.20 knows no exceptions from its authentication: web.Serve puts it around server.Handler just before it calls
	// server.Serve, which calls BaseContext before it accepts anything. So this is the one place to put something around it in turn.
	server.BaseContext = func(net.Listener) context.Context {
		if cfg.WebConfig != "" {
			gate := newPasswordGate(newWebFile(cfg.WebConfig), roomForGuesses(cfg.share().http), log)
			gate.toolkit = server.Handler
			server.RegisterOnShutdown(gate.queue.close)
			server.Handler = gate
		}
		server.Handler = outerHandler(server.Handler, ready)
		return context.Background()
	}
	return server
}

// roomForGuesses returns how many requests may wait for the check of a password where so many connections may be open.
func roomForGuesses(connections int) int { return max(1, min(guessesWaiting, connections/4)) }

// serveHTTP serves until ctx ends, then lets the requests under way finish, for as long as grace says when asked then, and returns nil. It
// returns an error if it can't serve, such as for a WEB_CONFIG that has changed since it was checked. The listener is closed in any case.
func serveHTTP(ctx context.Context, l net.Listener, server *http.Server, cfg *Config, log *slog.Logger, grace func() time.Duration) error {
	defer l.Close()
	if err := newWebFile(cfg.WebConfig).check(); err != nil {
		return fmt.Errorf("WEB_CONFIG: %w", err)
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l, server, &web.FlagConfig{WebConfigFile: &cfg.WebConfig}, log) }()
	select {
	case err := <-served:
		return fmt.Errorf("HTTP server: %w", err)
	case <-ctx.Done():
	}
	graceCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace())
	defer cancel()
	if server.Shutdown(graceCtx) != nil {
		server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("HTTP server: %w", err)
	}
	return nil
}

// outerHandler answers the health pages and leaves all others to inner. It refuses all methods but GET and HEAD, and adds the
// security headers, which the web configuration may set otherwise.
func outerHandler(inner http.Handler, ready func() error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", inner)
	mux.HandleFunc("/-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", serverName) // by which check knows an exporter that runs
		plainText(w, http.StatusOK, "healthy")
	})
	mux.Handle("/-/ready", whenReady(ready, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { plainText(w, http.StatusOK, "ready") })))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "deny")
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			plainText(w, http.StatusMethodNotAllowed, "only GET and HEAD are allowed")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// whenReady answers 503 and ready's error instead of the page as long as there is one.
func whenReady(ready func() error, page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := ready(); err != nil {
			plainText(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
		page.ServeHTTP(w, r)
	})
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
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
