package recent_test

import (
	"fmt"
	"testing"
	"time"

	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status/recent"
)

const minute = int64(time.Minute)

// A daemon logs into a book.
type daemon struct {
	book     *recent.Book
	sessions *rsynclog.Sessions
	origin   *rsynclog.Origin
	at       int64
}

func newDaemon() *daemon {
	limits := rsynclog.DefaultLimits()
	limits.Settle = time.Nanosecond
	s := rsynclog.NewSessions(limits, []string{"data", "mail"}, nil)
	at := 1000 * minute
	return &daemon{recent.NewBook(), s, s.Origin(rsynclog.Where{Host: []byte("vm")}, at), at}
}

// log has a process log events now.
func (d *daemon) log(pid int32, events ...rsynclog.Event) {
	for _, e := range events {
		e.Severity, e.Repeat = 6, max(1, e.Repeat)
		changes, _ := d.sessions.Apply(d.origin, rsynclog.Process{PID: pid}, rsynclog.When{Arrived: d.at}, &e)
		d.book.Apply(changes, d.at, d.at)
	}
}

// wait lets time pass.
func (d *daemon) wait(t time.Duration) {
	d.at += int64(t)
	for more := true; more; {
		var changes []rsynclog.Change
		changes, more = d.sessions.Tick(d.at, 100)
		d.book.Apply(changes, d.at, d.at)
	}
}

// begin begins a pull from a module.
func (d *daemon) begin(pid int32, module string) {
	addr := []byte("192.0.2.1")
	d.log(pid, rsynclog.Event{Kind: rsynclog.Connect, Addr: addr}, rsynclog.Event{Kind: rsynclog.Allowed, Module: []byte(module), Addr: addr},
		rsynclog.Event{Kind: rsynclog.Start, Direction: rsynclog.Send, Request: []byte(module), Addr: addr})
}

func summary(sent, received uint64) rsynclog.Event {
	return rsynclog.Event{Kind: rsynclog.Summary, Sent: sent, Received: received, Total: 7}
}

func exit(code int16) rsynclog.Event {
	return rsynclog.Event{Kind: rsynclog.ExitError, Code: code, Role: []byte("sender")}
}

func failed(errno int16, times uint32) rsynclog.Event {
	return rsynclog.Event{Kind: rsynclog.FileError, Errno: errno, Repeat: times, Role: []byte("sender")}
}

// By hand: in minute 1000 two sessions begin, and one of them ends in minute 1002 with 100 bytes sent and 5 received; in
// minute 1005 the other one ends with an error. So two run at most in 1000 to 1002, one up to 1005, and none after it.
func TestTheLastHour(t *testing.T) {
	d := newDaemon()
	d.begin(1, "data")
	d.begin(2, "data")
	d.wait(2 * time.Minute)
	d.log(1, summary(100, 5))
	d.wait(3 * time.Minute)
	d.log(2, exit(12))
	d.wait(2 * time.Minute)
	d.log(3, rsynclog.Event{Kind: rsynclog.Connect, Addr: []byte("192.0.2.3")},
		rsynclog.Event{Kind: rsynclog.UnknownModule, Module: []byte("x"), Reason: rsynclog.ReasonUnknownModule})

	r := d.book.Record()
	if r.Minute != 1007 || r.Active != 0 {
		t.Errorf("minute %d, %d run; want 1007 and none", r.Minute, r.Active)
	}
	for m, want := range map[int64]recent.Minute{
		999: {}, 1000: {Connections: 2, Active: 2}, 1001: {Active: 2}, 1002: {Sessions: 1, Sent: 100, Received: 5, Active: 2},
		1003: {Active: 1}, 1004: {Active: 1}, 1005: {Sessions: 1, Failed: 1, Active: 1}, 1006: {},
		1007: {Connections: 1, Rejected: 1, Sessions: 1},
	} {
		if got := r.Hour[m%recent.Minutes]; got != want {
			t.Errorf("minute %d: %+v, want %+v", m, got, want)
		}
	}
	if len(r.Modules) != 1 || r.Modules[0] != (recent.Module{Host: "vm", Module: "data", Peak: 2, At: 1000 * minute}) {
		t.Errorf("modules: %+v", r.Modules)
	}
	if len(r.Ended) != 3 || r.Ended[0].PID != 1 || r.Ended[1].Outcome != rsynclog.Aborted || r.Ended[2].Reason != rsynclog.ReasonUnknownModule {
		t.Errorf("ended: %+v", r.Ended)
	}

	d.wait(2 * time.Hour)
	d.begin(4, "data")
	r = d.book.Record()
	for m := range r.Hour {
		want := recent.Minute{}
		if int64(m) == r.Minute%recent.Minutes {
			want = recent.Minute{Connections: 1, Active: 1}
		}
		if r.Hour[m] != want {
			t.Errorf("two hours later: minute %d: %+v", m, r.Hour[m])
		}
	}
}

