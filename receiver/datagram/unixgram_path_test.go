//go:build linux

package datagram

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

func tryUnixgram(t *testing.T, path string, opt UnixgramOptions) (*Unixgram, error) {
	t.Helper()
	u, err := ListenUnixgram(path, receiver.Source{Input: "unixgram", Name: "unixgram " + path, Dialect: syslog.Auto{Local: true}}, newHoldSink(false), opt)
	if err == nil {
		t.Cleanup(func() { u.Close() })
	}
	return u, err
}

// refusedPath fails the test unless path is refused with all the words, and what is there stays as it is.
func refusedPath(t *testing.T, path string, words ...string) {
	t.Helper()
	before, _ := os.Lstat(path)
	_, err := tryUnixgram(t, path, UnixgramOptions{})
	if err == nil {
		t.Errorf("%s was taken", path)
		return
	}
	for _, w := range append(words, fmt.Sprintf("unixgram %q", path)) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q doesn't say %q", err, w)
		}
	}
	if after, _ := os.Lstat(path); before != nil && (after == nil || !os.SameFile(before, after)) {
		t.Errorf("%s was removed or replaced", path)
	}
}

// FAULTS X4: only the socket of a dead process is replaced.
func TestUnixgramStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	deadSocket(t, path)
	u, err := tryUnixgram(t, path, UnixgramOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !u.Status().InPlace {
		t.Error("the path doesn't lead to the new socket")
	}
	send(t, dialUnixgram(t, u), "<30>hello")
}

