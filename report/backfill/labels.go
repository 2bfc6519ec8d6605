package backfill

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"rsyncd_exporter/metrics"
)

// A Label is one that Prometheus adds to every series of a target, such as job and instance.
// Without the same labels, history and present are different series.
type Label struct{ Name, Value string }

// ParseLabel reads "name=value".
func ParseLabel(text string) (Label, error) {
	name, value, ok := strings.Cut(text, "=")
	l := Label{name, value}
	if !ok {
		return l, fmt.Errorf("label %q: it has no \"=\": it must be name=value", text)
	}
	return l, l.check()
}

// taken are the labels of the metrics themselves.
var taken = [...]string{
	"host", "module", "direction", "outcome", "status_code", "reason", "operation", "errno", "kind", "version", "user",
	"le", "group", "country", "asn", "family",
}

func (l Label) check() error {
	problem := ""
	switch {
	case !isName(l.Name):
		problem = "a name has letters, digits and _, and doesn't begin with a digit"
	case strings.HasPrefix(l.Name, "__"):
		problem = "names with __ are Prometheus' own"
	case slices.Contains(taken[:], l.Name):
		problem = "the metrics have a label of that name themselves"
	case l.Value == "":
		problem = "an empty value is the same as no label"
	case !utf8.ValidString(l.Value):
		problem = "the value is not UTF-8"
	case len(l.Value) > metrics.MaxLabel:
		problem = fmt.Sprintf("the value is longer than %d bytes", metrics.MaxLabel)
	default:
		return nil
	}
	return fmt.Errorf("label %q: %s", l.Name+"="+l.Value, problem)
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// validate returns what is wrong with labels, joined.
func validate(labels []Label) error {
	var problems []error
	for i, l := range labels {
		if err := l.check(); err != nil {
			problems = append(problems, err)
		}
		if slices.ContainsFunc(labels[:i], func(other Label) bool { return other.Name == l.Name }) {
			problems = append(problems, fmt.Errorf("label %q: it is given twice", l.Name))
		}
	}
	return errors.Join(problems...)
}
