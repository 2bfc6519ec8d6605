package monitoring

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// CheckQuery says what is wrong with a query: a metric, a label or a label's value that isn't
// there, a counter in place of a gauge, or two sides whose labels can never match. A matcher with a
// variable of Grafana, such as host=~"$host", matches anything. Write durations in place of
// $__rate_interval and its like before.
func (c Catalogue) CheckQuery(query string) error {
	_, err := c.LabelsOf(query)
	return err
}

// LabelsOf checks a query and returns the labels of its answer; nil for a number.
func (c Catalogue) LabelsOf(query string) (Labels, error) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return nil, fmt.Errorf("query %q: %w", query, err)
	}
	q := &checker{catalogue: c}
	l := q.labels(expr)
	if len(q.problems) > 0 {
		return nil, fmt.Errorf("query %q: %w", query, errors.Join(q.problems...))
	}
	return l, nil
}

// A checker finds the labels of expressions, and collects the problems on the way.
type checker struct {
	catalogue Catalogue
	problems  []error
}

func (q *checker) problem(format string, args ...any) {
	q.problems = append(q.problems, fmt.Errorf(format, args...))
}

// labels returns the labels that the answer to an expression can have; nil for a number.
func (q *checker) labels(e parser.Expr) Labels {
	switch e := e.(type) {
	case *parser.VectorSelector:
		return q.selector(e)
	case *parser.MatrixSelector:
		return q.labels(e.VectorSelector)
	case *parser.SubqueryExpr:
		return q.labels(e.Expr)
	case *parser.ParenExpr:
		return q.labels(e.Expr)
	case *parser.UnaryExpr:
		return q.labels(e.Expr)
	case *parser.AggregateExpr:
		return q.aggregate(e)
	case *parser.BinaryExpr:
		return q.binary(e)
	case *parser.Call:
		return q.call(e)
	}
	return nil // a number or a text
}

func (q *checker) selector(e *parser.VectorSelector) Labels {
	name := e.Name
	for _, m := range e.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			name = m.Value
		}
	}
	if name == "" {
		q.problem("%s names no metric", e)
		return Labels{anyLabel: nil}
	}
	known, ok := q.catalogue[name]
	if !ok {
		q.problem("there is no metric %s; similar ones are %s", name, strings.Join(q.similar(name), ", "))
		return Labels{anyLabel: nil}
	}
	for _, m := range e.LabelMatchers {
		if m.Name != model.MetricNameLabel && q.has(name, known, m.Name) {
			q.value(name, m, known[m.Name])
		}
	}
	return maps.Clone(known)
}

// has reports a label that isn't there.
func (q *checker) has(what string, l Labels, label string) bool {
	if _, ok := l[label]; !ok && !open(l) {
		q.problem("%s has no label %s; it has %s", what, label, list(l))
		return false
	}
	return true
}

func open(l Labels) bool {
	_, ok := l[anyLabel]
	return ok
}

func list(l Labels) string {
	if len(l) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(l)), ", ")
}

// value reports a matcher for a value that the label can't have.
func (q *checker) value(metric string, m *labels.Matcher, values []string) {
	if values == nil || strings.HasPrefix(m.Value, "$") {
		return
	}
	asked := []string{m.Value}
	if m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp {
		asked = m.SetMatches()
		if len(asked) == 0 { // no plain list
			positive := labels.MustNewMatcher(labels.MatchRegexp, m.Name, m.Value)
			if m.Value == "" || slices.ContainsFunc(values, positive.Matches) {
				return
			}
			asked = []string{m.Value}
		}
	}
	for _, a := range asked {
		if a != "" && !slices.Contains(values, a) {
			q.problem("%s never has %s=%q; it can have %s", metric, m.Name, a, strings.Join(values, ", "))
		}
	}
}

// similar returns the metrics whose names have the largest share of words in common with the name.
func (q *checker) similar(name string) []string {
	words := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r == '_' || r == ':' })
	}
	stem := func(s string) string { return strings.TrimSuffix(s, "s") }
	score := map[string]float64{}
	for other := range q.catalogue {
		common := 0
		for _, w := range words(name) {
			if slices.ContainsFunc(words(other), func(o string) bool { return stem(o) == stem(w) }) {
				common++
			}
		}
		score[other] = float64(common) / float64(len(words(name))+len(words(other)))
	}
	all := slices.Sorted(maps.Keys(score))
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(score[b], score[a]) })
	return all[:min(3, len(all))]
}

func (q *checker) aggregate(e *parser.AggregateExpr) Labels {
	if e.Param != nil {
		q.labels(e.Param)
	}
	of := q.labels(e.Expr)
	for _, label := range e.Grouping {
		q.has(e.Expr.String(), of, label)
	}
	switch e.Op {
	case parser.TOPK, parser.BOTTOMK:
		return of // members as they are
	}
	got := Labels{}
	for label, values := range of {
		if slices.Contains(e.Grouping, label) != e.Without {
			got[label] = values
		}
	}
	if param, ok := e.Param.(*parser.StringLiteral); ok && e.Op == parser.COUNT_VALUES {
		got[param.Val] = nil
	}
	return got
}

