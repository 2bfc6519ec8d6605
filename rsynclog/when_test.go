package rsynclog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/rsynclog"
)

// A feed hands lines over with their arrival and their stamp.
type feed struct {
	*table
	zone    time.Duration // of the stamps, against the clock of the one who reads
	backlog bool
	zoned   bool
}

// at says what a process logs, in lines, some time after the feed's begin, and reads it when it arrives, later.
func (f *feed) at(written, arrived time.Duration, pid int32, lines ...string) {
	f.t.Helper()
	for _, l := range lines {
		ev := parsed(f.t, l)
		w := rsynclog.When{Arrived: f.now + int64(arrived), Stamp: f.now + int64(written-f.zone), Zoned: f.zoned, Backlog: f.backlog}
		changes, believed := f.sessions.Apply(f.host, rsynclog.Process{PID: pid}, w, &ev)
		if !believed {
			f.book.implausible++
		}
		f.add(changes)
	}
}

func newFeed(t *testing.T) *feed {
	f := &feed{table: newTable(t, rsynclog.DefaultLimits(), "data")}
	f.now = int64(1000 * time.Hour)
	return f
}

// times returns when the session of a pid began and was heard last, since the feed's begin.
func (f *feed) times(pid int32) string {
	s := f.sessions.Session(f.host, pid)
	if s == nil {
		return "none"
	}
	since := func(at int64) time.Duration { return time.Duration(at - f.now).Round(time.Microsecond) } // lines of one second follow one another
	return fmt.Sprint(since(s.FirstSeen), " ", since(s.LastSeen))
}

const (
	connects = "connect from localhost (127.0.0.1)"
	allows   = "rsync allowed access on module data from localhost (127.0.0.1)"
	starts   = "rsync on data/ from localhost (127.0.0.1)"
	listens  = "rsyncd version 3.4.1 starting, listening on port 873"
	sums     = "sent 10 bytes  received 20 bytes  total size 30"
)

// A log of a week ago that is read now: its session began at 01:00 and took six hours.
func TestABacklogHasTheTimesOfItsLines(t *testing.T) {
	for _, backlog := range []bool{true, false} {
		f := newFeed(t)
		f.backlog = backlog
		f.at(time.Hour, 200*time.Hour, 7, connects, allows, starts)
		f.at(7*time.Hour, 200*time.Hour, 7, sums)
		f.want("times", f.times(7), "1h0m0s 7h0m0s")
	}
}

// A session of 2 s whose summary was written while nobody read, and was read 25 s later.
func TestWhatWasLoggedWhileNobodyReadIsNotLate(t *testing.T) {
	f := newFeed(t)
	f.at(0, 0, 7, connects, allows, starts)
	f.backlog = true
	f.at(2*time.Second, 27*time.Second, 7, sums)
	f.want("times", f.times(7), "0s 2s")
}

// A live record is as late as it is: by less than a minute, a stamp of whole seconds says nothing.
func TestLiveRecordsHaveTheirArrival(t *testing.T) {
	f := newFeed(t)
	f.at(0, 300*time.Millisecond, 7, connects, allows, starts)
	f.at(10*time.Second, 69*time.Second, 7, "building file list")
	f.want("times", f.times(7), "300ms 1m9s")
	f.at(80*time.Second, 70*time.Second, 7, sums) // its clock is ahead
	f.want("times", f.times(7), "300ms 1m10s")
}

// A relay's queue was held up for an hour, and is handed on within seconds.
func TestARelaysQueueHasTheTimesOfItsLines(t *testing.T) {
	f := newFeed(t)
	f.zoned = true
	f.at(0, 0, 5, connects) // before
	f.at(time.Minute, 61*time.Minute, 7, connects, allows, starts)
	f.at(3*time.Minute, 61*time.Minute+time.Second, 7, sums)
	f.want("times", f.times(7), "1m0s 3m0s")
	f.add(tickAll(f.sessions, f.now+int64(61*time.Minute+2*time.Second)))
	f.want("ended while the queue is read", f.book.ended, []string{})
	f.at(4*time.Minute, 61*time.Minute+3*time.Second, 8, connects)
	f.want("ended by the next one's time", f.book.ended, []string{"data send ok 10/20"})
	f.at(62*time.Minute, 62*time.Minute, 9, connects, allows, starts, sums)
	f.add(tickAll(f.sessions, f.now+int64(62*time.Minute+12*time.Second)))
	f.want("ended by the clock", len(f.book.ended), 3) // with the first one, which only connected
}

