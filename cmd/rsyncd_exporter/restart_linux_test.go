package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

// FAULTS L12, X6, Q5: the program is restarted again and again while messages come in on sockets that it was passed. Over all lives, what was
// sent is what was counted: by number and by sum. `make torture` does it 500 times.
func TestRestartsOnPassedSocketsLoseNothing(t *testing.T) {
	k := newKeeper(t)
	traffic := startTraffic(t, k.unix, k.udp, k.tcp)
	var got, gotUDP, gotTCP tally
	var discarded, discardedUDP uint64 // on a machine that is too busy for so many messages
	overflow := func(series map[string]float64, input string) uint64 {
		return uint64(total(series, "rsyncd_exporter_discarded_total", `input="`+input+`"`, `reason="overflow"`))
	}
	add := func(series map[string]float64) {
		got, gotUDP, gotTCP = got.plus(tallied(series, "")), gotUDP.plus(tallied(series, "u")), gotTCP.plus(tallied(series, "t"))
		discarded, discardedUDP = discarded+overflow(series, "unixgram"), discardedUDP+overflow(series, "udp")
	}
	for range testenv.Tortured(10, 500) {
		p := k.start()
		testenv.Until(t, time.Minute, "messages on all sockets", func() bool {
			s := p.scrape()
			return tallied(s, "").messages > 300 && tallied(s, "u").messages > 300 && tallied(s, "t").messages > 20
		})
		add(p.lastScrape(p.terminate()))
	}
	p := k.start() // for what is queued, and for those TCP batches that nobody has taken yet
	traffic.stop()
	var s map[string]float64
	defer func() {
		if t.Failed() {
			t.Logf("before the last life: unix %+v of %+v, UDP %+v and %d dropped of %+v, TCP %+v of %+v; the last life: %+v, %+v, %+v", got, traffic.unix.sent,
				gotUDP, k.udpDrops(), traffic.udp.sent, gotTCP, traffic.tcp.sent, tallied(s, ""), tallied(s, "u"), tallied(s, "t"))
		}
	}()
	testenv.Until(t, time.Minute, "the last messages", func() bool {
		s = p.scrape()
		return got.plus(tallied(s, "")).messages+discarded+overflow(s, "unixgram") >= traffic.unix.sent.messages &&
			gotTCP.plus(tallied(s, "t")).messages >= traffic.tcp.sent.messages &&
			gotUDP.plus(tallied(s, "u")).messages+discardedUDP+overflow(s, "udp")+k.udpDrops() >= traffic.udp.sent.messages
	})
	add(s)
	if got.messages+discarded != traffic.unix.sent.messages || discarded == 0 && got != traffic.unix.sent {
		t.Errorf("unix socket: %+v counted and %d discarded, %+v sent", got, discarded, traffic.unix.sent)
	}
	if gotTCP != traffic.tcp.sent {
		t.Errorf("TCP: %+v counted, %+v delivered", gotTCP, traffic.tcp.sent)
	}
	lost := k.udpDrops() + discardedUDP
	if gotUDP.messages+lost != traffic.udp.sent.messages || lost == 0 && gotUDP != traffic.udp.sent {
		t.Errorf("UDP: %+v counted and %d dropped or discarded, %+v sent", gotUDP, lost, traffic.udp.sent)
	}
	t.Logf("unix %+v and %d discarded, UDP %+v and %d dropped or discarded, TCP %+v", got, discarded, gotUDP, lost, gotTCP)
	if _, err := os.Stat(k.unix); err != nil {
		t.Errorf("the passed socket's file: %v", err)
	}
}

// What SIGKILL takes is what the program had read. The queues are its successor's: all of them, and nothing twice.
func TestKillOnPassedSocketsLosesNothingQueued(t *testing.T) {
	k := newKeeper(t)
	w := map[string]*weigher{"": newWeigher(""), "u": newWeigher("u"), "t": newWeigher("t")}
	toUnix, toUDP := dial(t, "unixgram", k.unix), dial(t, "udp", k.udp)
	before := map[string]tally{}
	p := k.start()
	for range testenv.Tortured(3, 200) {
		w[""].send(t, toUnix, 500)
		w["u"].send(t, toUDP, 500)
		toTCP := dial(t, "tcp", k.tcp)
		w["t"].send(t, toTCP, 100)
		toTCP.Close()
		arrive := func() {
			t.Helper()
			testenv.Until(t, time.Minute, "what was sent to be counted", func() bool {
				s := p.scrape()
				for host := range w {
					if tallied(s, host).messages < w[host].sent.messages-before[host].messages {
						return false
					}
				}
				return true
			})
			s := p.scrape()
			for host := range w {
				if got := before[host].plus(tallied(s, host)); got != w[host].sent {
					t.Errorf("host %q: %+v counted, %+v sent", host, got, w[host].sent)
				}
				before[host] = w[host].sent
			}
		}
		arrive()
		p.freeze()
		w[""].send(t, toUnix, 10) // net.unix.max_dgram_qlen is 10 at least, and one more fits
		w["u"].send(t, toUDP, 200)
		toTCP = dial(t, "tcp", k.tcp) // waits to be accepted
		w["t"].send(t, toTCP, 50)
		if err := p.Signal(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-p.Ended()
		p = k.start()
		arrive()
		toTCP.Close()
		for host := range w {
			w[host].sent, before[host] = tally{}, tally{}
		}
		p.endsWell(p.terminate())
		p = k.start()
	}
}

// FACTS 1.2: a session that runs in a chroot can't open /dev/log again. Its messages go on after restarts, since the socket was never closed.
func TestChrootedSessionOutlivesRestarts(t *testing.T) { // not parallel: four lives must begin within the session's five seconds
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		t.Run(unix.SignalName(signal), func(t *testing.T) {
			t.Parallel()
			testChrootedSession(t, signal)
		})
	}
}

