package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"rsyncd_exporter/internal/systemd"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
)

// serve opens everything, runs until ctx ends or a part fails for good, and stops everything. The order of both is here and nowhere
// else: HTTP is bound and STATE_DIR locked first, so that a second instance stops before it takes a socket; then the sockets are opened,
// so that what arrives waits no longer than it must; and what was logged to files meanwhile is read before anything is shown. HTTP stops
// last, so that a scrape is answered as long as anything is received.
//
// An end that is asked for while something can't be opened, since a name server doesn't answer or a disk hangs, is not kept waiting for that.
func serve(ctx context.Context, cfg *Config, log *slog.Logger) error {
	type result struct {
		*opened
		err error
	}
	done := make(chan result, 1)
	go func() {
		o, err := open(cfg, log)
		done <- result{o, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		select {
		case r = <-done: // what has been opened is closed in good order
		case <-time.After(openPatience):
			log.Warn("stopped before everything was open: a name that is looked up, or a disk, keeps the start waiting")
			return nil
		}
	}
	if r.err != nil {
		return r.err
	}
	defer r.kept.close()
	r.in.log(cfg, log)
	log.Info("serving", "http", r.http.Addr().String(), "state", r.kept.start)
	return newProgram(cfg, log, r.kept, r.pipeline, r.in).run(ctx, r.http)
}

// openPatience is how long opening goes on when the program is to end.
const openPatience = time.Second

// An opened is everything that serve opens.
type opened struct {
	http     net.Listener
	kept     *kept
	pipeline *pipeline.Pipeline
	in       *inputs
}

// open opens everything in the order that serve says. On an error all is closed again.
func open(cfg *Config, log *slog.Logger) (_ *opened, err error) {
	o := &opened{}
	if o.http, err = listenHTTP(cfg); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			o.http.Close()
		}
	}()
	if o.kept, err = openState(cfg.StateDir, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			o.kept.close()
		}
	}()
	if o.pipeline, err = newPipeline(pipelineConfig(cfg), o.kept, log); err != nil {
		return nil, err
	}
	cfg.TLS.Report = reportTLS(log)
	if o.in, err = openInputs(cfg, o.pipeline, o.kept); err != nil {
		return nil, err
	}
	return o, nil
}

func reportTLS(log *slog.Logger) func(error) {
	return func(err error) {
		if err != nil {
			log.Error("the TLS files have changed and can't be used: what they held before stays in force", "err", err)
			return
		}
		log.Info("the changed TLS files are in force")
	}
}

// A program is everything, opened.
type program struct {
	cfg      *Config
	log      *slog.Logger
	kept     *kept
	pipeline *pipeline.Pipeline
	in       *inputs
	persist  *persister    // nil without STATE_DIR
	settled  chan struct{} // closed when what was restored is durable
}

func newProgram(cfg *Config, log *slog.Logger, k *kept, p *pipeline.Pipeline, in *inputs) *program {
	pr := &program{cfg: cfg, log: log, kept: k, pipeline: p, in: in, settled: make(chan struct{})}
	if k.dir != nil {
		pr.persist = newPersister(pr.take, k.dir.Save, log)
	}
	return pr
}

// run runs all parts until ctx ends or one fails for good.
func (pr *program) run(ctx context.Context, listener net.Listener) error {
	webCtx, stopWeb := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWeb()
	inputsCtx, stopInputs := context.WithCancel(ctx)
	defer stopInputs()
	var end ending
	defer context.AfterFunc(inputsCtx, end.begin)()

	caughtUp := pr.caughtUp(inputsCtx)
	server := newHTTPServer(pr.cfg, withoutClashes(pr.registry()), pr.ready(caughtUp), pr.log)
	webDone := make(chan error, 1)
	go func() {
		webDone <- serveHTTP(webCtx, listener, server, pr.cfg, pr.log, end.left)
		stopInputs() // without its metrics the exporter is of no use
	}()
	stopPersisting := pr.startPersisting(ctx)

	tick := newTicker(pr.pipeline, pr.cfg, pr.log)
	tasks := append(pr.in.tasks, tick, socketWatch{pr.in.unixgram, pr.log}, &supervised{
		ready: caughtUp, watchdog: pr.cfg.Watchdog, hearts: append(pr.in.hearts(), tick), notify: systemd.Notify, log: pr.log,
	})
	if pr.in.creds != nil {
		tasks = append(tasks, pr.in.creds)
	}
	err := runAll(inputsCtx, tasks)
	pr.log.Info("stopping", "received", pr.pipeline.Snapshot().Received())
	stopPersisting(end.left())
	stopWeb()
	return errors.Join(err, <-webDone)
}

// caughtUp returns a channel that is closed when counters may be shown: those that were restored, when the files have been read in which
// they go on; others at once. With STATE_DIR there has been a save then, unless it failed or takes too long: where a file was at the first
// start must be known to the second, though nobody may have scraped in between.
func (pr *program) caughtUp(ctx context.Context) <-chan struct{} {
	all := make(chan struct{})
	if pr.persist == nil {
		close(all)
		return all
	}
	go func() {
		if pr.kept.saved != nil {
			for _, done := range []<-chan struct{}{pr.settled, pr.in.caughtUp()} {
				select {
				case <-done:
				case <-ctx.Done():
					return
				}
			}
		}
		pr.persist.show()
		close(all)
	}()
	return all
}

