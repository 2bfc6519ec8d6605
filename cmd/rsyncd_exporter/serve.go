package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"rsyncd_exporter/internal/systemd"
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
	cfg.TLS.Report = func(err error) {
		if err != nil {
			log.Error("the TLS files have changed and can't be used: what they held before stays in force", "err", err)
			return
		}
		log.Info("the changed TLS files are in force")
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
	var end ending
	defer context.AfterFunc(inputsCtx, end.begin)()
	go func() {
		webDone <- serveHTTP(webCtx, listener, server, cfg, log, end.left)
		stopInputs() // without its metrics the exporter is of no use
	}()

	tick := newTicker(p, cfg.Watchdog)
	tasks := append(in.tasks, tick, socketWatch{in.unixgram, log}, &supervised{watchdog: cfg.Watchdog, hearts: append(in.hearts(), tick), notify: systemd.Notify, log: log})
	if in.creds != nil {
		tasks = append(tasks, in.creds)
	}
	err = runAll(inputsCtx, tasks)
	log.Info("stopping", "received", p.Snapshot().Received())
	stopWeb()
	return errors.Join(err, <-webDone)
}

// shutdownLimit is how long stopping may take. Inputs are done after 4.25 s at the latest: a reader wakes up after a quarter of a second, the
// last reads may take two, and offering the pipeline what is pending another two.
const (
	shutdownLimit = 5 * time.Second
	leastGrace    = 500 * time.Millisecond // for HTTP, in any case
	reserve       = time.Second            // for the machine, which may be busy
)

// An ending knows when the program began to stop.
type ending struct{ began atomic.Pointer[time.Time] }

func (e *ending) begin() {
	now := time.Now()
	e.began.Store(&now)
}

// left returns how long HTTP requests that are under way may take, so that there is time enough for the rest.
func (e *ending) left() time.Duration {
	began := e.began.Load()
	if began == nil { // an input failed, and nothing else has ended yet
		return leastGrace
	}
	return max(leastGrace, shutdownLimit-reserve-time.Since(*began))
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

// A ticker ends sessions whose time has come. It is the pipeline's heart: each tick proves that the lock could be had.
type ticker struct {
	p        *pipeline.Pipeline
	interval time.Duration
	turns    atomic.Uint64
}

// newTicker returns a ticker that goes around often enough for a watchdog, if there is one.
func newTicker(p *pipeline.Pipeline, watchdog time.Duration) *ticker {
	t := &ticker{p: p, interval: tickInterval}
	if watchdog > 0 {
		t.interval = min(t.interval, watchdog/8)
	}
	return t
}

// Run implements task.
func (t *ticker) Run(ctx context.Context) error {
	tick := time.NewTicker(t.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			t.p.Tick()
			t.turns.Add(1)
		}
	}
}

// Turns implements heart.
func (t *ticker) Turns() uint64 { return t.turns.Load() }

func (*ticker) String() string { return "session ticker" }

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
