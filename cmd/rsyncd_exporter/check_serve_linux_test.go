package main

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
	"rsyncd_exporter/internal/text"
)

// A place is where one case of TestCheckRefusesWhatServeRefuses has its files and ports. Everything belongs to
// the user, unless the case says otherwise.
type place struct {
	t    *testing.T
	dir  string
	user int
	port int // free
}

func (p *place) path(name string) string { return filepath.Join(p.dir, name) }

func (p *place) own(path string) string {
	p.t.Helper()
	p.must(os.Lchown(path, p.user, p.user))
	return path
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) file(name, text string, mode fs.FileMode) string {
	p.t.Helper()
	p.must(os.WriteFile(p.path(name), []byte(text), 0o600))
	p.must(os.Chmod(p.path(name), mode))
	return p.own(p.path(name))
}

func (p *place) mkdir(name string, mode fs.FileMode) string {
	p.t.Helper()
	p.must(os.Mkdir(p.path(name), 0o700))
	p.must(os.Chmod(p.path(name), mode))
	return p.own(p.path(name))
}

func (p *place) link(name, to string) string {
	p.t.Helper()
	p.must(os.Symlink(to, p.path(name)))
	return p.own(p.path(name))
}

// foreign gives a file to root, or to another user where the program runs as root.
func (p *place) foreign(path string) string {
	p.t.Helper()
	if os.Geteuid() != 0 {
		p.t.Skip("only root gives files away")
	}
	owner := 0
	if p.user == 0 {
		owner = 12345
	}
	p.must(os.Lchown(path, owner, owner))
	return path
}

// busy has this process listen at the address.
func (p *place) busy(network, address string) string {
	p.t.Helper()
	var c interface{ Close() error }
	var err error
	if network == "udp" {
		c, err = net.ListenPacket(network, address)
	} else {
		c, err = net.Listen(network, address)
	}
	p.must(err)
	p.t.Cleanup(func() { c.Close() })
	return address
}

// socket makes a unix datagram socket; without a program it is a dead one's.
func (p *place) socket(name string, alive bool) string {
	p.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	p.must(err)
	p.must(unix.Bind(fd, &unix.SockaddrUnix{Name: p.path(name)}))
	p.must(os.Chmod(p.path(name), 0o666))
	if alive {
		p.t.Cleanup(func() { unix.Close(fd) })
	} else {
		unix.Close(fd)
	}
	return p.own(p.path(name))
}

// pki writes certificates and returns the settings for them but for TLS_KEY.
func (p *place) pki(more ...string) []string {
	p.t.Helper()
	testpki.WriteTo(p.t, p.dir, testpki.NewCA(p.t, "ca"))
	for _, name := range []string{"server.pem", "server.key"} {
		p.own(p.path(name))
	}
	return append([]string{p.at("--listen-tls=127.0.0.1:%d"), "--tls-cert=" + p.path("server.pem")}, more...)
}

// at writes the free port into a format.
func (p *place) at(format string) string {
	return strings.ReplaceAll(format, "%d", strconv.Itoa(p.port))
}

// What each user's serve makes of a case: refused, taken, or whatever this system allows.
type ruling int

const (
	refused ruling = iota
	taken
	either
)

// with returns flags in which %d is the free port and $ the case's directory.
func with(flags ...string) func(*place) []string {
	return func(p *place) (args []string) {
		for _, f := range flags {
			args = append(args, strings.ReplaceAll(p.at(f), "$", p.dir))
		}
		return args
	}
}

// A checkCase is settings, and what is made of them.
type checkCase struct {
	name       string
	root, user ruling
	args       func(p *place) []string
}

