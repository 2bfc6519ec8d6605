// Package backfill turns old logs into the history of their metrics, for `promtool tsdb
// create-blocks-from openmetrics`: samples with time stamps, as scrapes at fixed steps would have
// seen them.
//
// A sample at a step counts everything that was logged until then. Samples come step by step, so
// that memory is bounded by the series, not by the time. OpenMetrics wants the samples of a family
// together; promtool takes them in any order that keeps each series' own.
//
//   - A counter that appears has a sample of 0 one step before. So increase() sees its first event.
//   - A gauge has no sample before it has a value.
//   - While nothing is logged, the last values go on, as live. After a silence of Config.Gap the log
//     is taken for incomplete: there are no samples from its last line to the step before the next.
//   - Sessions end by their silence when it has lasted long enough, as live. Those for which the log
//     is too short, but which can't run any more, end with it: samples beyond the log would lie
//     among those of an exporter that was started then.
package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

// Config says what samples are made.
type Config struct {
	Step   time.Duration  // between samples; whole seconds
	Gap    time.Duration  // a longer silence of all logs has no samples; at least a Step
	Until  time.Time      // nothing later counts, and no sample is later; zero: everything does
	Now    time.Time      // no sample is later; zero: nobody knows
	Labels []Label        // of every series, as a scrape configuration adds them
	Books  metrics.Config // MaxSeries, Modules and Hosts, as the live exporter has them

	// Clients has the live exporter's Groups and Places.
	Clients clients.Config
}

// DefaultGap is a day and some: a machine that makes one backup a night is never silent for so
// long, not when the clocks change either. A log that a day is missing of is.
const DefaultGap = 26 * time.Hour

const (
	// MaxStep bounds Config.Step. The blocks of Prometheus begin at multiples of two hours.
	MaxStep = time.Hour
	// MaxGap bounds Config.Gap, and so what a clock that is wrong by years makes of samples.
	MaxGap = 31 * 24 * time.Hour
	// Lookback is the longest step without holes: Prometheus looks back so far for a sample.
	Lookback = 5 * time.Minute
)

// Validate returns what can't be, all problems joined.
func (c *Config) Validate() error {
	var problems []error
	if c.Step < time.Second || c.Step > MaxStep || c.Step%time.Second != 0 {
		problems = append(problems, fmt.Errorf("a step of %v: it must be whole seconds, up to %v", c.Step, MaxStep))
	}
	if c.Gap < c.Step || c.Gap > MaxGap {
		problems = append(problems,
			fmt.Errorf("a gap of %v: it must be between the step, %v, and %v", c.Gap, c.Step, MaxGap))
	}
	return errors.Join(append(problems, validate(c.Labels))...)
}

// Lines are the lines of one log, counted; *logs.Cursor has them.
type Lines interface {
	// First returns about when the log begins; zero: nothing tells. The other methods are called
	// from some days before that on, so that few of many logs need be open at one time.
	First() time.Time
	// Next returns the next line, which is valid until the next call. It is nil if there is only
	// something to say of lost lines. more is false at the end.
	Next() (l *pipeline.Line, at logs.Place, more bool)
	// Finish is called at the end. It hands f, which keeps no changes, what the sessions have come
	// to that were silent for too long.
	Finish(f func([]rsynclog.Change))
	// Close is called behind Finish.
	Close()
}

// Run writes the samples of some logs, and returns how many. It takes the lines in the order of
// their times. The error is about Config, about writing, or ctx's. After one of the last two the
// output is incomplete, and promtool refuses it, as its last line is missing.
func Run(ctx context.Context, c Config, all []Lines, out io.Writer) (samples uint64, err error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	h := &history{
		step: int64(c.Step), gap: int64(c.Gap), until: orNever(c.Until),
		store: metrics.NewStore(c.Books), clients: clients.NewBook(nil, c.Clients), changed: true,
		samples: newSamples(out, c.Labels),
	}
	h.last = min(h.until, orNever(c.Now))
	for _, lines := range all {
		h.lanes = append(h.lanes, newLane(h, lines))
	}
	for h.proceed(ctx) {
	}
	if h.samples.err == nil {
		h.samples.err = ctx.Err()
	}
	if h.samples.err == nil {
		h.finish()
	}
	return h.samples.n, h.samples.err
}

