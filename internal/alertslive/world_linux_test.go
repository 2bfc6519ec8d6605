package alertslive

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

func TestMain(m *testing.M) {
	status := m.Run()
	testenv.RemoveReleased()
	os.Exit(status)
}

// A scene is an exporter, what it listens to, and how its conditions are provoked.
type scene struct {
	name string
	*testenv.Exporter
	alerts []string // that fire for it
	also   []string // that may; no others do

	// week has what the rules would have recorded during the week before, by series.
	week map[string]float64

	// Each may be nil. provoke is called once, when Prometheus has looked at the exporter for as
	// long as an alert with a history of its own needs; step about each second, from the start on.
	provoke, step func()

	site *site     // where there is a daemon; while clients of it run, there is no step
	more time.Time // when a step that comes less often is due
}

// every calls do at most once in a while, from a step.
func (s *scene) every(while time.Duration, do func()) {
	if now := time.Now(); !now.Before(s.more) {
		s.more = now.Add(while)
		do()
	}
}

// conf is the beginning of every rsyncd.conf. Modules are writable, and in directories of their
// names.
const conf = `
transfer logging = yes
path = DIR/modules/%RSYNC_MODULE_NAME%
read only = no
secrets file = DIR/secrets
`

// A site is a daemon, the unix socket that it logs to, and clients' files.
type site struct {
	*testenv.Rsyncd
	dir, socket, own string
	clients          []client // that rsync has started
}

// newSite starts a daemon on the sections of an rsyncd.conf and the exporter that listens to it. The
// exporter's flags may hold DIR, the daemon's directory.
func (s *scene) newSite(t *testing.T, sections string, flags ...string) *site {
	t.Helper()
	return s.newSiteOn(t, nil, sections, flags...)
}

// newSiteOn is newSite with a daemon that sees a small disk; nil: none.
func (sc *scene) newSiteOn(t *testing.T, disk *testenv.SmallDisk, sections string, flags ...string) *site {
	t.Helper()
	s := &site{dir: testenv.Dir(t), own: testenv.Dir(t)}
	s.socket = filepath.Join(s.dir, "log")
	text := conf + sections
	if os.Geteuid() != 0 {
		text = "use chroot = no\n" + text
	}
	testenv.WriteFile(t, filepath.Join(s.dir, "secrets"), "alice:"+testenv.Password+"\nbob:"+testenv.Password+"\n")
	testenv.WriteFile(t, filepath.Join(s.dir, "rsyncd.conf"), strings.ReplaceAll(text, "DIR", s.dir))
	args := []string{"--listen-udp=off", "--listen-unixgram=" + s.socket, "--rsyncd-conf=DIR/rsyncd.conf"}
	for _, flag := range append(args, flags...) {
		args = append(args, strings.ReplaceAll(flag, "DIR", s.dir))
	}
	sc.site, sc.Exporter = s, testenv.StartExporter(t, nil, args[3:]...)
	if disk != nil {
		s.Rsyncd = testenv.StartRsyncdOn(t, disk, s.dir, "127.0.0.1", s.socket, text)
	} else {
		s.Rsyncd = testenv.StartRsyncdConf(t, s.dir, "127.0.0.1", s.socket, text)
	}
	return s
}

