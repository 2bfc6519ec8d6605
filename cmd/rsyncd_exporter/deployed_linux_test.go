package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

// A proof says how files of deploy are known to be right.
type proof struct {
	pattern string // of paths in deploy
	// check looks at one of them, in a copy of deploy, with the program that it is for. It doesn't see what only running shows; the tests do.
	check    func(t *testing.T, deploy, file string) error
	mistakes []mistake
	tests    []string // that open the file as well
}

// A mistake is one that check must find, in the file called only or in each that has the right text.
type mistake struct{ right, wrong, only string }

var proofs = []proof{
	{"busybox/syslogd", busyboxKnows, []mistake{{"-R", "-Q", ""}, {`SYSLOG_OPTS="$SYSLOGD_OPTS"`, `SYSLOG_OPTS=""`, ""}}, []string{"TestBusyboxSyslogd"}},
	{"docker-compose.yml", composeNamesWhatIsThere, []mistake{
		{"./prometheus/prometheus.yml", "./prometheus.yml", ""},
		{"dockerfile: deploy/rsyncd/Dockerfile", "dockerfile: deploy/Dockerfile", ""},
		{"cap_drop: [ALL]", "cap_drop: [NET_RAW]", ""}, {"no-new-privileges:true", "no-new-privileges:false", ""}, {"read_only: true", "", ""},
	}, []string{"TestGrafanaService"}},
	// scripts/docker-recipes-test.sh runs them.
	{"docker/*.yml", composeNamesWhatIsThere, []mistake{
		{"-log:/run", "-logs:/run", ""}, {"state:/var", "stat:/var", ""}, {"cap_drop: [ALL]", "cap_drop: []", ""}, {"read_only: true", "", ""},
	}, nil},
	{"environment/*.env", settingsCanBe, []mistake{
		{"RSYNCD_EXPORTER_", "RSYNCD_EXPORTER_X", ""}, {"(?P<host>", "(?P<hast>", "many-logs.env"}, {"<26h", "<26", "backup.env"},
	}, []string{"TestOneExporterForEachDaemon", "TestManyLogsToOneExporter"}},
	{"freebsd/rsyncd_exporter", rcScriptRuns, []mistake{
		{". /etc/rc.subr", "", ""}, {"load_rc_config", "load_rc_conf", ""}, {"run_rc_command", "run_rc_commands", ""},
		{"rcvar=rsyncd_exporter_enable", "rcvar=rsyncd_exporter_enabled", ""}, {"_env_file:=", "_envfile:=", ""},
		{"procname=/usr/local/", "procname=/usr/", ""}, {"command_args=", "command_arg=", ""}, {"-p $pidfile", "", ""},
		{"start_precmd=", "start_precommand=", ""}, {"install -d", "install", ""}, {"STATE_DIR=", "STATE=", ""},
	}, nil},
	{"grafana/dashboards/rsyncd_exporter.json", isJSON, []mistake{{`"panels"`, `panels`, ""}},
		[]string{"TestDashboardAsksForWhatIsThere", "TestDashboardPanels"}},
	{"grafana/provisioning/dashboards/*.yml", isYAML, []mistake{{"apiVersion: 1", "apiVersion: : 1", ""}}, []string{"TestProvisionedDashboards"}},
	{"grafana/provisioning/datasources/*.yml", isYAML, []mistake{{"apiVersion: 1", "apiVersion: : 1", ""}}, []string{"TestProvisionedDataSource"}},
	{"inetd/inetd.conf", inetdStarts, []mistake{{"\troot\t", "\ttoor\t", ""}, {"--daemon", "--demon", ""}, {"/usr/bin/rsync", "/usr/bin/rsink", ""}},
		[]string{"TestRsyncdThatIsStartedForEachConnection"}},
	{"inetd/xinetd.rsync", xinetdStarts, []mistake{{"= stream", "= steam", ""}, {"server_args", "server_arg", ""}, {"--daemon", "--demon", ""}},
		[]string{"TestRsyncdThatIsStartedForEachConnection"}},
	{"kubernetes/*/*.yaml", isBuiltByKustomize, []mistake{{"kind:", "kind: :", ""}, {"  - networkpolicy.yaml", "", ""}, {"  - podmonitor.yaml", "", ""}}, []string{
		"TestPodsAreWholeAndSelected", "TestNetworkPolicies", "TestServiceLeadsToThePod", "TestPodMonitorTakesThePods",
		"TestPrometheusRuleIsTheRules", "TestPodLogsOfTheDaemonSet", "TestSyslogOfTheDeployment",
	}},
	{"lnav/rsyncd_exporter.json", lnavShows, []mistake{{`"timestamp-field"`, `"timestamp-feld"`, ""}, {`"line-format"`, `"line-formats"`, ""}},
		[]string{"TestTheFormatOfLnavHasTheKeysOfALine"}},
	{"logrotate/*", logrotateTakes, []mistake{
		{"missingok", "missingOK", ""}, {"delaycompress", "delaycompres", ""}, {"/var/log/rsyncd", "/var/log/rsinkd", ""}, {"root adm", "root nobody-like-this", "rsyncd"},
	}, []string{"TestShippedLogrotate"}},
	{"prometheus/prometheus.yml", promtoolTakes("config"), []mistake{{"scrape_interval", "scrap_interval", ""}, {"exporter.rules.yml", "exporter.rule.yml", ""}},
		[]string{"TestPromtoolTakesTheRules"}},
	{"prometheus/rsyncd_exporter.rules.yml", promtoolTakes("rules"), []mistake{{"expr:", "exp:", ""}, {"sum by", "sum bye", ""}},
		[]string{"TestPromtoolTakesTheRules"}},
	{"prometheus/*.test.yml", isYAML, []mistake{{"tests:", "tests: :", ""}}, []string{"TestPromtoolTakesTheRules"}}, // promtool takes ten seconds
	{"rsyncd/Dockerfile", dockerfileCopiesWhatIsThere, []mistake{{"deploy/rsyncd/run.sh", "deploy/run.sh", ""}, {`"run.sh"`, `"start.sh"`, ""}}, nil},
	{"rsyncd/*.sh", shellTakes, []mistake{{"set -eu", "if", ""}, {"done", "", "traffic.sh"}}, nil},
	{"rsyslog/*.conf", rsyslogTakes, []mistake{
		{"} {", "} [", ""}, {"$programname startswith", "$programname starts", ""}, {"call rsyncd_exporter", "call exporter", ""},
		{"protocol=", "proto=", "rsyncd_exporter-udp.conf"}, {"$OMUxSockSocket", "$OMUxSocket", "rsyncd_exporter-unix.conf"},
	}, []string{"TestRsyncdThroughForwarders", "TestForwardersDeliverEverything", "TestOutageWithEachForwarder"}},
	{"syslog-ng/*.conf", syslogNGTakes, []mistake{
		{"time-reopen", "time-to-reopen", ""}, {"filter f_rsyncd_exporter", "filters f_rsyncd_exporter", ""}, {"ca.pem", "c.pem", "rsyncd_exporter-tls.conf"},
	}, []string{"TestRsyncdThroughForwarders", "TestForwardersDeliverEverything", "TestOutageWithEachForwarder"}},
	// scripts/packages-test.sh runs both under a real systemd.
	{"systemd/rsync.service.d/*.conf", systemdTakesDropIn,
		[]mistake{{"[Service]", "[Servise]", ""}, {"BindPaths=", "BindPath=", ""}, {"After=", "Afterwards=", ""}}, nil},
	{"systemd/journald.conf.d/*.conf", journaldForwards,
		[]mistake{{"[Journal]", "[Journald]", ""}, {"ForwardToSyslog=yes", "ForwardToSyslog=no", ""}, {"MaxLevelSyslog=", "MaxSyslog=", ""}}, nil},
	{"systemd/*.service", systemdTakes, []mistake{{"ExecStart=", "ExecBegin=", ""}, {"[Service]", "[Servise]", ""}, {"NoNewPrivileges=", "NoNewPrivilege=", ""}},
		[]string{"TestSystemdUnitsAreValidAndConfined", "TestOneExporterForEachDaemon", "TestRsyncdThatIsStartedForEachConnection"}},
	{"systemd/*.socket", systemdTakes, []mistake{
		{"[Socket]", "[Sockets]", ""}, {"ListenStream=", "ListenSteam=", ""}, {"ListenDatagram=", "ListenDatagrams=", ""}, {"=873", "=rsync", "rsync.socket"},
	}, []string{"TestShippedSocketUnits", "TestOneExporterForEachDaemon", "TestRsyncdThatIsStartedForEachConnection"}},
}

