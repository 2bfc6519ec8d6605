//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// addModules adds read-only modules without files to the daemon's configuration.
func addModules(t *testing.T, d *testenv.Rsyncd, names ...string) {
	t.Helper()
	conf, err := os.OpenFile(d.Conf, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conf.Close()
	for i, name := range names {
		dir := d.Module(fmt.Sprintf("added-%d", i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conf, "\n[%s]\n\tpath = %s\n\tread only = yes\n\tmax connections = 0\n", name, dir); err != nil {
			t.Fatal(err)
		}
	}
}

// attack is let into a module and returns the connection, over which the daemon can be made to log.
func attack(t *testing.T, d *testenv.Rsyncd, module string) *testenv.Client {
	t.Helper()
	c := testenv.Dial(t, d)
	if answer := c.AskFor(t, module); answer != "@RSYNCD: OK" {
		t.Fatalf("module %q: the daemon says %q", module, answer)
	}
	c.Pull(t, module+"/")
	return c
}

// forge has the daemon log n of the lines, in any order, and returns how many it was.
func (h *hostile) forge(t *testing.T, c *testenv.Client, n int, lines []string) int {
	t.Helper()
	for range n {
		kinds := [...]testenv.Message{testenv.MessageInfo, testenv.MessageInfo, testenv.MessageError, testenv.MessageWarning, testenv.MessageErrorXfer}
		line := lines[h.IntN(len(lines))]
		if h.IntN(8) == 0 {
			line = strings.ReplaceAll(h.text(2000), "connect from", "connect  from") // see TestForgedConnectsGainNothing
		}
		c.Log(t, kinds[h.IntN(len(kinds))], line+"\n")
	}
	return n
}

// without returns the lines that don't hold the words.
func without(lines []string, words string) (rest []string) {
	for _, l := range lines {
		if !strings.Contains(l, words) {
			rest = append(rest, l)
		}
	}
	return rest
}

// hostileInputs are the ways from the daemon to the exporter: each starts both, and says how many messages the daemon has written, where
// it can.
var hostileInputs = []struct {
	name  string
	start func(t *testing.T, args ...string) (*exporter, *testenv.Rsyncd, func() int)
}{
	{"unix socket", func(t *testing.T, args ...string) (*exporter, *testenv.Rsyncd, func() int) {
		socket := filepath.Join(testenv.Dir(t), "log")
		e := startExporter(t, append(args, "--listen-unixgram="+socket, "--listen-udp=off")...)
		return e, testenv.StartRsyncd(t, socket), nil
	}},
	{"log file", func(t *testing.T, args ...string) (*exporter, *testenv.Rsyncd, func() int) {
		file := filepath.Join(testenv.Dir(t), "rsyncd.log")
		e := startExporter(t, append(args, "-p", file, "-s", "1")...)
		return e, testenv.StartRsyncd(t, "", "--dparam=log file="+file), func() int {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			return bytes.Count(b, []byte("\n"))
		}
	}},
	{"rsyslog TCP", func(t *testing.T, args ...string) (*exporter, *testenv.Rsyncd, func() int) {
		port := testenv.Port(t)
		e := startExporter(t, append(args, fmt.Sprintf("--listen-tcp=127.0.0.1:%d", port), "--listen-udp=off")...)
		return e, testenv.StartRsyncd(t, testenv.StartRsyslog(t, "rsyncd_exporter-tcp.conf", port).Socket), nil
	}},
}

// Clients of read-only modules write whatever counts into the daemon's log, over and over, while others work beside them. The others'
// numbers are exact, and each attacker is one connection and one session of its own module.
func TestForgedLinesStayInTheirSession(t *testing.T) {
	t.Parallel()
	for _, input := range hostileInputs {
		t.Run(input.name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t)
			e, d, written := input.start(t, "--modules=mirror,incoming,backup,quick,slow") // pids may come round, which no name is learned from
			addModules(t, d, "quick", "slow")
			lines := without(append(forgeries("mirror", fmt.Sprint(d.Pid())), forgeries("slow", "1")...), "connect from")

			rounds, forged := 0, 0
			var pulled, pulledUp, pushed, pushedDown int
			innocents := func() {
				a, b, c, d := traffic(t, d)
				rounds, pulledUp, pulled, pushed, pushedDown = rounds+1, pulledUp+a, pulled+b, pushed+c, pushedDown+d
			}
			one, two := attack(t, d, "slow"), attack(t, d, "slow")
			forged += h.forge(t, one, 80, lines)
			innocents()
			forged += h.forge(t, two, 80, lines)
			for _, c := range []*testenv.Client{one, two} {
				for _, bytes := range []string{"1125899906842624", "1152921504606846976"} { // 1 PiB and 1 EiB
					c.Log(t, testenv.MessageInfo, "sent "+bytes+" bytes  received "+bytes+" bytes  total size "+bytes+"\n")
					forged++
				}
			}
			e.until(2, "rsync_sessions_total", `module="slow"`) // as it seems
			three := attack(t, d, "quick")
			forged += h.forge(t, three, 40, lines)
			for _, l := range lines { // each at least once
				three.Log(t, testenv.MessageInfo, l+"\n")
				forged++
			}
			three.Log(t, testenv.MessageDeleted, "forged")
			three.Start(t)
			sent := three.Finish(t)
			one.Start(t)
			one.Finish(t)
			two.Hangup(t)
			innocents()

			n := float64(rounds)
			e.until(6*n+3, "rsync_sessions_total")
			s := e.scrapeStrictly(map[string][]string{
				"module": {"", "mirror", "incoming", "backup", "quick", "slow"}, "user": {"", "alice"}, "host": hosts(), "version": {"3.5.0"},
			})
			e.identities(s)
			e.want(s, 6*n+3, "rsync_connections_total")
			e.want(s, 4*n+3, "rsync_executions_total")
			e.want(s, 2*n, "rsync_executions_total", `module="mirror"`, `direction="send"`)
			e.want(s, n, "rsync_executions_total", `module="incoming"`, `direction="receive"`)
			e.want(s, n, "rsync_executions_total", `module="backup"`, `direction="receive"`)
			e.want(s, n, "rsync_sessions_total", `module="mirror"`, `outcome="ok"`)
			e.want(s, n, "rsync_sessions_total", `module="mirror"`, `outcome="partial"`)
			e.want(s, 2*n, "rsync_sessions_total", `module="mirror"`)
			e.want(s, n, "rsync_sessions_total", `module="incoming"`)
			e.want(s, n, "rsync_sessions_total", `module="incoming"`, `outcome="ok"`)
			e.want(s, 2*n, "rsync_sessions_total", `module="backup"`)
			e.want(s, n, "rsync_sessions_total", `module="backup"`, `outcome="rejected"`)
			e.want(s, 2, "rsync_sessions_total", `module="slow"`)
			e.want(s, 1, "rsync_sessions_total", `module="quick"`)
			e.want(s, n, "rsync_rejected_total", `reason="unknown_module"`)
			e.want(s, n, "rsync_rejected_total", `reason="auth"`)
			e.want(s, 0, "rsync_rejected_total", `reason="hosts_deny"`)
			e.want(s, 0, "rsync_rejected_total", `reason="max_connections"`)
			e.want(s, 2*n, "rsync_files_total", `module="mirror"`)
			e.want(s, 305000*n, "rsync_file_bytes_total", `module="mirror"`)
			e.want(s, n, "rsync_file_errors_total", `module="mirror"`)
			for _, module := range []string{"mirror", "incoming", "backup"} {
				e.want(s, 0, "rsync_errors_total", `module="`+module+`"`)
			}
			e.want(s, 0, "rsync_module_list_requests_total")
			e.want(s, 1, "rsync_daemon_starts_total")
			e.want(s, 0, "rsync_upstream_lost_messages_total")
			within := func(slack, want int, name string, labels ...string) {
				t.Helper()
				if got := total(s, name, labels...) - float64(want); got < 0 || got > float64(slack*rounds) {
					t.Errorf("%s%q: %v more than the clients counted, want up to %d", name, labels, got, slack*rounds)
				}
			}
			within(32, pushedDown, "rsync_sent_bytes_total", `module="incoming"`)
			within(32, pushed, "rsync_received_bytes_total", `module="incoming"`)
			within(400, pulled, "rsync_sent_bytes_total", `module="mirror"`)
			within(100, pulledUp, "rsync_received_bytes_total", `module="mirror"`)

			// The attackers' own: what they wrote last counts for nothing where the daemon's summary followed, and never more than 1 PiB.
			if got := total(s, "rsync_sent_bytes_total", `module="quick"`); got <= 0 || got > float64(sent) {
				t.Errorf("a client that got %d bytes is counted as having been sent %v", sent, got)
			}
			const most = 1 << 50
			if got := total(s, "rsync_exchanged_bytes_total", `module="slow"`); got > 2*2*most {
				t.Errorf("two sessions of %v bytes", got)
			}
			if got := total(s, "rsync_errors_total"); got > 3*4 {
				t.Errorf("%v exit codes of three sessions", got)
			}
			// And every line is there, as what it is: at least those under a daemon's tag that only a forwarder could have written.
			if got := total(s, "rsync_messages_total"); got < float64(forged) {
				t.Errorf("%d lines were forged, and %v messages counted", forged, got)
			}
			if got := total(s, "rsync_messages_total", `kind="implausible"`); got < 20 {
				t.Errorf("%v implausible messages of %d forged ones", got, forged)
			}
			if written != nil {
				e.want(s, float64(written()), "rsyncd_exporter_received_total")
			}
		})
	}
}

