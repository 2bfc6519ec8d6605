package show

import (
	"fmt"
	"strings"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/report"
)

func paths(s *report.Summary) section {
	sent := pathTable("paths", "Most often transferred", s.Paths)
	deleted := pathTable("deleted_paths", "Most often deleted", s.Deleted)
	deleted.columns[3].head = "" // rsync doesn't say how large they were
	sec := section{tables: []*table{sent, deleted}}
	if len(s.Paths)+len(s.Deleted) > 0 {
		sec.id, sec.title = "paths", "Paths"
	}
	return sec
}

func pathTable(file, title string, list []report.Path) *table {
	t := &table{file: file, title: title, columns: []column{
		{"Path", "path", true}, {"Module", "module", true}, {"Times", "times", false}, {"Bytes", "bytes", false},
		{"", "error_times", false},
	}}
	bounded := uint64(0)
	for _, p := range list {
		times, bytes := number(p.Count), size(p.Bytes)
		if p.Error > 0 {
			times, bytes = times.as("≥"), bytes.as("≥")
		}
		bounded = max(bounded, p.Error)
		t.rows = append(t.rows, []cell{word(p.Path), word(p.Module), times, bytes, number(p.Error)})
	}
	if bounded > 0 {
		t.notes = []string{"≥ stands for at least: there were more paths than could be counted one by one. The true " +
			"counts are higher by at most " + thousands(bounded) + "."}
	}
	return t
}

func waste(s *report.Summary) section {
	w := &s.Waste
	bound := ""
	switch {
	case w.Sampled > 1:
		bound = "~"
	case w.AtLeast:
		bound = "≥"
	}
	t := &table{file: "waste", keys: 1, columns: []column{
		{"Client", "client", true}, {"Module", "module", true}, {"Files", "files", false}, {"Bytes", "bytes", false},
		{"A day", "bytes_a_day", false}, {"Most often", "example", true}, {"Times", "times", false},
	}}
	for _, c := range w.Clients {
		t.rows = append(t.rows, []cell{word(c.Client), word(c.Module), number(c.Files).as(bound),
			size(c.Bytes).as(bound), aDay(c.PerDay).as(bound), word(c.Example), some(c.Times)})
	}
	sec := section{tables: []*table{t}}
	if w.Bytes == 0 && len(t.rows) == 0 {
		return sec
	}
	sec.id, sec.title = "waste", "Fetched again"
	about := ""
	if w.Sampled > 1 {
		about = "about "
	}
	sec.lead = []string{fmt.Sprintf("Clients fetched %s%s that they had fetched before: the same paths with the same "+
		"lengths.", about, iec(float64(w.Bytes)))}
	if w.PerDay > 0 {
		sec.lead[0] += fmt.Sprintf(" That is %s%s a day.", about, iec(w.PerDay))
	}
	if w.Sampled > 1 {
		sec.lead = append(sec.lead, fmt.Sprintf("These are estimates from one file in %s.", thousands(w.Sampled)))
	}
	if w.AtLeast {
		sec.lead = append(sec.lead,
			"Files that were fetched in one of these reports and again in another are not among them.")
	}
	return sec
}

func backups(s *report.Summary) section {
	raw := &table{file: "users", columns: []column{
		{"", "module", true}, {"", "user", true}, {"", "direction", true}, {"", "first_seen", true},
		{"", "last_success", true}, {"", "last_attempt", true}, {"", "longest_gap_seconds", false},
		{"", "longest_gap_from", true}, {"", "last_listed_bytes", false}, {"", "sessions", false},
		{"", "sessions_ok", false}, {"", "sent_bytes", false}, {"", "received_bytes", false},
	}}
	for _, u := range s.Users {
		raw.rows = append(raw.rows, []cell{word(u.Module), word(u.User), word(u.Direction), word(u.FirstSeen),
			word(u.LastSuccess), word(u.LastAttempt), duration(u.LongestGap), word(u.GapFrom), size(u.Listed),
			number(all(u.Sessions)), number(u.Sessions["ok"]), size(u.Sent), size(u.Received)})
	}
	t := &table{keys: 2, columns: []column{
		{"Module", "", true}, {"User", "", true}, {"Direction", "", true}, {"Last success", "", true},
		{"Ago", "", false}, {"OK", "", false}, {"Others", "", false}, {"Longest gap", "", false}, {"From", "", true}, {"Size", "", false},
	}}
	for _, u := range byAge(s.Users) {
		if u.User == "" && u.Direction != "receive" {
			continue // whoever fetches from a public mirror
		}
		ok, others := u.Sessions["ok"], all(u.Sessions)-u.Sessions["ok"]
		last, ago, gap, listed := instant(u.LastSuccess), cell{}, cell{}, cell{}
		if u.LastSuccess == "" {
			last = cell{unit: words, text: "never", bad: true}
		}
		if d, known := between(u.LastSuccess, s.To); known {
			ago = duration(d)
		}
		if u.Listed > 0 {
			listed = size(u.Listed)
		}
		if u.LongestGap > 0 {
			gap = duration(u.LongestGap)
		}
		t.rows = append(t.rows, []cell{module(u.Module), word(u.User), word(u.Direction), last, ago, number(ok),
			number(others).worthALook(),
			gap, instant(u.GapFrom), listed})
	}
	sec := section{tables: []*table{raw, t}}
	if len(t.rows) > 0 {
		sec.id, sec.title = "backups", "Backups"
		sec.lead = []string{"Who came with a name or wrote to a module; the longest without a success first. Ages " +
			"are those at the end of the period."}
	}
	return sec
}

func expected(s *report.Summary) section {
	t := &table{file: "suggested_expect", list: true, columns: []column{
		{"Entry", "entry", true}, {"Evidence", "evidence", true}}}
	sec := section{tables: []*table{t}}
	odd := uint64(0)
	for _, e := range s.Expect {
		t.rows = append(t.rows, []cell{word(e.Entry), word(e.Evidence)})
		if text.OneLine(e.Entry) != e.Entry || strings.ContainsAny(e.Entry, "!\uFFFD") {
			odd++
			continue
		}
		sec.paste = append(sec.paste, e.Entry)
	}
	if len(t.rows) == 0 {
		return sec
	}
	sec.id, sec.title = "expect", "Suggested EXPECT"
	sec.lead = []string{"Backups that came regularly. The setting below is ready for a shell or an environment file."}
	if odd > 0 {
		sec.lead = append(sec.lead, plural(odd, "name", "names")+" can't be written there.")
	}
	return sec
}

// setting returns the entries of EXPECT as an assignment in double quotes.
func setting(entries []string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`")
	return `RSYNCD_EXPORTER_EXPECT="` + escape.Replace(strings.Join(entries, ",")) + `"`
}