// Stamps of a relay's queue that say no zone: a connect every 10 s for four hours, some of them whole quarter hours late,
// and nine more that are live.
func TestAQueuesDelayIsNoTimeZone(t *testing.T) {
	f := newFeed(t)
	f.at(0, 0, 299, connects)
	const late = 4*time.Hour + 8*time.Minute // its first one is no whole quarter hours late
	for i := range int32(24 * 60) {
		written, arrived := time.Minute+time.Duration(i)*10*time.Second, late+time.Duration(i)*5*time.Millisecond
		f.at(written, arrived, 300+i, connects, allows, starts)
		f.at(written+30*time.Second, arrived, 300+i, sums)
	}
	const middle, last = "3h37m40s 3h38m10s", "4h0m0s 4h0m30s"
	f.want("middle", f.times(300+1300), middle)
	f.want("last", f.times(300+1434), last)
	for i := range time.Duration(9) {
		live := late + (1+i)*time.Minute
		f.at(live, live, 2000+int32(i), connects)
	}
	f.want("middle, when all is live again", f.times(300+1300), middle)
	f.want("last, when all is live again", f.times(300+1434), last)
	f.want("offset", f.host.Clock.Offset, int64(0))
}

// FAULTS I10. A sender in another time zone, whose stamps say no zone, is live from its first connect on, and so is
// one whose clock is wrong, after it has kept pace for a minute.
func TestOffsetsAreLearnt(t *testing.T) {
	for _, zone := range []time.Duration{-5 * time.Hour, 5*time.Hour + 45*time.Minute, 14 * time.Hour, -12 * time.Hour, 0} {
		f := newFeed(t)
		f.zone = zone
		f.at(0, time.Second, 7, connects, allows, starts)
		f.at(10*time.Second, 10*time.Second, 7, sums)
		f.want(zone.String(), f.times(7), "1s 10s")
		f.backlog = true // and then something of an hour before
		f.at(-time.Hour, 11*time.Second, 8, connects, allows, starts, sums)
		f.want(zone.String()+", waited", f.times(8), "-1h0m0s -1h0m0s")
	}
	for _, skew := range []time.Duration{400 * time.Second, -100 * time.Second} {
		f := newFeed(t)
		f.zone = skew
		f.at(0, 0, 6, connects)
		f.at(61*time.Second, 61*time.Second, 7, connects, allows, starts)
		f.at(70*time.Second, 70*time.Second, 7, sums)
		f.want(skew.String(), f.times(7), "1m1s 1m10s")
		f.at(100*time.Second, time.Hour, 8, "max connections (1) reached")
		f.want(skew.String()+", waited", f.times(8), "1m40s 1m40s")
	}
}

// Records that were made with a wrong offset are moved when it becomes known.
func TestTimesAreMovedWithTheOffset(t *testing.T) {
	f := newFeed(t)
	f.zone = 400 * time.Second
	f.at(0, 0, 7, connects, allows, starts)
	f.want("before", f.times(7), "-6m40s -6m40s")
	f.at(61*time.Second, 61*time.Second, 8, connects)
	f.at(70*time.Second, 70*time.Second, 7, sums)
	f.want("after", f.times(7), "0s 1m10s")
}

// Who came live has the time of its arrival, whatever becomes known of stamps, or whoever may have written them.
func TestNoOffsetMovesWhatCameLive(t *testing.T) {
	f := newFeed(t)
	f.at(0, 0, 7, connects, allows, starts)
	f.at(-2*time.Hour, time.Minute, 8, connects) // another zone, or somebody who says so
	f.at(70*time.Second, 70*time.Second, 7, sums)
	f.want("times", f.times(7), "0s 1m10s")
}

// Before rsync 3.4.2 a daemon logs in UTC once it is in its chroot: RSYNCD.md, FACTS §2.6.
func TestAChrootsJumpOfTimeIsUndone(t *testing.T) {
	for _, zone := range []time.Duration{2 * time.Hour, -5 * time.Hour, 5*time.Hour + 30*time.Minute} {
		for _, late := range []time.Duration{0, 300 * time.Hour} {
			f := newFeed(t)
			f.backlog = late != 0
			f.at(0, late, 7, connects, allows)
			f.at(time.Second-zone, late+time.Second, 7, starts)
			f.at(2*time.Second, late+2*time.Second, 8, connects) // another one's, which knows its zone
			f.at(40*time.Minute-zone, late+40*time.Minute, 7, "building file list")
			f.at(42*time.Minute-zone, late+42*time.Minute, 7, sums)
			f.want(fmt.Sprintf("%v, %v late", zone, late), f.times(7), "0s 42m0s")
		}
	}
}

// Before 3.2 the jump comes right behind the connect.
func TestAChrootsJumpBehindTheConnect(t *testing.T) {
	f := newFeed(t)
	f.backlog = true
	f.at(0, 300*time.Hour, 7, connects)
	f.at(time.Second-2*time.Hour, 300*time.Hour, 7, starts)
	f.at(time.Minute-2*time.Hour, 300*time.Hour, 7, sums)
	f.want("times", f.times(7), "0s 1m0s")
}

// A session that is silent for a quarter of an hour has not jumped.
func TestSilenceIsNoJump(t *testing.T) {
	f := newFeed(t)
	f.backlog = true
	f.at(0, 300*time.Hour, 7, connects, allows, starts)
	f.at(15*time.Minute, 300*time.Hour, 7, "send localhost [127.0.0.1] data () big.iso 600000000")
	f.at(45*time.Minute+time.Second, 300*time.Hour, 7, sums)
	f.want("times", f.times(7), "0s 45m1s")
}

// A log goes on for two days after its session's last line: when it has been read, the session is over, at its time.
func TestSilenceIsJudgedByTheLogsTime(t *testing.T) {
	f := newFeed(t)
	f.backlog = true
	f.at(0, 300*time.Hour, 7, connects, allows, starts, "send localhost [127.0.0.1] data () a 6")
	f.at(23*time.Hour, 300*time.Hour, 8, connects)
	f.add(tickAll(f.sessions, f.now+int64(300*time.Hour)))
	f.want("while the log may go on", len(f.book.ended), 0)
	f.at(48*time.Hour, 300*time.Hour, 9, connects)
	f.want("behind it", f.book.ended, []string{"  unknown 0/0", "data send unknown 0/0"})
	f.sessions.CaughtUp(0)
	f.add(tickAll(f.sessions, f.now+int64(300*time.Hour)))
	f.want("at its end", len(f.book.ended), 3)
}

// After a restart a file is read on before its sessions are judged by the clock, and those of sockets aren't judged
// by a time in which nobody listened.
func TestReplayedSessionsWaitForTheirLines(t *testing.T) {
	for _, replayed := range []bool{true, false} {
		f := newFeed(t)
		f.at(0, 0, 7, connects, allows, starts)
		st := f.sessions.Record(f.now, nil)
		down := 30 * time.Hour
		s, err := rsynclog.RestoreSessions(rsynclog.DefaultLimits(), nil, nil, &st, rsynclog.Restart{Now: f.now + int64(down), Down: down,
			Replayed: func(uint32) bool { return replayed }})
		if err != nil {
			t.Fatal(err)
		}
		f.sessions, f.host = s, originOf(s, 0, "vm")
		f.add(tickAll(s, f.now+int64(down+30*time.Second)))
		f.want("at once", len(f.book.ended), 0)
		f.backlog = true
		if replayed {
			f.at(2*time.Second, down, 7, sums)
			f.want("times", f.times(7), "0s 2s")
		}
		f.sessions.CaughtUp(0)
		f.add(tickAll(s, f.now+int64(down+time.Minute)))
		if replayed {
			f.want("read to the end", f.book.ended, []string{"data send ok 10/20"})
			continue
		}
		f.want("a minute later", len(f.book.ended), 0)
		f.add(tickAll(s, f.now+int64(down+24*time.Hour)))
		f.want("a day later", f.book.ended, []string{"data send unknown 0/0"})
	}
}

