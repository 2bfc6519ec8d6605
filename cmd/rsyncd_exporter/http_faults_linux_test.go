package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// FAULTS H1, Q10: connections that say nothing, that stop in the middle of a request, and that don't read their answer. A scraper gets its
// answer meanwhile, at once; datagrams are received. `make torture` opens 10,000 for 2,000.
func TestIdleHTTPConnectionsKeepNobodyOut(t *testing.T) {
	udp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	e := startExporter(t, "--listen-udp="+udp)
	address := strings.TrimPrefix(e.url, "http://")
	w, to := newWeigher("u"), dial(t, "udp", udp)
	var slowest time.Duration
	n := testenv.Tortured(2000, 10_000)
	for i := range n {
		conn := dial(t, "tcp", address)
		// It may have been closed to make room for later ones: no matter.
		_, _ = io.WriteString(conn, []string{"", "GET /metr", "GET /metrics HTTP/1.1\r\nHost: x\r\nX-A: b\r\n", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"}[i%4])
		if i%100 == 99 {
			w.send(t, to, 20)
			began := time.Now()
			client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
			if resp, body := testenv.Fetch(t, client, "GET", e.url+"/metrics"); resp.StatusCode != 200 && resp.StatusCode != 503 || body == "" {
				t.Fatalf("after %d connections: %s", i+1, resp.Status)
			}
			slowest = max(slowest, time.Since(began))
		}
	}
	s := e.until(float64(w.sent.messages), "rsync_files_total")
	if got := tallied(s, "u"); got != w.sent {
		t.Errorf("%+v counted, %+v sent", got, w.sent)
	}
	if open := total(s, "process_open_fds"); open > float64(n+500) { // both ends of what is open are this process'
		t.Errorf("%v descriptors", open)
	}
	t.Logf("%d connections; the slowest scrape took %v", n, slowest)
}

// FAULTS H2, H5, H6, H9: requests that are too long or none at all, methods and protocols that nobody asked for. Each is refused, no series
// comes of it, and nothing of it stays.
func TestOddRequests(t *testing.T) {
	e := startExporter(t, "--listen-udp=127.0.0.1:0")
	address := strings.TrimPrefix(e.url, "http://")
	names := func() []string { return slices.Sorted(maps.Keys(e.scrape())) }
	names()
	before, goroutines := names(), runtime.NumGoroutine()
	ask := func(request string) string {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(conn, request) // a refusal may come before all of it is taken
		answer, _ := io.ReadAll(io.LimitReader(conn, 12+1))
		return strings.TrimSpace(string(answer))
	}
	const rest = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for _, c := range []struct{ what, request, want string }{
		{"a long path", "GET /" + strings.Repeat("x", 100_000) + rest, "HTTP/1.1 431"},
		{"a long header", "GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", "HTTP/1.1 431"},
		{"many headers", "GET /metrics HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 100_000) + "\r\n", "HTTP/1.1 431"},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 405"},
		{"TRACE", "TRACE /metrics" + rest, "HTTP/1.1 405"},
		{"CONNECT", "CONNECT example.org:443" + rest, "HTTP/1.1 405"},
		{"a body", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\nx", "HTTP/1.1 405"},
		{"a body with GET", "GET /-/healthy HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", "HTTP/1.1 200"},
		{"a range", "GET /metrics HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"},
		{"another host's name", "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"}, // nothing changes state
		{"no host", "GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 400"},
		{"garbage", "\x00\xff\r\n\r\n", "HTTP/1.1 400"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 400"},
		{"profiles", "GET /debug/pprof/" + rest, "HTTP/1.1 404"},
		{"a heap", "GET /debug/pprof/heap" + rest, "HTTP/1.1 404"},
		{"variables", "GET /debug/vars" + rest, "HTTP/1.1 404"},
	} {
		if got := ask(c.request); got != c.want {
			t.Errorf("%s: answer %q, want %q", c.what, got, c.want)
		}
	}
	for i := range 100 {
		if got := ask(fmt.Sprintf("FOO%d /metrics%s", i, rest)); got != "HTTP/1.1 405" {
			t.Errorf("method FOO%d: %q", i, got)
		}
		conn := dial(t, "tcp", address)
		fmt.Fprint(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
		conn.Close() // before or while the answer comes
	}
	_, err := (&http.Client{Timeout: time.Minute}).Get("https://" + address + "/metrics")
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("TLS at a plain port: %v, want an error at once", err)
	}
	if after := names(); !slices.Equal(after, before) {
		t.Errorf("series have come or gone: %d before, %d after", len(before), len(after))
	}
	http.DefaultClient.CloseIdleConnections()
	testenv.Until(t, time.Minute, "goroutines to be as many as before", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
}

// FAULTS H3: of 500 scrapes at once each is answered, by the counters or by 503.
func TestManyScrapesAtOnce(t *testing.T) {
	e := startExporter(t, "--listen-udp=127.0.0.1:0")
	var scrapes sync.WaitGroup
	var ok, busy, other atomic.Int64
	client := &http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{MaxConnsPerHost: 200}}
	defer client.CloseIdleConnections()
	for range 500 {
		scrapes.Go(func() {
			resp, err := client.Get(e.url + "/metrics")
			if err != nil {
				other.Add(1)
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body)
			switch resp.StatusCode {
			case 200:
				ok.Add(1)
			case 503:
				busy.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	scrapes.Wait()
	if ok.Load() == 0 || other.Load() > 0 {
		t.Errorf("%d answered, %d refused as too many, %d otherwise", ok.Load(), busy.Load(), other.Load())
	}
	e.scrape()
}
