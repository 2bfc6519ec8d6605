package receiver

import "testing"

// A line of which the end isn't there yet is not taken, wherever it is cut.
func TestALineWaitsForItsEnd(t *testing.T) {
	whole := line(0) + "\n" + line(1)
	for cut := len(line(0)) + 1; cut <= len(whole); cut++ {
		var s Slab
		var skip skipped
		s.Reset()
		if used := takeLines(&s, []byte(whole[:cut]), 0, &skip); used != len(line(0))+1 || len(s.Messages) != 1 || string(s.Messages[0]) != line(0) {
			t.Fatalf("%q: %d bytes used, %q", whole[:cut], used, s.Messages)
		}
	}
}
