package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// A port that needs a right which the user doesn't have.
func TestRemedyOfAPrivilegedPort(t *testing.T) {
	if start, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err != nil ||
		strings.TrimSpace(string(start)) == "0" {
		t.Skip("every port is everybody's here")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := []string{exe, "-test.run=^TestHelperProcess$"}
	if os.Geteuid() == 0 {
		command = append([]string{testenv.Need(t, "setpriv"), "--bounding-set=-net_bind_service",
			"--inh-caps=-net_bind_service"}, command...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), helperVariable+"=run",
		helperArgs+"="+fmt.Sprintf("--http-listen=127.0.0.1:1\n--listen-udp=127.0.0.1:%d", testenv.Port(t)))
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out),
		"permission denied: this user may not use the port: choose one from 1024 on") {
		t.Errorf("%v: %s", err, out)
	}
}
