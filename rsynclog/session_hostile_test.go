package rsynclog_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/rsynclog"
)

// A client makes no daemon start, however many others connect meanwhile and however long it stays.
func TestAForgedDaemonStartIsNeverBelieved(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(fmt.Sprintf("%d connect from evil (10.6.6.6)\n%[1]d rsync on bait/ from evil (10.6.6.6)", attackerPID))
	for pid := range int32(300) {
		b.say(fmt.Sprintf("%d rsyncd version 6.6.6 starting, listening on port 873\n%d connect from localhost (127.0.0.1)", attackerPID, 1000+pid))
	}
	b.want("implausible", b.book.implausible, 300)
	b.say("+48h\n +48h")
	b.say(fmt.Sprintf("%d rsyncd version 6.6.6 starting, listening on port 873", attackerPID))
	b.want("implausible, after its session has been forgotten", b.book.implausible, 301)
}

// attackerLines are what a client that was let in can have its daemon log: every line there is, and those that would gain something.
var attackerLines = func() (lines []string) {
	for _, e := range readExamples() {
		lines = append(lines, e.Text)
	}
	for _, l := range []string{
		"connect from evil (10.6.6.6)",
		"connect from 127.0.0.1",
		"rsync to backup/ from alice@127.0.0.1",
		"rsync allowed access on module evil from evil (10.6.6.6)",
		"rsync allowed access on module data from evil (10.6.6.6)",
		"rsync on data/ from eve@localhost (127.0.0.1)",
		"rsync to backup/ from alice@localhost (127.0.0.1)",
		"send localhost [127.0.0.1] data () forged 999999999999",
		"sent 1125899906842624 bytes  received 1125899906842624 bytes  total size 1125899906842624",
		"sent 1152921504606846976 bytes  received 1152921504606846976 bytes  total size 1152921504606846976",
		"rsync error: unexplained error (code 255) at main.c(1) [Receiver=6.6.6]",
		"auth failed on module data from evil (10.6.6.6) for eve: password mismatch",
		"rsyncd version 6.6.6 starting, listening on port 873",
		"imuxsock lost 4000000 messages from pid 1 due to rate-limiting",
	} {
		lines = append(lines, l, "message repeated 10000 times: [ "+l+"]")
	}
	return lines
}()

// innocentLines are the sessions of others, by pid: pulls, pushes of which one fails, refusals, one that says nothing at its end.
var innocentLines = [][]string{
	{"connect from localhost (127.0.0.1)", "rsync allowed access on module data from localhost (127.0.0.1)",
		"rsync on data/ from localhost (127.0.0.1)", "building file list", "send localhost [127.0.0.1] data () a 6",
		"sent 10 bytes  received 20 bytes  total size 30"},
	{"connect from localhost (127.0.0.1)", "rsync allowed access on module backup from localhost (127.0.0.1)",
		"rsync to backup/ from alice@localhost (127.0.0.1)", "receiving file list", "recv localhost [127.0.0.1] backup (alice) b 7",
		"del. localhost [127.0.0.1] backup (alice) c 0", "sent 11 bytes  received 21 bytes  total size 31"},
	{"connect from localhost (127.0.0.1)", "rsync allowed access on module backup from localhost (127.0.0.1)",
		"rsync to backup/ from bob@localhost (127.0.0.1)", "receiving file list", "recv localhost [127.0.0.1] backup (bob) b 7",
		"rsync error: error in file IO (code 11) at receiver.c(657) [receiver=3.5.0]",
		"rsync error: error in rsync protocol data stream (code 12) at io.c(1) [generator=3.5.0]"},
	{"connect from localhost (127.0.0.1)", "unknown module 'x' tried from localhost (127.0.0.1)"},
	{"connect from localhost (127.0.0.1)", "module-list request from localhost (127.0.0.1)"},
	{"connect from localhost (127.0.0.1)", "rsync allowed access on module data from localhost (127.0.0.1)", "max connections (1) reached"},
	{"connect from localhost (127.0.0.1)", "rsync allowed access on module data from localhost (127.0.0.1)",
		"rsync on data/ from localhost (127.0.0.1)", "building file list", "send localhost [127.0.0.1] data () a 6"},
}

const attackerPID = 666

