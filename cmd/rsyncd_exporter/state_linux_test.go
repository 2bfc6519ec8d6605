package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/internal/testenv"
)

// pull is a session's lines in a log file, as rsync 3.5.0 writes them, with a file of the given length.
func pull(pid, length int) string {
	at := fmt.Sprintf("2026/11/26 10:00:00 [%d] ", pid)
	return at + "connect from client (192.0.2.1)\n" + at + "rsync allowed access on module mirror from client (192.0.2.1)\n" +
		at + "rsync on mirror/ from client (192.0.2.1)\n" + at + "building file list\n" +
		at + fmt.Sprintf("send client [192.0.2.1] mirror () f %d\n", length) + at + "sent 200 bytes  received 30 bytes  total size 1000\n"
}

const pullLines = 6

func appendFile(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// created returns the created time of a series, which OpenMetrics has.
func (e *exporter) created(name string) (sample string) {
	e.t.Helper()
	req, err := http.NewRequest("GET", e.url+"/metrics", nil)
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, name+"_created") {
			return line
		}
	}
	e.t.Fatalf("no created time of %s in\n%s", name, body)
	return ""
}

// A log file that was rotated twice while the exporter was down, in the middle of a session: counters go on, created times stay, and the
// session is the one that it was.
func TestCountersSurviveARestart(t *testing.T) {
	dir := testenv.Dir(t)
	log, args := filepath.Join(dir, "log"), []string{"-p", filepath.Join(dir, "log"), "--state-dir=" + filepath.Join(dir, "state")}
	appendFile(t, log, "")
	p := startExporterProcess(t, nil, args...)
	all := pull(7, 5)
	half := strings.Index(all, "send client")
	half += strings.LastIndex(all[:half], "2026/") - half
	appendFile(t, log, pull(6, 3)+all[:half])
	s := p.until(pullLines+4, "rsync_messages_total")
	p.want(s, 3, "rsync_file_bytes_total")
	p.want(s, 1, "rsyncd_exporter_state_start", `start="new"`)
	p.want(s, 1, "rsyncd_exporter_state_ok")
	created := p.created("rsync_connections")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}

	appendFile(t, log, all[half:])
	for i, step := range [][2]string{{"log.1", "log.2"}, {"log", "log.1"}} {
		if err := os.Rename(filepath.Join(dir, step[0]), filepath.Join(dir, step[1])); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		appendFile(t, log, pull(8+i, 11))
	}
	p = startExporterProcess(t, nil, args...)
	s = p.scrape() // ready: all of it has been read
	// 6, 7, 8 and 9 with 3, 5, 11 and 11 bytes.
	for name, want := range map[string]float64{
		"rsync_messages_total": 4 * pullLines, "rsync_connections_total": 4, "rsync_file_bytes_total": 3 + 5 + 11 + 11, "rsync_executions_total": 4,
		"rsync_sent_bytes_total": 4 * 200,
	} {
		if name == "rsync_sent_bytes_total" {
			s = p.until(want, name) // when the last of them has settled
		}
		p.want(s, want, name)
	}
	p.want(s, 1, "rsyncd_exporter_state_start", `start="restored"`)
	p.want(s, 0, "rsyncd_exporter_file_gaps_total")
	if got := p.created("rsync_connections"); got != created {
		t.Errorf("created %q, before the restart %q", got, created)
	}
}

// FAULTS D4: no copy can be trusted. Everything begins at zero, from the end of the file, whatever FILE_START says: a line that was counted
// before must not be counted again. The state is kept aside, and the next start finds a good one.
func TestStateThatCantBeTrustedIsSetAside(t *testing.T) {
	dir := testenv.Dir(t)
	log, stateDir := filepath.Join(dir, "log"), filepath.Join(dir, "state")
	args := []string{"-p", log, "--state-dir=" + stateDir, "--file-start=beginning"}
	appendFile(t, log, pull(1, 1))
	p := startExporterProcess(t, nil, args...)
	p.until(1, "rsync_connections_total")
	created := p.created("rsync_connections")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"state.a", "state.b"} {
		if err := os.Truncate(filepath.Join(stateDir, c), 100); err != nil {
			t.Fatal(err)
		}
	}
	appendFile(t, log, pull(2, 1))
	p = startExporterProcess(t, nil, args...)
	appendFile(t, log, pull(3, 100))
	s := p.until(1, "rsync_connections_total")
	p.want(s, 1, "rsyncd_exporter_state_start", `start="set_aside"`)
	p.want(s, 100, "rsync_file_bytes_total")
	if got := p.created("rsync_connections"); got == created {
		t.Errorf("created %q, as before the counters began at zero", got)
	}
	said := func() bool { return strings.Contains(p.Output(), "can't be trusted") }
	testenv.Until(t, patient, "the log to say so", said)
	if _, err := os.Stat(filepath.Join(stateDir, "state.a.aside")); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	p = startExporterProcess(t, nil, args...)
	p.want(p.scrape(), 1, "rsync_connections_total")
}

