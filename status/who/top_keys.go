package who

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// press handles a key.
func (m top) press(k tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	name := k.String()
	switch name {
	case "ctrl+c":
		return m, tea.Quit
	case "ctrl+z":
		return m, tea.Suspend
	}
	if m.typing {
		m.edit(k, name)
		return m, nil
	}
	switch name {
	case "q":
		if m.page == pageSessions {
			return m, tea.Quit
		}
		m.page, m.scroll = pageSessions, 0
	case "p", "space":
		return m.pause()
	case "?", "h", "f1":
		m.turn(pageHelp)
	case "e":
		m.turn(pageEnded)
	case "esc":
		m.back()
	case "up", "k", "down", "j", "pgup", "pgdown", "home", "end":
		m.move(name)
	default:
		if m.page == pageSessions {
			m.arrange(name)
		} else if name == "enter" && m.page == pageDetail {
			m.page = pageSessions
		}
	}
	return m, nil
}

// edit types the text that sessions have to contain.
func (m *top) edit(k tea.KeyPressMsg, name string) {
	switch r := []rune(m.text); {
	case name == "enter":
		m.typing = false
	case name == "esc":
		m.typing, m.text = false, ""
	case name == "backspace":
		m.text = string(r[:max(0, len(r)-1)])
	case name == "ctrl+u":
		m.text = ""
	default:
		m.typed(k.Text)
	}
}

// typed adds to the text that sessions have to contain, as much of the first line as there is room for.
func (m *top) typed(s string) {
	const most = 100
	s = strings.TrimLeft(s, "\r\n")
	if end := strings.IndexAny(s, "\r\n"); end >= 0 {
		s = s[:end]
	}
	r := []rune(m.text + s)
	m.text = string(r[:min(len(r), most)])
}

// pause stops refreshing, or refreshes at once.
func (m top) pause() (tea.Model, tea.Cmd) {
	if m.paused = !m.paused; m.paused {
		return m, nil
	}
	m.round++
	m.asking = true
	return m, m.question()
}

// turn opens a page, or goes back if it is open.
func (m *top) turn(p page) {
	if m.page == p {
		p = pageSessions
	}
	m.page, m.scroll = p, 0
}

// back leaves a page, a group, or the typed text, the last one first.
func (m *top) back() {
	switch {
	case m.page != pageSessions:
		m.page, m.scroll = pageSessions, 0
	case m.within != "":
		m.at, m.within = key{group: m.within}, ""
	default:
		m.text = ""
	}
}

// arrange handles the keys of the table.
func (m *top) arrange(name string) {
	orders := map[string]order{
		"a": byAge, "b": byBytes, "s": bySilence, "f": byFiles, "c": byClient, "m": byModule,
	}
	switch o, ok := orders[name]; {
	case ok && o == m.order:
		m.reversed = !m.reversed
	case ok:
		m.order, m.reversed = o, false
	case name == "g":
		m.group, m.within = (m.group+1)%numGroupings, ""
	case name == "/":
		m.typing = true
	case name == "enter" && m.grouped():
		if at, keys := m.selected(); at >= 0 {
			m.within, m.at = keys[at].group, key{}
		}
	case name == "enter":
		if at, keys := m.selected(); at >= 0 {
			m.at, m.page = keys[at], pageDetail
		}
	}
}

// grouped reports whether the table has a line for each group.
func (m *top) grouped() bool { return m.group != ungrouped && m.within == "" }

// keys returns those of the table's lines.
func (m *top) keys() (keys []key) {
	sessions := m.sessions(m.scene())
	if m.grouped() {
		for _, b := range m.bundles(sessions) {
			keys = append(keys, key{group: b.name})
		}
		return keys
	}
	for i := range sessions {
		keys = append(keys, keyOf(&sessions[i]))
	}
	return keys
}

// selected returns which line is selected: the first if the selected one is gone, -1 if there is
// none.
func (m *top) selected() (at int, keys []key) {
	keys = m.keys()
	if len(keys) == 0 {
		return -1, nil
	}
	return max(0, slices.Index(keys, m.at)), keys
}

// move moves the selection, or what is shown of a page that has none.
func (m *top) move(name string) {
	step := map[string]int{"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -m.height / 2, "pgdown": m.height / 2,
		"home": -1 << 30, "end": 1 << 30}[name]
	if m.page != pageSessions {
		s := m.scene()
		m.scroll = max(0, min(m.scroll+step, len(m.lines(s))-m.room(s)))
		return
	}
	if at, keys := m.selected(); at >= 0 {
		m.at = keys[max(0, min(at+step, len(keys)-1))]
	}
}
