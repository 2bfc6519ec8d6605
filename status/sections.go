package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
	"rsyncd_exporter/status/api"
)

// shape returns the icon and the tone of a state of a backup or a session, or of an outcome.
func shape(state string) (icon, tone string) {
	switch state {
	case "ok":
		return "ok", "ok"
	case "running":
		return "running", "busy"
	case "late", "partial", "failing":
		return "late", "warn"
	case "overdue", "failed", "aborted", "rejected":
		return "bad", "bad"
	case "never":
		return "never", "bad"
	case "paused":
		return "paused", "soft"
	}
	return "idle", "soft"
}

func state(name string) cell {
	c := word(name)
	c.Icon, c.Tone = shape(name)
	return c
}

func backupSection(a *answer) section {
	s := section{ID: "backups", Title: "Backups"}
	if len(a.backups.Backups) == 0 {
		s.Empty = "No backup is expected. Say which should come and how old the last one may be, and one that " +
			"doesn't come shows here first:"
		s.Code = "rsyncd_exporter --expect='data@alice<26h,mail<8d'"
		return s
	}
	var counts []string
	for _, name := range []string{"overdue", "never", "failed", "late", "running", "ok", "paused"} {
		if n := a.backups.States[name]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, name))
		}
	}
	s.Count = strings.Join(counts, ", ")
	t := table{ID: "backups-t", Title: "Expected backups, the worst first", Hidden: true, Head: []column{
		{"Backup", "t"}, {"State", "w"}, {"Last success", "n"}, {"Due", "n x"}, {"Took", "n x"}, {"Files", "n x"},
		{"Moved", "n x"}, {"Size", "n x"}, {"Why", "t x"},
	}}
	rows(&t, a.backups.Backups, len(a.backups.Backups), maxRows, func(b *api.Backup) []cell {
		name := foreign(b.Name)
		var from []string
		if b.Client != "" {
			from = append(from, "from "+foreign(b.Client).Text)
		}
		if b.Host != "" {
			from = append(from, "on "+foreign(b.Host).Text)
		}
		name.Note = strings.Join(from, " ")
		is := state(b.State)
		if b.Alarm == 1 {
			is.Tone = "warn" // also where it has not come yet, but still may
		}
		due := word("–")
		if b.Due != nil {
			due = a.ago(b.Due)
		}
		took, moved, listed, files := word("–"), word("–"), word("–"), word("–")
		if b.LastSuccess != nil {
			took, moved, listed = span(b.Duration), size(b.Sent+b.Received), size(b.Listed)
			files = number(b.Files)
		}
		return []cell{name, is, a.ago(b.LastSuccess), due, took, files, moved, listed, foreign(b.Why)}
	})
	s.Tables = []table{t}
	if a.inputs.State == nil {
		s.Notes = []string{"Without STATE_DIR a restart forgets which backups came."}
	}
	return s
}

func sessionSection(a *answer) section {
	s := section{ID: "sessions", Title: "Sessions"}
	if a.sessions.Total == 0 {
		s.Empty = "Nobody is connected."
		return s
	}
	var counts []string
	for _, name := range []string{"running", "connected", "failing", "settling"} {
		if n := a.sessions.States[name]; n > 0 {
			counts = append(counts, text.Thousands(uint64(n))+" "+name)
		}
	}
	s.Count = strings.Join(counts, ", ")
	t := table{ID: "sessions-t", Title: "Sessions that have not ended, the longest connected first", Hidden: true,
		Head: []column{{"Client", "t c"}, {"State", "w"}, {"Module", "t"}, {"User", "u x"}, {"Way", "w"},
			{"Since", "n"}, {"Silent", "n x"}, {"Files", "n"}, {"Bytes", "n"}, {"Last file", "t f x"}}}
	list := a.sessions.list(maxRows)
	rows(&t, list, a.sessions.Total, maxRows, func(x *api.Session) []cell {
		path := foreign(x.LastPath)
		if x.LastPath == "" && x.Request != "" {
			path = foreign(x.Request)
			path.Tone = "soft"
		}
		mod, is := module(x.Host, x.Module), state(x.State)
		if x.MayBeOver() {
			is.Note = "or over"
		}
		return []cell{client(x.Client), is, mod, foreign(x.User), direction(x.Direction), span(x.Age),
			span(x.Silent), atLeast(number(x.Files), x.Files), atLeast(size(x.FileBytes), x.FileBytes), path}
	})
	s.Tables = []table{t}
	s.Notes = []string{"Files and bytes are those of files that the log has so far, so at least as many: a daemon " +
		"logs a file when it is through."}
	if slices.ContainsFunc(list, func(x api.Session) bool { return x.MayBeOver() }) {
		s.Notes = append(s.Notes, api.Unsaid)
	}
	return s
}

