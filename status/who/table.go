package who

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"time"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/status/api"
)

// A column of a table shows something of a T.
type column[T any] struct {
	head  string
	right bool // numbers stand at the right
	least int  // columns that still say something; 0: it is never cut
	drop  int  // the columns with the highest go first where there is no room; 0: it stays
	cell  func(*T) string
	color func(*T) string // parameters of SGR; nil: none
	fact  string          // what introduces the cell where it stands below the table's line
}

// A table is columns and their widths.
type table[T any] struct {
	columns []column[T]
	widths  []int // of those that are shown; dropped is that of the others
	width   int   // of a line; 0: as many as it takes
	color   bool
}

const (
	gap     = 2 // between two columns
	dropped = -1
)

// lay gives columns their widths for some rows in a line of width; 0 is as many as it takes.
// Columns without content are left out if any may be.
func lay[T any](all []column[T], rows []T, width int, color bool) table[T] {
	t := table[T]{width: width, color: color}
	for _, c := range all {
		most, some := text.Width(c.head), false
		for i := range rows {
			s := c.cell(&rows[i])
			most, some = max(most, text.Width(s)), some || s != ""
		}
		if some || c.drop == 0 {
			t.columns, t.widths = append(t.columns, c), append(t.widths, most)
		}
	}
	if width == 0 {
		return t
	}
	for t.drop() {
	}
	var at, need []int
	var flexible []bool
	for i, w := range t.widths {
		if w != dropped {
			at, need, flexible = append(at, i), append(need, w), append(flexible, t.columns[i].least > 0)
		}
	}
	for i, w := range text.Fit(need, flexible, width-gap*(len(need)-1)) {
		t.widths[at[i]] = w
	}
	return t
}

// drop drops a column if there is no room for all.
func (t *table[T]) drop() bool {
	needed, first := -gap, -1
	for i, c := range t.columns {
		w := t.widths[i]
		if w == dropped {
			continue
		}
		if c.least > 0 {
			w = min(w, c.least)
		}
		needed += gap + w
		if c.drop > 0 && (first < 0 || c.drop > t.columns[first].drop) {
			first = i
		}
	}
	if needed <= t.width || first < 0 {
		return false
	}
	t.widths[first] = dropped
	return true
}

func (t *table[T]) heads() string {
	return t.join(func(c column[T]) (string, string) { return c.head, dim })
}

func (t *table[T]) line(row *T) string {
	return t.join(func(c column[T]) (string, string) {
		s := c.cell(row)
		switch {
		case s == "":
			return "-", dim
		case c.color == nil:
			return s, ""
		}
		return s, c.color(row)
	})
}

// below returns what the line of a row doesn't show, in lines of a width: the cells that were
// dropped or cut.
func (t *table[T]) below(row *T, width int) (lines []string) {
	for i, c := range t.columns {
		s := c.cell(row)
		if s == "" || text.Width(s) <= t.widths[i] {
			continue
		}
		s = c.fact + s
		last := len(lines) - 1
		if last >= 0 && text.Width(lines[last])+2+text.Width(s) <= width {
			lines[last] += ", " + s
		} else {
			lines = append(lines, text.Cut(s, width))
		}
	}
	return lines
}

func (t *table[T]) join(get func(column[T]) (s, sgr string)) string {
	var b strings.Builder
	owed, used := 0, 0 // spaces, which the last column doesn't end with; columns of the terminal
	for i, c := range t.columns {
		if t.widths[i] == dropped {
			continue
		}
		s, sgr := get(c)
		s = text.Cut(s, t.widths[i])
		space := t.widths[i] - text.Width(s)
		if c.right {
			owed, space = owed+space, 0
		}
		if t.width > 0 && used+owed+text.Width(s) > t.width {
			break // only numbers beyond all reason take so much
		}
		used += owed + text.Width(s)
		b.WriteString(strings.Repeat(" ", owed) + paint(s, sgr, t.color))
		owed = space + gap
	}
	return b.String()
}

