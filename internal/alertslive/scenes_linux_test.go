package alertslive

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

const day = 24 * time.Hour

// scenes has one for each condition that an alert is for, or for several that don't disturb each
// other.
var scenes = []func(t *testing.T, s *scene){
	ordinary, stopped, frozen, senders, oneName, otherFormat, fullDisk, fullSessionLog, files, socket, certificates,
	saturation, trouble, smallModule, abuse, backupsMissing, backupsChanged, restarts,
}

// ordinary is a quiet life with everything that can be configured: no alert fires.
func ordinary(t *testing.T, s *scene) {
	s.name = "ordinary"
	pki := t.TempDir()
	ca := testpki.NewCA(t, "test CA", testpki.Valid(-time.Hour, 3650*day))
	testpki.WriteTo(t, pki, ca)
	testpki.WritePair(t, pki, "server", ca.Issue(t, testpki.Usage(x509.ExtKeyUsageServerAuth), testpki.Valid(-time.Hour, 365*day)))
	log := filepath.Join(testenv.Dir(t), "rsyncd.log")
	testenv.WriteFile(t, log, "")
	site := s.newSite(t, `
[mirror]
	max connections = 50
[backup]
	auth users = alice
	max connections = 4
`, "--state-dir="+testenv.Dir(t), "--session-log="+filepath.Join(testenv.Dir(t), "sessions"), "--file="+log,
		fmt.Sprintf("--listen-tls=127.0.0.1:%d", testenv.Port(t)), "--tls-cert="+pki+"/server.pem",
		"--tls-key="+pki+"/server.key",
		"--tls-client-ca="+pki+"/ca.pem", "--expect=backup@alice<26h", "--client-groups=here=127.0.0.0/8",
		"--geoip-db="+testenv.WriteNetworks(t, "GeoLite2-Country", map[string]mmdbtype.DataType{"127.0.0.0/8": testenv.Country("XX")}))
	site.offer(t, "mirror", "file", 50_000)
	mine := site.fill(t, "mine", 10_000, 20_000)
	n := 0
	s.step = func() {
		s.every(2*time.Second, func() {
			n++
			site.rsync(t, 0, "-I", site.URL("", "mirror/"), site.pulled())
			site.rsync(t, 0, "--delete", mine, site.URL("alice@", "backup/"))
			stamp := time.Now().Format("2006/01/02 15:04:05")
			appendTo(t, log, fmt.Sprintf("%s [%d] connect from localhost (127.0.0.1)\n%[1]s [%[2]d] rsync allowed access on module old from "+
				"localhost (127.0.0.1)\n%[1]s [%[2]d] rsync on old/ from localhost (127.0.0.1)\n"+
				"%[1]s [%[2]d] sent 100 bytes  received 50 bytes  total size 70\n", stamp, 1000+n))
		})
	}
}

