//go:build linux

package testenv

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// systemd takes the unit as it is, and finds it exposed no more than 1.6 of 10, so that no hardening is lost unnoticed.
func TestSystemdUnitIsValidAndConfined(t *testing.T) {
	analyze := Need(t, "systemd-analyze")
	// verify looks for the program, too.
	unit := rewrite(t, "deploy/systemd/rsyncd_exporter.service", Dir(t), "/usr/local/bin/rsyncd_exporter", Need(t, "true"),
		"Documentation=file:///usr/share/doc/rsyncd_exporter/README.md\n", "")
	for _, args := range [][]string{
		{"verify", "--recursive-errors=no", unit},
		{"security", "--offline=true", "--threshold=16", unit},
	} {
		if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %q on %s: %v\n%s", args[:len(args)-1], filepath.Base(unit), err, out)
		}
	}
}