// A well-formed state whose content can't be is set aside as well.
func TestStateThatMakesNoSenseIsSetAside(t *testing.T) {
	dir := testenv.Dir(t)
	d, err := checkpoint.Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(); !errors.Is(err, checkpoint.ErrNone) {
		t.Fatal(err)
	}
	if err := d.Save([]byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	p := startExporterProcess(t, nil, "--listen-udp=127.0.0.1:0", "--state-dir="+filepath.Join(dir, "state"))
	p.want(p.scrape(), 1, "rsyncd_exporter_state_start", `start="set_aside"`)
}

// A process that sets a state aside and ends before it saves anything, as where a socket is taken, leaves to the next one what it knew: what
// is in the file was shown before.
func TestAStateStaysSetAsideUntilTheFirstSave(t *testing.T) {
	dir := testenv.Dir(t)
	log, stateDir := filepath.Join(dir, "log"), filepath.Join(dir, "state")
	if err := os.Mkdir(stateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	testenv.WriteFile(t, filepath.Join(stateDir, "state.b"), "nonsense")
	appendFile(t, log, pull(1, 1))
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	args := []string{"-p", log, "--state-dir=" + stateDir, "--file-start=beginning"}
	testenv.SetEnv(t)
	code, out, errs := runProgram(t, append([]string{"--listen-udp=" + taken.LocalAddr().String(), "--http-listen=127.0.0.1:0"}, args...)...)
	if code == exitOK || !strings.Contains(out+errs, "address already in use") {
		t.Fatalf("status %d: %s%s", code, out, errs)
	}
	if _, out, _ := runProgram(t, append([]string{"check"}, args...)...); !strings.Contains(out, "state: set aside, and nothing saved since") {
		t.Errorf("check says\n%s", out)
	}
	p := startExporterProcess(t, nil, args...)
	appendFile(t, log, pull(2, 100))
	s := p.until(1, "rsync_connections_total")
	p.want(s, 1, "rsyncd_exporter_state_start", `start="set_aside"`)
	p.want(s, 100, "rsync_file_bytes_total")
}

// Sockets only: what was scraped is there after a kill, and nothing twice.
func TestSocketCountersSurviveAKill(t *testing.T) {
	dir := testenv.Dir(t)
	udp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	args := []string{"--listen-udp=" + udp, "--state-dir=" + dir}
	p := startExporterProcess(t, nil, args...)
	w := newWeigher("h")
	w.send(t, dial(t, "udp", udp), 500)
	p.until(500, "rsync_files_total")
	if err := p.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	<-p.Ended()
	p = startExporterProcess(t, nil, args...)
	if got := tallied(p.scrape(), "h"); got != w.sent {
		t.Errorf("%+v after the restart, want %+v", got, w.sent)
	}
	w.send(t, dial(t, "udp", udp), 100)
	if got := tallied(p.until(600, "rsync_files_total"), "h"); got != w.sent {
		t.Errorf("%+v, want %+v", got, w.sent)
	}
}

// Replay before serve: from the first answer with counters on, all that was logged meanwhile is in them.
func TestNothingIsShownBeforeTheBacklogIsRead(t *testing.T) {
	dir := testenv.Dir(t)
	log := filepath.Join(dir, "log")
	args := []string{"-p", log, "--state-dir=" + filepath.Join(dir, "state")}
	appendFile(t, log, "")
	p := startExporterProcess(t, nil, args...)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	const sessions = 100_000
	appendFile(t, log, strings.Repeat(pull(9, 2), sessions))

	p = launchExporterProcess(t, nil, nil, args...)
	p.Ready(t, "an answer with counters", func() bool {
		r, err := http.Get(p.url + "/metrics")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		if r.StatusCode == http.StatusServiceUnavailable {
			if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), "reading what was logged while the exporter was down") {
				t.Errorf("the answer is %q", body)
			}
			return false
		}
		p.want(parseSeries(t, r.Body), sessions*2, "rsync_file_bytes_total")
		return true
	})
}

func TestReadyWaitsForTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr := &program{in: &inputs{}, settled: make(chan struct{})}
		close(pr.settled)
		caughtUp := make(chan struct{})
		ready, began := pr.ready(caughtUp), time.Now()
		if err := ready(); err == nil || !strings.Contains(err.Error(), "reading what was logged") || time.Since(began) != readyPatience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		time.AfterFunc(readyPatience/2, func() { close(caughtUp) })
		if err := ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestCheckExplainsTheState(t *testing.T) {
	dir := testenv.Dir(t)
	log, stateDir := filepath.Join(dir, "log"), filepath.Join(dir, "state")
	appendFile(t, log, "")
	link := filepath.Join(dir, "link") // as systemd makes one
	if err := errors.Join(os.Mkdir(stateDir, 0o700), os.Symlink(stateDir, link)); err != nil {
		t.Fatal(err)
	}
	testenv.SetEnv(t, anyHTTP)
	explained := func() string {
		t.Helper()
		code, out, errs := runProgram(t, "check", "-p", log, "--state-dir="+link)
		if code != exitOK {
			t.Fatalf("status %d: %s%s", code, out, errs)
		}
		return out
	}
	if got := explained(); !strings.Contains(got, "state: nothing saved yet") {
		t.Errorf("before the first start:\n%s", got)
	}
	p := startExporterProcess(t, nil, "-p", log, "--state-dir="+stateDir)
	text := pull(1, 1)
	appendFile(t, log, text)
	p.until(pullLines, "rsync_messages_total")
	got := explained() // it is running
	for _, want := range []string{
		fmt.Sprintf("state: %d messages received", pullLines), "state state.b: ", "1 of them followed", fmt.Sprintf("read to byte %d\n", len(text)),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	testenv.WriteFile(t, filepath.Join(stateDir, "state.a"), "x")
	if got := explained(); !strings.Contains(got, "state state.a: 1 bytes, can't be used") || !strings.Contains(got, "1 of them followed") {
		t.Errorf("with a broken copy:\n%s", got)
	}
	testenv.WriteFile(t, filepath.Join(stateDir, "state.b"), "x")
	if got := explained(); !strings.Contains(got, "no copy can be trusted") {
		t.Errorf("with both copies broken:\n%s", got)
	}
}
