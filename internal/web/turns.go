package web

import (
	"net/http"
	"sync/atomic"
	"time"
)

const (
	scrapesAtOnce = 4 // that are answered at the same time: each copies all counters
	// for their turn; further ones are refused at once, and leave connections to the health pages
	scrapesWaiting = 64
	scrapePatience = 8 * time.Second // how long one waits for its turn; Prometheus gives up after 10 s
)

// TakeTurns limits how many scrapes are served at once, by the constants above.
func TakeTurns(scrape http.Handler) http.Handler {
	return inTurn(scrapesAtOnce, scrapesWaiting, scrapePatience, scrape)
}

// inTurn serves at most atOnce requests at a time; others wait, first come, first served. A request
// gets 503 when it has waited longer than patience, or when too many wait.
func inTurn(atOnce, waiting int, patience time.Duration, inner http.Handler) http.Handler {
	turns := make(chan struct{}, atOnce) // those who wait to send are served in their order
	var here atomic.Int64                // who is served, or waits
	refuse := func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "1")
		plainText(w, http.StatusServiceUnavailable,
			"too many scrapes at the same time: scrape less often, or from fewer places")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer here.Add(-1)
		if here.Add(1) > int64(atOnce+waiting) {
			refuse(w)
			return
		}
		select {
		case turns <- struct{}{}:
		case <-r.Context().Done():
			return
		case <-time.After(patience):
			refuse(w)
			return
		}
		defer func() { <-turns }()
		inner.ServeHTTP(w, r)
	})
}