// stopped is an exporter that ends.
func stopped(t *testing.T, s *scene) {
	s.name, s.alerts = "stopped", []string{"RsyncdExporterDown"}
	s.Exporter = testenv.StartExporter(t, nil, "--listen-udp=off", "--listen-unixgram="+filepath.Join(testenv.Dir(t), "log"))
	s.provoke = func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// frozen can't keep up with its socket: the kernel drops.
func frozen(t *testing.T, s *scene) {
	s.name, s.alerts = "frozen", []string{"RsyncdMessagesDropped"}
	udp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	s.Exporter = testenv.StartExporter(t, nil, "--listen-udp="+udp, "--receive-buffer=4KiB")
	to := sender(t, "127.0.0.1", udp)
	s.step = func() {
		if err := s.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			say(to, "h", 7, "module-list request from c (192.0.2.1)")
		}
		if err := s.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
}

// senders are machines: one goes silent, and one sends what is no syslog.
func senders(t *testing.T, s *scene) {
	s.name, s.alerts = "senders", []string{"RsyncdLogSilent", "RsyncdMessagesDiscarded"}
	s.week = map[string]float64{`rsyncd_host:connections:increase1h{host="silent0"}`: 100}
	udp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	s.Exporter = testenv.StartExporter(t, nil, "--listen-udp="+udp, "--geoip-db="+testenv.WriteMMDB(t, "GeoLite2-ASN",
		mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64500)}))
	to := sender(t, "127.0.0.1", udp)
	// They go silent one after the other, each 5 seconds: in the short form each of them is an
	// occasion of some seconds. A busy machine must not make them silent before.
	var provoked atomic.Pointer[time.Time]
	speak := time.NewTicker(250 * time.Millisecond)
	ended, pid := make(chan struct{}), 100
	t.Cleanup(func() { close(ended) })
	go func() {
		for {
			select {
			case <-ended:
				return
			case <-speak.C:
			}
			pid++
			session(to, "speaks", pid)
			for i := range 8 {
				if from := provoked.Load(); from == nil || time.Since(*from) < time.Duration(i)*5*time.Second {
					session(to, fmt.Sprint("silent", i), pid)
				}
			}
		}
	}()
	s.provoke = func() {
		now := time.Now()
		provoked.Store(&now)
		session(to, late, 7)
	}
	s.step = func() {
		for range 20 {
			_, _ = to.Write([]byte("-1 x"))
		}
	}
}

// oneName is two machines with the same name, and one with more names than there is room for. They are addresses of a network of its own, whose
// socket the exporter is passed: loopback addresses are all one machine.
func oneName(t *testing.T, s *scene) {
	s.name, s.alerts = "one name", []string{"RsyncdHostsMixed", "RsyncdLabelOverflow"}
	var listening *os.File
	var one, two net.Conn
	receivertest.InNetworkOfMachines(t, func() {
		l, err := net.ListenUDP("udp4", &net.UDPAddr{})
		if err != nil {
			t.Error(err)
			return
		}
		to := fmt.Sprintf("10.9.9.2:%d", l.LocalAddr().(*net.UDPAddr).Port)
		one, two = sender(t, "10.9.9.1", to), sender(t, "10.9.9.2", to)
		listening = receivertest.Duplicate(t, l, nil)
	})
	if listening == nil {
		t.FailNow() // and it has been told why
	}
	s.Exporter = testenv.StartExporterOn(t, listening, "--listen-udp=off", "--max-series=300")
	pid := 100
	s.step = func() {
		pid++
		session(one, fmt.Sprint("one-of-many-", pid), pid)
		session(one, "twice", pid)
		session(two, "twice", pid)
	}
}

// late is a host whose only session comes when Prometheus has looked at its exporter for a while.
const late = "late"

// otherFormat is a daemon whose log format the exporter doesn't know.
func otherFormat(t *testing.T, s *scene) {
	s.name, s.alerts = "other format", []string{"RsyncdLinesNotUnderstood"}
	site := s.newSite(t, "log format = took %f of %l\n[mirror]\n", "--rsyncd-conf=")
	site.offer(t, "mirror", "file", 5000)
	s.step = func() { site.rsync(t, 0, "-I", site.URL("", "mirror/"), site.pulled()) }
}

// fullDisk has no room for the state.
func fullDisk(t *testing.T, s *scene) {
	s.name, s.alerts = "full disk", []string{"RsyncdStateNotSaved"}
	s.also = []string{"RsyncdLogSilent", "RsyncdSessionStuck"} // /metrics stands still
	onFullDisk(t, s, "--state-dir=")
}

// fullSessionLog has no room for the session log.
func fullSessionLog(t *testing.T, s *scene) {
	s.name, s.alerts = "full session log", []string{"RsyncdSessionLogFailing"}
	onFullDisk(t, s, "--session-log=")
}

