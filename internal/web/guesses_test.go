package web

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// numbered returns a key for each number.
func numbered(n uint64) credentialKey {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, n))
}

// A guessWorld is a queue in which a check takes a second, and those who ask.
type guessWorld struct {
	*guessQueue
	ctx     context.Context
	clients sync.WaitGroup

	mu      sync.Mutex
	last    uint64 // number of a key
	checked []credentialKey
}

func newGuessWorld(t *testing.T, room int) (w *guessWorld, end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	w = &guessWorld{guessQueue: newGuessQueue(room), ctx: ctx}
	return w, func() {
		cancel()
		w.close()
		w.clients.Wait()
	}
}

// ask enters and, at its turn, finds that the credentials are wrong.
func (w *guessWorld) ask(key credentialKey, source string) verdict {
	v := w.enter(w.ctx, key, netip.MustParseAddr(source))
	if v == isNext {
		time.Sleep(time.Second)
		w.mu.Lock()
		w.checked = append(w.checked, key)
		w.mu.Unlock()
		w.finish(key, isBad)
	}
	return v
}

func (w *guessWorld) newKey() credentialKey {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	return numbered(w.last)
}

// flood has so many clients ask for one check after the other, each with credentials of its own.
func (w *guessWorld) flood(clients int, source func(key credentialKey) string) {
	for range clients {
		w.clients.Go(func() {
			for w.ctx.Err() == nil {
				key := w.newKey()
				w.ask(key, source(key))
			}
		})
	}
	synctest.Wait()
}

// turnsUntil returns how many checks end while one waits for its own, that one included.
func (w *guessWorld) turnsUntil(t *testing.T, key credentialKey, source string) int {
	w.mu.Lock()
	before := len(w.checked)
	w.mu.Unlock()
	if v := w.ask(key, source); v != isNext {
		t.Errorf("from %s: verdict %d, want its turn", source, v)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.checked) - before
}

var scraperKey = sha256.Sum256([]byte("the scraper's"))

func randomSource(key credentialKey) string {
	return netip.AddrFrom4([4]byte(key[:4])).String()
}

// Nobody waits behind a flood, whether it comes from one network, from the same address, or each guess from another network.
func TestGuessesTakeTurns(t *testing.T) {
	for _, c := range []struct {
		name   string
		source func(credentialKey) string
		most   int // checks until the scraper's own, one that is under way included
	}{
		{"another network", func(credentialKey) string { return "192.0.2.1" }, 3},
		{"another IPv6 network", func(key credentialKey) string {
			return netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 8: key[0], 15: key[1]}).String()
		}, 3},
		{"the same network", func(key credentialKey) string {
			return netip.AddrFrom4([4]byte{10, 0, 0, key[0]}).String()
		}, 4},
		{"the same address", func(credentialKey) string { return "10.0.0.255" }, 4},
		{"a network of its own for each", randomSource, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, end := newGuessWorld(t, 64)
				defer end()
				w.flood(3, c.source)
				time.Sleep(20 * time.Second) // the scraper's network has had turns, where it is theirs
				if turns := w.turnsUntil(t, scraperKey, "10.0.0.255"); turns > c.most {
					t.Errorf("its turn was number %d, want at most %d", turns, c.most)
				}
			})
		})
	}
}

// Where there is no room the largest network makes some, and in it who came last.
func TestTheLargestNetworkMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, end := newGuessWorld(t, 4)
		defer end()
		verdicts := map[string]chan verdict{}
		enter := func(name string, number uint64, source string) {
			verdicts[name] = make(chan verdict, 1)
			w.clients.Go(func() { verdicts[name] <- w.enter(w.ctx, numbered(number), netip.MustParseAddr(source)) })
			synctest.Wait()
		}
		got := func(name string) string {
			select {
			case v := <-verdicts[name]:
				return map[verdict]string{isNext: "next", isPutOff: "put off"}[v]
			default:
				return "waits"
			}
		}
		expect := func(name, want string) {
			t.Helper()
			if v := got(name); v != want {
				t.Errorf("%s: %s, want %s", name, v, want)
			}
		}
		enter("first", 1, "192.0.2.1")
		expect("first", "next")
		for i, name := range []string{"a", "b", "c", "d"} {
			enter(name, uint64(10+i), "192.0.2.1")
		}
		enter("e", 14, "192.0.2.1")
		expect("e", "put off")
		enter("near", 2, "192.0.3.1") // the same /16, another /24
		expect("near", "waits")
		expect("d", "put off")
		enter("far", 3, "198.51.100.1")
		expect("far", "waits")
		expect("c", "put off")
		enter("d again", 13, "192.0.2.1") // came before b
		expect("d again", "waits")
		expect("b", "put off")
		expect("a", "waits")
		w.finish(numbered(1), isBad)
		synctest.Wait()
		time.Sleep(time.Second)
		expect("d again", "next")
		expect("far", "waits")
	})
}

