package rsynclog

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// restart replaces the table by one that is restored from it after a time in which the program was down.
func (b *table) restart(limits Limits, down time.Duration, modules ...string) {
	b.t.Helper()
	st := throughBytes(b.t, b.sessions.Record(b.now, nil))
	b.now += int64(down)
	s, err := restoreAt(limits, modules, &st, b.now, down)
	if err != nil {
		b.t.Fatal(err)
	}
	checkTable(b.t, s)
	b.sessions, b.host = s, s.origin(b.host.Scope, b.host.Raw)
}

// throughBytes returns what is read of what is written.
func throughBytes(t *testing.T, r TableRecord) (read TableRecord) {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&r); err != nil {
		t.Fatal(err)
	}
	if err := gob.NewDecoder(&b).Decode(&read); err != nil {
		t.Fatal(err)
	}
	return read
}

// full returns a session of which no field is zero; a field that is added fails the test until it is set here.
func full(t *testing.T, o *Origin) *Session {
	t.Helper()
	s := &Session{Origin: o, Cookie: "a note", SessionRecord: SessionRecord{
		PID: 7, Module: "data", Direction: Receive, User: "alice", Addr: "192.0.2.1", FirstSeen: 1000, LastSeen: 2000, ConnectSeen: true,
		Outcome: Partial, HasSummary: true, Sent: 3, Received: 4, Total: 5, Phase: failing, Known: true, Moved: true, Lost: true,
		FileErrors: true, MaxDelete: true, FileList: true, Evicted: true, Reason: ReasonAuth, Listed: true,
		Exits: [2]exit{{'s', 23}, {'g', -7}}, LateExits: 2, Length: 6, Wire: 8, Requested: "data", Overruled: true, Executed: true,
		Unheard: 300, Born: 1, Heard: 2, ProcessStarted: 9, Talks: true, Doubted: true, Orphaned: 1800,
		End: 1900, FirstWaited: true, LastWaited: true, Stamp: 1700,
		Shift: 50, Entered: 1, Noted: true,
	}}
	for v, i := reflect.ValueOf(s.SessionRecord), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Fatalf("the test doesn't set %s", v.Type().Field(i).Name)
		}
	}
	return s
}

// keep puts a session into the table.
func (t *Sessions) keep(s *Session) {
	t.table[keyOf(s.Origin, s.PID)] = s
	t.push(s)
}

func TestEveryFieldIsRestored(t *testing.T) {
	s := newSessions(DefaultLimits())
	s.overflow.Cookie, s.evicted, s.overflown = "a note", 11, 12
	o := s.origin(5, "h\xc3\\#011")
	o.Cookie, o.Names, o.Serves, o.Arrived, o.Forgotten = "a note", true, true, 1234, 1300
	o.Life = life{Number: 2, Era: 3, Top: 300, Floor: 30, Connects: 400, Laps: 1}
	o.Clock = originClock{Offset: 40, SteadyArrived: 1100, SteadyStamp: 1090, Latest: 1200, Behind: true, QuietFrom: 3100}
	s.module(o, []byte("m\xff"), true)
	s.talkers.add(o, 1000)
	s.keep(full(t, o))
	for i := range int32(3) { // younger ones in the same list, and other lists
		for p := range numPhases {
			x := s.open(o, Process{PID: 100 + 10*int32(p) + i}, 2100, p, believed)
			if x.over() {
				x.End = 2150
			}
		}
	}
	addressed := s.Origin(Where{Addr: netip.MustParseAddr("192.0.2.7")}, 5)
	st := throughBytes(t, s.Record(3000, nil))
	r, err := restoreAt(DefaultLimits(), nil, &st, 3000, 0)
	if err != nil {
		t.Fatal(err)
	}
	checkTable(t, r)
	if r.evicted != 11 || r.overflown != 12 || r.names != 1 || r.overflow.Cookie != (Restored{}) {
		t.Errorf("evicted %d, overflown %d, names %d, cookie %v", r.evicted, r.overflown, r.names, r.overflow.Cookie)
	}
	if got := r.Origin(Where{Addr: netip.MustParseAddr("192.0.2.7")}, 5); len(r.origins) != 2 || got.Arrived != addressed.Arrived {
		t.Errorf("%d origins, want two; that of an address was heard at %d", len(r.origins), got.Arrived)
	}
	got := r.origin(5, "h\xc3\\#011")
	if got.Host != o.Host || !got.Names || !got.Serves || got.Cookie != (Restored{}) || !maps.Equal(got.Modules, o.Modules) || !got.tracked ||
		got.Life != o.Life || got.Clock != o.Clock || got.Arrived != o.Arrived || got.Forgotten != o.Forgotten {
		t.Errorf("the origin is %+v, was %+v", got, o)
	}
	for _, pid := range []int32{7, 1000, 120} {
		if !r.talkers.has(got, pid) {
			t.Errorf("pid %d is no talker's any more", pid)
		}
	}
	if r.talkers.has(got, 1001) || r.talkers.has(got, 100) {
		t.Error("somebody is a talker who wasn't")
	}
	for p := range o.lists {
		a, b := o.lists[p].first, got.lists[p].first
		for ; a != nil && b != nil; a, b = a.next, b.next {
			want, is := *a, *b
			if (want.Cookie != nil) != (is.Cookie == Restored{}) {
				t.Errorf("pid %d: the cookie is %v, was %v", a.PID, b.Cookie, a.Cookie)
			}
			for _, x := range []*Session{&want, &is} {
				x.Origin, x.Cookie, x.links, x.age, x.Entered, x.Noted = nil, nil, links{}, links{}, 0, false
			}
			if !a.over() {
				want.End, is.End = 0, 0
			}
			if b.Origin != got || !reflect.DeepEqual(is, want) {
				t.Errorf("list %d: got %+v, want %+v", p, is, want)
			}
		}
		if a != nil || b != nil {
			t.Errorf("list %d: one is longer", p)
		}
	}
}

