package web_test

import (
	"context"
	"crypto/tls"
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
	"rsyncd_exporter/internal/web"
)

// FAULTS H8: a web configuration that breaks while it runs lets nobody in, and works again once it is mended.
func TestWebConfigThatBreaksWhileRunning(t *testing.T) {
	path, client := testenv.WebConfig(t, false, true, "")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	address, _ := startHTTP(t, web.Options{Config: path})
	const right = "Basic cHJvbWV0aGV1czpzZWNyZXQ=" // prometheus:secret
	for _, c := range []struct {
		config string
		want   int
	}{{string(good), 200}, {"basic_auth_users: [", 500}, {string(good), 200}} {
		testenv.WriteFile(t, path, c.config)
		resp, body := testenv.Fetch(t, client, "GET", "http://"+address+"/metrics", "Authorization", right)
		if resp.StatusCode != c.want || c.want != 200 && strings.Contains(body, "test_total") {
			t.Errorf("with %.30q: %s, want %d", c.config, resp.Status, c.want)
		}
		if resp, _ := testenv.Fetch(t, client, "GET", "http://"+address+"/-/healthy"); resp.StatusCode != 200 {
			t.Errorf("with %.30q: /-/healthy: %s", c.config, resp.Status)
		}
	}
}

// The connections of an encrypted server are limited as well, and idle ones make room.
func TestIdleTLSConnectionsKeepNobodyOut(t *testing.T) {
	path, client := testenv.WebConfig(t, true, false, "")
	address, _ := startHTTP(t, web.Options{Config: path})
	for i := range 300 {
		conn := dialHTTP(t, address)
		if i%3 == 0 {
			_ = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).Handshake() // and then no request
		}
	}
	if resp, _ := testenv.Fetch(t, client, "GET", "https://"+address+"/metrics"); resp.StatusCode != 200 {
		t.Errorf("a scrape beside 300 idle connections: %s", resp.Status)
	}
}

// A scrape under way is answered, however many connections come meanwhile.
func TestScrapeUnderWaySurvivesAFlood(t *testing.T) {
	g := heldPage{make(chan struct{}), make(chan struct{})}
	address, _ := startHTTP(t, web.Options{Pages: scrapes(g)})
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-g.began
	for range 600 {
		dialHTTP(t, address)
	}
	if resp, _ := testenv.Fetch(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "GET", "http://"+address+"/-/healthy"); resp.StatusCode != 200 {
		t.Errorf("beside the flood: %s", resp.Status)
	}
	close(g.goOn)
	if got := <-answer; !strings.Contains(got, "\ntest_total 7\n") {
		t.Errorf("the scrape under way got %q", got)
	}
}

// A request that doesn't end is given up after the grace, which is what the inputs have left of five seconds.
func TestShutdownGivesUpAScrapeThatDoesntEnd(t *testing.T) {
	g := heldPage{make(chan struct{}), make(chan struct{})}
	l, err := web.Listen("127.0.0.1:0", net.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := withDefaults(web.Options{Pages: scrapes(g)})
	done := make(chan error, 1)
	go func() {
		done <- web.Serve(ctx, l, o, func() time.Duration { return 100 * time.Millisecond })
	}()
	fmt.Fprint(dialHTTP(t, l.Addr().String()), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	<-g.began
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the server waits for a scrape beyond its grace")
	}
	close(g.goOn)
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
				client.Timeout = 30 * time.Second // a connection that is refused is closed at once
				address, _ := startHTTP(t, web.Options{Config: path})
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
