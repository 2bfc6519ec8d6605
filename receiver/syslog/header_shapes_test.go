package syslog

import "testing"

// The stamps that are looked for by hand are those of their shapes.
func TestUnrolledShapes(t *testing.T) {
	for _, c := range []struct {
		shape, example string
		length         func([]byte) int
	}{
		{"Aaa _0 00:00:00", "Nov 23 18:40:52 vm", func(b []byte) int {
			if isBSDStamp(b) {
				return bsdStamp
			}
			return 0
		}},
		{"0000-00-00T00:00:00", "2026-11-23T18:40:52Z", func(b []byte) int {
			if isISOStamp(b) && b[10] == 'T' {
				return isoStamp
			}
			return 0
		}},
		{"0000-00-00 00:00:00", "2026-11-23 18:40:52 x", func(b []byte) int {
			if isISOStamp(b) && b[10] == ' ' {
				return isoStamp
			}
			return 0
		}},
		{"0000/00/00 00:00:00 [", "2026/11/23 18:40:52 [505] x", rsyncStampLength},
	} {
		for i := range len(c.example) {
			for v := range 256 {
				b := []byte(c.example)
				b[i] = byte(v)
				if got, want := c.length(b), shapeLength(b, c.shape); got != want {
					t.Errorf("%q: %d, want %d", b, got, want)
				}
			}
			if got, want := c.length([]byte(c.example[:i])), shapeLength([]byte(c.example[:i]), c.shape); got != want {
				t.Errorf("%q: %d, want %d", c.example[:i], got, want)
			}
		}
	}
}
