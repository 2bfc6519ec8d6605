package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/status/api"
)

// exporterOf answers as an exporter does, with a session of that module, behind the password if there is one.
func exporterOf(t *testing.T, module, password string) *httptest.Server {
	t.Helper()
	started := time.Now()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		switch {
		case given != password:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path != "/api/v1/sessions":
			http.NotFound(w, r)
		default:
			json.NewEncoder(w).Encode(api.Sessions{Total: 1, States: map[string]int{"running": 1}, Sessions: []api.Session{{
				PID: 7, State: "running", Module: module, Client: api.Client{Address: "192.0.2.1"}, Started: started, FileBytes: 5000, LastPath: "a\u202eb",
			}}})
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func TestWho(t *testing.T) {
	testenv.SetEnv(t, "FILE_POLL=nonsense", "NOSUCH=x") // serve's business
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("NETRC", "")
	one, two, closed := exporterOf(t, "mirror", ""), exporterOf(t, "backup", "secret"), httptest.NewServer(nil)
	closed.Close()
	none := httptest.NewServer(http.NotFoundHandler())
	defer none.Close()
	address := strings.TrimPrefix(one.URL, "http://")
	for _, c := range []struct {
		netrc     string
		args      []string
		status    int
		out, errs string // "": nothing
	}{
		{"", []string{"who", "--url=" + one.URL}, exitOK, "≥4.88 KiB  a\\u202eb\n", ""},
		{"", []string{"who", "--http-listen=" + address}, exitOK, "1 session at " + address + ": 1 running; at least 4.88 KiB", ""},
		{"", []string{"who", "--url", one.URL, "--oneline"}, exitOK, "1 session: 1 running; at least 4.88 KiB in 0 files\n", ""},
		{"", []string{"who", "--url", one.URL, "--json"}, exitOK, `{"sessions":[{"pid":7,`, ""},
		{"", []string{"who", "--url", one.URL, "--module=backup"}, exitOK, "no sessions at " + address + "\n", ""},
		{"", []string{"who", "--url", one.URL, "--client=198.51.100.0/24", "--direction=send", "--json"}, exitOK, `"total":0,`, ""},
		{"", []string{"who", "--url", closed.URL}, exitFailure, "", "is the exporter running there?"},
		{"", []string{"who", "--url", closed.URL, "--oneline"}, exitFailure, "the exporter gives no answer\n", "is the exporter running there?"},
		{"", []string{"who", "--url", closed.URL, "--json"}, exitFailure, "", "not reached"},
		{"", []string{"who", "--url", none.URL}, exitFailure, "", "STATUS_PAGE=false"},
		{"", []string{"who", "--url", two.URL}, exitFailure, "", "wants a password"},
		{"machine 127.0.0.1 login u password secret", []string{"who", "--url", two.URL}, exitOK, "backup", ""},
		{"machine 127.0.0.1 login u password wrong", []string{"who", "--url", two.URL}, exitFailure, "", `doesn't take the password of "u" from ` + home},
		{"", []string{"who", "--url", one.URL, "--url", closed.URL}, exitFailure, "mirror", "not reached"},
		{"machine 127.0.0.1 login u password secret", []string{"who", "--url", closed.URL, "--url", two.URL, "--json"}, exitFailure,
			`{"url":"` + two.URL + `","pid":7,`, "not reached"},
		{"", []string{"top", "--url", one.URL}, exitOK, "a\\u202eb\n", ""}, // no terminal
		{"", []string{"top", "--url", closed.URL, "-b", "-n", "2", "-d", "0.1"}, exitFailure, "\n", "not reached"},
		{"", []string{"who", "--url=nonsense"}, exitUsage, "", "write http://HOST:PORT"},
		{"", []string{"who", "--direction=pull", "--url=x"}, exitUsage, "", "it is send"},
		{"", []string{"who", "--json", "--oneline"}, exitUsage, "", "exclude each other"},
		{"", []string{"who", "mirror"}, exitUsage, "", `unexpected argument "mirror"`},
		{"", []string{"who", "--modul=x"}, exitUsage, "", "did you mean --module"},
		{"", []string{"who", "--http-listen=:0"}, exitUsage, "", "use --url=http://127.0.0.1:PORT"},
		{"", []string{"top", "-d", "0"}, exitUsage, "", `-d "0"`},
		{"", []string{"top", "-n", "0"}, exitUsage, "", `-n "0"`},
		{"", []string{"who", "--help"}, exitOK, "Usage: rsyncd_exporter who", ""},
		{"", []string{"top", "--help"}, exitOK, "Usage: rsyncd_exporter top", ""},
	} {
		testenv.WriteFile(t, filepath.Join(home, ".netrc"), c.netrc)
		status, out, errs := runProgram(t, c.args...)
		if status != c.status || !strings.Contains(out, c.out) || c.out == "" && out != "" || !strings.Contains(errs, c.errs) ||
			c.errs == "" && errs != "" {
			t.Errorf("%q with %q: status %d, want %d\n%s\n%s", c.args, c.netrc, status, c.status, out, errs)
		}
		if strings.ContainsAny(out+errs, "\x1b\u202e") {
			t.Errorf("%q: %q", c.args, out+errs)
		}
	}
}

// The variables are for these commands alone, and beat netrc.
func TestWhoWithVariables(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("NETRC", filepath.Join(home, "other"))
	testenv.WriteFile(t, filepath.Join(home, "other"), "default login u password wrong")
	testenv.SetEnv(t, "USER=u", "PASSWORD=secret")
	if status, out, errs := runProgram(t, "who", "--oneline", "--url="+exporterOf(t, "backup", "secret").URL); status != exitOK {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	if status, _, errs := runProgram(t, "check"); status != exitOK {
		t.Errorf("check: status %d, %s", status, errs)
	}
}
