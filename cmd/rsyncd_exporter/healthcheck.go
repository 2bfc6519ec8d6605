package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

const healthcheckTimeout = 3 * time.Second

// runHealthcheck asks the exporter that runs with the same settings, or the one at --url, whether it is healthy. Of the settings, only
// HTTP_LISTEN and WEB_CONFIG matter; the others may be anything.
func runHealthcheck(ctx context.Context, args []string, std stdio) int {
	var target string
	s := newSettings()
	s.readEnvironment() // serve reports unknown variables
	problems := s.parseFlags(args, func(fs *flag.FlagSet) { fs.StringVar(&target, "url", "", "address to ask") })
	if slices.Contains(problems, flag.ErrHelp) {
		return runHelp(ctx, nil, std)
	}
	if target == "" {
		v := &validator{problems: problems}
		target = v.healthURL(s)
		problems = v.problems
	}
	if len(problems) > 0 {
		return usageError(std, errors.Join(problems...))
	}
	if err := askHealth(ctx, target); err != nil {
		fmt.Fprintf(std.err, "rsyncd_exporter: healthcheck: %v\n", err)
		return exitFailure
	}
	return exitOK
}

// healthURL returns the address of the health page of an exporter with these settings.
func (v *validator) healthURL(s *settings) string {
	address := v.address(&s.HTTPListen)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "" // address has noted it
	}
	if port == "0" {
		v.problem(&s.HTTPListen, errors.New("port 0 stands for any free port"), "use --url=http://127.0.0.1:PORT/-/healthy")
	}
	switch ip, _ := netip.ParseAddr(host); {
	case host == "" || ip == netip.IPv4Unspecified():
		host = "127.0.0.1"
	case ip == netip.IPv6Unspecified():
		host = "::1"
	}
	scheme := "http"
	if s.WebConfig.value != "" {
		web, err := newWebFile(s.WebConfig.value).read()
		switch {
		case err != nil:
			v.problem(&s.WebConfig, err, "see rsyncd_exporter check")
		case web.encrypted:
			scheme = "https"
		}
	}
	return (&url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port), Path: "/-/healthy"}).String()
}

// askHealth returns nil if the page answers 200 in time. It goes through no proxy and follows no redirection. On loopback it takes any
// certificate: what is checked is that the exporter answers, and nothing secret is sent.
func askHealth(ctx context.Context, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	client := &http.Client{
		Timeout:       healthcheckTimeout,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: isLoopback(u.Hostname())}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", target, resp.Status)
	}
	return nil
}

func isLoopback(host string) bool {
	ip, _ := netip.ParseAddr(host)
	return ip.IsLoopback() || host == "localhost"
}
