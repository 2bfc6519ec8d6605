package status_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/status"
	"rsyncd_exporter/status/api"
	"rsyncd_exporter/status/recent"
)

// get asks a server for one part of the API.
func get[T any](t *testing.T, url string) (answer T) {
	t.Helper()
	resp, body := testenv.Fetch(t, http.DefaultClient, "GET", url)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %s, %s", url, resp.Status, resp.Header.Get("Content-Type"))
	}
	if !utf8.ValidString(body) || strings.ContainsFunc(strings.TrimSuffix(body, "\n"), unicode.IsControl) {
		t.Errorf("%s: control characters, or no UTF-8: %q", url, body)
	}
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&answer); err != nil {
		t.Fatalf("%s: %v: %s", url, err, body)
	}
	return answer
}

// By hand: of three sessions in module data, one has ended with 1000 bytes sent, one ended with exit code 12, and one
// runs, a push with two files of 300 and 400 bytes, one deletion and one file that failed. A client is turned away.
func threeSessions(t *testing.T) *world {
	w := newWorld(t, "data")
	w.connect(10*time.Minute, 1, "a.example.org", "192.0.2.1", "on", "data", "data/", "")
	w.done(9*time.Minute, 1, 1000, 20, 5000)
	w.connect(8*time.Minute, 2, "UNKNOWN", "2001:db8::2", "on", "data", "data/x", "")
	w.log(7*time.Minute, 2, "rsync error: error in rsync protocol data stream (code 12) at io.c(232) [sender=3.4.1]")
	w.log(6*time.Minute, 3, "connect from UNKNOWN (203.0.113.9)", "unknown module 'nope' tried from UNKNOWN (203.0.113.9)")
	w.connect(5*time.Minute, 4, "c.example.org", "192.0.2.3", "to", "data", "data/in", "carol")
	w.moved(4*time.Minute, 4, "recv", "c.example.org", "192.0.2.3", "data", "carol", "one", 300)
	w.moved(4*time.Minute, 4, "recv", "c.example.org", "192.0.2.3", "data", "carol", "dir/two", 400)
	w.log(3*time.Minute, 4, `rsync: [receiver] mkstemp "/x" (in data) failed: Permission denied (13)`)
	w.moved(3*time.Minute, 4, "del.", "c.example.org", "192.0.2.3", "data", "carol", "old", 0)
	w.caughtUp()
	return w
}

func TestSessions(t *testing.T) {
	w := threeSessions(t)
	got := get[api.Sessions](t, w.serve(nil).URL+"/api/v1/sessions")
	late := time.Since(w.now).Seconds() + 1 // a stamp is of a whole second
	if got.Total != 1 || len(got.Sessions) != 1 || got.States["failing"] != 1 || got.States["running"] != 0 {
		t.Fatalf("%+v", got)
	}
	x := got.Sessions[0]
	if x.PID != 4 || x.Client != (api.Client{Name: "c.example.org", Address: "192.0.2.3"}) || x.Module != "data" || x.User != "carol" ||
		x.Direction != "receive" || x.State != "failing" || x.Files != 3 || x.FileBytes != 700 || x.Request != "data/in" || x.LastPath != "old" {
		t.Errorf("%+v", x)
	}
	if x.Age < 299 || x.Age > 300+late || x.Silent < 179 || x.Silent > 180+late ||
		time.Since(x.Started) < 299*time.Second {
		t.Errorf("age %v s, silent for %v s, since %v; want 300, 180", x.Age, x.Silent, x.Started)
	}
	var ended []string
	for _, e := range got.Ended {
		ended = append(ended, fmt.Sprint(e.PID, e.Outcome, e.Reason, e.ExitCodes, e.Sent, e.Received, e.Listed, e.Duration, e.Client.Address))
	}
	want := []string{"3rejectedunknown_module[] 0 0 0 0203.0.113.9", "2aborted[12] 0 0 0 602001:db8::2", "1ok[] 1000 20 5000 60192.0.2.1"}
	if !slices.Equal(ended, want) {
		t.Errorf("ended: %q, want %q", ended, want)
	}
}

