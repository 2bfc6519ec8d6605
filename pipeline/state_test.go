package pipeline

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// again returns a pipeline that goes on from a State.
func again(t testing.TB, st *State, c Config) *Pipeline {
	t.Helper()
	b, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if c.State, err = DecodeState(b); err != nil {
		t.Fatal(err)
	}
	return newPipeline(t, c)
}

const aPull = `<30>Jan  1 00:00:00 vm rsyncd[505]: connect from localhost (127.0.0.1)
<30>Jan  1 00:00:00 vm rsyncd[505]: rsync allowed access on module data from localhost (127.0.0.1)
<30>Jan  1 00:00:00 vm rsyncd[505]: rsync on data/ from localhost (127.0.0.1)`

// A session that ran through a downtime of an hour took 10 s + 1 h + 20 s, and its bytes count once. The wall clock may be set back by
// a year meanwhile, or by two hours: then the time between isn't known.
func TestASessionGoesOnAfterDowntime(t *testing.T) {
	for name, x := range map[string]struct {
		saved time.Duration // what Saved is wrong by
		took  float64
	}{"": {0, 3630}, "set back": {24 * 365 * time.Hour, 30}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
				p := newPipeline(t, Config{})
				p.Deliver(src, slabOf(strings.Split(aPull, "\n")...))
				time.Sleep(10 * time.Second)
				_, st := p.Save()
				st.Saved += int64(x.saved)
				time.Sleep(time.Hour)
				p = again(t, st, Config{})
				p.Tick()
				time.Sleep(20 * time.Second)
				p.Deliver(src, slabOf(
					"<30>Jan  1 01:00:30 vm rsyncd[505]: sent 100 bytes  received 11 bytes  total size 3"))
				time.Sleep(3 * time.Second)
				series := gathered(t, p)
				checkIdentities(t, series)
				for name, want := range map[string]float64{
					`rsync_sessions_total{direction="send",host="vm",module="data",outcome="ok"}`:    1,
					`rsync_exchanged_bytes_total{direction="send",host="vm",module="data"}`:          111,
					`rsync_last_session_duration_seconds{direction="send",host="vm",module="data"}`:  x.took,
					`rsync_connections_total{host="vm"}`:                                             1,
					`rsyncd_exporter_received_total{input="udp"}`:                                    4,
					`rsync_sessions_active{direction="send",host="vm",module="data"}`:                0,
					`rsync_last_success_timestamp_seconds{direction="send",host="vm",module="data"}`: 946684800 + 3630,
				} {
					if series[name] != want {
						t.Errorf("%s = %v, want %v", name, series[name], want)
					}
				}
			})
		})
	}
}

// No counter that was shown is less after a restart, whatever the new configuration is; and what is new is 0.
func TestNoCounterFallsWithAnotherConfig(t *testing.T) {
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	s := newScript(t, r)
	for range testenv.Tortured(30, 2000) {
		p := newPipeline(t, s.config())
		for range 50 {
			p.Deliver(s.slab())
		}
		before := gathered(t, p)
		c := s.config()
		b, err := func() ([]byte, error) { _, st := p.Save(); return st.Encode() }()
		if err != nil {
			t.Fatal(err)
		}
		if c.State, err = DecodeState(b); err != nil {
			t.Fatal(err)
		}
		n, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		after := gathered(t, n)
		checkIdentities(t, after)
		for name, was := range before {
			// The zeros of a host that isn't configured any more go.
			if is, ok := after[name]; strings.Contains(name, "_total") && (!ok && was > 0 || is < was) {
				t.Errorf("%s was %v and is %v (there: %v)", name, was, is, ok)
			}
		}
		for name, is := range after {
			if was, ok := before[name]; strings.Contains(name, "_total") && !ok && is != 0 {
				t.Errorf("%s is %v and was %v", name, is, was)
			}
		}
		if t.Failed() {
			return
		}
	}
}

func position(inode uint64, offset int64) *receiver.FilePosition {
	p := &receiver.FilePosition{ID: receiver.FileID{Device: 1, Inode: inode, Birth: -5}, Offset: offset, Skipping: offset%2 == 1}
	copy(p.Anchor[:], fmt.Sprintf("anchor %d\xff", offset))
	copy(p.Head[:], "head")
	return p
}

