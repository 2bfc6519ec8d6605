package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// SetEnv makes these, "NAME=value" without the prefix, the only settings in the environment until
// the test ends.
func SetEnv(t testing.TB, pairs ...string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "RSYNCD_EXPORTER_") {
			t.Setenv(name, value) // puts it back at the end
			os.Unsetenv(name)
		}
	}
	for _, kv := range pairs {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv("RSYNCD_EXPORTER_"+name, value)
	}
}

// WriteFile writes a file that only its owner may read.
func WriteFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Fetch makes a request and returns the answer with its body.
func Fetch(t testing.TB, client *http.Client, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// WebConfig makes a web configuration file, with a certificate for 127.0.0.1 and the user
// prometheus (password "secret") where asked for.
func WebConfig(t testing.TB, encrypted, auth bool, more string) (path string, client *http.Client) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "web.yml")
	text := more
	client = &http.Client{Timeout: time.Minute}
	if encrypted {
		roots := x509.NewCertPool()
		roots.AddCert(SelfSigned(t, dir))
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
		t.Cleanup(client.CloseIdleConnections)
		text += "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
	}
	if auth {
		hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("basic_auth_users:\n  prometheus: %q\n", hash)
	}
	WriteFile(t, path, text)
	return path, client
}

// SelfSigned writes cert.pem and key.pem, self-signed, for 127.0.0.1.
func SelfSigned(t testing.TB, dir string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, &x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		WriteFile(t, filepath.Join(dir, name), string(pem.EncodeToMemory(block)))
	}
	return cert
}

// PasswordFile writes a web configuration with the user prometheus. The hash is a cheap one: the
// race detector makes others take seconds.
func PasswordFile(t testing.TB, path, password string) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost+1)
	if err != nil {
		t.Fatal(err)
	}
	WriteFile(t, path+".new", fmt.Sprintf("basic_auth_users:\n  prometheus: %q\n", hash))
	if err := os.Rename(path+".new", path); err != nil { // while it is written, it names nobody
		t.Fatal(err)
	}
}

// Unheard returns an address at which nobody listens before the test ends: a connection's own end has
// its port.
func Unheard(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	conn, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}

// Until polls until the condition holds, and fails the test when it doesn't in time. what completes
// "waited … for". It looks a hundred times a second at first, and less often the longer it waits or
// the longer a look takes: most looks are scrapes, which cost what others need at the same time. The
// last look begins after the time, so that none is spent while this process waits for a processor.
func Until(t testing.TB, within time.Duration, what string, condition func() bool) {
	t.Helper()
	began := time.Now()
	for look := began; !condition(); look = time.Now() {
		now := time.Now()
		if look.Sub(began) > within {
			t.Fatalf("waited %s for %s, in vain", within, what)
		}
		time.Sleep(min(max(10*time.Millisecond, now.Sub(began)/20, now.Sub(look)), 500*time.Millisecond))
	}
}
