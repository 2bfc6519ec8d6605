package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/rsynclog"
)

// serve opens everything, runs until ctx ends or a part fails for good, and stops everything. The order of both is here and nowhere
// else: HTTP is bound first, so that a second instance stops before it takes a socket; HTTP stops last, so that a scrape is answered
// as long as anything is received.
func serve(ctx context.Context, cfg *Config, log *slog.Logger) error {
	limits := rsynclog.DefaultLimits()
	limits.TTL = cfg.SessionTTL
	p, err := pipeline.New(pipeline.Config{
		LogFormat: cfg.LogFormat, ModuleFormats: cfg.ModuleFormats, Tags: cfg.Tags, Modules: cfg.Modules, MaxSeries: cfg.MaxSeries,
		Limits: limits,
	})
	if err != nil {
		return err
	}
	listener, err := listenHTTP(cfg)
	if err != nil {
		return err
	}
	in, err := openInputs(cfg, p)
	if err != nil {
		listener.Close()
		return err
	}
	in.log(cfg, log)
	log.Info("serving", "http", listener.Addr().String())

	webCtx, stopWeb := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWeb()
	server := newHTTPServer(registry(p, in), func() error { return nil }, log)
	webDone := make(chan error, 1)
	inputsCtx, stopInputs := context.WithCancel(ctx)
	defer stopInputs()
	go func() {
		webDone <- serveHTTP(webCtx, listener, server, cfg, log)
		stopInputs() // without its metrics the exporter is of no use
	}()

	err = runAll(inputsCtx, append(in.tasks, ticker{p}, socketWatch{in.unixgram, log}))
	log.Info("stopping", "received", p.Snapshot().Received())
	stopWeb()
	return errors.Join(err, <-webDone)
}

// runAll runs the tasks until ctx ends or one of them fails, and waits for all. A task that returns nil before has done its work, as
// standard input at its end.
func runAll(ctx context.Context, tasks []task) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		g.Go(func() error {
			if err := t.Run(ctx); err != nil {
				return fmt.Errorf("%v: %w", t, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// tickInterval is how often the sessions are looked at that only time ends.
const tickInterval = time.Second

// A ticker ends sessions whose time has come.
type ticker struct{ p *pipeline.Pipeline }

// Run implements task.
func (t ticker) Run(ctx context.Context) error {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			t.p.Tick()
		}
	}
}

func (ticker) String() string { return "session ticker" }

// registry returns what /metrics shows.
func registry(p *pipeline.Pipeline, in *inputs) *prometheus.Registry {
	b := buildInfo()
	r := prometheus.NewRegistry()
	r.MustRegister(
		metrics.NewCollector(p.Snapshot, in.live),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "rsyncd_exporter_build_info",
			Help:        "1; the labels say what was built.",
			ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.Go},
		}, func() float64 { return 1 }),
	)
	return r
}
