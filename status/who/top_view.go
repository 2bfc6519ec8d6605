package who

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/status/api"
)

// View implements tea.Model.
func (m top) View() tea.View {
	s := m.scene()
	lines, foot := append(m.heading(s), ""), []string{paint(m.footer(), dim, m.color)}
	if m.page == pageSessions {
		foot = append([]string{m.caption(s)}, foot...)
		lines = append(lines, m.table(s, m.room(s)-1)...)
	} else {
		all := m.lines(s)
		from := max(0, min(m.scroll, len(all)-m.room(s)))
		lines = append(lines, all[from:min(len(all), from+m.room(s))]...)
	}
	lines = lines[:min(len(lines), max(0, m.height-len(foot)))]
	for len(lines)+len(foot) < m.height {
		lines = append(lines, "")
	}
	v := tea.NewView(strings.Join(append(lines, foot...), "\n"))
	v.AltScreen = true
	return v
}

// room returns how many lines there are between heading and footer.
func (m *top) room(s *Scene) int { return max(2, m.height-len(m.heading(s))-2) }

// lines returns those of a page that is scrolled.
func (m *top) lines(s *Scene) (lines []string) {
	switch m.page {
	case pageDetail:
		return m.detail(s)
	case pageEnded:
		return m.ended(s)
	}
	return m.help()
}

// heading says how many sessions there are, of when, and what is wrong.
func (m *top) heading(s *Scene) []string {
	if m.answers == nil {
		return []string{paint("asking …", bold, m.color)}
	}
	var lines []string
	parts := []string{"nothing has been answered yet"}
	if at := m.now(); !at.IsZero() {
		parts[0] = "as of " + at.Format(time.TimeOnly)
		for _, l := range s.head(s.Sessions, m.width) {
			lines = append(lines, paint(l, bold, m.color))
		}
	}
	if m.paused {
		parts[0] += ", PAUSED"
	}
	parts = append(parts, "by "+m.order.String()+map[bool]string{true: ", reversed"}[m.reversed])
	if m.group != ungrouped {
		parts = append(parts, "grouped by "+m.group.String())
	}
	if m.within != "" {
		parts = append(parts, "only "+m.within)
	}
	if m.text != "" && !m.typing {
		parts = append(parts, "with "+strconv.Quote(m.text))
	}
	if shown := len(m.sessions(s)); shown < len(s.Sessions) {
		parts = append(parts, fmt.Sprintf("%d shown", shown))
	}
	lines = append(lines, text.Cut(strings.Join(parts, "; "), m.width))
	return append(lines, m.failures()...)
}

// failures says who gives no answer, and how old is what is shown of him.
func (m *top) failures() (lines []string) {
	const most = 3
	for _, a := range m.answers {
		if a.Err == nil {
			continue
		}
		if len(lines) == most {
			lines[most-1] = paint("… and other exporters give no answer", red, m.color)
			break
		}
		since := ""
		if !a.At.IsZero() {
			since = "as of " + a.At.Format(time.TimeOnly) + " only: "
		}
		lines = append(lines, paint(text.Cut(since+text.OneLine(a.Err), m.width), red, m.color))
	}
	return lines
}

// footer shows the keys, or the text that is typed. Where there is no room for all keys it shows
// those that lead on.
func (m *top) footer() string {
	var says []string // the longest first
	switch {
	case m.typing:
		says = []string{"sessions with: " + text.OneLine(m.text) + "_   (enter keeps it, esc drops it)"}
	case m.page == pageSessions:
		says = []string{
			"q quit  abcfms sort  g group  / filter  p pause  enter detail  e ended  ? help",
			"q quit  g group  / filter  ? help", "q quit  ? help",
		}
	default:
		says = []string{"q, esc back  up, down scroll  p pause", "q back"}
	}
	for _, s := range says {
		if text.Width(s) <= m.width {
			return s
		}
	}
	return text.Cut(says[len(says)-1], m.width)
}

// topHelp is what each key does.
var topHelp = [...]struct{ keys, what string }{
	{"a b c f m s", "sort by age, bytes, client, files, module, silence; again: the other way round"},
	{"g", "group by module, client, network (/24 of IPv4, /64 of IPv6), or not"},
	{"enter", "all about the selected session, or the sessions of the selected group"},
	{"/", "show only sessions with a text in a name, address, path or state"},
	{"esc", "back, out of the group, or all sessions again"},
	{"e", "sessions that have ended lately"},
	{"p, space", "pause, and go on"},
	{"up, down, j, k, pgup, pgdown, home, end", "select, or scroll"},
	{"ctrl-z", "suspend; fg goes on"},
	{"q, ctrl-c", "quit"},
}

