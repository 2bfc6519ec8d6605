package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
)

// A value is one of a closed label, with what it means and what to do about it; empty for nothing.
type value struct{ is, means, remedy string }

// A closed label has a section of docs/metrics.md with all its values.
type closed struct {
	title   string
	metrics string // a regular expression; other metrics have the label with other values, or none
	label   string
	intro   string
	values  []value
}

// openLabels says what the labels hold whose values come from outside.
var openLabels = map[string]string{
	"host": "the host name in the syslog header; absent for a unix socket, a log file and lines without one",
	"module": "the module, taken only from lines that clients can't write; absent where there is no such line. " +
		"`_other`: beyond MAX_SERIES",
	"user":    "the user that logged in; empty without a login. `_other`: beyond MAX_SERIES",
	"name":    "an expected backup's name, module@user unless EXPECT_FILE gives one",
	"file":    "the path of a followed file; see [limits](#limits-of-labels-and-series) for long ones",
	"pattern": "a pattern of FILE",
	"version": "the version that rsync says when a daemon starts",
	"group":   "a name of CLIENT_GROUPS, `other` for everybody else; empty without CLIENT_GROUPS",
	"country": "a country of GEOIP_DB; `unknown`: the database has none. `_other`: beyond 300 places",
	"asn":     "an autonomous system of GEOIP_DB; otherwise as country",
}

const absent = "(absent)" // how the reference writes a value that is empty

func closedLabels() []closed {
	return []closed{
		{"direction", "", "direction", "The daemon's view of a transfer.", []value{
			{rsynclog.Send.String(), "the client pulls (`rsync on`)", ""},
			{rsynclog.Receive.String(), "the client pushes (`rsync to`)", ""},
			{absent, "the session ended before it asked for a transfer, or its beginning wasn't seen", ""},
		}},
		{"outcome", "", "outcome", "", outcomeValues()},
		{"status_code", "", "status_code", "rsync's exit code, as the daemon logs it.", exitValues()},
		{"reason: why clients were turned away", "^rsync_rejected_total$", "reason", "", reasonValues()},
		{"operation", "", "operation", "What was done with a file.", operationValues()},
		{"errno", "", "errno", "Why an operation on a file failed, by Linux' numbers. On other systems, numbers from 35 on\nmean something else.", errnoValues()},
		{"kind", "", "kind", "What a message of rsyncd's is. `rsyncd_exporter explain` shows it line by line.", kindValues()},
		{"state", "", "state", "See [expected backups](backups.md).", stateValues()},
		{"family", "", "family", "Of the client's address.", familyValues()},
		{"input", "", "input", "How messages come in.", inputValues()},
		{"reason: why messages were discarded", "^rsyncd_exporter_discarded_total$", "reason",
			"The status page and the exporter's log name the same remedies, for the settings in force.", discardValues()},
		{"reason: why connections were refused", "^rsyncd_exporter_refused_connections_total$", "reason",
			"Reasons about certificates are those of TLS inputs only.", refusalValues()},
		{"reason: why lines of a file may be lost", "_gaps_total$", "reason", "", gapValues()},
		{"label: what has overflowed", "", "label", "MAX_SERIES was reached, or a client wrote a number that doesn't exist.",
			overflowValues()},
		{"start", "", "start", "What STATE_DIR held when the exporter started.", startValues()},
		{"file: what expires", "^rsyncd_exporter_tls_certificate_expiry_timestamp_seconds$", "file", "", tlsFileValues()},
	}
}

func outcomeValues() (v []value) {
	for o := range rsynclog.NumOutcomes {
		a := codes.OutcomeAdvice(o)
		v = append(v, value{o.String(), a.Meaning, strings.TrimSpace(a.Cause + " " + a.Remedy)})
	}
	return v
}

func exitValues() (v []value) {
	for n := range int16(256) {
		if codes.Exit(n) != n {
			continue
		}
		if c, ok := codes.ExitCodeOf(int(n)); ok {
			v = append(v, value{codes.Label(n), c.Meaning, c.Cause + " " + c.Remedy})
		} else {
			v = append(v, value{codes.Label(n), "a remote shell's trouble", "No daemon ends so: it is a client's text."})
		}
	}
	return append(v, value{codes.Label(codes.Unknown), "a number that rsync doesn't have", "It is a client's text, or a newer rsync."})
}

func reasonValues() (v []value) {
	for r := rsynclog.NoReason + 1; r < rsynclog.NumReasons; r++ {
		a := codes.ReasonAdvice(r)
		v = append(v, value{r.String(), a.Meaning, a.Cause + " " + a.Remedy})
	}
	return v
}