// readyPatience is how long a scrape waits for a restart to be over, instead of failing. It is to be answered within a second, on a machine
// that is busy with the backlog.
const readyPatience = 500 * time.Millisecond

// ready returns what /-/ready and /metrics ask.
func (pr *program) ready(caughtUp <-chan struct{}) func() error {
	return func() error {
		soon := time.NewTimer(readyPatience)
		defer soon.Stop()
		select {
		case <-caughtUp:
			return nil
		case <-soon.C:
		}
		lag := int64(0)
		for _, f := range pr.in.live().Files {
			lag += f.Lag
		}
		select {
		case <-pr.settled:
		default:
			if lag == 0 {
				return errors.New("making durable what was restored: the disk of STATE_DIR is slow")
			}
		}
		return fmt.Errorf("reading what was logged while the exporter was down: %d bytes to go", lag)
	}
}

// startPersisting returns a function that saves a last time and waits for it, but not for longer than it is told: a disk that hangs must not
// keep the program from ending, and the state of the save before is right too.
func (pr *program) startPersisting(ctx context.Context) (stop func(patience time.Duration)) {
	if pr.persist == nil {
		return func(time.Duration) {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended, settle := make(chan struct{}), pr.kept.dir.Settle
	go func() {
		defer close(ended)
		if pr.kept.start != startNew { // and not before the sockets are open, for which a slow disk is no reason to wait
			if err := settle(); err != nil {
				pr.log.Warn("a power cut may cost the state that is restored, until it is saved again", "err", err)
			}
		}
		close(pr.settled)
		pr.persist.run(ctx)
	}()
	return func(patience time.Duration) {
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			pr.kept.dir = nil // that save still uses it; the end of the process lets go of it
			pr.log.Error("the last state could not be saved in time: what came by sockets since the one before is lost")
		}
	}
}

// take implements persister.take.
func (pr *program) take() (view, func() ([]byte, error)) {
	at, files := time.Now(), pr.in.live().Files // before the state, so that they are never ahead of it
	books, state := pr.in.save(pr.pipeline)
	return view{books: books, files: files, received: books.Received(), at: at}, state.Encode
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

// A ticker ends sessions whose time has come, and warns of host names that several machines have and of inputs that
// are not understood. It is the pipeline's heart: each tick proves that the lock could be had.
type ticker struct {
	p        *pipeline.Pipeline
	mixed    mixedHosts
	foreign  misunderstood
	interval time.Duration
	turns    atomic.Uint64
}

// newTicker returns a ticker that goes around often enough for the watchdog, if there is one.
func newTicker(p *pipeline.Pipeline, cfg *Config, log *slog.Logger) *ticker {
	t := &ticker{
		p: p, mixed: mixedHosts{hosts: p.MixedHosts, log: log}, interval: tickInterval,
		foreign: misunderstood{list: p.Misunderstood, cfg: cfg, log: log, none: map[string]bool{}},
	}
	if cfg.Watchdog > 0 {
		t.interval = min(t.interval, cfg.Watchdog/8)
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
		case now := <-tick.C:
			t.p.Tick()
			t.mixed.warn(now)
			t.foreign.warn()
			t.turns.Add(1)
		}
	}
}

// Turns implements heart.
func (t *ticker) Turns() uint64 { return t.turns.Load() }

func (*ticker) String() string { return "session ticker" }

// registry returns what /metrics shows.
func (pr *program) registry() *prometheus.Registry {
	snapshot, live := pr.pipeline.Snapshot, pr.in.live
	if pr.persist != nil {
		snapshot = func() *metrics.Snapshot {
			shown, _ := pr.persist.show()
			return shown.books
		}
		live = pr.liveDurable
	}
	b := buildInfo()
	label := metrics.LabelValue
	r := prometheus.NewRegistry()
	r.MustRegister(
		metrics.NewCollector(snapshot, live),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "rsyncd_exporter_build_info",
			Help:        "1; the labels say what was built.",
			ConstLabels: prometheus.Labels{"version": label(b.Version), "revision": label(b.Revision), "goversion": label(b.Go)},
		}, func() float64 { return 1 }),
	)
	return r
}

// liveDurable is inputs.live with STATE_DIR: the files are those that a restart would know, with the counters that are durable.
func (pr *program) liveDurable() metrics.Live {
	l := pr.in.live()
	shown, ok := pr.persist.shownLast()
	l.State = &metrics.Durability{OK: ok, Age: time.Since(shown.at), Start: pr.kept.start}
	l.Files = durableFiles(l.Files, shown.files)
	return l
}

func durableFiles(live, durable []metrics.File) (files []metrics.File) {
	for _, f := range live {
		if at := slices.IndexFunc(durable, func(d metrics.File) bool { return d.Path == f.Path }); at >= 0 {
			f.Rotations, f.Errors, f.Gaps = durable[at].Rotations, durable[at].Errors, durable[at].Gaps
			files = append(files, f)
		}
	}
	return files
}
