//lint:file-ignore SA1019 The classic schema is what provisioning loads in every Grafana from 10 on.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// A row is a headline and the panels below it. Panels stand side by side, as their spans allow.
type row struct {
	title string
	panels
}

type panels []cog.Builder[dashboard.Panel]

// boardJSON returns the dashboard as its file has it.
func boardJSON() ([]byte, error) {
	builder := dashboard.NewDashboardBuilder("rsync daemons").
		Uid("rsyncd-exporter").
		Description("What rsync daemons do, as rsyncd_exporter counts it. Made by \"make dashboard\".").
		Tags([]string{"rsync", "rsyncd_exporter"}).
		Timezone("browser").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Time("now-6h", "now").
		Refresh("1m").
		Editable().
		Variables(variables()).
		Link(dashboard.NewDashboardLinkBuilder("Runbook").
			Type(dashboard.DashboardLinkTypeLink).
			Icon("doc").
			Tooltip("What each alert means and what to do").
			Url(runbook).
			TargetBlank(true))
	id := uint32(0)
	for _, r := range []row{now(), traffic(), outcomes(), who(), backups(), pipe()} {
		id++
		builder.WithRow(dashboard.NewRowBuilder(r.title).Id(id))
		for _, p := range r.panels {
			id++
			builder.WithPanel(numbered{p, id})
		}
	}
	board, err := builder.Build()
	if err != nil {
		return nil, fmt.Errorf("building the dashboard: %w", err)
	}
	var made bytes.Buffer
	encoder := json.NewEncoder(&made)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(board); err != nil {
		return nil, fmt.Errorf("encoding the dashboard: %w", err)
	}
	return made.Bytes(), nil
}

// numbered gives a panel its id, so that links to a panel stay right when others are added behind it.
type numbered struct {
	panel cog.Builder[dashboard.Panel]
	id    uint32
}

func (n numbered) Build() (dashboard.Panel, error) {
	panel, err := n.panel.Build()
	panel.Id = &n.id
	return panel, err
}

// selectors stand for the labels that the variables choose by. TARGET is for metrics of the exporter
// and of clients, HOST for those with a host, MODULE for those with a module, too, and BACKUP for
// expected backups, which have no host.
var selectors = strings.NewReplacer(
	"MODULE", target+`, host=~"$host", module=~"$module"`,
	"HOST", target+`, host=~"$host"`,
	"BACKUP", target+`, module=~"$module"`,
	"TARGET", target,
)

const (
	target = `cluster=~"$cluster", job=~"$job", instance=~"$instance"`
	// exporters are the labels of one exporter: what belongs to one is matched by them.
	exporters = `cluster, job, instance`
)

// named fills an absent label with a text, so that a legend has no empty place.
func named(label, text, expr string) string {
	return fmt.Sprintf(`label_replace(%s, %q, %q, %q, "")`, expr, label, text, label)
}

func byModule(expr string) string { return named("module", "(no module)", expr) }

func byHost(expr string) string { return named("host", "(local)", expr) }

func datasource() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("$datasource")}
}

func variables() []cog.Builder[dashboard.VariableModel] {
	source := dashboard.NewDatasourceVariableBuilder("datasource").
		Label("Data source").
		Type("prometheus")
	all := []cog.Builder[dashboard.VariableModel]{source}
	for _, v := range []struct{ name, label, selector string }{
		{"cluster", "Cluster", `rsyncd_exporter_build_info`},
		{"job", "Job", `rsyncd_exporter_build_info{cluster=~"$cluster"}`},
		{"instance", "Exporter", `rsyncd_exporter_build_info{cluster=~"$cluster", job=~"$job"}`},
		{"host", "Host", `rsync_connections_total{TARGET}`},
		{"module", "Module", `rsync_executions_total{HOST}`},
	} {
		query := fmt.Sprintf("label_values(%s, %s)", selectors.Replace(v.selector), v.name)
		all = append(all, dashboard.NewQueryVariableBuilder(v.name).
			Label(v.label).
			Datasource(datasource()).
			Query(dashboard.StringOrMap{String: &query}).
			Definition(query).
			Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
			Sort(dashboard.VariableSortAlphabeticalCaseInsensitiveAsc).
			Multi(true).
			IncludeAll(true).
			AllValue(".*"). // matches series without the label, too
			Current(dashboard.VariableOption{
				Selected: cog.ToPtr(true),
				Text:     dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
				Value:    dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
			}))
	}
	return all
}
