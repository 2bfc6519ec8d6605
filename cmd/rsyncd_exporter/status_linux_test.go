package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/status/api"
)

// askAPI reads a part of the API.
func askAPI[T any](t *testing.T, e *exporter, part string) (answer T) {
	t.Helper()
	_, body := testenv.Fetch(t, http.DefaultClient, "GET", e.url+"/api/v1/"+part)
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v: %s", part, err, body)
	}
	return answer
}

// Sessions of a real daemon show as they begin and grow, and are among the ended ones with what their clients know.
func TestStatusOfRealSessions(t *testing.T) {
	socket := filepath.Join(testenv.Dir(t), "log")
	e := startExporter(t, "--listen-unixgram="+socket, "--listen-udp=off",
		"--rsyncd-conf="+filepath.Join(testenv.Root(t), "rsyncd.conf.example"))
	d := testenv.StartRsyncd(t, socket)
	mine := testenv.Dir(t)

	slow := testenv.StartRsync(t, "-a", "--bwlimit=20", d.URL("", "mirror/"), mine+"/slow")
	var x api.Session
	testenv.Until(t, time.Minute, "the slow pull's first file", func() bool {
		s := askAPI[api.Sessions](t, e, "sessions")
		if len(s.Sessions) == 1 {
			x = s.Sessions[0]
		}
		return x.Files == 1
	})
	if x.State != "running" || x.Module != "mirror" || x.Direction != "send" || x.FileBytes != 5000 || x.LastPath != "README" ||
		x.Client.Address != "127.0.0.1" || x.Request != "mirror/" {
		t.Errorf("the slow pull: %+v", x)
	}
	mirror := func() api.Module {
		all := askAPI[api.Modules](t, e, "modules").Modules
		return all[slices.IndexFunc(all, func(m api.Module) bool { return m.Module == "mirror" })]
	}
	if m := mirror(); m.Active != 1 || m.Peak != 1 || m.MaxConnections != 50 {
		t.Errorf("the module meanwhile: %+v", m)
	}
	_, page := testenv.Fetch(t, http.DefaultClient, "GET", e.url)
	for _, want := range []string{"1 of 50", "≥ 4.88 KiB", "README", "127.0.0.1"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if err := slow.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(mine, "photo")
	if err := os.WriteFile(file, make([]byte, 20000), 0o644); err != nil {
		t.Fatal(err)
	}
	_, out := testenv.Rsync(t, "-a", "--stats", "--no-h", file, d.URL("alice@", "backup/"))
	pushed := testenv.ParseStats(t, out)
	if code, out := testenv.Rsync(t, file, d.URL("mallory@", "backup/")); code != 5 {
		t.Errorf("exit code %d: %s", code, out)
	}
	var ended []api.Ended
	testenv.Until(t, time.Minute, "three sessions to end", func() bool {
		s := askAPI[api.Sessions](t, e, "sessions")
		ended = s.Ended
		return len(ended) == 3 && s.Total == 0
	})
	outcome := map[string]api.Ended{}
	for _, x := range ended {
		outcome[x.Outcome+" "+x.User] = x
	}
	if x := outcome["ok alice"]; x.Direction != "receive" || x.Module != "backup" || x.Files["recv"] != 1 ||
		x.Received < uint64(pushed.Sent) || x.Received > uint64(pushed.Sent)+32 {
		t.Errorf("alice's push of %d bytes: %+v", pushed.Sent, ended)
	}
	if x := outcome["rejected "]; x.Reason != "auth" || x.Module != "backup" {
		t.Errorf("mallory: %+v", ended)
	}
	if x := outcome["aborted "]; x.Module != "mirror" || len(x.ExitCodes) == 0 || x.Duration < 0.2 {
		t.Errorf("the interrupted pull: %+v", ended)
	}
	if m := mirror(); m.Active != 0 || m.Peak != 1 || m.Sessions["aborted"] != 1 {
		t.Errorf("the module then: %+v", m)
	}
	var meanings []string
	for _, x := range askAPI[api.Errors](t, e, "errors").Errors {
		meanings = append(meanings, x.Kind+" "+x.Reason)
	}
	if !slices.Contains(meanings, "rejected auth") || !slices.Contains(meanings, "exit ") {
		t.Errorf("errors: %q", meanings)
	}
	in := askAPI[api.Inputs](t, e, "inputs")
	if len(in.Inputs) != 1 || in.Inputs[0].Input != "unixgram" || in.Inputs[0].Received == 0 || len(in.Inputs[0].Discarded) != 0 || in.State != nil {
		t.Errorf("inputs: %+v", in)
	}
	s := e.scrape()
	e.want(s, 50, "rsync_module_max_connections", `module="mirror"`)
	e.want(s, 54, "rsync_module_max_connections")
}
