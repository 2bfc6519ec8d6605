package web

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A check is a bcrypt, about 70 ms of a processor at the usual cost, and a pause.
const (
	guessesWaiting = 48              // as many as are checked within guessPatience, at the usual cost
	guessPatience  = 8 * time.Second // how long one waits; Prometheus gives up after 10 s
	longestPause   = time.Second     // between checks, which pause for as long as the last one took
	goodLogins     = 256             // credentials that are remembered as right
	badLogins      = 4096            // and as wrong
	putOffLogins   = 100_000         // and as put off, in at most 10 MB
)

// A credentialKey stands for credentials, see passwordGate.key.
type credentialKey [32]byte

// A verdict says what becomes of a request with a password.
type verdict uint8

const (
	isGood   verdict = iota // it was right before: go on
	isBad                   // it was wrong before
	isNext                  // go on, check it and call finish
	isPutOff                // there is no room, or no time
	isGone                  // the client has given up
)

// A guessQueue lets one unknown password at a time be checked. A flood keeps nobody out: when the
// queue is full, the network with the most guesses loses one, and every second turn goes to the
// network served longest ago. Guesses that were put off go first when they come again.
type guessQueue struct {
	room int // how many may wait

	mu      sync.Mutex
	closed  bool
	good    recentKeys
	bad     recentKeys
	putOff  recentKeys
	waiting []*guess // in the order in which they came
	busy    bool     // one is being checked, or the pause after it lasts
	began   time.Time
	turns   uint64
	served  map[netip.Prefix]uint64 // the last turn of a network
}

type guess struct {
	key      credentialKey
	networks [4]netip.Prefix // that its source is in, the widest first
	again    bool            // it was put off before
	verdict  chan verdict    // has room for one
}

func newGuessQueue(room int) *guessQueue {
	return &guessQueue{
		room: room, good: recentKeys{max: goodLogins}, bad: recentKeys{max: badLogins},
		putOff: recentKeys{max: putOffLogins}, served: map[netip.Prefix]uint64{},
	}
}

// enter returns what becomes of a request. After isNext the caller must call finish.
func (q *guessQueue) enter(ctx context.Context, key credentialKey, source netip.Addr) verdict {
	g := &guess{key: key, networks: networksOf(source), verdict: make(chan verdict, 1)}
	q.mu.Lock()
	switch {
	case q.good.has(key):
		g.verdict <- isGood
	case q.bad.has(key):
		g.verdict <- isBad
	case q.closed:
		g.verdict <- isPutOff
	default:
		g.again = q.putOff.has(key)
		q.waiting = append(q.waiting, g)
		if len(q.waiting) > q.room {
			q.remove(q.leastFit(), isPutOff)
		}
		q.next()
	}
	q.mu.Unlock()
	select {
	case v := <-g.verdict:
		return v
	case <-ctx.Done():
		return q.leave(g, isGone)
	case <-time.After(guessPatience):
		return q.leave(g, isPutOff)
	}
}

// leave removes a guess, unless it already has its verdict.
func (q *guessQueue) leave(g *guess, v verdict) verdict {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remove(g, v)
	return <-g.verdict
}