// checkCases are settings that can't be used, and some that can. One that has no root's verdict has the same
// for both users.
var checkCases = []checkCase{
	{"nothing wrong", taken, taken, with()},

	{"HTTP in use", refused, refused, func(p *place) []string {
		return []string{"--http-listen=" + p.busy("tcp", p.at("127.0.0.1:%d"))}
	}},
	{"HTTP wildcard in use", refused, refused, func(p *place) []string {
		p.busy("tcp", p.at("127.0.0.1:%d"))
		return []string{p.at("--http-listen=:%d")}
	}},
	{"HTTP below a wildcard in use", refused, refused, func(p *place) []string {
		p.busy("tcp4", p.at("0.0.0.0:%d"))
		return []string{p.at("--http-listen=127.0.0.1:%d")}
	}},
	{"HTTP elsewhere", refused, refused, with("--http-listen=192.0.2.1:%d")},
	{"HTTP on a privileged port", either, either, with("--http-listen=127.0.0.1:1")},
	{"HTTP without a port", refused, refused, with("--http-listen=127.0.0.1")},
	{"HTTP off", refused, refused, with("--http-listen=off")},

	{"UDP in use", refused, refused, func(p *place) []string {
		return []string{"--listen-udp=" + p.busy("udp", p.at("127.0.0.1:%d"))}
	}},
	{"UDP wildcard in use", refused, refused, func(p *place) []string {
		p.busy("udp", p.at("127.0.0.1:%d"))
		return []string{p.at("--listen-udp=:%d")}
	}},
	{"UDP below a wildcard in use", refused, refused, func(p *place) []string {
		p.busy("udp", p.at("0.0.0.0:%d"))
		return []string{p.at("--listen-udp=127.0.0.1:%d")}
	}},
	{"UDP in use, several sockets", refused, refused, func(p *place) []string {
		return []string{"--udp-sockets=3", "--listen-udp=" + p.busy("udp", p.at("127.0.0.1:%d"))}
	}},
	{"UDP, several sockets", taken, taken, with("--udp-sockets=3", "--listen-udp=127.0.0.1:%d")},
	{"UDP twice", refused, refused, with("--listen-udp=:%d,127.0.0.1:%d")},
	{"UDP twice of IPv4", refused, refused, with("--listen-udp=127.0.0.1:%d,0.0.0.0:%d")},
	{"UDP twice by name", refused, refused, with("--listen-udp=localhost:%d,127.0.0.1:%d")},
	{"UDP of both families", taken, taken, with("--listen-udp=0.0.0.0:%d,[::1]:%d")},
	{"UDP elsewhere", refused, refused, with("--listen-udp=192.0.2.1:%d")},
	{"UDP elsewhere of IPv6", refused, refused, with("--listen-udp=[2001:db8::1]:%d")},
	{"UDP on a privileged port", either, either, with("--listen-udp=127.0.0.1:1")},
	{"UDP on HTTP's port", taken, taken, func(p *place) []string {
		return []string{p.at("--listen-udp=127.0.0.1:%d"), p.at("--http-listen=127.0.0.1:%d")}
	}},
	{"UDP with a port that is none", refused, refused, with("--listen-udp=:70000")},

	{"TCP in use", refused, refused, func(p *place) []string {
		return []string{"--listen-tcp=" + p.busy("tcp", p.at("127.0.0.1:%d"))}
	}},
	{"TCP twice", refused, refused, with("--listen-tcp=:%d,127.0.0.1:%d")},
	{"TCP twice of IPv6", refused, refused, with("--listen-tcp=[::]:%d,127.0.0.1:%d")},
	{"TCP twice by name", refused, refused, with("--listen-tcp=127.0.0.1:%d,localhost:%d")},
	{"TCP of both families", taken, taken, with("--listen-tcp=0.0.0.0:%d,[::1]:%d")},
	{"TCP on HTTP's port", refused, refused, with("--listen-tcp=:%d", "--http-listen=127.0.0.1:%d")},
	{"TCP on HTTP's port by name", refused, refused, func(p *place) []string {
		return []string{p.at("--listen-tcp=localhost:%d"), p.at("--http-listen=127.0.0.1:%d")}
	}},
	{"TCP beside HTTP's port", taken, taken, func(p *place) []string {
		return []string{p.at("--listen-tcp=[::1]:%d"), p.at("--http-listen=0.0.0.0:%d")}
	}},
	{"TCP elsewhere", refused, refused, with("--listen-tcp=192.0.2.1:%d")},
	{"TCP on a privileged port", either, either, with("--listen-tcp=127.0.0.2:1")}, // HTTP has it at another address,

	{"TLS without a certificate", refused, refused, with("--listen-tls=127.0.0.1:%d")},
	{"TLS", taken, taken, func(p *place) []string {
		return p.pki("--tls-key=" + p.path("server.key"))
	}},
	{"TLS in use", refused, refused, func(p *place) []string {
		p.busy("tcp", p.at("127.0.0.1:%d"))
		return p.pki("--tls-key=" + p.path("server.key"))
	}},
	{"TLS on TCP's port", refused, refused, func(p *place) []string {
		return p.pki("--tls-key="+p.path("server.key"), p.at("--listen-tcp=:%d"))
	}},
	{"TLS with a key that is none", refused, refused, func(p *place) []string {
		return p.pki("--tls-key=" + p.file("x.key", "key", 0o600))
	}},
	{"TLS with a key that is missing", refused, refused, func(p *place) []string {
		return p.pki("--tls-key=" + p.path("missing"))
	}},
	{"TLS with a key that is another's", taken, refused, func(p *place) []string {
		args := p.pki("--tls-key=" + p.path("server.key"))
		p.must(os.Chown(p.path("server.key"), 0, 0))
		p.must(os.Chmod(p.path("server.key"), 0o600))
		return args
	}},
	{"TLS with a CRL and no CA", refused, refused, func(p *place) []string {
		return p.pki("--tls-key="+p.path("server.key"), "--tls-crl="+p.path("crl.pem"))
	}},
	{"TLS with a CA that is a directory", refused, refused, func(p *place) []string {
		return p.pki("--tls-key="+p.path("server.key"), "--tls-client-ca="+p.dir)
	}},

	{"a socket", taken, taken, with("--listen-unixgram=$/log")},
	{"a socket at /", refused, refused, with("--listen-unixgram=/")},
	{"a socket at a directory", refused, refused, func(p *place) []string {
		return []string{"--listen-unixgram=" + p.mkdir("d", 0o755)}
	}},
	{"a socket at a directory with a slash", refused, refused, func(p *place) []string {
		return []string{"--listen-unixgram=" + p.mkdir("d", 0o755) + "/"}
	}},
	{"a socket at a file", refused, refused, func(p *place) []string {
		return []string{"--listen-unixgram=" + p.file("f", "", 0o644)}
	}},
	{"a socket at a symbolic link", refused, refused, func(p *place) []string {
		return []string{"--listen-unixgram=" + p.link("l", "nowhere")}
	}},
	{"a socket with a long path", refused, refused, func(p *place) []string {
		return []string{"--listen-unixgram=" + p.path(strings.Repeat("x", 108))}
	}},
	{"a socket in a missing directory", refused, refused, with("--listen-unixgram=$/missing/log")},
	{"a socket in a file", refused, refused, func(p *place) []string {
		return []string{"--listen-unixgram=" + p.file("f", "", 0o644) + "/log"}
	}},
	{"a socket in a directory of others", taken, refused, func(p *place) []string {
		return []string{"--listen-unixgram=" + p.foreign(p.mkdir("d", 0o755)) + "/log"}
	}},
	{"a socket of a live program", refused, refused, func(p *place) []string {
		return []string{"--listen-unixgram=" + p.socket("log", true)}
	}},
	{"a socket of a dead program", taken, taken, func(p *place) []string {
		return []string{"--listen-unixgram=" + p.socket("log", false)}
	}},
	{"a dead socket of another user", taken, refused, func(p *place) []string {
		p.foreign(p.mkdir("d", 0o777|fs.ModeSticky))
		return []string{"--listen-unixgram=" + p.foreign(p.socket("d/log", false))}
	}},
	{"a socket beside a directory called like the lock of earlier versions", taken, taken, func(p *place) []string {
		p.mkdir("log.lock", 0o755)
		return []string{"--listen-unixgram=" + p.path("log")}
	}},
	{"an abstract socket", refused, refused, with("--listen-unixgram=@log")},
	{"a socket for an unknown user", refused, refused, func(p *place) []string {
		return []string{"--listen-unixgram=" + p.path("log"), "--listen-unixgram-uids=no-such-user"}
	}},

	{"a new state", taken, taken, with("--state-dir=$/state")},
	{"a state", taken, taken, func(p *place) []string { return []string{"--state-dir=" + p.mkdir("state", 0o700)} }},
	{"a state behind a link", taken, taken, func(p *place) []string {
		return []string{"--state-dir=" + p.link("l", p.mkdir("state", 0o700))}
	}},
	{"a state behind a stranger's link", refused, taken, func(p *place) []string { // to the user, root is none
		return []string{"--state-dir=" + p.foreign(p.link("l", p.mkdir("state", 0o700)))}
	}},
	{"a state behind a dangling link", refused, refused, func(p *place) []string {
		return []string{"--state-dir=" + p.link("l", p.path("nowhere"))}
	}},
	{"a state in a missing directory", refused, refused, with("--state-dir=$/missing/state")},
	{"a state in a directory of others", taken, refused, func(p *place) []string {
		return []string{"--state-dir=" + p.foreign(p.mkdir("d", 0o755)) + "/state"}
	}},
	{"a state that is a file", refused, refused, func(p *place) []string {
		return []string{"--state-dir=" + p.file("state", "", 0o600)}
	}},
	{"a state that is a FIFO", refused, refused, func(p *place) []string {
		p.must(unix.Mkfifo(p.path("state"), 0o600))
		return []string{"--state-dir=" + p.path("state")}
	}},
	{"a state that everybody may write", refused, refused, func(p *place) []string {
		return []string{"--state-dir=" + p.mkdir("state", 0o777)}
	}},
	{"a state that everybody may write behind a link", refused, refused, func(p *place) []string {
		return []string{"--state-dir=" + p.link("l", p.mkdir("state", 0o777))}
	}},
	{"a state of another user", refused, refused, func(p *place) []string {
		return []string{"--state-dir=" + p.foreign(p.mkdir("state", 0o755))}
	}},
	{"a state that may not be written", taken, refused, func(p *place) []string {
		return []string{"--state-dir=" + p.mkdir("state", 0o500)}
	}},
	{"a state with a lock of another user", taken, refused, func(p *place) []string {
		d := p.mkdir("state", 0o700)
		p.foreign(p.file("state/lock", "", 0o600))
		return []string{"--state-dir=" + d}
	}},
	{"a state whose lock is a directory", refused, refused, func(p *place) []string {
		d := p.mkdir("state", 0o700)
		p.mkdir("state/lock", 0o700)
		return []string{"--state-dir=" + d}
	}},
	{"a state that can't be read", taken, refused, func(p *place) []string {
		d := p.mkdir("state", 0o700)
		p.foreign(p.file("state/state.a", "", 0o600))
		return []string{"--state-dir=" + d}
	}},
	{"a state that can't be trusted", taken, taken, func(p *place) []string {
		d := p.mkdir("state", 0o700)
		p.file("state/state.a", "garbage", 0o600)
		return []string{"--state-dir=" + d}
	}},

	{"a log", taken, taken, func(p *place) []string { return []string{"--file=" + p.file("log", "", 0o644)} }},
	{"a log that is missing", taken, taken, with("--file=$/log")},
	{"a log that may not be read", taken, taken, func(p *place) []string {
		return []string{"--file=" + p.file("log", "", 0)}
	}},
	{"a log that is a directory", refused, refused, func(p *place) []string { return []string{"--file=" + p.dir} }},
	{"a pattern that is none", refused, refused, with("--file=$/[")},

	{"a web configuration that is missing", refused, refused, with("--web-config=$/web.yml")},
	{"a web configuration that is none", refused, refused, func(p *place) []string {
		return []string{"--web-config=" + p.file("web.yml", "basic_auth_users: [1]\n", 0o600)}
	}},
	{"a web configuration of another user", taken, refused, func(p *place) []string {
		return []string{"--web-config=" + p.foreign(p.file("web.yml", "", 0o600))}
	}},
	{"a web configuration without its key", refused, refused, func(p *place) []string {
		return []string{"--web-config=" + p.file("web.yml", "tls_server_config:\n  cert_file: no.pem\n  key_file: no.key\n", 0o600)}
	}},

	{"a log format that is none", refused, refused, with("--log-format=%l%b")},
	{"a line format that is none", refused, refused, with("--line-format=(")},
	{"a syslog format that is none", refused, refused, with("--syslog-format=rfc1")},
	{"a tag that is none", refused, refused, with("--tags=[")},
	{"an rsyncd.conf that is missing", refused, refused, with("--rsyncd-conf=$/rsyncd.conf")},
	{"an rsyncd.conf that is none", refused, refused, func(p *place) []string {
		return []string{"--rsyncd-conf=" + p.file("rsyncd.conf", "[a", 0o600)}
	}},
	{"no input", refused, refused, with("--listen-udp=off")},
	{"an unknown flag", refused, refused, with("--nosuch=1")},
}

