package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/browser"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/status/api"
)

// Sessions of a real daemon appear in who, in top and on the page, grow, and end: a slow pull that is cut off, a slow push, and one that is
// refused. By hand: README has 5,000 bytes, and comes before release.iso, which takes minutes.
func TestWhoAndTopOfRealSessions(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(testenv.Dir(t), "log")
	e := startExporter(t, "--listen-unixgram="+socket, "--listen-udp=off")
	d := testenv.StartRsyncd(t, socket)
	testenv.WriteFile(t, filepath.Join(d.Module("mirror"), "release.iso"), strings.Repeat("release\n", 2<<20))
	p := openPane(t)
	p.runs(p.program("top", "--url="+e.url, "-d", "0.1"))
	p.sees("no sessions at")
	asked := func() (s api.Sessions) {
		_, out, _ := runProgram(t, "who", "--json", "--url="+e.url)
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return s
	}
	page := browser.Start(t, 1280, 900)
	page.Open(t, e.url+"/")
	shows := func(section, text string) {
		t.Helper()
		page.Wait(t, text, fmt.Sprintf("document.getElementById(%q).innerText.includes(%q)", section, text))
	}
	shows("sessions", "Nobody is connected.")
	mine := testenv.Dir(t)
	pull := testenv.StartRsync(t, "-a", "--bwlimit=100", d.URL("", "mirror/"), mine+"/pulled")
	p.sees("1 session at", "mirror", "≥4.88 KiB")
	shows("sessions", "README")
	push := testenv.StartRsync(t, "-a", "--bwlimit=100", d.Module("mirror")+"/", d.URL("", "incoming/"))
	p.sees("2 sessions at", "incoming", "receive")
	shows("sessions", "incoming")
	if code, _ := testenv.Rsync(t, "-a", d.URL("bob@", "backup/"), mine); code == 0 {
		t.Fatal("bob was let in")
	}
	testenv.Until(t, patient, "both transfers in who, and the refusal", func() bool {
		s := asked()
		if s.Total != 2 || s.States["running"] != 2 || len(s.Ended) != 1 || s.Ended[0].Reason != "auth" {
			return false
		}
		x := s.Sessions[0]
		return x.Module == "mirror" && x.Direction == "send" && x.Files == 1 && x.FileBytes == 5000 && x.LastPath == "README" &&
			x.Client.Address == "127.0.0.1" && x.Age > 0
	})
	_, out, _ := runProgram(t, "who", "--url="+e.url, "--client=127.0.0.0/8", "--direction=receive")
	if !strings.Contains(out, "1 session at") || !strings.Contains(out, "incoming") {
		t.Error(out)
	}
	pull.Stop()
	push.Stop()
	p.sees("no sessions at")
	p.keys("e")
	p.sees("auth", "mirror", "incoming", "aborted")
	shows("sessions", "Nobody is connected.")
	shows("ended", "aborted")
	if faults := page.Faults(); len(faults) > 0 {
		t.Errorf("the page: %q", faults)
	}
	p.keys("q", "q")
	p.ends()
}
