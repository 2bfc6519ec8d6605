package follow_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// soon is how long the Set may take for what doesn't depend on a file server that hangs: some seconds where it has given that up, or more
// where the machine is slow. The server hangs for longer, see hangingLimit.
const soon = time.Minute

// within fails the test if f takes longer than the limit. f goes on then, and ends when the server does.
func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s takes longer than %v while the file server hangs", what, limit)
	}
}

// A file server that doesn't answer holds up nothing but the files that it has: not the start, not Status, not the other files, not the end.
func TestFaultsHungFileServer(t *testing.T) {
	for _, c := range []struct{ hangs, path string }{
		{"getattr", "log"}, {"open", "log"}, {"read", "log"}, {"readdir", "*"}, {"readdir", "*/log"}, {"getattr", "*"},
	} {
		for _, when := range []string{"from the start", "later", "for a while"} {
			t.Run(fmt.Sprintf("%s of %s/%s", c.hangs, c.path, when), func(t *testing.T) {
				t.Parallel()
				s := newStage(t, setting{fromBeginning: true})
				s.append("other.log", lines("other", 0, 10)...)
				server := mountHanging(t, s.path("mount"))
				s.setting.paths = append(s.setting.paths, s.path("other.log"), filepath.Join(s.path("mount"), c.path))
				if c.path == "*/log" {
					s.setting.paths[2] = s.path(c.path)
				}
				if when != "later" {
					server.hang(c.hangs)
				}
				ended := make(chan struct{})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				within(t, soon, "NewSet", func() {
					set, err := newSet(s.setting, nil, s.books)
					if s.set = set; err != nil {
						t.Error(err)
					} else if ctx.Err() != nil { // nobody waits for it any more
						set.Close()
					}
				})
				go func() {
					defer close(ended)
					_ = s.set.Run(ctx)
				}()
				want := lines("other", 0, 10)
				if when == "later" {
					want = slices.Concat(want, served)
					s.want(want...)
					server.hang(c.hangs)
				}
				server.awaitHung()
				within(t, soon, "Status", func() { statusOf(t, s.set) })
				s.append("other.log", lines("other", 10, 20)...)
				s.want(slices.Concat(want, lines("other", 10, 20))...) // and the beacon's rotations have been seen
				s.sh("mv other.log other.log.1")
				s.append("other.log", lines("other", 20, 30)...)
				s.want(slices.Concat(want, lines("other", 10, 30))...)
				within(t, soon, "Catalogue", func() { s.set.Catalogue(nil) })
				if when == "for a while" {
					server.hang("")
					s.want(slices.Concat(want, lines("other", 10, 30), served)...)
				}
				cancel()
				within(t, soon, "the end of Run", func() { <-ended })
			})
		}
	}
}

// served are the lines of the one file that a hanging file system has.
var served = lines("served", 0, 10)

// A hanging is a mounted file system that a process of its own serves: it ends with the test whatever hangs here, and requests with it.
type hanging struct {
	t    *testing.T
	tell io.Writer
	does chan struct{} // gets one for each thing told
	hung chan struct{} // closed when a request hangs
}

const (
	hangingVariable = "RSYNCD_EXPORTER_TEST_HANGING" // where to mount
	hangingLimit    = 10 * time.Minute               // after which the file system goes, whatever the test has become
)

// mountHanging mounts a file system whose requests can be made to hang. It skips the test where that isn't permitted.
func mountHanging(t *testing.T, dir string) *hanging {
	t.Helper()
	must(t, os.Mkdir(dir, 0o755))
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, "-test.run=^TestHangingServer$")
	cmd.Env = append(os.Environ(), hangingVariable+"="+dir, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // where the test dies, it may hang itself until the server ends
	started, over := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the signal comes when the starting thread dies, prctl(2)
		defer runtime.UnlockOSThread()
		started <- cmd.Start()
		<-over
	}()
	must(t, <-started)
	t.Cleanup(func() {
		defer close(over)
		in.Close()
		kill := time.AfterFunc(soon, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the file server: %v", err)
		}
		_ = unix.Unmount(dir, unix.MNT_DETACH) // it has done so itself, if it wasn't killed
	})
	said := bufio.NewReader(out)
	line, err := said.ReadString('\n')
	if why, not := strings.CutPrefix(line, "no mount: "); not {
		t.Skipf("a FUSE file system can't be mounted here, which takes root and /dev/fuse: %s", why)
	}
	if line != "mounted\n" {
		t.Fatalf("the file server says %q, %v", line, err)
	}
	h := &hanging{t: t, tell: in, does: make(chan struct{}, 10), hung: make(chan struct{})}
	go func() {
		for err == nil {
			switch line, err = said.ReadString('\n'); line {
			case "does\n":
				h.does <- struct{}{}
			case "hung\n":
				close(h.hung)
			}
		}
	}()
	return h
}

// hang has requests of a kind hang from now on, or with "" none: those that hang are answered. With open another file gets the name.
func (h *hanging) hang(kind string) {
	h.t.Helper()
	_, err := io.WriteString(h.tell, kind+"\n")
	must(h.t, err)
	await(h.t, "the file server does as told", h.does)
}

func (h *hanging) awaitHung() {
	h.t.Helper()
	await(h.t, "a request hangs", h.hung)
}

// TestHangingServer is the process that serves a hanging file system.
func TestHangingServer(t *testing.T) {
	dir := os.Getenv(hangingVariable)
	if dir == "" {
		t.Skip("not a test, but the file server of TestFaultsHungFileServer")
	}
	serveHanging(dir)
	os.Exit(0)
}

