//go:build linux

package datagram

import (
	"bytes"
	"fmt"
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
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

const nobody = 65534

// A proc is a /proc that a test has made.
type proc struct {
	*testing.T
	dir string
}

func newProc(t *testing.T) proc {
	p := proc{t, t.TempDir()}
	p.link("self", strconv.Itoa(os.Getpid()))
	p.link(strconv.Itoa(os.Getpid())+"/ns/pid", "pid:[4026531836]")
	p.process(1, 0, 0, 1, 1)
	return p
}

func (p proc) link(path, target string) {
	p.Helper()
	path = filepath.Join(p.dir, path)
	_ = os.Remove(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		p.Fatal(err)
	}
}

// process makes a process with these ids, one for each namespace that it is in.
func (p proc) process(pid, parent, uid int, started uint64, ids ...int) {
	p.Helper()
	dir := filepath.Join(p.dir, strconv.Itoa(pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.Fatal(err)
	}
	ns := strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", "\t"), "[]")
	status := fmt.Sprintf("Name:\trsync\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\nUid:\t%d\t%[3]d\t%[3]d\t%[3]d\nNStgid:\t%s\nNSpid:\t%[4]s\nNSsid:\t0\t0\n",
		pid, parent, uid, ns)
	stat := fmt.Sprintf("%d (rsync) S %d 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 %d 8192 1 18446744073709551615\n", pid, parent, started)
	for name, text := range map[string]string{"status": status, "stat": stat} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			p.Fatal(err)
		}
	}
}

func (p proc) remove(pid int) {
	p.Helper()
	if err := os.RemoveAll(filepath.Join(p.dir, strconv.Itoa(pid))); err != nil {
		p.Fatal(err)
	}
}

// FAULTS I8: who isn't root speaks for its own process id only, and a start time is that of the process that the header names. What nobody
// can know is not held against anybody.
func TestWhoMaySpeakForWhom(t *testing.T) {
	p := newProc(t)
	p.process(500, 1, 0, 5000, 500)      // rsyncd
	p.process(501, 500, 0, 5010, 501)    // its session, which logs as root and as the module's user
	p.process(510, 1, 1000, 5100, 510)   // somebody
	p.process(520, 1, 0, 5200, 520)      // a relay
	p.process(600, 500, 0, 6000, 600, 1) // a container
	p.process(601, 600, nobody, 6010, 601, 2)
	p.process(610, 600, nobody, 6100, 610, 501)
	inContainer := scopeOf(600, 6000)
	n := pidNamespacesIn(p.dir)
	for _, tt := range []struct {
		what  string
		pid   int32
		uid   uint32
		names int32
		want  receiver.Sender
	}{
		{"a session as root", 501, 0, 501, receiver.Sender{Started: 5010}},
		{"and as another user", 501, nobody, 501, receiver.Sender{Started: 5010}},
		{"somebody for himself", 510, 1000, 510, receiver.Sender{Started: 5100}},
		{"somebody for the session", 510, 1000, 501, receiver.Sender{Forged: true}},
		{"the session's user for it", 510, nobody, 501, receiver.Sender{Forged: true}},
		{"somebody for nobody", 510, 1000, 0, receiver.Sender{}},
		{"a relay", 520, 0, 501, receiver.Sender{}},
		{"root of a container", 600, 0, 2, receiver.Sender{Scope: inContainer}},
		{"its first process for itself", 600, 0, 1, receiver.Sender{Scope: inContainer, Started: 6000}},
		{"a user in it for itself", 601, nobody, 2, receiver.Sender{Scope: inContainer, Started: 6010}},
		{"a user in it for its neighbour", 601, nobody, 1, receiver.Sender{Scope: inContainer, Forged: true}},
		{"a user in it under the number of one of ours", 610, nobody, 501, receiver.Sender{Scope: inContainer, Started: 6100}},
		{"a user in it under its number outside", 601, nobody, 601, receiver.Sender{Started: 6010}},
		{"one that has ended unseen, for itself", 700, 1000, 700, receiver.Sender{}},
		{"one that has ended unseen, for another", 701, 1000, 501, receiver.Sender{Scope: receiver.ForeignScope, Forged: true}},
		{"root's that has ended unseen, for another", 702, 0, 501, receiver.Sender{Scope: receiver.ForeignScope}},
		{"one outside of our pid namespace", 0, 1000, 501, receiver.Sender{Scope: receiver.ForeignScope}},
		{"one outside of our pid namespace, without an id", 0, 1000, 0, receiver.Sender{Scope: receiver.ForeignScope}},
		// systemd-journald hands on what a process logged that has ended: its own id, the process's user.
		{"a journal for a session as its user", 520, nobody, 501, receiver.Sender{}},
		{"a journal for a session as another user", 520, 1000, 501, receiver.Sender{Forged: true}},
		{"a journal for one that never spoke", 520, nobody, 500, receiver.Sender{Forged: true}},
		{"a journal in a container", 600, nobody, 501, receiver.Sender{Scope: inContainer, Forged: true}},
	} {
		if got := n.sender(tt.pid, tt.uid, tt.names, 1); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.what, got, tt.want)
		}
	}
}

