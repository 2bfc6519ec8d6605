package show

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/report"
)

// A section is what a report says about one subject. Text and HTML draw days, heat and busy in
// their own ways.
type section struct {
	id, title string
	lead      []string // sentences
	tables    []*table
	days      []period
	heat      *report.Summary
	busy      []report.Saturation
	paste     []string // entries of EXPECT
}

// sections returns the parts of a report that say something, in the order in which an operator
// asks.
func sections(s *report.Summary) []section {
	return slices.DeleteFunc(everySection(s), func(s section) bool { return s.title == "" })
}

// everySection returns those without anything to say, too. Their tables have no rows.
func everySection(s *report.Summary) []section {
	return []section{
		compared(s), sources(s), totals(s), modules(s), clients(s), failures(s), byDay(s), byHour(s), paths(s),
		waste(s), saturation(s), backups(s), expected(s), samples(s),
	}
}

func compared(s *report.Summary) section {
	t := &table{file: "changes", columns: []column{
		{"What", "what", true}, {"Before", "before", false}, {"Now", "now", false}, {"Change", "", false},
		{"", "unit", true},
	}}
	if s.Compare == nil {
		return section{tables: []*table{t}}
	}
	for _, c := range s.Compare.Changes {
		before, now := figure(c.Before, c.Unit), figure(c.Now, c.Unit)
		t.rows = append(t.rows, []cell{word(c.What), before, now, word(difference(c.Before, c.Now)), word(c.Unit)})
	}
	b := &s.Compare.Before
	sec := section{id: "compared", title: "Against the period before", tables: []*table{t}}
	before := fmt.Sprintf("Before: %s to %s", minute(s.Compare.From), minute(s.Compare.To))
	if s.Compare.Began == "" {
		sec.lead = []string{before + ". The logs have no line of rsyncd of that time: there is nothing to compare."}
		return sec
	}
	sec.lead = []string{fmt.Sprintf("%s, with %s, %s sent and %s received.", before,
		plural(all(b.Sessions), "session", "sessions"), iec(float64(b.Sent)), iec(float64(b.Received)))}
	length, _ := between(s.Compare.From, s.Compare.To)
	if missing, _ := between(s.Compare.From, s.Compare.Began); missing > length/10 {
		sec.lead = append(sec.lead, fmt.Sprintf("The first line of that time is of %s: the logs may not have all of it.",
			minute(s.Compare.Began)))
	}
	if len(t.rows) == 0 {
		sec.lead = append(sec.lead, "Nothing has changed by more than chance may do.")
		return sec
	}
	sec.lead = append(sec.lead, "What changed most comes first.")
	return sec
}

// figure returns a figure of a comparison in its unit.
func figure(f float64, unit string) cell {
	switch {
	case f < 0:
		return word("?")
	case unit == "seconds":
		return duration(f)
	case unit == "bytes":
		return cell{unit: octets, n: uint64(min(f, 1<<63)), f: f}
	}
	return number(uint64(min(f, 1<<63)))
}

func difference(before, now float64) string {
	switch {
	case before == now:
		return "none"
	case before <= 0:
		return "new"
	case now <= 0:
		return "gone"
	case now >= 10*before:
		return "×" + thousands(uint64(min(now/before, 1e9)))
	}
	return fmt.Sprintf("%+.0f%%", max(-99, (now-before)/before*100)) // -100% is "gone"
}

func sources(s *report.Summary) section {
	files := &table{file: "sources", columns: []column{
		{"", "path", true}, {"", "log", true}, {"", "lines", false}, {"", "error", true},
	}}
	broken := &table{list: true, title: "Not read, or not to the end", columns: []column{
		{"File", "", true}, {"Lines", "", false}, {"Why", "", true},
	}}
	logs := map[string]bool{}
	for _, f := range s.Files {
		logs[f.Log] = true
		files.rows = append(files.rows, []cell{word(f.Path), word(f.Log), number(f.Lines), word(f.Error)})
		if f.Error != "" {
			broken.rows = append(broken.rows, []cell{word(f.Path), number(f.Lines),
				{unit: words, text: f.Error, bad: true}})
		}
	}
	read := plural(s.Lines, "line", "lines") + " of " + plural(uint64(len(s.Files)), "file", "files")
	if len(logs) > 1 && len(logs) < len(s.Files) {
		read += fmt.Sprintf(" in %d logs", len(logs))
	}
	sec := section{id: "read", title: "What was read", lead: []string{read + "."}, tables: []*table{files, broken}}
	if s.Interrupted {
		sec.lead = append(sec.lead, "The reading was interrupted: everything here is about the part that was read.")
	}
	if len(broken.rows) > 0 {
		sec.lead = append(sec.lead, plural(uint64(len(broken.rows)), "file", "files")+" could not be read to the end.")
	}
	for _, l := range []struct {
		n    uint64
		what string
	}{
		{s.Discarded, "without a header that could be read, or without an end"}, {s.Ignored, "of other programs"},
		{s.Unrecognised, "not understood"}, {s.Implausible, "with the looks of rsyncd's, written by a client"},
	} {
		if l.n > 0 {
			sec.lead = append(sec.lead, plural(l.n, "line", "lines")+" "+l.what+".")
		}
	}
	return sec
}

