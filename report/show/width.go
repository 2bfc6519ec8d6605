package show

import (
	"strings"

	"github.com/clipperhouse/displaywidth"
)

// width returns how many columns of a terminal a text takes.
func width(s string) int { return displaywidth.String(s) }

// cut shortens a text to so many columns. Of a path the end stays, too.
func cut(s string, columns int) string {
	if width(s) <= columns {
		return s
	}
	if !strings.Contains(s, "/") || columns < 12 {
		return displaywidth.TruncateString(s, columns, "…")
	}
	begin := displaywidth.TruncateString(s, (columns-1)/2, "")
	room := columns - 1 - width(begin)
	end := s[len(begin):]
	for g := displaywidth.StringGraphemes(end); width(end) > room && g.Next(); {
		end = end[len(g.Value()):]
	}
	return begin + "…" + end
}

// pad fills a text up to so many columns.
func pad(s string, columns int, left bool) string {
	space := strings.Repeat(" ", max(0, columns-width(s)))
	if left {
		return s + space
	}
	return space + s
}

// wrap breaks a text into lines of so many columns, at spaces where it can.
func wrap(s string, columns int) (lines []string) {
	line := ""
	for _, w := range strings.Split(s, " ") {
		if line != "" && width(line)+1+width(w) <= columns {
			line += " " + w
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for width(w) > columns {
			first := displaywidth.TruncateString(w, columns, "")
			if first == "" {
				break // wider than a line, which no character is
			}
			lines, w = append(lines, first), w[len(first):]
		}
		line = w
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// fit gives columns their widths in a line of so many: those that may be cut get what is left, up
// to what they need.
func fit(need []int, flexible []bool, columns int) []int {
	const least = 4 // abc…
	got := append([]int(nil), need...)
	left := columns - gap*(len(need)-1)
	for i, n := range need {
		if flexible[i] {
			got[i] = min(n, least)
		}
		left -= got[i]
	}
	for more := true; more && left > 0; {
		more = false
		for i := range got {
			if got[i] < need[i] && left > 0 {
				got[i]++
				left--
				more = true
			}
		}
	}
	return got
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
