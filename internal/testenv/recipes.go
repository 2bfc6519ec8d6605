//go:build linux

package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A Unit is what a systemd unit file says: by section and name, each value in the order of the
// file.
type Unit map[string]map[string][]string

// ReadUnit reads a unit file of deploy/systemd, with the instance's name for %i.
func ReadUnit(t testing.TB, file, instance string) Unit {
	t.Helper()
	u, section := Unit{}, ""
	for line := range strings.Lines(ReadDeployed(t, filepath.Join("systemd", file))) {
		line = strings.TrimSpace(line)
		name, value, isSetting := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = line
			u[section] = map[string][]string{}
		case isSetting:
			u[section][name] = append(u[section][name], strings.ReplaceAll(value, "%i", instance))
		default:
			t.Fatalf("%s: %q is neither a section nor a setting", file, line)
		}
	}
	return u
}

// One returns the only value of a setting.
func (u Unit) One(t testing.TB, section, name string) string {
	t.Helper()
	values := u["["+section+"]"][name]
	if len(values) != 1 {
		t.Fatalf("[%s] %s= has the values %q, want one", section, name, values)
	}
	return values[0]
}

// ReadDeployed returns the text of a file in deploy.
func ReadDeployed(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), "deploy", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Environment returns the variables that a file of settings in deploy sets, as a shell reads them:
// "NAME=value".
func Environment(t testing.TB, file string) []string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `set -a; . "$1"; exec env`, "sh", filepath.Join(Root(t), "deploy", file))
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var set []string
	for line := range strings.Lines(string(out)) {
		switch line = strings.TrimSuffix(line, "\n"); {
		case line == cmd.Env[0], strings.HasPrefix(line, "PWD="), strings.HasPrefix(line, "_="):
		default:
			set = append(set, line)
		}
	}
	return set
}

// StartRsyncdBy is StartRsyncd for rsync daemons of one session each, whose rsyncd.conf has more
// global parameters. What starts them for each connection is "inetd" with deploy/inetd/inetd.conf,
// "xinetd" with deploy/inetd/xinetd.rsync, or "systemd" with rsync.socket and rsync@.service of
// deploy/systemd.
func StartRsyncdBy(t testing.TB, super, log string, parameters ...string) *Rsyncd {
	t.Helper()
	r := exampleRsyncd(t)
	r.configure(t, parameters)
	rsync, options := Need(t, "rsync"), "--daemon --config="+r.Conf
	var command []string
	switch super {
	case "inetd":
		conf := rewrite(t, "deploy/inetd/inetd.conf", r.dir,
			"rsync\tstream", fmt.Sprintf("%s:%d\tstream", r.address, r.Port),
			"/usr/bin/rsync", rsync, "rsync --daemon\n", "rsync "+options+"\n")
		command = []string{Need(t, "inetd"), "-i", conf}
	case "xinetd":
		// UNLISTED: the port isn't the one that /etc/services has for rsync.
		conf := rewrite(t, "deploy/inetd/xinetd.rsync", r.dir,
			"/usr/bin/rsync", rsync, "= --daemon\n", "= "+options+"\n",
			"= IPv6\n", fmt.Sprintf("= IPv4\n\ttype = UNLISTED\n\tport = %d\n\tbind = %s\n", r.Port, r.address))
		command = []string{Need(t, "xinetd"), "-dontfork", "-f", conf, "-pidfile", filepath.Join(r.dir, "pid")}
	case "systemd":
		command = r.socketActivated(t, rsync, options)
	default:
		t.Fatalf("nothing that starts daemons is called %q", super)
	}
	if log != "" {
		command = withDevLog(t, log, command)
	}
	r.Process = Start(t, exec.Command(command[0], command[1:]...))
	r.Ready(t, super+" to listen", func() bool { return Listening(t, r.Port) })
	return r
}

// configure writes into rsyncd.conf what another daemon is told on its command line: there, inetd
// splits at each space.
func (r *Rsyncd) configure(t testing.TB, parameters []string) {
	t.Helper()
	content, err := os.ReadFile(r.Conf)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(append(parameters, string(content)), "\n")
	if os.Geteuid() != 0 {
		text = strings.ReplaceAll(text, "use chroot = yes", "use chroot = no") // only root may
	}
	writeFile(t, r.Conf, []byte(text), 0o644)
}

// socketActivated returns the command that does what systemd does by rsync.socket and
// rsync@.service.
func (r *Rsyncd) socketActivated(t testing.TB, rsync, options string) []string {
	t.Helper()
	socket, service := ReadUnit(t, "rsync.socket", ""), ReadUnit(t, "rsync@.service", "")
	for _, want := range []struct {
		of                   Unit
		section, name, value string
	}{
		{socket, "Socket", "ListenStream", "873"},
		{socket, "Socket", "Accept", "yes"},
		{service, "Service", "StandardInput", "socket"},
		{service, "Service", "StandardOutput", "inherit"},
		{service, "Service", "ExecStart", "-/usr/bin/rsync --daemon"},
		{service, "Service", "BindPaths", "-/run/rsyncd_exporter/log:/dev/log"},
	} {
		if got := want.of.One(t, want.section, want.name); got != want.value {
			t.Fatalf("%s=%s, want %s, which this test does", want.name, got, want.value)
		}
	}
	// --accept is Accept=yes, --inetd is StandardInput=socket and StandardOutput=inherit.
	address := r.address + ":" + strconv.Itoa(r.Port)
	command := []string{Need(t, "systemd-socket-activate"), "--accept", "--inetd", "--listen=" + address, rsync}
	return append(command, strings.Fields(options)...)
}

// A BusyboxSyslogd is a running busybox syslogd, which takes messages from a socket and also writes
// them to a file.
type BusyboxSyslogd struct {
	*Process
	Socket, File string
}

// StartBusyboxSyslogd starts busybox syslogd with the options in deploy/busybox/syslogd. The
// exporter's address becomes 127.0.0.1:port.
func StartBusyboxSyslogd(t testing.TB, port int) *BusyboxSyslogd {
	t.Helper()
	dir := Dir(t)
	b := &BusyboxSyslogd{Socket: filepath.Join(dir, "log"), File: filepath.Join(dir, "messages")}
	options := ""
	for _, variable := range Environment(t, "busybox/syslogd") { // Alpine's name and Debian's
		name, value, _ := strings.Cut(variable, "=")
		if options == "" {
			options = value
		}
		if (name != "SYSLOGD_OPTS" && name != "SYSLOG_OPTS") || value != options {
			t.Fatalf("deploy/busybox/syslogd sets %s, want SYSLOGD_OPTS and SYSLOG_OPTS to the same", variable)
		}
	}
	const target = "127.0.0.1:5514"
	if !strings.Contains(options, target) {
		t.Fatalf("deploy/busybox/syslogd has the options %q, which don't name %s", options, target)
	}
	options = strings.Replace(options, target, fmt.Sprintf("127.0.0.1:%d", port), 1)
	command := append([]string{Need(t, "busybox"), "syslogd", "-n", "-O", b.File}, strings.Fields(options)...)
	command = withDevLog(t, b.Socket, command) // it follows the link that is its /dev/log
	b.Process = Start(t, exec.Command(command[0], command[1:]...))
	b.Ready(t, "busybox syslogd's socket", func() bool { return answers(b.Socket) })
	return b
}
