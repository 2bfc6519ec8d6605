package rsynclog_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/rsynclog"
)

// A book sums what Sessions reports, as a consumer does.
type book struct {
	connected, executed, files, length uint64
	fileErrors                         uint64
	exits                              []string
	rejected                           []string
	ended                              []string // "module direction outcome sent/received"
	amended                            []string // "sent/received"
	resumed                            []string // "module direction outcome after duration"
	implausible                        int
}

// A table drives Sessions with real lines.
type table struct {
	t        *testing.T
	sessions *rsynclog.Sessions
	parser   *rsynclog.Parser
	host     *rsynclog.Origin
	now      int64
	book     book
}

func newTable(t *testing.T, limits rsynclog.Limits, modules ...string) *table {
	t.Helper()
	p, err := rsynclog.NewParser("%o %h [%a] %m (%u) %f %l")
	if err != nil {
		t.Fatal(err)
	}
	s := newSessions(limits, modules...)
	return &table{t: t, sessions: s, parser: p, host: originOf(s, 0, "vm"), now: int64(time.Hour)}
}

// say logs lines "pid text" one after the other; "+3s" lets time pass.
func (b *table) say(script string) {
	b.t.Helper()
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if strings.HasPrefix(line, "+") {
			d, err := time.ParseDuration(line[1:])
			if err != nil {
				b.t.Fatal(err)
			}
			b.now += int64(d)
			b.add(tickAll(b.sessions, b.now))
			continue
		}
		var pid int32
		if _, err := fmt.Sscan(line, &pid); err != nil {
			b.t.Fatalf("%q: %v", line, err)
		}
		_, text, _ := strings.Cut(line, " ")
		var ev rsynclog.Event
		b.parser.Parse([]byte(text), &ev)
		ev.Severity = -1
		changes, believed := applyAt(b.sessions, b.host, pid, b.now, &ev)
		if !believed {
			b.book.implausible++
		}
		b.add(changes)
	}
}

func (b *table) add(changes []rsynclog.Change) {
	for _, c := range changes {
		switch c.Kind {
		case rsynclog.Connected:
			b.book.connected += c.N
		case rsynclog.Executed:
			b.book.executed += c.N
		case rsynclog.FileMoved:
			b.book.files += c.N
			b.book.length += c.Length
		case rsynclog.FileFailed:
			b.book.fileErrors += c.N
		case rsynclog.Exited:
			b.book.exits = append(b.book.exits, fmt.Sprint(c.Code))
		case rsynclog.TurnedAway:
			b.book.rejected = append(b.book.rejected, c.Reason.String())
		case rsynclog.Amended:
			b.book.amended = append(b.book.amended, fmt.Sprintf("%d/%d", c.Sent, c.Received))
		case rsynclog.Resumed:
			s := c.Session
			b.book.resumed = append(b.book.resumed,
				fmt.Sprintf("%s %s %s after %v", s.Module, s.Direction, s.Outcome, time.Duration(s.LastSeen-s.FirstSeen)))
		case rsynclog.Ended:
			s := c.Session
			b.book.ended = append(b.book.ended,
				fmt.Sprintf("%s %s %s %d/%d", s.Module, s.Direction, s.Outcome, s.Sent, s.Received))
		}
	}
}

func (b *table) want(what string, got, want any) {
	b.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// daemonStart is a listener's line: every pid may be another process' from then on.
const daemonStart = "\n1 rsyncd version 3.5.0 starting, listening on port 873\n"

const pull = `
	7 connect from localhost (127.0.0.1)
	7 rsync allowed access on module data from localhost (127.0.0.1)
	7 rsync on data/ from localhost (127.0.0.1)
	7 building file list
	7 send localhost [127.0.0.1] data () a.txt 6
`

func TestPullThatWentWell(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + `
		7 sent 75305 bytes  received 98 bytes  total size 75006
		+1s`)
	b.want("ended before it has settled", b.book.ended, []string{})
	b.say(`+1s`)
	b.want("ended", b.book.ended, []string{"data send ok 75305/98"})
	b.want("connected", b.book.connected, 1)
	b.want("executed", b.book.executed, 1)
	b.want("files", b.book.files, 1)
	b.want("length", b.book.length, 6)
}

func TestSummaryThenErrorIsAborted(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + `
		7 rsync: [sender] write error: Broken pipe (32)
		7 sent 1016220 bytes  received 72 bytes  total size 4000020
		7 rsync error: error in socket IO (code 10) at io.c(949) [sender=3.5.0]
		+2s`)
	b.want("ended", b.book.ended, []string{"data send aborted 1016220/72"})
	b.want("exits", b.book.exits, []string{"10"})
}