func TestUnixgramForeignFilesStay(t *testing.T) {
	dir := t.TempDir()
	regular := filepath.Join(dir, "regular")
	if err := os.WriteFile(regular, []byte("keep me"), 0o600); err != nil {
		t.Fatal(err)
	}
	refusedPath(t, regular, "no socket", "move it away")
	link := filepath.Join(dir, "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	refusedPath(t, link, "no socket")
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	refusedPath(t, fifo, "no socket")
	live := filepath.Join(dir, "live")
	owner, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: live, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	refusedPath(t, live, "another program receives there")
	stream := filepath.Join(dir, "stream")
	listener, err := net.Listen("unix", stream)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	refusedPath(t, stream, "in use can't be told", "protocol wrong type for socket")
	deadSocket(t, filepath.Join(dir, filepath.Base(dir)))
	refusedPath(t, dir+"/", "a directory's name")
	if _, err := os.Lstat(filepath.Join(dir, filepath.Base(dir))); err != nil {
		t.Errorf("another file than the path's was removed: %v", err)
	}
	refusedPath(t, filepath.Join(dir, "no", "such", "directory"), "its directory", "must exist")
	refusedPath(t, filepath.Join(dir, strings.Repeat("x", 120)), "107 bytes")
	refusedPath(t, "@abstract", "not a path")
	refusedPath(t, "", "not a path")
}

// A second instance is refused while the first one has the path, and gets in when the first has ended.
func TestUnixgramSecondInstance(t *testing.T) {
	u := listenUnixgram(t, newHoldSink(false))
	refusedPath(t, u.path, "another program receives there", "another rsyncd_exporter")
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	if _, err := tryUnixgram(t, u.path, UnixgramOptions{}); err != nil {
		t.Error(err)
	}
}

// While one exporter looks at the path and binds its socket, another one waits. So it finds the socket in use, and doesn't take it for one
// that a dead process has left.
func TestUnixgramInstancesAtTheSameMoment(t *testing.T) {
	defer func(d time.Duration) { lockPatience = d }(lockPatience)
	lockPatience = time.Hour
	path := filepath.Join(t.TempDir(), "log")
	deadSocket(t, path)
	dir, err := openDirectory(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	lockDirectory(dir)
	second := make(chan error, 1)
	go func() {
		u, err := ListenUnixgram(path, testSource, newHoldSink(false), UnixgramOptions{})
		if err == nil {
			u.Close()
		}
		second <- err
	}()
	reach(t, "the second one has opened the directory", func() bool { return openings(t, filepath.Dir(path)) == 2 })
	for range 100 { // time enough to do the same elsewhere, a hundred times
		if u, err := tryUnixgram(t, filepath.Join(t.TempDir(), "log"), UnixgramOptions{}); err != nil {
			t.Fatal(err)
		} else {
			u.Close()
		}
	}
	first, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path + "1", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := os.Rename(path+"1", path); err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(dir, unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err == nil || !strings.Contains(err.Error(), "another program receives there") {
		t.Errorf("the second one: %v, want it to find the first", err)
	}
}

// deadSocket leaves a socket file as a killed process does.
func deadSocket(t *testing.T, path string) {
	t.Helper()
	dead, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
}

// openings returns how many of this process' descriptors are of the path.
func openings(t *testing.T, path string) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && to == path {
			n++
		}
	}
	return n
}

// FAULTS X11: the mode is what was asked for under every umask.
func TestUnixgramMode(t *testing.T) {
	for _, tt := range []struct {
		umask     int
		mode, got fs.FileMode
	}{{0o022, 0, 0o666}, {0o077, 0, 0o666}, {0o777, 0o660, 0o660}, {0, 0o660, 0o660}, {0, 0o600, 0o600}} {
		old := syscall.Umask(tt.umask)
		path := filepath.Join(t.TempDir(), "log")
		u, err := tryUnixgram(t, path, UnixgramOptions{Mode: tt.mode})
		if after := syscall.Umask(old); after != tt.umask {
			t.Errorf("the umask is %03o, and was %03o", after, tt.umask)
		}
		if err != nil {
			t.Errorf("umask %03o: %v", tt.umask, err)
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != tt.got {
			t.Errorf("umask %03o, mode %03o: the file has %03o, want %03o", tt.umask, tt.mode, info.Mode().Perm(), tt.got)
		}
		u.Close()
	}
}

// A directory's default ACL takes the place of the umask; the mode is what was asked for even so.
func TestUnixgramModeUnderADefaultACL(t *testing.T) {
	dir := t.TempDir()
	acl := []byte{2, 0, 0, 0} // linux/posix_acl_xattr.h: the version; then tag, permissions and user or group of each entry
	for _, entry := range [][2]byte{{0x01, 7}, {0x04, 5}, {0x20, 0}} {
		acl = append(acl, entry[0], 0, entry[1], 0, 0xff, 0xff, 0xff, 0xff)
	}
	if err := unix.Setxattr(dir, "system.posix_acl_default", acl, 0); err == unix.EOPNOTSUPP {
		t.Skip("this file system has no ACLs")
	} else if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log")
	if _, err := tryUnixgram(t, path, UnixgramOptions{}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v, want mode 0666", info.Mode(), err)
	}
}

// FAULTS X5: a file that was removed or replaced is noticed, and the one that took its place isn't removed at the end.
func TestUnixgramFileRemovedOrReplaced(t *testing.T) {
	u := listenUnixgram(t, newHoldSink(false))
	u.look = time.Hour
	stop := start(t, u)
	if !u.Status().InPlace {
		t.Error("InPlace() is false at the start")
	}
	if err := os.Remove(u.path); err != nil {
		t.Fatal(err)
	}
	if u.Status().InPlace {
		t.Error("InPlace() is true without a file")
	}
	other, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: u.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if u.Status().InPlace {
		t.Error("InPlace() is true with another one's socket")
	}
	stop()
	if _, err := os.Lstat(u.path); err != nil {
		t.Errorf("the other one's socket is gone: %v", err)
	}
}

func TestUnixgramFileIsRemovedAtTheEnd(t *testing.T) {
	u := listenUnixgram(t, newHoldSink(false))
	start(t, u)()
	if _, err := os.Lstat(u.path); err == nil {
		t.Error("the socket file is still there")
	}
}

// FAULTS X5: a socket file that was removed is made again, with the same mode; who was connected before still reaches us, who connects now
// does too, and at the end the file goes. While another one's socket has the path, it stays.
func TestUnixgramFileIsMadeAgain(t *testing.T) {
	sink := newHoldSink(false)
	path := filepath.Join(t.TempDir(), "log")
	u, err := ListenUnixgram(path, testSource, sink, UnixgramOptions{Mode: 0o620})
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, u)
	before := dialUnixgram(t, u)
	other, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path + "2", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"2", path); err != nil {
		t.Fatal(err)
	}
	if u.rebind() != nil || u.Status().InPlace || u.Status().Rebinds != 0 {
		t.Error("it has taken the path from a live socket")
	}
	other.Close() // its file stays, and nobody answers there
	reach(t, "the file is made again", func() bool { return u.Status().InPlace })
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o620 || u.Status().Rebinds != 1 {
		t.Errorf("after %d rebinds: %v, %v; want mode 0620 and 1", u.Status().Rebinds, info, err)
	}
	send(t, before, "<30>before")
	send(t, dialUnixgram(t, u), "<30>after")
	reach(t, "both are read", func() bool { return sink.Received() == 2 })
	stop()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket file is still there at the end")
	}
	if _, err := before.Write([]byte("late")); err == nil {
		t.Error("the old socket is still open at the end")
	}
	if again, err := tryUnixgram(t, path, UnixgramOptions{}); err != nil {
		t.Error(err)
	} else {
		again.Close()
	}
}

// Somebody who removes the file all the time costs eight sockets and not more.
func TestUnixgramOldSocketsAreBounded(t *testing.T) {
	sink := newHoldSink(false)
	u := listenUnixgram(t, sink)
	u.look = time.Millisecond
	stop := start(t, u)
	first := dialUnixgram(t, u)
	send(t, first, "<30>hello")
	reach(t, "it reads", func() bool { return sink.Received() == 1 })
	for n := range uint64(maxUnixSockets) {
		if err := os.Remove(u.path); err != nil {
			t.Fatal(err)
		}
		reach(t, "the file is made again", func() bool { return u.Status().Rebinds == n+1 })
	}
	reach(t, "the oldest is closed", func() bool { _, err := first.Write([]byte("<30>still")); return err != nil })
	open := func() int { // the oldest's senders see its end before it is drained and closed
		u.mu.Lock()
		defer u.mu.Unlock()
		return len(u.sockets)
	}
	reach(t, fmt.Sprintf("%d sockets are open", maxUnixSockets), func() bool { return open() == maxUnixSockets })
	send(t, dialUnixgram(t, u), "<30>last")
	stop()
	if got, _ := sink.All(); got[len(got)-1] != "<30>last" {
		t.Errorf("last message %q", got[len(got)-1])
	}
}
