package backups_test

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/rsynclog"
)

const second = int64(time.Second)

// A book is a Book, and the time that it was told last. Times are seconds by the wall clock, which is ahead seconds ahead of the sessions'.
type book struct {
	*backups.Book
	expected    []backups.Expectation
	ahead, wall int64
}

func newBook(wall int64, expected ...backups.Expectation) *book {
	return &book{backups.NewBook(expected, nil, wall*second), expected, 1000, wall}
}

func push(name, user string) backups.Expectation {
	return backups.Expectation{Name: name, Every: time.Hour,
		Identity: backups.Identity{Module: "data", User: user, Direction: rsynclog.Receive}}
}

// session is a push of alice's to data that ended well at a time by the wall clock.
func (b *book) session(end int64, change func(*rsynclog.Session)) *rsynclog.Session {
	s := &rsynclog.Session{Origin: &rsynclog.Origin{Host: "vault"}, SessionRecord: rsynclog.SessionRecord{
		Module: "data", Direction: rsynclog.Receive, User: "alice", Addr: "192.0.2.7", Name: "pc.example.org", Outcome: rsynclog.OK,
		ConnectSeen: true, FirstSeen: (end - b.ahead - 60) * second, LastSeen: (end - b.ahead) * second,
		HasSummary: true, Sent: 10, Received: 20, Total: 3000,
	}}
	s.Files[rsynclog.OpRecv], s.Files[rsynclog.OpDel] = 5, 7
	if change != nil {
		change(s)
	}
	return s
}

func (b *book) tell(kind rsynclog.ChangeKind, s *rsynclog.Session, wall int64) {
	b.wall = wall
	b.Apply([]rsynclog.Change{{Kind: kind, Session: s, Origin: s.Origin, N: 1}}, (wall-b.ahead)*second, wall*second)
}

// entry returns what is known of an expected backup while the given sessions run.
func (b *book) entry(i int, running ...*rsynclog.Session) backups.Entry {
	return b.record(running...).Entries[i]
}

func (b *book) record(running ...*rsynclog.Session) *backups.Record {
	active := func(f func(*rsynclog.Session)) {
		for _, s := range running {
			f(s)
		}
	}
	return b.Record(active, (b.wall-b.ahead)*second, b.wall*second)
}

func TestASuccess(t *testing.T) {
	b := newBook(5000, push("data@alice", "alice"))
	if e := b.entry(0); e.Since != 5000*second || e.Success.At != 0 {
		t.Errorf("before: %+v", e)
	}
	b.tell(rsynclog.Ended, b.session(6000, nil), 6002) // settled for two seconds
	want := backups.Run{At: 6000 * second, Took: time.Minute, Outcome: "ok", Enough: true, Sent: 10, Received: 20, Listed: 3000, Files: 5}
	if e := b.entry(0); e.Success != want || e.Attempt != want || e.Running != 0 {
		t.Errorf("after: %+v, want %+v", e, want)
	}
}

