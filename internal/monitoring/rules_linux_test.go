package monitoring_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"rsyncd_exporter/internal/monitoring"
	"rsyncd_exporter/internal/testenv"
)

const (
	rulesFile   = "deploy/prometheus/rsyncd_exporter.rules.yml"
	testsFile   = "deploy/prometheus/rsyncd_exporter.rules.test.yml"
	historyFile = "deploy/prometheus/rsyncd_exporter.rules.history.test.yml"
	runbookFile = "docs/runbook.md"
)

// shipped has the texts of the files that belong together.
type shipped map[string]string

func readShipped(t *testing.T) shipped {
	t.Helper()
	s := shipped{}
	for _, file := range []string{rulesFile, testsFile, historyFile, runbookFile} {
		b, err := os.ReadFile(filepath.Join(testenv.Root(t), file))
		if err != nil {
			t.Fatal(err)
		}
		s[file] = string(b)
	}
	return s
}

// problems says what is wrong with the rules, their tests and the runbook, but for what promtool finds.
func (s shipped) problems(t *testing.T) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yml")
	testenv.WriteFile(t, path, s[rulesFile])
	f, err := monitoring.ReadRules(path)
	if err != nil {
		return err
	}
	c := monitoring.Exporter()
	return errors.Join(c.Record(f), s.alerts(f, c), s.recordings(f), s.runbook(f), s.cases(f, c))
}

var (
	alertRE    = regexp.MustCompile(`^Rsyncd([A-Z][a-z]+)+$`)
	linkRE     = regexp.MustCompile(`(?m)^# +(runbook_url|dashboard_url): +(\S+)$`)
	headingRE  = regexp.MustCompile(`(?m)^## (Rsyncd.*)$`)
	instanceRE = regexp.MustCompile(`instance="([a-z]+)[0-9]*:`)
	commentRE  = regexp.MustCompile(`(?m)^ +# .*\n +- record: (rsyncd:threshold:\S+)$`)
)

// alerts: each has what a person needs, and keeps the labels of its target.
func (s shipped) alerts(f *monitoring.RuleFile, c monitoring.Catalogue) error {
	var problems []error
	base := map[string]string{}
	for _, m := range linkRE.FindAllStringSubmatch(s[rulesFile], -1) {
		base[m[1]] = m[2]
	}
	seen := map[string]bool{}
	for _, a := range f.Alerts() {
		bad := func(format string, args ...any) {
			problems = append(problems, fmt.Errorf("alert "+a.Alert+": "+format, args...))
		}
		if !alertRE.MatchString(a.Alert) || seen[a.Alert] {
			bad("its name must be its own, and CamelCase behind Rsyncd")
		}
		seen[a.Alert] = true
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) {
			bad("severity is %q, want critical, warning or info", a.Labels["severity"])
		}
		if text := a.Annotations["summary"]; text == "" || strings.Contains(text, "{{") {
			bad("summary is %q, want a text without templates", text)
		}
		if text := a.Annotations["description"]; !strings.Contains(text, "$labels") || !strings.Contains(text, "First ") {
			bad("description is %q, want one that says where, and what to do first", text)
		}
		if got, want := a.Annotations["runbook_url"], base["runbook_url"]+"#"+strings.ToLower(a.Alert); got != want {
			bad("runbook_url is %q, want %q", got, want)
		}
		if got := a.Annotations["dashboard_url"]; got == "" || got != base["dashboard_url"] {
			bad("dashboard_url is %q, want %q", got, base["dashboard_url"])
		}
		l, err := c.LabelsOf(a.Expr)
		for _, label := range []string{"job", "instance", "cluster"} {
			if _, ok := l[label]; !ok && err == nil {
				bad("it loses the label %s of its target", label)
			}
		}
	}
	return errors.Join(problems...)
}

// uses returns the metrics that a query asks for.
func uses(query string) (names []string) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return nil // the catalogue tells of it
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok {
			names = append(names, v.Name)
		}
		return nil
	})
	return names
}

