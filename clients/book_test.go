package clients_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status/api"
)

// noon is when tests begin: a border of five minutes, not of a day.
func noon() int64 { return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC).UnixNano() }

const (
	minute = int64(time.Minute)
	hour   = int64(time.Hour)
	day    = 24 * hour
)

// end counts a session whose last line was written at a time, while the wall clock shows another.
// The clock of the sessions is an hour behind it.
func end(b *clients.Book, wall, at int64, addr, name string, sent, received uint64) {
	s := &rsynclog.Session{SessionRecord: rsynclog.SessionRecord{Addr: addr, Name: name, LastSeen: at - hour}}
	b.Apply([]rsynclog.Change{{Kind: rsynclog.Ended, Session: s, N: 1, Sent: sent, Received: received}}, wall-hour, wall)
}

func newBook(c clients.Config) *clients.Book {
	c.Now = noon()
	return clients.NewBook(nil, c)
}

// window returns one of a book's windows, by its name.
func window(t *testing.T, b *clients.Book, now int64, name string) api.ClientWindow {
	t.Helper()
	list := b.Record().Windows(now, 20, clients.Groups{}, nil)
	i := slices.IndexFunc(list, func(w api.ClientWindow) bool { return w.Window == name })
	if i < 0 {
		t.Fatalf("no window %s", name)
	}
	return list[i]
}

