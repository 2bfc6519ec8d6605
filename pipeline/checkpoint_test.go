package pipeline_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// again returns a pipeline that goes on from a State.
func again(t testing.TB, st *pipeline.Checkpoint, c pipeline.Config) *pipeline.Pipeline {
	t.Helper()
	b, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if c.Checkpoint, err = pipeline.Decode(b); err != nil {
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
				p := newPipeline(t, pipeline.Config{})
				p.Deliver(src, slabOf(strings.Split(aPull, "\n")...))
				time.Sleep(10 * time.Second)
				_, st := p.Save(nil)
				st.Saved += int64(x.saved)
				time.Sleep(time.Hour)
				p = again(t, st, pipeline.Config{})
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
		b, err := func() ([]byte, error) { _, st := p.Save(nil); return st.Encode() }()
		if err != nil {
			t.Fatal(err)
		}
		if c.Checkpoint, err = pipeline.Decode(b); err != nil {
			t.Fatal(err)
		}
		n, err := pipeline.New(c)
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

// A Checkpoint has the positions that its counts came with, though the file has been read on since.
func TestPositionsAreThoseOfTheCounts(t *testing.T) {
	p, a, b := newPipeline(t, pipeline.Config{}), fileSource(), &receiver.Source{Input: "file", Name: "file 2", Scope: 2, Dialect: syslog.Lines{}}
	deliver := func(src *receiver.Source, at *receiver.FilePosition) {
		s := slabOf("2026/11/23 18:40:52 [7] connect from localhost (127.0.0.1)")
		s.Position = at
		p.Deliver(src, s)
	}
	deliver(a, position(1, 10))
	deliver(b, position(4, 11))
	at := position(2, 20)
	deliver(a, at)
	at.Offset = 1 << 40 // the reader's own, which it changes
	snap, st := p.Save(nil)
	deliver(a, position(1, 30))
	deliver(a, position(3, 40))
	if snap.Received() != 3 {
		t.Errorf("received %d, want 3", snap.Received())
	}
	for _, want := range []*receiver.FilePosition{position(1, 10), position(2, 20), position(4, 11)} {
		if got, ok := st.Counted()[want.ID]; !ok || got != *want {
			t.Errorf("inode %d: offset %d (%v), want %d", want.ID.Inode, got.Offset, ok, want.Offset)
		}
	}
	if _, ok := st.Counted()[position(3, 0).ID]; ok {
		t.Error("the Checkpoint knows what came after it")
	}
	// The follower knows inodes 1 and 4 alone. Inode 3 has come since, and stays.
	known := &follow.Catalogue{Known: []follow.FileRecord{{Pos: *position(1, 10)}, {Pos: *position(4, 11)}}}
	_, st = p.Save(known)
	for inode, want := range map[uint64]bool{1: true, 2: false, 3: true, 4: true} {
		if _, ok := st.Counted()[position(inode, 0).ID]; ok != want {
			t.Errorf("inode %d: known %v, want %v", inode, ok, want)
		}
	}
}

// Without anybody who saves, no position is kept.
func TestPositionsWithoutAState(t *testing.T) {
	p, err := pipeline.New(pipeline.Config{LogFormat: defaultFormat, MaxSeries: 100, Limits: rsynclog.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	p.Deliver(fileSource(), &receiver.Slab{Position: position(1, 10)})
	if _, st := p.Save(nil); len(st.Counted()) != 0 {
		t.Errorf("kept: %+v", st.Counted())
	}
}

func TestPositionsAreBounded(t *testing.T) {
	p := newPipeline(t, pipeline.Config{})
	s := &receiver.Slab{}
	for i := range uint64(pipeline.MaxDelivered + 100) {
		for _, inode := range []uint64{i, 0} { // inode 0 is always in use
			s.Position = position(inode, 1)
			p.Deliver(fileSource(), s)
		}
	}
	_, st := p.Save(nil)
	if n := len(st.Counted()); n != pipeline.MaxDelivered {
		t.Errorf("%d positions, want %d", n, pipeline.MaxDelivered)
	}
	for inode, want := range map[uint64]bool{0: true, 1: false, 100: false, 102: true, pipeline.MaxDelivered + 99: true} {
		if _, ok := st.Counted()[position(inode, 0).ID]; ok != want {
			t.Errorf("inode %d: known %v, want %v", inode, ok, want)
		}
	}
}

func TestNotingAPositionAllocatesNothing(t *testing.T) {
	p := newPipeline(t, pipeline.Config{})
	src, s := fileSource(), &receiver.Slab{Position: position(1, 1)}
	p.Deliver(src, s)
	if n := testing.AllocsPerRun(1000, func() { p.Deliver(src, s) }); n != 0 {
		t.Errorf("%v allocations for a slab whose file is known", n)
	}
}

func catalogue() follow.Catalogue {
	c := follow.Catalogue{
		Targets: []follow.TargetRecord{
			{Path: "/var/log/rsyncd.log", Scope: 1, Rotations: 3, Errors: 4}, {Path: "/x\xff", Scope: 2},
		},
		Known: []follow.FileRecord{{Pos: *position(1, 11)}, {Pos: *position(2, 0)}},
	}
	c.Targets[0].Gaps[follow.GapTruncated] = 5
	return c
}

// fill gives every field below v a value of its own that isn't zero.
func fill(v reflect.Value, next *uint64) {
	*next++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), next)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range v.Len() {
			fill(v.Index(i), next)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), next)
		}
	case reflect.String:
		v.SetString(string(rune('a' + *next%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(1 + *next%255)
	case reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		v.SetUint(*next)
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*next))
	default:
		panic("nothing to fill a " + v.Type().String() + " with")
	}
}