// recordings: no threshold and no recording rule is there for nothing, and each threshold is explained.
func (s shipped) recordings(f *monitoring.RuleFile) error {
	var problems []error
	used := map[string]bool{}
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			for _, name := range uses(r.Expr) {
				used[name] = true
			}
		}
	}
	explained := map[string]bool{}
	for _, m := range commentRE.FindAllStringSubmatch(s[rulesFile], -1) {
		explained[m[1]] = true
	}
	for i, g := range f.Groups {
		for _, r := range g.Rules {
			threshold := strings.HasPrefix(r.Record, "rsyncd:threshold:")
			if threshold != (i == 0) {
				problems = append(problems, fmt.Errorf("group %s has %s: thresholds, and nothing else, are the first group", g.Name, r.Record+r.Alert))
			}
			if r.Record != "" && !used[r.Record] {
				problems = append(problems, fmt.Errorf("no rule uses %s", r.Record))
			}
			if threshold && !explained[r.Record] {
				problems = append(problems, fmt.Errorf("no comment stands before %s", r.Record))
			}
		}
	}
	return errors.Join(problems...)
}

// runbook: each alert has a section, each section an alert, and the four parts.
func (s shipped) runbook(f *monitoring.RuleFile) error {
	var problems []error
	text := s[runbookFile]
	sections := map[string]string{}
	all := headingRE.FindAllStringSubmatchIndex(text, -1)
	for i, at := range all {
		end := len(text)
		if i+1 < len(all) {
			end = all[i+1][0]
		}
		sections[text[at[2]:at[3]]] = text[at[1]:end]
	}
	for _, a := range f.Alerts() {
		section, ok := sections[a.Alert]
		delete(sections, a.Alert)
		if !ok {
			problems = append(problems, fmt.Errorf("%s has no section ## %s, where its runbook_url leads", runbookFile, a.Alert))
			continue
		}
		for _, part := range []string{"**Means.** ", "**Look.** ", "**Do.** ", "**Ignore.** "} {
			if !strings.Contains(section, "\n\n"+part) {
				problems = append(problems, fmt.Errorf("%s: section %s has no %s", runbookFile, a.Alert, part))
			}
		}
		for _, name := range uses(a.Expr) {
			if short, ok := strings.CutPrefix(name, "rsyncd:threshold:"); ok && !strings.Contains(section, "`"+short+"`") {
				problems = append(problems, fmt.Errorf("%s: section %s doesn't name the threshold `%s`", runbookFile, a.Alert, short))
			}
		}
	}
	for name := range sections {
		problems = append(problems, fmt.Errorf("%s has a section for %s, which is no alert", runbookFile, name))
	}
	return errors.Join(problems...)
}

