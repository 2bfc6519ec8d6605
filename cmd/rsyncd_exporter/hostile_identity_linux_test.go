package main

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
)

// identityConf has a public module and one that only alice may write to.
const identityConf = `
[pub]
read only = yes
[backup]
auth users = alice
secrets file = DIR/secrets
`

// gauges are the freshness gauges of backups.
var gauges = []string{
	"rsync_last_success_timestamp_seconds", "rsync_last_attempt_timestamp_seconds",
	"rsync_last_session_duration_seconds", "rsync_last_session_listed_bytes",
}

// pushAlice pushes one file of the given size to alice's module.
func (s *site) pushAlice(t *testing.T, size int) {
	t.Helper()
	s.rsync(t, 0, s.scratch(t, size), s.d.URL("alice@", "backup/"))
}

// caughtUp waits until the exporter has read all that the daemon and its sessions have logged, and returns that
// scrape. The client says a line that counts for nothing; so far it has said n of them.
func (s *site) caughtUp(t *testing.T, c *testenv.Client, n int) map[string]float64 {
	t.Helper()
	testenv.Until(t, time.Minute, "the other sessions to end", func() bool { return len(s.d.Children(t)) <= 1 })
	c.Log(t, testenv.MessageInfo, "a word that no daemon says\n")
	return s.until(float64(n), "rsync_messages_total", `kind="unrecognised"`)
}

// connectOnly opens connections one after another, and closes each when the daemon has greeted, which comes
// after its "connect from".
func connectOnly(t *testing.T, d *testenv.Rsyncd, n int) {
	t.Helper()
	for range n {
		c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", d.Port))
		if err != nil {
			t.Fatal(err)
		}
		// The whole greeting: with a rest unread the end would be a reset, which is logged.
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

// moved returns the rsync_ series that differ between two scrapes, each as "series: before -> after". Those
// that hold one of the words are left out.
func moved(before, after map[string]float64, besides ...string) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(after)) {
		excepted := slices.ContainsFunc(besides, func(word string) bool { return strings.Contains(name, word) })
		if was, is := before[name], after[name]; strings.HasPrefix(name, "rsync_") && !excepted && was != is {
			all = append(all, fmt.Sprintf("%s: %v -> %v", name, was, is))
		}
	}
	return all
}

// forgedBackup is a whole push of alice's of 1 TiB, as a daemon would log it.
var forgedBackup = []string{
	"connect from evil (10.6.6.6)",
	"rsync allowed access on module backup from evil (10.6.6.6)",
	"rsync to backup/ from alice@evil (10.6.6.6)",
	"receiving file list",
	"sent 1 bytes  received 2 bytes  total size 1099511627776",
}

// FAULTS I1: a client of a public module seems to have ended, makes as many connections as he likes, and then
// writes a push of alice's into the log. He gains nothing by it, not with a forged start of a daemon, and not
// across a real one, as long as he has spoken since: his process lives, so none other has its pid.
func TestClientForgesNoBackup(t *testing.T) {
	t.Parallel()
	const forgedStart = "rsyncd version 6.6.6 starting, listening on port 873"
	cases := []struct {
		name        string
		first       []string // what the client writes before the forged push
		implausible int      // of his lines, at least
		restart     bool     // the daemon, while he is connected
	}{
		{"plain", nil, 3, false},
		{"after a forged start", []string{forgedStart}, 4, false},
		{"after a real and a forged start", []string{forgedStart}, 4, true},
	}
	for _, by := range []logging{unixSocket, logFile} {
		for _, c := range cases {
			t.Run(string(by)+" "+c.name, func(t *testing.T) {
				t.Parallel()
				s := live(t, by, "127.0.0.1", identityConf)
				s.secrets(t, "alice:"+testenv.Password)
				s.pushAlice(t, 1000)
				s.until(1, "rsync_sessions_total", `module="backup"`, `outcome="ok"`)
				client := attack(t, s.d, "pub")
				client.Log(t, testenv.MessageInfo, "sent 1 bytes  received 2 bytes  total size 3\n")
				s.until(1, "rsync_sessions_total", `module="pub"`)
				connectOnly(t, s.d, 66)
				words := 1
				s.caughtUp(t, client, words)
				if c.restart {
					s.restart(t)
					for range 3 { // his process speaks after the start of the new daemon
						client.Log(t, testenv.MessageInfo, "a word that no daemon says\n")
					}
					words += 3
					connectOnly(t, s.d, 66)
				}
				words++
				before := s.caughtUp(t, client, words)
				s.want(before, float64(s.starts), "rsync_daemon_starts_total")

				for _, line := range append(c.first, forgedBackup...) {
					client.Log(t, testenv.MessageInfo, line+"\n")
				}
				after := s.caughtUp(t, client, words+1)
				s.nothingForged(t, before, after, c.implausible)
				// What he wrote last may settle, and must not count then.
				client.Start(t)
				client.Finish(t)
				s.pushAlice(t, 2000)
				after = s.until(2, "rsync_sessions_total", `module="backup"`, `outcome="ok"`)
				s.want(after, 2, "rsync_sessions_total", `module="backup"`)
				s.want(after, 2, "rsync_executions_total", `module="backup"`)
				s.want(after, 1, "rsync_sessions_total", `module="pub"`)
				s.want(after, 2000, "rsync_last_session_listed_bytes", `module="backup"`)
				s.want(after, 3000, "rsync_listed_bytes_total", `module="backup"`)
				success := func(series map[string]float64) float64 {
					return total(series, "rsync_last_success_timestamp_seconds", `module="backup"`, `user="alice"`)
				}
				if success(after) <= success(before) {
					t.Errorf("alice's last backup is at %v, and was at %v before her second push",
						success(after), success(before))
				}
			})
		}
	}
}

