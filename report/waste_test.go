package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"rsyncd_exporter/rsynclog"
)

func visitor(addr, module string) *rsynclog.Session {
	return &rsynclog.Session{SessionRecord: rsynclog.SessionRecord{Addr: addr, Module: module}}
}

func TestWasteIsWhatWasFetchedBefore(t *testing.T) {
	w := newWasteSketch(false)
	a, b := visitor("192.0.2.1", "m"), visitor("2001:db8:1:2::1", "m")
	other, nobody := visitor("192.0.2.1", "n"), visitor("", "m")
	for _, x := range []struct {
		s      *rsynclog.Session
		path   string
		length uint64
		n      uint64
	}{
		{a, "x", 100, 1}, {a, "x", 100, 1}, {a, "x", 100, 1}, // 2 again, 200 bytes
		{a, "y", 1000, 1}, {a, "y", 1001, 1}, // has changed
		{a, "z", 7, 2},                                                   // 1 again, 7 bytes
		{b, "x", 500, 1}, {visitor("2001:db8:1:2::9", "m"), "x", 500, 1}, // one /64: 1 again, 500 bytes
		{other, "x", 100, 1}, {other, "x", 100, 1}, // another module: 1 again, 100 bytes
		{nobody, "x", 100, 1}, {nobody, "x", 100, 1}, // who knows
	} {
		w.add(fetcherIn(x.s), []byte(x.path), x.length, x.n)
	}
	got := w.list(2, 2)
	// 200+7+500+100 = 807 bytes in two days.
	if got.Sampled != 1 || got.Bytes != 807 || got.PerDay != 403.5 || len(got.Clients) != 2 {
		t.Errorf("got %+v", got)
	}
	want := []WasteClient{
		{Client: "2001:db8:1:2::/64", Module: "m", Files: 1, Bytes: 500, PerDay: 250, Example: "x", Times: 2},
		{Client: "192.0.2.1", Module: "m", Files: 3, Bytes: 207, PerDay: 103.5, Example: "x", Times: 3},
	}
	for i := range want {
		if got.Clients[i] != want[i] {
			t.Errorf("got %+v, want %+v", got.Clients[i], want[i])
		}
	}
	if w.list(9, 0).PerDay != 0 || w.list(9, 0.9).PerDay != 0 {
		t.Error("bytes a day of less than a day")
	}
}

// fetches makes transfers of so many clients and files, and returns what each client wasted.
func fetches(w *wasteSketch, rnd *rand.Rand, clients, files, n int) (exact map[string][2]uint64, all float64) {
	sessions := make([]*rsynclog.Session, clients)
	for i := range sessions {
		sessions[i] = visitor(addr(i), "m")
		sessions[i].PID = int32(i)
	}
	paths := make([][]byte, files)
	for i := range paths {
		paths[i] = fmt.Appendf(nil, "pool/file_%d.deb", i)
	}
	type fetch struct{ client, file int }
	seen := map[fetch]bool{}
	exact = map[string][2]uint64{}
	for range n {
		f := fetch{rnd.IntN(clients), rnd.IntN(files)}
		length := uint64(1000 + f.file%1000)
		if s := sessions[f.client]; seen[f] {
			sum := exact[s.Addr]
			exact[s.Addr] = [2]uint64{sum[0] + 1, sum[1] + length}
			all += float64(length)
		}
		seen[f] = true
		w.add(fetcherIn(sessions[f.client]), paths[f.file], length, 1)
	}
	return exact, all
}

func TestWasteIsExactWithoutSampling(t *testing.T) {
	w := newWasteSketch(false)
	exact, all := fetches(w, rand.New(rand.NewPCG(7, 8)), 50, 400, 40_000)
	got := w.list(100, 1)
	if got.Sampled != 1 || float64(got.Bytes) != all || len(got.Clients) != len(exact) {
		t.Fatalf("got %d bytes of %d clients, 1/%d; want %.0f of %d",
			got.Bytes, len(got.Clients), got.Sampled, all, len(exact))
	}
	for _, c := range got.Clients {
		if exact[c.Client] != [2]uint64{c.Files, c.Bytes} {
			t.Errorf("got %+v, want %v", c, exact[c.Client])
		}
	}
}

// With m files looked at, each a part of the whole with the same chance, the error is about 1/sqrt(m)
// of the whole. Six times that is never seen; the hash is the same in each run.
func TestWasteIsEstimatedWithSampling(t *testing.T) {
	w := newWasteSketch(false)
	_, all := fetches(w, rand.New(rand.NewPCG(9, 10)), 100, 3_000, 600_000)
	got := w.list(10, 1)
	if got.Sampled < 2 || len(w.files) > wasteFiles || len(w.files) < wasteFiles/3 {
		t.Fatalf("%d files, 1/%d", len(w.files), got.Sampled)
	}
	if off := math.Abs(float64(got.Bytes)-all) / all; off == 0 || off > 6/math.Sqrt(float64(len(w.files))) {
		t.Errorf("estimate is %d, exact %.0f: %.2f %% off", got.Bytes, all, 100*off)
	}
}

func TestWasteForgetsClientsWithTheirFiles(t *testing.T) {
	w := newWasteSketch(false)
	for i := range 3 * wasteClients {
		w.add(fetcherIn(visitor(addr(i), "m")), []byte("x"), 10, 2)
	}
	if len(w.clients) > wasteClients || len(w.clients) < wasteClients/3 || w.zeros != 2 {
		t.Errorf("%d clients, %d files, 1/%d", len(w.clients), len(w.files), 1<<w.zeros)
	}
	text := 0
	for _, c := range w.clients {
		text += len(c.client) + len(c.module) + len(c.example)
	}
	if text != w.text {
		t.Errorf("%d bytes of text, counted %d", text, w.text)
	}
	// Each of 98,304 clients wasted 10 bytes; about 24,576 are looked at, so 6 in 157 may be off.
	all := 10.0 * 3 * wasteClients
	if got := float64(w.list(1, 1).Bytes); math.Abs(got-all) > all*6/157 {
		t.Errorf("estimate is %.0f, exact %.0f", got, all)
	}
}