// A testFile is what promtool test rules reads.
type testFile struct {
	Interval string `yaml:"evaluation_interval"`
	Tests    []struct {
		Name   string
		Series []struct{ Series, Values string } `yaml:"input_series"`
		Alerts []struct {
			At        string           `yaml:"eval_time"`
			AlertName string           `yaml:"alertname"`
			Want      []map[string]any `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
		Exprs []struct{ Expr string } `yaml:"promql_expr_test"`
	}
}

// cases: each alert fires in one, and not one evaluation earlier, and stays quiet in another, where an exporter that is called as the
// alert has some of the metrics that it looks at. In three cases no alert may fire at all; these have all metrics that any looks at.
func (s shipped) cases(f *monitoring.RuleFile, c monitoring.Catalogue) error {
	var problems []error
	needs := raw(f)
	fires, quiet, whole := map[string]bool{}, map[string]bool{}, 0
	for _, file := range []string{testsFile, historyFile} {
		var tests testFile
		if err := yaml.Unmarshal([]byte(s[file]), &tests); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, test := range tests.Tests {
			has, hasFor := map[string]bool{}, map[string][]string{}
			for _, in := range test.Series {
				name, _, _ := strings.Cut(in.Series, "{")
				has[name] = true
				if m := instanceRE.FindStringSubmatch(in.Series); m != nil {
					hasFor[m[1]] = append(hasFor[m[1]], name)
				}
				if _, ok := c[name]; !ok || c.CheckQuery(in.Series) != nil {
					problems = append(problems, fmt.Errorf("%s: %q: %w", file, test.Name, c.CheckQuery(in.Series)))
				}
			}
			if len(test.Exprs) == 1 && strings.Contains(test.Exprs[0].Expr, `ALERTS{alertstate="firing"}`) {
				whole++
				for _, a := range f.Alerts() {
					if missing := lacks(has, needs[a.Alert]); len(missing) > 0 {
						problems = append(problems, fmt.Errorf("%s: %q lacks %v, at which %s looks", file, test.Name, missing, a.Alert))
					}
				}
				continue
			}
			silent := map[string]bool{}
			for i, at := range test.Alerts {
				was, known := silent[at.AlertName]
				silent[at.AlertName] = (was || !known) && len(at.Want) == 0
				if len(at.Want) == 0 || i == 0 {
					continue
				}
				before := test.Alerts[i-1]
				if before.AlertName == at.AlertName && len(before.Want) == 0 && oneApart(before.At, at.At, tests.Interval) {
					fires[at.AlertName] = true
				}
			}
			for name, is := range silent {
				near := hasFor[strings.ToLower(strings.TrimPrefix(name, "Rsyncd"))]
				if is && slices.ContainsFunc(near, func(metric string) bool { return needs[name][metric] }) {
					quiet[name] = true
				}
			}
		}
	}
	for _, a := range f.Alerts() {
		if !fires[a.Alert] {
			problems = append(problems, fmt.Errorf("alert %s has no case in which it fires, and not one evaluation earlier", a.Alert))
		}
		if !quiet[a.Alert] {
			problems = append(problems, fmt.Errorf("alert %s has no case in which it stays quiet", a.Alert))
		}
	}
	if whole < 3 {
		problems = append(problems, fmt.Errorf("%d cases are quiet as a whole, want a restart, a first start and a quiet night", whole))
	}
	return errors.Join(problems...)
}

func oneApart(a, b, interval string) bool {
	var from, to, step int
	for text, n := range map[string]*int{a: &from, b: &to, interval: &step} {
		if _, err := fmt.Sscanf(text, "%dm", n); err != nil {
			return false
		}
	}
	return a != b && to-from == step
}

// raw returns the exporter's metrics that each alert looks at, also through recording rules.
func raw(f *monitoring.RuleFile) map[string]map[string]bool {
	recorded, all := map[string]map[string]bool{}, map[string]map[string]bool{}
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			of := map[string]bool{}
			for _, name := range uses(r.Expr) {
				if through, ok := recorded[name]; ok {
					maps.Copy(of, through)
				} else {
					of[name] = true
				}
			}
			if r.Record != "" {
				recorded[r.Record] = of
			} else {
				all[r.Alert] = of
			}
		}
	}
	return all
}

func lacks(has, needs map[string]bool) (missing []string) {
	for name := range needs {
		if !has[name] {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return missing
}

// What is shipped for Prometheus holds together: rules, their tests, the runbook.
func TestRulesTestsAndRunbookBelongTogether(t *testing.T) {
	t.Parallel()
	if err := readShipped(t).problems(t); err != nil {
		t.Error(err)
	}
}

// Each of these mistakes is found, and named.
func TestMistakesInRulesAreFound(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, file, old, new, want string }{
		{"a metric that isn't there", rulesFile, "rsyncd_exporter_state_ok == 0", "rsyncd_exporter_state_fine == 0", "there is no metric rsyncd_exporter_state_fine"},
		{"a label that isn't there", rulesFile, "sum without (kind) (increase(rsync_messages_total[1h]))", "sum without (type) (increase(rsync_messages_total[1h]))", "has no label type"},
		{"a value that isn't there", rulesFile, `outcome="aborted"`, `outcome="broken"`, `never has outcome="broken"`},
		{"a lost label", rulesFile, "sum without (host, module, direction) (increase(rsync_exchanged", "sum by (job, instance) (increase(rsync_exchanged", "alert RsyncdTrafficCap: it loses the label cluster"},
		{"no severity", rulesFile, "severity: info", "level: info", `alert RsyncdHostsMixed: severity is ""`},
		{"no summary", rulesFile, "summary: Many logins to a module are refused.", "title: Many", `alert RsyncdAuthFailures: summary is ""`},
		{"no description", rulesFile, "          description: >-\n            {{ $labels.instance }}: the certificate, key,", "          text: >-\n            x", "alert RsyncdCertificateNotReloaded: description is"},
		{"a link elsewhere", rulesFile, "runbook.md#rsyncdfilelag", "runbook.md#rsyncdfilelags", "alert RsyncdFileLag: runbook_url is"},
		{"no dashboard", rulesFile, "          dashboard_url: https://grafana.example.org/d/rsyncd-exporter\n", "", "alert RsyncdExporterDown: dashboard_url is"},
		{"a threshold for nothing", rulesFile, "  - name: rsyncd_recordings\n", "      # Why.\n      - record: rsyncd:threshold:idle\n        expr: \"1\"\n  - name: rsyncd_recordings\n", "no rule uses rsyncd:threshold:idle"},
		{"a threshold without a reason", rulesFile, "      # Share of max connections.\n", "", "no comment stands before rsyncd:threshold:connections_used_ratio"},
		{"an alert without a section", runbookFile, "## RsyncdNoSpace", "## No space", "has no section ## RsyncdNoSpace"},
		{"a section without an alert", runbookFile, "## RsyncdNoSpace", "## RsyncdOldAlert\n\n## RsyncdNoSpace", "RsyncdOldAlert, which is no alert"},
		{"a section without a part", runbookFile, "**Look.** `df -h` and `df -i` of the module's", "Then `df`", "section RsyncdNoSpace has no **Look.**"},
		{"no case that fires", testsFile, "        alertname: RsyncdNoSpace\n        exp_alerts:\n", "        alertname: RsyncdNoSpace\n        x:\n", "alert RsyncdNoSpace has no case in which it fires"},
		{"a case that doesn't say when", testsFile, "{eval_time: 70m, alertname: RsyncdNoSpace, exp_alerts: []}", "{eval_time: 20m, alertname: RsyncdNoSpace, exp_alerts: []}", "alert RsyncdNoSpace has no case in which it fires"},
		{"a quiet case of other metrics", testsFile, `rsync_rejected_total{job="rsyncd_exporter", instance="authfailures2:8080", cluster="one", host="h", module="m", reason="auth"}', values: "0x20 9x20"`, `up', values: "1"`, "alert RsyncdAuthFailures has no case in which it stays quiet"},
		{"a case of a metric that isn't there", testsFile, `rsync_backup_seen{`, `rsync_backup_known{`, "no metric rsync_backup_known"},
		{"a whole that isn't whole", historyFile, `rsyncd_exporter_tls_reload_ok{`, `up{x="",`, "lacks [rsyncd_exporter_tls_reload_ok], at which RsyncdCertificateNotReloaded looks"},
		{"a night too few", historyFile, `count_over_time(ALERTS{alertstate="firing"}`, `count_over_time(ALERTS{alertstate="pending"}`, "2 cases are quiet as a whole"},
	} {
		s := readShipped(t)
		if !strings.Contains(s[test.file], test.old) {
			t.Errorf("%s: %s has no %q", test.name, test.file, test.old)
			continue
		}
		n := -1
		if strings.HasPrefix(test.old, "          dashboard_url") {
			n = 1
		}
		s[test.file] = strings.Replace(s[test.file], test.old, test.new, n)
		if err := s.problems(t); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

// takes has a promtool check and test what is shipped.
func takes(t *testing.T, promtool string) {
	for _, args := range [][]string{
		{"check", "rules", "--lint=all", "--lint-fatal", rulesFile},
		{"check", "config", "deploy/prometheus/prometheus.yml"},
		{"test", "rules", testsFile},
		{"test", "rules", historyFile},
	} {
		t.Run(strings.Join(args[:2], " "), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(promtool, args...)
			cmd.Dir = testenv.Root(t)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", cmd, err, out)
			}
		})
	}
}

// The real promtool takes the rules and the configuration, and each alert fires when it must and only then.
func TestPromtoolTakesTheRules(t *testing.T) {
	t.Parallel()
	takes(t, testenv.Need(t, "promtool"))
}

// So does that of Prometheus 3, whose windows end differently.
func TestPrometheus3TakesTheRules(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath(filepath.Join(testenv.Root(t), "build/prometheus3/promtool"))
	if err != nil {
		t.Skip("NOT TESTED with Prometheus 3, which Debian doesn't have: `make prometheus3` builds it")
	}
	takes(t, path)
}

// What the runbook tells people to write into their configurations is what Prometheus and Alertmanager read.
func TestRunbooksSnippets(t *testing.T) {
	t.Parallel()
	s := readShipped(t)
	var config struct {
		RuleFiles    []string `yaml:"rule_files"`
		InhibitRules []struct {
			Source []string `yaml:"source_matchers"`
			Target []string `yaml:"target_matchers"`
			Equal  []string `yaml:"equal"`
		} `yaml:"inhibit_rules"`
	}
	var override []monitoring.Rule
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(s[runbookFile], -1) {
		d := yaml.NewDecoder(bytes.NewReader([]byte(m[1])))
		d.KnownFields(true)
		var err error
		if strings.HasPrefix(m[1], "- ") {
			err = d.Decode(&override)
		} else {
			err = d.Decode(&config)
		}
		if err != nil {
			t.Errorf("%q: %v", m[1], err)
		}
	}
	if len(config.RuleFiles) != 1 || config.RuleFiles[0] != filepath.Base(rulesFile) {
		t.Errorf("rule_files is %q, want %q", config.RuleFiles, filepath.Base(rulesFile))
	}
	if len(override) != 1 || !strings.Contains(s[rulesFile], "- record: "+override[0].Record+"\n") {
		t.Errorf("the example of a threshold is %v, which the rules don't have", override)
	}
	if len(config.InhibitRules) != 1 || !slices.Equal(config.InhibitRules[0].Equal, []string{"job", "instance", "cluster"}) {
		t.Fatalf("inhibit_rules are %+v, want one, by job, instance and cluster", config.InhibitRules)
	}
	path := filepath.Join(testenv.Root(t), rulesFile)
	f, err := monitoring.ReadRules(path)
	if err != nil {
		t.Fatal(err)
	}
	matches := func(list []string, alert string) bool { // Alertmanager's matchers are written as Prometheus' are
		ms, err := parser.NewParser(parser.Options{}).ParseMetricSelector("{" + strings.Join(list, ",") + "}")
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return m.Name != "alertname" || !m.Matches(alert) })
	}
	inhibit := config.InhibitRules[0]
	for _, a := range f.Alerts() {
		blind := a.Alert == "RsyncdExporterDown" || a.Alert == "RsyncdStateNotSaved" // what else is known is old then
		if matches(inhibit.Source, a.Alert) != blind || matches(inhibit.Target, a.Alert) == blind {
			t.Errorf("%s: is a source %t, is a target %t", a.Alert, matches(inhibit.Source, a.Alert), matches(inhibit.Target, a.Alert))
		}
	}
}