const upload = `
	7 connect from localhost (127.0.0.1)
	7 rsync allowed access on module data from localhost (127.0.0.1)
	7 rsync to data/ from localhost (127.0.0.1)`

// A night's downtime ends nothing that goes on, and the session's time holds it: 1 h before, 30 h down, 1 h after are 32 h.
func TestDowntimeEndsNothing(t *testing.T) {
	b := newTable(t, DefaultLimits(), "data")
	b.say(upload + `
		+1h
		7 recv localhost [127.0.0.1] data () a 7
		8 connect from localhost (127.0.0.1)`)
	b.restart(DefaultLimits(), 30*time.Hour, "data")
	b.say("+59m")
	if len(b.book.ended) != 0 {
		t.Fatalf("ended: %v", b.book.ended)
	}
	if s := b.sessions.session(b.host, 7); s.LastSeen != int64(time.Hour+time.Hour) {
		t.Errorf("its last line came at %v, want 2h0m0s", time.Duration(s.LastSeen))
	}
	b.say(`
		+1m
		7 sent 1 bytes  received 2 bytes  total size 3`)
	if s := b.sessions.session(b.host, 7); s.LastSeen-s.FirstSeen != int64(32*time.Hour) {
		t.Errorf("it took %v, want 32h0m0s", time.Duration(s.LastSeen-s.FirstSeen))
	}
	if len(b.book.ended) != 1 || !strings.Contains(b.book.ended[0], "unknown") { // the other one, an hour after it was heard
		t.Errorf("ended: %v, want the one that asked for nothing, after an hour that it could have been heard", b.book.ended)
	}
}

// Restarts don't keep a session that says nothing: 23 h, then 2 h, of silence are more than a day, with two nights between.
func TestRestartsKeepNoSessionForEver(t *testing.T) {
	b := newTable(t, DefaultLimits(), "data")
	b.say(upload + "\n +23h")
	b.restart(DefaultLimits(), 8*time.Hour, "data")
	b.say("+30m")
	b.restart(DefaultLimits(), 8*time.Hour, "data")
	b.say("+29m")
	if len(b.book.ended) != 0 {
		t.Fatalf("after 23h59m: %v", b.book.ended)
	}
	s := b.sessions.session(b.host, 7)
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
		b := newTable(t, DefaultLimits(), "data")
		b.say(upload + `
			+10s
			7 sent 1 bytes  received 2 bytes  total size 3
			+1s`)
		b.restart(DefaultLimits(), time.Hour, "data")
		b.add(b.sessions.tickAll(b.now))
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
		if s := b.sessions.session(b.host, 7); s.LastSeen-s.FirstSeen != int64(took) {
			t.Errorf("it took %v, want %v", time.Duration(s.LastSeen-s.FirstSeen), took)
		}
	}
}

