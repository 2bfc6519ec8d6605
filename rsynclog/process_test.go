package rsynclog_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/rsynclog"
)

// push is a whole backup by a process.
func push(pid int, module, user string) string {
	return fmt.Sprintf(`
		%[1]d connect from client (192.0.2.1)
		%[1]d rsync allowed access on module %[2]s from client (192.0.2.1)
		%[1]d rsync to %[2]s/ from %[3]s@client (192.0.2.1)
		%[1]d receiving file list
		%[1]d recv client [192.0.2.1] %[2]s (%[3]s) a 7
		%[1]d sent 10 bytes  received 20 bytes  total size 30
	`, pid, module, user)
}

// forged is what a client of another module writes to look like alice's backup. What it would move is named by evil.
func forged(pid int) string {
	return fmt.Sprintf(`
		%[1]d connect from evil (10.6.6.6)
		%[1]d rsync allowed access on module backup from evil (10.6.6.6)
		%[1]d rsync to backup/ from alice@evil (10.6.6.6)
		%[1]d receiving file list
		%[1]d sent 1 bytes  received 2 bytes  total size 1099511627776
	`, pid)
}

// A client that asks for no path is let in, but no "rsync on" says so; it can write before its file list. Before 3.2
// no line says that it was let in.
func TestAClientThatAsksForNothingForgesNothing(t *testing.T) {
	for name, begin := range map[string]string{
		"let in":     "666 connect from evil (10.6.6.6)\n666 rsync allowed access on module pub from evil (10.6.6.6)\n",
		"before 3.2": "666 connect from evil (10.6.6.6)\n",
	} {
		b := newTable(t, rsynclog.DefaultLimits(), "backup", "pub")
		if name == "let in" {
			b.say(push(7, "pub", "eve"))
		} else {
			b.say(before32(7, "pub/x", "pub"))
		}
		b.say(begin)
		connected := b.book.connected
		for range 3 {
			b.say("666 connect from evil (10.6.6.6)\n666 rsyncd version 6.6.6 starting, listening on port 873\n+3s")
		}
		b.want(name+": connected", b.book.connected, connected)
		b.want(name+": implausible", b.book.implausible, 6)
		b.say("666 module-list request from evil (10.6.6.6)\n+59m\n666 connect from evil (10.6.6.6)")
		b.want(name+": connected after its end", b.book.connected, connected)
	}
}

// Health checks of a host of which nothing else was heard yet: whatever it is, nobody was let in.
func TestConnectsUnderOnePIDOfAHostThatServesNobody(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	for range 10 {
		b.say("505 connect from localhost (127.0.0.1)")
	}
	b.want("connected", b.book.connected, 10)
}

// FAULTS I1. A client that seems to have ended waits, connects as often as it likes, and writes a backup of somebody
// else's.
func TestAForgedSessionGainsNothingWhateverElseTheClientDoes(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "backup", "pub")
	b.say(push(400, "backup", "alice") + strings.ReplaceAll(pull, "\t7 ", "\t500 ") + `
		500 sent 1 bytes  received 2 bytes  total size 3
		+2s`)
	ended := len(b.book.ended)
	connected := b.book.connected
	const own = 3000 // connections that it opens and closes
	for i := range own {
		b.say(fmt.Sprintf("%d connect from evil (10.6.6.6)", 510+i))
		if i%100 == 0 {
			b.say(forged(500))
		}
	}
	b.say("500 rsyncd version 6.6.6 starting, listening on port 873" + forged(500) + "+59m")
	b.say(forged(500) + "+3s")
	b.want("connected", b.book.connected, connected+own)
	b.want("executed", b.book.executed, 2)
	for _, e := range b.book.ended[ended:] {
		if e != "  unknown 0/0" {
			t.Errorf("a session that never was: %s", e)
		}
	}
	// Each of 32 attempts: connect, access and start are refused; the file list and the summary are the ended
	// session's own.
	b.want("implausible", b.book.implausible, 32*3+1)
}

// The one fallback: an hour after its end a session's pid is believed to be another's, and that proves nobody's backup.
func TestAnHourAfterItsEndAPidIsDoubtful(t *testing.T) {
	for _, c := range []struct {
		pause string // after the session has ended, which takes two seconds
		want  string
	}{{"+59m", "refused"}, {"+1h", "doubtful"}, {"+30h", "doubtful"}} {
		b := newTable(t, rsynclog.DefaultLimits(), "backup")
		b.say(push(7, "backup", "alice") + "+2s\n" + c.pause + push(7, "backup", "bob"))
		s := b.sessions.Session(b.host, 7)
		got := "refused"
		if b.book.connected == 2 {
			got = map[bool]string{true: "doubtful", false: "believed"}[s.Doubted]
		}
		b.want(c.pause, got, c.want)
		if got == "doubtful" && s.User != "" {
			t.Errorf("%s: a doubtful session has the user %q", c.pause, s.User)
		}
	}
}

