package web_test

import (
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/web"
)

// What exporter-toolkit passes over, and would then let everybody in.
func TestWebConfigsThatNameNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.yml")
	const hash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
	for _, c := range []struct{ name, text, want string }{
		{"users", "basic_auth_users:\n  a: " + hash + "\n", ""},
		{"comments only", "# basic_auth_users:\n", ""},
		{"cut off behind the key", "basic_auth_users:\n", "basic_auth_users names nobody"},
		{"cut off in the first user's line", "basic_auth_users:\n  ", "basic_auth_users names nobody"},
		{"an empty map", "basic_auth_users: {}\n", "basic_auth_users names nobody"},
		{"null", "http_server_config:\n  http2: true\nbasic_auth_users: ~\n", "basic_auth_users names nobody"},
		{"an empty list of names", strings.Replace(mutualTLS, "    - prometheus.example.org\n", "", 1), "client_allowed_sans names nobody"},
		{"a list of no names", strings.Replace(mutualTLS, "\n    - prometheus.example.org", " []", 1), "client_allowed_sans names nobody"},
		{"in a second document", "http_server_config:\n  http2: true\n---\nbasic_auth_users:\n  a: " + hash + "\n", "it has a second document"},
		{"behind an empty document", "---\n---\nbasic_auth_users:\n  a: " + hash + "\n", "it has a second document"},
		{"behind an end", "http_server_config:\n  http2: true\n...\nbasic_auth_users:\n  a: " + hash + "\n", "it has a second document"},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.WriteFile(t, path, c.text)
			_, err := web.CheckConfig(path)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("error %v; want %q", err, c.want)
			}
		})
	}
}
