//go:build linux

package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What a command mounts in a mount namespace of its own is there for itself and for nobody else.
func TestOwnMountsAreNobodyElses(t *testing.T) {
	dir := Dir(t)
	const mount = `mount -t tmpfs tmpfs "$1" && echo within >"$1/file" && cat "$1/file" && pwd`
	command := OwnMounts(t, "/bin/sh", "-euc", mount, "sh", dir)
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	here, _ := os.Getwd()
	if err != nil || string(out) != "within\n"+here+"\n" {
		t.Errorf("the command said %q, %v; want its file, and the working directory %s", out, err, here)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("outside, the directory has %v, %v", left, err)
	}
}

// The same in a chroot on a shared mount, whose root directory is no mount point.
func TestOwnMountsInAChroot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may chroot, and have mounts of its own in one")
	}
	const chroot = `
mount -t tmpfs tmpfs "$1"
mount --make-shared "$1"
mkdir "$1/root"
for dir in bin sbin lib lib64 usr proc dev scripts; do
	[ -e "/$dir" ] || [ "$dir" = scripts ] || continue
	mkdir "$1/root/$dir"
	[ "$dir" = scripts ] && mount --bind "$2" "$1/root/scripts" || mount --rbind "/$dir" "$1/root/$dir"
done
mkdir "$1/root/mnt"
chroot "$1/root" /scripts/own-mounts /bin/sh -euc '
	mount -t tmpfs tmpfs /mnt && echo within >/mnt/file && cat /mnt/file && [ -e /proc/self/status ]'
[ -e "$1/root/mnt/file" ] && echo leaked || echo nothing outside
`
	command := OwnMounts(t, "/bin/sh", "-euc", chroot, "sh", Dir(t), filepath.Join(Root(t), "scripts"))
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil || string(out) != "within\nnothing outside\n" {
		t.Errorf("the command said %q, %v", out, err)
	}
}

// Without a command there is nothing to run, and the script says how it is used.
func TestOwnMountsNeedsACommand(t *testing.T) {
	out, err := exec.Command(filepath.Join(Root(t), "scripts/own-mounts")).CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "usage: own-mounts COMMAND") {
		t.Errorf("it said %q, %v", out, err)
	}
}