// A client whose session has ended, as it seems, asks for what another was just granted: that one's session stays its own.
func TestAForgedStartTakesNobodysSession(t *testing.T) {
	parser := mustParser(t, rsynclog.DefaultLogFormat)
	s := newSessions(rsynclog.DefaultLimits())
	o := originOf(s, 0, "")
	now := int64(time.Hour)
	for _, l := range []struct {
		pid  int32
		text string
	}{
		{attackerPID, "connect from evil (10.6.6.6)"},
		{attackerPID, "rsync allowed access on module bait from evil (10.6.6.6)"},
		{attackerPID, "rsync on bait/ from evil (10.6.6.6)"},
		{attackerPID, "sent 1 bytes  received 2 bytes  total size 3"},
		{0, "time passes"},
		{7, "connect from localhost (127.0.0.1)"},
		{7, "rsync allowed access on module data from localhost (127.0.0.1)"},
		{attackerPID, "rsync on data/ from eve@localhost (127.0.0.1)"},
		{7, "rsync on data/ from localhost (127.0.0.1)"},
	} {
		if l.pid == 0 {
			now += int64(time.Minute)
			tickAll(s, now)
			continue
		}
		ev := rsynclog.Event{Severity: -1}
		parser.Parse([]byte(l.text), &ev)
		applyAt(s, o, l.pid, now, &ev)
	}
	if x := s.Session(o, 7); x == nil || x.Module != "data" || !x.ConnectSeen || x.Phase != rsynclog.Running {
		t.Errorf("the other's session is %+v", x)
	}
	if x := s.Session(o, attackerPID); x == nil || x.Module != "bait" || x.User != "" {
		t.Errorf("the attacker's session is %+v", x)
	}
}

// FuzzAttacker plays the sessions of innocentLines with a client's session among them that logs whatever the script says: the even bytes
// go on with the innocents, the odd ones take the attacker's next line, the last ones let time pass. What is counted for the others is
// what is counted where that client logs nothing; what is counted for the attacker is one session, and one for each hour that it waits.
func FuzzAttacker(f *testing.F) {
	innocents := []byte{0, 2, 4, 6, 8, 10, 12}
	forge := func(line int) []byte { return []byte{byte(2*(line&63) + 1), byte(line >> 6)} }
	for i := range attackerLines {
		var script []byte
		for range 12 {
			script = append(append(script, innocents...), forge(i)...)
		}
		f.Add(script)
	}
	// Sessions that were silent for an hour within their first lines.
	f.Add([]byte("\x00\x02\x04\x06\b" + strings.Repeat("\xfe", 31) + "\x02\x04\x06\b\n\fG\x00\x00\x02\x04"))
	// The ways to another session, again and again, and time for each to settle or not.
	for _, pause := range [][]byte{nil, {0xf4}} {
		for _, way := range [][]string{
			{"connect from evil (10.6.6.6)", "rsync allowed access on module evil from evil (10.6.6.6)", "rsync on data/ from eve@localhost (127.0.0.1)"},
			{"connect from evil (10.6.6.6)", "connect from evil (10.6.6.6)", "rsync on data/ from eve@localhost (127.0.0.1)"},
			{"message repeated 10000 times: [ connect from evil (10.6.6.6)]", "rsync on data/ from eve@localhost (127.0.0.1)"},
			{"rsync to backup/ from alice@localhost (127.0.0.1)"},
		} {
			var script []byte
			for i := range 32 {
				if i == 0 { // an odd number of gained sessions, then an even one each
					script = append(append(script, forge(slices.Index(attackerLines, way[0]))...), forge(slices.Index(attackerLines, way[len(way)-1]))...)
				}
				for _, l := range append(way, "sent 1125899906842624 bytes  received 1125899906842624 bytes  total size 1125899906842624") {
					script = append(script, forge(slices.Index(attackerLines, l))...)
				}
				script = append(script, pause...)
				script = append(script, innocents[:i%len(innocents)]...)
			}
			f.Add(script)
		}
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		alone, _ := playAttack(t, script, false)
		beside, own := playAttack(t, script, true)
		if !maps.Equal(alone, beside) {
			for k, v := range beside {
				if alone[k] != v {
					t.Errorf("%s: %d beside the attacker, %d without", k, v, alone[k])
				}
			}
			for k, v := range alone {
				if beside[k] == 0 {
					t.Errorf("%s: 0 beside the attacker, %d without", k, v)
				}
			}
		}
		gained := map[string]uint64{}
		for k, v := range own {
			gained[strings.Fields(k)[0]] += v
			if strings.Contains(k, "evil") || strings.Contains(k, "eve") || strings.Contains(k, "alice") {
				t.Errorf("a name that the attacker wrote is a label: %s", k)
			}
		}
		waited, pebi := time.Duration(0), uint64(1<<50)
		for _, b := range script {
			if b >= 0xf0 {
				waited += time.Second << ((b & 15) / 2)
			}
		}
		most := 1 + uint64(waited/time.Hour)
		for kind, limit := range map[string]uint64{"connected": most, "executed": most, "ended": most, "daemon": 0, "lost": 0, "listed": most,
			"rejected": most, "exited": 4 * most, "sent": most * pebi, "received": most * pebi, "total": most * pebi, "length": most * pebi} {
			if gained[kind] > limit {
				t.Errorf("the attacker gains %s: %d, more than %d", kind, gained[kind], limit)
			}
		}
	})
}

