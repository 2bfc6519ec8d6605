package show

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/clipperhouse/displaywidth"

	"rsyncd_exporter/report"
)

// TextOptions say how Text writes.
type TextOptions struct {
	Width int  // columns; 0 is 80, and fewer than 60 are 60
	Color bool // escape sequences of a terminal
	Top   int  // rows of a table; 0 is 10
}

const (
	defaultWidth = 80
	leastWidth   = 60 // below it tables of names and numbers can't be read
	defaultTop   = 10
)

// Text writes a report as plain text in UTF-8, for a terminal or a mail. No line is wider than
// o.Width. The error is the writer's.
func Text(w io.Writer, s *report.Summary, o TextOptions) error {
	p := printer{width: max(o.Width, leastWidth), color: o.Color, top: o.Top}
	if o.Width == 0 {
		p.width = defaultWidth
	}
	if p.top <= 0 {
		p.top = defaultTop
	}
	for i, sec := range sections(s) {
		if i > 0 {
			p.line("")
		}
		p.section(&sec)
	}
	_, err := w.Write(p.b.Bytes())
	return err
}

type printer struct {
	b     bytes.Buffer
	width int
	color bool
	top   int
	fresh bool // nothing has been written behind a section's title
}

// The colours, as parameters of SGR.
const (
	bold = "1"
	dim  = "2"
	red  = "31"
	blue = "34"
)

func (p *printer) paint(s, sgr string) string {
	if !p.color || sgr == "" || strings.TrimSpace(s) == "" {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

func (p *printer) line(s string) {
	p.b.WriteString(strings.TrimRight(s, " ") + "\n")
	p.fresh = false
}

// wrapped writes sentences.
func (p *printer) wrapped(s, sgr string) {
	for _, l := range wrap(s, p.width) {
		p.line(p.paint(l, sgr))
	}
}

func (p *printer) section(sec *section) {
	title := sec.title + " "
	p.line(p.paint(title, bold) + p.paint(strings.Repeat("─", p.width-width(title)), dim))
	p.fresh = true
	for _, l := range sec.lead {
		p.wrapped(l, "")
	}
	if sec.days != nil {
		p.days(sec.days)
	}
	if sec.heat != nil {
		p.heat(sec.heat)
	}
	if len(sec.paste) > 0 {
		p.line("")
		p.paste(setting(sec.paste))
	}
	for _, t := range sec.tables {
		p.table(t)
	}
}

// paste writes a text in double quotes that a shell and systemd read without its line ends.
func (p *printer) paste(s string) {
	for width(s) > p.width {
		end := len(displaywidth.TruncateString(s, p.width-1, ""))
		if comma := strings.LastIndexByte(s[:end], ','); comma > 0 {
			end = comma + 1
		}
		for (end-len(strings.TrimRight(s[:end], `\`)))%2 == 1 {
			end-- // not between a backslash and what it escapes
		}
		p.line(s[:end] + `\`)
		s = s[end:]
	}
	p.line(s)
}

func (p *printer) table(t *table) {
	top := p.top
	if t.bare {
		top = len(t.rows)
	}
	rows := t.top(top)
	columns := t.shown(rows)
	if len(columns) == 0 {
		return
	}
	if t.title != "" {
		if !p.fresh {
			p.line("")
		}
		p.line(p.paint(t.title, bold))
	}
	if t.list {
		p.list(t, rows, columns)
	} else {
		p.grid(t, rows, columns)
	}
	if more := len(t.rows) - top; more > 0 && t.left == nil {
		p.line(p.paint(fmt.Sprintf("%s… and %d more", indent, more), dim))
	}
	for _, n := range t.notes {
		p.wrapped(n, dim)
	}
}

const indent = "  "

// list writes each row with its last column below the others.
func (p *printer) list(t *table, rows [][]cell, columns []int) {
	last := len(t.columns) - 1
	for _, r := range rows {
		var first []string
		for _, i := range columns {
			if s := r[i].people(); i != last && s != "" {
				first = append(first, s)
			}
		}
		p.line(indent + cut(strings.Join(first, indent), p.width-len(indent)))
		for _, l := range wrap(r[last].people(), p.width-2*len(indent)) {
			p.line(indent + indent + p.paint(l, color(r[last])))
		}
	}
}

// grid writes rows and columns. Where a line is too short for all columns, the others follow below,
// again with those that say what a row is about.
func (p *printer) grid(t *table, rows [][]cell, columns []int) {
	room := p.width - len(indent)
	need := make([]int, len(columns)) // what is needed
	ask := make([]int, len(columns))  // what is enough to make sense
	may := make([]bool, len(columns)) // be cut
	for i, c := range columns {
		if !t.bare {
			need[i] = width(t.columns[c].head)
		}
		for _, r := range rows {
			need[i] = max(need[i], width(r[c].people()))
			may[i] = may[i] || r[c].unit == words || r[c].unit == moment
		}
		ask[i] = need[i]
		if may[i] {
			ask[i] = min(need[i], sensible)
		}
	}
	keys, base := min(1+t.keys, len(columns)-1), -gap
	for i := range keys {
		base += ask[i] + gap
	}
	lines := parts(ask[keys:], base, room)
	if len(lines) == 0 {
		lines = [][]int{nil} // one column
	}
	for n, line := range lines {
		if n > 0 {
			p.line("")
		}
		var these, needs []int
		var flexible []bool
		add := func(i int) {
			these, needs, flexible = append(these, columns[i]), append(needs, need[i]), append(flexible, may[i])
		}
		for i := range keys {
			add(i)
		}
		for _, i := range line {
			add(keys + i)
		}
		p.part(t, rows, these, fit(needs, flexible, room))
	}
}

// sensible is how many columns of a name say something.
const sensible = 16

// part writes some columns of a table in their widths.
func (p *printer) part(t *table, rows [][]cell, columns, widths []int) {
	write := func(get func(c int) (text, sgr string)) {
		line := indent
		for i, c := range columns {
			if i > 0 {
				line += strings.Repeat(" ", gap)
			}
			s, sgr := get(c)
			s = cut(s, widths[i])
			space := pad("", widths[i]-width(s), true)
			if t.columns[c].left {
				line += p.paint(s, sgr) + space
			} else {
				line += space + p.paint(s, sgr)
			}
		}
		p.line(line)
	}
	if !t.bare {
		write(func(c int) (string, string) { return t.columns[c].head, dim })
	}
	for _, r := range rows {
		write(func(c int) (string, string) { return r[c].people(), color(r[c]) })
	}
}

// color returns how a cell is painted.
func color(c cell) string {
	switch {
	case c.bad:
		return red
	case c.unit == bar:
		return blue
	}
	return ""
}
