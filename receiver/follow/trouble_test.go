package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// What is no regular file is refused without being opened, a FIFO without waiting for its writer, and tried again.
func TestFileOfTheWrongKind(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a FIFO":      func(path string) error { return unix.Mkfifo(path, 0o644) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"a device":    func(path string) error { return os.Symlink("/dev/zero", path) },
		"symbolic":    func(path string) error { return os.Symlink(path, path) }, // a loop
		"a socket": func(path string) error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, opt Options) {
				must(t, make(opt.Path))
				sink := newLineSink()
				f := follow(t, sink, opt)
				start(t, f)
				s := f.Status()
				if s.Err == nil || s.Errors == 0 || !strings.Contains(s.Err.Error(), name) && !errors.Is(s.Err, unix.ELOOP) {
					t.Errorf("status %+v, want an error that says %s", s, name)
				}
				must(t, os.Rename(opt.Path, opt.Path+".away"))
				create(t, opt.Path).write("a\n")
				reachCount(t, sink, 1)
				sink.check(t, true, "a")
				reach(t, "no error", func() bool { return f.Status().Err == nil })
			})
		})
	}
}

// A new file that may not be read is an error, shown and tried again; the old one is read meanwhile. Nothing is lost, not even when it
// is rotated before it may be read. Root may read everything, so root runs this as another user.
func TestFilePermission(t *testing.T) {
	if os.Geteuid() == 0 {
		runUnprivileged(t)
		return
	}
	bothWays(t, func(t *testing.T, opt Options) {
		opt.Poll = min(opt.Poll, 20*time.Millisecond) // a file that we can't open can't be watched
		sink := newLineSink()
		old := create(t, opt.Path)
		f := follow(t, sink, opt)
		start(t, f)
		old.write("a\n")
		must(t, os.Rename(opt.Path, opt.Path+".1"))
		forbidden := createMode(t, opt.Path, 0)
		reach(t, "an error", func() bool { return errors.Is(f.Status().Err, fs.ErrPermission) && f.Status().Errors > 0 })
		old.write("b\n")
		forbidden.write("c\n")
		reachCount(t, sink, 2)
		must(t, os.Rename(opt.Path, opt.Path+".2"))
		create(t, opt.Path).write("d\n")
		reachCount(t, sink, 3)
		reach(t, "the error stays", func() bool { return errors.Is(f.Status().Err, fs.ErrPermission) })
		must(t, forbidden.f.Chmod(0o600))
		reachCount(t, sink, 4)
		reach(t, "no error", func() bool { return f.Status().Err == nil })
		// A held file needs no permission any more. One that goes before it could be read is a gap.
		must(t, forbidden.f.Chmod(0))
		forbidden.write("e\n")
		reachCount(t, sink, 5)
		must(t, os.Rename(opt.Path, opt.Path+".3"))
		createMode(t, opt.Path, 0).write("lost\n")
		must(t, os.Rename(opt.Path, opt.Path+".4"))
		reach(t, "an error", func() bool { return errors.Is(f.Status().Err, fs.ErrPermission) })
		must(t, os.Remove(opt.Path+".4"))
		reach(t, "a gap", func() bool { return f.Status().Gaps[GapUnread] == 1 })
		sink.check(t, false, "a", "b", "c", "d", "e")
	})
}

// A file that is there at the start but may not be read then is read from where it ended at the start, not from where it ends later.
func TestFilePermissionAtStart(t *testing.T) {
	if os.Geteuid() == 0 {
		runUnprivileged(t)
		return
	}
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: 5 * time.Millisecond}}
	w := create(t, opt.Path)
	w.write("a\n")
	must(t, w.f.Chmod(0))
	sink := newLineSink()
	f := follow(t, sink, opt)
	start(t, f)
	w.write("b\n")
	if s := f.Status(); !errors.Is(s.Err, fs.ErrPermission) || !strings.Contains(s.Err.Error(), "0640") {
		t.Errorf("error %v, want permission denied and what to do", s.Err)
	}
	must(t, w.f.Chmod(0o600))
	reachCount(t, sink, 1)
	sink.check(t, true, "b")
}

// A file that goes before it could be opened is a gap, also if it has never been seen under another name.
func TestFilePermissionUntilGone(t *testing.T) {
	if os.Geteuid() == 0 {
		runUnprivileged(t)
		return
	}
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{pollOnly: true}}
	f := follow(t, newLineSink(), opt)
	createMode(t, opt.Path, 0).write("a\n")
	for range 2 * maxAbsent {
		f.look()
	}
	if s := f.Status(); s.Gaps[GapUnread] != 0 || s.Errors != 2*maxAbsent {
		t.Errorf("status %+v, want no gap as long as it is there", s)
	}
	must(t, os.Remove(opt.Path))
	for range maxAbsent {
		f.look()
	}
	if s := f.Status(); s.Gaps[GapUnread] != 1 {
		t.Errorf("status %+v, want a gap", s)
	}
}