// Late lines find the session that has ended, also when they were written while we were down.
func TestEndedSessionsAreRememberedThroughDowntime(t *testing.T) {
	b := newTable(t, DefaultLimits(), "data")
	b.say(upload + `
		7 sent 1 bytes  received 2 bytes  total size 3
		+3s`)
	b.restart(DefaultLimits(), 30*time.Hour, "data")
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
	b := newTable(t, DefaultLimits(), "data")
	b.now = int64(20 * time.Hour)
	b.say(upload + "\n +1m")
	st := b.sessions.Record(b.now, nil)
	st.Sessions[0].LastSeen += int64(time.Hour) // even if there were one in the future
	now := int64(10 * time.Hour)
	s, err := restoreAt(DefaultLimits(), []string{"data"}, &st, now, 0)
	if err != nil {
		t.Fatal(err)
	}
	x := s.ages[running].first
	if x.LastSeen != now || x.FirstSeen != now-int64(time.Minute) {
		t.Errorf("first seen %v, last seen %v; want 9h59m0s and 10h0m0s", time.Duration(x.FirstSeen), time.Duration(x.LastSeen))
	}
	if c := s.tickAll(now + int64(24*time.Hour) - 1); len(c) != 0 {
		t.Errorf("ended before its time: %+v", c)
	}
	if c := s.tickAll(now + int64(24*time.Hour)); len(c) != 1 {
		t.Errorf("a day later: %+v, want its end", c)
	}
}

// Fewer sessions are allowed than there are: the next one that begins takes the place of all that are surplus, which are counted.
func TestFewerSessionsAllowed(t *testing.T) {
	b := newTable(t, DefaultLimits(), "data")
	for pid := range 9 {
		b.say(strings.ReplaceAll(upload, "\t7 ", fmt.Sprintf("\t%d ", pid+1)))
		b.now++
	}
	n := b.sessions.Len()
	limits := DefaultLimits()
	limits.Sessions, limits.Origins = 3, 0
	st := b.sessions.Record(b.now, nil)
	r, err := restoreAt(limits, nil, &st, b.now, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.sessions, b.host = r, r.origin(0, "vm")
	b.say("77 connect from localhost (127.0.0.1)")
	if len(b.book.ended) != 0 || r.Evicted() != 1 || r.Len() != n {
		t.Errorf("a client that only connected made %d others end", len(b.book.ended))
	}
	b.say("77 rsync allowed access on module data from localhost (127.0.0.1)")
	checkTable(t, r)
	if len(b.book.ended) != n-2 || r.Evicted() != uint64(n-2+1) || r.Len() != 3 {
		t.Errorf("%d sessions: %d ended, %d evicted, %d left; want 3 left", n, len(b.book.ended), r.Evicted(), r.Len())
	}
	if r.origin(0, "another") != r.overflow {
		t.Error("another host got in")
	}
}

// Another version may number its phases, directions, outcomes and reasons otherwise.
func TestNumbersAreReadByTheirNames(t *testing.T) {
	s := newSessions(DefaultLimits())
	o := s.origin(0, "vm")
	x := full(t, o)
	o.Life.Number = x.Heard
	s.keep(x)
	st := s.Record(3000, nil)
	c := &st.Sessions[0]
	for _, e := range []struct {
		names *[]string
		n     *uint8
	}{
		{&st.Names.Phases, (*uint8)(&c.Phase)}, {&st.Names.Directions, (*uint8)(&c.Direction)},
		{&st.Names.Outcomes, (*uint8)(&c.Outcome)}, {&st.Names.Reasons, (*uint8)(&c.Reason)},
	} {
		name := (*e.names)[*e.n]
		*e.names = append([]string{"what is no more"}, *e.names...)
		slices.Reverse(*e.names)
		*e.n = uint8(slices.Index(*e.names, name))
	}
	r, err := restoreAt(DefaultLimits(), nil, &st, 3000, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := r.ages[failing].first
	if got == nil || got.Direction != Receive || got.Outcome != Partial || got.Reason != ReasonAuth {
		t.Errorf("got %+v", got)
	}
	c.Outcome = Outcome(slices.Index(st.Names.Outcomes, "what is no more"))
	if _, err := restoreAt(DefaultLimits(), nil, &st, 3000, 0); err == nil {
		t.Error("an outcome that is no more was taken")
	}
}
