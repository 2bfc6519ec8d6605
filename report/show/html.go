package show

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"rsyncd_exporter/report"
)

//go:embed report.html.tmpl
var source string

// maxRows is how many rows a table of the page has: more nobody reads, and a page is mailed.
const maxRows = 100

// maxColumns is how many columns of a cell the page shows. A name has at most rsynclog.MaxLabel.
const maxColumns = 400

// A page is what the template fills in.
type page struct {
	Title, Heading string
	Lead           []string
	Tiles          []tile
	Sections       []part
}

type tile struct {
	Name, Value string
	Bad         bool
}

type part struct {
	ID, Title string
	Lead      []string
	Charts    []chart
	Tables    []grid
	Paste     string
}

type grid struct {
	Title, Folded string
	Hidden        bool // the title is for those who can't see where the table stands
	Head          []field
	Rows          [][]field
	Notes         []string
}

type field struct{ Text, Class string }

// HTML writes a report as one page that needs nothing else: tables and drawings, without a script,
// a font, a picture or a request. Its policy forbids all of these, too. The error is the writer's.
func HTML(w io.Writer, s *report.Summary) error {
	t, err := template.New("report").Parse(source)
	if err != nil {
		return err
	}
	p := page{Heading: "What the rsync daemons did", Lead: []string{when(s)}, Tiles: tiles(s)}
	p.Title = p.Heading
	if s.From != "" && s.To != "" {
		p.Title = "rsync: " + minute(s.From) + " to " + minute(s.To)
	}
	if f := filtered(s.Filter); f != "" {
		p.Lead = append(p.Lead, f)
	}
	for _, sec := range sections(s) {
		p.Sections = append(p.Sections, partOf(&sec))
	}
	return t.Execute(w, &p)
}

func tiles(s *report.Summary) []tile {
	ended := all(s.Sessions)
	failed := portion(plus(s.Sessions["aborted"], s.Sessions["partial"]), ended)
	return []tile{
		{"Sent", iec(float64(s.Sent)), false},
		{"Received", iec(float64(s.Received)), false},
		{"Sessions", thousands(ended), false},
		{"Went well", hundredths(of(s.Sessions["ok"], ended)), false},
		{"Failed or partial", failed.people(), failed.bad},
		{"Turned away", thousands(s.Sessions["rejected"]), false},
	}
}

func partOf(sec *section) part {
	p := part{ID: sec.id, Title: sec.title, Lead: sec.lead}
	if sec.days != nil {
		p.Charts = dayCharts(sec.days)
		days := gridsOf(dayTable(sec.days))
		days[0].Folded = "The same in numbers"
		p.Tables = append(p.Tables, days...)
	}
	if sec.heat != nil {
		p.Charts = []chart{heatChart(sec.heat)}
	}
	if sec.busy != nil {
		p.Charts = busyCharts(sec.busy)
	}
	if len(sec.paste) > 0 {
		p.Paste = setting(sec.paste)
	}
	for _, t := range sec.tables {
		p.Tables = append(p.Tables, gridsOf(t)...)
	}
	for i := range p.Tables {
		if g := &p.Tables[i]; g.Title == "" {
			g.Title, g.Hidden = sec.title, true
		}
	}
	return p
}

// maxBeside is how many columns stand beside those that say what a row is about: so many fit into
// the page.
const maxBeside = 9

// gridsOf returns a table as the page has it, in several parts if it has many columns; none if
// people see none of it.
func gridsOf(t *table) (grids []grid) {
	rows := t.top(maxRows)
	columns := t.shown(rows)
	if len(columns) == 0 {
		return nil
	}
	keys := min(1+t.keys, len(columns))
	beside := columns[keys:]
	for more := true; more; more = len(beside) > 0 {
		n := min(len(beside), maxBeside)
		grids = append(grids, gridOf(t, rows, append(columns[:keys:keys], beside[:n]...)))
		beside = beside[n:]
	}
	grids[0].Title = t.title
	last := &grids[len(grids)-1]
	last.Notes = t.notes
	if more := len(t.rows) - maxRows; more > 0 && t.left == nil {
		last.Notes = append(last.Notes[:len(last.Notes):len(last.Notes)], fmt.Sprintf("… and %d more", more))
	}
	return grids
}

func gridOf(t *table, rows [][]cell, columns []int) (g grid) {
	classes := make([]string, len(t.columns))
	for _, i := range columns {
		classes[i] = t.class(i, rows)
		if !t.bare {
			g.Head = append(g.Head, field{t.columns[i].head, classes[i]})
		}
	}
	for _, r := range rows {
		var fields []field
		for _, i := range columns {
			f := field{cut(r[i].people(), maxColumns), classes[i]}
			if r[i].bad {
				f.Class += " bad"
			}
			fields = append(fields, f)
		}
		g.Rows = append(g.Rows, fields)
	}
	return g
}

// class returns how the page sets a column: l is words on one line, t those that need several, and
// numbers have none.
func (t *table) class(i int, rows [][]cell) string {
	if !t.columns[i].left {
		return ""
	}
	const long = 40
	for _, r := range rows {
		if width(r[i].people()) > long {
			return "t"
		}
	}
	return "l"
}
