// Package text makes strings that others have chosen fit for people to read.
package text

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// DidYouMean returns " (did you mean X?)" for the most similar known name, or nothing.
func DidYouMean(name string, known []string) string {
	best, least := "", 1+max(2, len(strings.TrimPrefix(name, "RSYNCD_EXPORTER_"))/3)
	for _, k := range known {
		if d := distance(strings.ToUpper(name), strings.ToUpper(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// distance is the Levenshtein distance of two strings: how many bytes to insert, delete or change.
func distance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return 100 // nothing of ours is so long
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// OneLine returns a text with its control characters escaped as Go writes them.
func OneLine(text any) string {
	var b strings.Builder
	for _, r := range fmt.Sprint(text) {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// Printable returns s as it is if it is plain, and quoted otherwise.
func Printable(s string) string {
	if q := fmt.Sprintf("%q", s); q != `"`+s+`"` {
		return q
	}
	return s
}
