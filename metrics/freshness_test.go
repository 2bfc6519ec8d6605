package metrics_test

import (
	"testing"
	"time"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/rsynclog"
)

// freshness returns the gauges of the only user, in seconds of the epoch; 0 for what isn't there.
func (b *books) freshness() (success, attempt float64) {
	b.t.Helper()
	for name, to := range map[string]*float64{"rsync_last_success_timestamp_seconds": &success, "rsync_last_attempt_timestamp_seconds": &attempt} {
		for _, m := range family(b.t, b.registry(), name).GetMetric() {
			*to = m.GetGauge().GetValue()
		}
	}
	return success, attempt
}

func (b *books) wantFreshness(when string, success, attempt float64) {
	b.t.Helper()
	if s, a := b.freshness(); s != success || a != attempt {
		b.t.Errorf("%s: last success %v, last attempt %v; want %v and %v", when, s, a, success, attempt)
	}
}

// endAt ends a session whose last line came at a second, by the sessions' clock, when the wall clock shows another.
func (b *books) endAt(last, now, wall int64, o rsynclog.Outcome) {
	origin := &rsynclog.Origin{Host: "vm"}
	const s = int64(time.Second)
	sess := &rsynclog.Session{Origin: origin, SessionRecord: rsynclog.SessionRecord{
		Module: "data", Direction: rsynclog.Receive, LastSeen: last * s, Outcome: o,
	}}
	b.store.Apply([]rsynclog.Change{{Kind: rsynclog.Ended, Origin: origin, Session: sess, N: 1}}, now*s, wall*s)
}

// The exporter's clock was in the year 2030 once. What comes in 2026 counts all the same.
func TestAClockThatWasAheadDoesNotFreezeTheGauges(t *testing.T) {
	y2030, today := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC).Unix()
	b := newBooks(t, metrics.Config{})
	b.endAt(y2030, y2030, y2030, rsynclog.OK)
	b.wantFreshness("in 2030", float64(y2030), float64(y2030))
	if err := b.restart(metrics.Config{}, nil); err != nil {
		t.Fatal(err)
	}
	b.endAt(today, today, today, rsynclog.OK)
	b.wantFreshness("today", float64(today), float64(today))
	b.endAt(today-50, today+10, today+10, rsynclog.Aborted) // ended late, and earlier than the last
	b.wantFreshness("a late one", float64(today), float64(today))

	// A failure tells no more of the last success than that it is not in the future.
	b.endAt(y2030, y2030, y2030, rsynclog.OK)
	b.endAt(today+60, today+60, today+60, rsynclog.Aborted)
	b.wantFreshness("a failure", float64(today+60), float64(today+60))
	b.endAt(today+120, today+120, today+120, rsynclog.Aborted)
	b.wantFreshness("another one", float64(today+60), float64(today+120))
}

// The exporter's clock was in the year 2030 once, and nothing has ended since: an hour later the last success is no longer in the future, from where
// no alert would ever notice its age. Before that the clock of now may be the wrong one, as of a machine that has just started.
func TestASuccessDoesNotStayInTheFuture(t *testing.T) {
	y2030, today := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC).Unix()
	b := newBooks(t, metrics.Config{})
	b.endAt(y2030, y2030, y2030, rsynclog.OK)
	at := func(wall int64) { b.store.Apply(nil, wall*int64(time.Second), wall*int64(time.Second)) }
	at(today)
	b.wantFreshness("the clock is set", float64(y2030), float64(y2030))
	at(today + 3500)
	b.wantFreshness("an hour later, nearly", float64(y2030), float64(y2030))
	at(today + 3600)
	b.wantFreshness("an hour later", float64(today+3600), float64(today+3600))
	at(today + 7200)
	b.wantFreshness("later", float64(today+3600), float64(today+3600))

	b = newBooks(t, metrics.Config{})
	b.endAt(today, today, today, rsynclog.OK)
	at(60) // a machine without a clock of its own has started again
	b.wantFreshness("in 1970", float64(today), float64(today))
	at(today + 3600)
	b.wantFreshness("with the time", float64(today), float64(today))
	at(today + 1800) // set back by half an hour; nothing lies in the future
	b.wantFreshness("set back", float64(today), float64(today))
}

// A session whose last line lies in the future, by its stamp, ended now.
func TestASessionStampedInTheFuture(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	b.endAt(900_000, 5000, 5000, rsynclog.OK)
	b.wantFreshness("stamped ahead", 5000, 5000)
	b.endAt(5010, 5010, 5010, rsynclog.OK)
	b.wantFreshness("the next one", 5010, 5010)
}

// A session that a client may have begun counts, and proves nobody's backup. An hour after its end the pid of
// the first one may be another process', or not.
func TestADoubtfulSessionIsNobodysBackup(t *testing.T) {
	b := newBooks(t, metrics.Config{Modules: []string{"data"}})
	b.pull("vm", "data", 7, 2000, 1, 2)
	b.wantFreshness("the first", 2030, 2030)
	b.pull("vm", "data", 7, 9000, 4, 8)
	b.wantFreshness("a doubtful one", 2030, 2030)
	if n := sum(t, b.registry(), "rsync_sessions_total", "outcome", "ok"); n != 2 {
		t.Errorf("%v sessions are counted, want 2", n)
	}
	b.pull("vm", "data", 8, 9000, 1, 2)
	b.wantFreshness("another process", 9030, 9030)
}

// Of two files, read one after the other, the one with the failure came first.
func TestASuccessThatComesToLightBehindALaterFailure(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	b.endAt(2000, 9000, 9000, rsynclog.Aborted)
	b.endAt(1000, 9000, 9000, rsynclog.OK)
	b.wantFreshness("in the wrong order", 1000, 2000)
	b.endAt(500, 9000, 9000, rsynclog.OK)
	b.wantFreshness("an earlier one", 1000, 2000)
}