func TestTwoErrorsOfOneUpload(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module inbox from localhost (127.0.0.1)
		7 rsync to inbox/ from localhost (127.0.0.1)
		7 receiving file list
		7 rsync error: received SIGINT, SIGTERM, or SIGHUP (code 20) at io.c(1892) [generator=3.5.0]
		7 rsync error: received SIGINT, SIGTERM, or SIGHUP (code 20) at io.c(1892) [receiver=3.5.0]
		+2s`)
	b.want("ended", b.book.ended, []string{"inbox receive aborted 0/0"})
	b.want("exits", b.book.exits, []string{"20", "20"})
}

func TestFileErrorsMakeItPartial(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + `
		7 rsync: [sender] send_files failed to open "/root-only" (in data): Permission denied (13)
		7 sent 75551 bytes  received 121 bytes  total size 75007
		+2s`)
	b.want("ended", b.book.ended, []string{"data send partial 75551/121"})
}

func TestUploadThatFailsWithoutALastLine(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module nobw from localhost (127.0.0.1)
		7 rsync to nobw/ from localhost (127.0.0.1)
		7 receiving file list
		7 rsync: [receiver] mkstemp "/.one.3lO7sS" (in nobw) failed: Permission denied (13)
		+14m
		7 recv localhost [127.0.0.1] nobw () two 1
		+14m`)
	b.want("ended while lines still came", b.book.ended, []string{})
	b.say(`+1m`)
	b.want("ended", b.book.ended, []string{"nobw receive partial 0/0"})
	b.say(`7 sent 35 bytes  received 193 bytes  total size 75008`) // it was slow, and its daemon older than 3.2
	b.want("what it moved all the same", b.book.amended, []string{"35/193"})
}

// A failed file, and then one that takes hours: the session is counted when it has been silent for fifteen minutes, and once.
func TestUploadThatIsSilentForHoursAfterAFailedFile(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module backup from localhost (127.0.0.1)
		7 rsync to backup/ from localhost (127.0.0.1)
		7 receiving file list
		7 rsync: [generator] recv_generator: failed to stat "/one" (in backup): Permission denied (13)
		+15m
		+8h
		7 recv localhost [127.0.0.1] backup () disk.img 500000000000
		+2h
		7 sent 35 bytes  received 500000012345 bytes  total size 500000000000
		+48h`)
	b.want("ended", b.book.ended, []string{"backup receive partial 0/0"})
	b.want("amended", b.book.amended, []string{"35/500000012345"})
	b.want("sessions kept", b.sessions.Len(), 0)
}

// The daemon may not read the old file, so that the new one is sent whole: the client's exit code is 0 (3.2.7, 3.5.0).
func TestAnUnreadableOldFileIsNoFailedFile(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module in from localhost (127.0.0.1)
		7 rsync to in/ from localhost (127.0.0.1)
		7 receiving file list
		7 rsync: [generator] failed to open "a" (in in), continuing: Permission denied (13)
		7 recv localhost [127.0.0.1] in () a 10
		7 sent 126 bytes  received 144 bytes  total size 10
		+2s`)
	b.want("ended", b.book.ended, []string{"in receive ok 126/144"})
}

// A pull from 3.2 and later always has a summary, so that a slow client's isn't given up for one unreadable file.
func TestPullWithAFileErrorMayBeSilentForLong(t *testing.T) {
	const unreadable = `
		7 rsync: [sender] send_files failed to open "/root-only" (in data): Permission denied (13)
		+23h`
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + unreadable)
	b.want("ended", b.book.ended, []string{})
	b.say(`7 sent 75551 bytes  received 121 bytes  total size 75007
		+2s`)
	b.want("ended", b.book.ended, []string{"data send partial 75551/121"})

	old := newTable(t, rsynclog.DefaultLimits(), "data")
	old.say(strings.Replace(pull, "7 rsync allowed access on module data from localhost (127.0.0.1)", "", 1) + unreadable)
	old.want("ended before 3.2, where no summary comes", old.book.ended, []string{"data send partial 0/0"})
}

