// Package enum translates between two versions of an enumeration by the names of its values. What
// is saved under numbers carries the list of their names, so that a later version, whose numbers
// may differ, reads what was meant.
package enum

import "slices"

// Names returns the names of the values 0 to n-1, as String gives them.
func Names[T ~uint8](n T, name func(T) string) []string {
	list := make([]string, n)
	for i := range n {
		list[i] = name(i)
	}
	return list
}

// Translate returns, for each index of from, the index of the same name in to, or -1 where to
// doesn't have it.
func Translate(from, to []string) []int {
	table := make([]int, len(from))
	for i, name := range from {
		table[i] = slices.Index(to, name)
	}
	return table
}
