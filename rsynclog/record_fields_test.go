package rsynclog

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"testing"
)

// full returns a session of which no field is zero; a field that is added fails the test until it is set here.
func full(t *testing.T, o *Origin) *Session {
	t.Helper()
	s := &Session{Origin: o, Cookie: "a note", SessionRecord: SessionRecord{
		PID: 7, Module: "data", Direction: Receive, User: "alice", Addr: "192.0.2.1", FirstSeen: 1000, LastSeen: 2000, ConnectSeen: true,
		Outcome: Partial, HasSummary: true, Sent: 3, Received: 4, Total: 5, Phase: failing, Known: true, Moved: true, Lost: true,
		FileErrors: true, MaxDelete: true, FileList: true, Evicted: true, Reason: ReasonAuth, Listed: true,
		Exits: [2]exit{{'s', 23}, {'g', -7}}, LateExits: 2, Amendments: 3, Length: 6, Wire: 8, Requested: "data", Overruled: true, Executed: true,
		Unheard: 300, Born: 1, Heard: 2, ProcessStarted: 9, Talks: true, Doubted: true, Orphaned: 1800,
		End: 1900, FirstWaited: true, LastWaited: true, Stamp: 1700,
		Shift: 50, Entered: 1, Noted: true, Name: "client.example.org", Request: "data/x",
		Files: FileCounts{OpRecv: 3}, Failures: Failures{{Errno: 13, N: 2}},
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
	restart := Restart{Now: 3000, Replayed: func(uint32) bool { return false }}
	s := NewSessions(DefaultLimits(), nil, nil)
	s.overflow.Cookie, s.evicted, s.overflown = "a note", 11, 12
	o := s.Origin(Where{Scope: 5, Host: []byte("h\xc3\\#011")}, 0)
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
	st := ThroughBytes(t, s.Record(3000, nil))
	r, err := RestoreSessions(DefaultLimits(), nil, nil, &st, restart)
	if err != nil {
		t.Fatal(err)
	}
	CheckTable(t, r)
	if r.evicted != 11 || r.overflown != 12 || r.names != 1 || r.overflow.Cookie != (Restored{}) {
		t.Errorf("evicted %d, overflown %d, names %d, cookie %v", r.evicted, r.overflown, r.names, r.overflow.Cookie)
	}
	if got := r.Origin(Where{Addr: netip.MustParseAddr("192.0.2.7")}, 5); len(r.origins) != 2 || got.Arrived != addressed.Arrived {
		t.Errorf("%d origins, want two; that of an address was heard at %d", len(r.origins), got.Arrived)
	}
	got := r.Origin(Where{Scope: 5, Host: []byte("h\xc3\\#011")}, 0)
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

// Another version may number its phases, directions, outcomes and reasons otherwise.
func TestNumbersAreReadByTheirNames(t *testing.T) {
	restart := Restart{Now: 3000, Replayed: func(uint32) bool { return false }}
	s := NewSessions(DefaultLimits(), nil, nil)
	o := s.Origin(Where{Scope: 0, Host: []byte("vm")}, 0)
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
	r, err := RestoreSessions(DefaultLimits(), nil, nil, &st, restart)
	if err != nil {
		t.Fatal(err)
	}
	got := r.ages[failing].first
	if got == nil || got.Direction != Receive || got.Outcome != Partial || got.Reason != ReasonAuth {
		t.Errorf("got %+v", got)
	}
	c.Outcome = Outcome(slices.Index(st.Names.Outcomes, "what is no more"))
	if _, err := RestoreSessions(DefaultLimits(), nil, nil, &st, restart); err == nil {
		t.Error("an outcome that is no more was taken")
	}
}
