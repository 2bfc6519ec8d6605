// Package alertslive provokes every condition that deploy/prometheus/rsyncd_exporter.rules.yml has an
// alert for, with real programs, and sees each alert fire in a real Prometheus. Then it runs every
// query of the rules and of the dashboard there.
package alertslive

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// shorter is the one rule by which the short form shortens what the rules ship: 5 minutes become 3
// seconds, an hour 6, a day 16, a week half a minute. What is longer stays longer.
func shorter(d time.Duration) time.Duration {
	if d <= 0 {
		return d
	}
	return time.Duration(3e9 * math.Pow(d.Minutes()/5, 0.3)).Round(100 * time.Millisecond)
}

// A ruleFile is a file of rules; what stands beside the keys of interest stays as it is.
type ruleFile struct {
	Groups []*group `yaml:"groups"`
}

type group struct {
	Name     string         `yaml:"name"`
	Interval string         `yaml:"interval,omitempty"`
	Rules    []*rule        `yaml:"rules"`
	More     map[string]any `yaml:",inline"`
}

type rule struct {
	Record        string         `yaml:"record,omitempty"`
	Alert         string         `yaml:"alert,omitempty"`
	Expr          string         `yaml:"expr"`
	For           string         `yaml:"for,omitempty"`
	KeepFiringFor string         `yaml:"keep_firing_for,omitempty"`
	More          map[string]any `yaml:",inline"`
}

func parseRules(t *testing.T, text []byte) *ruleFile {
	t.Helper()
	f := &ruleFile{}
	if err := yaml.Unmarshal(text, f); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *ruleFile) text(t *testing.T) []byte {
	t.Helper()
	text, err := yaml.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// each calls do for each rule.
func (f *ruleFile) each(do func(*rule)) {
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			do(r)
		}
	}
}

// shorten applies shorter to every duration of the file: those of for, ranges, offsets and
// subqueries. All groups are evaluated each second.
func (f *ruleFile) shorten(t *testing.T) {
	t.Helper()
	for _, g := range f.Groups {
		g.Interval = "1s"
	}
	f.each(func(r *rule) {
		r.Expr = shortenQuery(t, r.Expr)
		for _, d := range []*string{&r.For, &r.KeepFiringFor} {
			if *d != "" {
				*d = model.Duration(shorter(parseDuration(t, *d))).String()
			}
		}
	})
}

const thresholds = "rsyncd:threshold:"

// override replaces thresholds, which are rules of a number each.
func (f *ruleFile) override(t *testing.T, values map[string]string) {
	t.Helper()
	missing := make(map[string]bool, len(values))
	for name := range values {
		missing[name] = true
	}
	f.each(func(r *rule) {
		if name, ok := strings.CutPrefix(r.Record, thresholds); ok && values[name] != "" {
			r.Expr = values[name]
			delete(missing, name)
		}
	})
	for name := range missing {
		t.Errorf("the rules have no threshold %s", name)
	}
}

func parseDuration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := model.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(d)
}

// shortenQuery applies shorter to the ranges, steps and offsets of a query.
func shortenQuery(t *testing.T, query string) string {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		t.Fatalf("%q: %v", query, err)
	}
	offset := func(d time.Duration) time.Duration {
		if d < 0 {
			return -shorter(-d)
		}
		return shorter(d)
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.MatrixSelector:
			n.Range = shorter(n.Range)
		case *parser.VectorSelector:
			n.OriginalOffset = offset(n.OriginalOffset)
		case *parser.SubqueryExpr:
			n.Range, n.Step, n.OriginalOffset = shorter(n.Range), shorter(n.Step), offset(n.OriginalOffset)
		}
		return nil
	})
	return expr.String()
}

// Durations are shortened wherever they stand, and nothing else is changed.
func TestShorten(t *testing.T) {
	t.Parallel()
	f := parseRules(t, []byte(`groups:
- name: g
  interval: 1m
  limit: 7
  rules:
  - {record: "rsyncd:threshold:x", expr: "3"}
  - alert: A
    expr: rate(a_total{m=~"[5m] offset 1d"}[5m] offset 5m) > on () group_left () max_over_time(b:c[30d:5m] offset -6h)
    for: 6h
    labels: {severity: page}
`))
	f.shorten(t)
	f.override(t, map[string]string{"x": "vector(9)"})
	var got []string
	f.each(func(r *rule) { got = append(got, fmt.Sprint(r.Record, r.Alert, "|", r.Expr, "|", r.For, "|", r.More)) })
	for i, want := range []string{
		`rsyncd:threshold:x|vector(9)||map[]`,
		`A|rate(a_total{m=~"[5m] offset 1d"}[3s] offset 3s) > on () group_left () ` +
			`max_over_time(b:c[45s500ms:3s] offset -10s800ms)|10s800ms|map[labels:map[severity:page]]`,
	} {
		if got[i] != want {
			t.Errorf("got  %s\nwant %s", got[i], want)
		}
	}
	if g := f.Groups[0]; g.Interval != "1s" || g.More["limit"] != 7 {
		t.Errorf("the group is %+v", g)
	}
}
