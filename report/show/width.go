package show

import (
	"rsyncd_exporter/internal/text"
)

// width returns how many columns of a terminal a text takes.
func width(s string) int { return text.Width(s) }

// cut shortens a text to so many columns. Of a path the end stays, too.
func cut(s string, columns int) string { return text.Cut(s, columns) }

// pad fills a text up to so many columns.
func pad(s string, columns int, left bool) string { return text.Pad(s, columns, left) }

// wrap breaks a text into lines of so many columns, at spaces where it can.
func wrap(s string, columns int) []string { return text.Wrap(s, columns) }

// fit gives columns their widths in a line of so many, see text.Fit.
func fit(need []int, flexible []bool, columns int) []int {
	return text.Fit(need, flexible, columns-gap*(len(need)-1))
}

// gap is the space between two columns.
const gap = 2

// parts deals columns out to as few lines as they fit into, about evenly. Each line begins with
// columns of the width base.
func parts(need []int, base, columns int) [][]int {
	best := deal(need, base, columns)
	for c := columns - 1; c > base; c-- {
		p := deal(need, base, c)
		if len(p) > len(best) {
			break
		}
		best = p
	}
	return best
}

func deal(need []int, base, columns int) (lines [][]int) {
	used := 0
	for i, n := range need {
		if len(lines) == 0 || used+gap+n > columns {
			lines, used = append(lines, nil), base
		}
		lines[len(lines)-1] = append(lines[len(lines)-1], i)
		used += gap + n
	}
	return lines
}
