//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/ownlog"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

// The running program follows its TLS files, shows in /metrics what is in force, and says in its log what happened, once.
func TestTLSFilesAreFollowed(t *testing.T) {
	pki := testpki.Write(t)
	address, tlsPort := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)), testenv.Port(t)
	testenv.SetEnv(t)
	cfg := mustLoad(t, append(tlsArgs(pki), "--listen-udp=off", fmt.Sprintf("--listen-tls=127.0.0.1:%d", tlsPort), "--http-listen="+address)...)
	cfg.TLS.Interval = 10 * time.Millisecond
	var log lockedBuffer
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, cfg, ownlog.New(&log, cfg.LogLevel)) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	e := &exporter{t, "http://" + address}
	testenv.Until(t, time.Minute, "the exporter", func() bool {
		r, err := http.Get(e.url + "/-/ready")
		if err == nil {
			r.Body.Close()
		}
		return err == nil
	})
	before := e.scrape()
	const expiry = "rsyncd_exporter_tls_certificate_expiry_timestamp_seconds"
	e.want(before, 1, "rsyncd_exporter_tls_reload_ok")
	if left := total(before, expiry, `file="certificate"`) - float64(time.Now().Unix()); left < 23*3600 || left > 24*3600 {
		t.Errorf("the certificate has %v s left, want 24 hours", left)
	}
	if n := seriesOf(before, "rsyncd_exporter_refused_connections_total"); n != 19 {
		t.Errorf("%d reasons from the start, want 19", n)
	}

	if err := os.Truncate(pki+"/server.pem", 0); err != nil {
		t.Fatal(err)
	}
	e.until(0, "rsyncd_exporter_tls_reload_ok")
	ca := testpki.NewCA(t, "new CA")
	fresh := t.TempDir()
	testpki.WriteTo(t, fresh, ca)
	testpki.WritePair(t, fresh, "server", ca.Issue(t, testpki.Usage(x509.ExtKeyUsageServerAuth), testpki.Valid(-time.Hour, 48*time.Hour)))
	for _, name := range []string{"ca.pem", "client.pem", "client.key", "server.key", "server.pem"} { // the empty one last
		if err := os.Rename(fresh+"/"+name, pki+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	after := e.until(1, "rsyncd_exporter_tls_reload_ok")
	if more := total(after, expiry, `file="certificate"`) - total(before, expiry, `file="certificate"`); more < 23*3600 {
		t.Errorf("the certificate expires %v s later than before, want 24 hours", more)
	}
	client, err := tls.LoadX509KeyPair(pki+"/client.pem", pki+"/client.key")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", tlsPort),
		&tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{client}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "<30>Nov 23 18:40:52 vm rsyncd[505]: connect from localhost (127.0.0.1)\n"); err != nil {
		t.Fatal(err)
	}
	e.until(1, "rsync_connections_total")
	testenv.Until(t, time.Minute, "lines about both changes", func() bool {
		return strings.Contains(log.String(), "can't be used") && strings.Contains(log.String(), "are in force")
	})
	if out := log.String(); strings.Count(out, "can't be used") != 1 || strings.Count(out, "are in force") != 1 {
		t.Errorf("the log has not one line about each change:\n%s", out)
	}
}

// docs/logging/tls.md's lines make certificates that the exporter and its client take.
func TestDocumentedCertificates(t *testing.T) {
	testenv.Need(t, "openssl")
	page, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs/logging/tls.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```sh\n")
	lines, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("docs/logging/tls.md has no block of sh")
	}
	dir := t.TempDir()
	cmd := exec.Command("sh", "-ec", lines)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+os.Getenv("PATH")+":"+filepath.Dir(testenv.Need(t, "openssl")))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port := testenv.Port(t)
	e := startExporter(t, "--listen-udp=off", fmt.Sprintf("--listen-tls=127.0.0.1:%d", port), "--tls-cert="+dir+"/exporter.example.org.pem",
		"--tls-key="+dir+"/exporter.example.org.key", "--tls-client-ca="+dir+"/ca.pem", "--tls-allowed-sans=mirror1.example.org")
	client, err := tls.LoadX509KeyPair(dir+"/mirror1.example.org.pem", dir+"/mirror1.example.org.key")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(dir + "/ca.pem")
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port),
		&tls.Config{RootCAs: roots, ServerName: "exporter.example.org", Certificates: []tls.Certificate{client}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "<30>Nov 23 18:40:52 vm rsyncd[505]: connect from localhost (127.0.0.1)\n"); err != nil {
		t.Fatal(err)
	}
	e.until(1, "rsync_connections_total")
}

// seriesOf counts the series of a metric.
func seriesOf(series map[string]float64, name string) (n int) {
	for s := range series {
		if strings.HasPrefix(s, name+"{") {
			n++
		}
	}
	return n
}

// FAULTS T14, R7: a thousand refused connections show in the counter and in no line of the log.
func TestRefusedConnectionsAreNotLogged(t *testing.T) {
	port := testenv.Port(t)
	var stderr lockedBuffer
	ctx, cancel := context.WithCancel(context.Background())
	address := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, []string{"--http-listen=" + address, "--listen-udp=off", fmt.Sprintf("--listen-tcp=127.0.0.1:%d", port)},
			strings.NewReader(""), &stderr, &stderr)
	}()
	e := &exporter{t, "http://" + address}
	testenv.Until(t, time.Minute, "the exporter", func() bool { return testenv.Listening(t, port) })
	const n = 1000
	for range n {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, c) // until the exporter closes it
		c.Close()
	}
	s := e.until(n, "rsyncd_exporter_refused_connections_total", `input="tcp"`, `reason="speaks_other"`)
	e.want(s, n, "rsyncd_exporter_refused_connections_total")
	e.want(s, 0, "rsyncd_exporter_received_total")
	cancel()
	if got := <-status; got != 0 {
		t.Errorf("exit status %d", got)
	}
	if lines := strings.Count(stderr.String(), "\n"); lines > 10 {
		t.Errorf("%d lines of log:\n%s", lines, stderr.String())
	}
}