// Every file in deploy is checked, and no check is blind: it finds each of some mistakes in each file that has room for it.
func TestEveryDeployedFileIsChecked(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, file := range deployedFiles(t) {
		i := slices.IndexFunc(proofs, func(p proof) bool { ok, _ := path.Match(p.pattern, file); return ok })
		if i < 0 {
			t.Errorf("nothing says how deploy/%s is known to be right: add a proof", file)
			continue
		}
		p := proofs[i]
		used[p.pattern] = true
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			deploy := copyDeployed(t)
			if err := p.check(t, deploy, file); err != nil {
				t.Errorf("deploy/%s: %v", file, err)
			}
			p.findsMistakes(t, deploy, file)
		})
	}
	for _, p := range proofs {
		if !used[p.pattern] {
			t.Errorf("no file in deploy is called %s", p.pattern)
		}
	}
}

// findsMistakes makes each mistake that the file has room for.
func (p proof) findsMistakes(t *testing.T, deploy, file string) {
	t.Helper()
	name := filepath.Join(deploy, file)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, m := range p.mistakes {
		if m.only != "" && m.only != path.Base(file) {
			continue
		}
		wrong := replaceInSettings(string(text), m.right, m.wrong)
		if wrong == string(text) {
			if m.only != "" {
				t.Errorf("deploy/%s has no %q to make a mistake in", file, m.right)
			}
			continue
		}
		put(t, name, []byte(wrong))
		if err := p.check(t, deploy, file); err == nil {
			t.Errorf("deploy/%s with %q for %q passes its check", file, m.wrong, m.right)
		}
		made++
	}
	put(t, name, text)
	if made == 0 {
		t.Errorf("no mistake in deploy/%s is tried: its proof needs one", file)
	}
}

