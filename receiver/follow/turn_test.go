package follow

import (
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A new file isn't read before the one before it has been read to its end. The old one's reader is held until the
// new one's asks for its turn, or reads without one.
func TestFileGenerationAsksForItsTurn(t *testing.T) {
	const many = 30_000 // ten blocks
	all := text(lines(0, many))
	var old atomic.Pointer[generation]
	var early atomic.Bool
	path := t.TempDir() + "/log"
	opt := Options{Path: path, SetOptions: SetOptions{Poll: time.Minute}}
	opt.pread = func(fd int, p []byte, off int64) (int, error) {
		before := old.Load()
		const block = 1 << 17 // a look reads less
		if before == nil || len(p) <= block {
			return unix.Pread(fd, p, off)
		}
		if fd != before.fd {
			early.Store(early.Load() || before.offset.Load() < int64(len(all)))
			return unix.Pread(fd, p, off)
		}
		for before.waiting.Load() == nil && !early.Load() && before.offset.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		return unix.Pread(fd, p, off)
	}
	sink := newLineSink()
	f := follow(t, sink, opt)
	create(t, path).write(all)
	must(t, os.Rename(path, path+".1"))
	create(t, path).write(strings.ToUpper(line(0)) + "\n")
	f.look()
	if len(f.generations) != 2 {
		t.Fatalf("%d generations", len(f.generations))
	}
	old.Store(f.generations[0])
	start(t, f)
	reachCount(t, sink, many+1)
	if early.Load() {
		t.Error("the new file was read while the old one had lines left")
	}
	sink.check(t, true, append(lines(0, many), strings.ToUpper(line(0)))...)
}
