package rsynclog

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rsyncd_exporter/internal/corpus"
)

const corpusDir = "../testdata/corpus"

// A corpusLine is one text of the corpus, its header cut off.
type corpusLine struct {
	scenario, text string
}

var (
	fileHeader   = regexp.MustCompile(`\A\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\d+\] `)
	syslogHeader = regexp.MustCompile(`\A<\d+>\w{3} [ \d]\d \d\d:\d\d:\d\d .*?\[\d+\]: `)
)

// readCorpus returns the texts of every scenario, its file or its syslog form. What has no header of its own in a file, the second
// half of a name with a line end in it, is left out.
func readCorpus(t testing.TB, form string) []corpusLine {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(corpusDir, form, "*"))
	if err != nil || len(names) < 50 {
		t.Fatalf("%d files of %s: %v", len(names), form, err)
	}
	var out []corpusLine
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		scenario, _, _ := strings.Cut(filepath.Base(name), ".")
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSuffix(line, "\n")
			header := fileHeader
			if strings.HasSuffix(name, ".raw") {
				header = syslogHeader
				_, dump, _ := strings.Cut(line, " ")
				line = strings.TrimSuffix(string(corpus.Unescape([]byte(dump))), "\n")
			}
			if h := header.FindString(line); h != "" {
				out = append(out, corpusLine{scenario, line[len(h):]})
			}
		}
	}
	return out
}

func mustParser(t testing.TB, format string) *Parser {
	t.Helper()
	p, err := NewParser(format)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// An oracle applies the rules with package regexp, and nothing of the scanner.
type oracle struct {
	rules    []Rule
	patterns []*regexp.Regexp
}

func newOracle(t testing.TB) *oracle {
	t.Helper()
	o := &oracle{rules: Grammar()}
	for _, r := range o.rules {
		p, err := regexp.Compile(r.Pattern)
		if err != nil {
			t.Fatalf("%s: %v", r.Example, err)
		}
		o.patterns = append(o.patterns, p)
	}
	return o
}

// parse returns the event that the rules give and the number of the rule, -1 for none.
func (o *oracle) parse(text string, nested bool) (Event, int) {
	for i, r := range o.rules {
		if r.Size == Whole && len(text) >= 2047 || r.Size == Cut && len(text) < 2047 || r.Size == MaybeCut && len(text) < 2045 ||
			r.Size == Short && len(text) >= 2045 {
			continue
		}
		m := o.patterns[i].FindStringSubmatchIndex(text)
		if m == nil {
			continue
		}
		if ev, ok := o.event(r, o.patterns[i].SubexpNames(), m, text, nested); ok {
			return ev, i
		}
	}
	return Event{Repeat: 1}, -1
}

func (o *oracle) event(r Rule, names []string, m []int, text string, nested bool) (Event, bool) {
	ev := Event{Kind: r.Kind, Repeat: 1, Reason: map[Kind]Reason{UnknownModule: ReasonUnknownModule, Denied: ReasonHostsDeny,
		AuthFailed: ReasonAuth, MaxConnections: ReasonMaxConnections, ReadOnlyModule: ReasonReadOnly, WriteOnlyModule: ReasonWriteOnly,
		RefusedOption: ReasonRefusedOption, SetupFailed: OtherReason, ExecFailed: OtherReason, ProxyRejected: OtherReason}[r.Kind]}
	numbers := map[string]uint64{}
	var inner *string
	for i, name := range names {
		if name == "" || m[2*i] < 0 {
			continue
		}
		value := text[m[2*i]:m[2*i+1]]
		switch name {
		case "op":
			ev.Op = map[string]Op{"send": OpSend, "recv": OpRecv, "del.": OpDel}[value]
		case "direction":
			ev.Direction = map[string]Direction{"on": Send, "building": Send, "to": Receive, "receiving": Receive}[value]
		case "host":
			ev.Host = []byte(value)
		case "addr":
			ev.Addr = []byte(value)
		case "bare":
			if _, err := netip.ParseAddr(value); err != nil {
				return ev, false
			}
			ev.Addr = []byte(value)
		case "module":
			ev.Module = []byte(value)
		case "user":
			ev.User = []byte(value)
		case "request":
			ev.Request = []byte(value)
		case "path":
			ev.Path = []byte(value)
		case "after":
			ev.AfterAddr = []byte(value)
		case "version":
			ev.Version = []byte(value)
		case "role":
			ev.Role = []byte(value)
		case "inner":
			inner = &value
		default:
			n, err := strconv.ParseUint(strings.NewReplacer(",", "", ".", "").Replace(value), 10, 64)
			if err != nil || n > 1<<60 {
				return ev, false
			}
			numbers[name] = n
		}
	}
	if inner != nil {
		n := numbers["repeat"]
		if nested || n < 1 || n > 10000 || len(*inner) >= 800 {
			return ev, false
		}
		return o.repeat(strings.TrimPrefix(*inner, " "), n)
	}
	ev.Errno, ev.Code, ev.Lost = int16(numbers["errno"]), int16(numbers["code"]), numbers["lost"]
	ev.Sent, ev.Received, ev.Total = numbers["sent"], numbers["received"], numbers["total"]
	ev.Length, ev.HasLength = numbers["length"], r.Kind == Transfer && r.Size == Whole
	return ev, ev.Lost < 1<<32
}

func (o *oracle) repeat(inner string, n uint64) (Event, bool) {
	ev, rule := o.parse(inner, true)
	if rule < 0 || max(ev.Length, ev.Lost, ev.Sent, ev.Received, ev.Total) > 1<<60/n {
		return Event{Repeat: 1}, true
	}
	ev.Repeat = uint32(n)
	return ev, true
}

// agree reports where scanner and rules differ.
func (o *oracle) agree(t *testing.T, p *Parser, text string) {
	t.Helper()
	var got Event
	p.Parse([]byte(text), &got)
	want, rule := o.parse(text, false)
	if show(got) != show(want) {
		by := "no rule"
		if rule >= 0 {
			by = o.rules[rule].Pattern
		}
		t.Errorf("%.300q\n got %s\nwant %s\n by %s", text, show(got), show(want), by)
	}
}

// show writes the fields that are set; nil and empty slices differ.
func show(ev Event) string {
	var b strings.Builder
	v := reflect.ValueOf(ev)
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			if s, ok := f.Interface().([]byte); ok {
				fmt.Fprintf(&b, " %s=%.60q", v.Type().Field(i).Name, s)
			} else {
				fmt.Fprintf(&b, " %s=%v", v.Type().Field(i).Name, f.Interface())
			}
		}
	}
	return b.String()
}