// A State has the positions that its counts came with, though the file has been read on since.
func TestPositionsAreThoseOfTheCounts(t *testing.T) {
	p, a, b := newPipeline(t, Config{}), fileSource(), &receiver.Source{Input: "file", Name: "file 2", Scope: 2, Dialect: syslog.Lines{}}
	deliver := func(src *receiver.Source, at *receiver.FilePosition) {
		s := slabOf("2026/11/23 18:40:52 [7] connect from localhost (127.0.0.1)")
		s.Position = at
		p.Deliver(src, s)
	}
	deliver(a, position(1, 10))
	deliver(b, position(1, 11))
	at := position(2, 20)
	deliver(a, at)
	at.Offset = 1 << 40 // the reader's own, which it changes
	snap, st := p.Save()
	deliver(a, position(1, 30))
	deliver(a, position(3, 40))
	if snap.Received() != 3 {
		t.Errorf("received %d, want 3", snap.Received())
	}
	for _, x := range []struct {
		src  *receiver.Source
		want *receiver.FilePosition
	}{{a, position(1, 10)}, {a, position(2, 20)}, {b, position(1, 11)}} {
		if got, ok := st.Position(x.src.Name, x.want.ID); !ok || got != *x.want {
			t.Errorf("%s, inode %d: offset %d (%v), want %d", x.src.Name, x.want.ID.Inode, got.Offset, ok, x.want.Offset)
		}
	}
	if _, ok := st.Position(a.Name, position(3, 0).ID); ok {
		t.Error("the State knows what came after it")
	}
	// Its File knows inode 1 alone. Inode 3 has come since, and stays.
	p.Forget(st, map[string][]receiver.FilePosition{a.Name: {*position(1, 10)}, b.Name: {*position(1, 11)}})
	_, st = p.Save()
	for inode, want := range []bool{1: true, 2: false, 3: true} {
		if _, ok := st.Position(a.Name, position(uint64(inode), 0).ID); ok != want {
			t.Errorf("inode %d: known %v, want %v", inode, ok, want)
		}
	}
	if _, ok := st.Position(b.Name, position(1, 0).ID); !ok {
		t.Error("the other file's position is forgotten, too")
	}
}

