package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Who waits longest is next: a client that asks again at once stands behind one that asks once.
func TestScrapesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		h := inTurn(1, 100, time.Minute, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			order = append(order, r.URL.Path)
			time.Sleep(time.Second)
		}))
		ask := func(path string) int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			return w.Code
		}
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				for range 3 {
					ask("/loop")
				}
			})
		}
		synctest.Wait()
		clients.Go(func() {
			if code := ask("/once"); code != http.StatusOK {
				t.Errorf("status %d", code)
			}
		})
		clients.Wait()
		if len(order) != 25 || order[8] != "/once" {
			t.Errorf("%q, want /once behind the eight that were there before it", order)
		}
	})
}

// Nobody waits for ever, or once the client has gone.
func TestScrapesDontWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := inTurn(1, 2, 8*time.Second, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		var clients sync.WaitGroup
		clients.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)) })
		synctest.Wait()
		began := time.Now()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" ||
			time.Since(began) != 8*time.Second {
			t.Errorf("status %d after %v, want 503 after 8 s", w.Code, time.Since(began))
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, "GET", "/", nil))
		if time.Since(began) != 8*time.Second {
			t.Errorf("it waited %v for nobody", time.Since(began)-8*time.Second)
		}
		for range 2 {
			clients.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)) })
		}
		synctest.Wait()
		began = time.Now()
		w = httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != http.StatusServiceUnavailable || time.Since(began) != 0 {
			t.Errorf("status %d after %v with two who wait, want 503 at once", w.Code, time.Since(began))
		}
		close(release)
		clients.Wait()
	})
}
