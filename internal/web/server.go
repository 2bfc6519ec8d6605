// Package web serves pages over HTTP, with TLS and passwords by exporter-toolkit, and limits of
// connections, requests and passwords to check. It knows nothing of what the pages show.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"rsyncd_exporter/internal/ownlog"
)

// Options say what a server serves, and to whom.
type Options struct {
	Config      string       // path of exporter-toolkit's web configuration; empty: plain HTTP, no password
	Connections int          // how many may be open at the same time
	Pages       http.Handler // behind the authentication of Config
	Ready       func() error // nil, or what /-/ready answers; many goroutines may call it
	Log         *slog.Logger // gets the errors of connections
}

// Listen listens at the address of HTTP_LISTEN. Its errors say what to do.
func Listen(address string, lc net.ListenConfig) (*net.TCPListener, error) {
	network := "tcp"
	host, _, _ := net.SplitHostPort(address)
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		network = "tcp4" // plain "tcp" takes 0.0.0.0 for IPv6 too
	}
	l, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("HTTP_LISTEN=%q: %w: %s", address, err, listenRemedy(err))
	}
	return l.(*net.TCPListener), nil
}

// guardedListener limits connections, and closes those if exporter-toolkit can't read its files.
func guardedListener(l *net.TCPListener, o Options) *limitListener {
	limited := limitConnections(l, o.Connections)
	if o.Config == "" {
		return limited
	}
	web := newWebFile(o.Config)
	if s, err := web.read(); err != nil || s.encrypted { // Serve tells of the error
		limited.before = web.check
	}
	return limited
}

// newHTTPServer returns a server for Serve. The health pages are never behind WEB_CONFIG's
// authentication:
//
//	/-/healthy  200 as long as the process answers
//	/-/ready    200, or 503 and the error of Options.Ready
func newHTTPServer(o Options) *http.Server {
	server := &http.Server{
		Handler:           behindPassword(o.Pages),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          ownlog.ErrorLog(o.Log, "HTTP connection failed"),
		ConnState:         connState,
	}
	// exporter-toolkit v0.20 has no exceptions from its authentication. It wraps server.Handler
	// just before server.Serve, which calls BaseContext first: only here can that be wrapped in
	// turn.
	server.BaseContext = func(net.Listener) context.Context {
		if o.Config != "" {
			gate := newPasswordGate(newWebFile(o.Config), roomForGuesses(o.Connections), o.Log)
			gate.toolkit = server.Handler
			server.RegisterOnShutdown(gate.queue.close)
			server.Handler = gate
		}
		server.Handler = outerHandler(server.Handler, o.Ready)
		return context.Background()
	}
	return server
}

// roomForGuesses returns how many requests may wait for the check of a password.
func roomForGuesses(connections int) int { return max(1, min(guessesWaiting, connections/4)) }

// Serve serves until ctx ends, then lets requests under way finish for as long as grace() says. It
// returns an error if it can't serve, and closes the listener in any case.
func Serve(ctx context.Context, l *net.TCPListener, o Options, grace func() time.Duration) error {
	return serveWith(ctx, guardedListener(l, o), newHTTPServer(o), o, grace)
}

func serveWith(ctx context.Context, l net.Listener, server *http.Server, o Options, grace func() time.Duration) error {
	defer l.Close()
	if err := newWebFile(o.Config).check(); err != nil {
		return fmt.Errorf("WEB_CONFIG: %w", err)
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l, server, &web.FlagConfig{WebConfigFile: &o.Config}, o.Log) }()
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

// outerHandler answers the health pages, refuses methods other than GET and HEAD, and adds security
// headers, which the web configuration may override.
func outerHandler(inner http.Handler, ready func() error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", inner)
	mux.HandleFunc("/-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", ServerName) // by which check knows an exporter that runs
		plainText(w, http.StatusOK, "healthy")
	})
	isReady := func(w http.ResponseWriter, _ *http.Request) { plainText(w, http.StatusOK, "ready") }
	mux.Handle("/-/ready", WhenReady(ready, http.HandlerFunc(isReady)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "deny")
		h.Set("Content-Security-Policy",
			"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			plainText(w, http.StatusMethodNotAllowed, "only GET and HEAD are allowed")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// ServerName is how the health page of an exporter names its server.
const ServerName = "rsyncd_exporter"

// WhenReady answers 503 and ready's error instead of the page as long as there is one.
func WhenReady(ready func() error, page http.Handler) http.Handler {
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

func listenRemedy(err error) string {
	var lookup *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another process, perhaps another rsyncd_exporter, listens there (ss -ltnp shows which): stop it or " +
			"choose another port"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "this user may not use the port: choose one from 1024 on, or give the program the right (systemd: " +
			"AmbientCapabilities=CAP_NET_BIND_SERVICE)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this machine has that address (ip addr shows those that there are): choose one, or " +
			":PORT for all"
	case errors.As(err, &lookup):
		return "the name has no address: write the address itself"
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return "this machine has no such addresses, perhaps no IPv6: write 0.0.0.0:PORT or 127.0.0.1:PORT"
	case errors.Is(err, syscall.EINVAL):
		return "a link-local address needs its interface: write [fe80::1%eth0]:PORT"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many files are open: raise the limit, LimitNOFILE= or ulimit -n"
	}
	return "choose another address"
}
