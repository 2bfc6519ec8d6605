package testenv

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// NotRegular returns paths of what is no regular file, or far too large: a FIFO that nobody writes
// to, a device without an end, a terminal that nobody types at, a directory, and a file of a
// terabyte.
func NotRegular(t testing.TB) []string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	large, err := os.Create(dir + "/large")
	if err != nil {
		t.Fatal(err)
	}
	defer large.Close()
	if err := large.Truncate(1 << 40); err != nil {
		t.Fatal(err)
	}
	return []string{dir + "/fifo", "/dev/zero", openTerminal(t), dir, dir + "/large"}
}

// openTerminal returns the path of a terminal, whose other end stays open until the test ends.
func openTerminal(t testing.TB) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("/dev/pts/", number)
}

// ReplaceByLink puts a symbolic link to the target in the place of a file.
func ReplaceByLink(t testing.TB, path, target string) {
	t.Helper()
	if err := os.Symlink(target, path+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
