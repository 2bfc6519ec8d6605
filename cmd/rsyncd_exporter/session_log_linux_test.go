package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status/api"
	"rsyncd_exporter/status/sessionlog"
)

// sessionLines reads session logs, in order. Each line must be one.
func sessionLines(t *testing.T, paths ...string) (all []api.Ended) {
	t.Helper()
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var v api.Ended
			if err := json.Unmarshal([]byte(line), &v); err != nil || !strings.HasSuffix(line, "\n") {
				t.Fatalf("%s: %q: %v", path, line, err)
			}
			all = append(all, v)
		}
	}
	return all
}

// hasLine takes the line of a visit out of a log.
func hasLine(lines *[]api.Ended, v visit) bool {
	within := func(n uint64, s span) bool { return s.from <= int(n) && int(n) <= s.to }
	at := slices.IndexFunc(*lines, func(l api.Ended) bool {
		n, operation := 0, map[string]string{"send": "send", "receive": "recv"}[v.direction]
		for _, errno := range l.FileErrors {
			n += int(errno)
		}
		return l.Module == v.module && l.Direction == v.direction && l.Outcome == v.outcome && l.Reason == v.reason &&
			slices.Equal(l.ExitCodes, v.codes) && n == len(v.errnos) &&
			int(l.Files[operation]) == v.files && int(l.Files["del."]) == v.deleted && int(l.Listed) == v.listedBytes &&
			within(l.Sent, v.sent) && within(l.Received, v.received) && l.Client.Address == "127.0.0.1"
	})
	if at >= 0 {
		*lines = slices.Delete(*lines, at, at+1)
	}
	return at >= 0
}

// The log of a real daemon's sessions has what their clients know: their --stats, and how they ended.
func TestSessionLogOfARealDaemon(t *testing.T) {
	t.Parallel()
	for _, by := range []logging{unixSocket, logFile} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(testenv.Dir(t), "sessions.jsonl")
			args := []string{"--session-log=" + path, "--session-log-mode=0600"}
			if by == logFile {
				args = append(args, "--state-dir="+newStateDir(t, testenv.Dir(t)))
			}
			s := live(t, by, "127.0.0.1", "[pull]\n[push]\n[delete]\n[killed-pull]\n[read-only]\nread only = yes\n", args...)
			t.Run("pull", s.pullAll)
			t.Run("push", s.push)
			t.Run("push with deletions", s.pushAndDelete)
			t.Run("pull by a client that is killed", s.killPull)
			s.rsync(t, failure, s.scratch(t, 10), s.url("read-only/"))
			s.book(visit{module: "read-only", direction: "receive", outcome: "rejected", reason: "read_only", codes: []int{1}})
			s.rsync(t, 5, s.url("no-such-module/"), s.scratch(t))
			s.book(visit{outcome: "rejected", reason: "unknown_module"})
			s.rsync(t, 0, s.url(""))
			s.book(visit{outcome: "listing"})
			s.audit(t)
			testenv.Until(t, patient, "a line for each session", func() bool { return len(sessionLines(t, path)) == len(s.visits) })
			lines := sessionLines(t, path)
			for _, v := range s.visits {
				if !hasLine(&lines, v) {
					t.Errorf("no line of %+v", v)
				}
			}
			if len(lines) > 0 {
				t.Errorf("nobody knows of %+v", lines)
			}
			s.want(s.scrape(), float64(len(s.visits)), "rsyncd_exporter_session_log_written_total")
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
		})
	}
}

// A rotatedLog is a session log that somebody renames, and doesn't compress.
type rotatedLog struct {
	path    string
	rotated []string
}

func (l *rotatedLog) rotate(t *testing.T, random *rand.Rand) {
	t.Helper()
	if random.IntN(2) == 0 {
		return
	}
	to := fmt.Sprintf("%s.%d", l.path, len(l.rotated))
	switch err := os.Rename(l.path, to); {
	case err == nil:
		l.rotated = append(l.rotated, to)
	case !errors.Is(err, fs.ErrNotExist):
		t.Fatal(err)
	}
}

