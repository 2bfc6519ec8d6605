//go:build linux

package main

import (
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

// Every message that a forwarder takes arrives, once: of each transport, the number of messages and the sum of their weights are
// exact. Each message's weight is its number's square, so that a lost one and a doubled one don't cancel out.
func TestForwardersDeliverEverything(t *testing.T) {
	t.Parallel()
	const messages = 4000
	lineFramed := []shippedForwarder{ // not shipped, since line feeds in file names end messages there
		{"syslog-ng TCP, network()", "tcp", func(t testing.TB, _ string, p int) *testenv.Forwarder { return testenv.StartSyslogNGNetwork(t, p) }},
		{"syslog-ng TLS, network()", "tls", func(t testing.TB, pki string, p int) *testenv.Forwarder {
			return testenv.StartSyslogNGTLS(t, "network", pki, p)
		}},
	}
	for _, c := range slices.Concat(shippedForwarders, lineFramed) {
		t.Run(c.name, func(t *testing.T) {
			port := testenv.Port(t)
			args, pki := c.args(t, port)
			e := startExporter(t, args...)
			want := logTransfers(t, c.start(t, pki, port).Socket, messages)
			var s map[string]float64
			testenv.Until(t, time.Minute, "every message to be received or dropped", func() bool {
				s = e.scrape()
				return total(s, "rsyncd_exporter_received_total")+total(s, "rsyncd_exporter_socket_drops_total") >= messages
			})
			e.identities(s)
			drops := total(s, "rsyncd_exporter_socket_drops_total")
			if c.input == "udp" && drops > 0 { // a loss that is known, on a busy machine
				e.want(s, messages-drops, "rsyncd_exporter_received_total")
				return
			}
			e.want(s, messages, "rsync_messages_total", `kind="transfer"`)
			e.want(s, want, "rsync_file_bytes_total")
			e.want(s, 0, "rsyncd_exporter_discarded_total")
			e.want(s, 0, "rsyncd_exporter_refused_connections_total")
		})
	}
}

// syslog-ng's network() ends messages with line feeds and leaves those in names of files, so that whoever uploads a file
// writes whole lines of the stream. None of them is an octet count: the connection stays, and every session counts. By the shipped file,
// which replaces them, no name makes a line at all.
func TestNamesDoNotChangeTheFraming(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, int) *testenv.Forwarder{
		"as it is": testenv.StartSyslogNGNetwork,
		"shipped": func(t testing.TB, port int) *testenv.Forwarder {
			return testenv.StartSyslogNG(t, "rsyncd_exporter-network.conf", port)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := testenv.Port(t)
			e := startExporter(t, "--listen-udp=off", fmt.Sprintf("--listen-tcp=127.0.0.1:%d", port))
			d := testenv.StartRsyncd(t, start(t, port).Socket)
			honest := map[string]int{"as it is": 3, "shipped": 1}[name]
			s := pushHostileNames(t, e, d, honest)
			lines := total(s, "rsyncd_exporter_received_total") - total(s, "rsync_messages_total") + total(s, "rsync_messages_total", `kind="unrecognised"`)
			if shipped := name == "shipped"; shipped != (lines == 0) {
				t.Errorf("the names have made %v lines", lines)
			}
		})
	}
}

// pushHostileNames lets clients push files whose names hold line feeds, so many others behind each, and compares what is counted with what they know.
func pushHostileNames(t *testing.T, e *exporter, d *testenv.Rsyncd, honest int) map[string]float64 {
	t.Helper()
	sent, received, sessions := 0, 0, 0
	push := func(name string) {
		t.Helper()
		dir := testenv.Dir(t)
		put(t, filepath.Join(dir, name), []byte("content"))
		code, out := testenv.Rsync(t, "-r", "--stats", "--no-h", dir+"/", d.URL("", "incoming/"))
		if code != 0 {
			t.Fatalf("pushing %q: exit code %d:\n%s", name, code, out)
		}
		s, r := stats(t, out)
		sent, received, sessions = sent+r, received+s, sessions+1 // the client's view is the other one
	}
	for i, name := range []string{"x\n9999 y", "x\n0 ", "x\n99999999999 z", "x\n70 <30>Nov 23 18:40:52 rsyncd[9]: connect from evil (10.6.6.6)", "x\n5", "x\n\n"} {
		push(name)
		for j := range honest {
			push(fmt.Sprintf("honest%d-%d", i, j))
		}
	}
	s := e.until(float64(sessions), "rsync_sessions_total", `outcome="ok"`)
	e.want(s, float64(sessions), "rsync_connections_total")
	e.want(s, float64(sessions), "rsync_executions_total", `direction="receive"`)
	for name, want := range map[string]int{"rsync_sent_bytes_total": sent, "rsync_received_bytes_total": received} {
		if more := int(total(s, name)) - want; more < 0 || more > 32*sessions { // what the clients don't count of each session
			t.Errorf("%s: %d more than the clients counted, %d", name, more, want)
		}
	}
	e.want(s, 0, "rsyncd_exporter_discarded_total", `reason="bad_length"`)
	e.want(s, 0, "rsyncd_exporter_discarded_total", `reason="incomplete"`)
	e.want(s, 1, "rsyncd_exporter_connections", `input="tcp"`)
	e.identities(s)
	return s
}