func serveHanging(dir string) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Mount("hanging", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV,
			fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d", fd, os.Getuid(), os.Getgid()))
	}
	if err != nil {
		fmt.Println("no mount:", err)
		return
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, unix.SIGTERM)
	go func() {
		select {
		case <-terminated:
		case <-time.After(hangingLimit):
		}
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		os.Exit(1)
	}()
	s := &fuseServer{fd: fd, inode: 2}
	go s.serve()
	fmt.Println("mounted")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		s.hang(in.Text())
		fmt.Println("does")
	}
}

// A fuseServer speaks as much of the protocol of /dev/fuse, linux/fuse.h, as one directory with one file needs.
type fuseServer struct {
	fd int

	mu    sync.Mutex
	hangs string // which kind of requests; "" for none
	inode uint64 // of the file
	left  [][]byte
}

func (s *fuseServer) hang(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hangs = kind; kind == "open" {
		s.inode++
	}
	if kind == "" {
		for _, request := range s.left {
			s.answer(request)
		}
	}
}

// Numbers of requests.
const (
	fuseLookup, fuseForget, fuseGetattr, fuseOpen = 1, 2, 3, 14
	fuseRead, fuseRelease, fuseInit, fuseOpendir  = 15, 18, 26, 27
	fuseReaddir, fuseReleasedir                   = 28, 29
	fuseInterrupt, fuseBatchForget                = 36, 42

	fuseRoot = 1 // its inode
)

var fuseKinds = map[uint32]string{fuseLookup: "getattr", fuseGetattr: "getattr", fuseOpen: "open", fuseRead: "read",
	fuseOpendir: "readdir", fuseReaddir: "readdir"}

func (s *fuseServer) serve() {
	buf := make([]byte, 128<<10)
	for {
		n, err := unix.Read(s.fd, buf)
		if err == unix.EINTR || err == unix.ENOENT { // the second: the request was given up
			continue
		}
		if err != nil || n < 40 {
			return
		}
		s.take(buf[:n])
	}
}

// opcodeOf reads a field of struct fuse_in_header.
func opcodeOf(request []byte) uint32 { return binary.NativeEndian.Uint32(request[4:]) }

// take answers a request, or leaves it.
func (s *fuseServer) take(request []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch opcode := opcodeOf(request); {
	case opcode == fuseForget || opcode == fuseBatchForget || opcode == fuseInterrupt: // these have no answers
	case s.hangs == "" || fuseKinds[opcode] != s.hangs:
		s.answer(request)
	default:
		if s.left = append(s.left, bytes.Clone(request)); len(s.left) == 1 {
			fmt.Println("hung")
		}
	}
}

func (s *fuseServer) answer(request []byte) {
	errno, body := answerTo(opcodeOf(request), binary.NativeEndian.Uint64(request[16:]), request[40:], s.inode)
	out, _ := binary.Append(nil, binary.NativeEndian, struct { // struct fuse_out_header
		Len    uint32
		Error  int32
		Unique uint64
	}{uint32(16 + len(body)), -int32(errno), binary.NativeEndian.Uint64(request[8:])})
	_, _ = unix.Write(s.fd, append(out, body...)) // it fails where nobody waits for it any more
}

// answerTo answers a request for an inode. file is the inode of the one file.
func answerTo(opcode uint32, node uint64, body []byte, file uint64) (unix.Errno, []byte) {
	of := func(fields any) []byte {
		b, err := binary.Append(nil, binary.NativeEndian, fields)
		if err != nil {
			panic(err)
		}
		return b
	}
	switch opcode {
	case fuseInit: // struct fuse_init_out: version 7.31, reads and writes of one page
		return 0, of([16]uint32{7, 31, 0, 0, 0, 4096, 1, 0})
	case fuseLookup:
		if string(body) != "log\x00" {
			return unix.ENOENT, nil
		}
		return 0, of(struct { // struct fuse_entry_out, valid for no time
			Node uint64
			_    [4]uint64
			fuseAttr
		}{Node: file, fuseAttr: attrOf(file)})
	case fuseGetattr:
		return 0, of(struct { // struct fuse_attr_out
			_ [2]uint64
			fuseAttr
		}{fuseAttr: attrOf(node)})
	case fuseOpen: // struct fuse_open_out with FOPEN_DIRECT_IO
		return 0, of([4]uint32{2: 1})
	case fuseOpendir:
		return 0, of([4]uint32{})
	case fuseRead, fuseReaddir: // struct fuse_read_in
		data, from := text(served), binary.NativeEndian.Uint64(body[8:])
		if opcode == fuseReaddir {
			data = string(of(struct { // struct fuse_dirent
				Inode, Next  uint64
				Length, Type uint32
				Name         [8]byte
			}{file, 32, 3, unix.DT_REG, [8]byte{'l', 'o', 'g'}}))
		}
		return 0, []byte(data[min(from, uint64(len(data))):])
	case fuseRelease, fuseReleasedir:
		return 0, nil
	}
	return unix.ENOSYS, nil
}

// fuseAttr is struct fuse_attr.
type fuseAttr struct {
	Inode, Size, Blocks, Atime, Mtime, Ctime    uint64
	Atimens, Mtimens, Ctimens, Mode, Links, UID uint32
	GID, Device, BlockSize, Flags               uint32
}

func attrOf(node uint64) fuseAttr {
	a := fuseAttr{Inode: node, Mtime: 1795877260, Ctime: 1795877260, Links: 1, BlockSize: 4096}
	a.Mode = unix.S_IFREG | 0o644
	a.Size = uint64(len(text(served)))
	if node == fuseRoot {
		a.Mode, a.Size = unix.S_IFDIR|0o755, 0
	}
	return a
}
