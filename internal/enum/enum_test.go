package enum_test

import (
	"slices"
	"testing"

	"rsyncd_exporter/internal/enum"
)

// Another version has the names in another order, and one of its own.
func TestCountsAreReadByTheirNames(t *testing.T) {
	b := enum.Encode([]uint64{7, 0, 1 << 63, 5}, []string{"", "never", "much", "gone"})
	names := []string{"much", "new", ""}
	counts := []uint64{1, 2, 3}
	if err := enum.Decode(b, counts, names, 1); err != nil {
		t.Fatal(err)
	}
	if want := []uint64{1<<63 + 1, 2 + 5, 3 + 7}; !slices.Equal(counts, want) {
		t.Errorf("got %v, want %v", counts, want)
	}
	if err := enum.Decode(b, make([]uint64, 3), names, -1); err == nil {
		t.Error("a name that isn't known was taken")
	}
	if err := enum.Decode(b[:len(b)-1], make([]uint64, 3), names, 1); err == nil {
		t.Error("what is cut off was taken")
	}
}
