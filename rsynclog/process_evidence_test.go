package rsynclog_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"rsyncd_exporter/rsynclog"
)

// A session that was counted for its silence is remembered for a day. Its client may have written, so that its
// pid is no more certain an hour later than that of one whose end was seen.
func TestAnHourAfterItLapsedASessionsPidIsDoubtful(t *testing.T) {
	for _, c := range []struct{ pause, want string }{{"+59m", "refused"}, {"+1h", "doubtful"}, {"+20h", "doubtful"}} {
		b := newTable(t, rsynclog.DefaultLimits(), "backup")
		b.say(strings.Replace(push(7, "backup", "alice"), "7 sent 10",
			"7 rsync: [receiver] mkstemp \"/.x\" (in backup) failed: Permission denied (13)\n0 sent 0", 1))
		b.say("+15m\n" + c.pause)
		if s := b.sessions.Session(b.host, 7); s == nil || s.Phase != rsynclog.Lapsed {
			t.Fatalf("%s: the silent session is %+v", c.pause, s)
		}
		b.say(push(7, "backup", "bob"))
		got := "refused"
		if b.book.connected == 2 {
			got = map[bool]string{true: "doubtful", false: "believed"}[b.sessions.Session(b.host, 7).Doubted]
		}
		b.want(c.pause, got, c.want)
	}
}

// A connect from far below shows that pids have wrapped only if no client can have written it. In both cases
// eve's process of before has pid 5000, and logs a connect; were pids to have wrapped, her other one could forge
// a session.
func TestNoClientMakesPidsWrap(t *testing.T) {
	const other = 40300
	for name, before := range map[string]string{
		// The daemon starts under a lower pid: then every pid is believed to be another process'.
		"its daemon has started anew": "400 rsyncd version 3.5.0 starting, listening on port 873" + push(5000, "pub", "eve") +
			"300 rsyncd version 3.5.0 starting, listening on port 873",
		"its end was an hour ago": push(5000, "pub", "eve") + "+2s\n +1h",
	} {
		b := newTable(t, rsynclog.DefaultLimits(), "backup", "pub")
		b.say(before)
		for i := range 2 * rsynclog.LapConnects {
			b.say(fmt.Sprintf("%d connect from localhost (127.0.0.1)", 40000+i))
		}
		b.say(push(other, "pub", "eve"))
		life, connected := b.host.Life.Number, b.book.connected
		b.say("5000 connect from evil (10.6.6.6)")
		b.want(name+": the first connect counts", b.book.connected, connected+1)
		b.want(name+": life", b.host.Life.Number, life)
		b.say(forged(other))
		b.want(name+": connected", b.book.connected, connected+1)
		if s := b.sessions.Session(b.host, other); s == nil || s.Module != "pub" {
			t.Errorf("%s: eve's other session is %+v", name, s)
		}
	}
}

// The kernel tells processes apart at once: one that has the pid of another whose session has just ended, or of
// one whose end nobody saw.
func TestTheKernelTellsTheNextProcessAtOnce(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "backup", "pub")
	b.sayAs(1000, push(9, "pub", "eve"))
	b.sayAs(1000, forged(9))
	b.want("the same process", b.book.connected, 1)
	b.sayAs(1500, strings.Replace(push(9, "backup", "alice"), "9 sent", "0 unsaid", 1))
	b.want("another one", b.book.connected, 2)
	if s := b.sessions.Session(b.host, 9); s.Doubted || s.User != "alice" {
		t.Errorf("its session is %+v", s)
	}
	b.sayAs(2000, push(9, "backup", "bob"))
	b.want("a third one", b.book.connected, 3)
	if s := b.sessions.Session(b.host, 9); s.Doubted || s.User != "bob" {
		t.Errorf("its session is %+v", s)
	}
}

// FAULTS I7. Two machines that don't say their names have sessions of the same pid. A machine with a name is the
// same whoever passes its messages on.
func TestSendersWithoutANameAreToldApart(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "backup")
	from := func(host, addr string) *rsynclog.Origin {
		return b.sessions.Origin(rsynclog.Where{Host: []byte(host), Addr: netip.MustParseAddr(addr)}, b.now)
	}
	vm := from("vm", "192.0.2.1")
	one, other := from("", "192.0.2.1"), from("", "192.0.2.2")
	if from("vm", "2001:db8::2") != vm {
		t.Error("one host from two addresses is two origins")
	}
	const failed = "rsync error: error in socket IO (code 10) at io.c(949) [receiver=3.5.0]"
	good, bad := push(1234, "backup", "alice"), strings.Replace(push(1234, "backup", "bob"), sums, failed, 1)
	goodLines, badLines := strings.Split(good, "\n"), strings.Split(bad, "\n")
	for i := range goodLines {
		b.host = one
		b.say(goodLines[i])
		b.host = other
		b.say(badLines[i])
	}
	b.say("+2s")
	b.want("connected", b.book.connected, 2)
	b.want("implausible", b.book.implausible, 0)
	b.want("ended", b.book.ended, []string{"backup receive ok 10/20", "backup receive aborted 0/0"})
	if from("", "192.0.2.1") != one || from("", "192.0.2.2") != other {
		t.Error("an address has another origin than before")
	}
}

// What a client may have written teaches no module: neither a session that it may have begun, nor one that nobody saw
// begin.
func TestWhatAClientMayHaveBegunTeachesNoModule(t *testing.T) {
	for name, script := range map[string]string{
		"doubtful":    push(7, "pub", "eve") + "+2s\n +1h\n" + push(7, "evil", "eve"),
		"never begun": strings.Replace(push(7, "evil", "eve"), "7 connect", "0 connect", 1),
	} {
		b := newTable(t, rsynclog.DefaultLimits(), "pub")
		b.say(script)
		if s := b.sessions.Session(b.host, 7); s == nil || s.Module != "" {
			t.Errorf("%s: its session is %+v", name, s)
		}
		b.want(name+": names", len(b.host.Modules), 0)
	}
}
