//go:build linux

package datagram

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/receiver"
)

// asUser runs f on a thread that belongs to another user, and throws the thread away.
func asUser(t *testing.T, uid int, f func()) {
	t.Helper()
	testenv.OnThrownThread(func() {
		// The raw call changes one thread; package syscall's changes all.
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
		if errno != 0 {
			t.Error(errno)
			return
		}
		f()
	})
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
		reach(t, "all received", func() bool { return sink.Received() == 10 })
		stop()
		if got, discarded := sink.All(); !slices.Equal(got, want) || discarded[receiver.NotAllowed] != refused {
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
	reach(t, "all received", func() bool { return sink.Received() == sent })
	if got, discarded := sink.All(); len(got) != sent {
		t.Errorf("%d messages, discarded %v; want %d", len(got), discarded, sent)
	}
	reach(t, "no more descriptors than before", func() bool { return openDescriptors(t) <= before })
}

// A helper is this test program as another process, in a pid namespace of its own if it is to be the first process of one.
type helper struct {
	pid int
	in  *bufio.Writer
	out *bufio.Scanner
	end func() // waits until it has ended
}

// quickExit keeps a program with the race detector from sleeping for a second at its end.
const quickExit = "GORACE=atexit_sleep_ms=0"

// startHelper runs TestUnixgramHelperSends with a connection to the socket.
func startHelper(t *testing.T, socket string, ownNamespace bool) *helper {
	return startHelperAs(t, socket, ownNamespace, os.Getuid())
}

// startHelperAs is startHelper for another user.
func startHelperAs(t *testing.T, socket string, ownNamespace bool, uid int) *helper {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestUnixgramHelperSends$")
	cmd.Env = append(os.Environ(), "UNIXGRAM_HELPER_SOCKET="+socket, fmt.Sprintf("UNIXGRAM_HELPER_UID=%d", uid), quickExit)
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
	end := sync.OnceFunc(func() {
		in.Close()
		_ = cmd.Wait()
	})
	t.Cleanup(end)
	return &helper{cmd.Process.Pid, bufio.NewWriter(in), bufio.NewScanner(out), end}
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
	if _, err := strconv.Atoi(h.out.Text()); err != nil {
		t.Fatalf("the helper says %q", h.out.Text())
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
	uid, err := strconv.Atoi(os.Getenv("UNIXGRAM_HELPER_UID"))
	if err != nil {
		t.Fatal(err)
	}
	if uid != os.Getuid() { // not before: another user may not run this program where it lies
		if err := syscall.Setresuid(uid, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if journal, ok := strings.CutPrefix(lines.Text(), "journal "); ok { // process and user for the kernel, process for the header, text
			var creds unix.Ucred
			var pid int
			if _, err := fmt.Sscan(journal, &creds.Pid, &creds.Uid, &pid); err != nil {
				t.Fatal(err)
			}
			text := strings.SplitN(journal, " ", 4)[3]
			message := fmt.Appendf(nil, "<30>Nov 26 03:00:00 rsyncd[%d]: %s", pid, text)
			raw, err := c.(*net.UnixConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			if cerr := raw.Control(func(fd uintptr) { err = unix.Sendmsg(int(fd), message, unix.UnixCredentials(&creds), nil, 0) }); cerr != nil || err != nil {
				t.Fatal(cerr, err)
			}
		} else if text, relayed := strings.CutPrefix(lines.Text(), "relay "); relayed {
			fmt.Fprintf(c, "<30>Nov 26 03:00:00 rsyncd[505]: %s", text)
		} else {
			fmt.Fprintf(c, "<30>Nov 26 03:00:00 rsyncd[%d]: %s", os.Getpid(), text)
		}
		fmt.Println(os.Getpid())
	}
}

// Real pid namespaces: two processes that are number 1 of theirs log into one socket, between a process of our own and a relay. Each namespace
// has a scope, and ours has scope 0, also when the messages wait in the pending ring, mixed.
func TestUnixgramPIDNamespacesAreToldApart(t *testing.T) {
	for _, held := range []bool{false, true} {
		sink := newHoldSink(held)
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
		sink.Hold(false)
		reach(t, "all received", func() bool { return sink.Received() == 4*rounds })
		scopes := map[string]uint32{}
		for message, from := range sink.Senders() {
			_, text, _ := strings.Cut(message, ": ")
			scope := from.Scope
			name, _, _ := strings.Cut(text, " ")
			if before, ok := scopes[name]; ok && before != scope {
				t.Fatalf("held=%v: %q has scope %d, others of that process %d", held, text, scope, before)
			}
			scopes[name] = scope
		}
		if scopes["own"] != 0 || scopes["first"] < receiver.ForeignScope || scopes["second"] < receiver.ForeignScope || scopes["first"] == scopes["second"] {
			t.Errorf("held=%v: scopes %v; want 0 for our own, and two different ones from %d on", held, scopes, receiver.ForeignScope)
		}
	}
}

// An unprivileged exporter may not follow the link /proc/PID/ns/pid of root's processes. Their status, which it may read, tells as much.
func TestUnixgramPIDNamespacesWithoutPrivilege(t *testing.T) {
	u := listenUnixgram(t, newHoldSink(false))
	own, first, second := startHelper(t, u.path, false), startHelper(t, u.path, true), startHelper(t, u.path, true)
	all := newPIDNamespaces()
	asUser(t, 65534, func() {
		n := newPIDNamespaces()
		for _, h := range []*helper{own, first, second} {
			if _, err := os.Readlink(n.path(int32(h.pid), "ns/pid")); !os.IsPermission(err) {
				t.Errorf("the link of process %d: %v, want a refusal, or this tests nothing", h.pid, err)
			}
			relayed, itself := n.sender(int32(h.pid), 0, 505, 1), n.sender(int32(h.pid), 0, 1, 1)
			if h == own && relayed != (receiver.Sender{}) {
				t.Errorf("our own namespace: %+v", relayed)
			} else if h != own && (itself.Scope <= receiver.ForeignScope || itself.Started == 0) {
				t.Errorf("another namespace: %+v", itself)
			}
			if privileged := all.sender(int32(h.pid), 0, 505, 1); privileged != relayed {
				t.Errorf("%+v with privilege, %+v without: the scope must not change with that", privileged, relayed)
			}
		}
	})
}

// One message of a unix socket costs no allocation: with credentials looked at, from our own namespace, a relay or another one.
func TestUnixgramAllocatesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	sink := receivertest.NewCounter()
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
	u.sockets[0].in.filter.spaces.known[foreign] = &process{place: place{scope: 4026532180, own: 7}, placed: true, looked: 1}
	err = raw.Control(func(fd uintptr) {
		for _, message := range [][]byte{costMessageOf(os.Getpid()), costMessageOf(505)} {
			for _, busy := range []bool{false, true} {
				round := func() {
					sink.Hold(busy)
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
					u.sockets[0].in.slab.Add(message, u.sockets[0].in.filter.spaces.sender(foreign, 0, 7, 1))
					u.sockets[0].in.handOver()
					sink.Hold(false)
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
	if sink.Received() != 4*51*9 {
		t.Errorf("%d messages, want %d", sink.Received(), 4*51*9)
	}
}
