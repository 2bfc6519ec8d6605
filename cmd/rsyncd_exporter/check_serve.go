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

	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/internal/web"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver/datagram"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/rsynclog"
)

// checkServe prints why serve would refuse to start. It opens what serve opens, closes it, and
// makes no socket file, lock or directory. What a running exporter uses is only worth a warning.
func checkServe(ctx context.Context, cfg *config.Config, healthURL string, std stdio) (status int) {
	refusals := refusalsOf(cfg)
	running := runsBeside(ctx, refusals, healthURL)
	for _, err := range refusals {
		if running && inUse(err) {
			fmt.Fprintf(std.out, "warning: %s: serve would refuse to start before the rsyncd_exporter that runs has "+
				"stopped\n", text.OneLine(err))
			continue
		}
		fmt.Fprintf(std.err, "rsyncd_exporter: %s: serve would refuse to start\n", text.OneLine(err))
		status = exitUsage
	}
	return status
}

// refusalsOf returns all reasons for serve to refuse; serve would name the first.
func refusalsOf(cfg *config.Config) (refusals []error) {
	var open []io.Closer
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	hold := func(c io.Closer, err error) {
		if err != nil {
			refusals = append(refusals, err)
		} else if c != nil {
			open = append(open, c)
		}
	}
	hold(web.Listen(cfg.HTTPListen, stream.Unheard()))
	if cfg.StateDir != "" {
		if err := checkpoint.Check(realDir(cfg.StateDir)); err != nil {
			refusals = append(refusals, fmt.Errorf("STATE_DIR: %w", err))
		}
	}
	if _, err := loadPlaces(cfg); err != nil {
		refusals = append(refusals, err)
	}
	p, err := pipeline.New(pipelineConfig(cfg))
	if err != nil {
		return append(refusals, err)
	}
	for _, d := range inputsOf(cfg) {
		hold(d.check(cfg, p))
	}
	return refusals
}

// warnOfCopies warns of followed files that serve would not read, as others hold their lines.
func warnOfCopies(w io.Writer, cfg *config.Config) {
	p, err := pipeline.New(pipelineConfig(cfg))
	if err != nil {
		return // a refusal
	}
	for _, d := range inputsOf(cfg) {
		if d.kind != kindFile {
			continue
		}
		c, _ := d.check(cfg, p)
		set, ok := c.(*follow.Set)
		if !ok {
			continue
		}
		for _, f := range set.Status() {
			known := slices.Contains(cfg.Files, f.Path) // there is a warning already of two names of one file
			if errors.Is(f.Err, follow.ErrCopy) || errors.Is(f.Err, follow.ErrTwin) && !known {
				fmt.Fprintf(w, "warning: FILE: %s\n", text.OneLine(f.Err))
			}
		}
		set.Close()
	}
}

// pipelineConfig returns the configuration of serve's pipeline, without what a restart keeps.
func pipelineConfig(cfg *config.Config) pipeline.Config {
	limits := rsynclog.DefaultLimits()
	limits.TTL = cfg.SessionTTL
	return pipeline.Config{
		LogFormat: cfg.LogFormat, ModuleFormats: cfg.ModuleFormats, Tags: cfg.Tags, Modules: cfg.Modules,
		Hosts: cfg.Hosts, MaxSeries: cfg.MaxSeries, Limits: limits,
	}
}

func inUse(err error) bool {
	used := func(is error) bool { return errors.Is(err, is) }
	return used(syscall.EADDRINUSE) || used(checkpoint.ErrLocked) || used(datagram.ErrInUse)
}

// runsBeside reports whether an rsyncd_exporter runs that uses what the settings name.
func runsBeside(ctx context.Context, refusals []error, healthURL string) bool {
	if slices.ContainsFunc(refusals, func(err error) bool { return errors.Is(err, checkpoint.ErrLocked) }) {
		return true
	}
	return slices.ContainsFunc(refusals, inUse) && answersAsExporter(ctx, healthURL)
}

func answersAsExporter(ctx context.Context, healthURL string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	// #nosec G704 -- the address is HTTP_LISTEN of whoever runs check
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, healthURL, nil)
	if err != nil {
		return false
	}
	resp, err := askOnce(req, &tls.Config{InsecureSkipVerify: true}) // #nosec G402 -- nothing secret is sent
	return err == nil && resp.Header.Get("Server") == web.ServerName
}