// fill makes a directory of the client's with files of these sizes, which can't be compressed.
func (s *site) fill(t *testing.T, name string, sizes ...int) string {
	t.Helper()
	dir := filepath.Join(s.own, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, size := range sizes {
		s.write(t, filepath.Join(dir, fmt.Sprint("f", i)), size)
	}
	return dir + "/"
}

// offer puts a file into a module.
func (s *site) offer(t *testing.T, module, name string, size int) {
	t.Helper()
	s.write(t, filepath.Join(s.Module(module), name), size)
}

func (s *site) write(t *testing.T, path string, size int) {
	t.Helper()
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// pulled is where clients put what they pull.
func (s *site) pulled() string { return filepath.Join(s.own, "pulled") + "/" }

// rsync starts a client whose exit code must be the one given, once it has ended.
func (s *site) rsync(t *testing.T, code int, args ...string) {
	t.Helper()
	p := testenv.StartRsync(t, append([]string{"-rtO", "--timeout=60"}, args...)...)
	s.clients = append(s.clients, client{p, code, args})
}

// A client is one that will end with an exit code.
type client struct {
	*testenv.Process
	code int
	args []string
}

// busy reports whether clients of rsync still run, and looks at how the others ended.
func (s *site) busy(t *testing.T) bool {
	t.Helper()
	s.clients = slices.DeleteFunc(s.clients, func(c client) bool {
		select {
		case <-c.Ended():
		default:
			return false
		}
		if got := c.Wait(t); got != c.code {
			t.Errorf("rsync %q: exit code %d, want %d:\n%s", c.args, got, c.code, c.Output())
		}
		return true
	})
	return len(s.clients) > 0
}

// pull starts a slow client, which takes about a second for each KiB.
func (s *site) pull(t *testing.T, path string) *testenv.Process {
	t.Helper()
	return testenv.StartRsync(t, "-rt", "--bwlimit=1", "--whole-file", s.URL("", path), testenv.Dir(t)+"/")
}

// sender sends datagrams from a loopback address.
func sender(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// say sends a message of rsyncd's. That nobody listens is no error.
func say(c net.Conn, host string, pid int, text string) {
	_, _ = fmt.Fprintf(c, "<30>%s %s rsyncd[%d]: %s\n", time.Now().Format(time.RFC3339), host, pid, text)
}

// session sends the messages of a pull.
func session(c net.Conn, host string, pid int) {
	for _, text := range []string{
		"connect from c (192.0.2.1)", "rsync allowed access on module m from c (192.0.2.1)", "rsync on m/ from c (192.0.2.1)",
		"sent 10 bytes  received 20 bytes  total size 30",
	} {
		say(c, host, pid, text)
	}
}

// A world is the scenes and the Prometheus that looks at all of them.
type world struct {
	t      *testing.T
	scenes []*scene
	prom   *testenv.Prometheus
	began  time.Time // when that had looked at all of them
	long   bool      // it lasts an hour, and has a week behind it
	looked time.Time // when step last did
}

func newWorld(t *testing.T, long bool) *world {
	t.Helper()
	w := &world{t: t, long: long}
	for _, prepare := range scenes {
		s := &scene{}
		prepare(t, s)
		w.scenes = append(w.scenes, s)
	}
	return w
}

// start starts Prometheus with the shipped configuration and these rules.
func (w *world) start(rules []byte) {
	w.t.Helper()
	dir := testenv.Dir(w.t)
	targets := make([]string, 0, len(w.scenes))
	for _, s := range w.scenes {
		targets = append(targets, fmt.Sprintf("%q", s.Address))
	}
	text, err := os.ReadFile(filepath.Join(testenv.Root(w.t), "deploy/prometheus/prometheus.yml"))
	if err != nil {
		w.t.Fatal(err)
	}
	config := string(text)
	for _, replace := range [][2]string{
		{`"app:8080"`, strings.Join(targets, ", ")},
		{"scrape_interval: 10s", "scrape_interval: 1s\n" + promGlobal()},
	} {
		if strings.Count(config, replace[0]) != 1 {
			w.t.Fatalf("prometheus.yml doesn't hold %q once", replace[0])
		}
		config = strings.Replace(config, replace[0], replace[1], 1)
	}
	testenv.WriteFile(w.t, filepath.Join(dir, "prometheus.yml"), config)
	testenv.WriteFile(w.t, filepath.Join(dir, "rsyncd_exporter.rules.yml"), string(rules))
	data := filepath.Join(dir, "data")
	if w.long {
		w.writeWeek(dir, data)
	}
	program := os.Getenv("PROMETHEUS")
	switch {
	case program == "":
		program = testenv.Need(w.t, "prometheus")
	case !filepath.IsAbs(program):
		program = filepath.Join(testenv.Root(w.t), program)
	}
	w.prom = testenv.StartPrometheusConf(w.t, program, filepath.Join(dir, "prometheus.yml"),
		append(promFlags(), "--storage.tsdb.path="+data)...)
	testenv.Until(w.t, time.Minute, "Prometheus to have looked at each exporter", func() bool {
		n, _ := w.prom.Query(w.t, "count(up == 1)")
		_, firing := w.prom.Query(w.t, `ALERTS{alertname="RsyncdExporterDown"}`) // as there was none yet
		return int(n) == len(w.scenes) && !firing
	})
	w.began = time.Now()
}

// writeWeek makes blocks of the scenes' weeks, up to two hours ago, a sample each minute: after five
// minutes without one, a series isn't there.
func (w *world) writeWeek(dir, data string) {
	w.t.Helper()
	var text strings.Builder
	for _, s := range w.scenes {
		for series, value := range s.week {
			name, labels, _ := strings.Cut(series, "{")
			if labels = strings.TrimSuffix(labels, "}"); labels != "" {
				labels += ","
			}
			labels = fmt.Sprintf("{%sjob=%q,instance=%q}", labels, "rsyncd_exporter", s.Address)
			fmt.Fprintf(&text, "# TYPE %s gauge\n", name)
			for at := time.Now().Add(-8 * day); time.Since(at) > 2*time.Hour; at = at.Add(time.Minute) {
				fmt.Fprintf(&text, "%s%s %g %d\n", name, labels, value, at.Unix())
			}
		}
	}
	text.WriteString("# EOF\n")
	file := filepath.Join(dir, "week")
	testenv.WriteFile(w.t, file, text.String())
	if out, err := exec.Command(testenv.Need(w.t, "promtool"), "tsdb", "create-blocks-from", "openmetrics", file,
		data).CombinedOutput(); err != nil {
		w.t.Fatalf("promtool: %v\n%s", err, out)
	}
}

// onPrometheus3 reports whether PROMETHEUS says that it is the one of `make prometheus3`.
func onPrometheus3() bool { return strings.Contains(os.Getenv("PROMETHEUS"), "prometheus3") }

func promGlobal() string {
	if onPrometheus3() {
		return "  scrape_native_histograms: true\n  always_scrape_classic_histograms: true\n"
	}
	return ""
}

func promFlags() []string {
	if onPrometheus3() {
		return []string{"--enable-feature=created-timestamp-zero-ingestion"}
	}
	return nil
}

// step lets each scene do what it does again and again: each half second, or two seconds where there
// is an hour.
func (w *world) step() {
	w.t.Helper()
	often := 500 * time.Millisecond
	if w.long {
		often *= 4
	}
	time.Sleep(time.Until(w.looked.Add(often)))
	w.looked = time.Now()
	for _, s := range w.scenes {
		if s.step != nil && (s.site == nil || !s.site.busy(w.t)) {
			s.step()
		}
	}
}

// provoke begins what needs that Prometheus has looked at the exporters for a while.
func (w *world) provoke() {
	w.t.Helper()
	for _, s := range w.scenes {
		if s.provoke != nil {
			s.provoke()
		}
	}
}

// end has all exporters end at once; the test waits for each.
func (w *world) end() {
	for _, s := range w.scenes {
		_ = s.Signal(syscall.SIGTERM)
	}
}

// missing returns the alerts that have not fired yet, and for whom.
func (w *world) missing() (all []string) {
	w.t.Helper()
	fired := w.fired()
	for _, s := range w.scenes {
		for _, alert := range s.alerts {
			if !slices.Contains(fired, of(alert, s.name)) {
				all = append(all, of(alert, s.name))
			}
		}
	}
	return all
}

// surplus returns the alerts that have fired for somebody for whom they should not.
func (w *world) surplus() []string {
	w.t.Helper()
	return slices.DeleteFunc(w.fired(), func(what string) bool {
		return slices.ContainsFunc(w.scenes, func(s *scene) bool {
			return slices.ContainsFunc(slices.Concat(s.alerts, s.also), func(alert string) bool { return of(alert, s.name) == what })
		})
	})
}

// of says for which scene an alert fires.
func of(alert, scene string) string { return fmt.Sprintf("%s of %q", alert, scene) }

// fired returns the alerts that have fired so far.
func (w *world) fired() (all []string) {
	w.t.Helper()
	names := map[string]string{}
	for _, s := range w.scenes {
		names[s.Address] = s.name
	}
	query := fmt.Sprintf(`count by (alertname, instance) (max_over_time(ALERTS{alertstate="firing"}[%ds]))`,
		int(time.Since(w.began).Seconds())+1)
	for _, sample := range w.prom.QueryAt(w.t, query, time.Now()) {
		all = append(all, of(sample.Labels["alertname"], names[sample.Labels["instance"]]))
	}
	slices.Sort(all)
	return all
}
