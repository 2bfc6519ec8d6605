package ask_test

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/status/ask"
)

// get asks a server for /api/v1/sessions, with nobody's variables and home. It waits for a minute if o doesn't say.
func get(t *testing.T, base string, o ask.Options) (got struct{ Total int }, err error) {
	t.Helper()
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	c, err := ask.New(base, o)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Get(t.Context(), "/api/v1/sessions", &got)
	return got, err
}

// alone takes away what the surroundings say of passwords.
func alone(t *testing.T) (home string) {
	home = t.TempDir()
	for name, value := range map[string]string{"HOME": home, "NETRC": "", "RSYNCD_EXPORTER_USER": "",
		"RSYNCD_EXPORTER_PASSWORD": "", "HTTP_PROXY": "", "HTTPS_PROXY": ""} {
		t.Setenv(name, value)
	}
	return home
}

func TestGet(t *testing.T) {
	alone(t)
	for _, c := range []struct {
		name, base string
		answer     http.HandlerFunc
		wrong      []string // in the error; none: total is 3
	}{
		{"an answer", "", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"total": 3, "path": %q}`, r.URL.Path)
		}, nil},
		{"a prefix", "/rsyncd/", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/rsyncd/api/v1/sessions" {
				io.WriteString(w, `{"total": 3}`)
			}
		}, nil},
		{"braces in strings", "", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"total": 3, "x": "\"`+strings.Repeat("{", 2<<20)+`"}`)
		}, nil},
		{"no page", "", http.NotFound, []string{"no status page", "STATUS_PAGE=false"}},
		{"a password", "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
			[]string{"wants a password", "RSYNCD_EXPORTER_PASSWORD", `"machine 127.0.0.1 login`}},
		{"starting", "", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "reading what was logged: 5 bytes to go\x1b[31m\nmore", http.StatusServiceUnavailable)
		}, []string{`"503 Service Unavailable": "reading what was logged: 5 bytes to go\x1b[31m"`}},
		{"another program", "", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
			[]string{"no JSON"}},
		{"another version", "", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"total": "3"}`) },
			[]string{"same version"}},
		{"broken off", "", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"total": 3`)
		}, []string{"broke off"}},
		{"elsewhere", "", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2/x", http.StatusFound)
		}, []string{"302", "no redirection", `"http://127.0.0.2/`}},
		{"huge", "", func(w http.ResponseWriter, _ *http.Request) {
			chunk := []byte(strings.Repeat(" ", 1<<20))
			for range 65 {
				w.Write(chunk)
			}
		}, []string{"more than 64 MiB"}},
		{"huge in memory", "", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"total":3,"x":[`+strings.Repeat("{},", 1<<20)+`{}]}`)
		}, []string{"has 1048578 objects"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			got, err := get(t, server.URL+c.base, ask.Options{})
			if c.wrong == nil {
				if err != nil || got.Total != 3 {
					t.Errorf("total %d and %v, want 3", got.Total, err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range append(c.wrong, strings.TrimPrefix(server.URL, "http://")+": ") {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q lacks %q", err, w)
				}
			}
			if strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%q: an escape character", err)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	alone(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	base := "http://" + l.Addr().String()
	// the listener's queue takes the connection, and nobody answers
	if _, err := get(t, base, ask.Options{Timeout: 50 * time.Millisecond}); err == nil ||
		!strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("a server that waits: %v", err)
	}
	if _, err := get(t, "http://"+testenv.Unheard(t), ask.Options{}); err == nil ||
		!strings.Contains(err.Error(), "is the exporter running there?") {
		t.Errorf("a closed port: %v", err)
	}
}

func TestSlowBody(t *testing.T) {
	alone(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"total":`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	_, err := get(t, server.URL, ask.Options{Timeout: 50 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Error(err)
	}
}

// On loopback no certificate is checked, unless a password is sent.
func TestCertificates(t *testing.T) {
	alone(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"total": 3}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, server.URL, ask.Options{}); err != nil {
		t.Error(err)
	}
	secret := strings.Replace(server.URL, "https://", "https://u:hidden@", 1)
	_, err := get(t, secret, ask.Options{})
	if err == nil || !strings.Contains(err.Error(), "--ca-file=FILE") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("a password and a certificate that nobody knows: %v", err)
	}
	if got, err := get(t, secret, ask.Options{CAFile: ca}); err != nil || got.Total != 3 {
		t.Error(err)
	}
	if _, err := get(t, "http"+strings.TrimPrefix(server.URL, "https"), ask.Options{}); err == nil ||
		!strings.Contains(err.Error(), "write https://") {
		t.Errorf("http at a server of https: %v", err)
	}
}

