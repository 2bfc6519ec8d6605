package testenv

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A SmallDisk is a mount namespace with a file system of some pages, in which programs can be
// started.
type SmallDisk struct {
	Path string // within the namespace; outside it is an empty directory

	t   testing.TB
	pid string
}

// NewSmallDisk makes a file system of a size, "512k", that is there until the test ends.
func NewSmallDisk(t testing.TB, size string) *SmallDisk {
	t.Helper()
	d := &SmallDisk{t: t, Path: Dir(t)}
	command := OwnMounts(t, "/bin/sh", "-c",
		`mount -t tmpfs -o mode=700,size="$2" none "$1" && echo mounted && exec sleep 86400`, "sh", d.Path, size)
	holder := Start(t, exec.Command(command[0], command[1:]...))
	d.pid = fmt.Sprint(holder.Pid())
	holder.Ready(t, "a small disk", func() bool { return strings.Contains(holder.Output(), "mounted") })
	return d
}

// Within is a wrapper that starts a program there. The root directory is named, as the namespace's
// own isn't that of a chroot.
func (d *SmallDisk) Within() []string {
	d.t.Helper()
	command := []string{Need(d.t, "nsenter"), "-t", d.pid}
	if os.Geteuid() != 0 {
		command = append(command, "-U", "--preserve-credentials")
	}
	return append(command, "--mount", "--root", "--wd")
}

// Outside returns the path by which a file of the disk is reached from outside.
func (d *SmallDisk) Outside(name string) string {
	return filepath.Join("/proc", d.pid, "root", d.Path, name)
}

// Fill fills the disk. A program that removes a file meanwhile may free some of it again.
func (d *SmallDisk) Fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.Outside(ballast), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 512)
	for err == nil {
		_, err = out.Write(make([]byte, 512))
	}
}

// ballast is the file that fills the disk.
const ballast = "ballast"

// Free is the opposite of Fill.
func (d *SmallDisk) Free() {
	d.t.Helper()
	if err := os.Remove(d.Outside(ballast)); err != nil {
		d.t.Fatal(err)
	}
}

// Remount makes the disk read-only ("ro") or writable again ("rw"), which must not take that a
// program ends. While a save has a file open it is busy.
func (d *SmallDisk) Remount(option string) {
	d.t.Helper()
	command := append(d.Within(), Need(d.t, "mount"), "-o", "remount,"+option, d.Path)
	Until(d.t, 2*patience, "the disk to be remounted "+option, func() bool {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "busy") {
			d.t.Fatalf("%q: %v\n%s", command, err, out)
		}
		return err == nil
	})
}
