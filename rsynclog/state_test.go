package rsynclog

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// restart replaces the table by one that is restored from it after a time in which the program was down.
func (b *table) restart(limits Limits, down time.Duration, modules ...string) {
	b.t.Helper()
	st := b.sessions.State(b.now, nil)
	b.now += int64(down)
	s, err := RestoreSessions(limits, modules, &st, b.now, down)
	if err != nil {
		b.t.Fatal(err)
	}
	checkTable(b.t, s)
	b.sessions, b.host = s, s.Origin(b.host.Scope, []byte(b.host.raw))
}

// full returns a session of which no field is zero; a field that is added fails the test until State knows it.
func full(t *testing.T, o *Origin) *Session {
	t.Helper()
	s := &Session{
		Origin: o, PID: 7, Module: "data", Direction: Receive, User: "alice", Addr: "192.0.2.1", FirstSeen: 1000, LastSeen: 2000, ConnectSeen: true,
		Outcome: Partial, HasSummary: true, Sent: 3, Received: 4, Total: 5, Cookie: "a note", phase: failing, known: true, moved: true, lost: true,
		fileErrors: true, maxDelete: true, fileList: true, evicted: true, reason: ReasonAuth, listed: true,
		exits: [2]exit{{'s', 23}, {'g', -7}}, lateExits: 2, length: 6, wire: 8, serial: 9, request: "d\xffata", offer: offer{1500, "192.0.2.2"},
		reopened: 10, unheard: 300, prev: &Session{}, next: &Session{},
	}
	for v, i := reflect.ValueOf(s).Elem(), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Fatalf("the test doesn't set %s", v.Type().Field(i).Name)
		}
	}
	s.prev, s.next = nil, nil
	return s
}

func TestEveryFieldIsRestored(t *testing.T) {
	s := NewSessions(DefaultLimits(), nil)
	s.overflow.Cookie, s.evicted, s.overflown = "a note", 11, 12
	o := s.Origin(5, []byte("h\xc3\\#011"))
	o.Cookie, o.opened, o.names = "a note", 20, true
	s.module(o, []byte("m\xff"), true)
	x := full(t, o)
	o.sessions[x.PID] = x
	s.lists[x.phase].push(x)
	for i := range 3 { // younger ones in the same list, and other lists
		s.open(o, int32(100-i), 2100, failing, 0)
		s.open(o, int32(200-i), 2200, ended, 0)
	}
	st := s.State(3000, nil)
	st.Origins = slices.Clone(st.Origins)
	r, err := RestoreSessions(DefaultLimits(), nil, &st, 3000, 0)
	if err != nil {
		t.Fatal(err)
	}
	checkTable(t, r)
	if r.evicted != 11 || r.overflown != 12 || r.taught != 1 || r.overflow.Cookie != (Restored{}) {
		t.Errorf("evicted %d, overflown %d, taught %d, cookie %v", r.evicted, r.overflown, r.taught, r.overflow.Cookie)
	}
	got := r.Origin(5, []byte("h\xc3\\#011"))
	if got.Host != o.Host || got.opened != 23+3 || !got.names || got.Cookie != (Restored{}) || !maps.Equal(got.modules, o.modules) || !got.tracked {
		t.Errorf("the origin is %+v, was %+v", got, o)
	}
	for p := range s.lists {
		a, b := s.lists[p].first, r.lists[p].first
		for ; a != nil && b != nil; a, b = a.next, b.next {
			want, is := *a, *b
			if (want.Cookie != nil) != (is.Cookie == Restored{}) {
				t.Errorf("pid %d: the cookie is %v, was %v", a.PID, b.Cookie, a.Cookie)
			}
			want.Origin, want.Cookie, want.prev, want.next = nil, nil, nil, nil
			is.Origin, is.Cookie, is.prev, is.next = nil, nil, nil, nil
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
	if s := b.host.sessions[7]; s.LastSeen != int64(time.Hour+time.Hour) {
		t.Errorf("its last line came at %v, want 2h0m0s", time.Duration(s.LastSeen))
	}
	b.say(`
		+1m
		7 sent 1 bytes  received 2 bytes  total size 3`)
	if s := b.host.sessions[7]; s.LastSeen-s.FirstSeen != int64(32*time.Hour) {
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
	s := b.host.sessions[7]
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
		b.add(b.sessions.Tick(b.now))
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
		if s := b.host.sessions[7]; s.LastSeen-s.FirstSeen != int64(took) {
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
	st := b.sessions.State(b.now, nil)
	st.Sessions[0].LastSeen += int64(time.Hour) // even if there were one in the future
	now := int64(10 * time.Hour)
	s, err := RestoreSessions(DefaultLimits(), []string{"data"}, &st, now, 0)
	if err != nil {
		t.Fatal(err)
	}
	x := s.lists[running].first
	if x.LastSeen != now || x.FirstSeen != now-int64(time.Minute) {
		t.Errorf("first seen %v, last seen %v; want 9h59m0s and 10h0m0s", time.Duration(x.FirstSeen), time.Duration(x.LastSeen))
	}
	if c := s.Tick(now + int64(24*time.Hour) - 1); len(c) != 0 {
		t.Errorf("ended before its time: %+v", c)
	}
	if c := s.Tick(now + int64(24*time.Hour)); len(c) != 1 {
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
	st := b.sessions.State(b.now, nil)
	r, err := RestoreSessions(limits, nil, &st, b.now, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.sessions, b.host = r, r.Origin(0, []byte("vm"))
	b.say("77 connect from localhost (127.0.0.1)")
	checkTable(t, r)
	if len(b.book.ended) != n-2 || r.Evicted() != uint64(n-2) || r.Len() != 3 {
		t.Errorf("%d sessions: %d ended, %d evicted, %d left; want 3 left", n, len(b.book.ended), r.Evicted(), r.Len())
	}
	if r.Origin(0, []byte("another")) != r.overflow {
		t.Error("another host got in")
	}
}

// Another version may number its phases, directions, outcomes and reasons otherwise.
func TestNumbersAreReadByTheirNames(t *testing.T) {
	s := NewSessions(DefaultLimits(), nil)
	o := s.Origin(0, []byte("vm"))
	x := full(t, o)
	x.serial = 0
	o.sessions[x.PID] = x
	s.lists[x.phase].push(x)
	st := s.State(3000, nil)
	c := &st.Sessions[0]
	for _, e := range []struct {
		names *[]string
		n     *uint8
	}{{&st.Names.Phases, &c.Phase}, {&st.Names.Directions, &c.Direction}, {&st.Names.Outcomes, &c.Outcome}, {&st.Names.Reasons, &c.Reason}} {
		name := (*e.names)[*e.n]
		*e.names = append([]string{"what is no more"}, *e.names...)
		slices.Reverse(*e.names)
		*e.n = uint8(slices.Index(*e.names, name))
	}
	r, err := RestoreSessions(DefaultLimits(), nil, &st, 3000, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := r.lists[failing].first
	if got == nil || got.Direction != Receive || got.Outcome != Partial || got.reason != ReasonAuth {
		t.Errorf("got %+v", got)
	}
	c.Outcome = uint8(slices.Index(st.Names.Outcomes, "what is no more"))
	if _, err := RestoreSessions(DefaultLimits(), nil, &st, 3000, 0); err == nil {
		t.Error("an outcome that is no more was taken")
	}
}

// What can't be is refused as a whole.
func TestImpossibleStates(t *testing.T) {
	for name, spoil := range map[string]func(*State){
		"a host twice":              func(st *State) { st.Origins = append(st.Origins, st.Origins[0]) },
		"a host's name too long":    func(st *State) { st.Origins[0].Host = strings.Repeat("x", maxRaw+1) },
		"too many modules":          func(st *State) { st.Origins[0].Modules = make([]string, maxModules+1) },
		"an empty module":           func(st *State) { st.Origins[0].Modules = []string{""} },
		"a module twice":            func(st *State) { st.Origins[0].Modules = []string{"m", "m"} },
		"no such host":              func(st *State) { st.Sessions[0].Origin = 1 },
		"a negative host":           func(st *State) { st.Sessions[0].Origin = -1 },
		"a pid twice":               func(st *State) { st.Sessions = append(st.Sessions, st.Sessions[0]) },
		"no pid":                    func(st *State) { st.Sessions[0].PID = 0 },
		"no such phase":             func(st *State) { st.Sessions[0].Phase = uint8(numPhases) },
		"no such direction":         func(st *State) { st.Sessions[0].Direction = 3 },
		"no such outcome":           func(st *State) { st.Sessions[0].Outcome = 255 },
		"no such reason":            func(st *State) { st.Sessions[0].Reason = uint8(NumReasons) },
		"no names":                  func(st *State) { st.Names = StateNames{} },
		"begun after all others":    func(st *State) { st.Sessions[0].Serial = st.Origins[0].Opened + 1 },
		"too many bytes":            func(st *State) { st.Sessions[0].Total = maxBytes + 1 },
		"too many under a pid":      func(st *State) { st.Sessions[0].Reopened = 255 },
		"too many late exits":       func(st *State) { st.Sessions[0].LateExits = 3 },
		"a module that is no label": func(st *State) { st.Sessions[0].Module = "\xff" },
		"a user too long":           func(st *State) { st.Sessions[0].User = strings.Repeat("u", MaxLabel+1) },
		"a request too long":        func(st *State) { st.Sessions[0].Request = strings.Repeat("u", MaxLabel+1) },
		"a time before all times":   func(st *State) { st.Sessions[0].FirstSeen = -1 << 63 },
		"saved after all times":     func(st *State) { st.Now = 1<<63 - 1 },
	} {
		b := newTable(t, DefaultLimits(), "data")
		b.say(upload)
		st := b.sessions.State(b.now, nil)
		if _, err := RestoreSessions(DefaultLimits(), nil, &st, b.now, 0); err != nil {
			t.Fatal(err)
		}
		spoil(&st)
		if s, err := RestoreSessions(DefaultLimits(), nil, &st, b.now, 0); err == nil || s != nil {
			t.Errorf("%s: restored, %v", name, err)
		}
	}
}
