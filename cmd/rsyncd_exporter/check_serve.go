package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"syscall"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver/datagram"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/state"
)

// serverName is how the health page of an exporter names its server.
const serverName = "rsyncd_exporter"

// checkServe says why serve would refuse to start now: it opens what serve opens, by the same functions and in
// the same order, and closes it. What can't be undone isn't done: no socket file, lock or directory is made,
// and the sockets that are bound for a moment receive nothing.
//
// What is in use by an exporter that runs is no failure: who changes its settings checks them beside it.
func checkServe(ctx context.Context, cfg *Config, healthURL string, std stdio) (status int) {
	refusals := refusalsOf(cfg)
	running := runsBeside(ctx, refusals, healthURL)
	for _, err := range refusals {
		if running && inUse(err) {
			fmt.Fprintf(std.out, "warning: %s: serve would refuse to start before the rsyncd_exporter that runs has stopped\n",
				oneLine(err))
			continue
		}
		fmt.Fprintf(std.err, "rsyncd_exporter: %s: serve would refuse to start\n", oneLine(err))
		status = exitUsage
	}
	return status
}

// refusalsOf returns all reasons, the first of which would be serve's.
func refusalsOf(cfg *Config) (refusals []error) {
	var open []io.Closer
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	hold := func(c io.Closer, err error) {
		if err != nil {
			refusals = append(refusals, err)
			return
		}
		open = append(open, c)
	}
	hold(bindHTTP(cfg.HTTPListen, stream.Unheard()))
	if cfg.StateDir != "" {
		if err := state.Check(realDir(cfg.StateDir)); err != nil {
			refusals = append(refusals, fmt.Errorf("STATE_DIR: %w", err))
		}
	}
	p, err := pipeline.New(pipelineConfig(cfg))
	if err != nil {
		return append(refusals, err)
	}
	if cfg.ListenUnixgram != "" {
		src, err := syslogSource(cfg, "unixgram", cfg.ListenUnixgram, true)
		if err == nil {
			err = datagram.CheckUnixgram(cfg.ListenUnixgram, src, unixgramOptions(cfg))
		}
		if err != nil {
			refusals = append(refusals, err)
		}
	}
	for _, addr := range cfg.ListenUDP {
		hold(datagram.CheckUDP(addr, udpOptions(cfg)))
	}
	for _, addr := range cfg.ListenTCP {
		hold(stream.CheckTCP("tcp", addr))
	}
	for _, addr := range cfg.ListenTLS {
		hold(stream.CheckTCP("tls", addr))
	}
	in := &inputs{}
	if err := in.openFiles(cfg, p, &kept{}); err != nil {
		refusals = append(refusals, err)
	}
	in.close()
	return refusals
}

// pipelineConfig returns what serve's pipeline is made of, without what a restart keeps.
func pipelineConfig(cfg *Config) pipeline.Config {
	limits := rsynclog.DefaultLimits()
	limits.TTL = cfg.SessionTTL
	return pipeline.Config{
		LogFormat: cfg.LogFormat, ModuleFormats: cfg.ModuleFormats, Tags: cfg.Tags, Modules: cfg.Modules, Hosts: cfg.Hosts,
		MaxSeries: cfg.MaxSeries, Limits: limits,
	}
}

// inUse says whether an error says that another process has something.
func inUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, state.ErrLocked) || errors.Is(err, datagram.ErrInUse)
}

// runsBeside says whether an rsyncd_exporter runs that uses what the settings name: it has locked the state
// directory, or answers where they have HTTP.
func runsBeside(ctx context.Context, refusals []error, healthURL string) bool {
	if slices.ContainsFunc(refusals, func(err error) bool { return errors.Is(err, state.ErrLocked) }) {
		return true
	}
	return slices.ContainsFunc(refusals, inUse) && answersAsExporter(ctx, healthURL)
}

// answersAsExporter says whether an rsyncd_exporter answers at the address, within a second.
func answersAsExporter(ctx context.Context, healthURL string) bool {
	client := &http.Client{
		Timeout:       time.Second,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, // nothing secret is sent
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, healthURL, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.Header.Get("Server") == serverName
}