func operationValues() (v []value) {
	texts := map[rsynclog.Op][2]string{
		rsynclog.OpSend: {"the daemon sent a file", ""},
		rsynclog.OpRecv: {"the daemon received a file", ""},
		rsynclog.OpDel:  {"a file or directory was deleted", "Far more than usual: check that the client's source isn't empty."},
		rsynclog.OpUnknown: {"the log format doesn't tell",
			"Put %o first in the log format; `check` says which line of rsyncd.conf would tell."},
	}
	for o := rsynclog.NoOp + 1; o < rsynclog.NumOps; o++ {
		v = append(v, value{o.String(), texts[o][0], texts[o][1]})
	}
	return v
}

// errnoValues has one row for all numbers that operations on files don't have.
func errnoValues() []value {
	v := []value{{"0", "a file that vanished, or an error without a number", "Harmless where files come and go; explain shows the lines."}}
	last := int16(0)
	for n := int16(1); codes.Errno(n) == n; n++ {
		last = n
		if name, text := codes.ErrnoName(int(n)); name != "" {
			v = append(v, value{codes.Label(n), name + ": " + text, codes.ErrnoRemedy(int(n))})
		}
	}
	return append(v, value{fmt.Sprintf("others to %d", last), "see errno(3)", "Operations on files have none of these: it is most likely a client's text."},
		value{codes.Label(codes.Unknown), "a number that Linux doesn't have", "The daemon runs on another system, or it is a client's text."})
}

func kindValues() (v []value) {
	for k := range rsynclog.NumKinds {
		a := codes.KindAdvice(k)
		v = append(v, value{k.String(), a.Meaning, a.Remedy})
	}
	return append(v,
		value{"implausible", "it can't be what it looks like: [what is believed](identity.md#what-is-believed)",
			"A few are clients' texts. Many: does each message have its process id, and is each host's name its own?"},
		value{rsynclog.Other, "of a kind that another version of the exporter had counted", ""})
}

func stateValues() (v []value) {
	for _, s := range backups.States() {
		means, remedy := s.Meaning()
		v = append(v, value{string(s), means, remedy})
	}
	return v
}

func familyValues() (v []value) {
	texts := map[string]string{"ipv4": "IPv4", "ipv6": "IPv6", "unknown": "no address is logged, or its connect line was missed"}
	for _, f := range clients.Families() {
		v = append(v, value{f, texts[f], ""})
	}
	return v
}

func inputValues() []value {
	return []value{
		{kindUDP, "LISTEN_UDP", ""}, {kindTCP, "LISTEN_TCP", ""}, {kindTLS, "LISTEN_TLS", ""},
		{kindUnixgram, "LISTEN_UNIXGRAM", ""}, {kindFile, "followed log files (FILE)", ""}, {kindStdin, "standard input (FILE=-)", ""},
	}
}

const ofFiles = "Of files: "

// discardValues has the remedies of the status page, for all inputs and the settings that change them.
func discardValues() (v []value) {
	for d := receiver.Kept + 1; d < receiver.NumDiscards; d++ {
		var remedies []string
		for _, in := range inputValues() {
			cfg := &config.Config{SyslogFormat: "auto", LineFormat: "auto"}
			switch r := discardRemedy(cfg, &pipeline.Understanding{Input: in.is}, d); {
			case slices.Contains(remedies, r) || slices.Contains(remedies, ofFiles+r):
			case in.is == kindFile:
				remedies = append(remedies, ofFiles+r)
			default:
				remedies = append(remedies, r)
			}
		}
		v = append(v, value{d.String(), d.Meaning(), sentences(remedies)})
	}
	return v
}

func sentences(list []string) string {
	for i, s := range list {
		list[i] = strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".")
		if !strings.HasSuffix(s, "?") {
			list[i] += "."
		}
	}
	return strings.Join(list, " ")
}

func refusalValues() (v []value) {
	for r := stream.Admitted + 1; r < stream.NumRefusals; r++ {
		v = append(v, value{r.String(), r.Meaning(), sentences([]string{r.Remedy()})})
	}
	return v
}

func gapValues() (v []value) {
	texts := [follow.NumGaps][2]string{
		follow.GapTruncated: {"the file was cut or written anew in place (copytruncate); nothing is lost if the copy holds what wasn't read",
			"Rotate by rename (logrotate's `create`) instead of copytruncate."},
		follow.GapUnread: {"a file was let go before its end was read, or while it grew",
			"Rotate beside the log, not to another directory, and compress one rotation later (`delaycompress`)."},
	}
	for g := range follow.NumGaps {
		v = append(v, value{g.String(), texts[g][0], texts[g][1]})
	}
	return v
}

func overflowValues() []value {
	const raise = "Raise MAX_SERIES, or name what matters in "
	return []value{
		{"host", "messages of hosts that found no room, and are counted as the host `_other`", raise + "HOSTS. Who invents the names?"},
		{"module", "sessions of modules that found no room", raise + "MODULES."},
		{"user", "sessions of users that found no room: they have no `rsync_last_…` of their own", "Raise MAX_SERIES. Expected backups (EXPECT) have series of their own."},
		{"errno", "file errors whose errno found no room, or doesn't exist", "Raise MAX_SERIES."},
		{"status_code", "exit codes that found no room, or don't exist", "Raise MAX_SERIES."},
	}
}