// A file that isn't read after all, since nobody follows it any more, keeps no session for ever.
func TestASessionOfAFileThatIsGoneEnds(t *testing.T) {
	f := newFeed(t)
	f.at(0, 0, 7, connects, allows, starts, sums)
	st := f.sessions.Record(f.now, nil)
	s, err := rsynclog.RestoreSessions(rsynclog.DefaultLimits(), nil, nil, &st, rsynclog.Restart{Now: f.now + 1, Down: 1, Replayed: func(uint32) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	f.sessions = s
	f.add(tickAll(s, f.now+int64(59*time.Second)))
	f.want("within a minute", len(f.book.ended), 0)
	f.add(tickAll(s, f.now+int64(61*time.Second)))
	f.want("after it", len(f.book.ended), 1)
}

// Hosts, and what they taught, make room when they have been silent for a day; those of the settings always have some.
func TestHostsThatAreSilentMakeRoom(t *testing.T) {
	limits := rsynclog.DefaultLimits()
	limits.Origins = 10
	s := rsynclog.NewSessions(limits, nil, []string{"nas"})
	at := int64(1000 * time.Hour)
	hosts := func(prefix string, n int) (others int) {
		for i := range n {
			if s.Origin(rsynclog.Where{Host: []byte(fmt.Sprint(prefix, i))}, at).Host == rsynclog.Other {
				others++
			}
		}
		return others
	}
	if n := hosts("invented", 30); n != 20 {
		t.Errorf("%d of 30 hosts had no room, want 20", n)
	}
	if s.Origin(rsynclog.Where{Host: []byte("nas")}, at).Host != "nas" {
		t.Error("a host of the settings has no room")
	}
	at += int64(23 * time.Hour)
	hosts("invented", 5) // these go on
	if n := hosts("real", 5); n != 5 {
		t.Errorf("%d of 5 had no room before a day, want 5", n)
	}
	at += int64(2 * time.Hour)
	if n := hosts("real", 10); n != 5 { // 10 and nas less 5
		t.Errorf("%d of 10 had no room after a day, want 5", n)
	}
	if !strings.HasPrefix(s.Origin(rsynclog.Where{Host: []byte("invented3")}, at).Host, "invented") {
		t.Error("one that was heard has made room")
	}
}

// A stamp of another age, which any sender can write, is none: no time is kept that a TableRecord can't hold.
func TestStampsOfAnotherAge(t *testing.T) {
	for _, year := range []int{1678, 1700, 1900, 1930, 1970, 2000, 2040, 2080, 2160, 2261} {
		for _, step := range []time.Duration{0, time.Minute, -26 * time.Hour, 14 * time.Minute} {
			f := newFeed(t)
			f.now = time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC).UnixNano()
			stamp, arrived := time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC).UnixNano(), f.now
			for i := range int32(200) {
				for _, l := range []string{connects, allows, starts, "building file list"} {
					ev := parsed(t, l)
					f.sessions.Apply(f.host, rsynclog.Process{PID: 7 + i%5}, rsynclog.When{Arrived: arrived, Stamp: stamp, Zoned: i%2 == 0}, &ev)
				}
				arrived, stamp = arrived+int64(61*time.Second), stamp+int64(step)
			}
			st := f.sessions.Record(arrived, nil)
			if _, err := restoreAt(rsynclog.DefaultLimits(), nil, &st, arrived, 0); err != nil {
				t.Errorf("%d, by steps of %v: %v", year, step, err)
			}
		}
	}
}

