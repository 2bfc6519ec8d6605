package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/status/ask"
)

const healthcheckTimeout = 3 * time.Second

// runHealthcheck asks the exporter with the same HTTP_LISTEN and WEB_CONFIG, or the one at --url.
func runHealthcheck(ctx context.Context, args []string, std stdio) int {
	target, err := config.HealthURL(args)
	if errors.Is(err, flag.ErrHelp) {
		return runHelp(ctx, nil, std)
	}
	if err != nil {
		return usageError(std, err)
	}
	switch err := askHealth(ctx, target); {
	case errors.Is(err, errWantsCertificate):
		fmt.Fprintf(std.out, "%s: %v, so the exporter runs and answers\n", target, err)
	case err != nil:
		fmt.Fprintf(std.err, "rsyncd_exporter: healthcheck: %v\n", err)
		return exitFailure
	}
	return exitOK
}

// errWantsCertificate means that the exporter refuses clients without a certificate.
var errWantsCertificate = errors.New("it asks for a client certificate and takes nobody without one")

// askHealth returns nil if the page answers 200, or errWantsCertificate if the exporter answers by
// asking for one. On loopback it accepts any certificate, since it sends nothing secret.
func askHealth(ctx context.Context, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	var asked atomic.Bool // for a client certificate
	encryption := &tls.Config{
		InsecureSkipVerify: ask.IsLoopback(u.Hostname()), // #nosec G402 -- nothing secret is sent
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked.Store(true)
			return &tls.Certificate{}, nil // none
		},
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	// #nosec G704 -- whoever runs healthcheck names the address
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	resp, err := askOnce(req, encryption)
	switch {
	case err != nil && asked.Load() && isRefusal(err):
		return errWantsCertificate
	case err != nil:
		return fmt.Errorf("%s: %w", target, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", target, resp.Status)
	}
	return nil
}

// askOnce sends a request on a connection of its own, which is closed before the body is read. Its
// errors are the connection's, which http.Transport hides when a server closes early.
func askOnce(req *http.Request, encryption *tls.Config) (*http.Response, error) {
	port := cmp.Or(req.URL.Port(), map[string]string{"http": "80", "https": "443"}[req.URL.Scheme])
	var dialer net.Dialer
	conn, err := dialer.DialContext(req.Context(), "tcp", net.JoinHostPort(req.URL.Hostname(), port))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	raw := conn
	defer context.AfterFunc(req.Context(), func() { raw.SetDeadline(time.Unix(1, 0)) })()
	if req.URL.Scheme == "https" {
		encryption.ServerName = req.URL.Hostname()
		conn = tls.Client(conn, encryption)
	}
	_ = req.Write(conn) // a server that closes meanwhile may have said why: reading tells
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if ended := context.Cause(req.Context()); err != nil && ended != nil {
		err = ended
	}
	return resp, err
}

// isRefusal reports whether the other side sent a TLS alert, or a reset that has overtaken the
// alert.
func isRefusal(err error) bool {
	var alert *net.OpError
	return errors.As(err, &alert) && alert.Op == "remote error" || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