// A client of a public module that asks for no path is let in, but no "rsync on" is logged for it, and it can write
// before its file list.
func TestClientWithoutARequestForgesNoBackup(t *testing.T) {
	t.Parallel()
	s := live(t, logFile, "127.0.0.1", identityConf)
	s.secrets(t, "alice:"+testenv.Password)
	s.pushAlice(t, 1000)
	before := s.until(1, "rsync_sessions_total", `module="backup"`, `outcome="ok"`)
	client := testenv.Dial(t, s.d)
	if answer := client.AskFor(t, "pub"); answer != "@RSYNCD: OK" {
		t.Fatal(answer)
	}
	client.Send(t, "--server\x00--sender\x00-re.\x00.\x00\x00")
	for _, line := range forgedBackup {
		client.Log(t, testenv.MessageInfo, line+"\n")
	}
	s.until(1, "rsync_sessions_total", `module="pub"`)
	after := s.caughtUp(t, client, 1)
	for _, m := range moved(before, after, "rsync_messages_total{", `module="pub"`, "rsync_connections_total", "rsync_client_") {
		t.Errorf("a client's lines moved %s", m)
	}
	s.want(after, 2, "rsync_connections_total")
	s.want(after, 2, "rsync_messages_total", `kind="implausible"`)
}

// restart stops the daemon, whose sessions go on, and starts another one.
func (s *site) restart(t *testing.T) {
	t.Helper()
	if err := s.d.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	testenv.Until(t, time.Minute, "nobody to listen", func() bool { return !testenv.Listening(t, s.d.Port) })
	s.daemon()
}

// nothingForged holds that between two scrapes a client of pub has moved nothing but his own module's series,
// and that so many of his lines at least are implausible.
func (s *site) nothingForged(t *testing.T, before, after map[string]float64, implausible int) {
	t.Helper()
	for _, m := range moved(before, after, "rsync_messages_total{", `module="pub"`) {
		t.Errorf("a client's lines moved %s", m)
	}
	for _, name := range append(gauges, "rsync_executions_total", "rsync_sessions_total") {
		if was, is := total(before, name, `module="pub"`), total(after, name, `module="pub"`); was != is {
			t.Errorf("a client's lines moved %s of his own module from %v to %v", name, was, is)
		}
	}
	doubted := func(series map[string]float64) float64 {
		return total(series, "rsync_messages_total", `kind="implausible"`)
	}
	got := doubted(after) - doubted(before)
	if most := float64(implausible + 2); got < float64(implausible) || got > most {
		t.Errorf("%v implausible lines, want %d to %v: a connect, an access, a start at least", got, implausible, most)
	}
}

// heldSize is more than fits between the daemon and a client that stands still, so that its session stands,
// too. A client with --bwlimit=8000 takes five seconds for it.
const heldSize = 40e6

