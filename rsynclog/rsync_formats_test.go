package rsynclog_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/rsynclog"
)

// A call is one rprintf, rsyserr or rwrite of rsync's source, as testdata/formats lists them: every
// one there is, also those that only a client makes.
type call struct {
	version, file, function, code, format string
}

func readFormats(t testing.TB) []call {
	t.Helper()
	names, err := filepath.Glob("testdata/formats/formats-*.tsv")
	if err != nil || len(names) != 6 {
		t.Fatalf("%d lists of formats: %v", len(names), err)
	}
	var calls []call
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "formats-"), ".tsv")
		for line := range strings.Lines(string(b)) {
			f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(f) != 5 {
				t.Fatalf("%s: %q has %d columns", name, line, len(f))
			}
			if f[0] != "file" {
				calls = append(calls, call{version, f[0], f[2], f[3], f[4]})
			}
		}
	}
	return calls
}

var (
	verb      = regexp.MustCompile(`%[-0]*[0-9*]*(?:\.[0-9*]+)?[lhz]*[diouxcsf%]`)
	cEscapes  = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\r`, "\r", `\"`, `"`, `\\`, `\`)
	sysErrors = []string{"Permission denied (13)", "No such file or directory (2)", "No space left on device (28)"}
	names     = []string{"a.txt", "dir/with a space.d", "7", "No such file or directory", `"/x (y)" (in data)`, "[1] x: y", ""}
	integers  = []string{"0", "7", "12345", "4294967295", "1", "300", "10"}
)

const variants = 12

// A special gives the values of verbs that can't hold just anything: the text around the verbs, and
// what they stand for in the source, one of several.
var specials = []struct {
	file, around string
	values       []string
}{
	{"", "on module %s", []string{"my data (v2)"}},
	{"", "from %s@%s (%s)", []string{"alice", "mirror7.example.net", "203.0.113.7"}},
	{"", "from %s (%s)", []string{"mirror7.example.net|UNDETERMINED", "2001:db8::7|203.0.113.7"}},
	{"", "rsync %s %s from", []string{"to|on", "data/x y"}},
	{"", "peer %s (%s)", []string{"UNDETERMINED", "203.0.113.7"}},
	{"", "%s is not a known address", []string{"203.0.113.7"}},
	{"", "rsyncd version %s", []string{"3.5.0"}},
	{"", "rsync error: %s", []string{"error in socket IO"}},
	{"", "rsync warning: %s", []string{"some files vanished before they could be transferred"}},
	{"", "(code %d)", []string{"23"}},
	{"", "at %s(%d) [%s=%s]", []string{"main.c", "1234", "Receiver|sender", "3.5.0"}},
	{"", "sent %s bytes  received %s bytes  total size %s", []string{"12", "3456", "789"}},
	{"", "sent %.0f bytes  received %.0f bytes  total size %.0f", []string{"12", "3456", "789"}},
	{"", "[%s]", []string{"generator|Receiver"}},
	{"", "%s: %s failed verification", []string{"WARNING|ERROR", "a.txt"}},
	{"", "update %s%s.", []string{"discarded|put into partial-dir", " (will try again)|"}},
	{"flist.c", "%s has vanished", []string{"directory|file"}},
	{"main.c", "%s arg does not exist", []string{"--link-dest"}},
	{"main.c", "%s arg is not a dir", []string{"--link-dest"}},
	{"compat.c", "%s with --inplace", []string{"--compare-dest"}},
	{"compat.c", "(%s) Protocol versions", []string{"Server"}}, // here and below as am_server decides
	{"compat.c", "%s is very old version", []string{"Client"}},
	{"compat.c", "%s list: %s", []string{"Client", "md5 md4"}},
	{"compat.c", "%s list:%s", []string{"Server", " xxh128"}},
	{"checksum.c", "%s%s checksum: %s", []string{"Server", " negotiated|", "xxh128"}},
	{"compat.c", "%s%s compress: %s", []string{"Server", " negotiated|", "zstd"}},
	{"rsync.c", "%s charset", []string{"server"}},
	{"uidlist.c", "%sid %u(%s) maps", []string{"g|u", "7", "staff"}},
	{"options.c", "Unknown %s item", []string{"--debug|--info"}},
	{"options.c", "rsync: %s: %s (in", []string{"--x", "unknown option"}},
	{"generator.c", "%s exists%s", []string{"a.txt", "| (type change)| (sum change)| (file change)| (attr change)| (uptodate)"}},
	{"generator.c", "%s%s is uptodate", []string{"a", "/"}},
	{"clientname.c", "%s: response family", []string{"compare_addrinfo_sockaddr"}},
	{"clientname.c", "%s: too short sockaddr", []string{"compare_addrinfo_sockaddr"}},
	{"clientserver.c", `Invalid \"%sing chmod`, []string{"incom|outgo"}},
	{"clientserver.c", "%s : <", []string{"getgrouplist failed|getpwuid failed"}}, // want_all_groups
	{"exclude.c", `%s: %s\n`, []string{"Unknown filter rule|'!' rule has trailing characters|unexpected end of filter rule|" +
		"specified-side merge file contains specified-side filter", "x"}}, // filter_rule_err
	{"main.c", "  %-11s%10d   ()", []string{"arena:|ordblks:|smblks:|hblks:|hblkhd:|allmem:|usmblks:|fsmblks:|uordblks:|fordblks:|keepcost:",
		"    135168"}}, // show_malloc_stats
	{"params.c", "%s ", []string{"params.c:pm_process() -"}},
}

