package codes_test

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/rsynclog/codes"
)

// The names are the kernel's, and the texts those of Go's table, but for capitals and for three
// that glibc words differently.
func TestErrnosAreThoseOfLinux(t *testing.T) {
	differ := map[int]bool{6: true, 12: true, 61: true}
	alias := map[string]string{"EOPNOTSUPP": "ENOTSUP", "EUCLEAN": "EFSCORRUPTED"}
	n := 0
	for e := -1; e < 200; e++ {
		name, text := codes.ErrnoName(e)
		if name == "" {
			continue
		}
		n++
		if want := unix.ErrnoName(unix.Errno(e)); name != want && alias[name] != want {
			t.Errorf("errno %d is %s, want %s", e, name, want)
		}
		if want := unix.Errno(e).Error(); !strings.EqualFold(text, want) && !differ[e] {
			t.Errorf("errno %d says %q, want %q", e, text, want)
		}
	}
	if n < 40 {
		t.Errorf("%d errnos have names, want at least 40", n)
	}
}