// What others do, and what proves nothing, leaves no trace. What could not be a success is an attempt.
func TestWhatIsNoBackup(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*rsynclog.Session)
		attempt string
	}{
		{"another module", func(s *rsynclog.Session) { s.Module = "www" }, ""},
		{"another user", func(s *rsynclog.Session) { s.User = "bob" }, ""},
		{"a pull", func(s *rsynclog.Session) { s.Direction = rsynclog.Send }, ""},
		{"nothing that started", func(s *rsynclog.Session) { s.Direction = rsynclog.NoDirection }, ""},
		{"another host", func(s *rsynclog.Session) { s.Origin = &rsynclog.Origin{Host: "vault2"} }, ""},
		{"another network", func(s *rsynclog.Session) { s.Addr = "192.0.3.7" }, ""},
		{"no address", func(s *rsynclog.Session) { s.Addr = "" }, ""},
		{"a session that its client may have begun", func(s *rsynclog.Session) { s.Doubted = true }, ""},
		{"a refusal", func(s *rsynclog.Session) { s.Outcome = rsynclog.Rejected }, ""},
		{"a listing", func(s *rsynclog.Session) { s.Outcome = rsynclog.Listing }, ""},
		{"an abort", func(s *rsynclog.Session) { s.Outcome = rsynclog.Aborted }, "aborted"},
		{"a part", func(s *rsynclog.Session) { s.Outcome = rsynclog.Partial }, "partial"},
		{"silence", func(s *rsynclog.Session) { s.Outcome = rsynclog.Unknown }, "unknown"},
		{"an empty one", func(s *rsynclog.Session) { s.Total = 0 }, "ok"},
		{"a smaller one", func(s *rsynclog.Session) { s.Total = 2999 }, "ok"},
		{"fewer files", func(s *rsynclog.Session) { s.Files[rsynclog.OpRecv] = 4 }, "ok"},
	} {
		e := push("data@alice", "alice")
		e.Host, e.Client, e.Bytes, e.Files = "vault", backups.Client{Network: netip.MustParsePrefix("192.0.2.0/24")}, 3000, 5
		b := newBook(5000, e)
		b.tell(rsynclog.Ended, b.session(6000, nil), 6000)
		b.tell(rsynclog.Ended, b.session(7000, c.change), 7000)
		got := b.entry(0)
		if got.Success.At != 6000*second {
			t.Errorf("%s: last success at %d", c.name, got.Success.At/second)
		}
		if tried := got.Attempt.At == 7000*second; tried != (c.attempt != "") || tried && (got.Attempt.Outcome != c.attempt || got.Attempt.Enough) {
			t.Errorf("%s: last attempt %+v, want outcome %q", c.name, got.Attempt, c.attempt)
		}
		s := b.session(7000, c.change)
		runs := c.attempt != "" || s.Outcome == rsynclog.Rejected || s.Outcome == rsynclog.Listing // which nobody knows before the end
		if running := b.entry(0, s).Running; running == 1 != runs {
			t.Errorf("%s: %d run", c.name, running)
		}
	}
}

func TestWhoseBackupItIs(t *testing.T) {
	any, carol, part := push("any", ""), push("carol", "carol"), push("part", "alice")
	part.Partial = true
	byName, byAddress := push("by name", "alice"), push("by address", "alice")
	byName.Client.Name = "PC.example.org"
	byAddress.Client.Network = netip.MustParsePrefix("2001:db8::7/128")
	b := newBook(5000, any, carol, part, byName, byAddress)
	b.tell(rsynclog.Ended, b.session(6000, func(s *rsynclog.Session) { s.Outcome = rsynclog.Partial }), 6000)
	b.tell(rsynclog.Ended, b.session(7000, func(s *rsynclog.Session) { s.User = "" }), 7000)
	b.tell(rsynclog.Ended, b.session(8000, func(s *rsynclog.Session) { s.User, s.Addr = "alice", "2001:db8::7%eth0" }), 8000)
	b.tell(rsynclog.Ended, b.session(9000, func(s *rsynclog.Session) { s.User, s.Name = "dave", "" }), 9000)
	var got []int64
	for _, e := range b.record().Entries {
		got = append(got, e.Success.At/second)
	}
	if want := []int64{9000, 0, 8000, 8000, 8000}; !reflect.DeepEqual(got, want) {
		t.Errorf("last successes at %d, want %d", got, want)
	}
	if e := b.entry(2); len(e.Earlier) != 1 || e.Earlier[0].Outcome != "partial" || !e.Earlier[0].Enough {
		t.Errorf("a partial success: %+v", e.Earlier)
	}
}

