package main

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Bounds of guessing passwords. A guess costs a bcrypt, some 70 ms of a processor at the usual cost, and exporter-toolkit does one at a time.
const (
	guessBurst    = 5           // of one source in a row; then one a second
	guessesAtOnce = 8           // of all sources: the longest queue that a scraper's first request meets
	guessSources  = 1024        // that are told apart; more share one limit
	knownLogins   = 256         // that were right
	guessPause    = time.Second //
)

// A guessLimiter stands before exporter-toolkit's basic authentication, so that somebody who tries passwords neither takes a processor nor
// keeps scrapers out: the toolkit's own limiter is one for all. Credentials that were right pass, whatever else goes on, as long as they
// are right. The others of one source (an IPv4 address or an IPv6 /64) have a limit, and get 429 beyond it.
type guessLimiter struct {
	inner http.Handler

	mu      sync.Mutex
	known   map[[sha256.Size]byte]bool // hashes of Authorization headers that were right
	sources map[netip.Prefix]*guesses
	running int
}

// guesses is a token bucket: one more guess each guessPause, guessBurst at most.
type guesses struct {
	left int
	at   time.Time // when left was right
}

func newGuessLimiter(inner http.Handler) *guessLimiter {
	return &guessLimiter{inner: inner, known: map[[sha256.Size]byte]bool{}, sources: map[netip.Prefix]*guesses{}}
}

func (g *guessLimiter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	credentials := r.Header.Get("Authorization")
	if credentials == "" { // refused without a bcrypt, where authentication is asked for
		g.inner.ServeHTTP(w, r)
		return
	}
	key := sha256.Sum256([]byte(credentials))
	known, ok := g.begin(key, sourceOf(r.RemoteAddr))
	if !ok {
		w.Header().Set("Retry-After", "1")
		plainText(w, http.StatusTooManyRequests, "too many attempts with other credentials than before: try again in a second")
		return
	}
	answer := &statusRecorder{ResponseWriter: w}
	defer func() { g.end(key, known, answer.status != http.StatusUnauthorized) }()
	g.inner.ServeHTTP(answer, r)
}

// begin says whether these credentials may be tried now.
func (g *guessLimiter) begin(key [sha256.Size]byte, source netip.Prefix) (known, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known[key] {
		return true, true
	}
	if g.running >= guessesAtOnce || !g.bucket(source).take(time.Now()) {
		return false, false
	}
	g.running++
	return false, true
}

func (g *guessLimiter) end(key [sha256.Size]byte, known, right bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !known {
		g.running--
	}
	if !right {
		delete(g.known, key)
	} else if len(g.known) < knownLogins {
		g.known[key] = true
	}
}

// bucket returns that of a source, or that of all for whom there is no room. Full ones make room: they are as good as new.
func (g *guessLimiter) bucket(source netip.Prefix) *guesses {
	if _, ok := g.sources[source]; !ok && len(g.sources) >= guessSources {
		for s, b := range g.sources {
			if time.Since(b.at) > guessBurst*guessPause {
				delete(g.sources, s)
			}
		}
		if len(g.sources) >= guessSources {
			source = netip.Prefix{}
		}
	}
	b := g.sources[source]
	if b == nil {
		b = &guesses{left: guessBurst, at: time.Now()}
		g.sources[source] = b
	}
	return b
}

func (b *guesses) take(now time.Time) bool {
	if more := int(now.Sub(b.at) / guessPause); more > 0 {
		b.left, b.at = min(guessBurst, b.left+more), now
	}
	if b.left == 0 {
		return false
	}
	b.left--
	return true
}

// sourceOf returns whom an address counts for; a whole IPv6 network can be one client's.
func sourceOf(remote string) netip.Prefix {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := a.Addr().Unmap().WithZone(""), 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits) // bits fit
	return p
}

// A statusRecorder notes the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
