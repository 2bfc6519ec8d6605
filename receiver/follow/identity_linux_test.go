package follow

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Where the file system knows when a file was made, that is part of its identity: another file may get the same inode a moment later.
func TestFileIdentityHasTheTimeOfBirth(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := create(t, path)
	var st unix.Statx_t
	must(t, unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &st))
	if st.Mask&unix.STATX_BTIME == 0 {
		t.Skip("this file system doesn't know it")
	}
	want := time.Unix(st.Btime.Sec, int64(st.Btime.Nsec)).UnixNano()
	byPath, err := statPath(path, true)
	must(t, err)
	byFD, err := statFD(int(f.f.Fd()))
	must(t, err)
	if byPath.id.Birth != want || byFD.id.Birth != want {
		t.Errorf("made at %d by its path, at %d by its descriptor, want %d", byPath.id.Birth, byFD.id.Birth, want)
	}
	must(t, os.Remove(path))
}
