package report

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/rsynclog"
)

// Bounds of a wasteSketch, about 4 MiB together. Where one is reached, half of all files are
// forgotten.
const (
	wasteFiles   = 24 << 10 // files, each of one client; a map of this size is three quarters full
	wasteClients = 16 << 10 // clients that fetched a file again, each in one module
	wasteText    = 2 << 20  // bytes of their names and of their examples
)

// A wasteSketch finds clients that fetch the same file again: the same path in the same module, with
// the same length. It looks at files whose hash begins with a number of zero bits, and of these at
// each transfer (Wegman's adaptive sampling). So an estimate is what was seen times 2^bits; it is
// exact as long as bits is 0. The hash is the same in each run, so that the same log gives the same
// estimates.
//
// Half a table more or less doesn't change an estimate much that many files add to. One file that is
// fetched very often is either missed or counted for many.
type wasteSketch struct {
	zeros   uint // bits
	files   map[uint64]fetched
	clients map[uint64]*fetcher // only with a file that was fetched again
	text    int                 // bytes of the fetchers' strings

	anonymise bool // show networks instead of clients
}

// fetched is one file as one client fetches it.
type fetched struct {
	client        uint64 // key of clients
	length, times uint64
}

// A fetcher is one client in one module.
type fetcher struct {
	client, module string
	example        string // path of the file that it fetched most often
	file           uint64 // key of that
	times          uint64 // how often
}

// A fetcherOf says who fetches the files of a session: a client, in its module. It doesn't change.
type fetcherOf struct {
	addr, module string
	hash         uint64 // of both
}

// fetcherIn returns nil for a client without an address: two of them may be two or one.
func fetcherIn(s *rsynclog.Session) *fetcherOf {
	if s.Addr == "" {
		return nil
	}
	hash := mix(xxhash.Sum64String(clients.Key(s.Addr, "", false)), xxhash.Sum64String(s.Module), 0)
	return &fetcherOf{s.Addr, s.Module, hash}
}

func newWasteSketch(anonymise bool) *wasteSketch {
	return &wasteSketch{anonymise: anonymise, files: map[uint64]fetched{}, clients: map[uint64]*fetcher{}}
}

// add counts n transfers of a file of the given length to a client; nil is none that counts. It
// doesn't keep the path.
func (w *wasteSketch) add(from *fetcherOf, path []byte, length, n uint64) {
	if from == nil {
		return
	}
	key := mix(from.hash, xxhash.Sum64(path), length)
	if key>>(64-w.zeros) != 0 {
		return
	}
	f := w.files[key]
	f.client, f.length, f.times = from.hash, length, f.times+n
	w.files[key] = f
	if f.times > 1 {
		w.again(from, path, key, f)
	}
	for len(w.files) > wasteFiles || len(w.clients) > wasteClients || w.text > wasteText {
		w.halve()
	}
}

// mix returns a hash of three numbers, in this order.
func mix(a, b, c uint64) uint64 {
	var buf [24]byte
	binary.LittleEndian.PutUint64(buf[0:], a)
	binary.LittleEndian.PutUint64(buf[8:], b)
	binary.LittleEndian.PutUint64(buf[16:], c)
	return xxhash.Sum64(buf[:])
}

// again notes that a file was fetched more than once.
func (w *wasteSketch) again(from *fetcherOf, path []byte, key uint64, f fetched) {
	c := w.clients[f.client]
	if c == nil {
		c = &fetcher{client: clients.Key(from.addr, "", w.anonymise), module: from.module}
		w.clients[f.client] = c
		w.text += len(c.client) + len(c.module)
	}
	if f.times <= c.times {
		return
	}
	if c.times = f.times; c.file != key {
		w.text -= len(c.example)
		c.file, c.example = key, pathLabel(path[max(0, len(path)-pathKept):], len(path) > pathKept)
		w.text += len(c.example)
	}
}

// halve forgets the files whose hash has no further zero, and clients without one that is left.
func (w *wasteSketch) halve() {
	w.zeros++
	again := map[uint64]bool{}
	for key, f := range w.files {
		switch {
		case key>>(64-w.zeros) != 0:
			delete(w.files, key)
		case f.times > 1:
			again[f.client] = true
		}
	}
	for key, c := range w.clients {
		if !again[key] {
			w.text -= len(c.client) + len(c.module) + len(c.example)
			delete(w.clients, key)
		}
	}
}

// list returns the first n clients by bytes that they fetched again, and what all did. The log is of
// so many days.
func (w *wasteSketch) list(n int, days float64) Waste {
	type key struct{ client, module string } // of several clients, if they are shown as networks
	sums := map[key]WasteClient{}
	all := Waste{Sampled: 1 << w.zeros, Clients: []WasteClient{}}
	for _, f := range w.files {
		if f.times < 2 {
			continue
		}
		c := w.clients[f.client]
		k := key{c.client, c.module}
		sum := sums[k]
		sum.Client, sum.Module = c.client, c.module
		if c.times > sum.Times || c.times == sum.Times && c.example < sum.Example {
			sum.Example, sum.Times = c.example, c.times
		}
		again := (f.times - 1) << w.zeros
		sum.Files += again
		over, size := bits.Mul64(again, f.length)
		if over > 0 {
			size = math.MaxUint64
		}
		grow(&sum.Bytes, size)
		grow(&all.Bytes, size)
		sums[k] = sum
	}
	all.PerDay = perDay(all.Bytes, days)
	sorted := slices.SortedFunc(maps.Values(sums), compareWaste)
	for _, c := range sorted[:max(0, min(n, len(sorted)))] {
		c.PerDay = perDay(c.Bytes, days)
		all.Clients = append(all.Clients, c)
	}
	return all
}

func compareWaste(a, b WasteClient) int {
	return cmp.Or(
		cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Files, a.Files), cmp.Compare(a.Client, b.Client),
		cmp.Compare(a.Module, b.Module),
	)
}

// perDay returns 0 where the log is shorter than a day, or its length isn't known.
func perDay(bytes uint64, days float64) float64 {
	if days < 1 {
		return 0
	}
	return float64(bytes) / days
}

func mergeWaste(parts []*Summary, top int, days float64) Waste {
	type key struct{ client, module string }
	sums := map[key]WasteClient{}
	all := Waste{Sampled: 1, AtLeast: len(parts) > 1}
	for _, p := range parts {
		all.Sampled = max(all.Sampled, p.Waste.Sampled)
		all.AtLeast = all.AtLeast || p.Waste.AtLeast
		grow(&all.Bytes, p.Waste.Bytes)
		for _, c := range p.Waste.Clients {
			k := key{c.Client, c.Module}
			sum, ok := sums[k]
			if !ok || c.Times > sum.Times {
				sum.Example, sum.Times = c.Example, c.Times
			}
			sum.Client, sum.Module = c.Client, c.Module
			grow(&sum.Files, c.Files)
			grow(&sum.Bytes, c.Bytes)
			sums[k] = sum
		}
	}
	all.PerDay = perDay(all.Bytes, days)
	all.Clients = slices.AppendSeq([]WasteClient{}, maps.Values(sums))
	slices.SortFunc(all.Clients, compareWaste)
	all.Clients = all.Clients[:max(0, min(top, len(all.Clients)))]
	for i := range all.Clients {
		all.Clients[i].PerDay = perDay(all.Clients[i].Bytes, days)
	}
	return all
}