// An upload whose client could not read some of its own files (code 23, 24) ends without a word, too. So does one whose processes were
// all killed; neither came whole.
func TestUploadWithoutALastLineIsPartial(t *testing.T) {
	const upload = `
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module inbox from localhost (127.0.0.1)
		7 rsync to inbox/ from localhost (127.0.0.1)
	`
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(upload + `
		7 receiving file list
		7 recv localhost [127.0.0.1] inbox () a.txt 6
		+23h`)
	b.want("ended", b.book.ended, []string{})
	b.say(`+1h`)
	b.want("ended", b.book.ended, []string{"inbox receive partial 0/0"})

	b = newTable(t, rsynclog.DefaultLimits())
	b.say(upload + "+24h")
	b.want("ended without a file list", b.book.ended, []string{"inbox receive unknown 0/0"})

	limits := rsynclog.DefaultLimits()
	limits.Sessions = 1
	b = newTable(t, limits)
	b.say(upload + "7 receiving file list\n8 rsync allowed access on module data from localhost (127.0.0.1)")
	b.want("made room", b.book.ended, []string{"inbox receive unknown 0/0"})
}

// A client that could not read all of its own files makes the daemon delete nothing, and say so: at least that tells before the TTL is over.
func TestUploadThatSkipsItsDeletions(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module inbox from localhost (127.0.0.1)
		7 rsync to inbox/ from localhost (127.0.0.1)
		7 receiving file list
		7 IO error encountered -- skipping file deletion
		7 recv localhost [127.0.0.1] inbox () a.txt 6
		+15m`)
	b.want("ended", b.book.ended, []string{"inbox receive partial 0/0"})
	b = newTable(t, rsynclog.DefaultLimits())
	b.say(pull + `
		7 IO error encountered -- skipping file deletion
		7 sent 75305 bytes  received 98 bytes  total size 75006
		+2s`)
	b.want("ended", b.book.ended, []string{"data send ok 75305/98"})
	b.want("implausible", b.book.implausible, 1)
}

// The generator, pid 3097, was killed, so that the receiver, forked from it, logs for itself.
func TestReceiverThatLogsForItself(t *testing.T) {
	const upload = `
		3097 connect from localhost (127.0.0.1)
		3097 rsync allowed access on module inbox from localhost (127.0.0.1)
		3097 rsync to inbox/ from localhost (127.0.0.1)
		3097 receiving file list
	`
	for _, c := range []struct{ line, outcome string }{
		{"3098 rsync error: error in rsync protocol data stream (code 12) at io.c(1912) [receiver=3.5.0]", "aborted"},
		{"3098 rsync error: error in rsync protocol data stream (code 12) at io.c(1912) [generator=3.5.0]", "partial"},
		{"3098 rsync error: syntax or usage error (code 1) at clientserver.c(843) [receiver=2.6.9]", "partial"},
		{"3162 rsync error: error in rsync protocol data stream (code 12) at io.c(1912) [receiver=3.5.0]", "partial"},
	} {
		b := newTable(t, rsynclog.DefaultLimits())
		b.say(upload + c.line + "\n+24h")
		b.want(c.line, b.book.ended, []string{"inbox receive " + c.outcome + " 0/0"})
		b.want("counted once", len(b.book.exits), 1)
	}
}

// A client that connects under the pid of a session that was killed, and then says nothing.
func TestReusedPidThatTimesOutInTheHandshake(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + daemonStart + `
		7 connect from localhost (127.0.0.1)
		7 [Receiver] daemon handshake timeout -- exiting
		7 rsync error: timeout in data send/receive (code 30) at io.c(1203) [Receiver=3.5.0]
		+2s`)
	b.want("ended", b.book.ended, []string{"data send unknown 0/0", "  aborted 0/0"})
	b.want("connected", b.book.connected, 2)
}

// The new pid of a session with a post-xfer exec may be that of one that ended, as it seems, or never did. It is
// believed in another life of the pid only; else a client could take a session that others have just begun.
func TestPostXferExecUnderAPidThatWasInUse(t *testing.T) {
	const post = `
		6 connect from localhost (127.0.0.1)
		6 rsync allowed access on module post from localhost (127.0.0.1)
		7 rsync on post/ from localhost (127.0.0.1)
		7 building file list
		7 sent 300 bytes  received 20 bytes  total size 6
		7 rsync on post/ from localhost (127.0.0.1)
		+1h`
	for _, c := range []struct {
		last    string
		want    []string
		refused int
	}{
		{"7 sent 75305 bytes  received 98 bytes  total size 75006" + daemonStart, []string{"data send ok 75305/98", "post send ok 300/20"}, 1},
		{daemonStart, []string{"data send unknown 0/0", "post send ok 300/20"}, 1},
		{"", []string{"post  unknown 0/0", "data send ok 300/20"}, 2},
	} {
		b := newTable(t, rsynclog.DefaultLimits())
		b.say(pull + c.last + post)
		slices.Sort(c.want)
		slices.Sort(b.book.ended)
		b.want("ended", b.book.ended, c.want)
		b.want("implausible starts", b.book.implausible, c.refused)
	}
}

// So may it be that of a client that connected and asked for nothing, whose process can't have logged anything else.
func TestPostXferExecUnderThePidOfAPortScanner(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from scanner (192.0.2.9)
		+50m
		6 connect from localhost (127.0.0.1)
		6 rsync allowed access on module post from localhost (127.0.0.1)
		7 rsync on post/ from localhost (127.0.0.1)
		7 building file list
		7 sent 300 bytes  received 20 bytes  total size 6
		+2s
		+2h`)
	b.want("ended", b.book.ended, []string{"  unknown 0/0", "post send ok 300/20"})
	b.want("executed", b.book.executed, 1)
}

