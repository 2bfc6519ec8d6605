package web_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/web"
)

// startHTTP serves at 127.0.0.1 and returns the address; what o leaves out is as it usually is. stop stops the server,
// fails the test if that fails, and may be called twice.
func startHTTP(t *testing.T, o web.Options) (address string, stop func()) {
	t.Helper()
	o = withDefaults(o)
	l, err := web.Listen("127.0.0.1:0", net.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- web.Serve(ctx, l, o, aMinute) }()
	stopped := false
	stop = func() {
		if cancel(); stopped {
			return
		}
		stopped = true
		if err := <-done; err != nil {
			t.Errorf("serveHTTP: %v", err)
		}
	}
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// dialHTTP opens a connection that the test's end closes.
func dialHTTP(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// withDefaults fills in 256 connections, a page for scrapes that shows one counter, and that it is ready.
func withDefaults(o web.Options) web.Options {
	o.Connections = 256
	if o.Pages == nil {
		o.Pages = scrapes(http.HandlerFunc(oneCounter))
	}
	if o.Ready == nil {
		o.Ready = alwaysReady
	}
	o.Log = slog.New(slog.DiscardHandler)
	return o
}

// scrapes are the pages where /metrics is such a page.
func scrapes(page http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", web.TakeTurns(page))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "here") })
	return mux
}

// oneCounter shows the counter test_total at 7.
func oneCounter(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "# TYPE test_total counter\ntest_total 7")
}

func alwaysReady() error { return nil }

// aMinute is the grace of tests in which a request ends in the end.
func aMinute() time.Duration { return time.Minute }

func TestReadyTellsWhyNot(t *testing.T) {
	address, _ := startHTTP(t, web.Options{Ready: func() error { return errors.New("two files to go") }})
	if resp, body := testenv.Fetch(t, http.DefaultClient, "GET", "http://"+address+"/-/ready"); resp.StatusCode != 503 || body != "not ready: two files to go\n" {
		t.Errorf("/-/ready: %s %q", resp.Status, body)
	}
	if resp, _ := testenv.Fetch(t, http.DefaultClient, "GET", "http://"+address+"/-/healthy"); resp.StatusCode != 200 {
		t.Errorf("/-/healthy: %s", resp.Status)
	}
}

func TestHeaderOf20KiBIsRefused(t *testing.T) {
	address, _ := startHTTP(t, web.Options{})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // net/http's limit is 4 KiB wider on a connection's later requests
	for size, want := range map[int]int{15 << 10: 200, 20 << 10: 431} {
		if resp, _ := testenv.Fetch(t, client, "GET", "http://"+address+"/-/healthy", "X-Long", strings.Repeat("x", size)); resp.StatusCode != want {
			t.Errorf("a header of %d bytes: %s, want %d", size, resp.Status, want)
		}
	}
}

// There are never more than 256 connections, and always room for one more: the one goes that has waited the longest.
func TestConnectionsAreLimited(t *testing.T) {
	address, _ := startHTTP(t, web.Options{})
	answered := func(conn net.Conn) bool {
		t.Helper()
		conn.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprint(conn, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("neither an answer nor an end within a minute")
		}
		return err == nil && resp.StatusCode == 200
	}
	connect := func() net.Conn {
		t.Helper()
		conn := dialHTTP(t, address)
		if !answered(conn) {
			t.Fatal("no answer")
		}
		return conn
	}
	closed := func(conns []net.Conn) (n int) {
		t.Helper()
		for _, conn := range conns {
			if !answered(conn) {
				n++
			}
		}
		return n
	}
	var conns []net.Conn
	for range 256 {
		conns = append(conns, connect())
	}
	if n := closed(conns); n != 0 {
		t.Fatalf("%d of 256 connections were closed", n)
	}
	for range 10 {
		conns = append(conns, connect())
	}
	// The server notes that a connection waits again after it has answered, so neighbours may change places.
	if early, later := closed(conns[:20]), closed(conns[20:]); early != 10 || later != 0 {
		t.Errorf("%d of the first 20 connections were closed and %d of the others; want 10 and none", early, later)
	}
}

// A heldPage lets each request tell that it began, and wait until it is let go.
type heldPage struct {
	began chan struct{}
	goOn  chan struct{}
}

func (p heldPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.began <- struct{}{}
	<-p.goOn
	oneCounter(w, r)
}

// Four scrapes are answered at the same time; the fifth waits for its turn.
func TestTheFifthScrapeAtOnceWaits(t *testing.T) {
	g := heldPage{make(chan struct{}), make(chan struct{})}
	address, _ := startHTTP(t, web.Options{Pages: scrapes(g)})
	statuses := make(chan int, 5)
	for i := range 5 {
		go func() {
			resp, err := http.Get("http://" + address + "/metrics")
			if err != nil {
				statuses <- 0
				return
			}
			resp.Body.Close()
			statuses <- resp.StatusCode
		}()
		if i < 4 {
			<-g.began
		}
	}
	g.goOn <- struct{}{}
	<-g.began // only now
	close(g.goOn)
	for range 5 {
		if got := <-statuses; got != 200 {
			t.Errorf("one of the five: %d, want 200", got)
		}
	}
}

func TestShutdownLetsAScrapeFinish(t *testing.T) {
	g := heldPage{make(chan struct{}), make(chan struct{})}
	address, stop := startHTTP(t, web.Options{Pages: scrapes(g)})
	bodies := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			bodies <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		bodies <- string(body)
	}()
	<-g.began
	stopped := make(chan struct{})
	go func() {
		stop()
		close(stopped)
	}()
	testenv.Until(t, time.Minute, "the listener to close", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(g.goOn)
	if got := <-bodies; !strings.Contains(got, "\ntest_total 7\n") {
		t.Errorf("the scrape under way got %q", got)
	}
	<-stopped
}

func TestListenHTTPSaysWhatIsTaken(t *testing.T) {
	l, err := web.Listen("127.0.0.1:0", net.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	if _, err := web.Listen(taken, net.ListenConfig{}); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("HTTP_LISTEN=%q: listen tcp4 ", taken)) {
		t.Errorf("error %v", err)
	}
}

func TestHealthIsServedWithoutThePasswordAndTheRestIsNot(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", encrypted), func(t *testing.T) {
			path, client := testenv.WebConfig(t, encrypted, true, "")
			address, _ := startHTTP(t, web.Options{Config: path})
			base := map[bool]string{false: "http://", true: "https://"}[encrypted] + address
			const good, bad = "Basic cHJvbWV0aGV1czpzZWNyZXQ=", "Basic cHJvbWV0aGV1czpndWVzcw==" // base64 of prometheus:secret and prometheus:guess
			for _, c := range []struct {
				path, authorization string
				status              int
			}{
				{"/metrics", "", 401}, {"/", "", 401}, {"/nothing", "", 401}, {"/-/", "", 401}, {"/-/healthy/", "", 401}, {"/-/healthy/../../metrics", "", 401},
				{"/metrics", bad, 401}, {"/metrics", good, 200}, {"/", good, 200}, {"/nothing", good, 404},
				{"/-/healthy", "", 200}, {"/-/ready", "", 200}, {"/-/ready", bad, 200},
			} {
				header := []string{"X-Nothing", ""}
				if c.authorization != "" {
					header = []string{"Authorization", c.authorization}
				}
				resp, body := testenv.Fetch(t, client, "GET", base+c.path, header...)
				if resp.StatusCode != c.status || resp.Header.Get("X-Frame-Options") != "deny" {
					t.Errorf("%s with %q: %s, %v, want %d", c.path, c.authorization, resp.Status, resp.Header, c.status)
				}
				if c.status == 401 && strings.Contains(body, "test_total") {
					t.Errorf("%s with %q shows the counters", c.path, c.authorization)
				}
				if wantProto := map[bool]int{false: 1, true: 2}[encrypted]; resp.ProtoMajor != wantProto {
					t.Errorf("%s: HTTP/%d, want HTTP/%d", c.path, resp.ProtoMajor, wantProto)
				}
			}
		})
	}
}

func TestWebConfigSetsHeadersOtherwise(t *testing.T) {
	path, client := testenv.WebConfig(t, false, false, "http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n")
	address, _ := startHTTP(t, web.Options{Config: path})
	resp, _ := testenv.Fetch(t, client, "GET", "http://"+address+"/")
	if got := resp.Header.Values("X-Frame-Options"); len(got) != 1 || got[0] != "sameorigin" {
		t.Errorf("X-Frame-Options %q, want sameorigin", got)
	}
}

func TestWebConfigThatBrokeAfterTheCheck(t *testing.T) {
	path, _ := testenv.WebConfig(t, true, false, "")
	l, err := web.Listen("127.0.0.1:0", net.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(path), "key.pem")); err != nil {
		t.Fatal(err)
	}
	err = web.Serve(context.Background(), l, withDefaults(web.Options{Config: path}), aMinute)
	if err == nil || !strings.Contains(err.Error(), "key.pem") {
		t.Errorf("serveHTTP: %v, want an error about key.pem", err)
	}
	if err := l.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
}
