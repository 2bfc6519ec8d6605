//go:build linux

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// A site is a real daemon that logs to an exporter of its own, and the books of what its clients know. Each scenario has a module or more for
// itself, so that its sessions can be told from others'; what is expected comes from the clients and from the files, never from the
// exporter.
type site struct {
	*exporter
	d   *testenv.Rsyncd
	dir string // the daemon's
	own string // the clients'

	daemon func() // starts one, in the place of d
	starts int
	visits []visit
}

// logging is a way from daemon to exporter.
type logging string

const (
	unixSocket logging = "unix socket"
	logFile    logging = "log file"
)

// A module is in the directory of its name, and writable, unless its section says otherwise.
const liveConf = `
transfer logging = yes
path = DIR/modules/%RSYNC_MODULE_NAME%
read only = no
`

// live starts a site on the sections of an rsyncd.conf, in which DIR stands for its directory.
func live(t *testing.T, by logging, address, sections string, args ...string) *site {
	t.Helper()
	return liveWith(t, testenv.StartRsyncdConf, by, address, sections, args...)
}

// liveWith is live with another way to start a daemon: one of testenv's StartRsyncd… functions.
func liveWith(t *testing.T, start func(t testing.TB, dir, address, log, text string) *testenv.Rsyncd,
	by logging, address, sections string, args ...string) *site {
	t.Helper()
	s := &site{dir: testenv.Dir(t), own: testenv.Dir(t)}
	conf, log := liveConf, filepath.Join(s.dir, "log")
	if os.Geteuid() != 0 {
		t.Log("not root: without chroot, and with modules that belong to the user who runs the daemon")
		conf += "use chroot = no\n"
	}
	switch by {
	case unixSocket:
		args = append(args, "--listen-unixgram="+log, "--listen-udp=off")
	case logFile:
		conf += "log file = DIR/log\n"
		args, log = append(args, "-p", log, "-s", "1"), ""
	}
	s.exporter = startExporter(t, args...)
	s.daemon = func() {
		s.d = start(t, s.dir, address, log, conf+sections)
		s.starts++
	}
	s.daemon()
	return s
}

// clientArgs are what every client gets: sessions are nobody's, who may not change a module's own directory. The
// time-out is the daemon's too, also of a session whose client is stopped while a test does something else.
var clientArgs = []string{"-rltO", "--stats", "--no-h", "--timeout=300"}

// failure stands for any exit code but 0: a client's depends on what comes first, the daemon's reason or the reset of its connection.
const failure = -1

// rsync runs a client, whose exit code must be the given one, and returns its output.
func (s *site) rsync(t *testing.T, code int, args ...string) string {
	t.Helper()
	got, out := testenv.Rsync(t, slices.Concat(clientArgs, args)...)
	if got != code && (code != failure || got == 0) {
		t.Fatalf("rsync %q: exit code %d, want %d:\n%s", args, got, code, out)
	}
	return out
}

// stats runs a client, which ends with the code, and returns what it counted.
func (s *site) stats(t *testing.T, code int, args ...string) testenv.Stats {
	t.Helper()
	return testenv.ParseStats(t, s.rsync(t, code, args...))
}

// start starts a client that the test will do something to.
func (s *site) start(t *testing.T, args ...string) *testenv.Process {
	t.Helper()
	return testenv.StartRsync(t, slices.Concat(clientArgs, args)...)
}

// counts waits for a client that was started, and returns what it counted.
func (s *site) counts(t *testing.T, client *testenv.Process, code int) testenv.Stats {
	t.Helper()
	if got := client.Wait(t); got != code {
		t.Fatalf("exit code %d, want %d", got, code)
	}
	return testenv.ParseStats(t, client.Output())
}