// A module and a user have backups of many hosts and clients, and each session is told apart in the same time.
func TestManyClientsOfOneModule(t *testing.T) {
	expected := make([]backups.Expectation, 10_000)
	for i := range expected {
		e := push(fmt.Sprint(i), "alice")
		switch i % 4 {
		case 0:
			e.Client.Network = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
		case 1:
			e.Client.Name = fmt.Sprintf("PC%d.example.org", i)
		case 2:
			e.Host = fmt.Sprint("vault", i)
		case 3:
			e.Client.Network = netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/48", i))
		}
		e.Identity.Client = e.Client.String()
		expected[i] = e
	}
	b := newBook(5000, expected...)
	sessions := []*rsynclog.Session{
		b.session(6000, func(s *rsynclog.Session) { s.Addr = "::ffff:10.0.4.4" }),            // 1028
		b.session(6000, func(s *rsynclog.Session) { s.Name = "pc4321.Example.org" }),         // 4321
		b.session(6000, func(s *rsynclog.Session) { s.Origin.Host = "vault10" }),             // 10
		b.session(6000, func(s *rsynclog.Session) { s.Addr = "2001:db8:3:4::5" }),            // 3
		b.session(6000, func(s *rsynclog.Session) { s.User, s.Addr = "carol", "10.0.4.8" }),  // nobody's
		b.session(6000, func(s *rsynclog.Session) { s.Addr, s.Name = "2001:db8:4::1", "x" }), // nobody's
	}
	for _, s := range sessions {
		b.tell(rsynclog.Ended, s, 6000)
	}
	var got []int
	for i, e := range b.record().Entries {
		if e.Success.At != 0 {
			got = append(got, i)
		}
	}
	if want := []int{3, 10, 1028, 4321}; !slices.Equal(got, want) {
		t.Errorf("%v came, want %v", got, want)
	}
	least := func(b *book) (took time.Duration) { // of some rounds
		took = time.Hour
		for range 10 {
			took = min(took, testenv.CPUTime(func() {
				for range 100 {
					b.tell(rsynclog.Ended, sessions[0], 6000)
				}
			}))
		}
		return took
	}
	if few, many := least(newBook(5000, expected[1024:1036]...)), least(b); many > 30*few { // there are 800 times as many
		t.Errorf("100 sessions took %v, where 12 backups are expected %v", many, few)
	}
}

// With partial: true a run is enough in which files failed, not one that was cut off when its daemon began anew or for lack of room.
func TestAPartialRunThatWasCutOff(t *testing.T) {
	part := push("part", "")
	part.Partial = true
	for name, c := range map[string]struct {
		change func(*rsynclog.Session)
		enough bool
	}{
		"silent":              {func(s *rsynclog.Session) { s.HasSummary, s.FileList = false, true }, true},
		"the daemon is new":   {func(s *rsynclog.Session) { s.HasSummary, s.Orphaned = false, 1 }, false},
		"no room":             {func(s *rsynclog.Session) { s.HasSummary, s.FileErrors, s.Evicted = false, true, true }, false},
		"new, with a summary": {func(s *rsynclog.Session) { s.FileErrors, s.Orphaned = true, 1 }, true},
	} {
		b := newBook(5000, part)
		b.tell(rsynclog.Ended, b.session(6000, func(s *rsynclog.Session) { s.Outcome = rsynclog.Partial; c.change(s) }), 6000)
		if e := b.entry(0); e.Attempt.Enough != c.enough || (e.Success.At != 0) != c.enough {
			t.Errorf("%s: %+v", name, e.Attempt)
		}
	}
}

// A session counted for its silence goes on, and ends well.
func TestASessionThatWasOnlySilent(t *testing.T) {
	b := newBook(5000, push("data@alice", "alice"))
	b.tell(rsynclog.Ended, b.session(6000, func(s *rsynclog.Session) { s.Outcome = rsynclog.Partial }), 7000)
	if e := b.entry(0); e.Success.At != 0 || e.Attempt.At != 6000*second {
		t.Errorf("silent: %+v", e)
	}
	b.tell(rsynclog.Resumed, b.session(7500, nil), 7500)
	if e := b.entry(0); e.Success.At != 7500*second || e.Attempt.At != 7500*second {
		t.Errorf("resumed: %+v", e)
	}
}

