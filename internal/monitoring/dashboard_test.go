package monitoring

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const dashboardPath = "../../deploy/grafana/dashboards/rsyncd_exporter.json"

// The durations that Grafana puts in, and selections as it writes them where everything is chosen.
var dashboardValues = map[string]string{
	"__rate_interval": "1m", "__range": "1h",
	"cluster": ".*", "job": ".*", "instance": ".*", "host": ".*", "module": ".*",
}

func TestDashboardAsksForWhatIsThere(t *testing.T) {
	queries, err := DashboardQueries(dashboardPath, dashboardValues)
	if err != nil {
		t.Fatal(err)
	}
	if len(queries) < 60 {
		t.Errorf("the dashboard has %d queries; where are the others?", len(queries))
	}
	catalogue := Exporter()
	rules, err := ReadRules(filepath.Join(deploy, "prometheus/rsyncd_exporter.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := catalogue.Record(rules); err != nil {
		t.Fatal(err)
	}
	for _, query := range queries {
		if err := catalogue.CheckQuery(query.Expr); err != nil {
			t.Errorf("panel %q, query %s: %v", query.Panel, query.Ref, err)
		}
	}
}

// A grafanaPanel is what the test looks at; shape is where it lies.
type grafanaPanel struct {
	ID                       int
	Type, Title, Description string
	Datasource               *grafanaSource
	GridPos                  struct{ H, W, X, Y int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Panels                   []grafanaPanel
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Datasource                *grafanaSource
	}
}

type grafanaSource struct{ Type, UID string }

// currentPanels are panels of Grafana 10 to 13 that come with it and aren't deprecated.
var currentPanels = []string{"timeseries", "stat", "table", "bargauge", "state-timeline", "heatmap", "gauge", "text"}

func TestDashboardPanels(t *testing.T) {
	var board struct{ Panels []grafanaPanel }
	readJSON(t, dashboardPath, &board)
	var rows []string
	titles, ids, taken := map[string]bool{}, map[int]bool{}, map[[2]int]string{}
	for _, panel := range board.Panels {
		if ids[panel.ID] || panel.ID == 0 {
			t.Errorf("panel %q: the id %d is no other panel's", panel.Title, panel.ID)
		}
		ids[panel.ID] = true
		occupy(t, taken, panel)
		if panel.Type == "row" {
			rows = append(rows, panel.Title)
			if len(panel.Panels) > 0 {
				t.Errorf("row %q is folded: its panels are not looked at", panel.Title)
			}
			continue
		}
		if titles[panel.Title] {
			t.Errorf("there are two panels %q", panel.Title)
		}
		titles[panel.Title] = true
		checkPanel(t, panel)
	}
	if want := []string{"Now", "Traffic", "Outcomes", "Who", "Backups", "Pipe health"}; !slices.Equal(rows, want) {
		t.Errorf("the rows are %q, want %q", rows, want)
	}
}

// occupy reports a panel that lies over another one or beside the grid, which is 24 wide.
func occupy(t *testing.T, taken map[[2]int]string, panel grafanaPanel) {
	t.Helper()
	at := panel.GridPos
	if at.H < 1 || at.W < 1 || at.X < 0 || at.X+at.W > 24 || at.H > 12 {
		t.Errorf("panel %q lies at %+v", panel.Title, at)
	}
	for x := at.X; x < at.X+at.W; x++ {
		for y := at.Y; y < at.Y+at.H; y++ {
			if other, ok := taken[[2]int{x, y}]; ok {
				t.Errorf("panel %q lies over %q at %d, %d", panel.Title, other, x, y)
				return
			}
			taken[[2]int{x, y}] = panel.Title
		}
	}
}

func checkPanel(t *testing.T, panel grafanaPanel) {
	t.Helper()
	if !slices.Contains(currentPanels, panel.Type) {
		t.Errorf("panel %q is of type %q; known are %q", panel.Title, panel.Type, currentPanels)
	}
	if panel.Title == "" || panel.FieldConfig.Defaults.Unit == "" {
		t.Errorf("panel %q (%d) needs a title and a unit", panel.Title, panel.ID)
	}
	if len(panel.Description) < 40 || !strings.HasSuffix(panel.Description, ".") {
		t.Errorf("panel %q: %q is no description", panel.Title, panel.Description)
	}
	if len(panel.Targets) == 0 {
		t.Errorf("panel %q asks nothing", panel.Title)
	}
	sources := []*grafanaSource{panel.Datasource}
	for _, target := range panel.Targets {
		sources = append(sources, target.Datasource)
		checkLegend(t, panel, target.Expr, target.LegendFormat)
	}
	for _, source := range sources {
		if source == nil || *source != (grafanaSource{"prometheus", "$datasource"}) {
			t.Errorf("panel %q has the data source %+v, not the variable's", panel.Title, source)
		}
	}
}

var legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)

