package rsynclog_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/rsynclog"
)

// restart replaces the table by one that is restored from it after a time in which the program was down.
func (b *table) restart(limits rsynclog.Limits, down time.Duration, modules ...string) {
	b.t.Helper()
	st := rsynclog.ThroughBytes(b.t, b.sessions.Record(b.now, nil))
	b.now += int64(down)
	s, err := restoreAt(limits, modules, &st, b.now, down)
	if err != nil {
		b.t.Fatal(err)
	}
	rsynclog.CheckTable(b.t, s)
	b.sessions, b.host = s, originOf(s, b.host.Scope, b.host.Raw)
}

const upload = `
	7 connect from localhost (127.0.0.1)
	7 rsync allowed access on module data from localhost (127.0.0.1)
	7 rsync to data/ from localhost (127.0.0.1)`

// A night's downtime ends nothing that goes on, and the session's time holds it: 1 h before, 30 h down, 1 h after are 32 h.
func TestDowntimeEndsNothing(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "data")
	b.say(upload + `
		+1h
		7 recv localhost [127.0.0.1] data () a 7
		8 connect from localhost (127.0.0.1)`)
	b.restart(rsynclog.DefaultLimits(), 30*time.Hour, "data")
	b.say("+59m")
	if len(b.book.ended) != 0 {
		t.Fatalf("ended: %v", b.book.ended)
	}
	if s := b.sessions.Session(b.host, 7); s.LastSeen != int64(time.Hour+time.Hour) {
		t.Errorf("its last line came at %v, want 2h0m0s", time.Duration(s.LastSeen))
	}
	b.say(`
		+1m
		7 sent 1 bytes  received 2 bytes  total size 3`)
	if s := b.sessions.Session(b.host, 7); s.LastSeen-s.FirstSeen != int64(32*time.Hour) {
		t.Errorf("it took %v, want 32h0m0s", time.Duration(s.LastSeen-s.FirstSeen))
	}
	if len(b.book.ended) != 1 || !strings.Contains(b.book.ended[0], "unknown") { // the other one, an hour after it was heard
		t.Errorf("ended: %v, want the one that asked for nothing, after an hour that it could have been heard", b.book.ended)
	}
}

// Restarts don't keep a session that says nothing: 23 h, then 2 h, of silence are more than a day, with two nights between.
func TestRestartsKeepNoSessionForEver(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "data")
	b.say(upload + "\n +23h")
	b.restart(rsynclog.DefaultLimits(), 8*time.Hour, "data")
	b.say("+30m")
	b.restart(rsynclog.DefaultLimits(), 8*time.Hour, "data")
	b.say("+29m")
	if len(b.book.ended) != 0 {
		t.Fatalf("after 23h59m: %v", b.book.ended)
	}
	s := b.sessions.Session(b.host, 7)
	b.say("+1m")
	if len(b.book.ended) != 1 {
		t.Fatalf("after 24h: %v", b.book.ended)
	}
	if s.LastSeen != s.FirstSeen {
		t.Errorf("its last line came %v after its first, want at once", time.Duration(s.LastSeen-s.FirstSeen))
	}
}

// A session that settles may still be contradicted by what was written right behind its summary, while we were down. What it took
// doesn't grow.
func TestSettlingGoesOnAfterDowntime(t *testing.T) {
	for _, more := range []string{"", "7 rsync error: error in file IO (code 11) at receiver.c(657) [receiver=3.5.0]"} {
		b := newTable(t, rsynclog.DefaultLimits(), "data")
		b.say(upload + `
			+10s
			7 sent 1 bytes  received 2 bytes  total size 3
			+1s`)
		b.restart(rsynclog.DefaultLimits(), time.Hour, "data")
		b.add(tickAll(b.sessions, b.now))
		if len(b.book.ended) != 0 {
			t.Fatalf("ended before anything could be heard: %v", b.book.ended)
		}
		took, want := 10*time.Second, "ok"
		if more != "" {
			b.say(more)
			took, want = 10*time.Second+time.Second+time.Hour, "aborted" // as late as it was read
		}
		b.say("+2s")
		if len(b.book.ended) != 1 || !strings.Contains(b.book.ended[0], want) {
			t.Fatalf("ended: %v, want %s", b.book.ended, want)
		}
		if s := b.sessions.Session(b.host, 7); s.LastSeen-s.FirstSeen != int64(took) {
			t.Errorf("it took %v, want %v", time.Duration(s.LastSeen-s.FirstSeen), took)
		}
	}
}