// help returns the page of help.
func (m *top) help() []string {
	const keys = 14 // columns
	lines := text.Wrap("What a session has moved so far is at least what is shown: a file is in the log when it is "+
		"through.", m.width)
	lines = append(lines, "")
	for _, h := range topHelp {
		name := h.keys
		if text.Width(name) >= keys {
			lines = append(lines, text.Wrap(name, m.width)...)
			name = ""
		}
		for _, l := range text.Wrap(h.what, max(20, m.width-keys)) {
			lines = append(lines, text.Cut(text.Pad(name, keys, true)+l, m.width))
			name = ""
		}
	}
	return lines
}

// table shows as many lines of the table as there is room for, the selected one among them.
func (m *top) table(s *Scene, room int) []string {
	sessions := m.sessions(s)
	switch {
	case len(sessions) == 0 && len(s.Sessions) > 0:
		return []string{"no session is like that; esc shows all"}
	case len(sessions) == 0:
		return nil
	case m.grouped():
		bundles := m.bundles(sessions)
		return listed(m, bundleColumns(), bundles, func(b *bundle) key { return key{group: b.name} }, room)
	}
	return listed(m, columns(m.now()), sessions, keyOf, room)
}

const mark = "> " // before the selected line, which has no colour to show it

// listed returns heads and the lines around the selected one.
func listed[T any](m *top, columns []column[T], rows []T, keyOf func(*T) key, room int) []string {
	at := max(0, slices.IndexFunc(rows, func(r T) bool { return keyOf(&r) == m.at }))
	room = max(1, room-1)
	from := max(0, min(at-room/2, len(rows)-room))
	visible := rows[from:min(len(rows), from+room)]
	t := lay(columns, visible, m.width-len(mark), m.color)
	lines := []string{indent + t.heads()}
	for i := range visible {
		if from+i == at {
			lines = append(lines, paint(mark, bold, m.color)+t.line(&visible[i]))
		} else {
			lines = append(lines, indent+t.line(&visible[i]))
		}
	}
	return lines
}

func bundleColumns() []column[bundle] {
	count := func(b *bundle, state string) string {
		if b.states[state] == 0 {
			return ""
		}
		return strconv.Itoa(b.states[state])
	}
	return []column[bundle]{
		{head: "GROUP", least: 16, cell: func(b *bundle) string { return b.name }},
		{head: "SESSIONS", right: true, cell: func(b *bundle) string { return strconv.Itoa(b.n) }},
		{head: "RUNNING", right: true, drop: 1, cell: func(b *bundle) string { return count(b, "running") }},
		{head: "FAILING", right: true, drop: 2, cell: func(b *bundle) string { return count(b, "failing") },
			color: func(*bundle) string { return red }},
		{head: "SILENT", right: true, cell: func(b *bundle) string { return text.Span(b.silent) }},
		{head: "FILES", right: true, cell: func(b *bundle) string { return "≥" + text.Thousands(b.files) }},
		{head: "BYTES", right: true, cell: func(b *bundle) string { return "≥" + text.Bytes(float64(b.bytes)) }},
	}
}

// caption is the line above the keys: what the table may not show of what is selected.
func (m *top) caption(s *Scene) string {
	sessions := m.sessions(s)
	if len(sessions) == 0 {
		return ""
	}
	if m.grouped() {
		at, keys := m.selected()
		return text.Cut(keys[at].group, m.width)
	}
	v := &sessions[max(0, slices.IndexFunc(sessions, func(v visit) bool { return keyOf(&v) == m.at }))]
	facts := []string{client(v)}
	for _, f := range []string{address(v), text.OneLine(v.User), text.OneLine(v.where), text.OneLine(v.LastPath)} {
		if f != "" {
			facts = append(facts, f)
		}
	}
	return text.Cut(strings.Join(facts, "  "), m.width)
}

