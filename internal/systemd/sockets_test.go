//go:build unix

package systemd

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestHelperProcess is no test but a process that was passed descriptors: it prints what Sockets says, and what a child of it would see.
func TestHelperProcess(t *testing.T) {
	if os.Getenv("TEST_HELPER_PROCESS") == "" {
		return
	}
	sockets, warning, err := Sockets()
	answer := reported{Sockets: sockets, Warning: warning}
	if err != nil {
		answer.Err = err.Error()
	}
	for _, s := range sockets {
		answer.Strings = append(answer.Strings, s.String())
	}
	// A child sees neither the variables nor the descriptors, that is none above 2 but what the shell itself opened for the listing.
	out, err := exec.Command("/bin/sh", "-c", `env; for fd in 3 4 5 6; do { true >&$fd; } 2>/dev/null && echo "inherited $fd"; done; :`).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "LISTEN_") || strings.HasPrefix(line, "inherited") {
			answer.Child += line
		}
	}
	text, _ := json.Marshal(answer)
	fmt.Printf("\n%s\n", text)
	os.Exit(0)
}

type reported struct {
	Sockets             []Socket
	Strings             []string
	Warning, Err, Child string
}

// pass starts a process with the descriptors and variables; "LISTEN_PID=self" stands for the process' own.
func pass(t *testing.T, files []*os.File, env ...string) reported {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `[ "$LISTEN_PID" != self ] || export LISTEN_PID=$$; exec "$@"`, "sh", exe, "-test.run=^TestHelperProcess$")
	cmd.Env = append(append(os.Environ(), "TEST_HELPER_PROCESS=1"), env...)
	cmd.ExtraFiles = files
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var answer reported
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &answer); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return answer
}

// file returns the descriptor of a socket, which is closed with the test.
func file(t *testing.T, socket any, err error) (f *os.File, address string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if f, err = socket.(interface{ File() (*os.File, error) }).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); socket.(interface{ Close() error }).Close() })
	switch s := socket.(type) {
	case net.Listener:
		address = s.Addr().String()
	case net.Conn:
		address = s.LocalAddr().String()
	}
	return f, address
}

