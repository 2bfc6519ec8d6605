package rsynclog_test

import (
	"fmt"
	"testing"
	"time"

	"rsyncd_exporter/rsynclog"
)

// A log that is read whole hours after it was written is no log of another time zone: only a live record shows
// an offset.
func TestABacklogsAgeIsNoTimeZone(t *testing.T) {
	f := newFeed(t)
	f.backlog = true
	f.at(0, 5*time.Hour, 7, connects, allows, starts)
	f.at(10*time.Minute, 5*time.Hour, 7, sums)
	f.want("of the log", f.times(7), "0s 10m0s")
	f.backlog = false
	f.at(5*time.Hour+time.Second, 5*time.Hour+time.Second, 8, connects)
	f.at(10*time.Minute, 5*time.Hour+2*time.Second, 9, allows) // held up somewhere
	f.want("held up", f.times(9), "10m0s 10m0s")
}

// Each file is read to its end for itself: the sessions of one that has been read don't show how far another one is.
func TestOnlyTheFileThatWasReadGoesByTheClock(t *testing.T) {
	f := newFeed(t)
	f.backlog = true
	one, other := originOf(f.sessions, 1, ""), originOf(f.sessions, 2, "")
	for _, f.host = range []*rsynclog.Origin{one, other} {
		f.at(0, 300*time.Hour, 7, connects, allows, starts)
	}
	f.sessions.CaughtUp(1)
	f.add(tickAll(f.sessions, f.now+int64(300*time.Hour)))
	f.want("ended", f.book.ended, []string{"data send unknown 0/0"})
	if f.sessions.Session(other, 7).IsOver() {
		t.Error("a session of the file that is still being read is over")
	}
	f.at(time.Hour, 300*time.Hour, 7, sums)
	f.sessions.CaughtUp(2)
	f.add(tickAll(f.sessions, f.now+int64(300*time.Hour)))
	f.want("ended when both have been read", f.book.ended, []string{"data send unknown 0/0", "data send ok 10/20"})
}

// In a full table sessions whose last line was seen are counted before their time, and are no losses.
func TestWhoHasSaidItsLastLineIsNotEvicted(t *testing.T) {
	limits := rsynclog.DefaultLimits()
	limits.Sessions = 50
	b := newTable(t, limits)
	for pid := range 200 {
		b.say(push(1000+pid, "backup", "alice"))
	}
	b.want("counted before their time", len(b.book.ended), 150)
	b.say("+2s")
	b.want("ended", len(b.book.ended), 200)
	for _, e := range b.book.ended {
		if e != "backup receive ok 10/20" {
			t.Fatal(e)
		}
	}
	b.want("evicted", b.sessions.Evicted(), 0)
}

// A host with a session that runs makes no room, however long that says nothing.
func TestAHostWhoseSessionRunsStays(t *testing.T) {
	limits := rsynclog.DefaultLimits()
	limits.Origins, limits.TTL = 1, 72*time.Hour
	s := newSessions(limits)
	at := int64(1000 * time.Hour)
	o := s.Origin(rsynclog.Where{Host: []byte("nas")}, at)
	for _, l := range []string{connects, allows, starts} {
		ev := parsed(t, l)
		applyAt(s, o, 7, at, &ev)
	}
	at += int64(30 * time.Hour)
	tickAll(s, at)
	if name := s.Origin(rsynclog.Where{Host: []byte("other")}, at).Host; name != rsynclog.Other {
		t.Errorf("%s has room while nas' session runs", name)
	}
	ev := parsed(t, sums)
	if changes, _ := applyAt(s, s.Origin(rsynclog.Where{Host: []byte("nas")}, at), 7, at, &ev); len(changes) != 0 {
		t.Errorf("its last line changes %+v", changes)
	}
	if ended := tickAll(s, at+int64(2*time.Second)); len(ended) != 1 || ended[0].Session.Outcome != rsynclog.OK {
		t.Errorf("its end is %+v", ended)
	}
	at += int64(25 * time.Hour)
	tickAll(s, at)
	if name := s.Origin(rsynclog.Where{Host: []byte("other")}, at).Host; name != "other" {
		t.Errorf("%s has the room that nas left", name)
	}
}

// A module's name that no daemon of a host has logged for a day makes room for another one.
func TestModulesThatAreSilentMakeRoom(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.now = int64(1000 * time.Hour)
	pid := 0
	denied := func(module string) string {
		pid++
		b.host.Arrived = b.now // as Origin notes it
		b.say(fmt.Sprintf("%d %s\n%[1]d rsync denied on module %[3]s from localhost (127.0.0.1)", pid, connects, module))
		return b.sessions.Session(b.host, int32(pid)).Module
	}
	for i := range rsynclog.MaxModules {
		denied(fmt.Sprint("old", i))
	}
	b.want("at once", denied("new"), rsynclog.Other)
	b.now += int64(23 * time.Hour)
	b.want("one that goes on", denied("old0"), "old0")
	b.now += int64(2 * time.Hour)
	b.want("after a day", denied("new"), "new")
	b.want("the one that went on", denied("old0"), "old0")
	b.want("names", len(b.host.Modules), rsynclog.MaxModules)
	b.want("names of all hosts", b.sessions.NamesKept(), rsynclog.MaxModules)
}
