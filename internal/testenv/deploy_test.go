//go:build linux

package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemd takes the units as they are, and finds the service exposed no more than 1.6 of 10, so that no hardening is lost unnoticed.
func TestSystemdUnitsAreValidAndConfined(t *testing.T) {
	analyze := Need(t, "systemd-analyze")
	dir := Dir(t)
	// verify looks for the program, too.
	units := []string{rewrite(t, "deploy/systemd/rsyncd_exporter.service", dir, "/usr/local/bin/rsyncd_exporter", Need(t, "true"),
		"Documentation=man:rsyncd_exporter(1) file:///usr/share/doc/rsyncd-exporter/README.md\n", "")}
	for _, socket := range []string{"rsyncd_exporter.socket", "rsyncd_exporter-http.socket", "rsyncd_exporter-tcp.socket",
		"rsyncd_exporter-tls.socket", "rsyncd_exporter-journald.socket"} {
		units = append(units, rewrite(t, filepath.Join("deploy/systemd", socket), dir))
	}
	for _, args := range [][]string{
		append([]string{"verify", "--recursive-errors=no"}, units...),
		{"security", "--offline=true", "--threshold=16", units[0]},
	} {
		if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %q: %v\n%s", args, err, out)
		}
	}
}

// systemd takes the drop-in for rsync daemons, and the daemon's own /dev/log is the socket that the exporter's unit opens.
// scripts/packages-test.sh runs all of deploy/systemd.
func TestDropInOfRsyncDaemonsIsValid(t *testing.T) {
	dir := Dir(t)
	unit := filepath.Join(dir, "rsync.service")
	if err := os.WriteFile(unit, []byte("[Service]\nExecStart="+Need(t, "true")+"\nPrivateDevices=yes\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(unit+".d", 0o755); err != nil {
		t.Fatal(err)
	}
	dropIn, err := os.ReadFile(rewrite(t, "deploy/systemd/rsync.service.d/rsyncd_exporter.conf", unit+".d"))
	if err != nil {
		t.Fatal(err)
	}
	socket, err := os.ReadFile(rewrite(t, "deploy/systemd/rsyncd_exporter.socket", dir))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(Need(t, "systemd-analyze"), "verify", "--recursive-errors=no", unit)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	const path = "/run/rsyncd_exporter/log"
	if !strings.Contains(string(dropIn), "\nBindPaths=-"+path+":/dev/log\n") || !strings.Contains(string(socket), "\nListenDatagram="+path+"\n") {
		t.Errorf("drop-in and socket unit don't agree on %s:\n%s\n%s", path, dropIn, socket)
	}
}