// special replaces what stands around the verbs that a special is for; the rest of the format
// follows printf's rules.
func (c call) special(format string, variant int) string {
	for _, s := range specials {
		whole := strings.HasSuffix(s.around, `\n`) || strings.HasSuffix(s.around, "<") || s.file == "params.c"
		if s.file != "" && s.file != c.file || !strings.Contains(format, s.around) || whole && !strings.HasPrefix(format, s.around) {
			continue
		}
		n := -1
		around := verb.ReplaceAllStringFunc(s.around, func(string) string {
			n++
			choices := strings.Split(s.values[n], "|")
			return choices[variant%len(choices)]
		})
		format = strings.ReplaceAll(format, s.around, strings.ReplaceAll(around, "%", "%%"))
	}
	return format
}

// instantiate writes a format as rsync's printf does, with values that differ by variant.
func (c call) instantiate(variant int) string {
	format, prefix, suffix := c.special(c.format, variant), "", ""
	if strings.HasPrefix(format, ": ") || strings.HasPrefix(format, "[%d] (") {
		prefix = "rsync" // RSYNC_NAME, which the lists leave out
	}
	if c.function == "rsyserr" { // log.c: rsyserr
		format = strings.TrimSuffix(format, ` : <strerror> (<errno>)\n`)
		prefix, suffix = "rsync: ", ": "+sysErrors[variant%len(sysErrors)]
		if c.version > "3.2" {
			prefix = "rsync: [" + []string{"sender", "receiver", "generator", "Receiver"}[variant%4] + "] "
		}
	}
	n := variant
	text := verb.ReplaceAllStringFunc(cEscapes.Replace(format), func(v string) string {
		n++
		switch v[len(v)-1] {
		case '%':
			return "%"
		case 's':
			return names[n%len(names)]
		case 'c':
			return "r"
		case 'f':
			return "12.50"
		}
		return integers[n%len(integers)]
	})
	return strings.TrimSuffix(strings.TrimPrefix(prefix+text, "\n"), "\n") + suffix
}

// kindsOf returns the kinds that a format has with all its values, in the order of the variants.
func kindsOf(p *rsynclog.Parser, c call) []rsynclog.Kind {
	var kinds []rsynclog.Kind
	for v := range variants {
		var ev rsynclog.Event
		p.Parse([]byte(c.instantiate(v)), &ev)
		if !slices.Contains(kinds, ev.Kind) {
			kinds = append(kinds, ev.Kind)
		}
	}
	return kinds
}

// logged says whether a call can end up in a daemon's log: log.c: rwrite doesn't log FCLIENT, and
// what isn't literal is made of formats that are in the lists, too, or of texts in
// TestLinesThatTheListsOfFormatsDoNotHold.
func (c call) logged() bool {
	return c.code != "FCLIENT" && !strings.HasPrefix(c.format, "(non-literal)")
}

