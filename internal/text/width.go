package text

import (
	"slices"
	"strings"

	"github.com/clipperhouse/displaywidth"
)

// Width returns how many columns of a terminal a text takes.
func Width(s string) int { return displaywidth.String(s) }

// Cut shortens a text to so many columns. Of a path the end stays, too.
func Cut(s string, columns int) string {
	if Width(s) <= columns {
		return s
	}
	if !strings.Contains(s, "/") || columns < 12 {
		return displaywidth.TruncateString(s, columns, "…")
	}
	begin := displaywidth.TruncateString(s, (columns-1)/2, "")
	room := columns - 1 - Width(begin)
	end := s[len(begin):]
	for g := displaywidth.StringGraphemes(end); Width(end) > room && g.Next(); {
		end = end[len(g.Value()):]
	}
	return begin + "…" + end
}

// Pad fills a text up to so many columns.
func Pad(s string, columns int, left bool) string {
	space := strings.Repeat(" ", max(0, columns-Width(s)))
	if left {
		return s + space
	}
	return space + s
}

// Wrap breaks a text into lines of so many columns, at spaces where it can.
func Wrap(s string, columns int) (lines []string) {
	line := ""
	for _, w := range strings.Split(s, " ") {
		if line != "" && Width(line)+1+Width(w) <= columns {
			line += " " + w
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for Width(w) > columns {
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

// Fit gives columns their widths where so many are to be shared: those that may be cut get what is
// left, up to what they need. They keep four even if that is too much.
func Fit(need []int, flexible []bool, columns int) []int {
	const least = 4 // abc…
	got := slices.Clone(need)
	left := columns
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
