package web

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// startGate serves pages behind exporter-toolkit and a gate, which it returns.
func startGate(t *testing.T, path string, pages http.Handler) (url string, gate *passwordGate) {
	t.Helper()
	l, err := Listen("127.0.0.1:0", net.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	o := withDefaults(Options{Config: path, Pages: pages})
	server := newHTTPServer(o)
	inFront := server.BaseContext
	started := make(chan struct{})
	server.BaseContext = func(l net.Listener) context.Context {
		defer close(started)
		toolkit := server.Handler
		ctx := inFront(l)
		gate = newPasswordGate(newWebFile(path), guessesWaiting, o.Log)
		gate.toolkit = toolkit
		server.Handler = outerHandler(gate, alwaysReady)
		return ctx
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serveWith(ctx, guardedListener(l, o), server, o, fiveSeconds) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-started
	return "http://" + l.Addr().String(), gate
}

// Only what exporter-toolkit's check has accepted counts as right, and only what it has refused as wrong, whatever the
// page behind it, or an error before it, answers.
func TestOnlyACheckTellsWhatIsRight(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.yml")
	testenv.PasswordFile(t, path, "secret")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		if n, _ := fmt.Sscanf(r.URL.Path, "/%d", &status); n == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status)
	})
	for i, c := range []struct {
		config, method, path, password string
		status                         int // 0: the connection is closed
		good, bad                      int // that are remembered then
	}{
		{"", "GET", "/200", "secret", 200, 1, 0},
		{"", "HEAD", "/200", "secret", 200, 1, 0},
		{"", "GET", "/401", "secret", 401, 1, 0}, // a page's own
		{"", "GET", "/404", "secret", 404, 1, 0},
		{"", "GET", "/304", "secret", 304, 1, 0},
		{"", "GET", "/500", "secret", 500, 1, 0},
		{"", "GET", "/panic", "secret", 0, 1, 0},
		{"", "GET", "/200", "guess", 401, 0, 1},
		{"", "GET", "/404", "guess", 401, 0, 1},
		{"", "GET", "/panic", "guess", 401, 0, 1},
		{"", "POST", "/200", "guess", 405, 0, 0},
		{"", "POST", "/200", "secret", 405, 0, 0},
		{"", "GET", "/-/healthy", "guess", 200, 0, 0},
		{"", "GET", "/-/ready", "secret", 200, 0, 0},
		{"", "GET", "/-/nothing", "guess", 401, 0, 1},
		{"basic_auth_users: [", "GET", "/200", "guess", 500, 0, 0},
		{"basic_auth_users: [", "GET", "/200", "secret", 500, 0, 0},
		{"http_server_config:\n  headers:\n    Nonsense: x\n" + string(good), "GET", "/200", "guess", 500, 0, 0},
		{"", "GET", "/200", "", 401, 0, 0},
		{"# nobody\n", "GET", "/200", "guess", 500, 0, 0}, // as a file looks that is being written
		{string(good[:18]), "GET", "/200", "", 500, 0, 0}, // likewise
	} {
		t.Run(fmt.Sprintf("%d %s %s %q", i, c.method, c.path, c.password), func(t *testing.T) {
			testenv.WriteFile(t, path, string(good))
			url, gate := startGate(t, path, pages)
			if c.config != "" {
				testenv.WriteFile(t, path, c.config)
			}
			r, err := http.NewRequest(c.method, url+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.password != "" {
				r.SetBasicAuth("prometheus", c.password)
			}
			status := 0
			if answer, err := http.DefaultClient.Do(r); err == nil {
				status = answer.StatusCode
				_, _ = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
			if status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			gate.queue.mu.Lock()
			defer gate.queue.mu.Unlock()
			if g, b := len(gate.queue.good.newer), len(gate.queue.bad.newer); g != c.good || b != c.bad {
				t.Errorf("%d credentials count as right and %d as wrong, want %d and %d", g, b, c.good, c.bad)
			}
		})
	}
}

// Without users nobody is asked for a password, and what is given for one counts as nothing: the file may get users.
func TestPasswordsThatNobodyAsksFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.yml")
	testenv.WriteFile(t, path, "# nobody\n")
	url, gate := startGate(t, path, http.NotFoundHandler())
	login := func() int {
		t.Helper()
		// prometheus:guess in base64
		resp, _ := testenv.Fetch(t, http.DefaultClient, "GET", url+"/metrics", "Authorization", "Basic cHJvbWV0aGV1czpndWVzcw==")
		return resp.StatusCode
	}
	for range 2 {
		if status := login(); status != 404 {
			t.Errorf("without users: status %d", status)
		}
	}
	if n := len(gate.queue.good.newer); n != 0 {
		t.Errorf("%d credentials count as right", n)
	}
	testenv.PasswordFile(t, path, "secret")
	if status := login(); status != 401 {
		t.Errorf("with users: status %d", status)
	}
}

// WEB_CONFIG and what it names are read before exporter-toolkit reads them, which would wait for ever or take all memory.
func TestWebConfigThatIsNoFileWhileRunning(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		for _, name := range []string{"web.yml", "cert.pem", "key.pem"} {
			if !encrypted && name != "web.yml" {
				continue
			}
			t.Run(fmt.Sprintf("TLS %v %s", encrypted, name), func(t *testing.T) {
				path, client := testenv.WebConfig(t, encrypted, true, "")
				client.Timeout = 5 * time.Second // a connection that is refused is closed at once
				address, _ := startHTTP(t, Options{Config: path})
				url := map[bool]string{false: "http://", true: "https://"}[encrypted] + address + "/metrics"
				const right = "Basic cHJvbWV0aGV1czpzZWNyZXQ=" // prometheus:secret
				file := filepath.Join(filepath.Dir(path), name)
				if resp, _ := testenv.Fetch(t, client, "GET", url, "Authorization", right); resp.StatusCode != 200 {
					t.Fatalf("at first: %s", resp.Status)
				}
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, instead := range testenv.NotRegular(t) {
					testenv.ReplaceByLink(t, file, instead)
					client.CloseIdleConnections()
					r, err := http.NewRequest("GET", url, nil)
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("Authorization", right)
					answer, err := client.Do(r)
					switch {
					case err == nil && (answer.StatusCode != 500 || encrypted):
						t.Fatalf("with %s: %s", instead, answer.Status)
					case err != nil && (!encrypted || os.IsTimeout(err)): // the next one may take all memory
						t.Fatalf("with %s: %v", instead, err)
					}
					if err == nil {
						answer.Body.Close()
					}
				}
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
				testenv.WriteFile(t, file, string(text))
				if resp, body := testenv.Fetch(t, client, "GET", url, "Authorization", right); resp.StatusCode != 200 ||
					!strings.Contains(body, "test_total") {
					t.Errorf("when it is back: %s", resp.Status)
				}
			})
		}
	}
}