// onFullDisk starts an exporter that has a file or directory on a disk, which is full later.
func onFullDisk(t *testing.T, s *scene, flag string) {
	t.Helper()
	disk := testenv.NewSmallDisk(t, "512k")
	udp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	s.Exporter = testenv.StartExporter(t, disk.Within(), "--listen-udp="+udp, flag+filepath.Join(disk.Path, "here"))
	to := sender(t, "127.0.0.1", udp)
	full, pid := false, 100
	s.provoke = func() { full = true }
	s.step = func() {
		if full {
			disk.Fill()
		}
		for range 10 { // of the session log, a page or so
			pid++
			session(to, "h", pid)
		}
	}
}

// files can't be read, are missing, or lose lines.
func files(t *testing.T, s *scene) {
	s.name, s.alerts = "files", []string{"RsyncdFileNotRead", "RsyncdFileLag", "RsyncdFileGap"}
	dir := testenv.Dir(t)
	cut, closed, found := filepath.Join(dir, "cut"), filepath.Join(dir, "closed"), filepath.Join(dir, "found.log")
	pid := 600
	line := func() string {
		pid++
		return fmt.Sprintf("2026/11/23 18:40:54 [%d] connect from localhost (127.0.0.1)\n", pid)
	}
	for _, path := range []string{cut, closed, found} {
		testenv.WriteFile(t, path, line())
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.Exporter = testenv.StartExporter(t, nobody(t), "--listen-udp=off", "--file="+strings.Join([]string{
		cut, closed, filepath.Join(dir, "missing"), filepath.Join(dir, "*.log"),
	}, ","))
	copytruncate := []string{cut, found}
	s.provoke = func() {
		// What a pattern has found is gone, and is read for a day more.
		copytruncate = []string{cut}
		if err := os.Remove(found); err != nil {
			t.Fatal(err)
		}
		// A rotation whose "create" has the wrong owner.
		if err := os.Rename(closed, closed+".1"); err != nil {
			t.Fatal(err)
		}
		testenv.WriteFile(t, closed, line())
		if err := os.Chmod(closed, 0); err != nil {
			t.Fatal(err)
		}
	}
	s.step = func() {
		s.every(time.Second, func() {
			for _, path := range copytruncate {
				if err := os.Truncate(path, 0); err != nil {
					t.Fatal(err)
				}
				appendTo(t, path, line())
			}
		})
	}
}

// nobody is a command that starts a program which may read what everybody may.
func nobody(t *testing.T) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	return []string{testenv.Need(t, "setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=KILL", "--"}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// socket is taken over by another program.
func socket(t *testing.T, s *scene) {
	s.name, s.alerts = "socket", []string{"RsyncdSocketLost"}
	path := filepath.Join(testenv.Dir(t), "log")
	s.Exporter = testenv.StartExporter(t, nil, "--listen-udp=off", "--listen-unixgram="+path)
	s.provoke = func() {
		other, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path + ".new", Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { other.Close() })
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

// certificates expire, and their successors are none.
func certificates(t *testing.T, s *scene) {
	s.name, s.alerts = "certificates", []string{"RsyncdCertificateExpiring", "RsyncdCertificateNotReloaded"}
	pki, port := testpki.Write(t), testenv.Port(t) // for a day
	s.Exporter = testenv.StartExporter(t, nil, "--listen-udp=off", fmt.Sprintf("--listen-tls=127.0.0.1:%d", port),
		"--tls-cert="+pki+"/server.pem", "--tls-key="+pki+"/server.key", "--tls-client-ca="+pki+"/ca.pem")
	s.provoke = func() { testenv.WriteFile(t, pki+"/server.pem", "no certificate\n") }
	s.step = func() { // and somebody doesn't speak TLS
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	}
}

// saturation is two full modules, with clients that stand still.
func saturation(t *testing.T, s *scene) {
	s.name, s.alerts = "saturation", []string{"RsyncdMaxConnectionsReached", "RsyncdMaxConnectionsNear", "RsyncdSessionStuck"}
	site := s.newSite(t, `
[one]
	max connections = 1
	lock file = DIR/lock-one
[five]
	max connections = 5
	lock file = DIR/lock-five
`) // modules that share a lock file share the places, too
	var stuck []*testenv.Process
	for _, module := range []string{"one", "five"} {
		site.offer(t, module, "file", 10_000_000) // more than sockets and pipes hold
	}
	for _, module := range []string{"one", "five", "five", "five", "five", "five"} {
		stuck = append(stuck, site.pull(t, module+"/file"))
	}
	testenv.Until(t, time.Minute, "the sessions to begin", func() bool {
		_, metrics := testenv.Fetch(t, http.DefaultClient, http.MethodGet, "http://"+s.Address+"/metrics")
		return strings.Contains(metrics, `rsync_sessions_active{direction="send",host="",module="five"} 5`) &&
			strings.Contains(metrics, `rsync_sessions_active{direction="send",host="",module="one"} 1`)
	})
	for _, client := range stuck {
		if err := client.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { kill(t, client) })
	}
	s.step = func() {
		site.rsync(t, 5, site.URL("", "one/file"), site.pulled())
		for range 3 {
			knock(t, site.Port, "@RSYNCD: 31.0\none\n")
		}
	}
}

// trouble is clients that are killed, that break the protocol, and files that can't be read.
func trouble(t *testing.T, s *scene) {
	s.name, s.alerts = "trouble", []string{"RsyncdAbortRateHigh", "RsyncdProtocolErrors", "RsyncdFileErrors"}
	site := s.newSite(t, "[mirror]\n[closed]\n")
	site.offer(t, "mirror", "file", 10_000_000)
	site.offer(t, "closed", "file", 5000)
	if err := os.Chmod(filepath.Join(site.Module("closed"), "file"), 0); err != nil {
		t.Fatal(err)
	}
	var before []*testenv.Process
	s.step = func() {
		for _, client := range before {
			kill(t, client)
		}
		before = []*testenv.Process{site.pull(t, "mirror/file"), site.pull(t, "mirror/file")}
		site.rsync(t, 23, site.URL("", "closed/"), site.pulled())
		for range 2 {
			c := testenv.Dial(t, site.Rsyncd)
			c.AskFor(t, "mirror")
			c.Pull(t, "mirror/file")
			c.Send(t, "\xff\xff\xff\xff\xff\xff\xff\xff")
			c.Hangup(t)
		}
	}
}

// kill ends a client, and the process that receives for it.
func kill(t *testing.T, client *testenv.Process) {
	t.Helper()
	select {
	case <-client.Ended():
		return
	default:
	}
	for _, pid := range client.Children(t) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = client.Signal(syscall.SIGKILL)
}

// smallModule has no room for what is pushed.
func smallModule(t *testing.T, s *scene) {
	s.name, s.alerts = "small module", []string{"RsyncdNoSpace"}
	s.also = []string{"RsyncdAbortRateHigh"} // what isn't stored is a session that breaks off
	disk := testenv.NewSmallDisk(t, "256k")
	site := s.newSiteOn(t, disk, "[small]\n\tpath = "+disk.Path+"\n\tuid = 0\n\tgid = 0\n\tuse chroot = no\n")
	mine := site.fill(t, "large", 600_000)
	s.step = func() { s.every(2*time.Second, func() { site.rsync(t, 11, mine, site.URL("", "small/")) }) }
}

// abuse is guesses of passwords and modules, a flood of connections, and more traffic than is paid for.
func abuse(t *testing.T, s *scene) {
	s.name, s.alerts = "abuse", []string{"RsyncdAuthFailures", "RsyncdModuleProbing", "RsyncdConnectFlood", "RsyncdTrafficCap"}
	s.week = map[string]float64{"rsyncd_host:connections:rate5m": 2}
	site := s.newSite(t, "[mirror]\n[private]\n\tauth users = alice\n")
	site.offer(t, "mirror", "file", 20_000_000)
	flood := false
	s.provoke = func() { flood = true }
	var before []*testenv.Client
	s.step = func() {
		for _, c := range before {
			c.Hangup(t)
		}
		before = nil
		for i := range 3 {
			c := testenv.Dial(t, site.Rsyncd)
			c.AskFor(t, "private")
			c.Send(t, "mallory wrong\n") // the daemon thinks for a second
			before = append(before, c)
			c = testenv.Dial(t, site.Rsyncd)
			c.Send(t, fmt.Sprint("module", i, "\n"))
			before = append(before, c)
		}
		for range 50 {
			if flood {
				knock(t, site.Port, "")
			}
		}
		site.rsync(t, 0, "-I", "--whole-file", site.URL("", "mirror/"), site.pulled())
	}
}

// knock connects to a daemon, says something, and hangs up once the daemon has answered: it has no
// more than five wait.
func knock(t *testing.T, port int, say string) {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(say)); err != nil {
		t.Fatal(err)
	}
	if say == "" {
		_, _ = c.Read(make([]byte, 1))
		return
	}
	_, _ = io.Copy(io.Discard, c) // to its end, which may be a reset
}

// backupsMissing expects a backup that came once and no more, and one that never does.
func backupsMissing(t *testing.T, s *scene) {
	s.name, s.alerts = "backups missing", []string{"RsyncdBackupMissing", "RsyncdBackupNeverSeen"}
	site := s.newSite(t, "[backup]\n\tauth users = alice, bob\n", "--expect=backup@alice<3s,backup@bob<3s")
	mine := site.fill(t, "mine", 10_000)
	site.rsync(t, 0, mine, site.URL("alice@", "backup/"))
	s.step = func() {} // it has been looked at how the client ended
}

// backupsChanged are unlike those before: small, slow, and with files deleted.
func backupsChanged(t *testing.T, s *scene) {
	s.name, s.alerts = "backups changed", []string{"RsyncdBackupShrunk", "RsyncdBackupSlow", "RsyncdDeletionsHigh"}
	s.week = map[string]float64{
		`rsyncd_backup:listed_bytes:last{module="small",direction="receive"}`:    200_000,
		`rsyncd_backup:duration_seconds:last{module="slow",direction="receive"}`: 0.2,
		`rsyncd_host_module:deletions:increase6h{module="deleted"}`:              5,
	}
	site := s.newSite(t, "[small]\n[slow]\n[deleted]\n", "--expect=small,slow,deleted")
	const most = 1500
	small, slow, deleted := site.fill(t, "small", 100_000, 100_000), site.fill(t, "slow", 10_000),
		site.fill(t, "deleted", make([]int, most)...)
	left := most
	remove := func(n int) {
		for range n {
			left--
			if err := os.Remove(fmt.Sprint(deleted, "f", left)); err != nil {
				t.Fatal(err)
			}
		}
	}
	push := func() {
		s.every(2*time.Second, func() {
			site.rsync(t, 0, small, site.URL("", "small/"))
			site.rsync(t, 0, "--delete", deleted, site.URL("", "deleted/"))
		})
	}
	began := time.Now()
	s.step = func() {
		if time.Since(began) < 10*time.Second {
			remove(1)
		}
		site.rsync(t, 0, slow, site.URL("", "slow/"))
		push()
	}
	s.provoke = func() {
		if err := os.Remove(small + "f0"); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(small+"f1", 100); err != nil {
			t.Fatal(err)
		}
		remove(most/2 + most/4)
		site.write(t, slow+"f0", 40_000)
		site.rsync(t, 0, "--bwlimit=8", slow, site.URL("", "slow/"))
		s.step = push
	}
}

// restarts is a daemon that is started again and again.
func restarts(t *testing.T, s *scene) {
	s.name, s.alerts = "restarts", []string{"RsyncdDaemonRestarting"}
	site := s.newSite(t, "[mirror]\n")
	text, err := os.ReadFile(site.Conf)
	if err != nil {
		t.Fatal(err)
	}
	s.step = func() {
		s.every(2*time.Second, func() {
			if err := site.Stop(); err != nil && !strings.Contains(err.Error(), "exit status 20") {
				t.Error(err)
			}
			site.Rsyncd = testenv.StartRsyncdConf(t, site.dir, "127.0.0.1", site.socket, string(text))
		})
	}
}