func testChrootedSession(t *testing.T, signal unix.Signal) {
	k := newKeeper(t)
	p := k.start()
	d := testenv.StartRsyncd(t, k.unix)
	const files = 600
	lengths := []uint64{5_000} // README, which comes first in the file list
	random := newWeigher("").rand
	for i := range files {
		lengths = append(lengths, 20_000+random.Uint64N(30_000))
		if err := os.WriteFile(filepath.Join(d.Module("mirror"), fmt.Sprintf("file%04d", i)), make([]byte, lengths[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lengths = append(lengths, 300_000) // release.iso, the last
	// Some fifteen seconds: three ends and starts of the exporter take a busy machine long.
	client := testenv.Start(t, exec.Command(testenv.Need(t, "rsync"), "-a", "--timeout=60", "--bwlimit=1500",
		d.URL("", "mirror/"), testenv.Dir(t)))

	var taken tally // by all lives but the last, and only known where they ended well
	for range 3 {
		testenv.Until(t, time.Minute, "messages of the session", func() bool { return tallied(p.scrape(), "").messages > 50 })
		if signal == unix.SIGTERM {
			taken = taken.plus(tallied(p.lastScrape(p.terminate()), ""))
		} else {
			taken = taken.plus(tallied(p.scrape(), ""))
			if err := p.Signal(signal); err != nil {
				t.Fatal(err)
			}
			<-p.Ended()
		}
		p = k.start()
	}
	<-client.Ended()
	if err := client.Stop(); err != nil {
		t.Errorf("rsync: %v: %s", err, client.Output())
	}
	s := p.until(1, "rsync_messages_total", `kind="summary"`)
	last := tallied(s, "")
	if last.messages < 50 {
		t.Fatalf("the session was as good as over when the last life began: the test's files are too few")
	}
	if signal == unix.SIGTERM && taken.messages+last.messages != uint64(len(lengths)) || taken.messages+last.messages > uint64(len(lengths)) {
		t.Errorf("%d transfers counted by earlier lives, %d by the last, of %d", taken.messages, last.messages, len(lengths))
	}
	// Whatever earlier lives have taken, the last one has all the rest: the last so many files.
	var want tally
	for _, length := range lengths[len(lengths)-int(last.messages):] {
		want = want.plus(tally{1, length})
	}
	if last != want {
		t.Errorf("the last life counted %+v, the last %d files are %+v", last, want.messages, want)
	}
	p.want(s, 0, "rsync_connections_total")
}

// A passed socket for TLS, with a client that needs a certificate: connections wait over a restart, here in the middle of a handshake.
func TestPassedTLSSocket(t *testing.T) {
	pki := testpki.Write(t)
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	k := newKeeper(t)
	address := listener.Addr().String()
	k.keep("tls", listener, err)
	pair, err := tls.LoadX509KeyPair(pki+"/client.pem", pki+"/client.key")
	if err != nil {
		t.Fatal(err)
	}
	w := newWeigher("t")
	var got tally
	p := k.start(tlsArgs(pki)...)
	for range 3 {
		p.freeze()
		conn := tls.Client(dial(t, "tcp", address), &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true})
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for range 10 {
				line, weight := w.message()
				if _, err := conn.Write(line); err != nil {
					t.Error(err)
				}
				w.add(weight)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Error(err)
			}
		}()
		if err := p.Signal(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-p.Ended()
		p = k.start(tlsArgs(pki)...)
		<-sent
		testenv.Until(t, time.Minute, "the messages", func() bool { return tallied(p.scrape(), "t").messages == 10 })
		got = got.plus(tallied(p.scrape(), "t"))
	}
	if got != w.sent {
		t.Errorf("%+v counted, %+v sent", got, w.sent)
	}
	p.endsWell(p.terminate())
}