func startValues() (v []value) {
	texts := map[string][2]string{
		"new":       {"nothing: a first start", "If it wasn't the first: is STATE_DIR on a disk that is kept?"},
		"restored":  {"the counters, sessions and places in files, which went on", ""},
		"set_aside": {"nothing that could be trusted, so everything began at 0", "The log says why; the copies are kept as state.a.aside and state.b.aside."},
	}
	for _, s := range metrics.StateStarts {
		v = append(v, value{s, texts[s][0], texts[s][1]})
	}
	return v
}

func tlsFileValues() []value {
	return []value{
		{stream.CertificateFile.String(), "the exporter's certificate, or one that leads to its CA", "Renew TLS_CERT; it is read again by itself."},
		{stream.ClientCAFile.String(), "the first of the CAs of TLS_CLIENT_CA to expire", "Add the CA's next certificate to TLS_CLIENT_CA."},
		{stream.CRLFile.String(), "the next update of the list that is due first", "Fetch the new list. The old one stays in force."},
	}
}

// A described metric is what client_golang knows of one, and its type.
type described struct {
	name, kind, help string
	labels           []string
}

func describedMetrics(t *testing.T) (list []described) {
	t.Helper()
	form := regexp.MustCompile(`fqName: "([^"]+)", help: "([^"]+)",.*variableLabels: \{([^}]*)\}`)
	ch := make(chan *prometheus.Desc, 1000)
	scraped{}.Describe(ch)
	close(ch)
	for d := range ch {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%s: not as expected", d)
		}
		x := described{name: m[1], kind: "gauge", help: m[2]}
		if m[3] != "" {
			x.labels = strings.Split(m[3], ",")
		}
		switch {
		case strings.HasSuffix(x.name, "_total"):
			x.kind = "counter"
		case x.name == "rsync_session_duration_seconds":
			x.kind = "histogram"
		}
		list = append(list, x)
	}
	return list
}

// sectionOf returns the closed label of a metric, or nil if anybody chooses its values.
func sectionOf(all []closed, metric, label string) *closed {
	for i := range all {
		if c := &all[i]; c.label == label && regexp.MustCompile(c.metrics).MatchString(metric) {
			return c
		}
	}
	return nil
}

var notInAnchor = regexp.MustCompile(`[^a-z0-9_ -]`)

func anchor(title string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}

var inTables = strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;")

// TestDocumentsListEveryMetric holds docs/metrics.md against the program: every metric, and every value of every closed label.
func TestDocumentsListEveryMetric(t *testing.T) {
	all, used := closedLabels(), map[string]bool{}
	var rows strings.Builder
	rows.WriteString("| metric | type | labels | |\n|---|---|---|---|\n")
	for _, m := range describedMetrics(t) {
		var labels []string
		for _, l := range m.labels {
			switch c := sectionOf(all, m.name, l); {
			case c != nil:
				l, used[c.title] = fmt.Sprintf("[%s](#%s)", l, anchor(c.title)), true
			case openLabels[l] == "":
				t.Errorf("%s: nothing says what the label %s holds", m.name, l)
			default:
				used[l] = true
			}
			labels = append(labels, l)
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", m.name, m.kind, strings.Join(labels, ", "), inTables.Replace(m.help))
	}
	generated(t, "docs/metrics.md", "<!-- metrics: a test writes and compares -->", "<!-- /metrics -->", rows.String())

	var labels strings.Builder
	labels.WriteString("| label | |\n|---|---|\n")
	for _, l := range slices.Sorted(maps.Keys(openLabels)) {
		if !used[l] {
			t.Errorf("no metric has the label %s", l)
		}
		fmt.Fprintf(&labels, "| %s | %s |\n", l, openLabels[l])
	}
	generated(t, "docs/metrics.md", "<!-- labels: a test writes and compares -->", "<!-- /labels -->", labels.String())

	var values strings.Builder
	for _, c := range all {
		if !used[c.title] {
			t.Errorf("no metric has the label of %q", c.title)
		}
		fmt.Fprintf(&values, "### %s\n\n", strings.ToUpper(c.title[:1])+c.title[1:])
		if c.intro != "" {
			fmt.Fprintf(&values, "%s\n\n", c.intro)
		}
		values.WriteString("| value | meaning | what to do |\n|---|---|---|\n")
		for _, v := range c.values {
			if v.is == "" || v.means == "" {
				t.Errorf("%s: the value %q has no meaning", c.title, v.is)
			}
			fmt.Fprintf(&values, "| `%s` | %s | %s |\n", v.is, inTables.Replace(v.means), inTables.Replace(cmp.Or(v.remedy, "–")))
		}
		values.WriteString("\n")
	}
	generated(t, "docs/metrics.md", "<!-- values: a test writes and compares -->", "<!-- /values -->", values.String())
}