// filtered says what a report leaves out.
func filtered(f *report.Filter) string {
	if f == nil {
		return ""
	}
	var only []string
	for _, c := range []struct{ what, value string }{
		{"since", f.Since}, {"until", f.Until}, {"module", f.Module}, {"direction", f.Direction},
		{"client", f.Client}, {"user", f.User},
	} {
		if c.value != "" {
			only = append(only, c.what+" "+text.OneLine(c.value))
		}
	}
	if len(only) == 0 {
		return ""
	}
	return "Only " + strings.Join(only, ", ") + "."
}

// when says which period a report is about.
func when(s *report.Summary) string {
	switch {
	case s.Lines == 0 && s.Filter != nil && s.Filter.Since+s.Filter.Until != "":
		return "No line is of this period."
	case s.Lines == 0:
		return "There is no line."
	case s.From == "" || s.To == "":
		return "No line of rsyncd has a time."
	}
	took, _ := between(s.From, s.To)
	zone := offset(s.To)
	if from := offset(s.From); from != zone {
		zone = from + " to " + zone
	}
	return fmt.Sprintf("%s to %s (%s), %s.", minute(s.From), minute(s.To), zone, span(took))
}

func totals(s *report.Summary) section {
	columns := []column{{"What", "", true}, {"How much", "", false}, {"Share", "", false}}
	visits := &table{title: "Sessions", bare: true, columns: columns}
	t := &table{title: "Bytes, files and lines", bare: true, columns: columns}
	raw := &table{file: "totals", columns: []column{{"", "name", true}, {"", "value", false}}}
	add := func(name, what string, c cell) {
		if name != "" {
			raw.rows = append(raw.rows, []cell{word(name), c})
		}
		if what != "" && c.n > 0 {
			t.rows = append(t.rows, []cell{word(what), c, {}})
		}
	}
	ended := all(s.Sessions)
	visits.rows = append(visits.rows, []cell{word("All"), number(ended), {}})
	for _, o := range outcomes(s.Sessions) {
		n := s.Sessions[o]
		raw.rows = append(raw.rows, []cell{word("sessions_" + o), number(n)})
		visits.rows = append(visits.rows, []cell{word("  " + cmp.Or(outcomeWords[o], o)), tone(o, n, ended),
			percent(of(n, ended))})
	}
	raw.rows = append(raw.rows, []cell{word("running"), number(s.Running)})
	if s.Running > 0 {
		visits.rows = append(visits.rows, []cell{word("Had not ended"), number(s.Running), {}})
	}
	add("sent_bytes", "Sent", size(s.Sent))
	add("received_bytes", "Received", size(s.Received))
	add("listed_bytes", "Listed: size of all files looked at", size(s.Listed))
	for _, op := range slices.Sorted(maps.Keys(s.Totals.Files)) {
		add("files_"+op, "Files: "+cmp.Or(opWords[op], op), number(s.Totals.Files[op]))
		add("file_bytes_"+op, "", size(s.FileBytes[op]))
		if n, ok := s.WireBytes[op]; ok {
			add("file_transferred_bytes_"+op, "", size(n))
		}
	}
	rest := s.ClientsRest // beside clients.csv
	add("clients_rest", "", number(rest.Entries))
	add("clients_rest_sessions", "", number(rest.Sessions))
	add("clients_rest_sent_bytes", "", size(rest.Sent))
	add("clients_rest_received_bytes", "", size(rest.Received))
	add("connections", "Connections", number(s.Connections))
	add("executions", "Transfers begun", number(s.Executions))
	add("module_lists", "Lists of modules", number(s.ModuleLists))
	add("daemon_starts", "Starts of a daemon", number(s.DaemonStarts))
	add("lost_upstream", "Messages that a forwarder dropped", number(s.Lost).worthALook())
	for _, l := range []struct {
		name string
		n    uint64
	}{{"lines", s.Lines}, {"unrecognised", s.Unrecognised}, {"implausible", s.Implausible}, {"ignored", s.Ignored},
		{"discarded", s.Discarded}} {
		add(l.name, "", number(l.n))
	}
	t.notes = []string{"Sent and received are as the daemon sees it. Bytes are in units of 1024."}
	kinds := &table{file: "messages", columns: []column{{"", "kind", true}, {"", "lines", false}}}
	for _, k := range slices.SortedFunc(maps.Keys(s.Kinds), byCount(s.Kinds)) {
		kinds.rows = append(kinds.rows, []cell{word(k), number(s.Kinds[k])})
	}
	sec := section{id: "totals", title: "Totals", lead: []string{when(s)}, tables: []*table{visits, t, raw, kinds}}
	if f := filtered(s.Filter); f != "" {
		sec.lead = append(sec.lead, f)
	}
	return sec
}