// A directory that can't be searched or listed for a while hides what is beside the file: it is no new file when it shows again, whatever
// it holds. One that was put there meanwhile is no old one.
func TestFileDirectoryWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		runUnprivileged(t)
		return
	}
	for _, mode := range []os.FileMode{0, 0o300} {
		dir := filepath.Join(t.TempDir(), "d")
		must(t, os.Mkdir(dir, 0o755))
		opt := Options{Path: filepath.Join(dir, "log"), SetOptions: SetOptions{pollOnly: true, FromBeginning: true}}
		w := create(t, opt.Path)
		w.write(text(lines(0, 20)))
		sink := newLineSink()
		f := follow(t, sink, opt)
		for range 2 { // a file of which nothing has been read could have been cut since
			poll(t, f)
		}
		waitForTick(t, opt.Path)
		create(t, opt.Path+".excerpt").write(text(lines(5, 8)))
		poll(t, f)
		must(t, os.Chmod(dir, mode))
		for range 2 * maxAbsent {
			poll(t, f)
		}
		must(t, os.Chmod(dir, 0o755))
		must(t, os.Rename(opt.Path, opt.Path+".2"))
		create(t, opt.Path).write("a\n")
		must(t, os.Rename(opt.Path, opt.Path+".1"))
		create(t, opt.Path).write("b\n")
		poll(t, f)
		w.write("old\n")
		poll(t, f)
		sink.check(t, false, append(lines(0, 20), "a", "b", "old")...)
		if s := f.Status(); s.Gaps != [NumGaps]uint64{} || s.Err != nil {
			t.Errorf("mode %v: status %+v", mode, s)
		}
	}
}

// runUnprivileged runs the calling test in a process of user 65534.
func runUnprivileged(t *testing.T) {
	dir, err := os.MkdirTemp("", "file")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o777))
	// The binary is copied, since the directory that go test put it into is root's.
	program := filepath.Join(dir, "test")
	b, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(program, b, 0o755))
	cmd := exec.Command(program, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Dir, cmd.Env = dir, []string{"TMPDIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as user 65534: %v\n%s", err, out)
	}
}

// A read may hang for ever (NFS). Whoever asks for the status meanwhile, a scrape, doesn't wait for it: no lock is held.
func TestFileReadsWithoutLock(t *testing.T) {
	dir := t.TempDir()
	opt := setOptions(filepath.Join(dir, "*.log"))
	opt.FromBeginning = true
	var s *Set
	reads := 0
	opt.pread = func(fd int, p []byte, off int64) (int, error) {
		if s == nil { // not begun
			return unix.Pread(fd, p, off)
		}
		reads++
		locks := []*sync.Mutex{&s.mu, &s.known.mu}
		for _, other := range s.targets {
			locks = append(locks, &other.mu)
		}
		for _, lock := range locks {
			if !lock.TryLock() {
				t.Error("a read while a lock is held")
				continue
			}
			lock.Unlock()
		}
		return unix.Pread(fd, p, off)
	}
	path := filepath.Join(dir, "a.log")
	w := create(t, path)
	w.write(text(lines(0, 20)))
	sink := newSetSink()
	s = followSet(t, sink, opt)
	defer s.Close()
	f := &File{s, s.targets[0]}
	poll(t, f)
	must(t, w.f.Truncate(0)) // so that there is a position before a cut, and one that is no longer held
	w.write(text(lines(20, 40)))
	poll(t, f)
	must(t, os.Rename(path, path+".1"))
	f.look()
	g := f.generations[0]
	g.started = true
	g.grew.Store(f.clock() - int64(silentLimit))
	f.look()
	g.finish()
	close(g.done)
	create(t, path).write(text(lines(40, 60)))
	waitForTick(t, path+".1")
	copyFile(t, path+".1", path+".9")
	copyFile(t, path+".1", filepath.Join(dir, "b.log"))
	copyFile(t, path, filepath.Join(dir, "c.log"))
	poll(t, f)
	before := reads
	s.look(true)
	all := s.Status()
	if len(all) != 4 || all[1].Generations+all[2].Generations != 0 || reads == before {
		t.Errorf("status %+v, want two that aren't read; %d reads to find copies", all, reads-before)
	}
	sink.check(t, lines(0, 60)...)
}

// A look that doesn't come back, since a file server hangs, is shown: nobody knows what there is to read.
func TestFileLookThatHangs(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: 2 * time.Millisecond, pollOnly: true, FromBeginning: true}}
	hung, answer := make(chan struct{}), make(chan struct{})
	var started atomic.Bool
	hang := sync.OnceFunc(func() { close(hung); <-answer })
	opt.pread = func(fd int, p []byte, off int64) (int, error) {
		if started.Load() && len(p) <= receiver.AnchorSize { // a look compares
			hang()
		}
		return unix.Pread(fd, p, off)
	}
	create(t, opt.Path).write(text(lines(0, 20)))
	sink := newLineSink()
	f := follow(t, sink, opt)
	start(t, f)
	reachCount(t, sink, 20)
	reach(t, "its reader knows that this is all", func() bool { return f.Status().LagTime == 0 })
	started.Store(true)
	create(t, opt.Path+".new").write(text(lines(20, 40)))
	must(t, os.Rename(opt.Path+".new", opt.Path))
	<-hung
	if s := f.Status(); s.Err != nil || s.LagTime != 0 {
		t.Errorf("status %+v of a look that takes a moment", s)
	}
	f.looking.Add(-int64(stuckLimit)) // as if that much time had passed
	if s := f.Status(); s.Err == nil || s.LagTime < stuckLimit {
		t.Errorf("status %+v of a look that hangs", s)
	}
	close(answer)
	reachCount(t, sink, 40)
	reach(t, "no error", func() bool { s := f.Status(); return s.Err == nil && s.LagTime == 0 })
	sink.check(t, true, lines(0, 40)...)
}

