package follow

import (
	"strings"
	"testing"
)

// Files that end alike by chance have nothing in common, however few bytes their last block has.
func TestCommonLength(t *testing.T) {
	held := func(text string) *content {
		return newContent(func(p []byte, offset int64) (int, error) { return strings.NewReader(text).ReadAt(p, offset) }, int64(len(text)), true)
	}
	const end = "  total size 5\n"
	for blocks := range 4 {
		size := blocks*tailSize + len(end)
		a, b := strings.Repeat("a", size-len(end))+end, strings.Repeat("b", size-len(end))+end
		for _, common := range []int{0, 1, tailSize - 1, tailSize, tailSize + 1, 3*tailSize - 1} {
			if common >= size-len(end) {
				continue
			}
			x, y := a[:common]+a[common:], a[:common]+b[common:]
			if got := commonLength(held(x), held(y), int64(size)); got != int64(common) {
				t.Errorf("%d of %d bytes are common, not %d", got, size, common)
			}
		}
		if got := commonLength(held(a), held(a), int64(size)); got != int64(size) {
			t.Errorf("%d of %d bytes are common, not all", got, size)
		}
	}
}