// shownAs is what /api/v1 shows.
func shownAs(t *testing.T, w []api.ClientWindow) string {
	t.Helper()
	b, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// restart passes a record through the form in which it is saved.
func restart(t *testing.T, r *clients.Record, c clients.Config) *clients.Book {
	t.Helper()
	var saved bytes.Buffer
	if err := gob.NewEncoder(&saved).Encode(r); err != nil {
		t.Fatal(err)
	}
	var back clients.Record
	if err := gob.NewDecoder(&saved).Decode(&back); err != nil {
		t.Fatal(err)
	}
	return clients.NewBook(&back, c)
}

func TestEachSessionIsInTheWindowsOfItsTime(t *testing.T) {
	b := newBook(clients.Config{})
	start := noon()
	for _, s := range []struct {
		ago  int64
		addr string
		sent uint64
	}{
		{0, "192.0.2.1", 1}, {30 * minute, "192.0.2.2", 10}, {3 * hour, "2001:db8::1", 100}, {4 * day, "192.0.2.1", 1000},
		{40 * day, "192.0.2.9", 10000}, // in no window
		{-hour, "", 100000},            // by a clock that was ahead: now
	} {
		end(b, start, start-s.ago, s.addr, "", s.sent, 2)
	}
	for name, want := range map[string]api.Volume{
		"1h": {Sessions: 3, Sent: 100011, Received: 6}, "24h": {Sessions: 4, Sent: 100111, Received: 8},
		"30d": {Sessions: 5, Sent: 101111, Received: 10},
	} {
		if got := window(t, b, start, name).Total; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	w := window(t, b, start, "30d")
	if first := w.Clients[1]; len(w.Clients) != 4 || first.Client != "192.0.2.1" || first.Sent != 1001 || first.Sessions != 2 {
		t.Errorf("the clients of a month are %+v", w.Clients)
	}
	if w.Families["ipv6"] != (api.Volume{Sessions: 1, Sent: 100, Received: 2}) || w.Families["unknown"].Sent != 100000 {
		t.Errorf("the families of a month are %+v", w.Families)
	}
	if got := time.Unix(0, start-40*day).UTC(); !w.Since.Equal(time.Date(2026, 10, 31, 0, 0, 0, 0, time.UTC)) || !got.Before(w.Since) {
		t.Errorf("a month begins %v", w.Since)
	}
	var all clients.Volume
	for _, s := range b.Record().Sums {
		all.Add(s.Volume)
	}
	if all != (clients.Volume{Sessions: 6, Sent: 111111, Received: 12}) {
		t.Errorf("all sums are %+v", all)
	}
}

// A window ends what began in it at the border of a bucket, and nothing is lost on the way to the larger ones.
func TestBucketsPassOnWhatTheyHave(t *testing.T) {
	b := newBook(clients.Config{})
	at := noon() + 61*int64(time.Second)
	end(b, at, at, "192.0.2.1", "", 7, 0)
	in := func(now int64) (names string) {
		for _, name := range []string{"1h", "24h", "30d"} {
			if window(t, b, now, name).Total.Sent == 7 {
				names += name + " "
			}
		}
		return names
	}
	now := noon()
	for _, c := range []struct {
		after int64 // since noon
		want  string
	}{
		{2 * minute, "1h 24h 30d "}, {65*minute - 1, "1h 24h 30d "}, {65 * minute, "24h 30d "}, {25*hour - 1, "24h 30d "},
		{25 * hour, "30d "}, {30*day + 12*hour - 1, "30d "}, {30*day + 12*hour, ""},
	} {
		for ; now < noon()+c.after; now = min(now+hour/4, noon()+c.after) {
			b.Apply(nil, now-hour, now)
		}
		if got := in(now); got != c.want {
			t.Errorf("%v after noon: in %q, want %q", time.Duration(c.after), got, c.want)
		}
	}
	for range 10 {
		now += minute
		b.Apply(nil, now-hour, now)
	}
	if r := b.Record(); len(r.Buckets) != 0 || r.Sums[0].Sent != 7 {
		t.Errorf("%d buckets stay, sums %+v", len(r.Buckets), r.Sums)
	}
}

// A backlog gives what live reading would have given.
func TestBacklogIsAsLiveReading(t *testing.T) {
	live, late := newBook(clients.Config{}), newBook(clients.Config{})
	rnd := rand.New(rand.NewPCG(1, 2))
	now := noon()
	for i := range 3000 {
		ago := (3000 - int64(i)) * 10 * minute // of 21 days
		addr := fmt.Sprintf("192.0.2.%d", rnd.IntN(200))
		end(live, now-ago, now-ago, addr, "", uint64(i), 1)
		end(late, now, now-ago, addr, "", uint64(i), 1)
	}
	a, b := live.Record().Windows(now, 300, clients.Groups{}, nil), late.Record().Windows(now, 300, clients.Groups{}, nil)
	if shownAs(t, a) != shownAs(t, b) || len(a[2].Clients) != 200 || a[0].Total.Sessions != 6 {
		t.Errorf("live %+v\nbacklog %+v", a[0], b[0])
	}
}

// A load is what a month brought: exact figures, for comparison.
type load struct {
	clients map[string]clients.Volume
	total   clients.Volume
}

// check holds the month's window against the exact figures.
func (l *load) check(t *testing.T, w api.ClientWindow) {
	t.Helper()
	if clients.Volume(w.Total) != l.total {
		t.Errorf("total %+v, want %+v", w.Total, l.total)
	}
	sum, families := clients.Volume(w.Rest.Volume), clients.Volume{}
	listed := map[string]bool{}
	var worst clients.Volume
	for _, c := range w.Clients {
		sum.Add(clients.Volume(c.Volume))
		listed[c.Client] = true
		most := clients.Volume(c.Volume)
		if c.Error != nil {
			most.Add(clients.Volume(*c.Error))
			worst = worst.Max(clients.Volume(*c.Error))
		}
		is := l.clients[c.Client]
		if clients.Volume(c.Volume).Max(is) != is || most.Min(is) != is {
			t.Errorf("%s: counted %+v, at most %+v, is %+v", c.Client, c.Volume, most, is)
		}
	}
	for _, v := range w.Families {
		families.Add(clients.Volume(v))
	}
	if sum != l.total || families != l.total {
		t.Errorf("list and rest are %+v, families %+v, want %+v", sum, families, l.total)
	}
	bound := clients.Volume(w.Rest.Volume)
	if w.Rest.AtMost != nil {
		bound = clients.Volume(*w.Rest.AtMost)
	}
	for c, v := range l.clients {
		if !listed[c] && bound.Max(v) != bound {
			t.Fatalf("%s is not listed with %+v, more than %+v", c, v, bound)
		}
	}
	const share = clients.ErrorShare
	limit := clients.Volume{Sessions: l.total.Sessions / share, Sent: l.total.Sent / share, Received: l.total.Received / share}
	if worst.Max(limit) != limit {
		t.Errorf("an error is %+v, more than 1/%d of %+v", worst, share, l.total)
	}
	t.Logf("%d clients, errors up to %+v of %+v", len(l.clients), worst, l.total)
}

// A million clients come within a month, a few of them often. Figures stay within their bounds.
func TestAMillionClients(t *testing.T) {
	const rare, often = 1_000_000, 1 << 17
	rnd := rand.New(rand.NewPCG(3, 4))
	zipf := rand.NewZipf(rnd, 1.02, 40, often-1)
	exact := load{clients: map[string]clients.Volume{}}
	b, now := newBook(clients.Config{}), noon()
	for i := range rare + often {
		now += 29 * day / (rare + often)
		id, v := often+i, clients.Volume{Sessions: 1, Sent: uint64(i % 100)}
		if i%8 == 0 {
			id, v.Sent, v.Received = int(zipf.Uint64()), rnd.Uint64N(1<<30), uint64(i%7)
		}
		client := fmt.Sprintf("10.%d.%d.%d", id>>16, id>>8&255, id&255)
		end(b, now, now, client, "", v.Sent, v.Received)
		exact.total.Add(v)
		if id < often { // the others come once
			exact.clients[client] = exact.clients[client].Plus(v)
		} else if i >= rare {
			exact.clients[client] = v
		}
	}
	exact.check(t, window(t, b, now, "30d"))
}

// Every bucket is full of clients with long names. What a Book holds, what a save takes and what a look copies stay bounded.
func TestMemoryIsBounded(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	b, now := newBook(clients.Config{}), noon()
	for from := now - 31*day; from < now; {
		width := 5 * minute
		switch {
		case from < now-25*hour:
			width = day
		case from < now-65*minute:
			width = hour
		}
		for i := range 2000 { // each comes once, with figures of its own
			addr := fmt.Sprintf("2001:db8:%x:%x::1", i, from/minute&0xffff)
			name := fmt.Sprintf("%d.%d.%050d.example.org", i, from, i)
			end(b, now, from+int64(i), addr, name[len(name)-64:], uint64(i*7919%2000)<<20, uint64(i))
		}
		from += width
	}
	kept := heap() - before
	r := b.Record()
	var saved bytes.Buffer
	if err := gob.NewEncoder(&saved).Encode(r); err != nil {
		t.Fatal(err)
	}
	if kept < 1<<20 || kept > 8<<20 || saved.Len() > 4<<20 || len(r.Buckets) < 60 || len(r.Buckets) > 80 {
		t.Errorf("%.1f MiB are kept, want at most 8; %.1f are saved, want at most 4; in %d buckets", float64(kept)/(1<<20),
			float64(saved.Len())/(1<<20), len(r.Buckets))
	}
	t.Logf("%.1f MiB kept, %.1f saved", float64(kept)/(1<<20), float64(saved.Len())/(1<<20))
	if strings.Count(saved.String(), ".example.org") < 20_000 {
		t.Error("no names are kept, so that nothing has been tried")
	}
	runtime.KeepAlive(b)
}

// Each of many addresses comes once and moves as much as it likes. Who has 2 % of the sessions stays in the list.
func TestAFloodOfAddressesHidesNobody(t *testing.T) {
	b, now := newBook(clients.Config{}), noon()
	exact := load{clients: map[string]clients.Volume{}}
	for i := range 200_000 {
		now += 30 * int64(time.Second) / 10
		addr, v := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), clients.Volume{Sessions: 1, Sent: uint64(i%1000) << 10}
		if i%50 == 49 {
			addr, v.Sent = "192.0.2.7", 5<<10
		}
		end(b, now, now, addr, "", v.Sent, 0)
		exact.clients[addr] = exact.clients[addr].Plus(v)
		exact.total.Add(v)
	}
	w := window(t, b, now, "30d")
	exact.check(t, w)
	// 200,000/50 = 4,000 sessions, of which an error of 1/128 of 200,000 leaves 2,438 at least.
	i := slices.IndexFunc(w.Clients, func(c api.ClientVolume) bool { return c.Client == "192.0.2.7" })
	if i < 0 || w.Clients[i].Sessions > 4000 || w.Clients[i].Sessions < 2438 {
		t.Errorf("the one who comes often is not listed rightly: %+v", w.Clients)
	}
}

// A book that is saved and restored again and again counts what one does that goes on, and its sums never fall.
func TestRestartsLoseNothing(t *testing.T) {
	whole, parts := newBook(clients.Config{}), newBook(clients.Config{})
	rnd := rand.New(rand.NewPCG(5, 6))
	exact := load{clients: map[string]clients.Volume{}}
	now := noon()
	var before []clients.Sum
	for i := range 30_000 {
		now += 20 * int64(time.Second)
		addr, v := fmt.Sprintf("192.0.%d.%d", rnd.IntN(9), rnd.IntN(250)), clients.Volume{Sessions: 1, Sent: rnd.Uint64N(1 << 30)}
		for _, b := range []*clients.Book{whole, parts} {
			end(b, now, now, addr, "", v.Sent, 0)
		}
		exact.clients[addr] = exact.clients[addr].Plus(v)
		exact.total.Add(v)
		if i%1000 != 0 {
			continue
		}
		r := parts.Record()
		for j, s := range before {
			if is := r.Sums[j]; is.Created != s.Created || is.Family != s.Family || is.Volume.Max(s.Volume) != is.Volume {
				t.Fatalf("%+v became %+v", s, is)
			}
		}
		before = r.Sums
		parts = restart(t, r, clients.Config{Now: now})
	}
	exact.check(t, window(t, parts, now, "30d"))
	for _, name := range []string{"1h", "24h", "30d"} {
		if a, b := window(t, whole, now, name), window(t, parts, now, name); a.Total != b.Total || !a.Since.Equal(b.Since) {
			t.Errorf("%s: %+v since %v, without restarts %+v since %v", name, b.Total, b.Since, a.Total, a.Since)
		}
	}
}

// What is copied doesn't change while the book goes on.
func TestARecordIsACopy(t *testing.T) {
	b, now := newBook(clients.Config{}), noon()
	for i := range 5000 {
		end(b, now, now, fmt.Sprintf("10.0.%d.%d", i>>8, i&255), "", uint64(i), 1)
	}
	r := b.Record()
	look := func() string { return shownAs(t, r.Windows(now, 10, clients.Groups{}, nil)) + fmt.Sprint(r.Sums) }
	before := look()
	for i := range 5000 {
		end(b, now, now, fmt.Sprintf("10.0.%d.%d", i>>8, i&255), "", uint64(i), 1) // in the bucket that is open
	}
	for i := range 5000 {
		end(b, now+2*hour, now-int64(i)*minute, fmt.Sprintf("10.1.%d.%d", i>>8, i&255), "x", uint64(i), 1)
	}
	if look() != before {
		t.Error("a copy has changed")
	}
}

// The clock is set back by two days. What was counted until then stays whole, and what comes then is in the last hour.
func TestClockSetBack(t *testing.T) {
	b, now := newBook(clients.Config{}), noon()
	for i := range int64(100) {
		end(b, now, now-i*30*minute, "192.0.2.1", "", 1, 0)
	}
	now -= 2 * day
	for i := range int64(300) {
		end(b, now, now, "192.0.2.2", "", 1000, 0)
		if i%100 == 99 {
			now += minute
		}
		if n := len(b.Record().Buckets); n > 100 {
			t.Fatalf("%d buckets", n)
		}
	}
	w := window(t, b, now, "30d")
	if w.Total != (api.Volume{Sessions: 400, Sent: 300100}) || len(w.Clients) != 2 || w.Clients[0].Client != "192.0.2.2" {
		t.Errorf("after the clock was set back: %+v", w)
	}
	if hour := window(t, b, now, "1h"); hour.Clients[0].Sent != 300000 {
		t.Errorf("the last hour is %+v", hour)
	}
	for range 3 * 60 {
		now += minute
		b.Apply(nil, now-hour, now)
	}
	if w := window(t, b, now, "1h"); w.Total != (api.Volume{}) {
		t.Errorf("three hours later the last hour has %+v", w.Total)
	}
	now += 40 * day // and nothing stays for ever
	for range 200 {
		now += minute
		b.Apply(nil, now-hour, now)
	}
	if r := b.Record(); len(r.Buckets) != 0 {
		t.Errorf("%d buckets stay", len(r.Buckets))
	}
}

// A session that has another summary adds its bytes, and is no second session.
func TestAmendedSessions(t *testing.T) {
	b, now := newBook(clients.Config{}), noon()
	end(b, now, now, "192.0.2.1", "a.example.org", 100, 10)
	s := &rsynclog.Session{SessionRecord: rsynclog.SessionRecord{Addr: "192.0.2.1", LastSeen: now - hour}}
	b.Apply([]rsynclog.Change{{Kind: rsynclog.FileFailed, Session: s, N: 1}, {Kind: rsynclog.Connected, N: 1},
		{Kind: rsynclog.Amended, Session: s, N: 1, Sent: 5, Received: 1}, {Kind: rsynclog.Resumed, Session: s, N: 1}}, now-hour, now)
	want := []api.ClientVolume{{Client: "192.0.2.1", Name: "a.example.org", Volume: api.Volume{Sessions: 1, Sent: 105, Received: 11}}}
	if got := window(t, b, now, "1h").Clients; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Groups change between restarts: a counter of an old one stays what it was.
func TestGroupsChange(t *testing.T) {
	groups := func(s string) clients.Groups {
		g, err := clients.ParseGroups(s)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	now := noon()
	b := newBook(clients.Config{Groups: groups("mirrors=192.0.2.0/24;bots=198.51.100.0/24")})
	end(b, now, now, "192.0.2.1", "", 1, 0)
	end(b, now, now, "203.0.113.1", "", 10, 0)
	end(b, now, now, "", "", 100, 0)
	later := groups("lab=192.0.2.0/25")
	b = restart(t, b.Record(), clients.Config{Groups: later, Now: now})
	end(b, now, now, "192.0.2.1", "", 1000, 0)
	got := map[string]uint64{}
	for _, s := range b.Record().Sums {
		got[s.Group+" "+s.Family] = s.Sent
	}
	for key, want := range map[string]uint64{"mirrors ipv4": 1, "bots ipv4": 0, "other ipv4": 10, "other unknown": 100, "lab ipv4": 1000,
		"lab ipv6": 0, "mirrors ipv6": 0} {
		if n, ok := got[key]; !ok || n != want {
			t.Errorf("%s: %d, want %d", key, n, want)
		}
	}
	w := b.Record().Windows(now, 9, later, nil)[0]
	if w.Clients[0].Group != "lab" || w.Groups["mirrors"].Sent != 1 || w.Groups["lab"].Sent != 1000 || w.Groups["other"].Sent != 110 {
		t.Errorf("groups of the window are %+v, of the client %+v", w.Groups, w.Clients[0])
	}
}

// A client of the lists is a network, which can be of several groups and places: each address counts for its own. So does a name that looks
// like an address.
func TestNeighboursOfOtherGroups(t *testing.T) {
	g, err := clients.ParseGroups("a=2001:db8::1;b=2001:db8::2;c=192.0.2.1;d=192.0.2.2")
	if err != nil {
		t.Fatal(err)
	}
	db, err := clients.LoadPlaces(testenv.WriteNetworks(t, "GeoLite2-Country", map[string]mmdbtype.DataType{
		"2001:db8::1/128": testenv.Country("DE"), "192.0.2.2/32": testenv.Country("FR"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, anonymise := range []bool{false, true} {
		b, now := newBook(clients.Config{Groups: g, Places: db, Anonymise: anonymise}), noon()
		for i, addr := range []string{"2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2", "2001:db8::3", "2001:db8::1", ""} {
			end(b, now, now, addr, "192.0.2.1", 1<<(4*i), 0)
		}
		got, want := map[string]uint64{}, map[string]uint64{"a ipv6 DE": 0x100001, "b ipv6 unknown": 0x10, "c ipv4 unknown": 0x100, "d ipv4 FR": 0x1000,
			"other ipv6 unknown": 0x10000, "other unknown unknown": 0x1000000}
		for _, s := range b.Record().Sums {
			if s.Sent > 0 {
				got[s.Group+" "+s.Family+" "+s.Place] = s.Sent
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("ANONYMISE %v: %v, want %v", anonymise, got, want)
		}
	}
}

// There are more places than have room: those beyond are one.
func TestPlacesAreBounded(t *testing.T) {
	records := map[string]mmdbtype.DataType{}
	const places = clients.MaxPlaced + 50
	for i := range places {
		records[fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255)] = mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64496 + i)}
	}
	db, err := clients.LoadPlaces(testenv.WriteNetworks(t, "GeoLite2-ASN", records))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	b, now := newBook(clients.Config{Places: db}), noon()
	for i := range places {
		end(b, now, now, fmt.Sprintf("10.%d.%d.7", i>>8, i&255), "", 1, 0)
	}
	end(b, now, now, "192.0.2.1", "", 1, 0)
	end(b, now, now, "2001:db8::1", "", 1, 0)
	b = restart(t, b.Record(), clients.Config{Places: db, Now: now})
	end(b, now, now, "10.0.0.7", "", 1, 0)
	end(b, now, now, "10.1.50.7", "", 1, 0)
	w := b.Record().Windows(now, 1000, clients.Groups{}, db)[0]
	if len(w.Places) != clients.MaxPlaced+2 || w.Places[rsynclog.Other].Sent != 51 || w.Places["unknown"].Sent != 2 || w.Places["AS64496"].Sent != 2 {
		t.Errorf("%d places, %+v others, %+v unknown, %+v of the first", len(w.Places), w.Places[rsynclog.Other], w.Places["unknown"],
			w.Places["AS64496"])
	}
	i := slices.IndexFunc(w.Clients, func(c api.ClientVolume) bool { return c.Client == "10.1.50.7" })
	if i < 0 || w.Clients[i].Place != "AS64802" || w.Clients[i].Sent != 2 { // 64496+306
		t.Errorf("a client beyond the bound is listed as %+v", w.Clients[max(i, 0)])
	}
	for _, s := range b.Record().Sums {
		if s.Kind != "asn" {
			t.Errorf("%+v is of no autonomous system", s)
		}
	}
}

// With ANONYMISE a book knows networks only, also of what was counted without it.
func TestAnonymousBooks(t *testing.T) {
	now := noon()
	b := newBook(clients.Config{})
	end(b, now, now, "192.0.2.77", "secret.example.org", 1, 0)
	end(b, now, now, "", "secret.example.org", 1, 0)
	b = restart(t, b.Record(), clients.Config{Now: now, Anonymise: true})
	for _, addr := range []string{"192.0.2.77", "192.0.2.78", "::ffff:192.0.2.9", "2001:db8:1:2:3::77", ""} {
		end(b, now, now, addr, "secret.example.org", 10, 0)
	}
	r := b.Record()
	var saved bytes.Buffer
	if err := gob.NewEncoder(&saved).Encode(r); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"secret", "77", "::2"} {
		if strings.Contains(saved.String(), secret) {
			t.Errorf("%q is saved", secret)
		}
	}
	w := r.Windows(now, 9, clients.Groups{}, nil)[0]
	var got []string
	for _, c := range w.Clients {
		got = append(got, fmt.Sprint(c.Client, " ", c.Name, c.Sent))
	}
	// What came before ANONYMISE is in the rest, and can have been anybody's.
	if want := []string{"192.0.2.0/24 30", "2001:db8:1::/48 10", "unknown 10"}; !slices.Equal(got, want) ||
		w.Rest.Volume != (api.Volume{Sessions: 2, Sent: 2}) || *w.Clients[0].Error != w.Rest.Volume {
		t.Errorf("%q, rest %+v", got, w.Rest)
	}
}

func TestKnownClientsAllocateNothing(t *testing.T) {
	b := newBook(clients.Config{})
	for _, addr := range []string{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"} {
		s := &rsynclog.Session{SessionRecord: rsynclog.SessionRecord{Addr: addr, Name: "a.example.org", LastSeen: noon()}}
		changes := []rsynclog.Change{{Kind: rsynclog.Ended, Session: s, N: 1, Sent: 1}}
		if n := testing.AllocsPerRun(100, func() { b.Apply(changes, noon(), noon()) }); n != 0 {
			t.Errorf("%s: %v allocations", addr, n)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	for _, c := range []struct {
		name    string
		clients int
	}{{"few", 100}, {"many", 1 << 16}} {
		b.Run(c.name, func(b *testing.B) {
			sessions := make([]rsynclog.Session, c.clients)
			for i := range sessions {
				sessions[i].SessionRecord = rsynclog.SessionRecord{
					Addr: fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255), LastSeen: noon(), Name: "client.example.net",
				}
			}
			book := newBook(clients.Config{})
			changes := []rsynclog.Change{{Kind: rsynclog.Ended, N: 1, Sent: 1000, Received: 100}}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				changes[0].Session = &sessions[i*7919%c.clients]
				book.Apply(changes, noon(), noon())
			}
		})
	}
}

// A save encodes this, and a look copies it under the pipeline's lock.
func BenchmarkRecord(b *testing.B) {
	book, now := newBook(clients.Config{}), noon()
	for i := range 400_000 {
		now += 6 * int64(time.Second)
		end(book, now, now, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), "a.example.org", uint64(i*7919%2000)<<20, uint64(i))
	}
	b.Run("copy", func(b *testing.B) {
		for b.Loop() {
			book.Record()
		}
	})
	b.Run("encode", func(b *testing.B) {
		for r := book.Record(); b.Loop(); {
			if err := gob.NewEncoder(io.Discard).Encode(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("windows", func(b *testing.B) {
		for r := book.Record(); b.Loop(); {
			r.Windows(now, 20, clients.Groups{}, nil)
		}
	})
}
