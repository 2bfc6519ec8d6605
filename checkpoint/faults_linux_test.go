package checkpoint_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/internal/testenv"
)

// FAULTS D1 to D3: any system call of the second of three saves fails. That save says which step, which file and what to do, both copies are
// whole, state.tmp is gone, and the third save succeeds.
func TestEverySystemCallFails(t *testing.T) {
	t.Parallel()
	calls, _ := record(t, "save", filepath.Join(t.TempDir(), "state"))
	started := func(saved string) int { // the index behind the line that says so
		return 1 + slices.IndexFunc(calls, func(c call) bool { return c.name == "write" && strings.HasPrefix(c.args, "1, "+hexed(saved)) })
	}
	second := calls[started("saved 1\n") : started("saved 2\n")-1]
	// Each errno in turn, with a word of the remedy.
	errnos := []struct{ name, text, remedy string }{
		{"ENOSPC", "no space left on device", "free some space"},
		{"EIO", "input/output error", "see the kernel's log"},
		{"EROFS", "read-only file system", "mount it read-write"},
		{"EDQUOT", "disk quota exceeded", fmt.Sprintf("the disk quota of user %d", os.Geteuid())},
		{"EACCES", "permission denied", "StateDirectory="},
		{"EPERM", "operation not permitted", "lsattr"},
	}
	steps := map[string]string{"openat": "", "write": "writing state.tmp", "fsync": "", "close": "", "renameat": "replacing it by state.tmp"}
	tried := map[string]int{}
	for _, c := range second {
		step, ok := steps[c.name]
		if !ok {
			continue
		}
		tried[c.name]++
		sync := c.name == "fsync" && tried["fsync"] == 3 || c.name == "openat" && tried["openat"] == 3 || c.name == "close" && tried["close"] == 3
		switch {
		case sync:
			step = "syncing the directory"
		case c.name == "openat":
			step = "making state.tmp"
		case c.name == "fsync":
			step = "syncing state.tmp"
		case c.name == "close":
			step = "closing state.tmp"
		}
		for i, e := range errnos {
			if tried[c.name] > 1 && i > 1 {
				break // each errno at the first call of a name, and two at the others
			}
			path := filepath.Join(t.TempDir(), "state")
			calls, said := record(t, "save", path, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", c.name, e.name, c.nth))
			lines := strings.Split(strings.TrimSpace(said), "\n")
			if len(lines) != 6 || lines[0] != "begin" || lines[1] != "saved 1" || lines[5] != "saved 3" {
				t.Fatalf("%s %d, %s: %q", c.name, c.nth, e.name, said)
			}
			mentions(t, errors.New(lines[2]), "failed 2: state directory", path, step, e.text, e.remedy)
			for i, line := range lines[3:5] {
				if line != fmt.Sprintf("has %s 1 <nil>", checkpoint.CopyNames[i]) && line != fmt.Sprintf("has %s 2 <nil>", checkpoint.CopyNames[i]) {
					t.Errorf("%s %d, %s: %q, want payload 1 or 2", c.name, c.nth, e.name, line)
				}
			}
			if got := names(t, path); got != "lock state.a state.b" {
				t.Errorf("%s %d, %s: the directory has %q", c.name, c.nth, e.name, got)
			}
			noSyncTwice(t, calls)
		}
	}
	if want := map[string]int{"openat": 3, "write": 4, "fsync": 3, "close": 3, "renameat": 2}; fmt.Sprint(tried) != fmt.Sprint(want) {
		t.Errorf("the second save has %v, want %v", tried, want)
	}
}

// On NFS a lock takes a file that is open for writing.
func TestLockThatMustBeWritable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	calls, said := record(t, "save", path, "-e", "inject=flock:error=EBADF:when=1")
	if lastSaved(t, said, 0) != 3 {
		t.Fatalf("%q", said)
	}
	var opened, locked []string
	for _, c := range calls {
		switch {
		case c.name == "openat" && strings.Contains(c.args, hexed(checkpoint.LockName)):
			_, flags, _ := strings.Cut(c.args, hexed(checkpoint.LockName)+", ")
			access, _, _ := strings.Cut(flags, "|")
			opened = append(opened, access)
		case c.name == "flock":
			result, _, _ := strings.Cut(c.result, " (")
			locked = append(locked, result)
		}
	}
	if got, want := fmt.Sprint(opened, locked), "[O_RDONLY O_RDWR] [-1 EBADF 0]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// FAULTS D6, in the middle of a save: the process is stopped when it has synced the directory, which is removed then.
func TestDirectoryRemovedDuringSave(t *testing.T) {
	base := t.TempDir()
	path, trace := filepath.Join(base, "state"), filepath.Join(base, "trace")
	// The first sync is of the parent directory, then each save has three; the signal comes at the end of the call.
	p := testenv.Start(t, helper(t, "save", path, testenv.Need(t, "strace"), "-f", "-qq", "-o", trace, "-e", "trace=fsync",
		"-e", "inject=fsync:signal=STOP:when=7"))
	p.Ready(t, "the second save to be stopped", func() bool {
		b, err := os.ReadFile(trace)
		return err == nil && bytes.Contains(b, []byte("stopped by SIGSTOP"))
	})
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	for _, pid := range p.Children(t) {
		if err := unix.Kill(pid, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	code := p.Wait(t)
	mentions(t, errors.New(p.Output()), "saved 1\nfailed 2:", "was removed or replaced while the state was saved: no such file", "\nsaved 3\n")
	for _, c := range checkpoint.Look(path) {
		if c.Err != nil || !bytes.Equal(c.Payload, payloadOf(3)) || code != 0 {
			t.Errorf("exit code %d, %s: sequence %d, %v", code, c.Name, c.Sequence, c.Err)
		}
	}
}

// noSyncTwice fails the test when a descriptor whose fsync failed is synced again without having been closed.
func noSyncTwice(t *testing.T, calls []call) {
	t.Helper()
	failed := map[string]bool{}
	for _, c := range calls {
		switch fd, _, _ := strings.Cut(c.args, ","); {
		case c.name == "fsync" && failed[fd]:
			t.Errorf("synced again after a failure: %s", c.line)
		case c.name == "fsync" && strings.HasPrefix(c.result, "-1"):
			failed[fd] = true
		case c.name == "close":
			delete(failed, fd)
		}
	}
}

// A full disk and one that becomes read-only, with the real kernel's answers, and an end to both. The test runs again in a mount namespace of
// its own, where it may mount a tmpfs.
func TestRealDisk(t *testing.T) {
	if os.Getenv("STATE_NAMESPACE") == "" {
		command := testenv.OwnMounts(t, os.Args[0], "-test.run=^TestRealDisk$", "-test.v")
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "STATE_NAMESPACE=1")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestRealDisk")) {
			t.Fatalf("in a mount namespace: %v\n%s", err, out)
		}
		return
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(disk, "state")
	d := open(t, path)
	if _, err := d.Load(); !errors.Is(err, checkpoint.ErrNone) {
		t.Fatal(err)
	}
	payload := func(n byte) []byte { return bytes.Repeat([]byte{n}, 200<<10) }
	check := func(n byte, sequence uint64) {
		t.Helper()
		s, err := d.Load()
		if err != nil || !bytes.Equal(s.Payload, payload(n)) || s.Sequence != sequence || s.Damaged != nil {
			t.Fatalf("%v, sequence %d, payload of %.1q, damaged %v; want %d with %d", err, s.Sequence, s.Payload, s.Damaged, sequence, n)
		}
		if got := names(t, path); got != "lock state.a state.b" {
			t.Errorf("the directory has %q", got)
		}
	}
	if err := d.Save(payload(1)); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(disk, "ballast")
	write(t, make([]byte, 500<<10), ballast)
	for range 3 {
		err := d.Save(payload(2))
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("%v, want ENOSPC", err)
		}
		mentions(t, err, path, "state.a: writing state.tmp: ", "no space left on device (the disk is full, or out of inodes: free some space)")
		check(1, 1)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := d.Save(payload(2)); err != nil {
		t.Fatal(err)
	}
	check(2, 5)

	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("", disk, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	err := d.Save(payload(3))
	if !errors.Is(err, unix.EROFS) {
		t.Fatalf("%v, want EROFS", err)
	}
	mentions(t, err, path, "state.a: making state.tmp: read-only file system (the file system is read-only: mount it read-write")
	check(2, 5)
	err = d.SetAside()
	mentions(t, err, "renaming state.a to state.a.aside: read-only file system")
	d.Close()
	_, err = checkpoint.Open(path)
	mentions(t, err, "can't be written to: read-only file system", "mount it read-write")
	if copies := checkpoint.Look(path); copies[0].Err != nil || copies[1].Err != nil {
		t.Errorf("looking at a read-only directory: %+v", copies)
	}
	remount(0)
	d = open(t, path)
	check(2, 5)
	if err := d.Save(payload(3)); err != nil {
		t.Fatal(err)
	}
	check(3, 6)
}

// A user who may not write, and copies that he may not read, with the real kernel's answers: root has another user do it.
func TestPermissions(t *testing.T) {
	t.Parallel()
	base := testenv.Dir(t)
	uid := os.Geteuid()
	if uid == 0 {
		uid = 65534
	}
	self := filepath.Join(base, "helper") // that user can't reach the test binary itself
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(self, read(t, exe), 0o755), os.Chmod(self, 0o755)); err != nil { // whatever the umask
		t.Fatal(err)
	}
	path := filepath.Join(base, "state")
	chmod := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(filepath.Join(path, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	as := func(does, path string) string {
		t.Helper()
		cmd := helper(t, does, path)
		cmd.Path = self
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out)
	}
	run := func(path string) string {
		t.Helper()
		_, err := os.Stat(path)
		checked, said := as("check", path), as("save", path)
		if _, now := os.Stat(path); err != nil && now == nil && strings.Contains(said, "not opened") {
			t.Errorf("Check has made %s", path)
		}
		want := "<nil>" // Check knows what Open and Load will say
		if m := regexp.MustCompile(`not (?:opened|loaded): (.*)`).FindStringSubmatch(said); m != nil {
			want = m[1]
		}
		if checked != "check: "+want+"\n" {
			t.Errorf("%q, want the error %q", checked, want)
		}
		return said
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		mentions(t, errors.New(run(path)), "not opened", path, "permission denied", "user 65534 may not", "StateDirectory=")
		mentions(t, errors.New(run(filepath.Join(base, "new"))), "not opened", "making it: permission denied", "user 65534 may not")
		if err := os.Chown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
		mentions(t, errorOf(checkpoint.Open(path)), "belongs to user 65534, and this process is user 0")
	}
	if said := run(path); lastSaved(t, said, 0) != 3 {
		t.Fatalf("%q", said)
	}
	chmod("", 0o500)
	mentions(t, errors.New(run(path)), "not opened", "can't be written to: permission denied", fmt.Sprintf("user %d may not", uid))
	chmod("", 0o700)

	// One copy that can't be read is no matter; of two, nothing is known, and they are not to be set aside.
	chmod("state.a", 0)
	if said := run(path); lastSaved(t, said, 0) != 6 {
		t.Fatalf("%q", said)
	}
	chmod("state.a", 0)
	chmod("state.b", 0)
	said := run(path)
	mentions(t, errors.New(said), "not loaded", "state.a: permission denied", "chown the directory and what is in it")
	if strings.Contains(said, checkpoint.ErrUntrusted.Error()) {
		t.Errorf("%q", said)
	}
	chmod("state.a", 0o600)
	if said := run(path); lastSaved(t, said, 0) != 9 {
		t.Fatalf("%q", said)
	}
	chmod("lock", 0)
	mentions(t, errors.New(run(path)), "not opened", "lock: permission denied")
}

func errorOf(d *checkpoint.Dir, err error) error {
	if err == nil {
		d.Close()
	}
	return err
}