// FAULTS I11: a flood of connections, more than the table of sessions holds, pushes out none that was let in.
// An upload and a download of which a file failed, and that end after it, are one session each, whose bytes are
// their module's.
func TestConnectFloodBesideFailingSessions(t *testing.T) {
	t.Parallel()
	for _, by := range []logging{unixSocket, logFile} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			s := live(t, by, "127.0.0.1", "[down]\n[up]\n")
			const size = 2000000
			s.failFirst(t, "down", heldSize)
			pulled := s.scratch(t)
			pull := s.start(t, "--bwlimit=8000", s.url("down/"), pulled)
			arriving(t, pull, pulled, "f1")
			kill(t, pull.Pid(), syscall.SIGSTOP)
			pushed := s.scratch(t, 10, size)
			inTheWay := filepath.Join(s.d.Module("up"), "f0", "full") // f0 is to be a file
			if err := os.MkdirAll(inTheWay, 0o755); err != nil {
				t.Fatal(err)
			}
			push := s.start(t, "--bwlimit=250", pushed, s.url("up/"))
			arriving(t, push, s.d.Module("up"), "f1")
			kill(t, push.Pid(), syscall.SIGSTOP)
			s.until(2, "rsync_file_errors_total")
			const flood = 40000 // the table holds 32,768
			s.flood(t, by, flood)
			s.until(flood+2, "rsync_connections_total")
			for _, p := range []*testenv.Process{pull, push} {
				kill(t, p.Pid(), syscall.SIGCONT)
			}
			c := s.counts(t, pull, 23)
			s.counts(t, push, 23)
			got := s.until(size, "rsync_file_bytes_total", `operation="recv"`)
			s.want(got, size, "rsync_file_bytes_total", `operation="recv"`, `module="up"`)
			got = s.until(heldSize, "rsync_file_bytes_total", `operation="send"`)
			s.want(got, heldSize, "rsync_file_bytes_total", `operation="send"`, `module="down"`)
			got = s.until(1, "rsync_sessions_total", `direction="send"`, `outcome="partial"`)
			s.near(got, c.Received, "rsync_sent_bytes_total", `module="down"`)
			s.want(got, 1, "rsync_executions_total", `module="up"`)
			s.want(got, 1, "rsync_executions_total", `module="down"`)
			s.want(got, 1, "rsync_sessions_total", `module="down"`)
			// Nothing says that the upload has ended. It is active still, or has ended once, and nowhere else.
			s.want(got, 1, "rsync_sessions_active", `module="up"`)
			s.want(got, 0, "rsync_sessions_total", `module="up"`)
			s.want(got, 0, "rsync_sessions_total", `module=""`, `direction="receive"`)
			s.want(got, 0, "rsync_sessions_active", `module=""`, `direction="receive"`)
		})
	}
}

// failFirst puts two files into a module, of which the first can't be read by sessions.
func (s *site) failFirst(t *testing.T, module string, size int) {
	t.Helper()
	fill(t, s.d.Module(module), 10, size)
	if err := os.Chmod(filepath.Join(s.d.Module(module), "f0"), 0); err != nil {
		t.Fatal(err)
	}
}

// flood logs connections under pids that nobody has. A real daemon takes minutes for so many, so their lines
// are written for it, to the socket by root, who may speak for others.
func (s *site) flood(t *testing.T, by logging, n int) {
	t.Helper()
	var write func(pid int)
	switch by {
	case unixSocket:
		c := dialDatagram(t, "unixgram", filepath.Join(s.dir, "log"))
		stamp := time.Now().Format(time.Stamp)
		write = func(pid int) {
			_, err := fmt.Fprintf(c, "<30>%s rsyncd[%d]: connect from localhost (127.0.0.1)\n", stamp, pid)
			if err != nil {
				t.Fatal(err)
			}
		}
	case logFile:
		f, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		stamp := time.Now().Format("2006/01/02 15:04:05")
		write = func(pid int) {
			if _, err := fmt.Fprintf(f, "%s [%d] connect from localhost (127.0.0.1)\n", stamp, pid); err != nil {
				t.Fatal(err)
			}
		}
	}
	const beyond = 1 << 22 // pids end there (include/linux/threads.h: PID_MAX_LIMIT)
	for i := range n {
		write(beyond - n + i)
	}
}

