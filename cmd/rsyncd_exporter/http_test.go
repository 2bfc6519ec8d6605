package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/crypto/bcrypt"
)

// startHTTP serves metrics at 127.0.0.1 and returns the address. stop stops the server, fails the test if that fails, and may be called twice.
func startHTTP(t *testing.T, cfg Config, metrics prometheus.Gatherer, ready func() error) (address string, stop func()) {
	t.Helper()
	cfg.HTTPListen = "127.0.0.1:0"
	l, err := listenHTTP(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	done := make(chan error, 1)
	go func() { done <- serveHTTP(ctx, l, newHTTPServer(&cfg, metrics, ready, log), &cfg, log, fiveSeconds) }()
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

// oneCounter is a registry with the counter test_total at 7.
func oneCounter() *prometheus.Registry {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "test_total", Help: "A counter."})
	c.Add(7)
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	return r
}

func alwaysReady() error { return nil }

func fiveSeconds() time.Duration { return 5 * time.Second }

// fetch makes a request and returns the answer with its body.
func fetch(t *testing.T, client *http.Client, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestPages(t *testing.T) {
	address, _ := startHTTP(t, Config{}, oneCounter(), alwaysReady)
	for _, c := range []struct {
		method, path string
		status       int
		kind, body   string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "Version " + buildInfo().Version},
		{"GET", "/", 200, "text/html; charset=utf-8", `<a href="metrics">`},
		{"GET", "/metrics", 200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", "\ntest_total 7\n"},
		{"GET", "/-/healthy", 200, "text/plain; charset=utf-8", "healthy\n"},
		{"GET", "/-/ready", 200, "text/plain; charset=utf-8", "ready\n"},
		{"GET", "/nothing", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/-/", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/metrics/", 404, "text/plain; charset=utf-8", "not found"},
		{"HEAD", "/metrics", 200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", ""},
		{"HEAD", "/-/healthy", 200, "text/plain; charset=utf-8", ""},
		{"POST", "/", 405, "text/plain; charset=utf-8", "only GET and HEAD"},
		{"POST", "/metrics", 405, "text/plain; charset=utf-8", "only GET and HEAD"},
		{"DELETE", "/-/healthy", 405, "text/plain; charset=utf-8", "only GET and HEAD"},
		{"OPTIONS", "/-/ready", 405, "text/plain; charset=utf-8", "only GET and HEAD"},
	} {
		resp, body := fetch(t, http.DefaultClient, c.method, "http://"+address+c.path)
		h := resp.Header
		if resp.StatusCode != c.status || h.Get("Content-Type") != c.kind || !strings.Contains(body, c.body) || c.method == "HEAD" && body != "" {
			t.Errorf("%s %s: %s, %s\n%s", c.method, c.path, resp.Status, h.Get("Content-Type"), body)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "deny" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none';") {
			t.Errorf("%s %s: a security header is missing: %v", c.method, c.path, h)
		}
		if got := h.Get("Allow"); (got == "GET, HEAD") != (c.status == 405) {
			t.Errorf("%s %s: Allow: %q", c.method, c.path, got)
		}
	}
}

func TestReadyTellsWhyNot(t *testing.T) {
	address, _ := startHTTP(t, Config{}, oneCounter(), func() error { return errors.New("two files to go") })
	if resp, body := fetch(t, http.DefaultClient, "GET", "http://"+address+"/-/ready"); resp.StatusCode != 503 || body != "not ready: two files to go\n" {
		t.Errorf("/-/ready: %s %q", resp.Status, body)
	}
	if resp, _ := fetch(t, http.DefaultClient, "GET", "http://"+address+"/-/healthy"); resp.StatusCode != 200 {
		t.Errorf("/-/healthy: %s", resp.Status)
	}
}

func TestOpenMetricsHasCreatedTimestamps(t *testing.T) {
	address, _ := startHTTP(t, Config{}, oneCounter(), alwaysReady)
	resp, body := fetch(t, http.DefaultClient, "GET", "http://"+address+"/metrics", "Accept", "application/openmetrics-text;version=1.0.0")
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/openmetrics-text") ||
		!strings.Contains(body, "\ntest_total 7.0\n") || !strings.Contains(body, "\ntest_created ") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("%s\n%s", resp.Header.Get("Content-Type"), body)
	}
}

func TestTimeoutsAndLimitsAreSet(t *testing.T) {
	s := newHTTPServer(&Config{}, oneCounter(), alwaysReady, slog.New(slog.DiscardHandler))
	if s.ReadHeaderTimeout != 5*time.Second || s.ReadTimeout != 10*time.Second || s.WriteTimeout != 30*time.Second ||
		s.IdleTimeout != time.Minute || s.MaxHeaderBytes != 16384 {
		t.Errorf("read header %v, read %v, write %v, idle %v, header %d bytes", s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout, s.MaxHeaderBytes)
	}
}

func TestHeaderOf20KiBIsRefused(t *testing.T) {
	address, _ := startHTTP(t, Config{}, oneCounter(), alwaysReady)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // net/http's limit is 4 KiB wider on a connection's later requests
	for size, want := range map[int]int{15 << 10: 200, 20 << 10: 431} {
		if resp, _ := fetch(t, client, "GET", "http://"+address+"/-/healthy", "X-Long", strings.Repeat("x", size)); resp.StatusCode != want {
			t.Errorf("a header of %d bytes: %s, want %d", size, resp.Status, want)
		}
	}
}

// There are never more than 256 connections, and always room for one more: the one goes that has waited the longest.
func TestConnectionsAreLimited(t *testing.T) {
	address, _ := startHTTP(t, Config{}, oneCounter(), alwaysReady)
	ask := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprint(conn, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("no answer: %v", err)
		}
		return conn
	}
	closed := func(conns []net.Conn) (n int) {
		for _, conn := range conns {
			conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := io.Copy(io.Discard, conn); !errors.Is(err, os.ErrDeadlineExceeded) {
				n++
			}
		}
		return n
	}
	var conns []net.Conn
	for range 256 {
		conns = append(conns, ask())
	}
	if n := closed(conns); n != 0 {
		t.Fatalf("%d of 256 connections were closed", n)
	}
	for range 10 {
		conns = append(conns, ask())
	}
	// The server notes that a connection waits again after it has answered, so neighbours may change places.
	if early, all := closed(conns[:20]), closed(conns); early != 10 || all != 10 {
		t.Errorf("%d connections were closed, %d of the first 20; want 10 and 10", all, early)
	}
}