func TestSocketsOfAllKinds(t *testing.T) {
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	udpFile, udpAddress := file(t, udp, err)
	path := filepath.Join(t.TempDir(), "log")
	gram, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	gramFile, _ := file(t, gram, err)
	tcp, err := net.ListenTCP("tcp6", &net.TCPAddr{IP: net.IPv6loopback})
	tcpFile, tcpAddress := file(t, tcp, err)
	all, err := net.ListenTCP("tcp", nil)
	allFile, allAddress := file(t, all, err)

	files := []*os.File{udpFile, gramFile, tcpFile, allFile}
	got := pass(t, files, "LISTEN_PID=self", "LISTEN_FDS=4", "LISTEN_FDNAMES=a.socket:log::http", "LISTEN_PIDFDID=7")
	want := []Socket{
		{FD: 3, Name: "a.socket", Kind: UDP, Address: udpAddress}, {FD: 4, Name: "log", Kind: Unixgram, Address: path},
		{FD: 5, Kind: TCP, Address: tcpAddress}, {FD: 6, Name: "http", Kind: TCP, Address: allAddress},
	}
	if !slices.Equal(got.Sockets, want) || got.Err != "" || got.Warning != "" {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if got.Child != "" {
		t.Errorf("a child of the process has\n%s", got.Child)
	}
	if want := fmt.Sprintf("passed descriptor 3 (UDP %s, name \"a.socket\")", udpAddress); got.Strings[0] != want {
		t.Errorf("String() = %q, want %q", got.Strings[0], want)
	}
	if got := pass(t, files, "LISTEN_PID=self", "LISTEN_FDS=2"); len(got.Sockets) != 2 || got.Sockets[1].Name != "" {
		t.Errorf("without names: %+v", got)
	}
	for _, env := range [][]string{{}, {"LISTEN_FDS=2"}, {"LISTEN_PID=self"}, {"LISTEN_PID=self", "LISTEN_FDS=0"}} {
		if got := pass(t, files, env...); len(got.Sockets) != 0 || got.Err != "" || got.Warning != "" || got.Child != "inherited 3\ninherited 4\ninherited 5\ninherited 6\n" {
			t.Errorf("%q: %+v, want nothing at all", env, got)
		}
	}
	got = pass(t, files, "LISTEN_PID=1", "LISTEN_FDS=4")
	if len(got.Sockets) != 0 || got.Err != "" || !strings.Contains(got.Warning, "LISTEN_FDS=4 is for process 1 and this is ") || strings.Contains(got.Child, "LISTEN") {
		t.Errorf("sockets for another process: %+v", got)
	}
}

func TestDescriptorsThatCantBeUsed(t *testing.T) {
	dir := t.TempDir()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	stream, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/stream", Net: "unix"})
	streamFile, _ := file(t, stream, err)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp4", l.Addr().String())
	connFile, _ := file(t, conn, err)
	unnamed, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: dir + "/stream", Net: "unix"})
	unnamedFile, _ := file(t, unnamed, err)
	good, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	goodFile, _ := file(t, good, err)

	for _, c := range []struct {
		what  string
		files []*os.File
		env   []string
		want  string
	}{
		{"a file", []*os.File{null}, nil, `passed descriptor 3 (name "x"): socket operation on non-socket: only sockets`},
		{"a unix stream", []*os.File{streamFile}, nil, `passed descriptor 3 (name "x"): it is a unix socket of the wrong type at "` + dir + `/stream": syslog needs datagrams, so write ListenDatagram=`},
		{"an unnamed unix stream", []*os.File{unnamedFile}, nil, `it is a unix socket of the wrong type at "@": `},
		{"a connection", []*os.File{connFile}, nil, `is a single connection: write Accept=no`},
		{"none", nil, nil, `passed descriptor 3 (name "x"): socket operation on non-socket: `}, // the Go runtime has taken the number
		{"one too many", []*os.File{goodFile}, []string{"LISTEN_FDS=50", "LISTEN_FDNAMES=" + strings.Repeat("x:", 49) + "x"}, `passed descriptor 52 (name "x"): bad file descriptor: fewer are open than LISTEN_FDS says`},
		{"one of two", []*os.File{goodFile, null}, []string{"LISTEN_FDS=2", "LISTEN_FDNAMES=x:y"}, `passed descriptor 4 (name "y"): socket operation on non-socket`},
		{"names amiss", []*os.File{goodFile}, []string{"LISTEN_FDNAMES=x:y"}, `LISTEN_FDNAMES="x:y" has 2 names for 1 descriptors`},
		{"no number", []*os.File{goodFile}, []string{"LISTEN_FDS=one"}, `LISTEN_FDS="one" is no number of descriptors from 0 to 1000`},
		{"far too many", []*os.File{goodFile}, []string{"LISTEN_FDS=1001"}, `LISTEN_FDS="1001" is no number`},
		{"a negative number", []*os.File{goodFile}, []string{"LISTEN_FDS=-1"}, `LISTEN_FDS="-1" is no number`},
		{"no process", []*os.File{goodFile}, []string{"LISTEN_PID=me"}, `LISTEN_PID="me" is no process id`},
	} {
		got := pass(t, c.files, append([]string{"LISTEN_PID=self", "LISTEN_FDS=1", "LISTEN_FDNAMES=x"}, c.env...)...)
		if !strings.Contains(got.Err, c.want) || len(got.Sockets) != 0 || strings.Contains(got.Child, "LISTEN") {
			t.Errorf("%s: %+v\nwant an error with %s", c.what, got, c.want)
		}
	}
}