// orNever returns a time in nanoseconds of the Unix epoch, to the millisecond as Prometheus has it.
func orNever(t time.Time) int64 {
	if t.IsZero() {
		return math.MaxInt64
	}
	return t.Truncate(time.Millisecond).UnixNano()
}

// A history is the books at a time that proceeds with the lines of all logs.
type history struct {
	step, gap int64 // nanoseconds
	store     *metrics.Store
	clients   *clients.Book
	samples   *samples
	lanes     []*lane
	one       [1]rsynclog.Change // the one that is counted
	until     int64              // Config.Until, nanoseconds of the Unix epoch
	last      int64              // no sample is later, likewise

	now     int64 // when what was counted last happened, nanoseconds of the Unix epoch; never falls
	line    int64 // the same of the last line
	current int64 // the step whose sample will have what is counted now; 0: nothing has a time yet
	written int64 // the last step with samples
	changed bool  // something was counted since
}

// proceed counts what comes next, up to the next step. It returns false when there is nothing left
// or it is useless to go on.
func (h *history) proceed(ctx context.Context) bool {
	if h.samples.err != nil || ctx.Err() != nil {
		return false
	}
	first, line := h.first()
	switch {
	case first == nil || first.next.at-int64(calm) > h.until:
		return false
	case !first.begun:
		first.fetch()
		return true
	case first.next.at > h.until: // what follows may be a little earlier
		first.skip()
		return true
	}
	until, ends := h.until, line == math.MaxInt64
	if !ends { // otherwise what is left ends with the logs
		h.advance(ctx, first.next, line)
		until = min(until, max(h.current*h.step, first.next.at))
	}
	for _, l := range h.lanes {
		for l.begun && !l.over && l.next.at <= until {
			if !ends {
				h.now = max(h.now, l.next.at)
			}
			if !l.next.silent {
				h.line = max(h.line, l.next.at)
			}
			h.changed = true
			l.count()
		}
	}
	return true
}

// first returns the log that goes on first, and when the next line of all logs was written.
func (h *history) first() (first *lane, line int64) {
	line = math.MaxInt64
	for _, l := range h.lanes {
		if l.over {
			continue
		}
		if first == nil || l.next.at < first.next.at {
			first = l
		}
		if !l.begun || l.line != nil {
			line = min(line, l.at())
		}
	}
	return first, line
}

// advance writes the samples up to a moment, which is not after the next line.
func (h *history) advance(ctx context.Context, m moment, line int64) {
	to := (m.at + h.step - 1) / h.step
	switch {
	case to == 0: // nothing tells when
		return
	case h.current == 0:
		h.write(to - 1) // what is there before anything is counted
		h.current = to
	case to > h.current && line-h.line > h.gap:
		h.write(h.current)
		if m.silent {
			return // it counts where the samples go on
		}
		h.write(to - 1)
		h.current = to
	default:
		for ; h.current < to && h.samples.err == nil && ctx.Err() == nil; h.current++ {
			h.write(h.current)
		}
	}
}

// write writes the samples of a step, unless it has them. Those of the last one are no later than
// Config.Until and Config.Now: they would lie among the live ones, and turn these back.
func (h *history) write(step int64) {
	if step <= h.written {
		return
	}
	var snap *metrics.Snapshot
	if h.changed {
		snap, h.samples.clients = h.store.Snapshot(h, 0), h.clients.Record()
	}
	h.samples.write(min(step*h.step, h.last), (step-1)*h.step, snap)
	h.written, h.changed = step, false
}

// finish writes the last samples, unless no line had a time.
func (h *history) finish() {
	if h.current > 0 {
		h.write(h.current)
	}
	h.samples.end()
}

// Active implements metrics.Table.
func (h *history) Active(f func(*rsynclog.Session)) {
	for _, l := range h.lanes {
		for _, s := range l.running {
			f(s)
		}
	}
}

// Len implements metrics.Table; what it would show is left out.
func (h *history) Len() int { return 0 }

// Evicted implements metrics.Table, likewise.
func (h *history) Evicted() uint64 { return 0 }

// Overflown implements metrics.Table, likewise.
func (h *history) Overflown() uint64 { return 0 }
