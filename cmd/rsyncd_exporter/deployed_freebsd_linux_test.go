package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// rcSubr stands for FreeBSD's /etc/rc.subr, as far as deploy/freebsd/rsyncd_exporter takes it: rc.subr(8), and
// run_rc_command in libexec/rc/rc.subr. It becomes what it starts, so that the test can end it.
const rcSubr = `
load_rc_config() { . "$DIR/rc.conf"; }
run_rc_command() {
	eval "[ \"\$$rcvar\" = YES ]" || { echo "Cannot '$1' $name. Set $rcvar to YES"; exit 1; }
	eval "env_file=\$${name}_env_file"
	[ ! -r "$env_file" ] || { set -a; . "$env_file"; set +a; }
	pid=
	[ ! -s "$pidfile" ] || read -r pid <"$pidfile"
	[ -z "$pid" ] || [ "$(tr '\0' '\n' <"/proc/$pid/cmdline" | head -n 1)" = "$procname" ] || pid=
	case $1 in
	start)
		[ -z "$pid" ] && [ -x "$command" ] || exit 1
		eval "$start_precmd" || exit 1
		eval "exec sh -c \"exec $command $command_args\""
		;;
	stop) [ "$pid" ] && kill -TERM "$pid" ;;
	status) [ "$pid" ] ;;
	*) exit 1 ;;
	esac
}
`

// daemonCommand stands for daemon(8), which can make no file in /var/run: it runs as the service's user.
const daemonCommand = `#!/bin/sh
pidfile=/dev/null
while getopts fp:T: option; do
	case $option in
	f | T) ;;
	p) pidfile=$OPTARG ;;
	*) exit 1 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || exit 1
[ -w "$pidfile" ] || exit 2
echo $$ >"$pidfile"
exec "$@"
`

// rcScriptRuns starts the exporter by FreeBSD's rc.d script, looks at it, and stops it.
func rcScriptRuns(t *testing.T, deploy, file string) error {
	text, err := os.ReadFile(filepath.Join(deploy, file))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^# PROVIDE: rsyncd_exporter\n# REQUIRE: LOGIN\n# KEYWORD: shutdown\n`).Match(text) {
		return errors.New("rcorder(8) doesn't find what it looks for")
	}
	if err := shellTakes(t, deploy, file); err != nil {
		return err
	}
	dir, port := testenv.Dir(t), testenv.Port(t)
	program := replaced(t, deploy, file, "/etc/rc.subr", dir+"/rc.subr", "/usr/sbin/daemon", dir+"/daemon",
		"/usr/local/bin/rsyncd_exporter", testenv.Released(t), "/usr/local/etc", dir, "/var/run", dir, "/var/db", dir)
	put(t, filepath.Join(dir, "rc.subr"), []byte(rcSubr))
	put(t, filepath.Join(dir, "rc.conf"), fmt.Appendf(nil, "rsyncd_exporter_enable=YES rsyncd_exporter_user=%d\n"+
		"rsyncd_exporter_args='--listen-udp=off --http-listen=127.0.0.1:%d'\n", os.Getuid(), port))
	put(t, filepath.Join(dir, "rsyncd_exporter.env"), fmt.Appendf(nil, "RSYNCD_EXPORTER_FILE=%s/rsyncd.log\n"+
		"RSYNCD_EXPORTER_MODULES='mirror of all,backup'\n", dir))
	daemon := filepath.Join(dir, "daemon")
	put(t, daemon, []byte(daemonCommand))
	if err := os.Chmod(daemon, 0o755); err != nil {
		t.Fatal(err)
	}
	service := func(arg string) *exec.Cmd {
		cmd := exec.Command("/bin/sh", program, arg)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "DIR=" + dir}
		return cmd
	}
	return servesAndStops(t, port, dir, service)
}

// servesAndStops starts a service, which is to have read its settings and to keep its state in the directory,
// and stops it.
func servesAndStops(t *testing.T, port int, dir string, service func(arg string) *exec.Cmd) error {
	if err := service("status").Run(); err == nil {
		return errors.New("it runs before it is started")
	}
	p := testenv.Start(t, service("start"))
	defer p.Stop()
	ended := func() bool {
		select {
		case <-p.Ended():
			return true
		default:
			return false
		}
	}
	ready := func() bool { // it listens before
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/-/ready", port))
		if err == nil {
			r.Body.Close()
		}
		return err == nil && r.StatusCode == http.StatusOK
	}
	testenv.Until(t, patient, "the service to serve or to end", func() bool { return ended() || ready() })
	if ended() {
		return fmt.Errorf("it ended: %s", p.Output())
	}
	_, served := testenv.Fetch(t, http.DefaultClient, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	if !strings.Contains(served, `module="mirror of all"`) {
		return errors.New("it hasn't read its settings")
	}
	if err := service("status").Run(); err != nil {
		return fmt.Errorf("its status: %w", err)
	}
	state := filepath.Join(dir, "rsyncd_exporter")
	if info, err := os.Stat(state); err != nil {
		return err
	} else if info.Mode().Perm() != 0o700 {
		return fmt.Errorf("%s has the mode %o", state, info.Mode().Perm())
	}
	if err := service("stop").Run(); err != nil {
		return fmt.Errorf("it can't be stopped: %w", err)
	}
	if code := p.Wait(t); code != 0 {
		return fmt.Errorf("it ended with %d: %s", code, p.Output())
	}
	if kept, err := filepath.Glob(filepath.Join(state, "state.*")); err != nil || len(kept) == 0 {
		return fmt.Errorf("%s holds no state: %w", state, err)
	}
	return nil
}