// In a backlog no time passes, so lines of processes that never connect are found under the pid of a session that has just ended.
func TestOtherProcessesLinesUnderASessionsPid(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + `
		7 sent 75305 bytes  received 98 bytes  total size 75006
		7 rsync error: syntax or usage error (code 1) at clientserver.c(1435) [Receiver=3.5.0]
		7 sent 0 bytes  received 0 bytes  total size 0
		+2s`)
	b.want("ended", b.book.ended, []string{"data send ok 75305/98"})
	b.want("implausible", b.book.implausible, 1)
}

// With a post-xfer exec the set-up goes on under a new pid, which is seen for the first time when it fails.
func TestSetupThatFailsUnderANewPid(t *testing.T) {
	const failed = "rsync: [Receiver] chroot(\"/gone\") failed: No such file or directory (2)\n"
	for _, c := range []struct {
		line  string
		ended []string
	}{
		{"31680 " + failed, []string{"postgone  rejected 0/0"}},
		{"31743 " + failed, []string{"  rejected 0/0", "postgone  unknown 0/0"}},
		{"31678 " + failed, []string{"postgone  rejected 0/0"}},
		{"31680 rsync error: error in rsync protocol data stream (code 12) at io.c(340) [Receiver=3.5.0]\n", []string{"postgone  aborted 0/0"}},
		{"31680 rsync error: syntax or usage error (code 1) at clientserver.c(1435) [Receiver=3.5.0]\n", []string{"postgone  unknown 0/0"}},
	} {
		b := newTable(t, rsynclog.DefaultLimits())
		b.say(`
			31678 connect from localhost (127.0.0.1)
			31678 rsync allowed access on module postgone from localhost (127.0.0.1)
			31679 connect from localhost (127.0.0.1)
			31679 module-list request from localhost (127.0.0.1)
		` + c.line + "+1h")
		b.want(c.line, b.book.ended, append([]string{"  listing 0/0"}, c.ended...))
		b.want("rejected", len(b.book.rejected), strings.Count(fmt.Sprint(c.ended), "rejected"))
	}
}