// Whoever keeps talking has not ended an hour ago.
func TestAClientThatKeepsTalkingGetsNoSession(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(forged(7)), "\n")
	for _, says := range []string{forged(7), lines[0], lines[1], lines[2]} { // all of it, or only what is refused
		b := newTable(t, rsynclog.DefaultLimits(), "backup", "pub")
		b.say(push(7, "pub", "eve"))
		for range 100 {
			b.say("+50m\n" + says)
		}
		b.say(forged(7))
		b.want(says+": connected", b.book.connected, 1)
		b.want(says+": executed", b.book.executed, 1)
	}
}

// FAULTS I2. A container, or cron, starts a daemon in a fresh pid namespace again and again.
func TestTheSamePidsAfterEachDaemonStart(t *testing.T) {
	const silent = `
		%[1]d connect from client (192.0.2.1)
		%[1]d rsync allowed access on module backup from client (192.0.2.1)
		%[1]d rsync to backup/ from alice@client (192.0.2.1)
		%[1]d receiving file list
	`
	for name, session := range map[string]string{
		"one":    push(9, "backup", "alice"),
		"two":    push(9, "backup", "alice") + push(11, "backup", "bob"),
		"silent": fmt.Sprintf(silent, 9),
	} {
		b := newTable(t, rsynclog.DefaultLimits())
		sessions := strings.Count(session, "connect from")
		for range 30 {
			b.say("1 rsyncd version 3.2.7 starting, listening on port 873\n" + session + "\n1 sent 0 bytes  received 0 bytes  total size 0")
		}
		if s := b.sessions.Session(b.host, 9); s.Doubted || s.User != "alice" {
			t.Errorf("%s: the last session is %+v", name, s)
		}
		b.say("+16m")
		b.want(name+": connected", b.book.connected, 30*sessions)
		b.want(name+": executed", b.book.executed, 30*sessions)
		b.want(name+": implausible", b.book.implausible, 0)
		ended := 30 * sessions
		if name == "silent" {
			ended = 29 // the last one may be silent for a day
		}
		b.want(name+": ended", len(b.book.ended), ended)
	}
}

// FAULTS I3. A push that never ended, thousands of others, with which pids wrap, and then another user's push under
// its pid.
func TestPidsWrapOverASessionThatNeverEnded(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "backup")
	b.say(strings.Replace(push(100, "backup", "alice"), "100 sent", "0 unsaid", 1))
	for i := range 3000 {
		b.say(fmt.Sprintf("%d connect from localhost (127.0.0.1)\n%[1]d module-list request from localhost (127.0.0.1)", (200+11*i)%32768))
	}
	b.say(push(100, "backup", "bob"))
	s := b.sessions.Session(b.host, 100)
	if s.Doubted || s.User != "bob" {
		t.Errorf("bob's session is %+v", s)
	}
	b.want("connected", b.book.connected, 3002)
	b.want("the silent one", b.book.ended[len(b.book.ended)-1], "backup receive partial 0/0")
	b.want("implausible", b.book.implausible, 0)
}

// A NAS with few pids, of which rsyncd has one for each of thirty pushes a day: that they wrap can't be seen. A push is
// doubtful if its pid was another's a week or two before.
func TestAYearOfWrappingPidsLeavesFewDoubts(t *testing.T) {
	const perDay, days, pids = 30, 365, 32768 - rsynclog.Reserved
	r, f := rand.New(rand.NewPCG(testenv.Seed(t), 0)), newFeed(t)
	doubted := 0
	for i := range perDay * days {
		pid, at := rsynclog.Reserved+r.Int32N(pids), time.Duration(i)*24*time.Hour/perDay
		f.at(at, at, pid, connects, allows, starts, sums)
		if i >= perDay*(days-73) && f.sessions.Session(f.host, pid).Doubted {
			doubted++
		}
	}
	// One to two weeks' sessions, 210 to 420, have a bit of 32,468: about 1 %. For ever, it was a quarter.
	const last = perDay * 73
	t.Logf("of the last %d sessions, %d are doubtful", last, doubted)
	if doubted == 0 || doubted > last*3/100 {
		t.Error("they should be about 1 %")
	}
}

