package clients_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/testenv"
)

func TestRankedIsTheKthLargest(t *testing.T) {
	// 9 7 7 3 1: the first is 9, the third 7, the fifth 1.
	values := []uint64{7, 1, 9, 3, 7}
	for k, want := range map[int]uint64{1: 9, 2: 7, 3: 7, 4: 3, 5: 1} {
		if got := clients.Ranked(values, k); got != want {
			t.Errorf("ranked(%d) = %d, want %d", k, got, want)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		values := make([]uint64, 1+rnd.IntN(50))
		for i := range values {
			values[i] = rnd.Uint64() >> rnd.IntN(64)
		}
		sorted := slices.Clone(values)
		slices.Sort(sorted)
		for k := 1; k <= len(values); k++ {
			if got, want := clients.Ranked(values, k), sorted[len(sorted)-k]; got != want {
				t.Fatalf("ranked(%d, %d) = %d, want %d", values, k, got, want)
			}
		}
	}
}

// testRoom keeps the tests short.
const testRoom = 1 << 10

func addr(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255) }

func TestClientsStayWithinTheirBounds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for name, ids := range testenv.Streams(rnd, testRoom) {
		t.Run(name, func(t *testing.T) {
			c, twin := clients.NewTop(testRoom, false), clients.NewTop(testRoom, false)
			exact := map[string]clients.Volume{}
			var all clients.Volume
			for _, id := range ids {
				v := clients.Volume{Sessions: 1, Sent: uint64(rnd.IntN(1000)) << rnd.IntN(12), Received: uint64(rnd.IntN(50))}
				client := addr(id)
				c.Add(client, "", v)
				twin.Add(client, "", v)
				exact[client] = exact[client].Plus(v)
				all.Add(v)
			}
			if len(c.Entries) > testRoom {
				t.Fatalf("%d entries; room is for %d", len(c.Entries), testRoom)
			}
			for _, n := range []int{0, 20, testRoom} {
				list, rest := c.List(n)
				checkClients(t, list, rest, exact, all)
			}
			for what, x := range map[string][2]uint64{ // the bound that the type states
				"sessions": {c.Floor.Sessions, all.Sessions}, "sent": {c.Floor.Sent, all.Sent},
				"received": {c.Floor.Received, all.Received},
			} {
				if x[0] == 0 || x[0] > x[1]/(testRoom/6) {
					t.Errorf("floor of %s is %d of %d: 0, or more than 6/%d", what, x[0], x[1], testRoom)
				}
			}
			a, restA := c.List(20)
			b, restB := twin.List(20)
			if fmt.Sprint(shown(a), restA.Volume) != fmt.Sprint(shown(b), restB.Volume) {
				t.Error("the same log gives another list")
			}
			if name == "one behind a flood" && !slices.ContainsFunc(a, func(c clients.Client) bool { return c.Client == addr(0) }) {
				t.Errorf("the one that came most often isn't among %d", len(a))
			}
		})
	}
}

func shown(list []clients.Client) (s []string) {
	for _, c := range list {
		s = append(s, fmt.Sprint(c.Client, c.Volume, c.Most()))
	}
	return s
}

// checkClients holds a list against exact figures.
func checkClients(t *testing.T, list []clients.Client, rest clients.Rest, exact map[string]clients.Volume, all clients.Volume) {
	t.Helper()
	sum := rest.Volume
	listed := map[string]bool{}
	for i, c := range list {
		sum, listed[c.Client] = sum.Plus(c.Volume), true
		is := exact[c.Client]
		if c.Volume.Max(is) != is || c.Most().Min(is) != is {
			t.Errorf("%s: counted %v, at most %v, but is %v", c.Client, c.Volume, c.Most(), is)
		}
		if i > 0 && list[i-1].Bytes() < c.Bytes() {
			t.Errorf("%s stands behind one with less", c.Client)
		}
	}
	if sum != all {
		t.Errorf("list and rest make %v, all is %v", sum, all)
	}
	if len(listed) != len(list) || rest.Entries > uint64(len(exact)-len(list)) {
		t.Errorf("%d in the list, %d others; there are %d", len(listed), rest.Entries, len(exact))
	}
	bound := rest.Each()
	for c, v := range exact {
		if !listed[c] && bound.Max(v) != bound {
			t.Errorf("%s isn't in the list with %v, more than %v", c, v, bound)
		}
	}
}

func TestClientsWithRoomAreExact(t *testing.T) {
	c := clients.NewTop(testRoom, false)
	// a: 3 sessions, 30 bytes; b: 1 session, 1000 bytes; c: 2 sessions, 5 bytes; d: 1, 6.
	for _, x := range []struct {
		addr, name string
		bytes      uint64
	}{
		{"192.0.2.1", "", 10}, {"192.0.2.1", "a.example", 10}, {"::ffff:192.0.2.1", "", 10},
		{"2001:db8:1:2::7", "b.example", 1000},
		{"", "c.example", 2}, {"", "c.example", 3},
		{"fe80::1%eth0", "", 6},
	} {
		c.Add(x.addr, x.name, clients.Volume{Sessions: 1, Sent: x.bytes - 1, Received: 1})
	}
	list, rest := c.List(1)
	// The first by bytes and the first by sessions; c and d are left: 3 sessions, 3 received, 8 sent.
	want := []clients.Client{
		{Client: "2001:db8:1:2::/64", Name: "b.example", Volume: clients.Volume{1, 999, 1}},
		{Client: "192.0.2.1", Name: "a.example", Volume: clients.Volume{3, 27, 3}},
	}
	if !slices.Equal(list, want) {
		t.Errorf("got %+v", list)
	}
	if rest.Entries != 2 || rest.Volume != (clients.Volume{3, 8, 3}) || *rest.AtMost != (clients.Volume{2, 5, 2}) {
		t.Errorf("rest is %+v, each at most %+v", rest, rest.AtMost)
	}
	list, rest = c.List(9)
	if len(list) != 4 || rest != (clients.Rest{}) {
		t.Errorf("of all there is a rest of %+v", rest)
	}
	if list[2].Client != "fe80::/64" || list[3].Client != "c.example" || list[3].Name != "" {
		t.Errorf("got %+v", list[2:])
	}
}

func BenchmarkClientTopDistinct(b *testing.B) {
	names := make([]string, 1<<20)
	for i := range names {
		names[i] = addr(i)
	}
	c, i := clients.NewTop(testRoom, false), 0
	for b.Loop() {
		c.Add(names[i%len(names)], "", clients.Volume{1, uint64(i % 1000), 1})
		i++
	}
}