// compare compares the lines of a program that has ended with what worlds know. Their numbers are random: no line stands for another.
func (l *rotatedLog) compare(t *testing.T, all []*world) {
	t.Helper()
	lines := sessionLines(t, append(l.rotated, l.path)...)
	for i, module := range worldModules {
		for d, direction := range []string{"send", "receive"} {
			var want, got flow
			for _, w := range all {
				f := w.flows[i][d]
				want.sessions, want.sent, want.received = want.sessions+f.sessions, want.sent+f.sent, want.received+f.received
				want.listed, want.files = want.listed+f.listed, want.files+f.files
			}
			for _, line := range lines {
				if line.Module == module && line.Direction == direction && line.Outcome == "ok" && !line.Amends {
					got.sessions, got.sent, got.received = got.sessions+1, got.sent+line.Sent, got.received+line.Received
					got.listed, got.files = got.listed+line.Listed, got.files+line.Files["send"]+line.Files["recv"]
				}
			}
			if got != want {
				t.Errorf("%s, %s: the session log has %+v, want %+v", module, direction, got, want)
			}
		}
	}
	t.Logf("%d sessions in %d session logs", len(lines), len(l.rotated)+1)
}

// A FIFO whose reader has stopped holds up neither counting, nor a scrape, nor the end. What it has taken are whole lines.
func TestSessionLogThatNobodyReads(t *testing.T) {
	t.Parallel()
	fifo, tcp := filepath.Join(testenv.Dir(t), "sessions"), fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	p := startExporterProcess(t, nil, "--listen-udp=off", "--listen-tcp="+tcp, "--session-log="+fifo)
	to := dial(t, "tcp", tcp)
	const sessions = 800 // of 150 bytes; a pipe holds 65,536
	visits := func(from int) {
		for i := range sessions {
			for _, text := range []string{"connect from x (192.0.2.1)", "module-list request from x (192.0.2.1)"} {
				if _, err := fmt.Fprintf(to, "<30>Nov 30 12:00:00 vm rsyncd[%d]: %s\n", from+i, text); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	visits(1000)
	p.until(sessions, "rsync_sessions_total", `outcome="listing"`)
	p.until(sessions, "rsyncd_exporter_session_log_waiting") // the whole batch waits for its end
	visits(3000)
	p.until(2*sessions, "rsync_sessions_total", `outcome="listing"`)
	watch := testenv.StartWatch(t)
	if err := p.Stop(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if took := watch.Elapsed(); took > shutdownLimit {
		t.Errorf("the end took %v, want 5 s at most", took)
	}
	if out := p.Output(); !strings.Contains(out, "the session log could not be written in time") {
		t.Errorf("it said:\n%s", out)
	}
	taken, err := io.ReadAll(reader)
	if err != nil || len(taken) < 60_000 {
		t.Errorf("%d bytes, %v", len(taken), err)
	}
}

// At the end of the program, what is written after the last save is saved as written: nobody has to look for it in a log that may be
// compressed by then.
func TestTheEndNotesWhatIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions")
	q := sessionlog.NewQueue(nil, true, 0)
	pr := &program{cfg: &config.Config{SessionLog: path, SessionLogMode: 0o600}, log: slog.New(slog.DiscardHandler), kept: &kept{dir: &checkpoint.Dir{}}}
	pr.persist = newPersister(
		func() (view, func() ([]byte, error)) {
			return view{ended: q.Record()}, func() ([]byte, error) { return nil, nil }
		},
		func() uint64 { return 0 }, func([]byte) error { return nil }, pr.log)
	pr.persist.ended = q
	pr.sessions = pr.openSessionLog(q)
	stop := pr.sessions.start(t.Context(), pr)
	testenv.Until(t, patient, "a save that names the file", func() bool {
		pr.persist.persist()
		shown, _ := pr.persist.shownLast()
		return shown.ended.Log.Inode != 0
	})
	s := &rsynclog.Session{Origin: &rsynclog.Origin{}}
	q.Apply([]rsynclog.Change{{Kind: rsynclog.Ended, Origin: s.Origin, Session: s, N: 1}}, 0, 0)
	pr.persist.persist()
	stop(func() time.Duration { return patient })
	if n := len(sessionLines(t, path)); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
	shown, _ := pr.persist.shownLast()
	if got := shown.ended.Counts(); got.Written != 1 || got.Waiting != 0 {
		t.Errorf("saved: %+v", got)
	}
}

// Where STATE_DIR can't be saved, sessions wait: on a disk that holds both, which is full, nothing fails but the save. Then the log isn't
// ok. The page has what is written, and a scrape what is saved of that.
func TestSessionLogThatWaitsForTheState(t *testing.T) {
	q := sessionlog.NewQueue(nil, true, 0)
	pr := &program{cfg: &config.Config{SessionLog: filepath.Join(t.TempDir(), "sessions"), SessionLogMode: 0o600}, log: slog.New(slog.DiscardHandler),
		kept: &kept{dir: &checkpoint.Dir{}}}
	var full error
	pr.persist = newPersister(
		func() (view, func() ([]byte, error)) {
			return view{ended: q.Record()}, func() ([]byte, error) { return nil, nil }
		},
		func() uint64 { return 0 }, func([]byte) error { return full }, pr.log)
	pr.persist.ended = q
	pr.sessions = pr.openSessionLog(q)
	stop := pr.sessions.start(t.Context(), pr)
	defer stop(func() time.Duration { return patient })
	s := &rsynclog.Session{Origin: &rsynclog.Origin{}}
	end := func() {
		q.Apply([]rsynclog.Change{{Kind: rsynclog.Ended, Origin: s.Origin, Session: s, N: 1}}, 0, 0)
		pr.persist.persist()
	}
	want := func(what string, now, saved metrics.SessionLog) {
		t.Helper()
		if got := *pr.sessionLogNow(); got != now {
			t.Errorf("%s: the page has %+v, want %+v", what, got, now)
		}
		if got := *pr.sessionLogState(); got != saved {
			t.Errorf("%s: a scrape has %+v, want %+v", what, got, saved)
		}
	}
	end()
	testenv.Until(t, patient, "a line", func() bool {
		pr.persist.persist() // the first one names no file
		shown, _ := pr.persist.shownLast()
		return shown.ended.Counts().Written == 1
	})
	want("a line is written", metrics.SessionLog{OK: true, Written: 1}, metrics.SessionLog{OK: true, Written: 1})
	end()
	testenv.Until(t, patient, "another line", func() bool { return q.Counts().Written == 2 })
	full = syscall.ENOSPC
	pr.persist.persist()
	want("nothing waits", metrics.SessionLog{OK: true, Written: 2}, metrics.SessionLog{OK: true, Written: 1})
	end()
	want("the state can't be saved", metrics.SessionLog{Written: 2, Waiting: 1}, metrics.SessionLog{Written: 1, Waiting: 1})
	full = nil
	pr.persist.persist()
	testenv.Until(t, patient, "the last line", func() bool { return q.Counts().Written == 3 })
	want("it is saved again", metrics.SessionLog{OK: true, Written: 3}, metrics.SessionLog{OK: true, Written: 2})
}

func TestCheckOfASessionLog(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "sessions"): "", "-": "", dir: "is a directory", filepath.Join(dir, "no/sessions"): "no such file or directory",
	} {
		var out, errs bytes.Buffer
		args := []string{"check", "--listen-udp=127.0.0.1:0", "--http-listen=127.0.0.1:0", "--session-log=" + path}
		if status := run(t.Context(), args, strings.NewReader(""), &out, &errs); status != exitOK {
			t.Errorf("%s: status %d: %s", path, status, errs.String())
		}
		warned := fmt.Sprintf("warning: SESSION_LOG=%q can't be written: ", path)
		if strings.Contains(out.String(), warned) != (want != "") || !strings.Contains(out.String(), want) {
			t.Errorf("%s: want a warning of %q:\n%s", path, want, out.String())
		}
	}
}