// No client certificate is sent: an exporter that wants one can't be asked, and the error says why. With TLS 1.2, as by 1.3 the request
// may already be under way, and writing it fail first.
func TestClientCertificates(t *testing.T) {
	alone(t)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	if _, err := get(t, server.URL, ask.Options{}); err == nil || !strings.Contains(err.Error(), "it wants a client's certificate") {
		t.Error(err)
	}
}

func TestAddressesThatCanNotBe(t *testing.T) {
	home := alone(t)
	for base, want := range map[string]string{
		"127.0.0.1:8080": "write http://HOST:PORT", "localhost:8080": "write http://HOST:PORT", "": "write http://",
		"ftp://x": "write http://", "http://u:hidden@h:p": "write http://", "http://u:hidden@h/?x": "write http://",
	} {
		if _, err := ask.New(base, ask.Options{}); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: %v", base, err)
		}
	}
	c, err := ask.New("http://u:hidden@h:1/p/", ask.Options{})
	if err != nil || c.URL() != "http://h:1/p/" || c.Where() != "h:1/p" {
		t.Errorf("%v: %s, %s", err, c.URL(), c.Where())
	}
	for _, file := range []string{filepath.Join(home, "missing"), os.DevNull} {
		if _, err := ask.New("https://h", ask.Options{CAFile: file}); err == nil || !strings.Contains(err.Error(), "--ca-file=") {
			t.Errorf("--ca-file=%s: %v", file, err)
		}
	}
}

func TestPasswords(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "#right \"p" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		json.NewEncoder(w).Encode(map[string]int{"total": 3})
	}))
	defer server.Close()
	const right = `#right%20%22p`
	at := func(userinfo string) string { return strings.Replace(server.URL, "://", "://"+userinfo+"@", 1) }
	for _, c := range []struct {
		name, base, netrc string
		variables         [2]string
		want              string // in the error
	}{
		{"netrc", server.URL, "# mine\nmachine other login u password x\nmachine 127.0.0.1\n login u password \"#right \\\"p\"", [2]string{}, ""},
		{"netrc, wrong", server.URL, "machine 127.0.0.1 login u password wrong", [2]string{}, `the password of "u" from `},
		{"netrc, another machine", server.URL, "machine 127.0.0.11 login u password x", [2]string{}, "wants a password"},
		{"netrc by user", at("u"), "machine 127.0.0.1 login v password x\nmachine 127.0.0.1 login u password \"#right \\\"p\"", [2]string{}, ""},
		{"netrc, a default", server.URL, "macdef init\nmachine 127.0.0.1 login u password x\n\ndefault account z login u password \"#right \\\"p\"", [2]string{}, ""},
		{"variables", server.URL, "machine 127.0.0.1 login u password wrong", [2]string{"u", "#right \"p"}, ""},
		{"variables, wrong", server.URL, "", [2]string{"u", "x"}, "from RSYNCD_EXPORTER_USER and RSYNCD_EXPORTER_PASSWORD"},
		{"address", at("u:" + strings.ReplaceAll(right, "#", "%23")), "", [2]string{"u", "wrong"}, ""},
		{"user of the address", at("u"), "", [2]string{"", "#right \"p"}, ""},
		{"user alone", at("u"), "", [2]string{}, `the password of "u" from the address`},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := alone(t)
			if err := os.WriteFile(filepath.Join(home, ".netrc"), []byte(c.netrc), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("RSYNCD_EXPORTER_USER", c.variables[0])
			t.Setenv("RSYNCD_EXPORTER_PASSWORD", c.variables[1])
			got, err := get(t, c.base, ask.Options{})
			if c.want == "" && (err != nil || got.Total != 3) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("total %d and %v, want %q", got.Total, err, c.want)
			}
		})
	}
	alone(t)
	t.Setenv("NETRC", filepath.Join(t.TempDir(), "missing"))
	if _, err := ask.New(server.URL, ask.Options{}); err == nil || !strings.Contains(err.Error(), "netrc: ") {
		t.Errorf("a NETRC that isn't there: %v", err)
	}
	alone(t)
	t.Setenv("HOME", os.DevNull) // as services have it
	if _, err := ask.New(server.URL, ask.Options{}); err != nil {
		t.Errorf("a HOME that is no directory: %v", err)
	}
	alone(t)
	t.Setenv("RSYNCD_EXPORTER_PASSWORD", "x")
	if _, err := ask.New(server.URL, ask.Options{}); err == nil || !strings.Contains(err.Error(), "set both") {
		t.Errorf("a password of nobody: %v", err)
	}
}
