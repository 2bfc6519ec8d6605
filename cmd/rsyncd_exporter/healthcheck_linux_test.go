package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

// startKilledAtTheEnd runs the program as a process of its own, which ends with the test.
func startKilledAtTheEnd(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := startHelper(t, "run")
	cmd.Env = append(cmd.Env, helperArgs+"="+strings.Join(args, "\n"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// healthcheck runs the command as a process of its own, as a container's engine does.
func healthcheck(t *testing.T, args ...string) (status int, out string) {
	t.Helper()
	cmd := startHelper(t, "run")
	cmd.Env = append(cmd.Env, helperArgs+"="+strings.Join(append([]string{"healthcheck"}, args...), "\n"))
	text, _ := cmd.CombinedOutput() // the status says more than the error
	return cmd.ProcessState.ExitCode(), string(text)
}

// wantHealthy waits until the command finds that all is well, and returns what it says then. It waits for an answer for
// three seconds only, which a busy machine may take.
func wantHealthy(t *testing.T, args ...string) (out string) {
	t.Helper()
	testenv.Until(t, time.Minute, "good health", func() bool {
		status := 0
		status, out = healthcheck(t, args...)
		return status == exitOK
	})
	return out
}

// An exporter that wants client certificates is healthy as long as it answers, and isn't once it doesn't.
func TestHealthcheckWhereClientCertificatesAreWanted(t *testing.T) {
	dir := t.TempDir()
	ca := testpki.NewCA(t, "clients")
	testpki.WriteTo(t, dir, ca)
	testenv.SelfSigned(t, dir)
	testenv.WriteFile(t, filepath.Join(dir, "clients.pem"), string(ca.PEM()))
	for i, c := range []struct{ auth, version, more, want string }{
		{"RequireAndVerifyClientCert", "TLS13", "", "it asks for a client certificate"},
		{"RequireAndVerifyClientCert", "TLS12", "", "it asks for a client certificate"},
		{"RequireAnyClientCert", "TLS13", "", "it asks for a client certificate"},
		{"RequireAndVerifyClientCert", "TLS13", "  client_allowed_sans: [a]\n", "it asks for a client certificate"},
		{"VerifyClientCertIfGiven", "TLS13", "", ""},
		{"VerifyClientCertIfGiven", "TLS13", "  client_allowed_sans: [a]\n", "it asks for a client certificate"},
		{"RequestClientCert", "TLS12", "", ""},
	} {
		t.Run(strings.TrimSpace(c.auth+" "+c.version+c.more), func(t *testing.T) {
			testenv.SetEnv(t)
			web := filepath.Join(dir, "web.yml")
			text := fmt.Sprintf("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  client_auth_type: %s\n"+
				"  max_version: %s\n%s", c.auth, c.version, c.more)
			if strings.Contains(c.auth, "Verify") {
				text += "  client_ca_file: clients.pem\n"
			}
			testenv.WriteFile(t, web, text)
			port := fmt.Sprint(testenv.Port(t))
			ask := []string{"--http-listen=127.0.0.1:" + port, "--web-config=" + web}
			exporter := startKilledAtTheEnd(t, append(ask, "--listen-udp=127.0.0.1:0")...)
			testenv.Until(t, time.Minute, "the exporter to listen", func() bool {
				conn, err := net.Dial("tcp", "127.0.0.1:"+port)
				if err == nil {
					conn.Close()
				}
				return err == nil
			})
			if out := wantHealthy(t, ask...); c.want == "" && out != "" || !strings.Contains(out, c.want) {
				t.Errorf("it says %q, want %q", out, c.want)
			}
			wantHealthy(t, "--url=https://127.0.0.1:"+port+"/-/healthy")
			if err := exporter.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			if i > 0 { // it takes three seconds to know
				return
			}
			if status, out := healthcheck(t, ask...); status != exitFailure {
				t.Errorf("when it hangs: status %d, %s", status, out)
			}
			if err := exporter.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = exporter.Wait()
			if status, out := healthcheck(t, ask...); status != exitFailure {
				t.Errorf("when it has ended: status %d, %s", status, out)
			}
		})
	}
}

// A refusal that has nothing to do with a client certificate is no sign of health.
func TestHealthcheckOfAServerThatRefuses(t *testing.T) {
	dir := t.TempDir()
	testenv.SelfSigned(t, dir)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]*tls.Config{
		"old versions only": {Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS11},
		"old versions and a client certificate": {Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS11,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()},
		"no certificate of its own": {GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return nil, fmt.Errorf("none")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", config)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_ = conn.(*tls.Conn).Handshake()
					conn.Close()
				}
			}()
			testenv.SetEnv(t)
			url := "https://" + l.Addr().String() + "/-/healthy"
			if status, _, errs := runProgram(t, "healthcheck", "--url="+url); status != exitFailure {
				t.Errorf("status %d, %s", status, errs)
			}
		})
	}
}