// FAULTS I6: containers after one another log into one socket. The kernel gives each pid namespace the number
// of one that has gone, and the daemon gives each session the same pid; every session counts.
func TestContainersInTurnOnOneSocket(t *testing.T) {
	t.Parallel()
	s := liveWith(t, testenv.StartContainedRsyncd, unixSocket, "127.0.0.1", identityConf)
	s.secrets(t, "alice:"+testenv.Password)
	s.pushesInTurn(t, 24)
}

// FAULTS I2: a daemon that is process 1 of its container, started again and again, logs into one file. Its
// sessions have the same pid each time, and every one counts.
func TestContainersInTurnOnOneFile(t *testing.T) {
	t.Parallel()
	s := liveWith(t, testenv.StartContainedRsyncd, logFile, "127.0.0.1", identityConf)
	s.secrets(t, "alice:"+testenv.Password)
	s.pushesInTurn(t, 30)
	if pids := s.connectPIDs(t); len(pids) > 2 {
		t.Errorf("sessions had the pids %v: the containers don't give theirs again", pids)
	}
}

// pushesInTurn has alice push a file of 1,000 bytes once to each of n daemons, of which the first runs, and
// 1,000 more each time.
func (s *site) pushesInTurn(t *testing.T, n int) {
	t.Helper()
	var began time.Time
	listed := 0
	for i := range n {
		if i > 0 {
			s.stopContained(t)
			s.daemon()
		}
		began = time.Now()
		s.pushAlice(t, 1000*(i+1))
		listed += 1000 * (i + 1)
	}
	want := float64(n)
	got := s.until(want, "rsync_sessions_total")
	s.want(got, want, "rsync_sessions_total", `module="backup"`, `direction="receive"`, `outcome="ok"`)
	s.want(got, want, "rsync_connections_total")
	s.want(got, want, "rsync_executions_total", `module="backup"`)
	s.want(got, want, "rsync_daemon_starts_total")
	s.want(got, want, "rsync_files_total", `module="backup"`, `operation="recv"`)
	s.want(got, float64(listed), "rsync_listed_bytes_total", `module="backup"`)
	s.want(got, 0, "rsync_sessions_active")
	s.want(got, 0, "rsync_messages_total", `kind="implausible"`)
	s.freshSince(t, got, began, 1000*n)
}

// freshSince holds that alice's last backup was made since a time and is of the given size.
func (s *site) freshSince(t *testing.T, got map[string]float64, began time.Time, size int) {
	t.Helper()
	at := total(got, "rsync_last_success_timestamp_seconds", `module="backup"`, `user="alice"`)
	if at < float64(began.Unix()-1) {
		t.Errorf("alice's last backup was at %v, want a time since %v", at, began.Unix())
	}
	s.want(got, float64(size), "rsync_last_session_listed_bytes", `module="backup"`, `user="alice"`)
}

// stopContained stops a contained daemon, all of whose processes die with it.
func (s *site) stopContained(t *testing.T) {
	t.Helper()
	testenv.Until(t, time.Minute, "the session to end", func() bool { return len(s.d.Children(t)) == 0 })
	_ = s.d.Stop() // it ends as SIGTERM makes it
}

// connectPIDs returns the pids that connect in the daemon's log file.
func (s *site) connectPIDs(t *testing.T) (pids []string) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		head, _, connects := strings.Cut(line, " connect from ")
		if pid := head[strings.LastIndexByte(head, ' ')+1:]; connects && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// FAULTS I2: the same with pushes that end without a word, since the whole container is killed. Each ends at
