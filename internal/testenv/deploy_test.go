//go:build linux

package testenv

import (
	"os/exec"
	"path/filepath"
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