func (q *checker) binary(e *parser.BinaryExpr) Labels {
	left, right := q.labels(e.LHS), q.labels(e.RHS)
	if left == nil || right == nil {
		return either(left, right)
	}
	m := e.VectorMatching
	for _, label := range m.MatchingLabels {
		if m.On {
			q.has(e.LHS.String(), left, label)
			q.has(e.RHS.String(), right, label)
		} else if _, ok := left[label]; !ok {
			q.has("neither side of "+e.Op.String()+", as "+e.RHS.String(), right, label)
		}
	}
	if e.Op == parser.LOR {
		got := maps.Clone(left)
		for label := range right {
			got[label] = union(left, right, label)
		}
		return got
	}
	if !m.On && !open(left) && !open(right) {
		l, r := without(left, m.MatchingLabels), without(right, m.MatchingLabels)
		if list(l) != list(r) {
			q.problem("%s can match nothing: one side has the labels %s, the other %s", e, list(l), list(r))
		}
	}
	return q.matched(e, left, right)
}

// matched returns the labels of what two vectors give that match.
func (q *checker) matched(e *parser.BinaryExpr, left, right Labels) Labels {
	m := e.VectorMatching
	many, one := left, right
	if m.Card == parser.CardOneToMany {
		many, one = right, left
	}
	if m.Card == parser.CardOneToMany || m.Card == parser.CardManyToOne {
		got := maps.Clone(many)
		for _, label := range m.Include {
			q.has("the one side of "+e.String(), one, label)
			got[label] = one[label]
		}
		return got
	}
	if e.Op.IsSetOperator() || e.Op.IsComparisonOperator() && !e.ReturnBool {
		return left // as the left side is: a comparison with on() drops what on() doesn't name
	}
	if m.On {
		got := Labels{}
		for _, label := range m.MatchingLabels {
			got[label] = left[label]
		}
		return got
	}
	return without(left, m.MatchingLabels)
}

func either(left, right Labels) Labels {
	if left == nil {
		return right
	}
	return left
}

func without(l Labels, names []string) Labels {
	got := maps.Clone(l)
	for _, name := range names {
		delete(got, name)
	}
	return got
}

// union returns the values of a label that either may have; nil where one may have any.
func union(a, b Labels, label string) []string {
	x, inA := a[label]
	y, inB := b[label]
	if inA && x == nil || inB && y == nil {
		return nil
	}
	return append(slices.Clone(x), y...)
}

// ofCounters want a counter, ofGauges a gauge.
var (
	ofCounters = []string{"rate", "increase", "irate", "resets"}
	ofGauges   = []string{"delta", "idelta", "deriv", "predict_linear"}
)

func (q *checker) call(e *parser.Call) Labels {
	var of Labels
	for _, arg := range e.Args {
		l := q.labels(arg)
		if m, ok := arg.(*parser.MatrixSelector); ok {
			q.kind(e.Func.Name, m.VectorSelector.(*parser.VectorSelector).Name)
		}
		if of == nil {
			of = l
		}
	}
	if e.Func.ReturnType == parser.ValueTypeScalar {
		return nil
	}
	text := func(i int) string {
		if s, ok := e.Args[i].(*parser.StringLiteral); ok {
			return s.Val
		}
		return ""
	}
	switch e.Func.Name {
	case "vector", "time", "absent", "absent_over_time":
		return absent(e)
	case "label_replace":
		if text(3) != "" { // "" is for a constant text
			q.has(e.Args[0].String(), of, text(3))
		}
		of = maps.Clone(of)
		of[text(1)] = nil
	case "label_join":
		for i := 3; i < len(e.Args); i++ {
			q.has(e.Args[0].String(), of, text(i))
		}
		of = maps.Clone(of)
		of[text(1)] = nil
	case "histogram_quantile":
		of = without(of, []string{"le"})
	}
	return of
}

// absent returns the labels of the element that absent makes up: those that it asks for.
func absent(e *parser.Call) Labels {
	got := Labels{}
	for _, arg := range e.Args {
		if m, ok := arg.(*parser.MatrixSelector); ok {
			arg = m.VectorSelector
		}
		if v, ok := arg.(*parser.VectorSelector); ok {
			for _, m := range v.LabelMatchers {
				if m.Type == labels.MatchEqual && m.Name != model.MetricNameLabel {
					got[m.Name] = nil
				}
			}
		}
	}
	return got
}

// kind reports a function of counters that is asked for a gauge, and the other way round.
func (q *checker) kind(function, metric string) {
	if strings.Contains(metric, ":") {
		return // a recorded one, whose name doesn't say
	}
	_, histogram := q.catalogue[metric+"_bucket"]
	counter := histogram
	for _, suffix := range []string{"_total", "_bucket", "_sum", "_count"} {
		counter = counter || strings.HasSuffix(metric, suffix)
	}
	if slices.Contains(ofCounters, function) && !counter {
		q.problem("%s() is for counters, and %s is a gauge", function, metric)
	}
	if slices.Contains(ofGauges, function) && counter {
		q.problem("%s() is for gauges, and %s is a counter", function, metric)
	}
}
