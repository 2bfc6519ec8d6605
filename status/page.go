package status

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/status/api"
)

// A page is what the template fills in.
type page struct {
	Version, Time, Clock string
	Public               bool
	Verdict              string // is read out when it changes, so it has no numbers that always do
	Tone                 string // of the verdict: ok, warn for something to know, bad for something to act on
	Waiting              string
	Listens              []string // for somebody whose daemon has not logged anything yet; nil: it has
	Tiles                []tile
	Sections             []section
}

type section struct {
	ID, Title string
	Count     string // beside the title
	Empty     string // in place of tables
	Code      string // what to write into a file, below Empty
	Tables    []table
	Notes     []string
	Terms     []term
}

type table struct {
	ID, Title string
	Hidden    bool // the title is for those who can't see where the table stands
	Head      []column
	Rows      [][]cell
	More      string
}

// A column's class is n for numbers, w for words, t for texts, of which c are clients and f files, u
// for users and b for bars; with an x it is left out on narrow screens.
type column struct{ Text, Class string }

type cell struct {
	Text, Note string
	Class      string // of its column
	Icon, Tone string // a shape, and its colour: ok, busy, warn, bad or soft
	Time       string // RFC 3339, of which Text says how long ago it was
	Share      string // in percent, of a bar; empty: none
}

type term struct{ Name, Meaning, Remedy string }

// Bounds of the page. The API has everything.
const (
	maxRows   = 200
	maxLately = 25
	maxWords  = 160 // columns of a name
)

// render makes the page of an answer. It is the same for all who look.
func (s *server) render(a *answer) ([]byte, error) {
	p := page{
		Version: s.Version, Time: a.at.Format(time.RFC3339), Clock: a.at.Format("2006-01-02 15:04:05 MST"),
		Public: s.Public, Waiting: a.waiting, Tiles: tiles(a),
	}
	if a.received() == 0 && !s.Public { // the public installs nothing, and addresses and paths aren't for it
		p.Listens = append([]string{}, s.Listens...)
	}
	p.judge(a)
	for _, sec := range []section{
		backupSection(a), sessionSection(a), moduleSection(a), outcomeSection(a), clientSection(a),
		errorSection(a), inputSection(a), endedSection(a),
	} {
		for i := range sec.Tables {
			sec.Tables[i].classes()
		}
		p.Sections = append(p.Sections, sec)
	}
	var b bytes.Buffer
	if err := s.template.Execute(&b, &p); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// received returns how many messages have come in.
func (a *answer) received() (n uint64) {
	for i := range a.inputs.Inputs {
		n += a.inputs.Inputs[i].Received
	}
	return n
}

// judge says in a sentence what needs attention. Of backups it says what the command backups does.
func (p *page) judge(a *answer) {
	p.Tone, p.Verdict = "ok", "Nothing needs attention."
	var words []string
	say := func(tone string, n int, one, many string) {
		if n > 0 {
			words = append(words, text.Plural(uint64(n), one, many))
			if p.Tone != "bad" {
				p.Tone = tone
			}
		}
	}
	var missing, failed, late, first int
	for i := range a.backups.Backups {
		switch b := &a.backups.Backups[i]; {
		case b.Alarm > 1 && b.State == "failed":
			failed++
		case b.Alarm > 1:
			missing++
		case b.Alarm == 1 && b.State == "never":
			first++
		case b.Alarm == 1:
			late++
		}
	}
	say("bad", missing, "backup is missing", "backups are missing")
	say("bad", failed, "backup has failed", "backups have failed")
	say("warn", late, "backup is late", "backups are late")
	say("warn", first, "backup has not come yet", "backups have not come yet")
	unread := 0
	for i := range a.inputs.Files {
		if !a.inputs.Files[i].OK {
			unread++
		}
	}
	say("bad", unread, "log file isn't read", "log files aren't read")
	if st := a.inputs.State; st != nil && !st.OK {
		p.Tone, words = "bad", append(words, "the counters can't be saved")
	}
	if l := a.inputs.SessionLog; l != nil && !l.OK {
		p.Tone, words = "bad", append(words, "the session log can't be written")
	}
	if len(words) > 0 {
		verdict := strings.Join(words, "; ")
		p.Verdict = strings.ToUpper(verdict[:1]) + verdict[1:] + "."
	}
}

// classes gives each cell its column's class.
func (t *table) classes() {
	for _, r := range t.Rows {
		for i := range r {
			r[i].Class = t.Head[i].Class
		}
	}
}

// rows makes at most so many rows, and a note of how many there are besides.
func rows[T any](t *table, list []T, total, most int, row func(*T) []cell) {
	for i := range list[:min(len(list), most)] {
		t.Rows = append(t.Rows, row(&list[i]))
	}
	if more := total - len(t.Rows); more > 0 {
		t.More = "… and " + text.Thousands(uint64(more)) + " more"
	}
}

// foreign makes text of what anybody may have chosen: one line, in the order in which it is written.
func foreign(s string) cell {
	s = text.OneLine(s)
	if utf8.RuneCountInString(s) > maxWords {
		s = string([]rune(s)[:maxWords]) + "…"
	}
	return cell{Text: s}
}

func word(s string) cell { return cell{Text: s} }

func number(n uint64) cell { return cell{Text: text.Thousands(n)} }

func size(n uint64) cell { return cell{Text: text.Bytes(float64(n))} }

func span(seconds float64) cell { return cell{Text: text.Span(whole(seconds))} }

// whole drops the fraction of a second, which would change with each look.
func whole(seconds float64) float64 { return float64(int64(seconds)) }

// ago says how long ago something was; nil is never.
func (a *answer) ago(t *time.Time) cell {
	if t == nil {
		return cell{Text: "never", Tone: "soft"}
	}
	d := a.at.Sub(*t).Seconds()
	c := cell{Text: text.Span(whole(max(0, d))) + " ago", Time: t.Format(time.RFC3339)}
	if d < -1 {
		c.Text = "in " + text.Span(whole(-d))
	}
	return c
}

// client shows a name with the address behind it, or whichever is known.
func client(c api.Client) cell {
	shown := foreign(c.Address)
	if c.Name != "" {
		shown = foreign(c.Name)
		shown.Note = foreign(c.Address).Text
	}
	if shown.Text == "" {
		return cell{Text: "–", Tone: "soft"}
	}
	return shown
}

// module shows a module's name, and the host before it if there is one.
func module(host, name string) cell {
	c := foreign(name)
	if name == "" {
		c = cell{Text: "not known", Tone: "soft"}
	}
	if host != "" {
		c.Note = "on " + foreign(host).Text
	}
	return c
}

// direction says from the daemon's view where the bytes go.
func direction(d string) cell {
	switch d {
	case "send":
		return cell{Text: "pull", Icon: "down", Tone: "soft"}
	case "receive":
		return cell{Text: "push", Icon: "up", Tone: "soft"}
	}
	return cell{Text: "–", Tone: "soft"}
}

// percent returns a share of a whole for a bar.
func percent(part, of uint64) string {
	if of == 0 {
		return "0"
	}
	return fmt.Sprintf("%.1f", min(100, 100*float64(part)/float64(of)))
}
