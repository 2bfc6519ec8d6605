//go:build linux

package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Rsyncd is a running rsync daemon.
type Rsyncd struct {
	*Process
	Port int
	// its rsyncd.conf, a copy of rsyncd.conf.example; the daemon reads it again at each connection,
	// so it may be changed
	Conf string

	dir     string
	address string
	attr    *syscall.SysProcAttr // of the daemon's process; nil: nothing particular
	within  []string             // a command that starts it; nil: none
}

// StartRsyncd starts a daemon on rsyncd.conf.example that logs to the unix datagram socket log,
// through a /dev/log of its own. With an empty log it has the machine's /dev/log, and args had
// better hold --log-file. The module "mirror" has the files README (5,000 bytes) and release.iso
// (300,000); "incoming" and "backup" are empty and writable, the latter for the user alice; see
// Rsync for her password.
func StartRsyncd(t testing.TB, log string, args ...string) *Rsyncd {
	t.Helper()
	r := exampleRsyncd(t)
	r.start(t, log, args...)
	return r
}

// exampleRsyncd makes what a daemon on rsyncd.conf.example needs. It doesn't start one.
func exampleRsyncd(t testing.TB) *Rsyncd {
	t.Helper()
	dir := Dir(t)
	r := &Rsyncd{Port: Port(t), dir: dir, address: "127.0.0.1"}
	for _, module := range []string{"mirror", "incoming", "backup"} {
		makeModule(t, r.Module(module))
	}
	writeFile(t, filepath.Join(r.Module("mirror"), "README"), make([]byte, 5000), 0o644)
	writeFile(t, filepath.Join(r.Module("mirror"), "release.iso"), make([]byte, 300000), 0o644)
	writeFile(t, filepath.Join(dir, "secrets"), []byte("alice:"+Password+"\n"), 0o600)
	r.Conf = rewrite(t, "rsyncd.conf.example", dir, "/srv/rsync/", dir+"/modules/", "/etc/rsyncd/", dir+"/",
		"/run/", dir+"/")
	return r
}

// StartRsyncdConf starts a daemon on the text of an rsyncd.conf that logs as StartRsyncd's does and
// listens on the loopback address. In the text, DIR stands for the daemon's directory dir; its
// modules, which exist when the daemon starts and anybody may write to, lie in DIR/modules.
func StartRsyncdConf(t testing.TB, dir, address, log, text string) *Rsyncd {
	t.Helper()
	return startRsyncdConf(t, &Rsyncd{}, dir, address, log, text)
}

// StartRsyncdOn is StartRsyncdConf for a daemon that sees a small disk.
func StartRsyncdOn(t testing.TB, disk *SmallDisk, dir, address, log, text string) *Rsyncd {
	t.Helper()
	return startRsyncdConf(t, &Rsyncd{within: disk.Within()}, dir, address, log, text)
}

// StartContainedRsyncd is StartRsyncdConf for a daemon that is process 1 of a pid namespace of its
// own, as in a container. It logs the namespace's process ids, which are the same at each start,
// and its sessions die with it.
func StartContainedRsyncd(t testing.TB, dir, address, log, text string) *Rsyncd {
	t.Helper()
	r := &Rsyncd{attr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}}
	return startRsyncdConf(t, r, dir, address, log, text)
}

func startRsyncdConf(t testing.TB, r *Rsyncd, dir, address, log, text string) *Rsyncd {
	t.Helper()
	r.Port, r.Conf, r.dir, r.address = Port(t), filepath.Join(dir, "rsyncd.conf"), dir, address
	for _, section := range regexp.MustCompile(`(?m)^\[(.+)\]$`).FindAllStringSubmatch(text, -1) {
		makeModule(t, r.Module(section[1]))
	}
	writeFile(t, r.Conf, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644)
	r.start(t, log)
	return r
}

func makeModule(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // sessions are nobody's
		t.Fatal(err)
	}
}