// What waited for longer than an hour isn't of the last hour, and moves nothing in it.
func TestABacklogIsNotNow(t *testing.T) {
	d := newDaemon()
	d.begin(1, "data")
	now := d.at
	d.at -= 61 * minute
	old := d.sessions.Origin(rsynclog.Where{Host: []byte("old")}, d.at)
	d.origin = old
	d.begin(1, "mail")
	d.log(1, summary(9, 9))
	d.wait(time.Second)
	r := d.book.Record()
	if r.Minute != now/minute || r.Hour[r.Minute%recent.Minutes] != (recent.Minute{Connections: 1, Active: 1}) {
		t.Errorf("minute %d: %+v", r.Minute, r.Hour[r.Minute%recent.Minutes])
	}
	if len(r.Ended) != 1 || r.Ended[0].Sent != 9 {
		t.Errorf("ended: %+v", r.Ended)
	}
}

// By hand: 1,000,003 files fail in one session with errno 13, and 1 with errno 2; another session has one with 13. Three
// entries. 500 refusals of one client are one entry; what others do stays on the list.
func TestErrorsThatHappenAgainAreOne(t *testing.T) {
	d := newDaemon()
	d.begin(1, "data")
	d.begin(2, "data")
	d.log(1, failed(13, 1), failed(2, 1))
	for range 1000 {
		d.log(1, failed(13, 1000))
	}
	d.log(2, failed(13, 1))
	d.log(1, failed(13, 2))
	for pid := range int32(500) {
		d.log(1000+pid, rsynclog.Event{Kind: rsynclog.Connect, Addr: []byte("203.0.113.9")},
			rsynclog.Event{Kind: rsynclog.UnknownModule, Module: []byte(fmt.Sprint(pid)), Reason: rsynclog.ReasonUnknownModule})
	}
	d.log(1, exit(23))
	d.wait(time.Second)
	got := map[string]uint64{}
	for _, e := range d.book.Record().Errors {
		got[fmt.Sprint(e.Kind, " ", e.Number, " ", e.PID)] = e.Count
	}
	want := map[string]uint64{"file 13 1": 1_000_003, "file 2 1": 1, "file 13 2": 1, "rejected 1 1499": 500, "exit 23 1": 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A thousand clients fill the list, and push out only what is older.
func TestTheListOfErrorsIsBounded(t *testing.T) {
	d := newDaemon()
	for pid := range int32(1000) {
		d.log(pid+1, rsynclog.Event{Kind: rsynclog.Connect, Addr: fmt.Appendf(nil, "203.0.%d.%d", pid/200, pid%200)},
			rsynclog.Event{Kind: rsynclog.UnknownModule, Reason: rsynclog.ReasonUnknownModule})
		d.wait(time.Second)
	}
	r := d.book.Record()
	if len(r.Errors) != recent.MaxErrors || len(r.Ended) != recent.MaxEnded {
		t.Fatalf("%d errors and %d ended sessions, want 100 of both", len(r.Errors), len(r.Ended))
	}
	for i, e := range r.Errors {
		if e.PID <= 900 {
			t.Errorf("an error of process %d is still there", e.PID)
		}
		if want := int32(901 + i); r.Ended[i].PID != want {
			t.Errorf("ended %d is process %d, want %d", i, r.Ended[i].PID, want)
		}
	}
}

// A session that runs at the start is counted.
func TestPeaksAfterARestart(t *testing.T) {
	d := newDaemon()
	d.begin(1, "data")
	restarted := recent.NewBook()
	d.sessions.Active(restarted.Begin)
	d.book = restarted
	d.begin(2, "mail")
	d.wait(time.Minute)
	d.log(1, summary(1, 1))
	d.wait(time.Minute)
	d.begin(3, "data")
	peaks := map[string]int{}
	for _, m := range d.book.Record().Modules {
		peaks[m.Module] = m.Peak
	}
	if fmt.Sprint(peaks) != "map[data:1 mail:1]" || d.book.Record().Active != 2 {
		t.Errorf("peaks %v, %d run", peaks, d.book.Record().Active)
	}
}

// There is room for so many modules; a day later, those in which nothing runs make room.
func TestModulesAreBounded(t *testing.T) {
	d := newDaemon()
	for i := range recent.MaxModules + 10 {
		d.origin = d.sessions.Origin(rsynclog.Where{Host: fmt.Appendf(nil, "host%d", i%4000)}, d.at)
		d.begin(int32(i/4000)+1, fmt.Sprint("m", i/4000))
	}
	if n := len(d.book.Record().Modules); n != recent.MaxModules {
		t.Errorf("%d modules, want %d", n, recent.MaxModules)
	}
	d.wait(49 * time.Hour) // they have expired after a day, and are forgotten a day after that
	d.origin = d.sessions.Origin(rsynclog.Where{Host: []byte("host1")}, d.at)
	d.begin(1, "data")
	if got := d.book.Record().Modules; len(got) != 1 || got[0].Module != "data" {
		t.Errorf("%d modules, the first of them %+v", len(got), got[0])
	}
}

// Under the pipeline's lock nothing is allocated for a session that comes and goes.
func TestApplyAllocatesNothing(t *testing.T) {
	d := newDaemon()
	d.begin(1, "data")
	s := &rsynclog.Session{Origin: d.origin}
	s.PID, s.Module, s.LastSeen, s.Outcome = 2, "data", d.at, rsynclog.Aborted
	changes := []rsynclog.Change{
		{Kind: rsynclog.Connected, Origin: d.origin, Session: s, N: 1}, {Kind: rsynclog.FileFailed, Origin: d.origin, Session: s, N: 1, Errno: 13},
		{Kind: rsynclog.Exited, Origin: d.origin, Session: s, N: 1, Code: 12}, {Kind: rsynclog.Ended, Origin: d.origin, Session: s, N: 1, Sent: 5},
	}
	d.book.Apply(changes, d.at, d.at)
	if n := testing.AllocsPerRun(100, func() { d.book.Apply(changes, d.at, d.at) }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// BenchmarkApply is a session that comes and goes beside 100 errors of others.
func BenchmarkApply(b *testing.B) {
	d := newDaemon()
	s := &rsynclog.Session{Origin: d.origin}
	s.PID, s.Module, s.LastSeen = 2, "data", d.at
	for i := range 100 {
		s.Addr = fmt.Sprint("192.0.2.", i)
		d.book.Apply([]rsynclog.Change{{Kind: rsynclog.Exited, Origin: d.origin, Session: s, N: 1, Code: int16(i)}}, d.at, d.at)
	}
	changes := [][]rsynclog.Change{
		{{Kind: rsynclog.Connected, Origin: d.origin, Session: s, N: 1}}, {{Kind: rsynclog.Executed, Origin: d.origin, Session: s, N: 1}},
		{{Kind: rsynclog.Ended, Origin: d.origin, Session: s, N: 1, Sent: 5}},
	}
	for b.Loop() {
		for _, c := range changes {
			d.book.Apply(c, d.at, d.at)
		}
	}
}
