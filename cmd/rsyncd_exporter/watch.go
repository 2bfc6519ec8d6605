package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
)

// tickInterval is how often sessions are ended that are over because of time alone.
const tickInterval = time.Second

// A ticker ends sessions whose time has come and writes due warnings.
type ticker struct {
	p        *pipeline.Pipeline
	mixed    mixedHosts
	foreign  misunderstood
	interval time.Duration
	turns    atomic.Uint64
}

// newTicker returns a ticker that ticks often enough for the watchdog, if there is one.
func newTicker(p *pipeline.Pipeline, cfg *config.Config, log *slog.Logger) *ticker {
	t := &ticker{
		p: p, mixed: mixedHosts{hosts: p.MixedHosts, log: log}, interval: tickInterval,
		foreign: misunderstood{list: p.Misunderstood, cfg: cfg, log: log, none: map[string]bool{}},
	}
	if cfg.Watchdog > 0 {
		t.interval = min(t.interval, cfg.Watchdog/8)
	}
	return t
}

func (t *ticker) Run(ctx context.Context) error {
	tick := time.Tick(t.interval)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick:
			t.p.Tick()
			t.mixed.warn(now)
			t.foreign.warn()
			t.turns.Add(1)
		}
	}
}

func (t *ticker) Turns() uint64 { return t.turns.Load() }

func (*ticker) String() string { return "session ticker" }

// mixedHosts warns of host names that come from several addresses, a few times a day.
type mixedHosts struct {
	hosts func(n int) []string // pipeline.Pipeline.MixedHosts
	log   *slog.Logger
	day   time.Time // when the first of these warnings was written
	told  int       // since then
}

const maxMixedHosts = 16

func (m *mixedHosts) warn(now time.Time) {
	if now.Sub(m.day) >= 24*time.Hour {
		m.told = 0
	}
	for _, host := range m.hosts(maxMixedHosts - m.told) {
		if m.told == 0 {
			m.day = now
		}
		m.told++
		m.log.Warn("one host name comes from several addresses: their sessions may be mixed up; give each sender its "+
			"own host name", "host", host)
	}
}

// A socketWatch logs when a socket file has gone or been replaced, and when it is in place again.
type socketWatch struct {
	sockets []socket
	log     *slog.Logger
}

func (w socketWatch) Run(ctx context.Context) error {
	type seen struct {
		lost, unsure bool
		rebinds      uint64
	}
	before := make([]seen, len(w.sockets))
	for i, s := range w.sockets {
		before[i].unsure = w.tellUnsure(s.String(), s.status())
	}
	look := time.Tick(tickInterval)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look:
		}
		for i, s := range w.sockets {
			st, b := s.status(), &before[i]
			switch {
			case ctx.Err() != nil: // the file goes at the end
				return nil
			case st.Rebinds > b.rebinds:
				b.unsure = b.unsure || w.tellUnsure(s.String(), st)
				w.log.Warn("somebody removed the socket file: it has been made again, and what was logged meanwhile "+
					"is lost", "input", s.String())
			case !st.InPlace && !b.lost:
				w.log.Warn("the socket file is gone or somebody else's: programs that connect to it now don't reach "+
					"the exporter", "input", s.String(),
					"remedy", "stop the other program, or give one of them another path")
			case st.InPlace && b.lost:
				w.log.Info("the socket file is in place again", "input", s.String())
			}
			b.rebinds, b.lost = st.Rebinds, !st.InPlace
		}
	}
}

// tellUnsure warns where nobody can say whose the socket file is.
func (w socketWatch) tellUnsure(input string, st receiver.Status) bool {
	if st.Unsure == nil {
		return false
	}
	w.log.Warn("others may write to the socket's directory, and the kernel can't be asked whether the socket file is "+
		"the exporter's: socket_in_place may be wrong", "input", input, "error", st.Unsure.Error(),
		"remedy", "allow netlink sockets (RestrictAddressFamilies=AF_NETLINK), or a directory that only root and this "+
			"user may write to")
	return true
}

func (socketWatch) String() string { return "socket watch" }

// fileCheck is how often fileWatch looks. What lasts for less is a rotation.
const fileCheck = 10 * time.Second

// A fileWatch logs once why a followed file isn't read, and that it is read again.
type fileWatch struct {
	status func() []follow.Status
	log    *slog.Logger
	seen   map[string]bool // at the last check
	told   map[string]bool
}

// newFileWatch takes for told what is wrong now, but for files that don't exist yet.
func newFileWatch(status func() []follow.Status, log *slog.Logger) *fileWatch {
	w := &fileWatch{status: status, log: log, seen: map[string]bool{}, told: map[string]bool{}}
	for _, f := range status() {
		if f.Err != nil && !errors.Is(f.Err, fs.ErrNotExist) {
			w.told[cmp.Or(f.Path, f.Pattern)] = true
		}
	}
	return w
}

func (w *fileWatch) check() {
	seen, told := map[string]bool{}, map[string]bool{}
	for _, f := range w.status() {
		name := cmp.Or(f.Path, f.Pattern)
		switch {
		case f.Err == nil && w.told[name]:
			w.log.Info("file is read again", "path", name)
		case f.Err != nil && w.seen[name] && !w.told[name]:
			w.log.Warn("file isn't read", "path", name, "err", f.Err)
			told[name] = true
		case f.Err != nil:
			told[name] = w.told[name]
		}
		seen[name] = f.Err != nil
	}
	w.seen, w.told = seen, told
}

func (w *fileWatch) Run(ctx context.Context) error {
	tick := time.Tick(fileCheck)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			w.check()
		}
	}
}

func (*fileWatch) String() string { return "file watch" }
