package follow

import (
	"fmt"
	"os"
	"testing"
)

func numbered(path string, n int) string {
	if n == 0 {
		return path
	}
	return fmt.Sprintf("%s.%d", path, n)
}
func isClosed(c <-chan struct{}) bool { return closed(c) }
func waitForTick(t *testing.T, path string) {
	path += "x.tick"
	birth := func() int64 {
		must(t, os.WriteFile(path, nil, 0o644))
		info, err := statPath(path, true)
		must(t, err)
		must(t, os.Remove(path))
		return info.id.Birth
	}
	first := birth()
	if first != 0 {
		reach(t, "the next tick of the file system's clock", func() bool { return birth() > first })
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o644))
}
