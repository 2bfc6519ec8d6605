//go:build linux

package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// What is wrong with a page is seen: a script that throws, a picture that isn't there, and what the
// page's own policy forbids. So are its requests.
func TestFaultsAreSeen(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "font-src 'none'")
		fmt.Fprint(w, `<link rel="icon" href="data:,"><style>@font-face{font-family:f;src:url(/font)} body{font-family:f}</style>
			text<img src="/missing.png"><script>throw new Error("thrown")</script>`)
	}))
	defer server.Close()
	b := Start(t, 300, 200)
	b.Open(t, server.URL+"/")
	all := strings.Join(b.Faults(), "\n")
	for _, want := range []string{"/missing.png: HTTP status 404", "thrown", "Content Security Policy"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not among the faults:\n%s", want, all)
		}
	}
	if !slices.Contains(b.Requests(), server.URL+"/missing.png") {
		t.Errorf("requests: %q", b.Requests())
	}
}
