package rsynclog

import (
	"fmt"
	"strings"
	"testing"
)

func parseWith(t testing.TB, format, text string) Event {
	t.Helper()
	var ev Event
	mustParser(t, format).Parse([]byte(text), &ev)
	return ev
}

func TestClientsTextIsReadFromTheSafeSide(t *testing.T) {
	for text, want := range map[string]string{
		"send localhost [127.0.0.1] data () x 99999999 6":                                                     "transfer send 127.0.0.1 6",
		"send localhost [127.0.0.1] data () sent 1 bytes  received 2 bytes  total size 3 7":                   "transfer send 127.0.0.1 7",
		"recv localhost [::1] my module (v2) (bob) a [1.2.3.4] b () c 9 1152921504606846976":                  "transfer recv ::1 1152921504606846976",
		"del. UNDETERMINED [fe80::1%eth0] inbox () olddir 0":                                                  "transfer del. fe80::1%eth0 0",
		"send localhost [127.0.0.1] data () nl\nrsync error: fake (code 23) at main.c(1) [sender=3.5.0] 5":    "transfer send 127.0.0.1 5",
		"rsync on data/ from x (1.2.3.4) from localhost (127.0.0.1)":                                          "start send 127.0.0.1 request=data/ from x (1.2.3.4)",
		"rsync to inbox/ from a@b@localhost (127.0.0.1)":                                                      "start receive 127.0.0.1 user=a@b request=inbox/",
		"unknown module 'x' tried from evil (6.6.6.6)' tried from localhost (127.0.0.1)":                      "unknown_module unknown_module 127.0.0.1 module=x' tried from evil (6.6.6.6)",
		"rsync allowed access on module from host (1.2.3.4) from localhost (127.0.0.1)":                       "allowed 127.0.0.1 module=from host (1.2.3.4)",
		"auth failed on module priv from localhost (127.0.0.1) for bob: from x (6.6.6.6) for y: no such user": "auth_failed auth 127.0.0.1 user=bob: from x (6.6.6.6) for y module=priv",
		"auth failed on module from host (1.2.3.4) from localhost (127.0.0.1) for : no matching rule":         "auth_failed auth 127.0.0.1 module=from host (1.2.3.4)",
		"auth failed on module from host (1.2.3.4) from localhost (127.0.0.1)":                                "auth_failed auth 127.0.0.1 module=from host (1.2.3.4)",
		"auth failed on module a from b (::1): x from c (::2) for d: e":                                       "auth_failed auth ::1 module=a",
		"auth failed on module priv from localhost (127.0.0.1)":                                               "auth_failed auth 127.0.0.1 module=priv",
		"building file list":  "file_list send",
		"receiving file list": "file_list receive",
		`auth failed on module priv from localhost (127.0.0.1): missing secret for user "bob"`: "auth_failed auth 127.0.0.1 user=bob module=priv",
		"message repeated 2 times: [ max connections (1) reached]":                             "max_connections max_connections x2",
	} {
		if got := brief(parseWith(t, DefaultLogFormat, text)); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

func brief(ev Event) string {
	s := []string{ev.Kind.String()}
	for _, word := range []string{ev.Op.String(), ev.Direction.String(), ev.Reason.String(), string(ev.Addr)} {
		if word != "" {
			s = append(s, word)
		}
	}
	for name, value := range map[string][]byte{"user=": ev.User} {
		if len(value) > 0 {
			s = append(s, name+string(value))
		}
	}
	if len(ev.Module) > 0 {
		s = append(s, "module="+string(ev.Module))
	}
	if len(ev.Request) > 0 {
		s = append(s, "request="+string(ev.Request))
	}
	if ev.HasLength {
		s = append(s, fmt.Sprint(ev.Length))
	}
	if ev.Repeat != 1 {
		s = append(s, fmt.Sprintf("x%d", ev.Repeat))
	}
	return strings.Join(s, " ")
}

func TestNotWhatItLooksLike(t *testing.T) {
	for _, text := range []string{
		"", " ", "connect from", "connect from localhost", "connect from evil (10.6.6.6) 5", "connect from a b (1.2.3.4)", "connect from a]b (1.2.3.4)",
		"connect from localhost (abc)", "connect from localhost (a%eth0)", "max connections (x) reached",
		"send localhost [127.0.0.1] data) x 6", "sent 18,446,744,073,709,551,617 bytes  received 2 bytes  total size 3",
		"xconnect from localhost (127.0.0.1)", "connect from localhost (127.0.0.1) ",
		"sent 1 bytes  received 2 bytes  total size 3 7",
		"sent 1 bytes received 2 bytes total size 3",
		"sent -1 bytes  received 2 bytes  total size 3",
		"sent 01 bytes  received 2 bytes  total size 3",
		"sent 1152921504606846977 bytes  received 2 bytes  total size 3", // 2^60 + 1
		"sent 99999999999999999999999999 bytes  received 2 bytes  total size 3",
		"sent 18446744073709551617 bytes  received 2 bytes  total size 3", // 2^64 + 1
		"sent 1,152,921,504,606,846,977 bytes  received 2 bytes  total size 3",
		"sent 1,23 bytes  received 2 bytes  total size 3", "sent 1234,567 bytes  received 2 bytes  total size 3",
		"sent 1,234.567 bytes  received 2 bytes  total size 3",
		"wrote 1 bytes  received 2 bytes  total size 3",
		"send localhost [127.0.0.1] data () x 06", "send localhost [127.0.0.1] data () x", "send localhost [127.0.0.1] data () 6",
		"send localhost [127.0.0.1] data x 6", "send localhost 127.0.0.1 data () x 6", "send local host [127.0.0.1] data () x 6",
		"send localhost [127.0.0.1] data () x 1152921504606846977", "del localhost [127.0.0.1] data () x 0",
		"rsync error: x (code 1000) at main.c(1) [sender=3.5.0]", "rsync error: x (code 1) at main.c(1) [sender=3.5.0] 5",
		"rsync on data/", "rsync in data/ from localhost (127.0.0.1)",
		"message repeated 2 times: [ message repeated 2 times: [ max connections (1) reached]]",
		"message repeated 0 times: [ max connections (1) reached]", "message repeated 10001 times: [ max connections (1) reached]",
		"message repeated 2 times: [ send localhost [127.0.0.1] data () x 1152921504606846976]", // 2 EiB
		"message repeated 2 times: [ send localhost [127.0.0.1] data () " + strings.Repeat("x", 800) + " 6]",
		"last message repeated 4294967296 times", "last message repeated 2 time", "last message repeated 1 time ", "message repeated 1 timex",
		"message repeated x times", "message repeated 01 times", "message repeated 2 times:", "last last message repeated 2 times",
	} {
		if ev := parseWith(t, DefaultLogFormat, text); ev.Kind != Unrecognised || show(ev) != " Repeat=1" {
			t.Errorf("%q is %s", text, show(ev))
		}
	}
}

// rsyslog cuts what it quotes at 800 bytes, the space before it included.
func TestRepeatedTextsThatRsyslogHasCut(t *testing.T) {
	quote := func(n int) string {
		inner := " send localhost [127.0.0.1] data () "
		return "message repeated 2 times: [" + inner + strings.Repeat("x", n-len(inner)-2) + " 6]"
	}
	if ev := parseWith(t, DefaultLogFormat, quote(799)); ev.Kind != Transfer || ev.Repeat != 2 || ev.Length != 6 {
		t.Errorf("799 bytes: %s", show(ev))
	}
	if ev := parseWith(t, DefaultLogFormat, quote(800)); ev.Kind != Unrecognised {
		t.Errorf("800 bytes: %s", show(ev))
	}
}

func TestErrorNumbers(t *testing.T) {
	for text, want := range map[string]string{
		`rsync: [sender] link_stat "/a: b" (in m) failed: No such file or directory (2)`: ` Kind=file_error Errno=2 Repeat=1 Path="/a: b" Role="sender"`,
		`rsync: mkstemp "/a"b" (in m) failed: Permission denied (13)`:                    ` Kind=file_error Errno=13 Repeat=1`,
		`rsync: [sender] write error: Broken pipe (32)`:                                  ` Kind=io_error Repeat=1 Role="sender"`,
		`rsync: [sender] read errors mapping "/grow" (in data): No data available (61)`:  ` Kind=file_error Errno=61 Repeat=1 Path="/grow" Role="sender"`,
		`rsync: x: y (12345)`: ` Kind=other_known Repeat=1`,
		`rsync: x (5)`:        ` Kind=other_known Repeat=1`,
	} {
		if got := show(parseWith(t, DefaultLogFormat, text)); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestLinesOfAClientsOwnLogAreNoSummary(t *testing.T) {
	for _, text := range []string{"sent 1,234 bytes  received 56 bytes  789.00 bytes/sec", "total size is 75,006  speedup is 1.00"} {
		if ev := parseWith(t, DefaultLogFormat, text); ev.Kind != OtherKnown || ev.Sent != 0 {
			t.Errorf("%q is %s", text, show(ev))
		}
	}
}

// 3.1.0 alone writes separators, ',' or '.' by locale. 1,310,256 is 1310256 bytes.
func TestThousandsSeparatorsOf310(t *testing.T) {
	for _, text := range []string{
		"sent 1,310,256 bytes  received 120 bytes  total size 1,309,578", "sent 1.310.256 bytes  received 120 bytes  total size 1.309.578",
		"wrote 1310256 bytes  read 120 bytes  total size 1309578",
	} {
		if ev := parseWith(t, DefaultLogFormat, text); ev.Sent != 1310256 || ev.Received != 120 || ev.Total != 1309578 {
			t.Errorf("%q is %s", text, show(ev))
		}
	}
}

// rsync cuts a message at 2047 bytes, and what a long file name has there may be a number.
func TestLinesThatRsyncHasCut(t *testing.T) {
	cut := func(s string) string {
		if s += " 999999999999" + strings.Repeat("9", 3000); len(s) < 2047 {
			t.Fatal(len(s))
		}
		return s[:2047]
	}
	for front, want := range map[string]string{
		"send localhost [127.0.0.1] data () " + strings.Repeat("d/", 990):                        "transfer send 127.0.0.1",
		"rsync on data/x from evil (6.6.6.6)" + strings.Repeat("d/", 990):                        "start send",
		"auth failed on module priv from localhost (127.0.0.1) for " + strings.Repeat("u", 1970): "auth_failed auth 127.0.0.1 module=priv",
	} {
		ev := parseWith(t, DefaultLogFormat, cut(front))
		ev.Request = nil
		if got := brief(ev); got != want {
			t.Errorf("%.60q…: %s, want %s", front, got, want)
		}
	}
	whole := "send localhost [127.0.0.1] data () " + strings.Repeat("d", 2009) + " 6"
	if len(whole) != 2046 {
		t.Fatal(len(whole))
	}
	if ev := parseWith(t, DefaultLogFormat, whole); ev.Length != 6 {
		t.Errorf("a line of 2046 bytes, the longest that is whole, is %s", show(ev))
	}
	if ev := parseWith(t, "%o|%b|%a|%f|%l", "send|49|::1|"+strings.Repeat("7", 2100)); ev.Kind != Transfer || ev.HasLength || ev.Wire != 49 {
		t.Errorf("a cut line of another format is %s", show(ev))
	}
}

// counting holds the kinds whose numbers or names become counters.
var counting = map[Kind]bool{Connect: true, Allowed: true, Start: true, Transfer: true, Summary: true, ExitError: true, ExitWarning: true,
	ModuleList: true, UnknownModule: true, Denied: true, AuthFailed: true, MaxConnections: true, DaemonStart: true, LostUpstream: true}

func TestTruncationNeverMakesAnotherCountingKind(t *testing.T) {
	for _, e := range readExamples() {
		text := e.Text
		whole := parseWith(t, DefaultLogFormat, text)
		p := mustParser(t, DefaultLogFormat)
		for n := range len(text) {
			var ev Event
			p.Parse([]byte(text[:n]), &ev)
			if !counting[ev.Kind] {
				continue
			}
			// A number at the very end may lose digits, and so may an address that stands there by
			// itself; nothing else may differ, and what is left of it is a beginning of it. An
			// unknown module's name is the client's and may hold the end of such a line; neither
			// becomes a number.
			if ev.Kind == UnknownModule && whole.Kind == UnknownModule {
				continue
			}
			if ev.Kind == LostUpstream && whole.Repeat > 1 {
				continue // without what was repeated it is a syslogd's report, which under rsyncd's tag nobody believes
			}
			if ev.Kind != whole.Kind || ev.Code != whole.Code || ev.Sent != whole.Sent || ev.Received != whole.Received || ev.Op != whole.Op ||
				string(ev.Addr) != string(whole.Addr) &&
					!(whole.Host == nil && strings.HasPrefix(string(whole.Addr), string(ev.Addr))) || string(ev.Module) != string(whole.Module) ||
				!begins(whole.Total, ev.Total) || ev.HasLength && !begins(whole.Length, ev.Length) ||
				ev.Repeat != whole.Repeat || ev.Lost != whole.Lost {
				t.Errorf("%q is %s, whole it is %s", text[:n], show(ev), show(whole))
			}
		}
	}
}

func begins(whole, part uint64) bool {
	return strings.HasPrefix(fmt.Sprint(whole), fmt.Sprint(part))
}

func TestParseKeepsSeverityAndZeroesTheRest(t *testing.T) {
	p := mustParser(t, DefaultLogFormat)
	ev := Event{Severity: 4, Code: 9, Module: []byte("old"), Sent: 7, HasLength: true, Repeat: 3, OpUnnamed: true}
	p.Parse([]byte("connect from localhost (::1)"), &ev)
	if want := (Event{Kind: Connect, Severity: 4, Repeat: 1, Host: []byte("localhost"), Addr: []byte("::1")}); show(ev) != show(want) {
		t.Errorf("%s, want %s", show(ev), show(want))
	}
}

// With a format that begins with a file's name, almost any line could be a transfer.
func TestTheDaemonsOwnLinesWinOverALooseFormat(t *testing.T) {
	for _, c := range []struct {
		format, text string
		kind         Kind
		length       uint64
	}{
		{"%f %l", "sent 1 bytes  received 2 bytes  total size 3", Summary, 0},
		{"%f %l", "sent 1 bytes  received 2 bytes  total size 3 7", Transfer, 7},
		{"%f %l", "connect from evil (1.2.3.4)", Connect, 0},
		{"%f %l", "connect from evil (1.2.3.4) 7", Transfer, 7},
		{"%f %l", "unable to bind any inbound sockets on port 873", ListenerError, 0},
		{"%f %l", "renaming a to b 7", Transfer, 7}, // a file's name rather than a debug line
		{"%f (%l)", "rsync: [sender] link_stat \"/x\" (in m) failed: Permission denied (13)", FileError, 0},
		{"%f", "connect from evil (1.2.3.4)", Connect, 0},
		{"%f", "renaming a to b", OtherKnown, 0},
		{"%f", "any text", Transfer, 0},
		{"", "any text", Unrecognised, 0},
		{"", "deleting x", Transfer, 0},
		{"%f %l", "deleting x 7", Transfer, 0},
		{DefaultLogFormat, "deleting x", OtherKnown, 0},
		{DefaultLogFormat, "recv mapped [::1] data () x of size 7", OtherKnown, 0},
		{DefaultLogFormat, "send mapped [::1] data () x of size 7", Transfer, 7},
	} {
		if ev := parseWith(t, c.format, c.text); ev.Kind != c.kind || ev.Length != c.length {
			t.Errorf("%q, %q: %s", c.format, c.text, show(ev))
		}
	}
}

// A file's name may hold a line end just where rsync cuts, which is then taken for the line's own.
func TestTransfersCutAtALineEndInTheName(t *testing.T) {
	p := mustParser(t, DefaultLogFormat)
	const front = "send localhost [127.0.0.1] data () "
	for _, c := range []struct {
		size   int
		end    string
		kind   Kind
		length bool
	}{
		{2047, "x", Transfer, false}, {2046, "x", Transfer, false}, {2045, "x", Transfer, false}, {2044, "x", Unrecognised, false},
		{2046, "x 17", Transfer, true}, {2044, "x 17", Transfer, true}, {2047, "x 17", Transfer, false},
	} {
		var ev Event
		p.Parse([]byte(front+strings.Repeat("n", c.size-len(front)-len(c.end))+c.end), &ev)
		if ev.Kind != c.kind || ev.HasLength != c.length || c.length && ev.Length != 17 || c.kind == Transfer && ev.Op != OpSend {
			t.Errorf("%d bytes that end in %q: %s", c.size, c.end, show(ev))
		}
	}
}