// A look is believed for a second. Then another process may have the id; one that has ended stays what it was.
func TestSendersAreRemembered(t *testing.T) {
	p := newProc(t)
	p.process(100, 1, 0, 1000, 100)
	p.process(200, 1, 0, 2000, 200, 1)
	n := pidNamespacesIn(p.dir)
	now := int64(time.Hour)
	want := func(what string, pid, names int32, from receiver.Sender) {
		t.Helper()
		if got := n.sender(pid, nobody, names, now); got != from {
			t.Errorf("%s: %+v, want %+v", what, got, from)
		}
	}
	container := receiver.Sender{Scope: scopeOf(200, 2000), Started: 2000}
	want("ours", 100, 100, receiver.Sender{Started: 1000})
	want("a container", 200, 1, container)
	p.remove(200)
	p.process(100, 1, 0, 1500, 100)
	want("not looked at again", 200, 1, container)
	want("not looked at again", 100, 100, receiver.Sender{Started: 1000})
	now += int64(believed) + 1
	want("it has ended", 200, 1, container)
	want("another process has its id", 100, 100, receiver.Sender{Started: 1500})
	p.process(200, 1, 0, 3000, 200, 1)
	now += int64(believed) + 1
	if scopeOf(200, 3000) == container.Scope {
		t.Error("two namespaces whose first processes had one id have one scope")
	}
	want("another container has the id", 200, 1, receiver.Sender{Scope: scopeOf(200, 3000), Started: 3000})
	p.process(100, 1, 0, 4000, 100, 7)
	now -= int64(time.Minute) // the clock was set
	want("after the clock was set back", 100, 7, receiver.Sender{Scope: receiver.ForeignScope, Started: 4000})
}

// However many processes log, no more than some thousand are remembered. Those that still run are not forgotten for ended ones.
func TestSendersAreBounded(t *testing.T) {
	p := newProc(t)
	n := pidNamespacesIn(p.dir)
	me := os.Getpid() // runs
	p.process(me, 1, 0, 1, me)
	at := int64(time.Hour)
	alive := n.sender(int32(me), 0, int32(me), at)
	const noProcess = 1 << 22 // /proc/sys/kernel/pid_max is at most this
	for pid := int32(noProcess); pid < noProcess+maxSenders-1; pid++ {
		n.sender(pid, 0, pid, at)
	}
	p.remove(me)
	at += 2 * int64(time.Minute)
	n.sender(noProcess-1, 0, 1, at)
	if len(n.known) != 2 {
		t.Errorf("%d processes remembered, want the one that runs and the newest", len(n.known))
	}
	if got := n.sender(int32(me), 0, int32(me), at); got != alive || got.Started != 1 {
		t.Errorf("a silent process that runs is %+v now, was %+v", got, alive)
	}
	for pid := int32(2 * noProcess); pid < 2*noProcess+3*maxSenders; pid++ {
		n.sender(pid, 0, pid, at)
		if len(n.known) > maxSenders {
			t.Fatalf("%d processes remembered, want at most %d", len(n.known), maxSenders)
		}
	}
}

