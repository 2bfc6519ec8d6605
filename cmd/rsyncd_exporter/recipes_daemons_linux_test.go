package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// inetd, xinetd and systemd start one rsyncd for each connection, by the shipped files. Such daemons log no start, and all the rest counts as
// ever. None of the sessions is doubtful: each has a process id of its own.
func TestRsyncdThatIsStartedForEachConnection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		super  string
		toFile bool
	}{{"inetd", false}, {"xinetd", true}, {"systemd", false}} {
		t.Run(c.super, func(t *testing.T) {
			t.Parallel()
			log := filepath.Join(testenv.Dir(t), "log")
			var e *exporter
			var d *testenv.Rsyncd
			if c.toFile {
				e = startExporter(t, "-p", log)
				d = testenv.StartRsyncdBy(t, c.super, "", "log file = "+log)
			} else {
				e = startExporter(t, "--listen-unixgram="+log, "--listen-udp=off")
				d = testenv.StartRsyncdBy(t, c.super, log)
			}
			checkTraffic(t, e, d)
			s := e.scrape()
			e.want(s, 0, "rsync_daemon_starts_total")
			e.want(s, 0, "rsync_daemon_info")
		})
	}
}

// busybox syslogd passes on what it gets, without a host name, and writes another form of it to its file. Both count as a daemon's own words
// do. What comes while the exporter is away is lost over UDP, and nobody is held up; the file has it.
func TestBusyboxSyslogd(t *testing.T) {
	t.Parallel()
	port := testenv.Port(t)
	args := []string{fmt.Sprintf("--listen-udp=127.0.0.1:%d", port)}
	received := startExporterProcess(t, nil, args...)
	syslogd := testenv.StartBusyboxSyslogd(t, port)
	followed := startExporter(t, "-p", syslogd.File, "--file-start=beginning")
	d := testenv.StartRsyncd(t, syslogd.Socket)
	checkTraffic(t, received.exporter, d)

	s := received.scrape()
	if total(s, "rsync_sessions_total") != total(s, "rsync_sessions_total", `host=""`) {
		t.Error("busybox sends a host name by now: deploy/busybox/syslogd says that it doesn't")
	}
	if got, want := countedByBooks(followed.until(6, "rsync_sessions_total")), countedByBooks(s); !maps.Equal(got, want) {
		t.Errorf("by the file %v, by the network %v", got, want)
	}

	if err := received.Stop(); err != nil {
		t.Fatal(err)
	}
	pullReadme(t, d)
	followed.until(5, "rsync_messages_total", `kind="summary"`)
	received = startExporterProcess(t, nil, args...)
	pullReadme(t, d)
	s = received.until(1, "rsync_messages_total", `kind="summary"`)
	received.want(s, 1, "rsync_connections_total")
	followed.until(6, "rsync_messages_total", `kind="summary"`)
}

// pullReadme is a session with one file.
func pullReadme(t *testing.T, d *testenv.Rsyncd) {
	t.Helper()
	if code, out := testenv.Rsync(t, d.URL("", "mirror/README"), testenv.Dir(t)); code != 0 {
		t.Fatalf("a pull ended with code %d:\n%s", code, out)
	}
}

// countedByBooks returns the counters of sessions, messages and bytes, whatever the host.
func countedByBooks(s map[string]float64) map[string]float64 {
	host := regexp.MustCompile(`host="[^"]*",?`)
	sums := map[string]float64{}
	for series, value := range s {
		for _, name := range []string{"sessions_total", "executions_total", "messages_total", "sent_bytes_total", "received_bytes_total"} {
			if strings.HasPrefix(series, "rsync_"+name) && value > 0 {
				sums[host.ReplaceAllString(series, "")] += value
			}
		}
	}
	return sums
}