// A daemon before 3.4.2 logs in UTC once it is in its chroot, and so it does what its client writes. A forged connect
// there teaches no time zone.
func TestAForgedConnectMovesNobodysTimes(t *testing.T) {
	for _, zone := range []time.Duration{2 * time.Hour, -5 * time.Hour} {
		f := newFeed(t)
		f.at(0, 0, 7, connects, allows, starts)
		f.at(time.Hour, time.Hour, 8, connects, allows)
		f.at(time.Hour-zone, time.Hour, 8, starts)
		f.at(time.Hour+time.Minute-zone, time.Hour+time.Minute, 8, connects)
		f.at(time.Hour+2*time.Minute, time.Hour+2*time.Minute, 7, sums)
		f.want(zone.String(), f.times(7), "0s 1h2m0s")
	}
}

// Nor does it, where the jump of its stamps can't be undone, hold up the ends of others' sessions for as long as it
// writes.
func TestStampsOfLongAgoStopNoClock(t *testing.T) {
	f := newFeed(t)
	f.at(0, 0, 8, connects, allows)
	f.at(125*time.Second-2*time.Hour, 125*time.Second, 8, starts)
	f.at(130*time.Second, 130*time.Second, 7, connects, allows, starts, sums)
	for d := 131 * time.Second; d < 140*time.Second; d += time.Second {
		f.at(d-2*time.Hour, d, 8, "a word that no daemon says")
		f.add(tickAll(f.sessions, f.now+int64(d)))
	}
	f.want("ended", f.book.ended, []string{"data send ok 10/20"})
}

// The clock of a host is set back, or its summer time ends, while its sessions run. Their times are arrivals, and stay.
func TestAClockThatIsSetBackMovesNoArrival(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, 400 * time.Second} {
		f := newFeed(t)
		f.at(0, 0, 7, connects, allows, starts)
		f.at(10*time.Minute, 10*time.Minute, 6, connects, allows, starts, sums)
		f.at(59*time.Minute+50*time.Second, 59*time.Minute+50*time.Second, 5, connects, allows, starts)
		f.zone = by
		for m := 60 * time.Minute; m <= 61*time.Minute; m += 30 * time.Second {
			f.at(m, m, 8+int32(m/time.Second), connects)
		}
		f.at(61*time.Minute+30*time.Second, 61*time.Minute+30*time.Second, 5, sums)
		f.want(by.String(), f.times(5), "59m50s 1h1m30s")
		if by == time.Hour && f.sessions.Session(f.host, 5).Shift != 0 {
			t.Error("its stamps seem to have jumped, too")
		}
		f.want(by.String(), f.times(7), "0s 0s")
		f.want(by.String(), f.times(6), "10m0s 10m0s")
		f.at(2*time.Hour, 2*time.Hour, 7, sums)
		f.want(by.String(), f.times(7), "0s 2h0m0s")
	}
}

// Connects of one host come in turn with the stamps of two time zones: its times are not moved for each.
func TestTwoZonesOfOneHostAlternate(t *testing.T) {
	f := newFeed(t)
	moved := 0
	for i := range int32(1000) {
		f.zone = time.Duration(i%2) * time.Hour
		before := f.host.Clock.Offset
		f.at(time.Duration(i)*time.Millisecond, time.Duration(i)*time.Millisecond, 300+i, connects)
		if f.host.Clock.Offset != before {
			moved++
		}
	}
	f.want("corrections of the offset", moved, 0)
}

// A log goes on an hour after two sessions: the one that failed in silence has ended after the one with a summary, as it would have live.
func TestSessionsEndInTheOrderOfTheirTimes(t *testing.T) {
	f := newFeed(t)
	f.backlog = true
	f.at(0, 300*time.Hour, 7, connects, allows, "rsync to data/ from localhost (127.0.0.1)",
		`rsync: [receiver] mkstemp "/x" (in data) failed: Permission denied (13)`)
	f.at(0, 300*time.Hour, 8, connects, allows, starts, sums)
	f.at(time.Hour, 300*time.Hour, 9, connects)
	f.want("ended", f.book.ended, []string{"data send ok 10/20", "data receive partial 0/0"})
}