// Where /proc is another pid namespace's, hides others' processes, or isn't there, nobody can be told from anybody: whoever logs under
// another id than its own shares one scope, and nobody has forged anything.
func TestSendersWithoutProc(t *testing.T) {
	foreign, hidden := newProc(t), newProc(t)
	foreign.link("self", "1")
	foreign.link("1/ns/pid", "pid:[4026531836]")
	hidden.remove(1)
	for _, p := range []proc{foreign, hidden} {
		p.process(200, 1, nobody, 2000, 200)
	}
	for _, dir := range []string{foreign.dir, hidden.dir, filepath.Join(hidden.dir, "nowhere")} {
		n := pidNamespacesIn(dir)
		if got := n.sender(200, nobody, 1, 1); got != (receiver.Sender{Scope: receiver.ForeignScope}) {
			t.Errorf("%+v, want scope %d", got, receiver.ForeignScope)
		}
		if got := n.sender(200, nobody, 200, 1); got != (receiver.Sender{}) {
			t.Errorf("under its own id: %+v, want nothing", got)
		}
	}
}

// A namespace goes by its first process, wherever among its ancestors a sender has it; by its inode number where the sender entered it from
// outside, or is too deep below; by nothing where that can't be read either.
func TestPIDNamespaceOfDescendants(t *testing.T) {
	p := newProc(t)
	p.process(500, 1, 0, 10, 500)
	p.process(600, 500, 0, 20, 600, 1)
	p.process(601, 600, 0, 21, 601, 2)
	p.process(602, 601, 0, 22, 602, 3)
	p.process(610, 601, 0, 23, 610, 4, 1)
	p.process(700, 500, 0, 24, 700, 9) // entered
	p.process(701, 700, 0, 25, 701, 10)
	for i := range maxParents {
		p.process(800+i, max(602, 799+i), 0, 30, 800+i, 20+i)
	}
	last := int32(800 + maxParents - 1)
	first, nested := scopeOf(600, 20), scopeOf(610, 23)
	if first <= receiver.ForeignScope || nested <= receiver.ForeignScope || first == nested {
		t.Fatalf("scopes %d and %d, want two different ones above %d", first, nested, receiver.ForeignScope)
	}
	n := pidNamespacesIn(p.dir)
	check := func(pid int32, want place) {
		t.Helper()
		if want.root = want.own > 0; n.placeOf(pid) != want {
			t.Errorf("process %d: %+v; want %+v", pid, n.placeOf(pid), want)
		}
	}
	check(500, place{own: 500})
	check(600, place{own: 1, scope: first})
	check(601, place{own: 2, scope: first})
	check(602, place{own: 3, scope: first})
	check(610, place{own: 1, scope: nested})
	check(700, place{own: 9, scope: receiver.ForeignScope})
	check(701, place{own: 10, scope: receiver.ForeignScope})
	check(last, place{own: 20 + maxParents - 1, scope: receiver.ForeignScope})
	check(900, place{})
	for _, pid := range []int32{601, 701, last} {
		p.link(fmt.Sprintf("%d/ns/pid", pid), "pid:[4026532180]")
	}
	check(601, place{own: 2, scope: first})
	check(701, place{own: 10, scope: scopeOf(4026532180)})
	check(last, place{own: 20 + maxParents - 1, scope: scopeOf(4026532180)})
}