var outcomeOrder = [...]string{"ok", "partial", "aborted", "rejected", "listing", "unknown"}

var outcomeWords = map[string]string{
	"ok": "went well", "partial": "not everything was transferred", "aborted": "failed or cut off",
	"rejected": "turned away", "listing": "only looked at the list of modules", "unknown": "ended without a word",
}

var opWords = map[string]string{"send": "sent", "recv": "received", "del.": "deleted",
	"unknown": "sent, received or deleted"}

// outcomes returns the outcomes that occur, in a fixed order.
func outcomes(m map[string]uint64) []string {
	place := func(o string) int {
		if i := slices.Index(outcomeOrder[:], o); i >= 0 {
			return i
		}
		return len(outcomeOrder)
	}
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b))
	})
}

// tone returns how many sessions had an outcome, marked where many went wrong.
func tone(outcome string, n, whole uint64) cell {
	if outcome == "aborted" || outcome == "partial" {
		return portion(n, whole)
	}
	return number(n)
}

func modules(s *report.Summary) section {
	t := &table{file: "modules", keys: 1, columns: []column{
		{"Module", "module", true}, {"Direction", "direction", true}, {"Begun", "executions", false},
		{"OK", "sessions_ok", false}, {"Partial", "sessions_partial", false}, {"Aborted", "sessions_aborted", false},
		{"Rejected", "sessions_rejected", false}, {"Unknown", "sessions_unknown", false},
		{"Listing", "sessions_listing", false},
		{"Half took", "duration_p50_seconds", false}, {"90% took", "duration_p90_seconds", false},
		{"Longest", "duration_max_seconds", false}, {"", "durations", false}, {"", "duration_sum_seconds", false},
		{"Sent", "sent_bytes", false}, {"Received", "received_bytes", false}, {"Listed", "listed_bytes", false},
		{"Files", "files", false}, {"Deleted", "deleted", false},
	}}
	for _, m := range s.Modules {
		r := []cell{module(m.Module), word(m.Direction), number(m.Executions)}
		for _, o := range []string{"ok", "partial", "aborted", "rejected", "unknown"} {
			r = append(r, tone(o, m.Sessions[o], all(m.Sessions)))
		}
		r = append(r, cell{unit: count, n: m.Sessions["listing"], rare: true})
		if d := m.Duration; d.N > 0 {
			r = append(r, duration(d.P50).as("≤"), duration(d.P90).as("≤"), duration(d.Max), number(d.N),
				duration(d.Sum))
		} else {
			r = append(r, cell{}, cell{}, cell{}, number(0), duration(0))
		}
		r = append(r, size(m.Sent), size(m.Received), size(m.Listed), number(m.Files), number(m.Deleted))
		t.rows = append(t.rows, r)
	}
	if len(t.rows) == 0 {
		return section{tables: []*table{t}}
	}
	t.notes = []string{"Durations are of sessions whose beginning was seen, and up to a quarter shorter than the ≤ " +
		"says."}
	return section{id: "modules", title: "Modules", tables: []*table{t}}
}