// Without anybody who saves, no position is kept.
func TestPositionsWithoutAState(t *testing.T) {
	p, err := New(Config{LogFormat: defaultFormat, MaxSeries: 100, Limits: rsynclog.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	p.Deliver(fileSource(), &receiver.Slab{Position: position(1, 10)})
	if _, st := p.Save(); len(st.Files) != 0 {
		t.Errorf("kept: %+v", st.Files)
	}
}

func TestPositionsAreBounded(t *testing.T) {
	p := newPipeline(t, Config{})
	s := &receiver.Slab{}
	for i := range uint64(maxDelivered + 100) {
		for _, inode := range []uint64{i, 0} { // inode 0 is always in use
			s.Position = position(inode, 1)
			p.Deliver(fileSource(), s)
		}
	}
	_, st := p.Save()
	if n := len(st.Files[fileSource().Name]); n != maxDelivered {
		t.Errorf("%d positions, want %d", n, maxDelivered)
	}
	for inode, want := range map[uint64]bool{0: true, 1: false, 100: false, 102: true, maxDelivered + 99: true} {
		if _, ok := st.Position(fileSource().Name, position(inode, 0).ID); ok != want {
			t.Errorf("inode %d: known %v, want %v", inode, ok, want)
		}
	}
}

func TestNotingAPositionAllocatesNothing(t *testing.T) {
	p := newPipeline(t, Config{})
	src, s := fileSource(), &receiver.Slab{Position: position(1, 1)}
	p.Deliver(src, s)
	if n := testing.AllocsPerRun(1000, func() { p.Deliver(src, s) }); n != 0 {
		t.Errorf("%v allocations for a slab whose file is known", n)
	}
}

func followedState() follow.SetState {
	return follow.SetState{Files: []follow.SavedFile{
		{Path: "/var/log/rsyncd.log", Scope: 1, State: follow.FileState{Positions: []receiver.FilePosition{*position(1, 11), *position(2, 0)}, Rotations: 3, Errors: 4,
			Gaps: map[string]uint64{"truncated": 5, "unread": 0}}},
		{Path: "/x\xff", Scope: 2, State: follow.FileState{Gaps: map[string]uint64{}}},
	}}
}

func TestFollowedFilesAreEncoded(t *testing.T) {
	_, st := newPipeline(t, Config{}).Save()
	st.Followed = followedState()
	b, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeState(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Saved != st.Saved || !reflect.DeepEqual(got.Followed, st.Followed) {
		t.Errorf("got  %+v\nwant %+v", got.Followed, st.Followed)
	}
}

// No prefix of a state is one, nor what has more behind it, nor another version's.
func TestWhatIsNoState(t *testing.T) {
	p := newPipeline(t, Config{})
	p.Deliver(&receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}, slabOf(strings.Split(aPull, "\n")...))
	_, st := p.Save()
	st.Followed = followedState()
	b, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeState(append(b[:len(b):len(b)], 0)); !errors.Is(err, ErrState) {
		t.Errorf("a byte more: %v", err)
	}
	for n := 0; n < len(b); n += 1 + len(b)/500 {
		if _, err := DecodeState(b[:n]); !errors.Is(err, ErrState) {
			t.Fatalf("%d of %d bytes: %v", n, len(b), err)
		}
	}
	st.Sessions.Sessions[0].Phase = 99
	if p, err := New(Config{LogFormat: defaultFormat, State: st, Limits: rsynclog.DefaultLimits()}); p != nil || !errors.Is(err, ErrState) {
		t.Errorf("a session of an unknown phase: %v", err)
	}
	_, st = newPipeline(t, Config{}).Save()
	st.Books.Series = -1
	if p, err := New(Config{LogFormat: defaultFormat, State: st, Limits: rsynclog.DefaultLimits()}); p != nil || !errors.Is(err, ErrState) {
		t.Errorf("books of a negative weight: %v", err)
	}
}

// FuzzDecodeState: nothing makes decoding or restoring panic, nor take memory out of proportion; and what is taken can be shown.
func FuzzDecodeState(f *testing.F) {
	p := newPipeline(f, Config{Modules: []string{"data"}})
	p.Local()
	udp := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
	p.Deliver(udp, slabOf(strings.Split(aPull, "\n")...))
	for _, followed := range []follow.SetState{{}, followedState()} {
		_, st := p.Save()
		st.Followed = followed
		b, err := st.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		st, err := DecodeState(b)
		runtime.ReadMemStats(&after)
		if most := uint64(64<<20 + 4096*len(b)); after.TotalAlloc-before.TotalAlloc > most {
			t.Fatalf("%d bytes allocated for %d, want at most %d", after.TotalAlloc-before.TotalAlloc, len(b), most)
		}
		if err != nil {
			if !errors.Is(err, ErrState) {
				t.Fatalf("not an ErrState: %v", err)
			}
			return
		}
		n, err := New(Config{LogFormat: defaultFormat, Tags: []string{"*"}, MaxSeries: 1000, Limits: rsynclog.DefaultLimits(), State: st})
		if err != nil {
			return
		}
		n.Deliver(udp, slabOf(strings.Split(aPull, "\n")...))
		exposition(t, n)
		if _, err := DecodeState(mustEncode(t, n)); err != nil {
			t.Fatalf("what was restored can't be saved and read: %v", err)
		}
	})
}

func mustEncode(t testing.TB, p *Pipeline) []byte {
	t.Helper()
	_, st := p.Save()
	b, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// filled returns a pipeline with 10,000 series, all weights used, and a table of sessions that is full.
func filled(t testing.TB) *Pipeline {
	t.Helper()
	p := newPipeline(t, Config{})
	src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
	say := func(host, pid int, text string) {
		p.Deliver(src, slabOf(fmt.Sprintf("<30>Nov 23 18:40:52 backup-server-%d.example.org rsyncd[%d]: %s", host, pid, text)))
	}
	for i := range 32768 {
		host, pid, module := i%100, 100+i, fmt.Sprintf("module-%d", i%700)
		say(host, pid, "connect from localhost (127.0.0.1)")
		say(host, pid, fmt.Sprintf("rsync allowed access on module %s from localhost (127.0.0.1)", module))
		say(host, pid, fmt.Sprintf("rsync to %s/ from user%d@localhost (127.0.0.1)", module, i%3000))
		say(host, pid, fmt.Sprintf("recv localhost [127.0.0.1] %s (user%d) a/b %d", module, i%3000, i*i))
		if i%4 == 0 {
			say(host, pid, fmt.Sprintf("sent %d bytes  received %d bytes  total size %d", i, i*i, i*i*i))
			say(host, pid, "rsync error: some files could not be transferred (code 23) at main.c(1) [generator=3.5.0]")
		}
	}
	endAll(p, 3*time.Second) // those with a summary
	return p
}

// FAULTS.md D9. Sessions are beside it: they come to about 2 MiB more where the table is full.
func TestSizeAtTheCap(t *testing.T) {
	p := filled(t)
	_, st := p.Save()
	if st.Books.Series < 9900 || len(st.Sessions.Sessions) != 32768 {
		t.Fatalf("a weight of %d series and %d sessions: not full", st.Books.Series, len(st.Sessions.Sessions))
	}
	whole, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	st.Sessions.Sessions = nil
	books, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, %d without sessions", len(whole), len(books))
	if len(books) > 2<<20 || len(whole) > 6<<20 {
		t.Errorf("%d bytes, %d without sessions; want at most 6 MiB and 2 MiB", len(whole), len(books))
	}
}

// BenchmarkSave measures what is done under the lock, with 10,000 series and 32,768 sessions, and apart from it what is done without.
func BenchmarkSave(b *testing.B) {
	p := filled(b)
	b.Run("locked", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			room := rsynclog.Room(p.sessions.Len())
			b.StartTimer()
			p.tick(p.clock.now())
			p.store.Snapshot(p.sessions, p.clock.behind())
			p.sessions.State(p.clock.now(), room)
		}
	})
	b.Run("snapshot alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Snapshot()
		}
	})
	var st *State
	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, st = p.Save()
		}
	})
	var payload []byte
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			payload, _ = st.Encode()
		}
		b.SetBytes(int64(len(payload)))
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeState(payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}
