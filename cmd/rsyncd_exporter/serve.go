package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/systemd"
	"rsyncd_exporter/internal/web"
	"rsyncd_exporter/pipeline"
)

// serve opens everything, runs until ctx ends or a part fails for good, and stops everything. HTTP
// is bound and STATE_DIR locked first, so that a second instance takes no socket. Nothing is shown
// before the backlog of the files has been read. HTTP stops last. If ctx ends while opening waits
// for a name server or a disk, serve doesn't wait for that.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	var pr *program // whoever receives from opened may read it
	opened := make(chan error, 1)
	go func() {
		var err error
		pr, err = open(cfg, log)
		opened <- err
	}()
	var err error
	select {
	case err = <-opened:
	case <-ctx.Done():
		select {
		case err = <-opened: // what has been opened is closed in good order
		case <-time.After(openPatience):
			log.Warn("stopped before everything was open: a name that is looked up, or a disk, keeps the start waiting")
			return nil
		}
	}
	if err != nil {
		return err
	}
	defer pr.kept.close()
	pr.in.log(cfg, log)
	log.Info("serving", "http", pr.http.Addr().String(), "state", pr.kept.start)
	return pr.run(ctx)
}

// openPatience is how long opening may go on after the program was told to end.
const openPatience = time.Second

type program struct {
	cfg      *config.Config
	log      *slog.Logger
	http     *net.TCPListener
	kept     *kept
	places   *clients.Places // nil without GEOIP_DB
	pipeline *pipeline.Pipeline
	books    pipeline.Books // the pipeline's
	sessions *sessionLog    // nil without SESSION_LOG
	in       *inputs
	persist  *persister    // nil without STATE_DIR
	settled  chan struct{} // closed when what was restored is durable
}

// open opens everything in the order of serve. On an error it closes everything again.
func open(cfg *config.Config, log *slog.Logger) (_ *program, err error) {
	pr := &program{cfg: cfg, log: log, settled: make(chan struct{})}
	if pr.http, err = listenHTTP(cfg); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			pr.http.Close()
			pr.kept.close()
		}
	}()
	if pr.kept, err = openState(cfg.StateDir, log); err != nil {
		return nil, err
	}
	if pr.places, err = loadPlaces(cfg); err != nil {
		return nil, err
	}
	if pr.pipeline, err = newPipeline(pr.serveConfig(), pr.kept, log); err != nil {
		return nil, err
	}
	pr.sessions = pr.openSessionLog(pr.books.Ended)
	cfg.TLS.Report = func(err error) {
		if err != nil {
			log.Error("the TLS files have changed and can't be used: what they held before stays in force", "err", err)
		} else {
			log.Info("the changed TLS files are in force")
		}
	}
	if pr.in, err = openInputs(cfg, pr.pipeline, pr.kept); err != nil {
		return nil, err
	}
	if pr.kept.dir != nil {
		pr.persist = newPersister(pr.take, pr.pipeline.Received, pr.kept.dir.Save, log)
		pr.persist.ended = pr.books.Ended
	}
	return pr, nil
}

// run serves until ctx ends or a part fails for good, and stops everything.
func (pr *program) run(ctx context.Context) error {
	webCtx, stopWeb := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWeb()
	inputsCtx, stopInputs := context.WithCancel(ctx)
	defer stopInputs()
	var end ending
	defer context.AfterFunc(inputsCtx, end.begin)()

	caughtUp := pr.caughtUp(inputsCtx)
	page := statusOptions(pr.cfg, pr.places, pr.look(caughtUp))
	options := webOptions(pr.cfg, withoutClashes(pr.registry()), page, pr.ready(caughtUp), pr.log)
	webDone := make(chan error, 1)
	go func() {
		webDone <- web.Serve(webCtx, pr.http, options, end.left)
		stopInputs() // without its metrics the exporter is of no use
	}()
	stopLogging := pr.sessions.start(ctx, pr)
	stopPersisting := pr.startPersisting(ctx)

	tick := newTicker(pr.pipeline, pr.cfg, pr.log)
	supervised := &systemd.Supervised{
		Ready: caughtUp, Watchdog: pr.cfg.Watchdog, Hearts: []systemd.Heart{tick}, Log: pr.log,
	}
	tasks := []task{tick, supervised, socketWatch{pr.in.ofKind(kindUnixgram), pr.log}}
	for _, r := range pr.in.readers {
		tasks = append(tasks, r)
		if h, ok := r.(systemd.Heart); ok { // a datagram reader, which never waits for long
			supervised.Hearts = append(supervised.Hearts, h)
		}
	}
	if pr.in.creds != nil {
		tasks = append(tasks, pr.in.creds)
	}
	if pr.in.files != nil {
		tasks = append(tasks, newFileWatch(pr.in.files.Status, pr.log))
	}
	err := runAll(inputsCtx, tasks)
	pr.log.Info("stopping", "received", pr.pipeline.Received())
	stopPersisting(end.left())
	stopLogging(end.left) // what the last save has released
	stopWeb()
	return errors.Join(err, <-webDone)
}

// caughtUp returns a channel that is closed when counters may be shown: the files' backlog has been
// read and, with STATE_DIR, a first save made, for the second start to know where the files were.
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

// readyPatience is how long a scrape waits for the start. It is answered within a second.
const readyPatience = 500 * time.Millisecond

// ready returns what /-/ready and /metrics ask.
func (pr *program) ready(caughtUp <-chan struct{}) func() error {
	return func() error {
		select {
		case <-caughtUp:
			return nil
		case <-time.After(readyPatience):
		}
		return pr.waits()
	}
}

// waits says what the start still waits for, before caughtUp.
func (pr *program) waits() error {
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

// startPersisting returns a function that saves a last time, within patience: a disk that hangs
// must not keep the program from ending. The save before it stays valid.
func (pr *program) startPersisting(ctx context.Context) (stop func(patience time.Duration)) {
	if pr.persist == nil {
		return func(time.Duration) {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended, settle := make(chan struct{}), pr.kept.dir.Settle
	go func() {
		defer close(ended)
		if pr.kept.start != startNew { // not before the sockets are open: they don't wait for a slow disk
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

func (pr *program) take() (view, func() ([]byte, error)) {
	at, files := time.Now(), pr.in.live().Files // before the state, so that they are never ahead of it
	books, state := pr.in.save(pr.pipeline)
	return view{
		books: books, clients: state.Clients, backups: state.Backups, ended: state.Ended, files: files,
		received: books.Received(), at: at,
	}, state.Encode
}

// shutdownLimit is how long stopping may take. Inputs need 4.25 s at most: 0.25 to wake up, two for
// the last reads, two to hand over what is pending.
const (
	shutdownLimit = 5 * time.Second
	leastGrace    = 500 * time.Millisecond // what HTTP gets in any case
	reserve       = time.Second            // for a busy machine
)

// An ending knows when the program began to stop.
type ending struct{ began atomic.Pointer[time.Time] }

func (e *ending) begin() {
	now := time.Now()
	e.began.Store(&now)
}

// left returns how long HTTP requests under way may still take.
func (e *ending) left() time.Duration {
	began := e.began.Load()
	if began == nil { // an input failed, and nothing else has ended yet
		return leastGrace
	}
	return max(leastGrace, shutdownLimit-reserve-time.Since(*began))
}

// runAll runs the tasks until ctx ends or one fails. A task may end early with nil.
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