// FAULTS I4. Where pids are handed out at random, low ones prove nothing.
func TestRandomPidsRaiseNoLife(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "backup", "pub")
	b.say(push(500, "pub", "eve") + "+2s")
	pid := uint32(1)
	for range 5000 {
		pid = pid*1664525 + 1013904223 // Numerical Recipes' generator
		b.say(fmt.Sprintf("%d connect from localhost (127.0.0.1)", 1000+pid>>16%30000))
	}
	executed := b.book.executed
	b.say(forged(500))
	b.want("executed", b.book.executed, executed)
	if b.host.Life.Number > 1 {
		t.Errorf("pids are in life %d", b.host.Life.Number)
	}
}

// FAULTS I5. Fifty sessions, a power cut, and the daemon starts: the fifty are over after fifteen silent minutes.
func TestSessionsBeforeADaemonsStart(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	for pid := range 50 {
		b.say(strings.Replace(push(2000+pid, "backup", "alice"), fmt.Sprintf("%d sent", 2000+pid), "0 unsaid", 1))
	}
	b.say("+5h\n 800 rsyncd version 3.2.7 starting, listening on port 873" + push(900, "backup", "alice") + "+14m59s")
	b.want("ended before fifteen minutes", len(b.book.ended), 1)
	b.say("2007 recv client [192.0.2.1] backup (alice) b 7\n +1s")
	b.want("ended after them", len(b.book.ended), 50) // one of the fifty goes on, and the new one is over
	active := 0
	b.sessions.Active(func(*rsynclog.Session) { active++ })
	b.want("active", active, 1)
	b.say("2007 sent 10 bytes  received 20 bytes  total size 30\n +2s")
	b.want("the one that went on", b.book.ended[50], "backup receive ok 10/20")
}

// A silent upload goes on across its daemon's restart, and is over after a quarter of an hour, as it seems. Its last line
// still says that the backup came.
func TestASilentUploadAcrossADaemonsRestart(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "backup")
	b.say(`
		90 connect from client (192.0.2.1)
		90 rsync allowed access on module backup from client (192.0.2.1)
		90 rsync to backup/ from alice@client (192.0.2.1)
		90 receiving file list
		+20m
		100 rsyncd version 3.5.0 starting, listening on port 873
		+16m`)
	b.want("ended", b.book.ended, []string{"backup receive partial 0/0"})
	b.say("90 sent 10 bytes  received 20 bytes  total size 30")
	b.want("amended", b.book.amended, []string{"10/20"})
	b.want("resumed", b.book.resumed, []string{"backup receive ok after 36m0s"})
}

// Of a client that says nothing for two weeks its pid is forgotten; not of one that goes on.
func TestASilentClientsPidIsForgottenInTheEnd(t *testing.T) {
	for pause, doubted := range map[string]bool{"+160h": true, "+340h": false} {
		b := newTable(t, rsynclog.DefaultLimits(), "backup", "pub")
		b.say(push(500, "pub", "eve") + "+2h\n +2h\n" + pause + push(510, "pub", "eve") + "+1h" + push(500, "backup", "bob"))
		if s := b.sessions.Session(b.host, 500); s.Doubted != doubted {
			t.Errorf("after %s its session is %+v", pause, s)
		}
	}
	b := newTable(t, rsynclog.DefaultLimits(), "backup", "pub")
	b.say(push(500, "pub", "eve"))
	for range 10 {
		b.say("+100h\n 500 rsync error: unexplained error (code 255) at main.c(1) [sender=3.5.0]")
	}
	if !b.sessions.Talks(b.host, 500) {
		t.Error("it is forgotten, though it goes on")
	}
}

// The daemon is started anew under a client that stays: it logs on, or says nothing until it forges a backup.
func TestADaemonsStartFreesNoPidOfAClientThatStays(t *testing.T) {
	for name, meanwhile := range map[string]string{"it logs on": "500 recv evil [10.6.6.6] pub (eve) a 7", "it is silent": ""} {
		b := newTable(t, rsynclog.DefaultLimits(), "backup", "pub")
		b.say("400 rsyncd version 3.5.0 starting, listening on port 873" + strings.Replace(push(500, "pub", "eve"), "500 sent", "0 unsaid", 1))
		b.say("600 rsyncd version 3.5.0 starting, listening on port 873\n" + meanwhile + forged(500))
		s := b.sessions.Session(b.host, 500)
		if s.Module == "backup" && !s.Doubted || s.User == "alice" {
			t.Errorf("%s: its session is %+v", name, s)
		}
		if meanwhile != "" {
			b.want(name+": connected", b.book.connected, 1)
		}
	}
}