// A /proc without NSpid, as gVisor has it, tells our namespace from others by the link, and nothing more.
func TestPIDNamespaceWithoutNSpid(t *testing.T) {
	p := newProc(t)
	for pid, link := range map[int]string{500: "pid:[4026531836]", 600: "pid:[4026532180]"} {
		p.process(pid, 1, nobody, 10, pid)
		p.link(fmt.Sprintf("%d/ns/pid", pid), link)
		if err := os.WriteFile(filepath.Join(p.dir, strconv.Itoa(pid), "status"), []byte("Name:\trsync\nPPid:\t1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n := pidNamespacesIn(p.dir)
	if got := n.sender(500, nobody, 7, 1); got != (receiver.Sender{Forged: true}) {
		t.Errorf("in ours: %+v, want a forgery", got)
	}
	if got := n.sender(600, nobody, 7, 1); got != (receiver.Sender{Scope: scopeOf(4026532180)}) {
		t.Errorf("in another one: %+v, want its scope and nothing more", got)
	}
}

// The number by hand: FNV-1a of the 16 bytes is the 64 bits that hash/fnv gives, folded to 31. It must not change: state files have it.
func TestScopesStayWhatTheyAre(t *testing.T) {
	const offset, prime = 14695981039346656037, 1099511628211
	sum := uint64(offset)
	for _, b := range []byte{0xd2, 0x04, 0, 0, 0, 0, 0, 0, 0x40, 0xe2, 0x01, 0, 0, 0, 0, 0} { // 1234, 123456
		sum = (sum ^ uint64(b)) * prime
	}
	if got, want := scopeOf(1234, 123456), 1<<31|uint32(sum>>32^sum)&(1<<31-1); got != want {
		t.Errorf("scope %d, want %d", got, want)
	}
}

// readBatches takes what is queued at a socket whose reader doesn't run, as if it were this time.
func readBatches(t *testing.T, u *Unixgram, at int64) {
	t.Helper()
	in := u.sockets[0].in
	for {
		n, errno := in.batch.recv(in.fd, false)
		if errno == unix.EAGAIN {
			return
		} else if errno != 0 {
			t.Fatal(errno)
		}
		in.take(n, at)
	}
}

// startedAt is the start time of a process by the system's own tool.
func startedAt(t *testing.T, pid int) uint64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	ticks, err := strconv.ParseUint(fields[22-3], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return ticks
}

// FAULTS I8 with real processes of root and of another user, in our pid namespace and in others.
func TestUnixgramWhoIsNotRootSpeaksForItself(t *testing.T) {
	sink := newHoldSink(false)
	u := listenUnixgram(t, sink)
	start(t, u)
	for _, tt := range []struct {
		name         string
		ownNamespace bool
		uid          int
	}{{"root", false, 0}, {"root in a container", true, 0}, {"nobody", false, nobody}, {"nobody in a container", true, nobody}} {
		h := startHelperAs(t, u.path, tt.ownNamespace, tt.uid)
		h.send(t, tt.name+" itself")
		h.send(t, "relay "+tt.name+" for another")
		itself, other := sink.Of(t, tt.name+" itself"), sink.Of(t, tt.name+" for another")
		if itself.Forged || itself.Started != startedAt(t, h.pid) || itself.Scope > receiver.ForeignScope != tt.ownNamespace {
			t.Errorf("%s for itself: %+v", tt.name, itself)
		}
		if want := (receiver.Sender{Scope: itself.Scope, Forged: tt.uid != 0}); other != want {
			t.Errorf("%s for another process: %+v, want %+v", tt.name, other, want)
		}
	}
	c := dialUnixgram(t, u)
	asUser(t, nobody, func() { // a thread: the kernel gives the process's id
		send(t, c, "<30>Nov 26 03:00:00 rsyncd: thread without an id")
		send(t, c, fmt.Sprintf("<30>1 2026-11-26T03:00:00Z - rsyncd %d - - x: thread itself", os.Getpid()))
		send(t, c, fmt.Sprintf("<30>1 2026-11-26T03:00:00Z - rsyncd[%d] 505 - - x: thread for another", os.Getpid()))
		send(t, c, fmt.Sprintf("<30>Nov 26 03:00:00 a[%d] b[505]: hidden behind its own", os.Getpid()))
	})
	for text, want := range map[string]receiver.Sender{
		"thread without an id": {}, "x: thread itself": {Started: startedAt(t, os.Getpid())}, "x: thread for another": {Forged: true},
		"hidden behind its own": {Forged: true},
	} {
		_, text, _ = strings.Cut("x: "+text, ": ")
		if got := sink.Of(t, strings.TrimPrefix(text, "x: ")); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

// A process that has ended before anybody looked: root is believed, others for their own id only.
func TestUnixgramSendersThatHaveEnded(t *testing.T) {
	sink := newHoldSink(false)
	u := listenUnixgram(t, sink)
	for name, uid := range map[string]int{"root": 0, "nobody": nobody} {
		h := startHelperAs(t, u.path, false, uid)
		h.send(t, name+" itself")
		h.send(t, "relay "+name+" for another")
		h.end()
	}
	readBatches(t, u, 1)
	want := map[string]receiver.Sender{"root itself": {}, "root for another": {Scope: receiver.ForeignScope}, "nobody itself": {},
		"nobody for another": {Scope: receiver.ForeignScope, Forged: true}}
	for text, from := range want {
		if got := sink.Of(t, text); got != from {
			t.Errorf("%s: %+v, want %+v", text, got, from)
		}
	}
}

// What systemd-journald sends: the credentials of whoever logged, and its own process id beside the user's number once the process has
// ended. The last line of a session, which ends with it, usually comes so.
func TestUnixgramJournalForEndedProcesses(t *testing.T) {
	sink := newHoldSink(false)
	u := listenUnixgram(t, sink)
	session, other := startHelperAs(t, u.path, false, nobody), startHelperAs(t, u.path, false, 65533)
	root := startHelper(t, u.path, false)
	journal := func(pid, uid int, text string) {
		t.Helper()
		root.send(t, fmt.Sprintf("journal %d %d %d %s", pid, uid, session.pid, text))
	}
	journal(session.pid, nobody, "while it runs")
	readBatches(t, u, 1)
	started := startedAt(t, session.pid)
	session.end()
	journal(root.pid, nobody, "after its end")
	journal(root.pid, 65533, "after another one's end")
	other.send(t, "other itself")
	other.send(t, "relay other for another")
	readBatches(t, u, 1)
	for text, want := range map[string]receiver.Sender{"while it runs": {Started: started}, "after its end": {}, "after another one's end": {Forged: true},
		"other for another": {Forged: true}} {
		if got := sink.Of(t, text); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

// FAULTS I6: containers after one another, each with the pid namespace's inode number of the one before. Each has a scope of its own, which
// another run of the exporter gives it, too.
func TestUnixgramContainersAfterOneAnother(t *testing.T) {
	sink := newHoldSink(false)
	u := listenUnixgram(t, sink)
	start(t, u)
	const containers = 24
	inodes, scopes := map[string]bool{}, map[uint32]bool{}
	for i := range containers {
		h := startHelper(t, u.path, true)
		text := fmt.Sprintf("container %d", i)
		if pid := h.send(t, text); pid != "1" {
			t.Fatalf("process %s is not the first of its namespace", pid)
		}
		inode, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", h.pid))
		if err != nil {
			t.Fatal(err)
		}
		scope := sink.Of(t, text).Scope
		if again := newPIDNamespaces().sender(int32(h.pid), 0, 1, 1).Scope; again != scope {
			t.Errorf("scope %d, and %d for another reader", scope, again)
		}
		inodes[inode], scopes[scope] = true, true
		h.end()
	}
	if len(scopes) != containers || scopes[0] || scopes[receiver.ForeignScope] {
		t.Errorf("%d scopes for %d containers: %v", len(scopes), containers, scopes)
	}
	t.Logf("%d containers had %d inode numbers", containers, len(inodes))
}

// A process id that the kernel hands out again has another start time. It takes a pid namespace to choose the id of the next process.
func TestUnixgramProcessIDsComeRound(t *testing.T) {
	command := testenv.OwnMounts(t, "/bin/sh", "-c", `mount -t proc proc /proc && exec "$@"`, "sh",
		os.Args[0], "-test.run=^TestUnixgramHelperReusesIDs$", "-test.v")
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "UNIXGRAM_HELPER_IDS=1", quickExit)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestUnixgramHelperReusesIDs")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// What TestUnixgramProcessIDsComeRound runs as the first process of a pid namespace; otherwise it tests nothing.
func TestUnixgramHelperReusesIDs(t *testing.T) {
	if os.Getenv("UNIXGRAM_HELPER_IDS") == "" {
		return
	}
	sink := newHoldSink(false)
	u := listenUnixgram(t, sink)
	const pid = 5000
	var starts []uint64
	for at := int64(0); len(starts) < 3; at += int64(believed) + 1 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0o644); err != nil {
			t.Fatal(err)
		}
		h := startHelper(t, u.path, false)
		// Another thread may have taken the id, and a clock tick is 10 ms: then it is tried again.
		if now := startedAt(t, h.pid); h.pid == pid && !slices.Contains(starts, now) {
			starts = append(starts, now)
			text := fmt.Sprintf("life %d", len(starts))
			h.send(t, text)
			readBatches(t, u, at)
			if got := sink.Of(t, text); got != (receiver.Sender{Started: now}) {
				t.Errorf("%s: %+v, want a start at %d", text, got, now)
			}
		}
		h.end()
	}
}

// Whatever the message, it is judged by the process id that the dialect reads in it: the sender is believed under this one and under no other.
func FuzzUnixgramJudgesWhatTheDialectReads(f *testing.F) {
	for _, s := range []string{costMessage, "<30>Nov 23 18:40:52 rsyncd[m3]: x", "<30>Nov 23 18:40:52 a[7] b[9]: x", "<30>a[7]: b[9]: x",
		"<30>1 2026-11-23T18:40:52Z - rsyncd 505 - - x", "<30>1 2026-11-23T18:40:52Z - my - - - tag[4414]: x", "<30>Nov 23 18:40:52 rsyncd: [505]: x",
		"<30>Nov 23 18:40:52 rsyncd[2147483648]: x", "<30>Nov 23 18:40:52 rsyncd[007]: x", "<30>Nov 23 18:40:52 " + strings.Repeat("t", 27) + "[505] x",
		"<30>Nov 23 18:40:52 rsyncd[505]:", "<30>Nov 23 18:40:52 rsyncd[1][2]: x\x00", "[505]: x", ""} {
		f.Add([]byte(s))
	}
	dir := newProcForFuzz(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > receiver.MaxMessage {
			t.Skip("longer than a Unixgram keeps")
		}
		var m receiver.Message
		kept := syslog.Auto{Local: true}.Scan(raw, &m) == receiver.Kept
		in := newDatagrams(-1, &testSource, nil, filter{spaces: pidNamespacesIn(dir)})
		judge := func(pid int32) receiver.Sender {
			c := &in.batch.control[0]
			c.header.Level, c.header.Type = unix.SOL_SOCKET, unix.SCM_CREDENTIALS
			c.ucred = unix.Ucred{Pid: pid, Uid: nobody}
			from, _ := in.sender(0, raw, 1)
			return from
		}
		const somebody = 42
		if got, want := judge(somebody).Forged, kept && m.PID != 0 && m.PID != somebody; got != want {
			t.Errorf("%q of another process: forged %v, want %v; the dialect reads %d, kept %v", raw, got, want, m.PID, kept)
		}
		if kept && m.PID != 0 && judge(m.PID).Forged {
			t.Errorf("%q of process %d itself is forged", raw, m.PID)
		}
	})
}

// newProcForFuzz is an empty /proc that shows our own pid namespace.
func newProcForFuzz(f *testing.F) string {
	dir := f.TempDir()
	for link, target := range map[string]string{"self": strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getpid()) + "/ns/pid": "pid:[4026531836]"} {
		_ = os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o755)
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			f.Fatal(err)
		}
	}
	_ = os.Mkdir(filepath.Join(dir, "1"), 0o755)
	if err := os.WriteFile(filepath.Join(dir, "1", "stat"), []byte("1 (init) S 0 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 3 8192\n"), 0o644); err != nil {
		f.Fatal(err)
	}
	return dir
}

// A program's name is its own choice. What stands behind it is the kernel's.
func FuzzProcessStarted(f *testing.F) {
	f.Add("rsync", uint64(123456))
	f.Add(") S 1 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 7 (", uint64(0))
	f.Add("a b) R 9 \n", uint64(1)<<63)
	f.Fuzz(func(t *testing.T, name string, started uint64) {
		text := fmt.Appendf(nil, "42 (%s) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 %d 8192 1 18446744073709551615 0\n", name, started)
		if got, ok := parseStarted(text); got != started || !ok {
			t.Errorf("%q: started %d, %v; want %d", text, got, ok, started)
		}
		_, _ = parseStarted([]byte(name)) // whatever it is, no panic
	})
}

func FuzzProcessStatus(f *testing.F) {
	f.Add([]byte("Name:\trsync\nPPid:\t1\nUid:\t65534\t0\t0\t0\nNSpid:\t601\t2\n"), 65534, int32(601), int32(2))
	f.Add([]byte("NSpid:\nUid:\nPPid:\n::\n\t"), 0, int32(1), int32(4194304))
	f.Fuzz(func(t *testing.T, before []byte, uid int, pid, own int32) {
		uid, pid, own = max(0, uid), max(1, pid), max(1, own)
		if text := parseStatus(before); text.own < 0 || text.parent < 0 || text.depth < 0 {
			t.Errorf("%q: %+v", before, text)
		}
		want := status{own: own, parent: pid, depth: 2, root: uid == 0}
		text := append(bytes.TrimRight(before, "\n"), fmt.Sprintf("\nPPid:\t%d\nUid:\t%d\t0\t0\t0\nNSpid:\t%[1]d\t%[3]d\n", pid, uid, own)...)
		if got := parseStatus(text); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	})
}