// replaceInSettings replaces a text where it stands first outside of comments.
func replaceInSettings(text, old, by string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		if strings.Contains(line, old) && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			lines[i] = strings.Replace(line, old, by, 1)
			break
		}
	}
	return strings.Join(lines, "")
}

// The tests that proofs and docs/recipes.md name are there, and the page names every file that is a recipe's.
func TestRecipesNameTheirTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs/recipes.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(page), -1)
	for _, p := range proofs {
		names = append(names, p.tests...)
	}
	there := testNames(t)
	for _, name := range names {
		if !there[name] {
			t.Errorf("there is no %s", name)
		}
	}
	for _, file := range deployedFiles(t) {
		switch dir, _, _ := strings.Cut(file, "/"); dir {
		case "busybox", "environment", "inetd", "logrotate", "rsyslog", "syslog-ng", "systemd":
			if !strings.Contains(string(page), "(../deploy/"+file+")") {
				t.Errorf("docs/recipes.md has no link to deploy/%s", file)
			}
		}
	}
}

// testNames returns the tests of the repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(testenv.Root(t), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "build" || d.Name() == ".git") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		for _, found := range declaration.FindAllStringSubmatch(string(text), -1) {
			names[found[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// deployedFiles returns the paths of all files in deploy, below it.
func deployedFiles(t *testing.T) (files []string) {
	t.Helper()
	deploy := os.DirFS(filepath.Join(testenv.Root(t), "deploy"))
	err := fs.WalkDir(deploy, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, name)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files in deploy: %v", len(files), err)
	}
	return files
}

// copyDeployed copies deploy, so that mistakes can be made in it.
func copyDeployed(t *testing.T) string {
	t.Helper()
	deploy := filepath.Join(testenv.Dir(t), "deploy")
	if err := os.CopyFS(deploy, os.DirFS(filepath.Join(testenv.Root(t), "deploy"))); err != nil {
		t.Fatal(err)
	}
	return deploy
}

// replaced returns a copy of a file in which paths are those of this test.
func replaced(t *testing.T, deploy, file string, replace ...string) (name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, file))
	if err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(testenv.Dir(t), path.Base(file))
	put(t, name, []byte(strings.NewReplacer(replace...).Replace(string(text))))
	return name
}