// The colours, as parameters of SGR.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func paint(s, sgr string, color bool) string {
	if !color || sgr == "" || s == "" {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

// Options say how people see sessions.
type Options struct {
	Width int  // columns of a terminal; 0: nothing is cut, and each session is a line
	Color bool // escape sequences of a terminal
	Now   time.Time
}

// Text writes a Scene as a table. Where the lines are too short for it, what they don't show of a
// session follows below its line, so that no address is cut.
func (s *Scene) Text(w io.Writer, o Options) error {
	var b bytes.Buffer
	for _, l := range s.head(s.Sessions, o.Width) {
		b.WriteString(paint(l, bold, o.Color) + "\n")
	}
	if len(s.Sessions) > 0 {
		t := lay(columns(o.Now), s.Sessions, o.Width, o.Color)
		b.WriteString("\n" + t.heads() + "\n")
		for i := range s.Sessions {
			v := &s.Sessions[i]
			b.WriteString(t.line(v) + "\n")
			for _, l := range t.below(v, o.Width-len(indent)) {
				b.WriteString(indent + paint(l, dim, o.Color) + "\n")
			}
		}
		if slices.ContainsFunc(s.Sessions, func(v visit) bool { return v.MayBeOver() }) {
			b.WriteString("\n" + strings.Join(unsaid(o.Width), "\n") + "\n")
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

const indent = "  "

// unsaid tells of sessions that may be over, in lines of a width; 0 is one line.
func unsaid(width int) []string {
	if width == 0 {
		return []string{api.Unsaid}
	}
	return text.Wrap(api.Unsaid, width)
}

// head says how many sessions there are, and where: in one line if it fits.
func (s *Scene) head(sessions []visit, width int) []string {
	where := " at " + text.OneLine(strings.Join(s.asked, ""))
	if n := len(s.asked); n > 1 {
		where = " at " + text.Plural(uint64(n), "exporter", "exporters")
	}
	count, states, _ := strings.Cut(s.summary(sessions)+s.missing(), ":")
	line := count + where
	if states != "" {
		line += ":" + states
	}
	if width == 0 || text.Width(line) <= width {
		return []string{line}
	}
	lines := strings.Split(line, "; ")
	for i, l := range lines {
		lines[i] = text.Cut(l, width)
	}
	return lines
}

// columns returns those of sessions. now says which day is today, and where. Narrow terminals have
// room for few.
func columns(now time.Time) []column[visit] {
	return []column[visit]{
		{head: "STATE", least: 9, cell: func(v *visit) string { return text.OneLine(v.State) }, color: stateColor},
		{head: "CLIENT", least: 14, cell: func(v *visit) string { return client(v) }},
		{head: "ADDRESS", drop: 9, cell: func(v *visit) string { return address(v) }},
		{head: "MODULE", least: 8, cell: func(v *visit) string { return text.OneLine(v.Module) }},
		{head: "USER", least: 8, drop: 5, fact: "user ",
			cell: func(v *visit) string { return text.OneLine(v.User) }},
		{head: "DIR", least: 7, drop: 2, cell: func(v *visit) string { return text.OneLine(v.Direction) }},
		{head: "SINCE", drop: 8, fact: "since ", cell: func(v *visit) string { return moment(v.Started, now) }},
		{head: "FOR", right: true, drop: 3, fact: "for ", cell: func(v *visit) string { return text.Span(v.Age) }},
		{head: "SILENT", right: true, drop: 1, fact: "silent ",
			cell: func(v *visit) string { return text.Span(v.Silent) }},
		{head: "FILES", right: true, drop: 4, fact: "files ",
			cell: func(v *visit) string { return "≥" + text.Thousands(v.Files) }},
		{head: "BYTES", right: true, cell: func(v *visit) string { return "≥" + text.Bytes(float64(v.FileBytes)) }},
		{head: "HOST", least: 10, drop: 6, fact: "log of ",
			cell: func(v *visit) string { return text.OneLine(v.Host) }},
		{head: "EXPORTER", least: 14, drop: 7, fact: "seen by ",
			cell: func(v *visit) string { return text.OneLine(v.where) }},
		{head: "LAST PATH", least: 24, drop: 10,
			cell: func(v *visit) string { return text.OneLine(v.LastPath) }},
	}
}

func stateColor(v *visit) string {
	switch v.State {
	case "running":
		return green
	case "failing":
		return red
	case "settling":
		return yellow
	}
	return dim
}

// client returns a client's name, or its address if it has none.
func client(v *visit) string {
	if v.Client.Name == "" {
		return text.OneLine(v.Client.Address)
	}
	return text.OneLine(v.Client.Name)
}

// address returns a client's address unless client does.
func address(v *visit) string {
	if v.Client.Name == "" {
		return ""
	}
	return text.OneLine(v.Client.Address)
}

// moment writes a time of day, and the day unless that is today's.
func moment(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = t.In(now.Location())
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2006-01-02 15:04")
}