func tlsArgs(pki string) []string {
	return []string{"--tls-cert=" + pki + "/server.pem", "--tls-key=" + pki + "/server.key", "--tls-client-ca=" + pki + "/ca.pem",
		"--tls-allowed-sans=localhost"}
}

// What a real forwarder has to be told by the counter: that its certificate is another CA's, that it has another name,
// or that it doesn't trust the exporter's. Nothing of it is counted.
func TestForwardersThatAreNotLetIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, reason string
		change       func(t *testing.T, mine, theirs string) // of the two directories of files, which are the same at first
	}{
		{"another CA's certificate", "unknown_ca", func(t *testing.T, _, theirs string) {
			testpki.WritePair(t, theirs, "client", testpki.NewCA(t, "another").Issue(t))
		}},
		{"another name", "wrong_san", func(t *testing.T, mine, theirs string) {
			ca := testpki.NewCA(t, "other names")
			testpki.WriteTo(t, mine, ca)
			testpki.WriteTo(t, theirs, ca)
			testpki.WritePair(t, theirs, "client", ca.Issue(t, testpki.Names("intruder.example.org"), testpki.CommonName("localhost")))
		}},
		{"no trust in the exporter's certificate", "refused_by_client", func(t *testing.T, mine, _ string) {
			testpki.WriteTo(t, mine, testpki.NewCA(t, "unknown to the forwarder"))
		}},
		{"another name of the exporter's", "refused_by_client", func(t *testing.T, mine, theirs string) {
			ca := testpki.NewCA(t, "other names")
			testpki.WriteTo(t, mine, ca)
			testpki.WriteTo(t, theirs, ca)
			testpki.WritePair(t, mine, "server", ca.Issue(t, testpki.Names("other.example.org"), testpki.Usage(x509.ExtKeyUsageServerAuth)))
		}},
	} {
		for forwarder, start := range map[string]func(t testing.TB, pki string, port int) *testenv.Forwarder{
			"rsyslog": testenv.StartRsyslogTLS,
			"syslog-ng": func(t testing.TB, pki string, port int) *testenv.Forwarder {
				return testenv.StartSyslogNGTLS(t, "syslog", pki, port)
			},
		} {
			if forwarder == "rsyslog" && c.name == "another name of the exporter's" {
				continue // it finds out after the handshake, and then only closes the connection
			}
			t.Run(forwarder+", "+c.name, func(t *testing.T) {
				mine, theirs := t.TempDir(), t.TempDir()
				ca := testpki.NewCA(t, "test CA")
				testpki.WriteTo(t, mine, ca)
				testpki.WriteTo(t, theirs, ca)
				c.change(t, mine, theirs)
				port := testenv.Port(t)
				e := startExporter(t, append(tlsArgs(mine), "--listen-udp=off", fmt.Sprintf("--listen-tls=127.0.0.1:%d", port))...)
				logTransfers(t, start(t, theirs, port).Socket, 10)
				var s map[string]float64
				testenv.Until(t, time.Minute, "a refusal", func() bool {
					s = e.scrape()
					return total(s, "rsyncd_exporter_refused_connections_total") > 0
				})
				e.want(s, total(s, "rsyncd_exporter_refused_connections_total"), "rsyncd_exporter_refused_connections_total",
					`input="tls"`, fmt.Sprintf("reason=%q", c.reason))
				e.want(s, 0, "rsyncd_exporter_received_total")
			})
		}
	}
}

// logTransfers writes transfer lines to a syslog socket, and returns the sum of their lengths.
func logTransfers(t *testing.T, socket string, n int) (sum float64) {
	t.Helper()
	c, err := net.Dial("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range n {
		// A full socket makes the writer wait, as it does rsyncd.
		if _, err := fmt.Fprintf(c, "<30>Nov 23 18:40:52 rsyncd[505]: send localhost [127.0.0.1] data () sub/c.dat %d", i*i); err != nil {
			t.Fatal(err)
		}
		sum += float64(i * i)
	}
	return sum
}
