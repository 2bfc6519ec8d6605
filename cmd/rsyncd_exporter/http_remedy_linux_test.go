package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// What can't be listened at has the remedy that fits the error, not always the same.
func TestRemediesOfHTTPListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct{ name, address, want string }{
		{"taken", taken.Addr().String(), "address already in use: another process"},
		{"another machine's address", "198.51.100.1:8080",
			"cannot assign requested address: no interface of this machine has that address"},
		{"no such name", "nosuch.invalid:8080", "the name has no address"},
		{"a link-local address", "[fe80::1]:8080", "needs its interface"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := listenHTTP(&Config{HTTPListen: c.address})
			if err == nil {
				l.Close()
				t.Fatal("no error")
			}
			if got := err.Error(); !strings.Contains(got, c.want) || strings.Count(got, c.address) == 0 {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
	for value, want := range map[string]string{
		"8080":                   "write :8080 for",
		"localhost":              "write localhost:8080",
		"127.0.0.1":              "write 127.0.0.1:8080",
		"::1:9100":               "or [::1]:9100",
		"http://localhost:9100/": "write the address alone, such as localhost:9100",
		"*:9100":                 "write :9100 for all",
		":http":                  "or :8080 for all",
		"off":                    "can't be switched off",
	} {
		setEnv(t)
		if got := loadError(t, "--http-listen="+value); !strings.Contains(got, want) || strings.Contains(got, "5514") {
			t.Errorf("%s: %s\nwant %s, and no port of syslog's", value, got, want)
		}
	}
}

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