// What a client writes into the log of its own session can't contradict what came before.
func TestRefusalsAfterTheFileList(t *testing.T) {
	for _, line := range []string{"ERROR: module is read only", "ERROR: module is write only", "pre-xfer exec returned failure (256)",
		"rsync: The server is configured to refuse --delete", "Deletions stopped due to --max-delete limit (3 skipped)",
		`rsync: [receiver] mkstemp "/.x" (in data) failed: Permission denied (13)`} {
		b := newTable(t, rsynclog.DefaultLimits())
		b.say(strings.Replace(pull, "7 send localhost [127.0.0.1] data () a.txt 6", "", 1) + "7 " + line + `
			7 sent 75305 bytes  received 98 bytes  total size 75006
			+2s`)
		b.want(line, b.book.ended, []string{"data send ok 75305/98"})
		b.want("implausible", b.book.implausible, 1)
		b.want("rejected", b.book.rejected, []string{})
	}
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module inbox from localhost (127.0.0.1)
		7 rsync to inbox/ from localhost (127.0.0.1)
		7 receiving file list
		7 ERROR: daemon has excluded destination "secret"
		7 rsync error: error selecting input/output files, dirs (code 3) at main.c(775) [Receiver=3.5.0]
		+2s`)
	b.want("an excluded destination", b.book.ended, []string{"inbox receive rejected 0/0"})
}

// The client's exit code is 0, and nothing is logged after that line (3.0 and later).
func TestUploadWhoseDeletionsWereLimited(t *testing.T) {
	const upload = `
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module inbox from localhost (127.0.0.1)
		7 rsync to inbox/ from localhost (127.0.0.1)
		7 receiving file list
		7 del. localhost [127.0.0.1] inbox () old3 0
		7 recv localhost [127.0.0.1] inbox () a.txt 6
	`
	for _, c := range []struct{ lines, outcome string }{
		{"", "ok"},
		{"7 rsync: [receiver] mkstemp \"/.one\" (in inbox) failed: Permission denied (13)", "partial"},
		{"7 rsync error: the --max-delete limit stopped deletions (code 25) at main.c(925) [generator=2.6.9]", "partial"},
	} {
		b := newTable(t, rsynclog.DefaultLimits())
		b.say(upload + "7 Deletions stopped due to --max-delete limit (2 skipped)\n" + c.lines)
		b.want("ended before it has settled", b.book.ended, []string{})
		b.say("+15m")
		b.want("ended", b.book.ended, []string{"inbox receive " + c.outcome + " 0/0"})
	}
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + "7 Deletions stopped due to --max-delete limit (2 skipped)\n+1h")
	b.want("implausible in a download", b.book.implausible, 1)
	b.want("ended", b.book.ended, []string{})
}

func TestGate(t *testing.T) {
	for _, c := range []struct{ lines, reason, ended string }{
		{`7 rsync denied on module closed from localhost (127.0.0.1)`, "hosts_deny", "closed  rejected 0/0"},
		{`7 unknown module 'nosuch' tried from localhost (127.0.0.1)`, "unknown_module", "  rejected 0/0"},
		{`7 rsync allowed access on module priv from localhost (127.0.0.1)
		  7 auth failed on module priv from localhost (127.0.0.1) for alice: password mismatch`, "auth", "priv  rejected 0/0"},
		{`7 rsync allowed access on module data from localhost (127.0.0.1)
		  7 max connections (1) reached`, "max_connections", "data  rejected 0/0"},
		{`7 rsync allowed access on module gone from localhost (127.0.0.1)
		  7 rsync: [Receiver] chdir /gone failed: No such file or directory (2)`, "other", "gone  rejected 0/0"},
	} {
		b := newTable(t, rsynclog.DefaultLimits())
		b.say("7 connect from localhost (127.0.0.1)\n" + c.lines)
		b.want("rejected", b.book.rejected, []string{c.reason})
		b.want("ended", b.book.ended, []string{c.ended})
	}
}

func TestReadOnlyModuleIsARejection(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module ro from localhost (127.0.0.1)
		7 rsync to ro/ from localhost (127.0.0.1)
		7 ERROR: module is read only
		7 rsync error: syntax or usage error (code 1) at main.c(1185) [Receiver=3.5.0]
		+2s`)
	b.want("rejected", b.book.rejected, []string{"read_only"})
	b.want("ended", b.book.ended, []string{"ro receive rejected 0/0"})
	b.want("exits", b.book.exits, []string{"1"})
	b.want("executed", b.book.executed, 1)
}

func TestPostXferExecMovesTheSessionToANewPid(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module post from localhost (127.0.0.1)
		8 rsync on post/ from localhost (127.0.0.1)
		8 sent 75313 bytes  received 101 bytes  total size 75006
		+2s
		+2h`)
	b.want("ended", b.book.ended, []string{"post send ok 75313/101"})
	b.want("connected", b.book.connected, 1)
}

func TestListenersStopLineIsNoSession(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		5 rsyncd version 3.5.0 starting, listening on port 873
		5 sent 0 bytes  received 0 bytes  total size 0
		6 sent 0 bytes  received 0 bytes  total size 0
		+25h`)
	b.want("ended", b.book.ended, []string{})
}

func TestPidReuseAfterASessionThatNeverEnded(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + daemonStart + pull + `
		7 sent 9 bytes  received 8 bytes  total size 7
		+2s`)
	b.want("ended", b.book.ended, []string{"data send unknown 0/0", "data send ok 9/8"})
	b.want("connected", b.book.connected, 2)
}

func TestClientsTextForgesNothing(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + `
		7 sent 1 bytes  received 2 bytes  total size 3
		7 connect from evil (10.6.6.6)
		7 send localhost [127.0.0.1] data () b 7
		7 connect from evil (10.6.6.6)
		7 del. localhost [127.0.0.1] data () gone 0
		7 send evil [10.6.6.6] data () forged 999999999999
		7 rsync allowed access on module evil from evil (10.6.6.6)
		7 rsync to evil/ from evil (10.6.6.6)
		7 unknown module 'x' tried from evil (10.6.6.6)
		7 rsyncd version 6.6.6 starting, listening on port 873
		7 rsync error: timeout in data send/receive (code 30) at io.c(1) [sender=3.5.0]
		7 sent 1152921504606846976 bytes  received 2 bytes  total size 3
		7 sent 75305 bytes  received 98 bytes  total size 75006
		+2s`)
	b.want("ended", b.book.ended, []string{"data send ok 75305/98"})
	b.want("connected", b.book.connected, 1)
	b.want("executed", b.book.executed, 1)
	b.want("length", b.book.length, 6+7)
	b.want("rejected", b.book.rejected, []string{})
	b.want("exits", b.book.exits, []string{})
}

