package main

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// Eight clients scrape as fast as they can, for as long as ten more scrapes take: none of these is refused.
func TestAScrapeBesideEightInALoop(t *testing.T) {
	testenv.SetEnv(t)
	e := startExporter(t, "--listen-udp=127.0.0.1:0")
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer stop()
	began := make(chan struct{}, 8)
	for range 8 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for first := true; ctx.Err() == nil; first = false {
				r, err := http.NewRequestWithContext(ctx, "GET", e.url+"/metrics", nil)
				if err != nil {
					return
				}
				if answer, err := client.Do(r); err == nil {
					io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
				}
				if first {
					began <- struct{}{}
				}
			}
		})
	}
	for range 8 {
		<-began
	}
	for i := range 10 {
		answer, err := http.Get(e.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("scrape %d: status %d", i, answer.StatusCode)
		}
	}
}
