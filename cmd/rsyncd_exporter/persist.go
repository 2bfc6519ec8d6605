package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rsyncd_exporter/metrics"
)

const (
	// persistPatience is how long a scrape waits for its save. Then it shows what was saved before.
	persistPatience = 1500 * time.Millisecond
	// persistInterval bounds what a crash can lose of what came by sockets, if nobody scrapes.
	persistInterval = 5 * time.Second
)

// A view is what one scrape shows: the counters of one moment. A restart must not fall behind it.
type view struct {
	books    *metrics.Snapshot
	files    []metrics.File // of whose fields the counters are shown
	received uint64         // messages: only a new one can get lost
	at       time.Time      // when it was taken
}

// A persister makes the counters durable before anybody sees them. Prometheus takes a counter that
// falls for one that began again at zero, so a restart that knows less than a scrape has shown
// would count everything twice. Hence a scrape asks for a save, waits for it, and shows what was
// saved. If that fails or takes too long, it shows what the last save that succeeded has made
// durable: old, and never wrong.
type persister struct {
	// take returns what there is to show now, and how to encode the state of the same moment.
	take     func() (view, func() ([]byte, error))
	received func() uint64            // messages so far
	save     func(state []byte) error // makes it durable
	log      *slog.Logger

	asked chan struct{} // capacity 1: a scrape waits for a save
	mu    sync.Mutex
	shown view          // durable
	err   error         // of the last save
	begun uint64        // saves
	done  uint64        // the last of them that has ended
	ended chan struct{} // closed when the next one does
}

// newPersister returns a persister that shows what take gives now until the first save. What was
// restored is durable already (kept), and zero needn't be.
func newPersister(
	take func() (view, func() ([]byte, error)), received func() uint64, save func([]byte) error, log *slog.Logger,
) *persister {
	now, _ := take()
	return &persister{
		take: take, received: received, save: save, log: log,
		asked: make(chan struct{}, 1), shown: now, ended: make(chan struct{}),
	}
}

// run saves when it is asked to, and every persistInterval if something has come. When ctx ends, it
// saves a last time.
func (p *persister) run(ctx context.Context) {
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
		case <-p.asked:
			p.persist()
		case <-timer.C:
			if p.stale() {
				p.persist()
			}
		}
		timer.Reset(persistInterval)
	}
}

// stale reports whether a crash would lose something.
func (p *persister) stale() bool {
	shown, ok := p.shownLast()
	return !ok || p.received() != shown.received
}

func (p *persister) persist() {
	p.mu.Lock()
	p.begun++
	p.mu.Unlock()
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
	}
	p.done = p.begun
	close(p.ended)
	p.ended = make(chan struct{})
}

// show asks for a save and returns what may be shown, and whether the last save succeeded. What is
// shown is of now if it can be made durable in time.
func (p *persister) show() (shown view, ok bool) {
	patience := time.NewTimer(persistPatience)
	defer patience.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for enough := p.begun + 1; p.done < enough; {
		ended := p.ended
		p.mu.Unlock()
		select {
		case p.asked <- struct{}{}:
		default: // another scrape has asked
		}
		timely := true
		select {
		case <-ended:
		case <-patience.C:
			timely = false
		}
		p.mu.Lock()
		if !timely {
			break
		}
	}
	return p.shown, p.err == nil
}

// shownLast returns what the last call of show may have returned, and whether the last save
// succeeded. It saves nothing and doesn't wait.
func (p *persister) shownLast() (shown view, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown, p.err == nil
}