// hosts returns the host label's values: the machine's own name stands in a forwarder's header.
func hosts() []string {
	name, err := os.Hostname()
	if err != nil {
		return []string{""}
	}
	short, _, _ := strings.Cut(name, ".")
	return []string{"", name, short}
}

// A "connect from" within a session, and what follows it, is a client's text: its process lives, so none other has its pid. A client that
// writes it over and over gains no session, no name, no start of a daemon, and no freshness of anybody's backup.
func TestForgedConnectsGainNothing(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	e, d, _ := hostileInputs[0].start(t, "--modules=mirror,incoming,backup,bait")
	addModules(t, d, "bait", "unused")
	lines := append(forgeries("mirror", "1"), forgeries("unused", "1")...)
	for i := range lines { // sums above 2^53 aren't exact in a scrape
		lines[i] = strings.ReplaceAll(lines[i], "1125899906842624", "1125899906842")
	}
	backup := []string{"connect from localhost (127.0.0.1)", "rsync allowed access on module backup from localhost (127.0.0.1)",
		"rsync to backup/ from alice@localhost (127.0.0.1)", "sent 1 bytes  received 2 bytes  total size 333"}
	traffic(t, d)
	before := total(e.until(6, "rsync_sessions_total"), "rsync_last_success_timestamp_seconds", `user="alice"`)
	const attackers = 3
	for range attackers {
		c := attack(t, d, "bait")
		for _, l := range backup {
			c.Log(t, testenv.MessageInfo, l+"\n")
		}
		for range 30 { // the shortest way to a session, again and again
			for _, l := range []string{lines[0], lines[0], lines[1], lines[4], lines[10]} {
				c.Log(t, testenv.MessageInfo, l+"\n")
			}
			h.forge(t, c, 5, lines)
		}
		c.Start(t)
		c.Finish(t)
	}
	e.until(6+attackers, "rsync_sessions_total") // all that they wrote has been read
	s := e.until(0, "rsync_sessions_active")
	e.want(s, 2, "rsync_sessions_total", `module="backup"`)
	e.want(s, before, "rsync_last_success_timestamp_seconds", `user="alice"`)
	e.want(s, 0, "rsync_last_success_timestamp_seconds", `module="backup"`, `user=""`)
	traffic(t, d)
	e.until(2, "rsync_rejected_total", `module="backup"`, `reason="auth"`)
	e.until(12+attackers, "rsync_sessions_total")
	e.until(0, "rsync_sessions_active")
	s = e.scrapeStrictly(map[string][]string{
		"module": {"", "mirror", "incoming", "backup", "bait"}, "user": {"", "alice"}, "host": {""}, "version": {"3.5.0"},
	})
	e.identities(s)
	e.want(s, 12+attackers, "rsync_connections_total")
	e.want(s, 12+attackers, "rsync_sessions_total")
	e.want(s, 8+attackers, "rsync_executions_total")
	e.want(s, attackers, "rsync_sessions_total", `module="bait"`)
	e.want(s, 4, "rsync_sessions_total", `module="mirror"`)
	e.want(s, 2, "rsync_sessions_total", `module="incoming"`)
	e.want(s, 4, "rsync_sessions_total", `module="backup"`)
	e.want(s, 1, "rsync_daemon_starts_total")
	e.want(s, 0, "rsync_upstream_lost_messages_total")
	if got := total(s, "rsync_messages_total", `kind="implausible"`); got < attackers*61 { // 1 and 60 connects each
		t.Errorf("%v implausible lines, want every forged connect", got)
	}
}