// The line that shows that a session has ended is its own: it is not the session's last one, which has been counted.
func TestALateLineIsNotTheLast(t *testing.T) {
	f := newFeed(t)
	f.backlog = true
	f.at(0, 300*time.Hour, 7, connects, allows, starts, sums)
	f.at(30*time.Minute, 300*time.Hour, 7, "rsync error: error in socket IO (code 10) at io.c(949) [sender=3.5.0]")
	f.want("ended", f.book.ended, []string{"data send ok 10/20"})
	f.want("times", f.times(7), "0s 0s")
}

// Two sessions of one second end in the order of their lines, though one of them ends a quarter of an hour later.
func TestLinesOfOneSecondFollowOneAnother(t *testing.T) {
	f := newFeed(t)
	f.backlog = true
	f.at(0, 300*time.Hour, 7, connects, allows, starts)
	f.at(0, 300*time.Hour, 8, connects, allows, starts)
	a, b := f.sessions.Session(f.host, 7), f.sessions.Session(f.host, 8)
	if a.LastSeen >= b.LastSeen || b.LastSeen-a.LastSeen >= int64(time.Second) {
		t.Errorf("last lines at %d and %d, want one a bit later", a.LastSeen, b.LastSeen)
	}
	f.at(time.Second, 300*time.Hour, 8, sums)
	f.want("times", f.times(8), "0s 1s")
}

// A session goes on in another process, for a post-xfer exec, and its stamps have jumped meanwhile.
func TestAChrootsJumpOfTimeWithAnotherPID(t *testing.T) {
	for _, zone := range []time.Duration{2 * time.Hour, -5 * time.Hour} {
		for _, late := range []time.Duration{0, 300 * time.Hour} {
			f := newFeed(t)
			f.backlog = late != 0
			f.at(0, late, 7, connects, allows)
			f.at(time.Second-zone, late+time.Second, 9, starts)
			f.at(10*time.Minute-zone, late+10*time.Minute, 9, "building file list")
			f.at(42*time.Minute-zone, late+42*time.Minute, 9, sums)
			f.want(fmt.Sprintf("%v, %v late", zone, late), f.times(9), "0s 42m0s")
		}
	}
}

// A pre-xfer exec takes a quarter of an hour and a bit. Its stamps are live, and so it was silent.
func TestALivePauseIsNoJump(t *testing.T) {
	f := newFeed(t)
	f.at(0, 0, 7, connects, allows)
	f.at(15*time.Minute+5*time.Second, 15*time.Minute+5*time.Second, 7, starts)
	f.at(16*time.Minute, 16*time.Minute, 7, sums)
	f.want("times", f.times(7), "0s 16m0s")
}

// A client whose session is over writes what another one, that has been let in, will log a quarter of an hour later. It
// isn't that one's line, and so no jump of its stamps. SEED=8616025007646560136 of TestRandomLogsReadLate.
func TestAnothersStartMovesNobodysTimes(t *testing.T) {
	f := newFeed(t)
	f.backlog = true
	f.at(0, 20*time.Hour, 7, connects, allows, starts, sums)
	f.at(time.Minute, 20*time.Hour, 8, connects, allows)
	f.at(2*time.Minute, 20*time.Hour, 7, starts)
	f.at(17*time.Minute+5*time.Second, 20*time.Hour, 8, starts, sums)
	f.want("times", f.times(8), "1m0s 17m5s")
}

// A daemon is started under the pid of a session that is over, and whose stamps had jumped into UTC. Its own have not.
// SEED=7497198405200692385 of TestRandomLogsReadLate.
func TestADaemonsStartHasNoSessionsStamps(t *testing.T) {
	f := newFeed(t)
	f.backlog = true
	const east, late = 11 * time.Hour, 200 * time.Hour
	f.at(0, late, 300, listens)
	f.at(time.Minute, late, 332, connects)
	f.at(time.Minute-east, late, 332, "module-list request from localhost (127.0.0.1)")
	f.at(2*time.Minute, late, 340, connects)
	f.at(3*time.Minute, late, 332, listens)
	f.at(4*time.Minute, late, 340, allows, starts, sums)
	f.want("times", f.times(340), "2m0s 4m0s")
}