// playAttack returns the books of the innocents, and those of the attacker by kind, session by session only where it can't be avoided.
func playAttack(t *testing.T, script []byte, attack bool) (innocents, own map[string]uint64) {
	parser := mustParser(t, rsynclog.DefaultLogFormat)
	s := newSessions(rsynclog.DefaultLimits(), "bait")
	o := originOf(s, 0, "")
	now := int64(time.Hour)
	innocents, own = map[string]uint64{}, map[string]uint64{}
	attacker := false // whose line is played
	count := func(changes []rsynclog.Change) {
		for _, c := range changes {
			books, who := innocents, ""
			if c.Session == nil && attacker || c.Session != nil && c.Session.PID == attackerPID {
				books = own
			}
			if c.Session != nil {
				who = fmt.Sprintf(" %q %s", c.Session.Module, c.Session.User)
			}
			switch c.Kind {
			case rsynclog.Connected:
				books["connected"] += c.N
			case rsynclog.Executed:
				books["executed"+who] += c.N
			case rsynclog.FileMoved:
				books["file "+c.Op.String()+who] += c.N
				books["length "+c.Op.String()+who] += c.Length
			case rsynclog.FileFailed:
				books[fmt.Sprintf("failed %d%s", c.Errno, who)] += c.N
			case rsynclog.Exited:
				books[fmt.Sprintf("exited %d%s", c.Code, who)] += c.N
			case rsynclog.TurnedAway:
				books["rejected "+c.Reason.String()+who] += c.N
			case rsynclog.Listed:
				books["listed"] += c.N
			case rsynclog.DaemonStarted:
				books["daemon "+c.Version] += c.N
			case rsynclog.LostByRelay:
				books["lost"] += c.N
			case rsynclog.Ended, rsynclog.Amended:
				if c.Kind == rsynclog.Ended {
					books["ended "+c.Session.Outcome.String()+who] += c.N
					books["took"+who] += uint64(c.Session.LastSeen - c.Session.FirstSeen)
				}
				books["sent"+who] += c.Sent
				books["received"+who] += c.Received
				books["total"+who] += c.Total
			}
		}
	}
	apply := func(pid int32, line string) {
		ev := rsynclog.Event{Severity: -1}
		parser.Parse([]byte(line), &ev)
		if ev.Kind == rsynclog.LostUpstream {
			return // the pipeline's: under a daemon's tag it is a client's
		}
		attacker = pid == attackerPID
		changes, _ := applyAt(s, o, pid, now, &ev)
		count(changes)
		attacker = false
	}
	// What the daemon itself says of the client is in both: from it the origin learns which daemon it is.
	for _, l := range []string{"connect from localhost (127.0.0.1)", "rsync allowed access on module bait from localhost (127.0.0.1)",
		"rsync on bait/ from localhost (127.0.0.1)"} {
		apply(attackerPID, l)
	}
	at := make([]int, len(innocentLines))
	for i := 0; i < len(script); i++ {
		b := script[i]
		switch {
		case b >= 0xf0:
			now += int64(time.Second) << ((b & 15) / 2)
			attacker = true // a session that only expires hides no connection but a forged one
			count(tickAll(s, now))
			attacker = false
		case b%2 == 0:
			n := int(b/2) % len(at)
			if at[n] < len(innocentLines[n]) {
				apply(int32(100+n), innocentLines[n][at[n]])
				at[n]++
			}
		case attack && i+1 < len(script):
			i++
			apply(attackerPID, attackerLines[(int(b/2)+int(script[i])<<6)%len(attackerLines)])
		default:
			i++
		}
	}
	for range 2 {
		now += int64(100 * 24 * time.Hour)
		attacker = true
		count(tickAll(s, now))
	}
	none := func(_ string, n uint64) bool { return n == 0 }
	maps.DeleteFunc(innocents, none)
	maps.DeleteFunc(own, none)
	return innocents, own
}

// rsync 3.5.0 writes U+2603 into its file as \xe2\#230\#203; the settings have it as it is.
func TestModulesAreKnownAsALogFileHasThem(t *testing.T) {
	s := newSessions(rsynclog.DefaultLimits(), "snow☃")
	o := originOf(s, 1, "")
	for name, want := range map[string]bool{"snow☃": true, "snow\xe2\\#230\\#203": true, "snow\xe2\\#230\\#204": false, "snow": false} {
		if m, ok := s.ModuleNamed(o, name); ok != want || ok && m != "snow☃" {
			t.Errorf("%q is %q, %t", name, m, ok)
		}
	}
}