// Late lines find the session that has ended, also when they were written while we were down.
func TestEndedSessionsAreRememberedThroughDowntime(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "data")
	b.say(upload + `
		7 sent 1 bytes  received 2 bytes  total size 3
		+3s`)
	b.restart(rsynclog.DefaultLimits(), 30*time.Hour, "data")
	b.say("+1s\n 7 sent 11 bytes  received 22 bytes  total size 33")
	if len(b.book.ended) != 1 || !slices.Equal(b.book.amended, []string{"10/20"}) {
		t.Errorf("ended %v, amended %v; want one, and 10/20", b.book.ended, b.book.amended)
	}
	b.say("+1h")
	if b.sessions.Len() != 0 {
		t.Errorf("%d sessions an hour later", b.sessions.Len())
	}
}

// The clock was set back by ten hours: it was 20:00 when the state was saved, and is 10:00 now.
func TestClockSetBackBetween(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "data")
	b.now = int64(20 * time.Hour)
	b.say(upload + "\n +1m")
	st := b.sessions.Record(b.now, nil)
	st.Sessions[0].LastSeen += int64(time.Hour) // even if there were one in the future
	now := int64(10 * time.Hour)
	s, err := restoreAt(rsynclog.DefaultLimits(), []string{"data"}, &st, now, 0)
	if err != nil {
		t.Fatal(err)
	}
	x := s.Session(originOf(s, b.host.Scope, b.host.Raw), 7)
	if x.LastSeen != now || x.FirstSeen != now-int64(time.Minute) {
		t.Errorf("first seen %v, last seen %v; want 9h59m0s and 10h0m0s", time.Duration(x.FirstSeen), time.Duration(x.LastSeen))
	}
	if c := tickAll(s, now+int64(24*time.Hour)-1); len(c) != 0 {
		t.Errorf("ended before its time: %+v", c)
	}
	if c := tickAll(s, now+int64(24*time.Hour)); len(c) != 1 {
		t.Errorf("a day later: %+v, want its end", c)
	}
}

// Fewer sessions are allowed than there are: the next one that begins takes the place of all that are surplus, which are counted.
func TestFewerSessionsAllowed(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "data")
	for pid := range 9 {
		b.say(strings.ReplaceAll(upload, "\t7 ", fmt.Sprintf("\t%d ", pid+1)))
		b.now++
	}
	n := b.sessions.Len()
	limits := rsynclog.DefaultLimits()
	limits.Sessions, limits.Origins = 3, 0
	st := b.sessions.Record(b.now, nil)
	r, err := restoreAt(limits, nil, &st, b.now, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.sessions, b.host = r, originOf(r, 0, "vm")
	b.say("77 connect from localhost (127.0.0.1)")
	if len(b.book.ended) != 0 || r.Evicted() != 1 || r.Len() != n {
		t.Errorf("a client that only connected made %d others end", len(b.book.ended))
	}
	b.say("77 rsync allowed access on module data from localhost (127.0.0.1)")
	rsynclog.CheckTable(t, r)
	if len(b.book.ended) != n-2 || r.Evicted() != uint64(n-2+1) || r.Len() != 3 {
		t.Errorf("%d sessions: %d ended, %d evicted, %d left; want 3 left", n, len(b.book.ended), r.Evicted(), r.Len())
	}
	if originOf(r, 0, "another").Host != rsynclog.Other {
		t.Error("another host got in")
	}
}
