package report

import "math/bits"

// The top lists count in a table of bounded room. A full table lets go of its smaller entries and
// raises its floor to the largest figure that any of these can have had. A later entry may have
// been there before, so it begins with the floor as its error: its true figure is at least what was
// counted since, and at most that and the error. Entries that came before the table was first full
// are exact.
//
// The floor is at most (sum of all figures)/k, where k is the rank that decides who stays. Take
// what each entry's upper bound has above the floor. Counting x raises the sum of these by x; an
// entry begins with 0. Raising the floor by d takes d from at least k entries, as k of them reach
// the new floor. This is Misra and Gries' proof; their counters are these differences.

// ranked returns the k-th largest value, 1 <= k <= len(values). It takes the same time whatever the
// values are: clients choose them.
func ranked(values []uint64, k int) uint64 {
	var all, found, mask uint64
	for _, v := range values {
		all |= v
	}
	for shift := (bits.Len64(all|1) - 1) / 8 * 8; shift >= 0; shift -= 8 {
		var n [256]int // by this byte, those with the same higher bytes as the one sought
		for _, v := range values {
			if v&mask == found {
				n[byte(v>>shift)]++
			}
		}
		b := 255
		for ; k > n[b]; b-- {
			k -= n[b]
		}
		found |= uint64(b) << shift
		mask |= 0xff << shift
	}
	return found
}
