package show

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"rsyncd_exporter/report"
	"rsyncd_exporter/rsynclog/codes"
)

func clientRow(c *report.Client) []cell {
	var e report.Volume
	bound := ""
	if c.Error != nil {
		e, bound = *c.Error, "≥"
	}
	return []cell{word(c.Client), word(c.Name), word(c.Group), word(c.Place), number(c.Sessions).as(bound),
		size(c.Sent).as(bound), size(c.Received).as(bound), number(e.Sessions), size(e.Sent), size(e.Received)}
}

// A rest is what clients beyond the top come to: those of the list, and those that aren't in it.
func rest(s *report.Summary, left []report.Client) []cell {
	r := s.ClientsRest
	for _, c := range left {
		r.Entries = plus(r.Entries, 1)
		r.Sessions, r.Sent, r.Received = plus(r.Sessions, c.Sessions), plus(r.Sent, c.Sent), plus(r.Received,
			c.Received)
	}
	if r.Entries == 0 && r.Volume == (report.Volume{}) {
		return nil
	}
	name := "all others, at least " + thousands(r.Entries)
	return []cell{word(name), {}, {}, {}, number(r.Sessions), size(r.Sent), size(r.Received), {}, {}, {}}
}

func clients(s *report.Summary) section {
	byBytes := &table{file: "clients", title: "By bytes", columns: []column{
		{"Client", "client", true}, {"Name", "name", true}, {"Group", "group", true}, {"Place", "place", true},
		{"Sessions", "sessions", false}, {"Sent", "sent_bytes", false}, {"Received", "received_bytes", false},
		{"", "error_sessions", false}, {"", "error_sent_bytes", false}, {"", "error_received_bytes", false},
	}}
	bySessions := &table{title: "By sessions", columns: slices.Clone(byBytes.columns)}
	for i, c := range bySessions.columns {
		bySessions.columns[i].name = ""
		if c.head != "Client" && c.head != "Name" && c.head != "Sessions" && c.head != "Sent" {
			bySessions.columns[i].head = ""
		}
	}
	for _, sorted := range []struct {
		t  *table
		by func(a, b report.Client) int
	}{
		{byBytes, func(a, b report.Client) int {
			return cmp.Compare(plus(b.Sent, b.Received), plus(a.Sent, a.Received))
		}},
		{bySessions, func(a, b report.Client) int { return cmp.Compare(b.Sessions, a.Sessions) }},
	} {
		list := slices.SortedStableFunc(slices.Values(s.Clients), sorted.by)
		for i := range list {
			sorted.t.rows = append(sorted.t.rows, clientRow(&list[i]))
		}
		sorted.t.most = s.Top // beyond, those of the other list would pass for the next ones
		sorted.t.left = func(shown int) []cell { return rest(s, list[min(shown, len(list)):]) }
	}
	sec := section{tables: []*table{
		byBytes, bySessions, shares("family", "families", "By family", s.Families),
		shares("group", "groups", "By group", s.Groups), shares("place", "places", "By place", s.Places),
	}}
	if slices.ContainsFunc(sec.tables, func(t *table) bool { return len(t.rows) > 0 }) {
		sec.id, sec.title = "clients", "Clients"
	}
	if slices.ContainsFunc(s.Clients, func(c report.Client) bool { return c.Error != nil }) {
		bySessions.notes = []string{mostMissed(s.Clients)}
	}
	return sec
}

// shares shows what parts of all clients come to, the largest first. key is what a part is called.
func shares(key, file, title string, parts map[string]report.Volume) *table {
	t := &table{file: file, title: title, columns: []column{
		{strings.ToUpper(key[:1]) + key[1:], key, true}, {"Sessions", "sessions", false}, {"Share", "", false},
		{"Sent", "sent_bytes", false}, {"Received", "received_bytes", false}, {"Share", "", false},
	}}
	var sessions, bytes uint64
	for _, v := range parts {
		sessions, bytes = plus(sessions, v.Sessions), plus(bytes, v.Sent, v.Received)
	}
	names := slices.SortedFunc(maps.Keys(parts), func(a, b string) int {
		v, w := parts[a], parts[b]
		return cmp.Or(cmp.Compare(plus(w.Sent, w.Received), plus(v.Sent, v.Received)), cmp.Compare(a, b))
	})
	for _, name := range names {
		v := parts[name]
		if v == (report.Volume{}) {
			continue
		}
		t.rows = append(t.rows, []cell{word(cmp.Or(familyWords[name], name)), number(v.Sessions),
			percent(of(v.Sessions, sessions)), size(v.Sent), size(v.Received),
			percent(of(plus(v.Sent, v.Received), bytes))})
	}
	return t
}

