package main

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

// One exporter for each daemon, with the settings of a shipped environment file and what the template units say: each has a socket, a
// directory for its state and a port of its own, and counts its own daemon only.
func TestOneExporterForEachDaemon(t *testing.T) {
	t.Parallel()
	dir := testenv.Dir(t)
	ports := map[string]bool{}
	instances := map[string]*exporter{}
	daemons := map[string]*testenv.Rsyncd{}
	for _, name := range []string{"mirror", "backup"} {
		service, socket := testenv.ReadUnit(t, "rsyncd_exporter@.service", name), testenv.ReadUnit(t, "rsyncd_exporter@.socket", name)
		if got := service.One(t, "Service", "Sockets"); got != "rsyncd_exporter@"+name+".socket" {
			t.Errorf("the service has the sockets %s", got)
		}
		file := service.One(t, "Service", "EnvironmentFile")
		if file != "/etc/default/rsyncd_exporter-"+name {
			t.Errorf("EnvironmentFile=%s isn't where deploy/environment/%s.env says that it goes", file, name)
		}
		port := testenv.Port(t)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		var env []string
		for _, variable := range slices.Concat(service["[Service]"]["Environment"], testenv.Environment(t, "environment/"+name+".env")) {
			variable = strings.Replace(variable, "STATE_DIR=/var/lib", "STATE_DIR="+dir, 1)
			if at, ok := strings.CutPrefix(variable, "RSYNCD_EXPORTER_HTTP_LISTEN="); ok {
				ports[at] = true
				variable = "RSYNCD_EXPORTER_HTTP_LISTEN=" + address
			}
			env = append(env, variable)
		}
		path := strings.Replace(socket.One(t, "Socket", "ListenDatagram"), "/run", dir, 1)
		passed := listenAt(t, path)
		program, args, _ := strings.Cut(service.One(t, "Service", "ExecStart"), " ")
		if program != "/usr/local/bin/rsyncd_exporter" {
			t.Errorf("ExecStart=%s", program)
		}
		instances[name] = startProcess(t, address, []*os.File{passed}, []string{socket.One(t, "Socket", "FileDescriptorName")}, env,
			strings.Fields(args)...).exporter
		daemons[name] = testenv.StartRsyncd(t, path)
	}
	if len(ports) != 2 {
		t.Errorf("the instances have the ports %v: want one for each", ports)
	}
	checkTraffic(t, instances["mirror"], daemons["mirror"])
	instances["backup"].want(instances["backup"].scrape(), 0, "rsync_connections_total")
	pullReadme(t, daemons["backup"])
	instances["backup"].until(1, "rsync_messages_total", `kind="summary"`)
	instances["mirror"].want(instances["mirror"].scrape(), 6, "rsync_connections_total")
	for _, name := range []string{"mirror", "backup"} {
		if states, err := filepath.Glob(filepath.Join(dir, "rsyncd_exporter-"+name, "*")); err != nil || len(states) == 0 {
			t.Errorf("%s has no state of its own: %v", name, err)
		}
	}
}