// In a log file nothing but a line feed ends a record, and a client may leave it out. Its text then runs into the next record; but it
// never makes one under a pid of its choosing, not even where rsync's own cut at 2047 bytes would be.
func TestTextWithoutLineEndForgesNoRecord(t *testing.T) {
	t.Parallel()
	e, d, _ := hostileInputs[1].start(t)
	addModules(t, d, "bait")
	traffic(t, d)
	sessions := 2 * 6
	try := func(first, second int) { // lengths of a text without line end and of what stands before the forgery in the next one
		t.Helper()
		c := attack(t, d, "bait")
		c.Log(t, testenv.MessageInfo, strings.Repeat("x", first))
		sessions++
		c.Log(t, testenv.MessageInfo, strings.Repeat("y", second)+
			fmt.Sprintf("2026/11/23 18:40:52 [%d] sent 7777 bytes  received 7777 bytes  total size 7777\n", 100000+sessions))
		c.Start(t)
		c.Finish(t)
	}
	for header := len("2026/11/23 18:40:52 [1] "); header <= len("2026/11/23 18:40:52 [1234567] "); header++ {
		for _, first := range []int{0, 1, 1000, 2047 - header} {
			try(first, 2047-header-first)
		}
	}
	traffic(t, d)
	s := e.until(float64(sessions), "rsync_sessions_total")
	e.want(s, 2, "rsync_sessions_total", `module="mirror"`, `outcome="ok"`)
	e.want(s, 2, "rsync_sessions_total", `module=""`) // nothing but the unknown modules
	e.want(s, 0, "rsync_exchanged_bytes_total", `module=""`)
}
