// Package show renders a report's Summary: Text for a terminal or a mail, CSV for spreadsheets, and
// HTML as one file for a browser. Whatever a client or a file has named is shown as text: control
// characters and those that change the direction of writing are escaped.
package show

import (
	"cmp"
	"strconv"

	"rsyncd_exporter/internal/text"
)

// A table is one table of a report, for people and for CSV.
type table struct {
	file    string // name of its CSV file without ".csv"; "": people only
	title   string
	columns []column
	rows    [][]cell
	left    func(shown int) []cell // for people: what all but the first rows come to, or nil
	notes   []string               // for people; sentences
	most    int                    // rows that people see; 0: all
	keys    int                    // columns that say what a row is about, besides the first
	bare    bool                   // the titles of columns say nothing that the rows don't
	list    bool                   // the last column is long: on a terminal it stands below the others
}

// A column of a table. One without a head is for CSV only, one without a name for people only.
type column struct {
	head, name string
	left       bool // else aligned to the right
}

// shown returns the indices of the columns that people see: those that have something in a row.
func (t *table) shown(rows [][]cell) []int {
	var shown []int
	for i, c := range t.columns {
		for _, r := range rows {
			if c.head != "" && r[i].people() != "" {
				shown = append(shown, i)
				break
			}
		}
	}
	return shown
}

// top returns the first rows, and behind them what the others come to.
func (t *table) top(n int) [][]cell {
	if t.most > 0 {
		n = min(n, t.most)
	}
	rows := t.rows[:min(n, len(t.rows))]
	if t.left == nil {
		return rows
	}
	if rest := t.left(len(rows)); rest != nil {
		rows = append(rows[:len(rows):len(rows)], rest)
	}
	return rows
}

type unit uint8

const (
	nothing unit = iota
	words        // text, perhaps of others
	count
	code // a number that isn't a quantity
	octets
	bytesADay
	seconds
	share // of 1
	moment
	bar // our own drawing
)

// A cell is one value of a table.
type cell struct {
	unit  unit
	text  string
	n     uint64
	f     float64
	blank string // what people see where there is no text
	bound string // "≥" or "≤" or "~": how the true value relates to this one
	bad   bool   // it is worth a look
	rare  bool   // people see it only if it isn't 0
}

func word(s string) cell        { return cell{unit: words, text: s} }
func module(s string) cell      { return cell{unit: words, text: s, blank: "(not known)"} }
func number(n uint64) cell      { return cell{unit: count, n: n} }
func size(n uint64) cell        { return cell{unit: octets, n: n} }
func duration(f float64) cell   { return cell{unit: seconds, f: f} }
func percent(f float64) cell    { return cell{unit: share, f: f} }
func instant(s string) cell     { return cell{unit: moment, text: s} }
func (c cell) as(b string) cell { c.bound = b; return c }

// worthALook marks a number that should be zero.
func (c cell) worthALook() cell { c.bad = c.n > 0; return c }

// portion returns a number of failures, marked where they are a twentieth of the whole or more.
func portion(n, whole uint64) cell {
	c := number(n)
	c.bad = of(n, whole) >= 0.05
	return c
}

// aDay returns bytes a day, or nothing where a log is shorter than a day.
func aDay(f float64) cell {
	if f == 0 {
		return cell{}
	}
	return cell{unit: bytesADay, f: f}
}

// some returns a number, or nothing for 0.
func some(n uint64) cell {
	if n == 0 {
		return cell{}
	}
	return number(n)
}

// people returns a cell as people read it, on one line and fit to be printed.
func (c cell) people() string {
	s := ""
	switch c.unit {
	case words:
		s = text.OneLine(cmp.Or(c.text, c.blank))
	case count:
		if c.n > 0 || !c.rare {
			s = thousands(c.n)
		}
	case code:
		s = strconv.FormatUint(c.n, 10)
	case octets:
		s = iec(float64(c.n))
	case bytesADay:
		s = iec(c.f)
	case seconds:
		s = span(c.f)
	case share:
		s = hundredths(c.f)
	case moment:
		s = minute(c.text)
	case bar:
		s = c.text
	}
	if s == "" {
		return ""
	}
	return c.bound + s
}

// csv returns a cell as CSV has it: words quoted, numbers as they are.
func (c cell) csv() string {
	switch c.unit {
	case words, moment:
		return quoted(c.text)
	case count, code, octets:
		return strconv.FormatUint(c.n, 10)
	case bytesADay, seconds, share:
		return strconv.FormatFloat(c.f, 'f', -1, 64)
	}
	return ""
}

// plus adds counts. A sum that is too large for a number stays at the largest: Summaries may come
// from elsewhere.
func plus(all ...uint64) uint64 {
	var sum uint64
	for _, n := range all {
		if sum+n < sum {
			return 1<<64 - 1
		}
		sum += n
	}
	return sum
}

// all returns the sum of a map's values.
func all(m map[string]uint64) (sum uint64) {
	for _, n := range m {
		sum = plus(sum, n)
	}
	return sum
}

// byCount orders names by their counts, the largest first.
func byCount(m map[string]uint64) func(a, b string) int {
	return func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) }
}