// atLeast marks what is more than a log can tell.
func atLeast(c cell, n uint64) cell {
	if n == 0 {
		return cell{Text: "–", Tone: "soft"}
	}
	c.Text = "≥ " + c.Text
	return c
}

func moduleSection(a *answer) section {
	s := section{ID: "modules", Title: "Modules"}
	if a.modules.Total == 0 {
		s.Empty = "No module has been heard of. They show as sessions come; RSYNCD_CONF shows them from the start, " +
			"with their max connections."
		return s
	}
	s.Count = text.Thousands(uint64(a.modules.Total))
	t := table{ID: "modules-t", Title: "Modules, the busiest first", Hidden: true, Head: []column{
		{"Module", "t"}, {"Running", "n"}, {"Max connections", "b"}, {"Peak", "n"}, {"Transfers", "n x"},
		{"ok", "n x"}, {"partial", "n x"}, {"aborted", "n x"}, {"Turned away", "n x"}, {"Sent", "n"},
		{"Received", "n"},
	}}
	rows(&t, a.modules.Modules, a.modules.Total, maxRows, func(m *api.Module) []cell {
		limit := cell{Text: "–", Tone: "soft"}
		if m.MaxConnections > 0 {
			limit = placesCell(m)
		}
		peak := number(uint64(m.Peak))
		if m.PeakAt != nil {
			peak.Note = a.ago(m.PeakAt).Text
		}
		return []cell{module(m.Host, m.Module), number(uint64(m.Active)), limit, peak, number(m.Executions),
			number(m.Sessions["ok"]), number(m.Sessions["partial"]), number(m.Sessions["aborted"]),
			number(sum(m.Rejected)), size(m.Sent), size(m.Received)}
	})
	s.Tables = []table{t}
	s.Notes = []string{"Peak: the most at one time since the exporter started. The other figures count since the " +
		"counters began."}
	if slices.ContainsFunc(a.modules.Modules, func(m api.Module) bool { return m.PlacesTaken > m.Active }) {
		s.Notes = append(s.Notes, "Max connections: modules with the same lock file share their places, so "+
			"sessions in other modules take some, too.")
	}
	return s
}

// placesCell shows how many places of a module with max connections are taken.
func placesCell(m *api.Module) cell {
	c := cell{
		Text:  fmt.Sprintf("%d of %d", m.PlacesTaken, m.MaxConnections),
		Share: percent(uint64(m.PlacesTaken), uint64(m.MaxConnections)),
	}
	switch {
	case m.PlacesTaken >= m.MaxConnections:
		c.Tone, c.Note = "bad", "full"
	case m.PlacesTaken*10 >= m.MaxConnections*8:
		c.Tone = "warn"
	}
	return c
}

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// outcomeSection sums over all modules.
func outcomeSection(a *answer) section {
	s := section{ID: "outcomes", Title: "Outcomes and refusals"}
	outcomes, rejected := map[string]uint64{}, map[string]uint64{}
	for i := range a.modules.Modules {
		for name, n := range a.modules.Modules[i].Sessions {
			outcomes[name] += n
		}
		for name, n := range a.modules.Modules[i].Rejected {
			rejected[name] += n
		}
	}
	total := sum(outcomes)
	if total == 0 {
		s.Empty = "No session has ended yet."
		return s
	}
	t := table{ID: "outcomes-t", Title: "How sessions went", Head: []column{{"Outcome", "w"}, {"Sessions", "n"},
		{"Share", "b"}}}
	for _, name := range []string{"ok", "partial", "aborted", "rejected", "listing", "unknown"} {
		if n := outcomes[name]; n > 0 {
			share := percent(n, total)
			_, tone := shape(name)
			t.Rows = append(t.Rows, []cell{state(name), number(n), {Text: share + "%", Share: share, Tone: tone}})
		}
	}
	s.Tables = []table{t}
	r := table{ID: "refusals-t", Title: "Why clients were turned away", Head: []column{{"Reason", "w"},
		{"Clients", "n"}, {"Meaning", "t"}}}
	for _, name := range slices.SortedFunc(maps.Keys(rejected), func(x, y string) int {
		return cmp.Or(cmp.Compare(rejected[y], rejected[x]), strings.Compare(x, y))
	}) {
		why := codes.ReasonAdvice(rsynclog.ReasonOf(name))
		r.Rows = append(r.Rows, []cell{word(name), number(rejected[name]), word(why.Meaning)})
	}
	if len(r.Rows) > 0 {
		s.Tables = append(s.Tables, r)
	}
	return s
}

