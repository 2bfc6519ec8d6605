// Package status is what people look at: the page at / and the same as JSON at /api/v1. It shows
// copies that are at most a second old, and makes none while nobody looks.
package status

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/status/api"
)

// Options say what is served.
type Options struct {
	// Look copies what there is to show. No two calls overlap, and they are at least a second apart.
	Look      func() *Moment
	Groups    clients.Groups
	Places    *clients.Places // nil: none are known
	Anonymise bool            // show networks, and no names of clients
	Expected  []backups.Expectation
	// Remedy says what helps if an input discards messages, or closes connections, for a reason.
	Remedy func(input, reason string) string
	Limits metrics.Limits // of the modules, by the names that sessions have
	Public bool           // addresses, clients' names, users, requests and paths are left out

	Version string
	Listens []string // where messages come in, for somebody who sees none
}

// A Moment is what there is to show at one time. Nobody changes it.
type Moment struct {
	*pipeline.View
	Live    metrics.Live
	Why     map[string]string // why a followed file or pattern isn't read, by its path
	Waiting string            // why the counters aren't shown yet; empty: they are
}

// Register adds the page and the API to a mux.
func Register(mux *http.ServeMux, o Options) {
	s := &server{Options: o, template: template.Must(template.ParseFS(assets, "page.html.tmpl"))}
	mux.HandleFunc("/{$}", s.page)
	mux.HandleFunc("/status.css", file("status.css", "text/css; charset=utf-8"))
	mux.HandleFunc("/status.js", file("status.js", "text/javascript; charset=utf-8"))
	for name, part := range map[string]func(*answer, int) any{
		"sessions": func(a *answer, n int) any { return a.sessions.first(n) },
		"modules":  func(a *answer, n int) any { return a.modules.first(n) },
		"clients":  func(a *answer, n int) any { return a.clients.first(n) },
		"backups":  func(a *answer, n int) any { return a.backups.first(n) },
		"errors":   func(a *answer, n int) any { return a.errors.first(n) },
		"inputs":   func(a *answer, _ int) any { return a.inputs },
	} {
		mux.HandleFunc("/api/v1/"+name, s.api(part))
	}
}

// fresh is how long an answer is given again.
const fresh = time.Second

type server struct {
	Options
	template *template.Template

	mu     sync.Mutex // held while a new answer is made: others wait for it
	made   time.Time
	answer *answer
}

// An answer is what a Moment looks like, already without what isn't to be shown.
type answer struct {
	at       time.Time
	waiting  string
	sessions sessions
	modules  modules
	clients  clientList
	backups  backupList
	errors   errorList
	inputs   api.Inputs
	remedy   func(input, reason string) string
	html     func() ([]byte, error) // the page, made once
}

func (s *server) now() *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer == nil || time.Since(s.made) >= fresh {
		a := s.answerOf(s.Look())
		a.html = sync.OnceValues(func() ([]byte, error) { return s.render(a) })
		s.answer, s.made = a, time.Now()
		time.AfterFunc(fresh, s.forget) // with a full table there may be no room for two
	}
	return s.answer
}

// forget lets go of an answer that isn't given again.
func (s *server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.made) >= fresh {
		s.answer = nil
	}
}

func (s *server) api(part func(a *answer, n int) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		limit := r.URL.Query().Get("limit")
		n, err := strconv.Atoi(limit)
		if limit == "" {
			n, err = -1, nil
		}
		if err != nil || limit != "" && n < 0 {
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]string{
				"error": fmt.Sprintf("limit=%.40q: not a number of rows: write limit=10", limit),
			})
			return
		}
		write(w, part(s.now(), n))
	}
}

// write writes a part as JSON. Sessions, of which there may be tens of thousands, are encoded one by
// one, as there isn't always memory for a text of all.
func write(w io.Writer, part any) {
	list, ok := part.(sessions)
	if !ok {
		json.NewEncoder(w).Encode(part) // fails only if nobody reads it any more
		return
	}
	out := bufio.NewWriterSize(w, 1<<15)
	begin := `{"sessions":[`
	out.WriteString(begin)
	for i := range list.visits {
		if i > 0 {
			out.WriteByte(',')
		}
		one, err := json.Marshal(list.show(&list.visits[i]))
		if err != nil {
			return
		}
		if _, err := out.Write(one); err != nil {
			return
		}
	}
	rest, err := json.Marshal(list.Sessions)
	if err != nil {
		return
	}
	out.Write(bytes.TrimPrefix(rest, []byte(begin)))
	out.WriteByte('\n')
	out.Flush()
}

// policy allows what the page has: its own style and script, and asking for itself.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

func (s *server) page(w http.ResponseWriter, _ *http.Request) {
	html, err := s.now().html()
	if err != nil {
		http.Error(w, "the page can't be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.Write(html)
}

//go:embed page.html.tmpl status.css status.js
var assets embed.FS

// file serves one of the page's files. Browsers ask for it each time: an update may change it.
func file(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeFileFS(w, r, assets, name)
	}
}