// start runs the daemon on r.Conf.
func (r *Rsyncd) start(t testing.TB, log string, args ...string) {
	t.Helper()
	command := []string{Need(t, "rsync"), "--daemon", "--no-detach", "--config=" + r.Conf, "--address=" + r.address,
		"--port=" + strconv.Itoa(r.Port), "--dparam=lock file=" + filepath.Join(r.dir, "lock")}
	if os.Geteuid() != 0 {
		command = append(command, "--dparam=use chroot=no") // only root may
	}
	if log != "" {
		command = withDevLog(t, log, command)
	}
	command = append(slices.Clone(r.within), append(command, args...)...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.SysProcAttr = r.attr
	r.Process = Start(t, cmd)
	r.Ready(t, "rsyncd to listen", func() bool { return Listening(t, r.Port) })
}

// withDevLog returns the command that runs the given one with a /dev/log that leads to the socket.
func withDevLog(t testing.TB, socket string, command []string) []string {
	t.Helper()
	return append([]string{filepath.Join(Root(t), "scripts/with-dev-log"), socket}, command...)
}

// Module returns the directory of a module.
func (r *Rsyncd) Module(name string) string { return filepath.Join(r.dir, "modules", name) }

// URL returns the URL of a path, "mirror/README", or with a user, "alice@" and "backup/".
func (r *Rsyncd) URL(user, path string) string {
	return fmt.Sprintf("rsync://%s%s/%s", user, net.JoinHostPort(r.address, strconv.Itoa(r.Port)), path)
}

// Password is what Rsync offers: that of alice, whom rsyncd.conf.example lets write to the module
// "backup".
const Password = "secret"

// StartRsync starts an rsync client, which offers every daemon the password of alice.
func StartRsync(t testing.TB, args ...string) *Process {
	t.Helper()
	cmd := exec.Command(Need(t, "rsync"), args...)
	cmd.Env = append(os.Environ(), "RSYNC_PASSWORD="+Password)
	return Start(t, cmd)
}

// Stats is what a client counted, from the output of --stats --no-human-readable.
type Stats struct {
	Files, FileBytes int // regular files transferred, and their size
	Deleted          int // files and directories
	ListedBytes      int // the size of all files looked at
	Literal, Matched int // bytes of those files that went over the wire, and that did not need to
	Sent, Received   int // bytes on the wire
}

// ParseStats finds the statistics in a client's output.
func ParseStats(t testing.TB, output string) Stats {
	t.Helper()
	number := func(what string) int {
		m := regexp.MustCompile(`(?m)^` + what + `: (\d+)`).FindStringSubmatch(output)
		if m == nil {
			t.Fatalf("no %q in the client's output %q", what, output)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return Stats{
		Files: number("Number of regular files transferred"), FileBytes: number("Total transferred file size"),
		Deleted: number("Number of deleted files"), ListedBytes: number("Total file size"),
		Literal: number("Literal data"), Matched: number("Matched data"),
		Sent: number("Total bytes sent"), Received: number("Total bytes received"),
	}
}

// Rsync runs an rsync client to its end and returns its exit code and output. It offers every
// daemon the password of alice.
func Rsync(t testing.TB, args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Need(t, "rsync"), args...)
	cmd.Env = append(os.Environ(), "RSYNC_PASSWORD="+Password)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("rsync %q: %v\n%s", args, errors.Join(err, ctx.Err()), out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// Forwarder is a running syslog daemon that takes messages from a unix datagram socket.
type Forwarder struct {
	*Process
	Socket string // for StartRsyncd

	name, deployed string // deployed is the copy of the file in deploy
	command        []string
}

// Start starts the daemon again, once it has ended: with the same configuration, in the same
// directory.
func (f *Forwarder) Start(t testing.TB) {
	t.Helper()
	// What a killed daemon leaves behind: rsyslogd doesn't start beside a file with the id of a
	// living process, and a socket that nobody reads is found out only at the first message.
	for _, file := range []string{f.Socket, filepath.Join(filepath.Dir(f.Socket), "pid")} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	f.Process = Start(t, exec.Command(f.command[0], f.command[1:]...))
	f.Ready(t, f.name+"'s socket", func() bool { return answers(f.Socket) })
}

// AddTag adds a syslog tag to the filter, as the file in deploy says that one does, and starts the
// daemon anew.
func (f *Forwarder) AddTag(t testing.TB, tag string) {
	t.Helper()
	if f.name == "syslog-ng" {
		f.Change(t, `program("rsyncd*" type(glob));`, fmt.Sprintf(`program("rsyncd*" type(glob)) or program(%q);`, tag))
		return
	}
	f.Change(t, `startswith ["rsyncd"] then`, fmt.Sprintf(`startswith ["rsyncd", %q] then`, tag))
}

// Change replaces a text of its copy of the file in deploy, and starts the daemon anew.
func (f *Forwarder) Change(t testing.TB, before, after string) {
	t.Helper()
	text, err := os.ReadFile(f.deployed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(before)) {
		t.Fatalf("%s doesn't hold %q", f.deployed, before)
	}
	writeFile(t, f.deployed, bytes.ReplaceAll(text, []byte(before), []byte(after)), 0o644)
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	f.Start(t)
}

// Queued reports whether the daemon's queue on disk holds a text.
func (f *Forwarder) Queued(t testing.TB, text string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(f.Socket), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		switch ext := filepath.Ext(file); {
		case ext == ".rqf", len(ext) == len(".00000001"): // syslog-ng's, rsyslog's
		default:
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(text)) {
			return true
		}
	}
	return false
}

// StartRsyslog starts rsyslogd with one of the files in deploy/rsyslog, "rsyncd_exporter-udp.conf",
// whose target becomes 127.0.0.1:port.
func StartRsyslog(t testing.TB, file string, port int) *Forwarder {
	t.Helper()
	return startRsyslog(t, "rsyslogd", file, "5514", strconv.Itoa(port))
}

// StartRsyslogTLS starts rsyslogd with deploy/rsyslog/rsyncd_exporter-tls.conf. Its certificates
// are those of testpki.Write in pki; the server's has the name localhost.
func StartRsyslogTLS(t testing.TB, pki string, port int) *Forwarder {
	t.Helper()
	return startRsyslog(t, "rsyslogd-tls", "rsyncd_exporter-tls.conf", "\"6514\"",
		fmt.Sprintf("%q", strconv.Itoa(port)),
		"/etc/rsyslog.d/tls", pki, "\"exporter.example.org\"", "\"localhost\"")
}

// StartRsyslogUnix starts rsyslogd with deploy/rsyslog/rsyncd_exporter-unix.conf. The exporter's
// socket is another one.
func StartRsyslogUnix(t testing.TB, socket string) *Forwarder {
	t.Helper()
	return startRsyslog(t, "rsyslogd", "rsyncd_exporter-unix.conf", "/run/rsyncd_exporter/log", socket)
}

func startRsyslog(t testing.TB, program, file string, replace ...string) *Forwarder {
	t.Helper()
	dir := Dir(t)
	return runRsyslog(t, program, dir, "", rewrite(t, filepath.Join("deploy/rsyslog", file), dir, replace...))
}

// StartRsyslogByHost starts an rsyslogd that receives over TCP at 127.0.0.1:port. It sends each host's
// messages to one of the ports of 127.0.0.1 by rsyncd_exporter-by-host.conf, and unless all is 0, all
// to 127.0.0.1:all by deploy/rsyslog/rsyncd_exporter-tcp.conf.
func StartRsyslogByHost(t testing.TB, port, all int, shares [3]int) *Forwarder {
	t.Helper()
	dir := Dir(t)
	// rsyslog looks for an exporter that is back each second, so that no test waits for that.
	targets := []string{`resumeInterval="5"`, `resumeInterval="1"`}
	for i, share := range shares {
		target := fmt.Sprintf("target=\"exporter-%d.example.org\"\n        port=", i)
		targets = append(targets, target+`"5514"`, fmt.Sprintf("target=\"127.0.0.1\" port=\"%d\"", share))
	}
	input := fmt.Sprintf("module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"%d\")\n",
		port)
	deployed := []string{rewrite(t, "deploy/rsyslog/rsyncd_exporter-by-host.conf", dir, targets...)}
	if all != 0 {
		deployed = append(deployed,
			rewrite(t, "deploy/rsyslog/rsyncd_exporter-tcp.conf", dir, "5514", strconv.Itoa(all)))
	}
	f := runRsyslog(t, "rsyslogd", dir, input, deployed...)
	f.Ready(t, "rsyslogd to listen", func() bool { return Listening(t, port) })
	return f
}

// runRsyslog starts rsyslogd with a socket in the directory, another input, and configuration files
// that it includes.
func runRsyslog(t testing.TB, program, dir, input string, deployed ...string) *Forwarder {
	t.Helper()
	f := &Forwarder{Socket: filepath.Join(dir, "log"), deployed: deployed[0]}
	conf := filepath.Join(dir, "rsyslog.conf")
	text := fmt.Appendf(nil, `global(workDirectory=%q)
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q CreatePath="off" RateLimit.Interval="0")
%s`, dir, f.Socket, input)
	for _, file := range deployed {
		text = fmt.Appendf(text, "include(file=%q mode=\"required\")\n", file)
	}
	writeFile(t, conf, text, 0o644)
	f.name, f.command = "rsyslogd", []string{Need(t, program), "-n", "-f", conf, "-i", filepath.Join(dir, "pid")}
	f.Start(t)
	return f
}

// StartSyslogNG starts syslog-ng with one of the files in deploy/syslog-ng, whose destination
// becomes 127.0.0.1:port.
func StartSyslogNG(t testing.TB, file string, port int) *Forwarder {
	t.Helper()
	return startSyslogNG(t, file, "5514", strconv.Itoa(port))
}

// StartSyslogNGUnix starts syslog-ng with deploy/syslog-ng/rsyncd_exporter-unix.conf. The exporter's
// socket is another one.
func StartSyslogNGUnix(t testing.TB, socket string) *Forwarder {
	t.Helper()
	return startSyslogNG(t, "rsyncd_exporter-unix.conf", "/run/rsyncd_exporter/log", socket)
}

// StartSyslogNGNetwork is StartSyslogNG with rsyncd_exporter-tcp.conf and the network() driver,
// whose frames end with a line feed, also with one in a file's name.
func StartSyslogNGNetwork(t testing.TB, port int) *Forwarder {
	t.Helper()
	return startSyslogNG(t, "rsyncd_exporter-tcp.conf", "5514", strconv.Itoa(port), "    syslog(", "    network(")
}

// StartSyslogNGTLS starts syslog-ng with deploy/syslog-ng/rsyncd_exporter-tls.conf and the
// certificates of testpki.Write in pki. The driver is "syslog", or "network", whose frames end with
// a line feed.
func StartSyslogNGTLS(t testing.TB, driver, pki string, port int) *Forwarder {
	t.Helper()
	return startSyslogNG(t, "rsyncd_exporter-tls.conf", "port(6514)", fmt.Sprintf("port(%d)", port),
		"/etc/syslog-ng/tls", pki,
		"    syslog(", "    "+driver+"(")
}

func startSyslogNG(t testing.TB, file string, replace ...string) *Forwarder {
	t.Helper()
	dir := Dir(t)
	if file != "rsyncd_exporter-udp.conf" {
		replace = append(replace, "/var/lib/syslog-ng", dir)
	}
	return runSyslogNG(t, dir, "", rewrite(t, filepath.Join("deploy/syslog-ng", file), dir, replace...))
}

// StartSyslogNGRelay starts a syslog-ng that receives over TCP at 127.0.0.1:port, on the text of a
// configuration whose source is s_src.
func StartSyslogNGRelay(t testing.TB, port int, text string) *Forwarder {
	t.Helper()
	dir := Dir(t)
	file := filepath.Join(dir, "relay.conf")
	writeFile(t, file, []byte(text), 0o644)
	input := fmt.Sprintf(` syslog(ip("127.0.0.1") transport("tcp") port(%d) keep-hostname(yes));`, port)
	f := runSyslogNG(t, dir, input, file)
	f.Ready(t, "syslog-ng to listen", func() bool { return Listening(t, port) })
	return f
}

// runSyslogNG starts syslog-ng with a socket in the directory, another input, and a configuration
// file that it includes.
func runSyslogNG(t testing.TB, dir, input, deployed string) *Forwarder {
	t.Helper()
	f := &Forwarder{Socket: filepath.Join(dir, "log"), deployed: deployed}
	conf := filepath.Join(dir, "syslog-ng.conf")
	writeFile(t, conf, fmt.Appendf(nil, "@version: 3.35\nsource s_src { unix-dgram(%q);%s };\n@include %q\n",
		f.Socket, input, f.deployed), 0o644)
	f.name, f.command = "syslog-ng", []string{Need(t, "syslog-ng"), "--foreground", "--no-caps", "--cfgfile=" + conf,
		"--persist-file=" + filepath.Join(dir, "persist"), "--pidfile=" + filepath.Join(dir, "pid"),
		"--control=" + filepath.Join(dir, "ctl")}
	f.Start(t)
	return f
}

// answers reports whether somebody receives at a unix datagram socket.
func answers(path string) bool {
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// Prometheus is a running Prometheus server.
type Prometheus struct {
	*Process
	URL string
}

// StartPrometheus starts Prometheus with deploy/prometheus/prometheus.yml, whose target becomes the
// address, "127.0.0.1:8080", and with the rules beside it. It scrapes every second.
func StartPrometheus(t testing.TB, target string) *Prometheus {
	t.Helper()
	return StartPrometheusEvery(t, "1s", target)
}

// StartPrometheusEvery is StartPrometheus with another scrape interval; the file's own is "10s".
func StartPrometheusEvery(t testing.TB, interval, target string) *Prometheus {
	t.Helper()
	return startPrometheus(t, interval, target, filepath.Join(Dir(t), "data"))
}

// StartPrometheusOn starts Prometheus on a directory of blocks, however old they are. It has
// nothing to scrape.
func StartPrometheusOn(t testing.TB, data string) *Prometheus {
	t.Helper()
	return startPrometheus(t, "1h", "127.0.0.1:1", data, "--storage.tsdb.retention.time=100y")
}

func startPrometheus(t testing.TB, interval, target, data string, more ...string) *Prometheus {
	t.Helper()
	const rules = "rsyncd_exporter.rules.yml"
	conf := rewrite(t, "deploy/prometheus/prometheus.yml", Dir(t), "app:8080\"", target+"\"", "scrape_interval: 10s",
		"scrape_interval: "+interval, rules, filepath.Join(Root(t), "deploy/prometheus", rules))
	return StartPrometheusConf(t, Need(t, "prometheus"), conf, append(more, "--storage.tsdb.path="+data)...)
}

// Prometheus3 returns the path of a program that `make prometheus3` has built, "prometheus" or
// "promtool". It skips the test where there is none, since that takes ten minutes.
func Prometheus3(t testing.TB, program string) string {
	t.Helper()
	path := filepath.Join(Root(t), "build/prometheus3", program)
	if _, err := exec.LookPath(path); err != nil {
		t.Skip("NOT TESTED with Prometheus 3, which Debian doesn't have: " +
			"`make prometheus3` builds it and runs this test")
	}
	return path
}

// StartPrometheusConf starts a Prometheus of any version on a configuration file.
func StartPrometheusConf(t testing.TB, program, conf string, args ...string) *Prometheus {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", Port(t))
	p := &Prometheus{URL: "http://" + address}
	args = append([]string{"--config.file=" + conf, "--web.listen-address=" + address, "--log.level=warn"}, args...)
	p.Process = Start(t, exec.Command(program, args...))
	p.Ready(t, "Prometheus to be ready", func() bool {
		resp, err := http.Get(p.URL + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// Query evaluates a PromQL expression now. The result is the sum of the answer's samples; ok is
// false when it has none.
func (p *Prometheus) Query(t testing.TB, expr string) (sum float64, ok bool) {
	t.Helper()
	all := p.QueryAt(t, expr, time.Now())
	for _, sample := range all {
		sum += sample.Value
	}
	return sum, len(all) > 0
}

// A Sample is an element of an instant vector.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// QueryAt evaluates a PromQL expression at a time.
func (p *Prometheus) QueryAt(t testing.TB, expr string, at time.Time) (all []Sample) {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("%s/api/v1/query?query=%s&time=%d.%03d", p.URL, url.QueryEscape(expr), at.Unix(),
		at.Nanosecond()/1e6))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any // time, and the value as a string: Prometheus' HTTP API, "Instant vectors"
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != "" {
		t.Fatalf("query %q: status %s, error %q, %v", expr, resp.Status, answer.Error, err)
	}
	for _, sample := range answer.Data.Result {
		text, _ := sample.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("query %q: value %v: %v", expr, sample.Value, err)
		}
		all = append(all, Sample{sample.Metric, v})
	}
	return all
}

func writeFile(t testing.TB, path string, content []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
}