// readGolden reads lines of two columns, the second of which is the key.
func readGolden(t *testing.T, name string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string]string{}
	for line := range strings.Lines(string(b)) {
		value, key, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok || golden[key] != "" || value == "" {
			t.Fatalf("%s: %q", name, line)
		}
		golden[key] = value
	}
	return golden
}

// TestEveryFormatOfRsyncHasItsKind holds what every rprintf and rsyserr of six versions writes
// against two lists: kinds.golden has the kind of each format, and unrecognised.golden says why the
// rest can't have one.
func TestEveryFormatOfRsyncHasItsKind(t *testing.T) {
	p := mustParser(t, rsynclog.DefaultLogFormat)
	want, free := readGolden(t, "testdata/formats/kinds.golden"), readGolden(t, "testdata/formats/unrecognised.golden")
	got := map[string]string{}
	for _, c := range readFormats(t) {
		if !c.logged() {
			continue
		}
		key := c.function + "\t" + c.format
		for _, k := range kindsOf(p, c) {
			if name := k.String(); !slices.Contains(strings.Fields(got[key]), name) {
				got[key] = strings.TrimSpace(got[key] + " " + name)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if strings.Contains(got[key], rsynclog.Unrecognised.String()) {
			if free[key] == "" {
				t.Errorf("%s is %s, and nothing says why", key, got[key])
			}
		} else if got[key] != want[key] {
			t.Errorf("%s\t%s: want %s", got[key], key, want[key])
		}
	}
	for key := range want {
		if got[key] == "" || free[key] != "" {
			t.Errorf("%s is listed, and in no version or listed twice", key)
		}
	}
	for key := range free {
		if !strings.Contains(got[key], rsynclog.Unrecognised.String()) {
			t.Errorf("%s is %s, not unrecognised", key, got[key])
		}
	}
	// By hand, from io.c: an io timeout with and without the role, --stop-at and the handshake's.
	if n := len(slices.DeleteFunc(slices.Collect(maps.Values(want)), func(kind string) bool { return kind != "timeout" })); n != 4 {
		t.Errorf("%d formats tell of a time-out", n)
	}
}

// TestVersionsOfTheRules holds the versions that a rule's examples claim against the lists, and the
// scanner against the rules on all they hold.
func TestVersionsOfTheRules(t *testing.T) {
	o, p := newOracle(t), mustParser(t, rsynclog.DefaultLogFormat)
	examples := o.examplesOf(t)
	firstFit, seen := map[string]int{}, map[int]map[string]bool{}
	for _, c := range readFormats(t) {
		if !c.logged() {
			continue
		}
		for v := range variants {
			text := c.instantiate(v)
			rule, ok := firstFit[text]
			if !ok {
				o.agree(t, p, text)
				_, rule = o.parse(text, false)
				firstFit[text] = rule
			}
			if rule >= 0 && seen[rule] == nil {
				seen[rule] = map[string]bool{}
			}
			if rule >= 0 && !seen[rule][c.version] {
				seen[rule][c.version] = true
				if !covers(examples[rule], c.version) {
					t.Errorf("%q is written by %s, and the examples of its rule %s say %v", text, c.version,
						o.rules[rule].pattern, examples[rule])
				}
			}
		}
	}
	n := 0
	for i, r := range o.rules {
		if len(seen[i]) == 0 {
			continue // a text that is no literal of a call, or of a version between
		}
		n++
		for _, v := range []string{"2.6.9", "3.0.9", "3.1.3", "3.2.7", "3.4.1", "3.5.0"} {
			if covers(examples[i], v) && !seen[i][v] {
				t.Errorf("the examples of %s say %v, and %s has nothing that it fits", r.pattern, examples[i], v)
			}
		}
	}
	if n < 300 {
		t.Errorf("only %d rules have a format", n)
	}
}

// covers says whether one of the examples is of a version.
func covers(examples []corpus.Example, version string) bool {
	return slices.ContainsFunc(examples, func(e corpus.Example) bool { return includes(e.Versions, version) })
}

// includes says whether versions, "all", "3.1+", "-3.0.9" or "3.0.0-3.0.8", include one.
func includes(versions, v string) bool {
	from, to, between := strings.Cut(versions, "-")
	switch {
	case versions == "all":
		return true
	case strings.HasSuffix(versions, "+"):
		return v >= strings.TrimSuffix(versions, "+")
	case between:
		return v >= from && v <= to
	}
	return v == versions
}