// the latest when the next one has its pid; the last push is whole, and the only one that makes anything fresh.
func TestKilledContainersInTurnOnOneFile(t *testing.T) {
	t.Parallel()
	s := liveWith(t, testenv.StartContainedRsyncd, logFile, "127.0.0.1", identityConf)
	s.secrets(t, "alice:"+testenv.Password)
	const killed = 30
	for i := range killed {
		to := s.d.URL("alice@", "backup/"+strconv.Itoa(i)+"/")
		client := s.start(t, "--bwlimit=2000", s.scratch(t, 5*killedSize), to)
		arriving(t, client, filepath.Join(s.d.Module("backup"), strconv.Itoa(i)), "f0")
		kill(t, s.d.Pid(), syscall.SIGKILL)
		if code := client.Wait(t); code == 0 {
			t.Fatal("the client didn't notice")
		}
		<-s.d.Ended()
		s.daemon()
	}
	got := s.until(killed, "rsync_connections_total")
	s.want(got, killed, "rsync_executions_total", `module="backup"`)
	s.want(got, 0, "rsync_sessions_total", `outcome="ok"`)
	s.want(got, 0, "rsync_last_success_timestamp_seconds")
	began := time.Now()
	s.pushAlice(t, 1000)
	got = s.until(1, "rsync_sessions_total", `module="backup"`, `outcome="ok"`)
	s.want(got, killed+1, "rsync_connections_total")
	s.want(got, killed+1, "rsync_executions_total", `module="backup"`)
	s.want(got, killed+1, "rsync_daemon_starts_total")
	s.want(got, killed+1, "rsync_sessions_total", `module="backup"`)
	s.want(got, 0, "rsync_sessions_active")
	s.want(got, 1000, "rsync_listed_bytes_total", `module="backup"`)
	s.want(got, 0, "rsync_messages_total", `kind="implausible"`)
	s.freshSince(t, got, began, 1000)
	if pids := s.connectPIDs(t); len(pids) > 2 {
		t.Errorf("sessions had the pids %v: the containers don't give theirs again", pids)
	}
}

// FAULTS I8: who isn't root speaks for his own process only. He writes a push of alice's under the pid of a
// session that runs, and under one that nobody has; the session is what it was. Under his own pid he is heard,
// as sessions are, which aren't root's either.
func TestAnotherUserOnTheSocket(t *testing.T) {
	t.Parallel()
	s := live(t, unixSocket, "127.0.0.1", identityConf)
	s.secrets(t, "alice:"+testenv.Password)
	s.pushAlice(t, 1000)
	fill(t, s.d.Module("pub"), heldSize)
	mine := s.scratch(t)
	client := s.start(t, "--bwlimit=8000", s.url("pub/"), mine)
	arriving(t, client, mine, "f0")
	kill(t, client.Pid(), syscall.SIGSTOP)
	running := s.onlyChild(t)
	s.until(1, "rsync_sessions_total", `module="backup"`, `outcome="ok"`)
	before := s.until(1, "rsync_sessions_active", `module="pub"`)
	const nobodys = 1<<22 - 1 // the highest pid that Linux can give
	for _, pid := range []int{running, nobodys} {
		s.sayAsNobody(t, fmt.Sprintf("--id=%d", pid), forgedBackup...)
	}
	s.sayAsNobody(t, "-i", "a word that no daemon says")
	after := s.until(1, "rsync_messages_total", `kind="unrecognised"`)
	for _, m := range moved(before, after, "rsync_messages_total{") {
		t.Errorf("another user's lines moved %s", m)
	}
	s.want(after, float64(2*len(forgedBackup)), "rsync_messages_total", `kind="implausible"`)
	s.sayAsNobody(t, "-i", "connect from localhost (127.0.0.1)", "a word that no daemon says")
	after = s.until(2, "rsync_messages_total", `kind="unrecognised"`)
	s.want(after, 3, "rsync_connections_total")

	kill(t, client.Pid(), syscall.SIGCONT)
	c := s.counts(t, client, 0)
	after = s.until(1, "rsync_sessions_total", `module="pub"`)
	s.want(after, 1, "rsync_sessions_total", `module="pub"`, `outcome="ok"`)
	s.near(after, c.Received, "rsync_sent_bytes_total", `module="pub"`)
	s.want(after, heldSize, "rsync_listed_bytes_total", `module="pub"`)
	s.want(after, 1000, "rsync_last_session_listed_bytes", `module="backup"`)
}