// listenAt makes a unix datagram socket in a directory of its own, as systemd does.
func listenAt(t *testing.T, path string) *os.File {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// Many daemons to one exporter, each with a log file of its own, by the shipped environment file: the file's name becomes the host.
func TestManyLogsToOneExporter(t *testing.T) {
	t.Parallel()
	logs := testenv.Dir(t)
	address := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	var env []string
	for _, variable := range testenv.Environment(t, "environment/many-logs.env") {
		env = append(env, strings.Replace(variable, "/var/log/rsyncd/", logs+"/", 1))
	}
	e := startProcess(t, address, nil, nil, env, "--http-listen="+address, "--listen-udp=off").exporter
	names := []string{"mirror-1", "mirror-2", "backup"}
	for _, name := range names {
		pullReadme(t, testenv.StartRsyncd(t, "", "--dparam=log file="+filepath.Join(logs, name+".log")))
	}
	s := e.until(3, "rsync_sessions_total")
	for _, name := range names {
		host := fmt.Sprintf("host=%q", name)
		e.want(s, 1, "rsync_connections_total", host)
		e.want(s, 1, "rsync_sessions_total", host, `outcome="ok"`)
		e.want(s, 5000, "rsync_file_bytes_total", host)
		e.want(s, 1, "rsync_daemon_starts_total", host)
	}
	e.want(s, 3, "rsyncd_exporter_file_up")
}

// The shipped socket units hold what the exporter takes: each socket, opened as the unit says but in another place and passed under the name
// that the unit gives, has the purpose that its unit says.
func TestShippedSocketUnits(t *testing.T) {
	t.Parallel()
	dir, pki := testenv.Dir(t), testpki.Write(t)
	main := testenv.ReadUnit(t, "rsyncd_exporter.socket", "")["[Socket]"]
	datagrams := main["ListenDatagram"]
	if want := []string{"/run/rsyncd_exporter/log", "127.0.0.1:5514"}; !slices.Equal(datagrams, want) {
		t.Fatalf("ListenDatagram= %q, want %q, where the files of deploy/rsyslog and deploy/syslog-ng send to", datagrams, want)
	}
	if len(main["FileDescriptorName"]) > 0 {
		t.Errorf("both sockets would be %q", main["FileDescriptorName"])
	}
	path := filepath.Join(dir, "log")
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	udpFile, err := udp.File()
	if err != nil {
		t.Fatal(err)
	}
	files, names, at := []*os.File{listenAt(t, path), udpFile}, []string{"rsyncd_exporter.socket", "rsyncd_exporter.socket"}, map[string]string{}
	for _, unit := range []string{"http", "tcp", "tls"} {
		u := testenv.ReadUnit(t, "rsyncd_exporter-"+unit+".socket", "")
		if got := u.One(t, "Socket", "Service"); got != "rsyncd_exporter.service" {
			t.Errorf("the %s socket is %s's", unit, got)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		at[unit], files, names = l.Addr().String(), append(files, file), append(names, u.One(t, "Socket", "FileDescriptorName"))
	}
	e := startProcess(t, at["http"], files, names, nil, "--tls-cert="+pki+"/server.pem", "--tls-key="+pki+"/server.key").exporter
	const message = "<30>Nov 23 18:40:52 vm rsyncd[505]: connect from localhost (127.0.0.1)"
	encrypted, err := tls.Dial("tcp", at["tls"], &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer encrypted.Close()
	for _, conn := range []net.Conn{dial(t, "unixgram", path), dial(t, "udp", udp.LocalAddr().String()), dial(t, "tcp", at["tcp"]), encrypted} {
		if _, err := fmt.Fprintln(conn, message); err != nil {
			t.Fatal(err)
		}
	}
	e.until(4, "rsyncd_exporter_received_total")
	s := e.scrape()
	for _, input := range []string{"unixgram", "udp", "tcp", "tls"} {
		e.want(s, 1, "rsyncd_exporter_received_total", fmt.Sprintf("input=%q", input))
	}
}

// The template unit is confined as the other one is: whatever changes in one must change in both.
func TestTemplateUnitIsConfinedAsTheOther(t *testing.T) {
	t.Parallel()
	one, template := testenv.ReadUnit(t, "rsyncd_exporter.service", "")["[Service]"], testenv.ReadUnit(t, "rsyncd_exporter@.service", "x")["[Service]"]
	for _, own := range []string{"Sockets", "EnvironmentFile", "StateDirectory", "Environment", "User"} { // what instances have of their own
		delete(one, own)
		delete(template, own)
	}
	if !maps.EqualFunc(one, template, slices.Equal[[]string]) {
		t.Errorf("rsyncd_exporter.service has\n%v\nand rsyncd_exporter@.service\n%v", one, template)
	}
	unit := filepath.Join(testenv.Dir(t), "rsyncd_exporter@x.service")
	text := testenv.ReadDeployed(t, "systemd/rsyncd_exporter@.service")
	put(t, unit, []byte(strings.ReplaceAll(text, "/usr/local/bin/rsyncd_exporter", testenv.Need(t, "true"))))
	if out, err := says(t, "systemd-analyze", "security", "--offline=true", "--threshold=16", unit); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
