//go:build linux

package receiver

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asUser runs f on a thread that belongs to another user, and throws the thread away.
func asUser(t *testing.T, uid int, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		// The raw call changes one thread; package syscall's changes all.
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
		if errno != 0 {
			done <- errno
			return
		}
		f()
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// FAULTS X9: who isn't on the list of users can't log; that is counted.
func TestUnixgramUsers(t *testing.T) {
	const nobody = 65534
	me := uint32(os.Getuid())
	for _, tt := range []struct {
		users      []uint32
		me, nobody bool
	}{{nil, true, true}, {[]uint32{me}, true, false}, {[]uint32{nobody}, false, true}, {[]uint32{nobody, me}, true, true}, {[]uint32{12345}, false, false}} {
		sink := newHoldSink(false)
		path := filepath.Join(t.TempDir(), "log")
		u, err := ListenUnixgram(path, testSource, sink, UnixgramOptions{Users: tt.users})
		if err != nil {
			t.Fatal(err)
		}
		stop := start(t, u)
		c := dialUnixgram(t, u)
		var want []string
		refused := uint64(0)
		note := func(m string, ok bool) {
			if ok {
				want = append(want, m)
			} else {
				refused++
			}
		}
		for i := range 5 {
			mine, theirs := fmt.Sprintf("<30>mine %d", i), fmt.Sprintf("<30>theirs %d", i)
			send(t, c, mine)
			note(mine, tt.me)
			asUser(t, nobody, func() { _, _ = c.Write([]byte(theirs)) })
			note(theirs, tt.nobody)
		}
		reach(t, "all received", func() bool { return sink.received() == 10 })
		stop()
		if got, discarded := sink.all(); !slices.Equal(got, want) || discarded[NotAllowed] != refused {
			t.Errorf("users %d: got %q, discarded %v; want %q, %d not allowed", tt.users, got, discarded, want, refused)
		}
	}
}

// The same with the descriptors that a sender may attach: credentials arrive, descriptors don't.
func TestUnixgramCredentialsLeaveNoRoomForDescriptors(t *testing.T) {
	sink := newHoldSink(false)
	path := filepath.Join(t.TempDir(), "log")
	u, err := ListenUnixgram(path, testSource, sink, UnixgramOptions{Users: []uint32{uint32(os.Getuid())}})
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(u.sockets[0].in.fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 1) // as on a kernel before 6.16
	start(t, u)
	raw, err := dialUnixgram(t, u).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	many := make([]int, 250) // SCM_MAX_FD is 253
	for i := range many {
		many[i] = int(null.Fd())
	}
	before := openDescriptors(t)
	const sent = 20
	for range sent {
		if werr := raw.Write(func(fd uintptr) bool {
			err = unix.Sendmsg(int(fd), []byte("<30>fds"), unix.UnixRights(many...), nil, 0)
			return err != unix.EAGAIN
		}); werr != nil || err != nil {
			t.Fatal(werr, err)
		}
	}
	reach(t, "all received", func() bool { return sink.received() == sent })
	if got, discarded := sink.all(); len(got) != sent {
		t.Errorf("%d messages, discarded %v; want %d", len(got), discarded, sent)
	}
	if after := openDescriptors(t); after > before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
}

func TestHasPID(t *testing.T) {
	for _, tt := range []struct {
		message string
		pid     int32
		want    bool
	}{
		{"<30>Nov 23 18:40:52 rsyncd[505]: connect from localhost (127.0.0.1)\n", 505, true},
		{"<30>Nov 23 18:40:52 rsyncd[505]: connect from localhost (127.0.0.1)\n", 50, false},
		{"<30>Nov 23 18:40:52 rsyncd[505]: connect from localhost (127.0.0.1)\n", 5050, false},
		{"<30>Nov 23 18:40:52 rsyncd: [505]: x", 505, true}, // a client's words where the pid is missing: then there is no session
		{"rsyncd[1]: sent [505]", 505, false},
		{"[4194304]", 4194304, true}, {"[2147483647]", 2147483647, true}, {"[4294967801]", 505, false}, {"[18446744073709552121]", 505, false},
		{"[0]", 0, false}, {"[]", 0, false}, {"[", 1, false}, {"[1", 1, false}, {"[-1]", -1, false}, {"[+1]", 1, false}, {"[ 1]", 1, false},
		{"", 1, false}, {"no brackets", 1, false},
	} {
		if got := hasPID([]byte(tt.message), tt.pid); got != tt.want {
			t.Errorf("hasPID(%q, %d) = %v", tt.message, tt.pid, got)
		}
	}
}

// A proc is a /proc that a test has made.
type proc struct {
	*testing.T
	dir string
}

func newProc(t *testing.T) proc {
	p := proc{t, t.TempDir()}
	p.link("self", strconv.Itoa(os.Getpid()))
	p.link(strconv.Itoa(os.Getpid())+"/ns/pid", "pid:[4026531836]")
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

func (p proc) remove(pid int) {
	p.Helper()
	if err := os.RemoveAll(filepath.Join(p.dir, strconv.Itoa(pid))); err != nil {
		p.Fatal(err)
	}
}

// A process is looked at once, and again after a second, since another one may have its number then; one that is gone stays what it was. The numbers
// of namespaces are above those of all other scopes.
func TestPIDNamespacesAreRemembered(t *testing.T) {
	p := newProc(t)
	p.link("100/ns/pid", "pid:[4026531836]") // ours: a relay
	p.link("200/ns/pid", "pid:[4026532180]")
	p.link("300/ns/pid", "pid:[4026532181]")
	n := pidNamespacesIn(p.dir, 0)
	now := int64(time.Hour)
	want := func(what string, pid int32, scope uint32) {
		t.Helper()
		if got := n.scope(pid, now); got != scope {
			t.Errorf("%s: scope of process %d is %d, want %d", what, pid, got, scope)
		}
	}
	want("a relay", 100, 0)
	want("a container", 200, 4026532180)
	want("another", 300, 4026532181)
	want("one that nobody sees", 0, ForeignScope)
	want("one that has gone before it was looked at", 400, ForeignScope)
	p.remove(200)
	p.link("100/ns/pid", "pid:[4026532182]")
	want("not looked at again", 200, 4026532180)
	want("not looked at again", 100, 0)
	now += int64(believed) + 1
	want("it is gone", 200, 4026532180)
	want("another process has its number", 100, 4026532182)
	p.link("200/ns/pid", "pid:[4026531836]")
	now += int64(believed) + 1
	want("another process has its number", 200, 0)
	now -= int64(time.Minute) // the clock was set
	p.link("200/ns/pid", "pid:[4026532183]")
	want("after the clock was set back", 200, 4026532183)
}

// However many processes log, no more than some thousand are remembered, and those that log now are not forgotten for old ones.
func TestPIDNamespacesAreBounded(t *testing.T) {
	p := newProc(t)
	n := pidNamespacesIn(p.dir, 0)
	p.link("7/ns/pid", "pid:[4026532180]")
	at := int64(time.Hour)
	for pid := int32(1000); pid < 1000+maxSenders-1; pid++ {
		n.scope(pid, at)
	}
	at += 2 * int64(time.Minute)
	n.scope(7, at)
	p.remove(7)
	for pid := int32(100_000); pid < 100_100; pid++ {
		n.scope(pid, at)
	}
	if got := n.scope(7, at); got != 4026532180 {
		t.Errorf("the scope of a process that logged just now is forgotten: %d", got)
	}
	for pid := int32(200_000); pid < 200_000+3*maxSenders; pid++ {
		n.scope(pid, at)
		if len(n.known) > maxSenders {
			t.Fatalf("%d processes remembered, want at most %d", len(n.known), maxSenders)
		}
	}
}

// Where /proc is another pid namespace's, or isn't there, nobody can be told from anybody: whoever logs under another number than his own
// shares one scope.
func TestPIDNamespacesWithoutProc(t *testing.T) {
	p := newProc(t)
	p.link("self", "1")
	p.link("1/ns/pid", "pid:[4026531836]")
	p.link("200/ns/pid", "pid:[4026532180]")
	for _, dir := range []string{p.dir, filepath.Join(p.dir, "nowhere")} {
		if got := pidNamespacesIn(dir, 0).scope(200, 1); got != ForeignScope {
			t.Errorf("scope %d, want %d", got, ForeignScope)
		}
	}
}

// A helper is this test program as another process, in a pid namespace of its own if it is to be the first process of one.
type helper struct {
	pid int
	in  *bufio.Writer
	out *bufio.Scanner
}

// quickExit keeps a program with the race detector from sleeping for a second at its end.
const quickExit = "GORACE=atexit_sleep_ms=0"

// startHelper runs TestUnixgramHelperSends with a connection to the socket.
func startHelper(t *testing.T, socket string, ownNamespace bool) *helper {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestUnixgramHelperSends$")
	cmd.Env = append(os.Environ(), "UNIXGRAM_HELPER_SOCKET="+socket, quickExit)
	if ownNamespace {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return &helper{cmd.Process.Pid, bufio.NewWriter(in), bufio.NewScanner(out)}
}

// send has it log a text under its own process id, and returns that.
func (h *helper) send(t *testing.T, text string) (pid string) {
	t.Helper()
	fmt.Fprintln(h.in, text)
	if err := h.in.Flush(); err != nil {
		t.Fatal(err)
	}
	if !h.out.Scan() {
		t.Fatalf("the helper ended: %v", h.out.Err())
	}
	return h.out.Text()
}

// What startHelper starts: sends each line of standard input as syslog(3) would; otherwise it tests nothing.
func TestUnixgramHelperSends(t *testing.T) {
	socket := os.Getenv("UNIXGRAM_HELPER_SOCKET")
	if socket == "" {
		return
	}
	c, err := net.Dial("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if text, relayed := strings.CutPrefix(lines.Text(), "relay "); relayed {
			fmt.Fprintf(c, "<30>Nov 26 03:00:00 rsyncd[505]: %s", text)
		} else {
			fmt.Fprintf(c, "<30>Nov 26 03:00:00 rsyncd[%d]: %s", os.Getpid(), text)
		}
		fmt.Println(os.Getpid())
	}
}

// scopeSink keeps the scope of each message.
type scopeSink struct {
	mu     sync.Mutex
	held   bool
	scopes map[string]uint32 // by text
}

func (s *scopeSink) Deliver(*Source, *Slab) { panic("a datagram reader must not wait") }
func (s *scopeSink) TryDeliver(src *Source, slab *Slab) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held {
		return false
	}
	for i, m := range slab.Messages {
		_, text, _ := strings.Cut(string(m), "]: ")
		s.scopes[text] = slab.Sender(src, i).Scope
	}
	return true
}

func (s *scopeSink) all() map[string]uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	scopes := map[string]uint32{}
	for text, scope := range s.scopes {
		scopes[text] = scope
	}
	return scopes
}

