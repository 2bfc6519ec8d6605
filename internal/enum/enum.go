// Package enum writes what goes by the values of an enumeration with the names of the values: a
// later version, whose numbers may differ, reads what was meant.
package enum

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// Names returns the names of the values 0 to n-1, as String gives them.
func Names[T ~uint8](n T, name func(T) string) []string {
	list := make([]string, n)
	for i := range n {
		list[i] = name(i)
	}
	return list
}

// Encode writes the counts that aren't 0, each behind its name.
func Encode(counts []uint64, names []string) (b []byte) {
	for i, n := range counts {
		if n > 0 {
			b = append(append(b, names[i]...), 0)
			b = binary.AppendUvarint(b, n)
		}
	}
	return b
}

// Decode adds what Encode wrote to the counts. What has a name that isn't among names counts under
// the index other; if that is negative, it is an error.
func Decode(b []byte, counts []uint64, names []string, other int) error {
	for len(b) > 0 {
		name, rest, _ := bytes.Cut(b, []byte{0})
		n, size := binary.Uvarint(rest)
		i := slices.Index(names, string(name))
		if i < 0 {
			i = other
		}
		if i < 0 || size <= 0 {
			return fmt.Errorf("%d counted as %q, which this version doesn't know", n, name)
		}
		counts[i] += n
		b = rest[size:]
	}
	return nil
}
