package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/status/ask"
)

func TestHealthcheckOfARunningExporter(t *testing.T) {
	for _, c := range []struct {
		name            string
		encrypted, auth bool
	}{{"plain", false, false}, {"behind a password", false, true}, {"TLS with a certificate that nobody knows", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			path, _ := testenv.WebConfig(t, c.encrypted, c.auth, "")
			address, stop := startPages(t, path, testCounter())
			_, port, _ := net.SplitHostPort(address)
			scheme := map[bool]string{false: "http", true: "https"}[c.encrypted]
			testenv.SetEnv(t, "HTTP_LISTEN=:"+port, "WEB_CONFIG="+path, "FILE_POLL=nonsense", "NOSUCH=x") // serve's business
			t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")

			// It waits for an answer for three seconds only, which a busy machine may take.
			healthy := func(args ...string) (said string) {
				t.Helper()
				testenv.Until(t, time.Minute, fmt.Sprintf("good health, asked for by %q", args), func() bool {
					status, out, errs := runProgram(t, append([]string{"healthcheck"}, args...)...)
					said = out + errs
					return status == exitOK
				})
				return said
			}
			if said := healthy(); said != "" {
				t.Errorf("output %q", said)
			}
			testenv.SetEnv(t)
			for _, args := range [][]string{{"--http-listen=0.0.0.0:" + port, "--web-config", path}, {"-x", port, "--web-config", path}, {"--url", scheme + "://" + address + "/-/healthy"}} {
				healthy(args...)
			}
			if status, _, errs := runProgram(t, "healthcheck", "--url="+scheme+"://"+address+"/nothing"); status != exitFailure || !strings.Contains(errs, " answers 40") {
				t.Errorf("a page that isn't there or allowed: status %d, %q", status, errs)
			}
			stop()
			_, port, _ = net.SplitHostPort(testenv.Unheard(t)) // somebody else may have got the other one
			if status, _, errs := runProgram(t, "healthcheck", "-x", port, "--web-config", path); status != exitFailure || !strings.Contains(errs, "refused") {
				t.Errorf("after the end: status %d, %q", status, errs)
			}
		})
	}
}

func TestHealthcheckAsksWhereTheExporterListens(t *testing.T) {
	encrypted, _ := testenv.WebConfig(t, true, false, "")
	plain, _ := testenv.WebConfig(t, false, true, "")
	for _, c := range []struct{ listen, web, want string }{
		{":8080", "", "http://127.0.0.1:8080/-/healthy"},
		{"0.0.0.0:9", "", "http://127.0.0.1:9/-/healthy"},
		{"[::]:9", "", "http://[::1]:9/-/healthy"},
		{"[fe80::1%eth0]:9", "", "http://[fe80::1%25eth0]:9/-/healthy"},
		{"10.1.2.3:9", plain, "http://10.1.2.3:9/-/healthy"},
		{"localhost:9", encrypted, "https://localhost:9/-/healthy"},
	} {
		testenv.SetEnv(t)
		got, err := config.HealthURL([]string{"--http-listen=" + c.listen, "--web-config=" + c.web})
		if c.web == "" {
			got, err = config.HealthURL([]string{"--http-listen=" + c.listen})
		}
		if got != c.want || err != nil {
			t.Errorf("%s, %s: %s, %v, want %s", c.listen, c.web, got, err, c.want)
		}
	}
}

func TestHealthcheckSettingsProblems(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--http-listen=127.0.0.1:0"}, `HTTP_LISTEN="127.0.0.1:0" (from --http-listen): port 0 stands for any free port: use --url=`},
		{[]string{"--http-listen=8080"}, `HTTP_LISTEN="8080" (from --http-listen): it has no colon`},
		{[]string{"--web-config=/does/not/exist"}, `WEB_CONFIG="/does/not/exist" (from --web-config): open /does/not/exist: `},
		{[]string{"--nosuch"}, "flag --nosuch is unknown"},
	} {
		testenv.SetEnv(t)
		status, _, errs := runProgram(t, append([]string{"healthcheck"}, c.args...)...)
		if status != exitUsage || !strings.HasPrefix(errs, "rsyncd_exporter: "+c.want) {
			t.Errorf("%q: status %d, %s", c.args, status, errs)
		}
	}
}

func TestHealthcheckFollowsNoRedirection(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}
	}))
	defer server.Close()
	if err := askHealth(context.Background(), server.URL+"/"); err == nil || !strings.HasSuffix(err.Error(), "answers 302 Found") {
		t.Errorf("error %v", err)
	}
}

func TestHealthcheckGivesUp(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, answers never
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	start := time.Now()
	err = askHealth(context.Background(), "http://"+l.Addr().String())
	var timeout interface{ Timeout() bool }
	took, timed := time.Since(start), errors.As(err, &timeout) && timeout.Timeout()
	if !timed || took < 2900*time.Millisecond || took > time.Minute {
		t.Errorf("after %v: %v, want a time-out after 3 s", took, err)
	}
}

func TestHealthcheckChecksCertificatesOfOtherMachines(t *testing.T) {
	for host, want := range map[string]bool{"127.0.0.1": true, "127.9.9.9": true, "::1": true, "localhost": true, "10.0.0.1": false, "example.org": false, "": false, "localhost.example.org": false} {
		if got := ask.IsLoopback(host); got != want {
			t.Errorf("ask.IsLoopback(%q) = %v, want %v", host, got, want)
		}
	}
}