// sayAs says lines "pid text" of processes that began at a time that the kernel tells.
func (b *table) sayAs(started uint64, script string) {
	b.t.Helper()
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line != "" {
			pid, text, _ := strings.Cut(line, " ")
			ev := parsed(b.t, text)
			p := rsynclog.Process{Started: started}
			fmt.Sscan(pid, &p.PID)
			changes, believed := b.sessions.Apply(b.host, p, rsynclog.When{Arrived: b.now}, &ev)
			if !believed {
				b.book.implausible++
			}
			b.add(changes)
		}
	}
}

// FAULTS I1, with the kernel's word: it knows each process, whatever its pid was before.
func TestTheKernelKnowsProcesses(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "backup", "pub")
	b.sayAs(1000, push(9, "pub", "eve"))
	b.say("+30h")
	b.sayAs(1000, forged(9))
	b.want("the same process, a day later", b.book.connected, 1)
	b.sayAs(2000, push(9, "backup", "alice"))
	b.want("another process", b.book.connected, 2)
	if s := b.sessions.Session(b.host, 9); s.Doubted || s.User != "alice" {
		t.Errorf("its session is %+v", s)
	}
	b.sayAs(3000, "9 sent 10 bytes  received 20 bytes  total size 30")
	b.say("+2s")
	b.want("a third one, whose connect was lost", len(b.book.ended), 3)
}

// FAULTS I11. Those who only connected make no room by pushing out whom the daemon has let in.
func TestAConnectFloodPushesNobodyOut(t *testing.T) {
	limits := rsynclog.DefaultLimits()
	limits.Sessions = 1000
	b := newTable(t, limits)
	b.say(`
		7 connect from client (192.0.2.1)
		7 rsync allowed access on module backup from client (192.0.2.1)
		7 rsync to backup/ from alice@client (192.0.2.1)
		7 receiving file list
		7 rsync: [receiver] mkstemp "/.x" (in backup) failed: Permission denied (13)`)
	for i := range 3000 {
		b.say(fmt.Sprintf("%d connect from evil (10.6.6.6)", 1000+i))
	}
	b.say("7 recv client [192.0.2.1] backup (alice) b 7\n 7 sent 10 bytes  received 20 bytes  total size 30\n +2s")
	b.want("its session", b.book.ended[len(b.book.ended)-1], "backup receive partial 10/20")
	b.want("evicted", b.sessions.Evicted(), 2001)
}

// A client pushes the memory of its own session out, by as many others as it takes, and then forges one: no pid of a
// client is forgotten.
func TestNoNumberOfSessionsMakesAPidForgotten(t *testing.T) {
	limits := rsynclog.DefaultLimits()
	limits.Sessions = 100
	b := newTable(t, limits, "backup", "pub")
	b.say(push(500, "pub", "eve"))
	for i := range 1000 {
		b.say(push(510+i, "pub", "eve"))
	}
	if b.sessions.Session(b.host, 500) != nil {
		t.Fatal("its session is still remembered")
	}
	b.say(forged(500) + "500 rsyncd version 6.6.6 starting, listening on port 873")
	b.want("connected", b.book.connected, 1001)
	b.want("implausible", b.book.implausible, 6)
	b.say("+61m" + forged(500) + "+2s")
	if s := b.sessions.Session(b.host, 500); s == nil || !s.Doubted {
		t.Errorf("an hour later its session is %+v, want a doubtful one", s)
	}
}

// Sessions in all phases are counted when they end by the thousand, and none is evicted that has had its last line.
func TestEndsKeepUp(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	const sessions = 60_000
	for i := range sessions {
		pid := 1000 + i
		b.say(fmt.Sprintf("%d connect from localhost (127.0.0.1)\n%[1]d rsync on data/ from localhost (127.0.0.1)\n%[1]d sent 1 bytes  received 2 bytes  total size 3", pid))
		if i%1000 == 0 {
			b.now += int64(100 * time.Millisecond)
		}
	}
	b.say("+2s")
	sent := 0
	for _, e := range b.book.ended {
		if !strings.HasSuffix(e, "ok 1/2") {
			t.Fatal(e)
		}
		sent++
	}
	b.want("ended", sent, sessions)
	b.want("evicted", b.sessions.Evicted(), 0)
}