// says runs a program and returns what it says. It is an error if the program ends with one.
func says(t *testing.T, program string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.Command(testenv.Need(t, program), args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %q: %w\n%s", program, args, err, out)
	}
	return string(out), err
}

// saysNothing is says for a program whose every word is a complaint, but for the lines that begin so.
func saysNothing(t *testing.T, but, program string, args ...string) error {
	t.Helper()
	out, err := says(t, program, args...)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		if but == "" || !strings.HasPrefix(line, but) {
			return fmt.Errorf("%s %q: %s", program, args, out)
		}
	}
	return nil
}

func isJSON(t *testing.T, deploy, file string) error {
	text, err := os.ReadFile(filepath.Join(deploy, file))
	if err == nil && !json.Valid(text) {
		err = errors.New("it isn't JSON")
	}
	return err
}

func isYAML(t *testing.T, deploy, file string) error {
	text, err := os.ReadFile(filepath.Join(deploy, file))
	for documents := yaml.NewDecoder(bytes.NewReader(text)); err == nil; {
		var content map[string]any
		err = documents.Decode(&content)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// isBuiltByKustomize looks whether each manifest of a directory is named by its kustomization.yaml, and whether internal/kubernetes builds
// that. What kustomize makes of it is tested there, by "make kubernetes": kustomize takes too long to compile.
func isBuiltByKustomize(t *testing.T, deploy, file string) error {
	dir := filepath.Join(deploy, path.Dir(file))
	text, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err != nil {
		return err
	}
	var kustomization struct{ Resources []string }
	if err := yaml.Unmarshal(text, &kustomization); err != nil {
		return err
	}
	manifests, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, m := range manifests {
		if name := filepath.Base(m); name != "kustomization.yaml" && !slices.Contains(kustomization.Resources, name) {
			return fmt.Errorf("kustomization.yaml doesn't name %s", name)
		}
	}
	tests, err := os.ReadFile(filepath.Join(testenv.Root(t), "internal/kubernetes/kubernetes_test.go"))
	if build := fmt.Sprintf("build(t, %q)", filepath.Base(dir)); err == nil && !strings.Contains(string(tests), build) {
		return fmt.Errorf("internal/kubernetes has no %s", build)
	}
	return errors.Join(err, isYAML(t, deploy, file))
}

// rsyslogTakes has rsyslogd look at a file, beside a source of messages. What it doesn't say is "version" or "End of config validation run".
func rsyslogTakes(t *testing.T, deploy, file string) error {
	dir := testenv.Dir(t)
	conf := filepath.Join(dir, "rsyslog.conf")
	put(t, conf, fmt.Appendf(nil, `global(workDirectory=%q)
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="%[1]s/log" CreatePath="off")
include(file=%q mode="required")
`, dir, filepath.Join(deploy, file)))
	out, err := says(t, "rsyslogd-tls", "-N1", "-f", conf)
	if rest := regexp.MustCompile(`(?m)^rsyslogd: (version .*|End of config validation run\. Bye\.)\n`).ReplaceAllString(out, ""); err == nil && rest != "" {
		err = errors.New(rest)
	}
	return err
}

func syslogNGTakes(t *testing.T, deploy, file string) error {
	dir := testenv.Dir(t)
	conf := filepath.Join(dir, "syslog-ng.conf")
	put(t, conf, fmt.Appendf(nil, "@version: 3.35\nsource s_src { unix-dgram(\"%s/log\"); };\n@include %q\n", dir,
		replaced(t, deploy, file, "/etc/syslog-ng/tls", testpki.Write(t))))
	return saysNothing(t, "", "syslog-ng", "--syntax-only", "--no-caps", "--cfgfile="+conf)
}

// logrotateTakes has logrotate say what it would do. It ends with 0 whatever it thinks of the file.
func logrotateTakes(t *testing.T, deploy, file string) error {
	out, err := says(t, "logrotate", "--debug", "--state="+filepath.Join(testenv.Dir(t), "state"), filepath.Join(deploy, file))
	if err == nil && (strings.Contains(out, "error: ") || !strings.Contains(out, "rotating pattern: /var/log/rsyncd")) {
		err = errors.New(out)
	}
	return err
}

func promtoolTakes(kind string) func(t *testing.T, deploy, file string) error {
	return func(t *testing.T, deploy, file string) error {
		_, err := says(t, "promtool", "check", kind, filepath.Join(deploy, file))
		return err
	}
}

// systemdTakes has systemd-analyze look at a unit among all units.
func systemdTakes(t *testing.T, deploy, file string) error {
	units := testenv.Dir(t)
	services, err := filepath.Glob(filepath.Join(deploy, "systemd/*.service"))
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := filepath.Glob(filepath.Join(deploy, "systemd/*.socket"))
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range slices.Concat(services, sockets) {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		there := regexp.MustCompile(`(?m)^ExecStart=(-?)/usr/\S+`).ReplaceAllString(string(text), "ExecStart=${1}"+testenv.Need(t, "true"))
		there = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAllString(there, "")
		put(t, filepath.Join(units, filepath.Base(unit)), []byte(there))
	}
	return saysNothing(t, "", "systemd-analyze", "verify", "--recursive-errors=no", "--man=no", filepath.Join(units, path.Base(file)))
}

// systemdTakesDropIn has systemd-analyze look at a daemon's unit with a drop-in, beside the exporter's socket.
func systemdTakesDropIn(t *testing.T, deploy, file string) error {
	units := testenv.Dir(t)
	dropIn := filepath.Join(units, "rsync.service.d")
	if err := os.Mkdir(dropIn, 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(deploy, file))
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(units, "rsync.service")
	put(t, unit, []byte("[Service]\nExecStart="+testenv.Need(t, "true")+"\n"))
	put(t, filepath.Join(units, "rsyncd_exporter.socket"), []byte("[Socket]\nListenDatagram=/run/x\nService=rsync.service\n"))
	put(t, filepath.Join(dropIn, path.Base(file)), text)
	return saysNothing(t, "", "systemd-analyze", "verify", "--recursive-errors=no", "--man=no", unit)
}

// journaldForwards looks for journald's settings by the names of journald.conf(5): no program checks such a file.
func journaldForwards(t *testing.T, deploy, file string) error {
	text, err := os.ReadFile(filepath.Join(deploy, file))
	if err != nil {
		t.Fatal(err)
	}
	settings := regexp.MustCompile(`(?m)^(#.*)?\n`).ReplaceAllString(string(text), "")
	if want := "[Journal]\nForwardToSyslog=yes\nMaxLevelSyslog=info\n"; settings != want {
		return fmt.Errorf("it says %q, want %q", settings, want)
	}
	return nil
}

// settingsCanBe has the program check the settings of a file, as a shell reads it.
func settingsCanBe(t *testing.T, deploy, file string) error {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `set -a; . "$1"; exec "$2" -test.run='^TestHelperProcess$'`, "sh", filepath.Join(deploy, file), self)
	cmd.Env = []string{"PATH=/usr/bin:/bin", helperVariable + "=run", quickExit, helperArgs + "=check"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("check: %w\n%s", err, out)
	}
	return nil
}

// busyboxKnows looks for the options in busybox' help, since busybox starts with others all the same.
func busyboxKnows(t *testing.T, deploy, file string) error {
	out, err := exec.Command("/bin/sh", "-c", `. "$1"; [ "$SYSLOG_OPTS" = "$SYSLOGD_OPTS" ] && echo "$SYSLOG_OPTS"`, "sh",
		filepath.Join(deploy, file)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("its variables differ: %w: %s", err, out)
	}
	help, err := says(t, "busybox", "syslogd", "--help")
	options := regexp.MustCompile(`-\w`).FindAllString(string(out), -1)
	for _, option := range options {
		if !strings.Contains(help, "\t"+option+" ") && !strings.Contains(help, "\t"+option+"\t") {
			return fmt.Errorf("busybox syslogd has no option %s: %s", option, help)
		}
	}
	if len(options) != 2 {
		return fmt.Errorf("the options are %s: want -L and -R", out)
	}
	return err
}

// inetdStarts has inetd start a daemon by a file. A line behind it, with another port, tells when inetd has read both.
func inetdStarts(t *testing.T, deploy, file string) error {
	port, after := testenv.Port(t), testenv.Port(t)
	conf := replaced(t, deploy, file, "rsync\tstream", fmt.Sprintf("127.0.0.1:%d\tstream", port), "/usr/bin/rsync\t", testenv.Need(t, "rsync")+"\t",
		"--daemon\n", "--daemon --config="+emptyRsyncdConf(t)+"\n")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	put(t, conf, fmt.Appendf(text, "127.0.0.1:%d stream tcp nowait root /bin/true true\n", after))
	return greets(t, port, after, "inetd", "-i", conf)
}

// xinetdStarts is inetdStarts for xinetd.
func xinetdStarts(t *testing.T, deploy, file string) error {
	port, after := testenv.Port(t), testenv.Port(t)
	unlisted := func(port int) string {
		return fmt.Sprintf("= IPv4\n\ttype = UNLISTED\n\tport = %d\n\tbind = 127.0.0.1\n", port)
	}
	conf := replaced(t, deploy, file, "/usr/bin/rsync", testenv.Need(t, "rsync"), "= IPv6\n", unlisted(port),
		"--daemon\n", "--daemon --config="+emptyRsyncdConf(t)+"\n")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	put(t, conf, fmt.Appendf(text, "service after\n{\nsocket_type = stream\nprotocol = tcp\nwait = no\nuser = root\nserver = /bin/true\nflags %s}\n", unlisted(after)))
	return greets(t, port, after, "xinetd", "-dontfork", "-f", conf, "-pidfile", filepath.Join(testenv.Dir(t), "pid"))
}

// emptyRsyncdConf is that of a daemon without modules, which greets its clients all the same.
func emptyRsyncdConf(t *testing.T) string {
	t.Helper()
	name := filepath.Join(testenv.Dir(t), "rsyncd.conf")
	put(t, name, []byte("use chroot = no\n"))
	return name
}

// greets starts a program that listens at both ports, and reports whether an rsync daemon greets at the first.
func greets(t *testing.T, port, after int, program string, args ...string) error {
	p := testenv.Start(t, exec.Command(testenv.Need(t, program), args...))
	defer p.Stop()
	p.Ready(t, program+" to have read its file", func() bool { return testenv.Listening(t, after) })
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	greeting, err := bufio.NewReader(conn).ReadString('\n')
	if !strings.HasPrefix(greeting, "@RSYNCD: ") {
		return fmt.Errorf("the greeting is %q: %w", greeting, err)
	}
	return nil
}

// lnavShows has lnav show a line of the session log.
func lnavShows(t *testing.T, deploy, file string) error {
	home := testenv.Dir(t)
	formats, line := filepath.Join(home, ".lnav/formats/installed"), filepath.Join(home, "sessions.jsonl")
	if err := os.MkdirAll(formats, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, line, []byte(`{"time":"2026-11-23T18:40:52Z","host":"vm","pid":7,"client":{"address":"192.0.2.1"},"module":"mirror","direction":"send",`+
		`"outcome":"ok","duration_seconds":3.5,"sent_bytes":305000,"received_bytes":50}`+"\n"))
	content, err := os.ReadFile(filepath.Join(deploy, file))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(formats, "rsyncd_exporter.json"), content)
	cmd := exec.Command(testenv.Need(t, "lnav"), "-n", line)
	cmd.Env = append(os.Environ(), "HOME="+home, "TERM=dumb", "XDG_CONFIG_HOME=")
	out, err := cmd.CombinedOutput()
	shown := regexp.MustCompile(`^2026-11-23T18:40:52\.000 vm ok +send +mirror +192\.0\.2\.1 +- sent 305000 received 50 in 3\.5\d* s`)
	if err == nil && !shown.Match(out) {
		err = fmt.Errorf("lnav shows %q", out)
	}
	return err
}