// A forged connect and a forged "allowed access" together look like a reused pid.
func TestForgedReopeningIsNoSession(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull)
	for range 100 {
		b.say(`
			7 connect from evil (10.6.6.6)
			7 rsync allowed access on module evil from evil (10.6.6.6)
			7 rsync on evil/ from evil (10.6.6.6)`)
	}
	b.say(`
		7 sent 75305 bytes  received 98 bytes  total size 75006
		+2s`)
	b.want("connected", b.book.connected, 1)
	b.want("executed", b.book.executed, 1)
	b.want("implausible", b.book.implausible, 300)
	if s := fmt.Sprint(b.book.ended); strings.Contains(s, "evil") {
		t.Errorf("a forged module became a label: %s", s)
	}
}

func TestDaemonsBefore32TeachNoModulesByWhatClientsWrite(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	old := `
		7 connect from localhost (127.0.0.1)
		7 rsync on data/ from localhost (127.0.0.1)
		7 send localhost [127.0.0.1] data () a.txt 6
		7 sent 9 bytes  received 8 bytes  total size 7
		+2s`
	b.say(old + `
		8 connect from localhost (127.0.0.1)
		8 rsync on evil/x from localhost (127.0.0.1)
		8 send localhost [127.0.0.1] data () a.txt 6
		8 sent 9 bytes  received 8 bytes  total size 7
		+2s`)
	b.want("ended", b.book.ended, []string{" send ok 9/8", " send ok 9/8"})
}

func TestASessionThatBeganBeforeWeDid(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 send localhost [127.0.0.1] data () b.bin 5000
		7 sent 5043 bytes  received 90 bytes  total size 5000
		+2s`)
	b.want("ended", b.book.ended, []string{" send ok 5043/90"})
	b.want("executed", b.book.executed, 0)
}

func TestTableIsBounded(t *testing.T) {
	l := rsynclog.DefaultLimits()
	l.Sessions, l.Origins = 100, 10
	b := newTable(t, l)
	for pid := range 1000 {
		b.say(fmt.Sprintf("%d connect from localhost (127.0.0.1)", pid+1))
		if n := b.sessions.Len(); n > 100 {
			t.Fatalf("%d sessions in a table of 100", n)
		}
	}
	b.want("evicted", b.sessions.Evicted(), 900)
	b.want("ended", len(b.book.ended), 900)
	for i := range 100 {
		originOf(b.sessions, 0, fmt.Sprint("host", i))
	}
	b.want("hosts beyond the limit", b.sessions.Overflown(), 91) // vm is one of the ten
	b.want("their name", originOf(b.sessions, 0, "host99").Host, rsynclog.Other)
}

func TestPortScannersDoNotStayForever(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from localhost (127.0.0.1)
		+61m`)
	b.want("ended", b.book.ended, []string{"  unknown 0/0"})
}

func TestLabelsAreCleanText(t *testing.T) {
	for in, want := range map[string]string{
		"data":                   "data",
		"\xe2\\#230\\#203":       "\u2603", // 3.5.0 escapes 0x80 to 0x9f, which breaks UTF-8 in half
		"a\nb\x1b[31m":           "a\uFFFDb\uFFFD[31m",
		"\xff":                   "\uFFFD",
		strings.Repeat("ü", 100): strings.Repeat("ü", 64),
	} {
		if got := rsynclog.Label([]byte(in)); got != want {
			t.Errorf("label(%q) = %q, want %q", in, got, want)
		}
	}
}

// A client that goes on and on: every forged session of its own begins where the last one ended, with new module names.
func TestForgingInALoopGainsNothing(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull)
	for i := range 100 {
		b.say(fmt.Sprintf(`
			7 connect from evil (10.6.6.6)
			7 unknown module 'x' tried from evil (10.6.6.6)
			7 connect from evil (10.6.6.6)
			7 rsync allowed access on module evil%d from evil (10.6.6.6)
			7 rsync to evil%d/ from backup@evil (10.6.6.6)
			7 sent 1 bytes  received 1125899906842624 bytes  total size 1
			+2s`, i, i))
	}
	if b.book.connected > 1 || len(b.host.Modules) > 1 {
		t.Errorf("%d connections, modules %v", b.book.connected, b.host.Modules)
	}
	if s := fmt.Sprint(b.book.ended); strings.Contains(s, "evil") {
		t.Errorf("a forged module became a label: %s", s)
	}
}