// testUser is who runs the program where it isn't root.
const testUser = 65534

// as returns a command that runs the program as the user.
func as(program string, user int, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	if user != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}}
	}
	return cmd
}

// serveRefuses starts serve and says whether it refuses, and why.
func serveRefuses(t *testing.T, cmd *exec.Cmd) (reason string, refuses bool) {
	t.Helper()
	p := testenv.Start(t, cmd)
	testenv.Until(t, patient, "serve to be serving or to end", func() bool {
		select {
		case <-p.Ended():
			refuses = true
			return true
		default:
			return strings.Contains(p.Output(), " msg=serving ")
		}
	})
	if !refuses {
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := p.Wait(t); code != exitOK {
			t.Errorf("serve: exit status %d\n%s", code, p.Output())
		}
		return "", false
	}
	out := p.Output()
	if _, text, ok := strings.Cut(out, `msg=stopped err=`); ok {
		reason, err := strconv.Unquote(strings.TrimSpace(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return reason, true
	}
	if p.Wait(t) != exitUsage {
		t.Errorf("serve: exit status %d\n%s", p.Wait(t), out)
	}
	return strings.TrimPrefix(strings.SplitN(out, "\n", 2)[0], "rsyncd_exporter: "), true
}

// listing lists what is in a directory, with sizes and modes.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The real check refuses, with exit status 2, exactly what the real serve refuses, and says why in the same
// words; as root and as another user. It leaves nothing behind.
func TestCheckRefusesWhatServeRefuses(t *testing.T) {
	testenv.SetEnv(t)
	program := testenv.Released(t) // started hundreds of times
	users := []int{os.Geteuid()}
	if os.Geteuid() == 0 {
		users = append(users, testUser)
	}
	for _, user := range users {
		t.Run(fmt.Sprint("user ", user), func(t *testing.T) { // one after the other: only one has privileged ports
			for _, c := range checkCases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.try(t, program, user)
				})
			}
		})
	}
}

