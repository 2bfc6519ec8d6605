package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

// Beside a running exporter with the same settings check says so and is content; it finds what else is wrong
// all the same. The exporter is known by the lock of STATE_DIR or, where it has none, by its health page, encrypted or
// not.
func TestCheckBesideTheSameSettings(t *testing.T) {
	dir, pki := testenv.Dir(t), testpki.Write(t)
	address := func() string { return fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)) }
	web, _ := testenv.WebConfig(t, true, true, "")
	for _, c := range []struct {
		name string
		args []string
		told []string
	}{
		{"everything", []string{
			"--listen-udp=" + address(), "--listen-tcp=" + address(), "--listen-tls=" + address(), "--tls-cert=" + pki + "/server.pem",
			"--tls-key=" + pki + "/server.key", "--listen-unixgram=" + filepath.Join(dir, "log"), "--state-dir=" + newStateDir(t, dir),
		}, []string{"HTTP_LISTEN", "udp ", "tcp ", "tls ", "unixgram ", "STATE_DIR"}},
		{"ports", []string{"--listen-udp=" + address(), "--listen-tcp=" + address()}, []string{"HTTP_LISTEN", "udp ", "tcp "}},
		{"encrypted", []string{"--listen-udp=" + address(), "--web-config=" + web}, []string{"HTTP_LISTEN", "udp "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.SetEnv(t)
			p := startReal(t, nil, nil, c.args...)
			args := append([]string{"check", "--http-listen=" + strings.TrimPrefix(p.url, "http://")}, c.args...)
			status, out, errs := runProgram(t, args...)
			if status != exitOK || errs != "" || !strings.HasSuffix(out, "\nok\n") {
				t.Errorf("status %d, %q and %q", status, out, errs)
			}
			for _, what := range c.told {
				if strings.Count(out, "\nwarning: "+what) != 1 {
					t.Errorf("no warning of %q in\n%s", what, out)
				}
			}
			if n := strings.Count(out, "before the rsyncd_exporter that runs has stopped"); n != len(c.told) {
				t.Errorf("%d warnings, want %d:\n%s", n, len(c.told), out)
			}
			status, _, errs = runProgram(t, append(args, "--listen-tcp=192.0.2.1:5514")...)
			if status != exitUsage || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, `tcp "192.0.2.1:5514"`) {
				t.Errorf("with an address of another machine: status %d, %q", status, errs)
			}
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whoever holds the port of HTTP and never answers is not taken for an exporter, nor waited for without end.
func TestCheckBesideAProgramThatHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nobody accepts
	testenv.SetEnv(t, anyUDP)
	status, _, errs := runProgram(t, "check", "--http-listen="+l.Addr().String())
	if status != exitUsage || !strings.Contains(errs, "HTTP_LISTEN=") || !strings.Contains(errs, "address already in use") {
		t.Errorf("status %d, %q", status, errs)
	}
}
