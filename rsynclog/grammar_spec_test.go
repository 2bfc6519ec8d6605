package rsynclog_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/rsynclog"
)

// A corpusLine is one text of the corpus, its header cut off.
type corpusLine struct {
	scenario, text string
}

var (
	fileHeader   = regexp.MustCompile(`\A\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\d+\] `)
	syslogHeader = regexp.MustCompile(`\A<\d+>\w{3} [ \d]\d \d\d:\d\d:\d\d .*?\[\d+\]: `)
)

// readCorpus returns the texts of every scenario, its file or its syslog form. What has no header
// of its own in a file, the second half of a name with a line end in it, is left out.
func readCorpus(t testing.TB, form string) []corpusLine {
	t.Helper()
	names := corpus.Files(t, form+"/*")
	if len(names) < 50 {
		t.Fatalf("%d files of %s", len(names), form)
	}
	var out []corpusLine
	for _, name := range names {
		scenario, _, _ := strings.Cut(filepath.Base(name), ".")
		header, read := fileHeader, corpus.ReadLines
		if strings.HasSuffix(name, ".raw") {
			header, read = syslogHeader, corpus.ReadDatagrams
		}
		for _, l := range read(t, name) {
			line := strings.TrimSuffix(string(l), "\n")
			if h := header.FindString(line); h != "" {
				out = append(out, corpusLine{scenario, line[len(h):]})
			}
		}
	}
	return out
}