// checkLegend reports a legend that is missing, or that would have an empty place for a label which
// local inputs and nameless modules lack.
func checkLegend(t *testing.T, panel grafanaPanel, expr, legend string) {
	t.Helper()
	if legend == "" && panel.Type != "table" {
		t.Errorf("panel %q: the query %s has no legend", panel.Title, expr)
	}
	optional := []string{"host", "module", "user", "group", "country"}
	for _, match := range legendLabel.FindAllStringSubmatch(legend, -1) {
		label := match[1]
		filled := strings.Contains(expr, fmt.Sprintf("%q, \"\")", label)) || strings.Contains(expr, "rsync_module_max_connections")
		if slices.Contains(optional, label) && !filled {
			t.Errorf("panel %q: the legend %q is empty where %s is absent: fill it with label_replace", panel.Title, legend, label)
		}
	}
}

// variableName is a variable anywhere in the dashboard's file, in a query or a link.
var variableName = regexp.MustCompile(`\$\{?([A-Za-z_]\w*)`)

func TestDashboardVariables(t *testing.T) {
	var board struct {
		Panels     []json.RawMessage
		Links      []json.RawMessage
		Templating struct {
			List []struct {
				Name, Type string
				AllValue   *string
				Multi      bool
				IncludeAll bool
				Datasource *grafanaSource
				Query      json.RawMessage
			}
		}
	}
	readJSON(t, dashboardPath, &board)
	used := map[string]bool{}
	collect := func(raw json.RawMessage) {
		for _, match := range variableName.FindAllStringSubmatch(string(raw), -1) {
			if !strings.HasPrefix(match[1], "__") { // Grafana's own
				used[match[1]] = true
			}
		}
	}
	for _, raw := range slices.Concat(board.Panels, board.Links) {
		collect(raw)
	}
	inPanels := slices.Sorted(maps.Keys(used))
	defined := map[string]bool{}
	for _, variable := range board.Templating.List {
		collect(variable.Query)
		for name := range used {
			if !defined[name] && strings.Contains(string(variable.Query), "$"+name) {
				t.Errorf("variable %q asks for %q, which is defined behind it", variable.Name, name)
			}
		}
		defined[variable.Name] = true
		if variable.Type != "query" {
			continue
		}
		if variable.Datasource == nil || variable.Datasource.UID != "$datasource" {
			t.Errorf("variable %q has the data source %+v", variable.Name, variable.Datasource)
		}
		if !variable.Multi || !variable.IncludeAll || variable.AllValue == nil || *variable.AllValue != ".*" {
			t.Errorf("variable %q: All has to match series without the label, too", variable.Name)
		}
	}
	if names := slices.Sorted(maps.Keys(defined)); !slices.Equal(names, inPanels) {
		t.Errorf("variables that are defined: %q; those that panels use: %q", names, inPanels)
	}
	for _, name := range []string{"datasource", "job", "instance", "host", "module"} {
		if !defined[name] {
			t.Errorf("there is no variable %q", name)
		}
	}
}

func TestDashboardQueriesReplaceVariables(t *testing.T) {
	got, err := replaceVariables(`label_replace(x{a=~"$host", b=~"${host:regex}"}[$__range], "m", "0$1", "m", "(.)")`,
		map[string]string{"host": ".*", "__range": "1h"})
	if want := `label_replace(x{a=~".*", b=~".*"}[1h], "m", "0$1", "m", "(.)")`; got != want || err != nil {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if _, err := replaceVariables(`x{a=~"$host", b="$unknown"}`, map[string]string{"host": ".*"}); err == nil ||
		!strings.Contains(err.Error(), "variables unknown") {
		t.Errorf("a variable without a value: %v", err)
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// The rules lead to the dashboard by its uid, the dashboard to their runbook and to their alerts.
func TestDashboardAndRulesBelongTogether(t *testing.T) {
	var board struct {
		UID   string
		Links []struct{ URL string }
	}
	readJSON(t, dashboardPath, &board)
	queries, err := DashboardQueries(dashboardPath, dashboardValues)
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`ALERTS\{[^}]*alertname=~"([^"]+)"`)
	rules, err := ReadRules(filepath.Join(deploy, "prometheus/rsyncd_exporter.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, alert := range rules.Alerts() {
		if url := alert.Annotations["dashboard_url"]; !strings.HasSuffix(url, "/d/"+board.UID) {
			t.Errorf("alert %s leads to the dashboard %s, whose uid is %q", alert.Alert, url, board.UID)
		}
		runbook, _, _ := strings.Cut(alert.Annotations["runbook_url"], "#")
		if len(board.Links) != 1 || board.Links[0].URL != runbook {
			t.Errorf("alert %s leads to the runbook %s, the dashboard to %v", alert.Alert, runbook, board.Links)
		}
		for _, query := range queries {
			if match := names.FindStringSubmatch(query.Expr); match != nil {
				asked++
				if !regexp.MustCompile("^(?:" + match[1] + ")$").MatchString(alert.Alert) {
					t.Errorf("panel %q asks for alerts %s; it misses %s", query.Panel, match[1], alert.Alert)
				}
			}
		}
	}
	if asked == 0 {
		t.Error("no panel asks for an alert of the rules")
	}
}
