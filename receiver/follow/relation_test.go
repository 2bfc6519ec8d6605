package follow

import (
	"strings"
	"testing"
)

func contentOf(s string) *content {
	return newContent(func(p []byte, offset int64) (int, error) { return copy(p, s[min(int(offset), len(s)):]), nil }, int64(len(s)), true)
}

// Two logs whose lines differ have their starts in common, however the last lines end.
func TestCommonLength(t *testing.T) {
	const end = "  total size 5\n"
	for _, size := range []int{100, tailSize - 1, tailSize, tailSize + 3, 2*tailSize - 1, 2*tailSize + 5, 5*tailSize + 1} {
		log := strings.Repeat("a", size-len(end)) + end
		for _, at := range []int{0, 1, 70, tailSize - 1, tailSize, 2*tailSize - 1, size - len(end) - 1, size} {
			if at >= size-len(end) && at != size {
				continue
			}
			other := log[:at] + strings.Repeat("b", max(0, size-at-len(end))) + log[max(at, size-len(end)):]
			if got := commonLength(contentOf(log), contentOf(other), int64(size)); got != int64(at) {
				t.Errorf("%d of %d bytes in common, got %d", at, size, got)
			}
		}
	}
	if n := commonLength(contentOf(""), contentOf("a"), 0); n != 0 {
		t.Errorf("%d bytes in common with nothing", n)
	}
}
