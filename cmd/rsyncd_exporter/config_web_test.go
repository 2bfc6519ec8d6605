package main

import (
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testpki"
)

// What exporter-toolkit passes over, and would then let everybody in.
func TestWebConfigsThatNameNobody(t *testing.T) {
	setEnv(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "web.yml")
	makeCertificate(t, dir)
	writeFile(t, filepath.Join(dir, "clients.pem"), string(testpki.NewCA(t, "clients").PEM()))
	const tls = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n" +
		"  client_ca_file: clients.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
	const hash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
	for _, c := range []struct{ name, text, want string }{
		{"users", "basic_auth_users:\n  a: " + hash + "\n", ""},
		{"comments only", "# basic_auth_users:\n", ""},
		{"cut off behind the key", "basic_auth_users:\n", "basic_auth_users names nobody"},
		{"cut off in the first user's line", "basic_auth_users:\n  ", "basic_auth_users names nobody"},
		{"an empty map", "basic_auth_users: {}\n", "basic_auth_users names nobody"},
		{"null", "http_server_config:\n  http2: true\nbasic_auth_users: ~\n", "basic_auth_users names nobody"},
		{"in a second document", "http_server_config:\n  http2: true\n---\nbasic_auth_users:\n  a: " + hash + "\n", "it has a second document"},
		{"behind an empty document", "---\n---\nbasic_auth_users:\n  a: " + hash + "\n", "it has a second document"},
		{"behind an end", "http_server_config:\n  http2: true\n...\nbasic_auth_users:\n  a: " + hash + "\n", "it has a second document"},
		{"SANs", tls + "  client_allowed_sans: [a]\n", ""},
		{"SANs cut off behind the key", tls + "  client_allowed_sans:\n", "client_allowed_sans names nobody"},
		{"SANs of null", tls + "  client_allowed_sans: ~\n", "client_allowed_sans names nobody"},
		{"an empty list of SANs", tls + "  client_allowed_sans: []\n", "client_allowed_sans names nobody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			writeFile(t, path, c.text)
			status, _, stderr := runProgram(t, "check", "--web-config", path)
			told := strings.Contains(stderr, `WEB_CONFIG="`+path+`" (from --web-config): `+c.want)
			if c.want == "" && status != exitOK || c.want != "" && (status != exitUsage || !told) {
				t.Errorf("status %d, %s; want %q", status, stderr, c.want)
			}
		})
	}
}

// A file that is cut off while the exporter runs asks for less than it did, and isn't taken.
func TestWebConfigsThatAskForLess(t *testing.T) {
	const (
		users = "basic_auth_users:\n  a: hash\n"
		tls   = "tls_server_config:\n  cert: x\n  client_auth_type: RequireAnyClientCert\n  client_allowed_sans:\n"
	)
	for _, c := range []struct {
		name, before, after string
		want                string // in the error; "" for none
	}{
		{"the same", users, users, ""},
		{"another user", users, users + "  b: hash\n", ""},
		{"no users", users, users[:18], "named users"},
		{"one name of two", tls + "  - a\n  - b\n", tls + "  - a\n", ""},
		{"no names", tls + "  - a\n", tls, "client_allowed_sans"},
		{"no key for names", tls + "  - a\n", tls[:strings.Index(tls, "  client_allowed")], "client_allowed_sans"},
		{"no client certificates", tls, tls[:strings.Index(tls, "  client_auth")], "client certificates"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "web.yml")
			file := newWebFile(path)
			writeFile(t, path, c.before)
			if _, err := file.read(); err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, c.after)
			_, err := file.read()
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