// A connection that is served makes room for none.
func TestServedConnectionsStay(t *testing.T) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	limited := limitConnections(l, 1)
	dial := func() {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	dial()
	served, err := limited.Accept()
	if err != nil {
		t.Fatal(err)
	}
	connState(served, http.StateActive)
	dial()
	second := make(chan net.Conn, 1)
	go func() {
		conn, err := limited.Accept()
		if err != nil {
			t.Error(err)
		}
		second <- conn
	}()
	select {
	case <-second:
		t.Fatal("a second connection beside one that is served")
	case <-time.After(100 * time.Millisecond):
	}
	connState(served, http.StateIdle)
	conn := <-second
	if _, err := served.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the idle one: %v, want it closed", err)
	}
	served.Close() // net/http does, too
	if limited.open != 1 {
		t.Errorf("%d are open, want 1", limited.open)
	}

	connState(conn, http.StateActive)
	dial()
	ended := make(chan error, 1)
	go func() {
		_, err := limited.Accept()
		ended <- err
	}()
	limited.Close()
	limited.Close() // once more does no harm
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v, want net.ErrClosed", err)
	}
}

// A heldGatherer lets each Gather tell that it began, and wait until it is let go.
type heldGatherer struct {
	began chan struct{}
	goOn  chan struct{}
}

func (g heldGatherer) Gather() ([]*dto.MetricFamily, error) {
	g.began <- struct{}{}
	<-g.goOn
	return oneCounter().Gather()
}

// Four scrapes are answered at the same time; the fifth waits for its turn.
func TestTheFifthScrapeAtOnceWaits(t *testing.T) {
	g := heldGatherer{make(chan struct{}), make(chan struct{})}
	address, _ := startHTTP(t, Config{}, g, alwaysReady)
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
	g := heldGatherer{make(chan struct{}), make(chan struct{})}
	address, stop := startHTTP(t, Config{}, g, alwaysReady)
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
	waitFor(t, "the listener to close", func() bool {
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
	l, err := listenHTTP(&Config{HTTPListen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	if _, err := listenHTTP(&Config{HTTPListen: taken}); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("HTTP_LISTEN=%q: listen tcp4 ", taken)) {
		t.Errorf("error %v", err)
	}
}

// webFiles makes a web configuration file, with a certificate for 127.0.0.1 and the user prometheus (password "secret") where asked for.
func webFiles(t *testing.T, encrypted, auth bool, more string) (path string, client *http.Client) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "web.yml")
	text := more
	client = &http.Client{Timeout: 10 * time.Second}
	if encrypted {
		roots := x509.NewCertPool()
		roots.AddCert(makeCertificate(t, dir))
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
		t.Cleanup(client.CloseIdleConnections)
		text += "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
	}
	if auth {
		hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("basic_auth_users:\n  prometheus: %q\n", hash)
	}
	writeFile(t, path, text)
	return path, client
}

// makeCertificate writes cert.pem and key.pem, self-signed, for 127.0.0.1.
func makeCertificate(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, &x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return cert
}

func TestHealthIsServedWithoutThePasswordAndTheRestIsNot(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", encrypted), func(t *testing.T) {
			path, client := webFiles(t, encrypted, true, "")
			address, _ := startHTTP(t, Config{WebConfig: path}, oneCounter(), alwaysReady)
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
				resp, body := fetch(t, client, "GET", base+c.path, header...)
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
	path, client := webFiles(t, false, false, "http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n")
	address, _ := startHTTP(t, Config{WebConfig: path}, oneCounter(), alwaysReady)
	resp, _ := fetch(t, client, "GET", "http://"+address+"/")
	if got := resp.Header.Values("X-Frame-Options"); len(got) != 1 || got[0] != "sameorigin" {
		t.Errorf("X-Frame-Options %q, want sameorigin", got)
	}
}

func TestWebConfigThatBrokeAfterTheCheck(t *testing.T) {
	path, _ := webFiles(t, true, false, "")
	cfg := &Config{HTTPListen: "127.0.0.1:0", WebConfig: path}
	l, err := listenHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(path), "key.pem")); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if err := serveHTTP(context.Background(), l, newHTTPServer(cfg, oneCounter(), alwaysReady, log), cfg, log, fiveSeconds); err == nil || !strings.Contains(err.Error(), "key.pem") {
		t.Errorf("serveHTTP: %v, want an error about key.pem", err)
	}
	if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
		conn.Close()
		t.Error("the listener is still open")
	}
}