func TestEveryRuleHasAnExampleThatItIsTheFirstToFit(t *testing.T) {
	o := newOracle(t)
	p := mustParser(t, DefaultLogFormat)
	seen := map[Kind]bool{}
	for i, r := range o.rules {
		if _, rule := o.parse(r.Example, false); rule != i {
			by := "none"
			if rule >= 0 {
				by = o.rules[rule].Pattern
			}
			t.Errorf("example %.100q of %s: the first rule that fits is %s", r.Example, r.Pattern, by)
		}
		o.agree(t, p, r.Example)
		seen[r.Kind] = true
	}
	for k := Connect; k < NumKinds; k++ {
		if !seen[k] {
			t.Errorf("kind %s has no rule", k)
		}
	}
}

func TestScannerObeysTheRulesOnTheCorpus(t *testing.T) {
	o := newOracle(t)
	p := mustParser(t, DefaultLogFormat)
	seen := map[string]bool{}
	for _, form := range []string{"file", "syslog"} {
		for _, l := range readCorpus(t, form) {
			if key := regexp.MustCompile(`\d+`).ReplaceAllString(l.text, "0"); !seen[key] {
				seen[key] = true
				o.agree(t, p, l.text)
			}
		}
	}
	if len(seen) < 500 {
		t.Errorf("only %d different texts in the corpus", len(seen))
	}
}

func FuzzParse(f *testing.F) {
	for _, form := range []string{"file", "syslog"} {
		for _, l := range readCorpus(f, form) {
			f.Add(l.text)
		}
	}
	o := newOracle(f)
	for _, r := range o.rules {
		f.Add(r.Example)
		f.Add("message repeated 3 times: [ " + r.Example + "]")
	}
	p := mustParser(f, DefaultLogFormat)
	f.Fuzz(func(t *testing.T, text string) { o.agree(t, p, text) })
}
