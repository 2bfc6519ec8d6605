package datagram

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
)

const raceVariable = "UNIXGRAM_RACE" // what TestUnixgramHelperIsRaced is to do: the socket's path and the user

// Somebody who may write to the socket's directory removes the socket, waits for it to be made again, and at that moment puts something of
// his own in its place, thousands of times: a symbolic link, which must lead nobody to its target, or a socket of his own, which must not pass
// for the exporter's. He is another process, as root in a container that shares the directory is; the exporter is root, or a user who isn't.
func TestUnixgramRace(t *testing.T) {
	const nobody = 65532
	for name, c := range map[string]struct {
		user    int
		netlink bool // the kernel can be asked whose a socket is; where it can't, another's socket may pass for one's own
	}{
		"as root":         {os.Getuid(), true},
		"as a user":       {nobody, true},
		"without netlink": {os.Getuid(), false},
	} {
		t.Run(name, func(t *testing.T) {
			if c.user != os.Getuid() && os.Getuid() != 0 {
				t.Skip("only root can be another user")
			}
			a := newSocketThief(t, c.user, c.netlink)
			a.waitForSocket()
			a.say("sure?", strconv.FormatBool(c.netlink))
			for try := range testenv.Tortured(1000, 20_000) {
				a.waitForSocket()
				if try%2 == 0 || !c.netlink {
					a.putLink()
				} else {
					a.putSocket()
				}
				if a.inPlace() {
					t.Fatalf("try %d: the path leads elsewhere, and the exporter takes it for its own", try)
				}
				a.takeAway()
			}
			a.checkVictims()
			a.waitForSocket()
			a.say("close", "closed")
			if left, err := os.ReadDir(a.dir); err != nil || len(left) != 0 {
				t.Errorf("%v, %v is left of it, want nothing", left, err)
			}
		})
	}
}

// A socketThief steals the place of an exporter's socket.
type socketThief struct {
	t        *testing.T
	user     int    // who the exporter is
	dir      string // holds nothing but the socket
	path     string
	spare    string // outside of it, where the next thing to put there is made
	file     string // what a link leads to, the exporter's own
	other    *net.UnixConn
	commands io.Writer
	answers  *bufio.Reader
}

func newSocketThief(t *testing.T, user int, netlink bool) *socketThief {
	t.Helper()
	top := t.TempDir()
	a := &socketThief{t: t, user: user, dir: filepath.Join(top, "dir"), spare: filepath.Join(top, "spare"), file: filepath.Join(top, "secret")}
	a.path = filepath.Join(a.dir, "log")
	must(t, os.Mkdir(a.dir, 0o777))
	must(t, os.Chmod(a.dir, 0o777))
	must(t, os.WriteFile(a.file, []byte("secret"), 0o600))
	must(t, os.Chown(a.file, user, -1))
	must(t, os.Chown(a.dir, user, -1))
	for dir := top; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestUnixgramHelperIsRaced$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %v %s", raceVariable, user, netlink, a.path))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	a.commands, a.answers = in, bufio.NewReader(out)
	return a
}

// say tells the exporter's process something and expects an answer.
func (a *socketThief) say(what string, wants ...string) string {
	a.t.Helper()
	_, err := fmt.Fprintln(a.commands, what)
	must(a.t, err)
	line, err := a.answers.ReadString('\n')
	must(a.t, err)
	line = strings.TrimSpace(line)
	for _, want := range wants {
		if line != want {
			a.t.Fatalf("%s: %q, want %q", what, line, want)
		}
	}
	return line
}

func (a *socketThief) inPlace() bool {
	a.t.Helper()
	return a.say("in place?") == "true"
}

// waitForSocket waits without a pause, so that what follows comes as soon as it can.
func (a *socketThief) waitForSocket() {
	a.t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		var st syscall.Stat_t
		if err := syscall.Lstat(a.path, &st); err == nil {
			return
		}
		if time.Now().After(end) {
			a.t.Fatal("the socket wasn't made again")
		}
	}
}

func (a *socketThief) putLink() {
	a.t.Helper()
	must(a.t, os.Symlink(a.file, a.spare))
	must(a.t, os.Rename(a.spare, a.path))
}

func (a *socketThief) putSocket() {
	a.t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: a.spare, Net: "unixgram"})
	must(a.t, err)
	must(a.t, os.Chmod(a.spare, 0o622))
	must(a.t, os.Chown(a.spare, a.user, -1)) // as root in a container can
	must(a.t, os.Rename(a.spare, a.path))
	a.other = conn
}