var familyWords = map[string]string{"ipv4": "IPv4", "ipv6": "IPv6", "unknown": "not known"}

// mostMissed says how far the figures of clients may be from the truth.
func mostMissed(list []report.Client) string {
	var most report.Volume
	for _, c := range list {
		if e := c.Error; e != nil {
			most = report.Volume{Sessions: max(most.Sessions, e.Sessions), Sent: max(most.Sent, e.Sent),
				Received: max(most.Received, e.Received)}
		}
	}
	return fmt.Sprintf("≥ stands for at least: there were more clients than were counted one by one. The true "+
		"figures are "+
		"higher by at most %s, %s sent and %s received.", plural(most.Sessions, "session", "sessions"),
		iec(float64(most.Sent)), iec(float64(most.Received)))
}

func failures(s *report.Summary) section {
	exits := &table{file: "errors", title: "How rsync ended", columns: []column{
		{"Code", "code", false}, {"Times", "times", false}, {"Meaning", "meaning", true},
	}}
	for _, code := range slices.SortedFunc(maps.Keys(s.Errors), byCount(s.Errors)) {
		exits.rows = append(exits.rows, []cell{numeric(code), number(s.Errors[code]), word(exit(code).Meaning)})
	}
	for i, r := range exits.rows {
		if c := exit(r[0].people()); i < maxAdvice && c.Cause != "" {
			exits.notes = append(exits.notes, fmt.Sprintf("%d: %s %s", c.Code, c.Cause, c.Remedy))
		}
	}
	errnos := &table{file: "file_errors", title: "Files that failed", columns: []column{
		{"Errno", "errno", false}, {"Name", "name", true}, {"Times", "times", false}, {"Meaning", "meaning", true},
	}}
	for _, e := range slices.SortedFunc(maps.Keys(s.FileErrors), byCount(s.FileErrors)) {
		name, text := errno(e)
		errnos.rows = append(errnos.rows, []cell{numeric(e), word(name), number(s.FileErrors[e]), word(text)})
	}
	refused := &table{file: "rejected", title: "Turned away", columns: []column{
		{"Times", "times", false}, {"Why", "", true}, {"", "reason", true},
	}}
	for _, r := range slices.SortedFunc(maps.Keys(s.Rejected), byCount(s.Rejected)) {
		refused.rows = append(refused.rows, []cell{number(s.Rejected[r]), word(cmp.Or(reasonWords[r], r)), word(r)})
	}
	sec := section{tables: []*table{exits, errnos, refused}}
	if len(exits.rows)+len(errnos.rows)+len(refused.rows) > 0 {
		sec.id, sec.title = "errors", "Errors and refusals"
	}
	return sec
}

// maxAdvice is for how many of the most frequent exit codes a cause and a remedy are given. More
// than these few nobody reads.
const maxAdvice = 2

// numeric returns a code or errno, which is a number except for _other.
func numeric(s string) cell {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return cell{unit: code, n: n}
	}
	return word(s)
}

func exit(s string) codes.ExitCode {
	n, err := strconv.Atoi(s)
	if err != nil {
		return codes.ExitCode{Meaning: "codes that rsync doesn't have"}
	}
	c, ok := codes.ExitCodeOf(n)
	if !ok {
		c.Meaning = "not a code of rsync's daemon"
	}
	return c
}

func errno(s string) (name, text string) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return "", "numbers that Linux doesn't have"
	case n == 0:
		return "", "vanished, or failed without a number"
	}
	return codes.ErrnoName(n)
}

var reasonWords = map[string]string{
	"unknown_module": "no such module", "hosts_deny": "hosts allow or hosts deny kept them out",
	"auth": "authentication failed", "max_connections": "max connections was reached",
	"read_only": "wanted to write to a read-only module", "write_only": "wanted to read from a write-only module",
	"refused_option": "an option that is refused, or not known",
	"other":          "other reasons: chroot, uid, lock file, pre-xfer exec",
}
