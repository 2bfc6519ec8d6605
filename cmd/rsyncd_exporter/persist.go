package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/status/sessionlog"
)

const (
	// persistPatience is how long a scrape waits for its save. Then it shows what was saved before.
	persistPatience = 1500 * time.Millisecond
	// persistInterval bounds what a crash can lose of what came by sockets, if nobody scrapes.
	persistInterval = 5 * time.Second
)

// A view is what one scrape shows: the counters of one moment.
type view struct {
	books    *metrics.Snapshot
	clients  *clients.Record
	backups  *backups.Record
	ended    *sessionlog.Record
	files    []metrics.File // of whose fields the counters are shown
	received uint64         // messages: only a new one can get lost
	at       time.Time      // when it was taken
}

// A persister makes the counters durable before anybody sees them: Prometheus takes a counter that
// falls for one that began again at zero, and would count everything twice. A scrape asks for a
// save and shows what was saved. If that fails or takes too long, it shows what the last good save
// made durable.
type persister struct {
	// take returns what there is to show now, and how to encode the state of the same moment.
	take     func() (view, func() ([]byte, error))
	received func() uint64            // messages so far
	save     func(state []byte) error // makes it durable
	log      *slog.Logger
	ended    *sessionlog.Queue // its sessions may be written when they are saved; nil: not kept

	asked chan chan struct{} // a scrape asks for a save, after which run closes what was sent
	over  chan struct{}      // closed when run has ended: nothing is saved any more
	mu    sync.Mutex
	shown view  // durable
	err   error // of the last save
}

// newPersister returns a persister that shows what take gives now until the first save.
func newPersister(
	take func() (view, func() ([]byte, error)), received func() uint64, save func([]byte) error, log *slog.Logger,
) *persister {
	now, _ := take()
	return &persister{
		take: take, received: received, save: save, log: log,
		asked: make(chan chan struct{}), over: make(chan struct{}), shown: now,
	}
}

// run saves when asked, every persistInterval if something has come, and when ctx ends.
func (p *persister) run(ctx context.Context) {
	defer close(p.over)
	var pressed <-chan struct{}
	if p.ended != nil {
		pressed = p.ended.Pressed()
	}
	timer := time.NewTimer(persistInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if p.persist(); p.err != nil {
				p.log.Error("the last state could not be saved: what came by sockets since the one before is lost",
					"err", p.err)
			}
			return
		case done := <-p.asked:
			all := append(p.others(), done)
			p.persist()
			for _, done := range all {
				close(done)
			}
		case <-pressed:
			p.persist()
		case <-timer.C:
			shown, ok := p.shownLast()
			waits := p.ended != nil && p.ended.Unsaved()
			if !ok || waits || p.received() != shown.received { // a crash would lose something
				p.persist()
			}
		}
		timer.Reset(persistInterval)
	}
}

// others returns what the scrapes besides the first have sent, which share its save.
func (p *persister) others() (all []chan struct{}) {
	for {
		select {
		case done := <-p.asked:
			all = append(all, done)
		default:
			return all
		}
	}
}

func (p *persister) persist() {
	now, encode := p.take()
	state, err := encode()
	if err == nil {
		err = p.save(state)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil && p.err == nil:
		p.log.Error("the state can't be saved: /metrics shows what was saved last until it can", "err", err)
	case err == nil && p.err != nil:
		p.log.Info("the state is saved again")
	}
	if p.err = err; err == nil {
		p.shown = now
		if p.ended != nil {
			p.ended.Release(now.ended)
		}
	}
}

// show asks for a save, waits for persistPatience at most, and returns what shownLast does.
func (p *persister) show() (shown view, ok bool) {
	done, late := make(chan struct{}), time.After(persistPatience)
	select {
	case p.asked <- done:
		select {
		case <-done:
		case <-late:
		}
	case <-p.over:
	case <-late:
	}
	return p.shownLast()
}

// shownLast returns what show last could return. It saves nothing and doesn't wait.
func (p *persister) shownLast() (shown view, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown, p.err == nil
}