// arriving waits until a part of a client's file has arrived in the directory of its receiver, and returns its size.
func arriving(t *testing.T, client *testenv.Process, dir, file string) (size int) {
	t.Helper()
	client.Ready(t, "a part of "+file, func() bool {
		parts, err := filepath.Glob(filepath.Join(dir, "."+file+".??????")) // receiver.c: get_tmpname
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range parts {
			if info, err := os.Stat(part); err == nil {
				size = int(info.Size())
			}
		}
		return size > 0
	})
	return size
}

func (s *site) url(path string) string { return s.d.URL("", path) }

// scratch is a new directory of a client's, with files of the given sizes.
func (s *site) scratch(t *testing.T, sizes ...int) string {
	t.Helper()
	dir, err := os.MkdirTemp(s.own, "")
	if err != nil {
		t.Fatal(err)
	}
	fill(t, dir, sizes...)
	return dir + "/"
}

// fill puts files f0, f1, … of the given sizes into a directory; two files of a size are the same.
func fill(t *testing.T, dir string, sizes ...int) {
	t.Helper()
	for i, size := range sizes {
		put(t, filepath.Join(dir, fmt.Sprintf("f%d", i)), noise(size))
	}
}

func put(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// secrets writes the secrets file that sections name DIR/secrets.
func (s *site) secrets(t *testing.T, lines ...string) {
	t.Helper()
	file := filepath.Join(s.dir, "secrets")
	put(t, file, []byte(strings.Join(lines, "\n")+"\n"))
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
}

// noise has no two blocks alike, so that delta transfer finds nothing by chance.
func noise(size int) []byte {
	b, x := make([]byte, size), uint32(2463534242)
	for i := range b {
		x ^= x << 13 // xorshift32
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

// A visit is what one client, and the files it left, know of its session.
type visit struct {
	module    string // empty where the daemon doesn't name a configured one
	direction string // the daemon's: send or receive; empty where nothing was let through
	outcome   string
	reason    string // of a rejection
	errnos    []int  // of the files that failed
	codes     []int  // exit codes that the daemon logs

	files, fileBytes, deleted int
	unknown, unknownBytes     int // files whose operation the log format doesn't tell for certain
	listedBytes               int
	sent, received            span // the daemon's
}

// A span is what a number must lie in.
type span struct{ from, to int }

// slack is what a daemon counts beyond its client: 5 to 20 bytes of handshake (measured, protocol 31 and 32).
const slack = 32

// counted is the visit of a client that has counted its transfer.
func counted(module, direction, outcome string, c testenv.Stats) visit {
	return visit{
		module: module, direction: direction, outcome: outcome, files: c.Files, fileBytes: c.FileBytes, deleted: c.Deleted,
		listedBytes: c.ListedBytes, sent: span{c.Received, c.Received + slack}, received: span{c.Sent, c.Sent + slack},
	}
}

func (s *site) book(v visit) { s.visits = append(s.visits, v) }

// seriesName writes a series of a daemon on this machine as /metrics does; labels are pairs.
func seriesName(name string, labels ...string) string {
	pairs := []string{`host=""`}
	for i := 0; i < len(labels); i += 2 {
		pairs = append(pairs, fmt.Sprintf("%s=%q", labels[i], labels[i+1]))
	}
	slices.Sort(pairs)
	return name + "{" + strings.Join(pairs, ",") + "}"
}

// expected is what /metrics must hold of some metrics: each of their series that isn't 0.
func expected(starts int, visits []visit) map[string]span {
	all := map[string]span{}
	add := func(n span, name string, labels ...string) {
		if n.to > 0 {
			key := seriesName(name, labels...)
			all[key] = span{all[key].from + n.from, all[key].to + n.to}
		}
	}
	exactly := func(n int) span { return span{n, n} }
	add(exactly(starts), "rsync_daemon_starts_total")
	for _, v := range visits {
		add(exactly(1), "rsync_connections_total")
		add(exactly(1), "rsync_sessions_total", "module", v.module, "direction", v.direction, "outcome", v.outcome)
		operation := map[string]string{"send": "send", "receive": "recv"}[v.direction]
		add(exactly(v.files), "rsync_files_total", "module", v.module, "operation", operation)
		add(exactly(v.fileBytes), "rsync_file_bytes_total", "module", v.module, "operation", operation)
		add(exactly(v.deleted), "rsync_files_total", "module", v.module, "operation", "del.")
		add(exactly(v.unknown), "rsync_files_total", "module", v.module, "operation", "unknown")
		add(exactly(v.unknownBytes), "rsync_file_bytes_total", "module", v.module, "operation", "unknown")
		if v.direction != "" {
			add(exactly(1), "rsync_executions_total", "module", v.module, "direction", v.direction)
		}
		if v.reason != "" {
			add(exactly(1), "rsync_rejected_total", "module", v.module, "reason", v.reason)
		}
		if v.outcome == "listing" {
			add(exactly(1), "rsync_module_list_requests_total")
		}
		for _, code := range v.codes {
			add(exactly(1), "rsync_errors_total", "module", v.module, "status_code", fmt.Sprint(code))
		}
		for _, errno := range v.errnos {
			add(exactly(1), "rsync_file_errors_total", "module", v.module, "errno", fmt.Sprint(errno))
		}
		add(exactly(v.listedBytes), "rsync_listed_bytes_total", "module", v.module, "direction", v.direction)
		add(v.sent, "rsync_sent_bytes_total", "module", v.module, "direction", v.direction)
		add(v.received, "rsync_received_bytes_total", "module", v.module, "direction", v.direction)
	}
	return all
}

// compared are the metrics of which no series may hold anything that is not expected.
var compared = []string{
	"rsync_connections_total", "rsync_daemon_starts_total", "rsync_executions_total", "rsync_sessions_total", "rsync_sessions_active",
	"rsync_rejected_total", "rsync_errors_total", "rsync_files_total", "rsync_file_bytes_total", "rsync_file_errors_total",
	"rsync_module_list_requests_total", "rsync_listed_bytes_total", "rsync_sent_bytes_total", "rsync_received_bytes_total",
}

// audit waits until as many sessions have ended as clients came, stops the daemon, and compares /metrics with the books. It returns the
// last scrape.
func (s *site) audit(t *testing.T) map[string]float64 {
	t.Helper()
	if t.Failed() {
		t.FailNow() // what the clients know is incomplete
	}
	defer func() {
		if t.Failed() {
			s.compare(t, s.scrape()) // tells which are missing
		}
	}()
	summaries := total(s.until(float64(len(s.visits)), "rsync_sessions_total"), "rsync_messages_total", `kind="summary"`)
	_ = s.d.Stop() // it ends as SIGTERM makes it
	// The listener's stop line, which looks like the summary of an empty session, is the last line.
	got := s.until(summaries+1, "rsync_messages_total", `kind="summary"`)
	s.compare(t, got)
	return got
}

// compare compares a scrape with the books.
func (s *site) compare(t *testing.T, got map[string]float64) {
	t.Helper()
	want := expected(s.starts, s.visits)
	for name, v := range got {
		family, _, _ := strings.Cut(name, "{")
		if _, ok := want[name]; !ok && v != 0 && slices.Contains(compared, family) {
			t.Errorf("%s: %v, of which no client knows", name, v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if v, w := got[name], want[name]; v < float64(w.from) || v > float64(w.to) {
			t.Errorf("%s: %v, want %d to %d", name, v, w.from, w.to)
		}
	}
	s.want(got, 0, "rsync_messages_total", `kind="unrecognised"`)
	s.want(got, 0, "rsync_messages_total", `kind="implausible"`)
	if n := got["rsyncd_exporter_session_table_size"]; n > float64(len(s.visits)) {
		t.Errorf("%v sessions in the table, want %d: it holds some that no client had", n, len(s.visits))
	}
}
