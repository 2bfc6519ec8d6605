package monitoring

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Query is one PromQL expression of the dashboard, with the variables replaced.
type Query struct {
	Panel string // the panel's title, or "variable NAME" for the query that fills a variable
	Ref   string // which of the panel's queries, such as A
	Expr  string
}

// dashboardFile is what DashboardQueries reads of a dashboard.
type dashboardFile struct {
	Panels     []dashboardPanel
	Templating struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
		}
	}
}

type dashboardPanel struct {
	Title   string
	Panels  []dashboardPanel // of a row that is folded
	Targets []struct {
		RefID string `json:"refId"`
		Expr  string
	}
}

// DashboardQueries returns each query of the Grafana dashboard at path: those of the panels, and
// the selectors of the variables. replace has the value of each Grafana variable by name, such as
// "host": ".*" for $host, ${host} and ${host:regex}, or "__rate_interval": "1m". A variable without
// a value is an error.
func DashboardQueries(path string, replace map[string]string) ([]Query, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the dashboard: %w", err)
	}
	var file dashboardFile
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, fmt.Errorf("%s is no dashboard: %w", path, err)
	}
	queries := panelQueries(nil, file.Panels)
	for _, variable := range file.Templating.List {
		if variable.Type != "query" {
			continue
		}
		selector, err := variableSelector(variable.Query)
		if err != nil {
			return nil, fmt.Errorf("%s: variable %q: %w", path, variable.Name, err)
		}
		queries = append(queries, Query{Panel: "variable " + variable.Name, Ref: "A", Expr: selector})
	}
	for i := range queries {
		query := &queries[i]
		if query.Expr, err = replaceVariables(query.Expr, replace); err != nil {
			return nil, fmt.Errorf("%s: panel %q, query %s: %w", path, query.Panel, query.Ref, err)
		}
	}
	return queries, nil
}

func panelQueries(queries []Query, panels []dashboardPanel) []Query {
	for _, panel := range panels {
		for _, target := range panel.Targets {
			queries = append(queries, Query{Panel: panel.Title, Ref: target.RefID, Expr: target.Expr})
		}
		queries = panelQueries(queries, panel.Panels)
	}
	return queries
}

// labelValues is Grafana's own function around a selector, which Prometheus doesn't know.
var labelValues = regexp.MustCompile(`^label_values\((.+), *\w+\)$`)

// variableSelector returns the selector of a variable's query, which is a string or an object.
func variableSelector(raw json.RawMessage) (string, error) {
	var query string
	if json.Unmarshal(raw, &query) != nil {
		var object struct{ Query string }
		if err := json.Unmarshal(raw, &object); err != nil {
			return "", fmt.Errorf("no query in %q: %w", raw, err)
		}
		query = object.Query
	}
	match := labelValues.FindStringSubmatch(query)
	if match == nil {
		return "", fmt.Errorf("the query %q is not label_values(selector, label)", query)
	}
	return match[1], nil
}

// variableUse is how Grafana writes a variable: $name, ${name} or ${name:format}. What begins with
// a digit is label_replace's.
var variableUse = regexp.MustCompile(`\$(?:\{([A-Za-z_]\w*)(?::\w+)?\}|([A-Za-z_]\w*))`)

func replaceVariables(expr string, replace map[string]string) (string, error) {
	missing := map[string]bool{}
	replaced := variableUse.ReplaceAllStringFunc(expr, func(use string) string {
		match := variableUse.FindStringSubmatch(use)
		name := match[1] + match[2]
		value, known := replace[name]
		if !known {
			missing[name] = true
		}
		return value
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("no value for the variables %s", strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
	}
	return replaced, nil
}
