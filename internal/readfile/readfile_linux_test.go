package readfile_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/readfile"
)

// A file on a file server that doesn't answer costs some seconds, once for all who ask.
func TestAFileServerThatIsGone(t *testing.T) {
	dir := hungFileSystem(t)
	reader := readfile.NewReader()
	ended := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := reader.Read(dir+"/web.yml", 100)
			ended <- err
		}()
	}
	for range 3 {
		if err := <-ended; err == nil || !strings.HasSuffix(err.Error(), "can't be read within 5s") {
			t.Errorf("error %v", err)
		}
	}
}

// hungFileSystem mounts a file system that never answers, until the test ends.
func hungFileSystem(t *testing.T) (dir string) {
	t.Helper()
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no file system can be made here: %v", err)
	}
	dir = t.TempDir()
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse.Fd())
	if err := unix.Mount("hung", dir, "fuse.hung", 0, options); err != nil {
		fuse.Close()
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		fuse.Close() // who waits gets an error
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