// sayAsNobody has logger(1), run as the user 65534, write lines to the exporter's socket under rsyncd's tag.
// The option says under which pid: --id=N, or -i for its own.
func (s *site) sayAsNobody(t *testing.T, option string, lines ...string) {
	t.Helper()
	cmd := exec.Command(testenv.Need(t, "setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups",
		testenv.Need(t, "logger"),
		"--socket="+filepath.Join(s.dir, "log"), "--socket-errors=on", "--tag=rsyncd", "--priority=daemon.info", option)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
}

// FAULTS I7: two machines send messages without a host, and their sessions have one pid at the same time. One's
// backup isn't the other's failure.
func TestTwoSendersWithoutHostAndOnePID(t *testing.T) {
	t.Parallel()
	port := testenv.Port(t)
	e := startExporter(t, fmt.Sprintf("--listen-udp=0.0.0.0:%d", port))
	one, two := otherMachine(t, 1, port), otherMachine(t, 2, port)
	sent := 0
	say := func(c net.Conn, priority int, text string) {
		t.Helper()
		if _, err := fmt.Fprintf(c, "<%d>Nov 23 18:40:52 rsyncd[1234]: %s\n", priority, text); err != nil {
			t.Fatal(err)
		}
		sent++
		e.until(float64(sent), "rsyncd_exporter_received_total", `input="udp"`) // so that their order is this one
	}
	both := func(module string) [4]string {
		return [4]string{"connect from localhost (127.0.0.1)",
			"rsync allowed access on module " + module + " from localhost (127.0.0.1)",
			"rsync to " + module + "/ from alice@localhost (127.0.0.1)", "receiving file list"}
	}
	kept, lost := both("kept"), both("lost")
	for i := range kept {
		say(one, 30, kept[i])
		say(two, 30, lost[i])
	}
	say(two, 28, "rsync: connection unexpectedly closed (1183 bytes received so far) [receiver]")
	say(one, 30, "recv localhost [127.0.0.1] kept (alice) photo 20000")
	say(two, 28, "rsync error: error in rsync protocol data stream (code 12) at io.c(231) [receiver=3.5.0]")
	say(one, 30, "sent 44 bytes  received 20105 bytes  total size 20000")
	s := e.until(2, "rsync_sessions_total")
	e.want(s, 1, "rsync_sessions_total", `module="kept"`, `direction="receive"`, `outcome="ok"`)
	e.want(s, 1, "rsync_sessions_total", `module="lost"`, `direction="receive"`, `outcome="aborted"`)
	e.want(s, 2, "rsync_connections_total")
	e.want(s, 1, "rsync_executions_total", `module="kept"`)
	e.want(s, 1, "rsync_executions_total", `module="lost"`)
	e.want(s, 20000, "rsync_file_bytes_total", `module="kept"`)
	e.want(s, 20105, "rsync_received_bytes_total", `module="kept"`)
	e.want(s, 1, "rsync_errors_total", `module="lost"`, `status_code="12"`)
	e.want(s, 1, "rsync_errors_total")
	e.want(s, 0, "rsync_messages_total", `kind="implausible"`)
	if at := total(s, "rsync_last_success_timestamp_seconds", `module="kept"`, `user="alice"`); at == 0 {
		t.Error("alice's backup of module kept isn't fresh")
	}
}

// otherMachine returns a UDP socket in a network namespace of its own, connected to a port of this one by a cable.
func otherMachine(t *testing.T, number, port int) net.Conn {
	t.Helper()
	ip := testenv.Need(t, "ip")
	keeper := exec.Command(testenv.Need(t, "sleep"), "3600")
	keeper.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	pid := testenv.Start(t, keeper).Pid() // the cable goes with its namespace
	cable := fmt.Sprintf("rx%d.%d", number, os.Getpid()%100000)
	here, there := fmt.Sprintf("10.213.77.%d", 8*number+1), fmt.Sprintf("10.213.77.%d", 8*number+2)
	within := []string{testenv.Need(t, "nsenter"), fmt.Sprintf("--net=/proc/%d/ns/net", pid), ip}
	for _, command := range [][]string{
		{ip, "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(pid)},
		{ip, "address", "add", here + "/30", "dev", cable},
		{ip, "link", "set", cable, "up"},
		append(within, "address", "add", there+"/30", "dev", "eth0"),
		append(slices.Clone(within), "link", "set", "eth0", "up"),
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", command, err, out)
		}
	}
	return dialWithin(t, fmt.Sprintf("/proc/%d/ns/net", pid), fmt.Sprintf("%s:%d", here, port))
}

// dialWithin opens a UDP socket in a network namespace, which it stays in.
func dialWithin(t *testing.T, namespace, address string) net.Conn {
	t.Helper()
	var c net.Conn
	var err error
	testenv.OnThrownThread(func() {
		var ns *os.File
		if ns, err = os.Open(namespace); err != nil {
			return
		}
		defer ns.Close()
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
			c, err = net.Dial("udp4", address)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
