package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// stamped writes a line of a log file as rsync does at a time.
func stamped(at time.Time, pid int, text string) string {
	return fmt.Sprintf("%s [%d] %s\n", at.Format("2006/01/02 15:04:05"), pid, text)
}

// begun are the first lines of a push by alice.
func begun(at time.Time, pid int) string {
	return stamped(at, pid, "connect from client (192.0.2.1)") +
		stamped(at, pid, "rsync allowed access on module backup from client (192.0.2.1)") +
		stamped(at, pid, "rsync to backup/ from alice@client (192.0.2.1)") + stamped(at, pid, "receiving file list")
}

const summedUp = "sent 30 bytes  received 200 bytes  total size 1000"

// within compares a sum with what it must be, give or take.
func (e *exporter) within(series map[string]float64, want, tolerance float64, name string, labels ...string) {
	e.t.Helper()
	if got := total(series, name, labels...); got < want-tolerance || got > want+tolerance {
		e.t.Errorf("%s%q: %v, want %v, %v more or less", name, labels, got, want, tolerance)
	}
}

// A log of last week: a backup of six hours, eight days ago, and another one that fell silent two days before
// the log ends. Both are over when the log has been read, at the times of their lines.
func TestALogOfLastWeek(t *testing.T) {
	log := filepath.Join(testenv.Dir(t), "log")
	began := time.Now().Add(-8 * 24 * time.Hour).Truncate(time.Second)
	ended, silent := began.Add(6*time.Hour), began.Add(4*24*time.Hour)
	last := silent.Add(48 * time.Hour)
	appendFile(t, log, begun(began, 7)+stamped(ended, 7, summedUp)+
		strings.ReplaceAll(begun(silent, 8), "alice", "bob")+
		stamped(last, 9, "connect from client (192.0.2.1)")+stamped(last, 9, "module-list request from client (192.0.2.1)"))
	e := startExporter(t, "-p", log, "--file-start=beginning")
	s := e.until(1, "rsync_sessions_total", `outcome="listing"`) // the last line's
	e.want(s, 2, "rsync_executions_total", `module="backup"`)
	e.want(s, 0, "rsync_sessions_active")
	e.want(s, 1, "rsync_sessions_total", `outcome="ok"`, `module="backup"`)
	e.want(s, 1, "rsync_sessions_total", `outcome="listing"`)
	e.within(s, float64(ended.Unix()), 2, "rsync_last_success_timestamp_seconds", `user="alice"`)
	e.within(s, 6*3600, 2, "rsync_last_session_duration_seconds", `user="alice"`)
	e.within(s, float64(silent.Unix()), 2, "rsync_last_attempt_timestamp_seconds", `user="bob"`)
	e.want(s, 0, "rsync_last_success_timestamp_seconds", `user="bob"`)
	e.identities(s)
}

// A backup of two seconds is written half before the exporter stops, and half while it is down; it comes back
// 25 s after the first half, by what the lines say.
func TestASessionOfTwoSecondsThroughDowntime(t *testing.T) {
	dir := testenv.Dir(t)
	log := filepath.Join(dir, "log")
	args := []string{"-p", log, "--state-dir=" + filepath.Join(dir, "state"), "--file-start=beginning"}
	began := time.Now().Add(-25 * time.Second).Truncate(time.Second)
	appendFile(t, log, begun(began, 7))
	p := startExporterProcess(t, nil, args...)
	s := p.until(1, "rsync_sessions_active")
	p.within(s, float64(began.Unix()), 2, "rsync_oldest_session_start_timestamp_seconds")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	appendFile(t, log, stamped(began.Add(2*time.Second), 7, summedUp))
	p = startExporterProcess(t, nil, args...)
	s = p.until(1, "rsync_sessions_total", `outcome="ok"`)
	p.within(s, 2, 1, "rsync_last_session_duration_seconds", `user="alice"`)
	p.within(s, float64(began.Unix()+2), 2, "rsync_last_success_timestamp_seconds", `user="alice"`)
	p.want(s, 1, "rsync_connections_total")
}

// A relay was cut off for an hour and hands its queue on, over TCP and with stamps of RFC 3339; then it goes on live.
func TestARelaysQueueOverTCP(t *testing.T) {
	t.Parallel()
	address := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	e := startExporter(t, "--listen-udp=off", "--listen-tcp="+address)
	began := time.Now().Add(-time.Hour).Truncate(time.Second)
	syslog := func(at time.Time, lines string) (all string) {
		for line := range strings.Lines(lines) {
			_, text, _ := strings.Cut(line, "[")
			stamp := at.Format("2006-01-02T15:04:05.000000Z07:00")
			all += fmt.Sprintf("<30>%s nas rsyncd[%s", stamp, strings.Replace(text, "] ", "]: ", 1))
		}
		return all
	}
	conn := dial(t, "tcp", address)
	defer conn.Close()
	queue := syslog(began, begun(began, 7)) + syslog(began.Add(20*time.Minute), stamped(began, 7, summedUp)) +
		syslog(began.Add(50*time.Minute), begun(began, 9))
	if _, err := conn.Write([]byte(queue)); err != nil {
		t.Fatal(err)
	}
	s := e.until(1, "rsync_sessions_total", `outcome="ok"`, `host="nas"`)
	e.within(s, 20*60, 2, "rsync_last_session_duration_seconds", `user="alice"`)
	e.within(s, float64(began.Unix()+20*60), 2, "rsync_last_success_timestamp_seconds", `user="alice"`)
	e.want(s, 1, "rsync_sessions_active", `host="nas"`)
	e.within(s, float64(began.Unix()+50*60), 2, "rsync_oldest_session_start_timestamp_seconds", `host="nas"`)

	now := time.Now()
	if _, err := conn.Write([]byte(syslog(now, stamped(now, 9, summedUp)))); err != nil {
		t.Fatal(err)
	}
	s = e.until(2, "rsync_sessions_total", `outcome="ok"`, `host="nas"`)
	e.within(s, float64(now.Unix()), 2, "rsync_last_success_timestamp_seconds", `user="alice"`)
	e.within(s, now.Sub(began.Add(50*time.Minute)).Seconds(), 2, "rsync_last_session_duration_seconds", `user="alice"`)
	e.want(s, 0, "rsync_sessions_active", `host="nas"`)
}

// FAULTS I14. 60,000 sessions of one day, more than the table holds, many of them in the same second: each has
// ended with its bytes when the log has been read, none is taken for running, and none had to make room before
// its end.
func TestSixtyThousandSessionsInABacklog(t *testing.T) {
	t.Parallel()
	const n = 60_000
	log := filepath.Join(testenv.Dir(t), "log")
	var text strings.Builder
	began := time.Now().Add(-30 * time.Hour).Truncate(time.Second)
	for i := range n {
		at := began.Add(time.Duration(i/100) * time.Second)
		text.WriteString(begun(at, 100+i))
		text.WriteString(stamped(at, 100+i, summedUp))
	}
	if err := os.WriteFile(log, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	e := startExporter(t, "-p", log, "--file-start=beginning")
	s := e.until(n, "rsync_sessions_total", `outcome="ok"`)
	e.want(s, n, "rsync_connections_total")
	e.want(s, 200*n, "rsync_received_bytes_total")
	e.want(s, 30*n, "rsync_sent_bytes_total")
	e.want(s, 0, "rsync_sessions_active")
	e.want(s, 0, "rsyncd_exporter_sessions_evicted_total")
	e.within(s, float64(began.Unix()+n/100-1), 2, "rsync_last_success_timestamp_seconds", `user="alice"`)
	e.identities(s)
}
