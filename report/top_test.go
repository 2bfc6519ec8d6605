package report

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/rsynclog"
)

// Tests of the bounded tables go through their own methods: what is asserted is a bound that no
// Summary shows, and a log that fills a table is too long for a test.

// testRoom keeps the tests short.
const testRoom = 1 << 10

func addr(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255) }

func TestPathsStayWithinTheirBounds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for name, ids := range testenv.Streams(rnd, testRoom) {
		t.Run(name, func(t *testing.T) {
			p, twin := pathTopOf(testRoom), pathTopOf(testRoom)
			exact, sizes := map[string]uint64{}, map[string]uint64{}
			var all uint64
			for _, id := range ids {
				path, n := fmt.Sprintf("pool/%d/file_%d.deb", id%7, id), uint64(1)
				if id%100 == 3 {
					n = 5
				}
				p.add("m", []byte(path), n, n*uint64(id))
				twin.add("m", []byte(path), n, n*uint64(id))
				exact[path] += n
				sizes[path] = uint64(id)
				all += n
			}
			if len(p.entries) > testRoom || p.floor == 0 || p.floor > all/(testRoom/2) {
				t.Errorf("%d entries, floor %d of %d", len(p.entries), p.floor, all)
			}
			list, atMost := p.list(50)
			listed := map[string]bool{}
			for _, e := range list {
				listed[e.Path] = true
				if e.Count > exact[e.Path] || e.Count+e.Error < exact[e.Path] || e.Bytes != e.Count*sizes[e.Path] {
					t.Errorf("%+v is %d", e, exact[e.Path])
				}
			}
			for path, n := range exact {
				if !listed[path] && n > *atMost {
					t.Errorf("%s isn't in the list with %d, more than %d", path, n, *atMost)
				}
			}
			if same, _ := twin.list(50); !slices.Equal(list, same) {
				t.Error("the same log gives another list")
			}
			if name == "one behind a flood" && !listed["pool/0/file_0.deb"] {
				t.Error("the one that came most often is missing")
			}
		})
	}
}

func TestPathsWithRoomAreExact(t *testing.T) {
	p := newPathTop()
	long := make([]byte, 200)
	for i := range long {
		long[i] = byte('a' + i%26)
	}
	p.add("m", []byte("x"), 2, 20)
	p.add("n", []byte("x"), 1, 10)
	p.add("m", []byte(`a\#033[31mb`), 3, 0)
	p.add("m", long, 4, 0)
	p.add("m", []byte("x"), 3, 30)
	// m/x: 2+3 = 5 transfers, 50 bytes.
	want := []Path{
		{Path: "x", Module: "m", Count: 5, Bytes: 50},
		{Path: "…" + string(long[75:]), Module: "m", Count: 4}, // 3 bytes and 125
		{Path: "a\uFFFD[31mb", Module: "m", Count: 3},
		{Path: "x", Module: "n", Count: 1, Bytes: 10},
	}
	for n, most := range []uint64{5, 4, 3, 1, 0, 0} {
		if got, atMost := p.list(n); !slices.Equal(got, want[:min(n, len(want))]) || *atMost != most {
			t.Errorf("first %d: %+v, others at most %d", n, got, *atMost)
		}
	}
}