// detail tells all of the selected session, or how it ended.
func (m *top) detail(s *Scene) []string {
	for i := range s.Sessions {
		if v := &s.Sessions[i]; keyOf(v) == m.at {
			lines := m.facts(
				fact{"state", v.State}, fact{"client", v.Client.Name}, fact{"address", v.Client.Address},
				fact{"group", v.Client.Group}, fact{"place", v.Client.Place},
				fact{"module", v.Module}, fact{"user", v.User}, fact{"direction", v.Direction},
				fact{"since", moment(v.Started, m.now())}, fact{"for", text.Span(v.Age)},
				fact{"silent for", text.Span(v.Silent)},
				fact{"files", "at least " + text.Thousands(v.Files)},
				fact{"bytes", fmt.Sprintf("at least %s (%s)", text.Thousands(v.FileBytes),
					text.Bytes(float64(v.FileBytes)))},
				fact{"request", v.Request}, fact{"last path", v.LastPath},
				fact{"process", fmt.Sprint(v.PID)}, fact{"host", v.Host}, fact{"exporter", v.where})
			if v.MayBeOver() {
				lines = append(append(lines, ""), unsaid(m.width)...)
			}
			return lines
		}
	}
	for i := range s.Ended {
		p := &s.Ended[i]
		if keyOf(&visit{Session: api.Session{Host: p.Host, PID: p.PID, Started: p.Started}, where: p.where}) != m.at {
			continue
		}
		return append([]string{"It has ended."}, m.facts(
			fact{"outcome", p.Outcome}, fact{"reason", p.Reason}, fact{"exit codes", codes(p)},
			fact{"client", p.Client.Name}, fact{"address", p.Client.Address},
			fact{"module", p.Module}, fact{"user", p.User}, fact{"direction", p.Direction},
			fact{"since", moment(p.Started, m.now())}, fact{"until", moment(p.Time, m.now())},
			fact{"took", text.Span(p.Duration)},
			fact{"sent", text.Bytes(float64(p.Sent))}, fact{"received", text.Bytes(float64(p.Received))},
			fact{"files", counts(p.Files)}, fact{"file errors", counts(p.FileErrors)},
			fact{"process", fmt.Sprint(p.PID)}, fact{"host", p.Host}, fact{"exporter", p.where})...)
	}
	return []string{"It has ended, and nothing more is known of it."}
}

// A fact is something about a session. One without a value isn't known.
type fact struct{ what, value string }

func (m *top) facts(all ...fact) (lines []string) {
	const names = 12 // columns
	for _, f := range all {
		if f.value == "" {
			continue
		}
		for _, l := range text.Wrap(text.OneLine(f.value), max(20, m.width-names)) {
			lines = append(lines, text.Cut(text.Pad(f.what, names, true)+l, m.width))
			f.what = ""
		}
	}
	return lines
}

// counts writes numbers by name.
func counts(by map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, name+" "+text.Thousands(by[name]))
	}
	return strings.Join(parts, ", ")
}

func codes(p *past) string {
	var all []string
	for _, c := range p.ExitCodes {
		all = append(all, strconv.Itoa(c))
	}
	return strings.Join(all, ", ")
}

// ended lists sessions that have ended.
func (m *top) ended(s *Scene) []string {
	if len(s.Ended) == 0 {
		return []string{"no session has ended lately"}
	}
	t := lay([]column[past]{
		{head: "ENDED", cell: func(p *past) string { return moment(p.Time, m.now()) }},
		{head: "OUTCOME", least: 8, cell: func(p *past) string { return text.OneLine(cmp.Or(p.Reason, p.Outcome)) },
			color: func(p *past) string {
				return map[string]string{"partial": yellow, "aborted": red, "rejected": red}[p.Outcome]
			}},
		{head: "CODES", least: 4, drop: 1, cell: codes},
		{head: "CLIENT", least: 16, cell: func(p *past) string {
			return text.OneLine(cmp.Or(p.Client.Name, p.Client.Address))
		}},
		{head: "MODULE", least: 8, cell: func(p *past) string { return text.OneLine(p.Module) }},
		{head: "USER", least: 8, drop: 2, cell: func(p *past) string { return text.OneLine(p.User) }},
		{head: "TOOK", right: true, cell: func(p *past) string { return text.Span(p.Duration) }},
		{head: "SENT", right: true, cell: func(p *past) string { return text.Bytes(float64(p.Sent)) }},
		{head: "RECEIVED", right: true, cell: func(p *past) string { return text.Bytes(float64(p.Received)) }},
		{head: "EXPORTER", least: 14, drop: 3, cell: func(p *past) string { return text.OneLine(p.where) }},
	}, s.Ended, m.width, m.color)
	lines := []string{t.heads()}
	for i := range s.Ended {
		lines = append(lines, t.line(&s.Ended[i]))
	}
	return lines
}