// Before 3.2 a module is known by the request; a forged "allowed access" doesn't make a daemon one of 3.2, which
// names them itself.
func TestAForgedAllowedAccessKeepsNoModuleFromBeingKnown(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "data")
	b.say(`
		666 connect from evil (10.6.6.6)
		666 rsync on bait/ from evil (10.6.6.6)
		666 connect from evil (10.6.6.6)
		666 rsync allowed access on module x from evil (10.6.6.6)
		7 connect from localhost (127.0.0.1)
		7 rsync on data/ from localhost (127.0.0.1)
		7 send localhost [127.0.0.1] data () a.txt 6
		7 sent 9 bytes  received 8 bytes  total size 7
		+2s`)
	b.want("ended", b.book.ended, []string{"data send ok 9/8"})
}

// A session with a post-xfer exec goes on under a new pid. A client that forges one that waits for the same keeps nobody's backup from being seen.
func TestAForgedWaitingSessionIsNobodysBackup(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "backup", "bait")
	b.say(`
		666 connect from evil (10.6.6.6)
		666 rsync allowed access on module bait from evil (10.6.6.6)
		666 rsync on bait/ from evil (10.6.6.6)
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module backup from localhost (127.0.0.1)
		666 connect from localhost (127.0.0.1)
		666 rsync allowed access on module backup from localhost (127.0.0.1)
		8 rsync to backup/ from alice@localhost (127.0.0.1)`)
	s := b.sessions.Session(b.host, 8)
	if s == nil || s.Doubted || s.User != "alice" {
		t.Errorf("the backup's session is %+v", s)
	}
}

// However many hosts a sender makes up, the names that they teach are bounded.
func TestModulesOfAllHostsTogetherAreBounded(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	for host := range 64 {
		b.host = originOf(b.sessions, 0, fmt.Sprintf("vm%d", host))
		for m := range rsynclog.MaxModules {
			b.say(fmt.Sprintf("7 connect from localhost (127.0.0.1)\n7 rsync denied on module m%d from localhost (127.0.0.1)", m))
		}
	}
	total := 0
	for _, o := range b.sessions.Origins() {
		total += len(o.Modules)
	}
	if total > rsynclog.MaxNames {
		t.Errorf("%d names are kept", total)
	}
}

// A client whose session is forgotten writes a receiver's error: no upload with a lower pid fails by it.
func TestAForgottenClientFailsNobodysUpload(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		90 connect from localhost (127.0.0.1)
		90 rsync allowed access on module backup from localhost (127.0.0.1)
		90 rsync to backup/ from alice@localhost (127.0.0.1)
		90 receiving file list` + push(100, "pub", "eve") + `
		+2s
		+2h
		100 rsync error: error in socket IO (code 10) at io.c(949) [receiver=3.5.0]
		+2s
		90 sent 1 bytes  received 2 bytes  total size 3
		+2s`)
	b.want("ended", b.book.ended, []string{"pub receive ok 10/20", "backup receive ok 1/2"})
}

// A client that was let in and asks for nothing writes what a daemon logs before it lets anybody in.
func TestNobodyIsTurnedAwayThatWasLetIn(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say("666 connect from evil (10.6.6.6)\n666 rsync allowed access on module pub from evil (10.6.6.6)")
	for _, l := range []string{
		"module-list request from evil (10.6.6.6)", "unknown module 'x' tried from evil (10.6.6.6)", "rsync denied on module pub from evil (10.6.6.6)",
	} {
		b.say("666 " + l)
	}
	b.want("implausible", b.book.implausible, 3)
	b.want("ended", b.book.ended, []string{})
}

// The daemon of a download writes no file. So a client that may only read makes no full disk, under whatever role; a
// client that may write can fill it.
func TestADownloadFindsNoDiskFull(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	for pid, start := range map[int]string{600: "rsync on pub/ from evil (10.6.6.6)", 601: "rsync to pub/ from evil (10.6.6.6)"} {
		b.say(fmt.Sprintf("%d connect from evil (10.6.6.6)\n%[1]d rsync allowed access on module pub from evil (10.6.6.6)\n%[1]d %s", pid, start))
	}
	for _, role := range []string{"", "[sender] ", "[Sender] ", "[receiver] "} {
		for _, why := range []string{"No space left on device (28)", "Disk quota exceeded (122)"} {
			b.say(fmt.Sprintf(`600 rsync: %swrite failed on "/x" (in pub): %s`, role, why))
		}
	}
	b.want("file errors of the download", b.book.fileErrors, 0)
	b.want("implausible", b.book.implausible, 8)
	b.say(`601 rsync: [receiver] write failed on "/x" (in pub): No space left on device (28)
		600 rsync: [sender] send_files failed to open "/x" (in pub): Permission denied (13)`)
	b.want("file errors", b.book.fileErrors, 2)
	b.want("implausible", b.book.implausible, 8)
}