func TestModules(t *testing.T) {
	w := threeSessions(t)
	s := w.serve(func(o *status.Options) { o.Limits = metrics.Limits{"data": {MaxConnections: 8}} })
	got := get[api.Modules](t, s.URL+"/api/v1/modules")
	if got.Total != 2 || got.Modules[0].Module != "data" || got.Modules[1].Module != "" {
		t.Fatalf("%+v", got)
	}
	m := got.Modules[0]
	if m.Active != 1 || m.Peak != 1 || m.PeakAt == nil || m.MaxConnections != 8 || m.PlacesTaken != 1 || m.Executions != 3 ||
		m.Sent != 1000 || m.Received != 20 ||
		m.Sessions["ok"] != 1 || m.Sessions["aborted"] != 1 || len(m.Sessions) != 2 || len(m.Rejected) != 0 {
		t.Errorf("%+v", m)
	}
	if n := got.Modules[1]; n.Rejected["unknown_module"] != 1 || n.Sessions["rejected"] != 1 || n.MaxConnections != 0 {
		t.Errorf("without a module: %+v", n)
	}
}

// By hand: data and mail have one lock file, so that the three sessions in data take three of its four places, and both
// of mail's. One in alone takes one of five.
func TestModulesThatShareTheirPlaces(t *testing.T) {
	w := newWorld(t, "data", "mail", "alone")
	for pid, module := range []string{"data", "data", "data", "alone"} {
		w.connect(time.Minute, pid+1, "a.example.org", "192.0.2.1", "on", module, module+"/", "")
	}
	limits := metrics.Limits{"alone": {MaxConnections: 5, LockFile: "own"}}
	s := w.serve(func(o *status.Options) { o.Limits = limits })
	const shares = "share their places"
	if _, page := testenv.Fetch(t, http.DefaultClient, "GET", s.URL); !strings.Contains(page, "1 of 5") ||
		strings.Contains(page, shares) {
		t.Error("a module with a lock file of its own")
	}
	limits["data"], limits["mail"] = metrics.Limit{MaxConnections: 4, LockFile: "one"}, metrics.Limit{MaxConnections: 2, LockFile: "one"}
	_, page := testenv.Fetch(t, http.DefaultClient, "GET", w.serve(func(o *status.Options) { o.Limits = limits }).URL)
	for _, want := range []string{"1 of 5", "3 of 4", "2 of 2", "full", shares} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// A daemon before rsync 3.2 names the module only in the first transfer line.
func TestThePeakOfAModuleThatShowsLater(t *testing.T) {
	w := newWorld(t, "data")
	w.log(0, 1, "connect from UNKNOWN (192.0.2.1)", "rsync on data/ from UNKNOWN (192.0.2.1)")
	s := w.serve(nil)
	for _, m := range get[api.Modules](t, s.URL+"/api/v1/modules").Modules {
		if m.Module == "data" && m.Active+m.Peak > 0 {
			t.Errorf("it isn't known yet: %+v", m)
		}
	}
	w.moved(0, 1, "send", "UNKNOWN", "192.0.2.1", "data", "", "f", 1)
	s = w.serve(nil)
	if m := get[api.Modules](t, s.URL+"/api/v1/modules").Modules[0]; m.Module != "data" || m.Active != 1 || m.Peak != 1 {
		t.Errorf("%+v", m)
	}
}

func TestErrors(t *testing.T) {
	s := threeSessions(t).serve(nil)
	got := get[api.Errors](t, s.URL+"/api/v1/errors").Errors
	var all []string
	for _, e := range got {
		switch {
		case e.Code != nil:
			all = append(all, fmt.Sprint(e.Kind, *e.Code, e.Meaning, e.Client.Address))
		case e.Errno != nil:
			all = append(all, fmt.Sprint(e.Kind, *e.Errno, e.Meaning, e.User, e.Count))
		default:
			all = append(all, fmt.Sprint(e.Kind, e.Reason, e.Meaning))
		}
	}
	want := []string{"file13Permission denied (EACCES)carol1", "rejectedunknown_modulethe client asked for a module that the daemon doesn't have",
		"exit12error in rsync protocol data stream2001:db8::2"}
	if !slices.Equal(all, want) {
		t.Errorf("%q, want %q", all, want)
	}
}

// By hand: the sessions have 4, 4, 2 and 7 lines; with an empty one these are 18.
func TestInputs(t *testing.T) {
	w := threeSessions(t)
	w.log(0, 9, "")
	w.live = metrics.Live{
		Sockets: []metrics.Socket{{Input: "file", Datagram: true, Drops: 7, Buffer: 4096}},
		Files: []metrics.File{{Path: "/l", OK: false, Lag: 5, LagTime: 1500 * time.Millisecond, Gaps: map[string]uint64{"truncated": 2, "copied": 0}},
			{Pattern: "/var/*.log", OK: true}},
		State:      &metrics.Durability{OK: true, Age: 2 * time.Second, Start: "restored"},
		SessionLog: &metrics.SessionLog{Written: 7, Waiting: 2, Dropped: 1},
	}
	w.why = map[string]string{"/l": "no permission"}
	got := get[api.Inputs](t, w.serve(nil).URL+"/api/v1/inputs")
	in := got.Inputs[0]
	if len(got.Inputs) != 1 || in.Input != "file" || in.Received != 18 || *in.Drops != 7 || in.Buffer != 4096 || in.LastMessage == nil ||
		in.Discarded["no_text"] != (api.Advice{Count: 1, Remedy: "help against no_text"}) || len(in.Discarded) != 1 {
		t.Errorf("%+v", in)
	}
	f := got.Files[0]
	if len(got.Files) != 2 || f.OK || f.Why != "no permission" || f.Lag != 5 || f.LagSeconds != 1.5 || len(f.Gaps) != 1 || f.Gaps["truncated"] != 2 ||
		got.Files[1].Path != "/var/*.log" {
		t.Errorf("%+v", got.Files)
	}
	if st := got.State; st == nil || *st != (api.State{OK: true, Age: 2, Start: "restored"}) {
		t.Errorf("%+v", st)
	}
	if l := got.SessionLog; l == nil || *l != (api.SessionLog{Written: 7, Waiting: 2, Dropped: 1}) {
		t.Errorf("%+v", l)
	}
	_, page := testenv.Fetch(t, http.DefaultClient, "GET", w.serve(nil).URL)
	if want := "SESSION_LOG can&#39;t be written: the exporter&#39;s log says why; 2 sessions wait, and 1 found no room and are lost to it."; !strings.Contains(page, want) {
		t.Errorf("the page lacks %q", want)
	}
	h := got.Hour
	sum := func(list []uint64) (n uint64) {
		for _, v := range list {
			n += v
		}
		return n
	}
	if len(h.Sent) != 60 || len(h.Active) != 60 || sum(h.Sent) != 1000 || sum(h.Received) != 20 || sum(h.Sessions) != 3 || sum(h.Failed) != 1 ||
		sum(h.Connections) != 4 || sum(h.Rejected) != 1 || h.Active[59] != 1 || h.Active[40] != 0 || time.Until(h.Until) > time.Minute {
		t.Errorf("%+v", h)
	}
}

func TestLimit(t *testing.T) {
	s := threeSessions(t).serve(nil)
	for limit, want := range map[string]int{"": 3, "?limit=2": 2, "?limit=0": 0, "?limit=99": 3} {
		if got := get[api.Sessions](t, s.URL+"/api/v1/sessions"+limit); len(got.Ended) != want || got.Total != 1 {
			t.Errorf("%s: %d of %d", limit, len(got.Ended), got.Total)
		}
	}
	for _, limit := range []string{"x", "-1", "%00", "1e9", "99999999999999999999"} {
		resp, body := testenv.Fetch(t, http.DefaultClient, "GET", s.URL+"/api/v1/modules?limit="+limit)
		if resp.StatusCode != http.StatusBadRequest || !json.Valid([]byte(body)) || !strings.Contains(body, "write limit=10") {
			t.Errorf("%q: %s %s", limit, resp.Status, body)
		}
	}
	for _, path := range []string{"/api/v1/", "/api/v1/nothing", "/api/v2/sessions", "/page.html.tmpl", "/nothing"} {
		if resp, _ := testenv.Fetch(t, http.DefaultClient, "GET", s.URL+path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

// Nothing that tells who was there is public; what was there is.
func TestPublic(t *testing.T) {
	w := threeSessions(t)
	w.live.Files, w.why = []metrics.File{{Path: "/home/carol/rsyncd.log"}}, map[string]string{"/home/carol/rsyncd.log": "carol forbids"}
	for _, public := range []bool{false, true} {
		s := w.serve(func(o *status.Options) { o.Public = public })
		all := ""
		for _, path := range []string{"/", "/api/v1/sessions", "/api/v1/modules", "/api/v1/clients", "/api/v1/backups", "/api/v1/errors",
			"/api/v1/inputs"} {
			_, body := testenv.Fetch(t, http.DefaultClient, "GET", s.URL+path)
			all += body
		}
		for _, secret := range []string{"carol", "192.0.2.", "2001:db8", "203.0.113", "example.org", "data/in", "old<", "/home"} {
			if strings.Contains(all, secret) == public {
				t.Errorf("public %v: %q shows: %v", public, secret, !public)
			}
		}
		for _, known := range []string{"data", "failing", "unknown_module", "Permission denied"} {
			if !strings.Contains(all, known) {
				t.Errorf("public %v: %q is missing", public, known)
			}
		}
	}
}

// Where messages are awaited is nothing for the public either.
func TestPublicBeforeTheFirstMessage(t *testing.T) {
	s := newWorld(t).serve(func(o *status.Options) { o.Public, o.Listens = true, []string{"file /home/carol/rsyncd.log"} })
	_, body := testenv.Fetch(t, http.DefaultClient, "GET", s.URL)
	if strings.Contains(body, "/home") || !strings.Contains(body, "Nobody is connected.") {
		t.Error("the public sees paths, or nothing")
	}
}

// With ANONYMISE a backup's client is shown as its network, too.
func TestAnonymisedBackups(t *testing.T) {
	e := backups.Expectation{Name: "x", Every: time.Hour, Identity: backups.Identity{Module: "data", Client: "192.0.2.7/32"}}
	w := newWorldWith(t, pipeline.Books{Recent: recent.NewBook(), Backups: backups.NewBook([]backups.Expectation{e}, nil, time.Now().UnixNano())})
	w.expected = []backups.Expectation{e}
	for anonymise, want := range map[bool]string{false: "192.0.2.7/32", true: "192.0.2.0/24"} {
		s := w.serve(func(o *status.Options) { o.Anonymise = anonymise })
		if got := get[api.Backups](t, s.URL+"/api/v1/backups").Backups; len(got) != 1 || got[0].Client != want {
			t.Errorf("ANONYMISE %v: %+v, want from %s", anonymise, got, want)
		}
	}
}

// ANONYMISE shows networks of sessions, of those that have ended and of errors, and no names.
func TestAnonymised(t *testing.T) {
	w := newWorld(t, "data")
	w.connect(time.Minute, 7, "pc.example.org", "192.0.2.77", "on", "data", "data/", "")
	w.connect(time.Minute, 8, "pc.example.org", "2001:db8:1:2::3", "to", "data", "data/", "")
	w.log(time.Minute, 8, "rsync error: some files/attrs were not transferred (code 23) at main.c(1) [receiver=3.4.1]")
	w.caughtUp()
	s := w.serve(func(o *status.Options) { o.Anonymise = true })
	var all []api.Client
	sessions, errors := get[api.Sessions](t, s.URL+"/api/v1/sessions"), get[api.Errors](t, s.URL+"/api/v1/errors")
	for _, x := range sessions.Sessions {
		all = append(all, x.Client)
	}
	for _, x := range sessions.Ended {
		all = append(all, x.Client)
	}
	for _, x := range errors.Errors {
		all = append(all, x.Client)
	}
	v4, v6 := api.Client{Address: "192.0.2.0/24"}, api.Client{Address: "2001:db8:1::/48"}
	if want := []api.Client{v4, v6, v6}; !slices.Equal(all, want) {
		t.Errorf("%+v, want %+v", all, want)
	}
}

// However many look, there is one copy a second, and none when nobody does.
func TestOneCopyForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a bubble's clock moves only when it is told to
		w := newWorld(t)
		mux := http.NewServeMux()
		status.Register(mux, w.options())
		ask := func(n int) {
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					r, _ := http.NewRequest("GET", []string{"/", "/api/v1/sessions", "/api/v1/errors"}[i%3], nil)
					mux.ServeHTTP(discard{http.Header{}, io.Discard}, r)
				})
			}
			all.Wait()
		}
		for _, step := range []struct {
			wait time.Duration
			asks int
			want int
		}{{time.Hour, 0, 0}, {0, 50, 1}, {999 * time.Millisecond, 50, 1}, {time.Millisecond, 50, 2}, {time.Hour, 0, 2}} {
			time.Sleep(step.wait)
			if ask(step.asks); w.looks != step.want {
				t.Errorf("%v later, %d ask: %d copies, want %d", step.wait, step.asks, w.looks, step.want)
			}
		}
	})
}