// Reads that fail, are interrupted or come up short lose nothing and leave the offset where it is.
func TestFileReadErrors(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		const count = 2000
		create(t, opt.Path).write(text(lines(0, count)))
		var calls atomic.Int64
		var broken atomic.Bool
		broken.Store(true)
		opt.FromBeginning = true
		opt.pread = func(fd int, p []byte, off int64) (int, error) {
			switch n := calls.Add(1); {
			case broken.Load() && off > 1000:
				return -1, unix.EIO
			case n%3 == 0:
				return -1, unix.EINTR
			default:
				return unix.Pread(fd, p[:min(len(p), receiver.AnchorSize+1000)], off)
			}
		}
		sink := newLineSink()
		f := follow(t, sink, opt)
		start(t, f)
		reach(t, "errors", func() bool { return f.Status().Errors >= 2 })
		s := f.Status()
		if !errors.Is(s.Err, unix.EIO) || !strings.Contains(s.Err.Error(), fmt.Sprintf("offset %d", s.Offset)) || s.Offset == 0 {
			t.Errorf("status %+v, want EIO at the offset", s)
		}
		broken.Store(false)
		reachCount(t, sink, count)
		reach(t, "no error", func() bool { return f.Status().Err == nil })
		sink.check(t, true, lines(0, count)...)
	})
}

// A descriptor that a network file system has made useless is replaced, and reading goes on where it was.
func TestFileStaleDescriptor(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: 2 * time.Millisecond, FromBeginning: true}}
	w := create(t, opt.Path)
	w.write(text(lines(0, 10)))
	var f *File
	var stale atomic.Bool
	opt.pread = func(fd int, p []byte, off int64) (int, error) {
		if stale.Load() {
			f.target.mu.Lock()
			defer f.target.mu.Unlock()
			if len(f.generations) == 1 && !f.generations[0].again {
				return -1, unix.ESTALE
			}
		}
		return unix.Pread(fd, p, off)
	}
	sink := newLineSink()
	f = follow(t, sink, opt)
	start(t, f)
	reachCount(t, sink, 10)
	stale.Store(true)
	w.write(text(lines(10, 20)))
	reachCount(t, sink, 20)
	sink.check(t, true, lines(0, 20)...)
	if s := f.Status(); s.Gaps != [NumGaps]uint64{} || s.Rotations != 0 {
		t.Errorf("status %+v, want neither gaps nor rotations", s)
	}
}

// A file that grows faster than it can be read doesn't keep Run from ending.
func TestFileEndlessAtTheEnd(t *testing.T) {
	t.Parallel()
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{FromBeginning: true}}
	create(t, opt.Path).write("x\n")
	opt.pread = func(_ int, p []byte, off int64) (int, error) {
		for i := range p { // a file of "x\n" without end
			p[i] = "x\n"[(off+int64(i))%2]
		}
		return len(p), nil
	}
	f := follow(t, receivertest.NewCounter(), opt)
	stop := start(t, f)
	reach(t, "lines", func() bool { return f.Status().Offset > syslog.BlockBytes })
	began := time.Now()
	stop() // it says so if Run doesn't end
	if d := time.Since(began); d < receiver.DrainLimit {
		t.Errorf("Run ended after %v, want %v", d, receiver.DrainLimit)
	}
}

// Nothing stays behind: neither descriptors nor goroutines.
func TestFileLeavesNothing(t *testing.T) {
	descriptors := func() int {
		d, err := os.ReadDir("/dev/fd")
		must(t, err)
		return len(d)
	}
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{Poll: time.Millisecond}}
	before, goroutines := descriptors(), runtime.NumGoroutine()
	for range 5 {
		sink := newLineSink()
		f := follow(t, sink, opt)
		stop := start(t, f)
		for n := range 10 {
			w, err := os.OpenFile(opt.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
			must(t, err)
			_, err = w.WriteString(line(n) + "\n")
			must(t, err)
			must(t, w.Close())
			must(t, os.Rename(opt.Path, numbered(opt.Path, n+1)))
		}
		reachCount(t, sink, 10)
		stop()
		follow(t, sink, opt).Close() // and one that never ran
	}
	reach(t, "as many descriptors and goroutines as before", func() bool {
		return descriptors() <= before+1 && runtime.NumGoroutine() <= goroutines // the runtime's poller may have come to stay
	})
}