// Whatever the follower keeps of a file comes back: a field that isn't encoded would be zero.
func TestEveryFieldOfAFollowedFileIsKept(t *testing.T) {
	_, st := newPipeline(t, pipeline.Config{}).Save(nil)
	next := uint64(0)
	fill(reflect.ValueOf(&st.Followed).Elem(), &next)
	b, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := pipeline.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Saved != st.Saved || !reflect.DeepEqual(got.Followed, st.Followed) {
		t.Errorf("got  %+v\nwant %+v", got.Followed, st.Followed)
	}
}

// No prefix of a state is one, nor what has more behind it, nor another version's. Nothing makes Decode or New panic.
func TestWhatIsNoState(t *testing.T) {
	p := newPipeline(t, pipeline.Config{})
	p.Deliver(&receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}, slabOf(strings.Split(aPull, "\n")...))
	_, st := p.Save(nil)
	st.Followed = catalogue()
	b, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pipeline.Decode(append(b[:len(b):len(b)], 0)); !errors.Is(err, pipeline.ErrCheckpoint) {
		t.Errorf("a byte more: %v", err)
	}
	for n := 0; n < len(b); n += 1 + len(b)/500 {
		if _, err := pipeline.Decode(b[:n]); !errors.Is(err, pipeline.ErrCheckpoint) {
			t.Fatalf("%d of %d bytes: %v", n, len(b), err)
		}
		damaged := slices.Clone(b)
		damaged[n] ^= 0x55
		if st, err := pipeline.Decode(damaged); err == nil {
			_, err = pipeline.New(pipeline.Config{LogFormat: defaultFormat, Checkpoint: st, Limits: rsynclog.DefaultLimits()})
			if err != nil && !errors.Is(err, pipeline.ErrCheckpoint) {
				t.Fatalf("byte %d is damaged: %v", n, err)
			}
		}
	}
	later, err := checkpoint.Encode(4, st)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pipeline.Decode(later); !errors.Is(err, pipeline.ErrCheckpoint) || !strings.Contains(err.Error(), "format 4") {
		t.Errorf("a later format: %v", err)
	}
	for name, spoil := range map[string]func(*pipeline.Checkpoint){
		"a session of an unknown phase": func(st *pipeline.Checkpoint) { st.Sessions.Sessions[0].Phase = 99 },
		"talkers of no host":            func(st *pipeline.Checkpoint) { st.Sessions.Talkers[0].Origin = 99 },
		"other buckets":                 func(st *pipeline.Checkpoint) { st.Books.Buckets = nil },
	} {
		st, err := pipeline.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		spoil(st)
		if p, err := pipeline.New(pipeline.Config{LogFormat: defaultFormat, Checkpoint: st, Limits: rsynclog.DefaultLimits()}); p != nil || !errors.Is(err, pipeline.ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// filled returns a pipeline with 10,000 series, all weights used, and a table of sessions that is full.
func filled(t testing.TB) *pipeline.Pipeline {
	t.Helper()
	p := newPipeline(t, pipeline.Config{})
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
	p.EndAll(3 * time.Second) // those with a summary
	return p
}

// FAULTS.md D9. Sessions are beside it: they come to about 2 MiB more where the table is full.
func TestSizeAtTheCap(t *testing.T) {
	p := filled(t)
	_, st := p.Save(nil)
	overflow := 0.0
	for name, n := range gathered(t, p) {
		if strings.HasPrefix(name, "rsyncd_exporter_label_overflow_total") {
			overflow += n
		}
	}
	if overflow == 0 || len(st.Sessions.Sessions) != 32768 {
		t.Fatalf("%v labels overflow and there are %d sessions: not full", overflow, len(st.Sessions.Sessions))
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
			room := rsynclog.Room(p.Sessions().Len())
			b.StartTimer()
			p.CopyLocked(room)
		}
	})
	b.Run("snapshot alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Snapshot()
		}
	})
	var st *pipeline.Checkpoint
	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, st = p.Save(nil)
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
			if _, err := pipeline.Decode(payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}