// Ten real clients don't help each other to forge anything.
func TestClientsTogetherForgeNothing(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	const clients = 10
	for range 3 {
		for pid := range clients {
			if b.book.connected < clients {
				b.say(strings.ReplaceAll(pull, "\t7 ", fmt.Sprintf("\t%d ", pid+1)))
			}
			for range 32 {
				b.say(fmt.Sprintf(`
					%[1]d sent 1 bytes  received 1 bytes  total size 1
					+2s
					%[1]d connect from evil (10.6.6.6)
					%[1]d rsync on data/ from evil (10.6.6.6)`, pid+1))
			}
		}
	}
	b.want("connected", b.book.connected, clients)
}

func TestASummaryAfterAForgedOneIsNotLost(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + `
		7 sent 1 bytes  received 1 bytes  total size 1
		+2s
		7 send localhost [127.0.0.1] data () big.iso 900000000000
		7 sent 900000000000 bytes  received 98 bytes  total size 900000000000`)
	b.want("ended", b.book.ended, []string{"data send ok 1/1"})
	b.want("amended", b.book.amended, []string{"899999999999/97"})
}

// What happens once in a session counts once, however often a forwarder says that it was repeated.
func TestRepeatsOfWhatHappensOnce(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + `
		7 message repeated 10000 times: [ connect from evil (10.6.6.6)]
		7 message repeated 10000 times: [ rsync error: error in socket IO (code 10) at io.c(949) [sender=3.5.0]]
		7 message repeated 10000 times: [ rsyncd version 3.5.0 starting, listening on port 873]
		+2s`)
	b.want("connected", b.book.connected, 1)
	b.want("exits", b.book.exits, []string{"10"})
}

// A session moves at most what it may sum up: 1 PiB, in however many lines.
func TestTransferLinesAreBounded(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull)
	for range 100 {
		b.say(`7 message repeated 10000 times: [ send localhost [127.0.0.1] data () x 11529215046068]`)
	}
	if b.book.length > rsynclog.MaxBytes {
		t.Errorf("%d bytes", b.book.length)
	}
	b.say(`
		0 send localhost [127.0.0.1] data () x 1152921504606846976
		9 send localhost [127.0.0.1] data () x 1152921504606846976
		9 sent 1152921504606846976 bytes  received 2 bytes  total size 3`)
	if b.book.length > rsynclog.MaxBytes {
		t.Errorf("%d bytes with those of no session", b.book.length)
	}
	b.want("sessions", b.sessions.Len(), 1)
}

// The pids of a backlog come round in no time. They wrap after a hundred sessions and more than 1,024 numbers.
func TestPidsOfABacklogComeRound(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	session := `
		%[1]d connect from localhost (127.0.0.1)
		%[1]d rsync allowed access on module data from localhost (127.0.0.1)
		%[1]d rsync on data/ from localhost (127.0.0.1)
		%[1]d sent 100 bytes  received 10 bytes  total size 1`
	const rounds, pids = 20, 120
	for round := range rounds {
		for pid := range pids {
			own := 300 + 30*pid + (pid+1)%2*round // every other one was nobody's in the laps before
			b.say(fmt.Sprintf(session, own))
		}
	}
	b.say("+2s")
	b.want("connected", b.book.connected, rounds*pids)
	b.want("executed", b.book.executed, rounds*pids)
	b.want("ended", len(b.book.ended), rounds*pids)
	b.want("implausible", b.book.implausible, 0)
}

func TestAdoptionTellsModulesApart(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module data2 from localhost (127.0.0.1)
		9 connect from localhost (127.0.0.1)
		9 rsync allowed access on module data from localhost (127.0.0.1)
		8 rsync on data2/ from localhost (127.0.0.1)
		10 rsync on data/ from localhost (127.0.0.1)
		8 sent 2 bytes  received 2 bytes  total size 2
		10 sent 1 bytes  received 1 bytes  total size 1
		+2s
		+2h`)
	b.want("ended", b.book.ended, []string{"data2 send ok 2/2", "data send ok 1/1"})
}

func TestPostXferExecBefore32(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from localhost (127.0.0.1)
		8 rsync on post/ from localhost (127.0.0.1)
		8 sent 75313 bytes  received 101 bytes  total size 75006
		+2s
		+2h`)
	b.want("ended", b.book.ended, []string{" send ok 75313/101"})
}

func TestABrokenClientUnderAReusedPid(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + daemonStart + `
		7 connect from localhost (127.0.0.1)
		7 rsync error: error in rsync protocol data stream (code 12) at io.c(340) [Receiver=3.5.0]
		+2s`)
	b.want("ended", b.book.ended, []string{"data send unknown 0/0", "  aborted 0/0"})
	b.want("connected", b.book.connected, 2)
}