// remove gives a guess its verdict. The caller holds the lock, as for all below down to choose.
func (q *guessQueue) remove(g *guess, v verdict) {
	i := slices.Index(q.waiting, g)
	if i < 0 {
		return
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	if v == isPutOff || v == isGone {
		q.putOff.add(g.key)
	}
	g.verdict <- v
}

// leastFit returns who makes room: of the network with the most guesses, one with the most frequent
// credentials, preferably not put off before, the latest.
func (q *guessQueue) leastFit() *guess {
	fit := slices.Clone(q.waiting)
	for level := range len(guess{}.networks) {
		fit = mostOf(fit, func(g *guess) netip.Prefix { return g.networks[level] })
	}
	fit = mostOf(fit, func(g *guess) credentialKey { return g.key })
	if fresh := those(fit, func(g *guess) bool { return !g.again }); len(fresh) > 0 {
		fit = fresh
	}
	return fit[len(fit)-1]
}

func (q *guessQueue) next() {
	if q.busy || len(q.waiting) == 0 {
		return
	}
	g := q.choose()
	q.busy, q.began = true, time.Now()
	q.turns++
	for _, network := range g.networks {
		q.served[network] = q.turns
	}
	const remembered = 1024 // turns
	if len(q.served) > 2*remembered*len(g.networks) {
		for network, turn := range q.served {
			if turn+remembered < q.turns {
				delete(q.served, network)
			}
		}
	}
	q.remove(g, isNext)
}

// choose returns whose turn it is. Every second turn goes to the network served longest ago,
// against one network's flood, the others by arrival, against floods from ever new networks.
func (q *guessQueue) choose() *guess {
	fit := slices.Clone(q.waiting)
	if q.turns%2 == 0 {
		for level := range len(guess{}.networks) {
			last := func(g *guess) uint64 { return q.served[g.networks[level]] }
			least := last(slices.MinFunc(fit, func(a, b *guess) int { return int(last(a)) - int(last(b)) }))
			fit = those(fit, func(g *guess) bool { return last(g) == least })
		}
	}
	if again := those(fit, func(g *guess) bool { return g.again }); len(again) > 0 {
		fit = again
	}
	return fit[0]
}

// finish ends a turn. isPutOff means that there was no check.
func (q *guessQueue) finish(key credentialKey, v verdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.note(key, v)
	pause := min(time.Since(q.began), longestPause) // so that guesses have half of one processor at most
	time.AfterFunc(pause, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.busy = false
		q.next()
	})
}

// forget drops credentials that are no longer right.
func (q *guessQueue) forget(key credentialKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.good.remove(key)
}

// note remembers a verdict and gives it to all who wait with the same credentials.
func (q *guessQueue) note(key credentialKey, v verdict) {
	switch v {
	case isGood:
		q.good.add(key)
	case isBad:
		q.bad.add(key)
	default:
		return
	}
	for _, g := range those(q.waiting, func(g *guess) bool { return g.key == key }) {
		q.remove(g, v)
	}
}

func (q *guessQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for len(q.waiting) > 0 {
		q.remove(q.waiting[0], isPutOff)
	}
}

// those returns the guesses for which have is true, in their order.
func those(guesses []*guess, have func(*guess) bool) []*guess {
	var found []*guess
	for _, g := range guesses {
		if have(g) {
			found = append(found, g)
		}
	}
	return found
}

// mostOf returns the guesses of the largest groups, in their order.
func mostOf[K comparable](guesses []*guess, group func(*guess) K) []*guess {
	sizes, most := map[K]int{}, 0
	for _, g := range guesses {
		sizes[group(g)]++
		most = max(most, sizes[group(g)])
	}
	return those(guesses, func(g *guess) bool { return sizes[group(g)] == most })
}

// networksOf returns the networks of an address, the widest first. A client can own an IPv6 /64.
func networksOf(a netip.Addr) (networks [4]netip.Prefix) {
	a = a.Unmap().WithZone("")
	bits := [4]int{32, 48, 56, 64}
	if a.Is4() {
		bits = [4]int{8, 16, 24, 32}
	}
	for i, n := range bits {
		networks[i], _ = a.Prefix(n) // bits fit; the zero address has the zero prefix
	}
	return networks
}

// recentKeys is a set of at least the max keys used last, and of at most twice as many.
type recentKeys struct {
	max          int
	newer, older map[credentialKey]bool
}

func (r *recentKeys) has(key credentialKey) bool {
	known := r.newer[key] || r.older[key]
	if known {
		r.add(key)
	}
	return known
}

func (r *recentKeys) add(key credentialKey) {
	if r.newer == nil || len(r.newer) == r.max && !r.newer[key] {
		r.newer, r.older = map[credentialKey]bool{}, r.newer
	}
	r.newer[key] = true
}

func (r *recentKeys) remove(key credentialKey) {
	delete(r.newer, key)
	delete(r.older, key)
}
