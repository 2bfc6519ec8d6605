package web_test

import (
	"crypto/tls"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
	"rsyncd_exporter/internal/web"
)

const mutualTLS = `tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans:
    - prometheus.example.org
`

// A WEB_CONFIG that asks for names of clients goes on to do so when it is cut off: at no length does it let in a client
// of the same CA that has another name.
func TestACutWebConfigLetsNoOtherNameIn(t *testing.T) {
	dir := t.TempDir()
	ca := testpki.NewCA(t, "test CA")
	testpki.WriteTo(t, dir, ca)
	testpki.WritePair(t, dir, "prometheus", ca.Issue(t, testpki.Names("prometheus.example.org")))
	path := filepath.Join(dir, "web.yml")
	testenv.WriteFile(t, path, mutualTLS)
	address, _ := startHTTP(t, web.Options{Config: path})
	letIn := func(name string) bool {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		config := &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{pair}}
		transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
		client := &http.Client{Timeout: time.Minute, Transport: transport}
		resp, err := client.Get("https://" + address + "/metrics")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	if !letIn("prometheus") || letIn("client") {
		t.Fatal("the whole file lets in the wrong clients")
	}
	for n := range len(mutualTLS) {
		testenv.WriteFile(t, path, mutualTLS[:n])
		if letIn("client") {
			t.Errorf("the first %d bytes let it in: %q", n, mutualTLS[max(0, n-30):n])
		}
	}
	testenv.WriteFile(t, path, mutualTLS)
	if !letIn("prometheus") {
		t.Error("the whole file lets nobody in any more")
	}
}

// A reload of WEB_CONFIG never protects less: not without the CA either, in whose place all the machine's CAs would come.
func TestAReloadOfWebConfigProtectsNoLess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.yml")
	for _, c := range []struct{ cut, want string }{
		{"  client_ca_file: ca.pem\n", "it has had a CA of clients since the start"},
		{"  client_allowed_sans:\n    - prometheus.example.org\n", "it has named clients in client_allowed_sans since the start"},
		{"    - prometheus.example.org\n", "client_allowed_sans names nobody"},
		{"  client_auth_type: RequireAndVerifyClientCert\n", "it has asked for client certificates since the start"},
	} {
		testenv.WriteFile(t, path, mutualTLS)
		file := web.NewFile(path)
		if err := file.Read(); err != nil {
			t.Fatal(err)
		}
		testenv.WriteFile(t, path, strings.Replace(mutualTLS, c.cut, "", 1))
		if err := file.Read(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("without %q: %v, want %q", c.cut, err, c.want)
		}
	}
}

// Without a CA of its own every certificate of the CAs that the machine trusts would do, which is worth a warning.
func TestWebConfigWithoutACAOfClients(t *testing.T) {
	dir := testpki.Write(t)
	path := filepath.Join(dir, "web.yml")
	for text, want := range map[string]bool{mutualTLS: false, strings.Replace(mutualTLS, "  client_ca_file: ca.pem\n", "", 1): true} {
		testenv.WriteFile(t, path, text)
		warnings, err := web.CheckConfig(path)
		if err != nil || strings.Contains(strings.Join(warnings, "\n"), "it has no client_ca_file") != want {
			t.Errorf("%q, %v; want a warning: %v", warnings, err, want)
		}
	}
}