func TestAFileThatFailedVerificationMakesItPartial(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + `
		7 WARNING: x failed verification -- update discarded (will try again).
		7 ERROR: x failed verification -- update discarded.
		7 sent 9 bytes  received 8 bytes  total size 7
		+2s`)
	b.want("ended", b.book.ended, []string{"data send partial 9/8"})
}

func TestAnExcludedDestinationIsARefusal(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module inbox from localhost (127.0.0.1)
		7 rsync to inbox/secret from localhost (127.0.0.1)
		7 receiving file list
		7 ERROR: daemon has excluded destination "secret"
		7 rsync error: errors selecting input/output files, dirs (code 3) at main.c(700) [Receiver=3.5.0]
		+2s`)
	b.want("ended", b.book.ended, []string{"inbox receive rejected 0/0"})
}

func TestALateTransferLineKeepsTheSummary(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(pull + `
		7 sent 9 bytes  received 8 bytes  total size 7
		7 send localhost [127.0.0.1] data () late 6
		+2s`)
	b.want("ended", b.book.ended, []string{"data send ok 9/8"})
}

func TestHostsThatLookAlikeOnlyWhenCleaned(t *testing.T) {
	s := newSessions(rsynclog.DefaultLimits())
	a := originOf(s, 0, "\xff")
	if b := originOf(s, 0, "\uFFFD"); a == b || b != originOf(s, 0, "\uFFFD") {
		t.Error("two hosts are one origin, or one host is two")
	}
}

// An upload is killed. Its generator logs an error, and then its receiver does, under its own pid. The upload beside
// it goes on.
func TestAReceiversErrorIsItsOwnUploads(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`
		90 connect from localhost (127.0.0.1)
		90 rsync allowed access on module backup from localhost (127.0.0.1)
		90 rsync to backup/ from alice@localhost (127.0.0.1)
		90 receiving file list
		100 connect from localhost (127.0.0.1)
		100 rsync allowed access on module data from localhost (127.0.0.1)
		100 rsync to data/ from localhost (127.0.0.1)
		100 rsync error: error in socket IO (code 10) at io.c(949) [generator=3.5.0]
		101 rsync error: error in rsync protocol data stream (code 12) at io.c(1) [receiver=3.5.0]
		+2s
		101 rsync error: error in rsync protocol data stream (code 12) at io.c(1) [receiver=3.5.0]
		+2s
		90 sent 1 bytes  received 2 bytes  total size 3
		+2s`)
	b.want("ended", b.book.ended, []string{"data receive aborted 0/0", "backup receive ok 1/2"})
	b.want("exits", len(b.book.exits), 3)
}

// Whose start was missed still has a direction: that of its file list. The first one counts, and it
// counts no execution. A start that comes late, as over UDP, corrects it.
func TestAFileListTellsTheDirectionWhereTheStartWasMissed(t *testing.T) {
	const let = "7 connect from localhost (127.0.0.1)\n7 rsync allowed access on module inbox from localhost (127.0.0.1)\n"
	const summary = "7 sent 5 bytes  received 6 bytes  total size 1\n+3s"
	for script, want := range map[string]string{
		let + "7 receiving file list\n" + summary:                                                     "inbox receive ok 5/6",
		let + "7 building file list\n" + summary:                                                      "inbox send ok 5/6",
		"7 receiving file list\n" + summary:                                                           " receive ok 5/6",
		let + "7 receiving file list\n7 building file list\n" + summary:                               "inbox receive ok 5/6",
		let + "7 receiving file list\n7 send localhost [127.0.0.1] inbox () a 6\n" + summary:          "inbox receive ok 5/6",
		let + "7 building file list\n7 rsync to inbox/ from localhost (127.0.0.1)\n" + summary:        "inbox receive ok 5/6",
		let + "7 rsync to inbox/ from localhost (127.0.0.1)\n7 building file list\n" + summary:        "inbox receive ok 5/6",
		let + summary + "\n7 building file list\n":                                                    "inbox  ok 5/6",
		let + "7 recv localhost [127.0.0.1] inbox () a 6\n7 building file list\n" + summary:           "inbox receive ok 5/6",
		let + "7 receiving file list\n7 rsync: [sender] mkstemp \"/a\" failed: Busy (16)\n" + summary: "inbox receive ok 5/6",
	} {
		b := newTable(t, rsynclog.DefaultLimits())
		b.say(script)
		b.want(script+"ended", b.book.ended, []string{want})
		starts := strings.Count(script, "rsync to ")
		b.want(script+"executed", b.book.executed, starts)
	}
}