func TestCovers(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/log", nil, 0o600); err != nil { // any file will do
		t.Fatal(err)
	}
	if err := os.Symlink("log", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		socket  Socket
		address string
		want    bool
	}{
		{Socket{Kind: UDP, Address: "127.0.0.1:514"}, "127.0.0.1:514", true},
		{Socket{Kind: UDP, Address: "127.0.0.1:514"}, "127.0.0.1:5514", false},
		{Socket{Kind: UDP, Address: "127.0.0.1:514"}, "127.0.0.2:514", false},
		{Socket{Kind: UDP, Address: "127.0.0.1:514"}, ":514", false},
		{Socket{Kind: UDP, Address: "127.0.0.1:514"}, "localhost:514", false},
		{Socket{Kind: UDP, Address: "0.0.0.0:514"}, "127.0.0.1:514", true},
		{Socket{Kind: UDP, Address: "0.0.0.0:514"}, "[::1]:514", false},
		{Socket{Kind: UDP, Address: "0.0.0.0:514"}, ":514", true},
		{Socket{Kind: TCP, Address: "[::]:514"}, "127.0.0.1:514", false},
		{Socket{Kind: TCP, Address: "[::]:514", both: true}, "127.0.0.1:514", true},
		{Socket{Kind: TCP, Address: "[::]:514", both: true}, "[::1]:514", true},
		{Socket{Kind: TCP, Address: "[::]:514", both: true}, "0.0.0.0:514", true},
		{Socket{Kind: TCP, Address: "[::]:514", both: true}, "localhost:514", true},
		{Socket{Kind: TCP, Address: "[::1]:514"}, "[::1]:514", true},
		{Socket{Kind: TCP, Address: "[::1]:514"}, "514", false},
		{Socket{Kind: Unixgram, Address: dir + "/log"}, dir + "/log", true},
		{Socket{Kind: Unixgram, Address: dir + "/log"}, dir + "/./log", true},
		{Socket{Kind: Unixgram, Address: dir + "/log"}, dir + "/link", true},
		{Socket{Kind: Unixgram, Address: dir + "/log"}, dir + "/other", false},
		{Socket{Kind: Unixgram, Address: "@log"}, "@log", true},
	} {
		if got := c.socket.Covers(c.address); got != c.want {
			t.Errorf("%+v covers %q: %v, want %v", c.socket, c.address, got, c.want)
		}
	}
}

// What a socket at [::] takes is up to IPV6_V6ONLY.
func TestWildcardOfBothFamilies(t *testing.T) {
	for network, want := range map[string]bool{"tcp": true, "tcp6": false} {
		l, err := net.Listen(network, "[::]:0")
		f, address := file(t, l, err)
		s := Socket{FD: int(f.Fd())}
		if err := s.identify(); err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(address)
		if s.Covers("127.0.0.1:"+port) != want || !s.Covers("[::1]:"+port) {
			t.Errorf("%s: %+v, covers IPv4: %v, want %v", network, s, !want, want)
		}
	}
}

func TestNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := notify(Ready); err != nil {
		t.Errorf("without a supervisor: %v", err)
	}
	names := []string{filepath.Join(t.TempDir(), "notify")}
	if abstract := "@rsyncd_exporter-test-" + strconv.Itoa(os.Getpid()); runtime.GOOS == "linux" {
		names = append(names, abstract)
	}
	for _, name := range names {
		s, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("NOTIFY_SOCKET", name)
		if err := notify(Ready); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if n, err := s.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
			t.Errorf("%s: got %q, %v", name, buf[:n], err)
		}
		s.Close()
		os.Remove(name)
		if err := notify(Watchdog); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("NOTIFY_SOCKET=%q: ", name)) {
			t.Errorf("%s is gone: %v, want an error that names it", name, err)
		}
	}
}

func TestWatchdogInterval(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, c := range []struct{ usec, pid, want, err string }{
		{"", "", "0s", ""},
		{"20000000", "", "20s", ""},
		{"20000000", own, "20s", ""},
		{"20000000", "1", "0s", ""},
		{"nonsense", "1", "0s", ""}, // somebody else's
		{"500000", own, "500ms", ""},
		{"0", own, "0s", `WATCHDOG_USEC="0" is no number of microseconds`},
		{"20s", own, "0s", `WATCHDOG_USEC="20s" is no number of microseconds`},
		{"18446744073709551615", own, "0s", "is no number of microseconds"},
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		got, err := WatchdogInterval()
		if got.String() != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}
