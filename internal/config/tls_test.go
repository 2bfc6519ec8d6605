package config_test

import (
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

func TestProblemsWithTLS(t *testing.T) {
	pki, other := testpki.Write(t), testpki.Write(t)
	testenv.WriteFile(t, pki+"/empty.pem", "")
	good := []string{"--listen-tls=:6514", "--tls-cert=" + pki + "/server.pem", "--tls-key=" + pki + "/server.key", "--tls-client-ca=" + pki + "/ca.pem"}
	for _, c := range []struct {
		name string
		args []string
		want []string // how each line begins; a * stands for anything
	}{
		{"all at once", []string{"--tls-cert=" + pki + "/nothing.pem", "--tls-key=" + pki + "/empty.pem", "--tls-client-ca=" + pki + "/server.key",
			"--tls-allowed-sans=*.example.org,b\u00fccher.example", "--tls-min-version=1.1", "--tls-crl=" + pki + "/ca.pem"}, []string{
			`TLS_ALLOWED_SANS="*.example.org" (from --tls-allowed-sans): wildcards are not known`,
			`TLS_ALLOWED_SANS="bücher.example" (from --tls-allowed-sans): it has the byte 'Ã': write names as certificates have them`,
			`TLS_MIN_VERSION="1.1" (from --tls-min-version): not one of the words that are known: write one of 1.3, 1.2`,
			`TLS_CERT="` + pki + `/nothing.pem" (from --tls-cert): no such file or directory: name a PEM file`,
			`TLS_KEY="` + pki + `/empty.pem" (from --tls-key): empty: name a PEM file`,
			`TLS_CLIENT_CA="` + pki + `/server.key" (from --tls-client-ca): line 1, byte 0: the block "PRIVATE KEY" doesn't belong here`,
		}},
		{"another certificate's key", []string{"--tls-key=" + other + "/server.key"},
			[]string{`TLS_KEY="` + other + `/server.key" (from --tls-key): tls: private key does not match public key`}},
		{"another CA's CRL", []string{"--tls-crl=" + other + "/crl.pem"}, []string{`TLS_CRL="` + other + `/crl.pem" (from --tls-crl): line 1, byte 0: revocation list 1, of "CN=test CA", is signed by none`}},
		{"no certificate and no key", []string{"--tls-cert=", "--tls-key="}, []string{
			`TLS_CERT="" (from --tls-cert): LISTEN_TLS needs one: name a PEM file`, `TLS_KEY="" (from --tls-key): LISTEN_TLS needs one: name a PEM file`}},
		{"names that nobody is asked for", []string{"--tls-client-ca=", "--tls-allowed-sans=a"}, []string{
			`TLS_CLIENT_CA="" (from --tls-client-ca): no file is named, which would let everybody in: name it, or leave the flag out`,
			`TLS_ALLOWED_SANS="a" (from --tls-allowed-sans): clients need no certificate without TLS_CLIENT_CA, and so nobody would be kept out: set TLS_CLIENT_CA`}},
		{"the port of HTTP_LISTEN", []string{"--listen-tls=:8080"}, []string{`LISTEN_TLS=":8080" (from --listen-tls): HTTP_LISTEN is ":8080", the same port`}},
		{"the port of LISTEN_TCP", []string{"--listen-tcp=127.0.0.1:6514"}, []string{`LISTEN_TLS=":6514" (from --listen-tls): LISTEN_TCP has "127.0.0.1:6514", the same port`}},
		{"no address", []string{"--listen-tls=6514"}, []string{`LISTEN_TLS="6514" (from --listen-tls): it has no colon: write :6514`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.SetEnv(t)
			var args []string
			for _, g := range good { // repeated list flags would add
				name, _, _ := strings.Cut(g, "=")
				given := false
				for _, a := range c.args {
					given = given || strings.HasPrefix(a, name+"=")
				}
				if !given {
					args = append(args, g)
				}
			}
			got := strings.Split(loadError(t, append(args, c.args...)...), "\n")
			if len(got) != len(c.want) {
				t.Fatalf("got %d problems, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("got  %s\nwant %s", got[i], c.want[i])
				}
			}
		})
	}
}

// FAULTS S10, and the rest of what is allowed and doubtful.
func TestWarningsAboutTLS(t *testing.T) {
	pki := testpki.Write(t)
	ca := testpki.NewCA(t, "test CA")
	testpki.WritePair(t, pki, "old", ca.Issue(t, testpki.Usage(x509.ExtKeyUsageServerAuth), testpki.Valid(-48*time.Hour, -time.Hour)))
	testpki.WritePair(t, pki, "open", ca.Issue(t))
	first, err := os.ReadFile(pki + "/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	testenv.WriteFile(t, pki+"/cas.pem", string(first)+string(testpki.NewCA(t, "second CA").PEM()))
	if err := os.Chmod(pki+"/open.key", 0o644); err != nil {
		t.Fatal(err)
	}
	tls := func(name string, more ...string) []string {
		return append([]string{"--listen-tls=:6514", "--tls-cert=" + pki + "/" + name + ".pem", "--tls-key=" + pki + "/" + name + ".key"}, more...)
	}
	ours := "--tls-client-ca=" + pki + "/ca.pem"
	for _, c := range []struct {
		name string
		args []string
		want string // part of the only warning about TLS; empty: none
	}{
		{"nothing", tls("server", ours), ""},
		{"expired", tls("old", ours), `/old.pem" (from --tls-cert): out of date since `},
		{"a key for everybody", tls("open", ours), `/open.key" (from --tls-key): everybody on this machine may use the key (mode 0644): chmod o= it`},
		{"no client CA", tls("server"), "LISTEN_TLS (from --listen-tls) without TLS_CLIENT_CA: whoever may send to the port may count"},
		{"a CA without a list", tls("server", "--tls-client-ca="+pki+"/cas.pem", "--tls-crl="+pki+"/crl.pem"),
			`/crl.pem" (from --tls-crl): it has no list of "CN=second CA", so that what these have signed never counts as revoked`},
		{"no listener", []string{ours}, "TLS_CLIENT_CA (from --tls-client-ca) is for LISTEN_TLS, which is off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.SetEnv(t)
			var got []string
			for _, w := range load(t, c.args...).Warnings {
				if strings.Contains(w, "TLS") {
					got = append(got, w)
				}
			}
			if c.want == "" && len(got) == 0 {
				return
			}
			if len(got) != 1 || c.want == "" || !strings.Contains(got[0], c.want) {
				t.Errorf("warnings %q, want one with %q", got, c.want)
			}
		})
	}
}