// Real pid namespaces: two processes that are number 1 of theirs log into one socket, between a process of our own and a relay. Each namespace
// has a scope, and ours has scope 0, also when the messages wait in the pending ring, mixed.
func TestUnixgramPIDNamespacesAreToldApart(t *testing.T) {
	for _, held := range []bool{false, true} {
		sink := &scopeSink{scopes: map[string]uint32{}, held: held}
		u := listenUnixgram(t, sink)
		start(t, u)
		own, first, second := startHelper(t, u.path, false), startHelper(t, u.path, true), startHelper(t, u.path, true)
		const rounds = 20
		for i := range rounds {
			for name, h := range map[string]*helper{"own": own, "first": first, "second": second} {
				pid := h.send(t, fmt.Sprintf("%s %d", name, i))
				if (pid == "1") != (name != "own") {
					t.Fatalf("process %s is number %s of its namespace", name, pid)
				}
			}
			own.send(t, fmt.Sprintf("relay own %d", rounds+i))
		}
		sink.mu.Lock()
		sink.held = false
		sink.mu.Unlock()
		reach(t, "all received", func() bool { return len(sink.all()) == 4*rounds })
		scopes := map[string]uint32{}
		for text, scope := range sink.all() {
			name, _, _ := strings.Cut(text, " ")
			if before, ok := scopes[name]; ok && before != scope {
				t.Fatalf("held=%v: %q has scope %d, others of that process %d", held, text, scope, before)
			}
			scopes[name] = scope
		}
		if scopes["own"] != 0 || scopes["first"] < ForeignScope || scopes["second"] < ForeignScope || scopes["first"] == scopes["second"] {
			t.Errorf("held=%v: scopes %v; want 0 for our own, and two different ones from %d on", held, scopes, ForeignScope)
		}
	}
}

