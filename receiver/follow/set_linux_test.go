package follow

import "golang.org/x/sys/unix"

func bindMount(old, new string) error { return unix.Mount(old, new, "", unix.MS_BIND, "") }

func unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }
