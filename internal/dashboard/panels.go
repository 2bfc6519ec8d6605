package main

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// Colours of Grafana, by what they say.
const (
	good  = "green"
	fair  = "yellow"
	poor  = "orange"
	bad   = "red"
	plain = "blue"
	quiet = "text"
)

// A query is an expression and the legend of its series.
type query struct{ expr, legend string }

func q(expr, legend string) query { return query{expr, legend} }

// targets makes the queries of a panel: A, B and so on.
func targets(queries []query, kind func(*prometheus.DataqueryBuilder)) (all []cog.Builder[variants.Dataquery]) {
	for i, query := range queries {
		builder := prometheus.NewDataqueryBuilder().
			Datasource(datasource()).
			RefId(string(rune('A' + i))).
			Expr(selectors.Replace(query.expr)).
			LegendFormat(query.legend)
		kind(builder)
		all = append(all, builder)
	}
	return all
}

func overTime(b *prometheus.DataqueryBuilder) { b.Range() }
func atTheEnd(b *prometheus.DataqueryBuilder) { b.Instant() }
func asTable(b *prometheus.DataqueryBuilder)  { b.Instant().Format(prometheus.PromQueryFormatTable) }

// lines is a panel with a line for each series.
func lines(title, description, unit string, queries ...query) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().
		Title(title).
		Description(description).
		Datasource(datasource()).
		Unit(unit).
		Min(0).
		Height(8).Span(8).
		Targets(targets(queries, overTime)).
		LineWidth(1).
		FillOpacity(10).
		ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().
			ShowLegend(true).
			DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().
			Mode(common.TooltipDisplayModeMulti).
			Sort(common.SortOrderDescending))
}

// stacked is a panel of areas that lie on one another: what they sum up to can be read, too.
func stacked(title, description, unit string, queries ...query) *timeseries.PanelBuilder {
	return lines(title, description, unit, queries...).
		FillOpacity(40).
		Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
}

// number is a panel with one large figure and its course behind it.
func number(title, description, unit string, shown query) *stat.PanelBuilder {
	return figure(title, description, unit, targets([]query{shown}, overTime)).
		GraphMode(common.BigValueGraphModeArea)
}

// total is a panel with one large figure of the panel's whole time range.
func total(title, description, unit string, shown query) *stat.PanelBuilder {
	return figure(title, description, unit, targets([]query{shown}, atTheEnd)).
		GraphMode(common.BigValueGraphModeNone)
}

func figure(title, description, unit string, targets []cog.Builder[variants.Dataquery]) *stat.PanelBuilder {
	return stat.NewPanelBuilder().
		Title(title).
		Description(description).
		Datasource(datasource()).
		Unit(unit).
		Height(4).Span(4).
		Targets(targets).
		ReduceOptions(last()).
		ColorMode(common.BigValueColorModeValue).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)).
		Thresholds(steps(plain))
}

// bars is a panel with a bar for each series, at the end of the time range.
func bars(title, description, unit string, queries ...query) *bargauge.PanelBuilder {
	return bargauge.NewPanelBuilder().
		Title(title).
		Description(description).
		Datasource(datasource()).
		Unit(unit).
		Min(0).
		Height(8).Span(8).
		Targets(targets(queries, atTheEnd)).
		ReduceOptions(last()).
		Orientation(common.VizOrientationHorizontal).
		DisplayMode(common.BarGaugeDisplayModeBasic).
		ValueMode(common.BarGaugeValueModeText).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)).
		Thresholds(steps(plain))
}

// list is a table of what the queries have at the end of the time range, joined by their labels.
func list(title, description, unit string, queries ...query) *table.PanelBuilder {
	return table.NewPanelBuilder().
		Title(title).
		Description(description).
		Datasource(datasource()).
		Unit(unit).
		Height(8).Span(8).
		Targets(targets(queries, asTable)).
		CellHeight(common.TableCellHeightSm).
		ShowHeader(true)
}

// columns orders and names the columns of a table; those that have no name are left out.
func columns(without []string, names ...[2]string) dashboard.DataTransformerConfig {
	exclude, index, rename := map[string]bool{"Time": true}, map[string]int{}, map[string]string{}
	for _, name := range without {
		exclude[name] = true
	}
	for i, name := range names {
		index[name[0]], rename[name[0]] = i, name[1]
	}
	return dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
		"excludeByName": exclude, "indexByName": index, "renameByName": rename,
	}}
}

func last() *common.ReduceDataOptionsBuilder {
	return common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})
}

// A step is the value from which on a colour says something.
type step struct {
	from   float64
	colour string
}

// steps is the first colour, and others from their values on.
func steps(first string, others ...step) *dashboard.ThresholdsConfigBuilder {
	all := []dashboard.Threshold{{Color: first}}
	for _, s := range others {
		all = append(all, dashboard.Threshold{Value: cog.ToPtr(s.from), Color: s.colour})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(all)
}

// A word is the text and the colour that stand for a value.
type word struct{ value, text, colour string }

func words(all ...word) []dashboard.ValueMapping {
	options := map[string]dashboard.ValueMappingResult{}
	for i, w := range all {
		result := dashboard.ValueMappingResult{Text: &w.text, Index: cog.ToPtr(int32(i))}
		if w.colour != "" {
			result.Color = &w.colour
		}
		options[w.value] = result
	}
	return []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{
		Type: dashboard.MappingTypeValueToText, Options: options,
	}}}
}

func property(id string, value any) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: id, Value: value}
}

// statusPage links what has an exporter's address to the exporter's own page.
func statusPage(field string) []map[string]any {
	return []map[string]any{{
		"title": "Status page", "url": fmt.Sprintf("http://${%s}/", field), "targetBlank": true,
	}}
}