// FAULTS I13. Many hosts, each with many processes that are long gone: the table's memory is that of the sessions
// that it may hold.
func TestManyPidsOfManyHosts(t *testing.T) {
	const hosts, pids, most = 64, 8000, 12 << 20
	limits := rsynclog.DefaultLimits()
	limits.Sessions = 8192
	s := newSessions(limits)
	connect, start := parsed(t, "connect from localhost (127.0.0.1)"), parsed(t, "rsync on data/ from localhost (127.0.0.1)")
	before := heap()
	for h := range hosts {
		o := originOf(s, 0, fmt.Sprint("host", h))
		for pid := range int32(pids) {
			applyAt(s, o, 300+pid, int64(time.Hour), &connect)
			applyAt(s, o, 300+pid, int64(time.Hour), &start)
		}
	}
	if grown := int64(heap() - before); grown > most {
		t.Errorf("%d hosts with %d pids each take %d bytes, more than %d", hosts, pids, grown, most)
	}
	for h := range hosts {
		if o := originOf(s, 0, fmt.Sprint("host", h)); !s.Talks(o, 300) || !s.Talks(o, 300+pids-1) || s.Talks(o, 300+pids) {
			t.Fatalf("host %d: it isn't known whose clients could write", h)
		}
	}
}

// heap returns how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Where the exporter was down after a daemon's start, nobody could be heard: its sessions have their quarter of an
// hour all the same.
func TestTimeWithoutAnExporterEndsNoSessionOfAnotherDaemon(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say("400 rsyncd version 3.5.0 starting, listening on port 873\n500 connect from a (10.0.0.1)\n500 rsync on data/ from a (10.0.0.1)\n" +
		"600 rsyncd version 3.5.0 starting, listening on port 873\n+5m")
	b.restart(rsynclog.DefaultLimits(), time.Hour)
	b.say("+9m")
	b.want("ended", b.book.ended, []string{})
	b.say("+2m")
	b.want("ended in the end", len(b.book.ended), 1)
}

// A client whose process lives across a daemon's restart, and speaks after it, gains nothing at once: the new
// daemon's children have higher pids than its.
func TestARestartOfTheDaemonFreesNoPidBelowIts(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "backup", "pub")
	b.say("400 rsyncd version 3.5.0 starting, listening on port 873" + push(500, "pub", "eve") +
		"+2s\n 600 rsyncd version 3.5.0 starting, listening on port 873\n 500 a word that no daemon says\n")
	b.say(forged(500))
	b.want("connected", b.book.connected, 1)
	b.want("implausible", b.book.implausible, 3)
}

// Beside one daemon another one starts, and a client of the first connects before that has logged its start: the pids
// are those of one machine still.
func TestAnotherDaemonsStartThatIsLoggedLate(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "backup", "pub")
	b.say("400 rsyncd version 3.5.0 starting, listening on port 873" + push(5000, "pub", "eve") +
		"+2s\n 8002 connect from evil (10.6.6.6)\n 8001 rsyncd version 3.5.0 starting, listening on port 8730\n")
	b.say(forged(5000))
	if s := b.sessions.Session(b.host, 5000); s == nil || !s.Doubted {
		t.Errorf("the forged session is %+v, want a doubtful one", s)
	}
}

// A line of a receiver that outlives its generator counts as its session's, though nothing was heard of that one since the
// daemon's start. Who stands behind it is forgotten by the next start all the same.
func TestALineOfAChildHidesNobodyFromADaemonsStart(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	upload := func(pid int) string {
		return fmt.Sprintf("\n%[1]d connect from a (10.0.0.1)\n%[1]d rsync allowed access on module data from a (10.0.0.1)\n"+
			"%[1]d rsync to data/ from a (10.0.0.1)\n%[1]d receiving file list", pid)
	}
	b.say("400 rsyncd version 3.5.0 starting, listening on port 873" + upload(500) + upload(600) +
		"\n700 rsyncd version 3.5.0 starting, listening on port 873" +
		"\n600 recv a [10.0.0.1] data () x 1" +
		"\n501 rsync: [receiver] read error: Connection reset by peer (104)" +
		"\n800 rsyncd version 3.5.0 starting, listening on port 873\n+16m")
	rsynclog.CheckTable(t, b.sessions)
	b.want("sessions that ended in silence", len(b.book.ended), 2)
}