// An unprivileged exporter may not follow the link /proc/PID/ns/pid of root's processes. Their status, which it may read, tells as much.
func TestUnixgramPIDNamespacesWithoutPrivilege(t *testing.T) {
	u := listenUnixgram(t, newHoldSink(false))
	own, first, second := startHelper(t, u.path, false), startHelper(t, u.path, true), startHelper(t, u.path, true)
	asUser(t, 65534, func() {
		n := newPIDNamespaces(0)
		for _, h := range []*helper{own, first, second} {
			if _, err := os.Readlink(n.path(int32(h.pid), "ns/pid")); !os.IsPermission(err) {
				t.Errorf("the link of process %d: %v, want a refusal, or this tests nothing", h.pid, err)
			}
		}
		if got := n.scope(int32(own.pid), 1); got != 0 {
			t.Errorf("scope of a process of our own namespace is %d", got)
		}
		for i, h := range []*helper{first, second} {
			if got, want := n.scope(int32(h.pid), 1), ForeignScope+1+uint32(i); got != want {
				t.Errorf("scope of the first process of a namespace is %d, want %d", got, want)
			}
		}
	})
}

// A child, and a process that has entered the namespace from outside.
func TestPIDNamespaceOfDescendants(t *testing.T) {
	p := newProc(t)
	status := func(pid, parent int, ns string) {
		t.Helper()
		dir := filepath.Join(p.dir, strconv.Itoa(pid))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("Name:\trsync\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\nNStgid:\t%s\nNSpid:\t%s\nNSsid:\t0\t0\n", pid, parent, ns, ns)
		if err := os.WriteFile(filepath.Join(dir, "status"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	status(1, 0, "1")
	status(500, 1, "500")
	status(600, 500, "600\t1")
	status(601, 600, "601\t2")
	status(602, 601, "602\t3")
	status(610, 601, "610\t4\t1")
	status(700, 500, "700\t9") // entered
	status(701, 700, "701\t10")
	n := pidNamespacesIn(p.dir, 0)
	for _, tt := range []struct {
		pid   int32
		scope uint32
	}{{500, 0}, {600, ForeignScope + 1}, {601, ForeignScope + 1}, {602, ForeignScope + 1}, {610, ForeignScope + 2}, {700, ForeignScope}, {701, ForeignScope}, {602, ForeignScope + 1}} {
		if got, found := n.lookAtStatus(tt.pid, 1); got != tt.scope || !found {
			t.Errorf("process %d: scope %d, found %v; want %d", tt.pid, got, found, tt.scope)
		}
	}
	if _, found := n.lookAtStatus(800, 1); found {
		t.Error("a process that doesn't exist was found")
	}
}

// However many containers come and go, there are no more scopes than some thousand; the one that was silent longest makes room. Two sockets'
// scopes are different.
func TestNamedPIDNamespacesAreBounded(t *testing.T) {
	first, second := newPIDNamespaces(0), newPIDNamespaces(1)
	if first.name(7, 1) == second.name(8, 1) {
		t.Error("two readers give two namespaces one scope")
	}
	seen := map[uint32]bool{}
	for pid := int32(1000); pid < 1000+3*maxNamed; pid++ {
		seen[first.name(pid, int64(pid))] = true
		first.name(7, int64(pid))
	}
	if len(seen) > maxNamed {
		t.Errorf("%d scopes, want at most %d", len(seen), maxNamed)
	}
	if got, want := first.name(7, 1e6), ForeignScope+1; got != want || seen[want] {
		t.Errorf("the namespace that logs all the time has scope %d now, want %d, and no other one has it", got, want)
	}
}

// One message of a unix socket costs no allocation: with credentials looked at, from our own namespace, a relay or another one.
func TestUnixgramAllocatesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	sink := &switchSink{}
	u, err := ListenUnixgram(path, testSource, sink, UnixgramOptions{Users: []uint32{uint32(os.Getuid())}})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	c := dialUnixgram(t, u)
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	foreign := int32(4711)
	u.sockets[0].in.filter.spaces.known[foreign] = process{scope: 4026532180, looked: 1}
	err = raw.Control(func(fd uintptr) {
		for _, message := range [][]byte{costMessageOf(os.Getpid()), costMessageOf(505)} {
			for _, busy := range []bool{false, true} {
				round := func() {
					sink.busy = busy
					for range 8 {
						_ = unix.Send(int(fd), message, unix.MSG_DONTWAIT)
					}
					for got, tries := 0, 0; got < 8 && tries < 100; tries++ {
						if n, errno := u.sockets[0].in.batch.recv(u.sockets[0].in.fd, false); errno == 0 {
							u.sockets[0].in.take(n, 1)
							got += n
						}
					}
					u.sockets[0].in.slab.Reset()
					u.sockets[0].in.slab.add(message, Sender{Scope: u.sockets[0].in.filter.spaces.scope(foreign, 1)})
					u.sockets[0].in.handOver()
					sink.busy = false
					u.sockets[0].in.pending.offer(u.sockets[0].in.src, sink)
				}
				if n := testing.AllocsPerRun(50, round); n != 0 {
					t.Errorf("busy=%v, %q: %v allocations for 9 messages, want 0", busy, message[:30], n)
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if sink.messages != 4*51*9 {
		t.Errorf("%d messages, want %d", sink.messages, 4*51*9)
	}
}
