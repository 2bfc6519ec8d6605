package monitoring

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"

	"go.yaml.in/yaml/v3"
)

// A RuleFile is a file of rules, as Prometheus' rule_files name them.
type RuleFile struct {
	Groups []Group `yaml:"groups"`
}

// A Group is a group of rules, which Prometheus evaluates one after the other.
type Group struct {
	Name     string `yaml:"name"`
	Interval string `yaml:"interval"`
	Rules    []Rule `yaml:"rules"`
}

// A Rule records a metric, or is an alert.
type Rule struct {
	Record        string            `yaml:"record"`
	Alert         string            `yaml:"alert"`
	Expr          string            `yaml:"expr"`
	For           string            `yaml:"for"`
	KeepFiringFor string            `yaml:"keep_firing_for"`
	Labels        map[string]string `yaml:"labels"`
	Annotations   map[string]string `yaml:"annotations"`
}

// ReadRules reads a file of rules. A key that it doesn't know is an error.
func ReadRules(path string) (*RuleFile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	f := &RuleFile{}
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Alerts returns the alerts of all groups.
func (f *RuleFile) Alerts() (all []Rule) {
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				all = append(all, r)
			}
		}
	}
	return all
}

// Record checks the queries of all rules, and adds the metrics that they record. A rule may use
// what the rules before it record.
func (c Catalogue) Record(f *RuleFile) error {
	var problems []error
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			l, err := c.LabelsOf(r.Expr)
			if err != nil {
				problems = append(problems, fmt.Errorf("group %s, rule %s%s: %w", g.Name, r.Record, r.Alert, err))
				l = Labels{anyLabel: nil} // one problem is told once
			}
			if r.Record == "" {
				continue
			}
			all := Labels{}
			maps.Copy(all, l)
			for name, value := range r.Labels {
				all[name] = []string{value}
			}
			if before, ok := c[r.Record]; ok { // one name, several rules
				for name := range all {
					all[name] = union(before, all, name)
				}
				for name := range before {
					all[name] = union(before, all, name)
				}
			}
			c[r.Record] = all
		}
	}
	return errors.Join(problems...)
}
