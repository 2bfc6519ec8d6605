package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// scrapeTimeout is Prometheus' default.
const scrapeTimeout = 10 * time.Second

// A loginClient asks for /metrics with passwords, from an address of its own for each connection.
type loginClient struct {
	http.Client
	url string
}

// newLoginClient returns a client that has a new connection for each request, from the address that source gives.
func newLoginClient(url string, source func() net.IP) *loginClient {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: source()}}
		return d.DialContext(ctx, network, address)
	}
	return &loginClient{http.Client{
		Timeout: scrapeTimeout, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
	}, url}
}

// login returns the status of the answer, 0 for none within scrapeTimeout.
func (c *loginClient) login(ctx context.Context, user, password string) int {
	r, err := http.NewRequestWithContext(ctx, "GET", c.url+"/metrics", nil)
	if err != nil {
		return 0
	}
	r.SetBasicAuth(user, password)
	answer, err := c.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

func ownAddress() net.IP { return net.IPv4(127, 0, 0, 1) }

func anyLoopback() net.IP {
	return net.IPv4(127, byte(rand.N(255)), byte(rand.N(255)), byte(1+rand.N(250)))
}

// flood has so many guessers send other passwords without a pause, until the test's end or stop. It returns once they
// have had as many answers.
func flood(t *testing.T, url string, guessers int, source func() net.IP) (stop func() (answered int64)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var answered atomic.Int64
	for range guessers {
		group.Go(func() {
			client := newLoginClient(url, source)
			for ctx.Err() == nil {
				switch status := client.login(ctx, "prometheus", fmt.Sprint(rand.Uint64())); status {
				case 0: // stopped, or its connection had to make room
				case http.StatusUnauthorized, http.StatusTooManyRequests:
					answered.Add(1)
				default:
					t.Errorf("a wrong password: status %d", status)
				}
			}
		})
	}
	stop = func() int64 {
		cancel()
		group.Wait()
		return answered.Load()
	}
	t.Cleanup(func() { stop() })
	testenv.Until(t, time.Minute, "the flood to begin", func() bool { return answered.Load() >= int64(guessers) })
	return stop
}

// startWithPasswords starts the program as it is released: the race detector makes passwords take many times as long.
func startWithPasswords(t *testing.T, webConfig string) *process {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	return startReleased(t, address, nil, "--http-listen="+address, "--listen-udp=127.0.0.1:0", "--web-config="+webConfig)
}

// FAULTS H7: the first scrape after a start, and those behind it, are answered beside any number of guessers that is
// usual, wherever they are.
func TestTheFirstScrapeBesideGuessers(t *testing.T) {
	for _, c := range []struct {
		name     string
		guessers int
		source   func() net.IP
	}{
		{"of many addresses", 24, anyLoopback},
		{"at the scraper's own address", 24, ownAddress},
		{"more than may wait, of one network", 150, func() net.IP { return net.IPv4(127, 9, 9, byte(1+rand.N(250))) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.SetEnv(t)
			path := filepath.Join(t.TempDir(), "web.yml")
			testenv.PasswordFile(t, path, "secret")
			e := startWithPasswords(t, path)
			stop := flood(t, e.url, c.guessers, c.source)
			scraper := newLoginClient(e.url, ownAddress)
			for i := range 5 {
				if status := scraper.login(t.Context(), "prometheus", "secret"); status != http.StatusOK {
					t.Errorf("scrape %d: status %d", i, status)
				}
			}
			t.Logf("%d guesses were answered meanwhile", stop())
		})
	}
}

// What can't be checked is not taken for right: guesses while the web configuration can't be used leave nothing behind.
func TestGuessesThatNobodyChecked(t *testing.T) {
	testenv.SetEnv(t)
	path := filepath.Join(t.TempDir(), "web.yml")
	testenv.PasswordFile(t, path, "secret")
	e := startExporter(t, "--listen-udp=127.0.0.1:0", "--web-config="+path)
	client, guesser := newLoginClient(e.url, ownAddress), newLoginClient(e.url, anyLoopback)
	testenv.WriteFile(t, path, "basic_auth_users: [")
	for i := range 300 {
		if status := guesser.login(t.Context(), "prometheus", fmt.Sprint("guess", i)); status != 500 {
			t.Fatalf("with a broken configuration: status %d, want 500", status)
		}
	}
	testenv.PasswordFile(t, path, "secret")
	flood(t, e.url, 4, ownAddress)
	for i := range 20 {
		if status := client.login(t.Context(), "prometheus", "secret"); status != http.StatusOK {
			t.Errorf("scrape %d: status %d", i, status)
		}
	}
}

// A changed password is in force at once, beside guessers too: the old one is refused, the new one accepted.
func TestAChangedPasswordBesideGuessers(t *testing.T) {
	testenv.SetEnv(t)
	path := filepath.Join(t.TempDir(), "web.yml")
	testenv.PasswordFile(t, path, "old")
	e := startWithPasswords(t, path)
	client := newLoginClient(e.url, ownAddress)
	expect := func(password string, want int) {
		t.Helper()
		if status := client.login(t.Context(), "prometheus", password); status != want {
			t.Errorf("password %q: status %d, want %d", password, status, want)
		}
	}
	expect("new", 401)
	expect("old", 200)
	flood(t, e.url, 12, anyLoopback)
	for range 2 {
		testenv.PasswordFile(t, path, "new")
		expect("old", 401)
		expect("new", 200)
		testenv.PasswordFile(t, path, "old")
		expect("new", 401)
		expect("old", 200)
	}
}