type discard struct {
	header http.Header
	io.Writer
}

func (d discard) Header() http.Header { return d.header }
func (d discard) WriteHeader(int)     {}

func TestHeaders(t *testing.T) {
	s := newWorld(t).serve(nil)
	for path, kind := range map[string]string{"/": "text/html; charset=utf-8", "/status.css": "text/css; charset=utf-8",
		"/status.js": "text/javascript; charset=utf-8"} {
		resp, body := testenv.Fetch(t, http.DefaultClient, "GET", s.URL+path)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != kind || resp.Header.Get("Cache-Control") == "" || len(body) < 1000 {
			t.Errorf("%s: %s %v", path, resp.Status, resp.Header)
		}
		if path != "/" {
			continue
		}
		policy := resp.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") {
				t.Errorf("the policy %q lacks %s", policy, want)
			}
		}
		if resp.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("Referrer-Policy: %q", resp.Header.Get("Referrer-Policy"))
		}
	}
}

func TestWhatThePageSays(t *testing.T) {
	w := newWorld(t)
	page := func() string {
		_, body := testenv.Fetch(t, http.DefaultClient, "GET", w.serve(nil).URL)
		return body
	}
	empty := page()
	for _, want := range []string{"No message has come yet", "<code>udp 127.0.0.1:5514</code>", "syslog facility = daemon", "Nobody is connected.",
		"No backup is expected.", "Nothing needs attention."} {
		if !strings.Contains(empty, want) {
			t.Errorf("without a message, %q is missing", want)
		}
	}
	w.wait = "reading what was logged while the exporter was down: 123 bytes to go"
	w.live = metrics.Live{Files: []metrics.File{{Path: "/a"}, {Path: "/b"}}, State: &metrics.Durability{}}
	w.log(0, 1, "connect from UNKNOWN (192.0.2.1)")
	busy := page()
	if got := get[api.Backups](t, w.serve(nil).URL+"/api/v1/backups").Waiting; got != w.wait {
		t.Errorf("/api/v1/backups waits for %q", got)
	}
	for _, want := range []string{"The exporter is reading what was logged while the exporter was down: 123 bytes to go.",
		"2 log files aren&#39;t read; the counters can&#39;t be saved."} {
		if !strings.Contains(busy, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(busy, "No message has come yet") {
		t.Error("a message has come")
	}
}

// crowd is so many sessions in as many modules.
func crowd(t testing.TB, n int) *world {
	w := newWorld(t)
	for i := range n {
		addr := fmt.Sprintf("198.51.%d.%d", i/250, i%250)
		w.connect(0, i+1, "client.example.org", addr, "on", fmt.Sprintf("module-%d", i), fmt.Sprintf("module-%d/", i), "")
		w.moved(0, i+1, "send", "client.example.org", addr, fmt.Sprintf("module-%d", i), "", "pool/main/a/file.deb", 1<<20)
	}
	return w
}

// An upload that has been silent for long may be over, and the page says so of that one.
func TestSilentUploads(t *testing.T) {
	w := newWorld(t, "data")
	w.connect(14*time.Minute, 1, "a.example.org", "192.0.2.1", "to", "data", "data/", "")
	w.connect(20*time.Hour, 2, "b.example.org", "192.0.2.2", "on", "data", "data/", "")
	w.caughtUp()
	page := func() string {
		_, body := testenv.Fetch(t, http.DefaultClient, "GET", w.serve(nil).URL)
		return body
	}
	if body := page(); strings.Contains(body, "or over") || strings.Contains(body, "may be over") {
		t.Error("a pull, or an upload that is silent for 14 minutes, may be over")
	}
	w.connect(16*time.Minute, 3, "c.example.org", "192.0.2.3", "to", "data", "data/", "")
	w.caughtUp()
	body := page()
	if n := strings.Count(body, "<small>or over</small>"); n != 1 || strings.Count(body, api.Unsaid) != 1 {
		t.Errorf("%d sessions may be over, want 1, and a note that says why", n)
	}
}

func TestThePageIsBounded(t *testing.T) {
	w := crowd(t, 1000)
	s := w.serve(nil)
	_, body := testenv.Fetch(t, http.DefaultClient, "GET", s.URL)
	if len(body) > 400<<10 {
		t.Errorf("the page has %d KiB, want at most 400", len(body)>>10)
	}
	if n := strings.Count(body, "… and 800 more"); n != 2 {
		t.Errorf("%d tables say that there are 800 more, want sessions and modules", n)
	}
	if got := get[api.Sessions](t, s.URL+"/api/v1/sessions"); got.Total != 1000 || len(got.Sessions) != 1000 || got.States["running"] != 1000 {
		t.Errorf("%d of %d sessions, %v", len(got.Sessions), got.Total, got.States)
	}
}

// BenchmarkPage is what a look costs with 1,000 sessions and 1,000 modules: copying, converting, rendering.
func BenchmarkPage(b *testing.B) {
	w := crowd(b, 1000)
	for b.Loop() {
		mux := http.NewServeMux() // a new one has no answer yet
		status.Register(mux, w.options())
		r, _ := http.NewRequest("GET", "/", nil)
		mux.ServeHTTP(discard{http.Header{}, io.Discard}, r)
	}
}

// BenchmarkLook is the part of it under the pipeline's lock.
func BenchmarkLook(b *testing.B) {
	w := crowd(b, 1000)
	for b.Loop() {
		w.p.Look()
	}
}