// takeAway removes what was put there. The mode of a socket must be what its maker gave it.
func (a *socketThief) takeAway() {
	a.t.Helper()
	info, err := os.Lstat(a.path)
	must(a.t, err)
	if a.other != nil && info.Mode().Perm() != 0o622 {
		a.t.Fatalf("somebody else's socket has mode %v", info.Mode())
	}
	must(a.t, os.Remove(a.path))
	if a.other != nil {
		a.other.Close()
		a.other = nil
	}
}

func (a *socketThief) checkVictims() {
	a.t.Helper()
	info, err := os.Stat(a.file)
	must(a.t, err)
	if info.Mode().Perm() != 0o600 {
		a.t.Errorf("what the links led to has mode %v, want 0600", info.Mode())
	}
	if b, err := os.ReadFile(a.file); string(b) != "secret" {
		a.t.Errorf("what the links led to holds %q, %v", b, err)
	}
}

// TestUnixgramHelperIsRaced is the exporter of TestUnixgramRace, in a process of its own.
func TestUnixgramHelperIsRaced(t *testing.T) {
	order := strings.SplitN(os.Getenv(raceVariable), " ", 3)
	if len(order) != 3 {
		t.Skip("only for another test")
	}
	uid, err := strconv.Atoi(order[0])
	must(t, err)
	path := order[2]
	if order[1] == "false" {
		forbidNetlink(t)
	}
	if uid != os.Getuid() {
		must(t, syscall.Setresgid(uid, uid, uid))
		must(t, syscall.Setresuid(uid, uid, uid))
	}
	u, err := ListenUnixgram(path, testSource, newHoldSink(false), UnixgramOptions{})
	must(t, err)
	u.look = time.Millisecond
	stop := start(t, u)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "in place?":
			fmt.Println(u.Status().InPlace)
		case "sure?":
			fmt.Println(u.Status().Unsure == nil)
		case "close":
			stop()
			fmt.Println("closed")
		}
	}
	stop()
}

// forbidNetlink makes the process unable to make netlink sockets, as systemd's RestrictAddressFamilies= does.
func forbidNetlink(t *testing.T) {
	t.Helper()
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},                                    // the system call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SOCKET, Jf: 3},              // allow others
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16},                                   // the first argument
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.AF_NETLINK, Jf: 1},              // allow others
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)}, // refuse this
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	must(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		t.Fatal(errno)
	}
	if _, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG); err != unix.EAFNOSUPPORT {
		t.Fatalf("a netlink socket: %v, want it refused", err)
	}
}

// What lies beside the socket keeps no exporter out: neither a file called like the lock that there was once, nor a lock on the directory
// that somebody never gives back.
func TestUnixgramIsNotLockedOut(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink("/nowhere/at/all", path) },
		"directory": func(path string) error { return os.Mkdir(path, 0) },
		"fifo":      func(path string) error { return syscall.Mkfifo(path, 0) },
		"lock": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0), lockForEver(t, path), lockForEver(t, filepath.Dir(path)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			must(t, put(path+".lock"))
			before, err := os.Lstat(path + ".lock")
			must(t, err)
			sink := newHoldSink(false)
			u, err := ListenUnixgram(path, testSource, sink, UnixgramOptions{})
			if err != nil {
				t.Fatal(err)
			}
			stop := start(t, u)
			send(t, dialUnixgram(t, u), "<30>hello")
			reach(t, "a message", func() bool { return sink.Received() == 1 })
			stop()
			if after, err := os.Lstat(path + ".lock"); err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
				t.Errorf("%v, %v beside the socket, want %v as before", after, err, before)
			}
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket is still there: %v", err)
			}
		})
	}
}

// lockForEver takes a file's lock until the test ends.
func lockForEver(t *testing.T, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	t.Cleanup(func() { f.Close() })
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// A socket that is connected takes nothing but from its peer, so that nobody else can connect to it and ask the kernel whose it is. It isn't
// taken for the exporter's even so, with the exporter's user and mode on it.
func TestUnixgramConnectedSocketIsNotOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	u, err := tryUnixgram(t, path, UnixgramOptions{})
	must(t, err)
	peer, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path + "2", Net: "unixgram"})
	must(t, err)
	defer peer.Close()
	other, err := net.DialUnix("unixgram", &net.UnixAddr{Name: path + "3", Net: "unixgram"}, &net.UnixAddr{Name: path + "2", Net: "unixgram"})
	must(t, err)
	defer other.Close()
	must(t, os.Chmod(path+"3", 0o666))
	must(t, os.Rename(path+"3", path))
	dir, err := openDirectory(filepath.Dir(path))
	must(t, err)
	defer unix.Close(dir)
	f, err := fileOf(dir, path, u.sockets[0].in.fd, 0o666)
	defer f.release()
	if err != nil || f.id != (inode{}) {
		t.Errorf("%+v, %v, want none", f, err)
	}
	refusedPath(t, path, "another program receives there")
}