// try compares what check and serve say.
func (c checkCase) try(t *testing.T, program string, user int) {
	t.Helper()
	p := &place{t: t, dir: testenv.Dir(t), user: user, port: testenv.Port(t)}
	p.own(p.dir)
	args := c.args(p)
	args = append([]string{anyHTTPFlag, anyUDPFlag}, args...)
	before := listing(t, p.dir)
	check := as(program, user, append([]string{"check"}, args...)...)
	var out, errs strings.Builder
	check.Stdout, check.Stderr = &out, &errs
	_ = check.Run()
	if after := listing(t, p.dir); after != before {
		t.Errorf("check has changed\n%s to\n%s", before, after)
	}
	reason, refuses := serveRefuses(t, as(program, user, append([]string{"serve"}, args...)...))
	want := map[bool]int{true: exitUsage, false: exitOK}[refuses]
	if code := check.ProcessState.ExitCode(); code != want || !strings.Contains(errs.String(), text.OneLine(reason)) {
		t.Errorf("serve refuses: %v, for %q; check: exit status %d, %s", refuses, reason, code, errs.String())
	}
	if refuses != strings.Contains(errs.String(), "\n") || refuses == strings.HasSuffix(out.String(), "\nok\n") {
		t.Errorf("serve refuses: %v; check says %q and %q", refuses, errs.String(), out.String())
	}
	ruling := c.root
	if user != 0 {
		ruling = c.user
	}
	if ruling != either && (ruling == refused) != refuses {
		t.Errorf("serve refuses: %v, for %q: the case is not what it says", refuses, reason)
	}
}

// Flags of what isn't a case's subject.
const anyHTTPFlag, anyUDPFlag = "--http-listen=127.0.0.1:0", "--listen-udp=127.0.0.1:0"
