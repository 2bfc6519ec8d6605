package show

import (
	"fmt"
	"strings"

	"rsyncd_exporter/report"
)

// days writes a bar for each day, with as many numbers beside it as there is room for.
func (p *printer) days(days []period) {
	most := uint64(0)
	for _, d := range days {
		most = max(most, moved(d.Volume))
	}
	t := &table{columns: []column{
		{"Date", "", true}, {"", "", true}, {"Bytes", "", false}, {"Sessions", "", false}, {"Failed", "", false},
		{"Rejected", "", false}, {"At once", "", false},
	}}
	for _, d := range days {
		t.rows = append(t.rows, []cell{word(d.label), {}, size(moved(d.Volume)), number(d.Sessions),
			portion(d.Failed, d.Sessions), number(d.Rejected), number(d.Peak)})
	}
	const date, leastBar = len("2006-01-02"), 8
	columns, widths := []int{0, 1}, []int{date, p.width - len(indent) - date - gap}
	for i := 2; i < len(t.columns); i++ {
		w := len(t.columns[i].head)
		for _, r := range t.rows {
			w = max(w, width(r[i].people()))
		}
		if widths[1]-gap-w < leastBar {
			break
		}
		columns, widths = append(columns, i), append(widths, w)
		widths[1] -= gap + w
	}
	for i, d := range days {
		t.rows[i][1] = cell{unit: bar, text: horizontal(moved(d.Volume), most, widths[1])}
	}
	p.part(t, t.rows, columns, widths)
}

// horizontal returns a bar that takes all columns for most.
func horizontal(n, most uint64, columns int) string {
	const part = 8 // of a column
	eighths := level(n, most, columns*part)
	s := strings.Repeat("█", eighths/part)
	if r := eighths % part; r > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[r-1])
	}
	return s
}

// heat writes a line for each weekday, with a bar for each hour.
func (p *printer) heat(s *report.Summary) {
	const label = len("Mon") + gap
	cell := min(3, (p.width-len(indent)-label)/24) // columns of an hour
	head := indent + strings.Repeat(" ", label)
	for h := range 24 {
		if h%3 == 0 {
			head += pad(fmt.Sprintf("%02d", h), 3*cell, true)
		}
	}
	p.line(p.paint(strings.TrimRight(head, " "), dim))
	row := func(name string, hours [24]report.Hour, most uint64) {
		line := ""
		for _, v := range hours {
			block := string([]rune("·▁▂▃▄▅▆▇█")[level(moved(v), most, 8)])
			line += pad(strings.Repeat(block, max(1, cell-1)), cell, true)
		}
		p.line(indent + pad(name, label, true) + p.paint(strings.TrimRight(line, " "), blue))
	}
	for d, hours := range s.Heat {
		row(weekdays[d][:3], hours, mostBytes(s))
	}
	all := uint64(0)
	for _, v := range s.Hours {
		all = max(all, moved(v))
	}
	row("All", s.Hours, all)
	p.wrapped(fmt.Sprintf("█ is %s in an hour of the week, and %s in one of the day; · is nothing.",
		iec(float64(mostBytes(s))), iec(float64(all))), dim)
}