func mustParser(t testing.TB, format string) *rsynclog.Parser {
	t.Helper()
	p, err := rsynclog.NewParser(format)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A rule specifies one sort of line. The rules are what Parse obeys, for DefaultLogFormat: the
// first one that fits a text gives its kind. They are regular expressions, and share nothing with
// the engine that reads the table of lines.
type rule struct {
	kind rsynclog.Kind
	// pattern is a regular expression for the whole text. Its groups are named after what they
	// hold: op, host, addr, module, user, request, path, after, version, role; the numbers code,
	// errno, length, sent, received, total, lost, repeat, which don't fit if they are too large;
	// bare, an address, which doesn't fit unless netip.ParseAddr accepts it; and inner, a text of
	// less than 800 bytes that is parsed in its turn, without a space at its front, and gives the
	// kind.
	pattern string
	size    size
}

// A size says how long a text must be for a rule. rsync cuts at 2047 bytes, and then the end isn't
// what it seems.
type size uint8

const (
	anySize  size = iota
	whole         // shorter than 2047 bytes
	cut           // 2047 bytes or more
	short         // less than 2045 bytes: the end isn't cut, nor a line end in a name just where rsync cuts
	maybeCut      // 2045 bytes or more: a line end in a name, just where rsync cuts, is taken for the line's own
)

// The words of the patterns.
const (
	reHost   = `(?P<host>[^ @()\[\]]+)`
	reAddr   = `[0-9A-Fa-f:.]*[:.][0-9A-Fa-f:.]*(?:%[0-9A-Za-z_.-]+)?`
	reClient = reHost + ` \((?P<addr>` + reAddr + `)\)`
	reBare   = `(?P<bare>` + reAddr + `)`
	reNumber = `(?:0|[1-9][0-9]*)`
	// reCount may have thousands separators, as 3.1.0 writes it.
	reCount  = `(?:[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?:\.[0-9]{3})+)|0|[1-9][0-9]*)`
	reRole   = `(?:\[(?P<role>[A-Za-z]+)\] )?`
	reWho    = `\[(?:sender|receiver|generator|Receiver|server|client)\] `
	reAuth   = `auth failed on module (?P<module>.+?) from ` + reClient + `(?:|: missing secret for user "(?P<user>.*)"|: .+|`
	reVerify = `(?P<path>.*) failed verification -- update .*\.`
	reStart  = `rsync (?P<direction>on|to) (?P<request>.*)`
	reFront  = `(?P<op>send|recv|del\.) ` + reHost + ` \[(?P<addr>` + reAddr + `)\] `
	reErrno  = ` \((?P<errno>[0-9]{1,4})\)`
	// reExit ends in a bracket since 2.6.4.
	reExit = `.+ \(code (?P<code>[0-9]{1,3})\) at [^ ()]+\([0-9]+\)` +
		`(?: \[(?P<role>[A-Za-z]+)=(?P<version>[^ =\[\]]+)\])?`
)

// firstRules are for the lines of which more than the kind is read, and that begin with words.
var firstRules = [...]rule{
	{rsynclog.OtherKnown, `recv mapped \[.*\] .* of size ` + reNumber, whole},
	{rsynclog.Transfer, reFront + `(?P<after>.+? \(.*?\) .+ (?P<length>` + reNumber + `))`, whole},
	{rsynclog.Transfer, reFront + `(?P<after>.+)`, maybeCut},

	{rsynclog.Summary, `sent (?P<sent>` + reCount + `) bytes  received (?P<received>` + reCount +
		`) bytes  total size (?P<total>` + reCount + `)`, anySize},
	{rsynclog.Summary, `wrote (?P<sent>` + reCount + `) bytes  read (?P<received>` + reCount +
		`) bytes  total size (?P<total>` + reCount + `)`, anySize},
	{rsynclog.Connect, `connect from ` + reClient, anySize},
	{rsynclog.Allowed, `rsync allowed access on module (?P<module>.+) from ` + reClient, anySize},
	{rsynclog.Denied, `rsync denied on module (?P<module>.+) from ` + reClient, anySize},
	{rsynclog.Start, reStart + ` from (?:(?P<user>[^ ]*)@)?` + reClient, whole},
	{rsynclog.Start, reStart, cut},
	{rsynclog.ExitError, `rsync error: ` + reExit, anySize},
	{rsynclog.ExitWarning, `rsync warning: ` + reExit, anySize},
	{rsynclog.ModuleList, `module-list request from ` + reClient, anySize},
	{rsynclog.UnknownModule, `unknown module '(?P<module>.*)' tried from ` + reClient, anySize},
	{rsynclog.AuthFailed, reAuth + ` for (?P<user>.*): .+)`, whole},
	{rsynclog.AuthFailed, reAuth + ` for .*)`, cut},
	{rsynclog.ProxyRejected, `proxy protocol rejected from untrusted peer ` + reClient, anySize},
	{rsynclog.DaemonStart, `rsyncd version (?P<version>[^ ]+) starting, listening on port [0-9]+`, anySize},
	{rsynclog.FileList, `(?P<direction>building|receiving) file list`, anySize},
	{rsynclog.VerifyFailed, `WARNING: ` + reVerify, anySize},
	{rsynclog.FileError, `ERROR: ` + reVerify, anySize},
	{rsynclog.NameLookup, reAddr + ` is not a known address for ".*": spoofed address\?`, anySize},

	{rsynclog.LostUpstream, `imuxsock lost (?P<lost>` + reNumber + `) messages from pid .*`, anySize},
	{rsynclog.LostUpstream, `im.*: (?P<lost>` + reNumber + `) messages lost due to rate-limiting(?: \([^()]*\))?`, anySize},
	{rsynclog.LostUpstream, `Suppressed (?P<lost>` + reNumber + `) messages from .+`, anySize},
	{rsynclog.LostUpstream, `(?:last )?message repeated (?P<lost>` + reNumber + `) times`, anySize},
	{rsynclog.LostUpstream, `(?:last )?message repeated (?P<lost>1) time`, anySize},
	{rsynclog.LostUpstream, `Last message '.*' repeated (?P<lost>` + reNumber + `) times, suppressed by syslog-ng on [^ ]+`, anySize},
	{rsynclog.Transfer, `message repeated (?P<repeat>` + reNumber + `) times: \[(?P<inner>.*)\]`, anySize},

	{rsynclog.FileError, `rsync: ` + reRole + `.*`, cut},
}

// failureRules come behind those that the table has for "rsync: [ROLE] TEXT: STRERROR (ERRNO)".
var failureRules = [...]rule{
	{rsynclog.FileError, `rsync: ` + reRole + `[^"]*"(?P<path>[^"]*)"[^"]*: [^"]+` + reErrno, whole},
	{rsynclog.FileError, `rsync: ` + reRole + `.+: .+` + reErrno, whole},
}

// lastRules are for lines with an address alone.
var lastRules = [...]rule{
	{rsynclog.Connect, `connect from ` + reBare, short},
	{rsynclog.ModuleList, `module-list request from ` + reBare, short},
	{rsynclog.Allowed, `rsync allowed access on module (?P<module>.+) from ` + reBare, short},
	{rsynclog.Denied, `rsync denied on module (?P<module>.+) from ` + reBare, short},
	{rsynclog.UnknownModule, `unknown module '(?P<module>.*)' tried from ` + reBare, short},
	{rsynclog.Start, reStart + ` from (?:(?P<user>[^ ]*)@)?` + reBare, short},
}

// textVerbs are the verbs that a rule of the table may have for its rule to be made from it. Lines
// with others have rules of their own.
var textVerbs = map[string]string{"any": `.*`, "some": `.+`, "digits": `[0-9]+`, "errno": `[0-9]{1,4}`}

// tableRules makes rules of those rows of a rank that have nothing but text in them.
func tableRules(r int, failures bool) (all []rule) {
	for _, row := range rsynclog.Rows(r) {
		template, isFailure := strings.CutPrefix(row.Template, "rsync: [{role}] ")
		if isFailure != failures {
			continue
		}
		template, isProcess := strings.CutPrefix(template, "[{role}] ")
		for _, words := range rsynclog.Alternatives(strings.ReplaceAll(template, "{error}", ": {some} ({errno})")) {
			pattern, ok := ruleOf(words)
			switch {
			case !ok || row.Kind == rsynclog.FileList || row.Kind == rsynclog.LostUpstream:
				continue
			case isFailure:
				pattern = `rsync: ` + reRole + pattern
			case isProcess && (row.Kind == rsynclog.FileError || row.Kind == rsynclog.Timeout):
				pattern = strings.Replace(reWho, "?:", "?P<role>", 1) + pattern
			case isProcess:
				pattern = reWho + pattern
			}
			all = append(all, rule{row.Kind, pattern, anySize})
		}
	}
	return all
}

func ruleOf(template string) (pattern string, ok bool) {
	for {
		words, rest, isVerb := strings.Cut(template, "{")
		pattern += regexp.QuoteMeta(words)
		if !isVerb {
			return pattern, true
		}
		verb, rest, _ := strings.Cut(rest, "}")
		if textVerbs[verb] == "" {
			return "", false
		}
		pattern += textVerbs[verb]
		template = rest
	}
}

// An oracle applies the rules with package regexp.
type oracle struct {
	rules    []rule
	patterns []*regexp.Regexp
}

func newOracle(t testing.TB) *oracle {
	t.Helper()
	o := &oracle{rules: slices.Concat(firstRules[:], tableRules(rsynclog.OwnLine, true), failureRules[:], tableRules(rsynclog.OwnLine, false),
		tableRules(rsynclog.DebugLine, false), tableRules(rsynclog.NamedLine, false), lastRules[:])}
	for _, r := range o.rules {
		p, err := regexp.Compile(`(?s)\A(?:` + r.pattern + `)\z`)
		if err != nil {
			t.Fatalf("%s: %v", r.pattern, err)
		}
		o.patterns = append(o.patterns, p)
	}
	return o
}

// readExamples returns an example of every line, and which kind it has in which versions of rsync.
func readExamples() []corpus.Example {
	examples, err := corpus.Examples("testdata/lines.tsv")
	if err != nil {
		panic(err)
	}
	return examples
}

// parse returns the event that the rules give and the number of the rule, -1 for none.
func (o *oracle) parse(text string, nested bool) (rsynclog.Event, int) {
	for i, r := range o.rules {
		if r.size == whole && len(text) >= 2047 || r.size == cut && len(text) < 2047 ||
			r.size == maybeCut && len(text) < 2045 || r.size == short && len(text) >= 2045 {
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
	return rsynclog.Event{Repeat: 1}, -1
}

func (o *oracle) event(r rule, names []string, m []int, text string, nested bool) (rsynclog.Event, bool) {
	ev := rsynclog.Event{Kind: r.kind, Repeat: 1, Reason: map[rsynclog.Kind]rsynclog.Reason{rsynclog.UnknownModule: rsynclog.ReasonUnknownModule, rsynclog.Denied: rsynclog.ReasonHostsDeny,
		rsynclog.AuthFailed: rsynclog.ReasonAuth, rsynclog.MaxConnections: rsynclog.ReasonMaxConnections, rsynclog.ReadOnlyModule: rsynclog.ReasonReadOnly, rsynclog.WriteOnlyModule: rsynclog.ReasonWriteOnly,
		rsynclog.RefusedOption: rsynclog.ReasonRefusedOption, rsynclog.SetupFailed: rsynclog.OtherReason, rsynclog.ExecFailed: rsynclog.OtherReason, rsynclog.ProxyRejected: rsynclog.OtherReason}[r.kind]}
	numbers := map[string]uint64{}
	var inner *string
	for i, name := range names {
		if name == "" || m[2*i] < 0 {
			continue
		}
		value := text[m[2*i]:m[2*i+1]]
		switch name {
		case "op":
			ev.Op = map[string]rsynclog.Op{"send": rsynclog.OpSend, "recv": rsynclog.OpRecv, "del.": rsynclog.OpDel}[value]
		case "direction":
			ev.Direction = map[string]rsynclog.Direction{"on": rsynclog.Send, "building": rsynclog.Send, "to": rsynclog.Receive, "receiving": rsynclog.Receive}[value]
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
	if r.kind == rsynclog.FileError {
		ev.Errno = int16(numbers["errno"])
	}
	ev.Code, ev.Lost = int16(numbers["code"]), numbers["lost"]
	ev.Sent, ev.Received, ev.Total = numbers["sent"], numbers["received"], numbers["total"]
	ev.Length, ev.HasLength = numbers["length"], r.kind == rsynclog.Transfer && r.size == whole
	return ev, ev.Lost < 1<<32
}

func (o *oracle) repeat(inner string, n uint64) (rsynclog.Event, bool) {
	ev, rule := o.parse(inner, true)
	if rule < 0 || max(ev.Length, ev.Lost, ev.Sent, ev.Received, ev.Total) > 1<<60/n {
		return rsynclog.Event{Repeat: 1}, true
	}
	ev.Repeat = uint32(n)
	return ev, true
}

// agree reports where scanner and rules differ.
func (o *oracle) agree(t *testing.T, p *rsynclog.Parser, text string) {
	t.Helper()
	var got rsynclog.Event
	p.Parse([]byte(text), &got)
	want, rule := o.parse(text, false)
	if show(got) != show(want) {
		by := "no rule"
		if rule >= 0 {
			by = o.rules[rule].pattern
		}
		t.Errorf("%.300q\n got %s\nwant %s\n by %s", text, show(got), show(want), by)
	}
}

// show writes the exported fields that are set; nil and empty slices differ.
func show(ev rsynclog.Event) string {
	var b strings.Builder
	v := reflect.ValueOf(ev)
	for i := range v.NumField() {
		if f := v.Field(i); f.CanInterface() && !f.IsZero() {
			if s, ok := f.Interface().([]byte); ok {
				fmt.Fprintf(&b, " %s=%.60q", v.Type().Field(i).Name, s)
			} else {
				fmt.Fprintf(&b, " %s=%v", v.Type().Field(i).Name, f.Interface())
			}
		}
	}
	return b.String()
}

// examplesOf returns the examples of each rule: those that it is the first to fit.
func (o *oracle) examplesOf(t *testing.T) map[int][]corpus.Example {
	t.Helper()
	examples := map[int][]corpus.Example{}
	for _, e := range readExamples() {
		ev, rule := o.parse(e.Text, false)
		if ev.Kind.String() != e.Kind {
			t.Errorf("%.100q is %s, the examples say %s", e.Text, ev.Kind, e.Kind)
		}
		examples[rule] = append(examples[rule], e)
	}
	return examples
}

func TestEveryRuleHasAnExampleThatItIsTheFirstToFit(t *testing.T) {
	o := newOracle(t)
	p := mustParser(t, rsynclog.DefaultLogFormat)
	examples, seen := o.examplesOf(t), map[rsynclog.Kind]bool{}
	for i, r := range o.rules {
		if len(examples[i]) == 0 {
			t.Errorf("no example of %s: %s", r.kind, r.pattern)
		}
		for _, e := range examples[i] {
			o.agree(t, p, e.Text)
		}
		seen[r.kind] = true
	}
	for k := rsynclog.Connect; k < rsynclog.NumKinds; k++ {
		if !seen[k] {
			t.Errorf("kind %s has no rule", k)
		}
	}
}

func TestScannerObeysTheRulesOnTheCorpus(t *testing.T) {
	o := newOracle(t)
	p := mustParser(t, rsynclog.DefaultLogFormat)
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
	for _, e := range readExamples() {
		f.Add(e.Text)
		f.Add("message repeated 3 times: [ " + e.Text + "]")
	}
	p := mustParser(f, rsynclog.DefaultLogFormat)
	f.Fuzz(func(t *testing.T, text string) { o.agree(t, p, text) })
}