// Sessions of several files come in any order; a failure that comes to light later is no later failure.
func TestAnOlderSessionThatComesLater(t *testing.T) {
	b := newBook(5000, push("data@alice", "alice"))
	b.tell(rsynclog.Ended, b.session(6000, nil), 6000)
	b.tell(rsynclog.Ended, b.session(5500, func(s *rsynclog.Session) { s.Outcome = rsynclog.Aborted }), 6100)
	b.tell(rsynclog.Ended, b.session(5600, nil), 6200)
	if e := b.entry(0); e.Success.At != 6000*second || e.Attempt.At != 6000*second || len(e.Earlier) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestRunningSessions(t *testing.T) {
	b := newBook(5000, push("data@alice", "alice"), push("any", ""))
	first := b.session(6000, nil) // began at 5940
	second1 := b.session(6100, nil)
	b.wall = 6050
	if e := b.entry(0, second1, first); e.Running != 2 || e.RunningSince != 5940*second {
		t.Errorf("%d run since %d, want 2 since 5940", e.Running, e.RunningSince/second)
	}
	if e := b.entry(1, second1); e.Running != 1 || e.RunningSince != 6040*second {
		t.Errorf("%d run since %d, want 1 since 6040", e.Running, e.RunningSince/second)
	}
	if e := b.entry(1, b.session(6000, func(s *rsynclog.Session) { s.User = "" })); e.Running != 1 {
		t.Errorf("without a user %d run, want 1", e.Running)
	}
	if e := b.entry(0); e.Running != 0 || e.RunningSince != 0 {
		t.Errorf("%d run since %d, want none", e.Running, e.RunningSince)
	}
}

// What is known stays over a restart, by identity: names, order and demands may change.
func TestARestartWithOtherExpectations(t *testing.T) {
	b := newBook(5000, push("a", "alice"), push("b", "bob"))
	b.tell(rsynclog.Ended, b.session(6000, nil), 6000)
	before := b.record()
	var saved bytes.Buffer
	if err := gob.NewEncoder(&saved).Encode(before); err != nil {
		t.Fatal(err)
	}
	restored := &backups.Record{}
	if err := gob.NewDecoder(&saved).Decode(restored); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(restored, before) {
		t.Errorf("restored %+v, want %+v", restored, before)
	}
	renamed, pull := push("alice's", "alice"), push("pull", "alice")
	renamed.Bytes, pull.Direction = 1<<40, rsynclog.Send
	after := newBook(9000, push("c", "carol"), pull, renamed)
	after.Book = backups.NewBook(after.expected, restored, 9000*second)
	got := after.record().Entries
	if len(got) != 3 || got[0].Since != 9000*second || got[1].Success.At != 0 || got[2].Since != 5000*second || got[2].Success.At != 6000*second {
		t.Errorf("%+v", got)
	}
}

func TestARecordNeverChanges(t *testing.T) {
	b := newBook(5000, push("a", "alice"))
	for end := int64(6000); end < 6020; end++ {
		b.tell(rsynclog.Ended, b.session(end, nil), end)
		rec := b.record()
		kept := append([]backups.Run(nil), rec.Entries[0].Earlier...)
		for range 3 {
			b.tell(rsynclog.Ended, b.session(end, nil), end)
		}
		if rec.Entries[0].Success.At != end*second || !reflect.DeepEqual(append([]backups.Run(nil), rec.Entries[0].Earlier...), kept) {
			t.Fatalf("the record of %d has changed: %+v", end, rec)
		}
	}
	if e := b.entry(0); len(e.Earlier) != 9 || e.Earlier[8].At != 6019*second || e.Earlier[0].At != 6017*second {
		t.Errorf("earlier successes: %+v, want nine up to 6019", e.Earlier)
	}
}

// The exporter's clock was ahead once. What comes afterwards counts, and an hour later nothing lies in the future any more.
func TestAClockThatWasAhead(t *testing.T) {
	b := newBook(900_000, push("a", "alice"), push("b", "bob"))
	b.tell(rsynclog.Ended, b.session(900_000, nil), 900_000)
	b.ahead, b.wall = -839_000, 60_000 // the machine's clock is set, the sessions' goes on
	if e := b.entry(0); e.Success.At != 900_000*second {
		t.Errorf("at once: %d", e.Success.At/second)
	}
	b.wall += 3500
	if e := b.entry(0); e.Success.At != 900_000*second {
		t.Errorf("nearly an hour later: %d", e.Success.At/second)
	}
	b.wall += 100
	if e := b.entry(0); e.Success.At != 63_600*second || e.Attempt.At != 63_600*second || e.Since != 63_600*second {
		t.Errorf("an hour later: %+v", e)
	}
	b = newBook(5000, push("a", "alice"))
	b.tell(rsynclog.Ended, b.session(900_000, nil), 900_000)
	b.ahead = -839_000
	b.tell(rsynclog.Ended, b.session(59_000, func(s *rsynclog.Session) { s.Outcome = rsynclog.Aborted }), 59_000)
	if e := b.entry(0); e.Success.At != 900_000*second || e.Attempt.Outcome != "aborted" {
		t.Errorf("a failure after it was set: %+v", e)
	}
	b.tell(rsynclog.Ended, b.session(60_000, nil), 60_000)
	b.tell(rsynclog.Ended, b.session(70_000, nil), 65_000) // stamped in the future
	if e := b.entry(0); e.Success.At != 65_000*second {
		t.Errorf("after it was set: %d", e.Success.At/second)
	}
}

// Ending a session of no interest allocates nothing and takes no time that grows with what is expected.
func TestOthersCostNothing(t *testing.T) {
	var expected []backups.Expectation
	for range 10_000 {
		expected = append(expected, push("b", "bob"))
	}
	b := newBook(5000, expected...)
	changes := []rsynclog.Change{{Kind: rsynclog.Ended, Session: b.session(6000, nil), N: 1}}
	if n := testing.AllocsPerRun(100, func() { b.Apply(changes, 5000*second, 6000*second) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, s := range []string{"data@alice<26h", "data", "data@alice<8d", "data<90m", "a b<1d12h", "@x", "data@", "data<", "data<0s", "data<401d",
		"data<26", "data<-1h", "data@a<b<1h", "data<99999999999d", "data<1d99999999h", "\x00", "data<1.5h", "data<1d1d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := backups.ParseEntry(s)
		if err != nil {
			return
		}
		if e.Every <= 0 || e.Every > backups.MaxAge || e.Module == "" || e.Name == "" || e.Direction != rsynclog.Receive {
			t.Errorf("%q is read as %+v", s, e)
		}
		name := e.Module
		if e.User != "" {
			name += "@" + e.User
		}
		if e.Name != name {
			t.Errorf("%q has the name %q, want %q", s, e.Name, name)
		}
		if again, err := backups.ParseEntry(e.Name + "<" + e.Every.String()); err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("%q is read back as %+v, %v", s, again, err)
		}
	})
}

func TestParseEntry(t *testing.T) {
	for text, want := range map[string]struct {
		module, user string
		every        time.Duration
	}{
		"data@alice<26h": {"data", "alice", 26 * time.Hour},
		"data":           {"data", "", 26 * time.Hour},
		"data@a@b<8d":    {"data", "a@b", 192 * time.Hour},
		"b c<90m":        {"b c", "", 90 * time.Minute},
		"data<1d12h":     {"data", "", 36 * time.Hour},
		"data<400d":      {"data", "", 9600 * time.Hour},
	} {
		if e, err := backups.ParseEntry(text); err != nil || e.Module != want.module || e.User != want.user || e.Every != want.every || e.Grace != 0 {
			t.Errorf("%q: %+v, %v", text, e, err)
		}
	}
	for _, text := range []string{"", "@alice", "data@", "data<", "data<0s", "data<401d", "data<26", "data<-1h", "data<+1h", "data<65536d", "data<1d9999999h",
		" data", "data<1h ", "data@a\x01"} {
		if e, err := backups.ParseEntry(text); err == nil {
			t.Errorf("%q is read as %+v", text, e)
		}
	}
}