func clientSection(a *answer) section {
	s := section{ID: "clients", Title: "Clients"}
	for i := range a.clients.Windows {
		w := &a.clients.Windows[i]
		if w.Total.Sessions == 0 {
			continue
		}
		t := table{ID: "clients-" + w.Window, Title: "The last " + w.Window, Head: []column{{"Client", "t c"},
			{"Sessions", "n"}, {"Sent", "n"}, {"Received", "n"}, {"Of all bytes", "b x"}}}
		all := w.Total.Sent + w.Total.Received
		rows(&t, w.Clients, 0, 10, func(c *api.ClientVolume) []cell {
			who := foreign(c.Client)
			who.Note = strings.Join(nonempty(foreign(c.Name).Text, foreign(c.Group).Text, foreign(c.Place).Text), " · ")
			return volume(who, c.Volume, all)
		})
		rest := clientList{Windows: []api.ClientWindow{*w}}.first(10).Windows[0].Rest.Volume
		others := "all others"
		if len(w.Clients) == 0 { // as with STATUS_PAGE=public
			others = "all clients"
		}
		if rest.Sessions > 0 {
			t.Rows = append(t.Rows, volume(cell{Text: others, Tone: "soft"}, rest, all))
		}
		for _, family := range slices.Sorted(maps.Keys(w.Families)) {
			if v := w.Families[family]; v.Sessions > 0 {
				t.Rows = append(t.Rows, volume(cell{Text: "of these, " + family, Tone: "soft"}, v, all))
			}
		}
		s.Tables = append(s.Tables, t)
	}
	if len(s.Tables) == 0 {
		s.Empty = "No client has finished a session yet."
	}
	return s
}

func volume(who cell, v api.Volume, all uint64) []cell {
	share := percent(v.Sent+v.Received, all)
	bar := cell{Text: share + "%", Share: share}
	return []cell{who, number(v.Sessions), size(v.Sent), size(v.Received), bar}
}

func nonempty(list ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

func endedSection(a *answer) section {
	s := section{ID: "ended", Title: "Lately ended"}
	list := a.sessions.Ended
	if len(list) == 0 {
		s.Empty = "No session has ended since the exporter started."
		return s
	}
	t := table{ID: "ended-t", Title: "Sessions that ended last", Hidden: true, Head: []column{{"Ended", "n"},
		{"Client", "t c"}, {"Outcome", "w"}, {"Module", "t"}, {"User", "u x"}, {"Way", "w x"}, {"Took", "n"},
		{"Sent", "n x"}, {"Received", "n x"}, {"Codes", "t x"}}}
	rows(&t, list, len(list), maxLately, func(e *api.Ended) []cell {
		outcome := state(e.Outcome)
		outcome.Note = e.Reason
		var exits []string
		for _, code := range e.ExitCodes {
			exits = append(exits, strconv.Itoa(code))
		}
		ended := a.ago(&e.Time)
		return []cell{ended, client(e.Client), outcome, module(e.Host, e.Module), foreign(e.User),
			direction(e.Direction), span(e.Duration), size(e.Sent), size(e.Received), word(strings.Join(exits, ", "))}
	})
	s.Tables = []table{t}
	return s
}

func errorSection(a *answer) section {
	s := section{ID: "errors", Title: "Last errors"}
	list := a.errors.Errors
	if len(list) == 0 {
		s.Empty = "Nothing has gone wrong since the exporter started."
		return s
	}
	t := table{ID: "errors-t", Title: "Errors, the last one first", Hidden: true, Head: []column{{"When", "n"},
		{"What", "w"}, {"Times", "n"}, {"Meaning", "t"}, {"Client", "t c"}, {"Module", "t"}, {"User", "u x"}}}
	rows(&t, list, len(list), maxLately, func(e *api.Error) []cell {
		what := word(e.Reason)
		switch {
		case e.Code != nil:
			what = word("exit code " + strconv.Itoa(*e.Code))
		case e.Errno != nil:
			what = word("errno " + strconv.Itoa(*e.Errno))
		}
		return []cell{a.ago(&e.Time), what, number(e.Count), word(e.Meaning), client(e.Client),
			module(e.Host, e.Module), foreign(e.User)}
	})
	s.Tables = []table{t}
	seen := map[int]bool{}
	for i := range list[:min(len(list), maxLately)] {
		if c := list[i].Code; c != nil && !seen[*c] {
			seen[*c] = true
			if code, ok := codes.ExitCodeOf(*c); ok {
				s.Terms = append(s.Terms, term{fmt.Sprintf("%d, %s", *c, code.Meaning), code.Cause, code.Remedy})
			}
		}
	}
	slices.SortFunc(s.Terms, func(x, y term) int { return strings.Compare(x.Name, y.Name) })
	return s
}