func shellTakes(t *testing.T, deploy, file string) error {
	name := filepath.Join(deploy, file)
	if info, err := os.Stat(name); err != nil {
		return err
	} else if info.Mode()&0o111 == 0 {
		return errors.New("it can't be run")
	}
	return saysNothing(t, "", "sh", "-n", name)
}

// dockerfileCopiesWhatIsThere looks for what the image is made of, and for the command among it.
func dockerfileCopiesWhatIsThere(t *testing.T, deploy, file string) error {
	text, err := os.ReadFile(filepath.Join(deploy, file))
	if err != nil {
		t.Fatal(err)
	}
	copied := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^COPY (.*) \S+$`).FindAllStringSubmatch(string(text), -1) {
		for _, source := range strings.Fields(line[1]) {
			if _, err := os.Stat(filepath.Join(testenv.Root(t), source)); err != nil {
				return err
			}
			copied[path.Base(source)] = true
		}
	}
	command := regexp.MustCompile(`(?m)^CMD \["([^"]+)"`).FindStringSubmatch(string(text))
	if command == nil || !copied[command[1]] {
		return fmt.Errorf("it runs %q, and copies %v", command, copied)
	}
	return nil
}

// composeNamesWhatIsThere looks for every file of deploy that the stack mounts or builds, and every volume. No service may write to its
// root, has a capability that isn't named, or gains any.
func composeNamesWhatIsThere(t *testing.T, deploy, file string) error {
	text, err := os.ReadFile(filepath.Join(deploy, file))
	if err != nil {
		t.Fatal(err)
	}
	var stack struct {
		Services map[string]struct {
			Build struct {
				Context, Dockerfile string
				Args                map[string]string
			}
			Volumes     []string
			ReadOnly    bool           `yaml:"read_only"`
			CapDrop     []string       `yaml:"cap_drop"`
			SecurityOpt []string       `yaml:"security_opt"`
			Rest        map[string]any `yaml:",inline"`
		}
		Volumes map[string]any
		Rest    map[string]any `yaml:",inline"`
	}
	if err := yaml.Unmarshal(text, &stack); err != nil {
		return err
	}
	for name, service := range stack.Services {
		if b := service.Build; b.Context != "" && b.Context != ".." {
			return fmt.Errorf("service %s is built from %s, which isn't the repository", name, b.Context)
		} else if _, err := os.Stat(filepath.Join(testenv.Root(t), b.Dockerfile)); err != nil {
			return err
		}
		if !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) || !slices.Equal(service.SecurityOpt, []string{"no-new-privileges:true"}) {
			return fmt.Errorf("service %s may do more than it has to: read_only, cap_drop, security_opt", name)
		}
		for _, volume := range service.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if _, declared := stack.Volumes[source]; declared {
				continue
			}
			if _, err := os.Stat(filepath.Join(deploy, path.Dir(file), source)); err != nil || !strings.HasPrefix(source, "./") {
				return fmt.Errorf("service %s mounts %s, which isn't there: %w", name, volume, err)
			}
		}
	}
	if len(stack.Services) == 0 {
		return errors.New("it has no services")
	}
	return nil
}