func TestPathLabelsAreFitToBeShown(t *testing.T) {
	for raw, want := range map[string]string{
		"plain": "plain", "": "",
		`caf\#303\#251`:                        "café",
		"\xff/\x1b[2J":                         "\uFFFD/\uFFFD[2J",
		string(slices.Repeat([]byte("é"), 64)): string(slices.Repeat([]byte("é"), 64)),
	} {
		if got := pathLabel([]byte(raw), false); got != want {
			t.Errorf("%q becomes %q, want %q", raw, got, want)
		}
	}
	// Bytes that can't be read take three each: 128 of them separate "a", the end is kept.
	bad := []byte{}
	for range 64 {
		bad = append(bad, 0xff, 'a')
	}
	if got := pathLabel(bad, false); len(got) > rsynclog.MaxLabel || got[len(got)-1] != 'a' {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if got := pathLabel([]byte("\xa9/end"), true); got != "…/end" {
		t.Errorf("half a letter becomes %q", got)
	}
}

func TestKnownPathsAllocateNothing(t *testing.T) {
	p, path := newPathTop(), []byte("pool/a")
	p.add("m", path, 1, 1)
	if n := testing.AllocsPerRun(100, func() { p.add("m", path, 1, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// heap returns how much the heap grows by what f returns.
func heap(f func() any) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept := f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
}

// Names are as long as they can be: the tables are bounded by bytes.
func TestTablesHaveBoundedMemory(t *testing.T) {
	long := make([]byte, 200)
	for i := range long {
		long[i] = 'x'
	}
	fill := func(f func(id int, text []byte)) {
		for i := range 4 * clientRoom {
			f(i, fmt.Appendf(long[:150:150], "%08d", i))
		}
	}
	for what, x := range map[string]struct {
		limit uint64
		build func() any
	}{
		"clients": {12 << 20, func() any {
			c := clients.NewTop(clientRoom, false)
			fill(func(i int, text []byte) {
				c.Add(addr(i), string(text[len(text)-128:]), Volume{Sessions: 1, Sent: uint64(i)})
			})
			return c
		}},
		"paths": {9 << 20, func() any {
			p := newPathTop()
			fill(func(_ int, text []byte) { p.add("module", text, 1, 1) })
			return p
		}},
		"waste, one file of each client": {9 << 20, func() any {
			w := newWasteSketch(false)
			fill(func(i int, text []byte) {
				s := &rsynclog.Session{SessionRecord: rsynclog.SessionRecord{Addr: addr(i), Module: "module"}}
				w.add(fetcherIn(s), text, 1, 2)
			})
			return w
		}},
		"waste, all files of one client": {9 << 20, func() any {
			w := newWasteSketch(false)
			s := &rsynclog.Session{SessionRecord: rsynclog.SessionRecord{Addr: "192.0.2.1", Module: "module"}}
			fill(func(_ int, text []byte) { w.add(fetcherIn(s), text, 1, 2) })
			return w
		}},
	} {
		if got := heap(x.build); got > x.limit || got < 1<<20 {
			t.Errorf("%s: %.1f MiB, want at most %d and at least 1", what, float64(got)/(1<<20), x.limit>>20)
		} else {
			t.Logf("%s: %.1f MiB", what, float64(got)/(1<<20))
		}
	}
}

// distinct returns a million paths.
func distinct() [][]byte {
	paths := make([][]byte, 1<<20)
	for i := range paths {
		paths[i] = fmt.Appendf(nil, "pool/main/a/package-%d/package_%d.1-2_amd64.deb", i%5000, i)
	}
	return paths
}

func BenchmarkPathTopDistinct(b *testing.B) {
	paths, p, i := distinct(), newPathTop(), 0
	for b.Loop() {
		p.add("debian", paths[i%len(paths)], 1, 1000)
		i++
	}
}

func BenchmarkPathTopKnown(b *testing.B) {
	paths, p, i := distinct()[:1000], newPathTop(), 0
	for b.Loop() {
		p.add("debian", paths[i%len(paths)], 1, 1000)
		i++
	}
}

func BenchmarkWasteDistinct(b *testing.B) {
	paths, w, i := distinct(), newWasteSketch(false), 0
	fetchers := make([]*fetcherOf, 1000)
	for i := range fetchers {
		fetchers[i] = fetcherIn(visitor(addr(i), "debian"))
	}
	for b.Loop() { // 20 sessions at one time
		w.add(fetchers[(i>>10+i%20)%len(fetchers)], paths[i%len(paths)], 1000, 1)
		i++
	}
}