// Passwords can be checked however few connections may be open, and who waits leaves most of them to others.
func TestRoomForGuesses(t *testing.T) {
	for connections, want := range map[int]int{2: 1, 8: 2, 100: 25, 256: 48} {
		if got := roomForGuesses(connections); got != want {
			t.Errorf("%d of %d connections may wait, want %d", got, connections, want)
		}
	}
}

// Equal credentials are checked once, and what was found holds for who waits with them and for who comes later.
func TestEqualCredentialsAreCheckedOnce(t *testing.T) {
	for _, found := range []verdict{isGood, isBad} {
		synctest.Test(t, func(t *testing.T) {
			w, end := newGuessWorld(t, 64)
			defer end()
			from := netip.MustParseAddr("192.0.2.1")
			if v := w.enter(w.ctx, scraperKey, from); v != isNext {
				t.Fatalf("verdict %d", v)
			}
			for range 10 {
				w.clients.Go(func() {
					if v := w.enter(w.ctx, scraperKey, from); v != found {
						t.Errorf("verdict %d for who waited, want %d", v, found)
					}
				})
			}
			synctest.Wait()
			w.finish(scraperKey, found)
			w.clients.Wait()
			if v := w.enter(w.ctx, scraperKey, from); v != found {
				t.Errorf("verdict %d for who came later, want %d", v, found)
			}
			w.forget(scraperKey)
			if v := w.enter(w.ctx, scraperKey, from); found == isGood && v != isNext {
				t.Errorf("verdict %d for what was forgotten, want its turn", v)
			}
		})
	}
}

// A check that did not take place says nothing.
func TestWhatWasNotCheckedIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, end := newGuessWorld(t, 64)
		defer end()
		for range 3 {
			if v := w.enter(w.ctx, scraperKey, netip.Addr{}); v != isNext {
				t.Errorf("verdict %d, want its turn", v)
			}
			w.finish(scraperKey, isPutOff)
			time.Sleep(time.Second)
		}
	})
}

// Nobody waits for ever, or once the client has gone, and checks leave half of the time to others.
func TestGuessesDontWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, end := newGuessWorld(t, 64)
		defer end()
		from := netip.MustParseAddr("192.0.2.1")
		w.enter(w.ctx, numbered(1), from)
		began := time.Now()
		if v := w.enter(w.ctx, numbered(2), from); v != isPutOff || time.Since(began) != guessPatience {
			t.Errorf("verdict %d after %v", v, time.Since(began))
		}
		gone, leave := context.WithCancel(w.ctx)
		leave()
		if v := w.enter(gone, numbered(3), from); v != isGone {
			t.Errorf("verdict %d for a client that has gone", v)
		}
		if len(w.waiting) != 0 {
			t.Errorf("%d wait still", len(w.waiting))
		}
		w.finish(numbered(1), isBad)
		time.Sleep(longestPause)
		began = time.Now()
		for i := range uint64(3) {
			w.ask(numbered(10+i), "192.0.2.1")
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("three checks of a second each took %v, want 5 s", took)
		}
		w.enter(w.ctx, numbered(20), from)
		w.clients.Go(func() {
			if v := w.enter(w.ctx, numbered(21), from); v != isPutOff {
				t.Errorf("verdict %d at the end", v)
			}
		})
		synctest.Wait()
		w.close()
		w.clients.Wait()
		if v := w.enter(w.ctx, numbered(22), from); v != isPutOff {
			t.Errorf("verdict %d after the end", v)
		}
	})
}

// What the queue remembers is bounded, and what it needs stays.
func TestGuessMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, end := newGuessWorld(t, 4)
		defer end()
		w.good.add(scraperKey)
		for i := range uint64(20_000) {
			key := numbered(i)
			if v := w.enter(w.ctx, key, netip.MustParseAddr(randomSource(key))); v != isNext {
				t.Fatalf("verdict %d", v)
			}
			w.finish(key, isBad)
			synctest.Wait()
			w.good.has(scraperKey)
			w.good.add(numbered(1_000_000 + i))
		}
		if n := len(w.bad.newer) + len(w.bad.older); n < badLogins || n > 2*badLogins {
			t.Errorf("%d wrong credentials are remembered", n)
		}
		if n := len(w.good.newer) + len(w.good.older); n < goodLogins || n > 2*goodLogins || !w.good.has(scraperKey) {
			t.Errorf("%d right credentials are remembered, those in use: %v", n, w.good.has(scraperKey))
		}
		if n := len(w.served); n > 8200 {
			t.Errorf("%d networks are remembered", n)
		}
	})
	f := recentKeys{max: putOffLogins}
	for i := range uint64(250_000) {
		f.add(numbered(i))
		if old := i - putOffLogins + 1; i >= putOffLogins && !f.newer[numbered(old)] && !f.older[numbered(old)] {
			t.Fatalf("key %d is forgotten when there are %d", old, i)
		}
	}
	wrong := 0
	for i := range uint64(100_000) {
		if f.has(numbered(1_000_000 + i)) {
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("%d of 100,000 keys that never came are remembered", wrong)
	}
}
